//! Receiving, rule by rule of RFC 6455, for both roles; and the same bytes in pieces of every size.

use bytes::BytesMut;
use proptest::prelude::*;
use sockeye_websocket::{
    CloseCode, CloseFrame, CloseState, Config, Connection, Event, FrameHeader, MaskSource, Message,
    MessageKind, OpCode, ProtocolError, ReceiveBuffer, Role, SendError, mask::mask,
};

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

fn connection(role: Role, config: Config) -> Connection {
    match role {
        Role::Server => Connection::server(config),
        Role::Client => Connection::client_with_masks(config, MaskSource::custom(|| KEY)),
    }
}

/// A frame as the peer of `receiver` sends it.
fn frame(receiver: Role, fin: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let masking_key = (receiver == Role::Server).then_some(KEY);
    let header = FrameHeader { fin, rsv1: false, opcode, masking_key, payload_len: payload.len() as u64 };
    let (bytes, len) = header.encode();
    let mut frame = bytes[..len].to_vec();
    frame.extend_from_slice(payload);
    if let Some(key) = masking_key {
        mask(&mut frame[len..], key, 0);
    }
    frame
}

/// What came of receiving: messages, the error, the bytes to send, and the state after it.
#[derive(Debug, PartialEq)]
struct Outcome {
    messages: Vec<Message>,
    error: Option<ProtocolError>,
    output: Vec<u8>,
    state: CloseState,
}

fn to_message(event: Event<'_>) -> Message {
    match event {
        Event::Text(text) => Message::text(text.to_owned()),
        Event::Binary(bytes) => Message::binary(bytes.to_vec()),
        Event::Ping(payload) => Message::Ping(payload.to_vec().into()),
        Event::Pong(payload) => Message::Pong(payload.to_vec().into()),
        Event::Close(frame) => Message::Close(frame),
    }
}

/// Receives `wire` in pieces of the given lengths (the last one takes the rest), through the borrowing interface.
fn receive_pieces(role: Role, config: Config, wire: &[u8], pieces: &[usize]) -> Outcome {
    let mut connection = connection(role, config);
    let (mut messages, mut error, mut output, mut input) = (Vec::new(), None, Vec::new(), Vec::new());
    let mut rest = wire;
    let mut lengths = pieces.iter().copied().chain(std::iter::once(usize::MAX));
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(lengths.next().unwrap_or(1).clamp(1, rest.len()));
        input.extend_from_slice(piece);
        rest = after;
        let mut events = connection.receive(&mut input, &mut output);
        while let Some(event) = events.next() {
            match event {
                Ok(event) => messages.push(to_message(event)),
                Err(e) => assert_eq!(error.replace(e), None, "an error is told once"),
            }
        }
        let consumed_len = events.consumed_len();
        input.drain(..consumed_len);
    }
    Outcome { messages, error, output, state: connection.close_state() }
}

/// Receives `wire` in pieces, through the owning interface.
fn receive_owned(role: Role, config: Config, wire: &[u8], piece_len: usize) -> Outcome {
    let mut connection = connection(role, config);
    let (mut messages, mut error, mut output, mut input) = (Vec::new(), None, Vec::new(), BytesMut::new());
    for piece in wire.chunks(piece_len.max(1)) {
        input.extend_from_slice(piece);
        loop {
            match connection.receive_message(&mut input, &mut output) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(e) => assert_eq!(error.replace(e), None, "an error is told once"),
            }
        }
    }
    Outcome { messages, error, output, state: connection.close_state() }
}

fn receive(role: Role, wire: &[u8]) -> Outcome {
    let whole = receive_pieces(role, Config::default(), wire, &[]);
    let single = receive_pieces(role, Config::default(), wire, &vec![1; wire.len()]);
    assert_eq!(whole, single, "whole input = byte by byte");
    assert_eq!(whole, receive_owned(role, Config::default(), wire, 3));
    whole
}

