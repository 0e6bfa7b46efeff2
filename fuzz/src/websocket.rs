//! Receiving in every way there is, each of which has to give what the model says.

use bytes::BytesMut;
use sockeye_websocket::{
    CloseState, Config, Connection, Event, MaskSource, Message, OpCode, ProtocolError, ReceiveBuffer,
    ReceiveState, Role,
};

use crate::{
    model::{Outcome, expected},
    taking::assert_chunks,
    wire::whole_frames,
};

/// The masking key of every frame that a client under test sends.
pub const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// Pongs are held back while more than this waits in the output.
pub const PONG_BACKLOG_LEN: usize = 16 * 1024;

/// The longest output that receiving alone can cause: the backlog, the Pong that went over it, and a Close.
const MAX_OUTPUT_LEN: usize = PONG_BACKLOG_LEN + 2 * (14 + 125);

/// A connection with predictable masks.
pub fn connection(role: Role, config: Config) -> Connection {
    match role {
        Role::Server => Connection::server(config),
        Role::Client => Connection::client_with_masks(config, MaskSource::custom(|| KEY)),
    }
}

/// How to receive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Interface {
    /// [`Connection::receive`], all events of a call.
    Borrowing,
    /// [`Connection::receive`], dropped after each event.
    OneByOne,
    /// [`Connection::receive_message`].
    Owning,
    /// The halves apart: [`ReceiveHalf::receive`](sockeye_websocket::ReceiveHalf::receive), and every event passed on
    /// to [`SendHalf::answer`](sockeye_websocket::SendHalf::answer).
    Apart,
    /// The halves apart, with [`ReceiveBuffer::event`].
    Buffered,
    /// The halves apart, with [`ReceiveBuffer::take_message`].
    BufferedOwning,
}

/// Cuts `wire` into pieces: of these lengths in turn, then the rest. A piece of 0 bytes is a call with nothing new.
pub fn cut<'w>(wire: &'w [u8], lengths: &[usize]) -> impl Iterator<Item = &'w [u8]> {
    let mut rest = wire;
    let mut lengths = lengths.iter().copied();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at(lengths.next().unwrap_or(usize::MAX).min(rest.len()));
        rest = after;
        Some(piece)
    })
}

/// Receives `wire` in pieces.
pub fn received(
    role: Role,
    config: Config,
    close_sent: bool,
    wire: &[u8],
    pieces: &[usize],
    interface: Interface,
) -> Outcome {
    if matches!(interface, Interface::Buffered | Interface::BufferedOwning) {
        return received_in_buffer(role, config, close_sent, wire, pieces, interface);
    }
    let mut connection = connection(role, config);
    let mut out = Outcome::default();
    if close_sent {
        connection.send_close(None, &mut out.output).expect("open");
    }
    let mut input = BytesMut::new();
    for piece in cut(wire, pieces) {
        input.extend_from_slice(piece);
        receive_piece(&mut connection, &mut input, &mut out, interface);
        assert!(out.output.len() <= MAX_OUTPUT_LEN, "output of {} bytes", out.output.len());
    }
    if connection.is_closed() {
        assert!(input.is_empty(), "a closed connection discards its input");
    }
    let received_len: usize = out.messages.iter().map(|message| message.payload().len()).sum();
    assert!(received_len <= wire.len(), "{received_len} bytes out of {}", wire.len());
    out.state = Some(connection.close_state());
    out
}

