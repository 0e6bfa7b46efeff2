//! The arguments of an event or an ack, read once and straight into the handler's types.
//!
//! ```text
//! ["upload",{"name":"a"},{"_placeholder":true,"num":0}]     attachments: [<89 50 4e 47 …>]
//!  └ name   └ 0          └ 1 ─────────────────────────────────────────────┘
//! ```
//!
//! The whole array goes through serde_json's own deserializer, or elements of a msgpack message through that of this crate; a
//! thin layer in front of the target type skips the name, makes missing arguments read like `null`, and passes over surplus
//! ones, so that nothing stays unchecked.

use alloc::{borrow::Cow, string::String, vec::Vec};
use core::{cell::Cell, fmt, marker::PhantomData};

use bytes::Bytes;
use serde::{
    de::{
        Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, IntoDeserializer, SeqAccess, Visitor,
        value::{BorrowedStrDeserializer, UnitDeserializer},
    },
    forward_to_deserialize_any,
    ser::SerializeSeq,
};
use serde_json::value::RawValue;

use crate::{
    attach::Attached,
    encode::encode_args,
    error::{ArgsError, DecodeError},
    json,
    msgpack::{Arguments, Reader, visit_seq},
    placeholder,
};

/// Arguments, unread.
///
/// Reading checks the syntax of all of them, those included that nobody asked for.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    form: Form<'a>,
    attachments: &'a [Bytes],
}

#[derive(Clone, Copy)]
enum Form<'a> {
    Json(Array<'a>),
    /// So many elements, which were checked when the packet was decoded.
    MsgPack(Reader<'a>, usize),
}

/// Arguments as JSON.
#[derive(Clone, Copy)]
struct Array<'a> {
    /// The whole array, the name of the event included, possibly with white space behind it.
    text: &'a str,
    /// Where the array goes on behind its opening bracket, or behind the name of the event.
    start: usize,
    /// Whether the first element of the array is the name of the event.
    named: bool,
}

impl<'a> Args<'a> {
    /// The arguments that a JSON array holds, as in the payload of an ack; empty text holds none.
    ///
    /// ```
    /// let args = sockeye_socketio::Args::from_array("[1,2]")?;
    /// assert_eq!(args.all::<Vec<u32>>()?, [1, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DecodeError::InvalidJson`] when the text is not in brackets. What is between them is looked at when it is read.
    pub fn from_array(json: &'a str) -> Result<Self, DecodeError> {
        if json.is_empty() {
            return Ok(Self::default());
        }
        if !json.starts_with('[') || json.len() < 2 || !json::trim_end(json).ends_with(']') {
            return Err(DecodeError::InvalidJson { line: 1, column: 1 });
        }
        Ok(Self::of_array(json))
    }

    /// The arguments that a text in brackets holds.
    pub(crate) const fn of_array(json: &'a str) -> Self {
        Self { form: Form::Json(Array { text: json, start: 1, named: false }), attachments: &[] }
    }

    /// The arguments behind the name, which ends at the index `start` of the payload `array`; they [follow](Self::follow) it.
    #[inline]
    pub(crate) const fn after_name(array: &'a str, start: usize) -> Self {
        Self { form: Form::Json(Array { text: array, start, named: true }), attachments: &[] }
    }

    /// So many arguments of a msgpack message, which are what `reader` comes to next.
    pub(crate) const fn from_msgpack(reader: Reader<'a>, count: usize) -> Self {
        Self { form: Form::MsgPack(reader, count), attachments: &[] }
    }

    /// Whether the array goes on, or ends, behind the name, which ends at the index `start`.
    #[inline]
    pub(crate) fn follow(array: &str, start: usize) -> bool {
        let bytes = array.as_bytes();
        let next = json::skip_whitespace(bytes, start);
        match bytes.get(next) {
            Some(b',') => json::last_byte(bytes) == Some(b']'),
            Some(b']') => json::skip_whitespace(bytes, next + 1) == bytes.len(),
            _ => false,
        }
    }

