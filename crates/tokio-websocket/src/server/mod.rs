//! Accepting connections: the server's opening handshake (RFC 6455 §4.2).
//!
//! [`Acceptor`] is the policy: who may connect, and what is spoken. It serves every way to a connection: a transport of
//! one's own ([`accept`](Acceptor::accept), [`begin`](Acceptor::begin)), and requests that hyper or axum served
//! (`upgrade`, with the feature `hyper`).

mod agreement;
mod handshake;
mod origin;

use bytes::{Buf, BytesMut};
use http::Response;
use sockeye_websocket::handshake::{
    HandshakeError, HeadLimits,
    server::{Request, RequestDecoder},
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use self::origin::OriginPolicy;
use crate::{Error, Options, WebSocket};

pub(crate) use self::agreement::{Agreement, check_no_content, rejection};
pub use self::handshake::Handshake;

/// Accepts a connection with the default [`Acceptor`]: any path, any origin, no subprotocol.
///
/// # Errors
/// As [`Acceptor::accept`].
pub fn accept<S>(stream: S) -> impl Future<Output = Result<WebSocket<S>, Error>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Box::pin(async move { Acceptor::new().accept_here(stream).await })
}

/// How a server accepts connections. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Acceptor(Arc<Settings>);

/// Behind one pointer, since an acceptor lies in the futures of those who accept with it.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) options: Options,
    limits: HeadLimits,
    handshake_timeout: Duration,
    subprotocols: Vec<String>,
    pub(crate) origins: OriginPolicy,
}

impl Acceptor {
    /// Accepts any path and origin, no subprotocol, with the default limits.
    pub fn new() -> Self {
        Self(Arc::new(Settings {
            options: Options::default(),
            limits: HeadLimits::default(),
            handshake_timeout: Duration::from_secs(10),
            subprotocols: Vec::new(),
            origins: OriginPolicy::default(),
        }))
    }

