//! What has broken other implementations, over real sockets: hostile input and peers that misbehave. The rules of the
//! protocol one by one are in `protocol_errors.rs`, the closing handshake in `closing.rs`, memory in `memory.rs`.

mod support;

use sockeye_tokio_websocket::{
    Acceptor, CloseCode, CloseFrame, Config, Error, Message, Options, Role, WebSocket,
    codec::{OpCode, ProtocolError, SendError},
};
use std::{
    io,
    time::{Duration, Instant},
};
use support::{ROLES, close_frame, frame, frame_with, in_time, read_head, tcp_pair, tcp_socket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Receives until the end: the messages, and the error that was told if there was one.
async fn receive_all(socket: &mut WebSocket<TcpStream>) -> (Vec<Message>, Option<Error>) {
    let mut messages = Vec::new();
    let mut told = None;
    while let Some(message) = socket.receive().await {
        match message {
            Ok(message) => messages.push(message),
            Err(error) => assert!(told.replace(error).is_none(), "an error is told once"),
        }
    }
    (messages, told)
}

/// Sends `wire` to a socket of `role`: what it received, its error, and the code of its Close frame.
async fn fails_on(role: Role, config: Config, wire: Vec<u8>) -> (Vec<Message>, Option<Error>, Option<u16>) {
    let options = Options { config, ..Options::default() };
    let (mut socket, mut peer) = tcp_socket(role, &options).await;
    let talk = async move {
        peer.send_raw(&wire).await;
        let code = peer.receive_close_code().await;
        peer.assert_end().await;
        code
    };
    let ((messages, error), code) = in_time(async { tokio::join!(receive_all(&mut socket), talk) }).await;
    (messages, error, code)
}

/// Asserts that `wire` fails with `code` and nothing of it is received.
async fn assert_fails_with(role: Role, name: &str, wire: Vec<u8>, code: u16) -> ProtocolError {
    let (messages, error, sent) = fails_on(role, Config::default(), wire).await;
    assert_eq!(sent, Some(code), "{name}, {role:?}");
    assert_eq!(messages, [], "{name}, {role:?}");
    let Some(Error::Protocol(error)) = error else { unreachable!("{name}, {role:?}: {error:?}") };
    error
}

/// The frame with more bits in its first byte.
fn with_bits(mut frame: Vec<u8>, bits: u8) -> Vec<u8> {
    frame[0] |= bits;
    frame
}

#[tokio::test]
async fn reserved_bits_fail_every_frame_of_a_connection_without_extensions_with_1002() {
    for role in ROLES {
        for bits in [0x40, 0x20, 0x10, 0x70] {
            for opcode in [OpCode::Text, OpCode::Binary, OpCode::Ping, OpCode::Pong, OpCode::Close] {
                let wire = with_bits(frame(role, opcode, b""), bits);
                let error = assert_fails_with(role, "reserved bits", wire, 1002).await;
                assert_eq!(error, ProtocolError::ReservedBits);
            }
            let continuation = with_bits(frame(role, OpCode::Continuation, b"b"), bits);
            let wire = [frame_with(role, false, OpCode::Text, b"a"), continuation].concat();
            let error = assert_fails_with(role, "reserved bits of a continuation", wire, 1002).await;
            assert_eq!(error, ProtocolError::ReservedBits);
        }
    }
}

#[tokio::test]
async fn control_frames_above_125_bytes_and_fragmented_ones_fail_with_1002() {
    for role in ROLES {
        for opcode in [OpCode::Ping, OpCode::Pong, OpCode::Close] {
            let wire = frame(role, opcode, &[0; 126]);
            let error = assert_fails_with(role, "long control frame", wire, 1002).await;
            assert_eq!(error, ProtocolError::ControlFrameTooLong);
            let wire = frame_with(role, false, opcode, b"");
            let error = assert_fails_with(role, "fragmented control frame", wire, 1002).await;
            assert_eq!(error, ProtocolError::FragmentedControlFrame);
        }
    }
}

#[tokio::test]
async fn close_codes_that_must_not_be_sent_fail_with_1002() {
    for role in ROLES {
        for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
            let error = assert_fails_with(role, "close code", close_frame(role, code), 1002).await;
            assert_eq!(error, ProtocolError::InvalidCloseCode(code));
        }
        let wire = frame(role, OpCode::Close, b"\x03");
        assert_eq!(assert_fails_with(role, "one byte", wire, 1002).await, ProtocolError::CloseCodeIncomplete);
    }
}

