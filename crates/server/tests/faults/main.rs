//! Clients that stop reading, vanish or come in crowds, and servers that stop.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure in a helper fails the test")]

#[path = "../common/mod.rs"]
mod common;

mod crowds;
mod shutdown;
mod slow_readers;
