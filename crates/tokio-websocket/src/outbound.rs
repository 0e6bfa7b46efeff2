//! The sending side of a connection: the codec's state and what waits to be written.

use bytes::Bytes;
use sockeye_websocket::{
    CloseFrame, Event, Message, MessageKind, Prepared, ProtocolError, Role, SendError, SendHalf,
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{io::AsyncWrite, time::Instant};

use crate::{
    Options,
    output::Output,
    wakers::{Half, Wakers},
};

#[derive(Debug)]
pub(crate) struct Outbound {
    codec: SendHalf,
    output: Output,
    /// Whether the transport took bytes that it may still hold.
    unflushed: bool,
    /// Whether the connection ended before everything was written.
    cut_off: bool,
    /// Whether the transport took a part of what waits, since [`take_taken`](Self::take_taken) asked.
    taken: bool,
    /// If anyone wants to know when messages are sent.
    activity: Option<Box<Activity>>,
    max_output_len: usize,
    pub(crate) wakers: Wakers,
}

#[derive(Debug)]
struct Activity {
    /// When the last message was queued since [`take_active`](Outbound::take_active) asked.
    at: Option<Instant>,
}

impl Outbound {
    pub(crate) fn new(codec: SendHalf, options: &Options) -> Self {
        Self {
            codec,
            output: Output::default(),
            unflushed: false,
            cut_off: false,
            taken: false,
            activity: options.idle_timeout.map(|_| Box::new(Activity { at: None })),
            max_output_len: options.max_output_len,
            wakers: Wakers::default(),
        }
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.output.len()
    }

    /// Whether more waits than should: whoever sends has to wait.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.output.len() >= self.max_output_len
    }

    pub(crate) const fn close_sent(&self) -> bool {
        self.codec.close_sent()
    }

    /// When the last message was queued since the last call.
    pub(crate) fn take_active(&mut self) -> Option<Instant> {
        self.activity.as_mut()?.at.take()
    }

    /// Whether the transport, which does not take all at once, took a part since the last call: the peer reads.
    pub(crate) const fn take_taken(&mut self) -> bool {
        std::mem::replace(&mut self.taken, false)
    }

    #[inline]
    fn note_message(&mut self) {
        if let Some(activity) = &mut self.activity {
            activity.at = Some(Instant::now());
        }
    }

    /// Writes and flushes what waits.
    #[inline]
    pub(crate) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut_off {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        loop {
            self.unflushed |= !self.output.is_empty();
            let len = self.output.len();
            let poll = self.output.poll_write(stream, cx);
            self.taken |= poll.is_pending() && self.output.len() < len;
            ready!(poll)?;
            if !self.codec.holds_pong() {
                break;
            }
            self.codec.resume(self.output.tail());
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// [`poll_write`](Self::poll_write) for one half such that the task of the other is not forgotten.
    pub(crate) fn poll_write_for<S: AsyncWrite + Unpin>(
        &mut self,
        half: Half,
        stream: &mut S,
        cx: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        let both = self.wakers.both(half, cx.waker());
        let mut own = Context::from_waker(both.as_ref().unwrap_or_else(|| cx.waker()));
        let poll = self.poll_write(stream, &mut own);
        self.wakers.polled(half, cx.waker(), poll.is_pending());
        poll
    }

    /// Queues the answer to what was received, if it wants one.
    pub(crate) fn answer(&mut self, received: &Result<Event<'_>, ProtocolError>) {
        self.codec.answer(received, self.output.tail());
    }

    /// Refuses to send any more and gives up what waits: nobody must wait for a peer that never reads it.
    pub(crate) fn end(&mut self) {
        self.codec.end();
        self.cut_off |= self.unflushed || !self.output.is_empty();
        self.output = Output::default();
        self.unflushed = false;
    }

    /// Queues a message, by reference if it is large and this is the server.
    #[inline]
    pub(crate) fn queue(&mut self, message: Message) -> Result<(), SendError> {
        match message {
            Message::Text(text) if self.takes(text.len()) => {
                self.queue_large(MessageKind::Text, text.into_bytes())
            }
            Message::Binary(payload) if self.takes(payload.len()) => {
                self.queue_large(MessageKind::Binary, payload)
            }
            Message::Text(text) => self.queue_borrowed(MessageKind::Text, text.as_bytes()),
            Message::Binary(payload) => self.queue_borrowed(MessageKind::Binary, &payload),
            other => self.codec.send(&other, self.output.tail()),
        }
    }

    /// [`queue`](Self::queue), if there is a message still. What is copied is not moved before.
    #[inline]
    pub(crate) fn queue_once(&mut self, message: &mut Option<Message>) -> Result<(), SendError> {
        let (kind, payload) = match &*message {
            Some(Message::Text(text)) if !self.takes(text.len()) => (MessageKind::Text, text.as_bytes()),
            Some(Message::Binary(payload)) if !self.takes(payload.len()) => (MessageKind::Binary, payload),
            _ => return message.take().map_or(Ok(()), |message| self.queue(message)),
        };
        let queued = self.queue_borrowed(kind, payload);
        *message = None;
        queued
    }

    /// Whether a payload is written by reference: it is long enough, and neither masked nor compressed, which would
    /// write it anew.
    #[inline]
    fn takes(&self, payload_len: usize) -> bool {
        Output::takes(payload_len) && self.codec.role() == Role::Server && !self.codec.compresses(payload_len)
    }

    fn queue_large(&mut self, kind: MessageKind, payload: Bytes) -> Result<(), SendError> {
        self.note_message();
        self.codec.send_header(kind, payload.len(), self.output.tail())?;
        self.output.push(payload);
        Ok(())
    }

    /// Queues a message that is copied.
    #[inline]
    pub(crate) fn queue_borrowed(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), SendError> {
        self.note_message();
        self.codec.send_data(kind, payload, self.output.tail())
    }

    pub(crate) fn queue_uncompressed(&mut self, message: &Message) -> Result<(), SendError> {
        match message {
            Message::Text(text) => {
                self.note_message();
                self.codec.send_uncompressed(MessageKind::Text, text.as_bytes(), self.output.tail())
            }
            Message::Binary(payload) => {
                self.note_message();
                self.codec.send_uncompressed(MessageKind::Binary, payload, self.output.tail())
            }
            other => self.codec.send(other, self.output.tail()),
        }
    }

    pub(crate) fn queue_prepared(&mut self, message: &Prepared) -> Result<(), SendError> {
        let frame = self.codec.send_prepared(message)?;
        self.note_message();
        if Output::takes(frame.len()) {
            self.output.push(frame.clone());
        } else {
            self.output.tail().extend_from_slice(frame);
        }
        Ok(())
    }

    pub(crate) fn queue_first_fragment(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
    ) -> Result<(), SendError> {
        self.note_message();
        self.codec.send_first_fragment(kind, payload, self.output.tail())
    }

    pub(crate) fn queue_next_fragment(&mut self, payload: &[u8], fin: bool) -> Result<(), SendError> {
        self.note_message();
        self.codec.send_next_fragment(payload, fin, self.output.tail())
    }

    /// Whether a message may be started.
    pub(crate) const fn may_start(&self) -> Result<(), SendError> {
        if self.codec.close_sent() {
            Err(SendError::Closed)
        } else if self.codec.message_unfinished() {
            Err(SendError::MessageUnfinished)
        } else {
            Ok(())
        }
    }

    /// Whether a fragmented message may be continued.
    pub(crate) const fn may_continue(&self) -> Result<(), SendError> {
        if self.codec.close_sent() {
            Err(SendError::Closed)
        } else if self.codec.message_unfinished() {
            Ok(())
        } else {
            Err(SendError::NoMessageToContinue)
        }
    }

    pub(crate) fn queue_ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.codec.send_ping(payload, self.output.tail())
    }

    pub(crate) fn queue_close(&mut self, frame: Option<&CloseFrame>) -> Result<(), SendError> {
        self.codec.send_close(frame, self.output.tail())
    }
}
