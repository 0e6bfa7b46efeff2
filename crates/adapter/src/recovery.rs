//! What clients that lost their connection need to come back, kept in memory.
//!
//! ```text
//! entries   … 17: to a     18: to all    19: to b, c   20: to a …      the offset of each is found in `positions`
//! rooms     a ──► 17, 20   b ──► 19      c ──► 19
//! all       18
//!
//! client with offset 17, in a and c:  missed 18, 19, 20
//! ```
//! A client that comes back costs what it missed, however much there is for others.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt::{self, Write as _},
    str::FromStr,
    time::Duration,
};

use rustc_hash::FxHashMap;

use crate::{BroadcastOptions, Room, SocketId};

/// What is kept, and for how long.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecoveryConfig {
    /// How long a client may be away. Default 120 s; then its session is forgotten. Events are kept as long.
    pub max_disconnection: Duration,
    /// The most events that are kept. Default 100,000; then the oldest are forgotten, and clients that have seen none but
    /// these or older ones start anew.
    pub max_event_count: usize,
    /// The most bytes of events that are kept. Default 64 MiB; then as above.
    pub max_events_len: usize,
    /// The most sessions that are kept. Default 100,000; then those that are away the longest are forgotten.
    pub max_session_count: usize,
}

impl Default for RecoveryConfig {
    fn default() -> Self {
        Self {
            max_disconnection: Duration::from_secs(120),
            max_event_count: 100_000,
            max_events_len: 64 << 20,
            max_session_count: 100_000,
        }
    }
}

/// Names an event, so that a client can tell which was the last that it has seen. It says nothing about the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Offset(pub u64);

/// The digits of an offset, which clients get with every event.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-";

/// How many digits an offset has.
const DIGIT_COUNT: usize = 11;

/// Eleven digits of six bits.
impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..DIGIT_COUNT).rev() {
            let digit = (self.0 >> (6 * place)) & 63;
            f.write_char(char::from(DIGITS[usize::try_from(digit).unwrap_or_default()]))?;
        }
        Ok(())
    }
}

impl FromStr for Offset {
    type Err = InvalidOffset;

    fn from_str(text: &str) -> Result<Self, InvalidOffset> {
        if text.len() != DIGIT_COUNT {
            return Err(InvalidOffset);
        }
        let digits = text.bytes().map(|byte| DIGITS.iter().position(|digit| *digit == byte));
        let value = digits.into_iter().try_fold(0_u128, |value, digit| Some(value << 6 | digit? as u128));
        value.and_then(|value| u64::try_from(value).ok()).map(Self).ok_or(InvalidOffset)
    }
}

/// An offset that no [`Offset`] is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidOffset;

impl fmt::Display for InvalidOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an offset")
    }
}

impl std::error::Error for InvalidOffset {}

/// A client that is away, with the data `D` of its socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaySession<D> {
    /// The public id of its socket.
    pub id: SocketId,
    /// Its rooms, that of its own id included.
    pub rooms: Vec<Room>,
    /// What its socket kept.
    pub data: D,
}

/// The sessions and events of one namespace on one server. Events are of type `P`, which is cheap to clone.
///
/// It is told the time: since any moment, but always the same.
#[derive(Debug)]
pub struct RecoveryLog<P, D> {
    config: RecoveryConfig,
    entries: VecDeque<Entry<P>>,
    /// The position of the first entry.
    base: u64,
    events_len: usize,
    positions: FxHashMap<u64, u64>,
    all: VecDeque<u64>,
    rooms: HashMap<Room, VecDeque<u64>>,
    /// The sessions by their private ids, each with its number.
    sessions: HashMap<String, (u64, AwaySession<D>)>,
    /// When they left, by their numbers, which are in that order.
    left: BTreeMap<u64, (Duration, String)>,
    next_session: u64,
}

#[derive(Debug)]
struct Entry<P> {
    offset: Offset,
    rooms: Vec<Room>,
    except: Vec<Room>,
    packet: P,
    len: usize,
    at: Duration,
}

impl<P: Clone, D> RecoveryLog<P, D> {
    /// An empty log.
    pub fn new(config: RecoveryConfig) -> Self {
        Self {
            config,
            entries: VecDeque::new(),
            base: 0,
            events_len: 0,
            positions: FxHashMap::default(),
            all: VecDeque::new(),
            rooms: HashMap::new(),
            sessions: HashMap::new(),
            left: BTreeMap::new(),
            next_session: 0,
        }
    }

