//! What is kept of a client that lost its connection.

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{Payload, Room, SocketId, wire::json};

/// A client's state in a namespace, kept for the time that it is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The public id of its socket, which it gets back.
    #[serde(rename = "sid")]
    pub id: SocketId,
    /// The private id by which it proves itself: a secret of the client.
    pub pid: String,
    /// Its rooms, that of its own id included.
    pub rooms: Vec<Room>,
    /// The shared data of its socket, as JSON.
    #[serde(with = "json", default = "json::empty")]
    pub data: ByteString,
}

/// An event that a client missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissedPacket {
    /// Its name and arguments, without the offset.
    pub event: Payload,
    /// Its place in the log.
    pub offset: ByteString,
}
