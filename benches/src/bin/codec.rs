//! WebSocket codecs in memory: receiving as a server, sending as a server and as a client.
//!
//! ```text
//! codec [receive] [send] [--rounds 31] [--min-len 0] [--max-len 1048576] [--buffer-len 65536] [--only <contestant>]
//! ```

use bytes::Bytes;
use sockeye_benches::{
    contest::{Contestant, Row, run, table},
    messages::{Content, count_for, length_name, messages},
    receive, send,
};
use sockeye_websocket::Role;

const LENGTHS: [usize; 5] = [16, 125, 1024, 16 * 1024, 1024 * 1024];

struct Options {
    parts: Vec<String>,
    round_count: usize,
    min_len: usize,
    max_len: usize,
    buffer_len: usize,
    only: Option<String>,
}

impl Options {
    fn parse() -> Self {
        let mut options = Self {
            parts: Vec::new(),
            round_count: 31,
            min_len: 0,
            max_len: usize::MAX,
            buffer_len: receive::BUFFER_LEN,
            only: None,
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut number = || args.next().and_then(|value| value.parse().ok()).expect("a number");
            match arg.as_str() {
                "--rounds" => options.round_count = number(),
                "--min-len" => options.min_len = number(),
                "--max-len" => options.max_len = number(),
                "--buffer-len" => options.buffer_len = number(),
                "--only" => options.only = args.next(),
                _ => options.parts.push(arg),
            }
        }
        options
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }

    fn lengths(&self) -> impl Iterator<Item = usize> {
        LENGTHS.into_iter().filter(|len| (self.min_len..=self.max_len).contains(len))
    }

    fn run(&self, case: String, mut contestants: Vec<Contestant<'_>>) -> Row {
        contestants.retain(|contestant| self.only.as_deref().is_none_or(|only| only == contestant.name));
        run(case, self.round_count, &mut contestants)
    }
}

fn main() {
    let options = Options::parse();
    println!("ns per message, median of {} rounds (in brackets: times ours)\n", options.round_count);
    if options.wants("receive") {
        let mut rows = Vec::new();
        for len in options.lengths() {
            for content in Content::ALL {
                let wire = receive::wire(content, &messages(content, len, count_for(len)));
                let case = format!("{} {}", length_name(len), content.name());
                rows.push(options.run(case, receive::contestants(content, &wire, len, options.buffer_len)));
            }
        }
        println!("receive, as a server\n\n{}", table(&rows, "sockeye"));
    }
    for (role, name) in [(Role::Server, "server"), (Role::Client, "client")] {
        if !options.wants("send") {
            break;
        }
        let mut rows = Vec::new();
        for len in options.lengths() {
            let messages = messages(Content::Binary, len, count_for(len));
            let messages: Vec<Bytes> = messages.into_iter().map(Bytes::from).collect();
            rows.push(options.run(length_name(len), send::contestants(role, &messages)));
        }
        println!("send, as a {name}\n\n{}", table(&rows, "sockeye"));
    }
}
