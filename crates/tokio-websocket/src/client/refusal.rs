//! A server's answer that is neither a WebSocket nor a redirection.

use http::StatusCode;
use std::fmt;

/// A server answered the request for a WebSocket with another status than 101: it wants credentials (401), forbids it
/// (403), has nothing there (404), is busy (503). Redirections are
/// [`HandshakeError::Redirect`](sockeye_websocket::handshake::HandshakeError::Redirect).
///
/// The body of the answer is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The status of the answer, 100-299 or 400-999, but not 101.
    pub status: u16,
    /// All header fields of the answer, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Refusal {
    /// The value of the first header field with this name, such as `WWW-Authenticate` or `Retry-After`. Case does
    /// not matter.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.headers.iter();
        fields.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server refused with status {}", WithReason(self.status))
    }
}

impl std::error::Error for Refusal {}

/// A status with the words that belong to it.
pub(super) struct WithReason(pub(super) u16);

impl fmt::Display for WithReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match StatusCode::from_u16(self.0).ok().and_then(|status| status.canonical_reason()) {
            Some(reason) => write!(f, "{} {reason}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}
