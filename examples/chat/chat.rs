//! What the chat knows, and what it does with it.

use parking_lot::Mutex;
use sockeye::{EmitError, Io, Socket};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::Notify;

use crate::{
    answer::{Failure, Refusal},
    contents::Contents,
    names::{self, RoomName},
    protocol::{
        File, FileContent, Joined, LIMITS, Left, MAX_ROOM_COUNT, Message, Posted, Presence, RoomInfo,
        RoomList, Typing, Welcome,
    },
    request::{Draft, Upload},
    room::Room,
    visitor::{Identity, Visitor},
};

/// The Socket.IO room of everybody who was welcomed.
const EVERYBODY: &str = "everybody";

/// The chat. Cloning it is cheap and gives the same chat: handlers get a clone each.
///
/// Events are emitted with the lock held. That is fine, because emitting only queues and never waits; and it makes sure that
/// everybody sees everything in one order, which is also that of the history.
#[derive(Debug, Clone)]
pub(crate) struct Chat {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    rooms_changed: Notify,
}

#[derive(Debug)]
struct State {
    visitors: Vec<Visitor>,
    rooms: BTreeMap<RoomName, Room>,
    contents: Contents,
    ids: Ids,
    /// The list of rooms is not what was announced last.
    is_list_stale: bool,
}

impl Chat {
    pub(crate) fn new() -> Self {
        let state = State {
            visitors: Vec::new(),
            rooms: RoomName::predefined().map(|name| (name, Room::default())).collect(),
            contents: Contents::default(),
            ids: Ids::new(),
            is_list_stale: false,
        };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), rooms_changed: Notify::new() }) }
    }

    /// Admits somebody who has connected. An earlier connection of theirs that nobody has missed yet ends.
    pub(crate) fn enter(&self, socket: Socket, identity: Identity) -> Result<(), EmitError> {
        let state = &mut *self.inner.state.lock();
        if let Some(ghost) = state.ghost_of(&identity) {
            ghost.socket.disconnect(false);
            self.remove(state, &ghost)?;
        }
        let name = names::unique(&identity.name, &state.names());
        let visitor = Visitor::new(socket, name, identity.session);
        let welcome = Welcome { me: visitor.member(), list: state.list(), limits: LIMITS };
        visitor.socket.emit("welcome", &welcome)?;
        // Only now, so that nothing that is for everybody can come before the welcome.
        visitor.socket.join(EVERYBODY);
        state.visitors.push(visitor);
        Ok(())
    }

    /// Somebody disconnects.
    pub(crate) fn exit(&self, visitor: &Visitor) -> Result<(), EmitError> {
        self.remove(&mut self.inner.state.lock(), visitor)
    }

    fn remove(&self, state: &mut State, visitor: &Visitor) -> Result<(), EmitError> {
        state.visitors.retain(|other| other.socket != visitor.socket);
        let names: Vec<_> = state.rooms.keys().cloned().collect();
        names.iter().try_for_each(|name| self.remove_from(state, visitor, name))
    }

    fn remove_from(&self, state: &mut State, visitor: &Visitor, name: &RoomName) -> Result<(), EmitError> {
        let was_in = state.rooms.get_mut(name).is_some_and(|room| room.remove(visitor.member()));
        if !was_in {
            return Ok(());
        }
        visitor.socket.leave(&name.channel());
        self.note_change(state);
        let left = Presence { room: name, member: visitor.member() };
        visitor.socket.to(name.channel()).emit("left", &left)
    }

    pub(crate) fn join(
        &self,
        visitor: &Visitor,
        name: RoomName,
        after: Option<&str>,
    ) -> Result<Joined, Failure> {
        let state = &mut *self.inner.state.lock();
        let member = visitor.member();
        let is_in = state.rooms.get(&name).is_some_and(|room| room.contains(member));
        if !is_in {
            state.check_room_count(visitor, &name)?;
            visitor.socket.to(name.channel()).emit("joined", &Presence { room: &name, member })?;
            visitor.socket.join(name.channel());
            state.rooms.entry(name.clone()).or_default().members.push(member.clone());
            self.note_change(state);
        }
        let room = state.rooms.entry(name.clone()).or_default();
        Ok(Joined { history: room.history(after), members: room.members.clone(), room: name })
    }

    pub(crate) fn leave(&self, visitor: &Visitor, name: RoomName) -> Result<Left, Failure> {
        self.remove_from(&mut self.inner.state.lock(), visitor, &name)?;
        Ok(Left { room: name })
    }

    pub(crate) fn check_membership(&self, visitor: &Visitor, name: &RoomName) -> Result<(), Refusal> {
        self.inner.state.lock().room_of(visitor, name).map(|_| ())
    }

    pub(crate) fn post(&self, visitor: &Visitor, name: RoomName, draft: Draft) -> Result<Posted, Failure> {
        let state = &mut *self.inner.state.lock();
        let room = state.room_of(visitor, &name)?;
        let earlier = draft.client_id.as_deref().and_then(|client_id| room.posted_as(client_id));
        if let Some(Message { id, at, .. }) = earlier {
            // The client did not get the first answer, and tries again.
            return Ok(Posted { id: id.clone(), at: *at });
        }
        let message = Message {
            id: state.ids.next(),
            room: name,
            from: visitor.member().clone(),
            text: draft.text,
            at: milliseconds_since_1970(),
            files: draft.files.into_iter().map(|upload| file(state.ids.next(), upload)).collect(),
        };
        visitor.socket.to(message.room.channel()).emit("message", &message)?;
        let posted = Posted { id: message.id.clone(), at: message.at };
        state.remember(message, draft.client_id);
        Ok(posted)
    }

    pub(crate) fn typing(&self, visitor: &Visitor, name: &RoomName, typing: bool) -> Result<(), Failure> {
        self.check_membership(visitor, name)?;
        let event = Typing { room: name, member: visitor.member(), typing };
        // Volatile: it is worth nothing to somebody who gets it late.
        Ok(visitor.socket.to(name.channel()).volatile().emit("typing", &event)?)
    }

    pub(crate) fn rooms(&self) -> RoomList {
        RoomList { list: self.inner.state.lock().list() }
    }

    pub(crate) fn file_content(&self, visitor: &Visitor, id: &str) -> Result<FileContent, Refusal> {
        let mut state = self.inner.state.lock();
        let (room, content) = state.contents.get(id).cloned().ok_or(Refusal::NoSuchFile)?;
        state.room_of(visitor, &room).map_err(|_| Refusal::NoSuchFile)?;
        Ok(content)
    }

    fn note_change(&self, state: &mut State) {
        state.is_list_stale = true;
        self.inner.rooms_changed.notify_one();
    }

    /// Waits until the list of rooms is another than was announced.
    pub(crate) async fn rooms_changed(&self) {
        self.inner.rooms_changed.notified().await;
    }

    pub(crate) fn announce_rooms(&self, io: &Io) -> Result<(), EmitError> {
        let mut state = self.inner.state.lock();
        if !std::mem::take(&mut state.is_list_stale) {
            return Ok(());
        }
        io.to(EVERYBODY).emit("rooms", &RoomList { list: state.list() })
    }
}

