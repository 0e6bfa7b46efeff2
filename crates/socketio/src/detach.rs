//! A layer between a value and serde_json that takes the bytes out of the value and leaves placeholders.
//!
//! Everything that is not bytes goes straight through. Compiled away but for one pointer that is passed along.

use alloc::vec::Vec;
use core::{cell::RefCell, fmt::Display};

use bytes::Bytes;
use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::{
    binary::{BINARY_NAME, take_shared},
    placeholder::{MARKER, NUM},
};

/// The attachments taken out so far.
#[derive(Default)]
pub(crate) struct Sink(RefCell<Vec<Bytes>>);

impl Sink {
    pub(crate) fn into_attachments(self) -> Vec<Bytes> {
        self.0.into_inner()
    }

    /// Keeps `bytes`, and writes their placeholder.
    #[cold]
    fn attach<S: Serializer>(&self, bytes: Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        let num = self.0.borrow().len();
        self.0.borrow_mut().push(bytes);
        let mut placeholder = serializer.serialize_map(Some(2))?;
        placeholder.serialize_entry(MARKER, &true)?;
        placeholder.serialize_entry(NUM, &num)?;
        placeholder.end()
    }
}

/// A serializer, or a part of one, or a value for one, whose bytes go to the sink.
pub(crate) struct Detach<'s, T> {
    inner: T,
    sink: &'s Sink,
}

impl<'s, T> Detach<'s, T> {
    pub(crate) const fn new(inner: T, sink: &'s Sink) -> Self {
        Self { inner, sink }
    }
}

impl<T: Serialize + ?Sized> Serialize for Detach<'_, &T> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.inner.serialize(Detach::new(serializer, self.sink))
    }
}

macro_rules! forward {
    ($($method:ident($($name:ident: $arg:ty),*);)*) => {
        $(
            #[inline]
            fn $method(self, $($name: $arg),*) -> Result<S::Ok, S::Error> {
                self.inner.$method($($name),*)
            }
        )*
    };
}

macro_rules! forward_compound {
    ($($method:ident($($name:ident: $arg:ty),*) -> $compound:ident;)*) => {
        $(
            #[inline]
            fn $method(self, $($name: $arg),*) -> Result<Self::$compound, S::Error> {
                Ok(Detach::new(self.inner.$method($($name),*)?, self.sink))
            }
        )*
    };
}

impl<'s, S: Serializer> Serializer for Detach<'s, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Detach<'s, S::SerializeSeq>;
    type SerializeTuple = Detach<'s, S::SerializeTuple>;
    type SerializeTupleStruct = Detach<'s, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Detach<'s, S::SerializeTupleVariant>;
    type SerializeMap = Detach<'s, S::SerializeMap>;
    type SerializeStruct = Detach<'s, S::SerializeStruct>;
    type SerializeStructVariant = Detach<'s, S::SerializeStructVariant>;

    forward! {
        serialize_bool(value: bool);
        serialize_i8(value: i8);
        serialize_i16(value: i16);
        serialize_i32(value: i32);
        serialize_i64(value: i64);
        serialize_i128(value: i128);
        serialize_u8(value: u8);
        serialize_u16(value: u16);
        serialize_u32(value: u32);
        serialize_u64(value: u64);
        serialize_u128(value: u128);
        serialize_f32(value: f32);
        serialize_f64(value: f64);
        serialize_char(value: char);
        serialize_str(value: &str);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    forward_compound! {
        serialize_seq(len: Option<usize>) -> SerializeSeq;
        serialize_tuple(len: usize) -> SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeTupleVariant;
        serialize_map(len: Option<usize>) -> SerializeMap;
        serialize_struct(name: &'static str, len: usize) -> SerializeStruct;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeStructVariant;
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<S::Ok, S::Error> {
        self.sink.attach(Bytes::copy_from_slice(value), self.inner)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_some(&Detach::new(value, self.sink))
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        if name == BINARY_NAME {
            let bytes = take_shared(value).map_err(Error::custom)?;
            return self.sink.attach(bytes, self.inner);
        }
        self.inner.serialize_newtype_struct(name, &Detach::new(value, self.sink))
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_newtype_variant(name, index, variant, &Detach::new(value, self.sink))
    }

    #[inline]
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! elements {
    ($($compound:ident::$method:ident;)*) => {
        $(impl<C: $compound> $compound for Detach<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                self.inner.$method(&Detach::new(value, self.sink))
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
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
        $(impl<C: $compound> $compound for Detach<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                self.inner.serialize_field(key, &Detach::new(value, self.sink))
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
                self.inner.skip_field(key)
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        })*
    };
}

fields! { SerializeStruct SerializeStructVariant }

impl<C: SerializeMap> SerializeMap for Detach<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.inner.serialize_key(key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.inner.serialize_value(&Detach::new(value, self.sink))
    }

    #[inline]
    fn serialize_entry<K: Serialize + ?Sized, T: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &T,
    ) -> Result<(), C::Error> {
        self.inner.serialize_entry(key, &Detach::new(value, self.sink))
    }

    #[inline]
    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}
