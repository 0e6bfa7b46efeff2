//! RFC 6455 as a model: the whole wire is at hand, nothing is incremental, and text is judged anew on every look.

use bytes::BytesMut;
use sockeye_websocket::{
    CloseState, Config, Connection, Event, MaskSource, Message, OpCode, ProtocolError, Role,
};

/// The masking key of every frame that a client under test sends.
pub const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// Pongs are held back while more than this waits in the output.
const PONG_BACKLOG_LEN: usize = 16 * 1024;

/// The longest output that receiving alone can cause: the backlog, the Pong that went over it, and a Close.
const MAX_OUTPUT_LEN: usize = PONG_BACKLOG_LEN + 2 * (14 + 125);

/// A connection with predictable masks.
pub fn connection(role: Role, config: Config) -> Connection {
    match role {
        Role::Server => Connection::server(config),
        Role::Client => Connection::client_with_masks(config, MaskSource::custom(|| KEY)),
    }
}

/// A frame that nobody has checked, the way the RFC draws it.
pub struct WireFrame<'a> {
    /// FIN, RSV and the opcode.
    pub first: u8,
    /// The masking key.
    pub key: Option<[u8; 4]>,
    /// How many bytes the length takes: 0, 2 or 8. Too few for the length become enough.
    pub len_len: usize,
    /// The payload, unmasked.
    pub payload: &'a [u8],
}

impl WireFrame<'_> {
    /// Appends the frame.
    pub fn encode(&self, wire: &mut Vec<u8>) {
        let len = self.payload.len();
        let needed = if len < 126 {
            0
        } else if len < 65_536 {
            2
        } else {
            8
        };
        let mask_bit = if self.key.is_some() { 0x80 } else { 0 };
        wire.push(self.first);
        match self.len_len.max(needed) {
            0 => wire.push(mask_bit | len as u8),
            2 => {
                wire.push(mask_bit | 126);
                wire.extend((len as u16).to_be_bytes());
            }
            _ => {
                wire.push(mask_bit | 127);
                wire.extend((len as u64).to_be_bytes());
            }
        }
        wire.extend(self.key.unwrap_or_default().iter().take(if self.key.is_some() { 4 } else { 0 }));
        let key = self.key.unwrap_or_default();
        wire.extend(self.payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
    }
}

/// What came of receiving.
#[derive(Debug, PartialEq, Default)]
pub struct Outcome {
    /// The events, in order.
    pub messages: Vec<Message>,
    /// The code of the Close that answers an error, if there was one.
    pub error: Option<u16>,
    /// What is to be sent.
    pub output: Vec<u8>,
    /// The state at the end.
    pub state: Option<CloseState>,
}

/// The model.
pub fn expected(role: Role, config: &Config, close_sent: bool, wire: &[u8]) -> Outcome {
    let mut model = Model { role, out: Outcome::default(), close_sent, message: None };
    let state = if close_sent { CloseState::CloseExpected } else { CloseState::Open };
    model.out.state = Some(state);
    if close_sent {
        model.send(0x88, &[]);
    }
    if let Err(code) = model.run(config, wire) {
        if !model.close_sent {
            model.send(0x88, &code.to_be_bytes());
        }
        model.out.error = Some(code);
        model.out.state = Some(CloseState::Failed);
    }
    model.out
}

struct Model {
    role: Role,
    out: Outcome,
    close_sent: bool,
    /// Opcode, payload so far and number of frames of the message under way.
    message: Option<(u8, Vec<u8>, u32)>,
}

impl Model {
    fn send(&mut self, first: u8, payload: &[u8]) {
        let key = (self.role == Role::Client).then_some(KEY);
        WireFrame { first, key, len_len: 0, payload }.encode(&mut self.out.output);
    }

    fn run(&mut self, config: &Config, mut wire: &[u8]) -> Result<(), u16> {
        while let Some(&first) = wire.first() {
            let (fin, rsv, opcode) = (first & 0x80 != 0, first & 0x70, first & 0x0F);
            if rsv & 0x30 != 0 || !matches!(opcode, 0..=2 | 8..=10) {
                return Err(1002);
            }
            let Some(&second) = wire.get(1) else { return Ok(()) };
            let control = opcode >= 8;
            if control && (!fin || second & 0x7F > 125) {
                return Err(1002);
            }
            let (len_len, min) = match second & 0x7F {
                126 => (2, 126),
                127 => (8, 65_536),
                _ => (0, 0),
            };
            let Some(len_bytes) = wire.get(2..2 + len_len) else { return Ok(()) };
            let mut len = len_bytes.iter().fold(0_u64, |len, &byte| len << 8 | u64::from(byte));
            if len >> 63 != 0 || len < min {
                return Err(1002);
            }
            if len_len == 0 {
                len = u64::from(second & 0x7F);
            }
            let masked = second & 0x80 != 0;
            let header_len = 2 + len_len + if masked { 4 } else { 0 };
            if wire.len() < header_len {
                return Ok(());
            }
            if rsv != 0 || masked != (self.role == Role::Server) {
                return Err(1002);
            }
            if !control {
                self.begin(config, opcode, len)?;
            }
            let payload = &wire[header_len..];
            let complete = payload.len() as u64 >= len;
            let payload = if complete { &payload[..len as usize] } else { payload };
            let key = if masked { &wire[header_len - 4..header_len] } else { &[0; 4][..] };
            let payload: Vec<u8> = payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
            if control {
                if !complete {
                    return Ok(());
                }
                if self.control(opcode, payload)? {
                    return Ok(());
                }
            } else {
                self.data(fin, &payload, complete)?;
                if !complete {
                    return Ok(());
                }
            }
            wire = &wire[header_len + len as usize..];
        }
        Ok(())
    }

