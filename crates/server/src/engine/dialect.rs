//! How a client speaks: revision 3, base64 instead of bytes, JSONP.
//!
//! ```text
//!                    WebSocket                     polling
//! revision 4         text │ bytes                  text payload, bytes as base64
//! revision 4, b64    text │ base64 as text         the same
//! revision 3         text │ 04 and the bytes       text payload, or a binary one if it has bytes
//! revision 3, b64    text │ base64 as text         text payload
//! JSONP                                            the payload as a string in a script
//! ```

use sockeye_engineio::{
    DecodeError, OpenPacket, Packet, PacketType, PayloadDecoder, PayloadEncoder, PayloadLimits, RequestQuery,
    Revision, jsonp, v3,
};
use sockeye_tokio_websocket::{Error, MessageKind, Prepared};

use super::carrier::Socket;

/// How a client speaks, from its first request. Nearly all speak plain revision 4, which costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Dialect(Option<Box<Deviations>>);

#[derive(Debug)]
struct Deviations {
    revision: Revision,
    /// The client cannot take bytes.
    base64: bool,
    /// The index of the function to call in answers.
    jsonp: Option<Box<str>>,
}

/// What a GET is answered with.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) body: Vec<u8>,
    pub(crate) is_binary: bool,
    /// Whether it may be compressed.
    pub(crate) compress: bool,
}

impl Payload {
    const fn text(body: Vec<u8>) -> Self {
        Self { body, is_binary: false, compress: false }
    }
}

impl Dialect {
    pub(crate) fn of(query: &RequestQuery<'_>) -> Self {
        let (revision, jsonp) = (query.revision(), query.jsonp.as_deref());
        if revision == Revision::V4 && jsonp.is_none() && !query.b64 {
            return Self::default();
        }
        Self(Some(Box::new(Deviations {
            revision,
            // A script has no bytes.
            base64: query.b64 || jsonp.is_some(),
            jsonp: jsonp.map(Into::into),
        })))
    }

    pub(crate) fn revision(&self) -> Revision {
        self.0.as_ref().map_or(Revision::V4, |deviations| deviations.revision)
    }

    pub(crate) fn is_v3(&self) -> bool {
        self.revision() == Revision::V3
    }

    fn base64(&self) -> bool {
        self.0.as_ref().is_some_and(|deviations| deviations.base64)
    }

    pub(crate) fn jsonp(&self) -> Option<&str> {
        self.0.as_ref()?.jsonp.as_deref()
    }

    /// Queues a packet on a WebSocket.
    pub(crate) fn queue(&self, websocket: &mut Socket, packet: &Prepared) -> Result<(), Error> {
        if self.0.is_none() || packet.kind() == MessageKind::Text {
            return websocket.queue_prepared(packet);
        }
        let mut buffer = vec![0; Prepared::HEADROOM_LEN];
        let kind = match (self.revision(), self.base64()) {
            (Revision::V4, false) => return websocket.queue_prepared(packet),
            (Revision::V4, true) => {
                Packet::Binary(packet.payload().into()).encode_text(&mut buffer);
                MessageKind::Text
            }
            (Revision::V3, false) => {
                v3::encode_binary(packet.payload(), &mut buffer);
                MessageKind::Binary
            }
            (Revision::V3, true) => {
                v3::encode_base64(packet.payload(), &mut buffer);
                MessageKind::Text
            }
        };
        websocket.queue_prepared(&Prepared::from_buffer(kind, buffer))
    }

