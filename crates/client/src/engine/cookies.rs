//! Cookies that the server sets, kept for the life of a client (RFC 6265, as far as one server and one path need it).

use std::time::Duration;

/// The most cookies that are kept; later ones are not.
const MAX_COOKIE_COUNT: usize = 50;

/// The longest name and value together, as browsers have it (RFC 6265 §6.1).
const MAX_COOKIE_LEN: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct CookieJar {
    cookies: Vec<Cookie>,
}

#[derive(Debug)]
struct Cookie {
    name: String,
    value: String,
    secure: bool,
    expires: Option<Duration>,
}

impl CookieJar {
    /// Takes the value of a `Set-Cookie` field. What is no cookie is ignored (§5.2).
    pub(crate) fn set(&mut self, field: &str, now: Duration) {
        let mut parts = field.split(';');
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() + value.len() > MAX_COOKIE_LEN {
            return;
        }
        let (mut secure, mut expires) = (false, None);
        for attribute in parts {
            let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            match key.trim().to_ascii_lowercase().as_str() {
                "secure" => secure = true,
                // §5.2.2: "If delta-seconds is less than or equal to zero (0), let expiry-time be the earliest
                // representable date and time."
                "max-age" => {
                    if let Ok(seconds) = value.trim().parse::<i64>() {
                        let age = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
                        expires = Some(now.saturating_add(age));
                    }
                }
                // How servers delete cookies: the epoch, or a date of its first year. There is no other date to compare
                // with, for cookies do not outlive the client.
                "expires" if expires.is_none() && value.contains("1970") => expires = Some(now),
                _ => {}
            }
        }
        self.cookies.retain(|cookie| cookie.name != name && cookie.expires.is_none_or(|at| at > now));
        if expires.is_none_or(|at| at > now) && self.cookies.len() < MAX_COOKIE_COUNT {
            self.cookies.push(Cookie { name: name.into(), value: value.into(), secure, expires });
        }
    }

    /// The value of the `Cookie` field of a request, `None` when there is no cookie to send.
    pub(crate) fn header(&self, secure: bool, now: Duration) -> Option<String> {
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .filter(|cookie| (secure || !cookie.secure) && cookie.expires.is_none_or(|at| at > now))
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(10);

    fn jar(fields: &[&str]) -> CookieJar {
        let mut jar = CookieJar::default();
        for field in fields {
            jar.set(field, NOW);
        }
        jar
    }

    fn header(fields: &[&str]) -> Option<String> {
        jar(fields).header(false, NOW)
    }

    #[test]
    fn cookies_are_sent_back_without_their_attributes() {
        let sent = header(&[
            "io=abc; Path=/; HttpOnly; SameSite=Lax",
            "AWSALB=x=y=; Expires=Tue, 01 Dec 2099 00:00:00 GMT",
        ]);
        assert_eq!(sent.as_deref(), Some("io=abc; AWSALB=x=y="));
        assert_eq!(header(&[]), None);
    }

    #[test]
    fn a_later_cookie_of_the_same_name_replaces_the_earlier_one() {
        assert_eq!(header(&["a=1", "b=2", "a=3"]).as_deref(), Some("b=2; a=3"));
    }

    #[test]
    fn cookies_expire_and_are_deleted() {
        let jar = jar(&["a=1; Max-Age=5", "b=2"]);
        assert_eq!(jar.header(false, NOW + Duration::from_secs(4)).as_deref(), Some("a=1; b=2"));
        assert_eq!(jar.header(false, NOW + Duration::from_secs(5)).as_deref(), Some("b=2"));
        assert_eq!(header(&["a=1", "a=; Max-Age=0"]), None);
        assert_eq!(header(&["a=1", "a=; Max-Age=-1"]), None);
        assert_eq!(header(&["a=1", "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]), None);
    }

    #[test]
    fn secure_cookies_do_not_travel_in_the_clear() {
        let jar = jar(&["a=1; Secure"]);
        assert_eq!(jar.header(false, NOW), None);
        assert_eq!(jar.header(true, NOW).as_deref(), Some("a=1"));
    }

    #[test]
    fn what_is_no_cookie_is_ignored_and_their_count_is_bounded() {
        assert_eq!(header(&["", "a", "=b", ";a=b", &format!("a={}", "x".repeat(MAX_COOKIE_LEN))]), None);
        let fields: Vec<String> = (0..1000).map(|number| format!("a{number}=1")).collect();
        let mut jar = CookieJar::default();
        for field in &fields {
            jar.set(field, NOW);
        }
        assert_eq!(jar.header(false, NOW).unwrap().split("; ").count(), MAX_COOKIE_COUNT);
    }
}
