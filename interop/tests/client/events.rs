//! Events in both directions over every transport: order, binary data, size, headers, namespaces.

use crate::{ServerUnderTest, WAYS, builder, connect, expect_event, is_python, next_event, soon};
use serde_json::{Value, json};
use sockeye_client::{Args, Binary, Client, Data, EventName, ManagerEvent, SocketEvent, Transport};
use tokio::sync::mpsc::unbounded_channel;

#[tokio::test]
async fn arguments_come_back_as_they_were_sent() {
    let server = ServerUnderTest::start().await;
    for way in WAYS {
        let (client, mut events) = connect(builder(&server, way)).await;
        client.emit("echo", (1, "two", [3.5], json!({ "four": [null, true] }), "é😀")).unwrap();
        let (name, args) = next_event(&mut events).await;
        assert_eq!(name, "echo");
        let expected = json!([1, "two", [3.5], { "four": [null, true] }, "é😀"]);
        assert_eq!(args.read::<Value>().unwrap(), expected, "{way:?}");
        client.emit("echo", ()).unwrap();
        assert_eq!(next_event(&mut events).await.1.json(), "[]");
    }
}

#[tokio::test]
async fn binary_data_travels_anywhere_in_the_arguments() {
    let server = ServerUnderTest::start().await;
    for way in WAYS {
        let (client, mut events) = connect(builder(&server, way)).await;
        let long: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();
        let binary = |bytes: &[u8]| Binary::from(bytes.to_vec());
        client.emit("echo", (binary(&[1, 2, 3]), "between", vec![binary(&long)])).unwrap();
        let (_, args) = next_event(&mut events).await;
        let (first, between, last): (Binary, String, Vec<Binary>) = args.read().unwrap();
        assert_eq!((&first[..], between.as_str()), (&[1u8, 2, 3][..], "between"), "{way:?}");
        assert!(last[0][..] == long[..], "{way:?}");
    }
}

#[tokio::test]
async fn events_arrive_in_order_in_both_directions() {
    let server = ServerUnderTest::start().await;
    for way in WAYS {
        let (client, mut events) = connect(builder(&server, way)).await;
        for number in 0..500 {
            client.emit("echo", number).unwrap();
        }
        for number in 0..500 {
            assert_eq!(expect_event(&mut events, "echo").await, number, "{way:?}");
        }
        client.emit("count", 500).unwrap();
        for number in 0..500 {
            assert_eq!(expect_event(&mut events, "count").await, number, "{way:?}");
        }
    }
}

#[tokio::test]
async fn long_events_arrive_whole() {
    let server = ServerUnderTest::start().await;
    for way in WAYS {
        let (client, mut events) = connect(builder(&server, way)).await;
        client.emit("big", 3_000_000).unwrap();
        assert_eq!(expect_event(&mut events, "big").await.as_str().map(str::len), Some(3_000_000), "{way:?}");
        let text = "y".repeat(900_000);
        client.emit("echo", &text).unwrap();
        assert_eq!(expect_event(&mut events, "echo").await, text, "{way:?}");
    }
}

#[tokio::test]
async fn a_batch_is_cut_to_what_the_server_takes_at_once() {
    let server = ServerUnderTest::with(&[("MAX_HTTP_BUFFER_SIZE", "2000")]).await;
    let (client, mut events) = connect(builder(&server, &[Transport::Polling])).await;
    let text = "z".repeat(300);
    for _ in 0..100 {
        client.emit("echo", &text).unwrap();
    }
    for _ in 0..100 {
        assert_eq!(expect_event(&mut events, "echo").await, text);
    }
}

#[tokio::test]
async fn polling_is_upgraded_while_events_flow() {
    let server = ServerUnderTest::start().await;
    for _ in 0..10 {
        let client = builder(&server, WAYS[2]).build().unwrap();
        let (sender, mut upgraded) = unbounded_channel();
        client.on_manager_event(move |event| {
            if let ManagerEvent::Upgrade(transport) = event {
                sender.send(*transport).unwrap();
            }
        });
        let mut events = client.events();
        soon(client.connect()).await.unwrap();
        let mut sent = 0;
        loop {
            client.emit("echo", sent).unwrap();
            sent += 1;
            if upgraded.try_recv().is_ok() {
                break;
            }
            tokio::task::yield_now().await;
            if sent % 20 == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        }
        client.emit("echo", sent).unwrap();
        let mut next = 0;
        while next <= sent {
            if let Some(SocketEvent::Event(event)) = soon(events.next()).await
                && event.name() == "echo"
            {
                assert_eq!(event.data::<i32>().unwrap(), next);
                next += 1;
            }
        }
    }
}

