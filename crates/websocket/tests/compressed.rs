//! Compressed messages on a connection (RFC 7692 §6): RSV1, limits, fragments, chunks, prepared messages.
#![cfg(feature = "deflate")]

use proptest::prelude::*;
use sockeye_websocket::{
    CloseCode, Config, Connection, Event, FrameHeader, MaskSource, Message, MessageKind, OpCode, Prepared,
    ProtocolError, ReceiveBuffer, Role, StreamEvent,
    deflate::{self, Params, compress_stand_alone},
    mask::mask,
};

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// Both ends of a connection that agreed on the given context takeover (server's, client's) and windows.
fn pair(takeover: (bool, bool), window_bits: (u8, u8), config: Config, threshold: usize) -> [Connection; 2] {
    let settings = deflate::Config { threshold, ..deflate::Config::default() };
    let server = Params {
        own_context_takeover: takeover.0,
        peer_context_takeover: takeover.1,
        own_window_bits: window_bits.0,
        peer_window_bits: window_bits.1,
    };
    let client = Params {
        own_context_takeover: takeover.1,
        peer_context_takeover: takeover.0,
        own_window_bits: window_bits.1,
        peer_window_bits: window_bits.0,
    };
    [
        Connection::server(config).with_deflate(&server, &settings),
        Connection::client_with_masks(config, MaskSource::custom(|| KEY)).with_deflate(&client, &settings),
    ]
}

fn shared() -> [Connection; 2] {
    pair((false, false), (15, 15), Config::default(), 0)
}

/// A frame as a client sends it.
fn frame(fin: bool, rsv1: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { fin, rsv1, opcode, masking_key: Some(KEY), payload_len: payload.len() as u64 };
    let (bytes, len) = header.encode();
    let mut frame = bytes[..len].to_vec();
    frame.extend_from_slice(payload);
    mask(&mut frame[len..], KEY, 0);
    frame
}

fn compressed(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress_stand_alone(payload, 6, 15, &mut out);
    out
}

/// What the server makes of `wire`: messages, the error, and its answer.
fn receive(server: &mut Connection, wire: &[u8]) -> (Vec<Message>, Option<ProtocolError>, Vec<u8>) {
    let (mut messages, mut output, mut input) = (Vec::new(), Vec::new(), bytes::BytesMut::from(wire));
    loop {
        match server.receive_message(&mut input, &mut output) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None, output),
            Err(error) => return (messages, Some(error), output),
        }
    }
}

fn text(len: usize) -> String {
    (0u64..)
        .map(|i| format!("entry {}; ", i * i % 977))
        .flat_map(|s| s.chars().collect::<Vec<_>>())
        .take(len)
        .collect()
}

/// Bytes that cannot be compressed.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn rsv1_is_on_the_first_frame_of_a_compressed_message_only() {
    let [mut server, mut client] = shared();
    let (mut wire, text) = (Vec::new(), text(1000));
    server.send_text(&text, &mut wire).unwrap();
    let (header, _) = FrameHeader::decode(&wire).unwrap().unwrap();
    assert!(header.rsv1 && header.payload_len < 500, "{header:?}");

    wire.clear();
    client.send_first_fragment(MessageKind::Text, &text.as_bytes()[..500], &mut wire).unwrap();
    client.send_ping(b"between", &mut wire).unwrap();
    client.send_next_fragment(&text.as_bytes()[500..], false, &mut wire).unwrap();
    client.send_next_fragment(b"", true, &mut wire).unwrap();
    let (mut rest, mut flags) = (&wire[..], Vec::new());
    while let Some((header, len)) = FrameHeader::decode(rest).unwrap() {
        flags.push((header.opcode, header.rsv1));
        rest = &rest[len + usize::try_from(header.payload_len).unwrap()..];
    }
    let continuation = (OpCode::Continuation, false);
    assert_eq!(flags, [(OpCode::Text, true), (OpCode::Ping, false), continuation, continuation]);
    let (messages, error, _) = receive(&mut server, &wire);
    assert_eq!((messages, error), (vec![Message::Ping("between".into()), Message::text(text)], None));
}

