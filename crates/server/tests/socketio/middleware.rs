//! Middleware of sockets: what it sees, and what comes of its refusal.

use sockeye::{Ack, Args, Data, EventError, EventName, HandlerError, Namespace, RawArgs, Socket, State};
use std::sync::Arc;
use tokio::sync::Notify;

use crate::common::{Lines, Log, TestServer, Ws, log, until, usual_server};

/// A middleware that writes a word and agrees.
fn pass(
    log: Log,
    word: &'static str,
) -> impl Fn() -> std::future::Ready<Result<(), EventError>> + Send + Sync + 'static {
    move || {
        log.write(word);
        std::future::ready(Ok(()))
    }
}

/// A server whose handler of `e` answers, and a log of it and of what is refused.
async fn server() -> (TestServer, Log, Lines) {
    let (server, _lines) = usual_server(|_| ()).await;
    let (log, heard) = log();
    handle(&server.io, &log);
    (server, log, heard)
}

fn handle(namespace: &Namespace, log: &Log) {
    let written = log.clone();
    namespace.on("e", move || {
        written.write("handled");
        async { "done" }
    });
    let written = log.clone();
    namespace.on_error(move |_, error| match error {
        HandlerError::Refused(error) => written.write(format_args!("refused: {error}")),
        error => written.write(error),
    });
}

#[tokio::test]
async fn middleware_sees_events_after_the_observers_and_before_the_handlers_in_order() {
    let (server, log, mut heard) = server().await;
    server.io.socket_middleware(pass(log.clone(), "first of the namespace"));
    server.io.socket_middleware(pass(log.clone(), "second of the namespace"));
    let (mut ws, id) = Ws::join(&server).await;
    let socket = server.io.socket(&id).unwrap();
    let written = log.clone();
    socket.middleware(move |EventName(name): EventName, args: RawArgs| {
        let written = written.clone();
        async move {
            tokio::task::yield_now().await;
            written.write(format_args!("{name} {}", args.json()));
            Ok::<_, EventError>(())
        }
    });
    socket.middleware(pass(log.clone(), "second of the socket"));
    let written = log.clone();
    socket.on_any(move || {
        written.write("observer");
        async {}
    });
    ws.send("421[\"e\",1,{\"a\":[]}]").await;
    heard
        .expect(&[
            "observer",
            "first of the namespace",
            "second of the namespace",
            "e [1,{\"a\":[]}]",
            "second of the socket",
            "handled",
        ])
        .await;
    ws.expect(&["431[\"done\"]"]).await;
    // Events without a handler are seen as well.
    ws.send("42[\"nobody\"]").await;
    heard.expect(&["observer", "first of the namespace"]).await;
}

