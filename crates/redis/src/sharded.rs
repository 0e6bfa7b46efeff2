//! Sharded pub/sub, as `createShardedAdapter` of `@socket.io/redis-adapter` does it.
//!
//! ```text
//! socket.io#/chat#                   all servers
//! socket.io#/chat#0123456789abcdef#  answers to this server
//! socket.io#/chat#room 1#            servers with sockets in the room, unless static
//! ```
//! Messages are JSON, or msgpack where there are bytes in them.

use parking_lot::Mutex;
use sockeye_adapter::{
    BoxFuture, Node, Room,
    cluster::{Body, Bus, ClusterAdapter, ClusterConfig, Membership, Message, Target, Transmit},
};
use std::{collections::HashSet, fmt, sync::Arc};

use crate::{
    Redis,
    bus::{Receiver, Subscriptions, random_uid},
    handle::Channel,
};

/// Which rooms have a channel of their own, so that only servers with sockets in them get their events. It must be the same on all
/// servers of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SubscriptionMode {
    /// None: two channels per namespace.
    Static,
    /// All but those of the sockets' own ids. The default of the official adapter.
    #[default]
    Dynamic,
    /// All: for servers with few sockets that are often sent to by id.
    DynamicPrivate,
}

/// How long the id of a socket is.
const SOCKET_ID_LEN: usize = 20;

impl SubscriptionMode {
    fn has_channel(self, room: &str) -> bool {
        match self {
            Self::Static => false,
            // The official adapter tells ids from other rooms by their length in UTF-16.
            Self::Dynamic => room.encode_utf16().count() != SOCKET_ID_LEN,
            Self::DynamicPrivate => true,
        }
    }
}

impl Redis {
    /// Makes the adapters of a server: sharded pub/sub, which needs Redis 7.0. Node.js servers of the cluster use
    /// `createShardedAdapter`, with the same mode.
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// use sockeye_redis::{Redis, SubscriptionMode};
    ///
    /// let redis = Redis::connect("redis://127.0.0.1/").await?;
    /// let io = sockeye::Io::builder().adapter(redis.sharded_pub_sub(SubscriptionMode::Dynamic)).build();
    /// # Ok(()) }
    /// ```
    pub fn sharded_pub_sub(
        &self,
        mode: SubscriptionMode,
    ) -> impl Fn(Arc<dyn Node>) -> ClusterAdapter<ShardedPubSub> + Send + Sync + 'static {
        let redis = self.clone();
        move |node| ShardedPubSub::adapter(&redis, mode, node)
    }
}

/// The bus of one namespace over sharded pub/sub; see [`Redis::sharded_pub_sub`].
pub struct ShardedPubSub {
    redis: Redis,
    mode: SubscriptionMode,
    /// `socket.io#/chat#`
    channel: String,
    /// The rooms that have a subscription.
    rooms: Mutex<HashSet<Room>>,
    subscriptions: Subscriptions<Self>,
}

impl ShardedPubSub {
    fn adapter(redis: &Redis, mode: SubscriptionMode, node: Arc<dyn Node>) -> ClusterAdapter<Self> {
        let uid = random_uid();
        let channel = format!("{}#{}#", redis.config().prefix, node.namespace());
        let receiver = Receiver::new(redis, |_: &Self, _, message| Message::from_bytes(message).map(Some));
        let fixed = vec![Channel::Shard(channel.clone()), Channel::Shard(format!("{channel}{uid}#"))];
        let subscriptions = Subscriptions::new(redis, receiver.clone(), fixed);
        let bus = Self { redis: redis.clone(), mode, channel, rooms: Mutex::default(), subscriptions };
        let adapter = ClusterAdapter::new(bus, node, &uid, counted(redis));
        receiver.attach(adapter.downgrade());
        adapter.bus().subscriptions.begin();
        adapter
    }

    fn room_channel(&self, room: &str) -> String {
        format!("{}{room}#", self.channel)
    }

    fn channel_of(&self, Transmit { target, message }: &Transmit) -> String {
        match (target, &message.body) {
            (Target::Server(uid), _) => self.room_channel(uid),
            // Answers come from all servers, so the request has to get there.
            (Target::All, Body::Broadcast { options, request_id: None, .. }) => match &*options.rooms {
                [room] if self.mode.has_channel(room) => self.room_channel(room),
                _ => self.channel.clone(),
            },
            _ => self.channel.clone(),
        }
    }
}

/// A cluster in which Redis knows how many servers there are.
pub(crate) fn counted(redis: &Redis) -> ClusterConfig {
    let mut config = ClusterConfig::default();
    config.membership = Membership::Counted;
    config.request_timeout = redis.config().request_timeout;
    config
}

impl Bus for ShardedPubSub {
    fn send(&self, transmit: Transmit) {
        let message = &transmit.message;
        let encoded = if message.body.has_binary() {
            message.to_msgpack()
        } else {
            message.to_json().map(String::into_bytes)
        };
        match encoded {
            Ok(encoded) => self.redis.publish("SPUBLISH", &self.channel_of(&transmit), &encoded),
            Err(error) => self.redis.not_sent(&error),
        }
    }

    fn server_count(&self) -> BoxFuture<'_, Option<usize>> {
        Box::pin(async { self.redis.subscriber_count("SHARDNUMSUB", &self.channel).await })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.subscriptions.end();
            // The goodbye need not wait for a Redis that is away.
            if self.redis.is_ready() {
                let _ = self.redis.flush().await;
            }
        })
    }

    fn follows_rooms(&self) -> bool {
        self.mode != SubscriptionMode::Static
    }

    fn room_changed(&self, node: &dyn Node, room: &Room) {
        if !self.mode.has_channel(room) {
            return;
        }
        // Calls can overtake each other, so that the state is asked for under the lock, and not told.
        let mut rooms = self.rooms.lock();
        match (node.has_room(room), rooms.contains(room)) {
            (true, false) => {
                rooms.insert(room.clone());
                self.subscriptions.add(Channel::Shard(self.room_channel(room)));
            }
            (false, true) => {
                rooms.remove(room);
                self.subscriptions.remove(Channel::Shard(self.room_channel(room)));
            }
            _ => {}
        }
    }
}

impl Drop for ShardedPubSub {
    fn drop(&mut self) {
        let rooms = std::mem::take(self.rooms.get_mut());
        for room in rooms {
            self.subscriptions.remove(Channel::Shard(self.room_channel(&room)));
        }
    }
}

impl fmt::Debug for ShardedPubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardedPubSub").field("channel", &self.channel).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_have_channels_as_in_the_official_adapter() {
        use SubscriptionMode::{Dynamic, DynamicPrivate, Static};
        let id = "0123456789abcdefghij";
        for (mode, room, expected) in [
            (Static, "room", false),
            (Static, id, false),
            (Dynamic, "room", true),
            (Dynamic, id, false),
            (Dynamic, "\u{1f41f}123456789012345678", false),
            (Dynamic, "\u{1f41f}1234567890123456789", true),
            (DynamicPrivate, "room", true),
            (DynamicPrivate, id, true),
        ] {
            assert_eq!(mode.has_channel(room), expected, "{mode:?} {room}");
        }
    }
}
