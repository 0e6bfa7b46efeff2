//! Options of the connection to Redis.

use std::time::Duration;

/// The options of a connection to Redis, and of everything that goes over it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// What the names of all channels begin with. Default `socket.io`. It is `key` or `channelPrefix` in the official
    /// adapters, and has to be the same on all servers of a cluster.
    pub prefix: String,
    /// How long the other servers may take to answer a request. Default 5 s; then the request ends with an error and the
    /// answers that did come. [`Broadcast::timeout`] goes before it.
    ///
    /// [`Broadcast::timeout`]: https://docs.rs/sockeye/latest/sockeye/struct.Broadcast.html#method.timeout
    pub request_timeout: Duration,
    /// How many bytes of commands may wait to be sent to Redis. Default 16 MiB. They wait while Redis is slow or away. What would
    /// have to wait beyond it is lost, and counted in [`Stats::lost`](crate::Stats::lost); emitting never waits.
    pub max_queue_len: usize,
    /// How many bytes of messages may wait to be handled by this server. Default 64 MiB. Messages that arrive beyond it are dropped,
    /// and counted in [`Stats::dropped`](crate::Stats::dropped); otherwise Redis would close the connection of a
    /// subscriber that reads too slowly, and everything that waits would be lost.
    pub max_backlog_len: usize,
    /// The longest message in bytes that is accepted from the bus. Default 16 MiB. Longer ones are dropped, and counted in
    /// [`Stats::malformed`](crate::Stats::malformed).
    pub max_message_len: usize,
    /// How long Redis may take to accept a connection. Default 5 s.
    pub connect_timeout: Duration,
    /// How long Redis may take to answer a command. Default 10 s; then the connection is given up and made anew. What is shorter
    /// is bridged: nothing is lost.
    pub response_timeout: Duration,
    /// How often an idle connection is probed. Default 5 s. A connection that is gone without a trace is noticed after this and
    /// [`response_timeout`](Self::response_timeout).
    pub ping_interval: Duration,
    /// How long to wait before the first attempt to connect again. Default 50 ms. It doubles with every attempt that fails, and is
    /// shortened at random by up to half, so that the servers of a cluster do not come back all at once.
    pub min_reconnect_delay: Duration,
    /// The longest wait between two attempts. Default 2 s.
    pub max_reconnect_delay: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            prefix: "socket.io".into(),
            request_timeout: Duration::from_secs(5),
            max_queue_len: 16 << 20,
            max_backlog_len: 64 << 20,
            max_message_len: 16 << 20,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(5),
            min_reconnect_delay: Duration::from_millis(50),
            max_reconnect_delay: Duration::from_secs(2),
        }
    }
}
