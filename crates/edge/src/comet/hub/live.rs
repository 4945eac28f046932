//! Live rooms: names, and which connections are in each now. Guests and sessions of accounts alike.
//!
//! **Invariant:** joining and leaving take constant time, and a room without anybody takes no memory and has no count.

use crate::comet::peer::Peer;
use skein_domain::id::Generation;
use skein_domain::live::RoomName;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const SHARDS: usize = 64;

pub(in crate::comet) struct LiveRooms {
    hasher: RandomState,
    shards: Vec<RwLock<HashMap<RoomName, Crowd>>>,
    /// What Logic said last of all nodes together.
    everywhere: RwLock<Arc<HashMap<RoomName, u32>>>,
}

/// Generations tell the connections of a node apart.
type Crowd = HashMap<Generation, Listener>;

struct Listener {
    peer: Arc<Peer>,
    wants_presence: bool,
}

impl LiveRooms {
    pub fn new() -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { hasher: RandomState::new(), shards, everywhere: RwLock::default() }
    }

    pub fn join(&self, room: &RoomName, peer: &Arc<Peer>, wants_presence: bool) {
        let listener = Listener { peer: peer.clone(), wants_presence };
        self.write(room).entry(room.clone()).or_default().insert(peer.generation, listener);
    }

    pub fn leave(&self, room: &RoomName, generation: Generation) {
        let mut shard = self.write(room);
        if let Some(crowd) = shard.get_mut(room) {
            crowd.remove(&generation);
            if crowd.is_empty() {
                shard.remove(room);
            }
        }
    }

    pub fn listeners(&self, room: &RoomName) -> Vec<Arc<Peer>> {
        self.collect(room, |_| true)
    }

    /// Those who asked who comes and goes.
    pub fn watchers(&self, room: &RoomName) -> Vec<Arc<Peer>> {
        self.collect(room, |listener| listener.wants_presence)
    }

    fn collect(&self, room: &RoomName, wanted: impl Fn(&Listener) -> bool) -> Vec<Arc<Peer>> {
        let shard = self.read(room);
        let crowd = shard.get(room).into_iter().flat_map(|crowd| crowd.values());
        crowd.filter(|listener| wanted(listener)).map(|listener| listener.peer.clone()).collect()
    }

    /// Connections in the room over all nodes, as far as this one knows; never fewer than are here.
    pub fn count(&self, room: &RoomName) -> u32 {
        let everywhere = self.everywhere.read().unwrap_or_else(PoisonError::into_inner).get(room).copied().unwrap_or_default();
        everywhere.max(self.read(room).get(room).map_or(0, HashMap::len) as u32)
    }

    /// How many are in each room here.
    pub fn online(&self) -> Vec<(RoomName, u32)> {
        let of_shard = |shard: &RwLock<HashMap<RoomName, Crowd>>| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.iter().map(|(room, crowd)| (room.clone(), crowd.len() as u32)).collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(of_shard).collect()
    }

    pub fn learn(&self, everywhere: Vec<(RoomName, u32)>) {
        let learnt = Arc::new(everywhere.into_iter().collect());
        *self.everywhere.write().unwrap_or_else(PoisonError::into_inner) = learnt;
    }

    fn shard(&self, room: &RoomName) -> &RwLock<HashMap<RoomName, Crowd>> {
        &self.shards[self.hasher.hash_one(room) as usize % SHARDS]
    }

    fn read(&self, room: &RoomName) -> RwLockReadGuard<'_, HashMap<RoomName, Crowd>> {
        self.shard(room).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, room: &RoomName) -> RwLockWriteGuard<'_, HashMap<RoomName, Crowd>> {
        self.shard(room).write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comet::wire::{Form, Transport, Variant};

    fn peer(generation: i64) -> Arc<Peer> {
        let variant = Variant { transport: Transport::Tcp, form: Form::Goim, deflate: false };
        Arc::new(Peer::new(Generation(generation), variant, 0, 0))
    }

    #[test]
    fn a_room_is_there_for_as_long_as_somebody_is_in_it() {
        let (rooms, lobby) = (LiveRooms::new(), RoomName::parse("live://1").unwrap());
        rooms.join(&lobby, &peer(1), false);
        rooms.join(&lobby, &peer(2), true);
        rooms.join(&lobby, &peer(2), true);
        assert_eq!((rooms.count(&lobby), rooms.online()), (2, vec![(lobby.clone(), 2)]));
        assert_eq!((rooms.listeners(&lobby).len(), rooms.watchers(&lobby).len()), (2, 1));
        rooms.leave(&lobby, Generation(1));
        rooms.leave(&lobby, Generation(1));
        rooms.leave(&lobby, Generation(2));
        assert_eq!((rooms.count(&lobby), rooms.online()), (0, Vec::new()));
    }

    #[test]
    fn the_count_is_that_of_all_nodes_and_not_below_what_is_here() {
        let (rooms, lobby) = (LiveRooms::new(), RoomName::parse("live://1").unwrap());
        rooms.join(&lobby, &peer(1), false);
        rooms.learn(vec![(lobby.clone(), 7)]);
        assert_eq!(rooms.count(&lobby), 7);
        rooms.learn(Vec::new());
        assert_eq!(rooms.count(&lobby), 1);
    }
}
