//! A whole `WebSocket`, or its halves, over a transport that moves pieces of any length, is pending anywhere, fails and
//! ends; operations in any order, whose futures are dropped anywhere.
//!
//! - What the peer's model decodes of the written bytes is what was queued, in order, with no half frame but at a cut.
//! - What was received is what the model decodes of the bytes that were read; behind the end there is only `None`.
//! - A future that waits has a waker with the transport, also while another task polls the other half.
//! - A message that was sent has left, unless the next event is here already.
//! - The output holds no more than what was queued and a bounded number of Pongs; no operation asks the transport for
//!   ever; a closing handshake ends by its deadline, whatever the transport does.
//! - The Close has the code of the error, of the peer's Close, or of the application.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use sockeye_fuzz::{
    ledger::Ledger,
    transport::{Script, Task, Transport},
    websocket::to_message,
    wire::{Frame, encode_all},
};
use sockeye_tokio_websocket::{Error, Options, Receiver, Sender, WebSocket};
use sockeye_websocket::{
    CloseCode, CloseFrame, CloseState, Config, Event, Message, MessageKind, Prepared, ReceiveState, Role,
    SendError,
};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    client: bool,
    tight: bool,
    small_output: bool,
    /// How many bytes came with the opening handshake.
    received_len: u8,
    frames: Vec<Frame<'a>>,
    script: Script,
    /// How often a future is polled before it is dropped; 0 is as often as it helps.
    operations: Vec<(u8, Operation<'a>)>,
}

