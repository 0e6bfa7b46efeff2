//! Socket.IO over real sockets: namespaces, rooms, events, acknowledgements, handlers and disconnections.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure in a helper fails the test")]

#[path = "../common/mod.rs"]
mod common;

mod acks;
mod disconnect;
mod dynamic;
mod events;
mod greeting;
mod handlers;
mod limits;
mod listeners;
mod malformed;
mod middleware;
mod msgpack;
mod namespaces;
mod official;
mod rooms;
mod sequential;
mod typed;
