//! The negotiation of both roles (RFC 7692 §5.1, §7.1).

use alloc::{
    format,
    string::{String, ToString},
};
use core::fmt;

use super::{
    Config, EXTENSION_NAME, Params,
    extension::{ClientMaxWindowBits, Element, ElementError, elements, name},
};
use crate::handshake::HandshakeError;

/// What a server accepted: its parameters, and by [`Display`](fmt::Display) the value of the
/// `Sec-WebSocket-Extensions` that says so.
///
/// ```
/// use sockeye_websocket::deflate::{Agreement, Config};
///
/// let offers = ["permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate"];
/// let agreement = Agreement::from_offers(offers, &Config::default()).expect("the first offer is acceptable");
/// assert_eq!(agreement.params.own_window_bits, 10);
/// assert_eq!(
///     agreement.to_string(),
///     "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10"
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreement {
    /// What was agreed, from the server's view.
    pub params: Params,
    /// Whether the response names the server's window: always when the offer does.
    names_server_window: bool,
}

impl Agreement {
    /// Accepts the first acceptable of the client's `offers`, the values of its `Sec-WebSocket-Extensions` in their
    /// order; several header fields are one list (RFC 6455 §9.1). `None` when there is none: the connection then
    /// goes uncompressed, which is no error (§5.1).
    ///
    /// An offer with an unknown, repeated or invalid parameter is declined (§7.1), and so is one that asks for a
    /// server window of 8 bits, or that does not let the client's window be limited as `config` wants it.
    pub fn from_offers<'o>(offers: impl IntoIterator<Item = &'o str>, config: &Config) -> Option<Self> {
        offers
            .into_iter()
            .flat_map(elements)
            .filter_map(|element| Element::parse(element).ok())
            .find_map(|offer| Self::accept(&offer, config))
    }

    fn accept(offer: &Element, config: &Config) -> Option<Self> {
        let own_window_bits = match offer.server_max_window_bits {
            // zlib cannot compress with it; §7.1.2.1 leaves to decline.
            Some(8) => return None,
            Some(bits) => bits.min(config.own_bits()),
            None => config.own_bits(),
        };
        let peer_window_bits = match offer.client_max_window_bits {
            Some(ClientMaxWindowBits::Limit(bits)) => bits.min(config.peer_bits()),
            Some(ClientMaxWindowBits::Offered) => config.peer_bits(),
            // §7.1.2.2: without it in the offer the response MUST NOT hold it, so the client cannot be limited.
            None if config.peer_bits() < 15 => return None,
            None => 15,
        };
        let params = Params {
            own_context_takeover: config.own_context_takeover && !offer.server_no_context_takeover,
            peer_context_takeover: config.peer_context_takeover && !offer.client_no_context_takeover,
            own_window_bits,
            peer_window_bits,
        };
        let names_server_window = offer.server_max_window_bits.is_some() || own_window_bits < 15;
        Some(Self { params, names_server_window })
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Params { own_context_takeover, peer_context_takeover, own_window_bits, peer_window_bits } =
            self.params;
        f.write_str(EXTENSION_NAME)?;
        if !own_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if !peer_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if self.names_server_window {
            write!(f, "; server_max_window_bits={own_window_bits}")?;
        }
        if peer_window_bits < 15 {
            write!(f, "; client_max_window_bits={peer_window_bits}")?;
        }
        Ok(())
    }
}

impl Config {
    /// What a client offers: the value of its `Sec-WebSocket-Extensions`.
    ///
    /// `client_max_window_bits` is always in it, so that the server may limit the client's window.
    ///
    /// ```
    /// let config = sockeye_websocket::deflate::Config { own_context_takeover: true, ..Default::default() };
    /// assert_eq!(config.offer(), "permessage-deflate; server_no_context_takeover; client_max_window_bits");
    /// ```
    pub fn offer(&self) -> String {
        let mut offer = EXTENSION_NAME.to_string();
        if !self.peer_context_takeover {
            offer.push_str("; server_no_context_takeover");
        }
        if !self.own_context_takeover {
            offer.push_str("; client_no_context_takeover");
        }
        if self.peer_bits() < 15 {
            offer.push_str(&format!("; server_max_window_bits={}", self.peer_bits()));
        }
        offer.push_str("; client_max_window_bits");
        if self.own_bits() < 15 {
            offer.push_str(&format!("={}", self.own_bits()));
        }
        offer
    }
}

