//! What a socket was given to send and what it received, to be compared with what its transport saw.

use sockeye_tokio_websocket::Error;
use sockeye_websocket::{
    CloseFrame, CloseState, Config, Message, MessageKind, ProtocolError, Role, SendError, StreamEvent,
};

use crate::{
    model::{Taking, modelled},
    taking::{Observed, UNLIMITED},
    transport::Transport,
    websocket::PONG_BACKLOG_LEN,
};

/// How receiving ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ended {
    /// With `None`.
    Regularly,
    /// With an error that blames the peer's bytes.
    Protocol,
    /// With the transport's end or failure.
    Transport,
    /// With the deadline of the closing handshake.
    Timeout,
}

/// What one socket did.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What has to be written, in this order; whether it is sure that it was queued.
    queued: Vec<(Message, bool)>,
    /// The message that was begun, and whether it may have been finished.
    begun: Option<(MessageKind, Vec<u8>, bool)>,
    /// The Close that was queued by the application.
    close: Option<Option<CloseFrame>>,
    /// Payloads of the Pings that were received before a Close was sent.
    pings: Vec<Message>,
    received: Observed,
    ended: Option<Ended>,
    /// Whether messages were discarded by a `close`.
    discards: bool,
    /// Whether time passed.
    waited: bool,
    queued_len: usize,
    number: u32,
}

impl Ledger {
    /// A payload that no other message has.
    pub fn unique(&mut self, text: &str) -> String {
        self.number += 1;
        format!("{}:{text}", self.number)
    }

    /// Whether a message was begun and perhaps not finished.
    pub fn is_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Whether the application queued a Close.
    pub fn is_closing(&self) -> bool {
        self.close.is_some()
    }

    /// Whether receiving is over.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Time passes.
    pub fn wait(&mut self) {
        self.waited = true;
    }

    /// The most that may wait to be written: what was queued, and answers to Pings.
    pub fn max_queued_len(&self) -> usize {
        self.queued_len + PONG_BACKLOG_LEN + 3 * 139
    }

    /// A message may have been queued: `result` is `None` when the future was dropped. `flushes`: whether it was to
    /// be written too. `open`: whether sending was allowed before, if that is known.
    pub fn sent(
        &mut self,
        message: Message,
        result: Option<Result<(), Error>>,
        flushes: bool,
        open: Option<bool>,
        transport: &Transport,
    ) {
        let data = message.is_data();
        let sure = match result {
            Some(Ok(())) => {
                assert!(open != Some(false), "sent behind a Close");
                assert!(!data || self.begun.is_none(), "sent within a message");
                true
            }
            Some(Err(Error::Send(SendError::Closed))) => {
                assert!(open != Some(true), "the connection is open");
                return;
            }
            Some(Err(Error::Send(SendError::MessageUnfinished))) => {
                assert!(data && self.is_begun());
                return;
            }
            Some(Err(Error::Io(_))) => {
                // What waits when the connection ends is given up.
                assert!(transport.write_failed() || self.ended.is_some());
                if !flushes {
                    return;
                }
                false
            }
            None if !flushes => return,
            None => false,
            Some(Err(error)) => panic!("sending failed with {error}"),
        };
        self.queued_len += message.payload().len() + 14;
        self.queued.push((message, sure));
    }

    /// Whether what may have been finished was.
    pub fn settle(&mut self, finished: bool) {
        let Some((kind, payload, maybe)) = self.begun.take() else { return assert!(finished) };
        assert!(maybe, "a message that was finished is begun");
        if finished {
            self.queued.push((whole(kind, payload), true));
        } else {
            self.begun = Some((kind, payload, false));
        }
    }

    /// A piece of a message was queued.
    pub fn piece(&mut self, kind: MessageKind, piece: &str) {
        if piece.is_empty() {
            return;
        }
        self.queued_len += piece.len() + 14;
        let (_, payload, _) = self.begun.get_or_insert((kind, Vec::new(), false));
        payload.extend_from_slice(piece.as_bytes());
    }

    /// The end of a message was queued, or the future that was to do so was dropped.
    pub fn finished(&mut self, sure: bool) {
        self.queued_len += 14;
        let (_, _, maybe) = self.begun.as_mut().expect("a message that is begun");
        *maybe = true;
        if sure {
            self.settle(true);
        }
    }

    /// The application queued a Close.
    pub fn closed(&mut self, frame: Option<CloseFrame>) {
        self.queued_len += 139;
        self.close = Some(frame);
    }

    /// Whole messages are asked for.
    pub fn ask_whole(&mut self) {
        self.received.ask_whole();
    }

    /// From now on what is received is discarded.
    pub fn discard(&mut self) {
        self.discards = true;
    }

    /// A message was received.
    pub fn received(&mut self, message: Message) {
        assert_eq!(self.ended, None, "{message:?} behind the end");
        self.ping(&message);
        self.received.message(message);
    }

