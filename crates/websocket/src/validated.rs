//! Bytes that a [`Utf8Validator`](crate::Utf8Validator) has accepted, as text.
//!
//! Beside `simd.rs` the only unsafe code of the crate. Its callers pass exactly the bytes of a complete text message, all
//! of which went through the validator (and its `finish`) after they were unmasked or inflated and have not been written
//! to since.

use bytes::Bytes;
use bytestring::ByteString;

/// # Safety
/// `bytes` is valid UTF-8.
#[inline]
pub(crate) unsafe fn as_str(bytes: &[u8]) -> &str {
    debug_assert!(core::str::from_utf8(bytes).is_ok());
    // SAFETY: the caller's promise.
    unsafe { core::str::from_utf8_unchecked(bytes) }
}

/// # Safety
/// `bytes` is valid UTF-8.
#[inline]
pub(crate) unsafe fn into_byte_string(bytes: Bytes) -> ByteString {
    debug_assert!(core::str::from_utf8(&bytes).is_ok());
    // SAFETY: the caller's promise.
    unsafe { ByteString::from_bytes_unchecked(bytes) }
}
