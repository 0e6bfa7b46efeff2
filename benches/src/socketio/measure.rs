//! One server under one load.

use std::{
    io::{self, Read, Write},
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    client::{self, PING, Session, http_request, receive_http, sid_of},
    packets::{FIRST_ROOM, Packets, frame},
    polling::{PollingLoad, SEPARATOR},
    rounds::{Round, Rounds},
    scenario::{Kind, ROOM_CLIENT_COUNT, ROOM_LEN, Scenario},
    servers::Implementation,
};
use crate::sockets::{
    client::{Dialect, connect_from},
    frames::{CLOSE, TEXT, Wire, client_frame},
    load::{Limits, Load, Totals},
    measure::{Effort, FIRST_COUNT, GROUP_LEN, MAX_CONNECT_COUNT, Sample},
    process::Server,
};

const PLAIN: Dialect = Dialect { is_floor: false, offer: None };

/// A scenario with its packets.
#[derive(Debug)]
pub struct Prepared {
    /// What is measured.
    pub scenario: Scenario,
    packets: Packets,
}

impl Prepared {
    /// Builds the packets.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        Self { scenario, packets: scenario.packets() }
    }

    /// Starts the server, checks what it replies, and measures.
    ///
    /// # Errors
    /// When the server fails, or a reply is not what it has to be.
    pub fn measure(&self, implementation: &Implementation, effort: Effort) -> io::Result<Sample> {
        let mut command = implementation.command(&self.scenario.canned(&self.packets))?;
        command.stderr(if effort.verbose { Stdio::inherit() } else { Stdio::null() });
        let server = Server::start(&mut command)?;
        let run =
            Run { packets: &self.packets, server: &server, effort, is_floor: implementation.is_floor() };
        match self.scenario.kind {
            Kind::Echo { client_count, in_flight, .. } => run.echo(client_count, in_flight),
            Kind::Polling { client_count, in_flight } => run.polling(client_count, in_flight),
            Kind::Broadcast { client_count, in_flight } => {
                let sessions = run.open_checked(client_count, client_count)?;
                run.rounds(
                    sessions,
                    Round { sender_count: 1, batch: in_flight, receiver_count: client_count },
                )
            }
            Kind::Sessions { polling } => run.sessions(polling),
            Kind::Idle { broadcast_len } => run.idle(broadcast_len),
            Kind::Clients { client_count } => {
                let client_count = client_count.min(effort.idle_count);
                let sessions = run.open_checked(client_count, 1)?;
                run.rounds(sessions, Round { sender_count: client_count, batch: 1, receiver_count: 1 })
            }
            Kind::Rooms { room_count } => run.rooms(room_count),
        }
    }
}

struct Run<'a> {
    packets: &'a Packets,
    server: &'a Server,
    effort: Effort,
    is_floor: bool,
}

