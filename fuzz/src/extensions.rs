//! `Sec-WebSocket-Extensions` as RFC 6455 §9.1 and RFC 7692 §7.1 say it: everything is copied and looked at twice.

use sockeye_websocket::deflate::{Config, Params};

/// An element that is a valid one of permessage-deflate.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Element {
    /// `server_no_context_takeover`.
    pub server_no_context_takeover: bool,
    /// `client_no_context_takeover`.
    pub client_no_context_takeover: bool,
    /// `server_max_window_bits`.
    pub server_max_window_bits: Option<u8>,
    /// `client_max_window_bits`, which an offer may hold without a value.
    pub client_max_window_bits: Option<Option<u8>>,
}

/// What an element is.
#[derive(Debug, PartialEq)]
pub enum Read {
    /// Valid.
    Deflate(Element),
    /// Another extension.
    Other(String),
    /// Neither.
    Wrong,
}

/// Why a response is refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Refusal {
    /// An extension that was not offered.
    Unoffered,
    /// No valid element, or two.
    Wrong,
    /// A valid element that does not answer the offer.
    NotAnswering,
}

/// Which bytes are within quoted strings, the quotes included. One that is not closed goes to the end.
fn quoted(value: &[u8]) -> Vec<bool> {
    let mut marks = vec![false; value.len()];
    let mut at = 0;
    while at < value.len() {
        if value[at] != b'"' {
            at += 1;
            continue;
        }
        let mut end = at + 1;
        while end < value.len() && value[end] != b'"' {
            end += if value[end] == b'\\' { 2 } else { 1 };
        }
        let end = (end + 1).min(value.len());
        marks[at..end].fill(true);
        at = end;
    }
    marks
}

/// Splits at `separator` where it is not quoted, and trims.
fn split(value: &str, separator: u8) -> Vec<String> {
    let marks = quoted(value.as_bytes());
    let mut pieces = vec![Vec::new()];
    for (&byte, quoted) in value.as_bytes().iter().zip(marks) {
        if byte == separator && !quoted {
            pieces.push(Vec::new());
        } else {
            pieces.last_mut().expect("there is one").push(byte);
        }
    }
    let text = |piece| String::from_utf8(piece).expect("cut at ASCII");
    pieces.into_iter().map(|piece| text(piece).trim_matches([' ', '\t']).to_owned()).collect()
}

/// All elements of all values.
pub fn read<'v>(values: impl IntoIterator<Item = &'v str>) -> Vec<Read> {
    let elements = values.into_iter().flat_map(|value| split(value, b','));
    elements.filter(|element| !element.is_empty()).map(|element| read_element(&element)).collect()
}

fn is_token(name: &str) -> bool {
    let separators = "()<>@,;:\\\"/[]?={} \t";
    !name.is_empty() && name.chars().all(|c| c > ' ' && c < '\x7F' && !separators.contains(c))
}

fn read_element(element: &str) -> Read {
    let pieces = split(element, b';');
    match &pieces[0][..] {
        "permessage-deflate" => {}
        other if is_token(other) => return Read::Other(other.to_owned()),
        _ => return Read::Wrong,
    }
    let mut seen = Vec::new();
    let mut read = Element::default();
    for piece in &pieces[1..] {
        let (name, value) = match piece.find('=') {
            Some(at) => {
                (piece[..at].trim_matches([' ', '\t']), Some(piece[at + 1..].trim_matches([' ', '\t'])))
            }
            None => (&piece[..], None),
        };
        let bits = value.map(unquoted).map(|value| window_bits(value.as_deref()));
        match (name, bits) {
            ("server_no_context_takeover", None) => read.server_no_context_takeover = true,
            ("client_no_context_takeover", None) => read.client_no_context_takeover = true,
            ("server_max_window_bits", Some(Some(bits))) => read.server_max_window_bits = Some(bits),
            ("client_max_window_bits", None) => read.client_max_window_bits = Some(None),
            ("client_max_window_bits", Some(Some(bits))) => read.client_max_window_bits = Some(Some(bits)),
            _ => return Read::Wrong,
        }
        if seen.contains(&name) {
            return Read::Wrong;
        }
        seen.push(name);
    }
    Read::Deflate(read)
}

/// A value without the quotes it may have. `None` when they are not right.
fn unquoted(value: &str) -> Option<String> {
    if !value.contains('"') {
        return Some(value.to_owned());
    }
    let marks = quoted(value.as_bytes());
    if value.len() < 2 || !value.starts_with('"') || !value.ends_with('"') || marks.contains(&false) {
        return None;
    }
    let (mut inner, mut escaped) = (String::new(), false);
    let mut chars = value[1..value.len() - 1].chars();
    for c in &mut chars {
        match c {
            '\\' if !escaped => escaped = true,
            // Two strings, one behind the other.
            '"' if !escaped => return None,
            c => {
                inner.push(c);
                escaped = false;
            }
        }
    }
    (!escaped).then_some(inner)
}

fn window_bits(value: Option<&str>) -> Option<u8> {
    let value = value?;
    (8..=15).find(|bits: &u8| bits.to_string() == value)
}

/// What a server with `config` makes of the offers: the one that it accepts, and what is then agreed.
pub fn accepted(read: &[Read], config: &Config) -> Option<(Element, Params)> {
    let own_max = config.max_own_window_bits.clamp(9, 15);
    let peer_max = config.max_peer_window_bits.clamp(8, 15);
    for offer in read {
        let Read::Deflate(offer) = offer else { continue };
        let unlimited = offer.client_max_window_bits.is_none();
        if offer.server_max_window_bits == Some(8) || (unlimited && peer_max != 15) {
            continue;
        }
        let params = Params {
            own_context_takeover: config.own_context_takeover && !offer.server_no_context_takeover,
            peer_context_takeover: config.peer_context_takeover && !offer.client_no_context_takeover,
            own_window_bits: own_max.min(offer.server_max_window_bits.unwrap_or(15)),
            peer_window_bits: peer_max.min(offer.client_max_window_bits.flatten().unwrap_or(15)),
        };
        return Some((offer.clone(), params));
    }
    None
}

/// What a client with `config` makes of a response.
pub fn judged(read: &[Read], config: &Config) -> Result<Option<Params>, Refusal> {
    let own_max = config.max_own_window_bits.clamp(9, 15);
    let peer_max = config.max_peer_window_bits.clamp(8, 15);
    let mut params = None;
    for element in read {
        let response = match element {
            Read::Deflate(response) => response,
            Read::Other(_) => return Err(Refusal::Unoffered),
            Read::Wrong => return Err(Refusal::Wrong),
        };
        if params.is_some() {
            return Err(Refusal::Wrong);
        }
        let peer_window_bits = response.server_max_window_bits.unwrap_or(15);
        let own_window_bits = response.client_max_window_bits.unwrap_or(Some(own_max));
        if (!config.peer_context_takeover && !response.server_no_context_takeover)
            || peer_window_bits > peer_max
            || own_window_bits.is_some_and(|bits| bits > own_max)
        {
            return Err(Refusal::NotAnswering);
        }
        params = Some(Params {
            own_context_takeover: config.own_context_takeover && !response.client_no_context_takeover,
            peer_context_takeover: !response.server_no_context_takeover,
            own_window_bits: own_window_bits.ok_or(Refusal::Wrong)?,
            peer_window_bits,
        });
    }
    Ok(params)
}
