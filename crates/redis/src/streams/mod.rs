//! Redis Streams, as `@socket.io/redis-streams-adapter` does it.
//!
//! ```text
//! emit ──► XADD socket.io ──► 1732-0 │ 1732-1 │ 1733-0 ──► Reader of every server ──► clients, with the entry's id
//! client that was away ──► session in a key ──► XRANGE from the last id that it has seen
//! ```
//! What nobody answers is an entry of the stream, and reaches all servers in the same order, this one included. Requests and answers
//! go over pub/sub:
//! ```text
//! socket.io#/chat#                   requests      msgpack
//! socket.io#/chat#0123456789abcdef#  answers to this server
//! ```

mod entry;
mod reader;
mod session;

use parking_lot::Mutex;
use sockeye_adapter::{
    BoxFuture, Node, Resume, Session,
    cluster::{Body, Bus, ClusterAdapter, Message, Target, Transmit},
};
use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

pub(crate) use entry::add;

use crate::{
    Redis,
    bus::{Receiver, Subscriptions, random_uid},
    handle::Channel,
    sharded::counted,
};
use reader::{Members, Reader, Task};

/// The options of [`Redis::streams`]. `stream`, `session_prefix` and `sharded_pub_sub` must be the same on all servers of a cluster.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamsConfig {
    /// The key of the stream. Default `socket.io`. Official servers must use one stream (`streamCount: 1`, their default).
    pub stream: String,
    /// About how many entries the stream keeps. Default 10,000. A client that missed more than this many cannot recover, and a
    /// server that was cut off for longer has missed them: see [`Stats::gaps`](crate::Stats::gaps).
    pub max_len: usize,
    /// What the keys of sessions begin with. Default `sio:session:`.
    pub session_prefix: String,
    /// Whether requests and answers go over sharded pub/sub, which needs Redis 7.0. Default no.
    pub sharded_pub_sub: bool,
}

impl Default for StreamsConfig {
    fn default() -> Self {
        Self {
            stream: "socket.io".into(),
            max_len: 10_000,
            session_prefix: "sio:session:".into(),
            sharded_pub_sub: false,
        }
    }
}

impl Redis {
    /// Makes the adapters of a server: Redis Streams, with connection state recovery on any server of the cluster if
    /// [`Builder::connection_state_recovery`] is on. Node.js servers of the cluster use `@socket.io/redis-streams-adapter`.
    ///
    /// An event reaches this server's own clients when Redis has taken it.
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let redis = sockeye_redis::Redis::connect("redis://127.0.0.1/").await?;
    /// let io = sockeye::Io::builder().adapter(redis.streams()).build();
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// [`Builder::connection_state_recovery`]: https://docs.rs/sockeye/latest/sockeye/struct.Builder.html
    pub fn streams(&self) -> impl Fn(Arc<dyn Node>) -> ClusterAdapter<Streams> + Send + Sync + 'static {
        self.streams_with(StreamsConfig::default())
    }

    /// As [`streams`](Self::streams), with other options.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn streams_with(
        &self,
        config: StreamsConfig,
    ) -> impl Fn(Arc<dyn Node>) -> ClusterAdapter<Streams> + Send + Sync + 'static {
        let redis = self.clone();
        let reader = Reader::start(&redis, &config);
        let config = Arc::new(config);
        move |node| Streams::adapter(&redis, &config, &reader, node)
    }
}

/// The bus of one namespace over a stream; see [`Redis::streams`].
pub struct Streams {
    redis: Redis,
    config: Arc<StreamsConfig>,
    /// One for all namespaces.
    reader: Arc<Reader>,
    namespace: String,
    /// `socket.io#/chat#`
    channel: String,
    subscriptions: Subscriptions<Self>,
}

impl Streams {
    fn adapter(
        redis: &Redis,
        config: &Arc<StreamsConfig>,
        reader: &Arc<Reader>,
        node: Arc<dyn Node>,
    ) -> ClusterAdapter<Self> {
        let uid = random_uid();
        let namespace = node.namespace().to_owned();
        let channel = format!("{}#{namespace}#", redis.config().prefix);
        let receiver = Receiver::new(redis, |_: &Self, _, message| Message::from_bytes(message).map(Some));
        let kind = if config.sharded_pub_sub { Channel::Shard } else { Channel::Exact };
        let fixed = vec![kind(channel.clone()), kind(format!("{channel}{uid}#"))];
        let bus = Self {
            redis: redis.clone(),
            config: config.clone(),
            reader: reader.clone(),
            namespace: namespace.clone(),
            channel,
            subscriptions: Subscriptions::new(redis, receiver.clone(), fixed),
        };
        let mut cluster = counted(redis);
        cluster.echo = true;
        let adapter = ClusterAdapter::new(bus, node, &uid, cluster);
        receiver.attach(adapter.downgrade());
        adapter.bus().subscriptions.begin();
        reader.members.lock().insert(namespace, adapter.downgrade());
        adapter
    }

    /// Over pub/sub: what is of no use to a server that is not there.
    fn publish(&self, channel: &str, message: &Message) {
        let command = if self.config.sharded_pub_sub { "SPUBLISH" } else { "PUBLISH" };
        match message.to_msgpack() {
            Ok(encoded) => self.redis.publish(command, channel, &encoded),
            Err(error) => self.redis.not_sent(&error),
        }
    }
}

impl Bus for Streams {
    fn send(&self, Transmit { target, message }: Transmit) {
        match (target, &message.body) {
            (Target::Server(uid), _) => self.publish(&format!("{}{uid}#", self.channel), &message),
            (
                Target::All,
                Body::Broadcast { request_id: Some(_), .. }
                | Body::ServerSideEmit { .. }
                | Body::FetchSockets { .. },
            ) => self.publish(&self.channel, &message),
            (Target::All, _) => match add(&self.config, &message) {
                Ok(command) => {
                    // Who refuses it says so at once; what is lost on the way may have arrived.
                    let reader = self.reader.clone();
                    self.redis.shared.publish_or(command, move || reader.order(Task::Deliver(message)));
                }
                Err(error) => self.redis.not_sent(&error),
            },
        }
    }

    fn server_count(&self) -> BoxFuture<'_, Option<usize>> {
        let command = if self.config.sharded_pub_sub { "SHARDNUMSUB" } else { "NUMSUB" };
        Box::pin(async { self.redis.subscriber_count(command, &self.channel).await })
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

    fn keeps_sessions(&self) -> bool {
        true
    }

    fn persist_session(&self, session: Session, duration: Duration) {
        session::persist(&self.redis, &self.config, &session, duration);
    }

    fn restore_session<'a>(&'a self, pid: &'a str, offset: &'a str) -> BoxFuture<'a, Option<Session>> {
        Box::pin(session::restore(&self.redis, &self.config, pid, offset))
    }

    fn resume_session(&self, session: &Session, offset: &str, resume: Resume) {
        // The reader does it between two entries.
        self.reader.order(Task::Resume {
            namespace: self.namespace.clone(),
            rooms: session.rooms.clone(),
            offset: offset.to_owned(),
            resume,
        });
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        let mut members = self.reader.members.lock();
        if members.get(&self.namespace).is_some_and(|member| member.upgrade().is_none()) {
            members.remove(&self.namespace);
        }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

fn members() -> Members {
    Mutex::new(HashMap::new())
}
