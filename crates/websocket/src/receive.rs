//! Receiving: bytes of the peer become events (RFC 6455 §5, §6.2).
//!
//! ```text
//!  input  ┌────────┬──────────────┬────────┬───────────── - -
//!         │ header │ payload      │ header │ payload (incomplete)
//!         └────────┴──────────────┴────────┴───────────── - -
//!                   └─ event ───┘          └─ unmasked and validated as far as it is here
//!          consumed ──────────────────────►  stays until complete, never scanned again
//! ```
//! A message in one frame stays where it arrived. The fragments of a longer one move to a reassembly buffer as they
//! arrive. Unmasking and UTF-8 validation go together, block by block, while a block is in the first-level cache.

use alloc::vec::Vec;
use bytes::{Buf, Bytes, BytesMut};
use core::ops::Range;

use crate::{
    Chunk, CloseFrame, CloseState, Message, MessageKind, ProtocolError, ReceiveHalf, ReceiveState, SendHalf,
    StreamEvent,
    step::{Location, Received},
    validated,
};

/// Messages up to this length are copied out by [`ReceiveHalf::receive_message`], longer ones are split off the input:
/// a small message that is kept must not pin a large read buffer.
pub(crate) const COPY_LEN: usize = 1024;

/// What the peer sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A Ping. [`Connection`](crate::Connection) has put its Pong into the output.
    Ping(&'a [u8]),
    /// A Pong.
    Pong(&'a [u8]),
    /// The peer's Close. If this end had not sent one, [`Connection`](crate::Connection) has put the answer into the
    /// output.
    Close(Option<CloseFrame>),
}

impl ReceiveHalf {
    /// Receives what `input` holds: yields an event for every complete message and control frame in it.
    ///
    /// As [`Connection::receive`](crate::Connection::receive), but nothing is answered: pass what it yields to
    /// [`SendHalf::answer`].
    #[inline]
    pub const fn receive<'a>(&'a mut self, input: &'a mut [u8]) -> Events<'a> {
        Events { receiver: self, input, consumed_len: 0, payload_range: None }
    }

    /// Receives the next message from the front of `input` as one that owns its payload, or `None` when more bytes
    /// are needed. Consumed bytes are removed from `input`.
    ///
    /// As [`Connection::receive_message`](crate::Connection::receive_message), but nothing is answered: pass the
    /// result to [`SendHalf::answer_message`].
    ///
    /// # Errors
    /// [`ProtocolError`], once; after that `input` is discarded and `None` returned.
    #[inline]
    pub fn receive_message(&mut self, input: &mut BytesMut) -> Result<Option<Message>, ProtocolError> {
        if let Some(short) = self.copy_short_message(input, COPY_LEN) {
            input.advance(short.frame_len);
            return Ok(Some(short.into_message()));
        }
        self.receive_long_message(input)
    }

    #[inline(never)]
    fn receive_long_message(&mut self, input: &mut BytesMut) -> Result<Option<Message>, ProtocolError> {
        let mut consumed_len = 0;
        let result = match self.step(input, &mut consumed_len) {
            Some(Ok(received)) => Ok(Some(self.own(received, input, &mut consumed_len))),
            Some(Err(error)) => Err(error),
            None => Ok(None),
        };
        input.advance(consumed_len);
        result
    }

    /// Turns what was just received at `input` into a message; what was split off `input` no longer counts as to be
    /// consumed.
    pub(crate) fn own(
        &mut self,
        received: Received,
        input: &mut BytesMut,
        consumed_len: &mut usize,
    ) -> Message {
        // A piece of a text may begin and end within a code point.
        let whole_text = matches!(received, Received::Data(MessageKind::Text, _));
        match received {
            Received::Data(_, location) | Received::Chunk(_, location, _) => {
                let payload = match location {
                    Location::Assembled if self.assembled.len() <= COPY_LEN => {
                        Bytes::copy_from_slice(&self.assembled)
                    }
                    Location::Assembled => {
                        self.lent = false;
                        Bytes::from(core::mem::take(&mut self.assembled))
                    }
                    Location::Input(range) if range.len() <= COPY_LEN => {
                        Bytes::copy_from_slice(&input[range])
                    }
                    Location::Input(range) => {
                        debug_assert_eq!(range.end, *consumed_len);
                        input.advance(range.start);
                        *consumed_len = 0;
                        input.split_to(range.len()).freeze()
                    }
                };
                if whole_text {
                    // SAFETY: `step` yields a text message only when all of its payload passed the validator.
                    #[allow(unsafe_code, reason = "see validated.rs")]
                    Message::Text(unsafe { validated::into_byte_string(payload) })
                } else {
                    Message::Binary(payload)
                }
            }
            Received::Ping(range) => Message::Ping(Bytes::copy_from_slice(&input[range])),
            Received::Pong(range) => Message::Pong(Bytes::copy_from_slice(&input[range])),
            Received::Close(range) => Message::Close(decoded_close(&input[range])),
        }
    }

    /// What was just received at `input`, as it lies there.
    #[inline]
    pub(crate) fn lend<'a>(&'a self, received: &Received, input: &'a [u8]) -> Event<'a> {
        match received {
            Received::Data(kind, location) => lend_data(*kind, self.payload(location, input)),
            // A piece of a text may begin and end within a code point.
            Received::Chunk(_, location, _) => Event::Binary(self.payload(location, input)),
            Received::Ping(range) => Event::Ping(&input[range.clone()]),
            Received::Pong(range) => Event::Pong(&input[range.clone()]),
            Received::Close(range) => Event::Close(decoded_close(&input[range.clone()])),
        }
    }

    /// The same, with messages in pieces.
    pub(crate) fn lend_chunk<'a>(&'a self, received: &Received, input: &'a [u8]) -> StreamEvent<'a> {
        let (kind, location, fin) = match received {
            Received::Chunk(kind, location, fin) => (*kind, location, *fin),
            Received::Data(kind, location) => (*kind, location, true),
            Received::Ping(range) => return StreamEvent::Ping(&input[range.clone()]),
            Received::Pong(range) => return StreamEvent::Pong(&input[range.clone()]),
            Received::Close(range) => return StreamEvent::Close(decoded_close(&input[range.clone()])),
        };
        StreamEvent::Chunk(Chunk { kind, payload: self.payload(location, input), fin })
    }

    #[inline]
    fn payload<'a>(&'a self, location: &Location, input: &'a [u8]) -> &'a [u8] {
        match location {
            Location::Input(range) => &input[range.clone()],
            Location::Assembled => &self.assembled,
        }
    }
}

/// A whole message of which `step` found that it is valid.
#[inline]
fn lend_data(kind: MessageKind, payload: &[u8]) -> Event<'_> {
    match kind {
        // SAFETY: `step` yields a text message only when all of its payload passed the validator.
        #[allow(unsafe_code, reason = "see validated.rs")]
        MessageKind::Text => Event::Text(unsafe { validated::as_str(payload) }),
        MessageKind::Binary => Event::Binary(payload),
    }
}

