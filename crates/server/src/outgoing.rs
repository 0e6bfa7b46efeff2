//! Packets on their way out: encoded and framed once, shared by all recipients.
//!
//! ```text
//!            headroom (10)   Engine.IO   Socket.IO
//! buffer   ┌───────────────┬───────────┬──────────────────────┐
//!          │   … 81 7E … … │    '4'    │ 2/chat,["event",…]   │   ► one WebSocket frame, header in front in place
//!          └───────────────┴───────────┴──────────────────────┘
//!                            └──────── payload: what polling sends
//! ```
//! Which form packets have is decided here alone; see [`Wire`].

use bytes::Bytes;
use serde::ser::SerializeSeq;
use sockeye_adapter::Payload;
use sockeye_engineio::PacketType;
use sockeye_socketio::{
    EncodeError, Event, EventArgs, PacketType as SocketPacketType, Parser, encode_ack, encode_connect_error,
    encode_connect_reply, encode_disconnect, encode_event, msgpack,
};
use sockeye_tokio_websocket::{MessageKind, Prepared};
use std::{cell::Cell, fmt, io::Write as _};

use crate::{ConnectError, legacy};

/// How the packets of a server are written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wire {
    pub(crate) parser: Parser,
    /// How long a message is at least that WebSockets get compressed; `None` where none negotiates that.
    pub(crate) deflate_threshold: Option<usize>,
}

/// A Socket.IO packet as WebSocket frames: its text, and its attachments if it has any; or one message of msgpack.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) head: Prepared,
    pub(crate) attachments: Vec<Prepared>,
    /// Whether an answer to a GET may be compressed for its sake.
    pub(crate) compress: bool,
}

