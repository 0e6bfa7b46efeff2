//! HTTP/1.1 by hand over TCP, and Engine.IO's long-polling on top of it.

use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use super::{POLLING, TestServer, soon};

/// An answer of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The status, and the body unless it is empty.
    pub(crate) fn summary(&self) -> String {
        format!("{} {}", self.status, self.body).trim_end().to_owned()
    }
}

/// A request as bytes.
pub(crate) fn request(method: &str, target: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}").into_bytes();
    if method == "POST" {
        bytes.extend_from_slice(format!("Content-Length: {len}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// Reads one answer, which has a Content-Length.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let head_len = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "no answer: {bytes:?}");
    };
    let head = String::from_utf8(bytes[..head_len].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let len: usize = len.map_or(0, |len| len.parse().unwrap());
    while bytes.len() < head_len + len {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "half an answer: {bytes:?}");
    }
    // Behind the answer to an upgrade come frames.
    let body = String::from_utf8(bytes[head_len..head_len + len].to_vec()).unwrap();
    Answer { status, head, body }
}

/// Sends a request on a connection of its own.
pub(crate) async fn http(addr: SocketAddr, method: &str, target: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&request(method, target, headers, body)).await.unwrap();
    soon(read_answer(&mut stream)).await
}

/// The answer to a GET as bytes, whose connection ends with it.
pub(crate) async fn raw(addr: SocketAddr, target: &str) -> Vec<u8> {
    raw_with(addr, target, "").await
}

/// The same with more header fields in the request.
pub(crate) async fn raw_with(addr: SocketAddr, target: &str, headers: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&request("GET", target, &format!("Connection: close\r\n{headers}"), b"")).await.unwrap();
    let mut bytes = Vec::new();
    soon(stream.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

pub(crate) async fn get(addr: SocketAddr, target: &str) -> Answer {
    http(addr, "GET", target, "", b"").await
}

/// A client over long-polling.
#[derive(Clone)]
pub(crate) struct Polling {
    pub(crate) addr: SocketAddr,
    pub(crate) sid: String,
    /// The open packet, without its type.
    pub(crate) open: String,
}

impl Polling {
    pub(crate) async fn open_at(addr: SocketAddr) -> Self {
        let answer = get(addr, POLLING).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let open = answer.body.strip_prefix('0').unwrap().to_owned();
        let sid = open.strip_prefix("{\"sid\":\"").unwrap()[..20].to_owned();
        Self { addr, sid, open }
    }

    pub(crate) async fn open(server: &TestServer) -> Self {
        Self::open_at(server.addr).await
    }

    /// A client in the main namespace.
    pub(crate) async fn join(server: &TestServer) -> Self {
        let client = Self::open(server).await;
        client.post("40").await;
        assert!(client.poll().await.starts_with("40{\"sid\":"));
        client
    }

    pub(crate) fn target(&self) -> String {
        format!("{POLLING}&sid={}", self.sid)
    }

    pub(crate) async fn get(&self) -> Answer {
        get(self.addr, &self.target()).await
    }

    /// The packets of the next GET.
    pub(crate) async fn poll(&self) -> String {
        let answer = self.get().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// A GET that waits; it is on its way to the server.
    pub(crate) fn start_get(&self) -> JoinHandle<Answer> {
        let client = self.clone();
        tokio::spawn(async move { client.get().await })
    }

    pub(crate) async fn post_any(&self, body: impl AsRef<[u8]>) -> Answer {
        http(self.addr, "POST", &self.target(), "", body.as_ref()).await
    }

    pub(crate) async fn post(&self, body: &str) {
        let answer = self.post_any(body).await;
        assert_eq!(answer.summary(), "200 ok");
    }

    /// The server does not know the session any more.
    pub(crate) async fn expect_gone(&self) {
        assert_eq!(self.get().await.summary(), r#"400 {"code":1,"message":"Session ID unknown"}"#);
    }

    /// The session ends; meanwhile answers may still come.
    pub(crate) async fn expect_gone_soon(&self) {
        while soon(self.get()).await.status == 200 {}
        self.expect_gone().await;
    }

    /// The server still answers.
    pub(crate) async fn expect_alive(&self) {
        self.post("4299[\"alive\"]").await;
        assert_eq!(self.poll().await, "4399[]");
    }
}
