//! Polling payloads, the query of a request and the open packet, each against a straightforward reading.
//!
//! Input: a byte of choices, and the text.
#![no_main]

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sockeye_engineio::{
    DecodeError, OpenPacket, Packet, PacketType, PayloadDecoder, PayloadEncoder, PayloadLimits, RequestQuery,
    Revision, Sid, Transport,
};

fuzz_target!(|data: &[u8]| {
    let [choice, body @ ..] = data else { return };
    match choice & 3 {
        0 => decode_payload(body, PayloadLimits::default()),
        1 => decode_payload(body, PayloadLimits { max_packet_count: 3, allow_empty_binary: true }),
        2 => {
            if let Ok(query) = std::str::from_utf8(body) {
                parse_query(query);
            }
        }
        _ => {
            if let Ok(json) = std::str::from_utf8(body) {
                decode_open(json);
            }
        }
    }
});

fn decode_payload(body: &[u8], limits: PayloadLimits) {
    let decoder = match PayloadDecoder::from_bytes(body, limits) {
        Ok(decoder) => decoder,
        Err(error) => {
            let expected = std::str::from_utf8(body).expect_err("it was refused").valid_up_to();
            assert_eq!(error, DecodeError::InvalidUtf8 { valid_up_to: expected });
            return;
        }
    };
    let decoded: Vec<_> = decoder.collect();
    assert_eq!(decoded, model(std::str::from_utf8(body).expect("it was accepted"), limits));
    let packets: Vec<Packet<'_>> = decoded.iter().filter_map(|packet| packet.clone().ok()).collect();
    encode_again(&packets, limits);
}

/// Splits, and reads one by one, up to the first error.
fn model(body: &str, limits: PayloadLimits) -> Vec<Result<Packet<'_>, DecodeError>> {
    let mut packets = Vec::new();
    for (index, text) in body.split('\u{1e}').enumerate() {
        let packet = if index == limits.max_packet_count {
            Err(DecodeError::TooManyPackets { max: limits.max_packet_count })
        } else {
            model_packet(text, limits.allow_empty_binary)
        };
        let failed = packet.is_err();
        packets.push(packet);
        if failed {
            break;
        }
    }
    packets
}

fn model_packet(text: &str, allow_empty_binary: bool) -> Result<Packet<'_>, DecodeError> {
    let Some(first) = text.chars().next() else { return Err(DecodeError::EmptyPacket) };
    let data = &text[first.len_utf8()..];
    Ok(match first {
        '0' => Packet::Open(data),
        '1' => Packet::Close,
        '2' => Packet::Ping(data),
        '3' => Packet::Pong(data),
        '4' => Packet::Text(data),
        '5' => Packet::Upgrade,
        '6' => Packet::Noop,
        'b' if data.is_empty() && !allow_empty_binary => return Err(DecodeError::EmptyBinary),
        'b' => Packet::Binary(Cow::Owned(model_base64(data).ok_or(DecodeError::InvalidBase64)?)),
        _ => return Err(DecodeError::UnknownPacketType { byte: text.as_bytes()[0] }),
    })
}

