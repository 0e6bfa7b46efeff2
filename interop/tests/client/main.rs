//! The client against the server under test of CONTRACT.md: that of this workspace, the official one, and python-socketio's
//! (`scripts/test client`).

#![allow(clippy::panic, reason = "how tests fail")]

mod acks;
mod events;
mod lifecycle;
mod msgpack;
mod recovery;
mod server;

use serde_json::Value;
use sockeye_client::{Builder, Client, Events, RawArgs, SocketEvent, Transport};
use std::{future::Future, time::Duration};
use tokio::time::timeout;

pub(crate) use server::{ServerUnderTest, is_ours, is_python};

/// How long anything may take that is to happen soon.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// How long to wait before believing that nothing happens.
pub(crate) const QUIET: Duration = Duration::from_millis(200);

pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("it happens soon")
}

/// Every way for packets to travel.
pub(crate) const WAYS: [&[Transport]; 3] =
    [&[Transport::WebSocket], &[Transport::Polling], &[Transport::Polling, Transport::WebSocket]];

pub(crate) fn builder(server: &ServerUnderTest, way: &[Transport]) -> Builder {
    Client::builder(server.url()).transports(way.iter().copied()).config(|config| {
        config.reconnection_delay = Duration::from_millis(50);
        config.reconnection_delay_max = Duration::from_millis(200);
    })
}

/// A client that has connected, and what happens to it, the server's welcome not included.
pub(crate) async fn connect(builder: Builder) -> (Client, Events) {
    let client = builder.build().expect("a client");
    let mut events = client.events();
    soon(client.connect()).await.expect("it connects");
    assert!(matches!(soon(events.next()).await, Some(SocketEvent::Connect { .. })));
    let (name, _) = next_event(&mut events).await;
    assert_eq!(name, "welcome");
    (client, events)
}

/// The next event of the server: its name and its arguments. Anything else is a failure.
pub(crate) async fn next_event(events: &mut Events) -> (String, RawArgs) {
    match soon(events.next()).await {
        Some(SocketEvent::Event(event)) => (event.name().to_owned(), event.raw_args().clone()),
        other => panic!("not an event: {other:?}"),
    }
}

/// The first argument of the next event, which has this name.
pub(crate) async fn expect_event(events: &mut Events, name: &str) -> Value {
    let (found, args) = next_event(events).await;
    assert_eq!(found, name, "{args:?}");
    args.read::<Vec<Value>>().expect("arguments").into_iter().next().unwrap_or_default()
}
