//! The client's session in virtual time: opening, watchdog, upgrade, close, and arbitrary sequences of calls; and both
//! sides' sessions against each other.

use std::time::Duration;

use proptest::prelude::*;
use sockeye_engineio::{
    ClientConfig, ClientEvent, ClientSession, ClientState, ClientTransmit, CloseReason, Message, Packet,
    ProbeProgress, Session, SessionConfig, Transmit, Transport, TransportSet,
};

const NOW: Duration = Duration::from_secs(1_000);
const TICK: Duration = Duration::from_nanos(1);
const OPEN: &str =
    r#"{"sid":"abc","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100}"#;
const MAX_SILENCE: Duration = Duration::from_secs(45);

fn events(session: &mut ClientSession) -> Vec<ClientEvent> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

fn transmits(session: &mut ClientSession) -> Vec<ClientTransmit> {
    std::iter::from_fn(|| session.poll_transmit()).collect()
}

fn opening(transport: Transport) -> ClientSession {
    ClientSession::new(ClientConfig::default(), transport)
}

fn open(transport: Transport) -> ClientSession {
    let mut session = opening(transport);
    assert_eq!(session.receive(Packet::Open(OPEN), NOW), Ok(None));
    session
}

/// A session on polling whose probe was answered.
fn pausing() -> ClientSession {
    let mut session = open(Transport::Polling);
    assert!(session.probe_opened());
    session.receive_probe(&Packet::Pong("probe"));
    assert_eq!(transmits(&mut session), [ClientTransmit::Probe]);
    assert_eq!(
        events(&mut session),
        [ClientEvent::Opened, ClientEvent::OpenProbe, ClientEvent::PausePolling]
    );
    session
}

fn assert_closed(session: &mut ClientSession, reason: CloseReason) {
    assert_eq!(session.state(), ClientState::Closed(reason));
    assert_eq!(events(session), [ClientEvent::Closed(reason)]);
    assert_eq!(session.poll_timeout(), None);
    assert!(!session.may_poll());
}

mod opening {
    use super::*;

    #[test]
    fn the_open_packet_opens_the_session() {
        let mut session = open(Transport::WebSocket);
        assert_eq!(session.state(), ClientState::Open);
        assert_eq!((session.sid(), session.max_payload()), ("abc", 100));
        assert_eq!(events(&mut session), [ClientEvent::Opened]);
        assert_eq!(session.poll_timeout(), Some(NOW + MAX_SILENCE));
    }

    #[test]
    fn another_packet_instead_is_a_transport_error() {
        for packet in [Packet::Text("x"), Packet::Ping(""), Packet::Noop, Packet::Binary(vec![1].into())] {
            let mut session = opening(Transport::Polling);
            assert_eq!(session.receive(packet, NOW), Err(CloseReason::TransportError));
            assert_closed(&mut session, CloseReason::TransportError);
        }
    }

    #[test]
    fn an_open_packet_that_is_none_is_a_parse_error() {
        for json in ["", "{}", r#"{"sid":1}"#, "[]"] {
            let mut session = opening(Transport::Polling);
            assert_eq!(session.receive(Packet::Open(json), NOW), Err(CloseReason::ParseError));
            assert_closed(&mut session, CloseReason::ParseError);
        }
    }

    #[test]
    fn times_beyond_all_measure_do_not_overflow() {
        let json = format!(r#"{{"sid":"a","pingInterval":{0},"pingTimeout":{0}}}"#, u64::MAX);
        let mut session = opening(Transport::WebSocket);
        assert_eq!(session.receive(Packet::Open(&json), NOW), Ok(None));
        session.receive(Packet::Ping(""), Duration::MAX).unwrap();
        assert_eq!(session.poll_timeout(), Some(Duration::MAX));
    }
}

mod watchdog {
    use super::*;

    #[test]
    fn silence_closes_with_ping_timeout() {
        let mut session = open(Transport::WebSocket);
        events(&mut session);
        session.handle_timeout(NOW + MAX_SILENCE - TICK);
        assert_eq!(session.state(), ClientState::Open);
        session.handle_timeout(NOW + MAX_SILENCE);
        assert_closed(&mut session, CloseReason::PingTimeout);
    }

    #[test]
    fn only_pings_restart_it() {
        let mut session = open(Transport::WebSocket);
        let later = NOW + Duration::from_secs(20);
        for packet in [Packet::Text("x"), Packet::Noop, Packet::Pong(""), Packet::Binary(vec![1].into())] {
            session.receive(packet, later).unwrap();
        }
        assert!(session.receive_message());
        assert_eq!(session.poll_timeout(), Some(NOW + MAX_SILENCE));
        session.receive(Packet::Ping(""), later).unwrap();
        assert_eq!(session.poll_timeout(), Some(later + MAX_SILENCE));
    }

