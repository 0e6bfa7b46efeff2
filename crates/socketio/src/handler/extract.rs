//! The arguments that handlers can take, and what acknowledgements can be read as.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{
    de::DeserializeOwned,
    ser::{Error as _, SerializeSeq},
};

use super::{EventError, HandlerError};
use crate::{self as socketio, ArgsError, EventArgs, OwnedArgs};

/// A type that handlers can take as an argument, extracted from what happened.
pub trait FromContext<C>: Sized {
    /// Extracts it.
    ///
    /// # Errors
    ///
    /// When it is not there; the handler is then not called.
    fn from_context(context: &C) -> Result<Self, Rejection>;
}

/// An event of the peer, which handlers' arguments are extracted from.
pub trait ReceivedEvent {
    /// The name of the event.
    fn name(&self) -> &str;

    /// The arguments, not read yet.
    fn args(&self) -> socketio::Args<'_>;

    /// Told when all arguments are read: then nobody has to look any more whether they are valid.
    fn mark_read(&self) {}
}

/// Why an argument could not be extracted.
#[derive(Debug)]
pub struct Rejection(HandlerError);

impl Rejection {
    /// The peer's data is not what the handler takes.
    #[must_use]
    pub const fn invalid_arguments(error: ArgsError) -> Self {
        Self(HandlerError::InvalidArguments(error))
    }

    /// What the handler takes is not there.
    #[must_use]
    pub const fn missing(what: &'static str) -> Self {
        Self(HandlerError::Missing(what))
    }

    /// The peer's data is of the right type, and refused all the same; the peer is told.
    #[must_use]
    pub const fn refused(error: EventError) -> Self {
        Self(HandlerError::Refused(error))
    }

    /// The reason, to be reported.
    #[must_use]
    pub fn into_error(self) -> HandlerError {
        self.0
    }
}

/// The first argument of an event, deserialized; a missing one like `null`. Binary data is taken by
/// [`Binary`](crate::Binary) without a copy, wherever in `T` it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<T>(pub T);

impl<C: ReceivedEvent, T: DeserializeOwned> FromContext<C> for Data<T> {
    fn from_context(context: &C) -> Result<Self, Rejection> {
        context.mark_read();
        context.args().first().map(Self).map_err(Rejection::invalid_arguments)
    }
}

/// All arguments of an event as a tuple, or as anything else that deserializes from a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Args<T>(pub T);

impl<C: ReceivedEvent, T: DeserializeOwned> FromContext<C> for Args<T> {
    fn from_context(context: &C) -> Result<Self, Rejection> {
        context.mark_read();
        context.args().all().map(Self).map_err(Rejection::invalid_arguments)
    }
}

/// A value that can be wrong although it is of the right type; see [`Valid`].
pub trait Validate {
    /// Checks it.
    ///
    /// # Errors
    ///
    /// What the peer is told.
    fn validate(&self) -> Result<(), EventError>;
}

/// An argument of a handler that is checked before the handler is called.
///
/// If it is not valid, the event is refused: the peer gets the error as the answer to its acknowledgement, and `on_error` gets
/// [`HandlerError::Refused`]. Around [`Data`] and [`Args`] it checks what is in them.
///
/// ```
/// use sockeye_socketio::handler::{Data, EventError, Valid, Validate};
///
/// #[derive(serde::Deserialize)]
/// struct Order { count: u32 }
///
/// impl Validate for Order {
///     fn validate(&self) -> Result<(), EventError> {
///         match self.count {
///             1..=100 => Ok(()),
///             count => Err(EventError::new("invalid count").with_data(count)),
///         }
///     }
/// }
///
/// async fn order(Valid(Data(order)): Valid<Data<Order>>) -> String {
///     format!("{} are on their way", order.count)
/// }
/// # let _ = order(Valid(Data(Order { count: 1 })));
/// ```
///
/// With a crate for validation, such as `garde`, it is `self.validate().map_err(|report| EventError::new("invalid")
/// .with_data(report.to_string()))`. What the type itself can refuse, by `#[serde(try_from = "..")]` for example, needs none of
/// this: it is answered with `invalid arguments`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Valid<T>(pub T);