/// `wire` fails the connection of either role, and the peer is told by a Close with `code`.
fn assert_fails(wire: impl Fn(Role) -> Vec<u8>, error: ProtocolError, code: CloseCode) {
    for role in [Role::Server, Role::Client] {
        let mut bytes = wire(role);
        bytes.extend(frame(role, true, OpCode::Text, b"ignored"));
        let outcome = receive(role, &bytes);
        assert_eq!(outcome.error, Some(error), "{role:?}");
        assert_eq!(outcome.state, CloseState::Failed);
        assert_eq!(sent_close(role, &outcome.output), Some(code), "{role:?}");
    }
}

/// The code of the Close frame that ends `output`, which `role` sent.
fn sent_close(role: Role, output: &[u8]) -> Option<CloseCode> {
    let peer = if role == Role::Server { Role::Client } else { Role::Server };
    let outcome = receive_pieces(peer, Config::default(), output, &[]);
    match outcome.messages.last() {
        Some(Message::Close(Some(frame))) => Some(frame.code),
        _ => None,
    }
}

mod framing_5_2 {
    use super::*;

    #[test]
    fn rsv1_without_extension_fails_with_1002() {
        assert_fails(
            |role| {
                let mut bytes = frame(role, true, OpCode::Text, b"x");
                bytes[0] |= 0x40;
                bytes
            },
            ProtocolError::ReservedBits,
            CloseCode::PROTOCOL_ERROR,
        );
    }

    #[test]
    fn reserved_opcode_fails_with_1002() {
        for opcode in [3, 7, 0xB, 0xF] {
            assert_fails(
                |role| {
                    let mut bytes = frame(role, true, OpCode::Text, b"x");
                    bytes[0] = 0x80 | opcode;
                    bytes
                },
                ProtocolError::ReservedOpCode(opcode),
                CloseCode::PROTOCOL_ERROR,
            );
        }
    }

    #[test]
    fn length_of_2_63_fails_with_1002_before_anything_is_stored() {
        for role in [Role::Server, Role::Client] {
            let mut wire = vec![0x82, if role == Role::Server { 0xFF } else { 0x7F }];
            wire.extend((1u64 << 63).to_be_bytes());
            let outcome = receive(role, &wire);
            assert_eq!(outcome.error, Some(ProtocolError::LengthTopBit));
            assert_eq!(sent_close(role, &outcome.output), Some(CloseCode::PROTOCOL_ERROR));
        }
    }

    #[test]
    fn length_above_the_limit_fails_with_1009_at_the_header() {
        let config = Config::default().with_max_message_len(1000);
        let wire = &frame(Role::Server, true, OpCode::Binary, &[0; 1001])[..8];
        let outcome = receive_pieces(Role::Server, config, wire, &[]);
        assert_eq!(outcome.error, Some(ProtocolError::FrameTooLong { len: 1001, max: 1000 }));
        assert_eq!(sent_close(Role::Server, &outcome.output), Some(CloseCode::MESSAGE_TOO_BIG));
        let wire = frame(Role::Server, true, OpCode::Binary, &[0; 1000]);
        assert_eq!(receive_pieces(Role::Server, config, &wire, &[]).error, None);
    }

    #[test]
    fn fragments_above_the_message_limit_fail_with_1009() {
        let config = Config { max_message_len: 10, ..Config::default() };
        let mut wire = frame(Role::Server, false, OpCode::Binary, &[0; 6]);
        wire.extend(&frame(Role::Server, true, OpCode::Continuation, &[0; 5])[..6]);
        let outcome = receive_pieces(Role::Server, config, &wire, &[]);
        assert_eq!(outcome.error, Some(ProtocolError::MessageTooLong { len: 11, max: 10 }));
        assert_eq!(sent_close(Role::Server, &outcome.output), Some(CloseCode::MESSAGE_TOO_BIG));
    }

    #[test]
    fn empty_fragments_without_end_fail_with_1008() {
        let config = Config { max_fragment_count: 3, ..Config::default() };
        let mut wire = frame(Role::Server, false, OpCode::Text, b"");
        for _ in 0..3 {
            wire.extend(frame(Role::Server, false, OpCode::Continuation, b""));
        }
        let outcome = receive_pieces(Role::Server, config, &wire, &[]);
        assert_eq!(outcome.error, Some(ProtocolError::TooManyFragments { max: 3 }));
        assert_eq!(sent_close(Role::Server, &outcome.output), Some(CloseCode::POLICY_VIOLATION));
    }
}

