//! A transport that does as it is told: pieces of every size, pending after each, futures dropped wherever they wait.

mod support;

use proptest::prelude::*;
use sockeye_tokio_websocket::{
    CloseFrame, CloseState, Error, Message, MessageKind, Options, Prepared, Role, WebSocket, codec::OpCode,
};
use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};
use support::{AtEnd, ROLES, Scripted, close_frame, decode_sent, frame, frame_with, messages};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufStream, ReadBuf};

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Deadlines need a runtime, even if none is met.
fn in_runtime<T>(test: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _guard = runtime.enter();
    test()
}

/// A future that is dropped whenever it waits, and made anew.
fn until_ready<T>(mut attempt: impl FnMut() -> Poll<T>) -> T {
    for _ in 0..1_000_000 {
        if let Poll::Ready(output) = attempt() {
            return output;
        }
    }
    unreachable!("the operation never ends")
}

fn socket(transport: Scripted, role: Role, options: &Options) -> WebSocket<Scripted> {
    WebSocket::from_handshaken(transport, role, &[], options)
}

/// How the caller sends what it received.
#[derive(Debug, Clone, Copy)]
enum Sending {
    Feed,
    Send,
    FeedAndFlush,
}

#[derive(Debug, PartialEq)]
struct Outcome {
    received: Vec<Message>,
    /// Without Pongs.
    sent: Vec<Message>,
    shutdown: bool,
}

/// Above this many bytes in the output only the latest Ping is answered, so how many Pongs there are depends on how
/// fast the transport is (§5.5.3).
const PONG_BACKLOG_LEN: usize = 16 * 1024;

fn outcome(received: Vec<Message>, role: Role, transport: &Scripted) -> Outcome {
    let (pongs, sent): (Vec<_>, Vec<_>) = messages(role, &transport.written)
        .into_iter()
        .partition(|message| matches!(message, Message::Pong(_)));
    let mut pings = received.iter().filter(|message| matches!(message, Message::Ping(_)));
    if transport.input.len() < PONG_BACKLOG_LEN {
        assert_eq!(pongs.len(), pings.clone().count(), "every Ping is answered");
    }
    for pong in &pongs {
        assert!(pings.any(|ping| ping.payload() == pong.payload()), "Pongs answer Pings in their order");
    }
    Outcome { received, sent, shutdown: transport.shutdown }
}

/// Sends `message` by futures that are dropped whenever they wait.
fn send_cancelled(socket: &mut WebSocket<Scripted>, message: &Message, how: Sending) {
    let queued = |socket: &WebSocket<Scripted>| socket.queued_len() + socket.get_ref().written.len();
    let before = queued(socket);
    until_ready(|| {
        if queued(socket) > before {
            // The future was dropped after it queued the message whole.
            return poll_once(socket.flush());
        }
        match how {
            Sending::Feed | Sending::FeedAndFlush => poll_once(socket.feed(message.clone())),
            Sending::Send => poll_once(socket.send(message.clone())),
        }
    })
    .expect("the message is sent");
    if matches!(how, Sending::FeedAndFlush) {
        until_ready(|| poll_once(socket.flush())).expect("the transport works");
    }
}

/// Echoes `wire` by futures that are dropped whenever they wait.
fn echo_cancelled(
    role: Role,
    wire: &[u8],
    pieces: Vec<usize>,
    how: Sending,
    max_output_len: usize,
) -> Outcome {
    in_runtime(|| {
        let options = Options { max_output_len, ..Options::default() };
        let mut socket = socket(Scripted::in_pieces(wire.to_vec(), pieces, AtEnd::Eof), role, &options);
        let mut received = Vec::new();
        while let Some(message) = until_ready(|| poll_once(socket.receive())) {
            let message = message.expect("the peer is correct");
            if message.is_data() {
                send_cancelled(&mut socket, &message, how);
            }
            received.push(message);
        }
        let transport = socket.get_ref();
        assert_eq!(transport.flushed_len, transport.written.len(), "all that was written was flushed");
        outcome(received, role, transport)
    })
}

