//! The benches: Sockeye and its rivals do the same work on the same bytes in the same run.
//!
//! ```text
//! round 1:  floor  sockeye  rival  rival  …      every contestant once, in turn, on one case
//! round 2:  sockeye  rival  rival  …  floor      the next one begins, so that no place is a favoured one
//!   ⋮
//! table:    the median of each, and its ratio to ours
//! ```
//!
//! Unpublished. How to run it, and what came out: `docs/benchmarks.md`.

pub mod contest;
pub mod deflate;
pub mod io;
pub mod messages;
pub mod options;
pub mod packets;
pub mod receive;
mod receive_rivals;
pub mod send;
mod send_rivals;
pub mod socketio;
pub mod sockets;
