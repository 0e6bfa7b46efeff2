//! Acknowledgements in both directions.

use crate::{QUIET, ServerUnderTest, WAYS, builder, connect, expect_event, next_event, soon};
use serde_json::{Value, json};
use sockeye_client::{Ack, AckError, Args, Binary, Data, Socket};
use std::time::{Duration, Instant};

#[tokio::test]
async fn the_server_answers() {
    let server = ServerUnderTest::start().await;
    for way in WAYS {
        let (client, _events) = connect(builder(&server, way)).await;
        let one: u8 = soon(client.emit_with_ack("echo-ack", 1)).await.unwrap();
        let Args((number, text)) =
            soon(client.emit_with_ack::<Args<(u8, String)>, _>("echo-ack", (2, "b"))).await.unwrap();
        assert_eq!((one, number, text.as_str()), (1, 2, "b"), "{way:?}");
        let bytes: Binary = soon(client.emit_with_ack("echo-ack", Binary::from(vec![1, 2]))).await.unwrap();
        assert_eq!(&bytes[..], [1, 2]);
    }
}

#[tokio::test]
async fn many_answers_find_their_questions() {
    let server = ServerUnderTest::start().await;
    for way in WAYS {
        let (client, _events) = connect(builder(&server, way)).await;
        let asked: Vec<_> =
            (0..200).map(|number| client.emit_with_ack::<u32, _>("echo-ack", number)).collect();
        for (number, asked) in asked.into_iter().enumerate().rev() {
            assert_eq!(soon(asked).await.unwrap() as usize, number, "{way:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_is_a_timeout() {
    let server = ServerUnderTest::start().await;
    let (client, _events) = connect(builder(&server, WAYS[0])).await;
    let start = Instant::now();
    let asked = client.timeout(QUIET).emit_with_ack::<Value, _>("no-such-event", ());
    assert!(matches!(soon(asked).await, Err(AckError::Timeout)));
    assert!(start.elapsed() >= QUIET);
}

#[tokio::test]
async fn an_answer_of_another_type_is_an_error() {
    let server = ServerUnderTest::start().await;
    let (client, _events) = connect(builder(&server, WAYS[0])).await;
    let asked = client.emit_with_ack::<u8, _>("echo-ack", "text");
    assert!(matches!(soon(asked).await, Err(AckError::InvalidAnswer(_))));
}

#[tokio::test]
async fn what_a_handler_returns_answers_the_server() {
    let server = ServerUnderTest::start().await;
    for way in WAYS {
        let (client, mut events) = connect(builder(&server, way)).await;
        client.on("question", async |Data(value): Data<Value>| json!({ "asked": value }));
        client.emit("ask-me", ("why", 5000)).unwrap();
        next_event(&mut events).await;
        let (name, args) = next_event(&mut events).await;
        assert_eq!((name.as_str(), args.json()), ("answer", r#"[null,{"asked":"why"}]"#), "{way:?}");
    }
}

#[tokio::test]
async fn a_handler_may_answer_later_or_never() {
    let server = ServerUnderTest::start().await;
    let (client, mut events) = connect(builder(&server, WAYS[0])).await;
    client.on("question", async |Data(value): Data<Option<u64>>, ack: Ack| {
        assert!(ack.is_wanted());
        if let Some(wait) = value {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            ack.send(Binary::from(vec![9])).unwrap();
            ack.send("too late").unwrap();
        }
    });
    client.emit("ask-me", (50, 5000)).unwrap();
    next_event(&mut events).await;
    let (_, args) = next_event(&mut events).await;
    let (_, answer): (Value, Binary) = args.read().unwrap();
    assert_eq!(&answer[..], [9]);
    client.emit("ask-me", (Value::Null, 100)).unwrap();
    next_event(&mut events).await;
    assert_eq!(expect_event(&mut events, "answer").await, "timeout");
}

#[tokio::test]
async fn a_handler_may_ask_the_server_before_it_answers() {
    let server = ServerUnderTest::start().await;
    for way in WAYS {
        let (client, mut events) = connect(builder(&server, way)).await;
        client.on("question", async |socket: Socket, Data(value): Data<u32>| {
            // An acknowledgement within an acknowledgement.
            let doubled: u32 = socket.emit_with_ack("echo-ack", value * 2).await?;
            let again: u32 = socket.emit_with_ack("echo-ack", doubled + 1).await?;
            Ok::<_, AckError>(again)
        });
        client.emit("ask-me", (20, 5000)).unwrap();
        next_event(&mut events).await;
        let (_, args) = next_event(&mut events).await;
        assert_eq!(args.json(), "[null,41]", "{way:?}");
    }
}

#[tokio::test]
async fn events_with_retries_arrive_once_and_in_order() {
    let server = ServerUnderTest::start().await;
    for way in WAYS {
        let builder = builder(&server, way).config(|config| {
            config.retries = Some(3);
            config.ack_timeout = Some(Duration::from_secs(5));
        });
        let (client, _events) = connect(builder).await;
        let asked: Vec<_> =
            (0..20).map(|number| client.emit_with_ack::<u32, _>("echo-ack", number)).collect();
        for (number, asked) in asked.into_iter().enumerate() {
            assert_eq!(soon(asked).await.unwrap() as usize, number, "{way:?}");
        }
        assert_eq!(client.buffered_count(), 0);
    }
}

#[tokio::test]
async fn an_event_that_is_never_acknowledged_is_given_up_after_its_retries() {
    let server = ServerUnderTest::start().await;
    let builder = builder(&server, WAYS[0]).config(|config| {
        config.retries = Some(2);
        config.ack_timeout = Some(Duration::from_millis(100));
    });
    let (client, _events) = connect(builder).await;
    let start = Instant::now();
    let lost = client.emit_with_ack::<Value, _>("no-such-event", ());
    let next = client.emit_with_ack::<u8, _>("echo-ack", 1);
    assert!(matches!(soon(lost).await, Err(AckError::Timeout)));
    assert!(start.elapsed() >= Duration::from_millis(300), "three tries of 100 ms");
    assert_eq!(soon(next).await.unwrap(), 1);
}
