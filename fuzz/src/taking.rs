//! Messages taken whole or in chunks, in any mixture: joined, the chunks are the messages, and of one of which a part
//! was taken the rest is passed over when whole ones are asked for.

use bytes::BytesMut;
use sockeye_websocket::{Config, Message, MessageKind, Role, StreamEvent};

use crate::{
    model::{Modelled, Taking, modelled},
    websocket::{connection, cut, to_message},
};

/// No limits.
pub const UNLIMITED: Config =
    Config { max_frame_len: u64::MAX, max_message_len: u64::MAX, max_fragment_count: u32::MAX };

/// The codes of errors that come of a limit.
const LIMITS: [u16; 2] = [1008, 1009];

/// What was received.
#[derive(Debug, Default)]
pub struct Observed {
    controls: Vec<Message>,
    data: Vec<Data>,
    error: Option<u16>,
    /// Whether the connection ended in a way in which what is here of a message may be lost.
    cut: bool,
}

/// A text or binary message, or what was taken of one.
#[derive(Debug)]
struct Data {
    is_text: bool,
    payload: Vec<u8>,
    /// How many control frames were received before its end.
    control_count: usize,
    taken: Taken,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Taken {
    /// All of it.
    Whole,
    /// In chunks, the last of which is to come.
    Begun,
    /// In chunks, until a whole message was asked for.
    PassedOver,
}

impl Observed {
    /// A whole message is asked for.
    pub fn ask_whole(&mut self) {
        if let Some(last) = self.data.last_mut()
            && last.taken == Taken::Begun
        {
            last.taken = Taken::PassedOver;
        }
    }

    /// A whole message, or a control frame.
    pub fn message(&mut self, message: Message) {
        // What is here of an unfinished message is lost with it.
        self.cut |= matches!(message, Message::Close(_));
        let (is_text, payload) = match &message {
            Message::Text(text) => (true, text.as_bytes().to_vec()),
            Message::Binary(payload) => (false, payload.to_vec()),
            _ => return self.controls.push(message),
        };
        self.data.push(Data { is_text, payload, control_count: self.controls.len(), taken: Taken::Whole });
    }

    /// A chunk, or a control frame.
    pub fn stream_event(&mut self, event: StreamEvent<'_>) {
        let chunk = match event {
            StreamEvent::Ping(payload) => return self.controls.push(Message::Ping(payload.to_vec().into())),
            StreamEvent::Pong(payload) => return self.controls.push(Message::Pong(payload.to_vec().into())),
            StreamEvent::Close(frame) => return self.controls.push(Message::Close(frame)),
            StreamEvent::Chunk(chunk) => chunk,
        };
        assert!(chunk.fin || !chunk.payload.is_empty(), "a chunk brings something");
        let is_text = chunk.kind == MessageKind::Text;
        if !self.data.last().is_some_and(|last| last.taken == Taken::Begun) {
            self.data.push(Data { is_text, payload: Vec::new(), control_count: 0, taken: Taken::Begun });
        }
        let count = self.controls.len();
        let last = self.data.last_mut().expect("one is begun");
        assert_eq!(last.is_text, is_text, "all chunks of a message are of its kind");
        last.payload.extend_from_slice(chunk.payload);
        last.control_count = count;
        if chunk.fin {
            last.taken = Taken::Whole;
        }
    }

    /// The code of the error, which is told once.
    pub fn error(&mut self, code: u16) {
        assert_eq!(self.error.replace(code), None, "an error is told once");
    }

    /// The transport ended: what is here of a message may be lost.
    pub fn cut(&mut self) {
        self.cut = true;
    }

    /// The code of the error that was told.
    pub fn told_error(&self) -> Option<u16> {
        self.error
    }

    /// The control frames.
    pub fn controls(&self) -> &[Message] {
        &self.controls
    }

    /// It is what the model says of `wire`, which all was received.
    pub fn check(&self, role: Role, config: &Config, wire: &[u8]) {
        let limited = self.error.filter(|code| LIMITS.contains(code));
        let all = modelled(role, &UNLIMITED, Taking::Whole, false, wire);
        if limited.is_some() {
            let strict = modelled(role, config, Taking::Whole, false, wire).outcome.error;
            assert!(strict.is_some_and(|code| LIMITS.contains(&code)), "no limit was exceeded: {strict:?}");
        } else {
            assert_eq!(self.error, all.outcome.error);
        }
        self.compare(&all, limited.is_some());
    }

