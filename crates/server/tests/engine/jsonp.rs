//! Polling by JSONP.

use sockeye::Binary;
use std::net::SocketAddr;

use crate::common::{Answer, TestServer, get, http, usual_server};

struct Page {
    addr: SocketAddr,
    target: String,
    index: u32,
}

impl Page {
    async fn join(server: &TestServer, revision: u8, index: u32) -> Self {
        let target = format!("/socket.io/?EIO={revision}&transport=polling&j={index}");
        let mut page = Self { addr: server.addr, target, index };
        let open = page.poll().await;
        let at = open.find("{\"sid\":\"").unwrap() + 8;
        page.target = format!("{}&sid={}", page.target, &open[at..at + 20]);
        if revision == 4 {
            page.post("d=40").await;
            assert!(page.poll().await.starts_with("40{\"sid\":"));
        } else {
            assert_eq!(page.poll().await, "2:40");
        }
        page
    }

    /// The payload that the next script hands to the page.
    async fn poll(&self) -> String {
        let answer = get(self.addr, &self.target).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.head.contains("content-type: text/plain; charset=utf-8"));
        let call = format!("___eio[{}](", self.index);
        let string = answer.body.strip_prefix(&call).and_then(|rest| rest.strip_suffix(");"));
        serde_json::from_str(string.unwrap_or_else(|| panic!("no call: {}", answer.body))).unwrap()
    }

    async fn post_any(&self, form: &[u8]) -> Answer {
        let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
        http(self.addr, "POST", &self.target, headers, form).await
    }

    async fn post(&self, form: &str) {
        assert_eq!(self.post_any(form.as_bytes()).await.summary(), "200 ok");
    }
}

#[tokio::test]
async fn answers_are_scripts_and_posts_are_forms() {
    let (server, _lines) = usual_server(|_| ()).await;
    let page = Page::join(&server, 4, 12).await;
    // As the official page writes them: a line feed as `\n`, the two characters `\n` with a backslash more.
    page.post("d=42%5B%22echo%22%2C%5Cn%22a%5C%5Cnb+%26%E2%80%A8%22%5D").await;
    // The line feed between the arguments is no part of them.
    assert_eq!(page.poll().await, "42[\"echo\",\"a\\nb &\u{2028}\"]");
    let answer = {
        server.io.emit("n", "\u{2028}\u{2029}").unwrap();
        get(server.addr, &page.target).await
    };
    assert_eq!(answer.body, r#"___eio[12]("42[\"n\",\"\u2028\u2029\"]");"#);
}

#[tokio::test]
async fn bytes_are_base64_in_either_revision() {
    let (server, _lines) = usual_server(|config| config.allow_eio3 = true).await;
    let (v4, v3) = (Page::join(&server, 4, 0).await, Page::join(&server, 3, 0).await);
    server.io.emit("n", Binary(vec![1, 2, 3].into())).unwrap();
    let event = r#"451-["n",{"_placeholder":true,"num":0}]"#;
    assert_eq!(v4.poll().await, format!("{event}\u{1e}bAQID"));
    assert_eq!(v3.poll().await, format!("39:{event}6:b4AQID"));
    v3.post("d=12%3A42%5B%22echo%22%2C1%5D").await;
    assert_eq!(v3.poll().await, "12:42[\"echo\",1]");
}

#[tokio::test]
async fn form_without_a_payload_is_taken_and_a_broken_one_closes() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let page = Page::join(&server, 4, 1).await;
    for form in ["", "x=1", "d=1&d=1"] {
        page.post(form).await;
    }
    server.io.emit("n", 1).unwrap();
    assert_eq!(page.poll().await, "42[\"n\",1]");
    for form in [&b"d=%"[..], b"d=%ff", b"d=\xff", b"d=4%E2%80", b"d="] {
        let page = Page::join(&server, 4, 1).await;
        page.post_any(form).await;
        lines.expect(&["/ parse error"]).await;
    }
}

#[tokio::test]
async fn index_is_digits_whatever_is_asked_for() {
    let (server, _lines) = usual_server(|_| ()).await;
    for (index, call) in [("0);alert(1)//", "___eio[01](\""), ("", "___eio[](\""), ("x", "___eio[](\"")] {
        let index = index.replace('/', "%2F");
        let answer = get(server.addr, &format!("/socket.io/?EIO=4&transport=polling&j={index}")).await;
        assert!(answer.body.starts_with(call), "{}", answer.body);
    }
}

#[tokio::test]
async fn pages_that_hide_their_origin_are_refused_where_it_matters() {
    let target = "/socket.io/?EIO=4&transport=polling&j=0";
    let off = TestServer::with(|config| config.jsonp = false).await;
    let policed = TestServer::start(&sockeye::Io::builder().same_origin().build()).await;
    for server in [off, policed] {
        let answer = get(server.addr, target).await;
        assert_eq!(answer.summary(), r#"403 {"code":4,"message":"Origin not allowed"}"#);
        assert_eq!(get(server.addr, crate::common::POLLING).await.status, 200);
    }
}
