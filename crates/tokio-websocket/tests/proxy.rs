//! Clients behind proxies, over real sockets: each test plays the proxy, and the server behind it.

mod support;
#[cfg(feature = "tls")]
#[path = "support/tls.rs"]
mod tls;

use sockeye_tokio_websocket::{
    ClientStream, Connector, Error, Message, Proxy, ProxyError, SocksReply, WebSocket, accept,
    codec::handshake::{HandshakeError, HeadLimits},
};
use std::{net::SocketAddr, time::Duration};
use support::read_head;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Everything here ends within this, or hangs.
const LIMIT: Duration = Duration::from_secs(20);

const TUNNEL: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

type Connected = Result<WebSocket<ClientStream>, Error>;

/// Connects to `url` with the connector that is made for the address of a proxy, which serves one connection.
async fn through<T>(
    connector: impl FnOnce(SocketAddr) -> Connector,
    url: &str,
    serve: impl AsyncFnOnce(TcpStream) -> T,
) -> (Connected, T) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let connector = connector(listener.local_addr().expect("an address"));
    let proxy = async { serve(listener.accept().await.expect("a connection").0).await };
    let both = async { tokio::join!(connector.connect(url), proxy) };
    let (connected, served) = timeout(LIMIT, both).await.expect("no dead-lock");
    (connected.map(|(socket, _)| socket), served)
}

fn http(address: SocketAddr) -> Connector {
    Connector::new().proxy(Proxy::http(&format!("http://{address}")).expect("a proxy"))
}

fn socks5(address: SocketAddr) -> Connector {
    Connector::new().proxy(Proxy::socks5(&format!("socks5://{address}")).expect("a proxy"))
}

fn socks5_with_password(address: SocketAddr) -> Connector {
    Connector::new().proxy(Proxy::socks5(&format!("socks5://al%20ice:s3cret@{address}")).expect("a proxy"))
}

