//! Lines about what strangers do: few enough for a log, with a word on how many were left out.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines in [`PERIOD`]; one more is left out and counted.
const LINES_MAX: u32 = 10;
const PERIOD: Duration = Duration::from_secs(10);

/// One kind of line.
#[derive(Default)]
pub(crate) struct Seldom {
    period: Mutex<Option<(Instant, u32)>>,
    left_out: AtomicU64,
}

impl Seldom {
    /// Whether to write the line, and how many were left out since the last one.
    pub fn allow(&self) -> Option<u64> {
        self.allow_at(Instant::now())
    }

    fn allow_at(&self, now: Instant) -> Option<u64> {
        let mut period = self.period.lock().unwrap_or_else(PoisonError::into_inner);
        let (begun, lines) = match *period {
            Some((begun, lines)) if now.saturating_duration_since(begun) < PERIOD => (begun, lines),
            _ => (now, 0),
        };
        if lines == LINES_MAX {
            self.left_out.fetch_add(1, Relaxed);
            return None;
        }
        *period = Some((begun, lines + 1));
        Some(self.left_out.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_and_then_a_number() {
        let (seldom, now) = (Seldom::default(), Instant::now());
        let told = (0..1_000).filter_map(|_| seldom.allow_at(now)).collect::<Vec<_>>();
        assert_eq!(told, [0; LINES_MAX as usize]);
        assert_eq!(seldom.allow_at(now + PERIOD), Some(1_000 - u64::from(LINES_MAX)));
        assert_eq!(seldom.allow_at(now + PERIOD), Some(0));
    }
}
