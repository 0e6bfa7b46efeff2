//! How what crosses the interface looks between servers: as JSON, and as msgpack, through the same types.
//!
//! In human readable formats, which must be `serde_json`, payloads are embedded as the text that they are. In others they
//! become the format's own values, bytes included. Structs must be maps there.

use bytestring::ByteString;
use serde::{
    de::{self, Deserialize, Deserializer, Visitor},
    ser::{self, Serialize, SerializeMap, Serializer},
};
use serde_json::value::RawValue;
use std::{fmt, time::Duration};

use crate::{
    BroadcastOptions, Payload, Room, SocketId,
    tree::{Tree, TreeArgs},
};

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() && self.attachments().is_empty() {
            return serialize_json(self.json(), serializer);
        }
        self.to_args().all::<Vec<Tree>>().map_err(ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let json = Box::<RawValue>::deserialize(deserializer)?;
            return Self::from_json(json.get(), Vec::new()).map_err(de::Error::custom);
        }
        let values = TreeArgs(Vec::deserialize(deserializer)?);
        Self::args(&values).map_err(de::Error::custom)
    }
}

/// Writes valid JSON as itself.
fn serialize_json<S: Serializer>(json: &str, serializer: S) -> Result<S::Ok, S::Error> {
    RawValue::from_string(json.to_owned()).map_err(ser::Error::custom)?.serialize(serializer)
}

/// `#[serde(with = "single")]`: the first argument of an answer, which is all that crosses between servers.
pub mod single {
    use super::*;

    /// Writes the first argument, or nothing's own value.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(payload: &Payload, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() && payload.attachments().is_empty() {
            return match payload.to_args().first::<Option<&RawValue>>().map_err(ser::Error::custom)? {
                Some(value) => value.serialize(serializer),
                None => serializer.serialize_unit(),
            };
        }
        payload.to_args().first::<Tree>().map_err(ser::Error::custom)?.serialize(serializer)
    }

    /// Reads a value as the only argument.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
        if deserializer.is_human_readable() {
            let json = Box::<RawValue>::deserialize(deserializer)?;
            return Payload::from_json(&format!("[{}]", json.get()), Vec::new()).map_err(de::Error::custom);
        }
        let value = TreeArgs(vec![Tree::deserialize(deserializer)?]);
        Payload::args(&value).map_err(de::Error::custom)
    }

    /// Whether there is no argument, so that the field is left out.
    pub fn is_absent(payload: &Payload) -> bool {
        payload.to_args().is_empty()
    }
}

/// JSON text as a value.
pub(crate) mod json {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(json: &ByteString, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serialize_json(json, serializer);
        }
        serde_json::from_str::<Tree>(json).map_err(ser::Error::custom)?.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteString, D::Error> {
        if deserializer.is_human_readable() {
            let json = Box::<RawValue>::deserialize(deserializer)?;
            // The depth of what is only passed over is not bounded yet.
            serde_json::from_str::<serde_json::Value>(json.get()).map_err(de::Error::custom)?;
            return Ok(json.get().into());
        }
        serde_json::to_string(&Tree::deserialize(deserializer)?).map(Into::into).map_err(de::Error::custom)
    }

    pub(crate) fn empty() -> ByteString {
        ByteString::from_static("{}")
    }
}

macro_rules! names {
    ($($name:ident)*) => {
        $(
            impl Serialize for $name {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_str(self)
                }
            }

            impl<'de> Deserialize<'de> for $name {
                /// Numbers, which JavaScript allows as names, are the text that they are written as.
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    deserializer.deserialize_any(NameVisitor).map(Self::from)
                }
            }
        )*
    };
}

names!(Room SocketId);

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<String, E> {
        Ok(name.to_owned())
    }

    fn visit_u64<E: de::Error>(self, name: u64) -> Result<String, E> {
        Ok(name.to_string())
    }

    fn visit_i64<E: de::Error>(self, name: i64) -> Result<String, E> {
        Ok(name.to_string())
    }

    fn visit_f64<E: de::Error>(self, name: f64) -> Result<String, E> {
        Ok(name.to_string())
    }
}

/// `{rooms, except, flags}`.
impl Serialize for BroadcastOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("rooms", &self.rooms)?;
        map.serialize_entry("except", &self.except)?;
        map.serialize_entry(
            "flags",
            &Flags {
                local: self.local.then_some(true),
                volatile: self.volatile.then_some(true),
                compress: self.uncompressed.then_some(false),
                timeout: self.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
            },
        )?;
        map.end()
    }
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Flags {
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volatile: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compress: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "milliseconds")]
    timeout: Option<u64>,
}

/// A number of milliseconds, as whatever kind of number JavaScript wrote it.
fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(match Tree::deserialize(deserializer)? {
        Tree::Unsigned(number) => Some(number),
        Tree::Signed(number) => u64::try_from(number).ok(),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        Tree::Float(number) => Some(number as u64),
        _ => None,
    })
}

impl<'de> Deserialize<'de> for BroadcastOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Options {
            #[serde(default)]
            rooms: Vec<Room>,
            #[serde(default)]
            except: Option<Vec<Room>>,
            #[serde(default)]
            flags: Option<Flags>,
        }
        let Options { rooms, except, flags } = Options::deserialize(deserializer)?;
        let flags = flags.unwrap_or_default();
        Ok(Self {
            rooms,
            except: except.unwrap_or_default(),
            local: flags.local == Some(true),
            volatile: flags.volatile == Some(true),
            uncompressed: flags.compress == Some(false),
            timeout: flags.timeout.map(Duration::from_millis),
        })
    }
}
