//! A layer between serde_json and a type that reads attachments where the text has placeholders.
//!
//! Only in the way of packets that have attachments. Linear: nothing is read twice.

use alloc::{borrow::Cow, string::String};
use core::fmt::{self, Write as _};

use bytes::Bytes;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, Expected, IgnoredAny, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
    value::{BorrowedStrDeserializer, SeqDeserializer, StringDeserializer},
};

use crate::{
    binary::{BINARY_NAME, CarrierDeserializer},
    placeholder::{MARKER, NUM},
};

/// A deserializer, seed or access of serde, with attachments at hand.
pub(crate) struct Attached<'a, T> {
    inner: T,
    attachments: &'a [Bytes],
}

impl<'a, T> Attached<'a, T> {
    pub(crate) const fn new(inner: T, attachments: &'a [Bytes]) -> Self {
        Self { inner, attachments }
    }

    /// The visitor that goes with `visitor` where the type wants `wanted`.
    const fn visitor<V>(&self, visitor: V, wanted: Wanted) -> AttachedVisitor<'a, V> {
        AttachedVisitor { visitor, attachments: self.attachments, wanted }
    }
}

/// What a type asked its deserializer for, which decides what a JSON object means to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Objects are objects.
    Structure,
    /// Objects must be placeholders; the visitor takes bytes.
    Bytes,
    /// Objects must be placeholders; the visitor is that of [`Binary`](crate::Binary).
    Binary,
    /// Objects must be placeholders; the visitor takes a sequence of numbers.
    Seq,
    /// Objects may be placeholders, which their first key tells.
    Any,
}

macro_rules! forward_scalars {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        })*
    };
}

impl<'a, D: Deserializer<'a>> Deserializer<'a> for Attached<'a, D> {
    type Error = D::Error;

    forward_scalars! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_unit
        deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.visitor(visitor, Wanted::Any);
        self.inner.deserialize_any(visitor)
    }

    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.visitor(visitor, Wanted::Bytes);
        self.inner.deserialize_any(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.visitor(visitor, Wanted::Structure);
        self.inner.deserialize_option(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        if name == BINARY_NAME {
            let visitor = self.visitor(visitor, Wanted::Binary);
            return self.inner.deserialize_any(visitor);
        }
        if name.starts_with("$serde_json::private::") {
            // Raw JSON is between serde_json and its own types.
            return self.inner.deserialize_newtype_struct(name, visitor);
        }
        let visitor = self.visitor(visitor, Wanted::Structure);
        self.inner.deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.visitor(visitor, Wanted::Seq);
        self.inner.deserialize_any(visitor)
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, _len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.visitor(visitor, Wanted::Structure);
        self.inner.deserialize_map(visitor)
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.visitor(visitor, Wanted::Structure);
        self.inner.deserialize_struct(name, fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.visitor(visitor, Wanted::Structure);
        self.inner.deserialize_enum(name, variants, visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

struct AttachedVisitor<'a, V> {
    visitor: V,
    attachments: &'a [Bytes],
    wanted: Wanted,
}

macro_rules! forward_visits {
    ($($method:ident($value:ty))*) => {
        $(fn $method<E: Error>(self, value: $value) -> Result<V::Value, E> {
            self.visitor.$method(value)
        })*
    };
}

impl<'a, V: Visitor<'a>> Visitor<'a> for AttachedVisitor<'a, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    forward_visits! {
        visit_bool(bool) visit_i8(i8) visit_i16(i16) visit_i32(i32) visit_i64(i64) visit_i128(i128)
        visit_u8(u8) visit_u16(u16) visit_u32(u32) visit_u64(u64) visit_u128(u128) visit_f32(f32) visit_f64(f64)
        visit_char(char) visit_str(&str) visit_borrowed_str(&'a str) visit_string(String) visit_bytes(&[u8])
        visit_borrowed_bytes(&'a [u8])
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_some<D: Deserializer<'a>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Attached::new(deserializer, self.attachments))
    }

    fn visit_newtype_struct<D: Deserializer<'a>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(Attached::new(deserializer, self.attachments))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, seq: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_seq(Attached::new(seq, self.attachments))
    }

    fn visit_enum<A: EnumAccess<'a>>(self, data: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(Attached::new(data, self.attachments))
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<V::Value, A::Error> {
        let Self { visitor, attachments, wanted } = self;
        match wanted {
            Wanted::Structure => visitor.visit_map(Attached::new(map, attachments)),
            Wanted::Bytes => {
                let bytes = read_placeholder(map, false, attachments, &visitor)?;
                visitor.visit_borrowed_bytes(bytes)
            }
            Wanted::Binary => {
                let bytes = read_placeholder(map, false, attachments, &visitor)?;
                visitor.visit_newtype_struct(CarrierDeserializer(bytes.clone())).map_err(Error::custom)
            }
            Wanted::Seq => {
                let bytes = read_placeholder(map, false, attachments, &visitor)?;
                visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied()))
            }
            Wanted::Any => visit_any_map(visitor, map, attachments),
        }
    }
}

/// Gives an object to a visitor that takes anything: as bytes, if it begins like a placeholder.
fn visit_any_map<'a, V: Visitor<'a>, A: MapAccess<'a>>(
    visitor: V,
    mut map: A,
    attachments: &'a [Bytes],
) -> Result<V::Value, A::Error> {
    let head = match map.next_key::<Key<'a>>()? {
        None => Head::End,
        Some(Key(key)) if key != MARKER => Head::Key(key),
        Some(_) => match map.next_value()? {
            true if !wants_json(&visitor) => {
                let bytes = read_placeholder(map, true, attachments, &visitor)?;
                return visitor.visit_borrowed_bytes(bytes);
            }
            value => Head::MarkerKey(value),
        },
    };
    visitor.visit_map(HeadedMap { head, map, attachments })
}

