//! Connection state recovery: clients that lose their connection come back as if they had not.
//!
//! ```text
//! connected ──(connection lost)──► away: RecoveryLog or adapter ──(CONNECT with pid and offset)──► Returning
//!     ▲                              ▲                                                               │
//!     │                              └─────────────(the connection is lost again)────────────────────┤
//!     └── missed events, CONNECT ◄──────────────(middleware agrees, or is skipped)───────────────────┘
//! ```
//! While it is on, a namespace's recoverable events are recorded and queued under one lock, so that all sockets get them in the
//! order of the log: the last event that a client has seen says which ones it has not. Joining and leaving rooms do not
//! need that lock.

use bytestring::ByteString;
use http::Extensions;
use parking_lot::Mutex;
use sockeye_adapter::{
    Adapter, AwaySession, BroadcastOptions, LocalPart, MissedPacket, Offset, Payload, RecoveryConfig,
    RecoveryLog, Room, Session,
};
use sockeye_socketio::{EncodeError, EventArgs};
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{runtime::Handle, sync::oneshot, time::Instant};

use crate::{
    EmitError, Socket,
    engine::{Pushed, random_id},
    namespace::NamespaceInner,
    observe::Observers,
    outgoing::{Outgoing, Stamped},
    socket::{KeptData, SharedData},
    trace::debug,
};

/// How long a connection that a client gave up for a new one may take to end.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often what is too old is looked for.
const CLEANING_INTERVAL: Duration = Duration::from_secs(10);

/// Options of connection state recovery; see
/// [`Builder::connection_state_recovery`](crate::Builder::connection_state_recovery). The limits are those of each namespace.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionStateRecovery {
    /// How long a client may be away. Default 120 s; then it starts anew.
    pub max_disconnection_duration: Duration,
    /// Whether clients that come back pass the middleware unseen. Default yes.
    pub skip_middlewares: bool,
    /// The most events that are kept. Default 100,000; then the oldest are forgotten, and clients that have seen none but
    /// these or older ones start anew.
    pub max_event_count: usize,
    /// The most bytes of events that are kept. Default 64 MiB; then as above.
    pub max_events_len: usize,
    /// The most clients that are waited for. Default 100,000; then those that are away the longest are forgotten.
    pub max_session_count: usize,
}

impl Default for ConnectionStateRecovery {
    fn default() -> Self {
        let config = RecoveryConfig::default();
        Self {
            max_disconnection_duration: config.max_disconnection,
            skip_middlewares: true,
            max_event_count: config.max_event_count,
            max_events_len: config.max_events_len,
            max_session_count: config.max_session_count,
        }
    }
}

/// What a namespace keeps for clients that are away.
pub(crate) struct Recovery {
    options: ConnectionStateRecovery,
    next_offset: AtomicU64,
    epoch: Instant,
    kept: Mutex<Kept>,
}

struct Kept {
    log: RecoveryLog<Outgoing, KeptData>,
    /// The sockets that are connected, by their private ids.
    here: HashMap<ByteString, Socket>,
    /// The private ids of those who are about to be away, or not back yet.
    between: HashSet<String>,
    /// Who waits for a socket to leave.
    waiting: HashMap<ByteString, Vec<oneshot::Sender<()>>>,
    /// A task forgets what is too old.
    is_cleaned: bool,
    /// A task keeps the namespace.
    is_held: bool,
}

impl Recovery {
    pub(crate) fn new(options: ConnectionStateRecovery) -> Arc<Self> {
        let mut config = RecoveryConfig::default();
        config.max_disconnection = options.max_disconnection_duration;
        config.max_event_count = options.max_event_count;
        config.max_events_len = options.max_events_len;
        config.max_session_count = options.max_session_count;
        let kept = Kept {
            log: RecoveryLog::new(config),
            here: HashMap::new(),
            between: HashSet::new(),
            waiting: HashMap::new(),
            is_cleaned: false,
            is_held: false,
        };
        // The offsets of another run of the server mean nothing to this one, and are not met by chance.
        let start = random_id().as_str().bytes().fold(0, |start: u64, byte| start << 3 ^ u64::from(byte));
        Arc::new(Self {
            options,
            next_offset: AtomicU64::new(start),
            epoch: Instant::now(),
            kept: Mutex::new(kept),
        })
    }

