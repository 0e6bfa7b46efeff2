//! The messages of the classic adapter, which are older than those of all others.
//!
//! ```text
//! [uid, {type: 2, data: [name, …], nsp}, {rooms, except, flags}]     a broadcast
//! {uid, requestId, type: 5, opts: {rooms, except}}                   a request
//! {requestId, sockets: [{id, handshake, rooms, data}]}               the answer to it
//! ```

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::Deserializer};
use sockeye_adapter::{
    BroadcastOptions, Payload, RemoteSocketData, Room, SocketId,
    cluster::{Body, MessageError, from_msgpack, single, to_msgpack},
};

/// The types of requests and of some answers.
mod request {
    pub(super) const SOCKETS: u8 = 0;
    pub(super) const ALL_ROOMS: u8 = 1;
    pub(super) const REMOTE_JOIN: u8 = 2;
    pub(super) const REMOTE_LEAVE: u8 = 3;
    pub(super) const REMOTE_DISCONNECT: u8 = 4;
    pub(super) const REMOTE_FETCH: u8 = 5;
    pub(super) const SERVER_SIDE_EMIT: u8 = 6;
    pub(super) const BROADCAST: u8 = 7;
    pub(super) const BROADCAST_CLIENT_COUNT: u8 = 8;
    pub(super) const BROADCAST_ACK: u8 = 9;
}

/// The type of an event packet.
const EVENT: u8 = 2;

/// The channels of a namespace.
#[derive(Debug, Clone)]
pub(crate) struct Channels {
    pub(crate) broadcast: String,
    pub(crate) request: String,
    pub(crate) response: String,
}

impl Channels {
    pub(crate) fn new(prefix: &str, namespace: &str) -> Self {
        Self {
            broadcast: format!("{prefix}#{namespace}#"),
            request: format!("{prefix}-request#{namespace}#"),
            response: format!("{prefix}-response#{namespace}#"),
        }
    }

    /// Where a broadcast goes.
    pub(crate) fn of(&self, options: &BroadcastOptions) -> String {
        match &*options.rooms {
            [room] => format!("{}{room}#", self.broadcast),
            _ => self.broadcast.clone(),
        }
    }

    /// Where a server listens for answers, which may be all servers.
    pub(crate) fn response_to(&self, uid: &str) -> String {
        if uid.is_empty() { self.response.clone() } else { format!("{}{uid}#", self.response) }
    }
}

/// A pattern of Redis that means the text itself.
pub(super) fn glob_escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[derive(Serialize)]
struct Packet<'a> {
    #[serde(rename = "type")]
    packet_type: u8,
    data: &'a Payload,
    nsp: &'a str,
}

#[derive(Deserialize)]
struct ReceivedPacket {
    #[serde(rename = "type", default)]
    packet_type: Option<u8>,
    data: Payload,
    #[serde(default)]
    nsp: Option<String>,
}

impl ReceivedPacket {
    fn into_event(self) -> Result<Payload, MessageError> {
        match self.packet_type {
            None | Some(EVENT | 5) if self.data.to_event().is_ok() => Ok(self.data),
            _ => Err(MessageError::new("a broadcast that is no event")),
        }
    }
}

/// A broadcast that arrived.
#[derive(Debug)]
pub(super) struct Broadcast {
    pub(super) uid: String,
    pub(super) namespace: String,
    pub(super) event: Payload,
    pub(super) options: BroadcastOptions,
}

pub(crate) fn encode_broadcast(
    uid: &str,
    namespace: &str,
    event: &Payload,
    options: &BroadcastOptions,
) -> Result<Vec<u8>, MessageError> {
    to_msgpack(&(uid, Packet { packet_type: EVENT, data: event, nsp: namespace }, options))
}

pub(super) fn decode_broadcast(message: &[u8]) -> Result<Broadcast, MessageError> {
    let (uid, packet, options): (String, ReceivedPacket, BroadcastOptions) = from_msgpack(message)?;
    let namespace = packet.nsp.clone().unwrap_or_else(|| "/".into());
    Ok(Broadcast { uid, namespace, event: packet.into_event()?, options })
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Outgoing<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(rename = "type")]
    request_type: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<Packet<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opts: Option<&'a BroadcastOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<&'a [Room]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    close: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Payload>,
}

