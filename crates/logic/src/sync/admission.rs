//! How many sync at a time: after a restart everybody does.
//!
//! Bounds: `running_max` run, `waiting_max` wait in order; whoever comes then is answered `busy` with a time to come back,
//! spread so that not all come back at once.

use crate::random;
use skein_domain::{Code, Error, Result};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Semaphore, SemaphorePermit};

const COME_BACK_MS: i64 = 1_000;
const COME_BACK_SPREAD_MS: i64 = 4_000;

pub(super) struct Admission {
    running: Semaphore,
    waiting: AtomicUsize,
    waiting_max: usize,
}

struct Waiting<'a>(&'a AtomicUsize);

impl Admission {
    pub(super) fn new(running_max: usize, waiting_max: usize) -> Self {
        Self { running: Semaphore::new(running_max.max(1)), waiting: AtomicUsize::new(0), waiting_max }
    }

    pub(super) async fn enter(&self) -> Result<SemaphorePermit<'_>> {
        if let Ok(permit) = self.running.try_acquire() {
            return Ok(permit);
        }
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        metrics::gauge!("skein_syncs_waiting").set(ahead as f64 + 1.0);
        if ahead >= self.waiting_max {
            metrics::counter!("skein_syncs_refused_total").increment(1);
            return Err(busy());
        }
        self.running.acquire().await.map_err(|_| busy())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let ahead = self.0.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("skein_syncs_waiting").set(ahead as f64 - 1.0);
    }
}

fn busy() -> Error {
    let come_back_ms = COME_BACK_MS + random::below(COME_BACK_SPREAD_MS);
    Error::new(Code::Busy, "too many are syncing; come back later").retry_after(come_back_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn some_run_some_wait_and_the_rest_come_back_later() {
        let admission = Admission::new(1, 1);
        let running = admission.enter().await.unwrap();
        let mut waiting = Box::pin(admission.enter());
        assert!((&mut waiting).now_or_never().is_none());
        let refused = admission.enter().await.unwrap_err();
        assert_eq!(refused.code, Code::Busy);
        assert!(refused.retry_after_ms.is_some_and(|ms| ms >= COME_BACK_MS));
        drop(running);
        drop(waiting.await.unwrap());
        assert_eq!(admission.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn giving_up_frees_the_place() {
        let admission = Admission::new(1, 1);
        let _running = admission.enter().await.unwrap();
        let mut waiting = Box::pin(admission.enter());
        assert!((&mut waiting).now_or_never().is_none());
        drop(waiting);
        assert_eq!(admission.waiting.load(Ordering::Relaxed), 0);
    }
}
