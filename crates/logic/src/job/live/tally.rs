//! What became of one push, added up over its copies, and written into its receipt.

use skein_domain::id::{Millis, Uid};
use skein_domain::live::{LiveRecord, PushId, PushState, Receipt};
use skein_domain::port::{Clock, ReceiptStore};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

pub(super) struct Tally {
    push: PushId,
    app: Uid,
    /// Copies under way.
    left: AtomicUsize,
    found: AtomicU64,
    queued: AtomicU64,
    /// Something left in time.
    was_sent: AtomicBool,
    has_expired: AtomicBool,
}

impl Tally {
    pub fn of(record: &LiveRecord) -> Self {
        Self::new(record.push.clone(), record.app)
    }

    pub fn new(push: PushId, app: Uid) -> Self {
        Self {
            push,
            app,
            left: AtomicUsize::new(0),
            found: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            was_sent: AtomicBool::new(false),
            has_expired: AtomicBool::new(false),
        }
    }

    pub fn expect(&self, copies: usize) {
        self.left.store(copies, Ordering::Relaxed);
    }

    pub fn deliver(&self, found: u64, queued: u64) {
        self.found.fetch_add(found, Ordering::Relaxed);
        self.queued.fetch_add(queued, Ordering::Relaxed);
        self.was_sent.store(true, Ordering::Relaxed);
    }

    pub fn expire(&self) {
        self.has_expired.store(true, Ordering::Relaxed);
    }

    /// Answers whether that was the last one.
    pub fn settled(&self) -> bool {
        self.left.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// To be added to the receipt once.
    pub fn receipt(&self, at: Millis) -> Receipt {
        let (found, queued) = (self.found.load(Ordering::Relaxed), self.queued.load(Ordering::Relaxed));
        let nobody_in_time = self.has_expired.load(Ordering::Relaxed) && !self.was_sent.load(Ordering::Relaxed);
        let state = if nobody_in_time { PushState::Expired } else { PushState::Delivered };
        Receipt { push: self.push.clone(), app: self.app, state, at, found, queued, dropped: found.saturating_sub(queued) }
    }
}

/// Where it is written down once nothing of a push is under way any more. A cheap handle; clone it freely.
#[derive(Clone)]
pub(crate) struct Ledger {
    receipts: Arc<dyn ReceiptStore>,
    clock: Arc<dyn Clock>,
}

impl Ledger {
    pub(crate) fn new(receipts: Arc<dyn ReceiptStore>, clock: Arc<dyn Clock>) -> Self {
        Self { receipts, clock }
    }

    pub(super) fn now(&self) -> Millis {
        self.clock.now()
    }

    /// One copy less is under way.
    pub(super) async fn settle(&self, outcome: &'static str, tally: &Tally) {
        metrics::counter!("skein_live_copies_total", "outcome" => outcome).increment(1);
        if tally.settled() {
            self.tell(tally).await;
        }
    }

    pub(super) async fn dropped(&self, outcome: &'static str, tally: &Tally) {
        tally.deliver(1, 0);
        self.settle(outcome, tally).await;
    }

    pub(super) async fn tell(&self, tally: &Tally) {
        if let Err(error) = self.receipts.add(tally.receipt(self.now())).await {
            tracing::warn!(%error, "receipt not written");
        }
    }
}
