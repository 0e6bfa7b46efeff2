//! Socket.IO and Engine.IO codecs in memory, beside socketioxide's and serde_json alone.
//!
//! ```text
//! packets [decode] [encode] [binary] [payloads] [--rounds 21]
//! ```

use sockeye_benches::{contest::table, packets};

fn main() {
    let mut round_count = 21;
    let mut parts = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => round_count = args.next().and_then(|n| n.parse().ok()).expect("a number"),
            _ => parts.push(arg),
        }
    }
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    if wants("decode") {
        for row in packets::decode(round_count) {
            show(row, &[("sockeye", "serde_json"), ("sockeye", "socketioxide")]);
        }
    }
    if wants("encode") {
        for row in packets::encode(round_count) {
            show(row, &[("sockeye", "serde_json"), ("sockeye", "socketioxide")]);
        }
    }
    if wants("binary") {
        for row in packets::binary(round_count) {
            show(row, &[("sockeye", "socketioxide")]);
        }
    }
    if wants("payloads") {
        for row in packets::payloads(round_count) {
            show(row, &[("sockeye", "engineioxide")]);
        }
    }
}

fn show(row: sockeye_benches::contest::Row, parts: &[(&str, &str)]) {
    println!("{}", table(&[row], "sockeye", parts));
}