mod masking_5_1 {
    use super::*;

    #[test]
    fn server_fails_unmasked_frame_with_1002() {
        let outcome = receive(Role::Server, &frame(Role::Client, true, OpCode::Text, b"Hello"));
        assert_eq!(outcome.error, Some(ProtocolError::UnmaskedClientFrame));
        assert_eq!(sent_close(Role::Server, &outcome.output), Some(CloseCode::PROTOCOL_ERROR));
    }

    #[test]
    fn client_fails_masked_frame_with_1002() {
        let outcome = receive(Role::Client, &frame(Role::Server, true, OpCode::Text, b"Hello"));
        assert_eq!(outcome.error, Some(ProtocolError::MaskedServerFrame));
        assert_eq!(sent_close(Role::Client, &outcome.output), Some(CloseCode::PROTOCOL_ERROR));
    }

    #[test]
    fn examples_of_section_5_7_are_received() {
        let masked = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
        assert_eq!(receive(Role::Server, &masked).messages, [Message::text("Hello")]);
        let fragmented = [0x01, 0x03, 0x48, 0x65, 0x6C, 0x80, 0x02, 0x6C, 0x6F];
        assert_eq!(receive(Role::Client, &fragmented).messages, [Message::text("Hello")]);
    }
}

mod fragmentation_5_4 {
    use super::*;

    #[test]
    fn control_frames_between_fragments_are_events_of_their_own() {
        for role in [Role::Server, Role::Client] {
            let mut wire = frame(role, false, OpCode::Text, "h€".as_bytes());
            wire.extend(frame(role, true, OpCode::Ping, b"p"));
            wire.extend(frame(role, false, OpCode::Continuation, b""));
            wire.extend(frame(role, true, OpCode::Continuation, b"!"));
            let outcome = receive(role, &wire);
            assert_eq!(outcome.messages, [Message::Ping("p".into()), Message::text("h€!")]);
        }
    }

    #[test]
    fn continuation_with_nothing_to_continue_fails_with_1002() {
        for fin in [false, true] {
            assert_fails(
                |role| frame(role, fin, OpCode::Continuation, b"x"),
                ProtocolError::UnexpectedContinuation,
                CloseCode::PROTOCOL_ERROR,
            );
        }
    }

    #[test]
    fn new_message_within_a_fragmented_one_fails_with_1002() {
        for fin in [false, true] {
            assert_fails(
                |role| {
                    [frame(role, false, OpCode::Text, b"a"), frame(role, fin, OpCode::Text, b"b")].concat()
                },
                ProtocolError::ExpectedContinuation,
                CloseCode::PROTOCOL_ERROR,
            );
        }
    }

    #[test]
    fn empty_fragments_make_an_empty_message() {
        let wire = [
            frame(Role::Server, false, OpCode::Text, b""),
            frame(Role::Server, true, OpCode::Continuation, b""),
        ];
        let next = frame(Role::Server, true, OpCode::Text, b"next");
        let outcome = receive(Role::Server, &[wire.concat(), next].concat());
        assert_eq!(outcome.messages, [Message::text(""), Message::text("next")]);
    }
}

mod utf8_8_1 {
    use super::*;

    #[test]
    fn invalid_text_fails_with_1007_at_the_first_bad_byte() {
        for role in [Role::Server, Role::Client] {
            let whole = frame(role, true, OpCode::Text, b"good\xFFbad and more to come");
            let bad = whole.len() - b"bad and more to come".len();
            let outcome = receive_pieces(role, Config::default(), &whole[..bad], &vec![1; bad]);
            assert_eq!(outcome.error, Some(ProtocolError::InvalidUtf8));
            assert_eq!(sent_close(role, &outcome.output), Some(CloseCode::INVALID_PAYLOAD));
            let before = receive_pieces(role, Config::default(), &whole[..bad - 1], &[]);
            assert_eq!(before.error, None);
        }
    }

