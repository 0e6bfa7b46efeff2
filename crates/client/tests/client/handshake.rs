//! How the client asks: URLs, header fields, cookies, compression, and servers that answer otherwise.

use crate::{
    TestServer, builder,
    bytes::{Listener, OPEN, answer, receive, request},
    next, over, soon,
};
use sockeye::Io;
use sockeye_client::{BuildError, Client, ConnectError, Transport, TransportError};

#[tokio::test]
async fn the_first_request_is_what_the_server_expects() {
    let listener = Listener::bind().await;
    let url = format!("http://user:pass@{}/chat?a=b%20c", listener.addr());
    let client = Client::builder(url).header("X-One", "1").query("d", "e&f").open().unwrap();
    let (head, body) = request(&mut listener.accept().await).await.unwrap();
    let line = head.lines().next().unwrap();
    let start = "GET /socket.io/?a=b+c&d=e%26f&EIO=4&transport=polling&t=";
    assert!(line.starts_with(start) && line.ends_with(" HTTP/1.1"), "{line}");
    let lower = head.to_ascii_lowercase();
    assert!(lower.contains(&format!("\r\nhost: {}\r\n", listener.addr())), "{head}");
    assert!(lower.contains("\r\nx-one: 1\r\n"), "{head}");
    assert!(head.contains("Basic dXNlcjpwYXNz"), "{head}");
    assert_eq!(body, "");
    drop(client);
}

#[tokio::test]
async fn another_path_is_asked_for_if_that_is_wanted() {
    let listener = Listener::bind().await;
    let client = builder(listener.addr())
        .config(|config| {
            config.path = "/own/path".into();
            config.add_trailing_slash = false;
            config.timestamp_requests = false;
        })
        .open()
        .unwrap();
    let (head, _) = request(&mut listener.accept().await).await.unwrap();
    assert!(head.starts_with("GET /own/path?EIO=4&transport=polling HTTP/1.1\r\n"), "{head}");
    drop(client);
}

#[tokio::test]
async fn ipv6_addresses_are_reached() {
    let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else {
        // A machine without IPv6.
        return;
    };
    let addr = listener.local_addr().unwrap();
    let client = Client::builder(format!("ws://[::1]:{}/", addr.port())).open().unwrap();
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    let (head, _) = request(&mut stream).await.unwrap();
    assert!(head.to_ascii_lowercase().contains(&format!("host: [::1]:{}\r\n", addr.port())), "{head}");
    drop(client);
}

#[tokio::test]
async fn cookies_are_kept_if_that_is_wanted() {
    for cookies in [true, false] {
        let listener = Listener::bind().await;
        let client = builder(listener.addr()).config(|config| config.cookies = cookies).open().unwrap();
        let mut get = listener.accept().await;
        request(&mut get).await.unwrap();
        let open = OPEN.replace("[]", r#"["websocket"]"#);
        answer(&mut get, "200 OK", "Set-Cookie: node=a1; Path=/; HttpOnly\r\n", &open).await;
        // The next GET, the POST of CONNECT, and the WebSocket of the upgrade all carry it.
        let mut heads = vec![request(&mut get).await.unwrap().0];
        for _ in 0..2 {
            heads.push(request(&mut listener.accept().await).await.unwrap().0);
        }
        for head in heads {
            assert_eq!(head.to_ascii_lowercase().contains("\r\ncookie: node=a1\r\n"), cookies, "{head}");
        }
        drop(client);
    }
}

#[tokio::test]
async fn answers_that_open_no_session_are_errors() {
    for (status, body, expected) in [
        (
            "400 Bad Request",
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
            "Unsupported protocol version",
        ),
        ("302 Found", "", "status 302"),
        ("404 Not Found", "nothing here", "nothing here"),
        ("200 OK", "<html>", "no packet"),
        ("200 OK", "", "no packet"),
        ("200 OK", "4hello", "no session"),
        ("200 OK", "0{}", "no session"),
    ] {
        let listener = Listener::bind().await;
        let connecting = tokio::spawn(over(listener.addr(), Transport::Polling).connect());
        let mut get = listener.accept().await;
        request(&mut get).await.unwrap();
        answer(&mut get, status, "", body).await;
        let error = soon(connecting).await.unwrap().unwrap_err();
        assert!(matches!(error, ConnectError::Transport(_)), "{status} {body}: {error:?}");
        assert!(error.to_string().contains(expected), "{status} {body}: {error}");
    }
}

#[tokio::test]
async fn a_websocket_that_is_refused_is_an_error_with_its_status() {
    let listener = Listener::bind().await;
    let connecting = tokio::spawn(over(listener.addr(), Transport::WebSocket).connect());
    let mut stream = listener.accept().await;
    request(&mut stream).await.unwrap();
    answer(&mut stream, "403 Forbidden", "", "").await;
    let error = soon(connecting).await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::Transport(TransportError::WebSocket(_))), "{error:?}");
    assert!(error.to_string().contains("403"), "{error}");
}