    pub(crate) const fn skips_middlewares(&self) -> bool {
        self.options.skip_middlewares
    }

    pub(crate) const fn options(&self) -> &ConnectionStateRecovery {
        &self.options
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Records an event and queues it for the selected sockets, which are returned.
    fn send(
        self: &Arc<Self>,
        namespace: &NamespaceInner,
        offset: Offset,
        packet: &Outgoing,
        options: &BroadcastOptions,
    ) -> Vec<Socket> {
        let mut kept = self.kept.lock();
        let sockets = namespace.select(options);
        self.record(&mut kept, offset, packet, options);
        for socket in &sockets {
            let _ = socket.send(packet.clone(), false);
        }
        sockets
    }

    fn record(
        self: &Arc<Self>,
        kept: &mut Kept,
        offset: Offset,
        packet: &Outgoing,
        options: &BroadcastOptions,
    ) {
        kept.log.record(offset, options, packet.clone(), packet.len(), self.now());
        self.clean(kept);
    }

    /// Queues an event for one client and records it. While the client is away it is recorded alone; neither happens when it is
    /// gone for good.
    fn send_to(
        self: &Arc<Self>,
        socket: &Socket,
        offset: Offset,
        packet: &Outgoing,
        push: impl FnOnce(&Socket) -> Poll<Pushed>,
    ) -> Poll<Pushed> {
        let mut kept = self.kept.lock();
        // The socket of before stands for its client, like the room of its id.
        let current = socket.pid().and_then(|pid| kept.here.get(pid).cloned());
        let is_away = socket.pid().is_some_and(|pid| kept.log.is_away(pid) || kept.between.contains(&**pid));
        let pushed = match current {
            // What is recorded now is among what it missed.
            _ if is_away => Poll::Ready(Pushed::Queued),
            Some(current) => match push(&current) {
                // Its connection is lost, and it is about to leave.
                Poll::Ready(Pushed::Closed) if current.is_connected() => Poll::Ready(Pushed::Queued),
                pushed => pushed,
            },
            None => Poll::Ready(Pushed::Closed),
        };
        if let Poll::Ready(Pushed::Queued) = pushed {
            self.record(&mut kept, offset, packet, &only(socket));
        }
        pushed
    }

    fn next_offset(&self) -> Offset {
        Offset(self.next_offset.fetch_add(1, Ordering::Relaxed))
    }

    /// Lets a task forget what is too old, as long as there is something.
    fn clean(self: &Arc<Self>, kept: &mut Kept) {
        if kept.is_cleaned {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        kept.is_cleaned = true;
        let recovery = Arc::downgrade(self);
        runtime.spawn(async move {
            while let Some(interval) = Self::forget_old(&recovery) {
                tokio::time::sleep(interval).await;
            }
        });
    }

    /// Forgets what is too old; tells when to look again.
    fn forget_old(recovery: &Weak<Self>) -> Option<Duration> {
        let recovery = recovery.upgrade()?;
        let mut kept = recovery.kept.lock();
        kept.log.handle_timeout(recovery.now());
        if kept.log.poll_timeout().is_none() {
            kept.is_cleaned = false;
            return None;
        }
        Some(recovery.cleaning_interval())
    }

    fn cleaning_interval(&self) -> Duration {
        self.options.max_disconnection_duration.clamp(Duration::from_millis(10), CLEANING_INTERVAL)
    }
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What the client shows when it connects.
#[derive(serde::Deserialize)]
pub(crate) struct Claim {
    pid: String,
    offset: String,
}

impl Claim {
    /// Reads it from what the client sent as `auth`, which can be anything.
    pub(crate) fn from_auth(auth: &str) -> Option<Self> {
        serde_json::from_str(auth).ok()
    }
}

/// A client that is coming back. Dropped before it [has](Self::arrive), it is away again.
pub(crate) struct Returning {
    namespace: Arc<NamespaceInner>,
    pid: String,
    offset: String,
    session: Option<AwaySession<KeptData>>,
}

impl Returning {
    pub(crate) fn pid(&self) -> &str {
        &self.pid
    }

    pub(crate) const fn session(&self) -> Option<&AwaySession<KeptData>> {
        self.session.as_ref()
    }

    /// It is back.
    pub(crate) fn arrive(mut self) {
        self.session = None;
    }

    /// It is not let in: the session is over.
    pub(crate) fn forget(mut self) {
        self.session = None;
        self.namespace.give_up(&self.pid, None);
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.namespace.give_up(&self.pid, Some(session));
        }
    }
}

impl NamespaceInner {
    /// Whether the adapter keeps the sessions.
    fn adapter_of_sessions(&self) -> Option<&Arc<dyn Adapter>> {
        self.adapter().filter(|_| self.keeps_sessions())
    }

    /// Sends an event to the selected sockets of this server. With recovery it gets an offset: `given`, if the adapter keeps the
    /// sessions.
    pub(crate) fn deliver(
        &self,
        options: &BroadcastOptions,
        given: Option<&str>,
        encode: impl FnOnce(Option<&str>) -> Result<Outgoing, EncodeError>,
    ) -> Result<(), EmitError> {
        let recovery = self.recovery().filter(|_| !options.volatile);
        let offset = recovery.filter(|_| !self.keeps_sessions()).map(|recovery| recovery.next_offset());
        let text = offset.map(|offset| offset.to_string());
        let given = text.as_deref().or(given).filter(|_| recovery.is_some());
        let packet = encode(given)?.compression(self.wire(), !options.uncompressed);
        match (recovery, offset) {
            (Some(recovery), Some(offset)) => {
                let sockets = recovery.send(self, offset, &packet, options);
                // Those who observe run without the lock.
                let observers = Observers::new(self, &packet);
                sockets.iter().for_each(|socket| observers.tell(socket));
            }
            _ => self.broadcast_local(&packet, options),
        }
        Ok(())
    }

    /// Sends an event to one client, such that it can be recovered: to the room of its id, like the official server, and so
    /// also while the client is away.
    pub(crate) fn emit_recoverable<A: EventArgs>(
        &self,
        socket: &Socket,
        event: &str,
        args: &A,
        compress: bool,
    ) -> Result<(), EmitError> {
        if let Some(adapter) = self.adapter_of_sessions() {
            if !socket.is_connected() {
                return Err(EmitError::Disconnected);
            }
            let options = BroadcastOptions { uncompressed: !compress, ..only(socket) };
            let event = Payload::event(event, args)?;
            return match adapter.broadcast(&event, &options) {
                LocalPart::Adapter => Ok(()),
                LocalPart::Server => self.broadcast_payload(&event, &options, None),
            };
        }
        let (Some(recovery), Some(stamped)) = (self.recovery(), self.stamp(event, args, compress)) else {
            return Err(EmitError::Disconnected);
        };
        let (packet, offset) = stamped?;
        Observers::new(self, &packet).tell(socket);
        let pushed = recovery
            .send_to(socket, offset, &packet, |socket| Poll::Ready(socket.push(packet.clone(), false)));
        match pushed {
            Poll::Ready(Pushed::Queued | Pushed::Dropped) => Ok(()),
            Poll::Ready(Pushed::Full) => Err(EmitError::QueueFull),
            Poll::Ready(Pushed::Closed) | Poll::Pending => Err(EmitError::Disconnected),
        }
    }

    /// Encodes an event with an offset; `None` when it cannot be recovered here.
    pub(crate) fn stamp<A: EventArgs>(
        &self,
        event: &str,
        args: &A,
        compress: bool,
    ) -> Option<Result<(Outgoing, Offset), EmitError>> {
        let offset = self.recovery().filter(|_| !self.keeps_sessions())?.next_offset();
        let text = offset.to_string();
        let args = Stamped { args, offset: Some(&text) };
        let packet = Outgoing::event(self.wire(), self.name(), None, event, &args);
        Some(match packet {
            Ok(packet) => Ok((packet.compression(self.wire(), compress), offset)),
            Err(error) => Err(error.into()),
        })
    }

    /// Queues an event for one client when there is room for it, and records it if it has an offset.
    pub(crate) fn poll_push(
        &self,
        socket: &Socket,
        packet: &Outgoing,
        offset: Option<Offset>,
        cx: &mut Context<'_>,
    ) -> Poll<Pushed> {
        match (self.recovery(), offset) {
            (Some(recovery), Some(offset)) => {
                recovery.send_to(socket, offset, packet, |socket| socket.poll_push(packet, cx))
            }
            _ => socket.poll_push(packet, cx),
        }
    }

    /// A client comes back: finds its session, which is then nobody else's. If it is still connected, as far as the server
    /// knows, that connection ends first.
    pub(crate) async fn restore(self: &Arc<Self>, claim: Claim) -> Option<Returning> {
        let Claim { pid, offset } = claim;
        if let Some(adapter) = self.adapter_of_sessions() {
            let Session { id, rooms, data, .. } = adapter.restore_session(&pid, &offset).await?;
            let mut shared = Extensions::new();
            shared.insert(SharedData(data));
            let session = Some(AwaySession { id, rooms, data: Some(Box::new(shared)) });
            return Some(Returning { namespace: self.clone(), pid, offset, session });
        }
        let recovery = self.recovery()?;
        let known: Offset = offset.parse().ok()?;
        loop {
            let left = {
                let mut kept = recovery.kept.lock();
                if let session @ Some(_) = kept.log.take(&pid, known, recovery.now()) {
                    kept.between.insert(pid.clone());
                    drop(kept);
                    return Some(Returning { namespace: self.clone(), pid, offset, session });
                }
                if !kept.log.knows(known) {
                    return None;
                }
                let (key, socket) = kept.here.get_key_value(&*pid)?;
                let (key, socket) = (key.clone(), socket.clone());
                let (sender, left) = oneshot::channel();
                kept.waiting.entry(key).or_default().push(sender);
                socket.end_connection();
                left
            };
            debug!(target: "sockeye::socket", "client took over its own connection");
            tokio::time::timeout(TAKE_OVER_TIMEOUT, left).await.ok()?.ok()?;
        }
    }

    /// Lets a client back in, with what it missed; `false` when that is not known any more, or more than may wait for one
    /// client. With `connect` it is told that it is connected, behind the missed events.
    pub(crate) fn readmit(
        self: &Arc<Self>,
        socket: &Socket,
        returning: &Returning,
        max_len: usize,
        connect: &Outgoing,
    ) -> bool {
        let (Some(recovery), Some(session), Ok(offset)) =
            (self.recovery(), &returning.session, returning.offset.parse())
        else {
            return false;
        };
        let mut kept = recovery.kept.lock();
        let Some(missed) = kept.log.missed(&session.rooms, offset) else { return false };
        if !self.enter(socket, &missed, max_len) {
            return false;
        }
        let _ = socket.send(connect.clone(), false);
        kept.between.remove(&returning.pid);
        kept.here.insert(returning.pid.as_str().into(), socket.clone());
        true
    }

    /// Lets a client back in whose session the adapter kept, when that has found what was missed. Whether it is in is told
    /// to the receiver.
    pub(crate) fn resume(
        self: &Arc<Self>,
        socket: &Socket,
        returning: &Returning,
        max_len: usize,
    ) -> oneshot::Receiver<bool> {
        let (sender, receiver) = oneshot::channel();
        let (Some(adapter), Some(session)) = (self.adapter_of_sessions(), &returning.session) else {
            let _ = sender.send(false);
            return receiver;
        };
        let session = to_session(&returning.pid, session);
        let (namespace, socket) = (self.clone(), socket.clone());
        let resume = Box::new(move |missed: Option<Vec<MissedPacket>>| {
            let encode = |MissedPacket { event, offset }: MissedPacket| {
                let wire = namespace.wire();
                Outgoing::from_payload(wire, namespace.name(), None, &event, Some(&offset)).ok()
            };
            let missed: Option<Vec<_>> = missed.map(|missed| missed.into_iter().filter_map(encode).collect());
            let is_in = missed.is_some_and(|missed| namespace.enter(&socket, &missed, max_len));
            let _ = sender.send(is_in);
        });
        adapter.resume_session(&session, &returning.offset, resume);
        receiver
    }

    /// Puts a socket into its rooms and queues what it missed, unless that is more than may wait.
    fn enter(&self, socket: &Socket, missed: &[Outgoing], max_len: usize) -> bool {
        let len: usize = missed.iter().map(Outgoing::len).sum();
        if len > max_len || !self.admit(socket) {
            return false;
        }
        for packet in missed {
            let _ = socket.send(packet.clone(), false);
        }
        true
    }

    /// A socket is connected that can lose its connection.
    pub(crate) fn arrived(&self, socket: &Socket) {
        if let (Some(recovery), Some(pid)) = (self.recovery(), socket.pid())
            && !self.keeps_sessions()
        {
            recovery.kept.lock().here.insert(pid.clone(), socket.clone());
        }
    }

    /// A socket is about to leave because its connection is lost: what it is sent from now on it misses.
    pub(crate) fn leaving(&self, socket: &Socket) {
        if let (Some(recovery), Some(pid)) = (self.recovery(), socket.pid())
            && !self.keeps_sessions()
        {
            let mut kept = recovery.kept.lock();
            if kept.here.get(pid) == Some(socket) {
                kept.between.insert(pid.to_string());
            }
        }
    }

    /// A socket has left. With its rooms it can come back.
    pub(crate) fn left(self: &Arc<Self>, socket: &Socket, rooms: Option<Vec<Room>>) {
        let (Some(recovery), Some(pid)) = (self.recovery(), socket.pid()) else { return };
        let session =
            rooms.map(|rooms| AwaySession { id: socket.id().clone(), rooms, data: socket.clone_data() });
        // One that could not be let back in is away already.
        let is_known = self.keeps_sessions() || recovery.kept.lock().here.get(pid) == Some(socket);
        if is_known {
            self.give_up(pid, session);
        }
    }

    /// The socket of a client is gone: keeps its session, if it can come back.
    fn give_up(self: &Arc<Self>, pid: &str, session: Option<AwaySession<KeptData>>) {
        let Some(recovery) = self.recovery() else { return };
        if let Some(adapter) = self.adapter_of_sessions() {
            let duration = recovery.options.max_disconnection_duration;
            let session = session.map(|session| to_session(pid, &session));
            return session.into_iter().for_each(|session| adapter.persist_session(session, duration));
        }
        // At once, or the client could come back in between and be taken for the one that leaves.
        let waiting = {
            let mut kept = recovery.kept.lock();
            kept.here.remove(pid);
            kept.between.remove(pid);
            if let Some(session) = session {
                self.keep(recovery, &mut kept, pid, session);
            }
            kept.waiting.remove(pid)
        };
        for waiting in waiting.into_iter().flatten() {
            let _ = waiting.send(());
        }
    }

    fn keep(
        self: &Arc<Self>,
        recovery: &Arc<Recovery>,
        kept: &mut Kept,
        pid: &str,
        session: AwaySession<KeptData>,
    ) {
        kept.log.persist(pid.to_owned(), session, recovery.now());
        recovery.clean(kept);
        self.hold(recovery, kept);
    }

    /// Keeps a child of a dynamic namespace, which would go when its last socket does, while clients are away.
    fn hold(self: &Arc<Self>, recovery: &Arc<Recovery>, kept: &mut Kept) {
        if kept.is_held || !self.is_child() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        kept.is_held = true;
        let (namespace, recovery) = (self.clone(), recovery.clone());
        runtime.spawn(async move {
            let are_away = || {
                let mut kept = recovery.kept.lock();
                kept.log.handle_timeout(recovery.now());
                kept.is_held = kept.log.session_count() > 0;
                kept.is_held
            };
            while are_away() {
                tokio::time::sleep(recovery.cleaning_interval()).await;
            }
            drop(namespace);
        });
    }
}

/// Selects one client.
fn only(socket: &Socket) -> BroadcastOptions {
    BroadcastOptions { rooms: vec![Room::from(socket.id())], ..BroadcastOptions::default() }
}

fn to_session(pid: &str, session: &AwaySession<KeptData>) -> Session {
    let data = session.data.as_ref().and_then(|data| data.get::<SharedData>());
    Session {
        id: session.id.clone(),
        pid: pid.to_owned(),
        rooms: session.rooms.clone(),
        data: data.map_or(ByteString::from_static("{}"), |SharedData(json)| json.clone()),
    }
}
