//! Sockets wherever in the cluster they are.

use serde::de::DeserializeOwned;
use sockeye_adapter::{RemoteSocketData, Room};
use sockeye_socketio::{EventArgs, handler::FromAnswer};
use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use crate::{AckError, Broadcast, BroadcastAckError, EmitError, namespace::NamespaceInner};

/// A socket of this server or of another one, as it was when it was fetched; see
/// [`Broadcast::fetch_sockets`](crate::Broadcast::fetch_sockets).
///
/// ```no_run
/// # async fn f(io: sockeye::Io) -> Result<(), Box<dyn std::error::Error>> {
/// for socket in io.within("lobby").fetch_sockets().await? {
///     println!("{} is in {:?}", socket.id, socket.rooms);
///     socket.join("game");
///     socket.emit("welcome", "to the game")?;
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RemoteSocket {
    namespace: Arc<NamespaceInner>,
    details: RemoteSocketData,
}

impl RemoteSocket {
    pub(crate) const fn new(namespace: Arc<NamespaceInner>, details: RemoteSocketData) -> Self {
        Self { namespace, details }
    }

    fn operator(&self) -> Broadcast {
        Broadcast::new(self.namespace.clone()).to(&self.details.id)
    }

    /// What the socket shares, read; see [`Socket::set_shared_data`](crate::Socket::set_shared_data).
    ///
    /// # Errors
    /// When it is of another type.
    pub fn shared_data<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.details.data)
    }

    /// Sends an event to the client.
    ///
    /// # Errors
    /// [`EmitError::Encode`]. Whether the socket is still there is not known.
    pub fn emit<A: EventArgs>(&self, event: &str, args: A) -> Result<(), EmitError> {
        self.operator().emit(event, args)
    }

    /// Sends an event and waits for the client's acknowledgement, of which it reads the first argument.
    ///
    /// # Errors
    /// [`AckError::Timeout`] after `timeout`, [`AckError::Disconnected`] when the socket is not there any more.
    pub async fn emit_with_ack<T: FromAnswer, A: EventArgs>(
        &self,
        timeout: Duration,
        event: &str,
        args: A,
    ) -> Result<T, AckError> {
        match self.operator().timeout(timeout).emit_with_ack(event, args).await {
            Ok(answers) => answers.into_iter().next().ok_or(AckError::Disconnected),
            Err(BroadcastAckError::Emit(error)) => Err(AckError::Emit(error)),
            Err(BroadcastAckError::Timeout { .. }) => Err(AckError::Timeout),
            Err(BroadcastAckError::Disconnected { .. }) => Err(AckError::Disconnected),
            Err(BroadcastAckError::InvalidAnswer(error)) => Err(AckError::InvalidAnswer(error)),
        }
    }

    /// Makes the socket join a room.
    pub fn join(&self, room: impl Into<Room>) {
        self.operator().sockets_join(room);
    }

    /// Makes the socket leave a room.
    pub fn leave(&self, room: impl Into<Room>) {
        self.operator().sockets_leave(room);
    }

    /// Disconnects the socket; with `close` its whole connection.
    pub fn disconnect(&self, close: bool) {
        self.operator().disconnect_sockets(close);
    }
}

/// Its id, rooms, handshake and data.
impl Deref for RemoteSocket {
    type Target = RemoteSocketData;

    fn deref(&self) -> &RemoteSocketData {
        &self.details
    }
}

impl fmt::Debug for RemoteSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSocket")
            .field("id", &self.id)
            .field("rooms", &self.rooms)
            .finish_non_exhaustive()
    }
}
