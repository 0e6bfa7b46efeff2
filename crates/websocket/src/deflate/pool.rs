//! Streams that belong to the thread, for connections that keep no context between messages.

use alloc::{boxed::Box, vec::Vec};
use core::cell::RefCell;
use flate2::{Compress, Compression, Decompress};

/// How many idle streams of each kind a thread keeps. A connection has one for as long as it is amid a message, so
/// more are in use at once only when fragmented messages of several connections overlap.
const KEPT_COUNT: usize = 4;

/// A compressor with what it was made for.
#[derive(Debug)]
pub(super) struct Compressor {
    pub(super) level: u8,
    pub(super) window_bits: u8,
    pub(super) stream: Compress,
}

impl Compressor {
    /// A raw stream. `level` is at most 9; `window_bits` is 9 to 15.
    pub(super) fn new(level: u8, window_bits: u8) -> Box<Self> {
        let stream = Compress::new_with_window_bits(Compression::new(u32::from(level)), false, window_bits);
        Box::new(Self { level, window_bits, stream })
    }
}

#[allow(clippy::vec_box, reason = "they move in and out by their pointers")]
struct Pool {
    /// The most recently used one is last.
    compressors: Vec<Box<Compressor>>,
    decompressors: Vec<Box<Decompress>>,
}

std::thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { compressors: Vec::new(), decompressors: Vec::new() }) };
}

/// A compressor that refers to nothing yet.
pub(super) fn take_compressor(level: u8, window_bits: u8) -> Box<Compressor> {
    let pooled = POOL.try_with(|pool| {
        let kept = &mut pool.borrow_mut().compressors;
        let at = kept.iter().rposition(|kept| kept.level == level && kept.window_bits == window_bits);
        at.map(|at| kept.remove(at))
    });
    match pooled {
        Ok(Some(mut compressor)) => {
            compressor.stream.reset();
            compressor
        }
        // None fits, or the thread is ending.
        _ => Compressor::new(level, window_bits),
    }
}

pub(super) fn give_back_compressor(compressor: Box<Compressor>) {
    let _ = POOL.try_with(|pool| {
        let kept = &mut pool.borrow_mut().compressors;
        if kept.len() == KEPT_COUNT {
            kept.remove(0);
        }
        kept.push(compressor);
    });
}

/// A decompressor that knows of nothing yet.
pub(super) fn take_decompressor() -> Box<Decompress> {
    match POOL.try_with(|pool| pool.borrow_mut().decompressors.pop()) {
        Ok(Some(mut decompressor)) => {
            decompressor.reset(false);
            decompressor
        }
        _ => Box::new(Decompress::new(false)),
    }
}

pub(super) fn give_back_decompressor(decompressor: Box<Decompress>) {
    let _ = POOL.try_with(|pool| {
        let kept = &mut pool.borrow_mut().decompressors;
        if kept.len() < KEPT_COUNT {
            kept.push(decompressor);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Deflater, Inflater, Params};
    use super::*;

    fn idle_counts() -> (usize, usize) {
        POOL.with(|pool| (pool.borrow().compressors.len(), pool.borrow().decompressors.len()))
    }

    fn ends() -> (Deflater, Inflater) {
        let params = Params {
            own_context_takeover: false,
            peer_context_takeover: false,
            own_window_bits: 15,
            peer_window_bits: 15,
        };
        (Deflater::new(&params, &Config::default()), Inflater::new(&params))
    }

    /// In a thread of its own, whose pool is empty.
    fn in_new_thread(test: impl FnOnce() + Send + 'static) {
        std::thread::spawn(test).join().expect("the test passes");
    }

    #[test]
    fn many_connections_share_one_stream() {
        in_new_thread(|| {
            for _ in 0..100 {
                let (mut deflater, mut inflater) = ends();
                let (mut compressed, mut out) = (Vec::new(), Vec::new());
                deflater.compress(b"message", true, &mut compressed);
                inflater.inflate(&compressed, true, 100, &mut out).unwrap();
                assert_eq!(idle_counts(), (1, 1));
            }
        });
    }

    #[test]
    fn pool_stays_bounded_after_many_fragmented_messages_at_once() {
        in_new_thread(|| {
            let mut all: Vec<_> = (0..50).map(|_| ends()).collect();
            for fin in [false, true] {
                for (deflater, inflater) in &mut all {
                    let (mut compressed, mut out) = (Vec::new(), Vec::new());
                    deflater.compress(b"message", fin, &mut compressed);
                    inflater.inflate(&compressed, fin, 100, &mut out).unwrap();
                }
                let expected = if fin { KEPT_COUNT } else { 0 };
                assert_eq!(idle_counts(), (expected, expected));
            }
        });
    }

    #[test]
    fn compressors_are_reused_only_for_the_same_settings() {
        in_new_thread(|| {
            give_back_compressor(Compressor::new(1, 15));
            give_back_compressor(Compressor::new(6, 9));
            let taken = take_compressor(6, 15);
            assert_eq!((taken.level, taken.window_bits, idle_counts().0), (6, 15, 2));
            let taken = take_compressor(1, 15);
            assert_eq!((taken.level, taken.window_bits, idle_counts().0), (1, 15, 1));
        });
    }
}
