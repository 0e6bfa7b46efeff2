//! Errors, by blame: [`DecodeError`] is the peer's broken packet, [`ErrorCode`] is the answer to a refused
//! request.

use alloc::string::String;
use core::fmt;

use crate::close::CloseReason;
use crate::json;

/// The peer sent something that is no packet. The session it came from ends with [`CloseReason::ParseError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// A packet has no type: an empty message, an empty payload, or two separators in a row.
    EmptyPacket,
    /// A packet starts with a byte that is neither a digit from `0` to `6` nor `b`.
    UnknownPacketType {
        /// The byte found.
        byte: u8,
    },
    /// The data after `b` is not base64 of the standard alphabet.
    InvalidBase64,
    /// A `b` without data, where [`PayloadLimits::allow_empty_binary`](crate::PayloadLimits) is off.
    EmptyBinary,
    /// The bytes are not UTF-8.
    InvalidUtf8 {
        /// How many bytes were valid.
        valid_up_to: usize,
    },
    /// A payload has more packets than allowed.
    TooManyPackets {
        /// The limit.
        max: usize,
    },
    /// The length in front of a packet of revision 3 is no number, or not that of the packet.
    InvalidLength,
    /// The form that carries a payload has a broken escape.
    InvalidForm,
    /// The data of an open packet is not the JSON object that it should be.
    InvalidOpenPacket,
}

impl DecodeError {
    /// Why the session ends after this error.
    #[must_use]
    pub const fn close_reason(&self) -> CloseReason {
        CloseReason::ParseError
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyPacket => f.write_str("empty packet"),
            Self::UnknownPacketType { byte } => write!(f, "unknown packet type 0x{byte:02x}"),
            Self::InvalidBase64 => f.write_str("invalid base64 in a binary packet"),
            Self::EmptyBinary => f.write_str("binary packet without data"),
            Self::InvalidUtf8 { valid_up_to } => write!(f, "invalid UTF-8 after {valid_up_to} bytes"),
            Self::TooManyPackets { max } => write!(f, "payload of more than {max} packets"),
            Self::InvalidLength => f.write_str("invalid length in a payload"),
            Self::InvalidForm => f.write_str("invalid form"),
            Self::InvalidOpenPacket => f.write_str("invalid open packet"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Why a request is refused: the codes of the `{"code":…,"message":…}` answer.
///
/// ```
/// use sockeye_engineio::ErrorCode;
///
/// let refused = ErrorCode::SessionIdUnknown;
/// assert_eq!(refused.status(), 400);
/// assert_eq!(refused.body_json(None), r#"{"code":1,"message":"Session ID unknown"}"#);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ErrorCode {
    /// The transport is missing, unknown or turned off.
    TransportUnknown = 0,
    /// No session has this id.
    SessionIdUnknown = 1,
    /// A session is opened with `GET` only.
    BadHandshakeMethod = 2,
    /// The request breaks another rule.
    BadRequest = 3,
    /// The application refuses the request.
    Forbidden = 4,
    /// The revision in `EIO` is not served.
    UnsupportedProtocolVersion = 5,
}

impl ErrorCode {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The text that goes with the number.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::TransportUnknown => "Transport unknown",
            Self::SessionIdUnknown => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedProtocolVersion => "Unsupported protocol version",
        }
    }

    /// The HTTP status of the answer to a request that is no WebSocket upgrade. A refused upgrade is always
    /// answered with 400 and [`message`](Self::message) as its body.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            _ => 400,
        }
    }

    /// The body of the answer, `application/json`. A `custom` message that is not empty replaces the usual
    /// one.
    #[must_use]
    pub fn body_json(self, custom: Option<&str>) -> String {
        let message = match custom {
            Some(text) if !text.is_empty() => text,
            _ => self.message(),
        };
        let mut body = String::with_capacity(24 + message.len());
        body.push_str(r#"{"code":"#);
        body.push(char::from(b'0' + self.code()));
        body.push_str(r#","message":"#);
        json::push_string(&mut body, message);
        body.push('}');
        body
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for ErrorCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_code_has_its_body_and_status() {
        let answers = [
            (ErrorCode::TransportUnknown, 400, r#"{"code":0,"message":"Transport unknown"}"#),
            (ErrorCode::SessionIdUnknown, 400, r#"{"code":1,"message":"Session ID unknown"}"#),
            (ErrorCode::BadHandshakeMethod, 400, r#"{"code":2,"message":"Bad handshake method"}"#),
            (ErrorCode::BadRequest, 400, r#"{"code":3,"message":"Bad request"}"#),
            (ErrorCode::Forbidden, 403, r#"{"code":4,"message":"Forbidden"}"#),
            (
                ErrorCode::UnsupportedProtocolVersion,
                400,
                r#"{"code":5,"message":"Unsupported protocol version"}"#,
            ),
        ];
        for (error, status, body) in answers {
            assert_eq!(error.status(), status);
            assert_eq!(error.body_json(None), body);
        }
    }

    #[test]
    fn a_custom_message_replaces_the_usual_one_and_is_escaped() {
        let body = ErrorCode::Forbidden.body_json(Some("no \"entry\"\n"));
        assert_eq!(body, r#"{"code":4,"message":"no \"entry\"\n"}"#);
    }

    #[test]
    fn an_empty_custom_message_counts_as_none() {
        assert_eq!(ErrorCode::Forbidden.body_json(Some("")), ErrorCode::Forbidden.body_json(None));
    }

    #[test]
    fn every_decode_error_ends_the_session_with_parse_error() {
        for error in [
            DecodeError::EmptyPacket,
            DecodeError::UnknownPacketType { byte: 0xc3 },
            DecodeError::InvalidBase64,
            DecodeError::EmptyBinary,
            DecodeError::InvalidUtf8 { valid_up_to: 3 },
            DecodeError::TooManyPackets { max: 1 },
            DecodeError::InvalidOpenPacket,
        ] {
            assert_eq!(error.close_reason(), CloseReason::ParseError);
        }
    }
}
