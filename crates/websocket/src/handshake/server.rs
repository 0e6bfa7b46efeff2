//! The server's side: request in, response out (RFC 6455 §4.2).
//!
//! ```
//! use sockeye_websocket::handshake::server::{RequestDecoder, Response};
//!
//! let request = b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//!     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
//!     Sec-WebSocket-Protocol: chat, superchat\r\n\r\n";
//! let mut decoder = RequestDecoder::default();
//! let (request, len) = decoder.decode(request)?.expect("the head is complete");
//! assert_eq!(request.target(), "/chat");
//!
//! let mut output = Vec::new();
//! Response::accept(request.upgrade()).subprotocol("superchat").encode(&mut output);
//! assert!(output.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
//! # let _ = len;
//! # Ok::<(), sockeye_websocket::handshake::HandshakeError>(())
//! ```

use alloc::{format, string::String, vec::Vec};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    HandshakeError, HeadLimits, accept_key,
    head::{HeadScanner, MAX_HEADER_COUNT, map_httparse},
    is_token, list,
};
use crate::deflate;

/// What of a request's header fields concerns the upgrade. It can be gathered from the fields of any HTTP
/// implementation, or comes from [`RequestDecoder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeRequest {
    accept: String,
    subprotocols: Vec<String>,
    extensions: Vec<String>,
}

impl UpgradeRequest {
    /// Judges the header fields of a GET request. Names are compared without regard to case.
    ///
    /// # Errors
    /// What §4.2.1 requires and the fields do not give; the first one found in the order of that section.
    pub fn from_headers<'h>(
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Result<Self, HandshakeError> {
        Self::judge(headers, false)
    }

    /// Judges the header fields of an extended CONNECT whose `:protocol` is `websocket` (RFC 8441 §5). It has no key,
    /// so [`accept`](Self::accept) is empty, and neither `Upgrade` nor `Connection`.
    ///
    /// # Errors
    /// As [`from_headers`](Self::from_headers).
    pub fn from_connect_headers<'h>(
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Result<Self, HandshakeError> {
        Self::judge(headers, true)
    }

    fn judge<'h>(
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        connect: bool,
    ) -> Result<Self, HandshakeError> {
        let mut upgrade = connect;
        let mut connection = connect;
        let mut key = None;
        let mut version = None;
        let mut subprotocols = Vec::new();
        let mut extensions = Vec::new();
        for (name, value) in headers {
            let text = || core::str::from_utf8(value).map_err(|_| HandshakeError::MalformedHttp);
            if name.eq_ignore_ascii_case("upgrade") {
                upgrade |= list(text()?).any(|protocol| protocol.eq_ignore_ascii_case("websocket"));
            } else if name.eq_ignore_ascii_case("connection") {
                connection |= list(text()?).any(|option| option.eq_ignore_ascii_case("upgrade"));
            } else if name.eq_ignore_ascii_case("sec-websocket-key") {
                // §11.3.1: "MUST NOT appear more than once in an HTTP request."
                if key.replace(value).is_some() {
                    return Err(HandshakeError::InvalidKey);
                }
            } else if name.eq_ignore_ascii_case("sec-websocket-version") {
                if version.replace(value).is_some() {
                    return Err(HandshakeError::UnsupportedVersion);
                }
            } else if name.eq_ignore_ascii_case("sec-websocket-protocol") {
                for protocol in list(text()?) {
                    if !is_token(protocol) {
                        return Err(HandshakeError::InvalidHeader("Sec-WebSocket-Protocol"));
                    }
                    subprotocols.push(protocol.into());
                }
            } else if name.eq_ignore_ascii_case("sec-websocket-extensions") {
                extensions.push(text()?.into());
            }
        }
        if !upgrade {
            return Err(HandshakeError::UpgradeMissing);
        }
        if !connection {
            return Err(HandshakeError::ConnectionMissing);
        }
        // §4.2.1: "a base64-encoded value that, when decoded, is 16 bytes in length."
        let accept = match key {
            // RFC 8441 §5: `:protocol` supersedes the key and its answer.
            _ if connect => String::new(),
            Some(key) if STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16) => accept_key(key),
            _ => return Err(HandshakeError::InvalidKey),
        };
        if version != Some(b"13") {
            return Err(HandshakeError::UnsupportedVersion);
        }
        Ok(Self { accept, subprotocols, extensions })
    }

    /// The value of `Sec-WebSocket-Accept` that answers this request.
    pub fn accept(&self) -> &str {
        &self.accept
    }

    /// The subprotocols that the client offers, in its order of preference.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.subprotocols.iter().map(String::as_str)
    }

    /// The values of `Sec-WebSocket-Extensions`, one per header field: what
    /// [`deflate::Agreement::from_offers`] chooses from.
    pub fn extensions(&self) -> impl Iterator<Item = &str> {
        self.extensions.iter().map(String::as_str)
    }
}

