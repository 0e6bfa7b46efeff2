//! The server: its namespaces, and what builds it.

use http::{Extensions, request};
use parking_lot::RwLock;
use sockeye_adapter::{Adapter, Node};
use std::{
    collections::HashMap,
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    Config, Namespace,
    engine::{Command, Engine},
    namespace::{MakeAdapter, NamespaceInner},
    service::{NotFound, SocketIoLayer, SocketIoService},
    trace::debug,
};

/// A Socket.IO server. Cloning it is cheap and gives the same server.
///
/// It dereferences to its main namespace `/`, so that `io.on(..)`, `io.to(..)` and `io.emit(..)` mean that one.
///
/// ```
/// use sockeye::{Data, Io, Socket};
///
/// let io = Io::new();
/// io.on("message", async |socket: Socket, Data(text): Data<String>| {
///     socket.to("lobby").emit("message", &text)
/// });
/// io.of("/admin").on_connection(async |socket: Socket| socket.emit("welcome", "admin"));
/// # tokio::runtime::Runtime::new().unwrap().block_on(async move {
/// let service = io.service(); // for hyper, tower or axum; or `Server::bind` for a server of its own
/// # let _ = service; });
/// ```
#[derive(Clone)]
pub struct Io {
    inner: Arc<IoInner>,
    main: Namespace,
}

pub(crate) type AllowRequest = dyn Fn(&request::Parts) -> Result<(), String> + Send + Sync;

pub(crate) struct IoInner {
    pub(crate) engine: Arc<Engine>,
    pub(crate) allow_request: Option<Box<AllowRequest>>,
    state: Arc<Extensions>,
    make_adapter: Option<Box<MakeAdapter>>,
    namespaces: RwLock<HashMap<String, Arc<NamespaceInner>>>,
    closing: AtomicBool,
}

impl Io {
    /// A server with the default options.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A server with other options.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The namespace called `name`, which comes into being if need be. Clients can connect to it from now on.
    ///
    /// # Panics
    /// When `name` contains a comma, which no packet could carry.
    pub fn of(&self, name: &str) -> Namespace {
        assert!(!name.contains(','), "the name of a namespace cannot contain a comma: {name:?}");
        let name = if name.starts_with('/') { name.to_owned() } else { format!("/{name}") };
        Namespace { inner: self.inner.namespace_or_create(&name) }
    }

    /// A service for tower, hyper or axum that answers requests for the server's path, and others with 404.
    pub fn service(&self) -> SocketIoService<NotFound> {
        SocketIoService::new(self.inner.clone(), NotFound)
    }

    /// A layer for tower or axum that answers requests for the server's path, and hands others on.
    pub fn layer(&self) -> SocketIoLayer {
        SocketIoLayer::new(self.inner.clone())
    }

    /// How many clients are connected to this server.
    pub fn client_count(&self) -> usize {
        self.inner.engine.registry.len()
    }

    /// Shuts down: new sessions are refused, and the connected clients disconnected. They get what is queued for
    /// them; returns when all sessions are over, or after `deadline`.
    pub async fn close(&self, deadline: Duration) {
        self.inner.closing.store(true, Ordering::Release);
        debug!(target: "sockeye::engine", "server shutting down");
        for mailbox in self.inner.engine.registry.all() {
            mailbox.command(Command::ShutDown);
        }
        let drained = async {
            while self.client_count() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(deadline, drained).await;
    }
}

impl Default for Io {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Io {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.main
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").field("clients", &self.client_count()).finish_non_exhaustive()
    }
}

impl IoInner {
    pub(crate) fn namespace(&self, name: &str) -> Option<Arc<NamespaceInner>> {
        self.namespaces.read().get(name).cloned()
    }

    fn namespace_or_create(&self, name: &str) -> Arc<NamespaceInner> {
        if let Some(namespace) = self.namespace(name) {
            return namespace;
        }
        let mut namespaces = self.namespaces.write();
        namespaces
            .entry(name.to_owned())
            .or_insert_with(|| {
                let deflate_threshold = self.engine.config.deflate_threshold();
                NamespaceInner::new(name, self.state.clone(), deflate_threshold, self.make_adapter.as_deref())
            })
            .clone()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }
}

/// Builds a server.
#[derive(Default)]
pub struct Builder {
    config: Config,
    state: Extensions,
    allow_request: Option<Box<AllowRequest>>,
    make_adapter: Option<Box<MakeAdapter>>,
}

impl Builder {
    /// Changes options: `builder.config(|config| config.ping_interval = Duration::from_secs(10))`.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Adds something that handlers can take as [`State<T>`](crate::State); they get a clone. One per type.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(state);
        self
    }

    /// Decides about every new session by its first request. A refusal is answered 403 with the text; on a WebSocket
    /// 400.
    #[must_use]
    pub fn allow_request(
        mut self,
        allow: impl Fn(&request::Parts) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.allow_request = Some(Box::new(allow));
        self
    }

    /// Connects the server to a cluster: `make` is called once per namespace, with what the adapter does here when
    /// operations of other servers arrive.
    #[must_use]
    pub fn adapter<A: Adapter>(mut self, make: impl Fn(Arc<dyn Node>) -> A + Send + Sync + 'static) -> Self {
        self.make_adapter = Some(Box::new(move |node| Arc::new(make(node))));
        self
    }

    /// The server.
    pub fn build(self) -> Io {
        let inner = Arc::new(IoInner {
            engine: Arc::new(Engine::new(self.config)),
            allow_request: self.allow_request,
            state: Arc::new(self.state),
            make_adapter: self.make_adapter,
            namespaces: RwLock::default(),
            closing: AtomicBool::new(false),
        });
        let main = Namespace { inner: inner.namespace_or_create("/") };
        Io { inner, main }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}
