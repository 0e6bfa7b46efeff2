//! Messages that are borrowed where they arrived, and replies to them.

mod support;

use sockeye_tokio_websocket::{
    CloseCode, CloseFrame, Error, Event, Keepalive, Message, Options, Prepared, Role, WebSocket,
    codec::{OpCode, ProtocolError, SendError},
};
use std::{future::poll_fn, time::Duration};
use support::{Peer, ROLES, Scripted, close_frame, duplex_socket, frame, in_time, messages, poll_once};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::Instant,
};

fn socket(role: Role, wire: Vec<u8>) -> WebSocket<Scripted> {
    WebSocket::from_handshaken(Scripted::new(wire), role, &[], &Options::default())
}

/// Echoes until the end, and tells it.
async fn echo<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocket<S>) -> Result<(), Error> {
    while let Some(received) = socket.receive_borrowed().await {
        let (event, mut replies) = received?;
        replies.echo(&event)?;
    }
    Ok(())
}

#[tokio::test]
async fn every_kind_of_reply_leaves_in_order_with_one_write() {
    for role in ROLES {
        let mut wire = frame(role, OpCode::Text, b"text");
        wire.extend(frame(role, OpCode::Binary, b"binary"));
        wire.extend(frame(role, OpCode::Ping, b"ping"));
        let mut socket = socket(role, wire);
        let large = Message::binary(vec![7; 10_000]);
        let mut expected = Vec::new();

        let (event, mut replies) = socket.receive_borrowed().await.unwrap().unwrap();
        assert_eq!(event, Event::Text("text"));
        replies.echo(&event).unwrap();
        replies.text("own").unwrap();
        replies.message(&large).unwrap();
        expected.extend([Message::text("text"), Message::text("own"), large]);
        if role == Role::Server {
            replies.prepared(&Prepared::text("prepared")).unwrap();
            expected.push(Message::text("prepared"));
        }

        let (event, mut replies) = socket.receive_borrowed().await.unwrap().unwrap();
        assert_eq!(event, Event::Binary(b"binary"));
        replies.echo(&event).unwrap();
        replies.binary(&[1, 2]).unwrap();
        assert!(replies.queued_len() > 10_000);
        expected.extend([Message::binary(&b"binary"[..]), Message::binary(&[1u8, 2][..])]);

        let (event, mut replies) = socket.receive_borrowed().await.unwrap().unwrap();
        assert_eq!(event, Event::Ping(b"ping"));
        replies.echo(&event).unwrap();
        expected.push(Message::Pong("ping".into()));

        assert_eq!(socket.get_ref().write_count, 0, "nothing leaves before the socket waits");
        assert!(poll_once(socket.receive_borrowed()).is_pending());
        assert_eq!(messages(role, &socket.get_ref().written), expected);
        assert_eq!(socket.queued_len(), 0);
    }
}

#[tokio::test]
async fn close_is_started_by_a_reply_and_nothing_follows_it() {
    for role in ROLES {
        let mut wire = frame(role, OpCode::Text, b"quit");
        wire.extend(frame(role, OpCode::Text, b"late"));
        wire.extend(close_frame(role, 1000));
        let mut socket = socket(role, wire);
        let (_, mut replies) = socket.receive_borrowed().await.unwrap().unwrap();
        replies.text("bye").unwrap();
        replies.start_close(Some(CloseFrame::new(CloseCode::NORMAL, "quit"))).unwrap();
        assert!(matches!(replies.text("more"), Err(Error::Send(SendError::Closed))));
        assert!(matches!(replies.message("more"), Err(Error::Send(SendError::Closed))));
        assert!(matches!(replies.start_close(None), Err(Error::Send(SendError::Closed))));
        let (event, _) = socket.receive_borrowed().await.unwrap().unwrap();
        assert_eq!(event, Event::Text("late"));
        let (event, _) = socket.receive_borrowed().await.unwrap().unwrap();
        assert!(matches!(event, Event::Close(Some(_))));
        let _ = poll_once(socket.receive_borrowed());
        let close = Message::Close(Some(CloseFrame::new(CloseCode::NORMAL, "quit")));
        assert_eq!(messages(role, &socket.get_ref().written), [Message::text("bye"), close]);
    }
}

