//! `wss://` over real sockets, against servers whose certificates are made here.

mod support;
#[path = "support/tls.rs"]
mod tls;

use sockeye_tokio_websocket::{
    Acceptor, ClientStream, CloseCode, CloseFrame, Connector, Error, Message, Options, Role, WebSocket,
    accept,
    codec::OpCode,
    rustls::{self, CertificateError, ClientConfig, RootCertStore, crypto::ring},
};
use std::{io, sync::Arc, time::Duration};
use support::{frame, frame_with, tcp_pair};
use tls::{Authority, expired};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Everything here ends within this, or hangs.
const LIMIT: Duration = Duration::from_secs(20);

/// Serves one connection with `serve`, and connects to `wss://{host}:{port}/` meanwhile.
async fn connect_to<T>(
    connector: &Connector,
    host: &str,
    acceptor: TlsAcceptor,
    serve: impl AsyncFnOnce(io::Result<TlsStream<TcpStream>>) -> T,
) -> (Result<WebSocket<ClientStream>, Error>, T) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("wss://{host}:{}/", listener.local_addr().expect("an address").port());
    let server = async {
        let (stream, _) = listener.accept().await.expect("a connection");
        serve(acceptor.accept(stream).await).await
    };
    let both = async { tokio::join!(connector.connect(&url), server) };
    let (connected, served) = timeout(LIMIT, both).await.expect("no dead-lock");
    (connected.map(|(socket, _)| socket), served)
}

/// The TLS error with which a client refuses a server.
async fn refusal(connector: &Connector, host: &str, acceptor: TlsAcceptor) -> rustls::Error {
    let (connected, accepted) = connect_to(connector, host, acceptor, async |stream| stream.is_ok()).await;
    let Err(Error::Tls(error)) = connected else { unreachable!("{connected:?}") };
    assert!(!accepted, "the server was told");
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    error.expect("an error of rustls").clone()
}

async fn accept_tls(stream: io::Result<TlsStream<TcpStream>>) -> WebSocket<TlsStream<TcpStream>> {
    accept(stream.expect("a TLS connection")).await.expect("a WebSocket")
}

#[tokio::test]
async fn messages_go_both_ways_and_the_connection_closes_cleanly() {
    let authority = Authority::new();
    let connector = Connector::new().tls_roots(authority.roots());
    let large = "0123456789".repeat(100_000);
    let (client, server) =
        connect_to(&connector, "localhost", authority.server(&["localhost"]), accept_tls).await;
    let (mut client, mut server) = (client.expect("a connection"), server);
    let echo = async {
        while let Some(message) = server.receive().await {
            let message = message.unwrap();
            if message.is_data() {
                server.send(message).await.expect("the server can write");
            }
        }
    };
    let talk = async {
        for text in ["hello", &large, ""] {
            client.send(text).await.expect("the server can write");
            assert_eq!(client.receive().await.expect("the server can write").unwrap(), Message::text(text));
        }
        client.close(Some(CloseFrame::new(CloseCode::NORMAL, "done"))).await.expect("the server can write");
        assert!(client.receive().await.is_none());
    };
    timeout(LIMIT, async { tokio::join!(echo, talk) }).await.expect("the server can write");
}

