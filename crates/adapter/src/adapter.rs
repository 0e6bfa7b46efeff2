//! Operations across the servers of a cluster.

use bytes::Bytes;
use bytestring::ByteString;
use std::{fmt, future::Future, pin::Pin, sync::Arc};

use crate::{BroadcastOptions, Room, SocketId};

/// A boxed future, so that [`Adapter`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An event on its way to many sockets: encoded once, whatever carries it further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BroadcastPacket {
    /// The Socket.IO packet as text, namespace included.
    pub text: ByteString,
    /// Its attachments, in order.
    pub attachments: Vec<Bytes>,
}

/// What is known of a socket wherever in the cluster it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteSocketData {
    /// Its id.
    pub id: SocketId,
    /// Its rooms, that of its own id included.
    pub rooms: Vec<Room>,
    /// The handshake as JSON.
    pub handshake: ByteString,
}

/// Carries the operations of one namespace to the other servers of the cluster. The own server's part is done by the
/// server itself, before the adapter is called; `local` broadcasts never get here.
pub trait Adapter: Send + Sync + 'static {
    /// Sends a packet to the selected sockets of the other servers.
    fn broadcast(&self, packet: &BroadcastPacket, options: &BroadcastOptions);

    /// Makes the selected sockets of the other servers join rooms.
    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[Room]);

    /// Makes the selected sockets of the other servers leave rooms.
    fn remove_sockets(&self, options: &BroadcastOptions, rooms: &[Room]);

    /// Disconnects the selected sockets of the other servers; with `close` their whole connection.
    fn disconnect_sockets(&self, options: &BroadcastOptions, close: bool);

    /// The selected sockets of the other servers.
    ///
    /// # Errors
    /// When a server does not answer in time; the error has the answers of the others.
    fn fetch_sockets<'a>(
        &'a self,
        options: &'a BroadcastOptions,
    ) -> BoxFuture<'a, Result<Vec<RemoteSocketData>, AdapterError>>;

    /// How many servers there are, this one included.
    fn server_count(&self) -> BoxFuture<'_, usize>;
}

/// What an adapter does on its server when the operations of others arrive.
pub trait Node: Send + Sync + 'static {
    /// The name of the namespace.
    fn namespace(&self) -> &str;

    /// Sends a packet to the selected sockets of this server.
    fn broadcast(&self, packet: &BroadcastPacket, options: &BroadcastOptions);

    /// Makes the selected sockets of this server join rooms.
    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[Room]);

    /// Makes the selected sockets of this server leave rooms.
    fn remove_sockets(&self, options: &BroadcastOptions, rooms: &[Room]);

    /// Disconnects the selected sockets of this server; with `close` their whole connection.
    fn disconnect_sockets(&self, options: &BroadcastOptions, close: bool);

    /// The selected sockets of this server.
    fn fetch_sockets(&self, options: &BroadcastOptions) -> Vec<RemoteSocketData>;
}

/// Why an operation across servers is incomplete.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdapterError {
    /// Not all servers answered in time.
    Timeout {
        /// What those that did answer reported.
        partial: Vec<RemoteSocketData>,
    },
    /// The bus between the servers is down.
    Disconnected,
}

impl fmt::Display for AdapterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { partial } => {
                write!(f, "a server of the cluster did not answer in time ({} sockets so far)", partial.len())
            }
            Self::Disconnected => f.write_str("the bus between the servers is down"),
        }
    }
}

impl std::error::Error for AdapterError {}

/// The adapter of a server that is alone: there are no others.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalAdapter;

impl Adapter for LocalAdapter {
    fn broadcast(&self, _: &BroadcastPacket, _: &BroadcastOptions) {}

    fn add_sockets(&self, _: &BroadcastOptions, _: &[Room]) {}

    fn remove_sockets(&self, _: &BroadcastOptions, _: &[Room]) {}

    fn disconnect_sockets(&self, _: &BroadcastOptions, _: bool) {}

    fn fetch_sockets<'a>(
        &'a self,
        _: &'a BroadcastOptions,
    ) -> BoxFuture<'a, Result<Vec<RemoteSocketData>, AdapterError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn server_count(&self) -> BoxFuture<'_, usize> {
        Box::pin(std::future::ready(1))
    }
}

impl<A: Adapter + ?Sized> Adapter for Arc<A> {
    fn broadcast(&self, packet: &BroadcastPacket, options: &BroadcastOptions) {
        (**self).broadcast(packet, options);
    }

    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) {
        (**self).add_sockets(options, rooms);
    }

    fn remove_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) {
        (**self).remove_sockets(options, rooms);
    }

    fn disconnect_sockets(&self, options: &BroadcastOptions, close: bool) {
        (**self).disconnect_sockets(options, close);
    }

    fn fetch_sockets<'a>(
        &'a self,
        options: &'a BroadcastOptions,
    ) -> BoxFuture<'a, Result<Vec<RemoteSocketData>, AdapterError>> {
        (**self).fetch_sockets(options)
    }

    fn server_count(&self) -> BoxFuture<'_, usize> {
        (**self).server_count()
    }
}