/// The same with a transport that takes and brings everything at once, by futures that are left alone.
fn echo_undisturbed(role: Role, wire: &[u8]) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let transport = Scripted { at_end: AtEnd::Eof, ..Scripted::new(wire.to_vec()) };
        let mut socket = socket(transport, role, &Options::default());
        let mut received = Vec::new();
        while let Some(message) = socket.receive().await {
            let message = message.expect("the peer is correct");
            if message.is_data() {
                socket.feed(message.clone()).await.expect("the transport works");
            }
            received.push(message);
        }
        outcome(received, role, socket.get_ref())
    })
}

/// Messages of every kind and of these lengths, then a Close.
fn conversation(receiver: Role, lengths: &[usize]) -> Vec<u8> {
    let mut wire = Vec::new();
    for &len in lengths {
        wire.extend(frame(receiver, OpCode::Binary, &vec![7; len]));
        wire.extend(frame(receiver, OpCode::Text, "é".repeat(len / 2).as_bytes()));
        wire.extend(frame_with(receiver, false, OpCode::Text, &"€".repeat(len).as_bytes()[..len]));
        wire.extend(frame(receiver, OpCode::Ping, b"are you there?"));
        wire.extend(frame(receiver, OpCode::Continuation, &"€".repeat(len).as_bytes()[len..]));
    }
    wire.extend(close_frame(receiver, 1000));
    wire
}

#[test]
fn dropped_futures_lose_no_byte_and_leave_no_half_frame() {
    const SHORT: &[usize] = &[0, 1, 125, 126, 600];
    const LONG: &[usize] = &[3000, 66_000, 1100];
    for role in ROLES {
        for (lengths, pieces, max_output_len) in [
            (SHORT, vec![1], 64 * 1024),
            (SHORT, vec![7, 1, 4096], 64 * 1024),
            (SHORT, vec![3, 100_000], 1),
            (LONG, vec![500], 1000),
            (LONG, vec![100_000, 999], 64 * 1024),
        ] {
            let wire = conversation(role, lengths);
            let expected = echo_undisturbed(role, &wire);
            assert_eq!(expected.received.len(), lengths.len() * 4 + 1);
            for how in [Sending::Feed, Sending::Send, Sending::FeedAndFlush] {
                let outcome = echo_cancelled(role, &wire, pieces.clone(), how, max_output_len);
                assert!(outcome == expected, "{role:?}, {how:?}, {pieces:?}, {max_output_len}");
            }
        }
    }
}

#[test]
fn dropped_close_goes_on_with_the_next_call() {
    for role in ROLES {
        in_runtime(|| {
            let mut wire = frame(role, OpCode::Text, b"discarded");
            wire.extend(close_frame(role, 1000));
            let mut socket =
                socket(Scripted::in_pieces(wire, vec![1], AtEnd::Eof), role, &Options::default());
            let close = || Some(CloseFrame::new(sockeye_tokio_websocket::CloseCode::NORMAL, "bye"));
            until_ready(|| poll_once(socket.close(close()))).unwrap();
            let sent = decode_sent(role, &socket.get_ref().written);
            assert_eq!(
                sent,
                [(OpCode::Close, b"\x03\xE8bye".to_vec())],
                "one Close, however often it was called"
            );
            assert!(socket.get_ref().shutdown);
        });
    }
}

#[test]
fn message_of_a_dropped_feed_is_not_queued() {
    in_runtime(|| {
        let transport = Scripted { write_room: 0, ..Scripted::new(Vec::new()) };
        let options = Options { max_output_len: 10, ..Options::default() };
        let mut socket = socket(transport, Role::Server, &options);
        assert!(poll_once(socket.feed("0123456789")).is_ready());
        let queued_len = socket.queued_len();
        assert!(poll_once(socket.feed("dropped")).is_pending());
        assert!(poll_once(socket.send("dropped")).is_pending());
        assert_eq!(socket.queued_len(), queued_len);
    });
}