/// A request for a WebSocket.
#[derive(Debug)]
pub struct Request<'b> {
    target: &'b str,
    headers: Vec<(&'b str, &'b [u8])>,
    upgrade: UpgradeRequest,
}

impl<'b> Request<'b> {
    /// The request target as it was sent: path and query.
    pub const fn target(&self) -> &'b str {
        self.target
    }

    /// What concerns the upgrade.
    pub const fn upgrade(&self) -> &UpgradeRequest {
        &self.upgrade
    }

    /// All header fields in the order in which they came.
    pub fn headers(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        self.headers.iter().copied()
    }

    /// The first header field called `name`, without regard to case.
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The origin of the script that asks, which browsers always tell and other clients need not (§10.2). A server
    /// whose users are recognised by cookies must check it, or any page can connect in the name of its visitors.
    pub fn origin(&self) -> Option<&'b [u8]> {
        self.header("origin")
    }
}

/// Reads a request as its bytes arrive.
#[derive(Debug, Clone, Default)]
pub struct RequestDecoder {
    limits: HeadLimits,
    scanner: HeadScanner,
}

impl RequestDecoder {
    /// A decoder with other limits than the default.
    pub fn new(limits: HeadLimits) -> Self {
        Self { limits, scanner: HeadScanner::default() }
    }

