//! The task of one client: it connects, reads, writes, watches the heartbeat, reconnects, and runs the handlers.
//!
//! ```text
//!  commands ─┐                           ┌─► Router (Socket.IO) ─► handlers
//!  packets  ─┼─► ManagerTask::poll ──────┼─► Connection: POST, or one write
//!  server   ─┤                           └─► timer
//!  timer    ─┘
//! ```
//! Every round does what can be done without waiting; the task sleeps when a whole round found nothing.

mod dispatch;
mod incoming;
mod router;

use futures_util::{StreamExt, stream::FuturesUnordered};
use sockeye_engineio::{ClientEvent, CloseReason, Transport};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Sleep, sleep},
};

use self::router::Router;
use crate::{
    ConnectError, DisconnectReason, ManagerEvent, TransportError,
    backoff::{Backoff, random},
    core::Core,
    engine::Connection,
    handler::BoxFuture,
    mailbox::Command,
    trace::debug,
};

/// How many rounds a task runs before it lets others run.
const ROUND_COUNT: usize = 16;

/// Where the connection is in its life.
///
/// ```text
///        a socket opens               open packet
///  Idle ───────────────► Connecting ─────────────► Open
///   ▲                     │  ▲   │                  │
///   │         failed, or  │  │   │ failed           │ lost
///   │         no socket   │  │   ▼                  │
///   │         is left     │  └─ Waiting ◄───────────┤
///   └─────────────────────┴─────────────────────────┘
/// ```
enum Link {
    Idle,
    /// For the next attempt.
    Waiting {
        until: Duration,
    },
    Connecting {
        connection: Box<Connection>,
        deadline: Option<Duration>,
        /// The transports that are tried when this one fails.
        others: Vec<Transport>,
    },
    Open(Box<Connection>),
}

/// The task of one client.
pub(crate) struct ManagerTask {
    core: Arc<Core>,
    link: Link,
    router: Router,
    backoff: Backoff,
    /// The attempt that is under way, if it is one to reconnect.
    attempt: Option<u32>,
    /// Connections on their way to a clean end.
    leaving: FuturesUnordered<BoxFuture<()>>,
    /// Who waits for it.
    closing: Vec<oneshot::Sender<()>>,
    timer: Pin<Box<Sleep>>,
    timer_at: Duration,
    abandoned: bool,
}

