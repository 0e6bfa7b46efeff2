//! The futures of one client: each polled once in its turn, and beside the others if it is not finished then.
//!
//! ```text
//! start ──► work ──► begin: polled once ──► finished
//!                          └──► running ──► conclude: what its outcome asks for
//! ```

use bytestring::ByteString;
use futures_util::{FutureExt, StreamExt};
use sockeye_adapter::BoxFuture;
use std::{
    any::Any,
    cell::Cell,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
};

use super::Client;
use crate::{
    ConnectError, DisconnectReason, EventError, HandlerError, NamespaceRequest, Socket,
    handler::{HandlerFuture, OwnedEvent},
    namespace::NamespaceInner,
    recovery::Returning,
    trace::{debug, warn},
};

/// A queue for more than so many is not kept.
const SPARE_COUNT: usize = 256;

thread_local! {
    /// An empty queue with its memory.
    static SPARE: Cell<VecDeque<Work>> = const { Cell::new(VecDeque::new()) };
}

/// What has its turn, in order.
pub(super) enum Work {
    Run {
        socket: Socket,
        future: HandlerFuture,
    },
    /// A future whose outcome matters.
    Await(BoxFuture<'static, Outcome>),
    /// The connection handlers had their first turn.
    Greet(Socket),
    /// The `disconnecting` handlers had their turn: leave the rooms.
    Remove {
        socket: Socket,
        reason: DisconnectReason,
    },
}

/// What came of a future.
pub(super) enum Outcome {
    Done,
    /// The matchers of dynamic namespaces: one may have accepted a name that does not exist.
    Found(NamespaceRequest, Option<Arc<NamespaceInner>>),
    /// A client that lost its connection may have been found.
    Restored(Arc<NamespaceInner>, ByteString, Option<Returning>),
    /// An adapter let a client in that lost its connection, or did not.
    Resumed(Socket, Returning, bool),
    /// The middleware of a namespace decided whether the socket connects.
    Judged(Socket, Result<(), ConnectError>),
    /// The middleware of a socket decided about an event.
    Passed(OwnedEvent, Result<(), EventError>),
    /// The handlers of a socket that handles one event after the other are finished.
    Handled(Socket),
}

impl Outcome {
    /// The client is gone.
    pub(super) fn discard(self) {
        match self {
            Self::Judged(socket, _) => drop(socket.take_returning()),
            Self::Resumed(socket, _, true) => {
                socket.set_disconnected();
                socket.namespace().remove(&socket);
            }
            _ => {}
        }
    }
}

impl Client {
    /// Calls a handler; its future has its turn after what is queued already.
    pub(super) fn start(&mut self, socket: &Socket, call: impl FnOnce() -> Option<HandlerFuture>) {
        if let Some(future) = called(socket, call) {
            self.push_work(Work::Run { socket: socket.clone(), future });
        }
    }

    /// Runs futures of a socket one after the other, after what is queued already.
    pub(super) fn start_in_turn(&mut self, socket: &Socket, futures: Vec<HandlerFuture>) {
        let socket = socket.clone();
        self.push_work(Work::Await(Box::pin(async move {
            for future in futures {
                if let Err(panic) = AssertUnwindSafe(future).catch_unwind().await {
                    report_panic(&socket, &*panic);
                }
            }
            Outcome::Handled(socket)
        })));
    }

    /// Polls what is new once, and what was woken; whether anything happened.
    pub(crate) fn run(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        loop {
            while let Some(work) = self.work.pop_front() {
                any = true;
                self.begin(work, cx);
            }
            self.lend_queue();
            if self.running.is_empty() {
                return any;
            }
            match self.running.poll_next_unpin(cx) {
                Poll::Ready(Some(outcome)) => {
                    any = true;
                    self.conclude(outcome);
                }
                Poll::Ready(None) | Poll::Pending => return any,
            }
        }
    }

    /// Takes the thread's memory for the queue, if it has none.
    #[inline]
    pub(super) fn push_work(&mut self, work: Work) {
        if self.work.capacity() == 0 {
            self.work = SPARE.take();
        }
        self.work.push_back(work);
    }

    /// Leaves the memory of an empty queue to the other clients of the thread: an idle one holds none.
    #[inline]
    fn lend_queue(&mut self) {
        let work = std::mem::take(&mut self.work);
        if (1..=SPARE_COUNT).contains(&work.capacity()) {
            SPARE.set(work);
        }
    }

    fn begin(&mut self, work: Work, cx: &mut Context<'_>) {
        let mut future: BoxFuture<'static, Outcome> = match work {
            Work::Run { socket, mut future } => {
                // The common case, a handler that does not wait, costs no more than this poll.
                match catch_unwind(AssertUnwindSafe(|| future.poll_unpin(cx))) {
                    Ok(Poll::Ready(())) => return future.reuse(),
                    Ok(Poll::Pending) => Box::pin(async move {
                        if let Err(panic) = AssertUnwindSafe(future).catch_unwind().await {
                            report_panic(&socket, &*panic);
                        }
                        Outcome::Done
                    }),
                    Err(panic) => return report_panic(&socket, &*panic),
                }
            }
            Work::Await(future) => future,
            Work::Greet(socket) => return socket.greet(),
            Work::Remove { socket, reason } => return self.remove(&socket, reason),
        };
        match future.as_mut().poll(cx) {
            Poll::Ready(outcome) => self.conclude(outcome),
            Poll::Pending => self.running.push(future),
        }
    }

    fn conclude(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Done => {}
            Outcome::Found(request, found) => {
                self.joining.retain(|joining| joining.name != *request.name());
                match found {
                    _ if self.closed => {}
                    Some(namespace) => self.join(namespace, request.into_auth()),
                    None => self.refuse(request.name(), &ConnectError::new("Invalid namespace")),
                }
            }
            Outcome::Judged(socket, verdict) => {
                self.joining.retain(|joining| joining.name != *socket.namespace_name());
                match verdict {
                    _ if self.closed => drop(socket.take_returning()),
                    Ok(()) => self.admit(socket),
                    Err(error) => {
                        if let Some(returning) = socket.take_returning() {
                            returning.forget();
                        }
                        debug!(target: "sockeye::namespace", error = %error, "connection refused by middleware");
                        self.refuse(socket.namespace_name(), &error);
                    }
                }
            }
            Outcome::Restored(namespace, auth, returning) => {
                self.joining.retain(|joining| joining.name != *namespace.name());
                if !self.closed {
                    self.join_as(namespace, auth, returning);
                }
            }
            Outcome::Resumed(socket, returning, is_in) => self.resumed(socket, returning, is_in),
            Outcome::Passed(event, verdict) => self.passed(event, verdict),
            Outcome::Handled(socket) => self.next_event(&socket),
        }
    }
}

/// Calls a handler, and contains its panic.
pub(super) fn called(socket: &Socket, call: impl FnOnce() -> Option<HandlerFuture>) -> Option<HandlerFuture> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        report_panic(socket, &*panic);
        None
    })
}

/// A panic of user code ends what panicked and nothing else.
pub(super) fn report_panic(socket: &Socket, panic: &(dyn Any + Send)) {
    let error = HandlerError::Panicked(panic_message(panic).to_owned());
    warn!(target: "sockeye::socket", error = %error, "handler failed");
    socket.namespace().report(socket, &error);
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or_default()
}
