//! The server: its namespaces, and what builds it.

use http::Extensions;
use parking_lot::RwLock;
use sockeye_adapter::{Adapter, Node};
use std::{collections::HashMap, fmt, ops::Deref, path::Path, sync::Arc, time::Duration};

use crate::{
    Config, ConnectionStateRecovery, Namespace, NamespaceMatcher, NamespaceRequest, Parser,
    client_files::ClientFiles,
    engine::{Hooks, Shared, engine_options},
    namespace::{Family, MakeAdapter, NamespaceInner},
    outgoing::Wire,
    service::{EngineLayer, EngineService, NotFound, Served},
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

pub(crate) struct IoInner {
    pub(crate) engine: Arc<Shared>,
    pub(crate) client_files: Option<ClientFiles>,
    state: Arc<Extensions>,
    make_adapter: Option<Box<MakeAdapter>>,
    namespaces: RwLock<HashMap<String, Arc<NamespaceInner>>>,
    /// The dynamic namespaces, in the order in which they are asked.
    parents: RwLock<Vec<Arc<NamespaceInner>>>,
    on_new_namespace: RwLock<Option<Arc<OnNewNamespace>>>,
}

type OnNewNamespace = dyn Fn(&Namespace) + Send + Sync;

impl Io {
    /// A server with the default options.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A server with other options.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The options.
    #[cfg(feature = "test-util")]
    pub(crate) fn config(&self) -> &Config {
        &self.inner.engine.config
    }

    /// The namespace called `name`, which comes into being if need be. Clients can connect to it from now on.
    ///
    /// If a [dynamic namespace](Self::of_dynamic) accepts the name, by nothing but the name, it is a child of that one, and
    /// stays even when it is empty.
    ///
    /// # Panics
    /// When `name` contains a comma, which no packet could carry.
    pub fn of(&self, name: &str) -> Namespace {
        assert!(!name.contains(','), "the name of a namespace cannot contain a comma: {name:?}");
        let name = if name.starts_with('/') { name.to_owned() } else { format!("/{name}") };
        Namespace { inner: self.inner.namespace_or_create(&name) }
    }

    /// Namespaces of which only the client knows the name: `matcher` decides whether one comes into being when a
    /// client asks for it and it does not exist. Several matchers are asked in the order of registration.
    ///
    /// What is returned is the parent of these namespaces. They inherit the handlers and middleware that it has, also those
    /// that it gets later, and what is emitted to it reaches the sockets of all of its children. It has no sockets of its
    /// own, and nobody can connect to it.
    ///
    /// ```
    /// use sockeye::{Io, NamespaceRequest, Socket};
    ///
    /// let io = Io::new();
    /// let rooms = io.of_dynamic(|name: &str| name.strip_prefix("/room-").is_some_and(|n| n.parse::<u32>().is_ok()));
    /// rooms.on_connection(async |socket: Socket| socket.emit("welcome", socket.namespace_name()));
    ///
    /// let projects = io.of_dynamic(async |request: NamespaceRequest| {
    ///     // any look-up, by the name, by what the client sent as `auth`, or by its first HTTP request
    ///     request.name().starts_with("/project/") && request.auth::<String>().is_ok()
    /// });
    /// projects.emit("maintenance", "in an hour")?;
    /// # Ok::<(), sockeye::EmitError>(())
    /// ```
    ///
    /// The matcher decides about namespaces, not about clients: once a namespace is there, it is not asked again. Who may
    /// connect is for [`middleware`](Namespace::middleware). A child lives as long as a socket is in it or somebody holds its
    /// [`Namespace`]; see [`Config::cleanup_empty_child_namespaces`] and [`Config::max_child_namespace_count`].
    pub fn of_dynamic<M: 'static>(&self, matcher: impl NamespaceMatcher<M>) -> Namespace {
        let mut parents = self.inner.parents.write();
        // As the official server names them, for logs.
        let name = format!("/_{}", parents.len());
        let parent = self.inner.new_namespace(&name).with_family(Family::new(matcher));
        let parent = Arc::new(parent);
        parents.push(parent.clone());
        Namespace { inner: parent }
    }

    /// Is told of every namespace that comes into being from now on, by [`of`](Self::of) or because a client asked for a
    /// [dynamic](Self::of_dynamic) one; the official server's `new_namespace`. There is one such function; a later one
    /// replaces it. It must not block.
    pub fn on_new_namespace(&self, handle: impl Fn(&Namespace) + Send + Sync + 'static) {
        let before = self.inner.on_new_namespace.write().replace(Arc::new(handle));
        drop(before);
    }

    /// A service for tower, hyper or axum that answers requests for the server's path, and others with 404.
    pub fn service(&self) -> EngineService<NotFound> {
        EngineService::new(Served::SocketIo(self.inner.clone()), NotFound)
    }

    /// A layer for tower or axum that answers requests for the server's path, and hands others on.
    pub fn layer(&self) -> EngineLayer {
        EngineLayer::new(Served::SocketIo(self.inner.clone()))
    }

    /// How many clients are connected to this server.
    pub fn client_count(&self) -> usize {
        self.inner.engine.registry.len()
    }

    /// Shuts down: new sessions are refused, and the connected clients disconnected. They get what is queued for
    /// them; then the server leaves its cluster. Returns when all sessions are over, or after `deadline`.
    pub async fn close(&self, deadline: Duration) {
        let closing = async {
            self.inner.engine.close().await;
            let namespaces: Vec<_> = self.inner.namespaces.read().values().cloned().collect();
            for adapter in namespaces.iter().filter_map(|namespace| namespace.adapter()) {
                adapter.close().await;
            }
        };
        let _ = tokio::time::timeout(deadline, closing).await;
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
        let known = self.namespaces.read().get(name).cloned();
        let known = known.or_else(|| self.parents.read().iter().find_map(|p| p.family()?.child(name)))?;
        // Whoever makes it may still be making its adapter.
        known.attach_adapter(self.make_adapter.as_deref());
        Some(known)
    }

    fn new_namespace(&self, name: &str) -> NamespaceInner {
        let config = &self.engine.config;
        let recovery = config.connection_state_recovery.as_ref();
        NamespaceInner::new(name, self.state.clone(), self.wire(), config.into(), recovery)
    }

    fn namespace_or_create(&self, name: &str) -> Arc<NamespaceInner> {
        if let Some(namespace) = self.namespaces.read().get(name) {
            return namespace.clone();
        }
        // Matchers are user code, so they are asked before the lock is taken.
        let parents = self.parents.read().clone();
        let accepting = parents.iter().find(|parent| parent.family().is_some_and(|f| f.accepts_name(name)));
        let mut namespaces = self.namespaces.write();
        let (namespace, is_new) = match namespaces.get(name) {
            Some(namespace) => (namespace.clone(), false),
            None => {
                let existing = parents.iter().find_map(|parent| parent.family()?.child(name));
                let is_new = existing.is_none();
                let namespace = existing
                    .or_else(|| accepting?.child_or_create(name, usize::MAX))
                    .unwrap_or_else(|| Arc::new(self.new_namespace(name)));
                namespaces.insert(name.to_owned(), namespace.clone());
                (namespace, is_new)
            }
        };
        drop(namespaces);
        self.introduce(&namespace, is_new);
        namespace
    }

    /// The dynamic namespace that a client asks for, if a matcher accepts it.
    pub(crate) async fn dynamic_namespace(&self, request: &NamespaceRequest) -> Option<Arc<NamespaceInner>> {
        let parents = self.parents.read().clone();
        for parent in &parents {
            if parent.family()?.accepts(request).await {
                return self.child_or_create(parent, request.name());
            }
        }
        None
    }

    fn child_or_create(&self, parent: &Arc<NamespaceInner>, name: &str) -> Option<Arc<NamespaceInner>> {
        let config = &self.engine.config;
        let mut namespaces = self.namespaces.write();
        if let Some(namespace) = namespaces.get(name).cloned() {
            // The application was quicker.
            drop(namespaces);
            self.introduce(&namespace, false);
            return Some(namespace);
        }
        let existing = parent.family()?.child(name);
        let child = parent.child_or_create(name, config.max_child_namespace_count);
        if let Some(child) = child.as_ref().filter(|_| !config.cleanup_empty_child_namespaces) {
            namespaces.insert(name.to_owned(), child.clone());
        }
        drop(namespaces);
        self.introduce(child.as_ref()?, existing.is_none());
        child
    }

    /// User code that a new namespace asks for, which runs under no lock.
    fn introduce(&self, namespace: &Arc<NamespaceInner>, is_new: bool) {
        namespace.attach_adapter(self.make_adapter.as_deref());
        if is_new {
            debug!(target: "sockeye::namespace", name = %namespace.name(), "new namespace");
            let handle = self.on_new_namespace.read().clone();
            if let Some(handle) = handle {
                handle(&Namespace { inner: namespace.clone() });
            }
        }
    }

    pub(crate) fn has_dynamic_namespaces(&self) -> bool {
        !self.parents.read().is_empty()
    }

    /// How packets are written.
    pub(crate) fn wire(&self) -> Wire {
        let config = &self.engine.config;
        Wire { parser: config.parser, deflate_threshold: config.deflate_threshold() }
    }
}

