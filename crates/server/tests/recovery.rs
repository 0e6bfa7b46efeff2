//! Connection state recovery over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure in a helper fails the test")]

mod common;

use common::{Lines, Log, Polling, QUIET, SOON, TestServer, Ws, soon, until};
use serde_json::{Value, json};
use sockeye::{Binary, ConnectError, ConnectionStateRecovery, Data, DisconnectReason, Io, Socket};
use std::time::Duration;

/// A server with recovery, and a log of its connections and disconnections.
async fn recovering(change: impl FnOnce(&mut ConnectionStateRecovery)) -> (TestServer, Lines) {
    let io = Io::builder().connection_state_recovery(change).build();
    handle(&io);
    let (log, lines) = common::log();
    observe(&io, &log);
    (TestServer::start(&io).await, lines)
}

fn handle(namespace: &sockeye::Namespace) {
    common::usual_handlers(namespace);
    namespace.on("join", async |socket: Socket, Data(room): Data<String>| {
        socket.join(room);
    });
    namespace.on("leave", async |socket: Socket| socket.disconnect(false));
}

fn observe(namespace: &sockeye::Namespace, log: &Log) {
    let connected = log.clone();
    namespace.on_connection(move |socket: Socket| {
        connected.write(if socket.recovered() { "recovered" } else { "new" });
        async {}
    });
    let disconnected = log.clone();
    namespace.on_disconnect(move |socket: Socket, reason: DisconnectReason| {
        assert!(socket.rooms().is_empty());
        // Which of the two a client causes that is dropped depends on what it has not read.
        let is_lost = matches!(reason.as_str(), "transport close" | "transport error");
        disconnected.write(if is_lost { "lost" } else { reason.as_str() });
        async {}
    });
}

/// What a client knows of its session.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    sid: String,
    pid: String,
    offset: String,
}

impl Known {
    fn auth(&self) -> String {
        json!({ "pid": self.pid, "offset": self.offset }).to_string()
    }
}

/// Splits the offset from an event: `42["a",1,"offset"]`.
fn split(packet: &str) -> (String, String) {
    let start = packet.find('[').unwrap();
    let mut args: Vec<Value> = serde_json::from_str(&packet[start..]).unwrap();
    let Some(Value::String(offset)) = args.pop() else { panic!("no offset: {packet}") };
    (format!("{}{}", &packet[..start], Value::Array(args)), offset)
}

/// Connects to a namespace, written as in packets, with what is missed; and with it all events before CONNECT.
async fn connect(ws: &mut Ws, namespace: &str, auth: &str) -> (Value, Vec<(String, String)>) {
    ws.send(&format!("40{namespace}{auth}")).await;
    let mut missed = Vec::new();
    loop {
        let packet = ws.next().await;
        if let Some(reply) = packet.strip_prefix(&format!("40{namespace}")) {
            return (serde_json::from_str(reply).unwrap(), missed);
        }
        missed.push(split(&packet));
    }
}

/// A new client that has seen one event.
async fn client(server: &TestServer) -> (Ws, Known) {
    let mut ws = Ws::open(server).await;
    let (reply, missed) = connect(&mut ws, "", "").await;
    assert!(missed.is_empty());
    let text = |key: &str| reply[key].as_str().unwrap().to_owned();
    let (sid, pid) = (text("sid"), text("pid"));
    assert_ne!(sid, pid);
    server.io.to(sid.as_str()).emit("hello", ()).unwrap();
    let (event, offset) = split(&ws.next().await);
    assert_eq!(event, "42[\"hello\"]");
    (ws, Known { sid, pid, offset })
}

/// A client comes back; what it missed.
async fn come_back(server: &TestServer, known: &mut Known) -> (Ws, Vec<String>) {
    let mut ws = Ws::open(server).await;
    let (reply, missed) = connect(&mut ws, "", &known.auth()).await;
    assert_eq!(reply, json!({ "sid": known.sid, "pid": known.pid }));
    if let Some((_, offset)) = missed.last() {
        known.offset.clone_from(offset);
    }
    (ws, missed.into_iter().map(|(event, _)| event).collect())
}

