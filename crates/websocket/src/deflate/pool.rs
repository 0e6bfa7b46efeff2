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
pub(super) fn idle_counts() -> (usize, usize) {
    POOL.with(|pool| (pool.borrow().compressors.len(), pool.borrow().decompressors.len()))
}
