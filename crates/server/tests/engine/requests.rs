//! Requests of a session that break the rules of long-polling.

use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::common::{Lines, Polling, QUIET, TestServer, http, request, soon, usual_server};

const LIMIT: usize = 10_000;

async fn server() -> (TestServer, Lines) {
    usual_server(|config| config.max_payload_len = LIMIT).await
}

/// Sends the beginning of a request.
async fn begin(client: &Polling, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(client.addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    sleep(QUIET).await;
    stream
}

#[tokio::test]
async fn second_get_is_refused_and_ends_the_session() {
    let (server, mut lines) = server().await;
    let client = Polling::join(&server).await;
    let first = client.start_get();
    sleep(QUIET).await;
    assert_eq!(client.get().await.status, 400);
    assert_eq!(soon(first).await.unwrap().summary(), "200 1");
    lines.expect(&["/ transport error"]).await;
    client.expect_gone().await;
}

#[tokio::test]
async fn second_post_is_refused_and_ends_the_session() {
    let (server, mut lines) = server().await;
    let client = Polling::join(&server).await;
    let whole = request("POST", &client.target(), "", b"42[\"echo\"]");
    let mut first = begin(&client, &whole[..whole.len() - 3]).await;
    assert_eq!(client.post_any("3").await.status, 400);
    lines.expect(&["/ transport error"]).await;
    first.write_all(&whole[whole.len() - 3..]).await.unwrap();
    assert_eq!(soon(http::read_answer(&mut first)).await.status, 400);
    client.expect_gone().await;
}

#[tokio::test]
async fn gets_and_posts_that_follow_each_other_on_one_connection_are_fine() {
    let (server, _lines) = server().await;
    let client = Polling::join(&server).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    for i in 0..20 {
        let event = format!("42[\"echo\",{i}]");
        stream.write_all(&request("POST", &client.target(), "", event.as_bytes())).await.unwrap();
        assert_eq!(soon(http::read_answer(&mut stream)).await.summary(), "200 ok");
        stream.write_all(&request("GET", &client.target(), "", b"")).await.unwrap();
        assert_eq!(soon(http::read_answer(&mut stream)).await.body, event);
    }
}

#[tokio::test]
async fn too_large_a_post_is_answered_413_and_the_session_goes_on() {
    let (server, mut lines) = server().await;
    let client = Polling::join(&server).await;
    let fits = format!("42[\"echo\",\"{}\"]", "x".repeat(LIMIT - 13));
    assert_eq!(fits.len(), LIMIT);
    client.post(&fits).await;
    assert_eq!(client.poll().await, fits);
    assert_eq!(client.post_any(vec![b'4'; LIMIT + 1]).await.status, 413);
    // It is refused before a byte of the body arrives.
    let mut head = format!("POST {} HTTP/1.1\r\nHost: x\r\n", client.target());
    head.push_str("Content-Length: 1000000000000\r\n\r\n");
    let mut stream = begin(&client, head.as_bytes()).await;
    assert_eq!(soon(http::read_answer(&mut stream)).await.status, 413);
    client.expect_alive().await;
    lines.expect_silence().await;
}

#[tokio::test]
async fn endless_chunked_post_is_answered_413_while_it_streams() {
    let (server, mut lines) = server().await;
    let client = Polling::join(&server).await;
    let head = format!("POST {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", client.target());
    let mut stream = begin(&client, head.as_bytes()).await;
    let chunk = format!("1000\r\n{}\r\n", "4".repeat(0x1000));
    let (mut reader, mut writer) = stream.split();
    let (mut answer, mut sent_len) = (Vec::new(), 0);
    // The server stops reading: no more is taken than what the sockets hold.
    let endless = async {
        while writer.write_all(chunk.as_bytes()).await.is_ok() {
            sent_len += chunk.len();
            tokio::task::yield_now().await;
        }
        std::future::pending::<()>().await;
    };
    let answered = async { while let Ok(1..) = reader.read_buf(&mut answer).await {} };
    soon(async {
        tokio::select! {
            () = endless => {}
            () = answered => {}
        }
    })
    .await;
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{:?}", String::from_utf8_lossy(&answer));
    assert!(sent_len < 16 << 20, "{sent_len} bytes were taken");
    client.expect_alive().await;
    lines.expect_silence().await;
}

#[tokio::test]
async fn chunked_post_within_the_limit_is_fine() {
    let (server, _lines) = server().await;
    let client = Polling::join(&server).await;
    let head = format!("POST {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", client.target());
    let mut stream = begin(&client, head.as_bytes()).await;
    for chunk in ["5\r\n42[\"e\r\n", "3\r\ncho\r\n", "2\r\n\"]\r\n", "0\r\n\r\n"] {
        stream.write_all(chunk.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(soon(http::read_answer(&mut stream)).await.summary(), "200 ok");
    assert_eq!(client.poll().await, "42[\"echo\"]");
}

#[tokio::test]
async fn binary_post_is_refused_and_ends_the_session() {
    let (server, mut lines) = server().await;
    let client = Polling::join(&server).await;
    let headers = "Content-Type: application/octet-stream\r\n";
    let answer = http(server.addr, "POST", &client.target(), headers, b"\x00\x04\xff4abc").await;
    assert_eq!(answer.status, 400);
    lines.expect(&["/ transport error"]).await;
    client.expect_gone().await;
}

#[tokio::test]
async fn aborted_get_ends_the_session() {
    let (server, mut lines) = server().await;
    let client = Polling::join(&server).await;
    let stream = begin(&client, &request("GET", &client.target(), "", b"")).await;
    lines.expect_silence().await;
    drop(stream);
    lines.expect(&["/ transport error"]).await;
    client.expect_gone().await;
}

#[tokio::test]
async fn aborted_post_ends_the_session() {
    let (server, mut lines) = server().await;
    let client = Polling::join(&server).await;
    let whole = request("POST", &client.target(), "", b"42[\"echo\"]");
    let stream = begin(&client, &whole[..whole.len() - 3]).await;
    lines.expect_silence().await;
    drop(stream);
    lines.expect(&["/ transport error"]).await;
    client.expect_gone().await;
}

#[tokio::test]
async fn stalled_post_ends_with_its_session() {
    let (server, mut lines) = usual_server(|config| {
        config.ping_interval = Duration::from_millis(100);
        config.ping_timeout = Duration::from_millis(100);
    })
    .await;
    let client = Polling::join(&server).await;
    let whole = request("POST", &client.target(), "", b"42[\"echo\"]");
    let mut stream = begin(&client, &whole[..whole.len() - 3]).await;
    lines.expect(&["/ ping timeout"]).await;
    assert_eq!(http::read_answer(&mut stream).await.status, 400);
    assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), 0, "the connection ends as well");
}

#[tokio::test]
async fn other_methods_are_answered_500_and_change_nothing() {
    let (server, _lines) = server().await;
    let client = Polling::join(&server).await;
    for method in ["PUT", "DELETE", "OPTIONS"] {
        assert_eq!(http(server.addr, method, &client.target(), "", b"").await.status, 500);
    }
    client.expect_alive().await;
}
