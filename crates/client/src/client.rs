//! The client: one connection to a server, its namespaces, and what builds it.

use http::{Extensions, HeaderName, HeaderValue};
use parking_lot::Mutex;
use serde::Serialize;
use sockeye_engineio::Transport;
use sockeye_tokio_websocket::{Connector, Options, Proxy, codec};
use std::{collections::HashMap, error::Error, fmt, ops::Deref, sync::Arc, time::Duration};
use tokio::sync::oneshot;

use crate::{
    BuildError, Config, ConnectError, DisconnectReason, HandlerError, Socket, TransportError,
    core::{Core, Handle, OnError},
    handler::{ConnectErrorHandler, ConnectHandler, DisconnectHandler, EventHandler, HandlerId, Registered},
    mailbox::Command,
    socket::{Auth, SocketInner},
    url::Url,
};

/// What happens to the connection of a client, below its sockets; in the official client events of the `Manager`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ManagerEvent {
    /// The connection is open: `open`.
    Open,
    /// An attempt to connect failed, the first one or a later one: `error`.
    Error(ConnectError),
    /// The server pinged: `ping`.
    Ping,
    /// The connection goes on over this transport: `upgrade` of the engine.
    Upgrade(Transport),
    /// The connection stays on polling; the WebSocket failed for this reason, if there is one to tell: `upgradeError`.
    UpgradeError(Option<TransportError>),
    /// The connection ended: `close`.
    Close(DisconnectReason),
    /// The attempt of this number begins, counted from 1: `reconnect_attempt`.
    ReconnectAttempt(u32),
    /// The attempt of this number succeeded: `reconnect`.
    Reconnect(u32),
    /// An attempt to reconnect failed: `reconnect_error`.
    ReconnectError(ConnectError),
    /// As many attempts failed as [`Config::reconnection_attempts`] allows: `reconnect_failed`. All sockets are inactive
    /// now.
    ReconnectFailed,
}

/// A client of a Socket.IO server: one connection, shared by all its namespaces. Cloning it is cheap and gives the same
/// client.
///
/// It dereferences to the [`Socket`] of the namespace that its URL names, so that `client.on(..)` and `client.emit(..)` mean
/// that one; [`of`](Self::of) gives the others.
///
/// ```no_run
/// use sockeye_client::{Client, Data};
///
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder("http://localhost:3000")
///     .on("news", async |Data(text): Data<String>| println!("{text}"))
///     .connect()
///     .await?;
/// client.emit("hello", "world")?;
/// let time: String = client.emit_with_ack("time?", ()).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
    main: Socket,
}

impl Client {
    /// What builds a client of the server at `url`: `http://`, `ws://`, or with the feature `tls` `https://`, `wss://`. The
    /// path names the namespace (where the server answers is [`Config::path`]), the query goes with all requests, and
    /// user name and password are sent by Basic authentication.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(url.into())
    }

    /// The socket of another namespace, over the same connection. It is not connected until it is
    /// [opened](Socket::open).
    ///
    /// # Panics
    /// When `name` contains a comma, which no packet could carry.
    pub fn of(&self, name: &str) -> Socket {
        assert!(!name.contains(','), "the name of a namespace cannot contain a comma: {name:?}");
        let name = if name.starts_with('/') { name.to_owned() } else { format!("/{name}") };
        let mut sockets = self.handle.sockets.lock();
        let core = &self.handle.core;
        let inner =
            sockets.entry(name).or_insert_with_key(|name| SocketInner::new(core.clone(), name.clone()));
        Socket::new(inner.clone(), Some(self.handle.clone()))
    }

    /// Observes the connection. The observer must not block.
    pub fn on_manager_event(&self, observer: impl Fn(&ManagerEvent) + Send + Sync + 'static) -> HandlerId {
        let registered = Registered::new(Arc::new(observer) as Arc<crate::core::OnManagerEvent>, false);
        let id = registered.id;
        let mut observers = self.handle.core.observers.write();
        let changed = observers.iter().cloned().chain([registered]).collect();
        let before = std::mem::replace(&mut *observers, Arc::new(changed));
        drop(observers);
        drop(before);
        id
    }

    /// Disconnects all sockets and closes the connection, after what was emitted is sent. Returns when that is done, after
    /// [`Config::close_timeout`] at the latest. Sockets can be [opened](Socket::open) again.
    ///
    /// What was emitted right before may still be lost at an official server, which drops events that arrive together with a
    /// DISCONNECT: wait for the acknowledgement of what must arrive.
    ///
    /// Cancel safe: it goes on without being awaited.
    pub async fn close(&self) {
        let sockets: Vec<Socket> = self
            .handle
            .sockets
            .lock()
            .values()
            .map(|inner| Socket::new(inner.clone(), Some(self.handle.clone())))
            .collect();
        for socket in sockets {
            socket.disconnect();
        }
        let (sender, receiver) = oneshot::channel();
        self.handle.core.mailbox.command(Command::Close(sender));
        self.handle.core.start();
        let _ = receiver.await;
    }
}