    #[test]
    fn code_point_across_fragments_is_accepted() {
        for role in [Role::Server, Role::Client] {
            let text = "x😀y".as_bytes();
            for cut in 0..=text.len() {
                let mut wire = frame(role, false, OpCode::Text, &text[..cut]);
                wire.extend(frame(role, true, OpCode::Continuation, &text[cut..]));
                assert_eq!(receive(role, &wire).messages, [Message::text("x😀y")]);
            }
        }
    }

    #[test]
    fn text_that_ends_inside_a_code_point_fails_with_1007() {
        assert_fails(
            |role| frame(role, true, OpCode::Text, &"€".as_bytes()[..2]),
            ProtocolError::InvalidUtf8,
            CloseCode::INVALID_PAYLOAD,
        );
        assert_fails(
            |role| {
                let mut wire = frame(role, false, OpCode::Text, &"€".as_bytes()[..2]);
                wire.extend(frame(role, true, OpCode::Continuation, b""));
                wire
            },
            ProtocolError::InvalidUtf8,
            CloseCode::INVALID_PAYLOAD,
        );
    }

    #[test]
    fn large_text_of_wide_characters_is_accepted_across_every_block() {
        let text = "aé€😀".repeat(3000);
        let wire = frame(Role::Server, true, OpCode::Text, text.as_bytes());
        for pieces in [vec![], vec![4095; 8], vec![4097; 8], vec![10_001; 3]] {
            let outcome = receive_pieces(Role::Server, Config::default(), &wire, &pieces);
            assert_eq!(outcome.messages, [Message::text(text.clone())]);
        }
    }
}

mod control_frames_5_5 {
    use super::*;

    #[test]
    fn ping_is_answered_by_a_pong_with_the_same_payload() {
        for role in [Role::Server, Role::Client] {
            let outcome = receive(role, &frame(role, true, OpCode::Ping, b"payload"));
            let peer = if role == Role::Server { Role::Client } else { Role::Server };
            assert_eq!(outcome.output, frame(peer, true, OpCode::Pong, b"payload"));
        }
    }

    #[test]
    fn every_ping_of_a_batch_is_answered_while_the_output_is_short() {
        let wire: Vec<u8> = (0..10u8).flat_map(|i| frame(Role::Server, true, OpCode::Ping, &[i])).collect();
        let outcome = receive(Role::Server, &wire);
        let pongs: Vec<u8> = (0..10u8).flat_map(|i| frame(Role::Client, true, OpCode::Pong, &[i])).collect();
        assert_eq!(outcome.output, pongs);
    }

    #[test]
    fn ping_flood_of_a_peer_that_never_reads_keeps_only_the_latest_pong() {
        let mut server = Connection::server(Config::default());
        let mut output = Vec::new();
        for i in 0..10_000u32 {
            let mut payload = [0; 125];
            payload[..4].copy_from_slice(&i.to_be_bytes());
            let mut wire = frame(Role::Server, true, OpCode::Ping, &payload);
            let mut events = server.receive(&mut wire, &mut output);
            assert!(matches!(events.next(), Some(Ok(Event::Ping(_)))));
        }
        assert!(output.len() < 17 * 1024, "{} bytes", output.len());
        output.clear();
        server.resume(&mut output);
        assert_eq!(output[2..6], 9_999u32.to_be_bytes());
        output.clear();
        server.resume(&mut output);
        assert!(output.is_empty());
    }

    #[test]
    fn long_and_fragmented_control_frames_fail_with_1002() {
        for opcode in [OpCode::Close, OpCode::Ping, OpCode::Pong] {
            assert_fails(
                |role| frame(role, true, opcode, &[0; 126]),
                ProtocolError::ControlFrameTooLong,
                CloseCode::PROTOCOL_ERROR,
            );
            assert_fails(
                |role| frame(role, false, opcode, b""),
                ProtocolError::FragmentedControlFrame,
                CloseCode::PROTOCOL_ERROR,
            );
        }
    }
}

