//! Packets to messages, in one pass.
//!
//! ```text
//! 84  a4 type 02  a3 nsp a6 /admin  a2 id 0d  a4 data 93 a6 upload c4 04 89 50 4e 47 …
//! ```
//!
//! The header stands first; the order means nothing to receivers.

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Serialize, ser::SerializeSeq};

use super::ser::{Compound, Writer};
use crate::{
    args::Args,
    encode::{Grant, Refusal, or_undo},
    error::EncodeError,
    event_args::EventArgs,
    packet::{Packet, PacketType, is_reserved_event},
};

/// Appends an event. On an error `out` is left as it was.
///
/// ```
/// use sockeye_socketio::{Binary, msgpack::encode_event};
///
/// let mut out = Vec::new();
/// encode_event(&mut out, "/", Some(13), "image", &("a.png", Binary::from(&b"\x89P"[..])))?;
/// assert_eq!(out, b"\x84\xa4type\x02\xa3nsp\xa1/\xa2id\x0d\xa4data\x93\xa5image\xa5a.png\xc4\x02\x89P");
/// # Ok::<(), sockeye_socketio::EncodeError>(())
/// ```
///
/// # Errors
///
/// [`EncodeError::ReservedEventName`], [`EncodeError::InvalidNamespace`], and [`EncodeError::Json`] when an argument cannot be
/// serialized.
pub fn encode_event<A: EventArgs + ?Sized>(
    out: &mut Vec<u8>,
    namespace: &str,
    ack_id: Option<u64>,
    event: &str,
    args: &A,
) -> Result<(), EncodeError> {
    if is_reserved_event(event) {
        return Err(EncodeError::ReservedEventName);
    }
    encode_array(out, PacketType::Event, namespace, ack_id, Some(event), args)
}

/// Appends the answer to an event. On an error `out` is left as it was.
///
/// # Errors
///
/// [`EncodeError::InvalidNamespace`], and [`EncodeError::Json`] when an argument cannot be serialized.
pub fn encode_ack<A: EventArgs + ?Sized>(
    out: &mut Vec<u8>,
    namespace: &str,
    ack_id: u64,
    args: &A,
) -> Result<(), EncodeError> {
    encode_array(out, PacketType::Ack, namespace, Some(ack_id), None, args)
}

/// Appends a client's request for a namespace.
///
/// # Errors
///
/// [`EncodeError::DataNotAnObject`] when `data` is anything else, which servers refuse; [`EncodeError::InvalidNamespace`],
/// [`EncodeError::Json`].
pub fn encode_connect<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    namespace: &str,
    data: Option<&T>,
) -> Result<(), EncodeError> {
    let start = out.len();
    or_undo(out, start, |out| {
        let Some(data) = data else { return encode_header(out, PacketType::Connect, namespace, None, false) };
        encode_header(out, PacketType::Connect, namespace, None, true)?;
        let at = out.len();
        data.serialize(&mut Writer { out, raw_attachments: &[] })?;
        match out.get(at) {
            Some(0x80..=0x8f | 0xde | 0xdf) => Ok(()),
            _ => Err(EncodeError::DataNotAnObject),
        }
    })
}

/// Appends a server's permission to join a namespace; `pid` is for connections that can be recovered.
///
/// # Errors
///
/// [`EncodeError::InvalidNamespace`].
pub fn encode_connect_reply(
    out: &mut Vec<u8>,
    namespace: &str,
    sid: &str,
    pid: Option<&str>,
) -> Result<(), EncodeError> {
    encode_payload(out, PacketType::Connect, namespace, &Grant { sid, pid })
}

/// Appends the end of a namespace's connection, which either side may send.
///
/// # Errors
///
/// [`EncodeError::InvalidNamespace`].
pub fn encode_disconnect(out: &mut Vec<u8>, namespace: &str) -> Result<(), EncodeError> {
    encode_header(out, PacketType::Disconnect, namespace, None, false)
}

