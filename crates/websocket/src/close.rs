//! Close codes and the payload of a Close frame (RFC 6455 §5.5.1, §7.4).

use bytestring::ByteString;
use core::fmt;

use crate::{ProtocolError, SendError, frame::MAX_CONTROL_LEN};

/// The longest reason of a Close frame in bytes: what 125 bytes leave beside the code.
pub(crate) const MAX_REASON_LEN: usize = MAX_CONTROL_LEN - 2;

/// Why a connection closes, as a number (§7.4.1; the registry of IANA has more than the RFC).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: a server goes down, or a browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a type of data that the endpoint cannot accept.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1007: data that does not fit its type, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a message breaks the endpoint's policy.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message is too big to be processed.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: a client expected an extension that the server did not negotiate.
    pub const EXTENSION_REQUIRED: Self = Self(1010);
    /// 1011: a server met a condition that it did not expect.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service restarts.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the service is overloaded; try again later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got an invalid answer from upstream.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// The code `number`, if it may stand in a Close frame: 1000-1003, 1007-1014 and 3000-4999 (§7.4.2). 1004 is
    /// reserved; 1005, 1006 and 1015 describe how a connection ended and are never sent.
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(number)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

/// The payload of a Close frame that has one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CloseFrame {
    /// Why.
    pub code: CloseCode,
    /// The same for a human reader of the log; may be empty. At most 123 bytes.
    pub reason: ByteString,
}

impl CloseFrame {
    /// A code with its reason.
    pub fn new(code: CloseCode, reason: impl Into<ByteString>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// Reads the payload of a Close frame; an empty one says nothing.
    pub(crate) fn decode(payload: &[u8]) -> Result<Option<Self>, ProtocolError> {
        match payload {
            [] => Ok(None),
            // §5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer"
            [_] => Err(ProtocolError::CloseCodeIncomplete),
            [high, low, reason @ ..] => {
                let number = u16::from_be_bytes([*high, *low]);
                let code = CloseCode::new(number).ok_or(ProtocolError::InvalidCloseCode(number))?;
                let reason = core::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
                Ok(Some(Self { code, reason: reason.into() }))
            }
        }
    }

    /// Writes the payload into `buffer`; returns its length in bytes.
    pub(crate) fn encode(&self, buffer: &mut [u8; MAX_CONTROL_LEN]) -> Result<usize, SendError> {
        let reason = self.reason.as_bytes();
        if reason.len() > MAX_REASON_LEN {
            return Err(SendError::ControlPayloadTooLong { len: reason.len(), max: MAX_REASON_LEN });
        }
        buffer[..2].copy_from_slice(&self.code.get().to_be_bytes());
        buffer[2..2 + reason.len()].copy_from_slice(reason);
        Ok(2 + reason.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_must_not_be_sent_are_none() {
        for number in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
            assert_eq!(CloseCode::new(number), None, "{number}");
            let payload = number.to_be_bytes();
            assert_eq!(CloseFrame::decode(&payload), Err(ProtocolError::InvalidCloseCode(number)));
        }
        for number in [1000, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999] {
            assert_eq!(CloseCode::new(number).map(CloseCode::get), Some(number));
        }
    }

    #[test]
    fn one_byte_of_payload_is_a_protocol_error() {
        assert_eq!(CloseFrame::decode(&[3]), Err(ProtocolError::CloseCodeIncomplete));
    }

    #[test]
    fn reason_that_is_not_utf8_is_invalid_payload() {
        let error = CloseFrame::decode(&[0x03, 0xE8, 0xFF]).unwrap_err();
        assert_eq!(error.close_code(), CloseCode::INVALID_PAYLOAD);
    }

    #[test]
    fn reason_longer_than_123_bytes_is_refused() {
        let frame = CloseFrame::new(CloseCode::NORMAL, "x".repeat(124));
        assert_eq!(frame.encode(&mut [0; 125]), Err(SendError::ControlPayloadTooLong { len: 124, max: 123 }));
    }
}
