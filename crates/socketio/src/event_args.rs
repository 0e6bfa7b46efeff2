//! What may be emitted.

use alloc::{borrow::Cow, boxed::Box, string::String, vec::Vec};

use bytes::Bytes;
use bytestring::ByteString;
use serde::ser::{Serialize, SerializeSeq};

use crate::{args::Args, binary::Binary};

/// Arguments of an event or an ack.
///
/// | value | arguments |
/// |---|---|
/// | `()` | none |
/// | a tuple of one to eight | one per element |
/// | a reference | one: whatever it refers to, tuples, slices and strings included |
/// | a number, string, `bool`, `Vec`, array, `Option`, `Bytes`, [`Binary`], `serde_json::Value` by value | one |
/// | [`Args`] | those that were received, attachments included |
///
/// ```
/// use sockeye_socketio::{EventArgs, encode_event};
///
/// fn text(args: impl EventArgs) -> String {
///     let mut out = Vec::new();
///     encode_event(&mut out, &mut Vec::new(), "/", None, "e", &args).expect("plain data");
///     String::from_utf8(out).expect("JSON is UTF-8")
/// }
///
/// assert_eq!(text(()), r#"2["e"]"#);
/// assert_eq!(text("a"), r#"2["e","a"]"#);
/// assert_eq!(text(("a", 1, [true])), r#"2["e","a",1,[true]]"#);
/// assert_eq!(text(&("a", 1)), r#"2["e",["a",1]]"#);
/// assert_eq!(text(vec![1, 2]), r#"2["e",[1,2]]"#);
/// assert_eq!(text(None::<u8>), r#"2["e",null]"#);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a list of event arguments",
    label = "cannot be emitted as it is",
    note = "pass a reference for one argument or a tuple for several; the values must implement `serde::Serialize`"
)]
pub trait EventArgs {
    /// Adds each argument to `seq`.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error>;

    /// Attachments for placeholders that the arguments already contain as data, numbered from 0.
    #[doc(hidden)]
    fn raw_attachments(&self) -> &[Bytes] {
        &[]
    }
}

impl EventArgs for () {
    fn serialize_args<S: SerializeSeq>(&self, _seq: &mut S) -> Result<(), S::Error> {
        Ok(())
    }
}

impl<T: Serialize + ?Sized> EventArgs for &T {
    #[inline]
    fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
        seq.serialize_element(*self)
    }
}

macro_rules! tuples {
    ($($($name:ident)+;)*) => {
        $(impl<$($name: Serialize),+> EventArgs for ($($name,)+) {
            #[inline]
            fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
                #[allow(non_snake_case, reason = "the names of the type parameters serve for the values")]
                let ($($name,)+) = self;
                $(seq.serialize_element($name)?;)+
                Ok(())
            }
        })*
    };
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
}

macro_rules! single {
    ($([$($generics:tt)*] $type:ty;)*) => {
        $(impl<$($generics)*> EventArgs for $type {
            #[inline]
            fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
                seq.serialize_element(self)
            }
        })*
    };
}

single! {
    [] bool;
    [] char;
    [] i8;
    [] i16;
    [] i32;
    [] i64;
    [] i128;
    [] isize;
    [] u8;
    [] u16;
    [] u32;
    [] u64;
    [] u128;
    [] usize;
    [] f32;
    [] f64;
    [] String;
    [] Binary;
    [] serde_json::Value;
    ['a] Cow<'a, str>;
    [T: Serialize] Vec<T>;
    [T: Serialize] Option<T>;
    [T: Serialize + ?Sized] Box<T>;
}

impl<T, const N: usize> EventArgs for [T; N]
where
    Self: Serialize,
{
    #[inline]
    fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
        seq.serialize_element(self)
    }
}

impl EventArgs for ByteString {
    /// As its text: without the feature `std` it does not implement `Serialize` itself.
    #[inline]
    fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
        seq.serialize_element::<str>(self)
    }
}

impl EventArgs for Bytes {
    /// Without a copy, unlike `Bytes` within other values; there, use [`Binary`].
    fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
        seq.serialize_element(&Binary(self.clone()))
    }
}

impl EventArgs for Args<'_> {
    fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
        self.serialize_to(seq)
    }

    fn raw_attachments(&self) -> &[Bytes] {
        self.attachments()
    }
}
