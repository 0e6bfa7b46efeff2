//! Socket.IO and Engine.IO server on tokio and hyper.
//!
//! ```no_run
//! use sockeye::{Data, Io, Server, Socket};
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let io = Io::new();
//!     io.on_connection(async |socket: Socket| {
//!         socket.join("lobby");
//!         socket.to("lobby").emit("joined", socket.id().as_str())
//!     });
//!     io.on("message", async |socket: Socket, Data(text): Data<String>| {
//!         socket.to("lobby").emit("message", &text)?;
//!         Ok::<_, sockeye::EmitError>("delivered") // answers the client's acknowledgement
//!     });
//!     Server::bind("127.0.0.1:3000").await?.serve(&io).await
//! }
//! ```
//!
//! [`Io::service`] and [`Io::layer`] put the same server into hyper, tower or axum. Names are Socket.IO's, so that its
//! documentation explains this crate as well; [`handler`] tells what handlers take and return.
#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod ack;
mod broadcast;
mod broadcast_ack;
mod client;
mod client_files;
mod config;
mod emitter;
pub mod engine;
mod error;
mod greeting;
pub mod handler;
mod handshake;
mod host;
mod io;
mod legacy;
mod namespace;
mod node;
mod observe;
mod outgoing;
mod rate_limit;
mod reason;
mod recovery;
mod remote;
mod room_event;
mod serve;
mod server_event;
mod service;
mod socket;
#[cfg(feature = "test-util")]
pub mod test;
mod trace;
mod typed;

pub use ack::{Ack, AckFuture};
pub use broadcast::Broadcast;
pub use broadcast_ack::{BroadcastAckError, BroadcastAckFuture};
pub use config::{Config, SlowConsumer};
pub use emitter::{EmitFuture, Emitter, WaitingEmitter};
pub use engine::{
    compression::HttpCompression,
    cookie::{Cookie, SameSite},
    error::{ConnectionError, Refusal},
};
pub use error::{AckError, ConnectError, EmitError};
pub use handler::{Args, Auth, Data, EventName, IntoReply, RawArgs, Reply, SocketData, State, Typed};
pub use handshake::{Handshake, RemoteAddr};
pub use io::{Builder, Io};
pub use namespace::{HandlerId, Namespace, NamespaceMatcher, NamespaceRequest};
pub use observe::OutgoingEvent;
pub use rate_limit::{Excess, RateLimit};
pub use reason::DisconnectReason;
pub use recovery::ConnectionStateRecovery;
pub use remote::RemoteSocket;
pub use room_event::RoomEvent;
pub use serve::{Serve, Server};
pub use server_event::{ServerSideEmit, ServerSideEmitError};
pub use service::{EngineLayer, EngineService, NotFound, ResponseBody, ServiceFuture};
pub use socket::Socket;
pub use sockeye_adapter as adapter;
pub use sockeye_adapter::{RemoteSocketData, Room, SocketId};
pub use sockeye_engineio::{CloseReason, ErrorCode, RequestError, Revision, Transport, TransportSet};
pub use sockeye_socketio::{
    Binary, EventArgs, Parser, TypedEvent, events,
    handler::{EventError, FromAnswer, HandlerError, Valid, Validate},
};
pub use sockeye_tokio_websocket::deflate::Config as DeflateConfig;
/// What [`Builder::cors`] takes, of the crate `tower-http`.
pub use tower_http::cors;
