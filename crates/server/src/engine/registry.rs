//! The open sessions by id.

use parking_lot::RwLock;
use sockeye_engineio::Sid;
use std::{collections::HashMap, sync::Arc};

use super::Mailbox;

/// The open sessions by id. Only handshakes, polling requests and ends of sessions come here.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: RwLock<HashMap<Sid, Arc<Mailbox>>>,
}

impl Registry {
    pub(crate) fn insert(&self, sid: Sid, mailbox: Arc<Mailbox>) {
        self.sessions.write().insert(sid, mailbox);
    }

    pub(crate) fn get(&self, sid: &str) -> Option<Arc<Mailbox>> {
        self.sessions.read().get(sid).cloned()
    }

    pub(crate) fn remove(&self, sid: &Sid) {
        self.sessions.write().remove(sid);
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.read().len()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Mailbox>> {
        self.sessions.read().values().cloned().collect()
    }
}
