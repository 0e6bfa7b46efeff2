//! Scenarios of the official server's own tests that belong to no other file here.

use sockeye::{Binary, DisconnectReason, EventName, RawArgs, Socket};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::common::{QUIET, Ws, log, until, usual_handlers, usual_server};

#[tokio::test]
async fn names_of_namespaces_need_no_slash_on_the_server() {
    let (server, _lines) = usual_server(|_| ()).await;
    assert_eq!((server.io.of("").name(), server.io.of("/").name(), server.io.name()), ("/", "/", "/"));
    server.io.of("abc").on("who", async || "abc");
    let mut ws = Ws::open(&server).await;
    ws.connect("/abc,").await;
    ws.send("42/abc,1[\"who\"]").await;
    ws.expect(&["43/abc,1[\"abc\"]"]).await;
}

#[tokio::test]
async fn disconnection_is_told_once_however_it_comes_about() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    server.io.on_disconnecting(move |reason: DisconnectReason| {
        log.write(reason);
        async {}
    });
    server.io.on("leave", async |socket: Socket| {
        socket.disconnect(false);
        socket.disconnect(true);
        socket.disconnect(false);
    });
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("42[\"leave\"]").await;
    ws.send("41").await;
    ws.expect(&["41"]).await;
    ws.expect_end().await;
    heard.expect(&["server namespace disconnect"]).await;
    lines.expect(&["/ server namespace disconnect"]).await;
    heard.expect_silence().await;
    lines.expect_silence().await;
}

#[tokio::test]
async fn events_are_handled_once_after_a_client_came_back() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    server.io.on_connection(async |socket: Socket| {
        socket.on("own", async || "own");
    });
    server.io.on("e", move || {
        log.write("handled");
        async {}
    });
    let (mut ws, _) = Ws::join(&server).await;
    for _ in 0..3 {
        ws.send("41").await;
        ws.connect("").await;
    }
    ws.send("42[\"e\"]").await;
    ws.send("421[\"own\"]").await;
    ws.expect(&["431[\"own\"]"]).await;
    heard.expect(&["handled"]).await;
    heard.expect_silence().await;
}

#[tokio::test]
async fn socket_joins_no_room_before_and_after_its_time() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (_ws, id) = Ws::join(&server).await;
    let socket = server.io.socket(&id).unwrap();
    socket.disconnect(false);
    until("the socket is gone", || server.io.socket(&id).is_none()).await;
    assert!(!socket.join("room") && !socket.leave("room"));
    assert_eq!((socket.rooms().len(), server.io.room_len("room"), server.io.rooms().len()), (0, 0, 0));
    assert!(socket.emit("e", ()).is_err());
}

#[tokio::test]
async fn empty_rooms_are_gone() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (mut ws, id) = Ws::join(&server).await;
    let (mut other, other_id) = Ws::join(&server).await;
    let socket = server.io.socket(&id).unwrap();
    for room in ["a", "b"] {
        socket.join(room);
    }
    server.io.socket(&other_id).unwrap().join("b");
    assert_eq!(server.io.rooms().len(), 2);
    socket.leave("a");
    assert_eq!(server.io.rooms().len(), 1);
    ws.send("41").await;
    other.send("41").await;
    until("both are gone", || server.io.sockets().is_empty()).await;
    assert!(server.io.rooms().is_empty());
}

#[tokio::test]
async fn namespaces_that_are_not_dynamic_stay_when_they_are_empty() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.of_dynamic(|name: &str| name.starts_with("/child"));
    usual_handlers(&server.io.of("/chat"));
    let (mut ws, _) = Ws::join(&server).await;
    for _ in 0..2 {
        ws.connect("/chat,").await;
        ws.send("42/chat,1[\"alive\"]").await;
        ws.expect(&["43/chat,1[]"]).await;
        ws.send("41/chat,").await;
        ws.expect_alive().await;
    }
}

#[tokio::test]
async fn middleware_of_one_namespace_does_not_run_for_another() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    for name in ["/", "/chat", "/news"] {
        for step in 1..3 {
            let log = log.clone();
            server.io.of(name).middleware(move |socket: Socket| {
                log.write(format_args!("{name} {step} {}", socket.is_connected()));
                async { Ok::<_, &str>(()) }
            });
        }
    }
    let mut ws = Ws::open(&server).await;
    ws.connect("/chat,").await;
    heard.expect(&["/chat 1 false", "/chat 2 false"]).await;
    ws.connect("").await;
    heard.expect(&["/ 1 false", "/ 2 false"]).await;
    heard.expect_silence().await;
}

