//! From a message to another format, and from JSON to a message, without types of a user's between.
//!
//! ```text
//! message ──► Values ──► any serializer: JSON with attachments, another message
//! message ◄── FromJson ◄── raw JSON, its placeholders with their attachments
//! ```

use alloc::string::{String, ToString};
use core::{cell::Cell, fmt};

use bytes::Bytes;
use serde::{
    de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor},
    ser::{self, Serialize, SerializeMap, SerializeSeq, Serializer},
};
use serde_json::Error;

use super::{
    date::to_iso,
    reader::{Reader, Token},
    ser::Writer,
};
use crate::{
    attach::{Attached, Key},
    binary::{Binary, Shared},
    json::RAW_VALUE,
};

/// The name under which serde_json hands its own numbers over, where they keep their text.
pub(crate) const NUMBER: &str = "$serde_json::private::Number";

/// The name by which a [`Writer`] recognises values that are in its form already, and takes their bytes as they are.
pub(super) const VALUE_NAME: &str = "$sockeye::msgpack::Value";

/// The arguments at a place of a message, one each time that this is serialized.
pub(crate) struct Arguments<'a>(Values<'a>);

impl<'a> Arguments<'a> {
    pub(crate) const fn new(reader: Reader<'a>) -> Self {
        Self(Values::new(reader))
    }
}

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(VALUE_NAME, &Argument(&self.0))
    }
}

/// The next value: for a [`Writer`], which asks with a serializer that is for no reader, its bytes; for all others what they mean.
struct Argument<'v, 'a>(&'v Values<'a>);

impl Serialize for Argument<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return self.0.serialize(serializer);
        }
        let mut reader = self.0.0.get();
        let start = reader.at();
        reader.skip().map_err(ser::Error::custom)?;
        self.0.0.set(reader);
        Shared(&reader.share(start..reader.at())).serialize(serializer)
    }
}

/// The values at a place of a message, one each time that this is serialized.
struct Values<'a>(Cell<Reader<'a>>);

impl<'a> Values<'a> {
    const fn new(reader: Reader<'a>) -> Self {
        Self(Cell::new(reader))
    }

    fn next<E: ser::Error>(&self) -> Result<(Token, Reader<'a>), E> {
        let mut reader = self.0.get();
        let token = reader.next().map_err(E::custom)?;
        self.0.set(reader);
        Ok((token, reader))
    }
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (token, reader) = self.next()?;
        match token {
            Token::Nil | Token::Undefined => serializer.serialize_unit(),
            Token::Bool(value) => serializer.serialize_bool(value),
            Token::Unsigned(value) => serializer.serialize_u64(value),
            Token::Signed(value) => serializer.serialize_i64(value),
            Token::Float(value) => serializer.serialize_f64(value),
            Token::Str(range) => serializer.serialize_str(reader.text(range).map_err(ser::Error::custom)?),
            Token::Bin(range) => Binary(reader.share(range)).serialize(serializer),
            Token::Array(count) => {
                let mut seq = serializer.serialize_seq(Some(count))?;
                for _ in 0..count {
                    seq.serialize_element(self)?;
                }
                seq.end()
            }
            Token::Map(count) => {
                let mut map = serializer.serialize_map(Some(count))?;
                for _ in 0..count {
                    map.serialize_entry(&KeyOf(self), self)?;
                }
                map.end()
            }
            Token::Date(millis) => to_iso(millis).serialize(serializer),
            Token::Ext(ext_type, range) => (ext_type, Binary(reader.share(range))).serialize(serializer),
        }
    }
}

/// The next value as the key of a map: as text, which JavaScript makes of every key.
struct KeyOf<'v, 'a>(&'v Values<'a>);

