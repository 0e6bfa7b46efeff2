//! What an adapter does on this server when operations of others arrive.

use sockeye_adapter::{
    AckSink, BroadcastOptions, Node, Payload, RemoteSocketData, Room, ServerAck, SocketId,
};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{namespace::NamespaceInner, trace::warn};

/// The server's side of an adapter. It holds the namespace weakly: the namespace owns the adapter.
pub(crate) struct LocalNode {
    name: String,
    namespace: Weak<NamespaceInner>,
}

impl LocalNode {
    pub(crate) fn new(namespace: &Arc<NamespaceInner>) -> Self {
        Self { name: namespace.name().to_owned(), namespace: Arc::downgrade(namespace) }
    }

    /// Does something in the namespace, unless the server is gone.
    fn with<T: Default>(&self, act: impl FnOnce(&Arc<NamespaceInner>) -> T) -> T {
        self.namespace.upgrade().map(|namespace| act(&namespace)).unwrap_or_default()
    }
}

impl Node for LocalNode {
    fn namespace(&self) -> &str {
        &self.name
    }

    fn broadcast(&self, event: &Payload, options: &BroadcastOptions, offset: Option<&str>) {
        self.with(|namespace| {
            if let Err(error) = namespace.broadcast_payload(event, options, offset) {
                warn!(target: "sockeye::namespace", error = %error, "event of another server dropped");
            }
        });
    }

    fn broadcast_with_ack(&self, event: &Payload, options: &BroadcastOptions, acks: Arc<dyn AckSink>) {
        match self.namespace.upgrade() {
            Some(namespace) => namespace.ask_for_others(event, options, acks),
            None => acks.client_count(0),
        }
    }

    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) {
        self.with(|namespace| namespace.add_local(options, rooms));
    }

    fn remove_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) {
        self.with(|namespace| namespace.remove_local(options, rooms));
    }

    fn disconnect_sockets(&self, options: &BroadcastOptions, close: bool) {
        self.with(|namespace| namespace.disconnect_local(options, close));
    }

    fn fetch_sockets(&self, options: &BroadcastOptions) -> Vec<RemoteSocketData> {
        self.with(|namespace| namespace.fetch_local(options))
    }

    fn socket_ids(&self, options: &BroadcastOptions) -> Vec<SocketId> {
        self.with(|namespace| namespace.select(options).iter().map(|socket| socket.id().clone()).collect())
    }

    fn rooms(&self) -> Vec<Room> {
        self.with(|namespace| namespace.all_rooms_local())
    }

    fn has_room(&self, room: &str) -> bool {
        self.with(|namespace| namespace.room_len(room) > 0)
    }

    fn server_side_emit(&self, event: &Payload, ack: Option<ServerAck>) {
        self.with(|namespace| namespace.handle_server_event(event, ack));
    }

    fn max_disconnection(&self) -> Option<Duration> {
        let namespace = self.namespace.upgrade()?;
        namespace.recovery().map(|recovery| recovery.options().max_disconnection_duration)
    }
}
