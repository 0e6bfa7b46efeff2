//! What waits to be written: own frames, copied one behind the other, and large or shared payloads by reference.
//!
//! ```text
//! own     ┌──────────────┬────────┬─────────── - -
//!         │ frames       │ header │ frames
//!         └──────────────┴────────┴─────────── - -
//! shared                          ▲ payload, to be written at this place
//! ```

use bytes::{Buf, Bytes};
use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// Shared bytes below this length are copied behind the own frames: one more slice costs more than that. Above it
/// the copy does.
const COPY_LEN: usize = 2048;

/// How many slices one vectored write takes.
const SLICE_COUNT: usize = 64;

/// Written bytes at the front of the own ones are dropped when there are more of them than this.
const COMPACT_LEN: usize = 16 * 1024;

/// Buffers for own frames up to this capacity are used again.
const POOLED_LEN: usize = 256 * 1024;

/// And lists of shared bytes up to this one.
const POOLED_SHARED_COUNT: usize = SLICE_COUNT;

/// Kept per thread. One serves nearly all, as what is queued is mostly written in the same poll.
const POOLED_COUNT: usize = 2;

thread_local! {
    #[allow(clippy::vec_box, reason = "they move in and out by their pointers")]
    static POOL: RefCell<Vec<Box<Waiting>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes in the order in which they leave. It holds no memory while it is empty.
#[derive(Debug, Default)]
pub(crate) struct Output {
    waiting: Option<Box<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    own: Vec<u8>,
    /// How much of `own` is written.
    written_len: usize,
    shared: VecDeque<Shared>,
    shared_len: usize,
}

#[derive(Debug)]
struct Shared {
    /// How many own bytes leave before these.
    at: usize,
    bytes: Bytes,
}

impl Output {
    /// Bytes that wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.len())
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn waiting(&mut self) -> &mut Waiting {
        self.waiting.get_or_insert_with(|| POOL.with_borrow_mut(Vec::pop).unwrap_or_default())
    }

    /// Where own frames are appended.
    #[inline]
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.waiting().own
    }

    /// Whether bytes of this length are better appended by reference than copied to the own ones.
    #[inline]
    pub(crate) const fn takes(len: usize) -> bool {
        len >= COPY_LEN
    }

    /// Appends whole frames or payloads by reference.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        let waiting = self.waiting();
        waiting.shared_len += bytes.len();
        waiting.shared.push_back(Shared { at: waiting.own.len(), bytes });
    }

    /// Writes until nothing waits.
    #[inline]
    pub(crate) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.poll_write(stream, cx))?;
            self.release();
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the memory back, now that nothing waits.
    #[inline]
    fn release(&mut self) {
        let Some(mut waiting) = self.waiting.take() else { return };
        if waiting.own.capacity() <= POOLED_LEN && waiting.shared.capacity() <= POOLED_SHARED_COUNT {
            waiting.own.clear();
            waiting.written_len = 0;
            POOL.with_borrow_mut(|pool| {
                if pool.len() < POOLED_COUNT {
                    pool.push(waiting);
                }
            });
        }
    }
}

impl Waiting {
    #[inline]
    fn len(&self) -> usize {
        self.shared_len + self.own.len() - self.written_len
    }

    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.len() > 0 {
            let poll = if self.shared.is_empty() {
                Pin::new(&mut *stream).poll_write(cx, &self.own[self.written_len..])
            } else {
                let mut slices = [IoSlice::new(&[]); SLICE_COUNT];
                let count = self.slices(&mut slices);
                Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count])
            };
            if poll.is_pending() {
                self.compact();
            }
            let written = ready!(poll)?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// The first of what waits; returns how many slices that are.
    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICE_COUNT]) -> usize {
        let mut position = self.written_len;
        let shared = self.shared.iter().flat_map(|shared| {
            let own = &self.own[position..shared.at];
            position = shared.at;
            [own, &shared.bytes[..]]
        });
        let mut count = 0;
        for bytes in shared.filter(|bytes| !bytes.is_empty()).take(SLICE_COUNT - 1) {
            slices[count] = IoSlice::new(bytes);
            count += 1;
        }
        let last = self.shared.back().map_or(0, |shared| shared.at);
        if count < SLICE_COUNT - 1 && last < self.own.len() {
            slices[count] = IoSlice::new(&self.own[last..]);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut len: usize) {
        while let Some(front) = self.shared.front_mut() {
            let own_len = (front.at - self.written_len).min(len);
            self.written_len += own_len;
            len -= own_len;
            if len < front.bytes.len() {
                front.bytes.advance(len);
                self.shared_len -= len;
                return;
            }
            len -= front.bytes.len();
            self.shared_len -= front.bytes.len();
            self.shared.pop_front();
        }
        self.written_len += len;
    }

    /// Own bytes that are appended to before they are written to their end would grow for ever.
    fn compact(&mut self) {
        if self.written_len > COMPACT_LEN.max(self.own.len() / 2) {
            self.own.drain(..self.written_len);
            for shared in &mut self.shared {
                shared.at -= self.written_len;
            }
            self.written_len = 0;
        }
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
                    output.push(bytes.into());
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
