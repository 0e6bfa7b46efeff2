//! Receiving compressed messages (RFC 7692 §6.2): their payload is inflated as it arrives.

use core::ops::Range;

use crate::{MessageKind, ProtocolError, ReceiveHalf, receiver::FrameInProgress, step::Received};
#[cfg(feature = "deflate")]
use crate::{deflate::InflateError, mask::mask, step::Location};

/// How much is inflated for one chunk at most.
#[cfg(feature = "deflate")]
const CHUNK_LEN: usize = 16 * 1024;

#[cfg(feature = "deflate")]
impl ReceiveHalf {
    /// Inflates `piece` of a message behind what was inflated of it, up to the limit of a message; `last` tells that
    /// the message ends with it.
    pub(crate) fn inflate(
        &mut self,
        piece: &[u8],
        last: bool,
        kind: MessageKind,
    ) -> Result<(), ProtocolError> {
        if piece.is_empty() && !last {
            return Ok(());
        }
        let Some(inflater) = &mut self.inflater else { return Err(ProtocolError::ReservedBits) };
        let max = self.config.max_message_len;
        let start = self.assembled.len();
        let room = usize::try_from(max - (start as u64).min(max)).unwrap_or(usize::MAX);
        inflater.inflate(piece, last, room, &mut self.assembled).map_err(|error| match error {
            InflateError::TooLong { .. } => ProtocolError::MessageTooLong { len: max.saturating_add(1), max },
            InflateError::Corrupt | InflateError::Unterminated => ProtocolError::InvalidCompression,
        })?;
        if kind == MessageKind::Text {
            self.utf8.validate(&self.assembled[start..]).map_err(|_| ProtocolError::InvalidUtf8)?;
        }
        Ok(())
    }

    /// Inflates what is here of a frame, which lies at `range`, as far as it goes into one chunk.
    pub(crate) fn inflate_chunk(
        &mut self,
        mut frame: FrameInProgress,
        input: &mut [u8],
        range: Range<usize>,
        position: &mut usize,
    ) -> Result<Option<Received>, ProtocolError> {
        let (Some(inflater), Some(message)) = (&mut self.inflater, self.message) else {
            return Err(ProtocolError::ReservedBits);
        };
        if let Some(key) = frame.masking_key {
            let masked = &mut input[range.start + frame.processed_len..range.end];
            mask(masked, key, frame.mask_offset + frame.processed_len);
        }
        let last = frame.fin && range.len() == frame.payload_len;
        self.assembled.resize(CHUNK_LEN, 0);
        let inflated = inflater
            .inflate_some(&input[range.clone()], last, &mut self.assembled)
            .map_err(|_| ProtocolError::InvalidCompression)?;
        self.assembled.truncate(inflated.produced_len);
        if message.kind == MessageKind::Text {
            self.utf8.validate(&self.assembled).map_err(|_| ProtocolError::InvalidUtf8)?;
        }
        *position = range.start + inflated.consumed_len;
        frame.processed_len = range.len() - inflated.consumed_len;
        frame.payload_len -= inflated.consumed_len;
        frame.mask_offset += inflated.consumed_len;
        let fin = last && inflated.done;
        if frame.payload_len > 0 || !inflated.done {
            self.frame = Some(frame);
        }
        if fin {
            self.message = None;
            if message.kind == MessageKind::Text {
                self.finish_text()?;
            }
        } else if self.assembled.is_empty() {
            return Ok(None);
        }
        self.chunked = !fin;
        self.lent = true;
        Ok(Some(Received::Chunk(message.kind, Location::Assembled, fin)))
    }
}

/// Nothing is compressed where nothing was negotiated: RSV1 is an error before.
#[cfg(not(feature = "deflate"))]
impl ReceiveHalf {
    pub(crate) const fn inflate(&mut self, _: &[u8], _: bool, _: MessageKind) -> Result<(), ProtocolError> {
        Err(ProtocolError::ReservedBits)
    }

    pub(crate) const fn inflate_chunk(
        &mut self,
        _: FrameInProgress,
        _: &mut [u8],
        _: Range<usize>,
        _: &mut usize,
    ) -> Result<Option<Received>, ProtocolError> {
        Err(ProtocolError::ReservedBits)
    }
}
