//! socketioxide, under axum.

use axum::{Router, serve::ListenerExt};
use socketioxide::{
    SocketIo,
    extract::{AckSender, Data, SocketRef},
};
use std::io;
use tokio::net::TcpListener;

use super::{Canned, PING_INTERVAL, room_name};

/// As its documentation shows it, with `TCP_NODELAY` as the others have it.
pub(super) async fn serve(listener: TcpListener, _: Canned) -> io::Result<()> {
    let (layer, io) = SocketIo::builder().ping_interval(PING_INTERVAL).build_layer();
    io.ns("/", on_connect);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, Router::new().layer(layer)).await
}

async fn on_connect(socket: SocketRef) {
    socket.on("echo", async |socket: SocketRef, Data::<String>(text)| {
        socket.emit("echo", &text).ok();
    });
    socket.on("ask", async |Data::<String>(text), ack: AckSender| {
        ack.send(&text).ok();
    });
    socket.on("join", async |socket: SocketRef, Data::<Vec<u32>>(rooms), ack: AckSender| {
        for room in rooms {
            socket.join(room_name(room));
        }
        ack.send(&()).ok();
    });
    socket.on("shout", async |io: SocketIo, Data::<String>(text)| {
        io.emit("shout", &text).await.ok();
    });
    socket.on("say", async |io: SocketIo, Data::<(u32, String)>((room, text))| {
        io.to(room_name(room)).emit("say", &text).await.ok();
    });
    socket.on("big", async |io: SocketIo, Data::<usize>(len)| {
        io.emit("big", &"x".repeat(len)).await.ok();
    });
}
