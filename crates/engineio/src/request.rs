//! The query of a request and the checks that come before anything else is done with it, in the order of the
//! official server:
//!
//! ```text
//! RequestQuery::parse   0  the query can be read                                        3 Bad request
//! verify                1  the transport is known and allowed                           0 Transport unknown
//!                       2  the Origin header has no control characters                  3 Bad request
//!            with a sid 3  the session exists                                           1 Session ID unknown
//!                       4  it is on this transport, or this is an upgrade               3 Bad request
//!                       5  it speaks the same revision                                  3 Bad request
//!         without a sid 6  the method is GET                                            2 Bad handshake method
//!                       7  a WebSocket is opened with an upgrade, polling without       3 Bad request
//! the application       8  allowRequest agrees                                          4 Forbidden
//! check_version         9  the revision is served                                       5 Unsupported protocol version
//! ```
//!
//! [`RequestError`] tells which check failed; its [`code`](RequestError::code) is what the client is told.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use core::fmt;

use crate::error::ErrorCode;
use crate::transport::{Transport, TransportSet};

/// The revision of the protocol, from the `EIO` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revision {
    /// Revision 3, and whatever else is not 4.
    V3,
    /// Revision 4.
    V4,
}

/// The parameters of a request that mean something to Engine.IO. Others, as the cache buster `t`, are left to
/// the application.
///
/// When a parameter is given twice the last one counts, as in the official server.
///
/// ```
/// use sockeye_engineio::{RequestQuery, Revision};
///
/// let query = RequestQuery::parse("EIO=4&transport=polling&t=Oxyz")?;
/// assert_eq!(query.transport.as_deref(), Some("polling"));
/// assert_eq!(query.revision(), Revision::V4);
/// assert_eq!(query.sid, None);
/// # Ok::<(), sockeye_engineio::RequestError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestQuery<'a> {
    /// The name of the transport.
    pub transport: Option<Cow<'a, str>>,
    /// The protocol revision as given, see [`revision`](Self::revision).
    pub eio: Option<Cow<'a, str>>,
    /// The session id. An empty one counts as none.
    pub sid: Option<Cow<'a, str>>,
    /// The `j` parameter: the client asks for JSONP, with this index. Digits only, possibly none; whatever
    /// else the client wrote is left out, since the index becomes part of a script.
    pub jsonp: Option<Cow<'a, str>>,
    /// Whether the client cannot take binary data (`b64`, revision 3).
    pub b64: bool,
}

impl<'a> RequestQuery<'a> {
    /// Parses the query of a request target, without the `?`. `+` and percent escapes are decoded.
    ///
    /// # Errors
    ///
    /// [`RequestError::InvalidQuery`] when any name or value has a broken percent escape or decodes to invalid
    /// UTF-8.
    pub fn parse(query: &'a str) -> Result<Self, RequestError> {
        let mut parsed = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode_component(name)?, decode_component(value)?);
            match name.as_ref() {
                "transport" => parsed.transport = Some(value),
                "EIO" => parsed.eio = Some(value),
                "sid" => parsed.sid = Some(value).filter(|sid| !sid.is_empty()),
                "j" => parsed.jsonp = Some(only_digits(value)),
                "b64" => parsed.b64 = !value.is_empty(),
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// The revision of the protocol: 4 when `EIO` says so, else 3.
    #[must_use]
    pub fn revision(&self) -> Revision {
        if self.eio.as_deref() == Some("4") { Revision::V4 } else { Revision::V3 }
    }
}

/// What a request is, as far as Engine.IO goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// `GET` without an upgrade to WebSocket.
    Get,
    /// Any other method.
    Other,
    /// An upgrade to WebSocket.
    Upgrade,
}

/// What [`verify`] looks at.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The parsed query.
    pub query: &'a RequestQuery<'a>,
    /// The method, or that it is an upgrade.
    pub kind: RequestKind,
    /// The `Origin` header, if there is one.
    pub origin: Option<&'a [u8]>,
}

