//! WebSockets over HTTP/2 (RFC 8441): our server against a client that speaks HTTP/2 by hand, and our client.

mod support;

use axum::{Extension, Router, response::Response, routing::any};
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::SendRequest, ext::Protocol};
use http::{Method, Request, StatusCode, Version, request::Builder};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sockeye_tokio_websocket::{
    Acceptor, CloseCode, CloseFrame, Error, Message, Options, Role, WebSocket,
    codec::{OpCode, handshake::HandshakeError},
    http2::Connection,
    upgrade::{UpgradedStream, WebSocketUpgrade},
};
use std::{convert::Infallible, future::poll_fn, io, net::SocketAddr, time::Duration};
use support::{close_frame, decode_frame, frame};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

/// How the echo on one WebSocket ended.
type Report = Result<(), Error>;
type Reports = mpsc::UnboundedSender<Report>;

async fn echo(upgrade: WebSocketUpgrade, reports: Extension<Reports>) -> Response {
    upgrade.on_upgrade(move |mut socket| async move {
        let result = echo_on(&mut socket).await;
        let _ = reports.send(result);
    })
}

async fn echo_on(socket: &mut WebSocket<UpgradedStream>) -> Report {
    assert!(socket.get_ref().tcp().is_none());
    while let Some(message) = socket.receive().await {
        let message = message?;
        if message.is_data() {
            socket.feed(message).await?;
        }
    }
    Ok(())
}

async fn serve() -> (SocketAddr, mpsc::UnboundedReceiver<Report>) {
    let (reports, receiver) = mpsc::unbounded_channel();
    let policy = Acceptor::new().same_origin().subprotocol("v1").subprotocol("v2");
    let drop_at_once = |upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(|_| async {}) };
    let app = Router::new()
        .route("/", any(echo))
        .route("/drop", any(drop_at_once))
        .route("/elsewhere", any(|| async { axum::response::Redirect::temporary("wss://b.example/") }))
        .route("/forged", any(|| async { [("sec-websocket-protocol", "unoffered")] }))
        .route("/extended", any(|| async { [("sec-websocket-extensions", "permessage-deflate")] }))
        .layer(Extension(reports))
        .layer(Extension(policy));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, receiver)
}

/// A client that speaks HTTP/2 by hand. Its window for the whole connection is large, so that one stream whose data it
/// does not take does not hold up the others.
async fn client_of(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (sender, connection) = h2::client::Builder::new()
        .initial_connection_window_size(16 << 20)
        .handshake::<_, Bytes>(stream)
        .await
        .expect("a handshake");
    tokio::spawn(async move { drop(connection.await) });
    while !sender.is_extended_connect_protocol_enabled() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    sender
}

fn connect_request(address: SocketAddr) -> Builder {
    Request::builder()
        .method(Method::CONNECT)
        .version(Version::HTTP_2)
        .uri(format!("http://{address}/"))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
}

async fn ask(
    sender: &SendRequest<Bytes>,
    request: Builder,
) -> (http::Response<RecvStream>, SendStream<Bytes>) {
    let mut sender = sender.clone().ready().await.expect("a ready connection");
    let (response, stream) =
        sender.send_request(request.body(()).expect("a request"), false).expect("a request");
    (response.await.expect("a response"), stream)
}

/// One WebSocket by hand.
struct Raw {
    send: SendStream<Bytes>,
    receive: RecvStream,
    received: Vec<u8>,
}

impl Raw {
    async fn open(sender: &SendRequest<Bytes>, address: SocketAddr) -> Self {
        let (response, send) = ask(sender, connect_request(address)).await;
        assert_eq!(response.status(), 200);
        Self { send, receive: response.into_body(), received: Vec::new() }
    }

    async fn send(&mut self, mut bytes: Bytes) {
        while !bytes.is_empty() {
            self.send.reserve_capacity(bytes.len());
            let len =
                poll_fn(|cx| self.send.poll_capacity(cx)).await.expect("room to send").expect("room to send");
            self.send.send_data(bytes.split_to(len.min(bytes.len())), false).expect("data that leaves");
        }
    }

    async fn send_frame(&mut self, opcode: OpCode, payload: &[u8]) {
        self.send(frame(Role::Server, opcode, payload).into()).await;
    }

    /// The next frame; `None` at the end of the stream.
    async fn receive(&mut self) -> Option<(OpCode, Vec<u8>)> {
        loop {
            if let Some((opcode, payload, len)) = decode_frame(Role::Server, &self.received) {
                self.received.drain(..len);
                return Some((opcode, payload));
            }
            let data = self.receive.data().await?.expect("data");
            self.receive.flow_control().release_capacity(data.len()).expect("released room");
            self.received.extend_from_slice(&data);
        }
    }
}

