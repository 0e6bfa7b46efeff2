//! Packets: a type digit and data, or binary (Engine.IO protocol revision 4, "Packet encoding").

use alloc::borrow::Cow;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::error::DecodeError;

/// Padding is written, and may be missing from what is read, as in the official decoder.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What starts a binary packet in a text.
const BINARY_PREFIX: u8 = b'b';

/// The type of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// `0`: the server opens the session.
    Open = b'0',
    /// `1`: the sender closes the session.
    Close = b'1',
    /// `2`: asks for a pong. Sent by the server, and by a client that probes a transport.
    Ping = b'2',
    /// `3`: answers a ping.
    Pong = b'3',
    /// `4`: carries what the application sends.
    Message = b'4',
    /// `5`: the client has changed to the probed transport.
    Upgrade = b'5',
    /// `6`: nothing, to end a waiting poll.
    Noop = b'6',
}

impl PacketType {
    /// The type of an ASCII digit.
    #[must_use]
    pub const fn from_digit(digit: u8) -> Option<Self> {
        Some(match digit {
            b'0' => Self::Open,
            b'1' => Self::Close,
            b'2' => Self::Ping,
            b'3' => Self::Pong,
            b'4' => Self::Message,
            b'5' => Self::Upgrade,
            b'6' => Self::Noop,
            _ => return None,
        })
    }

    /// The ASCII digit of the type.
    #[must_use]
    pub const fn digit(self) -> u8 {
        self as u8
    }
}

/// One packet, borrowed from what was received where it can be.
///
/// A WebSocket binary message is a whole [`Binary`](Self::Binary) packet as it is; it has no encoding of its
/// own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// `0` and JSON, see [`OpenPacket`](crate::OpenPacket).
    Open(&'a str),
    /// `1`.
    Close,
    /// `2`, with `probe` as its data on a transport that is probed.
    Ping(&'a str),
    /// `3`, with the data of the ping it answers.
    Pong(&'a str),
    /// `4` and text.
    Text(&'a str),
    /// A message of bytes. As text: `b` and base64, without a digit.
    Binary(Cow<'a, [u8]>),
    /// `5`.
    Upgrade,
    /// `6`.
    Noop,
}

impl<'a> Packet<'a> {
    /// Decodes one packet, as a WebSocket text message carries it. Data after `1`, `5` or `6` is ignored, as
    /// in the official decoder. A `b` packet without data is an error here; see
    /// [`PayloadLimits::allow_empty_binary`](crate::PayloadLimits) for where it is not.
    ///
    /// ```
    /// use sockeye_engineio::{DecodeError, Packet};
    ///
    /// assert_eq!(Packet::decode_text("4hello"), Ok(Packet::Text("hello")));
    /// assert_eq!(Packet::decode_text("2probe"), Ok(Packet::Ping("probe")));
    /// assert_eq!(Packet::decode_text("é1234"), Err(DecodeError::UnknownPacketType { byte: 0xc3 }));
    /// ```
    ///
    /// # Errors
    ///
    /// The text is empty, starts with no packet type, or is a binary packet that is not base64.
    pub fn decode_text(text: &'a str) -> Result<Self, DecodeError> {
        let packet = Self::decode(text)?;
        match &packet {
            Packet::Binary(bytes) if bytes.is_empty() => Err(DecodeError::EmptyBinary),
            _ => Ok(packet),
        }
    }

    /// As [`decode_text`](Self::decode_text), but a `b` without data is a message of no bytes.
    pub(crate) fn decode(text: &'a str) -> Result<Self, DecodeError> {
        // Compare bytes and cut only after an ASCII one: the text may start with a longer character.
        let (&first, bytes) = text.as_bytes().split_first().ok_or(DecodeError::EmptyPacket)?;
        if first == BINARY_PREFIX {
            return Ok(Packet::Binary(Cow::Owned(decode_base64(bytes)?)));
        }
        let packet_type =
            PacketType::from_digit(first).ok_or(DecodeError::UnknownPacketType { byte: first })?;
        let data = &text[1..];
        Ok(match packet_type {
            PacketType::Open => Packet::Open(data),
            PacketType::Close => Packet::Close,
            PacketType::Ping => Packet::Ping(data),
            PacketType::Pong => Packet::Pong(data),
            PacketType::Message => Packet::Text(data),
            PacketType::Upgrade => Packet::Upgrade,
            PacketType::Noop => Packet::Noop,
        })
    }

    /// Appends the packet as text. That is what a WebSocket text message carries, and one packet of a polling
    /// payload. A [`Binary`](Self::Binary) packet becomes `b` and base64, which a polling payload needs and a
    /// WebSocket text message may carry as well; over WebSocket its bytes are better sent as a binary
    /// message.
    ///
    /// ```
    /// use sockeye_engineio::Packet;
    ///
    /// let mut out = Vec::new();
    /// Packet::Binary([1, 2, 3].as_slice().into()).encode_text(&mut out);
    /// assert_eq!(out, b"bAQID");
    /// ```
    pub fn encode_text(&self, out: &mut Vec<u8>) {
        let data = match self {
            Packet::Binary(bytes) => return push_binary(out, bytes),
            Packet::Open(data) | Packet::Ping(data) | Packet::Pong(data) | Packet::Text(data) => data,
            Packet::Close | Packet::Upgrade | Packet::Noop => "",
        };
        out.reserve(1 + data.len());
        out.push(self.packet_type().digit());
        out.extend_from_slice(data.as_bytes());
    }

    /// The length in bytes of what [`encode_text`](Self::encode_text) appends.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match self {
            Packet::Binary(bytes) => binary_len(bytes.len()),
            Packet::Open(data) | Packet::Ping(data) | Packet::Pong(data) | Packet::Text(data) => {
                1 + data.len()
            }
            Packet::Close | Packet::Upgrade | Packet::Noop => 1,
        }
    }

    /// The type of the packet. Text and binary are both messages.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Packet::Open(_) => PacketType::Open,
            Packet::Close => PacketType::Close,
            Packet::Ping(_) => PacketType::Ping,
            Packet::Pong(_) => PacketType::Pong,
            Packet::Text(_) | Packet::Binary(_) => PacketType::Message,
            Packet::Upgrade => PacketType::Upgrade,
            Packet::Noop => PacketType::Noop,
        }
    }
}