    /// The same arguments, with the attachments that their placeholders stand for.
    ///
    /// Types that ask for bytes then get an attachment where the text has a placeholder: [`Binary`](crate::Binary) shares its
    /// memory, `&[u8]` borrows it, [`Bytes`] and other owned types copy it once; so does `Vec<u8>`, although it asks for a
    /// sequence. Untagged enums and flattened structs get bytes as well. [`serde_json::Value`], which has no bytes,
    /// and [`RawValue`] keep the placeholder.
    ///
    /// Placeholders must begin with the key `_placeholder` where the target type describes itself (untagged, flattened,
    /// `Value`); the official encoders write them so, and the [`Assembler`](crate::Assembler) rewrites the others.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use sockeye_socketio::{Binary, Limits, Packet};
    ///
    /// let text = r#"51-["upload","a.png",{"_placeholder":true,"num":0}]"#;
    /// let attachments = [Bytes::from_static(b"\x89PNG")];
    /// let event = Packet::decode(text, &Limits::default())?.event()?;
    /// let (name, image): (&str, Binary) = event.args.with_attachments(&attachments).all()?;
    /// assert_eq!((name, &image[..]), ("a.png", &b"\x89PNG"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn with_attachments(self, attachments: &'a [Bytes]) -> Self {
        Self { attachments, ..self }
    }

    /// The attachments, when there are any; none of a msgpack message, where bytes stand within the arguments.
    #[must_use]
    pub const fn attachments(&self) -> &'a [Bytes] {
        self.attachments
    }

    /// The raw JSON text of the arguments: separated by commas, without brackets, without the name of the event.
    ///
    /// Placeholders stand here as they came. It is made when the arguments came as msgpack, see [`to_text`](Self::to_text).
    ///
    /// ```
    /// use sockeye_socketio::{Limits, Packet};
    ///
    /// let event = Packet::decode(r#"2["move",{"x":1},2]"#, &Limits::default())?.event()?;
    /// assert_eq!(event.args.json(), r#"{"x":1},2"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn json(&self) -> Cow<'a, str> {
        match self.form {
            Form::Json(array) => Cow::Borrowed(array.elements()),
            Form::MsgPack(..) => {
                let (array, _) = self.to_text();
                Cow::Owned(array[1..array.len() - 1].into())
            }
        }
    }

    /// The arguments as a JSON array and its attachments, in whatever form they came: for storage, and for others that know
    /// the text form only. [`from_array`](Self::from_array) and [`with_attachments`](Self::with_attachments) bring them back.
    ///
    /// Of a msgpack message, bytes become attachments that share its memory, `undefined` becomes `null`, and dates their text.
    /// Of JSON, syntax is not checked.
    ///
    /// ```
    /// use sockeye_socketio::{Limits, msgpack};
    ///
    /// let message = bytes::Bytes::from_static(b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa5image\xc4\x02\x89P");
    /// let packet = msgpack::Packet::decode(&message, &Limits::default())?;
    /// let (array, attachments) = packet.event()?.args.to_text();
    /// assert_eq!(array, r#"[{"_placeholder":true,"num":0}]"#);
    /// assert_eq!(attachments, [&b"\x89P"[..]]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn to_text(&self) -> (String, Vec<Bytes>) {
        match self.form {
            Form::Json(array) => (["[", array.elements(), "]"].concat(), self.attachments.to_vec()),
            // What was decoded can be written as JSON: its texts are UTF-8, and its keys text.
            Form::MsgPack(..) => encode_args(self).unwrap_or_else(|_| ("[]".into(), Vec::new())),
        }
    }

    /// The elements of a msgpack message and their count, if that is the form.
    pub(crate) fn msgpack(&self) -> Option<(Bytes, usize)> {
        match self.form {
            Form::Json(_) => None,
            Form::MsgPack(reader, count) => Some((reader.rest(), count)),
        }
    }

    /// Whether there is no argument.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self.form {
            Form::Json(Array { text, start, .. }) => {
                let bytes = text.as_bytes();
                bytes.get(json::skip_whitespace(bytes, start)) == Some(&b']')
            }
            Form::MsgPack(_, count) => count == 0,
        }
    }

    /// Reads the first argument, and passes over the others.
    ///
    /// A missing one reads like `null`: `Option` becomes `None`, and `()` is fine.
    ///
    /// ```
    /// use sockeye_socketio::{Limits, Packet};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Move<'a> { player: &'a str, x: i32 }
    ///
    /// let event = Packet::decode(r#"2["move",{"player":"ann","x":1}]"#, &Limits::default())?.event()?;
    /// let Move { player, x } = event.args.first()?;
    /// assert_eq!((player, x), ("ann", 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ArgsError::Protocol`] when any argument is broken JSON, [`ArgsError::Missing`] when there is none,
    /// [`ArgsError::Data`] when it is of another type.
    pub fn first<T: Deserialize<'a>>(&self) -> Result<T, ArgsError> {
        // The most common case needs no parser. What wants more than a text, such as an `Option`, refuses it here.
        if let Some(text) = self.sole_text()
            && let Ok(first) = T::deserialize(BorrowedStrDeserializer::<Refused>::new(text))
        {
            return Ok(first);
        }
        self.all::<(T,)>().map(|(first,)| first)
    }

    /// The only argument, if it is a string without escapes: the array ends behind it.
    #[inline]
    fn sole_text(&self) -> Option<&'a str> {
        let Form::Json(Array { text, start, named }) = self.form else { return None };
        let rest = text.get(start..)?;
        let literal = if named { rest.strip_prefix(',')? } else { rest };
        let text = literal.strip_prefix('"')?.strip_suffix("\"]")?;
        (self.attachments.is_empty() && json::is_plain(text.as_bytes())).then_some(text)
    }

    /// Reads all arguments: into a tuple, an array or a struct, one per element or field, or into a `Vec`.
    ///
    /// As in JavaScript, surplus arguments are passed over, and missing ones read like `null`: trailing `Option`s become
    /// `None`.
    ///
    /// ```
    /// use sockeye_socketio::{Limits, Packet};
    ///
    /// let event = Packet::decode(r#"2["say","hello"]"#, &Limits::default())?.event()?;
    /// let (text, room): (&str, Option<&str>) = event.args.all()?;
    /// assert_eq!((text, room), ("hello", None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ArgsError::Protocol`] when any argument is broken JSON, [`ArgsError::Missing`] when there are too few,
    /// [`ArgsError::Data`] when one is of another type.
    pub fn all<T: Deserialize<'a>>(&self) -> Result<T, ArgsError> {
        let missing = Cell::new(None);
        T::deserialize(ArgsDeserializer { args: *self, missing: &missing })
            .map_err(|error| self.blame(error, missing.get()))
    }

    /// Checks what nobody reads: the syntax of all arguments, the depth of their nesting, and the placeholders when there are
    /// [attachments](Self::with_attachments). Those of a msgpack message were checked when it was decoded.
    ///
    /// # Errors
    ///
    /// [`DecodeError::InvalidJson`], [`DecodeError::TooDeep`] or [`DecodeError::InvalidPlaceholder`].
    pub fn validate(&self) -> Result<(), DecodeError> {
        if let Form::Json(Array { text, .. }) = self.form {
            json::validate(text)?;
            if !self.attachments.is_empty() {
                placeholder::normalize(text, self.attachments.len())?;
            }
        }
        Ok(())
    }

    /// Finds out who is to blame for an error: the peer, when the text is broken anywhere.
    ///
    /// What Rust cannot represent and JavaScript can (unpaired surrogates, `1e999`) is an error of serde_json's syntax, but
    /// none of the peer's.
    #[cold]
    fn blame(&self, error: serde_json::Error, missing: Option<usize>) -> ArgsError {
        match (self.validate(), missing) {
            (Err(error), _) => ArgsError::Protocol(error),
            (Ok(()), Some(index)) => ArgsError::Missing { index },
            (Ok(()), None) => ArgsError::Data(error),
        }
    }

    /// Passes each argument on as it stands.
    pub(crate) fn serialize_to<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
        match self.form {
            Form::Json(_) => self.for_each_json(|argument| seq.serialize_element(argument)),
            Form::MsgPack(reader, count) => {
                let arguments = Arguments::new(reader);
                (0..count).try_for_each(|_| seq.serialize_element(&arguments))
            }
        }
    }

    fn for_each_json<E: serde::ser::Error>(
        &self,
        pass: impl FnMut(&RawValue) -> Result<(), E>,
    ) -> Result<(), E> {
        struct ForEach<E, F>(F, Result<(), E>);

        impl<'de, E, F: FnMut(&RawValue) -> Result<(), E>> Visitor<'de> for &mut ForEach<E, F> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
                while let Some(argument) = seq.next_element::<&RawValue>()? {
                    if self.1.is_ok() {
                        self.1 = (self.0)(argument);
                    }
                }
                Ok(())
            }
        }

        let missing = Cell::new(None);
        // The raw text keeps its placeholders, so the attachments are left out.
        let arguments = ArgsDeserializer { args: self.with_attachments(&[]), missing: &missing };
        let mut visitor = ForEach(pass, Ok(()));
        arguments.deserialize_seq(&mut visitor).map_err(E::custom)?;
        visitor.1
    }
}

