//! The limits of PROTOCOL.md, and the shapes of what the server says.

use serde::Serialize;
use sockeye::Binary;

use crate::names::RoomName;

pub(crate) const PREDEFINED_ROOMS: [&str; 3] = ["lobby", "rust", "random"];
pub(crate) const MAX_ROOM_COUNT: usize = 200;
pub(crate) const MAX_HISTORY_COUNT: usize = 50;
pub(crate) const MAX_CONTENTS_LEN: usize = 32_000_000;

/// What the clients are told of the limits, to warn before they send.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Limits {
    /// In characters.
    pub(crate) text: usize,
    /// Files of one message.
    pub(crate) files: usize,
    /// Of one file.
    pub(crate) file_bytes: usize,
    /// Of all files of a message.
    pub(crate) message_bytes: usize,
    /// That one connection may be in.
    pub(crate) rooms: usize,
}

pub(crate) const LIMITS: Limits =
    Limits { text: 2000, files: 10, file_bytes: 700_000, message_bytes: 2_000_000, rooms: 8 };

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) name: String,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) room: RoomName,
    pub(crate) from: Member,
    pub(crate) text: String,
    /// Milliseconds since 1970.
    pub(crate) at: u64,
    pub(crate) files: Vec<File>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct File {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) media_type: String,
    pub(crate) size: usize,
    /// In a live message only. [`Binary`] travels as an attachment, and its clones share the bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Binary>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RoomInfo {
    pub(crate) room: RoomName,
    pub(crate) members: usize,
}

/// Events of the server.
#[derive(Debug, Serialize)]
pub(crate) struct Welcome<'a> {
    pub(crate) me: &'a Member,
    pub(crate) list: Vec<RoomInfo>,
    pub(crate) limits: Limits,
}

/// `joined` and `left`.
#[derive(Debug, Serialize)]
pub(crate) struct Presence<'a> {
    pub(crate) room: &'a RoomName,
    pub(crate) member: &'a Member,
}

#[derive(Debug, Serialize)]
pub(crate) struct Typing<'a> {
    pub(crate) room: &'a RoomName,
    pub(crate) member: &'a Member,
    pub(crate) typing: bool,
}

/// Both the event `rooms` and the answer to the request.
#[derive(Debug, Serialize)]
pub(crate) struct RoomList {
    pub(crate) list: Vec<RoomInfo>,
}

/// Answers to requests.
#[derive(Debug, Serialize)]
pub(crate) struct Joined {
    pub(crate) room: RoomName,
    pub(crate) history: Vec<Message>,
    pub(crate) members: Vec<Member>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Left {
    pub(crate) room: RoomName,
}

#[derive(Debug, Serialize)]
pub(crate) struct Posted {
    pub(crate) id: String,
    pub(crate) at: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct FileContent {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) media_type: String,
    pub(crate) data: Binary,
}
