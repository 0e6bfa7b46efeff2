//! What an adapter is asked for and what it can do: two servers joined by one in memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure in a helper fails the test")]

mod common;

use common::{QUIET, SOON, TestServer, Ws, soon};
use serde_json::{Value, json};
use sockeye::{
    AckError, Args, Binary, BroadcastAckError, Data, Io, Parser, RemoteSocketData, Reply, Room,
    ServerSideEmitError, Socket,
    adapter::{
        AckSink, Adapter, AdapterError, BoxFuture, BroadcastOptions, LocalAdapter, LocalPart, Node, Payload,
        cluster::InProcess,
    },
};
use std::{
    future::IntoFuture,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Two servers, each with one client; the sockets' ids.
async fn two() -> ([TestServer; 2], [(Ws, String); 2]) {
    let cluster = InProcess::new();
    let servers = [0, 1].map(|_| Io::builder().adapter(cluster.adapter()).build());
    for io in &servers {
        common::usual_handlers(io);
        io.on("tell others", async |socket: Socket| socket.broadcast().emit("told", ()));
    }
    let servers = [TestServer::start(&servers[0]).await, TestServer::start(&servers[1]).await];
    let clients = [Ws::join(&servers[0]).await, Ws::join(&servers[1]).await];
    (servers, clients)
}

#[tokio::test]
async fn broadcast_reaches_the_clients_of_all_servers_once() {
    let ([a, b], [(mut at_a, id_a), (mut at_b, id_b)]) = two().await;
    a.io.emit("all", "é").unwrap();
    at_a.expect(&["42[\"all\",\"é\"]"]).await;
    at_b.expect(&["42[\"all\",\"é\"]"]).await;
    b.io.to(id_a.as_str()).emit("a only", ()).unwrap();
    at_a.expect(&["42[\"a only\"]"]).await;
    a.io.except(id_a.as_str()).emit("b only", ()).unwrap();
    at_b.expect(&["42[\"b only\"]"]).await;
    b.io.local().emit("local", ()).unwrap();
    at_b.expect(&["42[\"local\"]"]).await;
    a.io.emit("bytes", (1, Binary(vec![1, 2].into()))).unwrap();
    for ws in [&mut at_a, &mut at_b] {
        ws.expect(&["451-[\"bytes\",1,{\"_placeholder\":true,\"num\":0}]"]).await;
        assert_eq!(ws.next_binary().await, [1, 2]);
    }
    at_b.send("42[\"tell others\"]").await;
    at_a.expect(&["42[\"told\"]"]).await;
    at_a.expect_alive().await;
    at_b.expect_alive().await;
    assert_ne!(id_a, id_b);
}

#[tokio::test]
async fn namespaces_are_apart_on_the_bus() {
    let ([a, b], [(mut at_a, _), (mut at_b, _)]) = two().await;
    for server in [&a, &b] {
        server.io.of("/chat");
    }
    at_b.connect("/chat,").await;
    a.io.of("/chat").emit("chat", ()).unwrap();
    at_b.expect(&["42/chat,[\"chat\"]"]).await;
    at_a.expect_alive().await;
}

#[tokio::test]
async fn sockets_of_all_servers_are_fetched_moved_and_disconnected() {
    let ([a, b], [(mut at_a, id_a), (mut at_b, id_b)]) = two().await;
    // Operations are on their way while the next ones are begun.
    let expect_ids = async |io: &Io, room: &str, expected: &[&str]| {
        for _ in 0..200 {
            let mut ids: Vec<_> = soon(io.to(room).fetch_sockets()).await.unwrap();
            ids.sort_by(|left, right| left.id.cmp(&right.id));
            if ids.iter().map(|socket| &*socket.id).eq(expected.iter().copied()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not soon in {room}: {expected:?}");
    };
    let mut both = [&*id_a, &*id_b];
    both.sort();
    a.io.sockets_join("room");
    expect_ids(&b.io, "room", &both).await;
    assert_eq!(soon(a.io.local().fetch_sockets()).await.unwrap().len(), 1);
    b.io.to(id_a.as_str()).sockets_leave("room");
    expect_ids(&a.io, "room", &[&id_b]).await;
    a.io.local().sockets_join("local");
    expect_ids(&b.io, "local", &[&id_a]).await;

    a.io.to("room").disconnect_sockets(false);
    at_b.expect(&["41"]).await;
    at_b.connect("").await;
    b.io.to(id_a.as_str()).disconnect_sockets(true);
    at_a.expect(&["41"]).await;
    at_a.expect_end().await;
    at_b.expect_alive().await;
    expect_ids(&a.io, "room", &[]).await;
}

#[tokio::test]
async fn node_whose_server_is_gone_does_nothing() {
    let nodes = Arc::new(Mutex::new(Vec::new()));
    let kept = nodes.clone();
    let gone = Io::builder().adapter(move |node| {
        kept.lock().unwrap().push(node);
        LocalAdapter
    });
    drop(gone.build());
    let node: Arc<dyn Node> = nodes.lock().unwrap().remove(0);
    let all = BroadcastOptions::default();
    node.broadcast(&Payload::event("n", &()).unwrap(), &all, None);
    node.add_sockets(&all, &["room".into()]);
    node.disconnect_sockets(&all, true);
    assert!(node.fetch_sockets(&all).is_empty() && node.rooms().is_empty());
    assert_eq!(node.namespace(), "/");
    let io = Io::builder().adapter(InProcess::new().adapter()).build();
    let server = TestServer::start(&io).await;
    common::usual_handlers(&io);
    let (mut ws, _) = Ws::join(&server).await;
    server.io.emit("n", ()).unwrap();
    server.io.sockets_join("room");
    assert_eq!(server.io.fetch_sockets().await.unwrap().len(), 1);
    ws.expect(&["42[\"n\"]"]).await;
}

#[tokio::test]
async fn failing_cluster_is_an_error_of_fetching_and_of_nothing_else() {
    struct Down;
    impl Adapter for Down {
        fn broadcast(&self, _: &Payload, _: &BroadcastOptions) -> LocalPart {
            LocalPart::Server
        }
        fn broadcast_with_ack(&self, _: &Payload, _: &BroadcastOptions, acks: Arc<dyn AckSink>) {
            acks.server_count(1);
        }
        fn add_sockets(&self, _: &BroadcastOptions, _: &[Room]) -> LocalPart {
            LocalPart::Server
        }
        fn remove_sockets(&self, _: &BroadcastOptions, _: &[Room]) -> LocalPart {
            LocalPart::Server
        }
        fn disconnect_sockets(&self, _: &BroadcastOptions, _: bool) -> LocalPart {
            LocalPart::Server
        }
        fn fetch_sockets<'a>(
            &'a self,
            _: &'a BroadcastOptions,
        ) -> BoxFuture<'a, Result<Vec<RemoteSocketData>, AdapterError<RemoteSocketData>>> {
            Box::pin(async { Err(AdapterError::Disconnected) })
        }
        fn server_side_emit(&self, _: &Payload) {}
        fn server_side_emit_with_ack<'a>(
            &'a self,
            _: &'a Payload,
            _: Option<Duration>,
        ) -> BoxFuture<'a, Result<Vec<Payload>, AdapterError<Payload>>> {
            Box::pin(async { Err(AdapterError::Disconnected) })
        }
        fn server_count(&self) -> BoxFuture<'_, usize> {
            Box::pin(async { 1 })
        }
    }
    let io = Io::builder().adapter(|_| Down).build();
    let server = TestServer::start(&io).await;
    let (mut ws, id) = Ws::join(&server).await;
    assert!(matches!(server.io.fetch_sockets().await, Err(AdapterError::Disconnected)));
    assert!(matches!(server.io.all_rooms().await, Err(AdapterError::Disconnected)));
    let asked = server.io.server_side_emit_with_ack::<u8, _>("load", ()).await;
    assert!(matches!(asked, Err(ServerSideEmitError::Disconnected)));
    let local: Vec<_> = server.io.local().fetch_sockets().await.unwrap();
    assert_eq!(local.len(), 1);
    assert_eq!(*local[0].id, id);
    server.io.emit("n", ()).unwrap();
    ws.expect(&["42[\"n\"]"]).await;
    let asked = server.io.timeout(QUIET).emit_with_ack::<u8, _>("ask", ());
    ws.expect(&["420[\"ask\"]"]).await;
    ws.send("430[1]").await;
    assert!(matches!(asked.await, Err(BroadcastAckError::Timeout { answers }) if answers == [1]));
}

