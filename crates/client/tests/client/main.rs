//! The client over real sockets: against the server of this workspace where that is enough, and against servers of bare bytes
//! where something has to go wrong.
#![allow(clippy::panic, reason = "how tests fail")]

mod buffering;
mod bytes;
mod faults;
mod handlers;
mod handshake;

use sockeye::{Io, Server};
use sockeye_client::{Builder, Client, Events, SocketEvent, Transport};
use std::{future::Future, net::SocketAddr, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

/// How long anything may take that is to happen soon.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// How long to wait before believing that nothing happens.
pub(crate) const QUIET: Duration = Duration::from_millis(100);

/// Waits for what is to happen soon.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("it happens soon")
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("not soon: {what}");
}

/// A server on a port of its own.
pub(crate) struct TestServer {
    pub(crate) io: Io,
    pub(crate) addr: SocketAddr,
    task: JoinHandle<std::io::Result<()>>,
}

impl TestServer {
    pub(crate) async fn start(io: &Io) -> Self {
        let server = Server::bind("127.0.0.1:0").await.expect("a port");
        let addr = server.local_addr().expect("an address");
        let served = io.clone();
        let task = tokio::spawn(async move { server.serve(&served).await });
        Self { io: io.clone(), addr, task }
    }

    pub(crate) fn client(&self) -> Builder {
        builder(self.addr)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client that does not wait long between attempts.
pub(crate) fn builder(addr: SocketAddr) -> Builder {
    Client::builder(format!("http://{addr}")).config(|config| {
        config.reconnection_delay = Duration::from_millis(20);
        config.reconnection_delay_max = Duration::from_millis(50);
    })
}

/// A client over one transport.
pub(crate) fn over(addr: SocketAddr, transport: Transport) -> Builder {
    builder(addr).transports([transport])
}

/// What happens next, shortly.
pub(crate) async fn next(events: &mut Events) -> String {
    match soon(events.next()).await {
        None => "end".into(),
        Some(SocketEvent::Connect { recovered }) => format!("connect {recovered}"),
        Some(SocketEvent::ConnectError(error)) => format!("connect_error {error}"),
        Some(SocketEvent::Disconnect(reason)) => format!("disconnect {reason}"),
        Some(SocketEvent::Event(event)) => format!("{} {}", event.name(), event.raw_args().json()),
        Some(other) => format!("{other:?}"),
    }
}
