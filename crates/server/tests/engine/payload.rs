//! Payloads that are none, and those that look so.

use sockeye::{Args, Binary};

use crate::common::{Polling, Ws, log, usual_server};

#[tokio::test]
async fn malformed_payload_closes_the_session_with_parse_error() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let payloads: [&[u8]; 17] = [
        b"",
        b"\x1e",
        b"\x1e\x1e\x1e",
        b"3\x1e",
        b"3\x1e\x1e3",
        "é1234".as_bytes(),
        "é".as_bytes(),
        "😀".as_bytes(),
        b"b!!!!",
        b"bQ",
        b"bQUJD=",
        b"b====",
        "bé".as_bytes(),
        b"7",
        b"x",
        b"4\xff",
        b"\xff\xfe\x1e4",
    ];
    for payload in payloads {
        let client = Polling::join(&server).await;
        let get = client.start_get();
        let answer = client.post_any(payload).await;
        assert_eq!(answer.summary(), "200 ok", "{payload:?}");
        lines.expect(&["/ parse error"]).await;
        let answer = get.await.unwrap();
        assert!(
            ["200 1", r#"400 {"code":1,"message":"Session ID unknown"}"#].contains(&&*answer.summary()),
            "{answer:?}"
        );
        client.expect_gone().await;
    }
    assert_eq!(server.io.client_count(), 0);
}

#[tokio::test]
async fn packets_before_a_malformed_one_count() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    server.io.on("tell", move |sockeye::Data(text): sockeye::Data<String>| {
        log.write(text);
        async {}
    });
    let client = Polling::join(&server).await;
    client.post_any("42[\"tell\",\"a\"]\u{1e}42[\"tell\",\"b\"]\u{1e}é\u{1e}42[\"tell\",\"c\"]").await;
    lines.expect(&["/ parse error"]).await;
    heard.expect(&["a", "b"]).await;
    heard.expect_silence().await;
}

#[tokio::test]
async fn malformed_websocket_packet_closes_the_session_with_parse_error() {
    let (server, mut lines) = usual_server(|_| ()).await;
    for packet in ["", "é1234", "x", "7", "b!!!"] {
        let (mut ws, _) = Ws::join(&server).await;
        ws.send(packet).await;
        lines.expect(&["/ parse error"]).await;
        ws.expect_end().await;
    }
}

#[tokio::test]
async fn lone_b_is_an_empty_attachment() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.on("len", async |Args((Binary(bytes),)): Args<(Binary,)>| bytes.len());
    let client = Polling::join(&server).await;
    let event = r#"451-1["len",{"_placeholder":true,"num":0}]"#;
    client.post(&format!("{event}\u{1e}b")).await;
    assert_eq!(client.poll().await, "431[0]");
    client.post(event).await;
    client.post("bAQID").await;
    assert_eq!(client.poll().await, "431[3]");
}

#[tokio::test]
async fn client_that_cannot_send_bytes_sends_base64_over_websocket_too() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.on("len", async |Args((Binary(bytes),)): Args<(Binary,)>| bytes.len());
    let (mut ws, _) = Ws::join(&server).await;
    ws.send(r#"451-1["len",{"_placeholder":true,"num":0}]"#).await;
    ws.send("bAQID").await;
    ws.expect(&["431[3]"]).await;
}

#[tokio::test]
async fn payload_of_very_many_packets_is_handled_in_order() {
    let (server, _lines) = usual_server(|_| ()).await;
    let client = Polling::join(&server).await;
    let packets: Vec<_> = (0..1000).map(|i| format!("42[\"echo\",{i}]")).collect();
    client.post(&packets.join("\u{1e}")).await;
    let mut received = Vec::new();
    while received.len() < packets.len() {
        received.extend(client.poll().await.split('\u{1e}').map(str::to_owned));
    }
    assert_eq!(received, packets);
}
