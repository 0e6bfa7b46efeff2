//! One room: who is in it, and what was said last.

use std::collections::VecDeque;

use crate::protocol::{MAX_HISTORY_COUNT, Member, Message};

#[derive(Debug, Default)]
pub(crate) struct Room {
    /// In the order in which they came.
    pub(crate) members: Vec<Member>,
    /// Oldest first.
    history: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    message: Message,
    /// What the sender calls the message: a secret between it and the server.
    client_id: Option<String>,
}

impl Room {
    pub(crate) fn contains(&self, member: &Member) -> bool {
        self.members.iter().any(|other| other.id == member.id)
    }

    /// Whether the member was in the room.
    pub(crate) fn remove(&mut self, member: &Member) -> bool {
        let count = self.members.len();
        self.members.retain(|other| other.id != member.id);
        self.members.len() < count
    }

    /// What followed the message `after`; everything if it is not known.
    pub(crate) fn history(&self, after: Option<&str>) -> Vec<Message> {
        let known = self.history.iter().position(|entry| Some(&*entry.message.id) == after);
        let start = known.map_or(0, |at| at + 1);
        self.history.range(start..).map(|entry| entry.message.clone()).collect()
    }

    /// The message that was posted as `client_id` before.
    pub(crate) fn posted_as(&self, client_id: &str) -> Option<&Message> {
        let is_it = |entry: &&Entry| entry.client_id.as_deref() == Some(client_id);
        self.history.iter().find(is_it).map(|entry| &entry.message)
    }

    /// Adds to the history; returns the message that is too old for it now.
    pub(crate) fn remember(&mut self, message: Message, client_id: Option<String>) -> Option<Message> {
        self.history.push_back(Entry { message, client_id });
        if self.history.len() <= MAX_HISTORY_COUNT {
            return None;
        }
        self.history.pop_front().map(|entry| entry.message)
    }

    pub(crate) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.history.iter().map(|entry| &entry.message)
    }
}
