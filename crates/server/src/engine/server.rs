//! A server of Engine.IO alone.

use sockeye_engineio::Sid;
use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{
    Hooks, Host, Mailbox, Message, PreparedMessage, Session, Shared, connection::SessionApp, engine_options,
};
use crate::{
    Config, Handshake,
    outgoing::Wire,
    service::{EngineLayer, EngineService, NotFound, Served},
};

/// An Engine.IO server without Socket.IO: sessions with text and binary messages over polling and WebSocket. Cloning it is
/// cheap and gives the same server.
///
/// ```no_run
/// use sockeye::{Server, engine::{Engine, Session}};
///
/// # async fn f() -> std::io::Result<()> {
/// let engine = Engine::new(async |mut session: Session| {
///     while let Some(message) = session.receive().await {
///         if session.send(message).is_err() {
///             break;
///         }
///     }
///     println!("closed: {:?}", session.close_reason());
/// });
/// Server::bind("127.0.0.1:3000").await?.serve(&engine).await
/// # }
/// ```
#[derive(Clone)]
pub struct Engine {
    inner: Arc<EngineInner>,
}

type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(crate) struct EngineInner {
    shared: Arc<Shared>,
    serve: Box<dyn Fn(Session) -> Serving + Send + Sync>,
}

impl Engine {
    /// A server with the default options. `serve` is called for every session; the future that it returns runs in the
    /// session's task, and ends as it likes: the session closes when it drops the [`Session`].
    ///
    /// A closure that captures something owned is `move |session| { let it = it.clone(); async move { .. } }`.
    pub fn new<F>(serve: impl Fn(Session) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::builder().build(serve)
    }

    /// A server with other options. Its path is `/engine.io` unless it is changed.
    pub fn builder() -> Builder {
        let config = Config { path: "/engine.io".into(), ..Config::default() };
        Builder { config, hooks: Hooks::default() }
    }

    /// A service for tower, hyper or axum that answers requests for the server's path, and others with 404.
    pub fn service(&self) -> EngineService<NotFound> {
        EngineService::new(Served::Engine(self.inner.clone()), NotFound)
    }

    /// A layer for tower or axum that answers requests for the server's path, and hands others on.
    pub fn layer(&self) -> EngineLayer {
        EngineLayer::new(Served::Engine(self.inner.clone()))
    }

    /// How many clients are connected.
    pub fn client_count(&self) -> usize {
        self.inner.shared.registry.len()
    }

    /// Encodes a message that many clients are to get once for all of them; with `compress`, clients that negotiated it get
    /// it compressed.
    pub fn prepare(&self, message: impl Into<Message>, compress: bool) -> PreparedMessage {
        PreparedMessage::encode(&message.into(), self.inner.wire(), compress)
    }

    /// Shuts down: new sessions are refused, and those that there are closed with `server shutting down`. Clients get what
    /// is queued for them; returns when all sessions are over, or after `deadline`.
    pub async fn close(&self, deadline: Duration) {
        let _ = tokio::time::timeout(deadline, self.inner.shared.close()).await;
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("clients", &self.client_count()).finish_non_exhaustive()
    }
}

impl EngineInner {
    fn wire(&self) -> Wire {
        Wire { deflate_threshold: self.shared.config.deflate_threshold(), ..Wire::default() }
    }
}

impl Host for EngineInner {
    type App = SessionApp;

    fn engine(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn start(self: &Arc<Self>, sid: Sid, mailbox: Arc<Mailbox>, handshake: Arc<Handshake>) -> SessionApp {
        SessionApp::new(&self.serve, sid, mailbox, handshake, self.wire(), &self.shared.config)
    }
}

/// Builds an [`Engine`]. The options of [`Config`] that are about Socket.IO mean nothing here.
pub struct Builder {
    config: Config,
    hooks: Hooks,
}

impl Builder {
    engine_options!();

    /// The server; see [`Engine::new`].
    pub fn build<F>(self, serve: impl Fn(Session) -> F + Send + Sync + 'static) -> Engine
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shared = Arc::new(Shared::new(self.config, self.hooks));
        Engine {
            inner: Arc::new(EngineInner { shared, serve: Box::new(move |session| Box::pin(serve(session))) }),
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}
