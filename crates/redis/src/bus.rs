//! What the buses have in common: the way from a channel to an adapter.

use bytes::Bytes;
use redis::{Cmd, FromRedisValue, Value};
use sockeye_adapter::cluster::{Bus, Message, MessageError, WeakClusterAdapter};
use std::sync::{Arc, OnceLock, Weak};

use crate::{
    Config, Redis,
    handle::{Channel, Subscriber},
    trace::warn,
};

/// Reads what arrives on the channels of a bus, and gives it to the adapter.
pub(crate) struct Receiver<B: Bus> {
    redis: Redis,
    adapter: OnceLock<WeakClusterAdapter<B>>,
    read: Box<Read<B>>,
}

/// Reads a message that arrived on a channel; `None` when it is not for this server.
type Read<B> = dyn Fn(&B, &str, &Bytes) -> Result<Option<Message>, MessageError> + Send + Sync;

impl<B: Bus> Receiver<B> {
    pub(crate) fn new(
        redis: &Redis,
        read: impl Fn(&B, &str, &Bytes) -> Result<Option<Message>, MessageError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { redis: redis.clone(), adapter: OnceLock::new(), read: Box::new(read) })
    }

    /// From now on it has somebody to give messages to.
    pub(crate) fn attach(&self, adapter: WeakClusterAdapter<B>) {
        let _ = self.adapter.set(adapter);
    }
}

impl<B: Bus> Subscriber for Receiver<B> {
    fn receive(&self, channel: &str, message: Bytes) {
        let Some(adapter) = self.adapter.get().and_then(WeakClusterAdapter::upgrade) else { return };
        match (self.read)(adapter.bus(), channel, &message) {
            Ok(Some(message)) => adapter.deliver(message, None),
            Ok(None) => {}
            Err(error) => self.redis.malformed(&error),
        }
    }
}

/// The subscriptions of one adapter. Dropping it ends them.
pub(crate) struct Subscriptions<B: Bus> {
    redis: Redis,
    receiver: Arc<Receiver<B>>,
    fixed: Vec<Channel>,
}

impl<B: Bus> Subscriptions<B> {
    pub(crate) fn new(redis: &Redis, receiver: Arc<Receiver<B>>, fixed: Vec<Channel>) -> Self {
        Self { redis: redis.clone(), receiver, fixed }
    }

    fn subscriber(&self) -> Weak<dyn Subscriber> {
        let receiver: Arc<dyn Subscriber> = self.receiver.clone();
        Arc::downgrade(&receiver)
    }

    /// Subscribes to the channels that there are always.
    pub(crate) fn begin(&self) {
        self.fixed.iter().for_each(|channel| self.add(channel.clone()));
    }

    pub(crate) fn end(&self) {
        self.fixed.iter().for_each(|channel| self.remove(channel.clone()));
    }

    pub(crate) fn add(&self, channel: Channel) {
        self.redis.shared.subscribe(channel, self.subscriber());
    }

    pub(crate) fn remove(&self, channel: Channel) {
        self.redis.shared.unsubscribe(channel, &self.subscriber());
    }
}

impl<B: Bus> Drop for Subscriptions<B> {
    fn drop(&mut self) {
        self.end();
    }
}

impl Redis {
    /// Counts a message that nobody can read.
    pub(crate) fn malformed(&self, error: &MessageError) {
        self.shared.counters.malformed.add(1);
        warn!(target: "sockeye::redis", error = %error, "message dropped: it is malformed");
    }

    /// Counts a message that cannot be sent.
    pub(crate) fn not_sent(&self, error: &MessageError) {
        self.shared.counters.lost.add(1);
        warn!(target: "sockeye::redis", error = %error, "message lost: it cannot be encoded");
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    /// How many subscribers a channel has in all of Redis; `None` when Redis is away.
    pub(crate) async fn subscriber_count(&self, command: &str, channel: &str) -> Option<usize> {
        let mut count = redis::cmd("PUBSUB");
        count.arg(command).arg(channel);
        // In a cluster it is a map.
        let (_, count) = match self.shared.query(count).await.ok()? {
            Value::Map(entries) => entries.into_iter().next()?,
            value => <(Value, Value)>::from_redis_value(value).ok()?,
        };
        usize::from_redis_value(count).ok()
    }

    pub(crate) fn publish(&self, command: &str, channel: &str, message: &[u8]) {
        self.shared.publish(publish(command, channel, message));
    }
}

fn publish(command: &str, channel: &str, message: &[u8]) -> Cmd {
    let mut publish = redis::cmd(command);
    publish.arg(channel).arg(message);
    publish
}

/// A name that no other server has: 16 hex digits.
pub(crate) fn random_uid() -> String {
    let mut random = [0; 8];
    if getrandom::fill(&mut random).is_err() {
        // Without randomness: what is unique on this machine at least.
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        return format!("{:08x}{:08x}", std::process::id(), now & 0xffff_ffff);
    }
    format!("{:016x}", u64::from_be_bytes(random))
}