impl<'a> Array<'a> {
    /// The text of the elements behind the name, without brackets.
    fn elements(&self) -> &'a str {
        let elements = json::trim_end(&self.text[self.start..]);
        let elements = json::trim(elements.strip_suffix(']').unwrap_or(elements));
        json::trim(if self.named { elements.strip_prefix(',').unwrap_or(elements) } else { elements })
    }
}

impl Default for Args<'_> {
    /// No arguments.
    fn default() -> Self {
        Self::of_array("[]")
    }
}

impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Args")
            .field("json", &self.json())
            .field("attachments", &self.attachments.len())
            .finish()
    }
}

/// A type does not take a text as it is; nobody is told why.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not taken")
    }
}

impl core::error::Error for Refused {}

impl Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// The arguments as a sequence.
struct ArgsDeserializer<'a, 'c> {
    args: Args<'a>,
    /// The position of an argument that the type needs and the peer did not send.
    missing: &'c Cell<Option<usize>>,
}

impl<'a> ArgsDeserializer<'a, '_> {
    /// Lets `visitor` have the arguments; at least `len` of them, if that is given.
    fn read<V: Visitor<'a>>(self, visitor: V, len: Option<usize>) -> serde_json::Result<V::Value> {
        let Self { args: Args { form, attachments }, missing } = self;
        match form {
            Form::Json(Array { text, named, .. }) => {
                let mut json = serde_json::Deserializer::from_str(text);
                let surplus = Cell::new(false);
                let visitor = ArgsVisitor { visitor, len, named, attachments, missing, surplus: &surplus };
                let value = json.deserialize_seq(visitor)?;
                json.end()?;
                // serde_json bounds the depth of what is read, and not of what is passed over.
                if surplus.get() && json::check_depth(text).is_err() {
                    return Err(Error::custom("nested too deep"));
                }
                Ok(value)
            }
            Form::MsgPack(mut reader, count) => {
                let surplus = Cell::new(false);
                let visitor =
                    ArgsVisitor { visitor, len, named: false, attachments, missing, surplus: &surplus };
                visit_seq(&mut reader, count, visitor)
            }
        }
    }
}