#[tokio::test]
async fn stream_tells_what_it_is_made_of() {
    let authority = Authority::new();
    let connector = Connector::new().tls_roots(authority.roots());
    let acceptor = authority.server_with(&["localhost"], |_| {}, &["h2", "http/1.1"]);
    let (client, server) = connect_to(&connector, "localhost", acceptor, accept_tls).await;
    let client = client.expect("a connection");
    let stream = client.get_ref();
    assert!(stream.is_tls());
    assert_eq!(stream.tls().unwrap().alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(stream.tcp().nodelay().unwrap());
    assert_eq!(
        stream.tcp().local_addr().expect("an address"),
        server.get_ref().get_ref().0.peer_addr().unwrap()
    );
    assert_eq!(server.get_ref().get_ref().1.server_name(), Some("localhost"));
    assert_eq!(server.get_ref().get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn address_is_a_name_that_certificates_can_have() {
    let authority = Authority::new();
    let connector = Connector::new().tls_roots(authority.roots());
    let (client, server) =
        connect_to(&connector, "127.0.0.1", authority.server(&["127.0.0.1"]), accept_tls).await;
    client.expect("a connection");
    // RFC 6066 §3: "Literal IPv4 and IPv6 addresses are not permitted in "HostName"."
    assert_eq!(server.get_ref().get_ref().1.server_name(), None);
    let error = refusal(&connector, "127.0.0.1", authority.server(&["localhost"])).await;
    assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error:?}");
}

#[tokio::test]
async fn unknown_authority_is_refused() {
    let authority = Authority::new();
    for (roots, expected) in [
        (Authority::named("other").roots(), CertificateError::UnknownIssuer),
        (RootCertStore::empty(), CertificateError::UnknownIssuer),
        // The same name, but another key.
        (Authority::new().roots(), CertificateError::BadSignature),
    ] {
        let connector = Connector::new().tls_roots(roots);
        let error = refusal(&connector, "localhost", authority.server(&["localhost"])).await;
        assert_eq!(error, rustls::Error::InvalidCertificate(expected));
    }
}

#[tokio::test]
async fn platform_does_not_trust_an_authority_made_here() {
    let authority = Authority::new();
    let (connected, _) =
        connect_to(&Connector::new(), "localhost", authority.server(&["localhost"]), async |_| ()).await;
    assert!(matches!(connected, Err(Error::Tls(_))), "{connected:?}");
}

#[tokio::test]
async fn wrong_host_name_is_refused() {
    let authority = Authority::new();
    let connector = Connector::new().tls_roots(authority.roots());
    for name in ["example.com", "localhost.example.com", "*.localhost"] {
        let error = refusal(&connector, "localhost", authority.server(&[name])).await;
        assert!(
            matches!(
                error,
                rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
                )
            ),
            "{name}: {error:?}"
        );
    }
}

#[tokio::test]
async fn expired_certificate_is_refused() {
    let authority = Authority::new();
    let connector = Connector::new().tls_roots(authority.roots());
    let acceptor = authority.server_with(&["localhost"], expired, &[]);
    let error = refusal(&connector, "localhost", acceptor).await;
    assert!(
        matches!(
            error,
            rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. }
            )
        ),
        "{error:?}"
    );
    assert!(Error::Tls(io::Error::other(error)).to_string().contains("expired"));
}

#[tokio::test]
async fn configuration_of_the_caller_is_used() {
    let authority = Authority::new();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".into()];
    let connector = Connector::new().tls_config(Arc::new(config));
    let acceptor = authority.server_with(&["localhost"], |_| {}, &["h2", "http/1.1"]);
    let (client, _server) = connect_to(&connector, "localhost", acceptor, accept_tls).await;
    let client = client.expect("a connection");
    let session = client.get_ref().tls().unwrap();
    assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn server_that_speaks_only_h2_is_refused() {
    let authority = Authority::new();
    let connector = Connector::new().tls_roots(authority.roots());
    let acceptor = authority.server_with(&["localhost"], |_| {}, &["h2"]);
    let error = refusal(&connector, "localhost", acceptor).await;
    assert_eq!(error, rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol));
}

#[tokio::test]
async fn server_that_speaks_no_tls_is_a_tls_error() {
    let authority = Authority::new();
    let connector = Connector::new().tls_roots(authority.roots());
    let answers: [&[u8]; 3] = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\x16\x03\x03\xFF\xFF"];
    for answer in answers {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("wss://{}/", listener.local_addr().expect("an address"));
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 4096]).await.expect("the server can write");
            stream.write_all(answer).await.expect("the server can write");
            stream.shutdown().await.expect("the server can write");
            stream
        };
        let (connected, _stream) = timeout(LIMIT, async { tokio::join!(connector.connect(&url), server) })
            .await
            .expect("the server can write");
        assert!(matches!(connected, Err(Error::Tls(_))), "{}: {connected:?}", answer.escape_ascii());
    }
}

/// A client whose server has sent `bytes` in TLS, and then ended the connection, with `close_notify` or without.
async fn cut_off(bytes: &[u8], close_notify: bool) -> WebSocket<ClientStream> {
    let authority = Authority::new();
    let connector = Connector::new().tls_roots(authority.roots());
    let (client, mut server) =
        connect_to(&connector, "localhost", authority.server(&["localhost"]), accept_tls).await;
    let stream = server.get_mut();
    stream.write_all(bytes).await.expect("the server can write");
    stream.flush().await.expect("the server can write");
    if close_notify {
        stream.shutdown().await.expect("the server can write");
    } else {
        let (tcp, _) = stream.get_mut();
        tcp.shutdown().await.expect("the server can write");
    }
    client.expect("a connection")
}

