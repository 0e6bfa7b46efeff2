//! Masking (RFC 6455 §5.3) and where masking keys come from (§10.3).

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use crate::{InvalidUtf8, Utf8Validator, simd};

/// XORs `payload` with `key`, as if `payload` began `offset` bytes into the masked data.
///
/// Masking and unmasking are the same operation, so a message may be processed in pieces of any size:
///
/// ```
/// use sockeye_websocket::mask::mask;
///
/// let mut whole = *b"Hello, world";
/// mask(&mut whole, [1, 2, 3, 4], 0);
///
/// let mut pieces = *b"Hello, world";
/// mask(&mut pieces[..5], [1, 2, 3, 4], 0);
/// mask(&mut pieces[5..], [1, 2, 3, 4], 5);
/// assert_eq!(whole, pieces);
/// ```
#[inline]
pub fn mask(payload: &mut [u8], key: [u8; 4], offset: usize) {
    simd::mask(payload, simd::rotate(key, offset));
}

/// Appends `payload` to `target`, XORed with `key`: what a client sends is copied and masked in one pass.
///
/// ```
/// use sockeye_websocket::mask::{mask, mask_copy};
///
/// let mut frame = vec![0x82, 0x85, 1, 2, 3, 4];
/// mask_copy(b"Hello", [1, 2, 3, 4], &mut frame);
/// mask(&mut frame[6..], [1, 2, 3, 4], 0);
/// assert_eq!(&frame[6..], b"Hello");
/// ```
#[inline]
pub fn mask_copy(payload: &[u8], key: [u8; 4], target: &mut Vec<u8>) {
    simd::mask_copy(payload, key, target);
}

/// How much is unmasked before it is validated: small enough that the validator finds it in the first-level cache.
const BLOCK_LEN: usize = 8192;

/// [`mask`]s `payload` and validates the result, block by block while a block is in the first-level cache. What is ASCII
/// is recognized while it is unmasked, and not looked at again.
///
/// ```
/// use sockeye_websocket::{Utf8Validator, mask::{mask, mask_and_validate}};
///
/// let mut payload = "日本語".to_owned().into_bytes();
/// mask(&mut payload, [1, 2, 3, 4], 0);
///
/// let mut validator = Utf8Validator::new();
/// mask_and_validate(&mut payload[..4], [1, 2, 3, 4], 0, &mut validator)?;
/// mask_and_validate(&mut payload[4..], [1, 2, 3, 4], 4, &mut validator)?;
/// validator.finish()?;
/// assert_eq!(payload, "日本語".as_bytes());
/// # Ok::<(), sockeye_websocket::InvalidUtf8>(())
/// ```
///
/// # Errors
/// As [`Utf8Validator::validate`]; how much of the payload is unmasked is then unspecified.
#[inline]
pub fn mask_and_validate(
    payload: &mut [u8],
    key: [u8; 4],
    offset: usize,
    validator: &mut Utf8Validator,
) -> Result<(), InvalidUtf8> {
    let key = simd::rotate(key, offset);
    // The key stands in every block as it does in the first: their length is a multiple of its own.
    for block in payload.chunks_mut(BLOCK_LEN) {
        let is_ascii = simd::mask_and_look(block, key);
        if !(is_ascii && validator.is_between_characters()) {
            validator.validate(block)?;
        }
    }
    Ok(())
}

/// Where a client's masking keys come from.
///
/// §10.3 asks for keys that an attacker who chooses the payloads cannot predict; a counter or a constant lets
/// script in a browser write bytes of its choice to an intermediary.
pub struct MaskSource {
    /// `None` for the operating system's, or where there is none for the server, which needs no keys.
    custom: Option<Box<dyn FnMut() -> [u8; 4] + Send + Sync>>,
}

impl MaskSource {
    /// Keys from a generator for cryptography (ChaCha12), which all connections of a thread share, and which the
    /// operating system seeds anew now and then.
    #[cfg(feature = "std")]
    pub const fn operating_system() -> Self {
        Self { custom: None }
    }

    /// Keys from `source`, one call per frame.
    pub fn custom(source: impl FnMut() -> [u8; 4] + Send + Sync + 'static) -> Self {
        Self { custom: Some(Box::new(source)) }
    }

    /// For the server, which masks nothing.
    pub(crate) const fn unused() -> Self {
        Self { custom: None }
    }

    #[inline]
    pub(crate) fn next_key(&mut self) -> [u8; 4] {
        match &mut self.custom {
            Some(source) => source(),
            #[cfg(feature = "std")]
            None => system::next_key(),
            #[cfg(not(feature = "std"))]
            None => [0; 4],
        }
    }
}

impl fmt::Debug for MaskSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.custom.is_some() { "MaskSource::custom" } else { "MaskSource::operating_system" })
    }
}