/// Everything that is not a broadcast without answers. An emitter has no `uid` in some of its requests.
pub(crate) fn encode_request(
    uid: Option<&str>,
    namespace: &str,
    body: &Body,
) -> Result<Vec<u8>, MessageError> {
    let outgoing = Outgoing { uid, ..Outgoing::default() };
    let outgoing = match body {
        Body::Broadcast { event, options, request_id } => Outgoing {
            request_type: request::BROADCAST,
            request_id: request_id.as_deref(),
            packet: Some(Packet { packet_type: EVENT, data: event, nsp: namespace }),
            opts: Some(options),
            ..outgoing
        },
        Body::SocketsJoin { options, rooms } => Outgoing {
            request_type: request::REMOTE_JOIN,
            opts: Some(options),
            rooms: Some(rooms),
            ..outgoing
        },
        Body::SocketsLeave { options, rooms } => Outgoing {
            request_type: request::REMOTE_LEAVE,
            opts: Some(options),
            rooms: Some(rooms),
            ..outgoing
        },
        Body::DisconnectSockets { options, close } => Outgoing {
            request_type: request::REMOTE_DISCONNECT,
            opts: Some(options),
            close: Some(*close),
            ..outgoing
        },
        Body::FetchSockets { options, request_id } => Outgoing {
            request_type: request::REMOTE_FETCH,
            request_id: Some(request_id),
            opts: Some(options),
            ..outgoing
        },
        Body::ServerSideEmit { event, request_id } => Outgoing {
            request_type: request::SERVER_SIDE_EMIT,
            request_id: request_id.as_deref(),
            data: Some(event),
            ..outgoing
        },
        _ => return Err(MessageError::new("the classic adapter has no such request")),
    };
    // The official adapter sends these as msgpack always.
    if body.has_binary() || outgoing.packet.is_some() { to_msgpack(&outgoing) } else { to_json(&outgoing) }
}

/// A request that arrived.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Incoming {
    #[serde(default)]
    pub(super) uid: Option<String>,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(rename = "type")]
    request_type: u8,
    #[serde(default)]
    packet: Option<IncomingPacket>,
    #[serde(default)]
    opts: Option<BroadcastOptions>,
    #[serde(default)]
    rooms: Option<Vec<Room>>,
    #[serde(default)]
    close: Option<bool>,
    #[serde(default)]
    data: Option<Payload>,
}

/// So that `Incoming` can be shown.
#[derive(Debug)]
struct IncomingPacket(Payload);

impl<'de> Deserialize<'de> for IncomingPacket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let packet = ReceivedPacket::deserialize(deserializer)?;
        packet.into_event().map(Self).map_err(serde::de::Error::custom)
    }
}

/// What a request asks for.
#[derive(Debug)]
pub(super) enum Request {
    Operation(Body),
    Sockets { options: BroadcastOptions, request_id: String },
    AllRooms { request_id: String },
}

pub(super) fn decode_request(message: &Bytes) -> Result<Incoming, MessageError> {
    decode(message)
}

impl Incoming {
    pub(super) fn into_body(self) -> Result<Request, MessageError> {
        let missing = |name: &str| MessageError::new(&format!("a request without {name}"));
        let options = self.opts;
        let options = || options.ok_or_else(|| missing("opts"));
        let (request_id, rooms) = (self.request_id, self.rooms);
        Ok(Request::Operation(match self.request_type {
            request::SOCKETS => {
                let request_id = request_id.ok_or_else(|| missing("requestId"))?;
                let options = BroadcastOptions { rooms: rooms.unwrap_or_default(), ..Default::default() };
                return Ok(Request::Sockets { options, request_id });
            }
            request::ALL_ROOMS => {
                let request_id = request_id.ok_or_else(|| missing("requestId"))?;
                return Ok(Request::AllRooms { request_id });
            }
            request::REMOTE_JOIN => {
                Body::SocketsJoin { options: options()?, rooms: rooms.ok_or_else(|| missing("rooms"))? }
            }
            request::REMOTE_LEAVE => {
                Body::SocketsLeave { options: options()?, rooms: rooms.ok_or_else(|| missing("rooms"))? }
            }
            request::REMOTE_DISCONNECT => {
                Body::DisconnectSockets { options: options()?, close: self.close.unwrap_or_default() }
            }
            request::REMOTE_FETCH => Body::FetchSockets {
                options: options()?,
                request_id: request_id.ok_or_else(|| missing("requestId"))?,
            },
            request::SERVER_SIDE_EMIT => {
                Body::ServerSideEmit { event: self.data.ok_or_else(|| missing("data"))?, request_id }
            }
            request::BROADCAST => Body::Broadcast {
                event: self.packet.ok_or_else(|| missing("packet"))?.0,
                options: options()?,
                request_id: Some(request_id.ok_or_else(|| missing("requestId"))?),
            },
            _ => return Err(MessageError::new("a request of unknown type")),
        }))
    }
}

