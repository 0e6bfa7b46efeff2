//! Namespaces: handlers registered once, and the sockets of this server with their rooms.

use http::Extensions;
use parking_lot::RwLock;
use sockeye_adapter::{
    Adapter, AdapterError, BroadcastOptions, BroadcastPacket, Node, RemoteSocketData, Room, RoomIndex,
};
use sockeye_socketio::EventArgs;
use std::{
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    Broadcast, EmitError, HandlerError, Socket,
    handler::{
        AnyConnectionHandler, AnyDisconnectHandler, AnyEventHandler, AnyMiddleware, ConnectionHandler,
        DisconnectHandler, EventHandler, Middleware, erase_connection, erase_disconnect, erase_event,
        erase_middleware,
    },
    outgoing::Outgoing,
};

/// A namespace of a server. Cloning it is cheap and gives the same namespace.
///
/// Handlers are registered once for all of its sockets, at any time; several for the same event run in the order in
/// which they were registered.
#[derive(Clone)]
pub struct Namespace {
    pub(crate) inner: Arc<NamespaceInner>,
}

/// Makes the adapter of a namespace.
pub(crate) type MakeAdapter = dyn Fn(Arc<dyn Node>) -> Arc<dyn Adapter> + Send + Sync;

type OnError = dyn Fn(&Socket, &HandlerError) + Send + Sync;

pub(crate) struct NamespaceInner {
    name: String,
    state: Arc<Extensions>,
    /// See [`Outgoing::compression`].
    deflate_threshold: Option<usize>,
    handlers: RwLock<Handlers>,
    index: RwLock<RoomIndex<Socket>>,
    /// `None` when the server is alone.
    adapter: OnceLock<Option<Arc<dyn Adapter>>>,
    /// Ack ids are unique in the namespace, so that a broadcast can share one.
    next_ack_id: AtomicU64,
}

#[derive(Default)]
struct Handlers {
    middleware: Vec<Arc<dyn AnyMiddleware>>,
    connection: Vec<Arc<dyn AnyConnectionHandler>>,
    disconnecting: Vec<Arc<dyn AnyDisconnectHandler>>,
    disconnect: Vec<Arc<dyn AnyDisconnectHandler>>,
    events: EventHandlers,
    error: Option<Arc<OnError>>,
}

/// Handlers of events: of all, and by name.
#[derive(Default)]
pub(crate) struct EventHandlers {
    any: Vec<Arc<dyn AnyEventHandler>>,
    named: HashMap<String, Vec<Arc<dyn AnyEventHandler>>>,
}

/// The handlers that an event goes to.
pub(crate) struct HandlersOf {
    /// Observers: what they return answers nothing.
    pub(crate) any: Vec<Arc<dyn AnyEventHandler>>,
    pub(crate) named: Vec<Arc<dyn AnyEventHandler>>,
}

impl EventHandlers {
    pub(crate) fn add(&mut self, event: &str, handler: Arc<dyn AnyEventHandler>) {
        self.named.entry(event.to_owned()).or_default().push(handler);
    }

    pub(crate) fn add_any(&mut self, handler: Arc<dyn AnyEventHandler>) {
        self.any.push(handler);
    }

    pub(crate) fn any(&self) -> impl Iterator<Item = Arc<dyn AnyEventHandler>> {
        self.any.iter().cloned()
    }

    pub(crate) fn named(&self, event: &str) -> impl Iterator<Item = Arc<dyn AnyEventHandler>> {
        self.named.get(event).into_iter().flatten().cloned()
    }
}

