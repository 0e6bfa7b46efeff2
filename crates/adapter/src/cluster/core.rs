//! The state of one server in its cluster, without I/O.
//!
//! ```text
//! fetch_sockets ──► Request { who has to answer, what came, until when } ──► Event::Fetched
//!                        ▲ response     ▲ server lost     ▲ handle_timeout
//! ```

use bytestring::ByteString;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use super::{Body, Message};
use crate::{AdapterError, BroadcastOptions, Payload, RemoteSocketData, Room};

/// What sends messages without being a server.
const EMITTER: &str = "emitter";

/// How a server knows how many others there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// The bus can tell. Requests wait for as many answers.
    Counted,
    /// Servers show themselves: every message does it, and a heartbeat where there is none. Requests wait for the servers
    /// that are known, and no longer for one that is lost.
    Heartbeat {
        /// How long after its last message a server sends a heartbeat. Default 5 s.
        interval: Duration,
        /// How long after its last message a server counts as lost. Default 10 s.
        timeout: Duration,
    },
}

impl Membership {
    /// Heartbeats with the intervals of the official adapters.
    pub const HEARTBEAT: Self =
        Self::Heartbeat { interval: Duration::from_secs(5), timeout: Duration::from_secs(10) };
}

/// The options of a server in a cluster.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClusterConfig {
    /// How the others are known. Default [`Membership::HEARTBEAT`].
    pub membership: Membership,
    /// How long the answers of other servers may take, where an operation has no timeout of its own. Default 5 s; then the
    /// operation ends with those that came.
    pub request_timeout: Duration,
    /// Whether the bus brings this server's own operations back, in order with those of the others, so that they are applied
    /// then, and not at once. Default no.
    pub echo: bool,
    /// The most servers that are known at a time. Default 1,000; those beyond it are not waited for.
    pub max_server_count: usize,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            membership: Membership::HEARTBEAT,
            request_timeout: Duration::from_secs(5),
            echo: false,
            max_server_count: 1000,
        }
    }
}

/// Names a request of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u64);

/// A request of another server, to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The server that asks.
    pub uid: ByteString,
    /// Its name for the request.
    pub request_id: String,
}

/// For whom a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// All servers of the namespace.
    All,
    /// The server that asked.
    Server(ByteString),
}

/// A message on its way to the bus.
#[derive(Debug, Clone, PartialEq)]
pub struct Transmit {
    /// For whom it is.
    pub target: Target,
    /// What is to be sent.
    pub message: Message,
}

/// What is to be done on this server.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Send an event to the selected clients.
    Broadcast {
        /// Its name and arguments.
        event: Payload,
        /// Whom it is for.
        options: BroadcastOptions,
        /// Its place on the bus, if that has an order.
        offset: Option<String>,
    },
    /// Send an event to the selected clients, and report what they answer.
    BroadcastWithAck {
        /// Its name and arguments.
        event: Payload,
        /// Whom it is for.
        options: BroadcastOptions,
        /// Who asks.
        incoming: Incoming,
    },
    /// Make the selected sockets join rooms.
    AddSockets {
        /// Which sockets.
        options: BroadcastOptions,
        /// Which rooms.
        rooms: Vec<Room>,
    },
    /// Make the selected sockets leave rooms.
    RemoveSockets {
        /// Which sockets.
        options: BroadcastOptions,
        /// Which rooms.
        rooms: Vec<Room>,
    },
    /// Disconnect the selected sockets.
    DisconnectSockets {
        /// Which sockets.
        options: BroadcastOptions,
        /// Whether their whole connections are closed.
        close: bool,
    },
    /// Report the selected sockets.
    FetchSockets {
        /// Which sockets.
        options: BroadcastOptions,
        /// Who asks.
        incoming: Incoming,
    },
    /// Handle an event of another server, and answer it if somebody asks.
    ServerSideEmit {
        /// Its name and arguments.
        event: Payload,
        /// Who asks for an answer.
        incoming: Option<Incoming>,
    },
    /// A request for sockets is over.
    Fetched {
        /// Which request.
        id: RequestId,
        /// What the other servers reported.
        result: Result<Vec<RemoteSocketData>, AdapterError<RemoteSocketData>>,
    },
    /// An event for the other servers is answered.
    Answered {
        /// Which request.
        id: RequestId,
        /// What they answered.
        result: Result<Vec<Payload>, AdapterError<Payload>>,
    },
    /// Another server sent a broadcast to this many clients.
    ClientCount {
        /// Which request.
        id: RequestId,
        /// How many.
        count: usize,
    },
    /// A client of another server answered a broadcast.
    ClientAnswer {
        /// Which request.
        id: RequestId,
        /// Its answer.
        answer: Payload,
    },
    /// A server is lost, and with it this many clients that had not answered a broadcast.
    ClientsGone {
        /// Which request.
        id: RequestId,
        /// How many.
        count: usize,
    },
    /// No more answers to a broadcast will come.
    Collected {
        /// Which request.
        id: RequestId,
    },
}

