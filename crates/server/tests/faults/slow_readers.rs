//! A client that stops reading while it is flooded: it is disconnected, and nobody else notices.

use sockeye::{Binary, EmitError, SlowConsumer};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt, net::TcpSocket, time::sleep};

use crate::common::{Lines, Polling, TestServer, WEBSOCKET, Ws, until, usual_server};

const PING_TIMEOUT: Duration = Duration::from_millis(500);
const QUEUE_LEN: usize = 1 << 20;
const CHUNK_LEN: usize = 32 * 1024;

async fn server() -> (TestServer, Lines) {
    usual_server(|config| {
        config.ping_interval = Duration::from_millis(200);
        config.ping_timeout = PING_TIMEOUT;
        config.max_queue_len = QUEUE_LEN;
    })
    .await
}

/// A client whose end of the connection holds little, and that joins the room `stuck`.
async fn stuck(server: &TestServer) -> Ws {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(server.addr).await.unwrap();
    let connector = sockeye_tokio_websocket::Connector::new();
    let url = format!("ws://{}{WEBSOCKET}", server.addr);
    let (socket, _) = connector.handshake(stream.into(), &url).await.unwrap();
    let mut ws = Ws { socket };
    ws.next().await;
    let id = ws.connect("").await;
    server.io.socket(&id).unwrap().join("stuck");
    ws
}

