//! Where a URL leads (RFC 6455 §3), and the credentials in it.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Uri, uri::Authority};
use percent_encoding::{CONTROLS, percent_decode_str, utf8_percent_encode};
use std::{fmt, net::IpAddr};
use tokio::net::TcpStream;

use crate::Error;

/// What a `ws://` or `wss://` URL says.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) tls: bool,
    pub(super) endpoint: Endpoint,
    pub(super) path_and_query: String,
    pub(super) credentials: Option<Credentials>,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        // §3: "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be used".
        if url.contains('#') {
            return Err(Error::Url("a WebSocket URL has no fragment"));
        }
        let uri: Uri = url.parse().map_err(|_| Error::Url("not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(Error::Url("the scheme must be ws:// or wss://")),
        };
        let authority = uri.authority().ok_or(Error::Url("no host"))?;
        let endpoint = Endpoint::parse(authority, default_port(tls)).map_err(Error::Url)?;
        let credentials = Credentials::parse(authority).map_err(Error::Url)?;
        // §3: "If empty, the path component is "/"." What is no ASCII has no place in a request line as it is.
        let path_and_query = uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let slash = if path_and_query.starts_with('/') { "" } else { "/" };
        let path_and_query = format!("{slash}{}", utf8_percent_encode(path_and_query, CONTROLS));
        Ok(Self { tls, endpoint, path_and_query, credentials })
    }

    /// The Host field: the port is given unless it is the scheme's own.
    pub(super) fn host_header(&self) -> String {
        if self.endpoint.port == default_port(self.tls) {
            self.endpoint.host.to_string()
        } else {
            self.endpoint.to_string()
        }
    }
}

const fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// A host as URLs and certificates name it. It is displayed as in a URL: an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Ip(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// A host and a port to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: Host,
    pub(super) port: u16,
}

impl Endpoint {
    pub(super) fn parse(authority: &Authority, default_port: u16) -> Result<Self, &'static str> {
        let host = authority.host();
        let port = match authority.port_u16() {
            Some(port) => port,
            // A port that is no number of 16 bits must not silently become the default one.
            None if authority.as_str().ends_with(host) || authority.as_str().ends_with(':') => default_port,
            None => return Err("the port is not one"),
        };
        let host = match host.strip_prefix('[') {
            Some(address) => {
                let address = address.trim_end_matches(']').parse().map(IpAddr::V6);
                Host::Ip(address.map_err(|_| "not an IPv6 address")?)
            }
            None if host.is_empty() => return Err("no host"),
            None => host.parse().map_or_else(|_| Host::Name(host.into()), Host::Ip),
        };
        Ok(Self { host, port })
    }

    /// Resolves the host and connects to the first of its addresses that answers.
    pub(super) async fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = match &self.host {
            Host::Name(name) => TcpStream::connect((name.as_str(), self.port)).await?,
            Host::Ip(address) => TcpStream::connect((*address, self.port)).await?,
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The user information of a URL, percent-decoded. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: Vec<u8>,
    pub(super) password: Vec<u8>,
}

impl Credentials {
    /// What stands in front of the `@`; nothing and `:` are no credentials.
    pub(super) fn parse(authority: &Authority) -> Result<Option<Self>, &'static str> {
        let Some((info, _)) = authority.as_str().rsplit_once('@') else { return Ok(None) };
        let (user, password) = info.split_once(':').unwrap_or((info, ""));
        let credentials = Self {
            user: percent_decode_str(user).collect(),
            password: percent_decode_str(password).collect(),
        };
        let all = || credentials.user.iter().chain(&credentials.password);
        if all().any(u8::is_ascii_control) {
            return Err("a control character in the user name or password");
        }
        Ok(if all().next().is_none() { None } else { Some(credentials) })
    }

    /// The value of an `Authorization` or `Proxy-Authorization` field (RFC 7617 §2).
    pub(super) fn basic(&self) -> Result<String, &'static str> {
        // RFC 7617 §2: "a user-id containing a colon character is invalid".
        if self.user.contains(&b':') {
            return Err("a user name with a colon cannot be sent by Basic authentication");
        }
        Ok(format!("Basic {}", STANDARD.encode([&self.user, &b":"[..], &self.password].concat())))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_host_port_and_target() {
        let cases = [
            ("ws://example.com", false, "example.com", 80, "/", "example.com"),
            ("ws://example.com:8080/chat?x=1", false, "example.com", 8080, "/chat?x=1", "example.com:8080"),
            ("wss://example.com/", true, "example.com", 443, "/", "example.com"),
            ("wss://example.com:80", true, "example.com", 80, "/", "example.com:80"),
            ("ws://example.com:/", false, "example.com", 80, "/", "example.com"),
            ("ws://[::1]:9000/a", false, "[::1]", 9000, "/a", "[::1]:9000"),
            ("ws://u:p@[::1]/a", false, "[::1]", 80, "/a", "[::1]"),
            ("ws://example.com?x", false, "example.com", 80, "/?x", "example.com"),
            ("ws://example.com/ü?é=%20", false, "example.com", 80, "/%C3%BC?%C3%A9=%20", "example.com"),
        ];
        for (url, tls, host, port, target, header) in cases {
            let parsed = Target::parse(url).unwrap();
            let found = (parsed.tls, &*parsed.endpoint.host.to_string(), parsed.endpoint.port);
            assert_eq!(found, (tls, host, port), "{url}");
            assert_eq!((&*parsed.path_and_query, &*parsed.host_header()), (target, header), "{url}");
        }
    }

    #[test]
    fn urls_that_lead_nowhere_are_errors() {
        for url in [
            "",
            "example.com",
            "ftp://example.com",
            "ws://",
            "ws://:80/",
            "ws://a b",
            "ws://example.com/#x",
            "/path",
            "ws://example.com:65536/",
            "ws://[::1/",
            "ws://[fe80::1%25eth0]/",
            "ws://[1.2.3.4]/",
            "ws://a%0d%0ab@example.com/",
        ] {
            let result = Target::parse(url);
            assert!(matches!(result, Err(Error::Url(_))), "{url}: {result:?}");
        }
    }

    #[test]
    fn user_information_is_decoded_and_hidden() {
        let target = Target::parse("ws://al%20ice:p%40ss:w%C3%BC@example.com/").unwrap();
        let credentials = target.credentials.as_ref().unwrap();
        assert_eq!(credentials.user, b"al ice");
        assert_eq!(credentials.password, "p@ss:wü".as_bytes());
        assert_eq!(credentials.basic().unwrap(), format!("Basic {}", STANDARD.encode("al ice:p@ss:wü")));
        assert!(!format!("{target:?}").contains("ice"), "{target:?}");
        for url in ["ws://example.com/", "ws://:@example.com/", "ws://example.com/@"] {
            assert!(Target::parse(url).unwrap().credentials.is_none(), "{url}");
        }
    }

    #[test]
    fn user_name_with_a_colon_is_no_basic_credential() {
        let target = Target::parse("ws://a%3Ab:c@example.com/").unwrap();
        assert!(target.credentials.unwrap().basic().is_err());
    }
}