mod closing_7 {
    use super::*;

    fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
        [&code.to_be_bytes(), reason].concat()
    }

    #[test]
    fn close_is_answered_with_its_code_and_what_follows_is_ignored() {
        for role in [Role::Server, Role::Client] {
            let mut wire = frame(role, true, OpCode::Close, &close_payload(3000, b"bye"));
            wire.extend(frame(role, true, OpCode::Text, b"after close"));
            let outcome = receive(role, &wire);
            let code = CloseCode::new(3000).unwrap();
            assert_eq!(outcome.messages, [Message::Close(Some(CloseFrame::new(code, "bye")))]);
            assert_eq!(outcome.state, CloseState::Closed);
            assert_eq!(outcome.error, None);
            assert_eq!(sent_close(role, &outcome.output), Some(code));
        }
    }

    #[test]
    fn close_without_payload_is_answered_without_payload() {
        let outcome = receive(Role::Server, &frame(Role::Server, true, OpCode::Close, b""));
        assert_eq!(outcome.messages, [Message::Close(None)]);
        assert_eq!(outcome.output, frame(Role::Client, true, OpCode::Close, b""));
    }

    #[test]
    fn close_payload_of_one_byte_fails_with_1002() {
        assert_fails(
            |role| frame(role, true, OpCode::Close, &[3]),
            ProtocolError::CloseCodeIncomplete,
            CloseCode::PROTOCOL_ERROR,
        );
    }

    #[test]
    fn invalid_close_codes_fail_with_1002() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
            assert_fails(
                |role| frame(role, true, OpCode::Close, &close_payload(code, b"")),
                ProtocolError::InvalidCloseCode(code),
                CloseCode::PROTOCOL_ERROR,
            );
        }
    }

    #[test]
    fn close_reason_that_is_not_utf8_fails_with_1007() {
        assert_fails(
            |role| frame(role, true, OpCode::Close, &close_payload(1000, b"\xC3(")),
            ProtocolError::InvalidUtf8,
            CloseCode::INVALID_PAYLOAD,
        );
    }

    #[test]
    fn messages_still_arrive_between_the_own_close_and_the_peers() {
        let mut client = connection(Role::Client, Config::default());
        let mut output = Vec::new();
        client.send_close(Some(&CloseFrame::new(CloseCode::NORMAL, "")), &mut output).unwrap();
        assert!(client.close_expected());
        assert_eq!(client.send_text("late", &mut output), Err(SendError::Closed));
        let sent = output.clone();
        let mut wire = frame(Role::Client, true, OpCode::Text, b"still here");
        wire.extend(frame(Role::Client, true, OpCode::Close, &close_payload(1000, b"")));
        let mut events = client.receive(&mut wire, &mut output);
        assert_eq!(events.next(), Some(Ok(Event::Text("still here"))));
        assert!(matches!(events.next(), Some(Ok(Event::Close(Some(_))))));
        assert_eq!(client.close_state(), CloseState::Closed);
        assert_eq!(output, sent, "the peer's Close is not answered twice");
        assert_eq!(client.receive_eof(), Ok(()));
    }

    #[test]
    fn end_of_transport_without_close_is_an_error() {
        let mut server = Connection::server(Config::default());
        assert_eq!(server.receive_eof(), Err(ProtocolError::ClosedWithoutHandshake));
        assert!(server.is_closed());
    }
}

mod sending {
    use super::*;

    #[test]
    fn fragments_cannot_be_interleaved_with_messages_but_with_control_frames() {
        let mut server = Connection::server(Config::default());
        let mut output = Vec::new();
        assert_eq!(server.send_next_fragment(b"", true, &mut output), Err(SendError::NoMessageToContinue));
        server.send_first_fragment(MessageKind::Text, b"a", &mut output).unwrap();
        assert_eq!(server.send_text("x", &mut output), Err(SendError::MessageUnfinished));
        server.send_ping(b"", &mut output).unwrap();
        server.send_next_fragment(b"b", true, &mut output).unwrap();
        server.send_text("c", &mut output).unwrap();
        let outcome = receive(Role::Client, &output);
        assert_eq!(outcome.messages, [Message::Ping("".into()), Message::text("ab"), Message::text("c")]);
    }