#[test]
fn nothing_of_half_a_message_follows_the_error_that_ended_the_connection() {
    in_runtime(|| {
        for role in ROLES {
            for fin in [true, false] {
                let mut wire = frame_with(role, fin, OpCode::Binary, b"half a message");
                wire.truncate(wire.len() - 4);
                let transport = Scripted { at_end: AtEnd::Reset, ..Scripted::new(wire) };
                let mut socket = socket(transport, role, &Options::default());
                assert!(matches!(poll_once(socket.receive()), Poll::Ready(Some(Err(Error::Io(_))))));
                assert!(matches!(poll_once(socket.receive_chunk()), Poll::Ready(None)));
                assert_eq!(socket.close_state(), CloseState::Failed);
            }
        }
    });
}

#[test]
fn message_leaves_at_once_although_half_a_message_that_looks_like_one_is_here() {
    in_runtime(|| {
        for role in ROLES {
            // What is here of the payload is a whole frame itself; after unmasking, if there was a mask.
            let inner = frame(role, OpCode::Binary, b"inner");
            let outer = frame(role, OpCode::Binary, &[&inner[..], &[0; 20]].concat());
            let transport = Scripted::new(outer[..outer.len() - 20].to_vec());
            let mut socket = socket(transport, role, &Options::default());
            assert!(poll_once(socket.receive()).is_pending());
            assert!(matches!(poll_once(socket.send("hello")), Poll::Ready(Ok(()))));
            assert_eq!(messages(role, &socket.get_ref().written), [Message::text("hello")]);
        }
    });
}

fn any_message(receiver: Role) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0usize..3000).prop_map(move |len| frame(receiver, OpCode::Binary, &vec![1; len])),
        "\\PC{0,300}".prop_map(move |text| frame(receiver, OpCode::Text, text.as_bytes())),
        (0usize..126).prop_map(move |len| frame(receiver, OpCode::Ping, &vec![2; len])),
        ("\\PC{0,50}", any::<prop::sample::Index>()).prop_map(move |(text, cut)| {
            let cut = cut.index(text.len() + 1);
            let first = frame_with(receiver, false, OpCode::Text, &text.as_bytes()[..cut]);
            [first, frame(receiver, OpCode::Continuation, &text.as_bytes()[cut..])].concat()
        }),
    ]
}

fn any_conversation() -> impl Strategy<Value = (Role, Vec<u8>)> {
    prop_oneof![Just(Role::Server), Just(Role::Client)].prop_flat_map(|role| {
        prop::collection::vec(any_message(role), 0..20).prop_map(move |frames| {
            let mut wire = frames.concat();
            wire.extend(close_frame(role, 1000));
            (role, wire)
        })
    })
}

proptest! {
    #[test]
    fn partial_reads_and_writes_change_nothing(
        (role, wire) in any_conversation(),
        pieces in prop::collection::vec(prop_oneof![1usize..10, 1usize..2000], 1..8),
        how in prop_oneof![Just(Sending::Feed), Just(Sending::Send), Just(Sending::FeedAndFlush)],
        max_output_len in prop_oneof![1usize..100, 1usize..10_000],
    ) {
        let expected = echo_undisturbed(role, &wire);
        prop_assert_eq!(echo_cancelled(role, &wire, pieces, how, max_output_len), expected);
    }
}

#[tokio::test]
async fn messages_of_one_read_are_echoed_with_one_write() {
    for role in ROLES {
        let wire = frame(role, OpCode::Text, b"hello").repeat(32);
        let mut socket = socket(Scripted::new(wire), role, &Options::default());
        for _ in 0..32 {
            let message = socket.receive().await.unwrap().unwrap();
            socket.feed(message).await.unwrap();
            assert_eq!(socket.get_ref().write_count, 0);
        }
        assert!(poll_once(socket.receive()).is_pending());
        assert_eq!(socket.get_ref().write_count, 1);
        assert_eq!(messages(role, &socket.get_ref().written), vec![Message::text("hello"); 32]);
    }
}

