//! An adapter over any bus that carries messages.
//!
//! ```text
//! server ──► ClusterAdapter ──► Cluster ──► Bus::send ──► …other servers
//! server ◄── Node ◄── deliver ◄─ Cluster ◄── …whoever reads the bus
//! ```

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{Cluster, ClusterConfig, Event, Incoming, Membership, Message, RequestId, Transmit};
use crate::{
    AckSink, Adapter, AdapterError, BoxFuture, BroadcastOptions, LocalPart, Node, Payload, RemoteSocketData,
    Resume, Room, Session,
};

/// What carries messages between the servers of a cluster. One for each namespace.
///
/// Whoever reads from it gives what comes to [`ClusterAdapter::deliver`], in order.
pub trait Bus: Send + Sync + 'static {
    /// Sends a message. It must neither block nor deliver anything itself: what has to wait is queued, in order.
    fn send(&self, transmit: Transmit);

    /// How many servers there are, this one included; `None` when the bus is down, so that nobody waits for answers that cannot
    /// come. Asked only with [`Membership::Counted`].
    fn server_count(&self) -> BoxFuture<'_, Option<usize>> {
        Box::pin(std::future::ready(Some(1)))
    }

    /// Leaves: sends what is queued.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// See [`Adapter::follows_rooms`].
    fn follows_rooms(&self) -> bool {
        false
    }

    /// See [`Adapter::room_changed`].
    fn room_changed(&self, node: &dyn Node, room: &Room) {
        let _ = (node, room);
    }

    /// See [`Adapter::keeps_sessions`].
    fn keeps_sessions(&self) -> bool {
        false
    }

    /// See [`Adapter::persist_session`].
    fn persist_session(&self, session: Session, duration: Duration) {
        let _ = (session, duration);
    }

    /// See [`Adapter::restore_session`].
    fn restore_session<'a>(&'a self, pid: &'a str, offset: &'a str) -> BoxFuture<'a, Option<Session>> {
        let _ = (pid, offset);
        Box::pin(std::future::ready(None))
    }

    /// See [`Adapter::resume_session`].
    fn resume_session(&self, session: &Session, offset: &str, resume: Resume) {
        let _ = (session, offset);
        resume(None);
    }
}

/// An adapter that works over a [`Bus`]. Cloning it is cheap and gives the same one.
///
/// It has a task of its own for what is due at a time, so it is made within a tokio runtime.
pub struct ClusterAdapter<B> {
    shared: Arc<Shared<B>>,
}

struct Shared<B> {
    bus: B,
    node: Arc<dyn Node>,
    state: Mutex<State>,
    epoch: Instant,
    /// Tells the task that something is due earlier than what it waits for, or that the adapter is gone.
    changed: Arc<Notify>,
}

struct State {
    cluster: Cluster,
    fetching: HashMap<RequestId, oneshot::Sender<Fetched>>,
    asking: HashMap<RequestId, oneshot::Sender<Answered>>,
    collecting: HashMap<RequestId, Arc<dyn AckSink>>,
    /// What the task waits for.
    due: Option<Duration>,
}

type Fetched = Result<Vec<RemoteSocketData>, AdapterError<RemoteSocketData>>;
type Answered = Result<Vec<Payload>, AdapterError<Payload>>;

impl<B: Bus> ClusterAdapter<B> {
    /// An adapter of a server whose name in the cluster is `uid`.
    pub fn new(bus: B, node: Arc<dyn Node>, uid: &str, config: ClusterConfig) -> Self {
        let epoch = Instant::now();
        let cluster = Cluster::new(uid, node.namespace(), config, Duration::ZERO);
        let state = State {
            cluster,
            fetching: HashMap::new(),
            asking: HashMap::new(),
            collecting: HashMap::new(),
            due: None,
        };
        let changed = Arc::new(Notify::new());
        let shared =
            Arc::new(Shared { bus, node, state: Mutex::new(state), epoch, changed: changed.clone() });
        tokio::spawn(keep_time(Arc::downgrade(&shared), changed));
        Self { shared }
    }

    /// The bus.
    pub fn bus(&self) -> &B {
        &self.shared.bus
    }

    /// A message arrives from the bus. `offset` is its place there, if the bus has an order.
    pub fn deliver(&self, message: Message, offset: Option<&str>) {
        self.shared.run(|state, now| state.cluster.handle_message(message, offset, now));
    }

    /// For whoever reads from the bus: an adapter that may be gone.
    pub fn downgrade(&self) -> WeakClusterAdapter<B> {
        WeakClusterAdapter { shared: Arc::downgrade(&self.shared) }
    }

    /// What the adapter does on its server.
    pub fn node(&self) -> &Arc<dyn Node> {
        &self.shared.node
    }
}

/// A [`ClusterAdapter`] that does not keep it.
pub struct WeakClusterAdapter<B> {
    shared: Weak<Shared<B>>,
}

impl<B> WeakClusterAdapter<B> {
    /// The adapter, unless it is gone.
    pub fn upgrade(&self) -> Option<ClusterAdapter<B>> {
        self.shared.upgrade().map(|shared| ClusterAdapter { shared })
    }
}

