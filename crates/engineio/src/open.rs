//! The open packet: what a server tells a client when a session starts (Engine.IO protocol revision 4,
//! "Handshake").

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::time::Duration;

use serde::Deserialize;

use crate::error::DecodeError;
use crate::json;
use crate::transport::{Transport, TransportSet};

/// The data of an open packet.
///
/// ```
/// use core::time::Duration;
/// use sockeye_engineio::{OpenPacket, Transport, TransportSet};
///
/// let open = OpenPacket {
///     sid: "lv_VI97HAXpY6yYWAAAC".into(),
///     upgrades: TransportSet::only(Transport::WebSocket),
///     ping_interval: Duration::from_secs(25),
///     ping_timeout: Duration::from_secs(20),
///     max_payload: 1_000_000,
/// };
/// let mut json = Vec::new();
/// open.encode(&mut json);
/// assert_eq!(
///     String::from_utf8_lossy(&json),
///     r#"{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#,
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPacket<'a> {
    /// The id of the session.
    pub sid: Cow<'a, str>,
    /// What the client may upgrade to, see [`Transport::upgrades`]. Names unknown to this crate are left out.
    pub upgrades: TransportSet,
    /// How long after a pong the server sends the next ping. Whole milliseconds on the wire.
    pub ping_interval: Duration,
    /// How long the server waits for a pong. Whole milliseconds on the wire.
    pub ping_timeout: Duration,
    /// The longest polling payload, in bytes, that the server takes. `u64::MAX` is decoded from a server that
    /// names no limit, as those before `maxPayload` was introduced.
    pub max_payload: u64,
}

impl<'a> OpenPacket<'a> {
    /// Appends the JSON, without the type digit of the packet. See
    /// [`PayloadEncoder::push_open`](crate::PayloadEncoder::push_open) for the whole packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut text = String::with_capacity(128);
        text.push_str(r#"{"sid":"#);
        json::push_string(&mut text, &self.sid);
        text.push_str(r#","upgrades":["#);
        for (index, transport) in self.upgrades.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            json::push_string(&mut text, transport.name());
        }
        // Writing to a String never fails.
        let _ = write!(
            text,
            r#"],"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
            self.ping_interval.as_millis(),
            self.ping_timeout.as_millis(),
            self.max_payload
        );
        out.extend_from_slice(text.as_bytes());
    }

    /// Decodes the JSON, as [`Packet::Open`](crate::Packet::Open) holds it. Unknown keys are ignored.
    ///
    /// # Errors
    ///
    /// [`DecodeError::InvalidOpenPacket`]: no JSON object, or `sid`, `pingInterval` or `pingTimeout` is
    /// missing or has another type.
    pub fn decode(json: &'a str) -> Result<Self, DecodeError> {
        let fields: Fields<'a> = serde_json::from_str(json).map_err(|_| DecodeError::InvalidOpenPacket)?;
        Ok(Self {
            sid: fields.sid,
            upgrades: fields.upgrades.iter().filter_map(|name| Transport::from_name(name)).collect(),
            ping_interval: Duration::from_millis(fields.ping_interval),
            ping_timeout: Duration::from_millis(fields.ping_timeout),
            max_payload: fields.max_payload.unwrap_or(u64::MAX),
        })
    }
}

