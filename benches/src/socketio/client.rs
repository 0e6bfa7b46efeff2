//! The client's side of a session, blocking: handshakes over WebSocket and over long-polling, and what HTTP answers.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use super::packets;
use crate::sockets::{
    client::{ACCEPT, Inbox, KEY, connect_from, receive_until},
    measure::GROUP_LEN,
    replies::ReplyCounter,
};

/// Engine.IO's ping.
pub const PING: &[u8] = b"2";

/// A session over WebSocket, with what has come of its stream.
#[derive(Debug)]
pub struct Session {
    /// The connection.
    pub stream: TcpStream,
    /// How far its stream of replies is.
    pub counter: ReplyCounter,
    /// The messages that came.
    pub inbox: Inbox,
}

impl Session {
    fn connect(index: usize, server: SocketAddr) -> io::Result<Self> {
        let mut stream = connect_from(index, server)?;
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        Ok(Self { stream, counter: ReplyCounter::new(false), inbox: Inbox::default() })
    }

    /// Reads the response and the open packet, and asks for the main namespace.
    fn receive_open(&mut self) -> io::Result<()> {
        let mut received = Vec::new();
        let head_len = loop {
            let mut piece = [0; 1024];
            let len = self.stream.read(&mut piece)?;
            received.extend_from_slice(&piece[..len]);
            if let Some(at) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            if len == 0 {
                return Err(unexpected("response", &received));
            }
        };
        let head = String::from_utf8_lossy(&received[..head_len]).into_owned();
        if !head.starts_with("HTTP/1.1 101 ") || !head.contains(ACCEPT) {
            return Err(unexpected("response", &received));
        }
        self.counter.feed(&received[head_len..], &mut self.inbox).map_err(io::Error::other)?;
        let open = self.receive()?;
        if !open.starts_with("0{\"sid\":") {
            return Err(unexpected("open packet", open.as_bytes()));
        }
        self.stream.write_all(&packets::frame("40"))
    }

    fn receive_connected(&mut self) -> io::Result<()> {
        let connected = self.receive()?;
        if connected.starts_with("40{\"sid\":") {
            Ok(())
        } else {
            Err(unexpected("CONNECT", connected.as_bytes()))
        }
    }

    /// The next message. A ping, which some servers send at once, is answered instead.
    ///
    /// # Errors
    /// When there is none in time, or it is no text.
    pub fn receive(&mut self) -> io::Result<String> {
        loop {
            receive_until(&mut self.stream, &mut self.counter, &mut self.inbox, 1)?;
            let (_, message) = self.inbox.messages.remove(0);
            if message != PING {
                return String::from_utf8(message).map_err(io::Error::other);
            }
            self.stream.write_all(&packets::frame("3"))?;
        }
    }
}

/// Opens sessions in the main namespace, a group at a time: one by one, a busy machine would wait for itself after each.
///
/// # Errors
/// When a connection fails, or an answer is not the protocol's.
pub fn open(server: SocketAddr, count: usize) -> io::Result<Vec<Session>> {
    let mut sessions: Vec<Session> = Vec::with_capacity(count);
    while sessions.len() < count {
        let first = sessions.len();
        for index in first..count.min(first + GROUP_LEN) {
            sessions.push(Session::connect(index, server)?);
        }
        sessions[first..].iter_mut().try_for_each(Session::receive_open)?;
        sessions[first..].iter_mut().try_for_each(Session::receive_connected)?;
    }
    Ok(sessions)
}

fn unexpected(what: &str, received: &[u8]) -> io::Error {
    io::Error::other(format!("no {what} but {:?}", String::from_utf8_lossy(received)))
}

/// A request of a polling client.
#[must_use]
pub fn http_request(sid: Option<&str>, body: Option<&str>) -> Vec<u8> {
    let method = if body.is_some() { "POST" } else { "GET" };
    let sid = sid.map(|sid| format!("&sid={sid}")).unwrap_or_default();
    let content = body
        .map(|body| format!("Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n", body.len()));
    format!(
        "{method} /socket.io/?EIO=4&transport=polling{sid} HTTP/1.1\r\nHost: 127.0.0.1\r\n{}\r\n{}",
        content.unwrap_or_default(),
        body.unwrap_or_default()
    )
    .into_bytes()
}

/// The body of the response with which `received` begins, and the length of all of it; `None` while it is incomplete.
///
/// # Errors
/// When it is none with status 200 and a length.
pub fn http_response(received: &[u8]) -> Result<Option<(&str, usize)>, String> {
    let wrong = || String::from_utf8_lossy(received).into_owned();
    let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return if received.len() < 16 * 1024 { Ok(None) } else { Err(wrong()) };
    };
    let head = std::str::from_utf8(&received[..end]).map_err(|_| wrong())?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(wrong());
    }
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let len: usize = length.and_then(|(_, len)| len.trim().parse().ok()).ok_or_else(wrong)?;
    let start = end + 4;
    let Some(body) = received.get(start..start + len) else { return Ok(None) };
    Ok(Some((std::str::from_utf8(body).map_err(|_| wrong())?, start + len)))
}

/// Waits for a response, and returns its body.
///
/// # Errors
/// When there is none, or a refusal.
pub fn receive_http(stream: &mut TcpStream) -> io::Result<String> {
    let mut received = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let len = stream.read(&mut piece)?;
        received.extend_from_slice(&piece[..len]);
        match http_response(&received).map_err(io::Error::other)? {
            Some((body, whole_len)) if whole_len == received.len() => return Ok(body.to_owned()),
            None if len > 0 => {}
            _ => return Err(unexpected("response", &received)),
        }
    }
}

/// The id of the session in an open packet.
///
/// # Errors
/// When it is none.
pub fn sid_of(open: &str) -> io::Result<&str> {
    let sid = open.strip_prefix("0{\"sid\":\"").and_then(|rest| rest.split_once('"'));
    sid.map(|(sid, _)| sid).ok_or_else(|| unexpected("open packet", open.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_is_complete_with_its_last_byte() {
        let response = b"HTTP/1.1 200 OK\r\nContent-length: 2\r\n\r\nok";
        for len in 0..response.len() {
            assert_eq!(http_response(&response[..len]), Ok(None), "{len}");
        }
        assert_eq!(http_response(response), Ok(Some(("ok", response.len()))));
        let more = [&response[..], b"HTTP"].concat();
        assert_eq!(http_response(&more), Ok(Some(("ok", response.len()))));
    }

    #[test]
    fn refusals_and_responses_without_a_length_are_errors() {
        assert!(http_response(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(http_response(b"HTTP/1.1 200 OK\r\n\r\nok").is_err());
        assert!(http_response(&[b'x'; 20 * 1024]).is_err());
    }

    #[test]
    fn id_is_taken_from_the_open_packet() {
        assert_eq!(sid_of("0{\"sid\":\"abc\",\"upgrades\":[]}").unwrap(), "abc");
        assert!(sid_of("44{}").is_err());
    }

    #[test]
    fn requests_have_what_their_method_needs() {
        let get = String::from_utf8(http_request(Some("abc"), None)).unwrap();
        assert!(get.starts_with("GET /socket.io/?EIO=4&transport=polling&sid=abc HTTP/1.1\r\n"));
        assert!(get.ends_with("\r\n\r\n"));
        let post = String::from_utf8(http_request(None, Some("40"))).unwrap();
        assert!(post.starts_with("POST ") && post.ends_with("Content-Length: 2\r\n\r\n40"));
    }
}
