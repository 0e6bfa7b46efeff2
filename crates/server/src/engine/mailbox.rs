//! What reaches a session's task from outside: packets to send, requests, and wishes of the application.
//!
//! ```text
//! emitters, any thread ──► packets  ─┐
//! HTTP requests ─────────► commands ─┼─► the session's task
//! application ───────────► commands ─┘
//! ```
//! One lock guards it, held for a push or a take and never while anything else runs.

use parking_lot::{Mutex, MutexGuard};
use sockeye_engineio::{CloseReason, Transport};
use sockeye_tokio_websocket::{Prepared, WebSocket, upgrade::UpgradedStream};
use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};
use tokio::sync::oneshot;

use super::{Dialect, Post, dialect::Payload};
use crate::{SlowConsumer, Socket, outgoing::Outgoing};

/// A request to the session's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// A GET that waits for packets.
    Poll(oneshot::Sender<Payload>),
    /// The GET that waited is gone.
    PollAborted,
    /// The body of a POST; answered when its packets were handled.
    Post { post: Post, done: oneshot::Sender<()> },
    /// A WebSocket opened with the id of this session.
    Probe(Box<WebSocket<UpgradedStream>>),
    /// The transport broke a rule, such as two requests at a time.
    Fail(CloseReason),
    /// The application disconnects a socket.
    Leave(Socket),
    /// The application disconnects all sockets of the client and closes the connection.
    Close,
    /// The server shuts down.
    ShutDown,
}

/// Whether a packet was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    Queued,
    /// It was volatile, and the transport was busy.
    Dropped,
    /// There is no room for it.
    Full,
    /// The session is over, or ends now because its client reads too slowly.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
    dialect: Dialect,
    max_len: usize,
}

#[derive(Debug)]
struct Inner {
    packets: VecDeque<Prepared>,
    len: usize,
    /// Whether a packet is among them that lets an answer to a GET be compressed.
    compress: bool,
    commands: Vec<Command>,
    /// Emitters that wait for room.
    room: Vec<Waker>,
    /// Set while the task sleeps: who changes something takes it and wakes.
    waker: Option<Waker>,
    transport: Transport,
    /// Whether a packet would leave at once: nothing waits, and on polling a GET does.
    writable: bool,
    /// Whether a GET waits: a second one breaks the protocol.
    polling: bool,
    /// While a POST is read; a second one breaks the protocol. Dropped with the session, which tells the first.
    posting: Option<oneshot::Sender<()>>,
    closed: bool,
}

impl Inner {
    /// One packet is always taken, however long, or it could never be sent.
    fn has_room(&self, len: usize, max_len: usize) -> bool {
        self.packets.is_empty() || self.len + len <= max_len
    }

    fn add(&mut self, packet: Outgoing) {
        self.len += packet.len();
        self.compress |= packet.compress;
        self.packets.push_back(packet.head);
        if !packet.attachments.is_empty() {
            self.packets.extend(packet.attachments);
        }
    }
}

impl Mailbox {
    pub(crate) fn new(transport: Transport, dialect: Dialect, max_len: usize) -> Self {
        let inner = Inner {
            packets: VecDeque::new(),
            len: 0,
            compress: false,
            commands: Vec::new(),
            room: Vec::new(),
            waker: None,
            transport,
            writable: false,
            polling: false,
            posting: None,
            closed: false,
        };
        Self { inner: Mutex::new(inner), dialect, max_len }
    }

    /// How the client speaks.
    pub(crate) const fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    pub(crate) const fn max_len(&self) -> usize {
        self.max_len
    }

    /// Queues a packet for the client, which is disconnected where there is no room for it.
    pub(crate) fn push(&self, packet: Outgoing, volatile: bool) -> Pushed {
        self.push_or(packet, volatile, SlowConsumer::Disconnect)
    }

