//! The loops over payloads, compiled once for every processor of the target and once for those with wider vectors,
//! between which the processor decides at run time.
//!
//! ```text
//!  payload   ├─ first ─┤ (loaded before, stored after the loop)
//!            ├────┤═══════╪═══════╪═══════╪═══════├──────┤
//!           unaligned   blocks at multiples of a vector      ├─ last ─┤ (likewise)
//! ```
//! A vector that crosses the end of a cache line costs twice, and behind the header of a frame most would. So long payloads
//! are processed from the first aligned byte on; what lies before and behind is covered by two vectors that overlap the
//! rest, without a branch that depends on how many bytes these are.
//!
//! The loops themselves are safe code that the compiler vectorizes. Unsafe is only the call of the wider version, after
//! the processor was asked. `mask` and its tests are the oracle; `benches/` shows what it buys.

use alloc::vec::Vec;

/// From this length on it is worth to align, and to ask for wider vectors.
const LONG_LEN: usize = 256;

/// From this length on it is worth to align what is masked while it is copied.
const ALIGNED_COPY_LEN: usize = 2048;

/// The length of a vector in bytes, at most.
const VECTOR_LEN: usize = 32;

/// The length of a vector that every processor of the target has.
const SHORT_VECTOR_LEN: usize = 16;

/// How many bytes are masked at once while they are copied: as much as the registers hold.
const COPIED_LEN: usize = 8 * VECTOR_LEN;

/// XORs `payload` with `key`, repeated.
#[inline]
pub(crate) fn mask(payload: &mut [u8], key: [u8; 4]) {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    if payload.len() >= LONG_LEN && std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { mask_avx2(payload, key) };
        return;
    }
    mask_any(payload, key);
}

/// The same, and tells whether the result is ASCII.
#[inline]
pub(crate) fn mask_and_look(payload: &mut [u8], key: [u8; 4]) -> bool {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    if payload.len() >= LONG_LEN && std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { mask_and_look_avx2(payload, key) };
    }
    mask_any(payload, key)
}

/// Appends `payload`, XORed with `key`, to `target`.
#[inline]
pub(crate) fn mask_copy(payload: &[u8], key: [u8; 4], target: &mut Vec<u8>) {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    if payload.len() >= LONG_LEN && std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { mask_copy_avx2(payload, key, target) };
        return;
    }
    mask_copy_any(payload, key, target);
}

