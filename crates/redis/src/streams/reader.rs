//! The one task that reads the stream, for all namespaces of a server.
//!
//! ```text
//! XREAD from the last id ──► entry ──► adapter of its namespace
//!                            entry ──► …
//! Resume ─────────────────────► between two entries: XRANGE from the client's offset to the last id
//! ```

use parking_lot::Mutex;
use redis::{Cmd, RedisResult, Value};
use sockeye_adapter::{
    MissedPacket, Resume, Room,
    cluster::{Body, Message, WeakClusterAdapter},
};
use std::{collections::HashMap, sync::Arc};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::timeout,
};

use super::{
    Streams, StreamsConfig,
    entry::{Entry, EntryId, is_behind},
    members,
};
use crate::{
    Redis,
    backoff::Backoff,
    handle::closed,
    link::{Link, timed_out},
    trace::{debug, warn},
};

/// How many entries are read at a time.
const READ_COUNT: usize = 100;

/// How long Redis waits for an entry to come, in milliseconds.
const BLOCK_MILLIS: usize = 5000;

/// How many entries are looked through at a time for a client that comes back.
const RANGE_COUNT: usize = 1000;

/// The adapters by namespace.
pub(super) type Members = Mutex<HashMap<String, WeakClusterAdapter<Streams>>>;

/// What is to be done between two entries.
pub(super) enum Task {
    /// A message that Redis did not take: it is for this server's clients at least.
    Deliver(Message),
    /// A client comes back.
    Resume { namespace: String, rooms: Vec<Room>, offset: String, resume: Resume },
}

/// The handle to the task. Dropping it ends the task.
pub(super) struct Reader {
    pub(super) members: Members,
    tasks: mpsc::UnboundedSender<Task>,
    task: OnceTask,
}

type OnceTask = std::sync::OnceLock<AbortHandle>;

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl Reader {
    pub(super) fn start(redis: &Redis, config: &StreamsConfig) -> Arc<Self> {
        let (tasks, receiver) = mpsc::unbounded_channel();
        let reader = Arc::new(Self { members: members(), tasks, task: OnceTask::new() });
        // Asked in order with everything that this server is going to add.
        let top = redis.shared.query_in_order(top_of(&config.stream));
        let reading = Reading {
            redis: redis.clone(),
            reader: Arc::downgrade(&reader),
            stream: config.stream.clone(),
            max_count: config.max_len.saturating_mul(2).max(RANGE_COUNT),
            last: EntryId::default(),
            tasks: receiver,
        };
        let _ = reader.task.set(tokio::spawn(reading.run(top)).abort_handle());
        reader
    }

    pub(super) fn order(&self, task: Task) {
        // The task lives as long as this.
        let _ = self.tasks.send(task);
    }
}

/// The task.
struct Reading {
    redis: Redis,
    reader: std::sync::Weak<Reader>,
    stream: String,
    /// How many entries are looked through at most for a client that comes back.
    max_count: usize,
    /// The last entry that was delivered.
    last: EntryId,
    tasks: mpsc::UnboundedReceiver<Task>,
}

/// Asks for the newest entry.
fn top_of(stream: &str) -> Cmd {
    let mut command = redis::cmd("XREVRANGE");
    command.arg(stream).arg("+").arg("-").arg("COUNT").arg(1);
    command
}

/// The id of the first entry of an answer; the lowest of all when there is none.
fn first_id(answer: Value) -> EntryId {
    let Value::Array(entries) = answer else { return EntryId::default() };
    let first = entries.into_iter().next().and_then(|entry| Entry::new(entry).ok());
    first.map(|(id, _)| id).unwrap_or_default()
}