impl Serialize for KeyOf<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (token, reader) = self.0.next()?;
        match token {
            Token::Str(range) => serializer.serialize_str(reader.text(range).map_err(ser::Error::custom)?),
            Token::Nil => serializer.serialize_str("null"),
            Token::Bool(value) => serializer.serialize_str(if value { "true" } else { "false" }),
            Token::Unsigned(value) => serializer.serialize_str(&value.to_string()),
            Token::Signed(value) => serializer.serialize_str(&value.to_string()),
            Token::Float(value) => serializer.serialize_str(&value.to_string()),
            _ => Err(ser::Error::custom("a key of which no text can be made")),
        }
    }
}

/// Reads one value as JSON text. Bytes are arrays of numbers.
pub(super) fn read_json(reader: &mut Reader<'_>) -> Result<String, Error> {
    let values = Values::new(*reader);
    let json = serde_json::to_string(&values)?;
    *reader = values.0.get();
    Ok(json)
}

/// Writes a value that serde_json hands over as text: raw JSON, or a number.
pub(super) fn write_text_field<T: Serialize + ?Sized>(
    writer: &mut Writer<'_>,
    key: &str,
    value: &T,
) -> Result<(), Error> {
    // The only way to the text is to have it written: it is taken out again.
    let start = writer.out.len();
    value.serialize(&mut *writer)?;
    let written = Bytes::from(writer.out.split_off(start));
    let mut reader = Reader::new(&written);
    let Ok(Token::Str(range)) = reader.next() else { return Err(ser::Error::custom("text was expected")) };
    let text = reader.text(range).map_err(ser::Error::custom)?;
    if key == RAW_VALUE { write_json(writer, text) } else { write_number(writer, text) }
}

/// Writes JSON, its placeholders as the bytes that they stand for.
fn write_json(writer: &mut Writer<'_>, text: &str) -> Result<(), Error> {
    let attachments = writer.raw_attachments;
    let mut json = serde_json::Deserializer::from_str(text);
    if attachments.is_empty() {
        FromJson { writer }.deserialize(&mut json)?;
    } else {
        FromJson { writer }.deserialize(Attached::new(&mut json, attachments))?;
    }
    json.end()
}

fn write_number(writer: &mut Writer<'_>, text: &str) -> Result<(), Error> {
    if let Ok(value) = text.parse::<u64>() {
        value.serialize(writer)
    } else if let Ok(value) = text.parse::<i64>() {
        value.serialize(writer)
    } else {
        text.parse::<f64>().map_err(ser::Error::custom)?.serialize(writer)
    }
}

/// Appends what it visits to a message.
struct FromJson<'s, 'w> {
    writer: &'s mut Writer<'w>,
}

impl FromJson<'_, '_> {
    fn write<T: Serialize + ?Sized, E: de::Error>(self, value: &T) -> Result<(), E> {
        value.serialize(self.writer).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for FromJson<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! scalars {
    ($($method:ident($type:ty);)*) => {
        $(fn $method<E: de::Error>(self, value: $type) -> Result<(), E> {
            self.write(&value)
        })*
    };
}

impl<'de> Visitor<'de> for FromJson<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON, with attachments")
    }

    scalars! {
        visit_bool(bool);
        visit_i64(i64);
        visit_u64(u64);
        visit_f64(f64);
        visit_str(&str);
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.write(&())
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<(), E> {
        self.writer.bytes(bytes).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { writer } = self;
        let mut count = 0;
        let place = writer.begin_array();
        while seq.next_element_seed(FromJson { writer: &mut *writer })?.is_some() {
            count += 1;
        }
        writer.set_count(place, count).map_err(de::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { writer } = self;
        let start = writer.out.len();
        let mut count = 0;
        let place = writer.begin_map();
        while let Some(Key(key)) = map.next_key()? {
            if count == 0 && key == NUMBER {
                writer.out.truncate(start);
                return write_number(writer, &map.next_value::<String>()?).map_err(de::Error::custom);
            }
            writer.text(&key).map_err(de::Error::custom)?;
            map.next_value_seed(FromJson { writer: &mut *writer })?;
            count += 1;
        }
        writer.set_count(place, count).map_err(de::Error::custom)
    }
}
