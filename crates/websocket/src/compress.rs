//! Sending compressed messages (RFC 7692 §6.1).

use alloc::{boxed::Box, vec::Vec};
use bytes::Bytes;

use crate::{
    Connection, FrameHeader, MAX_HEADER_LEN, OpCode, Prepared, SendHalf,
    deflate::{self, Deflater, Inflater},
    mask::mask,
};

/// What a sending half needs to compress.
#[derive(Debug)]
pub(crate) struct Compression {
    deflater: Deflater,
    /// Shorter messages are not compressed.
    pub(crate) threshold: usize,
    level: u8,
    window_bits: u8,
    /// Whether what is sent may refer to what was sent before.
    context_takeover: bool,
}

impl Connection {
    /// Compresses messages as `params`, which were [negotiated](deflate), say, with the level and threshold of
    /// `config`.
    #[must_use]
    pub fn with_deflate(mut self, params: &deflate::Params, config: &deflate::Config) -> Self {
        self.receiver.inflater = Some(Inflater::new(params));
        // §6: "An endpoint MAY send uncompressed messages", which is all that a window of 8 bits leaves us.
        self.sender.compression = params.can_compress().then(|| {
            Box::new(Compression {
                deflater: Deflater::new(params, config),
                threshold: config.threshold,
                level: config.level,
                window_bits: params.own_window_bits,
                context_takeover: params.own_context_takeover,
            })
        });
        self
    }
}

impl SendHalf {
    /// Appends a message in one frame: compressed, unless that makes it longer and nothing will refer to it.
    pub(crate) fn put_compressed_message(&mut self, opcode: OpCode, payload: &[u8], output: &mut Vec<u8>) {
        let start = output.len();
        let compressed_len = self.put_compressed(opcode, true, true, payload, output);
        if compressed_len >= payload.len()
            && self.compression.as_ref().is_some_and(|compression| !compression.context_takeover)
        {
            output.truncate(start);
            self.put_frame(opcode, true, payload, output);
        }
    }

    /// Appends a compressed frame, the `first` one of its message or a further one; returns the length of its payload.
    pub(crate) fn put_compressed(
        &mut self,
        opcode: OpCode,
        fin: bool,
        first: bool,
        payload: &[u8],
        output: &mut Vec<u8>,
    ) -> usize {
        let masking_key = self.next_key();
        let Some(compression) = &mut self.compression else { return 0 };
        // The header depends on the length, which is known afterwards. Mostly it is as long as that of the payload.
        let expected = FrameHeader { masking_key, ..FrameHeader::new(opcode, payload.len() as u64) };
        let (_, room_len) = expected.encode();
        let start = output.len();
        output.extend_from_slice(&[0; MAX_HEADER_LEN][..room_len]);
        compression.deflater.compress(payload, fin, output);
        let compressed_len = output.len() - start - room_len;

        let payload_len = compressed_len as u64;
        // §6.1: "Set the RSV1 bit on the first frame of the message"; the others must not have it.
        let header = FrameHeader { fin, rsv1: first, opcode, masking_key, payload_len };
        let (bytes, header_len) = header.encode();
        if header_len < room_len {
            output.copy_within(start + room_len.., start + header_len);
            output.truncate(start + header_len + compressed_len);
        } else if header_len > room_len {
            output.extend_from_slice(&[0; MAX_HEADER_LEN][..header_len - room_len]);
            output.copy_within(start + room_len..start + room_len + compressed_len, start + header_len);
        }
        output[start..start + header_len].copy_from_slice(&bytes[..header_len]);
        if let Some(key) = masking_key {
            mask(&mut output[start + header_len..], key, 0);
        }
        compressed_len
    }

    /// The compressed form of `message`, if this connection can send it.
    pub(crate) fn compressed_frame<'a>(&mut self, message: &'a Prepared) -> Option<&'a Bytes> {
        let compression = self.compression.as_mut()?;
        if message.payload().len() < compression.threshold {
            return None;
        }
        let frame = message.compressed(compression.level, compression.window_bits)?;
        // Its bytes are not in our window, but in that of the peer.
        compression.deflater.forget();
        Some(frame)
    }
}
