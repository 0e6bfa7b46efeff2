//! Operations across the servers of a cluster.
//!
//! ```text
//! io.to("a").emit(..) ──► server ──► Adapter::broadcast ──► bus ──► Adapter ──► Node::broadcast ──► sockets
//!                            └─ LocalPart::Server: its own sockets, at once
//! ```

use std::{collections::BTreeSet, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use crate::{AckSink, BroadcastOptions, MissedPacket, Payload, RemoteSocketData, Room, Session};

/// A boxed future, so that [`Adapter`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What an adapter calls, once, with the packets that a session missed; see [`Adapter::resume_session`].
pub type Resume = Box<dyn FnOnce(Option<Vec<MissedPacket>>) + Send>;

/// Who does the own server's part of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "somebody has to do the own server's part"]
pub enum LocalPart {
    /// The server, as soon as the adapter has returned.
    Server,
    /// The adapter: it calls the [`Node`](crate::Node) of this server when the operation has its place among those of the
    /// other servers.
    Adapter,
}

/// Carries the operations of one namespace to the other servers of the cluster.
///
/// Operations with `local` never get here. No method blocks: what has to wait for the bus is queued, in order. An adapter that
/// returns [`LocalPart::Adapter`] from one of the four operations that nobody answers does so from all of them, or they
/// would overtake each other.
///
/// The adapter is dropped with its namespace, and ends then what it has started.
pub trait Adapter: Send + Sync + 'static {
    /// The namespace is in place: operations of other servers may arrive. Called once.
    fn init(&self) {}

    /// The server shuts down: leaves the cluster, once the clients are disconnected.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Sends an event to the selected sockets: its name and arguments.
    fn broadcast(&self, event: &Payload, options: &BroadcastOptions) -> LocalPart;

    /// Sends an event to the selected sockets of the other servers, and collects their clients' answers.
    ///
    /// `acks` is told how many other servers there are, then by each how many of its clients got the event, and every answer
    /// as it comes. The adapter forgets the request when `acks` says [`is_closed`](AckSink::is_closed), and at the latest after
    /// [`BroadcastOptions::timeout`].
    fn broadcast_with_ack(&self, event: &Payload, options: &BroadcastOptions, acks: Arc<dyn AckSink>);

    /// Makes the selected sockets join rooms.
    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) -> LocalPart;

    /// Makes the selected sockets leave rooms.
    fn remove_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) -> LocalPart;

    /// Disconnects the selected sockets; with `close` their whole connections.
    fn disconnect_sockets(&self, options: &BroadcastOptions, close: bool) -> LocalPart;

    /// The selected sockets of the other servers. It takes [`BroadcastOptions::timeout`] at most, or what the adapter is
    /// configured for.
    ///
    /// # Errors
    /// When a server does not answer in time; the error has the answers of the others.
    fn fetch_sockets<'a>(
        &'a self,
        options: &'a BroadcastOptions,
    ) -> BoxFuture<'a, Result<Vec<RemoteSocketData>, AdapterError<RemoteSocketData>>>;

    /// The rooms of all other servers, those of the sockets' own ids included; each once.
    ///
    /// # Errors
    /// As [`fetch_sockets`](Self::fetch_sockets), by which it is done unless the adapter has a better way.
    fn all_rooms(&self) -> BoxFuture<'_, Result<Vec<Room>, AdapterError<Room>>> {
        Box::pin(async {
            let rooms = |sockets: Vec<RemoteSocketData>| {
                let rooms: BTreeSet<_> = sockets.into_iter().flat_map(|socket| socket.rooms).collect();
                rooms.into_iter().collect()
            };
            match self.fetch_sockets(&BroadcastOptions::default()).await {
                Ok(sockets) => Ok(rooms(sockets)),
                Err(AdapterError::Timeout { partial }) => {
                    Err(AdapterError::Timeout { partial: rooms(partial) })
                }
                Err(AdapterError::Disconnected) => Err(AdapterError::Disconnected),
            }
        })
    }

    /// Sends an event to the other servers themselves: its name and arguments.
    fn server_side_emit(&self, event: &Payload);

    /// Sends an event to the other servers themselves, and waits for their answers, one each.
    ///
    /// # Errors
    /// When a server does not answer within `timeout`, or within what the adapter is configured for; the error has the answers
    /// of the others.
    fn server_side_emit_with_ack<'a>(
        &'a self,
        event: &'a Payload,
        timeout: Option<Duration>,
    ) -> BoxFuture<'a, Result<Vec<Payload>, AdapterError<Payload>>>;

    /// How many servers there are, this one included.
    fn server_count(&self) -> BoxFuture<'_, usize>;

    /// Whether [`room_changed`](Self::room_changed) is to be called. Asked once.
    fn follows_rooms(&self) -> bool {
        false
    }

    /// A socket of this server joined or left a room, that of its own id included, which may have come into being with
    /// that or have ceased to be. Calls can overtake each other: what holds is what [`Node::has_room`](crate::Node::has_room)
    /// says.
    fn room_changed(&self, room: &Room) {
        let _ = room;
    }

    /// Whether the sessions of clients that lost their connection are the adapter's to keep, for any server of the cluster. If
    /// not, the server keeps those of its own clients in memory. Asked once.
    ///
    /// An adapter that keeps them gives every event that can be recovered an offset, and tells it to
    /// [`Node::broadcast`](crate::Node::broadcast), on the server that the event comes from as well.
    fn keeps_sessions(&self) -> bool {
        false
    }

    /// A client lost its connection: keeps its session for `duration`.
    fn persist_session(&self, session: Session, duration: Duration) {
        let _ = (session, duration);
    }

    /// A client comes back: takes out the session with this private id, which can be done once, if the offset of the last
    /// event that the client has seen is known. Both come from the client and can be anything.
    fn restore_session<'a>(&'a self, pid: &'a str, offset: &'a str) -> BoxFuture<'a, Option<Session>> {
        let _ = (pid, offset);
        Box::pin(std::future::ready(None))
    }

    /// Finds what the rooms of a restored session were sent after `offset`, and hands it to `resume`, or `None` when it is
    /// not there any more.
    ///
    /// `resume` puts the client back into its rooms. For every event to reach it once, in order, it is called
    /// between two deliveries: what was given to the node before is among the missed packets, and what comes later is not.
    fn resume_session(&self, session: &Session, offset: &str, resume: Resume) {
        let _ = (session, offset);
        resume(None);
    }
}

