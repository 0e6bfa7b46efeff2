//! Which form packets have on the wire.

/// The form of the packets of a connection, which both sides agree on beforehand: a server has one for all its clients.
///
/// ```
/// assert_eq!(sockeye_socketio::Parser::default(), sockeye_socketio::Parser::Json);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Parser {
    /// Text with JSON, and attachments as messages of their own: what clients use by default.
    #[default]
    Json,
    /// One binary message per packet, see [`msgpack`](crate::msgpack): for clients with `parser: require("socket.io-msgpack-parser")`.
    MsgPack,
}
