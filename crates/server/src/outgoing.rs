//! Packets on their way out: encoded and framed once, shared by all recipients.
//!
//! ```text
//!            headroom (10)   Engine.IO   Socket.IO
//! buffer   ┌───────────────┬───────────┬──────────────────────┐
//!          │   … 81 7E … … │    '4'    │ 2/chat,["event",…]   │   ► one WebSocket frame, header in front in place
//!          └───────────────┴───────────┴──────────────────────┘
//!                            └──────── payload: what polling sends
//! ```

use bytes::Bytes;
use sockeye_adapter::BroadcastPacket;
use sockeye_engineio::PacketType;
use sockeye_socketio::EncodeError;
use sockeye_tokio_websocket::{MessageKind, Prepared};

/// A Socket.IO packet as WebSocket frames: its text, and its attachments if it has any.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) text: Prepared,
    pub(crate) attachments: Vec<Prepared>,
    /// Whether an answer to a GET may be compressed for its sake.
    pub(crate) compress: bool,
}

impl Outgoing {
    /// Builds a packet: `encode` appends the Socket.IO text and collects the attachments.
    pub(crate) fn encode(
        encode: impl FnOnce(&mut Vec<u8>, &mut Vec<Bytes>) -> Result<(), EncodeError>,
    ) -> Result<Self, EncodeError> {
        let mut buffer = Vec::with_capacity(128);
        buffer.resize(Prepared::HEADROOM_LEN, 0);
        buffer.push(PacketType::Message.digit());
        let mut attachments = Vec::new();
        encode(&mut buffer, &mut attachments)?;
        Ok(Self {
            text: Prepared::from_buffer(MessageKind::Text, buffer),
            attachments: attachments.iter().map(|bytes| Prepared::binary(bytes)).collect(),
            compress: true,
        })
    }

    /// Decides about compression. `threshold` is how long a message is at least that WebSockets get compressed; `None`
    /// where none negotiates that.
    pub(crate) fn compression(mut self, threshold: Option<usize>, wanted: bool) -> Self {
        self.compress = wanted;
        let Some(threshold) = threshold.filter(|_| wanted) else { return self };
        for message in std::iter::once(&mut self.text).chain(&mut self.attachments) {
            if message.payload().len() >= threshold {
                *message = message.clone().compressible();
            }
        }
        self
    }

    /// A packet that came from another server.
    pub(crate) fn from_broadcast(packet: &BroadcastPacket) -> Self {
        let mut buffer = Vec::with_capacity(Prepared::HEADROOM_LEN + 1 + packet.text.len());
        buffer.resize(Prepared::HEADROOM_LEN, 0);
        buffer.push(PacketType::Message.digit());
        buffer.extend_from_slice(packet.text.as_bytes());
        Self {
            text: Prepared::from_buffer(MessageKind::Text, buffer),
            attachments: packet.attachments.iter().map(|bytes| Prepared::binary(bytes)).collect(),
            compress: true,
        }
    }

    /// The packet for other servers.
    pub(crate) fn to_broadcast(&self) -> BroadcastPacket {
        let text = String::from_utf8_lossy(&self.text.payload()[1..]).into_owned();
        let attachments = self.attachments.iter().map(|a| Bytes::copy_from_slice(a.payload())).collect();
        BroadcastPacket { text: text.into(), attachments }
    }

    /// Bytes of all its frames.
    pub(crate) fn len(&self) -> usize {
        self.text.frame().len() + self.attachments.iter().map(|a| a.frame().len()).sum::<usize>()
    }
}

/// An Engine.IO control packet as a WebSocket frame.
pub(crate) fn control(packet_type: PacketType, data: &str) -> Prepared {
    let mut text = String::with_capacity(1 + data.len());
    text.push(char::from(packet_type.digit()));
    text.push_str(data);
    Prepared::text(&text)
}
