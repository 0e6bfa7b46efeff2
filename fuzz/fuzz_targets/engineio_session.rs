//! Anything that can happen to a session, in any order and in virtual time.
#![no_main]

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use sockeye_engineio::{
    CloseReason, Packet, ProbeProgress, Revision, Session, SessionConfig, SessionEvent, SessionState,
    Transmit, Transport,
};

#[derive(Arbitrary, Debug)]
struct Input {
    websocket: bool,
    is_v3: bool,
    ping_interval: u16,
    ping_timeout: u16,
    upgrade_timeout: u16,
    close_timeout: u16,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Packet(Kind),
    Message,
    ProbeOpened,
    ProbePacket(Kind),
    ProbeClosed,
    PollPending(bool),
    /// Time goes by, in milliseconds; the timer fires when it is due, or is late.
    Wait(u16, bool),
    /// The timer fires exactly when it is due.
    Due,
    TransportClosed(u8),
    Close,
    /// The driver does what the session wants.
    Drain,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Kind {
    Open,
    Close,
    Ping,
    Probe,
    Pong,
    Text,
    Binary,
    Upgrade,
    Noop,
}

impl Kind {
    fn packet(self) -> Packet<'static> {
        match self {
            Self::Open => Packet::Open("{}"),
            Self::Close => Packet::Close,
            Self::Ping => Packet::Ping(""),
            Self::Probe => Packet::Ping("probe"),
            Self::Pong => Packet::Pong(""),
            Self::Text => Packet::Text("text"),
            Self::Binary => Packet::Binary([1_u8].as_slice().into()),
            Self::Upgrade => Packet::Upgrade,
            Self::Noop => Packet::Noop,
        }
    }
}

/// The session and what is known about it from the outside.
struct Driver {
    session: Session,
    now: Duration,
    poll_pending: bool,
    closed_event: Option<CloseReason>,
    /// A ping was taken, and no pong was given since.
    ping_is_out: bool,
    upgraded: bool,
    is_v3: bool,
}

fuzz_target!(|data: &[u8]| {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let millis = |value: u16| Duration::from_micros(u64::from(value) * 900);
    let config = SessionConfig {
        ping_interval: millis(input.ping_interval),
        ping_timeout: millis(input.ping_timeout),
        upgrade_timeout: millis(input.upgrade_timeout),
        polling_close_timeout: millis(input.close_timeout),
        revision: if input.is_v3 { Revision::V3 } else { Revision::V4 },
    };
    let transport = if input.websocket { Transport::WebSocket } else { Transport::Polling };
    let mut driver = Driver {
        session: Session::new(&config, transport, Duration::ZERO),
        now: Duration::ZERO,
        poll_pending: false,
        closed_event: None,
        ping_is_out: false,
        upgraded: input.websocket,
        is_v3: input.is_v3,
    };
    for step in &input.steps {
        driver.step(step);
    }
    driver.assert_ends(&config);
});

impl Driver {
    fn step(&mut self, step: &Step) {
        let before = self.session.state();
        match *step {
            Step::Packet(kind) => self.receive(kind),
            Step::Message => {
                let delivered = self.session.receive_message(self.now);
                assert_eq!(delivered, before == SessionState::Open);
            }
            Step::ProbeOpened => {
                let may = !self.session.is_closed()
                    && self.session.transport() == Transport::Polling
                    && !self.session.is_upgrading();
                assert_eq!(self.session.probe_opened(self.now).is_ok(), may);
                assert!(!may || self.session.is_upgrading());
            }
            Step::ProbePacket(kind) => self.receive_probe(kind),
            Step::ProbeClosed => {
                self.session.probe_closed();
                assert!(!self.session.is_upgrading());
                assert_eq!(self.session.state(), before);
            }
            Step::PollPending(pending) => {
                self.session.set_poll_pending(pending);
                let lives = !matches!(before, SessionState::Closed(_));
                if !pending || (lives && self.session.transport() == Transport::Polling) {
                    self.poll_pending = pending;
                }
                if pending && before == SessionState::Closing {
                    assert_eq!(self.session.state(), SessionState::Closed(CloseReason::ForcedClose));
                }
            }
            Step::Wait(millis, in_time) => self.wait(Duration::from_millis(millis.into()), in_time),
            Step::Due => {
                if let Some(due) = self.session.poll_timeout() {
                    self.now = self.now.max(due);
                    self.fire();
                }
            }
            Step::TransportClosed(reason) => {
                let reasons = [
                    CloseReason::TransportError,
                    CloseReason::TransportClose,
                    CloseReason::ParseError,
                    CloseReason::ServerShuttingDown,
                ];
                self.session.handle_transport_closed(reasons[usize::from(reason % 4)], self.now);
                assert!(self.session.is_closed());
            }
            Step::Close => {
                self.session.close(self.now);
                assert_ne!(self.session.state(), SessionState::Open);
            }
            Step::Drain => self.drain(),
        }
        self.assert_state(before);
    }

    fn receive(&mut self, kind: Kind) {
        if matches!(kind, Kind::Pong) {
            // A ping that still waits to be sent is not the one that is answered.
            self.drain();
        }
        let before = self.session.state();
        let result = self.session.receive(kind.packet(), self.now);
        let is_message = matches!(kind, Kind::Text | Kind::Binary);
        match (before, kind) {
            (SessionState::Closed(_), _) => assert_eq!(result, Ok(None)),
            (_, Kind::Close) => assert_eq!(result, Err(CloseReason::TransportClose)),
            (SessionState::Closing, _) => assert_eq!(result, Ok(None)),
            (SessionState::Open, Kind::Ping | Kind::Probe) if !self.is_v3 => {
                assert_eq!(result, Err(CloseReason::TransportError));
            }
            (SessionState::Open, Kind::Pong) if self.is_v3 => {
                assert_eq!(result, Err(CloseReason::TransportError));
            }
            (SessionState::Open, _) => assert_eq!(result.map(|message| message.is_some()), Ok(is_message)),
        }
        self.ping_is_out &= !matches!(kind, Kind::Pong);
    }

