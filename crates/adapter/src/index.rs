//! The sockets and rooms of one namespace on one server.
//!
//! ```text
//! ids    "x7Gk…" ──► slot 0        slots  0: socket, id, its rooms
//!        "Qp2m…" ──► slot 1               1: socket, id, its rooms
//! rooms  "lobby" ──► {0, 1}
//! ```
//! The room of a socket's own id is not stored: it is the entry in `ids`.

use std::collections::{HashMap, hash_map::Entry};

use rustc_hash::FxHashSet;

use crate::{BroadcastOptions, Room, SocketId};

/// The index of one namespace: sockets of type `S` by id and by room.
///
/// Joining, leaving and removing cost what the socket's own rooms cost; selecting costs what the selected rooms
/// hold, however many others there are.
#[derive(Debug)]
pub struct RoomIndex<S> {
    slots: Vec<Option<Member<S>>>,
    free: Vec<usize>,
    ids: HashMap<SocketId, usize>,
    // Names come from users, so these maps keep the standard library's keyed hash; slots are our own numbers.
    rooms: HashMap<Room, FxHashSet<usize>>,
}

#[derive(Debug)]
struct Member<S> {
    socket: S,
    id: SocketId,
    rooms: Vec<Room>,
}

impl<S: Clone> RoomIndex<S> {
    /// An empty index.
    pub fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), ids: HashMap::new(), rooms: HashMap::new() }
    }

    /// Adds a socket, which is then in the room of its own id. `false` when the id is taken.
    pub fn insert(&mut self, id: SocketId, socket: S) -> bool {
        let Entry::Vacant(entry) = self.ids.entry(id) else { return false };
        let member = Member { socket, id: entry.key().clone(), rooms: Vec::new() };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(member);
                slot
            }
            None => {
                self.slots.push(Some(member));
                self.slots.len() - 1
            }
        };
        entry.insert(slot);
        true
    }

    /// Removes a socket from the index and from all of its rooms.
    pub fn remove(&mut self, id: &str) -> Option<S> {
        let slot = self.ids.remove(id)?;
        let member = self.slots[slot].take()?;
        for room in &member.rooms {
            Self::remove_from_room(&mut self.rooms, room, slot);
        }
        self.free.push(slot);
        Some(member.socket)
    }

    fn remove_from_room(rooms: &mut HashMap<Room, FxHashSet<usize>>, room: &str, slot: usize) {
        if let Some(slots) = rooms.get_mut(room) {
            slots.remove(&slot);
            if slots.is_empty() {
                rooms.remove(room);
            }
        }
    }

    /// Puts a socket into a room. `false` when it is there already, or is not in the index.
    pub fn join(&mut self, id: &str, room: Room) -> bool {
        let Some(&slot) = self.ids.get(id) else { return false };
        if &*room == id {
            return false;
        }
        let Some(member) = self.slots[slot].as_mut() else { return false };
        if !self.rooms.entry(room.clone()).or_default().insert(slot) {
            return false;
        }
        member.rooms.push(room);
        true
    }

    /// Takes a socket out of a room. `false` when it was not in it. It cannot leave the room of its own id.
    pub fn leave(&mut self, id: &str, room: &str) -> bool {
        let Some(&slot) = self.ids.get(id) else { return false };
        let Some(member) = self.slots[slot].as_mut() else { return false };
        let Some(at) = member.rooms.iter().position(|r| &**r == room) else { return false };
        member.rooms.swap_remove(at);
        Self::remove_from_room(&mut self.rooms, room, slot);
        true
    }

    /// The socket with this id.
    pub fn get(&self, id: &str) -> Option<&S> {
        self.ids.get(id).and_then(|&slot| self.slots[slot].as_ref()).map(|member| &member.socket)
    }

    /// How many sockets there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The rooms of a socket, that of its own id first; empty when it is unknown.
    pub fn rooms_of(&self, id: &str) -> Vec<Room> {
        let Some(member) = self.ids.get(id).and_then(|&slot| self.slots[slot].as_ref()) else {
            return Vec::new();
        };
        std::iter::once(Room::from(&member.id)).chain(member.rooms.iter().cloned()).collect()
    }

    /// How many rooms a socket is in, that of its own id left out.
    pub fn room_count_of(&self, id: &str) -> usize {
        let slot = self.ids.get(id).and_then(|&slot| self.slots[slot].as_ref());
        slot.map_or(0, |member| member.rooms.len())
    }

    /// All rooms that have members, without those of the sockets' own ids.
    pub fn rooms(&self) -> impl Iterator<Item = &Room> {
        self.rooms.keys()
    }

    /// How many sockets are in a room.
    pub fn room_len(&self, room: &str) -> usize {
        let joined = self.rooms.get(room);
        let own = self.ids.get(room).is_some_and(|slot| !joined.is_some_and(|slots| slots.contains(slot)));
        joined.map_or(0, FxHashSet::len) + usize::from(own)
    }

    /// The sockets that a broadcast reaches, each once however many of the rooms it is in.
    pub fn select(&self, options: &BroadcastOptions) -> Vec<S> {
        let excluded: FxHashSet<usize> = options.except.iter().flat_map(|room| self.slots_of(room)).collect();
        let socket = |slot: usize| {
            if excluded.contains(&slot) { None } else { self.slots[slot].as_ref().map(|m| m.socket.clone()) }
        };
        // Room for all, so that the list does not grow step by step.
        let mut selected = Vec::new();
        match &*options.rooms {
            [] => {
                selected.reserve_exact(self.ids.len());
                selected.extend((0..self.slots.len()).filter_map(socket));
            }
            [room] if !self.ids.contains_key(&**room) => {
                let slots = self.rooms.get(room);
                selected.reserve_exact(slots.map_or(0, FxHashSet::len));
                selected.extend(slots.into_iter().flatten().copied().filter_map(socket));
            }
            rooms => {
                let mut seen = FxHashSet::default();
                let slots = rooms.iter().flat_map(|room| self.slots_of(room));
                selected.extend(slots.filter(|slot| seen.insert(*slot)).filter_map(socket));
            }
        }
        selected
    }

    fn slots_of(&self, room: &str) -> impl Iterator<Item = usize> {
        self.rooms.get(room).into_iter().flatten().copied().chain(self.ids.get(room).copied())
    }
}

