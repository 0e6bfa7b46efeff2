//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 §9.1).
//!
//! ```text
//! extension-list = 1#extension
//! extension      = token *( ";" token [ "=" ( token | quoted-string ) ] )
//! ```
//! Every byte is looked at a constant number of times, and nothing is stored.

use super::EXTENSION_NAME;
use crate::handshake::is_token;

/// The parameters of one permessage-deflate element, as far as their own grammar goes (§7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Element {
    pub(super) server_no_context_takeover: bool,
    pub(super) client_no_context_takeover: bool,
    pub(super) server_max_window_bits: Option<u8>,
    pub(super) client_max_window_bits: Option<ClientMaxWindowBits>,
}

/// `client_max_window_bits`, the one parameter whose value may be left out (in an offer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientMaxWindowBits {
    Offered,
    Limit(u8),
}

/// Why an element is not a valid one of permessage-deflate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ElementError {
    Malformed,
    OtherExtension,
    UnknownParameter,
    RepeatedParameter,
    InvalidValue,
}

/// The elements of one header value: what is between commas outside of quoted strings, trimmed, empty ones skipped.
pub(super) fn elements(value: &str) -> impl Iterator<Item = &str> {
    split(value, b',').filter(|element| !element.is_empty())
}

/// Splits at `separator` outside of quoted strings, and trims the pieces.
fn split(value: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    core::iter::from_fn(move || {
        let text = rest?;
        let (piece, after) = match find_unquoted(text.as_bytes(), separator) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        rest = after;
        Some(trim(piece))
    })
}

fn find_unquoted(text: &[u8], separator: u8) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    text.iter().position(|&byte| {
        if escaped {
            escaped = false;
        } else if quoted && byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            quoted = !quoted;
        } else {
            return !quoted && byte == separator;
        }
        false
    })
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The name of the extension in `element`.
pub(super) fn name(element: &str) -> &str {
    split(element, b';').next().unwrap_or_default()
}

impl Element {
    pub(super) fn parse(element: &str) -> Result<Self, ElementError> {
        let mut pieces = split(element, b';');
        let name = pieces.next().unwrap_or_default();
        if name != EXTENSION_NAME {
            return Err(if is_token(name) { ElementError::OtherExtension } else { ElementError::Malformed });
        }
        let mut parsed = Self::default();
        for piece in pieces {
            let (name, value) = match piece.split_once('=') {
                Some((name, value)) => (trim(name), Some(trim(value))),
                None => (piece, None),
            };
            parsed.add(name, value)?;
        }
        Ok(parsed)
    }

    /// §7.1: a parameter that is unknown, given twice or has an invalid value makes the element unacceptable.
    fn add(&mut self, name: &str, value: Option<&str>) -> Result<(), ElementError> {
        let repeated = match name {
            "server_no_context_takeover" => {
                core::mem::replace(&mut self.server_no_context_takeover, flag(value)?)
            }
            "client_no_context_takeover" => {
                core::mem::replace(&mut self.client_no_context_takeover, flag(value)?)
            }
            "server_max_window_bits" => {
                let bits = window_bits(value.ok_or(ElementError::InvalidValue)?)?;
                self.server_max_window_bits.replace(bits).is_some()
            }
            "client_max_window_bits" => {
                let limit = match value {
                    Some(value) => ClientMaxWindowBits::Limit(window_bits(value)?),
                    None => ClientMaxWindowBits::Offered,
                };
                self.client_max_window_bits.replace(limit).is_some()
            }
            _ if is_token(name) => return Err(ElementError::UnknownParameter),
            _ => return Err(ElementError::Malformed),
        };
        if repeated { Err(ElementError::RepeatedParameter) } else { Ok(()) }
    }
}

/// §7.1.1: the parameter "has no value".
const fn flag(value: Option<&str>) -> Result<bool, ElementError> {
    match value {
        None => Ok(true),
        Some(_) => Err(ElementError::InvalidValue),
    }
}

/// §7.1.2: "a decimal integer value without leading zeroes between 8 to 15, inclusive". It may be quoted (RFC 6455
/// §9.1: "the value after quoted-string unescaping MUST conform to the 'token' ABNF").
fn window_bits(value: &str) -> Result<u8, ElementError> {
    let mut digits = [0; 2];
    let mut len = 0;
    let mut push = |byte| {
        *digits.get_mut(len)? = byte;
        len += 1;
        Some(())
    };
    match value.strip_prefix('"') {
        Some(quoted) => {
            let inner = quoted.strip_suffix('"').ok_or(ElementError::Malformed)?;
            let mut bytes = inner.bytes();
            while let Some(byte) = bytes.next() {
                let byte = match byte {
                    b'\\' => bytes.next().ok_or(ElementError::Malformed)?,
                    b'"' => return Err(ElementError::Malformed),
                    byte => byte,
                };
                push(byte).ok_or(ElementError::InvalidValue)?;
            }
        }
        None => value.bytes().try_for_each(push).ok_or(ElementError::InvalidValue)?,
    }
    match digits[..len] {
        [digit @ b'8'..=b'9'] => Ok(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Ok(10 + digit - b'0'),
        _ => Err(ElementError::InvalidValue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec::Vec};

    #[test]
    fn elements_are_split_at_commas_outside_of_quoted_strings() {
        let elements = |value| elements(value).collect::<Vec<_>>();
        assert_eq!(elements("a, b;c=\"x,y\" ,,\t c"), ["a", "b;c=\"x,y\"", "c"]);
        assert_eq!(elements("a;b=\"\\\",\", c"), ["a;b=\"\\\",\"", "c"]);
        assert_eq!(elements("a;b=\"open, c"), ["a;b=\"open, c"]);
        assert_eq!(elements(" , \t,"), [""; 0]);
    }

    #[test]
    fn window_bits_are_8_to_15_in_decimal_without_leading_zeros() {
        for bits in 8..=15 {
            assert_eq!(window_bits(&format!("{bits}")), Ok(bits));
            assert_eq!(window_bits(&format!("\"{bits}\"")), Ok(bits));
        }
        assert_eq!(window_bits("\"1\\0\""), Ok(10));
        for value in ["", "0", "7", "16", "200", "08", "010", "+9", "-9", "9.0", "1O", "\"\"", "\"100\""] {
            assert_eq!(window_bits(value), Err(ElementError::InvalidValue), "{value}");
        }
        for value in ["\"", "\"10", "\"1\\", "\"1\"0\"", "\"10\\\""] {
            assert_eq!(window_bits(value), Err(ElementError::Malformed), "{value}");
        }
    }

    #[test]
    fn value_with_quotes_only_inside_is_invalid() {
        assert_eq!(window_bits("1\"0\""), Err(ElementError::InvalidValue));
        assert_eq!(window_bits("10\""), Err(ElementError::InvalidValue));
    }
}
