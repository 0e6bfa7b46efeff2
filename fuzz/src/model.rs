//! RFC 6455 and RFC 7692 as a model: the whole wire is at hand, nothing is incremental, and text is judged and messages
//! are inflated anew on every look.

use sockeye_websocket::{CloseState, Config, Message, Role};

use crate::{
    inflate::{End, Inflate},
    websocket::{KEY, PONG_BACKLOG_LEN},
    wire::WireFrame,
};

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

/// How messages are taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Taking {
    /// As a whole: all limits apply.
    Whole,
    /// In chunks: of the limits only that on fragments, of which it counts runs of empty ones.
    Chunks,
}

/// What the model says.
#[derive(Debug)]
pub struct Modelled {
    /// What comes of receiving the wire.
    pub outcome: Outcome,
    /// The message that is not complete at the end: its opcode, and its payload as far as it is there.
    pub unfinished: Option<(u8, Vec<u8>)>,
    /// How many bytes at the end belong to a frame that is not whole, or follow a Close.
    pub rest_len: usize,
    /// What the error may be instead: a message that is both too long and not UTF-8 is found to be the one or the
    /// other, as it was cut.
    pub other_error: Option<u16>,
    /// Whether the model gave up, so that anything may follow what it says.
    pub gave_up: bool,
}

/// No message is inflated further where nothing limits it.
const MAX_INFLATED_LEN: usize = 1 << 20;

/// What comes of receiving `wire` in whole messages.
pub fn expected(role: Role, config: &Config, close_sent: bool, wire: &[u8]) -> Outcome {
    modelled(role, config, Taking::Whole, close_sent, wire).outcome
}

/// The model.
pub fn modelled(role: Role, config: &Config, taking: Taking, close_sent: bool, wire: &[u8]) -> Modelled {
    modelled_with(role, config, taking, close_sent, wire, None)
}

/// The model, where compression was agreed on: with or without the peer's context takeover.
pub fn modelled_with(
    role: Role,
    config: &Config,
    taking: Taking,
    close_sent: bool,
    wire: &[u8],
    takeover: Option<bool>,
) -> Modelled {
    let mut model = Model {
        role,
        taking,
        out: Outcome::default(),
        close_sent,
        message: None,
        rest_len: 0,
        takeover,
        inflate: Inflate::default(),
        compressed: None,
        other_error: None,
        gave_up: false,
    };
    let state = if close_sent { CloseState::CloseExpected } else { CloseState::Open };
    model.out.state = Some(state);
    if close_sent {
        model.send(0x88, &[]);
    }
    if let Err(code) = model.run(config, wire)
        && !model.gave_up
    {
        if !model.close_sent {
            model.send(0x88, &code.to_be_bytes());
        }
        model.out.error = Some(code);
        model.out.state = Some(CloseState::Failed);
    }
    Modelled {
        outcome: model.out,
        unfinished: model.message.map(|(opcode, payload, _)| (opcode, payload)),
        rest_len: model.rest_len,
        other_error: model.other_error,
        gave_up: model.gave_up,
    }
}

struct Model {
    role: Role,
    taking: Taking,
    out: Outcome,
    close_sent: bool,
    /// Opcode, payload so far and number of frames of the message under way.
    message: Option<(u8, Vec<u8>, u32)>,
    rest_len: usize,
    takeover: Option<bool>,
    /// What earlier messages left behind.
    inflate: Inflate,
    /// The message under way as it was sent, if it is compressed.
    compressed: Option<Vec<u8>>,
    other_error: Option<u16>,
    gave_up: bool,
}

impl Model {
    fn send(&mut self, first: u8, payload: &[u8]) {
        let key = (self.role == Role::Client).then_some(KEY);
        WireFrame { first, key, len_len: 0, payload }.encode(&mut self.out.output);
    }

