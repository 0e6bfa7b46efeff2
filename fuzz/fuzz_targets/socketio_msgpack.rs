//! Arbitrary bytes as a msgpack packet: a slow and complete reading decides whether they are one, and what the decoder says
//! must agree with it, whichever types the arguments are read into.
//!
//! Input: a byte of choices, and the message. The lowest two bits choose what stands in front of it: nothing, or the beginning of
//! an event, an ack or a CONNECT; the next one the limits.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde_json::Value as Json;
use sockeye_fuzz::msgpack::{self as model, Model, Value};
use sockeye_socketio::{Args, Binary, Limits, OwnedArgs, PacketType, encode_event, msgpack};

const STARTS: [&[u8]; 4] = [
    b"",
    b"\x84\xa4type\x02\xa3nsp\xa1/\xa2id\x07\xa4data",
    b"\x84\xa4type\x03\xa3nsp\xa1/\xa2id\x07\xa4data",
    b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data",
];

fuzz_target!(|data: &[u8]| {
    let [choice, rest @ ..] = data else { return };
    let message = Bytes::from([STARTS[usize::from(choice & 3)], rest].concat());
    let limits = match choice & 4 {
        0 => Limits::default(),
        _ => Limits { max_namespace_len: 8, ..Limits::default() },
    };
    let model = model::parse(&message, limits.max_namespace_len);
    let packet = msgpack::Packet::decode(&message, &limits);
    assert_eq!(packet.is_ok(), model.is_some(), "{packet:?}, {model:?}");
    if let (Ok(packet), Some(model)) = (packet, model) {
        assert_same(&packet, &model);
    }
});

fn assert_same(packet: &msgpack::Packet<'_>, model: &Model) {
    assert_eq!(packet.packet_type.digit() - b'0', model.packet_type);
    assert_eq!((packet.namespace, packet.ack_id), (&*model.namespace, model.ack_id));
    let json = packet.payload_json().expect("what was decoded can be written");
    assert_eq!(json.is_empty(), model.data.is_none());
    let _ = packet.payload::<Json>().expect("anything is JSON");
    let (args, named) = match packet.packet_type {
        PacketType::Event => (packet.event().expect("an event").args, 1),
        PacketType::Ack => (packet.ack().expect("an ack"), 0),
        _ => return,
    };
    let Some(Value::Array(elements)) = &model.data else { panic!("no array") };
    assert_eq!(args.is_empty(), elements.len() == named);
    if let Some(Value::Str(name)) = elements.first().filter(|_| named == 1) {
        assert_eq!(packet.event().expect("an event").name, *name);
    }
    read_all(args, &elements[named..]);
    pass_on(args);
}

/// Whatever type is asked for, the answer is a value or an error of the data.
fn read_all(args: Args<'_>, elements: &[Value]) {
    #[derive(Deserialize)]
    #[serde(untagged)]
    #[allow(dead_code, reason = "only read")]
    enum Either<'a> {
        Text(&'a str),
        Bytes(Binary),
        List(Vec<Json>),
        Map(std::collections::BTreeMap<String, Json>),
    }
    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only read")]
    enum Variants {
        A,
        B(Option<u8>),
        C { x: f64 },
    }

    assert_eq!(args.all::<Vec<Json>>().expect("anything is JSON").len(), elements.len());
    let blames = [
        args.first::<Either<'_>>().err(),
        args.first::<Variants>().err(),
        args.first::<Vec<u8>>().err(),
        args.first::<Option<Box<serde_json::value::RawValue>>>().err(),
        args.all::<(i8, f32, String)>().err(),
        args.all::<(u64, Option<bool>, char)>().err(),
    ];
    assert!(!blames.iter().flatten().any(sockeye_socketio::ArgsError::is_syntax), "{blames:?}");
    if let Some(Value::Bin(bytes)) = elements.first() {
        assert_eq!(args.first::<Binary>().expect("bytes").0, *bytes);
        assert_eq!(args.first::<&[u8]>().expect("bytes"), *bytes);
    }
    if let Some(Value::Integer(number)) = elements.first()
        && let Ok(number) = i64::try_from(*number)
    {
        assert_eq!(args.first::<i64>().expect("a number"), number);
        assert_eq!(args.first::<u8>().ok(), u8::try_from(number).ok());
    }
}

/// Passed on, the arguments are the same bytes; in the form of text and back, they mean the same.
fn pass_on(args: Args<'_>) {
    let (text, attachments) = args.to_text();
    let again = |args: Args<'_>| {
        let mut out = Vec::new();
        msgpack::encode_event(&mut out, "/", None, "e", &args).expect("it can be written");
        Bytes::from(out)
    };
    let message = again(args);
    assert_eq!(again(OwnedArgs::from(args).args()), message);
    let read = msgpack::Packet::decode(&message, &Limits::default()).expect("a packet");
    let read = read.event().expect("an event").args;
    assert_eq!(again(read), message);
    assert_eq!(read.to_text(), (text.clone(), attachments.clone()));
    // An object that looks like a placeholder is data here and a placeholder there; the text form cannot say which.
    if text.matches("\"_placeholder\"").count() > attachments.len() {
        return;
    }
    // A float that is printed and read may differ in its last digit.
    if text.contains('.') || text.contains('e') {
        return;
    }
    let by_text = Args::from_array(&text).expect("an array").with_attachments(&attachments);
    by_text.validate().expect("valid JSON");
    let message = again(by_text);
    let read = msgpack::Packet::decode(&message, &Limits::default()).expect("a packet");
    assert_eq!(read.event().expect("an event").args.to_text(), (text, attachments));
    let (mut out, mut shared) = (Vec::new(), Vec::new());
    encode_event(&mut out, &mut shared, "/", None, "e", &args).expect("it can be written");
}
