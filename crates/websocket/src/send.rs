//! Sending: every method appends whole frames to the output, which the driver writes to the peer in order.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::{
    CloseFrame, FrameHeader, Message, MessageKind, OpCode, Prepared, Role, SendError, SendHalf,
    frame::MAX_CONTROL_LEN, sender::Sending,
};

impl SendHalf {
    /// Sends a text message in one frame.
    ///
    /// # Errors
    /// [`SendError::Closed`] after a Close, [`SendError::MessageUnfinished`] within a fragmented message.
    #[inline]
    pub fn send_text(&mut self, text: &str, output: &mut Vec<u8>) -> Result<(), SendError> {
        self.send_data(MessageKind::Text, text.as_bytes(), output)
    }

    /// Sends a binary message in one frame.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    #[inline]
    pub fn send_binary(&mut self, payload: &[u8], output: &mut Vec<u8>) -> Result<(), SendError> {
        self.send_data(MessageKind::Binary, payload, output)
    }

    /// Sends a message of either kind in one frame. The payload of a text must be UTF-8.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    #[inline]
    pub fn send_data(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        let opcode = kind.opcode();
        self.begin_frame(opcode, true, Sending::Plain)?;
        #[cfg(feature = "deflate")]
        if self.compresses(payload.len()) {
            self.put_compressed_message(opcode, payload, output);
            return Ok(());
        }
        self.put_frame(opcode, true, payload, output);
        Ok(())
    }

    /// [`send_data`](Self::send_data), never compressed: for what is compressed already, and for secrets beside which
    /// an attacker can place text of its own (such as CRIME and BREACH use).
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub fn send_uncompressed(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        let opcode = kind.opcode();
        self.begin_frame(opcode, true, Sending::Plain)?;
        self.put_frame(opcode, true, payload, output);
        Ok(())
    }

    /// Whether a message of `payload_len` bytes is compressed: it was negotiated, and it is long enough for that. One
    /// that is not can be sent by reference, with [`send_header`](Self::send_header).
    #[inline]
    pub const fn compresses(&self, payload_len: usize) -> bool {
        #[cfg(feature = "deflate")]
        return match &self.compression {
            Some(compression) => payload_len >= compression.threshold,
            None => false,
        };
        #[cfg(not(feature = "deflate"))]
        {
            let _ = payload_len;
            false
        }
    }

    /// Tells that a message that was framed before is sent, and returns its bytes, compressed if this connection
    /// compresses and the message [may be](Prepared::compressible): the caller writes them behind what is in the
    /// output, by reference.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    ///
    /// # Panics
    /// On a client's connection: its frames need masks of their own.
    pub fn send_prepared<'a>(&mut self, message: &'a Prepared) -> Result<&'a Bytes, SendError> {
        assert_eq!(self.role(), Role::Server, "a client's payload has to be masked");
        self.begin_frame(message.kind().opcode(), true, Sending::Plain)?;
        #[cfg(feature = "deflate")]
        if let Some(frame) = self.compressed_frame(message) {
            return Ok(frame);
        }
        Ok(message.frame())
    }

    /// Sends a message whatever it is.
    ///
    /// # Errors
    /// Those of the method for its kind.
    pub fn send(&mut self, message: &Message, output: &mut Vec<u8>) -> Result<(), SendError> {
        match message {
            Message::Text(text) => self.send_text(text, output),
            Message::Binary(bytes) => self.send_binary(bytes, output),
            Message::Ping(payload) => self.send_ping(payload, output),
            Message::Pong(payload) => self.send_pong(payload, output),
            Message::Close(frame) => self.send_close(frame.as_ref(), output),
        }
    }

    /// Sends the first fragment of a message whose length need not be known (§5.4). Control frames may be sent
    /// between the fragments, other messages may not.
    ///
    /// The fragments of a text message may be cut within a code point, hence bytes; together they must be UTF-8. If
    /// compression was negotiated they are compressed, whatever their length.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub fn send_first_fragment(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        let opcode = kind.opcode();
        #[cfg(feature = "deflate")]
        if self.compression.is_some() {
            self.begin_frame(opcode, false, Sending::Compressed)?;
            self.put_compressed(opcode, false, true, payload, output);
            return Ok(());
        }
        self.begin_frame(opcode, false, Sending::Plain)?;
        self.put_frame(opcode, false, payload, output);
        Ok(())
    }

    /// Sends a further fragment; with `fin` it is the last one.
    ///
    /// # Errors
    /// [`SendError::Closed`] after a Close, [`SendError::NoMessageToContinue`] without a first fragment.
    pub fn send_next_fragment(
        &mut self,
        payload: &[u8],
        fin: bool,
        output: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        #[cfg(feature = "deflate")]
        let compressed = self.sending() == Sending::Compressed;
        self.begin_frame(OpCode::Continuation, fin, Sending::Plain)?;
        #[cfg(feature = "deflate")]
        if compressed {
            self.put_compressed(OpCode::Continuation, fin, false, payload, output);
            return Ok(());
        }
        self.put_frame(OpCode::Continuation, fin, payload, output);
        Ok(())
    }

    /// Sends only the header of an uncompressed message in one frame; the caller writes the `payload_len` bytes behind it by
    /// itself, by reference. Only a server may: a client's payload has to be masked.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    ///
    /// # Panics
    /// On a client's connection.
    pub fn send_header(
        &mut self,
        kind: MessageKind,
        payload_len: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        assert_eq!(self.role(), Role::Server, "a client's payload has to be masked");
        let opcode = kind.opcode();
        self.begin_frame(opcode, true, Sending::Plain)?;
        let (bytes, len) = FrameHeader::new(opcode, payload_len as u64).encode();
        output.extend_from_slice(&bytes[..len]);
        Ok(())
    }

    /// Sends a Ping with at most 125 bytes of payload.
    ///
    /// # Errors
    /// [`SendError::Closed`] after a Close, [`SendError::ControlPayloadTooLong`].
    pub fn send_ping(&mut self, payload: &[u8], output: &mut Vec<u8>) -> Result<(), SendError> {
        self.send_control(OpCode::Ping, payload, output)
    }

    /// Sends a Pong that answers no Ping, as a sign of life (§5.5.3). Pings are answered by
    /// [`answer`](Self::answer).
    ///
    /// # Errors
    /// As [`send_ping`](Self::send_ping).
    pub fn send_pong(&mut self, payload: &[u8], output: &mut Vec<u8>) -> Result<(), SendError> {
        self.send_control(OpCode::Pong, payload, output)
    }

    fn send_control(
        &mut self,
        opcode: OpCode,
        payload: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        if payload.len() > MAX_CONTROL_LEN {
            return Err(SendError::ControlPayloadTooLong { len: payload.len(), max: MAX_CONTROL_LEN });
        }
        self.begin_frame(opcode, true, Sending::Plain)?;
        self.put_frame(opcode, true, payload, output);
        Ok(())
    }

    /// Starts the closing handshake (§7.1.2). Messages are still received until the peer's Close arrives; nothing
    /// more can be sent.
    ///
    /// # Errors
    /// [`SendError::Closed`] when it was already started, [`SendError::ControlPayloadTooLong`] for a reason of more
    /// than 123 bytes.
    pub fn send_close(&mut self, frame: Option<&CloseFrame>, output: &mut Vec<u8>) -> Result<(), SendError> {
        let mut payload = [0; MAX_CONTROL_LEN];
        let len = match frame {
            Some(frame) => frame.encode(&mut payload)?,
            None => 0,
        };
        self.begin_frame(OpCode::Close, true, Sending::Plain)?;
        self.put_close(&payload[..len], output);
        Ok(())
    }
}
