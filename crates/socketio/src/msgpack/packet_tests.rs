//! Messages written by hand, as the official encoder and others write them.

use alloc::{borrow::ToOwned, boxed::Box, collections::BTreeMap, string::String, vec, vec::Vec};

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::*;
use crate::{Binary, msgpack::encode_event};

/// A packet of the official client: type, payload, options and namespace, in its order.
fn event(args: &[&[u8]]) -> Bytes {
    let count = u8::try_from(args.len()).unwrap();
    let mut message = b"\x84\xa4type\x02\xa4data".to_vec();
    message.push(0x91 + count);
    message.extend_from_slice(b"\xa1e");
    message.extend(args.concat());
    message.extend_from_slice(b"\xa7options\x81\xa8compress\xc3\xa3nsp\xa1/");
    message.into()
}

fn decode(message: &[u8]) -> Result<(), DecodeError> {
    let message = Bytes::copy_from_slice(message);
    let packet = Packet::decode(&message, &Limits::default())?;
    if packet.packet_type == PacketType::Event {
        packet.event()?;
    }
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(value: &[u8]) -> Result<T, ArgsError> {
    let message = event(&[value]);
    let packet = Packet::decode(&message, &Limits::default()).expect("the message is valid");
    packet.event().unwrap().args.first()
}

#[test]
fn event_of_the_official_client_is_read() {
    let message = event(&[b"\x07", b"\xa2hi"]);
    let packet = Packet::decode(&message, &Limits::default()).unwrap();
    assert_eq!((packet.packet_type, packet.namespace, packet.ack_id), (PacketType::Event, "/", None));
    let event = packet.event().unwrap();
    assert_eq!(event.name, "e");
    let all: (u8, &str) = event.args.all().unwrap();
    assert_eq!(all, (7, "hi"));
    assert_eq!(event.args.json(), r#"7,"hi""#);
    assert_eq!(event.args.all::<(u8,)>().unwrap(), (7,), "surplus arguments are passed over");
    let (_, _, third) = event.args.all::<(u8, &str, Option<u8>)>().unwrap();
    assert_eq!(third, None);
    assert!(matches!(event.args.all::<(u8, &str, u8)>(), Err(ArgsError::Missing { index: 2 })));
    assert!(matches!(event.args.first::<&str>(), Err(ArgsError::Data(_))));
    assert!(packet.ack().is_err());
}

#[test]
fn every_type_of_packet_is_read() {
    for (message, packet_type) in [
        (&b"\x82\xa4type\x00\xa3nsp\xa1/"[..], PacketType::Connect),
        (b"\x83\xa4type\x00\xa4data\xd4\x00\x00\xa3nsp\xa1/", PacketType::Connect),
        (b"\x83\xa4type\x00\xa4data\x81\xa1a\x01\xa3nsp\xa1/", PacketType::Connect),
        (b"\x82\xa4type\x01\xa3nsp\xa6/admin", PacketType::Disconnect),
        (b"\x84\xa4type\x03\xa4data\x90\xa2id\x07\xa3nsp\xa1/", PacketType::Ack),
        (b"\x83\xa4type\x04\xa4data\xa1x\xa3nsp\xa1/", PacketType::ConnectError),
        (
            b"\x83\xa4type\xcb\x40\x10\x00\x00\x00\x00\x00\x00\xa4data\x80\xa3nsp\xa1/",
            PacketType::ConnectError,
        ),
        (b"\x84\x07\x08\xa4type\xcc\x01\xa3nsp\xa1/\x90\x90", PacketType::Disconnect),
    ] {
        let message = Bytes::copy_from_slice(message);
        let packet = Packet::decode(&message, &Limits::default()).unwrap();
        assert_eq!(packet.packet_type, packet_type);
    }
}

#[test]
fn payloads_are_read_or_missing() {
    let message = Bytes::from_static(b"\x83\xa4type\x00\xa4data\x81\xa5token\xa1x\xa3nsp\xa1/");
    let packet = Packet::decode(&message, &Limits::default()).unwrap();
    assert_eq!(packet.payload::<BTreeMap<&str, &str>>().unwrap()["token"], "x");
    assert_eq!(packet.payload_json().unwrap(), r#"{"token":"x"}"#);
    let message = Bytes::from_static(b"\x82\xa4type\x00\xa3nsp\xa1/");
    let packet = Packet::decode(&message, &Limits::default()).unwrap();
    assert_eq!(packet.payload::<Option<Value>>().unwrap(), None);
    assert!(matches!(packet.payload::<Value>(), Ok(Value::Null)));
    assert!(matches!(packet.payload::<u8>(), Err(ArgsError::Missing { index: 0 })));
    assert_eq!(packet.payload_json().unwrap(), "");
}

#[test]
fn messages_that_are_no_packets_are_errors() {
    let field = |name| Err(DecodeError::InvalidField { name });
    let payload = |packet_type| Err(DecodeError::InvalidPayload { packet_type });
    for (message, expected) in [
        (&b""[..], Err(DecodeError::Empty)),
        (b"\x01", Err(DecodeError::InvalidMsgPack { offset: 0 })),
        (b"\x90", Err(DecodeError::InvalidMsgPack { offset: 0 })),
        (b"2[\"a\"]", Err(DecodeError::InvalidMsgPack { offset: 0 })),
        (b"\x80", field("type")),
        (b"\x81\xa4type\x02", field("nsp")),
        (b"\x82\xa4type\x05\xa3nsp\xa1/", field("type")),
        (b"\x82\xa4type\xff\xa3nsp\xa1/", field("type")),
        (b"\x82\xa4type\xa12\xa3nsp\xa1/", field("type")),
        (b"\x82\xa4type\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xa3nsp\xa1/", field("type")),
        (b"\x82\xa4type\x01\xa3nsp\x01", field("nsp")),
        (b"\x82\xa4type\x01\xa3nsp\xc0", field("nsp")),
        (b"\x82\xa4type\x01\xa3nsp\xa0", Err(DecodeError::InvalidNamespace)),
        (b"\x82\xa4type\x01\xa3nsp\xa1a", Err(DecodeError::InvalidNamespace)),
        (b"\x82\xa4type\x01\xa3nsp\xa2/,", Err(DecodeError::InvalidNamespace)),
        (b"\x83\xa4type\x01\xa3nsp\xa1/\xa4data\x80", payload(PacketType::Disconnect)),
        (b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\x90", payload(PacketType::Connect)),
        (b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\xc0", payload(PacketType::Connect)),
        (b"\x83\xa4type\x04\xa3nsp\xa1/\xa4data\x90", payload(PacketType::ConnectError)),
        (b"\x82\xa4type\x02\xa3nsp\xa1/", payload(PacketType::Event)),
        (b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x80", payload(PacketType::Event)),
        (b"\x83\xa4type\x03\xa3nsp\xa1/\xa4data\xc4\x00", payload(PacketType::Ack)),
        (b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x90", Err(DecodeError::InvalidEventName)),
        (b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91\x90", Err(DecodeError::InvalidEventName)),
        (b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xc0", Err(DecodeError::InvalidEventName)),
        (b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa7connect", Err(DecodeError::ReservedEventName)),
        (b"\x83\xa4type\x03\xa3nsp\xa1/\xa2id\xff", field("id")),
        (b"\x83\xa4type\x03\xa3nsp\xa1/\xa2id\xc0", field("id")),
        (b"\x83\xa4type\x03\xa3nsp\xa1/\xa2id\xa11", field("id")),
        (b"\x82\xa4type\x01\xa3nsp\xa1/\x00", Err(DecodeError::InvalidMsgPack { offset: 13 })),
    ] {
        assert_eq!(decode(message), expected, "{message:x?}");
    }
}

#[test]
fn cut_anywhere_it_is_an_error() {
    let whole = event(&[
        b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00",
        b"\xc5\x00\x02ab",
        b"\xd9\x02hi",
        b"\xd7\x00\0\0\0\0\0\0\0\0",
    ]);
    assert_eq!(decode(&whole), Ok(()));
    for len in 0..whole.len() {
        assert!(decode(&whole[..len]).is_err(), "{len}");
    }
}

#[test]
fn namespaces_have_the_limit_of_the_text_form() {
    let mut message = b"\x82\xa4type\x01\xa3nsp\xda\x10\x00/".to_vec();
    message.extend(vec![b'a'; 4095]);
    assert_eq!(decode(&message), Ok(()));
    message[13] = 1;
    message.push(b'a');
    assert_eq!(decode(&message), Err(DecodeError::NamespaceTooLong { len: 4097, max: 4096 }));
}

#[test]
fn of_equal_keys_the_last_counts_as_in_javascript() {
    let message = Bytes::from_static(b"\x83\xa4type\x02\xa3nsp\xa1/\xa4type\x01");
    assert_eq!(Packet::decode(&message, &Limits::default()).unwrap().packet_type, PacketType::Disconnect);
}

#[test]
fn event_names_are_text_or_numbers() {
    for (name, expected) in [
        (&b"\x07"[..], "7"),
        (b"\xff", "-1"),
        (b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", "1.5"),
        (b"\xa9__proto__", "__proto__"),
        (b"\xa0", ""),
    ] {
        let message = [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91", name].concat().into();
        let packet = Packet::decode(&message, &Limits::default()).unwrap();
        assert_eq!(packet.event().unwrap().name, expected);
        assert!(packet.event().unwrap().args.is_empty());
    }
}

#[test]
fn bytes_share_the_memory_of_the_message() {
    let message = event(&[b"\xc4\x03abc", b"\xc7\x01\x00x"]);
    let packet = Packet::decode(&message, &Limits::default()).unwrap();
    let (first, second): (Binary, Binary) = packet.event().unwrap().args.all().unwrap();
    assert_eq!((&first[..], &second[..]), (&b"abc"[..], &b"x"[..]));
    let (borrowed, _) = packet.event().unwrap().args.all::<(&[u8], &[u8])>().unwrap();
    assert!(message.as_ptr_range().contains(&borrowed.as_ptr()));
    #[cfg(feature = "std")]
    assert_eq!(first.0.as_ptr(), borrowed.as_ptr());
}

#[test]
fn bytes_are_read_into_whatever_takes_them() {
    assert_eq!(read::<Vec<u8>>(b"\xc4\x02ab").unwrap(), b"ab");
    assert_eq!(read::<[u8; 2]>(b"\xc4\x02ab").unwrap(), *b"ab");
    assert_eq!(read::<Bytes>(b"\xc4\x02ab").unwrap(), "ab");
    assert_eq!(read::<Value>(b"\xc4\x02ab").unwrap(), json!([97, 98]));
    assert_eq!(read::<Value>(b"\x91\x81\xa1k\xc4\x01a").unwrap(), json!([{"k": [97]}]));
    assert_eq!(read::<Option<Binary>>(b"\xc4\x01a").unwrap(), Some(Binary::from(&b"a"[..])));
    assert_eq!(read::<Binary>(b"\x92\x01\x02").unwrap(), Binary::from(&[1, 2][..]));
    assert!(read::<Binary>(b"\xa2ab").is_err(), "text is no bytes");

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Bytes(Binary),
        Text(String),
    }
    assert_eq!(read::<Either>(b"\xc4\x01a").unwrap(), Either::Bytes(Binary::from(&b"a"[..])));
    assert_eq!(read::<Either>(b"\xa1a").unwrap(), Either::Text("a".to_owned()));
}

#[test]
fn undefined_reads_like_null() {
    assert_eq!(read::<Option<u8>>(b"\xd4\x00\x00").unwrap(), None);
    assert_eq!(read::<Value>(b"\xd4\x00\x00").unwrap(), Value::Null);
    read::<()>(b"\xd4\x00\x00").unwrap();
}

#[test]
fn dates_are_text_as_in_json_or_milliseconds() {
    let date = b"\xd7\x00\x00\x00\x01\xa2\x0d\xf0\xdc\x9b";
    let millis = i64::from_be_bytes(date[2..].try_into().unwrap());
    assert_eq!(read::<i64>(date).unwrap(), millis);
    assert_eq!(read::<f64>(date).unwrap(), millis as f64);
    let text = read::<String>(date).unwrap();
    assert_eq!(text.len(), 24);
    assert_eq!(read::<Value>(date).unwrap(), json!(text));
    assert_eq!(read::<Option<String>>(b"\xd7\x00\x7f\xff\xff\xff\xff\xff\xff\xff").ok().flatten(), None);
    assert_eq!(read::<Value>(b"\xd7\x00\x7f\xff\xff\xff\xff\xff\xff\xff").unwrap(), Value::Null);
}

#[test]
fn other_extensions_are_their_type_and_their_bytes() {
    assert_eq!(read::<(i8, Binary)>(b"\xd5\xffab").unwrap(), (-1, Binary::from(&b"ab"[..])));
    assert_eq!(read::<(i8, Vec<u8>)>(b"\xc7\x01\x05a").unwrap(), (5, b"a".to_vec()));
    assert_eq!(read::<Value>(b"\xc7\x01\x05a").unwrap(), json!([5, [97]]));
}

#[test]
fn whole_numbers_are_read_in_every_form() {
    for value in
        [&b"\x02"[..], b"\xcc\x02", b"\xcf\0\0\0\0\0\0\0\x02", b"\xd0\x02", b"\xcb\x40\0\0\0\0\0\0\0"]
    {
        assert_eq!(read::<u8>(value).unwrap(), 2);
        assert_eq!(read::<i64>(value).unwrap(), 2);
        assert_eq!(read::<f32>(value).unwrap(), 2.0);
    }
    for value in
        [&b"\xcd\x01\x00"[..], b"\xff", b"\xcb\x3f\xf8\0\0\0\0\0\0", b"\xcb\x7f\xf8\0\0\0\0\0\0", b"\xa12"]
    {
        assert!(matches!(read::<u8>(value), Err(ArgsError::Data(_))), "{value:x?}");
    }
    assert_eq!(read::<u64>(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff").unwrap(), u64::MAX);
}

#[test]
fn shapes_are_those_of_json() {
    #[derive(Debug, PartialEq, Deserialize)]
    enum Shape {
        Unit,
        New(u8),
        Pair(u8, u8),
        Fields { a: u8 },
    }
    assert_eq!(read::<Shape>(b"\xa4Unit").unwrap(), Shape::Unit);
    assert_eq!(read::<Shape>(b"\x81\xa4Unit\xc0").unwrap(), Shape::Unit);
    assert_eq!(read::<Shape>(b"\x81\xa3New\x01").unwrap(), Shape::New(1));
    assert_eq!(read::<Shape>(b"\x81\xa4Pair\x92\x01\x02").unwrap(), Shape::Pair(1, 2));
    assert_eq!(read::<Shape>(b"\x81\xa6Fields\x81\xa1a\x01").unwrap(), Shape::Fields { a: 1 });
    for wrong in
        [&b"\x80"[..], b"\x82\xa4Unit\xc0\xa3New\x01", b"\x07", b"\xa2No", b"\x81\xa4Pair\x93\x01\x02\x03"]
    {
        assert!(matches!(read::<Shape>(wrong), Err(ArgsError::Data(_))), "{wrong:x?}");
    }
    assert_eq!(read::<(u8, u8)>(b"\x92\x01\x02").unwrap(), (1, 2));
    assert!(read::<(u8, u8)>(b"\x93\x01\x02\x03").is_err(), "as in JSON, within an argument");
    assert_eq!(read::<char>(b"\xa2\xc3\xa9").unwrap(), 'é');
}

#[test]
fn keys_are_read_as_what_the_map_wants() {
    assert_eq!(read::<BTreeMap<u8, u8>>(b"\x81\xa17\x01").unwrap(), BTreeMap::from([(7, 1)]));
    assert_eq!(read::<BTreeMap<i8, u8>>(b"\x81\xa2-7\x01").unwrap(), BTreeMap::from([(-7, 1)]));
    assert_eq!(read::<BTreeMap<u8, u8>>(b"\x81\x07\x01").unwrap(), BTreeMap::from([(7, 1)]));
    assert_eq!(read::<BTreeMap<bool, u8>>(b"\x81\xa4true\x01").unwrap(), BTreeMap::from([(true, 1)]));
    let keys = read::<BTreeMap<String, u8>>(b"\x85\x07\x01\xff\x02\xc0\x03\xc3\x04\xa1a\x05").unwrap();
    assert_eq!(keys.keys().collect::<Vec<_>>(), ["-1", "7", "a", "null", "true"]);
    assert_eq!(read::<Value>(b"\x81\x07\x01").unwrap(), json!({"7": 1}));
    assert!(read::<BTreeMap<u8, u8>>(b"\x81\xa1a\x01").is_err());
}

#[test]
fn raw_json_is_made_of_it() {
    let raw = read::<Box<RawValue>>(b"\x82\xa1a\x92\x01\xd4\x00\x00\xa1b\xc4\x01a").unwrap();
    assert_eq!(raw.get(), r#"{"a":[1,null],"b":[97]}"#);
}

#[test]
fn a_claimed_length_allocates_nothing() {
    // Four bytes that announce four billion elements: refused before a type sees them.
    assert!(decode(&event(&[b"\xdd\xff\xff\xff\xff\x01"])).is_err());
    assert!(decode(&event(&[b"\xc6\xff\xff\xff\xff"])).is_err());
    assert!(decode(&event(&[b"\xdf\x00\xff\xff\xff\xc0"])).is_err());
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| event(&[&[&vec![0x91; depth][..], &[0xc0]].concat()]);
    assert_eq!(decode(&nested(126)), Ok(()));
    assert_eq!(decode(&nested(127)), Err(DecodeError::TooDeep { max: 127 }));
    assert_eq!(decode(&nested(100_000)), Err(DecodeError::TooDeep { max: 127 }));
}

#[test]
fn passed_on_it_is_the_same_or_its_json() {
    let message = event(&[b"\x07", b"\xc4\x01a", b"\x82\xa1k\xcb\x3f\xf8\0\0\0\0\0\0\x07\xd4\x00\x00"]);
    let packet = Packet::decode(&message, &Limits::default()).unwrap();
    let args = packet.event().unwrap().args;
    let mut out = Vec::new();
    encode_event(&mut out, "/", None, "e", &args).unwrap();
    let again = Bytes::from(out);
    let again = Packet::decode(&again, &Limits::default()).unwrap();
    let expected = r#"7,{"_placeholder":true,"num":0},{"k":1.5,"7":null}"#;
    assert_eq!(again.event().unwrap().args.json(), expected);
    let (text, attachments) = args.to_text();
    assert_eq!(text, alloc::format!("[{expected}]"));
    assert_eq!(attachments, [&b"a"[..]]);
    assert!(alloc::format!("{args:?}").contains("1.5"));
    assert_eq!(args.validate(), Ok(()));
    assert!(args.attachments().is_empty());
}
