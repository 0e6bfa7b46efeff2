//! Messages of Engine.IO.

use bytes::Bytes;
use bytestring::ByteString;
use sockeye_engineio::PacketType;
use sockeye_tokio_websocket::{MessageKind, Prepared};

/// What one end of a session sends to the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// Text.
    Text(ByteString),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// A text message.
    pub fn text(text: impl Into<ByteString>) -> Self {
        Self::Text(text.into())
    }

    /// A binary message.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// The text; `None` when it is bytes.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Its bytes, whether it is text or not.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The packet that carries it, framed.
    pub(crate) fn to_packet(&self) -> Prepared {
        match self {
            Self::Text(text) => {
                let mut buffer = Vec::with_capacity(Prepared::HEADROOM_LEN + 1 + text.len());
                buffer.resize(Prepared::HEADROOM_LEN, 0);
                buffer.push(PacketType::Message.digit());
                buffer.extend_from_slice(text.as_bytes());
                Prepared::from_buffer(MessageKind::Text, buffer)
            }
            Self::Binary(bytes) => Prepared::binary(bytes),
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::binary(bytes)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}
