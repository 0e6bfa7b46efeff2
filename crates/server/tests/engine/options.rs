//! What options and hooks change: CORS, origins, the cookie, ids, header fields, the first packet, compression.

use ::http::{HeaderValue, Method, header};
use sockeye::{
    Builder, Cookie, HttpCompression, Io, Refusal, RequestError, SameSite, Socket,
    cors::{AllowHeaders, CorsLayer},
    engine::Message,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::common::{
    Answer, POLLING, Polling, TestServer, WEBSOCKET, Ws, get, http, log, raw_with, soon, usual_handlers,
};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn server(change: impl FnOnce(Builder) -> Builder) -> TestServer {
    let io = change(Io::builder()).build();
    usual_handlers(&io);
    TestServer::start(&io).await
}

fn sid(answer: &Answer) -> &str {
    &answer.body["0{\"sid\":\"".len()..][..20]
}

/// The head of the answer to an upgrade.
async fn upgrade(server: &TestServer, target: &str, headers: &str) -> Answer {
    http(server.addr, "GET", target, &format!("{UPGRADE}{headers}"), b"").await
}

mod cors {
    use super::*;

    async fn cors_server() -> TestServer {
        let cors = CorsLayer::new()
            .allow_origin([HeaderValue::from_static("https://app.example")])
            .allow_credentials(true)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([header::DATE])
            .max_age(std::time::Duration::from_secs(60));
        server(|builder| builder.cors(cors)).await
    }

    fn assert_allowed(answer: &Answer) {
        for field in
            ["access-control-allow-origin: https://app.example", "access-control-allow-credentials: true"]
        {
            assert!(answer.head.contains(&format!("\r\n{field}\r\n")), "{field}: {}", answer.head);
        }
    }

    const ORIGIN: &str = "Origin: https://app.example\r\n";

    #[tokio::test]
    async fn preflight_is_answered_before_the_checks() {
        let server = cors_server().await;
        let headers = format!(
            "{ORIGIN}Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-test\r\n"
        );
        for target in [POLLING, "/socket.io/?EIO=4&transport=pigeon"] {
            let answer = http(server.addr, "OPTIONS", target, &headers, b"").await;
            assert_eq!((answer.status, &*answer.body), (204, ""), "{answer:?}");
            assert_allowed(&answer);
            for field in ["allow-methods: get,post", "allow-headers: x-test", "max-age: 60"] {
                assert!(answer.head.contains(&format!("\r\naccess-control-{field}\r\n")), "{answer:?}");
            }
        }
    }

    #[tokio::test]
    async fn every_answer_tells_that_the_origin_is_allowed() {
        let server = cors_server().await;
        let open = http(server.addr, "GET", POLLING, ORIGIN, b"").await;
        let target = format!("{POLLING}&sid={}", sid(&open));
        let posted = http(server.addr, "POST", &target, ORIGIN, b"40").await;
        let polled = http(server.addr, "GET", &target, ORIGIN, b"").await;
        let refused = http(server.addr, "GET", "/socket.io/?EIO=4", ORIGIN, b"").await;
        let upgraded = upgrade(&server, WEBSOCKET, ORIGIN).await;
        let statuses = [&open, &posted, &polled, &refused, &upgraded].map(|answer| {
            assert_allowed(answer);
            assert!(answer.head.contains("\r\naccess-control-expose-headers: date\r\n"));
            answer.status
        });
        assert_eq!(statuses, [200, 200, 200, 400, 101]);
    }

    #[tokio::test]
    async fn other_origins_are_not_allowed() {
        let server = cors_server().await;
        let answer = http(server.addr, "GET", POLLING, "Origin: https://evil.example\r\n", b"").await;
        assert_eq!(answer.status, 200);
        assert!(!answer.head.contains("access-control-allow-origin"), "{answer:?}");
    }

    #[tokio::test]
    async fn nothing_is_told_and_no_preflight_answered_by_default() {
        let server = server(|builder| builder).await;
        let answer = http(server.addr, "GET", POLLING, ORIGIN, b"").await;
        assert!(!answer.head.contains("access-control"), "{answer:?}");
        let answer = http(server.addr, "OPTIONS", POLLING, ORIGIN, b"").await;
        assert_eq!(answer.summary(), r#"400 {"code":2,"message":"Bad handshake method"}"#);
    }

    #[test]
    fn rules_that_browsers_reject_are_found_at_once() {
        let building = std::panic::catch_unwind(|| {
            let cors = CorsLayer::new().allow_origin(sockeye::cors::Any).allow_credentials(true);
            Io::builder().cors(cors)
        });
        assert!(building.is_err());
    }
}

mod origins {
    use super::*;

    #[tokio::test]
    async fn pages_of_other_origins_are_refused_on_every_transport() {
        let server = server(|builder| {
            builder.same_origin().origins(["https://app.example"]).origins_matching(|o| o.ends_with(".test"))
        })
        .await;
        let refused = r#"403 {"code":4,"message":"Origin not allowed"}"#;
        for origin in ["https://evil.example", "null", "https://localhost.evil.example", ""] {
            let field = format!("Origin: {origin}\r\n");
            assert_eq!(http(server.addr, "GET", POLLING, &field, b"").await.summary(), refused, "{origin}");
            assert_eq!(upgrade(&server, WEBSOCKET, &field).await.summary(), "400 Origin not allowed");
        }
        for origin in ["http://localhost", "https://app.example", "https://a.test"] {
            let field = format!("Origin: {origin}\r\n");
            assert_eq!(http(server.addr, "GET", POLLING, &field, b"").await.status, 200, "{origin}");
            assert_eq!(upgrade(&server, WEBSOCKET, &field).await.status, 101, "{origin}");
        }
        assert_eq!(get(server.addr, POLLING).await.status, 200, "no page sends no Origin");
    }

    #[tokio::test]
    async fn session_cannot_be_taken_over_by_a_page_of_another_origin() {
        let server = server(Builder::same_origin).await;
        let client = Polling::join(&server).await;
        let target = format!("{WEBSOCKET}&sid={}", client.sid);
        let answer = upgrade(&server, &target, "Origin: https://evil.example\r\n").await;
        assert_eq!(answer.status, 400, "{answer:?}");
        client.expect_alive().await;
        assert_eq!(upgrade(&server, &target, "Origin: http://localhost\r\n").await.status, 101);
    }
}

mod cookie {
    use super::*;

    #[tokio::test]
    async fn is_set_by_the_polling_handshake_alone() {
        let server = server(|b| b.config(|config| config.cookie = Some(Cookie::default()))).await;
        let open = get(server.addr, POLLING).await;
        // The head is in lower case.
        let expected = format!("\r\nset-cookie: io={}; path=/; httponly; samesite=lax\r\n", sid(&open));
        assert!(open.head.contains(&expected.to_lowercase()), "{open:?}");
        let target = format!("{POLLING}&sid={}", sid(&open));
        let posted = http(server.addr, "POST", &target, "", b"40").await;
        let polled = get(server.addr, &target).await;
        let upgraded = upgrade(&server, WEBSOCKET, "").await;
        for answer in [posted, polled, upgraded, get(server.addr, "/socket.io/").await] {
            assert!(!answer.head.contains("set-cookie"), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn attributes_can_be_chosen_and_there_is_none_by_default() {
        let cookie = Cookie::new("sid").secure(true).same_site(Some(SameSite::None));
        let chosen = server(|b| b.config(|config| config.cookie = Some(cookie))).await;
        let open = get(chosen.addr, POLLING).await;
        assert!(open.head.contains("; path=/; httponly; secure; samesite=none\r\n"), "{open:?}");
        let none = server(|builder| builder).await;
        assert!(!get(none.addr, POLLING).await.head.contains("set-cookie"));
    }
}

mod ids {
    use super::*;

    #[tokio::test]
    async fn generated_ids_are_used_and_their_requests_known() {
        let server = server(|builder| {
            builder.generate_id(|request| {
                let name = request.headers.get("x-name").map_or("none", |name| name.to_str().unwrap());
                format!("id-of-{name}")
            })
        })
        .await;
        let answer = http(server.addr, "GET", POLLING, "X-Name: a\r\n", b"").await;
        assert!(answer.body.starts_with("0{\"sid\":\"id-of-a\","), "{answer:?}");
        let target = format!("{POLLING}&sid=id-of-a");
        assert_eq!(http(server.addr, "POST", &target, "", b"40").await.summary(), "200 ok");
        let mut ws = Ws::open_at(server.addr, WEBSOCKET).await;
        assert!(ws.next().await.starts_with("0{\"sid\":\"id-of-none\","));
        assert_eq!(server.io.client_count(), 2);
    }

    #[tokio::test]
    async fn ids_in_use_and_illegal_ones_are_refused() {
        let (log, mut lines) = log();
        let server = server(|builder| {
            builder
                .generate_id(|request| {
                    request.headers.get("x-id").map_or("", |id| id.to_str().unwrap()).to_owned()
                })
                .on_connection_error(move |error| log.write(error))
        })
        .await;
        let bad = r#"400 {"code":3,"message":"Bad request"}"#;
        let open = async |id: &str| {
            http(server.addr, "GET", POLLING, &format!("X-Id: {id}\r\n"), b"").await.summary()
        };
        for id in ["", "a b", "a/b", "a%20b", "x".repeat(40).as_str()] {
            assert_eq!(open(id).await, bad, "{id:?}");
            lines.expect(&["Bad request (the generated id is invalid)"]).await;
        }
        assert!(open("same").await.starts_with("200 0{\"sid\":\"same\""));
        assert_eq!(open("same").await, bad);
        lines.expect(&["Bad request (the generated id is in use)"]).await;
        assert_eq!(upgrade(&server, WEBSOCKET, "X-Id: same\r\n").await.summary(), "400 Bad request");
        lines.expect(&["Bad request (the generated id is in use)"]).await;
        assert_eq!(server.io.client_count(), 1);
        // The first one is none the worse for it.
        let target = format!("{POLLING}&sid=same");
        assert_eq!(http(server.addr, "POST", &target, "", b"40").await.summary(), "200 ok");
    }
}

mod hooks {
    use super::*;

    #[tokio::test]
    async fn initial_headers_come_with_handshakes_and_headers_with_every_answer() {
        let server = server(|builder| {
            builder
                .initial_headers(|headers, request| {
                    let test = request.headers.get("x-test").cloned();
                    headers.insert("x-initial", test.unwrap_or(HeaderValue::from_static("none")));
                })
                .headers(|headers, request| {
                    headers.insert("x-method", HeaderValue::from_str(request.method.as_str()).unwrap());
                })
        })
        .await;
        let open = http(server.addr, "GET", POLLING, "X-Test: 7\r\n", b"").await;
        let websocket = upgrade(&server, WEBSOCKET, "X-Test: 8\r\n").await;
        let target = format!("{POLLING}&sid={}", sid(&open));
        let posted = http(server.addr, "POST", &target, "", b"40").await;
        let polled = get(server.addr, &target).await;
        let upgraded = upgrade(&server, &target.replace("polling", "websocket"), "").await;
        let refused = get(server.addr, "/socket.io/").await;
        let expected = [
            (open, "\r\nx-initial: 7\r\n", "\r\nx-method: get\r\n"),
            (websocket, "\r\nx-initial: 8\r\n", "\r\nx-method: get\r\n"),
            (posted, "", "\r\nx-method: post\r\n"),
            (polled, "", "\r\nx-method: get\r\n"),
            (upgraded, "", "\r\nx-method: get\r\n"),
            (refused, "", ""),
        ];
        for (answer, initial, every) in expected {
            assert!(answer.head.contains(initial) && answer.head.contains(every), "{answer:?}");
            assert_eq!(answer.head.contains("x-initial"), !initial.is_empty(), "{answer:?}");
            assert_eq!(answer.head.contains("x-method"), !every.is_empty(), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn connection_errors_tell_code_message_context_and_request() {
        let seen = Arc::new(AtomicUsize::new(0));
        let server = server(|builder| {
            let seen = seen.clone();
            builder
                .allow_request(|request| match request.headers.get("x-refuse") {
                    Some(_) => Err("not today".into()),
                    None => Ok(()),
                })
                .on_connection_error(move |error| {
                    let expected = match seen.fetch_add(1, Ordering::Relaxed) {
                        0 => (0, "Transport unknown", Refusal::Request(RequestError::TransportUnknown)),
                        1 => (1, "Session ID unknown", Refusal::Request(RequestError::SessionIdUnknown)),
                        2 => (4, "not today", Refusal::NotAllowed("not today".into())),
                        _ => (3, "Bad request", Refusal::Request(RequestError::InvalidQuery)),
                    };
                    assert_eq!((error.code().code(), error.message()), (expected.0, expected.1));
                    assert_eq!(*error.context(), expected.2);
                    assert_eq!(error.request().headers["host"], "localhost");
                })
        })
        .await;
        get(server.addr, "/socket.io/?EIO=4").await;
        get(server.addr, &format!("{POLLING}&sid=x")).await;
        upgrade(&server, WEBSOCKET, "X-Refuse: 1\r\n").await;
        assert_eq!(get(server.addr, &format!("{POLLING}&%")).await.status, 400);
        assert_eq!(seen.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn first_packet_comes_first() {
        let first = |message: Message| {
            server(|builder| builder.config(|config| config.initial_packet = Some(message)))
        };
        let text = first("2[\"hello\",\"é\"]".into()).await;
        let open = get(text.addr, POLLING).await;
        assert!(open.body.ends_with("}\u{1e}42[\"hello\",\"é\"]"), "{open:?}");
        let mut ws = Ws::open(&text).await;
        ws.expect(&["42[\"hello\",\"é\"]"]).await;
        let bytes = first(vec![1, 2, 3].into()).await;
        assert!(get(bytes.addr, POLLING).await.body.ends_with("}\u{1e}bAQID"));
        assert_eq!(Ws::open(&bytes).await.next_binary().await, [1, 2, 3]);
    }
}

mod compression {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    async fn big_server(change: impl FnOnce(&mut sockeye::Config)) -> TestServer {
        let server = server(|builder| builder.config(change)).await;
        server.io.on("big", async |socket: Socket| socket.emit("big", "x".repeat(5000)));
        server.io.on("plain", async |socket: Socket| socket.compress(false).emit("big", "x".repeat(5000)));
        server
    }

    /// Head and body of the next GET.
    async fn poll(client: &Polling, accepted: &str) -> (String, Vec<u8>) {
        let headers = format!("Accept-Encoding: {accepted}\r\n");
        let mut head = soon(raw_with(client.addr, &client.target(), &headers)).await;
        let body = head.split_off(head.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4);
        (String::from_utf8(head).unwrap().to_lowercase(), body)
    }

    fn big() -> Vec<u8> {
        format!("42[\"big\",\"{}\"]", "x".repeat(5000)).into_bytes()
    }

    #[tokio::test]
    async fn long_answers_are_compressed_for_clients_that_accept_it() {
        let server = big_server(|_| ()).await;
        let client = Polling::join(&server).await;
        client.post("42[\"big\"]").await;
        let (head, body) = poll(&client, "gzip, br").await;
        assert!(head.contains("\r\ncontent-encoding: gzip\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: text/plain; charset=utf-8\r\n"), "{head}");
        assert!(body.len() < 100, "{}", body.len());
        let mut decoded = Vec::new();
        GzDecoder::new(&*body).read_to_end(&mut decoded).unwrap();
        assert_eq!(decoded, big());
        for accepted in ["br", "identity", "gzip;q=0"] {
            client.post("42[\"big\"]").await;
            let (head, body) = poll(&client, accepted).await;
            assert!(!head.contains("content-encoding"), "{head}");
            assert_eq!(body, big());
        }
    }

    #[tokio::test]
    async fn short_answers_and_those_that_are_not_to_be_compressed_are_sent_as_they_are() {
        let server = big_server(|_| ()).await;
        let client = Polling::join(&server).await;
        client.post("42[\"echo\",1]").await;
        assert!(!poll(&client, "gzip").await.0.contains("content-encoding"));
        client.post("42[\"plain\"]").await;
        let (head, body) = poll(&client, "gzip").await;
        assert!(!head.contains("content-encoding"), "{head}");
        assert_eq!(body, big());
        // One packet that may be compressed is enough.
        client.post("42[\"plain\"]\u{1e}42[\"echo\",1]").await;
        assert!(poll(&client, "gzip").await.0.contains("content-encoding: gzip"));
    }

    #[tokio::test]
    async fn threshold_is_an_option_and_so_is_all_of_it() {
        let low = big_server(|c| c.http_compression = Some(HttpCompression { threshold: 1, level: 9 })).await;
        let client = Polling::join(&low).await;
        client.post("42[\"echo\",1]").await;
        assert!(poll(&client, "deflate").await.0.contains("content-encoding: deflate"));
        let off = big_server(|config| config.http_compression = None).await;
        let client = Polling::join(&off).await;
        client.post("42[\"big\"]").await;
        assert!(!poll(&client, "gzip").await.0.contains("content-encoding"));
    }
}
