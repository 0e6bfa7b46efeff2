#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod backoff;
mod bus;
mod config;
mod emitter;
mod handle;
mod link;
mod pub_sub;
mod queue;
mod sharded;
mod stats;
mod streams;
mod trace;

pub use config::Config;
pub use emitter::{EmitError, Emitter};
pub use handle::Redis;
pub use pub_sub::PubSub;
pub use sharded::{ShardedPubSub, SubscriptionMode};
pub use stats::Stats;
pub use streams::{Streams, StreamsConfig};

/// Errors of the connection.
pub use redis::RedisError;
