//! What is known of a client from its first request.

use http::{Extensions, HeaderMap, Uri, request};
use serde::{Serialize, ser::SerializeMap};
use std::{
    borrow::Cow,
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

/// The address of the peer, as a request extension. [`Server`](crate::Server) sets it; a service of your own may do so
/// as well, from a proxy's header for example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteAddr(pub SocketAddr);

/// The request that opened the session.
#[derive(Debug)]
pub struct Handshake {
    headers: HeaderMap,
    uri: Uri,
    extensions: Extensions,
    issued: SystemTime,
}

impl Handshake {
    pub(crate) fn new(parts: request::Parts) -> Self {
        Self {
            headers: parts.headers,
            uri: parts.uri,
            extensions: parts.extensions,
            issued: SystemTime::now(),
        }
    }

    /// Its header fields.
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Its target: path and query.
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Its extensions: what layers in front of the server attached to it.
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
        self.extensions.get::<RemoteAddr>().map(|address| address.0)
    }
}

/// As the official server shows it to the rest of a cluster.
impl Serialize for Handshake {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let issued = self.issued.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let headers: serde_json::Map<_, _> = self
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
            .collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("headers", &headers)?;
        map.serialize_entry("address", &self.remote_addr().map(|address| address.ip()))?;
        map.serialize_entry("issued", &u64::try_from(issued).unwrap_or(u64::MAX))?;
        map.serialize_entry("url", &self.uri.path_and_query().map(http::uri::PathAndQuery::as_str))?;
        map.end()
    }
}
