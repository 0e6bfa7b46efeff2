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
use serde_json::{Map, Value};
use sockeye_engineio::{PacketType, PayloadEncoder};
use sockeye_socketio::{
    Args, DecodeError, EncodeError, EventArgs, Incoming, Limits, Packet, Parser, encode_ack, encode_connect,
    encode_disconnect, encode_event, msgpack,
};
use sockeye_tokio_websocket::Message;

/// A packet: its first message, and those of its attachments if it has any.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) head: Message,
    pub(crate) attachments: Vec<Bytes>,
    /// Whether it may be compressed.
    pub(crate) compress: bool,
}

impl Outgoing {
    /// An event.
    pub(crate) fn event<A: EventArgs + ?Sized>(
        parser: Parser,
        namespace: &str,
        ack_id: Option<u64>,
        event: &str,
        args: &A,
    ) -> Result<Self, EncodeError> {
        match parser {
            Parser::MsgPack => {
                Self::message(|out| msgpack::encode_event(out, namespace, ack_id, event, args))
            }
            _ => {
                Self::text(|out, attachments| encode_event(out, attachments, namespace, ack_id, event, args))
            }
        }
    }

    /// The answer to an event.
    pub(crate) fn ack<A: EventArgs + ?Sized>(
        parser: Parser,
        namespace: &str,
        ack_id: u64,
        args: &A,
    ) -> Result<Self, EncodeError> {
        match parser {
            Parser::MsgPack => Self::message(|out| msgpack::encode_ack(out, namespace, ack_id, args)),
            _ => Self::text(|out, attachments| encode_ack(out, attachments, namespace, ack_id, args)),
        }
    }

    /// The wish to join a namespace.
    pub(crate) fn connect(
        parser: Parser,
        namespace: &str,
        data: Option<&Map<String, Value>>,
    ) -> Result<Self, EncodeError> {
        match parser {
            Parser::MsgPack => Self::message(|out| msgpack::encode_connect(out, namespace, data)),
            _ => Self::text(|out, _| encode_connect(out, namespace, data)),
        }
    }

    /// The end of a namespace's connection.
    pub(crate) fn disconnect(parser: Parser, namespace: &str) -> Result<Self, EncodeError> {
        match parser {
            Parser::MsgPack => Self::message(|out| msgpack::encode_disconnect(out, namespace)),
            _ => Self::text(|out, _| encode_disconnect(out, namespace)),
        }
    }

    /// Builds a text packet: `encode` appends the text and collects the attachments.
    fn text(
        encode: impl FnOnce(&mut Vec<u8>, &mut Vec<Bytes>) -> Result<(), EncodeError>,
    ) -> Result<Self, EncodeError> {
        let mut buffer = Vec::with_capacity(128);
        buffer.push(PacketType::Message.digit());
        let mut attachments = Vec::new();
        encode(&mut buffer, &mut attachments)?;
        // JSON is UTF-8: nothing is lost.
        let head: ByteString = String::from_utf8(buffer).unwrap_or_default().into();
        Ok(Self { head: Message::Text(head), attachments, compress: true })
    }

    /// Builds a packet of msgpack, which is a binary message, so that Engine.IO adds nothing to it.
    fn message(encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>) -> Result<Self, EncodeError> {
        let mut buffer = Vec::with_capacity(128);
        encode(&mut buffer)?;
        Ok(Self { head: Message::Binary(buffer.into()), attachments: Vec::new(), compress: true })
    }

    /// An Engine.IO control packet.
    pub(crate) fn control(packet_type: PacketType, data: &str) -> Self {
        let mut text = String::with_capacity(1 + data.len());
        text.push(char::from(packet_type.digit()));
        text.push_str(data);
        Self { head: Message::text(text), attachments: Vec::new(), compress: false }
    }

    /// Decides about compression.
    pub(crate) const fn compression(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// Reads the packet as its receiver will: an event's name and arguments.
    ///
    /// # Errors
    /// When it is no event.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&str, Args<'_>) -> T) -> Result<T, DecodeError> {
        let limits = Limits::NONE;
        let event = match &self.head {
            Message::Binary(bytes) => Incoming::msgpack(msgpack::Packet::decode(bytes, &limits)?).event()?,
            Message::Text(text) => {
                let packet = Packet::decode(text.get(1..).unwrap_or_default(), &limits)?;
                Incoming::text(packet, &self.attachments).event()?
            }
            _ => return Err(DecodeError::InvalidEventName),
        };
        Ok(read(&event.name, event.args))
    }

    /// Bytes that it holds.
    pub(crate) fn len(&self) -> usize {
        self.head.payload().len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    /// The length of its messages in a polling payload, with the separators between them.
    pub(crate) fn polling_len(&self) -> usize {
        let head = match &self.head {
            Message::Binary(bytes) => PayloadEncoder::binary_len(bytes.len()),
            head => head.payload().len(),
        };
        let attachments = self.attachments.iter().map(|bytes| 1 + PayloadEncoder::binary_len(bytes.len()));
        head + attachments.sum::<usize>()
    }

    /// Appends its messages to a polling payload.
    pub(crate) fn push(&self, payload: &mut PayloadEncoder<'_>) {
        match &self.head {
            Message::Binary(bytes) => payload.push_binary(bytes),
            head => payload.push_encoded(head.payload()),
        }
        for attachment in &self.attachments {
            payload.push_binary(attachment);
        }
    }
}
