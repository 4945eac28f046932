//! How much is committed and not yet published, and from where on that is too much.
//!
//! **Invariant:** beyond the bound nothing new is taken on; what was stored is acked all the same. Readers and what is not
//! an entry go on.
//!
//! **Bound:** `max` revisions over all shards, as far as the relays have told: at a standstill that is half a second ago. Of
//! shards that other nodes relay it is what the store knows: what they published in the last second may be missing.

use skein_domain::id::Shard;
use skein_domain::{Code, Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const RETRY_MS: i64 = 1_000;

/// A cheap handle; clone it freely.
#[derive(Clone)]
pub(crate) struct Backlog {
    lags: Arc<[AtomicI64]>,
    max: i64,
}

impl Backlog {
    pub(crate) fn new(shards: u16, max: u32) -> Self {
        Self { lags: (0..shards).map(|_| AtomicI64::new(0)).collect(), max: max.into() }
    }

    pub(crate) fn tell(&self, shard: Shard, lag: i64) {
        if let Some(told) = self.lags.get(usize::from(shard.0)) {
            told.store(lag, Ordering::Relaxed);
        }
        metrics::gauge!("skein_outbox_lag_revisions", "shard" => shard.0.to_string()).set(lag as f64);
    }

    /// `busy` beyond the bound.
    pub(crate) fn check(&self) -> Result<()> {
        let lag: i64 = self.lags.iter().map(|lag| lag.load(Ordering::Relaxed)).sum();
        if lag <= self.max {
            return Ok(());
        }
        metrics::counter!("skein_outbox_refused_total").increment(1);
        Err(Error::new(Code::Busy, "too many messages wait to be delivered").retry_after(RETRY_MS))
    }
}
