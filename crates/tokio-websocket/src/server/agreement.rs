//! What client and server agree on, and the HTTP that tells it: the same for every way to a connection.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use sockeye_websocket::{
    deflate,
    handshake::{HandshakeError, server::UpgradeRequest},
};

use super::Acceptor;
use crate::Options;

/// Enough for an answer without fields of the caller.
const ACCEPTED_LEN: usize = 256;

/// What the client offered, and what is chosen from it.
#[derive(Debug)]
pub(crate) struct Agreement {
    upgrade: UpgradeRequest,
    subprotocol: Option<String>,
    deflate: Option<deflate::Agreement>,
    headers: HeaderMap,
}

impl Agreement {
    pub(crate) fn new(upgrade: UpgradeRequest, acceptor: &Acceptor) -> Self {
        let mut this = Self { upgrade, subprotocol: None, deflate: None, headers: HeaderMap::new() };
        this.choose_subprotocol(&acceptor.0.subprotocols);
        this.choose_deflate(&acceptor.0.options);
        this
    }

    /// Takes the first offer of permessage-deflate that suits, if it is wanted.
    pub(crate) fn choose_deflate(&mut self, options: &Options) {
        let config = options.deflate.as_ref();
        self.deflate =
            config.and_then(|config| deflate::Agreement::from_offers(self.upgrade.extensions(), config));
    }

    /// What was agreed of permessage-deflate.
    pub(crate) fn deflate(&self) -> Option<deflate::Params> {
        self.deflate.as_ref().map(|agreement| agreement.params)
    }

    /// Chooses the first offered subprotocol that is one of `spoken`.
    pub(crate) fn choose_subprotocol<T: AsRef<str>>(&mut self, spoken: &[T]) {
        let mut offered = self.upgrade.subprotocols();
        let chosen = offered.find(|offered| spoken.iter().any(|name| name.as_ref() == *offered));
        self.subprotocol = chosen.map(Into::into);
    }

    pub(crate) fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    pub(crate) fn offered_subprotocols(&self) -> impl Iterator<Item = &str> {
        self.upgrade.subprotocols()
    }

    pub(crate) fn append_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.append(name, value);
    }

    /// The answer that opens the connection as HTTP/1.1 bytes (RFC 6455 §4.2.2).
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut output = Vec::with_capacity(ACCEPTED_LEN);
        let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| output.extend_from_slice(part));
        put(&[
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
            self.upgrade.accept().as_bytes(),
            b"\r\n",
        ]);
        if let Some(deflate) = &self.deflate {
            put(&[b"Sec-WebSocket-Extensions: ", deflate.to_string().as_bytes(), b"\r\n"]);
        }
        if let Some(name) = &self.subprotocol {
            put(&[b"Sec-WebSocket-Protocol: ", name.as_bytes(), b"\r\n"]);
        }
        for (name, value) in self.headers.iter().filter(|(name, _)| !is_own(name)) {
            encode_field(name, value, &mut output);
        }
        output.extend_from_slice(b"\r\n");
        output
    }

    /// The same for a service of HTTP: 101 (RFC 6455 §4.2.2), or 200 to an extended CONNECT (RFC 8441 §5).
    #[cfg(feature = "hyper")]
    pub(crate) fn into_response<B: Default>(self, status: StatusCode) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        *headers = self.headers;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, value(self.upgrade.accept()));
        }
        if let Some(deflate) = &self.deflate {
            headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, value(&deflate.to_string()));
        }
        if let Some(name) = &self.subprotocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value(name));
        }
        response
    }
}

/// The value of a field that is made of tokens, or base64.
#[cfg(feature = "hyper")]
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("tokens and base64 are header values")
}

