//! What a URL says: which server, which namespace, and parameters of the handshake.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Uri;
use percent_encoding::percent_decode_str;

use crate::BuildError;

/// A parsed URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) secure: bool,
    /// Host and port as in a URL, without credentials.
    pub(crate) authority: String,
    /// The path of the URL, which names the namespace: `/` at least.
    pub(crate) namespace: String,
    pub(crate) query: Vec<(String, String)>,
    /// The value of an `Authorization` field, if the URL has credentials.
    pub(crate) authorization: Option<String>,
}

impl Url {
    pub(crate) fn parse(url: &str) -> Result<Self, BuildError> {
        let uri: Uri = url.parse().map_err(|_| BuildError::Url("not a URL"))?;
        let secure = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(BuildError::Url("the scheme must be http, https, ws or wss")),
        };
        if secure && cfg!(not(feature = "tls")) {
            return Err(BuildError::Url("https:// and wss:// need the feature `tls`"));
        }
        let authority = uri.authority().ok_or(BuildError::Url("no host"))?.as_str();
        let (info, authority) =
            authority.rsplit_once('@').map_or(("", authority), |(info, host)| (info, host));
        if authority.is_empty() || authority.starts_with(':') {
            return Err(BuildError::Url("no host"));
        }
        let namespace = uri.path();
        if namespace.contains(',') {
            return Err(BuildError::Url("the name of a namespace cannot contain a comma"));
        }
        let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Ok(Self {
            secure,
            authority: authority.to_owned(),
            namespace: if namespace.is_empty() { "/" } else { namespace }.to_owned(),
            query: query.into_owned().collect(),
            authorization: authorization(info)?,
        })
    }

    /// The URL of a request, without its query.
    pub(crate) fn endpoint(&self, scheme: &str, path: &str) -> String {
        let secure = if self.secure { "s" } else { "" };
        format!("{scheme}{secure}://{}{path}", self.authority)
    }
}

/// Basic authentication (RFC 7617 §2) from the user information of a URL.
fn authorization(info: &str) -> Result<Option<String>, BuildError> {
    let (user, password) = info.split_once(':').unwrap_or((info, ""));
    let user: Vec<u8> = percent_decode_str(user).collect();
    let password: Vec<u8> = percent_decode_str(password).collect();
    if user.is_empty() && password.is_empty() {
        return Ok(None);
    }
    // RFC 7617 §2: "a user-id containing a colon character is invalid".
    if user.contains(&b':') {
        return Err(BuildError::Url("a user name with a colon cannot be sent by Basic authentication"));
    }
    Ok(Some(format!("Basic {}", STANDARD.encode([&user, &b":"[..], &password].concat()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_server_and_a_namespace() {
        let cases = [
            ("http://localhost", "localhost", "/", "http://localhost/socket.io/"),
            ("http://localhost/", "localhost", "/", "http://localhost/socket.io/"),
            ("ws://localhost:8080/chat", "localhost:8080", "/chat", "http://localhost:8080/socket.io/"),
            ("http://example.com/a/b", "example.com", "/a/b", "http://example.com/socket.io/"),
            ("http://[::1]:9000/x", "[::1]:9000", "/x", "http://[::1]:9000/socket.io/"),
            ("http://127.0.0.1:1?x", "127.0.0.1:1", "/", "http://127.0.0.1:1/socket.io/"),
            ("http://example.com/#part", "example.com", "/", "http://example.com/socket.io/"),
        ];
        for (url, authority, namespace, endpoint) in cases {
            let parsed = Url::parse(url).unwrap();
            assert_eq!((&*parsed.authority, &*parsed.namespace), (authority, namespace), "{url}");
            assert_eq!(parsed.endpoint("http", "/socket.io/"), endpoint, "{url}");
            assert_eq!((parsed.secure, &parsed.authorization), (false, &None), "{url}");
        }
    }

    #[test]
    fn queries_are_parameters_of_the_handshake() {
        let parsed = Url::parse("http://localhost/chat?token=a%20b&c=&d").unwrap();
        let query = [("token", "a b"), ("c", ""), ("d", "")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(parsed.query, query);
        assert_eq!(parsed.namespace, "/chat");
    }

    #[test]
    fn credentials_become_basic_authentication() {
        let parsed = Url::parse("http://Aladdin:open%20sesame@example.com:8080/").unwrap();
        assert_eq!(parsed.authorization.as_deref(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert_eq!(parsed.authority, "example.com:8080");
        assert!(Url::parse("http://a%3Ab:c@example.com").is_err());
        assert_eq!(Url::parse("http://:@example.com").unwrap().authorization, None);
    }

    #[test]
    fn secure_urls_need_the_feature() {
        for url in ["https://example.com", "wss://example.com:444"] {
            assert_eq!(Url::parse(url).is_ok(), cfg!(feature = "tls"), "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for url in
            ["", "localhost:3000", "localhost", "/chat", "ftp://a", "http://", "http://:80", "http://a/b,c"]
        {
            assert!(matches!(Url::parse(url), Err(BuildError::Url(_))), "{url}");
        }
    }
}