impl Deref for Client {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.main
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.handle.core.url.authority)
            .field("socket", &self.main)
            .finish_non_exhaustive()
    }
}

impl From<&Client> for Socket {
    fn from(client: &Client) -> Self {
        client.main.clone()
    }
}

impl Client {
    /// The client of a socket, while it has handles.
    fn of_socket(socket: &Socket) -> Option<Self> {
        let handle = socket.handle()?.clone();
        let main = handle.sockets.lock().get(&handle.core.url.namespace).cloned()?;
        Some(Self { main: Socket::new(main, Some(handle.clone())), handle })
    }
}

impl Socket {
    /// The client that it belongs to. `None` in a handler that runs after the last handle was dropped.
    pub fn client(&self) -> Option<Client> {
        Client::of_socket(self)
    }
}

type Registration = Box<dyn FnOnce(&Socket) + Send>;

/// Builds a [`Client`]. What concerns a socket (`auth` and handlers) concerns that of the namespace in the URL.
///
/// | to | |
/// |---|---|
/// | [`connect`](Self::connect) | connect now, and fail if that fails |
/// | [`open`](Self::open) | connect in the background, and keep trying |
/// | [`build`](Self::build) | not connect yet |
#[must_use = "nothing happens until `connect`, `open` or `build`"]
pub struct Builder {
    url: String,
    config: Config,
    connector: Connector,
    state: Extensions,
    auth: Result<Auth, serde_json::Error>,
    on_error: Option<Box<OnError>>,
    registrations: Vec<Registration>,
}

impl Builder {
    fn new(url: String) -> Self {
        Self {
            url,
            config: Config::default(),
            connector: Connector::new(),
            state: Extensions::new(),
            auth: Ok(Auth::None),
            on_error: None,
            registrations: Vec::new(),
        }
    }

    /// Changes options: `builder.config(|config| config.reconnection_delay = Duration::from_secs(10))`.
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// What the server gets as `auth` with every attempt to connect. It must serialize to an object; else building fails.
    pub fn auth(mut self, auth: impl Serialize) -> Self {
        self.auth = Auth::value(auth);
        self
    }

    /// What the server gets as `auth`, made anew for every attempt to connect: see [`Socket::set_auth_fn`].
    ///
    /// ```
    /// # use sockeye_client::Client;
    /// # async fn fetch_token() -> Result<String, std::io::Error> { Ok(String::new()) }
    /// let builder = Client::builder("http://localhost:3000").auth_fn(async || {
    ///     let token = fetch_token().await?;
    ///     Ok::<_, std::io::Error>(serde_json::json!({ "token": token }))
    /// });
    /// ```
    pub fn auth_fn<F, Fut, T, E>(mut self, make: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Serialize,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.auth = Ok(Auth::function(make));
        self
    }

    /// The transports to use, the one to begin with first: [`Config::transports`].
    pub fn transports(mut self, transports: impl IntoIterator<Item = Transport>) -> Self {
        self.config.transports = transports.into_iter().collect();
        self
    }

