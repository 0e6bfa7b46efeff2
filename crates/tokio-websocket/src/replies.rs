//! Answering a borrowed message while it is borrowed.

use sockeye_websocket::{CloseFrame, Event, Message, MessageKind, Prepared};

use crate::{Error, outbound::Outbound};

/// Queues messages while a received one is borrowed, see [`WebSocket::receive_borrowed`](crate::WebSocket::receive_borrowed).
///
/// They leave when the next receive is about to wait, or with a [`flush`](crate::WebSocket::flush).
#[derive(Debug)]
pub struct Replies<'a> {
    outbound: &'a mut Outbound,
}

impl<'a> Replies<'a> {
    pub(crate) const fn new(outbound: &'a mut Outbound) -> Self {
        Self { outbound }
    }

    /// Queues a text message, which is copied.
    ///
    /// # Errors
    /// [`Error::Send`] when it may not be sent.
    #[inline]
    pub fn text(&mut self, text: &str) -> Result<(), Error> {
        Ok(self.outbound.queue_borrowed(MessageKind::Text, text.as_bytes())?)
    }

    /// Queues a binary message, which is copied.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    #[inline]
    pub fn binary(&mut self, payload: &[u8]) -> Result<(), Error> {
        Ok(self.outbound.queue_borrowed(MessageKind::Binary, payload)?)
    }

    /// Queues the same message as was received. Control frames are not sent back: Pings and Closes are answered
    /// already.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    #[inline]
    pub fn echo(&mut self, received: &Event<'_>) -> Result<(), Error> {
        match received {
            Event::Text(text) => self.text(text),
            Event::Binary(payload) => self.binary(payload),
            Event::Ping(_) | Event::Pong(_) | Event::Close(_) => Ok(()),
        }
    }

    /// Queues a message that owns its payload; a large one is sent by reference.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn message(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        Ok(self.outbound.queue(message.into())?)
    }

    /// Queues a message that was framed before.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    ///
    /// # Panics
    /// On a client's connection.
    pub fn prepared(&mut self, message: &Prepared) -> Result<(), Error> {
        Ok(self.outbound.queue_prepared(message)?)
    }

    /// Starts the closing handshake.
    ///
    /// # Errors
    /// As [`WebSocket::start_close`](crate::WebSocket::start_close).
    pub fn start_close(&mut self, frame: Option<CloseFrame>) -> Result<(), Error> {
        Ok(self.outbound.queue_close(frame.as_ref())?)
    }

    /// How many bytes wait to be written.
    pub fn queued_len(&self) -> usize {
        self.outbound.len()
    }
}
