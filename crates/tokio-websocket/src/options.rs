//! Limits and deadlines of a connection.

use sockeye_websocket::{Config, deflate};
use std::time::Duration;

use crate::Keepalive;

/// Limits and deadlines of a connection.
///
/// Deadlines are kept while the application receives. One that passed while it did not is judged by what has arrived
/// meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Limits on what is received.
    pub config: Config,
    /// Whether compression of messages (permessage-deflate, RFC 7692) is negotiated, and how. Default no: it costs
    /// some 10 µs per KiB and, unless neither side keeps context, memory per connection.
    pub deflate: Option<deflate::Config>,
    /// How long the peer may take to finish a closing handshake, and to close the transport after it. Default 5 s;
    /// then the connection is dropped.
    pub close_timeout: Duration,
    /// How many bytes may wait to be written before [`feed`](crate::WebSocket::feed), `poll_ready` and, with replies
    /// queued, [`receive_borrowed`](crate::WebSocket::receive_borrowed) wait. Default 64 KiB. One message above it is
    /// still accepted whole.
    pub max_output_len: usize,
    /// Pings to a silent peer. Default none: a peer that vanished without a word is then noticed only by TCP's own
    /// means. Without an answer [`receive`](crate::WebSocket::receive) ends with
    /// [`Error::KeepaliveTimeout`](crate::Error::KeepaliveTimeout).
    pub keepalive: Option<Keepalive>,
    /// How long a connection may go without a message in either direction, or more of a long one; Pings and Pongs are
    /// none. Default unlimited. Then the connection is closed with code 1001, and [`receive`](crate::WebSocket::receive) ends with
    /// [`Error::IdleTimeout`](crate::Error::IdleTimeout).
    pub idle_timeout: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            config: Config::default(),
            deflate: None,
            close_timeout: Duration::from_secs(5),
            max_output_len: 64 * 1024,
            keepalive: None,
            idle_timeout: None,
        }
    }
}