/// A client that tries to come back is a new one.
async fn expect_new(server: &TestServer, known: &Known, auth: &str) -> Ws {
    let mut ws = Ws::open(server).await;
    let (reply, missed) = connect(&mut ws, "", auth).await;
    assert!(missed.is_empty());
    assert_ne!(reply["sid"], known.sid.as_str(), "{auth}");
    assert_ne!(reply["pid"], known.pid.as_str(), "{auth}");
    ws
}

#[tokio::test]
async fn client_comes_back_with_id_rooms_data_and_what_it_missed() {
    let (server, mut lines) = recovering(|_| ()).await;
    let (ws, mut known) = client(&server).await;
    let socket = server.io.socket(&known.sid).unwrap();
    for room in ["a", "b", "c"] {
        socket.join(room);
    }
    socket.set_data(7_u8);
    socket.set_shared_data(&json!({ "name": "ann" })).unwrap();
    drop(ws);
    lines.expect(&["new", "lost"]).await;
    assert!(!socket.is_connected() && socket.rooms().is_empty());

    let io = &server.io;
    io.emit("all", (1, "é")).unwrap();
    io.to("a").to("b").emit("rooms", ()).unwrap();
    io.to("d").emit("elsewhere", ()).unwrap();
    io.to("a").except("c").emit("except a room", ()).unwrap();
    io.except(known.sid.as_str()).emit("except this one", ()).unwrap();
    io.volatile().emit("volatile", ()).unwrap();
    io.to(known.sid.as_str()).emit("bytes", Binary(vec![1, 2].into())).unwrap();
    socket.emit("by handle", ()).unwrap();
    drop(io.to("a").emit_with_ack::<u8, _>("ask", ()));

    let mut ws = Ws::open(&server).await;
    ws.send(&format!("40{}", known.auth())).await;
    for event in ["42[\"all\",1,\"é\"]", "42[\"rooms\"]"] {
        assert_eq!(split(&ws.next().await).0, event);
    }
    let (event, offset) = split(&ws.next().await);
    assert_eq!(event, "451-[\"bytes\",{\"_placeholder\":true,\"num\":0}]");
    assert_eq!(ws.next_binary().await, [1, 2]);
    let (event, last) = split(&ws.next().await);
    assert_eq!(event, "42[\"by handle\"]");
    assert_ne!(offset, last);
    let expected = json!({ "sid": known.sid, "pid": known.pid });
    assert_eq!(serde_json::from_str::<Value>(&ws.next().await[2..]).unwrap(), expected);
    ws.expect_alive().await;
    lines.expect(&["recovered"]).await;

    let back = io.socket(&known.sid).unwrap();
    assert!(back.recovered() && back != socket);
    let mut rooms = back.rooms();
    rooms.sort();
    let mut expected = [known.sid.as_str(), "a", "b", "c"].map(sockeye::Room::from);
    expected.sort();
    assert_eq!(rooms, expected);
    assert!(socket.rooms().is_empty() && !socket.leave("a"), "the old socket has no part in it");
    assert_eq!(back.data::<u8>(), Some(7));
    assert_eq!(back.shared_data::<Value>().unwrap()["name"], "ann");
    // The handle of before means the same client, as in the official server.
    socket.emit("still", ()).unwrap();
    let (event, offset) = split(&ws.next().await);
    assert_eq!(event, "42[\"still\"]");
    // Once more, with nothing missed.
    known.offset = offset;
    drop(ws);
    lines.expect(&["lost"]).await;
    let (mut ws, missed) = come_back(&server, &mut known).await;
    assert!(missed.is_empty());
    ws.expect_alive().await;
}