/// Appends a server's refusal of a namespace.
///
/// # Errors
///
/// [`EncodeError::InvalidNamespace`], [`EncodeError::Json`].
pub fn encode_connect_error<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    namespace: &str,
    message: &str,
    data: Option<&T>,
) -> Result<(), EncodeError> {
    encode_payload(out, PacketType::ConnectError, namespace, &Refusal { message, data })
}

/// Appends an event or an ack that is there in the other form: a text packet with its attachments.
///
/// Placeholders become the bytes that they stand for.
///
/// ```
/// use sockeye_socketio::{Limits, Packet, msgpack};
///
/// let text = r#"51-["image",{"_placeholder":true,"num":0}]"#;
/// let packet = Packet::decode(text, &Limits::default())?;
/// let mut out = Vec::new();
/// msgpack::encode_text_packet(&mut out, &packet, &[bytes::Bytes::from_static(b"\x89P")])?;
///
/// let message = out.into();
/// let event = msgpack::Packet::decode(&message, &Limits::default())?.event()?;
/// assert_eq!(event.name, "image");
/// assert_eq!(event.args.first::<&[u8]>()?, b"\x89P");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`EncodeError::InvalidPacket`] when the packet is no event and no ack, and [`EncodeError::Json`] when its payload is not JSON.
pub fn encode_text_packet(
    out: &mut Vec<u8>,
    packet: &Packet<'_>,
    attachments: &[Bytes],
) -> Result<(), EncodeError> {
    let Packet { namespace, ack_id, .. } = *packet;
    match packet.packet_type {
        PacketType::Event | PacketType::BinaryEvent => {
            let event = packet.event()?;
            let args = event.args.with_attachments(attachments);
            encode_array(out, PacketType::Event, namespace, ack_id, Some(&event.name), &args)
        }
        _ => {
            let args = packet.ack()?;
            let args: Args<'_> = args.with_attachments(attachments);
            encode_array(out, PacketType::Ack, namespace, ack_id, None, &args)
        }
    }
}

fn encode_array<A: EventArgs + ?Sized>(
    out: &mut Vec<u8>,
    packet_type: PacketType,
    namespace: &str,
    ack_id: Option<u64>,
    event: Option<&str>,
    args: &A,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.reserve(TYPICAL_LEN);
    or_undo(out, start, |out| {
        encode_header(out, packet_type, namespace, ack_id, true)?;
        let mut writer = Writer { out, raw_attachments: args.raw_attachments() };
        let mut seq = Compound::last(&mut writer);
        if let Some(event) = event {
            seq.serialize_element(event)?;
        }
        args.serialize_args(&mut seq)?;
        Ok(SerializeSeq::end(seq)?)
    })
}

fn encode_payload<T: Serialize>(
    out: &mut Vec<u8>,
    packet_type: PacketType,
    namespace: &str,
    payload: &T,
) -> Result<(), EncodeError> {
    let start = out.len();
    or_undo(out, start, |out| {
        encode_header(out, packet_type, namespace, None, true)?;
        Ok(payload.serialize(&mut Writer { out, raw_attachments: &[] })?)
    })
}

/// What most events fit in, reserved at once instead of step by step.
const TYPICAL_LEN: usize = 128;

/// Appends everything but the payload, and the key of that if there is one.
fn encode_header(
    out: &mut Vec<u8>,
    packet_type: PacketType,
    namespace: &str,
    ack_id: Option<u64>,
    has_data: bool,
) -> Result<(), EncodeError> {
    if !namespace.starts_with('/') || namespace.contains(',') {
        return Err(EncodeError::InvalidNamespace);
    }
    let mut writer = Writer { out, raw_attachments: &[] };
    writer.map(2 + usize::from(ack_id.is_some()) + usize::from(has_data))?;
    writer.text("type")?;
    writer.unsigned(u64::from(packet_type.digit() - b'0'));
    writer.text("nsp")?;
    writer.text(namespace)?;
    if let Some(ack_id) = ack_id {
        writer.text("id")?;
        writer.unsigned(ack_id);
    }
    if has_data {
        writer.text("data")?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
