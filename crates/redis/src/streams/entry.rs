//! Entries of the stream.
//!
//! ```text
//! XADD socket.io MAXLEN ~ 10000 * uid 0123… nsp /chat type 3 data {"packet":…,"opts":…}
//! ```
//! `data` is JSON, or msgpack as base64 where there are bytes in it.

use base64::{Engine, prelude::BASE64_STANDARD};
use redis::{Cmd, FromRedisValue, Value};
use sockeye_adapter::cluster::{Body, Message, MessageError, to_msgpack};
use std::{cmp::Ordering, fmt, str::FromStr};

use super::StreamsConfig;

/// The place of an entry in its stream: milliseconds and a number, which grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct EntryId {
    millis: u64,
    number: u64,
}

impl EntryId {
    /// The first that is behind this one.
    pub(super) const fn next(self) -> Self {
        match self.number.checked_add(1) {
            Some(number) => Self { number, ..self },
            None => Self { millis: self.millis.saturating_add(1), number: 0 },
        }
    }
}

impl FromStr for EntryId {
    type Err = MessageError;

    /// Only what Redis itself writes: digits, a dash, digits.
    fn from_str(text: &str) -> Result<Self, MessageError> {
        let number = |digits: &str| {
            let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
            if are_digits { digits.parse().ok() } else { None }
        };
        let parts = text.split_once('-').and_then(|(millis, rest)| Some((number(millis)?, number(rest)?)));
        let (millis, number) = parts.ok_or_else(|| MessageError::new("not the id of an entry"))?;
        Ok(Self { millis, number })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

/// The command that adds a message.
pub(crate) fn add(config: &StreamsConfig, message: &Message) -> Result<Cmd, MessageError> {
    let Message { uid, nsp, body } = message;
    let mut command = redis::cmd("XADD");
    command.arg(&config.stream).arg("MAXLEN").arg("~").arg(config.max_len).arg("*");
    command.arg("uid").arg(&**uid).arg("nsp").arg(&**nsp).arg("type").arg(body.type_number());
    if let Some(data) = body.data() {
        let data = if body.has_binary() {
            BASE64_STANDARD.encode(to_msgpack(&data)?)
        } else {
            serde_json::to_string(&data).map_err(|error| MessageError::new(&error.to_string()))?
        };
        command.arg("data").arg(data);
    }
    Ok(command)
}

/// An entry as Redis reports it.
#[derive(Debug)]
pub(super) struct Entry {
    uid: String,
    pub(super) nsp: String,
    pub(super) type_number: u8,
    data: Vec<u8>,
}

impl Entry {
    /// Takes an entry apart: `[id, [field, value, …]]`.
    pub(super) fn new(value: Value) -> Result<(EntryId, Result<Self, MessageError>), MessageError> {
        let unexpected = || MessageError::new("not an entry of a stream");
        let (id, fields): (String, Value) =
            FromRedisValue::from_redis_value(value).map_err(|_| unexpected())?;
        let id = EntryId::from_str(&id)?;
        // From here on it is the fault of who wrote the entry.
        Ok((id, Self::with_fields(fields)))
    }

    fn with_fields(fields: Value) -> Result<Self, MessageError> {
        let (mut uid, mut nsp, mut type_number, mut data) = (None, None, None, Vec::new());
        let fields: Vec<Vec<u8>> = FromRedisValue::from_redis_value(fields)
            .map_err(|_| MessageError::new("an entry whose fields are no list"))?;
        for field in fields.chunks_exact(2) {
            let text = || String::from_utf8(field[1].clone()).ok();
            match &*field[0] {
                b"uid" => uid = text(),
                b"nsp" => nsp = text(),
                b"type" => type_number = text().and_then(|text| text.parse().ok()),
                b"data" => data.clone_from(&field[1]),
                _ => {}
            }
        }
        let (Some(nsp), Some(type_number)) = (nsp, type_number) else {
            return Err(MessageError::new("an entry without nsp or type"));
        };
        Ok(Self { uid: uid.unwrap_or_default(), nsp, type_number, data })
    }

    pub(super) const fn len(&self) -> usize {
        self.data.len()
    }

    /// What it says.
    pub(super) fn into_message(self) -> Result<Message, MessageError> {
        let data = match self.data.first() {
            None | Some(b'{') => self.data,
            _ => BASE64_STANDARD.decode(self.data).map_err(|error| MessageError::new(&error.to_string()))?,
        };
        let body = Body::from_data_bytes(self.type_number, &data)?;
        Ok(Message { uid: self.uid.into(), nsp: self.nsp.into(), body })
    }
}

/// How an id compares with the last of a stream that may have been replaced.
pub(super) fn is_behind(last: EntryId, top: EntryId) -> bool {
    top.cmp(&last) == Ordering::Less
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye_adapter::{BroadcastOptions, Payload};
    use sockeye_socketio::Binary;

    fn fields(command: &Cmd) -> Value {
        let args = command.args_iter().skip(6).filter_map(|arg| match arg {
            redis::Arg::Simple(bytes) => Some(Value::BulkString(bytes.to_vec())),
            _ => None,
        });
        Value::Array(vec![Value::BulkString(b"7-1".to_vec()), Value::Array(args.collect())])
    }

    #[test]
    fn message_is_read_as_it_was_added() {
        let options = BroadcastOptions { rooms: vec!["é".into()], ..BroadcastOptions::default() };
        let events = [
            Payload::event("text", &("é", 1)).unwrap(),
            Payload::event("bytes", &(Binary::from(vec![0, 255]), [1])).unwrap(),
        ];
        let mut bodies: Vec<_> =
            events.map(|event| Body::Broadcast { event, options: options.clone(), request_id: None }).into();
        bodies.push(Body::SocketsJoin { options: options.clone(), rooms: vec!["r".into()] });
        bodies.push(Body::DisconnectSockets { options, close: true });
        for body in bodies {
            let message = Message { uid: "0123456789abcdef".into(), nsp: "/chat".into(), body };
            let command = add(&StreamsConfig::default(), &message).unwrap();
            let (id, entry) = Entry::new(fields(&command)).unwrap();
            assert_eq!(id.to_string(), "7-1");
            assert_eq!(entry.unwrap().into_message().unwrap(), message);
        }
    }

    #[test]
    fn entries_that_servers_do_not_write_are_refused() {
        let bulk = |text: &str| Value::BulkString(text.into());
        for list in [
            &[][..],
            &["nsp", "/"],
            &["nsp", "/", "type", "x"],
            &["nsp", "/", "type", "300"],
            &["nsp", "/", "type", "3"],
            &["nsp", "/", "type", "3", "data", "{"],
            &["nsp", "/", "type", "3", "data", "{}"],
            &["nsp", "/", "type", "3", "data", "?"],
            &["nsp", "/", "type", "3", "data", "gICA"],
            &["nsp", "/", "type", "99", "data", "{}"],
            &["nsp", "/", "type"],
        ] {
            let list = list.iter().map(|text| bulk(text)).collect();
            let value = Value::Array(vec![bulk("1-0"), Value::Array(list)]);
            let (_, entry) = Entry::new(value).unwrap();
            assert!(entry.and_then(Entry::into_message).is_err());
        }
        assert!(Entry::new(Value::Nil).is_err());
        assert!(Entry::new(Value::Array(vec![bulk("x"), Value::Array(vec![])])).is_err());
    }

    #[test]
    fn ids_are_ordered_and_nothing_else_is_one() {
        let id = |text: &str| text.parse::<EntryId>();
        assert!(id("2-0").unwrap() > id("1-18446744073709551615").unwrap());
        assert_eq!(id("1-18446744073709551615").unwrap().next(), id("2-0").unwrap());
        assert_eq!(id("1-7").unwrap().next().to_string(), "1-8");
        for text in ["", "-", "1", "1-", "-1", "+1-0", "1-+0", "1-0 ", "$", "1-0-0", "18446744073709551616-0"]
        {
            assert!(id(text).is_err(), "{text}");
        }
    }
}
