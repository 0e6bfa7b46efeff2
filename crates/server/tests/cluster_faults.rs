//! What goes wrong between servers: messages that are lost, servers that are silent, servers that die.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure in a helper fails the test")]

mod common;

use common::{QUIET, SOON, TestServer, Ws, soon};
use sockeye::{
    BroadcastAckError, Io, ServerSideEmitError,
    adapter::{
        AdapterError,
        cluster::{Body, ClusterConfig, InProcess, Membership, Message},
    },
};
use std::{
    future::IntoFuture,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Three servers, each with one client that is in the room `room`.
async fn three(config: ClusterConfig) -> (InProcess, Vec<TestServer>, Vec<Ws>) {
    let cluster = InProcess::with_config(config);
    let (mut servers, mut clients) = (Vec::new(), Vec::new());
    for number in 0..3 {
        let io = Io::builder().adapter(cluster.adapter()).build();
        common::usual_handlers(&io);
        io.on_server_event("number", move || async move { number });
        servers.push(TestServer::start(&io).await);
    }
    for server in &servers {
        let (ws, id) = Ws::join(server).await;
        server.io.socket(&id).unwrap().join("room");
        clients.push(ws);
        let mut count = 0;
        for _ in 0..1000 {
            count = server.io.server_count().await;
            if count == 3 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(count, 3);
    }
    (cluster, servers, clients)
}

fn quick() -> ClusterConfig {
    let mut config = ClusterConfig::default();
    config.request_timeout = QUIET;
    config
}

/// Servers are found after heartbeats of this length.
fn lively() -> ClusterConfig {
    let mut config = ClusterConfig::default();
    config.membership = Membership::Heartbeat { interval: QUIET, timeout: 3 * QUIET };
    config
}

#[tokio::test]
async fn lost_broadcast_is_lost_for_one_server_and_nothing_hangs() {
    let (cluster, servers, mut clients) = three(quick()).await;
    cluster.filter(
        |message, _| !matches!(&message.body, Body::Broadcast { event, .. } if event.json().contains("lost")),
    );
    for name in ["first", "lost", "second"] {
        servers[0].io.to("room").emit(name, ()).unwrap();
    }
    clients[0].expect(&["42[\"first\"]", "42[\"lost\"]", "42[\"second\"]"]).await;
    for ws in &mut clients[1..] {
        ws.expect(&["42[\"first\"]", "42[\"second\"]"]).await;
        ws.expect_alive().await;
    }
    assert_eq!(cluster.lost_count(), 0, "the server kept up");
}

#[tokio::test]
async fn lost_request_or_answer_ends_with_what_the_others_said() {
    type Loses = fn(&Message, &str) -> bool;
    // Servers are named by numbers, in the order in which they joined.
    let requests: Loses =
        |message, to| to.ends_with('2') && !matches!(message.body, Body::Heartbeat | Body::InitialHeartbeat);
    let answers: Loses = |message, to| {
        to.ends_with('0') && message.uid.ends_with('2') && !matches!(message.body, Body::Heartbeat)
    };
    for loses in [requests, answers] {
        let (cluster, servers, _clients) = three(quick()).await;
        cluster.filter(move |message, to| !loses(message, to));
        let io = &servers[0].io;
        match soon(io.to("room").fetch_sockets()).await {
            Err(AdapterError::Timeout { partial }) => assert_eq!(partial.len(), 2),
            other => panic!("not a timeout: {other:?}"),
        }
        match soon(io.server_side_emit_with_ack::<u8, _>("number", ()).into_future()).await {
            Err(ServerSideEmitError::Timeout { answers }) => assert_eq!(answers, [1]),
            other => panic!("not a timeout: {other:?}"),
        }
        match soon(io.all_rooms()).await {
            Err(AdapterError::Timeout { partial }) => assert!(partial.iter().any(|room| **room == *"room")),
            other => panic!("not a timeout: {other:?}"),
        }
    }
}

#[tokio::test]
async fn broadcast_with_acks_waits_for_a_silent_server_until_its_timeout_only() {
    let (cluster, servers, mut clients) = three(ClusterConfig::default()).await;
    cluster.filter(|message, to| {
        !to.ends_with('2') || matches!(message.body, Body::Heartbeat | Body::InitialHeartbeat)
    });
    let asked = servers[0].io.to("room").timeout(3 * QUIET).emit_with_ack::<u8, _>("ask", ());
    for (number, ws) in clients[..2].iter_mut().enumerate() {
        ws.expect(&["420[\"ask\"]"]).await;
        ws.send(&format!("430[{number}]")).await;
    }
    match soon(asked).await {
        Err(BroadcastAckError::Timeout { mut answers }) => {
            answers.sort_unstable();
            assert_eq!(answers, [0, 1]);
        }
        other => panic!("not a timeout: {other:?}"),
    }
    clients[2].expect_silence().await;
}

#[tokio::test]
async fn silent_server_is_lost_and_then_not_waited_for() {
    let (cluster, servers, _clients) = three(lively()).await;
    cluster.filter(|message, _| !message.uid.ends_with('2'));
    let mut count = 3;
    for _ in 0..1000 {
        count = servers[0].io.server_count().await;
        if count == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(count, 2);
    assert_eq!(soon(servers[0].io.to("room").fetch_sockets()).await.unwrap().len(), 2);
    cluster.filter(|_, _| true);
    for _ in 0..1000 {
        count = servers[0].io.server_count().await;
        if count == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(soon(servers[0].io.to("room").fetch_sockets()).await.unwrap().len(), 3, "it is back");
}

#[tokio::test]
async fn server_that_dies_in_the_middle_of_requests_does_not_hold_them_up() {
    let (cluster, servers, mut clients) = three(ClusterConfig::default()).await;
    // Server 2 gets the requests and never answers.
    let asked_count = Arc::new(AtomicUsize::new(0));
    let counted = asked_count.clone();
    cluster.filter(move |message, _| {
        let is_answer = matches!(
            message.body,
            Body::FetchSocketsResponse { .. }
                | Body::ServerSideEmitResponse { .. }
                | Body::BroadcastClientCount { .. }
        );
        let is_lost = is_answer && message.uid.ends_with('2');
        counted.fetch_add(usize::from(is_lost), Ordering::Relaxed);
        !is_lost
    });
    let io = servers[0].io.clone();
    let fetching = tokio::spawn({
        let io = io.clone();
        async move { io.to("room").timeout(60 * SOON).fetch_sockets().await }
    });
    let emitting =
        tokio::spawn(io.server_side_emit_with_ack::<u8, _>("number", ()).timeout(60 * SOON).into_future());
    let asking = tokio::spawn(io.to("room").timeout(60 * SOON).emit_with_ack::<u8, _>("ask", ()));
    for (number, ws) in clients.iter_mut().enumerate() {
        ws.expect(&["420[\"ask\"]"]).await;
        if number < 2 {
            ws.send(&format!("430[{number}]")).await;
        }
    }
    common::until("all requests were lost", || asked_count.load(Ordering::Relaxed) == 3).await;
    assert!(!fetching.is_finished() && !emitting.is_finished() && !asking.is_finished());

    let mut servers = servers;
    let dead = servers.remove(2);
    clients.remove(2);
    let TestServer { io: dead_io, .. } = &dead;
    soon(dead_io.close(SOON)).await;
    drop(dead);
    assert_eq!(soon(fetching).await.unwrap().unwrap().len(), 2);
    assert_eq!(soon(emitting).await.unwrap().unwrap(), [1]);
    let mut answers = soon(asking).await.unwrap().unwrap();
    answers.sort_unstable();
    assert_eq!(answers, [0, 1]);
    assert_eq!(servers[0].io.server_count().await, 2);
}

#[tokio::test]
async fn clients_that_leave_are_not_waited_for_and_forgotten() {
    let (_cluster, servers, mut clients) = three(ClusterConfig::default()).await;
    let io = &servers[0].io;
    let mut other = Ws::join(&servers[0]).await.0;
    let asked = io.local().timeout(60 * SOON).emit_with_ack::<u8, _>("ask", ());
    clients[0].expect(&["420[\"ask\"]"]).await;
    other.expect(&["420[\"ask\"]"]).await;
    clients[0].send("430[1]").await;
    drop(other);
    match soon(asked).await {
        Err(BroadcastAckError::Disconnected { answers }) => assert_eq!(answers, [1]),
        other => panic!("nobody disconnected: {other:?}"),
    }
    // Nobody there at all.
    assert!(soon(io.to("nobody").emit_with_ack::<u8, _>("ask", ())).await.unwrap().is_empty());
    let wrong = io.local().emit_with_ack::<u8, _>("ask", ());
    clients[0].expect(&["422[\"ask\"]"]).await;
    clients[0].send("432[\"text\"]").await;
    assert!(matches!(soon(wrong).await, Err(BroadcastAckError::InvalidAnswer(_))));
    let reserved = soon(io.emit_with_ack::<u8, _>("disconnect", ())).await;
    assert!(matches!(reserved, Err(BroadcastAckError::Emit(_))));
}

#[tokio::test]
async fn cluster_that_is_gone_leaves_no_task_and_no_server_behind() {
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for _ in 0..20 {
        let cluster = InProcess::new();
        let ios = [0, 1].map(|_| Io::builder().adapter(cluster.adapter()).build());
        ios[0].emit("n", ()).unwrap();
        assert_eq!(soon(ios[0].fetch_sockets()).await.unwrap().len(), 0);
    }
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    common::until("all tasks are over", || alive() <= before).await;
}
