//! The sending half of a connection: its state, what it owes the peer, and framing.

use alloc::{boxed::Box, vec::Vec};

#[cfg(feature = "deflate")]
use crate::compress::Compression;
use crate::{
    CloseFrame, Event, FrameHeader, MaskSource, Message, OpCode, ProtocolError, Role, SendError, StreamEvent,
    frame::MAX_CONTROL_LEN, mask::mask_copy,
};

/// While more than this many bytes wait in the output, Pongs are held back and only the latest is kept, so that a
/// peer which floods with Pings and never reads cannot make the output grow without bound.
const PONG_BACKLOG_LEN: usize = 16 * 1024;

/// The sending half of a [`Connection`](crate::Connection): every `send_*` appends whole frames to an output, which
/// the driver writes to the peer in order.
///
/// A driver that uses it apart from its [`ReceiveHalf`](crate::ReceiveHalf) passes everything that is received to
/// [`answer`](Self::answer), for Pings and Closes have to be answered.
#[derive(Debug)]
pub struct SendHalf {
    role: Role,
    /// Only the client's are used.
    masks: MaskSource,
    close_sent: bool,
    sending: Sending,
    #[cfg(feature = "deflate")]
    pub(crate) compression: Option<Box<Compression>>,
    /// The latest Pong that did not fit the output.
    held_pong: Option<Box<HeldPong>>,
}

/// A payload; behind one more pointer, so that a connection that holds none pays for only one.
#[derive(Debug)]
struct HeldPong(Box<[u8]>);

/// The fragmented message that is being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sending {
    Nothing,
    Plain,
    #[cfg(feature = "deflate")]
    Compressed,
}

impl SendHalf {
    pub(crate) const fn new(role: Role, masks: MaskSource) -> Self {
        Self {
            role,
            masks,
            close_sent: false,
            sending: Sending::Nothing,
            #[cfg(feature = "deflate")]
            compression: None,
            held_pong: None,
        }
    }

    /// Which end this is.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Whether a Close frame was sent: nothing follows it (§5.5.1).
    pub const fn close_sent(&self) -> bool {
        self.close_sent
    }

    /// Whether a fragmented message was begun and not finished.
    pub const fn message_unfinished(&self) -> bool {
        !matches!(self.sending, Sending::Nothing)
    }

    /// What kind of a message is being sent in fragments.
    #[cfg(feature = "deflate")]
    pub(crate) const fn sending(&self) -> Sending {
        self.sending
    }

    /// Appends what the peer is owed for what was received: a Pong for its Ping (§5.5.2), a Close for its Close
    /// (§5.5.1), and a Close with the code of the error when it broke the protocol (§7.1.7).
    pub fn answer(&mut self, received: &Result<Event<'_>, ProtocolError>, output: &mut Vec<u8>) {
        match received {
            Ok(Event::Ping(payload)) => self.answer_ping(payload, output),
            Ok(Event::Close(frame)) => self.answer_close(frame.as_ref(), output),
            Err(error) => self.answer_error(*error, output),
            Ok(_) => {}
        }
    }

    /// [`answer`](Self::answer) for what [`receive_message`](crate::ReceiveHalf::receive_message) returned.
    pub fn answer_message(
        &mut self,
        received: &Result<Option<Message>, ProtocolError>,
        output: &mut Vec<u8>,
    ) {
        match received {
            Ok(Some(Message::Ping(payload))) => self.answer_ping(payload, output),
            Ok(Some(Message::Close(frame))) => self.answer_close(frame.as_ref(), output),
            Err(error) => self.answer_error(*error, output),
            Ok(_) => self.resume(output),
        }
    }

    /// [`answer`](Self::answer) for what [`next_chunk`](crate::Events::next_chunk) returned.
    pub fn answer_stream(&mut self, received: &Result<StreamEvent<'_>, ProtocolError>, output: &mut Vec<u8>) {
        match received {
            Ok(StreamEvent::Ping(payload)) => self.answer_ping(payload, output),
            Ok(StreamEvent::Close(frame)) => self.answer_close(frame.as_ref(), output),
            Err(error) => self.answer_error(*error, output),
            Ok(_) => {}
        }
    }

    /// Refuses to send anything from now on, as after a Close.
    pub fn end(&mut self) {
        self.close_sent = true;
        self.held_pong = None;
    }

    /// Whether a Pong is held back because too much waits in the output.
    #[inline]
    pub const fn holds_pong(&self) -> bool {
        self.held_pong.is_some()
    }

