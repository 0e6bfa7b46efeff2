//! Compressing (RFC 7692 §7.2.1).

use alloc::{boxed::Box, vec::Vec};
use flate2::FlushCompress;

use super::{
    Config, Params, TAIL,
    pool::{self, Compressor},
};

/// §7.2.3.6: an empty message, and an empty fragment at the end of one: the header of an empty block that is not
/// compressed, whose other bytes are the ones that were removed.
const EMPTY: u8 = 0x00;

/// zlib asks for more room than this, or a flush writes its end twice.
const MIN_ROOM_LEN: usize = 64;

/// Compresses what one end of a connection sends.
///
/// With context takeover it owns a stream from the first message on, up to 370 KiB. Without, it takes one of the
/// thread's for the time of a message and holds nothing between messages.
///
/// ```
/// use sockeye_websocket::deflate::{Config, Deflater, Inflater, Params};
///
/// let params = Params {
///     own_context_takeover: false,
///     peer_context_takeover: false,
///     own_window_bits: 15,
///     peer_window_bits: 15,
/// };
/// let mut compressed = Vec::new();
/// Deflater::new(&params, &Config::default()).compress(b"Hello, Hello", true, &mut compressed);
/// let mut message = Vec::new();
/// Inflater::new(&params).inflate(&compressed, true, 1000, &mut message)?;
/// assert_eq!(message, b"Hello, Hello");
/// # Ok::<(), sockeye_websocket::deflate::InflateError>(())
/// ```
#[derive(Debug)]
pub struct Deflater {
    level: u8,
    window_bits: u8,
    context_takeover: bool,
    stream: Option<Box<Compressor>>,
}

impl Deflater {
    /// For what was agreed, at the level of `config`.
    ///
    /// With an own window of 8 bits, see [`Params::can_compress`], it produces streams that are valid and not
    /// smaller than the message.
    pub fn new(params: &Params, config: &Config) -> Self {
        let (level, window_bits) = stream_settings(config.level, params.own_window_bits);
        Self { level, window_bits, context_takeover: params.own_context_takeover, stream: None }
    }

    /// Appends the compressed `payload` of a message, or of a fragment of one, to `out`; `fin` tells that it is the
    /// last. Each fragment can be inflated as far as it goes when it arrives.
    ///
    /// The output must be sent: with context takeover what follows refers to it.
    pub fn compress(&mut self, payload: &[u8], fin: bool, out: &mut Vec<u8>) {
        if !payload.is_empty() {
            let (level, window_bits) = (self.level, self.window_bits);
            let take = || match self.context_takeover {
                true => Compressor::new(level, window_bits),
                false => pool::take_compressor(level, window_bits),
            };
            flush(self.stream.get_or_insert_with(take), payload, fin, out);
        } else if fin {
            // The stream ended with a flush, so it is at the boundary of a byte.
            out.push(EMPTY);
        }
        if fin
            && !self.context_takeover
            && let Some(stream) = self.stream.take()
        {
            pool::give_back_compressor(stream);
        }
    }

    /// Makes what follows refer to nothing that was sent before. Not to be called amid a fragmented message.
    ///
    /// With context takeover distances count over everything that was sent compressed. After a
    /// [stand-alone](compress_stand_alone) stream was sent in between, this stream would count without its bytes,
    /// and its references would hit the wrong ones. So it must be called once after such a message, before the next
    /// call of [`compress`](Self::compress). Without context takeover it does nothing.
    ///
    /// The memory of the stream is kept.
    pub fn forget(&mut self) {
        if let Some(compressor) = &mut self.stream {
            compressor.stream.reset();
        }
    }
}

/// Appends the whole message `payload` to `out`, compressed in a stream that refers to nothing before it, and no
/// further back than 2^`window_bits` bytes (8 to 15): every recipient whose window is at least that large can inflate
/// it, whether it keeps context or not. Meant for messages that are sent to many.
///
/// `level` is 0 to 9, more is taken as 9. With a window of 8 bits the message is stored as it is, since zlib cannot
/// compress with it. On a connection whose own side keeps context call [`Deflater::forget`] afterwards.
pub fn compress_stand_alone(payload: &[u8], level: u8, window_bits: u8, out: &mut Vec<u8>) {
    if payload.is_empty() {
        out.push(EMPTY);
        return;
    }
    let (level, window_bits) = stream_settings(level, window_bits);
    let mut compressor = pool::take_compressor(level, window_bits);
    flush(&mut compressor, payload, true, out);
    pool::give_back_compressor(compressor);
}

/// zlib does not support a window of 8 bits for raw streams. Stored blocks refer to nothing, so they are right with
/// any window.
const fn stream_settings(level: u8, window_bits: u8) -> (u8, u8) {
    let level = if level > 9 { 9 } else { level };
    match window_bits {
        0..=8 => (0, 9),
        9..=15 => (level, window_bits),
        _ => (level, 15),
    }
}

/// Compresses all of `payload` and flushes it to the boundary of a byte. §7.2.1: with `fin` "remove 4 octets (that
/// are 0x00 0x00 0xff 0xff) from the tail end".
fn flush(compressor: &mut Compressor, mut payload: &[u8], fin: bool, out: &mut Vec<u8>) {
    let stream = &mut compressor.stream;
    out.reserve(payload.len() / 2 + MIN_ROOM_LEN);
    loop {
        let in_before = stream.total_in();
        stream
            .compress_vec(payload, out, FlushCompress::Sync)
            .expect("an initialized stream compresses any input");
        // As much as fits the address space was consumed.
        #[allow(clippy::cast_possible_truncation, reason = "at most the length of the payload")]
        let consumed_len = (stream.total_in() - in_before) as usize;
        payload = &payload[consumed_len..];
        if payload.is_empty() && out.len() < out.capacity() {
            break;
        }
        out.reserve(payload.len() / 2 + MIN_ROOM_LEN);
    }
    debug_assert!(out.ends_with(&TAIL), "a flush ends with an empty stored block");
    if fin {
        out.truncate(out.len() - TAIL.len());
    }
}
