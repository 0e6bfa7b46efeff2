//! One value after the other out of a message; the format itself.
//!
//! ```text
//! 93 a3 61 64 64 01 02        array of 3: "add", 1, 2
//! └┘ └─────────┘ └┘ └┘
//! ```
//!
//! Nothing is allocated, and a length that the message does not have is an error before anything is done with it.

use core::ops::Range;

use bytes::Bytes;

use crate::{error::DecodeError, json::MAX_DEPTH};

/// The type of extension that JavaScript's encoder uses for what the format lacks.
const JAVASCRIPT: i8 = 0;

/// The type of extension that the format has for moments.
const TIMESTAMP: i8 = -1;

/// What stands at one place of a message. Arrays and maps are only announced: their elements follow.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    Nil,
    /// JavaScript's `undefined`, an extension.
    Undefined,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// Where the text is; it need not be UTF-8.
    Str(Range<usize>),
    /// Where the bytes are. JavaScript's `ArrayBuffer` and typed arrays come as an extension, and mean the same.
    Bin(Range<usize>),
    /// How many elements follow.
    Array(usize),
    /// How many keys with their values follow.
    Map(usize),
    /// JavaScript's `Date`, an extension: milliseconds since 1970.
    Date(i64),
    /// Any other extension.
    Ext(i8, Range<usize>),
}

impl Token {
    /// Whether it is a whole value of which text can be made, as JavaScript does of keys.
    const fn is_scalar(&self) -> bool {
        matches!(
            self,
            Self::Nil | Self::Bool(_) | Self::Unsigned(_) | Self::Signed(_) | Self::Float(_) | Self::Str(_)
        )
    }
}

