//! Socket.IO packets and Engine.IO payloads in memory: theirs, ours, and serde_json alone as the floor.
//!
//! Everybody is given the same messages, 64 distinct ones in turn, and checked to have read or written the same.

use bytes::Bytes;
use engineioxide_core::{ProtocolVersion, Str};
use futures_util::{FutureExt, StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use socketioxide_core::{
    packet::Packet as TheirPacket,
    parser::{Parse, ParseConfig, ParserState},
};
use socketioxide_parser_common::CommonParser;
use sockeye_engineio::{PayloadDecoder, PayloadEncoder, PayloadLimits};
use sockeye_socketio::{Assembler, Binary, EventArgs, Limits, Packet, encode_event, msgpack};
use std::{hint::black_box, time::Duration};

use crate::contest::{Contestant, Row, Work, run};

/// How many distinct messages there are.
const MESSAGE_COUNT: u32 = 64;

/// A line of a chat, about 200 bytes of JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    id: u64,
    author: String,
    text: String,
    room: String,
    at: u64,
    tags: Vec<String>,
    edited: bool,
}

/// The same, borrowed.
#[derive(Debug, PartialEq, Deserialize)]
struct Lent<'a> {
    id: u64,
    author: &'a str,
    text: &'a str,
    room: &'a str,
    at: u64,
    #[serde(borrow)]
    tags: Vec<&'a str>,
    edited: bool,
}

fn lines() -> Vec<Line> {
    let line = |n: u32| Line {
        id: 1_000_000 + u64::from(n),
        author: format!("author {n}"),
        text: format!("Something that somebody wrote to all the others, number {n} of many."),
        room: format!("room {}", n % 7),
        at: 1_763_980_840_123 + u64::from(n),
        tags: vec!["first".into(), format!("tag {n}")],
        edited: n.is_multiple_of(2),
    };
    (0..MESSAGE_COUNT).map(line).collect()
}

fn text_of<A: EventArgs>(event: &str, args: &A) -> (String, Vec<Bytes>) {
    let (mut out, mut attachments) = (Vec::new(), Vec::new());
    encode_event(&mut out, &mut attachments, "/", None, event, args).expect("plain data");
    (String::from_utf8(out).expect("JSON is UTF-8"), attachments)
}

/// Does something with every item.
fn each<T>(items: &[T], payload: impl for<'t> Fn(&'t T) -> &'t [u8], mut act: impl FnMut(&T)) -> Work {
    let mut work = Work::default();
    for item in items {
        act(item);
        work.add(payload(item));
    }
    work
}

