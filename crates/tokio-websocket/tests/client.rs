//! `Connector::connect` against raw servers on real sockets: refusals, redirections, deadlines, dropped futures.

mod support;
#[cfg(feature = "tls")]
#[path = "support/tls.rs"]
mod tls;

use sockeye_tokio_websocket::{
    ClientStream, Connector, Error, Message, Role, WebSocket, accept,
    codec::{
        OpCode,
        handshake::{HandshakeError, HeadLimits, accept_key},
    },
    connect,
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};
use support::{frame, read_head};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Everything here ends within this, or hangs.
const LIMIT: Duration = Duration::from_secs(20);

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// Connects to a server that answers with what `respond` makes of the right `Sec-WebSocket-Accept`, in pieces of at
/// most `piece_len` bytes, and then ends its half. The request comes as well.
async fn connect_to(
    connector: &Connector,
    piece_len: usize,
    respond: impl FnOnce(&str) -> Vec<u8>,
) -> (Result<WebSocket<ClientStream>, Error>, String) {
    let (listener, port) = listen().await;
    let url = format!("ws://127.0.0.1:{port}/chat");
    let serve = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        let request = read_head(&mut stream).await;
        for piece in respond(&accept_of(&request)).chunks(piece_len) {
            stream.write_all(piece).await.expect("the server can write");
            tokio::task::yield_now().await;
        }
        stream.shutdown().await.expect("the server can end its half");
        (request, stream)
    };
    let both = async { tokio::join!(connector.connect(&url), serve) };
    let (connected, (request, _stream)) = timeout(LIMIT, both).await.expect("no dead-lock");
    (connected.map(|(socket, _)| socket), request)
}

fn accept_of(request: &str) -> String {
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    accept_key(key.expect("the request has a key").as_bytes())
}

fn switching(accept: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into()
}

#[tokio::test]
async fn plain_stream_shows_its_connection() {
    let (listener, port) = listen().await;
    let url = format!("ws://127.0.0.1:{port}/");
    let (client, server) =
        tokio::join!(connect(&url), async { accept(listener.accept().await.unwrap().0).await });
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    client.send("hello").await.unwrap();
    assert_eq!(server.receive().await.unwrap().unwrap(), Message::text("hello"));

    let stream = client.get_ref();
    assert!(!stream.is_tls());
    assert!(stream.tcp().nodelay().unwrap());
    let address = stream.tcp().local_addr().unwrap();
    assert_eq!(address, server.get_ref().peer_addr().unwrap());
}

#[tokio::test]
async fn tcp_stream_goes_in_and_comes_out_again() {
    let (ours, _theirs) = support::tcp_pair().await;
    let address = ours.local_addr().unwrap();
    let stream = ClientStream::from(ours);
    assert_eq!(stream.into_tcp().unwrap().local_addr().unwrap(), address);
}

#[tokio::test]
async fn name_with_an_address_where_nobody_listens_is_tried_at_the_others() {
    // Where `localhost` is ::1 as well, that one refuses.
    let (listener, port) = listen().await;
    let url = format!("ws://localhost:{port}/");
    let (client, server) =
        tokio::join!(connect(&url), async { accept(listener.accept().await.unwrap().0).await });
    client.unwrap();
    server.unwrap();
}

#[tokio::test]
async fn ipv6_address_is_connected_to() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        eprintln!("this machine has no IPv6");
        return;
    };
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_head(&mut stream).await;
        stream.write_all(&switching(&accept_of(&request))).await.unwrap();
        request
    };
    let (client, request) = tokio::join!(connect(&url), serve);
    client.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(request.contains(&format!("\r\nHost: [::1]:{port}\r\n")), "{request}");
}

#[tokio::test]
async fn response_is_read_however_it_is_cut_and_early_frames_are_received() {
    for piece_len in [1, 2, 7, usize::MAX] {
        let (socket, _) = connect_to(&Connector::new(), piece_len, |accept| {
            let mut bytes = switching(accept);
            bytes.extend(frame(Role::Client, OpCode::Text, b"early"));
            bytes.extend(frame(Role::Client, OpCode::Binary, &[1; 300]));
            bytes.extend(support::close_frame(Role::Client, 1000));
            bytes
        })
        .await;
        let mut socket = socket.unwrap();
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("early"));
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::binary(vec![1; 300]));
        assert!(matches!(socket.receive().await, Some(Ok(Message::Close(_)))));
        assert!(socket.receive().await.is_none());
    }
}

