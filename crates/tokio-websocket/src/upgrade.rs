//! Taking over a connection that hyper served, for any framework on top of it (axum among them).
//!
//! ```no_run
//! use http_body_util::Empty;
//! use hyper::{Request, Response, body::{Bytes, Incoming}};
//! use sockeye_tokio_websocket::{Options, upgrade};
//!
//! async fn handle(mut request: Request<Incoming>) -> Response<Empty<Bytes>> {
//!     let Ok((response, upgrade)) = upgrade::accept(&mut request, None) else {
//!         return Response::builder().status(400).body(Empty::new()).unwrap();
//!     };
//!     tokio::spawn(async move {
//!         let mut socket = upgrade.into_websocket(&Options::default()).await?;
//!         while let Some(message) = socket.receive().await {
//!             socket.send(message?).await?;
//!         }
//!         Ok::<(), sockeye_tokio_websocket::Error>(())
//!     });
//!     response.map(|()| Empty::new())
//! }
//! ```

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::{rt::TokioIo, server::conn::auto};
use sockeye_websocket::{
    Role,
    handshake::{HandshakeError, server::UpgradeRequest},
};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{Error, Options, WebSocket};

/// Answers a request for a WebSocket: the response to return from the service, and the connection to be.
/// `subprotocol` should be one that the client offered.
///
/// # Errors
/// What makes it no correct request; nothing was taken from it.
///
/// # Panics
/// When `subprotocol` is not a valid header value.
pub fn accept<B>(
    request: &mut Request<B>,
    subprotocol: Option<&str>,
) -> Result<(Response<()>, PendingUpgrade), HandshakeError> {
    if request.method() != Method::GET {
        return Err(HandshakeError::MethodNotGet);
    }
    if request.version() < Version::HTTP_11 {
        return Err(HandshakeError::HttpVersion);
    }
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let upgrade = UpgradeRequest::from_headers(headers)?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = HeaderValue::from_str(upgrade.accept()).expect("base64 is a header value");
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(name) = subprotocol {
        let name = HeaderValue::from_str(name).expect("the name of a subprotocol is a header value");
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, name);
    }
    Ok((response, PendingUpgrade(hyper::upgrade::on(request))))
}

/// A connection that hyper hands over once the response has left.
#[derive(Debug)]
pub struct PendingUpgrade(OnUpgrade);

impl PendingUpgrade {
    /// Waits for the connection.
    ///
    /// # Errors
    /// [`Error::Io`] when the connection ends first, or is not hyper's own.
    pub async fn into_websocket(self, options: &Options) -> Result<WebSocket<UpgradedStream>, Error> {
        let upgraded = self.0.await.map_err(io::Error::other)?;
        let (stream, received) = take_apart(upgraded);
        Ok(WebSocket::from_handshaken(UpgradedStream(stream), Role::Server, &received, options))
    }
}

/// The TCP stream that hyper was given, also by way of hyper-util's connections of either HTTP version, as under
/// `axum::serve`; and what was read from it already.
fn take_apart(upgraded: Upgraded) -> (Inner, Bytes) {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return (Inner::Tcp(parts.io.into_inner()), parts.read_buf),
        Err(upgraded) => upgraded,
    };
    match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => (Inner::Tcp(parts.io.into_inner()), parts.read_buf),
        Err(upgraded) => (Inner::Other(TokioIo::new(upgraded)), Bytes::new()),
    }
}

/// The transport of an upgraded connection: the TCP stream itself where hyper was given one, so that nothing stands
/// between it and the WebSocket.
#[derive(Debug)]
pub struct UpgradedStream(Inner);

#[derive(Debug)]
enum Inner {
    Tcp(TcpStream),
    Other(TokioIo<Upgraded>),
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().0 {
            Inner::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Inner::Other(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for UpgradedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for UpgradedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Inner::Tcp(stream) => stream.is_write_vectored(),
            Inner::Other(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_shutdown(cx))
    }
}
