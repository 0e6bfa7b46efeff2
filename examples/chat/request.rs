//! Reading what a client sent.
//!
//! Clients may send anything, and each part that can be wrong has an error of its own, to be checked in a fixed order.
//! So the argument is not read in one go but part by part, each by a small type that leaves out the rest.

use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use sockeye::{
    Binary, RawArgs,
    handler::{EventContext, FromContext, Rejection},
};

use crate::{answer::Refusal, names::RoomName, protocol::LIMITS, visitor::Visitor};

const MAX_CLIENT_ID_LEN: usize = 64;

/// Who asks, and for what: an extractor made of two others.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) visitor: Visitor,
    args: RawArgs,
}

impl FromContext<EventContext<'_>> for Request {
    fn from_context(context: &EventContext<'_>) -> Result<Self, Rejection> {
        Ok(Self { visitor: Visitor::from_context(context)?, args: RawArgs::from_context(context)? })
    }
}

/// A message to be posted; all of it is valid.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) text: String,
    pub(crate) files: Vec<Upload>,
    pub(crate) client_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Upload {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) media_type: String,
    /// Shares the bytes that were received.
    pub(crate) data: Binary,
}

impl Request {
    /// Reads a part of the argument, which has to be an object; `None` when it is not of that type.
    fn read<T: DeserializeOwned>(&self) -> Option<T> {
        // To serde an array could be a struct as well, its elements the fields.
        if !self.args.json().starts_with("[{") {
            return None;
        }
        let (part,) = self.args.read::<(T,)>().ok()?;
        Some(part)
    }

    pub(crate) fn room(&self) -> Result<RoomName, Refusal> {
        #[derive(Deserialize)]
        struct Part {
            room: RoomName,
        }
        self.read::<Part>().map(|part| part.room).ok_or(Refusal::InvalidRoom)
    }

    /// The id of the last message that the client has of the room.
    pub(crate) fn after(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Part {
            after: String,
        }
        self.read::<Part>().map(|part| part.after)
    }

    pub(crate) fn typing(&self) -> Option<bool> {
        #[derive(Deserialize)]
        struct Part {
            typing: bool,
        }
        self.read::<Part>().map(|part| part.typing)
    }

    pub(crate) fn file_id(&self) -> Result<String, Refusal> {
        #[derive(Deserialize)]
        struct Part {
            id: String,
        }
        self.read::<Part>().map(|part| part.id).ok_or(Refusal::NoSuchFile)
    }

    pub(crate) fn draft(&self) -> Result<Draft, Refusal> {
        let text = self.text()?;
        let count = self.file_count()?;
        if text.trim().is_empty() && count == 0 {
            return Err(Refusal::EmptyMessage);
        }
        if count > LIMITS.files {
            return Err(Refusal::TooManyFiles);
        }
        Ok(Draft { text, files: self.files()?, client_id: self.client_id() })
    }

    fn text(&self) -> Result<String, Refusal> {
        #[derive(Deserialize)]
        struct Part {
            #[serde(default)]
            text: String,
        }
        let Part { text } = self.read().ok_or(Refusal::InvalidText)?;
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            return Err(Refusal::InvalidText);
        }
        if text.chars().count() > LIMITS.text {
            return Err(Refusal::TextTooLong);
        }
        Ok(text)
    }

    fn file_count(&self) -> Result<usize, Refusal> {
        #[derive(Deserialize)]
        struct Part {
            #[serde(default)]
            files: Vec<IgnoredAny>,
        }
        self.read::<Part>().map(|part| part.files.len()).ok_or(Refusal::InvalidFile)
    }

    fn files(&self) -> Result<Vec<Upload>, Refusal> {
        #[derive(Deserialize)]
        struct Part {
            #[serde(default)]
            files: Vec<Upload>,
        }
        let Part { files } = self.read().ok_or(Refusal::InvalidFile)?;
        for file in &files {
            if file.data.is_empty() {
                return Err(Refusal::EmptyFile);
            }
            if file.data.len() > LIMITS.file_bytes {
                return Err(Refusal::FileTooLarge);
            }
        }
        if files.iter().map(|file| file.data.len()).sum::<usize>() > LIMITS.message_bytes {
            return Err(Refusal::MessageTooLarge);
        }
        Ok(files)
    }

    /// A malformed one is treated as absent.
    fn client_id(&self) -> Option<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Part {
            client_id: String,
        }
        let Part { client_id } = self.read()?;
        matches!(client_id.chars().count(), 1..=MAX_CLIENT_ID_LEN).then_some(client_id)
    }
}