    #[test]
    fn every_ping_is_answered() {
        let mut session = open(Transport::Polling);
        for _ in 0..3 {
            session.receive(Packet::Ping(""), NOW).unwrap();
        }
        assert_eq!(transmits(&mut session), [ClientTransmit::Pong; 3]);
        assert_eq!(events(&mut session), [ClientEvent::Opened, ClientEvent::OpenProbe, ClientEvent::Pinged]);
    }
}

mod upgrade {
    use super::*;

    #[test]
    fn the_way_to_the_websocket() {
        let mut session = pausing();
        assert!(!session.may_poll() && session.is_upgrading());
        // What the last GET brings still counts.
        assert_eq!(session.receive(Packet::Text("late"), NOW), Ok(Some(Message::Text("late"))));
        session.polling_paused();
        assert_eq!(session.transport(), Transport::WebSocket);
        assert_eq!(transmits(&mut session), [ClientTransmit::Upgrade]);
        assert_eq!(events(&mut session), [ClientEvent::Upgraded]);
        assert!(!session.is_upgrading());
    }

    #[test]
    fn a_pong_that_is_owed_goes_behind_the_upgrade() {
        let mut session = pausing();
        session.receive(Packet::Ping(""), NOW).unwrap();
        session.polling_paused();
        assert_eq!(transmits(&mut session), [ClientTransmit::Upgrade, ClientTransmit::Pong]);
    }

    #[test]
    fn nothing_is_probed_that_is_not_offered_or_not_wanted() {
        let none = OPEN.replace(r#""websocket""#, "");
        for (json, upgrades, transport) in [
            (none.as_str(), TransportSet::default(), Transport::Polling),
            (OPEN, TransportSet::EMPTY, Transport::Polling),
            (OPEN, TransportSet::default(), Transport::WebSocket),
        ] {
            let config = ClientConfig { upgrades, ..ClientConfig::default() };
            let mut session = ClientSession::new(config, transport);
            session.receive(Packet::Open(json), NOW).unwrap();
            assert_eq!(events(&mut session), [ClientEvent::Opened]);
            assert!(!session.probe_opened());
        }
    }

    #[test]
    fn another_answer_to_the_probe_fails_it_and_polling_goes_on() {
        for packet in
            [Packet::Pong(""), Packet::Text("x"), Packet::Close, Packet::Ping("probe"), Packet::Noop]
        {
            let mut session = open(Transport::Polling);
            session.probe_opened();
            events(&mut session);
            session.receive_probe(&packet);
            assert_eq!(events(&mut session), [ClientEvent::UpgradeFailed], "{packet:?}");
            assert!(session.may_poll());
            assert_eq!(session.poll_timeout(), Some(NOW + MAX_SILENCE));
        }
    }

    #[test]
    fn a_websocket_that_ends_while_polling_pauses_changes_nothing() {
        let mut session = pausing();
        session.probe_closed();
        assert_eq!(events(&mut session), [ClientEvent::UpgradeFailed]);
        assert!(session.may_poll());
        session.polling_paused();
        assert_eq!((session.transport(), transmits(&mut session)), (Transport::Polling, vec![]));
    }

    #[test]
    fn a_probe_that_takes_too_long_is_given_up_once() {
        let mut session = open(Transport::Polling);
        session.probe_opened();
        events(&mut session);
        let late = NOW + Duration::from_secs(10);
        assert_eq!(session.poll_timeout(), Some(late));
        session.handle_timeout(late - TICK);
        assert_eq!(events(&mut session), []);
        session.handle_timeout(late);
        assert_eq!(events(&mut session), [ClientEvent::UpgradeFailed]);
        assert_eq!(transmits(&mut session), []);
        assert!(!session.probe_opened());
        session.handle_timeout(late);
        assert_eq!(events(&mut session), []);
    }
}

mod close {
    use super::*;

    #[test]
    fn the_server_closes() {
        for transport in [Transport::Polling, Transport::WebSocket] {
            let mut session = open(transport);
            events(&mut session);
            assert_eq!(session.receive(Packet::Close, NOW), Err(CloseReason::TransportClose));
            assert_closed(&mut session, CloseReason::TransportClose);
            assert_eq!(session.receive(Packet::Text("late"), NOW), Ok(None));
            assert!(!session.receive_message());
        }
    }

    #[test]
    fn the_application_closes_and_tells_the_server_where_the_transport_does_not() {
        let mut session = open(Transport::Polling);
        session.close();
        assert_eq!(transmits(&mut session), [ClientTransmit::Close]);
        assert_closed(&mut session, CloseReason::ForcedClose);
        for mut session in [open(Transport::WebSocket), opening(Transport::Polling)] {
            session.close();
            assert_eq!(transmits(&mut session), []);
            assert_closed(&mut session, CloseReason::ForcedClose);
        }
    }

