//! What became of recent pushes, for one process: [`ReceiptStore`].
//!
//! Bounds: a receipt is kept [`KEPT_MS`] after its last change; of more than [`RECEIPTS_MAX`] the oldest go first.

use async_trait::async_trait;
use skein_domain::Result;
use skein_domain::id::Millis;
use skein_domain::live::{PushId, Receipt};
use skein_domain::port::{Clock, ReceiptStore};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const KEPT_MS: i64 = 10 * 60 * 1_000;
const RECEIPTS_MAX: usize = 200_000;

pub struct MemoryReceipts {
    clock: Arc<dyn Clock>,
    receipts_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    receipts: HashMap<PushId, (Receipt, Millis)>,
    /// When to look at which; in the order in which they were put.
    order: VecDeque<(Millis, PushId)>,
}

impl MemoryReceipts {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::bounded(clock, RECEIPTS_MAX)
    }

    pub fn bounded(clock: Arc<dyn Clock>, receipts_max: usize) -> Self {
        Self { clock, receipts_max, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ReceiptStore for MemoryReceipts {
    async fn put(&self, receipt: Receipt) -> Result<()> {
        let now = self.clock.now();
        let mut state = self.state();
        state.forget(now);
        let (push, expires_at) = (receipt.push.clone(), now.plus(KEPT_MS));
        if state.receipts.insert(push.clone(), (receipt, expires_at)).is_none() {
            state.order.push_back((expires_at, push));
        }
        while state.receipts.len() > self.receipts_max {
            let Some((_, oldest)) = state.order.pop_front() else { break };
            state.receipts.remove(&oldest);
        }
        Ok(())
    }

    async fn add(&self, receipt: Receipt) -> Result<()> {
        let now = self.clock.now();
        let mut state = self.state();
        if let Some((known, expires_at)) = state.receipts.get_mut(&receipt.push).filter(|(_, expires_at)| *expires_at > now) {
            known.found += receipt.found;
            known.queued += receipt.queued;
            known.dropped += receipt.dropped;
            (known.state, known.at) = (receipt.state, receipt.at);
            *expires_at = now.plus(KEPT_MS);
        }
        Ok(())
    }

    async fn get(&self, push: &PushId) -> Result<Option<Receipt>> {
        let now = self.clock.now();
        let state = self.state();
        Ok(state.receipts.get(push).filter(|(_, expires_at)| *expires_at > now).map(|(receipt, _)| receipt.clone()))
    }
}

impl State {
    /// Drops those whose time has come; one that changed since waits again.
    fn forget(&mut self, now: Millis) {
        while self.order.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, push)) = self.order.pop_front() else { return };
            match self.receipts.get(&push).map(|(_, expires_at)| *expires_at) {
                Some(later) if later > now => self.order.push_back((later, push)),
                _ => drop(self.receipts.remove(&push)),
            }
        }
    }
}
