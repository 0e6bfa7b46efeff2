//! Packets to text and attachments, in one pass.

use alloc::{string::String, vec::Vec};

use bytes::Bytes;
use serde::{
    Serialize,
    ser::{SerializeSeq, Serializer},
};

use crate::{
    detach::{Detach, Sink},
    error::EncodeError,
    event_args::EventArgs,
    packet::{PacketType, is_reserved_event},
};

/// Appends an event: to `out` its text, and to `attachments` the bytes that occur in the arguments, at any depth.
///
/// An EVENT becomes a BINARY_EVENT when there are bytes. The attachments must follow the text as binary messages, in their order.
/// A receiver may refuse more than 10 of them; the official one does by default. On an error both are left as they were.
///
/// ```
/// use sockeye_socketio::encode_event;
///
/// let (mut out, mut attachments) = (Vec::new(), Vec::new());
/// encode_event(&mut out, &mut attachments, "/admin", Some(13), "say", &("hello", 1))?;
/// assert_eq!(out, br#"2/admin,13["say","hello",1]"#);
/// assert!(attachments.is_empty());
/// # Ok::<(), sockeye_socketio::EncodeError>(())
/// ```
///
/// # Errors
///
/// [`EncodeError::ReservedEventName`], [`EncodeError::InvalidNamespace`], and [`EncodeError::Json`] when an argument cannot be
/// serialized.
pub fn encode_event<A: EventArgs + ?Sized>(
    out: &mut Vec<u8>,
    attachments: &mut Vec<Bytes>,
    namespace: &str,
    ack_id: Option<u64>,
    event: &str,
    args: &A,
) -> Result<(), EncodeError> {
    if is_reserved_event(event) {
        return Err(EncodeError::ReservedEventName);
    }
    let start = out.len();
    out.reserve(TYPICAL_LEN);
    or_undo(out, start, |out| {
        encode_header(out, PacketType::Event, namespace, ack_id)?;
        encode_array(out, start, attachments, PacketType::BinaryEvent, Some(event), args)
    })
}

/// Appends the answer to an event, as [`encode_event`] does the event.
///
/// ```
/// use sockeye_socketio::encode_ack;
///
/// let (mut out, mut attachments) = (Vec::new(), Vec::new());
/// encode_ack(&mut out, &mut attachments, "/", 13, &"done")?;
/// assert_eq!(out, br#"313["done"]"#);
/// # Ok::<(), sockeye_socketio::EncodeError>(())
/// ```
///
/// # Errors
///
/// [`EncodeError::InvalidNamespace`], and [`EncodeError::Json`] when an argument cannot be serialized.
pub fn encode_ack<A: EventArgs + ?Sized>(
    out: &mut Vec<u8>,
    attachments: &mut Vec<Bytes>,
    namespace: &str,
    ack_id: u64,
    args: &A,
) -> Result<(), EncodeError> {
    let start = out.len();
    or_undo(out, start, |out| {
        encode_header(out, PacketType::Ack, namespace, Some(ack_id))?;
        encode_array(out, start, attachments, PacketType::BinaryAck, None, args)
    })
}

/// Appends a client's request for a namespace.
///
/// ```
/// use sockeye_socketio::encode_connect;
///
/// let mut out = Vec::new();
/// encode_connect(&mut out, "/admin", Some(&serde_json::json!({ "token": "123" })))?;
/// assert_eq!(out, br#"0/admin,{"token":"123"}"#);
///
/// out.clear();
/// encode_connect(&mut out, "/", None::<&()>)?;
/// assert_eq!(out, b"0");
/// # Ok::<(), sockeye_socketio::EncodeError>(())
/// ```
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
        encode_header(out, PacketType::Connect, namespace, None)?;
        let Some(data) = data else { return Ok(()) };
        let data_start = out.len();
        encode_json(out, data)?;
        if out.get(data_start) == Some(&b'{') { Ok(()) } else { Err(EncodeError::DataNotAnObject) }
    })
}

/// Appends a server's grant of a namespace: the socket's public id and, when its state can be recovered, the private one.
///
/// ```
/// use sockeye_socketio::encode_connect_reply;
///
/// let mut out = Vec::new();
/// encode_connect_reply(&mut out, "/admin", "Zk3h", None)?;
/// assert_eq!(out, br#"0/admin,{"sid":"Zk3h"}"#);
/// # Ok::<(), sockeye_socketio::EncodeError>(())
/// ```
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
    let start = out.len();
    or_undo(out, start, |out| {
        encode_header(out, PacketType::Connect, namespace, None)?;
        encode_json(out, &Grant { sid, pid })
    })
}

/// Appends the end of a namespace's connection, which either side may send.
///
/// ```
/// use sockeye_socketio::encode_disconnect;
///
/// let mut out = Vec::new();
/// encode_disconnect(&mut out, "/admin")?;
/// assert_eq!(out, b"1/admin,");
/// # Ok::<(), sockeye_socketio::EncodeError>(())
/// ```
///
/// # Errors
///
/// [`EncodeError::InvalidNamespace`].
pub fn encode_disconnect(out: &mut Vec<u8>, namespace: &str) -> Result<(), EncodeError> {
    encode_header(out, PacketType::Disconnect, namespace, None)
}

