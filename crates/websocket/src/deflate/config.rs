//! What an endpoint is willing to do, and what both agreed on.

/// What this endpoint is willing to do.
///
/// *Own* is the direction in which this endpoint sends, *peer* the other one, whichever role it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How hard to compress: 0 (stored) to 9 (smallest); higher values are taken as 9. Default 1.
    pub level: u8,
    /// Messages shorter than this many bytes are better sent uncompressed: they hardly shrink. Default 1024. The
    /// [`Deflater`](super::Deflater) itself does not look at it.
    pub threshold: usize,
    /// Whether what this endpoint sends may refer to its earlier messages. It makes similar small messages much
    /// smaller, and costs up to 370 KiB per connection. Default false.
    pub own_context_takeover: bool,
    /// Whether what the peer sends may refer to its earlier messages. Costs about 48 KiB per connection.
    /// Default false: a server answers `client_no_context_takeover` even unasked (§7.1.1.2), a client asks for
    /// `server_no_context_takeover`.
    pub peer_context_takeover: bool,
    /// How far back this endpoint refers at most, as the base-2 logarithm of the bytes: 9 to 15; other values are
    /// taken as the nearest of these. Default 15.
    pub max_own_window_bits: u8,
    /// How far back the peer may refer at most, as the base-2 logarithm of the bytes: 8 to 15; other values are
    /// taken as the nearest of these. Default 15. With less a server declines the offers of clients that do not
    /// let themselves be limited (§7.1.2.2), and a client asks for `server_max_window_bits`, which many servers
    /// decline below 9.
    pub max_peer_window_bits: u8,
}

impl Config {
    /// [`max_own_window_bits`](Self::max_own_window_bits) within its range.
    pub(super) fn own_bits(&self) -> u8 {
        self.max_own_window_bits.clamp(9, 15)
    }

    /// [`max_peer_window_bits`](Self::max_peer_window_bits) within its range.
    pub(super) fn peer_bits(&self) -> u8 {
        self.max_peer_window_bits.clamp(8, 15)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            level: 1,
            threshold: 1024,
            own_context_takeover: false,
            peer_context_takeover: false,
            max_own_window_bits: 15,
            max_peer_window_bits: 15,
        }
    }
}

/// What both ends agreed on, from this end's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// Whether what this end sends may refer to its earlier messages. This end chooses it within what was agreed.
    pub own_context_takeover: bool,
    /// Whether what the peer sends may refer to its earlier messages.
    pub peer_context_takeover: bool,
    /// How far back this end may refer: 2^n bytes, 8 to 15.
    pub own_window_bits: u8,
    /// How far back the peer may refer: 2^n bytes, 8 to 15.
    pub peer_window_bits: u8,
}

impl Params {
    /// Whether this end can compress at all: not with a window of 8 bits, which only a client can be given. It then
    /// sends every message without RSV1 (§6).
    pub const fn can_compress(&self) -> bool {
        self.own_window_bits > 8
    }
}
