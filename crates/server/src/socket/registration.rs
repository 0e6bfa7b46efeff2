//! Handlers, observers and middleware of one socket alone.

use std::sync::{Arc, atomic::Ordering};

use super::{Socket, State};
use crate::{
    HandlerId, OutgoingEvent,
    handler::{EventHandler, EventMiddleware, erase_event, erase_event_middleware},
    namespace::{EventHandlers, check_event_name, prepend, push},
    observe::OnOutgoing,
};

impl Socket {
    /// Handles an event of this client alone, after the handlers of the namespace. Prefer
    /// [`Namespace::on`](crate::Namespace::on), which costs nothing per client.
    ///
    /// # Panics
    /// When `event` is a reserved name.
    pub fn on<M: 'static>(&self, event: &str, handler: impl EventHandler<M>) -> HandlerId {
        check_event_name(event);
        let handler = erase_event(handler);
        self.register(|handlers| handlers.add(event, false, handler))
    }

    /// Handles the next event of this name of this client alone, and none after it.
    ///
    /// # Panics
    /// When `event` is a reserved name.
    pub fn once<M: 'static>(&self, event: &str, handler: impl EventHandler<M>) -> HandlerId {
        check_event_name(event);
        let handler = erase_event(handler);
        self.register(|handlers| handlers.add(event, true, handler))
    }

    /// Observes all events of this client alone, as [`Namespace::on_any`](crate::Namespace::on_any).
    pub fn on_any<M: 'static>(&self, handler: impl EventHandler<M>) -> HandlerId {
        let handler = erase_event(handler);
        self.register(|handlers| push(&mut handlers.any, handler))
    }

    /// Observes all events as [`on_any`](Self::on_any) does, before the observers that this socket has already.
    pub fn prepend_any<M: 'static>(&self, handler: impl EventHandler<M>) -> HandlerId {
        let handler = erase_event(handler);
        self.register(|handlers| prepend(&mut handlers.any, handler))
    }

    /// Adds a middleware for the events of this client: `socket.use` of the official server. It sees an event after the
    /// observers and before the handlers by name, and takes what they [take](crate::handler).
    ///
    /// Middleware runs in the order of registration, that of the [namespace](crate::Namespace::socket_middleware) first. It
    /// may wait; meanwhile the later events of the socket wait too, so that they keep their order. The first error ends it:
    /// the handlers by name are not called, [`on_error`](crate::Namespace::on_error) gets
    /// [`HandlerError::Refused`](crate::HandlerError::Refused), and the client, if it asked for an acknowledgement, gets
    /// `{"error": message, "data": data}`, see [`EventError`](crate::EventError). (The official server leaves it without an
    /// answer.) A middleware that panics refuses with `internal error`.
    ///
    /// Events without middleware cost less: they are not kept while it decides.
    pub fn middleware<M: 'static>(&self, middleware: impl EventMiddleware<M>) -> HandlerId {
        let middleware = erase_event_middleware(middleware);
        self.register(|handlers| push(&mut handlers.middleware, middleware))
    }

    /// Takes away what was registered with this socket. `false` when it is not there any more: it was taken away before,
    /// was a handler for [one event](Self::once) and had it, or the socket is disconnected.
    pub fn off(&self, id: HandlerId) -> bool {
        self.unregister(|handlers| handlers.remove(id)).unwrap_or(false)
    }

    /// Takes away all handlers of an event that were registered with this socket. Returns how many there were.
    pub fn off_event(&self, event: &str) -> usize {
        self.unregister(|handlers| handlers.remove_event(event)).unwrap_or(0)
    }

    /// Takes away all observers of events that were registered with this socket. Returns how many there were.
    pub fn off_any(&self) -> usize {
        self.unregister(|handlers| std::mem::take(&mut handlers.any).len()).unwrap_or(0)
    }

    /// Observes all events that are sent to this client, as [`Namespace::on_any_outgoing`](crate::Namespace::on_any_outgoing)
    /// does those that are sent to all.
    pub fn on_any_outgoing(
        &self,
        observe: impl Fn(&Self, &OutgoingEvent) + Send + Sync + 'static,
    ) -> HandlerId {
        let observe: Arc<OnOutgoing> = Arc::new(observe);
        self.register(|handlers| push(&mut handlers.outgoing, observe))
    }

    /// Observes as [`on_any_outgoing`](Self::on_any_outgoing) does, before those of this socket that observe already.
    pub fn prepend_any_outgoing(
        &self,
        observe: impl Fn(&Self, &OutgoingEvent) + Send + Sync + 'static,
    ) -> HandlerId {
        let observe: Arc<OnOutgoing> = Arc::new(observe);
        self.register(|handlers| prepend(&mut handlers.outgoing, observe))
    }

    /// Takes away all observers of outgoing events that were registered with this socket. Returns how many there were.
    pub fn off_any_outgoing(&self) -> usize {
        self.unregister(|handlers| std::mem::take(&mut handlers.outgoing).len()).unwrap_or(0)
    }

    fn register<T>(&self, register: impl FnOnce(&mut EventHandlers) -> T) -> T {
        let mut handlers = self.inner.handlers.write();
        // Nothing comes to a socket that is disconnected, and nothing would drop the handler any more.
        if matches!(*self.inner.state.lock(), State::Disconnected) {
            drop(handlers);
            return register(&mut EventHandlers::default());
        }
        let handlers = Arc::make_mut(handlers.get_or_insert_default());
        let result = register(handlers);
        self.inner.is_observed.store(!handlers.outgoing.is_empty(), Ordering::Relaxed);
        result
    }

    /// Changes the handlers such that some are dropped, which is user code: after the lock.
    fn unregister<T>(&self, unregister: impl FnOnce(&mut EventHandlers) -> T) -> Option<T> {
        let mut handlers = self.inner.handlers.write();
        let before = handlers.clone();
        let result = handlers.as_mut().map(|handlers| {
            let handlers = Arc::make_mut(handlers);
            let result = unregister(handlers);
            self.inner.is_observed.store(!handlers.outgoing.is_empty(), Ordering::Relaxed);
            result
        });
        drop(handlers);
        drop(before);
        result
    }
}
