//! A WebSocket on a connection that hyper served.

mod support;

use http_body_util::Full;
use hyper::{
    Request,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use sockeye_tokio_websocket::{
    Acceptor, Connector, Error, Message, Role, codec::OpCode, upgrade::PendingUpgrade,
};
use std::convert::Infallible;
use support::{Peer, close_frame, frame, read_head, tcp_pair};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

/// What the server found out about a connection: whether it is the raw TCP stream, and how the echo ended.
type Report = (bool, Result<(), Error>);

/// Serves one connection with hyper; upgraded ones echo.
fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    acceptor: Acceptor,
) -> mpsc::UnboundedReceiver<Report> {
    serve_by(stream, Hyper::Http1, acceptor)
}

/// What of hyper serves.
#[derive(Clone, Copy)]
enum Hyper {
    Http1,
    /// hyper-util's connection of either HTTP version, as under `axum::serve`.
    Auto,
}

fn serve_by<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    hyper: Hyper,
    acceptor: Acceptor,
) -> mpsc::UnboundedReceiver<Report> {
    let (reports, receiver) = mpsc::unbounded_channel();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (reports, acceptor) = (reports.clone(), acceptor.clone());
        async move {
            Ok::<_, Infallible>(match acceptor.upgrade(&mut request) {
                Ok(upgrade) => {
                    let (response, pending) = upgrade.accept();
                    tokio::spawn(async move {
                        let mut is_tcp = false;
                        let result = echo(pending, &mut is_tcp).await;
                        let _ = reports.send((is_tcp, result));
                    });
                    response
                }
                Err(rejection) => rejection.into_response().map(Full::<Bytes>::from),
            })
        }
    });
    let stream = TokioIo::new(stream);
    match hyper {
        Hyper::Http1 => {
            tokio::spawn(http1::Builder::new().serve_connection(stream, service).with_upgrades());
        }
        Hyper::Auto => {
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection_with_upgrades(stream, service).await;
            });
        }
    }
    receiver
}

async fn echo(pending: PendingUpgrade, is_tcp: &mut bool) -> Result<(), Error> {
    let mut socket = pending.into_websocket().await?;
    *is_tcp = socket.get_ref().tcp().is_some();
    while let Some(message) = socket.receive().await {
        let message = message?;
        if message.is_data() {
            socket.feed(message).await?;
        }
    }
    Ok(())
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[tokio::test]
async fn upgraded_tcp_connection_is_the_raw_stream_and_works() {
    for hyper in [Hyper::Http1, Hyper::Auto] {
        let (server, client) = tcp_pair().await;
        let mut reports = serve_by(server, hyper, Acceptor::new().subprotocol("chat"));
        let (mut socket, response) =
            Connector::new().subprotocol("chat").handshake(client, "ws://localhost/").await.unwrap();
        assert_eq!(response.subprotocol.as_deref(), Some("chat"));
        for text in ["hello", &"é".repeat(100_000)] {
            socket.send(text).await.unwrap();
            assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text(text));
        }
        socket.close(None).await.unwrap();
        let (is_tcp, result) = reports.recv().await.unwrap();
        result.unwrap();
        assert!(is_tcp);
    }
}

#[tokio::test]
async fn bytes_sent_together_with_the_request_arrive() {
    for hyper in [Hyper::Http1, Hyper::Auto] {
        let (server, mut client) = tcp_pair().await;
        let mut reports = serve_by(server, hyper, Acceptor::new());
        let mut bytes = REQUEST.as_bytes().to_vec();
        bytes.extend(frame(Role::Server, OpCode::Text, b"early"));
        bytes.extend(&frame(Role::Server, OpCode::Text, b"halved")[..7]);
        client.write_all(&bytes).await.unwrap();
        let head = read_head(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        let mut peer = Peer::new(client, Role::Server);
        assert_eq!(peer.receive().await, Some((OpCode::Text, b"early".to_vec())));
        peer.send_raw(&frame(Role::Server, OpCode::Text, b"halved")[7..]).await;
        assert_eq!(peer.receive().await, Some((OpCode::Text, b"halved".to_vec())));
        peer.send_raw(&close_frame(Role::Server, 1000)).await;
        assert_eq!(peer.receive_close_code().await, Some(1000));
        peer.assert_end().await;
        reports.recv().await.unwrap().1.unwrap();
    }
}

#[tokio::test]
async fn upgraded_connection_over_another_transport_works_too() {
    let (server, client) = tokio::io::duplex(1000);
    let mut reports = serve(server, Acceptor::new());
    let (mut socket, _) = Connector::new().handshake(client, "ws://localhost/").await.unwrap();
    let large = Message::binary(vec![7; 50_000]);
    let (sent, received) = {
        let (mut sink, mut stream) = futures_util::StreamExt::split(socket);
        let halves = tokio::join!(
            futures_util::SinkExt::send(&mut sink, large.clone()),
            futures_util::StreamExt::next(&mut stream)
        );
        socket = sink.reunite(stream).unwrap();
        halves
    };
    sent.unwrap();
    assert_eq!(received.unwrap().unwrap(), large);
    socket.close(None).await.unwrap();
    reports.recv().await.unwrap().1.unwrap();
}

/// Reads a response: its head, and as much of a body as it says.
async fn read_response(client: &mut TcpStream) -> (String, String) {
    let head = read_head(client).await;
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; len.parse().expect("a length")];
    client.read_exact(&mut body).await.expect("a body");
    (head, String::from_utf8(body).expect("a text body"))
}

