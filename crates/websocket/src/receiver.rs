//! The receiving half of a connection: its state.

use alloc::vec::Vec;

#[cfg(feature = "deflate")]
use crate::deflate::Inflater;
use crate::{Config, MessageKind, OpCode, ProtocolError, Role, Utf8Validator};

/// How far receiving is.
///
/// ```text
///           the peer's Close
/// ┌──────┐ ─────────────────────────────► ┌────────┐
/// │ Open │                                │ Closed │
/// └──────┘                                └────────┘
///     │     the peer breaks the protocol, or its transport ends early
///     └─────────────────────────────────► ┌────────┐
///                                         │ Failed │
///                                         └────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveState {
    /// Messages may come.
    Open,
    /// The peer's Close came; nothing is received after it (§5.5.1).
    Closed,
    /// The peer broke the protocol, or the transport ended early. Nothing more is received.
    Failed,
}

/// The receiving half of a [`Connection`](crate::Connection): bytes of the peer become events.
///
/// A driver that uses it apart from its [`SendHalf`](crate::SendHalf) passes everything that it yields to
/// [`SendHalf::answer`](crate::SendHalf::answer), for Pings and Closes have to be answered.
#[derive(Debug)]
pub struct ReceiveHalf {
    pub(crate) role: Role,
    pub(crate) state: ReceiveState,
    /// Whether it is between two messages, as far as the last step told, so that what follows may be a short one.
    pub(crate) at_rest: bool,
    /// The longest message in bytes that a frame with a length of 16 bits may bring.
    pub(crate) max_short_len: u16,
    /// Whether the content of `assembled` was yielded: it is over with the next step.
    pub(crate) lent: bool,
    /// Whether a part of `message` was yielded as a chunk, so that the rest can only be chunks or be skipped.
    pub(crate) chunked: bool,
    /// Whether that rest is being skipped.
    pub(crate) skipping: bool,
    pub(crate) config: Config,
    /// The frame whose header was consumed and whose payload is not complete.
    pub(crate) frame: Option<FrameInProgress>,
    /// The message that is being reassembled, or taken in chunks.
    pub(crate) message: Option<MessageInProgress>,
    pub(crate) utf8: Utf8Validator,
    pub(crate) assembled: Vec<u8>,
    #[cfg(feature = "deflate")]
    pub(crate) inflater: Option<Inflater>,
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
    /// RFC 7692 §6: RSV1 of the first frame.
    pub(crate) compressed: bool,
    pub(crate) fragment_count: u32,
}

impl ReceiveHalf {
    pub(crate) const fn new(role: Role, config: Config) -> Self {
        Self {
            role,
            state: ReceiveState::Open,
            at_rest: true,
            max_short_len: config.max_short_len(),
            lent: false,
            chunked: false,
            skipping: false,
            config,
            frame: None,
            message: None,
            utf8: Utf8Validator::new(),
            assembled: Vec::new(),
            #[cfg(feature = "deflate")]
            inflater: None,
        }
    }

    /// Whether compressed messages were negotiated.
    pub(crate) const fn can_inflate(&self) -> bool {
        #[cfg(feature = "deflate")]
        return self.inflater.is_some();
        #[cfg(not(feature = "deflate"))]
        return false;
    }

    /// Which end this is.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// How far receiving is.
    pub const fn state(&self) -> ReceiveState {
        self.state
    }

    /// How many bytes beyond the `buffered_len` unconsumed ones complete the frame whose header is known; 0 when
    /// none is. A driver may use it to size its next read, but must cap what it reserves: the peer only claims it.
    pub fn missing_len(&self, buffered_len: usize) -> usize {
        self.frame.map_or(0, |frame| frame.payload_len.saturating_sub(buffered_len))
    }

    /// Tells that the peer ended the transport.
    ///
    /// # Errors
    /// [`ProtocolError::ClosedWithoutHandshake`] unless the peer's Close was received or the half had already
    /// failed.
    pub const fn receive_eof(&mut self) -> Result<(), ProtocolError> {
        if !matches!(self.state, ReceiveState::Open) {
            return Ok(());
        }
        self.state = ReceiveState::Failed;
        self.at_rest = false;
        Err(ProtocolError::ClosedWithoutHandshake)
    }

    /// Whether anything is here of a message, or was yielded and may still be looked at.
    pub(crate) const fn is_within_message(&self) -> bool {
        self.lent || self.chunked || self.skipping || self.frame.is_some() || self.message.is_some()
    }

    /// What has to be kept of it until the peer sends again, if it is [`Open`](ReceiveState::Open) and between two
    /// messages; `None` if it is not. This one is over then, and receives nothing more.
    pub fn park(&mut self) -> Option<Parked> {
        if self.is_within_message() || self.state != ReceiveState::Open {
            return None;
        }
        self.state = ReceiveState::Closed;
        self.at_rest = false;
        Some(Parked {
            role: self.role,
            config: self.config,
            #[cfg(feature = "deflate")]
            inflater: self.inflater.take(),
        })
    }

    /// Nothing more is received.
    pub(crate) fn end(&mut self, state: ReceiveState) {
        self.state = state;
        self.at_rest = false;
        self.frame = None;
        self.message = None;
        self.assembled = Vec::new();
        #[cfg(feature = "deflate")]
        {
            self.inflater = None;
        }
    }
}

/// A [`ReceiveHalf`] between two messages, from [`ReceiveHalf::park`]: a third of its size, for drivers of many
/// connections that are mostly idle.
///
/// ```
/// use sockeye_websocket::{Config, Connection, Event};
///
/// # let mut wire = Vec::new();
/// # Connection::client(Config::default()).send_text("hello", &mut wire)?;
/// let (mut receiver, _sender) = Connection::server(Config::default()).split();
/// let mut parked = receiver.park().expect("it is between two messages");
/// drop(receiver);
/// // Later, when the peer has sent something:
/// let mut receiver = parked.resume();
/// assert_eq!(receiver.receive(&mut wire).next(), Some(Ok(Event::Text("hello"))));
/// # Ok::<(), sockeye_websocket::SendError>(())
/// ```
#[derive(Debug)]
pub struct Parked {
    role: Role,
    config: Config,
    #[cfg(feature = "deflate")]
    inflater: Option<Inflater>,
}

impl Parked {
    /// A half that has received nothing yet, and to which nothing is sent compressed.
    pub const fn new(role: Role, config: Config) -> Self {
        Self {
            role,
            config,
            #[cfg(feature = "deflate")]
            inflater: None,
        }
    }

    /// Which end this is.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The half as it was. It takes along what is kept for compression, so this is called once.
    pub fn resume(&mut self) -> ReceiveHalf {
        ReceiveHalf {
            #[cfg(feature = "deflate")]
            inflater: self.inflater.take(),
            ..ReceiveHalf::new(self.role, self.config)
        }
    }
}
