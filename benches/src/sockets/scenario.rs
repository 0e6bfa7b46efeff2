//! What is measured.

use std::{io, time::Duration};

use flate2::{Compress, Compression, FlushCompress};

use super::frames::{BINARY, COMPRESSED, TEXT, Wire};
use crate::messages::{Content, Random, messages};

/// A load.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// On the command line.
    pub name: &'static str,
    /// In the tables.
    pub title: &'static str,
    /// What is done.
    pub kind: Kind,
    /// Of what the messages consist.
    pub payload: Payload,
    /// Bytes of a message.
    pub payload_len: usize,
    /// What the handshake offers, if the servers compress.
    pub deflate: Option<&'static str>,
}

/// What is done with the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// So many connections with so many messages in flight on each.
    Echo {
        /// Connections.
        connection_count: usize,
        /// Messages on each.
        in_flight: u64,
    },
    /// Handshake, one message, closing handshake.
    Connect,
    /// Memory per connection, after a message on each.
    Idle,
}

/// Of what messages consist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// Binary, ASCII or text beyond it.
    Plain(Content),
    /// Text: JSON of the kind that servers send.
    Json,
}

/// Distinct messages of the scenarios with compression.
const JSON_COUNT: usize = 64;

/// What clients that leave it to the server offer: both sides may keep their windows.
const KEEP: &str = "permessage-deflate";
/// Neither side keeps its window.
const FORGET: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

const fn echo(
    name: &'static str,
    title: &'static str,
    payload: Payload,
    payload_len: usize,
    connection_count: usize,
    in_flight: u64,
) -> Scenario {
    let kind = Kind::Echo { connection_count, in_flight };
    Scenario { name, title, kind, payload, payload_len, deflate: None }
}

const fn deflate(scenario: Scenario, offer: &'static str) -> Scenario {
    Scenario { deflate: Some(offer), ..scenario }
}

const fn other(name: &'static str, title: &'static str, kind: Kind) -> Scenario {
    Scenario { name, title, kind, payload: Payload::Json, payload_len: 1024, deflate: None }
}

const BIN: Payload = Payload::Plain(Content::Binary);
const ASCII: Payload = Payload::Plain(Content::Ascii);
const NON_ASCII: Payload = Payload::Plain(Content::NonAscii);
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// All of them.
pub const ALL: &[Scenario] = &[
    echo("16b-1", "16 B binary, 64 connections, 1 in flight", BIN, 16, 64, 1),
    echo("1k-1", "1 KiB text, 64 connections, 1 in flight", ASCII, KIB, 64, 1),
    echo("16b", "16 B binary, 16 connections, 32 in flight", BIN, 16, 16, 32),
    echo("125b", "125 B text, 16 connections, 32 in flight", ASCII, 125, 16, 32),
    echo("1k", "1 KiB text, 16 connections, 16 in flight", ASCII, KIB, 16, 16),
    echo("1k-utf8", "1 KiB non-ASCII text, 16 connections, 16 in flight", NON_ASCII, KIB, 16, 16),
    echo("16k-text", "16 KiB text, 8 connections, 4 in flight", ASCII, 16 * KIB, 8, 4),
    echo("16k-binary", "16 KiB binary, 8 connections, 4 in flight", BIN, 16 * KIB, 8, 4),
    echo("1m-text", "1 MiB text, 2 connections, 1 in flight", ASCII, MIB, 2, 1),
    echo("1m-binary", "1 MiB binary, 2 connections, 1 in flight", BIN, MIB, 2, 1),
    deflate(
        echo(
            "1k-deflate",
            "1 KiB JSON, permessage-deflate, 16 connections, 16 in flight",
            Payload::Json,
            KIB,
            16,
            16,
        ),
        KEEP,
    ),
    deflate(
        echo(
            "16k-deflate",
            "16 KiB JSON, permessage-deflate, 8 connections, 4 in flight",
            Payload::Json,
            16 * KIB,
            8,
            4,
        ),
        KEEP,
    ),
    deflate(
        echo(
            "1k-deflate-no-context",
            "1 KiB JSON, permessage-deflate without context takeover, 16 connections, 16 in flight",
            Payload::Json,
            KIB,
            16,
            16,
        ),
        FORGET,
    ),
    other("connect", "New connections: handshake, one message, closing handshake", Kind::Connect),
    other("idle", "Memory of an idle connection after one message", Kind::Idle),
    deflate(other("idle-deflate", "Memory of an idle connection with permessage-deflate", Kind::Idle), KEEP),
];

impl Scenario {
    /// How many messages a round has at most, and for how long it sends at most.
    #[must_use]
    pub fn message_limit(&self, time: Duration) -> u64 {
        // 0.1 µs is below what any server can do.
        u64::try_from(time.as_nanos() / 100).unwrap_or(u64::MAX).max(64)
    }

