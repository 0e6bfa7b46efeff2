//! Roles and limits of a connection.

/// Which end of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Opened the connection; masks what it sends.
    Client,
    /// Accepted the connection; receives masked frames.
    Server,
}

/// Limits on what the peer may make this endpoint hold.
///
/// They are checked on the announced length, before a byte of it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The longest payload of one frame in bytes. Default 16 MiB. Above it the connection fails with 1009. A compressed
    /// frame may be longer by an eighth and 1 KiB, for that is what compression can add.
    pub max_frame_len: u64,
    /// The longest message in bytes, all fragments together. Default 16 MiB. Above it the connection fails with
    /// 1009.
    pub max_message_len: u64,
    /// The most frames that one message may consist of, empty ones included: an endless run of empty fragments
    /// costs its receiver time and never reaches a byte limit. Default 131,072, so that 16 MiB may come in
    /// fragments of 128 bytes. Above it the connection fails with 1008.
    pub max_fragment_count: u32,
}

impl Config {
    /// The same limit for frames and messages, in bytes.
    pub const fn with_max_message_len(mut self, len: u64) -> Self {
        self.max_frame_len = len;
        self.max_message_len = len;
        self
    }

    /// The longest message in one frame, as far as 16 bits can tell.
    pub(crate) const fn max_short_len(&self) -> u16 {
        let frame_len = self.max_frame_len;
        let len = if frame_len < self.max_message_len { frame_len } else { self.max_message_len };
        #[allow(clippy::cast_possible_truncation, reason = "what is longer is cut off")]
        if len < u16::MAX as u64 { len as u16 } else { u16::MAX }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { max_frame_len: 16 << 20, max_message_len: 16 << 20, max_fragment_count: 131_072 }
    }
}
