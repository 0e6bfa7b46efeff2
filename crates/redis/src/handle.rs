//! The handle to Redis, and the tasks behind it.
//!
//! ```text
//! adapters ──► outbox ──► run ──► pipelines ──► Redis
//! adapters ◄── dispatch ◄── inbox ◄── pushes ◄──┘
//! ```
//! `run` owns the connection: it connects, subscribes, sends what waits, and starts over when the connection breaks. Both queues
//! are bounded in bytes. Nothing that a user calls waits for Redis, unless it asks for an answer.

use bytes::Bytes;
use parking_lot::Mutex;
use redis::{Cmd, PushInfo, PushKind, RedisError, RedisResult, Value};
use std::{
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot, watch},
    task::AbortHandle,
};

use crate::{
    Config, Stats,
    backoff::Backoff,
    link::{Link, Target, timed_out},
    queue::Queue,
    stats::Counters,
    trace::{debug, warn},
};

/// The most commands that are sent in one pipeline.
const MAX_BATCH: usize = 256;

/// What a command takes in a queue beside its arguments, in bytes.
const OVERHEAD: usize = 64;

/// A connection to Redis that comes back by itself. Cloning it is cheap and gives the same one; it is closed when the last clone
/// and the last adapter made of it are gone.
///
/// ```no_run
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use sockeye::Io;
/// use sockeye_redis::Redis;
///
/// let redis = Redis::connect("redis://127.0.0.1/").await?;
/// let io = Io::builder().adapter(redis.pub_sub()).build();
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Redis {
    pub(crate) shared: Arc<Shared>,
    _tasks: Arc<Tasks>,
}

/// Ends the tasks when nobody needs them any more.
struct Tasks(Vec<AbortHandle>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) target: Target,
    pub(crate) counters: Counters,
    subscriptions: Mutex<HashMap<Channel, Vec<Weak<dyn Subscriber>>>>,
    outbox: Queue<Order>,
    inbox: Queue<Inbound>,
    link: watch::Sender<Option<Link>>,
}

/// What can be subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Channel {
    Exact(String),
    Pattern(String),
    Shard(String),
}

/// Gets the messages of a channel.
pub(crate) trait Subscriber: Send + Sync + 'static {
    /// A message arrived. `channel` is where it was published, also if the subscription is a pattern.
    fn receive(&self, channel: &str, message: Bytes);
}

/// What `run` is to do, in this order.
enum Order {
    Publish(Cmd, OnRefusal),
    Query(Cmd, oneshot::Sender<RedisResult<Value>>),
    /// Brings a subscription to the state that `subscriptions` has.
    Subscription(Channel),
}

/// Called when Redis certainly does not take a command.
type OnRefusal = Option<Box<dyn FnOnce() + Send>>;

struct Inbound {
    subscription: Channel,
    channel: Option<String>,
    message: Bytes,
}

impl Redis {
    /// Connects to the Redis server at `url`, such as `redis://:password@10.0.0.1:6379/` or, with the feature `tls`, `rediss://`.
    /// Redis 6.0 is the oldest that does.
    ///
    /// # Errors
    /// When the URL is none, or the first connection fails. Later ones are made anew for ever.
    pub async fn connect(url: &str) -> RedisResult<Self> {
        Self::connect_with(url, Config::default()).await
    }

