//! Counts the messages in a stream of replies by their frame headers, however the stream is cut.

/// What is told of the replies.
pub trait Visitor {
    /// A piece of a data frame's payload, as it is on the wire.
    fn payload(&mut self, _piece: &[u8]) {}
    /// A message is complete.
    fn message(&mut self, message: Message);
    /// A Close frame is complete.
    fn close(&mut self) {}
}

/// A complete message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Whether it is text.
    pub is_text: bool,
    /// Whether its payload is compressed.
    pub is_compressed: bool,
    /// Bytes of payload on the wire, of all its fragments.
    pub payload_len: u64,
    /// Bytes on the wire: those of the payload and the headers.
    pub wire_len: u64,
}

/// How far a connection's stream of replies is.
#[derive(Debug)]
pub struct ReplyCounter {
    /// A server's frames have no masks, but the floor sends the client's own frames back.
    expects_mask: bool,
    header: [u8; 14],
    header_len: usize,
    /// Bytes that are missing of the payload of the frame whose header is complete.
    payload_left: u64,
    /// The first byte of the frame.
    first: u8,
    /// The data message of which fragments have come.
    message: Option<Message>,
}

impl ReplyCounter {
    /// At the start of a stream. `expects_mask`: whether all frames, instead of none, are masked.
    #[must_use]
    pub const fn new(expects_mask: bool) -> Self {
        Self { expects_mask, header: [0; 14], header_len: 0, payload_left: 0, first: 0, message: None }
    }

    /// Whether the stream stands between two messages.
    #[must_use]
    pub const fn is_between_messages(&self) -> bool {
        self.header_len == 0 && self.message.is_none()
    }

    /// Goes through the next `bytes` of the stream.
    ///
    /// # Errors
    /// What is wrong with a frame.
    pub fn feed(&mut self, mut bytes: &[u8], visitor: &mut impl Visitor) -> Result<(), String> {
        loop {
            if self.header_len == 0 || self.header_len < self.whole_header_len() {
                if bytes.is_empty() {
                    return Ok(());
                }
                bytes = self.take_header(bytes)?;
                if self.header_len < self.whole_header_len() {
                    continue;
                }
                self.begin_frame()?;
            }
            let piece_len = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
            let (piece, rest) = bytes.split_at(piece_len);
            bytes = rest;
            self.payload_left -= piece_len as u64;
            if self.first & 0x08 == 0 && !piece.is_empty() {
                visitor.payload(piece);
            }
            if self.payload_left > 0 {
                return Ok(());
            }
            self.end_frame(visitor);
        }
    }

    /// How long the header is, as far as its bytes tell: at least 2.
    fn whole_header_len(&self) -> usize {
        if self.header_len < 2 {
            return 2;
        }
        let length = match self.header[1] & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.expects_mask { 4 } else { 0 }
    }

