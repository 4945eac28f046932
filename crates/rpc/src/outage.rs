//! A link that breaks again and again: how long to wait before the next attempt, when to tell of it, and why it broke.

use std::time::{Duration, Instant};
use tonic::Status;

const RECONNECT_MS: [u64; 5] = [50, 100, 250, 500, 1_000];
/// How often it is told that logic is away, while it is.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// Streams that ended one after the other and answered nothing.
#[derive(Default)]
pub(crate) struct Outage {
    failures: usize,
    told: Option<Instant>,
}

impl Outage {
    /// Another one has ended; how long to wait before the next.
    pub fn count(&mut self, served: bool) -> Duration {
        if served {
            *self = Self::default();
        } else {
            self.failures += 1;
        }
        Duration::from_millis(RECONNECT_MS[self.failures.min(RECONNECT_MS.len() - 1)])
    }

    pub fn is_to_tell(&mut self, now: Instant) -> bool {
        let is_due = self.told.is_none_or(|told| now.duration_since(told) >= TELL_EVERY);
        if is_due {
            self.told = Some(now);
        }
        is_due
    }
}

/// In the words of the other end, or of the system.
pub(crate) fn reason_of(status: &Status) -> String {
    let mut reason = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let said = error.to_string();
        if !reason.contains(&said) {
            reason = format!("{reason}: {said}");
        }
        source = error.source();
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_at_once_then_every_half_minute_and_anew_after_an_answer() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let mut told = |second, served| {
            outage.count(served);
            outage.is_to_tell(start + Duration::from_secs(second))
        };
        let seconds: Vec<u64> = (0..=60).filter(|second| told(*second, false)).collect();
        assert_eq!(seconds, [0, 30, 60]);
        assert!(told(61, true) && !told(62, false));
    }
}