#[tokio::test]
async fn pongs_of_one_read_leave_with_one_write() {
    for role in ROLES {
        let wire = frame(role, OpCode::Ping, b"ping").repeat(10);
        let mut socket = socket(Scripted::new(wire), role, &Options::default());
        while let Poll::Ready(message) = poll_once(socket.receive()) {
            assert_eq!(message.unwrap().unwrap(), Message::Ping("ping".into()));
        }
        assert_eq!(socket.get_ref().write_count, 1);
        assert_eq!(messages(role, &socket.get_ref().written), vec![Message::Pong("ping".into()); 10]);
    }
}

#[tokio::test]
async fn ping_is_answered_while_the_caller_only_receives() {
    for role in ROLES {
        let mut socket = socket(Scripted::new(frame(role, OpCode::Ping, b"?")), role, &Options::default());
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::Ping("?".into()));
        assert!(poll_once(socket.receive()).is_pending());
        assert_eq!(decode_sent(role, &socket.get_ref().written), [(OpCode::Pong, b"?".to_vec())]);
    }
}

/// Takes writes into a buffer of its own until it is flushed, as TLS and `BufStream` do.
#[tokio::test(start_paused = true)]
async fn what_was_fed_is_flushed_before_receive_waits() {
    for role in ROLES {
        let (ours, theirs) = tokio::io::duplex(4096);
        let mut socket = WebSocket::from_handshaken(BufStream::new(ours), role, &[], &Options::default());
        let mut peer = support::Peer::new(theirs, role);
        let echo = async {
            while let Some(message) = socket.receive().await {
                let message = message.unwrap();
                if message.is_data() {
                    socket.feed(message).await.unwrap();
                }
            }
        };
        let talk = async {
            for _ in 0..3 {
                peer.send(OpCode::Text, b"hello").await;
                assert_eq!(peer.receive().await, Some((OpCode::Text, b"hello".to_vec())));
            }
            peer.send_raw(&close_frame(role, 1000)).await;
            assert_eq!(peer.receive_close_code().await, Some(1000));
            peer.stream.shutdown().await.unwrap();
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), async { tokio::join!(echo, talk) })
            .await
            .expect("the echo leaves although nobody flushes it");
    }
}

#[tokio::test]
async fn prepared_and_own_messages_leave_in_order() {
    let mut socket = socket(Scripted::new(Vec::new()), Role::Server, &Options::default());
    let mut expected = Vec::new();
    for len in [1, 600, 2, 70_000, 3] {
        let text = "x".repeat(len);
        socket.queue_prepared(&Prepared::text(&text)).unwrap();
        socket.queue(Message::text(text.clone())).unwrap();
        socket.queue(Message::Ping("p".into())).unwrap();
        expected.extend([Message::text(text.clone()), Message::text(text), Message::Ping("p".into())]);
    }
    let buffer = [&[0; Prepared::HEADROOM_LEN][..], b"in place"].concat();
    socket.queue_prepared(&Prepared::from_buffer(MessageKind::Text, buffer)).unwrap();
    expected.push(Message::text("in place"));
    socket.flush().await.unwrap();
    assert_eq!(messages(Role::Server, &socket.get_ref().written), expected);
}

/// Takes nothing, without an error.
#[derive(Debug)]
struct Full;

impl AsyncRead for Full {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Full {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn write_of_nothing_is_an_error_and_not_an_endless_loop() {
    for role in ROLES {
        let is_write_zero =
            |error: &Error| matches!(error, Error::Io(e) if e.kind() == io::ErrorKind::WriteZero);
        let mut socket = WebSocket::from_handshaken(Full, role, &[], &Options::default());
        assert!(is_write_zero(&socket.send("hello").await.unwrap_err()));
        assert!(is_write_zero(&socket.flush().await.unwrap_err()));
        let end = socket.receive().await.unwrap();
        assert!(is_write_zero(&end.unwrap_err()));
        assert!(socket.receive().await.is_none());
    }
}
