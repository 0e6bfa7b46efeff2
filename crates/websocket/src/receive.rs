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
    CloseFrame, CloseState, Connection, FrameHeader, Message, MessageKind, OpCode, ProtocolError, Role,
    connection::{FrameInProgress, MessageInProgress},
    mask::mask,
    validated,
};

/// How much is unmasked before it is validated: small enough that the validator finds it in the first-level cache.
const BLOCK_LEN: usize = 4096;

/// Messages up to this length are copied out by [`Connection::receive_message`], longer ones are split off the input:
/// a small message that is kept must not pin a large read buffer.
const COPY_LEN: usize = 1024;

/// A reassembly buffer above this capacity is not kept for the next message.
const KEPT_BUFFER_LEN: usize = 1024;

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

/// An event before it borrows anything: what [`Event`] and [`Message`] are made of.
#[derive(Debug)]
enum Received {
    Data(MessageKind, Location),
    Ping(Range<usize>),
    Pong(Range<usize>),
    Close(Option<CloseFrame>),
}

/// Where the payload of a message lies.
#[derive(Debug)]
enum Location {
    /// These bytes of the input.
    Input(Range<usize>),
    /// The whole reassembly buffer.
    Assembled,
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

    /// Advances over `input` from `position` to the end of the next event.
    #[inline]
    fn step(
        &mut self,
        input: &mut [u8],
        position: &mut usize,
        output: &mut Vec<u8>,
    ) -> Option<Result<Received, ProtocolError>> {
        if !self.assembled.is_empty() && self.message.is_none() {
            self.release_assembled();
        }
        if self.is_closed() {
            // §5.5.1, §7.1.7: what follows a Close or an error is ignored.
            *position = input.len();
            return None;
        }
        match self.try_step(input, position, output) {
            Ok(received) => received.map(Ok),
            Err(error) => {
                self.fail(error, output);
                *position = input.len();
                Some(Err(error))
            }
        }
    }

    #[inline]
    fn try_step(
        &mut self,
        input: &mut [u8],
        position: &mut usize,
        output: &mut Vec<u8>,
    ) -> Result<Option<Received>, ProtocolError> {
        loop {
            let frame = match self.frame.take() {
                Some(frame) => frame,
                None => {
                    let Some((header, header_len)) = FrameHeader::decode(&input[*position..])? else {
                        return Ok(None);
                    };
                    let frame = self.begin_received_frame(&header)?;
                    *position += header_len;
                    frame
                }
            };
            let received = if frame.opcode.is_control() {
                self.control_frame(frame, input, position, output)?
            } else if self.message.is_none() {
                self.whole_message(frame, input, position)?
            } else {
                self.fragment(frame, input, position)?
            };
            // A fragment that is complete but does not end its message yields no event: on to the next frame.
            if received.is_some() || self.frame.is_some() {
                return Ok(received);
            }
        }
    }

    /// Judges a header: masks, reserved bits, fragmentation and limits.
    #[inline]
    fn begin_received_frame(&mut self, header: &FrameHeader) -> Result<FrameInProgress, ProtocolError> {
        if header.rsv1 {
            return Err(ProtocolError::ReservedBits);
        }
        // §5.1: "The server MUST close the connection upon receiving a frame that is not masked." and "A client MUST
        // close a connection if it detects a masked frame."
        match (self.role, header.masking_key) {
            (Role::Server, None) => return Err(ProtocolError::UnmaskedClientFrame),
            (Role::Client, Some(_)) => return Err(ProtocolError::MaskedServerFrame),
            _ => {}
        }
        if !header.opcode.is_control() {
            self.begin_received_data(header)?;
        }
        let Ok(payload_len) = usize::try_from(header.payload_len) else {
            return Err(ProtocolError::FrameTooLong { len: header.payload_len, max: usize::MAX as u64 });
        };
        Ok(FrameInProgress {
            fin: header.fin,
            opcode: header.opcode,
            masking_key: header.masking_key,
            payload_len,
            processed_len: 0,
            mask_offset: 0,
        })
    }