#[tokio::test]
async fn headers_and_query_reach_the_server() {
    let server = ServerUnderTest::start().await;
    for way in WAYS {
        let builder = builder(&server, way).header("X-Test", "from the client").query("test", "a b&c");
        let (client, _events) = connect(builder).await;
        let handshake: Value = soon(client.emit_with_ack("handshake", ())).await.unwrap();
        assert_eq!(handshake["header"], "from the client", "{way:?}");
        assert_eq!(handshake["query"], "a b&c", "{way:?}");
    }
    let client = Client::builder(format!("{}/?test=of%20the%20url", server.url())).connect().await.unwrap();
    let handshake: Value = soon(client.emit_with_ack("handshake", ())).await.unwrap();
    assert_eq!(handshake["query"], "of the url");
}

#[tokio::test]
async fn namespaces_share_one_connection() {
    let server = ServerUnderTest::start().await;
    for way in WAYS {
        let (client, mut events) = connect(builder(&server, way)).await;
        let chat = client.of("/chat");
        let mut chat_events = chat.events();
        soon(chat.connect()).await.unwrap();
        assert!(chat.is_connected() && chat.id() != client.id());
        chat.emit("echo", "in the chat").unwrap();
        client.emit("echo", "at home").unwrap();
        assert_eq!(expect_event(&mut events, "echo").await, "at home", "{way:?}");
        assert!(matches!(soon(chat_events.next()).await, Some(SocketEvent::Connect { .. })));
        assert_eq!(expect_event(&mut chat_events, "welcome").await["namespace"], "/chat");
        assert_eq!(expect_event(&mut chat_events, "echo").await, "in the chat");
        // Leaving one leaves the other alone.
        chat.disconnect();
        client.emit("echo", "still here").unwrap();
        assert_eq!(expect_event(&mut events, "echo").await, "still here", "{way:?}");
        soon(chat.connect()).await.unwrap();
        client.close().await;
    }
}

#[tokio::test]
async fn the_url_names_the_namespace() {
    let server = ServerUnderTest::start().await;
    let (sender, mut welcomes) = unbounded_channel();
    let client = Client::builder(format!("{}/dynamic-42", server.url()))
        .on("welcome", move |Data(welcome): Data<Value>| {
            let sent = sender.send(welcome);
            async move { drop(sent) }
        })
        .connect()
        .await
        .unwrap();
    assert_eq!(client.namespace(), "/dynamic-42");
    assert_eq!(soon(welcomes.recv()).await.unwrap()["namespace"], "/dynamic-42");
}

#[tokio::test]
async fn handlers_and_catch_all_observers_see_events() {
    let server = ServerUnderTest::start().await;
    let (sender, mut seen) = unbounded_channel();
    let (any, named) = (sender.clone(), sender);
    let client = builder(&server, WAYS[0])
        .on_any(move |EventName(name): EventName| {
            let sent = any.send(format!("any {name}"));
            async move { drop(sent) }
        })
        .on("echo", move |Args((number, text)): Args<(u8, String)>| {
            let sent = named.send(format!("echo {number} {text}"));
            async move { drop(sent) }
        })
        .connect()
        .await
        .unwrap();
    client.emit("echo", (7, "x")).unwrap();
    for expected in ["any welcome", "any echo", "echo 7 x"] {
        assert_eq!(soon(seen.recv()).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn an_event_that_a_middleware_refuses_is_answered_by_the_servers_error_handler() {
    if is_python() {
        return;
    }
    let server = ServerUnderTest::start().await;
    let (client, mut events) = connect(builder(&server, WAYS[0])).await;
    client.emit("any-thing", (1, 2)).unwrap();
    let (name, args) = next_event(&mut events).await;
    assert_eq!((name.as_str(), args.json()), ("caught", r#"["any-thing",1,2]"#));
}
