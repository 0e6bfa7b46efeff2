//! Inflating (RFC 7692 §7.2.2).

use alloc::{boxed::Box, vec::Vec};
use core::fmt;
use flate2::{Decompress, DecompressError, FlushDecompress, Status};

use super::{Params, TAIL, pool};
use crate::CloseCode;

/// What a message is first given room for, as a multiple of its compressed length.
const EXPECTED_RATIO: usize = 4;

/// The smallest room for output in one step, as far as the limit allows.
const MIN_ROOM_LEN: usize = 256;

/// What a message is followed by where the stream goes on: its tail, and empty blocks, which mean nothing where a
/// block may begin. Where none may, because the stream is incomplete, they are data or an error.
const END: [u8; 24] = [
    0x00, 0x00, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0x00, 0x00, 0x00,
    0xFF, 0xFF, 0x00, 0x00, 0x00, 0xFF, 0xFF,
];

/// What a message is followed by where the stream is not needed any more: its tail, and an empty block that is marked
/// as the last one. Only a complete stream ends exactly with it.
const FINAL_END: [u8; 9] = [0x00, 0x00, 0xFF, 0xFF, 0x01, 0x00, 0x00, 0xFF, 0xFF];

/// Inflates what the peer sends.
///
/// With the peer's context takeover it owns a stream from the first message on, about 48 KiB: zlib-rs gives each one
/// a window of 32 KiB, whatever was agreed. Without, it takes one of the thread's for the time of a message and holds
/// nothing between messages.
///
/// After an error the connection has to fail; what the inflater then makes of further input is unspecified.
#[derive(Debug)]
pub struct Inflater {
    context_takeover: bool,
    /// Whether the last block was marked as the last of its stream, and nothing came after it.
    ended: bool,
    stream: Option<Box<Decompress>>,
}

/// What one call of [`Inflater::inflate_some`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inflated {
    /// How many bytes of the input it consumed.
    pub consumed_len: usize,
    /// How many bytes it wrote.
    pub produced_len: usize,
    /// Whether all of the input was consumed and all that it holds was written, and with `fin` whether the message
    /// is complete. Otherwise the output was full, and the call is to be repeated with the rest of the input, even
    /// if that is empty.
    pub done: bool,
}

impl Inflater {
    /// For what was agreed.
    pub const fn new(params: &Params) -> Self {
        Self { context_takeover: params.peer_context_takeover, ended: false, stream: None }
    }

    /// Inflates `input`, the payload of a message or the next piece of one, cut anywhere, and appends at most
    /// `max_len` bytes to `out`. `fin` tells that it is the last piece.
    ///
    /// `out` grows as bytes are inflated, never beyond its length and `max_len` by more than a byte. For a limit on
    /// a message in pieces, pass what is left of it. `out` is as before when it fails.
    ///
    /// # Errors
    /// [`InflateError`]. A stream that is cut in the middle is [`Unterminated`](InflateError::Unterminated) when
    /// `fin` comes; with context takeover that may go unnoticed until the next message when the cut is within the
    /// code lengths of a block.
    pub fn inflate(
        &mut self,
        mut input: &[u8],
        fin: bool,
        max_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), InflateError> {
        let start = out.len();
        let mut room = input.len().saturating_mul(EXPECTED_RATIO);
        loop {
            let left = max_len.saturating_sub(out.len() - start);
            // The byte above the limit tells that there are more.
            out.reserve_exact(room.max(MIN_ROOM_LEN).min(left.saturating_add(1)));
            let result = self.advance(&mut input, fin, &mut Spare(out));
            if result.is_ok() && out.len() - start > max_len {
                self.stream = None;
                out.truncate(start);
                return Err(InflateError::TooLong { max: max_len });
            }
            match result {
                Ok(true) => return Ok(()),
                Ok(false) => room = out.len() - start,
                Err(error) => {
                    out.truncate(start);
                    return Err(error);
                }
            }
        }
    }

    /// Inflates as much of `input` as `out` has room for, for a receiver that takes a message in chunks of bounded
    /// size. `input` and `fin` are as in [`inflate`](Self::inflate). `out` must not be empty.
    ///
    /// ```
    /// # use sockeye_websocket::deflate::{Inflater, Params};
    /// # let params =
    /// #   Params { own_context_takeover: false, peer_context_takeover: false, own_window_bits: 15, peer_window_bits: 15 };
    /// let mut inflater = Inflater::new(&params);
    /// let mut input = &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00][..];
    /// let mut message = Vec::new();
    /// loop {
    ///     let mut chunk = [0; 2];
    ///     let inflated = inflater.inflate_some(input, true, &mut chunk)?;
    ///     input = &input[inflated.consumed_len..];
    ///     message.extend_from_slice(&chunk[..inflated.produced_len]);
    ///     if inflated.done {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(message, b"Hello");
    /// # Ok::<(), sockeye_websocket::deflate::InflateError>(())
    /// ```
    ///
    /// # Errors
    /// As [`inflate`](Self::inflate), but for [`TooLong`](InflateError::TooLong): the caller counts.
    pub fn inflate_some(
        &mut self,
        input: &[u8],
        fin: bool,
        out: &mut [u8],
    ) -> Result<Inflated, InflateError> {
        let mut rest = input;
        let mut sink = Chunk { out, len: 0 };
        let done = self.advance(&mut rest, fin, &mut sink)?;
        Ok(Inflated { consumed_len: input.len() - rest.len(), produced_len: sink.len, done })
    }

