//! Sending: binary messages that exist already go to a writer that copies them, as many as possible at once.

use bytes::Bytes;
use sockeye_websocket::{Config, Connection, MessageKind, Role, mask::mask};

use crate::{
    contest::{Contestant, Work},
    io::Memory,
    messages::{Content, Random, header},
    send_rivals,
};

/// How much is collected before it is written.
pub(crate) const BATCH_LEN: usize = 64 * 1024;

/// Payloads of at least this many bytes are written by reference, where a contestant can.
const BY_REFERENCE_LEN: usize = 2048;

/// What appends to an output.
pub const COPIED: &str = "sockeye";

/// All contestants, with the same `messages` to send; nobody looks at what is in them.
#[must_use]
pub fn contestants<'a>(role: Role, messages: &'a [Bytes]) -> Vec<Contestant<'a>> {
    let mut contestants = vec![
        Contestant::floor("floor", move || done(messages, floor(role, messages))),
        Contestant::ours(COPIED, move || done(messages, sockeye(role, messages))),
    ];
    if role == Role::Server {
        // A client's payload has to be masked, so it cannot go by reference.
        contestants.push(Contestant::ours("sockeye, by reference", move || {
            done(messages, sockeye_by_reference(messages))
        }));
    }
    contestants.extend(send_rivals::contestants(role, messages));
    contestants
}

/// What was done, with the bytes on the wire in the place of a sum: every frame has to have the same length.
pub(crate) fn done(messages: &[Bytes], memory: u64) -> Work {
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
            mask(&mut output[start..], [a, b, c, d], 0);
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
        if connection.send_binary(message, &mut output).is_err() {
            break;
        }
        if output.len() >= BATCH_LEN {
            memory.put(&output);
            output.clear();
        }
    }
    memory.put(&output);
    memory.written_len()
}

/// Headers into the output; the payloads are written from where they are.
fn sockeye_by_reference(messages: &[Bytes]) -> u64 {
    let mut memory = Memory::new(&[]);
    let mut connection = Connection::server(Config::default());
    let mut output = Vec::with_capacity(16);
    for message in messages {
        if connection.send_header(MessageKind::Binary, message.len(), &mut output).is_err() {
            break;
        }
        memory.put(&output);
        memory.put(message);
        output.clear();
    }
    memory.written_len()
}