impl Params {
    /// Judges the server's answer to what `config` [offers](Config::offer): the values of its
    /// `Sec-WebSocket-Extensions`. `None` when the server declined.
    ///
    /// # Errors
    /// [`HandshakeError::UnofferedExtension`] for any other extension, [`HandshakeError::Deflate`] for a response
    /// that does not correspond to the offer. §7.1: the client "MUST _Fail the WebSocket Connection_".
    pub fn from_response<'r>(
        response: impl IntoIterator<Item = &'r str>,
        config: &Config,
    ) -> Result<Option<Self>, HandshakeError> {
        let mut params = None;
        for element in response.into_iter().flat_map(elements) {
            let accepted = match Element::parse(element) {
                Ok(accepted) => accepted,
                Err(ElementError::OtherExtension) => {
                    return Err(HandshakeError::UnofferedExtension(name(element).into()));
                }
                Err(error) => return Err(HandshakeError::Deflate(error.into())),
            };
            if params.is_some() {
                return Err(HandshakeError::Deflate(ResponseError::RepeatedExtension));
            }
            params = Some(Self::check(&accepted, config).map_err(HandshakeError::Deflate)?);
        }
        Ok(params)
    }

    fn check(accepted: &Element, config: &Config) -> Result<Self, ResponseError> {
        // §7.1.1.1: a server accepts an offer with this parameter "by including" it in its response.
        if !config.peer_context_takeover && !accepted.server_no_context_takeover {
            return Err(ResponseError::ServerContextTakeover);
        }
        let peer_window_bits = accepted.server_max_window_bits.unwrap_or(15);
        if peer_window_bits > config.peer_bits() {
            let max = config.peer_bits();
            return Err(ResponseError::ServerWindowTooLarge { bits: peer_window_bits, max });
        }
        let own_window_bits = match accepted.client_max_window_bits {
            None => config.own_bits(),
            Some(ClientMaxWindowBits::Limit(bits)) if bits <= config.own_bits() => bits,
            Some(ClientMaxWindowBits::Limit(bits)) => {
                let max = config.own_bits();
                return Err(ResponseError::ClientWindowTooLarge { bits, max });
            }
            // §7.1.2.2: in a response the parameter has a value.
            Some(ClientMaxWindowBits::Offered) => return Err(ResponseError::InvalidValue),
        };
        Ok(Self {
            own_context_takeover: config.own_context_takeover && !accepted.client_no_context_takeover,
            peer_context_takeover: !accepted.server_no_context_takeover,
            own_window_bits,
            peer_window_bits,
        })
    }
}

/// Why a server's answer about permessage-deflate is not one to the client's offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseError {
    /// Not what the grammar of the header field allows (RFC 6455 §9.1).
    Malformed,
    /// The extension is there twice; it was offered once.
    RepeatedExtension,
    /// A parameter that RFC 7692 does not know.
    UnknownParameter,
    /// A parameter that is there twice.
    RepeatedParameter,
    /// A parameter with a value that it cannot have, or without the one that it needs.
    InvalidValue,
    /// `server_no_context_takeover` was asked for and is missing (§7.1.1.1).
    ServerContextTakeover,
    /// The server's window is larger than what was asked for (§7.1.2.1).
    ServerWindowTooLarge {
        /// The base-2 logarithm of its window; 15 when the response does not tell.
        bits: u8,
        /// What was asked for.
        max: u8,
    },
    /// The server grants the client a larger window than the client announced (§7.1.2.2).
    ClientWindowTooLarge {
        /// The base-2 logarithm of the window.
        bits: u8,
        /// What was announced.
        max: u8,
    },
}