async fn report(reports: &mut mpsc::UnboundedReceiver<Report>) -> Report {
    timeout(Duration::from_secs(10), reports.recv()).await.expect("the server ends").expect("a report")
}

mod server {
    use super::*;

    #[tokio::test]
    async fn answer_is_200_without_the_fields_of_the_upgrade() {
        let (address, _reports) = serve().await;
        let request = connect_request(address).header("sec-websocket-protocol", "v3, v2, v1");
        let (response, _stream) = ask(&client_of(address).await, request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["sec-websocket-protocol"], "v2");
        for name in ["upgrade", "connection", "sec-websocket-accept", "content-length"] {
            assert!(!response.headers().contains_key(name), "{response:?}");
        }
    }

    #[tokio::test]
    async fn closing_handshake_ends_the_stream_in_both_directions() {
        let (address, mut reports) = serve().await;
        let sender = client_of(address).await;
        let mut raw = Raw::open(&sender, address).await;
        let hello = frame(Role::Server, OpCode::Text, b"hello");
        for byte in &hello {
            raw.send(Bytes::copy_from_slice(&[*byte])).await;
        }
        assert_eq!(raw.receive().await, Some((OpCode::Text, b"hello".to_vec())));
        raw.send(close_frame(Role::Server, 1000).into()).await;
        assert_eq!(raw.receive().await, Some((OpCode::Close, 1000u16.to_be_bytes().to_vec())));
        assert_eq!(raw.receive().await, None);
        assert!(raw.receive.is_end_stream(), "END_STREAM, not a reset");
        raw.send.send_data(Bytes::new(), true).unwrap();
        report(&mut reports).await.unwrap();
        Raw::open(&sender, address).await;
    }

    #[tokio::test]
    async fn broken_rule_is_told_by_its_close_code() {
        let (address, mut reports) = serve().await;
        let mut raw = Raw::open(&client_of(address).await, address).await;
        // Without a mask.
        raw.send(Bytes::from_static(b"\x81\x02hi")).await;
        assert_eq!(raw.receive().await, Some((OpCode::Close, 1002u16.to_be_bytes().to_vec())));
        assert_eq!(raw.receive().await, None);
        raw.send.send_data(Bytes::new(), true).unwrap();
        assert!(matches!(report(&mut reports).await, Err(Error::Protocol(_))));
    }

    #[tokio::test]
    async fn reset_of_the_stream_is_an_error_and_the_connection_serves_on() {
        let (address, mut reports) = serve().await;
        let sender = client_of(address).await;
        // RFC 8441 §5: a TCP reset is told by CANCEL.
        for reason in [Reason::CANCEL, Reason::INTERNAL_ERROR, Reason::NO_ERROR] {
            let mut raw = Raw::open(&sender, address).await;
            raw.send_frame(OpCode::Text, b"hello").await;
            assert_eq!(raw.receive().await, Some((OpCode::Text, b"hello".to_vec())));
            raw.send.send_reset(reason);
            let result = report(&mut reports).await;
            assert!(matches!(result, Err(Error::Io(_) | Error::Protocol(_))), "{reason}: {result:?}");
        }
        Raw::open(&sender, address).await;
    }

    #[tokio::test]
    async fn end_of_the_stream_without_a_close_frame_is_an_error() {
        let (address, mut reports) = serve().await;
        let mut raw = Raw::open(&client_of(address).await, address).await;
        raw.send.send_data(Bytes::new(), true).unwrap();
        assert!(report(&mut reports).await.is_err());
    }

    #[tokio::test]
    async fn end_of_the_connection_is_an_error_of_each_socket() {
        let (address, mut reports) = serve().await;
        let stream = TcpStream::connect(address).await.unwrap();
        let connection = Connection::open(stream).await.unwrap();
        let request = || Request::get(format!("ws://{address}/")).body(()).unwrap();
        let runtime_of_client = (
            connection.connect(request(), &Options::default()).await.unwrap(),
            connection.connect(request(), &Options::default()).await.unwrap(),
        );
        drop((runtime_of_client, connection));
        for _ in 0..2 {
            assert!(report(&mut reports).await.is_err());
        }
    }

