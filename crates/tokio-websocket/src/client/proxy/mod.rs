//! Proxies: which one leads to a server, and the way through it.

mod bypass;
mod error;
mod http;
mod socks5;

use ::http::{Uri, uri::Authority};
use bytes::BytesMut;
use sockeye_websocket::handshake::HeadLimits;
use std::fmt;

use self::bypass::Bypass;
use super::{
    stream::ClientStream,
    target::{Credentials, Endpoint, Target},
};
use crate::Error;

pub use error::{ProxyError, SocksReply};

/// Through which proxy a client connects: always the same one, or the one that the environment names.
///
/// An HTTP proxy is asked for a tunnel by CONNECT (RFC 9110 §9.3.6), for `ws://` as well as for `wss://` (RFC 6455 §4.1);
/// a SOCKS proxy speaks version 5 (RFC 1928). Either resolves the server's name itself. User name and password stand in
/// the proxy's URL, percent-encoded; they are not shown by `Debug`.
///
/// ```
/// use sockeye_tokio_websocket::{Connector, Proxy};
///
/// let proxy = Proxy::http("http://alice:secret@proxy.example:3128")?.no_proxy("localhost, .internal.example");
/// let connector = Connector::new().proxy(proxy);
/// # Ok::<(), sockeye_tokio_websocket::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// For `ws://`.
    plain: Option<Server>,
    /// For `wss://`.
    tls: Option<Server>,
    bypass: Bypass,
}

/// One proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    scheme: Scheme,
    endpoint: Endpoint,
    credentials: Option<Credentials>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    /// HTTP over TLS to the proxy.
    #[cfg(feature = "tls")]
    Https,
    Socks5,
}

impl Proxy {
    /// An HTTP proxy: `http://[user:password@]host[:port]`, or `https://` if the way to the proxy itself is TLS
    /// (feature `tls`). The scheme may be left out. The default ports are 80 and 443.
    ///
    /// # Errors
    /// [`ProxyError::Url`].
    pub fn http(url: &str) -> Result<Self, Error> {
        match Server::parse(url)? {
            Server { scheme: Scheme::Socks5, .. } => Err(ProxyError::Url("not an HTTP proxy").into()),
            server => Ok(Self::always(server)),
        }
    }

    /// A SOCKS proxy: `socks5://[user:password@]host[:port]`; `socks5h` means the same. The default port is 1080.
    ///
    /// # Errors
    /// [`ProxyError::Url`].
    pub fn socks5(url: &str) -> Result<Self, Error> {
        match Server::parse(url)? {
            server @ Server { scheme: Scheme::Socks5, .. } => Ok(Self::always(server)),
            _ => Err(ProxyError::Url("not a socks5:// proxy").into()),
        }
    }