    /// Appends a Pong that was held back, if there is one and `output` has room again. A driver calls it after it
    /// wrote its output.
    #[inline]
    pub fn resume(&mut self, output: &mut Vec<u8>) {
        if self.held_pong.is_some() {
            self.release_pong(output);
        }
    }

    fn release_pong(&mut self, output: &mut Vec<u8>) {
        if output.len() <= PONG_BACKLOG_LEN
            && let Some(pong) = self.held_pong.take()
            && !self.close_sent
        {
            self.put_frame(OpCode::Pong, true, &pong.0, output);
        }
    }

    /// §5.5.2: "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in response, unless it already
    /// received a Close frame." §5.5.3 allows to answer only the latest Ping.
    pub(crate) fn answer_ping(&mut self, payload: &[u8], output: &mut Vec<u8>) {
        if self.close_sent {
            return;
        }
        if output.len() > PONG_BACKLOG_LEN {
            self.held_pong = Some(Box::new(HeldPong(payload.into())));
        } else {
            self.held_pong = None;
            self.put_frame(OpCode::Pong, true, payload, output);
        }
    }

    /// §5.5.1: "If an endpoint receives a Close frame and did not previously send a Close frame, the endpoint MUST
    /// send a Close frame in response."
    pub(crate) fn answer_close(&mut self, received: Option<&CloseFrame>, output: &mut Vec<u8>) {
        let code = received.map(|frame| frame.code.get().to_be_bytes());
        self.put_last_close(code.as_ref().map_or(&[], |code| &code[..]), output);
    }

    /// §7.1.7: fail the connection, telling the peer why.
    pub(crate) fn answer_error(&mut self, error: ProtocolError, output: &mut Vec<u8>) {
        self.put_last_close(&error.close_code().get().to_be_bytes(), output);
    }

    fn put_last_close(&mut self, payload: &[u8], output: &mut Vec<u8>) {
        if !self.close_sent {
            self.put_close(payload, output);
        }
        self.held_pong = None;
    }

    /// Appends a Close frame, the last one.
    pub(crate) fn put_close(&mut self, payload: &[u8], output: &mut Vec<u8>) {
        debug_assert!(payload.len() <= MAX_CONTROL_LEN);
        self.put_frame(OpCode::Close, true, payload, output);
        self.close_sent = true;
    }

    /// Appends one frame, masked if this is the client.
    #[inline]
    pub(crate) fn put_frame(&mut self, opcode: OpCode, fin: bool, payload: &[u8], output: &mut Vec<u8>) {
        let masking_key = self.next_key();
        if let Ok(len @ 0..126) = u8::try_from(payload.len()) {
            // What is sent most: a few bytes that need no other look at the header.
            let first = (u8::from(fin) << 7) | opcode as u8;
            if let Some(key @ [a, b, c, d]) = masking_key {
                output.reserve(6 + payload.len());
                output.extend_from_slice(&[first, 0x80 | len, a, b, c, d]);
                mask_copy(payload, key, output);
            } else {
                output.reserve(2 + payload.len());
                output.extend_from_slice(&[first, len]);
                output.extend_from_slice(payload);
            }
            return;
        }
        let header = FrameHeader { fin, rsv1: false, opcode, masking_key, payload_len: payload.len() as u64 };
        let (bytes, len) = header.encode();
        output.reserve(len + payload.len());
        output.extend_from_slice(&bytes[..len]);
        match masking_key {
            Some(key) => mask_copy(payload, key, output),
            None => output.extend_from_slice(payload),
        }
    }

    /// The mask of the next frame, if this is the client.
    #[inline]
    pub(crate) fn next_key(&mut self) -> Option<[u8; 4]> {
        match self.role {
            Role::Client => Some(self.masks.next_key()),
            Role::Server => None,
        }
    }

    /// Checks that `opcode` may be sent now, and follows the fragmented message that is being sent; `first` says how
    /// it is sent if it begins here.
    pub(crate) const fn begin_frame(
        &mut self,
        opcode: OpCode,
        fin: bool,
        first: Sending,
    ) -> Result<(), SendError> {
        if self.close_sent {
            return Err(SendError::Closed);
        }
        match (opcode, self.sending) {
            (OpCode::Continuation, Sending::Nothing) => return Err(SendError::NoMessageToContinue),
            (OpCode::Continuation, _) if fin => self.sending = Sending::Nothing,
            (OpCode::Text | OpCode::Binary, Sending::Nothing) if fin => {}
            (OpCode::Text | OpCode::Binary, Sending::Nothing) => self.sending = first,
            (OpCode::Text | OpCode::Binary, _) => return Err(SendError::MessageUnfinished),
            _ => {}
        }
        Ok(())
    }
}
