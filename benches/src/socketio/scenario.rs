//! What is measured.

use super::{
    packets::{CONNECT_LEN, Packets, server_frame},
    servers::{Canned, Implementation},
};
use crate::sockets::frames::{CLOSE, TEXT};

/// A load.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// On the command line.
    pub name: &'static str,
    /// In the tables.
    pub title: &'static str,
    /// What is done.
    pub kind: Kind,
    /// What we want to hold.
    pub aim: Aim,
}

/// What is done with the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Events come back.
    Echo {
        /// Clients.
        client_count: usize,
        /// Events of each at a time.
        in_flight: usize,
        /// Bytes of a packet.
        len: usize,
        /// Whether they come back as acknowledgements.
        ack: bool,
    },
    /// The same over long-polling.
    Polling {
        /// Clients.
        client_count: usize,
        /// Events of each at a time.
        in_flight: usize,
    },
    /// Events to all clients.
    Broadcast {
        /// Clients, one of which sends.
        client_count: usize,
        /// Broadcasts at a time.
        in_flight: usize,
    },
    /// New sessions, which close again.
    Sessions {
        /// Over long-polling, rather than over WebSocket.
        polling: bool,
    },
    /// Memory per client, after an event of each.
    Idle {
        /// After a broadcast of so many bytes besides; 0 is none.
        broadcast_len: usize,
    },
    /// One event at a time, from one client after the other.
    Clients {
        /// Clients.
        client_count: usize,
    },
    /// Events to rooms of ten clients, one at a time.
    Rooms {
        /// Rooms.
        room_count: usize,
    },
}

/// What we want to hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim {
    /// Nothing in particular.
    None,
    /// At most so many times the floor.
    Floor(f64),
    /// At most so many times what socketioxide takes.
    Socketioxide(f64),
    /// At most so many bytes.
    Bytes(f64),
}

/// Bytes of a packet, unless a scenario says otherwise.
const LEN: usize = 32;

/// Members of a room.
pub const ROOM_LEN: usize = 10;

/// Clients that share the rooms.
pub const ROOM_CLIENT_COUNT: usize = 100;

const fn echo(
    name: &'static str,
    title: &'static str,
    (client_count, in_flight, len, ack): (usize, usize, usize, bool),
    aim: f64,
) -> Scenario {
    Scenario { name, title, kind: Kind::Echo { client_count, in_flight, len, ack }, aim: Aim::Floor(aim) }
}

const fn scenario(name: &'static str, title: &'static str, kind: Kind, aim: Aim) -> Scenario {
    Scenario { name, title, kind, aim }
}

const fn clients(name: &'static str, title: &'static str, client_count: usize) -> Scenario {
    scenario(name, title, Kind::Clients { client_count }, Aim::None)
}

const fn rooms(name: &'static str, title: &'static str, room_count: usize) -> Scenario {
    scenario(name, title, Kind::Rooms { room_count }, Aim::None)
}

