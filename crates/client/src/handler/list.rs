//! The handlers of a socket: what is registered, in order, and how it is found.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sockeye_socketio::Args;

use super::{AnyConnectErrorHandler, AnyConnectHandler, AnyDisconnectHandler, AnyEventHandler};
use crate::stream::Subscriber;

/// Names a handler that was registered, so that it can be removed: [`Socket::off`](crate::Socket::off).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HandlerId(u64);

impl HandlerId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// An observer of what is emitted: name and arguments.
pub(crate) type OnOutgoing = dyn Fn(&str, Args<'_>) + Send + Sync;

/// A handler with the id by which it can be removed.
pub(crate) struct Registered<H: ?Sized> {
    pub(crate) id: HandlerId,
    /// It is removed when it is called.
    pub(crate) once: bool,
    pub(crate) handler: Arc<H>,
}

impl<H: ?Sized> Registered<H> {
    pub(crate) fn new(handler: Arc<H>, once: bool) -> Self {
        Self { id: HandlerId::next(), once, handler }
    }
}

impl<H: ?Sized> Clone for Registered<H> {
    fn clone(&self) -> Self {
        Self { id: self.id, once: self.once, handler: self.handler.clone() }
    }
}

type List<H> = Vec<Registered<H>>;

/// All that a socket calls. Taken as a whole to be changed, and shared while it is called, so that user code runs under no
/// lock.
#[derive(Default, Clone)]
pub(crate) struct Handlers {
    pub(crate) any: List<dyn AnyEventHandler>,
    pub(crate) named: HashMap<String, List<dyn AnyEventHandler>>,
    pub(crate) outgoing: List<OnOutgoing>,
    pub(crate) connect: List<dyn AnyConnectHandler>,
    pub(crate) connect_error: List<dyn AnyConnectErrorHandler>,
    pub(crate) disconnect: List<dyn AnyDisconnectHandler>,
    pub(crate) subscribers: Vec<Subscriber>,
}

impl Handlers {
    /// Removes one handler; `false` when it is not there.
    pub(crate) fn remove(&mut self, id: HandlerId) -> bool {
        fn take<H: ?Sized>(list: &mut List<H>, id: HandlerId) -> bool {
            let count = list.len();
            list.retain(|registered| registered.id != id);
            list.len() < count
        }
        let mut found = take(&mut self.any, id)
            || take(&mut self.outgoing, id)
            || take(&mut self.connect, id)
            || take(&mut self.connect_error, id)
            || take(&mut self.disconnect, id);
        if !found {
            found = self.named.values_mut().any(|list| take(list, id));
            self.named.retain(|_, list| !list.is_empty());
        }
        found
    }
}