/// What [`verify`] has to know about the session that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownSession {
    /// The current transport of the session.
    pub transport: Transport,
    /// The revision that the session was opened with.
    pub revision: Revision,
    /// Whether the session may be upgraded. The official server never refuses here: without `allowUpgrades`
    /// it only offers no upgrade. A session that is upgrading or upgraded is no case for this field either:
    /// that WebSocket is opened and closed again, see
    /// [`Session::probe_opened`](crate::Session::probe_opened).
    pub upgrade_allowed: bool,
}

/// A request that passed [`verify`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified<'a> {
    /// It opens a session. The application's `allowRequest` comes next, then [`check_version`].
    NewSession {
        /// The transport of the session.
        transport: Transport,
        /// The revision asked for.
        revision: Revision,
    },
    /// It belongs to a session.
    Known {
        /// The id of the session.
        sid: &'a str,
        /// Whether it is a WebSocket to upgrade the session to, or else a polling request of any method. A
        /// method other than `GET` and `POST` is answered with 500.
        is_upgrade: bool,
    },
}

/// Which check a request failed. [`code`](Self::code) is what its client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestError {
    /// The query has a broken percent escape or invalid UTF-8.
    InvalidQuery,
    /// 1: the transport is missing, unknown or turned off.
    TransportUnknown,
    /// 2: the `Origin` has a character that no header value may have.
    InvalidOrigin,
    /// 3: no session has the id.
    SessionIdUnknown,
    /// 4: the session is on another transport, and this is no upgrade to this one.
    TransportMismatch {
        /// The transport of the session.
        current: Transport,
    },
    /// 5: the session speaks another revision.
    RevisionMismatch {
        /// The revision of the session.
        current: Revision,
    },
    /// 6: a session is opened with `GET` only.
    MethodNotGet,
    /// 7: WebSocket without an upgrade, or an upgrade to another transport.
    HandshakeMismatch,
    /// 9: the revision in `EIO` is not served.
    UnsupportedRevision,
}

impl RequestError {
    /// What the client is told.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::TransportUnknown => ErrorCode::TransportUnknown,
            Self::SessionIdUnknown => ErrorCode::SessionIdUnknown,
            Self::MethodNotGet => ErrorCode::BadHandshakeMethod,
            Self::UnsupportedRevision => ErrorCode::UnsupportedProtocolVersion,
            Self::InvalidQuery
            | Self::InvalidOrigin
            | Self::TransportMismatch { .. }
            | Self::RevisionMismatch { .. }
            | Self::HandshakeMismatch => ErrorCode::BadRequest,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidQuery => f.write_str("the query has a broken escape"),
            Self::TransportUnknown => f.write_str("unknown transport"),
            Self::InvalidOrigin => f.write_str("invalid character in the Origin"),
            Self::SessionIdUnknown => f.write_str("unknown session"),
            Self::TransportMismatch { current } => write!(f, "the session is on {current}"),
            Self::RevisionMismatch { current: Revision::V3 } => f.write_str("the session speaks revision 3"),
            Self::RevisionMismatch { current: Revision::V4 } => f.write_str("the session speaks revision 4"),
            Self::MethodNotGet => f.write_str("a session is opened with GET"),
            Self::HandshakeMismatch => f.write_str("an upgrade for WebSocket, and for nothing else"),
            Self::UnsupportedRevision => f.write_str("the revision is not served"),
        }
    }
}

impl core::error::Error for RequestError {}

impl From<RequestError> for ErrorCode {
    fn from(error: RequestError) -> Self {
        error.code()
    }
}

