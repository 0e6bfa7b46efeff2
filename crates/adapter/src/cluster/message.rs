//! What servers tell each other.
//!
//! ```text
//! {"uid": "16 hex digits", "nsp": "/chat", "type": 3, "data": {"packet": …, "opts": …}}
//! ```

use bytestring::ByteString;
use serde::{
    Deserialize, Serialize,
    de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor},
    ser::{SerializeMap, Serializer},
};
use serde_json::value::RawValue;
use std::{error::Error, fmt};

use crate::{BroadcastOptions, Payload, RemoteSocketData, Room, wire::single};

/// A message of a server to others.
///
/// With serde it is the map that the official adapters exchange. As JSON it comes and goes whole; in other formats, where
/// structs must be maps, `type` has to come before `data`.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The id of the server that it comes from; `emitter` for a process that is none.
    pub uid: ByteString,
    /// The namespace.
    pub nsp: ByteString,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Body {
    /// A server is new, and asks the others to show themselves.
    InitialHeartbeat,
    /// A server is still there.
    Heartbeat,
    /// An event for clients. With a request id, their answers are wanted.
    Broadcast {
        /// Its name and arguments.
        event: Payload,
        /// Whom it is for.
        options: BroadcastOptions,
        /// Where the answers belong.
        request_id: Option<String>,
    },
    /// Sockets join rooms.
    SocketsJoin {
        /// Which sockets.
        options: BroadcastOptions,
        /// Which rooms.
        rooms: Vec<Room>,
    },
    /// Sockets leave rooms.
    SocketsLeave {
        /// Which sockets.
        options: BroadcastOptions,
        /// Which rooms.
        rooms: Vec<Room>,
    },
    /// Sockets are disconnected.
    DisconnectSockets {
        /// Which sockets.
        options: BroadcastOptions,
        /// Whether their whole connections are closed.
        close: bool,
    },
    /// Asks for sockets.
    FetchSockets {
        /// Which sockets.
        options: BroadcastOptions,
        /// Where the answer belongs.
        request_id: String,
    },
    /// The sockets that were asked for.
    FetchSocketsResponse {
        /// The request.
        request_id: String,
        /// Those of one server.
        sockets: Vec<RemoteSocketData>,
    },
    /// An event for the servers. With a request id, their answers are wanted.
    ServerSideEmit {
        /// Its name and arguments.
        event: Payload,
        /// Where the answer belongs.
        request_id: Option<String>,
    },
    /// The answer of one server to an event.
    ServerSideEmitResponse {
        /// The request.
        request_id: String,
        /// The answer, one argument or none.
        answer: Payload,
    },
    /// To how many clients one server sent an event.
    BroadcastClientCount {
        /// The request.
        request_id: String,
        /// How many.
        client_count: usize,
    },
    /// The answer of one client to an event.
    BroadcastAck {
        /// The request.
        request_id: String,
        /// The answer, one argument or none.
        answer: Payload,
    },
    /// A server leaves.
    AdapterClose,
}

/// The data of the types of messages, as they are on the wire.
mod data {
    use super::*;

    #[derive(Serialize, Deserialize)]
    pub(super) struct Packet {
        #[serde(rename = "type", default = "event_type")]
        packet_type: u8,
        pub(super) data: Payload,
    }

    fn event_type() -> u8 {
        2
    }

    impl Packet {
        pub(super) fn new(data: &Payload) -> Self {
            Self { packet_type: event_type(), data: data.clone() }
        }

        /// Whether it is an event at all.
        pub(super) const fn is_event(&self) -> bool {
            matches!(self.packet_type, 2 | 5)
        }
    }

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Broadcast {
        pub(super) packet: Packet,
        pub(super) opts: BroadcastOptions,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub(super) request_id: Option<String>,
    }

    #[derive(Serialize, Deserialize)]
    pub(super) struct Rooms {
        pub(super) opts: BroadcastOptions,
        pub(super) rooms: Vec<Room>,
    }