impl Reading {
    async fn run(mut self, top: oneshot::Receiver<RedisResult<Value>>) {
        let mut backoff = Backoff::new(self.redis.config());
        let mut answer = top.await.unwrap_or_else(|_| Err(closed()));
        self.last = loop {
            match answer {
                Ok(value) => break first_id(value),
                Err(error) => warn!(target: "sockeye::redis", error = %error, "the stream cannot be read"),
            }
            tokio::time::sleep(backoff.next_delay()).await;
            answer = self
                .redis
                .shared
                .query_in_order(top_of(&self.stream))
                .await
                .unwrap_or_else(|_| Err(closed()));
        };
        loop {
            let connected = self.redis.shared.target.connect(self.redis.config(), None).await;
            let error = match connected {
                Ok(link) => match self.read(link, &mut backoff).await {
                    Ok(never) => match never {},
                    Err(error) => error,
                },
                Err(error) => error,
            };
            warn!(target: "sockeye::redis", error = %error, "the stream is not read");
            // Who comes back meanwhile is told so.
            let pause = tokio::time::sleep(backoff.next_delay());
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Some(task) = self.tasks.recv() => self.handle(task).await,
                }
            }
        }
    }

    /// Reads until the connection breaks.
    async fn read(&mut self, mut link: Link, backoff: &mut Backoff) -> RedisResult<std::convert::Infallible> {
        self.check_continuity(&mut link).await?;
        let patience =
            self.redis.config().response_timeout + std::time::Duration::from_millis(BLOCK_MILLIS as u64);
        loop {
            let mut command = redis::cmd("XREAD");
            command.arg("COUNT").arg(READ_COUNT).arg("BLOCK").arg(BLOCK_MILLIS);
            command.arg("STREAMS").arg(&self.stream).arg(self.last.to_string());
            let mut reading_link = link.clone();
            let reading = timeout(patience, async move { reading_link.query(&command).await });
            tokio::pin!(reading);
            let answer = loop {
                tokio::select! {
                    answer = &mut reading => break answer.map_err(|_| timed_out("reading a stream"))??,
                    Some(task) = self.tasks.recv() => self.handle(task).await,
                }
            };
            backoff.reset();
            let entries = entries_of(answer);
            let is_full = entries.len() >= READ_COUNT;
            for entry in entries {
                self.deliver(entry);
            }
            if is_full {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Finds out whether what comes next in the stream is what comes after the last entry.
    async fn check_continuity(&mut self, link: &mut Link) -> RedisResult<()> {
        if self.last == EntryId::default() {
            return Ok(());
        }
        let top = first_id(link.query(&top_of(&self.stream)).await?);
        let mut range = redis::cmd("XRANGE");
        range.arg(&self.stream).arg("-").arg("+").arg("COUNT").arg(1);
        let bottom = first_id(link.query(&range).await?);
        let replaced = is_behind(self.last, top);
        if replaced || bottom > self.last {
            self.redis.shared.counters.gaps.add(1);
            warn!(target: "sockeye::redis", "entries of the stream are missing");
        }
        if replaced {
            // Another stream, whose ids begin anew.
            self.last = EntryId::default();
        }
        Ok(())
    }

    fn deliver(&mut self, entry: Value) {
        let (id, entry) = match Entry::new(entry) {
            Ok(entry) => entry,
            Err(error) => return self.redis.malformed(&error),
        };
        self.last = id;
        let counters = &self.redis.shared.counters;
        counters.received.add(1);
        match entry {
            Ok(entry) if entry.len() > self.redis.config().max_message_len => {
                counters.malformed.add(1);
                warn!(target: "sockeye::redis", len = %entry.len(), "entry dropped: it is too long");
            }
            Ok(entry) => {
                let Some(adapter) = self.member(&entry.nsp) else { return };
                match entry.into_message() {
                    Ok(message) => adapter.deliver(message, Some(&id.to_string())),
                    Err(error) => self.redis.malformed(&error),
                }
            }
            Err(error) => self.redis.malformed(&error),
        }
    }

    fn member(&self, namespace: &str) -> Option<sockeye_adapter::cluster::ClusterAdapter<Streams>> {
        let reader = self.reader.upgrade()?;
        let member = reader.members.lock().get(namespace).cloned();
        member?.upgrade()
    }

    async fn handle(&mut self, task: Task) {
        match task {
            Task::Deliver(message) => {
                if let Some(adapter) = self.member(&message.nsp) {
                    adapter.deliver(message, None);
                }
            }
            Task::Resume { namespace, rooms, offset, resume } => {
                let missed = match offset.parse() {
                    Ok(offset) => self.missed(&namespace, &rooms, offset).await,
                    Err(_) => None,
                };
                resume(missed);
            }
        }
    }

    /// What these rooms were sent after an offset, up to what has been delivered; `None` when that cannot be told any more.
    async fn missed(&self, namespace: &str, rooms: &[Room], offset: EntryId) -> Option<Vec<MissedPacket>> {
        let (mut from, mut count, mut missed) = (offset, 0, Vec::new());
        // The offset itself shows that nothing behind it was removed.
        let mut is_first = true;
        while is_first || from <= self.last {
            let mut range = redis::cmd("XRANGE");
            range.arg(&self.stream).arg(from.to_string()).arg(self.last.max(offset).to_string());
            range.arg("COUNT").arg(RANGE_COUNT);
            let Ok(Value::Array(entries)) = self.redis.shared.query_now(&range).await else { return None };
            let is_full = entries.len() >= RANGE_COUNT;
            for entry in entries {
                let (id, entry) = Entry::new(entry).ok()?;
                if is_first {
                    if id != offset {
                        debug!(target: "sockeye::redis", "session not resumed: its offset is gone");
                        return None;
                    }
                    is_first = false;
                } else if let Ok(entry) = entry
                    && let Some(event) = missed_event(entry, namespace, rooms)
                {
                    missed.push(MissedPacket { event, offset: id.to_string().into() });
                }
                from = id.next();
                count += 1;
            }
            if is_first || count > self.max_count {
                return None;
            }
            if !is_full {
                break;
            }
        }
        Some(missed)
    }
}

/// The event of an entry, if it is one that can be recovered, and for these rooms.
fn missed_event(entry: Entry, namespace: &str, rooms: &[Room]) -> Option<sockeye_adapter::Payload> {
    const BROADCAST: u8 = 3;
    if entry.type_number != BROADCAST || entry.nsp != namespace {
        return None;
    }
    let Body::Broadcast { event, options, request_id: None } = entry.into_message().ok()?.body else {
        return None;
    };
    let is_meant = options.rooms.is_empty() || rooms.iter().any(|room| options.rooms.contains(room));
    let is_excluded = rooms.iter().any(|room| options.except.contains(room));
    (is_meant && !is_excluded && !options.volatile).then_some(event)
}

/// The entries in the answer to XREAD, which is a map or a list of pairs, or nothing at all.
fn entries_of(answer: Value) -> Vec<Value> {
    let entries = match answer {
        Value::Map(streams) => streams.into_iter().next().map(|(_, entries)| entries),
        Value::Array(streams) => streams.into_iter().next().and_then(|stream| match stream {
            Value::Array(pair) => pair.into_iter().nth(1),
            _ => None,
        }),
        _ => None,
    };
    match entries {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    }
}
