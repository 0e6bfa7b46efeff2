//! The server's session: heartbeat, upgrade and close, as a state machine without I/O and without a clock.
//!
//! The driver owns the transports and the queue of packets to send. It tells the session what happens
//! (`receive*`, `probe_*`, `handle_*`, [`set_poll_pending`](Session::set_poll_pending),
//! [`close`](Session::close)) and after each of these does what the session wants, in this order:
//!
//! 1. [`poll_transmit`](Session::poll_transmit) until `None`: control packets to send, after what is queued already;
//! 2. [`poll_event`](Session::poll_event) until `None`: what the driver has to act on;
//! 3. [`poll_timeout`](Session::poll_timeout): when to call [`handle_timeout`](Session::handle_timeout).
//!
//! Messages to send do not pass through the session. It hands out control packets only, so a driver may share
//! one encoded message among many sessions.
//!
//! **Time** is a [`Duration`] since an epoch that the driver chooses, such as the start of the process, and
//! that must not change. It may stand still. The session counts up to 584 years from the epoch.

mod compact;
mod event;

use core::time::Duration;

use crate::close::CloseReason;
use crate::packet::Packet;
use crate::request::Revision;
use crate::transport::Transport;

use compact::{BitSet, Instant, Millis};

pub use event::{Message, ProbeProgress, ProbeRefused, SessionEvent, Transmit};

/// The data of the ping and of the pong on a transport that is probed.
const PROBE: &str = "probe";

/// How often a waiting poll is ended while a WebSocket is probed.
const NOOP_INTERVAL: Duration = Duration::from_millis(100);

/// The times of a session. Each is rounded up to whole milliseconds, and capped at 49 days.
///
/// ```
/// use core::time::Duration;
/// use sockeye_engineio::SessionConfig;
///
/// let config = SessionConfig { ping_interval: Duration::from_secs(5), ..SessionConfig::default() };
/// assert_eq!(config.ping_timeout, Duration::from_secs(20));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// How long after the session opened, and after each pong, a ping is sent. Default 25 s. Less finds dead
    /// peers sooner and costs traffic; a proxy that cuts idle connections sets the upper limit.
    pub ping_interval: Duration,
    /// How long a pong may take. Default 20 s. The session closes with [`CloseReason::PingTimeout`] after it.
    pub ping_timeout: Duration,
    /// How long an upgrade may take from when the WebSocket opened. Default 10 s. That WebSocket is closed
    /// after it, and the session goes on over polling.
    pub upgrade_timeout: Duration,
    /// How long a session on polling that the application closed waits for the poll that takes the close
    /// packet. Default 30 s, as in the official server. It is closed without telling the peer after it.
    pub polling_close_timeout: Duration,
    /// Which revision the peer speaks. Default 4. In revision 3 the peer pings, and the session waits
    /// [`ping_interval`](Self::ping_interval) and [`ping_timeout`](Self::ping_timeout) together for it.
    pub revision: Revision,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            polling_close_timeout: Duration::from_secs(30),
            revision: Revision::V4,
        }
    }
}

/// The life of a session.
///
/// ```text
///        close() on a WebSocket, or while a poll waits
///        the peer closes, fails or does not answer
///  ┌──────┐ ────────────────────────────────────────────> ┌────────┐
///  │ Open │                                               │ Closed │
///  └──────┘ ── close() ──> ┌─────────┐ ── next poll ────> └────────┘
///           on polling     │ Closing │    upgraded, time-out,
///                          └─────────┘    the peer closes or fails
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// Messages flow.
    Open,
    /// The application closed the session, which is on polling and waits for the poll to say so. What the
    /// peer still sends is dropped.
    Closing,
    /// The session is over, for this reason.
    Closed(CloseReason),
}

