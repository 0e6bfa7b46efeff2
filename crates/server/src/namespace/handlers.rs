//! Handlers of a namespace or of one socket: what is registered, in order, and how it is found.
//!
//! ```text
//! register, off ──► RwLock<Arc<Handlers>> ──► Snapshot { inherited, own } ──► an event's handlers
//! ```
//! Whoever calls handlers takes a snapshot first, so that user code runs under no lock and finding them allocates nothing.

use rustc_hash::FxHashMap;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    HandlerError, Socket,
    handler::{
        AnyConnectionHandler, AnyDisconnectHandler, AnyEventHandler, AnyEventMiddleware, AnyMiddleware,
        AnyServerEventHandler,
    },
    observe::OnOutgoing,
    rate_limit::{RateLimit, RateLimits},
    room_event::OnRoomEvent,
};

/// Names a handler that was registered, so that it can be removed: [`Namespace::off`](crate::Namespace::off),
/// [`Socket::off`](crate::Socket::off).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HandlerId(u64);

impl HandlerId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

pub(crate) type OnError = dyn Fn(&Socket, &HandlerError) + Send + Sync;

/// A handler with the id by which it can be removed.
pub(crate) struct Registered<H: ?Sized> {
    pub(crate) id: HandlerId,
    /// It is removed when it is called.
    pub(crate) once: bool,
    pub(crate) handler: Arc<H>,
}

impl<H: ?Sized> Registered<H> {
    pub(crate) fn new(handler: Arc<H>) -> Self {
        Self { id: HandlerId::next(), once: false, handler }
    }
}

impl<H: ?Sized> Clone for Registered<H> {
    fn clone(&self) -> Self {
        Self { id: self.id, once: self.once, handler: self.handler.clone() }
    }
}

/// Handlers of one kind, in the order in which they are called.
pub(crate) type List<H> = Vec<Registered<H>>;

/// Appends a handler to a list.
pub(crate) fn push<H: ?Sized>(list: &mut List<H>, handler: Arc<H>) -> HandlerId {
    let registered = Registered::new(handler);
    let id = registered.id;
    list.push(registered);
    id
}

/// Puts a handler in front of a list.
pub(crate) fn prepend<H: ?Sized>(list: &mut List<H>, handler: Arc<H>) -> HandlerId {
    let registered = Registered::new(handler);
    let id = registered.id;
    list.insert(0, registered);
    id
}

/// Takes a handler out of a list, if it is there.
fn take<H: ?Sized>(list: &mut List<H>, id: HandlerId) -> bool {
    let count = list.len();
    list.retain(|registered| registered.id != id);
    list.len() < count
}

/// Handlers of events: of all, and by name; and the middleware in front of those by name.
#[derive(Clone, Default)]
pub(crate) struct EventHandlers {
    pub(crate) middleware: List<dyn AnyEventMiddleware>,
    pub(crate) any: List<dyn AnyEventHandler>,
    pub(crate) outgoing: List<OnOutgoing>,
    // The names are the application's, whatever clients ask for: no keyed hash is needed.
    named: FxHashMap<String, List<dyn AnyEventHandler>>,
}

impl EventHandlers {
    pub(crate) fn add(&mut self, event: &str, once: bool, handler: Arc<dyn AnyEventHandler>) -> HandlerId {
        let registered = Registered { once, ..Registered::new(handler) };
        let id = registered.id;
        match self.named.get_mut(event) {
            Some(list) => list.push(registered),
            None => _ = self.named.insert(event.to_owned(), vec![registered]),
        }
        id
    }

    pub(crate) fn named(&self, event: &str) -> &[Registered<dyn AnyEventHandler>] {
        self.named.get(event).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn remove(&mut self, id: HandlerId) -> bool {
        let mut removed =
            take(&mut self.any, id) || take(&mut self.middleware, id) || take(&mut self.outgoing, id);
        self.named.retain(|_, list| {
            removed |= take(list, id);
            !list.is_empty()
        });
        removed
    }

    pub(crate) fn remove_event(&mut self, event: &str) -> usize {
        self.named.remove(event).map_or(0, |list| list.len())
    }
}

/// The handlers of a namespace.
#[derive(Clone, Default)]
pub(crate) struct Handlers {
    pub(crate) middleware: List<dyn AnyMiddleware>,
    pub(crate) connection: List<dyn AnyConnectionHandler>,
    pub(crate) upgrade: List<dyn AnyConnectionHandler>,
    pub(crate) rooms: List<OnRoomEvent>,
    pub(crate) disconnecting: List<dyn AnyDisconnectHandler>,
    pub(crate) disconnect: List<dyn AnyDisconnectHandler>,
    pub(crate) events: EventHandlers,
    pub(crate) server_events: HashMap<String, List<dyn AnyServerEventHandler>>,
    pub(crate) error: Option<Arc<OnError>>,
    /// Whether a socket handles one event after the other; `None` as the parent says.
    pub(crate) sequential: Option<bool>,
    pub(crate) rates: RateLimits,
}

impl Handlers {
    pub(crate) fn remove(&mut self, id: HandlerId) -> bool {
        take(&mut self.middleware, id)
            || take(&mut self.connection, id)
            || take(&mut self.upgrade, id)
            || take(&mut self.rooms, id)
            || take(&mut self.disconnecting, id)
            || take(&mut self.disconnect, id)
            || self.events.remove(id)
            || self.server_events.values_mut().any(|list| take(list, id))
    }
}

/// What was registered at one moment: with the parent of a dynamic namespace, and with the namespace itself.
pub(crate) struct Snapshot {
    pub(crate) inherited: Option<Arc<Handlers>>,
    pub(crate) own: Arc<Handlers>,
}

impl Snapshot {
    fn each(&self) -> impl Iterator<Item = &Handlers> {
        self.inherited.as_deref().into_iter().chain([&*self.own])
    }