impl<S: Clone> Default for RoomIndex<S> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn options(rooms: &[&str], except: &[&str]) -> BroadcastOptions {
        BroadcastOptions {
            rooms: rooms.iter().map(|&r| r.into()).collect(),
            except: except.iter().map(|&r| r.into()).collect(),
            ..BroadcastOptions::default()
        }
    }

    fn select(index: &RoomIndex<u32>, rooms: &[&str], except: &[&str]) -> Vec<u32> {
        let mut selected = index.select(&options(rooms, except));
        selected.sort_unstable();
        selected
    }

    fn three() -> RoomIndex<u32> {
        let mut index = RoomIndex::new();
        for (i, id) in ["a", "b", "c"].into_iter().enumerate() {
            assert!(index.insert(id.into(), u32::try_from(i).unwrap()));
        }
        index.join("a", "x".into());
        index.join("b", "x".into());
        index.join("b", "y".into());
        index
    }

    #[test]
    fn socket_in_two_targeted_rooms_is_selected_once() {
        assert_eq!(select(&three(), &["x", "y"], &[]), [0, 1]);
        assert_eq!(select(&three(), &["b", "y"], &[]), [1]);
    }

    #[test]
    fn except_wins_over_rooms() {
        assert_eq!(select(&three(), &["x"], &["y"]), [0]);
        assert_eq!(select(&three(), &["x"], &["a", "b"]), [] as [u32; 0]);
        assert_eq!(select(&three(), &[], &["a"]), [1, 2]);
    }

    #[test]
    fn every_socket_is_in_the_room_of_its_own_id() {
        let mut index = three();
        assert_eq!(select(&index, &["c"], &[]), [2]);
        assert_eq!(index.rooms_of("b"), ["b".into(), "x".into(), Room::from("y")]);
        assert!(!index.join("c", "c".into()));
        assert!(!index.leave("c", "c"));
        assert!(index.join("a", "c".into()));
        assert_eq!(select(&index, &["c"], &[]), [0, 2]);
        assert_eq!(index.room_len("c"), 2);
    }

    #[test]
    fn empty_rooms_and_removed_sockets_leave_nothing_behind() {
        let mut index = three();
        assert!(!index.insert("a".into(), 9));
        assert_eq!(index.remove("b"), Some(1));
        assert_eq!(index.remove("b"), None);
        assert_eq!(index.rooms().map(Room::as_str).collect::<Vec<_>>(), ["x"]);
        assert!(index.leave("a", "x"));
        assert_eq!(index.rooms().count(), 0);
        assert!(index.insert("d".into(), 3));
        assert_eq!(select(&index, &[], &[]), [0, 2, 3]);
        assert_eq!(index.slots.len(), 3, "the slot is used again");
    }

    proptest! {
        #[test]
        fn index_agrees_with_a_plain_model(
            operations in proptest::collection::vec((0u8..4, 0usize..5, 0usize..7), 0..80),
            targets in proptest::collection::vec(0usize..7, 0..4),
            except in proptest::collection::vec(0usize..7, 0..3),
        ) {
            // The first five room names are the ids of the sockets.
            let names = ["a", "b", "c", "d", "e", "x", "y"];
            let mut index = RoomIndex::new();
            let mut model: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
            for (operation, socket, room) in operations {
                match operation {
                    0 => {
                        let inserted = index.insert(names[socket].into(), socket);
                        prop_assert_eq!(inserted, !model.contains_key(&socket));
                        model.entry(socket).or_insert_with(|| [socket].into());
                    }
                    1 => prop_assert_eq!(index.remove(names[socket]).is_some(), model.remove(&socket).is_some()),
                    2 => {
                        let joined = model.get_mut(&socket).is_some_and(|rooms| rooms.insert(room));
                        prop_assert_eq!(index.join(names[socket], names[room].into()), joined);
                    }
                    _ => {
                        let left = room != socket && model.get_mut(&socket).is_some_and(|rooms| rooms.remove(&room));
                        prop_assert_eq!(index.leave(names[socket], names[room]), left);
                    }
                }
            }
            let expected: Vec<usize> = model
                .iter()
                .filter(|(_, rooms)| targets.is_empty() || targets.iter().any(|t| rooms.contains(t)))
                .filter(|(_, rooms)| !except.iter().any(|e| rooms.contains(e)))
                .map(|(socket, _)| *socket)
                .collect();
            let rooms: Vec<&str> = targets.iter().map(|&t| names[t]).collect();
            let except: Vec<&str> = except.iter().map(|&e| names[e]).collect();
            let mut selected = index.select(&options(&rooms, &except));
            selected.sort_unstable();
            prop_assert_eq!(selected, expected);
            prop_assert_eq!(index.len(), model.len());
        }
    }
}