/// A place in a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    message: &'a Bytes,
    at: usize,
    end: usize,
    /// Whether extension -1 is a date; to the parser of the clients it is one that nobody knows.
    timestamps: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(message: &'a Bytes) -> Self {
        Self { message, at: 0, end: message.len(), timestamps: false }
    }

    /// As [`new`](Self::new), where dates may come as the format's own timestamps.
    pub(super) fn with_timestamps(message: &'a Bytes) -> Self {
        Self { timestamps: true, ..Self::new(message) }
    }

    /// Only what `range` covers, which lies within the message.
    pub(crate) const fn within(message: &'a Bytes, range: Range<usize>) -> Self {
        Self { message, at: range.start, end: range.end, timestamps: false }
    }

    pub(crate) const fn message(&self) -> &'a Bytes {
        self.message
    }

    /// The index of the next byte.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// What is left, sharing the memory of the message.
    pub(crate) fn rest(&self) -> Bytes {
        self.share(self.at..self.end)
    }

    /// How many bytes are left.
    pub(crate) const fn len(&self) -> usize {
        self.end - self.at
    }

    pub(crate) const fn invalid(&self) -> DecodeError {
        DecodeError::InvalidMsgPack { offset: self.at }
    }

    /// The bytes at a place that a token named.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &'a [u8] {
        self.message.get(range).unwrap_or_default()
    }

    /// The text at a place that a token named.
    pub(crate) fn text(&self, range: Range<usize>) -> Result<&'a str, DecodeError> {
        let offset = range.start;
        core::str::from_utf8(self.bytes(range)).map_err(|_| DecodeError::InvalidMsgPack { offset })
    }

    /// The bytes at a place that a token named, sharing the memory of the message.
    pub(crate) fn share(&self, range: Range<usize>) -> Bytes {
        if range.end > self.message.len() { Bytes::new() } else { self.message.slice(range) }
    }

    /// Reads what comes next: a whole value, or the announcement of an array or a map.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Token, DecodeError> {
        let &marker = self.message[..self.end].get(self.at).ok_or(self.invalid())?;
        self.at += 1;
        match marker {
            0x00..=0x7f => Ok(Token::Unsigned(u64::from(marker))),
            0x80..=0x8f => Ok(Token::Map(usize::from(marker & 0x0f))),
            0x90..=0x9f => Ok(Token::Array(usize::from(marker & 0x0f))),
            0xa0..=0xbf => self.take(usize::from(marker & 0x1f)).map(Token::Str),
            0xe0..=0xff => Ok(Token::Signed(i64::from(i8::from_be_bytes([marker])))),
            _ => self.long(marker),
        }
    }

    /// Reads the rest of a value whose first byte says less than all.
    fn long(&mut self, marker: u8) -> Result<Token, DecodeError> {
        Ok(match marker {
            0xc0 => Token::Nil,
            0xc2 => Token::Bool(false),
            0xc3 => Token::Bool(true),
            0xc4..=0xc6 => Token::Bin(self.take_long(marker - 0xc4)?),
            0xc7..=0xc9 => {
                let len = self.length(marker - 0xc7)?;
                let [ext_type] = self.fixed()?;
                match (i8::from_be_bytes([ext_type]), self.take(len)?) {
                    (JAVASCRIPT, range) => Token::Bin(range),
                    (ext_type, range) => self.extension(ext_type, range),
                }
            }
            0xca => Token::Float(f64::from(f32::from_be_bytes(self.fixed()?))),
            0xcb => Token::Float(f64::from_be_bytes(self.fixed()?)),
            0xcc => Token::Unsigned(u64::from(u8::from_be_bytes(self.fixed()?))),
            0xcd => Token::Unsigned(u64::from(u16::from_be_bytes(self.fixed()?))),
            0xce => Token::Unsigned(u64::from(u32::from_be_bytes(self.fixed()?))),
            0xcf => Token::Unsigned(u64::from_be_bytes(self.fixed()?)),
            0xd0 => Token::Signed(i64::from(i8::from_be_bytes(self.fixed()?))),
            0xd1 => Token::Signed(i64::from(i16::from_be_bytes(self.fixed()?))),
            0xd2 => Token::Signed(i64::from(i32::from_be_bytes(self.fixed()?))),
            0xd3 => Token::Signed(i64::from_be_bytes(self.fixed()?)),
            0xd4..=0xd8 => return self.fixed_ext(1 << (marker - 0xd4)),
            0xd9..=0xdb => Token::Str(self.take_long(marker - 0xd9)?),
            0xdc | 0xdd => Token::Array(self.length(marker - 0xdc + 1)?),
            0xde | 0xdf => Token::Map(self.length(marker - 0xde + 1)?),
            // 0xc1 is the only byte that never begins a value.
            _ => {
                self.at -= 1;
                return Err(self.invalid());
            }
        })
    }

    fn fixed_ext(&mut self, len: usize) -> Result<Token, DecodeError> {
        let [ext_type] = self.fixed()?;
        let mut payload = *self;
        let range = self.take(len)?;
        Ok(match (i8::from_be_bytes([ext_type]), len) {
            (JAVASCRIPT, 1) => Token::Undefined,
            (JAVASCRIPT, 8) => Token::Date(i64::from_be_bytes(payload.fixed()?)),
            (ext_type, _) => self.extension(ext_type, range),
        })
    }

    /// An extension that is not JavaScript's own.
    fn extension(&self, ext_type: i8, range: Range<usize>) -> Token {
        let millis = match (self.timestamps, ext_type) {
            (true, TIMESTAMP) => timestamp(self.bytes(range.clone())),
            _ => None,
        };
        millis.map_or(Token::Ext(ext_type, range), Token::Date)
    }

    /// A length of 1, 2 or 4 bytes, and as many bytes.
    fn take_long(&mut self, width: u8) -> Result<Range<usize>, DecodeError> {
        let len = self.length(width)?;
        self.take(len)
    }

    /// A length of 1, 2 or 4 bytes, as its `width` of 0, 1 or 2 tells.
    fn length(&mut self, width: u8) -> Result<usize, DecodeError> {
        Ok(match width {
            0 => usize::from(u8::from_be_bytes(self.fixed()?)),
            1 => usize::from(u16::from_be_bytes(self.fixed()?)),
            _ => usize::try_from(u32::from_be_bytes(self.fixed()?)).map_err(|_| self.invalid())?,
        })
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.message[..self.end].get(self.at..).and_then(<[u8]>::first_chunk);
        let bytes = *bytes.ok_or(self.invalid())?;
        self.at += N;
        Ok(bytes)
    }

    fn take(&mut self, len: usize) -> Result<Range<usize>, DecodeError> {
        if len > self.len() {
            return Err(self.invalid());
        }
        let start = self.at;
        self.at += len;
        Ok(start..self.at)
    }

    /// Passes over one value that was checked.
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        self.walk(MAX_DEPTH, &|_, _| Ok(()))
    }

    /// Passes over one value and checks it: nested no deeper than JSON may be, its texts UTF-8, its keys such that text can be
    /// made of them.
    ///
    /// Linear, although an array may claim any length: every element takes a byte at least.
    pub(crate) fn check(&mut self) -> Result<(), DecodeError> {
        self.walk(MAX_DEPTH, &|reader, token| match token {
            Token::Str(range) => reader.text(range.clone()).map(|_| ()),
            _ => Ok(()),
        })
    }

    /// Hands every token to `check`, the innermost as well.
    fn walk(
        &mut self,
        depth: usize,
        check: &impl Fn(&Self, &Token) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let token = self.next()?;
        check(self, &token)?;
        let (Token::Array(count) | Token::Map(count)) = token else { return Ok(()) };
        let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep { max: MAX_DEPTH })?;
        for _ in 0..count {
            if matches!(token, Token::Map(_)) {
                let key = self.next()?;
                if !key.is_scalar() {
                    return Err(self.invalid());
                }
                check(self, &key)?;
            }
            self.walk(depth, check)?;
        }
        Ok(())
    }
}

