//! Events that are declared once for both sides.

use serde::{Deserialize, Serialize};
use sockeye::{Binary, EmitError, Socket, State, Typed, TypedEvent, events};
use std::time::Duration;

use crate::common::{TestServer, Ws, log, soon, usual_server};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    text: String,
    at: Option<u8>,
}

events! {
    Say = "say": (Line, bool) -> u32;
    Said = "said": (String, Binary);
    Typing = "typing": ();
    Ask = "ask": (u8,) -> Line;
}

async fn joined() -> (TestServer, Ws, Socket) {
    let (server, _lines) = usual_server(|_| ()).await;
    let (ws, id) = Ws::join(&server).await;
    let socket = server.io.socket(&id).unwrap();
    (server, ws, socket)
}

#[tokio::test]
async fn handler_is_registered_for_the_event_of_its_argument_and_answers_with_its_acknowledgement() {
    let (server, mut ws, socket) = joined().await;
    server.io.on_event(async |socket: Socket, Typed((line, loud)): Typed<Say>| {
        socket.emit_event::<Said>((line.text, Binary(vec![u8::from(loud)].into())))?;
        Ok::<_, EmitError>(u32::from(line.at.unwrap_or(7)))
    });
    server.io.on_event(async |_: Typed<Typing>| ());
    socket.on_event(async |Typed((n,)): Typed<Ask>| Line { text: "own".to_owned(), at: Some(n) });
    ws.send(r#"421["say",{"text":"hi"},true]"#).await;
    ws.expect(&[r#"451-["said","hi",{"_placeholder":true,"num":0}]"#]).await;
    assert_eq!(ws.next_binary().await, [1]);
    ws.expect(&["431[7]"]).await;
    ws.send(r#"422["typing"]"#).await;
    ws.expect(&["432[]"]).await;
    ws.send(r#"423["ask",9]"#).await;
    ws.expect(&[r#"433[{"text":"own","at":9}]"#]).await;
}

#[tokio::test]
async fn arguments_of_another_type_are_refused_as_always() {
    let (server, mut ws, _) = joined().await;
    let (log, mut heard) = log();
    log.errors(&server.io);
    server.io.on_event(async |_: Typed<Say>| 1_u32);
    server.io.on_event(async |_: Typed<Ask>| Err::<Line, _>("not now"));
    server.io.on_event(async |State(_): State<u8>, _: Typed<Typing>| ());
    for args in ["", ",{}", r#",{"text":1},true"#, r#",{"text":"hi"}"#] {
        ws.send(&format!("421[\"say\"{args}]")).await;
        ws.expect(&[r#"431[{"error":"invalid arguments"}]"#]).await;
        assert!(heard.next().await.starts_with("invalid arguments: "));
    }
    ws.send(r#"422["ask",1]"#).await;
    heard.expect(&["the handler failed: not now"]).await;
    ws.send("423[\"typing\"]").await;
    assert!(heard.next().await.contains("State<T>"));
    ws.expect_alive().await;
}

#[tokio::test]
async fn declared_events_are_sent_to_one_and_to_many_and_acknowledged() {
    let (server, mut ws, socket) = joined().await;
    socket.emit_event::<Typing>(()).unwrap();
    server.io.emit_event::<Typing>(()).unwrap();
    server.io.to(socket.id().as_str()).emit_event::<Typing>(()).unwrap();
    socket.volatile().emit_event::<Typing>(()).unwrap();
    ws.expect(&["42[\"typing\"]"; 3]).await;
    let line = Line { text: "hi".to_owned(), at: None };
    let ask = socket.emit_event_with_ack::<Ask>((1,));
    answer(&mut ws).await;
    assert_eq!(soon(ask).await.unwrap(), line);
    let ask = socket.timeout(Duration::from_secs(5)).emit_event_with_ack::<Ask>((1,));
    answer(&mut ws).await;
    assert_eq!(soon(ask).await.unwrap(), line);
    let asked = server.io.local().emit_event_with_ack::<Ask>((1,));
    answer(&mut ws).await;
    assert_eq!(soon(asked).await.unwrap(), [line]);
}

/// Answers the question `ask`, whatever comes before it.
async fn answer(ws: &mut Ws) {
    loop {
        let packet = ws.next().await;
        if let Some(id) = packet.strip_prefix("42").and_then(|rest| rest.strip_suffix("[\"ask\",1]")) {
            return ws.send(&format!("43{id}[{{\"text\":\"hi\"}}]")).await;
        }
    }
}

#[tokio::test]
async fn plain_strings_and_declarations_mean_the_same_event() {
    let (server, mut ws, _) = joined().await;
    server.io.on(Typing::NAME, async |socket: Socket| socket.emit(Said::NAME, ("by name", 1)));
    ws.send("42[\"typing\"]").await;
    ws.expect(&[r#"42["said","by name",1]"#]).await;
}
