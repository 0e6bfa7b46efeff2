//! The events of a client: limits, observers, middleware, handlers.
//!
//! ```text
//! packet ──► rate limits ──► observers ──► handlers                                  as most sockets do it
//!                                    └──► EventQueue ──► middleware ──► handlers     one event at a time
//! ```
//! The queue is for sockets with middleware, which may have to wait before it decides, and for namespaces that handle one
//! event of a socket after the other. What waits in it has memory of its own.

use futures_util::FutureExt;
use serde_json::json;
use sockeye_socketio::Event;
use std::{collections::VecDeque, panic::AssertUnwindSafe, time::Duration};

use super::{
    Client, Violation,
    work::{Outcome, Work, called, report_panic},
};
use crate::{
    Ack, EventError, Excess, HandlerError, Socket,
    handler::{AnyEventHandler, EventContext, OwnedEvent, report},
    namespace::{EventHandlers, Registered, Snapshot},
    rate_limit::{Exceeded, Limiter},
};

/// A socket that is connected, with what only its client's task needs of it.
pub(super) struct Joined {
    pub(super) socket: Socket,
    queue: EventQueue,
    /// Where the namespace has rate limits.
    limiter: Option<Box<Limiter>>,
}

/// Events that wait for those before them.
#[derive(Default)]
struct EventQueue {
    waiting: VecDeque<OwnedEvent>,
    /// An event is with the middleware, or with handlers that are to finish before the next one.
    busy: bool,
}

impl Joined {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, queue: EventQueue::default(), limiter: None }
    }

    /// Counts an event against the rate limits.
    fn count(&mut self, handlers: &Snapshot, event: &str, now: Duration) -> Result<(), Exceeded> {
        let (all, of_event) = handlers.rates_of(event);
        self.limiter.get_or_insert_default().take(all, of_event, event, now)
    }

    fn is_idle(&self) -> bool {
        !self.queue.busy && self.queue.waiting.is_empty()
    }
}

impl Client {
    /// An event for the socket at `at` of the list, which is connected.
    pub(super) fn event(
        &mut self,
        at: usize,
        socket: &Socket,
        event: &Event<'_>,
        ack_id: Option<u64>,
    ) -> Result<(), Violation> {
        let joined = &self.joined[at];
        let is_idle = joined.is_idle();
        let pending_count = self.running.len() + joined.queue.waiting.len();
        let context = EventContext::new(socket, &event.name, event.args, ack_id);
        let handlers = socket.namespace().handlers();
        if handlers.has_rates()
            && let Err(exceeded) = self.joined[at].count(&handlers, &event.name, self.io.engine.now())
        {
            event.args.validate()?;
            return exceed(socket, &context.take_ack(), &exceeded);
        }
        if pending_count >= self.io.engine.config.max_pending_event_count {
            event.args.validate()?;
            refuse(socket, &context.take_ack(), EventError::new("too many events"));
            return Ok(());
        }
        let own = socket.own_handlers();
        let own = own.as_deref();
        let work_count = self.work.len();
        context.set_observed(true);
        for list in handlers.any().into_iter().chain(own.map(|own| &*own.any)) {
            for observer in list {
                self.start(socket, || observer.handler.call(&context));
            }
        }
        context.set_observed(false);
        let waits = !is_idle || handlers.is_sequential() || has_middleware(&handlers, own);
        let waiting = if waits {
            Some(context.keep())
        } else {
            let lists = named(&handlers, own, &event.name);
            context.set_sole(lists.iter().map(|list| list.len()).sum::<usize>() == 1);
            for handler in lists.into_iter().flatten().filter(|handler| is_due(socket, handler)) {
                self.start(socket, || handler.handler.call(&context));
            }
            None
        };
        context.finish().inspect_err(|_| self.work.truncate(work_count))?;
        if let Some(event) = waiting {
            self.joined[at].queue.waiting.push_back(event);
            if is_idle {
                self.next_event(socket);
            }
        }
        Ok(())
    }

    /// The events of a socket wait until its connection handlers are finished.
    pub(super) fn hold_events(&mut self, socket: &Socket) {
        if let Some(joined) = self.joined_mut(socket) {
            joined.queue.busy = true;
        }
    }