    /// Queues a packet for the client: text and attachments together, so that no other packet comes between.
    pub(crate) fn push_or(&self, packet: Outgoing, volatile: bool, when_full: SlowConsumer) -> Pushed {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Pushed::Closed;
        }
        if volatile && !(inner.writable && inner.packets.is_empty()) {
            return Pushed::Dropped;
        }
        if inner.has_room(packet.len(), self.max_len) {
            inner.add(packet);
            Self::wake(inner);
            return Pushed::Queued;
        }
        match when_full {
            SlowConsumer::Disconnect => {
                Self::fail(inner);
                Pushed::Closed
            }
            SlowConsumer::Drop => Pushed::Full,
        }
    }

    /// Queues a packet when there is room for it.
    pub(crate) fn poll_push(&self, packet: &Outgoing, cx: &mut Context<'_>) -> Poll<Pushed> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Poll::Ready(Pushed::Closed);
        }
        if inner.has_room(packet.len(), self.max_len) {
            inner.add(packet.clone());
            Self::wake(inner);
            return Poll::Ready(Pushed::Queued);
        }
        if !inner.room.iter().any(|waker| waker.will_wake(cx.waker())) {
            inner.room.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The client reads too slowly for what it is sent: it is disconnected.
    pub(crate) fn overflow(&self) {
        let inner = self.inner.lock();
        if !inner.closed {
            Self::fail(inner);
        }
    }

    fn fail(mut inner: MutexGuard<'_, Inner>) {
        inner.commands.push(Command::Fail(CloseReason::TransportError));
        inner.len = 0;
        inner.closed = true;
        let packets = std::mem::take(&mut inner.packets);
        let room = std::mem::take(&mut inner.room);
        Self::wake(inner);
        drop(packets);
        room.into_iter().for_each(Waker::wake);
    }

    /// Queues an Engine.IO packet, whatever waits already.
    pub(crate) fn push_control(&self, packet: Prepared) {
        let mut inner = self.inner.lock();
        if !inner.closed {
            inner.len += packet.frame().len();
            inner.packets.push_back(packet);
        }
    }

    pub(crate) fn command(&self, command: Command) {
        let mut inner = self.inner.lock();
        if inner.closed {
            // Dropping it tells whoever waits for its answer.
            return;
        }
        inner.commands.push(command);
        Self::wake(inner);
    }

    fn wake(mut inner: MutexGuard<'_, Inner>) {
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// A GET arrives: it waits if none does yet.
    pub(crate) fn begin_poll(&self, answer: oneshot::Sender<Payload>) -> bool {
        let mut inner = self.inner.lock();
        if inner.closed {
            return true;
        }
        if inner.polling {
            inner.commands.push(Command::Fail(CloseReason::TransportError));
        } else {
            inner.polling = true;
            inner.commands.push(Command::Poll(answer));
            Self::wake(inner);
            return true;
        }
        Self::wake(inner);
        false
    }

    /// The GET was answered or is gone.
    pub(crate) fn end_poll(&self) {
        let mut inner = self.inner.lock();
        inner.polling = false;
        inner.writable = false;
    }

    /// A POST arrives: it is read if none is yet, until the session ends, which fails the receiver.
    pub(crate) fn begin_post(&self) -> Option<oneshot::Receiver<()>> {
        let mut inner = self.inner.lock();
        if inner.posting.is_none() {
            let (sender, receiver) = oneshot::channel();
            // Without a sender the receiver fails at once.
            inner.posting = Some(sender).filter(|_| !inner.closed);
            return Some(receiver);
        }
        inner.commands.push(Command::Fail(CloseReason::TransportError));
        Self::wake(inner);
        None
    }

    /// The POST was answered or is gone.
    pub(crate) fn end_post(&self) {
        self.inner.lock().posting = None;
    }

    pub(crate) fn transport(&self) -> Transport {
        self.inner.lock().transport
    }

    pub(crate) fn set_transport(&self, transport: Transport) {
        self.inner.lock().transport = transport;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }

    /// For the task: takes the commands.
    pub(crate) fn take_commands(&self) -> Vec<Command> {
        std::mem::take(&mut self.inner.lock().commands)
    }

    /// For the task: takes queued packets, in order, as long as `take` wants more.
    pub(crate) fn take_packets(&self, mut take: impl FnMut(&Prepared) -> bool) -> usize {
        let mut inner = self.inner.lock();
        let mut count = 0;
        while let Some(front) = inner.packets.front() {
            let len = front.frame().len();
            if !take(front) {
                break;
            }
            inner.packets.pop_front();
            inner.len -= len;
            count += 1;
        }
        if inner.packets.is_empty() {
            inner.compress = false;
            if inner.packets.capacity() > 64 {
                inner.packets = VecDeque::new();
            }
        }
        // Not for every byte: who waits is to find room for more than one packet.
        if !inner.room.is_empty() && inner.len <= self.max_len / 2 {
            let room = std::mem::take(&mut inner.room);
            drop(inner);
            room.into_iter().for_each(Waker::wake);
        }
        count
    }

    /// For the task: whether an answer to a GET with what is queued may be compressed.
    pub(crate) fn may_compress(&self) -> bool {
        self.inner.lock().compress
    }

    pub(crate) fn has_packets(&self) -> bool {
        !self.inner.lock().packets.is_empty()
    }

    /// For the task: whether it may sleep. `busy` says that its transport cannot take more now, so that packets alone
    /// are no reason to go on; `writable` what volatile packets are told meanwhile.
    pub(crate) fn park(&self, waker: &Waker, busy: bool, writable: bool) -> bool {
        let mut inner = self.inner.lock();
        inner.writable = writable;
        if !inner.commands.is_empty() || (!busy && !inner.packets.is_empty()) {
            return false;
        }
        // A busy transport wakes the task by itself; packets need not.
        inner.waker = Some(waker.clone());
        true
    }

    /// The session is over: nothing more is taken, and requests that wait learn it.
    pub(crate) fn close(&self) {
        let (packets, commands, room) = {
            let mut inner = self.inner.lock();
            inner.closed = true;
            inner.len = 0;
            inner.waker = None;
            inner.posting = None;
            (
                std::mem::take(&mut inner.packets),
                std::mem::take(&mut inner.commands),
                std::mem::take(&mut inner.room),
            )
        };
        drop((packets, commands));
        room.into_iter().for_each(Waker::wake);
    }
}
