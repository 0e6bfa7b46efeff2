//! The client's side of a connection: address, opening handshake, and a blocking exchange to check what comes back.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use flate2::{Decompress, FlushDecompress, Status};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use super::replies::{Message, ReplyCounter, Visitor};

/// A connection without an answer for so long is given up.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// RFC 6455 §1.3: the key of its example, and what it is accepted with.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// How to talk to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// A server that sends everything back as it is, the handshake too.
    pub is_floor: bool,
    /// What is offered in `Sec-WebSocket-Extensions`, and has to be accepted.
    pub offer: Option<&'static str>,
}

impl Dialect {
    fn request(self) -> String {
        let offer = self.offer.map(|offer| format!("Sec-WebSocket-Extensions: {offer}\r\n"));
        format!(
            "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{}\r\n",
            offer.unwrap_or_default()
        )
    }

    /// How this server's replies are counted.
    #[must_use]
    pub const fn counter(self) -> ReplyCounter {
        ReplyCounter::new(self.is_floor)
    }
}

/// Connects from the `index`th of several loopback addresses, each of which has ports of its own.
///
/// # Errors
/// When the system refuses.
pub fn connect_from(index: usize, server: SocketAddr) -> io::Result<TcpStream> {
    const ADDRESS_COUNT: usize = 16;
    let last = (index % ADDRESS_COUNT).to_le_bytes()[0] + 2;
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0))?;
    connect(&socket, &server)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The opening handshake's first half.
///
/// # Errors
/// When the transport fails.
pub fn send_request(stream: &mut TcpStream, dialect: Dialect) -> io::Result<()> {
    stream.write_all(dialect.request().as_bytes())
}

/// The opening handshake's second half.
///
/// # Errors
/// When the transport fails or the answer is not the right one.
pub fn receive_response(stream: &mut TcpStream, dialect: Dialect) -> io::Result<()> {
    let mut response = Vec::new();
    let mut piece = [0; 1024];
    while !response.ends_with(b"\r\n\r\n") {
        let len = stream.read(&mut piece)?;
        if len == 0 || response.len() > 16 * 1024 {
            return Err(io::Error::other(format!(
                "no handshake but {:?}",
                String::from_utf8_lossy(&response)
            )));
        }
        response.extend_from_slice(&piece[..len]);
    }
    let response = String::from_utf8_lossy(&response);
    judge(&response, dialect).map_err(|wrong| io::Error::other(format!("{wrong} in {response:?}")))
}

fn judge(response: &str, dialect: Dialect) -> Result<(), &'static str> {
    if dialect.is_floor {
        return if response == dialect.request() { Ok(()) } else { Err("not the request") };
    }
    let header = |wanted: &str| {
        response
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then(|| value.trim()))
    };
    if !response.starts_with("HTTP/1.1 101 ") {
        return Err("no status 101");
    }
    if header("Sec-WebSocket-Accept") != Some(ACCEPT) {
        return Err("the wrong Sec-WebSocket-Accept");
    }
    let extension = header("Sec-WebSocket-Extensions");
    match dialect.offer {
        Some(_) if !extension.is_some_and(|e| e.starts_with("permessage-deflate")) => {
            Err("no permessage-deflate")
        }
        None if extension.is_some() => Err("an extension that was not offered"),
        _ => Ok(()),
    }
}

/// Replies with their payloads, as a user would see them.
#[derive(Debug, Default)]
pub struct Inbox {
    /// Begins with the first compressed message.
    inflate: Option<Decompress>,
    payload: Vec<u8>,
    /// Of complete messages: whether it is text, and the payload.
    pub messages: Vec<(bool, Vec<u8>)>,
    /// How many Close frames came.
    pub close_count: usize,
    failure: Option<String>,
}

impl Visitor for Inbox {
    fn payload(&mut self, piece: &[u8]) {
        self.payload.extend_from_slice(piece);
    }

    fn message(&mut self, message: Message) {
        let mut payload = std::mem::take(&mut self.payload);
        if message.is_compressed {
            match inflate(self.inflate.get_or_insert_with(|| Decompress::new(false)), payload) {
                Ok(inflated) => payload = inflated,
                Err(error) => {
                    self.failure = Some(error);
                    return;
                }
            }
        }
        self.messages.push((message.is_text, payload));
    }

