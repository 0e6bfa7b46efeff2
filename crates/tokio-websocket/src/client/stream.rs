//! The transport of a client's connection: TCP, or TLS on top of it.

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
#[cfg(feature = "tls")]
use tokio_rustls::{client::TlsStream, rustls::ClientConnection};

/// The transport that [`Connector::connect`](crate::Connector::connect) opened: TCP for `ws://`, TLS for `wss://`,
/// through a proxy or not.
///
/// A TLS peer that ends the connection without `close_notify` makes reads fail with
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof): the end may be an attacker's. Shutting down sends `close_notify`.
pub struct ClientStream(Inner);

enum Inner {
    Tcp(TcpStream),
    ReadAhead(Box<ReadAhead>),
    /// On top of TCP, or of the TLS connection to a proxy.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<ClientStream>>),
}

/// A stream from which more was read than its reader wanted.
struct ReadAhead {
    bytes: bytes::BytesMut,
    stream: ClientStream,
}

impl ClientStream {
    #[cfg(feature = "tls")]
    pub(super) fn from_tls(stream: TlsStream<Self>) -> Self {
        Self(Inner::Tls(Box::new(stream)))
    }

    /// Reads `bytes` before what the transport brings.
    pub(super) fn with_read_ahead(self, bytes: bytes::BytesMut) -> Self {
        if bytes.is_empty() {
            self
        } else {
            Self(Inner::ReadAhead(Box::new(ReadAhead { bytes, stream: self })))
        }
    }

    /// The TCP connection beneath, for its addresses and options. It leads to the proxy if there is one.
    pub fn tcp(&self) -> &TcpStream {
        match &self.0 {
            Inner::Tcp(stream) => stream,
            Inner::ReadAhead(ahead) => ahead.stream.tcp(),
            #[cfg(feature = "tls")]
            Inner::Tls(stream) => stream.get_ref().0.tcp(),
        }
    }

    /// The TCP connection itself.
    ///
    /// # Errors
    /// The stream, unchanged, when its bytes are not those of the TCP connection because TLS is between.
    #[allow(clippy::result_large_err, reason = "the error is the stream, as large as what success returns")]
    pub fn into_tcp(self) -> Result<TcpStream, Self> {
        match self.0 {
            Inner::Tcp(stream) => Ok(stream),
            inner => Err(Self(inner)),
        }
    }

    /// Whether the bytes travel in TLS to the server (`wss://`), or at least to the proxy.
    pub fn is_tls(&self) -> bool {
        match &self.0 {
            Inner::Tcp(_) => false,
            Inner::ReadAhead(ahead) => ahead.stream.is_tls(),
            #[cfg(feature = "tls")]
            Inner::Tls(_) => true,
        }
    }

    /// The TLS session, for its version, cipher suite and the certificates of the server; of the proxy where only the
    /// way to the proxy is TLS.
    #[cfg(feature = "tls")]
    pub fn tls(&self) -> Option<&ClientConnection> {
        match &self.0 {
            Inner::Tls(stream) => Some(stream.get_ref().1),
            Inner::Tcp(_) | Inner::ReadAhead(_) => None,
        }
    }
}

/// A TCP connection that the caller opened, to have one type for it and those of
/// [`Connector::connect`](crate::Connector::connect).
impl From<TcpStream> for ClientStream {
    fn from(stream: TcpStream) -> Self {
        Self(Inner::Tcp(stream))
    }
}

impl fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStream").field("tls", &self.is_tls()).field("tcp", self.tcp()).finish()
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().0 {
            Inner::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Inner::ReadAhead(ahead) => {
                let $stream = Pin::new(&mut ahead.stream);
                $call
            }
            #[cfg(feature = "tls")]
            Inner::Tls(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
        }
    };
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Inner::ReadAhead(ahead) if ahead.bytes.is_empty() => {
                Pin::new(&mut ahead.stream).poll_read(cx, buf)
            }
            Inner::ReadAhead(ahead) => {
                let len = ahead.bytes.len().min(buf.remaining());
                buf.put_slice(&ahead.bytes.split_to(len));
                Poll::Ready(Ok(()))
            }
            #[cfg(feature = "tls")]
            Inner::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        // Both TCP and TLS take all slices of one write.
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_shutdown(cx))
    }
}
