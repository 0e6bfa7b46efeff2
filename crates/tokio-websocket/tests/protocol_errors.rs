//! Every rule that a peer can break, over real sockets: it is told by a Close frame with the rule's code before the
//! connection ends, and the caller gets the error.

mod support;

use sockeye_tokio_websocket::{
    Config, Error, Message, Options, Role, WebSocket,
    codec::{OpCode, ProtocolError},
};
use std::time::{Duration, Instant};
use support::{Peer, ROLES, frame, frame_with, tcp_socket};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

fn other(role: Role) -> Role {
    if role == Role::Server { Role::Client } else { Role::Server }
}

/// The bytes of a header, with the mask bit and a key where the receiver asks for it.
fn header(receiver: Role, first: u8, length: &[u8]) -> Vec<u8> {
    let masked = receiver == Role::Server;
    let mut bytes = vec![first];
    bytes.extend_from_slice(length);
    if masked {
        bytes[1] |= 0x80;
        bytes.extend_from_slice(&[1, 2, 3, 4]);
    }
    bytes
}

type Wire = fn(Role) -> Vec<u8>;

fn cases() -> Vec<(&'static str, Wire, u16, ProtocolError)> {
    use ProtocolError as E;
    vec![
        ("rsv1", |r| header(r, 0xC1, &[0]), 1002, E::ReservedBits),
        ("rsv2", |r| header(r, 0xA1, &[0]), 1002, E::ReservedBits),
        ("rsv3 on a control frame", |r| header(r, 0x99, &[0]), 1002, E::ReservedBits),
        ("opcode 3", |r| header(r, 0x83, &[0]), 1002, E::ReservedOpCode(3)),
        ("opcode 15", |r| header(r, 0x8F, &[0]), 1002, E::ReservedOpCode(15)),
        ("fragmented ping", |r| header(r, 0x09, &[0]), 1002, E::FragmentedControlFrame),
        ("ping of 126 bytes", |r| header(r, 0x89, &[126, 0, 126]), 1002, E::ControlFrameTooLong),
        (
            "close of 64 KiB",
            |r| header(r, 0x88, &[127, 0, 0, 0, 0, 0, 1, 0, 0]),
            1002,
            E::ControlFrameTooLong,
        ),
        ("16-bit length of 125", |r| header(r, 0x82, &[126, 0, 125]), 1002, E::LengthNotMinimal),
        (
            "64-bit length of 65,535",
            |r| header(r, 0x82, &[127, 0, 0, 0, 0, 0, 0, 255, 255]),
            1002,
            E::LengthNotMinimal,
        ),
        ("length of 2^63", |r| header(r, 0x82, &[127, 0x80, 0, 0, 0, 0, 0, 0, 0]), 1002, E::LengthTopBit),
        (
            "continuation of nothing",
            |r| frame(r, OpCode::Continuation, b"x"),
            1002,
            E::UnexpectedContinuation,
        ),
        (
            "new message within a message",
            |r| [frame_with(r, false, OpCode::Text, b"a"), frame(r, OpCode::Text, b"b")].concat(),
            1002,
            E::ExpectedContinuation,
        ),
        (
            "new fragmented message within a message",
            |r| {
                [frame_with(r, false, OpCode::Text, b"a"), frame_with(r, false, OpCode::Binary, b"b")]
                    .concat()
            },
            1002,
            E::ExpectedContinuation,
        ),
        ("invalid text", |r| frame(r, OpCode::Text, b"ab\xFFcd"), 1007, E::InvalidUtf8),
        (
            "text that ends in a code point",
            |r| {
                [
                    frame_with(r, false, OpCode::Text, b"\xE2\x82"),
                    frame_with(r, true, OpCode::Continuation, b""),
                ]
                .concat()
            },
            1007,
            E::InvalidUtf8,
        ),
        (
            "invalid text before the frame is complete",
            |r| {
                let mut frame = frame(r, OpCode::Text, &[&b"\xFF"[..], &[b'a'; 2000]].concat());
                frame.truncate(1000);
                frame
            },
            1007,
            E::InvalidUtf8,
        ),
        ("close of one byte", |r| frame(r, OpCode::Close, &[3]), 1002, E::CloseCodeIncomplete),
        (
            "close code 1005",
            |r| frame(r, OpCode::Close, &1005u16.to_be_bytes()),
            1002,
            E::InvalidCloseCode(1005),
        ),
        ("invalid close reason", |r| frame(r, OpCode::Close, &[3, 232, 0xFF]), 1007, E::InvalidUtf8),
        (
            "frame above the limit",
            |r| header(r, 0x82, &[127, 0, 0, 0, 0, 0, 2, 0, 0]),
            1009,
            E::FrameTooLong { len: 131_072, max: 65_536 },
        ),
        (
            "fragments above the message limit",
            |r| {
                [
                    frame_with(r, false, OpCode::Binary, &[0; 60_000]),
                    frame(r, OpCode::Continuation, &[0; 5_537]),
                ]
                .concat()
            },
            1009,
            E::MessageTooLong { len: 65_537, max: 65_536 },
        ),
        (
            "endless empty fragments",
            |r| {
                let first = frame_with(r, false, OpCode::Text, b"");
                let next = frame_with(r, false, OpCode::Continuation, b"");
                [first, next.repeat(100)].concat()
            },
            1008,
            E::TooManyFragments { max: 100 },
        ),
    ]
}

fn options() -> Options {
    let config = Config { max_fragment_count: 100, ..Config::default() }.with_max_message_len(65_536);
    Options { config, ..Options::default() }
}

