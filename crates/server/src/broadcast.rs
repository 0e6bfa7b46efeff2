//! Broadcasts: who is meant, and what happens to them.

use sockeye_adapter::{Adapter, AdapterError, BroadcastOptions, LocalPart, Payload, Room};
use sockeye_socketio::{EventArgs, handler::FromAnswer};
use std::{sync::Arc, time::Duration};

use crate::{BroadcastAckFuture, EmitError, RemoteSocket, Socket, namespace::NamespaceInner};

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

    /// The acknowledgements of [`emit_with_ack`](Self::emit_with_ack), and the answers to
    /// [`fetch_sockets`](Self::fetch_sockets), may take this long. Default 5 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sends an event to the selected sockets. It is encoded once, and compressed at most once.
    ///
    /// # Errors
    /// [`EmitError::Encode`].
    pub fn emit<A: EventArgs>(&self, event: &str, args: A) -> Result<(), EmitError> {
        self.namespace.each().try_for_each(|namespace| namespace.broadcast(event, &args, &self.options))
    }

    /// Sends an event to the selected sockets, and waits until each client has acknowledged it or is gone, or until the
    /// [`timeout`](Self::timeout) is over. Of every acknowledgement it reads the first argument (or more, see
    /// [`FromAnswer`]).
    ///
    /// ```no_run
    /// # async fn f(io: sockeye::Io) {
    /// use sockeye::BroadcastAckError;
    /// use std::time::Duration;
    ///
    /// let asked = io.to("room 1").timeout(Duration::from_secs(2)).emit_with_ack::<bool, _>("ready?", ());
    /// match asked.await {
    ///     Ok(ready) => println!("all {} clients answered", ready.len()),
    ///     Err(BroadcastAckError::Timeout { answers }) => println!("only {} did", answers.len()),
    ///     Err(error) => println!("{error}"),
    /// }
    /// # }
    /// ```
    pub fn emit_with_ack<T: FromAnswer, A: EventArgs>(&self, event: &str, args: A) -> BroadcastAckFuture<T> {
        let event = Payload::event(event, &args).map_err(EmitError::from);
        BroadcastAckFuture::new(&self.namespace, event, &self.options)
    }

    /// The selected sockets of this server.
    pub fn sockets(&self) -> Vec<Socket> {
        self.namespace.select(&self.options)
    }

    /// The selected sockets, those of other servers included.
    ///
    /// # Errors
    /// When a server of the cluster does not answer; the error has the sockets of the others.
    pub async fn fetch_sockets(&self) -> Result<Vec<RemoteSocket>, AdapterError<RemoteSocket>> {
        let (mut sockets, mut timed_out) = (Vec::new(), false);
        for namespace in self.namespace.each() {
            let mut found = namespace.fetch_local(&self.options);
            if let Some(adapter) = namespace.cluster(&self.options) {
                match adapter.fetch_sockets(&self.options).await {
                    Ok(others) => found.extend(others),
                    Err(AdapterError::Timeout { partial }) => {
                        found.extend(partial);
                        timed_out = true;
                    }
                    Err(_) => return Err(AdapterError::Disconnected),
                }
            }
            sockets.extend(found.into_iter().map(|details| RemoteSocket::new(namespace.clone(), details)));
        }
        if timed_out { Err(AdapterError::Timeout { partial: sockets }) } else { Ok(sockets) }
    }

    /// Makes the selected sockets join a room.
    pub fn sockets_join(&self, room: impl Into<Room>) {
        let rooms = [room.into()];
        self.operate(
            |adapter| adapter.add_sockets(&self.options, &rooms),
            |namespace| {
                namespace.add_local(&self.options, &rooms);
            },
        );
    }

    /// Makes the selected sockets leave a room.
    pub fn sockets_leave(&self, room: impl Into<Room>) {
        let rooms = [room.into()];
        self.operate(
            |adapter| adapter.remove_sockets(&self.options, &rooms),
            |namespace| {
                namespace.remove_local(&self.options, &rooms);
            },
        );
    }

    /// Disconnects the selected sockets; with `close` their whole connections.
    pub fn disconnect_sockets(&self, close: bool) {
        self.operate(
            |adapter| adapter.disconnect_sockets(&self.options, close),
            |namespace| {
                namespace.disconnect_local(&self.options, close);
            },
        );
    }

    /// Does something with the sockets of all servers: here, unless the adapter does that too.
    fn operate(&self, everywhere: impl Fn(&dyn Adapter) -> LocalPart, here: impl Fn(&NamespaceInner)) {
        for namespace in self.namespace.each() {
            let adapter = namespace.cluster(&self.options);
            if adapter.is_none_or(|adapter| everywhere(&**adapter) == LocalPart::Server) {
                here(&namespace);
            }
        }
    }
}
