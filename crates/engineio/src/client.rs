//! The client's session: opening, watchdog, upgrade and close, as a state machine without I/O and without a clock.
//!
//! The mirror image of [`Session`](crate::Session). The driver owns the transports and the queue of packets to send. It
//! tells the session what happens (`receive*`, `probe_*`, `handle_*`, [`polling_paused`](ClientSession::polling_paused),
//! [`close`](ClientSession::close)) and after each of these does what the session wants, in this order:
//!
//! 1. [`poll_transmit`](ClientSession::poll_transmit) until `None`: control packets to send, after what is queued already;
//! 2. [`poll_event`](ClientSession::poll_event) until `None`: what the driver has to act on;
//! 3. [`poll_timeout`](ClientSession::poll_timeout): when to call [`handle_timeout`](ClientSession::handle_timeout).
//!
//! **Time** is a [`Duration`] since an epoch that the driver chooses and that must not change. How long opening may take
//! is the driver's business, which has names to resolve and connections to make before there is anything to count here.

use core::time::Duration;

use alloc::borrow::ToOwned;
use alloc::string::String;

use crate::close::CloseReason;
use crate::open::OpenPacket;
use crate::packet::Packet;
use crate::session::Message;
use crate::transport::{Transport, TransportSet};

/// The data of the ping and of the pong on a transport that is probed.
const PROBE: &str = "probe";

/// What a client wants of a session.
///
/// ```
/// use core::time::Duration;
/// use sockeye_engineio::{ClientConfig, TransportSet};
///
/// let config = ClientConfig::default();
/// assert_eq!(config.upgrades, TransportSet::default());
/// assert_eq!(config.upgrade_timeout, Duration::from_secs(10));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The transports to which a session on polling may be upgraded, if the server offers them. Default: all.
    pub upgrades: TransportSet,
    /// How long an upgrade may take, from when it is asked for until polling has paused. Default 10 s, as servers give it.
    /// The session goes on over polling after it.
    pub upgrade_timeout: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self { upgrades: TransportSet::default(), upgrade_timeout: Duration::from_secs(10) }
    }
}

/// The life of a client's session.
///
/// ```text
///  ┌─────────┐ ── open packet ──> ┌──────┐ ── close(), 1, the transport ──> ┌────────┐
///  │ Opening │                    │ Open │    ends, no ping in time         │ Closed │
///  └─────────┘                    └──────┘                                  └────────┘
///       └──────────── close(), any other packet, the transport ends ────────────^
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientState {
    /// The open packet has not come.
    Opening,
    /// Messages flow.
    Open,
    /// The session is over, for this reason.
    Closed(CloseReason),
}

/// The upgrade of a session on polling.
///
/// ```text
///  ┌──────┐ ── opened ──> ┌─────────┐ ── probe_opened: ──> ┌────────┐ ── 3probe ──> ┌─────────┐
///  │ None │               │ Opening │    send 2probe       │ Probed │               │ Pausing │
///  └──────┘ <─ failed, ───┴─────────┘                      └────────┘               └─────────┘
///     ^        time-out       ^──────────────────────────────┴───────────────────────┤ polling_paused: send 5
///     └──────────────────────────────────────────────────────────────────────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upgrade {
    None,
    /// The driver opens a WebSocket.
    Opening,
    /// It is open, and the probe on its way.
    Probed,
    /// The server answered; requests under way are waited for.
    Pausing,
}

/// A control packet that the driver has to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientTransmit {
    /// `2probe` on the WebSocket that is probed.
    Probe,
    /// `5` on the WebSocket that was probed and is the current transport now, before anything else.
    Upgrade,
    /// `3` on the current transport, behind what is queued for it.
    Pong,
    /// `1` by a last `POST`, behind what is queued. Never on a WebSocket, which has its own close.
    Close,
}

