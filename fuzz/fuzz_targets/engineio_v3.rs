//! Payloads of revision 3 and the forms of JSONP, each against a straightforward reading.
//!
//! Input: a byte of choices, and the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockeye_engineio::{DecodeError, Packet, PacketType, PayloadLimits, jsonp, v3};

fuzz_target!(|data: &[u8]| {
    let [choice, body @ ..] = data else { return };
    let limits = match choice & 4 {
        0 => PayloadLimits::default(),
        _ => PayloadLimits { max_packet_count: 3, ..PayloadLimits::default() },
    };
    match choice & 3 {
        0 => text_payload(body, limits),
        1 => binary_payload(body, limits),
        2 => form(body),
        _ => script(body),
    }
});

fn text_payload(body: &[u8], limits: PayloadLimits) {
    let decoded: Vec<_> = match v3::PayloadDecoder::text(body, limits) {
        Ok(packets) => packets.collect(),
        Err(error) => vec![Err(error)],
    };
    let expected = match std::str::from_utf8(body) {
        Err(error) => vec![Err(DecodeError::InvalidUtf8 { valid_up_to: error.valid_up_to() })],
        Ok(text) => model_text(text, limits),
    };
    assert_eq!(decoded.iter().map(owned).collect::<Vec<_>>(), expected);
    encode_again(&decoded);
}

/// By code units, in UTF-16.
fn model_text(text: &str, limits: PayloadLimits) -> Vec<Result<Owned, DecodeError>> {
    if text.is_empty() {
        return vec![Err(DecodeError::EmptyPacket)];
    }
    let units: Vec<u16> = text.encode_utf16().collect();
    let (mut packets, mut rest, mut count) = (Vec::new(), &units[..], 0);
    while !rest.is_empty() {
        if count == limits.max_packet_count {
            packets.push(Err(DecodeError::TooManyPackets { max: count }));
            break;
        }
        count += 1;
        let packet = model_text_packet(&mut rest);
        let failed = packet.is_err();
        packets.extend(packet.transpose());
        if failed {
            break;
        }
    }
    packets
}

fn model_text_packet(rest: &mut &[u16]) -> Result<Option<Owned>, DecodeError> {
    let colon = rest.iter().position(|unit| *unit == u16::from(b':')).filter(|at| (1..=10).contains(at));
    let colon = colon.ok_or(DecodeError::InvalidLength)?;
    let digits = String::from_utf16(&rest[..colon]).map_err(|_| DecodeError::InvalidLength)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DecodeError::InvalidLength);
    }
    let len: usize = digits.parse().map_err(|_| DecodeError::InvalidLength)?;
    let behind = &rest[colon + 1..];
    let packet = behind.get(..len).ok_or(DecodeError::InvalidLength)?;
    // A length that cuts a character in two is none.
    let text = String::from_utf16(packet).map_err(|_| DecodeError::InvalidLength)?;
    *rest = &behind[len..];
    if text.is_empty() { Ok(None) } else { model_packet(&text).map(Some) }
}

fn model_packet(text: &str) -> Result<Owned, DecodeError> {
    let first = text.chars().next().ok_or(DecodeError::EmptyPacket)?;
    let data = text[first.len_utf8()..].as_bytes();
    Ok(match first {
        '0' | '2' | '3' | '4' => (first, data.to_vec()),
        '1' | '5' | '6' => (first, Vec::new()),
        'b' => match data {
            [] => return Err(DecodeError::EmptyPacket),
            [b'4', ..] => {
                // The base64 itself has a target of its own, in which it is the one of revision 4.
                match Packet::decode_text(&format!("b{}", &text[2..])) {
                    Ok(Packet::Binary(bytes)) => ('b', bytes.into_owned()),
                    Err(DecodeError::EmptyBinary) => ('b', Vec::new()),
                    _ => return Err(DecodeError::InvalidBase64),
                }
            }
            [byte, ..] => return Err(DecodeError::UnknownPacketType { byte: *byte }),
        },
        _ => return Err(DecodeError::UnknownPacketType { byte: text.as_bytes()[0] }),
    })
}

/// A packet as the model has it: its type and its data.
type Owned = (char, Vec<u8>);

fn owned(packet: &Result<Packet<'_>, DecodeError>) -> Result<Owned, DecodeError> {
    Ok(match packet {
        Ok(Packet::Open(data)) => ('0', data.as_bytes().to_vec()),
        Ok(Packet::Close) => ('1', Vec::new()),
        Ok(Packet::Ping(data)) => ('2', data.as_bytes().to_vec()),
        Ok(Packet::Pong(data)) => ('3', data.as_bytes().to_vec()),
        Ok(Packet::Text(text)) => ('4', text.as_bytes().to_vec()),
        Ok(Packet::Binary(bytes)) => ('b', bytes.to_vec()),
        Ok(Packet::Upgrade) => ('5', Vec::new()),
        Ok(Packet::Noop) => ('6', Vec::new()),
        Err(error) => return Err(*error),
    })
}

