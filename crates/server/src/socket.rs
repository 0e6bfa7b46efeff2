//! Sockets: a client in a namespace.

mod registration;

use bytestring::ByteString;
use http::Extensions;
use parking_lot::{Mutex, RwLock};
use serde::{Serialize, de::DeserializeOwned};
use sockeye_adapter::{RemoteSocketData, Room, SocketId};
use sockeye_engineio::CloseReason;
use sockeye_socketio::{ArgsError, EventArgs, Limits, Packet};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    AckFuture, Broadcast, EmitError, Emitter, FromAnswer, Handshake, Namespace, SlowConsumer, Transport,
    WaitingEmitter,
    ack::Acks,
    engine::{Command, Mailbox, Pushed, random_id},
    greeting::Greeting,
    namespace::{EventHandlers, NamespaceInner},
    observe::Observers,
    outgoing::Outgoing,
    recovery::Returning,
};

/// A client's connection to a namespace. Cloning it is cheap and gives the same socket.
///
/// Sending never blocks and never waits, unless it is [asked to](Self::wait): packets are queued in order and leave together. A
/// client that reads too slowly for what it is sent is disconnected when
/// [`Config::max_queue_len`](crate::Config::max_queue_len) is reached, or misses events, see [`SlowConsumer`].
#[derive(Clone)]
pub struct Socket {
    inner: Arc<SocketInner>,
}

struct SocketInner {
    id: SocketId,
    namespace: Arc<NamespaceInner>,
    mailbox: Arc<Mailbox>,
    handshake: Arc<Handshake>,
    auth: ByteString,
    state: Mutex<State>,
    acks: Acks,
    /// Handlers of this socket alone; most have none.
    handlers: RwLock<Option<Arc<EventHandlers>>>,
    data: Mutex<KeptData>,
    /// `None` when clients cannot be recovered.
    identity: Option<Box<Identity>>,
    slow_consumer: AtomicU8,
    /// How many events were dropped because the queue was full.
    dropped_count: AtomicU64,
    /// Whether it has observers of outgoing events.
    is_observed: AtomicBool,
}

/// What a socket shares with the other servers, as JSON.
#[derive(Clone)]
pub(crate) struct SharedData(pub(crate) ByteString);

/// What a socket keeps.
pub(crate) type KeptData = Option<Box<Extensions>>;

/// What a socket needs to be recovered.
struct Identity {
    /// The private id, by which the client proves itself.
    pid: ByteString,
    recovered: bool,
    /// Until the socket is back in its rooms.
    returning: Mutex<Option<Returning>>,
}

/// ```text
/// Connecting ──► (middleware agrees) ──► Greeting ──► Connected ──► Disconnected
///      │                                     └────────────────────────────▲
///      └── (middleware refuses, or the client goes): dropped
/// ```
enum State {
    /// With the rooms that the middleware made it join.
    Connecting(Vec<Room>),
    /// Connected, and its connection handlers had no turn yet.
    Greeting(Box<Greeting>),
    Connected,
    Disconnected,
}

impl Socket {
    /// A new socket, or that of a client that comes back.
    pub(crate) fn new(
        namespace: Arc<NamespaceInner>,
        mailbox: Arc<Mailbox>,
        handshake: Arc<Handshake>,
        auth: ByteString,
        returning: Option<Returning>,
    ) -> Self {
        let session = returning.as_ref().and_then(Returning::session);
        let id = session.map_or_else(|| random_id().as_str().into(), |session| session.id.clone());
        let rooms = session.map_or_else(Vec::new, |session| session.rooms.clone());
        let data = session.and_then(|session| session.data.clone());
        let identity = namespace.recovery().map(|_| {
            let pid = returning.as_ref().map_or_else(
                || ByteString::from(random_id().as_str()),
                |returning| ByteString::from(returning.pid()),
            );
            Box::new(Identity { pid, recovered: returning.is_some(), returning: Mutex::new(returning) })
        });
        let slow_consumer = AtomicU8::new(namespace.limits().slow_consumer as u8);
        Self {
            inner: Arc::new(SocketInner {
                id,
                namespace,
                mailbox,
                handshake,
                auth,
                state: Mutex::new(State::Connecting(rooms)),
                acks: Acks::default(),
                handlers: RwLock::new(None),
                data: Mutex::new(data),
                identity,
                slow_consumer,
                dropped_count: AtomicU64::new(0),
                is_observed: AtomicBool::new(false),
            }),
        }
    }

