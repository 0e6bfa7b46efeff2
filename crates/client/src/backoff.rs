//! How long to wait before the next attempt to reconnect. Without a clock and without a source of random numbers.

use std::time::Duration;

/// Exponential back-off with jitter, as the official client counts it.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    randomization_factor: f64,
    attempt_count: u32,
}

impl Backoff {
    pub(crate) const fn new(min: Duration, max: Duration, randomization_factor: f64) -> Self {
        Self { min, max, randomization_factor, attempt_count: 0 }
    }

    /// How many attempts were asked for since the last [`reset`](Self::reset).
    pub(crate) const fn attempt_count(&self) -> u32 {
        self.attempt_count
    }

    pub(crate) const fn reset(&mut self) {
        self.attempt_count = 0;
    }

    /// The wait before the next attempt: `min` doubled each time, shifted by up to the randomization factor, and then
    /// capped at `max`. `random` is from -1 to 1.
    pub(crate) fn next(&mut self, random: f64) -> Duration {
        let factor = 2f64.powi(i32::try_from(self.attempt_count).unwrap_or(i32::MAX));
        self.attempt_count = self.attempt_count.saturating_add(1);
        let shifted =
            self.min.as_secs_f64() * factor * (1.0 + random.clamp(-1.0, 1.0) * self.randomization_factor);
        Duration::try_from_secs_f64(shifted.min(self.max.as_secs_f64())).unwrap_or(self.max)
    }
}

/// A random number from -1 to 1: half of the clients come earlier than the others after a server's restart.
pub(crate) fn random() -> f64 {
    let mut bytes = [0; 4];
    // Without random numbers all clients come at the same time, which is no reason not to come.
    let _ = getrandom::fill(&mut bytes);
    f64::from(i32::from_ne_bytes(bytes)) / f64::from(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(random: f64, count: usize) -> Vec<u128> {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5), 0.5);
        (0..count).map(|_| backoff.next(random).as_millis()).collect()
    }

    #[test]
    fn waits_double_up_to_the_cap() {
        assert_eq!(waits(0.0, 5), [1000, 2000, 4000, 5000, 5000]);
    }

    #[test]
    fn the_cap_comes_after_the_jitter() {
        assert_eq!(waits(-1.0, 5), [500, 1000, 2000, 4000, 5000]);
        assert_eq!(waits(1.0, 4), [1500, 3000, 5000, 5000]);
        assert_eq!(waits(0.25, 2), [1125, 2250]);
    }

    #[test]
    fn a_reset_starts_again() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(5), 0.0);
        backoff.next(0.0);
        backoff.next(0.0);
        assert_eq!(backoff.attempt_count(), 2);
        backoff.reset();
        assert_eq!(backoff.next(0.0), Duration::from_millis(10));
    }

    #[test]
    fn a_million_attempts_overflow_nothing() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5), 0.5);
        for _ in 0..1_000_000 {
            assert!(backoff.next(-1.0) <= Duration::from_secs(5));
        }
        backoff.attempt_count = u32::MAX;
        assert_eq!(backoff.next(-1.0), Duration::from_secs(5));
        assert_eq!(Backoff::new(Duration::ZERO, Duration::MAX, 0.5).next(1.0), Duration::ZERO);
        let mut longest = Backoff::new(Duration::MAX, Duration::MAX, 1.0);
        assert_eq!(longest.next(1.0), Duration::MAX);
    }

    #[test]
    fn random_numbers_are_on_both_sides() {
        let randoms: Vec<f64> = (0..200).map(|_| random()).collect();
        assert!(randoms.iter().all(|random| (-1.01..=1.0).contains(random)));
        assert!(randoms.iter().any(|random| *random > 0.0) && randoms.iter().any(|random| *random < 0.0));
    }
}