#[test]
fn messages_below_the_threshold_and_those_that_would_grow_are_sent_as_they_are() {
    let [mut server, _] = pair((false, false), (15, 15), Config::default(), 100);
    let is_compressed = |wire: &[u8]| FrameHeader::decode(wire).unwrap().unwrap().0.rsv1;
    let mut wire = Vec::new();
    server.send_text(&text(99), &mut wire).unwrap();
    assert!(!is_compressed(&wire));
    wire.clear();
    server.send_text(&text(100), &mut wire).unwrap();
    assert!(is_compressed(&wire));
    wire.clear();
    server.send_uncompressed(MessageKind::Text, text(100).as_bytes(), &mut wire).unwrap();
    assert!(!is_compressed(&wire));
    wire.clear();
    let noise = noise(1000);
    server.send_binary(&noise, &mut wire).unwrap();
    assert!(!is_compressed(&wire), "noise cannot be compressed");
    assert_eq!(wire.len(), 4 + noise.len());
}

#[test]
fn rsv1_on_a_continuation_or_control_frame_fails_with_1002() {
    let first = frame(false, true, OpCode::Binary, &compressed(b"abc"));
    for wire in [
        [first, frame(true, true, OpCode::Continuation, b"")].concat(),
        frame(true, true, OpCode::Ping, b""),
        frame(true, true, OpCode::Close, b""),
    ] {
        let [mut server, _] = shared();
        let (_, error, output) = receive(&mut server, &wire);
        assert_eq!(error, Some(ProtocolError::ReservedBits));
        assert_eq!(output, b"\x88\x02\x03\xEA");
    }
    let mut plain = Connection::server(Config::default());
    let (_, error, _) = receive(&mut plain, &frame(true, true, OpCode::Text, &compressed(b"abc")));
    assert_eq!(error, Some(ProtocolError::ReservedBits), "not negotiated");
}

#[test]
fn corrupt_and_incomplete_streams_fail_with_1007() {
    let whole = compressed(text(500).as_bytes());
    for payload in [&b"\xFF\xFF\xFF\xFF"[..], &whole[..whole.len() / 2], b""] {
        let [mut server, _] = shared();
        let (messages, error, output) = receive(&mut server, &frame(true, true, OpCode::Text, payload));
        assert_eq!((messages.len(), error), (0, Some(ProtocolError::InvalidCompression)), "{payload:x?}");
        assert_eq!(output, b"\x88\x02\x03\xEF");
    }
}

#[test]
fn compressed_text_that_is_not_utf8_fails_with_1007_at_the_first_bad_byte() {
    let [mut server, _] = shared();
    // Not the last fragment: what it holds is judged when it comes.
    let (_, error, _) = receive(&mut server, &frame(false, true, OpCode::Text, &compressed(b"ab\xFF")));
    assert_eq!(error, Some(ProtocolError::InvalidUtf8));
    let [mut server, _] = shared();
    let (_, error, _) = receive(&mut server, &frame(true, true, OpCode::Text, &compressed(b"ab\xC3")));
    assert_eq!(error, Some(ProtocolError::InvalidUtf8), "it ends within a code point");
}

#[test]
fn bomb_stops_at_the_limit_with_1009_also_nested_in_fragments() {
    let bomb = compressed(&vec![0; 10 << 20]);
    let config = Config::default().with_max_message_len(1 << 20);
    let [mut server, _] = pair((false, false), (15, 15), config, 0);
    assert!(bomb.len() < 20_000);
    let (_, error, output) = receive(&mut server, &frame(true, true, OpCode::Binary, &bomb));
    assert!(matches!(error, Some(ProtocolError::MessageTooLong { max: 1_048_576, .. })), "{error:?}");
    assert_eq!(output, b"\x88\x02\x03\xF1");
    assert_eq!(CloseCode::MESSAGE_TOO_BIG.get(), 0x03F1);

    let [mut server, _] = pair((true, true), (15, 15), config, 0);
    let mut wire = Vec::new();
    for (i, piece) in bomb.chunks(10).enumerate() {
        wire.extend(frame(false, i == 0, if i == 0 { OpCode::Binary } else { OpCode::Continuation }, piece));
    }
    let (_, error, _) = receive(&mut server, &wire);
    assert!(matches!(error, Some(ProtocolError::MessageTooLong { .. })), "{error:?}");
}

#[test]
fn message_of_exactly_the_limit_is_received_even_if_compression_makes_it_longer() {
    let noise = noise(5000);
    let payload = compressed(&noise);
    assert!(payload.len() > noise.len());
    for (limit, accepted) in [(5000, true), (4999, false)] {
        let config = Config::default().with_max_message_len(limit);
        let [mut server, _] = pair((false, false), (15, 15), config, 0);
        let (messages, error, _) = receive(&mut server, &frame(true, true, OpCode::Binary, &payload));
        assert_eq!((messages.len() == 1, error.is_none()), (accepted, accepted), "limit {limit}");
    }
}

