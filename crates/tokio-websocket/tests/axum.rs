//! The extractor for axum, under `axum::serve`.

mod support;

use axum::{Extension, Router, body::Body, response::Response, routing::any};
use http::{HeaderValue, Request, StatusCode, header};
use sockeye_tokio_websocket::{
    Acceptor, Connector, Error, Message, Options, Role, codec::OpCode, upgrade::WebSocketUpgrade,
};
use std::net::SocketAddr;
use support::{Peer, close_frame, frame, read_head};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt;

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    let offered = upgrade.offered_protocols().collect::<Vec<_>>().join("+");
    let upgrade = upgrade
        .protocols(["v1", "v2"])
        .header(header::SET_COOKIE, HeaderValue::from_static("a=b"))
        .options(Options::default());
    let chosen = upgrade.protocol().unwrap_or("none").to_owned();
    upgrade.on_upgrade(move |mut socket| async move {
        let peer = socket.get_ref().tcp().map(|stream| stream.peer_addr().expect("an address"));
        let greeting = format!("{offered} {chosen} tcp={}", peer.is_some());
        socket.feed(&*greeting).await.expect("a greeting that leaves");
        while let Some(Ok(message)) = socket.receive().await {
            if message.is_data() && socket.feed(message).await.is_err() {
                break;
            }
        }
    })
}

fn app() -> Router {
    let policy = Acceptor::new().origins(["https://app.example"]).subprotocol("v0");
    Router::new()
        .route("/policy", any(|upgrade: WebSocketUpgrade| async move { upgrade.accept().0 }))
        .layer(Extension(policy))
        .route("/echo", any(echo))
}

async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app()).await });
    address
}

fn request(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
    )
}

#[tokio::test]
async fn socket_under_axum_serve_is_the_raw_tcp_stream() {
    let address = serve().await;
    let connector = Connector::new().subprotocol("v3").subprotocol("v2").subprotocol("v1");
    let (mut socket, response) = connector.connect(&format!("ws://{address}/echo")).await.unwrap();
    assert_eq!(response.subprotocol.as_deref(), Some("v2"));
    assert!(response.headers.contains(&("set-cookie".into(), b"a=b".into())), "{response:?}");
    assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("v3+v2+v1 v2 tcp=true"));
    let large = Message::binary(vec![3; 1 << 20]);
    socket.send(large.clone()).await.unwrap();
    assert_eq!(socket.receive().await.unwrap().unwrap(), large);
    socket.close(None).await.unwrap();
}

#[tokio::test]
async fn frames_sent_together_with_the_request_arrive() {
    let mut client = TcpStream::connect(serve().await).await.unwrap();
    let mut bytes = request("/echo", "").into_bytes();
    bytes.extend(frame(Role::Server, OpCode::Text, b"early"));
    bytes.extend(&frame(Role::Server, OpCode::Text, b"halved")[..7]);
    client.write_all(&bytes).await.unwrap();
    let head = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    let mut peer = Peer::new(client, Role::Server);
    assert_eq!(peer.receive().await, Some((OpCode::Text, b" none tcp=true".to_vec())));
    assert_eq!(peer.receive().await, Some((OpCode::Text, b"early".to_vec())));
    peer.send_raw(&frame(Role::Server, OpCode::Text, b"halved")[7..]).await;
    assert_eq!(peer.receive().await, Some((OpCode::Text, b"halved".to_vec())));
    peer.send_raw(&close_frame(Role::Server, 1000)).await;
    assert_eq!(peer.receive_close_code().await, Some(1000));
    peer.assert_end().await;
}

#[tokio::test]
async fn acceptor_of_the_extension_is_the_policy() {
    let url = format!("ws://{}/policy", serve().await);
    let connector = Connector::new().subprotocol("v0").header("Origin", "https://app.example");
    let (_, response) = connector.connect(&url).await.unwrap();
    assert_eq!(response.subprotocol.as_deref(), Some("v0"));
    let result = Connector::new().header("Origin", "https://evil.example").connect(&url).await;
    assert!(matches!(&result, Err(Error::Refused(refusal)) if refusal.status == 403), "{result:?}");
}

#[tokio::test]
async fn rejection_is_the_response_with_its_status() {
    let cases = [
        ("GET /", "POST /", "405 Method Not Allowed"),
        ("GET /", "HEAD /", "405 Method Not Allowed"),
        ("GET /", "CONNECT /", "405 Method Not Allowed"),
        ("HTTP/1.1", "HTTP/1.0", "505 HTTP Version Not Supported"),
        ("Upgrade: websocket", "X: y", "426 Upgrade Required"),
        ("Version: 13", "Version: 12", "426 Upgrade Required"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIA==", "400 Bad Request"),
        ("Version: 13", "Version: 13\r\nContent-Length: 1", "400 Bad Request"),
        ("Version: 13", "Version: 13\r\nSec-WebSocket-Protocol: a b", "400 Bad Request"),
    ];
    for (from, to, status) in cases {
        let mut client = TcpStream::connect(serve().await).await.unwrap();
        let request = request("/echo", "").replace(from, to).replace("\r\n\r\n", "\r\nX: y\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        let (_, answered) = answer.split_at("HTTP/1.1 ".len());
        assert!(answered.starts_with(status), "{from} -> {to}: {answer}");
    }
}

#[tokio::test]
async fn request_that_did_not_come_from_hyper_is_500() {
    let mut builder = Request::get("/echo");
    for line in request("/echo", "").lines().skip(1).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        builder = builder.header(name, value);
    }
    let response = app().oneshot(builder.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}
