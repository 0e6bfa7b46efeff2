//! Opening a session, and the order in which requests are refused.

use sockeye::{Io, Transport, TransportSet};
use std::time::Duration;

use crate::common::{POLLING, Polling, TestServer, Ws, get, http, usual_server};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A server that refuses every session by `allow_request`.
async fn refusing_server() -> TestServer {
    let io = Io::builder()
        .allow_request(|request| {
            assert!(request.uri.query().is_some());
            match request.headers.get("x-let-me-in") {
                Some(_) => Ok(()),
                None => Err("not \"today\"".into()),
            }
        })
        .build();
    TestServer::start(&io).await
}

#[tokio::test]
async fn open_packet_tells_the_options_in_the_official_order() {
    let server = TestServer::with(|config| {
        config.ping_interval = Duration::from_millis(1234);
        config.ping_timeout = Duration::from_millis(567);
        config.max_payload_len = 89;
    })
    .await;
    let client = Polling::open(&server).await;
    let rest = format!(
        r#"{{"sid":"{}","upgrades":["websocket"],"pingInterval":1234,"pingTimeout":567,"maxPayload":89}}"#,
        client.sid
    );
    assert_eq!(client.open, rest);
    let mut ws = Ws::open_at(server.addr, "/socket.io/?transport=websocket&EIO=4&t=abc").await;
    let open = ws.next().await;
    assert!(
        open.ends_with(r#""upgrades":[],"pingInterval":1234,"pingTimeout":567,"maxPayload":89}"#),
        "{open}"
    );
    assert_ne!(open["0{\"sid\":\"".len()..][..20], client.sid);
    assert_eq!(server.io.client_count(), 2);
}

#[tokio::test]
async fn answers_of_polling_are_plain_text_that_no_cache_keeps() {
    let (server, _lines) = usual_server(|_| ()).await;
    let client = Polling::open(&server).await;
    let posted = client.post_any("40").await;
    let polled = client.get().await;
    for (answer, content_type) in [
        (get(server.addr, POLLING).await, "text/plain; charset=utf-8"),
        (polled, "text/plain; charset=utf-8"),
        (posted, "text/html"),
        (get(server.addr, "/socket.io/").await, "application/json"),
    ] {
        assert!(answer.head.contains(&format!("\r\ncontent-type: {content_type}\r\n")), "{answer:?}");
        assert!(answer.head.contains("\r\ncache-control: no-store\r\n"), "{answer:?}");
    }
}

#[tokio::test]
async fn no_upgrade_is_offered_where_none_is_allowed() {
    let server = TestServer::with(|config| config.allow_upgrades = false).await;
    assert!(Polling::open(&server).await.open.contains("\"upgrades\":[]"));
    let server = TestServer::with(|config| config.transports = TransportSet::only(Transport::Polling)).await;
    assert!(Polling::open(&server).await.open.contains("\"upgrades\":[]"));
    let refused = http(server.addr, "GET", "/socket.io/?EIO=4&transport=websocket", UPGRADE, b"").await;
    assert_eq!(refused.summary(), "400 Transport unknown");
}

#[tokio::test]
async fn requests_are_refused_in_the_order_of_the_checks() {
    let server = refusing_server().await;
    let client = {
        let answer = http(server.addr, "GET", POLLING, "X-Let-Me-In: 1\r\n", b"").await;
        answer.body["0{\"sid\":\"".len()..][..20].to_owned()
    };
    let cases = [
        // Each request breaks the rule of its code and all that are checked later.
        ("POST", "/socket.io/?EIO=2&sid=unknown".to_owned(), 0),
        ("POST", "/socket.io/?EIO=2&transport=pigeon&sid=unknown".to_owned(), 0),
        ("GET", "/socket.io/?EIO=4&transport=webtransport".to_owned(), 0),
        ("POST", "/socket.io/?EIO=2&transport=websocket&sid=unknown".to_owned(), 1),
        ("POST", "/socket.io/?EIO=2&transport=polling&sid=unknown".to_owned(), 1),
        ("POST", format!("/socket.io/?EIO=2&transport=websocket&sid={client}"), 3),
        ("GET", format!("/socket.io/?EIO=4&transport=websocket&sid={client}"), 3),
        ("GET", format!("/socket.io/?EIO=3&transport=polling&sid={client}"), 3),
        ("POST", "/socket.io/?EIO=2&transport=websocket".to_owned(), 2),
        ("OPTIONS", "/socket.io/?EIO=4&transport=polling".to_owned(), 2),
        ("GET", "/socket.io/?EIO=2&transport=websocket".to_owned(), 3),
        ("GET", "/socket.io/?EIO=2&transport=polling".to_owned(), 4),
    ];
    let messages = ["Transport unknown", "Session ID unknown", "Bad handshake method", "Bad request"];
    for (method, target, code) in cases {
        let answer = http(server.addr, method, &target, "", b"").await;
        let (status, message) = match messages.get(code) {
            Some(message) => (400, *message),
            None => (403, "not \\\"today\\\""),
        };
        let expected = format!(r#"{status} {{"code":{code},"message":"{message}"}}"#);
        assert_eq!(answer.summary(), expected, "{method} {target}");
    }
    let open = TestServer::with(|_| ()).await;
    for revision in ["", "EIO=3&", "EIO=5&"] {
        let answer = get(open.addr, &format!("/socket.io/?{revision}transport=polling")).await;
        assert_eq!(answer.summary(), r#"400 {"code":5,"message":"Unsupported protocol version"}"#);
    }
    assert_eq!((server.io.client_count(), open.io.client_count()), (1, 0));
}

#[tokio::test]
async fn refused_upgrade_is_answered_400_with_the_message_and_the_connection_ends() {
    let server = refusing_server().await;
    for (target, message) in [
        ("/socket.io/?EIO=4&transport=pigeon", "Transport unknown"),
        ("/socket.io/?EIO=4&transport=websocket&sid=unknown", "Session ID unknown"),
        ("/socket.io/?EIO=4&transport=polling", "Bad request"),
        ("/socket.io/?EIO=4&transport=websocket", "not \"today\""),
    ] {
        let answer = http(server.addr, "GET", target, UPGRADE, b"").await;
        assert_eq!(answer.summary(), format!("400 {message}"), "{target}");
        assert!(answer.head.contains("\r\nconnection: close\r\n"), "{answer:?}");
    }
    let server = TestServer::with(|_| ()).await;
    let answer = http(server.addr, "GET", "/socket.io/?EIO=3&transport=websocket", UPGRADE, b"").await;
    assert_eq!(answer.summary(), "400 Unsupported protocol version");
    let no_key = UPGRADE.split("Sec-WebSocket-Key").next().unwrap_or_default();
    let answer = http(server.addr, "GET", "/socket.io/?EIO=4&transport=websocket", no_key, b"").await;
    assert_eq!(answer.status, 400);
    assert_eq!(server.io.client_count(), 0);
}

#[tokio::test]
async fn broken_escapes_in_the_query_are_a_bad_request_and_break_nothing() {
    let server = TestServer::with(|_| ()).await;
    for query in ["&x=%", "&x=%zz", "&x=%ff", "&sid=%c3%28", "&%ed%a0%80=x"] {
        let answer = get(server.addr, &format!("{POLLING}{query}")).await;
        assert_eq!(answer.summary(), r#"400 {"code":3,"message":"Bad request"}"#, "{query}");
        let target = format!("/socket.io/?EIO=4&transport=websocket{query}");
        let answer = http(server.addr, "GET", &target, UPGRADE, b"").await;
        assert_eq!(answer.summary(), "400 Bad request", "{query}");
    }
    Polling::open(&server).await;
}