#[tokio::test]
async fn adapter_may_do_the_part_of_its_own_server() {
    /// Applies everything to the own node, later.
    struct Echo(Arc<dyn Node>);
    impl Adapter for Echo {
        fn broadcast(&self, event: &Payload, options: &BroadcastOptions) -> LocalPart {
            self.0.broadcast(event, options, Some("1-0"));
            LocalPart::Adapter
        }
        fn broadcast_with_ack(&self, _: &Payload, _: &BroadcastOptions, acks: Arc<dyn AckSink>) {
            acks.server_count(0);
        }
        fn add_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) -> LocalPart {
            self.0.add_sockets(options, rooms);
            LocalPart::Adapter
        }
        fn remove_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) -> LocalPart {
            self.0.remove_sockets(options, rooms);
            LocalPart::Adapter
        }
        fn disconnect_sockets(&self, options: &BroadcastOptions, close: bool) -> LocalPart {
            self.0.disconnect_sockets(options, close);
            LocalPart::Adapter
        }
        fn fetch_sockets<'a>(
            &'a self,
            _: &'a BroadcastOptions,
        ) -> BoxFuture<'a, Result<Vec<RemoteSocketData>, AdapterError<RemoteSocketData>>> {
            Box::pin(async { Ok(Vec::new()) })
        }
        fn server_side_emit(&self, _: &Payload) {}
        fn server_side_emit_with_ack<'a>(
            &'a self,
            _: &'a Payload,
            _: Option<Duration>,
        ) -> BoxFuture<'a, Result<Vec<Payload>, AdapterError<Payload>>> {
            Box::pin(async { Ok(Vec::new()) })
        }
        fn server_count(&self) -> BoxFuture<'_, usize> {
            Box::pin(async { 1 })
        }
    }
    let io = Io::builder().adapter(Echo).build();
    let server = TestServer::start(&io).await;
    let (mut ws, _) = Ws::join(&server).await;
    io.emit("once", 1).unwrap();
    io.sockets_join("room");
    assert_eq!(io.room_len("room"), 1);
    io.sockets_leave("room");
    assert_eq!(io.room_len("room"), 0);
    io.disconnect_sockets(false);
    ws.expect(&["42[\"once\",1]", "41"]).await;
}

