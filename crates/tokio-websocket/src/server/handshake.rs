//! A request that waits for its answer.

use bytes::BytesMut;
use http::{HeaderName, HeaderValue, Response};
use sockeye_websocket::{
    Role,
    handshake::{HandshakeError, server::Request},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::{Acceptor, Agreement};
use crate::{Error, WebSocket};

/// A correct request for a WebSocket which waits for the server's decision, from [`Acceptor::begin`]. Dropping it drops
/// the connection.
#[derive(Debug)]
#[must_use = "dropping it drops the connection"]
pub struct Handshake<S> {
    stream: S,
    request: http::Request<()>,
    agreement: Agreement,
    /// What was received behind the request.
    received: BytesMut,
    acceptor: Acceptor,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Handshake<S> {
    pub(super) const fn new(
        stream: S,
        request: http::Request<()>,
        agreement: Agreement,
        received: BytesMut,
        acceptor: Acceptor,
    ) -> Self {
        Self { stream, request, agreement, received, acceptor }
    }

    /// The request: its target and header fields.
    pub const fn request(&self) -> &http::Request<()> {
        &self.request
    }

    /// The transport, to look at: its address, its certificate.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The subprotocols that the client offers, in its order of preference.
    pub fn offered_subprotocols(&self) -> impl Iterator<Item = &str> {
        self.agreement.offered_subprotocols()
    }

    /// The subprotocol that is chosen so far.
    pub fn subprotocol(&self) -> Option<&str> {
        self.agreement.subprotocol()
    }

    /// Chooses anew, instead of what [`Acceptor::subprotocol`] led to: the first offered one that is among `spoken`, or
    /// none.
    pub fn choose_subprotocol<T: AsRef<str>>(mut self, spoken: &[T]) -> Self {
        self.agreement.choose_subprotocol(spoken);
        self
    }

    /// Adds a header field to the answer that accepts, such as `Set-Cookie`. Those of the handshake itself cannot be
    /// replaced.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.agreement.append_header(name, value);
        self
    }

    /// Accepts: answers 101.
    ///
    /// # Errors
    /// When the transport fails, or does not take the answer before [`Acceptor::handshake_timeout`].
    pub async fn accept(self) -> Result<WebSocket<S>, Error> {
        finish(self.stream, self.agreement, &self.received, &self.acceptor).await
    }

    /// Refuses with a status, header fields and a body of the caller's choice. `Content-Length` is added; the
    /// connection ends, for which the client has [`Options::close_timeout`](crate::Options::close_timeout).
    ///
    /// Returns what to report: [`Error::Rejected`].
    pub async fn refuse<B: AsRef<[u8]>>(self, response: Response<B>) -> Error {
        let Self { mut stream, received, acceptor, .. } = self;
        drop(received);
        acceptor.refuse(&mut stream, &response).await;
        Error::Rejected(response.status())
    }
}

/// Answers 101 and opens the connection.
pub(super) async fn finish<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    agreement: Agreement,
    received: &[u8],
    acceptor: &Acceptor,
) -> Result<WebSocket<S>, Error> {
    let deflate = agreement.deflate();
    let head = agreement.encode();
    let writing = async {
        stream.write_all(&head).await?;
        stream.flush().await
    };
    timeout(acceptor.0.handshake_timeout, writing).await.map_err(|_| Error::HandshakeTimeout)??;
    Ok(WebSocket::from_negotiated(stream, Role::Server, deflate, received, &acceptor.0.options))
}

/// The request as the `http` crate knows it.
pub(super) fn to_http(request: &Request<'_>) -> Result<http::Request<()>, HandshakeError> {
    let mut converted = http::Request::new(());
    *converted.uri_mut() = request.target().parse().map_err(|_| HandshakeError::MalformedHttp)?;
    for (name, value) in request.headers() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HandshakeError::MalformedHttp)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| HandshakeError::MalformedHttp)?;
        converted.headers_mut().append(name, value);
    }
    Ok(converted)
}
