//! A server and its clients in memory: tests of handlers, without ports and without waiting.
//!
//! ```text
//! Client ─► WebSocket ─► pipe ─► hyper ─► Io      the way of every client, but for the network
//! ```
//!
//! A [`Client`] speaks Socket.IO over WebSocket to an [`Io`](crate::Io) in the same runtime. With tokio's paused clock (its feature
//! `test-util`) nothing waits: heartbeats, timeouts and reconnection periods pass as soon as everybody is idle. What does not happen
//! within 5 s of that clock fails the test.
//!
//! ```
//! use sockeye::{Ack, Data, Io, Socket, test::Client};
//!
//! fn server() -> Io {
//!     let io = Io::new();
//!     io.on("join", async |socket: Socket, Data(room): Data<String>, ack: Ack| {
//!         socket.join(room.clone());
//!         socket.to(room).emit("joined", socket.id().as_str())?;
//!         ack.send("welcome")
//!     });
//!     io
//! }
//!
//! // #[tokio::test(start_paused = true)]
//! async fn members_of_a_room_learn_who_joins() {
//!     let io = server();
//!     let mut ann = Client::connect(&io).await;
//!     let mut ben = Client::connect(&io).await;
//!     assert_eq!(ann.emit_with_ack::<String>("join", "lobby").await, "welcome");
//!     assert_eq!(ben.emit_with_ack::<String>("join", "lobby").await, "welcome");
//!     assert_eq!(ann.expect::<String>("joined").await, ben.id());
//!     ben.expect_nothing().await;
//!     ben.disconnect().await;
//! }
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
//! #     .block_on(members_of_a_room_learn_who_joins());
//! ```
//!
//! Long-polling and the upgrade are not tested this way; they are the same to handlers.
#![allow(clippy::panic, reason = "what is not as it is expected to be fails the test")]

mod client;
mod connection;
mod event;

pub use client::{Client, Refusal};
pub use event::Event;
