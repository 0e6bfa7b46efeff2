//! Errors, by blame: [`ProtocolError`] is the peer's, [`SendError`] the caller's.

use core::fmt;

use crate::CloseCode;

/// The peer broke a rule of the protocol or a limit of this endpoint. The connection has failed (§7.1.7): a Close
/// frame with [`close_code`](Self::close_code) is in the output, and nothing more is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// An RSV bit is set that no negotiated extension gives a meaning (§5.2).
    ReservedBits,
    /// A reserved opcode, 3-7 or B-F (§5.2).
    ReservedOpCode(u8),
    /// A control frame without FIN (§5.5).
    FragmentedControlFrame,
    /// A control frame with more than 125 bytes of payload (§5.5).
    ControlFrameTooLong,
    /// A payload length in a longer form than it needs (§5.2).
    LengthNotMinimal,
    /// A 64-bit payload length with its top bit set (§5.2).
    LengthTopBit,
    /// A client sent a frame without a mask (§5.1).
    UnmaskedClientFrame,
    /// A server sent a frame with a mask (§5.1).
    MaskedServerFrame,
    /// A continuation frame with nothing to continue (§5.4).
    UnexpectedContinuation,
    /// A new text or binary frame while another message is unfinished (§5.4).
    ExpectedContinuation,
    /// A text message or close reason that is not UTF-8 (§8.1).
    InvalidUtf8,
    /// A compressed message that is no complete deflate stream (RFC 7692 §7.2.2).
    InvalidCompression,
    /// A Close frame with a payload of one byte (§5.5.1).
    CloseCodeIncomplete,
    /// A Close frame with a code that must not be sent (§7.4).
    InvalidCloseCode(u16),
    /// A frame above [`Config::max_frame_len`](crate::Config::max_frame_len).
    FrameTooLong {
        /// Bytes of payload that its header announces.
        len: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// A message above [`Config::max_message_len`](crate::Config::max_message_len).
    MessageTooLong {
        /// Bytes of payload, as far as they are announced.
        len: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// A message in more frames than [`Config::max_fragment_count`](crate::Config::max_fragment_count).
    TooManyFragments {
        /// The limit.
        max: u32,
    },
    /// The transport ended without a closing handshake (§7.1.5, status 1006).
    ClosedWithoutHandshake,
}

impl ProtocolError {
    /// The code of the Close frame that answers this error.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 | Self::InvalidCompression => CloseCode::INVALID_PAYLOAD,
            Self::FrameTooLong { .. } | Self::MessageTooLong { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::TooManyFragments { .. } => CloseCode::POLICY_VIOLATION,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits => f.write_str("reserved bit set without an extension that uses it"),
            Self::ReservedOpCode(opcode) => write!(f, "reserved opcode {opcode:#x}"),
            Self::FragmentedControlFrame => f.write_str("fragmented control frame"),
            Self::ControlFrameTooLong => f.write_str("control frame with more than 125 bytes of payload"),
            Self::LengthNotMinimal => f.write_str("payload length is not minimally encoded"),
            Self::LengthTopBit => f.write_str("payload length has its top bit set"),
            Self::UnmaskedClientFrame => f.write_str("client sent an unmasked frame"),
            Self::MaskedServerFrame => f.write_str("server sent a masked frame"),
            Self::UnexpectedContinuation => f.write_str("continuation frame with no message to continue"),
            Self::ExpectedContinuation => f.write_str("new message begun before the last one was finished"),
            Self::InvalidUtf8 => f.write_str("text is not valid UTF-8"),
            Self::InvalidCompression => f.write_str("compressed message is corrupt or incomplete"),
            Self::CloseCodeIncomplete => f.write_str("close payload of one byte"),
            Self::InvalidCloseCode(code) => write!(f, "close code {code} must not be sent"),
            Self::FrameTooLong { len, max } => write!(f, "frame of {len} bytes, the limit is {max}"),
            Self::MessageTooLong { len, max } => {
                write!(f, "message of at least {len} bytes, the limit is {max}")
            }
            Self::TooManyFragments { max } => write!(f, "message of more than {max} fragments"),
            Self::ClosedWithoutHandshake => f.write_str("connection ended without a closing handshake"),
        }
    }
}

impl core::error::Error for ProtocolError {}

/// The caller asked for something that must not be sent. Nothing was added to the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// A Close frame has been sent, or the connection has failed (§5.5.1: no more data after it).
    Closed,
    /// The payload of a Ping or Pong, or a close reason, is too long.
    ControlPayloadTooLong {
        /// Its bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A whole message or the first fragment of one, while a fragmented message is unfinished (§5.4).
    MessageUnfinished,
    /// A fragment that continues or ends a message, while none is under way (§5.4).
    NoMessageToContinue,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("connection is closing or closed"),
            Self::ControlPayloadTooLong { len, max } => {
                write!(f, "control frame payload of {len} bytes, the limit is {max}")
            }
            Self::MessageUnfinished => f.write_str("a fragmented message is unfinished"),
            Self::NoMessageToContinue => f.write_str("no fragmented message to continue"),
        }
    }
}

impl core::error::Error for SendError {}