/// Runs the checks 1 to 7, in order. `session` is called at most once, with the `sid` of the query.
///
/// ```
/// use sockeye_engineio::{
///     ErrorCode, Request, RequestKind, RequestQuery, Revision, Transport, TransportSet, Verified, check_version, verify,
/// };
///
/// fn open(query: &str) -> Result<Transport, ErrorCode> {
///     let query = RequestQuery::parse(query)?;
///     let request = Request { query: &query, kind: RequestKind::Get, origin: Some(b"https://example.com") };
///     match verify(&request, TransportSet::default(), |_sid| None)? {
///         Verified::NewSession { transport, revision } => {
///             // Here the application is asked.
///             check_version(revision, false)?;
///             Ok(transport)
///         }
///         Verified::Known { .. } => unreachable!("no session is known"),
///     }
/// }
/// assert_eq!(open("EIO=4&transport=polling"), Ok(Transport::Polling));
/// assert_eq!(open("EIO=4&transport=carrier-pigeon"), Err(ErrorCode::TransportUnknown));
/// assert_eq!(open("EIO=4&transport=polling&sid=gone"), Err(ErrorCode::SessionIdUnknown));
/// assert_eq!(open("EIO=2&transport=polling"), Err(ErrorCode::UnsupportedProtocolVersion));
/// ```
///
/// # Errors
///
/// Which check failed.
pub fn verify<'a>(
    request: &Request<'a>,
    allowed: TransportSet,
    session: impl FnOnce(&str) -> Option<KnownSession>,
) -> Result<Verified<'a>, RequestError> {
    let query = request.query;
    let transport = query
        .transport
        .as_deref()
        .and_then(Transport::from_name)
        .filter(|transport| allowed.contains(*transport))
        .ok_or(RequestError::TransportUnknown)?;
    if request.origin.is_some_and(has_invalid_header_byte) {
        return Err(RequestError::InvalidOrigin);
    }
    let is_upgrade = request.kind == RequestKind::Upgrade;
    // A WebSocket is opened with an upgrade, and an upgrade opens nothing else.
    let fits_transport = is_upgrade == (transport == Transport::WebSocket);
    let Some(sid) = query.sid.as_deref() else {
        if request.kind == RequestKind::Other {
            return Err(RequestError::MethodNotGet);
        }
        if !fits_transport {
            return Err(RequestError::HandshakeMismatch);
        }
        return Ok(Verified::NewSession { transport, revision: query.revision() });
    };
    let known = session(sid).ok_or(RequestError::SessionIdUnknown)?;
    let fits_session = if is_upgrade { known.upgrade_allowed } else { known.transport == transport };
    if !fits_transport || !fits_session {
        return Err(RequestError::TransportMismatch { current: known.transport });
    }
    if known.revision != query.revision() {
        return Err(RequestError::RevisionMismatch { current: known.revision });
    }
    Ok(Verified::Known { sid, is_upgrade })
}

/// Runs check 9, after the application agreed to open the session.
///
/// # Errors
///
/// [`RequestError::UnsupportedRevision`] when the revision is not 4, nor 3 where that is allowed.
pub const fn check_version(revision: Revision, allow_eio3: bool) -> Result<(), RequestError> {
    match revision {
        Revision::V4 => Ok(()),
        Revision::V3 if allow_eio3 => Ok(()),
        Revision::V3 => Err(RequestError::UnsupportedRevision),
    }
}

/// Whether a header value has a byte that RFC 9110 §5.5 does not allow: a control character other than a tab.
fn has_invalid_header_byte(value: &[u8]) -> bool {
    value.iter().any(|&byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f)
}

/// Decodes `+` and percent escapes.
pub(crate) fn decode_component(text: &str) -> Result<Cow<'_, str>, RequestError> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = bytes.next().and_then(hex_value).ok_or(RequestError::InvalidQuery)?;
                let low = bytes.next().and_then(hex_value).ok_or(RequestError::InvalidQuery)?;
                high << 4 | low
            }
            plain => plain,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| RequestError::InvalidQuery)
}

