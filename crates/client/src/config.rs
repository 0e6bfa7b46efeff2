//! Options of a client.

use sockeye_engineio::Transport;
use sockeye_socketio::Parser;
use sockeye_tokio_websocket::deflate;
use std::time::Duration;

use crate::BuildError;

/// What happens to an event that does not fit into the buffer of a socket that is not connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum BufferPolicy {
    /// [`emit`](crate::Socket::emit) fails with [`EmitError::BufferFull`](crate::EmitError::BufferFull).
    #[default]
    Reject,
    /// The events that waited longest make room; who waits for their acknowledgement gets
    /// [`AckError::Dropped`](crate::AckError::Dropped).
    DropOldest,
}

/// The options of a client, with the defaults of the official one where it has them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Where the server answers. Default `/socket.io`.
    pub path: String,
    /// The form of the packets, which must be that of the server. Default JSON.
    pub parser: Parser,
    /// Whether a slash is added to the path. Default yes, as servers expect it.
    pub add_trailing_slash: bool,
    /// The transports to use, the one to begin with first. Default polling, then WebSocket.
    pub transports: Vec<Transport>,
    /// Whether a session on polling is upgraded to WebSocket, if the server offers it and it is among the
    /// [`transports`](Self::transports). Default yes.
    pub upgrade: bool,
    /// Whether the next connection begins with WebSocket when the last one succeeded with it. Default no: behind a proxy
    /// that lets WebSockets pass only sometimes, each failure costs a whole attempt.
    pub remember_upgrade: bool,
    /// Whether an attempt goes on with the next of the [`transports`](Self::transports) when one fails to open. Default no.
    pub try_all_transports: bool,
    /// Parameters of all requests, in addition to those in the URL.
    pub query: Vec<(String, String)>,
    /// Header fields of all requests.
    pub headers: Vec<(String, String)>,
    /// Whether cookies that the server sets are kept, for the life of the client, and sent back; what the official client
    /// calls `withCredentials`. Default no. Load balancers that keep a session on one server by a cookie need it.
    pub cookies: bool,
    /// Whether polling requests carry a parameter that makes each URL unique, for caches that ignore what they are told.
    /// Default yes.
    pub timestamp_requests: bool,
    /// How long an attempt to connect may take, from resolving the name to the open session. Default 20 s; then it fails
    /// with [`ConnectError::Timeout`](crate::ConnectError::Timeout).
    pub timeout: Duration,
    /// How long a polling request may take. Default unlimited, as polls last until something happens; with a limit below
    /// the server's ping interval idle sessions break.
    pub request_timeout: Option<Duration>,
    /// How many packets one POST carries. Default 16, beyond which servers on python-engineio close the session; more is
    /// faster where only polling gets through.
    pub max_post_packet_count: usize,
    /// How long an upgrade may take. Default 10 s; then the session stays on polling.
    pub upgrade_timeout: Duration,
    /// How long a clean end may take: sending what is queued and the closing handshake. Default 5 s; then the connection is
    /// dropped.
    pub close_timeout: Duration,
    /// Whether the client connects again when an attempt failed or the connection ended. Default yes.
    pub reconnection: bool,
    /// How many attempts to reconnect follow each other before the client gives up. Default unlimited (`None`).
    pub reconnection_attempts: Option<u32>,
    /// The wait before the first attempt to reconnect; it doubles with each. Default 1 s.
    pub reconnection_delay: Duration,
    /// The longest wait between two attempts. Default 5 s.
    pub reconnection_delay_max: Duration,
    /// By what part each wait is shortened or extended at random, from 0 to 1, so that the clients of a server that
    /// restarts do not all come at once. Default 0.5.
    pub randomization_factor: f64,
    /// How long acknowledgements may take unless [`timeout`](crate::Socket::timeout) says otherwise. Default unlimited.
    pub ack_timeout: Option<Duration>,
    /// How often an event is sent again until the server acknowledges it. Default none (`None`). With it, events leave one
    /// after the other, each when the one before was acknowledged or given up; they reach the server at least once, in
    /// order. It wants an [`ack_timeout`](Self::ack_timeout).
    pub retries: Option<u32>,
    /// How many events may wait per socket, while it is not connected or for their [retry](Self::retries). Default 10,000;
    /// then [`buffer_policy`](Self::buffer_policy) says what happens.
    pub max_buffer_count: usize,
    /// How many bytes may wait: per socket while it is not connected, and altogether to be written while it is. Default
    /// 4 MiB. What would exceed it is refused with [`EmitError::BufferFull`](crate::EmitError::BufferFull), or for sockets
    /// that are not connected as [`buffer_policy`](Self::buffer_policy) says.
    pub max_buffer_len: usize,
    /// What happens to events beyond these limits while the socket is not connected. Default: they are refused.
    pub buffer_policy: BufferPolicy,
    /// How many events wait for a slow reader of [`Socket::events`](crate::Socket::events). Default 4096; those beyond it
    /// are missed, and the stream says how many.
    pub max_stream_count: usize,
    /// The longest message, or answer to a poll, in bytes. Default 10,000,000. Above it the connection fails.
    pub max_payload_len: usize,
    /// The most binary attachments of one packet. Default 10. Above it the connection ends with `parse error`.
    pub max_attachment_count: usize,
    /// The most bytes that the attachments of one packet may have together. Default 10,000,000. Above it the connection
    /// ends with `parse error`.
    pub max_attachments_len: usize,
    /// How long the attachments of a packet may take to arrive. Default 30 s; then the connection ends with `parse error`.
    pub attachment_timeout: Duration,
    /// Whether compression of WebSocket messages is offered, and how. Default yes, from 1024 bytes on: most servers do not
    /// accept it.
    pub deflate: Option<deflate::Config>,
}

