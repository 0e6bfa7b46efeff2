//! The state machine of receiving: frames of the input, one after the other, until one makes an event.

use alloc::vec::Vec;
use core::ops::Range;

use crate::{
    CloseFrame, FrameHeader, MessageKind, OpCode, ProtocolError, ReceiveHalf, ReceiveState, Role,
    mask::{mask, mask_and_validate},
    receiver::{FrameInProgress, MessageInProgress},
};

/// A compressed frame may be longer than the message by what deflate adds to data that it cannot compress: an eighth,
/// since its fixed code has up to 9 bits for a byte (RFC 1951 §3.2.6), which fast compressors do not replace by stored
/// blocks; and this for the ends of blocks and small messages.
const MAX_DEFLATE_OVERHEAD_LEN: u64 = 1024;

/// An event before it borrows anything: what [`Event`](crate::Event), [`Message`](crate::Message) and
/// [`StreamEvent`](crate::StreamEvent) are made of.
#[derive(Debug)]
pub(crate) enum Received {
    Data(MessageKind, Location),
    /// A piece of a message, and whether it is the last one.
    Chunk(MessageKind, Location, bool),
    Ping(Range<usize>),
    Pong(Range<usize>),
    /// A payload that can be decoded.
    Close(Range<usize>),
}

/// How a message is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taking {
    /// As a whole, so its length is limited.
    Whole,
    /// In chunks, so nothing of it is held.
    Chunks,
}

/// Where the payload of a message lies.
#[derive(Debug)]
pub(crate) enum Location {
    /// These bytes of the input.
    Input(Range<usize>),
    /// The whole reassembly buffer.
    Assembled,
}

impl ReceiveHalf {
    /// Advances over `input` from `position` to the end of the next event.
    #[inline]
    pub(crate) fn step(
        &mut self,
        input: &mut [u8],
        position: &mut usize,
    ) -> Option<Result<Received, ProtocolError>> {
        if let Some((kind, range)) = self.short_message(input, position) {
            return Some(Ok(Received::Data(kind, Location::Input(range))));
        }
        self.long_step(input, position)
    }

    /// The same, for what is not a short message.
    #[inline(never)]
    pub(crate) fn long_step(
        &mut self,
        input: &mut [u8],
        position: &mut usize,
    ) -> Option<Result<Received, ProtocolError>> {
        if let Err(ended) = self.begin_step(input, position) {
            return ended;
        }
        let received = self.try_step(input, position);
        self.end_step(received, input, position)
    }