#[tokio::test]
async fn names_of_javascripts_objects_are_names_like_others() {
    let (server, _lines) = usual_server(|_| ()).await;
    for name in ["__proto__", "constructor", "hasOwnProperty", "toString", "error", "connection"] {
        server
            .io
            .on(name, async |EventName(name): EventName, args: RawArgs| format!("{name} {}", args.json()));
    }
    let (mut ws, id) = Ws::join(&server).await;
    for name in ["__proto__", "constructor", "hasOwnProperty", "toString", "error", "connection"] {
        ws.send(&format!("421[\"{name}\",{{\"__proto__\":1}}]")).await;
        ws.expect(&[&format!("431[\"{name} [{{\\\"__proto__\\\":1}}]\"]")]).await;
    }
    let socket = server.io.socket(&id).unwrap();
    socket.join("__proto__");
    server.io.to("__proto__").emit("__proto__", ()).unwrap();
    ws.expect(&["42[\"__proto__\"]"]).await;
}

#[tokio::test]
async fn client_may_be_asked_within_the_answer_to_a_question() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.on("start", async |socket: Socket| {
        let first: u32 = socket.emit_with_ack("add", (1, 1)).await?;
        let nested = {
            let socket = socket.clone();
            tokio::spawn(async move { socket.emit_with_ack::<u32, _>("add", (first, 10)).await })
        };
        let (second, third) = tokio::join!(nested, socket.emit_with_ack::<u32, _>("add", (first, 20)));
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(second?? + third?)
    });
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("427[\"start\"]").await;
    for _ in 0..3 {
        let packet = ws.next().await;
        let (id, args) = packet.strip_prefix("42").unwrap().split_once('[').unwrap();
        let sum: u32 =
            args.trim_end_matches(']').split(',').filter_map(|part| part.parse::<u32>().ok()).sum();
        ws.send(&format!("43{id}[{sum}]")).await;
    }
    ws.expect(&["437[34]"]).await;
}

#[tokio::test]
async fn volatile_event_after_a_regular_one_waits_for_nobody() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (mut ws, id) = Ws::join(&server).await;
    ws.expect_alive().await;
    let socket = server.io.socket(&id).unwrap();
    tokio::time::sleep(QUIET).await;
    socket.emit("regular", ()).unwrap();
    // The regular one has not left yet: nothing runs between the two on this thread.
    socket.volatile().emit("volatile", Binary(vec![1].into())).unwrap();
    ws.expect(&["42[\"regular\"]"]).await;
    tokio::time::sleep(QUIET).await;
    socket.volatile().emit("alone", ()).unwrap();
    ws.expect(&["42[\"alone\"]"]).await;
}

#[tokio::test]
async fn events_within_disconnect_handlers_reach_the_others_only() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.on_connection(async |socket: Socket| socket.join("room"));
    server.io.on_disconnecting(async |socket: Socket| {
        assert!(socket.emit("late", ()).is_err());
        for room in socket.rooms() {
            socket.to(room).emit("left", socket.id())?;
        }
        Ok::<_, sockeye::EmitError>(())
    });
    let (mut ws, id) = Ws::join(&server).await;
    let (mut other, _) = Ws::join(&server).await;
    ws.send("41").await;
    other.expect(&[&format!("42[\"left\",\"{id}\"]")]).await;
    ws.expect_silence().await;
}

#[tokio::test]
async fn clients_that_come_and_go_leave_no_handler_and_no_question_behind() {
    let (server, _lines) = usual_server(|_| ()).await;
    let alive = Arc::new(());
    let failed = Arc::new(AtomicUsize::new(0));
    let (held, counted) = (alive.clone(), failed.clone());
    server.io.on_connection(move |socket: Socket| {
        let (own, held, counted) = (held.clone(), held.clone(), counted.clone());
        socket.on("e", move || {
            let _held = &own;
            async {}
        });
        socket.middleware(async || Ok::<_, &str>(()));
        async move {
            let _held = held;
            if socket.emit_with_ack::<u8, _>("question", ()).await.is_err() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    for round in 0..20 {
        let (mut ws, _) = Ws::join(&server).await;
        ws.next().await;
        if round % 2 == 0 {
            ws.send("41").await;
        }
        drop(ws);
    }
    until("all are gone", || server.io.client_count() == 0).await;
    until("no question waits", || failed.load(Ordering::SeqCst) == 20).await;
    until("nothing is held", || Arc::strong_count(&alive) == 2).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(server.io.sockets().is_empty());
}
