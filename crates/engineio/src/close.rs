//! Why a session ended.

use core::fmt;

/// Why a session ended, in the words that Engine.IO users know.
///
/// ```
/// use sockeye_engineio::CloseReason;
///
/// assert_eq!(CloseReason::PingTimeout.to_string(), "ping timeout");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The transport failed, or the peer broke the rules of the session (`transport error`).
    TransportError,
    /// The peer closed the session or its connection (`transport close`).
    TransportClose,
    /// The application closed the session (`forced close`).
    ForcedClose,
    /// The peer did not answer a ping in time (`ping timeout`).
    PingTimeout,
    /// The peer sent something that is no packet (`parse error`).
    ParseError,
    /// The server is going down (`server shutting down`).
    ServerShuttingDown,
}

impl CloseReason {
    /// The reason as the official packages spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TransportError => "transport error",
            Self::TransportClose => "transport close",
            Self::ForcedClose => "forced close",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ServerShuttingDown => "server shutting down",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn reasons_are_spelled_as_in_the_official_packages() {
        let spelled = [
            (CloseReason::TransportError, "transport error"),
            (CloseReason::TransportClose, "transport close"),
            (CloseReason::ForcedClose, "forced close"),
            (CloseReason::PingTimeout, "ping timeout"),
            (CloseReason::ParseError, "parse error"),
            (CloseReason::ServerShuttingDown, "server shutting down"),
        ];
        for (reason, text) in spelled {
            assert_eq!(reason.as_str(), text);
            assert_eq!(reason.to_string(), text);
        }
    }
}
