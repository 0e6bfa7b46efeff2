//! A server whose clients speak msgpack.

use bytes::Bytes;
use serde_json::{Value, json};
use sockeye::{
    Ack, Args, Auth, Binary, ConnectError, Data, DisconnectReason, EventArgs, Io, Parser, RawArgs, Socket,
};
use sockeye_socketio::{Limits, OwnedArgs, PacketType, msgpack};
use std::time::Duration;

use crate::common::{Lines, Polling, TestServer, WEBSOCKET, Ws, log, usual_handlers};

/// A packet as the client sees it.
#[derive(Debug, PartialEq)]
struct Seen {
    packet_type: PacketType,
    namespace: String,
    ack_id: Option<u64>,
    /// The payload as JSON; placeholders stand for bytes.
    data: String,
    attachments: Vec<Bytes>,
}

fn seen(message: Vec<u8>) -> Seen {
    let message = Bytes::from(message);
    let packet = msgpack::Packet::decode(&message, &Limits::default()).unwrap();
    let (data, attachments) = match packet.packet_type {
        PacketType::Event => {
            let event = packet.event().unwrap();
            let (array, attachments) = event.args.to_text();
            (format!("{} {array}", event.name), attachments)
        }
        PacketType::Ack => packet.ack().unwrap().to_text(),
        _ => (packet.payload_json().unwrap(), Vec::new()),
    };
    let (packet_type, namespace, ack_id) = (packet.packet_type, packet.namespace.to_owned(), packet.ack_id);
    Seen { packet_type, namespace, ack_id, data, attachments }
}

/// The client's end.
struct Client(Ws);

impl Client {
    async fn open(server: &TestServer) -> Self {
        let mut ws = Ws::open_at(server.addr, WEBSOCKET).await;
        assert!(ws.next().await.starts_with("0{\"sid\":\""));
        Self(ws)
    }

    async fn join(server: &TestServer) -> (Self, String) {
        let mut client = Self::open(server).await;
        let id = client.connect("/").await;
        (client, id)
    }

    async fn connect(&mut self, namespace: &str) -> String {
        let mut message = Vec::new();
        msgpack::encode_connect(&mut message, namespace, None::<&()>).unwrap();
        self.0.send_binary(&message).await;
        let reply = self.next().await;
        assert_eq!((reply.packet_type, &*reply.namespace), (PacketType::Connect, namespace));
        let sid: Value = serde_json::from_str(&reply.data).unwrap();
        sid["sid"].as_str().unwrap().to_owned()
    }

    async fn emit(&mut self, event: &str, ack_id: Option<u64>, args: impl EventArgs) {
        self.0.send_binary(&encoded(event, ack_id, args)).await;
    }

    async fn next(&mut self) -> Seen {
        seen(self.0.next_binary().await)
    }

    async fn expect(&mut self, data: &str) {
        assert_eq!(self.next().await.data, data);
    }
}

fn encoded(event: &str, ack_id: Option<u64>, args: impl EventArgs) -> Vec<u8> {
    let mut message = Vec::new();
    msgpack::encode_event(&mut message, "/", ack_id, event, &args).unwrap();
    message
}

async fn server() -> (TestServer, Lines) {
    let server = TestServer::start(&Io::builder().parser(Parser::MsgPack).build()).await;
    let (log, lines) = log();
    usual_handlers(&server.io);
    log.disconnections(&server.io);
    (server, lines)
}

