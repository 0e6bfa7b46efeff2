//! The session in virtual time: heartbeat, upgrade, close, and arbitrary sequences of calls.

use std::borrow::Cow;
use std::time::Duration;

use proptest::prelude::*;
use sockeye_engineio::{
    CloseReason, Message, Packet, ProbeProgress, ProbeRefused, Revision, Session, SessionConfig,
    SessionEvent, SessionState, Transmit, Transport,
};

const INTERVAL: Duration = Duration::from_secs(25);
const TIMEOUT: Duration = Duration::from_secs(20);
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);
const NOOP_INTERVAL: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_nanos(1);
const START: Duration = Duration::from_secs(1_000);

fn session(transport: Transport) -> Session {
    Session::new(&SessionConfig::default(), transport, START)
}

fn v3_session(transport: Transport) -> Session {
    Session::new(&SessionConfig { revision: Revision::V3, ..SessionConfig::default() }, transport, START)
}

fn transmits(session: &mut Session) -> Vec<Transmit> {
    std::iter::from_fn(|| session.poll_transmit()).collect()
}

fn events(session: &mut Session) -> Vec<SessionEvent> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

/// A session that has sent its first ping, and when.
fn awaiting_pong(transport: Transport) -> (Session, Duration) {
    let mut session = session(transport);
    let now = START + INTERVAL;
    session.handle_timeout(now);
    assert_eq!(transmits(&mut session), [Transmit::Ping]);
    (session, now)
}

/// A session on polling whose WebSocket opened at START.
fn probing() -> Session {
    let mut session = session(Transport::Polling);
    assert_eq!(session.probe_opened(START), Ok(()));
    session
}

/// A session on polling whose WebSocket opened and sent its probe at START, answered.
fn probed() -> Session {
    let mut session = probing();
    assert_eq!(session.receive_probe(Packet::Ping("probe"), START), ProbeProgress::Probed);
    assert_eq!(transmits(&mut session), [Transmit::ProbePong]);
    session
}

fn assert_closed(session: &mut Session, reason: CloseReason) {
    assert_eq!(session.state(), SessionState::Closed(reason));
    assert_eq!(events(session), [SessionEvent::Closed(reason)]);
    assert_eq!(session.poll_timeout(), None);
}

mod messages {
    use super::*;

    #[test]
    fn messages_are_handed_through_borrowed() {
        let mut session = session(Transport::WebSocket);
        assert_eq!(session.receive(Packet::Text("hé"), START), Ok(Some(Message::Text("hé"))));
        let bytes = [1, 2, 3];
        let received = session.receive(Packet::Binary(Cow::Borrowed(&bytes)), START);
        assert!(matches!(received, Ok(Some(Message::Binary(Cow::Borrowed(&[1, 2, 3]))))));
        assert!(session.receive_message(START));
    }

    #[test]
    fn packets_without_a_meaning_here_are_ignored() {
        for transport in [Transport::Polling, Transport::WebSocket] {
            let mut session = session(transport);
            for packet in [Packet::Open("{}"), Packet::Upgrade, Packet::Noop, Packet::Pong("probe")] {
                assert_eq!(session.receive(packet, START), Ok(None));
            }
            assert_eq!(session.state(), SessionState::Open);
            assert_eq!(transmits(&mut session), []);
            assert_eq!(events(&mut session), []);
        }
    }

    #[test]
    fn a_packet_after_the_end_is_dropped() {
        let mut session = session(Transport::WebSocket);
        session.close(START);
        assert_eq!(session.receive(Packet::Text("late"), START), Ok(None));
        assert_eq!(session.receive(Packet::Ping(""), START), Ok(None));
        assert!(!session.receive_message(START));
        assert_closed(&mut session, CloseReason::ForcedClose);
    }
}

mod heartbeat {
    use super::*;

