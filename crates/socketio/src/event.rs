//! The name of an event, read without touching its arguments.

use alloc::{borrow::Cow, string::String};
use core::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};

use crate::{
    args::Args,
    error::DecodeError,
    json,
    packet::{Packet, PacketType, is_reserved_event},
};

/// An event: its name, and its arguments still unread.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// The name; borrowed unless it is written with escapes. A numeric name (`2[1]`) stands here as it is written.
    ///
    /// A surrogate without its partner, which JavaScript allows in a string and Rust does not, is replaced by U+FFFD.
    pub name: Cow<'a, str>,
    /// What follows the name.
    pub args: Args<'a>,
}

impl<'a> Packet<'a> {
    /// Reads the name of an event, and finds its arguments.
    ///
    /// An event without any payload (`2`), which the official parser lets pass and no handler ever sees, has an empty name
    /// and no arguments.
    ///
    /// ```
    /// use sockeye_socketio::{Limits, Packet};
    ///
    /// let event = Packet::decode(r#"2["message","hello",{"at":3}]"#, &Limits::default())?.event()?;
    /// assert_eq!(event.name, "message");
    /// assert_eq!(event.args.first::<&str>()?, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DecodeError::InvalidEventName`], [`DecodeError::ReservedEventName`] (of a name with escapes; the others have not
    /// passed [`decode`](Self::decode)), [`DecodeError::InvalidPayload`] when no comma or bracket follows the name;
    /// [`DecodeError::UnexpectedType`] when the packet is no event.
    pub fn event(&self) -> Result<Event<'a>, DecodeError> {
        let packet_type = self.packet_type;
        if !matches!(packet_type, PacketType::Event | PacketType::BinaryEvent) {
            return Err(DecodeError::UnexpectedType { packet_type });
        }
        if self.data.is_empty() {
            return Ok(Event { name: Cow::Borrowed(""), args: Args::default() });
        }
        let start = json::skip_whitespace(self.data.as_bytes(), 1);
        let (name, behind) = match plain_name(self.data, start) {
            Some(name) => (Cow::Borrowed(name), start + name.len() + 2),
            None => other_name(self.data, start)?,
        };
        if !Args::follow(self.data, behind) {
            return Err(DecodeError::InvalidPayload { packet_type });
        }
        Ok(Event { name, args: Args::after_name(self.data, behind) })
    }
}

/// The content of the string literal at `start`, if there is one and has no escapes.
#[inline]
fn plain_name(data: &str, start: usize) -> Option<&str> {
    let (b'"', rest) = data.as_bytes().get(start..)?.split_first()? else { return None };
    let len = json::plain_len(rest)?;
    if rest[len] == b'"' { data.get(start + 1..start + 1 + len) } else { None }
}

/// Reads a name that is not plain; returns it and the index behind its literal.
#[cold]
fn other_name(data: &str, start: usize) -> Result<(Cow<'_, str>, usize), DecodeError> {
    if data.as_bytes().get(start) == Some(&b'"') {
        escaped_name(data, start)
    } else {
        numeric_name(data, start)
    }
}

/// Reads the string literal at `start`.
fn escaped_name(data: &str, start: usize) -> Result<(Cow<'_, str>, usize), DecodeError> {
    let end = json::string_end(data.as_bytes(), start + 1);
    let literal = data.get(start..end).ok_or(DecodeError::InvalidEventName)?;
    // Read as bytes below, where control characters pass.
    if literal.bytes().any(|byte| byte < b' ') {
        return Err(DecodeError::InvalidEventName);
    }
    let Name(name) = serde_json::from_str(literal).map_err(|_| DecodeError::InvalidEventName)?;
    if is_reserved_event(&name) {
        return Err(DecodeError::ReservedEventName);
    }
    Ok((Cow::Owned(name), end))
}

/// Reads the number at `start`; returns its text and the index behind it.
fn numeric_name(data: &str, start: usize) -> Result<(Cow<'_, str>, usize), DecodeError> {
    let len = data
        .as_bytes()
        .get(start..)
        .and_then(|rest| {
            rest.iter().position(|&byte| matches!(byte, b',' | b']') || json::is_whitespace(byte))
        })
        .ok_or(DecodeError::InvalidEventName)?;
    let name = &data[start..start + len];
    // Only a number begins so, and `validate` refuses what only begins like one.
    let is_number =
        matches!(name.as_bytes().first(), Some(b'-' | b'0'..=b'9')) && json::validate(name).is_ok();
    if is_number { Ok((Cow::Borrowed(name), start + len)) } else { Err(DecodeError::InvalidEventName) }
}