/// What the driver has to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientEvent {
    /// The session is open: [`sid`](ClientSession::sid) and [`max_payload`](ClientSession::max_payload) are known.
    Opened,
    /// The server pinged.
    Pinged,
    /// Open a WebSocket with the id of the session, to replace polling, and report it with
    /// [`probe_opened`](ClientSession::probe_opened) or [`probe_closed`](ClientSession::probe_closed).
    OpenProbe,
    /// The server is ready for the WebSocket: start no more requests, and call
    /// [`polling_paused`](ClientSession::polling_paused) when those under way are answered.
    PausePolling,
    /// The WebSocket is the current transport from now on.
    Upgraded,
    /// The WebSocket that was probed is to be closed. The session goes on over polling.
    UpgradeFailed,
    /// The session is over. Happens once, and nothing comes after it.
    Closed(CloseReason),
}

/// A session, client side. See the [`ClientSession::new`] example, and below for the order of calls.
///
/// - The driver calls `receive*` for what arrives, `probe_*` for a second transport, `handle_timeout` when
///   [`poll_timeout`](Self::poll_timeout) is reached, and `handle_transport_closed` when the current transport ends.
/// - After each call it drains [`poll_transmit`](Self::poll_transmit), then [`poll_event`](Self::poll_event), then arms
///   its timer for [`poll_timeout`](Self::poll_timeout).
#[derive(Debug, Clone)]
pub struct ClientSession {
    config: ClientConfig,
    transport: Transport,
    state: ClientState,
    upgrade: Upgrade,
    sid: String,
    max_payload: u64,
    /// How long the server may be silent: its interval and timeout together.
    max_silence: Duration,
    /// When the server is given up; moved by pings only.
    deadline: Duration,
    upgrade_deadline: Duration,
    /// Owed pongs: a server that pings twice in one payload gets two.
    pong_count: usize,
    transmits: Owed<ClientTransmit, 3>,
    events: Owed<ClientEvent, 6>,
}

/// What is owed, in the order in which it came to be; each thing once.
#[derive(Debug, Clone)]
struct Owed<T, const N: usize>([Option<T>; N]);

impl<T: Copy + PartialEq, const N: usize> Owed<T, N> {
    fn push(&mut self, owed: T) {
        if self.0.contains(&Some(owed)) {
            return;
        }
        if let Some(free) = self.0.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(owed);
        }
    }

    fn pop(&mut self) -> Option<T> {
        let first = self.0[0].take();
        self.0.rotate_left(1);
        first
    }

    fn retain(&mut self, keep: impl Fn(T) -> bool) {
        let kept = self.0.map(|slot| slot.filter(|owed| keep(*owed)));
        self.0 = [None; N];
        for owed in kept.into_iter().flatten() {
            self.push(owed);
        }
    }
}

impl ClientSession {
    /// A session that is about to open on `transport`.
    ///
    /// ```
    /// use core::time::Duration;
    /// use sockeye_engineio::{
    ///     ClientConfig, ClientEvent, ClientSession, ClientTransmit, Packet, TransportSet, Transport,
    /// };
    ///
    /// let now = Duration::ZERO;
    /// let mut session = ClientSession::new(ClientConfig::default(), Transport::WebSocket);
    /// let open = r#"{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;
    /// session.receive(Packet::Open(open), now).unwrap();
    /// assert_eq!(session.poll_event(), Some(ClientEvent::Opened));
    ///
    /// session.receive(Packet::Ping(""), now).unwrap();
    /// assert_eq!(session.poll_transmit(), Some(ClientTransmit::Pong));
    /// assert_eq!(session.poll_timeout(), Some(Duration::from_secs(45)));
    /// ```
    #[must_use]
    pub const fn new(config: ClientConfig, transport: Transport) -> Self {
        Self {
            config,
            transport,
            state: ClientState::Opening,
            upgrade: Upgrade::None,
            sid: String::new(),
            max_payload: u64::MAX,
            max_silence: Duration::ZERO,
            deadline: Duration::MAX,
            upgrade_deadline: Duration::MAX,
            pong_count: 0,
            transmits: Owed([None; 3]),
            events: Owed([None; 6]),
        }
    }