    #[test]
    fn the_first_ping_goes_out_an_interval_after_the_start() {
        let mut session = session(Transport::Polling);
        assert_eq!(session.poll_timeout(), Some(START + INTERVAL));
        session.handle_timeout(START + INTERVAL - TICK);
        assert_eq!(transmits(&mut session), []);
        session.handle_timeout(START + INTERVAL);
        assert_eq!(transmits(&mut session), [Transmit::Ping]);
        assert_eq!(session.poll_timeout(), Some(START + INTERVAL + TIMEOUT));
    }

    #[test]
    fn the_next_ping_goes_out_an_interval_after_the_pong() {
        let (mut session, ping_at) = awaiting_pong(Transport::WebSocket);
        let pong_at = ping_at + Duration::from_secs(3);
        assert_eq!(session.receive(Packet::Pong(""), pong_at), Ok(None));
        assert_eq!(session.poll_timeout(), Some(pong_at + INTERVAL));
        session.handle_timeout(pong_at + INTERVAL);
        assert_eq!(transmits(&mut session), [Transmit::Ping]);
    }

    #[test]
    fn a_missing_pong_closes_with_ping_timeout() {
        let (mut session, ping_at) = awaiting_pong(Transport::WebSocket);
        session.handle_timeout(ping_at + TIMEOUT - TICK);
        assert!(!session.is_closed());
        session.handle_timeout(ping_at + TIMEOUT);
        assert_eq!(transmits(&mut session), []);
        assert_closed(&mut session, CloseReason::PingTimeout);
    }

    #[test]
    fn any_other_packet_restarts_the_wait_once_per_ping() {
        let others: [fn(&mut Session, Duration); 4] = [
            |session, now| assert!(session.receive(Packet::Text("x"), now).is_ok()),
            |session, now| assert!(session.receive(Packet::Noop, now).is_ok()),
            |session, now| assert!(session.receive(Packet::Upgrade, now).is_ok()),
            |session, now| assert!(session.receive_message(now)),
        ];
        for other in others {
            let (mut session, ping_at) = awaiting_pong(Transport::WebSocket);
            let first = ping_at + Duration::from_secs(15);
            other(&mut session, first);
            assert_eq!(session.poll_timeout(), Some(first + TIMEOUT));
            other(&mut session, first + Duration::from_secs(15));
            assert_eq!(session.poll_timeout(), Some(first + TIMEOUT));
            session.handle_timeout(first + TIMEOUT);
            assert_closed(&mut session, CloseReason::PingTimeout);
        }
    }

    #[test]
    fn the_wait_can_be_restarted_again_after_the_next_ping() {
        let (mut session, ping_at) = awaiting_pong(Transport::WebSocket);
        assert!(session.receive_message(ping_at));
        assert_eq!(session.receive(Packet::Pong(""), ping_at), Ok(None));
        let next_ping_at = ping_at + INTERVAL;
        session.handle_timeout(next_ping_at);
        assert!(session.receive_message(next_ping_at + Duration::from_secs(1)));
        assert_eq!(session.poll_timeout(), Some(next_ping_at + Duration::from_secs(1) + TIMEOUT));
    }

    #[test]
    fn a_message_does_not_put_off_the_next_ping() {
        let mut session = session(Transport::WebSocket);
        assert!(session.receive_message(START + Duration::from_secs(20)));
        assert_eq!(session.poll_timeout(), Some(START + INTERVAL));
    }

    #[test]
    fn a_pong_that_nothing_asked_for_puts_off_the_next_ping() {
        let mut session = session(Transport::WebSocket);
        let now = START + Duration::from_secs(20);
        assert_eq!(session.receive(Packet::Pong(""), now), Ok(None));
        assert_eq!(session.poll_timeout(), Some(now + INTERVAL));
    }

    #[test]
    fn a_ping_from_the_client_closes_with_transport_error() {
        for transport in [Transport::Polling, Transport::WebSocket] {
            for data in ["", "probe"] {
                let mut session = session(transport);
                assert_eq!(session.receive(Packet::Ping(data), START), Err(CloseReason::TransportError));
                assert_closed(&mut session, CloseReason::TransportError);
            }
        }
    }

