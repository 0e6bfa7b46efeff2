//! Connecting: the client's opening handshake (RFC 6455 §4.1).

use bytes::{Buf, BytesMut};
use http::Uri;
use sockeye_websocket::{
    Role,
    handshake::{
        HandshakeError, HeadLimits,
        client::{Request, Response, ResponseDecoder},
    },
};
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{Error, Options, WebSocket};

/// Connects to a `ws://` URL with the default [`Connector`].
///
/// ```no_run
/// # async fn run() -> Result<(), sockeye_tokio_websocket::Error> {
/// let mut socket = sockeye_tokio_websocket::connect("ws://127.0.0.1:8080/chat").await?;
/// socket.send("hello").await?;
/// let reply = socket.receive().await;
/// # let _ = reply;
/// # Ok(()) }
/// ```
///
/// # Errors
/// As [`Connector::connect`].
pub async fn connect(url: &str) -> Result<WebSocket<TcpStream>, Error> {
    Connector::new().connect(url).await.map(|(socket, _)| socket)
}

/// How a client connects.
#[derive(Debug, Clone, Default)]
pub struct Connector {
    options: Options,
    limits: HeadLimits,
    handshake_timeout: Option<Duration>,
    subprotocols: Vec<String>,
    headers: Vec<(String, String)>,
}

impl Connector {
    /// No subprotocol, no extra header fields, the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits and deadlines of the connection.
    #[must_use]
    pub const fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// How long resolving, connecting and the handshake may take together. Default 10 s.
    #[must_use]
    pub const fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = Some(timeout);
        self
    }

    /// Offers a subprotocol; the most wanted comes first.
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Adds a header field to the request, such as `Origin`, `Authorization` or `Cookie`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Connects to a `ws://` URL.
    ///
    /// # Errors
    /// When the URL is not one of `ws://`, the connection or the handshake fails, or both take too long. A
    /// redirection is an error that tells its target.
    ///
    /// # Panics
    /// When a subprotocol or header field given before is not one.
    pub async fn connect(&self, url: &str) -> Result<(WebSocket<TcpStream>, Response), Error> {
        let target = Target::parse(url)?;
        if target.tls {
            return Err(Error::Url(
                "wss:// needs TLS: connect a TLS stream and pass it to Connector::handshake",
            ));
        }
        self.bounded(async {
            let stream = TcpStream::connect((target.host.trim_matches(['[', ']']), target.port)).await?;
            stream.set_nodelay(true)?;
            self.shake_hands(stream, &target).await
        })
        .await
    }

    /// Opens a WebSocket to `url` on a transport that is connected already, such as a TLS stream.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Panics
    /// As [`connect`](Self::connect).
    pub async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        url: &str,
    ) -> Result<(WebSocket<S>, Response), Error> {
        let target = Target::parse(url)?;
        self.bounded(self.shake_hands(stream, &target)).await
    }

    async fn bounded<T>(&self, connecting: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let limit = self.handshake_timeout.unwrap_or(Duration::from_secs(10));
        timeout(limit, connecting).await.map_err(|_| Error::HandshakeTimeout)?
    }

    async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        target: &Target,
    ) -> Result<(WebSocket<S>, Response), Error> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(std::io::Error::other)?;
        let mut request = Request::new(&target.host_header(), &target.path_and_query, nonce);
        for name in &self.subprotocols {
            request = request.subprotocol(name);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut output = Vec::new();
        request.encode(&mut output);
        stream.write_all(&output).await?;
        stream.flush().await?;

        let mut decoder = ResponseDecoder::new(self.limits);
        let mut input = BytesMut::new();
        loop {
            input.reserve(1024);
            if stream.read_buf(&mut input).await? == 0 {
                return Err(HandshakeError::UnexpectedEof.into());
            }
            if let Some((response, len)) = decoder.decode(&request, &input)? {
                input.advance(len);
                let socket = WebSocket::from_handshaken(stream, Role::Client, &input, &self.options);
                return Ok((socket, response));
            }
        }
    }
}

/// Where a URL leads (§3).
#[derive(Debug)]
struct Target {
    tls: bool,
    host: String,
    port: u16,
    path_and_query: String,
}

impl Target {
    fn parse(url: &str) -> Result<Self, Error> {
        // §3: "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be used".
        if url.contains('#') {
            return Err(Error::Url("a WebSocket URL has no fragment"));
        }
        let uri: Uri = url.parse().map_err(|_| Error::Url("not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(Error::Url("the scheme must be ws:// or wss://")),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(Error::Url("no host"))?.to_owned();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path_and_query = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        Ok(Self { tls, host, port, path_and_query })
    }

    /// The Host field: the port is given unless it is the scheme's own.
    fn host_header(&self) -> String {
        if self.port == if self.tls { 443 } else { 80 } {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_host_port_and_target() {
        let cases = [
            ("ws://example.com", false, "example.com", 80, "/", "example.com"),
            ("ws://example.com:8080/chat?x=1", false, "example.com", 8080, "/chat?x=1", "example.com:8080"),
            ("wss://example.com/", true, "example.com", 443, "/", "example.com"),
            ("ws://[::1]:9000/a", false, "[::1]", 9000, "/a", "[::1]:9000"),
        ];
        for (url, tls, host, port, target, header) in cases {
            let parsed = Target::parse(url).unwrap();
            assert_eq!((parsed.tls, &*parsed.host, parsed.port), (tls, host, port), "{url}");
            assert_eq!((&*parsed.path_and_query, &*parsed.host_header()), (target, header), "{url}");
        }
    }

    #[test]
    fn urls_that_lead_nowhere_are_errors() {
        for url in
            ["", "example.com", "ftp://example.com", "ws://", "ws://a b", "ws://example.com/#x", "/path"]
        {
            assert!(matches!(Target::parse(url), Err(Error::Url(_))), "{url}");
        }
    }
}