#[tokio::test]
async fn clients_of_all_servers_acknowledge_a_broadcast() {
    let ([a, b], [(mut at_a, id_a), (mut at_b, id_b)]) = two().await;
    let asked = a.io.timeout(SOON).emit_with_ack::<String, _>("ask", (1, Binary(vec![7].into())));
    for (ws, answer) in [(&mut at_b, "430[\"b\"]"), (&mut at_a, "430[\"a\"]")] {
        ws.expect(&["451-0[\"ask\",1,{\"_placeholder\":true,\"num\":0}]"]).await;
        assert_eq!(ws.next_binary().await, [7]);
        ws.send(answer).await;
    }
    let mut answers = soon(asked).await.unwrap();
    answers.sort();
    assert_eq!(answers, ["a", "b"]);

    let asked = b.io.to(id_a.as_str()).timeout(QUIET).emit_with_ack::<String, _>("ask", ());
    at_a.expect(&["421[\"ask\"]"]).await;
    assert!(matches!(soon(asked).await, Err(BroadcastAckError::Timeout { answers }) if answers.is_empty()));
    at_b.expect_alive().await;

    let remote = soon(a.io.to(id_b.as_str()).fetch_sockets()).await.unwrap().remove(0);
    let asking = async { remote.emit_with_ack::<u8, _>(SOON, "ask", ()).await };
    let answering = async {
        at_b.expect(&["422[\"ask\"]"]).await;
        at_b.send("432[9]").await;
    };
    assert_eq!(tokio::join!(soon(asking), answering).0.unwrap(), 9);
    remote.emit("hello", "you").unwrap();
    remote.join("room");
    at_b.expect(&["42[\"hello\",\"you\"]"]).await;
    common::until("it has joined", || b.io.room_len("room") == 1).await;
    remote.leave("room");
    common::until("it has left", || b.io.room_len("room") == 0).await;
    remote.disconnect(true);
    at_b.expect(&["41"]).await;
    at_b.expect_end().await;
    assert!(matches!(remote.emit_with_ack::<u8, _>(SOON, "ask", ()).await, Err(AckError::Disconnected)));
}

