//! Messages received in chunks: of any length, in bounded memory.

mod support;

use sockeye_tokio_websocket::{
    Chunk, Config, Error, Message, MessageKind, Options, Role, StreamEvent, WebSocket,
    codec::{FrameHeader, OpCode, ProtocolError, mask::mask},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};
use support::{ROLES, Scripted, close_frame, duplex_socket, frame, frame_with, in_time, messages, poll_once};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// Counts what this thread has allocated.
struct Counting;

thread_local! {
    static LIVE_LEN: Cell<usize> = const { Cell::new(0) };
    static PEAK_LEN: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is done by the system's allocator; the counters neither allocate nor are ever destroyed.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_LEN.set(LIVE_LEN.get().wrapping_add(layout.size()));
        PEAK_LEN.set(PEAK_LEN.get().max(LIVE_LEN.get()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE_LEN.set(LIVE_LEN.get().wrapping_sub(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn small_limits() -> Options {
    Options { config: Config::default().with_max_message_len(1024), ..Options::default() }
}

fn socket(role: Role, wire: Vec<u8>) -> WebSocket<Scripted> {
    WebSocket::from_handshaken(Scripted::new(wire), role, &[], &small_limits())
}

/// A chunk that owns its bytes.
type Piece = (MessageKind, Vec<u8>, bool);

async fn chunk<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocket<S>) -> Piece {
    match socket.receive_chunk().await.expect("the connection is open").expect("the peer is correct") {
        StreamEvent::Chunk(Chunk { kind, payload, fin }) => (kind, payload.to_vec(), fin),
        other => unreachable!("{other:?} is no chunk"),
    }
}

/// All of a message.
async fn whole<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocket<S>) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let (_, payload, fin) = chunk(socket).await;
        whole.extend(payload);
        if fin {
            return whole;
        }
    }
}

/// Byte `position` of the long message.
fn byte_at(position: usize) -> u8 {
    (position % 251).to_le_bytes()[0]
}

const LONG_LEN: usize = 64 << 20;

#[tokio::test]
async fn message_of_64_mib_is_received_in_bounded_memory_whatever_the_limit() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 64 * 1024, &small_limits());
        let send = async {
            let key = [1, 2, 3, 4];
            let header = FrameHeader {
                masking_key: (role == Role::Server).then_some(key),
                ..FrameHeader::new(OpCode::Binary, LONG_LEN as u64)
            };
            let (bytes, len) = header.encode();
            peer.send_raw(&bytes[..len]).await;
            let mut piece = vec![0; 251 * 400];
            for start in (0..LONG_LEN).step_by(piece.len()) {
                let len = piece.len().min(LONG_LEN - start);
                for (i, byte) in piece[..len].iter_mut().enumerate() {
                    *byte = byte_at(i);
                }
                if role == Role::Server {
                    mask(&mut piece[..len], key, start);
                }
                peer.send_raw(&piece[..len]).await;
            }
            peer.send(OpCode::Text, b"next").await;
        };
        let receive = async {
            let mut received_len = 0;
            let before = LIVE_LEN.get();
            PEAK_LEN.set(before);
            loop {
                let Some(Ok(StreamEvent::Chunk(chunk))) = socket.receive_chunk().await else {
                    panic!("the message is cut off after {received_len} bytes");
                };
                // A look at both ends of each piece is enough to see a byte that is lost or doubled.
                if let ([first, ..], [.., last]) = (chunk.payload, chunk.payload) {
                    assert_eq!(*first, byte_at(received_len));
                    assert_eq!(*last, byte_at(received_len + chunk.payload.len() - 1));
                }
                received_len += chunk.payload.len();
                if chunk.fin {
                    break;
                }
            }
            assert_eq!(received_len, LONG_LEN);
            let peak_len = PEAK_LEN.get().saturating_sub(before);
            assert!(peak_len <= 512 * 1024, "{role:?}: {peak_len} bytes");
            assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("next"));
        };
        in_time(async { tokio::join!(send, receive) }).await;
    }
}

