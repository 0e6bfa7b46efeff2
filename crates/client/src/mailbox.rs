//! What reaches a client's task from outside: packets to send, and wishes of the application.
//!
//! One lock guards it, held for a push or a take and never while anything else runs.

use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc, task::Waker};
use tokio::sync::oneshot;

use crate::{outgoing::Outgoing, socket::SocketInner};

/// A request to the client's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// Connect this socket.
    Open(Arc<SocketInner>),
    /// The application disconnected this socket; it was connected or not.
    Leave(Arc<SocketInner>),
    /// Disconnect all sockets and close the connection; answered when that is done.
    Close(oneshot::Sender<()>),
    /// All handles of the client are gone.
    Abandoned,
}

/// Whether a packet was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    Queued,
    /// It was volatile, and the transport was busy.
    Dropped,
    Full,
}

#[derive(Debug)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
    max_len: usize,
}

#[derive(Debug, Default)]
struct Inner {
    packets: VecDeque<Outgoing>,
    len: usize,
    commands: Vec<Command>,
    /// Set while the task sleeps: who changes something takes it and wakes.
    waker: Option<Waker>,
    /// Whether a packet would leave at once.
    writable: bool,
    /// Something else is to be looked at, such as a deadline that changed.
    nudged: bool,
}

impl Mailbox {
    pub(crate) fn new(max_len: usize) -> Self {
        Self { inner: Mutex::default(), max_len }
    }

    /// Queues a packet: text and attachments together, so that no other packet comes between.
    pub(crate) fn push(&self, packet: Outgoing, volatile: bool) -> Pushed {
        let mut inner = self.inner.lock();
        if volatile && !(inner.writable && inner.packets.is_empty()) {
            return Pushed::Dropped;
        }
        let len = packet.len();
        // One packet alone always fits: it has to be somewhere.
        if inner.len.saturating_add(len) > self.max_len && !inner.packets.is_empty() {
            return Pushed::Full;
        }
        inner.push(packet, len)
    }

    /// Queues a packet that must not be lost, such as those of the protocol itself.
    pub(crate) fn push_always(&self, packet: Outgoing) {
        let len = packet.len();
        self.inner.lock().push(packet, len);
    }

    pub(crate) fn command(&self, command: Command) {
        let mut inner = self.inner.lock();
        inner.commands.push(command);
        inner.wake();
    }

    /// Makes the task look at everything again.
    pub(crate) fn nudge(&self) {
        let mut inner = self.inner.lock();
        inner.nudged = true;
        inner.wake();
    }

    pub(crate) fn take_commands(&self) -> Vec<Command> {
        std::mem::take(&mut self.inner.lock().commands)
    }

    pub(crate) fn has_packets(&self) -> bool {
        !self.inner.lock().packets.is_empty()
    }

    /// Hands out packets in order, as long as `take` wants the next one.
    pub(crate) fn take_packets(&self, mut take: impl FnMut(&Outgoing) -> bool) -> usize {
        let mut count = 0;
        loop {
            // Not under the lock: sockets' emits go on.
            let Some(packet) = ({
                let mut inner = self.inner.lock();
                inner.packets.pop_front()
            }) else {
                break;
            };
            if !take(&packet) {
                self.inner.lock().packets.push_front(packet);
                break;
            }
            let mut inner = self.inner.lock();
            inner.len = inner.len.saturating_sub(packet.len());
            count += 1;
        }
        count
    }

    /// The connection is gone: what was queued for it is lost, as it is for the official client.
    pub(crate) fn clear(&self) {
        let mut inner = self.inner.lock();
        let packets = std::mem::take(&mut inner.packets);
        inner.len = 0;
        inner.writable = false;
        drop(inner);
        drop(packets);
    }

    /// The task sleeps, unless there is something to do. `busy` tells that packets have to wait.
    pub(crate) fn park(&self, waker: &Waker, busy: bool, writable: bool) -> bool {
        let mut inner = self.inner.lock();
        if inner.nudged || !inner.commands.is_empty() || !(busy || inner.packets.is_empty()) {
            inner.nudged = false;
            return false;
        }
        inner.writable = writable && inner.packets.is_empty();
        if !inner.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            inner.waker = Some(waker.clone());
        }
        true
    }
}

impl Inner {
    fn push(&mut self, packet: Outgoing, len: usize) -> Pushed {
        self.len += len;
        self.packets.push_back(packet);
        self.wake();
        Pushed::Queued
    }

    fn wake(&mut self) {
        self.writable = false;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye_engineio::PacketType;

    fn packet(len: usize) -> Outgoing {
        Outgoing::control(PacketType::Message, &"x".repeat(len - 1))
    }

    #[test]
    fn the_queue_is_bounded_in_bytes_and_takes_one_packet_of_any_size() {
        let mailbox = Mailbox::new(100);
        assert_eq!(mailbox.push(packet(500), false), Pushed::Queued);
        assert_eq!(mailbox.push(packet(1), false), Pushed::Full);
        assert_eq!(mailbox.take_packets(|_| true), 1);
        for _ in 0..10 {
            assert_eq!(mailbox.push(packet(10), false), Pushed::Queued);
        }
        assert_eq!(mailbox.push(packet(1), false), Pushed::Full);
        mailbox.push_always(packet(1));
        mailbox.clear();
        assert!(!mailbox.has_packets());
        assert_eq!(mailbox.push(packet(100), false), Pushed::Queued);
    }

    #[test]
    fn volatile_packets_need_an_idle_transport() {
        let mailbox = Mailbox::new(100);
        assert_eq!(mailbox.push(packet(1), true), Pushed::Dropped);
        assert!(mailbox.park(Waker::noop(), false, true));
        assert_eq!(mailbox.push(packet(1), true), Pushed::Queued);
        assert_eq!(mailbox.push(packet(1), true), Pushed::Dropped);
        assert!(!mailbox.park(Waker::noop(), false, true), "there is a packet to send");
        assert!(mailbox.park(Waker::noop(), true, false));
        assert_eq!(mailbox.push(packet(1), true), Pushed::Dropped);
    }

    #[test]
    fn a_packet_that_is_not_taken_stays_first() {
        let mailbox = Mailbox::new(100);
        mailbox.push(packet(2), false);
        mailbox.push(packet(3), false);
        assert_eq!(mailbox.take_packets(|packet| packet.len() > 2), 0);
        let mut lens = Vec::new();
        mailbox.take_packets(|packet| {
            lens.push(packet.len());
            true
        });
        assert_eq!(lens, [2, 3]);
    }
}
