//! Compact forms of what every session holds: points in time, waits, and sets of what is owed.

use core::time::Duration;

/// Nanoseconds since the driver's epoch: half the size of a [`Duration`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant(u64);

impl Instant {
    pub(super) fn new(since_epoch: Duration) -> Self {
        Self(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn after(self, wait: Millis) -> Self {
        Self(self.0.saturating_add(u64::from(wait.0) * 1_000_000))
    }

    pub(super) const fn since_epoch(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// A wait, a quarter of the size of a [`Duration`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Millis(pub(super) u32);

impl Millis {
    /// Rounds up, so that no wait is shorter than asked for.
    pub(super) fn new(wait: Duration) -> Self {
        Self(u32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX))
    }
}

/// A set of small numbers that is emptied from the lowest.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BitSet(u8);

impl BitSet {
    pub(super) const fn insert(&mut self, bit: u8) {
        self.0 |= 1 << bit;
    }

    pub(super) const fn remove(&mut self, bit: u8) {
        self.0 &= !(1 << bit);
    }

    pub(super) fn pop(&mut self) -> Option<u8> {
        let lowest = u8::try_from(self.0.trailing_zeros()).ok().filter(|bit| *bit < 8)?;
        self.remove(lowest);
        Some(lowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn waits_are_rounded_up_to_milliseconds_and_capped() {
        assert_eq!(Millis::new(Duration::from_nanos(1)).0, 1);
        assert_eq!(Millis::new(Duration::from_micros(1_500)).0, 2);
        assert_eq!(Millis::new(Duration::from_secs(25)).0, 25_000);
        assert_eq!(Millis::new(Duration::MAX).0, u32::MAX);
    }

    #[test]
    fn a_set_is_emptied_from_the_lowest() {
        let mut set = BitSet::default();
        for bit in [7, 0, 3, 3, 5] {
            set.insert(bit);
        }
        set.remove(5);
        assert_eq!(core::iter::from_fn(|| set.pop()).collect::<Vec<_>>(), [0, 3, 7]);
    }
}
