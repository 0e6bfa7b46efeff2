//! Texts and binary messages in any order, with time going by: what is whole comes out, with its attachments, and
//! everything else is an error after which the assembler is idle.
#![no_main]

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use bytestring::ByteString;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sockeye_fuzz::socketio::{self, placeholders_fit};
use sockeye_socketio::{
    Args, Assembled, Assembler, AssemblerLimits, Binary, DecodeError, Limits, Packet, encode_ack,
    encode_event,
};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    max_bytes: u8,
    steps: Vec<Step<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    /// Any text.
    Text(&'a str),
    /// A text that announces as many attachments, with this payload.
    Announced(u8, &'a str),
    /// An event whose arguments mix text and placeholders.
    Event(Vec<Argument<'a>>),
    Binary(&'a [u8]),
    Wait(u8),
}

#[derive(Arbitrary, Debug)]
enum Argument<'a> {
    Text(&'a str),
    Placeholder(u8),
    Swapped(u8),
    Nested(u8),
}

/// What is awaited: the text, the count, what is here, and the deadline in seconds.
type Awaited = (String, usize, Vec<Bytes>, u64);

fuzz_target!(|data: &[u8]| {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let limits = AssemblerLimits {
        max_attachments: 3,
        max_bytes: usize::from(input.max_bytes),
        max_wait: Duration::from_secs(100),
    };
    let mut assembler = Assembler::new(limits);
    let mut awaited: Option<Awaited> = None;
    let mut now = 0_u64;
    for step in &input.steps {
        match step {
            Step::Text(text) => receive_text(&mut assembler, &mut awaited, text, now),
            Step::Announced(count, data) => {
                let text = format!("{}{}-{data}", 5 + (count >> 7), count & 0x7F);
                receive_text(&mut assembler, &mut awaited, &text, now);
            }
            Step::Event(arguments) => {
                let text = event_text(arguments);
                receive_text(&mut assembler, &mut awaited, &text, now);
            }
            Step::Binary(bytes) => {
                receive_binary(&mut assembler, &mut awaited, Bytes::copy_from_slice(bytes), limits.max_bytes);
            }
            Step::Wait(seconds) => {
                now += u64::from(*seconds);
                let result = assembler.handle_timeout(Duration::from_secs(now));
                let late = awaited.take_if(|(_, _, _, deadline)| *deadline <= now);
                let expected = late.map(|_| DecodeError::AttachmentTimeout { max: limits.max_wait });
                assert_eq!(result.err(), expected);
            }
        }
        let missing = awaited.as_ref().map_or(0, |(_, count, attachments, _)| count - attachments.len());
        assert_eq!(assembler.missing(), missing);
        let deadline = awaited.as_ref().map(|(_, _, _, deadline)| Duration::from_secs(*deadline));
        assert_eq!(assembler.deadline(), deadline);
    }
});

fn event_text(arguments: &[Argument<'_>]) -> String {
    let mut count = 0;
    let mut json = String::from(r#"["e""#);
    for argument in arguments {
        json += ",";
        json += &match argument {
            Argument::Text(text) => serde_json::to_string(text).expect("a string"),
            Argument::Placeholder(num) => format!(r#"{{"_placeholder":true,"num":{num}}}"#),
            Argument::Swapped(num) => format!(r#"{{"num":{num},"x":[{{}}],"_placeholder":true}}"#),
            Argument::Nested(num) => format!(r#"[{{"a":[{{"_placeholder":true,"num":{num}}}]}}]"#),
        };
        count += usize::from(!matches!(argument, Argument::Text(_)));
    }
    format!("5{count}-/n,7{json}]")
}

fn receive_text(assembler: &mut Assembler, awaited: &mut Option<Awaited>, text: &str, now: u64) {
    let result = assembler.decode(text, &Limits::default());
    if let Some((_, count, attachments, _)) = awaited.take() {
        assert_eq!(result, Err(DecodeError::UnexpectedText { missing: count - attachments.len() }));
        return;
    }
    assert_eq!(result, Packet::decode(text, &Limits::default()));
    let Ok(packet) = result else { return };
    match assembler.begin(ByteString::from(text), &packet, Duration::from_secs(now)) {
        Ok(()) => {
            assert!((1..=3).contains(&packet.attachment_count));
            *awaited = Some((text.into(), packet.attachment_count, Vec::new(), now + 100));
        }
        Err(DecodeError::InvalidAttachmentCount) => assert_eq!(packet.attachment_count, 0),
        Err(error) => {
            assert_eq!(error, DecodeError::TooManyAttachments { count: packet.attachment_count, max: 3 });
            assert!(packet.attachment_count > 3);
        }
    }
}

fn receive_binary(assembler: &mut Assembler, awaited: &mut Option<Awaited>, bytes: Bytes, max_bytes: usize) {
    let result = assembler.binary(bytes.clone());
    let Some((text, count, mut attachments, deadline)) = awaited.take() else {
        assert_eq!(result.err(), Some(DecodeError::UnexpectedBinary));
        return;
    };
    attachments.push(bytes);
    let len = attachments.iter().map(Bytes::len).sum();
    if len > max_bytes {
        assert_eq!(result.err(), Some(DecodeError::AttachmentsTooLarge { len, max: max_bytes }));
    } else if attachments.len() < count {
        assert!(matches!(result, Ok(None)));
        *awaited = Some((text, count, attachments, deadline));
    } else {
        judge_whole(result, &text, &attachments);
    }
}

/// The packet is whole if its JSON is right and its placeholders are; a name hidden behind escapes may still be refused.
fn judge_whole(result: Result<Option<Assembled>, DecodeError>, text: &str, attachments: &[Bytes]) {
    let packet = Packet::decode(text, &Limits::default()).expect("it was decoded before");
    let node = sockeye_fuzz::json::parse(packet.data);
    let valid =
        packet.data.is_empty() || node.as_ref().is_some_and(|node| placeholders_fit(node, attachments.len()));
    let assembled = match result {
        Ok(assembled) => assembled.expect("the last attachment completes it"),
        Err(error) => {
            assert!(!valid, "{error}");
            return;
        }
    };
    assert!(valid, "{text}");
    assert_eq!(assembled.attachments(), attachments);
    let whole = assembled.packet();
    assert_eq!(
        (whole.packet_type, whole.namespace, whole.ack_id),
        (packet.packet_type, packet.namespace, packet.ack_id)
    );
    assert_eq!(whole.attachment_count, attachments.len());
    let is_packet = socketio::parse(text, usize::MAX, usize::MAX).is_some();
    let name = assembled.event().map(|event| event.name.into_owned());
    let args = match assembled.event().map(|event| event.args).or_else(|_| assembled.ack()) {
        Ok(args) => args,
        Err(error) => {
            assert!(!is_packet, "{error}");
            return;
        }
    };
    args.validate().expect("checked when it was assembled");
    read(&args);
    encode_again(&assembled, name.ok().as_deref(), &args);
}

/// The peer cannot be blamed any more.
fn read(args: &Args<'_>) {
    for error in [
        args.all::<Vec<Value>>().err(),
        args.all::<Vec<Binary>>().err(),
        args.all::<Vec<Bytes>>().err(),
        args.all::<Vec<Vec<u8>>>().err(),
        args.all::<(String, Option<Binary>)>().err(),
        args.all::<Vec<Option<Binary>>>().err(),
        args.first::<&serde_json::value::RawValue>().err(),
    ]
    .into_iter()
    .flatten()
    {
        assert!(!error.is_syntax(), "{error}");
    }
}

/// What came in goes out again with the same attachments, and reads the same.
fn encode_again(assembled: &Assembled, name: Option<&str>, args: &Args<'_>) {
    let packet = assembled.packet();
    let (mut out, mut attachments) = (Vec::new(), Vec::new());
    match name {
        Some(name) => {
            encode_event(&mut out, &mut attachments, packet.namespace, packet.ack_id, name, args)
                .expect("data");
        }
        None => {
            encode_ack(&mut out, &mut attachments, packet.namespace, packet.ack_id.unwrap_or(0), args)
                .expect("data");
        }
    }
    assert_eq!(attachments, assembled.attachments());
    let text = ByteString::try_from(out).expect("a packet is text");
    let mut assembler = Assembler::default();
    let again = assembler.decode(&text, &Limits::default()).expect("encoded by us");
    assembler.begin(text.clone(), &again, Duration::ZERO).expect("it has attachments");
    let mut whole = None;
    for attachment in attachments {
        whole = assembler.binary(attachment).expect("encoded by us");
    }
    let whole = whole.expect("all are here");
    let args_again = whole.event().map(|event| event.args).or_else(|_| whole.ack()).expect("encoded by us");
    assert_eq!(args.all::<Vec<Value>>().ok(), args_again.all::<Vec<Value>>().ok());
    assert_eq!(args.all::<Vec<Binary>>().ok(), args_again.all::<Vec<Binary>>().ok());
}