impl Namespace {
    /// Its name, with the leading slash.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Handles an event of the clients; see [`handler`](crate::handler) for what a handler takes and returns.
    ///
    /// A closure that captures something owned is `move |..| { let it = it.clone(); async move { .. } }`: the future of an
    /// `async move |..|` would borrow from the closure. [`State`](crate::State) needs neither.
    ///
    /// # Panics
    /// When `event` is a reserved name, such as `disconnect`: it never arrives as an event.
    pub fn on<M: 'static>(&self, event: &str, handler: impl EventHandler<M>) -> &Self {
        check_event_name(event);
        self.inner.handlers.write().events.add(event, erase_event(handler));
        self
    }

    /// Observes all events of the clients, before the handlers by name run. What it returns answers no
    /// acknowledgement; to answer it takes an [`Ack`](crate::Ack).
    pub fn on_any<M: 'static>(&self, handler: impl EventHandler<M>) -> &Self {
        self.inner.handlers.write().events.add_any(erase_event(handler));
        self
    }

    /// Handles new connections. The client already knows that it is connected.
    pub fn on_connection<M: 'static>(&self, handler: impl ConnectionHandler<M>) -> &Self {
        self.inner.handlers.write().connection.push(erase_connection(handler));
        self
    }

    /// Handles disconnections while the socket is still in its rooms.
    pub fn on_disconnecting<M: 'static>(&self, handler: impl DisconnectHandler<M>) -> &Self {
        self.inner.handlers.write().disconnecting.push(erase_disconnect(handler));
        self
    }

    /// Handles disconnections after the socket left its rooms.
    pub fn on_disconnect<M: 'static>(&self, handler: impl DisconnectHandler<M>) -> &Self {
        self.inner.handlers.write().disconnect.push(erase_disconnect(handler));
        self
    }

    /// Adds a middleware: it decides, once per connection and in the order of registration, whether a client may
    /// connect. An error becomes the client's `connect_error`; a
    /// [`ConnectError`](crate::ConnectError) can carry data.
    ///
    /// A client that goes away while middleware runs is never connected, and so never disconnects: what has to be undone
    /// at the end belongs into [`on_connection`](Self::on_connection).
    pub fn middleware<M: 'static>(&self, middleware: impl Middleware<M>) -> &Self {
        self.inner.handlers.write().middleware.push(erase_middleware(middleware));
        self
    }

    /// Is told of what goes wrong in handlers: arguments that do not deserialize, returned errors, panics. There is
    /// one such function; a later one replaces it. It must not block.
    pub fn on_error(&self, handle: impl Fn(&Socket, &HandlerError) + Send + Sync + 'static) -> &Self {
        self.inner.handlers.write().error = Some(Arc::new(handle));
        self
    }

    /// All sockets of the namespace, to be narrowed down.
    fn all(&self) -> Broadcast {
        Broadcast::new(self.inner.clone())
    }

    /// The sockets in a room; more calls of `to` add rooms.
    pub fn to(&self, room: impl Into<Room>) -> Broadcast {
        self.all().to(room)
    }

    /// The same as [`to`](Self::to): Socket.IO's `in`.
    pub fn within(&self, room: impl Into<Room>) -> Broadcast {
        self.all().to(room)
    }

    /// The sockets that are not in a room.
    pub fn except(&self, room: impl Into<Room>) -> Broadcast {
        self.all().except(room)
    }

    /// Only the sockets of this server, if there is a cluster.
    pub fn local(&self) -> Broadcast {
        self.all().local()
    }

    /// Sockets that cannot take the event at this instant miss it.
    pub fn volatile(&self) -> Broadcast {
        self.all().volatile()
    }

    /// Whether the event may be compressed, for clients that negotiated that; see [`Broadcast::compress`].
    pub fn compress(&self, compress: bool) -> Broadcast {
        self.all().compress(compress)
    }

    /// Sends an event to all sockets of the namespace.
    ///
    /// # Errors
    /// [`EmitError::Encode`].
    pub fn emit<A: EventArgs>(&self, event: &str, args: A) -> Result<(), EmitError> {
        self.all().emit(event, args)
    }

    /// All sockets of the namespace, those of other servers included.
    ///
    /// # Errors
    /// When a server of the cluster does not answer.
    pub async fn fetch_sockets(&self) -> Result<Vec<RemoteSocketData>, AdapterError> {
        self.all().fetch_sockets().await
    }

    /// Makes all sockets join a room.
    pub fn sockets_join(&self, room: impl Into<Room>) {
        self.all().sockets_join(room);
    }

    /// Makes all sockets leave a room.
    pub fn sockets_leave(&self, room: impl Into<Room>) {
        self.all().sockets_leave(room);
    }

    /// Disconnects all sockets; with `close` their whole connections.
    pub fn disconnect_sockets(&self, close: bool) {
        self.all().disconnect_sockets(close);
    }

    /// The sockets of this server.
    pub fn sockets(&self) -> Vec<Socket> {
        self.inner.select(&BroadcastOptions::default())
    }

    /// The socket with this id, if it is on this server.
    pub fn socket(&self, id: &str) -> Option<Socket> {
        self.inner.index.read().get(id).cloned()
    }

    /// How many sockets of this server are in a room.
    pub fn room_len(&self, room: &str) -> usize {
        self.inner.index.read().room_len(room)
    }

    /// The rooms that have members on this server, without those of the sockets' own ids.
    pub fn rooms(&self) -> Vec<Room> {
        self.inner.index.read().rooms().cloned().collect()
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Namespace").field(&self.inner.name).finish()
    }
}

