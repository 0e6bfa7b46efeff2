//! A packet that was received, in whatever form.

use alloc::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    args::Args,
    error::{ArgsError, DecodeError},
    event::Event,
    msgpack,
    packet::{Packet, PacketType},
};

/// A text packet with its attachments, or a msgpack one: for those who serve both.
///
/// ```
/// use sockeye_socketio::{Incoming, Limits, Packet, msgpack};
///
/// let mut message = Vec::new();
/// msgpack::encode_event(&mut message, "/", Some(7), "say", &("hi", 1))?;
/// let message = message.into();
/// let limits = Limits::default();
///
/// let text = Incoming::text(Packet::decode(r#"27["say","hi",1]"#, &limits)?, &[]);
/// let msgpack = Incoming::msgpack(msgpack::Packet::decode(&message, &limits)?);
/// for packet in [text, msgpack] {
///     assert_eq!((packet.namespace, packet.ack_id), ("/", Some(7)));
///     let event = packet.event()?;
///     assert_eq!(event.name, "say");
///     assert_eq!(event.args.all::<(&str, u8)>()?, ("hi", 1));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Incoming<'a> {
    /// The type; never a binary one, as the attachments are there.
    pub packet_type: PacketType,
    /// The namespace, `/` for the main one.
    pub namespace: &'a str,
    /// Of an event, the sender wants an answer; of an ack, the event that it answers.
    pub ack_id: Option<u64>,
    form: Form<'a>,
}

#[derive(Debug, Clone)]
enum Form<'a> {
    Text(Packet<'a>, &'a [Bytes]),
    MsgPack(msgpack::Packet<'a>),
}

impl<'a> Incoming<'a> {
    /// A text packet, with its attachments if it has some.
    #[must_use]
    #[inline]
    pub const fn text(packet: Packet<'a>, attachments: &'a [Bytes]) -> Self {
        let packet_type = match packet.packet_type {
            PacketType::BinaryEvent => PacketType::Event,
            PacketType::BinaryAck => PacketType::Ack,
            packet_type => packet_type,
        };
        let (namespace, ack_id) = (packet.namespace, packet.ack_id);
        Self { packet_type, namespace, ack_id, form: Form::Text(packet, attachments) }
    }

    /// A msgpack packet.
    #[must_use]
    pub const fn msgpack(packet: msgpack::Packet<'a>) -> Self {
        let (packet_type, namespace, ack_id) = (packet.packet_type, packet.namespace, packet.ack_id);
        Self { packet_type, namespace, ack_id, form: Form::MsgPack(packet) }
    }

    /// Reads the name of an event, and finds its arguments, which have their attachments.
    ///
    /// # Errors
    ///
    /// As [`Packet::event`].
    #[inline]
    pub fn event(&self) -> Result<Event<'a>, DecodeError> {
        match &self.form {
            Form::Text(packet, attachments) => {
                let Event { name, args } = packet.event()?;
                Ok(Event { name, args: args.with_attachments(attachments) })
            }
            Form::MsgPack(packet) => packet.event(),
        }
    }

    /// The arguments of an ack, with their attachments.
    ///
    /// # Errors
    ///
    /// As [`Packet::ack`].
    pub fn ack(&self) -> Result<Args<'a>, DecodeError> {
        match &self.form {
            Form::Text(packet, attachments) => Ok(packet.ack()?.with_attachments(attachments)),
            Form::MsgPack(packet) => packet.ack(),
        }
    }

    /// Reads the payload of a CONNECT or CONNECT_ERROR packet; an absent one like `null`.
    ///
    /// # Errors
    ///
    /// As [`Packet::payload`].
    pub fn payload<T: Deserialize<'a>>(&self) -> Result<T, ArgsError> {
        match &self.form {
            Form::Text(packet, _) => packet.payload(),
            Form::MsgPack(packet) => packet.payload(),
        }
    }

    /// The payload of a CONNECT or CONNECT_ERROR packet as JSON text, whose syntax is for [`validate`](Self::validate) to check;
    /// empty when absent.
    #[must_use]
    pub fn payload_json(&self) -> Cow<'a, str> {
        match &self.form {
            Form::Text(packet, _) => Cow::Borrowed(packet.data),
            // What was decoded can be written as JSON.
            Form::MsgPack(packet) => Cow::Owned(packet.payload_json().unwrap_or_default()),
        }
    }

    /// Checks the syntax of the whole payload; that of a msgpack packet has been checked.
    ///
    /// # Errors
    ///
    /// As [`Packet::validate`].
    pub fn validate(&self) -> Result<(), DecodeError> {
        match &self.form {
            Form::Text(packet, _) => packet.validate(),
            Form::MsgPack(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Binary, Limits};
    use alloc::vec::Vec;

    #[test]
    fn binary_types_are_plain_ones_once_the_attachments_are_there() {
        let attachments = [Bytes::from_static(b"a")];
        let text = r#"51-["e",{"_placeholder":true,"num":0}]"#;
        let packet = Incoming::text(Packet::decode(text, &Limits::default()).unwrap(), &attachments);
        assert_eq!(packet.packet_type, PacketType::Event);
        assert_eq!(packet.event().unwrap().args.first::<Binary>().unwrap().0, attachments[0]);
        let text = r#"61-7[{"_placeholder":true,"num":0}]"#;
        let packet = Incoming::text(Packet::decode(text, &Limits::default()).unwrap(), &attachments);
        assert_eq!(packet.packet_type, PacketType::Ack);
        assert_eq!(packet.ack().unwrap().first::<&[u8]>().unwrap(), b"a");
    }

    #[test]
    fn payloads_are_read_or_shown_as_json() {
        let mut message = Vec::new();
        msgpack::encode_connect(&mut message, "/a", Some(&serde_json::json!({ "token": "x" }))).unwrap();
        let message = Bytes::from(message);
        for packet in [
            Incoming::text(Packet::decode(r#"0/a,{"token":"x"}"#, &Limits::default()).unwrap(), &[]),
            Incoming::msgpack(msgpack::Packet::decode(&message, &Limits::default()).unwrap()),
        ] {
            assert_eq!(packet.payload_json(), r#"{"token":"x"}"#);
            assert_eq!(packet.payload::<serde_json::Value>().unwrap()["token"], "x");
            assert_eq!(packet.validate(), Ok(()));
            assert!(packet.event().is_err() && packet.ack().is_err());
        }
    }
}
