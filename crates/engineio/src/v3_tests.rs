//! Tests of revision 3.

use super::*;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use proptest::prelude::*;

fn text(body: &str) -> Vec<Result<Packet<'_>, DecodeError>> {
    match PayloadDecoder::text(body.as_bytes(), PayloadLimits::default()) {
        Ok(packets) => packets.collect(),
        Err(error) => vec![Err(error)],
    }
}

fn binary(body: &[u8]) -> Vec<Result<Packet<'_>, DecodeError>> {
    PayloadDecoder::binary(body, PayloadLimits::default()).collect()
}

fn bytes(bytes: &[u8]) -> Packet<'_> {
    Packet::Binary(Cow::Borrowed(bytes))
}

mod packets {
    use super::*;

    #[test]
    fn text_is_the_same_as_in_revision_4() {
        assert_eq!(decode_text("2probe"), Ok(Packet::Ping("probe")));
        assert_eq!(decode_text("4é"), Ok(Packet::Text("é")));
        assert_eq!(decode_text("é"), Err(DecodeError::UnknownPacketType { byte: 0xc3 }));
        assert_eq!(decode_text(""), Err(DecodeError::EmptyPacket));
    }

    #[test]
    fn bytes_have_their_type_in_front_also_as_base64() {
        assert_eq!(decode_text("b4AQID"), Ok(bytes(&[1, 2, 3])));
        assert_eq!(decode_binary(&[4, 1, 2, 3]), Ok(&[1, 2, 3][..]));
        assert_eq!(decode_binary(&[4]), Ok(&[][..]));
        assert_eq!(decode_text("b4"), Ok(bytes(&[])));
        let (mut raw, mut base64) = (Vec::new(), Vec::new());
        encode_binary(&[1, 2, 3], &mut raw);
        encode_base64(&[1, 2, 3], &mut base64);
        assert_eq!((&*raw, &*base64), (&[4, 1, 2, 3][..], &b"b4AQID"[..]));
    }

    #[test]
    fn bytes_that_are_no_message_are_an_error() {
        assert_eq!(decode_binary(&[]), Err(DecodeError::EmptyPacket));
        assert_eq!(decode_text("b"), Err(DecodeError::EmptyPacket));
        for byte in [0, 1, 2, 3, 5, 6, 7, b'4', 0xff] {
            assert_eq!(decode_binary(&[byte, 1]), Err(DecodeError::UnknownPacketType { byte }));
        }
        assert_eq!(decode_text("bAQID"), Err(DecodeError::UnknownPacketType { byte: b'A' }));
        assert_eq!(decode_text("b2AQID"), Err(DecodeError::UnknownPacketType { byte: b'2' }));
        assert_eq!(decode_text("b4!"), Err(DecodeError::InvalidBase64));
        assert_eq!(decode_text("bé"), Err(DecodeError::UnknownPacketType { byte: 0xc3 }));
    }
}

mod text_payloads {
    use super::*;

    #[test]
    fn lengths_count_utf16_code_units() {
        assert_eq!(text("6:4hello1:2"), [Ok(Packet::Text("hello")), Ok(Packet::Ping(""))]);
        assert_eq!(
            text("2:4€5:4\u{1f41f}\u{1f41f}"),
            [Ok(Packet::Text("€")), Ok(Packet::Text("\u{1f41f}\u{1f41f}"))]
        );
        assert_eq!(text("6:b4AQID1:6"), [Ok(bytes(&[1, 2, 3])), Ok(Packet::Noop)]);
    }

    #[test]
    fn packets_without_a_character_are_skipped() {
        assert_eq!(text("0:"), []);
        assert_eq!(text("0:1:20:"), [Ok(Packet::Ping(""))]);
    }

    #[test]
    fn lengths_that_are_wrong_are_errors() {
        for body in [
            ":4",
            "1",
            "12",
            "1x:4",
            "-1:4",
            "+1:4",
            " 1:4",
            "1e1:4",
            "2:4",
            "3:4é",
            "4é",
            "99999999999:4",
            "18446744073709551617:4",
            "é:4",
            "2:4\u{1f41f}",
            "00000000001:4",
        ] {
            assert_eq!(text(body).last(), Some(&Err(DecodeError::InvalidLength)), "{body:?}");
        }
        assert_eq!(text(""), [Err(DecodeError::EmptyPacket)]);
        assert_eq!(text("1:22:"), [Ok(Packet::Ping("")), Err(DecodeError::InvalidLength)]);
        assert_eq!(text(&"9".repeat(100_000)), [Err(DecodeError::InvalidLength)]);
    }

    #[test]
    fn packets_that_are_wrong_are_errors_and_the_last() {
        assert_eq!(text("1:71:2"), [Err(DecodeError::UnknownPacketType { byte: b'7' })]);
        assert_eq!(text("4:b4!!1:2"), [Err(DecodeError::InvalidBase64)]);
        let invalid = PayloadDecoder::text(b"2:4\xff", PayloadLimits::default());
        assert_eq!(invalid.err(), Some(DecodeError::InvalidUtf8 { valid_up_to: 3 }));
    }
}

mod binary_payloads {
    use super::*;

