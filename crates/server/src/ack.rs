//! Acknowledgements: what the server waits for, and what it owes.

use parking_lot::Mutex;
use sockeye_adapter::{AckSink, Payload};
use sockeye_socketio::{
    Args, EncodeError, EventArgs, OwnedArgs,
    handler::{self, FromAnswer},
};
use std::{
    collections::HashMap,
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

use crate::{AckError, EmitError, Socket, outgoing::Outgoing};

/// The acknowledgements that a socket waits for.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    senders: HashMap<u64, Waiter>,
    /// The socket is gone: nothing will come any more.
    failed: bool,
}

/// Who waits for an answer.
enum Waiter {
    /// One event to one client; the answer is read when somebody wants it.
    One(oneshot::Sender<OwnedArgs>),
    /// A broadcast, whose id all of its clients share.
    Broadcast(Arc<dyn AckSink>),
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One(_) => "One",
            Self::Broadcast(_) => "Broadcast",
        })
    }
}

impl Acks {
    fn expect(&self, id: u64, max_count: usize) -> Result<oneshot::Receiver<OwnedArgs>, EmitError> {
        let mut waiting = self.waiting.lock();
        if waiting.failed {
            return Err(EmitError::Disconnected);
        }
        if waiting.senders.len() >= max_count {
            return Err(EmitError::TooManyAcks);
        }
        let (sender, receiver) = oneshot::channel();
        waiting.senders.insert(id, Waiter::One(sender));
        Ok(receiver)
    }

    /// The answer to a broadcast is expected; `false` when the socket is gone.
    pub(crate) fn expect_for(&self, id: u64, sink: &Arc<dyn AckSink>) -> bool {
        let mut waiting = self.waiting.lock();
        if !waiting.failed {
            waiting.senders.insert(id, Waiter::Broadcast(sink.clone()));
        }
        !waiting.failed
    }

    /// Nobody waits any more; `false` when the answer has come, or the socket is gone.
    pub(crate) fn forget(&self, id: u64) -> bool {
        self.waiting.lock().senders.remove(&id).is_some()
    }

    /// An acknowledgement arrives; one that nobody waits for is ignored.
    pub(crate) fn resolve(&self, id: u64, args: Args<'_>) {
        let waiter = self.waiting.lock().senders.remove(&id);
        match waiter {
            None => {}
            Some(Waiter::One(sender)) => {
                let _ = sender.send(args.into());
            }
            Some(Waiter::Broadcast(sink)) => {
                let (json, attachments) = args.to_text();
                match Payload::from_json(&json, attachments) {
                    Ok(answer) => sink.answer(answer),
                    Err(_) => sink.gone(1),
                }
            }
        }
    }

    /// The socket is gone: all who wait learn it.
    pub(crate) fn fail(&self) {
        let senders = {
            let mut waiting = self.waiting.lock();
            waiting.failed = true;
            std::mem::take(&mut waiting.senders)
        };
        for waiter in senders.into_values() {
            if let Waiter::Broadcast(sink) = waiter {
                sink.gone(1);
            }
        }
    }
}

/// The client's answer to an event. The event is sent when this is made, not when it is awaited.
///
/// It ends with [`AckError::Timeout`] if a timeout was set, with [`AckError::Disconnected`] when the client
/// disconnects, and otherwise waits. Dropping it forgets the answer.
#[must_use = "the event is sent, but its answer is lost unless this is awaited"]
pub struct AckFuture<T> {
    state: State,
    answer: PhantomData<fn() -> T>,
}

enum State {
    Failed(Option<AckError>),
    Waiting {
        socket: Socket,
        id: u64,
        receiver: oneshot::Receiver<OwnedArgs>,
        timeout: Option<Pin<Box<Sleep>>>,
    },
}

