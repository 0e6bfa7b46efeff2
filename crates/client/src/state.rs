//! What a socket knows between events: whether it is connected, what waits to be sent, and what waits for an answer.
//! Without I/O and without a clock.
//!
//! ```text
//!                connected ─────────────────────────────► Mailbox
//! emit ─┬─ else ─► buffer ── CONNECT: in order ─────────► Mailbox
//!       └─ with retries ─► queue ── one at a time ──────► Mailbox ─┐
//!                            ▲ not answered: again                 │ ack: the next one
//!                            └─────────────────────────────────────┘
//! ```

use bytestring::ByteString;
use sockeye_socketio::OwnedArgs;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};
use tokio::sync::oneshot;

use crate::{AckError, BufferPolicy, Config, ConnectError, DisconnectReason, EmitError, outgoing::Outgoing};

/// Where a socket is in its life.
///
/// ```text
///            open()                 CONNECT answered
/// Inactive ─────────► Connecting ─────────────────────► Connected
///     ▲                  │   ▲    connection lost           │
///     │                  │   └──────────────────────────────┤
///     └── refused, ──────┴── disconnected by either side ───┘
///         given up
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Phase {
    #[default]
    Inactive,
    Connecting,
    Connected,
}

/// Who waits for an acknowledgement, and what it gets; told when no lock is held.
pub(crate) type AckResult = Result<OwnedArgs, AckError>;
pub(crate) type AckSender = oneshot::Sender<AckResult>;

/// Results for those who waited.
#[derive(Debug, Default)]
#[must_use = "somebody waits for it"]
pub(crate) struct Told(Vec<(AckSender, AckResult)>);

impl Told {
    fn add(&mut self, sender: Option<AckSender>, result: AckResult) {
        if let Some(sender) = sender {
            self.0.push((sender, result));
        }
    }

    pub(crate) fn send(self) {
        for (sender, result) in self.0 {
            let _ = sender.send(result);
        }
    }
}

#[derive(Debug)]
enum Waiting {
    Caller(AckSender),
    /// The first of the retry queue.
    Queue,
}

#[derive(Debug)]
struct Buffered {
    packet: Outgoing,
    ack_id: Option<u64>,
}

/// An event that is sent until it is acknowledged.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) name: String,
    pub(crate) args: OwnedArgs,
    /// Bytes that it holds.
    pub(crate) len: usize,
    pub(crate) compress: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) sender: Option<AckSender>,
    pub(crate) try_count: u32,
    /// The ack id of the try that is under way.
    pub(crate) ack_id: Option<u64>,
    pub(crate) deadline: Option<Duration>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) id: Option<ByteString>,
    /// The private id, by which the server recovers the state of a connection that was lost.
    pub(crate) pid: Option<ByteString>,
    /// The place of the last event that was received, for the same.
    pub(crate) offset: Option<ByteString>,
    pub(crate) recovered: bool,
    /// The client is gone, with all its handles.
    abandoned: bool,
    pub(crate) last_reason: Option<DisconnectReason>,
    /// Who waits for the outcome of connecting.
    pub(crate) connecting: Vec<oneshot::Sender<Result<(), ConnectError>>>,
    /// Who waits until the socket is inactive.
    pub(crate) closing: Vec<oneshot::Sender<()>>,
    acks: HashMap<u64, Waiting>,
    buffer: VecDeque<Buffered>,
    buffer_len: usize,
    queue: VecDeque<Queued>,
    queue_len: usize,
}

impl State {
    /// Expects the answer to an event that is sent now, or buffered.
    pub(crate) fn expect(&mut self, id: u64, sender: AckSender) {
        self.acks.insert(id, Waiting::Caller(sender));
    }

    /// Nobody waits for this answer any more. An event that was not sent yet stays that way when its answer is too late,
    /// and is sent all the same when nobody wants to know its answer.
    pub(crate) fn forget(&mut self, id: u64, unsend: bool) {
        self.acks.remove(&id);
        if unsend && let Some(at) = self.buffer.iter().position(|buffered| buffered.ack_id == Some(id)) {
            let removed = self.buffer.remove(at);
            self.buffer_len -= removed.map_or(0, |buffered| buffered.packet.len());
        }
    }

    /// Keeps an event until the socket connects.
    pub(crate) fn buffer(
        &mut self,
        packet: Outgoing,
        ack_id: Option<u64>,
        config: &Config,
        told: &mut Told,
    ) -> Result<(), EmitError> {
        if self.abandoned {
            return Err(EmitError::Closed);
        }
        let len = packet.len();
        let full = |state: &Self| {
            state.buffer.len() >= config.max_buffer_count || state.buffer_len + len > config.max_buffer_len
        };
        while full(self) {
            if config.buffer_policy == BufferPolicy::Reject {
                return Err(EmitError::BufferFull);
            }
            let Some(oldest) = self.buffer.pop_front() else { return Err(EmitError::BufferFull) };
            self.buffer_len -= oldest.packet.len();
            if let Some(Waiting::Caller(sender)) = oldest.ack_id.and_then(|id| self.acks.remove(&id)) {
                told.add(Some(sender), Err(AckError::Dropped));
            }
        }
        self.buffer_len += len;
        self.buffer.push_back(Buffered { packet, ack_id });
        Ok(())
    }

