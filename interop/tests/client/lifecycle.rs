//! Connecting, refusals, disconnections and reconnections.

use crate::{
    QUIET, SOON, ServerUnderTest, WAYS, builder, connect, expect_event, is_ours, is_python, next_event, soon,
};
use serde_json::{Value, json};
use sockeye_client::{
    AckError, Client, ConnectError, DisconnectReason, ManagerEvent, SocketEvent, Transport,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::mpsc::unbounded_channel, time::sleep};

/// How servers call it that a client left a namespace.
fn client_left() -> &'static str {
    if is_python() { "client disconnect" } else { "client namespace disconnect" }
}

#[tokio::test]
async fn auth_reaches_the_server_as_value_and_as_function() {
    let server = ServerUnderTest::start().await;
    for way in WAYS {
        let client = builder(&server, way).auth(json!({ "token": "secret" })).build().unwrap();
        let mut events = client.events();
        soon(client.connect()).await.unwrap();
        soon(events.next()).await;
        assert_eq!(expect_event(&mut events, "welcome").await["auth"], json!({ "token": "secret" }));

        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let client = builder(&server, way)
            .auth_fn(move || {
                let attempt = counted.fetch_add(1, Ordering::SeqCst);
                async move {
                    sleep(Duration::from_millis(20)).await;
                    Ok::<_, std::io::Error>(json!({ "attempt": attempt }))
                }
            })
            .build()
            .unwrap();
        let mut events = client.events();
        soon(client.connect()).await.unwrap();
        soon(events.next()).await;
        assert_eq!(expect_event(&mut events, "welcome").await["auth"], json!({ "attempt": 0 }), "{way:?}");
        client.disconnect();
        soon(client.connect()).await.unwrap();
        assert!(matches!(soon(events.next()).await, Some(SocketEvent::Disconnect(_))));
        soon(events.next()).await;
        assert_eq!(expect_event(&mut events, "welcome").await["auth"], json!({ "attempt": 1 }), "{way:?}");
    }
}

#[tokio::test]
async fn a_middleware_refuses_with_message_and_data() {
    let server = ServerUnderTest::start().await;
    for way in WAYS {
        let client = Client::builder(format!("{}/admin", server.url()))
            .transports(way.iter().copied())
            .build()
            .unwrap();
        let mut events = client.events();
        let error = soon(client.connect()).await.unwrap_err();
        let ConnectError::Refused(refusal) = error else { panic!("{error}") };
        assert_eq!(refusal.message(), "unauthorized");
        assert_eq!(refusal.data::<Value>().unwrap(), json!({ "status": 401, "hint": "token" }));
        assert!(matches!(soon(events.next()).await, Some(SocketEvent::ConnectError(_))));
        // It does not try again by itself, and does when it is told to.
        sleep(QUIET).await;
        assert!(!client.is_active());
        client.set_auth(json!({ "token": "secret" })).unwrap();
        soon(client.connect()).await.unwrap();
    }
}

#[tokio::test]
async fn a_namespace_that_is_none_is_refused_and_others_stay() {
    let server = ServerUnderTest::start().await;
    let (client, mut events) = connect(builder(&server, WAYS[0])).await;
    let error = soon(client.of("/nowhere").connect()).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Refused(_)), "{error}");
    client.emit("echo", 1).unwrap();
    assert_eq!(expect_event(&mut events, "echo").await, 1);
}

#[tokio::test]
async fn a_server_that_refuses_the_request_is_an_error() {
    let server = ServerUnderTest::start().await;
    for way in WAYS {
        let error = builder(&server, way).header("X-Refuse", "go away").connect().await.unwrap_err();
        assert!(matches!(error, ConnectError::Transport(_)), "{error:?}");
        if way[0] == Transport::Polling {
            assert!(error.to_string().contains("go away"), "{error}");
        }
    }
}

