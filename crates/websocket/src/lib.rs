//! The WebSocket protocol without I/O ([RFC 6455]).
//!
//! This crate turns bytes into messages and messages into bytes. It owns framing, masking, fragmentation, UTF-8
//! validation, control frames, the closing handshake, the limits on all of these, and the opening handshake of
//! both roles. It never reads, writes, sleeps, looks at a clock or spawns: a driver does, with any kind of I/O.
//!
//! ```text
//!            input (&mut [u8], unmasked and validated in place)
//! socket ──► Connection::receive ──► Event<'_> (borrowed from input, or from the reassembly buffer)
//!                    │
//!                    └──► output (&mut Vec<u8>): a Pong or Close that is owed is already in it
//! socket ◄── Connection::send_* ───► output
//! ```
//!
//! ```
//! use sockeye_websocket::{Config, Connection, Event};
//!
//! let mut server = Connection::server(Config::default());
//! let mut client = Connection::client(Config::default());
//!
//! let mut wire = Vec::new();
//! client.send_text("hello", &mut wire)?;
//!
//! let mut replies = Vec::new();
//! let mut events = server.receive(&mut wire, &mut replies);
//! assert_eq!(events.next(), Some(Ok(Event::Text("hello"))));
//! assert_eq!(events.next(), None);
//! # Ok::<(), sockeye_websocket::SendError>(())
//! ```
//!
//! The layers below [`Connection`] are public and usable alone: [`FrameHeader`], [`mask`](mod@mask),
//! [`Utf8Validator`], [`deflate`] and [`handshake`].
//!
//! # Features
//! `std` (default) brings random masking keys from the operating system and SIMD chosen at run time. Without it the
//! crate is `no_std + alloc`, and a client brings its own [`MaskSource`]. `deflate` (default, needs `std`) brings
//! the compression of messages, see [`deflate`].
//!
//! [RFC 6455]: https://www.rfc-editor.org/rfc/rfc6455
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

mod chunk;
mod close;
#[cfg(feature = "deflate")]
mod compress;
mod config;
mod connection;
pub mod deflate;
mod error;
mod frame;
pub mod handshake;
mod inflate;
pub mod mask;
mod message;
mod opcode;
mod prepared;
mod receive;
mod receive_buffer;
mod receiver;
mod send;
mod sender;
mod short;
#[allow(unsafe_code, reason = "calls of functions with target features, after the processor was asked")]
mod simd;
mod step;
mod utf8;
#[allow(unsafe_code, reason = "text was validated incrementally, a second pass would be waste")]
mod validated;

pub use chunk::{Chunk, StreamEvent};
pub use close::{CloseCode, CloseFrame};
pub use config::{Config, Role};
pub use connection::{CloseState, Connection};
pub use error::{ProtocolError, SendError};
pub use frame::{FrameHeader, MAX_HEADER_LEN};
pub use mask::MaskSource;
pub use message::{Message, MessageKind};
pub use opcode::OpCode;
pub use prepared::Prepared;
pub use receive::{Event, Events, Receive};
pub use receive_buffer::ReceiveBuffer;
pub use receiver::{Parked, ReceiveHalf, ReceiveState};
pub use sender::SendHalf;
pub use utf8::{InvalidUtf8, Utf8Validator};

/// Compiles the examples of the README.
#[cfg(all(doctest, feature = "deflate"))]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