    /// What the queue of a socket was busy with is done: the next event has its turn.
    pub(super) fn next_event(&mut self, socket: &Socket) {
        while let Some(joined) = self.joined_mut(socket) {
            let event = joined.queue.waiting.pop_front();
            joined.queue.busy = event.is_some();
            let Some(event) = event else { return };
            let handlers = socket.namespace().handlers();
            let own = socket.own_handlers();
            if has_middleware(&handlers, own.as_deref()) {
                self.push_work(Work::Await(Box::pin(async move {
                    let verdict = AssertUnwindSafe(async {
                        let own = own.iter().flat_map(|own| &own.middleware);
                        for middleware in handlers.socket_middleware().chain(own.map(|own| &*own.handler)) {
                            let judging = middleware.call(&event.context())?;
                            judging.await?;
                        }
                        Ok(())
                    });
                    let verdict = verdict.catch_unwind().await.unwrap_or_else(|panic| {
                        report_panic(event.socket(), &*panic);
                        Err(EventError::new("internal error"))
                    });
                    Outcome::Passed(event, verdict)
                })));
                return;
            }
            if self.handle(&event) {
                return;
            }
        }
    }

    /// The middleware decided about an event.
    pub(super) fn passed(&mut self, event: OwnedEvent, verdict: Result<(), EventError>) {
        match verdict {
            Err(error) => refuse(event.socket(), event.ack(), error),
            Ok(()) if self.handle(&event) => return,
            Ok(()) => {}
        }
        self.next_event(event.socket());
    }

    /// Calls the handlers of an event that waited; whether the next one waits for them.
    fn handle(&mut self, event: &OwnedEvent) -> bool {
        let socket = event.socket();
        if !socket.is_connected() {
            return false;
        }
        let handlers = socket.namespace().handlers();
        let own = socket.own_handlers();
        let context = event.context();
        let mut in_turn = Vec::new();
        let lists = named(&handlers, own.as_deref(), event.name());
        for handler in lists.into_iter().flatten().filter(|handler| is_due(socket, handler)) {
            if handlers.is_sequential() {
                in_turn.extend(called(socket, || handler.handler.call(&context)));
            } else {
                self.start(socket, || handler.handler.call(&context));
            }
        }
        if let Some(error) = context.malformed() {
            self.broken = Some(error.into());
        }
        let waits = !in_turn.is_empty();
        if waits {
            self.start_in_turn(socket, in_turn);
        }
        waits
    }

    fn joined_mut(&mut self, socket: &Socket) -> Option<&mut Joined> {
        self.joined.iter_mut().find(|joined| joined.socket == *socket)
    }
}

/// The handlers of an event by its name: the namespace's, then the socket's.
#[inline]
fn named<'a>(
    handlers: &'a Snapshot,
    own: Option<&'a EventHandlers>,
    event: &str,
) -> [&'a [Registered<dyn AnyEventHandler>]; 3] {
    let [inherited, shared] = handlers.named(event);
    [inherited, shared, own.map_or(&[], |own| own.named(event))]
}

/// Whether a handler is to be called. One for a single event is taken away first; whoever did that calls it.
#[inline]
fn is_due(socket: &Socket, handler: &Registered<dyn AnyEventHandler>) -> bool {
    !handler.once || socket.off(handler.id)
}

fn has_middleware(handlers: &Snapshot, own: Option<&EventHandlers>) -> bool {
    handlers.socket_middleware().next().is_some() || own.is_some_and(|own| !own.middleware.is_empty())
}

/// An event is beyond a rate limit.
fn exceed(socket: &Socket, ack: &Ack, exceeded: &Exceeded) -> Result<(), Violation> {
    // Rounded up, so that who waits so long is not refused again.
    let retry_after = exceeded.retry_after.as_micros().div_ceil(1000);
    let error = EventError::new("rate limit exceeded").with_data(json!({ "retryAfter": retry_after }));
    refuse(socket, ack, error);
    match exceeded.excess {
        Excess::Refuse => Ok(()),
        Excess::Disconnect => Err(Violation::RateLimit),
    }
}

/// Refuses an event: its sender is told, if it asked for an answer, and so is the application.
fn refuse(socket: &Socket, ack: &Ack, error: EventError) {
    let _ = ack.send(&error);
    report(socket, &HandlerError::Refused(error));
}
