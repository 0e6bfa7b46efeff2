//! A load in rounds: one connection sends a batch of packets, and the next round begins when every reply to it came.
//!
//! ```text
//! round n:   sender ── batch of frames, one write ─► server ─► replies to one or many connections
//! round n+1: next sender …
//! ```

use std::{
    io::{self, Read, Write},
    time::Instant,
};

use mio::{Events, Interest, Poll, Token};

use super::client::Session;
use crate::sockets::{
    client::PATIENCE,
    frames::Wire,
    load::{Limits, Totals},
    replies::{Message, ReplyCounter, Visitor},
};

/// Who sends, and how much comes back.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// So many connections take turns in sending.
    pub sender_count: usize,
    /// Packets of one round.
    pub batch: usize,
    /// Replies to each packet, on whatever connections.
    pub receiver_count: usize,
}

/// The connections of one server.
#[derive(Debug)]
pub struct Rounds {
    poll: Poll,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Connection {
    stream: mio::net::TcpStream,
    replies: ReplyCounter,
}

struct Count {
    totals: Totals,
    reply_len: u64,
}

impl Visitor for Count {
    fn message(&mut self, message: Message) {
        self.totals.message_count += 1;
        self.totals.wire_len += message.wire_len;
        if message.payload_len != self.reply_len {
            self.totals.wrong_count += 1;
        }
    }
}

impl Rounds {
    /// # Errors
    /// When the connections cannot be polled.
    pub fn new(sessions: Vec<Session>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(sessions.len());
        for (index, Session { stream, counter, .. }) in sessions.into_iter().enumerate() {
            stream.set_nonblocking(true)?;
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            connections.push(Connection { stream, replies: counter });
        }
        Ok(Self { poll, connections, buffer: vec![0; 256 * 1024] })
    }

    /// Goes on until a limit is reached; replies have `reply_len` bytes. A limit of messages counts replies.
    ///
    /// # Errors
    /// When a connection fails or stalls, or more replies come than were asked for.
    pub fn run(&mut self, round: Round, wire: &Wire, reply_len: usize, limits: Limits) -> io::Result<Totals> {
        let start = Instant::now();
        let mut count = Count { totals: Totals::default(), reply_len: reply_len as u64 };
        let mut events = Events::with_capacity(1024);
        let mut expected = 0;
        let mut number = 0;
        while count.totals.message_count < limits.message_count && start.elapsed() < limits.time {
            self.send(number % round.sender_count, wire, number * round.batch, round.batch)?;
            expected += (round.batch * round.receiver_count) as u64;
            number += 1;
            while count.totals.message_count < expected {
                self.receive(&mut events, &mut count)?;
            }
            if count.totals.message_count > expected {
                return Err(io::Error::other("more replies than were asked for"));
            }
        }
        Ok(count.totals)
    }

    /// In one write: the socket's buffer holds a batch, as nothing else is in it.
    fn send(&mut self, sender: usize, wire: &Wire, first: usize, batch: usize) -> io::Result<()> {
        let mut frames = Vec::new();
        for index in first..first + batch {
            frames.extend_from_slice(wire.frame(index));
        }
        self.connections[sender].stream.write_all(&frames)
    }

    fn receive(&mut self, events: &mut Events, count: &mut Count) -> io::Result<()> {
        self.poll.poll(events, Some(PATIENCE)).or_else(|error| match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            _ => Err(error),
        })?;
        if events.is_empty() {
            return Err(io::Error::other("replies did not come"));
        }
        for event in &*events {
            self.connections[event.token().0].read(&mut self.buffer, count)?;
        }
        Ok(())
    }
}

impl Connection {
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
    use crate::{
        socketio::packets::{Packets, server_frame},
        sockets::{client::Inbox, frames::TEXT},
    };
    use std::{
        net::{TcpListener, TcpStream},
        thread,
        time::Duration,
    };

    const LIMITS: Limits = Limits { message_count: 60, time: Duration::from_secs(20) };

    /// Sessions with a server that answers each frame of the first by `copies` replies to each of the three.
    fn sessions(copies: usize) -> (Vec<Session>, Packets) {
        let packets = Packets::event("shout", 40);
        let (frame_len, reply) =
            (packets.wire.frame(0).len(), server_frame(TEXT, packets.replies[0].as_bytes()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut servers = Vec::new();
        let sessions = (0..3)
            .map(|_| {
                let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                servers.push(listener.accept().unwrap().0);
                Session { stream, counter: ReplyCounter::new(false), inbox: Inbox::default() }
            })
            .collect();
        thread::spawn(move || {
            let mut frame = vec![0; frame_len];
            while servers[0].read_exact(&mut frame).is_ok() {
                for server in &mut servers {
                    server.write_all(&reply.repeat(copies)).unwrap();
                }
            }
        });
        (sessions, packets)
    }

    #[test]
    fn every_delivery_is_counted_and_a_round_is_finished() {
        let (sessions, packets) = sessions(1);
        let mut rounds = Rounds::new(sessions).unwrap();
        let round = Round { sender_count: 1, batch: 8, receiver_count: 3 };
        for _ in 0..2 {
            let totals = rounds.run(round, &packets.wire, 40, LIMITS).unwrap();
            assert_eq!((totals.message_count, totals.wrong_count), (72, 0));
        }
        let totals = rounds.run(round, &packets.wire, 41, LIMITS).unwrap();
        assert_eq!(totals.wrong_count, 72);
    }

    #[test]
    fn more_replies_than_were_asked_for_are_an_error() {
        let (sessions, packets) = sessions(2);
        let round = Round { sender_count: 1, batch: 1, receiver_count: 3 };
        assert!(Rounds::new(sessions).unwrap().run(round, &packets.wire, 40, LIMITS).is_err());
    }
}
