//! Queues that are bounded in bytes and never make anybody wait.

use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::sync::Notify;

/// Items that wait for one task. Whoever pushes never waits.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    items: Mutex<Items<T>>,
    pushed: Notify,
    max_len: usize,
}

#[derive(Debug)]
struct Items<T> {
    queue: VecDeque<(T, usize)>,
    /// The bytes of all of them.
    len: usize,
}

impl<T> Queue<T> {
    /// A queue of `max_len` bytes at most.
    pub(crate) fn new(max_len: usize) -> Self {
        Self { items: Mutex::new(Items { queue: VecDeque::new(), len: 0 }), pushed: Notify::new(), max_len }
    }

    /// Appends an item of `len` bytes, or gives it back when there is no room for it.
    pub(crate) fn push(&self, item: T, len: usize) -> Result<(), T> {
        {
            let mut items = self.items.lock();
            if len > self.max_len.saturating_sub(items.len) {
                return Err(item);
            }
            items.len += len;
            items.queue.push_back((item, len));
        }
        self.pushed.notify_one();
        Ok(())
    }

    /// Takes what is there, at least one item and at most `count`, in order. Cancel safe.
    pub(crate) async fn take(&self, count: usize) -> Vec<T> {
        loop {
            let pushed = self.pushed.notified();
            {
                let mut items = self.items.lock();
                if !items.queue.is_empty() {
                    let count = count.min(items.queue.len());
                    let mut len = 0;
                    let taken = items.queue.drain(..count).map(|(item, item_len)| {
                        len += item_len;
                        item
                    });
                    let taken = taken.collect();
                    items.len -= len;
                    if items.queue.is_empty() {
                        items.queue.shrink_to(64);
                    }
                    return taken;
                }
            }
            pushed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn items_are_taken_in_order_and_bounded_in_bytes() {
        let queue = Queue::new(10);
        for (item, len) in [("a", 4), ("b", 6), ("c", 0)] {
            assert_eq!(queue.push(item, len), Ok(()));
        }
        assert_eq!(queue.push("d", 1), Err("d"));
        assert_eq!(queue.take(2).await, ["a", "b"]);
        assert_eq!(queue.push("e", 10), Ok(()));
        assert_eq!(queue.push("f", 11), Err("f"));
        assert_eq!(queue.take(9).await, ["c", "e"]);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let queue = std::sync::Arc::new(Queue::new(10));
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.take(1).await }
        });
        tokio::task::yield_now().await;
        queue.push(1, 1).unwrap();
        assert_eq!(waiting.await.unwrap(), [1]);
    }
}
