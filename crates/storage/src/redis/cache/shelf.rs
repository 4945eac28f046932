//! The tier in memory: few values, for a moment.
//!
//! **Bound:** [`KEPT_MAX`] values for [`KEPT`] each; a full shelf is cleared.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const KEPT_MAX: usize = 10_000;
/// Another node's change is seen here so much later.
const KEPT: Duration = Duration::from_secs(2);

pub(super) struct Shelf<K, T> {
    inner: Mutex<Inner<K, T>>,
}

struct Inner<K, T> {
    values: HashMap<K, (T, Instant)>,
    /// Counts what was taken away; a value read before that is not put.
    changes: u64,
}

impl<K: Eq + Hash, T: Clone> Shelf<K, T> {
    pub(super) fn new() -> Self {
        Self { inner: Mutex::new(Inner { values: HashMap::new(), changes: 0 }) }
    }

    pub(super) fn get(&self, key: &K) -> Option<T> {
        let inner = self.lock();
        inner.values.get(key).filter(|(_, until)| Instant::now() < *until).map(|(value, _)| value.clone())
    }

    /// Before a read whose result may be put.
    pub(super) fn changes(&self) -> u64 {
        self.lock().changes
    }

    pub(super) fn put(&self, values: impl Iterator<Item = (K, T)>, changes: u64) {
        let mut inner = self.lock();
        if inner.changes != changes {
            return;
        }
        for (key, value) in values {
            if inner.values.len() >= KEPT_MAX {
                inner.values.clear();
            }
            inner.values.insert(key, (value, Instant::now() + KEPT));
        }
    }

    pub(super) fn take_away(&self, key: &K) {
        let mut inner = self.lock();
        inner.changes += 1;
        inner.values.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K, T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
