//! Pub/sub, as `createAdapter` of `@socket.io/redis-adapter` does it.
//!
//! ```text
//! socket.io#/chat#              broadcasts          msgpack
//! socket.io#/chat#room 1#       … to one room
//! socket.io-request#/chat#      other operations    JSON, or msgpack where there are bytes
//! socket.io-response#/chat#     answers
//! socket.io-response#/chat#a3f…#  … to one server
//! ```

mod wire;

use bytes::Bytes;
use sockeye_adapter::{
    BoxFuture, Node,
    cluster::{Body, Bus, ClusterAdapter, Message, MessageError, Target, Transmit},
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

pub(crate) use wire::{Channels, encode_broadcast, encode_request};

use crate::{
    Redis,
    bus::{Receiver, Subscriptions, random_uid},
    handle::Channel,
    sharded::counted,
};
use wire::Request;

impl Redis {
    /// Makes the adapters of a server: pub/sub, with any Redis from 6.0 on. Node.js servers of the cluster use `createAdapter` of
    /// `@socket.io/redis-adapter`, other processes its emitter or [`Emitter`](crate::Emitter).
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let redis = sockeye_redis::Redis::connect("redis://127.0.0.1/").await?;
    /// let io = sockeye::Io::builder().adapter(redis.pub_sub()).build();
    /// # Ok(()) }
    /// ```
    pub fn pub_sub(&self) -> impl Fn(Arc<dyn Node>) -> ClusterAdapter<PubSub> + Send + Sync + 'static {
        let redis = self.clone();
        move |node| PubSub::adapter(&redis, node)
    }
}

/// The bus of one namespace over pub/sub; see [`Redis::pub_sub`].
pub struct PubSub {
    redis: Redis,
    uid: String,
    node: Arc<dyn Node>,
    channels: Channels,
    /// Answers do not say from which server they are, but every server gives one only.
    answer_count: AtomicU64,
    subscriptions: Subscriptions<Self>,
}

impl PubSub {
    fn adapter(redis: &Redis, node: Arc<dyn Node>) -> ClusterAdapter<Self> {
        let uid = random_uid();
        let channels = Channels::new(&redis.config().prefix, node.namespace());
        let receiver = Receiver::new(redis, Self::read);
        let fixed = vec![
            Channel::Pattern(format!("{}*", wire::glob_escaped(&channels.broadcast))),
            Channel::Exact(channels.request.clone()),
            Channel::Exact(channels.response.clone()),
            Channel::Exact(channels.response_to(&uid)),
        ];
        let bus = Self {
            redis: redis.clone(),
            uid: uid.clone(),
            node: node.clone(),
            channels,
            answer_count: AtomicU64::new(0),
            subscriptions: Subscriptions::new(redis, receiver.clone(), fixed),
        };
        let adapter = ClusterAdapter::new(bus, node, &uid, counted(redis));
        receiver.attach(adapter.downgrade());
        adapter.bus().subscriptions.begin();
        adapter
    }

    /// Reads a message; `None` when it is nothing for the adapter.
    fn read(&self, channel: &str, message: &Bytes) -> Result<Option<Message>, MessageError> {
        if channel.starts_with(&self.channels.response) {
            let number = self.answer_count.fetch_add(1, Ordering::Relaxed);
            return wire::decode_response(message, &self.uid)
                .map(|body| body.map(|body| self.message(&number.to_string(), body)));
        }
        if *channel == self.channels.request {
            let request = wire::decode_request(message)?;
            if request.uid.as_deref() == Some(&*self.uid) {
                return Ok(None);
            }
            let uid = request.uid.clone().unwrap_or_default();
            return Ok(match request.into_body()? {
                Request::Operation(body) => Some(self.message(&uid, body)),
                // Only classic servers ask for these, so the adapter has no messages for them.
                Request::Sockets { options, request_id } => {
                    let ids = self.node.socket_ids(&options);
                    self.respond(&uid, wire::encode_ids(&request_id, &ids));
                    None
                }
                Request::AllRooms { request_id } => {
                    self.respond(&uid, wire::encode_rooms(&request_id, &self.node.rooms()));
                    None
                }
            });
        }
        let Some(room) = channel.strip_prefix(&*self.channels.broadcast) else { return Ok(None) };
        let room = room.strip_suffix('#').unwrap_or(room);
        if !room.is_empty() && !self.node.has_room(room) {
            return Ok(None);
        }
        let broadcast = wire::decode_broadcast(message)?;
        if broadcast.uid == self.uid || broadcast.namespace != self.node.namespace() {
            return Ok(None);
        }
        let body = Body::Broadcast { event: broadcast.event, options: broadcast.options, request_id: None };
        Ok(Some(self.message(&broadcast.uid, body)))
    }

    fn message(&self, uid: &str, body: Body) -> Message {
        Message { uid: uid.into(), nsp: self.node.namespace().into(), body }
    }

    fn respond(&self, uid: &str, response: Result<Vec<u8>, MessageError>) {
        match response {
            Ok(response) => self.redis.publish("PUBLISH", &self.channels.response_to(uid), &response),
            Err(error) => self.redis.not_sent(&error),
        }
    }
}

impl Bus for PubSub {
    fn send(&self, Transmit { target, message }: Transmit) {
        match (target, &message.body) {
            (Target::Server(uid), body) => self.respond(&uid, wire::encode_response(body)),
            (Target::All, Body::Broadcast { event, options, request_id: None }) => {
                match encode_broadcast(&self.uid, &message.nsp, event, options) {
                    Ok(encoded) => self.redis.publish("PUBLISH", &self.channels.of(options), &encoded),
                    Err(error) => self.redis.not_sent(&error),
                }
            }
            (Target::All, body) => match encode_request(Some(&self.uid), &message.nsp, body) {
                Ok(encoded) => self.redis.publish("PUBLISH", &self.channels.request, &encoded),
                Err(error) => self.redis.not_sent(&error),
            },
        }
    }

    fn server_count(&self) -> BoxFuture<'_, Option<usize>> {
        Box::pin(async { self.redis.subscriber_count("NUMSUB", &self.channels.request).await })
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
}

impl fmt::Debug for PubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSub").field("channels", &self.channels).finish_non_exhaustive()
    }
}
