//! Why requests are refused.

use http::request;
use sockeye_engineio::{ErrorCode, RequestError};
use std::{borrow::Cow, error::Error, fmt};

/// A request that was refused; see [`Builder::on_connection_error`](crate::Builder::on_connection_error).
#[derive(Debug, Clone, Copy)]
pub struct ConnectionError<'a> {
    pub(crate) request: &'a request::Parts,
    pub(crate) refusal: &'a Refusal,
}

impl<'a> ConnectionError<'a> {
    /// The head of the request.
    pub const fn request(&self) -> &'a request::Parts {
        self.request
    }

    /// The code that the client was told: a kind of error on the wire.
    pub const fn code(&self) -> ErrorCode {
        self.refusal.code()
    }

    /// The text that the client was told.
    pub fn message(&self) -> &'a str {
        self.refusal.message()
    }

    /// What was wrong, more exactly than its code.
    pub const fn context(&self) -> &'a Refusal {
        self.refusal
    }
}

impl fmt::Display for ConnectionError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message(), self.refusal)
    }
}

impl Error for ConnectionError<'_> {}

/// What was wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It failed a check of the protocol.
    Request(RequestError),
    /// `allow_request` refused it, with this text.
    NotAllowed(String),
    /// The page that sent it is of an origin that may not connect.
    OriginNotAllowed,
    /// The server shuts down.
    ShuttingDown,
    /// `generate_id` gave an id that is none.
    InvalidId,
    /// `generate_id` gave the id of another session.
    IdInUse,
    /// It is no correct request for a WebSocket: what is wrong with it.
    Upgrade(String),
}

impl Refusal {
    /// What the client is told.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Request(error) => error.code(),
            Self::NotAllowed(_) | Self::OriginNotAllowed | Self::ShuttingDown => ErrorCode::Forbidden,
            Self::InvalidId | Self::IdInUse | Self::Upgrade(_) => ErrorCode::BadRequest,
        }
    }

    /// The text that the client is told.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::NotAllowed(text) | Self::Upgrade(text) if !text.is_empty() => text,
            Self::OriginNotAllowed => "Origin not allowed",
            Self::ShuttingDown => "server shutting down",
            _ => self.code().message(),
        }
    }

    /// The body of the answer, unless a WebSocket was asked for.
    pub(crate) fn body_json(&self) -> String {
        self.code().body_json(Some(self.message()))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: Cow<'_, str> = match self {
            Self::Request(error) => return error.fmt(f),
            Self::NotAllowed(text) => format!("not allowed: {text}").into(),
            Self::OriginNotAllowed => "the origin is not allowed".into(),
            Self::ShuttingDown => "the server shuts down".into(),
            Self::InvalidId => "the generated id is invalid".into(),
            Self::IdInUse => "the generated id is in use".into(),
            Self::Upgrade(text) => format!("no correct upgrade: {text}").into(),
        };
        f.write_str(&text)
    }
}

impl Error for Refusal {}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}
