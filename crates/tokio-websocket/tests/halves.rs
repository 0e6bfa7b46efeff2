//! The socket as a `Stream` and a `Sink`, whole and split between two tasks.

mod support;

use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use sockeye_tokio_websocket::{Error, Message, Options, Role, WebSocket, codec::OpCode};
use std::{future::Future, time::Duration};
use support::{Peer, ROLES, close_frame, frame, tcp_sockets};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, duplex};

/// Two connected sockets of both roles over a transport that holds `len` bytes per direction.
fn duplex_sockets(len: usize) -> (WebSocket<tokio::io::DuplexStream>, WebSocket<tokio::io::DuplexStream>) {
    let (server, client) = duplex(len);
    let options = Options::default();
    (
        WebSocket::from_handshaken(server, Role::Server, &[], &options),
        WebSocket::from_handshaken(client, Role::Client, &[], &options),
    )
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("no dead-lock")
}

#[tokio::test]
async fn stream_forwarded_into_the_sink_of_the_same_socket_is_an_echo() {
    let (server, mut client) = tcp_sockets().await;
    let echo = tokio::spawn(async move {
        let (sink, stream) = server.split();
        stream.try_filter(|message| std::future::ready(message.is_data())).forward(sink).await
    });
    let messages: Vec<_> = (0..100).map(|i| Message::text(format!("message {i}"))).collect();
    client.send_all(&mut stream::iter(messages.clone()).map(Ok)).await.unwrap();
    let echoes: Vec<_> = in_time((&mut client).take(100).try_collect()).await.unwrap();
    assert_eq!(echoes, messages);
    in_time(async { SinkExt::close(&mut client).await }).await.unwrap();
    in_time(echo).await.unwrap().unwrap();
}

#[tokio::test]
async fn whole_stream_forwarded_into_a_socket_ends_with_a_close() {
    let (server, mut client) = tcp_sockets().await;
    let messages = vec![Message::text("a"), Message::binary("b")];
    let forward = tokio::spawn(stream::iter(messages.clone()).map(Ok).forward(server));
    let received: Vec<_> = in_time((&mut client).try_collect()).await.unwrap();
    assert_eq!(received, [messages, vec![Message::Close(None)]].concat());
    in_time(forward).await.unwrap().unwrap();
}

/// Sends and receives at the same time, in two tasks.
async fn exchange<S>(socket: WebSocket<S>, messages: Vec<Message>) -> Vec<Message>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sink, stream) = socket.split();
    let count = messages.len();
    let send = tokio::spawn(async move {
        for message in messages {
            sink.send(message).await?;
        }
        Ok::<_, Error>(())
    });
    let receive = tokio::spawn(async move { (stream.take(count).try_collect::<Vec<_>>().await, send.await) });
    let (received, sent) = receive.await.expect("the task ends");
    sent.expect("the task ends").expect("the sink works");
    received.expect("the stream works")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_in_both_directions_at_the_same_time_do_not_dead_lock() {
    let messages = || (0..4).map(|i| Message::binary(vec![i; 8 << 20])).collect::<Vec<_>>();
    let (server, client) = tcp_sockets().await;
    let (a, b) = in_time(async {
        tokio::join!(tokio::spawn(exchange(server, messages())), tokio::spawn(exchange(client, messages())))
    })
    .await;
    assert!(a.unwrap() == messages() && b.unwrap() == messages());
}

#[tokio::test(start_paused = true)]
async fn halves_in_two_tasks_do_not_steal_each_others_wake_ups() {
    for len in [1, 7, 64, 1000] {
        let messages = || (0..50u8).map(|i| Message::binary(vec![i; 300])).collect::<Vec<_>>();
        let (server, client) = duplex_sockets(len);
        let (a, b) =
            in_time(async { tokio::join!(exchange(server, messages()), exchange(client, messages())) }).await;
        assert!(a == messages() && b == messages(), "{len}");
    }
}

/// The receiving task writes what the sending task waits for.
#[tokio::test(start_paused = true)]
async fn sender_is_woken_when_the_receiver_wrote_its_message() {
    for role in ROLES {
        let (ours, theirs) = duplex(100);
        let (mut sink, mut stream) = WebSocket::from_handshaken(ours, role, &[], &Options::default()).split();
        let mut peer = Peer::new(theirs, role);
        let sending = tokio::spawn(async move { sink.send(Message::binary(vec![0; 1000])).await });
        tokio::task::yield_now().await;
        let receiving = tokio::spawn(async move { stream.next().await });
        tokio::task::yield_now().await;
        assert_eq!(in_time(peer.receive()).await, Some((OpCode::Binary, vec![0; 1000])));
        in_time(sending).await.unwrap().unwrap();
        peer.send(OpCode::Text, b"hello").await;
        assert_eq!(in_time(receiving).await.unwrap().unwrap().unwrap(), Message::text("hello"));
    }
}

#[tokio::test(start_paused = true)]
async fn pongs_leave_although_the_sending_half_waited_last_and_gave_up() {
    for role in ROLES {
        let (ours, theirs) = duplex(100);
        let (mut sink, mut stream) = WebSocket::from_handshaken(ours, role, &[], &Options::default()).split();
        let mut peer = Peer::new(theirs, role);
        let receiving = tokio::spawn(async move {
            while let Some(message) = stream.next().await {
                if message.expect("the peer is correct").as_text() == Some("done") {
                    break;
                }
            }
        });
        for _ in 0..20 {
            peer.send(OpCode::Ping, &[b'?'; 50]).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let sending = tokio::spawn(async move {
            let _ = tokio::time::timeout(Duration::from_secs(1), sink.flush()).await;
            sink
        });
        let _sink = sending.await.unwrap();
        for _ in 0..20 {
            assert_eq!(in_time(peer.receive()).await, Some((OpCode::Pong, vec![b'?'; 50])));
        }
        peer.send(OpCode::Text, b"done").await;
        in_time(receiving).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn close_of_the_sink_ends_the_stream_in_another_task() {
    for role in ROLES {
        let (ours, theirs) = duplex(4096);
        let (mut sink, mut stream) = WebSocket::from_handshaken(ours, role, &[], &Options::default()).split();
        let mut peer = Peer::new(theirs, role);
        let receiving = tokio::spawn(async move {
            while let Some(message) = stream.next().await {
                message.expect("the peer is correct");
            }
        });
        tokio::task::yield_now().await;
        let closing = tokio::spawn(async move { SinkExt::close(&mut sink).await });
        assert_eq!(in_time(peer.receive()).await, Some((OpCode::Close, vec![])));
        peer.send_raw(&close_frame(role, 1000)).await;
        peer.stream.shutdown().await.unwrap();
        in_time(closing).await.unwrap().unwrap();
        in_time(receiving).await.unwrap();
    }
}

#[tokio::test]
async fn borrowed_messages_are_seen_where_they_lie() {
    for role in ROLES {
        let (ours, theirs) = duplex(4096);
        let mut socket = WebSocket::from_handshaken(ours, role, &[], &Options::default());
        let mut peer = Peer::new(theirs, role);
        let mut bytes = frame(role, OpCode::Text, b"ignored");
        bytes.extend(frame(role, OpCode::Binary, b"123"));
        bytes.extend(frame(role, OpCode::Text, b"next"));
        peer.send_raw(&bytes).await;
        let len = std::future::poll_fn(|cx| {
            socket.poll_receive_with(cx, |event| match event {
                sockeye_tokio_websocket::Event::Binary(bytes) => Some(bytes.len()),
                _ => None,
            })
        });
        assert_eq!(len.await.unwrap().unwrap(), 3);
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("next"));
    }
}
