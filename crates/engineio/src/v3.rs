//! Packets and payloads of revision 3 of the protocol, which Socket.IO 2 clients speak.
//!
//! ```text
//! text payload      ┌────┬───┬────────┬───┬───┬───┐
//!                   │ 6  │ : │ 4hello │ 1 │ : │ 2 │   length in UTF-16 code units, packet
//!                   └────┴───┴────────┴───┴───┴───┘
//!                   binary inside of text: b4 + base64, the type digit behind the b
//!
//! binary payload    ┌────┬────────┬────┬─────────┬────┬───┬────┬─────────────┐
//!                   │ 00 │ 01  00 │ ff │ 4 ..    │ 01 │ 4 │ ff │ 04 01 02 03 │
//!                   └────┴────────┴────┴─────────┴────┴───┴────┴─────────────┘
//!                     │    │ length in bytes: its     │         └ type as a byte, data
//!                     │    └ decimal digits           └ 01: bytes
//!                     └ 00: text
//! ```
//!
//! A WebSocket text message is a packet as [`decode_text`] takes it, a binary one as [`decode_binary`] does.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::iter::FusedIterator;

use crate::error::DecodeError;
use crate::open::OpenPacket;
use crate::packet::{self, Packet, PacketType};
use crate::payload::PayloadLimits;

/// More digits than any length has that could be sent.
const MAX_LENGTH_DIGITS: usize = 10;

/// What ends the length in a binary payload.
const LENGTH_END: u8 = 0xff;

/// What a message is as the first byte of bytes.
const MESSAGE_BYTE: u8 = PacketType::Message.digit() - b'0';

/// Decodes one packet of text. Bytes are `b4` and base64.
///
/// ```
/// use sockeye_engineio::{Packet, v3};
///
/// assert_eq!(v3::decode_text("4hello"), Ok(Packet::Text("hello")));
/// assert_eq!(v3::decode_text("b4AQID"), Ok(Packet::Binary([1, 2, 3].as_slice().into())));
/// ```
///
/// # Errors
/// The text is empty, starts with no packet type, or is a binary packet that is not base64 or no message.
pub fn decode_text(text: &str) -> Result<Packet<'_>, DecodeError> {
    let Some(binary) = text.strip_prefix('b') else { return Packet::decode(text) };
    match binary.as_bytes() {
        [] => Err(DecodeError::EmptyPacket),
        [b'4', base64 @ ..] => Ok(Packet::Binary(packet::decode_base64(base64)?.into())),
        [byte, ..] => Err(DecodeError::UnknownPacketType { byte: *byte }),
    }
}

/// The data of a binary message, of a packet of bytes: the type as a byte, and the data.
///
/// # Errors
/// There is no byte, or the first one is not that of a message: other packets are text.
pub fn decode_binary(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    match bytes {
        [] => Err(DecodeError::EmptyPacket),
        [MESSAGE_BYTE, data @ ..] => Ok(data),
        [byte, ..] => Err(DecodeError::UnknownPacketType { byte: *byte }),
    }
}

/// Appends a binary message as a WebSocket binary message carries it.
pub fn encode_binary(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(1 + bytes.len());
    out.push(MESSAGE_BYTE);
    out.extend_from_slice(bytes);
}

/// Appends a binary message as text, for clients that asked for `b64`.
pub fn encode_base64(bytes: &[u8], out: &mut Vec<u8>) {
    packet::push_base64(out, b"b4", bytes);
}

/// The packets of a payload, one by one, borrowed from it. Stops after the first error, and takes linear time.
///
/// ```
/// use sockeye_engineio::{Packet, PayloadLimits, v3::PayloadDecoder};
///
/// let mut packets = PayloadDecoder::text("3:4é!1:2".as_bytes(), PayloadLimits::default())?;
/// assert_eq!(packets.next(), Some(Ok(Packet::Text("é!"))));
/// assert_eq!(packets.next(), Some(Ok(Packet::Ping(""))));
/// assert_eq!(packets.next(), None);
/// # Ok::<(), sockeye_engineio::DecodeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PayloadDecoder<'a> {
    /// `None` after the last packet and after an error.
    rest: Option<Rest<'a>>,
    packet_count: usize,
    limits: PayloadLimits,
}