/// The answer to a request that failed with `error`: its status, its text, and what would be accepted.
pub(crate) fn rejection(error: &HandshakeError) -> Response<String> {
    let mut response = Response::new(format!("{error}\n"));
    *response.status_mut() = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    match error {
        // §4.4, and RFC 9110 §15.5.22: the answer tells what would be accepted.
        HandshakeError::UnsupportedVersion => {
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        HandshakeError::UpgradeMissing | HandshakeError::ConnectionMissing => {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            // RFC 9110 §7.8: "A sender of Upgrade MUST also send an "Upgrade" connection option". hyper removes both
            // where HTTP/2 has no room for them.
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        }
        HandshakeError::MethodNotGet => {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
        }
        _ => {}
    }
    response
}

/// A request for a WebSocket has no content: what follows its head would be taken for frames.
pub(crate) fn check_no_content<'h>(
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
) -> Result<(), HandshakeError> {
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("content-length") && value != b"0" {
            return Err(HandshakeError::InvalidHeader("Content-Length"));
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(HandshakeError::InvalidHeader("Transfer-Encoding"));
        }
    }
    Ok(())
}

/// The head of `response`, which ends the connection, as HTTP/1.1 bytes.
pub(super) fn encode_head<T>(response: &Response<T>, content_len: usize) -> Vec<u8> {
    let status = response.status();
    let mut output =
        format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default())
            .into_bytes();
    for (name, value) in response.headers() {
        if name != header::CONTENT_LENGTH && name != header::CONNECTION {
            encode_field(name, value, &mut output);
        }
    }
    let connection =
        if response.headers().contains_key(header::UPGRADE) { "close, Upgrade" } else { "close" };
    let end = format!("Connection: {connection}\r\nContent-Length: {content_len}\r\n\r\n");
    output.extend_from_slice(end.as_bytes());
    output
}

/// The fields that the handshake itself writes.
fn is_own(name: &HeaderName) -> bool {
    let own = [
        header::UPGRADE,
        header::CONNECTION,
        header::SEC_WEBSOCKET_ACCEPT,
        header::SEC_WEBSOCKET_EXTENSIONS,
        header::SEC_WEBSOCKET_PROTOCOL,
    ];
    own.contains(name)
}

fn encode_field(name: &HeaderName, value: &HeaderValue, output: &mut Vec<u8>) {
    encode_name(name.as_str(), output);
    output.extend_from_slice(b": ");
    output.extend_from_slice(value.as_bytes());
    output.extend_from_slice(b"\r\n");
}

/// Names have no case in HTTP, but there are clients of WebSockets which look for the spelling of RFC 6455.
fn encode_name(name: &str, output: &mut Vec<u8>) {
    for (i, word) in name.split('-').enumerate() {
        if i > 0 {
            output.push(b'-');
        }
        match word.as_bytes() {
            b"websocket" => output.extend_from_slice(b"WebSocket"),
            [first, rest @ ..] => {
                output.push(first.to_ascii_uppercase());
                output.extend_from_slice(rest);
            }
            [] => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_is_encoded_with_its_length_and_the_end_of_the_connection() {
        let response = Response::builder()
            .status(429)
            .header("x--odd-", "a\tb")
            .header("set-cookie", "a=b")
            .header("set-cookie", "c=d")
            .header("content-length", "7")
            .header("connection", "keep-alive")
            .body(())
            .unwrap();
        assert_eq!(
            String::from_utf8(encode_head(&response, 3)).unwrap(),
            "HTTP/1.1 429 Too Many Requests\r\nX--Odd-: a\tb\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\
             Connection: close\r\nContent-Length: 3\r\n\r\n"
        );
    }

    #[test]
    fn request_with_content_is_rejected() {
        let check = |name, value: &'static str| check_no_content([(name, value.as_bytes())]);
        assert_eq!(check("Content-Length", "0"), Ok(()));
        assert_eq!(check("X-Content-Length", "5"), Ok(()));
        for value in ["5", "", "00", "0, 5", "-0"] {
            let error = Err(HandshakeError::InvalidHeader("Content-Length"));
            assert_eq!(check("content-length", value), error, "{value:?}");
        }
        let error = Err(HandshakeError::InvalidHeader("Transfer-Encoding"));
        assert_eq!(check("Transfer-Encoding", "chunked"), error);
    }
}