fn receive_piece(connection: &mut Connection, input: &mut BytesMut, out: &mut Outcome, interface: Interface) {
    let Outcome { messages, error, output, .. } = out;
    loop {
        if interface == Interface::Owning {
            match connection.receive_message(input, output) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return,
                Err(e) => fail(error, e),
            }
            continue;
        }
        if interface == Interface::Apart {
            let (receiver, sender) = connection.halves();
            let mut events = receiver.receive(input);
            while let Some(event) = events.next() {
                sender.answer(&event, output);
                match event {
                    Ok(event) => messages.push(to_message(event)),
                    Err(e) => fail(error, e),
                }
            }
            let consumed_len = events.consumed_len();
            let _ = input.split_to(consumed_len);
            return;
        }
        let mut events = connection.receive(input, output);
        let mut place = None;
        let mut done = true;
        while let Some(event) = events.next() {
            match event {
                Ok(event) => messages.push(to_message(event)),
                Err(e) => fail(error, e),
            }
            place = events.payload_range();
            if interface == Interface::OneByOne {
                done = false;
                break;
            }
        }
        let consumed_len = events.consumed_len();
        assert!(consumed_len <= input.len());
        if let Some(place) = place {
            assert!(place.end <= consumed_len);
            assert_eq!(messages.last().map(Message::payload), Some(&input[place]));
        }
        let _ = input.split_to(consumed_len);
        if done {
            return;
        }
    }
}

/// Receives through a [`ReceiveBuffer`], which has to know whether there is a frame in it, and is parked whenever it can
/// be.
fn received_in_buffer(
    role: Role,
    config: Config,
    close_sent: bool,
    wire: &[u8],
    pieces: &[usize],
    interface: Interface,
) -> Outcome {
    let (receiver, mut sender) = connection(role, config).split();
    let mut receiver = ReceiveBuffer::new(receiver);
    let mut out = Outcome::default();
    if close_sent {
        sender.send_close(None, &mut out.output).expect("open");
    }
    let frames = whole_frames(wire);
    let mut fed_len = 0;
    for piece in cut(wire, pieces) {
        receiver.buffer().extend_from_slice(piece);
        fed_len += piece.len();
        loop {
            let front = fed_len - receiver.unconsumed_len();
            let has_frame = receiver.has_frame();
            let open = receiver.half().state() == ReceiveState::Open;
            let whole = frames.binary_search_by_key(&front, |frame| frame.start);
            if let Ok(index) = whole
                && open
                && receiver.missing_len() == 0
                && frames[index].end <= fed_len
                && frames[index].fin()
                && frames[index].opcode() != 0
            {
                assert!(has_frame, "a whole message or control frame is here");
            }
            if interface != Interface::Buffered
                && let Some(message) = receiver.take_short_message()
            {
                assert!(has_frame && message.is_data() && receiver.event().is_none());
                out.messages.push(message);
                continue;
            }
            let found = receiver.advance();
            assert!(!has_frame || found != Ok(false), "there was to be a frame");
            let open = receiver.half().state() == ReceiveState::Open;
            assert!(open || !receiver.has_frame(), "nothing follows the end");
            let message = match found {
                Ok(false) => {
                    assert_eq!(receiver.event(), None);
                    assert_eq!(receiver.take_message(), None);
                    if let Some(mut parked) = receiver.park() {
                        assert_eq!(receiver.unconsumed_len(), 0);
                        receiver = ReceiveBuffer::new(parked.resume());
                    }
                    break;
                }
                Err(error) => {
                    assert_eq!((receiver.event(), receiver.unconsumed_len()), (None, 0));
                    fail(&mut out.error, error);
                    sender.answer(&Err(error), &mut out.output);
                    continue;
                }
                Ok(true) => receiver.event().map(to_message).expect("it was found"),
            };
            assert_eq!(receiver.found_data(), message.is_data());
            let message = if interface == Interface::Buffered {
                message
            } else {
                assert_eq!(receiver.take_message().as_ref(), Some(&message));
                assert_eq!(receiver.event(), None, "it was taken");
                message
            };
            sender.answer_message(&Ok(Some(message.clone())), &mut out.output);
            out.messages.push(message);
        }
    }
    out.state = Some(CloseState::of(receiver.half().state(), sender.close_sent()));
    out
}

fn fail(slot: &mut Option<u16>, error: ProtocolError) {
    assert_eq!(slot.replace(error.close_code().get()), None, "an error is told once");
}