/// Builds a server.
#[derive(Default)]
pub struct Builder {
    config: Config,
    hooks: Hooks,
    client_files: Option<ClientFiles>,
    state: Extensions,
    make_adapter: Option<Box<MakeAdapter>>,
}

impl Builder {
    engine_options!();

    /// The form of the packets: [`Parser::MsgPack`] for clients with `parser: require("socket.io-msgpack-parser")`. It holds for
    /// all clients of the server; one that sends another form is disconnected.
    ///
    /// ```
    /// use sockeye::{Io, Parser};
    ///
    /// let io = Io::builder().parser(Parser::MsgPack).build();
    /// # let _ = io;
    /// ```
    #[must_use]
    pub const fn parser(mut self, parser: Parser) -> Self {
        self.config.parser = parser;
        self
    }

    /// Hands out the client, from a directory that has the official bundle (`client-dist` of the npm package `socket.io`):
    /// `<path>/socket.io.js`, and `.min.js`, `.msgpack.min.js` and `.esm.min.js` with their `.map`, as far as they are there
    /// and no other file. They are read now and kept in memory, about 1.5 MB. Default: nothing is handed out.
    ///
    /// # Errors
    /// When none of the files is there, or one cannot be read.
    pub fn serve_client(mut self, directory: impl AsRef<Path>) -> std::io::Result<Self> {
        self.client_files = Some(ClientFiles::read(directory.as_ref())?);
        Ok(self)
    }

