use alloc::{format, string::String};

use super::*;

fn decode(text: &str) -> Result<Packet<'_>, DecodeError> {
    Packet::decode(text, &Limits::default())
}

fn packet(packet_type: PacketType, namespace: &'static str, data: &'static str) -> Packet<'static> {
    Packet { packet_type, namespace, ack_id: None, attachment_count: 0, data }
}

mod types {
    use super::*;

    #[test]
    fn each_digit_is_a_type_and_each_type_a_digit() {
        for byte in 0..=u8::MAX {
            match PacketType::from_digit(byte) {
                Some(packet_type) => assert_eq!(packet_type.digit(), byte),
                None => assert!(!(b'0'..=b'6').contains(&byte)),
            }
        }
    }

    #[test]
    fn an_unknown_type_is_refused() {
        for text in ["7", "9[]", "a", "-1", " 2[\"a\"]", "[\"a\"]"] {
            assert_eq!(decode(text), Err(DecodeError::UnknownType { byte: text.as_bytes()[0] }));
        }
        assert_eq!(decode("é1234"), Err(DecodeError::UnknownType { byte: 0xc3 }));
    }

    #[test]
    fn an_empty_packet_is_refused() {
        assert_eq!(decode(""), Err(DecodeError::Empty));
    }
}

mod namespaces {
    use super::*;

    #[test]
    fn the_main_namespace_is_not_written() {
        assert_eq!(decode("0"), Ok(packet(PacketType::Connect, "/", "")));
        assert_eq!(decode("1"), Ok(packet(PacketType::Disconnect, "/", "")));
    }

    #[test]
    fn a_namespace_ends_at_a_comma_or_at_the_end() {
        assert_eq!(decode("0/random"), Ok(packet(PacketType::Connect, "/random", "")));
        assert_eq!(decode("1/admin,"), Ok(packet(PacketType::Disconnect, "/admin", "")));
        assert_eq!(decode("0/admin,{}"), Ok(packet(PacketType::Connect, "/admin", "{}")));
        assert_eq!(decode("0/"), Ok(packet(PacketType::Connect, "/", "")));
        assert_eq!(decode("2/,[\"a\"]"), Ok(packet(PacketType::Event, "/", "[\"a\"]")));
        assert_eq!(decode("0/été,{}"), Ok(packet(PacketType::Connect, "/été", "{}")));
    }

    #[test]
    fn the_query_of_a_version_2_client_is_part_of_it() {
        assert_eq!(decode("0/ns?x=1,"), Ok(packet(PacketType::Connect, "/ns?x=1", "")));
    }

    #[test]
    fn a_forgotten_comma_does_not_make_an_event() {
        // The namespace then reaches to the comma in the payload.
        assert!(decode("2/admin[\"a\",1]").is_err());
        assert_eq!(decode("2/admin[\"a\"]").map(|packet| packet.data), Ok(""));
    }

    #[test]
    fn one_that_is_too_long_is_refused() {
        let longest = format!("0/{}", "a".repeat(4095));
        assert!(decode(&longest).is_ok());
        let longer = format!("0/{},{{}}", "a".repeat(4096));
        assert_eq!(decode(&longer), Err(DecodeError::NamespaceTooLong { len: 4097, max: 4096 }));
    }
}

mod ack_ids {
    use super::*;

    #[test]
    fn an_ack_id_stands_before_the_payload() {
        assert_eq!(decode("213[\"a\"]").unwrap().ack_id, Some(13));
        assert_eq!(decode("2/admin,0[\"a\"]").unwrap().ack_id, Some(0));
        assert_eq!(decode("3/admin,456[]").unwrap().ack_id, Some(456));
        assert_eq!(decode("2[\"a\"]").unwrap().ack_id, None);
        assert_eq!(decode("2007[\"a\"]").unwrap().ack_id, Some(7));
        assert_eq!(decode("51-13[\"a\"]").unwrap().ack_id, Some(13));
    }

    #[test]
    fn the_largest_fits_64_bits_and_the_next_is_refused() {
        assert_eq!(decode("318446744073709551615[]").unwrap().ack_id, Some(u64::MAX));
        assert_eq!(decode("318446744073709551616[]"), Err(DecodeError::AckIdOverflow));
        assert_eq!(decode("399999999999999999999999[]"), Err(DecodeError::AckIdOverflow));
    }

    #[test]
    fn a_hundred_thousand_digits_are_an_error() {
        let text = format!("2{}[\"a\"]", "1".repeat(100_000));
        assert_eq!(decode(&text), Err(DecodeError::AckIdOverflow));
    }