#[tokio::test]
async fn connection_cut_inside_a_message_is_an_error() {
    let mut bytes = frame(Role::Client, OpCode::Text, b"whole");
    bytes.extend(frame_with(Role::Client, false, OpCode::Text, b"half a mess"));
    for close_notify in [false, true] {
        let mut client = cut_off(&bytes, close_notify).await;
        assert_eq!(client.receive().await.expect("the server can write").unwrap(), Message::text("whole"));
        let end = timeout(LIMIT, client.receive()).await.expect("the server can write");
        assert!(matches!(end, Some(Err(_))), "close_notify {close_notify}: {end:?}");
    }
}

#[tokio::test]
async fn connection_cut_without_close_notify_is_an_error_even_between_messages() {
    let mut client = cut_off(&frame(Role::Client, OpCode::Text, b"whole"), false).await;
    assert_eq!(client.receive().await.expect("the server can write").unwrap(), Message::text("whole"));
    let end = timeout(LIMIT, client.receive()).await.expect("the server can write");
    assert!(
        matches!(&end, Some(Err(Error::Io(error))) if error.kind() == io::ErrorKind::UnexpectedEof),
        "{end:?}"
    );
}

#[tokio::test]
async fn closing_sends_close_notify() {
    let authority = Authority::new();
    let connector = Connector::new().tls_roots(authority.roots());
    let (client, mut server) =
        connect_to(&connector, "localhost", authority.server(&["localhost"]), accept_tls).await;
    let mut client = client.expect("a connection");
    let serve = async {
        // The whole connection, raw: the Close frame, then an end that TLS vouches for.
        let stream = server.get_mut();
        let mut received = [0; 8];
        stream.read_exact(&mut received).await.expect("the server can write");
        assert_eq!(received[0], 0x88);
        stream.write_all(&support::close_frame(Role::Client, 1000)).await.expect("the server can write");
        stream.shutdown().await.expect("the server can write");
        stream.read_to_end(&mut Vec::new()).await
    };
    let close = client.close(Some(CloseFrame::new(CloseCode::NORMAL, "")));
    let (closed, end) =
        timeout(LIMIT, async { tokio::join!(close, serve) }).await.expect("the server can write");
    closed.unwrap();
    assert_eq!(end.expect("no truncation"), 0);
}

#[tokio::test]
async fn silent_tls_server_meets_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let connector = Connector::new().handshake_timeout(Duration::from_millis(100));
    let both = async { tokio::join!(connector.connect(&url), listener.accept()) };
    let (connected, accepted) = timeout(LIMIT, both).await.expect("the deadline of the connector");
    let mut stream = accepted.unwrap().0;
    assert!(matches!(connected, Err(Error::HandshakeTimeout)), "{connected:?}");
    let mut hello = Vec::new();
    timeout(LIMIT, stream.read_to_end(&mut hello)).await.expect("the client closed").unwrap();
    assert_eq!(hello[0], 22, "a TLS handshake record");
}

#[tokio::test]
async fn server_that_is_gone_during_the_opening_handshake_is_an_error() {
    let authority = Authority::new();
    let connector = Connector::new().tls_roots(authority.roots());
    let (connected, ()) =
        connect_to(&connector, "localhost", authority.server(&["localhost"]), async |stream| {
            let mut stream = stream.unwrap();
            support::read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 101 Swi").await.expect("the server can write");
        })
        .await;
    assert!(matches!(&connected, Err(Error::Io(_))), "no close_notify: {connected:?}");
}

#[tokio::test]
async fn own_tls_stream_can_be_given_to_handshake() {
    let authority = Authority::new();
    let acceptor = authority.server(&["localhost"]);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    let (server, client) = tcp_pair().await;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let client = async {
        let stream =
            connector.connect("localhost".try_into().unwrap(), client).await.expect("the server can write");
        Connector::new().handshake(stream, "wss://localhost/").await.expect("the server can write").0
    };
    let server = async {
        let stream = acceptor.accept(server).await.expect("the server can write");
        Acceptor::new().options(Options::default()).accept(stream).await.expect("the server can write")
    };
    let (mut client, mut server) =
        timeout(LIMIT, async { tokio::join!(client, server) }).await.expect("no dead-lock");
    client.send("hello").await.expect("the server can write");
    assert_eq!(server.receive().await.expect("the server can write").unwrap(), Message::text("hello"));
}
