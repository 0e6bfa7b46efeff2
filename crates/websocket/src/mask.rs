//! Masking (RFC 6455 §5.3) and where masking keys come from (§10.3).

use alloc::boxed::Box;
use core::fmt;

use crate::simd;

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
    simd::mask(payload, rotate(key, offset));
}

/// The key as it stands `offset` bytes into the masked data.
#[inline]
fn rotate(key: [u8; 4], offset: usize) -> [u8; 4] {
    let [a, b, c, d] = key;
    match offset & 3 {
        0 => key,
        1 => [b, c, d, a],
        2 => [c, d, a, b],
        _ => [d, a, b, c],
    }
}

/// Where a client's masking keys come from.
///
/// §10.3 asks for keys that an attacker who chooses the payloads cannot predict; a counter or a constant lets
/// script in a browser write bytes of its choice to an intermediary.
pub struct MaskSource(Source);

enum Source {
    #[cfg(feature = "std")]
    OperatingSystem,
    Custom(Box<dyn FnMut() -> [u8; 4] + Send + Sync>),
}

impl MaskSource {
    /// Keys from the operating system's random numbers, fetched in blocks that all connections of a thread share.
    #[cfg(feature = "std")]
    pub const fn operating_system() -> Self {
        Self(Source::OperatingSystem)
    }

    /// Keys from `source`, one call per frame.
    pub fn custom(source: impl FnMut() -> [u8; 4] + Send + Sync + 'static) -> Self {
        Self(Source::Custom(Box::new(source)))
    }

    #[inline]
    pub(crate) fn next_key(&mut self) -> [u8; 4] {
        match &mut self.0 {
            #[cfg(feature = "std")]
            Source::OperatingSystem => system::next_key(),
            Source::Custom(source) => source(),
        }
    }
}

impl fmt::Debug for MaskSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            #[cfg(feature = "std")]
            Source::OperatingSystem => "MaskSource::operating_system",
            Source::Custom(_) => "MaskSource::custom",
        })
    }
}

#[cfg(feature = "std")]
mod system {
    use std::cell::RefCell;

    const BLOCK_LEN: usize = 1024;

    struct Keys {
        block: [u8; BLOCK_LEN],
        used_len: usize,
    }

    std::thread_local! {
        static KEYS: RefCell<Keys> = const { RefCell::new(Keys { block: [0; BLOCK_LEN], used_len: BLOCK_LEN }) };
    }

    pub(super) fn next_key() -> [u8; 4] {
        KEYS.with_borrow_mut(|keys| {
            if keys.used_len == BLOCK_LEN {
                getrandom::fill(&mut keys.block).expect("the operating system has random numbers");
                keys.used_len = 0;
            }
            let mut key = [0; 4];
            key.copy_from_slice(&keys.block[keys.used_len..keys.used_len + 4]);
            keys.used_len += 4;
            key
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
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
    fn ascii_is_found_while_unmasking_at_every_length_and_place() {
        let key = [0x37, 0xFA, 0x21, 0x3D];
        for len in 0..=300 {
            let mut masked: Vec<u8> = core::iter::repeat_n(b'a', len).collect();
            oracle(&mut masked, key, 0);
            let ascii = masked.clone();
            assert!(simd::mask_and_look(&mut masked, key), "length {len}");
            assert!(masked.iter().all(|byte| *byte == b'a'));
            for at in 0..len {
                let mut masked = ascii.clone();
                masked[at] ^= 0x80;
                assert!(!simd::mask_and_look(&mut masked, key), "length {len}, byte {at}");
            }
        }
    }

    #[cfg(feature = "std")]
    #[test]
    fn system_keys_do_not_repeat_within_blocks() {
        let mut source = MaskSource::operating_system();
        let keys: std::collections::HashSet<_> = (0..2000).map(|_| source.next_key()).collect();
        assert!(keys.len() > 1990, "{} distinct keys of 2000", keys.len());
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
    }
}