    /// As [`connect`](Self::connect), with other options.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(url: &str, config: Config) -> RedisResult<Self> {
        Self::start_connected(Target::single(url)?, config).await
    }

    /// Does not wait for the first connection: what needs it is queued until it is there; see [`ready`](Self::ready).
    ///
    /// # Errors
    /// When the URL is none.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(url: &str, config: Config) -> RedisResult<Self> {
        Ok(Self::start(Target::single(url)?, config, None))
    }

    /// Connects to a Redis Cluster, of which some servers are at `urls`.
    ///
    /// Not tested yet, and known not to count the servers of a cluster correctly, which requests to them depend on.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    #[cfg(feature = "cluster")]
    pub async fn connect_cluster<'a>(
        urls: impl IntoIterator<Item = &'a str>,
        config: Config,
    ) -> RedisResult<Self> {
        Self::start_connected(Target::cluster(urls)?, config).await
    }

    async fn start_connected(target: Target, config: Config) -> RedisResult<Self> {
        let (first, connected) = oneshot::channel();
        let redis = Self::start(target, config, Some(first));
        connected.await.unwrap_or_else(|_| Err(timed_out("connecting")))?;
        Ok(redis)
    }

    fn start(target: Target, config: Config, first: Option<oneshot::Sender<RedisResult<()>>>) -> Self {
        let shared = Arc::new(Shared {
            outbox: Queue::new(config.max_queue_len),
            inbox: Queue::new(config.max_backlog_len),
            config,
            target,
            counters: Counters::default(),
            subscriptions: Mutex::default(),
            link: watch::Sender::new(None),
        });
        let run = tokio::spawn(run(shared.clone(), first)).abort_handle();
        let dispatch = tokio::spawn(dispatch(shared.clone())).abort_handle();
        Self { shared, _tasks: Arc::new(Tasks(vec![run, dispatch])) }
    }

    /// Whether Redis is connected, all subscriptions in place: what an orchestrator's readiness check wants to know. A server
    /// whose Redis is away still serves its own clients.
    pub fn is_ready(&self) -> bool {
        self.shared.link.borrow().is_some()
    }

    /// Waits until Redis is connected.
    pub async fn ready(&self) {
        // The sender is in `shared`.
        let _ = self.shared.link.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until everything that was sent before has reached Redis or is lost; for that, Redis has to be there.
    ///
    /// # Errors
    /// When the connection breaks meanwhile. [`stats`](Self::stats) tells whether something was lost.
    pub async fn flush(&self) -> RedisResult<()> {
        let answer = self.shared.query_in_order(redis::cmd("PING")).await;
        answer.unwrap_or_else(|_| Err(closed())).map(|_| ())
    }

    /// What was sent, received and lost so far.
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot()
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("ready", &self.is_ready())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The bytes that a command takes while it waits.
fn command_len(command: &Cmd) -> usize {
    let len = |arg: redis::Arg<&[u8]>| match arg {
        redis::Arg::Simple(bytes) => bytes.len(),
        _ => 0,
    };
    OVERHEAD + command.args_iter().map(len).sum::<usize>()
}

impl Shared {
    /// Sends a command when its turn comes.
    pub(crate) fn publish(&self, command: Cmd) {
        self.order(command, None);
    }

    /// As [`publish`](Self::publish); `refused` is called when Redis certainly does not take the command.
    pub(crate) fn publish_or(&self, command: Cmd, refused: impl FnOnce() + Send + 'static) {
        self.order(command, Some(Box::new(refused)));
    }

    fn order(&self, command: Cmd, refused: OnRefusal) {
        let len = command_len(&command);
        if let Err(order) = self.outbox.push(Order::Publish(command, refused), len) {
            self.counters.lost.add(1);
            debug!(target: "sockeye::redis", "message lost: too many wait for Redis");
            if let Order::Publish(_, Some(refused)) = order {
                refused();
            }
        }
    }

    /// Sends a command when its turn comes, and waits for the answer.
    ///
    /// # Errors
    /// At once when Redis is away: nobody wants to wait for that.
    pub(crate) async fn query(&self, command: Cmd) -> RedisResult<Value> {
        if self.link.borrow().is_none() {
            return Err(closed());
        }
        self.query_in_order(command).await.unwrap_or_else(|_| Err(closed()))
    }

    /// As [`query`](Self::query), but waits for Redis to come back. Its turn is decided now, not when the answer is awaited.
    pub(crate) fn query_in_order(&self, command: Cmd) -> oneshot::Receiver<RedisResult<Value>> {
        let (sender, answer) = oneshot::channel();
        let len = command_len(&command);
        // Without room the sender is dropped, which is an answer too.
        let _ = self.outbox.push(Order::Query(command, sender), len);
        answer
    }

    /// Sends a command past everything that waits.
    pub(crate) async fn query_now(&self, command: &Cmd) -> RedisResult<Value> {
        let link = self.link.borrow().clone();
        let mut link = link.ok_or_else(closed)?;
        let answer = tokio::time::timeout(self.config.response_timeout, link.query(command)).await;
        answer.map_err(|_| timed_out("a command"))?
    }

    /// As [`query_now`](Self::query_now), for a transaction.
    pub(crate) async fn query_all_now(&self, commands: &redis::Pipeline) -> RedisResult<Vec<Value>> {
        let link = self.link.borrow().clone();
        let mut link = link.ok_or_else(closed)?;
        within(self.config.response_timeout, link.query_all(commands)).await?.into_iter().collect()
    }

    pub(crate) fn subscribe(&self, channel: Channel, subscriber: Weak<dyn Subscriber>) {
        let first = {
            let mut subscriptions = self.subscriptions.lock();
            let subscribers = subscriptions.entry(channel.clone()).or_default();
            subscribers.push(subscriber);
            subscribers.len() == 1
        };
        if first {
            self.order_subscription(channel);
        }
    }

    pub(crate) fn unsubscribe(&self, channel: Channel, subscriber: &Weak<dyn Subscriber>) {
        let last = {
            let mut subscriptions = self.subscriptions.lock();
            let Some(subscribers) = subscriptions.get_mut(&channel) else { return };
            subscribers.retain(|other| !Weak::ptr_eq(other, subscriber) && other.strong_count() > 0);
            let last = subscribers.is_empty();
            if last {
                subscriptions.remove(&channel);
            }
            last
        };
        if last {
            self.order_subscription(channel);
        }
    }

    fn order_subscription(&self, channel: Channel) {
        // Without bytes: it must not fail for want of room, and rooms are bounded by the sockets in them.
        let _ = self.outbox.push(Order::Subscription(channel), 0);
    }

    fn is_subscribed(&self, channel: &Channel) -> bool {
        self.subscriptions.lock().contains_key(channel)
    }

    /// Takes what Redis sends unasked; called by the task of the connection.
    fn pushed(&self, push: PushInfo, broken: &Notify) {
        let PushInfo { kind, data } = push;
        let mut data = data.into_iter();
        let mut text = || data.next().and_then(text_of);
        let (subscription, channel) = match kind {
            PushKind::Message => (text().map(Channel::Exact), None),
            PushKind::SMessage => (text().map(Channel::Shard), None),
            PushKind::PMessage => (text().map(Channel::Pattern), text()),
            PushKind::Disconnection => return broken.notify_one(),
            _ => return,
        };
        let message = match data.next() {
            Some(Value::BulkString(bytes)) => Bytes::from(bytes),
            _ => return,
        };
        let Some(subscription) = subscription else { return };
        self.counters.received.add(1);
        let len = message.len();
        if len > self.config.max_message_len {
            self.counters.malformed.add(1);
            warn!(target: "sockeye::redis", len = %len, "message dropped: it is too long");
        } else if self.inbox.push(Inbound { subscription, channel, message }, OVERHEAD + len).is_err() {
            self.counters.dropped.add(1);
            debug!(target: "sockeye::redis", "message dropped: too many wait to be handled");
        }
    }
}

fn text_of(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

pub(crate) fn closed() -> RedisError {
    RedisError::from(std::io::Error::new(std::io::ErrorKind::NotConnected, "Redis is not connected"))
}

/// Hands arriving messages to their subscribers.
async fn dispatch(shared: Arc<Shared>) {
    loop {
        for Inbound { subscription, channel, message } in shared.inbox.take(MAX_BATCH).await {
            let subscribers: Vec<_> = {
                let subscriptions = shared.subscriptions.lock();
                subscriptions.get(&subscription).into_iter().flatten().filter_map(Weak::upgrade).collect()
            };
            let name = match &subscription {
                Channel::Exact(name) | Channel::Shard(name) | Channel::Pattern(name) => {
                    channel.as_deref().unwrap_or(name)
                }
            };
            for subscriber in subscribers {
                let receive = AssertUnwindSafe(|| subscriber.receive(name, message.clone()));
                if catch_unwind(receive).is_err() {
                    warn!(target: "sockeye::redis", "handling a message panicked");
                }
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Keeps the connection, for ever. A failure of the first attempt goes to `first`, and is the end if somebody waits for that.
async fn run(shared: Arc<Shared>, mut first: Option<oneshot::Sender<RedisResult<()>>>) {
    let mut backoff = Backoff::new(&shared.config);
    loop {
        let attempt = connect(&shared).await;
        if let Some(first) = first.take() {
            let result = attempt.as_ref().map(|_| ()).map_err(Clone::clone);
            let failed = result.is_err();
            let _ = first.send(result);
            if failed {
                return;
            }
        }
        let error = match attempt {
            Ok((link, broken)) => {
                backoff.reset();
                debug!(target: "sockeye::redis", "connected");
                let error = serve(&shared, link, &broken).await;
                shared.link.send_replace(None);
                shared.counters.outages.add(1);
                error
            }
            Err(error) => error,
        };
        warn!(target: "sockeye::redis", error = %error, "not connected");
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

/// Connects, and subscribes to everything. The connection comes with what tells that it broke.
async fn connect(shared: &Arc<Shared>) -> RedisResult<(Link, Arc<Notify>)> {
    let (weak, broken) = (Arc::downgrade(shared), Arc::new(Notify::new()));
    let on_push = {
        let broken = broken.clone();
        Arc::new(move |push| {
            if let Some(shared) = weak.upgrade() {
                shared.pushed(push, &broken);
            }
        })
    };
    let mut link = shared.target.connect(&shared.config, Some(on_push)).await?;
    let channels: Vec<Channel> = shared.subscriptions.lock().keys().cloned().collect();
    for channels in channels.chunks(MAX_BATCH) {
        let mut commands = redis::pipe();
        channels.iter().for_each(|channel| _ = commands.add_command(subscription(channel, true)));
        for answer in within(shared.config.response_timeout, link.query_all(commands.ignore_errors())).await?
        {
            answer?;
        }
    }
    shared.link.send_replace(Some(link.clone()));
    Ok((link, broken))
}

async fn within<T>(timeout: Duration, query: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    tokio::time::timeout(timeout, query).await.unwrap_or_else(|_| Err(timed_out("a command")))
}

fn subscription(channel: &Channel, subscribed: bool) -> Cmd {
    let (name, channel) = match (channel, subscribed) {
        (Channel::Exact(channel), true) => ("SUBSCRIBE", channel),
        (Channel::Exact(channel), false) => ("UNSUBSCRIBE", channel),
        (Channel::Pattern(pattern), true) => ("PSUBSCRIBE", pattern),
        (Channel::Pattern(pattern), false) => ("PUNSUBSCRIBE", pattern),
        (Channel::Shard(channel), true) => ("SSUBSCRIBE", channel),
        (Channel::Shard(channel), false) => ("SUNSUBSCRIBE", channel),
    };
    let mut command = redis::cmd(name);
    command.arg(channel);
    command
}

/// Sends what waits, until the connection breaks.
async fn serve(shared: &Shared, mut link: Link, broken: &Notify) -> RedisError {
    loop {
        let orders = tokio::select! {
            orders = shared.outbox.take(MAX_BATCH) => orders,
            () = broken.notified() => {
                if link.mends_itself() {
                    shared.counters.outages.add(1);
                    continue;
                }
                return closed();
            }
            () = tokio::time::sleep(shared.config.ping_interval) => {
                match within(shared.config.response_timeout, link.query(&redis::cmd("PING"))).await {
                    Ok(_) => continue,
                    Err(error) => return error,
                }
            }
        };
        if let Err(error) = send(shared, &mut link, orders).await {
            return error;
        }
    }
}

/// Sends one batch. An error is the connection's; then what was in the batch may have reached Redis or not, and is not
/// sent again: nothing is delivered twice.
async fn send(shared: &Shared, link: &mut Link, orders: Vec<Order>) -> RedisResult<()> {
    let mut commands = redis::Pipeline::with_capacity(orders.len());
    let mut kinds = Vec::with_capacity(orders.len());
    for order in orders {
        match order {
            Order::Publish(command, refused) => {
                commands.add_command(command);
                kinds.push(Kind::Publish(refused));
            }
            Order::Query(command, answer) => {
                commands.add_command(command);
                kinds.push(Kind::Query(answer));
            }
            Order::Subscription(channel) => {
                commands.add_command(subscription(&channel, shared.is_subscribed(&channel)));
                kinds.push(Kind::Subscription);
            }
        }
    }
    let published = kinds.iter().filter(|kind| matches!(kind, Kind::Publish(_))).count();
    let answers = within(shared.config.response_timeout, link.query_all(commands.ignore_errors())).await;
    let answers = match answers {
        Ok(answers) => answers,
        Err(error) => {
            shared.counters.lost.add(published);
            return Err(error);
        }
    };
    let mut refused = 0;
    for (kind, answer) in kinds.into_iter().zip(answers) {
        match (kind, answer) {
            (Kind::Publish(on_refusal), Err(error)) => {
                refused += 1;
                warn!(target: "sockeye::redis", error = %error, "Redis refused a message");
                if let Some(on_refusal) = on_refusal {
                    on_refusal();
                }
            }
            (Kind::Subscription, Err(error)) => return Err(error),
            (Kind::Query(sender), answer) => _ = sender.send(answer),
            _ => {}
        }
    }
    shared.counters.lost.add(refused);
    shared.counters.published.add(published - refused);
    Ok(())
}

/// What the answer to a command is for.
enum Kind {
    Publish(OnRefusal),
    Query(oneshot::Sender<RedisResult<Value>>),
    Subscription,
}