/// A chunk that counts how many of its kind live: what the server holds in memory.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl Counted {
    fn chunk(live: &Arc<AtomicUsize>) -> bytes::Bytes {
        live.fetch_add(1, Ordering::SeqCst);
        bytes::Bytes::from_owner(Self(vec![7; CHUNK_LEN], live.clone()))
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_stops_reading_is_disconnected_while_others_are_served() {
    let (server, mut lines) = server().await;
    let _stuck = stuck(&server).await;
    let (mut healthy, _) = Ws::join(&server).await;
    let io = server.io.clone();
    let flood = tokio::spawn(async move {
        let mut count = 0;
        while io.room_len("stuck") > 0 {
            io.to("stuck").emit("flood", Binary(vec![7; CHUNK_LEN].into())).unwrap();
            count += 1;
            if count % 16 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        count
    });
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    while !flood.is_finished() {
        let asked = Instant::now();
        healthy.expect_alive().await;
        slowest = slowest.max(asked.elapsed());
    }
    lines.expect(&["/ transport error"]).await;
    assert!(start.elapsed() < PING_TIMEOUT + Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(slowest < Duration::from_secs(1), "another client waited {slowest:?}");
    assert!(flood.await.unwrap() * CHUNK_LEN >= QUEUE_LEN, "the queue was not even full");
    healthy.expect_alive().await;
    assert_eq!(server.io.client_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_client_is_bounded_by_the_queue_and_freed_with_it() {
    let (server, mut lines) = server().await;
    let client = Polling::join(&server).await;
    let socket = server.io.sockets().remove(0);
    let live = Arc::new(AtomicUsize::new(0));
    let mut taken = 0;
    // Nobody polls: all of it has to wait.
    loop {
        match socket.emit("flood", Binary(Counted::chunk(&live))) {
            Ok(()) => taken += 1,
            Err(EmitError::Disconnected) => break,
            Err(error) => panic!("{error}"),
        }
        assert!(taken <= QUEUE_LEN / CHUNK_LEN, "{taken} chunks were taken");
    }
    assert!(taken >= QUEUE_LEN / CHUNK_LEN - 1, "{taken} chunks were taken");
    lines.expect(&["/ transport error"]).await;
    client.expect_gone().await;
    until("the chunks are freed", || live.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn client_that_stops_reading_and_is_sent_little_times_out() {
    let (server, mut lines) = server().await;
    let _stuck = stuck(&server).await;
    let start = Instant::now();
    lines.expect(&["/ ping timeout"]).await;
    assert!(start.elapsed() < PING_TIMEOUT + Duration::from_millis(200) + Duration::from_secs(1));
    assert_eq!(server.io.client_count(), 0);
}

#[tokio::test]
async fn client_that_writes_without_reading_does_not_make_the_server_hoard() {
    let (server, mut lines) = server().await;
    let mut ws = stuck(&server).await;
    let event = format!("42[\"echo\",\"{}\"]", "x".repeat(20_000));
    // Every event is echoed, and no echo is read.
    let writing = async {
        while ws.socket.send(event.as_str()).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = writing => {}
        line = lines.next() => {
            // The queue is full; or, where the machine is too busy to fill it in time, a Ping went unanswered.
            assert!(["/ transport error", "/ ping timeout"].contains(&line.as_str()), "{line}");
        }
    }
    assert_eq!(server.io.client_count(), 0);
}

#[tokio::test]
async fn one_message_above_the_queue_is_delivered_all_the_same() {
    let (server, _lines) = server().await;
    let (mut ws, _) = Ws::join(&server).await;
    let large = "x".repeat(3 * QUEUE_LEN);
    server.io.emit("large", &large).unwrap();
    assert_eq!(ws.next().await.len(), large.len() + "42[\"large\",\"\"]".len());
    ws.expect_alive().await;
}

#[tokio::test]
async fn half_a_frame_and_then_silence_times_out() {
    let (server, mut lines) = server().await;
    let (mut ws, _) = Ws::join(&server).await;
    // The head of a frame of 900,000 bytes, and nothing behind it.
    ws.socket.get_mut().write_all(b"\x81\xFF\0\0\0\0\0\x0D\xBB\xA0\0\0\0\0abc").await.unwrap();
    lines.expect(&["/ ping timeout"]).await;
    assert_eq!(server.io.client_count(), 0);
}

#[tokio::test]
async fn everything_sent_before_the_connection_closes_arrives_even_late() {
    let (server, mut lines) = usual_server(|_| ()).await;
    let mut ws = stuck(&server).await;
    let socket = server.io.sockets().remove(0);
    // More than what the sockets hold and what is handed to them at once.
    for i in 0..350 {
        socket.emit("n", (i, "x".repeat(10_000))).unwrap();
    }
    socket.disconnect(true);
    lines.expect(&["/ server namespace disconnect"]).await;
    sleep(Duration::from_millis(100)).await;
    for i in 0..350 {
        assert!(ws.next().await.starts_with(&format!("42[\"n\",{i},")));
    }
    ws.expect(&["41"]).await;
    ws.expect_end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_may_miss_events_misses_the_new_ones_whole_and_stays() {
    let (server, _lines) = server().await;
    let client = Polling::join(&server).await;
    let socket = server.io.sockets().remove(0);
    socket.set_slow_consumer(SlowConsumer::Drop);
    let live = Arc::new(AtomicUsize::new(0));
    let (mut taken, mut dropped) = (0, 0);
    // Nobody polls: all of it has to wait.
    for i in 0..60 {
        match socket.emit("flood", (i, Binary(Counted::chunk(&live)))) {
            Ok(()) => taken += 1,
            Err(EmitError::QueueFull) => dropped += 1,
            Err(error) => panic!("{error}"),
        }
    }
    server.io.emit("flood", (60, Binary(Counted::chunk(&live)))).unwrap();
    assert!((20..=QUEUE_LEN / CHUNK_LEN).contains(&taken), "{taken} events were taken");
    assert_eq!((taken + dropped, socket.dropped_count()), (60, dropped as u64 + 1));
    assert!(live.load(Ordering::SeqCst) <= QUEUE_LEN / CHUNK_LEN, "what is dropped is not kept");
    // The oldest come, in order and complete.
    let mut heads = 0;
    let mut binaries = 0;
    while heads < taken || binaries < taken {
        for packet in client.poll().await.split('\x1e') {
            match packet {
                "2" => client.post("3").await,
                binary if binary.starts_with('b') => binaries += 1,
                head => {
                    assert!(head.starts_with(&format!("451-[\"flood\",{heads},")), "{head}");
                    heads += 1;
                }
            }
        }
    }
    socket.emit("after", ()).unwrap();
    assert_eq!(client.poll().await, "42[\"after\"]");
    until("the chunks are freed", || live.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_may_miss_events_still_ends_when_it_reads_nothing() {
    let (server, mut lines) = usual_server(|config| {
        config.ping_interval = Duration::from_millis(200);
        config.ping_timeout = PING_TIMEOUT;
        config.max_queue_len = QUEUE_LEN;
        config.slow_consumer = SlowConsumer::Drop;
    })
    .await;
    let _stuck = stuck(&server).await;
    let (mut healthy, _) = Ws::join(&server).await;
    let io = server.io.clone();
    let start = Instant::now();
    let flood = tokio::spawn(async move {
        while io.room_len("stuck") > 0 {
            io.to("stuck").emit("flood", Binary(vec![7; CHUNK_LEN].into())).unwrap();
            sleep(Duration::from_millis(1)).await;
        }
    });
    while !flood.is_finished() {
        healthy.expect_alive().await;
    }
    lines.expect(&["/ ping timeout"]).await;
    assert!(start.elapsed() < PING_TIMEOUT + Duration::from_millis(200) + Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emitter_that_waits_sends_everything_in_order_in_bounded_memory() {
    let (server, _lines) = usual_server(|config| config.max_queue_len = QUEUE_LEN).await;
    let mut ws = stuck(&server).await;
    let socket = server.io.sockets().remove(0);
    let live = Arc::new(AtomicUsize::new(0));
    let (counted, count) = (live.clone(), 400);
    let emitting = tokio::spawn(async move {
        for i in 0..count {
            socket.wait().emit("n", (i, Binary(Counted::chunk(&counted)))).await.unwrap();
        }
    });
    sleep(Duration::from_millis(100)).await;
    assert!(!emitting.is_finished(), "it waits for the client");
    for i in 0..count {
        assert!(ws.next().await.starts_with(&format!("451-[\"n\",{i},")));
        assert_eq!(ws.next_binary().await.len(), CHUNK_LEN);
        let waiting = live.load(Ordering::SeqCst);
        assert!(waiting <= QUEUE_LEN / CHUNK_LEN + 8, "{waiting} chunks are in memory");
    }
    emitting.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emitter_that_waits_for_a_stuck_client_learns_of_its_end() {
    let (server, mut lines) = server().await;
    let _stuck = stuck(&server).await;
    let socket = server.io.sockets().remove(0);
    let start = Instant::now();
    let error = loop {
        if let Err(error) = socket.wait().emit("n", Binary(vec![7; CHUNK_LEN].into())).await {
            break error;
        }
    };
    assert!(matches!(error, EmitError::Disconnected), "{error}");
    lines.expect(&["/ ping timeout"]).await;
    assert!(start.elapsed() < PING_TIMEOUT + Duration::from_millis(200) + Duration::from_secs(1));
}

#[tokio::test]
async fn emit_that_is_given_up_sends_nothing() {
    let (server, _lines) = usual_server(|config| config.max_queue_len = 1000).await;
    let client = Polling::join(&server).await;
    let socket = server.io.sockets().remove(0);
    socket.emit("first", "x".repeat(900)).unwrap();
    let second = socket.wait().emit("second", "x".repeat(900));
    assert!(tokio::time::timeout(Duration::from_millis(50), second).await.is_err());
    drop(socket.wait().emit("never polled", ()));
    assert!(client.poll().await.starts_with("42[\"first\","));
    socket.wait().emit("third", ()).await.unwrap();
    assert_eq!(client.poll().await, "42[\"third\"]");
    let error = socket.wait().emit("disconnect", ()).await.unwrap_err();
    assert!(matches!(error, EmitError::Encode(_)), "{error}");
}
