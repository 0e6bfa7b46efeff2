//! How sockets disconnect, why, and what arrives before and after.

use sockeye::{Data, DisconnectReason, EmitError, Socket};
use std::time::Duration;
use tokio::time::sleep;

use crate::common::{Polling, QUIET, TestServer, Ws, log, soon, until, usual_server};

#[tokio::test]
async fn client_that_leaves_a_namespace_keeps_the_connection() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let (mut ws, first) = Ws::join(&server).await;
    ws.send("41").await;
    lines.expect(&["/ client namespace disconnect"]).await;
    let second = ws.connect("").await;
    assert_ne!(first, second);
    ws.expect_alive().await;
    assert!(server.io.socket(&first).is_none());
}

#[tokio::test]
async fn server_that_disconnects_a_socket_keeps_the_connection() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let (mut ws, id) = Ws::join(&server).await;
    let socket = server.io.socket(&id).unwrap();
    socket.disconnect(false);
    assert!(!socket.is_connected());
    assert!(matches!(socket.emit("late", ()), Err(EmitError::Disconnected)));
    ws.expect(&["41"]).await;
    lines.expect(&["/ server namespace disconnect"]).await;
    socket.disconnect(false);
    ws.connect("").await;
    ws.expect_alive().await;
    lines.expect_silence().await;
}

#[tokio::test]
async fn what_the_client_sent_before_it_knew_of_the_disconnection_is_dropped() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    server.io.on("kick", async |socket: Socket| socket.disconnect(false));
    server.io.on("late", move || {
        log.write("late");
        async {}
    });
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    let late = ["42[\"kick\"]", "42[\"late\"]", "421[\"late\",1]", "430[]"];
    let (mut ws, _) = Ws::join(&server).await;
    for packet in late {
        ws.socket.feed(packet).await.unwrap();
    }
    ws.send(&format!("451-[\"late\",{placeholder}]")).await;
    ws.send_binary(b"late").await;
    ws.expect(&["41"]).await;
    lines.expect(&["/ server namespace disconnect"]).await;
    // Long after, the client may still not have read that.
    ws.send("42[\"late\"]").await;
    ws.send("41").await;
    ws.connect("").await;
    ws.expect_alive().await;

    let polling = Polling::join(&server).await;
    polling.post(&late.join("\u{1e}")).await;
    assert_eq!(polling.poll().await, "41");
    lines.expect(&["/ server namespace disconnect"]).await;
    polling.post("42[\"late\"]").await;
    polling.post("40").await;
    polling.poll().await;
    polling.expect_alive().await;
    heard.expect_silence().await;

    // It has to be well-formed all the same.
    polling.post("42[\"kick\"]\u{1e}42[\"late\",x]").await;
    polling.expect_gone_soon().await;
}

#[tokio::test]
async fn disconnection_does_not_hit_the_socket_that_comes_after_it() {
    let (server, mut lines) = usual_server(|_| ()).await;
    server.io.on("kick", async |socket: Socket| socket.disconnect(false));
    let (mut ws, _) = Ws::join(&server).await;
    // In one read: the client leaves by itself and comes back while the server's wish is on its way.
    ws.socket.feed("42[\"kick\"]").await.unwrap();
    ws.socket.feed("41").await.unwrap();
    ws.send("40").await;
    assert_eq!(ws.next().await, "41");
    assert!(ws.next().await.starts_with("40{\"sid\":"));
    ws.expect_alive().await;
    assert!(lines.next().await.ends_with(" namespace disconnect"));
    lines.expect_silence().await;
}

#[tokio::test]
async fn all_namespaces_disconnect_with_the_connection() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let (log, mut chat_lines) = log();
    log.disconnections(&server.io.of("/chat"));
    let (mut ws, id) = Ws::join(&server).await;
    ws.connect("/chat,").await;
    server.io.socket(&id).unwrap().disconnect(true);
    let mut packets = [ws.next().await, ws.next().await];
    packets.sort();
    assert_eq!(packets, ["41", "41/chat,"]);
    ws.expect_end().await;
    lines.expect(&["/ server namespace disconnect"]).await;
    chat_lines.expect(&["/chat server namespace disconnect"]).await;

    let (mut ws, _) = Ws::join(&server).await;
    ws.connect("/chat,").await;
    ws.socket.close(None).await.unwrap();
    lines.expect(&["/ transport close"]).await;
    chat_lines.expect(&["/chat transport close"]).await;
    until("the session is over", || server.io.client_count() == 0).await;
}

#[tokio::test]
async fn everything_sent_before_the_connection_closes_arrives() {
    let (server, mut lines) = usual_server(|_| ()).await;
    server.io.on("flood", async |socket: Socket| {
        for i in 0..100 {
            socket.emit("n", (i, "x".repeat(10_000)))?;
        }
        socket.disconnect(true);
        Ok::<_, EmitError>(())
    });
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("42[\"flood\"]").await;
    lines.expect(&["/ server namespace disconnect"]).await;
    for i in 0..100 {
        assert!(ws.next().await.starts_with(&format!("42[\"n\",{i},\"xxx")));
    }
    ws.expect(&["41"]).await;
    ws.expect_end().await;
}