    #[test]
    fn a_late_timer_sends_one_ping_and_waits_from_then() {
        let mut session = session(Transport::WebSocket);
        let late = START + INTERVAL * 10;
        session.handle_timeout(late);
        assert_eq!(transmits(&mut session), [Transmit::Ping]);
        assert_eq!(session.poll_timeout(), Some(late + TIMEOUT));
    }
}

mod upgrade {
    use super::*;

    #[test]
    fn a_probe_is_answered_and_an_upgrade_moves_the_session() {
        let mut session = probed();
        assert!(session.is_upgrading());
        assert_eq!(session.transport(), Transport::Polling);
        assert_eq!(session.receive_probe(Packet::Upgrade, START), ProbeProgress::Upgraded);
        assert_eq!(session.transport(), Transport::WebSocket);
        assert!(!session.is_upgrading());
        assert_eq!(events(&mut session), [SessionEvent::Upgraded]);
        assert_eq!(transmits(&mut session), []);
        assert_eq!(session.poll_timeout(), Some(START + INTERVAL));
    }

    #[test]
    fn messages_keep_flowing_on_polling_until_the_upgrade() {
        let mut session = probed();
        assert_eq!(session.receive(Packet::Text("x"), START), Ok(Some(Message::Text("x"))));
    }

    #[test]
    fn a_waiting_poll_is_ended_every_100_ms_while_probing() {
        let mut session = probed();
        assert_eq!(session.poll_timeout(), Some(START + UPGRADE_TIMEOUT));
        let mut now = START;
        for _ in 0..3 {
            session.set_poll_pending(true);
            assert_eq!(session.poll_timeout(), Some(now + NOOP_INTERVAL));
            session.handle_timeout(now + NOOP_INTERVAL - TICK);
            assert_eq!(transmits(&mut session), []);
            now += NOOP_INTERVAL;
            session.handle_timeout(now);
            assert_eq!(transmits(&mut session), [Transmit::Noop]);
            session.set_poll_pending(false);
        }
    }

    #[test]
    fn a_poll_is_left_alone_before_the_probe() {
        let mut session = probing();
        session.set_poll_pending(true);
        session.handle_timeout(START + NOOP_INTERVAL * 5);
        assert_eq!(transmits(&mut session), []);
        assert_eq!(session.poll_timeout(), Some(START + UPGRADE_TIMEOUT));
    }

    #[test]
    fn a_poll_that_got_another_answer_needs_no_noop() {
        let mut session = probed();
        session.set_poll_pending(true);
        session.handle_timeout(START + NOOP_INTERVAL);
        session.set_poll_pending(false);
        assert_eq!(transmits(&mut session), []);
    }

    #[test]
    fn a_second_probe_packet_is_answered_again() {
        let mut session = probed();
        assert_eq!(session.receive_probe(Packet::Ping("probe"), START), ProbeProgress::Probed);
        assert_eq!(transmits(&mut session), [Transmit::ProbePong]);
    }

    #[test]
    fn an_upgrade_without_a_probe_counts() {
        let mut session = probing();
        assert_eq!(session.receive_probe(Packet::Upgrade, START), ProbeProgress::Upgraded);
    }

    #[test]
    fn any_other_packet_on_the_probing_websocket_closes_only_that() {
        let others = [
            Packet::Open(""),
            Packet::Close,
            Packet::Ping(""),
            Packet::Ping("probe2"),
            Packet::Pong("probe"),
            Packet::Text("probe"),
            Packet::Binary(Cow::Borrowed(b"x")),
            Packet::Noop,
        ];
        for other in others {
            let mut session = probed();
            assert_eq!(session.receive_probe(other, START), ProbeProgress::Refused);
            assert!(!session.is_upgrading());
            assert_eq!((session.state(), session.transport()), (SessionState::Open, Transport::Polling));
            assert_eq!(events(&mut session), []);
            assert_eq!(session.receive_probe(Packet::Upgrade, START), ProbeProgress::Refused);
            assert_eq!(session.probe_opened(START), Ok(()));
        }
    }

