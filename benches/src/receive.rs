//! Receiving, as a server: many masked frames, read in pieces as large as the contestant's buffer.

use std::hint::black_box;

use bytes::BytesMut;
use futures_util::StreamExt as _;
use sockeye_websocket::{Config, Connection, Event, Message};

use crate::{
    contest::{Contestant, Work},
    io::{Memory, run},
    messages::{Content, client_wire, header},
};

/// Our read buffer in bytes, and that of the floor, unless a message is longer.
pub const BUFFER_LEN: usize = 64 * 1024;

/// All contestants, on the `wire` of messages of `message_len` bytes; with a read buffer of `buffer_len`, if it is ours.
#[must_use]
pub fn contestants(
    content: Content,
    wire: &[u8],
    message_len: usize,
    buffer_len: usize,
) -> Vec<Contestant<'_>> {
    vec![
        Contestant::new("floor", move || floor(content, wire, message_len, buffer_len)),
        Contestant::new("sockeye, lent", move || sockeye_lent(wire, buffer_len)),
        Contestant::new("sockeye", move || sockeye_owned(wire, buffer_len)),
        Contestant::new("tungstenite", move || tungstenite(wire)),
        Contestant::new("fastwebsockets", move || fastwebsockets(wire)),
        Contestant::new("tokio-websockets", move || tokio_websockets(wire)),
    ]
}

/// The wire that carries `messages` to a server.
#[must_use]
pub fn wire(content: Content, messages: &[Vec<u8>]) -> Vec<u8> {
    client_wire(content, messages)
}

/// No protocol: the frames are known to be whole messages of one length. Copies, unmasks, and judges text.
fn floor(content: Content, wire: &[u8], message_len: usize, buffer_len: usize) -> Work {
    let header_len = header(content, message_len, true).len();
    let frame_len = header_len + 4 + message_len;
    let mut memory = Memory::new(wire);
    let mut buffer = vec![0; buffer_len.max(frame_len)];
    let mut filled_len = 0;
    let mut work = Work::default();
    loop {
        let read_len = memory.take(&mut buffer[filled_len..]);
        if read_len == 0 {
            return work;
        }
        filled_len += read_len;
        let frames = buffer[..filled_len].chunks_exact_mut(frame_len);
        let consumed_len = frames.len() * frame_len;
        for frame in frames {
            let (head, payload) = frame.split_at_mut(header_len + 4);
            let Some(&key) = head.last_chunk::<4>() else { return work };
            unmask(payload, key);
            if content.is_text() && simdutf8::basic::from_utf8(payload).is_err() {
                return work;
            }
            work.add(black_box(payload));
        }
        buffer.copy_within(consumed_len..filled_len, 0);
        filled_len -= consumed_len;
    }
}

/// Exclusive or, eight bytes at a time, which the compiler makes vectors of.
#[inline]
pub(crate) fn unmask(payload: &mut [u8], [a, b, c, d]: [u8; 4]) {
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
}

fn sockeye_lent(wire: &[u8], buffer_len: usize) -> Work {
    let mut memory = Memory::new(wire);
    let mut connection = Connection::server(Config::default());
    let mut output = Vec::new();
    let mut buffer = vec![0; buffer_len];
    let mut filled_len = 0;
    let mut work = Work::default();
    loop {
        if filled_len == buffer.len() {
            buffer.resize(filled_len + connection.missing_len(filled_len), 0);
        }
        let read_len = memory.take(&mut buffer[filled_len..]);
        if read_len == 0 {
            return work;
        }
        filled_len += read_len;
        let mut events = connection.receive(&mut buffer[..filled_len], &mut output);
        while let Some(event) = events.next() {
            match event {
                Ok(Event::Text(text)) => work.add(black_box(text).as_bytes()),
                Ok(Event::Binary(bytes)) => work.add(black_box(bytes)),
                _ => return work,
            }
        }
        let consumed_len = events.consumed_len();
        buffer.copy_within(consumed_len..filled_len, 0);
        filled_len -= consumed_len;
    }
}

fn sockeye_owned(wire: &[u8], buffer_len: usize) -> Work {
    let mut memory = Memory::new(wire);
    let mut connection = Connection::server(Config::default());
    let mut output = Vec::new();
    let mut buffer = BytesMut::with_capacity(buffer_len);
    let mut work = Work::default();
    loop {
        match connection.receive_message(&mut buffer, &mut output) {
            Ok(Some(Message::Text(text))) => work.add(black_box(text).as_bytes()),
            Ok(Some(Message::Binary(bytes))) => work.add(&black_box(bytes)),
            Ok(None) => {
                let missing_len = connection.missing_len(buffer.len());
                if buffer.capacity() - buffer.len() < missing_len.clamp(4096, buffer_len) {
                    buffer.reserve(missing_len.max(buffer_len));
                }
                let bytes = memory.next_bytes(buffer.capacity() - buffer.len());
                if bytes.is_empty() {
                    return work;
                }
                buffer.extend_from_slice(bytes);
            }
            _ => return work,
        }
    }
}

/// With its default buffer of 128 KiB, which its documentation recommends for much traffic.
fn tungstenite(wire: &[u8]) -> Work {
    use tungstenite::{Message, WebSocket, protocol::Role};

    let mut socket = WebSocket::from_raw_socket(Memory::new(wire), Role::Server, None);
    let mut work = Work::default();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => work.add(black_box(text).as_bytes()),
            Ok(Message::Binary(bytes)) => work.add(&black_box(bytes)),
            _ => return work,
        }
    }
}

/// Frame by frame, which is its fast path and reassembles nothing; the frames are whole messages here.
fn fastwebsockets(wire: &[u8]) -> Work {
    use fastwebsockets::{OpCode, Role, WebSocket};

    run(async {
        let mut socket = WebSocket::after_handshake(Memory::new(wire), Role::Server);
        let mut work = Work::default();
        while let Ok(frame) = socket.read_frame().await {
            match frame.opcode {
                OpCode::Text | OpCode::Binary => work.add(&black_box(frame.payload)),
                _ => break,
            }
        }
        work
    })
}

fn tokio_websockets(wire: &[u8]) -> Work {
    use tokio_websockets::ServerBuilder;

    run(async {
        let mut socket = ServerBuilder::new().serve(Memory::new(wire));
        let mut work = Work::default();
        while let Some(Ok(message)) = socket.next().await {
            if !message.is_text() && !message.is_binary() {
                break;
            }
            work.add(black_box(message.as_payload()));
        }
        work
    })
}