impl ManagerTask {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        let config = &core.config;
        let backoff = Backoff::new(
            config.reconnection_delay,
            config.reconnection_delay_max,
            config.randomization_factor,
        );
        Self {
            router: Router::new(core.clone()),
            core,
            link: Link::Idle,
            backoff,
            attempt: None,
            leaving: FuturesUnordered::new(),
            closing: Vec::new(),
            timer: Box::pin(sleep(Duration::ZERO)),
            timer_at: Duration::ZERO,
            abandoned: false,
        }
    }

    fn run(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUND_COUNT {
            let now = self.core.now();
            let mut progress = self.run_commands(now);
            progress |= self.run_link(now, cx);
            progress |= self.router.run(cx);
            progress |= self.router.check_deadlines(now) && self.lose(CloseReason::ParseError, now);
            progress |= self.close_unused();
            progress |= self.run_timer(now, cx);
            progress |= self.run_leaving(cx);
            if self.abandoned && self.leaving.is_empty() && matches!(self.link, Link::Idle) {
                self.router.finish();
                return Poll::Ready(());
            }
            if !progress {
                let (busy, writable) = match &self.link {
                    Link::Idle | Link::Waiting { .. } => (true, false),
                    Link::Connecting { connection, .. } | Link::Open(connection) => connection.backlog(),
                };
                if self.core.mailbox.park(cx.waker(), busy, writable) {
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn run_commands(&mut self, now: Duration) -> bool {
        let commands = self.core.mailbox.take_commands();
        let any = !commands.is_empty();
        for command in commands {
            match command {
                Command::Open(socket) => {
                    let open = matches!(self.link, Link::Open(_));
                    self.router.join(socket, open);
                    if matches!(self.link, Link::Idle) {
                        self.connect(now);
                    }
                }
                Command::Leave(socket) => {
                    self.router.leave(&socket);
                    // Also when it is opened again at once: on the old connection the new CONNECT could overtake the
                    // server's clean-up, which official servers take for a violation.
                    self.close_unused();
                }
                Command::Close(done) => {
                    self.router.leave_all();
                    self.closing.push(done);
                }
                Command::Abandoned => {
                    self.abandoned = true;
                    self.router.abandon();
                }
            }
        }
        any
    }

    /// Begins an attempt.
    fn connect(&mut self, now: Duration) {
        let config = &self.core.config;
        let mut transports = config.transports.clone();
        if config.remember_upgrade
            && self.core.websocket_worked.load(Ordering::Relaxed)
            && transports.contains(&Transport::WebSocket)
        {
            transports.retain(|transport| *transport != Transport::WebSocket);
            transports.insert(0, Transport::WebSocket);
        }
        if !config.try_all_transports {
            transports.truncate(1);
        }
        let deadline = now.checked_add(config.timeout);
        self.try_next(transports, deadline);
    }

    /// Tries the first of these transports.
    fn try_next(&mut self, mut others: Vec<Transport>, deadline: Option<Duration>) {
        if others.is_empty() {
            return;
        }
        let connection = Box::new(Connection::open(self.core.clone(), others.remove(0)));
        self.link = Link::Connecting { connection, deadline, others };
    }

    fn run_link(&mut self, now: Duration, cx: &mut Context<'_>) -> bool {
        let (Link::Connecting { connection, .. } | Link::Open(connection)) = &mut self.link else {
            return false;
        };
        let mut progress = connection.run(&mut self.router, now, cx);
        while let Link::Connecting { connection, .. } | Link::Open(connection) = &mut self.link {
            let Some(event) = connection.poll_event() else { break };
            progress = true;
            match event {
                ClientEvent::Opened => self.opened(),
                ClientEvent::Pinged => self.core.observe(&ManagerEvent::Ping),
                ClientEvent::Upgraded => self.core.observe(&ManagerEvent::Upgrade(Transport::WebSocket)),
                ClientEvent::Closed(reason) => {
                    self.lose(reason, now);
                }
                // The connection's own business.
                ClientEvent::OpenProbe | ClientEvent::PausePolling | ClientEvent::UpgradeFailed => {}
            }
        }
        progress
    }

    fn opened(&mut self) {
        self.link = match std::mem::replace(&mut self.link, Link::Idle) {
            Link::Connecting { connection, .. } => Link::Open(connection),
            link => link,
        };
        self.backoff.reset();
        self.core.observe(&ManagerEvent::Open);
        if let Some(attempt) = self.attempt.take() {
            self.core.observe(&ManagerEvent::Reconnect(attempt));
        }
        self.router.opened();
    }

    /// The connection ended, or could not be made. Always `true`.
    fn lose(&mut self, reason: CloseReason, now: Duration) -> bool {
        match std::mem::replace(&mut self.link, Link::Idle) {
            link @ (Link::Idle | Link::Waiting { .. }) => self.link = link,
            Link::Connecting { mut connection, deadline, others } => {
                let failure = connection.take_failure().unwrap_or(TransportError::NotOpened);
                drop(connection);
                if others.is_empty() {
                    self.failed(&ConnectError::Transport(failure), now);
                } else {
                    self.try_next(others, deadline);
                }
            }
            Link::Open(connection) => {
                let reason = DisconnectReason::from(reason);
                debug!(target: "sockeye_client::manager", reason = %reason, "connection lost");
                self.router.lost(reason);
                self.leaving.push(connection.abandon());
                self.core.observe(&ManagerEvent::Close(reason));
                self.retry(now);
            }
        }
        true
    }

    /// An attempt failed.
    fn failed(&mut self, error: &ConnectError, now: Duration) {
        debug!(target: "sockeye_client::manager", error = %error, "cannot connect");
        self.link = Link::Idle;
        self.core.observe(&ManagerEvent::Error(error.clone()));
        self.router.connect_error(error);
        if self.attempt.take().is_some() {
            self.core.observe(&ManagerEvent::ReconnectError(error.clone()));
        }
        self.retry(now);
    }

    /// Waits for the next attempt, if there is to be one.
    fn retry(&mut self, now: Duration) {
        let config = &self.core.config;
        if self.router.is_empty() {
            return;
        }
        if !config.reconnection {
            self.router.give_up();
        } else if config.reconnection_attempts.is_some_and(|max| self.backoff.attempt_count() >= max) {
            self.backoff.reset();
            self.router.give_up();
            self.core.observe(&ManagerEvent::ReconnectFailed);
        } else {
            let wait = self.backoff.next(random());
            self.link = Link::Waiting { until: now.saturating_add(wait) };
        }
    }

    /// Closes a connection that no socket needs any more.
    fn close_unused(&mut self) -> bool {
        if !self.router.is_empty() || matches!(self.link, Link::Idle) {
            return false;
        }
        self.backoff.reset();
        self.attempt = None;
        match std::mem::replace(&mut self.link, Link::Idle) {
            Link::Idle | Link::Waiting { .. } => {}
            Link::Connecting { connection, .. } => self.leaving.push(connection.close()),
            Link::Open(connection) => {
                debug!(target: "sockeye_client::manager", "closing the connection");
                self.leaving.push(connection.close());
                self.core.observe(&ManagerEvent::Close(DisconnectReason::IoClientDisconnect));
            }
        }
        self.core.mailbox.clear();
        true
    }

    fn run_timer(&mut self, now: Duration, cx: &mut Context<'_>) -> bool {
        let link = match &self.link {
            Link::Idle => None,
            Link::Waiting { until } => Some(*until),
            Link::Connecting { deadline, .. } => *deadline,
            Link::Open(connection) => connection.poll_timeout(),
        };
        let Some(at) = [link, self.router.deadline()].into_iter().flatten().min() else { return false };
        if at <= now {
            self.link_timeout(now);
            return true;
        }
        if at != self.timer_at
            && let Some(instant) = self.core.instant(at)
        {
            self.timer_at = at;
            self.timer.as_mut().reset(instant);
        }
        self.timer.as_mut().poll(cx).is_ready()
    }

    fn link_timeout(&mut self, now: Duration) {
        match &mut self.link {
            Link::Waiting { until } if *until <= now => {
                let attempt = self.backoff.attempt_count();
                self.attempt = Some(attempt);
                self.core.observe(&ManagerEvent::ReconnectAttempt(attempt));
                self.connect(now);
            }
            Link::Connecting { deadline: Some(deadline), .. } if *deadline <= now => {
                self.failed(&ConnectError::Timeout, now);
            }
            Link::Open(connection) => connection.handle_timeout(now),
            Link::Idle | Link::Waiting { .. } | Link::Connecting { .. } => {}
        }
    }

    fn run_leaving(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Poll::Ready(Some(())) = self.leaving.poll_next_unpin(cx) {
            progress = true;
        }
        if self.leaving.is_empty() && !self.closing.is_empty() && matches!(self.link, Link::Idle) {
            for done in std::mem::take(&mut self.closing) {
                let _ = done.send(());
            }
        }
        progress
    }
}

impl Future for ManagerTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().run(cx)
    }
}
