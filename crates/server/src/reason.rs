//! Why sockets disconnect.

use sockeye_engineio::CloseReason;
use std::fmt;

/// Why a socket disconnected, in the words of the official server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The connection ended because of this.
    Transport(CloseReason),
    /// The client left the namespace.
    ClientNamespaceDisconnect,
    /// The server disconnected the socket.
    ServerNamespaceDisconnect,
    /// The server closed the connection, because the client broke the protocol or joined no namespace.
    ForcedServerClose,
}

impl DisconnectReason {
    /// The reason in the words of the official server.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transport(reason) => reason.as_str(),
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
            Self::ForcedServerClose => "forced server close",
        }
    }
}

impl DisconnectReason {
    /// Whether the client lost its connection, rather than having been disconnected on purpose: then it can come back with
    /// [connection state recovery](crate::Builder::connection_state_recovery).
    pub const fn is_recoverable(self) -> bool {
        match self {
            Self::Transport(reason) => !matches!(reason, CloseReason::ParseError),
            Self::ForcedServerClose => true,
            Self::ClientNamespaceDisconnect | Self::ServerNamespaceDisconnect => false,
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