    #[derive(Serialize, Deserialize)]
    pub(super) struct Disconnect {
        pub(super) opts: BroadcastOptions,
        #[serde(default)]
        pub(super) close: Option<bool>,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Fetch {
        pub(super) opts: BroadcastOptions,
        pub(super) request_id: String,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Fetched {
        pub(super) request_id: String,
        pub(super) sockets: Vec<RemoteSocketData>,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct ServerEvent {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub(super) request_id: Option<String>,
        pub(super) packet: Payload,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Answer {
        pub(super) request_id: String,
        #[serde(with = "single", default, skip_serializing_if = "single::is_absent")]
        pub(super) packet: Payload,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct ClientCount {
        pub(super) request_id: String,
        pub(super) client_count: usize,
    }
}

impl Body {
    /// The number of its type.
    pub const fn type_number(&self) -> u8 {
        match self {
            Self::InitialHeartbeat => 1,
            Self::Heartbeat => 2,
            Self::Broadcast { .. } => 3,
            Self::SocketsJoin { .. } => 4,
            Self::SocketsLeave { .. } => 5,
            Self::DisconnectSockets { .. } => 6,
            Self::FetchSockets { .. } => 7,
            Self::FetchSocketsResponse { .. } => 8,
            Self::ServerSideEmit { .. } => 9,
            Self::ServerSideEmitResponse { .. } => 10,
            Self::BroadcastClientCount { .. } => 11,
            Self::BroadcastAck { .. } => 12,
            Self::AdapterClose => 13,
        }
    }

    /// Whether it carries bytes, for which JSON has no place.
    pub fn has_binary(&self) -> bool {
        match self {
            Self::Broadcast { event, .. } | Self::ServerSideEmit { event, .. } => {
                !event.attachments().is_empty()
            }
            Self::ServerSideEmitResponse { answer, .. } | Self::BroadcastAck { answer, .. } => {
                !answer.attachments().is_empty()
            }
            _ => false,
        }
    }

    /// Its data alone, for buses that keep the parts of a message apart; `None` where there is none.
    pub fn data(&self) -> Option<impl Serialize + '_> {
        self.has_data().then_some(Data(self))
    }

    const fn has_data(&self) -> bool {
        !matches!(self, Self::InitialHeartbeat | Self::Heartbeat | Self::AdapterClose)
    }

    /// Puts the parts of a message together that a bus keeps apart.
    ///
    /// # Errors
    /// When the data is not what this type of message has.
    pub fn from_data<'de, D: Deserializer<'de>>(type_number: u8, data: D) -> Result<Self, D::Error> {
        Ok(match type_number {
            3 => {
                let data::Broadcast { packet, opts, request_id } = Deserialize::deserialize(data)?;
                if !packet.is_event() {
                    return Err(de::Error::custom("a broadcast that is no event"));
                }
                Self::Broadcast { event: packet.data, options: opts, request_id }
            }
            4 => {
                let data::Rooms { opts, rooms } = Deserialize::deserialize(data)?;
                Self::SocketsJoin { options: opts, rooms }
            }
            5 => {
                let data::Rooms { opts, rooms } = Deserialize::deserialize(data)?;
                Self::SocketsLeave { options: opts, rooms }
            }
            6 => {
                let data::Disconnect { opts, close } = Deserialize::deserialize(data)?;
                Self::DisconnectSockets { options: opts, close: close.unwrap_or_default() }
            }
            7 => {
                let data::Fetch { opts, request_id } = Deserialize::deserialize(data)?;
                Self::FetchSockets { options: opts, request_id }
            }
            8 => {
                let data::Fetched { request_id, sockets } = Deserialize::deserialize(data)?;
                Self::FetchSocketsResponse { request_id, sockets }
            }
            9 => {
                let data::ServerEvent { packet, request_id } = Deserialize::deserialize(data)?;
                Self::ServerSideEmit { event: packet, request_id }
            }
            10 => {
                let data::Answer { request_id, packet } = Deserialize::deserialize(data)?;
                Self::ServerSideEmitResponse { request_id, answer: packet }
            }
            11 => {
                let data::ClientCount { request_id, client_count } = Deserialize::deserialize(data)?;
                Self::BroadcastClientCount { request_id, client_count }
            }
            12 => {
                let data::Answer { request_id, packet } = Deserialize::deserialize(data)?;
                Self::BroadcastAck { request_id, answer: packet }
            }
            _ => {
                IgnoredAny::deserialize(data)?;
                Self::without_data(type_number).ok_or_else(|| de::Error::custom("unknown type of message"))?
            }
        })
    }

    /// As [`from_data`](Self::from_data), of JSON or, with the feature `msgpack`, msgpack: it is the former when it begins with a
    /// brace, and absent when empty.
    ///
    /// # Errors
    /// When the data is not what this type of message has, or is nested deeper than 127 levels.
    pub fn from_data_bytes(type_number: u8, data: &[u8]) -> Result<Self, MessageError> {
        match data.first() {
            None => {
                Self::without_data(type_number).ok_or_else(|| MessageError::new("a message without data"))
            }
            Some(b'{') => {
                let mut json = serde_json::Deserializer::from_slice(data);
                Self::from_data(type_number, &mut json)
                    .and_then(|body| json.end().map(|()| body))
                    .map_err(|error| MessageError(error.to_string()))
            }
            #[cfg(feature = "msgpack")]
            Some(_) => {
                let mut msgpack = msgpack_deserializer(data);
                Self::from_data(type_number, &mut msgpack).map_err(|error| MessageError(error.to_string()))
            }
            #[cfg(not(feature = "msgpack"))]
            Some(_) => Err(MessageError::new("not JSON, and the feature msgpack is off")),
        }
    }

    /// A message that has no data.
    pub const fn without_data(type_number: u8) -> Option<Self> {
        match type_number {
            1 => Some(Self::InitialHeartbeat),
            2 => Some(Self::Heartbeat),
            13 => Some(Self::AdapterClose),
            _ => None,
        }
    }
}

/// The data of a message.
struct Data<'a>(&'a Body);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.clone() {
            Body::InitialHeartbeat | Body::Heartbeat | Body::AdapterClose => serializer.serialize_unit(),
            Body::Broadcast { event, options, request_id } => {
                data::Broadcast { packet: data::Packet::new(&event), opts: options, request_id }
                    .serialize(serializer)
            }
            Body::SocketsJoin { options, rooms } | Body::SocketsLeave { options, rooms } => {
                data::Rooms { opts: options, rooms }.serialize(serializer)
            }
            Body::DisconnectSockets { options, close } => {
                data::Disconnect { opts: options, close: Some(close) }.serialize(serializer)
            }
            Body::FetchSockets { options, request_id } => {
                data::Fetch { opts: options, request_id }.serialize(serializer)
            }
            Body::FetchSocketsResponse { request_id, sockets } => {
                data::Fetched { request_id, sockets }.serialize(serializer)
            }
            Body::ServerSideEmit { event, request_id } => {
                data::ServerEvent { packet: event, request_id }.serialize(serializer)
            }
            Body::ServerSideEmitResponse { request_id, answer }
            | Body::BroadcastAck { request_id, answer } => {
                data::Answer { request_id, packet: answer }.serialize(serializer)
            }
            Body::BroadcastClientCount { request_id, client_count } => {
                data::ClientCount { request_id, client_count }.serialize(serializer)
            }
        }
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3 + usize::from(self.body.has_data())))?;
        map.serialize_entry("uid", &*self.uid)?;
        map.serialize_entry("nsp", &*self.nsp)?;
        map.serialize_entry("type", &self.body.type_number())?;
        if let Some(data) = self.body.data() {
            map.serialize_entry("data", &data)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return deserializer.deserialize_map(MessageVisitor);
        }
        #[derive(Deserialize)]
        struct Parts {
            #[serde(default)]
            uid: Option<String>,
            nsp: String,
            #[serde(rename = "type")]
            type_number: u8,
            #[serde(default)]
            data: Option<Box<RawValue>>,
        }
        let Parts { uid, nsp, type_number, data } = Parts::deserialize(deserializer)?;
        let data = data.as_ref().map_or("null", |data| data.get());
        let body = Body::from_data(type_number, &mut serde_json::Deserializer::from_str(data));
        let body = body.map_err(de::Error::custom)?;
        Ok(Self { uid: uid.unwrap_or_default().into(), nsp: nsp.into(), body })
    }
}

