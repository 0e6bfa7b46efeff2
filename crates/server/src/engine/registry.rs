//! The open sessions by id.

use parking_lot::RwLock;
use sockeye_engineio::Sid;
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};
use tokio::sync::Notify;

use super::Mailbox;

/// The open sessions by id. Only handshakes, polling requests and ends of sessions come here.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: RwLock<HashMap<Sid, Arc<Mailbox>>>,
    /// Told when the last session ends.
    empty: Notify,
}

impl Registry {
    /// Adds a session; `false` when another one has its id.
    #[must_use]
    pub(crate) fn insert(&self, sid: Sid, mailbox: Arc<Mailbox>) -> bool {
        match self.sessions.write().entry(sid) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(mailbox);
                true
            }
        }
    }

    pub(crate) fn get(&self, sid: &str) -> Option<Arc<Mailbox>> {
        self.sessions.read().get(sid).cloned()
    }

    pub(crate) fn remove(&self, sid: &Sid) {
        let mut sessions = self.sessions.write();
        sessions.remove(sid);
        if sessions.is_empty() {
            drop(sessions);
            self.empty.notify_waiters();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.read().len()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Mailbox>> {
        self.sessions.read().values().cloned().collect()
    }

    /// Waits until there is no session.
    pub(crate) async fn emptied(&self) {
        loop {
            let empty = self.empty.notified();
            if self.sessions.read().is_empty() {
                return;
            }
            empty.await;
        }
    }
}
