//! Compression of messages: permessage-deflate ([RFC 7692]).
//!
//! This module owns the extension's negotiation, of both roles, and turns the payload of a message into a deflate
//! stream and back. It knows neither frames nor RSV1.
//!
//! ```text
//! client                                                      server
//! Config::offer ──── Sec-WebSocket-Extensions: offer, … ────► Agreement::from_offers
//! Params::from_response ◄─── Sec-WebSocket-Extensions ─────── Agreement (Display)
//!
//! payload ──► Deflater::compress ──► frames with RSV1 ──► Inflater::inflate ──► payload
//! ```
//!
//! # Parameters (§7.1)
//! | parameter | in an offer | in a response |
//! |---|---|---|
//! | `server_no_context_takeover` | the server must not refer to earlier messages | it will not; may come unasked |
//! | `client_no_context_takeover` | a hint that the client will not | the client must not; may come unasked |
//! | `server_max_window_bits=8..15` | the server must not refer further back than 2^n bytes | what it keeps to, no more than was asked; may come unasked |
//! | `client_max_window_bits[=8..15]` | the response may hold this parameter; with a value, the client keeps to it | the client must keep to it; only if it was offered |
//!
//! A window of 8 bits (256 bytes) cannot be compressed with: zlib does not support it for raw streams. A server
//! declines an offer that asks it for one; a client to which it is given sends its messages uncompressed, which is
//! allowed at any time (§6). Inflating works with every window.
//!
//! # Context takeover and memory
//! Where a side keeps no context, nothing is held between messages: streams belong to the thread and are shared by
//! its connections. A kept context costs about 48 KiB to inflate and up to 370 KiB to compress, from the first
//! compressed message until the connection ends.
//!
//! # Features
//! Negotiation is always there. `deflate` (default, needs `std`) brings [`Deflater`], [`Inflater`] and
//! [`compress_stand_alone`].
//!
//! [RFC 7692]: https://www.rfc-editor.org/rfc/rfc7692

mod config;
#[cfg(feature = "deflate")]
mod deflater;
mod extension;
#[cfg(feature = "deflate")]
mod inflater;
mod negotiation;
#[cfg(feature = "deflate")]
mod pool;

pub use config::{Config, Params};
#[cfg(feature = "deflate")]
pub use deflater::{Deflater, compress_stand_alone};
#[cfg(feature = "deflate")]
pub use inflater::{InflateError, Inflated, Inflater};
pub use negotiation::{Agreement, ResponseError};

/// The name of the extension (§7).
pub const EXTENSION_NAME: &str = "permessage-deflate";

/// §7.2.1: what a flushed stream ends with, removed from the end of a message by the sender and put back by the
/// receiver.
#[cfg(feature = "deflate")]
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
