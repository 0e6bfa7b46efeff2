//! JSON (RFC 8259) by recursive descent over bytes, keeping what other parsers lose: raw numbers, repeated keys, and
//! strings with unpaired surrogates, all of which JavaScript takes.

/// How deep arrays and objects may be nested, the outermost included.
pub const MAX_DEPTH: usize = 127;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Node<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is written.
    Number(&'a str),
    /// A string; `None` when an escaped surrogate has no partner.
    String(Option<String>),
    /// An array.
    Array(Vec<Self>),
    /// An object, all of its entries.
    Object(Vec<(Option<String>, Self)>),
}

/// Parses `text`, white space around it allowed; `None` when it is not JSON or nested too deep.
pub fn parse(text: &str) -> Option<Node<'_>> {
    let mut parser = Parser { text, at: 0 };
    let node = parser.value(MAX_DEPTH)?;
    parser.space();
    (parser.at == text.len()).then_some(node)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, wanted: &str) -> Option<()> {
        let found = self.text.as_bytes()[self.at..].starts_with(wanted.as_bytes());
        self.at += if found { wanted.len() } else { 0 };
        found.then_some(())
    }

    fn value(&mut self, depth: usize) -> Option<Node<'a>> {
        self.space();
        match self.peek()? {
            b'n' => self.take("null").map(|()| Node::Null),
            b't' => self.take("true").map(|()| Node::Bool(true)),
            b'f' => self.take("false").map(|()| Node::Bool(false)),
            b'"' => self.string().map(Node::String),
            b'[' => self.array(depth.checked_sub(1)?),
            b'{' => self.object(depth.checked_sub(1)?),
            _ => self.number().map(Node::Number),
        }
    }

    fn array(&mut self, depth: usize) -> Option<Node<'a>> {
        self.take("[")?;
        let mut elements = Vec::new();
        self.space();
        if self.take("]").is_some() {
            return Some(Node::Array(elements));
        }
        loop {
            elements.push(self.value(depth)?);
            self.space();
            if self.take("]").is_some() {
                return Some(Node::Array(elements));
            }
            self.take(",")?;
        }
    }

    fn object(&mut self, depth: usize) -> Option<Node<'a>> {
        self.take("{")?;
        let mut entries = Vec::new();
        self.space();
        if self.take("}").is_some() {
            return Some(Node::Object(entries));
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            self.take(":")?;
            entries.push((key, self.value(depth)?));
            self.space();
            if self.take("}").is_some() {
                return Some(Node::Object(entries));
            }
            self.take(",")?;
        }
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<&'a str> {
        let start = self.at;
        let _ = self.take("-");
        if self.take("0").is_none() {
            self.digits()?;
        }
        if self.take(".").is_some() {
            self.digits()?;
        }
        if self.take("e").or_else(|| self.take("E")).is_some() {
            let _ = self.take("+").or_else(|| self.take("-"));
            self.digits()?;
        }
        self.text.get(start..self.at)
    }

    /// The outer `Option`: whether it is a string; the inner one: whether Rust has such a string.
    fn string(&mut self) -> Option<Option<String>> {
        self.take("\"")?;
        let mut units = Vec::new();
        loop {
            let character = self.text[self.at..].chars().next()?;
            self.at += character.len_utf8();
            match character {
                '"' => return Some(String::from_utf16(&units).ok()),
                '\0'..='\u{1f}' => return None,
                '\\' => {
                    let escape = self.peek()?;
                    self.at += 1;
                    units.push(match escape {
                        b'"' | b'\\' | b'/' => u16::from(escape),
                        b'b' => 8,
                        b't' => 9,
                        b'n' => 10,
                        b'f' => 12,
                        b'r' => 13,
                        b'u' => {
                            let digits = self.text.get(self.at..self.at + 4)?;
                            self.at += 4;
                            digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
                            u16::from_str_radix(digits, 16).ok()?
                        }
                        _ => return None,
                    });
                }
                _ => units.extend(character.encode_utf16(&mut [0; 2]).iter()),
            }
        }
    }
}
