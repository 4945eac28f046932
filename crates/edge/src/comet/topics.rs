//! Rooms and who wants their pushes: publish and subscribe by room, in constant time.
//!
//! Holds connections, so a user with two connections stays subscribed until the last one leaves.
//!
//! **Invariant:** a room without subscribers takes no memory.

use super::peer::Peer;
use skein_domain::id::{ConversationId, SessionId};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const SHARDS: usize = 64;

type Subscribers = HashMap<SessionId, Arc<Peer>>;

pub(super) struct Topics {
    shards: Vec<RwLock<HashMap<ConversationId, Subscribers>>>,
}

impl Topics {
    pub fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }

    pub fn add_subscriber(&self, room: ConversationId, session: SessionId, peer: Arc<Peer>) {
        self.write(room).entry(room).or_default().insert(session, peer);
    }

    pub fn delete_subscriber(&self, room: ConversationId, session: SessionId) {
        let mut shard = self.write(room);
        if let Some(subscribers) = shard.get_mut(&room) {
            subscribers.remove(&session);
            if subscribers.is_empty() {
                shard.remove(&room);
            }
        }
    }

    pub fn subscribers(&self, room: ConversationId) -> Vec<Arc<Peer>> {
        self.read(room).get(&room).map(|subscribers| subscribers.values().cloned().collect()).unwrap_or_default()
    }

    /// Rooms, and subscriptions in all of them.
    pub fn counts(&self) -> (usize, usize) {
        let count = |shard: &RwLock<HashMap<ConversationId, Subscribers>>| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            (shard.len(), shard.values().map(HashMap::len).sum::<usize>())
        };
        self.shards.iter().map(count).fold((0, 0), |sum, shard| (sum.0 + shard.0, sum.1 + shard.1))
    }

    fn shard(&self, room: ConversationId) -> &RwLock<HashMap<ConversationId, Subscribers>> {
        &self.shards[room.0.unsigned_abs() as usize % SHARDS]
    }

    fn read(&self, room: ConversationId) -> RwLockReadGuard<'_, HashMap<ConversationId, Subscribers>> {
        self.shard(room).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, room: ConversationId) -> RwLockWriteGuard<'_, HashMap<ConversationId, Subscribers>> {
        self.shard(room).write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Form, Transport, Variant};
    use super::*;
    use skein_domain::id::Generation;
    use skein_protocol::Codec;
    use std::time::Instant;

    fn peer(generation: i64) -> Arc<Peer> {
        let variant = Variant { transport: Transport::Tcp, form: Form::Frame(Codec::Protobuf), deflate: false };
        Arc::new(Peer::new(Generation(generation), variant, 0, 0))
    }

    #[test]
    fn only_subscribers_are_found_until_they_leave() {
        let topics = Topics::new();
        let (lobby, other) = (ConversationId(1), ConversationId(1 + SHARDS as i64));
        topics.add_subscriber(lobby, SessionId(1), peer(1));
        topics.add_subscriber(lobby, SessionId(2), peer(2));
        topics.add_subscriber(other, SessionId(3), peer(3));
        assert_eq!(topics.subscribers(lobby).len(), 2);
        topics.delete_subscriber(lobby, SessionId(1));
        topics.delete_subscriber(lobby, SessionId(1));
        let left: Vec<i64> = topics.subscribers(lobby).iter().map(|peer| peer.generation.0).collect();
        assert_eq!(left, [2]);
        topics.delete_subscriber(lobby, SessionId(2));
        assert_eq!(topics.counts(), (1, 1), "the empty room is gone");
    }

    /// A scan of the members would make the last thousand about a hundred times dearer than the first.
    #[test]
    fn joining_and_leaving_a_crowd_costs_what_joining_a_few_costs() {
        let topics = Topics::new();
        let room = ConversationId(1);
        let shared = peer(1);
        let thousand = |from: i64| {
            let start = Instant::now();
            for session in from..from + 1_000 {
                topics.add_subscriber(room, SessionId(session), shared.clone());
                topics.delete_subscriber(room, SessionId(session));
            }
            start.elapsed()
        };
        topics.add_subscriber(room, SessionId(0), shared.clone());
        let few = (0..5).map(|_| thousand(1)).min().unwrap_or_default();
        for session in 0..100_000 {
            topics.add_subscriber(room, SessionId(session), shared.clone());
        }
        let crowd = (0..5).map(|_| thousand(100_000)).min().unwrap_or_default();
        assert!(crowd < few * 20, "{few:?} became {crowd:?}");
    }
}
