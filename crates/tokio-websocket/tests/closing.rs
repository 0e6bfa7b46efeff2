//! The closing handshake and the end of the transport, each role against a raw peer.

mod support;

use sockeye_tokio_websocket::{
    CloseCode, CloseFrame, Error, Message, Options, Role, WebSocket,
    codec::{CloseState, OpCode, ProtocolError, SendError},
};
use std::time::{Duration, Instant};
use support::{AtEnd, Peer, ROLES, Scripted, close_frame, frame, frame_with, tcp_socket, tcp_sockets};
use tokio::io::AsyncWriteExt;

fn duplex_socket(role: Role) -> (WebSocket<tokio::io::DuplexStream>, Peer<tokio::io::DuplexStream>) {
    let (ours, theirs) = tokio::io::duplex(4096);
    (WebSocket::from_handshaken(ours, role, &[], &Options::default()), Peer::new(theirs, role))
}

fn normal() -> Option<CloseFrame> {
    Some(CloseFrame::new(CloseCode::NORMAL, "done"))
}

#[tokio::test]
async fn close_of_either_role_ends_both_without_an_error() {
    for server_closes in [true, false] {
        let (mut server, mut client) = tcp_sockets().await;
        let (closing, receiving) =
            if server_closes { (&mut server, &mut client) } else { (&mut client, &mut server) };
        let receive = async {
            assert_eq!(receiving.receive().await.unwrap().unwrap(), Message::Close(normal()));
            assert!(receiving.receive().await.is_none());
        };
        let (closed, ()) = tokio::join!(closing.close(normal()), receive);
        closed.unwrap();
        assert!(closing.receive().await.is_none());
        assert_eq!(server.close_state(), CloseState::Closed);
        assert_eq!(client.close_state(), CloseState::Closed);
    }
}

#[tokio::test]
async fn close_of_both_at_the_same_time_ends_both_without_an_error() {
    let (mut server, mut client) = tcp_sockets().await;
    let (server, client) = tokio::join!(server.close(normal()), client.close(normal()));
    server.unwrap();
    client.unwrap();
}

#[tokio::test]
async fn close_is_answered_with_its_code() {
    for role in ROLES {
        let (mut socket, mut peer) = tcp_socket(role, &Options::default()).await;
        peer.send_raw(&close_frame(role, 4321)).await;
        let receive = async {
            let close = socket.receive().await.unwrap().unwrap();
            assert!(matches!(&close, Message::Close(Some(frame)) if frame.code.get() == 4321), "{close:?}");
            assert!(socket.receive().await.is_none());
        };
        let answer = async {
            assert_eq!(peer.receive_close_code().await, Some(4321));
            peer.assert_end().await;
            drop(peer);
        };
        tokio::join!(receive, answer);
    }
}

#[tokio::test]
async fn caller_who_stops_at_the_close_has_answered_it() {
    for role in ROLES {
        let (mut socket, mut peer) = tcp_socket(role, &Options::default()).await;
        peer.send_raw(&close_frame(role, 1001)).await;
        assert!(matches!(socket.receive().await, Some(Ok(Message::Close(_)))));
        drop(socket);
        assert_eq!(peer.receive_close_code().await, Some(1001));
    }
}

#[tokio::test]
async fn server_closes_the_transport_first() {
    let (mut socket, mut peer) = tcp_socket(Role::Server, &Options::default()).await;
    peer.send_raw(&close_frame(Role::Server, 1000)).await;
    assert!(matches!(socket.receive().await, Some(Ok(Message::Close(_)))));
    assert!(socket.receive().await.is_none());
    assert_eq!(peer.receive_close_code().await, Some(1000));
    peer.assert_end().await;
}

