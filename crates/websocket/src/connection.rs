//! One end of an open connection: its state, and what receiving and sending share.

use alloc::{boxed::Box, vec::Vec};

use crate::{
    CloseFrame, Config, FrameHeader, MaskSource, MessageKind, OpCode, ProtocolError, Role, SendError,
    Utf8Validator, frame::MAX_CONTROL_LEN, mask::mask,
};

/// While more than this many bytes wait in the output, Pongs are held back and only the latest is kept, so that a
/// peer which floods with Pings and never reads cannot make the output grow without bound.
const PONG_BACKLOG_LEN: usize = 16 * 1024;

/// How far the closing handshake is (RFC 6455 §7.1).
///
/// ```text
///              we send Close                      the peer's Close arrives
///   ┌──────┐ ───────────────► ┌───────────────┐ ───────────────────────────► ┌────────┐
///   │ Open │                  │ CloseExpected │                              │ Closed │
///   └──────┘                  └───────────────┘                              └────────┘
///       │    the peer's Close arrives (ours answers at once)                      ▲
///       ├──────────────────────────────────────────────────────────────────────────┤
///       │    the peer breaks the protocol (a Close with the error's code is sent)
///       └───────────────────► ┌────────┐
///                             │ Failed │
///                             └────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseState {
    /// Messages flow.
    Open,
    /// This end sent Close and still receives until the peer's Close comes. A driver gives it a deadline.
    CloseExpected,
    /// Both Close frames were exchanged. The server closes the transport first (§7.1.1).
    Closed,
    /// The peer broke the protocol, or the transport ended early. Nothing more is received.
    Failed,
}