    fn take_header<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        let taken_len = bytes.len().min(self.whole_header_len() - self.header_len);
        let (taken, rest) = bytes.split_at(taken_len);
        self.header[self.header_len..][..taken_len].copy_from_slice(taken);
        self.header_len += taken_len;
        if self.header_len >= 2 && (self.header[1] & 0x80 != 0) != self.expects_mask {
            return Err(format!("a mask bit that is wrong, in {:02x?}", &self.header[..self.header_len]));
        }
        Ok(rest)
    }

    fn begin_frame(&mut self) -> Result<(), String> {
        let header = &self.header;
        self.first = header[0];
        self.payload_left = match header[1] & 0x7F {
            126 => u64::from(u16::from_be_bytes([header[2], header[3]])),
            127 => {
                let [_, _, length @ .., _, _, _, _] = *header;
                u64::from_be_bytes(length)
            }
            length => u64::from(length),
        };
        let (opcode, is_fragment) = (self.first & 0x0F, self.message.is_some());
        match opcode {
            0 if is_fragment => {}
            1 | 2 if !is_fragment => {
                let is_compressed = self.first & 0x40 != 0;
                self.message =
                    Some(Message { is_text: opcode == 1, is_compressed, payload_len: 0, wire_len: 0 });
            }
            8..=10 => {}
            _ => return Err(format!("opcode {opcode} is out of place")),
        }
        if opcode < 8
            && let Some(message) = &mut self.message
        {
            message.payload_len += self.payload_left;
            message.wire_len += self.payload_left + self.header_len as u64;
        }
        Ok(())
    }

    fn end_frame(&mut self, visitor: &mut impl Visitor) {
        self.header_len = 0;
        match self.first & 0x0F {
            8 => visitor.close(),
            9..16 => {}
            _ if self.first & 0x80 != 0 => {
                if let Some(message) = self.message.take() {
                    visitor.message(message);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::frames::{BINARY, client_frame};

    #[derive(Debug, Default, PartialEq)]
    struct Seen {
        payload: Vec<u8>,
        messages: Vec<Message>,
        close_count: usize,
    }

    impl Visitor for Seen {
        fn payload(&mut self, piece: &[u8]) {
            self.payload.extend(piece);
        }
        fn message(&mut self, message: Message) {
            self.messages.push(message);
        }
        fn close(&mut self) {
            self.close_count += 1;
        }
    }

    fn message(is_text: bool, is_compressed: bool, payload_len: u64, wire_len: u64) -> Message {
        Message { is_text, is_compressed, payload_len, wire_len }
    }

    /// A stream with every kind of header, and what is in it.
    fn stream() -> (Vec<u8>, Seen) {
        let mut stream = b"\x81\x05Hello".to_vec();
        stream.extend(b"\x82\x00");
        stream.extend([&[0x82, 126, 0x01, 0x00][..], &[7; 256]].concat());
        // Compressed, in three fragments, with a Ping between them.
        stream.extend(b"\x41\x03abc\x89\x02hi\x00\x00\x80\x01d");
        stream.extend([&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], &[8; 65_536]].concat());
        stream.extend(b"\x88\x02\x03\xe8");
        let seen = Seen {
            payload: [&b"Hello"[..], &[7; 256], b"abcd", &[8; 65_536]].concat(),
            messages: vec![
                message(true, false, 5, 7),
                message(false, false, 0, 2),
                message(false, false, 256, 260),
                message(true, true, 4, 10),
                message(false, false, 65_536, 65_546),
            ],
            close_count: 1,
        };
        (stream, seen)
    }

    #[test]
    fn messages_are_the_same_however_the_stream_is_cut() {
        let (stream, expected) = stream();
        for piece_len in [1, 2, 3, 5, 7, 64, 1000, stream.len()] {
            let mut counter = ReplyCounter::new(false);
            let mut seen = Seen::default();
            for piece in stream.chunks(piece_len) {
                counter.feed(piece, &mut seen).unwrap();
            }
            assert_eq!(seen, expected, "pieces of {piece_len}");
            assert!(counter.is_between_messages());
        }
    }

    #[test]
    fn message_counts_only_when_its_last_byte_has_come() {
        let mut counter = ReplyCounter::new(false);
        let mut seen = Seen::default();
        counter.feed(b"\x01\x03abc\x80\x02d", &mut seen).unwrap();
        assert!(seen.messages.is_empty());
        assert!(!counter.is_between_messages());
        counter.feed(b"e", &mut seen).unwrap();
        assert_eq!(seen.messages, [message(true, false, 5, 9)]);
        // The header of a frame is something that has begun, too.
        counter.feed(b"\x81", &mut seen).unwrap();
        assert!(!counter.is_between_messages());
    }

    #[test]
    fn echo_of_the_floor_counts_with_its_masks() {
        let stream =
            [client_frame(BINARY, &[1; 3], [9; 4]), client_frame(BINARY, &[1; 300], [9; 4])].concat();
        for piece_len in [1, 4, stream.len()] {
            let mut counter = ReplyCounter::new(true);
            let mut seen = Seen::default();
            for piece in stream.chunks(piece_len) {
                counter.feed(piece, &mut seen).unwrap();
            }
            assert_eq!(seen.messages, [message(false, false, 3, 9), message(false, false, 300, 308)]);
        }
    }

    #[test]
    fn frames_that_a_server_may_not_send_are_errors() {
        for (stream, what) in [
            (&b"\x81\x81"[..], "masked"),
            (b"\x80\x00", "continuation of nothing"),
            (b"\x01\x00\x81\x00", "message within a message"),
            (b"\x83\x00", "unknown opcode"),
            (b"\x8b\x00", "unknown control opcode"),
        ] {
            let result = ReplyCounter::new(false).feed(stream, &mut Seen::default());
            assert!(result.is_err(), "{what}");
        }
        assert!(ReplyCounter::new(true).feed(b"\x81\x01", &mut Seen::default()).is_err(), "not masked");
    }
}
