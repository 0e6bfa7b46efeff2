//! What is known of a client from its first request.

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Uri, request};
use hyper::upgrade::OnUpgrade;
use serde::{Serialize, ser::SerializeMap};
use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

/// The address of the peer, as a request extension. [`Server`](crate::Server) sets it; a service of your own may do so
/// as well, from a proxy's header for example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteAddr(pub SocketAddr);

/// The request that opened the session.
#[derive(Debug)]
pub struct Handshake {
    /// As lines, copied: the fields of a request lie in a buffer that is much larger, and keep all of it.
    fields: Box<[u8]>,
    /// Made of them when somebody asks.
    headers: OnceLock<Box<HeaderMap>>,
    uri: Uri,
    extensions: Extensions,
    remote_addr: Option<RemoteAddr>,
    issued: SystemTime,
}

impl Handshake {
    pub(crate) fn new(mut parts: request::Parts) -> Self {
        parts.extensions.remove::<OnUpgrade>();
        let remote_addr = parts.extensions.remove();
        // An empty map may still hold memory.
        let extensions = if parts.extensions.is_empty() { Extensions::new() } else { parts.extensions };
        let line_len = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 2;
        let mut fields = Vec::with_capacity(parts.headers.iter().map(line_len).sum());
        for (name, value) in &parts.headers {
            fields.extend_from_slice(name.as_str().as_bytes());
            fields.push(b':');
            fields.extend_from_slice(value.as_bytes());
            fields.push(b'\n');
        }
        Self {
            fields: fields.into(),
            headers: OnceLock::new(),
            uri: parts.uri.to_string().parse().unwrap_or(parts.uri),
            extensions,
            remote_addr,
            issued: SystemTime::now(),
        }
    }

    /// Its header fields. They are kept as text; the map is made by the first call, and kept as well.
    pub fn headers(&self) -> &HeaderMap {
        self.headers.get_or_init(|| {
            let field = |(name, value): (&[u8], &[u8])| {
                Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
            };
            let mut headers = HeaderMap::new();
            for (name, value) in self.fields().filter_map(field) {
                headers.append(name, value);
            }
            Box::new(headers)
        })
    }

    /// Names and values. Neither has a line's end in it, nor a name a colon.
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.split(|byte| *byte == b'\n').filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b':')?;
            Some((&line[..at], &line[at + 1..]))
        })
    }

    /// Its target: path and query.
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Its extensions: what layers in front of the server attached to it, but for [`RemoteAddr`], which is
    /// [`remote_addr`](Self::remote_addr).
    pub const fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// When it came.
    pub const fn issued(&self) -> SystemTime {
        self.issued
    }

    /// The first value of a key in the query, decoded.
    pub fn query(&self, key: &str) -> Option<Cow<'_, str>> {
        let query = self.uri.query()?.as_bytes();
        form_urlencoded::parse(query).find_map(|(name, value)| (name == key).then_some(value))
    }

    /// The address of the peer, if the server was told; behind a proxy it is the proxy's.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.remote_addr.map(|address| address.0)
    }
}

/// As the official server shows it to the rest of a cluster.
impl Serialize for Handshake {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let issued = self.issued.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let headers: serde_json::Map<_, _> = self
            .fields()
            .map(|(name, value)| {
                (String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into())
            })
            .collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("headers", &headers)?;
        map.serialize_entry("address", &self.remote_addr().map(|address| address.ip()))?;
        map.serialize_entry("issued", &u64::try_from(issued).unwrap_or(u64::MAX))?;
        map.serialize_entry("url", &self.uri.path_and_query().map(http::uri::PathAndQuery::as_str))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn handshake_keeps_the_request_and_none_of_its_buffer() {
        let request = Request::get("/socket.io/?EIO=4&name=a%20b")
            .header("Cookie", "a=1")
            .header("cookie", "b:2")
            .header("X-Bytes", HeaderValue::from_bytes(b"\xFF\t:").unwrap())
            .header("x-empty", "")
            .extension(RemoteAddr(([127, 0, 0, 1], 80).into()));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let (headers, uri) = (parts.headers.clone(), parts.uri.clone());
        let handshake = Handshake::new(parts);
        assert_eq!(handshake.headers(), &headers);
        assert_eq!(handshake.uri(), &uri);
        assert_ne!(handshake.uri().path().as_ptr(), uri.path().as_ptr());
        assert_eq!(handshake.query("name").unwrap(), "a b");
        assert_eq!(handshake.remote_addr().unwrap().port(), 80);
    }

    #[test]
    fn handshake_without_fields_has_none() {
        let handshake = Handshake::new(Request::new(()).into_parts().0);
        assert!(handshake.headers().is_empty());
    }
}