/// The heartbeat while the session is open.
///
/// ```text
///   ┌──────┐ ── ping_interval over: send `2` ──> ┌──────────────┐ ── ping_timeout over ──> closed
///   │ Idle │ <───────────── pong ─────────────── │ AwaitingPong │
///   └──────┘ <──────┐                            └──────────────┘
///    pong: again    │                                    │ any other packet: ping_timeout again
///                   │     ┌──────────────────────┐ <─────┘
///                   └─────│ AwaitingPongExtended │ ── ping_timeout over ──> closed
///                   pong  └──────────────────────┘
///
///   revision 3:  ┌──────────────┐ ── ping_interval and ping_timeout over ──> closed
///                │ AwaitingPing │ <──┐
///                └──────────────┘ ───┘ ping: send `3`
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heartbeat {
    /// `deadline` is when the next ping goes out.
    Idle,
    /// `deadline` is when the pong is too late.
    AwaitingPong,
    /// As `AwaitingPong`, and the wait cannot be extended again.
    AwaitingPongExtended,
    /// Revision 3, where the peer pings. `deadline` is when its ping is too late.
    AwaitingPing,
}

/// The upgrade of a session on polling.
///
/// ```text
///   ┌──────┐ ── probe_opened ──> ┌────────┐ ── 2probe ──> ┌────────┐ ──┐ 2probe: answered again
///   │ None │                     │ Opened │               │ Probed │ <─┘
///   └──────┘ <── other packet, ──┴────────┘               └────────┘
///      ^         time-out, closed    │ 5                    │   │ 5
///      └─────────────────────────────│──────────────────────┘   │
///                                    └──────────────────────────┴──> on the WebSocket, None
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// No WebSocket is probed.
    None,
    /// A WebSocket is open and has sent nothing.
    Opened,
    /// The probe was received, and polls are ended every [`NOOP_INTERVAL`].
    Probed,
}

/// A session, server side. See the [crate] documentation for an example, and below for the order of calls.
///
/// - The driver calls `receive*` for what arrives, `probe_*` for a second transport, `handle_timeout` when
///   [`poll_timeout`](Self::poll_timeout) is reached, and `handle_transport_closed` when the current transport ends.
/// - After each call it drains [`poll_transmit`](Self::poll_transmit), then [`poll_event`](Self::poll_event), then arms
///   its timer for [`poll_timeout`](Self::poll_timeout).
///
/// ```
/// use core::time::Duration;
/// use sockeye_engineio::{CloseReason, Session, SessionConfig, SessionEvent, Transmit, Transport};
///
/// let mut session = Session::new(&SessionConfig::default(), Transport::WebSocket, Duration::ZERO);
/// let ping_at = session.poll_timeout().unwrap();
/// session.handle_timeout(ping_at);
/// assert_eq!(session.poll_transmit(), Some(Transmit::Ping));
///
/// // The peer does not answer.
/// let too_late = session.poll_timeout().unwrap();
/// assert_eq!(too_late, ping_at + Duration::from_secs(20));
/// session.handle_timeout(too_late);
/// assert_eq!(session.poll_event(), Some(SessionEvent::Closed(CloseReason::PingTimeout)));
/// ```
#[derive(Debug, Clone)]
pub struct Session {
    /// When `heartbeat` acts; while closing, when the wait for a poll ends.
    deadline: Instant,
    /// When the probed WebSocket is given up.
    probe_deadline: Instant,
    /// The earliest time to end a waiting poll while probing.
    noop_at: Instant,
    ping_interval: Millis,
    ping_timeout: Millis,
    upgrade_timeout: Millis,
    polling_close_timeout: Millis,
    state: SessionState,
    heartbeat: Heartbeat,
    probe: Probe,
    transport: Transport,
    poll_pending: bool,
    transmits: BitSet,
    events: BitSet,
}

impl Session {
    /// A session that opens now on `transport`. The driver sends the open packet.
    #[must_use]
    pub fn new(config: &SessionConfig, transport: Transport, now: Duration) -> Self {
        let ping_interval = Millis::new(config.ping_interval);
        let mut session = Self {
            deadline: Instant::new(now).after(ping_interval),
            probe_deadline: Instant::default(),
            noop_at: Instant::default(),
            ping_interval,
            ping_timeout: Millis::new(config.ping_timeout),
            upgrade_timeout: Millis::new(config.upgrade_timeout),
            polling_close_timeout: Millis::new(config.polling_close_timeout),
            state: SessionState::Open,
            heartbeat: Heartbeat::Idle,
            probe: Probe::None,
            transport,
            poll_pending: false,
            transmits: BitSet::default(),
            events: BitSet::default(),
        };
        if config.revision == Revision::V3 {
            session.await_ping(now);
        }
        session
    }