    /// One packet of text that a WebSocket brings.
    pub(crate) fn decode_text<'a>(&self, text: &'a str) -> Result<Packet<'a>, DecodeError> {
        if self.is_v3() { v3::decode_text(text) } else { Packet::decode_text(text) }
    }

    /// The message in the bytes that a WebSocket brings.
    pub(crate) fn decode_binary<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], DecodeError> {
        if self.is_v3() { v3::decode_binary(bytes) } else { Ok(bytes) }
    }

    /// The answer to the request that opens the session.
    pub(crate) fn open(&self, open: &OpenPacket<'_>, initial: Option<&Prepared>) -> Payload {
        let mut body = Vec::new();
        if !self.is_v3() {
            let mut payload = PayloadEncoder::new(&mut body);
            payload.push_open(open);
            initial.into_iter().for_each(|packet| push(&mut payload, packet));
            return Payload::text(body);
        }
        let is_binary = !self.base64() && initial.is_some_and(|packet| packet.kind() == MessageKind::Binary);
        let mut payload = v3_encoder(&mut body, is_binary);
        payload.push_open(open);
        initial.into_iter().for_each(|packet| push_v3(&mut payload, packet));
        Payload { is_binary, ..Payload::text(body) }
    }

    /// An answer that is one packet without data.
    pub(crate) fn control(&self, packet_type: PacketType) -> Payload {
        let mut body = Vec::with_capacity(3);
        if self.is_v3() {
            v3::PayloadEncoder::text(&mut body).push_text(packet_type, "");
        } else {
            body.push(packet_type.digit());
        }
        Payload::text(body)
    }

    /// The packets that `take` hands out, up to `max_count`, as an answer.
    pub(crate) fn payload(
        &self,
        max_count: usize,
        take: impl FnOnce(&mut dyn FnMut(&Prepared) -> bool),
    ) -> Payload {
        let mut body = Vec::new();
        if !self.is_v3() {
            let mut payload = PayloadEncoder::new(&mut body);
            take(&mut |packet| {
                let fits = payload.packet_count() < max_count;
                if fits {
                    push(&mut payload, packet);
                }
                fits
            });
            return Payload::text(body);
        }
        let mut packets = Vec::new();
        take(&mut |packet| {
            let fits = packets.len() < max_count;
            if fits {
                packets.push(packet.clone());
            }
            fits
        });
        let is_binary = !self.base64() && packets.iter().any(|packet| packet.kind() == MessageKind::Binary);
        let mut payload = v3_encoder(&mut body, is_binary);
        packets.iter().for_each(|packet| push_v3(&mut payload, packet));
        Payload { is_binary, ..Payload::text(body) }
    }

    /// The packets of a POST.
    pub(crate) fn decode_post<'a>(&self, post: &'a Post) -> Result<Packets<'a>, DecodeError> {
        let limits = PayloadLimits { allow_empty_binary: true, ..PayloadLimits::default() };
        Ok(match (self.revision(), post.is_binary) {
            (Revision::V4, _) => Packets::V4(PayloadDecoder::from_bytes(&post.body, limits)?),
            (Revision::V3, false) => Packets::V3(v3::PayloadDecoder::text(&post.body, limits)?),
            (Revision::V3, true) => Packets::V3(v3::PayloadDecoder::binary(&post.body, limits)),
        })
    }

    /// The payload in the body of a POST; `None` when it has none, which is no fault.
    pub(crate) fn unwrap_post(&self, body: Vec<u8>) -> Result<Option<Vec<u8>>, DecodeError> {
        match self.jsonp() {
            Some(_) => Ok(jsonp::decode_form(&body)?.map(String::into_bytes)),
            None => Ok(Some(body)),
        }
    }
}

/// The body of a POST.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) body: Vec<u8>,
    /// It came as bytes, which only revision 3 sends.
    pub(crate) is_binary: bool,
}

/// The packets of a POST, in either revision.
pub(crate) enum Packets<'a> {
    V4(PayloadDecoder<'a>),
    V3(v3::PayloadDecoder<'a>),
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::V4(packets) => packets.next(),
            Self::V3(packets) => packets.next(),
        }
    }
}

const fn v3_encoder(body: &mut Vec<u8>, is_binary: bool) -> v3::PayloadEncoder<'_> {
    if is_binary { v3::PayloadEncoder::binary(body) } else { v3::PayloadEncoder::text(body) }
}

fn push(payload: &mut PayloadEncoder<'_>, packet: &Prepared) {
    match packet.kind() {
        MessageKind::Text => payload.push_encoded(packet.payload()),
        MessageKind::Binary => payload.push_binary(packet.payload()),
    }
}

fn push_v3(payload: &mut v3::PayloadEncoder<'_>, packet: &Prepared) {
    match packet.kind() {
        MessageKind::Text => payload.push_encoded(packet.payload()),
        MessageKind::Binary => payload.push_binary(packet.payload()),
    }
}