/// Waits for what is due, as long as the adapter is there.
async fn keep_time<B: Bus>(adapter: Weak<Shared<B>>, changed: Arc<Notify>) {
    loop {
        let Some(shared) = adapter.upgrade() else { return };
        shared.run(|state, now| state.cluster.handle_timeout(now));
        let due = {
            let mut state = shared.lock();
            state.due = state.cluster.poll_timeout();
            state.due.map(|due| shared.epoch + due)
        };
        drop(shared);
        match due {
            Some(due) => drop(tokio::time::timeout_at(due, changed.notified()).await),
            None => changed.notified().await,
        }
    }
}

impl<B> Drop for Shared<B> {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

impl<B: Bus> Shared<B> {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the state, sends what comes of it in order, and then does, without the lock, what is to be done
    /// on this server.
    fn run<T>(self: &Arc<Self>, change: impl FnOnce(&mut State, Duration) -> T) -> T {
        let (result, events, is_sooner) = {
            let mut state = self.lock();
            let result = change(&mut state, self.epoch.elapsed());
            while let Some(transmit) = state.cluster.poll_transmit() {
                self.bus.send(transmit);
            }
            let mut events = Vec::new();
            while let Some(event) = state.cluster.poll_event() {
                events.push(event);
            }
            let due = state.cluster.poll_timeout();
            let is_sooner = due.is_some_and(|due| state.due.is_none_or(|waited| due < waited));
            (result, events, is_sooner)
        };
        if is_sooner {
            self.changed.notify_one();
        }
        for event in events {
            self.handle(event);
        }
        result
    }

    fn handle(self: &Arc<Self>, event: Event) {
        match event {
            Event::Broadcast { event, options, offset } => {
                self.node.broadcast(&event, &options, offset.as_deref());
            }
            Event::BroadcastWithAck { event, options, incoming } => {
                let sink = Reporter { adapter: Arc::downgrade(self), incoming };
                self.node.broadcast_with_ack(&event, &options, Arc::new(sink));
            }
            Event::AddSockets { options, rooms } => self.node.add_sockets(&options, &rooms),
            Event::RemoveSockets { options, rooms } => self.node.remove_sockets(&options, &rooms),
            Event::DisconnectSockets { options, close } => self.node.disconnect_sockets(&options, close),
            Event::FetchSockets { options, incoming } => {
                let sockets = self.node.fetch_sockets(&options);
                self.run(|state, _| state.cluster.answer_sockets(incoming, sockets));
            }
            Event::ServerSideEmit { event, incoming } => {
                let ack = incoming.map(|incoming| {
                    let adapter = Arc::downgrade(self);
                    let ack: crate::ServerAck = Box::new(move |answer| {
                        if let Some(shared) = adapter.upgrade() {
                            shared.run(|state, _| state.cluster.answer_event(incoming, answer));
                        }
                    });
                    ack
                });
                self.node.server_side_emit(&event, ack);
            }
            Event::Fetched { id, result } => {
                if let Some(sender) = self.lock().fetching.remove(&id) {
                    let _ = sender.send(result);
                }
            }
            Event::Answered { id, result } => {
                if let Some(sender) = self.lock().asking.remove(&id) {
                    let _ = sender.send(result);
                }
            }
            Event::ClientCount { id, count } => self.report(id, |sink| sink.client_count(count)),
            Event::ClientAnswer { id, answer } => self.report(id, |sink| sink.answer(answer)),
            Event::ClientsGone { id, count } => self.report(id, |sink| sink.gone(count)),
            Event::Collected { id } => _ = self.lock().collecting.remove(&id),
        }
    }

    /// Tells those who collect the answers to a broadcast, or forgets it when they do not care any more.
    fn report(&self, id: RequestId, tell: impl FnOnce(&dyn AckSink)) {
        let sink = self.lock().collecting.get(&id).cloned();
        let Some(sink) = sink else { return };
        tell(&*sink);
        if sink.is_closed() {
            let mut state = self.lock();
            state.collecting.remove(&id);
            state.cluster.cancel(id);
        }
    }

    /// How many other servers the bus counts; `None` when it is down.
    async fn others(&self) -> Option<usize> {
        let is_counted = matches!(self.lock().cluster.config().membership, Membership::Counted);
        if is_counted { self.bus.server_count().await.map(|count| count.saturating_sub(1)) } else { Some(0) }
    }
}

/// Reports to the server that sent a broadcast.
struct Reporter<B> {
    adapter: Weak<Shared<B>>,
    incoming: Incoming,
}

impl<B: Bus> AckSink for Reporter<B> {
    fn server_count(&self, _: usize) {}

    fn client_count(&self, count: usize) {
        if let Some(shared) = self.adapter.upgrade() {
            shared.run(|state, _| state.cluster.answer_client_count(self.incoming.clone(), count));
        }
    }

    fn answer(&self, answer: Payload) {
        if let Some(shared) = self.adapter.upgrade() {
            shared.run(|state, _| state.cluster.answer_client(self.incoming.clone(), answer));
        }
    }

