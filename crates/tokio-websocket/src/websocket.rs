//! An open connection: the codec's halves, a transport, and the bytes between them.
//!
//! ```text
//!            ┌── pooled read buffer ──┐  input   ┌─────────────┐ events
//! transport ─┤  taken when readable,  ├────────► │ ReceiveHalf │ ───────► receive
//!            └─ given back when empty ┘          └──────┬──────┘
//!                                                       ▼ what is owed
//!                                                ┌─────────────┐
//! transport ◄── one (vectored) write ◄─ Output ◄─┤  SendHalf   │ ◄─────── feed, send
//!                                                └─────────────┘
//! ```
//! What was fed leaves when the caller flushes, or when a `receive` is about to wait: a loop of receive and send makes
//! one write per batch of messages that one read brought.

use sockeye_websocket::{
    CloseFrame, CloseState, Connection, Event, Message, MessageKind, Prepared, Role, SendError, StreamEvent,
    deflate,
};
use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use crate::{
    Error, Options, Replies,
    inbound::{Advanced, Inbound, Io, Wanted},
    outbound::Outbound,
    wakers::Half,
};

/// An open WebSocket connection over the transport `S`.
///
/// It is a [`Stream`](futures_core::Stream) and a [`Sink`](futures_sink::Sink) of [`Message`] as well; the inherent
/// methods need no extension traits and say what they do. Pings are answered, the closing handshake is finished and
/// deadlines are kept while the caller receives.
#[derive(Debug)]
pub struct WebSocket<S> {
    pub(crate) stream: S,
    /// Behind pointers, so that the socket is cheap to move and small in the futures that hold it, some of them twice.
    pub(crate) inbound: Box<Inbound>,
    pub(crate) outbound: Box<Outbound>,
}

