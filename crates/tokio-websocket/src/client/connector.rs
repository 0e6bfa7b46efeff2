//! How a client connects: its settings, and the way from a URL to an open connection.

use bytes::{Buf, BytesMut};
use http::{HeaderName, HeaderValue};
use sockeye_websocket::{
    Role,
    handshake::{
        HandshakeError, HeadLimits,
        client::{Request, Response, ResponseDecoder},
    },
};
use std::{fmt, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

#[cfg(feature = "tls")]
use super::tls::Trust;
use super::{head::HeadDecoder, proxy::Proxy, refusal::Refusal, stream::ClientStream, target::Target};
use crate::{Error, Options, WebSocket};

/// Connects to a `ws://` or `wss://` URL with the default [`Connector`].
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
pub async fn connect(url: &str) -> Result<WebSocket<ClientStream>, Error> {
    Connector::new().connect(url).await.map(|(socket, _)| socket)
}

/// How a client connects.
///
/// `Debug` shows the names of the extra header fields but not their values, and no credentials.
#[derive(Clone)]
pub struct Connector {
    options: Options,
    limits: HeadLimits,
    handshake_timeout: Duration,
    subprotocols: Vec<String>,
    headers: Vec<(String, String)>,
    proxy: Option<Proxy>,
    #[cfg(feature = "tls")]
    trust: Trust,
}

impl Connector {
    /// No subprotocol, no extra header fields, no proxy, the default limits; `wss://` servers are trusted whom the
    /// platform trusts.
    pub fn new() -> Self {
        Self {
            options: Options::default(),
            limits: HeadLimits::default(),
            handshake_timeout: Duration::from_secs(10),
            subprotocols: Vec::new(),
            headers: Vec::new(),
            proxy: None,
            #[cfg(feature = "tls")]
            trust: Trust::default(),
        }
    }

    /// Limits and deadlines of the connection.
    #[must_use]
    pub const fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Limits on the head of the server's answer, and of an HTTP proxy's.
    #[must_use]
    pub const fn head_limits(mut self, limits: HeadLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How long resolving, connecting, the proxy, TLS and the opening handshake may take together. Default 10 s; then
    /// [`Error::HandshakeTimeout`].
    #[must_use]
    pub const fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Offers a subprotocol; the most wanted comes first. One that is no token, or offered already, makes
    /// [`connect`](Self::connect) fail.
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Adds a header field to the request, such as `Origin`, `Authorization` or `Cookie`. `Host` replaces the one that
    /// the URL gives. A field that is invalid, or one that the handshake itself writes, makes
    /// [`connect`](Self::connect) fail.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Connects through a proxy. Without this, the environment's proxies are not used either:
    /// [`Proxy::from_env`] uses them.
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Trusts, for `wss://` and `https://` proxies, the certificates that these roots vouch for, and no others.
    ///
    /// ```
    /// use sockeye_tokio_websocket::{
    ///     Connector,
    ///     rustls::{RootCertStore, pki_types::{CertificateDer, pem::PemObject}},
    /// };
    ///
    /// fn trusting(file: &str) -> Result<Connector, Box<dyn std::error::Error>> {
    ///     let mut roots = RootCertStore::empty();
    ///     for certificate in CertificateDer::pem_file_iter(file)? {
    ///         roots.add(certificate?)?;
    ///     }
    ///     Ok(Connector::new().tls_roots(roots))
    /// }
    /// ```
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_roots(mut self, roots: tokio_rustls::rustls::RootCertStore) -> Self {
        self.trust = Trust::roots(roots);
        self
    }

    /// Uses a TLS configuration of the caller's: client certificates, other cryptography, other trust. Its ALPN
    /// protocols are replaced by `http/1.1`, which the opening handshake speaks.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_config(mut self, config: std::sync::Arc<tokio_rustls::rustls::ClientConfig>) -> Self {
        self.trust = Trust::config(config);
        self
    }

    /// Connects to a `ws://` or (feature `tls`) `wss://` URL. A host with several addresses is tried at each of them.
    ///
    /// User name and password in the URL are sent by Basic authentication, unless an `Authorization` field was given.
    /// The [`Response`] tells the chosen subprotocol and the header fields of the server.
    ///
    /// When the future is dropped, its socket is closed and no task is left behind; at most the system's resolver goes
    /// on with a name that it was asked for.
    ///
    /// # Errors
    /// By blame: [`Error::Url`], [`Error::InvalidHeader`] and [`Error::InvalidSubprotocol`] for what the caller gave,
    /// before anything is sent; [`Error::Proxy`], [`Error::Tls`], [`Error::Io`]; [`Error::Refused`] and
    /// [`Error::Handshake`] for the server's answer, a redirection among them; [`Error::HandshakeTimeout`] when all
    /// this takes too long.
    pub async fn connect(&self, url: &str) -> Result<(WebSocket<ClientStream>, Response), Error> {
        let target = self.target(url)?;
        let request = self.request(&target)?;
        self.bounded(async {
            let (stream, received) = self.open_transport(&target).await?;
            self.shake_hands(stream, received, &request).await
        })
        .await
    }

    /// Opens a WebSocket to `url` on a transport that is connected already, such as a TLS stream or a pipe. Proxy and
    /// TLS settings are not used.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        url: &str,
    ) -> Result<(WebSocket<S>, Response), Error> {
        let request = self.request(&Target::parse(url)?)?;
        self.bounded(self.shake_hands(stream, BytesMut::new(), &request)).await
    }

    /// Opens the transport to the host of a `ws://`, `http://` or (feature `tls`) `wss://`, `https://` URL: through the proxy
    /// and with TLS, as [`connect`](Self::connect) does, but without an opening handshake. For what else is to be said to
    /// the same server, such as HTTP requests.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), but for what concerns the opening handshake and its header fields.
    pub async fn connect_transport(&self, url: &str) -> Result<ClientStream, Error> {
        let target = self.target(url)?;
        self.bounded(async {
            let (stream, received) = self.open_transport(&target).await?;
            Ok(stream.with_read_ahead(received))
        })
        .await
    }

    fn target(&self, url: &str) -> Result<Target, Error> {
        let target = Target::parse(url)?;
        if target.tls && cfg!(not(feature = "tls")) {
            return Err(Error::Url(
                "wss:// needs the feature `tls`, or a TLS stream passed to Connector::handshake",
            ));
        }
        Ok(target)
    }

    async fn bounded<T>(&self, connecting: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        // Freed when it is done, and no part of the future that uses the connection.
        Box::pin(timeout(self.handshake_timeout, connecting)).await.map_err(|_| Error::HandshakeTimeout)?
    }

    /// A transport to the target, and what was read from it already.
    async fn open_transport(&self, target: &Target) -> Result<(ClientStream, BytesMut), Error> {
        let tunnel = match &self.proxy {
            Some(proxy) => {
                proxy
                    .connect(
                        target,
                        self.limits,
                        #[cfg(feature = "tls")]
                        &self.trust,
                    )
                    .await?
            }
            None => None,
        };
        let (stream, received) = match tunnel {
            Some(tunnel) => tunnel,
            None => (ClientStream::from(target.endpoint.connect().await?), BytesMut::new()),
        };
        #[cfg(feature = "tls")]
        if target.tls {
            let stream = stream.with_read_ahead(received);
            let stream = self.trust.connect(stream, &target.endpoint.host).await.map_err(Error::Tls)?;
            return Ok((stream, BytesMut::new()));
        }
        Ok((stream, received))
    }

    /// The request for a WebSocket, or what of it the caller gave wrong.
    fn request(&self, target: &Target) -> Result<Request, Error> {
        let mut host = target.host_header();
        let mut authorized = false;
        for (name, value) in &self.headers {
            check_header(name, value)?;
            authorized |= name.eq_ignore_ascii_case("authorization");
            if name.eq_ignore_ascii_case("host") {
                host.clone_from(value);
            }
        }
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(std::io::Error::other)?;
        let mut request = Request::new(&host, &target.path_and_query, nonce);
        for (at, name) in self.subprotocols.iter().enumerate() {
            // §4.1: "The elements that comprise this value MUST be non-empty strings … and MUST all be unique strings."
            if !is_token(name) || self.subprotocols[..at].contains(name) {
                return Err(Error::InvalidSubprotocol(name.clone()));
            }
            request = request.subprotocol(name);
        }
        if let Some(config) = self.options.deflate {
            request = request.deflate(config);
        }
        for (name, value) in self.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
            request = request.header(name, value);
        }
        if let Some(credentials) = target.credentials.as_ref().filter(|_| !authorized) {
            request = request.header("Authorization", &credentials.basic().map_err(Error::Url)?);
        }
        Ok(request)
    }

    async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        mut input: BytesMut,
        request: &Request,
    ) -> Result<(WebSocket<S>, Response), Error> {
        let mut output = Vec::new();
        request.encode(&mut output);
        stream.write_all(&output).await?;
        stream.flush().await?;

        let mut decoder = ResponseDecoder::new(self.limits);
        loop {
            let decoded = decoder.decode(request, &input).map_err(|error| self.judge(error, &input))?;
            if let Some((response, len)) = decoded {
                input.advance(len);
                let deflate = response.deflate;
                let socket = WebSocket::from_negotiated(stream, Role::Client, deflate, &input, &self.options);
                return Ok((socket, response));
            }
            input.reserve(1024);
            if stream.read_buf(&mut input).await? == 0 {
                return Err(HandshakeError::UnexpectedEof.into());
            }
        }
    }

    /// Adds to a refusal what the server said with it.
    fn judge(&self, error: HandshakeError, input: &[u8]) -> Error {
        match (&error, HeadDecoder::new(self.limits).decode(input)) {
            (HandshakeError::Status(status), Ok(Some(head))) => {
                Error::Refused(Box::new(Refusal { status: *status, headers: head.headers }))
            }
            _ => error.into(),
        }
    }
}

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Connector")
            .field("options", &self.options)
            .field("head_limits", &self.limits)
            .field("handshake_timeout", &self.handshake_timeout)
            .field("subprotocols", &self.subprotocols)
            .field("headers", &headers)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

