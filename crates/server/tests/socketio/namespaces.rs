//! Joining namespaces.

use serde_json::json;
use sockeye::{Auth, ConnectError, Io, Socket, State};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

use crate::common::{Polling, TestServer, Ws, log, until, usual_server};

#[tokio::test]
async fn unknown_namespace_is_refused_and_the_connection_stays() {
    let (server, _lines) = usual_server(|_| ()).await;
    let mut ws = Ws::open(&server).await;
    for (request, reply) in [("40/nowhere,", "44/nowhere,"), ("40/no/where", "44/no/where,")] {
        ws.send(request).await;
        assert_eq!(ws.next().await, format!("{reply}{{\"message\":\"Invalid namespace\"}}"));
    }
    ws.connect("").await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn namespace_may_end_where_the_packet_does() {
    let (server, _lines) = usual_server(|_| ()).await;
    server
        .io
        .of("/chat")
        .on_connection(async |socket: Socket| socket.emit("auth", socket.auth::<Option<u8>>().ok()));
    let mut ws = Ws::open(&server).await;
    ws.send("40/chat").await;
    assert!(ws.next().await.starts_with("40/chat,{\"sid\":\""));
    ws.expect(&["42/chat,[\"auth\",null]"]).await;
}

#[tokio::test]
async fn second_connect_closes_the_connection() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("40").await;
    lines.expect(&["/ forced close"]).await;
    ws.expect_end().await;
}

#[tokio::test]
async fn packet_for_a_namespace_that_was_not_joined_closes_the_connection() {
    let (server, mut lines) = usual_server(|_| ()).await;
    server.io.of("/chat");
    for packet in
        ["42/chat,[\"alive\"]", "43/chat,1[]", "41/chat,", "42/nowhere,[\"a\"]", "44{\"message\":\"x\"}"]
    {
        let (mut ws, _) = Ws::join(&server).await;
        ws.send(packet).await;
        lines.expect(&["/ forced close"]).await;
        ws.expect_end().await;
    }
    let mut ws = Ws::open(&server).await;
    ws.send("42[\"alive\"]").await;
    ws.expect_end().await;
}

#[tokio::test]
async fn connection_that_joins_nothing_in_time_is_closed() {
    let (server, mut lines) =
        usual_server(|config| config.connect_timeout = Duration::from_millis(150)).await;
    let mut idle = Ws::open(&server).await;
    let mut refused = Ws::open(&server).await;
    refused.send("40/nowhere,").await;
    refused.next().await;
    let polling = Polling::open(&server).await;
    let (mut joined, _) = Ws::join(&server).await;
    idle.expect_end().await;
    refused.expect_end().await;
    assert_eq!(polling.poll().await, "1");
    polling.expect_gone().await;
    joined.expect_alive().await;
    lines.expect_silence().await;
    assert_eq!(server.io.client_count(), 1);
}

#[tokio::test]
async fn connection_may_join_only_so_many_namespaces() {
    let (server, _lines) = usual_server(|config| config.max_namespace_count = 3).await;
    for name in ["/1", "/2", "/3"] {
        server.io.of(name);
    }
    let (mut ws, _) = Ws::join(&server).await;
    ws.connect("/1,").await;
    ws.connect("/2,").await;
    ws.send("40/3,").await;
    ws.expect(&["44/3,{\"message\":\"Too many namespaces\"}"]).await;
    ws.send("41/1,").await;
    ws.connect("/3,").await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn middleware_runs_once_per_connection_and_in_order() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    for name in ["first", "second"] {
        let log = log.clone();
        server.io.middleware(move |_: Socket| {
            let log = log.clone();
            async move {
                tokio::task::yield_now().await;
                log.write(name);
                Ok::<_, ConnectError>(())
            }
        });
    }
    server.io.on_connection(move |socket: Socket| {
        log.write(if socket.is_connected() { "connected" } else { "early" });
        async {}
    });
    let (mut ws, _) = Ws::join(&server).await;
    ws.expect_alive().await;
    heard.expect(&["first", "second", "connected"]).await;
    heard.expect_silence().await;
}

#[tokio::test]
async fn refusal_tells_its_data_and_leaves_no_room_behind() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    let admin = server.io.of("/admin");
    admin.middleware(async |socket: Socket, Auth(token): Auth<Option<String>>| {
        assert!(socket.join("staff") && socket.join("guests") && socket.leave("guests"));
        match token.as_deref() {
            Some("secret") => Ok(()),
            Some(_) => Err(ConnectError::new("wrong \"token\"").with_data(json!({ "status": 401 }))),
            None => Err("no token".into()),
        }
    });
    admin.middleware(move |_: Socket| {
        log.write("next");
        async { Ok::<_, ConnectError>(()) }
    });
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("40/admin,\"guess\"").await;
    ws.expect(&[]).await;
    ws.expect_end().await;
    lines.expect(&["/ forced close"]).await;

    let (mut ws, _) = Ws::join(&server).await;
    ws.send("40/admin,").await;
    ws.expect(&["44/admin,{\"message\":\"no token\"}"]).await;
    heard.expect_silence().await;
    assert_eq!((admin.room_len("staff"), admin.sockets().len(), admin.rooms().len()), (0, 0, 0));
}