#[tokio::test]
async fn refused_event_reaches_no_handler_and_answers_with_the_error() {
    let (server, log, mut heard) = server().await;
    server.io.socket_middleware(async |Data(word): Data<Option<String>>| match word.as_deref() {
        Some("no") => Err(EventError::new("not allowed")),
        Some("data") => Err(EventError::new("not allowed").with_data([1, 2])),
        _ => Ok(()),
    });
    server.io.socket_middleware(pass(log.clone(), "next"));
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("421[\"e\",\"no\"]").await;
    ws.expect(&["431[{\"error\":\"not allowed\"}]"]).await;
    ws.send("422[\"e\",\"data\"]").await;
    ws.expect(&["432[{\"error\":\"not allowed\",\"data\":[1,2]}]"]).await;
    heard.expect(&["refused: not allowed", "refused: not allowed"]).await;
    // Nobody asked: nobody is told but the application.
    ws.send("42[\"e\",\"no\"]").await;
    heard.expect(&["refused: not allowed"]).await;
    ws.send("423[\"e\",\"yes\"]").await;
    ws.expect(&["433[\"done\"]"]).await;
    heard.expect(&["next", "handled"]).await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn what_middleware_takes_must_be_there() {
    let (server, _log, mut heard) = server().await;
    let numbers = server.io.socket_middleware(async |_: Data<u8>| Ok::<_, EventError>(()));
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("421[\"e\",\"text\"]").await;
    ws.expect(&["431[{\"error\":\"invalid arguments\"}]"]).await;
    heard.expect(&["refused: invalid arguments"]).await;
    server.io.off(numbers);
    let missing = server.io.socket_middleware(async |_: State<u64>| Ok::<_, EventError>(()));
    ws.send("422[\"e\"]").await;
    ws.expect(&["432[{\"error\":\"internal error\"}]"]).await;
    assert!(heard.next().await.contains("State<T>"));
    heard.expect(&["refused: internal error"]).await;
    server.io.off(missing);
    ws.send("423[\"e\"]").await;
    ws.expect(&["433[\"done\"]"]).await;
}

#[tokio::test]
async fn middleware_that_panics_refuses() {
    let (server, _log, mut heard) = server().await;
    let at_once =
        server.io.socket_middleware(|| -> std::future::Ready<Result<(), EventError>> { panic!("1") });
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("421[\"e\"]").await;
    ws.expect(&["431[{\"error\":\"internal error\"}]"]).await;
    heard.expect(&["the handler panicked: 1", "refused: internal error"]).await;
    server.io.off(at_once);
    let later = server.io.socket_middleware(async || -> Result<(), EventError> {
        tokio::task::yield_now().await;
        panic!("2")
    });
    ws.send("422[\"e\"]").await;
    ws.expect(&["432[{\"error\":\"internal error\"}]"]).await;
    heard.expect(&["the handler panicked: 2", "refused: internal error"]).await;
    server.io.off(later);
    ws.expect_alive().await;
}

#[tokio::test]
async fn events_keep_their_order_while_middleware_waits() {
    let (server, _lines) = usual_server(|_| ()).await;
    let gate = Arc::new(Notify::new());
    let opened = gate.clone();
    server.io.socket_middleware(move |Data(n): Data<u32>| {
        let opened = opened.clone();
        async move {
            if n == 0 {
                opened.notified().await;
            }
            Ok::<_, EventError>(())
        }
    });
    let (log, mut heard) = log();
    let written = log.clone();
    server.io.on("n", move |Data(n): Data<u32>| {
        written.write(n);
        async {}
    });
    server.io.on_any(move |Data(n): Data<u32>| {
        log.write(format_args!("saw {n}"));
        async {}
    });
    let (mut ws, _) = Ws::join(&server).await;
    let (mut other, _) = Ws::join(&server).await;
    for n in 0..3 {
        ws.send(&format!("42[\"n\",{n}]")).await;
    }
    heard.expect(&["saw 0", "saw 1", "saw 2"]).await;
    // Others are not held up.
    other.send("42[\"n\",9]").await;
    heard.expect(&["saw 9", "9"]).await;
    heard.expect_silence().await;
    gate.notify_one();
    heard.expect(&["0", "1", "2"]).await;
}

#[tokio::test]
async fn event_that_passes_after_the_disconnection_is_dropped() {
    let (server, _log, mut heard) = server().await;
    let gate = Arc::new(Notify::new());
    let opened = gate.clone();
    server.io.socket_middleware(move || {
        let opened = opened.clone();
        async move {
            opened.notified().await;
            Ok::<_, EventError>(())
        }
    });
    let (mut ws, id) = Ws::join(&server).await;
    ws.send("42[\"e\"]").await;
    ws.send("42[\"e\"]").await;
    ws.send("41").await;
    until("the socket is gone", || server.io.socket(&id).is_none()).await;
    gate.notify_one();
    gate.notify_one();
    heard.expect_silence().await;
    ws.connect("").await;
    ws.send("421[\"e\"]").await;
    gate.notify_one();
    ws.expect(&["431[\"done\"]"]).await;
}

#[tokio::test]
async fn middleware_may_answer_by_itself() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.socket_middleware(async |EventName(name): EventName, ack: Ack| {
        if name == "cached" {
            let _ = ack.send("from the cache");
            return Err(EventError::new("answered"));
        }
        Ok(())
    });
    server.io.on("cached", async || "computed");
    server.io.on("other", async |ack: Ack| ack.send("computed"));
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("421[\"cached\"]").await;
    ws.expect(&["431[\"from the cache\"]"]).await;
    ws.send("422[\"other\"]").await;
    ws.expect(&["432[\"computed\"]"]).await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn binary_arguments_pass_through_middleware() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.socket_middleware(async |Args((a, _)): Args<(sockeye::Binary, u8)>| match a.0.len() {
        3 => Ok(()),
        _ => Err(EventError::new("length")),
    });
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("451-[\"echo\",{\"_placeholder\":true,\"num\":0},7]").await;
    ws.send_binary(&[1, 2, 3]).await;
    ws.expect(&["451-[\"echo\",{\"_placeholder\":true,\"num\":0},7]"]).await;
    assert_eq!(ws.next_binary().await, [1, 2, 3]);
}

