//! Arbitrary text as a packet: a full parse decides whether it is one, and what the lazy one says must agree with it,
//! whichever types the arguments are read into.
//!
//! Input: a byte of choices, and the text.
#![no_main]

use std::borrow::Cow;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use sockeye_fuzz::{
    json::Node,
    socketio::{self, Model},
};
use sockeye_socketio::{
    Args, ArgsError, DecodeError, Limits, Packet, PacketType, encode_ack, encode_connect,
    encode_connect_error_v2, encode_disconnect, encode_event,
};

fuzz_target!(|data: &[u8]| {
    let [choice, text @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let limits = match choice & 1 {
        0 => Limits::default(),
        _ => Limits { max_attachments: 1, max_namespace_len: 8 },
    };
    let model = socketio::parse(text, limits.max_attachments, limits.max_namespace_len);
    let packet = Packet::decode(text, &limits);
    assert_eq!(accepted(&packet), model.is_some(), "{packet:?}, {model:?}");
    let Ok(packet) = packet else { return };
    read_arguments(&packet, model.is_some());
    if let Some(model) = model {
        assert_same(&packet, &model);
        encode_again(&packet);
    }
});

/// Whether the packet passes all checks of one that nobody reads.
fn accepted(packet: &Result<Packet<'_>, DecodeError>) -> bool {
    let Ok(packet) = packet else { return false };
    let name = match packet.packet_type {
        PacketType::Event | PacketType::BinaryEvent => packet.event().map(|_| ()),
        PacketType::Ack | PacketType::BinaryAck => packet.ack().map(|_| ()),
        _ => {
            assert!(matches!(packet.event(), Err(DecodeError::UnexpectedType { .. })));
            assert!(matches!(packet.ack(), Err(DecodeError::UnexpectedType { .. })));
            Ok(())
        }
    };
    packet.validate().is_ok() && name.is_ok()
}

fn assert_same(packet: &Packet<'_>, model: &Model<'_>) {
    assert_eq!(packet.packet_type.digit(), model.packet_type);
    assert_eq!(packet.attachment_count, model.attachment_count);
    assert_eq!(packet.namespace, model.namespace);
    assert_eq!(packet.ack_id, model.ack_id);
    assert_eq!(packet.data, model.data);
    if let Ok(event) = packet.event() {
        match model.payload.as_ref().map(elements) {
            None => assert_eq!(event.name, ""),
            Some([Node::Number(name), ..]) => assert_eq!(event.name, *name),
            Some([Node::String(Some(name)), ..]) => assert_eq!(event.name, name.as_str()),
            Some([Node::String(None), ..]) => {}
            other => panic!("an event that begins with {other:?}"),
        }
    }
    if let Ok(args) = arguments(packet) {
        let named = usize::from(matches!(packet.packet_type, PacketType::Event | PacketType::BinaryEvent));
        let count = model.payload.as_ref().map_or(0, |payload| elements(payload).len() - named);
        let ignored: Vec<IgnoredAny> = args.all().expect("any argument can be ignored");
        assert_eq!(ignored.len(), count);
        assert_eq!(args.is_empty(), count == 0);
    }
}

fn elements<'n, 'a>(node: &'n Node<'a>) -> &'n [Node<'a>] {
    match node {
        Node::Array(elements) => elements,
        _ => &[],
    }
}

fn arguments<'a>(packet: &Packet<'a>) -> Result<Args<'a>, DecodeError> {
    packet.event().map(|event| event.args).or_else(|_| packet.ack())
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "read for the sake of reading")]
struct Struct<'a> {
    a: Option<&'a str>,
    #[serde(borrow)]
    b: Option<Cow<'a, str>>,
    c: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
#[allow(dead_code, reason = "read for the sake of reading")]
enum Untagged {
    Number(u64),
    Text(String),
    List(Vec<Value>),
    Nothing,
}