#[tokio::test]
async fn events_get_offsets_only_when_they_can_be_recovered() {
    let (server, _lines) = recovering(|_| ()).await;
    let (mut ws, known) = client(&server).await;
    let socket = server.io.socket(&known.sid).unwrap();
    socket.volatile().emit("volatile", ()).unwrap();
    drop(socket.emit_with_ack::<u8, _>("ask", 1));
    drop(server.io.emit_with_ack::<u8, _>("ask", 2));
    ws.expect(&["42[\"volatile\"]", "420[\"ask\",1]", "421[\"ask\",2]"]).await;
    let server = TestServer::with(|_| ()).await;
    let (mut ws, id) = Ws::join(&server).await;
    server.io.emit("plain", ()).unwrap();
    server.io.socket(&id).unwrap().emit("plain", ()).unwrap();
    ws.expect(&["42[\"plain\"]", "42[\"plain\"]"]).await;
    assert!(!server.io.socket(&id).unwrap().recovered());
}

#[tokio::test]
async fn only_lost_connections_are_recovered() {
    let (server, mut lines) = recovering(|_| ()).await;
    for (packet, reason) in [
        ("41", "client namespace disconnect"),
        ("42[\"leave\"]", "server namespace disconnect"),
        ("42[\"bye\"]", "server namespace disconnect"),
        ("x", "parse error"),
    ] {
        let (mut ws, known) = client(&server).await;
        ws.send(packet).await;
        lines.expect(&["new", reason]).await;
        drop(expect_new(&server, &known, &known.auth()).await);
        lines.expect(&["new", "lost"]).await;
    }
    for (packet, reason) in [("1", "lost"), ("42{", "forced close"), ("42/nowhere,[\"a\"]", "forced close")] {
        let (mut ws, mut known) = client(&server).await;
        ws.send(packet).await;
        lines.expect(&["new", reason]).await;
        let (ws, _) = come_back(&server, &mut known).await;
        drop(ws);
        lines.expect(&["recovered", "lost"]).await;
    }
}

#[tokio::test]
async fn unknown_private_id_or_offset_starts_anew_and_leaves_the_session_where_it_is() {
    let (server, mut lines) = recovering(|_| ()).await;
    let (ws, mut known) = client(&server).await;
    drop(ws);
    lines.expect(&["new", "lost"]).await;
    let Known { sid, pid, offset } = known.clone();
    for auth in [
        json!({ "pid": pid, "offset": "never seen" }),
        json!({ "pid": pid, "offset": "00000000000" }),
        json!({ "pid": pid, "offset": format!("{offset}0") }),
        json!({ "pid": pid }),
        json!({ "pid": pid, "offset": 7 }),
        json!({ "pid": [pid], "offset": {} }),
        json!({ "pid": sid, "offset": offset }),
        json!({ "pid": "unknown", "offset": offset }),
        json!({ "pid": "", "offset": "" }),
    ] {
        drop(expect_new(&server, &known, &auth.to_string()).await);
        lines.expect(&["new", "lost"]).await;
    }
    let (ws, _) = come_back(&server, &mut known).await;
    lines.expect(&["recovered"]).await;
    drop(ws);
}

#[tokio::test]
async fn session_is_restored_once() {
    let (server, mut lines) = recovering(|_| ()).await;
    let (ws, mut known) = client(&server).await;
    drop(ws);
    lines.expect(&["new", "lost"]).await;
    let (mut ws, _) = come_back(&server, &mut known).await;
    lines.expect(&["recovered"]).await;
    ws.send("41").await;
    lines.expect(&["client namespace disconnect"]).await;
    drop(expect_new(&server, &known, &known.auth()).await);
}

