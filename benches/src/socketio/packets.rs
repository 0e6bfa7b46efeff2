//! What clients send, built before the load begins, and what has to come back.

use crate::{
    messages::{Content, messages},
    sockets::frames::{TEXT, Wire, client_frame},
};

/// Bytes of a client's CONNECT packet on the wire: a header of 2, a mask of 4, `40`.
pub const CONNECT_LEN: usize = 8;

/// Distinct packets of a load.
const PACKET_COUNT: usize = 80;

/// The first ack id, so that all have two digits.
const FIRST_ACK_ID: usize = 10;

/// The first number of a room, so that all have five digits.
pub const FIRST_ROOM: usize = 10_000;

/// The packets of a load, all of one length.
#[derive(Debug)]
pub struct Packets {
    /// As WebSocket frames.
    pub wire: Wire,
    /// As text, with the digit of Engine.IO.
    pub requests: Vec<String>,
    /// What each of them brings.
    pub replies: Vec<String>,
}

impl Packets {
    fn new(
        len: usize,
        count: usize,
        request: impl Fn(usize, &str) -> String,
        reply: impl Fn(usize, &str) -> String,
    ) -> Self {
        let text_len = len - request(0, "").len();
        let texts = texts(text_len, count);
        let build = |packet: &dyn Fn(usize, &str) -> String| -> Vec<String> {
            texts.iter().enumerate().map(|(index, text)| packet(index, text)).collect()
        };
        let (requests, replies) = (build(&request), build(&reply));
        let wire = Wire::new(TEXT, requests.iter().map(String::as_bytes));
        Self { wire, requests, replies }
    }

    /// `len` bytes each: `event` with a text, which comes back.
    #[must_use]
    pub fn event(event: &str, len: usize) -> Self {
        let packet = |_: usize, text: &str| format!("42[\"{event}\",\"{text}\"]");
        Self::new(len, PACKET_COUNT, packet, packet)
    }

    /// `len` bytes each: `ask` with a text, which is the acknowledgement.
    #[must_use]
    pub fn ask(len: usize) -> Self {
        let request = |index: usize, text: &str| format!("42{}[\"ask\",\"{text}\"]", FIRST_ACK_ID + index);
        let reply = |index: usize, text: &str| format!("43{}[\"{text}\"]", FIRST_ACK_ID + index);
        Self::new(len, PACKET_COUNT, request, reply)
    }

    /// `len` bytes each: `say` to each of the rooms.
    #[must_use]
    pub fn say(len: usize, room_count: usize) -> Self {
        let request = |index: usize, text: &str| format!("42[\"say\",{},\"{text}\"]", FIRST_ROOM + index);
        let reply = |_: usize, text: &str| format!("42[\"say\",\"{text}\"]");
        Self::new(len, room_count, request, reply)
    }

    /// Bytes of each request.
    #[must_use]
    pub fn request_len(&self) -> usize {
        self.requests[0].len()
    }

    /// Bytes of each reply.
    #[must_use]
    pub fn reply_len(&self) -> usize {
        self.replies[0].len()
    }
}

/// Distinct letters and digits, which JSON need not escape.
fn texts(len: usize, count: usize) -> Vec<String> {
    let texts = messages(Content::Binary, len, count);
    let letter = |byte: u8| char::from(b"abcdefghijklmnopqrstuvwxyzABCDEF"[usize::from(byte % 32)]);
    texts.iter().map(|bytes| bytes.iter().copied().map(letter).collect()).collect()
}

/// A packet that is sent once.
#[must_use]
pub fn frame(packet: &str) -> Vec<u8> {
    client_frame(TEXT, packet.as_bytes(), [1, 2, 3, 4])
}

/// A packet as a server sends it.
///
/// # Panics
/// When it is 64 KiB long, or longer.
#[must_use]
pub fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).expect("a short packet");
    let mut frame = vec![first];
    if len < 126 {
        frame.push(len.to_le_bytes()[0]);
    } else {
        frame.push(126);
        frame.extend(len.to_be_bytes());
    }
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_a_load_are_distinct_and_of_one_length() {
        for packets in [
            Packets::event("echo", 32),
            Packets::ask(32),
            Packets::event("shout", 1024),
            Packets::say(32, 10),
        ] {
            let len = packets.request_len();
            assert!([32, 1024].contains(&len));
            assert!(packets.requests.iter().all(|packet| packet.len() == len));
            assert!(packets.replies.iter().all(|packet| packet.len() == packets.reply_len()));
            let mut requests = packets.requests.clone();
            requests.sort();
            requests.dedup();
            assert_eq!(requests.len(), packets.requests.len());
            assert_eq!(packets.wire.frame_count(), requests.len());
        }
    }

    #[test]
    fn packets_are_those_of_the_protocol() {
        let text = |packet: &str| packet.chars().filter(char::is_ascii_alphabetic).count();
        let packets = Packets::ask(32);
        assert!(packets.requests[3].starts_with("4213[\"ask\",\"") && packets.requests[3].ends_with("\"]"));
        assert!(packets.replies[3].starts_with("4313[\"") && packets.replies[3].ends_with("\"]"));
        assert_eq!(text(&packets.replies[3]), 32 - "4213[\"ask\",\"\"]".len());
        assert_eq!(frame("40").len(), CONNECT_LEN);
        assert_eq!(server_frame(TEXT, &[b'x'; 200])[..4], [0x81, 126, 0, 200]);
    }
}
