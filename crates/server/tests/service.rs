//! The server as a service and as a layer, under its own `Server` and under axum.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure in a helper fails the test")]

mod common;

use axum::{Router, routing::get as on_get};
use common::{POLLING, Polling, TestServer, WEBSOCKET, Ws, get, http, soon, until, usual_handlers};
use sockeye::{Io, RemoteAddr, Socket};
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Serves a router by axum itself.
async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    addr
}

fn usual_io() -> Io {
    let io = Io::new();
    usual_handlers(&io);
    io
}

#[tokio::test]
async fn own_path_is_served_with_and_without_a_slash_and_others_are_not_found() {
    let server = TestServer::start(&usual_io()).await;
    let query = POLLING.strip_prefix("/socket.io/").unwrap();
    for path in ["/socket.io/", "/socket.io", "/socket.io/below/it"] {
        assert_eq!(get(server.addr, &format!("{path}{query}")).await.status, 200, "{path}");
    }
    for path in ["/", "/socket.iox", "/socket.io.js", "/x/socket.io/", "/SOCKET.IO/"] {
        assert_eq!(get(server.addr, &format!("{path}{query}")).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn path_is_an_option() {
    let server = TestServer::with(|config| config.path = "/real/time/".into()).await;
    for (path, status) in [("/real/time", 200), ("/real/time/", 200), ("/real", 404), ("/socket.io/", 404)] {
        assert_eq!(
            get(server.addr, &format!("{path}?EIO=4&transport=polling")).await.status,
            status,
            "{path}"
        );
    }
}

#[tokio::test]
async fn polling_works_under_axum() {
    let io = usual_io();
    let addr = serve(Router::new().route("/hello", on_get(async || "hello")).layer(io.layer())).await;
    assert_eq!(get(addr, "/hello").await.summary(), "200 hello");
    assert_eq!(get(addr, "/nowhere").await.status, 404);
    assert_eq!(http(addr, "POST", "/hello", "", b"x").await.status, 405);
    let client = Polling::open_at(addr).await;
    client.post("40").await;
    assert!(client.poll().await.starts_with("40{\"sid\":"));
    client.expect_alive().await;
    let get = client.start_get();
    tokio::time::sleep(common::QUIET).await;
    io.emit("news", 1).unwrap();
    assert_eq!(soon(get).await.unwrap().body, "42[\"news\",1]");
    assert_eq!(client.post_any(vec![b'4'; 1_000_001]).await.status, 413);
}

#[tokio::test]
async fn websockets_work_under_axum() {
    let io = usual_io();
    let addr = serve(Router::new().layer(io.layer())).await;
    let mut ws = Ws::open_at(addr, WEBSOCKET).await;
    ws.next().await;
    ws.connect("").await;
    ws.expect_alive().await;
    let large = format!("42[\"echo\",\"{}\"]", "é".repeat(300_000));
    ws.send(&large).await;
    ws.expect(&[&large]).await;

    let client = Polling::open_at(addr).await;
    client.post("40").await;
    client.poll().await;
    let mut upgraded = Ws::open_at(addr, &format!("{WEBSOCKET}&sid={}", client.sid)).await;
    upgraded.send("2probe").await;
    upgraded.expect(&["3probe"]).await;
    upgraded.send("5").await;
    upgraded.expect_alive().await;
    assert_eq!(io.client_count(), 2);
    drop((ws, upgraded));
    until("both are gone", || io.client_count() == 0).await;
}

#[tokio::test]
async fn server_can_be_the_fallback_of_a_router() {
    let io = usual_io();
    let addr =
        serve(Router::new().route("/hello", on_get(async || "hello")).fallback_service(io.service())).await;
    assert_eq!(get(addr, "/hello").await.summary(), "200 hello");
    assert_eq!(get(addr, "/nowhere").await.status, 404);
    let mut ws = Ws::open_at(addr, WEBSOCKET).await;
    ws.next().await;
    ws.connect("").await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn layers_in_front_can_tell_the_address_and_more() {
    let io = usual_io();
    io.on("address", async |socket: Socket| socket.handshake().remote_addr().map(|addr| addr.to_string()));
    let told: SocketAddr = "192.0.2.7:99".parse().unwrap();
    let addr = serve(Router::new().layer(io.layer()).layer(axum::Extension(RemoteAddr(told)))).await;
    let mut ws = Ws::open_at(addr, WEBSOCKET).await;
    ws.next().await;
    ws.connect("").await;
    ws.send("421[\"address\"]").await;
    ws.expect(&["431[\"192.0.2.7:99\"]"]).await;
}

#[tokio::test]
async fn upgrade_to_another_path_is_not_found_and_its_connection_ends() {
    let server = TestServer::start(&usual_io()).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for path in ["/", "/other", "/socket.iox/?EIO=4&transport=websocket"] {
        let answer = http(server.addr, "GET", path, upgrade, b"").await;
        assert_eq!(answer.summary(), "404 not found", "{path}");
        assert!(answer.head.contains("\r\nconnection: close\r\n"), "{answer:?}");
    }
    assert!(!get(server.addr, "/").await.head.contains("connection: close"));
}

#[tokio::test]
async fn paths_with_strange_bytes_are_not_ours_and_break_nothing() {
    let server = TestServer::start(&usual_io()).await;
    for path in ["/socket%2eio/", "/%ff/", "/socket.io%00/", "/%", "/socket.io%", "//socket.io/"] {
        let answer = get(server.addr, &format!("{path}?EIO=4&transport=polling")).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    // Below the path, whatever it is.
    for path in ["/socket.io/%ff", "/socket.io/%zz/", "/socket.io/;a=b"] {
        let answer = get(server.addr, &format!("{path}?EIO=4&transport=polling")).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    for cookie in ["=;;=%ff", "a=\u{e9}", ";,;,;,"] {
        let answer = http(server.addr, "GET", POLLING, &format!("Cookie: {cookie}\r\n"), b"").await;
        assert_eq!(answer.status, 200, "{cookie}");
    }
}