    /// The proxies that the environment names now, by the rules of curl:
    ///
    /// | URL | the first of these that is set and not empty |
    /// |---|---|
    /// | `ws://` | `ws_proxy`, `WS_PROXY`, `http_proxy`, `HTTP_PROXY`, `all_proxy`, `ALL_PROXY` |
    /// | `wss://` | `wss_proxy`, `WSS_PROXY`, `https_proxy`, `HTTPS_PROXY`, `all_proxy`, `ALL_PROXY` |
    ///
    /// `no_proxy`, or else `NO_PROXY`, lists what is reached directly: see [`no_proxy`](Self::no_proxy).
    ///
    /// Two rules differ from curl's. `HTTP_PROXY` in capitals counts, unless `REQUEST_METHOD` is set: in a CGI program it
    /// would be the `Proxy` header of the request. And a proxy without a port is at its scheme's own port, not at 1080.
    ///
    /// # Errors
    /// [`ProxyError::Url`] when a variable that counts holds no URL of a proxy.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let first =
            |names: &[&str]| names.iter().find_map(|name| get(name).filter(|value| !value.is_empty()));
        let server = |names: &[&str]| first(names).map(|url| Server::parse(&url)).transpose();
        let in_cgi = get("REQUEST_METHOD").is_some();
        let capitals = if in_cgi { "http_proxy" } else { "HTTP_PROXY" };
        Ok(Self {
            plain: server(&["ws_proxy", "WS_PROXY", "http_proxy", capitals, "all_proxy", "ALL_PROXY"])?,
            tls: server(&["wss_proxy", "WSS_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            bypass: Bypass::parse(&first(&["no_proxy", "NO_PROXY"]).unwrap_or_default()),
        })
    }

    fn always(server: Server) -> Self {
        Self { plain: Some(server.clone()), tls: Some(server), bypass: Bypass::default() }
    }

    /// Which servers are reached without the proxy, separated by commas or spaces, as in `NO_PROXY`:
    ///
    /// - `example.com` and `.example.com` both stand for this name and all below it,
    /// - `192.0.2.1`, `192.0.2.0/24`, `2001:db8::1` and `2001:db8::/32` for addresses; a name is not resolved for it,
    /// - `*` alone for every server.
    ///
    /// Entries that are none of these match nothing. Ports are not part of it. It replaces an earlier list.
    #[must_use]
    pub fn no_proxy(mut self, list: &str) -> Self {
        self.bypass = Bypass::parse(list);
        self
    }

    /// The proxy on the way to `target`, `None` when it is reached directly.
    fn server_for(&self, target: &Target) -> Option<&Server> {
        let server = if target.tls { &self.tls } else { &self.plain };
        server.as_ref().filter(|_| !self.bypass.matches(&target.endpoint.host))
    }

    /// A connection to `target` through its proxy, and what was read from it beyond the proxy's answer. `None` when
    /// the target is reached directly.
    pub(super) async fn connect(
        &self,
        target: &Target,
        limits: HeadLimits,
        #[cfg(feature = "tls")] trust: &super::tls::Trust,
    ) -> Result<Option<(ClientStream, BytesMut)>, ProxyError> {
        let Some(server) = self.server_for(target) else { return Ok(None) };
        let mut stream = ClientStream::from(server.endpoint.connect().await?);
        #[cfg(feature = "tls")]
        if server.scheme == Scheme::Https {
            stream = trust.connect(stream, &server.endpoint.host).await.map_err(ProxyError::Tls)?;
        }
        let credentials = server.credentials.as_ref();
        let read_ahead = match server.scheme {
            Scheme::Socks5 => {
                socks5::connect(&mut stream, &target.endpoint, credentials).await?;
                BytesMut::new()
            }
            _ => http::connect(&mut stream, &target.endpoint, credentials, limits).await?,
        };
        Ok(Some((stream, read_ahead)))
    }
}

impl Server {
    fn parse(url: &str) -> Result<Self, ProxyError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Scheme::Http, 80),
            #[cfg(feature = "tls")]
            "https" => (Scheme::Https, 443),
            #[cfg(not(feature = "tls"))]
            "https" => return Err(ProxyError::Url("https:// proxies need the feature `tls`")),
            "socks5" | "socks5h" => (Scheme::Socks5, 1080),
            _ => return Err(ProxyError::Url("the scheme must be http, https or socks5")),
        };
        let uri: Uri = format!("proxy://{rest}").parse().map_err(|_| {
            ProxyError::Url("not a URL; special characters in a password are percent-encoded")
        })?;
        if !matches!(uri.path_and_query().map(|path| path.as_str()), None | Some("" | "/")) {
            return Err(ProxyError::Url("the URL of a proxy has no path"));
        }
        let authority: &Authority = uri.authority().ok_or(ProxyError::Url("no host"))?;
        let endpoint = Endpoint::parse(authority, default_port).map_err(ProxyError::Url)?;
        let credentials = Credentials::parse(authority).map_err(ProxyError::Url)?;
        if let Some(credentials) = &credentials {
            match scheme {
                Scheme::Socks5 => socks5::check(credentials)?,
                _ => drop(credentials.basic().map_err(ProxyError::Url)?),
            }
        }
        Ok(Self { scheme, endpoint, credentials })
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plain, tls, bypass } = self;
        f.debug_struct("Proxy").field("ws", plain).field("wss", tls).field("no_proxy", bypass).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy_for(url: &str, variables: &[(&str, &str)]) -> Option<String> {
        let proxy = Proxy::from_variables(|name| {
            variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
        });
        let target = Target::parse(url).unwrap();
        proxy.unwrap().server_for(&target).map(|server| server.endpoint.to_string())
    }

    #[test]
    fn environment_names_the_proxy_of_each_scheme() {
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>, Option<&'a str>);
        let cases: [Case<'_>; 12] = [
            (&[], None, None),
            (&[("http_proxy", "http://a")], Some("a:80"), None),
            (&[("HTTP_PROXY", "http://a:1")], Some("a:1"), None),
            (&[("HTTP_PROXY", "a"), ("REQUEST_METHOD", "GET")], None, None),
            (&[("http_proxy", "a"), ("HTTP_PROXY", "b")], Some("a:80"), None),
            (&[("http_proxy", "a"), ("ws_proxy", "b")], Some("b:80"), None),
            (&[("https_proxy", "a"), ("HTTPS_PROXY", "b")], None, Some("a:80")),
            (&[("HTTPS_PROXY", "socks5h://b")], None, Some("b:1080")),
            (&[("HTTPS_PROXY", "a"), ("WSS_PROXY", "b")], None, Some("b:80")),
            (&[("ALL_PROXY", "socks5://[::1]:9")], Some("[::1]:9"), Some("[::1]:9")),
            (&[("all_proxy", "a"), ("http_proxy", "")], Some("a:80"), Some("a:80")),
            (&[("all_proxy", "a"), ("NO_PROXY", "b.com,server")], None, None),
        ];
        for (variables, plain, tls) in cases {
            assert_eq!(proxy_for("ws://server/", variables).as_deref(), plain, "ws: {variables:?}");
            assert_eq!(proxy_for("wss://server/", variables).as_deref(), tls, "wss: {variables:?}");
        }
    }

    #[test]
    fn lower_case_no_proxy_hides_the_other() {
        let variables = [("all_proxy", "a"), ("no_proxy", "other"), ("NO_PROXY", "*")];
        assert!(proxy_for("ws://server/", &variables).is_some());
    }

    #[test]
    fn variable_that_is_no_proxy_is_an_error() {
        for value in ["ftp://a", "socks4://a", "http://", "a:b:c", "http://a/path", "http://a:70000"] {
            let result = Proxy::from_variables(|name| (name == "all_proxy").then(|| value.into()));
            assert!(matches!(result, Err(Error::Proxy(ProxyError::Url(_)))), "{value}: {result:?}");
        }
    }

    #[test]
    fn constructors_accept_their_own_schemes() {
        for url in ["proxy", "proxy:3128", "u:p@proxy", "http://proxy/", "HTTP://proxy", "http://[::1]:8"] {
            assert!(Proxy::http(url).is_ok(), "{url}");
        }
        for url in ["socks5://proxy", "socks5h://u:p@127.0.0.1:9050"] {
            assert!(Proxy::socks5(url).is_ok(), "{url}");
            assert!(Proxy::http(url).is_err(), "{url}");
        }
        let long = format!("socks5://{}@proxy", "u".repeat(256));
        for url in ["proxy", "http://proxy", "socks5://:p@proxy", long.as_str()] {
            assert!(Proxy::socks5(url).is_err(), "{url}");
        }
        assert!(Proxy::http("http://a%3Ab:c@proxy").is_err());
        assert_eq!(Proxy::http("https://proxy").is_ok(), cfg!(feature = "tls"));
    }

    #[test]
    fn debug_hides_credentials() {
        let shown = format!("{:?}", Proxy::http("http://alice:secret@proxy:3128").unwrap());
        assert!(shown.contains("3128") && !shown.contains("alice") && !shown.contains("secret"), "{shown}");
    }
}