    #[inline]
    fn begin_received_data(&mut self, header: &FrameHeader) -> Result<(), ProtocolError> {
        let max = self.config.max_frame_len;
        if header.payload_len > max {
            return Err(ProtocolError::FrameTooLong { len: header.payload_len, max });
        }
        let len = header.payload_len.saturating_add(self.assembled.len() as u64);
        if len > self.config.max_message_len {
            return Err(ProtocolError::MessageTooLong { len, max: self.config.max_message_len });
        }
        // §5.4: fragments of one message "MUST NOT be interleaved between the fragments of another message".
        match (&mut self.message, header.opcode) {
            (None, OpCode::Continuation) => return Err(ProtocolError::UnexpectedContinuation),
            (Some(message), OpCode::Continuation) => {
                message.fragment_count += 1;
                if message.fragment_count > self.config.max_fragment_count {
                    return Err(ProtocolError::TooManyFragments { max: self.config.max_fragment_count });
                }
            }
            (Some(_), _) => return Err(ProtocolError::ExpectedContinuation),
            (None, opcode) if !header.fin => {
                let kind = if opcode == OpCode::Text { MessageKind::Text } else { MessageKind::Binary };
                self.message = Some(MessageInProgress { kind, fragment_count: 1 });
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// A message in one frame: it stays in the input until it is complete.
    #[inline]
    fn whole_message(
        &mut self,
        mut frame: FrameInProgress,
        input: &mut [u8],
        position: &mut usize,
    ) -> Result<Option<Received>, ProtocolError> {
        let start = *position;
        let end = start.saturating_add(frame.payload_len).min(input.len());
        let kind = if frame.opcode == OpCode::Text { MessageKind::Text } else { MessageKind::Binary };
        self.process(
            &mut input[start + frame.processed_len..end],
            frame.masking_key,
            frame.processed_len,
            kind,
        )?;
        if end - start < frame.payload_len {
            frame.processed_len = end - start;
            self.frame = Some(frame);
            return Ok(None);
        }
        if kind == MessageKind::Text {
            self.finish_text()?;
        }
        *position = end;
        Ok(Some(Received::Data(kind, Location::Input(start..end))))
    }

    /// A fragment of a longer message: its bytes move to the reassembly buffer as they arrive.
    fn fragment(
        &mut self,
        mut frame: FrameInProgress,
        input: &mut [u8],
        position: &mut usize,
    ) -> Result<Option<Received>, ProtocolError> {
        let Some(MessageInProgress { kind, .. }) = self.message else {
            return Err(ProtocolError::UnexpectedContinuation);
        };
        let end = position.saturating_add(frame.payload_len).min(input.len());
        let piece = &mut input[*position..end];
        self.process(piece, frame.masking_key, frame.mask_offset, kind)?;
        self.assembled.extend_from_slice(piece);
        *position = end;
        if piece.len() < frame.payload_len {
            frame.payload_len -= piece.len();
            frame.mask_offset += piece.len();
            self.frame = Some(frame);
            return Ok(None);
        }
        if !frame.fin {
            return Ok(None);
        }
        if kind == MessageKind::Text {
            self.finish_text()?;
        }
        self.message = None;
        Ok(Some(Received::Data(kind, Location::Assembled)))
    }

    fn control_frame(
        &mut self,
        frame: FrameInProgress,
        input: &mut [u8],
        position: &mut usize,
        output: &mut Vec<u8>,
    ) -> Result<Option<Received>, ProtocolError> {
        let range = *position..*position + frame.payload_len;
        let Some(payload) = input.get_mut(range.clone()) else {
            self.frame = Some(frame);
            return Ok(None);
        };
        if let Some(key) = frame.masking_key {
            mask(payload, key, 0);
        }
        *position = range.end;
        Ok(Some(match frame.opcode {
            OpCode::Ping => {
                self.answer_ping(payload, output);
                Received::Ping(range)
            }
            OpCode::Pong => Received::Pong(range),
            _ => {
                let frame = CloseFrame::decode(payload)?;
                self.answer_close(frame.as_ref(), output);
                self.message = None;
                self.assembled = Vec::new();
                Received::Close(frame)
            }
        }))
    }

    /// Unmasks `payload` and, if it is text, validates it.
    #[inline]
    fn process(
        &mut self,
        payload: &mut [u8],
        masking_key: Option<[u8; 4]>,
        offset: usize,
        kind: MessageKind,
    ) -> Result<(), ProtocolError> {
        match (masking_key, kind) {
            (None, MessageKind::Binary) => {}
            (Some(key), MessageKind::Binary) => mask(payload, key, offset),
            (None, MessageKind::Text) => {
                self.utf8.validate(payload).map_err(|_| ProtocolError::InvalidUtf8)?;
            }
            (Some(key), MessageKind::Text) => {
                let mut offset = offset;
                for block in payload.chunks_mut(BLOCK_LEN) {
                    mask(block, key, offset);
                    offset += block.len();
                    self.utf8.validate(block).map_err(|_| ProtocolError::InvalidUtf8)?;
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn finish_text(&mut self) -> Result<(), ProtocolError> {
        // §8.1: text that ends within a code point is no UTF-8 either. The next message starts afresh.
        self.utf8.finish().map_err(|_| ProtocolError::InvalidUtf8)
    }

    fn release_assembled(&mut self) {
        if self.assembled.capacity() > KEPT_BUFFER_LEN {
            self.assembled = Vec::new();
        } else {
            self.assembled.clear();
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