/// The fields that the handshake writes itself, and those that would give its request a body.
const RESERVED: [&str; 9] = [
    "connection",
    "content-length",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "transfer-encoding",
    "upgrade",
];

fn check_header(name: &str, value: &str) -> Result<(), Error> {
    let invalid = |problem| Err(Error::InvalidHeader { name: name.into(), problem });
    let is_host = name.eq_ignore_ascii_case("host");
    if !is_token(name) {
        invalid("its name is not a token")
    } else if HeaderValue::from_bytes(value.as_bytes()).is_err() {
        invalid("its value has a control character")
    } else if is_host && (value.is_empty() || value.contains([' ', '\t'])) {
        invalid("its value is not a host")
    } else if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
        invalid("the opening handshake writes it itself")
    } else {
        Ok(())
    }
}

/// Whether `name` is a token (RFC 9110 §5.6.2).
fn is_token(name: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(connector: &Connector, url: &str) -> Result<String, Error> {
        let mut bytes = Vec::new();
        connector.request(&Target::parse(url)?)?.encode(&mut bytes);
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn user_information_is_sent_by_basic_authentication() {
        let sent = request(&Connector::new(), "ws://Aladdin:open%20sesame@example.com:8080/").unwrap();
        assert!(sent.contains("\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), "{sent}");
        assert!(sent.contains("\r\nHost: example.com:8080\r\n"), "{sent}");
        let sent = request(&Connector::new(), "ws://example.com/").unwrap();
        assert!(!sent.contains("Authorization"), "{sent}");
    }

    #[test]
    fn given_authorization_and_host_win_over_the_url() {
        let connector = Connector::new().header("authorization", "Bearer t").header("HOST", "other:1");
        let sent = request(&connector, "ws://user:password@example.com/").unwrap();
        assert!(sent.contains("\r\nauthorization: Bearer t\r\n") && !sent.contains("Basic"), "{sent}");
        assert!(sent.contains("\r\nHost: other:1\r\n") && !sent.contains("example.com"), "{sent}");
        assert_eq!(sent.to_ascii_lowercase().matches("\r\nhost:").count(), 1, "{sent}");
    }

    #[test]
    fn header_fields_that_cannot_be_sent_are_errors() {
        for (name, value) in [
            ("", "a"),
            ("a b", "c"),
            ("a:", "b"),
            ("X\r\nY", "a"),
            ("X-A", "b\r\nEvil: c"),
            ("X-A", "\0"),
            ("Host", "a b"),
            ("Host", ""),
            ("Upgrade", "h2c"),
            ("Sec-WebSocket-Key", "mine"),
            ("content-length", "5"),
        ] {
            let result = request(&Connector::new().header(name, value), "ws://example.com/");
            assert!(
                matches!(&result, Err(Error::InvalidHeader { name: n, .. }) if n == name),
                "{name:?}: {value:?}"
            );
        }
        assert!(request(&Connector::new().header("X-A", "tab\t and ü"), "ws://example.com/").is_ok());
    }

    #[test]
    fn subprotocols_that_cannot_be_offered_are_errors() {
        for names in [&["" as &str][..], &["a b"], &["a,b"], &["a\r\n"], &["a", "b", "a"]] {
            let connector =
                names.iter().fold(Connector::new(), |connector, name| connector.subprotocol(name));
            let result = request(&connector, "ws://example.com/");
            assert!(matches!(result, Err(Error::InvalidSubprotocol(_))), "{names:?}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let connector = Connector::new()
            .header("Authorization", "Bearer secret")
            .header("X-Api-Key", "secret")
            .proxy(Proxy::socks5("socks5://alice:secret@proxy").unwrap());
        let shown = format!("{connector:?}");
        assert!(shown.contains("X-Api-Key") && shown.contains("proxy"), "{shown}");
        assert!(!shown.contains("secret") && !shown.contains("alice"), "{shown}");
    }
}