    /// A chunk or a control frame was received.
    pub fn received_chunk(&mut self, event: StreamEvent<'_>) {
        assert_eq!(self.ended, None, "{event:?} behind the end");
        if let StreamEvent::Ping(payload) = &event {
            self.ping(&Message::Ping(payload.to_vec().into()));
        }
        self.received.stream_event(event);
    }

    fn ping(&mut self, message: &Message) {
        if let (Message::Ping(payload), None) = (message, &self.close) {
            self.pings.push(Message::Pong(payload.clone()));
        }
    }

    /// Receiving ended, or is over still.
    pub fn end(&mut self, result: Result<(), Error>, state: Option<CloseState>, transport: &Transport) {
        let ended = match result {
            Ok(()) => {
                if self.ended.is_none() {
                    assert!(state.is_none_or(|state| state == CloseState::Closed), "ended while {state:?}");
                    assert!(
                        self.waited || transport.write_failed() || transport.is_shut_down(),
                        "the transport was not ended"
                    );
                }
                self.ended.get_or_insert(Ended::Regularly);
                return;
            }
            Err(Error::Protocol(ProtocolError::ClosedWithoutHandshake)) => {
                assert!(transport.read_ended());
                Ended::Transport
            }
            Err(Error::Protocol(error)) => {
                if !self.discards {
                    self.received.error(error.close_code().get());
                }
                Ended::Protocol
            }
            Err(Error::Io(_)) => {
                assert!(transport.read_ended() || transport.write_failed());
                Ended::Transport
            }
            Err(Error::CloseTimeout) => {
                assert!(self.waited && self.is_closing());
                Ended::Timeout
            }
            Err(error) => panic!("receiving failed with {error}"),
        };
        if ended != Ended::Protocol {
            self.received.cut();
        }
        assert_eq!(self.ended.replace(ended), None, "an end is told once");
    }

    /// All that was read was received; `wire` is what was read.
    pub fn check_received(&self, role: Role, config: &Config, wire: &[u8]) {
        if !self.discards {
            self.received.check(role, config, wire);
        }
    }

    /// What was written is what was queued; `complete`: all of it was.
    pub fn check_written(&self, role: Role, written: &[u8], complete: bool) {
        let peer = if role == Role::Server { Role::Client } else { Role::Server };
        let model = modelled(peer, &UNLIMITED, Taking::Whole, false, written);
        assert_eq!(model.outcome.error, None, "the peer understands all");
        let (pongs, mut rest): (Vec<_>, Vec<_>) =
            model.outcome.messages.into_iter().partition(|message| matches!(message, Message::Pong(_)));
        let close = rest.pop_if(|message| matches!(message, Message::Close(_)));
        assert!(model.rest_len == 0 || (!complete && close.is_none()), "{} bytes of a frame", model.rest_len);

        let mut rest = rest.into_iter().peekable();
        for (message, sure) in &self.queued {
            if rest.next_if_eq(message).is_none() && *sure {
                assert!(!complete, "{message:?} was not written");
                break;
            }
        }
        if let Some((kind, payload, true)) = &self.begun {
            rest.next_if_eq(&whole(*kind, payload.clone()));
        }
        assert_eq!(rest.next(), None, "nobody queued it, or not here");
        if let (Some((_, payload, false)), true) = (&self.begun, complete) {
            let unfinished = model.unfinished.map(|(_, payload)| payload).unwrap_or_default();
            assert_eq!(&unfinished, payload);
        }
        self.check_pongs(&pongs, complete && written.len() <= PONG_BACKLOG_LEN);
        self.check_close(close, complete);
    }

    fn check_pongs(&self, pongs: &[Message], complete: bool) {
        if self.discards {
            return;
        }
        if complete {
            assert_eq!(pongs, self.pings);
        }
        let mut pings = self.pings.iter();
        assert!(pongs.iter().all(|pong| pings.any(|ping| ping == pong)), "{pongs:?} for {:?}", self.pings);
    }

    fn check_close(&self, written: Option<Message>, complete: bool) {
        let reply = self.received.controls().iter().find_map(|message| match message {
            Message::Close(frame) => Some(frame.as_ref().map(|frame| CloseFrame::new(frame.code, ""))),
            _ => None,
        });
        let Some(Message::Close(written)) = written else {
            let owed = self.close.is_some() || reply.is_some() || self.ended == Some(Ended::Protocol);
            return assert!(!(complete && owed), "no Close was written");
        };
        if let Some(frame) = &self.close {
            assert_eq!(&written, frame);
        } else if let Some(reply) = reply {
            assert_eq!(written, reply);
        } else if !self.discards {
            assert_eq!(written.map(|frame| frame.code.get()), self.received.told_error());
        }
    }
}

fn whole(kind: MessageKind, payload: Vec<u8>) -> Message {
    match kind {
        MessageKind::Text => Message::text(String::from_utf8(payload).expect("pieces of text")),
        MessageKind::Binary => Message::binary(payload),
    }
}
