//! The other end of the connections under test: raw bytes over real sockets, and a transport that does as it is told.
#![allow(dead_code, reason = "every test binary uses a part of it")]

use sockeye_tokio_websocket::{
    Message, Options, Role, WebSocket,
    codec::{Config, Connection, FrameHeader, OpCode, mask::mask},
};
use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    net::{TcpListener, TcpStream},
};

pub(crate) const ROLES: [Role; 2] = [Role::Server, Role::Client];

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A frame as the peer of `receiver` sends it.
pub(crate) fn frame_with(receiver: Role, fin: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let masking_key = (receiver == Role::Server).then_some(KEY);
    let header = FrameHeader { fin, rsv1: false, opcode, masking_key, payload_len: payload.len() as u64 };
    let (bytes, len) = header.encode();
    let mut frame = bytes[..len].to_vec();
    frame.extend_from_slice(payload);
    if let Some(key) = masking_key {
        mask(&mut frame[len..], key, 0);
    }
    frame
}

pub(crate) fn frame(receiver: Role, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    frame_with(receiver, true, opcode, payload)
}

/// A Close frame to `receiver`.
pub(crate) fn close_frame(receiver: Role, code: u16) -> Vec<u8> {
    frame(receiver, OpCode::Close, &code.to_be_bytes())
}

/// What `sender` sent, frame by frame. Half a frame at the end is a failure.
pub(crate) fn decode_sent(sender: Role, mut wire: &[u8]) -> Vec<(OpCode, Vec<u8>)> {
    let mut frames = Vec::new();
    while !wire.is_empty() {
        let (opcode, payload, len) = decode_frame(sender, wire).expect("a whole frame");
        frames.push((opcode, payload));
        wire = &wire[len..];
    }
    frames
}

pub(crate) fn decode_frame(sender: Role, wire: &[u8]) -> Option<(OpCode, Vec<u8>, usize)> {
    let (header, header_len) = FrameHeader::decode(wire).expect("a valid frame")?;
    assert_eq!(header.masking_key.is_some(), sender == Role::Client, "clients mask, servers do not");
    let payload_len = usize::try_from(header.payload_len).expect("a short frame");
    let mut payload = wire.get(header_len..header_len + payload_len)?.to_vec();
    if let Some(key) = header.masking_key {
        mask(&mut payload, key, 0);
    }
    Some((header.opcode, payload, header_len + payload_len))
}

/// Two connected TCP sockets.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let pair = (connected.expect("a connection"), accepted.expect("a connection").0);
    // As `connect` and servers do: without it a short frame waits for the peer's delayed acknowledgement.
    for stream in [&pair.0, &pair.1] {
        stream.set_nodelay(true).expect("an option");
    }
    pair
}

/// A WebSocket of `role` over a real socket, and its raw peer.
pub(crate) async fn tcp_socket(role: Role, options: &Options) -> (WebSocket<TcpStream>, Peer<TcpStream>) {
    let (ours, theirs) = tcp_pair().await;
    (WebSocket::from_handshaken(ours, role, &[], options), Peer::new(theirs, role))
}

/// Two WebSockets that are connected over a real socket: server and client.
pub(crate) async fn tcp_sockets() -> (WebSocket<TcpStream>, WebSocket<TcpStream>) {
    let (server, client) = tcp_pair().await;
    let options = Options::default();
    (
        WebSocket::from_handshaken(server, Role::Server, &[], &options),
        WebSocket::from_handshaken(client, Role::Client, &[], &options),
    )
}

/// The raw peer of a WebSocket.
#[derive(Debug)]
pub(crate) struct Peer<S> {
    pub(crate) stream: S,
    /// The role of the WebSocket under test, not ours.
    role: Role,
    received: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn new(stream: S, role: Role) -> Self {
        Self { stream, role, received: Vec::new() }
    }

    pub(crate) async fn send(&mut self, opcode: OpCode, payload: &[u8]) {
        self.send_raw(&frame(self.role, opcode, payload)).await;
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the peer can write");
    }

    /// The next frame, `None` when the transport ends between two frames.
    pub(crate) async fn receive(&mut self) -> Option<(OpCode, Vec<u8>)> {
        loop {
            if let Some((opcode, payload, len)) = decode_frame(self.role, &self.received) {
                self.received.drain(..len);
                return Some((opcode, payload));
            }
            if self.stream.read_buf(&mut self.received).await.expect("the peer can read") == 0 {
                assert!(self.received.is_empty(), "half a frame: {:?}", self.received);
                return None;
            }
        }
    }

    /// The code of the next Close frame, after any other frames.
    pub(crate) async fn receive_close_code(&mut self) -> Option<u16> {
        loop {
            let (opcode, payload) = self.receive().await?;
            if opcode == OpCode::Close {
                return payload.first_chunk().map(|code| u16::from_be_bytes(*code));
            }
        }
    }

    pub(crate) async fn assert_end(&mut self) {
        assert_eq!(self.receive().await, None, "the transport ends");
    }
}