#[tokio::test]
async fn close_codes_that_may_be_sent_are_answered_by_themselves() {
    for role in ROLES {
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
            let (messages, error, sent) = fails_on(role, Config::default(), close_frame(role, code)).await;
            assert!(error.is_none(), "{code}, {role:?}: {error:?}");
            assert_eq!(sent, Some(code));
            assert!(matches!(&messages[..], [Message::Close(Some(close))] if close.code.get() == code));
        }
    }
}

#[tokio::test]
async fn invalid_text_split_across_fragments_fails_with_1007_at_the_first_bad_byte() {
    // A surrogate, an overlong form, above U+10FFFF, a lone continuation, each cut at every place.
    for bad in [&b"\xED\xA0\x80"[..], b"\xC0\xAF", b"\xF4\x90\x80\x80", b"\x80", b"\xE2\x28\xA1"] {
        for cut in 0..=bad.len() {
            for role in ROLES {
                let wire = [
                    frame_with(role, false, OpCode::Text, &[b"good ", &bad[..cut]].concat()),
                    frame_with(role, false, OpCode::Continuation, &bad[cut..]),
                ]
                .concat();
                // The message never ends: it is not the end that is waited for.
                let error = assert_fails_with(role, "split text", wire, 1007).await;
                assert_eq!(error, ProtocolError::InvalidUtf8);
            }
        }
    }
}

#[tokio::test]
async fn multi_byte_characters_at_every_place_of_a_block_are_accepted() {
    for role in ROLES {
        let (mut socket, mut peer) = tcp_socket(role, &Options::default()).await;
        for padding in 0..70 {
            for character in ["é", "€", "😀"] {
                let text = format!("{}{}", "a".repeat(padding), character.repeat(20));
                peer.send(OpCode::Text, text.as_bytes()).await;
                assert_eq!(in_time(socket.receive()).await.unwrap().unwrap(), Message::text(text.clone()));
                let cut = padding + 1;
                peer.send_raw(&frame_with(role, false, OpCode::Text, &text.as_bytes()[..cut])).await;
                peer.send(OpCode::Continuation, &text.as_bytes()[cut..]).await;
                assert_eq!(in_time(socket.receive()).await.unwrap().unwrap(), Message::text(text));
            }
        }
    }
}

