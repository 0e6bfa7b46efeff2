use alloc::{
    borrow::Cow,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use serde_json::{Value, json};

use super::*;
use crate::{Binary, Limits, Packet};

fn args(text: &str) -> Args<'_> {
    Packet::decode(text, &Limits::default()).unwrap().event().unwrap().args
}

mod reading {
    use super::*;

    #[test]
    fn first_reads_one_argument() {
        assert_eq!(args(r#"2["a",1]"#).first::<u32>().unwrap(), 1);
        assert_eq!(args(r#"2["a",{"b":[1]},2]"#).first::<Value>().unwrap(), json!({ "b": [1] }));
    }

    #[test]
    fn sole_text_reads_as_it_does_among_others() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Name(String);
        #[derive(Debug, PartialEq, serde::Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Unit {
            A,
        }
        #[derive(Debug, PartialEq, serde::Deserialize)]
        #[serde(untagged)]
        enum Untagged {
            Number(u8),
            Text(String),
        }
        fn agrees<'a, T: Deserialize<'a> + PartialEq + fmt::Debug>(text: &'a str) {
            let read = [args(text).first::<T>(), args(text).all::<(T,)>().map(|(first,)| first)];
            let [first, all] = read.map(|read| read.map_err(|error| error.to_string()));
            assert_eq!(first, all, "{text}");
        }
        for text in [
            r#"2["e","a"]"#,
            r#"2["e",""]"#,
            r#"2["e","7"]"#,
            r#"2["e","ä€𝄞"]"#,
            r#"2["e","a\n\"]"]"#,
            r#"2["e","a","b"]"#,
            r#"2["e", "a" ] "#,
            r#"2["e","a"]"]"#,
            "2[\"e\",\"a\tb\"]",
            r#"2["e"]"#,
            r#"2["e",7]"#,
        ] {
            agrees::<String>(text);
            agrees::<&str>(text);
            agrees::<Cow<'_, str>>(text);
            agrees::<Option<String>>(text);
            agrees::<char>(text);
            agrees::<u8>(text);
            agrees::<()>(text);
            agrees::<Value>(text);
            agrees::<Name>(text);
            agrees::<Unit>(text);
            agrees::<Untagged>(text);
            agrees::<Binary>(text);
            agrees::<Vec<String>>(text);
            agrees::<BTreeMap<String, u8>>(text);
        }
    }

    #[test]
    fn strings_and_structs_are_borrowed() {
        #[derive(serde::Deserialize)]
        struct Say<'a> {
            text: &'a str,
            #[serde(borrow)]
            room: Cow<'a, str>,
        }
        let text = String::from(r#"2["a",{"text":"hello","room":"r\"1"}]"#);
        let say: Say<'_> = args(&text).first().unwrap();
        assert_eq!((say.text, &*say.room), ("hello", "r\"1"));
    }

    #[test]
    fn all_reads_tuples_vectors_arrays_and_structs() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Pair {
            left: u8,
            right: Option<u8>,
        }
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct List(Vec<u8>);

        let args = args(r#"2["a",1,2]"#);
        assert_eq!(args.all::<(u8, u8)>().unwrap(), (1, 2));
        assert_eq!(args.all::<Vec<u8>>().unwrap(), [1, 2]);
        assert_eq!(args.all::<[u8; 2]>().unwrap(), [1, 2]);
        assert_eq!(args.all::<Pair>().unwrap(), Pair { left: 1, right: Some(2) });
        assert_eq!(args.all::<List>().unwrap(), List(vec![1, 2]));
        assert_eq!(args.all::<Value>().unwrap(), json!([1, 2]));
        assert_eq!(args.all::<Option<(u8, u8)>>().unwrap(), Some((1, 2)));
    }

    #[test]
    fn surplus_arguments_are_passed_over() {
        let args = args(r#"2["a",1,{"x":[]},"y"]"#);
        assert_eq!(args.first::<u8>().unwrap(), 1);
        assert_eq!(args.all::<(u8,)>().unwrap(), (1,));
        args.all::<()>().unwrap();
    }

    #[test]
    fn missing_arguments_read_like_null() {
        let none = args(r#"2["a"]"#);
        assert!(none.is_empty());
        assert_eq!(none.first::<Option<u8>>().unwrap(), None);
        none.first::<()>().unwrap();
        none.all::<()>().unwrap();
        assert_eq!(none.first::<Value>().unwrap(), Value::Null);
        assert!(none.all::<Vec<u8>>().unwrap().is_empty());
        assert_eq!(none.all::<Option<(u8,)>>().unwrap(), None);
        let one = args(r#"2["a",1]"#);
        assert_eq!(one.all::<(u8, Option<u8>, Option<String>, ())>().unwrap(), (1, None, None, ()));
    }

    #[test]
    fn a_missing_argument_that_is_needed_is_told_by_its_position() {
        let error = args(r#"2["a"]"#).first::<String>().unwrap_err();
        assert!(matches!(error, ArgsError::Missing { index: 0 }));
        let error = args(r#"2["a",1]"#).all::<(u8, u8)>().unwrap_err();
        assert!(matches!(error, ArgsError::Missing { index: 1 }));
        assert!(!error.is_syntax());
        assert_eq!(error.to_string(), "argument 1 is missing");
    }

    #[test]
    fn an_argument_of_another_type_is_a_data_error() {
        for text in [r#"2["a","x"]"#, r#"2["a",{}]"#, r#"2["a",null]"#, r#"2["a",-1]"#] {
            let error = args(text).first::<u8>().unwrap_err();
            assert!(matches!(error, ArgsError::Data(_)), "{text}");
            assert!(!error.is_syntax());
        }
    }

    #[test]
    fn what_javascript_allows_and_rust_does_not_is_a_data_error() {
        assert!(!args(r#"2["a","\ud83d"]"#).first::<String>().unwrap_err().is_syntax());
        assert!(!args(r#"2["a",1e999]"#).first::<f64>().unwrap_err().is_syntax());
        args(r#"2["\ud83d","\ud83d"]"#).all::<()>().unwrap();
    }

    #[test]
    fn the_arguments_of_an_event_with_a_numeric_name_are_read() {
        assert_eq!(args("2[1,2]").first::<u8>().unwrap(), 2);
    }

    #[test]
    fn acks_have_no_name() {
        let decode = |text| Packet::decode(text, &Limits::default()).unwrap().ack();
        assert_eq!(decode("31[1,\"a\"]").unwrap().all::<(u8, &str)>().unwrap(), (1, "a"));
        assert!(decode("31[]").unwrap().is_empty());
        assert!(decode("31[ ] ").unwrap().is_empty());
        assert!(decode("31").unwrap().is_empty());
        assert!(decode("2[\"a\"]").is_err());
    }

    #[test]
    fn json_is_the_text_of_the_arguments() {
        for (text, json) in [
            (r#"2["a"]"#, ""),
            (r#"2[ "a" ] "#, ""),
            (r#"2["a", 1 , [2] ] "#, "1 , [2]"),
            (r#"2[1,"]"]"#, r#""]""#),
        ] {
            assert_eq!(args(text).json(), json);
            assert_eq!(args(text).is_empty(), json.is_empty());
        }
        assert_eq!(Args::from_array("[1, 2]").unwrap().json(), "1, 2");
        assert_eq!(Args::default().json(), "");
    }

    #[test]
    fn an_array_needs_its_brackets() {
        for text in ["[", "]", "{}", "1", " ", "[1"] {
            assert!(Args::from_array(text).is_err(), "{text}");
        }
    }

    #[test]
    fn raw_values_are_what_was_sent() {
        let raw: &RawValue = args(r#"2["a",{"b" : 1}]"#).first().unwrap();
        assert_eq!(raw.get(), r#"{"b" : 1}"#);
    }
}

mod broken_json {
    use super::*;

    #[test]
    fn is_a_protocol_error_wherever_it_stands() {
        for text in [
            r#"2["a",]"#,
            r#"2["a",x]"#,
            r#"2["a",1,]"#,
            r#"2["a",1,x]"#,
            r#"2["a",1 2]"#,
            r#"2["a",1]]"#,
            r#"2["a",1,{"b"}]"#,
            "2[\"a\",1,\"\n\"]",
            r#"2["a",1,01]"#,
            r#"2["a",1,[}]"#,
            r#"2["a",1],[]"#,
        ] {
            assert!(args(text).first::<u8>().unwrap_err().is_syntax(), "{text}");
            assert!(args(text).first::<Value>().unwrap_err().is_syntax(), "{text}");
            assert!(args(text).all::<Vec<u8>>().unwrap_err().is_syntax(), "{text}");
            assert!(args(text).all::<()>().unwrap_err().is_syntax(), "{text}");
            assert!(args(text).validate().is_err(), "{text}");
        }
    }

    #[test]
    fn comes_before_a_type_that_does_not_fit() {
        let error = args(r#"2["a","text",x]"#).first::<u8>().unwrap_err();
        assert!(error.is_syntax());
    }

    #[test]
    fn too_deep_nesting_is_an_error_and_no_stack_overflow() {
        for (open, close) in [("[", "]"), ("{\"num\":", "}"), ("{\"_placeholder\":", "}")] {
            let text = format!("2[\"a\",{}1{}]", open.repeat(100_000), close.repeat(100_000));
            let attachments = [Bytes::new()];
            for args in [args(&text), args(&text).with_attachments(&attachments)] {
                assert!(args.first::<Value>().unwrap_err().is_syntax());
                assert!(args.first::<Option<Binary>>().unwrap_err().is_syntax());
                assert_eq!(args.validate(), Err(DecodeError::TooDeep { max: 127 }));
            }
        }
    }
}

mod attachments {
    use super::*;

    const ZERO: &str = r#"{"_placeholder":true,"num":0}"#;
    const ONE: &str = r#"{"num":1,"_placeholder":true}"#;

    fn bytes() -> [Bytes; 2] {
        [Bytes::from(vec![1, 2, 3]), Bytes::from(vec![4, 5])]
    }

    #[test]
    fn every_type_that_asks_for_bytes_gets_them() {
        let (attachments, text) = (bytes(), format!("52-[\"a\",{ZERO},{ONE}]"));
        let args = args(&text).with_attachments(&attachments);
        let (zero, one): (Binary, Binary) = args.all().unwrap();
        assert_eq!((&zero[..], &one[..]), (&[1, 2, 3][..], &[4, 5][..]));
        let (zero, one): (Bytes, Bytes) = args.all().unwrap();
        assert_eq!((zero, one), (attachments[0].clone(), attachments[1].clone()));
        let (zero, one): (&[u8], Vec<u8>) = args.all().unwrap();
        assert_eq!((zero, one), (&[1, 2, 3][..], vec![4, 5]));
        let (zero, one): ([u8; 3], Option<Binary>) = args.all().unwrap();
        assert_eq!((zero, one.unwrap().0), ([1, 2, 3], attachments[1].clone()));
    }

    #[test]
    #[cfg(feature = "std")]
    fn binary_shares_the_memory_of_the_attachment() {
        let (attachments, text) = (bytes(), format!("51-[\"a\",{{\"x\":[{ZERO}]}}]"));
        let args = args(&text).with_attachments(&attachments);
        let deep: BTreeMap<String, Vec<Binary>> = args.first().unwrap();
        assert_eq!(deep["x"][0].as_ptr(), attachments[0].as_ptr());
        let deep: BTreeMap<&str, Vec<&[u8]>> = args.first().unwrap();
        assert_eq!(deep["x"][0].as_ptr(), attachments[0].as_ptr());
    }

    #[test]
    fn structs_and_enums_of_all_kinds_take_bytes() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        enum Kind {
            Newtype(Binary),
            Tuple(u8, Bytes),
            Struct { bytes: Bytes },
            Unit,
        }
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Wrapped(Binary);
        #[derive(Debug, PartialEq, serde::Deserialize)]
        #[serde(untagged)]
        enum Either {
            Bytes(Binary),
            Text(String),
        }
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Inner {
            inner: Bytes,
        }
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Outer {
            #[serde(flatten)]
            inner: Inner,
            kind: Kind,
        }
        #[derive(Debug, PartialEq, serde::Deserialize)]
        #[serde(tag = "type")]
        enum Tagged {
            Image { bytes: Bytes },
        }

        let attachments = bytes();
        let first = attachments[0].clone();
        let text = format!(
            r#"51-["a",{{"Newtype":{ZERO}}},{{"Tuple":[7,{ZERO}]}},{{"Struct":{{"bytes":{ZERO}}}}},"Unit",{ZERO},{ZERO},"t",
            {{"inner":{ZERO},"kind":"Unit"}},{{"type":"Image","bytes":{ZERO}}}]"#
        );
        let args = args(&text).with_attachments(&attachments);
        type All = (Kind, Kind, Kind, Kind, Wrapped, Either, Either, Outer, Tagged);
        let all: All = args.all().unwrap();
        assert_eq!(all.0, Kind::Newtype(first.clone().into()));
        assert_eq!(all.1, Kind::Tuple(7, first.clone()));
        assert_eq!(all.2, Kind::Struct { bytes: first.clone() });
        assert_eq!(all.3, Kind::Unit);
        assert_eq!(all.4, Wrapped(first.clone().into()));
        assert_eq!(all.5, Either::Bytes(first.clone().into()));
        assert_eq!(all.6, Either::Text("t".into()));
        assert_eq!(all.7, Outer { inner: Inner { inner: first.clone() }, kind: Kind::Unit });
        assert_eq!(all.8, Tagged::Image { bytes: first });
    }

    #[test]
    fn everything_else_reads_as_without_attachments() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct All<'a> {
            text: &'a str,
            escaped: String,
            number: f64,
            big: i128,
            flag: bool,
            none: Option<u8>,
            some: Option<u8>,
            list: Vec<(u8, char)>,
            map: BTreeMap<u32, i8>,
            value: Value,
            unit: (),
        }
        let text = r#"51-["a",{"text":"t","escaped":"\n","number":1.5,"big":-170141183460469231731687303715884105728,"flag":true,
            "none":null,"some":1,"list":[[1,"c"]],"map":{"1":-1},"value":{"num":1,"a":{"num":{"_placeholder":false}},
            "_placeholder":1},"unit":null}]"#;
        let plain: All<'_> = args(text).first().unwrap();
        let attachments = bytes();
        let attached: All<'_> = args(text).with_attachments(&attachments).first().unwrap();
        assert_eq!(plain, attached);
        let objects =
            json!([{}, { "_placeholder": false, "num": 1 }, { "num": 0 }, { "a": { "num": null } }]);
        let text = format!("51-[\"a\",{objects}]");
        assert_eq!(args(&text).with_attachments(&attachments).first::<Value>().unwrap(), objects);
    }

    #[test]
    fn values_and_raw_values_keep_the_placeholder() {
        let (attachments, text) = (bytes(), format!("51-[\"a\",{{\"x\":{ZERO}}}]"));
        let args = args(&text).with_attachments(&attachments);
        let value: Value = args.first().unwrap();
        assert_eq!(value, json!({ "x": { "_placeholder": true, "num": 0 } }));
        assert_eq!(args.first::<&RawValue>().unwrap().get(), format!("{{\"x\":{ZERO}}}"));
    }

    #[test]
    fn one_may_be_used_twice_or_not_at_all() {
        let (attachments, text) = (bytes(), format!("52-[\"a\",{ZERO},{ZERO}]"));
        let (left, right): (Binary, Binary) = args(&text).with_attachments(&attachments).all().unwrap();
        assert_eq!(left, right);
    }

    #[test]
    fn a_placeholder_without_valid_num_is_a_protocol_error() {
        let attachments = bytes();
        for num in [r#","num":-1"#, r#","num":1.5"#, r#","num":"0""#, r#","num":99"#, ""] {
            let text = format!(r#"52-["a",{{"_placeholder":true{num}}}]"#);
            let args = args(&text).with_attachments(&attachments);
            assert!(args.first::<Binary>().unwrap_err().is_syntax(), "{text}");
            assert!(args.first::<Bytes>().unwrap_err().is_syntax(), "{text}");
            assert_eq!(args.validate(), Err(DecodeError::InvalidPlaceholder), "{text}");
        }
    }

    #[test]
    fn in_a_packet_without_attachments_a_placeholder_is_data() {
        let text = format!("2[\"a\",{ZERO}]");
        let args = args(&text);
        assert_eq!(args.first::<Value>().unwrap(), json!({ "_placeholder": true, "num": 0 }));
        assert!(matches!(args.first::<Binary>(), Err(ArgsError::Data(_))));
        assert!(matches!(args.first::<Bytes>(), Err(ArgsError::Data(_))));
        assert_eq!(args.validate(), Ok(()));
    }

    #[test]
    fn bytes_from_an_object_that_is_no_placeholder_are_a_data_error() {
        let attachments = bytes();
        for object in ["{}", r#"{"num":0}"#, r#"{"_placeholder":false,"num":0}"#, "1", "true", "null"] {
            let text = format!("51-[\"a\",{object}]");
            let args = args(&text).with_attachments(&attachments);
            assert!(matches!(args.first::<Binary>(), Err(ArgsError::Data(_))), "{object}");
            assert!(matches!(args.first::<Vec<u8>>(), Err(ArgsError::Data(_))), "{object}");
        }
    }

    #[test]
    fn bytes_written_as_text_or_numbers_are_read_too() {
        let attachments = bytes();
        let args = args(r#"51-["a","xy",[1,2],[3,4]]"#).with_attachments(&attachments);
        let (text, numbers, list): (Bytes, Binary, Vec<u8>) = args.all().unwrap();
        assert_eq!((&text[..], &numbers[..], list), (&b"xy"[..], &[1, 2][..], vec![3, 4]));
        assert!(matches!(args.first::<Binary>(), Err(ArgsError::Data(_))));
    }
}

#[test]
fn arguments_that_are_passed_over_are_no_deeper_than_those_that_are_read() {
    for depth in [126, 127, 1000, 100_000] {
        let array = alloc::format!("[1,{}{}]", "[".repeat(depth), "]".repeat(depth));
        let args = Args::from_array(&array).unwrap();
        let is_fine = depth < 127;
        assert_eq!(args.validate().is_ok(), is_fine);
        for error in [args.first::<u8>().err(), args.all::<(u8,)>().err(), args.all::<()>().err()] {
            match error {
                None => assert!(is_fine, "{depth}"),
                Some(error) => assert!(!is_fine && error.is_syntax(), "{depth}: {error}"),
            }
        }
    }
}
