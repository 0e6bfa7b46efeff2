//! When what was sent leaves: alone at once, in a batch with one write.

mod support;

use sockeye_tokio_websocket::{
    CloseFrame, Message, Options, Role, WebSocket,
    codec::{CloseCode, OpCode},
};
use support::{ROLES, Scripted, duplex_socket, frame, frame_with, messages, poll_once};

fn socket(role: Role, wire: Vec<u8>) -> WebSocket<Scripted> {
    WebSocket::from_handshaken(Scripted::new(wire), role, &[], &Options::default())
}

/// Receives one message and sends it back; how many writes there were since the start.
async fn echo_one(socket: &mut WebSocket<Scripted>) -> usize {
    let message = socket.receive().await.expect("open").expect("correct");
    socket.send(message).await.expect("open");
    socket.get_ref().write_count
}

#[tokio::test]
async fn loop_of_receive_and_send_makes_one_write_per_batch() {
    for role in ROLES {
        for count in [2usize, 32, 1000] {
            let mut socket = socket(role, frame(role, OpCode::Text, b"hello").repeat(count));
            for i in 1..count {
                assert_eq!(echo_one(&mut socket).await, 0, "{role:?}: message {i} of {count} waits");
            }
            assert_eq!(echo_one(&mut socket).await, 1, "the last of {count} takes all along");
            assert_eq!(socket.queued_len(), 0);
            // And so does the next batch.
            let batch = frame(role, OpCode::Binary, b"again").repeat(count);
            socket.get_mut().input.extend(batch);
            for _ in 1..count {
                assert_eq!(echo_one(&mut socket).await, 1);
            }
            assert_eq!(echo_one(&mut socket).await, 2);
            assert_eq!(messages(role, &socket.get_ref().written).len(), 2 * count);
        }
    }
}

#[tokio::test]
async fn lone_message_leaves_at_once() {
    for role in ROLES {
        let mut socket = socket(role, frame(role, OpCode::Text, b"hello"));
        assert_eq!(echo_one(&mut socket).await, 1);
        socket.send("unasked").await.unwrap();
        assert_eq!(socket.get_ref().write_count, 2);
        assert_eq!(socket.get_ref().flushed_len, socket.get_ref().written.len());
    }
}

#[tokio::test]
async fn part_of_the_next_frame_does_not_hold_back_the_reply() {
    for role in ROLES {
        for next in [frame(role, OpCode::Text, b"next"), frame(role, OpCode::Binary, &[0x81; 300])] {
            for len in 1..next.len() {
                let wire = [frame(role, OpCode::Text, b"hello"), next[..len].to_vec()].concat();
                let mut socket = socket(role, wire);
                assert_eq!(echo_one(&mut socket).await, 1, "{role:?}: {len} bytes of the next frame");
            }
        }
    }
}

#[tokio::test]
async fn fragment_alone_does_not_hold_back_the_reply() {
    for role in ROLES {
        let first = frame_with(role, false, OpCode::Text, b"first of two");
        let mut socket = socket(role, [frame(role, OpCode::Text, b"hello"), first].concat());
        assert_eq!(echo_one(&mut socket).await, 1);
        // Nor a fragment between two.
        socket.get_mut().input.extend(frame(role, OpCode::Ping, b"?"));
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::Ping("?".into()));
        socket.get_mut().input.extend(frame_with(role, false, OpCode::Continuation, b""));
        assert!(poll_once(socket.receive()).is_pending());
        let write_count = socket.get_ref().write_count;
        socket.send("unasked").await.unwrap();
        assert_eq!(socket.get_ref().write_count, write_count + 1);
    }
}

/// The payload of a frame that is under way looks like frames of its own.
#[tokio::test]
async fn payload_that_looks_like_a_frame_does_not_hold_back_a_message() {
    for role in ROLES {
        // Unmasked `82 00` and masked with the key of the tests alike: an empty message, over and over.
        let inner = frame(role, OpCode::Binary, b"");
        let mut payload = inner.repeat(1000);
        if role == Role::Server {
            // What lies in the input is unmasked already.
            payload.truncate(5000);
        }
        for opcode in [OpCode::Binary, OpCode::Text] {
            let payload =
                if opcode == OpCode::Text { b"\x01\x02\x09\x00".repeat(1000) } else { payload.clone() };
            let mut wire = frame(role, opcode, &payload);
            wire.truncate(1000);
            let mut socket = socket(role, wire);
            assert!(poll_once(socket.receive()).is_pending());
            socket.send("meanwhile").await.unwrap();
            assert_eq!(socket.get_ref().write_count, 1, "{role:?}, {opcode:?}");
        }
    }
}

#[tokio::test]
async fn flush_takes_the_replies_along_before_the_batch_is_done() {
    for role in ROLES {
        let mut socket = socket(role, frame(role, OpCode::Text, b"hello").repeat(3));
        assert_eq!(echo_one(&mut socket).await, 0);
        assert_eq!(echo_one(&mut socket).await, 0);
        socket.flush().await.unwrap();
        assert_eq!(socket.get_ref().write_count, 1);
        assert_eq!(messages(role, &socket.get_ref().written).len(), 2);
        assert_eq!(echo_one(&mut socket).await, 2);
    }
}

#[tokio::test]
async fn error_in_the_next_frame_does_not_lose_the_reply() {
    for role in ROLES {
        let bad_frames = [
            (vec![0xB1, 0x80], CloseCode::PROTOCOL_ERROR),
            (frame(role, OpCode::Text, b"\xFF"), CloseCode::INVALID_PAYLOAD),
            (frame(role, OpCode::Continuation, b"of nothing"), CloseCode::PROTOCOL_ERROR),
            // Masked the wrong way.
            (vec![0x82, if role == Role::Server { 0 } else { 0x80 }, 0, 0, 0, 0], CloseCode::PROTOCOL_ERROR),
        ];
        for (bad, code) in bad_frames {
            let mut socket = socket(role, [frame(role, OpCode::Text, b"good"), bad.clone()].concat());
            echo_one(&mut socket).await;
            let _ = poll_once(socket.receive());
            assert_eq!(
                messages(role, &socket.get_ref().written),
                [Message::text("good"), Message::Close(Some(CloseFrame::new(code, "")))],
                "{role:?}, {bad:?}"
            );
        }
    }
}

#[tokio::test]
async fn replies_that_wait_for_a_batch_leave_with_the_close() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 4096, &Options::default());
        peer.send_raw(&frame(role, OpCode::Text, b"hello").repeat(2)).await;
        let message = socket.receive().await.unwrap().unwrap();
        socket.send(message).await.unwrap();
        let talk = async {
            assert_eq!(peer.receive().await, Some((OpCode::Text, b"hello".to_vec())));
            assert_eq!(peer.receive().await, Some((OpCode::Close, vec![])));
            peer.send_raw(&support::close_frame(role, 1000)).await;
            drop(peer);
        };
        let (closed, ()) = tokio::join!(socket.close(None), talk);
        closed.unwrap();
    }
}

#[tokio::test]
async fn batch_that_fills_the_output_leaves_before_its_end() {
    for role in ROLES {
        let options = Options { max_output_len: 1000, ..Options::default() };
        let wire = frame(role, OpCode::Binary, &[1; 90]).repeat(100);
        let mut socket = WebSocket::from_handshaken(Scripted::new(wire), role, &[], &options);
        for _ in 0..100 {
            echo_one(&mut socket).await;
            assert!(socket.queued_len() <= 1100, "{role:?}: {}", socket.queued_len());
        }
        assert!((8..=12).contains(&socket.get_ref().write_count), "{}", socket.get_ref().write_count);
    }
}