    /// `part`: the connection failed before its end, for a limit.
    fn compare(&self, all: &Modelled, part: bool) {
        let (mut controls, mut data) = (Vec::new(), Vec::<Sent<'_>>::new());
        for message in &all.outcome.messages {
            match message {
                Message::Text(text) => data.push((true, text.as_bytes(), controls.len())),
                Message::Binary(payload) => data.push((false, &payload[..], controls.len())),
                _ => controls.push(message.clone()),
            }
        }
        if part {
            assert!(controls.starts_with(&self.controls));
        } else {
            assert_eq!(self.controls, controls);
        }
        let complete_count = data.len();
        let unfinished =
            all.unfinished.as_ref().map(|(opcode, payload)| (*opcode == 1, &payload[..], controls.len()));
        data.extend(unfinished);
        // Chunks that follow a message which was passed over may be the rest of it, or of the next one, so there may
        // be several readings: each is the number of messages that were told of so far.
        let mut readings = vec![0];
        for (i, item) in self.data.iter().enumerate() {
            let after_skip = i > 0 && self.data[i - 1].taken == Taken::PassedOver;
            let mut next = Vec::new();
            for reading in readings {
                if after_skip && data.get(reading - 1).is_some_and(|message| item.is_rest_of(*message)) {
                    next.push(reading);
                }
                let whole = item.taken != Taken::Whole || reading < complete_count;
                if whole && data.get(reading).is_some_and(|message| item.is_taken_of(*message)) {
                    next.push(reading + 1);
                }
            }
            next.dedup();
            assert!(!next.is_empty(), "nobody sent {item:?}, number {i} of {data:?}");
            readings = next;
        }
        assert!(
            part || readings.iter().any(|&reading| self.is_all(reading, complete_count, unfinished)),
            "{complete_count} of {data:?} and then {unfinished:?} were sent, {self:?} received"
        );
    }

    /// Whether nothing is missing when the first `told_count` messages were told of.
    fn is_all(&self, told_count: usize, complete_count: usize, unfinished: Option<Sent<'_>>) -> bool {
        if told_count < complete_count {
            return false;
        }
        let (Some((_, payload, _)), None) = (unfinished, self.error) else { return true };
        let holed = self.data.iter().rev().take(2).any(|data| data.taken == Taken::PassedOver);
        match self.data.last() {
            _ if holed || self.cut => true,
            Some(last) if told_count > complete_count => last.payload == payload,
            _ => payload.is_empty(),
        }
    }
}

impl Data {
    /// Whether it is the message, or its beginning, received where the message ends.
    fn is_taken_of(&self, (is_text, payload, control_count): Sent<'_>) -> bool {
        self.is_text == is_text
            && match self.taken {
                Taken::Whole => self.payload == payload && self.control_count == control_count,
                Taken::Begun | Taken::PassedOver => payload.starts_with(&self.payload),
            }
    }

    /// Whether it is of the message behind a part that was passed over.
    fn is_rest_of(&self, (is_text, payload, _): Sent<'_>) -> bool {
        self.is_text == is_text
            && match self.taken {
                Taken::Whole => payload.ends_with(&self.payload),
                Taken::Begun | Taken::PassedOver => {
                    payload.windows(self.payload.len().max(1)).any(|window| window == self.payload)
                }
            }
    }
}

/// A message as it was sent: whether it is text, its payload, and how many control frames are before its end.
type Sent<'a> = (bool, &'a [u8], usize);

/// Receives `wire` in pieces, and asks for chunks and whole messages by turns that `choices` choose; with 0 only for
/// chunks, which the model knows in all detail.
pub fn assert_chunks(role: Role, config: Config, wire: &[u8], pieces: &[usize], choices: u8) {
    let mut connection = connection(role, config);
    let (mut input, mut output) = (BytesMut::new(), Vec::new());
    let mut observed = Observed::default();
    let mut turns = u64::from(choices).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    // At the end all that is here is taken.
    for (piece, last) in cut(wire, pieces).map(|piece| (piece, false)).chain([(&[][..], true)]) {
        input.extend_from_slice(piece);
        let mut events = connection.receive(&mut input, &mut output);
        loop {
            turns = turns.rotate_left(1);
            let whole = turns & 1 != 0 && !last;
            let more = if whole {
                observed.ask_whole();
                events.next().map(|event| event.map(|event| observed.message(to_message(event))))
            } else {
                events.next_chunk().map(|event| event.map(|event| observed.stream_event(event)))
            };
            match more {
                Some(Ok(())) => {}
                Some(Err(error)) => observed.error(error.close_code().get()),
                None => break,
            }
        }
        let consumed_len = events.consumed_len();
        let _ = input.split_to(consumed_len);
        assert!(choices != 0 || input.len() <= 14 + 125, "of a message nothing stays behind but headers");
    }
    if choices == 0 {
        let model = modelled(role, &config, Taking::Chunks, false, wire);
        assert_eq!(observed.error, model.outcome.error);
        observed.compare(&model, false);
    } else {
        observed.check(role, &config, wire);
    }
}
