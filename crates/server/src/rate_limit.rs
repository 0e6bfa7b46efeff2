//! How often clients may do something.
//!
//! A bucket holds `burst` tokens and gains one every `period / count`. It is kept as the moment at which it will be full, so that
//! it is one number, and nothing happens between two events.
//!
//! ```text
//! now ├─────────────── full_at        tokens missing: (full_at - now) / interval
//!     └ take: full_at += interval, unless it were further away than burst intervals
//! ```

use std::{collections::HashMap, time::Duration};

/// How often something may happen, and what comes of more: see
/// [`Namespace::set_rate_limit`](crate::Namespace::set_rate_limit).
///
/// ```
/// use sockeye::{Excess, RateLimit};
/// use std::time::Duration;
///
/// let typing = RateLimit::new(3, Duration::from_secs(1));
/// let uploads = RateLimit::new(20, Duration::from_secs(60)).burst(5).excess(Excess::Disconnect);
/// # let _ = (typing, uploads);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How long it takes until one more may happen.
    interval: Duration,
    burst: u32,
    excess: Excess,
}

/// What happens when a client exceeds a [`RateLimit`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Excess {
    /// It is refused, and the client can try again: an event is answered with
    /// `{"error": "rate limit exceeded", "data": {"retryAfter": milliseconds}}` if it asked for an acknowledgement.
    #[default]
    Refuse,
    /// The whole connection closes.
    Disconnect,
}

impl RateLimit {
    /// `count` times in every `period` on average, and so many at once at most. 0 means 1.
    pub fn new(count: u32, period: Duration) -> Self {
        let count = count.max(1);
        Self { interval: period / count, burst: count, excess: Excess::default() }
    }

    /// How many may happen at once, after a long rest. Default: the count. 0 means 1.
    #[must_use]
    pub const fn burst(mut self, burst: u32) -> Self {
        self.burst = if burst == 0 { 1 } else { burst };
        self
    }

    /// What comes of more. Default: it is refused.
    #[must_use]
    pub const fn excess(mut self, excess: Excess) -> Self {
        self.excess = excess;
        self
    }
}

/// What is left of one limit.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket {
    full_at: Duration,
}

/// A limit was exceeded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) excess: Excess,
    pub(crate) retry_after: Duration,
}

impl Bucket {
    pub(crate) fn take(&mut self, limit: &RateLimit, now: Duration) -> Result<(), Exceeded> {
        let full_at = self.full_at.max(now).saturating_add(limit.interval);
        let allowed = now.saturating_add(limit.interval.saturating_mul(limit.burst));
        if full_at > allowed {
            return Err(Exceeded { excess: limit.excess, retry_after: full_at - allowed });
        }
        self.full_at = full_at;
        Ok(())
    }
}

/// The limits of a namespace.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateLimits {
    pub(crate) all: Option<RateLimit>,
    pub(crate) events: HashMap<String, RateLimit>,
}

impl RateLimits {
    pub(crate) fn are_set(&self) -> bool {
        self.all.is_some() || !self.events.is_empty()
    }
}

/// What a socket has left of the limits of its namespace.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    all: Bucket,
    /// Only of events that have a limit, so that clients cannot make it grow.
    events: HashMap<String, Bucket>,
}

impl Limiter {
    /// An event arrives. That of its name counts first, so that what it refuses takes nothing of the common one.
    pub(crate) fn take(
        &mut self,
        all: Option<&RateLimit>,
        of_event: Option<&RateLimit>,
        event: &str,
        now: Duration,
    ) -> Result<(), Exceeded> {
        if let Some(limit) = of_event {
            match self.events.get_mut(event) {
                Some(bucket) => bucket.take(limit, now)?,
                None => self.events.entry(event.to_owned()).or_default().take(limit, now)?,
            }
        }
        all.map_or(Ok(()), |limit| self.all.take(limit, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn exceeded(retry_after: u64) -> Result<(), Exceeded> {
        Err(Exceeded { excess: Excess::Refuse, retry_after: ms(retry_after) })
    }

    #[test]
    fn burst_passes_at_once_and_then_one_per_interval() {
        let limit = RateLimit::new(10, ms(1000)).burst(3);
        let mut bucket = Bucket::default();
        for start in [0, 5000] {
            for _ in 0..3 {
                assert_eq!(bucket.take(&limit, ms(start)), Ok(()));
            }
            assert_eq!(bucket.take(&limit, ms(start)), exceeded(100));
            assert_eq!(bucket.take(&limit, ms(start + 99)), exceeded(1));
            assert_eq!(bucket.take(&limit, ms(start + 100)), Ok(()));
            assert_eq!(bucket.take(&limit, ms(start + 100)), exceeded(100));
        }
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let limit = RateLimit::new(1, ms(1000));
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(&limit, ms(0)), Ok(()));
        for now in 1..1000 {
            assert_eq!(bucket.take(&limit, ms(now)), exceeded(1000 - now));
        }
        assert_eq!(bucket.take(&limit, ms(1000)), Ok(()));
    }

    #[test]
    fn no_more_than_the_rate_pass_however_the_events_are_spread() {
        let limit = RateLimit::new(50, ms(1000)).burst(10);
        let mut bucket = Bucket::default();
        let passed = (0..10_000).filter(|&now| bucket.take(&limit, ms(now)).is_ok()).count();
        assert!((500..=510).contains(&passed), "{passed}");
    }

    #[test]
    fn durations_without_end_do_not_overflow() {
        let limit = RateLimit::new(1, Duration::MAX).burst(u32::MAX);
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            assert_eq!(bucket.take(&limit, ms(1)), Ok(()));
        }
    }

    #[test]
    fn zero_means_one() {
        let limit = RateLimit::new(0, ms(100)).burst(0);
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(&limit, ms(0)), Ok(()));
        assert_eq!(bucket.take(&limit, ms(0)), exceeded(100));
    }

    #[test]
    fn limit_of_an_event_keeps_it_from_the_common_one() {
        let (all, typing) = (RateLimit::new(3, ms(3000)), RateLimit::new(1, ms(1000)));
        let mut limiter = Limiter::default();
        assert_eq!(limiter.take(Some(&all), Some(&typing), "typing", ms(0)), Ok(()));
        for _ in 0..10 {
            assert!(limiter.take(Some(&all), Some(&typing), "typing", ms(0)).is_err());
        }
        assert_eq!(limiter.take(Some(&all), None, "a", ms(0)), Ok(()));
        assert_eq!(limiter.take(Some(&all), None, "b", ms(0)), Ok(()));
        assert!(limiter.take(Some(&all), None, "c", ms(0)).is_err());
        assert_eq!(limiter.events.len(), 1);
    }
}
