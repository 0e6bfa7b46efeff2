//! Values of serde into a message, in one pass.
//!
//! The shapes are those of JSON: structs are maps with their fields' names, variants are their names, and keys are text, as a
//! receiver in JavaScript expects. Bytes are bytes.

use alloc::{string::ToString, vec::Vec};

use bytes::Bytes;
use serde::ser::{
    Error, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::Error as WriteError;

use super::transcode;
use crate::{binary::take_shared, json::RAW_VALUE};

type Result<T> = core::result::Result<T, WriteError>;

fn error(message: &str) -> WriteError {
    Error::custom(message)
}

/// Appends values to a message.
pub(crate) struct Writer<'w> {
    pub(crate) out: &'w mut Vec<u8>,
    /// What the placeholders in raw JSON stand for.
    pub(crate) raw_attachments: &'w [Bytes],
}

/// The markers of the three or four widths of a length; the first has the length within it, up to `max`.
struct Widths {
    fixed: Option<(u8, u32)>,
    one_byte: Option<u8>,
    two_bytes: u8,
    four_bytes: u8,
}

const STR: Widths =
    Widths { fixed: Some((0xa0, 31)), one_byte: Some(0xd9), two_bytes: 0xda, four_bytes: 0xdb };
const BIN: Widths = Widths { fixed: None, one_byte: Some(0xc4), two_bytes: 0xc5, four_bytes: 0xc6 };
const ARRAY: Widths = Widths { fixed: Some((0x90, 15)), one_byte: None, two_bytes: 0xdc, four_bytes: 0xdd };
const MAP: Widths = Widths { fixed: Some((0x80, 15)), one_byte: None, two_bytes: 0xde, four_bytes: 0xdf };

