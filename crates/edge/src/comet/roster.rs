//! Every socket of this node, logged in or not: whom the sweep looks at, and whom a drain tells.
//!
//! **Invariant:** a connection is here from its acceptance until its task has ended.

use super::peer::Peer;
use skein_domain::id::Generation;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;

pub(super) struct Roster {
    shards: Vec<Mutex<HashMap<Generation, Arc<Peer>>>>,
}

impl Roster {
    pub fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    pub fn add(&self, peer: Arc<Peer>) {
        self.shard(peer.generation).insert(peer.generation, peer);
    }

    pub fn remove(&self, generation: Generation) {
        self.shard(generation).remove(&generation);
    }

    pub fn get(&self, generation: Generation) -> Option<Arc<Peer>> {
        self.shard(generation).get(&generation).cloned()
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Visits all, one shard locked at a time, with a turn for others in between.
    pub async fn for_each(&self, mut visit: impl FnMut(&Arc<Peer>)) {
        for shard in &self.shards {
            lock(shard).values().for_each(&mut visit);
            tokio::task::yield_now().await;
        }
    }

    /// The high bits of a generation are a time: both parts take part in the choice.
    fn shard(&self, generation: Generation) -> MutexGuard<'_, HashMap<Generation, Arc<Peer>>> {
        let mixed = (generation.0 ^ (generation.0 >> 20)).unsigned_abs() as usize;
        lock(&self.shards[mixed % SHARDS])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
