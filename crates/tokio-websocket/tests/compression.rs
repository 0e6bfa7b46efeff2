//! permessage-deflate (RFC 7692) between a server and a client over real sockets: negotiation, messages, hostile input.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure in a helper fails the test")]

mod support;

use sockeye_tokio_websocket::{
    Acceptor, Connector, Error, Message, MessageKind, Options, StreamEvent, WebSocket,
    codec::{FrameHeader, OpCode, ProtocolError, mask::mask},
    deflate::{self, compress_stand_alone},
};
use std::{future::Future, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const KEY: [u8; 4] = [1, 2, 3, 4];

fn options(deflate: deflate::Config) -> Options {
    let config = sockeye_tokio_websocket::Config::default().with_max_message_len(1 << 20);
    Options { deflate: Some(deflate), config, ..Options::default() }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("done in time")
}

/// A server that echoes whole messages; its task ends with what ended the connection.
async fn echo_server(options: Options) -> (String, JoinHandle<Result<(), Error>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut socket = Acceptor::new().options(options).accept(stream).await?;
        while let Some(message) = socket.receive().await {
            let message = message?;
            if message.is_data() {
                socket.send(message).await?;
            }
        }
        Ok(())
    });
    (url, server)
}

/// Sends a request with these extensions by hand; returns the stream and the extensions of the answer.
async fn offer(url: &str, extensions: &[&str]) -> (TcpStream, Option<String>) {
    let address = url.trim_start_matches("ws://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for extension in extensions {
        request += &format!("Sec-WebSocket-Extensions: {extension}\r\n");
    }
    stream.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let line = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    (stream, line.map(Into::into))
}

fn frame(fin: bool, rsv1: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { fin, rsv1, opcode, masking_key: Some(KEY), payload_len: payload.len() as u64 };
    let (bytes, len) = header.encode();
    let mut frame = bytes[..len].to_vec();
    frame.extend_from_slice(payload);
    mask(&mut frame[len..], KEY, 0);
    frame
}

fn compressed(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress_stand_alone(payload, 6, 15, &mut out);
    out
}

fn json(seed: usize) -> String {
    (0..100).map(|i| format!("{{\"id\":{},\"name\":\"user {}\"}},", seed * i, i * i % 97)).collect()
}

/// Sends `wire` to a server that compresses and expects its Close with `code`.
async fn fails_with(wire: Vec<u8>, code: u16, expected: fn(&ProtocolError) -> bool) {
    let (url, server) = echo_server(options(deflate::Config::default())).await;
    let (mut stream, agreed) = offer(&url, &["permessage-deflate"]).await;
    assert!(agreed.is_some());
    stream.write_all(&wire).await.unwrap();
    let mut answer = Vec::new();
    in_time(stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, [&[0x88, 2][..], &code.to_be_bytes()].concat());
    drop(stream);
    match in_time(server).await.unwrap() {
        Err(Error::Protocol(error)) if expected(&error) => {}
        other => panic!("{other:?}"),
    }
}

