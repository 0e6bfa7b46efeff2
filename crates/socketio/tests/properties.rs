//! What holds for every input: encoding then decoding is the identity, and decoding never panics.

use core::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use proptest::{collection::vec, prelude::*};
use serde::{Deserialize, Serialize};
use sockeye_socketio::{
    Args, Assembler, Binary, Limits, OwnedArgs, Packet, PacketType, encode_ack, encode_event,
    is_reserved_event, msgpack,
};

/// A tree with bytes anywhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Tree {
    Nothing,
    Text(String),
    Number(i64),
    Flag(bool),
    Bytes(Binary),
    Copied(Bytes),
    List(Vec<Self>),
    Fields { left: Option<Box<Self>>, right: Box<Self> },
}

fn tree() -> impl Strategy<Value = Tree> {
    let bytes = || vec(any::<u8>(), 0..20);
    let leaf = prop_oneof![
        Just(Tree::Nothing),
        any::<String>().prop_map(Tree::Text),
        any::<i64>().prop_map(Tree::Number),
        any::<bool>().prop_map(Tree::Flag),
        bytes().prop_map(|bytes| Tree::Bytes(bytes.into())),
        bytes().prop_map(|bytes| Tree::Copied(bytes.into())),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Tree::List),
            (proptest::option::of(boxed()), boxed()).prop_map(|(left, right)| Tree::Fields { left, right }),
        ]
    })
}

fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![Just("/".to_owned()), "/[^,]{0,20}"]
}

/// Text that is nearly a packet.
fn near_packet() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("0"),
        Just("2"),
        Just("5"),
        Just("6"),
        Just("1-"),
        Just("-"),
        Just("/a"),
        Just(","),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just("\""),
        Just("\\"),
        Just("\\u"),
        Just("d83d"),
        Just("é"),
        Just(" "),
        Just("1e9"),
        Just("\"_placeholder\":true"),
        Just("\"num\":0"),
        Just("\"a\""),
        Just("null"),
        Just("\n"),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Everything that can be done with a text that a peer sent.
fn read_everything(text: &str) {
    let Ok(packet) = Packet::decode(text, &Limits::default()) else { return };
    let valid = packet.validate().is_ok();
    let _ = packet.payload::<serde_json::Value>();
    let attachments = [Bytes::from_static(b"x")];
    for args in packet.event().map(|event| event.args).into_iter().chain(packet.ack()) {
        let _ = (args.json(), args.is_empty(), format!("{args:?}"));
        assert_eq!(args.validate().is_ok(), valid, "{text}");
        assert_eq!(args.all::<()>().is_ok(), valid, "{text}");
        for args in [args, args.with_attachments(&attachments)] {
            let _ = (args.all::<Tree>(), args.first::<Tree>(), args.first::<serde_json::Value>());
            let _ = (args.first::<Binary>(), args.first::<Vec<u8>>(), args.first::<Option<&[u8]>>());
            let _ = encode_event(&mut Vec::new(), &mut Vec::new(), "/", None, "e", &args);
            let broken = args.all::<Vec<serde_json::Value>>().is_err_and(|error| error.is_syntax());
            assert!(!broken || args.validate().is_err(), "{text}");
        }
    }
    if packet.attachment_count > 0 {
        let text = ByteString::from(text);
        let mut assembler = Assembler::default();
        assembler.begin(text, &packet, Duration::ZERO).expect("the packet has attachments");
        for _ in 1..packet.attachment_count {
            assembler.binary(Bytes::new()).expect("attachments are missing");
        }
        if let Ok(Some(assembled)) = assembler.binary(Bytes::new()) {
            assert!(valid);
            assert_eq!(assembled.packet().validate(), Ok(()));
            let _ = assembled.event().map(|event| event.args.first::<Tree>());
        }
    }
}

/// Everything that can be done with a message that a peer sent.
fn read_message(message: &[u8]) {
    let message = Bytes::copy_from_slice(message);
    let Ok(packet) = msgpack::Packet::decode(&message, &Limits::default()) else { return };
    let _ = packet.payload::<serde_json::Value>();
    let _ = packet.payload_json().expect("what was decoded can be written as JSON");
    for args in packet.event().map(|event| event.args).into_iter().chain(packet.ack()) {
        args.validate().expect("what was decoded is valid");
        args.all::<()>().expect("nothing is asked for");
        let _ = (args.all::<Tree>(), args.first::<Tree>(), args.first::<serde_json::Value>());
        let _ = (args.first::<Binary>(), args.first::<Vec<u8>>(), args.first::<Option<&[u8]>>());
        let _ =
            (args.first::<String>(), args.first::<i8>(), args.first::<std::collections::BTreeMap<u8, f32>>());

        // In the other form and back it is the same.
        let (text, attachments) = args.to_text();
        let read = Args::from_array(&text).expect("it is an array").with_attachments(&attachments);
        read.validate().expect("it is valid");
        let owned = OwnedArgs::from(args);
        for same in [owned.args(), read] {
            let mut out = Vec::new();
            msgpack::encode_event(&mut out, "/", None, "e", &same).expect("it can be written");
            let out = Bytes::from(out);
            let event =
                msgpack::Packet::decode(&out, &Limits::default()).expect("the depth is the same").event();
            assert_eq!(event.expect("it is an event").args.to_text(), (text.clone(), attachments.clone()));
        }
    }
}

