//! The upgrade from long-polling to WebSocket.

use sockeye::{Data, Socket, Transport};
use sockeye_tokio_websocket::Message;
use std::time::Duration;
use tokio::time::sleep;

use crate::common::{Polling, QUIET, TestServer, WEBSOCKET, Ws, log, soon, usual_server};

async fn open_probe(server: &TestServer, client: &Polling) -> Ws {
    Ws::open_at(server.addr, &format!("{WEBSOCKET}&sid={}", client.sid)).await
}

async fn probe(server: &TestServer, client: &Polling) -> Ws {
    let mut ws = open_probe(server, client).await;
    ws.send("2probe").await;
    ws.expect(&["3probe"]).await;
    ws
}

#[tokio::test]
async fn messages_around_the_upgrade_arrive_once_and_in_order() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    server.io.on("tell", move |socket: Socket, Data(text): Data<String>| {
        log.write(format_args!("{text} {}", socket.is_websocket()));
        async {}
    });
    let client = Polling::join(&server).await;
    let get = client.start_get();
    let mut ws = probe(&server, &client).await;
    server.io.emit("n", 1).unwrap();
    assert_eq!(soon(get).await.unwrap().body, "42[\"n\",1]");
    client.post("42[\"tell\",\"a\"]").await;
    // No GET waits any more: these wait for the upgrade.
    server.io.emit("n", 2).unwrap();
    server.io.emit("n", 3).unwrap();
    ws.expect_silence().await;
    // The client's first event comes in one write with the upgrade packet.
    ws.socket.feed("5").await.unwrap();
    ws.socket.feed("42[\"tell\",\"b\"]").await.unwrap();
    ws.send("42[\"tell\",\"c\"]").await;
    ws.expect(&["42[\"n\",2]", "42[\"n\",3]"]).await;
    heard.expect(&["a false", "b true", "c true"]).await;
    server.io.emit("n", 4).unwrap();
    ws.expect(&["42[\"n\",4]"]).await;
    ws.expect_alive().await;
    lines.expect_silence().await;
}

