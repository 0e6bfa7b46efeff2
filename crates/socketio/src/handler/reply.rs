//! What handlers return: the answer to the peer's acknowledgement.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::{any::TypeId, error::Error};

use bytes::Bytes;
use bytestring::ByteString;
use serde::Serialize;

use super::{EventError, HandlerError};
use crate::{Binary, EncodeError, EventArgs};

/// The duty to answer an event, as those who run handlers keep it.
pub trait Answer {
    /// Answers with `args`, unless it was answered before or the peer is gone.
    ///
    /// # Errors
    ///
    /// When the arguments cannot be encoded.
    fn answer<A: EventArgs>(&self, args: A) -> Result<(), EncodeError>;
}

/// What a handler may return. It answers the acknowledgement that the peer asked for, if it did.
///
/// - `()`: an answer without arguments.
/// - [`Reply`]: any value that serializes, as one argument.
/// - Strings, numbers, `bool`, [`Value`](serde_json::Value), [`Binary`], `Vec` and `Option` of what serializes: themselves.
/// - `Result<T, E>`: `Ok` answers with the value, a `()` without arguments. `Err` answers nothing and goes to `on_error`:
///   what went wrong here is not the peer's business. That the peer left meanwhile is not reported.
/// - `Result<T, Reply<E>>`: either way an answer; for protocols of your own in which failure is a value.
/// - An [`EventError`] as `E`, or within it as a boxed error, answers `{"error": message, "data": data}`, and goes to
///   `on_error` as well.
///
/// ```
/// use sockeye_socketio::handler::{EventError, Reply};
/// # type Failure = Box<dyn std::error::Error + Send + Sync>;
///
/// async fn rename(name: String) -> Result<(), Failure> {
///     let path = std::env::var("NAMES")?; // not the peer's business: no answer
///     if name.is_empty() {
///         return Err(EventError::new("empty name").into()); // the answer is {"error":"empty name"}
///     }
/// #   let _ = path;
///     Ok(()) // the answer is without arguments
/// }
///
/// async fn divide(a: i32, b: i32) -> Result<i32, Reply<&'static str>> {
///     a.checked_div(b).ok_or(Reply("impossible")) // the answer is a number or "impossible"
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned by a handler",
    note = "wrap it in `Reply(..)`, or return a `Result` of it; it must implement `serde::Serialize`"
)]
pub trait IntoReply {
    /// Answers with the value, if there is somebody to answer.
    ///
    /// # Errors
    ///
    /// What the handler returned as an error, or why its value could not be sent.
    fn reply<A: Answer>(self, answer: Option<&A>) -> Result<(), HandlerError>;
}

/// A value that a handler returns: one argument of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Reply<T>(pub T);

pub(super) fn send<A: Answer>(answer: Option<&A>, args: impl EventArgs) -> Result<(), HandlerError> {
    answer.map_or(Ok(()), |answer| answer.answer(args)).map_err(HandlerError::Reply)
}

impl IntoReply for () {
    fn reply<A: Answer>(self, answer: Option<&A>) -> Result<(), HandlerError> {
        send(answer, ())
    }
}

impl<T: Serialize> IntoReply for Reply<T> {
    fn reply<A: Answer>(self, answer: Option<&A>) -> Result<(), HandlerError> {
        send(answer, &self.0)
    }
}

impl<T: Serialize + 'static, E: Into<Box<dyn Error + Send + Sync>>> IntoReply for Result<T, E> {
    fn reply<A: Answer>(self, answer: Option<&A>) -> Result<(), HandlerError> {
        match self {
            // A unit is no argument here either, rather than `null`.
            Ok(_) if TypeId::of::<T>() == TypeId::of::<()>() => send(answer, ()),
            Ok(value) => send(answer, &value),
            Err(error) => match error.into().downcast::<EventError>() {
                Ok(error) => {
                    send(answer, &*error)?;
                    Err(HandlerError::Refused(*error))
                }
                Err(error) => Err(HandlerError::Failed(error)),
            },
        }
    }
}

