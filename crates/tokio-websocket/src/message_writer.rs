//! Sending a message piece by piece.

use sockeye_websocket::MessageKind;
use std::future::poll_fn;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Error, WebSocket};

/// Writes one message as fragments, so that neither its length need be known nor all of it be in memory.
///
/// ```no_run
/// # async fn upload(mut socket: sockeye_tokio_websocket::WebSocket<tokio::net::TcpStream>,
/// # mut pieces: std::vec::IntoIter<Vec<u8>>) -> Result<(), sockeye_tokio_websocket::Error> {
/// use sockeye_tokio_websocket::MessageKind;
///
/// let mut message = socket.start_message(MessageKind::Binary)?;
/// for piece in &mut pieces {
///     message.write(&piece).await?;
/// }
/// message.finish().await?;
/// # Ok(()) }
/// ```
///
/// When it is dropped before [`finish`](Self::finish), the message stays unfinished: no other message can be sent, but
/// [`WebSocket::continue_message`] goes on with it, and the connection can be closed.
#[derive(Debug)]
pub struct MessageWriter<'a, S> {
    socket: &'a mut WebSocket<S>,
    /// What the first fragment says, until it was sent.
    first: Option<MessageKind>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> MessageWriter<'a, S> {
    pub(crate) fn start(socket: &'a mut WebSocket<S>, kind: MessageKind) -> Result<Self, Error> {
        socket.outbound.may_start()?;
        Ok(Self { socket, first: Some(kind) })
    }

    pub(crate) fn resume(socket: &'a mut WebSocket<S>) -> Result<Self, Error> {
        socket.outbound.may_continue()?;
        Ok(Self { socket, first: None })
    }

    /// Writes the next piece, one frame. It leaves when more than [`Options::max_output_len`](crate::Options) bytes
    /// are queued, with [`flush`](Self::flush), or at the end. An empty piece is nothing.
    ///
    /// The pieces of a text may be cut within a code point; together they must be UTF-8.
    ///
    /// Cancel safe: when the future is dropped, the piece is either queued whole or not at all.
    ///
    /// # Errors
    /// [`Error::Send`] after a Close, [`Error::Io`] when the transport failed.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        if piece.is_empty() {
            return Ok(());
        }
        self.ready().await?;
        match self.first {
            Some(kind) => self.socket.outbound.queue_first_fragment(kind, piece)?,
            None => self.socket.outbound.queue_next_fragment(piece, false)?,
        }
        self.first = None;
        Ok(())
    }

    /// Writes the last piece, which may be empty, and sends what is queued.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn finish_with(mut self, piece: &[u8]) -> Result<(), Error> {
        self.ready().await?;
        match self.first.take() {
            Some(kind) => self.socket.outbound.queue_borrowed(kind, piece)?,
            None => self.socket.outbound.queue_next_fragment(piece, true)?,
        }
        self.socket.flush().await
    }

    /// Ends the message and sends what is queued.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn finish(self) -> Result<(), Error> {
        self.finish_with(&[]).await
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.socket.flush().await
    }

    async fn ready(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.socket.poll_send_ready(cx)).await
    }
}
