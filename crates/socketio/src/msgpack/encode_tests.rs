//! What is written, byte by byte, and what is refused.

use alloc::{collections::BTreeMap, string::String, vec, vec::Vec};

use serde::Serialize;
use serde_json::{json, value::RawValue};

use super::*;
use crate::{Binary, Limits, msgpack::Packet as MsgPackPacket};

fn value<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode_ack(&mut out, "/", 0, &value).unwrap();
    let header = b"\x84\xa4type\x03\xa3nsp\xa1/\xa2id\x00\xa4data\x91";
    out.strip_prefix(header).expect("an ack with one argument").to_vec()
}

#[test]
fn packets_are_written_as_their_maps() {
    let mut out = Vec::new();
    encode_event(&mut out, "/admin", None, "say", &("hi", 1)).unwrap();
    assert_eq!(out, b"\x83\xa4type\x02\xa3nsp\xa6/admin\xa4data\x93\xa3say\xa2hi\x01");
    out.clear();
    encode_ack(&mut out, "/", 300, &()).unwrap();
    assert_eq!(out, b"\x84\xa4type\x03\xa3nsp\xa1/\xa2id\xcd\x01\x2c\xa4data\x90");
    out.clear();
    encode_connect(&mut out, "/", None::<&()>).unwrap();
    assert_eq!(out, b"\x82\xa4type\x00\xa3nsp\xa1/");
    out.clear();
    encode_connect_reply(&mut out, "/", "abc", None).unwrap();
    assert_eq!(out, b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\x81\xa3sid\xa3abc");
    out.clear();
    encode_connect_reply(&mut out, "/", "abc", Some("p")).unwrap();
    assert_eq!(out, b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\x82\xa3sid\xa3abc\xa3pid\xa1p");
    out.clear();
    encode_disconnect(&mut out, "/x").unwrap();
    assert_eq!(out, b"\x82\xa4type\x01\xa3nsp\xa2/x");
    out.clear();
    encode_connect_error(&mut out, "/", "no", Some(&json!({ "code": 7 }))).unwrap();
    assert_eq!(out, b"\x83\xa4type\x04\xa3nsp\xa1/\xa4data\x82\xa7message\xa2no\xa4data\x81\xa4code\x07");
    out.clear();
    encode_connect_error(&mut out, "/", "no", None::<&()>).unwrap();
    assert_eq!(out, b"\x83\xa4type\x04\xa3nsp\xa1/\xa4data\x81\xa7message\xa2no");
}

#[test]
fn numbers_take_the_narrowest_form() {
    for (number, bytes) in [
        (0_i64, &b"\x00"[..]),
        (127, b"\x7f"),
        (128, b"\xcc\x80"),
        (255, b"\xcc\xff"),
        (256, b"\xcd\x01\x00"),
        (65_536, b"\xce\x00\x01\x00\x00"),
        (1 << 32, b"\xcf\0\0\0\x01\0\0\0\0"),
        (-1, b"\xff"),
        (-32, b"\xe0"),
        (-33, b"\xd0\xdf"),
        (-128, b"\xd0\x80"),
        (-129, b"\xd1\xff\x7f"),
        (-32_769, b"\xd2\xff\xff\x7f\xff"),
        (-2_147_483_649, b"\xd3\xff\xff\xff\xff\x7f\xff\xff\xff"),
    ] {
        assert_eq!(value(&number), bytes, "{number}");
    }
    assert_eq!(value(&u64::MAX), b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
    assert_eq!(value(&u128::from(u64::MAX)), value(&u64::MAX));
    assert_eq!(value(&i128::from(i64::MIN)), value(&i64::MIN));
    assert_eq!(value(&u128::MAX), value(&(u128::MAX as f64)));
    assert_eq!(value(&i128::MIN), value(&(i128::MIN as f64)));
    assert_eq!(value(&1.5_f64), b"\xcb\x3f\xf8\0\0\0\0\0\0");
    assert_eq!(value(&1.5_f32), b"\xca\x3f\xc0\0\0");
}

#[test]
fn lengths_take_the_narrowest_form() {
    for (len, header) in [
        (31, &b"\xbf"[..]),
        (32, b"\xd9\x20"),
        (255, b"\xd9\xff"),
        (256, b"\xda\x01\x00"),
        (65_535, b"\xda\xff\xff"),
        (65_536, b"\xdb\x00\x01\x00\x00"),
    ] {
        let text: String = "x".repeat(len);
        assert_eq!(value(&text), [header, text.as_bytes()].concat());
    }
    for (len, header) in
        [(0, &b"\xc4\x00"[..]), (255, b"\xc4\xff"), (256, b"\xc5\x01\x00"), (65_536, b"\xc6\0\x01\0\0")]
    {
        let bytes = vec![7; len];
        assert_eq!(value(&Binary::from(bytes.clone())), [header, &bytes].concat());
    }
    for (len, header) in [(15, &b"\x9f"[..]), (16, b"\xdc\x00\x10"), (65_536, b"\xdd\0\x01\0\0")] {
        let array = vec![true; len];
        assert_eq!(value(&array), [header, &vec![0xc3; len]].concat());
    }
    let map: BTreeMap<u8, ()> = (0..16).map(|key| (key, ())).collect();
    assert_eq!(value(&map)[..6], *b"\xde\x00\x10\xa10\xc0");
}

#[test]
fn many_arguments_have_a_longer_header() {
    struct Many(usize);

    impl EventArgs for Many {
        fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
            (0..self.0).try_for_each(|_| seq.serialize_element(&"x"))
        }
    }

    for count in [0, 1, 14, 15, 16, 1000] {
        let mut out = Vec::new();
        encode_event(&mut out, "/", None, "e", &Many(count)).unwrap();
        let message = Bytes::from(out);
        let packet = MsgPackPacket::decode(&message, &Limits::default()).unwrap();
        let args: Vec<&str> = packet.event().unwrap().args.all().unwrap();
        assert_eq!(args, vec!["x"; count]);
    }
}

#[test]
fn shapes_are_those_of_json() {
    #[derive(Serialize)]
    enum Shape {
        Unit,
        New(u8),
        Pair(u8, u8),
        Fields { a: u8 },
    }

    #[derive(Serialize)]
    struct Fields {
        a: Option<u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        b: Option<u8>,
        #[serde(flatten)]
        rest: BTreeMap<&'static str, ()>,
    }
    assert_eq!(value(&Shape::Unit), b"\xa4Unit");
    assert_eq!(value(&Shape::New(1)), b"\x81\xa3New\x01");
    assert_eq!(value(&Shape::Pair(1, 2)), b"\x81\xa4Pair\x92\x01\x02");
    assert_eq!(value(&Shape::Fields { a: 1 }), b"\x81\xa6Fields\x81\xa1a\x01");
    let fields = Fields { a: None, b: None, rest: BTreeMap::from([("c", ())]) };
    assert_eq!(value(&fields), b"\xdf\0\0\0\x02\xa1a\xc0\xa1c\xc0", "a map whose length nobody knew");
    assert_eq!(value(&('é', true, (), Some("a"))), b"\x94\xa2\xc3\xa9\xc3\xc0\xa1a");
    assert_eq!(value(&BTreeMap::from([(Some(true), 1)])), b"\x81\xa4true\x01");
    assert_eq!(value(&BTreeMap::from([('c', 1)])), b"\x81\xa1c\x01");
}

#[test]
fn raw_json_becomes_values() {
    let raw = RawValue::from_string(r#"{"a":[1,-1,1.5,null,true,"é"],"b":{}}"#.into()).unwrap();
    let mut out = Vec::new();
    encode_event(&mut out, "/", None, "e", &(&raw,)).unwrap();
    let message = Bytes::from(out);
    let packet = MsgPackPacket::decode(&message, &Limits::default()).unwrap();
    assert_eq!(packet.event().unwrap().args.json(), raw.get());
}

#[test]
fn text_packets_keep_name_id_and_bytes() {
    let attachments = [Bytes::from_static(b"a"), Bytes::from_static(b"b")];
    for (text, json) in [
        (
            r#"52-/n,7["e",{"_placeholder":true,"num":1},[{"_placeholder":true,"num":0}]]"#,
            r#"{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]"#,
        ),
        (r#"52-/n,7["\u00e9",{"_placeholder":false}]"#, r#"{"_placeholder":false}"#),
        (r#"62-/n,7[1,{"_placeholder":true,"num":0}]"#, r#"1,{"_placeholder":true,"num":0}"#),
    ] {
        let packet = Packet::decode(text, &Limits::default()).unwrap();
        let mut out = Vec::new();
        encode_text_packet(&mut out, &packet, &attachments).unwrap();
        let message = Bytes::from(out);
        let encoded = MsgPackPacket::decode(&message, &Limits::default()).unwrap();
        assert_eq!((encoded.namespace, encoded.ack_id), ("/n", Some(7)));
        let args = match packet.packet_type {
            PacketType::BinaryEvent => {
                let event = encoded.event().unwrap();
                assert_eq!(event.name, packet.event().unwrap().name);
                event.args
            }
            _ => encoded.ack().unwrap(),
        };
        assert_eq!(args.json(), json);
    }
    for text in [r#"2["e",{]"#, "0", r#"51-["e",{"_placeholder":true,"num":9}]"#] {
        let packet = Packet::decode(text, &Limits::default()).unwrap();
        let mut out = b"before".to_vec();
        assert!(encode_text_packet(&mut out, &packet, &attachments).is_err(), "{text}");
        assert_eq!(out, b"before");
    }
}

#[test]
fn on_an_error_nothing_is_appended() {
    struct Liar;

    impl Serialize for Liar {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(Some(2))?;
            seq.serialize_element(&1)?;
            seq.end()
        }
    }

    let mut out = b"before".to_vec();
    assert!(matches!(
        encode_event(&mut out, "/", None, "disconnect", &()),
        Err(EncodeError::ReservedEventName)
    ));
    for namespace in ["", "a", "/a,b"] {
        let result = encode_event(&mut out, namespace, None, "e", &());
        assert!(matches!(result, Err(EncodeError::InvalidNamespace)));
        assert!(matches!(encode_disconnect(&mut out, namespace), Err(EncodeError::InvalidNamespace)));
    }
    assert!(matches!(encode_event(&mut out, "/", None, "e", &(Liar,)), Err(EncodeError::Json(_))));
    let keys = BTreeMap::from([((1, 2), 3)]);
    assert!(matches!(encode_ack(&mut out, "/", 1, &(keys,)), Err(EncodeError::Json(_))));
    assert!(matches!(encode_connect(&mut out, "/", Some(&[1])), Err(EncodeError::DataNotAnObject)));
    assert_eq!(out, b"before");
}