impl<'a> Deserializer<'a> for ArgsDeserializer<'a, '_> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.read(visitor, None)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.args.is_empty() {
            self.read(Ignored, None)?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.read(Ignored, None)?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, len: usize, visitor: V) -> Result<V::Value, Self::Error> {
        self.read(visitor, Some(len))
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.read(visitor, Some(len))
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.read(visitor, Some(fields.len()))
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf seq map enum identifier
    }
}

/// Stands between the array and the visitor of the arguments' type.
struct ArgsVisitor<'a, 'c, V> {
    visitor: V,
    len: Option<usize>,
    named: bool,
    attachments: &'a [Bytes],
    missing: &'c Cell<Option<usize>>,
    /// Set when there are arguments that nobody reads.
    surplus: &'c Cell<bool>,
}

impl<'a, V: Visitor<'a>> Visitor<'a> for ArgsVisitor<'a, '_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<V::Value, A::Error> {
        if self.named {
            seq.next_element::<IgnoredAny>()?;
        }
        let value = self.visitor.visit_seq(ArgsSeq {
            seq: &mut seq,
            index: 0,
            len: self.len.unwrap_or(0),
            attachments: self.attachments,
            missing: self.missing,
        })?;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            self.surplus.set(true);
        }
        Ok(value)
    }
}

/// The arguments, followed by missing ones up to `len`.
struct ArgsSeq<'a, 's, A> {
    seq: &'s mut A,
    index: usize,
    len: usize,
    attachments: &'a [Bytes],
    missing: &'s Cell<Option<usize>>,
}

impl<'a, A: SeqAccess<'a>> SeqAccess<'a> for ArgsSeq<'a, '_, A> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        let mut seed = Some(seed);
        let index = self.index;
        self.index += 1;
        if let Some(value) =
            self.seq.next_element_seed(ArgSeed { seed: &mut seed, attachments: self.attachments })?
        {
            return Ok(Some(value));
        }
        match seed {
            Some(seed) if index < self.len => {
                let missing = Missing { index, missing: self.missing, error: PhantomData };
                seed.deserialize(missing).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        self.seq.size_hint()
    }
}

/// A seed that is still there when the sequence has no element for it.
struct ArgSeed<'a, 's, T> {
    seed: &'s mut Option<T>,
    attachments: &'a [Bytes],
}

impl<'a, T: DeserializeSeed<'a>> DeserializeSeed<'a> for ArgSeed<'a, '_, T> {
    type Value = T::Value;

    #[inline]
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<T::Value, D::Error> {
        let Some(seed) = self.seed.take() else { return Err(D::Error::custom("a seed was used twice")) };
        if self.attachments.is_empty() {
            seed.deserialize(deserializer)
        } else {
            seed.deserialize(Attached::new(deserializer, self.attachments))
        }
    }
}

/// An argument that was not sent: JavaScript's `undefined`.
struct Missing<'c, E> {
    index: usize,
    missing: &'c Cell<Option<usize>>,
    error: PhantomData<E>,
}

impl<E: Error> Missing<'_, E> {
    fn null(&self) -> UnitDeserializer<E> {
        ().into_deserializer()
    }

    /// Passes `result` on, and takes note when it is an error: a type that does not know `null` needed the argument.
    fn note<T>(&self, result: Result<T, E>) -> Result<T, E> {
        if result.is_err() {
            self.missing.set(Some(self.index));
        }
        result
    }
}

impl<'de, E: Error> Deserializer<'de> for Missing<'_, E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        self.note(self.null().deserialize_any(visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        self.note(visitor.visit_none())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, E> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// Reads nothing: all arguments are passed over.
struct Ignored;

impl<'de> Visitor<'de> for Ignored {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("arguments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
