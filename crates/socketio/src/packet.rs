//! The text of one packet: header and payload, as slices.
//!
//! ```text
//! 5 2- /admin, 13 ["upload",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]
//! │ │  │       │  └ data: raw JSON, unread
//! │ │  │       └ ack id
//! │ │  └ namespace, absent for `/`
//! │ └ number of binary messages that follow, binary types only
//! └ type
//! ```
//!
//! Never parses JSON beyond the first element, and never allocates.

use memchr::memchr;

use crate::{
    args::Args,
    error::{ArgsError, DecodeError},
    json,
};

/// Event names that have a meaning of their own in the official implementations, and so must not be on the wire.
pub const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Whether `name` is one of [`RESERVED_EVENTS`].
///
/// ```
/// assert!(sockeye_socketio::is_reserved_event("disconnect"));
/// assert!(!sockeye_socketio::is_reserved_event("message"));
/// ```
#[must_use]
pub fn is_reserved_event(name: &str) -> bool {
    // Most names are told apart by their first byte.
    matches!(name.as_bytes().first(), Some(b'c' | b'd' | b'n' | b'r')) && RESERVED_EVENTS.contains(&name)
}

/// The type of a packet: its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PacketType {
    /// `0`: a client asks for a namespace, or the server grants it.
    Connect,
    /// `1`: one side leaves a namespace.
    Disconnect,
    /// `2`: an event without attachments.
    Event,
    /// `3`: the answer to an event, without attachments.
    Ack,
    /// `4`: the server refuses a namespace.
    ConnectError,
    /// `5`: an event with attachments.
    BinaryEvent,
    /// `6`: the answer to an event, with attachments.
    BinaryAck,
}

impl PacketType {
    /// The ASCII digit on the wire.
    ///
    /// ```
    /// assert_eq!(sockeye_socketio::PacketType::Event.digit(), b'2');
    /// ```
    #[must_use]
    pub const fn digit(self) -> u8 {
        match self {
            Self::Connect => b'0',
            Self::Disconnect => b'1',
            Self::Event => b'2',
            Self::Ack => b'3',
            Self::ConnectError => b'4',
            Self::BinaryEvent => b'5',
            Self::BinaryAck => b'6',
        }
    }

    /// The type of an ASCII digit, `b'0'` to `b'6'`.
    ///
    /// ```
    /// use sockeye_socketio::PacketType;
    /// assert_eq!(PacketType::from_digit(b'2'), Some(PacketType::Event));
    /// assert_eq!(PacketType::from_digit(b'7'), None);
    /// ```
    #[must_use]
    pub const fn from_digit(digit: u8) -> Option<Self> {
        Some(match digit {
            b'0' => Self::Connect,
            b'1' => Self::Disconnect,
            b'2' => Self::Event,
            b'3' => Self::Ack,
            b'4' => Self::ConnectError,
            b'5' => Self::BinaryEvent,
            b'6' => Self::BinaryAck,
            _ => return None,
        })
    }

    /// Whether attachments follow the text.
    #[must_use]
    pub const fn is_binary(self) -> bool {
        matches!(self, Self::BinaryEvent | Self::BinaryAck)
    }
}

/// What the header of a packet may contain.
///
/// ```
/// use sockeye_socketio::{DecodeError, Limits, Packet};
///
/// let limits = Limits { max_attachments: 1, ..Limits::default() };
/// let error = Packet::decode(r#"52-["a"]"#, &limits).unwrap_err();
/// assert_eq!(error, DecodeError::TooManyAttachments { count: 2, max: 1 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Attachments of one packet. Default 10, as in the official parser. Beyond it:
    /// [`DecodeError::TooManyAttachments`].
    pub max_attachments: usize,
    /// Length of a namespace in bytes, a query string of a version 2 client included. Default 4096: the official
    /// parser knows no bound below that of the message, but a name this long is no name. Beyond it:
    /// [`DecodeError::NamespaceTooLong`].
    pub max_namespace_len: usize,
}

impl Limits {
    /// No bound below that of the message itself, for text that has been checked before.
    pub const NONE: Self = Self { max_attachments: usize::MAX, max_namespace_len: usize::MAX };
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_attachments: 10, max_namespace_len: 4096 }
    }
}

