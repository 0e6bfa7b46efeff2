//! What waits to be sent: buffers, their limits, volatile events, and the order in which things leave.

use crate::{
    QUIET,
    bytes::{Listener, OPEN, receive},
    next, over, soon,
};
use serde_json::json;
use sockeye_client::{AckError, BufferPolicy, EmitError, SocketEvent, Transport};
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test]
async fn what_came_before_connect_is_delivered_first_then_what_waited_is_sent_then_connect_is_told() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket)
        .config(|config| config.retries = Some(1))
        .build()
        .unwrap();
    let mut events = client.events();
    client.on("early", async |socket: sockeye_client::Socket| {
        assert!(!socket.is_connected());
        socket.volatile().emit("dropped", ())
    });
    client.on_connect(async |socket: sockeye_client::Socket| socket.volatile().emit("after", ()));
    client.emit("retried", 1).unwrap();
    client.emit("retried", 2).unwrap();
    client.open();
    let mut session = listener.websocket().await;
    session.send(OPEN).await.unwrap();
    assert_eq!(receive(&mut session).await, "40");
    session.send(r#"42["early",1]"#).await.unwrap();
    session.send(r#"42["early",2]"#).await.unwrap();
    sleep(QUIET).await;
    session.send(r#"40{"sid":"public"}"#).await.unwrap();
    assert_eq!(next(&mut events).await, "early [1]");
    assert_eq!(next(&mut events).await, "early [2]");
    assert_eq!(next(&mut events).await, "connect false");
    // One at a time: the second waits for the acknowledgement of the first.
    assert_eq!(receive(&mut session).await, r#"420["retried",1]"#);
    session.send("430[]").await.unwrap();
    assert_eq!(receive(&mut session).await, r#"421["retried",2]"#);
}

#[tokio::test]
async fn the_buffer_is_bounded_and_says_so() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket)
        .config(|config| config.max_buffer_count = 3)
        .build()
        .unwrap();
    for number in 0..3 {
        client.emit("n", number).unwrap();
    }
    assert!(matches!(client.emit("n", 3), Err(EmitError::BufferFull)));
    let asked = client.emit_with_ack::<u8, _>("n", 4);
    assert!(matches!(soon(asked).await, Err(AckError::Emit(EmitError::BufferFull))));
    client.open();
    let mut session = listener.session().await;
    for number in 0..3 {
        assert_eq!(receive(&mut session).await, format!("42[\"n\",{number}]"));
    }
}

#[tokio::test]
async fn the_oldest_make_room_if_that_is_wanted() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket)
        .config(|config| {
            config.max_buffer_count = 2;
            config.buffer_policy = BufferPolicy::DropOldest;
        })
        .build()
        .unwrap();
    let first = client.emit_with_ack::<u8, _>("n", 0);
    client.emit("n", 1).unwrap();
    client.emit("n", 2).unwrap();
    assert!(matches!(soon(first).await, Err(AckError::Dropped)));
    client.open();
    let mut session = listener.session().await;
    assert_eq!(receive(&mut session).await, r#"42["n",1]"#);
    assert_eq!(receive(&mut session).await, r#"42["n",2]"#);
}

#[tokio::test]
async fn a_server_that_does_not_read_fills_a_bounded_queue() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket)
        .config(|config| config.max_buffer_len = 1 << 20)
        .open()
        .unwrap();
    let mut events = client.events();
    let _session = listener.session().await;
    assert_eq!(next(&mut events).await, "connect false");
    let block = "x".repeat(100_000);
    let mut sent = 0;
    let full = loop {
        match client.emit("block", &block) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
        assert!(sent < 1000, "nothing bounds the queue");
    };
    assert!(matches!(full, EmitError::BufferFull));
}