/// Reads what an HTTP peer sends until the empty line.
pub(crate) async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head that ends"));
    }
    String::from_utf8(head).expect("an ASCII head")
}

/// A transport in one task: reads come from `input`, writes go to `written`, both in pieces, and after every piece
/// the transport is pending once.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) input: Vec<u8>,
    pub(crate) read_len: usize,
    /// The longest piece of one read or write, taken in turn.
    pub(crate) pieces: Vec<usize>,
    pub(crate) turn: usize,
    pub(crate) pending_between: bool,
    pub(crate) at_end: AtEnd,
    pub(crate) written: Vec<u8>,
    pub(crate) write_count: usize,
    /// How much the transport takes before writes stay pending.
    pub(crate) write_room: usize,
    pub(crate) flushed_len: usize,
    pub(crate) shutdown: bool,
    /// Whether the next read, write, flush is not pending.
    pub(crate) ready: [bool; 3],
}

/// What a read brings behind the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtEnd {
    Eof,
    Pending,
    Reset,
}

impl Scripted {
    /// Everything at once, and never pending; then silence.
    pub(crate) fn new(input: Vec<u8>) -> Self {
        Self {
            input,
            read_len: 0,
            pieces: Vec::new(),
            turn: 0,
            pending_between: false,
            at_end: AtEnd::Pending,
            written: Vec::new(),
            write_count: 0,
            write_room: usize::MAX,
            flushed_len: 0,
            shutdown: false,
            ready: [false; 3],
        }
    }

    /// In pieces of these lengths, and pending after each.
    pub(crate) fn in_pieces(input: Vec<u8>, pieces: Vec<usize>, at_end: AtEnd) -> Self {
        Self { pieces, pending_between: true, at_end, ..Self::new(input) }
    }

    fn piece_len(&mut self) -> usize {
        self.turn += 1;
        if self.pieces.is_empty() { usize::MAX } else { self.pieces[self.turn % self.pieces.len()].max(1) }
    }

    /// Whether operation `which` is pending this time.
    fn rests(&mut self, which: usize, cx: &Context<'_>) -> bool {
        self.ready[which] = !self.ready[which];
        let rests = self.pending_between && self.ready[which];
        if rests {
            cx.waker().wake_by_ref();
        }
        rests
    }
}

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rests(0, cx) {
            return Poll::Pending;
        }
        let len = (self.input.len() - self.read_len).min(self.piece_len()).min(buf.remaining());
        if len == 0 {
            return match self.at_end {
                AtEnd::Eof => Poll::Ready(Ok(())),
                AtEnd::Pending => Poll::Pending,
                AtEnd::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            };
        }
        buf.put_slice(&self.input[self.read_len..self.read_len + len]);
        self.read_len += len;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.rests(1, cx) || self.write_room == 0 {
            return Poll::Pending;
        }
        self.write_count += 1;
        let len = bytes.len().min(self.piece_len()).min(self.write_room);
        self.write_room -= len;
        self.written.extend_from_slice(&bytes[..len]);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.rests(2, cx) {
            return Poll::Pending;
        }
        self.flushed_len = self.written.len();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.rests(2, cx) {
            return Poll::Pending;
        }
        self.shutdown = true;
        Poll::Ready(Ok(()))
    }
}

/// The messages in `wire`, which `sender` sent, as the codec alone sees them.
pub(crate) fn messages(sender: Role, wire: &[u8]) -> Vec<Message> {
    let mut connection = match sender {
        Role::Client => Connection::server(Config::default()),
        Role::Server => Connection::client(Config::default()),
    };
    let mut input = wire.into();
    let mut messages = Vec::new();
    while let Some(message) =
        connection.receive_message(&mut input, &mut Vec::new()).expect("what we send is correct")
    {
        messages.push(message);
    }
    assert!(input.is_empty(), "half a frame is left behind");
    messages
}

/// The frames in `wire`, which `sender` sent: FIN, opcode and payload. Half a frame at the end is a failure.
pub(crate) fn sent_frames(sender: Role, mut wire: &[u8]) -> Vec<(bool, OpCode, Vec<u8>)> {
    let mut frames = Vec::new();
    while !wire.is_empty() {
        let fin = wire[0] & 0x80 != 0;
        let (opcode, payload, len) = decode_frame(sender, wire).expect("a whole frame");
        frames.push((fin, opcode, payload));
        wire = &wire[len..];
    }
    frames
}

/// A WebSocket of `role` over a transport that holds `len` bytes per direction, and its raw peer.
pub(crate) fn duplex_socket(
    role: Role,
    len: usize,
    options: &Options,
) -> (WebSocket<DuplexStream>, Peer<DuplexStream>) {
    let (ours, theirs) = duplex(len);
    (WebSocket::from_handshaken(ours, role, &[], options), Peer::new(theirs, role))
}

/// Awaits what must not take for ever.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("no dead-lock")
}

/// Polls a future once and drops it.
pub(crate) fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Deadlines need a runtime, even if none is met.
pub(crate) fn in_runtime<T>(test: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _guard = runtime.enter();
    test()
}
