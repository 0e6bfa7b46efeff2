//! The opening handshake (RFC 6455 §4) of both roles, as bytes.
//!
//! [`server`] reads a request and writes the response, [`client`] the other way round. Both read HTTP incrementally:
//! bytes that were searched for the end of the head are not searched again, and the head is parsed once, so that a
//! peer which sends one byte at a time costs linear time. The head is limited in bytes and in header fields.

pub mod client;
mod head;
pub mod server;

use alloc::string::String;
use base64::{Engine, engine::general_purpose::STANDARD};
use core::fmt;
use sha1::{Digest, Sha1};

use crate::deflate::ResponseError;
pub use head::HeadLimits;

/// Appended to the key before hashing (§1.3).
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The `Sec-WebSocket-Accept` that answers `key` (§4.2.2): base64 of the SHA-1 of the key and a fixed GUID.
///
/// ```
/// use sockeye_websocket::handshake::accept_key;
/// assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
pub fn accept_key(key: &[u8]) -> String {
    let mut sha1 = Sha1::new();
    sha1.update(key);
    sha1.update(ACCEPT_GUID);
    STANDARD.encode(sha1.finalize())
}

/// Why an opening handshake failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Not HTTP, or a header field that is not allowed to look like that.
    MalformedHttp,
    /// The head is above [`HeadLimits::max_len`].
    HeadTooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// More header fields than [`HeadLimits::max_header_count`].
    TooManyHeaders {
        /// The limit.
        max: usize,
    },
    /// The method is not GET (§4.1).
    MethodNotGet,
    /// The HTTP version is below 1.1 (§4.1).
    HttpVersion,
    /// `Upgrade: websocket` is missing.
    UpgradeMissing,
    /// `Connection: Upgrade` is missing.
    ConnectionMissing,
    /// `Sec-WebSocket-Version` is not 13 (§4.4).
    UnsupportedVersion,
    /// `Sec-WebSocket-Key` is missing, given twice, or not the base64 of 16 bytes.
    InvalidKey,
    /// A header field that may appear once appears twice, or holds something else than the grammar allows.
    InvalidHeader(&'static str),
    /// The page that asks is not of an origin that the server accepts (§10.2).
    OriginNotAllowed,
    /// The `:protocol` of an extended CONNECT is not `websocket` (RFC 8441 §4).
    UnknownProtocol,
    /// The server answered with another status than 101.
    Status(u16),
    /// The server answered with a redirection, which a WebSocket client does not follow by itself.
    Redirect {
        /// The status, 300-399.
        status: u16,
        /// Where to, if the server told.
        location: Option<String>,
    },
    /// `Sec-WebSocket-Accept` does not match the key.
    AcceptMismatch,
    /// The server chose a subprotocol that was not offered.
    UnofferedSubprotocol(String),
    /// The server chose an extension that was not offered.
    UnofferedExtension(String),
    /// The server's answer about permessage-deflate is not one to what was offered (RFC 7692 §7.1).
    Deflate(ResponseError),
    /// The transport ended during the handshake.
    UnexpectedEof,
}

impl HandshakeError {
    /// The status with which a server answers a request that failed with this error.
    pub const fn status(&self) -> u16 {
        match self {
            Self::MethodNotGet => 405,
            Self::UpgradeMissing | Self::ConnectionMissing | Self::UnsupportedVersion => 426,
            Self::HeadTooLong { .. } | Self::TooManyHeaders { .. } => 431,
            Self::OriginNotAllowed => 403,
            // RFC 9220 §3 asks for it, of HTTP/2 as well.
            Self::UnknownProtocol => 501,
            Self::HttpVersion => 505,
            _ => 400,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedHttp => f.write_str("malformed HTTP"),
            Self::HeadTooLong { max } => write!(f, "HTTP head of more than {max} bytes"),
            Self::TooManyHeaders { max } => write!(f, "more than {max} HTTP header fields"),
            Self::MethodNotGet => f.write_str("the method of a WebSocket request must be GET"),
            Self::HttpVersion => f.write_str("a WebSocket request needs HTTP/1.1"),
            Self::UpgradeMissing => f.write_str("header `Upgrade: websocket` is missing"),
            Self::ConnectionMissing => f.write_str("header `Connection: Upgrade` is missing"),
            Self::UnsupportedVersion => f.write_str("header `Sec-WebSocket-Version` must be 13"),
            Self::InvalidKey => f.write_str("header `Sec-WebSocket-Key` must be the base64 of 16 bytes"),
            Self::InvalidHeader(name) => write!(f, "invalid header `{name}`"),
            Self::OriginNotAllowed => f.write_str("origin not allowed"),
            Self::UnknownProtocol => f.write_str("`:protocol` must be `websocket`"),
            Self::Status(status) => write!(f, "the server answered with status {status} instead of 101"),
            Self::Redirect { status, location: Some(location) } => {
                write!(f, "the server redirects to {location} (status {status}); connect there instead")
            }
            Self::Redirect { status, location: None } => write!(f, "the server redirects (status {status})"),
            Self::AcceptMismatch => f.write_str("`Sec-WebSocket-Accept` does not match the key"),
            Self::UnofferedSubprotocol(name) => {
                write!(f, "the server chose subprotocol {name:?}, not offered")
            }
            Self::UnofferedExtension(name) => write!(f, "the server chose extension {name:?}, not offered"),
            Self::Deflate(error) => write!(f, "the server's answer about permessage-deflate: {error}"),
            Self::UnexpectedEof => f.write_str("the connection ended during the handshake"),
        }
    }
}

impl core::error::Error for HandshakeError {}

/// The elements of a comma-separated header value, trimmed; empty ones are skipped (RFC 9110 §5.6.1).
pub(crate) fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(|element| element.trim_matches([' ', '\t'])).filter(|element| !element.is_empty())
}

/// Whether `name` is a token (RFC 9110 §5.6.2), as names of subprotocols and extensions must be.
pub(crate) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