    /// Its id, which clients know as `socket.id`. It is public; every connection has a new one, unless the client was
    /// [recovered](Self::recovered).
    pub fn id(&self) -> &SocketId {
        &self.inner.id
    }

    /// Its namespace, which Socket.IO calls `socket.nsp`.
    pub fn nsp(&self) -> Namespace {
        Namespace { inner: self.inner.namespace.clone() }
    }

    /// The name of its namespace.
    pub fn namespace_name(&self) -> &str {
        self.inner.namespace.name()
    }

    /// The request that opened the connection.
    pub fn handshake(&self) -> &Handshake {
        &self.inner.handshake
    }

    /// What the client sent as `auth`, deserialized; nothing like `null`.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        read_auth(&self.inner.auth)
    }

    /// Whether it is connected. After a disconnection it never is again.
    pub fn is_connected(&self) -> bool {
        matches!(*self.inner.state.lock(), State::Greeting(_) | State::Connected)
    }

    /// What carries its packets now, which changes once when a client upgrades; see
    /// [`Namespace::on_upgrade`](crate::Namespace::on_upgrade).
    pub fn transport(&self) -> Transport {
        self.inner.mailbox.transport()
    }

    /// Whether the client lost its connection and is back, with its id, rooms and data, and with the events that it missed;
    /// see [`Builder::connection_state_recovery`](crate::Builder::connection_state_recovery).
    pub fn recovered(&self) -> bool {
        self.inner.identity.as_ref().is_some_and(|identity| identity.recovered)
    }

    /// The private id of the client; `None` when it cannot be recovered.
    pub(crate) fn pid(&self) -> Option<&ByteString> {
        self.inner.identity.as_ref().map(|identity| &identity.pid)
    }

    /// What it needs to get back into its rooms, once.
    pub(crate) fn take_returning(&self) -> Option<Returning> {
        self.inner.identity.as_ref()?.returning.lock().take()
    }

    pub(crate) fn auth_json(&self) -> &ByteString {
        &self.inner.auth
    }

    pub(crate) fn clone_data(&self) -> KeptData {
        self.inner.data.lock().clone()
    }

    /// Ends the connection, which the client has given up.
    pub(crate) fn end_connection(&self) {
        self.inner.mailbox.command(Command::Fail(CloseReason::TransportClose));
    }

    /// Whether its packets travel over WebSocket by now, rather than over long-polling.
    pub fn is_websocket(&self) -> bool {
        self.transport() == Transport::WebSocket
    }

    /// Sends an event to the client.
    ///
    /// ```no_run
    /// # fn f(socket: sockeye::Socket, user: serde_json::Value) -> Result<(), sockeye::EmitError> {
    /// socket.emit("tick", ())?; // no argument
    /// socket.emit("hello", "world")?; // one
    /// socket.emit("user", &user)?; // one, anything that serializes
    /// socket.emit("sum", (1, 2.5, "three"))?; // several
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the arguments cannot be encoded, or the socket is not connected.
    pub fn emit<A: EventArgs>(&self, event: &str, args: A) -> Result<(), EmitError> {
        self.emit_or_record(event, None, &args, true, false)
    }

    /// Sends an event and waits for the client's acknowledgement, of which it reads the first argument (or
    /// more, see [`FromAnswer`]). It waits without limit unless a
    /// [`timeout`](Self::timeout) was set.
    ///
    /// ```no_run
    /// # async fn f(socket: sockeye::Socket) -> Result<(), sockeye::AckError> {
    /// use std::time::Duration;
    ///
    /// let ready: bool = socket.timeout(Duration::from_secs(5)).emit_with_ack("ready?", ()).await?;
    /// # let _ = ready; Ok(()) }
    /// ```
    pub fn emit_with_ack<T: FromAnswer, A: EventArgs>(&self, event: &str, args: A) -> AckFuture<T> {
        self.emitter().emit_with_ack(event, args)
    }

    fn emitter(&self) -> Emitter {
        Emitter::new(self)
    }

    /// The next acknowledgement may take this long.
    pub fn timeout(&self, timeout: Duration) -> Emitter {
        self.emitter().timeout(timeout)
    }

    /// The next event is dropped if the client cannot take it at this instant.
    pub fn volatile(&self) -> Emitter {
        self.emitter().volatile()
    }

    /// Whether the next event may be compressed, if the client negotiated that. Default yes; `false` saves the time for
    /// what hardly shrinks, such as images.
    pub fn compress(&self, compress: bool) -> Emitter {
        self.emitter().compress(compress)
    }

    /// The next event waits until there is room for it in the client's queue, see [`WaitingEmitter`].
    pub fn wait(&self) -> WaitingEmitter {
        self.emitter().wait()
    }

    /// What happens to events of this socket for which there is no room in the client's queue. Default:
    /// [`Config::slow_consumer`](crate::Config::slow_consumer).
    pub fn set_slow_consumer(&self, policy: SlowConsumer) {
        self.inner.slow_consumer.store(policy as u8, Ordering::Relaxed);
    }

    /// How many events of this socket were dropped so far because there was no room for them.
    pub fn dropped_count(&self) -> u64 {
        self.inner.dropped_count.load(Ordering::Relaxed)
    }

    /// The other sockets in a room; more calls of `to` add rooms.
    pub fn to(&self, room: impl Into<Room>) -> Broadcast {
        self.broadcast().to(room)
    }

    /// The same as [`to`](Self::to): Socket.IO's `in`.
    pub fn within(&self, room: impl Into<Room>) -> Broadcast {
        self.to(room)
    }

    /// The other sockets that are not in a room.
    pub fn except(&self, room: impl Into<Room>) -> Broadcast {
        self.broadcast().except(room)
    }

    /// All other sockets of the namespace.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast::new(self.inner.namespace.clone()).except(self.id())
    }

    /// Joins a room. `false` when it is there already, or not connected any more, or beyond
    /// [`Config::max_room_count`](crate::Config::max_room_count) or [`max_room_len`](crate::Config::max_room_len).
    pub fn join(&self, room: impl Into<Room>) -> bool {
        let room = room.into();
        let mut state = self.inner.state.lock();
        match &mut *state {
            State::Connecting(rooms)
                if !rooms.contains(&room) && self.inner.namespace.limits().fits(rooms.len(), &room) =>
            {
                rooms.push(room);
            }
            State::Connecting(_) | State::Disconnected => return false,
            State::Greeting(_) | State::Connected => {
                drop(state);
                return self.inner.namespace.join(self, room);
            }
        }
        true
    }

    /// Leaves a room. `false` when it was not there. The room of its own id cannot be left.
    pub fn leave(&self, room: &str) -> bool {
        let mut state = self.inner.state.lock();
        if let State::Connecting(rooms) = &mut *state {
            let count = rooms.len();
            rooms.retain(|joined| &**joined != room);
            return rooms.len() < count;
        }
        drop(state);
        self.inner.namespace.leave(self, room)
    }

    /// Its rooms, that of its own id first. Empty once it is disconnected.
    pub fn rooms(&self) -> Vec<Room> {
        match &*self.inner.state.lock() {
            State::Connecting(rooms) => return rooms.clone(),
            State::Greeting(_) | State::Connected | State::Disconnected => {}
        }
        self.inner.namespace.rooms_of(self)
    }

    /// Drops the handlers of a disconnected socket: they may hold it.
    pub(crate) fn clear_handlers(&self) {
        let handlers = self.inner.handlers.write().take();
        drop(handlers);
    }

    /// Keeps something with the socket; one value per type. Returns what it replaces. A value that holds this socket
    /// itself would keep it in memory for ever.
    pub fn set_data<T: Clone + Send + Sync + 'static>(&self, value: T) -> Option<T> {
        self.inner.data.lock().get_or_insert_default().insert(value)
    }

    /// A clone of what was kept with [`set_data`](Self::set_data).
    pub fn data<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.inner.data.lock().as_ref()?.get().cloned()
    }

    /// Shares data with the other servers of the cluster, which see it in
    /// [`RemoteSocket::shared_data`](crate::RemoteSocket::shared_data); it replaces what was shared before. It is kept as
    /// JSON. The official server calls it `socket.data`, and expects an object.
    ///
    /// ```no_run
    /// # fn f(socket: sockeye::Socket) -> Result<(), serde_json::Error> {
    /// socket.set_shared_data(&serde_json::json!({ "username": "ann" }))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When it cannot be serialized.
    pub fn set_shared_data<T: Serialize + ?Sized>(&self, data: &T) -> Result<(), serde_json::Error> {
        let json = serde_json::to_string(data)?;
        self.inner.data.lock().get_or_insert_default().insert(SharedData(json.into()));
        Ok(())
    }

    /// The data that it shares, read; without any, an empty object.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn shared_data<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.shared_json())
    }

    fn shared_json(&self) -> ByteString {
        let data = self.inner.data.lock();
        let shared = data.as_ref().and_then(|data| data.get::<SharedData>());
        shared.map_or(ByteString::from_static("{}"), |SharedData(json)| json.clone())
    }

    /// Disconnects the client from the namespace; with `close` the whole connection, and with it all its namespaces.
    /// From now on events of the client are dropped.
    pub fn disconnect(&self, close: bool) {
        if close {
            self.inner.mailbox.command(Command::Close);
        } else if self.is_connected() {
            self.send_disconnect();
            self.inner.mailbox.command(Command::Leave(self.clone()));
        }
        if self.is_connected() {
            self.set_disconnected();
        }
    }

    /// Tells the client that the server disconnected it.
    pub(crate) fn send_disconnect(&self) {
        if let Ok(packet) = Outgoing::disconnect(self.inner.namespace.wire(), self.namespace_name()) {
            self.inner.mailbox.push(packet, false);
        }
    }

    pub(crate) fn namespace(&self) -> &Arc<NamespaceInner> {
        &self.inner.namespace
    }

    pub(crate) fn acks(&self) -> &Acks {
        &self.inner.acks
    }

    pub(crate) fn is_observed(&self) -> bool {
        self.inner.is_observed.load(Ordering::Relaxed)
    }

    pub(crate) fn own_handlers(&self) -> Option<Arc<EventHandlers>> {
        self.inner.handlers.read().clone()
    }

    /// Connects, and returns the rooms that it is to join. What other threads send is held back until [`greet`](Self::greet),
    /// unless the order of events has to be that of a log.
    pub(crate) fn set_connected(&self) -> Vec<Room> {
        let connected = match self.inner.identity {
            None => State::Greeting(Box::new(Greeting::new())),
            Some(_) => State::Connected,
        };
        match std::mem::replace(&mut *self.inner.state.lock(), connected) {
            State::Connecting(rooms) => rooms,
            _ => Vec::new(),
        }
    }

    /// The connection handlers had their first turn: now come the packets that were held back.
    pub(crate) fn greet(&self) {
        let mut state = self.inner.state.lock();
        if matches!(*state, State::Greeting(_))
            && let State::Greeting(greeting) = std::mem::replace(&mut *state, State::Connected)
        {
            // Under the lock, so that nothing comes between.
            for (packet, volatile) in greeting.into_held() {
                self.push_now(packet, volatile);
            }
        }
    }

    pub(crate) fn set_disconnected(&self) {
        *self.inner.state.lock() = State::Disconnected;
    }

    /// Queues a packet, unless the socket is not connected.
    pub(crate) fn send(&self, packet: Outgoing, volatile: bool) -> Result<(), EmitError> {
        match self.push(packet, volatile) {
            Pushed::Queued | Pushed::Dropped => Ok(()),
            Pushed::Full => Err(EmitError::QueueFull),
            Pushed::Closed => Err(EmitError::Disconnected),
        }
    }

    /// Queues a packet, and tells what became of it.
    pub(crate) fn push(&self, packet: Outgoing, volatile: bool) -> Pushed {
        match self.hold_back(&packet, volatile) {
            Some(pushed) => pushed,
            None => self.push_now(packet, volatile),
        }
    }

    /// Queues a packet when there is room for it.
    pub(crate) fn poll_push(&self, packet: &Outgoing, cx: &mut Context<'_>) -> Poll<Pushed> {
        match self.hold_back(packet, false) {
            Some(pushed) => Poll::Ready(pushed),
            None => self.inner.mailbox.poll_push(packet, cx),
        }
    }

    /// What becomes of a packet that cannot be queued now: the socket is not connected, or not greeted yet.
    fn hold_back(&self, packet: &Outgoing, volatile: bool) -> Option<Pushed> {
        match &mut *self.inner.state.lock() {
            State::Connected => None,
            State::Greeting(greeting) if greeting.is_elsewhere() => {
                if greeting.hold(packet, volatile, self.inner.mailbox.max_len()) {
                    return Some(Pushed::Queued);
                }
                match self.slow_consumer() {
                    SlowConsumer::Disconnect => self.inner.mailbox.overflow(),
                    SlowConsumer::Drop => self.count_dropped(),
                }
                Some(Pushed::Full)
            }
            State::Greeting(_) => None,
            State::Connecting(_) | State::Disconnected => Some(Pushed::Closed),
        }
    }

    fn push_now(&self, packet: Outgoing, volatile: bool) -> Pushed {
        let pushed = self.inner.mailbox.push_or(packet, volatile, self.slow_consumer());
        if pushed == Pushed::Full {
            self.count_dropped();
        }
        pushed
    }

    fn count_dropped(&self) {
        self.inner.dropped_count.fetch_add(1, Ordering::Relaxed);
    }

    fn slow_consumer(&self) -> SlowConsumer {
        if self.inner.slow_consumer.load(Ordering::Relaxed) == SlowConsumer::Drop as u8 {
            SlowConsumer::Drop
        } else {
            SlowConsumer::Disconnect
        }
    }

    /// Sends an event to this client, recorded if it can be recovered.
    pub(crate) fn emit_or_record<A: EventArgs>(
        &self,
        event: &str,
        ack_id: Option<u64>,
        args: &A,
        compress: bool,
        volatile: bool,
    ) -> Result<(), EmitError> {
        if self.inner.identity.is_some() && ack_id.is_none() && !volatile {
            return self.inner.namespace.emit_recoverable(self, event, args, compress);
        }
        self.send(self.encode_event(event, ack_id, args, compress)?, volatile)
    }

    /// Encodes an event that is to be sent to this client, and tells those who observe that.
    pub(crate) fn encode_event<A: EventArgs>(
        &self,
        event: &str,
        ack_id: Option<u64>,
        args: &A,
        compress: bool,
    ) -> Result<Outgoing, EmitError> {
        let wire = self.inner.namespace.wire();
        let packet =
            Outgoing::event(wire, self.namespace_name(), ack_id, event, args)?.compression(wire, compress);
        Observers::new(&self.inner.namespace, &packet).tell(self);
        Ok(packet)
    }

    pub(crate) fn to_remote(&self) -> RemoteSocketData {
        let handshake = serde_json::to_string(&*self.inner.handshake).unwrap_or_else(|_| "{}".into());
        RemoteSocketData {
            id: self.id().clone(),
            handshake: handshake.into(),
            rooms: self.rooms(),
            data: self.shared_json(),
        }
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
        f.debug_struct("Socket").field("id", self.id()).field("namespace", &self.namespace_name()).finish()
    }
}

/// Reads what a client sent as `auth`: through a packet, so that absence has one meaning everywhere.
pub(crate) fn read_auth<T: DeserializeOwned>(auth: &str) -> Result<T, ArgsError> {
    let text = format!("0{auth}");
    let packet = Packet::decode(&text, &Limits::default())?;
    packet.payload()
}