    /// Judges the header of a data frame.
    fn begin(&mut self, config: &Config, opcode: u8, len: u64) -> Result<(), u16> {
        let so_far = self.message.as_ref().map_or(0, |(_, payload, _)| payload.len() as u64);
        if len > config.max_frame_len || len.saturating_add(so_far) > config.max_message_len {
            return Err(1009);
        }
        match (&mut self.message, opcode) {
            (None, 0) | (Some(_), 1 | 2) => Err(1002),
            (None, opcode) => {
                self.message = Some((opcode, Vec::new(), 1));
                Ok(())
            }
            (Some((_, _, frame_count)), _) => {
                *frame_count += 1;
                if *frame_count > config.max_fragment_count { Err(1008) } else { Ok(()) }
            }
        }
    }

    fn data(&mut self, fin: bool, payload: &[u8], complete: bool) -> Result<(), u16> {
        let Some((opcode, so_far, _)) = &mut self.message else { unreachable!("begin made one") };
        so_far.extend_from_slice(payload);
        if *opcode == 1 && std::str::from_utf8(so_far).is_err_and(|error| error.error_len().is_some()) {
            return Err(1007);
        }
        if !(fin && complete) {
            return Ok(());
        }
        let Some((opcode, payload, _)) = self.message.take() else { unreachable!("it was there") };
        self.out.messages.push(if opcode == 1 {
            Message::text(String::from_utf8(payload).map_err(|_| 1007_u16)?)
        } else {
            Message::binary(payload)
        });
        Ok(())
    }

    /// Tells whether the connection is closed.
    fn control(&mut self, opcode: u8, payload: Vec<u8>) -> Result<bool, u16> {
        match opcode {
            9 => {
                // What does not fit waits until the driver wrote, which it does not here.
                if !self.close_sent && self.out.output.len() <= PONG_BACKLOG_LEN {
                    self.send(0x8A, &payload);
                }
                self.out.messages.push(Message::Ping(payload.into()));
            }
            10 => self.out.messages.push(Message::Pong(payload.into())),
            _ => {
                let frame = match &payload[..] {
                    [] => None,
                    [_] => return Err(1002),
                    [high, low, reason @ ..] => {
                        let code = u16::from(*high) << 8 | u16::from(*low);
                        let code = sockeye_websocket::CloseCode::new(code).ok_or(1002_u16)?;
                        let reason = std::str::from_utf8(reason).map_err(|_| 1007_u16)?;
                        Some(sockeye_websocket::CloseFrame::new(code, reason))
                    }
                };
                if !self.close_sent {
                    self.send(0x88, payload.get(..2).unwrap_or_default());
                }
                self.out.messages.push(Message::Close(frame));
                self.out.state = Some(CloseState::Closed);
                return Ok(true);
            }
        }
        Ok(false)
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
}

/// Receives `wire` in pieces: of `pieces` in turn, then the rest. A piece of 0 bytes is a call with nothing new.
pub fn received(
    role: Role,
    config: Config,
    close_sent: bool,
    wire: &[u8],
    pieces: &[usize],
    interface: Interface,
) -> Outcome {
    let mut connection = connection(role, config);
    let mut out = Outcome::default();
    if close_sent {
        connection.send_close(None, &mut out.output).expect("open");
    }
    let mut input = BytesMut::new();
    let mut rest = wire;
    let mut lengths = pieces.iter().copied();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(lengths.next().unwrap_or(usize::MAX).min(rest.len()));
        input.extend_from_slice(piece);
        rest = after;
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

fn fail(slot: &mut Option<u16>, error: ProtocolError) {
    assert_eq!(slot.replace(error.close_code().get()), None, "an error is told once");
}

/// Receives as a driver does that writes its output after every piece, and returns all that it wrote.
pub fn received_and_written(role: Role, config: Config, wire: &[u8], pieces: &[usize]) -> Outcome {
    let mut connection = connection(role, config);
    let (mut out, mut written) = (Outcome::default(), Vec::new());
    let mut input = BytesMut::new();
    let mut rest = wire;
    let mut lengths = pieces.iter().copied();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(lengths.next().unwrap_or(usize::MAX).min(rest.len()));
        input.extend_from_slice(piece);
        rest = after;
        receive_piece(&mut connection, &mut input, &mut out, Interface::Owning);
        written.append(&mut out.output);
        connection.resume(&mut out.output);
        written.append(&mut out.output);
    }
    Outcome { output: written, state: Some(connection.close_state()), ..out }
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

/// Every way of receiving gives what the model says.
pub fn assert_received(
    role: Role,
    config: Config,
    close_sent: bool,
    wire: &[u8],
    pieces: &[usize],
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
    ] {
        let received = received(role, config, close_sent, wire, cuts, interface);
        assert_eq!(received, expected, "{role:?}, {interface:?}, pieces {cuts:?}");
    }
    assert_peer_understands(role, &received_and_written(role, config, wire, pieces), &expected, close_sent);
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