impl fmt::Debug for NamespaceInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamespaceInner").field(&self.name).finish()
    }
}

/// # Panics
/// When the name is reserved.
pub(crate) fn check_event_name(event: &str) {
    assert!(
        !sockeye_socketio::is_reserved_event(event),
        "{event:?} is a reserved name; it never arrives as an event"
    );
}

impl NamespaceInner {
    pub(crate) fn new(
        name: &str,
        state: Arc<Extensions>,
        deflate_threshold: Option<usize>,
        make_adapter: Option<&MakeAdapter>,
    ) -> Arc<Self> {
        let namespace = Arc::new(Self {
            name: name.to_owned(),
            state,
            deflate_threshold,
            handlers: RwLock::default(),
            index: RwLock::default(),
            adapter: OnceLock::new(),
            next_ack_id: AtomicU64::new(0),
        });
        // The adapter holds the namespace only weakly: the namespace owns it.
        let node = LocalNode { name: name.to_owned(), namespace: Arc::downgrade(&namespace) };
        let _ = namespace.adapter.set(make_adapter.map(|make| make(Arc::new(node))));
        namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn state<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.state.get().cloned()
    }

    pub(crate) const fn deflate_threshold(&self) -> Option<usize> {
        self.deflate_threshold
    }

    pub(crate) fn next_ack_id(&self) -> u64 {
        self.next_ack_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The handlers of an event, those that are registered for all events apart; in both the namespace's come before
    /// the socket's.
    pub(crate) fn handlers_of(&self, socket: &Socket, event: &str) -> HandlersOf {
        let handlers = self.handlers.read();
        let own = socket.own_handlers();
        let own = own.as_deref();
        HandlersOf {
            any: handlers.events.any().chain(own.into_iter().flat_map(EventHandlers::any)).collect(),
            named: handlers
                .events
                .named(event)
                .chain(own.into_iter().flat_map(|own| own.named(event)))
                .collect(),
        }
    }

    pub(crate) fn middleware(&self) -> Vec<Arc<dyn AnyMiddleware>> {
        self.handlers.read().middleware.clone()
    }

    pub(crate) fn connection_handlers(&self) -> Vec<Arc<dyn AnyConnectionHandler>> {
        self.handlers.read().connection.clone()
    }

    pub(crate) fn disconnecting_handlers(&self) -> Vec<Arc<dyn AnyDisconnectHandler>> {
        self.handlers.read().disconnecting.clone()
    }

    pub(crate) fn disconnect_handlers(&self) -> Vec<Arc<dyn AnyDisconnectHandler>> {
        self.handlers.read().disconnect.clone()
    }

    pub(crate) fn report(&self, socket: &Socket, error: &HandlerError) {
        let handle = self.handlers.read().error.clone();
        if let Some(handle) = handle {
            // There is nobody left to tell of its panic.
            let _ = catch_unwind(AssertUnwindSafe(|| handle(socket, error)));
        }
    }

    /// Takes a socket that passed the middleware, and puts it into the rooms that this made it join.
    pub(crate) fn admit(&self, socket: &Socket) -> bool {
        let mut index = self.index.write();
        if !index.insert(socket.id().clone(), socket.clone()) {
            return false;
        }
        for room in socket.set_connected() {
            index.join(socket.id(), room);
        }
        true
    }

    pub(crate) fn remove(&self, socket: &Socket) {
        self.index.write().remove(socket.id());
    }

    pub(crate) fn join(&self, socket: &Socket, room: Room) -> bool {
        self.index.write().join(socket.id(), room)
    }

    pub(crate) fn leave(&self, socket: &Socket, room: &str) -> bool {
        self.index.write().leave(socket.id(), room)
    }

    pub(crate) fn rooms_of(&self, socket: &Socket) -> Vec<Room> {
        self.index.read().rooms_of(socket.id())
    }

    pub(crate) fn select(&self, options: &BroadcastOptions) -> Vec<Socket> {
        self.index.read().select(options)
    }

    /// Sends a packet to the selected sockets of this server. The lock is held for the selection only.
    pub(crate) fn broadcast_local(&self, packet: &Outgoing, options: &BroadcastOptions) {
        for socket in self.select(options) {
            let _ = socket.send(packet, options.volatile);
        }
    }

    /// The adapter, where a cluster has a part in an operation with these options.
    pub(crate) fn cluster(&self, options: &BroadcastOptions) -> Option<&Arc<dyn Adapter>> {
        if options.local { None } else { self.adapter.get().and_then(Option::as_ref) }
    }

    pub(crate) fn add_local(&self, options: &BroadcastOptions, rooms: &[Room]) {
        for socket in self.select(options) {
            for room in rooms {
                self.join(&socket, room.clone());
            }
        }
    }

    pub(crate) fn remove_local(&self, options: &BroadcastOptions, rooms: &[Room]) {
        for socket in self.select(options) {
            for room in rooms {
                self.leave(&socket, room);
            }
        }
    }

    pub(crate) fn disconnect_local(&self, options: &BroadcastOptions, close: bool) {
        for socket in self.select(options) {
            socket.disconnect(close);
        }
    }

    pub(crate) fn fetch_local(&self, options: &BroadcastOptions) -> Vec<RemoteSocketData> {
        self.select(options).iter().map(Socket::to_remote).collect()
    }
}

/// What an adapter does on this server when operations of others arrive.
struct LocalNode {
    name: String,
    namespace: Weak<NamespaceInner>,
}

impl Node for LocalNode {
    fn namespace(&self) -> &str {
        &self.name
    }

    fn broadcast(&self, packet: &BroadcastPacket, options: &BroadcastOptions) {
        if let Some(namespace) = self.namespace.upgrade() {
            let packet = Outgoing::from_broadcast(packet)
                .compression(namespace.deflate_threshold, !options.uncompressed);
            namespace.broadcast_local(&packet, options);
        }
    }

    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) {
        if let Some(namespace) = self.namespace.upgrade() {
            namespace.add_local(options, rooms);
        }
    }

    fn remove_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) {
        if let Some(namespace) = self.namespace.upgrade() {
            namespace.remove_local(options, rooms);
        }
    }

    fn disconnect_sockets(&self, options: &BroadcastOptions, close: bool) {
        if let Some(namespace) = self.namespace.upgrade() {
            namespace.disconnect_local(options, close);
        }
    }

    fn fetch_sockets(&self, options: &BroadcastOptions) -> Vec<RemoteSocketData> {
        self.namespace.upgrade().map(|namespace| namespace.fetch_local(options)).unwrap_or_default()
    }
}
