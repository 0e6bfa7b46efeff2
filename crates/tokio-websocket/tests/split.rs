//! The two halves of a connection in different tasks.

mod support;

use futures_util::{SinkExt, StreamExt};
use sockeye_tokio_websocket::{
    CloseCode, CloseFrame, Error, Message, Options, Prepared, Receiver, Role, Sender, StreamEvent, WebSocket,
    codec::{OpCode, ReceiveState, SendError},
};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use support::{
    Peer, ROLES, close_frame, duplex_socket, frame, frame_with, in_time, poll_once, tcp_pair, tcp_sockets,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex},
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, sleep},
};

type DuplexHalves =
    (Sender<WriteHalf<DuplexStream>>, Receiver<ReadHalf<DuplexStream>, WriteHalf<DuplexStream>>);

fn halves(role: Role, len: usize) -> (DuplexHalves, Peer<DuplexStream>) {
    let (socket, peer) = duplex_socket(role, len, &Options::default());
    (socket.split(), peer)
}

/// Receives in a task of its own: what came, and how it ended.
fn receive_all<R, W>(mut receiver: Receiver<R, W>) -> JoinHandle<(Vec<Message>, Result<(), Error>)>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        let mut messages = Vec::new();
        while let Some(message) = receiver.receive().await {
            match message {
                Ok(message) => messages.push(message),
                Err(error) => return (messages, Err(error)),
            }
        }
        (messages, Ok(()))
    })
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_while_the_sender_is_idle() {
    for role in ROLES {
        let ((sender, receiver), mut peer) = halves(role, 4096);
        let receiving = receive_all(receiver);
        for i in 0..10u8 {
            peer.send(OpCode::Ping, &[i]).await;
            assert_eq!(in_time(peer.receive()).await, Some((OpCode::Pong, vec![i])));
        }
        drop(sender);
        peer.send(OpCode::Ping, b"without a sender").await;
        assert_eq!(in_time(peer.receive()).await, Some((OpCode::Pong, b"without a sender".to_vec())));
        receiving.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn receiver_receives_while_the_sender_waits_and_its_pongs_leave_later() {
    for role in ROLES {
        let ((mut sender, mut receiver), mut peer) = halves(role, 300);
        let sending = tokio::spawn(async move {
            sender.send(Message::binary(vec![1; 10_000])).await.unwrap();
            sender
        });
        sleep(Duration::from_secs(1)).await;
        assert!(!sending.is_finished());
        for i in 0..20u8 {
            peer.send(OpCode::Text, b"hello").await;
            peer.send(OpCode::Ping, &[i]).await;
            assert_eq!(in_time(receiver.receive()).await.unwrap().unwrap(), Message::text("hello"));
            assert_eq!(in_time(receiver.receive()).await.unwrap().unwrap(), Message::Ping(vec![i].into()));
        }
        let receiving = receive_all(receiver);
        // Now the peer reads.
        assert_eq!(in_time(peer.receive()).await, Some((OpCode::Binary, vec![1; 10_000])));
        for i in 0..20u8 {
            assert_eq!(in_time(peer.receive()).await, Some((OpCode::Pong, vec![i])));
        }
        drop(in_time(sending).await.unwrap());
        receiving.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn close_of_the_sender_is_finished_by_a_receiver_that_was_waiting() {
    for role in ROLES {
        let ((mut sender, receiver), mut peer) = halves(role, 4096);
        let receiving = receive_all(receiver);
        sleep(Duration::from_secs(1)).await;
        let close = Some(CloseFrame::new(CloseCode::NORMAL, "done"));
        in_time(sender.close(close)).await.unwrap();
        assert_eq!(in_time(peer.receive()).await, Some((OpCode::Close, b"\x03\xE8done".to_vec())));
        assert!(matches!(sender.send("more").await, Err(Error::Send(SendError::Closed))));
        assert!(matches!(sender.close(None).await, Err(Error::Send(SendError::Closed))));
        peer.send(OpCode::Text, b"late").await;
        peer.send_raw(&close_frame(role, 1000)).await;
        peer.stream.shutdown().await.unwrap();
        let (messages, end) = in_time(receiving).await.unwrap();
        end.unwrap();
        assert_eq!(messages[0], Message::text("late"));
        assert!(matches!(messages[1..], [Message::Close(Some(_))]));
    }
}

#[tokio::test(start_paused = true)]
async fn receiver_that_was_waiting_keeps_the_deadline_of_the_senders_close() {
    for role in ROLES {
        let ((mut sender, receiver), _peer) = halves(role, 4096);
        let receiving = receive_all(receiver);
        sleep(Duration::from_secs(100)).await;
        let start = Instant::now();
        sender.close(None).await.unwrap();
        let (_, end) = in_time(receiving).await.unwrap();
        assert!(matches!(end, Err(Error::CloseTimeout)), "{end:?}");
        assert_eq!(start.elapsed().as_secs(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn close_that_the_peer_never_reads_meets_its_deadline_and_releases_the_sender() {
    for role in ROLES {
        let ((mut sender, receiver), _peer) = halves(role, 100);
        let receiving = receive_all(receiver);
        sender.feed(Message::binary(vec![0; 1000])).await.unwrap();
        let closing = tokio::spawn(async move { sender.close(None).await });
        let (_, end) = in_time(receiving).await.unwrap();
        assert!(matches!(end, Err(Error::CloseTimeout)), "{end:?}");
        let closed = in_time(closing).await.unwrap();
        assert!(matches!(closed, Err(Error::Io(_))), "{closed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn close_of_the_peer_is_answered_and_nothing_is_sent_afterwards() {
    for role in ROLES {
        let ((mut sender, mut receiver), mut peer) = halves(role, 4096);
        peer.send_raw(&close_frame(role, 4000)).await;
        assert!(matches!(in_time(receiver.receive()).await, Some(Ok(Message::Close(Some(_))))));
        assert_eq!(receiver.state(), ReceiveState::Closed);
        // Even a receiver that stops here has answered.
        drop(receiver);
        assert_eq!(in_time(peer.receive_close_code()).await, Some(4000));
        assert!(matches!(sender.send("more").await, Err(Error::Send(SendError::Closed))));
        assert!(matches!(sender.close(None).await, Err(Error::Send(SendError::Closed))));
        SinkExt::close(&mut sender).await.unwrap();
        drop(sender);
        peer.assert_end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn error_of_the_peer_is_told_by_its_code_although_the_sender_waits() {
    for role in ROLES {
        let ((mut sender, receiver), mut peer) = halves(role, 100);
        let receiving = receive_all(receiver);
        let sending = tokio::spawn(async move { sender.send(Message::binary(vec![1; 1000])).await });
        sleep(Duration::from_secs(1)).await;
        peer.send(OpCode::Text, b"\xFF").await;
        assert_eq!(in_time(peer.receive()).await, Some((OpCode::Binary, vec![1; 1000])));
        assert_eq!(in_time(peer.receive_close_code()).await, Some(1007));
        drop(peer);
        in_time(sending).await.unwrap().unwrap();
        let (_, end) = in_time(receiving).await.unwrap();
        assert!(matches!(end, Err(Error::Protocol(_))), "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn sender_works_on_without_a_receiver() {
    for role in ROLES {
        let ((mut sender, receiver), mut peer) = halves(role, 100);
        drop(receiver);
        let sending = tokio::spawn(async move {
            for _ in 0..10 {
                sender.send(Message::binary(vec![1; 500])).await.unwrap();
            }
            sender.close(None).await.unwrap();
        });
        for _ in 0..10 {
            assert_eq!(in_time(peer.receive()).await, Some((OpCode::Binary, vec![1; 500])));
        }
        assert_eq!(in_time(peer.receive()).await, Some((OpCode::Close, vec![])));
        sending.await.unwrap();
        peer.assert_end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_sender_queued_leaves_although_the_receiver_was_waiting() {
    for role in ROLES {
        let ((mut sender, receiver), mut peer) = halves(role, 4096);
        let receiving = receive_all(receiver);
        sleep(Duration::from_secs(1)).await;
        sender.feed("last words").await.unwrap();
        drop(sender);
        assert_eq!(in_time(peer.receive()).await, Some((OpCode::Text, b"last words".to_vec())));
        receiving.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn half_that_gave_up_its_send_leaves_the_rest_to_the_receiver() {
    for role in ROLES {
        let ((mut sender, receiver), mut peer) = halves(role, 100);
        let receiving = receive_all(receiver);
        let send = sender.send(Message::binary(vec![1; 1000]));
        assert!(tokio::time::timeout(Duration::from_secs(1), send).await.is_err());
        assert_eq!(in_time(peer.receive()).await, Some((OpCode::Binary, vec![1; 1000])));
        receiving.abort();
        drop(sender);
    }
}

#[tokio::test(start_paused = true)]
async fn halves_receive_borrowed_messages_and_chunks() {
    for role in ROLES {
        let ((_sender, mut receiver), mut peer) = halves(role, 4096);
        peer.send(OpCode::Text, b"borrowed").await;
        peer.send_raw(&frame_with(role, false, OpCode::Binary, b"one")).await;
        peer.send(OpCode::Ping, b"?").await;
        peer.send(OpCode::Continuation, b"two").await;
        let event = receiver.receive_borrowed().await.unwrap().unwrap();
        assert_eq!(event, sockeye_tokio_websocket::Event::Text("borrowed"));
        for (payload, fin) in [(&b"one"[..], false), (b"?", false), (b"two", true)] {
            match receiver.receive_chunk().await.unwrap().unwrap() {
                StreamEvent::Chunk(chunk) => assert_eq!((chunk.payload, chunk.fin), (payload, fin)),
                other => assert_eq!(other, StreamEvent::Ping(b"?")),
            }
        }
        let receiving = receive_all(receiver);
        assert_eq!(in_time(peer.receive()).await, Some((OpCode::Pong, b"?".to_vec())));
        receiving.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn feed_waits_while_too_much_is_queued_and_prepared_messages_keep_the_order() {
    let options = Options { max_output_len: 1000, ..Options::default() };
    let (socket, mut peer) = duplex_socket(Role::Server, 100, &options);
    let (mut sender, receiver) = socket.split();
    sender.feed(Message::binary(vec![1; 600])).await.unwrap();
    sender.feed_prepared(&Prepared::binary(&[2; 600])).await.unwrap();
    assert!(poll_once(sender.feed("three")).is_pending());
    assert!(poll_once(sender.feed_prepared(&Prepared::text("three"))).is_pending());
    let sending = tokio::spawn(async move { sender.send("four").await });
    assert_eq!(in_time(peer.receive()).await, Some((OpCode::Binary, vec![1; 600])));
    assert_eq!(in_time(peer.receive()).await, Some((OpCode::Binary, vec![2; 600])));
    assert_eq!(in_time(peer.receive()).await, Some((OpCode::Text, b"four".to_vec())));
    in_time(sending).await.unwrap().unwrap();
    drop(receiver);
}

#[tokio::test]
async fn halves_are_a_sink_and_a_stream() {
    let (server, mut client) = tcp_sockets().await;
    let (sender, receiver) = server.split_with(TcpStream::into_split);
    let echo = tokio::spawn(async move {
        receiver
            .filter(|message| std::future::ready(message.as_ref().is_ok_and(Message::is_data)))
            .forward(sender)
            .await
    });
    for i in 0..100 {
        client.send(Message::text(format!("message {i}"))).await.unwrap();
    }
    for i in 0..100 {
        assert_eq!(in_time(client.receive()).await.unwrap().unwrap(), Message::text(format!("message {i}")));
    }
    in_time(client.close(None)).await.unwrap();
    in_time(echo).await.unwrap().unwrap();
}

const COUNT: u32 = 100_000;

/// Sends numbered messages and receives as many, in two tasks.
async fn exchange<R, W>((mut sender, mut receiver): (Sender<W>, Receiver<R, W>), by_sink: bool)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let sending = tokio::spawn(async move {
        for i in 0..COUNT {
            let message = Message::binary(i.to_be_bytes().to_vec());
            match (by_sink, i % 50) {
                (true, 0) => SinkExt::send(&mut sender, message).await.expect("the connection is open"),
                (true, _) => SinkExt::feed(&mut sender, message).await.expect("the connection is open"),
                (false, 0) => sender.send(message).await.expect("the connection is open"),
                (false, _) => sender.feed(message).await.expect("the connection is open"),
            }
        }
        sender.flush().await.expect("the connection is open");
        sender
    });
    for i in 0..COUNT {
        let message = receiver.receive().await.expect("open").expect("correct");
        assert_eq!(message.payload(), i.to_be_bytes(), "nothing is lost, doubled or out of order");
    }
    drop((sending.await.expect("the connection is open"), receiver));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_messages_both_ways_on_several_threads_are_received_once_and_in_order() {
    for by_sink in [false, true] {
        let (server, client) = tcp_sockets().await;
        let server = tokio::spawn(exchange(server.split_with(TcpStream::into_split), by_sink));
        let client = tokio::spawn(exchange(client.split(), by_sink));
        let both = async { (server.await.unwrap(), client.await.unwrap()) };
        tokio::time::timeout(Duration::from_secs(240), both).await.expect("no dead-lock");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_ping_of_a_slow_sequence_is_answered_while_another_thread_sends() {
    let (socket, client) = tcp_sockets().await;
    let (mut sender, receiver) = socket.split_with(TcpStream::into_split);
    let receiving = receive_all(receiver);
    let sending = tokio::spawn(async move {
        while sender.send("noise").await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    let (mut client_sender, mut client_receiver) = client.split_with(TcpStream::into_split);
    for i in 0..2000u32 {
        let payload = i.to_be_bytes().to_vec();
        client_sender.send(Message::Ping(payload.clone().into())).await.unwrap();
        loop {
            // One Ping at a time, so none may be left out for a later one.
            let message = in_time(client_receiver.receive()).await.unwrap().unwrap();
            if let Message::Pong(pong) = message {
                assert_eq!(pong, payload);
                break;
            }
        }
    }
    client_sender.close(None).await.unwrap();
    while let Some(Ok(_)) = in_time(client_receiver.receive()).await {}
    drop((client_sender, client_receiver));
    in_time(sending).await.unwrap();
    in_time(receiving).await.unwrap().1.unwrap();
}

/// Takes its time for each write, so that the other half finds the output in use. Its halves share no lock.
struct Slow<S>(S);

impl<S: AsyncWrite + Unpin> AsyncWrite for Slow<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        std::thread::sleep(Duration::from_millis(2));
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn receiver_that_stops_at_the_close_has_answered_it_although_another_thread_sends() {
    for role in ROLES {
        for _ in 0..20 {
            let (ours, theirs) = duplex(1 << 20);
            let socket = WebSocket::from_handshaken(ours, role, &[], &Options::default());
            let (mut sender, mut receiver) = socket.split_with(|stream| {
                let (read, write) = tokio::io::split(stream);
                (read, Slow(write))
            });
            let mut peer = Peer::new(theirs, role);
            let sending = tokio::spawn(async move { while sender.send("noise").await.is_ok() {} });
            let receiving = tokio::spawn(async move {
                let close = receiver.receive().await;
                assert!(matches!(close, Some(Ok(Message::Close(_)))), "{close:?}");
            });
            peer.send_raw(&close_frame(role, 4000)).await;
            assert_eq!(in_time(peer.receive_close_code()).await, Some(4000));
            in_time(receiving).await.unwrap();
            in_time(sending).await.unwrap();
        }
    }
}

/// Counts how often it is polled.
struct Counted<S> {
    stream: S,
    count: Arc<AtomicUsize>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.count.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.count.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halves_that_wait_are_not_polled() {
    for role in ROLES {
        for blocked in [false, true] {
            let (ours, theirs) = duplex(1000);
            let count = Arc::new(AtomicUsize::new(0));
            let counted = Counted { stream: ours, count: Arc::clone(&count) };
            let socket = WebSocket::from_handshaken(counted, role, &[], &Options::default());
            let mut peer = Peer::new(theirs, role);
            let (mut sender, receiver) = socket.split();
            let receiving = receive_all(receiver);
            let sending = blocked
                .then(|| tokio::spawn(async move { sender.send(Message::binary(vec![0; 100_000])).await }));
            sleep(Duration::from_millis(100)).await;
            let settled = count.load(Ordering::Relaxed);
            assert!(settled < 50, "{role:?}, {blocked}: {settled} polls");
            sleep(Duration::from_millis(200)).await;
            assert_eq!(count.load(Ordering::Relaxed), settled, "{role:?}, {blocked}: nothing happened");
            // And what happens costs a few.
            peer.send(OpCode::Text, b"wake up").await;
            sleep(Duration::from_millis(100)).await;
            let polls = count.load(Ordering::Relaxed) - settled;
            assert!((1..=20).contains(&polls), "{role:?}, {blocked}: {polls} polls for a message");
            receiving.abort();
            if let Some(sending) = sending {
                sending.abort();
            }
        }
    }
}

#[tokio::test]
async fn transport_ends_when_both_halves_are_dropped() {
    for role in ROLES {
        let (ours, theirs) = tcp_pair().await;
        let socket = WebSocket::from_handshaken(ours, role, &[], &Options::default());
        let (sender, receiver) = socket.split();
        let mut peer = Peer::new(theirs, role);
        peer.send_raw(&frame(role, OpCode::Text, b"x")[..3]).await;
        drop(receiver);
        drop(sender);
        // With unread bytes a reset, without an end: either way it is over.
        let mut rest = Vec::new();
        let end = in_time(tokio::io::AsyncReadExt::read_to_end(&mut peer.stream, &mut rest)).await;
        assert!(end.is_err() || rest.is_empty());
    }
}