    #[test]
    fn control_payload_above_125_bytes_is_refused_and_sends_nothing() {
        let mut server = Connection::server(Config::default());
        let mut output = Vec::new();
        let error = Err(SendError::ControlPayloadTooLong { len: 126, max: 125 });
        assert_eq!(server.send_ping(&[0; 126], &mut output), error);
        assert_eq!(server.send_pong(&[0; 126], &mut output), error);
        assert!(output.is_empty());
    }

    #[test]
    fn header_and_payload_written_apart_are_a_message() {
        let mut server = Connection::server(Config::default());
        let mut output = Vec::new();
        let payload = vec![7; 70_000];
        server.send_header(MessageKind::Binary, payload.len(), &mut output).unwrap();
        output.extend_from_slice(&payload);
        assert_eq!(
            receive_owned(Role::Client, Config::default(), &output, 9000).messages,
            [Message::binary(payload)]
        );
    }
}

#[test]
fn payload_range_tells_where_an_unfragmented_message_lies() {
    let mut wire = frame(Role::Server, true, OpCode::Binary, b"abc");
    wire.extend(frame(Role::Server, false, OpCode::Binary, b"d"));
    wire.extend(frame(Role::Server, true, OpCode::Continuation, b"e"));
    let mut server = Connection::server(Config::default());
    let mut output = Vec::new();
    let mut events = server.receive(&mut wire, &mut output);
    assert_eq!(events.next(), Some(Ok(Event::Binary(b"abc"))));
    assert_eq!(events.payload_range(), Some(6..9));
    assert_eq!(events.next(), Some(Ok(Event::Binary(b"de"))));
    assert_eq!(events.payload_range(), None);
}

#[test]
fn missing_len_is_what_completes_the_frame() {
    let mut wire = frame(Role::Server, true, OpCode::Binary, &[0; 1000])[..108].to_vec();
    let mut server = Connection::server(Config::default());
    let mut output = Vec::new();
    assert_eq!(server.missing_len(0), 0);
    let mut events = server.receive(&mut wire, &mut output);
    assert_eq!(events.next(), None);
    assert_eq!(events.consumed_len(), 8);
    assert_eq!(server.missing_len(100), 900);
}

#[derive(Debug, Clone)]
struct AnyFrame {
    fin: bool,
    opcode: u8,
    payload: Vec<u8>,
    masked: bool,
}

fn any_wire() -> impl Strategy<Value = (Role, Vec<u8>)> {
    let payload = prop_oneof![
        "\\PC{0,40}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..200),
        (100usize..5000).prop_map(|n| vec![b'a'; n]),
    ];
    let opcode = prop_oneof![8 => Just(0u8), 8 => Just(1), 8 => Just(2), 2 => Just(9), 2 => Just(10), 1 => Just(8), 1 => 0..16u8];
    let frame = (prop::bool::weighted(0.7), opcode, payload, prop::bool::weighted(0.99))
        .prop_map(|(fin, opcode, payload, masked)| AnyFrame { fin, opcode, payload, masked });
    (prop_oneof![Just(Role::Server), Just(Role::Client)], proptest::collection::vec(frame, 1..8)).prop_map(
        |(role, frames)| {
            let wire = frames.iter().flat_map(|any| {
                let payload = match any.opcode {
                    8 => b"\x03\xE8ok".to_vec(),
                    9 | 10 => any.payload[..any.payload.len().min(125)].to_vec(),
                    _ => any.payload.clone(),
                };
                let receiver = if any.masked == (role == Role::Server) { Role::Server } else { Role::Client };
                let mut bytes = frame_bytes(receiver, any.fin || any.opcode >= 8, &payload);
                bytes[0] = bytes[0] & 0xF0 | any.opcode;
                bytes
            });
            (role, wire.collect())
        },
    )
}

