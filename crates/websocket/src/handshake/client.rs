//! The client's side: request out, response in (RFC 6455 §4.1).

use alloc::{format, string::String, vec::Vec};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    HandshakeError, HeadLimits, accept_key,
    head::{HeadScanner, MAX_HEADER_COUNT, map_httparse},
    is_token, list,
};
use crate::deflate;

/// A request for a WebSocket.
///
/// ```
/// use sockeye_websocket::handshake::client::Request;
///
/// let request = Request::new("example.com:8080", "/chat", [7; 16]).subprotocol("chat");
/// let mut output = Vec::new();
/// request.encode(&mut output);
/// assert!(output.starts_with(b"GET /chat HTTP/1.1\r\nHost: example.com:8080\r\n"));
/// ```
#[derive(Debug, Clone)]
pub struct Request {
    host: String,
    target: String,
    key: String,
    subprotocols: Vec<String>,
    deflate: Option<deflate::Config>,
    headers: Vec<(String, String)>,
}

impl Request {
    /// A request to `host` (with the port, if it is not the default one) for `target` (path and query). `nonce` is
    /// 16 random bytes, fresh for every connection.
    ///
    /// # Panics
    /// When `host` or `target` contains a space or a control character.
    pub fn new(host: &str, target: &str, nonce: [u8; 16]) -> Self {
        for part in [host, target] {
            assert!(!part.bytes().any(|b| b <= b' ' || b == 0x7F), "space or control character in {part:?}");
        }
        Self {
            host: host.into(),
            target: if target.is_empty() { "/".into() } else { target.into() },
            key: STANDARD.encode(nonce),
            subprotocols: Vec::new(),
            deflate: None,
            headers: Vec::new(),
        }
    }

    /// Offers a subprotocol; the most wanted comes first.
    ///
    /// # Panics
    /// When `name` is not a token (RFC 9110 §5.6.2).
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Self {
        assert!(is_token(name), "subprotocol {name:?} is not a token");
        self.subprotocols.push(name.into());
        self
    }

    /// Offers to compress messages (RFC 7692) as `config` wants it. What the server made of it is in
    /// [`Response::deflate`].
    ///
    /// ```
    /// use sockeye_websocket::{deflate, handshake::client::Request};
    ///
    /// let request = Request::new("example.com", "/", [7; 16]).deflate(deflate::Config::default());
    /// let mut output = Vec::new();
    /// request.encode(&mut output);
    /// let head = String::from_utf8(output)?;
    /// assert!(head.contains("\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover;"));
    /// # Ok::<(), std::string::FromUtf8Error>(())
    /// ```
    #[must_use]
    pub const fn deflate(mut self, config: deflate::Config) -> Self {
        self.deflate = Some(config);
        self
    }

    /// Adds a header field, such as `Origin`, `Authorization` or `Cookie`.
    ///
    /// # Panics
    /// When `name` is not a token or `value` contains a control character.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        assert!(is_token(name), "header name {name:?} is not a token");
        assert!(!value.bytes().any(|b| b.is_ascii_control() && b != b'\t'), "control character in {value:?}");
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Appends the request to `output`.
    pub fn encode(&self, output: &mut Vec<u8>) {
        let Self { host, target, key, .. } = self;
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        );
        output.extend_from_slice(head.as_bytes());
        if !self.subprotocols.is_empty() {
            let line = format!("Sec-WebSocket-Protocol: {}\r\n", self.subprotocols.join(", "));
            output.extend_from_slice(line.as_bytes());
        }
        if let Some(config) = &self.deflate {
            let line = format!("Sec-WebSocket-Extensions: {}\r\n", config.offer());
            output.extend_from_slice(line.as_bytes());
        }
        for (name, value) in &self.headers {
            output.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        output.extend_from_slice(b"\r\n");
    }
}

/// A server's answer that opened the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The subprotocol that the server chose from the offered ones.
    pub subprotocol: Option<String>,
    /// What was agreed about compression, if it was offered and the server accepted.
    pub deflate: Option<deflate::Params>,
    /// All header fields, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Reads a response as its bytes arrive.
#[derive(Debug, Clone, Default)]
pub struct ResponseDecoder {
    limits: HeadLimits,
    scanner: HeadScanner,
}

impl ResponseDecoder {
    /// A decoder with other limits than the default.
    pub fn new(limits: HeadLimits) -> Self {
        Self { limits, scanner: HeadScanner::default() }
    }

