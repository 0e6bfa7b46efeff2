//! Events of clients: names, arguments and their order.

use serde_json::Value;
use sockeye::{Args, Binary, Data, EmitError, EventName, RawArgs, Socket};

use crate::common::{TestServer, Ws, log, usual_server};

/// A server that answers every event by its name and arguments.
async fn mirror() -> (TestServer, Ws) {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.on_any(async |socket: Socket, EventName(name): EventName, Args(args): Args<Vec<Value>>| {
        socket.emit("mirror", (name, args))
    });
    let (ws, _) = Ws::join(&server).await;
    (server, ws)
}

#[tokio::test]
async fn event_names_are_any_text_or_number() {
    let (server, mut ws) = mirror().await;
    for (event, name) in [
        (r#"42["a\"b\\\u00e9\n"]"#, r#""a\"b\\é\n""#),
        (r#"42["\ud83d\ude00"]"#, "\"😀\""),
        ("42[\"😀 é\"]", "\"😀 é\""),
        ("42[1]", "\"1\""),
        ("42[-1.5e3]", "\"-1.5e3\""),
        (r#"42["__proto__"]"#, "\"__proto__\""),
        (r#"42["constructor"]"#, "\"constructor\""),
        (r#"42[""]"#, "\"\""),
        (r#"42[ "spaced" ]"#, "\"spaced\""),
        ("42", "\"\""),
    ] {
        ws.send(event).await;
        assert_eq!(ws.next().await, format!("42[\"mirror\",{name},[]]"), "{event}");
    }
    for name in ["é \"", "1", "😀", "__proto__"] {
        server.io.on(name, async || "heard");
    }
    for event in [r#"["\u00e9 \""]"#, "[1]", r#"["\ud83d\ude00"]"#, r#"["__proto__"]"#] {
        ws.send(&format!("427{event}")).await;
        let mut answers = [ws.next().await, ws.next().await];
        answers.sort();
        assert_eq!(answers[1], "437[\"heard\"]", "{event}");
    }
}

#[tokio::test]
async fn arguments_arrive_as_they_were_sent() {
    let (_server, mut ws) = mirror().await;
    for args in ["", ",null", ",1,\"two\",[3],{\"four\":{}}", ",\"é\\n😀\",-0.5,1e300,true"] {
        ws.send(&format!("42[\"e\"{args}]")).await;
        let args = args.trim_start_matches(',').replace("1e300", "1e+300");
        let reply = ws.next().await.replace("1e300", "1e+300");
        assert_eq!(reply, format!("42[\"mirror\",\"e\",[{args}]]"));
    }
}

#[tokio::test]
async fn raw_arguments_are_passed_on_with_their_attachments() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.on("forward", async |socket: Socket, args: RawArgs| {
        assert_eq!(args.attachments().len(), 2);
        let (_, first): (Value, Binary) = args.read().unwrap();
        assert_eq!(&first.0[..], b"one");
        socket.emit("forwarded", args)
    });
    let (mut ws, _) = Ws::join(&server).await;
    let args = r#"{"a":1.0},{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]"#;
    ws.send(&format!("452-[\"forward\",{args}]")).await;
    ws.send_binary(b"one").await;
    ws.send_binary(b"two").await;
    ws.expect(&[&format!("452-[\"forwarded\",{args}]")]).await;
    assert_eq!((ws.next_binary().await, ws.next_binary().await), (b"one".to_vec(), b"two".to_vec()));
}

#[tokio::test]
async fn one_attachment_may_be_meant_twice() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.on("both", async |Args((a, b)): Args<(Binary, Binary)>| a.0 == b.0 && a.0.len() == 3);
    let (mut ws, _) = Ws::join(&server).await;
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    ws.send(&format!("451-1[\"both\",{placeholder},{placeholder}]")).await;
    ws.send_binary(b"one").await;
    ws.expect(&["431[true]"]).await;
}

#[tokio::test]
async fn wrong_arguments_answer_the_acknowledgement_and_are_reported() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    log.errors(&server.io);
    server.io.on("number", async |Data(n): Data<u8>| u32::from(n));
    server.io.on("two", async |Args((a, b)): Args<(u8, u8)>| u32::from(a + b));
    let (mut ws, _) = Ws::join(&server).await;
    for args in ["[\"number\",\"text\"]", "[\"number\",256]", "[\"number\"]", "[\"two\",1]", "[\"two\",1,{}]"]
    {
        ws.send(&format!("423{args}")).await;
        ws.expect(&["433[{\"error\":\"invalid arguments\"}]"]).await;
        assert!(heard.next().await.starts_with("invalid arguments: "));
    }
    ws.send("42[\"number\",\"text\"]").await;
    assert!(heard.next().await.starts_with("invalid arguments: "));
    ws.send("423[\"two\",1,2,\"surplus\"]").await;
    ws.expect(&["433[3]"]).await;
    heard.expect_silence().await;
}

#[tokio::test]
async fn handlers_start_in_the_order_of_the_packets() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    let namespace_log = log.clone();
    server.io.on("n", move |Data(n): Data<u32>| {
        let log = namespace_log.clone();
        async move {
            log.write(n);
            if n % 3 == 0 {
                tokio::task::yield_now().await;
            }
        }
    });
    let (mut ws, _) = Ws::join(&server).await;
    for n in 0..300 {
        ws.socket.feed(format!("42[\"n\",{n}]").as_str()).await.unwrap();
    }
    ws.socket.flush().await.unwrap();
    for n in 0..300 {
        assert_eq!(heard.next().await, n.to_string());
    }
}

#[tokio::test]
async fn replies_leave_in_the_order_of_the_emits() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.on("three", async |socket: Socket| {
        for i in 0..3 {
            socket.emit("n", i)?;
        }
        Ok::<_, EmitError>("done")
    });
    let (mut ws, _) = Ws::join(&server).await;
    ws.socket.feed("421[\"three\"]").await.unwrap();
    ws.socket.feed("422[\"three\"]").await.unwrap();
    ws.socket.flush().await.unwrap();
    for id in 1..3 {
        ws.expect(&["42[\"n\",0]", "42[\"n\",1]", "42[\"n\",2]", &format!("43{id}[\"done\"]")]).await;
    }
}

#[tokio::test]
async fn reserved_names_cannot_be_sent_or_listened_to() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (mut ws, id) = Ws::join(&server).await;
    let socket = server.io.socket(&id).unwrap();
    for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"] {
        assert!(matches!(socket.emit(name, ()), Err(EmitError::Encode(_))), "{name}");
        assert!(matches!(server.io.emit(name, ()), Err(EmitError::Encode(_))), "{name}");
        let io = server.io.clone();
        let listening = tokio::spawn(async move { io.on(name, async || ()) });
        assert!(listening.await.is_err(), "{name}");
    }
    ws.expect_alive().await;
}

#[tokio::test]
async fn messages_up_to_the_limit_are_taken_and_longer_ones_close_with_1009() {
    let (server, mut lines) = usual_server(|config| config.max_payload_len = 10_000).await;
    let (mut ws, _) = Ws::join(&server).await;
    let fits = format!("42[\"echo\",\"{}\"]", "x".repeat(10_000 - 13));
    ws.send(&fits).await;
    ws.expect(&[&fits]).await;
    ws.send(&format!("42[\"echo\",\"{}\"]", "x".repeat(10_000 - 12))).await;
    let close = ws.socket.receive().await;
    let code = match &close {
        Some(Ok(sockeye_tokio_websocket::Message::Close(Some(frame)))) => Some(u16::from(frame.code)),
        _ => None,
    };
    assert_eq!(code, Some(1009), "{close:?}");
    drop(ws);
    lines.expect(&["/ transport error"]).await;
}
