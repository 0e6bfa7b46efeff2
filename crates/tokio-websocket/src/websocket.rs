//! An open connection: the codec's state, a transport, and the bytes between them.
//!
//! ```text
//!            ┌── pooled read buffer ──┐  input   ┌────────────┐ events
//! transport ─┤  taken when readable,  ├────────► │ Connection │ ───────► receive
//!            └─ given back when empty ┘          └─────┬──────┘
//! transport ◄── one (vectored) write ◄─── Output ◄─────┴──────────────── feed, send
//! ```
//! What was fed leaves when the caller flushes, or when a `receive` is about to wait: a loop of receive and feed makes
//! one write per batch of messages that one read brought.

use bytes::{Buf, BytesMut};
use sockeye_websocket::{
    CloseFrame, CloseState, Config, Connection, Event, Message, MessageKind, Prepared, Role, SendError,
};
use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    time::{Sleep, sleep},
};

use crate::{
    Error, buffer,
    output::Output,
    wakers::{Half, Wakers},
};

/// Limits and deadlines of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Limits on what is received.
    pub config: Config,
    /// How long the peer may take to finish a closing handshake, and to close the transport after it. Default 5 s;
    /// then the connection is dropped.
    pub close_timeout: Duration,
    /// How many bytes may wait to be written before [`feed`](WebSocket::feed) and `poll_ready` wait. Default
    /// 64 KiB. One message above it is still accepted whole.
    pub max_output_len: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { config: Config::default(), close_timeout: Duration::from_secs(5), max_output_len: 64 * 1024 }
    }
}

/// An open WebSocket connection over the transport `S`.
///
/// It is a [`Stream`](futures_core::Stream) and a [`Sink`](futures_sink::Sink) of [`Message`] as well; the inherent methods need no extension traits and
/// say what they do. Pings are answered and the closing handshake is finished while the caller receives.
#[derive(Debug)]
pub struct WebSocket<S> {
    stream: S,
    connection: Connection,
    input: BytesMut,
    output: Output,
    /// Whether the transport took bytes that it may still hold.
    unflushed: bool,
    wakers: Wakers,
    max_output_len: usize,
    close_timeout: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    phase: Phase,
    /// What ended the connection, until the caller is told.
    failure: Option<Box<Error>>,
}

