//! The frame header (RFC 6455 §5.2).
//!
//! ```text
//!  byte 0            byte 1            0, 2 or 8 bytes        0 or 4 bytes
//! ┌───┬─────┬──────┐┌────┬───────────┐┌─────────────────────┐┌─────────────┐
//! │FIN│RSV×3│OPCODE││MASK│LEN 0..=125││length, big-endian,  ││ masking key │ payload…
//! │ 1 │  3  │  4   ││ 1  │126 or 127 ││ if LEN is 126 / 127 ││  if MASK    │
//! └───┴─────┴──────┘└────┴───────────┘└─────────────────────┘└─────────────┘
//! ```

use crate::{OpCode, ProtocolError};

/// The longest header: two bytes, a 64-bit length and a masking key.
pub const MAX_HEADER_LEN: usize = 14;

/// The longest payload of a control frame (§5.5).
pub(crate) const MAX_CONTROL_LEN: usize = 125;

/// All that precedes the payload of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether this frame ends its message.
    pub fin: bool,
    /// RSV1: with permessage-deflate, "this message is compressed" (RFC 7692 §6). RSV2 and RSV3 are never set.
    pub rsv1: bool,
    /// What the frame carries.
    pub opcode: OpCode,
    /// The masking key; present on every frame that a client sends and on none that a server sends (§5.1).
    pub masking_key: Option<[u8; 4]>,
    /// Bytes of payload that follow, at most 2^63 - 1.
    pub payload_len: u64,
}

impl FrameHeader {
    /// A header of an unmasked frame that is a whole message or control frame.
    #[inline]
    pub const fn new(opcode: OpCode, payload_len: u64) -> Self {
        Self { fin: true, rsv1: false, opcode, masking_key: None, payload_len }
    }

