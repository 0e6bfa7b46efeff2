//! The transports and sets of them.

use core::fmt;

/// What carries the packets of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// HTTP long-polling: `GET` receives, `POST` sends.
    Polling,
    /// WebSocket.
    WebSocket,
}

impl Transport {
    /// Every transport of this crate, in the order in which sets list them.
    const ALL: [Self; 2] = [Self::Polling, Self::WebSocket];

    /// The name in the `transport` parameter and in the `upgrades` of an open packet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }

    /// The transport of that name, if this crate knows it. Names are case-sensitive.
    ///
    /// ```
    /// use sockeye_engineio::Transport;
    ///
    /// assert_eq!(Transport::from_name("websocket"), Some(Transport::WebSocket));
    /// assert_eq!(Transport::from_name("WebSocket"), None);
    /// ```
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transport| transport.name() == name)
    }

    /// What a session on this transport may be upgraded to, out of `allowed`: the `upgrades` of its open
    /// packet.
    #[must_use]
    pub const fn upgrades(self, allowed: TransportSet) -> TransportSet {
        match self {
            Self::Polling => allowed.without(Self::Polling),
            Self::WebSocket => TransportSet::EMPTY,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of transports: those that a server allows, or the upgrades that an open packet offers.
///
/// ```
/// use sockeye_engineio::{Transport, TransportSet};
///
/// let allowed = TransportSet::default();
/// assert!(allowed.contains(Transport::Polling) && allowed.contains(Transport::WebSocket));
/// assert_eq!(Transport::Polling.upgrades(allowed), TransportSet::only(Transport::WebSocket));
/// assert!(Transport::WebSocket.upgrades(allowed).is_empty());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransportSet(u8);

impl TransportSet {
    /// No transport.
    pub const EMPTY: Self = Self(0);

    /// The set of one transport.
    #[must_use]
    pub const fn only(transport: Transport) -> Self {
        Self::EMPTY.with(transport)
    }

    /// The set and `transport`.
    #[must_use]
    pub const fn with(self, transport: Transport) -> Self {
        Self(self.0 | 1 << transport as u8)
    }

    /// The set but `transport`.
    #[must_use]
    pub const fn without(self, transport: Transport) -> Self {
        Self(self.0 & !(1 << transport as u8))
    }

    /// Whether `transport` is in the set.
    #[must_use]
    pub const fn contains(self, transport: Transport) -> bool {
        self.0 & (1 << transport as u8) != 0
    }

    /// Whether no transport is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The transports of the set: polling before WebSocket.
    pub fn iter(self) -> impl Iterator<Item = Transport> {
        Transport::ALL.into_iter().filter(move |transport| self.contains(*transport))
    }
}

impl Default for TransportSet {
    /// Polling and WebSocket, as in the official server.
    fn default() -> Self {
        Self::only(Transport::Polling).with(Transport::WebSocket)
    }
}

impl FromIterator<Transport> for TransportSet {
    fn from_iter<I: IntoIterator<Item = Transport>>(transports: I) -> Self {
        transports.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Debug for TransportSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_name_leads_back_to_its_transport() {
        for transport in Transport::ALL {
            assert_eq!(Transport::from_name(transport.name()), Some(transport));
        }
        for unknown in ["", "webtransport", "Polling", "polling ", "__proto__"] {
            assert_eq!(Transport::from_name(unknown), None);
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let set = TransportSet::only(Transport::WebSocket);
        assert!(set.contains(Transport::WebSocket) && !set.contains(Transport::Polling));
        assert!(set.without(Transport::WebSocket).is_empty());
        assert_eq!(Transport::ALL.into_iter().collect::<TransportSet>(), TransportSet::default());
        assert_eq!(format!("{:?}", TransportSet::default()), "{Polling, WebSocket}");
    }

    #[test]
    fn only_polling_is_upgraded_and_only_to_what_is_allowed() {
        let both = TransportSet::default();
        assert_eq!(Transport::Polling.upgrades(both), TransportSet::only(Transport::WebSocket));
        assert!(Transport::Polling.upgrades(TransportSet::only(Transport::Polling)).is_empty());
        assert!(Transport::WebSocket.upgrades(both).is_empty());
    }
}
