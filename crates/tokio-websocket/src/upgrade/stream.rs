//! The transport below an upgraded connection.

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::{rt::TokioIo, server::conn::auto};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::Way;

/// How much one write gives to an HTTP/2 stream at most. hyper copies what it is given and holds up to three of these
/// for a peer that does not read.
const MAX_HTTP2_WRITE_LEN: usize = 64 * 1024;

/// The transport of an upgraded connection: the TCP stream itself where hyper was given one, so that nothing stands
/// between it and the WebSocket.
#[derive(Debug)]
pub struct UpgradedStream(Inner);

#[derive(Debug)]
enum Inner {
    Tcp(TcpStream),
    /// Another transport, such as TLS, behind hyper's own type.
    Other(TokioIo<Upgraded>),
    /// A stream of a connection of HTTP/2.
    Http2(TokioIo<Upgraded>),
}

impl UpgradedStream {
    /// The TCP stream that hyper was given, also by way of hyper-util's connections of either HTTP version, as under
    /// `axum::serve`; and what was read from it already.
    pub(crate) fn take_apart(upgraded: Upgraded, way: Way) -> (Self, Bytes) {
        if way == Way::Http2 {
            return (Self(Inner::Http2(TokioIo::new(upgraded))), Bytes::new());
        }
        let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => return (Self(Inner::Tcp(parts.io.into_inner())), parts.read_buf),
            Err(upgraded) => upgraded,
        };
        match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
            Ok(parts) => (Self(Inner::Tcp(parts.io.into_inner())), parts.read_buf),
            Err(upgraded) => (Self(Inner::Other(TokioIo::new(upgraded))), Bytes::new()),
        }
    }

    /// The TCP stream, when the connection is one of plain HTTP/1.1.
    pub const fn tcp(&self) -> Option<&TcpStream> {
        match &self.0 {
            Inner::Tcp(stream) => Some(stream),
            Inner::Other(_) | Inner::Http2(_) => None,
        }
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().0 {
            Inner::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Inner::Other(stream) | Inner::Http2(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for UpgradedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for UpgradedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let bytes = match &self.0 {
            Inner::Http2(_) => &bytes[..bytes.len().min(MAX_HTTP2_WRITE_LEN)],
            Inner::Tcp(_) | Inner::Other(_) => bytes,
        };
        delegate!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Inner::Http2(_) = &self.0 {
            let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
            return self.poll_write(cx, first);
        }
        delegate!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Inner::Tcp(stream) => stream.is_write_vectored(),
            Inner::Other(stream) | Inner::Http2(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_shutdown(cx))
    }
}
