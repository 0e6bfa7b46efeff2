//! The load: a fixed number of messages in flight on each of many connections.
//!
//! ```text
//! wire (frames, round and round) ─► socket ─► server ─► socket ─► ReplyCounter ─┐
//!      ▲                                                                        │
//!      └──────────── as many frames as replies came, in one write ◄─────────────┘
//! ```

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token};

use super::{
    client::{Dialect, PATIENCE},
    frames::Wire,
    replies::{Message, ReplyCounter, Visitor},
};

/// When a run stops sending.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// After so many messages.
    pub message_count: u64,
    /// After so long.
    pub time: Duration,
}

/// What came back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages.
    pub message_count: u64,
    /// Bytes on the wire, headers and payloads.
    pub wire_len: u64,
    /// Messages whose payload was compressed.
    pub compressed_count: u64,
    /// Messages whose payload was neither compressed nor as long as it has to be.
    pub wrong_count: u64,
}

/// The connections of one server, and what is sent on them.
#[derive(Debug)]
pub struct Load<'a> {
    poll: Poll,
    wire: &'a Wire,
    payload_len: u64,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Connection {
    stream: mio::net::TcpStream,
    replies: ReplyCounter,
    /// The frame that is sent next.
    frame: usize,
    /// Where in the wire the bytes are that leave next, and how many have to.
    unsent_at: usize,
    unsent_len: usize,
    in_flight: u64,
}

struct Count {
    totals: Totals,
    payload_len: u64,
}

impl Visitor for Count {
    #[inline]
    fn message(&mut self, message: Message) {
        self.totals.message_count += 1;
        self.totals.wire_len += message.wire_len;
        if message.is_compressed {
            self.totals.compressed_count += 1;
        } else if message.payload_len != self.payload_len {
            self.totals.wrong_count += 1;
        }
    }
}

impl<'a> Load<'a> {
    /// `streams`: connections whose handshake is done. `payload_len`: of every message, uncompressed.
    ///
    /// # Errors
    /// When they cannot be polled.
    pub fn new(
        streams: Vec<TcpStream>,
        dialect: Dialect,
        wire: &'a Wire,
        payload_len: usize,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(streams.len());
        for (index, stream) in streams.into_iter().enumerate() {
            stream.set_nonblocking(true)?;
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
            // Each starts elsewhere, so that the server does not get the same message from all of them.
            let frame = index * 7 % wire.frame_count();
            connections.push(Connection {
                stream,
                replies: dialect.counter(),
                frame,
                unsent_at: wire.len_of(0, frame),
                unsent_len: 0,
                in_flight: 0,
            });
        }
        Ok(Self { poll, wire, payload_len: payload_len as u64, connections, buffer: vec![0; 256 * 1024] })
    }

    /// Sends and receives with `in_flight` messages on each connection until a limit is reached and all replies are
    /// in.
    ///
    /// # Errors
    /// When a connection fails or stalls, or a reply is not a frame.
    pub fn run(&mut self, in_flight: u64, limits: Limits) -> io::Result<Totals> {
        let start = Instant::now();
        let mut count = Count { totals: Totals::default(), payload_len: self.payload_len };
        let mut sent_count = 0;
        for connection in &mut self.connections {
            let batch = in_flight.min(limits.message_count - sent_count);
            sent_count += batch;
            connection.queue(self.wire, batch);
            connection.write(self.wire)?;
        }
        let mut events = Events::with_capacity(1024);
        while count.totals.message_count < sent_count {
            self.poll.poll(&mut events, Some(PATIENCE)).or_else(|error| match error.kind() {
                io::ErrorKind::Interrupted => Ok(()),
                _ => Err(error),
            })?;
            if events.is_empty() {
                let missing = sent_count - count.totals.message_count;
                return Err(io::Error::other(format!("{missing} replies did not come")));
            }
            let over = start.elapsed() >= limits.time;
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                if event.is_readable() {
                    let before = count.totals.message_count;
                    connection.read(&mut self.buffer, &mut count)?;
                    let received = count.totals.message_count - before;
                    connection.in_flight = connection
                        .in_flight
                        .checked_sub(received)
                        .ok_or_else(|| io::Error::other("more replies than messages"))?;
                    if !over {
                        let batch = received.min(limits.message_count - sent_count);
                        sent_count += batch;
                        connection.queue(self.wire, batch);
                    }
                }
                connection.write(self.wire)?;
            }
        }
        Ok(count.totals)
    }
}

impl Connection {
    fn queue(&mut self, wire: &Wire, count: u64) {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.unsent_len += wire.len_of(self.frame, count);
        self.frame = (self.frame + count) % wire.frame_count();
        self.in_flight += count as u64;
    }

