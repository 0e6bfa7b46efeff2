//! Socket.IO packets by the letter of the protocol, over a parsed payload.

use crate::json::{self, Node};

/// A packet.
#[derive(Debug, PartialEq)]
pub struct Model<'a> {
    /// The digit of the type.
    pub packet_type: u8,
    /// How many attachments follow.
    pub attachment_count: usize,
    /// The namespace.
    pub namespace: &'a str,
    /// The ack id.
    pub ack_id: Option<u64>,
    /// The payload as text, empty when there is none.
    pub data: &'a str,
    /// The payload.
    pub payload: Option<Node<'a>>,
}

const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Reads a packet completely; `None` when any part of it is wrong.
pub fn parse(text: &str, max_attachments: usize, max_namespace_len: usize) -> Option<Model<'_>> {
    let packet_type = text.chars().next().filter(|digit| ('0'..='6').contains(digit))? as u8;
    let mut rest = &text[1..];
    let mut attachment_count = 0;
    if packet_type >= b'5' {
        let (count, behind) = rest.split_once('-')?;
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // More digits than a number can have are more attachments than there can be.
        attachment_count = count.parse().unwrap_or(usize::MAX);
        if attachment_count == 0 || attachment_count > max_attachments {
            return None;
        }
        rest = behind;
    }
    let mut namespace = "/";
    if rest.starts_with('/') {
        (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        if namespace.len() > max_namespace_len {
            return None;
        }
    }
    let data = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &rest[..rest.len() - data.len()];
    let ack_id = if digits.is_empty() { None } else { Some(digits.parse().ok()?) };
    let mut payload = None;
    if !data.is_empty() {
        if data.starts_with(|c: char| c.is_ascii_whitespace()) {
            return None;
        }
        let node = json::parse(data)?;
        let fits = match (packet_type, &node) {
            (b'0' | b'4', Node::Object(_)) | (b'4', Node::String(_)) | (b'3' | b'6', Node::Array(_)) => true,
            (b'2' | b'5', Node::Array(elements)) => match elements.first() {
                Some(Node::Number(_) | Node::String(None)) => true,
                Some(Node::String(Some(name))) => !RESERVED.contains(&name.as_str()),
                _ => false,
            },
            _ => false,
        };
        if !fits {
            return None;
        }
        payload = Some(node);
    }
    Some(Model { packet_type, attachment_count, namespace, ack_id, data, payload })
}

/// Whether every placeholder names one of `count` attachments, unmistakably.
pub fn placeholders_fit(node: &Node<'_>, count: usize) -> bool {
    match node {
        Node::Array(elements) => elements.iter().all(|element| placeholders_fit(element, count)),
        Node::Object(entries) => {
            let values = |name: &str| -> Vec<&Node<'_>> {
                entries
                    .iter()
                    .filter(|(key, _)| key.as_deref() == Some(name))
                    .map(|(_, value)| value)
                    .collect()
            };
            let itself = match &values("_placeholder")[..] {
                [Node::Bool(true)] => match &values("num")[..] {
                    [Node::Number(num)] => {
                        num.bytes().all(|byte| byte.is_ascii_digit())
                            && num.parse::<usize>().is_ok_and(|num| num < count)
                    }
                    _ => false,
                },
                markers => markers.len() < 2,
            };
            itself && entries.iter().all(|(_, value)| placeholders_fit(value, count))
        }
        _ => true,
    }
}
