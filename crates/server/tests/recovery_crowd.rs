//! A crowd that loses its connections at once, and comes back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure in a helper fails the test")]

mod common;

use common::{TestServer, Ws, until};
use serde_json::{Value, json};
use sockeye::{Io, Socket};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

const MAX_CLIENTS: usize = 2000;

/// As many as may be: both ends of their connections are files of this process.
fn client_count() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let files = files.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(1024);
    (files / 2_usize).saturating_sub(100).min(MAX_CLIENTS)
}

/// How long the whole crowd may take to be back.
const ALL_BACK: Duration = Duration::from_secs(30);

/// The last argument of an event, which is its offset.
fn offset(packet: &str) -> String {
    let args: Vec<Value> = serde_json::from_str(packet.strip_prefix("42").unwrap()).unwrap();
    args.last().unwrap().as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowd_that_loses_its_connections_at_once_comes_back_complete() {
    let count = client_count();
    let io = Io::builder().connection_state_recovery(|_| ()).build();
    io.on_connection(async |socket: Socket| {
        if !socket.recovered() {
            socket.join("crowd");
            socket.emit("hello", ())?;
        }
        Ok::<_, sockeye::EmitError>(())
    });
    let server = TestServer::start(&io).await;
    // As many handshakes at a time as a listening socket holds.
    let handshakes = Arc::new(Semaphore::new(100));
    let addr = server.addr;
    let mut joining = Vec::new();
    for _ in 0..count {
        let handshakes = handshakes.clone();
        joining.push(tokio::spawn(async move {
            let permit = handshakes.acquire().await.unwrap();
            let mut ws = Ws::open_at(addr, common::WEBSOCKET).await;
            ws.next().await;
            ws.send("40").await;
            let reply: Value = serde_json::from_str(&ws.next().await[2..]).unwrap();
            let seen = offset(&ws.next().await);
            drop(permit);
            (ws, reply, seen)
        }));
    }
    let mut clients = Vec::new();
    for joining in joining {
        clients.push(joining.await.unwrap());
    }
    assert_eq!(io.room_len("crowd"), count);

    let known: Vec<_> = clients.into_iter().map(|(_, reply, seen)| (reply, seen)).collect();
    until("all are away", || io.client_count() == 0).await;
    for n in 0..3 {
        io.to("crowd").emit("missed", n).unwrap();
    }
    let returning: Vec<_> = known
        .into_iter()
        .map(|(reply, seen)| {
            let handshakes = handshakes.clone();
            tokio::spawn(async move {
                let permit = handshakes.acquire().await.unwrap();
                let mut ws = Ws::open_at(addr, common::WEBSOCKET).await;
                ws.next().await;
                ws.send(&format!("40{}", json!({ "pid": reply["pid"], "offset": seen }))).await;
                for n in 0..3 {
                    assert!(ws.next().await.starts_with(&format!("42[\"missed\",{n},")));
                }
                assert_eq!(serde_json::from_str::<Value>(&ws.next().await[2..]).unwrap(), reply);
                drop(permit);
                ws
            })
        })
        .collect();
    let all = async {
        let mut back = Vec::new();
        for returning in returning {
            back.push(returning.await.unwrap());
        }
        back
    };
    let back = tokio::time::timeout(ALL_BACK, all).await.expect("the crowd is back in time");
    assert_eq!(back.len(), count);
    assert_eq!(io.room_len("crowd"), count);
}
