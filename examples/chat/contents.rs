//! The contents of files that were posted, up to a limit for all of them together.

use std::collections::BTreeMap;

use crate::{
    names::RoomName,
    protocol::{FileContent, MAX_CONTENTS_LEN, Message},
};

#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// By the id of the file, so the oldest comes first.
    files: BTreeMap<String, (RoomName, FileContent)>,
    /// Bytes of all contents.
    len: usize,
}

impl Contents {
    /// Takes the contents out of a message; the oldest go if there are too many bytes.
    pub(crate) fn take_from(&mut self, message: &mut Message) {
        for file in &mut message.files {
            let Some(data) = file.data.take() else { continue };
            let (id, name, media_type) = (file.id.clone(), file.name.clone(), file.media_type.clone());
            self.len += data.len();
            self.files.insert(id.clone(), (message.room.clone(), FileContent { id, name, media_type, data }));
        }
        while self.len > MAX_CONTENTS_LEN {
            let Some((_, (_, oldest))) = self.files.pop_first() else { break };
            self.len -= oldest.data.len();
        }
    }

    /// The content of a file, and the room that it is in.
    pub(crate) fn get(&self, id: &str) -> Option<&(RoomName, FileContent)> {
        self.files.get(id)
    }

    /// Nobody can ask for the files of this message any more.
    pub(crate) fn remove_of(&mut self, message: &Message) {
        for file in &message.files {
            if let Some((_, removed)) = self.files.remove(&file.id) {
                self.len -= removed.data.len();
            }
        }
    }
}
