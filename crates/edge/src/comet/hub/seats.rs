//! A node's sessions of accounts: who is logged in, their subscriptions, watches and live rooms.
//!
//! **Invariant:** a session has one connection here, the one with the largest generation; an older one is told `replaced`.
//!
//! **Invariant:** a connection that leaves takes its subscriptions, watches and live rooms with it.
//!
//! **Bound:** a connection is in [`LIVE_ROOMS_MAX`] live rooms.
//!
//! Locks: seats before topics and rooms before a peer's own.

use super::index::Index;
use super::state::ConnectionState;
use crate::comet::peer::Peer;
use crate::comet::topics::Topics;
use skein_domain::account::{DeviceClass, Ended};
use skein_domain::delivery::Control;
use skein_domain::id::{ConnectionRef, ConversationId, SessionId, Uid};
use skein_domain::live::{Audience, Operation, RoomName};
use skein_domain::{Code, Error, Result};
use skein_protocol::CloseCode;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;
const LIVE_ROOMS_MAX: usize = 200;

pub(in crate::comet) struct Seats {
    index: Arc<Index>,
    shards: Vec<Mutex<HashMap<SessionId, Seat>>>,
    topics: Topics,
    watchers: Mutex<HashMap<SessionId, Arc<Peer>>>,
}

/// A logged-in connection.
pub(super) struct Seat {
    uid: Uid,
    pub(super) class: DeviceClass,
    tags: Vec<String>,
    pub(super) address: IpAddr,
    pub(super) peer: Arc<Peer>,
    pub(super) rooms: HashSet<ConversationId>,
    /// Live rooms it asked for, and whether it is in them yet.
    pub(super) live: HashMap<RoomName, bool>,
    accepts: Vec<Operation>,
}

impl Seat {
    fn state(&self, session: SessionId, watches_rooms: bool, now_ms: u64) -> ConnectionState {
        let (peer, variant) = (&self.peer, self.peer.variant());
        let told = peer.told();
        let mut rooms: Vec<_> = self.rooms.iter().copied().collect();
        rooms.sort_unstable();
        let mut live_rooms: Vec<_> = self.live.keys().map(|room| room.as_str().to_owned()).collect();
        live_rooms.sort_unstable();
        ConnectionState {
            session,
            connection: peer.generation,
            class: self.class,
            address: self.address,
            transport: variant.transport.as_str(),
            form: variant.form.as_str(),
            closing: told.is_closed,
            heard_ms_ago: now_ms.saturating_sub(told.heard_ms),
            stalled_ms: told.stalled_ms.map(|since_ms| now_ms.saturating_sub(since_ms)),
            unread_bytes: told.unread_bytes,
            in_flight: told.in_flight,
            queue_bytes: told.queue_bytes,
            resyncing: told.is_resyncing,
            watches_rooms,
            rooms,
            live_rooms,
        }
    }
}

/// Who comes in.
pub(in crate::comet) struct Entry {
    pub session: SessionId,
    pub uid: Uid,
    pub class: DeviceClass,
    pub peer: Arc<Peer>,
    pub address: IpAddr,
    pub rooms: Vec<ConversationId>,
    pub tags: Vec<String>,
}