#[tokio::test]
async fn events_and_their_bytes_go_both_ways() {
    let (server, _lines) = server().await;
    server.io.on("typed", async |socket: Socket, Args((name, bytes)): Args<(String, Binary)>| {
        socket.emit("typed", (name, bytes.len(), bytes, json!({ "deep": [1.5, null] })))
    });
    let (mut client, _) = Client::join(&server).await;
    let image = Binary::from(&b"\x89PNG"[..]);
    client.emit("typed", None, ("a.png", image)).await;
    let seen = client.next().await;
    assert_eq!(seen.data, r#"typed ["a.png",4,{"_placeholder":true,"num":0},{"deep":[1.5,null]}]"#);
    assert_eq!(
        (seen.packet_type, seen.attachments),
        (PacketType::Event, vec![Bytes::from_static(b"\x89PNG")])
    );
    client.emit("echo", None, (1, "two", Binary::from(&b"3"[..]), json!({ "k": true }))).await;
    client.expect(r#"echo [1,"two",{"_placeholder":true,"num":0},{"k":true}]"#).await;
}

#[tokio::test]
async fn what_json_lacks_is_passed_on_as_it_came() {
    let (server, _lines) = server().await;
    let (mut client, _) = Client::join(&server).await;
    let args = b"\xd4\x00\x00\xd7\x00\x00\x00\x01\xa2\x0d\xf0\xdc\x9b\xc7\x02\x05ab";
    let event = [b"\x83\xa4type\x02\xa4data\x94\xa4echo".as_slice(), args, b"\xa3nsp\xa1/"].concat();
    client.0.send_binary(&event).await;
    let answer = client.0.next_binary().await;
    let expected = [b"\x94\xa4echo".as_slice(), args].concat();
    let at = answer.windows(4).position(|window| window == b"data").unwrap() + 4;
    assert_eq!(answer[at..at + expected.len()], expected, "{answer:x?}");
}

#[tokio::test]
async fn acknowledgements_go_both_ways() {
    let (server, _lines) = server().await;
    server.io.on("sum", async |Args((a, b)): Args<(u32, u32)>| a + b);
    server.io.on("several", async |args: RawArgs, ack: Ack| ack.send(args));
    server.io.on("ask", async |socket: Socket| {
        let answer =
            socket.timeout(Duration::from_secs(5)).emit_with_ack::<Args<(String, Binary)>, _>("who?", ());
        let Args((name, bytes)) = answer.await.unwrap();
        socket.emit("answer", (name, bytes.len()))
    });
    let (mut client, _) = Client::join(&server).await;
    client.emit("sum", Some(7), (40, 2)).await;
    let answer = client.next().await;
    assert_eq!((answer.packet_type, answer.ack_id, &*answer.data), (PacketType::Ack, Some(7), "[42]"));
    client.emit("several", Some(300), (1, Binary::from(&b"2"[..]))).await;
    client.expect(r#"[1,{"_placeholder":true,"num":0}]"#).await;
    client.emit("sum", Some(8), ("forty", 2)).await;
    client.expect(r#"[{"error":"invalid arguments"}]"#).await;
    client.emit("ask", None, ()).await;
    let question = client.next().await;
    assert_eq!(question.data, "who? []");
    let mut answer = Vec::new();
    let args = ("ann", Binary::from(&b"123"[..]));
    msgpack::encode_ack(&mut answer, "/", question.ack_id.unwrap(), &args).unwrap();
    client.0.send_binary(&answer).await;
    client.expect(r#"answer ["ann",3]"#).await;
}

#[tokio::test]
async fn namespaces_are_joined_refused_and_left() {
    let (server, mut lines) = server().await;
    let admin = server.io.of("/admin");
    admin.middleware(async |Auth(auth): Auth<Value>| {
        let refusal = ConnectError::new("unauthorized").with_data(json!({ "status": 401 }));
        if auth["token"] == "secret" { Ok(()) } else { Err(refusal) }
    });
    admin.on_connection(async |socket: Socket| socket.disconnect(false));
    let (mut client, _) = Client::join(&server).await;
    for (namespace, auth, refusal) in [
        ("/none", None, r#"{"message":"Invalid namespace"}"#),
        ("/admin", None, r#"{"message":"unauthorized","data":{"status":401}}"#),
        ("/admin", Some(json!({ "token": "guess" })), r#"{"message":"unauthorized","data":{"status":401}}"#),
    ] {
        let mut message = Vec::new();
        msgpack::encode_connect(&mut message, namespace, auth.as_ref()).unwrap();
        client.0.send_binary(&message).await;
        let answer = client.next().await;
        assert_eq!((answer.packet_type, &*answer.namespace), (PacketType::ConnectError, namespace));
        assert_eq!(answer.data, refusal);
    }
    let mut message = Vec::new();
    msgpack::encode_connect(&mut message, "/admin", Some(&json!({ "token": "secret" }))).unwrap();
    client.0.send_binary(&message).await;
    assert_eq!(client.next().await.packet_type, PacketType::Connect);
    let end = client.next().await;
    assert_eq!((end.packet_type, &*end.namespace, &*end.data), (PacketType::Disconnect, "/admin", ""));

    message.clear();
    msgpack::encode_disconnect(&mut message, "/").unwrap();
    client.0.send_binary(&message).await;
    let reason = DisconnectReason::ClientNamespaceDisconnect;
    lines.expect(&[&format!("/ {reason}")]).await;
}

#[tokio::test]
async fn broadcasts_reach_rooms() {
    let (server, _lines) = server().await;
    let (mut first, id) = Client::join(&server).await;
    let (mut second, _) = Client::join(&server).await;
    server.io.socket(&id).unwrap().join("room");
    server.io.to("room").emit("news", ("a", Binary::from(&b"b"[..]))).unwrap();
    server.io.except("room").emit("others", 1).unwrap();
    first.expect(r#"news ["a",{"_placeholder":true,"num":0}]"#).await;
    second.expect("others [1]").await;
}

#[tokio::test]
async fn packets_travel_over_polling_too() {
    let (server, _lines) = server().await;
    let client = Polling::open(&server).await;
    let mut message = Vec::new();
    msgpack::encode_connect(&mut message, "/", None::<&()>).unwrap();
    client.post(&base64(&message)).await;
    assert!(client.poll().await.starts_with('b'));
    client
        .post(&[base64(&encoded("alive", Some(1), ())), base64(&encoded("echo", None, "x"))].join("\u{1e}"))
        .await;
    let mut acknowledgement = Vec::new();
    msgpack::encode_ack(&mut acknowledgement, "/", 1, &()).unwrap();
    let expected = [base64(&acknowledgement), base64(&encoded("echo", None, "x"))].join("\u{1e}");
    assert_eq!(client.poll().await, expected);
}

/// A binary message as a packet of a polling payload.
fn base64(message: &[u8]) -> String {
    let mut payload = Vec::new();
    sockeye_engineio::PayloadEncoder::new(&mut payload).push_binary(message);
    String::from_utf8(payload).unwrap()
}

#[tokio::test]
async fn what_is_no_packet_closes_the_connection() {
    let (server, mut lines) = server().await;
    let deep = [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e".as_slice(), &[0x91; 100_000]].concat();
    for message in [
        &b""[..],
        b"\xc1",
        b"\x80",
        b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x90",
        b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xaadisconnect",
        b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e\xdd\xff\xff\xff\xff",
        b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e\xa1\xff",
        b"\x82\xa4type\x05\xa3nsp\xa1/",
        &deep,
    ] {
        let (mut client, _) = Client::join(&server).await;
        client.0.send_binary(message).await;
        lines.expect(&["/ forced close"]).await;
        client.0.expect_end().await;
    }
    let (mut client, _) = Client::join(&server).await;
    client.0.send("42[\"alive\"]").await;
    lines.expect(&["/ forced close"]).await;
    client.0.expect_end().await;
}

#[tokio::test]
async fn state_is_guarded_as_with_json() {
    let (server, mut lines) = server().await;
    let (mut client, _) = Client::join(&server).await;
    let mut message = Vec::new();
    msgpack::encode_connect(&mut message, "/", None::<&()>).unwrap();
    client.0.send_binary(&message).await;
    lines.expect(&["/ forced close"]).await;
    client.0.expect_end().await;
    let (mut client, _) = Client::join(&server).await;
    message.clear();
    msgpack::encode_event(&mut message, "/other", None, "e", &()).unwrap();
    client.0.send_binary(&message).await;
    lines.expect(&["/ forced close"]).await;
}

#[tokio::test]
async fn arguments_that_nobody_reads_are_kept_unread() {
    let (server, _lines) = server().await;
    server.io.on("first", async |Data(n): Data<u8>| u32::from(n));
    let (mut client, _) = Client::join(&server).await;
    client.emit("first", Some(1), (7, vec![0; 1000])).await;
    client.expect("[7]").await;
    let owned = OwnedArgs::from(sockeye_socketio::Args::from_array("[1,2]").unwrap());
    client.emit("echo", None, owned).await;
    client.expect("echo [1,2]").await;
}