struct MessageVisitor;

impl<'de> Visitor<'de> for MessageVisitor {
    type Value = Message;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message between servers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message, A::Error> {
        let (mut uid, mut nsp, mut type_number, mut body) = (None::<String>, None::<String>, None, None);
        while let Some(key) = map.next_key::<String>()? {
            match &*key {
                "uid" => uid = map.next_value()?,
                "nsp" => nsp = map.next_value()?,
                "type" => type_number = Some(map.next_value()?),
                "data" => match type_number {
                    Some(number) => body = Some(map.next_value_seed(DataSeed(number))?),
                    None => return Err(de::Error::custom("the type of a message has to precede its data")),
                },
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        let number = type_number.ok_or_else(|| de::Error::missing_field("type"))?;
        let body =
            body.or_else(|| Body::without_data(number)).ok_or_else(|| de::Error::missing_field("data"))?;
        let nsp = nsp.ok_or_else(|| de::Error::missing_field("nsp"))?;
        Ok(Message { uid: uid.unwrap_or_default().into(), nsp: nsp.into(), body })
    }
}

struct DataSeed(u8);

impl<'de> DeserializeSeed<'de> for DataSeed {
    type Value = Body;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Body, D::Error> {
        Body::from_data(self.0, deserializer)
    }
}

impl Message {
    /// The message as JSON, as the official adapters write one without bytes.
    ///
    /// # Errors
    /// When it [has binary data](Body::has_binary).
    pub fn to_json(&self) -> Result<String, MessageError> {
        if self.body.has_binary() {
            return Err(MessageError("binary data does not fit into JSON".into()));
        }
        serde_json::to_string(self).map_err(|error| MessageError(error.to_string()))
    }

    /// Reads a message, JSON or, with the feature `msgpack`, msgpack: it is the former when it begins with a brace.
    ///
    /// # Errors
    /// When it is none, of an unknown type, or nested deeper than 127 levels.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.first() == Some(&b'{') {
            return serde_json::from_slice(bytes).map_err(|error| MessageError(error.to_string()));
        }
        #[cfg(feature = "msgpack")]
        return from_msgpack(bytes);
        #[cfg(not(feature = "msgpack"))]
        Err(MessageError("not JSON, and the feature msgpack is off".into()))
    }

