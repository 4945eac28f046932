//! Time as a node's connections see it: monotonic milliseconds since the node's start, and generations.

use skein_domain::id::Generation;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub(super) struct Ticks {
    start: Instant,
    generation: AtomicI64,
}

impl Ticks {
    pub fn new() -> Self {
        Self { start: Instant::now(), generation: AtomicI64::new(0) }
    }

    pub fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Larger than every one before: wall-clock milliseconds in the high bits, so that it also holds across nodes and restarts.
    pub fn next_generation(&self) -> Generation {
        let floor = unix_ms() << Generation::COUNTER_BITS;
        let next = |last: i64| Some(floor.max(last.saturating_add(1)));
        match self.generation.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(last) | Err(last) => Generation(floor.max(last.saturating_add(1))),
        }
    }
}

pub(super) fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_grow_also_from_many_threads() {
        let ticks = Ticks::new();
        let mut all: Vec<i64> = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..1_000).map(|_| ticks.next_generation().0).collect::<Vec<_>>())).collect();
            workers.into_iter().flat_map(|worker| worker.join().expect("worker ends")).collect()
        });
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4_000);
        assert!(all[0] >> Generation::COUNTER_BITS > 1_700_000_000_000);
    }
}