    /// Reads the answer to `request` at the start of `input`, all that has arrived so far: the response and its
    /// length in bytes, or `None` when it is incomplete. What follows belongs to the connection.
    ///
    /// # Errors
    /// Anything that does not open the connection (§4.1, the client's requirements on the response).
    pub fn decode(
        &mut self,
        request: &Request,
        input: &[u8],
    ) -> Result<Option<(Response, usize)>, HandshakeError> {
        let Some(head_len) = self.scanner.scan(input, &self.limits)? else { return Ok(None) };
        let mut fields = [httparse::EMPTY_HEADER; MAX_HEADER_COUNT];
        let count = self.limits.max_header_count.min(MAX_HEADER_COUNT);
        let mut response = httparse::Response::new(&mut fields[..count]);
        match response.parse(&input[..head_len]) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(HandshakeError::MalformedHttp),
            Err(error) => return Err(map_httparse(error, &self.limits)),
        }
        let (subprotocol, deflate) = check(request, &response)?;
        let headers = response.headers.iter().map(|field| (field.name.into(), field.value.into())).collect();
        Ok(Some((Response { subprotocol, deflate, headers }, head_len)))
    }
}

fn check(
    request: &Request,
    response: &httparse::Response<'_, '_>,
) -> Result<(Option<String>, Option<deflate::Params>), HandshakeError> {
    let values = |name: &'static str| {
        response
            .headers
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    };
    let text = |value| core::str::from_utf8(value).map_err(|_| HandshakeError::MalformedHttp);
    match response.code.unwrap_or_default() {
        101 => {}
        status @ 300..=399 => {
            let location = values("location").next().map(|value| String::from_utf8_lossy(value).into_owned());
            return Err(HandshakeError::Redirect { status, location });
        }
        status => return Err(HandshakeError::Status(status)),
    }
    if response.version != Some(1) {
        return Err(HandshakeError::HttpVersion);
    }
    let mut upgrade = false;
    for value in values("upgrade") {
        upgrade |= list(text(value)?).any(|protocol| protocol.eq_ignore_ascii_case("websocket"));
    }
    if !upgrade {
        return Err(HandshakeError::UpgradeMissing);
    }
    let mut connection = false;
    for value in values("connection") {
        connection |= list(text(value)?).any(|option| option.eq_ignore_ascii_case("upgrade"));
    }
    if !connection {
        return Err(HandshakeError::ConnectionMissing);
    }
    let mut accepts = values("sec-websocket-accept");
    match (accepts.next(), accepts.next()) {
        (Some(accept), None) if accept == accept_key(request.key.as_bytes()).as_bytes() => {}
        _ => return Err(HandshakeError::AcceptMismatch),
    }
    let extensions: Vec<_> = values("sec-websocket-extensions").map(text).collect::<Result<_, _>>()?;
    let deflate = match &request.deflate {
        Some(config) => deflate::Params::from_response(extensions, config)?,
        None => match extensions.first() {
            None => None,
            // §4.1: an extension "that was not present in the client's handshake" fails the connection.
            Some(extension) => return Err(HandshakeError::UnofferedExtension((*extension).into())),
        },
    };
    let mut protocols = values("sec-websocket-protocol");
    let Some(protocol) = protocols.next() else { return Ok((None, deflate)) };
    let protocol = text(protocol)?;
    if protocols.next().is_some() {
        return Err(HandshakeError::InvalidHeader("Sec-WebSocket-Protocol"));
    }
    if !request.subprotocols.iter().any(|offered| offered == protocol) {
        return Err(HandshakeError::UnofferedSubprotocol(protocol.into()));
    }
    Ok((Some(protocol.into()), deflate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{deflate::ResponseError, handshake::server};

    fn request() -> Request {
        Request::new("example.com", "/chat", [1; 16]).subprotocol("chat").subprotocol("v2.chat")
    }

    fn good() -> String {
        let mut bytes = Vec::new();
        request().encode(&mut bytes);
        let mut decoder = server::RequestDecoder::default();
        let (received, _) = decoder.decode(&bytes).unwrap().unwrap();
        let mut output = Vec::new();
        server::Response::accept(received.upgrade()).subprotocol("v2.chat").encode(&mut output);
        String::from_utf8(output).unwrap()
    }

    fn error(response: &str) -> HandshakeError {
        ResponseDecoder::default().decode(&request(), response.as_bytes()).unwrap_err()
    }

    #[test]
    fn good_response_is_read_at_once_and_byte_by_byte() {
        let response = good();
        let mut decoder = ResponseDecoder::default();
        for end in 0..response.len() {
            assert_eq!(decoder.decode(&request(), &response.as_bytes()[..end]), Ok(None));
        }
        let with_frame = [response.as_bytes(), b"\x81\x00"].concat();
        let (decoded, len) = decoder.decode(&request(), &with_frame).unwrap().unwrap();
        assert_eq!(len, response.len());
        assert_eq!(decoded.subprotocol.as_deref(), Some("v2.chat"));
    }

    #[test]
    fn each_broken_requirement_has_its_error() {
        let good = good();
        let accept = good.lines().find(|line| line.contains("Accept")).unwrap();
        let cases = [
            ("101 Switching Protocols", "200 OK", HandshakeError::Status(200)),
            ("Upgrade: websocket", "Upgrade: h2c", HandshakeError::UpgradeMissing),
            ("Connection: Upgrade", "Connection: close", HandshakeError::ConnectionMissing),
            (accept, "Sec-WebSocket-Accept: AAAA", HandshakeError::AcceptMismatch),
            (accept, "X: y", HandshakeError::AcceptMismatch),
            ("v2.chat", "v3.chat", HandshakeError::UnofferedSubprotocol("v3.chat".into())),
            (
                "\r\n\r\n",
                "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
                HandshakeError::UnofferedExtension("permessage-deflate".into()),
            ),
            (
                "101 Switching Protocols\r\n",
                "302 Found\r\nLocation: ws://b/\r\n",
                HandshakeError::Redirect { status: 302, location: Some("ws://b/".into()) },
            ),
            ("HTTP/1.1", "HTTQ/1.1", HandshakeError::HttpVersion),
        ];
        for (from, to, expected) in cases {
            assert_eq!(error(&good.replace(from, to)), expected, "{from} -> {to}");
        }
    }

    /// The answer to `request()` with an offer, with `extensions` as further header fields.
    fn answered(
        config: deflate::Config,
        extensions: &str,
    ) -> Result<Option<deflate::Params>, HandshakeError> {
        let response = good().replace("\r\n\r\n", &format!("\r\n{extensions}\r\n"));
        let request = request().deflate(config);
        let decoded = ResponseDecoder::default().decode(&request, response.as_bytes())?;
        Ok(decoded.and_then(|(response, _)| response.deflate))
    }

    #[test]
    fn compression_is_agreed_between_both_roles() {
        let config = deflate::Config { own_context_takeover: true, ..deflate::Config::default() };
        let mut bytes = Vec::new();
        request().deflate(config).encode(&mut bytes);
        let (received, _) = server::RequestDecoder::default().decode(&bytes).unwrap().unwrap();
        let agreement =
            deflate::Agreement::from_offers(received.upgrade().extensions(), &deflate::Config::default())
                .unwrap();
        let mut output = Vec::new();
        server::Response::accept(received.upgrade())
            .subprotocol("chat")
            .deflate(&agreement)
            .encode(&mut output);
        let request = request().deflate(config);
        let (response, _) = ResponseDecoder::default().decode(&request, &output).unwrap().unwrap();
        let expected = deflate::Params {
            own_context_takeover: false,
            peer_context_takeover: false,
            own_window_bits: 15,
            peer_window_bits: 15,
        };
        assert_eq!(response.deflate, Some(expected));
        assert_eq!(agreement.params, expected);
    }

    #[test]
    fn declined_compression_leaves_the_connection_uncompressed() {
        assert_eq!(answered(deflate::Config::default(), ""), Ok(None));
    }

    #[test]
    fn answer_about_compression_that_was_not_offered_like_that_fails_the_handshake() {
        let config = deflate::Config::default();
        let cases = [
            ("x-other", HandshakeError::UnofferedExtension("x-other".into())),
            ("permessage-deflate", HandshakeError::Deflate(ResponseError::ServerContextTakeover)),
            (
                "permessage-deflate; server_no_context_takeover\r\nSec-WebSocket-Extensions: permessage-deflate; \
                 server_no_context_takeover",
                HandshakeError::Deflate(ResponseError::RepeatedExtension),
            ),
        ];
        for (value, error) in cases {
            assert_eq!(
                answered(config, &format!("Sec-WebSocket-Extensions: {value}\r\n")),
                Err(error),
                "{value}"
            );
        }
        let not_utf8 = [good().trim_end().as_bytes(), b"\r\nSec-WebSocket-Extensions: \xFF\r\n\r\n"].concat();
        let error = ResponseDecoder::default().decode(&request().deflate(config), &not_utf8).unwrap_err();
        assert_eq!(error, HandshakeError::MalformedHttp);
    }

    #[test]
    #[should_panic(expected = "space or control character")]
    fn target_with_a_line_break_is_refused() {
        let _ = Request::new("example.com", "/a\r\nX: y", [0; 16]);
    }
}
