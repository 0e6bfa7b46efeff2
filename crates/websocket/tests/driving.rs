//! The drivers of the examples, over real sockets, against peers that keep to the protocol and peers that do not. The
//! client is a bare TCP stream here: what it sends and what it gets is bytes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test that is how it fails")]

#[allow(dead_code, reason = "an example: not all of it is tested with every server")]
#[path = "../examples/echo_mio.rs"]
mod echo_mio;
#[allow(dead_code, reason = "an example: not all of it is tested with every server")]
#[path = "../examples/echo_std.rs"]
mod echo_std;

use sockeye_websocket::{FrameHeader, OpCode, mask::mask};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// The example of RFC 6455 §1.3.
const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

/// The timeouts of both examples; by default none of them passes during a test.
#[derive(Clone, Copy)]
struct Timeouts {
    handshake: Duration,
    idle: Duration,
    write: Duration,
    close: Duration,
}

const PATIENT: Timeouts = Timeouts { handshake: LONG, idle: LONG, write: LONG, close: LONG };

fn start_std(timeouts: Timeouts) -> SocketAddr {
    let Timeouts { handshake, idle, write, close } = timeouts;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || echo_std::serve(&listener, echo_std::Timeouts { handshake, idle, write, close }));
    address
}

fn start_mio(timeouts: Timeouts) -> SocketAddr {
    let Timeouts { handshake, idle, write, close } = timeouts;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || echo_mio::serve(listener, echo_mio::Timeouts { handshake, idle, write, close }));
    address
}