    /// The events that waited, in order. None are left.
    pub(crate) fn take_buffer(&mut self) -> Vec<Outgoing> {
        self.buffer_len = 0;
        std::mem::take(&mut self.buffer).into_iter().map(|buffered| buffered.packet).collect()
    }

    /// How many events wait for the connection or for their retry.
    pub(crate) fn waiting_count(&self) -> usize {
        self.buffer.len() + self.queue.len()
    }

    /// Adds an event to the retry queue.
    pub(crate) fn enqueue(
        &mut self,
        queued: Queued,
        config: &Config,
        told: &mut Told,
    ) -> Result<(), EmitError> {
        if self.abandoned {
            return Err(EmitError::Closed);
        }
        let len = queued.len;
        while self.queue.len() >= config.max_buffer_count || self.queue_len + len > config.max_buffer_len {
            // The first one may be on its way, and its answer decides about the next.
            let oldest = usize::from(self.queue.front().is_some_and(|queued| queued.ack_id.is_some()));
            if config.buffer_policy == BufferPolicy::Reject || self.queue.len() <= oldest {
                return Err(EmitError::BufferFull);
            }
            if let Some(dropped) = self.queue.remove(oldest) {
                self.queue_len -= dropped.len;
                told.add(dropped.sender, Err(AckError::Dropped));
            }
        }
        self.queue_len += len;
        self.queue.push_back(queued);
        Ok(())
    }

    /// The event of the retry queue whose turn it is. Whoever takes it sends it with this ack id.
    pub(crate) fn next_queued(&mut self, now: Duration, ack_id: impl FnOnce() -> u64) -> Option<&Queued> {
        if self.phase != Phase::Connected {
            return None;
        }
        let first = self.queue.front_mut().filter(|first| first.ack_id.is_none())?;
        let id = ack_id();
        first.ack_id = Some(id);
        first.try_count = first.try_count.saturating_add(1);
        first.deadline = first.timeout.map(|timeout| now.saturating_add(timeout));
        self.acks.insert(id, Waiting::Queue);
        self.queue.front()
    }

    /// When the event of the retry queue that is under way is not answered in time.
    pub(crate) fn queue_deadline(&self) -> Option<Duration> {
        self.queue.front()?.deadline
    }

    /// The try that is under way took too long, if it did.
    pub(crate) fn expire_queued(&mut self, now: Duration, retries: u32, told: &mut Told) {
        if self.queue_deadline().is_some_and(|deadline| deadline <= now) {
            self.end_try(retries, || AckError::Timeout, told);
        }
    }

    /// Ends the try that is under way, without an answer.
    fn end_try(&mut self, retries: u32, error: impl FnOnce() -> AckError, told: &mut Told) {
        let Some(first) = self.queue.front_mut() else { return };
        let Some(id) = first.ack_id.take() else { return };
        first.deadline = None;
        self.acks.remove(&id);
        if first.try_count > retries
            && let Some(given_up) = self.queue.pop_front()
        {
            self.queue_len -= given_up.len;
            told.add(given_up.sender, Err(error()));
        }
    }

    /// An answer arrives; one that nobody waits for is ignored. `true` when the retry queue goes on with it.
    pub(crate) fn resolve(&mut self, id: u64, answer: impl FnOnce() -> OwnedArgs, told: &mut Told) -> bool {
        match self.acks.remove(&id) {
            None => false,
            Some(Waiting::Caller(sender)) => {
                told.add(Some(sender), Ok(answer()));
                false
            }
            Some(Waiting::Queue) => {
                if self.queue.front().is_some_and(|first| first.ack_id == Some(id))
                    && let Some(done) = self.queue.pop_front()
                {
                    self.queue_len -= done.len;
                    told.add(done.sender, Ok(answer()));
                }
                true
            }
        }
    }

    /// The connection is gone: answers to what was sent will not come. What waits to be sent is not affected.
    pub(crate) fn disconnect(&mut self, phase: Phase, retries: u32, told: &mut Told) {
        self.phase = phase;
        self.id = None;
        self.end_try(retries, || AckError::Disconnected, told);
        let unsent: HashSet<u64> = self.buffer.iter().filter_map(|buffered| buffered.ack_id).collect();
        for (_, waiting) in self.acks.extract_if(|id, _| !unsent.contains(id)) {
            if let Waiting::Caller(sender) = waiting {
                told.add(Some(sender), Err(AckError::Disconnected));
            }
        }
    }

    /// The client is gone: nothing that waits will ever be sent.
    pub(crate) fn abandon(&mut self, told: &mut Told) {
        self.phase = Phase::Inactive;
        self.abandoned = true;
        self.take_buffer();
        self.queue_len = 0;
        for queued in std::mem::take(&mut self.queue) {
            told.add(queued.sender, Err(AckError::Emit(EmitError::Closed)));
        }
        for waiting in std::mem::take(&mut self.acks).into_values() {
            if let Waiting::Caller(sender) = waiting {
                told.add(Some(sender), Err(AckError::Disconnected));
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn ack_count(&self) -> usize {
        self.acks.len()
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