/// Writes all at once, or byte by byte.
async fn write(stream: &mut TcpStream, bytes: &[u8], bytewise: bool) {
    for piece in bytes.chunks(if bytewise { 1 } else { bytes.len().max(1) }) {
        stream.write_all(piece).await.expect("the proxy can write");
        if bytewise {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn read<const LEN: usize>(stream: &mut TcpStream) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    stream.read_exact(&mut bytes).await.expect("the client sends more");
    bytes
}

/// Reads what the client sends until it closes.
async fn drain(mut stream: TcpStream) {
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

async fn assert_echo<S: AsyncRead + AsyncWrite + Unpin>(client: Connected, mut server: WebSocket<S>) {
    let mut client = client.expect("a connection");
    for text in ["hello", &"large".repeat(50_000)] {
        let talk = async {
            client.send(text).await.expect("the client can send");
            client.receive().await.expect("a reply").expect("a message")
        };
        let echo = async {
            let message = server.receive().await.expect("a message").expect("a message");
            server.send(message).await.expect("the server can send");
        };
        let (reply, ()) = timeout(LIMIT, async { tokio::join!(talk, echo) }).await.expect("no dead-lock");
        assert_eq!(reply, Message::text(text));
    }
}

fn proxy_error(connected: Connected) -> ProxyError {
    match connected {
        Err(Error::Proxy(error)) => error,
        other => unreachable!("{other:?}"),
    }
}

mod connect {
    use super::*;

    /// What the client makes of this answer, after which the proxy ends its half.
    async fn answered(answer: &[u8]) -> Connected {
        let (connected, ()) = through(http, "ws://server.invalid/", async |mut stream| {
            read_head(&mut stream).await;
            // The client may be gone before it has read all of a bad answer.
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
            drain(stream).await;
        })
        .await;
        connected
    }

    #[tokio::test]
    async fn tunnel_is_asked_for_by_host_and_port() {
        for (url, authority) in [
            ("ws://server.invalid/chat", "server.invalid:80"),
            ("ws://server.invalid:8080/", "server.invalid:8080"),
            ("ws://192.0.2.1/", "192.0.2.1:80"),
            ("ws://[2001:db8::1]:81/", "[2001:db8::1]:81"),
        ] {
            let (client, (head, server)) = through(http, url, async |mut stream| {
                let head = read_head(&mut stream).await;
                stream.write_all(TUNNEL).await.unwrap();
                (head, accept(stream).await.unwrap())
            })
            .await;
            assert_eq!(head, format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"));
            assert_echo(client, server).await;
        }
    }

    #[tokio::test]
    async fn credentials_of_the_proxy_go_to_the_proxy_and_those_of_the_server_to_the_server() {
        let connector = |address| {
            let proxy = Proxy::http(&format!("http://Aladdin:open%20sesame@{address}")).unwrap();
            Connector::new().proxy(proxy)
        };
        let url = "ws://user:password@server.invalid/";
        let (_, (to_proxy, to_server)) = through(connector, url, async |mut stream| {
            let to_proxy = read_head(&mut stream).await;
            stream.write_all(TUNNEL).await.unwrap();
            (to_proxy, read_head(&mut stream).await)
        })
        .await;
        let line = "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
        assert!(to_proxy.contains(line) && !to_proxy.contains("\r\nAuthorization"), "{to_proxy}");
        assert!(to_server.contains("\r\nAuthorization: Basic dXNlcjpwYXNzd29yZA==\r\n"), "{to_server}");
        assert!(!to_server.contains("Proxy-Authorization"), "{to_server}");
    }

    #[tokio::test]
    async fn every_2xx_opens_the_tunnel_and_announces_no_body() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.0 200 Connection established\r\n\r\n",
            "HTTP/1.1 204\r\n\r\n",
            "HTTP/1.1 299 Odd\nVia: a\n\n",
        ] {
            for bytewise in [false, true] {
                let (client, server) = through(http, "ws://server.invalid/", async |mut stream| {
                    read_head(&mut stream).await;
                    write(&mut stream, answer.as_bytes(), bytewise).await;
                    accept(stream).await.unwrap()
                })
                .await;
                assert_echo(client, server).await;
            }
        }
    }

    #[tokio::test]
    async fn every_other_status_is_an_error_that_tells_it() {
        for status in [100, 101, 199, 300, 302, 400, 403, 407, 502, 599] {
            let connected = answered(format!("HTTP/1.1 {status} No\r\n\r\n").as_bytes()).await;
            let error = proxy_error(connected);
            assert!(error.to_string().contains(&status.to_string()), "{error}");
            assert!(matches!(error, ProxyError::Status(s) if s == status), "{status}: {error:?}");
        }
    }

    #[tokio::test]
    async fn answers_that_cannot_be_read_are_errors() {
        let head = |fields: String| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        for (answer, expected) in [
            (head("A: b\r\n".repeat(101)), HandshakeError::TooManyHeaders { max: 100 }),
            (head(format!("A: {}\r\n", "b".repeat(1 << 14))), HandshakeError::HeadTooLong { max: 1 << 14 }),
            ("b".repeat(1 << 20), HandshakeError::HeadTooLong { max: 1 << 14 }),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n".into(), HandshakeError::HttpVersion),
            ("HTTP/1.1 2xx OK\r\n\r\n".into(), HandshakeError::MalformedHttp),
            (head("no colon\r\n".into()), HandshakeError::MalformedHttp),
        ] {
            match proxy_error(answered(answer.as_bytes()).await) {
                ProxyError::Http(error) => assert_eq!(error, expected),
                other => panic!("{expected:?}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn limits_of_the_connector_count_for_the_proxy() {
        let limits = HeadLimits { max_len: 60, max_header_count: 2 };
        for (fields, expected) in [
            ("A: b\r\n".repeat(3), HandshakeError::TooManyHeaders { max: 2 }),
            (format!("A: {}\r\n", "b".repeat(60)), HandshakeError::HeadTooLong { max: 60 }),
        ] {
            let connector = |address| http(address).head_limits(limits);
            let (connected, ()) = through(connector, "ws://server.invalid/", async |mut stream| {
                read_head(&mut stream).await;
                stream.write_all(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes()).await.unwrap();
                drain(stream).await;
            })
            .await;
            assert!(matches!(proxy_error(connected), ProxyError::Http(error) if error == expected));
        }
    }

    #[tokio::test]
    async fn proxy_that_closes_before_its_answer_ends_is_an_error() {
        for len in 0..TUNNEL.len() {
            let error = proxy_error(answered(&TUNNEL[..len]).await);
            assert!(matches!(error, ProxyError::UnexpectedEof), "{len}: {error:?}");
        }
    }

    #[tokio::test]
    async fn what_follows_the_proxys_answer_is_the_servers() {
        let connected = answered(&[TUNNEL, b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n"].concat()).await;
        let Err(Error::Refused(refusal)) = connected else { panic!("{connected:?}") };
        assert_eq!((refusal.status, refusal.header("retry-after")), (503, Some(&b"7"[..])));
    }

    #[tokio::test]
    async fn answer_that_never_ends_meets_the_deadline() {
        let connector = |address| http(address).handshake_timeout(Duration::from_millis(150));
        let (connected, ()) = through(connector, "ws://server.invalid/", async |mut stream| {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
            // Until the client is gone.
            while stream.write_all(b"A: b\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        assert!(matches!(connected, Err(Error::HandshakeTimeout)), "{connected:?}");
    }
}

mod socks {
    use super::*;

    /// The proxy's side of a conversation without authentication that ends well.
    const GREETED: &[u8] = &[5, 0];
    const CONNECTED: &[u8] = &[5, 0, 0, 1, 192, 0, 2, 1, 0, 80];

    /// What the client makes of a proxy that says all of this, and ends its half.
    async fn answered(connector: fn(SocketAddr) -> Connector, answer: &[u8]) -> Connected {
        let (connected, ()) = through(connector, "ws://server.invalid/", async |mut stream| {
            stream.write_all(answer).await.expect("the proxy can write");
            stream.shutdown().await.expect("the proxy can end its half");
            drain(stream).await;
        })
        .await;
        connected
    }

    #[tokio::test]
    async fn names_and_addresses_are_sent_as_they_are() {
        for (url, expected) in [
            ("ws://server.invalid/", &b"\x05\x01\x00\x03\x0Eserver.invalid\x00\x50"[..]),
            ("ws://192.0.2.1:8080/", b"\x05\x01\x00\x01\xC0\x00\x02\x01\x1F\x90"),
            (
                "ws://[2001:db8::1]:443/",
                b"\x05\x01\x00\x04\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xBB",
            ),
        ] {
            let (client, (request, server)) = through(socks5, url, async |mut stream| {
                assert_eq!(read::<3>(&mut stream).await, [5, 1, 0]);
                stream.write_all(GREETED).await.unwrap();
                let mut request = vec![0; expected.len()];
                stream.read_exact(&mut request).await.unwrap();
                stream.write_all(CONNECTED).await.unwrap();
                (request, accept(stream).await.unwrap())
            })
            .await;
            assert_eq!(request, expected, "{url}");
            assert_echo(client, server).await;
        }
    }

    #[tokio::test]
    async fn answers_with_every_type_of_address_are_read_to_their_end() {
        let answers = [
            CONNECTED.to_vec(),
            [&[5, 0, 0, 4], &[7; 18][..]].concat(),
            [&[5, 0, 0, 3, 0], &[7; 2][..]].concat(),
            [&[5, 0, 0, 3, 255], &[7; 255 + 2][..]].concat(),
        ];
        for answer in &answers {
            for bytewise in [false, true] {
                let (client, server) = through(socks5, "ws://192.0.2.1/", async |mut stream| {
                    read::<3>(&mut stream).await;
                    write(&mut stream, GREETED, bytewise).await;
                    read::<10>(&mut stream).await;
                    write(&mut stream, answer, bytewise).await;
                    accept(stream).await.unwrap()
                })
                .await;
                assert_echo(client, server).await;
            }
        }
    }

    #[tokio::test]
    async fn user_name_and_password_are_sent_when_the_proxy_wants_them() {
        for wanted in [0, 2] {
            let (client, server) = through(socks5_with_password, "ws://192.0.2.1/", async |mut stream| {
                assert_eq!(read::<4>(&mut stream).await, [5, 2, 0, 2]);
                stream.write_all(&[5, wanted]).await.unwrap();
                if wanted == 2 {
                    assert_eq!(&read::<15>(&mut stream).await, b"\x01\x06al ice\x06s3cret");
                    stream.write_all(&[1, 0]).await.unwrap();
                }
                read::<10>(&mut stream).await;
                stream.write_all(CONNECTED).await.unwrap();
                accept(stream).await.unwrap()
            })
            .await;
            assert_echo(client, server).await;
        }
    }

    #[tokio::test]
    async fn refused_credentials_are_an_error() {
        for status in [1, 255] {
            let error = proxy_error(answered(socks5_with_password, &[5, 2, 1, status]).await);
            assert!(
                matches!(error, ProxyError::CredentialsRefused { status: s } if s == status),
                "{error:?}"
            );
        }
    }

    #[tokio::test]
    async fn method_that_is_none_or_was_not_offered_is_an_error() {
        let error = proxy_error(answered(socks5, &[5, 255]).await);
        assert!(matches!(error, ProxyError::NoAcceptableMethod), "{error:?}");
        let error = proxy_error(answered(socks5_with_password, &[5, 255]).await);
        assert!(matches!(error, ProxyError::NoAcceptableMethod), "{error:?}");
        for (connector, method) in [(socks5 as fn(_) -> _, 2), (socks5, 1), (socks5_with_password, 1)] {
            let error = proxy_error(answered(connector, &[5, method]).await);
            assert!(matches!(error, ProxyError::UnofferedMethod(m) if m == method), "{error:?}");
        }
    }

    #[tokio::test]
    async fn every_reply_is_an_error_of_its_own() {
        let replies = [
            (1, SocksReply::GeneralFailure),
            (2, SocksReply::NotAllowed),
            (3, SocksReply::NetworkUnreachable),
            (4, SocksReply::HostUnreachable),
            (5, SocksReply::ConnectionRefused),
            (6, SocksReply::TtlExpired),
            (7, SocksReply::CommandNotSupported),
            (8, SocksReply::AddressTypeNotSupported),
            (9, SocksReply::Unassigned(9)),
            (255, SocksReply::Unassigned(255)),
        ];
        for (code, expected) in replies {
            // Proxies that refuse may leave out the rest of their answer.
            for rest in [&[][..], &[0, 1, 0, 0, 0, 0, 0, 0]] {
                let error = proxy_error(answered(socks5, &[GREETED, &[5, code], rest].concat()).await);
                assert!(matches!(error, ProxyError::Reply(reply) if reply == expected), "{code}: {error:?}");
            }
        }
        let mut shown: Vec<_> = replies.iter().map(|(_, reply)| reply.to_string()).collect();
        shown.sort_unstable();
        shown.dedup();
        assert_eq!(shown.len(), replies.len(), "each says something else");
    }

    #[tokio::test]
    async fn other_versions_and_types_are_errors() {
        for (answer, version) in [
            (&[4, 0][..], 4),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", b'H'),
            (&[0, 90, 0, 0, 0, 0, 0, 0], 0),
            (&[5, 0, 4, 0, 0, 1], 4),
        ] {
            let error = proxy_error(answered(socks5, answer).await);
            assert!(matches!(error, ProxyError::SocksVersion(v) if v == version), "{answer:?}: {error:?}");
        }
        for kind in [0, 2, 5, 255] {
            let error = proxy_error(answered(socks5, &[5, 0, 5, 0, 0, kind, 1, 2, 3, 4, 0, 80]).await);
            assert!(matches!(error, ProxyError::AddressType(k) if k == kind), "{kind}: {error:?}");
        }
    }

    #[tokio::test]
    async fn proxy_that_closes_at_any_byte_is_an_error() {
        let whole = [&[5, 2, 1, 0][..], &[5, 0, 0, 3, 3], b"abc", &[0, 80]].concat();
        for len in 0..whole.len() {
            let error = proxy_error(answered(socks5_with_password, &whole[..len]).await);
            assert!(matches!(error, ProxyError::UnexpectedEof), "{len}: {error:?}");
        }
        // Behind it, the end is the server's.
        let connected = answered(socks5_with_password, &whole).await;
        assert!(matches!(connected, Err(Error::Handshake(HandshakeError::UnexpectedEof))), "{connected:?}");
    }

    #[tokio::test]
    async fn name_that_socks_cannot_send_is_an_error() {
        let url = format!("ws://{}/", "a".repeat(256));
        let (connected, ()) = through(socks5, &url, drain).await;
        let error = proxy_error(connected);
        assert!(matches!(error, ProxyError::NameTooLong { len: 256 }), "{error:?}");
    }

    #[tokio::test]
    async fn silent_proxy_meets_the_deadline() {
        let connector = |address| socks5(address).handshake_timeout(Duration::from_millis(100));
        let (connected, ()) = through(connector, "ws://server.invalid/", drain).await;
        assert!(matches!(connected, Err(Error::HandshakeTimeout)), "{connected:?}");
    }
}

#[tokio::test]
async fn proxy_that_is_not_there_is_told_from_a_server_that_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for connector in [http(address), socks5(address)] {
        let result = connector.connect("ws://server.invalid/").await;
        assert!(matches!(result, Err(Error::Proxy(ProxyError::Io(_)))), "{result:?}");
    }
}

#[tokio::test]
async fn servers_on_the_list_are_reached_directly() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for (host, list, direct) in [
        ("127.0.0.1", "127.0.0.0/8", true),
        ("127.0.0.1", "10.0.0.0/8, localhost", false),
        ("localhost", ".example.com LOCALHOST", true),
        ("localhost", "127.0.0.1", false),
        ("localhost", "*", true),
    ] {
        // Nobody listens at the proxy's address.
        let proxy = Proxy::http("http://127.0.0.1:1").unwrap().no_proxy(list);
        let connector = Connector::new().proxy(proxy);
        let url = format!("ws://{host}:{port}/");
        let serve = async {
            if direct {
                accept(listener.accept().await.unwrap().0).await.unwrap();
            }
        };
        let (result, ()) =
            timeout(LIMIT, async { tokio::join!(connector.connect(&url), serve) }).await.unwrap();
        assert_eq!(result.is_ok(), direct, "{host} with {list:?}: {result:?}");
    }
}

#[test]
fn environment_is_read() {
    const NAME: &str = "environment_is_read";
    if std::env::var_os("SOCKEYE_TEST_CHILD").is_some() {
        let shown = format!("{:?}", Proxy::from_env().unwrap());
        assert!(shown.contains("4711") && shown.contains("intranet"), "{shown}");
        return;
    }
    // The environment of this process is every test's: a child has its own.
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME])
        .env("SOCKEYE_TEST_CHILD", "1")
        .env("ws_proxy", "http://proxy.invalid:4711")
        .env("no_proxy", "intranet")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
}

#[cfg(feature = "tls")]
mod over_tls {
    use super::*;
    use tls::Authority;

    #[tokio::test]
    async fn wss_goes_through_an_http_proxy() {
        let authority = Authority::new();
        let acceptor = authority.server(&["server.invalid"]);
        let connector = |address| http(address).tls_roots(authority.roots());
        let (client, (head, server)) = through(connector, "wss://server.invalid/", async |mut stream| {
            let head = read_head(&mut stream).await;
            stream.write_all(TUNNEL).await.unwrap();
            (head, accept(acceptor.accept(stream).await.unwrap()).await.unwrap())
        })
        .await;
        assert!(head.starts_with("CONNECT server.invalid:443 HTTP/1.1\r\n"), "{head}");
        assert_echo(client, server).await;
    }

    #[tokio::test]
    async fn wss_goes_through_a_socks_proxy() {
        let authority = Authority::new();
        let acceptor = authority.server(&["192.0.2.1"]);
        let connector = |address| socks5(address).tls_roots(authority.roots());
        let (client, server) = through(connector, "wss://192.0.2.1/", async |mut stream| {
            read::<3>(&mut stream).await;
            stream.write_all(&[5, 0]).await.unwrap();
            assert_eq!(read::<10>(&mut stream).await, *b"\x05\x01\x00\x01\xC0\x00\x02\x01\x01\xBB");
            stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
            accept(acceptor.accept(stream).await.unwrap()).await.unwrap()
        })
        .await;
        assert_echo(client, server).await;
    }

    fn https(address: SocketAddr) -> Connector {
        let url = format!("https://localhost:{}", address.port());
        Connector::new().proxy(Proxy::http(&url).expect("a proxy"))
    }

    #[tokio::test]
    async fn both_schemes_go_through_a_proxy_that_is_reached_by_tls() {
        let authority = Authority::new();
        let (proxy, server) = (authority.server(&["localhost"]), authority.server(&["server.invalid"]));
        let connector = |address| https(address).tls_roots(authority.roots());
        let (client, accepted) = through(connector, "ws://server.invalid/", async |stream| {
            let mut stream = proxy.accept(stream).await.unwrap();
            read_head(&mut stream).await;
            stream.write_all(TUNNEL).await.unwrap();
            accept(stream).await.unwrap()
        })
        .await;
        assert_echo(client, accepted).await;

        let (client, accepted) = through(connector, "wss://server.invalid/", async |stream| {
            let mut stream = proxy.accept(stream).await.unwrap();
            read_head(&mut stream).await;
            stream.write_all(TUNNEL).await.unwrap();
            accept(server.accept(stream).await.unwrap()).await.unwrap()
        })
        .await;
        assert_eq!(accepted.get_ref().get_ref().1.server_name(), Some("server.invalid"));
        assert_echo(client, accepted).await;
    }

    #[tokio::test]
    async fn proxy_whose_certificate_is_not_trusted_is_an_error_of_the_proxy() {
        let proxy = Authority::named("proxy").server(&["localhost"]);
        let connector = |address| https(address).tls_roots(Authority::named("other").roots());
        let (connected, accepted) =
            through(connector, "ws://server.invalid/", async |stream| proxy.accept(stream).await.is_ok())
                .await;
        let error = proxy_error(connected);
        assert!(matches!(error, ProxyError::Tls(_)) && !accepted, "{error:?}");
    }

    #[tokio::test]
    async fn what_follows_the_proxys_answer_is_the_start_of_tls() {
        let authority = Authority::new();
        let connector = |address| http(address).tls_roots(authority.roots());
        let (connected, ()) = through(connector, "wss://server.invalid/", async |mut stream| {
            read_head(&mut stream).await;
            // A fatal alert, handshake_failure, in the same write: if it were lost, the client would wait for ever.
            stream.write_all(&[TUNNEL, &[21, 3, 3, 0, 2, 2, 40]].concat()).await.unwrap();
            drain(stream).await;
        })
        .await;
        let Err(Error::Tls(error)) = connected else { panic!("{connected:?}") };
        assert!(error.to_string().contains("HandshakeFailure"), "{error}");
    }
}