    #[test]
    fn an_upgrade_that_takes_too_long_closes_only_the_websocket() {
        for mut session in [probing(), probed()] {
            assert_eq!(session.poll_timeout(), Some(START + UPGRADE_TIMEOUT));
            session.handle_timeout(START + UPGRADE_TIMEOUT);
            assert_eq!(events(&mut session), [SessionEvent::ProbeTimedOut]);
            assert_eq!((session.state(), session.transport()), (SessionState::Open, Transport::Polling));
            assert_eq!(session.poll_timeout(), Some(START + INTERVAL));
            assert_eq!(session.probe_opened(START + UPGRADE_TIMEOUT), Ok(()));
        }
    }

    #[test]
    fn a_websocket_that_dies_while_probing_leaves_the_session_on_polling() {
        let mut session = probed();
        session.probe_closed();
        assert!(!session.is_upgrading());
        assert_eq!((session.state(), session.transport()), (SessionState::Open, Transport::Polling));
        assert_eq!(session.poll_timeout(), Some(START + INTERVAL));
        assert_eq!(events(&mut session), []);
    }

    #[test]
    fn a_second_websocket_is_refused() {
        let mut session = probed();
        assert_eq!(session.probe_opened(START), Err(ProbeRefused::Upgrading));
        assert!(session.is_upgrading());
        assert_eq!(session.receive_probe(Packet::Upgrade, START), ProbeProgress::Upgraded);
        assert_eq!(session.probe_opened(START), Err(ProbeRefused::NotPolling));
        session.close(START);
        assert_eq!(session.probe_opened(START), Err(ProbeRefused::Closed));
    }

    #[test]
    fn a_session_opened_on_a_websocket_is_not_upgraded() {
        assert_eq!(session(Transport::WebSocket).probe_opened(START), Err(ProbeRefused::NotPolling));
    }

    #[test]
    fn the_wait_for_a_pong_starts_anew_with_the_upgrade() {
        let (mut session, ping_at) = awaiting_pong(Transport::Polling);
        assert_eq!(session.probe_opened(ping_at), Ok(()));
        let upgraded_at = ping_at + Duration::from_secs(5);
        assert_eq!(session.receive_probe(Packet::Upgrade, upgraded_at), ProbeProgress::Upgraded);
        assert_eq!(session.poll_timeout(), Some(upgraded_at + TIMEOUT));
        assert_eq!(events(&mut session), [SessionEvent::Upgraded]);
        session.handle_timeout(upgraded_at + TIMEOUT);
        assert_closed(&mut session, CloseReason::PingTimeout);
    }

    #[test]
    fn the_end_of_the_session_ends_the_probe() {
        let mut session = probed();
        session.handle_transport_closed(CloseReason::TransportError, START);
        assert!(!session.is_upgrading());
        assert_eq!(session.receive_probe(Packet::Upgrade, START), ProbeProgress::Refused);
        assert_closed(&mut session, CloseReason::TransportError);
    }
}

mod close {
    use super::*;

    #[test]
    fn the_application_closes_a_websocket_at_once() {
        let mut session = session(Transport::WebSocket);
        session.close(START);
        assert_eq!(transmits(&mut session), []);
        assert_closed(&mut session, CloseReason::ForcedClose);
    }

    #[test]
    fn the_application_closes_polling_at_once_while_a_poll_waits() {
        let mut session = session(Transport::Polling);
        session.set_poll_pending(true);
        session.close(START);
        assert_eq!(transmits(&mut session), [Transmit::Close]);
        assert_closed(&mut session, CloseReason::ForcedClose);
    }

    #[test]
    fn else_the_close_packet_goes_out_with_the_next_poll() {
        let mut session = session(Transport::Polling);
        session.close(START);
        assert_eq!(session.state(), SessionState::Closing);
        assert_eq!(transmits(&mut session), []);
        assert_eq!(events(&mut session), []);
        session.set_poll_pending(true);
        assert_eq!(transmits(&mut session), [Transmit::Close]);
        assert_closed(&mut session, CloseReason::ForcedClose);
    }

