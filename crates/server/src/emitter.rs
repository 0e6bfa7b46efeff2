//! One event to one client, with modifiers.

use sockeye_adapter::Offset;
use sockeye_socketio::{EventArgs, handler::FromAnswer};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use crate::{AckFuture, EmitError, Socket, engine::Pushed, outgoing::Outgoing};

/// One event to one client, with modifiers.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent until `emit` or `emit_with_ack`"]
pub struct Emitter {
    socket: Socket,
    timeout: Option<Duration>,
    volatile: bool,
    compress: bool,
}

impl Emitter {
    pub(crate) fn new(socket: &Socket) -> Self {
        Self { socket: socket.clone(), timeout: None, volatile: false, compress: true }
    }

    /// The acknowledgement may take this long; then it is [`AckError::Timeout`](crate::AckError::Timeout).
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The event is dropped if the client cannot take it at this instant.
    pub const fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Whether the event may be compressed, if the client negotiated that. Default yes.
    pub const fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// The event waits until there is room for it in the client's queue.
    pub const fn wait(self) -> WaitingEmitter {
        WaitingEmitter { emitter: self }
    }

    /// Sends the event.
    ///
    /// # Errors
    /// As [`Socket::emit`].
    pub fn emit<A: EventArgs>(self, event: &str, args: A) -> Result<(), EmitError> {
        self.send(event, None, &args)
    }

    /// Sends the event and waits for the acknowledgement, of which it reads the first argument.
    pub fn emit_with_ack<T: FromAnswer, A: EventArgs>(self, event: &str, args: A) -> AckFuture<T> {
        AckFuture::new(&self.socket, self.timeout, |id| self.send(event, Some(id), &args))
    }

    fn send<A: EventArgs>(&self, event: &str, ack_id: Option<u64>, args: &A) -> Result<(), EmitError> {
        self.socket.emit_or_record(event, ack_id, args, self.compress, self.volatile)
    }
}

/// Sends an event when there is room for it: for streams of events that are made as fast as the client takes them.
///
/// ```no_run
/// # async fn f(socket: sockeye::Socket, mut rows: std::vec::IntoIter<String>) -> Result<(), sockeye::EmitError> {
/// while let Some(row) = rows.next() {
///     socket.wait().emit("row", row).await?;
/// }
/// # Ok(()) }
/// ```
///
/// Room is what [`Config::max_queue_len`](crate::Config::max_queue_len) leaves; one event is always taken, however long it is.
/// Whoever waits goes on when half of it is free. Events that are emitted meanwhile without waiting may overtake. A client that
/// takes nothing any more ends the waiting when it is disconnected. Where an adapter keeps the sessions of clients that lost
/// their connection, these events are not recovered.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent until `emit`"]
pub struct WaitingEmitter {
    emitter: Emitter,
}

impl WaitingEmitter {
    /// Encodes the event, and queues it when the future is polled and there is room.
    ///
    /// Dropping the future before it is ready sends nothing. It fails as [`Socket::emit`] does.
    pub fn emit<A: EventArgs>(self, event: &str, args: A) -> EmitFuture {
        let Emitter { socket, compress, .. } = self.emitter;
        let (packet, offset) = match socket.namespace().stamp(event, &args, compress) {
            Some(Ok((packet, offset))) => (Ok(packet), Some(offset)),
            Some(Err(error)) => (Err(error), None),
            None => (socket.encode_event(event, None, &args, compress), None),
        };
        EmitFuture { packet: Some(packet), offset, socket }
    }
}

/// An event that waits to be sent; see [`WaitingEmitter`].
#[must_use = "nothing is sent unless this is awaited"]
pub struct EmitFuture {
    socket: Socket,
    packet: Option<Result<Outgoing, EmitError>>,
    /// Of an event that can be recovered.
    offset: Option<Offset>,
}

impl Future for EmitFuture {
    type Output = Result<(), EmitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let pushed = match &self.packet {
            Some(Ok(packet)) => {
                match self.socket.namespace().poll_push(&self.socket, packet, self.offset, cx) {
                    Poll::Ready(pushed) => Some(pushed),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Some(Err(_)) | None => None,
        };
        let encoded = self.packet.take();
        Poll::Ready(match (pushed, encoded) {
            (Some(Pushed::Queued | Pushed::Dropped), _) => Ok(()),
            (Some(Pushed::Full), _) => Err(EmitError::QueueFull),
            (None, Some(Err(error))) => Err(error),
            _ => Err(EmitError::Disconnected),
        })
    }
}

impl fmt::Debug for EmitFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmitFuture").field("socket", &self.socket).finish_non_exhaustive()
    }
}
