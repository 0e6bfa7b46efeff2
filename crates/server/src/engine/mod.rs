//! Engine.IO without Socket.IO: an [`Engine`] is a server of [`Session`]s.
//!
//! Socket.IO is served in the same way: one future per session, which reads, writes, keeps the heartbeat and runs what the
//! session is for. The options are the same, too: see [`Config`].
//!
//! ```no_run
//! use sockeye::{Server, engine::{Engine, Message, Session}};
//! use std::time::Duration;
//!
//! # async fn f() -> std::io::Result<()> {
//! let engine = Engine::builder()
//!     .config(|config| config.ping_interval = Duration::from_secs(10))
//!     .same_origin()
//!     .build(async |mut session: Session| {
//!         let _ = session.send("welcome");
//!         while let Some(Message::Text(text)) = session.receive().await {
//!             println!("{text}");
//!         } // bytes end it
//!     });
//! Server::bind("127.0.0.1:3000").await?.serve(&engine).await
//! # }
//! ```

mod app;
mod carrier;
pub(crate) mod compression;
mod connection;
pub(crate) mod cookie;
mod dialect;
pub(crate) mod error;
mod hooks;
mod http;
mod mailbox;
mod message;
mod open;
mod polling;
mod registry;
pub(crate) mod respond;
mod server;
mod session;

use sockeye_engineio::Sid;
use sockeye_tokio_websocket::Prepared;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::Instant;

use crate::{Config, trace::debug};

pub(crate) use self::http::handle;
pub(crate) use app::{Application, Host};
pub use connection::{PreparedMessage, Session, SessionClosed, SessionSender};
pub(crate) use dialect::{Dialect, Post};
pub(crate) use error::{ConnectionError, Refusal};
pub(crate) use hooks::{Hooks, engine_options};
pub(crate) use mailbox::{Command, Mailbox, Pushed};
pub use message::Message;
pub(crate) use registry::Registry;
pub(crate) use server::EngineInner;
pub use server::{Builder, Engine};

/// What all sessions of a server share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) hooks: Hooks,
    pub(crate) registry: Registry,
    /// What every session gets first.
    initial_packet: Option<Prepared>,
    epoch: Instant,
    closing: AtomicBool,
}

impl Shared {
    pub(crate) fn new(config: Config, hooks: Hooks) -> Self {
        let initial_packet = config.initial_packet.as_ref().map(Message::to_packet);
        Self {
            config,
            hooks,
            registry: Registry::default(),
            initial_packet,
            epoch: Instant::now(),
            closing: AtomicBool::new(false),
        }
    }

    /// The time, as the state machines count it.
    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// The moment `now` in the runtime's terms.
    pub(crate) fn instant(&self, now: Duration) -> Instant {
        self.epoch + now
    }

    /// Whether the server shuts down.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Refuses new sessions and closes those that there are; returns when all are over.
    pub(crate) async fn close(&self) {
        self.closing.store(true, Ordering::Release);
        debug!(target: "sockeye::engine", "server shutting down");
        for mailbox in self.registry.all() {
            mailbox.command(Command::ShutDown);
        }
        self.registry.emptied().await;
    }
}

/// A fresh id, unguessable: it is all that a polling client proves itself with.
pub(crate) fn random_id() -> Sid {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    Sid::from_bytes(bytes)
}