    /// Takes a packet from the current transport. Messages are handed through; the rest is consumed. After the session
    /// was closed packets are dropped.
    ///
    /// # Errors
    ///
    /// The packet closed the session: the server said so (`transport close`), or something else came where the open
    /// packet should (`transport error`), or the open packet is none (`parse error`). What follows in the same payload
    /// is not to be read. [`poll_event`](Self::poll_event) has the same reason.
    pub fn receive<'a>(
        &mut self,
        packet: Packet<'a>,
        now: Duration,
    ) -> Result<Option<Message<'a>>, CloseReason> {
        match (self.state, packet) {
            (ClientState::Closed(_), _) => Ok(None),
            (_, Packet::Close) => Err(self.finish(CloseReason::TransportClose)),
            (ClientState::Opening, Packet::Open(json)) => self.open(json, now).map(|()| None),
            (ClientState::Opening, _) => Err(self.finish(CloseReason::TransportError)),
            (ClientState::Open, Packet::Ping(_)) => {
                self.pong_count += 1;
                self.deadline = now.saturating_add(self.max_silence);
                self.events.push(ClientEvent::Pinged);
                Ok(None)
            }
            (ClientState::Open, Packet::Text(text)) => Ok(Some(Message::Text(text))),
            (ClientState::Open, Packet::Binary(bytes)) => Ok(Some(Message::Binary(bytes))),
            (ClientState::Open, Packet::Open(_) | Packet::Pong(_) | Packet::Upgrade | Packet::Noop) => {
                Ok(None)
            }
        }
    }

    /// The part of [`receive`](Self::receive) that concerns a message, for a driver that knows already that it has one.
    /// Tells whether the message is to be delivered.
    #[must_use = "a message that arrives while the session is not open is to be dropped"]
    pub const fn receive_message(&mut self) -> bool {
        matches!(self.state, ClientState::Open)
    }

    /// Tells that the WebSocket that [`ClientEvent::OpenProbe`] asked for is open. Its packets go to
    /// [`receive_probe`](Self::receive_probe) until the upgrade. Tells whether it is still wanted.
    pub fn probe_opened(&mut self) -> bool {
        if self.upgrade != Upgrade::Opening {
            return false;
        }
        self.upgrade = Upgrade::Probed;
        self.transmits.push(ClientTransmit::Probe);
        true
    }

    /// Takes a packet from the WebSocket that is probed. Anything but the answer to the probe fails the upgrade.
    pub fn receive_probe(&mut self, packet: &Packet<'_>) {
        match (self.upgrade, packet) {
            (Upgrade::Probed, Packet::Pong(PROBE)) => {
                self.upgrade = Upgrade::Pausing;
                self.events.push(ClientEvent::PausePolling);
            }
            (Upgrade::None, _) => {}
            _ => self.probe_closed(),
        }
    }

    /// Tells that the WebSocket to be probed could not be opened or ended, or sent something that is no packet. The
    /// session goes on over polling. Does nothing when no WebSocket is probed.
    pub fn probe_closed(&mut self) {
        if self.upgrade == Upgrade::None {
            return;
        }
        self.upgrade = Upgrade::None;
        self.transmits.retain(|transmit| transmit != ClientTransmit::Probe);
        self.events.retain(|event| !matches!(event, ClientEvent::OpenProbe | ClientEvent::PausePolling));
        self.events.push(ClientEvent::UpgradeFailed);
    }

    /// Tells that no request is under way, after [`ClientEvent::PausePolling`]. The WebSocket is the transport from now on.
    /// Does nothing at other times.
    pub fn polling_paused(&mut self) {
        if self.upgrade != Upgrade::Pausing {
            return;
        }
        self.upgrade = Upgrade::None;
        self.transport = Transport::WebSocket;
        self.transmits.push(ClientTransmit::Upgrade);
        self.events.push(ClientEvent::Upgraded);
    }

    /// Whether requests may be started. Not while the session pauses polling, nor on a WebSocket.
    #[must_use]
    pub fn may_poll(&self) -> bool {
        self.transport == Transport::Polling && self.upgrade != Upgrade::Pausing && !self.is_closed()
    }

    /// Tells that time has passed. To be called when [`poll_timeout`](Self::poll_timeout) is reached; sooner does
    /// nothing.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.state == ClientState::Open && self.deadline <= now {
            self.finish(CloseReason::PingTimeout);
        } else if self.upgrade != Upgrade::None && self.upgrade_deadline <= now {
            self.probe_closed();
        }
    }

    /// Tells that the current transport ended, and why: [`TransportClose`](CloseReason::TransportClose) for an orderly
    /// end, [`TransportError`](CloseReason::TransportError) for a failure, [`ParseError`](CloseReason::ParseError) for
    /// what is no packet.
    pub fn handle_transport_closed(&mut self, reason: CloseReason) {
        self.finish(reason);
    }

    /// Closes the session for the application, with [`CloseReason::ForcedClose`]. On polling the server is told by
    /// [`ClientTransmit::Close`], which [`poll_transmit`](Self::poll_transmit) still gives; a WebSocket is closed by the
    /// driver.
    pub fn close(&mut self) {
        let tell = self.state == ClientState::Open && self.transport == Transport::Polling;
        self.finish(CloseReason::ForcedClose);
        if tell {
            self.transmits.push(ClientTransmit::Close);
        }
    }

    /// The next control packet to send.
    pub fn poll_transmit(&mut self) -> Option<ClientTransmit> {
        if let Some(transmit) = self.transmits.pop() {
            return Some(transmit);
        }
        self.pong_count = self.pong_count.checked_sub(1)?;
        Some(ClientTransmit::Pong)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next. `None` unless the session is open.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.state != ClientState::Open {
            return None;
        }
        Some(if self.upgrade == Upgrade::None {
            self.deadline
        } else {
            self.deadline.min(self.upgrade_deadline)
        })
    }

    /// The id of the session: a secret that all its requests carry. Empty before it is open.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// The longest polling payload, in bytes, that the server takes.
    #[must_use]
    pub const fn max_payload(&self) -> u64 {
        self.max_payload
    }

    /// The current transport.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Where the session is in its life.
    #[must_use]
    pub const fn state(&self) -> ClientState {
        self.state
    }

    /// Whether the session is over.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, ClientState::Closed(_))
    }

    /// Whether a WebSocket is opened or probed to replace polling.
    #[must_use]
    pub const fn is_upgrading(&self) -> bool {
        !matches!(self.upgrade, Upgrade::None)
    }

    fn open(&mut self, json: &str, now: Duration) -> Result<(), CloseReason> {
        let Ok(open) = OpenPacket::decode(json) else { return Err(self.finish(CloseReason::ParseError)) };
        self.sid = open.sid.as_ref().to_owned();
        self.max_payload = open.max_payload;
        self.max_silence = open.ping_interval.saturating_add(open.ping_timeout);
        self.deadline = now.saturating_add(self.max_silence);
        self.state = ClientState::Open;
        self.events.push(ClientEvent::Opened);
        let upgrades = self.transport.upgrades(self.config.upgrades);
        if open.upgrades.contains(Transport::WebSocket) && upgrades.contains(Transport::WebSocket) {
            self.upgrade = Upgrade::Opening;
            self.upgrade_deadline = now.saturating_add(self.config.upgrade_timeout);
            self.events.push(ClientEvent::OpenProbe);
        }
        Ok(())
    }

    /// Ends the session, unless it is over; returns why it is.
    fn finish(&mut self, reason: CloseReason) -> CloseReason {
        if let ClientState::Closed(reason) = self.state {
            return reason;
        }
        self.state = ClientState::Closed(reason);
        self.upgrade = Upgrade::None;
        self.pong_count = 0;
        self.transmits = Owed([None; 3]);
        self.events = Owed([None; 6]);
        self.events.push(ClientEvent::Closed(reason));
        reason
    }
}
