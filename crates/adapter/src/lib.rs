//! Who is in which room, which sockets a broadcast reaches, and how servers of a cluster do it together.
//!
//! - [`RoomIndex`] is the book of one namespace on one server: its sockets and their rooms.
//! - [`BroadcastOptions`] says whom a broadcast is for.
//! - [`Adapter`] carries operations to the other servers of a cluster; [`Node`] is what it calls when theirs arrive.
//!   [`LocalAdapter`] is for a server that is alone.
//! - [`RecoveryLog`] keeps what clients need that lost their connection and come back.
//! - [`Payload`] is what events and answers are between servers: neither of the parsers that clients know.
//!
//! This crate knows nothing of frames, connections and Redis.
#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod acks;
mod adapter;
pub mod cluster;
mod id;
mod index;
mod node;
mod options;
mod payload;
mod recovery;
mod remote;
mod session;
mod tree;
mod wire;

pub use acks::AckCollector;
pub use adapter::{Adapter, AdapterError, BoxFuture, LocalAdapter, LocalPart, Resume};
pub use id::{Room, SocketId};
pub use index::RoomIndex;
pub use node::{AckSink, Node, ServerAck};
pub use options::BroadcastOptions;
pub use payload::Payload;
pub use recovery::{AwaySession, InvalidOffset, Offset, RecoveryConfig, RecoveryLog};
pub use remote::RemoteSocketData;
pub use session::{MissedPacket, Session};
