//! WebSockets on connections that hyper serves, for any framework on top of it: over HTTP/1.1 by its upgrade (RFC 6455
//! §4), and, with the feature `http2`, over a stream of HTTP/2 by extended CONNECT (RFC 8441).
//!
//! The policy is that of an [`Acceptor`], the same as for transports of one's own.
//!
//! ```no_run
//! use http_body_util::Full;
//! use hyper::{Request, Response, body::{Bytes, Incoming}};
//! use sockeye_tokio_websocket::Acceptor;
//!
//! async fn handle(acceptor: Acceptor, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
//!     let upgrade = match acceptor.upgrade(&mut request) {
//!         Ok(upgrade) => upgrade,
//!         Err(rejection) => return rejection.into_response().map(Full::from),
//!     };
//!     upgrade.on_upgrade(|mut socket| async move {
//!         while let Some(Ok(message)) = socket.receive().await {
//!             if message.is_data() && socket.feed(message).await.is_err() {
//!                 break;
//!             }
//!         }
//!     })
//! }
//! ```
//!
//! For HTTP/2 tell hyper to offer it: `http2().enable_connect_protocol()` of its connection builder (`axum::serve` does
//! by itself). A router must let CONNECT through beside GET: in axum that is `any`.
//!
//! Once upgraded, a connection of HTTP/1.1 costs what one without hyper costs: its TCP stream is taken out of hyper. One
//! of HTTP/2 remains a stream among others of its connection.

#[cfg(feature = "axum")]
mod axum;
mod stream;

use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header, request,
};
use hyper::upgrade::OnUpgrade;
use sockeye_websocket::{
    Role, deflate,
    handshake::{HandshakeError, server::UpgradeRequest},
};
use std::{fmt, io};

#[cfg(feature = "axum")]
pub use self::axum::WebSocketUpgrade;
pub use self::stream::UpgradedStream;
use crate::{
    Acceptor, Error, Options, WebSocket,
    server::{Agreement, check_no_content, rejection},
};

impl Acceptor {
    /// Judges a request that hyper served, by this acceptor's policy. The limits on the head and the deadline are
    /// hyper's own.
    ///
    /// # Errors
    /// Why it is refused; nothing was taken from it. [`Rejection::into_response`] tells the client.
    pub fn upgrade<B>(&self, request: &mut Request<B>) -> Result<Upgrade, Rejection> {
        let on_upgrade = request.extensions().get::<OnUpgrade>().cloned();
        let way = Way::of(request.method(), request.version(), request.extensions())?;
        let upgrade = self.judge_upgrade(way, request.headers(), request.uri(), on_upgrade)?;
        request.extensions_mut().remove::<OnUpgrade>();
        Ok(upgrade)
    }

    /// [`upgrade`](Self::upgrade) for extractors, which see only the head of a request.
    ///
    /// # Errors
    /// As [`upgrade`](Self::upgrade).
    pub fn upgrade_parts(&self, parts: &mut request::Parts) -> Result<Upgrade, Rejection> {
        let on_upgrade = parts.extensions.get::<OnUpgrade>().cloned();
        let way = Way::of(&parts.method, parts.version, &parts.extensions)?;
        let upgrade = self.judge_upgrade(way, &parts.headers, &parts.uri, on_upgrade)?;
        parts.extensions.remove::<OnUpgrade>();
        Ok(upgrade)
    }

    /// Whether the page that sent a request may connect, by the rules about [origins](Self::origins). For requests that
    /// are no upgrades, such as those of a protocol that falls back to HTTP.
    pub fn allows_origin(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let host = match uri.authority() {
            Some(authority) => Some(authority.as_str().as_bytes()),
            None => headers.get(header::HOST).map(HeaderValue::as_bytes),
        };
        let origins = headers.get_all(header::ORIGIN).iter().map(HeaderValue::as_bytes);
        self.settings().origins.allows(origins, host)
    }

    fn judge_upgrade(
        &self,
        way: Way,
        headers: &HeaderMap,
        uri: &Uri,
        on_upgrade: Option<OnUpgrade>,
    ) -> Result<Upgrade, Rejection> {
        let fields = || headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let upgrade = match way {
            Way::Http1 => UpgradeRequest::from_headers(fields()),
            Way::Http2 => UpgradeRequest::from_connect_headers(fields()),
        }?;
        check_no_content(fields())?;
        if !self.allows_origin(headers, uri) {
            return Err(HandshakeError::OriginNotAllowed.into());
        }
        let on_upgrade = on_upgrade.ok_or(Rejection(Reason::NotUpgradable))?;
        let agreement = Agreement::new(upgrade, self);
        let pending = PendingUpgrade {
            on_upgrade,
            way,
            options: self.settings().options,
            deflate: agreement.deflate(),
        };
        Ok(Upgrade { way, agreement, pending })
    }
}

