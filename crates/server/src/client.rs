//! One client's Socket.IO connection: its packets, its sockets in the namespaces, and the handlers that run for it.
//! It lives in the session's task, which alone calls it.

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use sockeye_adapter::BoxFuture;
use sockeye_engineio::CloseReason;
use sockeye_socketio::{
    Assembler, AssemblerLimits, DecodeError, Incoming, Limits, PacketType, Parser, msgpack,
};
use std::{
    any::Any,
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    ConnectError, DisconnectReason, HandlerError, NamespaceRequest, Socket,
    engine::Mailbox,
    handler::{ConnectContext, DisconnectContext, EventContext},
    handshake::Handshake,
    io::IoInner,
    namespace::NamespaceInner,
    outgoing::Outgoing,
    trace::{debug, warn},
};

/// How the client broke the protocol; the connection closes.
#[derive(Debug)]
pub(crate) enum Violation {
    /// A packet that is none.
    Packet(DecodeError),
    /// A packet for a namespace that was not joined, a second CONNECT, or a packet that only servers send.
    State,
    /// No namespace was joined in time.
    ConnectTimeout,
}

impl Violation {
    /// What the sockets are told when the connection cannot close at once.
    pub(crate) const fn reason(&self) -> DisconnectReason {
        match self {
            Self::Packet(_) => DisconnectReason::Transport(CloseReason::ForcedClose),
            Self::State | Self::ConnectTimeout => DisconnectReason::ForcedServerClose,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet(error) => write!(f, "invalid packet: {error}"),
            Self::State => f.write_str("packet that is not allowed in this state"),
            Self::ConnectTimeout => f.write_str("no namespace joined in time"),
        }
    }
}

impl From<DecodeError> for Violation {
    fn from(error: DecodeError) -> Self {
        Self::Packet(error)
    }
}

