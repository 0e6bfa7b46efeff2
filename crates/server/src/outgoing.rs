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
use sockeye_adapter::Payload;
use sockeye_engineio::PacketType;
use sockeye_socketio::{EncodeError, PacketType as SocketPacketType};
use sockeye_tokio_websocket::{MessageKind, Prepared};
use std::{fmt, io::Write as _};

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

    /// An event that is known between servers; `offset` becomes an additional last argument.
    pub(crate) fn from_payload(
        namespace: &str,
        ack_id: Option<u64>,
        event: &Payload,
        offset: Option<&str>,
    ) -> Result<Self, EncodeError> {
        Self::encode(|out, attachments| {
            let count = event.attachments().len();
            let packet_type =
                if count == 0 { SocketPacketType::Event } else { SocketPacketType::BinaryEvent };
            out.push(packet_type.digit());
            if count > 0 {
                write_text(out, format_args!("{count}-"));
            }
            if namespace != "/" {
                write_text(out, format_args!("{namespace},"));
            }
            if let Some(ack_id) = ack_id {
                write_text(out, format_args!("{ack_id}"));
            }
            out.extend_from_slice(event.json().as_bytes());
            if let Some(offset) = offset {
                out.pop();
                out.push(b',');
                serde_json::to_writer(&mut *out, offset)?;
                out.push(b']');
            }
            attachments.extend_from_slice(event.attachments());
            Ok(())
        })
    }

    /// Bytes of all its frames.
    pub(crate) fn len(&self) -> usize {
        self.text.frame().len() + self.attachments.iter().map(|a| a.frame().len()).sum::<usize>()
    }
}

fn write_text(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
}

/// An Engine.IO control packet as a WebSocket frame.
pub(crate) fn control(packet_type: PacketType, data: &str) -> Prepared {
    let mut text = String::with_capacity(1 + data.len());
    text.push(char::from(packet_type.digit()));
    text.push_str(data);
    Prepared::text(&text)
}