/// Both directions of one socket.
struct Whole<'a, S> {
    stream: &'a mut S,
    outbound: &'a mut Outbound,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Io for Whole<'_, S> {
    type Read = S;

    fn read(&mut self) -> &mut S {
        self.stream
    }

    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbound.poll_write(self.stream, cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }

    fn answer(&mut self, received: &Result<Event<'_>, sockeye_websocket::ProtocolError>) {
        self.outbound.answer(received);
    }

    fn ping(&mut self, payload: &[u8]) {
        // After a Close there is nothing to keep alive.
        let _ = self.outbound.queue_ping(payload);
    }

    fn start_close(&mut self, frame: &CloseFrame) {
        let _ = self.outbound.queue_close(Some(frame));
    }

    fn close_sent(&self) -> bool {
        self.outbound.close_sent()
    }

    fn take_active(&mut self) -> Option<Instant> {
        self.outbound.take_active()
    }

    fn take_taken(&mut self) -> bool {
        self.outbound.take_taken()
    }

    fn end(&mut self) {
        self.outbound.end();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// A connection on a transport whose opening handshake is done. `received` is what was read beyond it.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time, when [`Options::keepalive`] or [`Options::idle_timeout`] is set.
    pub fn from_handshaken(stream: S, role: Role, received: &[u8], options: &Options) -> Self {
        Self::from_negotiated(stream, role, None, received, options)
    }

    /// The same, with the parameters of permessage-deflate if that was negotiated.
    pub(crate) fn from_negotiated(
        stream: S,
        role: Role,
        deflate: Option<deflate::Params>,
        received: &[u8],
        options: &Options,
    ) -> Self {
        let mut connection = match role {
            Role::Server => Connection::server(options.config),
            Role::Client => Connection::client(options.config),
        };
        if let (Some(params), Some(config)) = (deflate, options.deflate) {
            connection = connection.with_deflate(&params, &config);
        }
        Self::from_connection(stream, connection, received, options)
    }

    /// The same with the state of the codec, for instance one that
    /// [compresses](sockeye_websocket::Connection::with_deflate).
    pub fn from_connection(stream: S, connection: Connection, received: &[u8], options: &Options) -> Self {
        let (receiver, sender) = connection.split();
        Self {
            stream,
            inbound: Box::new(Inbound::new(receiver, received, options)),
            outbound: Box::new(Outbound::new(sender, options)),
        }
    }

    /// The next message, Ping, Pong or Close; `None` once the connection has ended.
    ///
    /// Pings are already being answered when they are returned; after [`Message::Close`] only `None` follows.
    /// Whatever was fed is flushed before this waits. Messages up to 1 KiB are copied out of the read buffer, longer
    /// ones are split off it.
    ///
    /// Cancel safe: when the future is dropped, nothing is lost.
    ///
    /// # Errors
    /// Once, when the connection ends otherwise than by a closing handshake.
    #[inline]
    pub fn receive(&mut self) -> impl Future<Output = Option<Result<Message, Error>>> {
        poll_fn(|cx| self.poll_receive(cx))
    }

    /// [`receive`](Self::receive) for hand-written futures.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    #[inline]
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        if let Some(message) = self.inbound.take_short_message() {
            self.outbound.wakers.polled(Half::Receive, cx.waker(), false);
            return Poll::Ready(Some(Ok(message)));
        }
        let advanced = ready!(self.poll_advance(Half::Receive, cx, Wanted::Messages));
        Poll::Ready(match advanced {
            Some(Ok(())) => self.inbound.take_message().map(Ok),
            Some(Err(error)) => Some(Err(*error)),
            None => None,
        })
    }

    /// [`receive`](Self::receive) without owning: the message is borrowed from the read buffer until the next call,
    /// which costs no allocation and no copy. With it comes a way to reply at once.
    ///
    /// ```no_run
    /// # async fn echo(mut socket: sockeye_tokio_websocket::WebSocket<tokio::net::TcpStream>)
    /// # -> Result<(), sockeye_tokio_websocket::Error> {
    /// use sockeye_tokio_websocket::Event;
    ///
    /// while let Some(received) = socket.receive_borrowed().await {
    ///     match received? {
    ///         (Event::Text(text), mut replies) => replies.text(text)?,
    ///         (Event::Binary(bytes), mut replies) => replies.binary(bytes)?,
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// While more than [`Options::max_output_len`] bytes of replies are queued, this waits until they are written: a
    /// peer that does not read is not listened to either. Deadlines are kept meanwhile.
    ///
    /// Cancel safe: when the future is dropped, nothing is lost.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    #[inline]
    pub async fn receive_borrowed(&mut self) -> Option<Result<(Event<'_>, Replies<'_>), Error>> {
        match poll_fn(|cx| self.poll_drained_advance(cx)).await? {
            Ok(()) => {
                let event = self.inbound.event()?;
                Some(Ok((event, Replies::new(&mut self.outbound))))
            }
            Err(error) => Some(Err(*error)),
        }
    }

    /// The next piece of a message, as much of it as has arrived, or the next control frame; `None` once the
    /// connection has ended. Nothing of the message is held, so it may be of any length:
    /// [`Config::max_message_len`](crate::Config::max_message_len) does not apply, and a receiver that is slow slows
    /// the sender down. Text is checked to be UTF-8 as it flows.
    ///
    /// May be mixed with [`receive`](Self::receive), which passes over the rest of a message that was begun here.
    ///
    /// Cancel safe: when the future is dropped, nothing is lost.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub async fn receive_chunk(&mut self) -> Option<Result<StreamEvent<'_>, Error>> {
        match poll_fn(|cx| self.poll_advance(Half::Receive, cx, Wanted::Chunks)).await? {
            Ok(()) => self.inbound.chunk().map(Ok),
            Err(error) => Some(Err(*error)),
        }
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
        loop {
            match ready!(self.poll_advance(Half::Receive, cx, Wanted::Messages)) {
                Some(Ok(())) => {
                    if let Some(taken) = self.inbound.event().and_then(&mut take) {
                        return Poll::Ready(Some(Ok(taken)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(*error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_drained_advance(&mut self, cx: &mut Context<'_>) -> Poll<Option<Advanced>> {
        // After a Close there are no more replies, and going on is what keeps its deadline.
        if self.outbound.is_full() && !self.outbound.close_sent() {
            // What goes wrong with the transport is told by the next read, after what the peer sent before.
            if self.outbound.poll_write_for(Half::Receive, &mut self.stream, cx).is_pending() {
                let mut io = Whole { stream: &mut self.stream, outbound: &mut self.outbound };
                ready!(self.inbound.poll_stalled(cx, &mut io));
            }
            self.inbound.resume();
        }
        self.poll_advance(Half::Receive, cx, Wanted::Messages)
    }

    #[inline]
    fn poll_advance(&mut self, half: Half, cx: &mut Context<'_>, wanted: Wanted) -> Poll<Option<Advanced>> {
        let both = self.outbound.wakers.both(half, cx.waker());
        let mut own = Context::from_waker(both.as_ref().unwrap_or_else(|| cx.waker()));
        let mut io = Whole { stream: &mut self.stream, outbound: &mut self.outbound };
        let poll = self.inbound.poll_advance(&mut own, &mut io, wanted);
        self.outbound.wakers.polled(half, cx.waker(), poll.is_pending());
        poll
    }

    /// Sends a message. It leaves at once, unless the next message of the peer is here already: then it leaves
    /// together with the replies to the others, when [`receive`](Self::receive) is about to wait. So a loop of
    /// receive and send makes one system call for all that one read brought. [`flush`](Self::flush) before
    /// doing something that takes long.
    ///
    /// Waits while more than [`Options::max_output_len`] bytes are queued.
    ///
    /// Cancel safe: when the future is dropped, the message is either queued whole (it leaves with the next flush
    /// or receive) or not at all.
    ///
    /// # Errors
    /// [`Error::Send`] when it may not be sent, [`Error::Io`] when the transport failed.
    #[inline]
    pub fn send(&mut self, message: impl Into<Message>) -> impl Future<Output = Result<(), Error>> {
        let mut message = Some(message.into());
        poll_fn(move |cx| {
            ready!(self.poll_feed(&mut message, cx))?;
            if self.inbound.has_frame() { Poll::Ready(Ok(())) } else { self.poll_flush_output(cx) }
        })
    }

    /// Queues a message, to leave with the next [`flush`](Self::flush) or when a [`receive`](Self::receive) waits.
    /// Waits itself only while more than [`Options::max_output_len`] bytes are queued.
    ///
    /// Cancel safe like [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[inline]
    pub fn feed(&mut self, message: impl Into<Message>) -> impl Future<Output = Result<(), Error>> {
        let mut message = Some(message.into());
        poll_fn(move |cx| self.poll_feed(&mut message, cx))
    }

    /// Queues `message` as soon as there is room, once.
    #[inline]
    fn poll_feed(&mut self, message: &mut Option<Message>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if message.is_some() && self.outbound.is_full() {
            ready!(self.poll_flush_output(cx))?;
        }
        Poll::Ready(self.outbound.queue_once(message).map_err(Error::Send))
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
        self.outbound.poll_write_for(Half::Send, &mut self.stream, cx).map_err(Error::Io)
    }

    /// Waits until fewer than [`Options::max_output_len`] bytes are queued.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn poll_send_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.outbound.is_full() { self.poll_flush_output(cx) } else { Poll::Ready(Ok(())) }
    }

    /// Starts a message whose length need not be known: each write of the [`MessageWriter`](crate::MessageWriter) is
    /// a fragment of it (§5.4).
    ///
    /// # Errors
    /// [`SendError::Closed`] after a Close, [`SendError::MessageUnfinished`] when a writer was dropped before its
    /// message was finished: the rest of that message can only be sent by
    /// [`continue_message`](Self::continue_message).
    pub fn start_message(&mut self, kind: MessageKind) -> Result<crate::MessageWriter<'_, S>, Error> {
        crate::MessageWriter::start(self, kind)
    }

    /// Goes on with a message whose writer was dropped before it was finished.
    ///
    /// # Errors
    /// [`SendError::NoMessageToContinue`] when there is none.
    pub fn continue_message(&mut self) -> Result<crate::MessageWriter<'_, S>, Error> {
        crate::MessageWriter::resume(self)
    }

    /// Queues a message at once, however much is queued already: [`queued_len`](Self::queued_len) tells.
    ///
    /// # Errors
    /// [`Error::Send`].
    #[inline]
    pub fn queue(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        Ok(self.outbound.queue(message.into())?)
    }

    /// [`queue`](Self::queue) without compression, even where it was negotiated: for what does not shrink, or holds secrets
    /// next to what others may choose.
    ///
    /// # Errors
    /// [`Error::Send`].
    pub fn queue_uncompressed(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        Ok(self.outbound.queue_uncompressed(&message.into())?)
    }

    /// Queues a message that was framed before, as a server may send it to many.
    ///
    /// # Errors
    /// [`SendError::Closed`] after a Close, [`SendError::MessageUnfinished`] within a fragmented message.
    ///
    /// # Panics
    /// On a client's connection.
    pub fn queue_prepared(&mut self, message: &Prepared) -> Result<(), Error> {
        Ok(self.outbound.queue_prepared(message)?)
    }

    /// How many bytes wait to be written.
    pub fn queued_len(&self) -> usize {
        self.outbound.len()
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
        loop {
            // In chunks, so that the length of what is discarded does not matter.
            match ready!(self.poll_advance(Half::Send, cx, Wanted::Chunks)) {
                Some(Ok(())) => {}
                Some(Err(error)) => return Poll::Ready(Err(*error)),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Queues a Close frame; nothing can be sent after it.
    ///
    /// # Errors
    /// [`SendError::Closed`] when there was one already, [`SendError::ControlPayloadTooLong`] for a reason above 123
    /// bytes.
    pub fn start_close(&mut self, frame: Option<CloseFrame>) -> Result<(), Error> {
        Ok(self.outbound.queue_close(frame.as_ref())?)
    }

    /// How far the closing handshake is.
    pub fn close_state(&self) -> CloseState {
        self.inbound.close_state(self.outbound.close_sent())
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
