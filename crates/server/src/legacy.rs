//! Clients of Socket.IO 2, which speak Engine.IO 3: what is different one layer above it.
//!
//! ```text
//! client                          server
//!    │ ◄──────────────────── 0{"sid":…}
//!    │ ◄────────────────────────── 40      in `/` without asking
//!    │ 40/chat?token=x, ─────────────►     the query becomes the handshake's auth
//!    │ ◄─────────────────── 40/chat,       without an id
//!    │ ◄──────── 44/admin,"refused"       an error is its data, or else its message
//! ```

use bytestring::ByteString;
use serde_json::{Map, Value};
use sockeye_socketio::PacketType;

use crate::ConnectError;

/// The namespace of a packet without the query that a client put behind it.
pub(crate) fn without_query(namespace: &str) -> &str {
    namespace.split_once('?').map_or(namespace, |(name, _)| name)
}

/// What stands in for `auth`: the query behind the name of the namespace.
pub(crate) fn auth(namespace: &str) -> ByteString {
    let query = namespace.split_once('?').map_or("", |(_, query)| query);
    let auth: Map<String, Value> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
        .collect();
    Value::Object(auth).to_string().into()
}

/// Appends the packet that tells a client that it is connected.
pub(crate) fn encode_connect_reply(out: &mut Vec<u8>, namespace: &str) {
    push_head(out, PacketType::Connect, namespace);
}

/// Appends the packet that tells a client that it may not connect.
pub(crate) fn encode_connect_error(out: &mut Vec<u8>, namespace: &str, error: &ConnectError) {
    push_head(out, PacketType::ConnectError, namespace);
    let text = match &error.data {
        Some(data) => data.get().to_owned(),
        None => Value::from(&*error.message).to_string(),
    };
    out.extend_from_slice(text.as_bytes());
}

fn push_head(out: &mut Vec<u8>, packet_type: PacketType, namespace: &str) {
    out.push(b'0' + packet_type as u8);
    if namespace != "/" {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_of_a_namespace_is_its_auth() {
        for (namespace, name, expected) in [
            ("/", "/", "{}"),
            ("/chat", "/chat", "{}"),
            ("/chat?", "/chat", "{}"),
            ("/chat?x=1&y=a%20%22b%22&x=2", "/chat", r#"{"x":"2","y":"a \"b\""}"#),
            ("/chat?x=%ff&%zz", "/chat", "{\"%zz\":\"\",\"x\":\"\u{fffd}\"}"),
            ("/chat?a?b=c", "/chat", r#"{"a?b":"c"}"#),
        ] {
            assert_eq!((without_query(namespace), &*auth(namespace)), (name, expected), "{namespace}");
        }
    }

    #[test]
    fn errors_are_their_data_or_their_message() {
        let encoded = |namespace: &str, error: ConnectError| {
            let mut out = Vec::new();
            encode_connect_error(&mut out, namespace, &error);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(encoded("/", "say \"no\"".into()), r#"4"say \"no\"""#);
        assert_eq!(encoded("/a", ConnectError::new("no").with_data(401)), "4/a,401");
        let mut out = Vec::new();
        encode_connect_reply(&mut out, "/");
        encode_connect_reply(&mut out, "/a");
        assert_eq!(out, b"00/a,");
    }
}
