//! Engine.IO over real sockets: handshakes, long-polling, upgrades and the heartbeat.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure in a helper fails the test")]

#[path = "../common/mod.rs"]
mod common;

mod alone;
mod compression;
mod handshake;
mod heartbeat;
mod jsonp;
mod options;
mod payload;
mod polling;
mod requests;
mod revision3;
mod upgrade;