    /// What every step begins with: the reassembled message that was yielded is over.
    #[inline]
    pub(crate) fn begin_step(
        &mut self,
        input: &[u8],
        position: &mut usize,
    ) -> Result<(), Option<Result<Received, ProtocolError>>> {
        if self.lent {
            self.lent = false;
            self.assembled.clear();
        }
        if self.state != ReceiveState::Open {
            // §5.5.1, §7.1.7: what follows a Close or an error is ignored.
            *position = input.len();
            return Err(None);
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn end_step(
        &mut self,
        received: Result<Option<Received>, ProtocolError>,
        input: &[u8],
        position: &mut usize,
    ) -> Option<Result<Received, ProtocolError>> {
        self.at_rest = self.state == ReceiveState::Open && !self.is_within_message();
        match received {
            Ok(None) => {
                if self.assembled.capacity() > 0 && self.message.is_none() {
                    // Nothing more is here, so the connection may be idle for long.
                    self.assembled = Vec::new();
                }
                None
            }
            Ok(Some(received)) => Some(Ok(received)),
            Err(error) => {
                self.end(ReceiveState::Failed);
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
    ) -> Result<Option<Received>, ProtocolError> {
        if self.chunked
            && let Some(received) = self.skip(input, position)?
        {
            return Ok(Some(received));
        }
        loop {
            let Some(frame) = self.next_frame(input, position, Taking::Whole)? else { return Ok(None) };
            let received = if frame.opcode.is_control() {
                self.control_frame(frame, input, position)?
            } else if self.message.is_none() {
                self.whole_message(frame, input, position)?
            } else if self.chunked {
                // Not skipped to its end: more bytes are needed.
                self.frame = Some(frame);
                return Ok(None);
            } else {
                self.fragment(frame, input, position)?
            };
            // A fragment that is complete but does not end its message yields no event: on to the next frame.
            if received.is_some() || self.frame.is_some() {
                return Ok(received);
            }
        }
    }

    /// The frame that is under way, or the next one of the input; `None` when its header is incomplete.
    #[inline]
    pub(crate) fn next_frame(
        &mut self,
        input: &[u8],
        position: &mut usize,
        taking: Taking,
    ) -> Result<Option<FrameInProgress>, ProtocolError> {
        if let Some(frame) = self.frame.take() {
            return Ok(Some(frame));
        }
        let Some((header, header_len)) = FrameHeader::decode(&input[*position..])? else { return Ok(None) };
        let frame = self.begin_received_frame(&header, taking)?;
        *position += header_len;
        Ok(Some(frame))
    }

    /// Judges a header: masks, reserved bits, fragmentation and limits.
    #[inline]
    fn begin_received_frame(
        &mut self,
        header: &FrameHeader,
        taking: Taking,
    ) -> Result<FrameInProgress, ProtocolError> {
        // RFC 7692 §6: RSV1 tells that a message is compressed, on its first frame only.
        let may_be_compressed = matches!(header.opcode, OpCode::Text | OpCode::Binary);
        if header.rsv1 && !(may_be_compressed && self.can_inflate()) {
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
            if taking == Taking::Whole {
                let continued = self.message.is_some_and(|message| message.compressed);
                self.check_len(header.payload_len, header.rsv1 || continued)?;
            }
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

    /// Checks a frame with `len` more bytes against the limits of a message that is held.
    #[inline]
    fn check_len(&self, payload_len: u64, compressed: bool) -> Result<(), ProtocolError> {
        let max = self.config.max_frame_len;
        if compressed {
            // Its bytes are inflated as they come: what counts is the length of what they become.
            let max = max.saturating_add(max / 8).saturating_add(MAX_DEFLATE_OVERHEAD_LEN);
            return if payload_len > max {
                Err(ProtocolError::FrameTooLong { len: payload_len, max })
            } else {
                Ok(())
            };
        }
        if payload_len > max {
            return Err(ProtocolError::FrameTooLong { len: payload_len, max });
        }
        let len = payload_len.saturating_add(self.assembled.len() as u64);
        if len > self.config.max_message_len {
            return Err(ProtocolError::MessageTooLong { len, max: self.config.max_message_len });
        }
        Ok(())
    }

    #[inline]
    fn begin_received_data(&mut self, header: &FrameHeader) -> Result<(), ProtocolError> {
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
            (None, opcode) if !header.fin || header.rsv1 => {
                let kind = if opcode == OpCode::Text { MessageKind::Text } else { MessageKind::Binary };
                let compressed = header.rsv1;
                self.message = Some(MessageInProgress { kind, compressed, fragment_count: 1 });
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
        let Some(MessageInProgress { kind, compressed, .. }) = self.message else {
            return Err(ProtocolError::UnexpectedContinuation);
        };
        // Its header may have been seen when chunks were asked for, which have no limit.
        self.check_len(frame.payload_len as u64, compressed)?;
        let end = position.saturating_add(frame.payload_len).min(input.len());
        let piece = &mut input[*position..end];
        if compressed {
            let last = frame.fin && piece.len() == frame.payload_len;
            if let Some(key) = frame.masking_key {
                mask(piece, key, frame.mask_offset);
            }
            self.inflate(piece, last, kind)?;
        } else {
            self.process(piece, frame.masking_key, frame.mask_offset, kind)?;
            self.assembled.extend_from_slice(piece);
        }
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
        self.lent = true;
        Ok(Some(Received::Data(kind, Location::Assembled)))
    }

    pub(crate) fn control_frame(
        &mut self,
        frame: FrameInProgress,
        input: &mut [u8],
        position: &mut usize,
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
            OpCode::Ping => Received::Ping(range),
            OpCode::Pong => Received::Pong(range),
            _ => {
                CloseFrame::decode(payload)?;
                self.end(ReceiveState::Closed);
                Received::Close(range)
            }
        }))
    }

    /// Unmasks `payload` and, if it is text, validates it.
    #[inline]
    pub(crate) fn process(
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
                mask_and_validate(payload, key, offset, &mut self.utf8)
                    .map_err(|_| ProtocolError::InvalidUtf8)?;
            }
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn finish_text(&self) -> Result<(), ProtocolError> {
        // §8.1: text that ends within a code point is no UTF-8 either. The next message starts afresh.
        self.utf8.finish().map_err(|_| ProtocolError::InvalidUtf8)
    }
}