#[tokio::test]
async fn events_that_were_emitted_before_the_connection_arrive_in_order() {
    let server = ServerUnderTest::start().await;
    for way in WAYS {
        let client = builder(&server, way).build().unwrap();
        let mut events = client.events();
        for number in 0..50 {
            client.emit("echo", number).unwrap();
        }
        client.volatile().emit("echo", "dropped").unwrap();
        assert_eq!(client.buffered_count(), 50);
        client.open();
        let connected = soon(events.next()).await;
        assert!(matches!(connected, Some(SocketEvent::Connect { .. })), "{connected:?}");
        assert_eq!(next_event(&mut events).await.0, "welcome");
        client.emit("echo", 50).unwrap();
        let mut echoes = Vec::new();
        for _ in 0..=50 {
            echoes.push(expect_event(&mut events, "echo").await.as_u64().unwrap());
        }
        if is_python() {
            // Its handlers run side by side, and overtake each other.
            echoes.sort_unstable();
        }
        assert_eq!(echoes, (0..=50).collect::<Vec<u64>>(), "{way:?}");
    }
}

#[tokio::test]
async fn the_server_disconnects_and_the_client_stays_away() {
    let server = ServerUnderTest::start().await;
    for way in WAYS {
        for event in ["kick", "kick-hard"] {
            let (client, mut events) = connect(builder(&server, way)).await;
            client.emit(event, ()).unwrap();
            let disconnected = soon(events.next()).await;
            assert!(
                matches!(disconnected, Some(SocketEvent::Disconnect(DisconnectReason::IoServerDisconnect))),
                "{way:?} {event}: {disconnected:?}"
            );
            assert_eq!(soon(client.closed()).await, Some(DisconnectReason::IoServerDisconnect));
            sleep(QUIET).await;
            assert!(!client.is_active());
            soon(client.connect()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_client_disconnects_and_the_server_knows() {
    let server = ServerUnderTest::start().await;
    let (_observer, mut observed) = {
        let client = Client::builder(format!("{}/observer", server.url())).build().unwrap();
        let events = client.events();
        soon(client.connect()).await.unwrap();
        (client, events)
    };
    assert!(matches!(soon(observed.next()).await, Some(SocketEvent::Connect { .. })));
    for way in WAYS {
        let (client, mut events) = connect(builder(&server, way)).await;
        let id = client.id().unwrap();
        client.emit("echo", "last words").unwrap();
        assert_eq!(expect_event(&mut events, "echo").await, "last words");
        client.disconnect();
        assert!(matches!(
            soon(events.next()).await,
            Some(SocketEvent::Disconnect(DisconnectReason::IoClientDisconnect))
        ));
        let (name, args) = next_event(&mut observed).await;
        let (gone, _, reason): (String, String, String) = args.read().unwrap();
        assert_eq!((name.as_str(), gone.as_str()), ("disconnected", &*id));
        assert_eq!(reason, client_left());
    }
}

#[tokio::test]
async fn dropping_the_last_handle_sends_what_was_emitted_and_says_good_bye() {
    let server = ServerUnderTest::start().await;
    let observer = Client::builder(format!("{}/observer", server.url())).build().unwrap();
    let mut observed = observer.events();
    soon(observer.connect()).await.unwrap();
    soon(observed.next()).await;
    let (_listener, mut news) = connect(builder(&server, WAYS[0])).await;
    for way in WAYS {
        let (client, events) = connect(builder(&server, way)).await;
        client.emit("broadcast", (json!({ "from": "socket" }), "from one who left")).unwrap();
        drop((client, events));
        // The official server drops events that arrive together with a DISCONNECT.
        if is_ours() {
            assert_eq!(expect_event(&mut news, "news").await, "from one who left", "{way:?}");
        }
        let (name, args) = next_event(&mut observed).await;
        let (_, _, reason): (String, String, String) = args.read().unwrap();
        assert_eq!((name.as_str(), reason.as_str()), ("disconnected", client_left()), "{way:?}");
    }
}

#[tokio::test]
async fn a_server_that_dies_and_returns_is_found_again() {
    let mut server = ServerUnderTest::start().await;
    for way in WAYS {
        let (client, mut events) = connect(builder(&server, way)).await;
        let asked = client.emit_with_ack::<Value, _>("no-such-event", ());
        // It has to be on its way: what waits to be sent survives a disconnection.
        sleep(QUIET).await;
        server.kill().await;
        assert!(matches!(soon(asked).await, Err(AckError::Disconnected)));
        let disconnected = soon(events.next()).await;
        assert!(
            matches!(
                disconnected,
                Some(SocketEvent::Disconnect(
                    DisconnectReason::TransportClose | DisconnectReason::TransportError
                ))
            ),
            "{way:?}: {disconnected:?}"
        );
        client.emit("echo", "from the offline buffer").unwrap();
        server.start_again().await;
        loop {
            match soon(events.next()).await {
                Some(SocketEvent::ConnectError(_)) => {}
                Some(SocketEvent::Connect { .. }) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(next_event(&mut events).await.0, "welcome");
        assert_eq!(expect_event(&mut events, "echo").await, "from the offline buffer", "{way:?}");
    }
}

#[tokio::test]
async fn all_namespaces_come_back_after_a_restart() {
    let mut server = ServerUnderTest::start().await;
    let (client, _events) = connect(builder(&server, WAYS[0])).await;
    let (sender, mut connected) = unbounded_channel();
    for name in ["/chat", "/dynamic-1", "/dynamic-2"] {
        let socket = client.of(name);
        soon(socket.connect()).await.unwrap();
        let sender = sender.clone();
        socket.on_connect(move |socket: sockeye_client::Socket| {
            let sent = sender.send(socket.namespace().to_owned());
            async move { drop(sent) }
        });
    }
    server.kill().await;
    server.start_again().await;
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(soon(connected.recv()).await.unwrap());
    }
    names.sort();
    assert_eq!(names, ["/chat", "/dynamic-1", "/dynamic-2"]);
}

#[tokio::test]
async fn attempts_are_counted_and_end() {
    let mut server = ServerUnderTest::start().await;
    let builder = builder(&server, WAYS[2]).config(|config| config.reconnection_attempts = Some(3));
    let (client, _events) = connect(builder).await;
    let (sender, mut seen) = unbounded_channel();
    client.on_manager_event(move |event| {
        let name = match event {
            ManagerEvent::Close(_) => "close".to_owned(),
            ManagerEvent::ReconnectAttempt(number) => format!("attempt {number}"),
            ManagerEvent::ReconnectError(_) => "error".to_owned(),
            ManagerEvent::ReconnectFailed => "failed".to_owned(),
            _ => return,
        };
        sender.send(name).unwrap();
    });
    server.kill().await;
    for expected in ["close", "attempt 1", "error", "attempt 2", "error", "attempt 3", "error", "failed"] {
        assert_eq!(soon(seen.recv()).await.unwrap(), expected);
    }
    soon(client.closed()).await;
    assert!(!client.is_active());
    server.start_again().await;
    sleep(QUIET).await;
    assert!(!client.is_connected());
    soon(client.connect()).await.unwrap();
}

#[tokio::test]
async fn the_heartbeat_keeps_the_connection_over_every_transport() {
    let server = ServerUnderTest::with(&[("PING_INTERVAL", "300"), ("PING_TIMEOUT", "3000")]).await;
    let mut clients = Vec::new();
    for way in WAYS {
        let (sender, pings) = unbounded_channel();
        let (client, events) = connect(builder(&server, way)).await;
        client.on_manager_event(move |event| {
            if matches!(event, ManagerEvent::Ping) {
                let _ = sender.send(());
            }
        });
        clients.push((client, events, pings));
    }
    sleep(Duration::from_millis(2000)).await;
    for ((client, mut events, mut pings), way) in clients.into_iter().zip(WAYS) {
        let mut count = 0;
        while pings.try_recv().is_ok() {
            count += 1;
        }
        assert!((3..=8).contains(&count), "{way:?}: {count} pings");
        client.emit("echo", 1).unwrap();
        assert_eq!(expect_event(&mut events, "echo").await, 1, "{way:?}");
    }
}

#[tokio::test]
async fn closing_waits_until_everything_is_sent() {
    for way in WAYS {
        // One of its own: what a client sent may be handled when the next one has connected.
        let server = ServerUnderTest::start().await;
        let (_listener, mut news) = connect(builder(&server, WAYS[0])).await;
        let (client, _events) = connect(builder(&server, way)).await;
        for number in 0..300 {
            client.emit("broadcast", (json!({ "from": "socket" }), number)).unwrap();
        }
        tokio::time::timeout(SOON, client.close()).await.expect("it closes");
        assert!(!client.is_active());
        // The official server drops events that arrive together with a DISCONNECT.
        let expected = if is_ours() { 0..300 } else { 0..0 };
        for number in expected {
            assert_eq!(expect_event(&mut news, "news").await, number, "{way:?}");
        }
    }
}
