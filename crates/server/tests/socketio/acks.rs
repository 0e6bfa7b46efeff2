//! Acknowledgements in both directions.

use serde_json::{Value, json};
use sockeye::{Ack, AckError, Args, Binary, Data, EmitError, RawArgs, Reply, Socket};
use std::time::Duration;
use tokio::time::sleep;

use crate::common::{TestServer, Ws, log, soon, usual_server};

async fn joined() -> (TestServer, Ws, Socket) {
    let (server, _lines) = usual_server(|_| ()).await;
    let (ws, id) = Ws::join(&server).await;
    let socket = server.io.socket(&id).unwrap();
    (server, ws, socket)
}

#[tokio::test]
async fn what_a_handler_returns_answers_the_acknowledgement() {
    #[derive(serde::Serialize)]
    struct Point {
        x: u8,
    }
    let (server, mut ws, _) = joined().await;
    server.io.on("unit", async || ());
    server.io.on("number", async || 7);
    server.io.on("text", async || "a\"b");
    server.io.on("struct", async || Reply(Point { x: 1 }));
    server.io.on("ok", async || Ok::<_, EmitError>(Point { x: 2 }));
    server.io.on("ok-unit", async || Ok::<(), EmitError>(()));
    server.io.on("option", async || None::<u8>);
    server.io.on("bytes", async || Binary(vec![1, 2].into()));
    for (event, answer) in [
        ("unit", "431[]"),
        ("number", "431[7]"),
        ("text", "431[\"a\\\"b\"]"),
        ("struct", "431[{\"x\":1}]"),
        ("ok", "431[{\"x\":2}]"),
        ("ok-unit", "431[]"),
        ("option", "431[null]"),
        ("bytes", "461-1[{\"_placeholder\":true,\"num\":0}]"),
    ] {
        ws.send(&format!("421[\"{event}\"]")).await;
        ws.expect(&[answer]).await;
    }
    assert_eq!(ws.next_binary().await, [1, 2]);
    ws.send("42[\"number\"]").await;
    ws.send("4218446744073709551615[\"number\"]").await;
    ws.expect(&["4318446744073709551615[7]"]).await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn returned_error_answers_nothing_and_is_reported() {
    let (server, mut ws, _) = joined().await;
    let (log, mut heard) = log();
    log.errors(&server.io);
    server.io.on("fail", async || Err::<u8, _>("broken inside"));
    ws.send("421[\"fail\"]").await;
    heard.expect(&["the handler failed: broken inside"]).await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn client_that_left_while_its_handler_ran_is_no_error_of_the_handler() {
    let (server, mut ws, _) = joined().await;
    let (log, mut heard) = log();
    log.errors(&server.io);
    server.io.on("late", async |socket: Socket| {
        socket.disconnect(false);
        assert!(matches!(socket.emit("too late", ()), Err(EmitError::Disconnected)));
        socket.emit("too late", ())
    });
    server.io.of("/other").on("fail", async || Err::<u8, _>("broken inside"));
    log.errors(&server.io.of("/other"));
    ws.send("42[\"late\"]").await;
    ws.expect(&["41"]).await;
    ws.send("40/other").await;
    ws.receive().await;
    ws.send("42/other,[\"fail\"]").await;
    heard.expect(&["the handler failed: broken inside"]).await;
}

#[tokio::test]
async fn taken_acknowledgement_is_answered_by_whoever_has_it_once() {
    let (server, mut ws, _) = joined().await;
    server.io.on("later", async |ack: Ack| {
        assert!(ack.is_wanted());
        tokio::spawn(async move {
            sleep(Duration::from_millis(20)).await;
            ack.send((1, "two")).unwrap();
            ack.send("again").unwrap();
            ack.clone().send("and again").unwrap();
        });
        "not this"
    });
    server.io.on("unwanted", async |ack: Ack| {
        assert!(!ack.is_wanted());
        ack.send("nobody asked")
    });
    ws.send("425[\"later\"]").await;
    ws.expect(&["435[1,\"two\"]"]).await;
    ws.send("42[\"unwanted\"]").await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn first_of_several_handlers_answers_and_observers_do_not() {
    let (server, mut ws, socket) = joined().await;
    server.io.on_any(async || "observer");
    socket.on_any(async || "observer");
    server.io.on("several", async || "first");
    server.io.on("several", async || "second");
    socket.on("several", async || "third");
    ws.send("421[\"several\"]").await;
    ws.expect(&["431[\"first\"]"]).await;
    ws.send("421[\"nobody listens\"]").await;
    ws.expect_alive().await;
    server.io.on_any(async |ack: Ack| ack.send("taken"));
    ws.send("421[\"several\"]").await;
    ws.expect(&["431[\"taken\"]"]).await;
    ws.expect_silence().await;
}

#[tokio::test]
async fn answers_are_read_as_one_as_all_or_raw() {
    let (_server, mut ws, socket) = joined().await;
    let one = socket.emit_with_ack::<u8, _>("ask", ());
    let all = socket.emit_with_ack::<Args<(u8, Option<String>)>, _>("ask", ());
    let raw = socket.emit_with_ack::<RawArgs, _>("ask", ());
    let missing = socket.emit_with_ack::<Option<u8>, _>("ask", ());
    let wrong = socket.emit_with_ack::<u8, _>("ask", ());
    let bytes = socket.emit_with_ack::<Binary, _>("ask", Binary(vec![9].into()));
    for id in 0..5 {
        ws.expect(&[&format!("42{id}[\"ask\"]")]).await;
    }
    ws.expect(&["451-5[\"ask\",{\"_placeholder\":true,\"num\":0}]"]).await;
    assert_eq!(ws.next_binary().await, [9]);
    // In any order.
    for answer in ["434[\"text\"]", "433[]", "432[1,{\"a\":2}]", "431[1,\"b\"]", "430[1,2,3]"] {
        ws.send(answer).await;
    }
    ws.send("461-5[{\"_placeholder\":true,\"num\":0}]").await;
    ws.send_binary(b"\x08").await;
    assert_eq!(soon(one).await.unwrap(), 1);
    assert_eq!(soon(all).await.unwrap().0, (1, Some("b".into())));
    assert_eq!(soon(raw).await.unwrap().json(), "[1,{\"a\":2}]");
    assert_eq!(soon(missing).await.unwrap(), None);
    assert!(matches!(soon(wrong).await, Err(AckError::InvalidAnswer(_))));
    assert_eq!(soon(bytes).await.unwrap().0, vec![8]);
    ws.expect_alive().await;
}

#[tokio::test]
async fn ack_ids_are_counted_per_namespace() {
    let (server, mut ws, socket) = joined().await;
    let (mut other, other_id) = Ws::join(&server).await;
    let chat = server.io.of("/chat");
    let chat_id = ws.connect("/chat,").await;
    let waiting = [
        socket.emit_with_ack::<Value, _>("a", ()),
        server.io.socket(&other_id).unwrap().emit_with_ack("a", ()),
        chat.socket(&chat_id).unwrap().emit_with_ack("a", ()),
        socket.emit_with_ack("a", ()),
    ];
    ws.expect(&["420[\"a\"]", "42/chat,0[\"a\"]", "422[\"a\"]"]).await;
    other.expect(&["421[\"a\"]"]).await;
    // Nobody can answer for another.
    other.send("430[\"stolen\"]").await;
    ws.send("43/chat,0[\"chat\"]").await;
    ws.send("430[\"main\"]").await;
    let [main, _, chat, _] = waiting;
    assert_eq!(soon(main).await.unwrap(), "main");
    assert_eq!(soon(chat).await.unwrap(), "chat");
}

#[tokio::test]
async fn acknowledgement_that_is_late_or_strange_is_ignored() {
    let (_server, mut ws, socket) = joined().await;
    let ask = socket.timeout(Duration::from_millis(50)).emit_with_ack::<Value, _>("ask", ());
    assert!(matches!(soon(ask).await, Err(AckError::Timeout)));
    drop(socket.emit_with_ack::<Value, _>("ask", ()));
    ws.expect(&["420[\"ask\"]", "421[\"ask\"]"]).await;
    for answer in ["430[1]", "430[1]", "431[1]", "4377[1]", "4318446744073709551615[]", "43[1]"] {
        ws.send(answer).await;
    }
    ws.expect_alive().await;
    let ask = socket.timeout(Duration::from_secs(5)).emit_with_ack::<Value, _>("ask", json!([1]));
    ws.expect(&["422[\"ask\",[1]]"]).await;
    ws.send("432[\"in time\"]").await;
    assert_eq!(soon(ask).await.unwrap(), "in time");
}

#[tokio::test]
async fn waiting_acknowledgements_fail_when_the_socket_disconnects() {
    for how in ["41", "1", "server", "drop"] {
        let (server, mut ws, socket) = joined().await;
        let ask = socket.emit_with_ack::<Value, _>("ask", ());
        let limited = socket.timeout(Duration::from_secs(100)).emit_with_ack::<Value, _>("ask", ());
        match how {
            "server" => socket.disconnect(false),
            "drop" => drop(ws),
            packet => ws.send(packet).await,
        }
        assert!(matches!(soon(ask).await, Err(AckError::Disconnected)), "{how}");
        assert!(matches!(soon(limited).await, Err(AckError::Disconnected)), "{how}");
        assert!(matches!(socket.emit("e", ()), Err(EmitError::Disconnected)));
        let late = soon(socket.emit_with_ack::<Value, _>("ask", ())).await;
        assert!(matches!(late, Err(AckError::Emit(EmitError::Disconnected))), "{how}: {late:?}");
        assert!(server.io.sockets().is_empty());
    }
}

#[tokio::test]
async fn handler_may_ask_the_client_and_wait() {
    let (server, mut ws, _) = joined().await;
    server.io.on("ask me", async |socket: Socket, Data(value): Data<u32>| {
        let twice: u32 = socket.emit_with_ack("double", value).await?;
        // The answer to this one comes while the handler of another event waits too.
        let again: u32 = socket.timeout(Duration::from_secs(5)).emit_with_ack("double", twice).await?;
        Ok::<_, AckError>(again)
    });
    ws.send("428[\"ask me\",3]").await;
    ws.send("429[\"ask me\",50]").await;
    ws.expect(&["420[\"double\",3]", "421[\"double\",50]"]).await;
    ws.expect_alive().await;
    ws.send("431[100]").await;
    ws.expect(&["422[\"double\",100]"]).await;
    ws.send("430[6]").await;
    ws.expect(&["423[\"double\",6]"]).await;
    ws.send("433[12]").await;
    ws.expect(&["438[12]"]).await;
    ws.send("432[200]").await;
    ws.expect(&["439[200]"]).await;
}
