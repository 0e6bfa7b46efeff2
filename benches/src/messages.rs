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
}

impl Content {
    /// All of them.
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

/// How many messages of `len` bytes make about 1 MiB, at least 16 of them.
#[must_use]
pub const fn count_for(len: usize) -> usize {
    let count = (1 << 20) / len;
    if count < 16 { 16 } else { count }
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
    let mut random = Random::new(7);
    let mut wire = Vec::new();
    for message in messages {
        let [a, b, c, d, ..] = random.next_number().to_le_bytes();
        let key = [a, b, c, d];
        wire.extend(header(content, message.len(), true));
        wire.extend(key);
        wire.extend(message.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
    wire
}
