//! Receiving messages piece by piece, and the halves of a connection apart.

use proptest::prelude::*;
use sockeye_websocket::{
    Chunk, Config, Connection, Event, MaskSource, Message, MessageKind, ProtocolError, ReceiveBuffer,
    SendError, StreamEvent,
};

fn client() -> Connection {
    Connection::client_with_masks(Config::default(), MaskSource::custom(|| [9, 8, 7, 6]))
}

/// Takes everything of `wire`, read in pieces of `piece_len`, as chunks; joins those of each message.
fn receive_chunks(
    server: &mut Connection,
    wire: &[u8],
    piece_len: usize,
) -> (Vec<(MessageKind, Vec<u8>)>, Option<ProtocolError>) {
    let (mut messages, mut input, mut output) = (Vec::new(), Vec::new(), Vec::new());
    let mut current = Vec::new();
    for piece in wire.chunks(piece_len) {
        input.extend_from_slice(piece);
        let mut events = server.receive(&mut input, &mut output);
        while let Some(event) = events.next_chunk() {
            match event {
                Ok(StreamEvent::Chunk(Chunk { kind, payload, fin })) => {
                    assert!(fin || !payload.is_empty(), "a chunk brings something");
                    current.extend_from_slice(payload);
                    if fin {
                        messages.push((kind, std::mem::take(&mut current)));
                    }
                }
                Ok(_) => {}
                Err(error) => return (messages, Some(error)),
            }
        }
        let consumed_len = events.consumed_len();
        input.drain(..consumed_len);
        assert!(input.len() < 14 + 125, "of a message nothing stays behind but headers");
    }
    (messages, None)
}

#[test]
fn message_above_the_limit_of_held_ones_is_received_in_chunks() {
    let mut server = Connection::server(Config::default().with_max_message_len(10));
    let mut wire = Vec::new();
    let payload = vec![7; 100_000];
    let mut client = client();
    client.send_binary(&payload, &mut wire).unwrap();
    client.send_first_fragment(MessageKind::Binary, &payload[..60_000], &mut wire).unwrap();
    client.send_next_fragment(&payload[60_000..], true, &mut wire).unwrap();
    let (messages, error) = receive_chunks(&mut server, &wire, 4096);
    assert_eq!(error, None);
    assert_eq!(messages, [(MessageKind::Binary, payload.clone()), (MessageKind::Binary, payload)]);
}

#[test]
fn text_is_judged_as_it_flows() {
    let mut server = Connection::server(Config::default());
    let mut wire = Vec::new();
    let mut client = client();
    client.send_first_fragment(MessageKind::Text, b"good \xE2\x82", &mut wire).unwrap();
    client.send_next_fragment(b"\xAC bad \xFF and more", true, &mut wire).unwrap();
    let (messages, error) = receive_chunks(&mut server, &wire, usize::MAX);
    assert_eq!((messages.len(), error), (0, Some(ProtocolError::InvalidUtf8)));

    let mut server = Connection::server(Config::default());
    let mut wire = Vec::new();
    let mut client = self::client();
    client.send_first_fragment(MessageKind::Text, b"cut \xE2", &mut wire).unwrap();
    client.send_next_fragment(b"\x82", true, &mut wire).unwrap();
    let (_, error) = receive_chunks(&mut server, &wire, 1);
    assert_eq!(error, Some(ProtocolError::InvalidUtf8));
}

#[test]
fn endless_empty_fragments_fail_but_long_messages_of_many_fragments_do_not() {
    let config = Config { max_fragment_count: 10, ..Config::default() };
    let mut server = Connection::server(config);
    let mut wire = Vec::new();
    let mut client = client();
    client.send_first_fragment(MessageKind::Binary, b"x", &mut wire).unwrap();
    for _ in 0..100 {
        client.send_next_fragment(b"x", false, &mut wire).unwrap();
    }
    assert_eq!(receive_chunks(&mut server, &wire, usize::MAX).1, None);
    wire.clear();
    for _ in 0..20 {
        client.send_next_fragment(b"", false, &mut wire).unwrap();
    }
    let (_, error) = receive_chunks(&mut server, &wire, usize::MAX);
    assert_eq!(error, Some(ProtocolError::TooManyFragments { max: 10 }));
}

#[test]
fn rest_of_a_message_taken_in_part_is_passed_over() {
    for pieces in [1, 5, usize::MAX] {
        let mut server = Connection::server(Config::default().with_max_message_len(20));
        let mut wire = Vec::new();
        let mut client = client();
        client.send_first_fragment(MessageKind::Text, "first ä".as_bytes(), &mut wire).unwrap();
        client.send_ping(b"between", &mut wire).unwrap();
        client.send_next_fragment("second fragment, above the limit ö".as_bytes(), true, &mut wire).unwrap();
        client.send_text("next", &mut wire).unwrap();

        let (mut input, mut output, mut seen, mut taken) = (Vec::new(), Vec::new(), Vec::new(), false);
        for piece in wire.chunks(pieces) {
            input.extend_from_slice(piece);
            let mut events = server.receive(&mut input, &mut output);
            if !taken && let Some(event) = events.next_chunk() {
                assert!(matches!(event, Ok(StreamEvent::Chunk(Chunk { fin: false, .. }))));
                taken = true;
            }
            while taken && let Some(event) = events.next() {
                seen.push(match event.unwrap() {
                    Event::Ping(payload) => format!("ping {}", String::from_utf8_lossy(payload)),
                    Event::Text(text) => text.to_owned(),
                    other => panic!("{other:?}"),
                });
            }
            let consumed_len = events.consumed_len();
            input.drain(..consumed_len);
        }
        assert_eq!(seen, ["ping between", "next"], "pieces of {pieces}");
    }
}