#[tokio::test]
async fn what_a_socket_shares_is_known_on_all_servers() {
    let ([a, b], [(_at_a, id_a), _]) = two().await;
    let socket = a.io.socket(&id_a).unwrap();
    let remote = async || soon(b.io.to(id_a.as_str()).fetch_sockets()).await.unwrap().remove(0);
    assert_eq!(remote().await.data, "{}");
    socket.set_data(7_u8);
    socket.set_shared_data(&json!({ "name": "ann" })).unwrap();
    assert_eq!(remote().await.shared_data::<Value>().unwrap(), json!({ "name": "ann" }));
    assert_eq!(socket.shared_data::<Value>().unwrap()["name"], "ann");
    assert_eq!(socket.data::<u8>(), Some(7));
    let handshake: Value = serde_json::from_str(&remote().await.handshake).unwrap();
    assert!(handshake["headers"]["host"].is_string());
    let mut rooms = soon(b.io.all_rooms()).await.unwrap();
    rooms.retain(|room| **room == *id_a);
    assert_eq!(rooms.len(), 1);
    assert_eq!(a.io.server_count().await, 2);
}

#[tokio::test]
async fn servers_send_events_to_each_other() {
    let ([a, b], _clients) = two().await;
    let (log, mut lines) = common::log();
    for (server, name) in [(&a, "a"), (&b, "b")] {
        let heard = log.clone();
        server.io.on_server_event("hello", move |Args((text, number)): Args<(String, u8)>| {
            heard.write(format_args!("{name} {text} {number}"));
            async {}
        });
        server.io.on_server_event("name", move || async move { name });
        server.io.on_server_event("late", async || {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Reply([1, 2])
        });
        server.io.on_server_event("silent", async || Err::<(), _>("nothing to say"));
        server.io.on_server_event("panics", async || -> () { panic!("in a handler") });
        server.io.on_server_event("binary", async |Data(bytes): Data<Binary>| bytes);
    }
    a.io.server_side_emit("hello", ("world", 1)).unwrap();
    b.io.server_side_emit("hello", ("world", 2)).unwrap();
    b.io.server_side_emit("hello", "too few").unwrap();
    lines.expect(&["b world 1", "a world 2"]).await;
    lines.expect_silence().await;
    assert!(a.io.server_side_emit("disconnect", ()).is_err());

    assert_eq!(
        soon(a.io.server_side_emit_with_ack::<String, _>("name", ()).into_future()).await.unwrap(),
        ["b"]
    );
    let late = b.io.server_side_emit_with_ack::<Value, _>("late", ()).into_future();
    assert_eq!(soon(late).await.unwrap(), [json!([1, 2])]);
    let bytes = b.io.server_side_emit_with_ack::<Binary, _>("binary", Binary(vec![3].into())).into_future();
    assert_eq!(soon(bytes).await.unwrap(), [Binary(vec![3].into())]);
    for event in ["silent", "panics", "unknown"] {
        let asked = a.io.server_side_emit_with_ack::<String, _>(event, ()).timeout(QUIET).into_future();
        let error = soon(asked).await.unwrap_err();
        assert!(matches!(error, ServerSideEmitError::Timeout { answers } if answers.is_empty()), "{event}");
    }
    let wrong = soon(a.io.server_side_emit_with_ack::<u8, _>("name", ()).into_future()).await;
    assert!(matches!(wrong, Err(ServerSideEmitError::InvalidAnswer(_))));
}

#[tokio::test]
async fn server_that_is_alone_gets_no_answers_at_once() {
    let io = Io::new();
    assert!(io.server_side_emit_with_ack::<u8, _>("load", ()).await.unwrap().is_empty());
    assert!(io.emit_with_ack::<u8, _>("ask", ()).await.unwrap().is_empty());
    assert_eq!(io.server_count().await, 1);
    assert!(io.all_rooms().await.unwrap().is_empty());
}

