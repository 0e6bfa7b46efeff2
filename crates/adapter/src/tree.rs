//! Values of any format, for those that are not JSON: msgpack knows bytes, dates and numbers that JSON does not.
//!
//! ```text
//! msgpack ──► Tree ──► Payload (JSON, attachments)
//! Payload ──► Tree ──► msgpack
//! ```

use bytes::Bytes;
use serde::{
    de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor},
    ser::{Serialize, SerializeMap, SerializeSeq, Serializer},
};
use sockeye_socketio::{Binary, EventArgs};
use std::fmt;

/// A value of any format.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    Bytes(Bytes),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Unsigned(value) => serializer.serialize_u64(*value),
            Self::Signed(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => Binary(bytes.clone()).serialize(serializer),
            Self::List(values) => serializer.collect_seq(values),
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Tree, E> {
        Ok(Tree::Text(text))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Tree, E> {
        Ok(Tree::Bytes(Bytes::copy_from_slice(bytes)))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Tree, E> {
        Ok(Tree::Bytes(bytes.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Tree::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some((Key(key), value)) = map.next_entry()? {
            entries.push((key, value));
        }
        Ok(Tree::Map(entries))
    }

    /// An extension of msgpack.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        let (kind, data) = <(i8, Binary)>::deserialize(deserializer)?;
        Ok(match (kind, &*data) {
            // What JavaScript's encoders make of `undefined`.
            (0, [0]) => Tree::Null,
            (0, _) => Tree::Bytes(data.0),
            (-1, data) => timestamp(data).map_or(Tree::Null, Tree::Text),
            _ => Tree::Null,
        })
    }
}

/// The key of a map, which JavaScript always has as text.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Tree::deserialize(deserializer)? {
            Tree::Text(text) => Ok(Self(text)),
            Tree::Unsigned(number) => Ok(Self(number.to_string())),
            Tree::Signed(number) => Ok(Self(number.to_string())),
            _ => Err(D::Error::custom("a key that is no text")),
        }
    }
}

/// The date of msgpack's timestamp extension as JSON has it: `2026-11-24T13:00:00.000Z`.
fn timestamp(data: &[u8]) -> Option<String> {
    let (seconds, nanos) = match *data {
        [a, b, c, d] => (i64::from(u32::from_be_bytes([a, b, c, d])), 0),
        [a, b, c, d, e, f, g, h] => {
            let packed = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            (i64::try_from(packed & 0x3_ffff_ffff).ok()?, packed >> 34)
        }
        [n0, n1, n2, n3, a, b, c, d, e, f, g, h] => {
            let nanos = u32::from_be_bytes([n0, n1, n2, n3]);
            (i64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from(nanos))
        }
        _ => return None,
    };
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 1 March 0000, so that leap days are at the end of a year. Four centuries have 146,097 days.
    let days = days.checked_add(719_468)?;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (year + era * 400 + i64::from(month >= 10), (month + 2) % 12 + 1);
    if !(0..=9999).contains(&year) {
        return None;
    }
    let (hour, minute, second, millis) =
        (second / 3600, second / 60 % 60, second % 60, nanos / 1_000_000 % 1000);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"))
}

/// Values as a list of arguments.
pub(crate) struct TreeArgs(pub(crate) Vec<Tree>);

impl EventArgs for TreeArgs {
    fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
        self.0.iter().try_for_each(|value| seq.serialize_element(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_of_all_lengths_are_dates() {
        assert_eq!(timestamp(&[0; 4]).unwrap(), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(&1_582_934_400_u32.to_be_bytes()).unwrap(), "2020-02-29T00:00:00.000Z");
        let packed = (123_000_000_u64 << 34) | 1_767_225_599;
        assert_eq!(timestamp(&packed.to_be_bytes()).unwrap(), "2025-12-31T23:59:59.123Z");
        let mut long = 999_000_000_u32.to_be_bytes().to_vec();
        long.extend((-1_i64).to_be_bytes());
        assert_eq!(timestamp(&long).unwrap(), "1969-12-31T23:59:59.999Z");
        long.splice(4.., i64::MAX.to_be_bytes());
        assert_eq!(timestamp(&long), None);
        assert_eq!(timestamp(&[1]), None);
    }
}
