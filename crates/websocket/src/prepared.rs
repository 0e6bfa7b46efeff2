//! Messages that are framed once and sent to many connections.

use alloc::vec::Vec;
use bytes::Bytes;

#[cfg(feature = "deflate")]
use crate::deflate;
use crate::{FrameHeader, MessageKind};
#[cfg(feature = "deflate")]
use alloc::sync::Arc;
#[cfg(feature = "deflate")]
use std::sync::OnceLock;

/// A message as a server sends it: header and payload, framed once. Cloning it shares the bytes, so a broadcast costs
/// one encoding and one allocation however many receive it.
///
/// A [compressible](Self::compressible) one is compressed once as well, when it is first sent to a connection that
/// negotiated that, whatever parameters each connection has.
///
/// Clients cannot use it: each of their frames needs a mask of its own.
#[derive(Debug, Clone)]
pub struct Prepared {
    frame: Bytes,
    header_len: u8,
    kind: MessageKind,
    #[cfg(feature = "deflate")]
    compressed: Option<Arc<Compressed>>,
}

/// The compressed frames of a message; `None` where compressing makes it longer.
#[cfg(feature = "deflate")]
#[derive(Debug, Default)]
struct Compressed {
    /// For recipients whose window holds all of the message, or that have the largest one.
    full: OnceLock<Option<Bytes>>,
    /// For those with a smaller one.
    small: OnceLock<Option<Bytes>>,
}

#[cfg(feature = "deflate")]
const SMALLEST_WINDOW_BITS: u8 = 9;

#[cfg(feature = "deflate")]
const LARGEST_WINDOW_BITS: u8 = 15;

impl PartialEq for Prepared {
    fn eq(&self, other: &Self) -> bool {
        self.frame == other.frame
    }
}

impl Eq for Prepared {}

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

    /// A message of either kind; the payload is copied once, behind its header. A text payload must be UTF-8.
    pub fn copy(kind: MessageKind, payload: &[u8]) -> Self {
        let (header, len) = Self::header(kind, payload.len());
        let mut frame = Vec::with_capacity(len + payload.len());
        frame.extend_from_slice(&header[..len]);
        frame.extend_from_slice(payload);
        Self::framed(frame.into(), len, kind)
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
        Self::framed(Bytes::from(buffer).slice(start..), len, kind)
    }

    fn framed(frame: Bytes, header_len: usize, kind: MessageKind) -> Self {
        Self {
            frame,
            header_len: header_len.to_le_bytes()[0],
            kind,
            #[cfg(feature = "deflate")]
            compressed: None,
        }
    }

    /// Lets connections that negotiated permessage-deflate send this message compressed.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn compressible(mut self) -> Self {
        self.compressed = Some(Arc::default());
        self
    }

    /// The frame of the message compressed at `level` by whoever asks first, in a stream that refers to nothing
    /// before it and no further back than 2^`window_bits` bytes.
    #[cfg(feature = "deflate")]
    pub(crate) fn compressed(&self, level: u8, window_bits: u8) -> Option<&Bytes> {
        let compressed = self.compressed.as_ref()?;
        // References cannot go further back than the message is long.
        let fits = window_bits >= LARGEST_WINDOW_BITS || self.payload().len() <= 1 << window_bits;
        let (slot, window_bits) = if fits {
            (&compressed.full, LARGEST_WINDOW_BITS)
        } else {
            (&compressed.small, SMALLEST_WINDOW_BITS)
        };
        slot.get_or_init(|| self.compress(level, window_bits)).as_ref()
    }

    #[cfg(feature = "deflate")]
    fn compress(&self, level: u8, window_bits: u8) -> Option<Bytes> {
        let mut payload = Vec::new();
        deflate::compress_stand_alone(self.payload(), level, window_bits, &mut payload);
        if payload.len() >= self.payload().len() {
            return None;
        }
        let header = FrameHeader { rsv1: true, ..FrameHeader::new(self.kind.opcode(), payload.len() as u64) };
        let (header, header_len) = header.encode();
        let mut frame = Vec::with_capacity(header_len + payload.len());
        frame.extend_from_slice(&header[..header_len]);
        frame.extend_from_slice(&payload);
        Some(frame.into())
    }

    fn header(kind: MessageKind, payload_len: usize) -> ([u8; crate::MAX_HEADER_LEN], usize) {
        FrameHeader::new(kind.opcode(), payload_len as u64).encode()
    }

    /// Text or binary.
    pub const fn kind(&self) -> MessageKind {
        self.kind
    }

    /// Header and payload, uncompressed: what goes over the wire.
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
