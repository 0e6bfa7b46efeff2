//! The opening handshake over real sockets, each side against raw bytes.

mod support;

use http::{HeaderValue, header};
use sockeye_tokio_websocket::{
    Acceptor, Connector, Error, Message, WebSocket, accept,
    codec::{
        OpCode, Role,
        handshake::{HandshakeError, HeadLimits, accept_key},
    },
};
use std::time::{Duration, Instant};
use support::{frame, read_head, tcp_pair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn request(headers: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

/// Sends `request` to the acceptor; its result, and all that it answers.
async fn ask(acceptor: &Acceptor, request: &str) -> (Result<WebSocket<TcpStream>, Error>, String) {
    let (server, mut client) = tcp_pair().await;
    let answer = async {
        client.write_all(request.as_bytes()).await.expect("the client can write");
        if request.contains("Connection: close") {
            client.shutdown().await.expect("the client can end its half");
        }
        let head = read_head(&mut client).await;
        let mut body = String::new();
        if !head.starts_with("HTTP/1.1 101 ") {
            client.read_to_string(&mut body).await.expect("the client can read");
            drop(client);
        }
        head + &body
    };
    let both = async { tokio::join!(acceptor.accept(server), answer) };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("no dead-lock")
}

/// Connects to a server that answers the request with what `respond` makes of the right `Sec-WebSocket-Accept`.
async fn connect_to(
    connector: Connector,
    respond: impl FnOnce(&str) -> Vec<u8>,
) -> Result<(WebSocket<TcpStream>, String), Error> {
    let (client, mut server) = tcp_pair().await;
    let serve = async {
        let request = read_head(&mut server).await;
        let key = request
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
            .expect("the request has a key");
        server.write_all(&respond(&accept_key(key.as_bytes()))).await.expect("the server can write");
        (request, server)
    };
    let (result, (request, _server)) =
        tokio::join!(connector.handshake(client, "ws://localhost/chat?x=1"), serve);
    result.map(|(socket, _)| (socket, request))
}

fn response(accept: &str, headers: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{headers}\r\n"
    )
    .into()
}

mod server {
    use super::*;

    #[tokio::test]
    async fn request_is_answered_101_with_the_accept_of_its_key() {
        let (socket, answer) = ask(&Acceptor::new(), &request("")).await;
        socket.unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
        assert!(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
        assert!(!answer.contains("Sec-WebSocket-Protocol"), "{answer}");
    }

    #[tokio::test]
    async fn frames_sent_along_with_the_request_are_received() {
        let (server, mut client) = tcp_pair().await;
        let mut bytes = request("").into_bytes();
        bytes.extend(frame(Role::Server, OpCode::Text, b"early"));
        bytes.extend(&frame(Role::Server, OpCode::Text, b"halved")[..8]);
        client.write_all(&bytes).await.unwrap();
        let mut socket = accept(server).await.unwrap();
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("early"));
        client.write_all(&frame(Role::Server, OpCode::Text, b"halved")[8..]).await.unwrap();
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("halved"));
    }

    #[tokio::test]
    async fn request_one_byte_at_a_time_that_never_ends_meets_the_deadline() {
        let (server, mut client) = tcp_pair().await;
        let trickle = tokio::spawn(async move {
            for byte in request(&"X-Slow: loris\r\n".repeat(50)).bytes() {
                if client.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let start = Instant::now();
        let result = Acceptor::new().handshake_timeout(Duration::from_millis(200)).accept(server).await;
        assert!(matches!(result, Err(Error::HandshakeTimeout)), "{result:?}");
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        trickle.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn silent_client_is_dropped_after_ten_seconds() {
        let (server, _client) = tokio::io::duplex(64);
        let start = tokio::time::Instant::now();
        let result = accept(server).await;
        assert!(matches!(result, Err(Error::HandshakeTimeout)), "{result:?}");
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test]
    async fn thousands_of_headers_are_answered_431_while_they_still_arrive() {
        for headers in ["A: b\r\n".repeat(2000), "A: b\r\n".repeat(200_000), "b".repeat(1 << 20)] {
            let (result, answer) = ask(&Acceptor::new(), &request(&headers)).await;
            assert!(answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{answer}");
            let error = result.unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::Handshake(
                        HandshakeError::TooManyHeaders { max: 100 }
                            | HandshakeError::HeadTooLong { max: 16_384 }
                    )
                ),
                "{error}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refused_client_that_never_closes_is_dropped_after_the_close_timeout() {
        let (server, mut client) = tokio::io::duplex(1024);
        client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let start = tokio::time::Instant::now();
        let result = accept(server).await;
        assert!(matches!(result, Err(Error::Handshake(HandshakeError::MethodNotGet))), "{result:?}");
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test]
    async fn each_wrong_request_is_answered_with_its_status() {
        let cases = [
            ("GET /", "POST /", "405 Method Not Allowed"),
            ("HTTP/1.1", "HTTP/1.0", "505 HTTP Version Not Supported"),
            ("GET /", "HEAD /", "405 Method Not Allowed"),
            ("GET /", "CONNECT /", "405 Method Not Allowed"),
            ("Upgrade: websocket", "Upgrade: h2c", "426 Upgrade Required"),
            ("Upgrade: websocket", "Upgrade: websockets", "426 Upgrade Required"),
            ("Upgrade: websocket", "X: y", "426 Upgrade Required"),
            ("Connection: Upgrade", "Connection: close", "426 Upgrade Required"),
            ("Connection: Upgrade", "X: y", "426 Upgrade Required"),
            ("Version: 13", "Version: 8", "426 Upgrade Required"),
            ("Version: 13", "Version: 13, 8", "426 Upgrade Required"),
            ("Sec-WebSocket-Version: 13\r\n", "", "426 Upgrade Required"),
            (KEY, "short", "400 Bad Request"),
            (KEY, "", "400 Bad Request"),
            ("Sec-WebSocket-Key", "X-Key", "400 Bad Request"),
            ("Host: localhost\r\n", "", "400 Bad Request"),
            ("GET /chat", "\u{0}", "400 Bad Request"),
        ];
        for (from, to, status) in cases {
            let (result, answer) = ask(&Acceptor::new(), &request("").replace(from, to)).await;
            assert!(matches!(result, Err(Error::Handshake(_))), "{from} -> {to}: {result:?}");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{from} -> {to}: {answer}");
            let told = if from.contains("Version") {
                "\r\nSec-WebSocket-Version: 13\r\n"
            } else if status.starts_with("426") {
                "\r\nUpgrade: websocket\r\nConnection: close, Upgrade\r\n"
            } else if status.starts_with("405") {
                "\r\nAllow: GET\r\n"
            } else {
                "\r\nContent-Type: text/plain; charset=utf-8\r\n"
            };
            assert!(answer.contains(told), "{from} -> {to}: {answer}");
        }
    }

    #[tokio::test]
    async fn long_runs_of_commas_and_spaces_are_accepted_in_linear_time() {
        // Megabytes, far above the default limit: quadratic time would be hours.
        let limits = HeadLimits { max_len: 8 << 20, ..HeadLimits::default() };
        let acceptor = Acceptor::new().head_limits(limits).subprotocol("b");
        for run in [",", " ", ", ", "\t,", "  ,,"] {
            let run = run.repeat(1_000_000 / run.len());
            let start = Instant::now();
            let headers = format!(
                "Sec-WebSocket-Protocol: a{run},b\r\nSec-WebSocket-Extensions: {run}\r\n\
                 Connection: {run}\r\nUpgrade: {run}\r\n"
            );
            let (socket, answer) = ask(&acceptor, &request(&headers)).await;
            socket.unwrap();
            assert!(answer.contains("\r\nSec-WebSocket-Protocol: b\r\n"), "{answer}");
            assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        }
    }

    #[tokio::test]
    async fn foreign_origin_is_refused_with_403() {
        let acceptor = Acceptor::new().origins(["https://example.com"]);
        let (result, answer) = ask(&acceptor, &request("Origin: https://evil.example\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\norigin not allowed\n"), "{answer}");
        assert!(matches!(result, Err(Error::Handshake(HandshakeError::OriginNotAllowed))), "{result:?}");
        for origin in ["Origin: https://example.com.evil.example\r\n", "Origin: null\r\n", "Origin: \r\n"] {
            assert!(ask(&acceptor, &request(origin)).await.0.is_err(), "{origin}");
        }
    }

    #[tokio::test]
    async fn own_origin_and_none_are_accepted() {
        let acceptor = Acceptor::new().origins(["https://example.com"]);
        for origin in ["Origin: https://example.com\r\n", "Origin: HTTPS://Example.com\r\n", ""] {
            ask(&acceptor, &request(origin)).await.0.unwrap();
        }
    }

    #[tokio::test]
    async fn same_origin_predicate_and_requirement_are_rules_of_the_acceptor() {
        let same = Acceptor::new().same_origin();
        let matching = Acceptor::new().origins_matching(|origin| origin.ends_with(".example.com"));
        let both = same.clone().origins(["null"]).require_origin();
        let cases = [
            (&same, "Origin: http://localhost\r\n", true),
            (&same, "Origin: http://localhost:8080\r\n", false),
            (&same, "Origin: null\r\n", false),
            (&same, "", true),
            (&matching, "Origin: https://a.example.com\r\n", true),
            (&matching, "Origin: https://a.example.org\r\n", false),
            (&both, "Origin: https://localhost\r\n", true),
            (&both, "Origin: null\r\n", true),
            (&both, "Origin: null\r\nOrigin: null\r\n", false),
            (&both, "", false),
        ];
        for (acceptor, headers, accepted) in cases {
            let (result, answer) = ask(acceptor, &request(headers)).await;
            assert_eq!(result.is_ok(), accepted, "{acceptor:?} {headers}");
            assert!(answer.starts_with(if accepted { "HTTP/1.1 101 " } else { "HTTP/1.1 403 " }), "{answer}");
        }
    }

    #[tokio::test]
    async fn first_offered_subprotocol_that_the_server_speaks_is_chosen() {
        let acceptor = Acceptor::new().subprotocol("v1").subprotocol("v2");
        let (socket, answer) = ask(&acceptor, &request("Sec-WebSocket-Protocol: v3, v2, v1\r\n")).await;
        socket.unwrap();
        assert!(answer.contains("\r\nSec-WebSocket-Protocol: v2\r\n"), "{answer}");
        for headers in ["Sec-WebSocket-Protocol: v3\r\n", ""] {
            let (socket, answer) = ask(&acceptor, &request(headers)).await;
            socket.unwrap();
            assert!(!answer.contains("Sec-WebSocket-Protocol"), "{answer}");
        }
    }

    #[tokio::test]
    async fn refusal_of_the_caller_is_the_answer() {
        let (server, mut client) = tcp_pair().await;
        client.write_all(request("Cookie: a=b\r\n").as_bytes()).await.unwrap();
        let deciding = async {
            let handshake = Acceptor::new().begin(server).await.unwrap();
            assert_eq!(handshake.request().uri(), "/chat");
            assert_eq!(handshake.request().headers()["cookie"], "a=b");
            // The decision may take its time, such as a look into a database.
            tokio::task::yield_now().await;
            let refusal = http::Response::builder()
                .status(401)
                .header("X-Realm", "Basic")
                .body("who are you?\n")
                .unwrap();
            handshake.refuse(refusal).await
        };
        let reading = async {
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            drop(client);
            answer
        };
        let (error, answer) = tokio::join!(deciding, reading);
        assert!(matches!(error, Error::Rejected(status) if status == 401), "{error:?}");
        assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
        assert!(answer.contains("\r\nX-Realm: Basic\r\n"), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\nContent-Length: 13\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nwho are you?\n"), "{answer}");
    }

    #[tokio::test]
    async fn caller_chooses_the_subprotocol_and_adds_header_fields() {
        let (server, mut client) = tcp_pair().await;
        let mut bytes = request("Sec-WebSocket-Protocol: v3, v2, v1\r\n").into_bytes();
        bytes.extend(frame(Role::Server, OpCode::Text, b"early"));
        client.write_all(&bytes).await.unwrap();
        let handshake = Acceptor::new().subprotocol("v1").begin(server).await.unwrap();
        assert_eq!(handshake.offered_subprotocols().collect::<Vec<_>>(), ["v3", "v2", "v1"]);
        assert_eq!(handshake.subprotocol(), Some("v1"));
        let none = handshake.choose_subprotocol(&["V2", "v4"]);
        assert_eq!(none.subprotocol(), None, "names have a case");
        let chosen = none.choose_subprotocol(&["v2", "v4"]);
        assert_eq!(chosen.subprotocol(), Some("v2"));
        let mut socket = chosen
            .header(header::SET_COOKIE, HeaderValue::from_static("a=b"))
            .header(header::SET_COOKIE, HeaderValue::from_static("c=d"))
            .header(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("forged"))
            .accept()
            .await
            .unwrap();
        let answer = read_head(&mut client).await;
        for line in ["Set-Cookie: a=b", "Set-Cookie: c=d", "Sec-WebSocket-Protocol: v2"] {
            assert!(answer.contains(&format!("\r\n{line}\r\n")), "{line}: {answer}");
        }
        assert!(!answer.contains("forged"), "{answer}");
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("early"));
    }

    #[tokio::test]
    async fn target_that_is_no_uri_is_400_for_who_looks_at_it() {
        let (server, mut client) = tcp_pair().await;
        client.write_all(request("").replace("/chat", "chat?x").as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let acceptor = Acceptor::new();
        let (result, head) = tokio::join!(acceptor.begin(server), read_head(&mut client));
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Handshake(HandshakeError::MalformedHttp)), "{error:?}");
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
    }

    #[tokio::test]
    async fn header_fields_given_twice_are_judged_together() {
        let refused = [
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "400 Bad Request"),
            ("Sec-WebSocket-Version: 13", "426 Upgrade Required"),
            ("Host: localhost", "400 Bad Request"),
        ];
        for (line, status) in refused {
            let (result, answer) = ask(&Acceptor::new(), &request(&format!("{line}\r\n"))).await;
            assert!(result.is_err(), "{line}");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{line}: {answer}");
        }
        let lists = "Upgrade: h2c\r\nConnection: keep-alive\r\n\
                     Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n";
        let (socket, answer) = ask(&Acceptor::new().subprotocol("b"), &request(lists)).await;
        socket.unwrap();
        assert!(answer.contains("\r\nSec-WebSocket-Protocol: b\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn values_of_upgrade_and_connection_have_no_case() {
        let lower = request("")
            .replace("Upgrade: websocket", "UPGRADE: WebSocket")
            .replace("Connection: Upgrade", "connection: keep-alive, UPGRADE");
        ask(&Acceptor::new(), &lower).await.0.unwrap();
    }

    #[tokio::test]
    async fn request_with_a_body_is_refused_before_it_is_taken_for_frames() {
        for (headers, body) in
            [("Content-Length: 7\r\n", "\u{1}\u{0}frames"), ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n")]
        {
            let (result, answer) = ask(&Acceptor::new(), &(request(headers) + body)).await;
            assert!(matches!(result, Err(Error::Handshake(HandshakeError::InvalidHeader(_)))), "{result:?}");
            assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        }
        ask(&Acceptor::new(), &request("Content-Length: 0\r\n")).await.0.unwrap();
    }

    #[tokio::test]
    async fn request_one_byte_at_a_time_is_accepted() {
        let (server, mut client) = tcp_pair().await;
        client.set_nodelay(true).unwrap();
        let sending = async {
            for byte in request("").bytes() {
                client.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            read_head(&mut client).await
        };
        let (socket, answer) = tokio::join!(accept(server), sending);
        socket.unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_does_not_take_the_answer_meets_the_deadline() {
        // The answer does not fit into the pipe.
        let (server, mut client) = tokio::io::duplex(64);
        let sending = tokio::spawn(async move {
            client.write_all(request("").as_bytes()).await.unwrap();
            client
        });
        let start = tokio::time::Instant::now();
        let result = accept(server).await;
        assert!(matches!(result, Err(Error::HandshakeTimeout)), "{result:?}");
        assert_eq!(start.elapsed().as_secs(), 10);
        drop(sending.await.unwrap());
    }

    #[tokio::test]
    async fn client_that_leaves_during_the_handshake_is_an_error() {
        let (server, mut client) = tcp_pair().await;
        client.write_all(&request("").as_bytes()[..30]).await.unwrap();
        drop(client);
        let result = accept(server).await;
        assert!(matches!(result, Err(Error::Handshake(HandshakeError::UnexpectedEof))), "{result:?}");
    }
}

mod client {
    use super::*;

    #[tokio::test]
    async fn request_is_what_section_4_1_asks_for() {
        let connector =
            Connector::new().subprotocol("v1").subprotocol("v2").header("Origin", "https://example.com");
        let (_, request) = connect_to(connector, |accept| response(accept, "")).await.unwrap();
        assert!(request.starts_with("GET /chat?x=1 HTTP/1.1\r\nHost: localhost\r\n"), "{request}");
        for line in [
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: v1, v2",
            "Origin: https://example.com",
        ] {
            assert!(request.contains(&format!("\r\n{line}\r\n")), "{line}: {request}");
        }
    }

    #[tokio::test]
    async fn frames_sent_along_with_the_response_are_received() {
        let (mut socket, _) = connect_to(Connector::new(), |accept| {
            let mut bytes = response(accept, "");
            bytes.extend(frame(Role::Client, OpCode::Text, b"early"));
            bytes
        })
        .await
        .unwrap();
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("early"));
    }

    #[tokio::test]
    async fn response_one_byte_at_a_time_that_never_ends_meets_the_deadline() {
        let (client, mut server) = tcp_pair().await;
        let trickle = tokio::spawn(async move {
            read_head(&mut server).await;
            for byte in response("x", &"X-Slow: loris\r\n".repeat(50)) {
                if server.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let start = Instant::now();
        let connector = Connector::new().handshake_timeout(Duration::from_millis(200));
        let result = connector.handshake(client, "ws://localhost/").await;
        assert!(matches!(result, Err(Error::HandshakeTimeout)), "{result:?}");
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        trickle.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn silent_server_is_given_up_after_ten_seconds() {
        let (client, _server) = tokio::io::duplex(1024);
        let start = tokio::time::Instant::now();
        let result = Connector::new().handshake(client, "ws://localhost/").await;
        assert!(matches!(result, Err(Error::HandshakeTimeout)), "{result:?}");
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test]
    async fn response_that_does_not_open_the_connection_is_an_error() {
        type Respond = fn(&str) -> Vec<u8>;
        let cases: [(Respond, HandshakeError); 7] = [
            (|_| response("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", ""), HandshakeError::AcceptMismatch),
            (
                |_| {
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
                        .into()
                },
                HandshakeError::AcceptMismatch,
            ),
            (
                |accept| response(accept, "Sec-WebSocket-Protocol: other\r\n"),
                HandshakeError::UnofferedSubprotocol("other".into()),
            ),
            (
                |accept| response(accept, "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
                HandshakeError::UnofferedExtension("permessage-deflate".into()),
            ),
            (|accept| response(accept, &"A: b\r\n".repeat(120)), HandshakeError::TooManyHeaders { max: 100 }),
            (
                |accept| response(accept, &format!("A: {}\r\n", "b".repeat(20_000))),
                HandshakeError::HeadTooLong { max: 16 * 1024 },
            ),
            (|_| b"SSH-2.0-OpenSSH_9.2\r\n\r\n".into(), HandshakeError::HttpVersion),
        ];
        for (respond, expected) in cases {
            match connect_to(Connector::new().subprotocol("offered"), respond).await {
                Err(Error::Handshake(error)) => assert_eq!(error, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn redirection_is_an_error_that_tells_its_target() {
        let result = connect_to(Connector::new(), |_| {
            b"HTTP/1.1 307 Temporary Redirect\r\nLocation: wss://other.example/chat\r\n\r\n".into()
        })
        .await;
        let error = result.unwrap_err();
        assert!(error.to_string().contains("wss://other.example/chat"), "{error}");
        let location = Some("wss://other.example/chat".to_owned());
        assert!(
            matches!(&error, Error::Handshake(e) if *e == HandshakeError::Redirect { status: 307, location }),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn chosen_subprotocol_is_told() {
        let (client, server) = tcp_pair().await;
        let (acceptor, connector) =
            (Acceptor::new().subprotocol("v2"), Connector::new().subprotocol("v1").subprotocol("v2"));
        let (accepted, connected) =
            tokio::join!(acceptor.accept(server), connector.handshake(client, "ws://localhost/"));
        accepted.unwrap();
        assert_eq!(connected.unwrap().1.subprotocol.as_deref(), Some("v2"));
    }

    #[tokio::test]
    async fn server_that_leaves_during_the_handshake_is_an_error() {
        let (client, server) = tokio::io::duplex(1024);
        let leave = async move {
            let mut server = server;
            read_head(&mut server).await;
            server.write_all(b"HTTP/1.1 101 Swi").await.unwrap();
        };
        let connector = Connector::new();
        let (result, ()) = tokio::join!(connector.handshake(client, "ws://localhost/"), leave);
        assert!(matches!(result, Err(Error::Handshake(HandshakeError::UnexpectedEof))), "{result:?}");
    }

    #[tokio::test]
    async fn port_where_nobody_listens_is_a_transport_error() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let result = sockeye_tokio_websocket::connect(&format!("ws://{address}/")).await;
        assert!(matches!(result, Err(Error::Io(_))), "{result:?}");
    }
}
