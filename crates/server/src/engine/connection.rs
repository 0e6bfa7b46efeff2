//! Sessions of an application that speaks Engine.IO alone: its handle, and the other end in the session's task.
//!
//! ```text
//! client ─► SessionTask ─► SessionApp ─► inbox ─► Session::receive   (bounded: then the client is not read)
//! client ◄─ SessionTask ◄──────────── mailbox ◄─ Session::send      (bounded: then the session ends)
//! ```

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::{FutureExt, Stream};
use parking_lot::Mutex;
use sockeye_engineio::{CloseReason, Revision, Sid, Transport};
use std::{
    collections::VecDeque,
    convert::Infallible,
    error::Error,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::sync::oneshot;

use super::{Application, Command, Mailbox, Message, Pushed};
use crate::{
    Config, DisconnectReason, Handshake, SlowConsumer,
    outgoing::{Outgoing, Wire},
    trace::warn,
};

/// A session with a client. It closes when this is dropped; a [`SessionSender`] does not keep it.
///
/// As a [`Stream`] it gives what [`receive`](Self::receive) does.
pub struct Session {
    sender: SessionSender,
    inbox: Arc<Inbox>,
    sid: Sid,
    handshake: Arc<Handshake>,
}

impl Session {
    /// The next message of the client, in order; `None` once the session is over and all that came before was received.
    ///
    /// The client is not read while [`Config::max_inbox_len`](crate::Config::max_inbox_len) bytes wait to be received. Then
    /// its answers to pings are not read either: who does not receive for as long as a ping may take loses the session.
    ///
    /// Cancel safe: a message that was not returned is returned next time.
    pub async fn receive(&mut self) -> Option<Message> {
        poll_fn(|cx| self.inbox.poll_receive(cx)).await
    }

    /// Why the session is over; `None` while it is not.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.inbox.inner.lock().reason
    }

    /// Sends a message; see [`SessionSender::send`].
    ///
    /// # Errors
    /// The session is over.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SessionClosed> {
        self.sender.send(message)
    }

    /// Something to send with from elsewhere.
    pub fn sender(&self) -> SessionSender {
        self.sender.clone()
    }

    /// Closes the session. What was sent before goes out first.
    pub fn close(self) {}

    /// The id of the session. It is a secret between server and client: who knows it can speak for the client.
    pub fn id(&self) -> &str {
        self.sid.as_str()
    }

    /// The request that opened the session.
    pub fn handshake(&self) -> &Handshake {
        &self.handshake
    }

    /// What carries the session now; it may be upgraded.
    pub fn transport(&self) -> Transport {
        self.sender.mailbox.transport()
    }

    /// Which revision of the protocol the client speaks.
    pub fn revision(&self) -> Revision {
        self.sender.mailbox.dialect().revision()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.inbox.abandon();
        self.sender.mailbox.command(Command::Close);
    }
}

impl Stream for Session {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.inbox.poll_receive(cx)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.sid)
            .field("transport", &self.transport())
            .finish_non_exhaustive()
    }
}

/// Sends messages to the client of a session. Cloning it is cheap.
#[derive(Clone)]
pub struct SessionSender {
    mailbox: Arc<Mailbox>,
    wire: Wire,
    slow_consumer: SlowConsumer,
}

impl SessionSender {
    /// Sends a message. It never waits: messages are queued in order and leave together. What becomes of a client that reads
    /// too slowly for what it is sent, when [`Config::max_queue_len`](crate::Config::max_queue_len) is reached, is
    /// [`Config::slow_consumer`](crate::Config::slow_consumer); see [`feed`](Self::feed) for another way.
    ///
    /// # Errors
    /// The session is over.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SessionClosed> {
        self.push(&PreparedMessage::encode(&message.into(), self.wire, true).0)
    }

    /// Sends a message that many clients get.
    ///
    /// # Errors
    /// The session is over.
    pub fn send_prepared(&self, message: &PreparedMessage) -> Result<(), SessionClosed> {
        self.push(&message.0)
    }

    /// Sends a message as soon as there is room for it, and waits until then: for a client that is not to miss anything nor
    /// to be disconnected for reading slowly.
    ///
    /// Cancel safe: the message is queued whole or not at all.
    ///
    /// # Errors
    /// The session is over.
    pub async fn feed(&self, message: impl Into<Message>) -> Result<(), SessionClosed> {
        let packet = PreparedMessage::encode(&message.into(), self.wire, true).0;
        match poll_fn(|cx| self.mailbox.poll_push(&packet, cx)).await {
            Pushed::Closed => Err(SessionClosed),
            Pushed::Queued | Pushed::Dropped | Pushed::Full => Ok(()),
        }
    }

    fn push(&self, packet: &Outgoing) -> Result<(), SessionClosed> {
        match self.mailbox.push_or(packet.clone(), false, self.slow_consumer) {
            Pushed::Queued | Pushed::Dropped | Pushed::Full => Ok(()),
            Pushed::Closed => Err(SessionClosed),
        }
    }
}

impl fmt::Debug for SessionSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSender")
    }
}

/// A message that is encoded once, and compressed at most once, for many clients; made by
/// [`Engine::prepare`](super::Engine::prepare). Cloning it is cheap.
#[derive(Clone)]
pub struct PreparedMessage(Outgoing);

