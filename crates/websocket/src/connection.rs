//! Both halves of an open connection together: what most drivers use.

use alloc::vec::Vec;
use bytes::BytesMut;

use crate::{
    CloseFrame, Config, MaskSource, Message, MessageKind, ProtocolError, Receive, ReceiveHalf, ReceiveState,
    Role, SendError, SendHalf,
};

/// How far the closing handshake is (RFC 6455 §7.1).
///
/// ```text
///              we send Close                      the peer's Close arrives
///   ┌──────┐ ───────────────► ┌───────────────┐ ───────────────────────────► ┌────────┐
///   │ Open │                  │ CloseExpected │                              │ Closed │
///   └──────┘                  └───────────────┘                              └────────┘
///       │    the peer's Close arrives (ours answers at once)                      ▲
///       ├──────────────────────────────────────────────────────────────────────────┤
///       │    the peer breaks the protocol (a Close with the error's code is sent)
///       └───────────────────► ┌────────┐
///                             │ Failed │
///                             └────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseState {
    /// Messages flow.
    Open,
    /// This end sent Close and still receives until the peer's Close comes. A driver gives it a deadline.
    CloseExpected,
    /// Both Close frames were exchanged. The server closes the transport first (§7.1.1).
    Closed,
    /// The peer broke the protocol, or the transport ended early. Nothing more is received.
    Failed,
}

impl CloseState {
    /// The state of a connection, by those of its halves.
    pub const fn of(receiving: ReceiveState, close_sent: bool) -> Self {
        match receiving {
            ReceiveState::Open if close_sent => Self::CloseExpected,
            ReceiveState::Open => Self::Open,
            ReceiveState::Closed => Self::Closed,
            ReceiveState::Failed => Self::Failed,
        }
    }
}

/// One end of a WebSocket connection after the opening handshake.
///
/// Bytes from the peer go in with [`receive`](Self::receive), which yields events; `send_*` append frames to an
/// output buffer that the driver writes to the peer. Replies that the protocol owes (Pong, Close) are appended to
/// the output by `receive` itself.
///
/// It consists of a [`ReceiveHalf`] and a [`SendHalf`], which share nothing: a driver that receives and sends at the
/// same time, or sends while it looks at what it received, takes them apart with [`halves`](Self::halves) or
/// [`split`](Self::split).
#[derive(Debug)]
pub struct Connection {
    pub(crate) receiver: ReceiveHalf,
    pub(crate) sender: SendHalf,
}

impl Connection {
    /// The server's end.
    pub const fn server(config: Config) -> Self {
        Self::new(Role::Server, MaskSource::unused(), config)
    }

    /// The client's end, with masking keys from the operating system.
    #[cfg(feature = "std")]
    pub const fn client(config: Config) -> Self {
        Self::client_with_masks(config, MaskSource::operating_system())
    }

    /// The client's end, with masking keys from `masks`.
    pub const fn client_with_masks(config: Config, masks: MaskSource) -> Self {
        Self::new(Role::Client, masks, config)
    }

    const fn new(role: Role, masks: MaskSource, config: Config) -> Self {
        Self { receiver: ReceiveHalf::new(role, config), sender: SendHalf::new(role, masks) }
    }

    /// The halves, to be driven independently of each other. What the receiving one yields, the sending one has to
    /// [answer](SendHalf::answer).
    pub fn split(self) -> (ReceiveHalf, SendHalf) {
        (self.receiver, self.sender)
    }

    /// The halves, for as long as they are borrowed.
    pub const fn halves(&mut self) -> (&mut ReceiveHalf, &mut SendHalf) {
        (&mut self.receiver, &mut self.sender)
    }

    /// The halves of one connection together again.
    pub const fn from_halves(receiver: ReceiveHalf, sender: SendHalf) -> Self {
        Self { receiver, sender }
    }

    /// Which end this is.
    pub const fn role(&self) -> Role {
        self.receiver.role()
    }

    /// How far the closing handshake is.
    pub const fn close_state(&self) -> CloseState {
        CloseState::of(self.receiver.state(), self.sender.close_sent())
    }

    /// Whether this end sent Close and waits for the peer's. The driver should drop the transport when that takes
    /// too long.
    pub const fn close_expected(&self) -> bool {
        matches!(self.close_state(), CloseState::CloseExpected)
    }

    /// Whether nothing more will be received: once the output is written the transport can be closed.
    pub const fn is_closed(&self) -> bool {
        !matches!(self.receiver.state(), ReceiveState::Open)
    }

    /// How many bytes beyond the `buffered_len` unconsumed ones complete the frame whose header is known; 0 when
    /// none is. A driver may use it to size its next read, but must cap what it reserves: the peer only claims it.
    pub fn missing_len(&self, buffered_len: usize) -> usize {
        self.receiver.missing_len(buffered_len)
    }

