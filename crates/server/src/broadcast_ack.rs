//! Broadcasts that ask for acknowledgements.
//!
//! ```text
//!                       ┌─► sockets of this server ──► answers ─┐
//! emit_with_ack ─► id ──┤                                       ├─► AckCollector ─► BroadcastAckFuture
//!                       └─► Adapter ─► other servers ─► counts, ┘
//!                                                       answers
//! ```
//! All clients of a server share one id, so that the event is encoded once.

use parking_lot::Mutex;
use sockeye_adapter::{AckCollector, AckSink, BroadcastOptions, Payload};
use sockeye_socketio::{ArgsError, handler::FromAnswer};
use std::{
    error::Error,
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Sleep, sleep},
};

use crate::{
    EmitError, Socket, engine::Pushed, namespace::NamespaceInner, observe::Observers, outgoing::Outgoing,
    trace::warn,
};

/// How long answers to a broadcast may take where no timeout was set.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The clients of this server that still have to answer a broadcast. Dropping it forgets the answers.
struct Expected {
    id: u64,
    sockets: Vec<Socket>,
}

impl Drop for Expected {
    fn drop(&mut self) {
        for socket in &self.sockets {
            let _ = socket.acks().forget(self.id);
        }
    }
}

impl NamespaceInner {
    /// Sends an event to the selected sockets of this server, and tells `sink` how many they are and what they answer.
    fn ask_local(
        &self,
        event: &Payload,
        options: &BroadcastOptions,
        sink: &Arc<dyn AckSink>,
    ) -> Result<Expected, EmitError> {
        let mut sockets = self.select(options);
        let id = self.next_ack_id();
        if sockets.is_empty() {
            sink.client_count(0);
            return Ok(Expected { id, sockets });
        }
        let packet = Outgoing::from_payload(self.wire(), self.name(), Some(id), event, None)?
            .compression(self.wire(), !options.uncompressed);
        let observers = Observers::new(self, &packet);
        // A socket that is not sent the event is not expected to answer; one that is gone meanwhile was counted as such.
        sockets.retain(|socket| {
            observers.tell(socket);
            socket.acks().expect_for(id, sink)
                && (socket.push(packet.clone(), options.volatile) == Pushed::Queued
                    || !socket.acks().forget(id))
        });
        sink.client_count(sockets.len());
        Ok(Expected { id, sockets })
    }

    /// For other servers, which are told the answers as long as they wait for them.
    pub(crate) fn ask_for_others(&self, event: &Payload, options: &BroadcastOptions, acks: Arc<dyn AckSink>) {
        let relay = Arc::new(Relay { acks, left: Mutex::new((0, None)), done: Notify::new() });
        let sink: Arc<dyn AckSink> = relay.clone();
        match self.ask_local(event, options, &sink) {
            Ok(expected) if expected.sockets.is_empty() => {}
            Ok(expected) => {
                let timeout = options.timeout.unwrap_or(DEFAULT_TIMEOUT);
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(timeout, relay.done.notified()).await;
                    drop(expected);
                });
            }
            Err(error) => {
                warn!(target: "sockeye::namespace", error = %error, "event of another server dropped");
                relay.acks.client_count(0);
            }
        }
    }
}

/// Passes answers on, and notices when all are there.
struct Relay {
    acks: Arc<dyn AckSink>,
    /// How many answered or are gone, and how many there are.
    left: Mutex<(usize, Option<usize>)>,
    done: Notify,
}

impl Relay {
    fn count(&self, more: usize, expected: Option<usize>) {
        let mut left = self.left.lock();
        left.0 += more;
        left.1 = left.1.or(expected);
        if left.1.is_some_and(|expected| left.0 >= expected) {
            self.done.notify_one();
        }
    }
}

impl AckSink for Relay {
    fn server_count(&self, _: usize) {}

    fn client_count(&self, count: usize) {
        self.acks.client_count(count);
        self.count(0, Some(count));
    }

    fn answer(&self, answer: Payload) {
        self.acks.answer(answer);
        self.count(1, None);
    }

    fn gone(&self, count: usize) {
        self.acks.gone(count);
        self.count(count, None);
    }

    fn is_closed(&self) -> bool {
        self.acks.is_closed()
    }
}

/// What the future and those who report share.
#[derive(Debug)]
struct Collected {
    collector: Mutex<(AckCollector, Option<Waker>)>,
    closed: AtomicBool,
}

