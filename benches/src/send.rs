//! Sending: binary messages that exist already go to a writer that copies them, as many as possible at once.

use std::io::Write as _;

use bytes::Bytes;
use futures_util::SinkExt as _;
use sockeye_websocket::{Config, Connection, MessageKind, Role};

use crate::{
    contest::{Contestant, Work},
    io::{Memory, run},
    messages::{Content, Random, header},
    receive::unmask,
};

/// How much is collected before it is written.
const BATCH_LEN: usize = 64 * 1024;

/// Payloads of at least this many bytes are written by reference, where a contestant can.
const BY_REFERENCE_LEN: usize = 2048;

/// All contestants, with the same `messages` to send; nobody looks at what is in them.
#[must_use]
pub fn contestants<'a>(role: Role, messages: &'a [Bytes]) -> Vec<Contestant<'a>> {
    vec![
        Contestant::new("floor", move || done(messages, floor(role, messages))),
        Contestant::new("sockeye", move || done(messages, sockeye(role, messages))),
        Contestant::new("tungstenite", move || done(messages, tungstenite(role, messages))),
        Contestant::new("fastwebsockets", move || done(messages, fastwebsockets(role, messages))),
        Contestant::new("tokio-websockets", move || done(messages, tokio_websockets(role, messages))),
    ]
}

/// What was done, with the bytes on the wire in the place of a sum: every frame has to have the same length.
fn done(messages: &[Bytes], memory: u64) -> Work {
    let payload_len = messages.iter().map(|message| message.len() as u64).sum();
    Work { message_count: messages.len() as u64, payload_len, sum: memory }
}

/// No protocol: one constant header, then the payload; masked with numbers that a peer could guess.
fn floor(role: Role, messages: &[Bytes]) -> u64 {
    let mut memory = Memory::new(&[]);
    let mut random = Random::new(1);
    let len = messages.first().map_or(0, Bytes::len);
    let header = header(Content::Binary, len, role == Role::Client);
    let mut output = Vec::with_capacity(BATCH_LEN * 2);
    for message in messages {
        output.extend_from_slice(&header);
        if role == Role::Client {
            let [a, b, c, d, ..] = random.next_number().to_le_bytes();
            output.extend_from_slice(&[a, b, c, d]);
            let start = output.len();
            output.extend_from_slice(message);
            unmask(&mut output[start..], [a, b, c, d]);
        } else if message.len() >= BY_REFERENCE_LEN {
            memory.put(&output);
            memory.put(message);
            output.clear();
        } else {
            output.extend_from_slice(message);
        }
        if output.len() >= BATCH_LEN {
            memory.put(&output);
            output.clear();
        }
    }
    memory.put(&output);
    memory.written_len()
}

fn sockeye(role: Role, messages: &[Bytes]) -> u64 {
    let mut memory = Memory::new(&[]);
    let mut connection = match role {
        Role::Server => Connection::server(Config::default()),
        Role::Client => Connection::client(Config::default()),
    };
    let mut output = Vec::with_capacity(BATCH_LEN * 2);
    for message in messages {
        let by_reference = role == Role::Server && message.len() >= BY_REFERENCE_LEN;
        let sent = if by_reference {
            connection.send_header(MessageKind::Binary, message.len(), &mut output)
        } else {
            connection.send_binary(message, &mut output)
        };
        if sent.is_err() {
            break;
        }
        if by_reference || output.len() >= BATCH_LEN {
            memory.put(&output);
            output.clear();
        }
        if by_reference {
            memory.put(message);
        }
    }
    memory.put(&output);
    memory.written_len()
}

fn tungstenite(role: Role, messages: &[Bytes]) -> u64 {
    use tungstenite::{Message, WebSocket, protocol};

    let role = match role {
        Role::Server => protocol::Role::Server,
        Role::Client => protocol::Role::Client,
    };
    let mut socket = WebSocket::from_raw_socket(Memory::new(&[]), role, None);
    for message in messages {
        if socket.write(Message::Binary(message.clone())).is_err() {
            break;
        }
    }
    let _ = socket.flush();
    let _ = socket.get_mut().flush();
    socket.get_ref().written_len()
}

fn fastwebsockets(role: Role, messages: &[Bytes]) -> u64 {
    use fastwebsockets::{Frame, Payload, WebSocket};

    let role = match role {
        Role::Server => fastwebsockets::Role::Server,
        Role::Client => fastwebsockets::Role::Client,
    };
    run(async {
        let mut socket = WebSocket::after_handshake(Memory::new(&[]), role);
        for message in messages {
            if socket.write_frame(Frame::binary(Payload::Borrowed(message))).await.is_err() {
                break;
            }
        }
        let _ = socket.flush().await;
        socket.into_inner().written_len()
    })
}

fn tokio_websockets(role: Role, messages: &[Bytes]) -> u64 {
    use tokio_websockets::{ClientBuilder, Config, Message, ServerBuilder};

    run(async {
        let config = Config::default().flush_threshold(BATCH_LEN);
        let memory = Memory::new(&[]);
        let mut socket = match role {
            Role::Server => ServerBuilder::new().config(config).serve(memory),
            Role::Client => ClientBuilder::new().config(config).take_over(memory),
        };
        for message in messages {
            if socket.feed(Message::binary(message.clone())).await.is_err() {
                break;
            }
        }
        let _ = socket.flush().await;
        socket.get_ref().written_len()
    })
}