/// The peer is blamed exactly when the text is broken, whoever reads it.
fn read_arguments(packet: &Packet<'_>, well_formed: bool) {
    if let Ok(args) = arguments(packet) {
        assert_eq!(args.validate().is_ok(), well_formed);
        if matches!(args.validate(), Err(DecodeError::TooDeep { .. })) {
            // What is too deep need not be found so by a type that passes over it; what builds it must stop.
            assert!(args.all::<Vec<Value>>().is_err());
            return;
        }
        read_as::<Vec<Value>>(&args, well_formed);
        read_as::<Value>(&args, well_formed);
        read_as::<()>(&args, well_formed);
        read_as::<IgnoredAny>(&args, well_formed);
        read_as::<(u64, Option<String>)>(&args, well_formed);
        read_as::<(Cow<'_, str>, bool, [i8; 2])>(&args, well_formed);
        read_as::<Struct<'_>>(&args, well_formed);
        read_as::<(Struct<'_>,)>(&args, well_formed);
        read_as::<Option<Vec<Untagged>>>(&args, well_formed);
        // serde_json lets unescaped control characters pass in strings that are read as bytes.
        if well_formed || !packet.data.contains(|c: char| c.is_ascii_control()) {
            read_as::<Vec<Bytes>>(&args, well_formed);
        }
        judge(args.first::<Value>(), well_formed);
        judge(args.first::<Option<&str>>(), well_formed);
        if let Ok(all) = args.all::<Vec<Value>>() {
            let parsed: Vec<Value> =
                serde_json::from_str(&format!("[{}]", args.json())).expect("the same text");
            assert_eq!(all, parsed);
            let first = args.first::<Option<Value>>().expect("the first of them");
            assert_eq!(first.unwrap_or_default(), all.first().cloned().unwrap_or_default());
        }
    } else if matches!(packet.packet_type, PacketType::Connect | PacketType::ConnectError)
        && !matches!(packet.validate(), Err(DecodeError::TooDeep { .. }))
    {
        judge(packet.payload::<Value>(), well_formed);
        judge(packet.payload::<Struct<'_>>(), well_formed);
        judge(packet.payload::<String>(), well_formed);
    }
}

fn read_as<'a, T: Deserialize<'a>>(args: &Args<'a>, well_formed: bool) {
    judge(args.all::<T>(), well_formed);
}

fn judge<T>(result: Result<T, ArgsError>, well_formed: bool) {
    match result {
        Ok(_) => assert!(well_formed, "read from broken text"),
        Err(error) => assert_eq!(error.is_syntax(), !well_formed, "{error}"),
    }
}

/// What was decoded and is encoded decodes to the same.
fn encode_again(packet: &Packet<'_>) {
    let (mut out, mut attachments) = (Vec::new(), Vec::new());
    let Packet { namespace, ack_id, .. } = *packet;
    match packet.packet_type {
        PacketType::Event | PacketType::BinaryEvent => {
            let event = packet.event().expect("it was read before");
            encode_event(&mut out, &mut attachments, namespace, ack_id, &event.name, &event.args)
                .expect("data");
        }
        PacketType::Ack | PacketType::BinaryAck => {
            let args = packet.ack().expect("it was read before");
            encode_ack(&mut out, &mut attachments, namespace, ack_id.unwrap_or(0), &args).expect("data");
        }
        PacketType::Connect => match packet.payload::<Value>() {
            Ok(Value::Null) => encode_connect(&mut out, namespace, None::<&()>).expect("nothing"),
            Ok(value) => encode_connect(&mut out, namespace, Some(&value)).expect("an object"),
            Err(_) => return,
        },
        PacketType::ConnectError => match packet.payload::<Value>() {
            Ok(Value::Null) | Err(_) => return,
            Ok(value) => encode_connect_error_v2(&mut out, namespace, &value).expect("data"),
        },
        PacketType::Disconnect => encode_disconnect(&mut out, namespace).expect("a namespace"),
    }
    assert!(attachments.is_empty());
    let text = String::from_utf8(out).expect("a packet is text");
    let again = Packet::decode(&text, &Limits::default()).expect("encoded by us");
    assert!(accepted(&Ok(again)), "{text}");
    assert_eq!(again.namespace, namespace);
    assert_eq!(
        again.packet_type.digit(),
        match packet.packet_type {
            PacketType::BinaryEvent => b'2',
            PacketType::BinaryAck => b'3',
            other => other.digit(),
        }
    );
    if let (Ok(args), Ok(args_again)) = (arguments(packet), arguments(&again)) {
        if let (Ok(event), Ok(event_again)) = (packet.event(), again.event()) {
            assert_eq!(event.name, event_again.name);
            assert_eq!(again.ack_id, ack_id);
        }
        assert_eq!(args.all::<Vec<Value>>().ok(), args_again.all::<Vec<Value>>().ok());
        assert_eq!(args.is_empty(), args_again.is_empty());
    } else if let Ok(payload) = packet.payload::<Value>() {
        // A float that is printed and read may differ in its last digit, an object may lose a repeated key.
        assert_eq!(payload.is_object(), again.payload::<Value>().expect("encoded by us").is_object());
    }
}
