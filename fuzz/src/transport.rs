//! A transport that does as it is told: pieces of any length, pending anywhere, errors and ends; and the tasks that
//! wait for it.

use arbitrary::Arbitrary;
use std::{
    cell::RefCell,
    collections::VecDeque,
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// More calls than any input has a reason for.
const MAX_CALL_COUNT: usize = 1_000_000;

/// What the transport does with one read or write.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub enum Step {
    /// Moves at most so many bytes; 0 is 1.
    Bytes(u16),
    /// Moves as much as it is asked to.
    All,
    /// Nothing, until it is asked again.
    Pending,
    /// Pending, or a failure if the next step is `Bytes`: failures should be rare.
    Fail,
}

/// What the transport does behind its script.
#[derive(Arbitrary, Debug, Clone, Copy, PartialEq)]
pub enum End {
    /// The peer ends the transport.
    Eof,
    /// Nothing comes any more.
    Silence,
    /// The transport fails.
    Failure,
}

/// What happens to a transport.
#[derive(Arbitrary, Debug, Clone)]
pub struct Script {
    reads: Vec<Step>,
    writes: Vec<Step>,
    /// Whether each flush or shutdown is pending.
    flushes: Vec<bool>,
    end: End,
    /// Whether a failed write is an error, or one of no bytes.
    fails_with_zero: bool,
    /// Whether all writes behind a failed one fail as well.
    stays_failed: bool,
    /// Whether writes behind the script are pending.
    stuck: bool,
}

#[derive(Debug)]
struct State {
    input: Vec<u8>,
    read_len: usize,
    written: Vec<u8>,
    flushed_len: usize,
    reads: VecDeque<Step>,
    writes: VecDeque<Step>,
    flushes: VecDeque<bool>,
    script: Script,
    /// The reader's and the writer's.
    wakers: [Option<Waker>; 2],
    read_ended: bool,
    write_failed: bool,
    write_waits: bool,
    shutdown: bool,
    frozen: bool,
    call_count: usize,
}

/// A transport, shared with whoever wants to know what became of it.
#[derive(Debug, Clone)]
pub struct Transport(Rc<RefCell<State>>);

impl Transport {
    /// A transport whose peer sends `input`.
    pub fn new(input: Vec<u8>, script: Script) -> Self {
        Self(Rc::new(RefCell::new(State {
            input,
            read_len: 0,
            written: Vec::new(),
            flushed_len: 0,
            reads: script.reads.iter().copied().collect(),
            writes: script.writes.iter().copied().collect(),
            flushes: script.flushes.iter().copied().collect(),
            script,
            wakers: [None, None],
            read_ended: false,
            write_failed: false,
            write_waits: false,
            shutdown: false,
            frozen: false,
            call_count: 0,
        })))
    }

    /// How much was read.
    pub fn read_len(&self) -> usize {
        self.0.borrow().read_len
    }

    /// What was written.
    pub fn written(&self) -> Vec<u8> {
        self.0.borrow().written.clone()
    }

    /// Whether all that was written was flushed.
    pub fn is_flushed(&self) -> bool {
        let state = self.0.borrow();
        state.flushed_len == state.written.len()
    }

    /// Whether the last write, flush or shutdown was pending or failed.
    pub fn write_waits(&self) -> bool {
        self.0.borrow().write_waits
    }

    /// Whether a write has ever failed.
    pub fn write_failed(&self) -> bool {
        self.0.borrow().write_failed
    }

    /// Whether the reader was told of an end or an error.
    pub fn read_ended(&self) -> bool {
        self.0.borrow().read_ended
    }

    /// Whether the writing half was ended.
    pub fn is_shut_down(&self) -> bool {
        self.0.borrow().shutdown
    }

    /// While frozen nothing can be read.
    pub fn freeze(&self, frozen: bool) {
        self.0.borrow_mut().frozen = frozen;
    }

    /// From now on reads and writes do all that they can at once. A transport that failed stays failed.
    pub fn smooth(&self) {
        let mut state = self.0.borrow_mut();
        state.reads.clear();
        state.writes.clear();
        state.flushes.clear();
        state.script.stuck = false;
    }

    /// Tells who waits that there may be something to do.
    pub fn wake(&self) {
        let wakers = std::mem::take(&mut self.0.borrow_mut().wakers);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// What is left of the script: as long as it gets less, trying again makes sense.
    fn rest(&self) -> [usize; 5] {
        let state = self.0.borrow();
        [state.reads.len(), state.writes.len(), state.flushes.len(), state.read_len, state.written.len()]
    }
}

impl State {
    fn call(&mut self) {
        self.call_count += 1;
        assert!(self.call_count < MAX_CALL_COUNT, "the transport is asked for ever");
    }