    /// Adds a parameter to all requests: the `query` of the server's handshake.
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.query.push((name.into(), value.into()));
        self
    }

    /// Adds a header field to all requests, such as `Origin`, `Authorization` or `Cookie`. `Host` replaces the one that the
    /// URL gives.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.headers.push((name.into(), value.into()));
        self
    }

    /// Connects through a proxy. Without this, the environment's proxies are not used either; [`Proxy::from_env`] uses
    /// them.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.connector = self.connector.proxy(proxy);
        self
    }

    /// Trusts the certificates that these roots vouch for, and no others. Without this, whom the platform trusts.
    #[cfg(feature = "tls")]
    pub fn tls_roots(mut self, roots: sockeye_tokio_websocket::rustls::RootCertStore) -> Self {
        self.connector = self.connector.tls_roots(roots);
        self
    }

    /// Uses a TLS configuration of the caller's: client certificates, other cryptography, other trust.
    #[cfg(feature = "tls")]
    pub fn tls_config(mut self, config: Arc<sockeye_tokio_websocket::rustls::ClientConfig>) -> Self {
        self.connector = self.connector.tls_config(config);
        self
    }

    /// Adds something that handlers can take as [`State<T>`](crate::State); they get a clone. One per type.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(state);
        self
    }

    /// Handles an event: [`Socket::on`].
    ///
    /// # Panics
    /// When the client is built, if `event` is a reserved name.
    pub fn on<M: 'static>(self, event: &str, handler: impl EventHandler<M>) -> Self {
        let event = event.to_owned();
        self.register(move |socket| {
            socket.on(&event, handler);
        })
    }

    /// Observes all events: [`Socket::on_any`].
    pub fn on_any<M: 'static>(self, handler: impl EventHandler<M>) -> Self {
        self.register(|socket| {
            socket.on_any(handler);
        })
    }

    /// Called whenever the socket has connected: [`Socket::on_connect`].
    pub fn on_connect<M: 'static>(self, handler: impl ConnectHandler<M>) -> Self {
        self.register(|socket| {
            socket.on_connect(handler);
        })
    }

    /// Called whenever the socket could not connect: [`Socket::on_connect_error`].
    pub fn on_connect_error<M: 'static>(self, handler: impl ConnectErrorHandler<M>) -> Self {
        self.register(|socket| {
            socket.on_connect_error(handler);
        })
    }

    /// Called whenever the socket has disconnected: [`Socket::on_disconnect`].
    pub fn on_disconnect<M: 'static>(self, handler: impl DisconnectHandler<M>) -> Self {
        self.register(|socket| {
            socket.on_disconnect(handler);
        })
    }

    /// Told of what goes wrong in and around handlers, of all sockets of the client.
    pub fn on_error(mut self, handle: impl Fn(&Socket, &HandlerError) + Send + Sync + 'static) -> Self {
        self.on_error = Some(Box::new(handle));
        self
    }

    fn register(mut self, register: impl FnOnce(&Socket) + Send + 'static) -> Self {
        self.registrations.push(Box::new(register));
        self
    }

    /// A client that is not connected. [`Socket::open`] and [`Socket::connect`] connect it.
    ///
    /// # Errors
    /// What of the URL or the options cannot be.
    pub fn build(self) -> Result<Client, BuildError> {
        self.config.check()?;
        let url = Url::parse(&self.url)?;
        let auth = self.auth.map_err(|_| BuildError::Config("auth data must be an object"))?;
        let connector = connector(self.connector, &self.config, &url)?;
        let core = Arc::new(Core::new(self.config, url, connector, self.state, self.on_error));
        let handle = Arc::new(Handle { core, sockets: Mutex::new(HashMap::new()) });
        let _ = handle.core.handle.set(Arc::downgrade(&handle));
        let inner = SocketInner::new(handle.core.clone(), handle.core.url.namespace.clone());
        handle.sockets.lock().insert(inner.namespace().to_owned(), inner.clone());
        let main = Socket::new(inner, Some(handle.clone()));
        main.put_auth(auth);
        for register in self.registrations {
            register(&main);
        }
        Ok(Client { handle, main })
    }

    /// A client that connects in the background, and keeps trying: [`Socket::open`].
    ///
    /// # Errors
    /// As [`build`](Self::build).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(self) -> Result<Client, BuildError> {
        let client = self.build()?;
        client.open();
        Ok(client)
    }

    /// A client that has connected. From now on it reconnects by itself.
    ///
    /// # Errors
    /// As [`build`](Self::build), and why the first attempt failed; the client is gone then.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let client = self.build()?;
        client.main.connect().await?;
        Ok(client)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("connector", &self.connector).finish_non_exhaustive()
    }
}

/// How the transports connect.
fn connector(connector: Connector, config: &Config, url: &Url) -> Result<Connector, BuildError> {
    let limits = codec::Config::default().with_max_message_len(config.max_payload_len as u64);
    let options = Options {
        config: limits,
        deflate: config.deflate,
        close_timeout: config.close_timeout,
        ..Options::default()
    };
    // An attempt as a whole has a limit of its own, which tries several transports.
    let mut connector = connector.options(options).handshake_timeout(Duration::MAX);
    for (name, value) in &config.headers {
        if HeaderName::from_bytes(name.as_bytes()).is_err() || HeaderValue::from_str(value).is_err() {
            return Err(BuildError::Header(name.clone()));
        }
        connector = connector.header(name, value);
    }
    let authorized = config.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    if let Some(authorization) = url.authorization.as_ref().filter(|_| !authorized) {
        connector = connector.header("Authorization", authorization);
    }
    Ok(connector)
}
