//! Sessions of clients that are away, as keys of Redis that expire.

use base64::{Engine, prelude::BASE64_STANDARD};
use redis::{FromRedisValue, Value};
use sockeye_adapter::{
    Session,
    cluster::{from_msgpack, to_msgpack},
};
use std::time::Duration;

use super::{StreamsConfig, entry::EntryId};
use crate::{Redis, trace::debug};

/// The longest private id that is looked for; those of servers have 20 characters.
const MAX_PID_LEN: usize = 100;

pub(super) fn persist(redis: &Redis, config: &StreamsConfig, session: &Session, duration: Duration) {
    let encoded = match to_msgpack(session) {
        Ok(encoded) => BASE64_STANDARD.encode(encoded),
        Err(error) => return redis.not_sent(&error),
    };
    let mut set = redis::cmd("SET");
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1);
    set.arg(format!("{}{}", config.session_prefix, session.pid)).arg(encoded).arg("PX").arg(millis);
    redis.shared.publish(set);
}

pub(super) async fn restore(
    redis: &Redis,
    config: &StreamsConfig,
    pid: &str,
    offset: &str,
) -> Option<Session> {
    let offset: EntryId = offset.parse().ok()?;
    if pid.is_empty() || pid.len() > MAX_PID_LEN {
        return None;
    }
    // First the offset, so that a wrong one leaves the session to whom it belongs.
    let mut range = redis::cmd("XRANGE");
    range.arg(&config.stream).arg(offset.to_string()).arg(offset.to_string());
    let known = match redis.shared.query_now(&range).await {
        Ok(Value::Array(entries)) => !entries.is_empty(),
        _ => false,
    };
    if !known {
        debug!(target: "sockeye::redis", "session not restored: its offset is not in the stream");
        return None;
    }
    let key = format!("{}{pid}", config.session_prefix);
    let mut take = redis::pipe();
    take.atomic().cmd("GET").arg(&key).cmd("DEL").arg(&key);
    let answers = redis.shared.query_all_now(&take).await.ok()?;
    let text: Option<String> = FromRedisValue::from_redis_value(answers.into_iter().next()?).ok()?;
    let encoded = BASE64_STANDARD.decode(text?).ok()?;
    match from_msgpack::<Session>(&encoded) {
        Ok(session) if *session.pid == *pid => Some(session),
        Ok(_) => None,
        Err(error) => {
            redis.malformed(&error);
            None
        }
    }
}