#[tokio::test]
async fn control_frames_come_between_the_chunks_and_are_answered() {
    for role in ROLES {
        let wire = [
            frame_with(role, false, OpCode::Text, "€a".as_bytes().split_at(1).0),
            frame(role, OpCode::Ping, b"one"),
            frame_with(role, false, OpCode::Continuation, b""),
            frame_with(role, false, OpCode::Continuation, "€a".as_bytes().split_at(1).1),
            frame(role, OpCode::Pong, b"two"),
            frame(role, OpCode::Continuation, b""),
            close_frame(role, 1000),
        ]
        .concat();
        let mut socket = socket(role, wire);
        assert_eq!(chunk(&mut socket).await, (MessageKind::Text, vec![0xE2], false));
        assert_eq!(socket.receive_chunk().await.unwrap().unwrap(), StreamEvent::Ping(b"one"));
        assert_eq!(chunk(&mut socket).await, (MessageKind::Text, vec![0x82, 0xAC, b'a'], false));
        assert_eq!(socket.receive_chunk().await.unwrap().unwrap(), StreamEvent::Pong(b"two"));
        assert_eq!(chunk(&mut socket).await, (MessageKind::Text, vec![], true));
        assert!(matches!(socket.receive_chunk().await, Some(Ok(StreamEvent::Close(Some(_))))));
        let sent = messages(role, &socket.get_ref().written);
        assert_eq!(sent[0], Message::Pong("one".into()));
        assert!(matches!(sent[1..], [Message::Close(Some(_))]), "{sent:?}");
    }
}

#[tokio::test]
async fn invalid_text_fails_with_1007_before_its_frame_is_complete() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 1 << 20, &small_limits());
        let mut long = frame(role, OpCode::Text, &[&[b'a'; 5000][..], b"\xC0", &[b'a'; 100_000]].concat());
        long.truncate(6000);
        peer.send_raw(&long[..3000]).await;
        let (kind, payload, fin) = chunk(&mut socket).await;
        assert!(kind == MessageKind::Text && !fin && payload.iter().all(|byte| *byte == b'a'));
        peer.send_raw(&long[3000..]).await;
        let talk = async {
            assert_eq!(peer.receive_close_code().await, Some(1007));
            drop(peer);
        };
        let (end, ()) = in_time(async {
            tokio::join!(async { socket.receive_chunk().await.map(|end| end.map(|_| ())) }, talk)
        })
        .await;
        assert!(matches!(end, Some(Err(Error::Protocol(ProtocolError::InvalidUtf8)))), "{end:?}");
        assert!(socket.receive_chunk().await.is_none(), "an error is told once");
    }
}

#[tokio::test]
async fn text_that_ends_within_a_code_point_fails_with_1007() {
    for role in ROLES {
        let wire =
            [frame_with(role, false, OpCode::Text, b"\xE2"), frame(role, OpCode::Continuation, b"\x82")]
                .concat();
        let mut socket = socket(role, wire);
        assert_eq!(chunk(&mut socket).await, (MessageKind::Text, vec![0xE2], false));
        let _ = poll_once(socket.receive_chunk());
        let sent = messages(role, &socket.get_ref().written);
        assert!(matches!(&sent[..], [Message::Close(Some(close))] if close.code.get() == 1007), "{sent:?}");
    }
}

#[tokio::test]
async fn endless_empty_fragments_fail_with_1008() {
    for role in ROLES {
        let config = Config { max_fragment_count: 10, ..Config::default() };
        let wire = [
            frame_with(role, false, OpCode::Binary, b"x"),
            frame_with(role, false, OpCode::Continuation, b"x").repeat(100),
            frame_with(role, false, OpCode::Continuation, b"").repeat(11),
        ]
        .concat();
        let options = Options { config, ..Options::default() };
        let mut socket = WebSocket::from_handshaken(Scripted::new(wire), role, &[], &options);
        for _ in 0..101 {
            // Fragments that bring something are not counted: the message may be of any length.
            assert_eq!(chunk(&mut socket).await, (MessageKind::Binary, vec![b'x'], false));
        }
        let _ = poll_once(socket.receive_chunk());
        let sent = messages(role, &socket.get_ref().written);
        assert!(matches!(&sent[..], [Message::Close(Some(close))] if close.code.get() == 1008), "{sent:?}");
    }
}

