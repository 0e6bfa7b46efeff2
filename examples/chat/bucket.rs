//! The rate limit: a bucket of tokens, of which every request takes one.

use std::time::{Duration, Instant};

const CAPACITY: u32 = 40;

/// How long it takes until there is one token more.
const REFILL: Duration = Duration::from_millis(100);

/// A full bucket allows a burst, for somebody who joins rooms and pastes a few lines; after that the refill is the limit.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// When the bucket is full again: each token taken moves it by a [`REFILL`]. No timer and no counter are needed.
    full_at: Instant,
}

impl Bucket {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long it takes until there is one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let full_at = self.full_at.max(now) + REFILL;
        let until_full = full_at - now;
        match until_full.checked_sub(REFILL * CAPACITY) {
            None | Some(Duration::ZERO) => {
                self.full_at = full_at;
                Ok(())
            }
            Some(missing) => Err(missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_a_burst_and_then_one_request_per_refill() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        for _ in 0..CAPACITY {
            assert_eq!(bucket.take(start), Ok(()));
        }
        assert_eq!(bucket.take(start), Err(REFILL));
        assert_eq!(bucket.take(start + REFILL / 4), Err(REFILL * 3 / 4));
        assert_eq!(bucket.take(start + REFILL), Ok(()));
        assert_eq!(bucket.take(start + REFILL), Err(REFILL));
    }

    #[test]
    fn holds_no_more_than_its_capacity_however_long_nobody_asks() {
        let later = Instant::now() + Duration::from_secs(3600);
        let mut bucket = Bucket::new(Instant::now());
        let taken = (0..100).filter(|_| bucket.take(later).is_ok()).count();
        assert_eq!(taken, 40);
    }
}