#[tokio::test]
async fn adapter_that_follows_rooms_is_told_of_every_change_and_of_the_end() {
    #[derive(Clone)]
    struct Following {
        node: Arc<dyn Node>,
        log: common::Log,
    }
    impl Adapter for Following {
        fn broadcast(&self, _: &Payload, _: &BroadcastOptions) -> LocalPart {
            LocalPart::Server
        }
        fn broadcast_with_ack(&self, _: &Payload, _: &BroadcastOptions, acks: Arc<dyn AckSink>) {
            acks.server_count(0);
        }
        fn add_sockets(&self, _: &BroadcastOptions, _: &[Room]) -> LocalPart {
            LocalPart::Server
        }
        fn remove_sockets(&self, _: &BroadcastOptions, _: &[Room]) -> LocalPart {
            LocalPart::Server
        }
        fn disconnect_sockets(&self, _: &BroadcastOptions, _: bool) -> LocalPart {
            LocalPart::Server
        }
        fn fetch_sockets<'a>(
            &'a self,
            _: &'a BroadcastOptions,
        ) -> BoxFuture<'a, Result<Vec<RemoteSocketData>, AdapterError<RemoteSocketData>>> {
            Box::pin(async { Ok(Vec::new()) })
        }
        fn server_side_emit(&self, _: &Payload) {}
        fn server_side_emit_with_ack<'a>(
            &'a self,
            _: &'a Payload,
            _: Option<Duration>,
        ) -> BoxFuture<'a, Result<Vec<Payload>, AdapterError<Payload>>> {
            Box::pin(async { Ok(Vec::new()) })
        }
        fn server_count(&self) -> BoxFuture<'_, usize> {
            Box::pin(async { 1 })
        }
        fn init(&self) {
            self.log.write("init");
        }
        fn close(&self) -> BoxFuture<'_, ()> {
            self.log.write("close");
            Box::pin(async {})
        }
        fn follows_rooms(&self) -> bool {
            true
        }
        fn room_changed(&self, room: &Room) {
            let name = if room.len() == 20 { "own" } else { room };
            self.log.write(format_args!("{name} {}", self.node.has_room(room)));
        }
    }
    let (log, mut lines) = common::log();
    let io = Io::builder().adapter(move |node| Following { node, log: log.clone() }).build();
    let server = TestServer::start(&io).await;
    lines.expect(&["init"]).await;
    let (ws, id) = Ws::join(&server).await;
    lines.expect(&["own true"]).await;
    let socket = io.socket(&id).unwrap();
    socket.join("room");
    socket.join("room");
    socket.leave("room");
    socket.leave("room");
    socket.join("other");
    lines.expect(&["room true", "room false", "other true"]).await;
    drop(ws);
    lines.expect(&["own false", "other false"]).await;
    soon(io.close(SOON)).await;
    lines.expect(&["close"]).await;
}

#[tokio::test]
async fn servers_with_another_parser_understand_each_other() {
    use sockeye_socketio::{Limits, msgpack};

    let cluster = InProcess::new();
    let json = Io::builder().adapter(cluster.adapter()).build();
    let binary = Io::builder().adapter(cluster.adapter()).parser(Parser::MsgPack).build();
    let (json, binary) = (TestServer::start(&json).await, TestServer::start(&binary).await);
    let (mut at_json, _) = Ws::join(&json).await;
    let mut at_binary = Ws::open(&binary).await;
    at_binary.send_binary(b"\x82\xa4type\x00\xa3nsp\xa1/").await;
    at_binary.next_binary().await;

    let args = ("é", 1.5, Binary(vec![1, 2].into()), serde_json::json!({ "k": [null] }));
    let text = r#"["e","é",1.5,{"_placeholder":true,"num":0},{"k":[null]}]"#;
    for io in [&json.io, &binary.io] {
        io.emit("e", args.clone()).unwrap();
        at_json.expect(&[&format!("451-{text}")]).await;
        assert_eq!(at_json.next_binary().await, [1, 2]);
        let message = at_binary.next_binary().await.into();
        let event = msgpack::Packet::decode(&message, &Limits::default()).unwrap().event().unwrap();
        let (array, attachments) = event.args.to_text();
        assert_eq!(array, text.replace("\"e\",", ""));
        assert_eq!(attachments, [&[1, 2][..]]);
    }
}