/// The payload of a Close frame of which `step` found that it can be decoded.
fn decoded_close(payload: &[u8]) -> Option<CloseFrame> {
    CloseFrame::decode(payload).ok().flatten()
}

/// The events in one input: a lending iterator, because a message borrows the bytes where it arrived.
///
/// Dropping it early is fine: what it did not yield is not consumed.
#[derive(Debug)]
pub struct Events<'a> {
    receiver: &'a mut ReceiveHalf,
    input: &'a mut [u8],
    consumed_len: usize,
    payload_range: Option<Range<usize>>,
}

impl Events<'_> {
    /// The next event; `None` when the rest of the input is incomplete, or nothing more is received.
    ///
    /// Of a message of which a part was taken with [`next_chunk`](Self::next_chunk), the rest is passed over.
    ///
    /// # Errors
    /// When the peer breaks the protocol, once. The rest of the input is discarded.
    #[inline]
    #[allow(clippy::should_implement_trait, reason = "an Iterator cannot lend")]
    pub fn next(&mut self) -> Option<Result<Event<'_>, ProtocolError>> {
        if let Some((kind, range)) = self.receiver.short_message(self.input, &mut self.consumed_len) {
            self.payload_range = Some(range.clone());
            return Some(Ok(lend_data(kind, &self.input[range])));
        }
        self.next_long()
    }

    #[inline(never)]
    fn next_long(&mut self) -> Option<Result<Event<'_>, ProtocolError>> {
        let received = self.receiver.long_step(self.input, &mut self.consumed_len);
        Some(self.found(received)?.map(|received| self.receiver.lend(&received, self.input)))
    }

    /// Notes where the payload lies.
    #[inline]
    fn found(
        &mut self,
        received: Option<Result<Received, ProtocolError>>,
    ) -> Option<Result<Received, ProtocolError>> {
        self.payload_range = match &received {
            Some(Ok(
                Received::Data(_, Location::Input(range)) | Received::Chunk(_, Location::Input(range), _),
            )) => Some(range.clone()),
            _ => None,
        };
        received
    }

    /// The next piece of a message, as much of it as the input holds, or the next control frame. Nothing of the
    /// message is kept, so it may be of any length: [`Config::max_message_len`](crate::Config::max_message_len) does
    /// not apply.
    ///
    /// May be mixed with [`next`](Self::next): what was already reassembled of a message comes as its first chunk.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn next_chunk(&mut self) -> Option<Result<StreamEvent<'_>, ProtocolError>> {
        let received = self.receiver.step_chunk(self.input, &mut self.consumed_len);
        Some(self.found(received)?.map(|received| self.receiver.lend_chunk(&received, self.input)))
    }

    /// How many bytes at the front of the input are done with. The driver removes them before the next call of
    /// [`ReceiveHalf::receive`].
    #[inline]
    pub const fn consumed_len(&self) -> usize {
        self.consumed_len
    }

    /// Where in the input the payload of the last text or binary event lies, unless it was reassembled elsewhere:
    /// the owner of the input may split it out instead of copying it.
    #[inline]
    pub fn payload_range(&self) -> Option<Range<usize>> {
        self.payload_range.clone()
    }

    /// How far receiving is.
    pub const fn state(&self) -> ReceiveState {
        self.receiver.state
    }
}

