//! Errors, by blame: [`DecodeError`] is the peer's, [`EncodeError`] is the caller's, and [`ArgsError`] tells the two
//! apart where a handler reads its arguments.

use core::{error::Error, fmt, time::Duration};

use crate::packet::PacketType;

/// The peer broke a rule of the Socket.IO protocol, or went over a limit.
///
/// The official implementations answer each of these by closing the whole connection with the reason `parse error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The packet has no byte at all.
    Empty,
    /// The first byte is none of the packet types `0` to `6`.
    UnknownType {
        /// The byte in the place of the type.
        byte: u8,
    },
    /// A binary packet's attachment count is missing, zero, not a decimal number, or not followed by `-`.
    InvalidAttachmentCount,
    /// A binary packet announces more attachments than allowed.
    TooManyAttachments {
        /// The announced count; [`usize::MAX`] when it is larger than that.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// The namespace is longer than allowed.
    NamespaceTooLong {
        /// The namespace's length in bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The ack id does not fit 64 bits.
    AckIdOverflow,
    /// The payload has not the shape that the packet type asks for.
    InvalidPayload {
        /// The type of the packet.
        packet_type: PacketType,
    },
    /// The namespace of a msgpack packet does not begin with `/`, or contains a comma: the text form could not carry it.
    InvalidNamespace,
    /// A field of a msgpack packet is missing, or of another type.
    InvalidField {
        /// The key of the field.
        name: &'static str,
    },
    /// The message is not msgpack, or text in it is not UTF-8.
    InvalidMsgPack {
        /// Where, in bytes from the beginning of the message.
        offset: usize,
    },
    /// The first element of an event is neither a string nor a number, or is malformed.
    InvalidEventName,
    /// The event has one of the [reserved names](crate::RESERVED_EVENTS).
    ReservedEventName,
    /// The packet is no event, but was read as one; or is no ack, but was read as one.
    UnexpectedType {
        /// The type of the packet.
        packet_type: PacketType,
    },
    /// The payload is not JSON.
    InvalidJson {
        /// The line of the error, from 1.
        line: usize,
        /// The byte column of the error, from 1 (0 at the very beginning of a line).
        column: usize,
    },
    /// The payload's arrays and objects are nested deeper than allowed.
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// A placeholder's `num` is missing, no integer, or names an attachment that does not exist.
    InvalidPlaceholder,
    /// A text packet arrived while attachments were awaited.
    UnexpectedText {
        /// The number of attachments still missing.
        missing: usize,
    },
    /// A binary message arrived while no attachment was awaited.
    UnexpectedBinary,
    /// The attachments of one packet are larger than allowed, in sum.
    AttachmentsTooLarge {
        /// The sum of the lengths in bytes, the refused attachment included.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The attachments of a packet did not arrive in time.
    AttachmentTimeout {
        /// The time allowed.
        max: Duration,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => f.write_str("empty packet"),
            Self::UnknownType { byte } => write!(f, "unknown packet type {:?}", char::from(byte)),
            Self::InvalidAttachmentCount => f.write_str("invalid attachment count"),
            Self::TooManyAttachments { count, max } => {
                write!(f, "{count} attachments, at most {max} allowed")
            }
            Self::NamespaceTooLong { len, max } => {
                write!(f, "namespace of {len} bytes, at most {max} allowed")
            }
            Self::InvalidNamespace => f.write_str("namespace must begin with `/` and contain no comma"),
            Self::InvalidField { name } => {
                write!(f, "field `{name}` of a msgpack packet is missing or invalid")
            }
            Self::InvalidMsgPack { offset } => write!(f, "invalid msgpack at byte {offset}"),
            Self::AckIdOverflow => f.write_str("ack id does not fit 64 bits"),
            Self::InvalidPayload { packet_type } => write!(f, "invalid payload of a {packet_type:?} packet"),
            Self::InvalidEventName => f.write_str("event name is neither a string nor a number"),
            Self::ReservedEventName => f.write_str("reserved event name"),
            Self::UnexpectedType { packet_type } => write!(f, "unexpected {packet_type:?} packet"),
            Self::InvalidJson { line, column } => {
                write!(f, "payload is not JSON (line {line}, column {column})")
            }
            Self::TooDeep { max } => write!(f, "payload nested deeper than {max} levels"),
            Self::InvalidPlaceholder => f.write_str("placeholder without a valid attachment number"),
            Self::UnexpectedText { missing } => {
                write!(f, "text packet while {missing} attachments were awaited")
            }
            Self::UnexpectedBinary => f.write_str("binary message while no attachment was awaited"),
            Self::AttachmentsTooLarge { len, max } => {
                write!(f, "attachments of {len} bytes, at most {max} allowed")
            }
            Self::AttachmentTimeout { max } => write!(f, "attachments did not arrive within {max:?}"),
        }
    }
}

impl Error for DecodeError {}

/// The caller asked to send something that the protocol cannot carry.
#[derive(Debug)]
#[non_exhaustive]
pub enum EncodeError {
    /// The event has one of the [reserved names](crate::RESERVED_EVENTS).
    ReservedEventName,
    /// The namespace does not begin with `/`, or contains a comma, which would end it on the wire.
    InvalidNamespace,
    /// The data of a CONNECT packet is no JSON object.
    DataNotAnObject,
    /// What was to be passed on in another form is no such packet.
    InvalidPacket(DecodeError),
    /// The value could not be serialized.
    Json(serde_json::Error),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedEventName => f.write_str("reserved event name"),
            Self::InvalidNamespace => f.write_str("namespace must begin with `/` and contain no comma"),
            Self::DataNotAnObject => f.write_str("the data of a CONNECT packet must be an object"),
            Self::InvalidPacket(_) => f.write_str("what was to be passed on is no such packet"),
            Self::Json(_) => f.write_str("the value could not be serialized"),
        }
    }
}

impl Error for EncodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::InvalidPacket(error) => Some(error),
            Self::ReservedEventName | Self::InvalidNamespace | Self::DataNotAnObject => None,
        }
    }
}

impl From<DecodeError> for EncodeError {
    fn from(error: DecodeError) -> Self {
        Self::InvalidPacket(error)
    }
}

impl From<serde_json::Error> for EncodeError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

/// Arguments could not be read into the type that was asked for.
///
/// Whose fault it was decides what happens: a [protocol error](Self::is_syntax) closes the connection, as it would
/// have done in an implementation that parses everything before it calls a handler; the others concern one event.
#[derive(Debug)]
#[non_exhaustive]
pub enum ArgsError {
    /// The peer sent broken JSON or a broken placeholder.
    Protocol(DecodeError),
    /// The peer sent fewer arguments than the type needs.
    Missing {
        /// The position of the first missing argument, from 0.
        index: usize,
    },
    /// The peer sent well-formed arguments of another type.
    Data(serde_json::Error),
}

impl ArgsError {
    /// True when what the peer sent is no Socket.IO packet at all, so that the connection must be closed.
    #[must_use]
    pub const fn is_syntax(&self) -> bool {
        matches!(self, Self::Protocol(_))
    }
}

impl fmt::Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => fmt::Display::fmt(error, f),
            Self::Missing { index } => write!(f, "argument {index} is missing"),
            Self::Data(error) => write!(f, "arguments of another type: {error}"),
        }
    }
}

impl Error for ArgsError {}

impl From<DecodeError> for ArgsError {
    fn from(error: DecodeError) -> Self {
        Self::Protocol(error)
    }
}