impl State {
    /// The earlier connection of a client that comes back.
    fn ghost_of(&self, identity: &Identity) -> Option<Visitor> {
        let session = identity.session.as_deref()?;
        self.visitors.iter().find(|visitor| visitor.session() == Some(session)).cloned()
    }

    /// In lower case, for comparison.
    fn names(&self) -> HashSet<String> {
        self.visitors.iter().map(|visitor| visitor.member().name.to_lowercase()).collect()
    }

    /// The predefined rooms in their order, then the others by name.
    fn list(&self) -> Vec<RoomInfo> {
        let others = self.rooms.keys().filter(|name| !name.is_predefined()).cloned();
        let info = |room: RoomName| {
            let members = self.rooms.get(&room).map_or(0, |room| room.members.len());
            RoomInfo { room, members }
        };
        RoomName::predefined().chain(others).map(info).collect()
    }

    fn room_of(&mut self, visitor: &Visitor, name: &RoomName) -> Result<&mut Room, Refusal> {
        let room = self.rooms.get_mut(name).filter(|room| room.contains(visitor.member()));
        room.ok_or(Refusal::NotInRoom)
    }

    /// Checks that the visitor can enter one room more, and that there is or can be this one.
    fn check_room_count(&mut self, visitor: &Visitor, name: &RoomName) -> Result<(), Refusal> {
        let joined = self.rooms.values().filter(|room| room.contains(visitor.member()));
        if joined.count() >= LIMITS.rooms {
            return Err(Refusal::TooManyRooms);
        }
        if self.rooms.len() < MAX_ROOM_COUNT || self.rooms.contains_key(name) {
            return Ok(());
        }
        let is_disposable =
            |(name, room): &(&RoomName, &Room)| room.members.is_empty() && !name.is_predefined();
        let disposable = self.rooms.iter().find(is_disposable).map(|(name, _)| name.clone());
        let room = disposable.and_then(|name| self.rooms.remove(&name)).ok_or(Refusal::ServerFull)?;
        room.messages().for_each(|message| self.contents.remove_of(message));
        Ok(())
    }

    /// Adds a message to the history of its room.
    fn remember(&mut self, mut message: Message, client_id: Option<String>) {
        self.contents.take_from(&mut message);
        let room = self.rooms.entry(message.room.clone()).or_default();
        if let Some(forgotten) = room.remember(message, client_id) {
            self.contents.remove_of(&forgotten);
        }
    }
}

fn file(id: String, upload: Upload) -> File {
    File {
        id,
        name: names::file(&upload.name),
        media_type: names::media_type(&upload.media_type).to_owned(),
        size: upload.data.len(),
        data: Some(upload.data),
    }
}

fn milliseconds_since_1970() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Ids that were never given before, not even before a restart, and that sort by their age.
#[derive(Debug)]
struct Ids {
    start: u64,
    count: u64,
}

impl Ids {
    fn new() -> Self {
        Self { start: milliseconds_since_1970(), count: 0 }
    }

    fn next(&mut self) -> String {
        self.count += 1;
        format!("{:x}-{:010x}", self.start, self.count)
    }
}