    #[test]
    fn a_poll_that_never_comes_is_waited_for_30_seconds() {
        let mut session = session(Transport::Polling);
        session.close(START);
        assert_eq!(session.poll_timeout(), Some(START + CLOSE_TIMEOUT));
        session.handle_timeout(START + CLOSE_TIMEOUT - TICK);
        assert!(!session.is_closed());
        session.handle_timeout(START + CLOSE_TIMEOUT);
        assert_eq!(transmits(&mut session), []);
        assert_closed(&mut session, CloseReason::ForcedClose);
    }

    #[test]
    fn what_arrives_while_closing_is_dropped() {
        let mut session = session(Transport::Polling);
        session.close(START);
        for packet in [Packet::Text("x"), Packet::Ping(""), Packet::Pong(""), Packet::Noop] {
            assert_eq!(session.receive(packet, START), Ok(None));
        }
        assert!(!session.receive_message(START));
        assert_eq!(session.poll_timeout(), Some(START + CLOSE_TIMEOUT));
    }

    #[test]
    fn an_upgrade_while_closing_is_completed_and_then_closed() {
        let mut session = probed();
        session.close(START);
        assert_eq!(session.receive_probe(Packet::Upgrade, START), ProbeProgress::Upgraded);
        assert_eq!(transmits(&mut session), []);
        let closed = SessionEvent::Closed(CloseReason::ForcedClose);
        assert_eq!(events(&mut session), [SessionEvent::Upgraded, closed]);
    }

    #[test]
    fn a_close_packet_over_polling_ends_the_waiting_poll_with_a_noop() {
        let mut session = session(Transport::Polling);
        session.set_poll_pending(true);
        assert_eq!(session.receive(Packet::Close, START), Err(CloseReason::TransportClose));
        assert_eq!(transmits(&mut session), [Transmit::Noop]);
        assert_closed(&mut session, CloseReason::TransportClose);
    }

    #[test]
    fn the_probing_websocket_that_dies_with_the_session_takes_nothing_along() {
        let mut session = probed();
        session.set_poll_pending(true);
        assert_eq!(session.receive(Packet::Close, START), Err(CloseReason::TransportClose));
        session.probe_closed();
        assert_eq!(transmits(&mut session), [Transmit::Noop]);
        assert_closed(&mut session, CloseReason::TransportClose);
    }

    #[test]
    fn a_close_packet_without_a_waiting_poll_just_closes() {
        for transport in [Transport::Polling, Transport::WebSocket] {
            let mut session = session(transport);
            assert_eq!(session.receive(Packet::Close, START), Err(CloseReason::TransportClose));
            assert_eq!(transmits(&mut session), []);
            assert_closed(&mut session, CloseReason::TransportClose);
        }
    }

    #[test]
    fn a_failure_on_polling_ends_the_waiting_poll_with_a_close_packet() {
        for reason in [CloseReason::ParseError, CloseReason::TransportError, CloseReason::ServerShuttingDown]
        {
            let mut session = session(Transport::Polling);
            session.set_poll_pending(true);
            session.handle_transport_closed(reason, START);
            assert_eq!(transmits(&mut session), [Transmit::Close]);
            assert_closed(&mut session, reason);
        }
    }

    #[test]
    fn a_poll_that_is_gone_gets_nothing() {
        let mut session = session(Transport::Polling);
        session.set_poll_pending(true);
        session.set_poll_pending(false);
        session.handle_transport_closed(CloseReason::TransportError, START);
        assert_eq!(transmits(&mut session), []);
        assert_closed(&mut session, CloseReason::TransportError);
    }

    #[test]
    fn a_poll_that_goes_away_after_the_end_gets_nothing() {
        let mut session = session(Transport::Polling);
        session.set_poll_pending(true);
        session.handle_transport_closed(CloseReason::TransportError, START);
        session.set_poll_pending(false);
        assert_eq!(transmits(&mut session), []);
        assert_closed(&mut session, CloseReason::TransportError);
    }

