//! Namespaces: handlers registered once, and the sockets of this server with their rooms.

mod dynamic;
mod handlers;
mod registration;

use http::Extensions;
use parking_lot::RwLock;
use sockeye_adapter::{
    Adapter, AdapterError, BroadcastOptions, LocalPart, Node, Payload, RemoteSocketData, Room, RoomIndex,
};
use sockeye_socketio::{EventArgs, handler::FromAnswer};
use std::{
    collections::BTreeSet,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    Broadcast, BroadcastAckFuture, ConnectionStateRecovery, EmitError, HandlerError, RemoteSocket, Socket,
    config::SocketLimits,
    node::LocalNode,
    observe::Observers,
    outgoing::{Outgoing, Stamped, Wire},
    recovery::Recovery,
    room_event::RoomChanges,
    trace::warn,
};

pub use dynamic::{NamespaceMatcher, NamespaceRequest};
pub use handlers::HandlerId;

pub(crate) use dynamic::Family;
pub(crate) use handlers::{EventHandlers, Handlers, Registered, Snapshot, prepend, push};

/// A namespace of a server. Cloning it is cheap and gives the same namespace.
///
/// Handlers are registered once for all of its sockets, at any time; several for the same event run in the order in
/// which they were registered. Registering returns an id with which [`off`](Self::off) takes the handler away again.
///
/// Handlers of a [dynamic namespace](crate::Io::of_dynamic) are inherited by its children, where they come before the
/// child's own; what is done to its sockets is done to those of all children.
#[derive(Clone)]
pub struct Namespace {
    pub(crate) inner: Arc<NamespaceInner>,
}

/// Makes the adapter of a namespace.
pub(crate) type MakeAdapter = dyn Fn(Arc<dyn Node>) -> Arc<dyn Adapter> + Send + Sync;

pub(crate) struct NamespaceInner {
    name: String,
    state: Arc<Extensions>,
    wire: Wire,
    limits: SocketLimits,
    handlers: RwLock<Arc<Handlers>>,
    index: RwLock<RoomIndex<Socket>>,
    /// `None` when the server is alone.
    cluster: OnceLock<Option<Cluster>>,
    /// Ack ids are unique in the namespace, so that a broadcast can share one.
    next_ack_id: AtomicU64,
    /// Whether it has observers of outgoing events.
    is_observed: AtomicBool,
    /// Whether somebody wants to know what happens to its rooms.
    is_watched: AtomicBool,
    recovery: Option<Arc<Recovery>>,
    /// Of a child of a dynamic namespace.
    parent: Option<Arc<Self>>,
    /// Of a dynamic namespace, which has no sockets of its own.
    family: Option<Family>,
}

struct Cluster {
    adapter: Arc<dyn Adapter>,
    follows_rooms: bool,
    keeps_sessions: bool,
}

