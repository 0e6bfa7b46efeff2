//! A message to a packet: header and payload, as slices.
//!
//! ```text
//! { "type": 2, "data": ["upload", <89 50 4e 47 …>], "nsp": "/admin", "id": 13, … }
//!              └ checked, and read when somebody asks for it
//! ```

use alloc::{borrow::Cow, format, string::String};
use core::ops::Range;

use bytes::Bytes;
use serde::Deserialize;

use super::{
    reader::{Reader, Token, whole},
    transcode::read_json,
};
use crate::{
    args::Args,
    error::{ArgsError, DecodeError},
    event::Event,
    packet::{Limits, PacketType, is_reserved_event},
};

/// A packet that is one message, as the official msgpack parser sends it.
///
/// ```
/// use bytes::Bytes;
/// use sockeye_socketio::{Binary, Limits, PacketType, msgpack};
///
/// let message = Bytes::from_static(b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa5image\xc4\x02\x89P");
/// let packet = msgpack::Packet::decode(&message, &Limits::default())?;
/// assert_eq!((packet.packet_type, packet.namespace), (PacketType::Event, "/"));
///
/// let event = packet.event()?;
/// assert_eq!(event.name, "image");
/// assert_eq!(&event.args.first::<Binary>()?[..], b"\x89P"); // shares the memory of the message
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Packet<'a> {
    /// The type; never one of the binary ones, as bytes stand within the arguments.
    pub packet_type: PacketType,
    /// The namespace, `/` for the main one.
    pub namespace: &'a str,
    /// Of an event, the sender wants an answer; of an ack, the event that it answers.
    pub ack_id: Option<u64>,
    message: &'a Bytes,
    /// Where the payload is; empty when absent.
    data: Range<usize>,
}

/// What the entries of the map said so far.
#[derive(Default)]
struct Fields {
    packet_type: Option<PacketType>,
    namespace: Option<Range<usize>>,
    ack_id: Option<u64>,
    data: Option<(Token, Range<usize>)>,
}

impl<'a> Packet<'a> {
    /// Reads a message.
    ///
    /// Everything is checked here that makes a message a packet: the format, that texts are UTF-8, the depth, the names and
    /// types of the header, and the shape of the payload. Other keys (such as the `options` that the official client
    /// sends) are passed over; of equal ones the last counts, as in JavaScript. Takes linear time, and never allocates.
    ///
    /// Stricter than the official parser only where that one lets pass what the text parser refuses: an event needs a name,
    /// which is text or a number and none of the reserved ones; a namespace begins with `/` and contains no comma; an ack id
    /// is not negative.
    ///
    /// # Errors
    ///
    /// The peer's error; the connection cannot go on.
    pub fn decode(message: &'a Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(message);
        if reader.len() == 0 {
            return Err(DecodeError::Empty);
        }
        let Token::Map(count) = reader.next()? else {
            return Err(DecodeError::InvalidMsgPack { offset: 0 });
        };
        let mut fields = Fields::default();
        for _ in 0..count {
            fields.entry(&mut reader)?;
        }
        if reader.len() > 0 {
            return Err(reader.invalid());
        }
        let packet_type = fields.packet_type.ok_or(DecodeError::InvalidField { name: "type" })?;
        let namespace = fields.namespace.ok_or(DecodeError::InvalidField { name: "nsp" })?;
        let namespace = reader.text(namespace)?;
        check_namespace(namespace, limits)?;
        check_shape(packet_type, fields.data.as_ref(), &reader)?;
        let data = fields.data.map_or(0..0, |(_, range)| range);
        Ok(Self { packet_type, namespace, ack_id: fields.ack_id, message, data })
    }