    /// The official adapters have no message for it: the server that asked waits until its timeout.
    fn gone(&self, _: usize) {}

    fn is_closed(&self) -> bool {
        self.adapter.strong_count() == 0
    }
}

impl<B: Bus> ClusterAdapter<B> {
    fn operate(&self, operate: impl FnOnce(&mut Cluster, Duration)) -> LocalPart {
        self.shared.run(|state, now| {
            operate(&mut state.cluster, now);
            if state.cluster.config().echo { LocalPart::Adapter } else { LocalPart::Server }
        })
    }
}

impl<B: Bus> Adapter for ClusterAdapter<B> {
    fn init(&self) {
        self.shared.run(|_, _| ());
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.shared.run(|state, now| state.cluster.leave(now));
        self.shared.bus.close()
    }

    fn broadcast(&self, event: &Payload, options: &BroadcastOptions) -> LocalPart {
        self.operate(|cluster, now| cluster.broadcast(event, options, now))
    }

    fn broadcast_with_ack(&self, event: &Payload, options: &BroadcastOptions, acks: Arc<dyn AckSink>) {
        let begin = {
            let (event, options, acks) = (event.clone(), options.clone(), acks.clone());
            move |shared: &Arc<Shared<B>>, others| {
                let count = shared.run(|state, now| {
                    let (id, count) = state.cluster.broadcast_with_ack(&event, &options, others, now);
                    state.collecting.insert(id, acks.clone());
                    count
                });
                acks.server_count(count);
            }
        };
        let is_counted = matches!(self.shared.lock().cluster.config().membership, Membership::Counted);
        if is_counted {
            let shared = self.shared.clone();
            tokio::spawn(async move {
                // Without the bus the answers of this server's clients are all that there will be: they are partial.
                if let Some(others) = shared.others().await {
                    begin(&shared, others);
                }
            });
        } else {
            begin(&self.shared, 0);
        }
    }

    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) -> LocalPart {
        self.operate(|cluster, now| cluster.add_sockets(options, rooms, now))
    }

    fn remove_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) -> LocalPart {
        self.operate(|cluster, now| cluster.remove_sockets(options, rooms, now))
    }

    fn disconnect_sockets(&self, options: &BroadcastOptions, close: bool) -> LocalPart {
        self.operate(|cluster, now| cluster.disconnect_sockets(options, close, now))
    }

    fn fetch_sockets<'a>(&'a self, options: &'a BroadcastOptions) -> BoxFuture<'a, Fetched> {
        Box::pin(async {
            let others = self.shared.others().await.ok_or(AdapterError::Disconnected)?;
            let (sender, receiver) = oneshot::channel();
            self.shared.run(|state, now| {
                let id = state.cluster.fetch_sockets(options, others, now);
                state.fetching.insert(id, sender);
            });
            receiver.await.unwrap_or(Err(AdapterError::Disconnected))
        })
    }

    fn server_side_emit(&self, event: &Payload) {
        self.shared.run(|state, now| state.cluster.server_side_emit(event, now));
    }

    fn server_side_emit_with_ack<'a>(
        &'a self,
        event: &'a Payload,
        timeout: Option<Duration>,
    ) -> BoxFuture<'a, Answered> {
        Box::pin(async move {
            let others = self.shared.others().await.ok_or(AdapterError::Disconnected)?;
            let (sender, receiver) = oneshot::channel();
            self.shared.run(|state, now| {
                let id = state.cluster.server_side_emit_with_ack(event, timeout, others, now);
                state.asking.insert(id, sender);
            });
            receiver.await.unwrap_or(Err(AdapterError::Disconnected))
        })
    }

    fn server_count(&self) -> BoxFuture<'_, usize> {
        Box::pin(async {
            let known = {
                let state = self.shared.lock();
                match state.cluster.config().membership {
                    Membership::Counted => None,
                    Membership::Heartbeat { .. } => Some(state.cluster.known_servers() + 1),
                }
            };
            match known {
                Some(count) => count,
                None => self.shared.bus.server_count().await.unwrap_or(1),
            }
        })
    }

    fn follows_rooms(&self) -> bool {
        self.shared.bus.follows_rooms()
    }

    fn room_changed(&self, room: &Room) {
        self.shared.bus.room_changed(&*self.shared.node, room);
    }

    fn keeps_sessions(&self) -> bool {
        self.shared.bus.keeps_sessions()
    }

    fn persist_session(&self, session: Session, duration: Duration) {
        self.shared.bus.persist_session(session, duration);
    }

    fn restore_session<'a>(&'a self, pid: &'a str, offset: &'a str) -> BoxFuture<'a, Option<Session>> {
        self.shared.bus.restore_session(pid, offset)
    }

    fn resume_session(&self, session: &Session, offset: &str, resume: Resume) {
        self.shared.bus.resume_session(session, offset, resume);
    }
}

impl<B> Clone for ClusterAdapter<B> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<B> fmt::Debug for ClusterAdapter<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterAdapter")
    }
}

impl<B> Clone for WeakClusterAdapter<B> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<B> fmt::Debug for WeakClusterAdapter<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakClusterAdapter")
    }
}