impl From<ElementError> for ResponseError {
    fn from(error: ElementError) -> Self {
        match error {
            ElementError::Malformed | ElementError::OtherExtension => Self::Malformed,
            ElementError::UnknownParameter => Self::UnknownParameter,
            ElementError::RepeatedParameter => Self::RepeatedParameter,
            ElementError::InvalidValue => Self::InvalidValue,
        }
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("malformed"),
            Self::RepeatedExtension => f.write_str("accepted twice"),
            Self::UnknownParameter => f.write_str("unknown parameter"),
            Self::RepeatedParameter => f.write_str("repeated parameter"),
            Self::InvalidValue => f.write_str("parameter with an invalid value"),
            Self::ServerContextTakeover => f.write_str("`server_no_context_takeover` is missing"),
            Self::ServerWindowTooLarge { bits, max } => {
                write!(f, "a server window of {bits} bits, {max} were asked for")
            }
            Self::ClientWindowTooLarge { bits, max } => {
                write!(f, "a client window of {bits} bits, {max} were announced")
            }
        }
    }
}

impl core::error::Error for ResponseError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// An endpoint that is willing to do everything.
    const OPEN: Config = Config {
        level: 1,
        threshold: 0,
        own_context_takeover: true,
        peer_context_takeover: true,
        max_own_window_bits: 15,
        max_peer_window_bits: 15,
    };
    const ALL: Params = Params {
        own_context_takeover: true,
        peer_context_takeover: true,
        own_window_bits: 15,
        peer_window_bits: 15,
    };

    fn answer(offers: &[&str], config: &Config) -> Option<String> {
        Agreement::from_offers(offers.iter().copied(), config).map(|agreement| agreement.to_string())
    }

    fn judge(response: &str, config: &Config) -> Result<Option<Params>, HandshakeError> {
        Params::from_response([response], config)
    }

    fn refused(response: &str, config: &Config) -> ResponseError {
        match judge(response, config) {
            Err(HandshakeError::Deflate(error)) => error,
            other => panic!("{response}: {other:?}"),
        }
    }

    #[test]
    fn server_answers_each_parameter() {
        let cases = [
            ("permessage-deflate", "permessage-deflate"),
            ("permessage-deflate;", ""),
            (
                "permessage-deflate; server_no_context_takeover",
                "permessage-deflate; server_no_context_takeover",
            ),
            (
                "permessage-deflate; client_no_context_takeover",
                "permessage-deflate; client_no_context_takeover",
            ),
            ("permessage-deflate; server_max_window_bits=9", "permessage-deflate; server_max_window_bits=9"),
            (
                "permessage-deflate; server_max_window_bits=15",
                "permessage-deflate; server_max_window_bits=15",
            ),
            ("permessage-deflate; client_max_window_bits", "permessage-deflate"),
            ("permessage-deflate; client_max_window_bits=15", "permessage-deflate"),
            ("permessage-deflate; client_max_window_bits=8", "permessage-deflate; client_max_window_bits=8"),
            (
                "permessage-deflate ;\tserver_max_window_bits = \"1\\0\"",
                "permessage-deflate; server_max_window_bits=10",
            ),
            (
                "permessage-deflate;client_max_window_bits=9;server_max_window_bits=10;server_no_context_takeover\
                 ;client_no_context_takeover",
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 server_max_window_bits=10; client_max_window_bits=9",
            ),
        ];
        for (offer, expected) in cases {
            let expected = (!expected.is_empty()).then(|| expected.to_string());
            assert_eq!(answer(&[offer], &OPEN), expected, "{offer}");
        }
    }

    #[test]
    fn server_declines_what_it_cannot_accept_and_takes_the_next_offer() {
        let declined = [
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=\"\"",
            "permessage-deflate; server_max_window_bits=0",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=200",
            "permessage-deflate; server_max_window_bits=010",
            "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=08",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
            "permessage-deflate; client_max_window_bits=\"10",
            "permessage-deflate; server_no_context_takeover=true",
            "permessage-deflate; server_no_context_takeover=\"\"",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_no_context_takeover=",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; mystery",
            "permessage-deflate; Server_No_Context_Takeover",
            "permessage-deflate;;server_no_context_takeover",
            "permessage-deflate server_no_context_takeover",
            "permessage-deflate=1",
            "x-webkit-deflate-frame",
            "permessage-bzip2; a=\"permessage-deflate,\"",
            "(",
            "",
        ];
        for offer in declined {
            assert_eq!(answer(&[offer], &OPEN), None, "{offer}");
            if !offer.ends_with("\"10") {
                let listed = format!("{offer}, permessage-deflate; client_no_context_takeover");
                let expected = "permessage-deflate; client_no_context_takeover".to_string();
                assert_eq!(answer(&[&listed], &OPEN), Some(expected), "{listed}");
            }
            let expected = Some("permessage-deflate".to_string());
            assert_eq!(answer(&[offer, "permessage-deflate"], &OPEN), expected, "{offer}");
        }
    }

    #[test]
    fn server_says_unasked_what_it_wants() {
        let offer = ["permessage-deflate; client_max_window_bits"];
        let default =
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover".to_string();
        assert_eq!(answer(&offer, &Config::default()), Some(default));
        let small = Config { max_own_window_bits: 10, max_peer_window_bits: 11, ..OPEN };
        let limited = "permessage-deflate; server_max_window_bits=10; client_max_window_bits=11".to_string();
        assert_eq!(answer(&offer, &small), Some(limited));
        // §7.1.2.2: a client that does not offer it cannot be limited.
        assert_eq!(answer(&["permessage-deflate"], &small), None);
    }

    #[test]
    fn windows_out_of_range_in_the_configuration_become_the_nearest_in_range() {
        let low = Config { max_own_window_bits: 0, max_peer_window_bits: 0, ..OPEN };
        let expected = "permessage-deflate; server_max_window_bits=9; client_max_window_bits=8".to_string();
        assert_eq!(answer(&["permessage-deflate; client_max_window_bits"], &low), Some(expected));
        assert_eq!(low.offer(), "permessage-deflate; server_max_window_bits=8; client_max_window_bits=9");
        let high = Config { max_own_window_bits: 255, max_peer_window_bits: 16, ..OPEN };
        assert_eq!(high.offer(), "permessage-deflate; client_max_window_bits");
    }

    /// §7.1.3: the examples of the RFC.
    #[test]
    fn examples_of_the_rfc_are_negotiated() {
        assert_eq!(answer(&["permessage-deflate"], &OPEN), Some("permessage-deflate".into()));
        let both = ["permessage-deflate; client_max_window_bits; server_max_window_bits=10"];
        assert_eq!(answer(&both, &OPEN), Some("permessage-deflate; server_max_window_bits=10".into()));
        let fallback = ["permessage-deflate; client_max_window_bits; server_max_window_bits=10, \
             permessage-deflate; client_max_window_bits"];
        assert_eq!(answer(&fallback, &OPEN), Some("permessage-deflate; server_max_window_bits=10".into()));
        let agreed = judge("permessage-deflate; server_max_window_bits=10", &OPEN);
        assert_eq!(agreed, Ok(Some(Params { peer_window_bits: 10, ..ALL })));
        assert_eq!(judge("permessage-deflate", &OPEN), Ok(Some(ALL)));
    }

    #[test]
    fn long_runs_of_separators_are_read_in_linear_time() {
        for run in [",", ";", "\"", "\\\"", "permessage-deflate;", "permessage-deflate,x;", "=", " \t"] {
            assert_eq!(answer(&[&run.repeat(200_000)], &Config { max_peer_window_bits: 8, ..OPEN }), None);
        }
    }

    #[test]
    fn client_offers_what_it_wants() {
        assert_eq!(OPEN.offer(), "permessage-deflate; client_max_window_bits");
        assert_eq!(
            Config::default().offer(),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"
        );
        let small = Config { max_own_window_bits: 12, max_peer_window_bits: 9, ..OPEN };
        assert_eq!(small.offer(), "permessage-deflate; server_max_window_bits=9; client_max_window_bits=12");
    }

    #[test]
    fn client_takes_what_answers_its_offer() {
        let cases = [
            ("permessage-deflate", ALL),
            (
                "permessage-deflate; server_no_context_takeover",
                Params { peer_context_takeover: false, ..ALL },
            ),
            ("permessage-deflate; client_no_context_takeover", Params { own_context_takeover: false, ..ALL }),
            ("permessage-deflate; server_max_window_bits=8", Params { peer_window_bits: 8, ..ALL }),
            ("permessage-deflate; client_max_window_bits=9", Params { own_window_bits: 9, ..ALL }),
            ("permessage-deflate; client_max_window_bits=\"15\"", ALL),
        ];
        for (response, params) in cases {
            assert_eq!(judge(response, &OPEN), Ok(Some(params)), "{response}");
        }
        assert_eq!(Params::from_response([], &OPEN), Ok(None));
        assert_eq!(judge(" , ", &OPEN), Ok(None));
    }

    #[test]
    fn client_with_a_window_of_8_bits_cannot_compress() {
        let params = judge("permessage-deflate; client_max_window_bits=8", &OPEN).unwrap().unwrap();
        assert_eq!(params.own_window_bits, 8);
        assert!(!params.can_compress());
        assert!(ALL.can_compress());
    }

    #[test]
    fn client_refuses_what_does_not_answer_its_offer() {
        let cases = [
            ("permessage-deflate; mystery", ResponseError::UnknownParameter),
            ("permessage-deflate; a b", ResponseError::Malformed),
            ("permessage-deflate x", ResponseError::Malformed),
            ("permessage-deflate; server_no_context_takeover=1", ResponseError::InvalidValue),
            ("permessage-deflate; server_max_window_bits", ResponseError::InvalidValue),
            ("permessage-deflate; server_max_window_bits=16", ResponseError::InvalidValue),
            ("permessage-deflate; server_max_window_bits=7", ResponseError::InvalidValue),
            ("permessage-deflate; client_max_window_bits", ResponseError::InvalidValue),
            ("permessage-deflate; client_max_window_bits=09", ResponseError::InvalidValue),
            (
                "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
                ResponseError::RepeatedParameter,
            ),
            ("permessage-deflate, permessage-deflate", ResponseError::RepeatedExtension),
        ];
        for (response, error) in cases {
            assert_eq!(refused(response, &OPEN), error, "{response}");
        }
        let two = Params::from_response(["permessage-deflate", "permessage-deflate"], &OPEN);
        assert_eq!(two, Err(HandshakeError::Deflate(ResponseError::RepeatedExtension)));
        for response in ["x-other", "permessage-deflate, x-other; a=b"] {
            let error = HandshakeError::UnofferedExtension("x-other".into());
            assert_eq!(judge(response, &OPEN), Err(error), "{response}");
        }
    }

    #[test]
    fn client_refuses_a_server_that_ignores_its_limits() {
        let small = Config { max_own_window_bits: 10, max_peer_window_bits: 11, ..OPEN };
        let agreed = judge("permessage-deflate; server_max_window_bits=11; client_max_window_bits=9", &small);
        assert_eq!(agreed, Ok(Some(Params { own_window_bits: 9, peer_window_bits: 11, ..ALL })));
        let unlimited = ResponseError::ServerWindowTooLarge { bits: 15, max: 11 };
        assert_eq!(refused("permessage-deflate", &small), unlimited);
        let larger = ResponseError::ServerWindowTooLarge { bits: 12, max: 11 };
        assert_eq!(refused("permessage-deflate; server_max_window_bits=12", &small), larger);
        let own = "permessage-deflate; server_max_window_bits=11; client_max_window_bits=11";
        assert_eq!(refused(own, &small), ResponseError::ClientWindowTooLarge { bits: 11, max: 10 });
        assert_eq!(refused("permessage-deflate", &Config::default()), ResponseError::ServerContextTakeover);
    }

    #[test]
    fn both_roles_agree_on_everything_that_they_negotiate() {
        let configs = || {
            (0..4).flat_map(|takeover| {
                [8, 9, 12, 15].into_iter().flat_map(move |own| {
                    [8, 9, 11, 15].into_iter().map(move |peer| Config {
                        own_context_takeover: takeover & 1 != 0,
                        peer_context_takeover: takeover & 2 != 0,
                        max_own_window_bits: own,
                        max_peer_window_bits: peer,
                        ..OPEN
                    })
                })
            })
        };
        for client in configs() {
            for server in configs() {
                let agreement = Agreement::from_offers([client.offer().as_str()], &server);
                // Only a request for a server window of 8 bits is declined.
                let Some(agreement) = agreement else {
                    assert_eq!(client.max_peer_window_bits, 8);
                    continue;
                };
                let ours = agreement.params;
                let theirs = judge(&agreement.to_string(), &client).unwrap().unwrap();
                assert_eq!(theirs.peer_window_bits, ours.own_window_bits);
                assert_eq!(theirs.own_window_bits, ours.peer_window_bits);
                assert_eq!(theirs.peer_context_takeover, ours.own_context_takeover);
                assert_eq!(theirs.own_context_takeover, ours.peer_context_takeover);
            }
        }
    }
}