/// What a server does with an event that it receives.
#[must_use]
pub fn decode(round_count: usize) -> Vec<Row> {
    let texts: Vec<String> = lines().iter().map(|line| text_of("message", &(line,)).0).collect();
    let theirs: Vec<Str> = texts.iter().map(|text| Str::from(text.clone())).collect();
    let ours = |act: fn(&str)| each(&texts, |text| text.as_bytes(), |text| act(text));
    let rival = |act: fn(TheirPacket)| {
        let (config, state) = (ParseConfig::default(), ParserState::default());
        each(
            &theirs,
            |text| text.as_bytes(),
            |text| {
                act(CommonParser.decode_str(&config, &state, text.clone()).expect("a packet"));
            },
        )
    };
    let packet = Packet::decode(&texts[1], &Limits::default()).expect("a packet");
    assert_eq!(packet.event().expect("an event").args.first::<Line>().expect("a line"), lines()[1]);
    vec![
        run(
            "event of 200 B: to packet, unread".into(),
            round_count,
            &mut [
                Contestant::ours("sockeye", || {
                    ours(|text| {
                        black_box(Packet::decode(text, &Limits::default()).expect("a packet"));
                    })
                }),
                Contestant::rival("socketioxide", || rival(|packet| drop(black_box(packet)))),
            ],
        ),
        run(
            "the same, with its name".into(),
            round_count,
            &mut [
                Contestant::ours("sockeye", || {
                    ours(|text| {
                        let packet = Packet::decode(text, &Limits::default()).expect("a packet");
                        black_box(packet.event().expect("an event"));
                    })
                }),
                Contestant::rival("socketioxide", || {
                    rival(|packet| {
                        black_box(CommonParser.read_event(value_of(&packet)).expect("a name"));
                    })
                }),
            ],
        ),
        typed::<Line>("to name and an owned struct", round_count, &texts, &theirs),
        typed::<Value>("to name and serde_json::Value", round_count, &texts, &theirs),
        run(
            "to name and a borrowed struct".into(),
            round_count,
            &mut [
                Contestant::floor("serde_json", || {
                    ours(|text| {
                        black_box(serde_json::from_str::<(&str, Lent<'_>)>(&text[1..]).expect("JSON"));
                    })
                }),
                Contestant::ours("sockeye", || {
                    ours(|text| {
                        let event = Packet::decode(text, &Limits::default()).expect("a packet").event();
                        black_box(event.expect("an event").args.first::<Lent<'_>>().expect("a line"));
                    })
                }),
            ],
        ),
        tuples(round_count),
    ]
}

fn value_of(packet: &TheirPacket) -> &socketioxide_core::Value {
    use socketioxide_core::packet::PacketData::{BinaryEvent, Event};
    match &packet.inner {
        Event(value, _) | BinaryEvent(value, _) => value,
        other => unreachable!("no event: {other:?}"),
    }
}

fn typed<T: for<'de> Deserialize<'de>>(
    case: &str,
    round_count: usize,
    texts: &[String],
    theirs: &[Str],
) -> Row {
    let (config, state) = (ParseConfig::default(), ParserState::default());
    run(
        case.to_owned(),
        round_count,
        &mut [
            Contestant::floor("serde_json", || {
                each(
                    texts,
                    |text| text.as_bytes(),
                    |text| {
                        black_box(serde_json::from_str::<(&str, T)>(&text[1..]).expect("JSON"));
                    },
                )
            }),
            Contestant::ours("sockeye", || {
                each(
                    texts,
                    |text| text.as_bytes(),
                    |text| {
                        let event = Packet::decode(text, &Limits::default()).expect("a packet").event();
                        black_box(event.expect("an event").args.first::<T>().expect("arguments"));
                    },
                )
            }),
            Contestant::rival("socketioxide", || {
                each(
                    theirs,
                    |text| text.as_bytes(),
                    |text| {
                        let packet =
                            CommonParser.decode_str(&config, &state, text.clone()).expect("a packet");
                        let mut value = value_of(&packet).clone();
                        black_box(CommonParser.read_event(&value).expect("a name"));
                        black_box(CommonParser.decode_value::<T>(&mut value, true).expect("arguments"));
                    },
                )
            }),
        ],
    )
}

fn tuples(round_count: usize) -> Row {
    let texts: Vec<String> =
        (0..MESSAGE_COUNT).map(|n| text_of("move", &(n, -1.5, "left", n % 2 == 0)).0).collect();
    let theirs: Vec<Str> = texts.iter().map(|text| Str::from(text.clone())).collect();
    let (config, state) = (ParseConfig::default(), ParserState::default());
    run(
        "to name and a short tuple".into(),
        round_count,
        &mut [
            Contestant::floor("serde_json", || {
                each(
                    &texts,
                    |text| text.as_bytes(),
                    |text| {
                        black_box(
                            serde_json::from_str::<(&str, u32, f64, &str, bool)>(&text[1..]).expect("JSON"),
                        );
                    },
                )
            }),
            Contestant::ours("sockeye", || {
                each(
                    &texts,
                    |text| text.as_bytes(),
                    |text| {
                        let event = Packet::decode(text, &Limits::default()).expect("a packet").event();
                        black_box(
                            event.expect("an event").args.all::<(u32, f64, &str, bool)>().expect("arguments"),
                        );
                    },
                )
            }),
            Contestant::rival("socketioxide", || {
                each(
                    &theirs,
                    |text| text.as_bytes(),
                    |text| {
                        let packet =
                            CommonParser.decode_str(&config, &state, text.clone()).expect("a packet");
                        let mut value = value_of(&packet).clone();
                        black_box(CommonParser.read_event(&value).expect("a name"));
                        black_box(
                            CommonParser
                                .decode_value::<(u32, f64, &str, bool)>(&mut value, true)
                                .expect("arguments"),
                        );
                    },
                )
            }),
        ],
    )
}

/// What a server does with an event that it sends.
#[must_use]
pub fn encode(round_count: usize) -> Vec<Row> {
    let lines = lines();
    let payload = text_of_line;
    vec![run(
        "event of 200 B: encode".into(),
        round_count,
        &mut [
            Contestant::floor("serde_json", || {
                each(&lines, payload, |line| {
                    let mut out = Vec::with_capacity(128);
                    serde_json::to_writer(&mut out, &("message", line)).expect("plain data");
                    black_box(out);
                })
            }),
            Contestant::ours("sockeye", || {
                each(&lines, payload, |line| {
                    let (mut out, mut attachments) = (Vec::with_capacity(128), Vec::new());
                    encode_event(&mut out, &mut attachments, "/", None, "message", &(line,))
                        .expect("plain data");
                    black_box((out, attachments));
                })
            }),
            Contestant::ours("sockeye, msgpack", || {
                each(&lines, payload, |line| {
                    let mut out = Vec::with_capacity(128);
                    msgpack::encode_event(&mut out, "/", None, "message", &(line,)).expect("plain data");
                    black_box(out);
                })
            }),
            Contestant::rival("socketioxide", || {
                each(&lines, payload, |line| {
                    let value = CommonParser.encode_value(line, Some("message")).expect("plain data");
                    black_box(CommonParser.encode(TheirPacket::event("/", value)));
                })
            }),
        ],
    )]
}

/// What is counted of a line.
fn text_of_line(line: &Line) -> &[u8] {
    line.text.as_bytes()
}

/// Events with two attachments of 1 KiB.
#[must_use]
pub fn binary(round_count: usize) -> Vec<Row> {
    let attachments = [Bytes::from(vec![1; 1024]), Bytes::from(vec![2; 1024])];
    let sent = (Binary(attachments[0].clone()), Binary(attachments[1].clone()));
    let (text, _) = text_of("upload", &sent);
    let message = {
        let mut out = Vec::new();
        msgpack::encode_event(&mut out, "/", None, "upload", &sent).expect("plain data");
        Bytes::from(out)
    };
    let texts = vec![text; MESSAGE_COUNT as usize];
    let theirs: Vec<Str> = texts.iter().map(|text| Str::from(text.clone())).collect();
    let payload = lend;
    let receive = |text: &String| {
        let mut assembler = Assembler::default();
        let packet = assembler.decode(text, &Limits::default()).expect("a packet");
        assembler.begin(text.as_str().into(), &packet, Duration::ZERO).expect("attachments follow");
        assembler.binary(attachments[0].clone()).expect("awaited");
        assembler.binary(attachments[1].clone()).expect("awaited").expect("the last")
    };
    let config = ParseConfig::default();
    let their_receive = |text: &Str| {
        let state = ParserState::default();
        let _ = CommonParser.decode_str(&config, &state, text.clone());
        let _ = CommonParser.decode_bin(&config, &state, attachments[0].clone());
        CommonParser.decode_bin(&config, &state, attachments[1].clone()).expect("the last")
    };
    vec![
        run(
            "2 x 1 KiB binary: to packet".into(),
            round_count,
            &mut [
                Contestant::ours("sockeye", || {
                    each(&texts, payload, |text| {
                        black_box(receive(text));
                    })
                }),
                Contestant::ours("sockeye, msgpack", || {
                    each(&texts, payload, |_| {
                        black_box(msgpack::Packet::decode(&message, &Limits::default()).expect("a packet"));
                    })
                }),
                Contestant::rival("socketioxide", || {
                    each(
                        &theirs,
                        |text| text.as_bytes(),
                        |text| {
                            black_box(their_receive(text));
                        },
                    )
                }),
            ],
        ),
        run(
            "the same, to (Bytes, Bytes)".into(),
            round_count,
            &mut [
                Contestant::ours("sockeye", || {
                    each(&texts, payload, |text| {
                        let assembled = receive(text);
                        let event = assembled.event().expect("an event");
                        black_box(event.args.all::<(Binary, Binary)>().expect("bytes"));
                    })
                }),
                Contestant::ours("sockeye, msgpack", || {
                    each(&texts, payload, |_| {
                        let packet = msgpack::Packet::decode(&message, &Limits::default()).expect("a packet");
                        let event = packet.event().expect("an event");
                        black_box(event.args.all::<(Binary, Binary)>().expect("bytes"));
                    })
                }),
                Contestant::rival("socketioxide", || {
                    each(
                        &theirs,
                        |text| text.as_bytes(),
                        |text| {
                            let packet = their_receive(text);
                            let mut value = value_of(&packet).clone();
                            black_box(CommonParser.read_event(&value).expect("a name"));
                            black_box(
                                CommonParser.decode_value::<(Bytes, Bytes)>(&mut value, true).expect("bytes"),
                            );
                        },
                    )
                }),
            ],
        ),
        run(
            "the same, encode".into(),
            round_count,
            &mut [
                Contestant::ours("sockeye", || {
                    each(&texts, payload, |_| {
                        let (mut out, mut shared) = (Vec::with_capacity(128), Vec::new());
                        encode_event(&mut out, &mut shared, "/", None, "upload", &sent).expect("plain data");
                        black_box((out, shared));
                    })
                }),
                Contestant::rival("socketioxide", || {
                    each(&texts, payload, |_| {
                        let data = (&attachments[0], &attachments[1]);
                        let value = CommonParser.encode_value(&data, Some("upload")).expect("plain data");
                        black_box(CommonParser.encode(TheirPacket::event("/", value)));
                    })
                }),
            ],
        ),
    ]
}

fn lend(text: &String) -> &[u8] {
    text.as_bytes()
}

/// Bodies of long-polling with 16 packets of 64 bytes.
#[must_use]
pub fn payloads(round_count: usize) -> Vec<Row> {
    use engineioxide_core::{Packet as Engine, payload};

    const PACKET_COUNT: usize = 16;
    let messages: Vec<String> =
        (0..PACKET_COUNT).map(|n| format!("2[\"message\",\"{n:>2}{}\"]", "x".repeat(45))).collect();
    let mut body = Vec::new();
    let mut encoder = PayloadEncoder::new(&mut body);
    messages.iter().for_each(|message| encoder.push_encoded(format!("4{message}").as_bytes()));
    let body = Bytes::from(body);
    let bodies = vec![body; 8];
    let payload = lend_bytes;
    let framed: Vec<String> = messages.iter().map(|message| format!("4{message}")).collect();
    vec![
        run(
            "Engine.IO payload of 16 packets: decode".into(),
            round_count,
            &mut [
                Contestant::ours("sockeye", || {
                    each(&bodies, payload, |body| {
                        let packets =
                            PayloadDecoder::from_bytes(body, PayloadLimits::default()).expect("UTF-8");
                        assert_eq!(packets.filter(|packet| black_box(packet).is_ok()).count(), PACKET_COUNT);
                    })
                }),
                Contestant::rival("engineioxide", || {
                    each(&bodies, payload, |body| {
                        let body = http_body_util::Full::new(body.clone());
                        let packets = payload::decoder(body, None, ProtocolVersion::V4, 1_000_000);
                        let count =
                            packets.filter(|packet| std::future::ready(black_box(packet).is_ok())).count();
                        assert_eq!(count.now_or_never(), Some(PACKET_COUNT));
                    })
                }),
            ],
        ),
        run(
            "Engine.IO payload of 16 packets: encode".into(),
            round_count,
            &mut [
                Contestant::ours("sockeye", || {
                    each(&bodies, payload, |_| {
                        let mut out = Vec::new();
                        let mut encoder = PayloadEncoder::new(&mut out);
                        framed.iter().for_each(|packet| encoder.push_encoded(packet.as_bytes()));
                        black_box(out);
                    })
                }),
                Contestant::rival("engineioxide", || {
                    each(&bodies, payload, |_| {
                        let packets = messages.iter().map(|message| {
                            let packet = Engine::Message(message.as_str().to_owned().into());
                            std::iter::once(packet).collect()
                        });
                        let encoding =
                            payload::encoder(stream::iter(packets), ProtocolVersion::V4, true, 1_000_000);
                        black_box(encoding.now_or_never().expect("nothing to wait for").data);
                    })
                }),
            ],
        ),
    ]
}

fn lend_bytes(body: &Bytes) -> &[u8] {
    body
}
