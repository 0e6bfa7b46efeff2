//! Read buffers, shared by the connections of a thread: one is taken when a socket may be readable and given back
//! when it is drained, so that an idle connection holds none.

use bytes::BytesMut;
use std::cell::RefCell;

/// How much is read at once: 64 KiB of messages, and room for their headers, so that messages of a power of two do not
/// leave a remainder to every read.
pub(crate) const READ_LEN: usize = 68 * 1024;

/// A read into less room than this is not worth its system call.
pub(crate) const MIN_READ_LEN: usize = 4 * 1024;

/// How much is reserved at once for a frame that is known to be longer: its length is only a claim.
pub(crate) const MAX_RESERVE_LEN: usize = 1024 * 1024;

/// Buffers kept per thread. One serves nearly all, as a task gives it back before it waits.
const POOLED_COUNT: usize = 4;

thread_local! {
    static POOL: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with [`READ_LEN`] bytes of room.
pub(crate) fn take() -> BytesMut {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(READ_LEN))
}

/// Gives an empty buffer back. One that was split up, or grew for a large frame, is dropped instead.
pub(crate) fn give(buffer: BytesMut) {
    debug_assert!(buffer.is_empty());
    let mut buffer = buffer;
    if buffer.capacity() <= READ_LEN && buffer.try_reclaim(READ_LEN) && buffer.capacity() <= READ_LEN {
        POOL.with_borrow_mut(|pool| {
            if pool.len() < POOLED_COUNT {
                pool.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Buf;

    #[test]
    fn drained_buffer_is_used_again() {
        let mut buffer = take();
        let start = buffer.as_ptr();
        buffer.extend_from_slice(b"some bytes");
        buffer.advance(10);
        give(buffer);
        let again = take();
        assert_eq!(again.as_ptr(), start);
        assert_eq!(again.capacity(), READ_LEN);
    }

    #[test]
    fn buffer_that_is_still_referenced_or_too_large_is_not_pooled() {
        let mut buffer = take();
        buffer.extend_from_slice(b"kept by the user");
        let kept = buffer.split();
        give(buffer);
        give(BytesMut::with_capacity(READ_LEN * 2));
        assert_eq!(&kept[..], b"kept by the user");
        assert!(POOL.with_borrow(Vec::is_empty));
    }
}