/// [`Events`] that answers what has to be answered.
#[derive(Debug)]
pub struct Receive<'a> {
    events: Events<'a>,
    sender: &'a mut SendHalf,
    output: &'a mut Vec<u8>,
}

impl<'a> Receive<'a> {
    #[inline]
    pub(crate) fn new(
        receiver: &'a mut ReceiveHalf,
        sender: &'a mut SendHalf,
        input: &'a mut [u8],
        output: &'a mut Vec<u8>,
    ) -> Self {
        sender.resume(output);
        Self { events: receiver.receive(input), sender, output }
    }

    /// The next event; `None` when the rest of the input is incomplete, or the connection is closed.
    ///
    /// Of a message of which a part was taken with [`next_chunk`](Self::next_chunk), the rest is passed over.
    ///
    /// # Errors
    /// When the peer breaks the protocol, once. The Close frame that tells it so is in the output, and the rest of
    /// the input is discarded.
    #[inline]
    #[allow(clippy::should_implement_trait, reason = "an Iterator cannot lend")]
    pub fn next(&mut self) -> Option<Result<Event<'_>, ProtocolError>> {
        let event = self.events.next()?;
        if !matches!(event, Ok(Event::Text(_) | Event::Binary(_))) {
            self.sender.answer(&event, self.output);
        }
        Some(event)
    }

    /// [`Events::next_chunk`].
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn next_chunk(&mut self) -> Option<Result<StreamEvent<'_>, ProtocolError>> {
        let event = self.events.next_chunk()?;
        self.sender.answer_stream(&event, self.output);
        Some(event)
    }

    /// How many bytes at the front of the input are done with. The driver removes them before the next call of
    /// [`Connection::receive`](crate::Connection::receive).
    #[inline]
    pub const fn consumed_len(&self) -> usize {
        self.events.consumed_len()
    }

    /// Where in the input the payload of the last text or binary event lies, unless it was reassembled elsewhere:
    /// the owner of the input may split it out instead of copying it.
    #[inline]
    pub fn payload_range(&self) -> Option<Range<usize>> {
        self.events.payload_range()
    }

    /// The sending half and the output, so that answers can be appended between events.
    #[inline]
    pub const fn sender(&mut self) -> (&mut SendHalf, &mut Vec<u8>) {
        (self.sender, self.output)
    }

    /// Whether the connection waits for the peer's Close, is closed or has failed.
    pub const fn close_state(&self) -> CloseState {
        CloseState::of(self.events.receiver.state, self.sender.close_sent())
    }
}
