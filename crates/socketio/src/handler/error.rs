//! What can go wrong in or around a handler.

use alloc::{boxed::Box, string::String};
use core::{error::Error, fmt};

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
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidArguments(error) => write!(f, "invalid arguments: {error}"),
            Self::Missing(what) => write!(f, "the handler takes {what}, which is not there"),
            Self::Failed(error) => write!(f, "the handler failed: {error}"),
            Self::Panicked(message) => write!(f, "the handler panicked: {message}"),
            Self::Reply(error) => write!(f, "the handler's reply cannot be encoded: {error}"),
        }
    }
}

impl Error for HandlerError {}
