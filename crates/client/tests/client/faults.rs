//! What goes wrong on the way: attempts are bounded, connections that break are noticed, and nothing stays behind.

use crate::{
    QUIET, SOON, TestServer, builder,
    bytes::{Listener, OPEN, answer, receive, request},
    next, over, soon, until,
};
use sockeye::Io;
use sockeye_client::{AckError, Client, ConnectError, ManagerEvent, Transport, TransportError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::sleep,
};

const BOTH: [Transport; 2] = [Transport::Polling, Transport::WebSocket];

fn silent_port() -> std::net::SocketAddr {
    // Bound and closed again: nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_of_the_connection() {
    for transport in BOTH {
        let error = soon(over(silent_port(), transport).connect()).await.unwrap_err();
        assert!(matches!(error, ConnectError::Transport(TransportError::Connect(_))), "{error:?}");
    }
}

#[tokio::test]
async fn a_name_that_is_none_is_an_error_of_the_connection() {
    for transport in BOTH {
        let builder = Client::builder("http://no-such-host.invalid").transports([transport]);
        let error = soon(builder.connect()).await.unwrap_err();
        assert!(matches!(error, ConnectError::Transport(TransportError::Connect(_))), "{error:?}");
    }
}

#[tokio::test]
async fn a_black_hole_is_a_timeout() {
    let listener = Listener::bind().await;
    for transport in BOTH {
        let start = Instant::now();
        let builder =
            over(listener.addr(), transport).config(|config| config.timeout = Duration::from_millis(200));
        let error = soon(builder.connect()).await.unwrap_err();
        assert!(matches!(error, ConnectError::Timeout), "{error:?}");
        assert!((150..2000).contains(&start.elapsed().as_millis()));
        let mut stream = listener.accept().await;
        // The request, and then the end: the connection does not outlive its attempt.
        let mut all = Vec::new();
        let read = soon(stream.read_to_end(&mut all)).await;
        assert!(read.is_ok() || all.starts_with(b"GET "), "{read:?}");
    }
}

#[tokio::test]
async fn attempts_follow_each_other_at_their_distance_and_never_at_once() {
    for transport in BOTH {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let client = over(silent_port(), transport)
            .config(|config| {
                config.reconnection_delay = Duration::from_millis(50);
                config.reconnection_delay_max = Duration::from_millis(50);
                config.randomization_factor = 0.0;
            })
            .build()
            .unwrap();
        client.on_manager_event(move |event| {
            if matches!(event, ManagerEvent::ReconnectAttempt(_)) {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        client.open();
        sleep(Duration::from_millis(1000)).await;
        let attempts = count.load(Ordering::SeqCst);
        assert!((5..=20).contains(&attempts), "{attempts} attempts in a second");
        client.disconnect();
        sleep(QUIET).await;
        let before = count.load(Ordering::SeqCst);
        sleep(QUIET * 2).await;
        assert_eq!(count.load(Ordering::SeqCst), before, "no attempt after the application disconnected");
    }
}

#[tokio::test]
async fn without_reconnection_one_attempt_is_all() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket)
        .config(|config| config.reconnection = false)
        .open()
        .unwrap();
    let mut events = client.events();
    drop(listener.accept().await);
    assert!(next(&mut events).await.starts_with("connect_error"));
    soon(client.closed()).await;
    assert!(!client.is_active());
}

#[tokio::test]
async fn a_hundred_reconnections_in_a_row_leave_nothing_behind() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket)
        .config(|config| {
            config.reconnection_delay = Duration::from_millis(1);
            config.reconnection_delay_max = Duration::from_millis(1);
        })
        .open()
        .unwrap();
    let mut events = client.events();
    let mut session = listener.session().await;
    assert_eq!(next(&mut events).await, "connect false");
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for number in 0..100 {
        client.emit("number", number).unwrap();
        assert_eq!(receive(&mut session).await, format!("42[\"number\",{number}]"));
        drop(session);
        assert!(next(&mut events).await.starts_with("disconnect transport "));
        session = listener.session().await;
        assert_eq!(next(&mut events).await, "connect false");
    }
    until("the tasks of earlier connections end", || {
        tokio::runtime::Handle::current().metrics().num_alive_tasks() <= tasks
    })
    .await;
}

