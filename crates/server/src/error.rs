//! Errors, by blame.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use sockeye_socketio::{ArgsError, EncodeError, handler::EventError};
use std::{error::Error, fmt};

/// Why an event was not sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum EmitError {
    /// The event or its arguments cannot be encoded.
    Encode(EncodeError),
    /// The socket is not connected.
    Disconnected,
    /// There is no room for it in the client's queue, and [`SlowConsumer::Drop`](crate::SlowConsumer::Drop) drops it then.
    QueueFull,
    /// The client owes too many acknowledgements, see [`Config::max_ack_count`](crate::Config::max_ack_count).
    TooManyAcks,
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(error) => write!(f, "cannot encode the event: {error}"),
            Self::Disconnected => f.write_str("the socket is not connected"),
            Self::QueueFull => f.write_str("the client's queue is full"),
            Self::TooManyAcks => f.write_str("the client owes too many acknowledgements"),
        }
    }
}

impl Error for EmitError {}

impl From<EncodeError> for EmitError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

/// Why an event was not acknowledged.
#[derive(Debug)]
#[non_exhaustive]
pub enum AckError {
    /// The event was not sent.
    Emit(EmitError),
    /// The client did not answer in time.
    Timeout,
    /// The client disconnected before it answered.
    Disconnected,
    /// The answer is not of the expected type.
    InvalidAnswer(ArgsError),
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Emit(error) => fmt::Display::fmt(error, f),
            Self::Timeout => f.write_str("the client did not acknowledge in time"),
            Self::Disconnected => f.write_str("the client disconnected before it acknowledged"),
            Self::InvalidAnswer(error) => write!(f, "unexpected acknowledgement: {error}"),
        }
    }
}

impl Error for AckError {}

/// Refuses a client's connection to a namespace: what its `connect_error` event gets.
#[derive(Debug, Clone)]
pub struct ConnectError {
    pub(crate) message: String,
    pub(crate) data: Option<Box<RawValue>>,
}

impl ConnectError {
    /// A refusal with a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), data: None }
    }

    /// Adds details: `error.data` of the client. What cannot be serialized (such as a map whose keys are no strings) is
    /// left out.
    #[must_use]
    pub fn with_data(mut self, data: impl Serialize) -> Self {
        self.data = to_raw_value(&data).ok();
        self
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ConnectError {}

impl From<EventError> for ConnectError {
    fn from(error: EventError) -> Self {
        let refusal = Self::new(error.message());
        match error.data() {
            Some(data) => refusal.with_data(data),
            None => refusal,
        }
    }
}

impl From<&str> for ConnectError {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for ConnectError {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}
