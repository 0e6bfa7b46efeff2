//! Messages in one frame of less than 64 KiB, all of it here: nearly everything that is received, at the least cost.
//!
//! ```text
//!  input  ──┬────────┬─────────┬────────┬──────── - -
//!           │ header │ payload │ header │
//!         ──┴────────┴─────────┴────────┴──────── - -
//!           ▲ position, between two messages
//! ```
//! Whatever is not plainly that, every error included, is left as it is and judged in `step.rs`.

use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Range;

use crate::{Message, MessageKind, ReceiveHalf, Role, mask::mask, simd, utf8::is_utf8, validated};

/// Text up to this length is unmasked and then validated as a whole: the validator finds it in the first-level cache.
const TEXT_LEN: usize = 8192;

/// What its header says of such a frame.
struct ShortFrame {
    kind: MessageKind,
    masking_key: Option<[u8; 4]>,
    header_len: usize,
    payload_len: usize,
}

/// A copy of such a message.
pub(crate) struct ShortMessage {
    kind: MessageKind,
    /// Valid UTF-8, if this is a text.
    payload: Vec<u8>,
    pub(crate) frame_len: usize,
}

impl ShortMessage {
    // A message is moved from where it is made to where it is used; so it is made at the end.
    #[inline(always)]
    pub(crate) fn into_message(self) -> Message {
        let payload = Bytes::from(self.payload);
        match self.kind {
            // SAFETY: `copy_short_message` makes a text only of bytes that passed the validator.
            #[allow(unsafe_code, reason = "see validated.rs")]
            MessageKind::Text => Message::Text(unsafe { validated::into_byte_string(payload) }),
            MessageKind::Binary => Message::Binary(payload),
        }
    }
}

impl ReceiveHalf {
    /// The frame at the start of `rest`.
    #[inline(always)]
    fn short_frame(&self, rest: &[u8]) -> Option<ShortFrame> {
        if !self.at_rest {
            return None;
        }
        let &[first, second, high, low] = rest.first_chunk::<4>()?;
        let kind = match first {
            0x81 => MessageKind::Text,
            0x82 => MessageKind::Binary,
            _ => return None,
        };
        // With the bit of the mask as the role wants it, what is left is the length.
        let masked = self.role == Role::Server;
        let (payload_len, len_len) = match second ^ if masked { 0x80 } else { 0 } {
            len @ 0..126 => (u16::from(len), 0),
            126 => (u16::from_be_bytes([high, low]), 2),
            _ => return None,
        };
        if (len_len != 0 && payload_len < 126) || payload_len > self.max_short_len {
            return None;
        }
        let (masking_key, header_len) = if masked {
            (Some(*rest.get(2 + len_len..)?.first_chunk::<4>()?), 6 + len_len)
        } else {
            (None, 2 + len_len)
        };
        Some(ShortFrame { kind, masking_key, header_len, payload_len: usize::from(payload_len) })
    }

    /// Whether the message at the start of `rest` is all here; `None` if it is no short one.
    #[inline]
    pub(crate) fn has_short_message(&self, rest: &[u8]) -> Option<bool> {
        let ShortFrame { header_len, payload_len, .. } = self.short_frame(rest)?;
        Some(header_len + payload_len <= rest.len())
    }

    /// Unmasks the message at `position` in its place and passes it; tells where its payload lies.
    #[inline(always)]
    pub(crate) fn short_message(
        &self,
        input: &mut [u8],
        position: &mut usize,
    ) -> Option<(MessageKind, Range<usize>)> {
        let rest = input.get_mut(*position..)?;
        let ShortFrame { kind, masking_key, header_len, payload_len } = self.short_frame(rest)?;
        let payload = rest.get_mut(header_len..)?.get_mut(..payload_len)?;
        match (kind, masking_key) {
            (MessageKind::Binary, Some(key)) => mask(payload, key, 0),
            (MessageKind::Binary, None) => {}
            (MessageKind::Text, _) if payload_len > TEXT_LEN => return None,
            (MessageKind::Text, Some(key)) => {
                if !simd::mask_and_look(payload, key) && !is_utf8(payload) {
                    mask(payload, key, 0);
                    return None;
                }
            }
            (MessageKind::Text, None) => {
                if !is_utf8(payload) {
                    return None;
                }
            }
        }
        let start = *position + header_len;
        *position = start + payload_len;
        Some((kind, start..*position))
    }

    /// Copies the message at the start of `input`, unmasked on the way, if its payload is no longer than `max_len`.
    #[inline(always)]
    pub(crate) fn copy_short_message(&self, input: &[u8], max_len: usize) -> Option<ShortMessage> {
        let ShortFrame { kind, masking_key, header_len, payload_len } = self.short_frame(input)?;
        if payload_len > max_len {
            return None;
        }
        let payload = input.get(header_len..)?.get(..payload_len)?;
        let mut copy = Vec::with_capacity(payload_len);
        let mut is_ascii = false;
        match (masking_key, kind) {
            (None, _) => copy.extend_from_slice(payload),
            (Some(key), MessageKind::Binary) => simd::mask_copy(payload, key, &mut copy),
            (Some(key), MessageKind::Text) => is_ascii = simd::mask_copy_and_look(payload, key, &mut copy),
        }
        if kind == MessageKind::Text && !is_ascii && !is_utf8(&copy) {
            return None;
        }
        Some(ShortMessage { kind, payload: copy, frame_len: header_len + payload_len })
    }
}
