//! Whom a broadcast is for.

use std::time::Duration;

use crate::Room;

/// The selection and the flags of a broadcast.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BroadcastOptions {
    /// The rooms whose sockets are meant; none means all sockets of the namespace.
    pub rooms: Vec<Room>,
    /// Sockets in one of these rooms are left out; it wins over `rooms`.
    pub except: Vec<Room>,
    /// Only sockets of this server.
    pub local: bool,
    /// Sockets that cannot take the packet at this instant miss it.
    pub volatile: bool,
    /// The packet is sent as it is, also to clients that negotiated compression: Socket.IO's `compress(false)`.
    pub uncompressed: bool,
    /// How long acknowledgements may take.
    pub timeout: Option<Duration>,
}