/// How far the transport is.
///
/// ```text
/// Open ──► (codec closed or failed) ──► ShuttingDown ──► Lingering ──► Ended
///   └────────────── transport error or its end ──────────────────────────▲
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The last bytes leave, then the sending half ends.
    ShuttingDown,
    /// Reads and discards until the peer ends its half, so that no reset overtakes our Close frame.
    Lingering,
    Ended,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// A connection on a transport whose opening handshake is done. `received` is what was read beyond it.
    pub fn from_handshaken(stream: S, role: Role, received: &[u8], options: &Options) -> Self {
        let connection = match role {
            Role::Server => Connection::server(options.config),
            Role::Client => Connection::client(options.config),
        };
        Self {
            stream,
            connection,
            input: BytesMut::from(received),
            output: Output::default(),
            unflushed: false,
            wakers: Wakers::default(),
            max_output_len: options.max_output_len,
            close_timeout: options.close_timeout,
            deadline: None,
            phase: Phase::Open,
            failure: None,
        }
    }

    /// The next message, Ping, Pong or Close; `None` once the connection has ended.
    ///
    /// Pings are already being answered when they are returned; after [`Message::Close`] only `None` follows.
    /// Whatever was fed is flushed before this waits.
    ///
    /// Cancel safe: when the future is dropped, nothing is lost.
    ///
    /// # Errors
    /// Once, when the connection ends otherwise than by a closing handshake.
    pub async fn receive(&mut self) -> Option<Result<Message, Error>> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// [`receive`](Self::receive) for hand-written futures.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        self.poll_half(Half::Receive, cx, |this, cx| {
            this.poll_input(cx, |this| {
                let message = this.connection.receive_message(&mut this.input, this.output.tail());
                message.unwrap_or_else(|error| this.fail(error.into()))
            })
        })
    }

    /// Receives without owning: `take` sees every event as it lies in the read buffer, and what it returns as
    /// `Some` is returned. With `None` the next event follows.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn poll_receive_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(Event<'_>) -> Option<T>,
    ) -> Poll<Option<Result<T, Error>>> {
        self.poll_half(Half::Receive, cx, |this, cx| {
            this.poll_input(cx, |this| {
                let mut events = this.connection.receive(&mut this.input, this.output.tail());
                let (mut taken, mut failure) = (None, None);
                while taken.is_none()
                    && let Some(event) = events.next()
                {
                    match event {
                        Ok(event) => taken = take(event),
                        Err(error) => failure = Some(error),
                    }
                }
                let consumed_len = events.consumed_len();
                this.input.advance(consumed_len);
                failure.map_or(taken, |error| this.fail(error.into()))
            })
        })
    }

    /// Polls for one half of the socket such that a task which waits for the other half is not forgotten.
    fn poll_half<T>(
        &mut self,
        half: Half,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Self, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let both = self.wakers.both(half, cx.waker());
        let poll = poll(self, &mut Context::from_waker(both.as_ref().unwrap_or_else(|| cx.waker())));
        if poll.is_pending() {
            self.wakers.wait(half, cx.waker());
        } else {
            self.wakers.done(half);
        }
        poll
    }

    /// Hands the input to `take`, with more and more of it, until it takes something out of it.
    fn poll_input<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(&mut Self) -> Option<T>,
    ) -> Poll<Option<Result<T, Error>>> {
        loop {
            if !self.input.is_empty()
                && let Some(taken) = take(self)
            {
                if self.connection.is_closed() {
                    // The peer's Close is answered even if the caller stops here. Failing is told by the next call.
                    let _ = self.poll_write(cx);
                }
                return Poll::Ready(Some(Ok(taken)));
            }
            match ready!(self.poll_more(cx)) {
                Some(Ok(())) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// Keeps `error` until the transport is ended.
    fn fail<T>(&mut self, error: Error) -> Option<T> {
        self.failure = Some(Box::new(error));
        None
    }

    /// Waits for more input, having flushed what waits; `None` when there will be none.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), Error>>> {
        if self.phase == Phase::Open && self.connection.is_closed() {
            self.phase = Phase::ShuttingDown;
        }
        if self.phase != Phase::Open {
            ready!(self.poll_end(cx));
            return Poll::Ready(self.failure.take().map(|error| Err(*error)));
        }
        // A peer that does not read may still send: a pending write does not keep us from reading.
        let written = self.poll_write(cx);
        if self.connection.close_expected() && self.poll_deadline(cx).is_ready() {
            return self.end_with(Error::CloseTimeout);
        }
        let read = self.poll_read(cx);
        if let Poll::Ready(Err(error)) = written
            && !matches!(read, Poll::Ready(Ok(1..)))
        {
            // Not before all that the peer sent is received: it may say why the peer went.
            return self.end_with(error.into());
        }
        match ready!(read) {
            Ok(0) => {
                buffer::give({
                    self.input.clear();
                    std::mem::take(&mut self.input)
                });
                match self.connection.receive_eof() {
                    Ok(()) => Poll::Ready(None),
                    Err(error) => self.end_with(error.into()),
                }
            }
            Ok(_) => Poll::Ready(Some(Ok(()))),
            Err(error) => self.end_with(error.into()),
        }
    }

    fn end_with(&mut self, error: Error) -> Poll<Option<Result<(), Error>>> {
        self.phase = Phase::Ended;
        Poll::Ready(Some(Err(error)))
    }

    /// Reads into the input, which has a buffer only while there is something in it or a read may bring it.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.is_empty() {
            if !self.input.try_reclaim(buffer::READ_LEN) {
                self.input = buffer::take();
            }
        } else if self.input.capacity() - self.input.len() < buffer::MIN_READ_LEN {
            // Not before the room that there is has been filled: the frame's length is only a claim.
            let missing_len = self.connection.missing_len(self.input.len());
            self.input.reserve(missing_len.clamp(buffer::MIN_READ_LEN, buffer::MAX_RESERVE_LEN));
        }
        let poll = pin!(self.stream.read_buf(&mut self.input)).poll(cx);
        if self.input.is_empty() {
            buffer::give(std::mem::take(&mut self.input));
        }
        poll
    }

    /// Writes and flushes what waits.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.unflushed |= !self.output.is_empty();
            ready!(self.output.poll_write(&mut self.stream, cx))?;
            self.connection.resume(self.output.tail());
            if self.output.is_empty() {
                break;
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the transport after the codec is done with it: flush, end the sending half, and see the peer off.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.phase != Phase::Ended && self.poll_deadline(cx).is_ready() {
            self.phase = Phase::Ended;
        }
        if self.phase == Phase::ShuttingDown {
            let done = match self.poll_write(cx) {
                Poll::Ready(Ok(())) => Pin::new(&mut self.stream).poll_shutdown(cx),
                other => other,
            };
            self.phase = match done {
                Poll::Ready(Ok(())) if self.lingers() => Phase::Lingering,
                // The messages are over: that the peer is gone already is no error any more.
                Poll::Ready(_) => Phase::Ended,
                Poll::Pending => {
                    if self.lingers() {
                        // A peer that writes all it has before it reads would never take our Close otherwise.
                        let _ = self.poll_discard(cx);
                    }
                    return Poll::Pending;
                }
            };
        }
        if self.phase == Phase::Lingering {
            ready!(self.poll_discard(cx));
            self.phase = Phase::Ended;
        }
        self.input = BytesMut::new();
        self.deadline = None;
        Poll::Ready(())
    }

    /// Reads and discards until the peer ends its half.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.input.clear();
            if !matches!(ready!(self.poll_read(cx)), Ok(1..)) {
                return Poll::Ready(());
            }
        }
    }

    /// §7.1.1: the server closes the transport first, so a client waits for it. Whoever failed the connection waits
    /// as well: the peer may still be sending, and a reset would destroy the Close frame that tells it why.
    fn lingers(&self) -> bool {
        self.connection.role() == Role::Client || self.connection.close_state() == CloseState::Failed
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timeout = self.close_timeout;
        self.deadline.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx)
    }

    /// Sends a message and waits until it has left for the transport.
    ///
    /// Cancel safe: when the future is dropped, the message is either queued whole (it leaves with the next flush
    /// or receive) or not at all.
    ///
    /// # Errors
    /// [`Error::Send`] when it may not be sent, [`Error::Io`] when the transport failed.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Queues a message, to leave with the next [`flush`](Self::flush) or when a [`receive`](Self::receive) waits.
    /// Waits itself only while more than [`Options::max_output_len`] bytes are queued.
    ///
    /// Cancel safe like [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn feed(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        poll_fn(|cx| self.poll_send_ready(cx)).await?;
        self.queue(&message)
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
        self.poll_half(Half::Send, cx, |this, cx| this.poll_write(cx).map_err(Error::Io))
    }

    /// Waits until fewer than [`Options::max_output_len`] bytes are queued.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn poll_send_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.output.len() < self.max_output_len {
            return Poll::Ready(Ok(()));
        }
        self.poll_flush_output(cx)
    }

    /// Queues a message at once, however much is queued already: [`queued_len`](Self::queued_len) tells.
    ///
    /// # Errors
    /// [`Error::Send`].
    pub fn queue(&mut self, message: &Message) -> Result<(), Error> {
        let (kind, payload) = match message {
            Message::Binary(payload) => (MessageKind::Binary, payload),
            Message::Text(text) => (MessageKind::Text, text.as_bytes()),
            _ => return Ok(self.connection.send(message, self.output.tail())?),
        };
        if self.connection.role() == Role::Client {
            self.connection.send(message, self.output.tail())?;
        } else {
            self.connection.send_header(kind, payload.len(), self.output.tail())?;
            self.output.push(payload);
        }
        Ok(())
    }

    /// Queues a message that was framed before, as a server may send it to many.
    ///
    /// # Errors
    /// [`SendError::Closed`] after a Close.
    ///
    /// # Panics
    /// On a client's connection.
    pub fn queue_prepared(&mut self, message: &Prepared) -> Result<(), Error> {
        assert_eq!(self.connection.role(), Role::Server, "a client's frames need masks of their own");
        if self.connection.close_state() != CloseState::Open {
            return Err(SendError::Closed.into());
        }
        self.output.push(message.frame());
        Ok(())
    }

    /// How many bytes wait to be written.
    pub fn queued_len(&self) -> usize {
        self.output.len()
    }

    /// Closes the connection: starts the closing handshake unless the peer did, and waits until it is finished.
    /// Messages that arrive meanwhile are discarded; to see them, use [`start_close`](Self::start_close) and receive
    /// until `None`.
    ///
    /// Cancel safe: the handshake goes on with the next call or receive.
    ///
    /// # Errors
    /// What ended the connection instead.
    pub async fn close(&mut self, frame: Option<CloseFrame>) -> Result<(), Error> {
        match self.start_close(frame) {
            Ok(()) | Err(Error::Send(SendError::Closed)) => {}
            Err(error) => return Err(error),
        }
        poll_fn(|cx| self.poll_close_handshake(cx)).await
    }

    pub(crate) fn poll_close_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_half(Half::Send, cx, |this, cx| {
            let end = ready!(this.poll_input(cx, |this| {
                loop {
                    match this.connection.receive_message(&mut this.input, this.output.tail()) {
                        Ok(Some(_)) => {}
                        Ok(None) => return None,
                        Err(error) => return this.fail(error.into()),
                    }
                }
            }));
            Poll::Ready(end.unwrap_or(Ok(())))
        })
    }

    /// Queues a Close frame; nothing can be sent after it.
    ///
    /// # Errors
    /// [`SendError::Closed`] when there was one already, [`SendError::ControlPayloadTooLong`] for a reason above 123
    /// bytes.
    pub fn start_close(&mut self, frame: Option<CloseFrame>) -> Result<(), Error> {
        Ok(self.connection.send_close(frame.as_ref(), self.output.tail())?)
    }

    /// How far the closing handshake is.
    pub fn close_state(&self) -> CloseState {
        self.connection.close_state()
    }

    /// The transport.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The transport. What is read from or written to it directly is missing in the protocol.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }
}
