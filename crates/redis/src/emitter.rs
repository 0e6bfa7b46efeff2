//! Events from processes that are no servers.

use sockeye_adapter::{
    BroadcastOptions, Payload, Room,
    cluster::{Body, Message, MessageError},
};
use sockeye_socketio::{EncodeError, EventArgs};
use std::{fmt, sync::Arc};

use crate::{
    Redis, StreamsConfig,
    pub_sub::{Channels, encode_broadcast, encode_request},
    streams::add,
};

/// The id under which emitters send, so that servers do not take them for one of theirs.
const UID: &str = "emitter";

/// Sends to the clients of all servers, and to the servers, from a process that is none of them: a job, a script, another service.
/// Cloning it is cheap.
///
/// Methods that narrow the selection down give another emitter and leave this one as it is.
///
/// ```no_run
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use sockeye_redis::Redis;
///
/// let redis = Redis::connect("redis://127.0.0.1/").await?;
/// let emitter = redis.emitter();
/// emitter.emit("time", 17)?;
/// emitter.of("/chat").to("room 1").except("quiet").emit("news", ("hello", vec![1, 2]))?;
/// emitter.to("room 1").disconnect_sockets(true)?;
/// redis.flush().await?; // before the process ends
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "nothing happens until `emit` or another operation"]
pub struct Emitter {
    redis: Redis,
    /// `None` for pub/sub.
    stream: Option<Arc<StreamsConfig>>,
    namespace: Arc<str>,
    options: BroadcastOptions,
}

impl Redis {
    /// An emitter for servers with [`pub_sub`](Self::pub_sub) or Node.js's `createAdapter`, as `@socket.io/redis-emitter` is.
    pub fn emitter(&self) -> Emitter {
        self.emitter_over(None)
    }

    /// An emitter for servers with [`streams`](Self::streams) or Node.js's `@socket.io/redis-streams-adapter`. Clients that are away
    /// recover its events as well.
    pub fn streams_emitter(&self, config: StreamsConfig) -> Emitter {
        self.emitter_over(Some(Arc::new(config)))
    }

    fn emitter_over(&self, stream: Option<Arc<StreamsConfig>>) -> Emitter {
        let options = BroadcastOptions::default();
        Emitter { redis: self.clone(), stream, namespace: "/".into(), options }
    }
}

impl Emitter {
    /// The emitter of a namespace, with everything selected.
    pub fn of(&self, namespace: &str) -> Self {
        let slash = if namespace.starts_with('/') { "" } else { "/" };
        let namespace = format!("{slash}{namespace}").into();
        Self { namespace, options: BroadcastOptions::default(), ..self.clone() }
    }

    fn with(&self, change: impl FnOnce(&mut BroadcastOptions)) -> Self {
        let mut emitter = self.clone();
        change(&mut emitter.options);
        emitter
    }

    /// Adds a room: sockets in any of the rooms are meant, each once.
    pub fn to(&self, room: impl Into<Room>) -> Self {
        self.with(|options| options.rooms.push(room.into()))
    }

    /// The same as [`to`](Self::to): Socket.IO's `in`.
    pub fn within(&self, room: impl Into<Room>) -> Self {
        self.to(room)
    }

    /// Leaves out sockets in a room, even if they are in a room that is meant.
    pub fn except(&self, room: impl Into<Room>) -> Self {
        self.with(|options| options.except.push(room.into()))
    }

    /// Sockets that cannot take the event at this instant miss it.
    pub fn volatile(&self) -> Self {
        self.with(|options| options.volatile = true)
    }

    /// Whether the event may be compressed, for clients that negotiated that. Default yes.
    pub fn compress(&self, compress: bool) -> Self {
        self.with(|options| options.uncompressed = !compress)
    }

    /// Sends an event to the selected clients. It never waits: see [`Redis::flush`].
    ///
    /// # Errors
    /// When the name is reserved, or an argument cannot be serialized.
    pub fn emit<A: EventArgs>(&self, event: &str, args: A) -> Result<(), EmitError> {
        let event = Payload::event(event, &args)?;
        self.send(Body::Broadcast { event, options: self.options.clone(), request_id: None })
    }

    /// Makes the selected sockets join a room.
    ///
    /// # Errors
    /// None that is known.
    pub fn sockets_join(&self, room: impl Into<Room>) -> Result<(), EmitError> {
        self.send(Body::SocketsJoin { options: self.options.clone(), rooms: vec![room.into()] })
    }

    /// Makes the selected sockets leave a room.
    ///
    /// # Errors
    /// None that is known.
    pub fn sockets_leave(&self, room: impl Into<Room>) -> Result<(), EmitError> {
        self.send(Body::SocketsLeave { options: self.options.clone(), rooms: vec![room.into()] })
    }

    /// Disconnects the selected sockets; with `close` their whole connections.
    ///
    /// # Errors
    /// None that is known.
    pub fn disconnect_sockets(&self, close: bool) -> Result<(), EmitError> {
        self.send(Body::DisconnectSockets { options: self.options.clone(), close })
    }

    /// Sends an event to the servers themselves.
    ///
    /// # Errors
    /// When the name is reserved, or an argument cannot be serialized.
    pub fn server_side_emit<A: EventArgs>(&self, event: &str, args: A) -> Result<(), EmitError> {
        self.send(Body::ServerSideEmit { event: Payload::event(event, &args)?, request_id: None })
    }

    fn send(&self, body: Body) -> Result<(), EmitError> {
        match &self.stream {
            Some(config) => {
                let message = Message { uid: UID.into(), nsp: (&*self.namespace).into(), body };
                self.redis.shared.publish(add(config, &message)?);
            }
            None => {
                let channels = Channels::new(&self.redis.config().prefix, &self.namespace);
                let (channel, message) = match &body {
                    Body::Broadcast { event, options, .. } => {
                        (channels.of(options), encode_broadcast(UID, &self.namespace, event, options)?)
                    }
                    body => (channels.request, encode_request(Some(UID), &self.namespace, body)?),
                };
                self.redis.publish("PUBLISH", &channel, &message);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter")
            .field("namespace", &self.namespace)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Why an event cannot be sent. What happens to it afterwards is counted in [`Stats`](crate::Stats).
#[derive(Debug)]
#[non_exhaustive]
pub enum EmitError {
    /// The name or the arguments do not make an event.
    Encode(EncodeError),
    /// The message cannot be written.
    Message(MessageError),
}

impl From<EncodeError> for EmitError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl From<MessageError> for EmitError {
    fn from(error: MessageError) -> Self {
        Self::Message(error)
    }
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(error) => fmt::Display::fmt(error, f),
            Self::Message(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for EmitError {}
