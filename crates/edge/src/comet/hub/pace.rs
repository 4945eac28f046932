//! Pushes that take their time: so many connections a second, beside everything else.
//!
//! One task walks for all of them. Receivers are remembered by their generations, so whoever leaves meanwhile is held by
//! nobody.
//!
//! **Bound:** [`WALKS_MAX`] at a time; one more is refused, and counted. A step serves [`STEP_MAX`] connections of each, and
//! that is the largest speed.

use crate::comet::hub::Hub;
use crate::comet::wire::Encoded;
use skein_domain::delivery::Delivered;
use skein_domain::id::Generation;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

const WALKS_MAX: usize = 16;
/// Steps are so far apart at most; the first is made at once.
const STEP: Duration = Duration::from_millis(20);
const STEP_MAX: usize = 4_096;

#[derive(Default)]
pub(in crate::comet) struct Paced {
    walks: Mutex<Vec<Walk>>,
    begun: Notify,
}

struct Walk {
    push: Encoded,
    receivers: VecDeque<Generation>,
    per_second: u32,
    since: Instant,
    served: u64,
}

impl Paced {
    /// `false`: too many are under way.
    pub fn begin(&self, push: Encoded, receivers: VecDeque<Generation>, per_second: u32) -> bool {
        let mut walks = self.lock();
        if walks.len() >= WALKS_MAX {
            return false;
        }
        walks.push(Walk { push, receivers, per_second: per_second.max(1), since: Instant::now(), served: 0 });
        self.begun.notify_one();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Walk>> {
        self.walks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Walk {
    /// Those whose turn has come.
    fn due(&mut self, now: Instant) -> Vec<Generation> {
        let elapsed_ms = now.saturating_duration_since(self.since).as_millis() as u64;
        let allowed = 1 + elapsed_ms * u64::from(self.per_second) / 1_000;
        let count = (allowed.saturating_sub(self.served) as usize).min(self.receivers.len()).min(STEP_MAX);
        self.served += count as u64;
        self.receivers.drain(..count).collect()
    }
}

impl Hub {
    pub(in crate::comet) async fn walk_for_ever(&self) {
        loop {
            self.paced.begun.notified().await;
            let mut steps = interval(STEP);
            steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !self.paced.lock().is_empty() {
                steps.tick().await;
                self.step(Instant::now());
            }
        }
    }

    fn step(&self, now: Instant) {
        let mut walks = self.paced.lock();
        for walk in walks.iter_mut() {
            for generation in walk.due(now) {
                if let Some(peer) = self.roster.get(generation) {
                    self.offer(&peer, &mut walk.push, &mut Delivered::default());
                }
            }
        }
        walks.retain(|walk| !walk.receivers.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_protocol::{Push, v1};

    #[test]
    fn as_many_are_due_as_the_speed_allows() {
        let since = Instant::now();
        let push = Encoded::new(Push::Notice(v1::Notice::default()));
        let mut walk = Walk { push, receivers: (0..100).map(Generation).collect(), per_second: 10, since, served: 0 };
        assert_eq!(walk.due(since), [Generation(0)]);
        assert_eq!(walk.due(since), []);
        assert_eq!(walk.due(since + Duration::from_millis(250)), [Generation(1), Generation(2)]);
        assert_eq!(walk.due(since + Duration::from_secs(5)).len(), 48);
        assert_eq!(walk.due(since + Duration::from_secs(60)).len(), 49);
    }

    #[test]
    fn beyond_the_bound_a_walk_is_refused() {
        let paced = Paced::default();
        let begin = || paced.begin(Encoded::new(Push::Notice(v1::Notice::default())), [Generation(1)].into(), 1);
        assert!((0..WALKS_MAX).all(|_| begin()));
        assert!(!begin());
    }
}
