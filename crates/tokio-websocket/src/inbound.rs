//! The receiving side of a connection: input, deadlines, and how it ends.
//!
//! It drives the whole connection, for whoever receives also answers Pings, keeps deadlines and finishes the closing
//! handshake. What it needs of the transport and of the sending side is an [`Io`]: the two may belong to one socket,
//! or to halves in different tasks.

use bytes::BytesMut;
use sockeye_websocket::{
    CloseCode, CloseFrame, CloseState, Event, Message, Parked, ProtocolError, ReceiveBuffer, ReceiveHalf,
    ReceiveState, Role, StreamEvent,
};
use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, Sleep, sleep},
};

use crate::{
    Error, Options, buffer,
    keepalive::{Due, Timers},
};

/// The transport and the sending side, as the receiving side sees them.
pub(crate) trait Io {
    type Read: AsyncRead + Unpin;

    /// What is read from.
    fn read(&mut self) -> &mut Self::Read;

    /// Writes and flushes what is queued.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the sending half of the transport.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Queues the answer to what was received.
    fn answer(&mut self, received: &Result<Event<'_>, ProtocolError>);

    /// Queues a Ping, unless Close was sent.
    fn ping(&mut self, payload: &[u8]);

    /// Starts the closing handshake, unless it was.
    fn start_close(&mut self, frame: &CloseFrame);

    /// Whether Close was sent.
    fn close_sent(&self) -> bool;

    /// When the last message was queued since the last call.
    fn take_active(&mut self) -> Option<Instant>;

    /// Whether the peer took a part of what waits since the last call.
    fn take_taken(&mut self) -> bool;

    /// Nothing can be sent any more, and what waits is given up.
    fn end(&mut self);
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

/// Of a frame that misses more than this, the payload is data (§5.5).
const MAX_CONTROL_LEN: usize = 125;

/// What came of looking: something was found, or why nothing more will be. The error is boxed, so that this is returned in
/// registers: it is once per message.
pub(crate) type Advanced = Result<(), Box<Error>>;

/// What is looked for in the input.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// Whole messages.
    Messages,
    /// Pieces of messages.
    Chunks,
}

#[derive(Debug)]
pub(crate) struct Inbound {
    /// The codec's half and its input, except between two messages: an idle connection needs neither.
    live: Option<Box<ReceiveBuffer>>,
    /// What is kept of it then.
    parked: Parked,
    phase: Phase,
    close_timeout: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    timers: Option<Box<Timers>>,
    /// What ended the connection, until the caller is told.
    failure: Option<Box<Error>>,
}

impl Inbound {
    /// `received` is what was read behind the opening handshake.
    pub(crate) fn new(mut codec: ReceiveHalf, received: &[u8], options: &Options) -> Self {
        let (live, parked) = match codec.park() {
            Some(parked) => (None, parked),
            None => {
                let parked = Parked::new(codec.role(), options.config);
                (Some(Box::new(ReceiveBuffer::new(codec))), parked)
            }
        };
        let mut this = Self {
            live,
            parked,
            phase: Phase::Open,
            close_timeout: options.close_timeout,
            deadline: None,
            timers: Timers::new(options.keepalive, options.idle_timeout),
            failure: None,
        };
        if !received.is_empty() {
            this.live().buffer().extend_from_slice(received);
        }
        this
    }

    /// Where bytes are received.
    fn live(&mut self) -> &mut ReceiveBuffer {
        self.live.get_or_insert_with(|| Box::new(ReceiveBuffer::new(self.parked.resume())))
    }

    /// The event that was found.
    #[inline]
    pub(crate) fn event(&self) -> Option<Event<'_>> {
        self.live.as_ref()?.event()
    }