    fn run(&mut self, config: &Config, mut wire: &[u8]) -> Result<(), u16> {
        while let Some(&first) = wire.first() {
            self.rest_len = wire.len();
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
            let may_be_compressed = self.takeover.is_some() && matches!(opcode, 1 | 2);
            if (rsv != 0 && !may_be_compressed) || masked != (self.role == Role::Server) {
                return Err(1002);
            }
            if !control {
                self.begin(config, opcode, len, rsv != 0)?;
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
                    self.rest_len -= header_len + len as usize;
                    return Ok(());
                }
            } else {
                self.data(config, fin, &payload, complete)?;
                if !complete {
                    return Ok(());
                }
            }
            wire = &wire[header_len + len as usize..];
        }
        self.rest_len = 0;
        Ok(())
    }

    /// Judges the header of a data frame.
    fn begin(&mut self, config: &Config, opcode: u8, len: u64, rsv1: bool) -> Result<(), u16> {
        let so_far = self.message.as_ref().map_or(0, |(_, payload, _)| payload.len() as u64);
        let max = config.max_frame_len;
        let too_long = if rsv1 || self.compressed.is_some() {
            // Nine bits for each byte are the worst that a sender should do.
            len > max.saturating_add(max / 8).saturating_add(1024)
        } else {
            len > max || len.saturating_add(so_far) > config.max_message_len
        };
        if too_long && self.taking == Taking::Whole {
            return Err(1009);
        }
        match (&mut self.message, opcode) {
            (None, 0) | (Some(_), 1 | 2) => Err(1002),
            (None, opcode) => {
                self.message = Some((opcode, Vec::new(), 1));
                self.compressed = rsv1.then(Vec::new);
                Ok(())
            }
            (Some((_, _, frame_count)), _) => {
                *frame_count += 1;
                if *frame_count > config.max_fragment_count { Err(1008) } else { Ok(()) }
            }
        }
    }

    fn data(&mut self, config: &Config, fin: bool, payload: &[u8], complete: bool) -> Result<(), u16> {
        match (self.compressed.take(), &mut self.message) {
            (Some(mut compressed), _) => {
                compressed.extend_from_slice(payload);
                self.inflate(config, &compressed, fin && complete)?;
                if !(fin && complete) {
                    self.compressed = Some(compressed);
                }
            }
            (None, Some((_, so_far, _))) => so_far.extend_from_slice(payload),
            (None, None) => unreachable!("begin made one"),
        }
        let Some((opcode, so_far, frame_count)) = &mut self.message else { unreachable!("begin made one") };
        if self.taking == Taking::Chunks && !payload.is_empty() {
            *frame_count = 0;
        }
        if *opcode == 1 && std::str::from_utf8(so_far).is_err_and(|error| error.error_len().is_some()) {
            return Err(1007);
        }
        if !(fin && complete) {
            return Ok(());
        }
        self.out.messages.push(if *opcode == 1 {
            Message::text(String::from_utf8(so_far.clone()).map_err(|_| 1007_u16)?)
        } else {
            Message::binary(so_far.clone())
        });
        self.message = None;
        Ok(())
    }

    /// Inflates the message under way; `last` tells that all of it is there.
    fn inflate(&mut self, config: &Config, compressed: &[u8], last: bool) -> Result<(), u16> {
        let limit = if self.taking == Taking::Whole { config.max_message_len } else { u64::MAX };
        let max_len = usize::try_from(limit).unwrap_or(usize::MAX).min(MAX_INFLATED_LEN);
        let mut inflate = self.inflate.clone();
        let (payload, end) = inflate.message(compressed, max_len);
        let Some((opcode, so_far, _)) = &mut self.message else { unreachable!("begin made one") };
        *so_far = payload;
        if so_far.len() > max_len {
            self.gave_up = limit > max_len as u64;
            let no_text = *opcode == 1 && std::str::from_utf8(so_far).is_err();
            self.other_error = (end == End::Corrupt || no_text).then_some(1007);
            return Err(1009);
        }
        match end {
            End::Corrupt => return Err(1007),
            End::Unfinished { within_code_lengths } if last => {
                // Nothing tells that this is not the end, if the next message does not.
                self.gave_up = within_code_lengths && self.takeover == Some(true);
                return Err(1007);
            }
            End::Whole if last => {
                self.inflate = inflate;
                if self.takeover == Some(false) {
                    self.inflate.forget();
                }
            }
            _ => {}
        }
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
