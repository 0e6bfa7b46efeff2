//! Values that are no packets, such as what servers of a cluster say to each other.

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::Error as _};

use super::{reader::Reader, ser::Writer};
use crate::error::{ArgsError, EncodeError};

/// Encodes one value of any type: structs as maps with their fields' names, [`Binary`](crate::Binary) as bytes.
///
/// ```
/// use sockeye_socketio::{Binary, msgpack};
///
/// let message = msgpack::to_vec(&("a", Binary::from(&b"\x89P"[..])))?;
/// assert_eq!(message, b"\x92\xa1a\xc4\x02\x89P");
/// # Ok::<(), sockeye_socketio::EncodeError>(())
/// ```
///
/// # Errors
///
/// [`EncodeError::Json`] when the value cannot be serialized.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(128);
    value.serialize(&mut Writer { out: &mut out, raw_attachments: &[] })?;
    Ok(out)
}

/// Decodes a message that is one value, and nothing more.
///
/// It is checked first: the format, that texts are UTF-8, that it is nested no deeper than 127 levels. [`Binary`](crate::Binary) shares
/// the memory of the message, with the feature `std`. Dates are read from both forms that encoders for JavaScript give them: extension 0 of 8 bytes, and
/// the timestamp of the format's own, extension -1.
///
/// ```
/// use sockeye_socketio::msgpack;
///
/// let message = bytes::Bytes::from_static(b"\x92\xa1a\x07");
/// assert_eq!(msgpack::from_bytes::<(&str, u8)>(&message)?, ("a", 7));
/// # Ok::<(), sockeye_socketio::ArgsError>(())
/// ```
///
/// # Errors
///
/// [`ArgsError::Protocol`] when it is not msgpack, [`ArgsError::Data`] when it is of another type.
pub fn from_bytes<'a, T: Deserialize<'a>>(message: &'a Bytes) -> Result<T, ArgsError> {
    let mut reader = Reader::with_timestamps(message);
    let mut ahead = reader;
    ahead.check().map_err(ArgsError::Protocol)?;
    if ahead.len() > 0 {
        return Err(ArgsError::Protocol(ahead.invalid()));
    }
    let value = T::deserialize(&mut reader).map_err(ArgsError::Data)?;
    if reader.len() > 0 {
        return Err(ArgsError::Data(serde_json::Error::custom("more elements than expected")));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Binary;
    use alloc::{boxed::Box, collections::BTreeMap, string::String, vec};
    use serde_json::value::RawValue;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Message {
        uid: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u8>,
        bytes: Binary,
    }

    #[test]
    fn value_is_read_as_it_was_written() {
        for id in [None, Some(7)] {
            let value = vec![Message { uid: "é".into(), id, bytes: Binary::from(vec![0, 255]) }];
            let message = Bytes::from(to_vec(&value).unwrap());
            let read: Vec<Message> = from_bytes(&message).unwrap();
            assert_eq!(read, value);
            // Errors have a source to carry shared bytes in with std only.
            #[cfg(feature = "std")]
            assert!(message.as_ptr_range().contains(&read[0].bytes.as_ptr()), "shares the memory");
        }
        let raw: Box<RawValue> = RawValue::from_string(r#"{"a":[1,null,"x"]}"#.into()).unwrap();
        let message = Bytes::from(to_vec(&raw).unwrap());
        assert_eq!(from_bytes::<Box<RawValue>>(&message).unwrap().get(), raw.get());
    }

    #[test]
    fn dates_of_all_encoders_are_the_text_that_json_has() {
        for bytes in [
            &b"\xd7\x00\x00\x00\x01\xa2\x0d\x5b\x0c\x7b"[..],
            b"\xd6\xff\x6a\x45\xe4\x88",
            b"\xd7\xff\x1d\x54\xc6\x00\x6a\x45\xe4\x88",
            b"\xc7\x0c\xff\x07\x55\x31\x80\x00\x00\x00\x00\x6a\x45\xe4\x88",
        ] {
            let message = Bytes::copy_from_slice(bytes);
            let text: String = from_bytes(&message).unwrap();
            assert!(text.len() == 24 && text.ends_with('Z'), "{text}");
        }
        let message = Bytes::from_static(b"\xd7\xff\x1d\x54\xc6\x00\x6a\x45\xe4\x88");
        assert_eq!(from_bytes::<String>(&message).unwrap(), "2026-07-02T04:09:44.123Z");
        let message = Bytes::from_static(b"\xc7\x0c\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
        assert_eq!(from_bytes::<String>(&message).unwrap(), "1969-12-31T23:59:59.000Z");
        let message = Bytes::from_static(b"\xc7\x0c\xff\0\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
        assert_eq!(from_bytes::<serde_json::Value>(&message).unwrap(), serde_json::Value::Null);
    }

    #[test]
    fn what_is_no_value_is_an_error() {
        let deep = [0x91].repeat(100_000);
        for bytes in
            [&b""[..], b"\xc1", b"\x92\x01", b"\x01\x02", b"\xa1\xff", b"\xdd\xff\xff\xff\xff\x01", &deep]
        {
            let message = Bytes::copy_from_slice(bytes);
            assert!(
                from_bytes::<serde::de::IgnoredAny>(&message).is_err(),
                "{:x?}",
                &bytes[..bytes.len().min(8)]
            );
        }
        let message = Bytes::from_static(b"\x81\xa1a\x01");
        assert!(from_bytes::<Vec<u8>>(&message).is_err());
        assert_eq!(from_bytes::<BTreeMap<&str, u8>>(&message).unwrap(), BTreeMap::from([("a", 1)]));
    }
}
