//! Frames as bytes: put together from their parts, right or wrong, and mostly right ones for the fuzzer to choose.

use arbitrary::Arbitrary;
use sockeye_websocket::Role;

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

/// A frame that is mostly right.
#[derive(Arbitrary, Debug)]
pub struct Frame<'a> {
    opcode: u8,
    flags: u8,
    key: [u8; 4],
    payload: Payload<'a>,
}

#[derive(Arbitrary, Debug)]
enum Payload<'a> {
    Text(&'a str),
    /// A text without its last bytes, or only the last bytes of one.
    TextCut(&'a str, u8),
    Bytes(&'a [u8]),
    Filled(u8, u32),
    Close(u16, &'a str),
}

impl Payload<'_> {
    fn to_vec(&self) -> Vec<u8> {
        match *self {
            Self::Text(text) => text.into(),
            Self::TextCut(text, at) => {
                let (head, tail) = text.as_bytes().split_at(usize::from(at & 0x7F).min(text.len()));
                if at & 0x80 == 0 { head.into() } else { tail.into() }
            }
            Self::Bytes(bytes) => bytes.into(),
            Self::Filled(byte, len) => filled(byte, len),
            Self::Close(code, reason) => [&code.to_be_bytes(), reason.as_bytes()].concat(),
        }
    }
}

/// `byte` repeated. Mostly short; one in sixteen has a length that takes 64 bits.
pub fn filled(byte: u8, len: u32) -> Vec<u8> {
    let len = if len.is_multiple_of(16) { 65_536 + len % 4001 } else { len % 1999 };
    vec![byte; len as usize]
}

impl Frame<'_> {
    /// The frame as a peer of `role` sends it. One in eight has something wrong with it.
    pub fn encode(&self, role: Role, wire: &mut Vec<u8>) {
        let mut payload = self.payload.to_vec();
        let opcode = match self.opcode % 8 {
            0 | 1 => 0,
            2 => 1,
            3 => 2,
            4 => 9,
            5 => 10,
            6 => 8,
            _ => self.opcode >> 3 & 0x0F,
        };
        let wrong = if self.flags & 7 == 7 { self.flags >> 4 & 7 } else { 0 };
        if opcode >= 8 && wrong != 1 {
            payload.truncate(125);
        }
        let fin = self.flags & 8 == 0 || opcode >= 8;
        let mut first = u8::from(fin) << 7 | opcode;
        match wrong {
            2 => first ^= 0x80,
            3 => first |= 0x40,
            4 => first |= 0x10,
            _ => {}
        }
        let masked = (role == Role::Server) != (wrong == 5);
        let len_len = match wrong {
            6 => 2,
            7 => 8,
            _ => 0,
        };
        WireFrame { first, key: masked.then_some(self.key), len_len, payload: &payload }.encode(wire);
    }
}

/// The frames one behind the other, as a peer of `role` sends them. What one input may cost is bounded, for the sake
/// of the speed.
pub fn encode_all(frames: &[Frame<'_>], role: Role) -> Vec<u8> {
    let mut wire = Vec::new();
    for frame in frames {
        frame.encode(role, &mut wire);
        if wire.len() > 150_000 {
            break;
        }
    }
    wire
}

/// Where the frames of a wire lie, as far as they are whole; nothing is judged.
pub fn whole_frames(wire: &[u8]) -> Vec<PlainFrame<'_>> {
    let mut frames = Vec::new();
    let mut start = 0;
    while let Some(frame) = PlainFrame::decode(wire, start) {
        start = frame.end;
        frames.push(frame);
    }
    frames
}

/// A frame that was taken apart, but not judged.
#[derive(Debug)]
pub struct PlainFrame<'a> {
    /// Where it begins.
    pub start: usize,
    /// Where the next one begins.
    pub end: usize,
    /// FIN, RSV and the opcode.
    pub first: u8,
    /// The masking key.
    pub key: Option<[u8; 4]>,
    /// How many bytes the length takes: 0, 2 or 8.
    pub len_len: usize,
    /// The payload, masked as it is.
    pub payload: &'a [u8],
}

impl<'a> PlainFrame<'a> {
    fn decode(wire: &'a [u8], start: usize) -> Option<Self> {
        let rest = wire.get(start..)?;
        let [first, second, ..] = *rest else { return None };
        let len_len = match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let long = rest.get(2..2 + len_len)?.iter().fold(0_u64, |len, &byte| len << 8 | u64::from(byte));
        let len = if len_len == 0 { u64::from(second & 0x7F) } else { long };
        let mut header_len = 2 + len_len;
        let mut key = None;
        if second & 0x80 != 0 {
            key = rest.get(header_len..header_len + 4)?.try_into().ok();
            header_len += 4;
        }
        let payload = rest.get(header_len..)?;
        let payload = payload.get(..usize::try_from(len).ok()?)?;
        Some(Self { start, end: start + header_len + payload.len(), first, key, len_len, payload })
    }

    /// FIN.
    pub fn fin(&self) -> bool {
        self.first & 0x80 != 0
    }

    /// The opcode.
    pub fn opcode(&self) -> u8 {
        self.first & 0x0F
    }

    /// The payload without its mask.
    pub fn unmasked(&self) -> Vec<u8> {
        let key = self.key.unwrap_or_default();
        self.payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect()
    }
}
