//! Syntax checks over raw JSON text, without building anything from it.

use serde::de::IgnoredAny;

use crate::error::DecodeError;

/// How deep arrays and objects may be nested, the outermost included: the bound at which serde_json stops as well.
pub(crate) const MAX_DEPTH: usize = 127;

/// The name under which serde_json hands raw JSON over.
pub(crate) const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Checks that `text` is one JSON value, nested no deeper than [`MAX_DEPTH`]. Linear, iterative.
///
/// Unpaired surrogates in escapes (`"\ud800"`) pass: JavaScript accepts and sends them.
pub(crate) fn validate(text: &str) -> Result<(), DecodeError> {
    check_depth(text)?;
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => Ok(()),
        Err(error) => Err(DecodeError::InvalidJson { line: error.line(), column: error.column() }),
    }
}

/// Bounds the nesting, also of text that is not JSON.
pub(crate) fn check_depth(text: &str) -> Result<(), DecodeError> {
    let bytes = text.as_bytes();
    // Text with few brackets cannot nest deeply; counting them is a tenth of the price of finding the strings.
    if bytes.iter().filter(|&&byte| byte == b'[' || byte == b'{').count() <= MAX_DEPTH {
        return Ok(());
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(DecodeError::TooDeep { max: MAX_DEPTH });
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => at = string_end(bytes, at),
            _ => {}
        }
    }
    Ok(())
}

/// The index behind the quote that closes a string whose first character is at `at`, or the length of the text.
pub(crate) fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(len) = bytes.get(at..).and_then(plain_len) {
        at += len;
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// How many bytes stand before the first quote, backslash or control character; `None` if there is none of them.
///
/// Eight bytes at a time: for short strings, a vectorised search has not begun when this is done.
#[inline]
pub(crate) fn plain_len(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*chunk);
        let quotes = word ^ (ONES * b'"' as u64);
        let backslashes = word ^ (ONES * b'\\' as u64);
        // A subtraction borrows from a byte that is too small, and disturbs only the bytes above, which are later in the
        // text: the lowest mark is always true.
        let marks = (quotes.wrapping_sub(ONES) & !quotes)
            | (backslashes.wrapping_sub(ONES) & !backslashes)
            | (word.wrapping_sub(ONES * b' ' as u64) & !word);
        if marks & HIGHS != 0 {
            return Some(at + (marks & HIGHS).trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    bytes[at..].iter().position(|&byte| is_special(byte)).map(|len| at + len)
}

/// Whether all bytes can stand for themselves in a string.
#[inline]
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    plain_len(bytes).is_none()
}

/// Whether the byte cannot stand for itself in a string.
const fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..b' ')
}

/// Whether JSON allows the byte between tokens.
pub(crate) const fn is_whitespace(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The index of the first byte at or behind `at` that is no white space.
#[inline]
pub(crate) fn skip_whitespace(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|&byte| is_whitespace(byte)) {
        at += 1;
    }
    at
}

/// The last byte that is no white space.
#[inline]
pub(crate) fn last_byte(bytes: &[u8]) -> Option<u8> {
    bytes.iter().rev().copied().find(|&byte| !is_whitespace(byte))
}

/// Removes white space at the end.
pub(crate) fn trim_end(text: &str) -> &str {
    text.trim_end_matches([' ', '\t', '\n', '\r'])
}

/// Removes white space at both ends.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn nested(open: &str, close: &str, depth: usize) -> String {
        open.repeat(depth) + "1" + &close.repeat(depth)
    }

    #[test]
    fn plain_len_agrees_with_a_plain_loop() {
        let mut bytes = [b'a'; 24];
        for len in 0..=bytes.len() {
            for first in 0..len {
                for second in first..len {
                    for byte in
                        [0, 1, 0x1f, b' ', b'!', b'"', b'#', b'[', b'\\', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff]
                    {
                        bytes.fill(b'a');
                        bytes[second] = b'"';
                        bytes[first] = byte;
                        let bytes = &bytes[..len];
                        assert_eq!(plain_len(bytes), bytes.iter().position(|&byte| is_special(byte)));
                    }
                }
            }
        }
    }

    #[test]
    fn the_depth_bound_is_the_one_of_serde_json() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deepest = nested(open, close, MAX_DEPTH);
            assert_eq!(validate(&deepest), Ok(()));
            assert!(serde_json::from_str::<serde_json::Value>(&deepest).is_ok());
            let deeper = nested(open, close, MAX_DEPTH + 1);
            assert_eq!(validate(&deeper), Err(DecodeError::TooDeep { max: MAX_DEPTH }));
            assert!(serde_json::from_str::<serde_json::Value>(&deeper).is_err());
        }
    }

    #[test]
    fn brackets_in_strings_and_wide_arrays_do_not_count_as_depth() {
        assert_eq!(validate(&alloc::format!("[{:?}]", "[".repeat(1000))), Ok(()));
        assert_eq!(validate(&alloc::format!("[{}1]", "[1],".repeat(1000))), Ok(()));
        assert_eq!(validate(&alloc::format!(r#"["\"{}\\"]"#, "[".repeat(1000))), Ok(()));
    }

    #[test]
    fn a_hundred_thousand_levels_are_an_error_and_no_stack_overflow() {
        for text in [
            nested("[", "]", 100_000),
            nested("{\"a\":", "}", 100_000),
            "[".repeat(100_000),
            "[{\"a\":".repeat(100_000),
        ] {
            assert!(validate(&text).is_err());
        }
    }

    #[test]
    fn what_javascript_accepts_passes_and_what_it_rejects_does_not() {
        for good in ["1e999", r#""\ud800""#, " [ 1 , 2 ] ", r#"{"a":1,"a":2}"#, "-0", "null"] {
            assert_eq!(validate(good), Ok(()), "{good}");
        }
        for bad in ["", "[1,]", "01", "1.", "'a'", "[1", "\"\n\"", r#""\x""#, "[1] 2", "nul", "{a:1}", "NaN"]
        {
            assert!(matches!(validate(bad), Err(DecodeError::InvalidJson { .. })), "{bad}");
        }
    }
}