/// Why an operation across servers is incomplete. `T` is what each of them reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdapterError<T> {
    /// Not all servers answered in time.
    Timeout {
        /// What those that did answer reported.
        partial: Vec<T>,
    },
    /// The bus between the servers is down.
    Disconnected,
}

impl<T> fmt::Display for AdapterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { partial } => {
                write!(f, "a server of the cluster did not answer in time ({} answers so far)", partial.len())
            }
            Self::Disconnected => f.write_str("the bus between the servers is down"),
        }
    }
}

impl<T: fmt::Debug> std::error::Error for AdapterError<T> {}

/// The adapter of a server that is alone: there are no others.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalAdapter;

impl Adapter for LocalAdapter {
    fn broadcast(&self, _: &Payload, _: &BroadcastOptions) -> LocalPart {
        LocalPart::Server
    }

    fn broadcast_with_ack(&self, _: &Payload, _: &BroadcastOptions, acks: Arc<dyn AckSink>) {
        acks.server_count(0);
    }

    fn add_sockets(&self, _: &BroadcastOptions, _: &[Room]) -> LocalPart {
        LocalPart::Server
    }

    fn remove_sockets(&self, _: &BroadcastOptions, _: &[Room]) -> LocalPart {
        LocalPart::Server
    }

    fn disconnect_sockets(&self, _: &BroadcastOptions, _: bool) -> LocalPart {
        LocalPart::Server
    }

    fn fetch_sockets<'a>(
        &'a self,
        _: &'a BroadcastOptions,
    ) -> BoxFuture<'a, Result<Vec<RemoteSocketData>, AdapterError<RemoteSocketData>>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn server_side_emit(&self, _: &Payload) {}

    fn server_side_emit_with_ack<'a>(
        &'a self,
        _: &'a Payload,
        _: Option<Duration>,
    ) -> BoxFuture<'a, Result<Vec<Payload>, AdapterError<Payload>>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn server_count(&self) -> BoxFuture<'_, usize> {
        Box::pin(std::future::ready(1))
    }
}

impl<A: Adapter + ?Sized> Adapter for Arc<A> {
    fn init(&self) {
        (**self).init();
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        (**self).close()
    }

    fn broadcast(&self, event: &Payload, options: &BroadcastOptions) -> LocalPart {
        (**self).broadcast(event, options)
    }

    fn broadcast_with_ack(&self, event: &Payload, options: &BroadcastOptions, acks: Arc<dyn AckSink>) {
        (**self).broadcast_with_ack(event, options, acks);
    }

    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) -> LocalPart {
        (**self).add_sockets(options, rooms)
    }

    fn remove_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) -> LocalPart {
        (**self).remove_sockets(options, rooms)
    }

    fn disconnect_sockets(&self, options: &BroadcastOptions, close: bool) -> LocalPart {
        (**self).disconnect_sockets(options, close)
    }

    fn fetch_sockets<'a>(
        &'a self,
        options: &'a BroadcastOptions,
    ) -> BoxFuture<'a, Result<Vec<RemoteSocketData>, AdapterError<RemoteSocketData>>> {
        (**self).fetch_sockets(options)
    }

    fn all_rooms(&self) -> BoxFuture<'_, Result<Vec<Room>, AdapterError<Room>>> {
        (**self).all_rooms()
    }

    fn server_side_emit(&self, event: &Payload) {
        (**self).server_side_emit(event);
    }

    fn server_side_emit_with_ack<'a>(
        &'a self,
        event: &'a Payload,
        timeout: Option<Duration>,
    ) -> BoxFuture<'a, Result<Vec<Payload>, AdapterError<Payload>>> {
        (**self).server_side_emit_with_ack(event, timeout)
    }

    fn server_count(&self) -> BoxFuture<'_, usize> {
        (**self).server_count()
    }

    fn follows_rooms(&self) -> bool {
        (**self).follows_rooms()
    }

    fn room_changed(&self, room: &Room) {
        (**self).room_changed(room);
    }

    fn keeps_sessions(&self) -> bool {
        (**self).keeps_sessions()
    }

    fn persist_session(&self, session: Session, duration: Duration) {
        (**self).persist_session(session, duration);
    }

    fn restore_session<'a>(&'a self, pid: &'a str, offset: &'a str) -> BoxFuture<'a, Option<Session>> {
        (**self).restore_session(pid, offset)
    }

    fn resume_session(&self, session: &Session, offset: &str, resume: Resume) {
        (**self).resume_session(session, offset, resume);
    }
}