#[test]
fn message_of_the_limit_that_the_sender_cannot_compress_is_received_at_every_level() {
    // Nearly all bytes take 9 bits in the fixed code.
    let payload: Vec<u8> = noise(65_536).into_iter().map(|byte| byte | 0x90).collect();
    let config = Config::default().with_max_message_len(payload.len() as u64);
    for level in 0..=9 {
        // With context the message is sent compressed, since what follows refers to it.
        let settings = deflate::Config { level, threshold: 0, ..deflate::Config::default() };
        let params = Params {
            own_context_takeover: true,
            peer_context_takeover: true,
            own_window_bits: 15,
            peer_window_bits: 15,
        };
        let mut client = Connection::client_with_masks(config, MaskSource::custom(|| KEY))
            .with_deflate(&params, &settings);
        let mut server = Connection::server(config).with_deflate(&params, &settings);
        let mut wire = Vec::new();
        client.send_binary(&payload, &mut wire).unwrap();
        assert!(FrameHeader::decode(&wire).unwrap().unwrap().0.rsv1);
        let (messages, error, _) = receive(&mut server, &wire);
        assert_eq!((messages.len(), error), (1, None), "level {level}");
    }
}

#[test]
fn message_of_any_size_is_inflated_in_chunks() {
    let config = Config::default().with_max_message_len(1000);
    let [mut server, _] = pair((false, false), (15, 15), config, 0);
    let payload = text(3_000_000).into_bytes();
    let mut input = frame(true, true, OpCode::Text, &compressed(&payload));
    let (mut output, mut received, mut ended) = (Vec::new(), Vec::new(), false);
    let mut events = server.receive(&mut input, &mut output);
    while let Some(event) = events.next_chunk() {
        let Ok(StreamEvent::Chunk(chunk)) = event else { panic!("{event:?}") };
        assert!(chunk.payload.len() <= 16 * 1024);
        received.extend_from_slice(chunk.payload);
        ended = chunk.fin;
    }
    assert!(ended && received == payload);
}

#[test]
fn rest_of_a_compressed_message_taken_in_part_is_passed_over_and_its_context_kept() {
    let [mut server, mut client] = pair((true, true), (15, 15), Config::default(), 0);
    let (mut wire, text) = (Vec::new(), text(100_000));
    client.send_text(&text, &mut wire).unwrap();
    client.send_text(&text[500..700], &mut wire).unwrap();
    let mut output = Vec::new();
    let mut events = server.receive(&mut wire, &mut output);
    assert!(matches!(events.next_chunk(), Some(Ok(StreamEvent::Chunk(chunk))) if !chunk.fin));
    assert_eq!(events.next(), Some(Ok(Event::Text(&text[500..700]))));
    assert_eq!(events.next(), None);
}

#[test]
fn window_of_8_bits_is_received_but_sent_uncompressed() {
    let [mut server, mut client] = pair((false, false), (15, 8), Config::default(), 0);
    let (mut wire, text) = (Vec::new(), text(1000));
    client.send_text(&text, &mut wire).unwrap();
    assert!(!FrameHeader::decode(&wire).unwrap().unwrap().0.rsv1);
    assert_eq!(receive(&mut server, &wire).0, [Message::text(text)]);
}

#[test]
fn prepared_message_is_compressed_once_whatever_each_recipient_negotiated() {
    let text = text(5000);
    let prepared = Prepared::text(&text).compressible();
    let mut frames = Vec::new();
    for takeover in [false, true] {
        for window_bits in [8, 9, 12, 13, 15] {
            let [mut server, mut client] = pair((takeover, false), (window_bits, 15), Config::default(), 0);
            let (mut wire, mut output) = (Vec::new(), Vec::new());
            // Before and after it the server's own messages refer to what it sent.
            for message in ["entry 1; entry 2; entry 1;", "entry 2; entry 1; entry 2;"] {
                server.send_text(message, &mut wire).unwrap();
                let (server, _) = (&mut server, ());
                let frame = server.halves().1.send_prepared(&prepared).unwrap();
                frames.push((window_bits, frame.clone()));
                wire.extend_from_slice(frame);
                server.send_text(message, &mut wire).unwrap();
            }
            let mut received = Vec::new();
            let mut events = client.receive(&mut wire, &mut output);
            while let Some(event) = events.next() {
                let Ok(Event::Text(text)) = event else { panic!("{event:?}") };
                received.push(text.to_owned());
            }
            let [a, b] = ["entry 1; entry 2; entry 1;", "entry 2; entry 1; entry 2;"];
            assert_eq!(received, [a, &text, a, b, &text, b], "{takeover}, {window_bits}");
        }
    }
    for (window_bits, frame) in &frames {
        let shared = frames.iter().filter(|(_, other)| other.as_ptr() == frame.as_ptr()).count();
        assert!(shared >= 4, "compressed or framed again for {window_bits} bits");
        assert_eq!(frame.len() < text.len(), *window_bits > 8);
    }
}

