//! Errors, by blame.

use bytestring::ByteString;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use sockeye_engineio::DecodeError;
use sockeye_socketio::{ArgsError, EncodeError};
use std::{error::Error, fmt, sync::Arc};

use crate::DisconnectReason;

/// What the application gave wrong when it built a client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The URL is not one that a client can connect to.
    Url(&'static str),
    /// An option cannot be what it is.
    Config(&'static str),
    /// A header field cannot be sent.
    Header(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(problem) => write!(f, "cannot connect to this URL: {problem}"),
            Self::Config(problem) => write!(f, "invalid option: {problem}"),
            Self::Header(name) => write!(f, "header field {name:?} cannot be sent"),
        }
    }
}

impl Error for BuildError {}

/// Why a socket did not connect: `connect_error`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ConnectError {
    /// The client could not be built.
    Build(BuildError),
    /// The server refused the namespace, such as by a middleware. The socket does not try again by itself:
    /// [`open`](crate::Socket::open) does.
    Refused(Refusal),
    /// The server could not be reached, or did not speak Engine.IO.
    Transport(TransportError),
    /// Connecting took longer than [`Config::timeout`](crate::Config::timeout).
    Timeout,
    /// The connection ended before the server answered.
    Disconnected(DisconnectReason),
    /// The server speaks an earlier revision of Socket.IO, that of its version 2.
    UnsupportedServer,
    /// The function that makes the `auth` data failed. The socket does not try again by itself.
    Auth(Arc<dyn Error + Send + Sync>),
    /// The application closed the client.
    Closed,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(error) => error.fmt(f),
            Self::Refused(refusal) => write!(f, "the server refused the connection: {}", refusal.message()),
            Self::Transport(error) => error.fmt(f),
            Self::Timeout => f.write_str("connecting took too long"),
            Self::Disconnected(reason) => {
                write!(f, "the connection ended before it was established: {reason}")
            }
            Self::UnsupportedServer => {
                f.write_str("the server speaks the protocol of Socket.IO 2, which is not compatible")
            }
            Self::Auth(error) => write!(f, "the auth data could not be made: {error}"),
            Self::Closed => f.write_str("the client was closed"),
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Transport(error) => error.source(),
            Self::Auth(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<BuildError> for ConnectError {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

/// What a server said when it refused a namespace.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub(crate) message: ByteString,
    pub(crate) data: Option<Arc<RawValue>>,
}

impl Refusal {
    /// The message of the error, such as `Invalid namespace`.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The details that the server added, deserialized; nothing like `null`.
    ///
    /// # Errors
    /// When they are of another type.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.data.as_ref().map_or("null", |data| data.get()))
    }
}

/// Why a transport failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TransportError {
    /// The server could not be reached: its name, its address, the proxy or TLS.
    Connect(Arc<sockeye_tokio_websocket::Error>),
    /// The WebSocket could not be opened, or failed.
    WebSocket(Arc<sockeye_tokio_websocket::Error>),
    /// An HTTP request failed.
    Http(Arc<hyper::Error>),
    /// The server answered an HTTP request with an error, or a redirection, which is not followed.
    Status {
        /// The HTTP status.
        status: u16,
        /// The beginning of the body. From an Engine.IO server it is JSON with `code` and `message`.
        body: String,
    },
    /// The server's answer is longer than [`Config::max_payload_len`](crate::Config::max_payload_len), this.
    TooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// An HTTP request took longer than [`Config::request_timeout`](crate::Config::request_timeout).
    RequestTimeout,
    /// The server sent what is no Engine.IO packet.
    Packet(DecodeError),
    /// The server closed the connection before the session was open, or opened none.
    NotOpened,
    /// The client has no transport to try.
    NoTransport,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "cannot reach the server: {error}"),
            Self::WebSocket(error) => write!(f, "the WebSocket failed: {error}"),
            Self::Http(error) => write!(f, "an HTTP request failed: {error}"),
            Self::Status { status, body } => write!(f, "the server answered with status {status}: {body}"),
            Self::TooLarge { max } => write!(f, "the server's answer is longer than {max} bytes"),
            Self::RequestTimeout => f.write_str("an HTTP request took too long"),
            Self::Packet(error) => write!(f, "the server sent what is no packet: {error}"),
            Self::NotOpened => f.write_str("the server opened no session"),
            Self::NoTransport => f.write_str("there is no transport to try"),
        }
    }
}

impl Error for TransportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connect(error) | Self::WebSocket(error) => Some(&**error),
            Self::Http(error) => Some(&**error),
            Self::Packet(error) => Some(error),
            _ => None,
        }
    }
}

/// Why an event was not sent, and will not be.
#[derive(Debug)]
#[non_exhaustive]
pub enum EmitError {
    /// The event or its arguments cannot be encoded.
    Encode(EncodeError),
    /// Too much waits to be sent: see [`Config::max_buffer_count`](crate::Config::max_buffer_count) and
    /// [`Config::max_buffer_len`](crate::Config::max_buffer_len).
    BufferFull,
    /// The client was closed, and all its handles are gone.
    Closed,
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(error) => write!(f, "cannot encode the event: {error}"),
            Self::BufferFull => f.write_str("too many events wait to be sent"),
            Self::Closed => f.write_str("the client is closed"),
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
    /// The server did not answer in time. An event that still waited to be sent is not sent any more.
    Timeout,
    /// The socket disconnected after the event was sent and before it was answered; or the event was volatile, and the
    /// socket not connected.
    Disconnected,
    /// The event made room for later ones while the socket was not connected, see
    /// [`BufferPolicy::DropOldest`](crate::BufferPolicy::DropOldest).
    Dropped,
    /// The answer is not of the expected type.
    InvalidAnswer(ArgsError),
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Emit(error) => fmt::Display::fmt(error, f),
            Self::Timeout => f.write_str("the server did not acknowledge in time"),
            Self::Disconnected => f.write_str("the socket disconnected before the server acknowledged"),
            Self::Dropped => f.write_str("the event was dropped to make room for later ones"),
            Self::InvalidAnswer(error) => write!(f, "unexpected acknowledgement: {error}"),
        }
    }
}

impl Error for AckError {}