    /// Reads the name of an event, and finds its arguments.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnexpectedType`] when the packet is no event.
    pub fn event(&self) -> Result<Event<'a>, DecodeError> {
        let packet_type = self.packet_type;
        if packet_type != PacketType::Event {
            return Err(DecodeError::UnexpectedType { packet_type });
        }
        let (mut reader, count) = self.array()?;
        let name = match reader.next()? {
            Token::Str(range) => Cow::Borrowed(reader.text(range)?),
            Token::Unsigned(number) => Cow::Owned(format!("{number}")),
            Token::Signed(number) => Cow::Owned(format!("{number}")),
            Token::Float(number) => Cow::Owned(format!("{number}")),
            _ => return Err(DecodeError::InvalidEventName),
        };
        Ok(Event { name, args: Args::from_msgpack(reader, count.saturating_sub(1)) })
    }

    /// The arguments of an ack.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnexpectedType`] when the packet is no ack.
    pub fn ack(&self) -> Result<Args<'a>, DecodeError> {
        let packet_type = self.packet_type;
        if packet_type != PacketType::Ack {
            return Err(DecodeError::UnexpectedType { packet_type });
        }
        let (reader, count) = self.array()?;
        Ok(Args::from_msgpack(reader, count))
    }

    /// Reads the payload of a CONNECT or CONNECT_ERROR packet, which is no list of arguments. An absent one reads like
    /// `null`.
    ///
    /// ```
    /// use sockeye_socketio::{Limits, msgpack};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Auth { token: String }
    ///
    /// let mut out = Vec::new();
    /// msgpack::encode_connect(&mut out, "/admin", Some(&serde_json::json!({ "token": "123" })))?;
    /// let message = out.into();
    /// let packet = msgpack::Packet::decode(&message, &Limits::default())?;
    /// assert_eq!(packet.payload::<Auth>()?.token, "123");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ArgsError::Missing`] when there is none, [`ArgsError::Data`] when it is of another type.
    pub fn payload<T: Deserialize<'a>>(&self) -> Result<T, ArgsError> {
        let count = usize::from(!self.data.is_empty());
        Args::from_msgpack(Reader::within(self.message, self.data.clone()), count).first()
    }

    /// The payload of a CONNECT or CONNECT_ERROR packet as JSON text; empty when absent. Bytes are arrays of numbers.
    ///
    /// # Errors
    ///
    /// None that a decoded packet could cause.
    pub fn payload_json(&self) -> Result<String, ArgsError> {
        if self.data.is_empty() {
            return Ok(String::new());
        }
        read_json(&mut Reader::within(self.message, self.data.clone())).map_err(ArgsError::Data)
    }

    /// The elements of the payload, which is an array.
    fn array(&self) -> Result<(Reader<'a>, usize), DecodeError> {
        let mut reader = Reader::within(self.message, self.data.clone());
        match reader.next()? {
            Token::Array(count) => Ok((reader, count)),
            _ => Err(DecodeError::InvalidPayload { packet_type: self.packet_type }),
        }
    }
}

impl Fields {
    /// Reads one entry of the packet's map.
    fn entry(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let mut key = *reader;
        reader.check()?;
        let name = match key.next()? {
            Token::Str(range) => key.bytes(range),
            _ => b"",
        };
        let start = reader.at();
        let mut value = *reader;
        reader.check()?;
        let token = value.next()?;
        match name {
            b"type" => {
                let value = number(&token).ok_or(DecodeError::InvalidField { name: "type" })?;
                let packet_type = u8::try_from(value).ok().and_then(packet_type);
                self.packet_type = Some(packet_type.ok_or(DecodeError::InvalidField { name: "type" })?);
            }
            b"nsp" => match token {
                Token::Str(range) => self.namespace = Some(range),
                _ => return Err(DecodeError::InvalidField { name: "nsp" }),
            },
            b"id" => {
                self.ack_id = match token {
                    Token::Undefined => None,
                    token => Some(number(&token).ok_or(DecodeError::InvalidField { name: "id" })?),
                }
            }
            b"data" => {
                self.data = match token {
                    Token::Undefined => None,
                    token => Some((token, start..reader.at())),
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The types that there are in this form.
const fn packet_type(number: u8) -> Option<PacketType> {
    match number {
        0..=4 => PacketType::from_digit(b'0' + number),
        _ => None,
    }
}

/// A number that is whole and not negative, in whatever form: JavaScript knows one only.
fn number(token: &Token) -> Option<u64> {
    match *token {
        Token::Unsigned(number) => Some(number),
        Token::Signed(number) => u64::try_from(number).ok(),
        Token::Float(number) => whole(number).and_then(|number| u64::try_from(number).ok()),
        _ => None,
    }
}

fn check_namespace(namespace: &str, limits: &Limits) -> Result<(), DecodeError> {
    let (len, max) = (namespace.len(), limits.max_namespace_len);
    if len > max {
        return Err(DecodeError::NamespaceTooLong { len, max });
    }
    if namespace.starts_with('/') && !namespace.contains(',') {
        Ok(())
    } else {
        Err(DecodeError::InvalidNamespace)
    }
}

/// Compares the payload with what the packet's type asks for.
fn check_shape(
    packet_type: PacketType,
    data: Option<&(Token, Range<usize>)>,
    reader: &Reader<'_>,
) -> Result<(), DecodeError> {
    match (packet_type, data) {
        (PacketType::Event, Some((Token::Array(_), range))) => {
            check_event_name(Reader::within(reader.message(), range.clone()))
        }
        (PacketType::Connect, None | Some((Token::Map(_), _)))
        | (PacketType::Disconnect, None)
        | (PacketType::ConnectError, Some((Token::Str(_) | Token::Map(_), _)))
        | (PacketType::Ack, Some((Token::Array(_), _))) => Ok(()),
        _ => Err(DecodeError::InvalidPayload { packet_type }),
    }
}

/// The first element of an event must be a string, not a reserved one, or a number.
fn check_event_name(mut data: Reader<'_>) -> Result<(), DecodeError> {
    if data.next()? == Token::Array(0) {
        return Err(DecodeError::InvalidEventName);
    }
    match data.next()? {
        Token::Str(range) if is_reserved_event(data.text(range.clone())?) => {
            Err(DecodeError::ReservedEventName)
        }
        Token::Str(_) | Token::Unsigned(_) | Token::Signed(_) | Token::Float(_) => Ok(()),
        _ => Err(DecodeError::InvalidEventName),
    }
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