#[tokio::test]
async fn stream_of_events_survives_the_upgrade_without_a_gap() {
    const COUNT: u32 = 2000;
    let (server, _lines) = usual_server(|_| ()).await;
    let client = Polling::join(&server).await;
    let io = server.io.clone();
    let emitting = tokio::spawn(async move {
        for i in 0..COUNT {
            io.emit("n", i).unwrap();
            if i % 20 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let mut received = client.poll().await;
    let mut ws = probe(&server, &client).await;
    for _ in 0..3 {
        received.push('\u{1e}');
        received.push_str(&client.poll().await);
    }
    ws.send("5").await;
    let mut packets: Vec<_> = received.split('\u{1e}').map(str::to_owned).filter(|p| p != "6").collect();
    while packets.len() < COUNT as usize {
        packets.push(ws.next().await);
    }
    let expected: Vec<_> = (0..COUNT).map(|i| format!("42[\"n\",{i}]")).collect();
    assert_eq!(packets, expected);
    emitting.await.unwrap();
}

#[tokio::test]
async fn poll_that_waits_is_ended_while_probing_so_that_the_client_can_pause() {
    let (server, _lines) = usual_server(|_| ()).await;
    let client = Polling::join(&server).await;
    let get = client.start_get();
    sleep(QUIET).await;
    let mut ws = probe(&server, &client).await;
    assert_eq!(soon(get).await.unwrap().summary(), "200 6");
    assert_eq!(client.poll().await, "6", "and so is the next");
    ws.send("5").await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn poll_that_waits_when_the_upgrade_comes_is_closed() {
    let (server, _lines) = usual_server(|_| ()).await;
    let client = Polling::join(&server).await;
    let get = client.start_get();
    sleep(QUIET).await;
    let mut ws = open_probe(&server, &client).await;
    ws.socket.feed(Message::text("2probe")).await.unwrap();
    ws.send("5").await;
    ws.expect(&["3probe"]).await;
    assert_eq!(soon(get).await.unwrap().summary(), "200 1");
    ws.expect_alive().await;
}

#[tokio::test]
async fn probe_that_dies_leaves_the_session_on_polling_and_another_may_come() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let client = Polling::join(&server).await;
    drop(open_probe(&server, &client).await);
    drop(probe(&server, &client).await);
    let mut closing = probe(&server, &client).await;
    closing.socket.close(None).await.unwrap();
    for wrong in ["4hello", "2", "3", "1", "", "x", "2probe2", "42[\"echo\"]"] {
        sleep(Duration::from_millis(20)).await;
        let mut ws = open_probe(&server, &client).await;
        ws.send(wrong).await;
        ws.expect_end().await;
    }
    sleep(Duration::from_millis(20)).await;
    let mut binary = probe(&server, &client).await;
    binary.send_binary(b"\x04").await;
    binary.expect_end().await;
    client.expect_alive().await;
    let mut ws = probe(&server, &client).await;
    ws.send("5").await;
    ws.expect_alive().await;
    lines.expect_silence().await;
}

#[tokio::test]
async fn probe_that_never_finishes_is_closed_and_polling_goes_on() {
    let (server, mut lines) =
        usual_server(|config| config.upgrade_timeout = Duration::from_millis(100)).await;
    let client = Polling::join(&server).await;
    let mut silent = open_probe(&server, &client).await;
    silent.expect_end().await;
    let mut probed = probe(&server, &client).await;
    probed.expect_end().await;
    client.expect_alive().await;
    lines.expect_silence().await;
}

#[tokio::test]
async fn second_probe_is_closed_and_the_first_goes_on() {
    let (server, _lines) = usual_server(|_| ()).await;
    let client = Polling::join(&server).await;
    let mut first = probe(&server, &client).await;
    let mut second = open_probe(&server, &client).await;
    second.expect_end().await;
    first.send("5").await;
    first.expect_alive().await;
    let mut third = open_probe(&server, &client).await;
    third.expect_end().await;
    first.expect_alive().await;
}

#[tokio::test]
async fn polling_after_the_upgrade_is_a_bad_request() {
    let (server, _lines) = usual_server(|_| ()).await;
    let client = Polling::join(&server).await;
    let mut ws = probe(&server, &client).await;
    ws.send("5").await;
    ws.expect_alive().await;
    let refused = r#"400 {"code":3,"message":"Bad request"}"#;
    assert_eq!(client.get().await.summary(), refused);
    assert_eq!(client.post_any("42[\"echo\"]").await.summary(), refused);
    ws.expect_alive().await;
}

#[tokio::test]
async fn websocket_session_cannot_be_taken_over_with_its_id() {
    let (server, _lines) = usual_server(|_| ()).await;
    let mut ws = Ws::open_at(server.addr, WEBSOCKET).await;
    let sid = ws.next().await["0{\"sid\":\"".len()..][..20].to_owned();
    ws.connect("").await;
    let mut thief = Ws::open_at(server.addr, &format!("{WEBSOCKET}&sid={sid}")).await;
    thief.socket.feed(Message::text("2probe")).await.unwrap();
    let _ = thief.socket.send(Message::text("5")).await;
    thief.expect_end().await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn heartbeat_goes_on_over_the_websocket() {
    let (server, mut lines) = usual_server(|config| {
        config.ping_interval = Duration::from_millis(100);
        config.ping_timeout = Duration::from_millis(150);
    })
    .await;
    let client = Polling::join(&server).await;
    let mut ws = probe(&server, &client).await;
    ws.send("5").await;
    for _ in 0..4 {
        assert_eq!(ws.receive().await, Some(Message::text("2")));
        ws.send("3").await;
    }
    lines.expect(&["/ ping timeout"]).await;
    ws.expect_end().await;
}

#[tokio::test]
async fn upgrade_is_told_to_every_socket_of_the_connection() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    for namespace in [&*server.io, &server.io.of("/chat")] {
        let log = log.clone();
        namespace.on_upgrade(move |socket: Socket| {
            assert_eq!(socket.transport(), Transport::WebSocket);
            log.write(socket.namespace_name());
            async move { socket.emit("upgraded", ()) }
        });
    }
    let client = Polling::join(&server).await;
    client.post("40/chat,").await;
    client.poll().await;
    assert_eq!(server.io.sockets()[0].transport(), Transport::Polling);
    let mut ws = probe(&server, &client).await;
    heard.expect_silence().await;
    ws.send("5").await;
    heard.expect(&["/", "/chat"]).await;
    ws.expect(&["42[\"upgraded\"]", "42/chat,[\"upgraded\"]"]).await;
    // A connection that begins with WebSocket has nothing to upgrade.
    let (_ws, _) = Ws::join(&server).await;
    heard.expect_silence().await;
}
