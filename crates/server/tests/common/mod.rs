//! Clients of bare bytes: HTTP written by hand, and Engine.IO and Socket.IO packets as text over a WebSocket.
#![allow(dead_code, unused_imports, reason = "every test binary uses a part of it")]

pub(crate) mod http;

use sockeye::{Config, DisconnectReason, Io, Server, Socket};
use sockeye_tokio_websocket::{ClientStream, Message, WebSocket, connect};
use std::{fmt::Display, future::Future, net::SocketAddr, time::Duration};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
    time::{sleep, timeout},
};

pub(crate) use http::{Answer, Polling, get, http, raw, raw_with, read_answer, request};

/// How long anything may take that is to happen soon.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// How long to wait before believing that nothing happens.
pub(crate) const QUIET: Duration = Duration::from_millis(80);

pub(crate) const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
pub(crate) const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

/// Waits for what is to happen soon.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("it happens soon")
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("not soon: {what}");
}

/// A server on a port of its own; it ends with this value.
pub(crate) struct TestServer {
    pub(crate) io: Io,
    pub(crate) addr: SocketAddr,
    task: JoinHandle<std::io::Result<()>>,
}

impl TestServer {
    pub(crate) async fn start(io: &Io) -> Self {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let addr = server.local_addr().unwrap();
        let served = io.clone();
        let task = tokio::spawn(async move { server.serve(&served).await });
        Self { io: io.clone(), addr, task }
    }

    /// A server with other options.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start(&Io::builder().config(change).build()).await
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Lines that handlers write, in order.
#[derive(Clone)]
pub(crate) struct Log(UnboundedSender<String>);

pub(crate) struct Lines(UnboundedReceiver<String>);

pub(crate) fn log() -> (Log, Lines) {
    let (sender, receiver) = unbounded_channel();
    (Log(sender), Lines(receiver))
}

impl Log {
    pub(crate) fn write(&self, line: impl Display) {
        let _ = self.0.send(line.to_string());
    }

    /// Writes why sockets of a namespace disconnect.
    pub(crate) fn disconnections(&self, namespace: &sockeye::Namespace) {
        let log = self.clone();
        namespace.on_disconnect(move |socket: Socket, reason: DisconnectReason| {
            log.write(format_args!("{} {reason}", socket.namespace_name()));
            async {}
        });
    }

    /// Writes what goes wrong in handlers of a namespace.
    pub(crate) fn errors(&self, namespace: &sockeye::Namespace) {
        let log = self.clone();
        namespace.on_error(move |_, error| log.write(error));
    }
}

impl Lines {
    pub(crate) async fn next(&mut self) -> String {
        soon(self.0.recv()).await.expect("the log is open")
    }

    pub(crate) async fn expect(&mut self, lines: &[&str]) {
        for line in lines {
            assert_eq!(self.next().await, *line);
        }
    }

    pub(crate) async fn expect_silence(&mut self) {
        if let Ok(line) = timeout(QUIET, self.0.recv()).await {
            panic!("nothing should happen, but: {line:?}");
        }
    }
}

/// A client over WebSocket: Engine.IO packets as text.
pub(crate) struct Ws {
    pub(crate) socket: WebSocket<ClientStream>,
}

impl Ws {
    pub(crate) async fn open_at(addr: SocketAddr, target: &str) -> Self {
        let socket = soon(connect(&format!("ws://{addr}{target}"))).await.expect("the WebSocket opens");
        Self { socket }
    }

    /// A session that is open, with nothing joined.
    pub(crate) async fn open(server: &TestServer) -> Self {
        let mut ws = Self::open_at(server.addr, WEBSOCKET).await;
        assert!(ws.next().await.starts_with("0{\"sid\":\""));
        ws
    }

    /// A client in the main namespace; and its id.
    pub(crate) async fn join(server: &TestServer) -> (Self, String) {
        let mut ws = Self::open(server).await;
        let id = ws.connect("").await;
        (ws, id)
    }

    /// Joins a namespace, written as in packets (`/chat,`); its socket's id.
    pub(crate) async fn connect(&mut self, namespace: &str) -> String {
        self.send(&format!("40{namespace}")).await;
        let reply = self.next().await;
        let id = reply
            .strip_prefix(&format!("40{namespace}{{\"sid\":\""))
            .and_then(|rest| rest.strip_suffix("\"}"))
            .unwrap_or_else(|| panic!("not connected: {reply}"));
        assert_eq!(id.len(), 20);
        id.to_owned()
    }

    pub(crate) async fn send(&mut self, packet: &str) {
        soon(self.socket.send(Message::text(packet))).await.expect("the packet is sent");
    }

    pub(crate) async fn send_binary(&mut self, bytes: &[u8]) {
        soon(self.socket.send(Message::binary(bytes.to_vec()))).await.expect("the bytes are sent");
    }

    /// The next message; a Close or the end of the connection is `None`.
    pub(crate) async fn receive(&mut self) -> Option<Message> {
        match soon(self.socket.receive()).await {
            Some(Ok(message)) if message.is_data() => Some(message),
            _ => None,
        }
    }

    /// The next packet, with pings left out, which are answered.
    pub(crate) async fn next(&mut self) -> String {
        loop {
            match self.receive().await {
                Some(Message::Text(text)) if text == "2" => self.send("3").await,
                Some(Message::Text(text)) => return text.to_string(),
                other => panic!("a packet should come, but: {other:?}"),
            }
        }
    }

    pub(crate) async fn next_binary(&mut self) -> Vec<u8> {
        match self.receive().await {
            Some(Message::Binary(bytes)) => bytes.to_vec(),
            other => panic!("bytes should come, but: {other:?}"),
        }
    }

    pub(crate) async fn expect(&mut self, packets: &[&str]) {
        for packet in packets {
            assert_eq!(self.next().await, *packet);
        }
    }

    /// Nothing comes any more but the end.
    pub(crate) async fn expect_end(&mut self) {
        while let Some(message) = self.receive().await {
            assert_eq!(message, Message::text("2"), "only pings may come before the end");
        }
    }

    pub(crate) async fn expect_silence(&mut self) {
        if let Ok(message) = timeout(QUIET, self.socket.receive()).await {
            panic!("nothing should come, but: {message:?}");
        }
    }

    /// The server still answers: an event that only asks for an acknowledgement of its handler `alive`.
    pub(crate) async fn expect_alive(&mut self) {
        self.send("4299[\"alive\"]").await;
        assert_eq!(self.next().await, "4399[]");
    }
}

/// Handlers that many tests use: `alive` answers, `echo` sends its arguments back, `bye` ends the connection.
pub(crate) fn usual_handlers(namespace: &sockeye::Namespace) {
    namespace.on("alive", async || ());
    namespace.on("echo", async |socket: Socket, args: sockeye::RawArgs| socket.emit("echo", args));
    namespace.on("bye", async |socket: Socket| socket.disconnect(true));
}

/// A server with [`usual_handlers`], other options, and a log of its disconnections.
pub(crate) async fn usual_server(change: impl FnOnce(&mut Config)) -> (TestServer, Lines) {
    let server = TestServer::with(change).await;
    let (log, lines) = log();
    usual_handlers(&server.io);
    log.disconnections(&server.io);
    (server, lines)
}