#[tokio::test]
#[should_panic(expected = "masked")]
async fn prepared_reply_of_a_client_panics() {
    let mut socket = socket(Role::Client, frame(Role::Client, OpCode::Text, b"x"));
    let (_, mut replies) = socket.receive_borrowed().await.unwrap().unwrap();
    let _ = replies.prepared(&Prepared::text("unmasked"));
}

#[tokio::test]
async fn replies_before_a_protocol_error_leave_before_its_close_code() {
    for role in ROLES {
        let wire = [frame(role, OpCode::Text, b"good"), frame(role, OpCode::Text, b"\xFF")].concat();
        let mut socket = socket(role, wire);
        let (event, mut replies) = socket.receive_borrowed().await.unwrap().unwrap();
        replies.echo(&event).unwrap();
        let _ = poll_once(socket.receive_borrowed());
        let code = CloseFrame::new(CloseCode::INVALID_PAYLOAD, "");
        assert_eq!(
            messages(role, &socket.get_ref().written),
            [Message::text("good"), Message::Close(Some(code))]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn receiver_waits_while_the_peer_does_not_read_its_replies() {
    for role in ROLES {
        let options = Options { max_output_len: 10_000, ..Options::default() };
        let (mut socket, peer) = duplex_socket(role, 1000, &options);
        let (read, mut write) = tokio::io::split(peer.stream);
        let flood = tokio::spawn(async move {
            for i in 0..1000u32 {
                let payload = [&i.to_be_bytes()[..], &[b'x'; 96]].concat();
                write.write_all(&frame(role, OpCode::Binary, &payload)).await.unwrap();
            }
            write.write_all(&close_frame(role, 1000)).await.unwrap();
            write
        });
        // The peer reads nothing: the socket stops to receive, and holds no more than it may.
        let mut received_count = 0;
        loop {
            let waits = tokio::time::timeout(Duration::from_secs(1), socket.receive_borrowed()).await;
            let Ok(received) = waits else { break };
            let (event, mut replies) = received.unwrap().unwrap();
            replies.echo(&event).unwrap();
            received_count += 1;
            assert!(replies.queued_len() <= 10_000 + 200, "{role:?}: {}", replies.queued_len());
        }
        assert!((90..200).contains(&received_count), "{role:?}: {received_count}");
        assert!(!flood.is_finished(), "the peer is held up");
        // Once it reads, everything flows and nothing is lost.
        let mut peer = Peer::new(read_only(read), role);
        let talk = async {
            for i in 0..1000u32 {
                let (opcode, payload) = peer.receive().await.unwrap();
                assert_eq!((opcode, &payload[..4]), (OpCode::Binary, &i.to_be_bytes()[..]));
            }
            assert_eq!(peer.receive_close_code().await, Some(1000));
            drop((flood.await.unwrap(), peer));
        };
        let (end, ()) = in_time(async { tokio::join!(echo(&mut socket), talk) }).await;
        end.unwrap();
    }
}

fn read_only<R: AsyncRead + Unpin>(read: R) -> tokio::io::Join<R, tokio::io::Sink> {
    tokio::io::join(read, tokio::io::sink())
}

/// Fills the output with replies that the peer never reads.
async fn stuck(
    role: Role,
    options: &Options,
) -> (WebSocket<tokio::io::DuplexStream>, Peer<tokio::io::DuplexStream>) {
    let (mut socket, mut peer) = duplex_socket(role, 1000, options);
    for _ in 0..20 {
        peer.send(OpCode::Binary, &[0; 500]).await;
        let (event, mut replies) = socket.receive_borrowed().await.expect("open").expect("correct");
        replies.echo(&event).expect("open");
        if socket.queued_len() >= options.max_output_len {
            return (socket, peer);
        }
    }
    unreachable!("the output is full after twenty messages")
}

#[tokio::test(start_paused = true)]
async fn peer_that_never_reads_its_replies_is_found_dead_by_the_keepalive() {
    for role in ROLES {
        let keepalive = Keepalive { interval: Duration::from_secs(3), timeout: Duration::from_secs(4) };
        let options = Options { max_output_len: 5000, keepalive: Some(keepalive), ..Options::default() };
        let (mut socket, _peer) = stuck(role, &options).await;
        let start = Instant::now();
        let end = in_time(echo(&mut socket)).await;
        assert!(matches!(end, Err(Error::KeepaliveTimeout)), "{end:?}");
        assert_eq!(start.elapsed().as_secs(), 7);
        assert!(in_time(socket.receive_borrowed()).await.is_none(), "an error is told once");
        assert!(matches!(in_time(socket.flush()).await, Err(Error::Io(_))), "nobody waits for it any more");
    }
}

#[tokio::test(start_paused = true)]
async fn peer_that_reads_its_replies_slowly_is_alive() {
    for role in ROLES {
        let keepalive = Keepalive { interval: Duration::from_secs(3), timeout: Duration::from_secs(4) };
        let options = Options { max_output_len: 5000, keepalive: Some(keepalive), ..Options::default() };
        let (mut socket, mut peer) = stuck(role, &options).await;
        let read = async {
            // While the socket waits for us it does not read, so no Pong of ours could reach it.
            for _ in 0..8 {
                tokio::time::sleep(Duration::from_secs(3)).await;
                if let Some((OpCode::Ping, payload)) = peer.receive().await {
                    peer.send(OpCode::Pong, &payload).await;
                }
            }
            peer.send_raw(&close_frame(role, 1000)).await;
            while peer.receive().await.is_some() {}
            drop(peer);
        };
        let (end, ()) = in_time(async {
            tokio::join!(
                async {
                    let end = echo(&mut socket).await;
                    drop(socket);
                    end
                },
                read
            )
        })
        .await;
        end.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn peer_that_never_reads_its_replies_is_closed_when_idle() {
    for role in ROLES {
        let options = Options {
            max_output_len: 5000,
            idle_timeout: Some(Duration::from_secs(9)),
            ..Options::default()
        };
        let (mut socket, _peer) = stuck(role, &options).await;
        let start = Instant::now();
        let end = in_time(echo(&mut socket)).await;
        assert!(matches!(end, Err(Error::IdleTimeout)), "{end:?}");
        assert_eq!(start.elapsed().as_secs(), 9 + 5);
        assert!(in_time(socket.receive_borrowed()).await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn close_with_replies_that_the_peer_never_reads_meets_its_deadline() {
    for role in ROLES {
        let options = Options { max_output_len: 5000, ..Options::default() };
        let (mut socket, _peer) = stuck(role, &options).await;
        socket.start_close(None).unwrap();
        let start = Instant::now();
        let end = in_time(echo(&mut socket)).await;
        assert!(matches!(end, Err(Error::CloseTimeout)), "{end:?}");
        assert_eq!(start.elapsed().as_secs(), 5);
    }
}

#[tokio::test]
async fn events_are_passed_over_until_one_is_taken() {
    for role in ROLES {
        let mut wire = frame(role, OpCode::Text, b"one");
        wire.extend(frame(role, OpCode::Ping, b"?"));
        wire.extend(frame(role, OpCode::Binary, b"two"));
        wire.extend(frame(role, OpCode::Text, b"three"));
        let mut socket = socket(role, wire);
        let mut seen = 0;
        let taken = poll_fn(|cx| {
            socket.poll_receive_with(cx, |event| {
                seen += 1;
                if let Event::Binary(bytes) = event { Some(bytes.to_vec()) } else { None }
            })
        })
        .await;
        assert_eq!(taken.unwrap().unwrap(), b"two");
        assert_eq!(seen, 3);
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("three"));
        assert!(poll_once(socket.receive()).is_pending());
        assert_eq!(messages(role, &socket.get_ref().written), [Message::Pong("?".into())]);
    }
}

#[tokio::test]
async fn error_of_the_peer_reaches_who_takes_events() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 4096, &Options::default());
        peer.send(OpCode::Continuation, b"of nothing").await;
        let take = poll_fn(|cx| socket.poll_receive_with(cx, |_| Some(())));
        let talk = async {
            assert_eq!(peer.receive_close_code().await, Some(1002));
            drop(peer);
        };
        let (end, ()) = in_time(async { tokio::join!(take, talk) }).await;
        assert!(matches!(end, Some(Err(Error::Protocol(ProtocolError::UnexpectedContinuation)))), "{end:?}");
        assert!(poll_fn(|cx| socket.poll_receive_with(cx, |_| Some(()))).await.is_none());
    }
}
