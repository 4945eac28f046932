//! Which guest is where, and how many are in each live room, for one process: [`GuestRegistry`].
//!
//! **Invariant:** at most one entry per key, the one with the largest generation; an entry past its lease counts as gone,
//! and so does what a silent node said. An empty room leaves nothing behind: a report takes the place of the one before.
//!
//! Bounds: [`GUESTS_MAX`] guests, [`NODES_MAX`] nodes with at most [`ROOMS_PER_NODE_MAX`] rooms each.

use super::full;
use async_trait::async_trait;
use skein_domain::id::{Millis, NodeId};
use skein_domain::live::{GuestKey, GuestRef, Mid, ROOMS_PER_NODE_MAX};
use skein_domain::port::{Clock, GuestRegistry, GuestRoute, NodeOnline};
use skein_domain::{Code, Error, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const GUESTS_MAX: usize = 2_000_000;
const NODES_MAX: usize = 1_000;
const SWEEP_EVERY_MS: i64 = 30_000;

pub struct MemoryGuests {
    clock: Arc<dyn Clock>,
    guests_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_key: HashMap<GuestKey, Entry>,
    /// Named guests only: the anonymous are nobody to push to by number.
    by_mid: HashMap<Mid, BTreeSet<GuestKey>>,
    online: BTreeMap<NodeId, (NodeOnline, Millis)>,
    swept_at: Millis,
}

struct Entry {
    route: GuestRoute,
    expires_at: Millis,
}

impl MemoryGuests {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::bounded(clock, GUESTS_MAX)
    }

    pub fn bounded(clock: Arc<dyn Clock>, guests_max: usize) -> Self {
        Self { clock, guests_max, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl GuestRegistry for MemoryGuests {
    async fn register(&self, route: GuestRoute, lease_ms: i64) -> Result<Option<GuestRoute>> {
        let now = self.clock.now();
        let mut state = self.state();
        state.sweep(now, self.guests_max);
        let former = state.live(&route.key, now).cloned();
        match former {
            Some(newer) if newer.generation > route.generation => return Ok(Some(route)),
            None if state.by_key.len() >= self.guests_max => return Err(full()),
            _ => {}
        }
        let older = former.filter(|former| former.generation < route.generation);
        state.insert(Entry { route, expires_at: now.plus(lease_ms) });
        metrics::gauge!("skein_registry_guests").set(state.by_key.len() as f64);
        Ok(older)
    }

    async fn renew(&self, node: &NodeId, live: &[(Mid, GuestRef)], lease_ms: i64) -> Result<Vec<GuestRef>> {
        let now = self.clock.now();
        let mut state = self.state();
        let mut superseded = Vec::new();
        for (mid, guest) in live {
            let route = GuestRoute { mid: *mid, key: guest.key.clone(), node: node.clone(), generation: guest.generation };
            match state.live(&guest.key, now) {
                Some(newer) if newer.generation > guest.generation => superseded.push(guest.clone()),
                None if state.by_key.len() >= self.guests_max => return Err(full()),
                _ => state.insert(Entry { route, expires_at: now.plus(lease_ms) }),
            }
        }
        Ok(superseded)
    }

    async fn remove(&self, node: &NodeId, guest: &GuestRef) -> Result<bool> {
        let now = self.clock.now();
        let mut state = self.state();
        let entry = state.by_key.get(&guest.key);
        if entry.is_none_or(|entry| entry.route.generation != guest.generation || entry.route.node != *node) {
            return Ok(false);
        }
        let removed = state.take(&guest.key);
        metrics::gauge!("skein_registry_guests").set(state.by_key.len() as f64);
        Ok(removed.is_some_and(|entry| entry.expires_at > now))
    }

    async fn by_keys(&self, keys: &[GuestKey]) -> Result<Vec<GuestRoute>> {
        let now = self.clock.now();
        let state = self.state();
        Ok(keys.iter().filter_map(|key| state.live(key, now).cloned()).collect())
    }

    async fn by_mids(&self, mids: &[Mid]) -> Result<Vec<GuestRoute>> {
        let now = self.clock.now();
        let state = self.state();
        let keys = mids.iter().filter_map(|mid| state.by_mid.get(mid)).flatten();
        Ok(keys.filter_map(|key| state.live(key, now).cloned()).collect())
    }

    async fn put_online(&self, online: NodeOnline, lease_ms: i64) -> Result<()> {
        if online.rooms.len() > ROOMS_PER_NODE_MAX {
            return Err(Error::new(Code::TooLarge, "a node reports at most 200000 live rooms"));
        }
        let now = self.clock.now();
        let mut state = self.state();
        state.online.retain(|_, (_, expires_at)| *expires_at > now);
        if state.online.len() >= NODES_MAX && !state.online.contains_key(&online.node) {
            return Err(full());
        }
        state.online.insert(online.node.clone(), (online, now.plus(lease_ms)));
        Ok(())
    }

    async fn online(&self) -> Result<Vec<NodeOnline>> {
        let now = self.clock.now();
        let state = self.state();
        Ok(state.online.values().filter(|(_, expires_at)| *expires_at > now).map(|(online, _)| online.clone()).collect())
    }
}

impl State {
    fn live(&self, key: &GuestKey, now: Millis) -> Option<&GuestRoute> {
        self.by_key.get(key).filter(|entry| entry.expires_at > now).map(|entry| &entry.route)
    }

    fn insert(&mut self, entry: Entry) {
        self.take(&entry.route.key);
        if entry.route.mid != Mid::default() {
            self.by_mid.entry(entry.route.mid).or_default().insert(entry.route.key.clone());
        }
        self.by_key.insert(entry.route.key.clone(), entry);
    }

    fn take(&mut self, key: &GuestKey) -> Option<Entry> {
        let entry = self.by_key.remove(key)?;
        if let Some(keys) = self.by_mid.get_mut(&entry.route.mid) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_mid.remove(&entry.route.mid);
            }
        }
        Some(entry)
    }

    /// Drops what has expired: now and then, and whenever there is no room.
    fn sweep(&mut self, now: Millis, guests_max: usize) {
        if now < self.swept_at.plus(SWEEP_EVERY_MS) && self.by_key.len() < guests_max {
            return;
        }
        self.swept_at = now;
        let expired = self.by_key.iter().filter(|(_, entry)| entry.expires_at <= now);
        for key in expired.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.take(&key);
        }
    }
}