    fn wait<T>(&mut self, side: usize, cx: &Context<'_>) -> Poll<T> {
        self.write_waits |= side == 1;
        self.wakers[side] = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whoever waited for it was told before it was ready.
    fn ready<T>(&mut self, side: usize, value: T) -> Poll<T> {
        if let Some(waker) = self.wakers[side].take() {
            waker.wake();
        }
        Poll::Ready(value)
    }

    fn next(steps: &mut VecDeque<Step>) -> Step {
        match steps.pop_front() {
            Some(Step::Fail) if !matches!(steps.front(), Some(Step::Bytes(_))) => Step::Pending,
            step => step.unwrap_or(Step::All),
        }
    }

    fn write(&mut self, cx: &Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.call();
        assert!(!self.shutdown, "written behind the end");
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        assert!(len > 0, "a write of nothing");
        self.write_waits = false;
        let step = if self.write_failed && self.script.stays_failed {
            Step::Fail
        } else if self.writes.is_empty() && self.script.stuck {
            Step::Pending
        } else {
            Self::next(&mut self.writes)
        };
        let max_len = match step {
            Step::Bytes(max_len) => usize::from(max_len.max(1)),
            Step::All => len,
            Step::Pending => return self.wait(1, cx),
            Step::Fail => {
                (self.write_failed, self.write_waits) = (true, true);
                let zero = self.script.fails_with_zero;
                return self.ready(1, if zero { Ok(0) } else { Err(io::ErrorKind::BrokenPipe.into()) });
            }
        };
        let len = len.min(max_len);
        self.written.extend(slices.iter().flat_map(|slice| slice.iter()).take(len));
        self.ready(1, Ok(len))
    }

    fn flush(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.call();
        self.write_waits = false;
        if self.flushes.pop_front() == Some(true) {
            return self.wait(1, cx);
        }
        self.flushed_len = self.written.len();
        self.ready(1, Ok(()))
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.0.borrow_mut();
        state.call();
        assert!(buf.remaining() > 0, "a read of nothing");
        if state.frozen {
            return state.wait(0, cx);
        }
        let max_len = match State::next(&mut state.reads) {
            Step::Bytes(max_len) => usize::from(max_len.max(1)),
            Step::All => usize::MAX,
            Step::Pending => return state.wait(0, cx),
            Step::Fail => {
                state.input.truncate(state.read_len);
                state.script.end = End::Failure;
                0
            }
        };
        let len = max_len.min(state.input.len() - state.read_len).min(buf.remaining());
        if len == 0 {
            return match state.script.end {
                End::Silence => state.wait(0, cx),
                end => {
                    state.read_ended = true;
                    let failure = Err(io::ErrorKind::ConnectionReset.into());
                    state.ready(0, if end == End::Eof { Ok(()) } else { failure })
                }
            };
        }
        buf.put_slice(&state.input[state.read_len..state.read_len + len]);
        state.read_len += len;
        state.ready(0, Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.0.borrow_mut();
        let poll = state.flush(cx);
        state.shutdown |= poll.is_ready();
        poll
    }
}

/// A task that polls one future after the other, and drops them as it likes.
#[derive(Debug, Default)]
pub struct Task {
    wakes: Arc<Wakes>,
    /// How often it had been woken when its last future was left pending.
    waits_since: Option<usize>,
}

#[derive(Debug, Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    /// Polls `future` at most so many times, or until it waits for something that does not come; then drops it.
    pub fn drive<T>(
        &mut self,
        transport: &Transport,
        max_poll_count: usize,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = pin!(future);
        let waker = Waker::from(Arc::clone(&self.wakes));
        for _ in 0..max_poll_count {
            let (rest, wakes) = (transport.rest(), self.wakes.0.load(Ordering::Relaxed));
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.waits_since = None;
                return Some(output);
            }
            self.waits_since = Some(wakes);
            if transport.rest() == rest {
                break;
            }
        }
        None
    }

    /// That it waited is over.
    pub fn forget(&mut self) {
        self.waits_since = None;
    }

    /// If it waits, it was woken by now: called after the transport woke whoever it knows of.
    pub fn assert_woken(&mut self, name: &str) {
        if let Some(wakes) = self.waits_since.take() {
            assert!(self.wakes.0.load(Ordering::Relaxed) > wakes, "the task that {name} sleeps for ever");
        }
    }
}