impl Outgoing {
    /// An event.
    pub(crate) fn event<A: EventArgs + ?Sized>(
        wire: Wire,
        namespace: &str,
        ack_id: Option<u64>,
        event: &str,
        args: &A,
    ) -> Result<Self, EncodeError> {
        match wire.parser {
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
        wire: Wire,
        namespace: &str,
        ack_id: u64,
        args: &A,
    ) -> Result<Self, EncodeError> {
        match wire.parser {
            Parser::MsgPack => Self::message(|out| msgpack::encode_ack(out, namespace, ack_id, args)),
            _ => Self::text(|out, attachments| encode_ack(out, attachments, namespace, ack_id, args)),
        }
    }

    /// The permission to join a namespace.
    pub(crate) fn connect_reply(
        wire: Wire,
        namespace: &str,
        sid: &str,
        pid: Option<&str>,
    ) -> Result<Self, EncodeError> {
        match wire.parser {
            Parser::MsgPack => Self::message(|out| msgpack::encode_connect_reply(out, namespace, sid, pid)),
            _ => Self::text(|out, _| encode_connect_reply(out, namespace, sid, pid)),
        }
    }

    /// The refusal of a namespace.
    pub(crate) fn connect_error(
        wire: Wire,
        namespace: &str,
        error: &ConnectError,
    ) -> Result<Self, EncodeError> {
        let (message, data) = (error.message.as_str(), error.data.as_ref());
        match wire.parser {
            Parser::MsgPack => {
                Self::message(|out| msgpack::encode_connect_error(out, namespace, message, data))
            }
            _ => Self::text(|out, _| encode_connect_error(out, namespace, message, data)),
        }
    }

    /// The permission to join a namespace, for a client of Socket.IO 2.
    pub(crate) fn v2_connect_reply(wire: Wire, namespace: &str, sid: &str) -> Result<Self, EncodeError> {
        match wire.parser {
            Parser::MsgPack => Self::connect_reply(wire, namespace, sid, None),
            _ => Self::text(|out, _| {
                legacy::encode_connect_reply(out, namespace);
                Ok(())
            }),
        }
    }

    /// The refusal of a namespace, for a client of Socket.IO 2.
    pub(crate) fn v2_connect_error(
        wire: Wire,
        namespace: &str,
        error: &ConnectError,
    ) -> Result<Self, EncodeError> {
        match wire.parser {
            Parser::MsgPack => Self::connect_error(wire, namespace, error),
            _ => Self::text(|out, _| {
                legacy::encode_connect_error(out, namespace, error);
                Ok(())
            }),
        }
    }

    /// The end of a namespace's connection.
    pub(crate) fn disconnect(wire: Wire, namespace: &str) -> Result<Self, EncodeError> {
        match wire.parser {
            Parser::MsgPack => Self::message(|out| msgpack::encode_disconnect(out, namespace)),
            _ => Self::text(|out, _| encode_disconnect(out, namespace)),
        }
    }

    /// Builds a text packet: `encode` appends the text and collects the attachments.
    fn text(
        encode: impl FnOnce(&mut Vec<u8>, &mut Vec<Bytes>) -> Result<(), EncodeError>,
    ) -> Result<Self, EncodeError> {
        let mut attachments = Vec::new();
        let head = prepare(MessageKind::Text, |out| {
            out.push(PacketType::Message.digit());
            encode(out, &mut attachments)
        })?;
        let attachments = attachments.iter().map(|bytes| Prepared::binary(bytes)).collect();
        Ok(Self { head, attachments, compress: true })
    }

    /// Builds a packet of msgpack, which is a binary message, so that Engine.IO adds nothing to it.
    fn message(encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>) -> Result<Self, EncodeError> {
        let head = prepare(MessageKind::Binary, encode)?;
        Ok(Self { head, attachments: Vec::new(), compress: true })
    }

    /// Decides about compression.
    pub(crate) fn compression(mut self, wire: Wire, wanted: bool) -> Self {
        self.compress = wanted;
        let Some(threshold) = wire.deflate_threshold.filter(|_| wanted) else { return self };
        for message in std::iter::once(&mut self.head).chain(&mut self.attachments) {
            if message.payload().len() >= threshold {
                *message = message.clone().compressible();
            }
        }
        self
    }

    /// An event that is known between servers; `offset` becomes an additional last argument.
    pub(crate) fn from_payload(
        wire: Wire,
        namespace: &str,
        ack_id: Option<u64>,
        event: &Payload,
        offset: Option<&str>,
    ) -> Result<Self, EncodeError> {
        if wire.parser == Parser::MsgPack {
            let Event { name, args } = event.to_event()?;
            let args = Stamped { args: &args, offset };
            return Self::message(|out| msgpack::encode_event(out, namespace, ack_id, &name, &args));
        }
        Self::text(|out, attachments| {
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
        self.head.frame().len() + self.attachments.iter().map(|a| a.frame().len()).sum::<usize>()
    }
}

/// Payloads below this length are written into the thread's buffer first, so that what is kept is one allocation of
/// the right length. Above it a copy costs more than that.
const COPY_LEN: usize = 4096;

thread_local! {
    /// Where packets are written. It holds headroom, and at most [`COPY_LEN`] bytes behind it.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Frames what `encode` writes.
fn prepare(
    kind: MessageKind,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<Prepared, EncodeError> {
    // Taken rather than borrowed: serializing is user code, which may emit as well.
    let mut buffer = BUFFER.take();
    buffer.clear();
    buffer.resize(Prepared::HEADROOM_LEN, 0);
    encode(&mut buffer)?;
    if buffer.capacity() > COPY_LEN {
        return Ok(Prepared::from_buffer(kind, buffer));
    }
    let prepared = Prepared::copy(kind, &buffer[Prepared::HEADROOM_LEN..]);
    BUFFER.set(buffer);
    Ok(prepared)
}

/// Arguments, and the offset behind them if there is one.
pub(crate) struct Stamped<'a, A> {
    pub(crate) args: &'a A,
    pub(crate) offset: Option<&'a str>,
}

impl<A: EventArgs> EventArgs for Stamped<'_, A> {
    fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
        self.args.serialize_args(seq)?;
        self.offset.map_or(Ok(()), |offset| seq.serialize_element(offset))
    }

    fn raw_attachments(&self) -> &[Bytes] {
        self.args.raw_attachments()
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
