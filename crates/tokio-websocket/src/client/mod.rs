//! Connecting: from a URL to an open WebSocket (RFC 6455 §4.1).
//!
//! ```text
//! URL ─► Target ─► TCP ─► [TLS to the proxy] ─► [CONNECT or SOCKS5] ─► [TLS] ─► opening handshake ─► WebSocket
//!                   └────────────────────────── one deadline ──────────────────────────────────┘
//! ```
//! Everything happens in the future that the caller polls: dropping it closes the socket, and no task is left.

mod connector;
mod head;
mod proxy;
mod refusal;
mod stream;
mod target;
#[cfg(feature = "tls")]
mod tls;

pub use connector::{Connector, connect};
pub use proxy::{Proxy, ProxyError, SocksReply};
pub use refusal::Refusal;
pub use stream::ClientStream;