/// One packet, as slices of the message that carried it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The type.
    pub packet_type: PacketType,
    /// The namespace, with its leading slash; `/` when the packet names none.
    pub namespace: &'a str,
    /// The ack id: of an event, the sender wants an answer; of an ack, the event that it answers.
    pub ack_id: Option<u64>,
    /// How many binary messages follow; 0 unless the type is a binary one.
    pub attachment_count: usize,
    /// The payload, raw JSON text; empty when absent.
    pub data: &'a str,
}

impl<'a> Packet<'a> {
    /// Reads the header completely, and of the payload what the packet's type says about its shape.
    ///
    /// The payload begins and ends as the type asks for, an event has a name, and the name is not a reserved one that is
    /// written without escapes. Whether the rest is JSON is for [`validate`](Self::validate), or for whoever reads the
    /// [arguments](Args), to find out. Takes linear time at worst, and never allocates.
    ///
    /// Stricter than the official parser only where that one is odd: an empty message, white space among the digits, and
    /// attachment counts like `1e0` or `0x1` are errors.
    ///
    /// ```
    /// use sockeye_socketio::{Limits, Packet, PacketType};
    ///
    /// let packet = Packet::decode(r#"2/admin,13["project:delete",123]"#, &Limits::default())?;
    /// assert_eq!(packet.packet_type, PacketType::Event);
    /// assert_eq!(packet.namespace, "/admin");
    /// assert_eq!(packet.ack_id, Some(13));
    /// assert_eq!(packet.data, r#"["project:delete",123]"#);
    /// # Ok::<(), sockeye_socketio::DecodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The peer's error; the connection cannot go on.
    #[inline]
    pub fn decode(text: &'a str, limits: &Limits) -> Result<Self, DecodeError> {
        let bytes = text.as_bytes();
        let &byte = bytes.first().ok_or(DecodeError::Empty)?;
        let packet_type = PacketType::from_digit(byte).ok_or(DecodeError::UnknownType { byte })?;
        let mut at = 1;
        let mut attachment_count = 0;
        if packet_type.is_binary() {
            (attachment_count, at) = decode_attachment_count(bytes, at, limits.max_attachments)?;
        }
        let mut namespace = "/";
        if bytes.get(at) == Some(&b'/') {
            // A namespace may end at the end of the packet.
            let len = memchr(b',', &bytes[at..]).unwrap_or(bytes.len() - at);
            if len > limits.max_namespace_len {
                return Err(DecodeError::NamespaceTooLong { len, max: limits.max_namespace_len });
            }
            namespace = &text[at..at + len];
            at = (at + len + 1).min(bytes.len());
        }
        let (ack_id, at) = decode_ack_id(bytes, at)?;
        let data = &text[at..];
        check_shape(packet_type, data.as_bytes())?;
        Ok(Self { packet_type, namespace, ack_id, attachment_count, data })
    }

    /// The arguments of an ack.
    ///
    /// An ack without payload has no arguments.
    ///
    /// ```
    /// use sockeye_socketio::{Limits, Packet};
    ///
    /// let packet = Packet::decode(r#"313["done",7]"#, &Limits::default())?;
    /// let (status, count): (&str, u32) = packet.ack()?.all()?;
    /// assert_eq!((status, count), ("done", 7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnexpectedType`] when the packet is no ack.
    pub fn ack(&self) -> Result<Args<'a>, DecodeError> {
        match self.packet_type {
            PacketType::Ack | PacketType::BinaryAck => Args::from_array(self.data),
            packet_type => Err(DecodeError::UnexpectedType { packet_type }),
        }
    }

    /// Reads the payload of a CONNECT or CONNECT_ERROR packet, which is no list of arguments.
    ///
    /// An absent payload reads like `null`.
    ///
    /// ```
    /// use sockeye_socketio::{Limits, Packet};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Auth<'a> { token: &'a str }
    ///
    /// let packet = Packet::decode(r#"0/admin,{"token":"123"}"#, &Limits::default())?;
    /// assert_eq!(packet.payload::<Auth>()?.token, "123");
    ///
    /// let packet = Packet::decode("0", &Limits::default())?;
    /// assert!(packet.payload::<Option<Auth>>()?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Args::first`].
    pub fn payload<T: serde::Deserialize<'a>>(&self) -> Result<T, ArgsError> {
        let text = if self.data.is_empty() { "null" } else { self.data };
        serde_json::from_str(text).map_err(|error| match json::validate(text) {
            Err(protocol) => ArgsError::Protocol(protocol),
            Ok(()) if self.data.is_empty() => ArgsError::Missing { index: 0 },
            Ok(()) => ArgsError::Data(error),
        })
    }

    /// Checks the syntax of the whole payload, and that it is not nested deeper than 127 levels.
    ///
    /// For packets that nobody reads: whoever reads arguments has them checked on the way.
    ///
    /// # Errors
    ///
    /// [`DecodeError::InvalidJson`] or [`DecodeError::TooDeep`].
    pub fn validate(&self) -> Result<(), DecodeError> {
        if self.data.is_empty() { Ok(()) } else { json::validate(self.data) }
    }
}

