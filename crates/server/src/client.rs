//! One client's Socket.IO connection: its packets, its sockets in the namespaces, and the handlers that run for it.
//! It lives in the session's task, which alone calls it.

mod events;
mod work;

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use sockeye_adapter::BoxFuture;
use sockeye_engineio::CloseReason;
use sockeye_socketio::{
    Assembler, AssemblerLimits, DecodeError, Incoming, Limits, PacketType, Parser, msgpack,
};
use std::{collections::VecDeque, fmt, panic::AssertUnwindSafe, sync::Arc, task::Context, time::Duration};

use events::Joined;
pub(crate) use work::panic_message;
use work::{Outcome, Work, called, report_panic};

use crate::{
    ConnectError, DisconnectReason, Excess, NamespaceRequest, Socket,
    engine::Mailbox,
    handler::{ConnectContext, DisconnectContext},
    handshake::Handshake,
    io::IoInner,
    legacy,
    namespace::NamespaceInner,
    outgoing::Outgoing,
    rate_limit::Bucket,
    recovery::{Claim, Returning},
    trace::{debug, warn},
};

/// How the client broke the protocol; the connection closes.
#[derive(Debug)]
pub(crate) enum Violation {
    /// A packet that is none.
    Packet(DecodeError),
    /// A packet for a namespace that was not joined, a second CONNECT, or a packet that only servers send.
    State,
    /// The name of an event is longer than is allowed.
    EventName { len: usize },
    /// It did something more often than is allowed.
    RateLimit,
    /// No namespace was joined in time.
    ConnectTimeout,
}

impl Violation {
    /// What the sockets are told when the connection cannot close at once.
    pub(crate) const fn reason(&self) -> DisconnectReason {
        match self {
            Self::Packet(_) | Self::EventName { .. } => DisconnectReason::Transport(CloseReason::ForcedClose),
            Self::State | Self::RateLimit | Self::ConnectTimeout => DisconnectReason::ForcedServerClose,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet(error) => write!(f, "invalid packet: {error}"),
            Self::State => f.write_str("packet that is not allowed in this state"),
            Self::EventName { len } => write!(f, "name of an event with {len} bytes"),
            Self::RateLimit => f.write_str("rate limit exceeded"),
            Self::ConnectTimeout => f.write_str("no namespace joined in time"),
        }
    }
}

impl From<DecodeError> for Violation {
    fn from(error: DecodeError) -> Self {
        Self::Packet(error)
    }
}

/// A namespace whose matchers or middleware run.
struct Joining {
    name: ByteString,
    /// That of a client that comes back and is judged.
    socket: Option<Socket>,
}

pub(crate) struct Client {
    io: Arc<IoInner>,
    mailbox: Arc<Mailbox>,
    handshake: Arc<Handshake>,
    /// The sockets that are connected; few, so a list.
    joined: Vec<Joined>,
    /// The namespaces whose matchers or middleware run.
    joining: Vec<Joining>,
    /// The names of the namespaces that the server disconnected, the latest ones: what the client sent before it knew is
    /// dropped.
    left: VecDeque<String>,
    parser: Parser,
    assembler: Assembler,
    work: VecDeque<Work>,
    running: FuturesUnordered<BoxFuture<'static, Outcome>>,
    /// Until then a namespace must have been joined.
    connect_deadline: Option<Duration>,
    /// How often it asked for namespaces.
    connects: Bucket,
    /// How a packet that had to wait broke the protocol.
    broken: Option<Violation>,
    closed: bool,
}

impl Client {
    pub(crate) fn new(io: Arc<IoInner>, mailbox: Arc<Mailbox>, handshake: Arc<Handshake>) -> Self {
        let config = &io.engine.config;
        let limits = AssemblerLimits {
            max_attachments: config.max_attachment_count,
            max_bytes: config.max_attachments_len,
            max_wait: config.attachment_timeout,
        };
        let parser = config.parser;
        let connect_deadline = Some(io.engine.now() + config.connect_timeout);
        Self {
            io,
            mailbox,
            handshake,
            joined: Vec::new(),
            joining: Vec::new(),
            left: VecDeque::new(),
            parser,
            assembler: Assembler::new(limits),
            work: VecDeque::new(),
            running: FuturesUnordered::new(),
            connect_deadline,
            connects: Bucket::default(),
            broken: None,
            closed: false,
        }
    }

