//! One write per batch for libraries that write every message by itself.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};

/// What is written is kept up to this length.
const KEPT_LEN: usize = 64 * 1024;

/// Longer writes are not copied when nothing is kept.
const COPY_LEN: usize = 16 * 1024;

/// A connection that keeps what is written to it, even if it is flushed, until the next read has to wait. So a loop of
/// receive and send makes one write for all messages that one read brought.
///
/// What was written last leaves with [`finish`](Self::finish).
#[derive(Debug)]
pub(super) struct Corked {
    stream: TcpStream,
    kept: Vec<u8>,
    written_len: usize,
}

impl Corked {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self { stream, kept: Vec::new(), written_len: 0 }
    }

    /// Writes what is kept and ends the sending half.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.shutdown().await
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written_len < self.kept.len() {
            let unwritten = &self.kept[self.written_len..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, unwritten))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                len => self.written_len += len,
            }
        }
        self.kept.clear();
        self.written_len = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Corked {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_read(cx, buf);
        if poll.is_pending() {
            // What does not leave at once wakes the task when it can.
            let _ = this.poll_drain(cx)?;
        }
        poll
    }
}

impl AsyncWrite for Corked {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let len: usize = bufs.iter().map(|buf| buf.len()).sum();
        if this.kept.len() + len > KEPT_LEN {
            ready!(this.poll_drain(cx))?;
            if len > COPY_LEN {
                return Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
            }
        }
        for buf in bufs {
            this.kept.extend_from_slice(buf);
        }
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::{io::AsyncReadExt, net::TcpListener, time::timeout};

    async fn pair() -> (Corked, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, server) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (Corked::new(server.unwrap().0), client.unwrap())
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn what_is_written_leaves_when_a_read_waits() {
        run(async {
            let (mut server, mut client) = pair().await;
            server.write_all(b"one").await.unwrap();
            server.write_all(b"two").await.unwrap();
            server.flush().await.unwrap();
            let mut piece = [0; 16];
            let early = timeout(Duration::from_millis(20), client.read(&mut piece)).await;
            assert!(early.is_err(), "before a read waits");
            assert!(timeout(Duration::from_millis(20), server.read(&mut [0; 1])).await.is_err());
            assert_eq!(client.read(&mut piece).await.unwrap(), 6);
            assert_eq!(&piece[..6], b"onetwo");
        });
    }

    #[test]
    fn order_stays_with_short_and_long_writes_and_all_leaves_at_the_end() {
        run(async {
            let (mut server, mut client) = pair().await;
            let mut expected = Vec::new();
            let reading = tokio::spawn(async move {
                let mut all = Vec::new();
                client.read_to_end(&mut all).await.map(|_| all)
            });
            for (byte, len) in (0..).zip([3, 100_000, 7, 20_000, 60_000, 5000, 1, 1_000_000, 2]) {
                let bytes = vec![byte; len];
                server.write_all(&bytes).await.unwrap();
                expected.extend(bytes);
            }
            server.finish().await.unwrap();
            assert!(reading.await.unwrap().unwrap() == expected);
        });
    }
}
