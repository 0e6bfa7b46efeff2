//! A receiving half that owns its input.

use bytes::{Buf, BytesMut};

use crate::{
    Event, Message, OpCode, Parked, ProtocolError, ReceiveHalf, ReceiveState, StreamEvent,
    frame::FrameHeader, receive::COPY_LEN, step::Received,
};

/// A [`ReceiveHalf`] together with the bytes that it has not consumed: for drivers that look for the next event at
/// one place and use it at another.
///
/// ```
/// use sockeye_websocket::{Config, Connection, Event, ReceiveBuffer};
///
/// let (receiver, _sender) = Connection::server(Config::default()).split();
/// let mut receiver = ReceiveBuffer::new(receiver);
/// # let mut wire = Vec::new();
/// # Connection::client(Config::default()).send_text("hello", &mut wire)?;
/// receiver.buffer().extend_from_slice(&wire); // as a driver reads
/// while receiver.advance().expect("the peer obeys the protocol") {
///     assert_eq!(receiver.event(), Some(Event::Text("hello")));
/// }
/// # Ok::<(), sockeye_websocket::SendError>(())
/// ```
#[derive(Debug)]
pub struct ReceiveBuffer {
    half: ReceiveHalf,
    input: BytesMut,
    /// How much of the input is done with.
    consumed_len: usize,
    /// What `advance` found. It refers to the input, so it is forgotten before that may change.
    found: Option<Received>,
}

impl ReceiveBuffer {
    /// A half that received nothing yet.
    pub fn new(half: ReceiveHalf) -> Self {
        Self { half, input: BytesMut::new(), consumed_len: 0, found: None }
    }

    /// The half.
    pub const fn half(&self) -> &ReceiveHalf {
        &self.half
    }

    /// The bytes that are not consumed, to append to as more arrive. The event that was found is over.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.found = None;
        if self.consumed_len > 0 {
            self.input.advance(self.consumed_len);
            self.consumed_len = 0;
        }
        &mut self.input
    }

    /// How many bytes are not consumed.
    pub fn unconsumed_len(&self) -> usize {
        self.input.len() - self.consumed_len
    }

    /// How many bytes beyond the unconsumed ones complete the frame whose header is known; 0 when none is. Only a
    /// claim of the peer: cap what is reserved for it.
    pub fn missing_len(&self) -> usize {
        self.half.missing_len(self.unconsumed_len())
    }

    /// Whether [`advance`](Self::advance) will find an event in what is here already, as far as the next frame
    /// tells: a driver that has more to do before it waits may put off its writes.
    #[inline]
    pub fn has_frame(&self) -> bool {
        if self.half.state != ReceiveState::Open {
            return false;
        }
        let rest = self.input.get(self.consumed_len..);
        if let Some(is_here) = rest.and_then(|rest| self.half.has_short_message(rest)) {
            return is_here;
        }
        match (&self.half.frame, rest) {
            // In front is payload, whatever it looks like.
            (Some(frame), Some(rest)) => {
                let ends_event = frame.opcode.is_control() || (frame.fin && !self.half.chunked);
                ends_event && frame.payload_len <= rest.len()
            }
            (None, Some(rest @ [first, ..])) => match FrameHeader::decode(rest) {
                // A fragment alone is no event.
                Ok(Some((header, header_len))) => {
                    (first & 0x80 != 0 && header.opcode != OpCode::Continuation)
                        && header.payload_len <= (rest.len() - header_len) as u64
                }
                Ok(None) => false,
                Err(_) => true,
            },
            _ => false,
        }
    }

    /// Looks for the next message or control frame; `false` when more bytes are needed or nothing more is received.
    /// What was found before is over.
    ///
    /// # Errors
    /// When the peer breaks the protocol, once. Everything that is here is discarded.
    #[inline]
    pub fn advance(&mut self) -> Result<bool, ProtocolError> {
        let received = self.half.step(&mut self.input, &mut self.consumed_len);
        self.found(received)
    }

    /// The next message, if it is all here, in one frame and up to 1 KiB: the same as [`advance`](Self::advance) and
    /// [`take_message`](Self::take_message), at less cost. `None` says nothing about what is here, and everything
    /// is as before; then `advance` tells.
    #[inline]
    pub fn take_short_message(&mut self) -> Option<Message> {
        let short = self.half.copy_short_message(self.input.get(self.consumed_len..)?, COPY_LEN)?;
        self.found = None;
        self.consumed_len += short.frame_len;
        Some(short.into_message())
    }

    /// Looks for the next piece of a message, or the next control frame, as
    /// [`Events::next_chunk`](crate::Events::next_chunk) does.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub fn advance_chunk(&mut self) -> Result<bool, ProtocolError> {
        let received = self.half.step_chunk(&mut self.input, &mut self.consumed_len);
        self.found(received)
    }

    #[inline]
    fn found(&mut self, received: Option<Result<Received, ProtocolError>>) -> Result<bool, ProtocolError> {
        match received {
            Some(Ok(received)) => {
                self.found = Some(received);
                Ok(true)
            }
            Some(Err(error)) => {
                self.found = None;
                Err(error)
            }
            None => {
                self.found = None;
                Ok(false)
            }
        }
    }

    /// What [`advance`](Self::advance) found.
    #[inline]
    pub fn event(&self) -> Option<Event<'_>> {
        self.found.as_ref().map(|received| self.half.lend(received, &self.input))
    }

    /// What [`advance_chunk`](Self::advance_chunk) found.
    pub fn chunk(&self) -> Option<StreamEvent<'_>> {
        self.found.as_ref().map(|received| self.half.lend_chunk(received, &self.input))
    }

    /// Takes what [`advance`](Self::advance) found as a message that owns its payload: up to 1 KiB are copied, longer
    /// ones are split off the buffer, reassembled ones take the reassembly buffer along.
    #[inline]
    pub fn take_message(&mut self) -> Option<Message> {
        let received = self.found.take()?;
        Some(self.half.own(received, &mut self.input, &mut self.consumed_len))
    }

    /// Whether what was found is a message or a piece of one, and no control frame.
    pub const fn found_data(&self) -> bool {
        matches!(self.found, Some(Received::Data(..) | Received::Chunk(..)))
    }

    /// [`ReceiveHalf::park`], if there are no bytes that are not consumed.
    pub fn park(&mut self) -> Option<Parked> {
        if self.found.is_some() || self.unconsumed_len() > 0 { None } else { self.half.park() }
    }

    /// Tells that the peer ended the transport.
    ///
    /// # Errors
    /// As [`ReceiveHalf::receive_eof`].
    pub const fn receive_eof(&mut self) -> Result<(), ProtocolError> {
        self.half.receive_eof()
    }
}