    #[test]
    fn the_first_reason_counts() {
        let mut session = open(Transport::WebSocket);
        session.handle_transport_closed(CloseReason::TransportError);
        session.close();
        session.handle_timeout(NOW + MAX_SILENCE);
        assert_closed(&mut session, CloseReason::TransportError);
    }
}

/// Both sides, connected by nothing but calls: the upgrade works out, and the heartbeat keeps both alive.
#[test]
fn both_sides_agree() {
    let mut server = Session::new(&SessionConfig::default(), Transport::Polling, NOW);
    let mut client = open(Transport::Polling);
    server.probe_opened(NOW).unwrap();
    assert!(client.probe_opened());
    assert_eq!(client.poll_transmit(), Some(ClientTransmit::Probe));
    assert_eq!(server.receive_probe(Packet::Ping("probe"), NOW), ProbeProgress::Probed);
    assert_eq!(server.poll_transmit(), Some(Transmit::ProbePong));
    client.receive_probe(&Packet::Pong("probe"));
    client.polling_paused();
    assert_eq!(client.poll_transmit(), Some(ClientTransmit::Upgrade));
    assert_eq!(server.receive_probe(Packet::Upgrade, NOW), ProbeProgress::Upgraded);
    assert_eq!(server.transport(), client.transport());

    for _ in 0..100 {
        let now = server.poll_timeout().unwrap();
        server.handle_timeout(now);
        assert_eq!(server.poll_transmit(), Some(Transmit::Ping));
        client.handle_timeout(now);
        client.receive(Packet::Ping(""), now).unwrap();
        assert_eq!(client.poll_transmit(), Some(ClientTransmit::Pong));
        server.receive(Packet::Pong(""), now).unwrap();
    }
    assert!(!server.is_closed() && !client.is_closed());
}

#[derive(Debug, Clone)]
enum Call {
    Receive(u8),
    Probe(u8),
    ProbeOpened,
    ProbeClosed,
    Paused,
    Timeout,
    TransportClosed,
    Close,
    Drain,
}

fn packet(choice: u8) -> Packet<'static> {
    match choice % 9 {
        0 => Packet::Open(OPEN),
        1 => Packet::Close,
        2 => Packet::Ping("probe"),
        3 | 4 => Packet::Pong("probe"),
        5 => Packet::Text("x"),
        6 => Packet::Binary(vec![1].into()),
        7 => Packet::Upgrade,
        _ => Packet::Noop,
    }
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        any::<u8>().prop_map(Call::Receive),
        any::<u8>().prop_map(Call::Probe),
        Just(Call::ProbeOpened),
        Just(Call::ProbeClosed),
        Just(Call::Paused),
        Just(Call::Timeout),
        Just(Call::TransportClosed),
        Just(Call::Close),
        Just(Call::Drain),
    ]
}

proptest! {
    #[test]
    fn arbitrary_calls_close_at_most_once_and_upgrade_at_most_once(calls in prop::collection::vec(call(), 0..60)) {
        let mut session = opening(Transport::Polling);
        let mut now = NOW;
        let mut seen = Vec::new();
        for call in calls {
            match call {
                Call::Receive(choice) => { let _ = session.receive(packet(choice), now); }
                Call::Probe(choice) => session.receive_probe(&packet(choice)),
                Call::ProbeOpened => { session.probe_opened(); }
                Call::ProbeClosed => session.probe_closed(),
                Call::Paused => session.polling_paused(),
                Call::Timeout => {
                    now = session.poll_timeout().unwrap_or(now);
                    session.handle_timeout(now);
                    prop_assert!(session.poll_timeout().is_none_or(|at| at > now));
                }
                Call::TransportClosed => session.handle_transport_closed(CloseReason::TransportError),
                Call::Close => session.close(),
                Call::Drain => {
                    transmits(&mut session);
                    seen.extend(events(&mut session));
                }
            }
        }
        seen.extend(events(&mut session));
        let count = |wanted: fn(&ClientEvent) -> bool| seen.iter().filter(|event| wanted(event)).count();
        prop_assert!(count(|event| *event == ClientEvent::Opened) <= 1);
        prop_assert!(count(|event| *event == ClientEvent::Upgraded) <= 1);
        let closed = count(|event| matches!(event, ClientEvent::Closed(_)));
        prop_assert_eq!(closed, usize::from(session.is_closed()));
        if closed == 1 {
            prop_assert!(matches!(seen.last(), Some(ClientEvent::Closed(_))));
        }
    }
}
