//! The same frames to us, to tungstenite and to fastwebsockets, as the server receives them: the messages up to the
//! first error, and whether there is one, are the same.
//!
//! All of them get whole frames only. The others judge a frame when it is complete, we as soon as its bytes tell; the
//! model of `websocket_receive` knows that part. The others are not asked about what they do otherwise, and only that:
//! the wire ends for them in front of the first frame that is one of these.
//!
//! tungstenite 0.30
//! - takes a length that is not minimally encoded (RFC 6455 §5.2: "the minimal number of bytes MUST be used");
//! - reports a Close whose code must not be sent (§7.4) as one with code 1002, and not as an error;
//! - does the same for code 1014, which IANA has registered.
//!
//! fastwebsockets 0.10
//! - takes a frame of a client that is not masked (§5.1: "The server MUST close the connection");
//! - takes a length that is not minimally encoded;
//! - takes a Pong or a Close with more than 125 bytes of payload (§5.5);
//! - drops the message under way when the first fragment of another one arrives (§5.4: "MUST NOT be interleaved");
//! - takes a fragmented text that ends within a code point, without its last bytes (§8.1);
//! - refuses a Close with code 1014.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use fastwebsockets::FragmentCollector;
use libfuzzer_sys::fuzz_target;
use sockeye_fuzz::{
    websocket::to_message,
    wire::{Frame, PlainFrame, encode_all, whole_frames},
};
use sockeye_websocket::{CloseCode, CloseFrame, Config, Connection, Message, Role};
use std::{
    future::Future,
    io::{self, Read, Write},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    frames: Vec<Frame<'a>>,
    /// Follows the frames.
    raw: &'a [u8],
}

/// The messages up to a Close or an error, and whether there was an error.
type Received = (Vec<Message>, bool);

fuzz_target!(|data: &[u8]| {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let mut wire = encode_all(&input.frames, Role::Server);
    wire.extend_from_slice(input.raw);
    let frames = whole_frames(&wire);
    let wire = &wire[..frames.last().map_or(0, |frame| frame.end)];

    let known = known_part(&frames, wire, tungstenite_differs);
    assert_eq!(received_by_tungstenite(known), received_by_us(known), "tungstenite: {known:02x?}");
    let known = known_part(&frames, wire, fastwebsockets_differs);
    assert_eq!(received_by_fastwebsockets(known), received_by_us(known), "fastwebsockets: {known:02x?}");
});

/// The message under way: whether it is text, and its payload.
type Unfinished = Option<(bool, Vec<u8>)>;

/// The wire up to the first frame of which a rival makes something else.
fn known_part<'w>(
    frames: &[PlainFrame<'_>],
    wire: &'w [u8],
    differs: fn(&PlainFrame<'_>, &Unfinished) -> bool,
) -> &'w [u8] {
    let mut unfinished = None;
    for frame in frames {
        if differs(frame, &unfinished) {
            return &wire[..frame.start];
        }
        match (frame.opcode(), &mut unfinished) {
            (opcode @ 1..=2, None) if !frame.fin() => unfinished = Some((opcode == 1, frame.unmasked())),
            (0, Some(_)) if frame.fin() => unfinished = None,
            (0, Some((_, payload))) => payload.extend(frame.unmasked()),
            _ => {}
        }
    }
    wire
}

fn is_minimal(frame: &PlainFrame<'_>) -> bool {
    match frame.len_len {
        2 => frame.payload.len() > 125,
        8 => frame.payload.len() > 65_535,
        _ => true,
    }
}

/// The code of a Close with a reason that is UTF-8.
fn close_code(frame: &PlainFrame<'_>) -> Option<u16> {
    let payload = frame.unmasked();
    let (code, reason) = payload.split_first_chunk()?;
    (frame.first == 0x88 && payload.len() <= 125 && std::str::from_utf8(reason).is_ok())
        .then_some(u16::from_be_bytes(*code))
}

fn tungstenite_differs(frame: &PlainFrame<'_>, _: &Unfinished) -> bool {
    !is_minimal(frame) || close_code(frame).is_some_and(|code| code == 1014 || CloseCode::new(code).is_none())
}

