//! A WebSocket on a connection that hyper served.

mod support;

use http_body_util::Empty;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use sockeye_tokio_websocket::{Connector, Error, Message, Options, Role, codec::OpCode, upgrade};
use std::convert::Infallible;
use support::{Peer, close_frame, frame, read_head, tcp_pair};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

/// What the server found out about a connection: its debug view, and how the echo ended.
type Report = (String, Result<(), Error>);

/// Serves one connection with hyper; upgraded ones echo.
fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> mpsc::UnboundedReceiver<Report> {
    serve_by(stream, Hyper::Http1)
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
) -> mpsc::UnboundedReceiver<Report> {
    let (reports, receiver) = mpsc::unbounded_channel();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let reports = reports.clone();
        async move {
            let subprotocol = request.headers().contains_key("sec-websocket-protocol").then_some("chat");
            Ok::<_, Infallible>(match upgrade::accept(&mut request, subprotocol) {
                Ok((response, pending)) => {
                    tokio::spawn(async move {
                        let mut view = String::new();
                        let result = echo(pending, &mut view).await;
                        let _ = reports.send((view, result));
                    });
                    response.map(|()| Empty::<Bytes>::new())
                }
                Err(error) => {
                    let mut response = Response::new(Empty::new());
                    *response.status_mut() = StatusCode::from_u16(error.status()).expect("a status");
                    response
                }
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

async fn echo(pending: upgrade::PendingUpgrade, view: &mut String) -> Result<(), Error> {
    let mut socket = pending.into_websocket(&Options::default()).await?;
    *view = format!("{:?}", socket.get_ref());
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
        let mut reports = serve_by(server, hyper);
        let (mut socket, response) =
            Connector::new().subprotocol("chat").handshake(client, "ws://localhost/").await.unwrap();
        assert_eq!(response.subprotocol.as_deref(), Some("chat"));
        for text in ["hello", &"é".repeat(100_000)] {
            socket.send(text).await.unwrap();
            assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text(text));
        }
        socket.close(None).await.unwrap();
        let (view, result) = reports.recv().await.unwrap();
        result.unwrap();
        assert!(view.contains("Tcp(") && !view.contains("Upgraded {"), "{view}");
    }
}

#[tokio::test]
async fn bytes_sent_together_with_the_request_arrive() {
    for hyper in [Hyper::Http1, Hyper::Auto] {
        let (server, mut client) = tcp_pair().await;
        let mut reports = serve_by(server, hyper);
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
    let mut reports = serve(server);
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

#[tokio::test]
async fn wrong_request_is_answered_by_the_service_and_the_connection_serves_on() {
    let (server, mut client) = tcp_pair().await;
    let _reports = serve(server);
    for (from, to, status) in [
        ("GET /", "POST /", "405 Method Not Allowed"),
        ("Upgrade: websocket", "X: y", "426 Upgrade Required"),
        ("Version: 13", "Version: 8", "426 Upgrade Required"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "short", "400 Bad Request"),
        ("GET /", "GET /", "101 Switching Protocols"),
    ] {
        client.write_all(REQUEST.replace(from, to).as_bytes()).await.unwrap();
        let head = read_head(&mut client).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{from} -> {to}: {head}");
    }
}
