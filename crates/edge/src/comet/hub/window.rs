//! The last batches that were delivered, so that a repeated one is not delivered again.

use skein_domain::delivery::Origin;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// Batches remembered; of an older one a repetition is delivered again, which changes nothing on a client's screen.
pub(super) const WINDOW: usize = 10_000;

#[derive(Default)]
pub(super) struct Window {
    known: HashSet<Arc<Origin>>,
    order: VecDeque<Arc<Origin>>,
}

impl Window {
    pub fn has(&self, origin: &Origin) -> bool {
        self.known.contains(origin)
    }

    pub fn add(&mut self, origin: Origin) {
        let origin = Arc::new(origin);
        if !self.known.insert(origin.clone()) {
            return;
        }
        self.order.push_back(origin);
        if self.order.len() > WINDOW
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.order.len()
    }
}
