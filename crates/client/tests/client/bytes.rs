//! Servers of bare bytes: HTTP written by hand, and Engine.IO packets as text over a WebSocket.

use sockeye_tokio_websocket::{Message, WebSocket, accept};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::soon;

/// The open packet of a session that nobody upgrades, with a heartbeat that does not matter.
pub(crate) const OPEN: &str =
    r#"0{"sid":"abc","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;

pub(crate) struct Listener(TcpListener);

impl Listener {
    pub(crate) async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a port"))
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("an address")
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> TcpStream {
        soon(self.0.accept()).await.expect("a connection").0
    }

    /// The next WebSocket.
    pub(crate) async fn websocket(&self) -> WebSocket<TcpStream> {
        soon(accept(self.accept().await)).await.expect("a WebSocket")
    }

    /// The next WebSocket, after the handshakes of both protocols.
    pub(crate) async fn session(&self) -> WebSocket<TcpStream> {
        let mut socket = self.websocket().await;
        socket.send(OPEN).await.expect("sent");
        assert!(receive(&mut socket).await.starts_with("40"));
        socket.send(r#"40{"sid":"public"}"#).await.expect("sent");
        socket
    }
}

/// The next text message; a closed connection is the text `closed`.
pub(crate) async fn receive(socket: &mut WebSocket<TcpStream>) -> String {
    loop {
        match soon(socket.receive()).await {
            Some(Ok(Message::Text(text))) => return text.to_string(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return "closed".into(),
            other => panic!("{other:?}"),
        }
    }
}

/// The next request of a connection: its head and its body. `None` when the connection ended.
pub(crate) async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if soon(stream.read(&mut byte)).await.ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text");
    let len = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; len.unwrap_or(0)];
    soon(stream.read_exact(&mut body)).await.ok()?;
    Some((head, String::from_utf8(body).expect("text")))
}

pub(crate) async fn answer(stream: &mut TcpStream, status: &str, fields: &str, body: &str) {
    let len = body.len();
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\n{fields}\r\n{body}");
    // The client may be gone, as some tests want it.
    let _ = stream.write_all(text.as_bytes()).await;
}