#[tokio::test]
async fn refusal_with_data_and_then_another_try() {
    #[derive(serde::Deserialize)]
    struct Token {
        token: String,
    }
    let (server, _lines) = usual_server(|_| ()).await;
    let admin = server.io.of("/admin");
    admin.middleware(async |socket: Socket, Auth(auth): Auth<Token>| {
        socket.join("staff");
        match auth.token.as_str() {
            "secret" => Ok(()),
            _ => Err(ConnectError::new("wrong \"token\"").with_data(json!({ "status": 401 }))),
        }
    });
    admin.on("alive", async || ());
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("40/admin,{\"token\":\"guess\"}").await;
    ws.expect(&[r#"44/admin,{"message":"wrong \"token\"","data":{"status":401}}"#]).await;
    ws.send("40/admin,{\"token\":1}").await;
    ws.expect(&["44/admin,{\"message\":\"invalid auth\"}"]).await;
    assert_eq!((admin.room_len("staff"), admin.sockets().len()), (0, 0));
    ws.send("40/admin,{\"token\":\"secret\"}").await;
    assert!(ws.next().await.starts_with("40/admin,{\"sid\":\""));
    assert_eq!(admin.room_len("staff"), 1);
    ws.send("42/admin,1[\"alive\"]").await;
    ws.expect(&["43/admin,1[]"]).await;
}

#[tokio::test]
async fn middleware_that_panics_or_misses_its_state_refuses() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    let (panics, misses) = (server.io.of("/panics"), server.io.of("/misses"));
    log.errors(&panics);
    log.errors(&misses);
    panics.middleware(async |socket: Socket| {
        if socket.is_connected() {
            return Ok(());
        }
        if socket.namespace_name() == "/panics" { panic!("ouch") } else { Err("other") }
    });
    misses.middleware(async |_: State<u128>| Ok::<_, ConnectError>(()));
    let (mut ws, _) = Ws::join(&server).await;
    for name in ["/panics", "/misses"] {
        ws.send(&format!("40{name},")).await;
        ws.expect(&[&format!("44{name},{{\"message\":\"internal error\"}}")]).await;
    }
    assert_eq!(heard.next().await, "the handler panicked: ouch");
    assert!(heard.next().await.contains("State"));
    ws.expect_alive().await;
}

/// A server whose middleware waits for the notification.
async fn slow_server() -> (TestServer, Arc<Notify>, Arc<AtomicBool>) {
    let (go, connected) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let io = Io::builder().state(go.clone()).build();
    io.middleware(async |socket: Socket, State(go): State<Arc<Notify>>| {
        socket.join("room");
        go.notified().await;
        Ok::<_, ConnectError>(())
    });
    let flag = connected.clone();
    io.on_connection(move || {
        flag.store(true, Ordering::SeqCst);
        async {}
    });
    (TestServer::start(&io).await, go, connected)
}

#[tokio::test]
async fn client_that_leaves_while_its_middleware_runs_is_never_connected() {
    let (server, go, connected) = slow_server().await;
    let mut ws = Ws::open(&server).await;
    ws.send("40").await;
    ws.expect_silence().await;
    drop(ws);
    until("the session is over", || server.io.client_count() == 0).await;
    go.notify_one();
    tokio::time::sleep(crate::common::QUIET).await;
    assert!(!connected.load(Ordering::SeqCst));
    assert_eq!((server.io.sockets().len(), server.io.room_len("room")), (0, 0));
}

#[tokio::test]
async fn slow_middleware_does_not_hold_up_other_namespaces_but_a_second_connect_is_refused() {
    let (server, go, connected) = slow_server().await;
    server.io.of("/chat").on("alive", async || ());
    let mut ws = Ws::open(&server).await;
    ws.send("40").await;
    ws.connect("/chat,").await;
    ws.send("42/chat,1[\"alive\"]").await;
    ws.expect(&["43/chat,1[]"]).await;
    go.notify_one();
    assert!(ws.next().await.starts_with("40{\"sid\":"));
    assert!(connected.load(Ordering::SeqCst));

    let mut ws = Ws::open(&server).await;
    ws.send("40").await;
    ws.send("40").await;
    ws.expect_end().await;
}

#[tokio::test]
async fn namespace_may_be_made_while_clients_are_connected() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("40/new,").await;
    ws.expect(&["44/new,{\"message\":\"Invalid namespace\"}"]).await;
    server.io.of("/new");
    ws.connect("/new,").await;
}