fn frame_bytes(receiver: Role, fin: bool, payload: &[u8]) -> Vec<u8> {
    frame(receiver, fin, OpCode::Binary, payload)
}

#[test]
fn half_is_parked_between_messages_only_and_receives_on_as_it_was() {
    for role in [Role::Server, Role::Client] {
        let (half, _) = connection(role, Config::default().with_max_message_len(10)).split();
        let mut buffer = ReceiveBuffer::new(half);
        let mut messages = Vec::new();
        let wire = [
            frame(role, true, OpCode::Text, b"first"),
            frame(role, false, OpCode::Binary, b"sec"),
            frame(role, true, OpCode::Ping, b"?"),
            frame(role, true, OpCode::Continuation, b"ond"),
        ]
        .concat();
        let ends = [frame(role, true, OpCode::Text, b"first").len(), wire.len()];
        for (i, byte) in wire.iter().enumerate() {
            buffer.buffer().extend_from_slice(&[*byte]);
            while buffer.advance().unwrap() {
                assert!(buffer.park().is_none(), "something was found, {role:?}");
                messages.extend(buffer.take_message());
            }
            let parked = buffer.park();
            assert_eq!(parked.is_some(), ends.contains(&(i + 1)), "{role:?}, byte {i}");
            if let Some(mut parked) = parked {
                assert_eq!(parked.role(), role);
                buffer.buffer().extend_from_slice(&frame(role, true, OpCode::Text, b"too late"));
                assert_eq!(buffer.advance(), Ok(false), "what was parked is over");
                buffer = ReceiveBuffer::new(parked.resume());
            }
        }
        let ping = Message::Ping(b"?"[..].into());
        assert_eq!(messages, [Message::text("first"), ping, Message::binary(&b"second"[..])]);
        buffer.buffer().extend_from_slice(&frame(role, true, OpCode::Text, &[b'a'; 11]));
        let error = ProtocolError::MessageTooLong { len: 11, max: 10 };
        let too_long = ProtocolError::FrameTooLong { len: 11, max: 10 };
        assert!([Err(error), Err(too_long)].contains(&buffer.advance()), "the limits are kept, {role:?}");
        assert!(buffer.park().is_none(), "it has failed, {role:?}");
    }
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_what_the_whole_gives(
        (role, wire) in any_wire(),
        pieces in proptest::collection::vec(1usize..700, 0..40),
        piece_len in 1usize..300,
    ) {
        let whole = receive_pieces(role, Config::default(), &wire, &[]);
        prop_assert_eq!(&receive_pieces(role, Config::default(), &wire, &pieces), &whole);
        prop_assert_eq!(&receive_pieces(role, Config::default(), &wire, &vec![1; wire.len()]), &whole);
        prop_assert_eq!(&receive_owned(role, Config::default(), &wire, piece_len), &whole);
        prop_assert_eq!(&receive_owned(role, Config::default(), &wire, wire.len()), &whole);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        wire in proptest::collection::vec(any::<u8>(), 0..300),
        server: bool,
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let whole = receive_pieces(role, Config::default(), &wire, &[]);
        prop_assert_eq!(receive_pieces(role, Config::default(), &wire, &vec![1; wire.len()]), whole);
    }

    #[test]
    fn what_one_role_sends_the_other_receives(
        server: bool,
        texts in proptest::collection::vec("\\PC{0,300}", 0..6),
        payload in proptest::collection::vec(any::<u8>(), 0..70_000),
        piece_len in 1usize..4000,
    ) {
        let (sender, receiver) =
            if server { (Role::Server, Role::Client) } else { (Role::Client, Role::Server) };
        let mut connection = connection(sender, Config::default());
        let mut wire = Vec::new();
        let mut expected = Vec::new();
        for text in &texts {
            connection.send_text(text, &mut wire).unwrap();
            expected.push(Message::text(text.clone()));
        }
        connection.send_binary(&payload, &mut wire).unwrap();
        expected.push(Message::binary(payload));
        prop_assert_eq!(receive_owned(receiver, Config::default(), &wire, piece_len).messages, expected);
    }
}