/// Who still has to answer a request.
#[derive(Debug)]
enum Waiting {
    /// So many servers, whichever they are, besides those that have.
    Count(usize, BTreeSet<ByteString>),
    /// These servers.
    Servers(BTreeSet<ByteString>),
}

impl Waiting {
    /// A server answers; `false` when it was not waited for, or has answered already.
    fn answered(&mut self, uid: &ByteString) -> bool {
        match self {
            Self::Count(left, seen) if *left > 0 => {
                let is_new = seen.insert(uid.clone());
                *left -= usize::from(is_new);
                is_new
            }
            Self::Count(..) => false,
            Self::Servers(uids) => uids.remove(uid),
        }
    }

    fn lost(&mut self, uid: &ByteString) -> bool {
        match self {
            Self::Count(..) => false,
            Self::Servers(uids) => uids.remove(uid),
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Count(left, _) => *left == 0,
            Self::Servers(uids) => uids.is_empty(),
        }
    }
}

/// What is waited for.
#[derive(Debug)]
enum Kind {
    Fetch(Vec<RemoteSocketData>),
    ServerSideEmit(Vec<Payload>),
    Broadcast(BTreeMap<ByteString, Clients>),
}

/// The clients of one server that a broadcast went to. Answers can overtake their count.
#[derive(Debug, Default)]
struct Clients {
    told: Option<usize>,
    answered: usize,
}

impl Clients {
    fn left(&self) -> usize {
        self.told.map_or(0, |told| told.saturating_sub(self.answered))
    }
}

#[derive(Debug)]
struct Request {
    waiting: Waiting,
    kind: Kind,
    deadline: Duration,
}