    #[test]
    fn the_first_reason_stands() {
        let mut session = session(Transport::WebSocket);
        session.handle_transport_closed(CloseReason::ParseError, START);
        session.handle_transport_closed(CloseReason::TransportClose, START);
        session.close(START);
        session.handle_timeout(START + INTERVAL * 9);
        assert_closed(&mut session, CloseReason::ParseError);
    }

    #[test]
    fn nothing_is_transmitted_after_the_end_was_told() {
        let mut session = session(Transport::Polling);
        session.set_poll_pending(true);
        session.close(START);
        assert_closed(&mut session, CloseReason::ForcedClose);
        assert_eq!(transmits(&mut session), []);
    }
}

mod revision_3 {
    use super::*;

    #[test]
    fn each_ping_is_answered_and_starts_the_wait_anew() {
        let mut session = v3_session(Transport::WebSocket);
        assert_eq!(session.poll_timeout(), Some(START + INTERVAL + TIMEOUT));
        let now = START + INTERVAL;
        assert_eq!(session.receive(Packet::Ping(""), now), Ok(None));
        assert_eq!(transmits(&mut session), [Transmit::Pong]);
        assert_eq!(session.poll_timeout(), Some(now + INTERVAL + TIMEOUT));
        session.handle_timeout(now + INTERVAL + TIMEOUT - TICK);
        assert_eq!((transmits(&mut session), events(&mut session)), (vec![], vec![]));
        session.handle_timeout(now + INTERVAL + TIMEOUT);
        assert_closed(&mut session, CloseReason::PingTimeout);
    }

    #[test]
    fn other_packets_do_not_extend_the_wait() {
        let mut session = v3_session(Transport::Polling);
        assert_eq!(session.receive(Packet::Text("x"), START + INTERVAL), Ok(Some(Message::Text("x"))));
        assert!(session.receive_message(START + INTERVAL));
        assert_eq!(session.receive(Packet::Noop, START + INTERVAL), Ok(None));
        assert_eq!(session.poll_timeout(), Some(START + INTERVAL + TIMEOUT));
    }

    #[test]
    fn pong_closes_it_as_only_the_server_sends_them() {
        let mut session = v3_session(Transport::WebSocket);
        assert_eq!(session.receive(Packet::Pong(""), START), Err(CloseReason::TransportError));
        assert_closed(&mut session, CloseReason::TransportError);
    }

    #[test]
    fn upgrade_is_the_same_and_starts_the_wait_anew() {
        let mut session = v3_session(Transport::Polling);
        assert_eq!(session.probe_opened(START), Ok(()));
        assert_eq!(session.receive_probe(Packet::Ping("probe"), START), ProbeProgress::Probed);
        assert_eq!(transmits(&mut session), [Transmit::ProbePong]);
        let now = START + TIMEOUT;
        assert_eq!(session.receive_probe(Packet::Upgrade, now), ProbeProgress::Upgraded);
        assert_eq!(events(&mut session), [SessionEvent::Upgraded]);
        assert_eq!(session.poll_timeout(), Some(now + INTERVAL + TIMEOUT));
    }

    #[test]
    fn close_is_the_same() {
        let mut session = v3_session(Transport::Polling);
        session.close(START);
        assert_eq!(session.state(), SessionState::Closing);
        assert_eq!(session.receive(Packet::Ping(""), START), Ok(None));
        assert_eq!(transmits(&mut session), []);
        session.set_poll_pending(true);
        assert_eq!(transmits(&mut session), [Transmit::Close]);
        assert_closed(&mut session, CloseReason::ForcedClose);
    }
}

#[derive(Debug, Clone)]
enum Call {
    Receive(u8),
    ReceiveMessage,
    ProbeOpened,
    ReceiveProbe(u8),
    ProbeClosed,
    PollPending(bool),
    HandleTimeout,
    TransportClosed,
    Close,
    Wait(u64),
    WaitForTimeout,
    Drain,
}