/// Receives as a driver does that writes its output after every piece, and returns all that it wrote.
pub fn received_and_written(role: Role, config: Config, wire: &[u8], pieces: &[usize]) -> Outcome {
    let mut connection = connection(role, config);
    let (mut out, mut written) = (Outcome::default(), Vec::new());
    let mut input = BytesMut::new();
    for piece in cut(wire, pieces) {
        input.extend_from_slice(piece);
        receive_piece(&mut connection, &mut input, &mut out, Interface::Owning);
        written.append(&mut out.output);
        connection.resume(&mut out.output);
        written.append(&mut out.output);
    }
    Outcome { output: written, state: Some(connection.close_state()), ..out }
}

/// The event as a message that owns its payload.
pub fn to_message(event: Event<'_>) -> Message {
    match event {
        Event::Text(text) => Message::text(text.to_owned()),
        Event::Binary(bytes) => Message::binary(bytes.to_vec()),
        Event::Ping(payload) => Message::Ping(payload.to_vec().into()),
        Event::Pong(payload) => Message::Pong(payload.to_vec().into()),
        Event::Close(frame) => Message::Close(frame),
    }
}

/// Every way of receiving gives what the model says. `choices` are those between whole messages and chunks.
pub fn assert_received(
    role: Role,
    config: Config,
    close_sent: bool,
    wire: &[u8],
    pieces: &[usize],
    choices: u8,
) -> Outcome {
    let expected = expected(role, &config, close_sent, wire);
    // Byte by byte as long as that is fast, then in short pieces.
    let single: Vec<usize> =
        vec![1; wire.len().min(2000)].into_iter().chain(vec![97; wire.len() / 97]).collect();
    for (interface, cuts) in [
        (Interface::Borrowing, &[][..]),
        (Interface::Borrowing, &single),
        (Interface::Borrowing, pieces),
        (Interface::OneByOne, pieces),
        (Interface::Owning, &[]),
        (Interface::Owning, &single),
        (Interface::Owning, pieces),
        (Interface::Apart, pieces),
        (Interface::Buffered, pieces),
        (Interface::BufferedOwning, &single),
        (Interface::BufferedOwning, pieces),
    ] {
        let received = received(role, config, close_sent, wire, cuts, interface);
        assert_eq!(received, expected, "{role:?}, {interface:?}, pieces {cuts:?}");
    }
    assert_peer_understands(role, &received_and_written(role, config, wire, pieces), &expected, close_sent);
    for cuts in [&[][..], &single, pieces] {
        assert_chunks(role, config, wire, cuts, 0);
    }
    for cuts in [&single, pieces] {
        assert_chunks(role, config, wire, cuts, choices);
    }
    expected
}

/// What a driver wrote is what the peer takes: a Pong per Ping or for the latest of several, at most one Close.
fn assert_peer_understands(role: Role, driven: &Outcome, expected: &Outcome, close_sent: bool) {
    if close_sent {
        return;
    }
    assert_eq!(driven.messages, expected.messages);
    assert_eq!((driven.error, driven.state), (expected.error, expected.state));
    let peer = if role == Role::Server { Role::Client } else { Role::Server };
    let told = self::expected(peer, &Config::default(), false, &driven.output);
    assert_eq!(told.error, None);
    let mut pings = driven.messages.iter().filter_map(|message| match message {
        Message::Ping(payload) => Some(payload),
        _ => None,
    });
    let mut pongs = told.messages.iter().filter_map(|message| match message {
        Message::Pong(payload) => Some(payload),
        _ => None,
    });
    assert!(pongs.clone().all(|pong| pings.clone().any(|ping| ping == pong)));
    if expected.state == Some(CloseState::Open) {
        assert_eq!(pings.next_back(), pongs.next_back(), "the latest Ping is answered");
    }
    let code = match told.messages.last() {
        Some(Message::Close(frame)) => Some(frame.as_ref().map(|frame| frame.code.get())),
        _ => None,
    };
    match driven.state {
        Some(CloseState::Open) => assert_eq!(code, None),
        Some(CloseState::Failed) => assert_eq!(code, Some(driven.error)),
        _ => assert!(code.is_some()),
    }
}

/// The byte that begins a frame.
pub fn first_byte(fin: bool, opcode: OpCode) -> u8 {
    u8::from(fin) << 7 | opcode as u8
}