fn binary_payload(body: &[u8], limits: PayloadLimits) {
    let decoded: Vec<_> = v3::PayloadDecoder::binary(body, limits).collect();
    let (mut expected, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        if expected.len() == limits.max_packet_count {
            expected.push(Err(DecodeError::TooManyPackets { max: expected.len() }));
            break;
        }
        expected.push(model_binary_packet(&mut rest));
        if expected.last().is_some_and(Result::is_err) {
            break;
        }
    }
    assert_eq!(decoded.iter().map(owned).collect::<Vec<_>>(), expected);
    encode_again(&decoded);
}

fn model_binary_packet(rest: &mut &[u8]) -> Result<Owned, DecodeError> {
    let kind = rest[0];
    if kind > 1 {
        return Err(DecodeError::UnknownPacketType { byte: kind });
    }
    let end = rest.iter().skip(1).position(|byte| *byte == 0xff).filter(|at| (1..=10).contains(at));
    let end = end.ok_or(DecodeError::InvalidLength)? + 1;
    let mut len = 0_u64;
    for digit in &rest[1..end] {
        if *digit > 9 {
            return Err(DecodeError::InvalidLength);
        }
        len = len * 10 + u64::from(*digit);
    }
    let behind = &rest[end + 1..];
    let len = usize::try_from(len).map_err(|_| DecodeError::InvalidLength)?;
    let packet = behind.get(..len).ok_or(DecodeError::InvalidLength)?;
    *rest = &behind[len..];
    if kind == 0 {
        return match std::str::from_utf8(packet) {
            Ok(text) => model_packet(text),
            Err(error) => Err(DecodeError::InvalidUtf8 { valid_up_to: error.valid_up_to() }),
        };
    }
    match packet {
        [] => Err(DecodeError::EmptyPacket),
        [4, data @ ..] => Ok(('b', data.to_vec())),
        [byte, ..] => Err(DecodeError::UnknownPacketType { byte: *byte }),
    }
}

/// What was decoded encodes to what decodes to the same, in either form.
fn encode_again(decoded: &[Result<Packet<'_>, DecodeError>]) {
    let packets: Vec<Packet<'_>> = decoded.iter().filter_map(|packet| packet.clone().ok()).collect();
    if packets.is_empty() {
        return;
    }
    let (mut text, mut binary) = (Vec::new(), Vec::new());
    let encoders = [v3::PayloadEncoder::text(&mut text), v3::PayloadEncoder::binary(&mut binary)];
    for mut payload in encoders {
        for packet in &packets {
            match packet {
                Packet::Binary(bytes) => payload.push_binary(bytes),
                Packet::Ping(data) => payload.push_text(PacketType::Ping, data),
                packet => {
                    let mut encoded = Vec::new();
                    packet.encode_text(&mut encoded);
                    payload.push_encoded(&encoded);
                }
            }
        }
    }
    let limits = PayloadLimits::default();
    let again: Result<Vec<_>, _> = v3::PayloadDecoder::text(&text, limits).and_then(Iterator::collect);
    assert_eq!(again.as_deref(), Ok(&packets[..]));
    let again: Result<Vec<_>, _> = v3::PayloadDecoder::binary(&binary, limits).collect();
    assert_eq!(again.as_deref(), Ok(&packets[..]));
}

fn form(body: &[u8]) {
    let decoded = jsonp::decode_form(body);
    let Ok(text) = std::str::from_utf8(body) else {
        return assert_eq!(decoded, Err(DecodeError::InvalidForm));
    };
    let Ok(payload) = decoded else { return assert!(text.contains('%'), "only an escape can be wrong") };
    // It replaces what is broken, which was an error above.
    let fields: Vec<_> =
        form_urlencoded::parse(body).filter(|(name, _)| name == "d").map(|(_, value)| value).collect();
    let [value] = &fields[..] else { return assert_eq!(payload, None) };
    if !text.contains('%') || !value.contains('\u{fffd}') {
        assert_eq!(payload.as_deref(), Some(&*unescape(value)));
    }
}

/// A run of one backslash in front of an `n` is a line feed, a longer one loses its last.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut run = 0;
    for character in text.chars() {
        match character {
            '\\' => {
                run += 1;
                continue;
            }
            'n' if run == 1 => out.push('\n'),
            _ => {
                let kept = if character == 'n' && run > 1 { run - 1 } else { run };
                out.extend(std::iter::repeat_n('\\', kept));
                out.push(character);
            }
        }
        run = 0;
    }
    out.extend(std::iter::repeat_n('\\', run));
    out
}

fn script(body: &[u8]) {
    let Ok(payload) = std::str::from_utf8(body) else { return };
    let mut script = Vec::new();
    jsonp::encode("7", payload, &mut script);
    let script = String::from_utf8(script).expect("a script is text");
    let string = script.strip_prefix("___eio[7](").and_then(|rest| rest.strip_suffix(");"));
    let string = string.expect("one call");
    assert_eq!(serde_json::from_str::<String>(string).as_deref().ok(), Some(payload));
    assert!(!string.contains(['\u{2028}', '\u{2029}', '\n', '\r']), "one line");
}