/// An answer, either way.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    response_type: Option<u8>,
    request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_count: Option<usize>,
    /// What a client answered.
    #[serde(with = "single", default, skip_serializing_if = "single::is_absent")]
    packet: Payload,
    /// What a server answered.
    #[serde(with = "single", default, skip_serializing_if = "single::is_absent")]
    data: Payload,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sockets: Option<Vec<RemoteSocketData>>,
}

pub(super) fn encode_response(body: &Body) -> Result<Vec<u8>, MessageError> {
    let of_type = |response_type, request_id: &String| Response {
        response_type: Some(response_type),
        request_id: Some(request_id.clone()),
        ..Response::default()
    };
    match body {
        Body::FetchSocketsResponse { request_id, sockets } => to_json(&Response {
            request_id: Some(request_id.clone()),
            sockets: Some(sockets.clone()),
            ..Response::default()
        }),
        Body::ServerSideEmitResponse { request_id, answer } => {
            let response =
                Response { data: answer.clone(), ..of_type(request::SERVER_SIDE_EMIT, request_id) };
            if body.has_binary() { to_msgpack(&response) } else { to_json(&response) }
        }
        Body::BroadcastClientCount { request_id, client_count } => to_json(&Response {
            client_count: Some(*client_count),
            ..of_type(request::BROADCAST_CLIENT_COUNT, request_id)
        }),
        Body::BroadcastAck { request_id, answer } => {
            to_msgpack(&Response { packet: answer.clone(), ..of_type(request::BROADCAST_ACK, request_id) })
        }
        _ => Err(MessageError::new("no answer")),
    }
}

/// Enough of an answer to know whose it is: on the channel of all servers, most are for others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Addressee {
    #[serde(default)]
    request_id: Option<String>,
}

/// Answers to other servers' requests are `None`.
pub(super) fn decode_response(message: &Bytes, uid: &str) -> Result<Option<Body>, MessageError> {
    let addressee: Addressee = decode(message)?;
    if !addressee.request_id.is_some_and(|request_id| request_id.starts_with(uid)) {
        return Ok(None);
    }
    let response: Response = decode(message)?;
    let Some(request_id) = response.request_id else { return Ok(None) };
    Ok(Some(match response.response_type {
        Some(request::SERVER_SIDE_EMIT) => Body::ServerSideEmitResponse { request_id, answer: response.data },
        Some(request::BROADCAST_ACK) => Body::BroadcastAck { request_id, answer: response.packet },
        Some(request::BROADCAST_CLIENT_COUNT) => {
            let client_count = response.client_count;
            let client_count = client_count.ok_or_else(|| MessageError::new("a count without number"))?;
            Body::BroadcastClientCount { request_id, client_count }
        }
        _ => match response.sockets {
            Some(sockets) => Body::FetchSocketsResponse { request_id, sockets },
            None => return Ok(None),
        },
    }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ids<'a> {
    request_id: &'a str,
    sockets: &'a [SocketId],
}

/// Answers [`Request::Sockets`].
pub(super) fn encode_ids(request_id: &str, sockets: &[SocketId]) -> Result<Vec<u8>, MessageError> {
    to_json(&Ids { request_id, sockets })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rooms<'a> {
    request_id: &'a str,
    rooms: &'a [Room],
}

/// Answers [`Request::AllRooms`].
pub(super) fn encode_rooms(request_id: &str, rooms: &[Room]) -> Result<Vec<u8>, MessageError> {
    to_json(&Rooms { request_id, rooms })
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, MessageError> {
    serde_json::to_vec(value).map_err(|error| MessageError::new(&error.to_string()))
}

fn decode<'a, T: Deserialize<'a>>(message: &'a Bytes) -> Result<T, MessageError> {
    if message.first() == Some(&b'{') { from_json(message) } else { from_msgpack(message) }
}

fn from_json<'a, T: Deserialize<'a>>(message: &'a [u8]) -> Result<T, MessageError> {
    serde_json::from_slice(message).map_err(|error| MessageError::new(&error.to_string()))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
