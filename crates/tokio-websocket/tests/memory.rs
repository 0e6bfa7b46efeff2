//! What a connection costs in memory, by an allocator that counts per thread.

mod support;

use sockeye_tokio_websocket::{Config, Message, Options, Role, WebSocket, codec::OpCode};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};
use support::{ROLES, Scripted, frame, tcp_socket};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

struct Counting;

thread_local! {
    static LIVE_LEN: Cell<usize> = const { Cell::new(0) };
    static PEAK_LEN: Cell<usize> = const { Cell::new(0) };
    static LARGEST_LEN: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is done by the system's allocator; the counters neither allocate nor are ever destroyed.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_LEN.set(LIVE_LEN.get().wrapping_add(layout.size()));
        PEAK_LEN.set(PEAK_LEN.get().max(LIVE_LEN.get()));
        LARGEST_LEN.set(LARGEST_LEN.get().max(layout.size()));
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

/// What `test` does to this thread's heap.
#[derive(Debug)]
struct Usage {
    /// Bytes that are live after it and were not before.
    kept_len: usize,
    /// The most bytes that were live at once, beyond those before.
    peak_len: usize,
    /// The largest allocation.
    largest_len: usize,
}

fn measure<T>(test: impl FnOnce() -> T) -> (T, Usage) {
    let before = LIVE_LEN.get();
    PEAK_LEN.set(before);
    LARGEST_LEN.set(0);
    let output = test();
    let usage = Usage {
        kept_len: LIVE_LEN.get().saturating_sub(before),
        peak_len: PEAK_LEN.get() - before,
        largest_len: LARGEST_LEN.get(),
    };
    (output, usage)
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls until the socket waits; how many messages came.
fn drain<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocket<S>, echo: bool) -> usize {
    let mut count = 0;
    while let Poll::Ready(message) = poll_once(socket.receive()) {
        let message = message.expect("the connection is open").expect("the peer is correct");
        if echo && message.is_data() {
            assert!(poll_once(socket.feed(message)).is_ready());
        }
        count += 1;
    }
    count
}

#[test]
fn idle_connection_holds_no_buffer() {
    for role in ROLES {
        let wire = [
            frame(role, OpCode::Text, b"hello").repeat(3),
            frame(role, OpCode::Binary, &[0; 20_000]),
            frame(role, OpCode::Ping, b"?"),
        ]
        .concat();
        let echo = |wire: Vec<u8>| {
            let mut socket = WebSocket::from_handshaken(Scripted::new(wire), role, &[], &Options::default());
            assert_eq!(drain(&mut socket, true), 5);
            // The transport's own memory is not the connection's.
            socket.get_mut().input = Vec::new();
            socket.get_mut().written = Vec::new();
            socket
        };
        // The first one brings the thread's buffer.
        drop(echo(wire.clone()));
        let mut sockets = Vec::with_capacity(100);
        let ((), usage) = measure(|| sockets.extend((0..100).map(|_| echo(wire.clone()))));
        let state_len = size_of::<WebSocket<Scripted>>() - size_of::<Scripted>();
        assert!(state_len <= 16, "{role:?}: {state_len} bytes wherever the socket is moved");
        assert!(usage.kept_len + 100 * state_len <= 100 * 240, "{role:?}: {usage:?}");
    }
}

#[test]
fn header_that_claims_64_mib_costs_no_more_than_what_came() {
    for role in ROLES {
        let options =
            Options { config: Config::default().with_max_message_len(1 << 30), ..Options::default() };
        let mut wire = frame(role, OpCode::Binary, &vec![0; 64 << 20]);
        wire.truncate(1000);
        wire.shrink_to_fit();
        let mut socket = WebSocket::from_handshaken(Scripted::new(wire), role, &[], &options);
        let (count, usage) = measure(|| drain(&mut socket, false));
        assert_eq!(count, 0);
        assert!(usage.peak_len <= 70 * 1024, "{role:?}: {usage:?}");

        let fragment = support::frame_with(role, false, OpCode::Binary, &[0; 100]);
        let mut wire = frame(role, OpCode::Continuation, &vec![0; 64 << 20]);
        wire.truncate(1000);
        wire.shrink_to_fit();
        let wire = [fragment, wire].concat();
        let mut socket = WebSocket::from_handshaken(Scripted::new(wire), role, &[], &options);
        let (count, usage) = measure(|| drain(&mut socket, false));
        assert_eq!(count, 0);
        assert!(usage.peak_len <= 70 * 1024, "{role:?}: {usage:?}");
    }
}

#[test]
fn large_message_takes_memory_in_proportion_to_what_came() {
    for role in ROLES {
        for len in [100_000, 1 << 20, 8 << 20] {
            let mut wire = frame(role, OpCode::Binary, &vec![0; 16 << 20]);
            wire.truncate(len);
            let transport = Scripted { pieces: vec![50_000], ..Scripted::new(wire) };
            let mut socket = WebSocket::from_handshaken(transport, role, &[], &Options::default());
            let (count, usage) = measure(|| drain(&mut socket, false));
            assert_eq!(count, 0);
            assert!(usage.largest_len <= 2 * len + (2 << 20), "{role:?}, {len}: {usage:?}");
        }
    }
}

#[test]
fn received_message_of_1_mib_leaves_nothing_behind() {
    for role in ROLES {
        let wire = frame(role, OpCode::Binary, &vec![1; 1 << 20]);
        let mut socket = WebSocket::from_handshaken(Scripted::new(wire), role, &[], &Options::default());
        socket.get_mut().written.reserve(2 << 20);
        let (count, usage) = measure(|| drain(&mut socket, true));
        assert_eq!(count, 1);
        assert!(usage.kept_len <= 80 * 1024, "no more than the thread's pooled buffer, {role:?}: {usage:?}");
    }
}

#[test]
fn ping_flood_of_a_peer_that_never_reads_is_bounded() {
    for role in ROLES {
        let wire = (0..50_000u32)
            .map(|i| frame(role, OpCode::Ping, &[&i.to_be_bytes()[..], &[b'?'; 121]].concat()))
            .collect::<Vec<_>>()
            .concat();
        let transport = Scripted { write_room: 0, ..Scripted::new(wire) };
        let mut socket = WebSocket::from_handshaken(transport, role, &[], &Options::default());
        let (count, usage) = measure(|| drain(&mut socket, false));
        assert_eq!(count, 50_000);
        assert!(usage.peak_len <= 128 * 1024, "{role:?}: {usage:?}");
        assert!(socket.queued_len() <= 17 * 1024, "{role:?}: {} bytes", socket.queued_len());
        // Once the peer reads, the latest Ping is answered.
        socket.get_mut().write_room = usize::MAX;
        assert!(poll_once(socket.flush()).is_ready());
        let pongs = support::decode_sent(role, &socket.get_ref().written);
        assert!(pongs.len() < 200, "{role:?}: {}", pongs.len());
        let (opcode, payload) = pongs.last().unwrap();
        assert_eq!((*opcode, &payload[..4]), (OpCode::Pong, &49_999u32.to_be_bytes()[..]));
    }
}

#[tokio::test]
async fn ping_flood_over_tcp_of_a_peer_that_never_reads_is_bounded() {
    for role in ROLES {
        let (mut socket, mut peer) = tcp_socket(role, &Options::default()).await;
        let flood = tokio::spawn(async move {
            let bytes = frame(role, OpCode::Ping, &[b'?'; 125]).repeat(1000);
            for _ in 0..100 {
                peer.stream.write_all(&bytes).await.expect("the socket under test reads on");
            }
            peer.send(OpCode::Text, b"done").await;
            peer
        });
        loop {
            let message = socket.receive().await.unwrap().unwrap();
            assert!(socket.queued_len() <= 17 * 1024, "{role:?}: {} bytes", socket.queued_len());
            if message == Message::text("done") {
                break;
            }
        }
        drop(flood.await.unwrap());
    }
}

/// Takes a part of every write, and never the end.
#[derive(Debug)]
struct Sluggish {
    pending: bool,
}

impl AsyncRead for Sluggish {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Sluggish {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.pending = !self.pending;
        if self.pending { Poll::Pending } else { Poll::Ready(Ok(bytes.len().min(600))) }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn output_that_is_never_quite_written_does_not_grow() {
    for role in ROLES {
        let mut socket =
            WebSocket::from_handshaken(Sluggish { pending: true }, role, &[], &Options::default());
        let message = Message::binary(vec![0; 300]);
        let ((), usage) = measure(|| {
            for _ in 0..20_000 {
                // A backlog stands, and as much is queued as leaves.
                while socket.queued_len() < 2000 {
                    socket.queue(&message).expect("the connection is open");
                }
                let _ = poll_once(socket.flush());
            }
        });
        assert!(usage.peak_len <= 128 * 1024, "{role:?}: {usage:?}");
    }
}

#[test]
fn reading_batch_after_batch_allocates_no_buffer() {
    for role in ROLES {
        let wire = frame(role, OpCode::Text, b"hello").repeat(10_000);
        let transport = Scripted { pieces: vec![1000], ..Scripted::new(wire) };
        let mut socket = WebSocket::from_handshaken(transport, role, &[], &Options::default());
        // The first message brings the thread's buffer.
        assert!(poll_once(socket.receive()).is_ready());
        let (count, usage) = measure(|| drain(&mut socket, false));
        assert_eq!(count, 9999);
        assert!(usage.largest_len < 16 * 1024, "{role:?}: {usage:?}");
    }
}

#[tokio::test]
async fn kept_small_message_does_not_pin_the_read_buffer() {
    let (mut socket, mut peer) = tcp_socket(Role::Server, &Options::default()).await;
    peer.send(OpCode::Text, b"warm up").await;
    drop(socket.receive().await);
    let mut kept = Vec::with_capacity(100);
    let before = LIVE_LEN.get();
    for _ in 0..100 {
        peer.send(OpCode::Text, b"kept").await;
        kept.push(socket.receive().await.unwrap().unwrap());
    }
    let len = LIVE_LEN.get().saturating_sub(before);
    assert!(len <= 100 * 100 + 70 * 1024, "{len} bytes for 100 messages");
}