    fn limits(&self) -> Limits {
        let config = &self.io.engine.config;
        Limits { max_attachments: config.max_attachment_count, max_namespace_len: config.max_namespace_len }
    }

    /// A text message: a packet, or the beginning of one with attachments.
    pub(crate) fn text(&mut self, text: &str, now: Duration) -> Result<(), Violation> {
        if self.closed {
            return Ok(());
        }
        if self.parser == Parser::MsgPack {
            // Its packets are binary messages.
            return Err(DecodeError::InvalidMsgPack { offset: 0 }.into());
        }
        let limits = self.limits();
        let packet = self.assembler.decode(text, &limits)?;
        if packet.attachment_count > 0 {
            return Ok(self.assembler.begin(ByteString::from(text), &packet, now)?);
        }
        self.packet(&Incoming::text(packet, &[]))
    }

    /// A binary message: an attachment, or a packet of msgpack.
    pub(crate) fn binary(&mut self, bytes: Bytes) -> Result<(), Violation> {
        if self.closed {
            return Ok(());
        }
        if self.parser == Parser::MsgPack {
            let packet = msgpack::Packet::decode(&bytes, &self.limits())?;
            return self.packet(&Incoming::msgpack(packet));
        }
        match self.assembler.binary(bytes)? {
            Some(assembled) => self.packet(&Incoming::text(assembled.packet(), assembled.attachments())),
            None => Ok(()),
        }
    }

