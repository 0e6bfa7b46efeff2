//! What an adapter does on its own server.

use std::{sync::Arc, time::Duration};

use crate::{BroadcastOptions, Payload, RemoteSocketData, Room, SocketId};

/// Answers an event of another server, with the arguments of the answer. May be called from any thread.
pub type ServerAck = Box<dyn FnOnce(Payload) + Send>;

/// What an adapter does on its server when the operations of others arrive, or its own where it does the local part. No
/// method blocks.
pub trait Node: Send + Sync + 'static {
    /// The name of the namespace.
    fn namespace(&self) -> &str;

    /// Sends an event to the selected sockets of this server.
    ///
    /// `offset` is the event's place in the adapter's log, if the adapter [keeps sessions](crate::Adapter::keeps_sessions); it is
    /// given to the clients as an additional last argument, unless the event is volatile or
    /// [recovery](Self::max_disconnection) is off.
    fn broadcast(&self, event: &Payload, options: &BroadcastOptions, offset: Option<&str>);

    /// Sends an event to the selected sockets of this server, and tells `acks` how many they are, and then what their
    /// clients answer. It stops waiting after [`BroadcastOptions::timeout`].
    fn broadcast_with_ack(&self, event: &Payload, options: &BroadcastOptions, acks: Arc<dyn AckSink>);

    /// Makes the selected sockets of this server join rooms.
    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[Room]);

    /// Makes the selected sockets of this server leave rooms.
    fn remove_sockets(&self, options: &BroadcastOptions, rooms: &[Room]);

    /// Disconnects the selected sockets of this server; with `close` their whole connection.
    fn disconnect_sockets(&self, options: &BroadcastOptions, close: bool);

    /// The selected sockets of this server.
    fn fetch_sockets(&self, options: &BroadcastOptions) -> Vec<RemoteSocketData>;

    /// The ids of the selected sockets of this server.
    fn socket_ids(&self, options: &BroadcastOptions) -> Vec<SocketId>;

    /// The rooms of this server, those of the sockets' own ids included.
    fn rooms(&self) -> Vec<Room>;

    /// Whether a room of this server has members. The id of a socket is such a room.
    fn has_room(&self, room: &str) -> bool;

    /// An event of another server for this one itself: its name and arguments. With `ack` the other waits for an answer, which
    /// comes from the first handler that gives one, or never.
    fn server_side_emit(&self, event: &Payload, ack: Option<ServerAck>);

    /// How long clients that lost their connection can come back; `None` when connection state recovery is off.
    fn max_disconnection(&self) -> Option<Duration>;
}

/// Where the answers to a broadcast go. Servers and clients tell it in any order, from any thread.
///
/// The broadcast is complete when as many servers as there are have told how many clients they sent it to, and as many clients
/// have answered.
pub trait AckSink: Send + Sync + 'static {
    /// How many other servers take part. Told once.
    fn server_count(&self, count: usize);

    /// A server sent the event to this many clients. Told once by each.
    fn client_count(&self, count: usize);

    /// A client answered, with these arguments.
    fn answer(&self, answer: Payload);

    /// So many clients will never answer: they are gone, or their server is.
    fn gone(&self, count: usize);

    /// Whether nobody waits any more.
    fn is_closed(&self) -> bool;
}