#[tokio::test]
async fn connection_that_is_still_open_ends_when_its_client_comes_back() {
    let (server, mut lines) = recovering(|_| ()).await;
    let (mut first, mut known) = client(&server).await;
    server.io.socket(&known.sid).unwrap().join("room");
    server.io.to("room").emit("seen by the first", ()).unwrap();
    // A wrong offset moves nothing.
    let wrong = json!({ "pid": known.pid, "offset": "00000000000" }).to_string();
    let stranger = expect_new(&server, &known, &wrong).await;
    assert_eq!(split(&first.next().await).0, "42[\"seen by the first\"]");
    first.expect_alive().await;
    drop(stranger);
    lines.expect(&["new", "new", "lost"]).await;

    let (mut second, missed) = come_back(&server, &mut known).await;
    assert_eq!(missed, ["42[\"seen by the first\"]"]);
    lines.expect(&["lost", "recovered"]).await;
    first.expect_end().await;
    server.io.to("room").emit("news", ()).unwrap();
    assert_eq!(split(&second.next().await).0, "42[\"news\"]");
    assert_eq!(server.io.sockets().len(), 1);
}

#[tokio::test]
async fn two_clients_with_one_private_id_are_never_both_in() {
    let (server, _lines) = recovering(|_| ()).await;
    let (ws, known) = client(&server).await;
    drop(ws);
    until("it is away", || server.io.sockets().is_empty()).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut ws = Ws::open(&server).await;
        ws.send(&format!("40{}", known.auth())).await;
        clients.push(ws);
    }
    let mut same = 0;
    for ws in &mut clients {
        // One that was ended got its answer before, or none.
        while let Some(message) = ws.receive().await {
            let sockeye_tokio_websocket::Message::Text(text) = message else { panic!("no text") };
            if let Some(reply) = text.strip_prefix("40") {
                let reply: Value = serde_json::from_str(reply).unwrap();
                same += usize::from(reply["sid"] == known.sid.as_str());
                break;
            }
        }
    }
    assert!(same >= 1);
    assert!(server.io.sockets().iter().filter(|socket| **socket.id() == *known.sid).count() <= 1);
}

#[tokio::test]
async fn expired_session_starts_anew_and_is_forgotten() {
    let (server, mut lines) = recovering(|recovery| recovery.max_disconnection_duration = QUIET).await;
    let (ws, known) = client(&server).await;
    drop(ws);
    lines.expect(&["new", "lost"]).await;
    tokio::time::sleep(2 * QUIET).await;
    drop(expect_new(&server, &known, &known.auth()).await);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    until("nothing looks for old sessions any more", || tasks() <= 1).await;
}