impl Namespace {
    /// Its name, with the leading slash.
    pub fn name(&self) -> &str {
        &self.inner.name
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

    /// The acknowledgements of a broadcast may take this long.
    pub fn timeout(&self, timeout: Duration) -> Broadcast {
        self.all().timeout(timeout)
    }

    /// Sends an event to all sockets of the namespace, and waits for the acknowledgements; see
    /// [`Broadcast::emit_with_ack`].
    pub fn emit_with_ack<T: FromAnswer, A: EventArgs>(&self, event: &str, args: A) -> BroadcastAckFuture<T> {
        self.all().emit_with_ack(event, args)
    }

    /// All sockets of the namespace, those of other servers included.
    ///
    /// # Errors
    /// When a server of the cluster does not answer; the error has the sockets of the others.
    pub async fn fetch_sockets(&self) -> Result<Vec<RemoteSocket>, AdapterError<RemoteSocket>> {
        self.all().fetch_sockets().await
    }

    /// The rooms of all servers of the cluster that have members, those of the sockets' own ids included; each once.
    ///
    /// # Errors
    /// When a server of the cluster does not answer; the error has the rooms of the others.
    pub async fn all_rooms(&self) -> Result<Vec<Room>, AdapterError<Room>> {
        let (mut rooms, mut timed_out) = (BTreeSet::new(), false);
        for namespace in self.inner.each() {
            rooms.extend(namespace.all_rooms_local());
            let Some(adapter) = namespace.adapter() else { continue };
            match adapter.all_rooms().await {
                Ok(others) => rooms.extend(others),
                Err(AdapterError::Timeout { partial }) => {
                    rooms.extend(partial);
                    timed_out = true;
                }
                Err(_) => return Err(AdapterError::Disconnected),
            }
        }
        let rooms = rooms.into_iter().collect();
        if timed_out { Err(AdapterError::Timeout { partial: rooms }) } else { Ok(rooms) }
    }

    /// How many servers the cluster has, this one included.
    pub async fn server_count(&self) -> usize {
        match self.inner.adapter() {
            Some(adapter) => adapter.server_count().await,
            None => 1,
        }
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
    /// A namespace whose adapter is still to be [attached](Self::attach_adapter).
    pub(crate) fn new(
        name: &str,
        state: Arc<Extensions>,
        wire: Wire,
        limits: SocketLimits,
        recovery: Option<&ConnectionStateRecovery>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            state,
            wire,
            limits,
            handlers: RwLock::default(),
            index: RwLock::default(),
            cluster: OnceLock::new(),
            next_ack_id: AtomicU64::new(0),
            is_observed: AtomicBool::new(false),
            is_watched: AtomicBool::new(false),
            recovery: recovery.cloned().map(Recovery::new),
            parent: None,
            family: None,
        }
    }

    /// A dynamic namespace: the parent of those that its matcher accepts.
    pub(crate) fn with_family(mut self, family: Family) -> Self {
        self.family = Some(family);
        self
    }

    /// The child of a dynamic namespace that has this name, made if need be; `None` when there are too many.
    pub(crate) fn child_or_create(self: &Arc<Self>, name: &str, max_count: usize) -> Option<Arc<Self>> {
        self.family.as_ref()?.child_or_create(name, max_count, || {
            let recovery = self.recovery.as_ref().map(|recovery| recovery.options());
            let mut child = Self::new(name, self.state.clone(), self.wire, self.limits, recovery);
            child.parent = Some(self.clone());
            Arc::new(child)
        })
    }

    pub(crate) const fn family(&self) -> Option<&Family> {
        self.family.as_ref()
    }

    /// Makes the adapter, once. Until it is there the namespace is nobody's but of those who wait here.
    pub(crate) fn attach_adapter(self: &Arc<Self>, make_adapter: Option<&MakeAdapter>) {
        self.cluster.get_or_init(|| {
            let adapter = make_adapter?(Arc::new(LocalNode::new(self)));
            adapter.init();
            let (follows_rooms, keeps_sessions) = (adapter.follows_rooms(), adapter.keeps_sessions());
            Some(Cluster { adapter, follows_rooms, keeps_sessions })
        });
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn state<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.state.get().cloned()
    }

    pub(crate) const fn wire(&self) -> Wire {
        self.wire
    }

    pub(crate) const fn limits(&self) -> SocketLimits {
        self.limits
    }

    pub(crate) fn next_ack_id(&self) -> u64 {
        self.next_ack_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The handlers of the namespace and of its parent as they are now.
    pub(crate) fn handlers(&self) -> Snapshot {
        Snapshot {
            inherited: self.parent.as_ref().map(|parent| parent.handlers.read().clone()),
            own: self.handlers.read().clone(),
        }
    }

    /// Notes what to look for where nobody looks at the handlers otherwise.
    fn note_observers(&self, handlers: &Handlers) {
        self.is_observed.store(!handlers.events.outgoing.is_empty(), Ordering::Relaxed);
        self.is_watched.store(!handlers.rooms.is_empty(), Ordering::Relaxed);
    }

    /// Whether somebody observes the events to its sockets.
    pub(crate) fn is_observed(&self) -> bool {
        let observed = |namespace: &Self| namespace.is_observed.load(Ordering::Relaxed);
        observed(self) || self.parent.as_deref().is_some_and(observed)
    }

    fn room_changes(&self) -> RoomChanges {
        let watched = |namespace: &Self| namespace.is_watched.load(Ordering::Relaxed);
        RoomChanges::new(watched(self) || self.parent.as_deref().is_some_and(watched))
    }

    pub(crate) fn report(&self, socket: &Socket, error: &HandlerError) {
        if let Some(handle) = self.handlers().error() {
            // There is nobody left to tell of its panic.
            let _ = catch_unwind(AssertUnwindSafe(|| handle(socket, error)));
        }
    }

    /// Takes a socket that passed the middleware, and puts it into the rooms that this made it join.
    pub(crate) fn admit(&self, socket: &Socket) -> bool {
        let mut changes = self.room_changes();
        {
            let mut index = self.index.write();
            if !index.insert(socket.id().clone(), socket.clone()) {
                return false;
            }
            changes.joined(&index, socket.id(), socket.id());
            for room in socket.set_connected() {
                if index.join(socket.id(), room.clone()) {
                    changes.joined(&index, socket.id(), room);
                }
            }
        }
        self.rooms_changed(|| self.rooms_of(socket));
        changes.tell(|| self.handlers());
        true
    }

    pub(crate) fn remove(&self, socket: &Socket) {
        let mut changes = self.room_changes();
        let mut index = self.index.write();
        let wanted = changes.are_wanted() || self.follows_rooms();
        let rooms = if wanted { index.rooms_of(socket.id()) } else { Vec::new() };
        let removed = index.remove(socket.id());
        for room in &rooms {
            changes.left(&index, socket.id(), room);
        }
        drop(index);
        drop(removed);
        self.rooms_changed(|| rooms);
        changes.tell(|| self.handlers());
    }

    pub(crate) fn join(&self, socket: &Socket, room: Room) -> bool {
        let mut changes = self.room_changes();
        let mut index = self.index.write();
        let count = index.room_count_of(socket.id());
        let fits = self.limits.fits(count, &room);
        let joined = fits && index.join(socket.id(), room.clone());
        if joined {
            changes.joined(&index, socket.id(), &room);
        }
        drop(index);
        if !fits {
            warn!(target: "sockeye::socket", count = %count, len = %room.len(), "room not joined: limit");
        }
        if joined {
            self.rooms_changed(|| vec![room]);
            changes.tell(|| self.handlers());
        }
        joined
    }

    pub(crate) fn leave(&self, socket: &Socket, room: &str) -> bool {
        let mut changes = self.room_changes();
        let mut index = self.index.write();
        let left = index.get(socket.id()) == Some(socket) && index.leave(socket.id(), room);
        if left {
            changes.left(&index, socket.id(), room);
        }
        drop(index);
        if left {
            self.rooms_changed(|| vec![room.into()]);
            changes.tell(|| self.handlers());
        }
        left
    }

    fn follows_rooms(&self) -> bool {
        self.cluster
            .get()
            .is_some_and(|cluster| cluster.as_ref().is_some_and(|cluster| cluster.follows_rooms))
    }

    /// Members of rooms changed: an adapter that follows them may have to know.
    fn rooms_changed(&self, rooms: impl FnOnce() -> Vec<Room>) {
        if let Some(Some(Cluster { adapter, follows_rooms: true, .. })) = self.cluster.get() {
            rooms().iter().for_each(|room| adapter.room_changed(room));
        }
    }

    /// The rooms of a socket; none when another one has its id by now.
    pub(crate) fn rooms_of(&self, socket: &Socket) -> Vec<Room> {
        let index = self.index.read();
        if index.get(socket.id()) == Some(socket) { index.rooms_of(socket.id()) } else { Vec::new() }
    }

    /// The selected sockets of this server; of a dynamic namespace those of its children.
    pub(crate) fn select(&self, options: &BroadcastOptions) -> Vec<Socket> {
        match &self.family {
            None => self.index.read().select(options),
            Some(family) => family.children().iter().flat_map(|child| child.select(options)).collect(),
        }
    }

    /// The namespaces that an operation is for: this one, or its children.
    pub(crate) fn each(self: &Arc<Self>) -> impl Iterator<Item = Arc<Self>> + use<> {
        let (own, children) = match &self.family {
            None => (Some(self.clone()), Vec::new()),
            Some(family) => (None, family.children()),
        };
        own.into_iter().chain(children)
    }

    /// Sends a packet to the selected sockets of this server. The lock is held for the selection only.
    pub(crate) fn broadcast_local(&self, packet: &Outgoing, options: &BroadcastOptions) {
        let observers = Observers::new(self, packet);
        for socket in self.select(options) {
            observers.tell(&socket);
            let _ = socket.send(packet.clone(), options.volatile);
        }
    }

    /// The adapter, where a cluster has a part in an operation with these options.
    pub(crate) fn cluster(&self, options: &BroadcastOptions) -> Option<&Arc<dyn Adapter>> {
        if options.local { None } else { self.adapter() }
    }

    /// The adapter, if there is a cluster.
    pub(crate) fn adapter(&self) -> Option<&Arc<dyn Adapter>> {
        self.cluster.get()?.as_ref().map(|cluster| &cluster.adapter)
    }

    /// Sends an event to the selected sockets, wherever they are.
    pub(crate) fn broadcast<A: EventArgs>(
        &self,
        event: &str,
        args: &A,
        options: &BroadcastOptions,
    ) -> Result<(), EmitError> {
        let Some(adapter) = self.cluster(options) else {
            return self.deliver(options, None, |offset| {
                Outgoing::event(self.wire, &self.name, None, event, &Stamped { args, offset })
            });
        };
        let event = Payload::event(event, args)?;
        match adapter.broadcast(&event, options) {
            LocalPart::Server => self.broadcast_payload(&event, options, None),
            LocalPart::Adapter => Ok(()),
        }
    }

    /// Sends an event that is known between servers to the selected sockets of this one.
    pub(crate) fn broadcast_payload(
        &self,
        event: &Payload,
        options: &BroadcastOptions,
        offset: Option<&str>,
    ) -> Result<(), EmitError> {
        self.deliver(options, offset, |offset| {
            Outgoing::from_payload(self.wire, &self.name, None, event, offset)
        })
    }

    /// What is kept for clients that lose their connection, if they can come back.
    pub(crate) const fn recovery(&self) -> Option<&Arc<Recovery>> {
        self.recovery.as_ref()
    }

    /// Whether that is the adapter's to keep.
    pub(crate) fn keeps_sessions(&self) -> bool {
        self.cluster.get().is_some_and(|cluster| cluster.as_ref().is_some_and(|c| c.keeps_sessions))
    }

    /// Whether it belongs to a dynamic namespace.
    pub(crate) const fn is_child(&self) -> bool {
        self.parent.is_some()
    }

    /// All rooms of this server, those of the sockets' own ids included.
    pub(crate) fn all_rooms_local(&self) -> Vec<Room> {
        let index = self.index.read();
        let sockets = index.select(&BroadcastOptions::default());
        index.rooms().cloned().chain(sockets.iter().map(|socket| Room::from(socket.id()))).collect()
    }

    pub(crate) fn room_len(&self, room: &str) -> usize {
        self.index.read().room_len(room)
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

impl Drop for NamespaceInner {
    fn drop(&mut self) {
        if let Some(family) = self.parent.as_ref().and_then(|parent| parent.family()) {
            family.forget(&self.name);
        }
    }
}
