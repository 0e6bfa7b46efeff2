//! The head of an HTTP response that is not a WebSocket's: a proxy's answer, or a server's refusal.

use sockeye_websocket::handshake::{HandshakeError, HeadLimits};

/// The most header fields that any limit allows: the size of the array that they are parsed into.
const MAX_HEADER_COUNT: usize = 128;

/// Status and header fields of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    /// The head's length in bytes, the empty line included.
    pub(super) len: usize,
}

/// Reads a head as its bytes arrive: each byte is searched once for the end, and the head is parsed once.
#[derive(Debug)]
pub(super) struct HeadDecoder {
    limits: HeadLimits,
    searched_len: usize,
}

impl HeadDecoder {
    pub(super) const fn new(limits: HeadLimits) -> Self {
        Self { limits, searched_len: 0 }
    }

    /// Reads the head at the start of `input`, all that has arrived so far; `None` when it is incomplete.
    pub(super) fn decode(&mut self, input: &[u8]) -> Result<Option<Head>, HandshakeError> {
        let end = self.find_end(input);
        if end.unwrap_or(input.len()) > self.limits.max_len {
            return Err(HandshakeError::HeadTooLong { max: self.limits.max_len });
        }
        end.map(|len| parse(&input[..len], &self.limits)).transpose()
    }

    /// Finds the empty line, with bare line feeds as well (RFC 9112 §2.2).
    fn find_end(&mut self, input: &[u8]) -> Option<usize> {
        let start = std::mem::replace(&mut self.searched_len, input.len());
        let unsearched = input.get(start..)?.iter().enumerate();
        let ends = unsearched.filter(|(_, byte)| **byte == b'\n').map(|(at, _)| start + at);
        let mut ends = ends.filter(|at| input[..*at].ends_with(b"\n\r") || input[..*at].ends_with(b"\n"));
        ends.next().map(|at| at + 1)
    }
}

fn parse(head: &[u8], limits: &HeadLimits) -> Result<Head, HandshakeError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADER_COUNT];
    let count = limits.max_header_count.min(MAX_HEADER_COUNT);
    let mut response = httparse::Response::new(&mut fields[..count]);
    match response.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(HandshakeError::MalformedHttp),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(HandshakeError::TooManyHeaders { max: limits.max_header_count });
        }
        Err(httparse::Error::Version) => return Err(HandshakeError::HttpVersion),
        Err(_) => return Err(HandshakeError::MalformedHttp),
    }
    let headers = response.headers.iter().map(|field| (field.name.into(), field.value.into())).collect();
    Ok(Head { status: response.code.unwrap_or_default(), headers, len: head.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &[u8] = b"HTTP/1.1 407 Nope\r\nVia: a\r\nProxy-Authenticate: Basic\r\n\r\n";

    fn decode(input: &[u8]) -> Result<Option<Head>, HandshakeError> {
        HeadDecoder::new(HeadLimits::default()).decode(input)
    }

    #[test]
    fn head_is_read_and_what_follows_is_left() {
        let head = decode(&[HEAD, b"\n\r\n\r\nmore"].concat()).unwrap().unwrap();
        assert_eq!((head.status, head.len), (407, HEAD.len()));
        assert_eq!(head.headers[1], ("Proxy-Authenticate".into(), b"Basic".into()));
    }

    #[test]
    fn bare_line_feeds_end_a_head() {
        for head in [&b"HTTP/1.1 200 OK\n\n"[..], b"HTTP/1.0 200 OK\n\r\n", b"HTTP/1.0 200\r\n\n"] {
            assert_eq!(decode(&[head, b"x"].concat()).unwrap().unwrap().len, head.len());
        }
    }

    #[test]
    fn broken_heads_are_errors() {
        for (input, expected) in [
            (&b"SSH-2.0-OpenSSH\r\n\r\n"[..], HandshakeError::HttpVersion),
            (b"\x05\xFF\r\n\r\n", HandshakeError::HttpVersion),
            (b"HTTP/1.1 20 OK\r\n\r\n", HandshakeError::MalformedHttp),
            (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", HandshakeError::MalformedHttp),
            (b"\r\n\r\n", HandshakeError::MalformedHttp),
        ] {
            assert_eq!(decode(input), Err(expected), "{}", input.escape_ascii());
        }
        let many = [b"HTTP/1.1 200 OK\r\n", "A: b\r\n".repeat(101).as_bytes(), b"\r\n"].concat();
        assert_eq!(decode(&many), Err(HandshakeError::TooManyHeaders { max: 100 }));
        let long = [b"HTTP/1.1 200 OK\r\nA: ", "b".repeat(16 * 1024).as_bytes()].concat();
        assert_eq!(decode(&long), Err(HandshakeError::HeadTooLong { max: 16 * 1024 }));
    }

    proptest! {
        #[test]
        fn result_does_not_depend_on_how_the_input_is_cut(
            lines in proptest::collection::vec("[a: \r\n]{0,6}", 0..6),
            cuts in proptest::collection::vec(0usize..80, 0..6),
        ) {
            let input = ["HTTP/1.1 200 OK\r\n".into(), lines.join("\n"), "\r\n\r\nrest".into()].concat();
            let mut decoder = HeadDecoder::new(HeadLimits::default());
            let mut ends: Vec<_> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            ends.push(input.len());
            ends.sort_unstable();
            let in_pieces = ends.into_iter().find_map(|end| decoder.decode(&input.as_bytes()[..end]).transpose());
            prop_assert_eq!(in_pieces, decode(input.as_bytes()).transpose());
        }
    }
}
