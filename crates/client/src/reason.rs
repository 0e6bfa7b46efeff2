//! Why sockets disconnect.

use sockeye_engineio::CloseReason;
use std::fmt;

/// Why a socket disconnected, in the words of the official client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The server disconnected the socket. It does not reconnect by itself: [`open`](crate::Socket::open) does.
    IoServerDisconnect,
    /// The application disconnected the socket or closed the client.
    IoClientDisconnect,
    /// The server did not ping in time.
    PingTimeout,
    /// The connection was closed, by the server or on the way.
    TransportClose,
    /// The connection failed.
    TransportError,
    /// The server sent what is no packet.
    ParseError,
}

impl DisconnectReason {
    /// The reason in the words of the official client.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IoServerDisconnect => "io server disconnect",
            Self::IoClientDisconnect => "io client disconnect",
            Self::PingTimeout => "ping timeout",
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::ParseError => "parse error",
        }
    }

    /// Whether the client reconnects by itself after it, unless [`reconnection`](crate::Config::reconnection) is off.
    pub const fn reconnects(self) -> bool {
        !matches!(self, Self::IoServerDisconnect | Self::IoClientDisconnect)
    }
}

impl From<CloseReason> for DisconnectReason {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::TransportClose | CloseReason::ServerShuttingDown => Self::TransportClose,
            CloseReason::PingTimeout => Self::PingTimeout,
            CloseReason::ParseError => Self::ParseError,
            CloseReason::ForcedClose => Self::IoClientDisconnect,
            _ => Self::TransportError,
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_those_of_the_official_client() {
        let all = [
            (DisconnectReason::IoServerDisconnect, "io server disconnect", false),
            (DisconnectReason::IoClientDisconnect, "io client disconnect", false),
            (DisconnectReason::PingTimeout, "ping timeout", true),
            (DisconnectReason::TransportClose, "transport close", true),
            (DisconnectReason::TransportError, "transport error", true),
            (DisconnectReason::ParseError, "parse error", true),
        ];
        for (reason, text, reconnects) in all {
            assert_eq!((reason.to_string().as_str(), reason.reconnects()), (text, reconnects));
        }
    }
}
