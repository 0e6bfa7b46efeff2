//! Messages over long-polling, and how sessions on it end.

use sockeye::Socket;
use std::time::Duration;

use crate::common::{Polling, QUIET, log, soon, until, usual_server};

#[tokio::test]
async fn messages_go_both_ways() {
    let (server, _lines) = usual_server(|_| ()).await;
    let client = Polling::join(&server).await;
    client.post("42[\"echo\",1]\u{1e}42[\"echo\",\"é\"]").await;
    assert_eq!(client.poll().await, "42[\"echo\",1]\u{1e}42[\"echo\",\"é\"]");
    let get = client.start_get();
    tokio::time::sleep(QUIET).await;
    assert!(!get.is_finished(), "it waits as long as there is nothing to say");
    server.io.emit("news", "late").unwrap();
    assert_eq!(soon(get).await.unwrap().summary(), "200 42[\"news\",\"late\"]");
}

#[tokio::test]
async fn bytes_travel_as_base64() {
    let (server, _lines) = usual_server(|_| ()).await;
    let client = Polling::join(&server).await;
    let event = r#"451-["echo",{"_placeholder":true,"num":0}]"#;
    client.post(&format!("{event}\u{1e}bAQID/w==")).await;
    assert_eq!(client.poll().await, format!("{event}\u{1e}bAQID/w=="));
}

#[tokio::test]
async fn one_answer_carries_no_more_than_16_packets() {
    let (server, _lines) = usual_server(|_| ()).await;
    let client = Polling::join(&server).await;
    for i in 0..40 {
        server.io.emit("n", i).unwrap();
    }
    let mut next = 0;
    for count in [16, 16, 8] {
        let body = client.poll().await;
        let packets: Vec<_> = body.split('\u{1e}').collect();
        assert_eq!(packets.len(), count);
        for packet in packets {
            assert_eq!(packet, format!("42[\"n\",{next}]"));
            next += 1;
        }
    }
}

#[tokio::test]
async fn client_that_posts_close_is_gone_and_its_get_ends_with_noop() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let client = Polling::join(&server).await;
    let get = client.start_get();
    tokio::time::sleep(QUIET).await;
    client.post("1").await;
    assert_eq!(soon(get).await.unwrap().summary(), "200 6");
    lines.expect(&["/ transport close"]).await;
    client.expect_gone().await;
}

#[tokio::test]
async fn server_that_closes_sends_what_is_queued_and_then_the_close_packet() {
    let (server, mut lines) = usual_server(|_| ()).await;
    server.io.on("flood", async |socket: Socket| {
        for i in 0..40 {
            socket.emit("n", i)?;
        }
        socket.disconnect(true);
        Ok::<_, sockeye::EmitError>(())
    });
    for get_waits in [false, true] {
        let client = Polling::join(&server).await;
        let get = get_waits.then(|| client.start_get());
        tokio::time::sleep(QUIET).await;
        client.post("42[\"flood\"]").await;
        lines.expect(&["/ server namespace disconnect"]).await;
        let mut packets = Vec::new();
        if let Some(get) = get {
            packets.extend(soon(get).await.unwrap().body.split('\u{1e}').map(str::to_owned));
        }
        while packets.last().is_none_or(|packet| packet != "1") {
            packets.extend(client.poll().await.split('\u{1e}').map(str::to_owned));
        }
        let expected = (0..40).map(|i| format!("42[\"n\",{i}]")).chain(["41".into(), "1".into()]);
        assert_eq!(packets, expected.collect::<Vec<_>>());
        client.expect_gone().await;
    }
    until("no session is left", || server.io.client_count() == 0).await;
}

#[tokio::test]
async fn session_that_the_server_closed_hears_nothing_any_more() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let (log, mut heard) = log();
    server.io.on("late", move || {
        log.write("late");
        async {}
    });
    let client = Polling::join(&server).await;
    client.post("42[\"bye\"]\u{1e}42[\"late\"]").await;
    lines.expect(&["/ server namespace disconnect"]).await;
    client.post("42[\"late\"]\u{1e}40\u{1e}42[\"late\"]").await;
    heard.expect_silence().await;
    assert_eq!(client.poll().await, "41");
    assert_eq!(client.poll().await, "1");
}

#[tokio::test]
async fn shutdown_answers_the_get_that_waits_and_refuses_new_sessions() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let client = Polling::join(&server).await;
    let get = client.start_get();
    tokio::time::sleep(QUIET).await;
    soon(server.io.close(Duration::from_secs(2))).await;
    assert_eq!(server.io.client_count(), 0);
    assert_eq!(soon(get).await.unwrap().summary(), "200 1");
    lines.expect(&["/ server shutting down"]).await;
    client.expect_gone().await;
    let answer = crate::common::get(server.addr, crate::common::POLLING).await;
    assert_eq!(answer.status, 403, "{answer:?}");
}