#[derive(Arbitrary, Debug)]
enum Operation<'a> {
    Receive,
    ReceiveBorrowed(Reply<'a>),
    ReceiveChunk,
    Send(Payload<'a>),
    Feed(Payload<'a>),
    Flush,
    FeedPrepared(&'a str),
    /// So many messages at once, whatever waits already.
    Queue(u8, u16),
    Write {
        text: bool,
        pieces: Vec<&'a str>,
        finish: bool,
    },
    StartClose(CloseWith<'a>),
    Close(CloseWith<'a>),
    Wait(u8),
    Wake,
    Split,
}

#[derive(Arbitrary, Debug)]
enum Reply<'a> {
    None,
    Text(&'a str),
    Close(CloseWith<'a>),
}

#[derive(Arbitrary, Debug)]
enum Payload<'a> {
    Text(&'a str),
    Binary(&'a str),
    /// Large enough to be sent by reference.
    Large(u16),
    Ping,
}

type CloseWith<'a> = Option<(u16, &'a str)>;

const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// As often as it helps.
const PATIENCE: usize = 10_000;

thread_local! {
    /// For the clock, which stands still unless an input moves it.
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
}

fuzz_target!(|data: &[u8]| {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    RUNTIME.with(|runtime| {
        let _guard = runtime.enter();
        Run::new(&input, runtime).run(&input);
    });
});

enum Socket {
    Whole(WebSocket<Transport>),
    Halves(Sender<Transport>, Receiver<Transport, Transport>),
}

use Socket::{Halves, Whole};

struct Run<'r> {
    runtime: &'r Runtime,
    role: Role,
    options: Options,
    wire: Vec<u8>,
    received_len: usize,
    transport: Transport,
    socket: Option<Socket>,
    ledger: Ledger,
    sending: Task,
    receiving: Task,
}

impl<'r> Run<'r> {
    fn new(input: &Input<'_>, runtime: &'r Runtime) -> Self {
        let role = if input.client { Role::Client } else { Role::Server };
        let config = if input.tight {
            Config { max_frame_len: 1000, max_message_len: 1500, max_fragment_count: 3 }
        } else {
            Config::default()
        };
        let max_output_len = if input.small_output { 100 } else { 64 * 1024 };
        let options = Options { config, max_output_len, close_timeout: CLOSE_TIMEOUT, ..Options::default() };
        let wire = encode_all(&input.frames, role);
        let received_len = usize::from(input.received_len).min(wire.len());
        let transport = Transport::new(wire[received_len..].to_vec(), input.script.clone());
        let socket = WebSocket::from_handshaken(transport.clone(), role, &wire[..received_len], &options);
        Self {
            runtime,
            role,
            options,
            wire,
            received_len,
            transport,
            socket: Some(Whole(socket)),
            ledger: Ledger::default(),
            sending: Task::default(),
            receiving: Task::default(),
        }
    }

    fn run(&mut self, input: &Input<'_>) {
        for (poll_count, operation) in &input.operations {
            let poll_count = if *poll_count == 0 { PATIENCE } else { usize::from(*poll_count) };
            self.operate(poll_count, operation);
            if let Some(Whole(socket)) = &self.socket {
                assert!(socket.queued_len() <= self.ledger.max_queued_len());
            }
        }
        self.wake();
        self.finish();
    }

    fn operate(&mut self, poll_count: usize, operation: &Operation<'_>) {
        match operation {
            Operation::Receive => self.receive(poll_count),
            Operation::ReceiveBorrowed(reply) => self.receive_borrowed(poll_count, reply),
            Operation::ReceiveChunk => _ = self.receive_chunk(poll_count),
            Operation::Send(payload) => {
                let message = self.message(payload);
                self.send(poll_count, message);
            }
            Operation::Feed(payload) => {
                let message = self.message(payload);
                let open = self.is_open();
                let fed = match self.socket.as_mut().expect("one of them") {
                    Whole(socket) => {
                        self.sending.drive(&self.transport, poll_count, socket.feed(message.clone()))
                    }
                    Halves(sender, _) => {
                        self.sending.drive(&self.transport, poll_count, sender.feed(message.clone()))
                    }
                };
                self.ledger.sent(message, fed, false, open, &self.transport);
            }
            Operation::Flush => _ = self.flush(poll_count),
            Operation::FeedPrepared(text) => self.feed_prepared(poll_count, text),
            Operation::Queue(count, len) => {
                for _ in 0..count % 32 {
                    self.queue(*len);
                }
            }
            Operation::Write { text, pieces, finish } => self.write(poll_count, *text, pieces, *finish),
            Operation::StartClose(close) => {
                let frame = close_frame(close);
                if let Some(Whole(socket)) = &mut self.socket {
                    let open = socket.close_state() == CloseState::Open;
                    let result = socket.start_close(frame.clone());
                    self.close_started(frame, result, open);
                }
            }
            Operation::Close(close) => self.close(poll_count, close_frame(close)),
            Operation::Wait(seconds) => self.wait(Duration::from_secs((*seconds).into())),
            Operation::Wake => self.wake(),
            Operation::Split => {
                if let Some(Whole(socket)) = self.socket.take_if(|socket| matches!(socket, Whole(_))) {
                    let (sender, receiver) = socket.split_with(|transport| (transport.clone(), transport));
                    self.socket = Some(Halves(sender, receiver));
                    // No future can wait while its socket is moved.
                    self.sending.forget();
                    self.receiving.forget();
                }
            }
        }
    }

    /// Whether anything may be sent; the halves do not tell.
    fn is_open(&self) -> Option<bool> {
        match self.socket.as_ref().expect("one of them") {
            Whole(socket) => Some(socket.close_state() == CloseState::Open),
            Halves(..) => None,
        }
    }

    fn message(&mut self, payload: &Payload<'_>) -> Message {
        match *payload {
            Payload::Text(text) => Message::text(self.ledger.unique(text)),
            Payload::Binary(text) => Message::binary(self.ledger.unique(text).into_bytes()),
            Payload::Large(len) => {
                let text = self.ledger.unique(&"x".repeat(usize::from(len % 5000)));
                Message::binary(text.into_bytes())
            }
            Payload::Ping => Message::Ping(self.ledger.unique("ping").into_bytes().into()),
        }
    }

    fn queue(&mut self, len: u16) {
        let message = self.message(&Payload::Large(len));
        let open = self.is_open();
        let Some(Whole(socket)) = &mut self.socket else { return };
        let queued = socket.queue(&message);
        self.ledger.sent(message, Some(queued), false, open, &self.transport);
    }

    fn send(&mut self, poll_count: usize, message: Message) {
        let open = self.is_open();
        let (transport, sending) = (&self.transport, &mut self.sending);
        let sent = match self.socket.as_mut().expect("one of them") {
            Whole(socket) => sending.drive(transport, poll_count, socket.send(message.clone())),
            Halves(sender, _) => sending.drive(transport, poll_count, sender.send(message.clone())),
        };
        let left = matches!(sent, Some(Ok(())));
        self.ledger.sent(message, sent, true, open, &self.transport);
        if left {
            self.assert_left();
        }
    }

    /// What was sent has left, unless the next event is here.
    fn assert_left(&mut self) {
        let Some(Whole(socket)) = &mut self.socket else {
            return assert!(self.transport.is_flushed());
        };
        if socket.queued_len() == 0 && self.transport.is_flushed() {
            return;
        }
        self.transport.freeze(true);
        self.ledger.ask_whole();
        let next = self.receiving.drive(&self.transport, 1, socket.receive());
        self.transport.freeze(false);
        let state = socket.close_state();
        match next {
            Some(Some(Ok(message))) => self.ledger.received(message),
            Some(Some(Err(error))) => self.ledger.end(Err(error), Some(state), &self.transport),
            Some(None) => panic!("there was to be an event"),
            // The error is told when the transport is done with.
            None => assert_eq!(state, CloseState::Failed, "the message has not left, and there is no event"),
        }
    }

    fn flush(&mut self, poll_count: usize) -> bool {
        let (transport, sending) = (&self.transport, &mut self.sending);
        let flushed = match self.socket.as_mut().expect("one of them") {
            Whole(socket) => sending.drive(transport, poll_count, socket.flush()),
            Halves(sender, _) => sending.drive(transport, poll_count, sender.flush()),
        };
        match flushed {
            Some(Ok(())) => {
                assert!(self.transport.is_flushed());
                if let Some(Whole(socket)) = &self.socket {
                    assert_eq!(socket.queued_len(), 0);
                }
                true
            }
            Some(Err(error)) => {
                assert!(matches!(error, Error::Io(_)) && cannot_write(&self.transport, &self.ledger));
                false
            }
            None => false,
        }
    }

    fn feed_prepared(&mut self, poll_count: usize, text: &str) {
        if self.role == Role::Client {
            return;
        }
        let open = self.is_open();
        let text = self.ledger.unique(text);
        let prepared = Prepared::text(&text);
        let fed = match self.socket.as_mut().expect("one of them") {
            Whole(socket) => Some(socket.queue_prepared(&prepared)),
            Halves(sender, _) => {
                self.sending.drive(&self.transport, poll_count, sender.feed_prepared(&prepared))
            }
        };
        self.ledger.sent(Message::text(text), fed, false, open, &self.transport);
    }

    /// Writes a message in pieces, or goes on with the one that was begun.
    fn write(&mut self, poll_count: usize, text: bool, pieces: &[&str], finish: bool) {
        let Some(Whole(socket)) = &mut self.socket else { return };
        let kind = if text { MessageKind::Text } else { MessageKind::Binary };
        let begun = self.ledger.is_begun();
        let started = if begun { socket.continue_message() } else { socket.start_message(kind) };
        let mut writer = match started {
            Ok(writer) => writer,
            Err(Error::Send(SendError::Closed)) => return assert_ne!(socket.close_state(), CloseState::Open),
            Err(error) => panic!("writing failed with {error}"),
        };
        let prefix = self.ledger.unique("");
        for piece in std::iter::once(&&*prefix).chain(pieces) {
            match self.sending.drive(&self.transport, poll_count, writer.write(piece.as_bytes())) {
                Some(Ok(())) => self.ledger.piece(kind, piece),
                Some(Err(error)) => {
                    return assert!(
                        matches!(error, Error::Io(_)) && cannot_write(&self.transport, &self.ledger)
                    );
                }
                None => return,
            }
        }
        if finish {
            match self.sending.drive(&self.transport, poll_count, writer.finish()) {
                Some(Ok(())) => {
                    self.ledger.finished(true);
                    assert!(self.transport.is_flushed());
                }
                Some(Err(error)) => {
                    assert!(matches!(error, Error::Io(_)) && cannot_write(&self.transport, &self.ledger));
                    self.ledger.finished(false);
                }
                None => self.ledger.finished(false),
            }
            match socket.continue_message() {
                Ok(_) => self.ledger.settle(false),
                Err(Error::Send(SendError::NoMessageToContinue)) => self.ledger.settle(true),
                Err(error) => assert!(matches!(error, Error::Send(SendError::Closed))),
            }
        }
    }

    fn receive(&mut self, poll_count: usize) {
        self.ledger.ask_whole();
        let (transport, receiving) = (&self.transport, &mut self.receiving);
        let received = match self.socket.as_mut().expect("one of them") {
            Whole(socket) => receiving.drive(transport, poll_count, socket.receive()),
            Halves(_, receiver) => receiving.drive(transport, poll_count, receiver.receive()),
        };
        match received {
            Some(Some(Ok(message))) => self.ledger.received(message),
            Some(Some(Err(error))) => self.end(Err(error)),
            Some(None) => self.end(Ok(())),
            None => self.assert_flushed(),
        }
    }

    fn receive_borrowed(&mut self, poll_count: usize, reply: &Reply<'_>) {
        self.ledger.ask_whole();
        let max_output_len = self.options.max_output_len;
        let closing = self.is_closing();
        let reply_text = if let Reply::Text(text) = reply { self.ledger.unique(text) } else { String::new() };
        let (transport, receiving) = (&self.transport, &mut self.receiving);
        let mut replied = None;
        let received = match self.socket.as_mut().expect("one of them") {
            Whole(socket) => receiving.drive(transport, poll_count, async {
                let (event, mut replies) = match socket.receive_borrowed().await? {
                    Ok(received) => received,
                    Err(error) => return Some(Err(error)),
                };
                let room = max_output_len + 2 * 139;
                // After a Close there are no more replies, so none are waited for.
                let last = closing || matches!(event, Event::Close(_));
                assert!(replies.queued_len() < room || last || transport.write_failed(), "nobody waited");
                replied = match reply {
                    Reply::None => None,
                    Reply::Text(_) => Some(replies.text(&reply_text)),
                    Reply::Close(close) => Some(replies.start_close(close_frame(close))),
                };
                Some(Ok(to_message(event)))
            }),
            Halves(_, receiver) => receiving.drive(transport, poll_count, async {
                Some(receiver.receive_borrowed().await?.map(to_message))
            }),
        };
        match received {
            Some(Some(Ok(message))) => {
                let ends = matches!(message, Message::Close(_));
                self.ledger.received(message);
                match (reply, replied) {
                    (Reply::Text(_), Some(result)) => {
                        let open = ends.then_some(false);
                        let text = Message::text(reply_text);
                        self.ledger.sent(text, Some(result), false, open, &self.transport);
                    }
                    (Reply::Close(close), Some(Ok(()))) => self.ledger.closed(close_frame(close)),
                    _ => {}
                }
            }
            Some(Some(Err(error))) => self.end(Err(error)),
            Some(None) => self.end(Ok(())),
            None => self.assert_flushed(),
        }
    }

    /// Whether a chunk or control frame was received.
    fn receive_chunk(&mut self, poll_count: usize) -> bool {
        let (transport, receiving, ledger) = (&self.transport, &mut self.receiving, &mut self.ledger);
        let received = match self.socket.as_mut().expect("one of them") {
            Whole(socket) => receiving.drive(transport, poll_count, async {
                Some(socket.receive_chunk().await?.map(|event| ledger.received_chunk(event)))
            }),
            Halves(_, receiver) => receiving.drive(transport, poll_count, async {
                Some(receiver.receive_chunk().await?.map(|event| ledger.received_chunk(event)))
            }),
        };
        match received {
            Some(Some(Ok(()))) => return true,
            Some(Some(Err(error))) => self.end(Err(error)),
            Some(None) => self.end(Ok(())),
            None => self.assert_flushed(),
        }
        false
    }

    fn end(&mut self, result: Result<(), Error>) {
        let state = match self.socket.as_ref().expect("one of them") {
            Whole(socket) => Some(socket.close_state()),
            Halves(..) => None,
        };
        self.ledger.end(result, state, &self.transport);
    }

    /// Nothing waits to be written while a receive waits, unless the transport does not take it.
    fn assert_flushed(&self) {
        let Some(Whole(socket)) = &self.socket else { return };
        let flushed = socket.queued_len() == 0 && self.transport.is_flushed();
        assert!(flushed || self.transport.write_waits(), "what is queued stays behind");
    }

    fn close_started(&mut self, frame: Option<CloseFrame>, result: Result<(), Error>, open: bool) {
        let too_long = frame.as_ref().is_some_and(|frame| frame.reason.len() > 123);
        match result {
            Ok(()) => {
                assert!(open && !too_long);
                self.ledger.closed(frame);
            }
            Err(Error::Send(SendError::ControlPayloadTooLong { .. })) => assert!(too_long),
            Err(Error::Send(SendError::Closed)) => assert!(!open),
            Err(error) => panic!("closing failed with {error}"),
        }
    }

    fn close(&mut self, poll_count: usize, frame: Option<CloseFrame>) {
        let too_long = frame.as_ref().is_some_and(|frame| frame.reason.len() > 123);
        match self.socket.as_mut().expect("one of them") {
            Whole(socket) => {
                let open = socket.close_state() == CloseState::Open;
                let closed = self.sending.drive(&self.transport, poll_count, socket.close(frame.clone()));
                let state = socket.close_state();
                if open && !too_long {
                    self.ledger.closed(frame);
                }
                match closed {
                    Some(Err(Error::Send(SendError::ControlPayloadTooLong { .. }))) => assert!(too_long),
                    closed => {
                        self.ledger.discard();
                        if let Some(result) = closed {
                            self.ledger.end(result, Some(state), &self.transport);
                        }
                    }
                }
            }
            Halves(sender, receiver) => {
                let open = receiver.state() == ReceiveState::Open;
                let closed = self.sending.drive(&self.transport, poll_count, sender.close(frame.clone()));
                match closed {
                    Some(Err(Error::Send(SendError::ControlPayloadTooLong { .. }))) => assert!(too_long),
                    Some(Err(Error::Send(SendError::Closed))) => {
                        assert!(!open || self.ledger.is_closing() || self.ledger.ended().is_some());
                    }
                    Some(Err(Error::Io(_))) => {
                        assert!(cannot_write(&self.transport, &self.ledger));
                        self.ledger.closed(frame);
                    }
                    Some(Err(error)) => panic!("closing failed with {error}"),
                    // It is queued by the first poll.
                    Some(Ok(())) | None => self.ledger.closed(frame),
                }
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.ledger.wait();
        self.runtime.block_on(tokio::time::advance(time));
    }

    /// Whoever waits is woken.
    fn wake(&mut self) {
        self.transport.wake();
        self.sending.assert_woken("sends");
        self.receiving.assert_woken("receives");
    }

    /// With a transport that does all it can: all is received and written, what was closed ends, and stays so.
    fn finish(&mut self) {
        self.transport.smooth();
        let mut written = false;
        for _ in 0..3 {
            while self.receive_chunk(PATIENCE) {}
            written = self.flush(PATIENCE);
            if self.ledger.ended().is_some() || !self.is_closing() {
                break;
            }
            self.wait(CLOSE_TIMEOUT + Duration::from_millis(1));
        }
        assert!(self.ledger.ended().is_some() || !self.is_closing(), "a closing handshake without an end");
        if self.ledger.ended().is_some() {
            self.receive(PATIENCE);
            assert!(!self.receive_chunk(PATIENCE));
        }
        let wire = &self.wire[..self.received_len + self.transport.read_len()];
        self.ledger.check_received(self.role, &self.options.config, wire);
        let output = self.transport.written();
        self.ledger.check_written(self.role, &output, written);
    }

    fn is_closing(&self) -> bool {
        match self.socket.as_ref().expect("one of them") {
            Whole(socket) => socket.close_state() != CloseState::Open,
            Halves(_, receiver) => self.ledger.is_closing() || receiver.state() != ReceiveState::Open,
        }
    }
}

/// The transport failed, or the connection is over and what waited was given up.
fn cannot_write(transport: &Transport, ledger: &Ledger) -> bool {
    transport.write_failed() || ledger.ended().is_some()
}

fn close_frame(close: &CloseWith<'_>) -> Option<CloseFrame> {
    close.map(|(code, reason)| CloseFrame::new(CloseCode::new(code).unwrap_or(CloseCode::NORMAL), reason))
}