impl<T> AckFuture<T> {
    /// Sends an event by `send`, which is given the ack id.
    pub(crate) fn new(
        socket: &Socket,
        timeout: Option<Duration>,
        send: impl FnOnce(u64) -> Result<(), EmitError>,
    ) -> Self {
        let id = socket.namespace().next_ack_id();
        let state = match socket.acks().expect(id, socket.namespace().limits().max_ack_count) {
            Err(error) => State::Failed(Some(AckError::Emit(error))),
            Ok(receiver) => match send(id) {
                Ok(()) => {
                    let timeout = timeout.map(|timeout| Box::pin(sleep(timeout)));
                    State::Waiting { socket: socket.clone(), id, receiver, timeout }
                }
                Err(error) => {
                    let _ = socket.acks().forget(id);
                    State::Failed(Some(AckError::Emit(error)))
                }
            },
        };
        Self { state, answer: PhantomData }
    }
}

impl<T: FromAnswer> Future for AckFuture<T> {
    type Output = Result<T, AckError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (receiver, timeout) = match &mut self.state {
            State::Failed(error) => return Poll::Ready(Err(error.take().unwrap_or(AckError::Disconnected))),
            State::Waiting { receiver, timeout, .. } => (receiver, timeout),
        };
        match Pin::new(receiver).poll(cx) {
            Poll::Ready(Ok(answer)) => {
                Poll::Ready(T::from_answer(answer.args()).map_err(AckError::InvalidAnswer))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(AckError::Disconnected)),
            Poll::Pending => {
                let elapsed = timeout.as_mut().is_some_and(|timeout| timeout.as_mut().poll(cx).is_ready());
                if elapsed { Poll::Ready(Err(AckError::Timeout)) } else { Poll::Pending }
            }
        }
    }
}

impl<T> Drop for AckFuture<T> {
    fn drop(&mut self) {
        if let State::Waiting { socket, id, .. } = &self.state {
            let _ = socket.acks().forget(*id);
        }
    }
}

impl<T> fmt::Debug for AckFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AckFuture")
    }
}

/// Answers an event of the client, if it asked for that. The first answer counts, whoever gives it.
///
/// As an argument of a handler it takes over the duty to answer: what the handler returns is then not sent.
#[derive(Debug, Clone)]
pub struct Ack(pub(crate) Option<Arc<Owed>>);

#[derive(Debug)]
pub(crate) struct Owed {
    pub(crate) socket: Socket,
    pub(crate) id: u64,
    answered: AtomicBool,
}

impl Ack {
    pub(crate) fn new(socket: &Socket, id: Option<u64>) -> Self {
        Self(id.map(|id| Arc::new(Owed { socket: socket.clone(), id, answered: AtomicBool::new(false) })))
    }

    /// Whether the client asked for an answer.
    pub const fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Answers. Nothing is sent when the client did not ask, was answered already, or is gone.
    ///
    /// # Errors
    /// When the arguments cannot be encoded.
    pub fn send<A: EventArgs>(&self, args: A) -> Result<(), EmitError> {
        let Some(owed) = &self.0 else { return Ok(()) };
        if owed.answered.load(Ordering::Acquire) {
            return Ok(());
        }
        let packet = packet(&owed.socket, owed.id, &args)?;
        if !owed.answered.swap(true, Ordering::AcqRel) {
            let _ = owed.socket.send(packet, false);
        }
        Ok(())
    }
}

/// An acknowledgement as a packet.
fn packet<A: EventArgs>(socket: &Socket, id: u64, args: &A) -> Result<Outgoing, EncodeError> {
    let (name, wire) = (socket.namespace().name(), socket.namespace().wire());
    Ok(Outgoing::ack(wire, name, id, args)?.compression(wire, true))
}

/// Where a value goes that a handler returns.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    /// Nobody else can answer: there is nothing to share.
    Sole(u64),
    Shared(Ack),
}

impl ReplyTo {
    pub(crate) const fn of<'a>(&'a self, socket: &'a Socket) -> ReplyOf<'a> {
        ReplyOf { socket, to: self }
    }
}

/// The same, with the socket that it goes to.
pub(crate) struct ReplyOf<'a> {
    socket: &'a Socket,
    to: &'a ReplyTo,
}