/// A string read as bytes, so that unpaired surrogates are no error.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event name")
            }

            fn visit_bytes<E>(self, name: &[u8]) -> Result<Name, E> {
                Ok(Name(String::from_utf8_lossy(name).into_owned()))
            }
        }

        deserializer.deserialize_bytes(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Limits;

    fn event(text: &str) -> Result<Event<'_>, DecodeError> {
        Packet::decode(text, &Limits::default())?.event()
    }

    #[test]
    fn a_plain_name_is_borrowed() {
        let event = event(r#"2["message",1]"#).unwrap();
        assert!(matches!(event.name, Cow::Borrowed("message")));
        assert_eq!(event.args.json(), "1");
    }

    #[test]
    fn a_name_with_escapes_is_decoded() {
        for (text, name) in [
            (r#"2["a\"b"]"#, "a\"b"),
            (r#"2["\u00e9t\u00e9",1]"#, "été"),
            (r#"2["\ud83d\ude00"]"#, "😀"),
            (r#"2["a\\"]"#, "a\\"),
            (r#"2["\ud83d"]"#, "\u{fffd}\u{fffd}\u{fffd}"),
        ] {
            let event = event(text).unwrap();
            assert_eq!(event.name, name, "{text}");
            assert!(matches!(event.name, Cow::Owned(_)));
        }
    }

    #[test]
    fn a_name_beyond_the_basic_plane_is_borrowed() {
        assert!(matches!(event("2[\"😀é\"]").unwrap().name, Cow::Borrowed("😀é")));
    }

    #[test]
    fn a_numeric_name_is_its_text() {
        for (text, name) in [("2[1]", "1"), ("2[-1.5e3,2]", "-1.5e3"), ("2[ 0 ]", "0")] {
            assert_eq!(event(text).unwrap().name, name);
        }
        for text in ["2[01]", "2[1.]", "2[-]", "2[1\"a\"]", "2[1[]]"] {
            assert_eq!(event(text).unwrap_err(), DecodeError::InvalidEventName, "{text}");
        }
    }

    #[test]
    fn a_reserved_name_hidden_behind_escapes_is_refused() {
        let text = "2[\"\\u0063onnect\"]";
        assert_eq!(event(text).unwrap_err(), DecodeError::ReservedEventName);
    }

    #[test]
    fn names_of_object_prototypes_are_data() {
        for name in ["__proto__", "constructor", "toString", "hasOwnProperty"] {
            assert_eq!(event(&alloc::format!("2[{name:?}]")).unwrap().name, name);
        }
    }

    #[test]
    fn a_malformed_name_is_refused() {
        for text in
            ["2[\"a]", "2[\"a\nb\"]", "2[\"\\\\\n\"]", "2[\"a\\]", r#"2["a\x"]"#, "2[\"\\\"]", "2[\"]"]
        {
            assert_eq!(event(text).unwrap_err(), DecodeError::InvalidEventName, "{text}");
        }
        for text in [r#"2["a" 1]"#, r#"2["a"b]"#, r#"2["a"]]"#] {
            assert!(matches!(event(text).unwrap_err(), DecodeError::InvalidPayload { .. }), "{text}");
        }
    }

    #[test]
    fn white_space_around_the_name_is_allowed() {
        let event = event("2[ \n\"a\"\t, 1 , 2 ]\r\n").unwrap();
        assert_eq!(event.name, "a");
        assert_eq!(event.args.all::<(u8, u8)>().unwrap(), (1, 2));
    }

    #[test]
    fn an_event_without_payload_has_no_name_and_no_arguments() {
        for text in ["2", "213", "2/admin", "2/admin,"] {
            let event = event(text).unwrap();
            assert_eq!(event.name, "");
            assert!(event.args.is_empty());
            event.args.validate().unwrap();
        }
    }

    #[test]
    fn other_packets_are_no_events() {
        assert_eq!(
            event("3[\"a\"]").unwrap_err(),
            DecodeError::UnexpectedType { packet_type: PacketType::Ack }
        );
    }

    #[test]
    fn a_packet_made_by_hand_is_an_error_at_worst() {
        for data in ["", "[", "]", "x", "[]", "[1", "[\"", "[\"a", "[\"a\"", "[\"\\", "é", "[é]", "{}"] {
            let packet = Packet {
                packet_type: PacketType::Event,
                namespace: "/",
                ack_id: None,
                attachment_count: 0,
                data,
            };
            assert_eq!(packet.event().is_ok(), data.is_empty(), "{data}");
        }
    }
}
