//! The Engine.IO protocol, revisions 4 and 3, without I/O.
//!
//! This crate owns what Engine.IO says on the wire and how a session lives: packets, polling payloads, the
//! open packet, session ids, error answers, the checks of a request and the state machines of both sides, [`Session`] and
//! [`ClientSession`]. It never opens a socket, reads a clock, spawns a task or draws a random number: bytes, the time
//! and random bytes come in as arguments, and what has to happen comes out as values.
//!
//! ```text
//!  HTTP request ──> RequestQuery::parse ──> verify ──> (allowRequest) ──> check_version ──> OpenPacket
//!
//!  POST body ─────> PayloadDecoder ──┐                                 ┌──> PayloadEncoder ──> GET answer
//!                                    ├──> Packet ──> Session ──> Transmit
//!  WebSocket text > Packet::decode_text                                └──> Packet::encode_text ──> WebSocket
//! ```
//!
//! # Decoding a payload and driving a session
//!
//! ```
//! use core::time::Duration;
//! use sockeye_engineio::{Message, PayloadDecoder, PayloadLimits, Session, SessionConfig, Transport};
//!
//! let mut session = Session::new(&SessionConfig::default(), Transport::Polling, Duration::ZERO);
//! let now = Duration::from_millis(40);
//!
//! let mut received = Vec::new();
//! for packet in PayloadDecoder::new("4hello\u{1e}bAQID", PayloadLimits::default()) {
//!     match session.receive(packet?, now) {
//!         Ok(Some(Message::Text(text))) => received.push(text.as_bytes().to_vec()),
//!         Ok(Some(Message::Binary(bytes))) => received.push(bytes.into_owned()),
//!         Ok(None) => {}
//!         Err(reason) => panic!("the session closed: {reason}"),
//!     }
//! }
//! assert_eq!(received, [b"hello".to_vec(), vec![1, 2, 3]]);
//! assert_eq!(session.poll_timeout(), Some(Duration::from_secs(25)));
//! # Ok::<(), sockeye_engineio::DecodeError>(())
//! ```
//!
//! # Features
//!
//! `std` (default) turns on the standard library in the dependencies. Without it the crate is `no_std` +
//! `alloc`.

#![forbid(unsafe_code)]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod client;
mod close;
mod error;
mod json;
pub mod jsonp;
mod open;
mod packet;
mod payload;
mod request;
mod session;
mod sid;
mod transport;
pub mod v3;

pub use client::{ClientConfig, ClientEvent, ClientSession, ClientState, ClientTransmit};
pub use close::CloseReason;
pub use error::{DecodeError, ErrorCode};
pub use open::OpenPacket;
pub use packet::{Packet, PacketType};
pub use payload::{PayloadDecoder, PayloadEncoder, PayloadLimits};
pub use request::{
    KnownSession, Request, RequestError, RequestKind, RequestQuery, Revision, Verified, check_version, verify,
};
pub use session::{
    Message, ProbeProgress, ProbeRefused, Session, SessionConfig, SessionEvent, SessionState, Transmit,
};
pub use sid::{InvalidSid, Sid};
pub use transport::{Transport, TransportSet};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