#[tokio::test]
async fn a_server_of_version_2_is_recognized() {
    let listener = Listener::bind().await;
    let connecting = tokio::spawn(over(listener.addr(), Transport::WebSocket).connect());
    let mut session = listener.websocket().await;
    session.send(OPEN).await.unwrap();
    assert_eq!(receive(&mut session).await, "40");
    session.send("40").await.unwrap();
    let error = soon(connecting).await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::UnsupportedServer), "{error:?}");
}

#[tokio::test]
async fn the_client_may_begin_with_websocket_once_it_succeeded() {
    let server = TestServer::start(&Io::new()).await;
    let client = server.client().config(|config| config.remember_upgrade = true).build().unwrap();
    let (sender, mut upgraded) = tokio::sync::mpsc::unbounded_channel();
    client.on_manager_event(move |event| {
        let _ = sender.send(format!("{event:?}"));
    });
    soon(client.connect()).await.unwrap();
    loop {
        if soon(upgraded.recv()).await.unwrap().starts_with("Upgrade(") {
            break;
        }
    }
    client.disconnect();
    soon(client.connect()).await.unwrap();
    client.close().await;
    while let Ok(event) = upgraded.try_recv() {
        assert!(!event.starts_with("Upgrade"), "it began with the WebSocket: {event}");
    }
}

#[tokio::test]
async fn compression_is_offered_and_used_and_can_be_left_out() {
    let io = Io::builder()
        .config(|config| config.per_message_deflate = Some(sockeye_client::deflate::Config::default()))
        .build();
    io.on("echo", async |args: sockeye::RawArgs, ack: sockeye::Ack| ack.send(args));
    let server = TestServer::start(&io).await;
    let client = over(server.addr, Transport::WebSocket).connect().await.unwrap();
    let text = "compressible ".repeat(10_000);
    for compress in [true, false] {
        let echo: String = soon(client.compress(compress).emit_with_ack("echo", &text)).await.unwrap();
        assert_eq!(echo, text);
    }
}

#[tokio::test]
async fn what_cannot_be_is_found_before_anything_is_sent() {
    let built = |builder: sockeye_client::Builder| builder.build().unwrap_err();
    assert!(matches!(built(Client::builder("nonsense")), BuildError::Url(_)));
    assert!(matches!(built(Client::builder("http://a").transports([])), BuildError::Config(_)));
    assert!(matches!(built(Client::builder("http://a").auth("text")), BuildError::Config(_)));
    assert!(matches!(built(Client::builder("http://a").header("a b", "c")), BuildError::Header(_)));
    assert!(matches!(built(Client::builder("http://a").header("a", "b\r\nc: d")), BuildError::Header(_)));
    let error = Client::builder("nonsense").connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Build(_)));
}

#[tokio::test]
async fn a_session_over_polling_uses_two_connections() {
    let io = Io::new();
    io.on("echo", async |sockeye::Data(number): sockeye::Data<u32>| number);
    let server = TestServer::start(&io).await;
    // A way to the server that counts.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, target) = (listener.local_addr().unwrap(), server.addr);
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut inbound, _)) = listener.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::spawn(async move {
                let Ok(mut outbound) = tokio::net::TcpStream::connect(target).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound).await;
            });
        }
    });
    let client = over(addr, Transport::Polling).build().unwrap();
    let mut events = client.events();
    soon(client.connect()).await.unwrap();
    assert_eq!(next(&mut events).await, "connect false");
    for number in 0..50 {
        assert_eq!(soon(client.emit_with_ack::<u32, _>("echo", number)).await.unwrap(), number);
    }
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 2);
}
