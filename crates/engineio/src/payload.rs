//! Polling payloads: packets joined by `0x1e` (Engine.IO protocol revision 4, "HTTP long-polling").
//!
//! ```text
//! ┌────────┬────┬────────┬────┬──────────┐
//! │ 4hello │ 1e │ 2      │ 1e │ bAQIDBA= │      text: digit + data, binary: b + base64
//! └────────┴────┴────────┴────┴──────────┘
//! ```
//!
//! The separator cannot be escaped: a text message that holds `0x1e` arrives as two packets. JSON never does,
//! since it writes control characters as `\u001e`.

use core::iter::FusedIterator;

use alloc::vec::Vec;

use crate::error::DecodeError;
use crate::open::OpenPacket;
use crate::packet::{self, Packet, PacketType};

/// What stands between two packets.
const SEPARATOR: u8 = 0x1e;

/// What a [`PayloadDecoder`] accepts. The length of a payload is limited where it is read from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadLimits {
    /// How many packets a payload may have. Default 65 536: more than any client batches within the default
    /// `maxPayload` of 1 MB. The packet past the limit is [`DecodeError::TooManyPackets`].
    pub max_packet_count: usize,
    /// Whether a `b` without data is a message of no bytes. Default `false`: it is
    /// [`DecodeError::EmptyBinary`]. The official client does send an empty binary message over polling in
    /// this form, and the official server does take it, so a program that exchanges empty binary messages
    /// over polling turns this on.
    pub allow_empty_binary: bool,
}

impl Default for PayloadLimits {
    fn default() -> Self {
        Self { max_packet_count: 65_536, allow_empty_binary: false }
    }
}

/// The packets of a payload, one by one, borrowed from it. Stops after the first error, and takes linear
/// time.
///
/// ```
/// use sockeye_engineio::{DecodeError, Packet, PayloadDecoder, PayloadLimits};
///
/// let mut packets = PayloadDecoder::new("4a\u{1e}3\u{1e}\u{1e}4b", PayloadLimits::default());
/// assert_eq!(packets.next(), Some(Ok(Packet::Text("a"))));
/// assert_eq!(packets.next(), Some(Ok(Packet::Pong(""))));
/// assert_eq!(packets.next(), Some(Err(DecodeError::EmptyPacket)));
/// assert_eq!(packets.next(), None);
/// ```
#[derive(Debug, Clone)]
pub struct PayloadDecoder<'a> {
    /// `None` after the last packet and after an error.
    rest: Option<&'a str>,
    packet_count: usize,
    limits: PayloadLimits,
}

impl<'a> PayloadDecoder<'a> {
    /// Decodes a payload. An empty one is one empty packet, which is an error.
    #[must_use]
    pub const fn new(body: &'a str, limits: PayloadLimits) -> Self {
        Self { rest: Some(body), packet_count: 0, limits }
    }

    /// Decodes the body of a request.
    ///
    /// # Errors
    ///
    /// [`DecodeError::InvalidUtf8`] when `body` is not UTF-8. No packet of it is decoded then.
    pub fn from_bytes(body: &'a [u8], limits: PayloadLimits) -> Result<Self, DecodeError> {
        match core::str::from_utf8(body) {
            Ok(text) => Ok(Self::new(text, limits)),
            Err(error) => Err(DecodeError::InvalidUtf8 { valid_up_to: error.valid_up_to() }),
        }
    }

    fn decode_next(&mut self, text: &'a str) -> Result<Packet<'a>, DecodeError> {
        if self.packet_count == self.limits.max_packet_count {
            return Err(DecodeError::TooManyPackets { max: self.limits.max_packet_count });
        }
        self.packet_count += 1;
        if self.limits.allow_empty_binary { Packet::decode(text) } else { Packet::decode_text(text) }
    }
}

impl<'a> Iterator for PayloadDecoder<'a> {
    type Item = Result<Packet<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let text = match memchr::memchr(SEPARATOR, rest.as_bytes()) {
            Some(end) => {
                self.rest = Some(&rest[end + 1..]);
                &rest[..end]
            }
            None => rest,
        };
        let packet = self.decode_next(text);
        if packet.is_err() {
            self.rest = None;
        }
        Some(packet)
    }
}

