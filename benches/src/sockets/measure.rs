//! One server under one load.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    client::{Dialect, Inbox, connect_from, receive_response, receive_until, send_request},
    frames::{CLOSE, Wire, client_frame},
    load::{Limits, Load},
    process::Server,
    scenario::{Kind, Scenario},
    servers::Implementation,
};

/// For how long, and how many.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// For how long messages are sent.
    pub time: Duration,
    /// Idle connections whose memory is measured.
    pub idle_count: usize,
    /// Whether servers may write to the standard error.
    pub verbose: bool,
}

/// What one measurement brought.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Microseconds of the server's processor time per message or connection; for idle connections, bytes each.
    pub cost: f64,
    /// Messages or connections per second on the wall's clock.
    pub rate: f64,
    /// Bytes on the wire per reply, header included.
    pub reply_len: f64,
}

/// A scenario with its messages and frames.
#[derive(Debug)]
pub struct Prepared {
    /// What is measured.
    pub scenario: Scenario,
    messages: Vec<Vec<u8>>,
    wire: Wire,
}

/// Connections that are opened and closed together.
pub(crate) const GROUP_LEN: usize = 32;

/// New connections in one measurement, at most.
pub(crate) const MAX_CONNECT_COUNT: usize = 8192;

/// Connections that are used before the memory of further ones is measured.
pub(crate) const FIRST_COUNT: usize = 16;

/// Messages whose replies are compared with them, at most.
const CHECKED_COUNT: usize = 64;

impl Prepared {
    /// Builds the frames.
    ///
    /// # Errors
    /// When they cannot be compressed.
    pub fn new(scenario: Scenario) -> io::Result<Self> {
        let messages = scenario.messages();
        let wire = scenario.wire(&messages)?;
        Ok(Self { scenario, messages, wire })
    }

    /// Whether `implementation` takes part.
    #[must_use]
    pub fn suits(&self, implementation: &Implementation) -> bool {
        self.scenario.deflate.is_none() || implementation.has_deflate()
    }

    /// Starts the server, checks what it replies, and measures.
    ///
    /// # Errors
    /// When the server fails, or a reply is not the message.
    pub fn measure(&self, implementation: &Implementation, effort: Effort) -> io::Result<Sample> {
        let mut command = implementation.command(self.scenario.deflate.is_some())?;
        command.stderr(if effort.verbose { Stdio::inherit() } else { Stdio::null() });
        let server = Server::start(&mut command)?;
        let dialect = Dialect { is_floor: implementation.is_floor(), offer: self.scenario.deflate };
        let run = Run { prepared: self, server: &server, dialect, effort };
        match self.scenario.kind {
            Kind::Echo { connection_count, in_flight } => run.echo(connection_count, in_flight),
            Kind::Connect => run.connect(),
            Kind::Idle => run.idle(),
        }
    }
}

struct Run<'a> {
    prepared: &'a Prepared,
    server: &'a Server,
    dialect: Dialect,
    effort: Effort,
}

