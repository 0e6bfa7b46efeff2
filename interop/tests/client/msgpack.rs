//! The msgpack parser: one binary message per packet.

use crate::{ServerUnderTest, WAYS, builder, connect, expect_event, is_python, next_event, soon};
use serde_json::{Value, json};
use sockeye_client::{Args, Binary, ConnectError, Data, Parser, SocketEvent};

#[tokio::test]
async fn everything_travels_as_msgpack_too() {
    let server = ServerUnderTest::with(&[("PARSER", "msgpack")]).await;
    for way in WAYS {
        let builder = builder(&server, way).config(|config| config.parser = Parser::MsgPack);
        let (client, mut events) = connect(builder).await;
        client.emit("echo", (1, "two", json!({ "three": [4.5, null, true] }), "é😀")).unwrap();
        let (name, args) = next_event(&mut events).await;
        assert_eq!(name, "echo");
        let expected = json!([1, "two", { "three": [4.5, null, true] }, "é😀"]);
        assert_eq!(args.read::<Value>().unwrap(), expected, "{way:?}");

        let Args((bytes, number)) = soon(
            client
                .emit_with_ack::<Args<(Binary, u32)>, _>("echo-ack", (Binary::from(vec![1, 2, 3]), 1 << 20)),
        )
        .await
        .unwrap();
        assert_eq!((&bytes[..], number), (&[1u8, 2, 3][..], 1 << 20), "{way:?}");

        client.on("question", async |Data(value): Data<Value>| json!({ "asked": value }));
        client.emit("ask-me", ("why", 5000)).unwrap();
        next_event(&mut events).await;
        assert_eq!(
            next_event(&mut events).await.1.read::<Value>().unwrap(),
            json!([null, { "asked": "why" }])
        );

        client.emit("count", 100).unwrap();
        for number in 0..100 {
            assert_eq!(expect_event(&mut events, "count").await, number, "{way:?}");
        }
        let error = soon(client.of("/admin").connect()).await.unwrap_err();
        let ConnectError::Refused(refusal) = error else { panic!("{error}") };
        assert_eq!(refusal.data::<Value>().unwrap()["status"], 401);
        client.emit("kick", ()).unwrap();
        assert!(matches!(soon(events.next()).await, Some(SocketEvent::Disconnect(_))));
    }
}

#[tokio::test]
async fn a_client_with_another_parser_than_the_server_gets_nowhere() {
    if is_python() {
        // It keeps the connection, and says nothing.
        return;
    }
    let server = ServerUnderTest::with(&[("PARSER", "msgpack")]).await;
    let error = soon(builder(&server, WAYS[0]).connect()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Disconnected(_)), "{error:?}");
}
