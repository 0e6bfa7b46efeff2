//! What happens to the rooms of a namespace on this server.

use sockeye_adapter::{Room, RoomIndex, SocketId};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{client::panic_message, namespace::Snapshot, trace::warn};

/// What happened to a room on this server; see [`Namespace::on_room_event`](crate::Namespace::on_room_event).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoomEvent {
    /// `create-room`: a room has its first member.
    Created {
        /// The room.
        room: Room,
    },
    /// `join-room`: a socket joined a room.
    Joined {
        /// The room.
        room: Room,
        /// The socket.
        id: SocketId,
    },
    /// `leave-room`: a socket left a room, or is gone.
    Left {
        /// The room.
        room: Room,
        /// The socket.
        id: SocketId,
    },
    /// `delete-room`: a room has no member any more.
    Deleted {
        /// The room.
        room: Room,
    },
}

pub(crate) type OnRoomEvent = dyn Fn(&RoomEvent) + Send + Sync;

/// Collects what happens under the index's lock, if somebody wants to know, to tell it afterwards.
pub(crate) struct RoomChanges(Option<Vec<RoomEvent>>);

impl RoomChanges {
    pub(crate) fn new(wanted: bool) -> Self {
        Self(wanted.then(Vec::new))
    }

    pub(crate) const fn are_wanted(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn joined<S: Clone>(&mut self, index: &RoomIndex<S>, id: &SocketId, room: impl Into<Room>) {
        let Some(events) = &mut self.0 else { return };
        let room = room.into();
        if index.room_len(&room) == 1 {
            events.push(RoomEvent::Created { room: room.clone() });
        }
        events.push(RoomEvent::Joined { room, id: id.clone() });
    }

    pub(crate) fn left<S: Clone>(&mut self, index: &RoomIndex<S>, id: &SocketId, room: impl Into<Room>) {
        let Some(events) = &mut self.0 else { return };
        let room = room.into();
        events.push(RoomEvent::Left { room: room.clone(), id: id.clone() });
        if index.room_len(&room) == 0 {
            events.push(RoomEvent::Deleted { room });
        }
    }

    /// Tells those who want to know, without a lock.
    pub(crate) fn tell(self, handlers: impl FnOnce() -> Snapshot) {
        let Some(events) = self.0.filter(|events| !events.is_empty()) else { return };
        let handlers = handlers();
        for event in &events {
            for handle in handlers.room_events() {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| handle(event))) {
                    warn!(target: "sockeye::namespace", panic = %panic_message(&*panic), "room event failed");
                }
            }
        }
    }
}