    /// Reads a header from the start of `input`: the header and its length in bytes, or `None` when `input` ends
    /// before the header does. What can be rejected is rejected as early as its byte is there.
    ///
    /// # Errors
    /// RSV2 or RSV3 set, a reserved opcode, a fragmented or long control frame, a length that is not minimally
    /// encoded or has its top bit set. Whether RSV1 and the mask are allowed depends on the connection and is not
    /// judged here.
    #[inline]
    pub fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let [first, second, rest @ ..] = input else {
            return match input.first() {
                Some(&first) => Self::decode_first(first).map(|_| None),
                None => Ok(None),
            };
        };
        let opcode = Self::decode_first(*first)?;
        let fin = first & 0x80 != 0;
        let len7 = second & 0x7F;
        if opcode.is_control() {
            // §5.5: "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be fragmented."
            if !fin {
                return Err(ProtocolError::FragmentedControlFrame);
            }
            if len7 > 125 {
                return Err(ProtocolError::ControlFrameTooLong);
            }
        }
        let (payload_len, rest, len_len) = match len7 {
            126 => {
                let Some((bytes, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
                let len = u64::from(u16::from_be_bytes(*bytes));
                // §5.2: "the minimal number of bytes MUST be used to encode the length"
                if len < 126 {
                    return Err(ProtocolError::LengthNotMinimal);
                }
                (len, rest, 2)
            }
            127 => {
                let Some((bytes, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
                let len = u64::from_be_bytes(*bytes);
                // §5.2: "the most significant bit MUST be 0"
                if len >> 63 != 0 {
                    return Err(ProtocolError::LengthTopBit);
                }
                if len < 65_536 {
                    return Err(ProtocolError::LengthNotMinimal);
                }
                (len, rest, 8)
            }
            len => (u64::from(len), rest, 0),
        };
        let (masking_key, key_len) = if second & 0x80 != 0 {
            let Some(key) = rest.first_chunk::<4>() else { return Ok(None) };
            (Some(*key), 4)
        } else {
            (None, 0)
        };
        let header = Self { fin, rsv1: first & 0x40 != 0, opcode, masking_key, payload_len };
        Ok(Some((header, 2 + len_len + key_len)))
    }

    #[inline]
    fn decode_first(first: u8) -> Result<OpCode, ProtocolError> {
        // §5.2: RSV bits "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values."
        if first & 0x30 != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        OpCode::from_nibble(first).ok_or(ProtocolError::ReservedOpCode(first & 0x0F))
    }

    /// The length of the header itself in bytes, 2 to [`MAX_HEADER_LEN`].
    #[inline]
    pub const fn encoded_len(&self) -> usize {
        let len_len = match self.payload_len {
            0..=125 => 0,
            126..=65_535 => 2,
            _ => 8,
        };
        2 + len_len + if self.masking_key.is_some() { 4 } else { 0 }
    }

    /// The header as bytes: an array and how many of its bytes count.
    #[inline]
    pub fn encode(&self) -> ([u8; MAX_HEADER_LEN], usize) {
        let mut out = [0; MAX_HEADER_LEN];
        let mask_bit = if self.masking_key.is_some() { 0x80 } else { 0 };
        out[0] = u8::from(self.fin) << 7 | u8::from(self.rsv1) << 6 | self.opcode as u8;
        let len = self.payload_len.to_be_bytes();
        let mut at = match self.payload_len {
            0..=125 => {
                out[1] = mask_bit | len[7];
                2
            }
            126..=65_535 => {
                out[1] = mask_bit | 126;
                out[2..4].copy_from_slice(&len[6..]);
                4
            }
            _ => {
                out[1] = mask_bit | 127;
                out[2..10].copy_from_slice(&len);
                10
            }
        };
        if let Some(key) = self.masking_key {
            out[at..at + 4].copy_from_slice(&key);
            at += 4;
        }
        (out, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn encode(header: FrameHeader) -> Vec<u8> {
        let (bytes, len) = header.encode();
        assert_eq!(len, header.encoded_len());
        bytes[..len].to_vec()
    }

    #[test]
    fn lengths_use_the_minimal_form_at_each_boundary() {
        for (len, header_len) in [
            (0, 2),
            (125, 2),
            (126, 4),
            (65_535, 4),
            (65_536, 10),
            (u64::from(u32::MAX) + 1, 10),
            (u64::MAX >> 1, 10),
        ] {
            let header = FrameHeader::new(OpCode::Binary, len);
            let bytes = encode(header);
            assert_eq!(bytes.len(), header_len);
            assert_eq!(FrameHeader::decode(&bytes), Ok(Some((header, header_len))));
        }
    }

    #[test]
    fn length_that_is_not_minimal_is_rejected() {
        assert_eq!(FrameHeader::decode(&[0x82, 126, 0, 125]), Err(ProtocolError::LengthNotMinimal));
        assert_eq!(
            FrameHeader::decode(&[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255]),
            Err(ProtocolError::LengthNotMinimal)
        );
    }

    #[test]
    fn length_with_the_top_bit_is_rejected() {
        assert_eq!(
            FrameHeader::decode(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            Err(ProtocolError::LengthTopBit)
        );
    }

    #[test]
    fn rsv2_rsv3_and_reserved_opcodes_are_rejected_at_the_first_byte() {
        assert_eq!(FrameHeader::decode(&[0xA1]), Err(ProtocolError::ReservedBits));
        assert_eq!(FrameHeader::decode(&[0x91]), Err(ProtocolError::ReservedBits));
        assert_eq!(FrameHeader::decode(&[0x83]), Err(ProtocolError::ReservedOpCode(3)));
        assert_eq!(FrameHeader::decode(&[0x8B]), Err(ProtocolError::ReservedOpCode(11)));
    }

    #[test]
    fn control_frames_are_neither_fragmented_nor_long() {
        assert_eq!(FrameHeader::decode(&[0x09, 0x00]), Err(ProtocolError::FragmentedControlFrame));
        assert_eq!(FrameHeader::decode(&[0x89, 126]), Err(ProtocolError::ControlFrameTooLong));
        assert_eq!(FrameHeader::decode(&[0x88, 127]), Err(ProtocolError::ControlFrameTooLong));
    }

    fn any_header() -> impl Strategy<Value = FrameHeader> {
        let opcode = prop_oneof![
            Just(OpCode::Continuation),
            Just(OpCode::Text),
            Just(OpCode::Binary),
            Just(OpCode::Close),
            Just(OpCode::Ping),
            Just(OpCode::Pong),
        ];
        let len = prop_oneof![0..300u64, 65_000..66_000u64, 0..u64::MAX >> 1];
        (any::<bool>(), any::<bool>(), opcode, any::<Option<[u8; 4]>>(), len).prop_map(
            |(fin, rsv1, opcode, masking_key, len)| FrameHeader {
                fin: fin || opcode.is_control(),
                rsv1,
                opcode,
                masking_key,
                payload_len: if opcode.is_control() { len % 126 } else { len },
            },
        )
    }

    proptest! {
        #[test]
        fn decode_inverts_encode_and_every_prefix_is_incomplete(header in any_header()) {
            let bytes = encode(header);
            prop_assert_eq!(FrameHeader::decode(&bytes), Ok(Some((header, bytes.len()))));
            for end in 0..bytes.len() {
                prop_assert_eq!(FrameHeader::decode(&bytes[..end]), Ok(None));
            }
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
            if let Ok(Some((header, len))) = FrameHeader::decode(&bytes) {
                prop_assert_eq!(encode(header), bytes[..len].to_vec());
            }
        }
    }
}
