use super::*;
use crate::RemoteSocketData;

const SECOND: Duration = Duration::from_secs(1);

/// Servers whose messages are carried by hand.
struct Net {
    servers: Vec<Cluster>,
    now: Duration,
}

impl Net {
    fn new(count: usize, membership: Membership) -> Self {
        let config = ClusterConfig { membership, ..ClusterConfig::default() };
        let servers =
            (0..count).map(|i| Cluster::new(&format!("server-{i}"), "/", config.clone(), Duration::ZERO));
        let mut net = Self { servers: servers.collect(), now: Duration::ZERO };
        net.carry(|_, _, _| true);
        net
    }

    /// Carries messages until there are no more; `arrives` decides about each by its sender and receiver.
    fn carry(&mut self, arrives: impl Fn(usize, usize, &Body) -> bool) {
        loop {
            let mut any = false;
            for from in 0..self.servers.len() {
                while let Some(Transmit { target, message }) = self.servers[from].poll_transmit() {
                    any = true;
                    for to in 0..self.servers.len() {
                        let is_meant = match &target {
                            Target::All => true,
                            Target::Server(uid) => *uid == *self.servers[to].uid(),
                        };
                        if is_meant && arrives(from, to, &message.body) {
                            self.servers[to].handle_message(message.clone(), Some("7-0"), self.now);
                        }
                    }
                }
            }
            if !any {
                return;
            }
        }
    }

    /// What happened on a server; requests of others are answered.
    fn events(&mut self, server: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.servers[server].poll_event() {
            events.push(event);
        }
        events
    }