impl handler::Answer for ReplyOf<'_> {
    fn answer<A: EventArgs>(&self, args: A) -> Result<(), EncodeError> {
        match self.to {
            ReplyTo::Sole(id) => {
                let packet = packet(self.socket, *id, &args)?;
                let _ = self.socket.send(packet, false);
                Ok(())
            }
            ReplyTo::Shared(ack) => ack.answer(args),
        }
    }
}

impl handler::Answer for Ack {
    fn answer<A: EventArgs>(&self, args: A) -> Result<(), EncodeError> {
        match self.send(args) {
            Err(EmitError::Encode(error)) => Err(error),
            // Nobody is there to be told any more.
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Config, Handshake,
        engine::{Dialect, Mailbox},
        namespace::NamespaceInner,
        outgoing::Wire,
    };
    use bytestring::ByteString;
    use http::Request;
    use sockeye_engineio::Transport;

    fn connected() -> Socket {
        let config = Config { max_ack_count: 3, ..Config::default() };
        let namespace = NamespaceInner::new("/", Arc::default(), Wire::default(), (&config).into(), None);
        let namespace = Arc::new(namespace);
        let mailbox = Arc::new(Mailbox::new(Transport::WebSocket, Dialect::default(), 1 << 20));
        let handshake = Arc::new(Handshake::new(Request::new(()).into_parts().0));
        let socket = Socket::new(namespace, mailbox, handshake, ByteString::new(), None);
        socket.set_connected();
        socket.greet();
        socket
    }

    fn waiting_count(socket: &Socket) -> usize {
        socket.acks().waiting.lock().senders.len()
    }

    #[tokio::test(start_paused = true)]
    async fn acknowledgement_that_times_out_is_forgotten() {
        let socket = connected();
        let timeout = Duration::from_secs(5);
        let ask = socket.timeout(timeout).emit_with_ack::<u8, _>("ask", ());
        assert_eq!(waiting_count(&socket), 1);
        let start = tokio::time::Instant::now();
        assert!(matches!(ask.await, Err(AckError::Timeout)));
        assert!((timeout..timeout + Duration::from_millis(2)).contains(&start.elapsed()));
        assert_eq!(waiting_count(&socket), 0);
    }

    #[tokio::test]
    async fn dropped_acknowledgement_is_forgotten_and_an_answered_one_too() {
        let socket = connected();
        drop(socket.emit_with_ack::<u8, _>("ask", ()));
        assert_eq!(waiting_count(&socket), 0);
        let ask = socket.emit_with_ack::<u8, _>("ask", ());
        socket.acks().resolve(0, Args::from_array("[1]").unwrap());
        socket.acks().resolve(1, Args::from_array("[2]").unwrap());
        socket.acks().resolve(1, Args::from_array("[3]").unwrap());
        assert_eq!(ask.await.unwrap(), 2);
        assert_eq!(waiting_count(&socket), 0);
    }

    #[tokio::test]
    async fn event_that_is_not_sent_waits_for_nothing() {
        let socket = connected();
        let ask = socket.emit_with_ack::<u8, _>("disconnect", ());
        assert_eq!(waiting_count(&socket), 0);
        assert!(matches!(ask.await, Err(AckError::Emit(EmitError::Encode(_)))));
        let ask = socket.emit_with_ack::<u8, _>("ask", ());
        socket.acks().fail();
        assert!(matches!(ask.await, Err(AckError::Disconnected)));
        let late = socket.emit_with_ack::<u8, _>("ask", ());
        assert!(matches!(late.await, Err(AckError::Emit(EmitError::Disconnected))));
        assert_eq!(waiting_count(&socket), 0);
    }

    #[tokio::test]
    async fn only_so_many_acknowledgements_can_be_owed() {
        let socket = connected();
        let waiting: Vec<_> = (0..3).map(|_| socket.emit_with_ack::<u8, _>("ask", ())).collect();
        let refused = socket.emit_with_ack::<u8, _>("ask", ());
        assert!(matches!(refused.await, Err(AckError::Emit(EmitError::TooManyAcks))));
        assert_eq!(waiting_count(&socket), 3);
        drop(waiting);
        let _ask = socket.emit_with_ack::<u8, _>("ask", ());
        assert_eq!(waiting_count(&socket), 1);
    }
}
