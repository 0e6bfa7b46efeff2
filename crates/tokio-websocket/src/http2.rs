//! The client's side of WebSockets over HTTP/2 (RFC 8441): each is one stream among others of a connection. The server's
//! side is in [`upgrade`](crate::upgrade).

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, uri};
use hyper::{client::conn::http2, ext::Protocol};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sockeye_websocket::{Role, deflate, handshake::HandshakeError};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use crate::{
    Error, Options, Refusal, WebSocket,
    upgrade::{UpgradedStream, Way},
};

/// How long the server may take for its settings, and for its answer to each request.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection of HTTP/2 to a server, for any number of WebSockets. Clones share it; it ends after the last of them and
/// the last of its WebSockets are dropped.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use sockeye_tokio_websocket::{Options, http2::Connection};
/// use tokio::net::TcpStream;
///
/// let connection = Connection::open(TcpStream::connect("127.0.0.1:8080").await?).await?;
/// let request = http::Request::get("ws://127.0.0.1:8080/chat").header("Sec-WebSocket-Protocol", "chat").body(())?;
/// let (mut socket, response) = connection.connect(request, &Options::default()).await?;
/// println!("chosen: {:?}", response.headers().get("Sec-WebSocket-Protocol"));
/// socket.send("hello").await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Connection(http2::SendRequest<String>);

impl Connection {
    /// Speaks HTTP/2 on a transport: TCP by prior knowledge, or TLS that chose `h2` (ALPN). A task of its own drives the
    /// connection.
    ///
    /// # Errors
    /// [`Error::Io`]: of the kind `Unsupported` when the server offers no WebSockets over HTTP/2, of others when the
    /// transport fails. [`Error::HandshakeTimeout`] when its settings do not arrive within 10 s.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open<S>(stream: S) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        timeout(HANDSHAKE_TIMEOUT, Self::shake_hands(stream)).await.map_err(|_| Error::HandshakeTimeout)?
    }

    async fn shake_hands<S>(stream: S) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // No stream before the server's settings: that is how it shows that they are here.
        let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
            .initial_max_send_streams(0)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        // RFC 8441 §3: a client uses `:protocol` only after the server's settings allowed it. hyper reads them in a task
        // of its own and wakes nobody, so this looks again and again.
        let mut pause = Duration::from_millis(1);
        loop {
            // In this order: the settings may arrive between the two.
            let arrived = connection.current_max_send_streams() != 0;
            if connection.is_extended_connect_protocol_enabled() {
                break;
            }
            if arrived {
                let missing = "the server offers no WebSockets over HTTP/2";
                return Err(io::Error::new(io::ErrorKind::Unsupported, missing).into());
            }
            if let Ok(end) = timeout(pause, &mut connection).await {
                return Err(end.err().map_or(io::ErrorKind::UnexpectedEof.into(), io::Error::other).into());
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Opens a WebSocket.
    ///
    /// `request` tells the URL (`ws`, `wss`, `http` or `https`, with host and path) and header fields, such as `Origin`,
    /// `Cookie` and `Sec-WebSocket-Protocol`; its method and version do not matter. The response tells which
    /// subprotocol was chosen.
    ///
    /// # Errors
    /// [`Error::Url`] for a URL of another kind. [`Error::Io`] when the connection fails. [`Error::Refused`] when the
    /// server refuses, [`Error::Handshake`] when it redirects or chooses what was not offered. [`Error::HandshakeTimeout`] when it does not answer within 10 s.
    pub async fn connect(
        &self,
        mut request: Request<()>,
        options: &Options,
    ) -> Result<(WebSocket<UpgradedStream>, Response<()>), Error> {
        *request.uri_mut() = target(request.uri())?;
        *request.method_mut() = Method::CONNECT;
        *request.version_mut() = Version::HTTP_2;
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        request.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        let offered: Vec<_> =
            request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().cloned().collect();
        if let Some(config) = &options.deflate {
            let offer = HeaderValue::from_str(&config.offer()).map_err(io::Error::other)?;
            request.headers_mut().insert(header::SEC_WEBSOCKET_EXTENSIONS, offer);
        }
        let mut sender = self.0.clone();
        let answer = timeout(HANDSHAKE_TIMEOUT, sender.send_request(request.map(|()| String::new())));
        let mut response = answer.await.map_err(|_| Error::HandshakeTimeout)?.map_err(io::Error::other)?;
        check(&response, &offered)?;
        let deflate = agreed_deflate(response.headers(), options)?;
        let upgraded = hyper::upgrade::on(&mut response).await.map_err(io::Error::other)?;
        let (stream, received) = UpgradedStream::take_apart(upgraded, Way::Http2);
        let socket = WebSocket::from_negotiated(stream, Role::Client, deflate, &received, options);
        Ok((socket, response.map(drop)))
    }
}

/// RFC 8441 §4: `:scheme` and `:path` "MUST also be included", and the schemes of HTTP stand for those of WebSockets.
fn target(url: &Uri) -> Result<Uri, Error> {
    let scheme = match url.scheme_str() {
        Some("ws" | "http") => uri::Scheme::HTTP,
        Some("wss" | "https") => uri::Scheme::HTTPS,
        _ => return Err(Error::Url("the scheme must be ws:// or wss://")),
    };
    let mut parts = url.clone().into_parts();
    parts.scheme = Some(scheme);
    if parts.path_and_query.is_none() {
        parts.path_and_query = Some(uri::PathAndQuery::from_static("/"));
    }
    Uri::from_parts(parts).map_err(|_| Error::Url("no host"))
}

/// What the server chose of what was offered.
fn agreed_deflate(headers: &HeaderMap, options: &Options) -> Result<Option<deflate::Params>, HandshakeError> {
    let extensions = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
    match &options.deflate {
        Some(config) => {
            let texts: Result<Vec<_>, _> = extensions.map(HeaderValue::to_str).collect();
            let texts = texts.map_err(|_| HandshakeError::InvalidHeader("Sec-WebSocket-Extensions"))?;
            deflate::Params::from_response(texts, config)
        }
        None => match extensions.into_iter().next() {
            Some(unasked) => {
                let name = String::from_utf8_lossy(unasked.as_bytes()).into_owned();
                Err(HandshakeError::UnofferedExtension(name))
            }
            None => Ok(None),
        },
    }
}

fn check<B>(response: &Response<B>, offered: &[HeaderValue]) -> Result<(), Error> {
    let (status, headers) = (response.status(), response.headers());
    if status.is_redirection() {
        let location = headers.get(header::LOCATION);
        return Err(Error::Handshake(HandshakeError::Redirect {
            status: status.as_u16(),
            location: location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        }));
    }
    if status != StatusCode::OK {
        let fields = headers.iter().map(|(name, value)| (name.as_str().into(), value.as_bytes().into()));
        return Err(Error::Refused(Box::new(Refusal { status: status.as_u16(), headers: fields.collect() })));
    }
    let lossy = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut chosen = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let Some(name) = chosen.next() else { return Ok(()) };
    if chosen.next().is_some() {
        return Err(HandshakeError::InvalidHeader("Sec-WebSocket-Protocol").into());
    }
    let mut names =
        offered.iter().flat_map(|value| value.as_bytes().split(|b| *b == b',')).map(<[u8]>::trim_ascii);
    if names.any(|offered| offered == name.as_bytes()) {
        Ok(())
    } else {
        Err(HandshakeError::UnofferedSubprotocol(lossy(name)).into())
    }
}