/// The milliseconds of a timestamp: seconds in 4 bytes, nanoseconds and seconds in 30 and 34 bits, or in 4 and 8 bytes. Seconds
/// that do not fit are a moment that no date can name.
fn timestamp(bytes: &[u8]) -> Option<i64> {
    let (seconds, nanos) = if let Ok(bytes) = bytes.try_into() {
        (i64::from(u32::from_be_bytes(bytes)), 0)
    } else if let Ok(bytes) = bytes.try_into() {
        let both = u64::from_be_bytes(bytes);
        ((both & ((1 << 34) - 1)).cast_signed(), u32::try_from(both >> 34).ok()?)
    } else {
        let (nanos, seconds) = bytes.split_first_chunk()?;
        (i64::from_be_bytes(seconds.try_into().ok()?), u32::from_be_bytes(*nanos))
    };
    Some(seconds.saturating_mul(1000).saturating_add(i64::from(nanos / 1_000_000)))
}

/// A float that is a whole number, as far as floats name all of those.
#[allow(clippy::cast_possible_truncation, reason = "the value was compared with the bounds")]
#[allow(clippy::cast_precision_loss, clippy::float_cmp, reason = "whether it is whole is asked exactly")]
pub(super) fn whole(value: f64) -> Option<i64> {
    const EXACT: f64 = (1_u64 << 53) as f64;
    let truncated = value as i64;
    ((-EXACT..=EXACT).contains(&value) && truncated as f64 == value).then_some(truncated)
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<Token>, DecodeError> {
        let message = Bytes::copy_from_slice(bytes);
        let mut reader = Reader::new(&message);
        let mut tokens = Vec::new();
        while reader.len() > 0 {
            tokens.push(reader.next()?);
        }
        Ok(tokens)
    }

    #[test]
    fn every_kind_of_value_is_read() {
        for (bytes, token) in [
            (&[0x7f][..], Token::Unsigned(127)),
            (&[0xe0], Token::Signed(-32)),
            (&[0xc0], Token::Nil),
            (&[0xc2], Token::Bool(false)),
            (&[0xc3], Token::Bool(true)),
            (&[0xcc, 0xff], Token::Unsigned(255)),
            (&[0xcd, 1, 0], Token::Unsigned(256)),
            (&[0xce, 1, 0, 0, 0], Token::Unsigned(1 << 24)),
            (&[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Token::Unsigned(u64::MAX)),
            (&[0xd0, 0x80], Token::Signed(-128)),
            (&[0xd1, 0x80, 0], Token::Signed(-32768)),
            (&[0xd2, 0x80, 0, 0, 0], Token::Signed(i64::from(i32::MIN))),
            (&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], Token::Signed(i64::MIN)),
            (&[0xca, 0x3f, 0x80, 0, 0], Token::Float(1.0)),
            (&[0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0], Token::Float(1.0)),
            (&[0xa1, b'a'], Token::Str(1..2)),
            (&[0xd9, 1, b'a'], Token::Str(2..3)),
            (&[0xda, 0, 1, b'a'], Token::Str(3..4)),
            (&[0xdb, 0, 0, 0, 1, b'a'], Token::Str(5..6)),
            (&[0xc4, 1, 9], Token::Bin(2..3)),
            (&[0xc5, 0, 1, 9], Token::Bin(3..4)),
            (&[0xc6, 0, 0, 0, 1, 9], Token::Bin(5..6)),
            (&[0xdc, 0, 7], Token::Array(7)),
            (&[0xdd, 0, 0, 0, 7], Token::Array(7)),
            (&[0xde, 0, 7], Token::Map(7)),
            (&[0xdf, 0, 0, 0, 7], Token::Map(7)),
        ] {
            assert_eq!(read(bytes), Ok(vec![token]), "{bytes:x?}");
        }
    }

    #[test]
    fn what_javascript_sends_as_extensions_is_understood() {
        for (bytes, token) in [
            (&[0xd4, 0, 0][..], Token::Undefined),
            (&[0xd7, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Token::Date(-1)),
            (&[0xc7, 1, 0, 9], Token::Bin(3..4)),
            (&[0xc7, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8], Token::Bin(3..11)),
            (&[0xc8, 0, 1, 0, 9], Token::Bin(4..5)),
            (&[0xc9, 0, 0, 0, 1, 0, 9], Token::Bin(6..7)),
            (&[0xd4, 1, 9], Token::Ext(1, 2..3)),
            (&[0xd5, 0, 9, 9], Token::Ext(0, 2..4)),
            (&[0xd6, 0xff, 0, 0, 0, 1], Token::Ext(-1, 2..6)),
            (&[0xc7, 0, 5], Token::Ext(5, 3..3)),
        ] {
            assert_eq!(read(bytes), Ok(vec![token]), "{bytes:x?}");
        }
        assert_eq!(read(&[[0xd8, 7].as_slice(), &[0; 16]].concat()), Ok(vec![Token::Ext(7, 2..18)]));
    }

    #[test]
    fn a_length_that_the_message_does_not_have_is_an_error() {
        for (head, len) in [
            (&[0xa4][..], 4),
            (&[0xd9, 4], 4),
            (&[0xda, 0, 4], 4),
            (&[0xdb, 0, 0, 0, 4], 4),
            (&[0xc4, 4], 4),
            (&[0xc5, 0, 4], 4),
            (&[0xc6, 0, 0, 0, 4], 4),
            (&[0xc7, 4, 0], 4),
            (&[0xc8, 0, 4, 0], 4),
            (&[0xc9, 0, 0, 0, 4, 0], 4),
            (&[0xd4, 0], 1),
            (&[0xd7, 0], 8),
            (&[0xd8, 1], 16),
            (&[0xcc], 1),
            (&[0xd1], 2),
            (&[0xca], 4),
            (&[0xcf], 8),
            (&[0xdd], 4),
        ] {
            let bytes = [head, &vec![0; len]].concat();
            assert_eq!(read(&bytes).map(|tokens| tokens.len()), Ok(1));
            for len in 1..bytes.len() {
                let result = read(&bytes[..len]);
                assert!(matches!(result, Err(DecodeError::InvalidMsgPack { .. })), "{bytes:x?} {result:?}");
            }
        }
        assert!(read(&[0xdb, 0xff, 0xff, 0xff, 0xff, 0]).is_err());
        assert_eq!(read(&[0xc1]), Err(DecodeError::InvalidMsgPack { offset: 0 }));
        assert_eq!(read(&[0xc0, 0xc1]), Err(DecodeError::InvalidMsgPack { offset: 1 }));
    }

    #[test]
    fn an_array_of_four_billion_elements_ends_where_the_message_does() {
        for bytes in [&[0xdd, 0xff, 0xff, 0xff, 0xff, 1, 2][..], &[0xdf, 0xff, 0xff, 0xff, 0xff, 1, 2]] {
            let message = Bytes::copy_from_slice(bytes);
            assert_eq!(Reader::new(&message).skip(), Err(DecodeError::InvalidMsgPack { offset: 7 }));
        }
    }

    #[test]
    fn nesting_is_bounded_where_that_of_json_is() {
        for (open, close) in [(&[0x91][..], 0xc0), (&[0x81, 0xc0][..], 0xc0)] {
            for (depth, expected) in
                [(MAX_DEPTH, Ok(())), (MAX_DEPTH + 1, Err(DecodeError::TooDeep { max: MAX_DEPTH }))]
            {
                let mut bytes = open.repeat(depth);
                bytes.push(close);
                let message = Bytes::from(bytes);
                assert_eq!(Reader::new(&message).skip(), expected);
                assert_eq!(Reader::new(&message).check(), expected);
            }
            let message = Bytes::from(open.repeat(100_000));
            assert_eq!(Reader::new(&message).skip(), Err(DecodeError::TooDeep { max: MAX_DEPTH }));
        }
    }

    #[test]
    fn text_that_is_not_utf8_and_keys_that_are_not_text_are_errors() {
        for (bytes, offset) in [
            (&[0x91, 0xa1, 0xff][..], 2),
            (&[0x81, 0xa1, 0xff, 0xc0], 2),
            (&[0x81, 0x90, 0xc0], 2),
            (&[0x81, 0xc4, 0, 0xc0], 3),
            (&[0x81, 0xd4, 0, 0, 0xc0], 4),
        ] {
            let message = Bytes::copy_from_slice(bytes);
            assert_eq!(
                Reader::new(&message).check(),
                Err(DecodeError::InvalidMsgPack { offset }),
                "{bytes:x?}"
            );
        }
        let message = Bytes::from_static(&[0x85, 0xc0, 1, 0xc3, 1, 7, 1, 0xff, 1, 0xa1, b'a', 1]);
        assert_eq!(Reader::new(&message).check(), Ok(()));
    }
}
