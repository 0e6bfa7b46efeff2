//! Ours.

use sockeye::{Data, EmitError, Io, Server, Socket};
use std::io;
use tokio::net::TcpListener;

use super::{Canned, PING_INTERVAL, room_name};

/// As the documentation shows it.
pub(super) async fn serve(listener: TcpListener, _: Canned) -> io::Result<()> {
    let io = Io::builder().config(|config| config.ping_interval = PING_INTERVAL).build();
    io.on("echo", async |socket: Socket, Data(text): Data<String>| socket.emit("echo", &text));
    io.on("ask", async |Data(text): Data<String>| text);
    io.on("join", async |socket: Socket, Data(rooms): Data<Vec<u32>>| {
        for room in rooms {
            socket.join(room_name(room));
        }
    });
    let all = io.clone();
    io.on("shout", move |Data(text): Data<String>| {
        let result = all.emit("shout", &text);
        async move { result }
    });
    let all = io.clone();
    io.on("say", move |sockeye::Args((room, text)): sockeye::Args<(u32, String)>| {
        let result = all.to(room_name(room)).emit("say", &text);
        async move { result }
    });
    let all = io.clone();
    io.on("big", move |Data(len): Data<usize>| {
        let result: Result<(), EmitError> = all.emit("big", "x".repeat(len));
        async move { result }
    });
    Server::from_listener(listener).serve(&io).await
}
