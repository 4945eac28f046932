//! Pauses between attempts: doubling, jittered, bounded.

use std::time::Duration;

/// Half of each pause is fixed, half is random, so that clients that lost one node do not come back as one.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    cap: Duration,
    attempts: u32,
}

impl Backoff {
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, attempts: 0 }
    }

    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Attempts since the last reset.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The pause before the next attempt: between half of what is due and all of it.
    pub fn next(&mut self) -> Duration {
        let due = self.first.saturating_mul(2_u32.saturating_pow(self.attempts)).min(self.cap);
        self.attempts = self.attempts.saturating_add(1);
        due / 2 + due.mul_f64(random_unit() / 2.0)
    }
}

/// 0 to 1. Without randomness the middle: jitter is a courtesy, not a promise.
pub(crate) fn random_unit() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        let mut due = Duration::from_millis(200);
        for _ in 0..20 {
            let pause = backoff.next();
            assert!(pause >= due / 2 && pause <= due, "{pause:?} of {due:?}");
            due = (due * 2).min(Duration::from_secs(30));
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(200));
    }
}