    /// The piece of a message, or control frame, that was found.
    pub(crate) fn chunk(&self) -> Option<StreamEvent<'_>> {
        self.live.as_ref()?.chunk()
    }

    /// The event that was found, as a message that owns its payload.
    #[inline]
    pub(crate) fn take_message(&mut self) -> Option<Message> {
        self.live.as_mut()?.take_message()
    }

    /// The next message that owns its payload, if it is short and here already.
    #[inline]
    pub(crate) fn take_short_message(&mut self) -> Option<Message> {
        let message = self.live.as_mut()?.take_short_message()?;
        if let Some(timers) = &mut self.timers {
            timers.message();
        }
        Some(message)
    }

    /// Whether the next message is here already.
    #[inline]
    pub(crate) fn has_frame(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.has_frame())
    }

    pub(crate) fn state(&self) -> ReceiveState {
        self.live.as_ref().map_or(ReceiveState::Open, |live| live.half().state())
    }

    /// Waits until the buffer has found something; `None` once the connection has ended.
    #[inline]
    pub(crate) fn poll_advance(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut impl Io,
        wanted: Wanted,
    ) -> Poll<Option<Advanced>> {
        loop {
            let found = match (&mut self.live, wanted) {
                (None, _) => Ok(false),
                (Some(live), Wanted::Messages) => live.advance(),
                (Some(live), Wanted::Chunks) => live.advance_chunk(),
            };
            match found {
                Ok(true) => {
                    if !self.live.as_ref().is_some_and(|live| live.found_data()) {
                        self.control_frame(cx, io);
                    } else if let Some(timers) = &mut self.timers {
                        timers.message();
                    }
                    return Poll::Ready(Some(Ok(())));
                }
                Ok(false) => {}
                Err(error) => {
                    io.answer(&Err(error));
                    self.failure = Some(Box::new(error.into()));
                }
            }
            match ready!(self.poll_more(cx, io)) {
                Some(Ok(())) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    #[cold]
    fn control_frame(&mut self, cx: &mut Context<'_>, io: &mut impl Io) {
        let Some(event) = self.live.as_ref().and_then(|live| live.event()) else { return };
        if let Some(timers) = &mut self.timers {
            timers.control(if let Event::Pong(payload) = &event { Some(payload) } else { None });
        }
        io.answer(&Ok(event));
        if self.state() != ReceiveState::Open {
            // The peer's Close is answered even if the caller stops here. Failing is told by the next call.
            let _ = io.poll_write(cx);
        }
    }

    /// Waits for more input, having flushed what waits; `None` when there will be none.
    fn poll_more(&mut self, cx: &mut Context<'_>, io: &mut impl Io) -> Poll<Option<Advanced>> {
        if self.phase == Phase::Open && self.state() != ReceiveState::Open {
            self.phase = Phase::ShuttingDown;
        }
        if self.phase != Phase::Open {
            ready!(self.poll_end(cx, io));
            return Poll::Ready(self.failure.take().map(Err));
        }
        let due = if self.timers.is_some() { self.poll_timers(cx, io) } else { None };
        // A peer that does not read may still send: a pending write does not keep us from reading.
        let written = io.poll_write(cx);
        if io.close_sent() && self.poll_deadline(cx).is_ready() {
            return self.end_with(io, Error::CloseTimeout);
        }
        let within_message = self.live.as_ref().is_some_and(|live| live.missing_len() > MAX_CONTROL_LEN);
        let read = self.poll_read(cx, io.read());
        if let Some(timers) = &mut self.timers {
            if within_message && matches!(read, Poll::Ready(Ok(1..))) {
                // Until the frame ends the peer can send neither a Pong nor another message.
                timers.message();
            } else if let Some(due) = due
                && (read.is_pending() || timers.is_too_late())
            {
                self.give_up(io, due);
                if read.is_pending() {
                    return self.poll_more(cx, io);
                }
            }
        }
        if let Poll::Ready(Err(error)) = written
            && !matches!(read, Poll::Ready(Ok(1..)))
        {
            // Not before all that the peer sent is received: it may say why the peer went.
            return self.end_with(io, error.into());
        }
        match ready!(read) {
            Ok(0) => {
                let live = self.live();
                let mut rest = std::mem::take(live.buffer());
                rest.clear();
                buffer::give(rest);
                match live.receive_eof() {
                    Ok(()) => Poll::Ready(None),
                    Err(error) => self.end_with(io, error.into()),
                }
            }
            Ok(_) => Poll::Ready(Some(Ok(()))),
            Err(error) => self.end_with(io, error.into()),
        }
    }

    /// The connection is over; what began its end is told rather than how it went.
    fn end_with(&mut self, io: &mut impl Io, error: Error) -> Poll<Option<Advanced>> {
        let error = self.failure.take().unwrap_or_else(|| Box::new(error));
        self.phase = Phase::Ended;
        self.deadline = None;
        self.timers = None;
        // Of a message that was half received no chunk follows the error.
        let _ = self.live().receive_eof();
        io.end();
        Poll::Ready(Some(Err(error)))
    }

    /// Sends the Pings that are due; returns what else is.
    fn poll_timers(&mut self, cx: &mut Context<'_>, io: &mut impl Io) -> Option<Due> {
        let timers = self.timers.as_mut()?;
        if io.close_sent() {
            // The closing handshake has a deadline of its own.
            self.timers = None;
            return None;
        }
        if let Some(at) = io.take_active() {
            timers.sent(at);
        }
        if io.take_taken() {
            // It is at work on what precedes our Ping.
            timers.message();
        }
        loop {
            match timers.poll(cx) {
                Poll::Ready(Due::Ping(nonce)) => io.ping(&nonce),
                Poll::Ready(due) => return Some(due),
                Poll::Pending => return None,
            }
        }
    }

    /// Begins the end of a connection whose peer is dead or idle.
    fn give_up(&mut self, io: &mut impl Io, due: Due) {
        if due == Due::Idle {
            io.start_close(&CloseFrame::new(CloseCode::GOING_AWAY, "idle"));
            self.failure = Some(Box::new(Error::IdleTimeout));
        } else {
            self.failure = Some(Box::new(Error::KeepaliveTimeout));
            self.phase = Phase::Ended;
        }
    }

    /// For a caller who does not read because the peer does not: keeps the timers meanwhile. Ready when it has
    /// to be given up.
    pub(crate) fn poll_stalled(&mut self, cx: &mut Context<'_>, io: &mut impl Io) -> Poll<()> {
        let Some(timers) = &mut self.timers else { return Poll::Pending };
        timers.stalled();
        let Some(due) = self.poll_timers(cx, io) else { return Poll::Pending };
        self.give_up(io, due);
        Poll::Ready(())
    }

    /// Reading goes on.
    #[inline]
    pub(crate) fn resume(&mut self) {
        if let Some(timers) = &mut self.timers {
            timers.resume();
        }
    }

    /// Reads into the input, which has a buffer only while there is something in it or a read may bring it, and is
    /// there only while there is something of a message.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Poll<io::Result<usize>> {
        let Some(live) = &mut self.live else {
            let mut input = buffer::take();
            let poll = pin!(stream.read_buf(&mut input)).poll(cx);
            if input.is_empty() {
                buffer::give(input);
            } else {
                *self.live().buffer() = input;
            }
            return poll;
        };
        let missing_len = live.missing_len();
        let input = live.buffer();
        if input.is_empty() {
            if !input.try_reclaim(buffer::READ_LEN) {
                *input = buffer::take();
            }
        } else if input.capacity() - input.len() < buffer::MIN_READ_LEN {
            // Not before the room that there is has been filled: the frame's length is only a claim.
            input.reserve(missing_len.clamp(buffer::MIN_READ_LEN, buffer::MAX_RESERVE_LEN));
        }
        let poll = pin!(stream.read_buf(input)).poll(cx);
        if input.is_empty() {
            buffer::give(std::mem::take(input));
            if poll.is_pending()
                && let Some(parked) = live.park()
            {
                self.parked = parked;
                self.live = None;
            }
        }
        poll
    }

    /// Ends the transport after the codec is done with it: flush, end the sending half, and see the peer off.
    fn poll_end(&mut self, cx: &mut Context<'_>, io: &mut impl Io) -> Poll<()> {
        // The deadline comes second: mostly there is nothing to wait for, and a timer costs more than the rest.
        if self.poll_see_off(cx, io).is_pending() && self.poll_deadline(cx).is_pending() {
            return Poll::Pending;
        }
        self.phase = Phase::Ended;
        *self.live().buffer() = BytesMut::new();
        self.deadline = None;
        self.timers = None;
        io.end();
        Poll::Ready(())
    }

    fn poll_see_off(&mut self, cx: &mut Context<'_>, io: &mut impl Io) -> Poll<()> {
        if self.phase == Phase::ShuttingDown {
            let done = match io.poll_write(cx) {
                Poll::Ready(Ok(())) => io.poll_shutdown(cx),
                other => other,
            };
            self.phase = match done {
                Poll::Ready(Ok(())) if self.lingers() => Phase::Lingering,
                // The messages are over: that the peer is gone already is no error any more.
                Poll::Ready(_) => Phase::Ended,
                Poll::Pending => {
                    if self.lingers() {
                        // A peer that writes all it has before it reads would never take our Close otherwise.
                        let _ = self.poll_discard(cx, io.read());
                    }
                    return Poll::Pending;
                }
            };
        }
        if self.phase == Phase::Lingering {
            ready!(self.poll_discard(cx, io.read()));
        }
        Poll::Ready(())
    }

    /// Reads and discards until the peer ends its half.
    fn poll_discard(&mut self, cx: &mut Context<'_>, stream: &mut (impl AsyncRead + Unpin)) -> Poll<()> {
        loop {
            self.live().buffer().clear();
            if !matches!(ready!(self.poll_read(cx, stream)), Ok(1..)) {
                return Poll::Ready(());
            }
        }
    }

    /// §7.1.1: the server closes the transport first, so a client waits for it. Whoever failed the connection waits
    /// as well: the peer may still be sending, and a reset would destroy the Close frame that tells it why.
    fn lingers(&self) -> bool {
        self.parked.role() == Role::Client || self.state() == ReceiveState::Failed
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timeout = self.close_timeout;
        self.deadline.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx)
    }

    /// How far the closing handshake is.
    pub(crate) fn close_state(&self, close_sent: bool) -> CloseState {
        CloseState::of(self.state(), close_sent)
    }
}