#[derive(Debug, Clone, Copy)]
enum Rest<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl<'a> PayloadDecoder<'a> {
    /// Decodes a payload of text. An empty one is an error.
    ///
    /// # Errors
    /// [`DecodeError::InvalidUtf8`]. No packet of it is decoded then.
    pub fn text(body: &'a [u8], limits: PayloadLimits) -> Result<Self, DecodeError> {
        match core::str::from_utf8(body) {
            Ok("") => Err(DecodeError::EmptyPacket),
            Ok(text) => Ok(Self { rest: Some(Rest::Text(text)), packet_count: 0, limits }),
            Err(error) => Err(DecodeError::InvalidUtf8 { valid_up_to: error.valid_up_to() }),
        }
    }

    /// Decodes a payload of bytes, which come as `application/octet-stream`. An empty one has no packet.
    #[must_use]
    pub const fn binary(body: &'a [u8], limits: PayloadLimits) -> Self {
        Self { rest: Some(Rest::Bytes(body)), packet_count: 0, limits }
    }

    /// The next packet, if there is one; what is behind it becomes the rest.
    fn decode_next(&mut self, rest: Rest<'a>) -> Result<Option<Packet<'a>>, DecodeError> {
        if self.packet_count == self.limits.max_packet_count {
            return Err(DecodeError::TooManyPackets { max: self.limits.max_packet_count });
        }
        self.packet_count += 1;
        match rest {
            Rest::Text(text) => {
                let (packet, rest) = split_text(text)?;
                self.rest = Some(Rest::Text(rest));
                // `0:` is what an encoder of this revision makes of no packet at all.
                if packet.is_empty() { Ok(None) } else { decode_text(packet).map(Some) }
            }
            Rest::Bytes(bytes) => {
                let (is_text, packet, rest) = split_bytes(bytes)?;
                self.rest = Some(Rest::Bytes(rest));
                if !is_text {
                    return Ok(Some(Packet::Binary(Cow::Borrowed(decode_binary(packet)?))));
                }
                match core::str::from_utf8(packet) {
                    Ok(text) => decode_text(text).map(Some),
                    Err(error) => Err(DecodeError::InvalidUtf8 { valid_up_to: error.valid_up_to() }),
                }
            }
        }
    }
}

impl<'a> Iterator for PayloadDecoder<'a> {
    type Item = Result<Packet<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest.take().filter(|rest| match rest {
                Rest::Text(text) => !text.is_empty(),
                Rest::Bytes(bytes) => !bytes.is_empty(),
            })?;
            match self.decode_next(rest) {
                Ok(Some(packet)) => return Some(Ok(packet)),
                Ok(None) => {}
                Err(error) => {
                    self.rest = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl FusedIterator for PayloadDecoder<'_> {}

/// `12:` and as many UTF-16 code units.
fn split_text(text: &str) -> Result<(&str, &str), DecodeError> {
    let head = &text.as_bytes()[..text.len().min(MAX_LENGTH_DIGITS + 1)];
    let colon = memchr::memchr(b':', head).ok_or(DecodeError::InvalidLength)?;
    let mut left = parse_length(head[..colon].iter().map(|digit| digit.wrapping_sub(b'0')))?;
    let text = &text[colon + 1..];
    if left == 0 {
        return Ok(("", text));
    }
    for (at, character) in text.char_indices() {
        left = left.checked_sub(character.len_utf16()).ok_or(DecodeError::InvalidLength)?;
        if left == 0 {
            return Ok(text.split_at(at + character.len_utf8()));
        }
    }
    Err(DecodeError::InvalidLength)
}

/// The kind, the digits of the length, `ff` and as many bytes.
fn split_bytes(bytes: &[u8]) -> Result<(bool, &[u8], &[u8]), DecodeError> {
    let (&kind, bytes) = bytes.split_first().ok_or(DecodeError::EmptyPacket)?;
    if kind > 1 {
        return Err(DecodeError::UnknownPacketType { byte: kind });
    }
    let head = &bytes[..bytes.len().min(MAX_LENGTH_DIGITS + 1)];
    let end = memchr::memchr(LENGTH_END, head).ok_or(DecodeError::InvalidLength)?;
    let len = parse_length(head[..end].iter().copied())?;
    let (packet, rest) = bytes[end + 1..].split_at_checked(len).ok_or(DecodeError::InvalidLength)?;
    Ok((kind == 0, packet, rest))
}

fn parse_length(mut digits: impl ExactSizeIterator<Item = u8>) -> Result<usize, DecodeError> {
    if digits.len() == 0 {
        return Err(DecodeError::InvalidLength);
    }
    digits
        .try_fold(0_usize, |length, digit| {
            let length = length.checked_mul(10)?.checked_add(digit.into())?;
            (digit < 10).then_some(length)
        })
        .ok_or(DecodeError::InvalidLength)
}

/// The length of UTF-8 text in UTF-16 code units.
fn utf16_len(text: &[u8]) -> usize {
    // One per character, which has one byte that does not continue it, and another one beyond the basic plane.
    text.iter().map(|&byte| usize::from(byte & 0xc0 != 0x80) + usize::from(byte >= 0xf0)).sum()
}

/// Appends packets to a buffer, in either form.
///
/// The official server makes an answer binary when any of its packets is, unless the client asked for `b64`.
///
/// ```
/// use sockeye_engineio::{PacketType, v3::PayloadEncoder};
///
/// let mut body = Vec::new();
/// let mut payload = PayloadEncoder::text(&mut body);
/// payload.push_text(PacketType::Message, "é!");
/// payload.push_binary(&[1, 2, 3]);
/// assert_eq!(body, "3:4é!6:b4AQID".as_bytes());
/// ```
#[derive(Debug)]
pub struct PayloadEncoder<'o> {
    out: &'o mut Vec<u8>,
    is_binary: bool,
}

impl<'o> PayloadEncoder<'o> {
    /// A payload of text, at the end of `out`.
    #[must_use]
    pub const fn text(out: &'o mut Vec<u8>) -> Self {
        Self { out, is_binary: false }
    }

    /// A payload of bytes, at the end of `out`.
    #[must_use]
    pub const fn binary(out: &'o mut Vec<u8>) -> Self {
        Self { out, is_binary: true }
    }

    /// Appends a packet of this type with text data.
    pub fn push_text(&mut self, packet_type: PacketType, data: &str) {
        let digit = packet_type.digit();
        self.push_head(0, 1 + data.len(), 1 + utf16_len(data.as_bytes()));
        self.out.push(digit);
        self.out.extend_from_slice(data.as_bytes());
    }

    /// Appends a text packet that is encoded already, its type digit included. It must be UTF-8, which is not checked.
    pub fn push_encoded(&mut self, packet: &[u8]) {
        self.push_head(0, packet.len(), utf16_len(packet));
        self.out.extend_from_slice(packet);
    }

    /// Appends a binary message.
    pub fn push_binary(&mut self, bytes: &[u8]) {
        if self.is_binary {
            self.push_head(1, 1 + bytes.len(), 0);
            encode_binary(bytes, self.out);
        } else {
            // One more for the digit behind the `b`.
            let len = packet::binary_len(bytes.len()) + 1;
            self.push_head(0, len, len);
            encode_base64(bytes, self.out);
        }
    }

    /// Appends an open packet.
    pub fn push_open(&mut self, open: &OpenPacket<'_>) {
        let mut packet = Vec::with_capacity(128);
        packet.push(PacketType::Open.digit());
        open.encode(&mut packet);
        self.push_encoded(&packet);
    }

    fn push_head(&mut self, kind: u8, len: usize, utf16_len: usize) {
        if self.is_binary {
            self.out.push(kind);
            push_digits(self.out, len, 0);
            self.out.push(LENGTH_END);
        } else {
            push_digits(self.out, utf16_len, b'0');
            self.out.push(b':');
        }
    }
}

/// Appends the decimal digits of `number`, each above `zero`.
fn push_digits(out: &mut Vec<u8>, number: usize, zero: u8) {
    let mut divisor = 1;
    while number / divisor > 9 {
        divisor *= 10;
    }
    while divisor > 0 {
        // A digit: nothing is cut off.
        out.push(zero + (number / divisor % 10).to_le_bytes()[0]);
        divisor /= 10;
    }
}

#[cfg(test)]
#[path = "v3_tests.rs"]
mod tests;
