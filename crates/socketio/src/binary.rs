//! Bytes that travel as an attachment without being copied.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::{cell::Cell, error::Error, fmt, ops::Deref};

use bytes::Bytes;
use serde::{
    de::{self, Deserialize, Deserializer, SeqAccess, Visitor},
    forward_to_deserialize_any,
    ser::{self, Serialize, Serializer},
};

/// Bytes for an attachment.
///
/// Shares the memory of the [`Bytes`] inside, in both directions: emitting it adds a reference to the packet, reading it takes a
/// reference to the attachment that was received. Any other type that serde knows as bytes works as well, and is copied once.
///
/// ```
/// use bytes::Bytes;
/// use sockeye_socketio::{Binary, encode_event};
///
/// let image = Bytes::from_static(b"\x89PNG");
/// let (mut out, mut attachments) = (Vec::new(), Vec::new());
/// encode_event(&mut out, &mut attachments, "/", None, "upload", &("a.png", Binary(image.clone())))?;
/// assert_eq!(out, br#"51-["upload","a.png",{"_placeholder":true,"num":0}]"#);
/// assert_eq!(attachments[0].as_ptr(), image.as_ptr());
/// # Ok::<(), sockeye_socketio::EncodeError>(())
/// ```
///
/// Without the feature `std` the bytes are copied once, each way.
///
/// In other formats it is what [`Bytes`] is there; in JSON without attachments, an array of numbers. Text is never taken for bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Binary(pub Bytes);

impl Deref for Binary {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Binary {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Bytes> for Binary {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for Binary {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&'static [u8]> for Binary {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Bytes::from_static(bytes))
    }
}

impl From<Binary> for Bytes {
    fn from(binary: Binary) -> Self {
        binary.0
    }
}

/// The name by which this crate's serializer and deserializer recognise [`Binary`].
///
/// serde has no way to hand over shared bytes, but its error types may have a source that can be asked for its type.
/// Seeing this name, serializer and deserializer answer with a [`CarrierError`], whose source is a [`Slot`]: there the one side
/// leaves the [`Bytes`] and the other finds them. Every other format sees plain bytes.
///
/// serde's error types have a source only with its feature `std`. Without it the bytes themselves are handed over, as a copy.
pub(crate) const BINARY_NAME: &str = "$sockeye::Binary";

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(BINARY_NAME, &Shared(&self.0))
    }
}

pub(crate) struct Shared<'a>(pub(crate) &'a Bytes);

impl Serialize for Shared<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let result = serializer.serialize_bytes(self.0);
        #[cfg(feature = "std")]
        if let Some(slot) = result.as_ref().err().and_then(Slot::of) {
            slot.0.set(Some(self.0.clone()));
        }
        result
    }
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(BINARY_NAME, BinaryVisitor)
    }
}

struct BinaryVisitor;

impl<'de> Visitor<'de> for BinaryVisitor {
    type Value = Binary;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Binary, D::Error> {
        let result = if deserializer.is_human_readable() {
            // Asked for bytes, JSON would pass text off as such.
            deserializer.deserialize_any(Self)
        } else {
            deserializer.deserialize_byte_buf(Self)
        };
        #[cfg(feature = "std")]
        let result =
            result.or_else(|error| Slot::of(&error).and_then(|slot| slot.0.take()).map(Binary).ok_or(error));
        result
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Binary, E> {
        Ok(Binary(Bytes::copy_from_slice(bytes)))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Binary, E> {
        Ok(Binary(bytes.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Binary, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        self.visit_byte_buf(bytes)
    }
}

/// Where one side leaves the bytes and the other finds them.
#[derive(Default)]
pub(crate) struct Slot(Cell<Option<Bytes>>);

impl Slot {
    /// What asks for `bytes`: an empty slot for whoever can share them.
    #[cfg(feature = "std")]
    fn asking_for(_bytes: &[u8]) -> Self {
        Self::default()
    }

    /// What asks for `bytes`, which nobody can leave here.
    #[cfg(not(feature = "std"))]
    fn asking_for(bytes: &[u8]) -> Self {
        Self(Cell::new(Some(Bytes::copy_from_slice(bytes))))
    }

    /// The slot behind an error, if it is one of [`CarrierError`].
    #[cfg(feature = "std")]
    fn of<E: Error>(error: &E) -> Option<&Self> {
        error.source()?.downcast_ref()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attachment")
    }
}

impl Error for Slot {}

/// The error that is none: see [`BINARY_NAME`].
#[derive(Debug)]
pub(crate) enum CarrierError {
    Slot(Slot),
    Other(String),
}

#[cfg(feature = "std")]
impl CarrierError {
    /// Offers bytes to whoever reads a [`Binary`].
    fn offer(bytes: Bytes) -> Self {
        Self::Slot(Slot(Cell::new(Some(bytes))))
    }
}

impl fmt::Display for CarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot(slot) => fmt::Display::fmt(slot, f),
            Self::Other(message) => f.write_str(message),
        }
    }
}

impl Error for CarrierError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Slot(slot) => Some(slot),
            Self::Other(_) => None,
        }
    }
}