/// The JSON object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    sid: Cow<'a, str>,
    #[serde(default, borrow)]
    upgrades: Vec<Cow<'a, str>>,
    ping_interval: u64,
    ping_timeout: u64,
    max_payload: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open(sid: &str, upgrades: TransportSet) -> OpenPacket<'_> {
        OpenPacket {
            sid: sid.into(),
            upgrades,
            ping_interval: Duration::from_millis(25_000),
            ping_timeout: Duration::from_millis(20_000),
            max_payload: 1_000_000,
        }
    }

    fn encoded(open: &OpenPacket<'_>) -> String {
        let mut out = Vec::new();
        open.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn keys_are_in_the_order_of_the_official_server() {
        assert_eq!(
            encoded(&open("abc", TransportSet::only(Transport::WebSocket))),
            r#"{"sid":"abc","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
        assert_eq!(
            encoded(&open("abc", TransportSet::EMPTY)),
            r#"{"sid":"abc","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
    }

    #[test]
    fn encoding_appends() {
        let mut out = b"0".to_vec();
        open("abc", TransportSet::EMPTY).encode(&mut out);
        assert!(out.starts_with(br#"0{"sid":"abc""#));
    }

    #[test]
    fn unknown_keys_and_unknown_upgrades_are_ignored() {
        let json = r#"{"extra":{"a":[1]},"maxPayload":5,"pingTimeout":2,"pingInterval":1,"upgrades":["websocket","webtransport","x"],"sid":"s","pid":null}"#;
        let decoded = OpenPacket::decode(json).unwrap();
        assert_eq!(decoded.sid, "s");
        assert_eq!(decoded.upgrades, TransportSet::only(Transport::WebSocket));
        assert_eq!(decoded.ping_interval, Duration::from_millis(1));
        assert_eq!(decoded.ping_timeout, Duration::from_millis(2));
        assert_eq!(decoded.max_payload, 5);
    }

    #[test]
    fn a_server_without_max_payload_sets_no_limit() {
        let decoded =
            OpenPacket::decode(r#"{"sid":"s","upgrades":[],"pingInterval":1,"pingTimeout":2}"#).unwrap();
        assert_eq!(decoded.max_payload, u64::MAX);
    }

    #[test]
    fn the_sid_is_borrowed_unless_it_is_escaped() {
        let plain = OpenPacket::decode(r#"{"sid":"s","pingInterval":1,"pingTimeout":2}"#).unwrap();
        assert!(matches!(plain.sid, Cow::Borrowed("s")));
        let escaped = OpenPacket::decode(r#"{"sid":"\u0073","pingInterval":1,"pingTimeout":2}"#).unwrap();
        assert_eq!(escaped.sid, "s");
    }

    #[test]
    fn bad_input_is_an_error() {
        for json in [
            "",
            "{",
            "[]",
            "null",
            "{}",
            r#"{"sid":1,"pingInterval":1,"pingTimeout":2}"#,
            r#"{"sid":"s","pingInterval":-1,"pingTimeout":2}"#,
            r#"{"sid":"s","pingInterval":"1","pingTimeout":2}"#,
            r#"{"sid":"s","pingInterval":1e999,"pingTimeout":2}"#,
            r#"{"sid":"s","pingInterval":1}"#,
            r#"{"sid":"s","upgrades":"websocket","pingInterval":1,"pingTimeout":2}"#,
            r#"{"sid":"s","pingInterval":1,"pingTimeout":2} x"#,
        ] {
            assert_eq!(OpenPacket::decode(json), Err(DecodeError::InvalidOpenPacket), "{json}");
        }
    }

    #[test]
    fn deep_nesting_is_no_stack_overflow() {
        let nested = "[".repeat(100_000);
        let json = alloc::format!(r#"{{"x":{nested}"#);
        assert_eq!(OpenPacket::decode(&json), Err(DecodeError::InvalidOpenPacket));
    }

    proptest! {
        #[test]
        fn an_open_packet_decodes_to_what_was_encoded(
            sid in any::<String>(),
            with_upgrade in any::<bool>(),
            interval in any::<u64>(),
            timeout in any::<u64>(),
            max_payload in any::<u64>(),
        ) {
            let packet = OpenPacket {
                sid: sid.as_str().into(),
                upgrades: if with_upgrade { TransportSet::only(Transport::WebSocket) } else { TransportSet::EMPTY },
                ping_interval: Duration::from_millis(interval),
                ping_timeout: Duration::from_millis(timeout),
                max_payload,
            };
            let json = encoded(&packet);
            prop_assert_eq!(OpenPacket::decode(&json), Ok(packet));
        }

        #[test]
        fn any_text_decodes_or_fails_without_a_panic(json in any::<String>()) {
            let _ = OpenPacket::decode(&json);
        }
    }
}
