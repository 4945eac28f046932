//! A node's guests by key: who they are, what they accept, which room they are in.
//!
//! **Invariant:** a key has one connection here, the one with the largest generation; an older one is told to close, and
//! nobody waits for it.
//!
//! **Invariant:** a guest that leaves takes its place in its room along, and nothing of a newer one of its key.
//!
//! **Bound:** a guest accepts [`ACCEPTS_MAX`] operations; further ones are left out.
//!
//! Locks: guests before rooms before a peer's own.

use super::index::Index;
use crate::comet::peer::Peer;
use skein_domain::delivery::Control;
use skein_domain::id::Generation;
use skein_domain::live::{Audience, Guest, GuestKey, GuestRef, Mid, Operation, RoomName};
use skein_protocol::CloseCode;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;
pub(in crate::comet) const ACCEPTS_MAX: usize = 256;

pub(in crate::comet) struct Guests {
    index: Arc<Index>,
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<GuestKey, Seat>>>,
}

struct Seat {
    peer: Arc<Peer>,
    mid: Mid,
    room: Option<RoomName>,
    accepts: Vec<Operation>,
    platform: String,
    tags: Vec<String>,
    address: IpAddr,
}

impl Guests {
    pub fn new(index: Arc<Index>) -> Self {
        Self { index, hasher: RandomState::new(), shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// From now on pushes find the guest. `since_ms`: when its log-in began; an order to close it that came since is
    /// obeyed now. `false`: a newer connection of the key sits here already.
    pub fn enter(&self, guest: Guest, peer: &Arc<Peer>, address: IpAddr, since_ms: u64) -> bool {
        let Guest { mid, key, room, accepts, platform, tags } = guest;
        let me = GuestRef { key: key.clone(), generation: peer.generation };
        let mut seats = self.lock(&key);
        if seats.get(&key).is_some_and(|seat| seat.peer.generation > peer.generation) {
            return false;
        }
        if let Some(older) = seats.remove(&key) {
            self.clear(&older);
            older.peer.order_close(CloseCode::Replaced);
        }
        if let Some(room) = &room {
            self.index.rooms.join(room, peer, false);
        }
        self.index.addresses.add(address);
        let mut seat = Seat { peer: peer.clone(), mid, room, accepts: Vec::new(), platform, tags, address };
        seat.accept(&accepts);
        seats.insert(key, seat);
        drop(seats);
        let of_mine = |control: &Control| matches!(control, Control::CloseGuest { guest } if *guest == me);
        if !self.index.missed.since(since_ms, of_mine).is_empty() {
            peer.order_close(CloseCode::Replaced);
        }
        true
    }

    /// Idempotent; a newer connection of the key stays.
    pub fn leave(&self, guest: &GuestRef) {
        let mut seats = self.lock(&guest.key);
        let is_mine = seats.get(&guest.key).is_some_and(|seat| seat.peer.generation == guest.generation);
        if is_mine && let Some(seat) = seats.remove(&guest.key) {
            self.clear(&seat);
        }
    }

    fn clear(&self, seat: &Seat) {
        if let Some(room) = &seat.room {
            self.index.rooms.leave(room, seat.peer.generation);
        }
        self.index.addresses.remove(seat.address);
    }

    pub fn change_room(&self, guest: &GuestRef, room: Option<&RoomName>) {
        self.change(guest, |seat| {
            if let Some(left) = seat.room.take() {
                self.index.rooms.leave(&left, guest.generation);
            }
            if let Some(room) = room {
                self.index.rooms.join(room, &seat.peer, false);
            }
            seat.room = room.cloned();
        });
    }

    pub fn accept(&self, guest: &GuestRef, operations: &[Operation]) {
        self.change(guest, |seat| seat.accept(operations));
    }

    pub fn refuse(&self, guest: &GuestRef, operations: &[Operation]) {
        self.change(guest, |seat| seat.accepts.retain(|accepted| !operations.contains(accepted)));
    }

    fn change(&self, guest: &GuestRef, change: impl FnOnce(&mut Seat)) {
        let mut seats = self.lock(&guest.key);
        if let Some(seat) = seats.get_mut(&guest.key).filter(|seat| seat.peer.generation == guest.generation) {
            change(seat);
        }
    }

    /// `false`: no such guest here.
    pub fn close(&self, guest: &GuestRef) -> bool {
        let seats = self.lock(&guest.key);
        let seat = seats.get(&guest.key).filter(|seat| seat.peer.generation == guest.generation);
        seat.inspect(|seat| seat.peer.order_close(CloseCode::Replaced)).is_some()
    }

    /// The connection of the key, if it accepts the operation.
    pub fn accepting(&self, key: &GuestKey, operation: Operation) -> Option<Arc<Peer>> {
        self.lock(key).get(key).filter(|seat| seat.accepts.contains(&operation)).map(|seat| seat.peer.clone())
    }

    pub fn audience(&self, audience: &Audience, operation: Operation) -> Vec<Arc<Peer>> {
        let wanted = |seat: &&Seat| seat.accepts.contains(&operation) && audience.fits(&seat.platform, &seat.tags);
        self.collect(|_, seat| Some(seat).filter(wanted).map(|seat| seat.peer.clone()))
    }

    pub fn live(&self) -> Vec<(Mid, GuestRef)> {
        self.collect(|key, seat| Some((seat.mid, reference(key, seat.peer.generation))))
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    fn collect<T>(&self, each: impl Fn(&GuestKey, &Seat) -> Option<T>) -> Vec<T> {
        let of_shard = |shard: &Mutex<HashMap<GuestKey, Seat>>| {
            let seats = shard.lock().unwrap_or_else(PoisonError::into_inner);
            seats.iter().filter_map(|(key, seat)| each(key, seat)).collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(of_shard).collect()
    }

    fn lock(&self, key: &GuestKey) -> MutexGuard<'_, HashMap<GuestKey, Seat>> {
        self.shards[self.hasher.hash_one(key) as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn accept(&mut self, operations: &[Operation]) {
        for operation in operations {
            if self.accepts.len() < ACCEPTS_MAX && !self.accepts.contains(operation) {
                self.accepts.push(*operation);
            }
        }
    }
}

fn reference(key: &GuestKey, generation: Generation) -> GuestRef {
    GuestRef { key: key.clone(), generation }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comet::wire::{Form, Transport, Variant};

    fn guests() -> Guests {
        Guests::new(Arc::new(Index::new()))
    }

    fn key(text: &str) -> GuestKey {
        GuestKey::parse(text).unwrap()
    }

    fn room(text: &str) -> RoomName {
        RoomName::parse(text).unwrap()
    }

    fn peer(generation: i64) -> Arc<Peer> {
        let variant = Variant { transport: Transport::Tcp, form: Form::Goim, deflate: false };
        Arc::new(Peer::new(Generation(generation), variant, 0, 0))
    }

    fn enter(guests: &Guests, name: &str, generation: i64) -> Arc<Peer> {
        let peer = peer(generation);
        let (platform, tags) = ("ios".to_owned(), vec!["vip".to_owned()]);
        let guest = Guest { mid: Mid(1), key: key(name), room: Some(room("live://1")), accepts: vec![1000], platform, tags };
        guests.enter(guest, &peer, IpAddr::from([127, 0, 0, 1]), 0);
        peer
    }

    #[test]
    fn the_newer_connection_of_a_key_stays_and_the_older_takes_nothing_along() {
        let guests = guests();
        let older = enter(&guests, "k", 1);
        let newer = enter(&guests, "k", 2);
        assert_eq!(older.orders().close, Some(CloseCode::Replaced));
        guests.leave(&reference(&key("k"), Generation(1)));
        assert_eq!((guests.len(), guests.index.rooms.count(&room("live://1")), guests.index.addresses.len()), (1, 1, 1));
        assert_eq!(guests.accepting(&key("k"), 1000).unwrap().generation, newer.generation);
        enter(&guests, "k", 1);
        assert_eq!(guests.live(), [(Mid(1), reference(&key("k"), Generation(2)))], "an older one comes too late");
        guests.leave(&reference(&key("k"), Generation(2)));
        assert_eq!((guests.len(), guests.index.rooms.count(&room("live://1")), guests.index.addresses.len()), (0, 0, 0));
    }

    #[test]
    fn a_guest_is_in_one_room_and_hears_what_it_accepts() {
        let guests = guests();
        enter(&guests, "k", 1);
        let me = reference(&key("k"), Generation(1));
        guests.change_room(&me, Some(&room("live://2")));
        assert_eq!(guests.index.rooms.online(), [(room("live://2"), 1)]);
        guests.change_room(&me, None);
        assert_eq!(guests.index.rooms.online(), []);
        guests.accept(&me, &[1001, 1000]);
        guests.refuse(&me, &[1000]);
        assert!(guests.accepting(&me.key, 1000).is_none() && guests.accepting(&me.key, 1001).is_some());
        guests.accept(&me, &(0..1_000).collect::<Vec<_>>());
        assert!(guests.accepting(&me.key, 254).is_some() && guests.accepting(&me.key, 255).is_none());
    }

    #[test]
    fn an_audience_is_chosen_by_operation_platform_and_tag() {
        let guests = guests();
        enter(&guests, "k", 1);
        let found = |platforms: &[&str], tags: &[&str], operation| {
            let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            guests.audience(&Audience { platforms: texts(platforms), tags: texts(tags), speed: None }, operation).len()
        };
        assert_eq!((found(&[], &[], 1000), found(&[], &[], 1001)), (1, 0));
        assert_eq!((found(&["ios", "web"], &["vip"], 1000), found(&["web"], &[], 1000), found(&[], &["x"], 1000)), (1, 0, 0));
    }

    #[test]
    fn an_order_that_came_during_the_log_in_is_obeyed() {
        let guests = guests();
        let me = reference(&key("k"), Generation(1));
        assert!(!guests.close(&me));
        guests.index.missed.remember(5, Control::CloseGuest { guest: me });
        assert_eq!(enter(&guests, "k", 1).orders().close, Some(CloseCode::Replaced));
        assert_eq!(enter(&guests, "k", 2).orders().close, None);
    }
}
