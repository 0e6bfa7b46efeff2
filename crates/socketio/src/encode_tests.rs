use alloc::{string::String, vec, vec::Vec};

use serde_json::{Value, json};

use super::*;
use crate::{Args, Binary, Limits, Packet};

fn event<A: EventArgs + ?Sized>(args: &A) -> (String, Vec<Bytes>) {
    let (mut out, mut attachments) = (Vec::new(), Vec::new());
    encode_event(&mut out, &mut attachments, "/", None, "e", args).unwrap();
    (String::from_utf8(out).unwrap(), attachments)
}

fn text<A: EventArgs + ?Sized>(args: &A) -> String {
    let (text, attachments) = event(args);
    assert!(attachments.is_empty());
    text
}

/// Fails in the middle, with bytes in front.
struct Failing;

impl Serialize for Failing {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("on purpose"))
    }
}

mod wire_forms {
    use super::*;

    #[test]
    fn events_and_acks_are_as_the_specification_writes_them() {
        let (mut out, mut none) = (Vec::new(), Vec::new());
        encode_event(&mut out, &mut none, "/", None, "hey", &("Jude",)).unwrap();
        assert_eq!(out, br#"2["hey","Jude"]"#);
        out.clear();
        encode_event(&mut out, &mut none, "/admin", Some(456), "project:delete", &(123,)).unwrap();
        assert_eq!(out, br#"2/admin,456["project:delete",123]"#);
        out.clear();
        encode_ack(&mut out, &mut none, "/admin", 456, &()).unwrap();
        assert_eq!(out, b"3/admin,456[]");
    }

    #[test]
    fn binary_packets_are_as_the_specification_writes_them() {
        let (mut out, mut attachments) = (Vec::new(), Vec::new());
        let hey = Bytes::from_static(&[1, 2, 3]);
        encode_event(&mut out, &mut attachments, "/", None, "hello", &(&hey,)).unwrap();
        assert_eq!(out, br#"51-["hello",{"_placeholder":true,"num":0}]"#);
        assert_eq!(attachments, core::slice::from_ref(&hey));
        out.clear();
        attachments.clear();
        encode_event(&mut out, &mut attachments, "/admin", Some(456), "project:delete", &(&hey, 1, &hey))
            .unwrap();
        assert_eq!(
            out,
            br#"52-/admin,456["project:delete",{"_placeholder":true,"num":0},1,{"_placeholder":true,"num":1}]"#
        );
        assert_eq!(attachments.len(), 2);
        out.clear();
        encode_ack(&mut out, &mut attachments, "/admin", 456, &hey).unwrap();
        assert_eq!(out, br#"61-/admin,456[{"_placeholder":true,"num":0}]"#);
        assert_eq!(attachments.len(), 3);
    }

    #[test]
    fn connections_are_as_the_specification_writes_them() {
        let encoded = |encode: &dyn Fn(&mut Vec<u8>) -> Result<(), EncodeError>| {
            let mut out = Vec::new();
            encode(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(encoded(&|out| encode_connect(out, "/", None::<&()>)), "0");
        assert_eq!(encoded(&|out| encode_connect(out, "/admin", None::<&()>)), "0/admin,");
        assert_eq!(encoded(&|out| encode_connect(out, "/", Some(&json!({ "a": 1 })))), r#"0{"a":1}"#);
        assert_eq!(encoded(&|out| encode_connect_reply(out, "/", "x", None)), r#"0{"sid":"x"}"#);
        assert_eq!(
            encoded(&|out| encode_connect_reply(out, "/admin", "x", Some("y"))),
            r#"0/admin,{"sid":"x","pid":"y"}"#
        );
        assert_eq!(encoded(&|out| encode_disconnect(out, "/")), "1");
        assert_eq!(encoded(&|out| encode_disconnect(out, "/admin")), "1/admin,");
        assert_eq!(encoded(&|out| encode_connect_error(out, "/", "no", None::<&()>)), r#"4{"message":"no"}"#);
        assert_eq!(
            encoded(&|out| encode_connect_error(out, "/a", "no", Some(&json!([1])))),
            r#"4/a,{"message":"no","data":[1]}"#
        );
        assert_eq!(encoded(&|out| encode_connect_error_v2(out, "/a", "no")), r#"4/a,"no""#);
    }

    #[test]
    fn the_packet_is_appended_to_what_is_there() {
        let (mut out, mut attachments) = (b"4".to_vec(), vec![Bytes::from_static(b"old")]);
        encode_event(&mut out, &mut attachments, "/", None, "a", &Bytes::from_static(b"new")).unwrap();
        assert_eq!(out, br#"451-["a",{"_placeholder":true,"num":0}]"#);
        assert_eq!(attachments.len(), 2);
    }

    #[test]
    fn names_and_texts_are_escaped() {
        let mut out = Vec::new();
        encode_event(&mut out, &mut Vec::new(), "/", None, "a\"\n😀", &"é\u{2028}\\").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "2[\"a\\\"\\n😀\",\"é\u{2028}\\\\\"]");
    }

    #[test]
    fn ten_attachments_have_a_count_of_two_digits() {
        let (text, attachments) = event(&vec![Binary::default(); 10]);
        assert!(text.starts_with("510-[\"e\",[{\"_placeholder\":true,\"num\":0},"));
        assert_eq!(attachments.len(), 10);
    }
}

mod arguments {
    use super::*;

    #[test]
    fn a_reference_is_one_argument() {
        assert_eq!(text(&"a"), r#"2["e","a"]"#);
        assert_eq!(text(&&(1, 2)), r#"2["e",[1,2]]"#);
        assert_eq!(text(&&[1, 2][..]), r#"2["e",[1,2]]"#);
    }

    #[test]
    fn values_are_one_argument() {
        assert_eq!(text(&String::from("a")), r#"2["e","a"]"#);
        assert_eq!(text(&bytestring::ByteString::from_static("a")), r#"2["e","a"]"#);
        assert_eq!(text(&'c'), r#"2["e","c"]"#);
        assert_eq!(text(&-1_i64), r#"2["e",-1]"#);
        assert_eq!(text(&1.5_f64), r#"2["e",1.5]"#);
        assert_eq!(text(&f64::NAN), r#"2["e",null]"#);
        assert_eq!(text(&vec![(1, "a")]), r#"2["e",[[1,"a"]]]"#);
        assert_eq!(text(&[true; 2]), r#"2["e",[true,true]]"#);
        assert_eq!(text(&Some(1)), r#"2["e",1]"#);
        assert_eq!(text(&json!({ "a": [null] })), r#"2["e",{"a":[null]}]"#);
        assert_eq!(text(&[0_u8; 0]), r#"2["e",[]]"#);
    }

    #[test]
    fn a_tuple_is_one_argument_per_element() {
        assert_eq!(text(&()), r#"2["e"]"#);
        assert_eq!(text(&(1,)), r#"2["e",1]"#);
        assert_eq!(
            text(&(1, "b", (3, 4), [5], None::<u8>, true, 'g', ())),
            r#"2["e",1,"b",[3,4],[5],null,true,"g",null]"#
        );
    }

    #[test]
    fn all_shapes_of_serde_look_as_serde_json_writes_them() {
        #[derive(serde::Serialize)]
        enum Kind {
            Unit,
            Newtype(u8),
            Tuple(u8, u8),
            Struct { a: u8 },
        }
        #[derive(serde::Serialize)]
        struct Newtype(f32);
        #[derive(serde::Serialize)]
        struct Tuple(u8, i128);
        #[derive(serde::Serialize)]
        struct Unit;
        #[derive(serde::Serialize)]
        struct Flat {
            #[serde(flatten)]
            map: alloc::collections::BTreeMap<u8, Option<char>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            skipped: Option<u8>,
        }
        let value = (
            (Kind::Unit, Kind::Newtype(1), Kind::Tuple(1, 2), Kind::Struct { a: 1 }),
            (Newtype(0.5), Tuple(1, i128::MIN), Unit, u128::MAX),
            Flat { map: [(1, None), (2, Some('x'))].into(), skipped: None },
            format_args!("{}", 7),
            serde_json::value::RawValue::from_string("[ 1e5 ]".into()).unwrap(),
        );
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(text(&&value), alloc::format!("2[\"e\",{json}]"));
    }

    #[test]
    fn bytes_at_any_depth_become_attachments() {
        #[derive(serde::Serialize)]
        enum Kind {
            Newtype(Binary),
            Tuple(u8, Binary),
            Struct { bytes: Option<Bytes> },
        }
        let bytes = |byte: u8| Bytes::from(vec![byte]);
        let (text, attachments) = event(&(
            Kind::Newtype(bytes(0).into()),
            Kind::Tuple(1, bytes(1).into()),
            Kind::Struct { bytes: Some(bytes(2)) },
            [(bytes(3), "x")],
        ));
        assert_eq!(attachments, [bytes(0), bytes(1), bytes(2), bytes(3)]);
        let expected = json!(["e",
            { "Newtype": { "_placeholder": true, "num": 0 } },
            { "Tuple": [1, { "_placeholder": true, "num": 1 }] },
            { "Struct": { "bytes": { "_placeholder": true, "num": 2 } } },
            [[{ "_placeholder": true, "num": 3 }, "x"]],
        ]);
        assert_eq!(
            text.strip_prefix("54-").map(|json| serde_json::from_str::<Value>(json).unwrap()),
            Some(expected)
        );
    }

    #[test]
    #[cfg(feature = "std")]
    fn binary_is_shared_and_never_copied() {
        let bytes = Bytes::from(vec![1; 100]);
        for attachments in
            [event(&Binary(bytes.clone())).1, event(&bytes).1, event(&(1, [Some(Binary(bytes.clone()))])).1]
        {
            assert_eq!(attachments[0].as_ptr(), bytes.as_ptr());
        }
    }

    #[test]
    fn received_arguments_are_passed_on_as_they_are() {
        let received = r#"2["old", {"a" : 1e5}, "é"]"#;
        let args = Packet::decode(received, &Limits::default()).unwrap().event().unwrap().args;
        assert_eq!(text(&args), r#"2["e",{"a" : 1e5},"é"]"#);
        assert_eq!(text(&Args::default()), r#"2["e"]"#);

        let attachments = [Bytes::from_static(b"x")];
        let args =
            Args::from_array(r#"[{"_placeholder":true,"num":0}]"#).unwrap().with_attachments(&attachments);
        let (text, passed) = event(&args);
        assert_eq!(text, r#"51-["e",{"_placeholder":true,"num":0}]"#);
        assert_eq!(passed, attachments);
    }

    #[test]
    fn broken_received_arguments_are_an_error() {
        let args = Args::from_array("[1,x]").unwrap();
        let error = encode_event(&mut Vec::new(), &mut Vec::new(), "/", None, "e", &args);
        assert!(matches!(error, Err(EncodeError::Json(_))));
    }
}

mod errors {
    use super::*;

    #[test]
    fn reserved_names_are_refused() {
        for name in crate::RESERVED_EVENTS {
            let result = encode_event(&mut Vec::new(), &mut Vec::new(), "/", None, name, &());
            assert!(matches!(result, Err(EncodeError::ReservedEventName)));
        }
    }

    #[test]
    fn a_namespace_that_would_read_as_something_else_is_refused() {
        for namespace in ["", "admin", "/a,b"] {
            let mut out = Vec::new();
            assert!(matches!(encode_disconnect(&mut out, namespace), Err(EncodeError::InvalidNamespace)));
            assert!(out.is_empty());
        }
    }

    #[test]
    fn connect_data_must_be_an_object() {
        for data in [json!([]), json!("a"), json!(1), Value::Null] {
            let mut out = b"x".to_vec();
            let result = encode_connect(&mut out, "/", Some(&data));
            assert!(matches!(result, Err(EncodeError::DataNotAnObject)));
            assert_eq!(out, b"x");
        }
    }

    #[test]
    fn an_error_leaves_everything_as_it_was() {
        let (mut out, mut attachments) = (b"4".to_vec(), vec![Bytes::from_static(b"old")]);
        let args = ("text", Binary::from(vec![1]), Failing);
        assert!(encode_event(&mut out, &mut attachments, "/a", None, "e", &args).is_err());
        assert!(encode_ack(&mut out, &mut attachments, "/a", 1, &args).is_err());
        assert!(encode_connect(&mut out, "/a", Some(&Failing)).is_err());
        assert!(encode_connect_error(&mut out, "/a", "m", Some(&Failing)).is_err());
        assert!(encode_connect_error_v2(&mut out, "/a", &Failing).is_err());
        assert_eq!(out, b"4");
        assert_eq!(attachments.len(), 1);
    }
}