impl FusedIterator for PayloadDecoder<'_> {}

/// Appends packets to a buffer, with separators between them.
///
/// It never refuses a packet. The caller asks [`fits`](Self::fits) and [`packet_count`](Self::packet_count)
/// before each one to cap an answer: a client may limit the bytes (`maxPayload`) or the packets
/// (python-engineio gives up on a payload of more than 16).
///
/// ```
/// use sockeye_engineio::{PacketType, PayloadEncoder};
///
/// let mut body = Vec::new();
/// let mut payload = PayloadEncoder::new(&mut body);
/// for message in ["hello", "world", "and the rest"] {
///     if !payload.fits(1 + message.len(), 20) {
///         break;
///     }
///     payload.push_text(PacketType::Message, message);
/// }
/// assert_eq!(body, b"4hello\x1e4world");
/// ```
#[derive(Debug)]
pub struct PayloadEncoder<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    packet_count: usize,
}

impl<'o> PayloadEncoder<'o> {
    /// A payload that starts at the end of `out`.
    #[must_use]
    pub const fn new(out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start, packet_count: 0 }
    }

    /// Appends a packet.
    pub fn push(&mut self, packet: &Packet<'_>) {
        self.separate();
        packet.encode_text(self.out);
    }

    /// Appends a packet of this type with text data.
    pub fn push_text(&mut self, packet_type: PacketType, data: &str) {
        self.push_parts(packet_type, data.as_bytes());
    }

    /// Appends a text message. Given as bytes, `text` must be UTF-8, which is not checked.
    pub fn push_message_text(&mut self, text: impl AsRef<[u8]>) {
        self.push_parts(PacketType::Message, text.as_ref());
    }

    /// Appends a binary message.
    pub fn push_binary(&mut self, bytes: &[u8]) {
        self.separate();
        packet::push_binary(self.out, bytes);
    }

    /// Appends an open packet.
    pub fn push_open(&mut self, open: &OpenPacket<'_>) {
        self.separate();
        self.out.push(PacketType::Open.digit());
        open.encode(self.out);
    }

    /// Appends a packet that is encoded already, its type digit included: the shared bytes of a broadcast. It
    /// must be one packet in the form of [`Packet::encode_text`], which is not checked.
    pub fn push_encoded(&mut self, packet: &[u8]) {
        self.separate();
        self.out.extend_from_slice(packet);
    }

    /// The length of the payload so far, in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.out.len() - self.start
    }

    /// Whether the payload has no packet yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.packet_count == 0
    }

    /// How many packets the payload has so far.
    #[must_use]
    pub const fn packet_count(&self) -> usize {
        self.packet_count
    }

    /// Whether the payload stays within `max` bytes with one more packet of `packet_len` encoded bytes (for
    /// text: the type digit and the data, for binary: [`binary_len`](Self::binary_len)). The separator is
    /// taken into account.
    ///
    /// A single packet above `max` does not fit an empty payload either; it has to be sent alone or not at
    /// all.
    #[must_use]
    pub const fn fits(&self, packet_len: usize, max: usize) -> bool {
        let separator_len = if self.is_empty() { 0 } else { 1 };
        self.len().saturating_add(separator_len).saturating_add(packet_len) <= max
    }

    /// The encoded length of a binary message of `len` bytes: `b` and base64.
    #[must_use]
    pub const fn binary_len(len: usize) -> usize {
        packet::binary_len(len)
    }

    fn push_parts(&mut self, packet_type: PacketType, data: &[u8]) {
        self.separate();
        self.out.reserve(1 + data.len());
        self.out.push(packet_type.digit());
        self.out.extend_from_slice(data);
    }

    fn separate(&mut self) {
        if self.packet_count > 0 {
            self.out.push(SEPARATOR);
        }
        self.packet_count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::Cow;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;
    use proptest::prelude::*;

    const LENIENT: PayloadLimits = PayloadLimits { max_packet_count: usize::MAX, allow_empty_binary: true };

    fn decoded(body: &str) -> Vec<Result<Packet<'_>, DecodeError>> {
        PayloadDecoder::new(body, PayloadLimits::default()).collect()
    }

    mod decoding {
        use super::*;

        #[test]
        fn packets_come_out_in_order() {
            assert_eq!(
                decoded("4test1\u{1e}2\u{1e}bAQIDBA==\u{1e}4é"),
                [
                    Ok(Packet::Text("test1")),
                    Ok(Packet::Ping("")),
                    Ok(Packet::Binary(Cow::Owned(vec![1, 2, 3, 4]))),
                    Ok(Packet::Text("é")),
                ]
            );
        }

        #[test]
        fn an_empty_payload_is_an_empty_packet() {
            assert_eq!(decoded(""), [Err(DecodeError::EmptyPacket)]);
        }

        #[test]
        fn runs_of_separators_are_empty_packets() {
            assert_eq!(decoded("\u{1e}"), [Err(DecodeError::EmptyPacket)]);
            assert_eq!(decoded("\u{1e}\u{1e}\u{1e}"), [Err(DecodeError::EmptyPacket)]);
            assert_eq!(decoded("4a\u{1e}\u{1e}4b"), [Ok(Packet::Text("a")), Err(DecodeError::EmptyPacket)]);
            assert_eq!(decoded("4a\u{1e}"), [Ok(Packet::Text("a")), Err(DecodeError::EmptyPacket)]);
        }

        #[test]
        fn nothing_comes_after_the_first_error() {
            let unknown = DecodeError::UnknownPacketType { byte: 0xc3 };
            assert_eq!(decoded("4a\u{1e}é1234\u{1e}4b"), [Ok(Packet::Text("a")), Err(unknown)]);
            assert_eq!(decoded("b!\u{1e}4b"), [Err(DecodeError::InvalidBase64)]);
            assert_eq!(decoded("b\u{1e}4b"), [Err(DecodeError::EmptyBinary)]);
        }

        #[test]
        fn a_lone_b_is_an_empty_binary_message_where_that_is_allowed() {
            let packets: Vec<_> = PayloadDecoder::new("b\u{1e}4b", LENIENT).collect();
            assert_eq!(packets, [Ok(Packet::Binary(Cow::Borrowed(&[]))), Ok(Packet::Text("b"))]);
        }

        #[test]
        fn a_packet_past_the_limit_is_an_error() {
            let limits = PayloadLimits { max_packet_count: 2, ..PayloadLimits::default() };
            let packets: Vec<_> = PayloadDecoder::new("6\u{1e}6\u{1e}6\u{1e}6", limits).collect();
            assert_eq!(
                packets,
                [Ok(Packet::Noop), Ok(Packet::Noop), Err(DecodeError::TooManyPackets { max: 2 })]
            );
            assert!(PayloadDecoder::new("6\u{1e}6", limits).all(|packet| packet.is_ok()));
        }

        #[test]
        fn invalid_utf8_is_reported_with_its_place() {
            let error = PayloadDecoder::from_bytes(b"4a\xff", PayloadLimits::default()).unwrap_err();
            assert_eq!(error, DecodeError::InvalidUtf8 { valid_up_to: 2 });
            let cut_short = PayloadDecoder::from_bytes(b"4\xc3", PayloadLimits::default()).unwrap_err();
            assert_eq!(cut_short, DecodeError::InvalidUtf8 { valid_up_to: 1 });
        }
    }

    mod encoding {
        use super::*;

        #[test]
        fn every_kind_of_packet_is_joined_by_separators() {
            let mut out = b"kept".to_vec();
            let mut payload = PayloadEncoder::new(&mut out);
            assert!(payload.is_empty());
            payload.push_text(PacketType::Ping, "");
            payload.push_message_text("str");
            payload.push_message_text(b"bytes");
            payload.push_binary(&[1, 2, 3, 4]);
            payload.push_encoded(b"42[\"event\"]");
            payload.push(&Packet::Noop);
            assert_eq!(payload.packet_count(), 6);
            let len = payload.len();
            assert_eq!(out, b"kept2\x1e4str\x1e4bytes\x1ebAQIDBA==\x1e42[\"event\"]\x1e6");
            assert_eq!(len, out.len() - 4);
        }

        #[test]
        fn fits_counts_the_separator() {
            let mut out = Vec::new();
            let mut payload = PayloadEncoder::new(&mut out);
            assert!(payload.fits(5, 5) && !payload.fits(6, 5));
            payload.push_message_text("1234");
            assert!(payload.fits(4, 10) && !payload.fits(5, 10));
            assert!(!payload.fits(usize::MAX, usize::MAX - 1));
        }

        #[test]
        fn the_length_of_a_huge_binary_does_not_overflow() {
            assert_eq!(PayloadEncoder::binary_len(0), 1);
            assert_eq!(PayloadEncoder::binary_len(1), 5);
            assert_eq!(PayloadEncoder::binary_len(usize::MAX), usize::MAX);
        }
    }

    /// What [`Packet`] borrows from.
    #[derive(Debug, Clone)]
    enum Owned {
        Text(PacketType, String),
        Binary(Vec<u8>),
    }

    impl Owned {
        fn packet(&self) -> Packet<'_> {
            match self {
                Self::Text(PacketType::Open, data) => Packet::Open(data),
                Self::Text(PacketType::Close, _) => Packet::Close,
                Self::Text(PacketType::Ping, data) => Packet::Ping(data),
                Self::Text(PacketType::Pong, data) => Packet::Pong(data),
                Self::Text(PacketType::Message, data) => Packet::Text(data),
                Self::Text(PacketType::Upgrade, _) => Packet::Upgrade,
                Self::Text(PacketType::Noop, _) => Packet::Noop,
                Self::Binary(bytes) => Packet::Binary(Cow::Borrowed(bytes)),
            }
        }
    }

    fn owned_packet() -> impl Strategy<Value = Owned> {
        let text = (b'0'..=b'6', "[^\\x1e]{0,12}")
            .prop_map(|(digit, data)| Owned::Text(PacketType::from_digit(digit).unwrap(), data));
        prop_oneof![text, proptest::collection::vec(any::<u8>(), 0..20).prop_map(Owned::Binary)]
    }

    proptest! {
        #[test]
        fn a_payload_decodes_to_what_was_encoded(packets in proptest::collection::vec(owned_packet(), 1..20)) {
            let mut out = Vec::new();
            let mut payload = PayloadEncoder::new(&mut out);
            for owned in &packets {
                let packet = owned.packet();
                let len = payload.len();
                let separator_len = usize::from(!payload.is_empty());
                payload.push(&packet);
                prop_assert_eq!(payload.len(), len + separator_len + packet.encoded_len());
            }
            prop_assert_eq!(payload.packet_count(), packets.len());
            let decoded: Result<Vec<_>, _> = PayloadDecoder::from_bytes(&out, LENIENT).unwrap().collect();
            prop_assert_eq!(decoded.unwrap(), packets.iter().map(Owned::packet).collect::<Vec<_>>());
        }

        #[test]
        fn a_payload_decodes_as_a_plain_split_does(body in "[0-7bé\\x1eQ=]{0,40}") {
            let mut expected = Vec::new();
            for text in body.split('\u{1e}') {
                expected.push(Packet::decode_text(text));
                if expected.last().is_some_and(Result::is_err) {
                    break;
                }
            }
            prop_assert_eq!(decoded(&body), expected);
        }

        #[test]
        fn any_bytes_decode_or_fail_without_a_panic(body in any::<Vec<u8>>()) {
            if let Ok(packets) = PayloadDecoder::from_bytes(&body, PayloadLimits::default()) {
                let packets: Vec<_> = packets.collect();
                let error_count = packets.iter().filter(|packet| packet.is_err()).count();
                prop_assert!(error_count == 0 || (error_count == 1 && packets.last().unwrap().is_err()));
            }
        }
    }

    #[test]
    fn a_payload_of_separators_costs_one_packet() {
        let body = "\u{1e}".repeat(1_000_000);
        assert_eq!(decoded(&body).len(), 1);
        let many = format!("{}6", "6\u{1e}".repeat(100_000));
        assert_eq!(decoded(&many).len(), 65_537);
    }
}
