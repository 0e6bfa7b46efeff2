//! Sockets of any server, as their clients' data.

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{Room, SocketId, wire::json};

/// What is known of a socket wherever in the cluster it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteSocketData {
    /// Its id.
    pub id: SocketId,
    /// The handshake as JSON.
    #[serde(with = "json", default = "json::empty")]
    pub handshake: ByteString,
    /// Its rooms, that of its own id included.
    pub rooms: Vec<Room>,
    /// What it shares with the other servers, as JSON; `{}` when nothing.
    #[serde(with = "json", default = "json::empty")]
    pub data: ByteString,
}