/// How a request asks for a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// GET with `Upgrade: websocket`.
    Http1,
    /// CONNECT with `:protocol` `websocket`.
    Http2,
}

impl Way {
    fn of(method: &Method, version: Version, extensions: &Extensions) -> Result<Self, HandshakeError> {
        #[cfg(feature = "http2")]
        if version == Version::HTTP_2
            && method == Method::CONNECT
            && let Some(protocol) = extensions.get::<hyper::ext::Protocol>()
        {
            let known = protocol.as_str().eq_ignore_ascii_case("websocket");
            return if known { Ok(Self::Http2) } else { Err(HandshakeError::UnknownProtocol) };
        }
        let _ = extensions;
        if method != Method::GET {
            return Err(HandshakeError::MethodNotGet);
        }
        if version < Version::HTTP_11 {
            return Err(HandshakeError::HttpVersion);
        }
        Ok(Self::Http1)
    }
}

/// A correct request for a WebSocket which waits for its answer, from [`Acceptor::upgrade`].
#[derive(Debug)]
#[must_use = "the client waits for the answer"]
pub struct Upgrade {
    way: Way,
    agreement: Agreement,
    pending: PendingUpgrade,
}

impl Upgrade {
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

    /// Adds a header field to the answer, such as `Set-Cookie`. Those of the handshake itself cannot be replaced.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.agreement.append_header(name, value);
        self
    }

    /// Limits and deadlines of the connection, instead of the acceptor's.
    pub fn options(mut self, options: Options) -> Self {
        self.agreement.choose_deflate(&options);
        self.pending.deflate = self.agreement.deflate();
        self.pending.options = options;
        self
    }

    /// Accepts: the response to return from the service, with an empty body, and the connection to be.
    pub fn accept<B: Default>(self) -> (Response<B>, PendingUpgrade) {
        let status = match self.way {
            Way::Http1 => StatusCode::SWITCHING_PROTOCOLS,
            Way::Http2 => StatusCode::OK,
        };
        (self.agreement.into_response(status), self.pending)
    }

    /// Accepts: the response to return from the service, with an empty body. Once it has left, `serve` runs with the
    /// connection in a task of its own; not at all if the client leaves before.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn on_upgrade<B, F>(
        self,
        serve: impl FnOnce(WebSocket<UpgradedStream>) -> F + Send + 'static,
    ) -> Response<B>
    where
        B: Default,
        F: Future<Output = ()> + Send + 'static,
    {
        let (response, pending) = self.accept();
        tokio::spawn(async move {
            if let Ok(socket) = pending.into_websocket().await {
                // A task of its own: what waits for the upgrade is not kept for the life of the connection.
                tokio::spawn(serve(socket));
            }
        });
        response
    }
}

/// A connection that hyper hands over once the response has left.
#[derive(Debug)]
pub struct PendingUpgrade {
    on_upgrade: OnUpgrade,
    way: Way,
    options: Options,
    deflate: Option<deflate::Params>,
}

impl PendingUpgrade {
    /// Waits for the connection.
    ///
    /// # Errors
    /// [`Error::Io`] when the connection ends first, or hyper was told to serve it without upgrades.
    pub async fn into_websocket(self) -> Result<WebSocket<UpgradedStream>, Error> {
        let Self { on_upgrade, way, options, deflate } = self;
        let upgraded = on_upgrade.await.map_err(io::Error::other)?;
        let (stream, received) = UpgradedStream::take_apart(upgraded, way);
        Ok(WebSocket::from_negotiated(stream, Role::Server, deflate, &received, &options))
    }
}

/// Why a request is not upgraded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection(Reason);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Reason {
    Handshake(HandshakeError),
    NotUpgradable,
}

impl Rejection {
    /// What is wrong with the request; `None` when it is not the request's fault: it did not come from hyper.
    pub const fn error(&self) -> Option<&HandshakeError> {
        match &self.0 {
            Reason::Handshake(error) => Some(error),
            Reason::NotUpgradable => None,
        }
    }

    /// The response that tells the client: its status, the reason as text, and what would be accepted.
    pub fn into_response(self) -> Response<String> {
        match &self.0 {
            Reason::Handshake(error) => rejection(error),
            Reason::NotUpgradable => {
                let mut response = Response::new(format!("{self}\n"));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Handshake(error) => error.fmt(f),
            Reason::NotUpgradable => f.write_str("the server cannot upgrade this connection"),
        }
    }
}

impl std::error::Error for Rejection {}

impl From<HandshakeError> for Rejection {
    fn from(error: HandshakeError) -> Self {
        Self(Reason::Handshake(error))
    }
}