/// Appends a server's refusal of a namespace.
///
/// ```
/// use sockeye_socketio::encode_connect_error;
///
/// let mut out = Vec::new();
/// encode_connect_error(&mut out, "/admin", "Not authorized", Some(&serde_json::json!({ "code": 7 })))?;
/// assert_eq!(out, br#"4/admin,{"message":"Not authorized","data":{"code":7}}"#);
///
/// out.clear();
/// encode_connect_error(&mut out, "/x", "Invalid namespace", None::<&()>)?;
/// assert_eq!(out, br#"4/x,{"message":"Invalid namespace"}"#);
/// # Ok::<(), sockeye_socketio::EncodeError>(())
/// ```
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
    let start = out.len();
    or_undo(out, start, |out| {
        encode_header(out, PacketType::ConnectError, namespace, None)?;
        encode_json(out, &Refusal { message, data })
    })
}

/// Appends a server's refusal of a namespace as clients of version 2 expect it: the data of the error alone, or its message.
///
/// ```
/// use sockeye_socketio::encode_connect_error_v2;
///
/// let mut out = Vec::new();
/// encode_connect_error_v2(&mut out, "/x", "Invalid namespace")?;
/// assert_eq!(out, br#"4/x,"Invalid namespace""#);
/// # Ok::<(), sockeye_socketio::EncodeError>(())
/// ```
///
/// # Errors
///
/// [`EncodeError::InvalidNamespace`], [`EncodeError::Json`].
pub fn encode_connect_error_v2<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    namespace: &str,
    data: &T,
) -> Result<(), EncodeError> {
    let start = out.len();
    or_undo(out, start, |out| {
        encode_header(out, PacketType::ConnectError, namespace, None)?;
        encode_json(out, data)
    })
}

/// What most events fit in, reserved at once instead of step by step.
const TYPICAL_LEN: usize = 128;

/// Leaves `out` as it was when `encode` fails.
#[inline]
pub(crate) fn or_undo(
    out: &mut Vec<u8>,
    start: usize,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    encode(out).inspect_err(|_| out.truncate(start))
}

/// Appends everything but the attachment count and the payload.
#[inline]
fn encode_header(
    out: &mut Vec<u8>,
    packet_type: PacketType,
    namespace: &str,
    ack_id: Option<u64>,
) -> Result<(), EncodeError> {
    if namespace != "/" && (!namespace.starts_with('/') || namespace.contains(',')) {
        return Err(EncodeError::InvalidNamespace);
    }
    out.push(packet_type.digit());
    if namespace != "/" {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
    if let Some(ack_id) = ack_id {
        encode_json(out, &ack_id)?;
    }
    Ok(())
}

/// Appends the arguments; turns the packet that begins at `start` into a binary one when there are attachments.
#[inline]
fn encode_array<A: EventArgs + ?Sized>(
    out: &mut Vec<u8>,
    start: usize,
    attachments: &mut Vec<Bytes>,
    binary_type: PacketType,
    event: Option<&str>,
    args: &A,
) -> Result<(), EncodeError> {
    let sink = Sink::default();
    encode_json(out, &Array { event, args, sink: &sink })?;
    let detached = sink.into_attachments();
    let raw = args.raw_attachments();
    if !detached.is_empty() || !raw.is_empty() {
        make_binary(out, start, binary_type, detached.len() + raw.len())?;
        attachments.extend(detached);
        attachments.extend_from_slice(raw);
    }
    Ok(())
}

/// The arguments alone, as a JSON array and its attachments.
pub(crate) fn encode_args<A: EventArgs + ?Sized>(args: &A) -> Result<(String, Vec<Bytes>), EncodeError> {
    let sink = Sink::default();
    let json = serde_json::to_string(&Array { event: None, args, sink: &sink })?;
    Ok((json, sink.into_attachments()))
}

/// Writes `<type><count>-` over the type at `start`.
#[cold]
fn make_binary(
    out: &mut Vec<u8>,
    start: usize,
    packet_type: PacketType,
    count: usize,
) -> Result<(), EncodeError> {
    let mut prefix = Vec::with_capacity(8);
    prefix.push(packet_type.digit());
    encode_json(&mut prefix, &count)?;
    prefix.push(b'-');
    out.splice(start..=start, prefix);
    Ok(())
}

/// Appends a value as JSON.
#[cfg(feature = "std")]
#[inline]
fn encode_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), EncodeError> {
    Ok(serde_json::to_writer(out, value)?)
}

/// Appends a value as JSON: by way of a copy, as serde_json without `std` writes to memory of its own only.
#[cfg(not(feature = "std"))]
fn encode_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), EncodeError> {
    out.extend(serde_json::to_vec(value)?);
    Ok(())
}

/// The payload of an event or an ack.
struct Array<'a, A: ?Sized> {
    event: Option<&'a str>,
    args: &'a A,
    sink: &'a Sink,
}

impl<A: EventArgs + ?Sized> Serialize for Array<'_, A> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        if let Some(event) = self.event {
            seq.serialize_element(event)?;
        }
        let mut seq = Detach::new(seq, self.sink);
        self.args.serialize_args(&mut seq)?;
        seq.end()
    }
}

/// The payload of a CONNECT reply.
#[derive(Serialize)]
pub(crate) struct Grant<'a> {
    pub(crate) sid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<&'a str>,
}

/// The payload of a CONNECT_ERROR.
#[derive(Serialize)]
pub(crate) struct Refusal<'a, T: ?Sized> {
    pub(crate) message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<&'a T>,
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