#[tokio::test]
async fn malformed_arguments_close_the_connection_before_middleware_sees_them() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    server.io.socket_middleware(pass(log.clone(), "seen"));
    for packet in ["42[\"e\",{]", "451-[\"e\",{\"_placeholder\":true,\"num\":5}]"] {
        let (mut ws, _) = Ws::join(&server).await;
        ws.send(packet).await;
        if packet.starts_with("45") {
            ws.send_binary(&[1]).await;
        }
        lines.expect(&["/ forced close"]).await;
        ws.expect_end().await;
    }
    heard.expect_silence().await;
}

#[tokio::test]
async fn events_that_wait_are_bounded() {
    let (server, _lines) = usual_server(|config| config.max_pending_event_count = 4).await;
    let (log, mut heard) = log();
    log.errors(&server.io);
    server.io.socket_middleware(async |EventName(name): EventName| {
        if name == "wait" {
            std::future::pending::<()>().await;
        }
        Ok::<_, EventError>(())
    });
    let (mut ws, id) = Ws::join(&server).await;
    for n in 0..6 {
        ws.send(&format!("42{n}[\"wait\"]")).await;
    }
    // One is with the middleware, three wait.
    ws.expect(&["434[{\"error\":\"too many events\"}]", "435[{\"error\":\"too many events\"}]"]).await;
    heard.expect(&["event refused: too many events", "event refused: too many events"]).await;
    // Acknowledgements are no events.
    let socket = server.io.socket(&id).unwrap();
    let asking = tokio::spawn(async move { socket.emit_with_ack::<u8, _>("question", ()).await });
    ws.expect(&["420[\"question\"]"]).await;
    ws.send("430[5]").await;
    assert_eq!(asking.await.unwrap().unwrap(), 5);
}

#[tokio::test]
async fn handlers_that_wait_are_bounded() {
    let (server, _lines) = usual_server(|config| config.max_pending_event_count = 4).await;
    server.io.on("wait", async || std::future::pending::<()>().await);
    let (mut ws, _) = Ws::join(&server).await;
    let (mut other, _) = Ws::join(&server).await;
    for n in 0..5 {
        ws.send(&format!("42{n}[\"wait\"]")).await;
    }
    ws.expect(&["434[{\"error\":\"too many events\"}]"]).await;
    other.expect_alive().await;
    ws.send("42[\"broken\",{]").await;
    ws.expect_end().await;
}

#[tokio::test]
async fn children_inherit_the_middleware_of_the_parent() {
    let (server, log, mut heard) = server().await;
    let parent = server.io.of_dynamic(|name: &str| name.starts_with("/child"));
    handle(&parent, &log);
    parent.socket_middleware(async |socket: Socket| match socket.namespace_name() {
        "/child-1" => Err(EventError::new("closed")),
        _ => Ok(()),
    });
    let mut ws = Ws::open(&server).await;
    ws.connect("/child-1,").await;
    ws.connect("/child-2,").await;
    ws.send("42/child-1,1[\"e\"]").await;
    ws.expect(&["43/child-1,1[{\"error\":\"closed\"}]"]).await;
    ws.send("42/child-2,1[\"e\"]").await;
    ws.expect(&["43/child-2,1[\"done\"]"]).await;
    heard.expect(&["refused: closed", "handled"]).await;
}