    #[tokio::test]
    async fn wrong_requests_have_their_status() {
        let (address, _reports) = serve().await;
        let sender = client_of(address).await;
        let plain = || Request::builder().version(Version::HTTP_2).uri(format!("http://{address}/"));
        let protocol = |name| plain().method(Method::CONNECT).extension(Protocol::from_static(name));
        let cases = [
            (protocol("webtransport").header("sec-websocket-version", "13"), 501),
            (protocol("websocket"), 426),
            (protocol("websocket").header("sec-websocket-version", "8"), 426),
            (connect_request(address).header("sec-websocket-version", "13"), 426),
            (connect_request(address).header("sec-websocket-protocol", "a b"), 400),
            (connect_request(address).header("origin", "https://evil.example"), 403),
            (connect_request(address).header("origin", "null"), 403),
            (plain().method(Method::GET).header("sec-websocket-version", "13"), 426),
            (plain().method(Method::POST), 405),
            (connect_request(address).header("origin", format!("http://{address}")), 200),
            (protocol("WebSocket").header("sec-websocket-version", "13"), 200),
        ];
        for (request, status) in cases {
            let shown = format!("{request:?}");
            let (response, _stream) = ask(&sender, request).await;
            assert_eq!(response.status(), status, "{shown}");
            assert!(
                !response.headers().contains_key("upgrade") && !response.headers().contains_key("connection")
            );
            if shown.contains("CONNECT") && status == 426 {
                assert_eq!(response.headers()["sec-websocket-version"], "13", "{shown}");
            }
        }
    }

    #[tokio::test]
    async fn peer_that_does_not_read_is_not_read_from() {
        let (address, mut reports) = serve().await;
        let sender = client_of(address).await;
        let mut stuck = Raw::open(&sender, address).await;
        let payload = vec![b'x'; 64 * 1024];
        let mut sent_count = 0;
        // What the server took lies in windows and queues; 64 MiB would lie in its memory.
        while sent_count < 1024
            && timeout(Duration::from_millis(500), stuck.send_frame(OpCode::Binary, &payload)).await.is_ok()
        {
            sent_count += 1;
        }
        assert!((2..100).contains(&sent_count), "{sent_count} messages of 64 KiB");
        // All streams of a connection share its window (RFC 9113 §5.2), so another one may have to wait for this one.
        stuck.send.send_reset(Reason::CANCEL);
        assert!(timeout(Duration::from_secs(20), report(&mut reports)).await.expect("it ends").is_err());
    }

    #[tokio::test]
    async fn connection_of_hyper_alone_over_another_transport_works_too() {
        let (server, client) = tokio::io::duplex(4096);
        let service = service_fn(|mut request: Request<Incoming>| async move {
            Ok::<_, Infallible>(match Acceptor::new().upgrade(&mut request) {
                Ok(upgrade) => upgrade.on_upgrade(|mut socket| async move {
                    echo_on(&mut socket).await.unwrap();
                }),
                Err(rejection) => rejection.into_response().map(Full::<Bytes>::from),
            })
        });
        tokio::spawn(async move {
            let mut builder = conn::http2::Builder::new(TokioExecutor::new());
            builder.enable_connect_protocol().serve_connection(TokioIo::new(server), service).await
        });
        let connection = Connection::open(client).await.unwrap();
        let request = Request::get("wss://localhost/").body(()).unwrap();
        let (mut socket, _) = connection.connect(request, &Options::default()).await.unwrap();
        socket.send("hello").await.unwrap();
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("hello"));
        socket.close(None).await.unwrap();
    }
}

mod client {
    use super::*;

    async fn connect(
        connection: &Connection,
        address: SocketAddr,
        path: &str,
    ) -> Result<(WebSocket<UpgradedStream>, http::Response<()>), Error> {
        let request = Request::get(format!("ws://{address}{path}"))
            .header("sec-websocket-protocol", "v3, v2")
            .body(())
            .expect("a request");
        connection.connect(request, &Options::default()).await
    }