    /// When [`check_deadlines`](Self::check_deadlines) is due.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        [self.connect_deadline, self.assembler.deadline()].into_iter().flatten().min()
    }

    pub(crate) fn check_deadlines(&mut self, now: Duration) -> Result<(), Violation> {
        if self.connect_deadline.is_some_and(|deadline| deadline <= now) {
            self.connect_deadline = None;
            return Err(Violation::ConnectTimeout);
        }
        match self.broken.take() {
            Some(violation) => Err(violation),
            None => Ok(self.assembler.handle_timeout(now)?),
        }
    }

    /// A client of Socket.IO 2 is in the main namespace without asking.
    pub(crate) fn open(&mut self) {
        if self.is_v2() && self.connect_to("/", "{}".into()).is_err() {
            warn!(target: "sockeye::socket", "a new client is connected already");
        }
    }

    fn is_v2(&self) -> bool {
        self.mailbox.dialect().is_v3()
    }

    fn packet(&mut self, packet: &Incoming<'_>) -> Result<(), Violation> {
        if packet.packet_type == PacketType::Connect {
            return self.connect(packet);
        }
        let name = if self.is_v2() { legacy::without_query(packet.namespace) } else { packet.namespace };
        let at = self.joined.iter().position(|joined| joined.socket.namespace_name() == name);
        let Some(at) = at else { return self.late(packet) };
        let socket = self.joined[at].socket.clone();
        match packet.packet_type {
            PacketType::Event | PacketType::BinaryEvent => {
                if !socket.is_connected() {
                    // Disconnected by the server; the client does not know yet.
                    return Ok(packet.validate()?);
                }
                let event = packet.event()?;
                if event.name.len() > self.io.engine.config.max_event_len {
                    return Err(Violation::EventName { len: event.name.len() });
                }
                self.event(at, &socket, &event, packet.ack_id)
            }
            PacketType::Ack | PacketType::BinaryAck => {
                packet.validate()?;
                if let Some(id) = packet.ack_id {
                    socket.acks().resolve(id, packet.ack()?);
                }
                Ok(())
            }
            PacketType::Disconnect => {
                // The server may have been first, and only its command still be on the way.
                let reason = if socket.is_connected() {
                    DisconnectReason::ClientNamespaceDisconnect
                } else {
                    DisconnectReason::ServerNamespaceDisconnect
                };
                self.leave(&socket, reason);
                Ok(())
            }
            PacketType::Connect | PacketType::ConnectError => Err(Violation::State),
        }
    }

    /// A packet for a namespace that the client is not in. It is no fault of a client that the server disconnected and
    /// that does not know yet.
    fn late(&self, packet: &Incoming<'_>) -> Result<(), Violation> {
        if !self.left.iter().any(|name| name == packet.namespace) {
            return Err(Violation::State);
        }
        Ok(packet.validate()?)
    }

    fn connect(&mut self, packet: &Incoming<'_>) -> Result<(), Violation> {
        packet.validate()?;
        let name = packet.namespace;
        if self.is_v2() {
            return self.connect_to(legacy::without_query(name), legacy::auth(name));
        }
        self.connect_to(name, packet.payload_json().as_ref().into())
    }

    fn connect_to(&mut self, name: &str, auth: ByteString) -> Result<(), Violation> {
        let joined = self.joined.iter().map(|joined| joined.socket.namespace_name());
        if joined.chain(self.joining.iter().map(|joining| &*joining.name)).any(|joined| joined == name) {
            return Err(Violation::State);
        }
        let config = &self.io.engine.config;
        if let Some(limit) = &config.connect_rate_limit
            && let Err(exceeded) = self.connects.take(limit, self.io.engine.now())
        {
            self.refuse(name, &ConnectError::new("Too many connection attempts"));
            return match exceeded.excess {
                Excess::Refuse => Ok(()),
                Excess::Disconnect => Err(Violation::RateLimit),
            };
        }
        self.left.retain(|left| left != name);
        if self.joined.len() + self.joining.len() >= self.io.engine.config.max_namespace_count {
            self.refuse(name, &ConnectError::new("Too many namespaces"));
            return Ok(());
        }
        match self.io.namespace(name) {
            Some(namespace) => self.join(namespace, auth),
            None if self.io.has_dynamic_namespaces() => {
                self.find(NamespaceRequest::new(name, &auth, self.handshake.clone()));
            }
            None => self.refuse(name, &ConnectError::new("Invalid namespace")),
        }
        Ok(())
    }

    /// Asks the matchers of dynamic namespaces.
    fn find(&mut self, request: NamespaceRequest) {
        self.joining.push(Joining { name: request.name().into(), socket: None });
        let io = self.io.clone();
        self.push_work(Work::Await(Box::pin(async move {
            let finding = AssertUnwindSafe(io.dynamic_namespace(&request)).catch_unwind();
            let found = finding.await.unwrap_or_else(|panic| {
                warn!(target: "sockeye::namespace", panic = %panic_message(&*panic), "matcher failed");
                None
            });
            Outcome::Found(request, found)
        })));
    }

    /// A client may be one that lost its connection and comes back.
    fn join(&mut self, namespace: Arc<NamespaceInner>, auth: ByteString) {
        let Some(claim) = namespace.recovery().and_then(|_| Claim::from_auth(&auth)) else {
            return self.join_as(namespace, auth, None);
        };
        self.joining.push(Joining { name: namespace.name().into(), socket: None });
        self.push_work(Work::Await(Box::pin(async move {
            let returning = namespace.restore(claim).await;
            Outcome::Restored(namespace, auth, returning)
        })));
    }

    /// Makes the client's socket in a namespace, which its middleware judges.
    fn join_as(&mut self, namespace: Arc<NamespaceInner>, auth: ByteString, returning: Option<Returning>) {
        let is_let_in =
            returning.is_some() && namespace.recovery().is_some_and(|recovery| recovery.skips_middlewares());
        let (mailbox, handshake) = (self.mailbox.clone(), self.handshake.clone());
        let socket = Socket::new(namespace.clone(), mailbox, handshake, auth, returning);
        let handlers = namespace.handlers();
        if is_let_in || handlers.middleware().next().is_none() {
            self.admit(socket);
            return;
        }
        if socket.recovered() {
            // The client may give this connection up as well before it is judged.
            namespace.arrived(&socket);
        }
        let judged = socket.recovered().then(|| socket.clone());
        self.joining.push(Joining { name: namespace.name().into(), socket: judged });
        self.push_work(Work::Await(Box::pin(async move {
            let judging = async {
                for middleware in handlers.middleware() {
                    // Not held while the future runs, which may be on another thread.
                    let judging = middleware.call(&ConnectContext::new(&socket))?;
                    judging.await?;
                }
                Ok(())
            };
            let verdict = AssertUnwindSafe(judging).catch_unwind().await.unwrap_or_else(|panic| {
                report_panic(&socket, &*panic);
                Err(ConnectError::new("internal error"))
            });
            Outcome::Judged(socket, verdict)
        })));
    }

    /// Lets a socket into its namespace. The client is told first, so that no broadcast overtakes the answer; and none
    /// overtakes what the connection handlers send in their first turn. One that comes back expects what it missed even before
    /// the answer.
    fn admit(&mut self, socket: Socket) {
        let namespace = socket.namespace().clone();
        let Some(reply) = self.connect_reply(&socket) else { return };
        let Some(returning) = socket.take_returning() else {
            self.mailbox.push(reply, false);
            if namespace.admit(&socket) {
                namespace.arrived(&socket);
                self.admitted(socket);
            }
            return;
        };
        let max_len = self.io.engine.config.max_queue_len;
        if namespace.keeps_sessions() {
            let resumed = namespace.resume(&socket, &returning, max_len);
            self.joining.push(Joining { name: namespace.name().into(), socket: None });
            self.push_work(Work::Await(Box::pin(async move {
                let is_in = resumed.await.unwrap_or(false);
                Outcome::Resumed(socket, returning, is_in)
            })));
        } else if namespace.readmit(&socket, &returning, max_len, &reply) {
            returning.arrive();
            self.admitted(socket);
        } else {
            self.start_anew(&socket, returning);
        }
    }

    /// What tells a client that it is in.
    fn connect_reply(&self, socket: &Socket) -> Option<Outgoing> {
        let (wire, name) = (socket.namespace().wire(), socket.namespace_name());
        let reply = if self.is_v2() {
            Outgoing::v2_connect_reply(wire, name, socket.id())
        } else {
            Outgoing::connect_reply(wire, name, socket.id(), socket.pid().map(|pid| &**pid))
        };
        reply.ok()
    }

    /// An adapter has found what a client missed, and let it in, or has not.
    fn resumed(&mut self, socket: Socket, returning: Returning, is_in: bool) {
        self.joining.retain(|joining| joining.name != *socket.namespace_name());
        if self.closed {
            // It is away again.
            if is_in {
                socket.set_disconnected();
                socket.namespace().remove(&socket);
            }
        } else if let (true, Some(reply)) = (is_in, self.connect_reply(&socket)) {
            self.mailbox.push(reply, false);
            returning.arrive();
            self.admitted(socket);
        } else {
            self.start_anew(&socket, returning);
        }
    }

    /// What a client missed is not known any more: it is a new one.
    fn start_anew(&mut self, socket: &Socket, returning: Returning) {
        debug!(target: "sockeye::socket", "client cannot be recovered");
        returning.forget();
        self.join_as(socket.namespace().clone(), socket.auth_json().clone(), None);
    }

    fn admitted(&mut self, socket: Socket) {
        let name = socket.namespace_name().to_owned();
        self.connect_deadline = None;
        debug!(target: "sockeye::socket", namespace = %name, "socket connected");
        self.joined.push(Joined::new(socket.clone()));
        let handlers = socket.namespace().handlers();
        let context = ConnectContext::new(&socket);
        if handlers.is_sequential() {
            let connection = handlers.connection();
            let futures: Vec<_> =
                connection.filter_map(|handler| called(&socket, || handler.call(&context))).collect();
            self.hold_events(&socket);
            self.start_in_turn(&socket, futures);
        } else {
            for handler in handlers.connection() {
                self.start(&socket, || handler.call(&context));
            }
        }
        self.push_work(Work::Greet(socket));
    }

    fn refuse(&self, name: &str, error: &ConnectError) {
        let wire = self.io.wire();
        let packet = if self.is_v2() {
            Outgoing::v2_connect_error(wire, name, error)
        } else {
            Outgoing::connect_error(wire, name, error)
        };
        if let Ok(packet) = packet {
            self.mailbox.push(packet, false);
        }
    }

    /// Takes the client's socket out of a namespace: `disconnecting` handlers while it is in its rooms, then
    /// `disconnect` handlers.
    pub(crate) fn leave(&mut self, socket: &Socket, reason: DisconnectReason) {
        let Some(at) = self.joined.iter().position(|joined| joined.socket == *socket) else { return };
        let Joined { socket, .. } = self.joined.swap_remove(at);
        if reason.is_recoverable() {
            socket.namespace().leaving(&socket);
        }
        socket.set_disconnected();
        if reason == DisconnectReason::ServerNamespaceDisconnect {
            // Only as many as a client can be in: it chooses the names.
            if self.left.len() >= self.io.engine.config.max_namespace_count {
                self.left.pop_front();
            }
            self.left.push_back(socket.namespace_name().to_owned());
        }
        for handler in socket.namespace().handlers().disconnecting() {
            let context = DisconnectContext::new(&socket, reason);
            self.start(&socket, || handler.call(&context));
        }
        self.push_work(Work::Remove { socket, reason });
    }

    /// The connection left long-polling for WebSocket.
    pub(crate) fn upgraded(&mut self) {
        let sockets: Vec<_> = self.joined.iter().map(|joined| joined.socket.clone()).collect();
        for socket in &sockets {
            for handler in socket.namespace().handlers().upgrade() {
                self.start(socket, || handler.call(&ConnectContext::new(socket)));
            }
        }
    }

    /// The application disconnects all sockets of the client.
    pub(crate) fn disconnect_all(&mut self) {
        while let Some(socket) = self.joined.last().map(|joined| joined.socket.clone()) {
            socket.send_disconnect();
            self.leave(&socket, DisconnectReason::ServerNamespaceDisconnect);
        }
    }

    fn remove(&mut self, socket: &Socket, reason: DisconnectReason) {
        let namespace = socket.namespace();
        let rooms =
            (namespace.recovery().is_some() && reason.is_recoverable()).then(|| namespace.rooms_of(socket));
        namespace.remove(socket);
        namespace.left(socket, rooms);
        debug!(target: "sockeye::socket", reason = %reason, "socket disconnected");
        for handler in socket.namespace().handlers().disconnect() {
            let context = DisconnectContext::new(socket, reason);
            self.start(socket, || handler.call(&context));
        }
        socket.acks().fail();
        socket.clear_handlers();
    }

    /// The connection ends: all sockets leave.
    pub(crate) fn close(&mut self, reason: DisconnectReason) {
        self.closed = true;
        self.connect_deadline = None;
        for Joining { socket, .. } in self.joining.drain(..) {
            // A client that came back is away again, however long its middleware takes.
            drop(socket.and_then(|socket| socket.take_returning()));
        }
        while let Some(socket) = self.joined.last().map(|joined| joined.socket.clone()) {
            self.leave(&socket, reason);
        }
    }

    /// After the end: what is due is done now; handlers that are not finished go on alone, as their work is not the
    /// client's.
    pub(crate) fn finish(&mut self, cx: &mut Context<'_>) {
        self.close(DisconnectReason::ForcedServerClose);
        self.run(cx);
        if !self.running.is_empty() {
            let running = std::mem::take(&mut self.running);
            tokio::spawn(running.for_each(|outcome| {
                outcome.discard();
                std::future::ready(())
            }));
        }
    }

    /// The task ends where no handler can run any more: at least nothing stays in the rooms.
    pub(crate) fn abandon(&mut self) {
        for Joined { socket, .. } in self.joined.drain(..) {
            socket.set_disconnected();
            socket.namespace().remove(&socket);
            socket.namespace().left(&socket, None);
            socket.acks().fail();
            socket.clear_handlers();
        }
    }
}