#[tokio::test]
async fn redirections_are_errors_that_tell_status_and_target() {
    for status in [300, 301, 302, 303, 307, 308] {
        for target in [Some("wss://other.example/chat"), Some("/login"), None] {
            let location = target.map(|target| format!("Location: {target}\r\n")).unwrap_or_default();
            let answer = format!("HTTP/1.1 {status} Elsewhere\r\n{location}Content-Length: 0\r\n\r\n");
            let (connected, _) = connect_to(&Connector::new(), usize::MAX, |_| answer.into()).await;
            let Err(Error::Handshake(error)) = connected else { panic!("{connected:?}") };
            let shown = error.to_string();
            assert!(shown.contains(&status.to_string()), "{shown}");
            assert!(target.is_none_or(|target| shown.contains(target)), "{shown}");
            assert_eq!(error, HandshakeError::Redirect { status, location: target.map(Into::into) });
        }
    }
}

#[tokio::test]
async fn refusals_tell_status_and_header_fields() {
    for (status, reason, field, value) in [
        (200, "OK", "Content-Type", "text/html"),
        (400, "Bad Request", "X-Why", "no"),
        (401, "Unauthorized", "WWW-Authenticate", "Basic realm=\"x\""),
        (403, "Forbidden", "X-Why", ""),
        (404, "Not Found", "X-Why", "gone"),
        (426, "Upgrade Required", "Sec-WebSocket-Version", "8"),
        (503, "Service Unavailable", "Retry-After", "120"),
        (799, "", "X-Why", "odd"),
    ] {
        let answer = format!("HTTP/1.1 {status} Whatever\r\nServer: a\r\n{field}: {value}\r\n\r\n<html>");
        let (connected, _) = connect_to(&Connector::new(), usize::MAX, |_| answer.into()).await;
        let Err(Error::Refused(refusal)) = connected else { panic!("{status}: {connected:?}") };
        assert_eq!(refusal.status, status);
        assert_eq!(refusal.header(&field.to_uppercase()), Some(value.as_bytes()));
        assert_eq!((refusal.headers.len(), refusal.header("X-Other")), (2, None));
        assert!(refusal.to_string().contains(format!("{status} {reason}").trim_end()), "{refusal}");
    }
}

