//! A socket that is none: it copies what is read and written as the system calls would, and never waits.

use std::{
    hint::black_box,
    io::{self, IoSlice, Read, Write},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Gives bytes to a reader, each as often as it is read, and takes bytes from a writer.
#[derive(Debug)]
pub struct Memory<'a> {
    source: &'a [u8],
    scratch: Vec<u8>,
    written_len: u64,
}

/// Where written bytes go: the first-level cache, as with a socket whose buffer is sent at once.
const SCRATCH_LEN: usize = 16 * 1024;

impl<'a> Memory<'a> {
    /// Gives the bytes of `source`, then the end of the stream.
    #[must_use]
    pub fn new(source: &'a [u8]) -> Self {
        Self { source, scratch: vec![0; SCRATCH_LEN], written_len: 0 }
    }

    /// Copies as much as `buffer` takes.
    #[inline]
    pub fn take(&mut self, buffer: &mut [u8]) -> usize {
        let (now, later) = self.source.split_at(buffer.len().min(self.source.len()));
        buffer[..now.len()].copy_from_slice(now);
        self.source = later;
        now.len()
    }

    /// Copies `len` bytes, or as much as `buffer` takes.
    #[inline]
    pub fn take_up_to(&mut self, len: usize, buffer: &mut [u8]) -> usize {
        let len = len.min(buffer.len());
        self.take(&mut buffer[..len])
    }

    /// The next `len` bytes, or what is left.
    #[inline]
    pub fn next_bytes(&mut self, len: usize) -> &'a [u8] {
        let (now, later) = self.source.split_at(len.min(self.source.len()));
        self.source = later;
        now
    }

    /// Copies all of `bytes` to where nobody looks.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        for block in bytes.chunks(SCRATCH_LEN) {
            self.scratch[..block.len()].copy_from_slice(block);
            black_box(&mut self.scratch);
        }
        self.written_len += bytes.len() as u64;
    }

    /// How many bytes were written.
    #[must_use]
    pub const fn written_len(&self) -> u64 {
        self.written_len
    }
}

impl Read for Memory<'_> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.take(buffer))
    }
}

impl Write for Memory<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Memory<'_> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(self.next_bytes(buffer.remaining()));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Memory<'_> {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.put(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        slices.iter().for_each(|slice| self.put(slice));
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl futures_util::io::AsyncRead for Memory<'_> {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.get_mut().take(buffer)))
    }
}

impl futures_util::io::AsyncWrite for Memory<'_> {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.put(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl wtx::stream::StreamReader for Memory<'_> {
    #[inline]
    async fn read(&mut self, buffer: &mut [u8]) -> wtx::Result<usize> {
        Ok(self.take(buffer))
    }
}

impl wtx::stream::StreamWriter for Memory<'_> {
    #[inline]
    async fn write_all(&mut self, bytes: &[u8]) -> wtx::Result<()> {
        self.put(bytes);
        Ok(())
    }

    #[inline]
    async fn write_all_vectored(&mut self, slices: &[&[u8]]) -> wtx::Result<()> {
        slices.iter().for_each(|slice| self.put(slice));
        Ok(())
    }
}

/// Runs a future that only waits for a [`Memory`], and so never waits.
///
/// # Panics
/// When it waits.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("memory is always ready"),
    }
}
