//! Incremental UTF-8 validation (RFC 6455 §8.1): text is judged as it arrives, not when its message is complete.

use core::fmt;

/// The text is not UTF-8: no continuation could make it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidUtf8;

impl fmt::Display for InvalidUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text is not valid UTF-8")
    }
}

impl core::error::Error for InvalidUtf8 {}

/// Validates text that arrives in pieces, which may be cut anywhere, within a code point too.
///
/// ```
/// use sockeye_websocket::Utf8Validator;
///
/// let mut validator = Utf8Validator::new();
/// let euro = "€".as_bytes();
/// validator.validate(&euro[..2])?;
/// assert!(validator.finish().is_err(), "the text ends inside a code point");
/// validator.validate(&euro[2..])?;
/// validator.finish()?;
/// # Ok::<(), sockeye_websocket::InvalidUtf8>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Utf8Validator {
    /// The first bytes of a code point whose last bytes have not arrived.
    partial: [u8; 4],
    partial_len: u8,
}

impl Utf8Validator {
    /// A validator at the start of a text.
    pub const fn new() -> Self {
        Self { partial: [0; 4], partial_len: 0 }
    }

    /// Takes the next piece of the text.
    ///
    /// # Errors
    /// As soon as the bytes seen so far cannot be the start of valid UTF-8. The validator is of no use after that.
    #[inline]
    pub fn validate(&mut self, mut piece: &[u8]) -> Result<(), InvalidUtf8> {
        if self.partial_len > 0 {
            piece = self.complete_partial(piece)?;
        }
        // Short texts are mostly ASCII, and looking for that costs less than a call of the validator.
        if piece.len() < 64 && piece.is_ascii() {
            return Ok(());
        }
        let (whole, begun) = piece.split_at(piece.len() - begun_len(piece));
        simdutf8::basic::from_utf8(whole).map_err(|_| InvalidUtf8)?;
        if begun.is_empty() { Ok(()) } else { self.begin_partial(begun) }
    }

    /// Whether the text so far ends between two characters, so that ASCII may follow.
    #[inline]
    pub(crate) const fn is_between_characters(&self) -> bool {
        self.partial_len == 0
    }

    /// Ends the text.
    ///
    /// # Errors
    /// When it ends inside a code point.
    #[inline]
    pub const fn finish(&self) -> Result<(), InvalidUtf8> {
        if self.partial_len == 0 { Ok(()) } else { Err(InvalidUtf8) }
    }

    /// Keeps the first bytes of a code point, unless none begins so.
    fn begin_partial(&mut self, begun: &[u8]) -> Result<(), InvalidUtf8> {
        match core::str::from_utf8(begun) {
            Err(error) if error.error_len().is_none() => {
                self.partial[..begun.len()].copy_from_slice(begun);
                self.partial_len = begun.len().to_le_bytes()[0];
                Ok(())
            }
            _ => Err(InvalidUtf8),
        }
    }

    /// Feeds the code point that is under way byte by byte; returns what is left of `piece` after it.
    fn complete_partial<'p>(&mut self, piece: &'p [u8]) -> Result<&'p [u8], InvalidUtf8> {
        for (i, &byte) in piece.iter().enumerate() {
            let len = usize::from(self.partial_len);
            // An incomplete prefix is at most three bytes long, so the fourth always has room.
            self.partial[len] = byte;
            match core::str::from_utf8(&self.partial[..=len]) {
                Ok(_) => {
                    self.partial_len = 0;
                    return Ok(&piece[i + 1..]);
                }
                Err(error) if error.error_len().is_some() => return Err(InvalidUtf8),
                Err(_) => self.partial_len += 1,
            }
        }
        Ok(&[])
    }
}

/// What the vectors of the validator take at once; it judges less than that byte by byte.
const BLOCK_LEN: usize = 64;

/// Whether a whole text is valid.
#[inline]
pub(crate) fn is_utf8(text: &[u8]) -> bool {
    if text.len() >= BLOCK_LEN {
        return simdutf8::basic::from_utf8(text).is_ok();
    }
    if text.is_ascii() {
        return true;
    }
    // Behind it NULs, which are valid, and end a code point no more than the end of the text does.
    let mut block = [0; BLOCK_LEN];
    block[..text.len()].copy_from_slice(text);
    simdutf8::basic::from_utf8(&block).is_ok()
}