fn fastwebsockets_differs(frame: &PlainFrame<'_>, unfinished: &Unfinished) -> bool {
    let (fin, opcode) = (frame.fin(), frame.opcode());
    let cut_text = || {
        let Some((true, text)) = unfinished else { return false };
        let text = [&text[..], &frame.unmasked()].concat();
        std::str::from_utf8(&text).is_err_and(|error| error.error_len().is_none())
    };
    frame.key.is_none()
        || !is_minimal(frame)
        || (opcode == 8 || opcode == 10) && frame.payload.len() > 125
        || (opcode == 1 || opcode == 2) && !fin && unfinished.is_some()
        || opcode == 0 && fin && cut_text()
        || close_code(frame) == Some(1014)
}

fn received_by_us(wire: &[u8]) -> Received {
    let mut connection = Connection::server(Config::default());
    let (mut input, mut output) = (wire.to_vec(), Vec::new());
    let mut events = connection.receive(&mut input, &mut output);
    let mut messages = Vec::new();
    while let Some(event) = events.next() {
        match event {
            Ok(event) => messages.push(to_message(event)),
            Err(_) => return (messages, true),
        }
    }
    (messages, false)
}

/// A transport that brings the wire and then nothing, and takes everything.
struct Wire<'a>(&'a [u8]);

impl Read for Wire<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            len => Ok(len),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (now, later) = self.0.split_at(self.0.len().min(buf.remaining()));
        if now.is_empty() {
            return Poll::Pending;
        }
        buf.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn close_frame(code: u16, reason: &str) -> CloseFrame {
    CloseFrame::new(CloseCode::new(code).expect("a code that may be sent"), reason)
}

fn received_by_tungstenite(wire: &[u8]) -> Received {
    use tungstenite::{
        Error, Message as Theirs, WebSocket,
        protocol::{Role, WebSocketConfig},
    };

    // Its buffers, zeroed for every input, would take most of the time.
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let mut socket = WebSocket::from_raw_socket(Wire(wire), Role::Server, Some(config));
    let mut messages = Vec::new();
    loop {
        messages.push(match socket.read() {
            Ok(Theirs::Text(text)) => Message::text(text.as_str()),
            Ok(Theirs::Binary(payload)) => Message::Binary(payload),
            Ok(Theirs::Ping(payload)) => Message::Ping(payload),
            Ok(Theirs::Pong(payload)) => Message::Pong(payload),
            Ok(Theirs::Close(frame)) => {
                let frame = frame.map(|frame| close_frame(frame.code.into(), frame.reason.as_str()));
                messages.push(Message::Close(frame));
                return (messages, false);
            }
            Ok(Theirs::Frame(_)) => unreachable!("reading gives no frames"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return (messages, false),
            Err(_) => return (messages, true),
        });
    }
}

fn received_by_fastwebsockets(wire: &[u8]) -> Received {
    use fastwebsockets::{OpCode, Role, WebSocket};

    let mut socket = WebSocket::after_handshake(Wire(wire), Role::Server);
    // Otherwise they are answered and not told.
    socket.set_auto_pong(false);
    let mut socket = FragmentCollector::new(socket);
    let mut messages = Vec::new();
    loop {
        let mut context = Context::from_waker(Waker::noop());
        let frame = match pin!(socket.read_frame()).poll(&mut context) {
            Poll::Pending => return (messages, false),
            Poll::Ready(Err(_)) => return (messages, true),
            Poll::Ready(Ok(frame)) => frame,
        };
        let payload = frame.payload.to_vec();
        messages.push(match frame.opcode {
            OpCode::Text => Message::text(String::from_utf8(payload).expect("it was checked")),
            OpCode::Binary => Message::binary(payload),
            OpCode::Ping => Message::Ping(payload.into()),
            OpCode::Pong => Message::Pong(payload.into()),
            OpCode::Close => {
                let frame = payload.split_first_chunk().map(|(code, reason)| {
                    let reason = std::str::from_utf8(reason).expect("it was checked");
                    close_frame(u16::from_be_bytes(*code), reason)
                });
                messages.push(Message::Close(frame));
                return (messages, false);
            }
            OpCode::Continuation => unreachable!("fragments are collected"),
        });
    }
}
