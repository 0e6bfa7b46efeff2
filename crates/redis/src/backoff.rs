//! When to try again.

use std::time::Duration;

use crate::Config;

/// Delays that double, each shortened at random by up to half.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(config: &Config) -> Self {
        let (min, max) = (config.min_reconnect_delay, config.max_reconnect_delay);
        Self { min, max, next: min }
    }

    /// It worked: the next failure is the first again.
    pub(crate) const fn reset(&mut self) {
        self.next = self.min;
    }

    pub(crate) fn next_delay(&mut self) -> Duration {
        let delay = self.next.min(self.max);
        self.next = delay.saturating_mul(2);
        let mut random = [0];
        // Without randomness the delay is whole.
        let _ = getrandom::fill(&mut random);
        delay - delay.mul_f64(f64::from(random[0]) / 512.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_start_over() {
        let config = Config::default();
        let mut backoff = Backoff::new(&config);
        for expected in [50, 100, 200, 400, 800, 1600, 2000, 2000] {
            let delay = backoff.next_delay();
            let expected = Duration::from_millis(expected);
            assert!(delay > expected / 2 && delay <= expected, "{delay:?} {expected:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= config.min_reconnect_delay);
    }
}
