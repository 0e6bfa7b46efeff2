//! Receiving: bytes of the peer become events (RFC 6455 §5, §6.2).
//!
//! ```text
//!  input  ┌────────┬──────────────┬────────┬───────────── - -
//!         │ header │ payload      │ header │ payload (incomplete)
//!         └────────┴──────────────┴────────┴───────────── - -
//!                   └─ event ───┘          └─ unmasked and validated as far as it is here
//!          consumed ──────────────────────►  stays until complete, never scanned again
//! ```
//! A message in one frame stays where it arrived. The fragments of a longer one move to a reassembly buffer as they
//! arrive. Unmasking and UTF-8 validation go together, block by block, while a block is in the first-level cache.

use alloc::vec::Vec;
use bytes::{Buf, Bytes, BytesMut};
use core::ops::Range;

use crate::{
    CloseFrame, CloseState, Connection, Message, MessageKind, ProtocolError,
    step::{Location, Received},
    validated,
};

/// Messages up to this length are copied out by [`Connection::receive_message`], longer ones are split off the input:
/// a small message that is kept must not pin a large read buffer.
const COPY_LEN: usize = 1024;

/// What the peer sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A Ping. Its Pong is already in the output.
    Ping(&'a [u8]),
    /// A Pong.
    Pong(&'a [u8]),
    /// The peer's Close. If this end had not sent one, the answer is already in the output.
    Close(Option<CloseFrame>),
}

impl Connection {
    /// Receives what `input` holds: yields an event for every complete message and control frame in it.
    ///
    /// `input` starts with the bytes that earlier calls did not [consume](Receive::consumed_len), exactly as they
    /// were left, followed by what has arrived since. It is unmasked in place. An incomplete frame is not an error:
    /// its bytes stay unconsumed, and the part that is here is not looked at again.
    ///
    /// Replies go to `output`, which the driver empties as it writes.
    #[inline]
    pub fn receive<'a>(&'a mut self, input: &'a mut [u8], output: &'a mut Vec<u8>) -> Receive<'a> {
        self.resume(output);
        Receive { connection: self, input, output, consumed_len: 0, payload_range: None }
    }

    /// Receives the next message from the front of `input` as one that owns its payload, or `None` when more bytes
    /// are needed. Consumed bytes are removed from `input`.
    ///
    /// Messages up to 1 KiB are copied, longer ones are split off `input` without a copy; reassembled ones take
    /// the reassembly buffer with them.
    ///
    /// # Errors
    /// [`ProtocolError`], once; after that `input` is discarded and `None` returned.
    pub fn receive_message(
        &mut self,
        input: &mut BytesMut,
        output: &mut Vec<u8>,
    ) -> Result<Option<Message>, ProtocolError> {
        self.resume(output);
        let mut consumed_len = 0;
        let received = self.step(input, &mut consumed_len, output);
        let result = match received {
            Some(Ok(received)) => Ok(Some(self.own(received, input, &mut consumed_len))),
            Some(Err(error)) => Err(error),
            None => Ok(None),
        };
        input.advance(consumed_len);
        result
    }

    /// Turns `received` into a message; what was split off `input` no longer counts as to be consumed.
    fn own(&mut self, received: Received, input: &mut BytesMut, consumed_len: &mut usize) -> Message {
        match received {
            Received::Data(kind, location) => {
                let payload = match location {
                    Location::Assembled => Bytes::from(core::mem::take(&mut self.assembled)),
                    Location::Input(range) if range.len() <= COPY_LEN => {
                        Bytes::copy_from_slice(&input[range])
                    }
                    Location::Input(range) => {
                        debug_assert_eq!(range.end, *consumed_len);
                        input.advance(range.start);
                        *consumed_len = 0;
                        input.split_to(range.len()).freeze()
                    }
                };
                match kind {
                    // SAFETY: `step` yields a text message only when all of its payload passed the validator.
                    #[allow(unsafe_code, reason = "see validated.rs")]
                    MessageKind::Text => Message::Text(unsafe { validated::into_byte_string(payload) }),
                    MessageKind::Binary => Message::Binary(payload),
                }
            }
            Received::Ping(range) => Message::Ping(Bytes::copy_from_slice(&input[range])),
            Received::Pong(range) => Message::Pong(Bytes::copy_from_slice(&input[range])),
            Received::Close(frame) => Message::Close(frame),
        }
    }
}

/// The events in one input: a lending iterator, because a message borrows the bytes where it arrived.
///
/// Dropping it early is fine: what it did not yield is not consumed.
#[derive(Debug)]
pub struct Receive<'a> {
    connection: &'a mut Connection,
    input: &'a mut [u8],
    output: &'a mut Vec<u8>,
    consumed_len: usize,
    payload_range: Option<Range<usize>>,
}

impl Receive<'_> {
    /// The next event; `None` when the rest of the input is incomplete, or the connection is closed.
    ///
    /// # Errors
    /// When the peer breaks the protocol, once. The Close frame that tells it so is in the output, and the rest of
    /// the input is discarded.
    #[inline]
    #[allow(clippy::should_implement_trait, reason = "an Iterator cannot lend")]
    pub fn next(&mut self) -> Option<Result<Event<'_>, ProtocolError>> {
        self.payload_range = None;
        let received = match self.connection.step(self.input, &mut self.consumed_len, self.output)? {
            Ok(received) => received,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(match received {
            Received::Data(kind, location) => {
                let payload = match location {
                    Location::Input(range) => {
                        self.payload_range = Some(range.clone());
                        &self.input[range]
                    }
                    Location::Assembled => &self.connection.assembled,
                };
                match kind {
                    // SAFETY: `step` yields a text message only when all of its payload passed the validator.
                    #[allow(unsafe_code, reason = "see validated.rs")]
                    MessageKind::Text => Event::Text(unsafe { validated::as_str(payload) }),
                    MessageKind::Binary => Event::Binary(payload),
                }
            }
            Received::Ping(range) => Event::Ping(&self.input[range]),
            Received::Pong(range) => Event::Pong(&self.input[range]),
            Received::Close(frame) => Event::Close(frame),
        }))
    }

    /// How many bytes at the front of the input are done with. The driver removes them before the next call of
    /// [`Connection::receive`].
    #[inline]
    pub const fn consumed_len(&self) -> usize {
        self.consumed_len
    }

    /// Where in the input the payload of the last text or binary event lies, unless it was reassembled elsewhere:
    /// the owner of the input may split it out instead of copying it.
    #[inline]
    pub fn payload_range(&self) -> Option<Range<usize>> {
        self.payload_range.clone()
    }

    /// The output, so that answers can be appended between events.
    #[inline]
    pub fn connection(&mut self) -> (&mut Connection, &mut Vec<u8>) {
        (self.connection, self.output)
    }

    /// Whether the connection waits for the peer's Close, is closed or has failed.
    pub const fn close_state(&self) -> CloseState {
        self.connection.close_state
    }
}
