//! WebSocket client and server on tokio, over any [`AsyncRead`](tokio::io::AsyncRead) +
//! [`AsyncWrite`](tokio::io::AsyncWrite).
//!
//! The protocol itself is [`sockeye_websocket`], which does no I/O; this crate moves its bytes. It owns reading,
//! writing, buffers and deadlines. It knows nothing of Engine.IO and Socket.IO.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use sockeye_tokio_websocket::accept;
//! use tokio::net::TcpListener;
//!
//! let listener = TcpListener::bind("127.0.0.1:8080").await?;
//! loop {
//!     let (stream, _) = listener.accept().await?;
//!     tokio::spawn(async move {
//!         let mut socket = accept(stream).await?;
//!         while let Some(message) = socket.receive().await {
//!             let message = message?;
//!             if message.is_data() {
//!                 socket.send(message).await?;
//!             }
//!         }
//!         Ok::<(), sockeye_tokio_websocket::Error>(())
//!     });
//! }
//! # }
//! ```
//!
//! # Cancel safety
//! Every future of this crate may be dropped at any time: all state lives in the [`WebSocket`], no byte is lost and
//! no half frame is left behind.
#![forbid(unsafe_code)]

mod buffer;
mod client;
mod error;
mod halves;
#[cfg(feature = "http2")]
pub mod http2;
mod inbound;
mod keepalive;
mod message_writer;
mod options;
mod outbound;
mod output;
mod replies;
mod server;
mod split;
#[cfg(feature = "hyper")]
pub mod upgrade;
mod wakers;
mod websocket;

pub use client::{ClientStream, Connector, Proxy, ProxyError, Refusal, SocksReply, connect};
pub use error::Error;
pub use keepalive::Keepalive;
pub use message_writer::MessageWriter;
pub use options::Options;
pub use replies::Replies;
pub use server::{Acceptor, Handshake, accept};
pub use sockeye_websocket as codec;
pub use sockeye_websocket::{
    Chunk, CloseCode, CloseFrame, CloseState, Config, Event, Message, MessageKind, Prepared, Role,
    StreamEvent, deflate,
};
pub use split::{Halves, Receiver, Sender};
/// The version of rustls whose types [`Connector::tls_roots`] and [`Connector::tls_config`] take.
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
pub use websocket::WebSocket;

/// Compiles the examples of the README.
#[cfg(all(doctest, feature = "axum", feature = "http2", feature = "tls"))]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