    #[test]
    fn white_space_and_signs_are_no_digits() {
        for text in ["2 [\"a\"]", "2-1[\"a\"]", "21 [\"a\"]", "2+1[\"a\"]", "2\n[\"a\"]"] {
            assert_eq!(decode(text), Err(DecodeError::InvalidPayload { packet_type: PacketType::Event }));
        }
    }

    #[test]
    fn an_ack_without_id_passes_as_in_the_official_parser() {
        assert_eq!(decode("3[]").unwrap().ack_id, None);
    }
}

mod attachment_counts {
    use super::*;

    #[test]
    fn binary_packets_announce_their_attachments() {
        let packet = decode("52-/admin,13[\"a\",{\"_placeholder\":true,\"num\":0}]").unwrap();
        assert_eq!(packet.packet_type, PacketType::BinaryEvent);
        assert_eq!((packet.attachment_count, packet.namespace, packet.ack_id), (2, "/admin", Some(13)));
        let packet = decode("61-1[{\"_placeholder\":true,\"num\":0}]").unwrap();
        assert_eq!((packet.packet_type, packet.attachment_count), (PacketType::BinaryAck, 1));
    }

    #[test]
    fn ten_are_allowed_and_eleven_are_not() {
        assert_eq!(decode("510-[\"a\"]").unwrap().attachment_count, 10);
        assert_eq!(decode("511-[\"a\"]"), Err(DecodeError::TooManyAttachments { count: 11, max: 10 }));
        let limits = Limits { max_attachments: 11, ..Limits::default() };
        assert_eq!(Packet::decode("511-[\"a\"]", &limits).unwrap().attachment_count, 11);
    }

    #[test]
    fn a_thousand_million_are_refused() {
        let count = 1_000_000_000;
        assert_eq!(decode("51000000000-[\"a\"]"), Err(DecodeError::TooManyAttachments { count, max: 10 }));
        let text = format!("5{}-[\"a\"]", "9".repeat(100_000));
        assert_eq!(decode(&text), Err(DecodeError::TooManyAttachments { count: usize::MAX, max: 10 }));
    }

    #[test]
    fn none_or_no_decimal_number_is_refused() {
        for text in [
            "5",
            "6",
            "5[\"a\"]",
            "5-[\"a\"]",
            "50-[\"a\"]",
            "60-[]",
            "500-[]",
            "5 1-[\"a\"]",
            "5+1-[\"a\"]",
            "5-1-[\"a\"]",
            "51.0-[\"a\"]",
            "51e0-[\"a\"]",
            "50x1-[\"a\"]",
            "51[\"a\"]",
            "51",
            "51,[\"a-b\"]",
            "5١-[\"a\"]",
        ] {
            assert_eq!(decode(text), Err(DecodeError::InvalidAttachmentCount), "{text}");
        }
    }

    #[test]
    fn plain_packets_announce_none() {
        assert_eq!(decode("21-[\"a\"]"), Err(DecodeError::InvalidPayload { packet_type: PacketType::Event }));
    }
}

mod payloads {
    use super::*;

    #[test]
    fn what_the_official_parser_lets_pass_without_payload_passes() {
        for text in ["0", "1", "2", "3", "4", "51-", "61-", "21", "31", "2/admin", "15"] {
            assert_eq!(decode(text).map(|packet| packet.data), Ok(""), "{text}");
        }
    }

    #[test]
    fn payloads_of_another_shape_are_refused() {
        for text in [
            "0[]", "0\"a\"", "0null", "0true", "1{}", "1[]", "1null", "1x", "2{}", "2\"a\"", "2null",
            "2false", "3{}", "3null", "3\"a\"", "4[]", "4null", "4true", "4abc", "2[", "2[\"a\"", "2[\"a\"}",
            "3[", "0{", "0{]", "4\"", "4\"a", "51-{}", "61-{}", "61-null",
        ] {
            let packet_type = PacketType::from_digit(text.as_bytes()[0]).unwrap();
            let error = decode(text).unwrap_err();
            let name_first = text.starts_with("2[") && error == DecodeError::InvalidEventName;
            assert!(name_first || error == (DecodeError::InvalidPayload { packet_type }), "{text}: {error}");
        }
    }

