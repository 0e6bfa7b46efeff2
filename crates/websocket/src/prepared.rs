//! Messages that are framed once and sent to many connections.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::{FrameHeader, MessageKind};

/// A message as a server sends it: header and payload, framed once. Cloning it shares the bytes, so a broadcast costs
/// one encoding and one allocation however many receive it.
///
/// Clients cannot use it: each of their frames needs a mask of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    frame: Bytes,
    header_len: u8,
    kind: MessageKind,
}

impl Prepared {
    /// How many bytes [`from_buffer`](Self::from_buffer) needs in front of the payload: the longest header of a
    /// frame without a mask.
    pub const HEADROOM_LEN: usize = 10;

    /// A text message.
    pub fn text(text: &str) -> Self {
        Self::copy(MessageKind::Text, text.as_bytes())
    }

    /// A binary message; the payload is copied once, behind its header.
    pub fn binary(payload: &[u8]) -> Self {
        Self::copy(MessageKind::Binary, payload)
    }

    fn copy(kind: MessageKind, payload: &[u8]) -> Self {
        let (header, len) = Self::header(kind, payload.len());
        let mut frame = Vec::with_capacity(len + payload.len());
        frame.extend_from_slice(&header[..len]);
        frame.extend_from_slice(payload);
        Self { frame: frame.into(), header_len: len.to_le_bytes()[0], kind }
    }

    /// A message whose payload was written into `buffer` behind [`HEADROOM_LEN`](Self::HEADROOM_LEN) bytes of any
    /// content: the header is put in front of it without moving the payload. A text payload must be UTF-8.
    ///
    /// # Panics
    /// When `buffer` is shorter than the headroom.
    pub fn from_buffer(kind: MessageKind, mut buffer: Vec<u8>) -> Self {
        let payload_len =
            buffer.len().checked_sub(Self::HEADROOM_LEN).expect("the buffer begins with headroom");
        let (header, len) = Self::header(kind, payload_len);
        let start = Self::HEADROOM_LEN - len;
        buffer[start..Self::HEADROOM_LEN].copy_from_slice(&header[..len]);
        Self { frame: Bytes::from(buffer).slice(start..), header_len: len.to_le_bytes()[0], kind }
    }

    fn header(kind: MessageKind, payload_len: usize) -> ([u8; crate::MAX_HEADER_LEN], usize) {
        FrameHeader::new(kind.opcode(), payload_len as u64).encode()
    }

    /// Text or binary.
    pub const fn kind(&self) -> MessageKind {
        self.kind
    }

    /// Header and payload: what goes over the wire.
    pub const fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// The payload alone.
    pub fn payload(&self) -> &[u8] {
        &self.frame[usize::from(self.header_len)..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Connection};
    use alloc::vec;

    #[test]
    fn prepared_frame_is_what_a_server_sends() {
        for len in [0, 1, 125, 126, 65_535, 65_536, 100_000] {
            let payload = vec![b'x'; len];
            let text = core::str::from_utf8(&payload).unwrap();
            let mut sent = Vec::new();
            Connection::server(Config::default()).send_text(text, &mut sent).unwrap();
            let prepared = Prepared::text(text);
            assert_eq!(prepared.frame(), &sent);
            assert_eq!(prepared.payload(), payload);
            let in_place = [&[0xAA; Prepared::HEADROOM_LEN][..], &payload].concat();
            assert_eq!(Prepared::from_buffer(MessageKind::Text, in_place), prepared);
        }
    }
}
