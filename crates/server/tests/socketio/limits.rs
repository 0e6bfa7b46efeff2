//! Limits of what a socket can have and send.

use sockeye::{AckError, EmitError, Socket};

use crate::common::{Ws, usual_server};

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