/// Reads `<count>-` at `at`; returns the count and the index behind the dash.
fn decode_attachment_count(bytes: &[u8], at: usize, max: usize) -> Result<(usize, usize), DecodeError> {
    let len = count_digits(bytes, at);
    if len == 0 || bytes.get(at + len) != Some(&b'-') {
        return Err(DecodeError::InvalidAttachmentCount);
    }
    let count = bytes[at..at + len]
        .iter()
        .fold(0_usize, |count, &digit| count.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
    match count {
        0 => Err(DecodeError::InvalidAttachmentCount),
        count if count > max => Err(DecodeError::TooManyAttachments { count, max }),
        count => Ok((count, at + len + 1)),
    }
}

/// Reads the digits at `at`, if any; returns their value and the index behind them.
#[inline]
fn decode_ack_id(bytes: &[u8], mut at: usize) -> Result<(Option<u64>, usize), DecodeError> {
    let mut ack_id = None;
    while let Some(&digit @ b'0'..=b'9') = bytes.get(at) {
        let id =
            ack_id.unwrap_or(0_u64).checked_mul(10).and_then(|id| id.checked_add(u64::from(digit - b'0')));
        ack_id = Some(id.ok_or(DecodeError::AckIdOverflow)?);
        at += 1;
    }
    Ok((ack_id, at))
}

fn count_digits(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Compares the first and last bytes of the payload with what the packet's type asks for.
#[inline]
fn check_shape(packet_type: PacketType, data: &[u8]) -> Result<(), DecodeError> {
    let Some(&first) = data.first() else { return Ok(()) };
    let invalid = DecodeError::InvalidPayload { packet_type };
    let last = match (packet_type, first) {
        (PacketType::Connect | PacketType::ConnectError, b'{') => b'}',
        (PacketType::ConnectError, b'"') => b'"',
        (PacketType::Ack | PacketType::BinaryAck, b'[') => b']',
        (PacketType::Event | PacketType::BinaryEvent, b'[') => {
            check_event_name(data)?;
            b']'
        }
        _ => return Err(invalid),
    };
    if data.len() > 1 && json::last_byte(data) == Some(last) { Ok(()) } else { Err(invalid) }
}

/// The first element of an event must be a string, not a reserved one, or a number.
#[inline]
fn check_event_name(data: &[u8]) -> Result<(), DecodeError> {
    let at = json::skip_whitespace(data, 1);
    match data.get(at) {
        Some(b'"') if is_reserved_literal(&data[at + 1..]) => Err(DecodeError::ReservedEventName),
        Some(b'"' | b'-' | b'0'..=b'9') => Ok(()),
        _ => Err(DecodeError::InvalidEventName),
    }
}

/// Whether a string literal, from behind its opening quote, is a reserved name written without escapes.
#[inline]
fn is_reserved_literal(literal: &[u8]) -> bool {
    matches!(literal.first(), Some(b'c' | b'd' | b'n' | b'r'))
        && RESERVED_EVENTS.iter().any(|name| {
            literal.strip_prefix(name.as_bytes()).is_some_and(|behind| behind.first() == Some(&b'"'))
        })
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