/// Each test with both servers.
macro_rules! with_both_servers {
    ($($test:ident)*) => {
        mod blocking {
            $(#[test] fn $test() { super::$test(super::start_std); })*
        }
        mod mio {
            $(#[test] fn $test() { super::$test(super::start_mio); })*
        }
    };
}

with_both_servers! {
    request_byte_by_byte_is_answered_101
    frames_behind_the_request_are_not_lost
    request_without_upgrade_is_answered_426_and_closed
    endless_head_is_answered_431_and_closed
    request_that_never_ends_is_dropped_at_the_deadline
    messages_of_every_length_form_and_in_fragments_come_back
    frames_byte_by_byte_come_back
    unmasked_frame_is_answered_1002_and_closed
    message_above_the_limit_is_answered_1009_at_its_header
    close_is_answered_and_the_server_ends_the_stream_first
    idle_connection_is_closed_with_1001_and_dropped_when_the_peer_does_not_answer
    idle_connection_that_answers_close_ends_at_once
    slow_reader_stops_the_server_from_reading_and_loses_nothing
    reader_that_never_reads_is_dropped_at_the_deadline
    ping_behind_a_message_is_answered_when_that_is_written
    flood_of_pings_from_a_slow_reader_is_answered_by_the_latest_pong
    one_stuck_connection_does_not_hold_up_another
    client_of_the_blocking_example_is_understood
}

type Start = fn(Timeouts) -> SocketAddr;

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn open(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    stream.write_all(REQUEST).unwrap();
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 101 "));
    stream
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn frame(fin: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let header =
        FrameHeader { fin, rsv1: false, opcode, masking_key: Some(KEY), payload_len: payload.len() as u64 };
    let (bytes, len) = header.encode();
    let mut frame = [&bytes[..len], payload].concat();
    mask(&mut frame[len..], KEY, 0);
    frame
}

fn read_frame(stream: &mut TcpStream) -> (OpCode, Vec<u8>) {
    let mut header = vec![0; 2];
    stream.read_exact(&mut header).unwrap();
    loop {
        if let Some((header, _)) = FrameHeader::decode(&header).unwrap() {
            assert!(header.fin && header.masking_key.is_none());
            let mut payload = vec![0; header.payload_len.try_into().unwrap()];
            stream.read_exact(&mut payload).unwrap();
            return (header.opcode, payload);
        }
        header.push(0);
        let end = header.len() - 1;
        stream.read_exact(&mut header[end..]).unwrap();
    }
}

/// What is left of the stream, which has to end in time: by its regular end, or by a reset.
fn read_rest(stream: &mut TcpStream) -> Vec<u8> {
    let (mut rest, mut block) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        match stream.read(&mut block) {
            Ok(0) => return rest,
            Ok(len) => rest.extend_from_slice(&block[..len]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return rest,
            Err(error) => panic!("the server did not end the stream: {error}"),
        }
    }
}

/// What is left until the regular end of the stream: a reset might have cost bytes.
fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    rest
}

/// Writes `bytes` again and again until the server has not taken any for a while; returns how many it took.
fn write_until_stuck(stream: &mut TcpStream, bytes: &[u8], max_len: usize) -> usize {
    stream.set_nonblocking(true).unwrap();
    let (mut len, mut progress) = (0, Instant::now());
    while progress.elapsed() < Duration::from_millis(500) {
        assert!(len < max_len, "the server still reads after {len} bytes without one read by its peer");
        match stream.write(&bytes[len % bytes.len()..]) {
            Ok(written) => (len, progress) = (len + written, Instant::now()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("after {len} bytes: {error}"),
        }
    }
    stream.set_nonblocking(false).unwrap();
    len
}

fn request_byte_by_byte_is_answered_101(start: Start) {
    let mut stream = connect(start(PATIENT));
    for byte in REQUEST {
        stream.write_all(&[*byte]).unwrap();
    }
    let head = read_head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert!(head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
}

fn frames_behind_the_request_are_not_lost(start: Start) {
    let mut stream = connect(start(PATIENT));
    stream.write_all(&[REQUEST, &frame(true, OpCode::Text, b"early")].concat()).unwrap();
    read_head(&mut stream);
    assert_eq!(read_frame(&mut stream), (OpCode::Text, b"early".to_vec()));
}

fn request_without_upgrade_is_answered_426_and_closed(start: Start) {
    let mut stream = connect(start(PATIENT));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: server.example.com\r\n\r\n").unwrap();
    let answer = String::from_utf8(read_to_end(&mut stream)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{answer}");
}

fn endless_head_is_answered_431_and_closed(start: Start) {
    let mut stream = connect(start(PATIENT));
    stream.write_all(&[b"GET / HTTP/1.1\r\nA: ", &[b'a'; 20_000][..]].concat()).unwrap();
    let answer = String::from_utf8(read_to_end(&mut stream)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

fn request_that_never_ends_is_dropped_at_the_deadline(start: Start) {
    let mut stream = connect(start(Timeouts { handshake: SHORT, ..PATIENT }));
    let started = Instant::now();
    // A byte now and then does not move the deadline.
    for byte in &REQUEST[..REQUEST.len() - 1] {
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(read_rest(&mut stream), b"");
    assert!(started.elapsed() < Duration::from_secs(5));
}

fn messages_of_every_length_form_and_in_fragments_come_back(start: Start) {
    let mut stream = open(start(PATIENT));
    for len in [0, 1, 125, 126, 65_535, 65_536, 3 << 20] {
        let text = vec![b'x'; len];
        stream.write_all(&frame(true, OpCode::Text, &text)).unwrap();
        assert!(read_frame(&mut stream) == (OpCode::Text, text), "text of {len} bytes");
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
        let (first, last) = bytes.split_at(len / 3);
        stream.write_all(&frame(false, OpCode::Binary, first)).unwrap();
        stream.write_all(&frame(true, OpCode::Ping, b"between")).unwrap();
        stream.write_all(&frame(true, OpCode::Continuation, last)).unwrap();
        assert_eq!(read_frame(&mut stream), (OpCode::Pong, b"between".to_vec()));
        assert!(read_frame(&mut stream) == (OpCode::Binary, bytes), "binary of {len} bytes");
    }
}

fn frames_byte_by_byte_come_back(start: Start) {
    let mut stream = open(start(PATIENT));
    for byte in frame(true, OpCode::Text, "Grüße, 🐟".as_bytes()) {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(read_frame(&mut stream), (OpCode::Text, "Grüße, 🐟".as_bytes().to_vec()));
}

fn unmasked_frame_is_answered_1002_and_closed(start: Start) {
    let mut stream = open(start(PATIENT));
    // Behind it is more than the server looks at: it must not cost the peer the Close frame.
    stream.write_all(&[&[0x81, 2, b'h', b'i'][..], &[0; 100_000]].concat()).unwrap();
    assert_eq!(read_to_end(&mut stream), [0x88, 2, 0x03, 0xEA]);
}

fn message_above_the_limit_is_answered_1009_at_its_header(start: Start) {
    let mut stream = open(start(PATIENT));
    let (header, len) =
        FrameHeader { masking_key: Some(KEY), ..FrameHeader::new(OpCode::Binary, 1 << 40) }.encode();
    stream.write_all(&header[..len]).unwrap();
    assert_eq!(read_to_end(&mut stream), [0x88, 2, 0x03, 0xF1]);
}

fn close_is_answered_and_the_server_ends_the_stream_first(start: Start) {
    let mut stream = open(start(PATIENT));
    let frames = [
        frame(true, OpCode::Text, b"last"),
        frame(true, OpCode::Close, b"\x03\xE8done"),
        frame(true, OpCode::Text, b"ignored"),
    ];
    stream.write_all(&frames.concat()).unwrap();
    assert_eq!(read_to_end(&mut stream), b"\x81\x04last\x88\x02\x03\xE8");
}

fn idle_connection_is_closed_with_1001_and_dropped_when_the_peer_does_not_answer(start: Start) {
    let mut stream = open(start(Timeouts { idle: SHORT, close: SHORT, ..PATIENT }));
    let started = Instant::now();
    assert_eq!(read_frame(&mut stream), (OpCode::Close, b"\x03\xE9idle".to_vec()));
    // It may talk as much as it likes; without a Close the time runs out, and nothing is echoed.
    while stream.write_all(&frame(true, OpCode::Text, b"hello?")).is_ok() {
        thread::sleep(Duration::from_millis(10));
        assert!(started.elapsed() < Duration::from_secs(10), "the server does not give up");
    }
    assert_eq!(read_rest(&mut stream), b"");
}

fn idle_connection_that_answers_close_ends_at_once(start: Start) {
    let mut stream = open(start(Timeouts { idle: SHORT, ..PATIENT }));
    assert_eq!(read_frame(&mut stream), (OpCode::Close, b"\x03\xE9idle".to_vec()));
    let answered = Instant::now();
    stream.write_all(&frame(true, OpCode::Close, b"\x03\xE9")).unwrap();
    assert_eq!(read_to_end(&mut stream), b"");
    assert!(answered.elapsed() < Duration::from_secs(5));
}

fn slow_reader_stops_the_server_from_reading_and_loses_nothing(start: Start) {
    let mut stream = open(start(PATIENT));
    let payload: Vec<u8> = (0..=u8::MAX).cycle().take(10_000).collect();
    let sent = frame(true, OpCode::Binary, &payload);
    let len = write_until_stuck(&mut stream, &sent, 128 << 20);
    // The rest of the message that was cut, then everything back.
    let mut writer = stream.try_clone().unwrap();
    let rest = sent[len % sent.len()..].to_vec();
    let count = len / sent.len() + 1;
    let writing = thread::spawn(move || writer.write_all(&rest).unwrap());
    for _ in 0..count {
        assert!(read_frame(&mut stream) == (OpCode::Binary, payload.clone()));
    }
    writing.join().unwrap();
    stream.write_all(&frame(true, OpCode::Close, b"")).unwrap();
    assert_eq!(read_to_end(&mut stream), [0x88, 0]);
}

fn reader_that_never_reads_is_dropped_at_the_deadline(start: Start) {
    let mut stream = open(start(Timeouts { write: Duration::from_secs(1), ..PATIENT }));
    let sent = frame(true, OpCode::Binary, &[7; 10_000]);
    let started = Instant::now();
    stream.set_nonblocking(true).unwrap();
    let mut len = 0;
    loop {
        assert!(started.elapsed() < LONG, "the server does not give up");
        match stream.write(&sent[len % sent.len()..]) {
            Ok(written) => len += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(5)),
            Err(_) => return,
        }
    }
}

/// The Pong waits until there is room again. Nothing more arrives by then, so the driver has to ask for it.
fn ping_behind_a_message_is_answered_when_that_is_written(start: Start) {
    let mut stream = open(start(PATIENT));
    let payload = vec![7; 20_000];
    let frames = [frame(true, OpCode::Binary, &payload), frame(true, OpCode::Ping, b"behind")];
    stream.write_all(&frames.concat()).unwrap();
    assert!(read_frame(&mut stream) == (OpCode::Binary, payload));
    assert_eq!(read_frame(&mut stream), (OpCode::Pong, b"behind".to_vec()));
}

/// §5.5.3: "If an endpoint receives a Ping frame and has not yet sent Pong frame(s) in response to previous Ping
/// frame(s), the endpoint MAY elect to send a Pong frame for only the most recently processed Ping frame."
fn flood_of_pings_from_a_slow_reader_is_answered_by_the_latest_pong(start: Start) {
    let mut stream = open(start(PATIENT));
    let pings = frame(true, OpCode::Ping, &[b'p'; 125]).repeat(4000);
    let mut writer = stream.try_clone().unwrap();
    let writing = thread::spawn(move || {
        for _ in 0..20 {
            writer.write_all(&pings).unwrap();
        }
        writer.write_all(&frame(true, OpCode::Ping, b"the last one")).unwrap();
    });
    thread::sleep(SHORT);
    loop {
        let (opcode, payload) = read_frame(&mut stream);
        assert_eq!(opcode, OpCode::Pong);
        if payload == b"the last one" {
            break;
        }
    }
    writing.join().unwrap();
}

fn one_stuck_connection_does_not_hold_up_another(start: Start) {
    let address = start(PATIENT);
    let mut stuck = open(address);
    write_until_stuck(&mut stuck, &frame(true, OpCode::Binary, &[7; 10_000]), 128 << 20);
    let mut other = open(address);
    other.write_all(&frame(true, OpCode::Text, b"hello")).unwrap();
    assert_eq!(read_frame(&mut other), (OpCode::Text, b"hello".to_vec()));
}

fn client_of_the_blocking_example_is_understood(start: Start) {
    let address = start(PATIENT);
    let stream = connect(address);
    let timeouts = echo_std::Timeouts::default();
    let mut socket = echo_std::Socket::connect(stream, &address.to_string(), "/", timeouts).unwrap();
    let long = "ä".repeat(100_000);
    for text in ["", "hello", &long] {
        socket.send_text(text).unwrap();
        assert!(socket.receive_text().unwrap() == text);
    }
    let answer = socket.close().unwrap().unwrap();
    assert_eq!(answer.code.get(), 1000);
}

/// The page that explains the contract quotes code that is tested here; it must not drift away from it.
#[test]
fn code_on_the_page_is_quoted_from_the_examples() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    let read = |path: &str| std::fs::read_to_string(format!("{root}{path}")).unwrap();
    let sources = [
        "crates/websocket/examples/echo_std.rs",
        "crates/websocket/examples/echo_mio.rs",
        "interop/wasm/src/module.rs",
        "interop/wasm/src/exchange.rs",
    ]
    .map(|path| unindented(&read(path)));
    let page = read("docs/driving-the-codec.md");
    let quotes: Vec<&str> =
        page.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert!(quotes.len() >= 8, "the page has code");
    for quote in quotes {
        assert!(sources.iter().any(|source| source.contains(&unindented(quote))), "not quoted:\n{quote}");
    }
}

fn unindented(code: &str) -> String {
    code.lines().map(|line| format!("{}\n", line.trim())).collect()
}