proptest! {
    #[test]
    fn messages_come_back_as_they_went(
        namespace in namespace(),
        ack_id in any::<Option<u64>>(),
        name in any::<String>(),
        first in tree(),
        second in any::<Option<u32>>(),
    ) {
        prop_assume!(!is_reserved_event(&name));
        let mut out = Vec::new();
        let sent = (first, second);
        msgpack::encode_event(&mut out, &namespace, ack_id, &name, &sent).unwrap();
        let message = Bytes::from(out);
        let packet = msgpack::Packet::decode(&message, &Limits::default()).unwrap();
        prop_assert_eq!((packet.namespace, packet.ack_id), (&*namespace, ack_id));
        let event = packet.event().unwrap();
        prop_assert_eq!(&*event.name, &*name);
        prop_assert_eq!(&event.args.all::<(Tree, Option<u32>)>().unwrap(), &sent);
        prop_assert_eq!(event.args.first::<Tree>().unwrap(), sent.0.clone());

        // It means what the text form means.
        let (mut text, mut attachments) = (Vec::new(), Vec::new());
        encode_event(&mut text, &mut attachments, &namespace, ack_id, &name, &sent).unwrap();
        let text = String::from_utf8(text).unwrap();
        let (array, shared) = event.args.to_text();
        prop_assert!(text.ends_with(&array[1..]), "{} {}", text, array);
        prop_assert_eq!(&shared, &attachments);

        // Cut anywhere it is an error.
        for len in 0..message.len() {
            prop_assert!(msgpack::Packet::decode(&message.slice(..len), &Limits::default()).is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        read_message(&bytes);
    }

    #[test]
    fn arbitrary_arguments_of_a_message_never_panic(bytes in vec(any::<u8>(), 0..200), count in 0..8_u8) {
        read_message(&[b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data".as_slice(), &[0x91 + count], b"\xa1e", &bytes].concat());
        read_message(&[b"\x84\xa4type\x03\xa3nsp\xa1/\xa2id\x01\xa4data".as_slice(), &[0x90 + count], &bytes].concat());
        read_message(&[b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data".as_slice(), &[0x80 + count], &bytes].concat());
    }

    #[test]
    fn events_come_back_as_they_went(
        namespace in namespace(),
        ack_id in any::<Option<u64>>(),
        name in any::<String>(),
        first in tree(),
        second in any::<Option<u32>>(),
    ) {
        prop_assume!(!is_reserved_event(&name));
        let (mut out, mut attachments) = (Vec::new(), Vec::new());
        let sent = (first, second);
        encode_event(&mut out, &mut attachments, &namespace, ack_id, &name, &sent).unwrap();
        let text = ByteString::from(String::from_utf8(out).unwrap());
        let limits = Limits { max_attachments: 100, ..Limits::default() };
        let packet = Packet::decode(&text, &limits).unwrap();
        prop_assert_eq!(packet.namespace, namespace);
        prop_assert_eq!(packet.ack_id, ack_id);
        prop_assert_eq!(packet.attachment_count, attachments.len());
        prop_assert_eq!(packet.packet_type.is_binary(), !attachments.is_empty());
        prop_assert_eq!(packet.validate(), Ok(()));
        let event = packet.event().unwrap();
        prop_assert_eq!(&*event.name, &*name);
        let args = event.args.with_attachments(&attachments);
        prop_assert_eq!(args.validate(), Ok(()));
        prop_assert_eq!(&args.all::<(Tree, Option<u32>)>().unwrap(), &sent);
        prop_assert_eq!(args.first::<Tree>().unwrap(), sent.0);

        // Passed on, it is the same packet.
        let (mut again, mut shared) = (Vec::new(), Vec::new());
        encode_event(&mut again, &mut shared, packet.namespace, packet.ack_id, &event.name, &args).unwrap();
        prop_assert_eq!(again, text.as_bytes().as_ref());
        prop_assert_eq!(shared, attachments);
    }

    #[test]
    fn acks_come_back_as_they_went(namespace in namespace(), ack_id in any::<u64>(), sent in vec(any::<String>(), 0..4)) {
        let (mut out, mut attachments) = (Vec::new(), Vec::new());
        encode_ack(&mut out, &mut attachments, &namespace, ack_id, &(&sent, 1)).unwrap();
        let text = String::from_utf8(out).unwrap();
        let packet = Packet::decode(&text, &Limits::default()).unwrap();
        prop_assert_eq!(packet.packet_type, PacketType::Ack);
        prop_assert_eq!((packet.namespace, packet.ack_id), (&*namespace, Some(ack_id)));
        prop_assert_eq!(packet.ack().unwrap().all::<(Vec<String>, u8)>().unwrap(), (sent, 1));
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        read_everything(&text);
        let _ = Args::from_array(&text).map(|args| args.all::<Vec<Tree>>());
    }

    #[test]
    fn arbitrary_text_behind_a_type_never_panics(digit in 0..=6_u8, text in any::<String>()) {
        read_everything(&format!("{digit}{text}"));
    }

    #[test]
    fn nearly_a_packet_never_panics(text in near_packet()) {
        read_everything(&text);
        read_everything(&format!("51-[\"a\",{text}]"));
        read_everything(&format!("2[\"a\",{{{text}}}]"));
    }
}
