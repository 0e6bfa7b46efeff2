//! WebSocket servers over loopback: each in a process of its own on one core, the load on another.
//!
//! ```text
//! driver (core 1)                                  server (core 0), a child process
//!   scenario ─► Wire ─► Load ════ loopback ════►     echo
//!                        │ ◄══════════════════
//!                        ▼
//!   replies counted by their headers               /proc: processor time, memory
//! ```
//! The load uses no WebSocket library. What counts is the server's processor time per message, and its ratio to that
//! of the floor, which sends back all bytes and knows no protocol.

pub mod client;
pub mod frames;
pub mod load;
pub mod measure;
pub mod process;
pub mod replies;
pub mod report;
pub mod scenario;
pub mod servers;
