//! Every public future dropped after every so many polls, on a transport that is pending at every step: nothing is
//! lost, nothing comes twice, and no half frame is left.

mod support;

use sockeye_tokio_websocket::{
    Acceptor, CloseCode, CloseFrame, Connector, Error, Message, MessageKind, Options, Receiver, Role, Sender,
    StreamEvent, WebSocket,
    codec::{OpCode, SendError},
};
use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};
use support::{AtEnd, ROLES, Scripted, close_frame, frame, frame_with, in_runtime, messages, sent_frames};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex};

/// A transport that the test can look into while a connection has it, or both halves of one.
#[derive(Debug, Clone)]
struct Handle(Arc<Mutex<Scripted>>);

impl Handle {
    fn new(input: Vec<u8>, pieces: &[usize], at_end: AtEnd) -> Self {
        Self(Arc::new(Mutex::new(Scripted::in_pieces(input, pieces.to_vec(), at_end))))
    }

    fn written(&self) -> Vec<u8> {
        self.0.lock().expect("no panic").written.clone()
    }
}

impl AsyncRead for Handle {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock().expect("no panic")).poll_read(cx, buf)
    }
}

impl AsyncWrite for Handle {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.lock().expect("no panic")).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock().expect("no panic")).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock().expect("no panic")).poll_shutdown(cx)
    }
}

/// Polls a future so many times, then drops it; what it returned, if it did.
fn attempt<F: Future>(poll_count: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..poll_count {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(output);
        }
    }
    None
}

/// Makes a future anew whenever it was dropped.
macro_rules! until_ready {
    ($poll_count:expr, $future:expr) => {{
        let mut outputs = (0..1_000_000).filter_map(|_| attempt($poll_count, $future));
        outputs.next().expect("the operation ends")
    }};
}

/// Runs `test` for each role, number of polls and cut of the transport.
fn everywhere(test: impl Fn(Role, usize, &[usize])) {
    in_runtime(|| {
        for role in ROLES {
            for poll_count in [1, 2, 3, 5, 8, 1000] {
                for pieces in [&[1][..], &[3, 1, 7], &[2, 500], &[100_000]] {
                    test(role, poll_count, pieces);
                }
            }
        }
    });
}

const fn other(role: Role) -> Role {
    match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    }
}

fn socket(role: Role, transport: &Handle, max_output_len: usize) -> WebSocket<Handle> {
    let options = Options { max_output_len, ..Options::default() };
    WebSocket::from_handshaken(transport.clone(), role, &[], &options)
}

type Halves = (Sender<Handle>, Receiver<Handle, Handle>);

fn halves(role: Role, transport: &Handle, max_output_len: usize) -> Halves {
    socket(role, transport, max_output_len).split_with(|handle| (handle.clone(), handle))
}

fn conversation(role: Role) -> Vec<u8> {
    [
        frame(role, OpCode::Text, "äöü".repeat(40).as_bytes()),
        frame(role, OpCode::Ping, b"one"),
        frame_with(role, false, OpCode::Binary, &[1; 300]),
        frame(role, OpCode::Ping, b"two"),
        frame_with(role, false, OpCode::Continuation, b""),
        frame(role, OpCode::Continuation, &[2; 130]),
        frame(role, OpCode::Binary, &[3; 2500]),
        frame(role, OpCode::Text, b""),
        close_frame(role, 1000),
    ]
    .concat()
}

fn expected(role: Role) -> Vec<Message> {
    messages(other(role), &conversation(role))
}

/// What answers the conversation when its messages are not.
fn answers() -> [Message; 3] {
    let close = Message::Close(Some(CloseFrame::new(CloseCode::NORMAL, "")));
    [Message::Pong("one".into()), Message::Pong("two".into()), close]
}

#[test]
fn receive_loses_nothing() {
    everywhere(|role, poll_count, pieces| {
        let transport = Handle::new(conversation(role), pieces, AtEnd::Eof);
        let mut socket = socket(role, &transport, 1000);
        let mut received = Vec::new();
        while let Some(message) = until_ready!(poll_count, socket.receive()) {
            received.push(message.expect("the peer is correct"));
        }
        assert_eq!(received, expected(role), "{role:?}, {poll_count}, {pieces:?}");
        assert_eq!(messages(role, &transport.written()), answers());
    });
}