fn packet(kind: u8) -> Packet<'static> {
    match kind {
        0 => Packet::Open(""),
        1 => Packet::Close,
        2 => Packet::Ping("probe"),
        3 => Packet::Pong(""),
        4 => Packet::Text("text"),
        5 => Packet::Upgrade,
        6 => Packet::Noop,
        7 => Packet::Ping(""),
        _ => Packet::Binary(Cow::Borrowed(b"binary")),
    }
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        // Most packets leave the session open, so that long lives are seen too.
        8 => (3..=6_u8).prop_map(Call::Receive),
        1 => (0..=8_u8).prop_map(Call::Receive),
        3 => Just(Call::ReceiveMessage),
        3 => Just(Call::ProbeOpened),
        3 => prop_oneof![Just(2_u8), Just(5), 0..=8_u8].prop_map(Call::ReceiveProbe),
        1 => Just(Call::ProbeClosed),
        6 => any::<bool>().prop_map(Call::PollPending),
        3 => Just(Call::HandleTimeout),
        1 => Just(Call::TransportClosed),
        1 => Just(Call::Close),
        3 => prop_oneof![0..200_u64, 0..30_000_u64].prop_map(Call::Wait),
        6 => Just(Call::WaitForTimeout),
        6 => Just(Call::Drain),
    ]
}

/// What the driver has seen, and the rules that must hold.
struct Driver {
    session: Session,
    now: Duration,
    poll_pending: bool,
    closed: Option<CloseReason>,
    upgraded: bool,
    is_v3: bool,
}

impl Driver {
    fn call(&mut self, call: &Call) {
        let was_closed = self.session.is_closed();
        let session = &mut self.session;
        match *call {
            Call::Receive(kind) => {
                if let Err(reason) = session.receive(packet(kind), self.now) {
                    assert!(!was_closed);
                    assert_eq!(session.state(), SessionState::Closed(reason));
                }
            }
            Call::ReceiveMessage => {
                let is_open = session.state() == SessionState::Open;
                assert_eq!(session.receive_message(self.now), is_open);
            }
            Call::ProbeOpened => {
                let may_open =
                    !was_closed && session.transport() == Transport::Polling && !session.is_upgrading();
                assert_eq!(session.probe_opened(self.now).is_ok(), may_open);
            }
            Call::ReceiveProbe(kind) => {
                let was_upgrading = session.is_upgrading();
                let progress = session.receive_probe(packet(kind), self.now);
                assert!(was_upgrading || progress == ProbeProgress::Refused);
                assert_eq!(session.is_upgrading(), progress == ProbeProgress::Probed);
                if progress == ProbeProgress::Upgraded {
                    assert_eq!(session.transport(), Transport::WebSocket);
                    self.poll_pending = false;
                }
            }
            Call::ProbeClosed => session.probe_closed(),
            Call::PollPending(pending) => {
                let may_wait =
                    self.poll_pending || (!was_closed && session.transport() == Transport::Polling);
                self.poll_pending = pending && may_wait;
                session.set_poll_pending(pending);
            }
            Call::HandleTimeout => self.handle_timeout(),
            Call::TransportClosed => session.handle_transport_closed(CloseReason::TransportError, self.now),
            Call::Close => {
                session.close(self.now);
                assert_ne!(session.state(), SessionState::Open);
            }
            Call::Wait(millis) => self.now += Duration::from_millis(millis),
            Call::WaitForTimeout => {
                self.now = session.poll_timeout().map_or(self.now, |timeout| timeout.max(self.now));
                self.handle_timeout();
            }
            Call::Drain => self.drain(),
        }
        assert!(!was_closed || self.session.is_closed(), "a closed session stays closed");
        assert_eq!(self.session.poll_timeout().is_none(), self.session.is_closed());
    }

    fn handle_timeout(&mut self) {
        self.session.handle_timeout(self.now);
        if let Some(next) = self.session.poll_timeout() {
            assert!(next > self.now, "a timer that was handled lies in the future again");
        }
    }