    /// Limits and deadlines of the connections.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.settings_mut().options = options;
        self
    }

    /// Limits on the request head. hyper has limits of its own.
    #[must_use]
    pub fn head_limits(mut self, limits: HeadLimits) -> Self {
        self.settings_mut().limits = limits;
        self
    }

    /// How long a client may take for its request. Default 10 s; then the connection is dropped. hyper has a deadline
    /// of its own.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.settings_mut().handshake_timeout = timeout;
        self
    }

    /// Speaks a subprotocol. Of those that the client offers, the first one that the server speaks is chosen; names are
    /// compared with regard to case.
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Self {
        self.settings_mut().subprotocols.push(name.into());
        self
    }

    /// Accepts pages of these origins (such as `https://example.com`, or `null` for pages without one) and refuses
    /// those of others with 403. Without a rule about origins a page of any site can connect in the name of its
    /// visitors (§10.2). Of several rules one has to accept.
    ///
    /// Requests without an `Origin` do not come from browsers and are accepted, unless
    /// [`require_origin`](Self::require_origin) is set.
    #[must_use]
    pub fn origins<T: Into<String>>(mut self, origins: impl IntoIterator<Item = T>) -> Self {
        self.settings_mut().origins.list(origins.into_iter().map(Into::into));
        self
    }

    /// Accepts pages which come from the host that the request names (`Host`, or `:authority` in HTTP/2), by `http` or
    /// `https`, and refuses others with 403; see [`origins`](Self::origins). Behind a proxy that replaces `Host` list
    /// the origins instead.
    #[must_use]
    pub fn same_origin(mut self) -> Self {
        self.settings_mut().origins.same();
        self
    }

    /// Accepts pages whose origin satisfies `predicate` and refuses others with 403; see [`origins`](Self::origins).
    ///
    /// ```
    /// use sockeye_tokio_websocket::Acceptor;
    ///
    /// let acceptor = Acceptor::new()
    ///     .same_origin()
    ///     .origins_matching(|origin| origin.starts_with("https://") && origin.ends_with(".example.com"));
    /// ```
    #[must_use]
    pub fn origins_matching(mut self, predicate: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.settings_mut().origins.matching(Arc::new(predicate));
        self
    }

    /// Refuses requests without an `Origin`, with 403.
    #[must_use]
    pub fn require_origin(mut self) -> Self {
        self.settings_mut().origins.require();
        self
    }

    fn settings_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.0)
    }

    #[cfg(feature = "hyper")]
    pub(crate) fn settings(&self) -> &Settings {
        &self.0
    }

    /// Accepts the connection on `stream`.
    ///
    /// # Errors
    /// When the client sends no correct request in time, or the transport fails. A request that is wrong is answered
    /// with what is wrong, and the client has [`Options::close_timeout`] to take that.
    pub fn accept<S>(&self, stream: S) -> impl Future<Output = Result<WebSocket<S>, Error>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // What the handshake needs is freed after it, and no part of the future that serves the connection.
        Box::pin(self.accept_here(stream))
    }

    async fn accept_here<S>(&self, mut stream: S) -> Result<WebSocket<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (agreement, received, ()) = self.receive(&mut stream, |_| Ok(())).await?;
        handshake::finish(stream, agreement, &received, self).await
    }

    /// Reads the request on `stream` and leaves the answer to the caller, who may look at it and wait for anything,
    /// such as a database, before. The request has passed all checks of this acceptor.
    ///
    /// ```no_run
    /// # async fn user_of(cookie: Option<&http::HeaderValue>) -> Option<String> { None }
    /// # async fn serve(stream: tokio::net::TcpStream) -> Result<(), sockeye_tokio_websocket::Error> {
    /// use sockeye_tokio_websocket::Acceptor;
    ///
    /// let handshake = Acceptor::new().same_origin().subprotocol("chat").begin(stream).await?;
    /// let Some(user) = user_of(handshake.request().headers().get("cookie")).await else {
    ///     let refusal = http::Response::builder().status(401).body("who are you?\n").expect("a response");
    ///     return Err(handshake.refuse(refusal).await);
    /// };
    /// let mut socket = handshake.accept().await?;
    /// socket.send(&*format!("hello {user}")).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn begin<S>(&self, mut stream: S) -> impl Future<Output = Result<Handshake<S>, Error>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        Box::pin(async move {
            let (agreement, received, request) = self.receive(&mut stream, handshake::to_http).await?;
            Ok(Handshake::new(stream, request, agreement, received, self.clone()))
        })
    }

    /// Reads and judges the request: what is agreed, what was received beyond it, and what `take` made of it. A request
    /// that is wrong has been answered.
    async fn receive<S: AsyncRead + AsyncWrite + Unpin, T>(
        &self,
        stream: &mut S,
        take: impl FnOnce(&Request<'_>) -> Result<T, HandshakeError>,
    ) -> Result<(Agreement, BytesMut, T), Error> {
        let reading = timeout(self.0.handshake_timeout, self.read_request(stream, take));
        let result = reading.await.unwrap_or(Err(Error::HandshakeTimeout));
        if let Err(Error::Handshake(error)) = &result
            && *error != HandshakeError::UnexpectedEof
        {
            self.refuse(stream, &rejection(error)).await;
        }
        result
    }

    async fn read_request<S: AsyncRead + Unpin, T>(
        &self,
        stream: &mut S,
        take: impl FnOnce(&Request<'_>) -> Result<T, HandshakeError>,
    ) -> Result<(Agreement, BytesMut, T), Error> {
        let mut decoder = RequestDecoder::new(self.0.limits);
        let mut input = BytesMut::new();
        loop {
            input.reserve(1024);
            if stream.read_buf(&mut input).await? == 0 {
                return Err(HandshakeError::UnexpectedEof.into());
            }
            if let Some((request, len)) = decoder.decode(&input)? {
                self.judge(&request)?;
                let agreement = Agreement::new(request.upgrade().clone(), self);
                let taken = take(&request)?;
                input.advance(len);
                return Ok((agreement, input, taken));
            }
        }
    }

    fn judge(&self, request: &Request<'_>) -> Result<(), HandshakeError> {
        check_no_content(request.headers())?;
        let origins = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("origin"));
        if self.0.origins.allows(origins.map(|(_, value)| value), request.header("host")) {
            Ok(())
        } else {
            Err(HandshakeError::OriginNotAllowed)
        }
    }

    /// Answers with `response` and ends the connection. That the answer cannot reach the client is no error of its own.
    async fn refuse<S: AsyncRead + AsyncWrite + Unpin, B: AsRef<[u8]>>(
        &self,
        stream: &mut S,
        response: &Response<B>,
    ) {
        let body = response.body().as_ref();
        let mut output = agreement::encode_head(response, body.len());
        output.extend_from_slice(body);
        let _ = timeout(self.0.options.close_timeout, see_off(stream, &output)).await;
    }
}

/// How much is read at once of what a refused client still sends.
const DISCARD_LEN: usize = 4 * 1024;

/// Writes the last bytes, ends our half and reads until the client ends its own, which may be sending still: a reset
/// for bytes that nobody read would destroy the answer on its way.
async fn see_off<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, output: &[u8]) -> io::Result<()> {
    stream.write_all(output).await?;
    stream.shutdown().await?;
    let mut discarded = BytesMut::with_capacity(DISCARD_LEN);
    while stream.read_buf(&mut discarded).await? > 0 {
        discarded.clear();
    }
    Ok(())
}

impl Default for Acceptor {
    fn default() -> Self {
        Self::new()
    }
}
