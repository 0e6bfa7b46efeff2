//! Socket.IO client on tokio.
//!
//! ```no_run
//! use sockeye_client::{Client, Data, DisconnectReason, Socket};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::builder("http://localhost:3000")
//!         .auth(serde_json::json!({ "token": "secret" }))
//!         .on("question", async |Data(text): Data<String>| format!("{text}? 42")) // answers the server
//!         .on("news", async |socket: Socket, Data(text): Data<String>| socket.emit("read", &text))
//!         .on_disconnect(async |reason: DisconnectReason| println!("disconnected: {reason}"))
//!         .connect()
//!         .await?;
//!     client.emit("hello", "world")?;
//!     let users: Vec<String> = client.emit_with_ack("users", ()).await?;
//!     println!("{users:?}");
//!     client.closed().await;
//!     Ok(())
//! }
//! ```
//!
//! It behaves like the official client: names are Socket.IO's, so that its documentation explains this crate as well.
//! [`handler`] tells what handlers take and return, [`Config`] all that can be chosen. Those who prefer a loop to handlers
//! use [`Socket::events`].
#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod ack;
mod backoff;
mod client;
mod config;
mod core;
mod engine;
mod error;
pub mod handler;
mod last_text;
mod mailbox;
mod manager;
mod outgoing;
mod reason;
mod socket;
mod state;
mod stream;
mod trace;
mod typed;
mod url;

pub use ack::{Ack, AckFuture};
pub use client::{Builder, Client, ManagerEvent};
pub use config::{BufferPolicy, Config};
pub use error::{AckError, BuildError, ConnectError, EmitError, Refusal, TransportError};
pub use handler::{Args, Data, EventError, EventName, HandlerId, IntoReply, RawArgs, Reply, State, Typed};
pub use reason::DisconnectReason;
pub use socket::{Emitter, Socket};
pub use sockeye_engineio::Transport;
pub use sockeye_socketio::{
    Binary, EventArgs, Parser, TypedEvent, events,
    handler::{FromAnswer, HandlerError},
};
/// The version of rustls whose types [`Builder::tls_roots`] and [`Builder::tls_config`] take.
#[cfg(feature = "tls")]
pub use sockeye_tokio_websocket::rustls;
pub use sockeye_tokio_websocket::{Proxy, deflate};
pub use stream::{Event, Events, SocketEvent};
