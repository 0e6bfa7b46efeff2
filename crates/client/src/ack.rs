//! Acknowledgements: what the client waits for, and what it owes.

use sockeye_socketio::{
    EncodeError, EventArgs,
    handler::{self, FromAnswer},
};
use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Sleep, sleep},
};

use crate::{
    AckError, EmitError, Socket,
    mailbox::Pushed,
    outgoing::Outgoing,
    socket::SocketInner,
    state::{AckResult, Phase},
};

/// The server's answer to an event. The event is sent (or buffered) when this is made, not when it is awaited.
///
/// It ends with [`AckError::Timeout`] if a timeout was set, with [`AckError::Disconnected`] when the socket disconnects
/// after the event was sent, and otherwise waits. Dropping it forgets the answer; the event is sent all the same.
#[must_use = "the event is sent, but its answer is lost unless this is awaited"]
pub struct AckFuture<T> {
    state: State,
    answer: PhantomData<fn() -> T>,
}

enum State {
    Failed(Option<AckError>),
    Waiting(Waiting),
}

pub(crate) struct Waiting {
    pub(crate) socket: Arc<SocketInner>,
    /// `None` for those of the retry queue, which keeps its ids and its time itself.
    pub(crate) id: Option<u64>,
    pub(crate) receiver: oneshot::Receiver<AckResult>,
    pub(crate) timeout: Option<Pin<Box<Sleep>>>,
}

impl Waiting {
    pub(crate) fn new(
        socket: Arc<SocketInner>,
        id: Option<u64>,
        receiver: oneshot::Receiver<AckResult>,
        timeout: Option<Duration>,
    ) -> Self {
        Self { socket, id, receiver, timeout: timeout.map(|timeout| Box::pin(sleep(timeout))) }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<AckResult> {
        if let Poll::Ready(result) = Pin::new(&mut self.receiver).poll(cx) {
            self.id = None;
            return Poll::Ready(result.unwrap_or(Err(AckError::Disconnected)));
        }
        if self.timeout.as_mut().is_some_and(|timeout| timeout.as_mut().poll(cx).is_ready()) {
            if let Some(id) = self.id.take() {
                self.socket.state().forget(id, true);
            }
            return Poll::Ready(Err(AckError::Timeout));
        }
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.socket.state().forget(id, false);
        }
    }
}

impl<T> AckFuture<T> {
    pub(crate) fn new(waiting: Result<Waiting, AckError>) -> Self {
        let state = match waiting {
            Ok(waiting) => State::Waiting(waiting),
            Err(error) => State::Failed(Some(error)),
        };
        Self { state, answer: PhantomData }
    }
}

impl<T: FromAnswer> Future for AckFuture<T> {
    type Output = Result<T, AckError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &mut self.state {
            State::Failed(error) => Err(error.take().unwrap_or(AckError::Disconnected)),
            State::Waiting(waiting) => std::task::ready!(waiting.poll(cx)),
        };
        self.state = State::Failed(None);
        Poll::Ready(result.and_then(|answer| T::from_answer(answer.args()).map_err(AckError::InvalidAnswer)))
    }
}

impl<T> fmt::Debug for AckFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AckFuture")
    }
}

/// Answers an event of the server, if it asked for that. The first answer counts, whoever gives it.
///
/// As an argument of a handler it takes over the duty to answer: what the handler returns is then not sent.
#[derive(Debug, Clone)]
pub struct Ack(Option<Arc<Owed>>);

#[derive(Debug)]
struct Owed {
    socket: Arc<SocketInner>,
    id: u64,
    answered: AtomicBool,
    /// The connection that the event came over: its answer has no meaning on another one.
    connection: u64,
}

impl Ack {
    pub(crate) fn new(socket: &Socket, id: Option<u64>) -> Self {
        Self(id.map(|id| {
            let socket = socket.inner().clone();
            let connection = socket.connection();
            Arc::new(Owed { socket, id, answered: AtomicBool::new(false), connection })
        }))
    }

    /// Whether the server asked for an answer.
    pub const fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Answers. Nothing is sent when the server did not ask or was answered already, or when the connection that the event
    /// came over is gone.
    ///
    /// # Errors
    /// When the arguments cannot be encoded, or more than [`Config::max_buffer_len`](crate::Config::max_buffer_len) waits to
    /// be sent.
    pub fn send<A: EventArgs>(&self, args: A) -> Result<(), EmitError> {
        let Some(owed) = &self.0 else { return Ok(()) };
        if owed.answered.load(Ordering::Acquire) {
            return Ok(());
        }
        let name = owed.socket.namespace();
        let parser = owed.socket.core().config.parser;
        let packet = Outgoing::ack(parser, name, owed.id, &args)?;
        if !owed.answered.swap(true, Ordering::AcqRel) {
            let state = owed.socket.state();
            // Events that came before CONNECT are answered as well.
            if state.phase != Phase::Inactive
                && owed.socket.connection() == owed.connection
                && owed.socket.core().mailbox.push(packet, false) == Pushed::Full
            {
                return Err(EmitError::BufferFull);
            }
        }
        Ok(())
    }
}

impl handler::Answer for Ack {
    fn answer<A: EventArgs>(&self, args: A) -> Result<(), EncodeError> {
        match self.send(args) {
            Err(EmitError::Encode(error)) => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