/// Bit by bit; no more padding than belongs there, and the bits that are left over are zero.
fn model_base64(text: &str) -> Option<Vec<u8>> {
    let data = text.trim_end_matches('=');
    if data.len() % 4 == 1 || text.len() > data.len().next_multiple_of(4) {
        return None;
    }
    let (mut bytes, mut bits, mut bit_count) = (Vec::new(), 0_u32, 0);
    for digit in data.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        bit_count += 6;
        if bit_count >= 8 {
            bit_count -= 8;
            bytes.push((bits >> bit_count) as u8);
            bits &= (1 << bit_count) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}

/// What was decoded encodes to what decodes to the same, in the length that was promised.
fn encode_again(packets: &[Packet<'_>], limits: PayloadLimits) {
    if packets.is_empty() {
        return;
    }
    let mut body = b"before".to_vec();
    let mut payload = PayloadEncoder::new(&mut body);
    for (index, packet) in packets.iter().enumerate() {
        let before = payload.len();
        let len = packet.encoded_len();
        let separator_len = usize::from(index > 0);
        assert!(payload.fits(len, before + separator_len + len));
        assert!(!payload.fits(len, before + separator_len + len - 1));
        match packet {
            Packet::Text(text) if index % 2 == 0 => payload.push_message_text(text),
            Packet::Ping(text) if index % 2 == 0 => payload.push_text(PacketType::Ping, text),
            Packet::Binary(bytes) if index % 2 == 0 => payload.push_binary(bytes),
            packet if index % 3 == 0 => {
                let mut encoded = Vec::new();
                packet.encode_text(&mut encoded);
                payload.push_encoded(&encoded);
            }
            packet => payload.push(packet),
        }
        assert_eq!(payload.len(), before + separator_len + len);
        assert_eq!(payload.packet_count(), index + 1);
    }
    let text = std::str::from_utf8(&body[6..]).expect("a payload is text");
    let again: Result<Vec<_>, _> = PayloadDecoder::new(text, limits).collect();
    assert_eq!(again.as_deref(), Ok(packets));
    for packet in text.split('\u{1e}').filter(|packet| packet.starts_with('b')) {
        let standard = base64::engine::general_purpose::STANDARD;
        assert!(standard.decode(&packet[1..]).is_ok(), "padding is written");
    }
}

fn parse_query(query: &str) {
    let Ok(parsed) = RequestQuery::parse(query) else {
        return assert!(query.contains('%'), "only an escape can be wrong");
    };
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let last =
        |wanted: &str| pairs.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| value.as_ref());
    assert_eq!(parsed.transport.as_deref(), last("transport"));
    assert_eq!(parsed.eio.as_deref(), last("EIO"));
    assert_eq!(parsed.sid.as_deref(), last("sid").filter(|sid| !sid.is_empty()));
    assert_eq!(parsed.b64, last("b64").is_some_and(|value| !value.is_empty()));
    let digits = last("j").map(|value| value.chars().filter(char::is_ascii_digit).collect::<String>());
    assert_eq!(parsed.jsonp.as_deref(), digits.as_deref());
    assert_eq!(parsed.revision() == Revision::V4, last("EIO") == Some("4"));
    if let Some(Ok(sid)) = parsed.sid.as_deref().map(str::parse::<Sid>) {
        assert_eq!(Some(sid.as_str()), last("sid"));
        // An id needs no escape, so that it comes back from a query that it is put into as it is.
        let query = format!("transport=polling&sid={sid}");
        assert_eq!(RequestQuery::parse(&query).expect("plain").sid.as_deref(), Some(sid.as_str()));
    }
}

fn decode_open(json: &str) {
    let value = serde_json::from_str::<Value>(json).ok();
    let Ok(open) = OpenPacket::decode(json) else {
        // Objects with repeated keys are refused, which a `Value` does not show.
        if let Some(Value::Object(object)) = &value {
            let right = object.get("sid").is_some_and(Value::is_string)
                && ["pingInterval", "pingTimeout"]
                    .iter()
                    .all(|key| object.get(*key).is_some_and(Value::is_u64))
                && object.get("maxPayload").is_none_or(|max| max.is_u64() || max.is_null())
                && object.get("upgrades").is_none_or(|upgrades| {
                    upgrades.as_array().is_some_and(|names| names.iter().all(Value::is_string))
                });
            let key_count = ["sid", "pingInterval", "pingTimeout", "maxPayload", "upgrades"]
                .iter()
                .map(|key| json.matches(key).count())
                .max();
            assert!(!right || key_count > Some(1) || json.contains('\\'), "refused: {json}");
        }
        return;
    };
    if let Some(Value::Object(object)) = value {
        assert_eq!(object["sid"], *open.sid);
        assert_eq!(object["pingInterval"].as_u64().map(Duration::from_millis), Some(open.ping_interval));
        assert_eq!(object["pingTimeout"].as_u64().map(Duration::from_millis), Some(open.ping_timeout));
        let max_payload = object.get("maxPayload").and_then(Value::as_u64);
        assert_eq!(max_payload.unwrap_or(u64::MAX), open.max_payload);
        let upgrades = object.get("upgrades").and_then(Value::as_array);
        let offered = upgrades.is_some_and(|names| names.iter().any(|name| name == "websocket"));
        assert_eq!(open.upgrades.contains(Transport::WebSocket), offered);
    }
    let mut encoded = Vec::new();
    open.encode(&mut encoded);
    let encoded = String::from_utf8(encoded).expect("JSON is text");
    assert_eq!(OpenPacket::decode(&encoded), Ok(open));
}
