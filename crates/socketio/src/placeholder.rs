//! Placeholders: the objects in the text that stand for attachments.
//!
//! ```text
//! {"_placeholder":true,"num":3}
//! ```

use alloc::string::String;
use core::{fmt::Write as _, ops::Range};

use crate::{
    error::DecodeError,
    json::{skip_whitespace, string_end},
};

/// The key that makes an object a placeholder, if its value is `true`.
pub(crate) const MARKER: &str = "_placeholder";

/// The key of the attachment's index.
pub(crate) const NUM: &str = "num";

/// Checks every placeholder in `text`, which must be valid JSON of bounded depth; `count` attachments exist.
///
/// An object whose `_placeholder` is `true` must have an integer `num` below `count`; two placeholders may name the same
/// attachment. Returns the text rewritten if any placeholder does not begin with `_placeholder`, as the official encoders write
/// it, so that a reader can tell by the first key.
pub(crate) fn normalize(text: &str, count: usize) -> Result<Option<String>, DecodeError> {
    let mut scanner = Scanner { text, at: 0, count, rewritten: String::new(), copied: 0 };
    scanner.value()?;
    if scanner.copied == 0 {
        return Ok(None);
    }
    scanner.rewritten.push_str(&text[scanner.copied..]);
    Ok(Some(scanner.rewritten))
}

/// Walks valid JSON. Recursive: the depth of the text is bounded.
struct Scanner<'t> {
    text: &'t str,
    at: usize,
    count: usize,
    /// The text up to `copied`, with the placeholders brought into their usual form.
    rewritten: String,
    copied: usize,
}

/// What an object has said so far about being a placeholder.
#[derive(Default)]
struct Found {
    keys: usize,
    markers: usize,
    /// The marker was the first key.
    leading: bool,
    marked: bool,
    nums: usize,
    index: Option<usize>,
}

impl<'t> Scanner<'t> {
    fn peek(&mut self) -> Option<u8> {
        self.at = skip_whitespace(self.text.as_bytes(), self.at);
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes over one value; returns its text, of arrays and objects only the first bracket.
    fn value(&mut self) -> Result<&'t str, DecodeError> {
        let first = self.peek();
        let start = self.at;
        let range = match first {
            Some(b'{') => {
                self.object()?;
                start..start + 1
            }
            Some(b'[') => {
                self.array()?;
                start..start + 1
            }
            Some(b'"') => self.string(),
            _ => {
                let bytes = self.text.as_bytes();
                let len = bytes[start..].iter().position(|byte| matches!(byte, b',' | b'}' | b']'));
                self.at = len.map_or(bytes.len(), |len| start + len);
                start..self.at
            }
        };
        Ok(self.text.get(range).unwrap_or_default().trim_end())
    }

    fn string(&mut self) -> Range<usize> {
        let start = self.at;
        self.at = string_end(self.text.as_bytes(), start + 1);
        start..self.at
    }

    fn array(&mut self) -> Result<(), DecodeError> {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') | None => {
                    self.at += 1;
                    return Ok(());
                }
                Some(_) => {
                    self.value()?;
                }
            }
        }
    }

    fn object(&mut self) -> Result<(), DecodeError> {
        let start = self.at;
        let mut found = Found::default();
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => self.entry(&mut found)?,
                Some(b'}') | None => {
                    self.at += 1;
                    return self.object_end(start, &found);
                }
                Some(_) => self.at += 1,
            }
        }
    }

    fn entry(&mut self, found: &mut Found) -> Result<(), DecodeError> {
        let key = self.string();
        let key = &self.text[key];
        if self.peek() == Some(b':') {
            self.at += 1;
        }
        let value = self.value()?;
        if is_key(key, MARKER) {
            found.markers += 1;
            found.leading = found.keys == 0;
            found.marked = value == "true";
        } else if is_key(key, NUM) {
            found.nums += 1;
            found.index = value.parse().ok().filter(|_| value.bytes().all(|byte| byte.is_ascii_digit()));
        }
        found.keys += 1;
        Ok(())
    }

    /// Judges the object that reaches from `start` to here.
    fn object_end(&mut self, start: usize, found: &Found) -> Result<(), DecodeError> {
        if found.markers > 1 {
            // Parsers differ about which of two equal keys counts.
            return Err(DecodeError::InvalidPlaceholder);
        }
        if !found.marked {
            return Ok(());
        }
        let index = found.index.filter(|&index| found.nums == 1 && index < self.count);
        let index = index.ok_or(DecodeError::InvalidPlaceholder)?;
        if !found.leading && start >= self.copied {
            self.rewritten.push_str(&self.text[self.copied..start]);
            let written = write!(self.rewritten, "{{\"{MARKER}\":true,\"{NUM}\":{index}}}");
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
            self.copied = self.at;
        }
        Ok(())
    }
}