    #[test]
    fn lengths_count_bytes() {
        let body =
            [&[0, 3, 0xff][..], "4é".as_bytes(), &[1, 4, 0xff, 4, 1, 2, 3], &[0, 1, 0xff, b'2']].concat();
        assert_eq!(binary(&body), [Ok(Packet::Text("é")), Ok(bytes(&[1, 2, 3])), Ok(Packet::Ping(""))]);
        let long = [&[1, 1, 0, 1, 0xff, 4][..], &[7; 100]].concat();
        assert_eq!(binary(&long), [Ok(bytes(&[7; 100]))]);
        assert_eq!(binary(&[]), []);
    }

    #[test]
    fn lengths_that_are_wrong_are_errors() {
        for body in [
            &[0][..],
            &[0, 1],
            &[0, 0xff],
            &[1, 10, 0xff, 4],
            &[0, b'1', 0xff, b'4'],
            &[1, 2, 0xff, 4],
            &[1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0xff, 4],
            &[0; 1000],
        ] {
            assert_eq!(binary(body), [Err(DecodeError::InvalidLength)], "{body:?}");
        }
    }

    #[test]
    fn packets_that_are_wrong_are_errors_and_the_last() {
        assert_eq!(binary(&[2, 1, 0xff, 4]), [Err(DecodeError::UnknownPacketType { byte: 2 })]);
        assert_eq!(binary(&[1, 0, 0xff]), [Err(DecodeError::EmptyPacket)]);
        assert_eq!(binary(&[0, 0, 0xff]), [Err(DecodeError::EmptyPacket)]);
        assert_eq!(binary(&[1, 1, 0xff, 2]), [Err(DecodeError::UnknownPacketType { byte: 2 })]);
        assert_eq!(
            binary(&[0, 2, 0xff, b'4', 0xff, 0, 1, 0xff, b'2']),
            [Err(DecodeError::InvalidUtf8 { valid_up_to: 1 })]
        );
    }
}

#[test]
fn payloads_of_more_packets_than_allowed_are_errors() {
    let limits = PayloadLimits { max_packet_count: 2, ..PayloadLimits::default() };
    let packets: Vec<_> = PayloadDecoder::text(b"1:21:21:2", limits).unwrap().collect();
    let too_many = Err(DecodeError::TooManyPackets { max: 2 });
    assert_eq!(packets, [Ok(Packet::Ping("")), Ok(Packet::Ping("")), too_many.clone()]);
    let packets: Vec<_> = PayloadDecoder::text(b"0:0:0:", limits).unwrap().collect();
    assert_eq!(packets, [too_many]);
}

#[test]
fn open_packet_is_framed_like_any_other() {
    let open = OpenPacket {
        sid: "é".into(),
        upgrades: crate::TransportSet::EMPTY,
        ping_interval: core::time::Duration::from_secs(1),
        ping_timeout: core::time::Duration::from_secs(2),
        max_payload: 3,
    };
    let mut body = Vec::new();
    PayloadEncoder::text(&mut body).push_open(&open);
    let json = r#"0{"sid":"é","upgrades":[],"pingInterval":1000,"pingTimeout":2000,"maxPayload":3}"#;
    assert_eq!(String::from_utf8(body).unwrap(), format!("{}:{json}", json.chars().count()));
}

#[derive(Debug, Clone)]
enum Sent {
    Text(String),
    Bytes(Vec<u8>),
    Pong,
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        any::<String>().prop_map(Sent::Text),
        any::<Vec<u8>>().prop_map(Sent::Bytes),
        Just(Sent::Pong)
    ]
}

proptest! {
    #[test]
    fn payloads_decode_to_what_was_encoded(packets in proptest::collection::vec(sent(), 1..8), is_binary in any::<bool>()) {
        let mut body = Vec::new();
        let mut encoder =
            if is_binary { PayloadEncoder::binary(&mut body) } else { PayloadEncoder::text(&mut body) };
        for packet in &packets {
            match packet {
                Sent::Text(text) => encoder.push_text(PacketType::Message, text),
                Sent::Bytes(bytes) => encoder.push_binary(bytes),
                Sent::Pong => encoder.push_encoded(b"3"),
            }
        }
        let decoded: Vec<_> = if is_binary {
            PayloadDecoder::binary(&body, PayloadLimits::default()).collect()
        } else {
            PayloadDecoder::text(&body, PayloadLimits::default()).unwrap().collect()
        };
        let expected: Vec<_> = packets.iter().map(|packet| Ok(match packet {
            Sent::Text(text) => Packet::Text(text),
            Sent::Bytes(sent) => bytes(sent),
            Sent::Pong => Packet::Pong(""),
        })).collect();
        prop_assert_eq!(decoded, expected);
    }

    #[test]
    fn lengths_are_those_of_utf16(text in any::<String>(), number in any::<usize>()) {
        prop_assert_eq!(utf16_len(text.as_bytes()), text.encode_utf16().count());
        let mut digits = Vec::new();
        push_digits(&mut digits, number, b'0');
        prop_assert_eq!(String::from_utf8(digits).unwrap(), number.to_string());
    }

    #[test]
    fn any_payload_decodes_or_fails_without_a_panic(
        any_text in any::<String>(), near in "([0-9]{1,2}:[0-6b4é😀A=]{0,6}){0,4}", raw in any::<Vec<u8>>(),
        near_bytes in proptest::collection::vec(prop_oneof![0..11_u8, Just(0xff)], 0..30),
    ) {
        for body in [any_text.as_str(), &near] {
            let _ = text(body);
        }
        for body in [&raw, &near_bytes] {
            let _ = binary(body);
        }
    }
}