    /// Takes a packet from the current transport. Messages are handed through; the rest is consumed. After
    /// the session was closed, by either side, packets are dropped.
    ///
    /// # Errors
    ///
    /// The packet closed the session: the peer said so, or it sent a ping, which in revision 4 only the server does, or
    /// in revision 3 a pong. What follows in the same payload is not to be read. [`poll_event`](Self::poll_event) has
    /// the same reason.
    pub fn receive<'a>(
        &mut self,
        packet: Packet<'a>,
        now: Duration,
    ) -> Result<Option<Message<'a>>, CloseReason> {
        if matches!(self.state, SessionState::Closed(_)) {
            return Ok(None);
        }
        match packet {
            Packet::Close => return Err(self.finish(CloseReason::TransportClose, Transmit::Noop)),
            _ if self.state == SessionState::Closing => {}
            Packet::Ping(_) if self.heartbeat == Heartbeat::AwaitingPing => {
                self.transmits.insert(Transmit::Pong as u8);
                self.await_ping(now);
            }
            Packet::Pong(_) if self.heartbeat != Heartbeat::AwaitingPing => self.receive_pong(now),
            Packet::Ping(_) | Packet::Pong(_) => {
                return Err(self.finish(CloseReason::TransportError, Transmit::Close));
            }
            Packet::Text(text) => return Ok(self.receive_message(now).then_some(Message::Text(text))),
            Packet::Binary(bytes) => return Ok(self.receive_message(now).then_some(Message::Binary(bytes))),
            Packet::Open(_) | Packet::Upgrade | Packet::Noop => self.extend_wait(now),
        }
        Ok(None)
    }

    /// The part of [`receive`](Self::receive) that concerns a message, for a driver that knows already that
    /// it has one, as with a WebSocket binary message. Tells whether the message is to be delivered; it is
    /// not once the session was closed.
    #[must_use = "a message that arrives after the close is to be dropped"]
    pub fn receive_message(&mut self, now: Duration) -> bool {
        if self.state != SessionState::Open {
            return false;
        }
        self.extend_wait(now);
        true
    }

    /// Tells that a WebSocket opened with the id of this session. Its packets go to
    /// [`receive_probe`](Self::receive_probe) until the upgrade.
    ///
    /// # Errors
    ///
    /// It cannot upgrade the session and is to be closed.
    pub fn probe_opened(&mut self, now: Duration) -> Result<(), ProbeRefused> {
        if self.is_closed() {
            return Err(ProbeRefused::Closed);
        }
        if self.transport != Transport::Polling {
            return Err(ProbeRefused::NotPolling);
        }
        if self.is_upgrading() {
            return Err(ProbeRefused::Upgrading);
        }
        self.probe = Probe::Opened;
        self.probe_deadline = Instant::new(now).after(self.upgrade_timeout);
        Ok(())
    }

    /// Takes a packet from the WebSocket that is probed. What cannot be decoded there is reported with
    /// [`probe_closed`](Self::probe_closed) instead.
    pub fn receive_probe(&mut self, packet: Packet<'_>, now: Duration) -> ProbeProgress {
        if !self.is_upgrading() {
            return ProbeProgress::Refused;
        }
        match packet {
            Packet::Ping(PROBE) => {
                self.probe = Probe::Probed;
                self.noop_at = Instant::new(now).after(Millis::new(NOOP_INTERVAL));
                self.transmits.insert(Transmit::ProbePong as u8);
                ProbeProgress::Probed
            }
            Packet::Upgrade => {
                self.upgrade(now);
                ProbeProgress::Upgraded
            }
            _ => {
                self.probe_closed();
                ProbeProgress::Refused
            }
        }
    }

    /// Tells that the WebSocket that is probed ended, or sent something that is no packet. The session goes
    /// on over polling. Does nothing when no WebSocket is probed.
    pub fn probe_closed(&mut self) {
        if !self.is_upgrading() {
            return;
        }
        self.probe = Probe::None;
        self.transmits.remove(Transmit::ProbePong as u8);
        self.transmits.remove(Transmit::Noop as u8);
    }

    /// Tells whether a poll (`GET`) waits for an answer. That is the case when one came and nothing is queued
    /// for it: the driver calls this with `true` then, and with `false` once it was answered or is gone. A
    /// driver that has little queued may say `true` before it answers the poll, to send what
    /// [`poll_transmit`](Self::poll_transmit) has along. `true` is ignored on a WebSocket and after the end.
    pub fn set_poll_pending(&mut self, pending: bool) {
        if pending && (self.is_closed() || self.transport != Transport::Polling) {
            return;
        }
        self.poll_pending = pending;
        if pending && self.state == SessionState::Closing {
            self.finish(CloseReason::ForcedClose, Transmit::Close);
        }
    }

    /// Tells that time has passed. To be called when [`poll_timeout`](Self::poll_timeout) is reached; sooner
    /// does nothing, later does once what is overdue.
    pub fn handle_timeout(&mut self, now: Duration) {
        let instant = Instant::new(now);
        match self.state {
            SessionState::Closed(_) => return,
            SessionState::Closing if self.deadline <= instant => {
                self.finish(CloseReason::ForcedClose, Transmit::Close);
                return;
            }
            SessionState::Open if self.deadline <= instant => self.heartbeat_due(instant),
            SessionState::Open | SessionState::Closing => {}
        }
        if self.is_upgrading() && self.probe_deadline <= instant {
            self.probe_closed();
            self.events.insert(PROBE_TIMED_OUT);
        }
        if self.noop_due().is_some_and(|due| due <= instant) {
            self.noop_at = instant.after(Millis::new(NOOP_INTERVAL));
            self.transmits.insert(Transmit::Noop as u8);
        }
    }

    /// Tells that the current transport ended, and why: [`TransportClose`](CloseReason::TransportClose) for
    /// an orderly end, [`TransportError`](CloseReason::TransportError) for a failure, a second poll or an
    /// aborted request, [`ParseError`](CloseReason::ParseError) for what is no packet,
    /// [`ServerShuttingDown`](CloseReason::ServerShuttingDown) for a server that closes it at once. A poll
    /// that waits gets [`Transmit::Close`], unless it was reported as gone before.
    pub fn handle_transport_closed(&mut self, reason: CloseReason, _now: Duration) {
        self.finish(reason, Transmit::Close);
    }

    /// Closes the session for the application, with [`CloseReason::ForcedClose`]. On a WebSocket, and while a
    /// poll waits, that is at once; else with the next poll, or after
    /// [`SessionConfig::polling_close_timeout`].
    pub fn close(&mut self, now: Duration) {
        if self.state != SessionState::Open {
            return;
        }
        if self.transport != Transport::Polling || self.poll_pending {
            self.finish(CloseReason::ForcedClose, Transmit::Close);
        } else {
            self.state = SessionState::Closing;
            self.deadline = Instant::new(now).after(self.polling_close_timeout);
        }
    }

    /// The next control packet to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        if !self.poll_pending {
            // The poll got another answer meanwhile, or is gone.
            self.transmits.remove(Transmit::Noop as u8);
            self.transmits.remove(Transmit::Close as u8);
        }
        let all = [Transmit::ProbePong, Transmit::Ping, Transmit::Pong, Transmit::Noop, Transmit::Close];
        self.transmits.pop().and_then(|bit| all.get(usize::from(bit)).copied())
    }

    /// The next event. To be called after [`poll_transmit`](Self::poll_transmit): what was not taken from
    /// there before [`SessionEvent::Closed`] is gone.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        let bit = self.events.pop()?;
        match (bit, self.state) {
            (PROBE_TIMED_OUT, _) => Some(SessionEvent::ProbeTimedOut),
            (UPGRADED, _) => Some(SessionEvent::Upgraded),
            (_, SessionState::Closed(reason)) => {
                self.transmits = BitSet::default();
                Some(SessionEvent::Closed(reason))
            }
            _ => None,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next. `None` once the session is closed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.is_closed() {
            return None;
        }
        let probe_deadline = self.is_upgrading().then_some(self.probe_deadline);
        let next = [probe_deadline, self.noop_due()].into_iter().flatten().fold(self.deadline, Instant::min);
        Some(next.since_epoch())
    }

    /// The current transport.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Where the session is in its life.
    #[must_use]
    pub const fn state(&self) -> SessionState {
        self.state
    }

    /// Whether the session is over.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, SessionState::Closed(_))
    }

    /// Whether a WebSocket is probed.
    #[must_use]
    pub const fn is_upgrading(&self) -> bool {
        !matches!(self.probe, Probe::None)
    }

    fn receive_pong(&mut self, now: Duration) {
        // The next ping is counted from the pong, also from one that nothing asked for, as in the official
        // server.
        self.heartbeat = Heartbeat::Idle;
        self.deadline = Instant::new(now).after(self.ping_interval);
    }

    fn await_ping(&mut self, now: Duration) {
        self.heartbeat = Heartbeat::AwaitingPing;
        self.deadline = Instant::new(now).after(self.ping_interval).after(self.ping_timeout);
    }

    /// "Any other packet" while a pong is awaited shows that the peer lives: the wait starts again, once per
    /// ping.
    fn extend_wait(&mut self, now: Duration) {
        if self.heartbeat == Heartbeat::AwaitingPong {
            self.heartbeat = Heartbeat::AwaitingPongExtended;
            self.deadline = Instant::new(now).after(self.ping_timeout);
        }
    }

    fn heartbeat_due(&mut self, now: Instant) {
        match self.heartbeat {
            Heartbeat::Idle => {
                self.heartbeat = Heartbeat::AwaitingPong;
                self.deadline = now.after(self.ping_timeout);
                self.transmits.insert(Transmit::Ping as u8);
            }
            Heartbeat::AwaitingPong | Heartbeat::AwaitingPongExtended | Heartbeat::AwaitingPing => {
                self.finish(CloseReason::PingTimeout, Transmit::Close);
            }
        }
    }

    fn upgrade(&mut self, now: Duration) {
        self.probe = Probe::None;
        self.transport = Transport::WebSocket;
        self.poll_pending = false;
        self.events.insert(UPGRADED);
        if self.state == SessionState::Closing {
            self.finish(CloseReason::ForcedClose, Transmit::Close);
        } else if self.heartbeat == Heartbeat::AwaitingPing {
            // As below: the official server waits for no more pings of this revision after an upgrade.
            self.await_ping(now);
        } else if self.heartbeat != Heartbeat::Idle {
            // The ping may be in the queue that now moves to the WebSocket. The official server stops waiting
            // for its pong here, and then never pings again a peer that vanishes; waiting anew finds it.
            self.heartbeat = Heartbeat::AwaitingPong;
            self.deadline = Instant::new(now).after(self.ping_timeout);
        }
    }

    /// Ends the session, unless it ended before. A poll that waits gets `farewell`.
    fn finish(&mut self, reason: CloseReason, farewell: Transmit) -> CloseReason {
        if !self.is_closed() {
            self.state = SessionState::Closed(reason);
            self.probe = Probe::None;
            self.transmits = BitSet::default();
            if self.poll_pending {
                self.transmits.insert(farewell as u8);
            }
            self.events.insert(CLOSED);
        }
        reason
    }

    /// When the poll that waits is to be ended for the sake of the upgrade.
    fn noop_due(&self) -> Option<Instant> {
        (self.probe == Probe::Probed && self.poll_pending).then_some(self.noop_at)
    }
}

/// The events that wait, numbered in the order in which they are handed out. A session whose probe timed out
/// may start another one; after an upgrade only the end can come.
const PROBE_TIMED_OUT: u8 = 0;
const UPGRADED: u8 = 1;
const CLOSED: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_takes_48_bytes() {
        assert!(size_of::<Session>() <= 48, "{}", size_of::<Session>());
    }

    #[test]
    fn the_numbers_of_the_transmits_are_the_places_in_the_list() {
        let mut session = Session::new(&SessionConfig::default(), Transport::Polling, Duration::ZERO);
        session.poll_pending = true;
        for transmit in [Transmit::ProbePong, Transmit::Ping, Transmit::Pong, Transmit::Noop, Transmit::Close]
        {
            session.transmits.insert(transmit as u8);
            assert_eq!(session.poll_transmit(), Some(transmit));
        }
        assert_eq!(session.poll_transmit(), None);
    }
}
