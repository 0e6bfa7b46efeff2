//! What waits to be written: own frames, copied together, and large or shared ones by reference.

use bytes::{Buf, Bytes};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// Shared bytes up to this length are copied behind the own frames: one more slice costs the kernel more than that.
const COPY_LEN: usize = 512;

/// How many slices one vectored write takes.
const SLICE_COUNT: usize = 64;

/// Written bytes at the front of the tail are dropped when there are more of them than this.
const COMPACT_LEN: usize = 16 * 1024;

/// Above this capacity an empty tail is given back to the allocator.
const KEPT_TAIL_LEN: usize = 512;

/// Bytes in the order in which they leave: `segments`, then `tail`.
#[derive(Debug, Default)]
pub(crate) struct Output {
    segments: VecDeque<Bytes>,
    segments_len: usize,
    tail: Vec<u8>,
    /// How much of the tail is written, while there are no segments.
    tail_written_len: usize,
}

impl Output {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.segments_len + self.tail.len() - self.tail_written_len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where own frames are appended.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// Appends whole frames, by reference when that is cheaper than copying them.
    pub(crate) fn push(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPY_LEN {
            self.tail.extend_from_slice(bytes);
        } else {
            self.seal_tail();
            self.segments_len += bytes.len();
            self.segments.push_back(bytes.clone());
        }
    }

    fn seal_tail(&mut self) {
        if self.tail.len() > self.tail_written_len {
            let mut sealed = Bytes::from(std::mem::take(&mut self.tail));
            sealed.advance(self.tail_written_len);
            self.segments_len += sealed.len();
            self.segments.push_back(sealed);
        }
        self.tail.clear();
        self.tail_written_len = 0;
    }

    /// Writes until nothing waits.
    pub(crate) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let written = if self.segments.is_empty() {
                let poll = Pin::new(&mut *stream).poll_write(cx, &self.tail[self.tail_written_len..]);
                if poll.is_pending() {
                    self.compact_tail();
                }
                ready!(poll)?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICE_COUNT];
                let mut count = 0;
                let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
                for (slice, bytes) in slices.iter_mut().zip(self.segments.iter().map(|b| &b[..]).chain(tail))
                {
                    *slice = IoSlice::new(bytes);
                    count += 1;
                }
                ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        self.tail_written_len = 0;
        if self.tail.capacity() > KEPT_TAIL_LEN {
            self.tail = Vec::new();
        } else {
            self.tail.clear();
        }
        if self.segments.capacity() > SLICE_COUNT {
            self.segments = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }

    /// A tail that is appended to before it was written to its end would grow for ever.
    fn compact_tail(&mut self) {
        if self.tail_written_len > COMPACT_LEN.max(self.tail.len() / 2) {
            self.tail.drain(..self.tail_written_len);
            self.tail_written_len = 0;
        }
    }

    fn advance(&mut self, mut len: usize) {
        while let Some(front) = self.segments.front_mut() {
            if len < front.len() {
                front.advance(len);
                self.segments_len -= len;
                return;
            }
            len -= front.len();
            self.segments_len -= front.len();
            self.segments.pop_front();
        }
        self.tail_written_len += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::task::Waker;

    /// Takes at most `max_len` bytes per write, of several slices only when `vectored`.
    struct Slow {
        written: Vec<u8>,
        max_len: usize,
        vectored: bool,
    }

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let len = bytes.len().min(self.max_len);
            self.written.extend_from_slice(&bytes[..len]);
            Poll::Ready(Ok(len))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            if self.vectored {
                self.poll_write(
                    cx,
                    &slices.iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<_>>(),
                )
            } else {
                let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
                self.as_mut().poll_write(cx, first)
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn write_of_nothing_is_an_error() {
        let mut stream = Slow { written: Vec::new(), max_len: 0, vectored: true };
        let mut output = Output::default();
        output.tail().push(1);
        let Poll::Ready(Err(error)) = output.poll_write(&mut stream, &mut Context::from_waker(Waker::noop()))
        else {
            panic!("a write of nothing must not be tried again for ever");
        };
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }

    proptest! {
        #[test]
        fn bytes_leave_in_order(
            parts in proptest::collection::vec((any::<bool>(), 0usize..1200), 0..200),
            max_len in 1usize..3000,
            vectored: bool,
        ) {
            let mut stream = Slow { written: Vec::new(), max_len, vectored };
            let mut output = Output::default();
            let mut expected = Vec::new();
            for (i, (own, len)) in parts.into_iter().enumerate() {
                let bytes = vec![i.to_le_bytes()[0]; len];
                expected.extend_from_slice(&bytes);
                if own {
                    output.tail().extend_from_slice(&bytes);
                } else {
                    output.push(&bytes.into());
                }
                prop_assert_eq!(output.len() + stream.written.len(), expected.len());
                if i % 7 == 0 {
                    let _ = output.poll_write(&mut stream, &mut Context::from_waker(Waker::noop()));
                }
            }
            let done = output.poll_write(&mut stream, &mut Context::from_waker(Waker::noop()));
            prop_assert!(matches!(done, Poll::Ready(Ok(()))));
            prop_assert!(output.is_empty());
            prop_assert_eq!(stream.written, expected);
        }
    }
}
