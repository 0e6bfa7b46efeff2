//! The test module: what it offers to users, and handlers tested by it.
#![cfg(feature = "test-util")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure in a helper fails the test")]

use serde_json::{Value, json};
use sockeye::{
    Args, Auth, Binary, ConnectError, Data, DisconnectReason, Io, Parser, Socket, State, Typed, events,
    test::{Client, Refusal},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;

events! {
    Say = "say": (String, u8) -> u32;
    Said = "said": (String,);
}

fn server(parser: Parser) -> Io {
    let io = Io::builder().parser(parser).state(Arc::new(Mutex::new(Vec::<String>::new()))).build();
    io.on_event(async |socket: Socket, Typed((text, n)): Typed<Say>| {
        let _ = socket.emit_event::<Said>((text,));
        u32::from(n) + 1
    });
    io.on("ask me", async |socket: Socket, Data(n): Data<u8>| {
        let answer = socket.timeout(Duration::from_secs(60)).emit_with_ack::<u8, _>("question", n).await;
        let answer = answer.map_err(|error| error.to_string());
        socket.emit("answered", (answer.clone().ok(), answer.err()))
    });
    io.on("bytes", async |Args((a, b)): Args<(Binary, Binary)>| Binary([&a[..], &b[..]].concat().into()));
    io.on("kick", async |socket: Socket| socket.disconnect(true));
    io.on_disconnect(async |State(log): State<Arc<Mutex<Vec<String>>>>, reason: DisconnectReason| {
        log.lock().unwrap().push(reason.to_string());
    });
    io.of("/admin").middleware(async |Auth(auth): Auth<Value>| {
        let refusal = ConnectError::new("unauthorized").with_data(401);
        if auth["token"] == "secret" { Ok(()) } else { Err(refusal) }
    });
    io
}

#[tokio::test(start_paused = true)]
async fn events_acknowledgements_and_bytes_go_both_ways_with_either_parser() {
    for parser in [Parser::Json, Parser::MsgPack] {
        let io = server(parser);
        let mut client = Client::connect(&io).await;
        assert_eq!(client.emit_event_with_ack::<Say>(("hi".to_owned(), 7)).await, 8);
        assert_eq!(client.expect_event::<Said>().await, ("hi".to_owned(),));
        let bytes =
            client.emit_with_ack::<Binary>("bytes", (Binary::from(&b"a"[..]), Binary::from(&b"b"[..])));
        assert_eq!(bytes.await, Binary::from(&b"ab"[..]));
        client.emit("ask me", 3).await;
        let question = client.next().await;
        assert_eq!((question.name(), question.data::<u8>(), question.wants_ack()), ("question", 3, true));
        client.acknowledge(&question, 4).await;
        assert_eq!(client.next().await.args::<(Option<u8>, Option<String>)>(), (Some(4), None));
        client.expect_nothing().await;
        client.disconnect().await;
    }
}

#[tokio::test(start_paused = true)]
async fn time_passes_without_waiting() {
    let real = std::time::Instant::now();
    let io = server(Parser::Json);
    let mut client = Client::connect(&io).await;
    client.emit("ask me", 3).await;
    assert_eq!(client.next().await.name(), "question");
    // Longer than two heartbeats, which the client answers while it is looked after.
    let start = Instant::now();
    let answered = loop {
        client.emit("say", ("still there", 1)).await;
        let event = client.next().await;
        if event.name() == "answered" {
            break event;
        }
        tokio::time::advance(Duration::from_secs(4)).await;
    };
    assert!(start.elapsed() >= Duration::from_secs(60));
    let (answer, error) = answered.args::<(Option<u8>, Option<String>)>();
    assert_eq!((answer, error.as_deref()), (None, Some("the client did not acknowledge in time")));
    assert!(real.elapsed() < Duration::from_secs(20), "a minute passed for real");
}

#[tokio::test(start_paused = true)]
async fn namespaces_refuse_with_message_and_data() {
    let io = server(Parser::Json);
    let refused = Client::connect_to(&io, "/admin", Some(&json!({ "token": "guess" }))).await.unwrap_err();
    assert_eq!(refused, Refusal { message: "unauthorized".into(), data: json!(401) });
    assert_eq!(refused.to_string(), "unauthorized");
    let unknown = Client::connect_to(&io, "/unknown", None::<&()>).await.unwrap_err();
    assert_eq!(unknown, Refusal { message: "Invalid namespace".into(), data: Value::Null });
    let admin = Client::connect_to(&io, "/admin", Some(&json!({ "token": "secret" }))).await.unwrap();
    assert!(io.of("/admin").socket(admin.id()).is_some());
}

#[tokio::test(start_paused = true)]
async fn ends_of_either_side_are_seen_by_the_other() {
    let log = Arc::new(Mutex::new(Vec::<String>::new()));
    let io = Io::builder().state(log.clone()).build();
    io.on("kick", async |socket: Socket| socket.disconnect(true));
    io.on_disconnect(async |State(log): State<Arc<Mutex<Vec<String>>>>, reason: DisconnectReason| {
        log.lock().unwrap().push(reason.to_string());
    });
    let mut client = Client::connect(&io).await;
    client.emit("kick", ()).await;
    client.expect_disconnect().await;
    let client = Client::connect(&io).await;
    client.disconnect().await;
    drop(Client::connect(&io).await);
    let mut last = Client::connect(&io).await;
    last.expect_nothing().await;
    assert_eq!(
        *log.lock().unwrap(),
        ["server namespace disconnect", "client namespace disconnect", "transport close"]
    );
    assert_eq!(io.client_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_as_expected_fails_the_test() {
    let io = server(Parser::Json);
    for case in ["another event", "no event", "another type", "something", "no end"] {
        let io = io.clone();
        let failed = tokio::spawn(async move {
            let mut client = Client::connect(&io).await;
            let id = client.id().to_owned();
            io.to(id.as_str()).emit("hello", 1).unwrap();
            match case {
                "another event" => client.expect::<u8>("good-bye").await,
                "no event" => client.expect::<u8>("hello").await + client.expect::<u8>("hello").await,
                "another type" => u8::from(client.expect::<bool>("hello").await),
                "something" => {
                    client.expect_nothing().await;
                    0
                }
                _ => {
                    client.expect_disconnect().await;
                    0
                }
            }
        });
        assert!(failed.await.unwrap_err().is_panic(), "{case}");
    }
}