    /// The message as msgpack.
    ///
    /// # Errors
    /// None that is known; it is not `unwrap`ped for you.
    #[cfg(feature = "msgpack")]
    pub fn to_msgpack(&self) -> Result<Vec<u8>, MessageError> {
        to_msgpack(self)
    }
}

/// Any value as msgpack that JavaScript can read: structs are maps.
///
/// # Errors
/// When a value cannot be serialized.
#[cfg(feature = "msgpack")]
pub fn to_msgpack<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, MessageError> {
    let mut bytes = Vec::new();
    let mut serializer = rmp_serde::Serializer::new(&mut bytes).with_struct_map();
    value.serialize(&mut serializer).map_err(|error| MessageError(error.to_string()))?;
    Ok(bytes)
}

/// Reads msgpack that nobody vouches for: nested 127 levels deep at most.
///
/// # Errors
/// When it is broken, or of another type.
#[cfg(feature = "msgpack")]
pub fn from_msgpack<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, MessageError> {
    T::deserialize(&mut msgpack_deserializer(bytes)).map_err(|error| MessageError(error.to_string()))
}

#[cfg(feature = "msgpack")]
fn msgpack_deserializer(bytes: &[u8]) -> rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'_, [u8]>> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(127);
    deserializer
}

/// Why a message between servers cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageError(String);

impl MessageError {
    /// An error that says this, for buses with a format of their own.
    pub fn new(what: &str) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for MessageError {}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
