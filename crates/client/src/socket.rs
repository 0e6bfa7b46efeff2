//! Sockets: a namespace of the server, as the client sees it.

use bytestring::ByteString;
use parking_lot::{Mutex, MutexGuard, RwLock};
use serde::Serialize;
use serde_json::{Map, Value};
use sockeye_socketio::{Args, EventArgs, handler::FromAnswer, is_reserved_event};
use std::{
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::oneshot;

use crate::{
    AckError, AckFuture, ConnectError, DisconnectReason, EmitError, Events, HandlerError,
    ack::Waiting,
    core::{Core, Handle},
    handler::{
        BoxFuture, ConnectErrorHandler, ConnectHandler, DisconnectHandler, EventHandler, HandlerId, Handlers,
        Registered, erase_connect, erase_connect_error, erase_disconnect, erase_event,
    },
    mailbox::{Command, Pushed},
    outgoing::Outgoing,
    state::{AckSender, Phase, Queued, State, Told},
    stream,
    trace::warn,
};

/// A socket: the client's end of a namespace. Cloning it is cheap and gives the same socket.
///
/// Emitting never blocks and never waits. While the socket is not connected events are kept, within
/// [limits](crate::Config::max_buffer_count), and sent in order when it is.
///
/// When the last handle ([`Client`](crate::Client) or `Socket`) is dropped, the client says good-bye to the server and
/// ends. A handler that owns a `Socket` keeps its client alive; take it as an argument of the handler instead.
#[derive(Clone)]
pub struct Socket {
    inner: Arc<SocketInner>,
    /// Not there in handlers that run after the last handle was dropped.
    handle: Option<Arc<Handle>>,
}

type MakeAuth = dyn Fn() -> BoxFuture<Result<Map<String, Value>, Arc<dyn Error + Send + Sync>>> + Send + Sync;

/// What is sent with every attempt to connect to a namespace.
#[derive(Clone, Default)]
pub(crate) enum Auth {
    #[default]
    None,
    Value(Arc<Map<String, Value>>),
    Function(Arc<MakeAuth>),
}

impl Auth {
    pub(crate) fn value(value: impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(match into_map(value)? {
            map if map.is_empty() => Self::None,
            map => Self::Value(Arc::new(map)),
        })
    }

    pub(crate) fn function<F, Fut, T, E>(make: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Serialize,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self::Function(Arc::new(move || {
            let making = make();
            Box::pin(async move {
                let made = making.await.map_err(|error| Arc::from(error.into()))?;
                into_map(made).map_err(|error| Arc::from(Box::<dyn Error + Send + Sync>::from(error)))
            })
        }))
    }
}

/// Servers take nothing but an object.
fn into_map(value: impl Serialize) -> Result<Map<String, Value>, serde_json::Error> {
    match serde_json::to_value(value)? {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => Err(serde::ser::Error::custom("auth data must be an object")),
    }
}

pub(crate) struct SocketInner {
    core: Arc<Core>,
    namespace: String,
    state: Mutex<State>,
    next_ack_id: AtomicU64,
    /// Counts the connections, so that what belongs to an earlier one is recognized.
    connection: AtomicU64,
    handlers: RwLock<Arc<Handlers>>,
    auth: Mutex<Auth>,
}

impl SocketInner {
    pub(crate) fn new(core: Arc<Core>, namespace: String) -> Arc<Self> {
        Arc::new(Self {
            core,
            namespace,
            state: Mutex::default(),
            next_ack_id: AtomicU64::new(0),
            connection: AtomicU64::new(0),
            handlers: RwLock::default(),
            auth: Mutex::default(),
        })
    }

    pub(crate) const fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn connection(&self) -> u64 {
        self.connection.load(Ordering::Relaxed)
    }

    /// What is owed over earlier connections is not owed any more.
    pub(crate) fn next_connection(&self) {
        self.connection.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn handlers(&self) -> Arc<Handlers> {
        self.handlers.read().clone()
    }

    fn change_handlers<T>(&self, change: impl FnOnce(&mut Handlers) -> T) -> T {
        let mut handlers = self.handlers.write();
        let mut changed = Handlers::clone(&handlers);
        let result = change(&mut changed);
        let before = std::mem::replace(&mut *handlers, Arc::new(changed));
        drop(handlers);
        // What is dropped may be the user's.
        drop(before);
        result
    }

    /// Removes a handler; `false` when it is not there any more.
    pub(crate) fn remove_handler(&self, id: HandlerId) -> bool {
        self.change_handlers(|handlers| handlers.remove(id))
    }

    /// The client is gone: handlers may hold what would keep something in memory, and streams end.
    pub(crate) fn clear_handlers(&self) {
        let before = std::mem::take(&mut *self.handlers.write());
        drop(before);
    }

    pub(crate) fn auth(&self) -> Auth {
        self.auth.lock().clone()
    }

    /// All handles are gone.
    pub(crate) fn abandon(&self) {
        let mut told = Told::default();
        let (active, connecting, closing) = {
            let mut state = self.state();
            let active = state.phase != Phase::Inactive;
            if state.phase == Phase::Connected {
                self.push_disconnect();
            }
            state.abandon(&mut told);
            (active, std::mem::take(&mut state.connecting), std::mem::take(&mut state.closing))
        };
        told.send();
        drop((connecting, closing));
        if !active {
            // Otherwise the task has something to tell them.
            self.clear_handlers();
        }
    }

    fn push_disconnect(&self) {
        if let Ok(packet) = Outgoing::disconnect(self.core.config.parser, &self.namespace) {
            self.core.mailbox.push_always(packet);
        }
    }

    fn next_ack_id(&self) -> u64 {
        self.next_ack_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells the observers of what is emitted about an event that is sent now.
    pub(crate) fn observe_outgoing(&self, packet: &Outgoing) {
        let handlers = self.handlers();
        if handlers.outgoing.is_empty() {
            return;
        }
        // It was encoded here, so it can be read.
        let _ = packet.read(|name, args| {
            for observer in &handlers.outgoing {
                (observer.handler)(name, args);
            }
        });
    }

    /// Sends the first event of the retry queue, if it is its turn.
    pub(crate) fn drain_queue(&self) {
        let sent = {
            let mut state = self.state();
            let now = self.core.now();
            let Some(queued) = state.next_queued(now, || self.next_ack_id()) else { return };
            let parser = self.core.config.parser;
            let packet = Outgoing::event(parser, &self.namespace, queued.ack_id, &queued.name, &queued.args)
                .map(|packet| packet.compression(queued.compress));
            let Ok(packet) = packet else { return };
            self.core.mailbox.push_always(packet.clone());
            packet
        };
        self.observe_outgoing(&sent);
    }

    fn send<A: EventArgs>(
        self: &Arc<Self>,
        event: &str,
        args: &A,
        options: EmitOptions,
        mut sender: Option<AckSender>,
    ) -> Result<Option<u64>, EmitError> {
        if self.core.config.retries.is_some() && !options.volatile {
            return self.send_with_retries(event, args, options, sender).map(|()| None);
        }
        let id = sender.is_some().then(|| self.next_ack_id());
        let parser = self.core.config.parser;
        let packet = Outgoing::event(parser, &self.namespace, id, event, args)?.compression(options.compress);
        if self.state().phase == Phase::Connected {
            self.observe_outgoing(&packet);
        }
        let mut told = Told::default();
        let sent = {
            let mut state = self.state();
            let connected = state.phase == Phase::Connected;
            if !connected && options.volatile {
                // Dropping the sender fails the acknowledgement.
                return Ok(None);
            }
            if let (Some(id), Some(sender)) = (id, sender.take()) {
                state.expect(id, sender);
            }
            let sent = if !connected {
                state.buffer(packet, id, &self.core.config, &mut told)
            } else if self.core.mailbox.push(packet, options.volatile) == Pushed::Full {
                Err(EmitError::BufferFull)
            } else {
                Ok(())
            };
            if let (Err(_), Some(id)) = (&sent, id) {
                state.forget(id, false);
            }
            sent
        };
        told.send();
        sent.map(|()| id)
    }

    fn send_with_retries<A: EventArgs>(
        &self,
        event: &str,
        args: &A,
        options: EmitOptions,
        sender: Option<AckSender>,
    ) -> Result<(), EmitError> {
        // Through a packet, so that what is kept is what is sent, and errors are found now.
        let packet = Outgoing::event(self.core.config.parser, &self.namespace, Some(0), event, args)?;
        let Ok(args) = packet.read(|_, args| args.into()) else { return Ok(()) };
        let queued = Queued {
            name: event.to_owned(),
            args,
            len: packet.len(),
            compress: options.compress,
            timeout: options.timeout.or(self.core.config.ack_timeout),
            sender,
            try_count: 0,
            ack_id: None,
            deadline: None,
        };
        let mut told = Told::default();
        let enqueued = self.state().enqueue(queued, &self.core.config, &mut told);
        told.send();
        enqueued?;
        self.drain_queue();
        // Its deadline is the task's to keep.
        self.core.mailbox.nudge();
        Ok(())
    }
}

impl fmt::Debug for SocketInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketInner").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy)]
struct EmitOptions {
    timeout: Option<Duration>,
    volatile: bool,
    compress: bool,
}

impl Socket {
    pub(crate) const fn new(inner: Arc<SocketInner>, handle: Option<Arc<Handle>>) -> Self {
        Self { inner, handle }
    }

    /// The socket as handlers get it.
    pub(crate) fn for_handler(inner: &Arc<SocketInner>) -> Self {
        let handle = inner.core.handle.get().and_then(std::sync::Weak::upgrade);
        Self { inner: inner.clone(), handle }
    }

    pub(crate) const fn inner(&self) -> &Arc<SocketInner> {
        &self.inner
    }

    pub(crate) fn report(&self, error: &HandlerError) {
        warn!(target: "sockeye_client::socket", error = %error, "handler failed");
        if let Some(on_error) = &self.inner.core.on_error {
            on_error(self, error);
        }
    }

    pub(crate) fn state<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.inner.core.state.get().cloned()
    }

    /// The name of its namespace.
    pub fn namespace(&self) -> &str {
        &self.inner.namespace
    }

    /// Its id, while it is connected: what the server knows it by.
    pub fn id(&self) -> Option<ByteString> {
        self.inner.state().id.clone()
    }

    /// Whether it is connected now.
    pub fn is_connected(&self) -> bool {
        self.inner.state().phase == Phase::Connected
    }

    /// Whether it is connected, or will be as soon as that is possible.
    pub fn is_active(&self) -> bool {
        self.inner.state().phase != Phase::Inactive
    }

    /// Whether the server recovered its state when it connected last: its rooms, its data, and the events that it missed.
    pub fn is_recovered(&self) -> bool {
        self.inner.state().recovered
    }

    /// How many events wait to be sent, until it connects or for their retry.
    pub fn buffered_count(&self) -> usize {
        self.inner.state().waiting_count()
    }

    /// Connects in the background, and again whenever the connection is lost. Does nothing when it is active already.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(&self) {
        self.activate(None);
    }

    /// Connects, and waits for the first outcome. The socket goes on trying after an error that may pass, unless
    /// [`reconnection`](crate::Config::reconnection) is off; [`disconnect`](Self::disconnect) ends that.
    ///
    /// Cancel safe: dropping the future changes nothing else.
    ///
    /// # Errors
    /// Why the first attempt failed.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn connect(&self) -> Result<(), ConnectError> {
        let (sender, receiver) = oneshot::channel();
        self.activate(Some(sender));
        receiver.await.unwrap_or(Err(ConnectError::Closed))
    }

    fn activate(&self, waiting: Option<oneshot::Sender<Result<(), ConnectError>>>) {
        {
            let mut state = self.inner.state();
            match (state.phase, waiting) {
                (Phase::Connected, Some(waiting)) => {
                    drop(state);
                    let _ = waiting.send(Ok(()));
                    return;
                }
                (_, Some(waiting)) => state.connecting.push(waiting),
                (_, None) => {}
            }
            if state.phase != Phase::Inactive {
                return;
            }
            state.phase = Phase::Connecting;
        }
        self.inner.core.mailbox.command(Command::Open(self.inner.clone()));
        self.inner.core.start();
    }

    /// Disconnects from the namespace, and ends the attempts to connect to it. When no namespace is left, the connection is
    /// closed. Events that wait to be sent go on waiting until the socket is [opened](Self::open) again.
    pub fn disconnect(&self) {
        let mut told = Told::default();
        let (connecting, closing) = {
            let mut state = self.inner.state();
            if state.phase == Phase::Inactive {
                return;
            }
            if state.phase == Phase::Connected {
                self.inner.push_disconnect();
            }
            state.last_reason = Some(DisconnectReason::IoClientDisconnect);
            state.disconnect(Phase::Inactive, self.inner.core.config.retries.unwrap_or(0), &mut told);
            (std::mem::take(&mut state.connecting), std::mem::take(&mut state.closing))
        };
        told.send();
        for waiting in connecting {
            let _ = waiting.send(Err(ConnectError::Closed));
        }
        drop(closing);
        self.inner.core.mailbox.command(Command::Leave(self.inner.clone()));
    }

    /// Waits until the socket is not active any more: disconnected by either side, refused by the server, or given up.
    /// Returns why it disconnected last, if it was connected. Cancel safe.
    pub async fn closed(&self) -> Option<DisconnectReason> {
        let receiver = {
            let mut state = self.inner.state();
            (state.phase != Phase::Inactive).then(|| {
                let (sender, receiver) = oneshot::channel();
                state.closing.retain(|sender| !sender.is_closed());
                state.closing.push(sender);
                receiver
            })
        };
        if let Some(receiver) = receiver {
            // The other end is dropped, which tells as much.
            let _ = receiver.await;
        }
        self.inner.state().last_reason
    }

    /// What the server gets as `auth` with the next attempts to connect; it must serialize to an object. Replaces what was
    /// set before.
    ///
    /// # Errors
    /// When it does not.
    pub fn set_auth(&self, auth: impl Serialize) -> Result<(), serde_json::Error> {
        *self.inner.auth.lock() = Auth::value(auth)?;
        Ok(())
    }

    /// What the server gets as `auth`, made anew for every attempt to connect: a token that expires. When the function
    /// fails the socket does not connect, and `connect_error` tells why.
    pub fn set_auth_fn<F, Fut, T, E>(&self, make: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Serialize,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.put_auth(Auth::function(make));
    }

    pub(crate) fn put_auth(&self, auth: Auth) {
        let before = std::mem::replace(&mut *self.inner.auth.lock(), auth);
        drop(before);
    }

    /// Sends an event to the server, or keeps it until the socket is connected.
    ///
    /// ```no_run
    /// # fn f(socket: sockeye_client::Socket, user: serde_json::Value) -> Result<(), sockeye_client::EmitError> {
    /// socket.emit("tick", ())?; // no argument
    /// socket.emit("hello", "world")?; // one
    /// socket.emit("user", &user)?; // one, anything that serializes
    /// socket.emit("sum", (1, 2.5, "three"))?; // several
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the arguments cannot be encoded, or too much waits already.
    pub fn emit<A: EventArgs>(&self, event: &str, args: A) -> Result<(), EmitError> {
        self.emitter().emit(event, args)
    }

    /// Sends an event and waits for the server's acknowledgement, of which it reads the first argument (or more, see
    /// [`FromAnswer`]). It waits without limit unless a [`timeout`](Self::timeout) was set, here or by
    /// [`Config::ack_timeout`](crate::Config::ack_timeout).
    ///
    /// ```no_run
    /// # async fn f(socket: sockeye_client::Socket) -> Result<(), sockeye_client::AckError> {
    /// use std::time::Duration;
    ///
    /// let ready: bool = socket.timeout(Duration::from_secs(5)).emit_with_ack("ready?", ()).await?;
    /// # let _ = ready; Ok(()) }
    /// ```
    pub fn emit_with_ack<T: FromAnswer, A: EventArgs>(&self, event: &str, args: A) -> AckFuture<T> {
        self.emitter().emit_with_ack(event, args)
    }

    /// Sends an event called `message`.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn send<A: EventArgs>(&self, args: A) -> Result<(), EmitError> {
        self.emit("message", args)
    }

    fn emitter(&self) -> Emitter {
        let options = EmitOptions { timeout: None, volatile: false, compress: true };
        Emitter { socket: self.clone(), options }
    }

    /// The next acknowledgement may take this long.
    pub fn timeout(&self, timeout: Duration) -> Emitter {
        self.emitter().timeout(timeout)
    }

    /// The next event is dropped if it cannot be sent at this instant.
    pub fn volatile(&self) -> Emitter {
        self.emitter().volatile()
    }

    /// Whether the next event is compressed, if the connection can. Default yes.
    pub fn compress(&self, compress: bool) -> Emitter {
        self.emitter().compress(compress)
    }

    /// Handles an event of the server; see [`handler`](crate::handler) for what handlers take and return. Several handlers
    /// of one event run in the order in which they were registered.
    ///
    /// # Panics
    /// When `event` is a reserved name.
    pub fn on<M: 'static>(&self, event: &str, handler: impl EventHandler<M>) -> HandlerId {
        self.add_event(event, handler, false)
    }

    /// The same, for the next event of this name only.
    ///
    /// # Panics
    /// When `event` is a reserved name.
    pub fn once<M: 'static>(&self, event: &str, handler: impl EventHandler<M>) -> HandlerId {
        self.add_event(event, handler, true)
    }

    fn add_event<M: 'static>(&self, event: &str, handler: impl EventHandler<M>, once: bool) -> HandlerId {
        #[allow(clippy::panic, reason = "misuse that the first run finds, documented at the callers")]
        if is_reserved_event(event) {
            panic!(
                "{event:?} is a reserved event name: see `on_connect`, `on_connect_error` and `on_disconnect`"
            );
        }
        let registered = Registered::new(erase_event(handler), once);
        let id = registered.id;
        self.inner
            .change_handlers(|handlers| handlers.named.entry(event.to_owned()).or_default().push(registered));
        id
    }

    /// Observes all events of the server, before their handlers.
    pub fn on_any<M: 'static>(&self, handler: impl EventHandler<M>) -> HandlerId {
        self.change(Registered::new(erase_event(handler), false), |handlers, new| handlers.any.push(new))
    }

    /// The same, in front of the observers that were registered before.
    pub fn prepend_any<M: 'static>(&self, handler: impl EventHandler<M>) -> HandlerId {
        self.change(Registered::new(erase_event(handler), false), |handlers, new| handlers.any.insert(0, new))
    }

    /// Observes all events that are sent, when they are: name and arguments. It must not block; on whose thread it runs is
    /// not defined.
    pub fn on_any_outgoing(&self, observer: impl Fn(&str, Args<'_>) + Send + Sync + 'static) -> HandlerId {
        self.change(Registered::new(Arc::new(observer) as _, false), |handlers, new| {
            handlers.outgoing.push(new)
        })
    }

    /// The same, in front of the observers that were registered before.
    pub fn prepend_any_outgoing(
        &self,
        observer: impl Fn(&str, Args<'_>) + Send + Sync + 'static,
    ) -> HandlerId {
        self.change(Registered::new(Arc::new(observer) as _, false), |handlers, new| {
            handlers.outgoing.insert(0, new);
        })
    }

    /// Called whenever the socket has connected, after the events that waited were sent.
    pub fn on_connect<M: 'static>(&self, handler: impl ConnectHandler<M>) -> HandlerId {
        self.change(Registered::new(erase_connect(handler), false), |handlers, new| {
            handlers.connect.push(new)
        })
    }

    /// Called whenever the socket could not connect.
    pub fn on_connect_error<M: 'static>(&self, handler: impl ConnectErrorHandler<M>) -> HandlerId {
        self.change(Registered::new(erase_connect_error(handler), false), |handlers, new| {
            handlers.connect_error.push(new);
        })
    }

    /// Called whenever the socket has disconnected.
    pub fn on_disconnect<M: 'static>(&self, handler: impl DisconnectHandler<M>) -> HandlerId {
        self.change(Registered::new(erase_disconnect(handler), false), |handlers, new| {
            handlers.disconnect.push(new);
        })
    }

    fn change<H: ?Sized>(
        &self,
        registered: Registered<H>,
        add: impl FnOnce(&mut Handlers, Registered<H>),
    ) -> HandlerId {
        let id = registered.id;
        self.inner.change_handlers(|handlers| add(handlers, registered));
        id
    }

    /// Removes a handler or observer of any kind. `false` when it is not there any more.
    pub fn off(&self, id: HandlerId) -> bool {
        self.inner.remove_handler(id)
    }

    /// Removes all handlers of an event. Returns how many there were.
    pub fn off_event(&self, event: &str) -> usize {
        self.inner.change_handlers(|handlers| handlers.named.remove(event).map_or(0, |list| list.len()))
    }

    /// Removes all observers of incoming events. Returns how many there were.
    pub fn off_any(&self) -> usize {
        self.inner.change_handlers(|handlers| std::mem::take(&mut handlers.any).len())
    }

    /// Removes all observers of outgoing events. Returns how many there were.
    pub fn off_any_outgoing(&self) -> usize {
        self.inner.change_handlers(|handlers| std::mem::take(&mut handlers.outgoing).len())
    }

    /// What happens to the socket from now on, as a stream. Handlers see the same.
    pub fn events(&self) -> Events {
        let (subscriber, events) = stream::channel(self.inner.core.config.max_stream_count);
        self.inner.change_handlers(|handlers| {
            handlers.subscribers.retain(|subscriber| !subscriber.is_closed());
            handlers.subscribers.push(subscriber);
        });
        events
    }

    /// The client that it belongs to, unless all its handles are gone.
    pub(crate) const fn handle(&self) -> Option<&Arc<Handle>> {
        self.handle.as_ref()
    }
}

impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Socket {}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("namespace", &self.namespace()).field("id", &self.id()).finish()
    }
}

/// One event to the server, with modifiers.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent until `emit` or `emit_with_ack`"]
pub struct Emitter {
    socket: Socket,
    options: EmitOptions,
}

impl Emitter {
    /// The acknowledgement may take this long, the time included that the event waits to be sent; then it is
    /// [`AckError::Timeout`]. With [`retries`](crate::Config::retries) it is the time for each try.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// The event is dropped if it cannot be sent at this instant: while the socket is not connected, or other packets wait.
    pub const fn volatile(mut self) -> Self {
        self.options.volatile = true;
        self
    }

    /// Whether the event is compressed, if the connection can. Default yes.
    pub const fn compress(mut self, compress: bool) -> Self {
        self.options.compress = compress;
        self
    }

    /// Sends the event.
    ///
    /// # Errors
    /// As [`Socket::emit`].
    pub fn emit<A: EventArgs>(self, event: &str, args: A) -> Result<(), EmitError> {
        self.socket.inner.send(event, &args, self.options, None).map(|_| ())
    }

    /// Sends the event and waits for the acknowledgement, of which it reads the first argument.
    pub fn emit_with_ack<T: FromAnswer, A: EventArgs>(self, event: &str, args: A) -> AckFuture<T> {
        let (sender, receiver) = oneshot::channel();
        let inner = &self.socket.inner;
        let sent = inner.send(event, &args, self.options, Some(sender)).map_err(AckError::Emit);
        AckFuture::new(sent.map(|id| {
            let timeout = self.options.timeout.or(inner.core.config.ack_timeout);
            // The retry queue keeps its time itself.
            Waiting::new(inner.clone(), id, receiver, timeout.filter(|_| id.is_some()))
        }))
    }
}
