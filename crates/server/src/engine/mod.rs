//! The Engine.IO side of the server: HTTP requests, sessions and their transports.

mod carrier;
mod http;
mod mailbox;
mod registry;
mod session;

use std::time::Duration;

use sockeye_engineio::Sid;
use tokio::time::Instant;

use crate::Config;

pub(crate) use self::http::handle;
pub(crate) use mailbox::{Command, Mailbox, Pushed};
pub(crate) use registry::Registry;

/// What all sessions of a server share.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) registry: Registry,
    epoch: Instant,
}

impl Engine {
    pub(crate) fn new(config: Config) -> Self {
        Self { config, registry: Registry::default(), epoch: Instant::now() }
    }

    /// The time, as the state machines count it.
    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// The moment `now` in the runtime's terms.
    pub(crate) fn instant(&self, now: Duration) -> Instant {
        self.epoch + now
    }
}

/// A fresh id, unguessable: it is all that a polling client proves itself with.
pub(crate) fn random_id() -> Sid {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    Sid::from_bytes(bytes)
}