/// Whether a string literal, quotes included, means `key`.
fn is_key(literal: &str, key: &str) -> bool {
    let content = literal.get(1..literal.len() - 1).unwrap_or_default();
    // Escapes only make it longer, to six bytes per character at most.
    let may_be_escaped = (key.len() + 1..=6 * key.len()).contains(&content.len());
    content == key
        || may_be_escaped
            && content.as_bytes().contains(&b'\\')
            && serde_json::from_str::<String>(literal).is_ok_and(|content| content == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVALID: Result<Option<String>, DecodeError> = Err(DecodeError::InvalidPlaceholder);

    #[test]
    fn usual_placeholders_pass_as_they_are() {
        for text in [
            r#"["a",{"_placeholder":true,"num":0}]"#,
            r#"["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":1}]"#,
            r#"["a",{"deep":[[{"_placeholder" : true , "num" : 1 }]]}]"#,
            r#"["a",{"_placeholder":true,"num":0,"more":[1]}]"#,
            r#"["a",{"_placehol\u0064er":true,"\u006eum":0}]"#,
        ] {
            assert_eq!(normalize(text, 2), Ok(None), "{text}");
        }
    }

    #[test]
    fn a_num_that_is_no_index_of_an_attachment_is_refused() {
        for num in [
            "-1",
            "1.5",
            "\"0\"",
            "99",
            "2",
            "null",
            "[0]",
            "{}",
            "true",
            "0.0",
            "1e0",
            "-0",
            "99999999999999999999",
        ] {
            let text = alloc::format!(r#"["a",{{"_placeholder":true,"num":{num}}}]"#);
            assert_eq!(normalize(&text, 2), INVALID, "{text}");
        }
        assert_eq!(normalize(r#"["a",{"_placeholder":true}]"#, 2), INVALID);
    }

    #[test]
    fn keys_that_appear_twice_are_refused() {
        assert_eq!(normalize(r#"[{"_placeholder":true,"num":0,"num":1}]"#, 2), INVALID);
        assert_eq!(normalize(r#"[{"_placeholder":true,"num":0,"_placeholder":false}]"#, 2), INVALID);
    }

    #[test]
    fn objects_that_are_no_placeholders_pass() {
        for text in [
            r#"["a",{"_placeholder":false,"num":99}]"#,
            r#"["a",{"_placeholder":"true"}]"#,
            r#"["a",{"num":-1}]"#,
            r#"["a",{"x":{"_placeholder":1}},{},[],""]"#,
            r#"["a","{\"_placeholder\":true}"]"#,
            r#"["_placeholder",true]"#,
            "1",
        ] {
            assert_eq!(normalize(text, 1), Ok(None), "{text}");
        }
    }

    #[test]
    fn other_orders_are_rewritten() {
        let text =
            r#"["é",{"num":1,"_placeholder":true}, {"a":{"b":1,"num":0,"_placeholder":true,"c":"}"}},2]"#;
        let expected = r#"["é",{"_placeholder":true,"num":1}, {"a":{"_placeholder":true,"num":0}},2]"#;
        assert_eq!(normalize(text, 2).unwrap().unwrap(), expected);
    }

    #[test]
    fn a_placeholder_around_a_rewritten_one_stays_valid_json() {
        let text = r#"[{"a":{"num":0,"_placeholder":true},"num":1,"_placeholder":true}]"#;
        let rewritten = normalize(text, 2).unwrap().unwrap();
        assert_eq!(normalize(&rewritten, 2).map(|_| ()), Ok(()));
        assert!(serde_json::from_str::<serde_json::Value>(&rewritten).is_ok());
    }
}