#[test]
fn receive_of_a_half_loses_nothing() {
    everywhere(|role, poll_count, pieces| {
        let transport = Handle::new(conversation(role), pieces, AtEnd::Eof);
        let (_sender, mut receiver) = halves(role, &transport, 1000);
        let mut received = Vec::new();
        while let Some(message) = until_ready!(poll_count, receiver.receive()) {
            received.push(message.expect("the peer is correct"));
        }
        assert_eq!(received, expected(role), "{role:?}, {poll_count}, {pieces:?}");
        assert_eq!(messages(role, &transport.written()), answers());
    });
}

#[test]
fn receive_borrowed_loses_neither_messages_nor_replies() {
    everywhere(|role, poll_count, pieces| {
        let transport = Handle::new(conversation(role), pieces, AtEnd::Eof);
        let mut socket = socket(role, &transport, 200);
        let mut echoed = 0;
        let mut close_count = 0;
        loop {
            let echo = async {
                let (event, mut replies) = match socket.receive_borrowed().await? {
                    Ok(received) => received,
                    Err(error) => panic!("the peer is correct: {error}"),
                };
                Some(match event {
                    sockeye_tokio_websocket::Event::Close(_) => true,
                    event => {
                        replies.echo(&event).expect("the connection is open");
                        false
                    }
                })
            };
            let Some(received) = attempt(poll_count, echo) else { continue };
            match received {
                Some(true) => close_count += 1,
                Some(false) => echoed += 1,
                None => break,
            }
        }
        assert_eq!((echoed, close_count), (6, 1));
        let echoes: Vec<_> = expected(role)
            .into_iter()
            .map(|message| match message {
                Message::Ping(payload) => Message::Pong(payload),
                message => message,
            })
            .collect();
        assert_eq!(messages(role, &transport.written()), echoes, "{role:?}, {poll_count}, {pieces:?}");
    });
}

#[test]
fn receive_chunk_loses_nothing() {
    everywhere(|role, poll_count, pieces| {
        let transport = Handle::new(conversation(role), pieces, AtEnd::Eof);
        let mut socket = socket(role, &transport, 1000);
        let mut received = Vec::new();
        let mut whole = Vec::new();
        loop {
            let receive = async {
                Some(match socket.receive_chunk().await?.expect("the peer is correct") {
                    StreamEvent::Chunk(chunk) => {
                        whole.extend_from_slice(chunk.payload);
                        let text = chunk.kind == MessageKind::Text;
                        chunk.fin.then(|| {
                            let whole = std::mem::take(&mut whole);
                            if text {
                                Message::text(String::from_utf8(whole).expect("a text"))
                            } else {
                                Message::binary(whole)
                            }
                        })
                    }
                    StreamEvent::Ping(payload) => Some(Message::Ping(payload.to_vec().into())),
                    StreamEvent::Pong(payload) => Some(Message::Pong(payload.to_vec().into())),
                    StreamEvent::Close(frame) => Some(Message::Close(frame)),
                })
            };
            match attempt(poll_count, receive) {
                Some(Some(message)) => received.extend(message),
                Some(None) => break,
                None => {}
            }
        }
        assert_eq!(received.len(), 7);
        let by_kind = |messages: &[Message], data| {
            messages.iter().filter(|message| message.is_data() == data).cloned().collect::<Vec<_>>()
        };
        // The Ping between the fragments comes before the end of the message either way.
        for data in [true, false] {
            assert_eq!(by_kind(&received, data), by_kind(&expected(role), data), "{role:?}, {poll_count}");
        }
        assert_eq!(messages(role, &transport.written()), answers());
    });
}

/// Messages that are copied, and on a server written by reference; each one differs.
fn outgoing() -> Vec<Message> {
    [0usize, 1, 130, 300, 2500, 5]
        .iter()
        .zip(0u8..)
        .flat_map(|(len, i)| [Message::binary(vec![i; *len]), Message::text(format!("{i}"))])
        .collect()
}