    /// The messages as a user sees them.
    #[must_use]
    pub fn messages(&self) -> Vec<Vec<u8>> {
        match self.payload {
            // More than a first-level cache, less than a third-level one.
            Payload::Plain(content) => {
                messages(content, self.payload_len, (256 * KIB / self.payload_len).clamp(4, 1024))
            }
            Payload::Json => json_messages(self.payload_len, JSON_COUNT),
        }
    }

    /// Whether they go as text.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        match self.payload {
            Payload::Plain(content) => content.is_text(),
            Payload::Json => true,
        }
    }

    /// The frames that carry `messages`.
    ///
    /// # Errors
    /// When they cannot be compressed.
    pub fn wire(&self, messages: &[Vec<u8>]) -> io::Result<Wire> {
        let first = if self.is_text() { TEXT } else { BINARY };
        if self.deflate.is_none() {
            return Ok(Wire::new(first, messages.iter().map(|message| &message[..])));
        }
        // Each refers to nothing before it, so that they can be sent round and round on every connection. A receiver
        // that keeps its window does no less work for that.
        let compressed: Vec<_> =
            messages.iter().map(|message| compress(message)).collect::<Result<_, _>>()?;
        Ok(Wire::new(first | COMPRESSED, compressed.iter().map(|message| &message[..])))
    }
}

/// RFC 7692 §7.2.1: a block of the stream, flushed, without the four bytes of the empty block.
fn compress(message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = Compress::new(Compression::default(), false);
    let mut payload = Vec::with_capacity(message.len() + 1024);
    stream.compress_vec(message, &mut payload, FlushCompress::Sync)?;
    assert!(payload.ends_with(&[0, 0, 0xFF, 0xFF]) && stream.total_in() == message.len() as u64);
    payload.truncate(payload.len() - 4);
    Ok(payload)
}

/// `count` JSON texts of `len` bytes, no two alike: a list of records with the same keys and different values.
fn json_messages(len: usize, count: usize) -> Vec<Vec<u8>> {
    const NAMES: [&str; 12] = [
        "Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Leslie", "Tony", "John", "Niklaus", "Ken",
        "Frances",
    ];
    const CITIES: [&str; 8] = ["Turin", "Oslo", "Lyon", "Graz", "Porto", "Gdańsk", "Malmö", "Leeds"];
    const STATES: [&str; 4] = ["online", "away", "busy", "offline"];
    let mut random = Random::new(len as u64);
    let messages = (0..count).map(|sequence| {
        let mut json = format!("{{\"type\":\"presence\",\"sequence\":{sequence},\"users\":[");
        loop {
            let mut below = |bound: usize| usize::try_from(random.next_number() >> 40).unwrap_or(0) % bound;
            let record = format!(
                "{{\"id\":{},\"name\":\"{}\",\"city\":\"{}\",\"state\":\"{}\",\"score\":{}.{},\"seen\":17{:08}}}",
                below(1_000_000),
                NAMES[below(NAMES.len())],
                CITIES[below(CITIES.len())],
                STATES[below(STATES.len())],
                below(1000),
                below(100),
                below(10_000_000),
            );
            // The end needs 11 bytes: `],"pad":""}`.
            if json.len() + record.len() + 12 > len {
                break;
            }
            if !json.ends_with('[') {
                json.push(',');
            }
            json.push_str(&record);
        }
        json.push_str("],\"pad\":\"");
        let padding = len - json.len() - 2;
        json.extend((0..padding).map(|_| char::from(b'a' + random.next_number().to_le_bytes()[5] % 26)));
        json.push_str("\"}");
        json.into_bytes()
    });
    messages.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn json_messages_are_distinct_and_as_long_as_they_shall_be() {
        for len in [1024, 16 * 1024] {
            let messages = json_messages(len, 64);
            assert!(messages.iter().all(|message| message.len() == len));
            assert!(messages.iter().all(|message| std::str::from_utf8(message).is_ok()));
            assert_eq!(messages.iter().collect::<HashSet<_>>().len(), 64);
        }
    }

    #[test]
    fn messages_of_every_scenario_have_its_length_and_fill_its_frames() {
        for scenario in ALL {
            let messages = scenario.messages();
            assert!(
                messages.iter().all(|message| message.len() == scenario.payload_len),
                "{}",
                scenario.name
            );
            let wire = scenario.wire(&messages).unwrap();
            assert_eq!(wire.frame_count(), messages.len());
            assert_eq!(wire.bytes()[0] & COMPRESSED != 0, scenario.deflate.is_some());
            assert!(!scenario.is_text() || messages.iter().all(|m| std::str::from_utf8(m).is_ok()));
        }
    }

    #[test]
    fn names_of_scenarios_are_unique() {
        assert_eq!(ALL.iter().map(|scenario| scenario.name).collect::<HashSet<_>>().len(), ALL.len());
    }
}