impl<T: Serialize + 'static, E: Serialize> IntoReply for Result<T, Reply<E>> {
    fn reply<A: Answer>(self, answer: Option<&A>) -> Result<(), HandlerError> {
        match self {
            Ok(_) if TypeId::of::<T>() == TypeId::of::<()>() => send(answer, ()),
            Ok(value) => send(answer, &value),
            Err(error) => send(answer, &error.0),
        }
    }
}

impl<E> From<E> for Reply<E> {
    fn from(error: E) -> Self {
        Self(error)
    }
}

macro_rules! values {
    ($([$($generics:tt)*] $type:ty;)*) => {
        $(impl<$($generics)*> IntoReply for $type {
            fn reply<A: Answer>(self, answer: Option<&A>) -> Result<(), HandlerError> {
                send(answer, self)
            }
        })*
    };
}

values! {
    [] bool;
    [] i32;
    [] i64;
    [] u32;
    [] u64;
    [] usize;
    [] f32;
    [] f64;
    [] String;
    [] &'static str;
    [] ByteString;
    [] Bytes;
    [] Binary;
    [] serde_json::Value;
    [T: Serialize] Vec<T>;
    [T: Serialize] Option<T>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode_ack;
    use core::cell::RefCell;

    #[derive(Default)]
    struct Sent(RefCell<Option<(String, usize)>>);

    impl Answer for Sent {
        fn answer<A: EventArgs>(&self, args: A) -> Result<(), EncodeError> {
            let (mut out, mut attachments) = (Vec::new(), Vec::new());
            encode_ack(&mut out, &mut attachments, "/", 7, &args)?;
            *self.0.borrow_mut() = Some((String::from_utf8(out).unwrap(), attachments.len()));
            Ok(())
        }
    }

    fn sent(value: impl IntoReply) -> (String, usize) {
        let sent = Sent::default();
        value.reply(Some(&sent)).unwrap();
        sent.0.into_inner().unwrap()
    }

    #[test]
    fn values_are_arguments_and_units_are_none() {
        assert_eq!(sent(()).0, "37[]");
        assert_eq!(sent("a").0, r#"37["a"]"#);
        assert_eq!(sent(Reply((1, 2))).0, "37[[1,2]]");
        assert_eq!(sent(Ok::<_, String>(())).0, "37[]");
        assert_eq!(sent(Ok::<_, String>(Some(1))).0, "37[1]");
        assert_eq!(sent(ByteString::from_static("a")).0, r#"37["a"]"#);
        assert_eq!(sent(Bytes::from_static(b"a")).1, 1);
    }

    #[test]
    fn errors_answer_nothing_and_are_handed_back() {
        let sent = Sent::default();
        let error = Err::<(), _>("broken").reply(Some(&sent)).unwrap_err();
        assert!(matches!(error, HandlerError::Failed(error) if alloc::format!("{error}") == "broken"));
        assert_eq!(sent.0.into_inner(), None);
        assert!(().reply::<Sent>(None).is_ok());
    }

    #[test]
    fn errors_for_the_peer_answer_it() {
        let refused = |value: Result<(), Box<dyn Error + Send + Sync>>| {
            let sent = Sent::default();
            let error = value.reply(Some(&sent)).unwrap_err();
            assert!(matches!(error, HandlerError::Refused(error) if error.message() == "full"));
            sent.0.into_inner().unwrap().0
        };
        assert_eq!(refused(Err(EventError::new("full").into())), r#"37[{"error":"full"}]"#);
        let error = EventError::new("full").with_data(3);
        assert_eq!(refused(Err(error.into())), r#"37[{"error":"full","data":3}]"#);
        assert_eq!(sent(Err::<(), _>(Reply(4))).0, "37[4]");
        assert_eq!(sent(Ok::<_, Reply<u8>>(())).0, "37[]");
        assert_eq!(sent(Ok::<_, Reply<u8>>("yes")).0, r#"37["yes"]"#);
    }

    #[test]
    fn what_cannot_be_encoded_is_an_error() {
        let keys = alloc::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(matches!(Reply(keys).reply(Some(&Sent::default())), Err(HandlerError::Reply(_))));
    }
}
