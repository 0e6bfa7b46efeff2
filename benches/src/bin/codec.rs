//! WebSocket codecs in memory: receiving as a server, sending as a server and as a client, and both compressed.
//!
//! ```text
//! codec [receive] [send] [deflate] [--rounds 21] [--min-len 0] [--max-len 1048576] [--buffer-len 20480]
//!       [--content binary|text|non-ascii]… [--only <contestant>]…
//! ```
//! `--only` may be repeated, and chooses every contestant whose name begins so.

use bytes::Bytes;
use sockeye_benches::{
    contest::{Contestant, Row, run, table},
    deflate,
    messages::{Content, count_for, length_name, messages},
    receive, send,
};
use sockeye_websocket::Role;

const LENGTHS: [usize; 6] = [16, 125, 1024, 16 * 1024, 64 * 1024, 1024 * 1024];

struct Options {
    parts: Vec<String>,
    round_count: usize,
    min_len: usize,
    max_len: usize,
    buffer_len: usize,
    contents: Vec<Content>,
    only: Vec<String>,
}

impl Options {
    fn parse() -> Self {
        let mut options = Self {
            parts: Vec::new(),
            round_count: 21,
            min_len: 0,
            max_len: usize::MAX,
            buffer_len: receive::BUFFER_LEN,
            contents: Vec::new(),
            only: Vec::new(),
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().expect("a value");
            let number = |value: String| value.parse().expect("a number");
            match arg.as_str() {
                "--rounds" => options.round_count = number(value()),
                "--min-len" => options.min_len = number(value()),
                "--max-len" => options.max_len = number(value()),
                "--buffer-len" => options.buffer_len = number(value()),
                "--content" => options.contents.push(content(&value())),
                "--only" => options.only.push(value()),
                _ => options.parts.push(arg),
            }
        }
        if options.contents.is_empty() {
            options.contents = Content::ALL.to_vec();
        }
        options
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }

    fn chooses(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.starts_with(only))
    }

    fn lengths(&self, from: &[usize]) -> Vec<usize> {
        from.iter().copied().filter(|len| (self.min_len..=self.max_len).contains(len)).collect()
    }

    fn run(&self, case: String, mut contestants: Vec<Contestant<'_>>) -> Row {
        contestants.retain(|contestant| self.chooses(contestant.name));
        run(case, self.round_count, &mut contestants)
    }
}

fn content(name: &str) -> Content {
    match name {
        "binary" => Content::Binary,
        "text" => Content::Ascii,
        "non-ascii" => Content::NonAscii,
        _ => unreachable!("no such content: {name}"),
    }
}

fn main() {
    let options = Options::parse();
    println!("ns per message, median of {} rounds (in brackets: times ours)\n", options.round_count);
    if options.wants("receive") {
        receive(&options);
    }
    if options.wants("send") {
        send(&options, Role::Server, "server");
        send(&options, Role::Client, "client");
    }
    if options.wants("deflate") {
        deflate(&options);
    }
}

fn receive(options: &Options) {
    let mut rows = Vec::new();
    for len in options.lengths(&LENGTHS) {
        for &content in &options.contents {
            let messages = messages(content, len, count_for(len));
            let wire = receive::wire(content, &messages);
            let case = format!("{} {}", length_name(len), content.name());
            let contestants = receive::contestants(content, &wire, &messages, options.buffer_len);
            rows.push(options.run(case, contestants));
        }
    }
    println!("receive, as a server\n\n{}", table(&rows, receive::OWNED, &[(receive::PASS, receive::LENT)]));
}

fn send(options: &Options, role: Role, name: &str) {
    let mut rows = Vec::new();
    for len in options.lengths(&LENGTHS) {
        let messages = messages(Content::Binary, len, count_for(len));
        let messages: Vec<Bytes> = messages.into_iter().map(Bytes::from).collect();
        rows.push(options.run(length_name(len), send::contestants(role, &messages)));
    }
    println!("send, as a {name}\n\n{}", table(&rows, send::COPIED, &[]));
}

fn deflate(options: &Options) {
    let (mut received, mut sent, mut output) = (Vec::new(), Vec::new(), String::new());
    for len in options.lengths(&deflate::LENGTHS) {
        let messages = deflate::json(len);
        let wires = deflate::Wires::new(&messages);
        let case = format!("{} JSON", length_name(len));
        received.push(options.run(case.clone(), deflate::receivers(&wires)));
        sent.push(options.run(case.clone(), deflate::senders(&messages)));
        let per_message = wires.with_context.len() / messages.len();
        output += &format!("- {case}: {per_message} on the wire that is received");
        for (name, len) in deflate::output_lens(&messages) {
            output += &format!(", {len:.0} by {name}");
        }
        output += "\n";
    }
    println!("receive compressed, as a server\n\n{}", table(&received, deflate::OURS, &[]));
    println!("send compressed at level 1, as a server\n\n{}", table(&sent, deflate::OURS, &[]));
    println!("bytes per compressed message, with its header\n\n{output}");
}