#[test]
fn no_chunk_follows_a_hole() {
    let (mut wire, mut output) = (Vec::new(), Vec::new());
    let mut client = client();
    for piece in [b"one", b"two"] {
        client.send_first_fragment(MessageKind::Binary, piece, &mut wire).unwrap();
        client.send_next_fragment(b" and ", false, &mut wire).unwrap();
        client.send_next_fragment(b"last", true, &mut wire).unwrap();
    }
    let mut server = Connection::server(Config::default());
    // The first fragment as a chunk, and the second one passed over.
    let mut first = wire[..9 + 11].to_vec();
    let mut events = server.receive(&mut first, &mut output);
    assert!(matches!(events.next_chunk(), Some(Ok(StreamEvent::Chunk(chunk))) if chunk.payload == b"one"));
    assert_eq!(events.next(), None);
    let mut rest = wire[9 + 11..].to_vec();
    let mut events = server.receive(&mut rest, &mut output);
    assert!(matches!(events.next_chunk(), Some(Ok(StreamEvent::Chunk(chunk))) if chunk.payload == b"two"));
}

#[test]
fn asking_for_chunks_in_vain_does_not_skip_the_message() {
    let mut server = Connection::server(Config::default().with_max_message_len(5));
    let mut wire = Vec::new();
    client().send_text("whole", &mut wire).unwrap();
    let mut output = Vec::new();
    let mut header = wire[..6].to_vec();
    let mut events = server.receive(&mut header, &mut output);
    assert_eq!(events.next_chunk(), None);
    let consumed_len = events.consumed_len();
    let mut rest = wire[consumed_len..].to_vec();
    assert_eq!(server.receive(&mut rest, &mut output).next(), Some(Ok(Event::Text("whole"))));

    wire.clear();
    client().send_text("too long", &mut wire).unwrap();
    let mut header = wire[..6].to_vec();
    let consumed_len = {
        let mut events = server.receive(&mut header, &mut output);
        assert_eq!(events.next_chunk(), None);
        events.consumed_len()
    };
    let mut rest = wire[consumed_len..].to_vec();
    let mut events = server.receive(&mut rest, &mut output);
    let event = events.next();
    assert!(
        matches!(event, Some(Err(ProtocolError::FrameTooLong { .. }))),
        "the limit holds again: {event:?}"
    );
}

#[test]
fn what_was_reassembled_comes_as_the_first_chunk() {
    let mut server = Connection::server(Config::default());
    let (mut wire, mut output) = (Vec::new(), Vec::new());
    let mut client = client();
    client.send_first_fragment(MessageKind::Binary, b"one ", &mut wire).unwrap();
    assert_eq!(server.receive(&mut wire, &mut output).next(), None);
    wire.clear();
    client.send_next_fragment(b"two", true, &mut wire).unwrap();
    let mut events = server.receive(&mut wire, &mut output);
    let chunk =
        |payload, fin| Some(Ok(StreamEvent::Chunk(Chunk { kind: MessageKind::Binary, payload, fin })));
    assert_eq!(events.next_chunk(), chunk(b"one ", false));
    assert_eq!(events.next_chunk(), chunk(b"two", true));
    assert_eq!(events.next_chunk(), None);
}

#[test]
fn piece_of_a_text_asked_for_as_an_event_is_bytes() {
    let mut wire = Vec::new();
    client().send_text("aé", &mut wire).unwrap();
    let (receiver, _) = Connection::server(Config::default()).split();
    let mut receiver = ReceiveBuffer::new(receiver);
    receiver.buffer().extend_from_slice(&wire[..8]);
    assert_eq!(receiver.advance_chunk(), Ok(true));
    assert_eq!(receiver.event(), Some(Event::Binary(b"a\xC3")));
    assert_eq!(receiver.take_message(), Some(Message::binary(&b"a\xC3"[..])));
    receiver.buffer().extend_from_slice(&wire[8..]);
    assert_eq!(receiver.event(), None, "the input may have changed");
    assert_eq!(receiver.advance_chunk(), Ok(true));
    let last = Chunk { kind: MessageKind::Text, payload: b"\xA9", fin: true };
    assert_eq!(receiver.chunk(), Some(StreamEvent::Chunk(last)));
}