#[tokio::test]
async fn a_hundred_reconnections_over_polling_and_upgrades() {
    let io = Io::new();
    io.on("echo", async |sockeye::Data(number): sockeye::Data<u32>| number);
    let server = TestServer::start(&io).await;
    let builder = server.client().config(|config| config.randomization_factor = 0.0);
    let client = builder.connect().await.unwrap();
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for number in 0..100 {
        assert_eq!(soon(client.emit_with_ack::<u32, _>("echo", number)).await.unwrap(), number);
        client.disconnect();
        soon(client.connect()).await.unwrap();
    }
    client.close().await;
    until("the server sees no client", || server.io.client_count() == 0).await;
    until("no task is left", || tokio::runtime::Handle::current().metrics().num_alive_tasks() <= tasks).await;
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_a_frame_is_lost_and_made_again() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket).open().unwrap();
    let mut events = client.events();
    let mut session = listener.session().await;
    assert_eq!(next(&mut events).await, "connect false");
    let asked = client.emit_with_ack::<u8, _>("ask", ());
    assert_eq!(receive(&mut session).await, r#"420["ask"]"#);
    // The head of a frame of 100 bytes, and 6 of them.
    session.get_mut().write_all(b"\x81\x6442[\"ev").await.unwrap();
    drop(session);
    assert!(next(&mut events).await.starts_with("disconnect transport "));
    assert!(matches!(soon(asked).await, Err(AckError::Disconnected)));
    listener.session().await;
    assert_eq!(next(&mut events).await, "connect false");
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_an_answer_to_a_poll_is_lost() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::Polling).open().unwrap();
    let mut events = client.events();
    let mut get = listener.accept().await;
    request(&mut get).await.unwrap();
    answer(&mut get, "200 OK", "", OPEN).await;
    let mut post = listener.accept().await;
    // The GET and the POST share the first connection and a second one, in either order.
    let (first, second) = (request(&mut get).await.unwrap(), request(&mut post).await.unwrap());
    let (mut get, mut post, sent) =
        if first.0.starts_with("GET") { (get, post, second) } else { (post, get, first) };
    assert_eq!(sent.1, "40");
    answer(&mut post, "200 OK", "", "ok").await;
    answer(&mut get, "200 OK", "", r#"40{"sid":"public"}"#).await;
    assert_eq!(next(&mut events).await, "connect false");
    request(&mut get).await.unwrap();
    get.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n42[\"ev").await.unwrap();
    drop((get, post));
    assert_eq!(next(&mut events).await, "disconnect transport error");
    assert!(request(&mut listener.accept().await).await.unwrap().0.starts_with("GET"));
}

#[tokio::test]
async fn a_server_that_stops_pinging_is_given_up() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket).open().unwrap();
    let mut events = client.events();
    let mut session = listener.websocket().await;
    session.send(r#"0{"sid":"abc","upgrades":[],"pingInterval":100,"pingTimeout":200}"#).await.unwrap();
    receive(&mut session).await;
    session.send(r#"40{"sid":"public"}"#).await.unwrap();
    assert_eq!(next(&mut events).await, "connect false");
    session.send("2").await.unwrap();
    assert_eq!(receive(&mut session).await, "3");
    let start = Instant::now();
    assert_eq!(next(&mut events).await, "disconnect ping timeout");
    assert!((200..2000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    assert!(client.is_active(), "it connects again");
}

#[tokio::test]
async fn what_is_no_packet_is_a_parse_error_and_the_connection_is_made_again() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket).open().unwrap();
    let mut events = client.events();
    for garbage in [
        "é1234",
        "",
        "9",
        "bAQ!",
        "4",
        "49",
        "42[",
        "42[]",
        "42{}",
        r#"42["disconnect"]"#,
        r#"42["a",{"b"]"#,
        r#"4599999999999-["a"]"#,
        r#"451-["a",{"_placeholder":true,"num":0}]"#,
        "4399999999999999999999[]",
    ] {
        let mut session = listener.session().await;
        assert_eq!(next(&mut events).await, "connect false", "{garbage}");
        session.send(garbage).await.unwrap();
        if garbage.starts_with("451-[") {
            // A text while the attachment is awaited.
            session.send("42[\"b\"]").await.unwrap();
        }
        assert_eq!(next(&mut events).await, "disconnect parse error", "{garbage}");
        assert_eq!(receive(&mut session).await, "closed", "{garbage}");
    }
    let mut session = listener.session().await;
    assert_eq!(next(&mut events).await, "connect false");
    session.send(sockeye_tokio_websocket::Message::binary(vec![1])).await.unwrap();
    assert_eq!(next(&mut events).await, "disconnect parse error");
}

#[tokio::test]
async fn attachments_that_never_come_are_a_parse_error() {
    let listener = Listener::bind().await;
    let builder = over(listener.addr(), Transport::WebSocket)
        .config(|config| config.attachment_timeout = Duration::from_millis(100));
    let client = builder.open().unwrap();
    let mut events = client.events();
    let mut session = listener.session().await;
    assert_eq!(next(&mut events).await, "connect false");
    session.send(r#"451-["a",{"_placeholder":true,"num":0}]"#).await.unwrap();
    assert_eq!(next(&mut events).await, "disconnect parse error");
}

#[tokio::test]
async fn messages_above_the_limit_end_the_connection() {
    let listener = Listener::bind().await;
    let limited = |transport| over(listener.addr(), transport).config(|config| config.max_payload_len = 1000);
    let client = limited(Transport::WebSocket).open().unwrap();
    let mut events = client.events();
    let mut session = listener.session().await;
    assert_eq!(next(&mut events).await, "connect false");
    session.send(format!("42[\"{}\"]", "x".repeat(2000)).as_str()).await.unwrap();
    assert_eq!(next(&mut events).await, "disconnect transport error");
    drop((client, session));

    let client = limited(Transport::Polling).build().unwrap();
    let connecting = tokio::spawn(async move { client.connect().await });
    let mut get = listener.accept().await;
    while request(&mut get).await.is_none() {
        get = listener.accept().await;
    }
    answer(&mut get, "200 OK", "", &"x".repeat(2000)).await;
    let error = soon(connecting).await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::Transport(TransportError::TooLarge { max: 1000 })), "{error:?}");
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_at_the_limit() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::Polling)
        .config(|config| config.max_payload_len = 100_000)
        .build()
        .unwrap();
    let connecting = tokio::spawn(async move { client.connect().await });
    let mut get = listener.accept().await;
    request(&mut get).await.unwrap();
    get.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let mut sent = 0;
    while get.write_all(chunk.as_bytes()).await.is_ok() {
        sent += 0x1000;
        assert!(sent < 50_000_000, "the client reads on and on");
    }
    let error = soon(connecting).await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::Transport(TransportError::TooLarge { .. })), "{error:?}");
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let listener = Listener::bind().await;
    let client = over(listener.addr(), Transport::WebSocket).build().unwrap();
    let connecting = tokio::spawn({
        let client = client.clone();
        async move { client.connect().await }
    });
    let mut session = listener.websocket().await;
    sleep(QUIET).await;
    session.send(OPEN).await.unwrap();
    assert_eq!(receive(&mut session).await, "40");
    sleep(QUIET).await;
    session.send(r#"40{"sid":"public"}"#).await.unwrap();
    soon(connecting).await.unwrap().unwrap();
    assert_eq!(client.id().as_deref(), Some("public"));
}

