//! The queue of throttled broadcasts, for one process: [`BroadcastQueue`].

use super::too_many_wait;
use async_trait::async_trait;
use skein_domain::Result;
use skein_domain::id::{Millis, NodeId};
use skein_domain::live::Priority;
use skein_domain::port::{BROADCASTS_WAITING_MAX, Broadcast, BroadcastQueue, Clock, Place, Queued, broadcasts_running_max};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub struct MemoryBroadcasts {
    clock: Arc<dyn Clock>,
    waiting_max: usize,
    state: Mutex<State>,
}

/// The first is the next.
type Rank = (Reverse<Priority>, Place);

#[derive(Default)]
struct State {
    waiting: BTreeMap<Rank, Broadcast>,
    known: HashMap<Broadcast, Known>,
    running: usize,
    last: Option<Place>,
}

struct Known {
    rank: Rank,
    is_running: bool,
    until: Millis,
}

impl MemoryBroadcasts {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::bounded(clock, BROADCASTS_WAITING_MAX)
    }

    pub fn bounded(clock: Arc<dyn Clock>, waiting_max: usize) -> Self {
        Self { clock, waiting_max, state: Mutex::default() }
    }

    /// Without those whose lease has ended.
    fn state(&self, now: Millis) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = state.known.iter().filter(|(_, known)| known.until <= now).map(|(broadcast, _)| broadcast.clone());
        for broadcast in ended.collect::<Vec<_>>() {
            state.take_out(&broadcast);
        }
        state
    }
}

#[async_trait]
impl BroadcastQueue for MemoryBroadcasts {
    async fn join(&self, broadcast: &Broadcast, priority: Priority, lease_ms: i64) -> Result<Place> {
        let now = self.clock.now();
        let mut state = self.state(now);
        if state.waiting.len() >= self.waiting_max {
            return Err(too_many_wait());
        }
        let place = state.last.map_or(Place(now.0 * 1_000), |last| Place(last.0 + 1).max(Place(now.0 * 1_000)));
        state.last = Some(place);
        state.put(broadcast.clone(), Known { rank: (Reverse(priority), place), is_running: false, until: now.plus(lease_ms) });
        Ok(place)
    }

    async fn renew(&self, node: &NodeId, queued: &[Queued], lease_ms: i64) -> Result<()> {
        let now = self.clock.now();
        let mut state = self.state(now);
        for Queued { number, priority, place, is_running } in queued {
            let broadcast = Broadcast { node: node.clone(), number: *number };
            let known = Known { rank: (Reverse(*priority), *place), is_running: *is_running, until: now.plus(lease_ms) };
            state.take_out(&broadcast);
            state.put(broadcast, known);
        }
        Ok(())
    }

    async fn claim(&self, node: &NodeId, lease_ms: i64) -> Result<Option<u64>> {
        let now = self.clock.now();
        let mut state = self.state(now);
        let Some(((Reverse(priority), place), next)) = state.waiting.first_key_value() else { return Ok(None) };
        if next.node != *node || state.running >= broadcasts_running_max(*priority) {
            return Ok(None);
        }
        let (rank, next) = ((Reverse(*priority), *place), next.clone());
        state.take_out(&next);
        let number = next.number;
        state.put(next, Known { rank, is_running: true, until: now.plus(lease_ms) });
        Ok(Some(number))
    }

    async fn leave(&self, node: &NodeId, broadcasts: &[u64]) -> Result<()> {
        let mut state = self.state(self.clock.now());
        for number in broadcasts {
            state.take_out(&Broadcast { node: node.clone(), number: *number });
        }
        Ok(())
    }
}

impl State {
    fn put(&mut self, broadcast: Broadcast, known: Known) {
        if known.is_running {
            self.running += 1;
        } else {
            self.waiting.insert(known.rank, broadcast.clone());
        }
        self.known.insert(broadcast, known);
    }

    fn take_out(&mut self, broadcast: &Broadcast) {
        match self.known.remove(broadcast) {
            Some(Known { is_running: true, .. }) => self.running -= 1,
            Some(Known { rank, .. }) => drop(self.waiting.remove(&rank)),
            None => {}
        }
    }
}