#[test]
fn payload_that_looks_like_a_frame_is_none() {
    // Half of a message, whose payload is a whole Ping of a client; and half of a Ping.
    for (header, payload) in [
        (b"\x82\x90\0\0\0\0", &b"\x89\x80\0\0\0\0"[..]),
        (b"\x89\x90\0\0\0\0", b"\x89\x80\0\0\0\0"),
        (b"\x82\x90\0\0\0\0", b"\xFF\xFF\xFF\xFF"),
    ] {
        let (receiver, _) = Connection::server(Config::default()).split();
        let mut receiver = ReceiveBuffer::new(receiver);
        receiver.buffer().extend_from_slice(header);
        receiver.buffer().extend_from_slice(payload);
        assert_eq!(receiver.advance(), Ok(false));
        assert!(!receiver.has_frame(), "{payload:?}");
        receiver.buffer().extend_from_slice(&[7; 16][payload.len()..]);
        assert!(receiver.has_frame(), "the rest has come");
        assert_eq!(receiver.advance(), Ok(true));
    }
}

#[test]
fn rest_of_a_message_that_is_passed_over_is_no_event() {
    let (receiver, _) = Connection::server(Config::default()).split();
    let mut receiver = ReceiveBuffer::new(receiver);
    receiver.buffer().extend_from_slice(b"\x82\x84\0\0\0\0ab");
    assert_eq!(receiver.advance_chunk(), Ok(true));
    receiver.buffer().extend_from_slice(b"cd");
    assert!(!receiver.has_frame());
    assert_eq!(receiver.advance(), Ok(false));
}

#[test]
fn after_a_close_there_is_no_frame() {
    let (receiver, _) = Connection::server(Config::default()).split();
    let mut receiver = ReceiveBuffer::new(receiver);
    receiver.buffer().extend_from_slice(b"\x88\x80\0\0\0\0\x82\x80\0\0\0\0");
    assert!(receiver.has_frame());
    assert_eq!(receiver.advance(), Ok(true));
    assert!(!receiver.has_frame(), "§5.5.1: what follows a Close is ignored");
    assert_eq!(receiver.advance(), Ok(false));
}

#[test]
fn halves_apart_do_what_they_do_together() {
    let mut wire = Vec::new();
    let mut client = client();
    client.send_text("hello", &mut wire).unwrap();
    client.send_ping(b"are you there", &mut wire).unwrap();
    client.send_close(None, &mut wire).unwrap();
    let mut copy = wire.clone();

    let (mut expected, mut output) = (Vec::new(), Vec::new());
    let mut whole = Connection::server(Config::default());
    let mut events = whole.receive(&mut wire, &mut expected);
    while events.next().is_some() {}

    let (mut receiver, mut sender) = Connection::server(Config::default()).split();
    let mut events = receiver.receive(&mut copy);
    while let Some(event) = events.next() {
        sender.answer(&event, &mut output);
    }
    assert_eq!(output, expected);
    assert_eq!(sender.send_text("late", &mut output), Err(SendError::Closed));
    let together = Connection::from_halves(receiver, sender);
    assert_eq!(together.close_state(), whole.close_state());
    assert!(together.is_closed());
}

#[test]
fn half_that_failed_is_answered_with_the_code_of_the_error() {
    let (mut receiver, mut sender) = Connection::server(Config::default()).split();
    let mut output = Vec::new();
    let mut input = bytes::BytesMut::from(&b"\x81\x02hi"[..]);
    let received = receiver.receive_message(&mut input);
    assert_eq!(received, Err(ProtocolError::UnmaskedClientFrame));
    sender.answer_message(&received, &mut output);
    assert_eq!(output, b"\x88\x02\x03\xEA");
}

proptest! {
    #[test]
    fn chunks_joined_are_the_messages(
        messages in proptest::collection::vec(
            prop_oneof![
                "\\PC{0,300}".prop_map(Message::text),
                proptest::collection::vec(any::<u8>(), 0..3000).prop_map(Message::binary),
            ],
            0..10,
        ),
        fragment_len in 1usize..500,
        piece_len in 1usize..700,
    ) {
        let mut wire = Vec::new();
        let mut client = client();
        for message in &messages {
            let kind = if message.as_text().is_some() { MessageKind::Text } else { MessageKind::Binary };
            let mut pieces = message.payload().chunks(fragment_len);
            client.send_first_fragment(kind, pieces.next().unwrap_or_default(), &mut wire).unwrap();
            for piece in pieces {
                client.send_next_fragment(piece, false, &mut wire).unwrap();
            }
            client.send_next_fragment(b"", true, &mut wire).unwrap();
        }
        let (received, error) = receive_chunks(&mut Connection::server(Config::default()), &wire, piece_len);
        prop_assert_eq!(error, None);
        let expected: Vec<_> = messages
            .iter()
            .map(|message| {
                let kind = if message.as_text().is_some() { MessageKind::Text } else { MessageKind::Binary };
                (kind, message.payload().to_vec())
            })
            .collect();
        prop_assert_eq!(received, expected);
    }
}
