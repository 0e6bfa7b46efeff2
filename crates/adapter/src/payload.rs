//! Values on their way between servers, in a form that every parser can be fed from.
//!
//! ```text
//! emit("upload", ("a.png", Binary(..)))
//!        │
//!        ▼
//! json         ["upload","a.png",{"_placeholder":true,"num":0}]
//! attachments  [<89 50 4e 47 …>]
//! ```

use bytes::Bytes;
use bytestring::ByteString;
use sockeye_socketio::{
    Args, DecodeError, EncodeError, Event, EventArgs, Packet, PacketType, encode_ack, encode_event,
    is_reserved_event,
};

/// A list of values: an event (its name, then its arguments), or the arguments of an answer.
///
/// It is a JSON array with placeholders where bytes are, and those bytes: what a Socket.IO packet carries, without anything of
/// the packet. With serde it is the array itself, in any format; bytes are bytes there.
///
/// ```
/// use sockeye_adapter::Payload;
///
/// let event = Payload::event("hello", &("world", 1))?;
/// assert_eq!(event.json(), r#"["hello","world",1]"#);
/// let (name, args): (String, (String, u32)) = {
///     let event = event.to_event()?;
///     (event.name.into_owned(), event.args.all()?)
/// };
/// assert_eq!((name.as_str(), args), ("hello", ("world".to_owned(), 1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Valid JSON without white space around it.
    json: ByteString,
    attachments: Vec<Bytes>,
}

impl Payload {
    /// An event.
    ///
    /// # Errors
    /// When the name is reserved, or an argument cannot be serialized.
    pub fn event<A: EventArgs + ?Sized>(name: &str, args: &A) -> Result<Self, EncodeError> {
        Self::encode(|out, attachments| encode_event(out, attachments, "/", None, name, args))
    }

    /// Arguments without a name, such as those of an answer.
    ///
    /// # Errors
    /// When an argument cannot be serialized.
    pub fn args<A: EventArgs + ?Sized>(args: &A) -> Result<Self, EncodeError> {
        Self::encode(|out, attachments| encode_ack(out, attachments, "/", 0, args))
    }

    fn encode(
        encode: impl FnOnce(&mut Vec<u8>, &mut Vec<Bytes>) -> Result<(), EncodeError>,
    ) -> Result<Self, EncodeError> {
        let (mut text, mut attachments) = (Vec::new(), Vec::new());
        encode(&mut text, &mut attachments)?;
        // In front of the array is the header of the packet, which has no brackets.
        let start = text.iter().position(|&byte| byte == b'[').unwrap_or_default();
        let json = Bytes::from(text).slice(start..);
        Ok(Self { json: ByteString::try_from(json).unwrap_or_default(), attachments })
    }

    /// The payload of a packet that was received: a JSON array, and its attachments. Empty text is an empty array.
    ///
    /// # Errors
    /// When `json` is not an array, is not valid, or is nested deeper than 127 levels, and when a placeholder has no
    /// attachment.
    pub fn from_json(json: &str, attachments: Vec<Bytes>) -> Result<Self, DecodeError> {
        let json = json.trim_matches([' ', '\t', '\n', '\r']);
        Args::from_array(json)?.with_attachments(&attachments).validate()?;
        let json = if json.is_empty() { "[]" } else { json };
        Ok(Self { json: json.into(), attachments })
    }

    /// The array as JSON. Where bytes are, it has placeholders.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The bytes, in the order of the placeholders' numbers.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// Reads it as an event.
    ///
    /// # Errors
    /// When its first value is no event name, or a reserved one.
    pub fn to_event(&self) -> Result<Event<'_>, DecodeError> {
        let packet = Packet {
            packet_type: PacketType::Event,
            namespace: "/",
            ack_id: None,
            attachment_count: 0,
            data: &self.json,
        };
        let event = packet.event()?;
        if is_reserved_event(&event.name) {
            return Err(DecodeError::ReservedEventName);
        }
        Ok(Event { args: event.args.with_attachments(&self.attachments), ..event })
    }

    /// Reads it as arguments without a name.
    pub fn to_args(&self) -> Args<'_> {
        Args::from_array(&self.json).unwrap_or_default().with_attachments(&self.attachments)
    }

    /// How much memory it holds, in bytes.
    pub fn byte_len(&self) -> usize {
        self.json.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

impl Default for Payload {
    /// No values.
    fn default() -> Self {
        Self { json: ByteString::from_static("[]"), attachments: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye_socketio::Binary;

    #[test]
    fn event_is_read_as_it_was_written() {
        let bytes = Bytes::from_static(&[1, 2]);
        let payload = Payload::event("up\"load", &("é", Binary(bytes.clone()), [1])).unwrap();
        assert_eq!(payload.json(), r#"["up\"load","é",{"_placeholder":true,"num":0},[1]]"#);
        assert_eq!(payload.attachments(), std::slice::from_ref(&bytes));
        let event = payload.to_event().unwrap();
        assert_eq!(event.name, "up\"load");
        let (text, binary, list): (&str, Binary, [u8; 1]) = event.args.all().unwrap();
        assert_eq!((text, binary.0, list), ("é", bytes, [1]));
    }

    #[test]
    fn arguments_are_read_as_they_were_written() {
        let payload = Payload::args(&(1, "]")).unwrap();
        assert_eq!(payload.json(), r#"[1,"]"]"#);
        assert_eq!(payload.to_args().all::<(u8, &str)>().unwrap(), (1, "]"));
        assert_eq!(Payload::args(&()).unwrap(), Payload::default());
        assert_eq!(Payload::from_json("", Vec::new()).unwrap(), Payload::default());
    }

    #[test]
    fn what_is_no_event_is_refused() {
        assert!(Payload::event("disconnect", &()).is_err());
        for json in ["[]", "[null]", "[{}]", r#"["disconnect"]"#, r#"["disconnec\u0074"]"#] {
            let payload = Payload::from_json(json, Vec::new()).unwrap();
            assert!(payload.to_event().is_err(), "{json}");
        }
        for json in ["{}", "1", "[", "[1", "[1,]", "[1]]", "[1] 2", "[\"a\nb\"]"] {
            assert!(Payload::from_json(json, Vec::new()).is_err(), "{json}");
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(Payload::from_json(&deep, Vec::new()).is_err());
        let placeholder = r#"[{"_placeholder":true,"num":1}]"#;
        assert!(Payload::from_json(placeholder, vec![Bytes::new()]).is_err());
    }
}