impl Run<'_> {
    /// Opens sessions, each of which has had an answer: what a server sends of its own accord when one begins is in.
    fn open(&self, count: usize) -> io::Result<Vec<Session>> {
        let mut sessions = client::open(self.server.address, count)?;
        if !self.is_floor {
            for group in sessions.chunks_mut(GROUP_LEN) {
                for session in &mut *group {
                    session.stream.write_all(&frame("420[\"ask\",\"\"]"))?;
                }
                for session in group {
                    let answer = session.receive()?;
                    if answer != "430[\"\"]" {
                        return Err(io::Error::other(format!("no acknowledgement but {answer:?}")));
                    }
                }
            }
        }
        Ok(sessions)
    }

    /// Opens sessions; packets of the first have to bring the right replies to the first `receiver_count`.
    fn open_checked(&self, count: usize, receiver_count: usize) -> io::Result<Vec<Session>> {
        let mut sessions = self.open(count)?;
        for at in [0, 1, self.packets.requests.len() - 1] {
            sessions[0].stream.write_all(self.packets.wire.frame(at))?;
            for session in &mut sessions[..receiver_count] {
                self.check(at, &session.receive()?)?;
            }
        }
        Ok(sessions)
    }

    /// The floor's replies are all the same.
    fn check(&self, at: usize, reply: &str) -> io::Result<()> {
        let expected = &self.packets.replies[if self.is_floor { 0 } else { at }];
        if reply == expected {
            Ok(())
        } else {
            Err(io::Error::other(format!("{reply:?} instead of {expected:?}")))
        }
    }

    /// Warms up and measures; `run` sends until the limits.
    fn sample(&self, mut run: impl FnMut(Limits) -> io::Result<Totals>) -> io::Result<Sample> {
        let limits = |time| Limits { message_count: u64::MAX, time };
        run(limits(self.effort.time / 4))?;
        let before = self.server.settled_cpu_time()?;
        let start = Instant::now();
        let totals = run(limits(self.effort.time))?;
        let elapsed = start.elapsed();
        let taken = self.server.settled_cpu_time()? - before;
        if totals.wrong_count > 0 {
            return Err(io::Error::other(format!("{} replies of the wrong length", totals.wrong_count)));
        }
        Ok(sample(totals.message_count as f64, taken, elapsed))
    }

    fn echo(&self, client_count: usize, in_flight: usize) -> io::Result<Sample> {
        let sessions = self.open_checked(client_count, 1)?;
        let streams = sessions.into_iter().map(|session| session.stream).collect();
        let mut load = Load::new(streams, PLAIN, &self.packets.wire, self.packets.reply_len())?;
        self.sample(|limits| load.run(in_flight as u64, limits))
    }

    fn polling(&self, client_count: usize, in_flight: usize) -> io::Result<Sample> {
        let mut load = PollingLoad::open(self.server.address, client_count)?;
        self.sample(|limits| load.run(self.packets, in_flight, limits))
    }

    fn rounds(&self, sessions: Vec<Session>, round: Round) -> io::Result<Sample> {
        let mut rounds = Rounds::new(sessions)?;
        self.sample(|limits| rounds.run(round, &self.packets.wire, self.packets.reply_len(), limits))
    }

    /// Room after room, each with so many of the clients.
    fn rooms(&self, room_count: usize) -> io::Result<Sample> {
        let mut sessions = self.open(ROOM_CLIENT_COUNT)?;
        if !self.is_floor {
            for (client, session) in sessions.iter_mut().enumerate() {
                let is_member = |room: &usize| {
                    (client + ROOM_CLIENT_COUNT - room % ROOM_CLIENT_COUNT) % ROOM_CLIENT_COUNT < ROOM_LEN
                };
                let rooms: Vec<_> =
                    (0..room_count).filter(is_member).map(|room| (FIRST_ROOM + room).to_string()).collect();
                session.stream.write_all(&frame(&format!("420[\"join\",[{}]]", rooms.join(","))))?;
                let joined = session.receive()?;
                if !joined.starts_with("430[") {
                    return Err(io::Error::other(format!("no acknowledgement but {joined:?}")));
                }
            }
            sessions[0].stream.write_all(self.packets.wire.frame(0))?;
            for session in &mut sessions[..ROOM_LEN] {
                self.check(0, &session.receive()?)?;
            }
        }
        self.rounds(sessions, Round { sender_count: 1, batch: 1, receiver_count: ROOM_LEN })
    }

    fn sessions(&self, polling: bool) -> io::Result<Sample> {
        let open_and_close = || if polling { self.polling_sessions() } else { self.websocket_sessions() };
        for _ in 0..4 {
            open_and_close()?;
        }
        let before = self.server.settled_cpu_time()?;
        let start = Instant::now();
        let mut count = 0;
        while start.elapsed() < self.effort.time && count < MAX_CONNECT_COUNT {
            open_and_close()?;
            count += GROUP_LEN;
        }
        let elapsed = start.elapsed();
        let taken = self.server.settled_cpu_time()? - before;
        Ok(sample(count as f64, taken, elapsed))
    }

    /// Step by step together, so that all servers find as much to do when they wake up.
    fn websocket_sessions(&self) -> io::Result<()> {
        let mut sessions = client::open(self.server.address, GROUP_LEN)?;
        let close = client_frame(CLOSE, &1000_u16.to_be_bytes(), [1, 2, 3, 4]);
        for session in &mut sessions {
            session.stream.write_all(&close)?;
        }
        for Session { stream, counter, inbox } in &mut sessions {
            let mut piece = [0; 1024];
            while inbox.close_count == 0 {
                match stream.read(&mut piece)? {
                    0 => return Err(io::Error::other("the connection ended without a Close frame")),
                    len => counter.feed(&piece[..len], inbox).map_err(io::Error::other)?,
                }
            }
        }
        Ok(())
    }

    fn polling_sessions(&self) -> io::Result<()> {
        let connect = |index| connect_from(index, self.server.address);
        let mut streams: Vec<_> = (0..GROUP_LEN).map(connect).collect::<Result<_, _>>()?;
        let mut sids = vec![String::new(); GROUP_LEN];
        let steps = [(None, "0{"), (Some("40"), "ok"), (None, "40{"), (Some("1"), "ok")];
        for (step, (body, expected)) in steps.into_iter().enumerate() {
            for (stream, sid) in streams.iter_mut().zip(&sids) {
                stream.write_all(&http_request((step > 0).then_some(sid), body))?;
            }
            for (stream, sid) in streams.iter_mut().zip(&mut sids) {
                let mut answer = receive_http(stream)?;
                if answer.as_bytes() == PING {
                    stream.write_all(&http_request(Some(sid), body))?;
                    answer = receive_http(stream)?;
                }
                if !answer.split(SEPARATOR).any(|packet| packet.starts_with(expected)) {
                    return Err(io::Error::other(format!("{answer:?} instead of {expected:?}")));
                }
                if step == 0 {
                    sid.push_str(sid_of(&answer)?);
                }
            }
        }
        Ok(())
    }

    /// One event on each.
    fn exchange(&self, sessions: &mut [Session]) -> io::Result<()> {
        for group in sessions.chunks_mut(GROUP_LEN) {
            for session in &mut *group {
                session.stream.write_all(self.packets.wire.frame(0))?;
            }
            for session in group {
                self.check(0, &session.receive()?)?;
            }
        }
        Ok(())
    }

    fn idle(&self, broadcast_len: usize) -> io::Result<Sample> {
        let settle = || -> io::Result<()> {
            self.server.settled_cpu_time()?;
            sleep(Duration::from_millis(100));
            Ok(())
        };
        let mut first = client::open(self.server.address, FIRST_COUNT)?;
        self.exchange(&mut first)?;
        settle()?;
        let before = self.server.resident_len()?;
        let start = Instant::now();
        let mut sessions = client::open(self.server.address, self.effort.idle_count)?;
        self.exchange(&mut sessions)?;
        let elapsed = start.elapsed();
        let count = sessions.len() as f64;
        if broadcast_len > 0 {
            first.append(&mut sessions);
            let round = Round { sender_count: 1, batch: 1, receiver_count: first.len() };
            let wire = Wire::new(TEXT, [format!("42[\"big\",{broadcast_len}]").as_bytes()]);
            let reply_len = "42[\"big\",\"\"]".len() + broadcast_len;
            let limits = Limits { message_count: 1, time: Duration::MAX };
            // The connections have to live until the memory is read.
            let mut rounds = Rounds::new(first)?;
            if rounds.run(round, &wire, reply_len, limits)?.wrong_count > 0 {
                return Err(io::Error::other("a broadcast of the wrong length"));
            }
            settle()?;
            let grown = self.server.resident_len()?.saturating_sub(before);
            drop(rounds);
            return Ok(memory_sample(grown, count, elapsed));
        }
        settle()?;
        let grown = self.server.resident_len()?.saturating_sub(before);
        Ok(memory_sample(grown, count, elapsed))
    }
}

fn sample(count: f64, taken: Duration, elapsed: Duration) -> Sample {
    Sample {
        cost: taken.as_secs_f64() * 1e6 / count,
        rate: count / elapsed.as_secs_f64(),
        reply_len: f64::NAN,
    }
}

fn memory_sample(grown: u64, count: f64, elapsed: Duration) -> Sample {
    Sample { cost: grown as f64 / count, rate: count / elapsed.as_secs_f64(), reply_len: f64::NAN }
}