    /// Inflates `input` until `sink` is full (false), or all of it is written (true).
    fn advance(&mut self, input: &mut &[u8], fin: bool, sink: &mut impl Sink) -> Result<bool, InflateError> {
        let result = self.try_advance(input, fin, sink);
        match result {
            Ok(true) if fin => self.end_message(),
            Ok(_) => {}
            Err(_) => self.stream = None,
        }
        result
    }

    fn end_message(&mut self) {
        // A stream that ended is none of the next message's, which without a byte would be as complete as this one.
        let ended = core::mem::take(&mut self.ended);
        if !self.context_takeover {
            if let Some(stream) = self.stream.take() {
                pool::give_back_decompressor(stream);
            }
        } else if ended && let Some(stream) = &mut self.stream {
            stream.reset(false);
        }
    }

    fn try_advance(
        &mut self,
        input: &mut &[u8],
        fin: bool,
        sink: &mut impl Sink,
    ) -> Result<bool, InflateError> {
        let take = || match self.context_takeover {
            true => Box::new(Decompress::new(false)),
            false => pool::take_decompressor(),
        };
        let stream = self.stream.get_or_insert_with(take);
        loop {
            if self.ended {
                if input.is_empty() {
                    return Ok(true);
                }
                // §7.2.3.4: what follows a block that is marked as the last one is a stream of its own. A peer that
                // ends its streams begins afresh, so the window is of no use.
                stream.reset(false);
                self.ended = false;
            }
            let (status, consumed_len) = run(stream, input, |stream| sink.inflate(stream, input))
                .map_err(|_| InflateError::Corrupt)?;
            *input = &input[consumed_len..];
            if status == Status::StreamEnd {
                self.ended = true;
            } else if sink.is_full() {
                return Ok(false);
            } else if input.is_empty() {
                break;
            } else if consumed_len == 0 {
                return Err(InflateError::Corrupt);
            }
        }
        if fin {
            self.ended = finish(stream, self.context_takeover)?;
        }
        Ok(true)
    }
}

/// Runs the stream once: its status, and how much of the input it consumed.
fn run(
    stream: &mut Decompress,
    input: &[u8],
    inflate: impl FnOnce(&mut Decompress) -> Result<Status, DecompressError>,
) -> Result<(Status, usize), DecompressError> {
    let before = stream.total_in();
    let status = inflate(stream)?;
    let consumed_len = usize::try_from(stream.total_in() - before).unwrap_or(input.len());
    Ok((status, consumed_len))
}

/// §7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload", and look whether they were the
/// end of a block. Tells whether it was marked as the last one of its stream.
fn finish(stream: &mut Decompress, context_takeover: bool) -> Result<bool, InflateError> {
    let end = if context_takeover { &END[..] } else { &FINAL_END[..] };
    let mut nothing = [0; 16];
    let before = stream.total_out();
    let (status, consumed_len) =
        run(stream, end, |stream| stream.decompress(end, &mut nothing, FlushDecompress::Sync))
            .map_err(|_| InflateError::Unterminated)?;
    if stream.total_out() != before {
        return Err(InflateError::Unterminated);
    }
    match status {
        // The empty block to which the tail belongs may itself be marked.
        Status::StreamEnd if consumed_len == TAIL.len() => Ok(true),
        Status::StreamEnd if !context_takeover && consumed_len == end.len() => Ok(true),
        Status::Ok if context_takeover && consumed_len == end.len() => Ok(false),
        _ => Err(InflateError::Unterminated),
    }
}

/// Where inflated bytes go.
trait Sink {
    fn inflate(&mut self, stream: &mut Decompress, input: &[u8]) -> Result<Status, DecompressError>;

    fn is_full(&self) -> bool;
}

/// Behind the end of a vector, as far as its capacity goes: nothing is filled with zeros before.
struct Spare<'a>(&'a mut Vec<u8>);

impl Sink for Spare<'_> {
    fn inflate(&mut self, stream: &mut Decompress, input: &[u8]) -> Result<Status, DecompressError> {
        stream.decompress_vec(input, self.0, FlushDecompress::Sync)
    }

    fn is_full(&self) -> bool {
        self.0.len() == self.0.capacity()
    }
}

/// Into a slice, of which the first `len` bytes are written.
struct Chunk<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Sink for Chunk<'_> {
    fn inflate(&mut self, stream: &mut Decompress, input: &[u8]) -> Result<Status, DecompressError> {
        let room = &mut self.out[self.len..];
        let before = stream.total_out();
        let status = stream.decompress(input, room, FlushDecompress::Sync)?;
        self.len += usize::try_from(stream.total_out() - before).unwrap_or(room.len());
        Ok(status)
    }

    fn is_full(&self) -> bool {
        self.len == self.out.len()
    }
}

/// Why a message could not be inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InflateError {
    /// It is longer than allowed.
    TooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// It is not a deflate stream (RFC 1951), or refers further back than the window goes.
    Corrupt,
    /// The deflate stream is not complete at the end of the message.
    Unterminated,
}

impl InflateError {
    /// The code of the Close frame that answers this error.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::TooLong { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::Corrupt | Self::Unterminated => CloseCode::INVALID_PAYLOAD,
        }
    }
}

impl fmt::Display for InflateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { max } => write!(f, "inflated message of more than {max} bytes"),
            Self::Corrupt => f.write_str("compressed message is corrupt"),
            Self::Unterminated => f.write_str("compressed message is incomplete"),
        }
    }
}

impl core::error::Error for InflateError {}