impl de::Error for CarrierError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Other(message.to_string())
    }
}

impl ser::Error for CarrierError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Other(message.to_string())
    }
}

/// Hands an attachment to the visitor of a [`Binary`].
pub(crate) struct CarrierDeserializer(pub(crate) Bytes);

impl<'de> Deserializer<'de> for CarrierDeserializer {
    type Error = CarrierError;

    #[cfg(feature = "std")]
    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, CarrierError> {
        Err(CarrierError::offer(self.0))
    }

    #[cfg(not(feature = "std"))]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CarrierError> {
        visitor.visit_bytes(&self.0)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Takes the bytes out of what a [`Binary`] passes as the inside of its newtype.
pub(crate) fn take_shared<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, CarrierError> {
    match value.serialize(CarrierSerializer) {
        Err(CarrierError::Slot(slot)) => {
            slot.0.take().ok_or_else(|| ser::Error::custom("bytes that cannot be shared"))
        }
        Err(error) => Err(error),
        Ok(never) => match never {},
    }
}

/// What a [`CarrierSerializer`] succeeds with: nothing.
pub(crate) enum Never {}

/// Asks for bytes, and offers a slot for them.
struct CarrierSerializer;

macro_rules! refuse {
    ($($method:ident($($arg:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $(_: $arg),*) -> Result<$ok, CarrierError> {
            Err(ser::Error::custom("not bytes"))
        })*
    };
}

type Refused = ser::Impossible<Never, CarrierError>;

impl Serializer for CarrierSerializer {
    type Ok = Never;
    type Error = CarrierError;
    type SerializeSeq = Refused;
    type SerializeTuple = Refused;
    type SerializeTupleStruct = Refused;
    type SerializeTupleVariant = Refused;
    type SerializeMap = Refused;
    type SerializeStruct = Refused;
    type SerializeStructVariant = Refused;

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Never, CarrierError> {
        Err(CarrierError::Slot(Slot::asking_for(bytes)))
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    refuse! {
        serialize_bool(bool) -> Never;
        serialize_i8(i8) -> Never;
        serialize_i16(i16) -> Never;
        serialize_i32(i32) -> Never;
        serialize_i64(i64) -> Never;
        serialize_u8(u8) -> Never;
        serialize_u16(u16) -> Never;
        serialize_u32(u32) -> Never;
        serialize_u64(u64) -> Never;
        serialize_f32(f32) -> Never;
        serialize_f64(f64) -> Never;
        serialize_char(char) -> Never;
        serialize_str(&str) -> Never;
        serialize_none() -> Never;
        serialize_unit() -> Never;
        serialize_unit_struct(&'static str) -> Never;
        serialize_unit_variant(&'static str, u32, &'static str) -> Never;
        serialize_seq(Option<usize>) -> Refused;
        serialize_tuple(usize) -> Refused;
        serialize_tuple_struct(&'static str, usize) -> Refused;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Refused;
        serialize_map(Option<usize>) -> Refused;
        serialize_struct(&'static str, usize) -> Refused;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Refused;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _value: &T) -> Result<Never, CarrierError> {
        Err(ser::Error::custom("not bytes"))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _value: &T,
    ) -> Result<Never, CarrierError> {
        Err(ser::Error::custom("not bytes"))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<Never, CarrierError> {
        Err(ser::Error::custom("not bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "std")]
    fn serializer_side_shares_memory() {
        let bytes = Bytes::from(alloc::vec![1_u8; 64]);
        let taken = take_shared(&Shared(&bytes)).unwrap();
        assert_eq!(taken.as_ptr(), bytes.as_ptr());
        assert!(take_shared(&1_u8).is_err());
    }

    #[test]
    #[cfg(feature = "std")]
    fn deserializer_side_shares_memory() {
        let bytes = Bytes::from(alloc::vec![1_u8; 64]);
        let taken = BinaryVisitor.visit_newtype_struct(CarrierDeserializer(bytes.clone())).unwrap();
        assert_eq!(taken.as_ptr(), bytes.as_ptr());
    }

    #[test]
    fn in_plain_json_it_is_an_array_of_numbers() {
        let binary = Binary::from(alloc::vec![1, 2, 255]);
        let json = serde_json::to_string(&binary).unwrap();
        assert_eq!(json, "[1,2,255]");
        assert_eq!(serde_json::from_str::<Binary>(&json).unwrap(), binary);
        for json in [r#""ab""#, "{}", "[256]", "1"] {
            assert!(serde_json::from_str::<Binary>(json).is_err());
        }
        assert_eq!(serde_json::to_value(&binary).unwrap(), serde_json::json!([1, 2, 255]));
    }
}
