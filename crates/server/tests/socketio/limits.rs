//! Limits of what a socket can have and send.

use serde_json::Value;
use sockeye::{AckError, EmitError, EventName, Excess, RateLimit, Socket};
use std::time::Duration;

use crate::common::{Ws, log, usual_handlers, usual_server};

#[tokio::test]
async fn socket_joins_only_so_many_rooms_of_names_so_long() {
    let (server, _lines) = usual_server(|config| {
        config.max_room_count = 3;
        config.max_room_len = 5;
    })
    .await;
    server.io.middleware(async |socket: Socket| {
        assert!(socket.join("1") && socket.join("2") && !socket.join("long name"));
        Ok::<_, &str>(())
    });
    let (mut ws, id) = Ws::join(&server).await;
    let socket = server.io.socket(&id).unwrap();
    assert!(socket.join("3") && !socket.join("4"));
    assert_eq!(socket.rooms().len(), 4, "that of its own id does not count");
    server.io.sockets_join("4");
    assert_eq!(server.io.room_len("4"), 0);
    assert!(socket.leave("1") && !socket.join("123456") && socket.join("12345"));
    ws.expect_alive().await;
}

#[tokio::test]
async fn rooms_that_middleware_joins_are_limited_as_well() {
    let (server, _lines) = usual_server(|config| config.max_room_count = 2).await;
    server.io.middleware(async |socket: Socket| {
        assert!(socket.join("1") && socket.join("2") && !socket.join("3"));
        Ok::<_, &str>(())
    });
    let (_ws, id) = Ws::join(&server).await;
    assert_eq!(server.io.socket(&id).unwrap().rooms().len(), 3);
}

#[tokio::test]
async fn names_of_events_have_a_length_limit() {
    let (server, mut lines) = usual_server(|config| config.max_event_len = 10).await;
    server.io.on("0123456789", async || "short enough");
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("421[\"0123456789\"]").await;
    ws.expect(&["431[\"short enough\"]"]).await;
    ws.send("421[\"01234567890\"]").await;
    lines.expect(&["/ forced close"]).await;
    ws.expect_end().await;
}

#[tokio::test]
async fn client_can_owe_only_so_many_answers() {
    let (server, _lines) = usual_server(|config| config.max_ack_count = 2).await;
    let (mut ws, id) = Ws::join(&server).await;
    let socket = server.io.socket(&id).unwrap();
    let first = socket.emit_with_ack::<u8, _>("q", ());
    let _second = socket.emit_with_ack::<u8, _>("q", ());
    let third = socket.emit_with_ack::<u8, _>("q", ()).await;
    assert!(matches!(third, Err(AckError::Emit(EmitError::TooManyAcks))), "{third:?}");
    ws.expect(&["420[\"q\"]", "421[\"q\"]"]).await;
    ws.send("430[7]").await;
    assert_eq!(first.await.unwrap(), 7);
    let _third = socket.emit_with_ack::<u8, _>("q", ());
    ws.expect(&["423[\"q\"]"]).await;
}

/// A limit that is not refilled as long as a test runs.
fn only(count: u32) -> RateLimit {
    RateLimit::new(count, Duration::from_secs(3600))
}

#[tokio::test]
async fn events_beyond_the_rate_limit_reach_nobody_and_answer_when_to_try_again() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    log.errors(&server.io);
    let written = log.clone();
    server.io.on_any(move |EventName(name): EventName| {
        written.write(name);
        async {}
    });
    server.io.set_rate_limit(Some(only(2)));
    let (mut ws, id) = Ws::join(&server).await;
    let (mut other, _) = Ws::join(&server).await;
    ws.expect_alive().await;
    ws.send("42[\"unknown\"]").await;
    heard.expect(&["alive", "unknown"]).await;
    ws.send("421[\"alive\"]").await;
    let answer = ws.next().await;
    let answer: Vec<Value> = serde_json::from_str(answer.strip_prefix("431").unwrap()).unwrap();
    assert_eq!(answer[0]["error"], "rate limit exceeded");
    let retry_after = answer[0]["data"]["retryAfter"].as_u64().unwrap();
    assert!((1_700_000..=1_800_000).contains(&retry_after), "{retry_after}");
    heard.expect(&["event refused: rate limit exceeded"]).await;
    // Acknowledgements are no events, and every socket has a limit of its own.
    let socket = server.io.socket(&id).unwrap();
    let asking = tokio::spawn(async move { socket.emit_with_ack::<u8, _>("q", ()).await.unwrap() });
    ws.expect(&["420[\"q\"]"]).await;
    ws.send("430[9]").await;
    assert_eq!(asking.await.unwrap(), 9);
    other.expect_alive().await;
    server.io.set_rate_limit(None);
    ws.expect_alive().await;
    // What breaks the protocol still does.
    server.io.set_rate_limit(Some(only(1)));
    ws.send("42[\"a\"]").await;
    ws.send("42[\"a\",{]").await;
    ws.expect_end().await;
}

