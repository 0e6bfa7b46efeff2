//! The declaration of an event that a server and its clients share.

use crate::packet::RESERVED_EVENTS;

/// An event whose name, arguments and acknowledgement are declared once, for both sides.
///
/// The trait carries no behaviour: the sender encodes [`Args`](Self::Args), the receiver reads them with
/// [`Args::all`](crate::Args::all), and so a value that one side may send is one that the other can read. The macro
/// [`events!`](crate::events) writes the declarations.
///
/// ```
/// use sockeye_socketio::{EventArgs, Limits, Packet, TypedEvent, encode_event};
///
/// struct Message;
/// impl TypedEvent for Message {
///     const NAME: &'static str = "message";
///     type Args = (String, u64);
///     type Ack = ();
/// }
///
/// fn emit<E: TypedEvent<Args: EventArgs>>(args: &E::Args) -> Vec<u8> {
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not declared as an event",
    note = "declare it with `events! {{ pub {Self} = \"name\": (Argument, …) -> Acknowledgement; }}`"
)]
pub trait TypedEvent: 'static {
    /// The event's name on the wire; none of [`RESERVED_EVENTS`], which is found out while compiling.
    const NAME: &'static str;
    /// All arguments, as a tuple.
    type Args: ArgsTuple;
    /// What the receiver acknowledges with, one value; `()` when it does not, or with nothing.
    type Ack;

    /// [`NAME`](Self::NAME), once it is known not to be reserved. To be used where events are sent or handled, so that a
    /// reserved name does not compile.
    #[doc(hidden)]
    const CHECKED_NAME: &'static str = {
        assert!(!is_reserved(Self::NAME), "the name of the event is reserved; see `RESERVED_EVENTS`");
        Self::NAME
    };
}

/// The arguments of a typed event: a tuple of up to eight.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the list of an event's arguments",
    note = "write a tuple: `()` for none, `({Self},)` for this one alone"
)]
pub trait ArgsTuple {}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {
        $(impl<$($name),*> ArgsTuple for ($($name,)*) {})*
    };
}

tuples! { () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }

const fn is_reserved(name: &str) -> bool {
    let mut at = 0;
    while at < RESERVED_EVENTS.len() {
        if is_equal(name.as_bytes(), RESERVED_EVENTS[at].as_bytes()) {
            return true;
        }
        at += 1;
    }
    false
}

const fn is_equal(left: &[u8], right: &[u8]) -> bool {
    let mut at = 0;
    while at < left.len() && at < right.len() && left[at] == right[at] {
        at += 1;
    }
    at == left.len() && at == right.len()
}

/// Declares [typed events](crate::TypedEvent), in a crate that server and clients share for example.
///
/// Each line is a type that stands for the event: its name on the wire, its arguments as a tuple, and what it is acknowledged
/// with if it is.
///
/// ```
/// use sockeye_socketio::{TypedEvent, events};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// pub struct Line {
///     author: String,
///     text: String,
/// }
///
/// events! {
///     /// A line of the chat; the server answers with its number.
///     pub Message = "message": (Line,) -> u64;
///     /// Somebody types.
///     pub Typing = "typing": ();
///     Move = "move": (i32, i32, Option<String>);
/// }
///
/// assert_eq!(Message::NAME, "message");
/// # let _ = (Typing, Move);
/// ```
///
/// Names that are reserved do not compile where they are used, and arguments that are no tuple not at all:
///
/// ```compile_fail
/// sockeye_socketio::events! { Message = "message": String; }
/// ```
#[macro_export]
macro_rules! events {
    (@ack) => { () };
    (@ack $ack:ty) => { $ack };
    ($($(#[$meta:meta])* $visibility:vis $event:ident = $name:literal : ($($arg:ty),* $(,)?) $(-> $ack:ty)?;)*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, Copy)]
            $visibility struct $event;

            impl $crate::TypedEvent for $event {
                const NAME: &'static str = $name;
                type Args = ($($arg,)*);
                type Ack = $crate::events!(@ack $($ack)?);
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::is_reserved_event;
    use alloc::string::String;

    crate::events! {
        /// With everything.
        pub(crate) Message = "message": (String, Option<u8>) -> u64;
        Typing = "typing": ();
    }

    fn types<E: TypedEvent<Args = A, Ack = B>, A, B>() -> &'static str {
        E::CHECKED_NAME
    }

    #[test]
    fn declarations_have_name_arguments_and_acknowledgement() {
        assert_eq!(types::<Message, (String, Option<u8>), u64>(), "message");
        assert_eq!(types::<Typing, (), ()>(), "typing");
        assert_eq!(alloc::format!("{Message:?}"), "Message");
    }

    #[test]
    fn names_are_reserved_while_compiling_as_they_are_later() {
        for name in RESERVED_EVENTS.into_iter().chain(["", "connec", "connects", "message", "Connect"]) {
            assert_eq!(is_reserved(name), is_reserved_event(name), "{name}");
        }
    }
}
