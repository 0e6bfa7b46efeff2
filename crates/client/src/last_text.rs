//! The last argument of an event, whatever the others are.

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The last element of a sequence, if it is a string.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LastText(pub(crate) Option<String>);

/// A value of which only strings are of interest.
struct Text(Option<String>);

impl<'de> Deserialize<'de> for LastText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;

        impl<'de> Visitor<'de> for Elements {
            type Value = LastText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<LastText, A::Error> {
                let mut last = None;
                while let Some(Text(text)) = seq.next_element()? {
                    last = text;
                }
                Ok(LastText(last))
            }
        }

        deserializer.deserialize_seq(Elements)
    }
}

macro_rules! ignore {
    ($($visit:ident: $type:ty;)*) => {
        $(fn $visit<E: Error>(self, _: $type) -> Result<Text, E> {
            Ok(Text(None))
        })*
    };
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            ignore! {
                visit_bool: bool;
                visit_i64: i64;
                visit_u64: u64;
                visit_f64: f64;
                visit_bytes: &[u8];
            }

            fn visit_unit<E: Error>(self) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_none<E: Error>(self) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Some(text.to_owned())))
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
                deserializer.deserialize_any(self)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
                deserializer.deserialize_any(self)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use sockeye_socketio::{Args, Incoming, Limits, msgpack};

    fn last(json: &str) -> Option<String> {
        Args::from_array(json).unwrap().all::<LastText>().unwrap().0
    }

    #[test]
    fn only_the_last_argument_counts_and_only_as_text() {
        assert_eq!(last(r#"["a","b"]"#).as_deref(), Some("b"));
        assert_eq!(last(r#"[1,{"a":["x"]},null,true,1.5,-1,"offset"]"#).as_deref(), Some("offset"));
        for json in [r#"["a",1]"#, r#"["a",{"b":"c"}]"#, r#"["a",["b"]]"#, r#"["a",null]"#, "[]"] {
            assert_eq!(last(json), None, "{json}");
        }
    }

    #[test]
    fn attachments_and_msgpack_are_no_obstacle() {
        let attachments = [Bytes::from_static(b"x")];
        let json = r#"[{"_placeholder":true,"num":0},"offset"]"#;
        let args = Args::from_array(json).unwrap().with_attachments(&attachments);
        assert_eq!(args.all::<LastText>().unwrap().0.as_deref(), Some("offset"));
        let mut message = Vec::new();
        msgpack::encode_event(&mut message, "/", None, "e", &(Bytes::from_static(b"x").to_vec(), "offset"))
            .unwrap();
        let message = Bytes::from(message);
        let packet = Incoming::msgpack(msgpack::Packet::decode(&message, &Limits::default()).unwrap());
        assert_eq!(packet.event().unwrap().args.all::<LastText>().unwrap().0.as_deref(), Some("offset"));
    }
}
