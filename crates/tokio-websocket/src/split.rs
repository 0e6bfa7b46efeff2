//! The two directions of a connection in different tasks.
//!
//! ```text
//!  task that receives                                     task that sends
//! ┌───────────────────┐    ┌──────────────────────┐    ┌─────────────────┐
//! │ Receiver: input,  │    │ Shared: output,      │    │ Sender          │
//! │ deadlines         ├───►│ writing half         │◄───┤                 │
//! └───────────────────┘    └──────────────────────┘    └─────────────────┘
//!  reading half               held within one poll
//! ```
//! Receiving shares nothing with sending but the output, for Pongs and the closing handshake. Whoever finds it in use
//! by the other, which is within a poll, is polled again; only what ends a half waits that poll out. So a sender that
//! waits for a peer which does not read never keeps the receiver from receiving.

use futures_core::Stream;
use futures_sink::Sink;
use sockeye_websocket::{
    CloseFrame, Event, Message, Prepared, ProtocolError, ReceiveState, SendError, StreamEvent,
};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf},
    time::Instant,
};

use crate::{
    Error, WebSocket,
    inbound::{Advanced, Inbound, Io, Wanted},
    outbound::Outbound,
    wakers::{Half, Wakers},
};

/// The halves of a connection over `S` that was [split](WebSocket::split).
pub type Halves<S> = (Sender<WriteHalf<S>>, Receiver<ReadHalf<S>, WriteHalf<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Takes the connection apart, so that one task can receive while another sends. Pings are answered by the
    /// receiver, whether anyone sends or not. The halves are a [`Sink`](futures_sink::Sink) and a
    /// [`Stream`](futures_core::Stream) as well.
    ///
    /// The transport is split by [`tokio::io::split`]; a TCP stream is better split by its own means, with
    /// [`split_with`](Self::split_with).
    pub fn split(self) -> Halves<S> {
        self.split_with(tokio::io::split)
    }

    /// [`split`](Self::split) with halves of the transport that share no lock:
    ///
    /// ```no_run
    /// # async fn example(socket: sockeye_tokio_websocket::WebSocket<tokio::net::TcpStream>) {
    /// use tokio::net::TcpStream;
    ///
    /// let (sender, mut receiver) = socket.split_with(TcpStream::into_split);
    /// # let _ = (receiver.receive().await, sender);
    /// # }
    /// ```
    pub fn split_with<R, W>(mut self, split: impl FnOnce(S) -> (R, W)) -> (Sender<W>, Receiver<R, W>)
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let (read, write) = split(self.stream);
        // Nobody waits for the halves yet.
        self.outbound.wakers = Wakers::default();
        let close_sent = AtomicBool::new(self.outbound.close_sent());
        let writer = Writer { write, outbound: self.outbound };
        let shared = Arc::new(Shared { writer: Mutex::new(writer), close_sent });
        let receiver = Receiver {
            inbound: self.inbound,
            apart: Apart { read, shared: Arc::clone(&shared), owed: Owed::default() },
        };
        (Sender { shared, unqueued: None }, receiver)
    }
}

#[derive(Debug)]
struct Shared<W> {
    /// Held within a poll only.
    writer: Mutex<Writer<W>>,
    close_sent: AtomicBool,
}

#[derive(Debug)]
struct Writer<W> {
    write: W,
    outbound: Box<Outbound>,
}