impl<C, T: FromContext<C> + Validate> FromContext<C> for Valid<T> {
    fn from_context(context: &C) -> Result<Self, Rejection> {
        let value = T::from_context(context)?;
        value.validate().map_err(Rejection::refused)?;
        Ok(Self(value))
    }
}

impl<T: Validate> Validate for Data<T> {
    fn validate(&self) -> Result<(), EventError> {
        self.0.validate()
    }
}

impl<T: Validate> Validate for Args<T> {
    fn validate(&self) -> Result<(), EventError> {
        self.0.validate()
    }
}

impl<T: Validate> Validate for Option<T> {
    fn validate(&self) -> Result<(), EventError> {
        self.as_ref().map_or(Ok(()), T::validate)
    }
}

impl<T: Validate> Validate for Vec<T> {
    fn validate(&self) -> Result<(), EventError> {
        self.iter().try_for_each(T::validate)
    }
}

macro_rules! validate_tuples {
    ($($($name:ident)+;)*) => {
        $(
            /// Each of its values, in order.
            impl<$($name: Validate),+> Validate for ($($name,)+) {
                fn validate(&self) -> Result<(), EventError> {
                    #[allow(non_snake_case, reason = "the names of the type parameters serve for the values")]
                    let ($($name,)+) = self;
                    $($name.validate()?;)+
                    Ok(())
                }
            }
        )*
    };
}

validate_tuples! {
    A;
    A B;
    A B C;
    A B C D;
}

/// All arguments of an event as they came, not read: to be passed on, or read later. Emitting them sends the same
/// arguments.
///
/// Of msgpack, JSON is made for those who want to see it; emitted again, the arguments are what they were.
#[derive(Debug, Clone)]
pub struct RawArgs {
    json: ByteString,
    attachments: Vec<Bytes>,
    /// The arguments if they are not JSON.
    msgpack: Option<OwnedArgs>,
}

impl PartialEq for RawArgs {
    fn eq(&self, other: &Self) -> bool {
        (&self.json, &self.attachments) == (&other.json, &other.attachments)
    }
}

impl Eq for RawArgs {}

impl RawArgs {
    /// The arguments as JSON, an array. Where binary data was, there is a placeholder object.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The binary data, in the order of the placeholders' numbers.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// Deserializes all arguments, as [`Args`] does.
    ///
    /// # Errors
    ///
    /// When they are of another type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        match &self.msgpack {
            Some(args) => args.args().all(),
            None => socketio::Args::from_array(&self.json)?.with_attachments(&self.attachments).all(),
        }
    }
}

impl From<socketio::Args<'_>> for RawArgs {
    fn from(args: socketio::Args<'_>) -> Self {
        let (json, attachments) = args.to_text();
        let msgpack = args.msgpack().is_some().then(|| args.into());
        Self { json: json.into(), attachments, msgpack }
    }
}

impl<C: ReceivedEvent> FromContext<C> for RawArgs {
    fn from_context(context: &C) -> Result<Self, Rejection> {
        let args = context.args();
        args.validate().map_err(|error| Rejection::invalid_arguments(error.into()))?;
        context.mark_read();
        Ok(args.into())
    }
}

impl EventArgs for RawArgs {
    fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
        if let Some(args) = &self.msgpack {
            return args.serialize_args(seq);
        }
        match socketio::Args::from_array(&self.json) {
            Ok(args) => args.serialize_args(seq),
            Err(error) => Err(S::Error::custom(error)),
        }
    }

    fn raw_attachments(&self) -> &[Bytes] {
        if self.msgpack.is_some() { &[] } else { &self.attachments }
    }
}

/// The name of the event: for handlers of all events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventName(pub String);

impl<C: ReceivedEvent> FromContext<C> for EventName {
    fn from_context(context: &C) -> Result<Self, Rejection> {
        Ok(Self(context.name().to_owned()))
    }
}