    fn drain(&mut self) {
        while let Some(transmit) = self.session.poll_transmit() {
            assert_eq!(self.closed, None, "nothing is sent after the end");
            match transmit {
                Transmit::Noop | Transmit::Close => {
                    assert!(self.poll_pending, "only a waiting poll is ended");
                    self.poll_pending = false;
                    self.session.set_poll_pending(false);
                }
                Transmit::Ping => assert!(!self.is_v3 && !self.session.is_closed()),
                Transmit::Pong => assert!(self.is_v3 && !self.session.is_closed()),
                Transmit::ProbePong => assert!(!self.session.is_closed()),
            }
        }
        while let Some(event) = self.session.poll_event() {
            assert_eq!(self.closed, None, "nothing happens after the end");
            match event {
                SessionEvent::Closed(reason) => {
                    assert_eq!(self.session.state(), SessionState::Closed(reason));
                    self.closed = Some(reason);
                }
                SessionEvent::Upgraded => {
                    assert!(!self.upgraded, "a session is upgraded once");
                    self.upgraded = true;
                }
                SessionEvent::ProbeTimedOut => assert!(!self.upgraded),
            }
        }
        assert_eq!(self.session.poll_transmit(), None);
        assert_eq!(self.closed.is_some(), self.session.is_closed(), "the end is told");
    }
}

proptest! {
    #[test]
    fn arbitrary_calls_keep_the_rules(
        on_websocket in any::<bool>(),
        is_v3 in any::<bool>(),
        calls in proptest::collection::vec(call(), 0..120),
    ) {
        let transport = if on_websocket { Transport::WebSocket } else { Transport::Polling };
        let mut driver = Driver {
            session: if is_v3 { v3_session(transport) } else { session(transport) },
            now: START,
            poll_pending: false,
            closed: None,
            upgraded: false,
            is_v3,
        };
        for call in &calls {
            driver.call(call);
        }
        driver.session.handle_transport_closed(CloseReason::TransportClose, driver.now);
        driver.drain();
        prop_assert!(driver.closed.is_some());
    }

    #[test]
    fn a_silent_peer_is_found_whatever_it_did_before(
        is_v3 in any::<bool>(),
        calls in proptest::collection::vec(call(), 0..60),
    ) {
        let mut driver = Driver {
            session: if is_v3 { v3_session(Transport::Polling) } else { session(Transport::Polling) },
            now: START,
            poll_pending: false,
            closed: None,
            upgraded: false,
            is_v3,
        };
        for call in &calls {
            driver.call(call);
        }
        driver.call(&Call::PollPending(false));
        let silent_since = driver.now;
        for _ in 0..6 {
            driver.call(&Call::WaitForTimeout);
            driver.call(&Call::Drain);
        }
        prop_assert!(driver.closed.is_some());
        prop_assert!(driver.now <= silent_since + INTERVAL + TIMEOUT);
    }

    #[test]
    fn times_at_the_end_of_the_range_do_not_overflow(
        config_secs in any::<u64>(),
        revision in prop_oneof![Just(Revision::V3), Just(Revision::V4)],
        now_secs in any::<u64>(),
        calls in proptest::collection::vec(call(), 0..40),
    ) {
        let wait = Duration::from_secs(config_secs);
        let config = SessionConfig {
            ping_interval: wait,
            ping_timeout: wait,
            upgrade_timeout: wait,
            polling_close_timeout: wait,
            revision,
        };
        let now = Duration::from_secs(now_secs);
        let mut session = Session::new(&config, Transport::Polling, now);
        for call in calls {
            match call {
                Call::Receive(kind) => { let _ = session.receive(packet(kind), now); }
                Call::ProbeOpened => { let _ = session.probe_opened(now); }
                Call::ReceiveProbe(kind) => { let _ = session.receive_probe(packet(kind), now); }
                Call::Close => session.close(now),
                Call::PollPending(pending) => session.set_poll_pending(pending),
                _ => session.handle_timeout(Duration::MAX),
            }
            let _ = (session.poll_transmit(), session.poll_event(), session.poll_timeout());
        }
    }
}
