//! Receiving, as a server: many masked frames, read in pieces as large as the contestant's buffer.

use std::hint::black_box;

use bytes::BytesMut;
use sockeye_websocket::{Config, Connection, Event, Message, mask::mask};

use crate::{
    contest::{Contestant, Work},
    io::Memory,
    messages::{Content, client_wire, header},
    receive_rivals,
};

/// Our read buffer in bytes, and that of the floor, unless a message is longer: a little more than is read at once.
pub const BUFFER_LEN: usize = 20 * 1024;

/// How much is read at once: what stays in the first-level cache until it is unmasked. With a socket, where every read is
/// a system call, that is too little for small messages in great numbers.
const READ_LEN: usize = 16 * 1024;

/// From this length on, no more is read behind a message than the start of the next one, which has to be moved.
const LONG_LEN: usize = 8 * 1024;

/// How much to read behind `filled_len` bytes, when `missing_len` more complete the message that they begin with.
const fn read_len(filled_len: usize, missing_len: usize) -> usize {
    if filled_len + missing_len < LONG_LEN || missing_len > READ_LEN { READ_LEN } else { missing_len + 1024 }
}

/// The floor that has to be compared with what we lend: one fused pass over payloads that lie in memory already.
pub const PASS: &str = "pass alone";

/// What we lend, in place.
pub const LENT: &str = "sockeye, lent";

/// What our users own, as those of most rivals do.
pub const OWNED: &str = "sockeye";

/// All contestants, on the `wire` of `messages`; with a read buffer of `buffer_len`, if it is ours.
#[must_use]
pub fn contestants<'a>(
    content: Content,
    wire: &'a [u8],
    messages: &[Vec<u8>],
    buffer_len: usize,
) -> Vec<Contestant<'a>> {
    let message_len = messages.first().map_or(1, Vec::len);
    let mut pass = Pass::new(content, messages);
    let mut contestants = vec![
        Contestant::floor(PASS, move || pass.run()),
        Contestant::floor("floor", move || floor(content, wire, message_len, buffer_len)),
        Contestant::ours(LENT, move || sockeye_lent(wire, buffer_len)),
        Contestant::ours(OWNED, move || sockeye_owned(wire, buffer_len)),
    ];
    contestants.extend(receive_rivals::contestants(content, wire));
    contestants
}

/// The wire that carries `messages` to a server.
#[must_use]
pub fn wire(content: Content, messages: &[Vec<u8>]) -> Vec<u8> {
    client_wire(content, messages)
}

/// One fused pass over payloads that lie in memory already, without headers between them: unmasks block by block, and
/// judges text while its block is in the first-level cache. No read, no copy, no protocol.
#[derive(Debug)]
struct Pass {
    content: Content,
    message_len: usize,
    payloads: Vec<u8>,
}

/// How much is unmasked before it is validated.
const BLOCK_LEN: usize = 4096;

impl Pass {
    fn new(content: Content, messages: &[Vec<u8>]) -> Self {
        let message_len = messages.first().map_or(1, Vec::len);
        Self { content, message_len, payloads: messages.concat() }
    }

    fn run(&mut self) -> Work {
        // This key changes nothing, so that the payloads are the same in the next round. Nobody knows.
        let key = black_box([0; 4]);
        let mut work = Work::default();
        for payload in self.payloads.chunks_exact_mut(self.message_len) {
            if !unmask_and_judge(self.content, payload, key) {
                return work;
            }
            work.add(black_box(payload));
        }
        work
    }
}

fn unmask_and_judge(content: Content, payload: &mut [u8], key: [u8; 4]) -> bool {
    if !content.is_text() {
        mask(payload, key, 0);
        return true;
    }
    let (mut unmasked_len, mut judged_len) = (0, 0);
    while unmasked_len < payload.len() {
        let end = payload.len().min(unmasked_len + BLOCK_LEN);
        mask(&mut payload[unmasked_len..end], key, unmasked_len);
        unmasked_len = end;
        // What is judged begins and ends between characters.
        let is_last = end == payload.len();
        let cut = if is_last { end } else { character_boundary(payload, end) };
        if simdutf8::basic::from_utf8(&payload[judged_len..cut]).is_err() {
            return false;
        }
        judged_len = cut;
    }
    true
}

/// Where the last character that is complete before `end` ends.
fn character_boundary(text: &[u8], end: usize) -> usize {
    for back in 1..=3.min(end) {
        let len = match text[end - back] {
            0..0x80 => 1,
            0x80..0xC0 => continue,
            0xC0..0xE0 => 2,
            0xE0..0xF0 => 3,
            _ => 4,
        };
        return if len > back { end - back } else { end };
    }
    end
}

/// A bare loop: reads as all do, takes a header apart without judging it, and does the same pass.
fn floor(content: Content, wire: &[u8], message_len: usize, buffer_len: usize) -> Work {
    let frame_len = header(content, message_len, true).len() + 4 + message_len;
    let mut memory = Memory::new(wire);
    let mut buffer = vec![0; buffer_len.max(frame_len)];
    let mut filled_len = 0;
    let mut work = Work::default();
    loop {
        let missing_len = frame_len.saturating_sub(filled_len);
        let read_len = memory.take_up_to(read_len(filled_len, missing_len), &mut buffer[filled_len..]);
        if read_len == 0 {
            return work;
        }
        filled_len += read_len;
        let mut rest = &mut buffer[..filled_len];
        let mut consumed_len = 0;
        while let Some((header_len, payload_len)) = header_and_payload_len(rest)
            && let Some((frame, later)) = rest.split_at_mut_checked(header_len + payload_len)
        {
            let (head, payload) = frame.split_at_mut(header_len);
            let Some(&key) = head.last_chunk::<4>() else { return work };
            if !unmask_and_judge(content, payload, key) {
                return work;
            }
            work.add(black_box(payload));
            consumed_len += header_len + payload_len;
            rest = later;
        }
        buffer.copy_within(consumed_len..filled_len, 0);
        filled_len -= consumed_len;
    }
}

/// How long a masked frame's header and payload are, if the header is there.
#[inline]
fn header_and_payload_len(bytes: &[u8]) -> Option<(usize, usize)> {
    let [_, second, rest @ ..] = bytes else { return None };
    match second & 0x7F {
        126 => rest.first_chunk().map(|len| (8, usize::from(u16::from_be_bytes(*len)))),
        127 => {
            let len = u64::from_be_bytes(*rest.first_chunk()?);
            Some((14, usize::try_from(len).ok()?))
        }
        len => Some((6, usize::from(len))),
    }
}

fn sockeye_lent(wire: &[u8], buffer_len: usize) -> Work {
    lent_by(Connection::server(Config::default()), wire, buffer_len)
}

/// What `connection` lends.
pub(crate) fn lent_by(mut connection: Connection, wire: &[u8], buffer_len: usize) -> Work {
    let mut memory = Memory::new(wire);
    let mut output = Vec::new();
    let mut buffer = vec![0; buffer_len];
    let mut filled_len = 0;
    let mut work = Work::default();
    loop {
        let missing_len = connection.missing_len(filled_len);
        if filled_len == buffer.len() {
            buffer.resize(filled_len + missing_len, 0);
        }
        let read_len = memory.take_up_to(read_len(filled_len, missing_len), &mut buffer[filled_len..]);
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
                let free_len = buffer.capacity() - buffer.len();
                let bytes = memory.next_bytes(free_len.min(read_len(buffer.len(), missing_len)));
                if bytes.is_empty() {
                    return work;
                }
                buffer.extend_from_slice(bytes);
            }
            _ => return work,
        }
    }
}
