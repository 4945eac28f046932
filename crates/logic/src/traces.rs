//! From an append to the fan-out of its entry: the bridge of a trace over the commit.
//!
//! The log does not hold traces. Whoever appends leaves its hop here under the command's author and key before the store
//! is asked, and dispatch takes it out by the entry. Losing one costs the rest of that trace, nothing else.
//!
//! Bound: [`HOPS_MAX`] hops; beyond that the oldest is forgotten and counted.

use skein_domain::entry::Entry;
use skein_domain::id::{IdempotencyKey, Uid};
use skein_domain::trace::Trace;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const HOPS_MAX: usize = 4_096;

type Name = (Uid, IdempotencyKey);

/// A cheap handle; clone it freely.
#[derive(Clone, Default)]
pub(crate) struct Traces {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    hops: HashMap<Name, Trace>,
    /// Also of hops that were taken out.
    order: VecDeque<Name>,
}

impl Traces {
    pub(crate) fn leave(&self, author: Uid, key: &IdempotencyKey, hop: Trace) {
        let mut inner = self.lock();
        if inner.order.len() == HOPS_MAX
            && let Some(oldest) = inner.order.pop_front()
            && inner.hops.remove(&oldest).is_some()
        {
            metrics::counter!("skein_traces_forgotten_total").increment(1);
        }
        inner.order.push_back((author, key.clone()));
        inner.hops.insert((author, key.clone()), hop);
    }

    /// Nothing new was stored.
    pub(crate) fn forget(&self, author: Uid, key: &IdempotencyKey) {
        self.lock().hops.remove(&(author, key.clone()));
    }

    pub(crate) fn take(&self, entry: &Entry) -> Option<Trace> {
        let mut inner = self.lock();
        // Most of the time nothing is traced, and nothing is to be paid.
        if inner.hops.is_empty() { None } else { inner.hops.remove(&(entry.author, entry.key.clone())) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_domain::trace::Sampling;

    fn key(nth: usize) -> IdempotencyKey {
        IdempotencyKey::parse(&format!("k{nth}")).unwrap()
    }

    #[test]
    fn the_oldest_is_forgotten_and_memory_is_bounded() {
        let traces = Traces::default();
        let hop = Sampling::of_share(1.0).begin().unwrap();
        for nth in 0..3 * HOPS_MAX {
            traces.leave(Uid(1), &key(nth), hop);
            if nth % 2 == 0 {
                traces.forget(Uid(1), &key(nth));
            }
        }
        let inner = traces.lock();
        assert_eq!((inner.order.len(), inner.hops.len()), (HOPS_MAX, HOPS_MAX / 2));
        assert!(inner.hops.contains_key(&(Uid(1), key(3 * HOPS_MAX - 1))));
    }
}