#[tokio::test]
async fn client_that_missed_more_than_is_kept_or_may_wait_starts_anew() {
    let (server, mut lines) = recovering(|recovery| recovery.max_event_count = 3).await;
    let (ws, known) = client(&server).await;
    drop(ws);
    lines.expect(&["new", "lost"]).await;
    for number in 0..3 {
        server.io.emit("n", number).unwrap();
    }
    drop(expect_new(&server, &known, &known.auth()).await);

    let io =
        Io::builder().config(|config| config.max_queue_len = 1000).connection_state_recovery(|_| ()).build();
    handle(&io);
    let server = TestServer::start(&io).await;
    let (ws, known) = client(&server).await;
    drop(ws);
    until("it is away", || io.sockets().is_empty()).await;
    for _ in 0..3 {
        io.emit("long", "x".repeat(400)).unwrap();
    }
    let mut ws = expect_new(&server, &known, &known.auth()).await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn middleware_is_skipped_or_not_and_may_refuse() {
    let refuse = async |socket: Socket| {
        if socket.recovered() && socket.handshake().query("refuse").is_some() {
            return Err(ConnectError::new("not again"));
        }
        // Time for events that are missed meanwhile.
        tokio::time::sleep(QUIET).await;
        Ok(())
    };
    for skips in [true, false] {
        let (server, mut lines) = recovering(|recovery| recovery.skip_middlewares = skips).await;
        let (ws, mut known) = client(&server).await;
        drop(ws);
        lines.expect(&["new", "lost"]).await;
        server.io.middleware(refuse);
        let mut ws = Ws::open(&server).await;
        ws.send(&format!("40{}", known.auth())).await;
        if !skips {
            tokio::time::sleep(QUIET / 2).await;
            server.io.emit("meanwhile", ()).unwrap();
            assert_eq!(split(&ws.next().await).0, "42[\"meanwhile\"]");
        }
        assert!(ws.next().await.starts_with("40{"));
        lines.expect(&["recovered"]).await;
        drop(ws);
        lines.expect(&["lost"]).await;
        // A client that goes away while it is judged is away as before.
        let mut ws = Ws::open(&server).await;
        ws.send(&format!("40{}", known.auth())).await;
        ws.send("1").await;
        while ws.receive().await.is_some() {}
        if skips {
            lines.expect(&["recovered", "lost"]).await;
        }
        let (ws, _) = come_back(&server, &mut known).await;
        lines.expect(&["recovered"]).await;
        drop(ws);
        lines.expect(&["lost"]).await;
        let mut ws = Ws::open_at(server.addr, &format!("{}&refuse=1", common::WEBSOCKET)).await;
        ws.next().await;
        ws.send(&format!("40{}", known.auth())).await;
        if skips {
            assert!(ws.next().await.starts_with("40{"));
        } else {
            assert_eq!(ws.next().await, "44{\"message\":\"not again\"}");
            drop(expect_new(&server, &known, &known.auth()).await);
        }
    }
}

#[tokio::test]
async fn shutdown_is_a_lost_connection() {
    let (server, mut lines) = recovering(|_| ()).await;
    let (_ws, _) = client(&server).await;
    soon(server.io.close(SOON)).await;
    lines.expect(&["new", "server shutting down"]).await;
}

#[tokio::test]
async fn polling_client_comes_back_too() {
    let (server, mut lines) = recovering(|_| ()).await;
    let (ws, known) = client(&server).await;
    drop(ws);
    lines.expect(&["new", "lost"]).await;
    server.io.emit("missed", 1).unwrap();
    let polling = Polling::open(&server).await;
    polling.post(&format!("40{}", known.auth())).await;
    let packets = polling.poll().await;
    let mut packets = packets.split('\x1e');
    assert_eq!(split(packets.next().unwrap()).0, "42[\"missed\",1]");
    let reply: Value = serde_json::from_str(&packets.next().unwrap()[2..]).unwrap();
    assert_eq!(reply, json!({ "sid": known.sid, "pid": known.pid }));
}

#[tokio::test]
async fn namespaces_keep_sessions_of_their_own_and_children_stay_meanwhile() {
    let io = Io::builder().connection_state_recovery(|_| ()).build();
    let family = io.of_dynamic(|name: &str| name.starts_with("/child-"));
    let server = TestServer::start(&io).await;
    let mut ws = Ws::open(&server).await;
    let (reply, _) = connect(&mut ws, "/child-1,", "").await;
    family.emit("first", ()).unwrap();
    let (_, offset) = split(&ws.next().await);
    drop(ws);
    until("it is away", || family.sockets().is_empty()).await;
    family.emit("second", ()).unwrap();
    let auth = json!({ "pid": reply["pid"], "offset": offset }).to_string();
    // Another namespace knows nothing of it.
    let mut ws = Ws::open(&server).await;
    let (other, missed) = connect(&mut ws, "/child-2,", &auth).await;
    assert!(missed.is_empty());
    assert_ne!(other["sid"], reply["sid"]);
    let (same, missed) = connect(&mut ws, "/child-1,", &auth).await;
    assert_eq!(same, reply);
    assert_eq!(missed[0].0, "42/child-1,[\"second\"]");
}

#[tokio::test]
async fn clients_of_a_cluster_come_back_to_their_server_with_the_events_of_all() {
    let cluster = sockeye::adapter::cluster::InProcess::new();
    let build = || Io::builder().adapter(cluster.adapter()).connection_state_recovery(|_| ()).build();
    let (io, other) = (build(), build());
    handle(&io);
    let server = TestServer::start(&io).await;
    let (ws, mut known) = client(&server).await;
    io.socket(&known.sid).unwrap().join("room");
    drop(ws);
    until("it is away", || io.sockets().is_empty()).await;
    until("the servers know each other", || {
        futures_util::FutureExt::now_or_never(other.server_count()) == Some(2)
    })
    .await;
    other.to("room").emit("from the other", 1).unwrap();
    other.emit("bytes", ()).unwrap();
    io.to("room").emit("from its own", 2).unwrap();
    tokio::time::sleep(QUIET).await;
    let (_ws, mut missed) = come_back(&server, &mut known).await;
    missed.sort();
    assert_eq!(missed, ["42[\"bytes\"]", "42[\"from its own\",2]", "42[\"from the other\",1]"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_whose_links_flap_get_every_event_once_and_in_order() {
    const CLIENTS: usize = 20;
    const EVENTS: usize = 2000;
    let (server, _lines) = recovering(|_| ()).await;
    // Several emitters at a time, each with its own numbers.
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let (ws, known) = client(&server).await;
        server.io.socket(&known.sid).unwrap().join("room");
        clients.push((ws, known));
    }
    let tasks: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(number, (mut ws, mut known))| {
            let (addr, io) = (server.addr, server.io.clone());
            tokio::spawn(async move {
                let mut seen = [Vec::new(), Vec::new(), Vec::new()];
                let mut count = 0;
                while seen.iter().map(Vec::len).sum::<usize>() < 2 * EVENTS + EVENTS / 10 {
                    let packet = ws.next().await;
                    if let Some(reply) = packet.strip_prefix("40") {
                        let reply: Value = serde_json::from_str(reply).unwrap();
                        assert_eq!(reply["sid"], known.sid.as_str(), "not recovered");
                        continue;
                    }
                    let (event, offset) = split(&packet);
                    known.offset = offset;
                    let Ok((name, emitter, n)) = serde_json::from_str::<(String, usize, usize)>(&event[2..])
                    else {
                        panic!("{event}")
                    };
                    assert_eq!(name, "n");
                    seen[emitter].push(n);
                    count += 1;
                    if count % (97 + 7 * number) == 0 {
                        // Sometimes the server learns of it at once, sometimes only from the client's return.
                        let old = std::mem::replace(&mut ws, Ws::open_at(addr, common::WEBSOCKET).await);
                        ws.next().await;
                        if number % 2 == 0 {
                            drop(old);
                            ws.send(&format!("40{}", known.auth())).await;
                        } else {
                            ws.send(&format!("40{}", known.auth())).await;
                            tokio::spawn(async move {
                                let mut old = old;
                                while old.socket.receive().await.is_some() {}
                            });
                        }
                    }
                }
                for (emitter, seen) in seen.iter().enumerate() {
                    assert!(seen.iter().copied().eq(0..seen.len()), "emitter {emitter}, client {number}");
                }
                drop(io);
                number
            })
        })
        .collect();
    let emitters: Vec<_> = (0..2)
        .map(|emitter| {
            let io = server.io.clone();
            tokio::spawn(async move {
                for n in 0..EVENTS {
                    io.to("room").emit("n", (emitter, n)).unwrap();
                    if n % 20 == 0 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            })
        })
        .collect();
    // And one to each client alone, by the sockets of the first connections.
    let sockets = server.io.sockets();
    let alone = tokio::spawn(async move {
        for n in 0..EVENTS / 10 {
            for socket in &sockets {
                socket.emit("n", (2, n)).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let all = async {
        for emitter in emitters {
            emitter.await.unwrap();
        }
        alone.await.unwrap();
        for task in tasks {
            task.await.unwrap();
        }
    };
    tokio::time::timeout(6 * SOON, all).await.expect("all events arrive");
}