impl Run<'_> {
    /// Opens connections, a group at a time: one by one, a busy machine would wait for itself after each.
    fn open(&self, count: usize) -> io::Result<Vec<TcpStream>> {
        let mut streams = Vec::with_capacity(count);
        while streams.len() < count {
            let first = streams.len();
            for index in first..count.min(first + GROUP_LEN) {
                let mut stream = connect_from(index, self.server.address)?;
                send_request(&mut stream, self.dialect)?;
                streams.push(stream);
            }
            for stream in &mut streams[first..] {
                receive_response(stream, self.dialect)?;
            }
        }
        Ok(streams)
    }

    fn echo(&self, connection_count: usize, in_flight: u64) -> io::Result<Sample> {
        let scenario = &self.prepared.scenario;
        let mut streams = self.open(connection_count)?;
        self.check(&mut streams[0])?;
        let mut load = Load::new(streams, self.dialect, &self.prepared.wire, scenario.payload_len)?;
        let limits = |time| Limits { message_count: scenario.message_limit(time), time };
        load.run(in_flight, limits(self.effort.time / 4))?;
        let before = self.server.settled_cpu_time()?;
        let start = Instant::now();
        let totals = load.run(in_flight, limits(self.effort.time))?;
        let elapsed = start.elapsed();
        let taken = self.server.settled_cpu_time()? - before;
        if totals.wrong_count > 0 {
            return Err(io::Error::other(format!("{} replies of the wrong length", totals.wrong_count)));
        }
        let count = totals.message_count as f64;
        Ok(Sample {
            cost: taken.as_secs_f64() * 1e6 / count,
            rate: count / elapsed.as_secs_f64(),
            reply_len: totals.wire_len as f64 / count,
        })
    }

    /// Every message, a few at once, has to come back as it was.
    fn check(&self, stream: &mut TcpStream) -> io::Result<()> {
        let (messages, wire) = (&self.prepared.messages, &self.prepared.wire);
        let mut counter = self.dialect.counter();
        let batch_len = (64 * 1024 / self.prepared.scenario.payload_len).clamp(1, 8);
        let indices: Vec<_> = (0..messages.len().min(CHECKED_COUNT)).collect();
        let mut inbox = Inbox::default();
        for batch in indices.chunks(batch_len) {
            let frames: Vec<u8> = batch.iter().flat_map(|index| wire.frame(*index)).copied().collect();
            // A reply may come while the end of a long message still leaves.
            let mut writer = stream.try_clone()?;
            let is_same = std::thread::scope(|scope| {
                let writing = scope.spawn(|| writer.write_all(&frames));
                let is_same = if self.dialect.is_floor {
                    let mut reply = vec![0; frames.len()];
                    stream.read_exact(&mut reply).map(|()| reply == frames)
                } else {
                    receive_until(stream, &mut counter, &mut inbox, batch.len()).map(|()| {
                        let expected =
                            batch.iter().map(|index| (self.prepared.scenario.is_text(), &messages[*index]));
                        inbox.messages.iter().map(|(is_text, message)| (*is_text, message)).eq(expected)
                    })
                };
                writing.join().map_err(|_| io::Error::other("the writer panicked"))??;
                is_same
            })?;
            if !is_same {
                return Err(io::Error::other("a reply is not the message"));
            }
            inbox.messages.clear();
        }
        if counter.is_between_messages() {
            Ok(())
        } else {
            Err(io::Error::other("more than the replies came"))
        }
    }

    /// One message on each connection.
    fn exchange(&self, streams: &mut [TcpStream]) -> io::Result<()> {
        for group in streams.chunks_mut(GROUP_LEN) {
            for (index, stream) in group.iter_mut().enumerate() {
                stream.write_all(self.prepared.wire.frame(index))?;
            }
            for stream in group {
                receive_until(stream, &mut self.dialect.counter(), &mut Inbox::default(), 1)?;
            }
        }
        Ok(())
    }

    fn connect(&self) -> io::Result<Sample> {
        for _ in 0..4 {
            self.connect_group()?;
        }
        let before = self.server.settled_cpu_time()?;
        let start = Instant::now();
        let mut count = 0;
        while start.elapsed() < self.effort.time && count < MAX_CONNECT_COUNT {
            self.connect_group()?;
            count += GROUP_LEN;
        }
        let elapsed = start.elapsed();
        let taken = self.server.settled_cpu_time()? - before;
        Ok(Sample {
            cost: taken.as_secs_f64() * 1e6 / count as f64,
            rate: count as f64 / elapsed.as_secs_f64(),
            reply_len: f64::NAN,
        })
    }

    /// Step by step together, so that all servers find as much to do when they wake up.
    fn connect_group(&self) -> io::Result<()> {
        let mut streams = self.open(GROUP_LEN)?;
        self.exchange(&mut streams)?;
        let close = client_frame(CLOSE, &1000_u16.to_be_bytes(), [1, 2, 3, 4]);
        for stream in &mut streams {
            stream.write_all(&close)?;
        }
        for stream in &mut streams {
            let (mut counter, mut inbox) = (self.dialect.counter(), Inbox::default());
            let mut piece = [0; 1024];
            while inbox.close_count == 0 {
                match stream.read(&mut piece)? {
                    0 => return Err(io::Error::other("the connection ended without a Close frame")),
                    len => counter.feed(&piece[..len], &mut inbox).map_err(io::Error::other)?,
                }
            }
        }
        Ok(())
    }

    fn idle(&self) -> io::Result<Sample> {
        let settle = || -> io::Result<()> {
            self.server.settled_cpu_time()?;
            sleep(Duration::from_millis(100));
            Ok(())
        };
        let mut first = self.open(FIRST_COUNT)?;
        self.exchange(&mut first)?;
        settle()?;
        let before = self.server.resident_len()?;
        let start = Instant::now();
        let mut streams = self.open(self.effort.idle_count)?;
        self.exchange(&mut streams)?;
        let elapsed = start.elapsed();
        settle()?;
        let grown = self.server.resident_len()?.saturating_sub(before);
        Ok(Sample {
            cost: grown as f64 / streams.len() as f64,
            rate: streams.len() as f64 / elapsed.as_secs_f64(),
            reply_len: f64::NAN,
        })
    }
}
