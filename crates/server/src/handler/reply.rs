//! What handlers return: the answer to the client's acknowledgement.

use bytes::Bytes;
use bytestring::ByteString;
use serde::Serialize;
use sockeye_socketio::{Binary, EventArgs};
use std::any::TypeId;

use crate::{Ack, EmitError, HandlerError};

/// What a handler may return. It answers the acknowledgement that the client asked for, if it did.
///
/// - `()`: an answer without arguments.
/// - [`Reply`]: any value that serializes, as one argument.
/// - Strings, numbers, `bool`, [`Value`](serde_json::Value), [`Binary`], `Vec` and `Option` of what serializes: themselves.
/// - `Result<T, E>`: `Ok` answers with the value, a `()` without arguments. `Err` answers nothing and goes to
///   [`on_error`](crate::Namespace::on_error): what went wrong inside the server is not the client's business. To
///   tell the client, return it as a value. [`EmitError::Disconnected`] is not reported: the client left meanwhile.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned by a handler",
    note = "wrap it in `Reply(..)`, or return a `Result` of it; it must implement `serde::Serialize`"
)]
pub trait IntoReply {
    /// Answers `ack`, if there is one.
    ///
    /// # Errors
    /// What the handler returned as an error, or why its value could not be sent.
    fn reply(self, ack: Option<&Ack>) -> Result<(), HandlerError>;
}

/// A value that a handler returns: one argument of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Reply<T>(pub T);

fn send<A: EventArgs>(ack: Option<&Ack>, args: A) -> Result<(), HandlerError> {
    match ack.map_or(Ok(()), |ack| ack.send(args)) {
        Ok(()) | Err(EmitError::Disconnected) => Ok(()),
        Err(EmitError::Encode(error)) => Err(HandlerError::Reply(error)),
    }
}

impl IntoReply for () {
    fn reply(self, ack: Option<&Ack>) -> Result<(), HandlerError> {
        send(ack, ())
    }
}

impl<T: Serialize> IntoReply for Reply<T> {
    fn reply(self, ack: Option<&Ack>) -> Result<(), HandlerError> {
        send(ack, &self.0)
    }
}

impl<T: Serialize + 'static, E: Into<Box<dyn std::error::Error + Send + Sync>>> IntoReply for Result<T, E> {
    fn reply(self, ack: Option<&Ack>) -> Result<(), HandlerError> {
        match self {
            // A unit is no argument here either, rather than `null`.
            Ok(_) if TypeId::of::<T>() == TypeId::of::<()>() => send(ack, ()),
            Ok(value) => send(ack, &value),
            Err(error) => match error.into() {
                // That a client left while its handler ran is no fault of the handler.
                error if matches!(error.downcast_ref(), Some(EmitError::Disconnected)) => Ok(()),
                error => Err(HandlerError::Failed(error)),
            },
        }
    }
}

macro_rules! values {
    ($([$($generics:tt)*] $type:ty;)*) => {
        $(impl<$($generics)*> IntoReply for $type {
            fn reply(self, ack: Option<&Ack>) -> Result<(), HandlerError> {
                send(ack, &self)
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