    fn receive_probe(&mut self, kind: Kind) {
        let was_upgrading = self.session.is_upgrading();
        match self.session.receive_probe(kind.packet(), self.now) {
            ProbeProgress::Probed => assert!(was_upgrading && matches!(kind, Kind::Probe)),
            ProbeProgress::Upgraded => {
                assert!(was_upgrading && matches!(kind, Kind::Upgrade) && !self.upgraded);
                self.upgraded = true;
                self.poll_pending = false;
            }
            ProbeProgress::Refused => {
                assert!(!was_upgrading || !matches!(kind, Kind::Probe | Kind::Upgrade));
                assert!(!self.session.is_upgrading());
            }
        }
    }

    fn wait(&mut self, wait: Duration, in_time: bool) {
        let until = self.now + wait;
        while in_time && self.session.poll_timeout().is_some_and(|due| due <= until) {
            self.now = self.session.poll_timeout().map_or(until, |due| due.max(self.now));
            self.fire();
        }
        self.now = until;
        if !in_time {
            self.fire();
        }
    }

    /// The timer fires: sooner than due changes nothing, and when due it is not due again for ever.
    fn fire(&mut self) {
        if let Some(due) = self.session.poll_timeout() {
            let mut early = self.session.clone();
            if let Some(sooner) = due.min(self.now).checked_sub(Duration::from_nanos(1)) {
                early.handle_timeout(sooner);
                assert_eq!(format!("{early:?}"), format!("{:?}", self.session), "too early");
            }
        }
        for _ in 0..8 {
            self.session.handle_timeout(self.now);
            if self.session.poll_timeout().is_none_or(|due| due > self.now) {
                return;
            }
        }
        panic!("due at {:?} for ever", self.session.poll_timeout());
    }

    /// Takes what the session wants to be sent and done.
    fn drain(&mut self) {
        let mut transmits = Vec::new();
        while let Some(transmit) = self.session.poll_transmit() {
            assert!(!transmits.contains(&transmit), "{transmit:?} twice");
            transmits.push(transmit);
        }
        for &transmit in &transmits {
            self.judge_transmit(transmit);
        }
        while let Some(event) = self.session.poll_event() {
            assert_eq!(self.closed_event, None, "{event:?} after the end");
            match event {
                SessionEvent::ProbeTimedOut => {}
                SessionEvent::Upgraded => {
                    assert!(self.upgraded);
                    assert_eq!(self.session.transport(), Transport::WebSocket);
                }
                SessionEvent::Closed(reason) => {
                    assert_eq!(self.session.state(), SessionState::Closed(reason));
                    self.closed_event = Some(reason);
                }
            }
        }
        assert_eq!(self.closed_event.is_some(), self.session.is_closed());
        assert_eq!(self.session.poll_transmit(), None);
    }

    fn judge_transmit(&mut self, transmit: Transmit) {
        assert_eq!(self.closed_event, None, "{transmit:?} after the end");
        match transmit {
            // The upgrade may have come together with the probe.
            Transmit::ProbePong => assert!(self.session.is_upgrading() || self.upgraded),
            Transmit::Ping => {
                assert!(!self.ping_is_out, "a ping while one is out");
                assert!(!self.is_v3 && !self.session.is_closed());
                self.ping_is_out = true;
            }
            Transmit::Pong => assert!(self.is_v3 && !self.session.is_closed()),
            Transmit::Noop => assert!(self.poll_pending),
            Transmit::Close => assert!(self.poll_pending && self.session.is_closed()),
        }
    }

    fn assert_state(&mut self, before: SessionState) {
        let after = self.session.state();
        match before {
            SessionState::Closed(_) => assert_eq!(after, before, "the end is the end"),
            SessionState::Closing => assert_ne!(after, SessionState::Open),
            SessionState::Open => {}
        }
        if self.session.is_closed() {
            assert_eq!(self.session.poll_timeout(), None);
            assert!(!self.session.is_upgrading());
        } else {
            assert!(self.session.poll_timeout().is_some(), "a session that lives has a deadline");
        }
        let transport = if self.upgraded { Transport::WebSocket } else { Transport::Polling };
        assert_eq!(self.session.transport(), transport);
        assert!(!(self.upgraded && self.session.is_upgrading()));
    }

    /// A peer from which nothing comes any more is found out, in the time that the configuration allows.
    fn assert_ends(&mut self, config: &SessionConfig) {
        self.drain();
        let limit = [
            config.ping_interval + config.ping_timeout,
            config.ping_timeout + config.ping_timeout,
            config.polling_close_timeout,
        ];
        // Each wait is rounded up to milliseconds.
        let limit = self.now + limit.into_iter().max().unwrap_or_default() + Duration::from_millis(2);
        let mut last = Duration::ZERO;
        while let Some(due) = self.session.poll_timeout() {
            assert!(due >= last, "the deadline went back");
            last = due;
            assert!(self.now.max(due) <= limit, "still there at {due:?}, not after {limit:?}");
            self.now = self.now.max(due);
            self.fire();
            self.drain();
        }
        assert!(self.closed_event.is_some());
    }
}