    #[test]
    fn an_event_needs_a_name_that_is_a_string_or_a_number() {
        for text in [
            "2[]",
            "2[ ]",
            "2[null]",
            "2[{}]",
            "2[[\"a\"]]",
            "2[true]",
            "2[,]",
            "51-[]",
            "51-[null]",
            "2[+1]",
        ] {
            assert_eq!(decode(text), Err(DecodeError::InvalidEventName), "{text}");
        }
        for text in ["2[1]", "2[-1]", "2[\"\"]", "2[ \"a\"]", "2[\"\\u00e9\"]", "51-[0]"] {
            assert!(decode(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn reserved_event_names_are_refused() {
        for name in RESERVED_EVENTS {
            assert_eq!(decode(&format!("2[\"{name}\"]")), Err(DecodeError::ReservedEventName));
            assert_eq!(decode(&format!("51-[ \"{name}\",1]")), Err(DecodeError::ReservedEventName));
            assert!(decode(&format!("2[\"{name}ed\"]")).is_ok());
            assert!(decode(&format!("3[\"{name}\"]")).is_ok());
        }
        assert!(decode("2[\"error\"]").is_ok());
    }

    #[test]
    fn white_space_behind_the_payload_is_allowed() {
        assert_eq!(decode("2[\"a\"] \n").unwrap().event().unwrap().name, "a");
    }

    #[test]
    fn validate_finds_broken_json_anywhere() {
        for text in
            ["2[\"a\",]", "2[\"a\",{\"b\"}]", "2[\"a\"]]", "0{a}", "4\"a\"b\"", "3[1 2]", "2[\"a\",\"\t\"]"]
        {
            assert!(
                matches!(decode(text).unwrap().validate(), Err(DecodeError::InvalidJson { .. })),
                "{text}"
            );
        }
        for text in ["2", "2[\"a\",{\"b\":[1]}]", "0{}", "4\"a\"", "3[]"] {
            assert_eq!(decode(text).unwrap().validate(), Ok(()), "{text}");
        }
    }

    #[test]
    fn validate_refuses_a_hundred_thousand_levels() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let text = format!("2[\"a\",{}1{}]", open.repeat(100_000), close.repeat(100_000));
            assert_eq!(decode(&text).unwrap().validate(), Err(DecodeError::TooDeep { max: 127 }));
        }
    }

    #[test]
    fn connect_data_reads_as_any_type() {
        #[derive(Debug, serde::Deserialize)]
        struct Auth<'a> {
            token: &'a str,
        }
        assert_eq!(decode("0{\"token\":\"x\"}").unwrap().payload::<Auth<'_>>().unwrap().token, "x");
        assert!(decode("0").unwrap().payload::<Option<Auth<'_>>>().unwrap().is_none());
        let missing = decode("0").unwrap().payload::<Auth<'_>>().unwrap_err();
        assert!(matches!(missing, ArgsError::Missing { index: 0 }));
        assert!(matches!(decode("0{}").unwrap().payload::<Auth<'_>>(), Err(ArgsError::Data(_))));
        assert!(decode("0{\"token\"}").unwrap().payload::<Auth<'_>>().unwrap_err().is_syntax());
        assert_eq!(decode("4\"bad\"").unwrap().payload::<String>().unwrap(), "bad");
    }
}

/// Ten times the input must not take much more than ten times as long; a quadratic decoder takes a hundred times.
#[cfg(feature = "std")]
#[test]
fn decoding_takes_linear_time() {
    use cpu_time::ThreadTime;
    use std::time::Duration;

    type Make = fn(usize) -> String;
    let inputs: [(&str, Make); 8] = [
        ("digits of a count", |len| format!("5{}-[\"a\"]", "1".repeat(len))),
        ("leading zeros of an ack id", |len| format!("2{}[\"a\"]", "0".repeat(len))),
        ("a namespace", |len| format!("2/{},[\"a\"]", "n".repeat(len))),
        ("a name", |len| format!("2[\"{}\"]", "n".repeat(len))),
        ("escapes in a name", |len| format!("2[\"{}\"]", "\\\"".repeat(len / 2))),
        ("white space", |len| format!("2[{}\"a\"{}]{}", " ".repeat(len), " ".repeat(len), " ".repeat(len))),
        ("brackets", |len| format!("2[\"a\",{}]", "[".repeat(len))),
        ("digits of a numeric name", |len| format!("2[{}]", "1".repeat(len))),
    ];
    let shortest = |text: &str| {
        (0..5).fold(Duration::MAX, |shortest, _| {
            // Of this thread, as other programs take their part of the time.
            let start = ThreadTime::now();
            if let Ok(packet) = decode(text) {
                let _ = packet.event().map(|event| event.args.validate());
                let _ = packet.validate();
            }
            shortest.min(start.elapsed())
        })
    };
    for (name, make) in inputs {
        let short = shortest(&make(20_000));
        let long = shortest(&make(200_000));
        assert!(long < short * 40 + Duration::from_millis(5), "{name}: {short:?}, then {long:?}");
    }
}