/// One end of a WebSocket connection after the opening handshake.
///
/// Bytes from the peer go in with [`receive`](Self::receive), which yields events; `send_*` append frames to an
/// output buffer that the driver writes to the peer. Replies that the protocol owes (Pong, Close) are appended to
/// the output by `receive` itself.
#[derive(Debug)]
pub struct Connection {
    pub(crate) role: Role,
    pub(crate) close_state: CloseState,
    pub(crate) config: Config,
    masks: Option<MaskSource>,
    /// The frame whose header was consumed and whose payload is not complete.
    pub(crate) frame: Option<FrameInProgress>,
    /// The fragmented message that is being reassembled.
    pub(crate) message: Option<MessageInProgress>,
    pub(crate) utf8: Utf8Validator,
    pub(crate) assembled: Vec<u8>,
    /// The latest Pong that did not fit the output.
    held_pong: Option<Box<[u8]>>,
    /// The fragmented message that this end is sending.
    sending: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameInProgress {
    pub(crate) fin: bool,
    pub(crate) opcode: OpCode,
    pub(crate) masking_key: Option<[u8; 4]>,
    /// Bytes of payload that are still to come, or are in the input and not consumed.
    pub(crate) payload_len: usize,
    /// Of these, how many at the front of the input are already unmasked and validated.
    pub(crate) processed_len: usize,
    /// How far into the frame's payload the front of the input is: the phase of the mask.
    pub(crate) mask_offset: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageInProgress {
    pub(crate) kind: MessageKind,
    pub(crate) fragment_count: u32,
}

impl Connection {
    /// The server's end.
    pub const fn server(config: Config) -> Self {
        Self::new(Role::Server, None, config)
    }

    /// The client's end, with masking keys from the operating system.
    #[cfg(feature = "std")]
    pub const fn client(config: Config) -> Self {
        Self::client_with_masks(config, MaskSource::operating_system())
    }

    /// The client's end, with masking keys from `masks`.
    pub const fn client_with_masks(config: Config, masks: MaskSource) -> Self {
        Self::new(Role::Client, Some(masks), config)
    }

    const fn new(role: Role, masks: Option<MaskSource>, config: Config) -> Self {
        Self {
            role,
            close_state: CloseState::Open,
            config,
            masks,
            frame: None,
            message: None,
            utf8: Utf8Validator::new(),
            assembled: Vec::new(),
            held_pong: None,
            sending: false,
        }
    }

    /// Which end this is.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// How far the closing handshake is.
    pub const fn close_state(&self) -> CloseState {
        self.close_state
    }

    /// Whether this end sent Close and waits for the peer's. The driver should drop the transport when that takes
    /// too long.
    pub const fn close_expected(&self) -> bool {
        matches!(self.close_state, CloseState::CloseExpected)
    }

    /// Whether nothing more will be received: once the output is written the transport can be closed.
    pub const fn is_closed(&self) -> bool {
        matches!(self.close_state, CloseState::Closed | CloseState::Failed)
    }

    /// How many bytes beyond the `buffered_len` unconsumed ones complete the frame whose header is known; 0 when
    /// none is. A driver may use it to size its next read, but must cap what it reserves: the peer only claims it.
    pub fn missing_len(&self, buffered_len: usize) -> usize {
        self.frame.map_or(0, |frame| frame.payload_len.saturating_sub(buffered_len))
    }

    /// Tells that the peer ended the transport.
    ///
    /// # Errors
    /// [`ProtocolError::ClosedWithoutHandshake`] unless both Close frames were exchanged or the connection had
    /// already failed.
    pub fn receive_eof(&mut self) -> Result<(), ProtocolError> {
        if self.is_closed() {
            return Ok(());
        }
        self.close_state = CloseState::Failed;
        Err(ProtocolError::ClosedWithoutHandshake)
    }

    /// Appends a Pong that was held back, if there is one and `output` has room again. A driver calls it after it
    /// wrote its output; [`receive`](Self::receive) does the same.
    pub fn resume(&mut self, output: &mut Vec<u8>) {
        if output.len() <= PONG_BACKLOG_LEN
            && let Some(payload) = self.held_pong.take()
            && !self.close_sent()
        {
            self.put_frame(OpCode::Pong, true, &payload, output);
        }
    }

    const fn close_sent(&self) -> bool {
        !matches!(self.close_state, CloseState::Open)
    }

    /// §5.5.2: "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in response, unless it already
    /// received a Close frame." §5.5.3 allows to answer only the latest Ping.
    pub(crate) fn answer_ping(&mut self, payload: &[u8], output: &mut Vec<u8>) {
        if self.close_sent() {
            return;
        }
        if output.len() > PONG_BACKLOG_LEN {
            self.held_pong = Some(payload.into());
        } else {
            self.held_pong = None;
            self.put_frame(OpCode::Pong, true, payload, output);
        }
    }

    /// §5.5.1: "If an endpoint receives a Close frame and did not previously send a Close frame, the endpoint MUST
    /// send a Close frame in response."
    pub(crate) fn answer_close(&mut self, received: Option<&CloseFrame>, output: &mut Vec<u8>) {
        if !self.close_sent() {
            let code = received.map(|frame| frame.code.get().to_be_bytes());
            self.put_frame(OpCode::Close, true, code.as_ref().map_or(&[], |code| &code[..]), output);
        }
        self.close_state = CloseState::Closed;
    }

    /// §7.1.7: fail the connection, telling the peer why.
    pub(crate) fn fail(&mut self, error: ProtocolError, output: &mut Vec<u8>) {
        if !self.close_sent() {
            self.put_frame(OpCode::Close, true, &error.close_code().get().to_be_bytes(), output);
        }
        self.close_state = CloseState::Failed;
        self.frame = None;
        self.message = None;
        self.assembled = Vec::new();
    }

    /// Appends one frame, masked if this is the client.
    #[inline]
    pub(crate) fn put_frame(&mut self, opcode: OpCode, fin: bool, payload: &[u8], output: &mut Vec<u8>) {
        let masking_key = self.masks.as_mut().map(MaskSource::next_key);
        let header = FrameHeader { fin, rsv1: false, opcode, masking_key, payload_len: payload.len() as u64 };
        let (bytes, len) = header.encode();
        output.reserve(len + payload.len());
        output.extend_from_slice(&bytes[..len]);
        let start = output.len();
        output.extend_from_slice(payload);
        if let Some(key) = masking_key {
            mask(&mut output[start..], key, 0);
        }
    }

    /// Checks that `opcode` may be sent now, and follows the fragmented message that is being sent.
    pub(crate) const fn begin_frame(&mut self, opcode: OpCode, fin: bool) -> Result<(), SendError> {
        if self.close_sent() {
            return Err(SendError::Closed);
        }
        match opcode {
            OpCode::Continuation if !self.sending => return Err(SendError::NoMessageToContinue),
            OpCode::Text | OpCode::Binary if self.sending => return Err(SendError::MessageUnfinished),
            OpCode::Continuation | OpCode::Text | OpCode::Binary => self.sending = !fin,
            OpCode::Close | OpCode::Ping | OpCode::Pong => {}
        }
        Ok(())
    }

    /// Starts the closing handshake, or answers with `payload` what made the driver give up.
    pub(crate) fn put_close(&mut self, payload: &[u8], output: &mut Vec<u8>) {
        debug_assert!(payload.len() <= MAX_CONTROL_LEN);
        self.put_frame(OpCode::Close, true, payload, output);
        self.close_state = CloseState::CloseExpected;
    }
}
