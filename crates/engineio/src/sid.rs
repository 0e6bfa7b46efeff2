//! Session ids.

use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The id of a session. Whoever knows it can speak for the session, so it must be unguessable and must not be
/// logged: [`Debug`](fmt::Debug) shows its first characters only, [`Display`](fmt::Display) and
/// [`as_str`](Self::as_str) all.
///
/// [`from_bytes`](Self::from_bytes) makes the usual id: 15 random bytes, 20 characters of base64url. An id
/// made elsewhere (an application's own, or one that a server gave to a client) comes in with [`str::parse`].
/// All of them are kept inline, so that `Sid` is `Copy` and a map of sessions allocates nothing for its keys.
/// A map with `Sid` keys can be asked with a `&str`.
///
/// ```
/// use std::collections::HashMap;
/// use sockeye_engineio::Sid;
///
/// let sid = Sid::from_bytes([0xff; 15]);
/// assert_eq!(sid.as_str(), "____________________");
/// let sessions = HashMap::from([(sid, "the session")]);
/// assert_eq!(sessions.get("____________________"), Some(&"the session"));
/// ```
#[derive(Clone, Copy)]
pub struct Sid {
    len: u8,
    bytes: [u8; Self::MAX_LEN],
}

impl Sid {
    /// The length in bytes of the longest id.
    pub const MAX_LEN: usize = 39;

    /// How many characters [`Debug`](fmt::Debug) shows.
    const SHOWN_LEN: usize = 4;

    /// The id of 15 bytes. They must come from a cryptographically secure source.
    #[must_use]
    pub fn from_bytes(random: [u8; 15]) -> Self {
        let mut bytes = [0; Self::MAX_LEN];
        let written = URL_SAFE_NO_PAD.encode_slice(random, &mut bytes).unwrap_or(0);
        debug_assert_eq!(written, 20, "15 bytes are 20 characters of base64");
        Self { len: 20, bytes }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII gets in, so the fallback is never taken.
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

/// The text is no session id: it is empty, longer than [`Sid::MAX_LEN`], or has a character that is not one
/// of `A-Z`, `a-z`, `0-9`, `-`, `_`, `.`, `~` (those that need no escape in a URL).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidSid;

impl fmt::Display for InvalidSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid session id")
    }
}

impl core::error::Error for InvalidSid {}

impl FromStr for Sid {
    type Err = InvalidSid;

    fn from_str(text: &str) -> Result<Self, InvalidSid> {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
        if text.is_empty() || !text.as_bytes().iter().all(is_plain) {
            return Err(InvalidSid);
        }
        let mut bytes = [0; Self::MAX_LEN];
        bytes.get_mut(..text.len()).ok_or(InvalidSid)?.copy_from_slice(text.as_bytes());
        Ok(Self { len: u8::try_from(text.len()).map_err(|_| InvalidSid)?, bytes })
    }
}

impl AsRef<str> for Sid {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// `Eq`, `Ord` and `Hash` are those of the text, as [`Borrow`] demands.
impl Borrow<str> for Sid {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Sid {
    fn eq(&self, other: &Self) -> bool {
        // Bytes past the end are zero, so that the arrays are equal when the texts are.
        self.len == other.len && self.bytes == other.bytes
    }
}

impl Eq for Sid {}

impl PartialOrd for Sid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Sid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // At most half of a short id.
        let shown = Self::SHOWN_LEN.min(self.as_str().len() / 2);
        write!(f, "Sid({}…)", &self.as_str()[..shown])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::format;
    use alloc::string::{String, ToString};
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn fifteen_bytes_are_twenty_characters_of_base64url() {
        assert_eq!(Sid::from_bytes([0; 15]).as_str(), "AAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Sid::from_bytes([0xfb; 15]).as_str(), "-_v7-_v7-_v7-_v7-_v7");
        assert_eq!(Sid::from_bytes([0xfb; 15]).to_string(), "-_v7-_v7-_v7-_v7-_v7");
    }

    #[test]
    fn debug_shows_a_few_characters_only() {
        let sid = Sid::from_bytes(*b"fifteen bytes!!");
        assert_eq!(format!("{sid:?}"), "Sid(Zmlm…)");
        assert_eq!(format!("{:?}", "ab".parse::<Sid>().unwrap()), "Sid(a…)");
    }

    #[test]
    fn a_map_is_asked_with_the_text() {
        let sid = Sid::from_bytes([7; 15]);
        let text = sid.to_string();
        assert_eq!(HashMap::from([(sid, 1)]).get(text.as_str()), Some(&1));
        assert_eq!(BTreeMap::from([(sid, 1)]).get(text.as_str()), Some(&1));
    }

    #[test]
    fn ids_of_other_makers_are_held_up_to_the_longest() {
        for text in ["1", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", &"x".repeat(Sid::MAX_LEN)] {
            assert_eq!(text.parse::<Sid>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_cannot_be_an_id_is_refused() {
        for text in ["", "é", "a b", "a\"", "a/b", "%41", "a\u{1e}", &"x".repeat(Sid::MAX_LEN + 1)] {
            assert_eq!(text.parse::<Sid>(), Err(InvalidSid), "{text:?}");
        }
    }

    #[test]
    fn an_id_takes_40_bytes() {
        assert_eq!(size_of::<Sid>(), 40);
    }

    proptest! {
        #[test]
        fn a_parsed_id_equals_the_one_it_came_from(bytes in any::<[u8; 15]>(), other in any::<[u8; 15]>()) {
            let (sid, other_sid) = (Sid::from_bytes(bytes), Sid::from_bytes(other));
            prop_assert_eq!(sid.as_str().len(), 20);
            prop_assert_eq!(sid.as_str().parse::<Sid>(), Ok(sid));
            prop_assert_eq!(sid == other_sid, bytes == other);
            prop_assert_eq!(sid.cmp(&other_sid), sid.as_str().cmp(other_sid.as_str()));
        }

        #[test]
        fn any_text_is_an_id_or_refused_without_a_panic(text in any::<String>()) {
            if let Ok(sid) = text.parse::<Sid>() {
                prop_assert_eq!(sid.as_str(), text);
            }
        }
    }
}
