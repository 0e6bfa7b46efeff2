//! Pings to a silent peer, and the end of one that is dead or idle, in virtual time.

mod support;

use sockeye_tokio_websocket::{
    CloseCode, CloseFrame, Error, Keepalive, Message, MessageKind, Options, Role, WebSocket,
    codec::{OpCode, ProtocolError},
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use support::{Peer, ROLES, close_frame, duplex_socket, frame, frame_with, in_time, poll_once};
use tokio::{
    io::{AsyncWriteExt, DuplexStream},
    time::{Instant, advance, sleep, timeout},
};

const INTERVAL: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_secs(10);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn keepalive() -> Options {
    Options { keepalive: Some(Keepalive { interval: INTERVAL, timeout: TIMEOUT }), ..Options::default() }
}

fn idle(timeout: Duration) -> Options {
    Options { idle_timeout: Some(timeout), ..Options::default() }
}

/// Receives until the end, and tells it.
async fn receive_all(mut socket: WebSocket<DuplexStream>) -> Result<(), Error> {
    while let Some(message) = socket.receive().await {
        message?;
    }
    Ok(())
}

/// The payload of the Ping that comes next, and when.
async fn ping(peer: &mut Peer<DuplexStream>) -> Vec<u8> {
    let (opcode, payload) = peer.receive().await.expect("the connection is open");
    assert_eq!(opcode, OpCode::Ping);
    payload
}

#[tokio::test(start_paused = true)]
async fn silent_peer_is_pinged_after_the_interval_and_dropped_without_an_answer() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 4096, &keepalive());
        let start = Instant::now();
        let talk = async {
            assert!(ping(&mut peer).await.len() >= 8);
            assert_eq!(start.elapsed(), INTERVAL);
        };
        let (end, ()) = tokio::join!(socket.receive(), talk);
        assert!(matches!(end, Some(Err(Error::KeepaliveTimeout))), "{end:?}");
        assert_eq!(start.elapsed(), INTERVAL + TIMEOUT);
        assert!(socket.receive().await.is_none(), "an error is told once");
        assert!(matches!(socket.send("more").await, Err(Error::Send(_))));
        drop(socket);
        peer.assert_end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_two_pings_have_the_same_payload() {
    for role in ROLES {
        let (socket, mut peer) = duplex_socket(role, 4096, &keepalive());
        let receiving = tokio::spawn(receive_all(socket));
        let mut payloads = HashSet::new();
        for _ in 0..100 {
            let payload = ping(&mut peer).await;
            peer.send(OpCode::Pong, &payload).await;
            assert!(payloads.insert(payload), "a Ping is repeated");
        }
        assert!(!receiving.is_finished());
        peer.send_raw(&close_frame(role, 1000)).await;
        peer.stream.shutdown().await.unwrap();
        receiving.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn messages_put_off_the_ping() {
    for role in ROLES {
        let (socket, mut peer) = duplex_socket(role, 4096, &keepalive());
        let receiving = tokio::spawn(receive_all(socket));
        for opcode in [OpCode::Text, OpCode::Binary, OpCode::Ping, OpCode::Pong] {
            sleep(INTERVAL - secs(1)).await;
            peer.send(opcode, b"x").await;
        }
        let start = Instant::now();
        loop {
            let (opcode, _) = peer.receive().await.unwrap();
            if opcode == OpCode::Ping {
                break;
            }
        }
        assert_eq!(start.elapsed(), INTERVAL);
        receiving.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn message_after_the_ping_is_an_answer_too() {
    for role in ROLES {
        let (socket, mut peer) = duplex_socket(role, 4096, &keepalive());
        let receiving = tokio::spawn(receive_all(socket));
        for opcode in [OpCode::Text, OpCode::Binary] {
            ping(&mut peer).await;
            sleep(TIMEOUT - secs(1)).await;
            peer.send(opcode, b"x").await;
        }
        ping(&mut peer).await;
        assert!(!receiving.is_finished());
        receiving.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn pong_with_another_payload_is_no_answer() {
    for role in ROLES {
        let (socket, mut peer) = duplex_socket(role, 4096, &keepalive());
        let receiving = tokio::spawn(receive_all(socket));
        let start = Instant::now();
        let nonce = ping(&mut peer).await;
        for guess in [&b""[..], b"guess", &[0; 8], &nonce[1..]] {
            sleep(secs(1)).await;
            peer.send(OpCode::Pong, guess).await;
            peer.send(OpCode::Ping, guess).await;
        }
        let end = receiving.await.unwrap();
        assert!(matches!(end, Err(Error::KeepaliveTimeout)), "{end:?}");
        assert_eq!(start.elapsed(), INTERVAL + TIMEOUT);
    }
}

#[tokio::test(start_paused = true)]
async fn pong_of_an_earlier_ping_is_no_answer() {
    for role in ROLES {
        let (socket, mut peer) = duplex_socket(role, 4096, &keepalive());
        let receiving = tokio::spawn(receive_all(socket));
        let first = ping(&mut peer).await;
        peer.send(OpCode::Pong, &first).await;
        ping(&mut peer).await;
        peer.send(OpCode::Pong, &first).await;
        let end = receiving.await.unwrap();
        assert!(matches!(end, Err(Error::KeepaliveTimeout)), "{end:?}");
    }
}

/// Within a frame the peer can send no Pong.
#[tokio::test(start_paused = true)]
async fn long_message_that_arrives_slowly_keeps_the_connection() {
    for role in ROLES {
        for options in [keepalive(), idle(secs(25))] {
            let (mut socket, mut peer) = duplex_socket(role, 4096, &options);
            let bytes = frame(role, OpCode::Binary, &[1; 2000]);
            let send = async {
                for piece in bytes.chunks(bytes.len() / 10) {
                    peer.send_raw(piece).await;
                    sleep(secs(24)).await;
                }
            };
            let (received, ()) = tokio::join!(socket.receive(), send);
            assert_eq!(received.unwrap().unwrap(), Message::binary(vec![1; 2000]), "{role:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn peer_that_takes_a_long_message_slowly_is_alive() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 100, &keepalive());
        socket.queue(Message::binary(vec![0; 1000])).unwrap();
        let receiving = tokio::spawn(receive_all(socket));
        let mut piece = [0; 100];
        for _ in 0..9 {
            sleep(secs(25)).await;
            tokio::io::AsyncReadExt::read_exact(&mut peer.stream, &mut piece).await.unwrap();
        }
        assert!(!receiving.is_finished(), "{role:?}");
        // Now it takes nothing any more.
        let end = in_time(receiving).await.unwrap();
        assert!(matches!(end, Err(Error::KeepaliveTimeout)), "{end:?}");
    }
}

/// Small messages vanish in the transport whether anybody reads them or not.
#[tokio::test(start_paused = true)]
async fn messages_that_are_sent_to_a_dead_peer_do_not_make_it_alive() {
    for role in ROLES {
        let (mut socket, _peer) = duplex_socket(role, 1 << 20, &keepalive());
        let start = Instant::now();
        let end = loop {
            match timeout(secs(1), socket.receive()).await {
                Ok(end) => break end,
                Err(_) => socket.send("tick").await.unwrap(),
            }
        };
        assert!(matches!(end, Some(Err(Error::KeepaliveTimeout))), "{end:?}");
        assert_eq!(start.elapsed(), INTERVAL + TIMEOUT);
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_message_and_then_silence_is_dead() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 4096, &keepalive());
        peer.send_raw(&frame(role, OpCode::Binary, &[1; 2000])[..1000]).await;
        let start = Instant::now();
        let end = socket.receive().await;
        assert!(matches!(end, Some(Err(Error::KeepaliveTimeout))), "{end:?}");
        assert_eq!(start.elapsed(), INTERVAL + TIMEOUT);
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_keep_the_connection() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 4096, &keepalive());
        let send = async {
            peer.send_raw(&frame_with(role, false, OpCode::Binary, b"x")).await;
            for _ in 0..10 {
                sleep(secs(25)).await;
                peer.send_raw(&frame_with(role, false, OpCode::Continuation, b"x")).await;
            }
        };
        let receive = async {
            for _ in 0..11 {
                socket.receive_chunk().await.unwrap().unwrap();
            }
        };
        tokio::join!(send, receive);
    }
}

#[tokio::test(start_paused = true)]
async fn answer_that_arrived_while_nobody_received_counts() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 4096, &keepalive());
        assert!(timeout(INTERVAL + secs(1), socket.receive()).await.is_err());
        let payload = ping(&mut peer).await;
        peer.send(OpCode::Pong, &payload).await;
        // The application does something else, longer than the peer may take.
        advance(TIMEOUT * 3).await;
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::Pong(payload.into()));
        // The same with a message, and with no answer.
        assert!(timeout(INTERVAL + secs(1), socket.receive()).await.is_err());
        peer.send(OpCode::Text, b"here").await;
        advance(TIMEOUT * 3).await;
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("here"));
        assert!(timeout(INTERVAL + secs(1), socket.receive()).await.is_err());
        advance(TIMEOUT * 3).await;
        let end = poll_once(socket.receive());
        assert!(matches!(end, std::task::Poll::Ready(Some(Err(Error::KeepaliveTimeout)))), "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn message_that_arrived_while_nobody_received_is_activity() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 4096, &idle(secs(30)));
        peer.send(OpCode::Text, b"here").await;
        advance(secs(100)).await;
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("here"));
        assert!(timeout(secs(29), socket.receive()).await.is_err());
        assert_eq!(socket.queued_len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn flood_of_pongs_that_answer_nothing_does_not_put_the_end_off_for_ever() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 256, &keepalive());
        assert!(timeout(INTERVAL + secs(1), socket.receive()).await.is_err());
        let flood = tokio::spawn(async move {
            let bytes = frame(role, OpCode::Pong, &[b'!'; 100]);
            while peer.stream.write_all(&bytes).await.is_ok() {}
        });
        let start = Instant::now();
        let mut received_count = 0u64;
        let end = loop {
            match socket.receive().await.unwrap() {
                Ok(_) => received_count += 1,
                Err(error) => break error,
            }
            // Time passes although there is always something to read.
            advance(Duration::from_millis(10)).await;
        };
        assert!(matches!(end, Error::KeepaliveTimeout), "{end:?}");
        assert!(received_count > 500, "{received_count}");
        assert!(start.elapsed() < TIMEOUT * 3, "{:?}", start.elapsed());
        drop(socket);
        flood.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn huge_durations_are_for_ever_and_none_is_at_once() {
    for role in ROLES {
        let (interval, timeout_) = (Duration::MAX, Duration::MAX);
        let options = Options {
            keepalive: Some(Keepalive { interval, timeout: timeout_ }),
            idle_timeout: Some(Duration::MAX),
            ..Options::default()
        };
        let (mut socket, mut peer) = duplex_socket(role, 4096, &options);
        assert!(timeout(secs(100 * 24 * 3600), socket.receive()).await.is_err());
        peer.send(OpCode::Text, b"still there").await;
        assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("still there"));

        let none = Keepalive { interval: Duration::ZERO, timeout: Duration::ZERO };
        let options = Options { keepalive: Some(none), ..Options::default() };
        let (mut socket, _peer) = duplex_socket(role, 4096, &options);
        let end = in_time(socket.receive()).await;
        assert!(matches!(end, Some(Err(Error::KeepaliveTimeout))), "{end:?}");
        let (mut socket, mut peer) = duplex_socket(role, 4096, &idle(Duration::ZERO));
        let (end, code) = tokio::join!(socket.receive(), async {
            let code = peer.receive_close_code().await;
            drop(peer);
            code
        });
        assert!(matches!(end, Some(Err(Error::IdleTimeout))), "{end:?}");
        assert_eq!(code, Some(1001));
    }
}

#[tokio::test(start_paused = true)]
async fn idle_limit_of_more_than_a_year_comes_due_once_and_not_in_an_endless_loop() {
    let (mut socket, _peer) = duplex_socket(Role::Server, 4096, &idle(Duration::MAX));
    advance(secs(3600)).await;
    socket.send("later than the beginning").await.unwrap();
    let end = socket.receive().await;
    assert!(matches!(end, Some(Err(Error::IdleTimeout))), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn idle_connection_is_closed_with_1001() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 4096, &idle(secs(30)));
        let start = Instant::now();
        let talk = async {
            assert_eq!(peer.receive_close_code().await, Some(1001));
            assert_eq!(start.elapsed(), secs(30));
            peer.send(OpCode::Text, b"crossing").await;
            peer.send_raw(&close_frame(role, 1001)).await;
            peer.stream.shutdown().await.unwrap();
            peer.assert_end().await;
        };
        let receive = async {
            assert_eq!(socket.receive().await.unwrap().unwrap(), Message::text("crossing"));
            assert!(matches!(socket.receive().await, Some(Ok(Message::Close(Some(_))))));
            let end = socket.receive().await;
            assert!(matches!(end, Some(Err(Error::IdleTimeout))), "{end:?}");
            assert!(socket.receive().await.is_none(), "an error is told once");
        };
        tokio::join!(talk, receive);
    }
}

#[tokio::test(start_paused = true)]
async fn idle_peer_that_does_not_answer_the_close_or_just_goes_is_told_as_idle_once() {
    for role in ROLES {
        for goes in [false, true] {
            let (mut socket, mut peer) = duplex_socket(role, 4096, &idle(secs(30)));
            let start = Instant::now();
            let talk = async {
                assert_eq!(peer.receive_close_code().await, Some(1001));
                if goes {
                    peer.stream.shutdown().await.unwrap();
                }
            };
            let (end, ()) = tokio::join!(socket.receive(), talk);
            assert!(matches!(end, Some(Err(Error::IdleTimeout))), "{end:?}");
            assert_eq!(start.elapsed(), secs(if goes { 30 } else { 35 }));
            let end = socket.receive().await;
            assert!(end.is_none(), "an error is told once, and not {end:?} as well");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn messages_in_either_direction_are_activity_and_pings_are_none() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 4096, &idle(secs(30)));
        assert!(timeout(secs(29), socket.receive()).await.is_err());
        socket.send("ours").await.unwrap();
        assert!(timeout(secs(29), socket.receive()).await.is_err());
        socket.start_message(MessageKind::Binary).unwrap().finish_with(b"ours").await.unwrap();
        assert!(timeout(secs(29), socket.receive()).await.is_err());
        peer.send(OpCode::Text, b"theirs").await;
        assert!(matches!(socket.receive().await, Some(Ok(Message::Text(_)))));
        let start = Instant::now();
        let talk = async {
            for opcode in [OpCode::Ping, OpCode::Pong] {
                sleep(secs(10)).await;
                peer.send(opcode, b"").await;
            }
            let code = peer.receive_close_code().await;
            drop(peer);
            (code, start.elapsed())
        };
        let receive = async {
            loop {
                match socket.receive().await {
                    Some(Ok(_)) => socket.send(Message::Ping("ours".into())).await.unwrap(),
                    end => break end,
                }
            }
        };
        let (end, (code, after)) = tokio::join!(receive, talk);
        assert!(matches!(end, Some(Err(Error::IdleTimeout))), "{end:?}");
        assert_eq!((code, after), (Some(1001), secs(30)));
    }
}

#[tokio::test(start_paused = true)]
async fn both_timers_work_together() {
    for role in ROLES {
        let options = Options { idle_timeout: Some(secs(50)), ..keepalive() };
        let (mut socket, mut peer) = duplex_socket(role, 4096, &options);
        let start = Instant::now();
        let talk = async {
            for _ in 0..2 {
                let payload = ping(&mut peer).await;
                peer.send(OpCode::Pong, &payload).await;
            }
            assert_eq!(peer.receive_close_code().await, Some(1001));
            assert_eq!(start.elapsed(), secs(50));
            drop(peer);
        };
        let receive = async {
            loop {
                match socket.receive().await {
                    Some(Ok(_)) => {}
                    end => break end,
                }
            }
        };
        let (end, ()) = tokio::join!(receive, talk);
        assert!(matches!(end, Some(Err(Error::IdleTimeout))), "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_ping_follows_a_close() {
    for role in ROLES {
        let options = Options { close_timeout: secs(100), ..keepalive() };
        let (mut socket, mut peer) = duplex_socket(role, 4096, &options);
        socket.start_close(Some(CloseFrame::new(CloseCode::NORMAL, ""))).unwrap();
        let start = Instant::now();
        let end = socket.receive().await;
        assert!(matches!(end, Some(Err(Error::CloseTimeout))), "{end:?}");
        assert_eq!(start.elapsed(), secs(100));
        drop(socket);
        assert_eq!(peer.receive().await, Some((OpCode::Close, vec![3, 232])));
        peer.assert_end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_alive_after_the_end() {
    for role in ROLES {
        let options = Options { idle_timeout: Some(secs(50)), ..keepalive() };
        let (socket, mut peer) = duplex_socket(role, 4096, &options);
        let token = Arc::new(());
        let watch = Arc::downgrade(&token);
        let mut socket = socket;
        let receiving = tokio::spawn(async move {
            let _token = token;
            while socket.receive().await.is_some() {}
            // The application keeps the socket for a while.
            sleep(secs(10_000)).await;
            socket
        });
        peer.send_raw(&close_frame(role, 1000)).await;
        peer.stream.shutdown().await.unwrap();
        while peer.receive().await.is_some() {}
        let metrics = tokio::runtime::Handle::current().metrics();
        assert_eq!(metrics.num_alive_tasks(), 1, "only the application's own task");
        let mut socket = receiving.await.unwrap();
        assert!(watch.upgrade().is_none());
        assert!(socket.receive().await.is_none());
        assert!(timeout(secs(1000), std::future::pending::<()>()).await.is_err());
        assert!(socket.receive().await.is_none());
        assert_eq!(socket.queued_len(), 0, "no Ping was queued");
    }
}

#[tokio::test(start_paused = true)]
async fn transport_that_ends_within_the_answer_time_is_told_as_what_it_is() {
    for role in ROLES {
        let (mut socket, mut peer) = duplex_socket(role, 4096, &keepalive());
        let talk = async {
            ping(&mut peer).await;
            peer.stream.shutdown().await.unwrap();
        };
        let (end, ()) = tokio::join!(socket.receive(), talk);
        assert!(matches!(end, Some(Err(Error::Protocol(ProtocolError::ClosedWithoutHandshake)))), "{end:?}");
        assert!(socket.receive().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn halves_keep_the_timers_too() {
    for role in ROLES {
        let options = Options { idle_timeout: Some(secs(100)), ..keepalive() };
        let (socket, mut peer) = duplex_socket(role, 4096, &options);
        let (mut sender, mut receiver) = socket.split();
        let receiving = tokio::spawn(async move {
            loop {
                match receiver.receive().await {
                    Some(Ok(_)) => {}
                    end => break end,
                }
            }
        });
        let payload = ping(&mut peer).await;
        peer.send(OpCode::Pong, &payload).await;
        ping(&mut peer).await;
        let end = receiving.await.unwrap();
        assert!(matches!(end, Some(Err(Error::KeepaliveTimeout))), "{end:?}");
        assert!(matches!(sender.send("more").await, Err(Error::Send(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_the_sending_half_are_activity_from_when_they_were_sent() {
    for role in ROLES {
        let (socket, mut peer) = duplex_socket(role, 4096, &idle(secs(30)));
        let (mut sender, mut receiver) = socket.split();
        let receiving = tokio::spawn(async move { receiver.receive().await });
        sleep(secs(20)).await;
        sender.send("hello").await.unwrap();
        let start = Instant::now();
        assert_eq!(peer.receive_close_code().await, Some(1001));
        assert_eq!(start.elapsed(), secs(30));
        drop(peer);
        let end = receiving.await.unwrap();
        assert!(matches!(end, Some(Err(Error::IdleTimeout))), "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn sender_that_waits_for_a_dead_peer_is_released_when_the_keepalive_ends_the_connection() {
    for role in ROLES {
        let (socket, _peer) = duplex_socket(role, 100, &keepalive());
        let (mut sender, mut receiver) = socket.split();
        let sending = tokio::spawn(async move { sender.send(Message::binary(vec![0; 10_000])).await });
        let end = in_time(receiver.receive()).await;
        assert!(matches!(end, Some(Err(Error::KeepaliveTimeout))), "{end:?}");
        drop(receiver);
        let sent = in_time(sending).await.unwrap();
        assert!(matches!(sent, Err(Error::Io(_))), "{sent:?}");
    }
}