/// Sends every message by `send`, which is dropped after some polls, and again if it is not on the wire once all is
/// flushed by `flush`.
macro_rules! send_all {
    ($role:expr, $poll_count:expr, $transport:expr, $message:ident => $send:expr, $flush:expr) => {
        for (i, $message) in outgoing().into_iter().enumerate() {
            loop {
                let sent = attempt($poll_count, $send);
                until_ready!($poll_count, $flush).expect("the transport works");
                let sent_count = messages($role, &$transport.written()).len();
                if let Some(sent) = sent {
                    sent.expect("the message may be sent");
                    assert_eq!(sent_count, i + 1);
                }
                assert!(sent_count <= i + 1, "a message is sent twice");
                if sent_count == i + 1 {
                    break;
                }
            }
        }
        assert_eq!(messages($role, &$transport.written()), outgoing(), "{:?}, {}", $role, $poll_count);
    };
}

#[test]
fn send_and_feed_queue_a_message_whole_or_not_at_all() {
    everywhere(|role, poll_count, pieces| {
        let transport = Handle::new(Vec::new(), pieces, AtEnd::Pending);
        let mut socket_ = socket(role, &transport, 1);
        send_all!(role, poll_count, transport, message => socket_.send(message.clone()), socket_.flush());
        let transport = Handle::new(Vec::new(), pieces, AtEnd::Pending);
        let mut socket_ = socket(role, &transport, 1);
        send_all!(role, poll_count, transport, message => socket_.feed(message.clone()), socket_.flush());
    });
}

#[test]
fn send_and_feed_of_a_half_queue_a_message_whole_or_not_at_all() {
    everywhere(|role, poll_count, pieces| {
        let transport = Handle::new(Vec::new(), pieces, AtEnd::Pending);
        let (mut sender, _receiver) = halves(role, &transport, 1);
        send_all!(role, poll_count, transport, message => sender.send(message.clone()), sender.flush());
        let transport = Handle::new(Vec::new(), pieces, AtEnd::Pending);
        let (mut sender, _receiver) = halves(role, &transport, 1);
        send_all!(role, poll_count, transport, message => sender.feed(message.clone()), sender.flush());
    });
}

#[test]
fn fed_messages_leave_once_however_often_flush_is_dropped() {
    everywhere(|role, poll_count, pieces| {
        let transport = Handle::new(Vec::new(), pieces, AtEnd::Pending);
        let mut socket = socket(role, &transport, 1 << 20);
        for message in outgoing() {
            socket.queue(&message).expect("the connection is open");
        }
        until_ready!(poll_count, socket.flush()).expect("the transport works");
        assert_eq!(messages(role, &transport.written()), outgoing(), "{role:?}, {poll_count}, {pieces:?}");
    });
}

#[test]
fn close_sends_one_close_frame_and_finishes() {
    everywhere(|role, poll_count, pieces| {
        let wire = [frame(role, OpCode::Binary, &[1; 300]), close_frame(role, 1000)].concat();
        let transport = Handle::new(wire, pieces, AtEnd::Eof);
        let mut socket = socket(role, &transport, 1000);
        socket.queue(Message::text("before")).expect("the connection is open");
        let close = || Some(CloseFrame::new(CloseCode::NORMAL, "bye"));
        until_ready!(poll_count, socket.close(close())).expect("the peer closes too");
        assert_eq!(messages(role, &transport.written()), [Message::text("before"), Message::Close(close())]);
        assert!(transport.0.lock().expect("no panic").shutdown);
    });
}

#[test]
fn close_of_a_half_sends_one_close_frame() {
    everywhere(|role, poll_count, pieces| {
        let transport = Handle::new(close_frame(role, 1000), pieces, AtEnd::Eof);
        let (mut sender, mut receiver) = halves(role, &transport, 1000);
        let close = || Some(CloseFrame::new(CloseCode::NORMAL, "bye"));
        let closed = until_ready!(poll_count, sender.close(close()));
        // When the first one was dropped, its Close is queued all the same.
        assert!(matches!(closed, Ok(()) | Err(Error::Send(SendError::Closed))), "{closed:?}");
        while let Some(message) = until_ready!(poll_count, receiver.receive()) {
            assert!(matches!(message, Ok(Message::Close(_))), "{message:?}");
        }
        assert_eq!(messages(role, &transport.written()), [Message::Close(close())]);
        assert!(transport.0.lock().expect("no panic").shutdown);
    });
}