#[cfg(feature = "std")]
mod system {
    use chacha20::{
        ChaCha12Rng,
        rand_core::{Rng as _, SeedableRng as _},
    };
    use std::cell::RefCell;

    /// How many keys are drawn at once.
    const DRAWN_COUNT: usize = 256;

    /// How often keys are drawn with one seed.
    const DRAW_COUNT: u32 = 256;

    struct Keys {
        drawn: [[u8; 4]; DRAWN_COUNT],
        next: usize,
        generator: Option<ChaCha12Rng>,
        left_count: u32,
    }

    impl Keys {
        #[inline]
        fn next(&mut self) -> [u8; 4] {
            if self.next >= DRAWN_COUNT {
                self.draw();
            }
            let key = self.drawn[self.next];
            self.next += 1;
            key
        }

        #[cold]
        fn draw(&mut self) {
            if self.left_count == 0 {
                self.left_count = DRAW_COUNT;
                self.generator = None;
            }
            self.left_count -= 1;
            let generator = self.generator.get_or_insert_with(|| {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).expect("the operating system has random numbers");
                ChaCha12Rng::from_seed(seed)
            });
            generator.fill_bytes(self.drawn.as_flattened_mut());
            self.next = 0;
        }
    }

    std::thread_local! {
        static KEYS: RefCell<Keys> = const {
            RefCell::new(Keys { drawn: [[0; 4]; DRAWN_COUNT], next: DRAWN_COUNT, generator: None, left_count: 0 })
        };
    }

    #[inline]
    pub(super) fn next_key() -> [u8; 4] {
        KEYS.with_borrow_mut(Keys::next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition of §5.3: `transformed-octet-i = original-octet-i XOR masking-key-octet-(i MOD 4)`.
    fn oracle(payload: &mut [u8], key: [u8; 4], offset: usize) {
        for (i, byte) in payload.iter_mut().enumerate() {
            *byte ^= key[(i + offset) % 4];
        }
    }

    #[test]
    fn every_length_alignment_and_offset_agrees_with_the_oracle() {
        let key = [0x37, 0xFA, 0x21, 0x3D];
        let bytes: Vec<u8> = (0..340u32).map(|i| (i * 31 % 251) as u8).collect();
        for start in 0..16 {
            for len in 0..=300 {
                for offset in 0..5 {
                    let mut fast = bytes.clone();
                    let mut slow = bytes.clone();
                    mask(&mut fast[start..start + len], key, offset);
                    oracle(&mut slow[start..start + len], key, offset);
                    assert_eq!(fast, slow, "start {start}, length {len}, offset {offset}");
                }
            }
        }
    }

    #[test]
    fn long_payloads_agree_with_the_oracle_around_every_length_that_matters() {
        let key = [0x37, 0xFA, 0x21, 0x3D];
        let bytes: Vec<u8> = (0..20_000u32).map(|i| (i * 31 % 251) as u8).collect();
        for middle in [512, 1024, 2048, 4096, 8192, 16_384] {
            for len in middle - 40..=middle + 40 {
                for start in [0, 1, 7, 14, 31] {
                    let mut fast = bytes.clone();
                    let mut slow = bytes.clone();
                    mask(&mut fast[start..start + len], key, start);
                    oracle(&mut slow[start..start + len], key, start);
                    assert!(fast == slow, "start {start}, length {len}");
                }
            }
        }
    }

    #[test]
    fn copies_are_masked_like_the_oracle_behind_whatever_is_there_already() {
        let key = [0x37, 0xFA, 0x21, 0x3D];
        let bytes: Vec<u8> = (0..5000u32).map(|i| (i * 31 % 251) as u8).collect();
        let lens = (0..=300).chain([511, 512, 513]).chain(2020..2080).chain([4095, 4096, 4097, 4999]);
        for len in lens {
            for header_len in 0..36 {
                let mut target = alloc::vec![0xEE; header_len];
                mask_copy(&bytes[..len], key, &mut target);
                let mut looked = alloc::vec![0xEE; header_len];
                let is_ascii = simd::mask_copy_and_look(&bytes[..len], key, &mut looked);
                assert_eq!((is_ascii, looked == target), (target[header_len..].is_ascii(), true));
                let mut expected = bytes[..len].to_vec();
                oracle(&mut expected, key, 0);
                assert_eq!(&target[..header_len], alloc::vec![0xEE; header_len]);
                assert!(target[header_len..] == expected, "length {len} behind {header_len}");
            }
        }
    }

    #[test]
    fn masked_text_is_judged_like_plain_text_wherever_it_is_cut_or_broken() {
        let key = [0x37, 0xFA, 0x21, 0x3D];
        let text: Vec<u8> = "aé€😀".bytes().cycle().take(2 * BLOCK_LEN + 17).collect();
        let places = (0..12).chain(BLOCK_LEN - 8..BLOCK_LEN + 8).chain(text.len() - 8..text.len());
        for place in places {
            for breaks in [false, true] {
                let mut plain = text.clone();
                if breaks {
                    plain[place] = 0xFF;
                }
                let mut masked = plain.clone();
                oracle(&mut masked, key, 0);
                let mut validator = Utf8Validator::new();
                let (first, second) = masked.split_at_mut(place);
                let judged = mask_and_validate(first, key, 0, &mut validator)
                    .and_then(|()| mask_and_validate(second, key, place, &mut validator))
                    .and_then(|()| validator.finish());
                assert_eq!(judged.is_ok(), core::str::from_utf8(&plain).is_ok(), "{place}, {breaks}");
                if judged.is_ok() {
                    assert!(masked == plain, "cut at {place}");
                }
            }
        }
    }

    #[test]
    fn ascii_behind_the_start_of_a_character_is_rejected() {
        let mut validator = Utf8Validator::new();
        validator.validate(b"\xE2\x82").unwrap();
        assert_eq!(mask_and_validate(&mut [b'a'; 300], [0; 4], 0, &mut validator), Err(InvalidUtf8));
    }

    #[test]
    fn ascii_is_found_while_unmasking_at_every_length_and_place() {
        let key = [0x37, 0xFA, 0x21, 0x3D];
        for len in (0..=300).chain([511, 512, 600]) {
            let mut masked: Vec<u8> = core::iter::repeat_n(b'a', len).collect();
            oracle(&mut masked, key, 0);
            let ascii = masked.clone();
            assert!(simd::mask_copy_and_look(&masked, key, &mut Vec::new()), "length {len}");
            assert!(simd::mask_and_look(&mut masked, key), "length {len}");
            assert!(masked.iter().all(|byte| *byte == b'a'));
            for at in 0..len {
                let mut masked = ascii.clone();
                masked[at] ^= 0x80;
                let mut copy = Vec::new();
                assert!(!simd::mask_copy_and_look(&masked, key, &mut copy), "length {len}, byte {at}");
                assert!(!simd::mask_and_look(&mut masked, key), "length {len}, byte {at}");
            }
        }
    }

    #[cfg(feature = "std")]
    #[test]
    fn system_keys_do_not_repeat_within_a_seed_nor_beyond_it() {
        let mut source = MaskSource::operating_system();
        let keys: std::collections::HashSet<_> = (0..140_000).map(|_| source.next_key()).collect();
        // By chance two or three of so many are the same; a seed that was used twice would cost a tenth of them.
        assert!(keys.len() > 139_900, "{} distinct keys of 140,000", keys.len());
    }

    #[cfg(feature = "std")]
    #[test]
    fn system_keys_of_two_threads_differ() {
        let keys = || (0..4).map(|_| MaskSource::operating_system().next_key()).collect::<Vec<_>>();
        assert_ne!(std::thread::spawn(keys).join().unwrap(), std::thread::spawn(keys).join().unwrap());
    }

    proptest! {
        #[test]
        fn pieces_mask_like_the_whole(
            mut payload in proptest::collection::vec(any::<u8>(), 0..2000),
            key: [u8; 4],
            cut in 0usize..2000,
        ) {
            let cut = cut.min(payload.len());
            let mut expected = payload.clone();
            oracle(&mut expected, key, 0);
            mask(&mut payload[..cut], key, 0);
            mask(&mut payload[cut..], key, cut);
            prop_assert_eq!(payload, expected);
        }

        #[test]
        fn masked_text_is_judged_like_plain_text(
            mut plain in prop_oneof![
                "\\PC{0,400}".prop_map(String::into_bytes),
                "[ -~]{0,600}".prop_map(String::into_bytes),
                proptest::collection::vec(any::<u8>(), 0..40),
            ],
            key: [u8; 4],
            flip in any::<Option<(proptest::sample::Index, u8)>>(),
            piece_len in 1usize..500,
        ) {
            if let Some((index, byte)) = flip && !plain.is_empty() {
                let at = index.index(plain.len());
                plain[at] = byte;
            }
            let mut masked = plain.clone();
            oracle(&mut masked, key, 0);
            let mut validator = Utf8Validator::new();
            let mut offset = 0;
            let judged = masked.chunks_mut(piece_len).try_for_each(|piece| {
                let result = mask_and_validate(piece, key, offset, &mut validator);
                offset += piece.len();
                result
            });
            let judged = judged.and_then(|()| validator.finish());
            prop_assert_eq!(judged.is_ok(), core::str::from_utf8(&plain).is_ok());
            if judged.is_ok() {
                prop_assert_eq!(masked, plain);
            }
        }
    }
}