/// What is to be done, in order. A handler's future is polled once in its turn, and goes on beside the others if it is
/// not finished then.
enum Work {
    Run {
        socket: Socket,
        future: BoxFuture<'static, ()>,
    },
    /// The matchers of dynamic namespaces, of which one may accept a name that does not exist.
    Find(BoxFuture<'static, (NamespaceRequest, Option<Arc<NamespaceInner>>)>),
    /// The middleware of a namespace, which decides whether the socket connects.
    Admit(BoxFuture<'static, (Socket, Result<(), ConnectError>)>),
    /// The `disconnecting` handlers had their turn: leave the rooms.
    Remove {
        socket: Socket,
        reason: DisconnectReason,
    },
}

/// A future that did not finish at once.
enum Outcome {
    Done,
    Found(NamespaceRequest, Option<Arc<NamespaceInner>>),
    Judged(Socket, Result<(), ConnectError>),
}

pub(crate) struct Client {
    io: Arc<IoInner>,
    mailbox: Arc<Mailbox>,
    handshake: Arc<Handshake>,
    /// The sockets that are connected; few, so a list.
    sockets: Vec<Socket>,
    /// The names of the namespaces whose matchers or middleware run.
    joining: Vec<ByteString>,
    /// The names of the namespaces that the server disconnected, the latest ones: what the client sent before it knew is
    /// dropped.
    left: VecDeque<String>,
    parser: Parser,
    assembler: Assembler,
    work: VecDeque<Work>,
    running: FuturesUnordered<BoxFuture<'static, Outcome>>,
    /// Until then a namespace must have been joined.
    connect_deadline: Option<Duration>,
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
            sockets: Vec::new(),
            joining: Vec::new(),
            left: VecDeque::new(),
            parser,
            assembler: Assembler::new(limits),
            work: VecDeque::new(),
            running: FuturesUnordered::new(),
            connect_deadline,
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
        Ok(self.assembler.handle_timeout(now)?)
    }

    fn packet(&mut self, packet: &Incoming<'_>) -> Result<(), Violation> {
        if packet.packet_type == PacketType::Connect {
            return self.connect(packet);
        }
        let socket = self.sockets.iter().find(|socket| socket.namespace().name() == packet.namespace);
        let Some(socket) = socket.cloned() else { return self.late(packet) };
        match packet.packet_type {
            PacketType::Event | PacketType::BinaryEvent => self.event(&socket, packet),
            PacketType::Ack | PacketType::BinaryAck => {
                packet.validate()?;
                if let Some(id) = packet.ack_id {
                    socket.acks().resolve(id, packet.ack()?);
                }
                Ok(())
            }
            PacketType::Disconnect => {
                self.leave(&socket, DisconnectReason::ClientNamespaceDisconnect);
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

    fn event(&mut self, socket: &Socket, packet: &Incoming<'_>) -> Result<(), Violation> {
        if !socket.is_connected() {
            // Disconnected by the server; the client does not know yet.
            return Ok(packet.validate()?);
        }
        let event = packet.event()?;
        let context = EventContext::new(socket, &event.name, event.args, packet.ack_id);
        let handlers = socket.namespace().handlers();
        let own = socket.own_handlers();
        let own = own.as_deref();
        let work_count = self.work.len();
        context.set_observed(true);
        for handler in handlers.any() {
            self.start(socket, || handler.call(&context));
        }
        for observer in own.into_iter().flat_map(|own| &own.any) {
            self.start(socket, || observer.handler.call(&context));
        }
        context.set_observed(false);
        for handler in handlers.named(&event.name) {
            self.start(socket, || handler.call(&context));
        }
        for registered in own.into_iter().flat_map(|own| own.named(&event.name)) {
            // One for a single event is taken away first; whoever did that calls it.
            if !registered.once || socket.off(registered.id) {
                self.start(socket, || registered.handler.call(&context));
            }
        }
        Ok(context.finish().inspect_err(|_| self.work.truncate(work_count))?)
    }

    fn connect(&mut self, packet: &Incoming<'_>) -> Result<(), Violation> {
        packet.validate()?;
        let name = packet.namespace;
        let joined = self.sockets.iter().map(|socket| socket.namespace().name());
        if joined.chain(self.joining.iter().map(|name| &**name)).any(|joined| joined == name) {
            return Err(Violation::State);
        }
        self.left.retain(|left| left != name);
        if self.sockets.len() + self.joining.len() >= self.io.engine.config.max_namespace_count {
            self.refuse(name, &ConnectError::new("Too many namespaces"));
            return Ok(());
        }
        let auth = packet.payload_json();
        match self.io.namespace(name) {
            Some(namespace) => self.join(namespace, auth.as_ref().into()),
            None if self.io.has_dynamic_namespaces() => {
                self.find(NamespaceRequest::new(name, &auth, self.handshake.clone()));
            }
            None => self.refuse(name, &ConnectError::new("Invalid namespace")),
        }
        Ok(())
    }

    /// Asks the matchers of dynamic namespaces.
    fn find(&mut self, request: NamespaceRequest) {
        self.joining.push(request.name().into());
        let io = self.io.clone();
        self.work.push_back(Work::Find(Box::pin(async move {
            let finding = AssertUnwindSafe(io.dynamic_namespace(&request)).catch_unwind();
            let found = finding.await.unwrap_or_else(|panic| {
                warn!(target: "sockeye::namespace", panic = panic_message(&*panic), "matcher failed");
                None
            });
            (request, found)
        })));
    }

    /// Makes the client's socket in a namespace, which its middleware judges.
    fn join(&mut self, namespace: Arc<NamespaceInner>, auth: ByteString) {
        let socket = Socket::new(namespace.clone(), self.mailbox.clone(), self.handshake.clone(), auth);
        let handlers = namespace.handlers();
        if handlers.middleware().next().is_none() {
            self.admit(socket);
            return;
        }
        self.joining.push(namespace.name().into());
        self.work.push_back(Work::Admit(Box::pin(async move {
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
            (socket, verdict)
        })));
    }

    /// The client is told first, so that no broadcast overtakes the answer.
    fn admit(&mut self, socket: Socket) {
        let name = socket.namespace().name().to_owned();
        let reply = Outgoing::connect_reply(socket.namespace().wire(), &name, socket.id(), None);
        let Ok(reply) = reply else { return };
        self.mailbox.push(&reply, false);
        if !socket.namespace().clone().admit(&socket) {
            return;
        }
        self.connect_deadline = None;
        debug!(target: "sockeye::socket", namespace = %name, "socket connected");
        self.sockets.push(socket.clone());
        for handler in socket.namespace().handlers().connection() {
            let context = ConnectContext::new(&socket);
            self.start(&socket, || handler.call(&context));
        }
    }

    fn refuse(&self, name: &str, error: &ConnectError) {
        if let Ok(packet) = Outgoing::connect_error(self.io.wire(), name, error) {
            self.mailbox.push(&packet, false);
        }
    }

    /// Takes the client's socket out of a namespace: `disconnecting` handlers while it is in its rooms, then
    /// `disconnect` handlers.
    pub(crate) fn leave(&mut self, socket: &Socket, reason: DisconnectReason) {
        let Some(at) = self.sockets.iter().position(|joined| joined == socket) else { return };
        let socket = self.sockets.swap_remove(at);
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
        self.work.push_back(Work::Remove { socket, reason });
    }

    /// The application disconnects all sockets of the client.
    pub(crate) fn disconnect_all(&mut self) {
        while let Some(socket) = self.sockets.last().cloned() {
            socket.send_disconnect();
            self.leave(&socket, DisconnectReason::ServerNamespaceDisconnect);
        }
    }

    fn remove(&mut self, socket: &Socket, reason: DisconnectReason) {
        socket.namespace().remove(socket);
        debug!(target: "sockeye::socket", reason = %reason, "socket disconnected");
        for handler in socket.namespace().handlers().disconnect() {
            let context = DisconnectContext::new(socket, reason);
            self.start(socket, || handler.call(&context));
        }
        socket.acks().fail();
        socket.clear_handlers();
    }

    /// Calls a handler; its future has its turn after what is queued already.
    fn start(&mut self, socket: &Socket, call: impl FnOnce() -> Option<BoxFuture<'static, ()>>) {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Some(future)) => self.work.push_back(Work::Run { socket: socket.clone(), future }),
            Ok(None) => {}
            Err(panic) => report_panic(socket, &*panic),
        }
    }

    /// Polls what is new once, and what was woken; whether anything happened.
    pub(crate) fn run(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        loop {
            while let Some(work) = self.work.pop_front() {
                any = true;
                self.begin(work, cx);
            }
            if self.running.is_empty() {
                return any;
            }
            match self.running.poll_next_unpin(cx) {
                Poll::Ready(Some(outcome)) => {
                    any = true;
                    self.conclude(outcome);
                }
                Poll::Ready(None) | Poll::Pending => return any,
            }
        }
    }

    fn begin(&mut self, work: Work, cx: &mut Context<'_>) {
        let mut future: BoxFuture<'static, Outcome> = match work {
            Work::Run { socket, mut future } => {
                // The common case, a handler that does not wait, costs no more than this poll.
                match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
                    Ok(Poll::Ready(())) => return,
                    Ok(Poll::Pending) => Box::pin(async move {
                        if let Err(panic) = AssertUnwindSafe(future).catch_unwind().await {
                            report_panic(&socket, &*panic);
                        }
                        Outcome::Done
                    }),
                    Err(panic) => return report_panic(&socket, &*panic),
                }
            }
            Work::Find(finding) => Box::pin(finding.map(|(request, found)| Outcome::Found(request, found))),
            Work::Admit(judging) => {
                Box::pin(judging.map(|(socket, verdict)| Outcome::Judged(socket, verdict)))
            }
            Work::Remove { socket, reason } => return self.remove(&socket, reason),
        };
        match future.as_mut().poll(cx) {
            Poll::Ready(outcome) => self.conclude(outcome),
            Poll::Pending => self.running.push(future),
        }
    }

    fn conclude(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Done => {}
            Outcome::Found(request, found) => {
                self.joining.retain(|name| name != request.name());
                match found {
                    _ if self.closed => {}
                    Some(namespace) => self.join(namespace, request.into_auth()),
                    None => self.refuse(request.name(), &ConnectError::new("Invalid namespace")),
                }
            }
            Outcome::Judged(socket, verdict) => {
                self.joining.retain(|name| &**name != socket.namespace_name());
                match verdict {
                    _ if self.closed => {}
                    Ok(()) => self.admit(socket),
                    Err(error) => {
                        debug!(target: "sockeye::namespace", error = %error, "connection refused by middleware");
                        self.refuse(socket.namespace_name(), &error);
                    }
                }
            }
        }
    }

    /// The connection ends: all sockets leave.
    pub(crate) fn close(&mut self, reason: DisconnectReason) {
        self.closed = true;
        self.connect_deadline = None;
        while let Some(socket) = self.sockets.last().cloned() {
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
            tokio::spawn(running.for_each(|_| std::future::ready(())));
        }
    }

    /// The task ends where no handler can run any more: at least nothing stays in the rooms.
    pub(crate) fn abandon(&mut self) {
        for socket in self.sockets.drain(..) {
            socket.set_disconnected();
            socket.namespace().remove(&socket);
            socket.acks().fail();
            socket.clear_handlers();
        }
    }
}

/// A panic of user code ends what panicked and nothing else.
fn report_panic(socket: &Socket, panic: &(dyn Any + Send)) {
    let error = HandlerError::Panicked(panic_message(panic).to_owned());
    warn!(target: "sockeye::socket", error = %error, "handler failed");
    socket.namespace().report(socket, &error);
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or_default()
}
