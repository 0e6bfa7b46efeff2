//! The codec over non-blocking sockets: an echo server for many connections on one thread, on top of mio.
//!
//! `cargo run -p sockeye-websocket --example echo_mio [-- 127.0.0.1:9001]`

use bytes::BytesMut;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use sockeye_websocket::{
    CloseCode, CloseFrame, Config, Connection,
    handshake::{HandshakeError, server},
};
use std::{
    collections::{HashMap, HashSet},
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    time::{Duration, Instant},
};

/// Whatever ended a connection early.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// How much is read at once, into one buffer for all connections.
const READ_LEN: usize = 64 * 1024;
/// The most that is reserved at once for a frame that is known to be longer: its length is only a claim.
const MAX_RESERVE_LEN: usize = 256 * 1024;
/// While more than this waits to be written, the connection is not read, and messages that were read wait.
const MAX_OUTPUT_LEN: usize = 64 * 1024;
/// Buffers with more capacity than this are not kept by a connection that is idle.
const KEPT_LEN: usize = 1024;
/// The longest message.
const MAX_MESSAGE_LEN: u64 = 4 << 20;
/// The most connections.
const MAX_CONNECTION_COUNT: usize = 10_000;
/// How many reads one connection may do before the others have their turn.
const READS_PER_TURN: usize = 8;
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(50);

const LISTENER: Token = Token(0);

/// How long a connection may take for what it has to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// For the whole opening handshake.
    pub(crate) handshake: Duration,
    /// Without a byte from the peer, before this end closes.
    pub(crate) idle: Duration,
    /// While output waits, until the peer takes some of it.
    pub(crate) write: Duration,
    /// From this end's Close to the peer's, and then to the end of the stream.
    pub(crate) close: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(10),
            close: Duration::from_secs(5),
        }
    }
}

/// Echoes until polling fails.
pub(crate) fn serve(listener: std::net::TcpListener, timeouts: Timeouts) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(listener);
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut server = Server {
        poll,
        listener,
        peers: HashMap::new(),
        next_token: 1,
        scratch: vec![0; READ_LEN],
        unfinished: HashSet::new(),
        timeouts,
    };
    let mut events = Events::with_capacity(1024);
    let mut next_tick = Instant::now() + TICK;
    loop {
        let patience = if server.unfinished.is_empty() {
            next_tick.saturating_duration_since(Instant::now())
        } else {
            Duration::ZERO
        };
        match server.poll.poll(&mut events, Some(patience)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for token in std::mem::take(&mut server.unfinished) {
            server.drive(token);
        }
        for event in &events {
            match event.token() {
                LISTENER => server.accept(),
                token => server.drive(token),
            }
        }
        if Instant::now() >= next_tick {
            server.check_deadlines();
            next_tick = Instant::now() + TICK;
        }
    }
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    peers: HashMap<Token, Peer>,
    next_token: usize,
    scratch: Vec<u8>,
    /// Connections that used up their turn. mio tells of a change only once, so nothing else would come back to them.
    unfinished: HashSet<Token>,
    timeouts: Timeouts,
}

impl Server {
    fn accept(&mut self) {
        // Until none waits: the next event comes for the next connection, not for those that wait already.
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => {
                    // Such as no file descriptor left: the next tick tries again.
                    eprintln!("accept: {error}");
                    return;
                }
            };
            if self.peers.len() >= MAX_CONNECTION_COUNT {
                continue;
            }
            let token = Token(self.next_token);
            self.next_token += 1;
            // Both at once: an event comes when something changes, and is ignored when nothing has to be done.
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, token, interest).is_ok() {
                let _ = stream.set_nodelay(true);
                self.peers.insert(token, Peer::new(stream));
                self.drive(token);
            }
        }
    }

    fn drive(&mut self, token: Token) {
        let Some(peer) = self.peers.get_mut(&token) else { return };
        let turn = peer.drive(&mut self.scratch);
        self.conclude(token, turn);
    }

    fn check_deadlines(&mut self) {
        let now = Instant::now();
        let late: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, p)| p.deadline(self.timeouts) <= now)
            .map(|(&token, _)| token)
            .collect();
        for token in late {
            let Some(peer) = self.peers.get_mut(&token) else { continue };
            let turn = peer.handle_deadline().and_then(|()| peer.drive(&mut self.scratch));
            self.conclude(token, turn);
        }
        self.accept();
    }

    fn conclude(&mut self, token: Token, turn: Result<Turn, Error>) {
        match turn {
            Ok(Turn::Waits) => return,
            Ok(Turn::Unfinished) => {
                self.unfinished.insert(token);
                return;
            }
            Ok(Turn::Ended) => {}
            Err(error) => eprintln!("connection ended: {error}"),
        }
        if let Some(mut peer) = self.peers.remove(&token) {
            let _ = self.poll.registry().deregister(&mut peer.stream);
        }
    }
}

/// How a connection's turn ended.
enum Turn {
    /// It waits for its socket.
    Waits,
    /// It could go on.
    Unfinished,
    /// The stream is at its end.
    Ended,
}

/// ```text
/// Handshake ──► Open ──► Lingering ──► (dropped)
///     └── refused ───────────▲
/// ```
enum Stage {
    Handshake(server::RequestDecoder),
    Open(Connection),
    /// The last bytes are on their way; what the peer still sends is discarded, until it ends the stream too. A
    /// socket that is dropped with bytes unread is reset, and the peer may lose the last frame.
    Lingering {
        shut_down: bool,
    },
}

struct Peer {
    stream: TcpStream,
    stage: Stage,
    /// What was read and not consumed.
    input: BytesMut,
    /// What has to be written.
    output: Vec<u8>,
    /// When the stage, or the closing handshake within it, began.
    since: Instant,
    last_read: Instant,
    last_write: Instant,
}

