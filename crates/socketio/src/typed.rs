//! The declaration of an event that a server and its clients share.

/// An event whose name, arguments and acknowledgement are declared once, for both sides.
///
/// The trait carries no behaviour: the sender encodes [`Args`](Self::Args), the receiver reads them with
/// [`Args::all`](crate::Args::all), and so a value that one side may send is one that the other can read.
///
/// ```
/// use sockeye_socketio::{Packet, Limits, TypedEvent, encode_event};
///
/// struct Message;
/// impl TypedEvent for Message {
///     const NAME: &'static str = "message";
///     type Args = (String, u64);
///     type Ack = ();
/// }
///
/// fn emit<E: TypedEvent<Args: sockeye_socketio::EventArgs>>(args: &E::Args) -> Vec<u8> {
///     let mut out = Vec::new();
///     encode_event(&mut out, &mut Vec::new(), "/", None, E::NAME, args).expect("plain data");
///     out
/// }
///
/// let text = String::from_utf8(emit::<Message>(&("hello".to_owned(), 1)))?;
/// let event = Packet::decode(&text, &Limits::default())?.event()?;
/// assert_eq!(event.name, Message::NAME);
/// assert_eq!(event.args.all::<<Message as TypedEvent>::Args>()?, ("hello".to_owned(), 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait TypedEvent {
    /// The event's name on the wire; none of [`RESERVED_EVENTS`](crate::RESERVED_EVENTS).
    const NAME: &'static str;
    /// All arguments, as a tuple.
    type Args;
    /// What the receiver acknowledges with; `()` when it does not.
    type Ack;
}