impl Config {
    /// The path with its slash.
    pub(crate) fn full_path(&self) -> String {
        let path = self.path.trim_matches('/');
        let end = if self.add_trailing_slash && !path.is_empty() { "/" } else { "" };
        format!("/{path}{end}")
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        if self.transports.is_empty() {
            return Err(BuildError::Config("there must be a transport"));
        }
        if !(0.0..=1.0).contains(&self.randomization_factor) {
            return Err(BuildError::Config("the randomization factor is from 0 to 1"));
        }
        if self.reconnection && self.reconnection_delay_max.is_zero() {
            return Err(BuildError::Config("without a wait between attempts nothing would end them"));
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: "/socket.io".into(),
            parser: Parser::Json,
            add_trailing_slash: true,
            transports: vec![Transport::Polling, Transport::WebSocket],
            upgrade: true,
            remember_upgrade: false,
            try_all_transports: false,
            query: Vec::new(),
            headers: Vec::new(),
            cookies: false,
            timestamp_requests: true,
            timeout: Duration::from_secs(20),
            request_timeout: None,
            max_post_packet_count: 16,
            upgrade_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            reconnection: true,
            reconnection_attempts: None,
            reconnection_delay: Duration::from_secs(1),
            reconnection_delay_max: Duration::from_secs(5),
            randomization_factor: 0.5,
            ack_timeout: None,
            retries: None,
            max_buffer_count: 10_000,
            max_buffer_len: 4 << 20,
            buffer_policy: BufferPolicy::default(),
            max_stream_count: 4096,
            max_payload_len: 10_000_000,
            max_attachment_count: 10,
            max_attachments_len: 10_000_000,
            attachment_timeout: Duration::from_secs(30),
            deflate: Some(deflate::Config::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_slash_at_each_end() {
        let path = |path: &str, add_trailing_slash| {
            Config { path: path.into(), add_trailing_slash, ..Config::default() }.full_path()
        };
        for given in ["/socket.io", "/socket.io/", "socket.io", "socket.io//"] {
            assert_eq!(path(given, true), "/socket.io/");
            assert_eq!(path(given, false), "/socket.io");
        }
        assert_eq!(path("/", true), "/");
    }

    #[test]
    fn options_that_cannot_be_are_refused() {
        assert!(Config::default().check().is_ok());
        for config in [
            Config { transports: Vec::new(), ..Config::default() },
            Config { randomization_factor: 1.5, ..Config::default() },
            Config { randomization_factor: f64::NAN, ..Config::default() },
            Config { reconnection_delay_max: Duration::ZERO, ..Config::default() },
        ] {
            assert!(matches!(config.check(), Err(BuildError::Config(_))));
        }
    }
}