impl Collected {
    fn change(&self, change: impl FnOnce(&mut AckCollector)) {
        let waker = {
            let mut inner = self.collector.lock();
            change(&mut inner.0);
            if inner.0.is_complete() { inner.1.take() } else { None }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl AckSink for Collected {
    fn server_count(&self, count: usize) {
        self.change(|acks| acks.server_count(count));
    }

    fn client_count(&self, count: usize) {
        self.change(|acks| acks.client_count(count));
    }

    fn answer(&self, answer: Payload) {
        self.change(|acks| acks.answer(answer));
    }

    fn gone(&self, count: usize) {
        self.change(|acks| acks.gone(count));
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// The clients' answers to a broadcast, in the order in which they came. The event is sent when this is made, not when
/// it is awaited.
///
/// It is ready when every client has answered or is gone, at the latest after the timeout; at once when the broadcast
/// reached nobody. Dropping it forgets the answers.
#[must_use = "the event is sent, but the answers are lost unless this is awaited"]
pub struct BroadcastAckFuture<T> {
    state: State,
    answers: PhantomData<fn() -> T>,
}

enum State {
    Failed(Option<EmitError>),
    Waiting { collected: Arc<Collected>, timeout: Pin<Box<Sleep>>, _expected: Vec<Expected> },
}

impl<T> BroadcastAckFuture<T> {
    pub(crate) fn new(
        namespace: &Arc<NamespaceInner>,
        event: Result<Payload, EmitError>,
        options: &BroadcastOptions,
    ) -> Self {
        let timeout = options.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let options = BroadcastOptions { timeout: Some(timeout), ..options.clone() };
        let state = match event.and_then(|event| ask(namespace, &event, &options)) {
            Ok((collected, expected)) => {
                State::Waiting { collected, timeout: Box::pin(sleep(timeout)), _expected: expected }
            }
            Err(error) => State::Failed(Some(error)),
        };
        Self { state, answers: PhantomData }
    }
}

/// Sends an event to the selected sockets of all servers.
fn ask(
    namespace: &Arc<NamespaceInner>,
    event: &Payload,
    options: &BroadcastOptions,
) -> Result<(Arc<Collected>, Vec<Expected>), EmitError> {
    let namespaces: Vec<_> = namespace.each().collect();
    let collected = Arc::new(Collected {
        collector: Mutex::new((AckCollector::new(namespaces.len()), None)),
        closed: AtomicBool::new(false),
    });
    let sink: Arc<dyn AckSink> = collected.clone();
    let mut expected = Vec::with_capacity(namespaces.len());
    for namespace in namespaces {
        expected.push(namespace.ask_local(event, options, &sink)?);
        match namespace.cluster(options) {
            Some(adapter) => adapter.broadcast_with_ack(event, options, sink.clone()),
            None => sink.server_count(0),
        }
    }
    Ok((collected, expected))
}

impl<T: FromAnswer> Future for BroadcastAckFuture<T> {
    type Output = Result<Vec<T>, BroadcastAckError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (collected, timeout) = match &mut self.state {
            State::Failed(error) => {
                let error = error.take().unwrap_or(EmitError::Disconnected);
                return Poll::Ready(Err(BroadcastAckError::Emit(error)));
            }
            State::Waiting { collected, timeout, .. } => (collected, timeout),
        };
        let timed_out = timeout.as_mut().poll(cx).is_ready();
        let (answers, complete, gone) = {
            let (acks, waker) = &mut *collected.collector.lock();
            let complete = acks.is_complete();
            if !complete && !timed_out {
                *waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            (acks.take_answers(), complete, acks.has_gone())
        };
        collected.closed.store(true, Ordering::Release);
        let answers = answers.iter().map(|answer| T::from_answer(answer.to_args())).collect();
        Poll::Ready(match answers {
            Err(error) => Err(BroadcastAckError::InvalidAnswer(error)),
            Ok(answers) if !complete => Err(BroadcastAckError::Timeout { answers }),
            Ok(answers) if gone => Err(BroadcastAckError::Disconnected { answers }),
            Ok(answers) => Ok(answers),
        })
    }
}

impl<T> Drop for BroadcastAckFuture<T> {
    fn drop(&mut self) {
        if let State::Waiting { collected, .. } = &self.state {
            collected.closed.store(true, Ordering::Release);
        }
    }
}

impl<T> fmt::Debug for BroadcastAckFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BroadcastAckFuture")
    }
}

/// Why a broadcast was not acknowledged by everyone.
#[derive(Debug)]
#[non_exhaustive]
pub enum BroadcastAckError<T> {
    /// The event was not sent.
    Emit(EmitError),
    /// Not all clients answered in time.
    Timeout {
        /// The answers that came.
        answers: Vec<T>,
    },
    /// Clients disconnected before they answered. All others have answered.
    Disconnected {
        /// Their answers.
        answers: Vec<T>,
    },
    /// An answer is not of the expected type.
    InvalidAnswer(ArgsError),
}

impl<T> BroadcastAckError<T> {
    /// The answers that did come.
    pub fn into_answers(self) -> Vec<T> {
        match self {
            Self::Timeout { answers } | Self::Disconnected { answers } => answers,
            Self::Emit(_) | Self::InvalidAnswer(_) => Vec::new(),
        }
    }
}

impl<T> fmt::Display for BroadcastAckError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Emit(error) => fmt::Display::fmt(error, f),
            Self::Timeout { answers } => {
                write!(f, "not all clients acknowledged in time ({} did)", answers.len())
            }
            Self::Disconnected { answers } => {
                write!(f, "clients disconnected before they acknowledged ({} did)", answers.len())
            }
            Self::InvalidAnswer(error) => write!(f, "unexpected acknowledgement: {error}"),
        }
    }
}

impl<T: fmt::Debug> Error for BroadcastAckError<T> {}