#[tokio::test]
async fn data_after_close_is_ignored() {
    for role in ROLES {
        let (mut socket, mut peer) = tcp_socket(role, &Options::default()).await;
        let mut bytes = frame(role, OpCode::Text, b"before");
        bytes.extend(close_frame(role, 1000));
        bytes.extend(frame(role, OpCode::Text, b"after"));
        bytes.extend([0xFF; 1000]);
        peer.send_raw(&bytes).await;
        peer.stream.shutdown().await.unwrap();
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("before"));
        assert!(matches!(socket.receive().await, Some(Ok(Message::Close(_)))));
        assert!(socket.receive().await.is_none());
        assert_eq!(peer.receive_close_code().await, Some(1000));
    }
}

#[tokio::test]
async fn messages_between_the_own_close_and_the_peers_are_received() {
    for role in ROLES {
        let (mut socket, mut peer) = tcp_socket(role, &Options::default()).await;
        socket.start_close(normal()).unwrap();
        assert!(matches!(socket.send("more").await, Err(Error::Send(SendError::Closed))));
        let mut bytes = frame(role, OpCode::Text, b"late");
        bytes.extend(close_frame(role, 1000));
        peer.send_raw(&bytes).await;
        peer.stream.shutdown().await.unwrap();
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("late"));
        assert!(matches!(socket.receive().await, Some(Ok(Message::Close(_)))));
        assert!(socket.receive().await.is_none());
        assert_eq!(peer.receive_close_code().await, Some(1000));
        peer.assert_end().await;
    }
}

