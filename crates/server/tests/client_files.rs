//! The client that the server hands out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure in a helper fails the test")]

mod common;

use common::{Answer, POLLING, TestServer, get, http, raw_with};
use flate2::read::GzDecoder;
use sockeye::Io;
use std::{fs, io::Read, path::PathBuf};

/// A directory that is removed with its owner.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("sockeye-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        for (name, content) in files {
            fs::write(path.join(name), content).unwrap();
        }
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn content() -> String {
    "/* socket.io */ ".repeat(100)
}

async fn server(name: &str) -> TestServer {
    let files = [
        ("socket.io.js", &*content()),
        ("socket.io.min.js", "min"),
        ("socket.io.min.js.map", "{}"),
        ("secret.txt", "secret"),
        ("socket.io.js.txt", "secret"),
    ];
    let directory = Directory::new(name, &files);
    TestServer::start(&Io::builder().serve_client(&directory.0).unwrap().build()).await
}

fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
}

#[tokio::test]
async fn files_are_served_with_type_and_etag() {
    let server = server("types").await;
    for (name, body, content_type) in [
        ("socket.io.js", &*content(), "application/javascript; charset=utf-8"),
        ("socket.io.min.js", "min", "application/javascript; charset=utf-8"),
        ("socket.io.min.js.map", "{}", "application/json; charset=utf-8"),
    ] {
        let answer = get(server.addr, &format!("/socket.io/{name}?v=1")).await;
        assert_eq!((answer.status, &*answer.body), (200, body));
        assert_eq!(field(&answer, "content-type"), Some(content_type));
        assert_eq!(field(&answer, "cache-control"), Some("public, max-age=0"));
        let etag = field(&answer, "etag").unwrap();
        for known in [etag.to_owned(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".into()] {
            let headers = format!("If-None-Match: {known}\r\n");
            let answer = http(server.addr, "GET", &format!("/socket.io/{name}"), &headers, b"").await;
            assert_eq!((answer.status, &*answer.body), (304, ""), "{known}");
            assert_eq!(field(&answer, "etag"), Some(etag));
        }
        let answer =
            http(server.addr, "GET", &format!("/socket.io/{name}"), "If-None-Match: \"x\"\r\n", b"").await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn clients_that_accept_gzip_get_it() {
    let server = server("gzip").await;
    let mut head = raw_with(server.addr, "/socket.io/socket.io.js", "Accept-Encoding: gzip\r\n").await;
    let body = head.split_off(head.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4);
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(
        head.contains("\r\ncontent-encoding: gzip\r\n") && head.contains("\r\nvary: accept-encoding\r\n")
    );
    let mut decoded = String::new();
    GzDecoder::new(&*body).read_to_string(&mut decoded).unwrap();
    assert_eq!(decoded, content());
}

#[tokio::test]
async fn nothing_else_is_served() {
    let server = server("else").await;
    for target in [
        "/socket.io/secret.txt",
        "/socket.io/socket.io.js.txt",
        "/socket.io/socket.io.esm.min.js",
        "/socket.io/../secret.txt",
        "/socket.io/%2e%2e/secret.txt",
        "/socket.io//socket.io.js",
        "/socket.io/x/socket.io.js",
        "/socket.io/SOCKET.IO.JS",
        "/socket.io/socket.io.js/",
        "/socket.io/socket.io%2ejs",
        "/socket.io/socket.io.js%00",
    ] {
        let answer = get(server.addr, target).await;
        assert_eq!(answer.summary(), r#"400 {"code":0,"message":"Transport unknown"}"#, "{target}");
    }
    assert_eq!(get(server.addr, "/socket.io.js").await.status, 404);
    let answer = http(server.addr, "POST", "/socket.io/socket.io.js", "", b"x").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(get(server.addr, POLLING).await.status, 200, "sessions are opened as ever");
}

#[tokio::test]
async fn nothing_is_served_by_default_and_a_directory_without_it_is_an_error() {
    let server = TestServer::with(|_| ()).await;
    assert_eq!(get(server.addr, "/socket.io/socket.io.js").await.status, 400);
    let empty = Directory::new("empty", &[("other.js", "")]);
    let error = Io::builder().serve_client(&empty.0).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(Io::builder().serve_client(empty.0.join("nowhere")).is_err());
}
