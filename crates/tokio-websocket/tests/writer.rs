//! Messages written piece by piece, as fragments.

mod support;

use sockeye_tokio_websocket::{
    Error, Message, MessageKind, Options, Prepared, Role, WebSocket,
    codec::{OpCode, SendError},
};
use support::{ROLES, Scripted, duplex_socket, frame, in_time, messages, poll_once, sent_frames};

fn socket(role: Role, wire: Vec<u8>, max_output_len: usize) -> WebSocket<Scripted> {
    let options = Options { max_output_len, ..Options::default() };
    WebSocket::from_handshaken(Scripted::new(wire), role, &[], &options)
}

fn is_unfinished<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Send(SendError::MessageUnfinished)))
}

fn is_closed<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Send(SendError::Closed)))
}

#[tokio::test]
async fn each_piece_is_a_fragment() {
    for role in ROLES {
        let mut socket = socket(role, vec![], 1 << 20);
        let mut writer = socket.start_message(MessageKind::Text).unwrap();
        writer.write(b"\xE2").await.unwrap();
        writer.write(b"").await.unwrap();
        writer.write(b"\x82\xAC").await.unwrap();
        writer.finish().await.unwrap();
        let mut writer = socket.start_message(MessageKind::Binary).unwrap();
        writer.write(b"first").await.unwrap();
        writer.finish_with(b"last").await.unwrap();
        assert_eq!(
            sent_frames(role, &socket.get_ref().written),
            [
                (false, OpCode::Text, b"\xE2".to_vec()),
                (false, OpCode::Continuation, b"\x82\xAC".to_vec()),
                (true, OpCode::Continuation, vec![]),
                (false, OpCode::Binary, b"first".to_vec()),
                (true, OpCode::Continuation, b"last".to_vec()),
            ]
        );
        assert_eq!(
            messages(role, &socket.get_ref().written),
            [Message::text("€"), Message::binary(&b"firstlast"[..])]
        );
    }
}

#[tokio::test]
async fn message_of_one_piece_or_none_is_one_frame() {
    for role in ROLES {
        let mut socket = socket(role, vec![], 1 << 20);
        socket.start_message(MessageKind::Text).unwrap().finish_with(b"all").await.unwrap();
        socket.start_message(MessageKind::Binary).unwrap().finish().await.unwrap();
        let _writer = socket.start_message(MessageKind::Binary).unwrap();
        socket.send("after a writer that wrote nothing").await.unwrap();
        assert_eq!(
            sent_frames(role, &socket.get_ref().written)[..2],
            [(true, OpCode::Text, b"all".to_vec()), (true, OpCode::Binary, vec![])]
        );
        assert_eq!(sent_frames(role, &socket.get_ref().written).len(), 3);
    }
}

#[tokio::test]
async fn unfinished_message_is_continued_and_nothing_else_is_sent_before() {
    for role in ROLES {
        let mut socket = socket(role, vec![], 1 << 20);
        let mut writer = socket.start_message(MessageKind::Text).unwrap();
        writer.write(b"begun").await.unwrap();
        assert!(is_unfinished(&socket.send("other").await));
        assert!(is_unfinished(&socket.feed(Message::binary(vec![0; 10_000])).await));
        assert!(is_unfinished(&socket.queue(Message::text("other"))));
        assert!(is_unfinished(&socket.start_message(MessageKind::Binary)));
        if role == Role::Server {
            assert!(is_unfinished(&socket.queue_prepared(&Prepared::text("other"))));
        }
        // §5.4: "Control frames MAY be injected in the middle of a fragmented message."
        socket.send(Message::Ping("?".into())).await.unwrap();
        let mut writer = socket.continue_message().unwrap();
        writer.write(b" and").await.unwrap();
        writer.flush().await.unwrap();
        socket.continue_message().unwrap().finish_with(b" done").await.unwrap();
        assert!(matches!(socket.continue_message(), Err(Error::Send(SendError::NoMessageToContinue))));
        socket.send("next").await.unwrap();
        assert_eq!(
            messages(role, &socket.get_ref().written),
            [Message::Ping("?".into()), Message::text("begun and done"), Message::text("next")]
        );
    }
}

#[tokio::test]
async fn pongs_leave_between_the_fragments() {
    for role in ROLES {
        let wire = frame(role, OpCode::Ping, b"?");
        let mut socket = socket(role, wire, 1 << 20);
        socket.start_message(MessageKind::Binary).unwrap().write(b"one").await.unwrap();
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::Ping("?".into()));
        let mut writer = socket.continue_message().unwrap();
        writer.write(b"two").await.unwrap();
        writer.finish().await.unwrap();
        assert_eq!(
            sent_frames(role, &socket.get_ref().written),
            [
                (false, OpCode::Binary, b"one".to_vec()),
                (true, OpCode::Pong, b"?".to_vec()),
                (false, OpCode::Continuation, b"two".to_vec()),
                (true, OpCode::Continuation, vec![]),
            ]
        );
    }
}

#[tokio::test]
async fn connection_with_an_unfinished_message_can_be_closed() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 4096, &Options::default());
        socket.start_message(MessageKind::Text).unwrap().write(b"begun").await.unwrap();
        let talk = async {
            assert_eq!(peer.receive().await, Some((OpCode::Text, b"begun".to_vec())));
            assert_eq!(peer.receive().await, Some((OpCode::Close, vec![])));
            peer.send_raw(&support::close_frame(role, 1000)).await;
            drop(peer);
        };
        let (closed, ()) = in_time(async { tokio::join!(socket.close(None), talk) }).await;
        closed.unwrap();
        assert!(is_closed(&socket.continue_message()));
        assert!(is_closed(&socket.start_message(MessageKind::Text)));
    }
}

#[tokio::test]
async fn pieces_leave_when_too_much_is_queued_and_the_writer_waits_for_a_peer_that_does_not_read() {
    for role in ROLES {
        let mut socket = socket(role, vec![], 1000);
        socket.get_mut().write_room = 0;
        let mut writer = socket.start_message(MessageKind::Binary).unwrap();
        writer.write(&[1; 600]).await.unwrap();
        writer.write(&[2; 600]).await.unwrap();
        assert!(poll_once(writer.write(&[3; 600])).is_pending());
        assert!(socket.queued_len() < 1300, "the third piece is not queued");
        socket.get_mut().write_room = usize::MAX;
        let mut writer = socket.continue_message().unwrap();
        writer.write(&[3; 600]).await.unwrap();
        writer.finish().await.unwrap();
        let expected = [[1; 600], [2; 600], [3; 600]].concat();
        assert_eq!(messages(role, &socket.get_ref().written), [Message::binary(expected)]);
    }
}

#[tokio::test]
async fn piece_after_the_peers_close_is_refused() {
    for role in ROLES {
        let mut socket = socket(role, support::close_frame(role, 1000), 1 << 20);
        socket.start_message(MessageKind::Text).unwrap().write(b"begun").await.unwrap();
        assert!(matches!(socket.receive().await, Some(Ok(Message::Close(_)))));
        assert!(is_closed(&socket.continue_message()));
        let sent = sent_frames(role, &socket.get_ref().written);
        assert_eq!(sent.len(), 2, "{sent:?}");
    }
}
