//! The futures of handlers, in memory that is used again.
//!
//! ```text
//! call ──► boxed: a free box of the layout, or a new one ──► poll ──► finished ──► free boxes of the thread
//!                                                                └──► pending: it goes on in its box
//! ```
//! Most handlers finish when they are polled for the first time, so that a few boxes serve all clients of a thread.

use std::{
    alloc::Layout,
    cell::Cell,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio_util::sync::ReusableBoxFuture;

/// How many free boxes a thread keeps at most. Where one lies follows from its length, so that it is found at once.
const FREE_COUNT: usize = 8;

/// Longer futures are allocated anew: their handlers do enough to make up for that.
const MAX_LEN: usize = 4096;

thread_local! {
    static FREE: [Cell<Option<HandlerFuture>>; FREE_COUNT] = const { [const { Cell::new(None) }; FREE_COUNT] };
}

/// The future of a handler.
pub struct HandlerFuture {
    future: ReusableBoxFuture<'static, ()>,
    layout: Layout,
}

impl HandlerFuture {
    #[inline]
    pub(crate) fn new<F: Future<Output = ()> + Send + 'static>(future: F) -> Self {
        let layout = Layout::new::<F>();
        match FREE.with(|free| free[place(layout)].take()) {
            Some(mut free) if free.layout == layout => {
                free.future.set(future);
                free
            }
            // What lay there is of no use to the handler that is called now.
            _ => Self { future: ReusableBoxFuture::new(future), layout },
        }
    }

    /// Leaves the box to others. The future must be finished: it holds nothing any more.
    #[inline]
    pub(crate) fn reuse(self) {
        if self.layout.size() <= MAX_LEN {
            FREE.with(|free| free[place(self.layout)].set(Some(self)));
        }
    }
}

/// Lengths are multiples of 8, mostly.
const fn place(layout: Layout) -> usize {
    layout.size() / 8 % FREE_COUNT
}

impl Future for HandlerFuture {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.future.poll(cx)
    }
}

impl fmt::Debug for HandlerFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandlerFuture")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::pin,
        sync::{Arc, Mutex},
        task::Waker,
    };

    fn finish(mut future: HandlerFuture) {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pin!(&mut future).poll(&mut cx).is_ready());
        future.reuse();
    }

    fn free_count() -> usize {
        FREE.with(|free| {
            let is_there = |place: &Cell<Option<HandlerFuture>>| {
                let free = place.take();
                let is_there = free.is_some();
                place.set(free);
                is_there
            };
            free.iter().filter(|place| is_there(place)).count()
        })
    }

    #[test]
    fn finished_future_leaves_its_box_to_the_next_of_its_layout() {
        let ran = Arc::new(Mutex::new(Vec::new()));
        for number in 0..100_u64 {
            let ran = ran.clone();
            finish(HandlerFuture::new(async move { ran.lock().unwrap().push(number) }));
            assert_eq!(free_count(), 1);
        }
        assert_eq!(*ran.lock().unwrap(), (0..100).collect::<Vec<_>>());
        let numbers = [1_u64; 7];
        let other = HandlerFuture::new(async move { _ = std::hint::black_box(numbers) });
        assert_eq!(free_count(), 1);
        finish(other);
        assert_eq!(free_count(), 2);
    }

    #[test]
    fn finished_future_holds_nothing_in_its_free_box() {
        let held = Arc::new(());
        let own = held.clone();
        finish(HandlerFuture::new(async move { assert_eq!(Arc::strong_count(&own), 2) }));
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn thread_keeps_few_boxes_and_none_that_is_long() {
        finish(HandlerFuture::new(async {
            let long = [0_u8; MAX_LEN];
            std::future::ready(()).await;
            std::hint::black_box(long);
        }));
        assert_eq!(free_count(), 0);
        let futures: Vec<_> = (0..2 * FREE_COUNT).map(|_| HandlerFuture::new(async {})).collect();
        futures.into_iter().for_each(finish);
        assert_eq!(free_count(), 1);
    }
}