    pub(crate) fn middleware(&self) -> impl Iterator<Item = &dyn AnyMiddleware> {
        self.each().flat_map(|handlers| &handlers.middleware).map(|registered| &*registered.handler)
    }

    pub(crate) fn connection(&self) -> impl Iterator<Item = &dyn AnyConnectionHandler> {
        self.each().flat_map(|handlers| &handlers.connection).map(|registered| &*registered.handler)
    }

    pub(crate) fn upgrade(&self) -> impl Iterator<Item = &dyn AnyConnectionHandler> {
        self.each().flat_map(|handlers| &handlers.upgrade).map(|registered| &*registered.handler)
    }

    pub(crate) fn outgoing(&self) -> impl Iterator<Item = &OnOutgoing> {
        self.each().flat_map(|handlers| &handlers.events.outgoing).map(|registered| &*registered.handler)
    }

    pub(crate) fn room_events(&self) -> impl Iterator<Item = &OnRoomEvent> {
        self.each().flat_map(|handlers| &handlers.rooms).map(|registered| &*registered.handler)
    }

    pub(crate) fn disconnecting(&self) -> impl Iterator<Item = &dyn AnyDisconnectHandler> {
        self.each().flat_map(|handlers| &handlers.disconnecting).map(|registered| &*registered.handler)
    }

    pub(crate) fn disconnect(&self) -> impl Iterator<Item = &dyn AnyDisconnectHandler> {
        self.each().flat_map(|handlers| &handlers.disconnect).map(|registered| &*registered.handler)
    }

    pub(crate) fn is_sequential(&self) -> bool {
        let inherited = self.inherited.as_ref().and_then(|handlers| handlers.sequential);
        self.own.sequential.or(inherited).unwrap_or(false)
    }

    pub(crate) fn has_rates(&self) -> bool {
        self.each().any(|handlers| handlers.rates.are_set())
    }

    /// The limits of all events together and of this one; the namespace's own come before its parent's.
    pub(crate) fn rates_of(&self, event: &str) -> (Option<&RateLimit>, Option<&RateLimit>) {
        let inherited = self.inherited.as_ref().map(|handlers| &handlers.rates);
        let own = &self.own.rates;
        let all = own.all.as_ref().or_else(|| inherited?.all.as_ref());
        let of_event = own.events.get(event).or_else(|| inherited?.events.get(event));
        (all, of_event)
    }

    pub(crate) fn socket_middleware(&self) -> impl Iterator<Item = &dyn AnyEventMiddleware> {
        self.each().flat_map(|handlers| &handlers.events.middleware).map(|registered| &*registered.handler)
    }

    /// The observers of all events, list after list.
    #[inline]
    pub(crate) fn any(&self) -> [&[Registered<dyn AnyEventHandler>]; 2] {
        [self.inherited.as_deref().map_or(&[], |handlers| &handlers.events.any), &self.own.events.any]
    }

    /// The handlers of an event, list after list.
    #[inline]
    pub(crate) fn named(&self, event: &str) -> [&[Registered<dyn AnyEventHandler>]; 2] {
        let inherited = self.inherited.as_deref().map_or(&[][..], |handlers| handlers.events.named(event));
        [inherited, self.own.events.named(event)]
    }

    pub(crate) fn server_event(&self, event: &str) -> impl Iterator<Item = &dyn AnyServerEventHandler> {
        self.each()
            .flat_map(move |handlers| handlers.server_events.get(event).into_iter().flatten())
            .map(|registered| &*registered.handler)
    }

    /// A namespace's own function comes before its parent's.
    pub(crate) fn error(&self) -> Option<&OnError> {
        let inherited = self.inherited.as_ref().and_then(|handlers| handlers.error.as_deref());
        self.own.error.as_deref().or(inherited)
    }
}