#[test]
fn prepared_messages_that_are_short_or_not_compressible_are_sent_as_they_are() {
    let [mut server, _] = pair((false, false), (15, 15), Config::default(), 1024);
    let sender = server.halves().1;
    let (short, long) = (text(1000), text(2000));
    let short = Prepared::text(&short).compressible();
    assert_eq!(sender.send_prepared(&short).unwrap(), short.frame());
    let plain = Prepared::text(&long);
    assert_eq!(sender.send_prepared(&plain).unwrap(), plain.frame());
    let compressible = plain.compressible();
    assert_ne!(sender.send_prepared(&compressible).unwrap(), compressible.frame());
}

#[test]
fn connection_that_keeps_no_context_holds_nothing_between_messages() {
    let [mut server, mut client] = shared();
    let mut wire = Vec::new();
    client.send_text(&text(50_000), &mut wire).unwrap();
    let mut output = Vec::new();
    let mut events = server.receive(&mut wire, &mut output);
    assert!(matches!(events.next(), Some(Ok(Event::Text(_)))));
    assert_eq!(events.next(), None);
    assert!(size_of_val(&server) <= 320, "{} bytes", size_of_val(&server));
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let message = prop_oneof![
        "[a-f ]{0,400}".prop_map(Message::text),
        "\\PC{0,100}".prop_map(Message::text),
        proptest::collection::vec(0u8..4, 0..3000).prop_map(Message::binary),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Message::binary),
        proptest::collection::vec(any::<u8>(), 0..125).prop_map(|payload| Message::Ping(payload.into())),
    ];
    proptest::collection::vec(message, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn what_one_end_sends_the_other_receives(
        messages in messages(),
        takeover: bool,
        window_bits in 9u8..16,
        threshold in prop_oneof![Just(0usize), Just(100)],
        fragment_len in proptest::option::of(1usize..400),
        piece_len in 1usize..900,
        client_sends: bool,
    ) {
        let [server, client] = pair(
            (takeover, takeover),
            (window_bits, window_bits),
            Config::default(),
            threshold,
        );
        let (mut sender, mut receiver) = if client_sends { (client, server) } else { (server, client) };
        prop_assert_ne!(sender.role(), receiver.role());
        prop_assert!(matches!(sender.role(), Role::Client | Role::Server));
        let mut wire = Vec::new();
        for message in &messages {
            match (message, fragment_len) {
                (Message::Text(_) | Message::Binary(_), Some(len)) => {
                    let kind = if message.as_text().is_some() { MessageKind::Text } else { MessageKind::Binary };
                    let mut pieces = message.payload().chunks(len);
                    sender.send_first_fragment(kind, pieces.next().unwrap_or_default(), &mut wire).unwrap();
                    for piece in pieces {
                        sender.send_next_fragment(piece, false, &mut wire).unwrap();
                    }
                    sender.send_next_fragment(b"", true, &mut wire).unwrap();
                }
                _ => sender.send(message, &mut wire).unwrap(),
            }
        }
        let (mut received, mut input, mut output) = (Vec::new(), bytes::BytesMut::new(), Vec::new());
        for piece in wire.chunks(piece_len) {
            input.extend_from_slice(piece);
            while let Some(message) = receiver.receive_message(&mut input, &mut output).unwrap() {
                received.push(message);
            }
        }
        prop_assert_eq!(received, messages);
        prop_assert!(input.is_empty());
    }
}

#[test]
fn parked_half_keeps_its_context() {
    let [server, mut client] = pair((true, true), (15, 15), Config::default(), 0);
    let (half, _) = server.split();
    let mut buffer = ReceiveBuffer::new(half);
    let text = text(1000);
    let mut lens = Vec::new();
    for _ in 0..3 {
        let mut wire = Vec::new();
        client.send_text(&text, &mut wire).unwrap();
        lens.push(wire.len());
        buffer.buffer().extend_from_slice(&wire);
        assert_eq!(buffer.advance(), Ok(true));
        assert_eq!(buffer.event(), Some(Event::Text(&text)));
        assert_eq!(buffer.advance(), Ok(false));
        buffer = ReceiveBuffer::new(buffer.park().expect("between two messages").resume());
    }
    assert!(lens[1] < lens[0] / 4, "what follows refers to what came before: {lens:?}");
}
