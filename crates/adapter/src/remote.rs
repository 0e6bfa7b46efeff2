//! Sockets of any server, as their clients' data.

use bytestring::ByteString;

use crate::{Room, SocketId};

/// What is known of a socket wherever in the cluster it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteSocketData {
    /// Its id.
    pub id: SocketId,
    /// The handshake as JSON.
    pub handshake: ByteString,
    /// Its rooms, that of its own id included.
    pub rooms: Vec<Room>,
    /// What it shares with the other servers, as JSON; `{}` when nothing.
    pub data: ByteString,
}
