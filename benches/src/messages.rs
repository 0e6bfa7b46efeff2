//! Distinct messages of one length, and the wire that carries them.

/// What a message consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Random bytes.
    Binary,
    /// Random letters, digits and JSON's punctuation.
    Ascii,
    /// Random words of many scripts, most of them beyond ASCII.
    NonAscii,
    /// JSON as applications send it: an array of objects with the same keys and random values.
    Json,
}

impl Content {
    /// Those that are sent as they are; JSON is what is compressed.
    pub const ALL: [Self; 3] = [Self::Binary, Self::Ascii, Self::NonAscii];

    /// Whether it goes as text.
    #[must_use]
    pub const fn is_text(self) -> bool {
        !matches!(self, Self::Binary)
    }

    /// As it is called in the tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Ascii => "text",
            Self::NonAscii => "non-ASCII text",
            Self::Json => "JSON",
        }
    }
}

/// A length as it is called in the tables.
#[must_use]
pub fn length_name(len: usize) -> String {
    match len {
        0..1024 => format!("{len} B"),
        1024..1_048_576 => format!("{} KiB", len / 1024),
        _ => format!("{} MiB", len / 1_048_576),
    }
}

/// xorshift64*: the same numbers in every run.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence that begins at `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    #[inline]
    pub const fn next_number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = (self.next_number() >> 33) % from.len() as u64;
        &from[usize::try_from(index).unwrap_or(0)]
    }
}

/// How many messages of `len` bytes make about 1 MiB; at least 64, so that setting a connection up hardly counts, or 16 if
/// they are so long that it does not anyway.
#[must_use]
pub const fn count_for(len: usize) -> usize {
    let count = (1 << 20) / len;
    let least = if len > 64 * 1024 { 16 } else { 64 };
    if count < least { least } else { count }
}

/// `count` messages of `len` bytes each, no two alike.
#[must_use]
pub fn messages(content: Content, len: usize, count: usize) -> Vec<Vec<u8>> {
    let mut random = Random::new(len as u64);
    (0..count).map(|_| message(content, len, &mut random)).collect()
}

fn message(content: Content, len: usize, random: &mut Random) -> Vec<u8> {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789 \":,{}[]";
    const WORDS: [&str; 24] = [
        "καλημέρα ",
        "κόσμε, ",
        "привет, ",
        "как дела? ",
        "こんにちは",
        "世界。",
        "日本語",
        "안녕하세요 ",
        "세계 ",
        "größer ",
        "façade ",
        "niño ",
        "€ 20 ",
        "😀 ",
        "👍🏽🎉 ",
        "the quick ",
        "brown fox ",
        "{\"name\":\"",
        "\"},",
        "12345 ",
        "مرحبا ",
        "שלום ",
        "żółć ",
        "ok ",
    ];
    let mut bytes = Vec::with_capacity(len + 32);
    while bytes.len() < len {
        match content {
            Content::Binary => bytes.extend(random.next_number().to_le_bytes()),
            Content::Ascii => bytes.push(*random.pick(LETTERS)),
            Content::NonAscii => bytes.extend_from_slice(random.pick(&WORDS).as_bytes()),
            Content::Json => json_object(&mut bytes, random),
        }
    }
    if content == Content::NonAscii {
        // Cut between characters, and fill up.
        let whole_len =
            (0..=len).rev().find(|end| bytes.get(*end).is_none_or(|byte| byte & 0xC0 != 0x80)).unwrap_or(0);
        bytes.truncate(whole_len);
        bytes.resize(len, b'.');
    }
    bytes.truncate(len);
    bytes
}

/// One object of an array; what is left of the last one does not matter to anybody here.
fn json_object(bytes: &mut Vec<u8>, random: &mut Random) {
    const NAMES: [&str; 16] = [
        "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "mallory",
        "niaj", "olivia", "peggy", "rupert", "sybil",
    ];
    const STATES: [&str; 4] = ["online", "away", "typing", "offline"];
    bytes.push(if bytes.is_empty() { b'[' } else { b',' });
    let id = random.next_number() % 10_000_000;
    let (name, state) = (*random.pick(&NAMES), *random.pick(&STATES));
    let (score, at) = (random.next_number() % 10_000, 1_763_856_000_000 + random.next_number() % 86_400_000);
    let object = format!(
        "{{\"id\":{id},\"user\":\"{name}\",\"state\":\"{state}\",\"score\":{}.{:02},\"at\":{at},\"unread\":{},\"tags\":[\"room-{}\",\"{}\"]}}",
        score / 100,
        score % 100,
        random.next_number() % 50,
        random.next_number() % 8,
        random.pick(&NAMES),
    );
    bytes.extend_from_slice(object.as_bytes());
}

/// The bytes of a frame's header in front of its masking key.
#[must_use]
pub fn header(content: Content, len: usize, masked: bool) -> Vec<u8> {
    let mask_bit = if masked { 0x80 } else { 0 };
    let mut header = vec![0x80 | if content.is_text() { 1 } else { 2 }];
    match len {
        0..126 => header.push(mask_bit | len.to_le_bytes()[0]),
        126..65_536 => {
            header.push(mask_bit | 126);
            header.extend_from_slice(&(len as u64).to_be_bytes()[6..]);
        }
        _ => {
            header.push(mask_bit | 127);
            header.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    header
}

/// `messages` as a client sends them, each in one frame with a mask of its own.
#[must_use]
pub fn client_wire(content: Content, messages: &[Vec<u8>]) -> Vec<u8> {
    masked_wire(messages, |len| header(content, len, true))
}

/// The same with `compressed` payloads: their headers have RSV1 set (RFC 7692 §6).
#[must_use]
pub fn client_wire_compressed(content: Content, compressed: &[Vec<u8>]) -> Vec<u8> {
    masked_wire(compressed, |len| {
        let mut header = header(content, len, true);
        header[0] |= 0x40;
        header
    })
}

fn masked_wire(messages: &[Vec<u8>], header: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let mut random = Random::new(7);
    let mut wire = Vec::new();
    for message in messages {
        let [a, b, c, d, ..] = random.next_number().to_le_bytes();
        let key = [a, b, c, d];
        wire.extend(header(message.len()));
        wire.extend(key);
        wire.extend(message.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
    wire
}
