//! Options of a server.

use std::time::Duration;

use sockeye_engineio::{Revision, SessionConfig, TransportSet};
use sockeye_socketio::Parser;
use sockeye_tokio_websocket::deflate;

use crate::{ConnectionStateRecovery, Cookie, HttpCompression, RateLimit, engine::Message};

/// The options of a server, with the defaults of the official one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Where the server answers. Default `/socket.io`. Requests are matched with and without a trailing slash.
    pub path: String,
    /// The transports that clients may use. Default: polling and WebSocket.
    pub transports: TransportSet,
    /// Whether a session on polling is told that it can upgrade to WebSocket. Default yes.
    pub allow_upgrades: bool,
    /// How often the server pings. Default 25 s.
    pub ping_interval: Duration,
    /// How long a client may take to answer a ping. Default 20 s; then the session closes with `ping timeout`.
    pub ping_timeout: Duration,
    /// How long a WebSocket may take for the upgrade. Default 10 s; then it is closed and the session stays on
    /// polling.
    pub upgrade_timeout: Duration,
    /// The longest message or POST body in bytes. Default 1,000,000. Above it a WebSocket is closed with 1009, and
    /// a POST is answered 413.
    pub max_payload_len: usize,
    /// Whether compression of WebSocket messages (permessage-deflate) is negotiated, and how. Default no, as in the
    /// official server: it costs some 10 µs per KiB. Messages from its
    /// [`threshold`](deflate::Config::threshold) on are compressed, 1024 bytes by default, and a broadcast once for all.
    /// Unless it says otherwise no context is kept, so that an idle connection holds no memory for it.
    pub per_message_deflate: Option<deflate::Config>,
    /// Whether long answers to polls are compressed for clients that accept gzip or deflate, and how. Default yes, from
    /// 1024 bytes on. What is sent with `compress(false)` alone is not.
    pub http_compression: Option<HttpCompression>,
    /// Whether clients of Engine.IO 3 and so of Socket.IO 2 are let in. Default no: they are refused with code 5. A
    /// Socket.IO 2 client is in the namespace `/` from the start, and cannot recover its connection.
    pub allow_eio3: bool,
    /// Whether clients may poll by JSONP, in which answers are scripts. Default yes, as in the official server; no once
    /// there is a rule about origins, for pages do not tell theirs with it. A server that knows its users by cookies
    /// should turn it off if it has no such rule.
    pub jsonp: bool,
    /// The cookie that the answer to a polling handshake sets, for load balancers. Default none.
    pub cookie: Option<Cookie>,
    /// A message that every client gets first, in front of everything else. Default none. A Socket.IO client takes it for
    /// a packet of Socket.IO.
    pub initial_packet: Option<Message>,
    /// The form of the packets, which the clients must know. Default: JSON, as theirs.
    pub parser: Parser,
    /// Whether clients that lose their connection can come back, see
    /// [`Builder::connection_state_recovery`](crate::Builder::connection_state_recovery). Default no.
    pub connection_state_recovery: Option<ConnectionStateRecovery>,
    /// How long a client may stay connected without joining a namespace. Default 45 s; then the connection closes.
    pub connect_timeout: Duration,
    /// The most binary attachments of one packet. Default 10. Above it the connection closes.
    pub max_attachment_count: usize,
    /// The most bytes that the attachments of one packet may have together. Default 10,000,000. Above it the
    /// connection closes.
    pub max_attachments_len: usize,
    /// How long the attachments of a packet may take to arrive. Default 30 s; then the connection closes.
    pub attachment_timeout: Duration,
    /// The most namespaces that one connection may join. Default 32. Above it: CONNECT_ERROR.
    pub max_namespace_count: usize,
    /// How often one connection may ask for a namespace, whether it gets it or not. Default 10 times a second on average, and 100
    /// times at once. Above it: CONNECT_ERROR, or the connection closes, see [`Excess`](crate::Excess).
    pub connect_rate_limit: Option<RateLimit>,
    /// How many events of one connection may be pending: their handlers wait for something, or they wait for middleware or for
    /// their [turn](crate::Namespace::set_sequential). Default 10,000. At the limit an event is refused with `too many events`, as
    /// [middleware](crate::Socket::middleware) refuses.
    pub max_pending_event_count: usize,
    /// Whether a child of a [dynamic namespace](crate::Io::of_dynamic) goes when nobody needs it any more: no socket is in it, and
    /// nobody holds its [`Namespace`](crate::Namespace). Default yes, unlike the official server: clients choose the names, so what they
    /// leave behind would stay for ever. Children that [`Io::of`](crate::Io::of) was asked for always stay.
    pub cleanup_empty_child_namespaces: bool,
    /// The most children of one [dynamic namespace](crate::Io::of_dynamic). Default 10,000. Above it: CONNECT_ERROR.
    pub max_child_namespace_count: usize,
    /// The longest name of a namespace in bytes. Default 4096. Above it the connection closes.
    pub max_namespace_len: usize,
    /// The most rooms that a socket may be in, besides that of its own id. Default 10,000. At the limit
    /// [`Socket::join`](crate::Socket::join) does nothing, and a warning is logged.
    pub max_room_count: usize,
    /// The longest name of a room in bytes. Default 1024. Sockets do not join a room of a longer name, and a warning is logged.
    pub max_room_len: usize,
    /// The longest name of an event that a client may send, in bytes. Default 1024. Above it the connection closes.
    pub max_event_len: usize,
    /// How many acknowledgements a socket may owe. Default 10,000. Above it
    /// [`Socket::emit_with_ack`](crate::Socket::emit_with_ack) fails with
    /// [`EmitError::TooManyAcks`](crate::EmitError::TooManyAcks): clients need not answer, and without a timeout every question
    /// waits until they are gone.
    pub max_ack_count: usize,
    /// How many bytes of a client's messages may wait to be received from a [`Session`](crate::engine::Session), of Engine.IO
    /// without Socket.IO. Default 1,000,000; the message that exceeds it is taken. Then the client is not read until there
    /// is room again.
    pub max_inbox_len: usize,
    /// How many bytes may wait to be sent to one client. Default 4 MiB. A client for which more would have to wait
    /// is disconnected with `transport error`: it reads too slowly for what it is sent. It has to hold the largest burst
    /// of events that is emitted at once, and a few of the largest single ones.
    pub max_queue_len: usize,
    /// What happens to an event for which that queue has no room. Default: the client is disconnected. Single sockets can differ:
    /// [`Socket::set_slow_consumer`](crate::Socket::set_slow_consumer).
    pub slow_consumer: SlowConsumer,
}

