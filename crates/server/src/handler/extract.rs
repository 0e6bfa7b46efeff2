//! The arguments that handlers can take.

use bytes::Bytes;
use bytestring::ByteString;
use serde::{
    de::DeserializeOwned,
    ser::{Error as _, SerializeSeq},
};
use sockeye_socketio::{self as socketio, ArgsError, EventArgs};

use super::{ConnectContext, DisconnectContext, EventContext};
use crate::{Ack, DisconnectReason, HandlerError, Socket};

/// A type that handlers can take as an argument, extracted from what happened.
pub trait FromContext<C>: Sized {
    /// Extracts it.
    ///
    /// # Errors
    /// When it is not there; the handler is then not called.
    fn from_context(context: &C) -> Result<Self, Rejection>;
}

/// Why an argument could not be extracted.
#[derive(Debug)]
pub struct Rejection(HandlerError);

impl Rejection {
    /// The client's data is not what the handler takes.
    pub const fn invalid_arguments(error: ArgsError) -> Self {
        Self(HandlerError::InvalidArguments(error))
    }

    /// The server does not have what the handler takes.
    pub const fn missing(what: &'static str) -> Self {
        Self(HandlerError::Missing(what))
    }

    pub(crate) fn into_error(self) -> HandlerError {
        self.0
    }
}

/// The first argument of an event, deserialized; a missing one like `null`. Binary data is taken by
/// [`Binary`](crate::Binary) without a copy, wherever in `T` it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<T>(pub T);

impl<T: DeserializeOwned> FromContext<EventContext<'_>> for Data<T> {
    fn from_context(context: &EventContext<'_>) -> Result<Self, Rejection> {
        context.mark_read();
        context.args().first().map(Self).map_err(Rejection::invalid_arguments)
    }
}

/// All arguments of an event as a tuple, or as anything else that deserializes from a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Args<T>(pub T);

impl<T: DeserializeOwned> FromContext<EventContext<'_>> for Args<T> {
    fn from_context(context: &EventContext<'_>) -> Result<Self, Rejection> {
        context.mark_read();
        context.args().all().map(Self).map_err(Rejection::invalid_arguments)
    }
}

/// All arguments of an event as they came, not read: to be passed on, or read later. Emitting them sends the same
/// arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawArgs {
    json: ByteString,
    attachments: Vec<Bytes>,
}

impl RawArgs {
    pub(crate) fn new(args: socketio::Args<'_>) -> Self {
        Self { json: format!("[{}]", args.json()).into(), attachments: args.attachments().to_vec() }
    }

    /// The arguments as JSON, an array. Where binary data was, there is a placeholder object.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The binary data, in the order of the placeholders' numbers.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// Deserializes all arguments, as [`Args`] does.
    ///
    /// # Errors
    /// When they are of another type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        socketio::Args::from_array(&self.json)?.with_attachments(&self.attachments).all()
    }
}

impl FromContext<EventContext<'_>> for RawArgs {
    fn from_context(context: &EventContext<'_>) -> Result<Self, Rejection> {
        let args = context.args();
        args.validate().map_err(|error| Rejection::invalid_arguments(error.into()))?;
        context.mark_read();
        Ok(Self::new(args))
    }
}

impl EventArgs for RawArgs {
    fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
        match socketio::Args::from_array(&self.json) {
            Ok(args) => args.serialize_args(seq),
            Err(error) => Err(S::Error::custom(error)),
        }
    }

    fn raw_attachments(&self) -> &[Bytes] {
        &self.attachments
    }
}

/// The name of the event: for handlers of all events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventName(pub String);

impl FromContext<EventContext<'_>> for EventName {
    fn from_context(context: &EventContext<'_>) -> Result<Self, Rejection> {
        Ok(Self(context.name().to_owned()))
    }
}

impl FromContext<EventContext<'_>> for Ack {
    fn from_context(context: &EventContext<'_>) -> Result<Self, Rejection> {
        Ok(context.take_ack())
    }
}

/// What the server was given with [`Builder::state`](crate::Builder::state), cloned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State<T>(pub T);

/// What the client sent as `auth` when it connected, deserialized; nothing like `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auth<T>(pub T);

impl FromContext<DisconnectContext<'_>> for DisconnectReason {
    fn from_context(context: &DisconnectContext<'_>) -> Result<Self, Rejection> {
        Ok(context.reason())
    }
}

macro_rules! everywhere {
    ($($context:ident)*) => {
        $(
            impl FromContext<$context<'_>> for Socket {
                fn from_context(context: &$context<'_>) -> Result<Self, Rejection> {
                    Ok(context.socket().clone())
                }
            }

            impl<T: Clone + Send + Sync + 'static> FromContext<$context<'_>> for State<T> {
                fn from_context(context: &$context<'_>) -> Result<Self, Rejection> {
                    let state = context.socket().namespace().state::<T>();
                    state.map(Self).ok_or(Rejection::missing("State<T> of a type that the server was not given"))
                }
            }

            impl<T: DeserializeOwned> FromContext<$context<'_>> for Auth<T> {
                fn from_context(context: &$context<'_>) -> Result<Self, Rejection> {
                    context.socket().auth().map(Self).map_err(Rejection::invalid_arguments)
                }
            }
        )*
    };
}

everywhere!(EventContext ConnectContext DisconnectContext);
