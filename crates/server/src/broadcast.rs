//! Broadcasts: who is meant, and what happens to them.

use sockeye_adapter::{AdapterError, BroadcastOptions, RemoteSocketData, Room};
use sockeye_socketio::{EventArgs, encode_event};
use std::sync::Arc;

use crate::{EmitError, namespace::NamespaceInner, outgoing::Outgoing};

/// A selection of sockets, to be narrowed down and then used.
///
/// ```no_run
/// # fn f(io: sockeye::Io) -> Result<(), sockeye::EmitError> {
/// io.to("room 1").to("room 2").except("quiet").volatile().emit("news", "hello")?;
/// io.to("room 1").sockets_join("room 3");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens until `emit` or another operation"]
pub struct Broadcast {
    namespace: Arc<NamespaceInner>,
    options: BroadcastOptions,
}

impl Broadcast {
    pub(crate) fn new(namespace: Arc<NamespaceInner>) -> Self {
        Self { namespace, options: BroadcastOptions::default() }
    }

    /// Adds a room: sockets in any of the rooms are meant, each once.
    pub fn to(mut self, room: impl Into<Room>) -> Self {
        self.options.rooms.push(room.into());
        self
    }

    /// The same as [`to`](Self::to): Socket.IO's `in`.
    pub fn within(self, room: impl Into<Room>) -> Self {
        self.to(room)
    }

    /// Leaves out sockets in a room, even if they are in a room that is meant.
    pub fn except(mut self, room: impl Into<Room>) -> Self {
        self.options.except.push(room.into());
        self
    }

    /// Only sockets of this server.
    pub const fn local(mut self) -> Self {
        self.options.local = true;
        self
    }

    /// Sockets that cannot take the event at this instant miss it.
    pub const fn volatile(mut self) -> Self {
        self.options.volatile = true;
        self
    }

    /// Whether the event may be compressed, for clients that negotiated that. Default yes; `false` saves the time for
    /// what hardly shrinks, such as images.
    pub const fn compress(mut self, compress: bool) -> Self {
        self.options.uncompressed = !compress;
        self
    }

    /// Sends an event to the selected sockets. It is encoded once, and compressed at most once.
    ///
    /// # Errors
    /// [`EmitError::Encode`].
    pub fn emit<A: EventArgs>(&self, event: &str, args: A) -> Result<(), EmitError> {
        for namespace in self.namespace.each() {
            let name = namespace.name();
            let packet = Outgoing::encode(|out, attachments| {
                encode_event(out, attachments, name, None, event, &args)
            })?
            .compression(namespace.deflate_threshold(), !self.options.uncompressed);
            namespace.broadcast_local(&packet, &self.options);
            if let Some(adapter) = namespace.cluster(&self.options) {
                adapter.broadcast(&packet.to_broadcast(), &self.options);
            }
        }
        Ok(())
    }

    /// The selected sockets, those of other servers included.
    ///
    /// # Errors
    /// When a server of the cluster does not answer.
    pub async fn fetch_sockets(&self) -> Result<Vec<RemoteSocketData>, AdapterError> {
        let mut sockets = self.namespace.fetch_local(&self.options);
        for namespace in self.namespace.each() {
            if let Some(adapter) = namespace.cluster(&self.options) {
                sockets.extend(adapter.fetch_sockets(&self.options).await?);
            }
        }
        Ok(sockets)
    }

    /// Makes the selected sockets join a room.
    pub fn sockets_join(&self, room: impl Into<Room>) {
        let rooms = [room.into()];
        self.namespace.add_local(&self.options, &rooms);
        for namespace in self.namespace.each() {
            if let Some(adapter) = namespace.cluster(&self.options) {
                adapter.add_sockets(&self.options, &rooms);
            }
        }
    }

    /// Makes the selected sockets leave a room.
    pub fn sockets_leave(&self, room: impl Into<Room>) {
        let rooms = [room.into()];
        self.namespace.remove_local(&self.options, &rooms);
        for namespace in self.namespace.each() {
            if let Some(adapter) = namespace.cluster(&self.options) {
                adapter.remove_sockets(&self.options, &rooms);
            }
        }
    }

    /// Disconnects the selected sockets; with `close` their whole connections.
    pub fn disconnect_sockets(&self, close: bool) {
        self.namespace.disconnect_local(&self.options, close);
        for namespace in self.namespace.each() {
            if let Some(adapter) = namespace.cluster(&self.options) {
                adapter.disconnect_sockets(&self.options, close);
            }
        }
    }
}