#[tokio::test]
async fn receive_passes_over_the_rest_of_a_message_that_was_begun_in_chunks() {
    for role in ROLES {
        let one_frame = frame(role, OpCode::Binary, &[1; 100_000]);
        let fragments = [
            frame_with(role, false, OpCode::Binary, &[1; 50_000]),
            frame_with(role, false, OpCode::Continuation, &[2; 50_000]),
            frame(role, OpCode::Continuation, &[3; 50_000]),
        ]
        .concat();
        for long in [one_frame, fragments] {
            let (mut socket, mut peer) = duplex_socket(role, 1 << 20, &small_limits());
            peer.send_raw(&long[..40_000]).await;
            let (_, payload, fin) = chunk(&mut socket).await;
            assert!(!payload.is_empty() && !fin);
            assert!(poll_once(socket.receive()).is_pending());
            peer.send_raw(&long[40_000..]).await;
            peer.send(OpCode::Text, b"next").await;
            assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("next"));
            // And chunks again.
            peer.send(OpCode::Binary, &[4; 2000]).await;
            assert_eq!(whole(&mut socket).await, [4; 2000]);
        }
    }
}

#[tokio::test]
async fn control_frames_within_the_rest_that_is_passed_over_are_returned() {
    for role in ROLES {
        let wire = [
            frame_with(role, false, OpCode::Binary, b"chunk"),
            frame(role, OpCode::Ping, b"?"),
            frame(role, OpCode::Continuation, b"passed over"),
            frame(role, OpCode::Text, b"next"),
        ]
        .concat();
        let mut socket = socket(role, wire);
        assert_eq!(chunk(&mut socket).await, (MessageKind::Binary, b"chunk".to_vec(), false));
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::Ping("?".into()));
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("next"));
    }
}

#[tokio::test]
async fn message_that_receive_began_is_taken_in_chunks_from_its_start() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 4096, &small_limits());
        // What waits in the input, in half a frame.
        let bytes = frame(role, OpCode::Text, "äöü".repeat(50).as_bytes());
        peer.send_raw(&bytes[..101]).await;
        assert!(poll_once(socket.receive()).is_pending());
        peer.send_raw(&bytes[101..]).await;
        assert_eq!(whole(&mut socket).await, "äöü".repeat(50).into_bytes());
        // What was reassembled already, of fragments.
        peer.send_raw(&frame_with(role, false, OpCode::Binary, &[1; 300])).await;
        peer.send_raw(&frame_with(role, false, OpCode::Continuation, &[2; 300])).await;
        assert!(poll_once(socket.receive()).is_pending());
        peer.send_raw(&frame(role, OpCode::Continuation, &[3; 3000])).await;
        assert_eq!(whole(&mut socket).await, [vec![1; 300], vec![2; 300], vec![3; 3000]].concat());
        peer.send(OpCode::Text, b"next").await;
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("next"));
    }
}

#[tokio::test]
async fn limit_holds_for_a_message_of_which_only_the_header_was_seen_in_chunks() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 4096, &small_limits());
        let long = frame(role, OpCode::Binary, &[0; 2000]);
        let header_len = long.len() - 2000;
        peer.send_raw(&long[..header_len]).await;
        assert!(poll_once(socket.receive_chunk()).is_pending());
        peer.send_raw(&long[header_len..]).await;
        let talk = async {
            assert_eq!(peer.receive_close_code().await, Some(1009));
            drop(peer);
        };
        let (end, ()) = in_time(async { tokio::join!(socket.receive(), talk) }).await;
        assert!(matches!(end, Some(Err(Error::Protocol(ProtocolError::FrameTooLong { .. })))), "{end:?}");
    }
}

#[tokio::test]
async fn chunks_are_received_although_the_peer_does_not_read_what_is_queued() {
    for role in ROLES {
        let options = Options { max_output_len: 10, ..small_limits() };
        let (mut socket, mut peer) = duplex_socket(role, 1000, &options);
        socket.queue(Message::binary(vec![0; 5000])).unwrap();
        peer.send(OpCode::Binary, b"chunk").await;
        assert_eq!(in_time(chunk(&mut socket)).await, (MessageKind::Binary, b"chunk".to_vec(), true));
    }
}

#[tokio::test]
async fn end_of_the_transport_within_a_message_is_an_error() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 4096, &small_limits());
        peer.send_raw(&frame(role, OpCode::Binary, &[0; 2000])[..1000]).await;
        peer.stream.shutdown().await.unwrap();
        assert!(!chunk(&mut socket).await.2);
        let end = socket.receive_chunk().await.map(|end| end.map(|_| ()));
        assert!(matches!(end, Some(Err(Error::Protocol(ProtocolError::ClosedWithoutHandshake)))), "{end:?}");
        assert!(socket.receive_chunk().await.is_none());
    }
}
