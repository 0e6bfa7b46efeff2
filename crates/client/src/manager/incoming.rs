//! Messages of the server on their way to the router: packets of either form, and what those say that are no events.

use bytes::Bytes;
use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;
use sockeye_socketio::{DecodeError, Incoming, Limits, Packet, Parser, msgpack};
use std::{borrow::Cow, task::Context, time::Duration};

use super::router::Router;
use crate::{
    Refusal,
    engine::{ParseError, Receive},
    trace::debug,
};

/// An event that is kept as it came.
pub(super) enum Early {
    Text(ByteString, Vec<Bytes>),
    MsgPack(Bytes),
}

impl Early {
    /// Bytes that it holds.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text, attachments) => text.len() + attachments.iter().map(Bytes::len).sum::<usize>(),
            Self::MsgPack(message) => message.len(),
        }
    }

    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Incoming<'_>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        match self {
            Self::Text(text, attachments) => {
                read(&Incoming::text(Packet::decode(text, &Limits::NONE)?, attachments))
            }
            Self::MsgPack(message) => {
                read(&Incoming::msgpack(msgpack::Packet::decode(message, &Limits::NONE)?))
            }
        }
    }
}

#[derive(Deserialize)]
struct Granted<'a> {
    #[serde(borrow)]
    sid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pid: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Refused<'a> {
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// The ids in the payload of a CONNECT packet; `None` from servers of version 2, which give none.
pub(super) fn grant(data: &str) -> Option<(ByteString, Option<ByteString>)> {
    let granted: Granted<'_> = serde_json::from_str(data).ok()?;
    let owned = |text: Cow<'_, str>| text.into_owned().into();
    Some((owned(granted.sid?), granted.pid.map(owned)))
}

/// The error in the payload of a CONNECT_ERROR packet.
pub(super) fn refusal(data: &str) -> Refusal {
    match serde_json::from_str::<Refused<'_>>(data) {
        Ok(refused) => Refusal {
            message: refused.message.unwrap_or_default().into_owned().into(),
            data: refused.data.map(|data| data.to_owned().into()),
        },
        // Servers of version 2 send a string.
        Err(_) => Refusal { message: serde_json::from_str(data).unwrap_or_else(|_| data.into()), data: None },
    }
}

impl Router {
    fn limits(&self) -> Limits {
        Limits { max_attachments: self.core.config.max_attachment_count, ..Limits::default() }
    }

    fn text_packet(&mut self, text: &str, now: Duration) -> Result<(), DecodeError> {
        if self.core.config.parser == Parser::MsgPack {
            return Err(DecodeError::InvalidMsgPack { offset: 0 });
        }
        let packet = self.assembler.decode(text, &self.limits())?;
        if packet.attachment_count > 0 {
            return self.assembler.begin(text.into(), &packet, now);
        }
        self.packet(&Incoming::text(packet, &[]), || Early::Text(text.into(), Vec::new()))
    }

    fn binary_packet(&mut self, bytes: Bytes) -> Result<(), DecodeError> {
        if self.core.config.parser == Parser::MsgPack {
            let packet = Incoming::msgpack(msgpack::Packet::decode(&bytes, &self.limits())?);
            return self.packet(&packet, || Early::MsgPack(bytes.clone()));
        }
        let Some(assembled) = self.assembler.binary(bytes)? else { return Ok(()) };
        let (text, attachments) = assembled.into_parts();
        let packet = Incoming::text(Packet::decode(&text, &Limits::NONE)?, &attachments);
        self.packet(&packet, || Early::Text(text.clone(), attachments.clone()))
    }
}

impl Receive for Router {
    fn text(&mut self, text: &str, now: Duration) -> Result<(), ParseError> {
        self.text_packet(text, now).map_err(report)
    }

    fn binary(&mut self, bytes: Bytes, _now: Duration) -> Result<(), ParseError> {
        self.binary_packet(bytes).map_err(report)
    }

    fn run(&mut self, cx: &mut Context<'_>) {
        Self::run(self, cx);
    }
}

fn report(error: DecodeError) -> ParseError {
    debug!(target: "sockeye_client::socket", error = %error, "invalid packet");
    ParseError
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_have_a_public_id_and_may_have_a_private_one() {
        assert_eq!(grant(r#"{"sid":"a","extra":1}"#), Some(("a".into(), None)));
        assert_eq!(grant(r#"{"sid":"a","pid":"b"}"#), Some(("a".into(), Some("b".into()))));
        for other in ["", "{}", "null", "[]", r#"{"sid":null}"#, r#"{"sid":1}"#] {
            assert_eq!(grant(other), None, "{other}");
        }
    }

    #[test]
    fn refusals_are_objects_or_strings() {
        let refused = refusal(r#"{"message":"no","data":{"code":7}}"#);
        assert_eq!(refused.message(), "no");
        assert_eq!(refused.data::<serde_json::Value>().unwrap()["code"], 7);
        assert!(refusal(r#"{"message":"no"}"#).data::<Option<u8>>().unwrap().is_none());
        assert_eq!(refusal(r#""no""#).message(), "no");
        assert_eq!(refusal("nonsense").message(), "nonsense");
    }
}
