//! Sockets between the answer to their CONNECT and the first turn of their connection handlers.
//!
//! ```text
//! admit ──► in its rooms, Greeting ──► connection handlers polled once ──► what was held ──► Connected
//!                ▲ other threads: held
//!                ▲ the handlers themselves: sent at once
//! ```
//! In Node.js nothing can come between the two. Here broadcasts of other threads could, and a client would get an event
//! before the one with which its connection handler greets it.

use std::thread::{self, ThreadId};

use crate::outgoing::Outgoing;

/// What other threads send meanwhile.
pub(crate) struct Greeting {
    /// The thread that polls the client's task, which does not leave it before the end.
    thread: ThreadId,
    held: Vec<(Outgoing, bool)>,
    held_len: usize,
}

impl Greeting {
    pub(crate) fn new() -> Self {
        Self { thread: thread::current().id(), held: Vec::new(), held_len: 0 }
    }

    /// Whether a packet that is sent now comes from another thread than the handlers'.
    pub(crate) fn is_elsewhere(&self) -> bool {
        thread::current().id() != self.thread
    }

    /// Keeps a packet; `false` when more than `max_len` bytes would be kept.
    pub(crate) fn hold(&mut self, packet: &Outgoing, volatile: bool, max_len: usize) -> bool {
        if !self.held.is_empty() && self.held_len + packet.len() > max_len {
            return false;
        }
        self.held_len += packet.len();
        self.held.push((packet.clone(), volatile));
        true
    }

    /// What was kept, in order; with whether it is volatile.
    pub(crate) fn into_held(self) -> Vec<(Outgoing, bool)> {
        self.held
    }
}
