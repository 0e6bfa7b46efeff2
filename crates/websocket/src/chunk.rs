//! Receiving a message of any length piece by piece: nothing of it is held back.
//!
//! ```text
//!  input  ┌────────┬─────────────── - -        ──┬────────┬──────────────┐
//!         │ header │ payload, as far as it is    │ header │ payload, fin │
//!         └────────┴─────────────── - -        ──┴────────┴──────────────┘
//!                   └─ chunk ─┘└─ chunk ─┘                 └─ chunk, fin ┘
//! ```

use crate::{
    CloseFrame, MessageKind, OpCode, ProtocolError, ReceiveHalf,
    receiver::{FrameInProgress, MessageInProgress},
    step::{Location, Received, Taking},
};

/// What the peer sent, with messages in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent<'a> {
    /// A piece of a message.
    Chunk(Chunk<'a>),
    /// A Ping, also between the pieces of a message.
    Ping(&'a [u8]),
    /// A Pong.
    Pong(&'a [u8]),
    /// The peer's Close.
    Close(Option<CloseFrame>),
}

/// A piece of a message, in the order in which the pieces were sent. How a message is cut into pieces is of no
/// meaning: it depends on frames, reads and buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Text or binary, the same for all pieces of a message.
    pub kind: MessageKind,
    /// The bytes; empty at most in the last piece. Those of a text are UTF-8 together with the pieces before, but may
    /// begin and end within a code point.
    pub payload: &'a [u8],
    /// Whether the message ends here.
    pub fin: bool,
}

impl ReceiveHalf {
    /// Advances over `input` from `position` to the end of what is there of a message, or of a control frame.
    pub(crate) fn step_chunk(
        &mut self,
        input: &mut [u8],
        position: &mut usize,
    ) -> Option<Result<Received, ProtocolError>> {
        if let Err(ended) = self.begin_step(input, position) {
            return ended;
        }
        let received = self.try_step_chunk(input, position);
        self.end_step(received, input, position)
    }

    fn try_step_chunk(
        &mut self,
        input: &mut [u8],
        position: &mut usize,
    ) -> Result<Option<Received>, ProtocolError> {
        if self.skipping
            && let Some(received) = self.skip(input, position)?
        {
            return Ok(Some(received));
        }
        if self.skipping {
            return Ok(None);
        }
        self.try_chunk(input, position)
    }

    fn try_chunk(
        &mut self,
        input: &mut [u8],
        position: &mut usize,
    ) -> Result<Option<Received>, ProtocolError> {
        if let Some(message) = self.message
            && !self.assembled.is_empty()
        {
            // What was reassembled before chunks were asked for.
            self.chunked = true;
            self.lent = true;
            return Ok(Some(Received::Chunk(message.kind, Location::Assembled, false)));
        }
        loop {
            let Some(frame) = self.next_frame(input, position, Taking::Chunks)? else { return Ok(None) };
            let received = if frame.opcode.is_control() {
                self.control_frame(frame, input, position)?
            } else {
                self.chunk(frame, input, position)?
            };
            if received.is_some() || self.frame.is_some() {
                return Ok(received);
            }
        }
    }

    /// What is here of a data frame.
    fn chunk(
        &mut self,
        mut frame: FrameInProgress,
        input: &mut [u8],
        position: &mut usize,
    ) -> Result<Option<Received>, ProtocolError> {
        let message = self.message.get_or_insert(MessageInProgress {
            kind: if frame.opcode == OpCode::Text { MessageKind::Text } else { MessageKind::Binary },
            compressed: false,
            fragment_count: 1,
        });
        let kind = message.kind;
        let compressed = message.compressed;
        let start = *position;
        let end = start.saturating_add(frame.payload_len).min(input.len());
        if end > start {
            // Only runs of empty fragments are counted: the others bring something.
            message.fragment_count = 0;
        }
        if compressed {
            return self.inflate_chunk(frame, input, start..end, position);
        }
        let offset = frame.mask_offset + frame.processed_len;
        self.process(&mut input[start + frame.processed_len..end], frame.masking_key, offset, kind)?;
        *position = end;
        frame.payload_len -= end - start;
        frame.mask_offset += end - start;
        frame.processed_len = 0;
        let fin = frame.payload_len == 0 && frame.fin;
        if frame.payload_len > 0 {
            self.frame = Some(frame);
        }
        if fin {
            self.message = None;
            if kind == MessageKind::Text {
                self.finish_text()?;
            }
        } else if end == start {
            return Ok(None);
        }
        self.chunked = !fin;
        Ok(Some(Received::Chunk(kind, Location::Input(start..end), fin)))
    }

    /// Passes over the rest of a message of which a part was taken in chunks; control frames in between are
    /// returned. Afterwards `skipping` tells whether its end is still to come. Once this was begun, no chunk of that
    /// message is yielded any more: it would come after a hole.
    pub(crate) fn skip(
        &mut self,
        input: &mut [u8],
        position: &mut usize,
    ) -> Result<Option<Received>, ProtocolError> {
        self.skipping = true;
        while self.chunked {
            match self.try_chunk(input, position)? {
                Some(Received::Chunk(..)) => {}
                other => return Ok(other),
            }
            // What was inflated is passed over.
            self.lent = false;
            self.assembled.clear();
        }
        self.skipping = false;
        Ok(None)
    }
}