    /// Reads the request at the start of `input`, all that has arrived so far: the request and its length in
    /// bytes, or `None` when it is incomplete.
    ///
    /// # Errors
    /// Anything that makes it no WebSocket request; [`Response::reject`] tells the client.
    pub fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Option<(Request<'b>, usize)>, HandshakeError> {
        let Some(head_len) = self.scanner.scan(input, &self.limits)? else { return Ok(None) };
        let mut fields = [httparse::EMPTY_HEADER; MAX_HEADER_COUNT];
        let count = self.limits.max_header_count.min(MAX_HEADER_COUNT);
        let mut request = httparse::Request::new(&mut fields[..count]);
        match request.parse(&input[..head_len]) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(HandshakeError::MalformedHttp),
            Err(error) => return Err(map_httparse(error, &self.limits)),
        }
        if request.method != Some("GET") {
            return Err(HandshakeError::MethodNotGet);
        }
        if request.version != Some(1) {
            return Err(HandshakeError::HttpVersion);
        }
        let headers: Vec<_> = request.headers.iter().map(|field| (field.name, field.value)).collect();
        let upgrade = UpgradeRequest::from_headers(headers.iter().copied())?;
        // RFC 9112 §3.2: a request without Host, or with two, is answered 400.
        if headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host")).count() != 1 {
            return Err(HandshakeError::InvalidHeader("Host"));
        }
        let target = request.path.unwrap_or_default();
        Ok(Some((Request { target, headers, upgrade }, head_len)))
    }
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Response {
    /// Accepts: 101 with the key's answer (§4.2.2).
    pub fn accept(request: &UpgradeRequest) -> Self {
        Self { status: 101, headers: Vec::new(), body: String::new() }
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Accept", request.accept())
    }

    /// Rejects what failed with `error`, with its status and its text as body.
    pub fn reject(error: &HandshakeError) -> Self {
        let response = Self::refuse(error.status(), &format!("{error}\n"));
        match error {
            // §4.4, and RFC 9110 §15.5.22: the answer tells what would be accepted.
            HandshakeError::UnsupportedVersion => response.header("Sec-WebSocket-Version", "13"),
            HandshakeError::UpgradeMissing | HandshakeError::ConnectionMissing => {
                response.header("Upgrade", "websocket")
            }
            HandshakeError::MethodNotGet => response.header("Allow", "GET"),
            _ => response,
        }
    }

    /// Refuses a request that is correct, with a status of the caller's choice (such as 403 for an origin).
    pub fn refuse(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
            .header("Connection", "close")
            .header("Content-Type", "text/plain; charset=utf-8")
            .header("Content-Length", &format!("{}", body.len()))
    }

    /// Adds a header field.
    ///
    /// # Panics
    /// When `name` is not a token or `value` contains a line break or another control character: it would let the
    /// caller's data write header fields of its own.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        assert!(is_token(name), "header name {name:?} is not a token");
        assert!(!value.bytes().any(|b| b.is_ascii_control() && b != b'\t'), "control character in {value:?}");
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Chooses a subprotocol; it should be one that the client offered.
    #[must_use]
    pub fn subprotocol(self, name: &str) -> Self {
        self.header("Sec-WebSocket-Protocol", name)
    }

    /// Accepts an offer to compress messages (RFC 7692).
    ///
    /// ```
    /// use sockeye_websocket::{deflate, handshake::server::{Response, UpgradeRequest}};
    ///
    /// # let headers = [
    /// #     ("upgrade", &b"websocket"[..]),
    /// #     ("connection", b"upgrade"),
    /// #     ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    /// #     ("sec-websocket-version", b"13"),
    /// #     ("sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
    /// # ];
    /// let request = UpgradeRequest::from_headers(headers)?;
    /// let agreement = deflate::Agreement::from_offers(request.extensions(), &deflate::Config::default());
    /// let mut response = Response::accept(&request);
    /// if let Some(agreement) = &agreement {
    ///     response = response.deflate(agreement);
    /// }
    /// # assert!(agreement.is_some());
    /// # Ok::<(), sockeye_websocket::handshake::HandshakeError>(())
    /// ```
    #[must_use]
    pub fn deflate(self, agreement: &deflate::Agreement) -> Self {
        self.header("Sec-WebSocket-Extensions", &format!("{agreement}"))
    }

    /// The status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Appends the response to `output`.
    pub fn encode(&self, output: &mut Vec<u8>) {
        output.extend_from_slice(format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status)).as_bytes());
        for (name, value) in &self.headers {
            output.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        output.extend_from_slice(b"\r\n");
        output.extend_from_slice(self.body.as_bytes());
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GET /chat?x=1 HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: WebSocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn error(request: &str) -> HandshakeError {
        RequestDecoder::default().decode(request.as_bytes()).unwrap_err()
    }

    #[test]
    fn good_request_is_read_at_once_and_byte_by_byte() {
        let mut decoder = RequestDecoder::default();
        for end in 0..GOOD.len() {
            assert!(decoder.decode(&GOOD.as_bytes()[..end]).unwrap().is_none());
        }
        let mut input = GOOD.as_bytes().to_vec();
        input.extend_from_slice(b"first frame");
        let (request, len) = decoder.decode(&input).unwrap().unwrap();
        assert_eq!(len, GOOD.len());
        assert_eq!(request.target(), "/chat?x=1");
        assert_eq!(request.origin(), Some(&b"http://example.com"[..]));
        assert_eq!(request.upgrade().accept(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(request.upgrade().subprotocols().collect::<Vec<_>>(), ["chat", "superchat"]);
    }

    #[test]
    fn each_missing_requirement_has_its_error_and_status() {
        let cases = [
            ("GET /chat", "POST /chat", HandshakeError::MethodNotGet, 405),
            ("HTTP/1.1", "HTTP/1.0", HandshakeError::HttpVersion, 505),
            ("Upgrade: WebSocket", "Upgrade: h2c", HandshakeError::UpgradeMissing, 426),
            ("keep-alive, Upgrade", "keep-alive", HandshakeError::ConnectionMissing, 426),
            ("Version: 13", "Version: 8", HandshakeError::UnsupportedVersion, 426),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==", HandshakeError::InvalidKey, 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "***", HandshakeError::InvalidKey, 400),
            ("Sec-WebSocket-Key", "X-Key", HandshakeError::InvalidKey, 400),
            ("chat, superchat", "cha t", HandshakeError::InvalidHeader("Sec-WebSocket-Protocol"), 400),
            ("Host", "X-Host", HandshakeError::InvalidHeader("Host"), 400),
            ("Origin: http", "Origin\u{0}: http", HandshakeError::MalformedHttp, 400),
        ];
        for (from, to, expected, status) in cases {
            let error = error(&GOOD.replace(from, to));
            assert_eq!(error, expected, "{from} -> {to}");
            assert_eq!(error.status(), status);
        }
    }

    #[test]
    fn key_given_twice_is_rejected() {
        let twice = GOOD.replace("Origin: http://example.com", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(error(&twice), HandshakeError::InvalidKey);
    }

    #[test]
    fn extended_connect_needs_the_version_and_no_key() {
        let version = ("sec-websocket-version", &b"13"[..]);
        let offered = ("sec-websocket-protocol", &b"chat, superchat"[..]);
        let request = UpgradeRequest::from_connect_headers([version, offered]).unwrap();
        assert_eq!(request.accept(), "");
        assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["chat", "superchat"]);
        for headers in [vec![], vec![("sec-websocket-version", &b"8"[..])], vec![version, version]] {
            let error = UpgradeRequest::from_connect_headers(headers).unwrap_err();
            assert_eq!(error, HandshakeError::UnsupportedVersion);
        }
    }

    #[test]
    fn thousands_of_headers_are_answered_431() {
        let many = GOOD.replace("\r\n\r\n", &format!("\r\n{}\r\n", "A: b\r\n".repeat(101)));
        assert_eq!(error(&many), HandshakeError::TooManyHeaders { max: 100 });
        assert_eq!(error(&many).status(), 431);
        let huge = GOOD.replace("\r\n\r\n", &format!("\r\nA: {}\r\n\r\n", "b".repeat(20_000)));
        assert_eq!(error(&huge), HandshakeError::HeadTooLong { max: 16 * 1024 });
    }

    #[test]
    fn long_runs_of_commas_and_spaces_are_linear_and_empty() {
        let run = GOOD.replace("chat, superchat", &", \t".repeat(5000));
        let mut decoder = RequestDecoder::default();
        let (request, _) = decoder.decode(run.as_bytes()).unwrap().unwrap();
        assert_eq!(request.upgrade().subprotocols().count(), 0);
    }

    #[test]
    fn rejection_tells_the_version_that_would_be_accepted() {
        let mut output = Vec::new();
        Response::reject(&HandshakeError::UnsupportedVersion).encode(&mut output);
        let text = String::from_utf8(output).unwrap();
        assert!(text.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{text}");
        assert!(text.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{text}");
    }

    #[test]
    #[should_panic(expected = "control character")]
    fn header_value_with_a_line_break_is_refused() {
        let _ = Response::refuse(403, "").header("X", "a\r\nSet-Cookie: b");
    }
}
