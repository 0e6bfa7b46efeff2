//! What can go wrong with a connection, by blame.

use http::StatusCode;
use sockeye_websocket::{ProtocolError, SendError, handshake::HandshakeError};
use std::{fmt, io};

use crate::{ProxyError, Refusal};

/// Why an operation on a WebSocket failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke the protocol or a limit. It was told by a Close frame with the error's code.
    Protocol(ProtocolError),
    /// The caller asked for what must not be sent.
    Send(SendError),
    /// The opening handshake failed.
    Handshake(HandshakeError),
    /// This server refused the request with this status.
    Rejected(StatusCode),
    /// The opening handshake took longer than its deadline.
    HandshakeTimeout,
    /// The peer did not finish the closing handshake before its deadline.
    CloseTimeout,
    /// The peer did not answer a Ping in time, see [`Keepalive`](crate::Keepalive).
    KeepaliveTimeout,
    /// No message went in either direction for too long, see [`Options::idle_timeout`](crate::Options::idle_timeout).
    IdleTimeout,
    /// The server answered the opening handshake with a status that is neither 101 nor a redirection.
    Refused(Box<Refusal>),
    /// The URL is not one that can be connected to.
    Url(&'static str),
    /// A header field given to [`Connector::header`](crate::Connector::header) cannot be sent.
    InvalidHeader {
        /// The field's name as it was given.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A subprotocol given to [`Connector::subprotocol`](crate::Connector::subprotocol) is not a token (RFC 9110
    /// §5.6.2), or was given twice.
    InvalidSubprotocol(String),
    /// The proxy did not lead to the server.
    Proxy(ProxyError),
    /// The TLS handshake with the server failed, such as for a certificate that is not trusted, or has another name or
    /// is expired. With rustls, the I/O error's [`get_ref`](io::Error::get_ref) is a `rustls::Error` that tells.
    Tls(io::Error),
    /// The transport failed.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => write!(f, "protocol error of the peer: {error}"),
            Self::Send(error) => write!(f, "cannot send: {error}"),
            Self::Handshake(error) => write!(f, "opening handshake failed: {error}"),
            Self::Rejected(status) => write!(f, "the request was refused with status {status}"),
            Self::HandshakeTimeout => f.write_str("opening handshake timed out"),
            Self::CloseTimeout => f.write_str("the peer did not close in time"),
            Self::KeepaliveTimeout => f.write_str("the peer did not answer a ping in time"),
            Self::IdleTimeout => f.write_str("no message for too long"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Url(problem) => write!(f, "cannot connect to this URL: {problem}"),
            Self::InvalidHeader { name, problem } => {
                write!(f, "header field {name:?} cannot be sent: {problem}")
            }
            Self::InvalidSubprotocol(name) => {
                write!(f, "subprotocol {name:?} cannot be offered: it is not a token, or given twice")
            }
            Self::Proxy(error) => error.fmt(f),
            Self::Tls(error) => write!(f, "TLS with the server failed: {error}"),
            Self::Io(error) => write!(f, "transport failed: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Protocol(error) => Some(error),
            Self::Send(error) => Some(error),
            Self::Handshake(error) => Some(error),
            Self::Io(error) | Self::Tls(error) => Some(error),
            // Shown as they are, so what follows is their own source.
            Self::Proxy(error) => error.source(),
            Self::Refused(refusal) => refusal.source(),
            _ => None,
        }
    }
}

impl From<ProtocolError> for Error {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

impl From<HandshakeError> for Error {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ProxyError> for Error {
    fn from(error: ProxyError) -> Self {
        Self::Proxy(error)
    }
}