#[tokio::test]
async fn single_events_have_limits_of_their_own() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.on("login", async || "welcome");
    server.io.set_event_rate_limit("login", Some(only(1)));
    server.io.set_rate_limit(Some(only(4)));
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("421[\"login\"]").await;
    ws.expect(&["431[\"welcome\"]"]).await;
    for _ in 0..5 {
        ws.send("422[\"login\"]").await;
        assert!(ws.next().await.starts_with("432[{\"error\":\"rate limit exceeded\","));
    }
    for _ in 0..3 {
        ws.expect_alive().await;
    }
    ws.send("4299[\"alive\"]").await;
    assert!(
        ws.next().await.starts_with("4399[{\"error\":"),
        "what was refused took none of the common limit"
    );
}

#[tokio::test]
async fn events_pass_again_when_the_limit_is_refilled() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.set_rate_limit(Some(RateLimit::new(1, Duration::from_millis(50))));
    let (mut ws, _) = Ws::join(&server).await;
    ws.expect_alive().await;
    tokio::time::sleep(Duration::from_millis(51)).await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn limit_may_close_the_connection() {
    let (server, mut lines) = usual_server(|_| ()).await;
    server.io.set_event_rate_limit("alive", Some(only(1).excess(Excess::Disconnect)));
    let (mut ws, _) = Ws::join(&server).await;
    ws.expect_alive().await;
    ws.send("421[\"alive\"]").await;
    lines.expect(&["/ forced close"]).await;
    assert!(ws.next().await.starts_with("431[{\"error\":\"rate limit exceeded\","), "the client is told why");
    ws.expect_end().await;
}

#[tokio::test]
async fn children_inherit_rate_limits_and_may_have_others() {
    let (server, _lines) = usual_server(|_| ()).await;
    let parent = server.io.of_dynamic(|name: &str| name.starts_with("/child"));
    usual_handlers(&parent);
    parent.set_rate_limit(Some(only(1)));
    server.io.of("/child-2").set_rate_limit(Some(only(2)));
    let mut ws = Ws::open(&server).await;
    for (name, count) in [("/child-1", 1), ("/child-2", 2)] {
        ws.connect(&format!("{name},")).await;
        for _ in 0..count {
            ws.send(&format!("42{name},1[\"alive\"]")).await;
            ws.expect(&[&format!("43{name},1[]")]).await;
        }
        ws.send(&format!("42{name},1[\"alive\"]")).await;
        assert!(ws.next().await.starts_with(&format!("43{name},1[{{\"error\"")));
    }
}

#[tokio::test]
async fn connection_may_ask_for_namespaces_only_so_often() {
    let (server, mut lines) = usual_server(|config| {
        config.connect_rate_limit = Some(RateLimit::new(3, Duration::from_secs(3600)));
    })
    .await;
    server.io.of("/chat");
    let (mut ws, _) = Ws::join(&server).await;
    for _ in 0..2 {
        ws.connect("/chat,").await;
        ws.send("41/chat,").await;
    }
    ws.send("40/chat,").await;
    ws.expect(&["44/chat,{\"message\":\"Too many connection attempts\"}"]).await;
    ws.expect_alive().await;
    lines.expect_silence().await;
}