impl Writer<'_> {
    /// Appends a length in the narrowest form.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the length was compared with what the type holds")]
    fn length(&mut self, widths: &Widths, len: usize) -> Result<()> {
        let len = u32::try_from(len).map_err(|_| error("longer than 4 GiB"))?;
        match (widths, len) {
            (Widths { fixed: Some((marker, max)), .. }, _) if len <= *max => {
                self.out.push(marker | len as u8)
            }
            (Widths { one_byte: Some(marker), .. }, 0..=0xff) => self.out.extend([*marker, len as u8]),
            (_, 0..=0xffff) => {
                self.out.push(widths.two_bytes);
                self.out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            _ => {
                self.out.push(widths.four_bytes);
                self.out.extend_from_slice(&len.to_be_bytes());
            }
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn text(&mut self, text: &str) -> Result<()> {
        self.length(&STR, text.len())?;
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.length(&BIN, bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Begins a map of `count` entries.
    pub(crate) fn map(&mut self, count: usize) -> Result<()> {
        self.length(&MAP, count)
    }

    /// Begins an array of which nobody knows the length yet; returns where to [set](Self::set_count) it.
    pub(crate) fn begin_array(&mut self) -> usize {
        self.begin(&ARRAY)
    }

    /// Begins a map of which nobody knows the length yet; returns where to [set](Self::set_count) it.
    pub(crate) fn begin_map(&mut self) -> usize {
        self.begin(&MAP)
    }

    fn begin(&mut self, widths: &Widths) -> usize {
        self.marked(widths.four_bytes, [0; 4]);
        self.out.len() - 4
    }

    pub(crate) fn set_count(&mut self, place: usize, count: usize) -> Result<()> {
        let count = u32::try_from(count).map_err(|_| error("more than 2^32 elements"))?;
        if let Some(place) = self.out.get_mut(place..place + 4) {
            place.copy_from_slice(&count.to_be_bytes());
        }
        Ok(())
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the value was compared with what the type holds")]
    pub(crate) fn unsigned(&mut self, value: u64) {
        match value {
            0..=0x7f => self.out.push(value as u8),
            0x80..=0xff => self.out.extend([0xcc, value as u8]),
            0x100..=0xffff => self.marked(0xcd, (value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.marked(0xce, (value as u32).to_be_bytes()),
            _ => self.marked(0xcf, value.to_be_bytes()),
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "the value was compared with what the type holds")]
    fn signed(&mut self, value: i64) {
        match value {
            0.. => self.unsigned(value.unsigned_abs()),
            -0x20..0 => self.marked((value as i8).to_be_bytes()[0], []),
            -0x80..-0x20 => self.marked(0xd0, (value as i8).to_be_bytes()),
            -0x8000..-0x80 => self.marked(0xd1, (value as i16).to_be_bytes()),
            -0x8000_0000..-0x8000 => self.marked(0xd2, (value as i32).to_be_bytes()),
            _ => self.marked(0xd3, value.to_be_bytes()),
        }
    }

    #[inline]
    fn marked<const N: usize>(&mut self, marker: u8, bytes: [u8; N]) {
        self.out.push(marker);
        self.out.extend_from_slice(&bytes);
    }
}

/// An array or a map whose elements are being written.
pub(crate) struct Compound<'s, 'w> {
    writer: &'s mut Writer<'w>,
    count: usize,
    length: Length,
}

/// What was written where the length of an array or a map belongs.
enum Length {
    /// The length that was announced.
    Known(usize),
    /// Four bytes at this index, to be filled in at the end.
    Later(usize),
    /// The marker at this index, which has the length in it if it is a short one, and is made longer otherwise. Moves what
    /// follows, so it is only for what is not within other such.
    Short(usize),
    /// Nothing: the one field is raw JSON or a number's text, and stands for the value.
    Text,
}

impl<'s, 'w> Compound<'s, 'w> {
    fn new(writer: &'s mut Writer<'w>, widths: &Widths, len: Option<usize>) -> Result<Self> {
        let length = if let Some(len) = len {
            writer.length(widths, len)?;
            Length::Known(len)
        } else {
            Length::Later(writer.begin(widths))
        };
        Ok(Self { writer, count: 0, length })
    }

    /// An array that is the last thing in a message, and mostly short.
    pub(crate) fn last(writer: &'s mut Writer<'w>) -> Self {
        let at = writer.out.len();
        writer.out.push(0x90);
        Self { writer, count: 0, length: Length::Short(at) }
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.count += 1;
        value.serialize(&mut *self.writer)
    }

    #[inline]
    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.count += 1;
        key.serialize(Key { writer: &mut *self.writer })
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        if matches!(self.length, Length::Text) {
            return transcode::write_text_field(self.writer, key, value);
        }
        self.count += 1;
        self.writer.text(key)?;
        value.serialize(&mut *self.writer)
    }

    fn finish(self) -> Result<()> {
        let Self { writer, count, length } = self;
        match length {
            Length::Text => {}
            Length::Known(len) if len == count => {}
            Length::Known(_) => return Err(error("another number of elements than was announced")),
            Length::Later(at) => writer.set_count(at, count)?,
            Length::Short(at) if count <= 15 => {
                if let (Some(marker), Ok(count)) = (writer.out.get_mut(at), u8::try_from(count)) {
                    *marker |= count;
                }
            }
            Length::Short(at) => {
                writer.out.splice(at..=at, [ARRAY.four_bytes, 0, 0, 0, 0]);
                writer.set_count(at + 1, count)?;
            }
        }
        Ok(())
    }
}

impl<'s, 'w> Serializer for &'s mut Writer<'w> {
    type Ok = ();
    type Error = WriteError;
    type SerializeSeq = Compound<'s, 'w>;
    type SerializeTuple = Compound<'s, 'w>;
    type SerializeTupleStruct = Compound<'s, 'w>;
    type SerializeTupleVariant = Compound<'s, 'w>;
    type SerializeMap = Compound<'s, 'w>;
    type SerializeStruct = Compound<'s, 'w>;
    type SerializeStructVariant = Compound<'s, 'w>;

    fn serialize_bool(self, value: bool) -> Result<()> {
        self.out.push(if value { 0xc3 } else { 0xc2 });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<()> {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i16(self, value: i16) -> Result<()> {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i32(self, value: i32) -> Result<()> {
        self.serialize_i64(i64::from(value))
    }

    fn serialize_i64(self, value: i64) -> Result<()> {
        self.signed(value);
        Ok(())
    }

    /// What does not fit 64 bits is a float, which is what JavaScript would read it as in JSON.
    #[allow(clippy::cast_precision_loss, reason = "JavaScript has no more of it")]
    fn serialize_i128(self, value: i128) -> Result<()> {
        match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => self.serialize_i64(value),
            (_, Ok(value)) => self.serialize_u64(value),
            _ => self.serialize_f64(value as f64),
        }
    }

    fn serialize_u8(self, value: u8) -> Result<()> {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u16(self, value: u16) -> Result<()> {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u32(self, value: u32) -> Result<()> {
        self.serialize_u64(u64::from(value))
    }

    fn serialize_u64(self, value: u64) -> Result<()> {
        self.unsigned(value);
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, reason = "JavaScript has no more of it")]
    fn serialize_u128(self, value: u128) -> Result<()> {
        match u64::try_from(value) {
            Ok(value) => self.serialize_u64(value),
            Err(_) => self.serialize_f64(value as f64),
        }
    }

    fn serialize_f32(self, value: f32) -> Result<()> {
        self.marked(0xca, value.to_be_bytes());
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<()> {
        self.marked(0xcb, value.to_be_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.text(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<()> {
        self.text(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.bytes(value)
    }

    fn serialize_none(self) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.out.push(0xc0);
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<()> {
        self.text(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<()> {
        if name == transcode::VALUE_NAME {
            let bytes = take_shared(value).map_err(Error::custom)?;
            self.out.extend_from_slice(&bytes);
            return Ok(());
        }
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        self.map(1)?;
        self.text(variant)?;
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Compound<'s, 'w>> {
        Compound::new(self, &ARRAY, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Compound<'s, 'w>> {
        Compound::new(self, &ARRAY, Some(len))
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Compound<'s, 'w>> {
        Compound::new(self, &ARRAY, Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'s, 'w>> {
        self.map(1)?;
        self.text(variant)?;
        Compound::new(self, &ARRAY, Some(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Compound<'s, 'w>> {
        Compound::new(self, &MAP, len)
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Compound<'s, 'w>> {
        if name == RAW_VALUE || name == transcode::NUMBER {
            return Ok(Compound { writer: self, count: 0, length: Length::Text });
        }
        Compound::new(self, &MAP, Some(len))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'s, 'w>> {
        self.map(1)?;
        self.text(variant)?;
        Compound::new(self, &MAP, Some(len))
    }
}

macro_rules! elements {
    ($($compound:ident::$method:ident;)*) => {
        $(impl $compound for Compound<'_, '_> {
            type Ok = ();
            type Error = WriteError;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.element(value)
            }

            #[inline]
            fn end(self) -> Result<()> {
                self.finish()
            }
        })*
    };
}

elements! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

macro_rules! fields {
    ($($compound:ident)*) => {
        $(impl $compound for Compound<'_, '_> {
            type Ok = ();
            type Error = WriteError;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
                self.field(key, value)
            }

            #[inline]
            fn end(self) -> Result<()> {
                self.finish()
            }
        })*
    };
}

fields! { SerializeStruct SerializeStructVariant }

impl SerializeMap for Compound<'_, '_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}

/// The key of a map: text, or what JSON makes text of.
struct Key<'s, 'w> {
    writer: &'s mut Writer<'w>,
}

macro_rules! text_keys {
    ($($method:ident($type:ty);)*) => {
        $(fn $method(self, value: $type) -> Result<()> {
            self.writer.text(&value.to_string())
        })*
    };
}

macro_rules! refuse_keys {
    ($($method:ident($($arg:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $(_: $arg),*) -> Result<$ok> {
            Err(not_text())
        })*
    };
}

fn not_text() -> WriteError {
    error("the key of a map must be text, a number or a bool")
}

type Refused = Impossible<(), WriteError>;

impl Serializer for Key<'_, '_> {
    type Ok = ();
    type Error = WriteError;
    type SerializeSeq = Refused;
    type SerializeTuple = Refused;
    type SerializeTupleStruct = Refused;
    type SerializeTupleVariant = Refused;
    type SerializeMap = Refused;
    type SerializeStruct = Refused;
    type SerializeStructVariant = Refused;

    text_keys! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        self.writer.text(value)
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<()> {
        self.writer.text(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<()> {
        Err(not_text())
    }

    refuse_keys! {
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_seq(Option<usize>) -> Refused;
        serialize_tuple(usize) -> Refused;
        serialize_tuple_struct(&'static str, usize) -> Refused;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Refused;
        serialize_map(Option<usize>) -> Refused;
        serialize_struct(&'static str, usize) -> Refused;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Refused;
    }
}