/// How many bytes at the end of `piece`, at most three, begin a code point that they do not end, going by the length
/// that its first byte announces. Whether they are valid so far is not judged.
#[inline]
fn begun_len(piece: &[u8]) -> usize {
    for (i, byte) in piece.iter().rev().take(3).enumerate() {
        let announced_len = match byte {
            0x80..0xC0 => continue,
            0xC0..0xE0 => 2,
            0xE0..0xF0 => 3,
            0xF0.. => 4,
            0..0x80 => 1,
        };
        return if announced_len > i + 1 { i + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::String, vec::Vec};
    use proptest::prelude::*;

    /// Position of the first byte that rules out UTF-8, by the standard library on ever longer prefixes.
    fn oracle(bytes: &[u8]) -> Option<usize> {
        (1..=bytes.len())
            .find(|&end| core::str::from_utf8(&bytes[..end]).is_err_and(|e| e.error_len().is_some()))
            .map(|end| end - 1)
    }

    fn byte_by_byte(bytes: &[u8]) -> Option<usize> {
        let mut validator = Utf8Validator::new();
        bytes.iter().position(|byte| validator.validate(&[*byte]).is_err())
    }

    #[test]
    fn fails_at_the_first_byte_that_rules_out_utf8() {
        let cases: [&[u8]; 12] = [
            b"\xC0\x80",
            b"\xE0\x80\x80",
            b"\xED\xA0\x80",
            b"\xF4\x90\x80\x80",
            b"\xF8\x88\x80\x80\x80",
            b"\xFF",
            b"\x80",
            b"ab\xC3(",
            b"\xE2\x82(",
            b"\xF0\x9F\x98(",
            "κόσμε\u{10FFFF}".as_bytes(),
            b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xED\xA0\x80edited",
        ];
        for case in cases {
            assert_eq!(byte_by_byte(case), oracle(case), "{case:x?}");
        }
    }

    #[test]
    fn character_across_a_block_boundary_is_accepted_at_every_position() {
        for prefix in 0..80 {
            for character in ["é", "€", "😀"] {
                let mut text: Vec<u8> = core::iter::repeat_n(b'a', prefix).collect();
                text.extend_from_slice(character.as_bytes());
                for cut in 0..=text.len() {
                    let mut validator = Utf8Validator::new();
                    validator.validate(&text[..cut]).unwrap();
                    assert_eq!(validator.finish().is_ok(), core::str::from_utf8(&text[..cut]).is_ok());
                    validator.validate(&text[cut..]).unwrap();
                    validator.finish().unwrap();
                }
            }
        }
    }

    #[test]
    fn whole_texts_of_every_length_are_judged_as_by_the_standard_library() {
        for character in ["a", "é", "€", "😀"] {
            let text: Vec<u8> = character.bytes().cycle().take(140).collect();
            for start in 0..4 {
                for end in start..text.len() {
                    let text = &text[start..end];
                    assert_eq!(is_utf8(text), core::str::from_utf8(text).is_ok(), "{text:x?}");
                }
            }
        }
    }

    #[test]
    fn every_way_to_end_a_piece_is_judged_as_early_as_byte_by_byte() {
        // Behind 64 bytes, so that the vectors and what follows them both have their part.
        let ends: Vec<Vec<u8>> = [0x61, 0x80, 0xBF, 0xC1, 0xC3, 0xE0, 0xE2, 0xED, 0xF0, 0xF4, 0xF5, 0xFF]
            .iter()
            .flat_map(|&a| [0x61u8, 0x80, 0x9F, 0xA0, 0xC3, 0xE2, 0xF0].map(|b| [a, b]))
            .flat_map(|[a, b]| [0x61u8, 0x80, 0xBF, 0xE2, 0xF0].map(|c| alloc::vec![a, b, c]))
            .collect();
        for end in ends {
            for len in 1..=3 {
                let piece = [&[b'a'; 64][..], &end[..len]].concat();
                let mut validator = Utf8Validator::new();
                let judged = validator.validate(&piece);
                assert_eq!(judged.is_ok(), oracle(&piece).is_none(), "{:x?}", &end[..len]);
                if judged.is_ok() {
                    assert_eq!(validator.finish().is_ok(), core::str::from_utf8(&piece).is_ok());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_are_judged_like_the_whole(
            mut bytes in prop_oneof![
                "\\PC{0,200}".prop_map(String::into_bytes),
                proptest::collection::vec(any::<u8>(), 0..200),
            ],
            flip in any::<Option<(proptest::sample::Index, u8)>>(),
            piece_len in 1usize..100,
        ) {
            if let Some((index, byte)) = flip && !bytes.is_empty() {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            prop_assert_eq!(byte_by_byte(&bytes), oracle(&bytes));
            let mut validator = Utf8Validator::new();
            let piecewise = bytes.chunks(piece_len).all(|piece| validator.validate(piece).is_ok())
                && validator.finish().is_ok();
            prop_assert_eq!(piecewise, core::str::from_utf8(&bytes).is_ok());
            prop_assert_eq!(is_utf8(&bytes), piecewise);
            let short = &bytes[..bytes.len().min(40)];
            prop_assert_eq!(is_utf8(short), core::str::from_utf8(short).is_ok());
        }
    }
}