/// The options that the sockets of a namespace look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SocketLimits {
    pub(crate) slow_consumer: SlowConsumer,
    pub(crate) max_room_count: usize,
    pub(crate) max_room_len: usize,
    pub(crate) max_ack_count: usize,
}

impl SocketLimits {
    /// Whether a socket that is in so many rooms may join another one.
    pub(crate) const fn fits(&self, room_count: usize, room: &str) -> bool {
        room_count < self.max_room_count && room.len() <= self.max_room_len
    }
}

impl From<&Config> for SocketLimits {
    fn from(config: &Config) -> Self {
        Self {
            slow_consumer: config.slow_consumer,
            max_room_count: config.max_room_count,
            max_room_len: config.max_room_len,
            max_ack_count: config.max_ack_count,
        }
    }
}

/// What happens to an event for which the queue of its client has no room. A third way is to wait, see
/// [`WaitingEmitter`](crate::WaitingEmitter).
///
/// Whatever it is, a client that does not read holds up nothing but itself, and ends with `ping timeout`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlowConsumer {
    /// The client is disconnected with `transport error`; what waits for it is freed.
    #[default]
    Disconnect,
    /// The event is dropped, and [counted](crate::Socket::dropped_count): the client keeps what it has not read yet and misses
    /// what is new. Who emits to the socket alone gets [`EmitError::QueueFull`](crate::EmitError::QueueFull). Binary events
    /// are dropped whole.
    Drop,
}

impl Config {
    /// How long a message is at least that WebSockets get compressed.
    pub(crate) fn deflate_threshold(&self) -> Option<usize> {
        self.per_message_deflate.map(|deflate| deflate.threshold)
    }

    pub(crate) fn session(&self, revision: Revision) -> SessionConfig {
        SessionConfig {
            ping_interval: self.ping_interval,
            ping_timeout: self.ping_timeout,
            upgrade_timeout: self.upgrade_timeout,
            revision,
            ..SessionConfig::default()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let session = SessionConfig::default();
        Self {
            path: "/socket.io".into(),
            transports: TransportSet::default(),
            allow_upgrades: true,
            ping_interval: session.ping_interval,
            ping_timeout: session.ping_timeout,
            upgrade_timeout: session.upgrade_timeout,
            max_payload_len: 1_000_000,
            per_message_deflate: None,
            http_compression: Some(HttpCompression::default()),
            allow_eio3: false,
            jsonp: true,
            cookie: None,
            initial_packet: None,
            parser: Parser::default(),
            connection_state_recovery: None,
            connect_timeout: Duration::from_secs(45),
            max_attachment_count: 10,
            max_attachments_len: 10_000_000,
            attachment_timeout: Duration::from_secs(30),
            max_namespace_count: 32,
            connect_rate_limit: Some(RateLimit::new(10, Duration::from_secs(1)).burst(100)),
            max_pending_event_count: 10_000,
            cleanup_empty_child_namespaces: true,
            max_child_namespace_count: 10_000,
            max_namespace_len: sockeye_socketio::Limits::default().max_namespace_len,
            max_room_count: 10_000,
            max_room_len: 1024,
            max_event_len: 1024,
            max_ack_count: 10_000,
            max_inbox_len: 1_000_000,
            max_queue_len: 4 << 20,
            slow_consumer: SlowConsumer::default(),
        }
    }
}