#[tokio::test]
async fn peer_that_never_answers_close_is_dropped_at_the_deadline() {
    for role in ROLES {
        let options = Options { close_timeout: Duration::from_millis(200), ..Options::default() };
        let (mut socket, mut peer) = tcp_socket(role, &options).await;
        let start = Instant::now();
        let result = socket.close(normal()).await;
        assert!(matches!(result, Err(Error::CloseTimeout)), "{result:?}");
        assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
        assert!(socket.receive().await.is_none(), "an error is told once");
        drop(socket);
        assert_eq!(peer.receive_close_code().await, Some(1000));
        peer.assert_end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn peer_that_never_answers_close_is_given_five_seconds() {
    for role in ROLES {
        let (mut socket, _peer) = duplex_socket(role);
        let start = tokio::time::Instant::now();
        let result = socket.close(None).await;
        assert!(matches!(result, Err(Error::CloseTimeout)), "{result:?}");
        assert_eq!(start.elapsed().as_secs(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn peer_that_sends_for_ever_instead_of_its_close_is_dropped_at_the_deadline() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role);
        let flood = tokio::spawn(async move {
            let bytes = frame(role, OpCode::Text, b"still here");
            while peer.stream.write_all(&bytes).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let result = socket.close(None).await;
        assert!(matches!(result, Err(Error::CloseTimeout)), "{result:?}");
        drop(socket);
        flood.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn peer_that_never_reads_does_not_hold_up_the_close() {
    for role in ROLES {
        let (ours, _peer) = tokio::io::duplex(16);
        let mut socket = WebSocket::from_handshaken(ours, role, &[], &Options::default());
        socket.queue(Message::binary(vec![0; 100_000])).unwrap();
        let start = tokio::time::Instant::now();
        let result = socket.close(None).await;
        assert!(matches!(result, Err(Error::CloseTimeout)), "{result:?}");
        assert_eq!(start.elapsed().as_secs(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn peer_that_never_closes_the_transport_is_dropped_at_the_deadline() {
    let (mut client, mut peer) = duplex_socket(Role::Client);
    peer.send_raw(&close_frame(Role::Client, 1000)).await;
    let start = tokio::time::Instant::now();
    client.close(normal()).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 5, "the client waits for the server to go first");

    let (mut server, mut peer) = duplex_socket(Role::Server);
    peer.send_raw(&close_frame(Role::Server, 1000)).await;
    let start = tokio::time::Instant::now();
    server.close(normal()).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 0, "the server goes first");
}

#[tokio::test]
async fn peer_that_vanishes_is_an_error() {
    for role in ROLES {
        for bytes in [
            vec![],
            frame(role, OpCode::Ping, b""),
            frame(role, OpCode::Text, b"half")[..5].to_vec(),
            frame_with(role, false, OpCode::Text, b"first of two"),
        ] {
            let (mut socket, mut peer) = tcp_socket(role, &Options::default()).await;
            peer.send_raw(&bytes).await;
            peer.stream.shutdown().await.unwrap();
            let mut end = socket.receive().await;
            if matches!(end, Some(Ok(Message::Ping(_)))) {
                end = socket.receive().await;
            }
            assert!(
                matches!(end, Some(Err(Error::Protocol(ProtocolError::ClosedWithoutHandshake)))),
                "{role:?} {bytes:?}: {end:?}"
            );
            assert!(socket.receive().await.is_none(), "an error is told once");
            assert!(matches!(socket.send("more").await, Err(Error::Send(SendError::Closed))));
        }
    }
}

#[tokio::test]
async fn reset_by_the_peer_is_a_transport_error() {
    for role in ROLES {
        let (mut socket, mut peer) = tcp_socket(role, &Options::default()).await;
        // Closing a socket with unread data resets it.
        socket.send("unread").await.unwrap();
        peer.send(OpCode::Text, b"last words").await;
        peer.stream.readable().await.unwrap();
        drop(peer);
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("last words"));
        let end = socket.receive().await;
        assert!(matches!(end, Some(Err(Error::Io(_)))), "{end:?}");
        assert!(socket.receive().await.is_none(), "an error is told once");
    }
}

#[tokio::test]
async fn what_the_peer_sent_before_it_went_is_received_although_writing_fails() {
    for role in ROLES {
        let mut bytes = frame(role, OpCode::Text, b"last words");
        bytes.extend(close_frame(role, 1012));
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(&bytes).await.unwrap();
        drop(theirs);
        let mut socket = WebSocket::from_handshaken(ours, role, &[], &Options::default());
        assert!(matches!(socket.send("too late").await, Err(Error::Io(_))));
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("last words"));
        let close = socket.receive().await;
        assert!(
            matches!(&close, Some(Ok(Message::Close(Some(frame)))) if frame.code == CloseCode::SERVICE_RESTART),
            "{close:?}"
        );
        assert!(socket.receive().await.is_none());
    }
}

#[tokio::test]
async fn failing_read_is_a_transport_error_after_what_was_read() {
    for role in ROLES {
        let transport = Scripted::in_pieces(frame(role, OpCode::Text, b"whole"), vec![3], AtEnd::Reset);
        let mut socket = WebSocket::from_handshaken(transport, role, &[], &Options::default());
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("whole"));
        let end = socket.receive().await;
        assert!(
            matches!(&end, Some(Err(Error::Io(e))) if e.kind() == std::io::ErrorKind::ConnectionReset),
            "{end:?}"
        );
        assert!(socket.receive().await.is_none());
    }
}

#[tokio::test]
async fn close_after_the_end_is_fine() {
    for role in ROLES {
        let (mut socket, mut peer) = tcp_socket(role, &Options::default()).await;
        peer.send_raw(&close_frame(role, 1000)).await;
        peer.stream.shutdown().await.unwrap();
        while let Some(message) = socket.receive().await {
            message.unwrap();
        }
        socket.close(normal()).await.unwrap();
        socket.close(None).await.unwrap();
    }
}

#[tokio::test]
async fn close_reason_above_123_bytes_is_refused_and_the_connection_lives() {
    let (mut server, mut client) = tcp_sockets().await;
    let result = server.close(Some(CloseFrame::new(CloseCode::NORMAL, "x".repeat(124)))).await;
    assert!(
        matches!(result, Err(Error::Send(SendError::ControlPayloadTooLong { len: 124, max: 123 }))),
        "{result:?}"
    );
    server.send("alive").await.unwrap();
    assert_eq!(client.receive().await.unwrap().unwrap(), Message::text("alive"));
}
