//! What can go wrong in or around a handler.

use alloc::{boxed::Box, string::String};
use core::{error::Error, fmt};

use serde::Serialize;

use crate::{ArgsError, EncodeError};

/// What went wrong in or around a handler.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandlerError {
    /// The peer sent arguments of another type than the handler takes. If it asked for an acknowledgement, it got
    /// `{"error": "invalid arguments"}`.
    InvalidArguments(ArgsError),
    /// The handler takes something that is not there, such as a `State` never set.
    Missing(&'static str),
    /// The handler returned an error.
    Failed(Box<dyn Error + Send + Sync>),
    /// The handler panicked, with this message.
    Panicked(String),
    /// What the handler returned cannot be encoded.
    Reply(EncodeError),
    /// The event was refused: by a middleware, by the validation of its arguments, by a limit, or by a handler that
    /// returned an [`EventError`]. If the peer asked for an acknowledgement, it got the error.
    Refused(EventError),
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidArguments(error) => write!(f, "invalid arguments: {error}"),
            Self::Missing(what) => write!(f, "the handler takes {what}, which is not there"),
            Self::Failed(error) => write!(f, "the handler failed: {error}"),
            Self::Panicked(message) => write!(f, "the handler panicked: {message}"),
            Self::Reply(error) => write!(f, "the handler's reply cannot be encoded: {error}"),
            Self::Refused(error) => write!(f, "event refused: {error}"),
        }
    }
}

impl Error for HandlerError {}

/// Refuses an event, and tells the peer why: if it asked for an acknowledgement, that is
/// `{"error": message, "data": data}`, without `data` where there is none.
///
/// ```
/// use sockeye_socketio::handler::EventError;
///
/// let error = EventError::new("no such room").with_data(["lobby", "kitchen"]);
/// let json = serde_json::to_string(&error)?;
/// assert_eq!(json, r#"{"error":"no such room","data":["lobby","kitchen"]}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventError {
    #[serde(rename = "error")]
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<serde_json::Value>,
}

impl EventError {
    /// An error with a message.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), data: None }
    }

    /// Adds details. What cannot be serialized as JSON (such as a map whose keys are no strings) is left out.
    #[must_use]
    pub fn with_data(mut self, data: impl Serialize) -> Self {
        self.data = serde_json::to_value(data).ok();
        self
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The details, if there are any.
    #[must_use]
    pub const fn data(&self) -> Option<&serde_json::Value> {
        self.data.as_ref()
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for EventError {}

impl From<&str> for EventError {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for EventError {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}
