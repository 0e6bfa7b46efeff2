//! Which pages may connect (RFC 6455 §10.2, RFC 6454).

use std::{fmt, sync::Arc};

/// The rules of a server about `Origin`. An origin is accepted by the first rule that accepts it, and any origin while
/// there is no rule.
#[derive(Debug, Clone, Default)]
pub(crate) struct OriginPolicy {
    rules: Option<Vec<Rule>>,
    /// Whether a request without an `Origin`, which no browser sends, is refused.
    required: bool,
}

#[derive(Clone)]
enum Rule {
    Listed(String),
    /// The page comes from the host that it connects to.
    Same,
    Matching(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl OriginPolicy {
    pub(super) fn list(&mut self, origins: impl IntoIterator<Item = String>) {
        self.rules().extend(origins.into_iter().map(Rule::Listed));
    }

    pub(super) fn same(&mut self) {
        self.rules().push(Rule::Same);
    }

    pub(super) fn matching(&mut self, predicate: Arc<dyn Fn(&str) -> bool + Send + Sync>) {
        self.rules().push(Rule::Matching(predicate));
    }

    pub(super) const fn require(&mut self) {
        self.required = true;
    }

    fn rules(&mut self) -> &mut Vec<Rule> {
        self.rules.get_or_insert_default()
    }

    /// Judges the values of all `Origin` fields of a request that was sent to `host`.
    pub(crate) fn allows<'h>(
        &self,
        origins: impl IntoIterator<Item = &'h [u8]>,
        host: Option<&[u8]>,
    ) -> bool {
        let mut origins = origins.into_iter();
        let (origin, more) = (origins.next(), origins.next());
        match (origin, &self.rules) {
            (None, _) => !self.required,
            (Some(_), None) => true,
            // RFC 6454 §7.3: "The user agent MUST NOT include more than one Origin header field".
            (Some(origin), Some(rules)) => {
                more.is_none() && rules.iter().any(|rule| rule.allows(origin, host))
            }
        }
    }
}

impl Rule {
    fn allows(&self, origin: &[u8], host: Option<&[u8]>) -> bool {
        match self {
            // RFC 6454 §4: scheme and host are compared in lower case.
            Self::Listed(listed) => listed.as_bytes().eq_ignore_ascii_case(origin),
            Self::Same => host.is_some_and(|host| is_same(origin, host)),
            Self::Matching(predicate) => str::from_utf8(origin).is_ok_and(|origin| predicate(origin)),
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(origin) => f.debug_tuple("Listed").field(origin).finish(),
            Self::Same => f.write_str("Same"),
            Self::Matching(_) => f.write_str("Matching"),
        }
    }
}

/// Whether a page of `origin` is of `host`, both of which may leave out the port that is its scheme's own. Whether the
/// request came by TLS is not known here: a proxy may have ended it.
fn is_same(origin: &[u8], host: &[u8]) -> bool {
    [(&b"https://"[..], &b":443"[..]), (b"http://", b":80")].into_iter().any(|(scheme, port)| {
        let Some((start, authority)) = origin.split_at_checked(scheme.len()) else { return false };
        let bare =
            |authority: &'_ [u8]| authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase();
        start.eq_ignore_ascii_case(scheme) && !authority.is_empty() && bare(authority) == bare(host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(policy: &OriginPolicy, origin: &str, host: &str) -> bool {
        policy.allows([origin.as_bytes()], Some(host.as_bytes()))
    }

    #[test]
    fn same_origin_is_that_of_the_host_with_or_without_the_default_port() {
        let mut policy = OriginPolicy::default();
        policy.same();
        for (origin, host) in [
            ("https://example.com", "example.com"),
            ("http://example.com", "example.com"),
            ("HTTPS://Example.COM", "example.com"),
            ("https://example.com", "example.com:443"),
            ("http://example.com:80", "example.com"),
            ("http://localhost:3000", "localhost:3000"),
            ("http://[::1]:3000", "[::1]:3000"),
        ] {
            assert!(allows(&policy, origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("https://example.com", "example.com:80"),
            ("https://example.com:8443", "example.com"),
            ("https://example.com.evil.example", "example.com"),
            ("https://evil.example", "example.com"),
            ("https://sub.example.com", "example.com"),
            ("https://example.com/", "example.com"),
            ("chrome-extension://example.com", "example.com"),
            ("example.com", "example.com"),
            ("https://", ""),
            ("null", "null"),
            ("", ""),
        ] {
            assert!(!allows(&policy, origin, host), "{origin} {host}");
        }
        assert!(!policy.allows([&b"https://example.com"[..]], None));
    }

    #[test]
    fn each_rule_may_accept() {
        let mut policy = OriginPolicy::default();
        policy.same();
        policy.list(["https://app.example".into(), "null".into()]);
        policy.matching(Arc::new(|origin| origin.ends_with(".trusted.example")));
        for origin in ["https://here", "https://app.example", "null", "https://a.trusted.example"] {
            assert!(allows(&policy, origin, "here"), "{origin}");
        }
        assert!(!allows(&policy, "https://elsewhere.example", "here"));
        assert!(!policy.allows([&b"https://\xff.trusted.example"[..]], None), "not UTF-8");
    }

    #[test]
    fn missing_origin_is_accepted_unless_one_is_required() {
        let mut policy = OriginPolicy::default();
        policy.list([]);
        assert!(policy.allows([], Some(b"here")));
        assert!(!allows(&policy, "https://here", "here"), "an empty list accepts no page");
        policy.require();
        assert!(!policy.allows([], Some(b"here")));
    }

    #[test]
    fn two_origins_are_none() {
        let mut policy = OriginPolicy::default();
        policy.list(["https://a.example".into()]);
        assert!(!policy.allows([&b"https://a.example"[..]; 2], None));
        assert!(OriginPolicy::default().allows([&b"https://a.example"[..]; 2], None), "there is no rule");
    }
}