/// Echoes until the end; the errors that were told on the way.
async fn echo<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocket<S>) -> Vec<Error> {
    let mut errors = Vec::new();
    while let Some(message) = socket.receive().await {
        match message {
            Ok(message) if message.is_data() => socket.feed(message).await.expect("room for the echo"),
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
    }
    errors
}

/// Awaits both ends, which must not wait for each other for ever.
async fn both<A, B>(socket: impl Future<Output = A>, peer: impl Future<Output = B>) -> (A, B) {
    timeout(Duration::from_secs(20), async { tokio::join!(socket, peer) }).await.expect("no dead-lock")
}

fn assert_told(name: &str, role: Role, errors: &[Error], expected: ProtocolError) {
    assert!(
        matches!(errors, [Error::Protocol(error)] if *error == expected),
        "{name}, {role:?}: {errors:?} instead of {expected:?}"
    );
}

#[tokio::test]
async fn every_error_is_told_by_its_close_code_before_the_connection_ends() {
    for role in ROLES {
        for (name, wire, code, error) in cases() {
            let (mut socket, mut peer) = tcp_socket(role, &options()).await;
            let talk = async {
                peer.send_raw(&wire(role)).await;
                assert_eq!(peer.receive_close_code().await, Some(code), "{name}, {role:?}");
                peer.assert_end().await;
                drop(peer);
            };
            let (errors, ()) = both(echo(&mut socket), talk).await;
            assert_told(name, role, &errors, error);
        }
    }
}

#[tokio::test]
async fn frame_masked_the_wrong_way_fails_with_1002() {
    for (role, error) in
        [(Role::Server, ProtocolError::UnmaskedClientFrame), (Role::Client, ProtocolError::MaskedServerFrame)]
    {
        let (mut socket, mut peer) = tcp_socket(role, &options()).await;
        let talk = async {
            peer.send_raw(&frame(other(role), OpCode::Text, b"hello")).await;
            assert_eq!(peer.receive_close_code().await, Some(1002), "{role:?}");
            drop(peer);
        };
        let (errors, ()) = both(echo(&mut socket), talk).await;
        assert_told("mask", role, &errors, error);
    }
}

#[tokio::test]
async fn close_code_arrives_although_more_data_is_in_flight() {
    for role in ROLES {
        for (name, wire, code, error) in cases() {
            let (mut socket, mut peer) = tcp_socket(role, &options()).await;
            let talk = async {
                let mut bytes = wire(role);
                bytes.extend(frame(role, OpCode::Binary, &[0; 1000]).repeat(2000));
                peer.send_raw(&bytes).await;
                peer.stream.shutdown().await.expect("the peer can end its half");
                assert_eq!(peer.receive_close_code().await, Some(code), "{name}, {role:?}");
                peer.assert_end().await;
            };
            let (errors, ()) = both(echo(&mut socket), talk).await;
            assert_told(name, role, &errors, error);
        }
    }
}

/// The echoes of the peer's messages fill the transport, which the peer does not read before it has written all.
#[tokio::test(start_paused = true)]
async fn peer_that_writes_all_before_it_reads_gets_the_close_code() {
    for role in ROLES {
        let (ours, theirs) = tokio::io::duplex(256);
        let mut socket = WebSocket::from_handshaken(ours, role, &[], &options());
        let mut peer = Peer::new(theirs, role);
        let talk = async {
            let mut bytes = frame(role, OpCode::Text, &[b'a'; 100]).repeat(20);
            bytes.extend(frame(role, OpCode::Text, b"\xFF"));
            bytes.extend(frame(role, OpCode::Binary, &[0; 10_000]));
            peer.send_raw(&bytes).await;
            for _ in 0..20 {
                assert_eq!(peer.receive().await, Some((OpCode::Text, vec![b'a'; 100])));
            }
            assert_eq!(peer.receive_close_code().await, Some(1007));
            drop(peer);
        };
        let (errors, ()) = both(echo(&mut socket), talk).await;
        assert_told("text", role, &errors, ProtocolError::InvalidUtf8);
    }
}

#[tokio::test]
async fn messages_before_the_error_are_delivered() {
    for role in ROLES {
        let (mut socket, mut peer) = tcp_socket(role, &options()).await;
        let bytes = [frame(role, OpCode::Text, b"good"), frame(role, OpCode::Text, b"\xFF")].concat();
        peer.send_raw(&bytes).await;
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("good"));
        let (error, code) = tokio::join!(socket.receive(), async move { peer.receive_close_code().await });
        assert!(matches!(error, Some(Err(Error::Protocol(ProtocolError::InvalidUtf8)))), "{error:?}");
        assert_eq!(code, Some(1007));
        assert!(socket.receive().await.is_none(), "an error is told once");
        assert!(matches!(socket.send("more").await, Err(Error::Send(_))));
    }
}

#[tokio::test]
async fn peer_that_goes_on_sending_after_its_error_is_dropped_at_the_deadline() {
    for role in ROLES {
        let options = Options { close_timeout: Duration::from_millis(200), ..options() };
        let (mut socket, mut peer) = tcp_socket(role, &options).await;
        let flood = tokio::spawn(async move {
            let bytes = frame(other(role), OpCode::Binary, &[0; 10_000]);
            while peer.stream.write_all(&bytes).await.is_ok() {}
        });
        let start = Instant::now();
        let errors = echo(&mut socket).await;
        assert!(matches!(errors[..], [Error::Protocol(_)]), "{errors:?}");
        assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        drop(socket);
        flood.await.unwrap();
    }
}