#[tokio::test]
async fn client_that_closes_says_transport_close_and_one_that_vanishes_may_be_an_error() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("1").await;
    lines.expect(&["/ transport close"]).await;
    ws.expect_end().await;
    let (ws, _) = Ws::join(&server).await;
    drop(ws);
    let reason = lines.next().await;
    assert!(["/ transport close", "/ transport error"].contains(&&*reason), "{reason}");
}

#[tokio::test]
async fn broken_websocket_frames_are_a_transport_error() {
    let (server, mut lines) = usual_server(|_| ()).await;
    for bytes in [&b"\x81\x01\x33"[..], b"\xC1\x81\0\0\0\x003", b"\x83\x80\0\0\0\0", b"\x81\x81\0\0\0\0\xff"]
    {
        let (mut ws, _) = Ws::join(&server).await;
        tokio::io::AsyncWriteExt::write_all(ws.socket.get_mut(), bytes).await.unwrap();
        ws.expect_end().await;
        drop(ws);
        lines.expect(&["/ transport error"]).await;
    }
}

/// A client over polling with or without a GET that waits breaks the protocol.
async fn break_polling(server: &TestServer, packet: &str, get_waits: bool) {
    let client = Polling::join(server).await;
    let get = get_waits.then(|| client.start_get());
    sleep(QUIET).await;
    client.post(packet).await;
    let last = match get {
        Some(get) => soon(get).await.unwrap().body,
        None => client.poll().await,
    };
    assert_eq!(last, "1");
    client.expect_gone().await;
}

#[tokio::test]
async fn reason_of_a_violation_is_the_official_one_on_either_transport() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("40").await;
    lines.expect(&["/ forced close"]).await;
    ws.expect_end().await;
    break_polling(&server, "40", true).await;
    lines.expect(&["/ forced close"]).await;
    // The engine cannot close before the next GET; the sockets do not wait.
    break_polling(&server, "40", false).await;
    lines.expect(&["/ forced server close"]).await;
    for get_waits in [true, false] {
        break_polling(&server, "42[]", get_waits).await;
        lines.expect(&["/ forced close"]).await;
    }
}

#[tokio::test]
async fn rooms_are_there_while_disconnecting_and_gone_when_disconnected() {
    let (server, _) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    server.io.on_connection(async |socket: Socket| {
        socket.join("a");
        socket.join("b");
    });
    let disconnecting = log.clone();
    server.io.on_disconnecting(move |socket: Socket, reason: DisconnectReason| {
        let log = disconnecting.clone();
        async move {
            let _ = socket.to("a").emit("leaving", ());
            log.write(format_args!("disconnecting {} {reason} {}", socket.rooms().len(), socket.join("c")));
        }
    });
    server.io.on_disconnect(move |socket: Socket| {
        let namespace_empty = socket.rooms().is_empty();
        log.write(format_args!("disconnect {namespace_empty} {}", socket.is_connected()));
        async {}
    });
    let (mut stays, _) = Ws::join(&server).await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("41").await;
    heard.expect(&["disconnecting 3 client namespace disconnect false", "disconnect true false"]).await;
    stays.expect(&["42[\"leaving\"]"]).await;
    assert_eq!((server.io.room_len("a"), server.io.room_len("c"), server.io.rooms().len()), (1, 0, 2));
}

#[tokio::test]
async fn clean_up_happens_whatever_the_handlers_do() {
    let (server, _) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    log.errors(&server.io);
    server.io.on_connection(async |socket: Socket| socket.join("room"));
    server.io.on_disconnecting(async || -> () { panic!("disconnecting") });
    server.io.on_disconnecting(async || Err::<(), _>("not today"));
    server.io.on_disconnecting(async || std::future::pending::<()>().await);
    let last = log.clone();
    server.io.on_disconnecting(move || {
        last.write("last");
        async {}
    });
    server.io.on("forever", async |_: Data<u8>| std::future::pending::<()>().await);
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("42[\"forever\",1]").await;
    ws.expect_alive().await;
    ws.socket.close(None).await.unwrap();
    let mut reported = vec![heard.next().await, heard.next().await, heard.next().await];
    reported.sort();
    assert_eq!(reported, ["last", "the handler failed: not today", "the handler panicked: disconnecting"]);
    until("the session is over", || server.io.client_count() == 0).await;
    assert_eq!((server.io.room_len("room"), server.io.sockets().len()), (0, 0));
}

#[tokio::test]
async fn shutdown_tells_the_reason_and_sends_what_is_queued() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Ws::join(&server).await.0);
    }
    for i in 0..50 {
        server.io.emit("last words", (i, "x".repeat(1000))).unwrap();
    }
    soon(server.io.close(Duration::from_secs(3))).await;
    assert_eq!(server.io.client_count(), 0);
    for mut ws in clients {
        for i in 0..50 {
            assert!(ws.next().await.starts_with(&format!("42[\"last words\",{i},")));
        }
        ws.expect_end().await;
        lines.expect(&["/ server shutting down"]).await;
    }
    assert!(server.io.sockets().is_empty());
}