    /// Adds something that handlers can take as [`State<T>`](crate::State); they get a clone. One per type.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(state);
        self
    }

    /// Connects the server to a cluster: `make` is called once per namespace, with what the adapter does here when
    /// operations of other servers arrive.
    #[must_use]
    pub fn adapter<A: Adapter>(mut self, make: impl Fn(Arc<dyn Node>) -> A + Send + Sync + 'static) -> Self {
        self.make_adapter = Some(Box::new(move |node| Arc::new(make(node))));
        self
    }

    /// Lets clients that lose their connection come back within a time as if they had not: with the same id, rooms
    /// and data, and with the events that they missed. [`Socket::recovered`](crate::Socket::recovered) tells.
    ///
    /// Events without acknowledgement that are not volatile get an additional last argument for it. An emit that
    /// is addressed to a client that is away waits for it. A client is let in twice with the same private id only one after
    /// the other: a new connection ends the old one, which is usually dead and the server does not know yet. All sockets get
    /// events in one order; so those of other threads may come before what the connection handlers of a new socket send.
    ///
    /// ```
    /// use sockeye::Io;
    /// use std::time::Duration;
    ///
    /// let io = Io::builder()
    ///     .connection_state_recovery(|recovery| recovery.max_disconnection_duration = Duration::from_secs(60))
    ///     .build();
    /// ```
    #[must_use]
    pub fn connection_state_recovery(mut self, change: impl FnOnce(&mut ConnectionStateRecovery)) -> Self {
        let mut recovery = ConnectionStateRecovery::default();
        change(&mut recovery);
        self.config.connection_state_recovery = Some(recovery);
        self
    }

    /// The server.
    pub fn build(self) -> Io {
        let inner = Arc::new(IoInner {
            engine: Arc::new(Shared::new(self.config, self.hooks)),
            client_files: self.client_files,
            state: Arc::new(self.state),
            make_adapter: self.make_adapter,
            namespaces: RwLock::default(),
            parents: RwLock::default(),
            on_new_namespace: RwLock::default(),
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
