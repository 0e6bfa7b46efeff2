//! Values of a message through serde.
//!
//! A type sees what it would see of the JSON that means the same: names of variants, keys as text, dates as text. What JSON
//! does not have comes as well as it can: bytes as bytes, `undefined` like `null`.

use alloc::string::ToString;
use core::ops::Range;

use serde::{
    de::{
        Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess,
        SeqAccess, Unexpected, VariantAccess, Visitor,
        value::{BorrowedStrDeserializer, MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::Error as ReadError;

use super::{
    date::to_iso,
    reader::{Reader, Token, whole},
    transcode,
};
use crate::{
    attach::wants_json,
    binary::{BINARY_NAME, CarrierDeserializer},
    json::RAW_VALUE,
};

type Result<T> = core::result::Result<T, ReadError>;

impl Reader<'_> {
    fn token(&mut self) -> Result<Token> {
        self.next().map_err(Error::custom)
    }

    /// What comes next, which stays there.
    fn peek(&self) -> Result<Token> {
        let mut ahead = *self;
        ahead.token()
    }
}

/// Gives a visitor the value that a token begins.
fn visit<'a, V: Visitor<'a>>(reader: &mut Reader<'a>, token: Token, visitor: V) -> Result<V::Value> {
    match token {
        Token::Nil | Token::Undefined => visitor.visit_unit(),
        Token::Bool(value) => visitor.visit_bool(value),
        Token::Unsigned(value) => visitor.visit_u64(value),
        Token::Signed(value) => visitor.visit_i64(value),
        Token::Float(value) => visitor.visit_f64(value),
        Token::Str(range) => visitor.visit_borrowed_str(reader.text(range).map_err(Error::custom)?),
        // JSON has no bytes: they are numbers to it, as in `Binary` without attachments.
        Token::Bin(range) if wants_json(&visitor) => visit_numbers(reader, range, visitor),
        Token::Bin(range) => visitor.visit_borrowed_bytes(reader.bytes(range)),
        Token::Array(count) => visit_seq(reader, count, visitor),
        Token::Map(count) => visit_map(reader, count, visitor),
        Token::Date(millis) => match to_iso(millis) {
            Some(text) => visitor.visit_string(text),
            None => visitor.visit_unit(),
        },
        Token::Ext(ext_type, range) => {
            visitor.visit_seq(ExtSeq { ext_type, range, reader: *reader, index: 0 })
        }
    }
}

/// Gives a visitor bytes as a sequence of numbers.
fn visit_numbers<'a, V: Visitor<'a>>(
    reader: &Reader<'a>,
    range: Range<usize>,
    visitor: V,
) -> Result<V::Value> {
    visitor.visit_seq(SeqDeserializer::new(reader.bytes(range).iter().copied()))
}

pub(crate) fn visit_seq<'a, V: Visitor<'a>>(
    reader: &mut Reader<'a>,
    count: usize,
    visitor: V,
) -> Result<V::Value> {
    let mut elements = Elements { reader, count };
    let value = visitor.visit_seq(&mut elements)?;
    if elements.count > 0 { Err(Error::custom("more elements than expected")) } else { Ok(value) }
}

fn visit_map<'a, V: Visitor<'a>>(reader: &mut Reader<'a>, count: usize, visitor: V) -> Result<V::Value> {
    let mut elements = Elements { reader, count };
    let value = visitor.visit_map(&mut elements)?;
    if elements.count > 0 { Err(Error::custom("more entries than expected")) } else { Ok(value) }
}

macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
            let token = self.token()?;
            visit(self, as_integer(token), visitor)
        })*
    };
}

/// JavaScript has one type of numbers, so that a whole one may come as a float from those who think so too; a date is its
/// milliseconds to whom wants a number.
fn as_integer(token: Token) -> Token {
    match token {
        Token::Float(value) => whole(value).map_or(token, Token::Signed),
        Token::Date(millis) => Token::Signed(millis),
        token => token,
    }
}