async fn echo_of_many(client: deflate::Config, server: deflate::Config) {
    let (url, task) = echo_server(options(server)).await;
    let connector = Connector::new().options(options(client));
    let (mut socket, response) = connector.connect(&url).await.unwrap();
    assert!(response.deflate.is_some(), "{client:?}, {server:?}");
    for seed in 0..20 {
        let message = Message::text(json(seed));
        socket.send(message.clone()).await.unwrap();
        assert_eq!(in_time(socket.receive()).await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    in_time(task).await.unwrap().unwrap();
}

#[tokio::test]
async fn messages_are_echoed_with_every_combination_of_contexts_and_windows() {
    for client_context in [false, true] {
        for server_context in [false, true] {
            for window_bits in [9, 15] {
                let config = deflate::Config {
                    own_context_takeover: client_context,
                    peer_context_takeover: server_context,
                    max_own_window_bits: window_bits,
                    max_peer_window_bits: window_bits,
                    ..deflate::Config::default()
                };
                let server = deflate::Config {
                    own_context_takeover: server_context,
                    peer_context_takeover: client_context,
                    ..deflate::Config::default()
                };
                echo_of_many(config, server).await;
            }
        }
    }
}

#[tokio::test]
async fn one_side_that_does_not_compress_leaves_messages_as_they_are() {
    let (url, task) = echo_server(Options::default()).await;
    let connector = Connector::new().options(options(deflate::Config::default()));
    let (mut socket, response) = connector.connect(&url).await.unwrap();
    assert_eq!(response.deflate, None);
    socket.send(json(1).as_str()).await.unwrap();
    assert_eq!(in_time(socket.receive()).await.unwrap().unwrap(), Message::text(json(1)));
    socket.close(None).await.unwrap();
    in_time(task).await.unwrap().unwrap();
}

#[tokio::test]
async fn offers_are_answered_and_bad_ones_declined_without_an_error() {
    /// What is offered, and which parameters the answer must tell; `None` when nothing is agreed.
    type Case = (deflate::Config, &'static [&'static str], Option<&'static [&'static str]>);
    let context = deflate::Config {
        own_context_takeover: true,
        peer_context_takeover: true,
        ..deflate::Config::default()
    };
    let cases: [Case; 8] = [
        (context, &["permessage-deflate"], Some(&[])),
        (
            deflate::Config::default(),
            &["permessage-deflate"],
            Some(&["server_no_context_takeover", "client_no_context_takeover"]),
        ),
        (context, &["permessage-deflate; server_max_window_bits=10"], Some(&["server_max_window_bits=10"])),
        (context, &["permessage-deflate; server_max_window_bits=8"], None),
        (context, &["permessage-deflate; server_max_window_bits=200", "permessage-deflate"], Some(&[])),
        (context, &["permessage-deflate; unknown, x-other; a=b"], None),
        (context, &["permessage-deflate; server_max_window_bits=9; server_max_window_bits=9"], None),
        (context, &["x-webkit-deflate-frame", "permessage-deflate; client_max_window_bits"], Some(&[])),
    ];
    for (config, offers, expected) in cases {
        let (url, task) = echo_server(options(config)).await;
        let (mut stream, agreed) = offer(&url, offers).await;
        match expected {
            None => assert_eq!(agreed, None, "{offers:?}"),
            Some(parameters) => {
                let agreed = agreed.unwrap_or_else(|| panic!("{offers:?} was declined"));
                assert!(agreed.starts_with("permessage-deflate"), "{agreed}");
                for parameter in parameters {
                    assert!(agreed.contains(parameter), "{offers:?}: {agreed}");
                }
            }
        }
        // Whatever was agreed, an uncompressed message is echoed.
        stream.write_all(&frame(true, false, OpCode::Text, b"hello")).await.unwrap();
        let mut echo = [0; 7];
        in_time(stream.read_exact(&mut echo)).await.unwrap();
        assert_eq!(&echo, b"\x81\x05hello", "{offers:?}");
        stream.write_all(&frame(true, false, OpCode::Close, b"")).await.unwrap();
        in_time(task).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn server_that_answers_what_was_not_offered_fails_the_handshake() {
    for answer in [
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; unknown",
        "permessage-deflate, permessage-deflate",
        "x-other",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
            let accept = sockeye_tokio_websocket::codec::handshake::accept_key(key.as_bytes());
            let response = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Extensions: {answer}\r\n\r\n"
            );
            stream.write_all(response.as_bytes()).await.unwrap();
            let _ = stream.read_u8().await;
        });
        let connector = Connector::new().options(options(deflate::Config::default()));
        let result = in_time(connector.connect(&url)).await;
        assert!(matches!(result, Err(Error::Handshake(_))), "{answer}: {result:?}");
        drop(result);
        in_time(server).await.unwrap();
    }
}

#[tokio::test]
async fn bomb_fails_with_1009_on_the_wire_also_nested_in_fragments() {
    let bomb = compressed(&vec![0; 64 << 20]);
    let too_long = |error: &ProtocolError| matches!(error, ProtocolError::MessageTooLong { .. });
    fails_with(frame(true, true, OpCode::Binary, &bomb), 1009, too_long).await;
    let mut wire = Vec::new();
    for (i, piece) in bomb.chunks(1000).enumerate() {
        let opcode = if i == 0 { OpCode::Binary } else { OpCode::Continuation };
        wire.extend(frame(false, i == 0, opcode, piece));
    }
    fails_with(wire, 1009, too_long).await;
}

#[tokio::test]
async fn rsv1_where_it_must_not_be_fails_with_1002_on_the_wire() {
    let reserved = |error: &ProtocolError| *error == ProtocolError::ReservedBits;
    let first = frame(false, true, OpCode::Text, &compressed(b"a"));
    let continuation = [first, frame(true, true, OpCode::Continuation, b"")].concat();
    fails_with(continuation, 1002, reserved).await;
    fails_with(frame(true, true, OpCode::Ping, b""), 1002, reserved).await;
}

#[tokio::test]
async fn corrupt_and_unterminated_streams_fail_with_1007_on_the_wire() {
    let invalid = |error: &ProtocolError| *error == ProtocolError::InvalidCompression;
    fails_with(frame(true, true, OpCode::Text, b"\xFF\xFF\xFF\xFF"), 1007, invalid).await;
    let whole = compressed(json(3).as_bytes());
    fails_with(frame(true, true, OpCode::Text, &whole[..whole.len() / 2]), 1007, invalid).await;
    let bad_text = frame(true, true, OpCode::Text, &compressed(b"\xFF"));
    fails_with(bad_text, 1007, |error| *error == ProtocolError::InvalidUtf8).await;
}

#[tokio::test]
async fn compressed_messages_are_written_and_received_in_pieces() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let settings = options(deflate::Config::default());
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut socket = Acceptor::new().options(settings).accept(stream).await?;
        let mut received = Vec::new();
        while let Some(event) = socket.receive_chunk().await {
            if let StreamEvent::Chunk(chunk) = event? {
                received.extend_from_slice(chunk.payload);
            }
        }
        Ok::<_, Error>(received)
    });
    let connector = Connector::new().options(settings);
    let (mut socket, _): (WebSocket<_>, _) = connector.connect(&url).await.unwrap();
    let piece = json(7).repeat(10);
    let mut message = socket.start_message(MessageKind::Text).unwrap();
    let mut expected = String::new();
    // Longer than a message that is held may be.
    while expected.len() < 3 << 20 {
        message.write(piece.as_bytes()).await.unwrap();
        expected += &piece;
    }
    message.finish().await.unwrap();
    socket.close(None).await.unwrap();
    assert!(in_time(server).await.unwrap().unwrap() == expected.as_bytes());
}
