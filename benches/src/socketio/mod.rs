//! Socket.IO servers over loopback: each in a process of its own on one core, the load on another.
//!
//! ```text
//! driver (core 1)                                     server (core 0), a child process
//!   Scenario ─► packets ─► load ════ loopback ════►     handlers: echo, ask, shout, join, say, big
//!                           │ ◄══════════════════
//!                           ▼
//!   replies counted by their headers                  /proc: processor time, memory
//! ```
//! The load uses no library of ours: its packets are built beforehand, its replies counted by their WebSocket headers or by
//! the separators of their payloads. What counts is the server's processor time per message, and its ratio to that of the
//! floor, which sends canned bytes and knows no protocol.

pub mod client;
pub mod measure;
pub mod packets;
pub mod plot;
pub mod polling;
pub mod report;
pub mod rounds;
pub mod scenario;
pub mod servers;