/// The length of `b` and the base64 of `len` bytes.
pub(crate) const fn binary_len(len: usize) -> usize {
    len.div_ceil(3).saturating_mul(4).saturating_add(1)
}

/// Appends `b` and the base64 of `bytes`.
pub(crate) fn push_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    push_base64(out, &[BINARY_PREFIX], bytes);
}

/// Appends `prefix` and the base64 of `bytes`.
pub(crate) fn push_base64(out: &mut Vec<u8>, prefix: &[u8], bytes: &[u8]) {
    out.extend_from_slice(prefix);
    let start = out.len();
    out.resize(start + binary_len(bytes.len()) - 1, 0);
    let written = BASE64.encode_slice(bytes, &mut out[start..]);
    debug_assert_eq!(written, Ok(out.len() - start), "the room is as long as the base64");
}

pub(crate) fn decode_base64(base64: &[u8]) -> Result<Vec<u8>, DecodeError> {
    BASE64.decode(base64).map_err(|_| DecodeError::InvalidBase64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec;
    use proptest::prelude::*;

    fn encoded(packet: &Packet<'_>) -> String {
        let mut out = Vec::new();
        packet.encode_text(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn unknown(byte: u8) -> Result<Packet<'static>, DecodeError> {
        Err(DecodeError::UnknownPacketType { byte })
    }

    mod types {
        use super::*;

        #[test]
        fn every_digit_leads_to_its_type_and_back() {
            for byte in 0..=u8::MAX {
                let packet_type = PacketType::from_digit(byte);
                assert_eq!(packet_type.is_some(), (b'0'..=b'6').contains(&byte));
                assert!(packet_type.is_none_or(|found| found.digit() == byte));
            }
        }

        #[test]
        fn text_and_binary_are_messages() {
            assert_eq!(Packet::Text("").packet_type(), PacketType::Message);
            assert_eq!(Packet::Binary(Cow::Borrowed(&[])).packet_type(), PacketType::Message);
        }
    }

    mod encoding {
        use super::*;

        #[test]
        fn packets_are_a_digit_and_data() {
            let on_the_wire = [
                (Packet::Open("{}"), "0{}"),
                (Packet::Close, "1"),
                (Packet::Ping(""), "2"),
                (Packet::Ping("probe"), "2probe"),
                (Packet::Pong("probe"), "3probe"),
                (Packet::Text("hello €"), "4hello €"),
                (Packet::Text(""), "4"),
                (Packet::Upgrade, "5"),
                (Packet::Noop, "6"),
                (Packet::Binary(Cow::Borrowed(&[1, 2, 3, 4])), "bAQIDBA=="),
            ];
            for (packet, text) in on_the_wire {
                assert_eq!(encoded(&packet), text);
                assert_eq!(packet.encoded_len(), text.len());
                assert_eq!(Packet::decode_text(text), Ok(packet));
            }
        }

        #[test]
        fn encoding_appends() {
            let mut out = b"before".to_vec();
            Packet::Binary(Cow::Borrowed(b"x")).encode_text(&mut out);
            Packet::Noop.encode_text(&mut out);
            assert_eq!(out, b"beforebeA==6");
        }

        #[test]
        fn an_empty_binary_message_is_a_lone_b() {
            assert_eq!(encoded(&Packet::Binary(Cow::Borrowed(&[]))), "b");
            assert_eq!(Packet::decode("b"), Ok(Packet::Binary(Cow::Borrowed(&[]))));
        }
    }

    mod broken_input {
        use super::*;

        #[test]
        fn an_empty_packet_is_an_error() {
            assert_eq!(Packet::decode_text(""), Err(DecodeError::EmptyPacket));
        }

        #[test]
        fn a_first_character_of_several_bytes_is_an_unknown_type() {
            assert_eq!(Packet::decode_text("é1234"), unknown(0xc3));
            assert_eq!(Packet::decode_text("€"), unknown(0xe2));
            assert_eq!(Packet::decode_text("😀4"), unknown(0xf0));
        }

        #[test]
        fn a_multi_byte_character_after_the_type_is_data() {
            assert_eq!(Packet::decode_text("4é"), Ok(Packet::Text("é")));
            assert_eq!(Packet::decode_text("2é"), Ok(Packet::Ping("é")));
            assert_eq!(Packet::decode_text("bé"), Err(DecodeError::InvalidBase64));
        }

        #[test]
        fn other_first_bytes_are_unknown_types() {
            for (text, byte) in [
                ("7", b'7'),
                ("9", b'9'),
                ("a", b'a'),
                ("B", b'B'),
                (" 4", b' '),
                ("\0", 0),
                ("\u{1e}", 0x1e),
            ] {
                assert_eq!(Packet::decode_text(text), unknown(byte));
            }
        }

        #[test]
        fn a_lone_b_is_an_error() {
            assert_eq!(Packet::decode_text("b"), Err(DecodeError::EmptyBinary));
        }

        #[test]
        fn bad_base64_is_an_error() {
            for text in
                ["b!!!", "bA", "bAQI=D", "b====", "bAQID\n", "b AQID", "bAQ-_", "bAQIDé", "bb4AQIDBA=="]
            {
                assert_eq!(Packet::decode_text(text), Err(DecodeError::InvalidBase64), "{text:?}");
            }
        }

        #[test]
        fn base64_may_lack_its_padding() {
            assert_eq!(Packet::decode_text("bAQIDBA"), Ok(Packet::Binary(Cow::Owned(vec![1, 2, 3, 4]))));
        }

        #[test]
        fn data_after_close_upgrade_and_noop_is_ignored() {
            assert_eq!(Packet::decode_text("1x"), Ok(Packet::Close));
            assert_eq!(Packet::decode_text("5probe"), Ok(Packet::Upgrade));
            assert_eq!(Packet::decode_text("6é"), Ok(Packet::Noop));
        }
    }

    proptest! {
        #[test]
        fn a_text_packet_decodes_to_what_was_encoded(data in any::<String>(), kind in 0..7_u8) {
            let packet = match kind {
                0 => Packet::Open(&data),
                1 => Packet::Close,
                2 => Packet::Ping(&data),
                3 => Packet::Pong(&data),
                4 => Packet::Text(&data),
                5 => Packet::Upgrade,
                _ => Packet::Noop,
            };
            let text = encoded(&packet);
            prop_assert_eq!(text.len(), packet.encoded_len());
            prop_assert_eq!(Packet::decode_text(&text), Ok(packet));
        }

        #[test]
        fn a_binary_packet_decodes_to_what_was_encoded(bytes in any::<Vec<u8>>()) {
            let packet = Packet::Binary(Cow::Borrowed(&bytes));
            let text = encoded(&packet);
            prop_assert_eq!(text.len(), packet.encoded_len());
            prop_assert_eq!(Packet::decode(&text), Ok(packet));
        }

        #[test]
        fn any_text_decodes_or_fails_without_a_panic(text in "[0-9bé😀=\\x1eA]{0,3}\\PC*") {
            let _ = Packet::decode_text(&text);
        }
    }
}