/// The same, and tells whether the result is ASCII.
#[inline]
pub(crate) fn mask_copy_and_look(payload: &[u8], key: [u8; 4], target: &mut Vec<u8>) -> bool {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    if payload.len() >= LONG_LEN && std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { mask_copy_and_look_avx2(payload, key, target) };
    }
    mask_copy_and_look_any(payload, key, target)
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
#[target_feature(enable = "avx2")]
fn mask_avx2(payload: &mut [u8], key: [u8; 4]) {
    mask_any(payload, key);
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
#[target_feature(enable = "avx2")]
fn mask_and_look_avx2(payload: &mut [u8], key: [u8; 4]) -> bool {
    mask_any(payload, key)
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
#[target_feature(enable = "avx2")]
fn mask_copy_avx2(payload: &[u8], key: [u8; 4], target: &mut Vec<u8>) {
    mask_copy_any(payload, key, target);
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
#[target_feature(enable = "avx2")]
fn mask_copy_and_look_avx2(payload: &[u8], key: [u8; 4], target: &mut Vec<u8>) -> bool {
    mask_copy_and_look_any(payload, key, target)
}

/// The key as it stands `offset` bytes into the masked data.
#[inline(always)]
pub(crate) const fn rotate(key: [u8; 4], offset: usize) -> [u8; 4] {
    // As a little-endian number, the byte that comes next is the lowest one.
    let bits = match offset & 3 {
        0 => 0,
        1 => 8,
        2 => 16,
        _ => 24,
    };
    u32::from_le_bytes(key).rotate_right(bits).to_le_bytes()
}

/// Masks, and tells whether the result is ASCII; where nobody asks, the compiler leaves that out.
#[inline(always)]
fn mask_any(payload: &mut [u8], key: [u8; 4]) -> bool {
    if payload.len() < LONG_LEN { mask_short(payload, key) } else { mask_long(payload, key) }
}

/// In short vectors, the last of which overlaps the one before.
#[inline(always)]
fn mask_short(payload: &mut [u8], key: [u8; 4]) -> bool {
    let Some(&last) = payload.last_chunk::<SHORT_VECTOR_LEN>() else { return mask_shortest(payload, key) };
    let wide = |key| u128::from_ne_bytes(xor([0; SHORT_VECTOR_LEN], key));
    let last = u128::from_ne_bytes(last) ^ wide(rotate(key, payload.len()));
    let wide = wide(key);
    let mut seen = last;
    for vector in payload.as_chunks_mut::<SHORT_VECTOR_LEN>().0 {
        let plain = u128::from_ne_bytes(*vector) ^ wide;
        seen |= plain;
        *vector = plain.to_ne_bytes();
    }
    if let Some(place) = payload.last_chunk_mut::<SHORT_VECTOR_LEN>() {
        *place = last.to_ne_bytes();
    }
    is_ascii(&seen.to_ne_bytes())
}

/// What is shorter than a short vector: in two words that overlap, or byte by byte.
#[inline(always)]
fn mask_shortest(payload: &mut [u8], key: [u8; 4]) -> bool {
    let len = payload.len();
    if let (Some(&first), Some(&last)) = (payload.first_chunk::<8>(), payload.last_chunk::<8>()) {
        let (first, last) = (xor(first, key), xor(last, rotate(key, len)));
        payload[..8].copy_from_slice(&first);
        payload[len - 8..].copy_from_slice(&last);
        return is_ascii(&or(first, last));
    }
    let [a, b, c, d] = key;
    let mut seen = 0;
    for (byte, key) in payload.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
        seen |= *byte;
    }
    seen < 0x80
}

/// In aligned blocks; needs at least one vector.
#[inline(always)]
fn mask_long(payload: &mut [u8], key: [u8; 4]) -> bool {
    let len = payload.len();
    let (Some(&first), Some(&last)) =
        (payload.first_chunk::<VECTOR_LEN>(), payload.last_chunk::<VECTOR_LEN>())
    else {
        return mask_short(payload, key);
    };
    let first = xor(first, key);
    let last = xor(last, rotate(key, len - VECTOR_LEN));
    // A hint only: where it is none, the vectors are as unaligned as before.
    let unaligned_len = payload.as_ptr().align_offset(VECTOR_LEN).min(VECTOR_LEN);
    let wide = u64::from_ne_bytes(xor([0; 8], rotate(key, unaligned_len)));
    let mut seen = 0;
    for word in payload[unaligned_len..].as_chunks_mut::<8>().0 {
        let plain = u64::from_ne_bytes(*word) ^ wide;
        seen |= plain;
        *word = plain.to_ne_bytes();
    }
    if let Some(place) = payload.first_chunk_mut::<VECTOR_LEN>() {
        *place = first;
    }
    if let Some(place) = payload.last_chunk_mut::<VECTOR_LEN>() {
        *place = last;
    }
    is_ascii(&seen.to_ne_bytes()) & is_ascii(&or(first, last))
}

/// Masks on the way: no byte of `target` is written twice but at both ends.
#[inline(always)]
fn mask_copy_any(payload: &[u8], key: [u8; 4], target: &mut Vec<u8>) {
    target.reserve(payload.len());
    if payload.len() < LONG_LEN {
        mask_copy_short(payload, key, target);
        return;
    }
    let end = target.as_ptr().wrapping_add(target.len());
    let unaligned_len =
        if payload.len() < ALIGNED_COPY_LEN { 0 } else { end.align_offset(VECTOR_LEN).min(VECTOR_LEN) };
    let (unaligned, aligned) = payload.split_at(unaligned_len);
    mask_copy_short(unaligned, key, target);
    let key = rotate(key, unaligned_len);
    let (blocks, rest) = aligned.as_chunks::<COPIED_LEN>();
    for block in blocks {
        target.extend_from_slice(&xor(*block, key));
    }
    mask_copy_short(rest, key, target);
}

/// The same, and tells whether the result is ASCII.
#[inline(always)]
fn mask_copy_and_look_any(payload: &[u8], key: [u8; 4], target: &mut Vec<u8>) -> bool {
    if payload.len() < LONG_LEN {
        return mask_copy_short(payload, key, target);
    }
    let start = target.len();
    mask_copy_any(payload, key, target);
    // On the way the compiler would take every vector apart for it.
    let (words, rest) = target[start..].as_chunks::<8>();
    let seen = words.iter().fold(0, |seen, word| seen | u64::from_ne_bytes(*word));
    is_ascii(&seen.to_ne_bytes()) && rest.is_ascii()
}

#[inline(always)]
fn mask_copy_short(payload: &[u8], key: [u8; 4], target: &mut Vec<u8>) -> bool {
    let start = target.len();
    target.extend_from_slice(payload);
    mask_short(&mut target[start..], key)
}

/// Key by key, which the compiler makes vectors of.
#[inline(always)]
fn xor<const N: usize>(mut bytes: [u8; N], key: [u8; 4]) -> [u8; N] {
    let (words, _) = bytes.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    bytes
}

#[inline(always)]
fn or<const N: usize>(mut one: [u8; N], other: [u8; N]) -> [u8; N] {
    for (one, other) in one.iter_mut().zip(other) {
        *one |= other;
    }
    one
}

#[inline(always)]
fn is_ascii<const N: usize>(bytes: &[u8; N]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let seen = words.iter().fold(0, |seen, word| seen | u64::from_ne_bytes(*word));
    rest.iter().fold(seen, |seen, byte| seen | u64::from(*byte)) & 0x8080_8080_8080_8080 == 0
}
