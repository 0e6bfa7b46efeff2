//! Clients of revision 3, with Socket.IO 2 on top.

use sockeye::{Auth, Binary, Data, Io, Socket};
use sockeye_tokio_websocket::Message;
use std::time::Duration;

use crate::common::{Answer, Lines, QUIET, TestServer, Ws, get, http, log, soon, usual_handlers};

const POLLING: &str = "/socket.io/?EIO=3&transport=polling";
const WEBSOCKET: &str = "/socket.io/?EIO=3&transport=websocket";

async fn server_with(change: impl FnOnce(&mut sockeye::Config)) -> (TestServer, Lines) {
    let server = TestServer::with(|config| {
        config.allow_eio3 = true;
        change(config);
    })
    .await;
    let (log, lines) = log();
    usual_handlers(&server.io);
    log.disconnections(&server.io);
    (server, lines)
}

async fn server() -> (TestServer, Lines) {
    server_with(|_| ()).await
}

/// A polling client that is connected to the main namespace.
struct Polling {
    server: std::net::SocketAddr,
    target: String,
}

impl Polling {
    async fn open(server: &TestServer, parameters: &str) -> Self {
        let answer = get(server.addr, &format!("{POLLING}{parameters}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let open = answer.body.split_once(':').unwrap().1;
        let sid = &open.strip_prefix("0{\"sid\":\"").unwrap()[..20];
        let client = Self { server: server.addr, target: format!("{POLLING}{parameters}&sid={sid}") };
        assert_eq!(client.poll().await, "2:40");
        client
    }

    async fn get(&self) -> Answer {
        get(self.server, &self.target).await
    }

    async fn poll(&self) -> String {
        let answer = self.get().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    async fn post(&self, content_type: &str, body: &[u8]) -> Answer {
        http(self.server, "POST", &self.target, &format!("Content-Type: {content_type}\r\n"), body).await
    }

    async fn expect_gone(&self) {
        assert_eq!(self.get().await.summary(), r#"400 {"code":1,"message":"Session ID unknown"}"#);
    }
}

async fn open_websocket(server: &TestServer, target: &str) -> Ws {
    let mut ws = Ws::open_at(server.addr, target).await;
    assert!(ws.next().await.starts_with("0{\"sid\":\""));
    ws.expect(&["40"]).await;
    ws
}

#[tokio::test]
async fn revision_3_is_refused_unless_it_is_allowed() {
    let server = TestServer::with(|_| ()).await;
    let answer = get(server.addr, POLLING).await;
    assert_eq!(answer.summary(), r#"400 {"code":5,"message":"Unsupported protocol version"}"#);
    assert_eq!(server.io.client_count(), 0);
}

#[tokio::test]
async fn polling_client_is_in_the_main_namespace_and_gets_payloads_with_lengths() {
    let (server, _lines) = server().await;
    let client = Polling::open(&server, "").await;
    let events = "14:42[\"echo\",\"é\"]15:42[\"echo\",\"🐟\"]";
    assert_eq!(client.post("text/plain", format!("{events}1:6").as_bytes()).await.summary(), "200 ok");
    assert_eq!(client.poll().await, events);
}

#[tokio::test]
async fn bytes_make_a_payload_binary_unless_the_client_asked_for_base64() {
    let (server, _lines) = server().await;
    let client = Polling::open(&server, "").await;
    server.io.emit("n", Binary(vec![1, 2, 0xff].into())).unwrap();
    let mut bytes = crate::common::raw(server.addr, &client.target).await;
    let body = bytes.split_off(bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4);
    assert!(String::from_utf8(bytes).unwrap().contains("content-type: application/octet-stream"));
    let event = br#"451-["n",{"_placeholder":true,"num":0}]"#;
    assert_eq!(event.len(), 39);
    let expected = [&[0, 3, 9, 0xff][..], event, &[1, 4, 0xff, 4, 1, 2, 0xff]].concat();
    assert_eq!(body, expected);

    let client = Polling::open(&server, "&b64=1").await;
    server.io.emit("n", Binary(vec![1, 2, 0xff].into())).unwrap();
    let answer = client.get().await;
    assert_eq!(answer.body, r#"39:451-["n",{"_placeholder":true,"num":0}]6:b4AQL/"#);
    assert!(answer.head.contains("content-type: text/plain; charset=utf-8"));
}

#[tokio::test]
async fn binary_payloads_are_taken_and_broken_ones_close_with_parse_error() {
    let (server, mut lines) = server().await;
    let client = Polling::open(&server, "&b64=1").await;
    let event = br#"451-["echo",{"_placeholder":true,"num":0}]"#;
    let body = [&[0, 4, 2, 0xff][..], event, &[1, 4, 0xff, 4, 1, 2, 0xff]].concat();
    assert_eq!(client.post("application/octet-stream", &body).await.summary(), "200 ok");
    assert_eq!(client.poll().await, r#"42:451-["echo",{"_placeholder":true,"num":0}]6:b4AQL/"#);
    for (content_type, body) in [
        ("application/octet-stream", &[0, 9, 9, 9, 0xff, b'4'][..]),
        ("application/octet-stream", &[7, 1, 0xff, b'4']),
        ("application/octet-stream", &[1, 1, 0xff, 2]),
        ("application/octet-stream", &[0; 10_000]),
        ("text/plain", b"99999999999999999999:4"),
        ("text/plain", "2:4🐟".as_bytes()),
        ("text/plain", b"3:\xc3\xa91234"),
        ("text/plain", b"4:b4!!"),
        ("text/plain", b"2:4\xff"),
        ("text/plain", b"42[\"echo\"]"),
        ("text/plain", b""),
    ] {
        let client = Polling::open(&server, "").await;
        client.post(content_type, body).await;
        lines.expect(&["/ parse error"]).await;
        client.expect_gone().await;
    }
}

#[tokio::test]
async fn websocket_client_pings_and_puts_the_type_in_front_of_bytes() {
    let (server, _lines) = server().await;
    let mut ws = open_websocket(&server, WEBSOCKET).await;
    ws.send("2").await;
    assert_eq!(ws.receive().await, Some(Message::text("3")));
    ws.send(r#"451-["echo",{"_placeholder":true,"num":0}]"#).await;
    ws.send_binary(&[4, 9, 8]).await;
    ws.expect(&[r#"451-["echo",{"_placeholder":true,"num":0}]"#]).await;
    assert_eq!(ws.next_binary().await, [4, 9, 8]);
    let mut ws = open_websocket(&server, &format!("{WEBSOCKET}&b64=1")).await;
    ws.send(r#"451-["echo",{"_placeholder":true,"num":0}]"#).await;
    ws.send("b4CQg=").await;
    ws.expect(&[r#"451-["echo",{"_placeholder":true,"num":0}]"#, "b4CQg="]).await;
}

#[tokio::test]
async fn bytes_that_are_no_message_close_the_websocket() {
    let (server, mut lines) = server().await;
    for bytes in [&[][..], &[2], &[b'4', 1], &[0xff]] {
        let mut ws = open_websocket(&server, WEBSOCKET).await;
        ws.send_binary(bytes).await;
        lines.expect(&["/ parse error"]).await;
        ws.expect_end().await;
    }
    let mut ws = open_websocket(&server, WEBSOCKET).await;
    ws.send("3").await;
    lines.expect(&["/ transport error"]).await;
    ws.expect_end().await;
}

#[tokio::test]
async fn silent_client_is_closed_after_interval_and_timeout_and_a_pinging_one_is_not() {
    let (server, mut lines) = server_with(|config| {
        config.ping_interval = Duration::from_millis(150);
        config.ping_timeout = Duration::from_millis(150);
    })
    .await;
    let mut ws = open_websocket(&server, WEBSOCKET).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(120)).await;
        ws.send("2").await;
        ws.expect(&["3"]).await;
    }
    lines.expect_silence().await;
    let started = std::time::Instant::now();
    lines.expect(&["/ ping timeout"]).await;
    assert!(started.elapsed() >= Duration::from_millis(100), "{:?}", started.elapsed());
}

#[tokio::test]
async fn upgrade_keeps_the_order_and_the_dialect() {
    let (server, _lines) = server().await;
    let client = Polling::open(&server, "").await;
    let sid = client.target.rsplit_once("sid=").unwrap().1.to_owned();
    let mut ws = Ws::open_at(server.addr, &format!("{WEBSOCKET}&sid={sid}")).await;
    ws.send("2probe").await;
    ws.expect(&["3probe"]).await;
    server.io.emit("n", 1).unwrap();
    server.io.emit("n", Binary(vec![7].into())).unwrap();
    ws.send("5").await;
    ws.expect(&["42[\"n\",1]", r#"451-["n",{"_placeholder":true,"num":0}]"#]).await;
    assert_eq!(ws.next_binary().await, [4, 7]);
    ws.send("2").await;
    assert_eq!(ws.receive().await, Some(Message::text("3")));
}

#[tokio::test]
async fn session_keeps_its_revision() {
    let (server, _lines) = server().await;
    let client = Polling::open(&server, "").await;
    let other = client.target.replace("EIO=3", "EIO=4");
    let refused = r#"400 {"code":3,"message":"Bad request"}"#;
    assert_eq!(get(server.addr, &other).await.summary(), refused);
    let v4 = crate::common::Polling::join(&server).await;
    assert_eq!(get(server.addr, &v4.target().replace("EIO=4", "EIO=3")).await.summary(), refused);
    server.io.emit("n", 1).unwrap();
    assert_eq!((client.poll().await, v4.poll().await), ("9:42[\"n\",1]".into(), "42[\"n\",1]".into()));
}

#[tokio::test]
async fn close_packets_have_lengths_too() {
    let (server, mut lines) = server().await;
    let client = Polling::open(&server, "").await;
    client.post("text/plain", b"9:42[\"bye\"]").await;
    lines.expect(&["/ server namespace disconnect"]).await;
    assert_eq!(client.poll().await, "2:41");
    assert_eq!(client.poll().await, "1:1");
    client.expect_gone().await;

    let client = Polling::open(&server, "").await;
    let waiting = tokio::spawn({
        let (addr, target) = (client.server, client.target.clone());
        async move { get(addr, &target).await }
    });
    tokio::time::sleep(QUIET).await;
    client.post("text/plain", b"1:1").await;
    assert_eq!(soon(waiting).await.unwrap().summary(), "200 1:6");
    lines.expect(&["/ transport close"]).await;
}

#[tokio::test]
async fn namespaces_are_joined_with_a_query_and_refused_with_plain_data() {
    let io = Io::builder().config(|config| config.allow_eio3 = true).build();
    io.of("/chat")
        .on_connection(async |socket: Socket, Auth(auth): Auth<serde_json::Value>| socket.emit("auth", auth));
    io.of("/chat").on("echo", async |Data(text): Data<String>| text);
    io.of("/admin").middleware(async |Auth(auth): Auth<serde_json::Value>| match auth["token"].as_str() {
        Some("data") => Err(sockeye::ConnectError::new("no").with_data(401)),
        Some(_) => Ok(()),
        None => Err("who are you?".into()),
    });
    let server = TestServer::start(&io).await;
    let mut ws = open_websocket(&server, WEBSOCKET).await;
    ws.send("40/chat?x=1&y=%C3%A9,").await;
    ws.expect(&["40/chat,", r#"42/chat,["auth",{"x":"1","y":"é"}]"#]).await;
    ws.send("42/chat,7[\"echo\",\"hi\"]").await;
    ws.expect(&["43/chat,7[\"hi\"]"]).await;
    ws.send("40/admin,").await;
    ws.expect(&[r#"44/admin,"who are you?""#]).await;
    ws.send("40/admin?token=data,").await;
    ws.expect(&["44/admin,401"]).await;
    ws.send("40/admin?token=x,").await;
    ws.expect(&["40/admin,"]).await;
    ws.send("40/other,").await;
    ws.expect(&[r#"44/other,"Invalid namespace""#]).await;
    ws.send("41/chat,").await;
    ws.send("40/chat,").await;
    ws.expect(&["40/chat,", r#"42/chat,["auth",{}]"#]).await;
}
