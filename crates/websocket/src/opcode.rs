//! Opcodes (RFC 6455 §5.2, §11.8).

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpCode {
    /// The next fragment of the message that is under way.
    Continuation = 0x0,
    /// The first (or only) frame of a text message.
    Text = 0x1,
    /// The first (or only) frame of a binary message.
    Binary = 0x2,
    /// Start or answer of the closing handshake.
    Close = 0x8,
    /// Asks the peer for a Pong with the same payload.
    Ping = 0x9,
    /// Answers a Ping, or an unsolicited sign of life.
    Pong = 0xA,
}

impl OpCode {
    /// The opcode in the low four bits of `nibble`; `None` for the reserved values 3-7 and B-F.
    #[inline]
    pub const fn from_nibble(nibble: u8) -> Option<Self> {
        Some(match nibble & 0x0F {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// Whether this is a control frame (§5.5): never fragmented, at most 125 bytes of payload.
    #[inline]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nibble_is_an_opcode_or_reserved() {
        for nibble in 0..16u8 {
            let reserved = matches!(nibble, 3..=7 | 0xB..=0xF);
            match OpCode::from_nibble(nibble) {
                Some(opcode) => {
                    assert_eq!(opcode as u8, nibble);
                    assert_eq!(opcode.is_control(), nibble >= 8);
                    assert!(!reserved);
                }
                None => assert!(reserved),
            }
        }
    }
}