/// All of them.
pub const ALL: &[Scenario] = &[
    echo("echo-1", "Echo of 32 B, 64 clients, 1 in flight", (64, 1, LEN, false), 1.1),
    echo("ack-1", "Acknowledgement of 32 B, 64 clients, 1 in flight", (64, 1, LEN, true), 1.1),
    echo("echo-16", "Echo of 32 B, 16 clients, 16 in flight", (16, 16, LEN, false), 1.6),
    echo("ack-16", "Acknowledgement of 32 B, 16 clients, 16 in flight", (16, 16, LEN, true), 1.6),
    echo("1k-4", "Echo of 1 KiB, 16 clients, 4 in flight", (16, 4, 1024, false), 1.6),
    echo("1k-16", "Echo of 1 KiB, 16 clients, 16 in flight", (16, 16, 1024, false), 1.6),
    scenario(
        "broadcast-1",
        "Broadcast of 32 B to 1,000 clients, 1 in flight",
        Kind::Broadcast { client_count: 1000, in_flight: 1 },
        Aim::Floor(1.2),
    ),
    scenario(
        "broadcast-8",
        "Broadcast of 32 B to 1,000 clients, 8 in flight",
        Kind::Broadcast { client_count: 1000, in_flight: 8 },
        Aim::Socketioxide(0.5),
    ),
    scenario(
        "polling-1",
        "Echo of 32 B over long-polling, 64 clients, 1 in flight",
        Kind::Polling { client_count: 64, in_flight: 1 },
        Aim::Socketioxide(0.6),
    ),
    scenario(
        "polling-16",
        "Echo of 32 B over long-polling, 16 clients, 16 in flight",
        Kind::Polling { client_count: 16, in_flight: 16 },
        Aim::Socketioxide(0.6),
    ),
    scenario(
        "sessions",
        "New sessions: handshake, CONNECT, closing handshake",
        Kind::Sessions { polling: false },
        Aim::Socketioxide(0.6),
    ),
    scenario(
        "sessions-polling",
        "New sessions over long-polling: handshake, CONNECT, close",
        Kind::Sessions { polling: true },
        Aim::Socketioxide(0.6),
    ),
    scenario(
        "idle",
        "Memory of an idle client after one event",
        Kind::Idle { broadcast_len: 0 },
        Aim::Bytes(3072.0),
    ),
    scenario(
        "idle-broadcast",
        "Memory of an idle client after one event and a broadcast of 1 MB",
        Kind::Idle { broadcast_len: 1_000_000 },
        Aim::Bytes(3072.0 * 1.1),
    ),
    clients("clients-1", "One event at a time, 1 client", 1),
    clients("clients-10", "One event at a time, 10 clients in turn", 10),
    clients("clients-100", "One event at a time, 100 clients in turn", 100),
    clients("clients-1k", "One event at a time, 1,000 clients in turn", 1000),
    clients("clients-10k", "One event at a time, 10,000 clients in turn", 10_000),
    rooms("rooms-10", "Broadcast to a room of 10 clients, 10 rooms", 10),
    rooms("rooms-100", "Broadcast to a room of 10 clients, 100 rooms", 100),
    rooms("rooms-1k", "Broadcast to a room of 10 clients, 1,000 rooms", 1000),
    rooms("rooms-10k", "Broadcast to a room of 10 clients, 10,000 rooms", 10_000),
];

impl Scenario {
    /// What is sent.
    #[must_use]
    pub fn packets(&self) -> Packets {
        match self.kind {
            Kind::Echo { len, ack: true, .. } => Packets::ask(len),
            Kind::Echo { len, ack: false, .. } => Packets::event("echo", len),
            Kind::Broadcast { .. } => Packets::event("shout", LEN),
            Kind::Rooms { room_count } => Packets::say(LEN, room_count),
            Kind::Polling { .. } | Kind::Sessions { .. } | Kind::Idle { .. } | Kind::Clients { .. } => {
                Packets::event("echo", LEN)
            }
        }
    }

    /// What the floor has to know.
    #[must_use]
    pub fn canned(&self, packets: &Packets) -> Canned {
        let request_len = packets.wire.frame(0).len();
        let reply = server_frame(TEXT, packets.replies[0].as_bytes());
        match self.kind {
            Kind::Broadcast { client_count, .. } => {
                Canned { request_len, reply, receiver_count: client_count }
            }
            Kind::Rooms { .. } => Canned { request_len, reply, receiver_count: ROOM_LEN },
            // A Close frame with its code is as long as a CONNECT packet.
            Kind::Sessions { .. } => {
                Canned { request_len: CONNECT_LEN, reply: server_frame(CLOSE, &[3, 232]), receiver_count: 0 }
            }
            Kind::Echo { .. } | Kind::Polling { .. } | Kind::Idle { .. } | Kind::Clients { .. } => {
                Canned { request_len, reply, receiver_count: 0 }
            }
        }
    }

    /// Whether `implementation` takes part: the floor knows nothing of HTTP, and of how to make a large event.
    #[must_use]
    pub fn suits(&self, implementation: &Implementation) -> bool {
        let needs_protocol = match self.kind {
            Kind::Polling { .. } | Kind::Sessions { polling: true } => true,
            Kind::Idle { broadcast_len } => broadcast_len > 0,
            _ => false,
        };
        !(needs_protocol && implementation.is_floor())
    }

    /// Whether it is about memory rather than time.
    #[must_use]
    pub const fn is_memory(&self) -> bool {
        matches!(self.kind, Kind::Idle { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_of_scenarios_are_unique() {
        assert_eq!(ALL.iter().map(|scenario| scenario.name).collect::<HashSet<_>>().len(), ALL.len());
    }

    #[test]
    fn packets_have_the_length_that_is_told() {
        for scenario in ALL {
            let packets = scenario.packets();
            let len = if let Kind::Echo { len, .. } = scenario.kind { len } else { LEN };
            assert_eq!(packets.request_len(), len, "{}", scenario.name);
            assert!(scenario.canned(&packets).request_len > 0);
        }
    }
}