/// What an acknowledgement can be read as: anything that deserializes from its first argument, [`Args`] of a
/// tuple for all of its arguments, or [`RawArgs`] as they came.
pub trait FromAnswer: Sized {
    /// Reads the arguments of the acknowledgement.
    ///
    /// # Errors
    ///
    /// When they are of another type.
    fn from_answer(args: socketio::Args<'_>) -> Result<Self, ArgsError>;
}

impl<T: DeserializeOwned> FromAnswer for T {
    fn from_answer(args: socketio::Args<'_>) -> Result<Self, ArgsError> {
        args.first()
    }
}

impl<T: DeserializeOwned> FromAnswer for Args<T> {
    fn from_answer(args: socketio::Args<'_>) -> Result<Self, ArgsError> {
        args.all().map(Self)
    }
}

impl FromAnswer for RawArgs {
    fn from_answer(args: socketio::Args<'_>) -> Result<Self, ArgsError> {
        Ok(args.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Packet, encode_event};
    use alloc::string::ToString;

    struct Received<'a>(crate::Event<'a>);

    impl ReceivedEvent for Received<'_> {
        fn name(&self) -> &str {
            &self.0.name
        }

        fn args(&self) -> socketio::Args<'_> {
            self.0.args
        }
    }

    fn received(text: &str) -> Received<'_> {
        Received(Packet::decode(text, &Limits::default()).unwrap().event().unwrap())
    }

    #[test]
    fn arguments_are_extracted_by_type() {
        let event = received(r#"2["sum",1,"a"]"#);
        assert_eq!(Data::<u8>::from_context(&event).unwrap(), Data(1));
        assert_eq!(Args::<(u8, String)>::from_context(&event).unwrap(), Args((1, "a".to_string())));
        assert_eq!(EventName::from_context(&event).unwrap(), EventName("sum".to_string()));
        assert_eq!(RawArgs::from_context(&event).unwrap().json(), r#"[1,"a"]"#);
    }

    #[test]
    fn arguments_of_another_type_are_the_peers_fault() {
        let error = Data::<bool>::from_context(&received(r#"2["sum",1]"#)).unwrap_err().into_error();
        assert!(matches!(error, HandlerError::InvalidArguments(ArgsError::Data(_))));
        let error = RawArgs::from_context(&received(r#"2["sum",{]"#)).unwrap_err().into_error();
        assert!(matches!(error, HandlerError::InvalidArguments(ArgsError::Protocol(_))));
    }

    #[test]
    fn arguments_are_checked_where_that_is_asked_for() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Even(u8);

        impl Validate for Even {
            fn validate(&self) -> Result<(), EventError> {
                if self.0.is_multiple_of(2) { Ok(()) } else { Err(EventError::new("odd").with_data(self.0)) }
            }
        }

        let refused = |rejection: Rejection| match rejection.into_error() {
            HandlerError::Refused(error) => error,
            error => panic!("{error}"),
        };
        let event = received(r#"2["e",2,3]"#);
        assert_eq!(Valid::<Data<Even>>::from_context(&event).unwrap(), Valid(Data(Even(2))));
        assert_eq!(Valid::<Data<Option<Even>>>::from_context(&event).unwrap(), Valid(Data(Some(Even(2)))));
        let error = refused(Valid::<Args<(Even, Even)>>::from_context(&event).unwrap_err());
        assert_eq!(error, EventError::new("odd").with_data(3));
        let error = refused(Valid::<Args<Vec<Even>>>::from_context(&event).unwrap_err());
        assert_eq!(error.message(), "odd");
        let rejection = Valid::<Data<Even>>::from_context(&received(r#"2["e","x"]"#)).unwrap_err();
        assert!(matches!(rejection.into_error(), HandlerError::InvalidArguments(_)));
    }

    #[test]
    fn raw_arguments_are_emitted_as_they_came() {
        let event = received(r#"2["sum", 1,{"a":[]}]"#);
        let raw = RawArgs::from_context(&event).unwrap();
        let mut out = Vec::new();
        encode_event(&mut out, &mut Vec::new(), "/", None, "again", &raw).unwrap();
        assert_eq!(out, br#"2["again",1,{"a":[]}]"#);
    }
}