impl PreparedMessage {
    pub(super) fn encode(message: &Message, wire: Wire, compress: bool) -> Self {
        let packet = Outgoing { head: message.to_packet(), attachments: Vec::new(), compress };
        Self(packet.compression(wire, compress))
    }
}

impl fmt::Debug for PreparedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedMessage").field("len", &self.0.len()).finish()
    }
}

/// The session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionClosed;

impl fmt::Display for SessionClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the session is over")
    }
}

impl Error for SessionClosed {}

/// What waits to be received.
#[derive(Default)]
struct Inbox {
    inner: Mutex<InboxInner>,
    max_len: usize,
}

#[derive(Default)]
struct InboxInner {
    messages: VecDeque<Message>,
    len: usize,
    reason: Option<CloseReason>,
    /// Whoever receives, while there is nothing.
    receiver: Option<Waker>,
    /// The session's task, while there is too much.
    task: Option<Waker>,
    /// Nobody receives any more.
    abandoned: bool,
}

impl Inbox {
    fn push(&self, message: Message) {
        let mut inner = self.inner.lock();
        if inner.abandoned {
            return;
        }
        inner.len += message.as_bytes().len();
        inner.messages.push_back(message);
        let receiver = inner.receiver.take();
        drop(inner);
        receiver.into_iter().for_each(Waker::wake);
    }

    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut inner = self.inner.lock();
        let Some(message) = inner.messages.pop_front() else {
            if inner.reason.is_some() {
                return Poll::Ready(None);
            }
            inner.receiver = Some(cx.waker().clone());
            return Poll::Pending;
        };
        inner.len -= message.as_bytes().len();
        if inner.messages.is_empty() && inner.messages.capacity() > 64 {
            inner.messages = VecDeque::new();
        }
        let task = if inner.len < self.max_len { inner.task.take() } else { None };
        drop(inner);
        task.into_iter().for_each(Waker::wake);
        Poll::Ready(Some(message))
    }

    /// Whether there is room; if not, the task is woken when there is.
    fn has_room(&self, cx: &Context<'_>) -> bool {
        let mut inner = self.inner.lock();
        let has_room = inner.len < self.max_len;
        if !has_room {
            inner.task = Some(cx.waker().clone());
        }
        has_room
    }

    fn close(&self, reason: CloseReason) {
        let mut inner = self.inner.lock();
        inner.reason.get_or_insert(reason);
        let receiver = inner.receiver.take();
        drop(inner);
        receiver.into_iter().for_each(Waker::wake);
    }

    /// Nobody receives any more.
    fn abandon(&self) {
        let mut inner = self.inner.lock();
        inner.abandoned = true;
        inner.len = 0;
        let (messages, task) = (std::mem::take(&mut inner.messages), inner.task.take());
        drop(inner);
        drop(messages);
        task.into_iter().for_each(Waker::wake);
    }
}

/// The other end of a [`Session`], in the session's task, and the future that serves it.
pub(crate) struct SessionApp {
    inbox: Arc<Inbox>,
    serving: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// A POST that is answered when there is room again, so that its client does not send the next one.
    held: Option<oneshot::Sender<()>>,
}

impl SessionApp {
    pub(super) fn new<F>(
        serve: impl FnOnce(Session) -> F,
        sid: Sid,
        mailbox: Arc<Mailbox>,
        handshake: Arc<Handshake>,
        wire: Wire,
        config: &Config,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let inbox = Arc::new(Inbox { max_len: config.max_inbox_len, ..Inbox::default() });
        let sender = SessionSender { mailbox, wire, slow_consumer: config.slow_consumer };
        let session = Session { sender, inbox: inbox.clone(), sid, handshake };
        Self { inbox, serving: Some(Box::pin(serve(session))), held: None }
    }
}

impl Application for SessionApp {
    type Violation = Infallible;

    fn text(&mut self, text: &str, _now: Duration) -> Result<(), Infallible> {
        self.inbox.push(Message::Text(ByteString::from(text)));
        Ok(())
    }

    fn binary(&mut self, bytes: Bytes) -> Result<(), Infallible> {
        self.inbox.push(Message::Binary(bytes));
        Ok(())
    }

    fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        let has_room = self.inbox.has_room(cx);
        if has_room && let Some(held) = self.held.take() {
            let _ = held.send(());
        }
        has_room
    }

    fn finish_post(&mut self, done: oneshot::Sender<()>, cx: &mut Context<'_>) {
        self.held = Some(done);
        self.is_ready(cx);
    }

    fn run(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(serving) = &mut self.serving else { return false };
        let outcome = catch_unwind(AssertUnwindSafe(|| serving.poll_unpin(cx)));
        if outcome.is_err() {
            warn!(target: "sockeye::engine", "what serves a session panicked");
        }
        let over = !matches!(outcome, Ok(Poll::Pending));
        if over {
            self.serving = None;
        }
        self.is_ready(cx);
        over
    }

    fn reason(violation: &Infallible) -> DisconnectReason {
        match *violation {}
    }

    fn close(&mut self, reason: DisconnectReason) {
        self.inbox.close(match reason {
            DisconnectReason::Transport(reason) => reason,
            _ => CloseReason::ForcedClose,
        });
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        self.inbox.close(CloseReason::ForcedClose);
        self.run(cx);
        if let Some(serving) = self.serving.take() {
            tokio::spawn(serving);
        }
    }

    fn abandon(&mut self) {
        self.inbox.close(CloseReason::TransportError);
    }
}