const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn only_digits(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text;
    }
    text.chars().filter(char::is_ascii_digit).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use core::cell::Cell;
    use proptest::prelude::*;

    mod query {
        use super::*;

        #[test]
        fn every_parameter_is_found() {
            let query =
                RequestQuery::parse("EIO=4&transport=polling&t=N8hyd6w&sid=abc&j=12&b64=1&token=x").unwrap();
            let expected = RequestQuery {
                transport: Some("polling".into()),
                eio: Some("4".into()),
                sid: Some("abc".into()),
                jsonp: Some("12".into()),
                b64: true,
            };
            assert_eq!(query, expected);
        }

        #[test]
        fn an_empty_query_has_no_parameter() {
            for text in ["", "&", "&&&", "t", "t=", "=", "=x"] {
                assert_eq!(RequestQuery::parse(text), Ok(RequestQuery::default()));
            }
        }

        #[test]
        fn the_last_occurrence_counts() {
            let query = RequestQuery::parse("transport=x&EIO=3&sid=a&transport=polling&EIO=4&sid=b").unwrap();
            assert_eq!(query.transport.as_deref(), Some("polling"));
            assert_eq!(query.revision(), Revision::V4);
            assert_eq!(query.sid.as_deref(), Some("b"));
            assert_eq!(RequestQuery::parse("sid=a&sid=").unwrap().sid, None);
        }

        #[test]
        fn an_empty_sid_counts_as_none_and_an_empty_transport_as_one() {
            let query = RequestQuery::parse("sid=&transport=&j=&b64=").unwrap();
            assert_eq!(query.sid, None);
            assert_eq!(query.transport.as_deref(), Some(""));
            assert_eq!(query.jsonp.as_deref(), Some(""));
            assert!(!query.b64);
        }

        #[test]
        fn names_and_values_are_unescaped() {
            let query = RequestQuery::parse("tr%61nsport=%70olling&sid=%C3%A9+%2B%3d&x=é").unwrap();
            assert_eq!(query.transport.as_deref(), Some("polling"));
            assert_eq!(query.sid.as_deref(), Some("é +="));
        }

        #[test]
        fn a_value_may_hold_an_equals_sign() {
            assert_eq!(RequestQuery::parse("sid=a=b").unwrap().sid.as_deref(), Some("a=b"));
        }

        #[test]
        fn broken_percent_escapes_are_a_bad_request_wherever_they_are() {
            for text in
                ["sid=%", "sid=%4", "sid=%zz", "sid=%4é", "x=%", "%=x", "%é", "transport=polling&x=100%"]
            {
                assert_eq!(RequestQuery::parse(text), Err(RequestError::InvalidQuery), "{text:?}");
            }
        }

        #[test]
        fn invalid_utf8_is_a_bad_request_wherever_it_is() {
            for text in ["sid=%ff", "sid=%c3", "x=%c3%28", "%ed%a0%80=x", "transport=polling&x=%80"] {
                assert_eq!(RequestQuery::parse(text), Err(RequestError::InvalidQuery), "{text:?}");
            }
        }

        #[test]
        fn the_jsonp_index_is_digits_only() {
            assert_eq!(RequestQuery::parse("j=1%5D;alert(2)//").unwrap().jsonp.as_deref(), Some("12"));
            assert_eq!(RequestQuery::parse("j=%D9%A1").unwrap().jsonp.as_deref(), Some(""));
        }

        #[test]
        fn every_revision_but_4_counts_as_3() {
            for text in ["", "EIO=3", "EIO=5", "EIO=04", "EIO=4.0", "eio=4", "EIO=%204"] {
                assert_eq!(RequestQuery::parse(text).unwrap().revision(), Revision::V3, "{text:?}");
            }
            assert_eq!(RequestQuery::parse("EIO=4").unwrap().revision(), Revision::V4);
        }

        proptest! {
            #[test]
            fn any_query_parses_or_fails_without_a_panic(text in any::<String>(), escapes in "[%0-9a-fA-Fé+&=]{0,20}") {
                let _ = RequestQuery::parse(&text);
                let _ = RequestQuery::parse(&escapes);
            }

            #[test]
            fn an_escaped_value_parses_to_what_it_was(value in "\\PC+") {
                let escaped: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
                let text = format!("sid={escaped}");
                prop_assert_eq!(RequestQuery::parse(&text).unwrap().sid.unwrap(), value);
            }
        }
    }

    mod checks {
        use super::*;

        const POLLING: KnownSession =
            KnownSession { transport: Transport::Polling, revision: Revision::V4, upgrade_allowed: true };
        const WEBSOCKET: KnownSession = KnownSession { transport: Transport::WebSocket, ..POLLING };

        /// What verify says of a request without an invalid origin, when `session` is the one with the id
        /// `s`.
        fn outcome(query: &str, kind: RequestKind, session: Option<KnownSession>) -> Result<bool, ErrorCode> {
            outcome_with(query, kind, session, None)
        }

        fn outcome_with(
            query: &str,
            kind: RequestKind,
            session: Option<KnownSession>,
            origin: Option<&[u8]>,
        ) -> Result<bool, ErrorCode> {
            let query = RequestQuery::parse(query).unwrap();
            let request = Request { query: &query, kind, origin };
            let verified = verify(&request, TransportSet::default(), |sid| session.filter(|_| sid == "s"))?;
            Ok(match verified {
                Verified::NewSession { .. } => false,
                Verified::Known { sid, is_upgrade } => {
                    assert_eq!(sid, "s");
                    assert_eq!(is_upgrade, kind == RequestKind::Upgrade);
                    true
                }
            })
        }

        #[test]
        fn check_1_the_transport_must_be_known_and_allowed() {
            for query in
                ["", "transport=", "transport=webtransport", "transport=POLLING", "transport=__proto__"]
            {
                assert_eq!(
                    outcome(query, RequestKind::Get, None),
                    Err(ErrorCode::TransportUnknown),
                    "{query:?}"
                );
            }
            let query = RequestQuery::parse("transport=websocket&sid=s").unwrap();
            let request = Request { query: &query, kind: RequestKind::Upgrade, origin: None };
            let refused = verify(&request, TransportSet::only(Transport::Polling), |_| Some(POLLING));
            assert_eq!(refused, Err(RequestError::TransportUnknown));
        }

        #[test]
        fn check_2_the_origin_must_have_no_control_character() {
            for origin in [&b"http://a\x01"[..], b"\n", b"\x7f", b"http://a\r\nx: y", b"\0"] {
                let refused = outcome_with("transport=polling", RequestKind::Get, None, Some(origin));
                assert_eq!(refused, Err(ErrorCode::BadRequest));
            }
            for origin in [&b""[..], b"null", b"http://a\tb", b"https://\xc3\xa9.example", b"\xff"] {
                assert_eq!(
                    outcome_with("transport=polling", RequestKind::Get, None, Some(origin)),
                    Ok(false)
                );
            }
        }

        #[test]
        fn check_3_the_session_must_exist() {
            for query in ["EIO=4&transport=polling&sid=other", "transport=websocket&sid=__proto__"] {
                assert_eq!(outcome(query, RequestKind::Get, Some(POLLING)), Err(ErrorCode::SessionIdUnknown));
            }
        }

        #[test]
        fn check_4_a_session_is_asked_on_its_transport_unless_it_upgrades() {
            let on_polling = "EIO=4&transport=polling&sid=s";
            let on_websocket = "EIO=4&transport=websocket&sid=s";
            assert_eq!(outcome(on_polling, RequestKind::Get, Some(POLLING)), Ok(true));
            assert_eq!(outcome(on_polling, RequestKind::Other, Some(POLLING)), Ok(true));
            assert_eq!(outcome(on_websocket, RequestKind::Upgrade, Some(POLLING)), Ok(true));
            let bad = Err(ErrorCode::BadRequest);
            assert_eq!(outcome(on_polling, RequestKind::Get, Some(WEBSOCKET)), bad);
            assert_eq!(outcome(on_websocket, RequestKind::Get, Some(POLLING)), bad);
            assert_eq!(outcome(on_websocket, RequestKind::Get, Some(WEBSOCKET)), bad);
            assert_eq!(outcome(on_polling, RequestKind::Upgrade, Some(POLLING)), bad);
            let not_allowed = KnownSession { upgrade_allowed: false, ..POLLING };
            assert_eq!(outcome(on_websocket, RequestKind::Upgrade, Some(not_allowed)), bad);
        }

        #[test]
        fn check_5_a_session_keeps_its_revision() {
            let bad = Err(ErrorCode::BadRequest);
            assert_eq!(outcome("EIO=3&transport=polling&sid=s", RequestKind::Get, Some(POLLING)), bad);
            assert_eq!(outcome("transport=websocket&sid=s", RequestKind::Upgrade, Some(POLLING)), bad);
            let v3 = KnownSession { revision: Revision::V3, ..POLLING };
            assert_eq!(outcome("EIO=4&transport=polling&sid=s", RequestKind::Get, Some(v3)), bad);
            assert_eq!(outcome("EIO=3&transport=polling&sid=s", RequestKind::Get, Some(v3)), Ok(true));
        }

        #[test]
        fn check_6_a_session_is_opened_with_get() {
            for query in ["EIO=4&transport=polling", "transport=websocket", "transport=polling&sid="] {
                let refused = outcome(query, RequestKind::Other, Some(POLLING));
                assert_eq!(refused, Err(ErrorCode::BadHandshakeMethod), "{query:?}");
            }
        }

        #[test]
        fn check_7_a_websocket_is_opened_with_an_upgrade_and_polling_without() {
            let bad = Err(ErrorCode::BadRequest);
            assert_eq!(outcome("EIO=4&transport=websocket", RequestKind::Get, None), bad);
            assert_eq!(outcome("EIO=4&transport=polling", RequestKind::Upgrade, None), bad);
            assert_eq!(outcome("EIO=4&transport=websocket", RequestKind::Upgrade, None), Ok(false));
            assert_eq!(outcome("EIO=4&transport=polling", RequestKind::Get, None), Ok(false));
        }

        #[test]
        fn check_9_the_revision_must_be_served() {
            assert_eq!(check_version(Revision::V4, false), Ok(()));
            assert_eq!(check_version(Revision::V3, true), Ok(()));
            assert_eq!(check_version(Revision::V3, false), Err(RequestError::UnsupportedRevision));
        }

        #[test]
        fn errors_tell_more_than_their_code() {
            let query = RequestQuery::parse("EIO=3&transport=polling&sid=s").unwrap();
            let request = Request { query: &query, kind: RequestKind::Get, origin: None };
            let check = |session| verify(&request, TransportSet::default(), |_| Some(session)).err();
            assert_eq!(check(POLLING), Some(RequestError::RevisionMismatch { current: Revision::V4 }));
            let current = Transport::WebSocket;
            assert_eq!(check(WEBSOCKET), Some(RequestError::TransportMismatch { current }));
        }

        #[test]
        fn an_earlier_check_wins_over_a_later_one() {
            let bad_origin = Some(&b"\n"[..]);
            let all_wrong = "EIO=3&transport=x&sid=other";
            assert_eq!(
                outcome_with(all_wrong, RequestKind::Other, None, bad_origin),
                Err(ErrorCode::TransportUnknown)
            );
            let origin_and_sid = "EIO=3&transport=polling&sid=other";
            assert_eq!(
                outcome_with(origin_and_sid, RequestKind::Other, None, bad_origin),
                Err(ErrorCode::BadRequest)
            );
            assert_eq!(outcome(origin_and_sid, RequestKind::Other, None), Err(ErrorCode::SessionIdUnknown));
            let method_and_version = outcome("EIO=3&transport=websocket", RequestKind::Other, None);
            assert_eq!(method_and_version, Err(ErrorCode::BadHandshakeMethod));
            // The revision of a new session is the last thing looked at.
            assert_eq!(outcome("EIO=3&transport=polling", RequestKind::Get, None), Ok(false));
        }

        #[test]
        fn the_session_is_not_looked_up_before_its_turn() {
            let called = Cell::new(0);
            let refuse = |query: &str, origin: &[u8]| {
                let query = RequestQuery::parse(query).unwrap();
                let request = Request { query: &query, kind: RequestKind::Get, origin: Some(origin) };
                let look_up = |_: &str| {
                    called.set(called.get() + 1);
                    None
                };
                assert!(verify(&request, TransportSet::default(), look_up).is_err());
            };
            refuse("transport=x&sid=s", b"");
            refuse("transport=polling&sid=s", b"\n");
            assert_eq!(called.get(), 0);
            refuse("transport=polling&sid=s", b"");
            assert_eq!(called.get(), 1);
        }
    }
}