    async fn open(address: SocketAddr) -> Connection {
        Connection::open(TcpStream::connect(address).await.expect("a connection"))
            .await
            .expect("a connection")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_websockets_share_one_connection() {
        let (address, mut reports) = serve().await;
        let connection = open(address).await;
        let mut sockets = Vec::new();
        for _ in 0..100 {
            let (socket, response) = connect(&connection, address, "/").await.unwrap();
            assert_eq!(response.headers()["sec-websocket-protocol"], "v2");
            sockets.push(socket);
        }
        for round in 0..3 {
            for (i, socket) in sockets.iter_mut().enumerate() {
                socket.send(&*format!("{round} of {i}")).await.unwrap();
            }
            for (i, socket) in sockets.iter_mut().enumerate().rev() {
                let echoed = socket.receive().await.unwrap().unwrap();
                assert_eq!(echoed, Message::text(format!("{round} of {i}")));
            }
        }
        for mut socket in sockets {
            socket.close(Some(CloseFrame::new(CloseCode::NORMAL, "done"))).await.unwrap();
            report(&mut reports).await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn large_message_goes_both_ways() {
        let (address, _reports) = serve().await;
        let (mut socket, _) = connect(&open(address).await, address, "/").await.unwrap();
        let large: Vec<u8> = (0..8u32 << 20).map(|i| i.to_le_bytes()[i as usize % 3]).collect();
        let large = Message::binary(large);
        let (mut sink, mut stream) = futures_util::StreamExt::split(socket);
        let (sent, received) = tokio::join!(
            futures_util::SinkExt::send(&mut sink, large.clone()),
            futures_util::StreamExt::next(&mut stream)
        );
        sent.unwrap();
        assert!(received.unwrap().unwrap() == large);
        socket = sink.reunite(stream).unwrap();
        socket.close(None).await.unwrap();
    }

    #[tokio::test]
    async fn server_that_leaves_without_a_close_is_an_error() {
        let (address, _reports) = serve().await;
        let (mut socket, _) = connect(&open(address).await, address, "/drop").await.unwrap();
        assert!(matches!(socket.receive().await, Some(Err(_))));
        assert!(socket.receive().await.is_none());
    }

    #[tokio::test]
    async fn response_that_does_not_open_the_connection_is_an_error() {
        let (address, _reports) = serve().await;
        let connection = open(address).await;
        let location = Some("wss://b.example/".to_owned());
        for (path, expected) in [
            ("/elsewhere", HandshakeError::Redirect { status: 307, location }),
            ("/forged", HandshakeError::UnofferedSubprotocol("unoffered".into())),
            ("/extended", HandshakeError::UnofferedExtension("permessage-deflate".into())),
        ] {
            match connect(&connection, address, path).await {
                Err(Error::Handshake(error)) => assert_eq!(error, expected, "{path}"),
                other => panic!("{path}: {other:?}"),
            }
        }
        let missing = connect(&connection, address, "/missing").await;
        assert!(matches!(&missing, Err(Error::Refused(refusal)) if refusal.status == 404), "{missing:?}");
        let foreign = Request::get(format!("ws://{address}/")).header("origin", "https://evil.example");
        let result = connection.connect(foreign.body(()).unwrap(), &Options::default()).await;
        assert!(matches!(&result, Err(Error::Refused(refusal)) if refusal.status == 403), "{result:?}");
    }

    #[tokio::test]
    async fn url_of_another_kind_is_an_error() {
        let (address, _reports) = serve().await;
        let connection = open(address).await;
        for url in ["/path", "ftp://localhost/", "localhost:80"] {
            let request = Request::get(url).body(()).unwrap();
            let result = connection.connect(request, &Options::default()).await;
            assert!(matches!(result, Err(Error::Url(_))), "{url}: {result:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn settings_are_awaited_whenever_they_arrive() {
        let (address, _reports) = serve().await;
        for _ in 0..200 {
            connect(&open(address).await, address, "/").await.unwrap();
        }
    }

    #[tokio::test]
    async fn server_that_offers_no_websockets_over_http2_is_an_error_at_once() {
        let (server, client) = tokio::io::duplex(4096);
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(server).await.unwrap();
            while connection.accept().await.is_some() {}
        });
        let opening = timeout(Duration::from_secs(2), Connection::open(client)).await.unwrap();
        assert!(
            matches!(&opening, Err(Error::Io(e)) if e.kind() == io::ErrorKind::Unsupported),
            "{opening:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silent_server_is_given_up_after_ten_seconds() {
        let (_server, client) = tokio::io::duplex(4096);
        let start = tokio::time::Instant::now();
        let opening = Connection::open(client).await;
        assert!(matches!(opening, Err(Error::HandshakeTimeout)), "{opening:?}");
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test]
    async fn server_that_is_none_is_an_error() {
        let (server, client) = tokio::io::duplex(4096);
        drop(server);
        let opening = Connection::open(client).await;
        assert!(matches!(opening, Err(Error::Io(_))), "{opening:?}");
    }

    #[tokio::test]
    async fn reset_by_the_server_is_an_error() {
        let (server, client) = tokio::io::duplex(4096);
        tokio::spawn(async move {
            let mut connection = h2::server::Builder::new()
                .enable_connect_protocol()
                .handshake::<_, Bytes>(server)
                .await
                .unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                assert_eq!(request.headers()["sec-websocket-version"], "13");
                assert_eq!(request.uri(), "https://localhost/x?y");
                let response = http::Response::builder().status(StatusCode::OK).body(()).unwrap();
                let mut stream = respond.send_response(response, false).unwrap();
                stream.send_data(Bytes::from_static(b"\x81\x02hi"), false).unwrap();
                tokio::spawn(async move {
                    // After the data has left.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    stream.send_reset(Reason::INTERNAL_ERROR);
                });
            }
        });
        let connection = Connection::open(client).await.unwrap();
        let request = Request::get("wss://localhost/x?y").body(()).unwrap();
        let (mut socket, _) = connection.connect(request, &Options::default()).await.unwrap();
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("hi"));
        assert!(matches!(socket.receive().await, Some(Err(Error::Io(_)))));
    }
}