impl Seats {
    pub fn new(index: Arc<Index>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { index, shards, topics: Topics::new(), watchers: Mutex::default() }
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|seats| lock(seats).len()).sum()
    }

    /// Rooms, and subscriptions in all of them.
    pub fn subscriptions(&self) -> (usize, usize) {
        self.topics.counts()
    }

    pub fn user_of(&self, session: SessionId) -> Option<Uid> {
        self.lock(session).get(&session).map(|seat| seat.uid)
    }

    /// From now on pushes find the connection. `since_ms`: when its log-in began; orders that missed it since are obeyed
    /// now. `false`: a newer connection of the session sits here already.
    pub fn enter(&self, entry: Entry, since_ms: u64) -> bool {
        let Entry { session, uid, class, peer, address, rooms, tags } = entry;
        {
            let mut seats = self.lock(session);
            if seats.get(&session).is_some_and(|seat| seat.peer.generation > peer.generation) {
                return false;
            }
            if let Some(older) = seats.remove(&session) {
                self.clear(session, &older);
                older.peer.order_close(CloseCode::Replaced);
            }
            for room in &rooms {
                self.topics.add_subscriber(*room, session, peer.clone());
            }
            self.index.addresses.add(address);
            let rooms = rooms.into_iter().collect();
            seats.insert(session, Seat { uid, class, tags, address, peer, rooms, live: HashMap::new(), accepts: Vec::new() });
        }
        let of_mine = |control: &Control| session_of(control) == Some(session);
        for control in self.index.missed.since(since_ms, of_mine) {
            self.apply(&control);
        }
        true
    }

    /// Idempotent; a newer connection of the session stays.
    pub fn leave(&self, connection: ConnectionRef) {
        let mut seats = self.lock(connection.session);
        let is_mine = seats.get(&connection.session).is_some_and(|seat| seat.peer.generation == connection.generation);
        if is_mine && let Some(seat) = seats.remove(&connection.session) {
            self.clear(connection.session, &seat);
        }
    }

    fn clear(&self, session: SessionId, seat: &Seat) {
        for room in &seat.rooms {
            self.topics.delete_subscriber(*room, session);
        }
        for room in seat.live.keys() {
            self.index.rooms.leave(room, seat.peer.generation);
        }
        self.index.addresses.remove(seat.address);
        lock(&self.watchers).remove(&session);
    }

    fn change<T>(&self, connection: ConnectionRef, change: impl FnOnce(&mut Seat) -> T) -> Option<T> {
        let mut seats = self.lock(connection.session);
        seats.get_mut(&connection.session).filter(|seat| seat.peer.generation == connection.generation).map(change)
    }

    pub fn watch(&self, connection: ConnectionRef, on: bool) {
        self.change(connection, |seat| match on {
            true => lock(&self.watchers).insert(connection.session, seat.peer.clone()),
            false => lock(&self.watchers).remove(&connection.session),
        });
    }

    // === live rooms ===

    /// The connection asks Logic to let it in.
    pub fn want_live(&self, connection: ConnectionRef, room: &RoomName) -> Result<()> {
        let want = |seat: &mut Seat| {
            if seat.live.len() >= LIVE_ROOMS_MAX && !seat.live.contains_key(room) {
                return Err(Error::new(Code::RoomsFull, "a connection is in at most 200 live rooms"));
            }
            seat.live.entry(room.clone()).or_insert(false);
            Ok(())
        };
        self.change(connection, want).unwrap_or(Ok(()))
    }

    /// Logic has answered. Whoever left meanwhile stays out.
    pub fn join_live(&self, connection: ConnectionRef, room: &RoomName, presence: bool, is_let_in: bool) {
        self.change(connection, |seat| match seat.live.get_mut(room) {
            Some(is_in) if is_let_in => {
                *is_in = true;
                self.index.rooms.join(room, &seat.peer, presence);
            }
            Some(false) => drop(seat.live.remove(room)),
            _ => {}
        });
    }

    pub fn leave_live(&self, connection: ConnectionRef, room: &RoomName) {
        self.change(connection, |seat| {
            if seat.live.remove(room).is_some() {
                self.index.rooms.leave(room, connection.generation);
            }
        });
    }

    /// Instead of what it accepted before.
    pub fn accept(&self, connection: ConnectionRef, operations: Vec<Operation>) {
        self.change(connection, |seat| seat.accepts = operations);
    }

    // === who is to hear something ===

    pub fn find(&self, connection: ConnectionRef) -> Option<Arc<Peer>> {
        self.change(connection, |seat| seat.peer.clone())
    }

    pub fn subscribers(&self, room: ConversationId) -> Vec<Arc<Peer>> {
        self.topics.subscribers(room)
    }

    /// Those who have the room directory open.
    pub fn watchers(&self) -> Vec<Arc<Peer>> {
        lock(&self.watchers).values().cloned().collect()
    }

    pub fn everyone(&self) -> Vec<Arc<Peer>> {
        self.collect(|_, seat| Some(seat.peer.clone()))
    }

    /// A session's platform is its device class, its tags are those of its account.
    pub fn audience(&self, audience: &Audience, operation: Operation) -> Vec<Arc<Peer>> {
        let wanted = |seat: &&Seat| seat.accepts.contains(&operation) && audience.fits(seat.class.as_str(), &seat.tags);
        self.collect(|_, seat| Some(seat).filter(wanted).map(|seat| seat.peer.clone()))
    }

    pub fn live(&self) -> Vec<ConnectionRef> {
        self.collect(|session, seat| Some(ConnectionRef { session, generation: seat.peer.generation }))
    }

    /// Looks at all of them: for administration, not for delivery.
    pub fn sessions_of(&self, uid: Uid) -> Vec<SessionId> {
        self.collect(|session, seat| (seat.uid == uid).then_some(session))
    }

    /// As [`Seats::sessions_of`].
    pub fn states_of(&self, uid: Uid, now_ms: u64) -> Vec<ConnectionState> {
        let watches = |session| lock(&self.watchers).contains_key(&session);
        self.collect(|session, seat| (seat.uid == uid).then(|| seat.state(session, watches(session), now_ms)))
    }

    fn collect<T>(&self, each: impl Fn(SessionId, &Seat) -> Option<T>) -> Vec<T> {
        let of_shard = |seats: &Mutex<HashMap<SessionId, Seat>>| {
            lock(seats).iter().filter_map(|(session, seat)| each(*session, seat)).collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(of_shard).collect()
    }

    // === orders ===

    /// `false`: no such session here.
    pub fn apply(&self, control: &Control) -> bool {
        let Some(session) = session_of(control) else {
            return true;
        };
        let mut seats = self.lock(session);
        let Some(seat) = seats.get_mut(&session) else {
            return false;
        };
        match control {
            Control::Close { up_to, reason, .. } => {
                if seat.peer.generation <= *up_to {
                    seat.peer.order_close(close_code(*reason));
                }
            }
            Control::Subscribe { room, .. } => {
                seat.rooms.insert(*room);
                self.topics.add_subscriber(*room, session, seat.peer.clone());
            }
            Control::Unsubscribe { room, .. } => {
                seat.rooms.remove(room);
                self.topics.delete_subscriber(*room, session);
            }
            Control::SubscribeExactly { rooms, .. } => {
                for left in seat.rooms.iter().filter(|room| !rooms.contains(room)) {
                    self.topics.delete_subscriber(*left, session);
                }
                seat.rooms = rooms.iter().copied().collect();
                for room in rooms {
                    self.topics.add_subscriber(*room, session, seat.peer.clone());
                }
            }
            Control::CloseGuest { .. } => {}
        }
        true
    }

    fn lock(&self, session: SessionId) -> MutexGuard<'_, HashMap<SessionId, Seat>> {
        lock(&self.shards[session.0.unsigned_abs() as usize % SHARDS])
    }
}

fn session_of(control: &Control) -> Option<SessionId> {
    match control {
        Control::Close { session, .. }
        | Control::Subscribe { session, .. }
        | Control::Unsubscribe { session, .. }
        | Control::SubscribeExactly { session, .. } => Some(*session),
        Control::CloseGuest { .. } => None,
    }
}

fn close_code(reason: Ended) -> CloseCode {
    match reason {
        Ended::LoggedInElsewhere => CloseCode::LoggedInElsewhere,
        Ended::Replaced => CloseCode::Replaced,
        Ended::LoggedOut | Ended::PasswordReset => CloseCode::LoggedOut,
        Ended::Disabled => CloseCode::Disabled,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
