//! Servers that work together over a bus of messages: the core of all adapters but the oldest.
//!
//! ```text
//! Adapter operations ──►┌──────────┐──► Transmit: messages for all, or for one
//!                       │ Cluster  │
//! messages from the bus►│ no I/O   │──► Event: work for this server, answers to requests
//! time ────────────────►└──────────┘
//! ```
//!
//! - [`Message`] is what servers tell each other, in the format of the official adapters, so that a cluster can have servers of
//!   both kinds.
//! - [`Cluster`] keeps the requests that wait for other servers, and knows which servers there are. It does no I/O and is told
//!   the time.
//! - [`ClusterAdapter`] (feature `cluster`) drives it over a [`Bus`]: whoever has a bus that carries messages has an adapter.
//! - [`InProcess`] (feature `cluster`) is the bus of servers in one process.

mod core;
mod message;

pub use self::core::{Cluster, ClusterConfig, Event, Incoming, Membership, RequestId, Target, Transmit};
pub use message::{Body, Message, MessageError};
#[cfg(feature = "msgpack")]
pub use message::{from_msgpack, to_msgpack};

pub use crate::wire::single;

#[cfg(feature = "cluster")]
mod driver;
#[cfg(feature = "cluster")]
mod in_process;

#[cfg(feature = "cluster")]
pub use driver::{Bus, ClusterAdapter, WeakClusterAdapter};
#[cfg(feature = "cluster")]
pub use in_process::{InProcess, InProcessBus};
