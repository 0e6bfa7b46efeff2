//! Finding the end of an HTTP head incrementally, and its limits.

use super::HandshakeError;

/// Limits on the head of a request or response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// The longest head in bytes, start line and empty line included. Default 16 KiB. Above it: 431.
    pub max_len: usize,
    /// The most header fields, at most 128. Default 100. Above it: 431.
    pub max_header_count: usize,
}

/// The most header fields that any limit allows: the size of the array that they are parsed into.
pub(super) const MAX_HEADER_COUNT: usize = 128;

impl Default for HeadLimits {
    fn default() -> Self {
        Self { max_len: 16 * 1024, max_header_count: 100 }
    }
}

/// Searches for the empty line that ends a head, each byte once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HeadScanner {
    scanned_len: usize,
}

impl HeadScanner {
    /// The length of the head at the start of `input`, `None` when its end has not arrived.
    pub(super) fn scan(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<usize>, HandshakeError> {
        // Lenient about bare line feeds, as every HTTP parser is (RFC 9112 §2.2).
        while let Some(at) = memchr::memchr(b'\n', input.get(self.scanned_len..).unwrap_or_default()) {
            let line_end = self.scanned_len + at;
            let end = match input.get(line_end + 1..) {
                Some([b'\n', ..]) => line_end + 2,
                Some([b'\r', b'\n', ..]) => line_end + 3,
                // The line feed is looked at again when what follows it is here.
                Some([] | [b'\r']) | None => {
                    self.scanned_len = line_end;
                    return self.check_len(input.len(), limits).map(|()| None);
                }
                Some(_) => {
                    self.scanned_len = line_end + 1;
                    self.check_len(self.scanned_len, limits)?;
                    continue;
                }
            };
            return self.check_len(end, limits).map(|()| Some(end));
        }
        self.scanned_len = input.len();
        self.check_len(input.len(), limits).map(|()| None)
    }

    const fn check_len(&self, len: usize, limits: &HeadLimits) -> Result<(), HandshakeError> {
        if len > limits.max_len { Err(HandshakeError::HeadTooLong { max: limits.max_len }) } else { Ok(()) }
    }
}

pub(super) const fn map_httparse(error: httparse::Error, limits: &HeadLimits) -> HandshakeError {
    match error {
        httparse::Error::TooManyHeaders => HandshakeError::TooManyHeaders { max: limits.max_header_count },
        httparse::Error::Version => HandshakeError::HttpVersion,
        _ => HandshakeError::MalformedHttp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_is_found_wherever_the_input_is_cut() {
        for head in [&b"GET / HTTP/1.1\r\nA: b\r\n\r\n"[..], b"GET / HTTP/1.1\nA: b\n\n"] {
            let mut scanner = HeadScanner::default();
            for end in 0..head.len() {
                assert_eq!(scanner.scan(&head[..end], &HeadLimits::default()), Ok(None), "{end}");
            }
            assert_eq!(scanner.scan(head, &HeadLimits::default()), Ok(Some(head.len())));
        }
    }

    #[test]
    fn head_above_the_limit_is_rejected_before_its_end() {
        let limits = HeadLimits { max_len: 20, ..HeadLimits::default() };
        let error = Err(HandshakeError::HeadTooLong { max: 20 });
        assert_eq!(HeadScanner::default().scan(&[b'a'; 21], &limits), error);
        assert_eq!(HeadScanner::default().scan(b"abcdefghijklmnopqrs\r\n\r\n", &limits), error);
    }
}