impl<W> Shared<W> {
    /// The output, unless the other half uses it just now.
    fn try_lock(&self) -> Option<MutexGuard<'_, Writer<W>>> {
        match self.writer.try_lock() {
            Ok(writer) => Some(writer),
            // A transport that panicked is the application's to handle; the state is as before the call.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The output, as soon as the other half is done with its poll.
    fn lock(&self) -> MutexGuard<'_, Writer<W>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The output; pending, to be polled again at once, while the other half uses it.
    fn poll_lock(&self, cx: &Context<'_>) -> Poll<MutexGuard<'_, Writer<W>>> {
        if let Some(writer) = self.try_lock() {
            return Poll::Ready(writer);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes for one half such that the task of the other is not forgotten.
    fn poll_write(&mut self, half: Half, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.outbound.poll_write_for(half, &mut self.write, cx)
    }
}

/// What the receiver could not queue because the sender used the output.
#[derive(Debug, Default)]
struct Owed {
    /// Only the latest Ping needs a Pong (§5.5.3).
    pong: Option<Box<[u8]>>,
    ping: Option<Box<[u8]>>,
}

impl Owed {
    fn pay(&mut self, outbound: &mut Outbound) {
        if let Some(payload) = self.pong.take() {
            outbound.answer(&Ok(Event::Ping(&payload)));
        }
        if let Some(payload) = self.ping.take() {
            // After a Close nothing is owed any more.
            let _ = outbound.queue_ping(&payload);
        }
    }
}

/// The receiver's view of the transport and the output.
#[derive(Debug)]
struct Apart<R, W> {
    read: R,
    shared: Arc<Shared<W>>,
    owed: Owed,
}

impl<R, W> Apart<R, W> {
    /// Pays if the output is free, else later.
    fn try_pay(&mut self) {
        if let Some(mut writer) = self.shared.try_lock() {
            self.owed.pay(&mut writer.outbound);
        }
    }

    /// Queues a Close. That happens once, and the receiver may be dropped right after it: so this waits for the
    /// output.
    fn close_with(&mut self, queue: impl FnOnce(&mut Outbound)) {
        let mut writer = self.shared.lock();
        self.owed.pay(&mut writer.outbound);
        queue(&mut writer.outbound);
        self.shared.close_sent.store(true, Ordering::Release);
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Io for Apart<R, W> {
    type Read = R;

    fn read(&mut self) -> &mut R {
        &mut self.read
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A receiver may be dropped as soon as it has returned the peer's Close: the answer leaves in this poll.
        let mut writer =
            if self.close_sent() { self.shared.lock() } else { ready!(self.shared.poll_lock(cx)) };
        self.owed.pay(&mut writer.outbound);
        let poll = writer.poll_write(Half::Receive, cx);
        // That the sender starts the closing handshake concerns us, for the deadline.
        writer.outbound.wakers.polled(Half::Receive, cx.waker(), true);
        poll
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut writer = ready!(self.shared.poll_lock(cx));
        Pin::new(&mut writer.write).poll_shutdown(cx)
    }

    fn answer(&mut self, received: &Result<Event<'_>, ProtocolError>) {
        match received {
            Ok(Event::Ping(payload)) => {
                self.owed.pong = Some((*payload).into());
                self.try_pay();
            }
            Ok(Event::Close(_)) | Err(_) => self.close_with(|outbound| outbound.answer(received)),
            Ok(_) => {}
        }
    }

    fn ping(&mut self, payload: &[u8]) {
        self.owed.ping = Some(payload.into());
        self.try_pay();
    }

    fn start_close(&mut self, frame: &CloseFrame) {
        self.close_with(|outbound| _ = outbound.queue_close(Some(frame)));
    }

    fn close_sent(&self) -> bool {
        self.shared.close_sent.load(Ordering::Acquire)
    }

    fn take_active(&mut self) -> Option<Instant> {
        match self.shared.try_lock() {
            Some(mut writer) => writer.outbound.take_active(),
            // What is in use is active.
            None => Some(Instant::now()),
        }
    }

    fn take_taken(&mut self) -> bool {
        self.shared.try_lock().is_some_and(|mut writer| writer.outbound.take_taken())
    }

    fn end(&mut self) {
        let mut writer = self.shared.lock();
        writer.outbound.end();
        self.shared.close_sent.store(true, Ordering::Release);
        // What it waits for will not happen any more.
        writer.outbound.wakers.wake(Half::Send);
    }
}

/// The receiving half of a connection, see [`WebSocket::split`]. It also answers Pings, keeps deadlines and finishes
/// the closing handshake, so it has to be polled while the connection is in use.
///
/// When it is dropped, nothing is read any more: Pings stay unanswered and the closing handshake is not finished. Drop the
/// sender as well.
#[derive(Debug)]
pub struct Receiver<R, W> {
    inbound: Box<Inbound>,
    apart: Apart<R, W>,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Receiver<R, W> {
    /// [`WebSocket::receive`]. Cancel safe.
    ///
    /// # Errors
    /// The same.
    pub fn receive(&mut self) -> impl Future<Output = Option<Result<Message, Error>>> {
        poll_fn(|cx| self.poll_receive(cx))
    }

    /// [`receive`](Self::receive) for hand-written futures.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        if let Some(message) = self.inbound.take_short_message() {
            return Poll::Ready(Some(Ok(message)));
        }
        Poll::Ready(match ready!(self.inbound.poll_advance(cx, &mut self.apart, Wanted::Messages)) {
            Some(Ok(())) => self.inbound.take_message().map(Ok),
            Some(Err(error)) => Some(Err(*error)),
            None => None,
        })
    }

    /// The next message, Ping, Pong or Close, borrowed from the read buffer until the next call. Cancel safe.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub async fn receive_borrowed(&mut self) -> Option<Result<Event<'_>, Error>> {
        match self.advance(Wanted::Messages).await? {
            Ok(()) => self.inbound.event().map(Ok),
            Err(error) => Some(Err(*error)),
        }
    }

    /// [`WebSocket::receive_chunk`]. Cancel safe.
    ///
    /// # Errors
    /// The same.
    pub async fn receive_chunk(&mut self) -> Option<Result<StreamEvent<'_>, Error>> {
        match self.advance(Wanted::Chunks).await? {
            Ok(()) => self.inbound.chunk().map(Ok),
            Err(error) => Some(Err(*error)),
        }
    }

    async fn advance(&mut self, wanted: Wanted) -> Option<Advanced> {
        poll_fn(|cx| self.inbound.poll_advance(cx, &mut self.apart, wanted)).await
    }

    /// How far receiving is.
    pub fn state(&self) -> ReceiveState {
        self.inbound.state()
    }
}

/// The sending half of a connection, see [`WebSocket::split`].
///
/// When it is dropped, what it queued still leaves when the receiver waits, and the connection stays open. When the
/// receiver has ended the connection, what was not written fails with [`Error::Io`]: nobody waits for a dead peer.
#[derive(Debug)]
pub struct Sender<W> {
    shared: Arc<Shared<W>>,
    /// What [`Sink::start_send`](futures_sink::Sink::start_send), which cannot wait, found the output in use for.
    unqueued: Option<Message>,
}

impl<W: AsyncWrite + Unpin> Sender<W> {
    /// Sends a message and waits until it has left for the transport.
    ///
    /// Cancel safe: when the future is dropped, the message is either queued whole (it leaves with the next flush, or
    /// when the receiver waits) or not at all.
    ///
    /// # Errors
    /// [`Error::Send`] when it may not be sent, [`Error::Io`] when the transport failed.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Queues a message, to leave with the next [`flush`](Self::flush), or when the receiver waits. Waits itself only
    /// while more than [`Options::max_output_len`](crate::Options::max_output_len) bytes are queued. Cancel safe like
    /// [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn feed(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        self.queue_with(|outbound| outbound.queue(message)).await
    }

    /// Queues a message that was framed before. Waits and is cancel safe like [`feed`](Self::feed).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Panics
    /// On a client's connection.
    pub async fn feed_prepared(&mut self, message: &Prepared) -> Result<(), Error> {
        self.queue_with(|outbound| outbound.queue_prepared(message)).await
    }

    async fn queue_with(
        &mut self,
        queue: impl FnOnce(&mut Outbound) -> Result<(), SendError>,
    ) -> Result<(), Error> {
        let mut queue = Some(queue);
        poll_fn(|cx| {
            let mut writer = ready!(self.poll_room(cx))?;
            let queued = queue.take().map_or(Ok(()), |queue| queue(&mut writer.outbound));
            Poll::Ready(queued.map_err(Error::from))
        })
        .await
    }

    /// The output, when there is room in it.
    fn poll_room(&mut self, cx: &Context<'_>) -> Poll<Result<MutexGuard<'_, Writer<W>>, Error>> {
        let mut writer = ready!(self.shared.poll_lock(cx));
        if let Some(message) = self.unqueued.take() {
            writer.outbound.queue(message)?;
        }
        if writer.outbound.is_full() {
            ready!(writer.poll_write(Half::Send, cx))?;
        }
        Poll::Ready(Ok(writer))
    }

    /// Waits until what was queued has left for the transport. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Io`] when the transport failed.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_flush_output(cx)).await
    }

    /// [`flush`](Self::flush) for hand-written futures.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn poll_flush_output(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut writer = ready!(self.shared.poll_lock(cx));
        if let Some(message) = self.unqueued.take() {
            writer.outbound.queue(message)?;
        }
        writer.poll_write(Half::Send, cx).map_err(Error::Io)
    }

    /// Starts the closing handshake and waits until the Close frame has left; the receiver finishes it. Nothing can be
    /// sent afterwards. Cancel safe.
    ///
    /// # Errors
    /// [`SendError::Closed`](sockeye_websocket::SendError::Closed) when there was one already,
    /// [`SendError::ControlPayloadTooLong`](sockeye_websocket::SendError::ControlPayloadTooLong) for a reason above
    /// 123 bytes; [`Error::Io`].
    pub async fn close(&mut self, frame: Option<CloseFrame>) -> Result<(), Error> {
        poll_fn(|cx| self.poll_start_close(cx, frame.as_ref())).await?;
        self.flush().await
    }

    fn poll_start_close(&mut self, cx: &Context<'_>, frame: Option<&CloseFrame>) -> Poll<Result<(), Error>> {
        let mut writer = ready!(self.shared.poll_lock(cx));
        if let Some(message) = self.unqueued.take() {
            writer.outbound.queue(message)?;
        }
        writer.outbound.queue_close(frame)?;
        self.shared.close_sent.store(true, Ordering::Release);
        // From now on it keeps a deadline.
        writer.outbound.wakers.wake(Half::Receive);
        Poll::Ready(Ok(()))
    }
}

impl<W> Drop for Sender<W> {
    fn drop(&mut self) {
        let mut writer = self.shared.lock();
        if let Some(message) = self.unqueued.take() {
            let _ = writer.outbound.queue(message);
        }
        if writer.outbound.len() > 0 {
            // From now on only the receiver writes.
            writer.outbound.wakers.wake(Half::Receive);
        }
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Stream for Receiver<R, W> {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_receive(cx)
    }
}

impl<W: AsyncWrite + Unpin> Sink<Message> for Sender<W> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.get_mut().poll_room(cx).map_ok(|_| ())
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        let this = self.get_mut();
        match this.shared.try_lock() {
            Some(mut writer) => writer.outbound.queue(message)?,
            None => this.unqueued = Some(message),
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.get_mut().poll_flush_output(cx)
    }

    /// Sends a Close frame; the receiver finishes the closing handshake.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = self.get_mut();
        if !this.shared.close_sent.load(Ordering::Acquire) {
            match ready!(this.poll_start_close(cx, None)) {
                Ok(()) | Err(Error::Send(SendError::Closed)) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        this.poll_flush_output(cx)
    }
}