#[tokio::test]
async fn answers_that_open_no_connection_are_errors() {
    type Respond = fn(&str) -> Vec<u8>;
    let cases: [(Respond, HandshakeError); 6] = [
        (|_| switching("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), HandshakeError::AcceptMismatch),
        (
            |accept| switching(&format!("{accept}\r\nSec-WebSocket-Protocol: other")),
            HandshakeError::UnofferedSubprotocol("other".into()),
        ),
        (
            |accept| switching(&format!("{accept}\r\nSec-WebSocket-Extensions: x-unknown")),
            HandshakeError::UnofferedExtension("x-unknown".into()),
        ),
        (|_| b"HTTP/1.1 101 Switching Protocols\r\n\r\n".into(), HandshakeError::UpgradeMissing),
        (|_| b"HTTP/1.1 101 Swi".into(), HandshakeError::UnexpectedEof),
        (|_| b"\x16\x03\x01\x00\x05\r\n\r\n".into(), HandshakeError::HttpVersion),
    ];
    for (respond, expected) in cases {
        let connector = Connector::new().subprotocol("offered");
        match connect_to(&connector, usize::MAX, respond).await.0 {
            Err(Error::Handshake(error)) => assert_eq!(error, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn limits_on_the_head_are_those_that_were_given() {
    let limits = HeadLimits { max_len: 256, max_header_count: 4 };
    let connector = Connector::new().head_limits(limits);
    let (connected, _) = connect_to(&connector, usize::MAX, switching).await;
    connected.unwrap();
    for (fields, expected) in [
        ("A: b\r\nC: d", HandshakeError::TooManyHeaders { max: 4 }),
        (&format!("A: {}", "b".repeat(200)), HandshakeError::HeadTooLong { max: 256 }),
    ] {
        let (connected, _) =
            connect_to(&connector, usize::MAX, |accept| switching(&format!("{accept}\r\n{fields}"))).await;
        assert!(matches!(&connected, Err(Error::Handshake(error)) if *error == expected), "{connected:?}");
    }
}

#[tokio::test]
async fn server_that_never_answers_meets_the_deadline_and_its_socket_is_closed() {
    let (listener, port) = listen().await;
    let connector = Connector::new().handshake_timeout(Duration::from_millis(100));
    let url = format!("ws://127.0.0.1:{port}/");
    let both = async { tokio::join!(connector.connect(&url), listener.accept()) };
    let (result, accepted) = timeout(LIMIT, both).await.expect("the deadline of the connector");
    assert!(matches!(result, Err(Error::HandshakeTimeout)), "{result:?}");
    let mut stream = accepted.unwrap().0;
    timeout(LIMIT, stream.read_to_end(&mut Vec::new())).await.expect("the socket is closed").unwrap();
}

#[tokio::test]
async fn what_the_caller_gave_wrong_is_told_before_anything_is_sent() {
    let (listener, port) = listen().await;
    let url = format!("ws://127.0.0.1:{port}/");
    let bad_header = Connector::new().header("X", "a\r\nb").connect(&url).await;
    assert!(matches!(bad_header, Err(Error::InvalidHeader { .. })), "{bad_header:?}");
    let bad_name = Connector::new().subprotocol("a b").connect(&url).await;
    assert!(matches!(bad_name, Err(Error::InvalidSubprotocol(_))), "{bad_name:?}");
    let bad_user = Connector::new().connect(&format!("ws://a%3Ab:c@127.0.0.1:{port}/")).await;
    assert!(matches!(bad_user, Err(Error::Url(_))), "{bad_user:?}");
    let bad_url = Connector::new().connect("ws://127.0.0.1:99999/").await;
    assert!(matches!(bad_url, Err(Error::Url(_))), "{bad_url:?}");
    let waiting = timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(waiting.is_err(), "nobody connected");
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn wss_without_tls_is_an_error_that_tells_what_is_missing() {
    let error = connect("wss://127.0.0.1:1/").await.unwrap_err();
    assert!(matches!(error, Error::Url(_)) && error.to_string().contains("feature `tls`"), "{error}");
}

/// Polls `future` at most `count` times; `None` when it is not done by then, and dropped.
async fn poll_times<F: Future>(future: F, count: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(|cx| {
        if polled == count {
            return Poll::Ready(None);
        }
        polled += 1;
        let poll = future.as_mut().poll(cx).map(Some);
        if poll.is_pending() && polled == count {
            return Poll::Ready(None);
        }
        poll
    })
    .await
}

/// Drops the connecting future after one poll, after two, and so on until it is done; tells after how many it was.
/// `attempt` is told the server's port. Each time the server must see the end of its connection, and no task may be
/// left.
async fn drop_after_every_poll<F>(
    attempt: impl Fn(u16) -> (Connector, String),
    serve: impl Fn(TcpStream) -> F,
) -> usize
where
    F: Future<Output = ()> + Send + 'static,
{
    let (listener, port) = listen().await;
    let (connector, url) = attempt(port);
    let tasks = tokio::runtime::Handle::current().metrics();
    for count in 1..1000 {
        let connecting = async {
            let connected = poll_times(connector.connect(&url), count).await;
            connected.map(|connected| drop(connected.expect("a connection"))).is_some()
        };
        let server = async {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(serve(stream)).await.expect("no panic");
        };
        let both = async { tokio::join!(connecting, server) };
        let (done, ()) = timeout(LIMIT, both).await.expect("the server sees the end");
        assert_eq!(tasks.num_alive_tasks(), 0, "after {count} polls");
        if done {
            return count;
        }
    }
    unreachable!("the future never ends")
}

/// Serves the opening handshake, and then reads to the end.
async fn serve_to_the_end<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(stream: S) {
    // That the client goes at any time is the point.
    if let Ok(mut socket) = accept(stream).await {
        while socket.receive().await.is_some() {}
    }
}

#[tokio::test]
async fn dropping_the_future_at_any_poll_closes_the_socket() {
    let polls =
        drop_after_every_poll(|port| (Connector::new(), format!("ws://127.0.0.1:{port}/")), serve_to_the_end)
            .await;
    assert!(polls >= 2, "connecting and the answer are waited for: {polls}");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn dropping_the_future_at_any_poll_closes_the_socket_behind_proxy_and_tls() {
    let authority = tls::Authority::new();
    let acceptor = authority.server(&["server.invalid"]);
    let attempt = |port| {
        let proxy = sockeye_tokio_websocket::Proxy::http(&format!("http://127.0.0.1:{port}")).unwrap();
        let connector = Connector::new().tls_roots(authority.roots()).proxy(proxy);
        (connector, "wss://server.invalid/".into())
    };
    let serve = move |mut stream: TcpStream| {
        let acceptor = acceptor.clone();
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            if stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok()
                && let Ok(stream) = acceptor.accept(stream).await
            {
                serve_to_the_end(stream).await;
            }
        }
    };
    let polls = drop_after_every_poll(attempt, serve).await;
    assert!(polls >= 4, "connecting, proxy, TLS and the answer are waited for: {polls}");
}