impl<'a> Deserializer<'a> for &mut Reader<'a> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        let token = self.token()?;
        visit(self, token, visitor)
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        match self.token()? {
            Token::Date(millis) => visitor.visit_i64(millis),
            token => visit(self, token, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        if matches!(self.peek()?, Token::Nil | Token::Undefined) {
            self.token()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        if name == BINARY_NAME
            && let Token::Bin(range) = self.peek()?
        {
            self.token()?;
            let bytes = CarrierDeserializer(self.share(range));
            return visitor.visit_newtype_struct(bytes).map_err(Error::custom);
        }
        if name == RAW_VALUE {
            let json = transcode::read_json(self)?;
            let entry = [(RAW_VALUE, json)];
            return visitor.visit_map(MapDeserializer::new(entry.into_iter()));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        match self.token()? {
            Token::Bin(range) => visit_numbers(self, range, visitor),
            token => visit(self, token, visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.token()? {
            Token::Str(range) => {
                let name = self.text(range).map_err(Error::custom)?;
                visitor.visit_enum(BorrowedStrDeserializer::new(name))
            }
            Token::Map(1) => visitor.visit_enum(Variant { reader: self }),
            token => {
                Err(Error::invalid_type(unexpected(&token), &"a variant's name, or a map with it as its key"))
            }
        }
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.skip().map_err(Error::custom)?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool char str string bytes byte_buf unit unit_struct map struct identifier
    }
}

/// How an error names a token.
const fn unexpected(token: &Token) -> Unexpected<'static> {
    match token {
        Token::Nil | Token::Undefined => Unexpected::Unit,
        Token::Bool(value) => Unexpected::Bool(*value),
        Token::Unsigned(value) => Unexpected::Unsigned(*value),
        Token::Signed(value) => Unexpected::Signed(*value),
        Token::Float(value) => Unexpected::Float(*value),
        Token::Str(_) => Unexpected::Other("string"),
        Token::Bin(_) => Unexpected::Other("bytes"),
        Token::Array(_) => Unexpected::Seq,
        Token::Map(_) => Unexpected::Map,
        Token::Date(_) => Unexpected::Other("date"),
        Token::Ext(..) => Unexpected::Other("extension"),
    }
}

/// The elements of an array, or the entries of a map.
struct Elements<'r, 'a> {
    reader: &'r mut Reader<'a>,
    count: usize,
}

impl Elements<'_, '_> {
    /// Whether there is one more.
    const fn advance(&mut self) -> bool {
        let more = self.count > 0;
        self.count = self.count.saturating_sub(1);
        more
    }

    /// Every element takes a byte at least, whatever the count claims.
    fn hint(&self) -> usize {
        self.count.min(self.reader.len())
    }
}

impl<'a> SeqAccess<'a> for &mut Elements<'_, 'a> {
    type Error = ReadError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.advance() { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

impl<'a> MapAccess<'a> for &mut Elements<'_, 'a> {
    type Error = ReadError;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if self.advance() { seed.deserialize(Key { reader: &mut *self.reader }).map(Some) } else { Ok(None) }
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

/// The key of a map. JavaScript's are text, and types that are numbers elsewhere are read from it.
struct Key<'r, 'a> {
    reader: &'r mut Reader<'a>,
}

macro_rules! number_keys {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
            if let Token::Str(range) = self.reader.peek()? {
                let text = self.reader.text(range).map_err(Error::custom)?;
                if let Ok(number) = text.parse::<u64>() {
                    self.reader.token()?;
                    return visitor.visit_u64(number);
                }
                if let Ok(number) = text.parse::<i64>() {
                    self.reader.token()?;
                    return visitor.visit_i64(number);
                }
            }
            self.reader.$method(visitor)
        })*
    };
}

impl<'a> Deserializer<'a> for Key<'_, 'a> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        // Others than JavaScript have numbers as keys; its own decoder makes text of them too.
        match self.reader.token()? {
            Token::Nil => visitor.visit_borrowed_str("null"),
            Token::Bool(value) => visitor.visit_string(value.to_string()),
            Token::Unsigned(value) => visitor.visit_string(value.to_string()),
            Token::Signed(value) => visitor.visit_string(value.to_string()),
            Token::Float(value) => visitor.visit_string(value.to_string()),
            token => visit(self.reader, token, visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        match self.reader.token()? {
            Token::Str(range) if self.reader.bytes(range.clone()) == b"true" => visitor.visit_bool(true),
            Token::Str(range) if self.reader.bytes(range.clone()) == b"false" => visitor.visit_bool(false),
            token => visit(self.reader, token, visitor),
        }
    }

    number_keys! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.reader.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.reader.deserialize_ignored_any(visitor)
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
    }
}

/// A variant with content: a map of one entry.
struct Variant<'r, 'a> {
    reader: &'r mut Reader<'a>,
}

impl<'a> EnumAccess<'a> for Variant<'_, 'a> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<(T::Value, Self)> {
        let name = seed.deserialize(Key { reader: &mut *self.reader })?;
        Ok((name, self))
    }
}

impl<'a> VariantAccess<'a> for Variant<'_, 'a> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<()> {
        <()>::deserialize(self.reader)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self.reader)
    }

    fn tuple_variant<V: Visitor<'a>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        self.reader.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.reader.deserialize_any(visitor)
    }
}

/// An extension that nobody knows, as JavaScript's decoder gives it: its type, and its bytes.
struct ExtSeq<'a> {
    ext_type: i8,
    range: Range<usize>,
    reader: Reader<'a>,
    index: usize,
}

impl<'a> SeqAccess<'a> for ExtSeq<'a> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        self.index += 1;
        match self.index {
            1 => seed.deserialize(self.ext_type.into_deserializer()).map(Some),
            2 => seed.deserialize(ExtBytes { range: self.range.clone(), reader: &self.reader }).map(Some),
            _ => Ok(None),
        }
    }
}

/// The bytes of an extension.
struct ExtBytes<'r, 'a> {
    range: Range<usize>,
    reader: &'r Reader<'a>,
}

impl<'a> Deserializer<'a> for ExtBytes<'_, 'a> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        let mut reader = *self.reader;
        visit(&mut reader, Token::Bin(self.range), visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        if name == BINARY_NAME {
            let bytes = CarrierDeserializer(self.reader.share(self.range));
            return visitor.visit_newtype_struct(bytes).map_err(Error::custom);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        visit_numbers(self.reader, self.range, visitor)
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct tuple
        tuple_struct map struct enum identifier ignored_any
    }
}
