//! What is counted, so that nothing is lost in silence.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the connection was made; see [`Redis::stats`](crate::Redis::stats).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages that Redis took from this server.
    pub published: u64,
    /// Messages that arrived from Redis, this server's own included.
    pub received: u64,
    /// Messages of this server that may not have reached the others: Redis refused them, the connection broke before
    /// Redis confirmed them, or the queue was full.
    pub lost: u64,
    /// Messages that arrived and were not handled, because too many waited.
    pub dropped: u64,
    /// Messages that arrived and are not what servers send: too long, no JSON or msgpack, or of another shape.
    pub malformed: u64,
    /// How often the connection broke. What the others sent over pub/sub meanwhile did not arrive, and Redis does not tell how much
    /// that was; streams are read on from where they were left.
    pub outages: u64,
    /// Entries of streams that Redis had removed before this server read them, as far as that can be told: the
    /// number of times that there was a gap.
    pub gaps: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) published: Counter,
    pub(crate) received: Counter,
    pub(crate) lost: Counter,
    pub(crate) dropped: Counter,
    pub(crate) malformed: Counter,
    pub(crate) outages: Counter,
    pub(crate) gaps: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            published: self.published.get(),
            received: self.received.get(),
            lost: self.lost.get(),
            dropped: self.dropped.get(),
            malformed: self.malformed.get(),
            outages: self.outages.get(),
            gaps: self.gaps.get(),
        }
    }
}