    /// Tells that the peer ended the transport.
    ///
    /// # Errors
    /// [`ProtocolError::ClosedWithoutHandshake`] unless both Close frames were exchanged or the connection had
    /// already failed.
    pub fn receive_eof(&mut self) -> Result<(), ProtocolError> {
        self.sender.end();
        self.receiver.receive_eof()
    }

    /// Appends a Pong that was held back, if there is one and `output` has room again. A driver calls it after it
    /// wrote its output; [`receive`](Self::receive) does the same.
    pub fn resume(&mut self, output: &mut Vec<u8>) {
        self.sender.resume(output);
    }

    /// Receives what `input` holds: yields an event for every complete message and control frame in it.
    ///
    /// `input` starts with the bytes that earlier calls did not [consume](Receive::consumed_len), exactly as they
    /// were left, followed by what has arrived since. It is unmasked in place. An incomplete frame is not an error:
    /// its bytes stay unconsumed, and the part that is here is not looked at again.
    ///
    /// Replies go to `output`, which the driver empties as it writes.
    #[inline]
    pub fn receive<'a>(&'a mut self, input: &'a mut [u8], output: &'a mut Vec<u8>) -> Receive<'a> {
        Receive::new(&mut self.receiver, &mut self.sender, input, output)
    }

    /// Receives the next message from the front of `input` as one that owns its payload, or `None` when more bytes
    /// are needed. Consumed bytes are removed from `input`.
    ///
    /// Messages up to 1 KiB are copied, longer ones are split off `input` without a copy; reassembled ones take
    /// the reassembly buffer with them.
    ///
    /// # Errors
    /// [`ProtocolError`], once; after that `input` is discarded and `None` returned.
    #[inline]
    pub fn receive_message(
        &mut self,
        input: &mut BytesMut,
        output: &mut Vec<u8>,
    ) -> Result<Option<Message>, ProtocolError> {
        let received = self.receiver.receive_message(input);
        if matches!(received, Ok(Some(Message::Text(_) | Message::Binary(_)))) {
            self.sender.resume(output);
        } else {
            self.sender.answer_message(&received, output);
        }
        received
    }

    /// [`SendHalf::send_text`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn send_text(&mut self, text: &str, output: &mut Vec<u8>) -> Result<(), SendError> {
        self.sender.send_text(text, output)
    }

    /// [`SendHalf::send_binary`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn send_binary(&mut self, payload: &[u8], output: &mut Vec<u8>) -> Result<(), SendError> {
        self.sender.send_binary(payload, output)
    }

    /// [`SendHalf::send_uncompressed`].
    ///
    /// # Errors
    /// The same.
    pub fn send_uncompressed(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        self.sender.send_uncompressed(kind, payload, output)
    }

    /// [`SendHalf::send`].
    ///
    /// # Errors
    /// The same.
    pub fn send(&mut self, message: &Message, output: &mut Vec<u8>) -> Result<(), SendError> {
        self.sender.send(message, output)
    }

    /// [`SendHalf::send_first_fragment`].
    ///
    /// # Errors
    /// The same.
    pub fn send_first_fragment(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        self.sender.send_first_fragment(kind, payload, output)
    }

    /// [`SendHalf::send_next_fragment`].
    ///
    /// # Errors
    /// The same.
    pub fn send_next_fragment(
        &mut self,
        payload: &[u8],
        fin: bool,
        output: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        self.sender.send_next_fragment(payload, fin, output)
    }

    /// [`SendHalf::send_header`].
    ///
    /// # Errors
    /// The same.
    ///
    /// # Panics
    /// On a client's connection.
    pub fn send_header(
        &mut self,
        kind: MessageKind,
        payload_len: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        self.sender.send_header(kind, payload_len, output)
    }

    /// [`SendHalf::send_ping`].
    ///
    /// # Errors
    /// The same.
    pub fn send_ping(&mut self, payload: &[u8], output: &mut Vec<u8>) -> Result<(), SendError> {
        self.sender.send_ping(payload, output)
    }

    /// [`SendHalf::send_pong`].
    ///
    /// # Errors
    /// The same.
    pub fn send_pong(&mut self, payload: &[u8], output: &mut Vec<u8>) -> Result<(), SendError> {
        self.sender.send_pong(payload, output)
    }

    /// [`SendHalf::send_close`].
    ///
    /// # Errors
    /// The same.
    pub fn send_close(&mut self, frame: Option<&CloseFrame>, output: &mut Vec<u8>) -> Result<(), SendError> {
        self.sender.send_close(frame, output)
    }
}