#[tokio::test]
async fn wrong_request_is_answered_by_the_service_and_the_connection_serves_on() {
    let (server, mut client) = tcp_pair().await;
    let _reports = serve(server, Acceptor::new());
    for (from, to, status, told) in [
        ("GET /", "POST /", "405 Method Not Allowed", "allow: GET"),
        (
            "Upgrade: websocket",
            "X: y",
            "426 Upgrade Required",
            "upgrade: websocket\r\nconnection: Upgrade\r\n",
        ),
        (
            "Upgrade: websocket",
            "Upgrade: h2c",
            "426 Upgrade Required",
            "upgrade: websocket\r\nconnection: Upgrade\r\n",
        ),
        (
            "Connection: Upgrade",
            "X: y",
            "426 Upgrade Required",
            "upgrade: websocket\r\nconnection: Upgrade\r\n",
        ),
        ("Version: 13", "Version: 8", "426 Upgrade Required", "sec-websocket-version: 13"),
        ("Sec-WebSocket-Version: 13\r\n", "", "426 Upgrade Required", "sec-websocket-version: 13"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "short", "400 Bad Request", "content-length"),
        ("Sec-WebSocket-Key", "X-Key", "400 Bad Request", "content-length"),
        ("Version: 13", "Version: 13\r\nContent-Length: 0", "101 Switching Protocols", "upgrade: websocket"),
    ] {
        client.write_all(REQUEST.replace(from, to).as_bytes()).await.unwrap();
        let (head, body) = read_response(&mut client).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{from} -> {to}: {head}");
        assert!(head.contains(&format!("\r\n{told}")), "{from} -> {to}: {head}");
        assert_eq!(body.is_empty(), status.starts_with("101"), "{from} -> {to}: {body}");
    }
}

#[tokio::test]
async fn head_request_is_405() {
    let (server, mut client) = tcp_pair().await;
    let _reports = serve(server, Acceptor::new());
    client.write_all(REQUEST.replace("GET", "HEAD").as_bytes()).await.unwrap();
    let head = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{head}");
}

#[tokio::test]
async fn http_1_0_is_505() {
    let (server, mut client) = tcp_pair().await;
    let _reports = serve(server, Acceptor::new());
    client.write_all(REQUEST.replace("HTTP/1.1", "HTTP/1.0").as_bytes()).await.unwrap();
    let head = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.0 505 HTTP Version Not Supported\r\n"), "{head}");
}

#[tokio::test]
async fn request_with_a_body_is_refused_before_it_is_taken_for_frames() {
    let frame = frame(Role::Server, OpCode::Text, b"smuggled");
    for (header, body) in [
        (format!("Content-Length: {}", frame.len()), frame.clone()),
        ("Transfer-Encoding: chunked".into(), [&b"e\r\n"[..], &frame, b"\r\n0\r\n\r\n"].concat()),
    ] {
        for hyper in [Hyper::Http1, Hyper::Auto] {
            let (server, mut client) = tcp_pair().await;
            let _reports = serve_by(server, hyper, Acceptor::new());
            let head = REQUEST.replace("Version: 13", &format!("Version: 13\r\n{header}"));
            client.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
            let (head, _) = read_response(&mut client).await;
            assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{header}: {head}");
        }
    }
}

#[tokio::test]
async fn foreign_origin_is_refused_with_403() {
    let (server, mut client) = tcp_pair().await;
    let acceptor = Acceptor::new().same_origin().origins(["https://app.example"]);
    let _reports = serve(server, acceptor);
    for (origin, status) in [
        ("Origin: https://evil.example", "403 Forbidden"),
        ("Origin: null", "403 Forbidden"),
        ("Origin: http://localhost:3000", "403 Forbidden"),
        ("Origin: http://localhost\r\nOrigin: http://localhost", "403 Forbidden"),
        ("Origin: http://localhost", "101 Switching Protocols"),
    ] {
        let request = REQUEST.replace("Version: 13", &format!("Version: 13\r\n{origin}"));
        client.write_all(request.as_bytes()).await.unwrap();
        let (head, body) = read_response(&mut client).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{origin}: {head}");
        assert_eq!(body == "origin not allowed\n", status.starts_with("403"), "{origin}: {body}");
    }
}

#[tokio::test]
async fn client_that_leaves_before_the_upgrade_is_an_error() {
    for hyper in [Hyper::Http1, Hyper::Auto] {
        // The answer does not fit into the pipe, so the upgrade waits for the client.
        let (server, mut client) = tokio::io::duplex(32);
        let mut reports = serve_by(server, hyper, Acceptor::new());
        client.write_all(REQUEST.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
        drop(client);
        let (_, result) = reports.recv().await.unwrap();
        assert!(matches!(result, Err(Error::Io(_))), "{result:?}");
    }
}

#[tokio::test]
async fn request_that_did_not_come_from_hyper_is_rejected_as_the_servers_fault() {
    let mut request = Request::get("/").body(()).unwrap();
    let fields = [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];
    for (name, value) in fields {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let rejection = Acceptor::new().upgrade(&mut request).unwrap_err();
    assert_eq!(rejection.error(), None);
    assert_eq!(rejection.into_response().status(), 500);
}
