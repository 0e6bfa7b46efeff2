//! The loops over payloads, compiled once for every processor of the target and once for those with wider vectors,
//! between which the processor decides at run time.
//!
//! The loops themselves are safe code that the compiler vectorizes. Unsafe is only the call of the wider version, after
//! the processor was asked. `mask` and its tests are the oracle; `benches/` shows what it buys (16 KiB of binary data
//! are received in about two thirds of the time).

/// From this length on the wider vectors are worth the question.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
const WIDE_LEN: usize = 256;

/// XORs `payload` with `key`, repeated.
#[inline]
pub(crate) fn mask(payload: &mut [u8], key: [u8; 4]) {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    if payload.len() >= WIDE_LEN && std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { mask_avx2(payload, key) };
    }
    mask_words(payload, key);
}

/// The same, and tells whether the result is ASCII.
#[inline]
pub(crate) fn mask_and_look(payload: &mut [u8], key: [u8; 4]) -> bool {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    if payload.len() >= WIDE_LEN && std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { mask_and_look_avx2(payload, key) };
    }
    mask_and_look_words(payload, key)
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
#[target_feature(enable = "avx2")]
fn mask_avx2(payload: &mut [u8], key: [u8; 4]) {
    mask_words(payload, key);
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
#[target_feature(enable = "avx2")]
fn mask_and_look_avx2(payload: &mut [u8], key: [u8; 4]) -> bool {
    mask_and_look_words(payload, key)
}

#[inline(always)]
fn mask_words(payload: &mut [u8], [a, b, c, d]: [u8; 4]) {
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
}

#[inline(always)]
fn mask_and_look_words(payload: &mut [u8], [a, b, c, d]: [u8; 4]) -> bool {
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut seen = 0;
    let (words, tail) = payload.as_chunks_mut::<8>();
    for word in words {
        let plain = u64::from_ne_bytes(*word) ^ wide;
        seen |= plain;
        *word = plain.to_ne_bytes();
    }
    let mut seen_in_tail = 0;
    for (byte, key) in tail.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
        seen_in_tail |= *byte;
    }
    (seen | u64::from(seen_in_tail)) & HIGH_BITS == 0
}