impl Peer {
    fn new(stream: TcpStream) -> Self {
        let now = Instant::now();
        Self {
            stream,
            stage: Stage::Handshake(server::RequestDecoder::default()),
            input: BytesMut::new(),
            output: Vec::new(),
            since: now,
            last_read: now,
            last_write: now,
        }
    }

    /// Writes, answers and reads until the socket has to be waited for.
    fn drive(&mut self, scratch: &mut [u8]) -> Result<Turn, Error> {
        for _ in 0..READS_PER_TURN {
            loop {
                self.write()?;
                if self.output.len() > MAX_OUTPUT_LEN {
                    // Back-pressure: not a byte more is read from a peer that does not take its answers.
                    return Ok(Turn::Waits);
                }
                if !self.advance()? {
                    break;
                }
            }
            match self.read(scratch)? {
                None => return Ok(Turn::Waits),
                Some(0) => return self.handle_eof(),
                Some(_) => {}
            }
        }
        Ok(Turn::Unfinished)
    }

    /// Does one step with the input; whether there may be more to do before the next read.
    fn advance(&mut self) -> Result<bool, Error> {
        match &mut self.stage {
            Stage::Handshake(decoder) => match decoder.decode(&self.input) {
                Ok(None) => return Ok(false),
                Ok(Some((request, len))) => {
                    // A server that knows its users by cookies checks `request.origin()` here.
                    server::Response::accept(request.upgrade()).encode(&mut self.output);
                    let _head = self.input.split_to(len);
                    self.enter(Stage::Open(Connection::server(
                        Config::default().with_max_message_len(MAX_MESSAGE_LEN),
                    )));
                }
                Err(error) => {
                    server::Response::reject(&error).encode(&mut self.output);
                    self.enter(Stage::Lingering { shut_down: false });
                }
            },
            Stage::Open(connection) => {
                let received = connection.receive_message(&mut self.input, &mut self.output);
                if let Ok(Some(message)) = &received
                    && message.is_data()
                    && !connection.close_expected()
                {
                    connection.send(message, &mut self.output)?;
                }
                // After an error, too: the Close frame that tells the peer of it is in the output.
                if connection.is_closed() {
                    // §7.1.1: the server closes the TCP connection first.
                    self.enter(Stage::Lingering { shut_down: false });
                }
                return Ok(!matches!(received, Ok(None)));
            }
            Stage::Lingering { shut_down } => {
                self.input.clear();
                if self.output.is_empty() && !*shut_down {
                    *shut_down = true;
                    self.stream.shutdown(Shutdown::Write)?;
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.since = Instant::now();
    }

    /// Reads once: how much, 0 at the end of the stream, `None` if nothing is there.
    fn read(&mut self, scratch: &mut [u8]) -> Result<Option<usize>, Error> {
        loop {
            match self.stream.read(scratch) {
                Ok(len) => {
                    if let Stage::Open(connection) = &self.stage {
                        self.input.reserve(connection.missing_len(self.input.len()).min(MAX_RESERVE_LEN));
                    }
                    self.input.extend_from_slice(&scratch[..len]);
                    self.last_read = Instant::now();
                    return Ok(Some(len));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.input.is_empty() {
                        self.input = BytesMut::new();
                    }
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes as much as the socket takes, and what the codec held back until there was room.
    fn write(&mut self) -> Result<(), Error> {
        loop {
            let mut written_len = 0;
            while written_len < self.output.len() {
                match self.stream.write(&self.output[written_len..]) {
                    Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
                    Ok(len) => written_len += len,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
            if written_len > 0 || self.output.is_empty() {
                self.last_write = Instant::now();
            }
            self.output.drain(..written_len);
            let is_blocked = !self.output.is_empty();
            if let Stage::Open(connection) = &mut self.stage {
                connection.resume(&mut self.output);
            }
            if is_blocked || self.output.is_empty() {
                self.output.shrink_to(KEPT_LEN);
                return Ok(());
            }
        }
    }

    fn handle_eof(&mut self) -> Result<Turn, Error> {
        match &mut self.stage {
            Stage::Handshake(_) => Err(HandshakeError::UnexpectedEof.into()),
            Stage::Open(connection) => {
                connection.receive_eof()?;
                Ok(Turn::Ended)
            }
            // Ours is not out yet, if the peer only ended its direction.
            Stage::Lingering { shut_down: false } => Ok(Turn::Waits),
            Stage::Lingering { shut_down: true } => Ok(Turn::Ended),
        }
    }

    /// When something has to happen, whatever the socket says.
    fn deadline(&self, timeouts: Timeouts) -> Instant {
        match &self.stage {
            Stage::Handshake(_) => self.since + timeouts.handshake,
            Stage::Open(connection) if connection.close_expected() => self.since + timeouts.close,
            Stage::Open(_) if self.output.is_empty() => self.last_read + timeouts.idle,
            Stage::Open(_) => self.last_write + timeouts.write,
            Stage::Lingering { .. } => self.since + timeouts.close,
        }
    }

    /// The deadline passed: an idle connection is closed, any other is given up.
    fn handle_deadline(&mut self) -> Result<(), Error> {
        match &mut self.stage {
            Stage::Open(connection) if !connection.close_expected() && self.output.is_empty() => {
                connection
                    .send_close(Some(&CloseFrame::new(CloseCode::GOING_AWAY, "idle")), &mut self.output)?;
                self.since = Instant::now();
                Ok(())
            }
            _ => Err("the peer took too long".into()),
        }
    }
}

#[allow(dead_code, reason = "the tests that include this file have a main function of their own")]
fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let listener = std::net::TcpListener::bind(address)?;
    println!("echoing on ws://{}/", listener.local_addr()?);
    serve(listener, Timeouts::default())
}
