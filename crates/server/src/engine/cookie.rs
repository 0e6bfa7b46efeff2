//! The cookie with the id of a session.

use http::HeaderValue;
use sockeye_engineio::Sid;
use std::{fmt::Write as _, time::Duration};

/// The attributes of the cookie that tells a load balancer or a proxy which session a request belongs to. The server
/// itself never reads it.
///
/// ```
/// use sockeye::{Cookie, Io, SameSite};
///
/// let cookie = Cookie::new("sid").secure(true).same_site(Some(SameSite::None));
/// let io = Io::builder().config(|config| config.cookie = Some(cookie)).build();
/// # let _ = io;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    name: String,
    path: Option<String>,
    domain: Option<String>,
    max_age: Option<Duration>,
    http_only: bool,
    secure: bool,
    same_site: Option<SameSite>,
}

/// With which requests of other sites browsers send a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// With none.
    Strict,
    /// With links that are followed.
    Lax,
    /// With all; browsers demand that such a cookie is [`secure`](Cookie::secure).
    None,
}

impl Default for Cookie {
    /// The cookie `io` as the official server sets it.
    fn default() -> Self {
        Self::new("io")
    }
}

impl Cookie {
    /// A cookie with this name, for all paths (`/`), out of reach of scripts (`HttpOnly`), not sent along by other sites
    /// (`SameSite=Lax`), that ends with the browser.
    ///
    /// # Panics
    /// When the name has a character that names of cookies cannot have.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        assert!(is_token(&name), "no name of a cookie: {name:?}");
        Self {
            name,
            path: Some("/".into()),
            domain: None,
            max_age: None,
            http_only: true,
            secure: false,
            same_site: Some(SameSite::Lax),
        }
    }

    /// The paths that it is sent with; `None` leaves it to the browser.
    ///
    /// # Panics
    /// When it has a character that attributes of cookies cannot have.
    #[must_use]
    pub fn path(mut self, path: Option<&str>) -> Self {
        self.path = path.map(checked);
        self
    }

    /// The host that it is sent to, its subdomains included. Default none: only the host that set it.
    ///
    /// # Panics
    /// As [`path`](Self::path).
    #[must_use]
    pub fn domain(mut self, domain: Option<&str>) -> Self {
        self.domain = domain.map(checked);
        self
    }

    /// How long browsers keep it, in whole seconds. Default none: until they are closed.
    #[must_use]
    pub const fn max_age(mut self, max_age: Option<Duration>) -> Self {
        self.max_age = max_age;
        self
    }

    /// Whether it is out of reach of scripts. Default yes.
    #[must_use]
    pub const fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// Whether it is sent over TLS only. Default no.
    #[must_use]
    pub const fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// With which requests of other sites it is sent. Default [`SameSite::Lax`].
    #[must_use]
    pub const fn same_site(mut self, same_site: Option<SameSite>) -> Self {
        self.same_site = same_site;
        self
    }

    /// The header field that sets it.
    pub(super) fn header(&self, sid: &Sid) -> Option<HeaderValue> {
        let mut text = format!("{}={}", self.name, sid.as_str());
        // Writing to a String never fails.
        if let Some(max_age) = self.max_age {
            let _ = write!(text, "; Max-Age={}", max_age.as_secs());
        }
        if let Some(domain) = &self.domain {
            let _ = write!(text, "; Domain={domain}");
        }
        if let Some(path) = &self.path {
            let _ = write!(text, "; Path={path}");
        }
        if self.http_only {
            text.push_str("; HttpOnly");
        }
        if self.secure {
            text.push_str("; Secure");
        }
        text.push_str(match self.same_site {
            Some(SameSite::Strict) => "; SameSite=Strict",
            Some(SameSite::Lax) => "; SameSite=Lax",
            Some(SameSite::None) => "; SameSite=None",
            None => "",
        });
        HeaderValue::try_from(text).ok()
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

/// RFC 6265 §4.1.1: "any CHAR except CTLs or ;".
fn checked(attribute: &str) -> String {
    assert!(
        attribute.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b';'),
        "no attribute of a cookie: {attribute:?}"
    );
    attribute.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(cookie: &Cookie) -> String {
        let sid = "abc".parse().unwrap();
        cookie.header(&sid).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn default_is_that_of_the_official_server() {
        assert_eq!(header(&Cookie::default()), "io=abc; Path=/; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn every_attribute_can_be_changed() {
        let cookie = Cookie::new("sid")
            .path(Some("/a b"))
            .domain(Some("example.com"))
            .max_age(Some(Duration::from_millis(61_500)))
            .http_only(false)
            .secure(true)
            .same_site(Some(SameSite::None));
        let expected = "sid=abc; Max-Age=61; Domain=example.com; Path=/a b; Secure; SameSite=None";
        assert_eq!(header(&cookie), expected);
        let bare = Cookie::new("x").path(None).http_only(false).same_site(None);
        assert_eq!(header(&bare), "x=abc");
        assert_eq!(
            header(&Cookie::new("x").path(None).same_site(Some(SameSite::Strict))),
            "x=abc; HttpOnly; SameSite=Strict"
        );
    }

    #[test]
    fn what_would_end_an_attribute_is_refused() {
        for name in ["", "a b", "a=b", "a;b", "é", "a\r\nb"] {
            assert!(std::panic::catch_unwind(|| Cookie::new(name)).is_err(), "{name:?}");
        }
        for attribute in ["/;x", "/\r\nx: y", "/é"] {
            assert!(std::panic::catch_unwind(|| Cookie::default().path(Some(attribute))).is_err());
            assert!(std::panic::catch_unwind(|| Cookie::default().domain(Some(attribute))).is_err());
        }
    }
}
