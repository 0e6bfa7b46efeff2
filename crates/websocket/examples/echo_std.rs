//! The codec over blocking sockets: an echo server with one thread per connection, and a client that talks to it.
//!
//! `cargo run -p sockeye-websocket --example echo_std` runs both; with an address (`-- 127.0.0.1:9001`) only the
//! server, until it is stopped.

use sockeye_websocket::{
    CloseCode, CloseFrame, Config, Connection, Event,
    handshake::{HandshakeError, client, server},
};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Whatever ended a connection early.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// How much is read at once.
const READ_LEN: usize = 16 * 1024;
/// The most that is reserved at once for a frame that is known to be longer: its length is only a claim.
const MAX_RESERVE_LEN: usize = 256 * 1024;
/// Echoes are written when they are more than this, even if more messages are there to be answered.
const MAX_OUTPUT_LEN: usize = 64 * 1024;
/// The longest message.
const MAX_MESSAGE_LEN: u64 = 4 << 20;
/// The most threads.
const MAX_CONNECTION_COUNT: usize = 1000;

/// How long a connection may take for what it has to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// For the whole opening handshake.
    pub(crate) handshake: Duration,
    /// Without a byte from the peer, before this end closes.
    pub(crate) idle: Duration,
    /// For writing what was answered.
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

/// Echoes for ever.
pub(crate) fn serve(listener: &TcpListener, timeouts: Timeouts) -> ! {
    let alive = Arc::new(());
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                // A peer that left already, or no file descriptor until another connection ends: no reason to end.
                eprintln!("accept: {error}");
                thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        if Arc::strong_count(&alive) > MAX_CONNECTION_COUNT {
            continue;
        }
        let alive = Arc::clone(&alive);
        let thread = thread::Builder::new().spawn(move || {
            let _alive = alive;
            if let Err(error) = echo(stream, timeouts) {
                eprintln!("connection ended: {error}");
            }
        });
        if let Err(error) = thread {
            eprintln!("thread: {error}");
        }
    }
}