/// Reads the entries of a placeholder (of which the first has been read if it is already `marked`), in any order.
fn read_placeholder<'a, A: MapAccess<'a>>(
    mut map: A,
    mut marked: bool,
    attachments: &'a [Bytes],
    expected: &dyn Expected,
) -> Result<&'a Bytes, A::Error> {
    let mut num = None;
    while let Some(Key(key)) = map.next_key()? {
        match &*key {
            MARKER => marked = map.next_value()?,
            NUM if num.is_none() => num = Some(map.next_value::<usize>()?),
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
    }
    if !marked {
        return Err(Error::invalid_type(Unexpected::Map, expected));
    }
    num.and_then(|num| attachments.get(num))
        .ok_or_else(|| Error::custom("placeholder without a valid attachment number"))
}

/// Whether the visitor builds JSON, which has no bytes.
///
/// Nothing but its own description tells `serde_json::Value` from the visitor behind untagged enums and flattened
/// structs, which must get bytes.
pub(crate) fn wants_json(expected: &dyn Expected) -> bool {
    struct Rest(Option<&'static str>);

    impl fmt::Write for Rest {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = self.0.and_then(|rest| rest.strip_prefix(text));
            Ok(())
        }
    }

    let mut rest = Rest(Some("any valid JSON value"));
    write!(rest, "{expected}").is_ok() && rest.0 == Some("")
}

/// The key of an object, borrowed if it has no escapes.
pub(crate) struct Key<'a>(pub(crate) Cow<'a, str>);

impl<'a> Deserialize<'a> for Key<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'a> Visitor<'a> for KeyVisitor {
            type Value = Key<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'a str) -> Result<Key<'a>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'a>, E> {
                Ok(Key(Cow::Owned(key.into())))
            }
        }

        deserializer.deserialize_str(KeyVisitor)
    }
}

/// What has been read of an object and must be given out again.
enum Head<'a> {
    /// A key, without its value.
    Key(Cow<'a, str>),
    /// The key `_placeholder`, with its value.
    MarkerKey(bool),
    /// The value of `_placeholder`.
    MarkerValue(bool),
    /// Nothing.
    Taken,
    /// Nothing, and nothing follows.
    End,
}

/// An object whose beginning has been read already.
struct HeadedMap<'a, A> {
    head: Head<'a>,
    map: A,
    attachments: &'a [Bytes],
}

impl<'a, A: MapAccess<'a>> MapAccess<'a> for HeadedMap<'a, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        match core::mem::replace(&mut self.head, Head::Taken) {
            Head::Key(Cow::Borrowed(key)) => seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some),
            Head::Key(Cow::Owned(key)) => {
                let key: StringDeserializer<A::Error> = key.into_deserializer();
                seed.deserialize(key).map(Some)
            }
            Head::MarkerKey(value) => {
                self.head = Head::MarkerValue(value);
                seed.deserialize(BorrowedStrDeserializer::new(MARKER)).map(Some)
            }
            Head::Taken | Head::MarkerValue(_) => self.map.next_key_seed(seed),
            Head::End => {
                self.head = Head::End;
                Ok(None)
            }
        }
    }

    fn next_value_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        if let Head::MarkerValue(value) = self.head {
            self.head = Head::Taken;
            return seed.deserialize(value.into_deserializer());
        }
        self.map.next_value_seed(Attached::new(seed, self.attachments))
    }
}

/// Gives seeds their attachments on the way into the text.
impl<'a, T: DeserializeSeed<'a>> DeserializeSeed<'a> for Attached<'a, T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<T::Value, D::Error> {
        self.inner.deserialize(Attached::new(deserializer, self.attachments))
    }
}

impl<'a, A: SeqAccess<'a>> SeqAccess<'a> for Attached<'a, A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.inner.next_element_seed(Attached::new(seed, self.attachments))
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'a, A: MapAccess<'a>> MapAccess<'a> for Attached<'a, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.next_value_seed(Attached::new(seed, self.attachments))
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'a, A: EnumAccess<'a>> EnumAccess<'a> for Attached<'a, A> {
    type Error = A::Error;
    type Variant = Attached<'a, A::Variant>;

    fn variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<(T::Value, Self::Variant), A::Error> {
        let (value, variant) = self.inner.variant_seed(seed)?;
        Ok((value, Attached::new(variant, self.attachments)))
    }
}

impl<'a, A: VariantAccess<'a>> VariantAccess<'a> for Attached<'a, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.newtype_variant_seed(Attached::new(seed, self.attachments))
    }

    fn tuple_variant<V: Visitor<'a>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.visitor(visitor, Wanted::Structure);
        self.inner.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.visitor(visitor, Wanted::Structure);
        self.inner.struct_variant(fields, visitor)
    }
}
