//! A connection with permessage-deflate: bytes and frames of any kind come to what the model says, however they are cut
//! and taken; and what one role sends, the other receives.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sockeye_fuzz::{
    model::{Taking, modelled_with},
    websocket::{connection, cut, to_message},
    wire::{Frame, WireFrame, filled},
};
use sockeye_websocket::{
    Config, Connection, Message, MessageKind, Prepared, Role, StreamEvent,
    deflate::{self, Deflater, Params},
};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    client: bool,
    limits: u8,
    takeover: (bool, bool),
    window_bits: (u8, u8),
    level: u8,
    threshold: u16,
    /// Between whole messages and chunks.
    choices: u64,
    pieces: Vec<u16>,
    items: Vec<Item<'a>>,
    sends: Vec<Send<'a>>,
}

/// What a peer sends that knows no rules.
#[derive(Arbitrary, Debug)]
enum Item<'a> {
    Wire(&'a [u8]),
    Frame(Frame<'a>),
    /// A compressed message in fragments, with bytes changed, and without the last ones.
    Compressed {
        text: bool,
        payload: Payload<'a>,
        cuts: Vec<u8>,
        ping: bool,
        changes: Vec<(u16, u8)>,
        cut_len: u8,
    },
    /// A compressed frame as it is.
    Raw(bool, &'a [u8]),
}

#[derive(Arbitrary, Debug)]
enum Payload<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    Filled(u8, u32),
    Repeated(&'a str, u8),
}

impl Payload<'_> {
    fn to_vec(&self) -> Vec<u8> {
        match *self {
            Self::Text(text) => text.into(),
            Self::Bytes(bytes) => bytes.into(),
            Self::Filled(byte, len) => filled(byte & 0x7F, len),
            Self::Repeated(text, times) => text.repeat(usize::from(times)).into(),
        }
    }

    fn to_text(&self) -> String {
        String::from_utf8_lossy(&self.to_vec()).into_owned()
    }
}

#[derive(Arbitrary, Debug)]
enum Send<'a> {
    Text(Payload<'a>),
    Binary(Payload<'a>),
    Uncompressed(Payload<'a>),
    Fragments { payload: Payload<'a>, lengths: Vec<u8>, ping: bool, empty_end: bool },
    Prepared { payload: Payload<'a>, compressible: bool, again: bool },
    Ping(&'a [u8]),
}

/// No input makes a longer wire, for the sake of the speed.
const MAX_WIRE_LEN: usize = 100_000;

fuzz_target!(|data: &[u8]| {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    receive_anything(&input);
    send_to_peer(&input);
});

impl Input<'_> {
    fn role(&self) -> Role {
        if self.client { Role::Client } else { Role::Server }
    }

    fn limits(&self) -> Config {
        match self.limits % 3 {
            0 => Config::default().with_max_message_len(100_000),
            1 => Config { max_frame_len: 100, max_message_len: 300, max_fragment_count: 4 },
            _ => Config { max_frame_len: 3000, max_message_len: 2000, max_fragment_count: 20 },
        }
    }

    /// From the view of the end under test, which sends.
    fn params(&self) -> Params {
        Params {
            own_context_takeover: self.takeover.0,
            peer_context_takeover: self.takeover.1,
            own_window_bits: 8 + self.window_bits.0 % 8,
            peer_window_bits: 8 + self.window_bits.1 % 8,
        }
    }

    fn connection(&self, role: Role, params: &Params, config: Config) -> Connection {
        let threshold = usize::from(self.threshold % 300);
        let settings = deflate::Config { level: self.level % 10, threshold, ..deflate::Config::default() };
        connection(role, config).with_deflate(params, &settings)
    }

    fn piece_lens(&self) -> Vec<usize> {
        self.pieces.iter().map(|&len| usize::from(len)).collect()
    }
}

fn mirrored(params: Params) -> Params {
    Params {
        own_context_takeover: params.peer_context_takeover,
        peer_context_takeover: params.own_context_takeover,
        own_window_bits: params.peer_window_bits,
        peer_window_bits: params.own_window_bits,
    }
}

/// The items as a peer of `role` sends them.
fn encode(input: &Input<'_>, role: Role, params: &Params) -> Vec<u8> {
    let key = (role == Role::Server).then_some([0x5A, 0, 0xFF, 0x11]);
    let settings = deflate::Config { level: input.level % 10, ..deflate::Config::default() };
    let mut deflater = Deflater::new(&mirrored(*params), &settings);
    let mut wire = Vec::new();
    for item in &input.items {
        match item {
            Item::Wire(bytes) => wire.extend_from_slice(bytes),
            Item::Frame(frame) => frame.encode(role, &mut wire),
            Item::Raw(text, payload) => {
                WireFrame { first: if *text { 0xC1 } else { 0xC2 }, key, len_len: 0, payload }
                    .encode(&mut wire);
            }
            Item::Compressed { text, payload, cuts, ping, changes, cut_len } => {
                let mut compressed = Vec::new();
                deflater.compress(&payload.to_vec(), true, &mut compressed);
                for (at, byte) in changes {
                    let at = usize::from(*at) % compressed.len();
                    compressed[at] ^= byte;
                }
                compressed.truncate(compressed.len().saturating_sub(usize::from(*cut_len)));
                let mut first = if *text { 0x41 } else { 0x42 };
                let mut rest = &compressed[..];
                for len in cuts {
                    let (payload, after) = rest.split_at(usize::from(*len).min(rest.len()));
                    WireFrame { first, key, len_len: 0, payload }.encode(&mut wire);
                    if *ping {
                        WireFrame { first: 0x89, key, len_len: 0, payload: b"between" }.encode(&mut wire);
                    }
                    (first, rest) = (0, after);
                }
                WireFrame { first: first | 0x80, key, len_len: 0, payload: rest }.encode(&mut wire);
            }
        }
        if wire.len() > MAX_WIRE_LEN {
            break;
        }
    }
    wire
}

/// What was received.
#[derive(Debug, Default)]
struct Received {
    messages: Vec<Message>,
    error: Option<u16>,
    /// The message whose end has not come, in chunks.
    begun: Option<(MessageKind, Vec<u8>)>,
    /// The data messages, and whether they are whole: of the others the rest was passed over.
    data: Vec<(MessageKind, Vec<u8>, bool)>,
}

impl Received {
    fn message(&mut self, message: Message) {
        if message.is_data() {
            self.data.push((message_kind(&message), message.payload().to_vec(), true));
        }
        self.messages.push(message);
    }

    fn stream_event(&mut self, event: StreamEvent<'_>) {
        match event {
            StreamEvent::Ping(payload) => self.messages.push(Message::Ping(payload.to_vec().into())),
            StreamEvent::Pong(payload) => self.messages.push(Message::Pong(payload.to_vec().into())),
            StreamEvent::Close(frame) => self.messages.push(Message::Close(frame)),
            StreamEvent::Chunk(chunk) => {
                assert!(chunk.fin || !chunk.payload.is_empty(), "a chunk brings something");
                let (kind, payload) = self.begun.get_or_insert((chunk.kind, Vec::new()));
                assert_eq!(*kind, chunk.kind);
                payload.extend_from_slice(chunk.payload);
                if chunk.fin {
                    let (kind, payload) = self.begun.take().expect("it is here");
                    self.message(match kind {
                        MessageKind::Text => Message::text(String::from_utf8(payload).expect("UTF-8")),
                        MessageKind::Binary => Message::binary(payload),
                    });
                }
            }
        }
    }

    fn error(&mut self, code: u16) {
        assert_eq!(self.error.replace(code), None, "an error is told once");
    }
}

/// How to take messages.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Owning,
    Borrowing,
    Chunks,
    /// Chunks and whole messages by turns; whole ones only where no message is begun.
    Mixed(u64),
    /// By turns at any place, so that messages are passed over.
    PassingOver(u64),
}

fn receive(connection: &mut Connection, wire: &[u8], pieces: &[usize], way: Way) -> (Received, Vec<u8>) {
    let (mut received, mut output, mut input) = (Received::default(), Vec::new(), BytesMut::new());
    let mut turns = match way {
        Way::Mixed(turns) | Way::PassingOver(turns) => turns,
        _ => 0,
    };
    let mut passing = false;
    for piece in cut(wire, pieces).chain([&[][..]]) {
        input.extend_from_slice(piece);
        if way == Way::Owning {
            loop {
                match connection.receive_message(&mut input, &mut output) {
                    Ok(Some(message)) => received.message(message),
                    Ok(None) => break,
                    Err(error) => received.error(error.close_code().get()),
                }
            }
            continue;
        }
        let mut events = connection.receive(&mut input, &mut output);
        loop {
            turns = turns.rotate_left(1);
            let whole = match way {
                Way::Mixed(_) => turns & 1 != 0 && received.begun.is_none() && !piece.is_empty(),
                // A control frame may come out first, and behind it chunks of the same message could be asked for.
                Way::PassingOver(_) => turns & 1 != 0 || passing,
                _ => way == Way::Borrowing,
            };
            if whole && let Some((kind, payload)) = received.begun.take() {
                received.data.push((kind, payload, false));
                passing = true;
            }
            let event = if whole {
                events.next().map(|event| {
                    event.map(|event| {
                        let message = to_message(event);
                        passing &= !message.is_data();
                        received.message(message);
                    })
                })
            } else {
                events.next_chunk().map(|event| event.map(|event| received.stream_event(event)))
            };
            match event {
                Some(Ok(())) => {}
                Some(Err(error)) => received.error(error.close_code().get()),
                None => break,
            }
        }
        let consumed_len = events.consumed_len();
        let _ = input.split_to(consumed_len);
        assert!(
            way != Way::Chunks || input.len() <= 14 + 125,
            "of a message nothing stays behind but headers"
        );
    }
    (received, output)
}

fn receive_anything(input: &Input<'_>) {
    let (role, config, params) = (input.role(), input.limits(), input.params());
    let wire = encode(input, role, &params);
    let pieces = input.piece_lens();
    let takeover = Some(params.peer_context_takeover);
    for (taking, ways) in
        [(Taking::Whole, &[Way::Owning, Way::Borrowing][..]), (Taking::Chunks, &[Way::Chunks])]
    {
        let model = modelled_with(role, &config, taking, false, &wire, takeover);
        for way in ways {
            for pieces in [&pieces[..], &[]] {
                let mut connection = input.connection(role, &params, config);
                let (received, output) = receive(&mut connection, &wire, pieces, *way);
                assert!(received.messages.starts_with(&model.outcome.messages), "{way:?}");
                let longest = received.messages.iter().map(|message| message.payload().len()).max();
                if taking == Taking::Whole {
                    assert!(longest.unwrap_or(0) as u64 <= config.max_message_len.max(125));
                }
                if model.gave_up {
                    continue;
                }
                assert_eq!(received.messages, model.outcome.messages, "{way:?}");
                assert!(
                    received.error == model.outcome.error
                        || (received.error.is_some() && received.error == model.other_error),
                    "{way:?}: {:?}, not {:?} or {:?}",
                    received.error,
                    model.outcome.error,
                    model.other_error
                );
                assert_eq!(Some(connection.close_state()), model.outcome.state);
                if received.error == model.outcome.error {
                    assert_eq!(output, model.outcome.output);
                }
                assert_unfinished(*way, &received, model.unfinished.as_ref());
            }
        }
    }
    // By turns there is nothing to compare with but the limit of memory.
    let mut connection = input.connection(role, &params, config);
    receive(&mut connection, &wire, &pieces, Way::PassingOver(input.choices));
}

fn assert_unfinished(way: Way, received: &Received, unfinished: Option<&(u8, Vec<u8>)>) {
    let Some((kind, begun)) = &received.begun else {
        let nothing = unfinished.is_none_or(|(_, payload)| payload.is_empty());
        assert!(way != Way::Chunks || nothing || received.error.is_some(), "chunks are missing");
        return;
    };
    let (opcode, payload) = unfinished.expect("it was begun");
    assert_eq!(*kind == MessageKind::Text, *opcode == 1);
    if received.error.is_some() {
        assert!(payload.starts_with(begun));
    } else if !received.messages.iter().any(|message| matches!(message, Message::Close(_))) {
        assert_eq!(begun, payload);
    }
}

fn send_to_peer(input: &Input<'_>) {
    let (role, params) = (input.role(), input.params());
    let mut sender = input.connection(role, &params, Config::default());
    let (mut wire, mut sent) = (Vec::new(), Vec::new());
    let mut earlier: Option<Prepared> = None;
    for send in &input.sends {
        let before = wire.len();
        let most = send_one(&mut sender, send, &mut earlier, &mut wire, &mut sent);
        assert!(wire.len() - before <= most, "{} bytes, at most {most} are needed", wire.len() - before);
        if wire.len() > MAX_WIRE_LEN {
            break;
        }
    }
    let peer = if role == Role::Client { Role::Server } else { Role::Client };
    let pieces = input.piece_lens();
    for way in [Way::Owning, Way::Borrowing, Way::Chunks, Way::Mixed(input.choices)] {
        let mut receiver = input.connection(peer, &mirrored(params), Config::default());
        let (received, _) = receive(&mut receiver, &wire, &pieces, way);
        assert_eq!((received.error, &received.begun), (None, &None), "{way:?}");
        assert!(received.messages == sent, "{way:?}: {:?} instead of {sent:?}", received.messages);
    }
    let mut receiver = input.connection(peer, &mirrored(params), Config::default());
    let (received, _) = receive(&mut receiver, &wire, &[], Way::PassingOver(input.choices));
    assert_eq!(received.error, None);
    assert_passed_over(&received, &sent);
}

/// Returns how many bytes it may take at most: no message grows by more than deflate adds in each flush.
fn send_one(
    sender: &mut Connection,
    send: &Send<'_>,
    earlier: &mut Option<Prepared>,
    wire: &mut Vec<u8>,
    sent: &mut Vec<Message>,
) -> usize {
    let mut frame_count = 1;
    let mut result = Ok(());
    match send {
        Send::Text(payload) => {
            sent.push(Message::text(payload.to_text()));
            result = sender.send_text(&payload.to_text(), wire);
        }
        Send::Binary(payload) => {
            sent.push(Message::binary(payload.to_vec()));
            result = sender.send_binary(&payload.to_vec(), wire);
        }
        Send::Uncompressed(payload) => {
            sent.push(Message::binary(payload.to_vec()));
            result = sender.send_uncompressed(MessageKind::Binary, &payload.to_vec(), wire);
        }
        Send::Fragments { payload, lengths, ping, empty_end } => {
            let text = payload.to_text();
            let (mut first, mut rest) = (true, text.as_bytes());
            let mut put = |piece: &[u8], fin: bool, wire: &mut Vec<u8>| {
                frame_count += 1;
                if std::mem::take(&mut first) {
                    sender.send_first_fragment(MessageKind::Text, piece, wire).expect("allowed");
                    if *ping {
                        sender.send_ping(b"between", wire).expect("allowed");
                        sent.push(Message::Ping(b"between"[..].into()));
                    }
                    if !fin {
                        return;
                    }
                    sender.send_next_fragment(b"", true, wire).expect("allowed");
                } else {
                    sender.send_next_fragment(piece, fin, wire).expect("allowed");
                }
            };
            for len in lengths {
                let (piece, after) = rest.split_at(usize::from(*len).min(rest.len()));
                put(piece, false, wire);
                rest = after;
            }
            put(rest, !empty_end, wire);
            if *empty_end {
                put(b"", true, wire);
            }
            sent.push(Message::text(text));
        }
        Send::Prepared { payload, compressible, again } => {
            if sender.role() == Role::Client {
                return 0;
            }
            let fresh = Prepared::binary(&payload.to_vec());
            let fresh = if *compressible { fresh.compressible() } else { fresh };
            let prepared = earlier.take().filter(|_| *again).unwrap_or(fresh);
            wire.extend_from_slice(sender.halves().1.send_prepared(&prepared).expect("allowed"));
            sent.push(Message::binary(prepared.payload().to_vec()));
            *earlier = Some(prepared);
        }
        Send::Ping(payload) => {
            let payload = &payload[..payload.len().min(125)];
            sent.push(Message::Ping(payload.to_vec().into()));
            result = sender.send_ping(payload, wire);
        }
    }
    result.expect("allowed");
    let payload_len = sent.last().map_or(0, |message| message.payload().len());
    payload_len + payload_len / 8 + 40 * (frame_count + 1)
}

/// Every data message came as a whole or with its beginning, in order, and all control frames did.
fn assert_passed_over(received: &Received, sent: &[Message]) {
    let mut taken = received.data.iter();
    for message in sent.iter().filter(|message| message.is_data()) {
        // What was begun at the end of the wire was not asked for again.
        let unfinished = received.begun.as_ref().map(|(kind, payload)| (*kind, payload, false));
        let next = taken.next().map(|(kind, payload, whole)| (*kind, payload, *whole)).or(unfinished);
        let (kind, payload, whole) = next.unwrap_or_else(|| panic!("{message:?} is missing"));
        assert_eq!(kind, message_kind(message));
        let right = if whole { message.payload() == payload } else { message.payload().starts_with(payload) };
        assert!(right, "{payload:?} of {message:?}");
    }
    assert_eq!(taken.next(), None);
    let controls = |messages: &[Message]| -> Vec<Message> {
        messages.iter().filter(|message| !message.is_data()).cloned().collect()
    };
    assert_eq!(controls(&received.messages), controls(sent));
}

fn message_kind(message: &Message) -> MessageKind {
    if message.as_text().is_some() { MessageKind::Text } else { MessageKind::Binary }
}