    /// An event is sent to the sockets that `options` select. Its place in the order is behind all that were recorded
    /// before; its offset must be new. `len` is how many bytes it has.
    pub fn record(
        &mut self,
        offset: Offset,
        options: &BroadcastOptions,
        packet: P,
        len: usize,
        now: Duration,
    ) {
        self.forget_old(now);
        let position = self.base + self.entries.len() as u64;
        if options.rooms.is_empty() {
            self.all.push_back(position);
        }
        for room in &options.rooms {
            match self.rooms.get_mut(room) {
                // The same room twice.
                Some(positions) if positions.back() == Some(&position) => {}
                Some(positions) => positions.push_back(position),
                None => _ = self.rooms.insert(room.clone(), VecDeque::from([position])),
            }
        }
        self.positions.insert(offset.0, position);
        let (rooms, except) = (options.rooms.clone(), options.except.clone());
        self.entries.push_back(Entry { offset, rooms, except, packet, len, at: now });
        self.events_len += len;
        while self.entries.len() > self.config.max_event_count || self.events_len > self.config.max_events_len
        {
            self.forget_event();
        }
    }

    /// A client lost its connection. `pid` is the private id by which it can come back.
    pub fn persist(&mut self, pid: String, session: AwaySession<D>, now: Duration) {
        self.forget_old(now);
        let number = self.next_session;
        self.next_session += 1;
        self.left.insert(number, (now, pid.clone()));
        if let Some((replaced, _)) = self.sessions.insert(pid, (number, session)) {
            self.left.remove(&replaced);
        }
        while self.sessions.len() > self.config.max_session_count {
            let Some((_, (_, pid))) = self.left.pop_first() else { return };
            self.sessions.remove(&pid);
        }
    }

    /// Whether the event with this offset is still known.
    pub fn knows(&self, offset: Offset) -> bool {
        self.positions.contains_key(&offset.0)
    }

    /// Whether a client with this private id is away.
    pub fn is_away(&self, pid: &str) -> bool {
        self.sessions.contains_key(pid)
    }

    /// A client comes back: takes its session out, if that and the last event that it has seen are known.
    pub fn take(&mut self, pid: &str, offset: Offset, now: Duration) -> Option<AwaySession<D>> {
        self.forget_old(now);
        if !self.knows(offset) {
            return None;
        }
        let (number, session) = self.sessions.remove(pid)?;
        self.left.remove(&number);
        Some(session)
    }

    /// What was sent to these rooms after an event, in order; `None` when the event is not known any more.
    pub fn missed(&self, rooms: &[Room], offset: Offset) -> Option<Vec<P>> {
        let last = *self.positions.get(&offset.0)?;
        let lists = rooms.iter().filter_map(|room| self.rooms.get(room)).chain([&self.all]);
        let mut positions: Vec<u64> = lists
            .flat_map(|list| list.range(list.partition_point(|position| *position <= last)..))
            .copied()
            .collect();
        positions.sort_unstable();
        positions.dedup();
        let entries = positions.into_iter().filter_map(|position| {
            let entry = self.entries.get(usize::try_from(position - self.base).ok()?)?;
            let is_excluded = entry.except.iter().any(|room| rooms.contains(room));
            (!is_excluded).then(|| entry.packet.clone())
        });
        Some(entries.collect())
    }

    /// Forgets what is too old.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.forget_old(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; `None` when nothing is kept.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let event = self.entries.front().map(|entry| entry.at);
        let session = self.left.values().next().map(|(since, _)| *since);
        let first = [event, session].into_iter().flatten().min()?;
        Some(first.saturating_add(self.config.max_disconnection))
    }

    /// How many events are kept.
    pub fn event_count(&self) -> usize {
        self.entries.len()
    }

    /// How many clients are away.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    fn forget_old(&mut self, now: Duration) {
        let Some(oldest) = now.checked_sub(self.config.max_disconnection) else { return };
        while self.entries.front().is_some_and(|entry| entry.at <= oldest) {
            self.forget_event();
        }
        while self.left.values().next().is_some_and(|(since, _)| *since <= oldest) {
            if let Some((_, (_, pid))) = self.left.pop_first() {
                self.sessions.remove(&pid);
            }
        }
        if self.entries.is_empty() && self.sessions.is_empty() {
            self.release();
        }
    }

    /// Gives memory back when nothing is kept.
    fn release(&mut self) {
        self.entries = VecDeque::new();
        self.positions = FxHashMap::default();
        self.all = VecDeque::new();
        self.rooms = HashMap::new();
        self.sessions = HashMap::new();
    }

    /// Forgets the oldest event.
    fn forget_event(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        self.positions.remove(&entry.offset.0);
        self.events_len -= entry.len;
        if entry.rooms.is_empty() {
            self.all.pop_front();
        }
        for room in &entry.rooms {
            if let Some(positions) = self.rooms.get_mut(room)
                && positions.front() == Some(&self.base)
            {
                positions.pop_front();
                if positions.is_empty() {
                    self.rooms.remove(room);
                }
            }
        }
        self.base += 1;
    }
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
