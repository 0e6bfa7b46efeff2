//! permessage-deflate of WebSockets: what is compressed on the wire, and what is not.

use sockeye::{DeflateConfig, Socket};
use sockeye_tokio_websocket::{
    Connector, Message, Options,
    codec::{FrameHeader, OpCode, mask::mask},
    deflate::compress_stand_alone,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::common::{Lines, TestServer, WEBSOCKET, Ws, soon, usual_server};

/// A text that shrinks.
const LONG: &str = "sockeye ";

const KEY: [u8; 4] = [1, 2, 3, 4];

async fn deflate_server() -> (TestServer, Lines) {
    let (server, lines) =
        usual_server(|config| config.per_message_deflate = Some(DeflateConfig::default())).await;
    server.io.on("big", async |socket: Socket| socket.emit("big", LONG.repeat(200)));
    server.io.on("plain", async |socket: Socket| socket.compress(false).emit("big", LONG.repeat(200)));
    (server, lines)
}

/// A client that sees frames as they are on the wire.
struct Wire(TcpStream);

impl Wire {
    /// A client in the main namespace that offers permessage-deflate; and whether the server took it.
    async fn join(server: &TestServer) -> (Self, bool) {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        let request = format!(
            "GET {WEBSOCKET} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(stream.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        let mut wire = Self(stream);
        assert!(wire.next().await.1.starts_with(b"0{"));
        wire.send("40").await;
        assert!(wire.next().await.1.starts_with(b"40{"));
        (wire, head.contains("permessage-deflate"))
    }

    async fn send_frame(&mut self, header: FrameHeader, payload: &[u8]) {
        let (bytes, len) = FrameHeader { masking_key: Some(KEY), ..header }.encode();
        let mut masked = payload.to_vec();
        mask(&mut masked, KEY, 0);
        self.0.write_all(&[&bytes[..len], &masked].concat()).await.unwrap();
    }

    async fn send(&mut self, packet: &str) {
        self.send_frame(FrameHeader::new(OpCode::Text, packet.len() as u64), packet.as_bytes()).await;
    }

    /// The next frame: its first byte, and its payload as it is.
    async fn next(&mut self) -> (u8, Vec<u8>) {
        let first = soon(self.0.read_u8()).await.unwrap();
        let len = match self.0.read_u8().await.unwrap() {
            126 => usize::from(self.0.read_u16().await.unwrap()),
            127 => usize::try_from(self.0.read_u64().await.unwrap()).unwrap(),
            len => usize::from(len),
        };
        let mut payload = vec![0; len];
        soon(self.0.read_exact(&mut payload)).await.unwrap();
        (first, payload)
    }
}

#[tokio::test]
async fn nothing_is_negotiated_by_default() {
    let (server, _lines) = usual_server(|_| ()).await;
    server.io.on("big", async |socket: Socket| socket.emit("big", LONG.repeat(200)));
    let (mut wire, agreed) = Wire::join(&server).await;
    assert!(!agreed);
    wire.send("42[\"big\"]").await;
    assert_eq!(wire.next().await.0, 0x81);
}

#[tokio::test]
async fn messages_from_the_threshold_on_are_compressed_and_others_are_not() {
    let (server, _lines) = deflate_server().await;
    let (mut wire, agreed) = Wire::join(&server).await;
    assert!(agreed);
    wire.send("42[\"big\"]").await;
    let (first, payload) = wire.next().await;
    assert_eq!(first, 0xC1, "RSV1 tells that it is compressed");
    assert!(payload.len() < 100, "{}", payload.len());
    wire.send("42[\"echo\",\"short\"]").await;
    assert_eq!(wire.next().await, (0x81, b"42[\"echo\",\"short\"]".to_vec()));
    // An attachment is a message of its own.
    server.io.emit("bytes", sockeye::Binary(vec![7; 5000].into())).unwrap();
    assert_eq!(wire.next().await.0, 0x81);
    let (first, payload) = wire.next().await;
    assert_eq!(first, 0xC2);
    assert!(payload.len() < 100, "{}", payload.len());
}

#[tokio::test]
async fn what_is_not_to_be_compressed_is_sent_as_it_is() {
    let (server, _lines) = deflate_server().await;
    let (mut wire, _) = Wire::join(&server).await;
    let plain = format!("42[\"big\",\"{}\"]", LONG.repeat(200)).into_bytes();
    wire.send("42[\"plain\"]").await;
    assert_eq!(wire.next().await, (0x81, plain.clone()));
    server.io.compress(false).emit("big", LONG.repeat(200)).unwrap();
    assert_eq!(wire.next().await, (0x81, plain));
}

#[tokio::test]
async fn broadcast_reaches_clients_that_compress_and_clients_that_do_not() {
    let (server, _lines) = deflate_server().await;
    let (mut wire, _) = Wire::join(&server).await;
    let (mut ws, _) = Ws::join(&server).await;
    let options = Options { deflate: Some(DeflateConfig::default()), ..Options::default() };
    let url = format!("ws://{}{WEBSOCKET}", server.addr);
    let (socket, _) = soon(Connector::new().options(options).connect(&url)).await.unwrap();
    let mut compressing = Ws { socket };
    assert!(compressing.next().await.starts_with('0'));
    compressing.connect("").await;
    for n in 0..3 {
        let text = LONG.repeat(300 + n);
        server.io.emit("news", &text).unwrap();
        let packet = format!("42[\"news\",\"{text}\"]");
        ws.expect(&[&packet]).await;
        compressing.expect(&[&packet]).await;
        assert_eq!(wire.next().await.0, 0xC1);
    }
    // What a client compresses is taken like anything else.
    let event = format!("42[\"echo\",\"{}\"]", LONG.repeat(1000));
    soon(compressing.socket.send(Message::text(event.as_str()))).await.unwrap();
    compressing.expect(&[&event]).await;
}

#[tokio::test]
async fn compression_bomb_closes_its_session_and_no_other() {
    let (server, mut lines) = deflate_server().await;
    let (mut ws, _) = Ws::join(&server).await;
    let (mut wire, _) = Wire::join(&server).await;
    let mut bomb = Vec::new();
    compress_stand_alone(&vec![b'4'; 20_000_000], 9, 15, &mut bomb);
    assert!(bomb.len() < 100_000);
    let header = FrameHeader { rsv1: true, ..FrameHeader::new(OpCode::Text, bomb.len() as u64) };
    wire.send_frame(header, &bomb).await;
    let (first, payload) = wire.next().await;
    assert_eq!((first, &payload[..2]), (0x88, &1009_u16.to_be_bytes()[..]));
    drop(wire);
    lines.expect(&["/ transport error"]).await;
    ws.expect_alive().await;
}

#[tokio::test]
async fn packets_of_polling_clients_are_the_same_with_the_option() {
    let (server, _lines) = deflate_server().await;
    let client = crate::common::Polling::join(&server).await;
    client.post("42[\"big\"]").await;
    assert_eq!(client.poll().await, format!("42[\"big\",\"{}\"]", LONG.repeat(200)));
}
