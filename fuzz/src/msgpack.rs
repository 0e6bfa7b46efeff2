//! msgpack by the letter of its specification, and the packets of `socket.io-msgpack-parser` over it.

/// A value, completely read.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `nil`.
    Nil,
    /// JavaScript's `undefined`.
    Undefined,
    /// A `bool`.
    Bool(bool),
    /// An integer of any form and sign.
    Integer(i128),
    /// A float of either width.
    Float(f64),
    /// Text, which is UTF-8.
    Str(String),
    /// Bytes, of which extension 0 is another form.
    Bin(Vec<u8>),
    /// An array.
    Array(Vec<Value>),
    /// A map, in the order of the message.
    Map(Vec<(Value, Value)>),
    /// JavaScript's `Date`.
    Date(i64),
    /// Another extension.
    Ext(i8, Vec<u8>),
}

/// How deep values may be nested.
const MAX_DEPTH: usize = 127;

/// Reads one value of `bytes`; returns it and what follows. `None` when it is none.
pub fn read(bytes: &[u8], depth: usize) -> Option<(Value, &[u8])> {
    let (&marker, rest) = bytes.split_first()?;
    let fixed = |len: usize| rest.split_at_checked(len);
    let number = |len: usize| {
        let (digits, rest) = fixed(len)?;
        Some((digits.iter().fold(0_u64, |number, &digit| number << 8 | u64::from(digit)), rest))
    };
    let sized = |width: usize| {
        let (len, rest) = number(width)?;
        rest.split_at_checked(usize::try_from(len).ok()?)
    };
    let text = |bytes: &[u8]| Some(Value::Str(std::str::from_utf8(bytes).ok()?.to_owned()));
    let simple = |value| Some((value, rest));
    match marker {
        0x00..=0x7f => simple(Value::Integer(i128::from(marker))),
        0xe0..=0xff => simple(Value::Integer(i128::from(marker) - 256)),
        0x80..=0x8f => map(usize::from(marker - 0x80), rest, depth),
        0x90..=0x9f => array(usize::from(marker - 0x90), rest, depth),
        0xa0..=0xbf => {
            let (content, rest) = fixed(usize::from(marker - 0xa0))?;
            Some((text(content)?, rest))
        }
        0xc0 => simple(Value::Nil),
        0xc1 => None,
        0xc2 | 0xc3 => simple(Value::Bool(marker == 0xc3)),
        0xc4..=0xc6 => {
            let (content, rest) = sized(1 << (marker - 0xc4))?;
            Some((Value::Bin(content.to_vec()), rest))
        }
        0xc7..=0xc9 => {
            let (len, rest) = number(1 << (marker - 0xc7))?;
            let (&ext_type, rest) = rest.split_first()?;
            let (content, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            let value = if ext_type == 0 {
                Value::Bin(content.to_vec())
            } else {
                Value::Ext(ext_type as i8, content.to_vec())
            };
            Some((value, rest))
        }
        0xca => number(4).map(|(bits, rest)| (Value::Float(f64::from(f32::from_bits(bits as u32))), rest)),
        0xcb => number(8).map(|(bits, rest)| (Value::Float(f64::from_bits(bits)), rest)),
        0xcc..=0xcf => {
            number(1 << (marker - 0xcc)).map(|(number, rest)| (Value::Integer(i128::from(number)), rest))
        }
        0xd0..=0xd3 => {
            let len = 1 << (marker - 0xd0);
            let (number, rest) = number(len)?;
            // Sign extension by hand.
            let sign = 1_i128 << (8 * len - 1);
            let number = i128::from(number);
            Some((Value::Integer(if number >= sign { number - 2 * sign } else { number }), rest))
        }
        0xd4..=0xd8 => {
            let (&ext_type, rest) = rest.split_first()?;
            let (content, rest) = rest.split_at_checked(1 << (marker - 0xd4))?;
            let value = match (ext_type, content) {
                (0, [_]) => Value::Undefined,
                (0, [_, _, _, _, _, _, _, _]) => Value::Date(i64::from_be_bytes(content.try_into().ok()?)),
                _ => Value::Ext(ext_type as i8, content.to_vec()),
            };
            Some((value, rest))
        }
        0xd9..=0xdb => {
            let (content, rest) = sized(1 << (marker - 0xd9))?;
            Some((text(content)?, rest))
        }
        0xdc | 0xdd => {
            let (count, rest) = number(2 << (marker - 0xdc))?;
            array(usize::try_from(count).ok()?, rest, depth)
        }
        0xde | 0xdf => {
            let (count, rest) = number(2 << (marker - 0xde))?;
            map(usize::try_from(count).ok()?, rest, depth)
        }
    }
}

fn array(count: usize, mut rest: &[u8], depth: usize) -> Option<(Value, &[u8])> {
    if depth >= MAX_DEPTH || count > rest.len() {
        return None;
    }
    let mut elements = Vec::new();
    for _ in 0..count {
        let element;
        (element, rest) = read(rest, depth + 1)?;
        elements.push(element);
    }
    Some((Value::Array(elements), rest))
}

fn map(count: usize, mut rest: &[u8], depth: usize) -> Option<(Value, &[u8])> {
    if depth >= MAX_DEPTH || count > rest.len() {
        return None;
    }
    let mut entries = Vec::new();
    for _ in 0..count {
        let (key, value);
        (key, rest) = read(rest, depth + 1)?;
        if !matches!(key, Value::Nil | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Str(_)) {
            return None;
        }
        (value, rest) = read(rest, depth + 1)?;
        entries.push((key, value));
    }
    Some((Value::Map(entries), rest))
}

/// A packet.
#[derive(Debug, PartialEq)]
pub struct Model {
    /// From 0 to 4.
    pub packet_type: u8,
    /// The namespace.
    pub namespace: String,
    /// The ack id.
    pub ack_id: Option<u64>,
    /// The payload.
    pub data: Option<Value>,
}

const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Reads a packet completely; `None` when any part of it is wrong.
pub fn parse(message: &[u8], max_namespace_len: usize) -> Option<Model> {
    // The map of the packet is no level of its payload, and may have any keys.
    let (&marker, rest) = message.split_first()?;
    let (count, mut rest) = match marker {
        0x80..=0x8f => (u64::from(marker - 0x80), rest),
        0xde => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), &rest[2..]),
        0xdf => (u64::from(u32::from_be_bytes(*rest.first_chunk()?)), &rest[4..]),
        _ => return None,
    };
    let (mut packet_type, mut namespace, mut ack_id, mut data) = (None, None, None, None);
    for _ in 0..count {
        let (key, value);
        (key, rest) = read(rest, 0)?;
        (value, rest) = read(rest, 0)?;
        let Value::Str(key) = key else { continue };
        match key.as_str() {
            "type" => packet_type = Some(whole(&value).filter(|number| *number <= 4)? as u8),
            "nsp" => {
                let Value::Str(name) = value else { return None };
                namespace = Some(name);
            }
            "id" if value == Value::Undefined => ack_id = None,
            "id" => ack_id = Some(whole(&value)?),
            "data" if value == Value::Undefined => data = None,
            "data" => data = Some(value),
            _ => {}
        }
    }
    let (packet_type, namespace) = (packet_type?, namespace?);
    if !rest.is_empty()
        || !namespace.starts_with('/')
        || namespace.contains(',')
        || namespace.len() > max_namespace_len
    {
        return None;
    }
    let fits = match (packet_type, &data) {
        (0, None | Some(Value::Map(_))) | (1, None) | (4, Some(Value::Str(_) | Value::Map(_))) => true,
        (3, Some(Value::Array(_))) => true,
        (2, Some(Value::Array(elements))) => match elements.first() {
            Some(Value::Str(name)) => !RESERVED.contains(&name.as_str()),
            Some(Value::Integer(_) | Value::Float(_)) => true,
            _ => false,
        },
        _ => false,
    };
    fits.then_some(Model { packet_type, namespace, ack_id, data })
}

/// A number that is whole and not negative; as a float only as far as floats name every whole number.
fn whole(value: &Value) -> Option<u64> {
    match *value {
        Value::Integer(number) => u64::try_from(number).ok(),
        Value::Float(number)
            if number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number) =>
        {
            Some(number as u64)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_of_the_official_client_is_read() {
        let message =
            b"\x84\xa4type\x02\xa4data\x92\xa1e\xd1\xff\xfe\xa7options\x81\xa8compress\xc3\xa3nsp\xa1/";
        let model = parse(message, 100).expect("a packet");
        assert_eq!(model.data, Some(Value::Array(vec![Value::Str("e".into()), Value::Integer(-2)])));
        assert_eq!(parse(&message[..message.len() - 1], 100), None);
    }
}