#[tokio::test]
async fn text_in_a_hundred_thousand_fragments_takes_linear_time() {
    for role in ROLES {
        let (mut socket, mut peer) = tcp_socket(role, &Options::default()).await;
        let piece = "é".repeat(20);
        let wire = [
            frame_with(role, false, OpCode::Text, piece.as_bytes()),
            frame_with(role, false, OpCode::Continuation, piece.as_bytes()).repeat(99_998),
            frame(role, OpCode::Continuation, piece.as_bytes()),
        ]
        .concat();
        let start = Instant::now();
        let talk = async {
            peer.send_raw(&wire).await;
        };
        let (message, ()) = in_time(async { tokio::join!(socket.receive(), talk) }).await;
        assert_eq!(message.unwrap().unwrap().payload().len(), 4_000_000);
        // Validating all of it anew for each fragment would read 200 GB.
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn endless_tiny_or_empty_fragments_fail_with_1008_by_default() {
    for role in ROLES {
        for payload in [&b""[..], b"x"] {
            let wire = [
                frame_with(role, false, OpCode::Binary, payload),
                frame_with(role, false, OpCode::Continuation, payload).repeat(131_072),
            ]
            .concat();
            let error = assert_fails_with(role, "endless fragments", wire, 1008).await;
            assert_eq!(error, ProtocolError::TooManyFragments { max: 131_072 });
        }
    }
}

#[tokio::test]
async fn message_above_the_limit_fails_with_1009_by_its_header_alone() {
    for role in ROLES {
        let mut long = frame(role, OpCode::Binary, &vec![0; (16 << 20) + 1]);
        long.truncate(14);
        let error = assert_fails_with(role, "long frame", long, 1009).await;
        assert!(matches!(error, ProtocolError::FrameTooLong { .. }), "{error}");
        let mut second = frame(role, OpCode::Continuation, &vec![0; 16 << 20]);
        second.truncate(14);
        let wire = [frame_with(role, false, OpCode::Binary, b"x"), second].concat();
        let error = assert_fails_with(role, "long message", wire, 1009).await;
        assert!(matches!(error, ProtocolError::MessageTooLong { .. }), "{error}");
    }
}

#[tokio::test]
async fn messages_before_the_bad_frame_are_answered_before_its_close_code() {
    for role in ROLES {
        let (mut socket, mut peer) = tcp_socket(role, &Options::default()).await;
        let bad = frame(role, OpCode::Continuation, b"of nothing");
        peer.send_raw(&[frame(role, OpCode::Text, b"good").repeat(3), bad].concat()).await;
        let echo = async {
            for _ in 0..3 {
                let message = socket.receive().await.unwrap().unwrap();
                socket.send(message).await.unwrap();
            }
            assert!(matches!(socket.receive().await, Some(Err(Error::Protocol(_)))));
        };
        let talk = async {
            for _ in 0..3 {
                assert_eq!(peer.receive().await, Some((OpCode::Text, b"good".to_vec())));
            }
            assert_eq!(peer.receive_close_code().await, Some(1002));
            drop(peer);
        };
        in_time(async { tokio::join!(echo, talk) }).await;
    }
}

#[tokio::test]
async fn server_that_never_closes_its_connection_is_left_at_the_deadline() {
    let options = Options { close_timeout: Duration::from_millis(300), ..Options::default() };
    let (mut socket, mut peer) = tcp_socket(Role::Client, &options).await;
    peer.send_raw(&close_frame(Role::Client, 1000)).await;
    let start = Instant::now();
    let (messages, error) = in_time(receive_all(&mut socket)).await;
    assert!(error.is_none() && messages.len() == 1, "the handshake is complete: {error:?}");
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    drop(socket);
    assert_eq!(peer.receive_close_code().await, Some(1000));
    peer.assert_end().await;
}

#[tokio::test]
async fn peer_that_stops_reading_holds_up_the_sender_in_bounded_memory_and_not_the_close() {
    for role in ROLES {
        let options = Options { close_timeout: Duration::from_millis(300), ..Options::default() };
        let (mut socket, peer) = tcp_socket(role, &options).await;
        let message = Message::binary(vec![0; 100_000]);
        let fill = async {
            loop {
                socket.feed(message.clone()).await.unwrap();
                assert!(socket.queued_len() <= 64 * 1024 + 100_020, "{}", socket.queued_len());
            }
        };
        let filled: Result<(), _> = tokio::time::timeout(Duration::from_secs(2), fill).await;
        assert!(filled.is_err());
        let start = Instant::now();
        let closed = in_time(socket.close(Some(CloseFrame::new(CloseCode::NORMAL, "")))).await;
        assert!(matches!(closed, Err(Error::CloseTimeout)), "{closed:?}");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!(socket.queued_len(), 0, "what nobody will read is not kept");
        assert!(in_time(socket.flush()).await.is_err(), "and it is not said to have left");
        assert!(matches!(socket.send("more").await, Err(Error::Send(SendError::Closed))));
        drop(peer);
    }
}

#[tokio::test]
async fn pings_of_a_peer_that_stops_reading_are_received_on() {
    for role in ROLES {
        let (mut socket, mut peer) = tcp_socket(role, &Options::default()).await;
        // Until the transport takes no more.
        let message = Message::binary(vec![0; 1 << 20]);
        while tokio::time::timeout(Duration::from_millis(300), socket.send(message.clone())).await.is_ok() {}
        let queued_len = socket.queued_len();
        for i in 0..1000u32 {
            peer.send(OpCode::Ping, &i.to_be_bytes()).await;
            let ping = in_time(socket.receive()).await.unwrap().unwrap();
            assert_eq!(ping, Message::Ping(i.to_be_bytes().to_vec().into()));
        }
        assert!(socket.queued_len() <= queued_len + 17 * 1024, "{}", socket.queued_len());
    }
}

/// What the server answers to `request`, sent in one piece by a client that then reads.
async fn answer_to(request: Vec<u8>) -> (Result<WebSocket<TcpStream>, Error>, String) {
    let (server, mut client) = tcp_pair().await;
    let ask = async {
        // A server that has seen enough stops to read.
        let _ = client.write_all(&request).await;
        let head = read_head(&mut client).await;
        drop(client);
        head
    };
    let acceptor = Acceptor::new();
    in_time(async { tokio::join!(acceptor.accept(server), ask) }).await
}

fn request(target: &[u8], header: &[u8]) -> Vec<u8> {
    let rest = &b" HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"[..];
    [b"GET ", target, rest, header, b"\r\n"].concat()
}

#[tokio::test]
async fn one_huge_header_field_is_answered_431() {
    let huge = [&b"X-Huge: "[..], &[b'x'; 1 << 20], b"\r\n"].concat();
    let (result, answer) = answer_to(request(b"/", &huge)).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert!(matches!(result, Err(Error::Handshake(_))), "{result:?}");
}

#[tokio::test]
async fn target_and_fields_with_bytes_that_are_no_text_neither_panic_nor_hang() {
    for (target, header) in [
        (&b"/\xFF\xFE"[..], &b""[..]),
        (b"/%FF%zz%", b""),
        (b"/?a=\x80", b""),
        (b"/", b"Cookie: a=\xFF\xC0\r\n"),
        (b"/", b"Origin: http://\xFF\r\n"),
        (b"/", b"Sec-WebSocket-Protocol: \xFF\r\n"),
    ] {
        let (result, answer) = answer_to(request(target, header)).await;
        match result {
            Ok(_) => assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}"),
            Err(_) => assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}"),
        }
    }
}

