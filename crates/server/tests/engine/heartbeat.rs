//! Pings of the server, and what happens to clients that do not answer them.

use sockeye_tokio_websocket::Message;
use std::time::{Duration, Instant};

use crate::common::{Polling, TestServer, Ws, soon, usual_server};

const INTERVAL: Duration = Duration::from_millis(60);
const TIMEOUT: Duration = Duration::from_millis(120);

async fn server() -> (TestServer, crate::common::Lines) {
    usual_server(|config| {
        config.ping_interval = INTERVAL;
        config.ping_timeout = TIMEOUT;
    })
    .await
}

#[tokio::test]
async fn client_that_answers_pings_stays() {
    let (server, mut lines) = server().await;
    let (mut ws, _) = Ws::join(&server).await;
    let polling = Polling::join(&server).await;
    let start = Instant::now();
    let websocket = async {
        while start.elapsed() < 4 * (INTERVAL + TIMEOUT) {
            assert_eq!(ws.receive().await, Some(Message::text("2")));
            ws.send("3").await;
        }
        ws.expect_alive().await;
    };
    let polled = async {
        while start.elapsed() < 4 * (INTERVAL + TIMEOUT) {
            assert_eq!(polling.poll().await, "2");
            polling.post("3").await;
        }
        polling.expect_alive().await;
    };
    tokio::join!(websocket, polled);
    lines.expect_silence().await;
}

#[tokio::test]
async fn client_that_does_not_answer_is_closed_with_ping_timeout() {
    let (server, mut lines) = server().await;
    let (mut ws, _) = Ws::join(&server).await;
    let start = Instant::now();
    lines.expect(&["/ ping timeout"]).await;
    let elapsed = start.elapsed();
    assert!(elapsed + Duration::from_millis(40) > INTERVAL + TIMEOUT, "too early: {elapsed:?}");
    assert!(elapsed < INTERVAL + TIMEOUT + Duration::from_secs(1), "too late: {elapsed:?}");
    ws.expect_end().await;

    let polling = Polling::join(&server).await;
    assert_eq!(polling.poll().await, "2");
    let get = polling.start_get();
    lines.expect(&["/ ping timeout"]).await;
    assert_eq!(soon(get).await.unwrap().summary(), "200 1");
    polling.expect_gone().await;
    assert_eq!(server.io.client_count(), 0);
}

#[tokio::test]
async fn client_that_pings_breaks_the_protocol() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let (mut ws, _) = Ws::join(&server).await;
    ws.send("2").await;
    lines.expect(&["/ transport error"]).await;
    ws.expect_end().await;
    let polling = Polling::join(&server).await;
    polling.post("2").await;
    lines.expect(&["/ transport error"]).await;
    polling.expect_gone().await;
}
