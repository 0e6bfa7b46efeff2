//! What the sockets, the task and the handles of one client share.

use http::Extensions;
use parking_lot::{Mutex, RwLock};
use sockeye_tokio_websocket::Connector;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

use crate::{
    Config, HandlerError, ManagerEvent, Socket,
    engine::CookieJar,
    handler::Registered,
    mailbox::{Command, Mailbox},
    manager::ManagerTask,
    socket::SocketInner,
    url::Url,
};

pub(crate) type OnError = dyn Fn(&Socket, &HandlerError) + Send + Sync;
pub(crate) type OnManagerEvent = dyn Fn(&ManagerEvent) + Send + Sync;

pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) url: Url,
    pub(crate) connector: Connector,
    pub(crate) mailbox: Mailbox,
    pub(crate) state: Extensions,
    pub(crate) on_error: Option<Box<OnError>>,
    pub(crate) observers: RwLock<Arc<Vec<Registered<OnManagerEvent>>>>,
    pub(crate) cookies: Mutex<CookieJar>,
    /// Whether the last connection succeeded with WebSocket.
    pub(crate) websocket_worked: AtomicBool,
    /// The handles, while there are any.
    pub(crate) handle: OnceLock<Weak<Handle>>,
    started: AtomicBool,
    epoch: Instant,
}

impl Core {
    pub(crate) fn new(
        config: Config,
        url: Url,
        connector: Connector,
        state: Extensions,
        on_error: Option<Box<OnError>>,
    ) -> Self {
        Self {
            mailbox: Mailbox::new(config.max_buffer_len),
            config,
            url,
            connector,
            state,
            on_error,
            observers: RwLock::default(),
            cookies: Mutex::default(),
            websocket_worked: AtomicBool::new(false),
            handle: OnceLock::new(),
            started: AtomicBool::new(false),
            epoch: Instant::now(),
        }
    }

    /// The time, as the state machines count it.
    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// The moment `now` in the runtime's terms.
    pub(crate) fn instant(&self, now: Duration) -> Option<Instant> {
        self.epoch.checked_add(now)
    }

    /// Starts the client's task, if it was not started.
    pub(crate) fn start(self: &Arc<Self>) {
        if !self.started.swap(true, Ordering::AcqRel) {
            tokio::spawn(ManagerTask::new(self.clone()));
        }
    }

    pub(crate) fn observe(&self, event: &ManagerEvent) {
        let observers = self.observers.read().clone();
        for observer in &*observers {
            (observer.handler)(event);
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("url", &self.url.authority).finish_non_exhaustive()
    }
}

/// What all handles of a client hold together. When the last one is dropped, the client ends.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) core: Arc<Core>,
    pub(crate) sockets: Mutex<HashMap<String, Arc<SocketInner>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let sockets = std::mem::take(self.sockets.get_mut());
        for socket in sockets.values() {
            socket.abandon();
        }
        self.core.mailbox.command(Command::Abandoned);
    }
}