#[test]
fn message_writer_queues_each_piece_whole_or_not_at_all() {
    let pieces_of_message: [&[u8]; 4] = [b"one", &[2; 200], &[3; 2500], b"four"];
    everywhere(|role, poll_count, pieces| {
        let transport = Handle::new(Vec::new(), pieces, AtEnd::Pending);
        let mut socket = socket(role, &transport, 1);
        for (i, piece) in pieces_of_message.iter().enumerate() {
            while sent_frames(role, &transport.written()).len() == i {
                let writer = if i == 0 {
                    socket.start_message(MessageKind::Binary)
                } else {
                    socket.continue_message()
                };
                let mut writer = writer.expect("the message is under way");
                let written = attempt(poll_count, writer.write(piece));
                until_ready!(poll_count, writer.flush()).expect("the transport works");
                assert!(written.is_none_or(|written| written.is_ok()));
            }
            assert_eq!(sent_frames(role, &transport.written()).len(), i + 1, "a piece is sent twice");
        }
        while let Ok(writer) = socket.continue_message() {
            assert!(attempt(poll_count, writer.finish_with(b"end")).is_none_or(|finished| finished.is_ok()));
            until_ready!(poll_count, socket.flush()).expect("the transport works");
        }
        until_ready!(poll_count, socket.flush()).expect("the transport works");
        let whole = [&pieces_of_message.concat()[..], b"end"].concat();
        assert_eq!(messages(role, &transport.written()), [Message::binary(whole)], "{role:?}, {poll_count}");
    });
}

const REQUEST: &[u8] =
    b"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Everything until the transport ends, which it must.
async fn read_to_end(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await;
    end.expect("the transport ends").expect("the transport works");
    bytes
}

fn alive_task_count() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn dropped_accept_closes_the_transport_and_leaves_no_task() {
    for len in (0..REQUEST.len()).step_by(7).chain([REQUEST.len() - 1]) {
        // So small that the refusals and responses do not fit, too.
        let (ours, mut theirs) = duplex(1000);
        theirs.write_all(&REQUEST[..len]).await.unwrap();
        assert!(attempt(1 + len % 3, Acceptor::new().accept(ours)).is_none(), "{len} bytes");
        assert_eq!(read_to_end(theirs).await, b"");
        assert_eq!(alive_task_count(), 0);
    }
    // While the response, or a refusal, waits for a client that does not read.
    for request in [REQUEST, b"POST / HTTP/1.1\r\n\r\n"] {
        let (ours, mut theirs) = duplex(20);
        let mut accept = Box::pin(async move { Acceptor::new().accept(ours).await });
        let write = theirs.write_all(request);
        tokio::select! {
            biased;
            written = write => written.unwrap(),
            _ = &mut accept => unreachable!("the client reads nothing"),
        }
        assert!(attempt(3, &mut accept).is_none());
        drop(accept);
        assert!(read_to_end(theirs).await.len() <= 20);
        assert_eq!(alive_task_count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_handshake_of_a_client_closes_the_transport_and_leaves_no_task() {
    let response = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n";
    for (capacity, len) in [(20, 0), (4096, 0), (4096, 1), (4096, response.len())] {
        let (ours, mut theirs) = duplex(capacity);
        theirs.write_all(&response[..len]).await.unwrap();
        let handshake = Connector::new();
        assert!(attempt(3, handshake.handshake(ours, "ws://localhost/chat")).is_none());
        assert!(
            read_to_end(theirs).await.starts_with(b"GET /chat HTTP/1.1"[..18].split_at(18.min(capacity)).0)
        );
        assert_eq!(alive_task_count(), 0);
    }
}

#[tokio::test]
async fn dropped_connect_closes_the_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let connector = Connector::new();
    let connect = connector.connect(&url);
    let accepted = tokio::select! {
        accepted = listener.accept() => accepted.unwrap().0,
        _ = connect => unreachable!("nobody answers"),
    };
    let request = read_to_end(accepted).await;
    assert!(request.is_empty() || request.starts_with(b"GET / HTTP/1.1\r\n"));
}
