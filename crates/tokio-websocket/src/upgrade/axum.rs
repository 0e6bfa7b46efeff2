//! The extractor for axum.

use axum_core::{
    body::Body,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, request::Parts};

use super::{PendingUpgrade, Rejection, Upgrade, UpgradedStream};
use crate::{Acceptor, Options, WebSocket};

/// An extractor for axum: a request for a WebSocket, over HTTP/1.1 or HTTP/2. Other requests are rejected with the
/// status that says why.
///
/// The policy is an [`Acceptor`] given as `Extension`; without one any origin is accepted. Routes should use `any`:
/// HTTP/2 asks with CONNECT, not GET.
///
/// ```no_run
/// use axum::{Extension, Router, response::Response, routing::any};
/// use sockeye_tokio_websocket::{Acceptor, upgrade::WebSocketUpgrade};
///
/// async fn chat(upgrade: WebSocketUpgrade) -> Response {
///     upgrade.protocols(["chat"]).on_upgrade(|mut socket| async move {
///         while let Some(Ok(message)) = socket.receive().await {
///             println!("{message:?}");
///         }
///     })
/// }
///
/// let app: Router = Router::new().route("/chat", any(chat)).layer(Extension(Acceptor::new().same_origin()));
/// ```
#[derive(Debug)]
#[must_use = "the client waits for the answer"]
pub struct WebSocketUpgrade(Upgrade);

impl WebSocketUpgrade {
    /// Speaks these subprotocols, instead of those of the [`Acceptor`]: of the ones that the client offers, the first
    /// that is among `names` is chosen.
    pub fn protocols<T: AsRef<str>>(self, names: impl IntoIterator<Item = T>) -> Self {
        let names: Vec<_> = names.into_iter().collect();
        Self(self.0.choose_subprotocol(&names))
    }

    /// The subprotocols that the client offers, in its order of preference.
    pub fn offered_protocols(&self) -> impl Iterator<Item = &str> {
        self.0.offered_subprotocols()
    }

    /// The subprotocol that is chosen so far.
    pub fn protocol(&self) -> Option<&str> {
        self.0.subprotocol()
    }

    /// Adds a header field to the answer, such as `Set-Cookie`. Those of the handshake itself cannot be replaced.
    pub fn header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self(self.0.header(name, value))
    }

    /// Limits and deadlines of the connection, instead of the acceptor's.
    pub fn options(self, options: Options) -> Self {
        Self(self.0.options(options))
    }

    /// Accepts: the response to return from the handler. Once it has left, `serve` runs with the connection in a task
    /// of its own; not at all if the client leaves before.
    pub fn on_upgrade<F>(
        self,
        serve: impl FnOnce(WebSocket<UpgradedStream>) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.on_upgrade(serve)
    }

    /// Accepts without a task: the response to return from the handler, and the connection to be.
    pub fn accept(self) -> (Response, PendingUpgrade) {
        self.0.accept()
    }
}

impl<S: Sync> FromRequestParts<S> for WebSocketUpgrade {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        let acceptor = parts.extensions.get::<Acceptor>().cloned().unwrap_or_default();
        acceptor.upgrade_parts(parts).map(Self)
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        Self::into_response(self).map(Body::from)
    }
}
