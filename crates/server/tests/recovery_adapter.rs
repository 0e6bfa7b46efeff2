//! Recovery on another server of a cluster, by an adapter that gives all servers one order and keeps the sessions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure in a helper fails the test")]

mod common;

use common::{TestServer, Ws, until};
use serde_json::{Value, json};
use sockeye::{
    Io, RemoteSocketData, Room,
    adapter::{
        AckSink, Adapter, AdapterError, BoxFuture, BroadcastOptions, LocalPart, MissedPacket, Node, Payload,
        Resume, Session,
    },
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// A log that all servers read in order, as Redis streams are.
#[derive(Clone, Default)]
struct Stream {
    inner: Arc<Mutex<Inner>>,
}

/// What goes on with a client between two deliveries.
type Resuming = Box<dyn FnOnce(&Inner) + Send>;

#[derive(Default)]
struct Inner {
    nodes: Vec<Arc<dyn Node>>,
    events: Vec<(Payload, BroadcastOptions)>,
    sessions: HashMap<String, Session>,
    /// How long sessions are to be kept.
    durations: Vec<Duration>,
    /// Resumptions that wait for their moment.
    resuming: Vec<Resuming>,
    holds: bool,
}

impl Stream {
    fn adapter(&self) -> impl Fn(Arc<dyn Node>) -> Self + Send + Sync + 'static {
        let stream = self.clone();
        move |node| {
            assert_eq!(node.max_disconnection(), Some(Duration::from_secs(120)));
            stream.inner.lock().unwrap().nodes.push(node);
            stream.clone()
        }
    }

    /// Lets resumptions wait, or go on.
    fn hold(&self, holds: bool) {
        let mut inner = self.inner.lock().unwrap();
        inner.holds = holds;
        for resume in std::mem::take(&mut inner.resuming) {
            resume(&inner);
        }
    }
}

impl Adapter for Stream {
    fn broadcast(&self, event: &Payload, options: &BroadcastOptions) -> LocalPart {
        let mut inner = self.inner.lock().unwrap();
        let offset = format!("{}-0", inner.events.len());
        inner.events.push((event.clone(), options.clone()));
        inner.nodes.iter().for_each(|node| node.broadcast(event, options, Some(&offset)));
        LocalPart::Adapter
    }

    fn broadcast_with_ack(&self, _: &Payload, _: &BroadcastOptions, acks: Arc<dyn AckSink>) {
        acks.server_count(0);
    }

    fn add_sockets(&self, _: &BroadcastOptions, _: &[Room]) -> LocalPart {
        LocalPart::Server
    }

    fn remove_sockets(&self, _: &BroadcastOptions, _: &[Room]) -> LocalPart {
        LocalPart::Server
    }

    fn disconnect_sockets(&self, _: &BroadcastOptions, _: bool) -> LocalPart {
        LocalPart::Server
    }

    fn fetch_sockets<'a>(
        &'a self,
        _: &'a BroadcastOptions,
    ) -> BoxFuture<'a, Result<Vec<RemoteSocketData>, AdapterError<RemoteSocketData>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn server_side_emit(&self, _: &Payload) {}

    fn server_side_emit_with_ack<'a>(
        &'a self,
        _: &'a Payload,
        _: Option<Duration>,
    ) -> BoxFuture<'a, Result<Vec<Payload>, AdapterError<Payload>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn server_count(&self) -> BoxFuture<'_, usize> {
        Box::pin(async { self.inner.lock().unwrap().nodes.len() })
    }

    fn keeps_sessions(&self) -> bool {
        true
    }

    fn persist_session(&self, session: Session, duration: Duration) {
        let mut inner = self.inner.lock().unwrap();
        inner.durations.push(duration);
        inner.sessions.insert(session.pid.clone(), session);
    }

    fn restore_session<'a>(&'a self, pid: &'a str, offset: &'a str) -> BoxFuture<'a, Option<Session>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let mut inner = self.inner.lock().unwrap();
            let number: usize = offset.strip_suffix("-0")?.parse().ok()?;
            if number >= inner.events.len() { None } else { inner.sessions.remove(pid) }
        })
    }

    fn resume_session(&self, session: &Session, offset: &str, resume: Resume) {
        let rooms = session.rooms.clone();
        let number: usize = offset.strip_suffix("-0").unwrap().parse().unwrap();
        let act: Resuming = Box::new(move |inner: &Inner| {
            let missed = inner.events.iter().enumerate().skip(number + 1).filter(|(_, (_, options))| {
                options.rooms.is_empty() || options.rooms.iter().any(|room| rooms.contains(room))
            });
            let missed = missed.map(|(number, (event, _))| MissedPacket {
                event: event.clone(),
                offset: format!("{number}-0").into(),
            });
            resume(Some(missed.collect()));
        });
        let mut inner = self.inner.lock().unwrap();
        if inner.holds {
            inner.resuming.push(act);
        } else {
            act(&inner);
        }
    }
}