    fn close(&mut self) {
        self.close_count += 1;
    }
}

/// RFC 7692 §7.2.2: the end that the sender cut off is put back.
fn inflate(stream: &mut Decompress, mut payload: Vec<u8>) -> Result<Vec<u8>, String> {
    payload.extend_from_slice(&[0, 0, 0xFF, 0xFF]);
    let mut inflated = Vec::with_capacity(payload.len() * 4 + 1024);
    let mut taken_len = 0;
    loop {
        let before = (stream.total_in(), stream.total_out());
        let status = stream
            .decompress_vec(&payload[taken_len..], &mut inflated, FlushDecompress::Sync)
            .map_err(|error| error.to_string())?;
        taken_len += usize::try_from(stream.total_in() - before.0).unwrap_or(0);
        if taken_len == payload.len() && inflated.len() < inflated.capacity() {
            return Ok(inflated);
        }
        let is_stuck = status == Status::StreamEnd || before == (stream.total_in(), stream.total_out());
        if is_stuck && inflated.len() < inflated.capacity() {
            return Err(format!("{} bytes behind the compressed data", payload.len() - taken_len));
        }
        inflated.reserve(64 * 1024);
    }
}

/// Reads until `inbox` has `count` messages.
///
/// # Errors
/// When the transport fails or a reply is wrong.
pub fn receive_until(
    stream: &mut TcpStream,
    counter: &mut ReplyCounter,
    inbox: &mut Inbox,
    count: usize,
) -> io::Result<()> {
    let mut piece = [0; 16 * 1024];
    while inbox.messages.len() < count {
        let len = stream.read(&mut piece)?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        counter.feed(&piece[..len], inbox).map_err(io::Error::other)?;
        if let Some(failure) = inbox.failure.take() {
            return Err(io::Error::other(failure));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};

    const PLAIN: Dialect = Dialect { is_floor: false, offer: None };

    fn response(more: &str) -> String {
        format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {ACCEPT}\r\n{more}\r\n")
    }

    #[test]
    fn handshake_is_judged() {
        let deflate = Dialect { offer: Some("permessage-deflate"), ..PLAIN };
        let accepted = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15\r\n";
        assert!(judge(&response(""), PLAIN).is_ok());
        assert!(judge(&response(accepted), PLAIN).is_err());
        assert!(judge(&response(""), deflate).is_err());
        assert!(judge(&response(accepted), deflate).is_ok());
        assert!(judge("HTTP/1.1 400 Bad Request\r\n\r\n", PLAIN).is_err());
        assert!(judge("HTTP/1.1 101 x\r\nSec-WebSocket-Accept: x\r\n\r\n", PLAIN).is_err());
        let floor = Dialect { is_floor: true, ..PLAIN };
        assert!(judge(&floor.request(), floor).is_ok());
        assert!(judge(&response(""), floor).is_err());
    }

    #[test]
    fn inbox_inflates_with_the_window_of_earlier_messages() {
        let mut deflate = Compress::new(Compression::fast(), false);
        let mut inbox = Inbox::default();
        let mut counter = PLAIN.counter();
        let message = b"a message that is sent twice, so that the second refers to the first".repeat(100);
        for _ in 0..2 {
            let mut payload = Vec::with_capacity(64 * 1024);
            deflate.compress_vec(&message, &mut payload, FlushCompress::Sync).unwrap();
            payload.truncate(payload.len() - 4);
            let mut frame = vec![0xC1, 126];
            frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            frame.extend(payload);
            counter.feed(&frame, &mut inbox).unwrap();
        }
        assert_eq!(inbox.failure, None);
        assert_eq!(inbox.messages, [(true, message.clone()), (true, message)]);
    }

    #[test]
    fn corrupt_compression_is_an_error() {
        let mut inbox = Inbox::default();
        PLAIN.counter().feed(b"\xC1\x03\xFF\xFF\xFF", &mut inbox).unwrap();
        assert!(inbox.failure.is_some() && inbox.messages.is_empty());
    }
}