#[tokio::test]
async fn volatile_events_are_dropped_while_not_connected_and_sent_while_idle() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket).build().unwrap();
    client.volatile().emit("v", 1).unwrap();
    let asked = client.volatile().emit_with_ack::<u8, _>("v", 2);
    assert!(matches!(soon(asked).await, Err(AckError::Disconnected)));
    let mut events = client.events();
    client.open();
    let mut session = listener.session().await;
    assert_eq!(next(&mut events).await, "connect false");
    sleep(QUIET).await;
    client.volatile().emit("v", 3).unwrap();
    assert_eq!(receive(&mut session).await, r#"42["v",3]"#);
}

#[tokio::test]
async fn an_event_whose_time_is_over_before_the_connection_is_not_sent() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket).build().unwrap();
    let asked = client.timeout(Duration::from_millis(50)).emit_with_ack::<u8, _>("late", ());
    client.emit("next", ()).unwrap();
    assert!(matches!(soon(asked).await, Err(AckError::Timeout)));
    client.open();
    let mut session = listener.session().await;
    assert_eq!(receive(&mut session).await, r#"42["next"]"#);
}

#[tokio::test]
async fn an_acknowledgement_is_not_sent_over_another_connection() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket).open().unwrap();
    let mut events = client.events();
    let mut session = listener.session().await;
    assert_eq!(next(&mut events).await, "connect false");
    session.send(r#"427["ask"]"#).await.unwrap();
    let Some(SocketEvent::Event(event)) = soon(events.next()).await else { panic!("no event") };
    drop(session);
    assert!(next(&mut events).await.starts_with("disconnect"));
    let mut session = listener.session().await;
    assert_eq!(next(&mut events).await, "connect false");
    event.ack().send("late").unwrap();
    client.emit("marker", ()).unwrap();
    assert_eq!(receive(&mut session).await, r#"42["marker"]"#);
}

#[tokio::test]
async fn a_retry_has_a_new_ack_id_and_survives_a_reconnection() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket)
        .config(|config| {
            config.retries = Some(3);
            config.ack_timeout = Some(Duration::from_millis(100));
        })
        .open()
        .unwrap();
    let asked = client.emit_with_ack::<String, _>("ask", json!({ "a": 1 }));
    let mut session = listener.session().await;
    assert_eq!(receive(&mut session).await, r#"420["ask",{"a":1}]"#);
    assert_eq!(receive(&mut session).await, r#"421["ask",{"a":1}]"#);
    drop(session);
    let mut session = listener.session().await;
    assert_eq!(receive(&mut session).await, r#"422["ask",{"a":1}]"#);
    session.send(r#"432["done"]"#).await.unwrap();
    assert_eq!(soon(asked).await.unwrap(), "done");
}

#[tokio::test]
async fn recovery_sends_the_private_id_and_the_last_offset() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket).auth(json!({ "token": "t" })).open().unwrap();
    let mut events = client.events();
    let mut session = listener.websocket().await;
    session.send(OPEN).await.unwrap();
    assert_eq!(receive(&mut session).await, r#"40{"token":"t"}"#);
    session.send(r#"40{"sid":"public","pid":"private"}"#).await.unwrap();
    session.send(r#"42["news",1,"offset-1"]"#).await.unwrap();
    session.send(r#"42["news",2,"offset-2"]"#).await.unwrap();
    for expected in ["connect false", r#"news [1,"offset-1"]"#, r#"news [2,"offset-2"]"#] {
        assert_eq!(next(&mut events).await, expected);
    }
    drop(session);
    assert!(next(&mut events).await.starts_with("disconnect"));
    let mut session = listener.websocket().await;
    session.send(OPEN).await.unwrap();
    let connect = receive(&mut session).await;
    let data: serde_json::Value = serde_json::from_str(&connect[2..]).unwrap();
    assert_eq!(data, json!({ "pid": "private", "offset": "offset-2", "token": "t" }));
    session.send(r#"42["news",3,"offset-3"]"#).await.unwrap();
    session.send(r#"40{"sid":"public","pid":"private"}"#).await.unwrap();
    assert_eq!(next(&mut events).await, r#"news [3,"offset-3"]"#);
    assert_eq!(next(&mut events).await, "connect true");
    assert!(client.is_recovered());
}
