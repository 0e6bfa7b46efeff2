//! A load over long-polling: a GET waits on one connection of each client, POSTs go over another.
//!
//! ```text
//! POST  packets ─► server ─► ok          as many packets as replies came, when the POST before is answered
//! GET            ◄─ replies              the next GET leaves at once
//! ```

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    time::Instant,
};

use mio::{Events, Interest, Poll, Token};

use super::{
    client::{PING, http_request, http_response, receive_http, sid_of},
    packets::Packets,
};
use crate::sockets::{
    client::{PATIENCE, connect_from},
    load::{Limits, Totals},
};

/// Between the packets of a payload.
pub const SEPARATOR: char = '\x1e';

/// The clients of one server.
#[derive(Debug)]
pub struct PollingLoad {
    poll: Poll,
    clients: Vec<Client>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Client {
    sid: String,
    /// Where a GET waits, and where POSTs go.
    get: Channel,
    post: Channel,
    is_posting: bool,
    /// The packet that is sent next.
    packet: usize,
    /// How many packets may leave: replies came for as many.
    owed_count: usize,
    in_flight: usize,
}

#[derive(Debug)]
struct Channel {
    stream: mio::net::TcpStream,
    received: Vec<u8>,
}

/// Opens a session over polling in the main namespace; the connection, and its id.
///
/// # Errors
/// When the connection fails, or an answer is not the protocol's.
pub fn open(index: usize, server: SocketAddr) -> io::Result<(std::net::TcpStream, String)> {
    let mut stream = connect_from(index, server)?;
    stream.write_all(&http_request(None, None))?;
    let open = receive_http(&mut stream)?;
    let sid = sid_of(&open)?.to_owned();
    stream.write_all(&http_request(Some(&sid), Some("40")))?;
    receive_http(&mut stream)?;
    loop {
        stream.write_all(&http_request(Some(&sid), None))?;
        let payload = receive_http(&mut stream)?;
        if payload.split(SEPARATOR).any(is_ping) {
            stream.write_all(&http_request(Some(&sid), Some("3")))?;
            receive_http(&mut stream)?;
        }
        match payload.split(SEPARATOR).find(|packet| !is_ping(packet)) {
            None => {}
            Some(packet) if packet.starts_with("40{\"sid\":") => return Ok((stream, sid)),
            Some(packet) => return Err(io::Error::other(format!("no CONNECT but {packet:?}"))),
        }
    }
}

/// Whether a packet is Engine.IO's ping, which some servers send at once.
fn is_ping(packet: &str) -> bool {
    packet.as_bytes() == PING
}

impl PollingLoad {
    /// Opens `count` sessions.
    ///
    /// # Errors
    /// When one does not open.
    pub fn open(server: SocketAddr, count: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(count);
        for index in 0..count {
            let (get, sid) = open(index, server)?;
            let post = connect_from(index, server)?;
            let channel = |stream: std::net::TcpStream, token| -> io::Result<Channel> {
                stream.set_nonblocking(true)?;
                let mut stream = mio::net::TcpStream::from_std(stream);
                poll.registry().register(&mut stream, Token(token), Interest::READABLE)?;
                Ok(Channel { stream, received: Vec::new() })
            };
            let (get, post) = (channel(get, 2 * index)?, channel(post, 2 * index + 1)?);
            let mut client =
                Client { sid, get, post, is_posting: false, packet: index * 7, owed_count: 0, in_flight: 0 };
            client.send_get()?;
            clients.push(client);
        }
        Ok(Self { poll, clients, buffer: vec![0; 64 * 1024] })
    }

    /// Sends and receives with `in_flight` packets of each client until a limit is reached and all replies are in.
    ///
    /// # Errors
    /// When a connection fails or stalls, or an answer is not the protocol's.
    pub fn run(&mut self, packets: &Packets, in_flight: usize, limits: Limits) -> io::Result<Totals> {
        let start = Instant::now();
        let mut totals = Totals::default();
        for client in &mut self.clients {
            client.owed_count = in_flight;
            client.send_post(packets)?;
        }
        let mut events = Events::with_capacity(1024);
        while self.clients.iter().any(|client| client.in_flight > 0 || client.is_posting) {
            self.poll.poll(&mut events, Some(PATIENCE)).or_else(|error| match error.kind() {
                io::ErrorKind::Interrupted => Ok(()),
                _ => Err(error),
            })?;
            if events.is_empty() {
                return Err(io::Error::other("answers did not come"));
            }
            let over = start.elapsed() >= limits.time || totals.message_count >= limits.message_count;
            for event in &events {
                let client = &mut self.clients[event.token().0 / 2];
                if event.token().0 % 2 == 0 {
                    client.receive_replies(&mut self.buffer, packets, &mut totals)?;
                } else if client.post.receive(&mut self.buffer)?.is_some() {
                    client.is_posting = false;
                }
                if over {
                    client.owed_count = 0;
                } else {
                    client.send_post(packets)?;
                }
            }
        }
        Ok(totals)
    }
}

impl Client {
    fn send_get(&mut self) -> io::Result<()> {
        self.get.stream.write_all(&http_request(Some(&self.sid), None))
    }

    /// Sends what is owed, unless a POST is on its way.
    fn send_post(&mut self, packets: &Packets) -> io::Result<()> {
        if self.is_posting || self.owed_count == 0 {
            return Ok(());
        }
        let mut body = String::new();
        for index in self.packet..self.packet + self.owed_count {
            if !body.is_empty() {
                body.push(SEPARATOR);
            }
            body.push_str(&packets.requests[index % packets.requests.len()]);
        }
        self.packet += self.owed_count;
        self.in_flight += self.owed_count;
        self.owed_count = 0;
        self.is_posting = true;
        self.post.stream.write_all(&http_request(Some(&self.sid), Some(&body)))
    }

    fn receive_replies(
        &mut self,
        buffer: &mut [u8],
        packets: &Packets,
        totals: &mut Totals,
    ) -> io::Result<()> {
        let Some(body) = self.get.receive(buffer)? else { return Ok(()) };
        for packet in body.split(SEPARATOR).filter(|packet| !is_ping(packet)) {
            totals.message_count += 1;
            totals.wire_len += packet.len() as u64;
            if packet.len() != packets.reply_len() || !packet.starts_with("42") {
                totals.wrong_count += 1;
            }
            self.owed_count += 1;
            self.in_flight =
                self.in_flight.checked_sub(1).ok_or_else(|| io::Error::other("more replies than packets"))?;
        }
        self.send_get()
    }
}

impl Channel {
    /// Reads what is there: the body of a response, once it is complete.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<String>> {
        loop {
            let len = match self.stream.read(buffer) {
                Ok(0) => return Err(io::Error::other("the server closed the connection")),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.received.extend_from_slice(&buffer[..len]);
            if let Some((body, whole_len)) = http_response(&self.received).map_err(io::Error::other)? {
                if whole_len < self.received.len() {
                    return Err(io::Error::other("more than a response"));
                }
                let body = body.to_owned();
                self.received.clear();
                return Ok(Some(body));
            }
        }
    }
}
