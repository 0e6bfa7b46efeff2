//! Frames that are mostly right, encoded by hand; and what one role sends, to the other.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sockeye_fuzz::{
    websocket::{KEY, assert_received, connection},
    wire::{Frame, encode_all, filled},
};
use sockeye_websocket::{
    CloseCode, CloseFrame, Config, FrameHeader, Message, MessageKind, Prepared, Role, SendError,
};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    client: bool,
    close_sent: bool,
    tight: bool,
    /// Between whole messages and chunks.
    choices: u8,
    pieces: Vec<u16>,
    frames: Vec<Frame<'a>>,
    sends: Vec<Send<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Send<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    FilledBinary(u8, u32),
    First(bool, &'a str),
    Next(&'a str, bool),
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    Header(&'a [u8]),
    Prepared(&'a str),
    PreparedBuffer(&'a [u8]),
    Close(Option<(u16, &'a str)>),
}

fuzz_target!(|data: &[u8]| {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let role = if input.client { Role::Client } else { Role::Server };
    let config = if input.tight {
        Config { max_frame_len: 1000, max_message_len: 1500, max_fragment_count: 3 }
    } else {
        Config::default()
    };
    let pieces: Vec<usize> = input.pieces.iter().map(|&len| usize::from(len)).collect();
    let wire = encode_all(&input.frames, role);
    assert_headers_survive(&wire);
    assert_received(role, config, input.close_sent, &wire, &pieces, input.choices);
    send_to_peer(role, &input.sends, &pieces);
});

/// A header that decodes encodes to the same bytes.
fn assert_headers_survive(wire: &[u8]) {
    if let Ok(Some((header, len))) = FrameHeader::decode(wire) {
        let (bytes, encoded_len) = header.encode();
        assert_eq!(&bytes[..encoded_len], &wire[..len]);
        assert_eq!(header.encoded_len(), len);
    }
}

/// What the sender's interface takes is what the peer receives.
fn send_to_peer(role: Role, sends: &[Send<'_>], pieces: &[usize]) {
    let mut sender = connection(role, Config::default());
    let mut wire = Vec::new();
    let mut sent = Vec::new();
    let mut fragmented: Option<(bool, Vec<u8>)> = None;
    let mut closed = false;
    for send in sends {
        let before = wire.len();
        // Whether the rules allow it, and what the peer then has received.
        let (result, allowed, message) = match *send {
            Send::Text(text) => {
                let result = sender.send(&Message::text(text), &mut wire);
                (result, fragmented.is_none(), Some(Message::text(text)))
            }
            Send::Binary(bytes) => {
                let message = Message::binary(Bytes::copy_from_slice(bytes));
                (sender.send(&message, &mut wire), fragmented.is_none(), Some(message))
            }
            Send::FilledBinary(byte, len) => {
                let payload = filled(byte, len);
                let result = sender.send_binary(&payload, &mut wire);
                (result, fragmented.is_none(), Some(Message::binary(payload)))
            }
            Send::First(is_text, text) => {
                let kind = if is_text { MessageKind::Text } else { MessageKind::Binary };
                let result = sender.send_first_fragment(kind, text.as_bytes(), &mut wire);
                let allowed = fragmented.is_none();
                if allowed && !closed {
                    fragmented = Some((is_text, text.into()));
                }
                (result, allowed, None)
            }
            Send::Next(text, fin) => {
                let result = sender.send_next_fragment(text.as_bytes(), fin, &mut wire);
                let allowed = fragmented.is_some();
                if let Some((_, payload)) = fragmented.as_mut().filter(|_| !closed) {
                    payload.extend_from_slice(text.as_bytes());
                }
                let message = fragmented.take_if(|_| fin && !closed).map(|(is_text, payload)| {
                    if is_text {
                        Message::text(String::from_utf8(payload).expect("concatenated strings"))
                    } else {
                        Message::binary(payload)
                    }
                });
                (result, allowed, message)
            }
            Send::Ping(payload) => {
                let message = Message::Ping(Bytes::copy_from_slice(payload));
                (sender.send(&message, &mut wire), payload.len() <= 125, Some(message))
            }
            Send::Pong(payload) => {
                let message = Message::Pong(Bytes::copy_from_slice(payload));
                (sender.send(&message, &mut wire), payload.len() <= 125, Some(message))
            }
            Send::Header(payload) => {
                if role == Role::Client {
                    continue;
                }
                let result = sender.send_header(MessageKind::Binary, payload.len(), &mut wire);
                if result.is_ok() {
                    wire.extend_from_slice(payload);
                }
                let message = Message::binary(Bytes::copy_from_slice(payload));
                (result, fragmented.is_none(), Some(message))
            }
            Send::Prepared(text) => {
                if role == Role::Client || closed || fragmented.is_some() {
                    continue;
                }
                let prepared = Prepared::text(text);
                assert_eq!(prepared.payload(), text.as_bytes());
                wire.extend_from_slice(prepared.frame());
                (Ok(()), true, Some(Message::text(text)))
            }
            Send::PreparedBuffer(payload) => {
                if role == Role::Client || closed || fragmented.is_some() {
                    continue;
                }
                let buffer = [&[0xA5; Prepared::HEADROOM_LEN][..], payload].concat();
                let prepared = Prepared::from_buffer(MessageKind::Binary, buffer);
                assert_eq!(prepared, Prepared::binary(payload));
                wire.extend_from_slice(prepared.frame());
                (Ok(()), true, Some(Message::binary(Bytes::copy_from_slice(payload))))
            }
            Send::Close(reason) => {
                let frame = reason
                    .map(|(code, reason)| (CloseCode::new(code).unwrap_or(CloseCode::NORMAL), reason))
                    .map(|(code, reason)| CloseFrame::new(code, reason));
                let allowed = frame.as_ref().is_none_or(|frame| frame.reason.len() <= 123);
                let result = sender.send_close(frame.as_ref(), &mut wire);
                (result, allowed, Some(Message::Close(frame)))
            }
        };
        if closed {
            assert!(result.is_err());
        } else {
            assert_eq!(result.is_ok(), allowed, "{send:?}: {result:?}");
        }
        match result {
            Ok(()) => sent.extend(message),
            Err(error) => {
                assert_eq!(wire.len(), before, "{error}: nothing is added");
                assert!(
                    !closed || matches!(error, SendError::Closed | SendError::ControlPayloadTooLong { .. })
                );
            }
        }
        closed |= matches!(send, Send::Close(_)) && result.is_ok();
    }
    if role == Role::Client && wire.len() >= 6 {
        let (header, len) = FrameHeader::decode(&wire).expect("sent by us").expect("whole");
        assert_eq!((header.masking_key, &wire[len - 4..len]), (Some(KEY), &KEY[..]));
    }
    let peer = if role == Role::Client { Role::Server } else { Role::Client };
    let outcome = assert_received(peer, Config::default(), false, &wire, pieces, 0);
    assert_eq!(outcome.error, None);
    assert_eq!(outcome.messages, sent);
}