#[tokio::test]
async fn a_failed_upgrade_leaves_the_session_on_polling() {
    let io = Io::new();
    io.on("echo", async |sockeye::Data(number): sockeye::Data<u32>| number);
    let server = TestServer::start(&io).await;
    // A way to the server that lets no WebSocket pass.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let target = server.addr;
    tokio::spawn(async move {
        while let Ok((mut inbound, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut first = [0; 4096];
                let len = inbound.peek(&mut first).await.unwrap_or(0);
                if String::from_utf8_lossy(&first[..len]).to_ascii_lowercase().contains("upgrade: websocket")
                {
                    let _ = inbound.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
                    return;
                }
                let Ok(mut outbound) = tokio::net::TcpStream::connect(target).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound).await;
            });
        }
    });
    let client = builder(addr).build().unwrap();
    let (sender, mut failed) = tokio::sync::mpsc::unbounded_channel();
    client.on_manager_event(move |event| {
        if let ManagerEvent::UpgradeError(error) = event {
            sender.send(error.is_some()).unwrap();
        }
    });
    soon(client.connect()).await.unwrap();
    assert!(soon(failed.recv()).await.unwrap());
    for number in 0..20 {
        assert_eq!(soon(client.emit_with_ack::<u32, _>("echo", number)).await.unwrap(), number);
    }
}

#[tokio::test]
async fn all_transports_are_tried_in_one_attempt_if_that_is_wanted() {
    let server = TestServer::start(
        &Io::builder()
            .config(|config| {
                config.transports = sockeye::TransportSet::only(Transport::WebSocket);
            })
            .build(),
    )
    .await;
    let error = soon(server.client().connect()).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Transport(TransportError::Status { status: 400, .. })),
        "{error:?}"
    );
    let client =
        soon(server.client().config(|config| config.try_all_transports = true).connect()).await.unwrap();
    assert!(client.is_connected());
}

#[tokio::test]
async fn the_end_of_the_runtimes_handles_ends_the_task_with_a_good_bye() {
    let io = Io::new();
    let (sender, mut reasons) = tokio::sync::mpsc::unbounded_channel();
    io.on_disconnect(move |reason: sockeye::DisconnectReason| {
        let sent = sender.send(reason.to_string());
        async move { drop(sent) }
    });
    let server = TestServer::start(&io).await;
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for transport in BOTH {
        let client = over(server.addr, transport).connect().await.unwrap();
        let socket = client.of("/");
        drop(client);
        sleep(QUIET).await;
        assert!(socket.is_connected(), "a handle is left");
        drop(socket);
        assert_eq!(soon(reasons.recv()).await.unwrap(), "client namespace disconnect");
    }
    until("the server sees no client", || server.io.client_count() == 0).await;
    until("no task is left", || tokio::runtime::Handle::current().metrics().num_alive_tasks() <= tasks).await;
}

#[tokio::test]
async fn closing_does_not_wait_for_a_server_that_does_not_answer() {
    let listener = Listener::bind().await;
    let builder = over(listener.addr(), Transport::WebSocket)
        .config(|config| config.close_timeout = Duration::from_millis(200));
    let client = builder.open().unwrap();
    let mut events = client.events();
    let session = listener.session().await;
    assert_eq!(next(&mut events).await, "connect false");
    let start = Instant::now();
    soon(client.close()).await;
    assert!(start.elapsed() < SOON / 2, "{:?}", start.elapsed());
    assert_eq!(next(&mut events).await, "disconnect io client disconnect");
    drop(session);
}
