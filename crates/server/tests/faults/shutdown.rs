//! Servers that stop: gracefully, and with their runtime.

use http::Request;
use sockeye::{AckError, EmitError, Io, Server, Socket};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    time::sleep,
};
use tower_service::Service;

use crate::common::{
    POLLING, Polling, QUIET, TestServer, WEBSOCKET, Ws, get, read_answer, soon, until, usual_server,
};

#[tokio::test]
async fn shutdown_waits_no_longer_than_its_deadline() {
    let (server, mut lines) = usual_server(|_| ()).await;
    // Nobody polls, so the session cannot end by itself.
    let client = Polling::join(&server).await;
    let start = Instant::now();
    server.io.close(Duration::from_millis(150)).await;
    assert!((150..1000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    lines.expect(&["/ server shutting down"]).await;
    assert_eq!(client.poll().await, "1");
    client.expect_gone().await;
    server.io.close(Duration::from_secs(5)).await;
    assert_eq!(server.io.client_count(), 0);
}

/// Holds the answers of the service within back until it is told otherwise.
#[derive(Clone)]
struct HoldBack<S> {
    service: S,
    answered: Arc<Notify>,
    go: Arc<Notify>,
}

impl<S, B> Service<Request<B>> for HoldBack<S>
where
    S: Service<Request<B>, Response: Send, Error: Send, Future: Send + 'static>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (answer, answered, go) = (self.service.call(request), self.answered.clone(), self.go.clone());
        Box::pin(async move {
            let answer = answer.await;
            answered.notify_one();
            go.notified().await;
            answer
        })
    }
}

#[tokio::test]
async fn session_that_was_opening_when_the_server_shut_down_ends_too() {
    let io = Io::new();
    let (answered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let service = HoldBack { service: io.service(), answered: answered.clone(), go: go.clone() };
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr().unwrap();
    tokio::spawn(server.serve_service(service));

    let opening = tokio::spawn(Ws::open_at(addr, WEBSOCKET));
    soon(answered.notified()).await;
    io.close(Duration::from_secs(1)).await;
    go.notify_one();
    let mut ws = soon(opening).await.unwrap();
    assert!(ws.next().await.starts_with("0{\"sid\":\""));
    ws.expect_end().await;
    until("the session is over", || io.client_count() == 0).await;

    go.notify_one();
    let refused = get(addr, POLLING).await;
    assert_eq!(refused.summary(), r#"403 {"code":4,"message":"server shutting down"}"#);
}

#[test]
fn runtime_that_stops_takes_sockets_out_of_their_rooms_and_fails_what_waits() {
    let io = Io::new();
    io.on_connection(async |socket: Socket| {
        socket.join("room");
        let own = socket.clone();
        socket.on("own", move || {
            let _own = own.clone();
            async {}
        });
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (socket, ask) = runtime.block_on(async {
        let server = TestServer::start(&io).await;
        let (ws, id) = Ws::join(&server).await;
        let socket = io.socket(&id).unwrap();
        let ask = socket.emit_with_ack::<u8, _>("ask", ());
        std::mem::forget(ws);
        std::mem::forget(server);
        (socket, ask)
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    assert_eq!((io.client_count(), io.sockets().len(), io.room_len("room")), (0, 0, 0));
    assert!(!socket.is_connected());
    assert!(matches!(socket.emit("late", ()), Err(EmitError::Disconnected)));
    let another = tokio::runtime::Runtime::new().unwrap();
    assert!(matches!(another.block_on(ask), Err(AckError::Disconnected)));
    io.emit("nobody", ()).unwrap();
}

#[tokio::test]
async fn server_that_stops_listening_keeps_the_connected() {
    let (server, _lines) = usual_server(|_| ()).await;
    let (mut ws, _) = Ws::join(&server).await;
    let addr = server.addr;
    drop(server);
    sleep(QUIET).await;
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
    ws.expect_alive().await;
}

/// A server that stops when told so: how to tell it, and what its future returns.
async fn stoppable(
    io: &Io,
    deadline: Duration,
) -> (std::net::SocketAddr, Arc<Notify>, tokio::task::JoinHandle<std::io::Result<()>>) {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr().unwrap();
    let stop = Arc::new(Notify::new());
    let (io, signal) = (io.clone(), stop.clone());
    let serving = tokio::spawn(async move { server.serve_until(&io, signal.notified(), deadline).await });
    (addr, stop, serving)
}

#[tokio::test]
async fn server_that_is_told_to_stop_drains_and_returns() {
    let io = Io::new();
    crate::common::usual_handlers(&io);
    let (log, mut lines) = crate::common::log();
    log.disconnections(&io);
    let (addr, stop, serving) = stoppable(&io, Duration::from_secs(60)).await;
    let mut ws = Ws::open_at(addr, WEBSOCKET).await;
    ws.next().await;
    ws.connect("").await;
    let polling = Polling::open_at(addr).await;
    polling.post("40").await;
    assert!(polling.poll().await.starts_with("40"));
    let mut kept = tokio::net::TcpStream::connect(addr).await.unwrap();
    let poll = crate::common::request("GET", &polling.target(), "", b"");
    kept.write_all(&poll).await.unwrap();
    sleep(QUIET).await;
    assert!(!serving.is_finished());
    // What is queued at the end goes out first.
    io.emit("last", ()).unwrap();
    stop.notify_one();
    ws.expect(&["42[\"last\"]"]).await;
    ws.expect_end().await;
    lines.expect(&["/ server shutting down", "/ server shutting down"]).await;
    assert!(tokio::net::TcpStream::connect(addr).await.is_err(), "nobody listens");
    assert_eq!(soon(read_answer(&mut kept)).await.summary(), "200 42[\"last\"]");
    kept.write_all(&poll).await.unwrap();
    assert_eq!(soon(read_answer(&mut kept)).await.summary(), "200 1");
    drop(ws);
    soon(serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn server_that_is_told_to_stop_returns_at_once_when_nobody_is_there() {
    let io = Io::new();
    let (addr, stop, serving) = stoppable(&io, Duration::from_secs(60)).await;
    // A connection that is kept alive ends without another request.
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    stream.write_all(&crate::common::request("GET", "/nowhere", "", b"")).await.unwrap();
    let mut answer = [0; 12];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    stop.notify_one();
    soon(serving).await.unwrap().unwrap();
    let mut rest = Vec::new();
    soon(stream.read_to_end(&mut rest)).await.unwrap();
}

#[tokio::test]
async fn server_cuts_off_what_is_left_at_its_deadline() {
    let io = Io::new();
    let (addr, stop, serving) = stoppable(&io, Duration::from_millis(200)).await;
    let client = Polling::open_at(addr).await;
    // A request that never ends.
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let head = format!("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n4", client.target());
    stream.write_all(head.as_bytes()).await.unwrap();
    sleep(QUIET).await;
    let started = Instant::now();
    stop.notify_one();
    soon(serving).await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let mut rest = Vec::new();
    let _ = soon(stream.read_to_end(&mut rest)).await;
}