/// Two servers, and a client that has seen one event on the first.
async fn two() -> (Stream, [TestServer; 2], Ws, Value) {
    let stream = Stream::default();
    let build = || Io::builder().adapter(stream.adapter()).connection_state_recovery(|_| ()).build();
    let ios = [build(), build()];
    ios.iter().for_each(|io| common::usual_handlers(io));
    let servers = [TestServer::start(&ios[0]).await, TestServer::start(&ios[1]).await];
    let mut ws = Ws::open(&servers[0]).await;
    ws.send("40").await;
    let reply: Value = serde_json::from_str(&ws.next().await[2..]).unwrap();
    let socket = ios[0].socket(reply["sid"].as_str().unwrap()).unwrap();
    socket.join("room");
    socket.set_shared_data(&json!({ "name": "ann" })).unwrap();
    ios[1].to("room").emit("first", ()).unwrap();
    ws.expect(&["42[\"first\",\"0-0\"]"]).await;
    (stream, servers, ws, reply)
}

fn auth(reply: &Value, offset: &str) -> String {
    format!("40{}", json!({ "pid": reply["pid"], "offset": offset }))
}

#[tokio::test]
async fn client_comes_back_to_another_server() {
    let (stream, [a, b], ws, reply) = two().await;
    drop(ws);
    until("it is away", || stream.inner.lock().unwrap().sessions.len() == 1).await;
    assert_eq!(stream.inner.lock().unwrap().durations, [Duration::from_secs(120)]);
    a.io.to("room").emit("second", 2).unwrap();
    a.io.to("elsewhere").emit("third", 3).unwrap();
    b.io.emit("fourth", 4).unwrap();
    let mut ws = Ws::open(&b).await;
    ws.send(&auth(&reply, "0-0")).await;
    ws.expect(&["42[\"second\",2,\"1-0\"]", "42[\"fourth\",4,\"3-0\"]"]).await;
    assert_eq!(serde_json::from_str::<Value>(&ws.next().await[2..]).unwrap(), reply);
    let socket = b.io.socket(reply["sid"].as_str().unwrap()).unwrap();
    assert!(socket.recovered());
    assert_eq!(socket.shared_data::<Value>().unwrap()["name"], "ann");
    a.io.to("room").emit("fifth", ()).unwrap();
    socket.emit("to it", ()).unwrap();
    ws.expect(&["42[\"fifth\",\"4-0\"]", "42[\"to it\",\"5-0\"]"]).await;
    ws.expect_alive().await;
    assert!(stream.inner.lock().unwrap().sessions.is_empty());
}

#[tokio::test]
async fn client_that_leaves_while_the_adapter_looks_is_away_again() {
    let (stream, [a, b], ws, reply) = two().await;
    drop(ws);
    until("it is away", || stream.inner.lock().unwrap().sessions.len() == 1).await;
    stream.hold(true);
    let mut ws = Ws::open(&b).await;
    ws.send(&auth(&reply, "0-0")).await;
    until("the adapter looks", || !stream.inner.lock().unwrap().resuming.is_empty()).await;
    drop(ws);
    until("the session is over", || b.io.client_count() == 0).await;
    a.io.to("room").emit("second", ()).unwrap();
    stream.hold(false);
    until("it is away", || stream.inner.lock().unwrap().sessions.len() == 1).await;
    assert!(b.io.sockets().is_empty());
    let mut ws = Ws::open(&a).await;
    ws.send(&auth(&reply, "0-0")).await;
    ws.expect(&["42[\"second\",\"1-0\"]"]).await;
    assert_eq!(serde_json::from_str::<Value>(&ws.next().await[2..]).unwrap(), reply);
}

#[tokio::test]
async fn session_that_the_adapter_does_not_find_starts_anew() {
    let (stream, [_a, b], ws, reply) = two().await;
    drop(ws);
    until("it is away", || stream.inner.lock().unwrap().sessions.len() == 1).await;
    for offset in ["9-0", "x", ""] {
        let mut ws = Ws::open(&b).await;
        ws.send(&auth(&reply, offset)).await;
        let other: Value = serde_json::from_str(&ws.next().await[2..]).unwrap();
        assert_ne!(other["sid"], reply["sid"]);
        ws.expect_alive().await;
    }
}