/// One connection of the server, from its first byte to its last.
fn echo(stream: TcpStream, timeouts: Timeouts) -> Result<(), Error> {
    let mut socket = Socket::accept(stream, timeouts)?;
    let mut deadline = Instant::now() + timeouts.idle;
    loop {
        let received = socket.echo_received();
        // Before the error, if there was one: the Close frame that tells the peer of it is in the output.
        socket.write_output()?;
        if received.is_err() || socket.connection.is_closed() {
            // §7.1.1: the server closes the TCP connection first.
            linger(&mut socket.stream, timeouts.close);
            return received;
        }
        match socket.read_more(deadline) {
            Ok(0) => return Ok(socket.connection.receive_eof()?),
            Ok(_) if !socket.connection.close_expected() => deadline = Instant::now() + timeouts.idle,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::TimedOut && !socket.connection.close_expected() => {
                let frame = CloseFrame::new(CloseCode::GOING_AWAY, "idle");
                socket.connection.send_close(Some(&frame), &mut socket.output)?;
                // From here on the deadline stands, whatever the peer sends.
                deadline = Instant::now() + timeouts.close;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A stream, the protocol on it, and the buffers between them.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    connection: Connection,
    /// What was read and not consumed.
    input: Vec<u8>,
    /// What has to be written.
    output: Vec<u8>,
    timeouts: Timeouts,
}

impl Socket {
    /// The server's half of the opening handshake.
    fn accept(mut stream: TcpStream, timeouts: Timeouts) -> Result<Self, Error> {
        stream.set_nodelay(true)?;
        let deadline = Instant::now() + timeouts.handshake;
        let mut decoder = server::RequestDecoder::default();
        let (mut input, mut answer) = (Vec::new(), Vec::new());
        loop {
            match decoder.decode(&input) {
                Ok(Some((request, len))) => {
                    // A server that knows its users by cookies checks `request.origin()` here.
                    server::Response::accept(request.upgrade()).encode(&mut answer);
                    write_all(&mut stream, &answer, deadline)?;
                    // What follows the head belongs to the connection.
                    input.drain(..len);
                    let connection = Connection::server(config());
                    return Ok(Self { stream, connection, input, output: Vec::new(), timeouts });
                }
                Ok(None) => {
                    if read_some(&mut stream, &mut input, READ_LEN, deadline)? == 0 {
                        return Err(HandshakeError::UnexpectedEof.into());
                    }
                }
                Err(error) => {
                    server::Response::reject(&error).encode(&mut answer);
                    write_all(&mut stream, &answer, deadline)?;
                    linger(&mut stream, timeouts.close);
                    return Err(error.into());
                }
            }
        }
    }

    /// Connects, and does the client's half of the opening handshake. `host` is what the request calls the server.
    pub(crate) fn connect(
        mut stream: TcpStream,
        host: &str,
        target: &str,
        timeouts: Timeouts,
    ) -> Result<Self, Error> {
        stream.set_nodelay(true)?;
        let deadline = Instant::now() + timeouts.handshake;
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        let request = client::Request::new(host, target, nonce);
        let mut output = Vec::new();
        request.encode(&mut output);
        write_all(&mut stream, &output, deadline)?;
        output.clear();

        let mut decoder = client::ResponseDecoder::default();
        let mut input = Vec::new();
        loop {
            if let Some((_response, len)) = decoder.decode(&request, &input)? {
                input.drain(..len);
                return Ok(Self {
                    stream,
                    connection: Connection::client(config()),
                    input,
                    output,
                    timeouts,
                });
            }
            if read_some(&mut stream, &mut input, READ_LEN, deadline)? == 0 {
                return Err(HandshakeError::UnexpectedEof.into());
            }
        }
    }

    /// Answers every message that is complete.
    fn echo_received(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + self.timeouts.write;
        // The halves apart, so that a message can be sent while a received one is borrowed.
        let (receiver, sender) = self.connection.halves();
        let mut events = receiver.receive(&mut self.input);
        let mut result = Ok(());
        while let Some(event) = events.next() {
            // Ping and Close want an answer, and so does an error.
            sender.answer(&event, &mut self.output);
            match event {
                // This end has sent Close: what still arrives is not answered.
                Ok(_) if sender.close_sent() => {}
                Ok(Event::Text(text)) => sender.send_text(text, &mut self.output)?,
                Ok(Event::Binary(bytes)) => sender.send_binary(bytes, &mut self.output)?,
                Ok(Event::Ping(_) | Event::Pong(_) | Event::Close(_)) => {}
                Err(error) => result = Err(error.into()),
            }
            if self.output.len() > MAX_OUTPUT_LEN {
                write_all(&mut self.stream, &self.output, deadline)?;
                self.output.clear();
            }
        }
        let consumed_len = events.consumed_len();
        self.input.drain(..consumed_len);
        result
    }

    /// Sends a text message and waits until it is written.
    pub(crate) fn send_text(&mut self, text: &str) -> Result<(), Error> {
        self.connection.send_text(text, &mut self.output)?;
        self.write_output()
    }

    /// Waits for the next text message.
    pub(crate) fn receive_text(&mut self) -> Result<String, Error> {
        let deadline = Instant::now() + self.timeouts.idle;
        loop {
            let mut events = self.connection.receive(&mut self.input, &mut self.output);
            let mut outcome = None;
            while let (None, Some(event)) = (&outcome, events.next()) {
                match event {
                    Ok(Event::Text(text)) => outcome = Some(Ok(text.to_owned())),
                    Ok(Event::Close(frame)) => outcome = Some(Err(format!("closed: {frame:?}").into())),
                    Ok(Event::Binary(_) | Event::Ping(_) | Event::Pong(_)) => {}
                    Err(error) => outcome = Some(Err(error.into())),
                }
            }
            // What was not looked at stays in the input for the next call.
            let consumed_len = events.consumed_len();
            self.input.drain(..consumed_len);
            self.write_output()?;
            if let Some(outcome) = outcome {
                return outcome;
            }
            if self.read_more(deadline)? == 0 {
                self.connection.receive_eof()?;
            }
        }
    }

    /// The closing handshake from this end: what the peer answered.
    pub(crate) fn close(mut self) -> Result<Option<CloseFrame>, Error> {
        let frame = CloseFrame::new(CloseCode::NORMAL, "");
        self.connection.send_close(Some(&frame), &mut self.output)?;
        self.write_output()?;
        let deadline = Instant::now() + self.timeouts.close;
        let mut answer = None;
        while self.connection.close_expected() {
            if self.read_more(deadline)? == 0 {
                self.connection.receive_eof()?;
            }
            let mut events = self.connection.receive(&mut self.input, &mut self.output);
            while let Some(event) = events.next() {
                if let Event::Close(frame) = event? {
                    answer = frame;
                }
            }
            let consumed_len = events.consumed_len();
            self.input.drain(..consumed_len);
        }
        linger(&mut self.stream, self.timeouts.close);
        Ok(answer)
    }

    /// Reads once. 0 is the end of the stream.
    fn read_more(&mut self, deadline: Instant) -> io::Result<usize> {
        if self.input.is_empty() && self.input.capacity() > MAX_RESERVE_LEN {
            self.input = Vec::new();
        }
        let room = self.connection.missing_len(self.input.len()).clamp(READ_LEN, MAX_RESERVE_LEN);
        read_some(&mut self.stream, &mut self.input, room, deadline)
    }

    /// Writes all that waits, and what the codec held back until it was written.
    fn write_output(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + self.timeouts.write;
        while !self.output.is_empty() {
            write_all(&mut self.stream, &self.output, deadline)?;
            self.output.clear();
            self.connection.resume(&mut self.output);
        }
        self.output.shrink_to(MAX_OUTPUT_LEN);
        Ok(())
    }
}

fn config() -> Config {
    Config::default().with_max_message_len(MAX_MESSAGE_LEN)
}

/// Appends what one read of at most `room` bytes gives.
fn read_some(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
    room: usize,
    deadline: Instant,
) -> io::Result<usize> {
    let len = input.len();
    input.resize(len + room, 0);
    let result = loop {
        // A socket's timeout is for one call. A peer that sends a byte now and then must not renew it.
        match set_time_left(deadline, |left| stream.set_read_timeout(left))
            .and_then(|()| stream.read(&mut input[len..]))
        {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => break result.map_err(timed_out),
        }
    };
    input.truncate(len + result.as_ref().copied().unwrap_or(0));
    result
}

/// Writes all of `bytes`, or fails when the deadline passes.
fn write_all(stream: &mut TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        set_time_left(deadline, |left| stream.set_write_timeout(left))?;
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(len) => bytes = &bytes[len..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(timed_out(error)),
        }
    }
    Ok(())
}

/// Ends this direction of the stream and reads until the peer ends the other one. A socket that is dropped with bytes
/// unread is reset, and the peer may lose the last frame, which tells it why.
fn linger(stream: &mut TcpStream, timeout: Duration) {
    let deadline = Instant::now() + timeout;
    let mut discarded = Vec::new();
    if stream.shutdown(Shutdown::Write).is_ok() {
        while matches!(read_some(stream, &mut discarded, READ_LEN, deadline), Ok(1..)) {
            discarded.clear();
        }
    }
}

/// Gives `set` the time until `deadline`; a timeout of zero is none, so a deadline that passed is an error here.
fn set_time_left(deadline: Instant, set: impl FnOnce(Option<Duration>) -> io::Result<()>) -> io::Result<()> {
    match deadline.checked_duration_since(Instant::now()) {
        Some(left) if !left.is_zero() => set(Some(left)),
        _ => Err(ErrorKind::TimedOut.into()),
    }
}

/// A socket whose timeout passes says `WouldBlock` on Unix.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}

#[allow(dead_code, reason = "the tests that include this file have a main function of their own")]
fn main() -> Result<(), Error> {
    if let Some(address) = std::env::args().nth(1) {
        let listener = TcpListener::bind(address)?;
        println!("echoing on ws://{}/", listener.local_addr()?);
        serve(&listener, Timeouts::default());
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || serve(&listener, Timeouts::default()));
    let stream = TcpStream::connect(address)?;
    let mut socket = Socket::connect(stream, &address.to_string(), "/", Timeouts::default())?;
    for text in ["hello", "Grüße", "🐟"] {
        socket.send_text(text)?;
        println!("sent {text}, received {}", socket.receive_text()?);
    }
    println!("closed: {:?}", socket.close()?);
    Ok(())
}