    fn write(&mut self, wire: &Wire) -> io::Result<()> {
        while self.unsent_len > 0 {
            let end = wire.bytes().len().min(self.unsent_at + self.unsent_len);
            let written = match self.stream.write(&wire.bytes()[self.unsent_at..end]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.unsent_len -= written;
            self.unsent_at = (self.unsent_at + written) % wire.bytes().len();
        }
        Ok(())
    }

    /// Reads until nothing is there.
    fn read(&mut self, buffer: &mut [u8], count: &mut Count) -> io::Result<()> {
        loop {
            let len = match self.stream.read(buffer) {
                Ok(0) => return Err(io::Error::other("the server closed the connection")),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.replies.feed(&buffer[..len], count).map_err(io::Error::other)?;
            // epoll(7): a read that brings less than was asked for has drained a stream.
            if len < buffer.len() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::frames::BINARY;
    use std::{net::TcpListener, thread};

    const FLOOR: Dialect = Dialect { is_floor: true, offer: None };
    const LIMITS: Limits = Limits { message_count: 1000, time: Duration::from_secs(20) };

    /// Connections to a server that does `serve` with each.
    fn connections(count: usize, serve: fn(TcpStream) -> io::Result<()>) -> Vec<TcpStream> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let streams = (0..count).map(|_| {
            let stream = TcpStream::connect(address).unwrap();
            let (server, _) = listener.accept().unwrap();
            thread::spawn(move || serve(server));
            stream
        });
        streams.collect()
    }

    fn echo_by(piece_len: usize, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut piece = vec![0; piece_len];
        loop {
            let len = stream.read(&mut piece)?;
            if len == 0 {
                return Ok(());
            }
            stream.write_all(&piece[..len])?;
        }
    }

    #[test]
    fn every_message_is_counted_once_however_replies_are_cut() {
        for serve in [|stream| echo_by(64 * 1024, stream), |stream| echo_by(7, stream)] {
            let wire = Wire::new(BINARY, [&[1; 20][..], &[2; 20], &[3; 20]]);
            let mut load = Load::new(connections(3, serve), FLOOR, &wire, 20).unwrap();
            for _ in 0..2 {
                let totals = load.run(8, LIMITS).unwrap();
                let expected =
                    Totals { message_count: 1000, wire_len: 26 * 1000, compressed_count: 0, wrong_count: 0 };
                assert_eq!(totals, expected);
            }
        }
    }

    #[test]
    fn frames_longer_than_the_sockets_buffers_leave_whole() {
        let messages = [vec![1; 3 << 20], vec![2; 3 << 20]];
        let wire = Wire::new(BINARY, messages.iter().map(|message| &message[..]));
        let mut load =
            Load::new(connections(2, |stream| echo_by(64 * 1024, stream)), FLOOR, &wire, 3 << 20).unwrap();
        let totals = load.run(2, Limits { message_count: 9, ..LIMITS }).unwrap();
        assert_eq!((totals.message_count, totals.wrong_count), (9, 0));
    }

    #[test]
    fn replies_of_another_length_are_counted_as_wrong() {
        let wire = Wire::new(BINARY, [&[1; 20][..], &[2; 21]]);
        let mut load = Load::new(connections(1, |stream| echo_by(100, stream)), FLOOR, &wire, 20).unwrap();
        assert_eq!(load.run(4, Limits { message_count: 100, ..LIMITS }).unwrap().wrong_count, 50);
    }

    #[test]
    fn run_is_over_when_its_time_is() {
        let wire = Wire::new(BINARY, [&[1; 20][..]]);
        let mut load = Load::new(connections(1, |stream| echo_by(100, stream)), FLOOR, &wire, 20).unwrap();
        let start = Instant::now();
        let limits = Limits { message_count: u64::MAX, time: Duration::from_millis(50) };
        assert!(load.run(4, limits).unwrap().message_count > 0);
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn server_that_closes_or_repeats_itself_is_an_error() {
        let wire = Wire::new(BINARY, [&[1; 20][..]]);
        let closes = |mut stream: TcpStream| stream.read(&mut [0; 10]).map(drop);
        assert!(Load::new(connections(1, closes), FLOOR, &wire, 20).unwrap().run(4, LIMITS).is_err());
        let repeats = |mut stream: TcpStream| {
            let mut frame = [0; 26];
            stream.read_exact(&mut frame)?;
            stream.write_all(&frame.repeat(3))?;
            stream.read(&mut frame).map(drop)
        };
        assert!(Load::new(connections(1, repeats), FLOOR, &wire, 20).unwrap().run(1, LIMITS).is_err());
    }
}
