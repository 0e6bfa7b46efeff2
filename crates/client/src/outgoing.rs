//! Packets on their way out, encoded once by whoever emits.
//!
//! ```text
//!            Engine.IO   Socket.IO
//! buffer   ┌───────────┬──────────────────────┐
//!          │    '4'    │ 2/chat,["event",…]   │   ► masked into the WebSocket's output, or a part of a POST
//!          └───────────┴──────────────────────┘
//! ```

use bytes::Bytes;
use bytestring::ByteString;
use sockeye_engineio::{PacketType, PayloadEncoder};
use sockeye_socketio::EncodeError;

/// A packet: its first message, and those of its attachments if it has any.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) head: ByteString,
    pub(crate) attachments: Vec<Bytes>,
    /// Whether it may be compressed.
    pub(crate) compress: bool,
}

impl Outgoing {
    /// Builds a packet: `encode` appends the Socket.IO text and collects the attachments.
    pub(crate) fn encode(
        compress: bool,
        encode: impl FnOnce(&mut Vec<u8>, &mut Vec<Bytes>) -> Result<(), EncodeError>,
    ) -> Result<Self, EncodeError> {
        let mut buffer = Vec::with_capacity(128);
        buffer.push(PacketType::Message.digit());
        let mut attachments = Vec::new();
        encode(&mut buffer, &mut attachments)?;
        // JSON is UTF-8: nothing is lost.
        let head = String::from_utf8(buffer).unwrap_or_default().into();
        Ok(Self { head, attachments, compress })
    }

    /// An Engine.IO control packet.
    pub(crate) fn control(packet_type: PacketType, data: &str) -> Self {
        let mut text = String::with_capacity(1 + data.len());
        text.push(char::from(packet_type.digit()));
        text.push_str(data);
        Self { head: text.into(), attachments: Vec::new(), compress: false }
    }

    /// The Socket.IO text.
    pub(crate) fn text(&self) -> &str {
        self.head.get(1..).unwrap_or_default()
    }

    /// Bytes that it holds.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    /// The length of its messages in a polling payload, with the separators between them.
    pub(crate) fn polling_len(&self) -> usize {
        let attachments = self.attachments.iter().map(|bytes| 1 + PayloadEncoder::binary_len(bytes.len()));
        self.head.len() + attachments.sum::<usize>()
    }
}