/// A future that is dropped in the middle of a read or a write, over a real socket.
#[tokio::test]
async fn futures_dropped_by_a_timeout_lose_no_byte_and_leave_no_half_frame() {
    for role in ROLES {
        let (mut socket, peer) = tcp_socket(role, &Options::default()).await;
        let (mut read, mut write) = peer.stream.into_split();
        let payload = vec![5; 300_000];
        let message = frame(role, OpCode::Binary, &payload);
        let sending = tokio::spawn(async move {
            for _ in 0..10 {
                for piece in message.chunks(30_001) {
                    write.write_all(piece).await?;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            write.write_all(&close_frame(role, 1000)).await?;
            Ok::<_, io::Error>(write)
        });
        let reading = tokio::spawn(async move {
            let mut wire = Vec::new();
            while read.read_buf(&mut wire).await? > 0 {
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
            Ok::<_, io::Error>(wire)
        });
        let mut received_count = 0;
        let echo = async {
            loop {
                let receive = tokio::time::timeout(Duration::from_micros(700), socket.receive());
                let Ok(received) = receive.await else { continue };
                let Some(message) = received else { break };
                let message = message.unwrap();
                if message.is_data() {
                    assert!(message.payload() == payload);
                    received_count += 1;
                    let queued = tokio::time::timeout(Duration::from_micros(700), socket.send(message)).await;
                    // Nothing else was queued, so it waits in part or has left.
                    assert!(queued.is_ok() || socket.queued_len() > 0);
                }
            }
        };
        in_time(echo).await;
        assert_eq!(received_count, 10);
        drop(socket);
        drop(in_time(sending).await.unwrap().unwrap());
        let wire = in_time(reading).await.unwrap().unwrap();
        let sent = support::messages(role, &wire);
        assert_eq!(sent.len(), 11);
        assert!(sent[..10].iter().all(|message| message.payload() == payload));
    }
}
