//! Polling by JSONP: an answer is a script that calls a function of the page, a POST is a form. In any revision.
//!
//! ```text
//! GET  …&j=7 ──>  ___eio[7]("4hello");          the payload as a string of JavaScript
//! POST …&j=7 <──  d=4hello%5Cnworld             the payload as the field of a form, line feeds as `\n`
//! ```

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::DecodeError;
use crate::json;
use crate::request::decode_component;

/// Appends the script that hands `payload` to the page. `index` is the `j` parameter of the request, of which
/// [`RequestQuery::jsonp`](crate::RequestQuery::jsonp) leaves digits only.
///
/// ```
/// let mut body = Vec::new();
/// sockeye_engineio::jsonp::encode("7", "4say \"hi\"", &mut body);
/// assert_eq!(body, br#"___eio[7]("4say \"hi\"");"#);
/// ```
pub fn encode(index: &str, payload: &str, out: &mut Vec<u8>) {
    let mut text = String::with_capacity(payload.len() + payload.len() / 8 + 16);
    json::push_string(&mut text, payload);
    out.extend_from_slice(b"___eio[");
    out.extend_from_slice(index.as_bytes());
    out.extend_from_slice(b"](");
    // These end a line in a script, and so a string, unless they are escaped.
    for part in text.split_inclusive(['\u{2028}', '\u{2029}']) {
        let (plain, escaped) = match part.chars().next_back() {
            Some('\u{2028}') => (&part[..part.len() - 3], &b"\\u2028"[..]),
            Some('\u{2029}') => (&part[..part.len() - 3], &b"\\u2029"[..]),
            _ => (part, &b""[..]),
        };
        out.extend_from_slice(plain.as_bytes());
        out.extend_from_slice(escaped);
    }
    out.extend_from_slice(b");");
}

/// The payload that a form carries in its field `d`. `None` when there is no such field, or more than one: like the
/// official server, take that for no packet.
///
/// ```
/// use sockeye_engineio::jsonp::decode_form;
///
/// assert_eq!(decode_form(br"d=4a%20%5Cn+b")?.as_deref(), Some("4a \n b"));
/// assert_eq!(decode_form(b"x=1")?, None);
/// # Ok::<(), sockeye_engineio::DecodeError>(())
/// ```
///
/// # Errors
/// [`DecodeError::InvalidForm`]: a percent escape is broken, or what it gives is not UTF-8.
pub fn decode_form(body: &[u8]) -> Result<Option<String>, DecodeError> {
    let body = core::str::from_utf8(body).map_err(|_| DecodeError::InvalidForm)?;
    let mut payload = None;
    for pair in body.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decode_component(name).map_err(|_| DecodeError::InvalidForm)? != "d" {
            continue;
        }
        if payload.replace(value).is_some() {
            return Ok(None);
        }
    }
    let Some(payload) = payload else { return Ok(None) };
    let payload = decode_component(payload).map_err(|_| DecodeError::InvalidForm)?;
    Ok(Some(unescape(&payload)))
}

/// A form would change line feeds, so the page writes `\n` for one, and a backslash more where that is meant literally.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('\\') {
        let run_len = rest[start..].bytes().take_while(|&byte| byte == b'\\').count();
        let (before, behind) = (&rest[..start + run_len], &rest[start + run_len..]);
        match behind.strip_prefix('n') {
            Some(behind) if run_len == 1 => {
                out.push_str(&rest[..start]);
                out.push('\n');
                rest = behind;
            }
            Some(behind) => {
                out.push_str(&before[..before.len() - 1]);
                out.push('n');
                rest = behind;
            }
            None => {
                out.push_str(before);
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn script(index: &str, payload: &str) -> String {
        let mut out = Vec::new();
        encode(index, payload, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn line_separators_are_escaped() {
        assert_eq!(script("0", "\u{2028}a\u{2029}\u{2028}b\n"), r#"___eio[0]("\u2028a\u2029\u2028b\n");"#);
        assert_eq!(script("", ""), r#"___eio[]("");"#);
    }

    #[test]
    fn line_feeds_and_literal_escapes_are_told_apart() {
        for (sent, meant) in [
            (r"a\nb", "a\nb"),
            (r"a\\nb", r"a\nb"),
            (r"a\\\nb", r"a\\nb"),
            (r"\n\n", "\n\n"),
            (r"\", r"\"),
            (r"\t\\", r"\t\\"),
            (r"n\né\", "n\né\\"),
        ] {
            assert_eq!(unescape(sent), meant, "{sent}");
        }
    }

    #[test]
    fn forms_without_one_payload_have_none() {
        for body in ["", "x=1", "D=1", "d=1&d=2", "&&=", "dd=1"] {
            assert_eq!(decode_form(body.as_bytes()), Ok(None), "{body}");
        }
        assert_eq!(decode_form(b"a=%31&d=%C3%A9&b"), Ok(Some("é".to_string())));
        assert_eq!(decode_form(b"%64=1"), Ok(Some("1".to_string())));
        assert_eq!(decode_form(b"d"), Ok(Some(String::new())));
    }

    #[test]
    fn broken_escapes_are_errors() {
        for body in [&b"d=%"[..], b"d=%zz", b"d=%ff", b"d=\xff", b"%=1", b"d=%e2%80"] {
            assert_eq!(decode_form(body), Err(DecodeError::InvalidForm), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn what_a_page_posts_arrives(payload in any::<String>(), near in r"[\\na\n]{0,12}") {
            // A backslash in front of a line feed is written like a literal `\n`: the page loses it.
            for payload in [payload, near].into_iter().filter(|payload| !payload.contains("\\\n")) {
                // What the page of the official client does before the form encodes it.
                let escaped = payload.replace("\\n", "\\\\n").replace('\n', "\\n");
                let body: String = escaped.bytes().map(|byte| alloc::format!("%{byte:02x}")).collect();
                let decoded = decode_form(alloc::format!("d={body}").as_bytes()).unwrap().unwrap();
                prop_assert_eq!(decoded, payload);
            }
        }

        #[test]
        fn the_string_of_a_script_is_the_payload(payload in any::<String>()) {
            let script = script("3", &payload);
            let string = script.strip_prefix("___eio[3](").unwrap().strip_suffix(");").unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(string).unwrap(), payload);
            let is_one_line = !string.contains(['\u{2028}', '\u{2029}', '\n']);
            prop_assert!(is_one_line);
        }

        #[test]
        fn any_form_decodes_or_fails_without_a_panic(body in any::<Vec<u8>>()) {
            let _ = decode_form(&body);
        }
    }
}
