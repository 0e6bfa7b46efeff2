//! Timers of an open connection: Pings to a silent peer, and the end of one that stays silent or idle.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// Pings to a peer from which nothing came for a while (RFC 6455 §5.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// After how long a silence of the peer it is asked for a sign of life. Default 20 s, below the minute after
    /// which common proxies drop a silent connection.
    pub interval: Duration,
    /// How long it may take to answer: with the Pong to this very Ping, with a message, or with more of a frame under
    /// way, within which there can be no Pong. Anew whenever it takes a part of what precedes the Ping. Default 20 s;
    /// then the connection is dropped.
    pub timeout: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { interval: Duration::from_secs(20), timeout: Duration::from_secs(20) }
    }
}

/// What has come due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Send a Ping with this payload.
    Ping([u8; NONCE_LEN]),
    /// The peer gave no sign of life.
    Dead,
    /// No message went either way.
    Idle,
}

/// Enough that nobody answers a Ping that it did not see.
pub(crate) const NONCE_LEN: usize = 8;

/// ```text
///              silent for `interval`: Ping                   no answer for `timeout`
/// ┌────────┐ ──────────────────────────► ┌────────────────┐ ───────────────────────► Dead
/// │ Silent │                             │ AnswerExpected │
/// └────────┘ ◄────────────────────────── └────────────────┘
///               its Pong, or a message
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Silent,
    AnswerExpected([u8; NONCE_LEN]),
}

/// The timers of one connection, behind a box: a connection without them pays a null pointer.
#[derive(Debug)]
pub(crate) struct Timers {
    keepalive: Option<Keepalive>,
    idle_timeout: Option<Duration>,
    waiting: Waiting,
    /// When the present wait began.
    since: Instant,
    /// When the last message went either way.
    active_at: Instant,
    /// Whether a sign of life came, or a message went, since the timers were looked at.
    alive: bool,
    active: bool,
    /// How many reads brought something after a deadline had passed.
    late_count: u32,
    /// Whether nothing is read because the peer does not read.
    stalled: bool,
    sleep: Pin<Box<Sleep>>,
}

impl Timers {
    pub(crate) fn new(keepalive: Option<Keepalive>, idle_timeout: Option<Duration>) -> Option<Box<Self>> {
        if keepalive.is_none() && idle_timeout.is_none() {
            return None;
        }
        let now = Instant::now();
        let mut timers = Self {
            keepalive,
            idle_timeout,
            waiting: Waiting::Silent,
            since: now,
            active_at: now,
            alive: false,
            active: false,
            late_count: 0,
            stalled: false,
            sleep: Box::pin(sleep_until(now)),
        };
        let next = timers.next_deadline();
        timers.sleep.as_mut().reset(next);
        Some(Box::new(timers))
    }

    /// A message came, or more of one went either way.
    #[inline]
    pub(crate) const fn message(&mut self) {
        self.alive = true;
        self.active = true;
    }

    /// A control frame came: only the Pong to our Ping, or a frame before there was one, is a sign of life.
    pub(crate) fn control(&mut self, pong: Option<&[u8]>) {
        self.alive |= match (self.waiting, pong) {
            (Waiting::Silent, _) => true,
            (Waiting::AnswerExpected(nonce), Some(payload)) => payload == nonce,
            (Waiting::AnswerExpected(_), None) => false,
        };
    }

    /// A message was sent.
    pub(crate) fn sent(&mut self, at: Instant) {
        self.active_at = self.active_at.max(at);
    }

    /// Nothing is read until the peer reads.
    pub(crate) const fn stalled(&mut self) {
        // What it may have answered until now lies in the transport.
        self.alive |= !self.stalled;
        self.stalled = true;
    }

    /// Something was read although a deadline has passed: it may have come before, while nobody received. Tells
    /// whether that is over.
    pub(crate) const fn is_too_late(&mut self) -> bool {
        self.late_count += 1;
        self.late_count > MAX_LATE_COUNT
    }

    /// Reading goes on.
    pub(crate) const fn resume(&mut self) {
        self.stalled = false;
    }

    /// Waits for the next deadline that comes due. [`Due::Dead`] and [`Due::Idle`] stay due.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        if self.alive || self.active {
            let now = Instant::now();
            if std::mem::take(&mut self.alive) {
                self.since = now;
                self.waiting = Waiting::Silent;
            }
            if std::mem::take(&mut self.active) {
                self.active_at = now;
            }
        }
        loop {
            let next = self.next_deadline();
            // It is put off only when it fires, for most of what comes puts it off again. A new wait may end sooner.
            if next < self.sleep.deadline() {
                self.sleep.as_mut().reset(next);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                self.late_count = 0;
                return Poll::Pending;
            }
            let now = Instant::now();
            if now < next {
                self.sleep.as_mut().reset(next);
                continue;
            }
            if let Some(due) = self.due(now) {
                return Poll::Ready(due);
            }
        }
    }

    fn due(&mut self, now: Instant) -> Option<Due> {
        if self.idle_deadline().is_some_and(|deadline| deadline <= now) {
            return Some(Due::Idle);
        }
        if self.keepalive_deadline().is_none_or(|deadline| deadline > now) {
            return None;
        }
        if self.waiting != Waiting::Silent {
            return Some(Due::Dead);
        }
        let mut nonce = [0; NONCE_LEN];
        // Without random numbers the time still is nothing that a peer would guess by accident.
        if getrandom::fill(&mut nonce).is_err() {
            let elapsed = self.active_at.elapsed().as_nanos().to_le_bytes();
            nonce.copy_from_slice(&elapsed[..NONCE_LEN]);
        }
        self.waiting = Waiting::AnswerExpected(nonce);
        self.since = now;
        Some(Due::Ping(nonce))
    }

    fn idle_deadline(&self) -> Option<Instant> {
        self.idle_timeout.map(|timeout| after(self.active_at, timeout))
    }

    fn keepalive_deadline(&self) -> Option<Instant> {
        let keepalive = self.keepalive?;
        Some(match self.waiting {
            Waiting::Silent => after(self.since, keepalive.interval),
            Waiting::AnswerExpected(_) => after(self.since, keepalive.timeout),
        })
    }

    fn next_deadline(&self) -> Instant {
        match (self.keepalive_deadline(), self.idle_deadline()) {
            (Some(keepalive), Some(idle)) => keepalive.min(idle),
            (deadline, None) | (None, deadline) => deadline.unwrap_or(self.since + FAR),
        }
    }
}

/// How many reads may bring something after a deadline before it counts: more than transports hold, so that whoever
/// received late finds the answer that had come in time, and a flood does not put the end off for ever.
const MAX_LATE_COUNT: u32 = 256;

/// Longer than any connection lives.
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn after(start: Instant, time: Duration) -> Instant {
    start + time.min(FAR)
}