    /// Answers the requests that came to a server.
    fn answer(&mut self, server: usize) {
        for event in self.events(server) {
            let cluster = &mut self.servers[server];
            match event {
                Event::FetchSockets { incoming, .. } => {
                    cluster.answer_sockets(incoming, vec![socket(server)])
                }
                Event::ServerSideEmit { incoming: Some(incoming), .. } => {
                    cluster.answer_event(incoming, Payload::args(&server).unwrap());
                }
                Event::BroadcastWithAck { incoming, .. } => {
                    cluster.answer_client(incoming.clone(), Payload::args(&server).unwrap());
                    cluster.answer_client_count(incoming, 2);
                }
                _ => {}
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        for server in &mut self.servers {
            server.handle_timeout(self.now);
        }
    }
}

fn socket(server: usize) -> RemoteSocketData {
    RemoteSocketData {
        id: format!("socket-{server}").into(),
        handshake: "{}".into(),
        rooms: Vec::new(),
        data: "{}".into(),
    }
}

fn event() -> Payload {
    Payload::event("e", &1).unwrap()
}

const BOTH: [Membership; 2] = [Membership::Counted, Membership::HEARTBEAT];

#[test]
fn operations_reach_all_other_servers_of_the_namespace_once() {
    for membership in BOTH {
        let mut net = Net::new(3, membership);
        net.servers[2].namespace = "/other".into();
        let options = BroadcastOptions { rooms: vec!["r".into()], ..BroadcastOptions::default() };
        net.servers[0].broadcast(&event(), &options, net.now);
        net.servers[0].add_sockets(&options, &["a".into()], net.now);
        net.servers[0].remove_sockets(&options, &["a".into()], net.now);
        net.servers[0].disconnect_sockets(&options, true, net.now);
        net.servers[0].server_side_emit(&event(), net.now);
        net.carry(|_, _, _| true);
        let expected = [
            Event::Broadcast { event: event(), options: options.clone(), offset: Some("7-0".into()) },
            Event::AddSockets { options: options.clone(), rooms: vec!["a".into()] },
            Event::RemoveSockets { options: options.clone(), rooms: vec!["a".into()] },
            Event::DisconnectSockets { options, close: true },
            Event::ServerSideEmit { event: event(), incoming: None },
        ];
        assert_eq!(net.events(1), expected);
        assert_eq!(net.events(0), []);
        assert_eq!(net.events(2), []);
    }
}

#[test]
fn own_operations_are_applied_when_an_echoing_bus_brings_them_back() {
    let config = ClusterConfig { echo: true, membership: Membership::Counted, ..ClusterConfig::default() };
    let mut server = Cluster::new("a", "/", config, Duration::ZERO);
    server.broadcast(&event(), &BroadcastOptions::default(), SECOND);
    server.server_side_emit(&event(), SECOND);
    while let Some(transmit) = server.poll_transmit() {
        server.handle_message(transmit.message, Some("1-1"), SECOND);
    }
    let Some(Event::Broadcast { offset, .. }) = server.poll_event() else { panic!("no broadcast") };
    assert_eq!(offset.as_deref(), Some("1-1"));
    assert_eq!(server.poll_event(), None, "an event for the other servers is not for this one");
}

#[test]
fn sockets_of_all_servers_are_fetched() {
    for membership in BOTH {
        let mut net = Net::new(3, membership);
        let id = net.servers[0].fetch_sockets(&BroadcastOptions::default(), 2, net.now);
        net.carry(|_, _, _| true);
        net.answer(1);
        net.carry(|_, _, _| true);
        assert_eq!(net.events(0), [], "one server has not answered");
        net.answer(2);
        net.carry(|_, _, _| true);
        let [Event::Fetched { id: done, result: Ok(sockets) }] = &net.events(0)[..] else {
            panic!("not done")
        };
        assert_eq!((*done, sockets.len()), (id, 2));
        net.pass(10 * SECOND);
        assert_eq!(net.events(0), []);
    }
}

#[test]
fn request_without_other_servers_is_over_at_once() {
    for membership in BOTH {
        let mut net = Net::new(1, membership);
        let server = &mut net.servers[0];
        let fetch = server.fetch_sockets(&BroadcastOptions::default(), 0, SECOND);
        let emit = server.server_side_emit_with_ack(&event(), None, 0, SECOND);
        let (broadcast, count) = server.broadcast_with_ack(&event(), &BroadcastOptions::default(), 0, SECOND);
        assert_eq!(count, 0);
        assert_eq!(server.poll_transmit(), None);
        let expected = [
            Event::Fetched { id: fetch, result: Ok(Vec::new()) },
            Event::Answered { id: emit, result: Ok(Vec::new()) },
            Event::Collected { id: broadcast },
        ];
        assert_eq!(net.events(0), expected);
    }
}

#[test]
fn lost_answer_ends_a_request_after_its_timeout_with_the_others() {
    for membership in BOTH {
        let mut net = Net::new(3, membership);
        let options = BroadcastOptions { timeout: Some(2 * SECOND), ..BroadcastOptions::default() };
        net.servers[0].fetch_sockets(&options, 2, net.now);
        net.servers[0].server_side_emit_with_ack(&event(), None, 2, net.now);
        let silent = |from, _: usize, body: &Body| from != 2 || matches!(body, Body::Heartbeat);
        net.carry(silent);
        net.answer(1);
        net.answer(2);
        net.carry(silent);
        net.pass(SECOND);
        assert_eq!(net.events(0), []);
        assert_eq!(net.servers[0].poll_timeout(), Some(2 * SECOND));
        net.pass(SECOND);
        let [Event::Fetched { result: Err(AdapterError::Timeout { partial }), .. }] = &net.events(0)[..]
        else {
            panic!("no timeout")
        };
        assert_eq!(partial[0].id, "socket-1".into());
        net.pass(3 * SECOND);
        let [Event::Answered { result: Err(AdapterError::Timeout { partial }), .. }] = &net.events(0)[..]
        else {
            panic!("no timeout")
        };
        assert_eq!(*partial, [Payload::args(&1).unwrap()]);
    }
}

#[test]
fn answer_that_comes_twice_or_from_a_stranger_counts_once() {
    let mut net = Net::new(3, Membership::Counted);
    net.servers[0].fetch_sockets(&BroadcastOptions::default(), 2, net.now);
    let request_id = "server-0-0".to_owned();
    let response = |uid: &str, request_id: &str| Message {
        uid: uid.into(),
        nsp: "/".into(),
        body: Body::FetchSocketsResponse { request_id: request_id.into(), sockets: vec![socket(9)] },
    };
    let server = &mut net.servers[0];
    for _ in 0..3 {
        server.handle_message(response("server-1", &request_id), None, SECOND);
    }
    for name in
        ["", "server-0", "server-0-", "server-0-1", "server-1-0", "server-0-99999999999999999999", "é-0"]
    {
        server.handle_message(response("server-2", name), None, SECOND);
    }
    // An answer of another kind.
    let body = Body::ServerSideEmitResponse { request_id: request_id.clone(), answer: event() };
    server.handle_message(Message { uid: "server-2".into(), nsp: "/".into(), body }, None, SECOND);
    assert_eq!(server.poll_event(), None);
    server.handle_message(response("server-2", &request_id), None, SECOND);
    let Some(Event::Fetched { result: Ok(sockets), .. }) = server.poll_event() else { panic!("not done") };
    assert_eq!(sockets.len(), 2);

    let mut net = Net::new(2, Membership::HEARTBEAT);
    net.servers[0].fetch_sockets(&BroadcastOptions::default(), 0, net.now);
    net.servers[0].handle_message(response("stranger", &request_id), None, SECOND);
    assert_eq!(net.events(0), []);
}

#[test]
fn answers_to_a_broadcast_come_as_they_are_given() {
    for membership in BOTH {
        let mut net = Net::new(2, membership);
        let options = BroadcastOptions { timeout: Some(SECOND), ..BroadcastOptions::default() };
        let (id, count) = net.servers[0].broadcast_with_ack(&event(), &options, 1, net.now);
        assert_eq!(count, 1);
        net.carry(|_, _, _| true);
        let Some(Event::BroadcastWithAck { incoming, .. }) = net.servers[1].poll_event() else { panic!() };
        let answer = Payload::args(&"a").unwrap();
        let asked = &mut net.servers[1];
        asked.answer_client(incoming.clone(), answer.clone());
        asked.answer_client_count(incoming.clone(), 2);
        asked.answer_client_count(incoming.clone(), 9);
        for _ in 0..3 {
            asked.answer_client(incoming.clone(), answer.clone());
        }
        net.carry(|_, _, _| true);
        let expected = [
            Event::ClientAnswer { id, answer: answer.clone() },
            Event::ClientCount { id, count: 2 },
            Event::ClientAnswer { id, answer },
            Event::Collected { id },
        ];
        assert_eq!(net.events(0), expected, "those beyond the count are not believed");
    }
}

#[test]
fn broadcast_is_given_up_after_its_timeout_or_when_nobody_waits() {
    let mut net = Net::new(2, Membership::Counted);
    let options = BroadcastOptions { timeout: Some(SECOND), ..BroadcastOptions::default() };
    let (first, _) = net.servers[0].broadcast_with_ack(&event(), &options, 1, net.now);
    let (second, _) = net.servers[0].broadcast_with_ack(&event(), &options, 1, net.now);
    net.servers[0].cancel(second);
    net.carry(|_, to, _| to == 1);
    net.pass(SECOND);
    assert_eq!(net.events(0), [Event::Collected { id: first }]);
    assert_eq!(net.servers[0].poll_timeout(), None);
    net.answer(1);
    net.carry(|_, _, _| true);
    assert_eq!(net.events(0), [], "it is too late");
}

#[test]
fn servers_find_each_other_and_lose_who_is_silent() {
    let mut net = Net::new(3, Membership::HEARTBEAT);
    for server in &net.servers {
        assert_eq!(server.known_servers(), 2);
    }
    // Server 2 is cut off; the others go on.
    for _ in 0..9 {
        net.pass(SECOND);
        net.carry(|from, _, _| from != 2);
    }
    assert_eq!(net.servers[0].known_servers(), 2);
    net.pass(SECOND);
    net.carry(|from, _, _| from != 2);
    assert_eq!(net.servers[0].known_servers(), 1);
    assert_eq!(net.servers[2].known_servers(), 2, "it hears the others");
    net.pass(5 * SECOND);
    net.carry(|_, _, _| true);
    assert_eq!(net.servers[0].known_servers(), 2);
    net.servers[1].leave(net.now);
    net.carry(|_, _, _| true);
    assert_eq!(net.servers[0].known_servers(), 1);
}

#[test]
fn any_message_to_all_is_as_good_as_a_heartbeat() {
    let mut net = Net::new(2, Membership::HEARTBEAT);
    net.pass(4 * SECOND);
    net.servers[0].broadcast(&event(), &BroadcastOptions::default(), net.now);
    net.carry(|_, _, _| true);
    assert_eq!(net.servers[0].heartbeat, Some(9 * SECOND));
    assert_eq!(net.servers[1].servers["server-0"], 4 * SECOND);
}

#[test]
fn emitter_is_no_server_and_there_are_only_so_many() {
    let config = ClusterConfig { max_server_count: 2, ..ClusterConfig::default() };
    let mut server = Cluster::new("a", "/", config, Duration::ZERO);
    for uid in ["emitter", "", "a", "b", "c", "d"] {
        let message = Message { uid: uid.into(), nsp: "/".into(), body: Body::Heartbeat };
        server.handle_message(message, None, SECOND);
    }
    assert_eq!(server.known_servers(), 2);
}

#[test]
fn server_that_dies_is_not_waited_for() {
    let mut net = Net::new(3, Membership::HEARTBEAT);
    let options = BroadcastOptions { timeout: Some(100 * SECOND), ..BroadcastOptions::default() };
    let fetch = net.servers[0].fetch_sockets(&options, 0, net.now);
    let emit = net.servers[0].server_side_emit_with_ack(&event(), Some(100 * SECOND), 0, net.now);
    let (counted, _) = net.servers[0].broadcast_with_ack(&event(), &options, 0, net.now);
    net.carry(|_, _, _| true);
    net.answer(1);
    // Server 2 answers the broadcast in part, and dies.
    let incoming = net.events(2).into_iter().find_map(|event| match event {
        Event::BroadcastWithAck { incoming, .. } => Some(incoming),
        _ => None,
    });
    net.servers[2].answer_client_count(incoming.unwrap(), 5);
    net.carry(|_, _, _| true);
    let mut events = net.events(0);
    events.retain(|event| !matches!(event, Event::ClientCount { .. } | Event::ClientAnswer { .. }));
    assert_eq!(events, []);
    // Another broadcast, which it never answers at all.
    let (unanswered, _) = net.servers[0].broadcast_with_ack(&event(), &options, 0, net.now);
    net.carry(|_, to, _| to == 1);
    net.answer(1);
    net.carry(|from, _, _| from == 1);
    net.events(0);
    for _ in 0..10 {
        net.pass(SECOND);
        net.carry(|from, _, _| from != 2);
    }
    let events = net.events(0);
    let fetched = events.iter().any(|event| matches!(event, Event::Fetched { id, result: Ok(sockets) } if *id == fetch && sockets.len() == 1));
    let answered = events.iter().any(|event| matches!(event, Event::Answered { id, result: Ok(answers) } if *id == emit && answers.len() == 1));
    assert!(fetched && answered, "{events:?}");
    assert!(events.contains(&Event::ClientsGone { id: counted, count: 5 }));
    assert!(events.contains(&Event::ClientCount { id: unanswered, count: 0 }));
}

#[test]
fn who_leaves_gets_what_came() {
    let mut net = Net::new(2, Membership::HEARTBEAT);
    let id = net.servers[0].fetch_sockets(&BroadcastOptions::default(), 0, net.now);
    net.servers[0].leave(net.now);
    assert_eq!(
        net.events(0),
        [Event::Fetched { id, result: Err(AdapterError::Timeout { partial: vec![] }) }]
    );
    assert_eq!(net.servers[0].heartbeat, None);
}
