//! Client and server in one WebAssembly module: an exchange over all three codecs, in memory, without `std`.
//!
//! `scripts/test no-std` builds it for `wasm32-unknown-unknown` and runs it with `run.mjs` under Node.js. `cargo test`
//! runs the same exchange on the host.
#![cfg_attr(all(target_arch = "wasm32", target_os = "unknown"), no_std)]

extern crate alloc;

mod exchange;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#[allow(unsafe_code, reason = "symbols that the host of the module calls or provides")]
mod module;

pub use exchange::exchange;