/// One server of a cluster, in one namespace. It does no I/O, and is told the time: since any moment, but always the same.
///
/// After whatever was done with it, [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event) are called until
/// they have nothing more, and [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) is due.
///
/// ```
/// use sockeye_adapter::{BroadcastOptions, Payload, cluster::{Cluster, ClusterConfig, Event}};
/// use std::time::Duration;
///
/// let config = ClusterConfig::default();
/// let mut one = Cluster::new("1111111111111111", "/", config.clone(), Duration::ZERO);
/// let mut other = Cluster::new("2222222222222222", "/", config, Duration::ZERO);
///
/// let event = Payload::event("hello", &"world")?;
/// one.broadcast(&event, &BroadcastOptions::default(), Duration::ZERO);
/// while let Some(transmit) = one.poll_transmit() {
///     other.handle_message(transmit.message, None, Duration::ZERO);
/// }
/// let Some(Event::Broadcast { event: received, .. }) = other.poll_event() else { panic!() };
/// assert_eq!(received, event);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Cluster {
    uid: ByteString,
    namespace: ByteString,
    config: ClusterConfig,
    /// The other servers, with when they were last heard of.
    servers: BTreeMap<ByteString, Duration>,
    requests: HashMap<RequestId, Request>,
    next_request: u64,
    /// When the next heartbeat is due; `None` when there is none, or the server has left.
    heartbeat: Option<Duration>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl Cluster {
    /// A server that has joined a namespace. `uid` is its name, unique in the cluster; official servers have 16 hex digits.
    pub fn new(uid: &str, namespace: &str, config: ClusterConfig, now: Duration) -> Self {
        let mut cluster = Self {
            uid: uid.into(),
            namespace: namespace.into(),
            heartbeat: None,
            config,
            servers: BTreeMap::new(),
            requests: HashMap::new(),
            next_request: 0,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        };
        if let Membership::Heartbeat { .. } = cluster.config.membership {
            cluster.publish(Body::InitialHeartbeat, now);
        }
        cluster
    }

    /// Its name.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The options.
    pub const fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// How many other servers show themselves; with [`Membership::Counted`] only the bus knows.
    pub fn known_servers(&self) -> usize {
        self.servers.len()
    }

    /// Leaves the cluster: requests that wait end with what came.
    pub fn leave(&mut self, now: Duration) {
        if let Membership::Heartbeat { .. } = self.config.membership {
            self.publish(Body::AdapterClose, now);
            self.heartbeat = None;
        }
        let ids: Vec<_> = self.requests.keys().copied().collect();
        ids.into_iter().for_each(|id| self.time_out(id));
    }

    /// Sends an event to the selected clients of the other servers.
    pub fn broadcast(&mut self, event: &Payload, options: &BroadcastOptions, now: Duration) {
        let body = Body::Broadcast { event: event.clone(), options: options.clone(), request_id: None };
        self.publish(body, now);
    }

    /// Sends an event to the selected clients of the other servers, and collects what they answer, for as long as `options`
    /// say. `others` is how many servers the bus counts besides this one; returns how many will report.
    pub fn broadcast_with_ack(
        &mut self,
        event: &Payload,
        options: &BroadcastOptions,
        others: usize,
        now: Duration,
    ) -> (RequestId, usize) {
        let waiting = self.waiting(others);
        let count = match &waiting {
            Waiting::Count(count, _) => *count,
            Waiting::Servers(uids) => uids.len(),
        };
        let id = self.request(waiting, Kind::Broadcast(BTreeMap::new()), options.timeout, now);
        if self.requests.contains_key(&id) {
            let request_id = Some(self.request_name(id));
            self.publish(Body::Broadcast { event: event.clone(), options: options.clone(), request_id }, now);
        }
        (id, count)
    }

    /// Makes the selected sockets of the other servers join rooms.
    pub fn add_sockets(&mut self, options: &BroadcastOptions, rooms: &[Room], now: Duration) {
        self.publish(Body::SocketsJoin { options: options.clone(), rooms: rooms.to_vec() }, now);
    }

    /// Makes the selected sockets of the other servers leave rooms.
    pub fn remove_sockets(&mut self, options: &BroadcastOptions, rooms: &[Room], now: Duration) {
        self.publish(Body::SocketsLeave { options: options.clone(), rooms: rooms.to_vec() }, now);
    }

    /// Disconnects the selected sockets of the other servers.
    pub fn disconnect_sockets(&mut self, options: &BroadcastOptions, close: bool, now: Duration) {
        self.publish(Body::DisconnectSockets { options: options.clone(), close }, now);
    }

    /// Asks the other servers, of which the bus counts `others`, for sockets: [`Event::Fetched`] is the answer.
    pub fn fetch_sockets(&mut self, options: &BroadcastOptions, others: usize, now: Duration) -> RequestId {
        let waiting = self.waiting(others);
        let id = self.request(waiting, Kind::Fetch(Vec::new()), options.timeout, now);
        if self.requests.contains_key(&id) {
            let request_id = self.request_name(id);
            self.publish(Body::FetchSockets { options: options.clone(), request_id }, now);
        }
        id
    }

    /// Sends an event to the other servers.
    pub fn server_side_emit(&mut self, event: &Payload, now: Duration) {
        self.publish(Body::ServerSideEmit { event: event.clone(), request_id: None }, now);
    }

    /// Sends an event to the other servers, of which the bus counts `others`, and asks for answers: [`Event::Answered`].
    pub fn server_side_emit_with_ack(
        &mut self,
        event: &Payload,
        timeout: Option<Duration>,
        others: usize,
        now: Duration,
    ) -> RequestId {
        let waiting = self.waiting(others);
        let id = self.request(waiting, Kind::ServerSideEmit(Vec::new()), timeout, now);
        if self.requests.contains_key(&id) {
            let request_id = Some(self.request_name(id));
            self.publish(Body::ServerSideEmit { event: event.clone(), request_id }, now);
        }
        id
    }

    /// Nobody waits for a request any more.
    pub fn cancel(&mut self, id: RequestId) {
        self.requests.remove(&id);
    }

    /// Answers [`Event::FetchSockets`].
    pub fn answer_sockets(&mut self, incoming: Incoming, sockets: Vec<RemoteSocketData>) {
        let Incoming { uid, request_id } = incoming;
        self.respond(uid, Body::FetchSocketsResponse { request_id, sockets });
    }

    /// Answers [`Event::ServerSideEmit`].
    pub fn answer_event(&mut self, incoming: Incoming, answer: Payload) {
        let Incoming { uid, request_id } = incoming;
        self.respond(uid, Body::ServerSideEmitResponse { request_id, answer });
    }

    /// Answers [`Event::BroadcastWithAck`]: how many clients got the event.
    pub fn answer_client_count(&mut self, incoming: Incoming, client_count: usize) {
        let Incoming { uid, request_id } = incoming;
        self.respond(uid, Body::BroadcastClientCount { request_id, client_count });
    }

    /// Answers [`Event::BroadcastWithAck`]: what a client answered.
    pub fn answer_client(&mut self, incoming: Incoming, answer: Payload) {
        let Incoming { uid, request_id } = incoming;
        self.respond(uid, Body::BroadcastAck { request_id, answer });
    }

    /// A message arrives. `offset` is its place on the bus, if that has an order.
    pub fn handle_message(&mut self, message: Message, offset: Option<&str>, now: Duration) {
        let Message { uid, nsp, body } = message;
        if nsp != self.namespace {
            return;
        }
        if uid == self.uid {
            // What the bus brings back is applied now, if it was not at once.
            if self.config.echo {
                self.deliver(body, offset);
            }
            return;
        }
        self.hear_of(&uid, now);
        match body {
            Body::InitialHeartbeat => self.publish(Body::Heartbeat, now),
            Body::Heartbeat => {}
            Body::AdapterClose => self.lose(&uid),
            Body::Broadcast { event, options, request_id: Some(request_id) } => {
                let incoming = Incoming { uid, request_id };
                self.events.push_back(Event::BroadcastWithAck { event, options, incoming });
            }
            Body::FetchSockets { options, request_id } => {
                let incoming = Incoming { uid, request_id };
                self.events.push_back(Event::FetchSockets { options, incoming });
            }
            Body::ServerSideEmit { event, request_id } => {
                let incoming = request_id.map(|request_id| Incoming { uid, request_id });
                self.events.push_back(Event::ServerSideEmit { event, incoming });
            }
            Body::Broadcast { .. }
            | Body::SocketsJoin { .. }
            | Body::SocketsLeave { .. }
            | Body::DisconnectSockets { .. } => self.deliver(body, offset),
            Body::FetchSocketsResponse { .. }
            | Body::ServerSideEmitResponse { .. }
            | Body::BroadcastClientCount { .. }
            | Body::BroadcastAck { .. } => self.handle_response(&uid, body),
        }
    }

    /// An operation that nobody answers.
    fn deliver(&mut self, body: Body, offset: Option<&str>) {
        self.events.push_back(match body {
            Body::Broadcast { event, options, request_id: None } => {
                Event::Broadcast { event, options, offset: offset.map(str::to_owned) }
            }
            Body::SocketsJoin { options, rooms } => Event::AddSockets { options, rooms },
            Body::SocketsLeave { options, rooms } => Event::RemoveSockets { options, rooms },
            Body::DisconnectSockets { options, close } => Event::DisconnectSockets { options, close },
            _ => return,
        });
    }

    fn handle_response(&mut self, uid: &ByteString, body: Body) {
        let (Body::FetchSocketsResponse { request_id: name, .. }
        | Body::ServerSideEmitResponse { request_id: name, .. }
        | Body::BroadcastClientCount { request_id: name, .. }
        | Body::BroadcastAck { request_id: name, .. }) = &body
        else {
            return;
        };
        let Some(id) = self.own_request(name) else { return };
        let Some(request) = self.requests.get_mut(&id) else { return };
        match (body, &mut request.kind) {
            (Body::FetchSocketsResponse { sockets, .. }, Kind::Fetch(all)) => {
                if request.waiting.answered(uid) {
                    all.extend(sockets);
                }
            }
            (Body::ServerSideEmitResponse { answer, .. }, Kind::ServerSideEmit(answers)) => {
                if request.waiting.answered(uid) {
                    answers.push(answer);
                }
            }
            (Body::BroadcastClientCount { client_count, .. }, Kind::Broadcast(clients)) => {
                if request.waiting.answered(uid) {
                    clients.entry(uid.clone()).or_default().told = Some(client_count);
                    self.events.push_back(Event::ClientCount { id, count: client_count });
                }
            }
            (Body::BroadcastAck { answer, .. }, Kind::Broadcast(clients)) => {
                let clients = clients.entry(uid.clone()).or_default();
                if clients.told.is_none() || clients.left() > 0 {
                    clients.answered += 1;
                    self.events.push_back(Event::ClientAnswer { id, answer });
                }
            }
            _ => return,
        }
        self.finish(id);
    }

    /// Ends a request that has all its answers.
    fn finish(&mut self, id: RequestId) {
        let Some(Request { waiting, kind, .. }) = self.requests.get_mut(&id) else { return };
        if !waiting.is_over() {
            return;
        }
        match kind {
            Kind::Fetch(sockets) => {
                let result = Ok(std::mem::take(sockets));
                self.events.push_back(Event::Fetched { id, result });
            }
            Kind::ServerSideEmit(answers) => {
                let result = Ok(std::mem::take(answers));
                self.events.push_back(Event::Answered { id, result });
            }
            Kind::Broadcast(clients) if clients.values().all(|clients| clients.left() == 0) => {
                self.events.push_back(Event::Collected { id });
            }
            Kind::Broadcast(_) => return,
        }
        self.requests.remove(&id);
    }

    /// Ends a request for which not all answers came.
    fn time_out(&mut self, id: RequestId) {
        match self.requests.remove(&id).map(|request| request.kind) {
            Some(Kind::Fetch(partial)) => {
                self.events.push_back(Event::Fetched { id, result: Err(AdapterError::Timeout { partial }) });
            }
            Some(Kind::ServerSideEmit(partial)) => {
                self.events.push_back(Event::Answered { id, result: Err(AdapterError::Timeout { partial }) });
            }
            // Who waits for a broadcast has a clock of its own.
            Some(Kind::Broadcast(_)) => self.events.push_back(Event::Collected { id }),
            None => {}
        }
    }

    /// A server shows itself.
    fn hear_of(&mut self, uid: &ByteString, now: Duration) {
        if matches!(self.config.membership, Membership::Counted) || uid.is_empty() || *uid == EMITTER {
            return;
        }
        if let Some(last) = self.servers.get_mut(uid) {
            *last = now;
        } else if self.servers.len() < self.config.max_server_count {
            self.servers.insert(uid.clone(), now);
        }
    }

    /// A server is lost: nobody waits for it any more.
    fn lose(&mut self, uid: &ByteString) {
        self.servers.remove(uid);
        let ids: Vec<_> = self.requests.keys().copied().collect();
        for id in ids {
            let Some(request) = self.requests.get_mut(&id) else { continue };
            let was_waited_for = request.waiting.lost(uid);
            if let Kind::Broadcast(clients) = &mut request.kind {
                let clients = clients.remove(uid).unwrap_or_default();
                if was_waited_for {
                    // Of its clients only those are known whose answers were quicker than the count.
                    self.events.push_back(Event::ClientCount { id, count: clients.answered });
                } else if clients.left() > 0 {
                    self.events.push_back(Event::ClientsGone { id, count: clients.left() });
                }
            }
            self.finish(id);
        }
    }

    /// What is due at this time: heartbeats, servers that are lost, requests whose time is over.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.heartbeat.is_some_and(|at| at <= now) {
            self.publish(Body::Heartbeat, now);
        }
        if let Membership::Heartbeat { timeout, .. } = self.config.membership {
            let lost: Vec<_> = self
                .servers
                .iter()
                .filter(|(_, last)| **last + timeout <= now)
                .map(|(uid, _)| uid.clone())
                .collect();
            lost.iter().for_each(|uid| self.lose(uid));
        }
        let over: Vec<_> =
            self.requests.iter().filter(|(_, request)| request.deadline <= now).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.time_out(id));
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let lost = match self.config.membership {
            Membership::Heartbeat { timeout, .. } => self.servers.values().map(|last| *last + timeout).min(),
            Membership::Counted => None,
        };
        let over = self.requests.values().map(|request| request.deadline).min();
        [self.heartbeat, lost, over].into_iter().flatten().min()
    }

    /// The next message for the bus.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing to be done on this server.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn waiting(&self, others: usize) -> Waiting {
        match self.config.membership {
            Membership::Counted => Waiting::Count(others, BTreeSet::new()),
            Membership::Heartbeat { .. } => Waiting::Servers(self.servers.keys().cloned().collect()),
        }
    }

    /// A new request; it is over already when there is nobody to ask.
    fn request(
        &mut self,
        waiting: Waiting,
        kind: Kind,
        timeout: Option<Duration>,
        now: Duration,
    ) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let deadline = now.saturating_add(timeout.unwrap_or(self.config.request_timeout));
        self.requests.insert(id, Request { waiting, kind, deadline });
        self.finish(id);
        id
    }

    /// The name of a request on the wire, unique in the cluster.
    fn request_name(&self, id: RequestId) -> String {
        format!("{}-{}", self.uid, id.0)
    }

    fn own_request(&self, name: &str) -> Option<RequestId> {
        name.strip_prefix(&*self.uid)?.strip_prefix('-')?.parse().ok().map(RequestId)
    }

    fn publish(&mut self, body: Body, now: Duration) {
        self.transmit(Target::All, body);
        // Only what reaches all servers shows this one to them.
        if let Membership::Heartbeat { interval, .. } = self.config.membership {
            self.heartbeat = Some(now + interval);
        }
    }

    fn respond(&mut self, uid: ByteString, body: Body) {
        self.transmit(Target::Server(uid), body);
    }

    fn transmit(&mut self, target: Target, body: Body) {
        let message = Message { uid: self.uid.clone(), nsp: self.namespace.clone(), body };
        self.transmits.push_back(Transmit { target, message });
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
