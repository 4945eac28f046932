//! A node's connections by session, and the door through which pushes and orders reach them.
//!
//! Owns who is connected here, their room subscriptions and watches, and the window of batches already delivered. Leaves
//! who *should* hear something to the job role, and writing to the connections.
//!
//! **Invariant:** a session has one connection here, the one with the largest generation; an older one is told `replaced`.
//!
//! **Invariant:** a connection that leaves takes its subscriptions and watches with it.
//!
//! Locks: seats before topics before a peer's own; none is held while a batch walks over connections.

use super::Config;
use super::convert;
use super::meters::Meters;
use super::outbound::Offered;
use super::peer::Peer;
use super::roster::Roster;
use super::ticks::Ticks;
use super::topics::Topics;
use super::wire::Encoded;
use crate::seldom::Seldom;
use async_trait::async_trait;
use skein_domain::Result;
use skein_domain::account::Ended;
use skein_domain::door::Delivery;
use skein_domain::id::{ConversationId, Generation, NodeId, SessionId, Uid};
use skein_domain::push::{Batch, ConnectionRef, Control, Delivered, Origin, Push, Target};
use skein_domain::trace::{Sampling, Trace};
use skein_protocol::CloseCode;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::Instrument;

const SHARDS: usize = 64;
/// Batches remembered; of an older one a repetition is delivered again, which changes nothing on a client's screen.
const WINDOW: usize = 10_000;
/// Orders remembered for sessions that are just logging in; the oldest is forgotten first.
const MISSED_MAX: usize = 1_024;
/// Connections served before others get a turn.
const STRIDE: usize = 1_024;

pub struct Hub {
    pub(super) node: NodeId,
    pub(super) config: Config,
    /// Which commands are traced.
    pub(super) sampling: Sampling,
    /// Strangers decide how often a log-in is refused.
    pub(super) refusals_told: Seldom,
    pub(super) ticks: Ticks,
    pub(super) meters: Meters,
    /// All connections, logged in or not.
    pub(super) roster: Roster,
    seats: Vec<Mutex<HashMap<SessionId, Seat>>>,
    topics: Topics,
    watchers: Mutex<HashMap<SessionId, Arc<Peer>>>,
    window: Mutex<Window>,
    missed: Mutex<VecDeque<Missed>>,
}

/// A logged-in connection.
struct Seat {
    uid: Uid,
    peer: Arc<Peer>,
    rooms: HashSet<ConversationId>,
}

struct Missed {
    at_ms: u64,
    control: Control,
}

/// How many of what a node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Sockets, logged in or not.
    pub connections: usize,
    pub sessions: usize,
    pub rooms: usize,
    pub subscriptions: usize,
    pub watchers: usize,
}

impl Hub {
    /// Nothing is traced.
    pub fn new(config: Config, node: NodeId) -> Arc<Self> {
        Self::traced(config, node, Sampling::NOTHING)
    }

    pub fn traced(config: Config, node: NodeId, sampling: Sampling) -> Arc<Self> {
        Arc::new(Self {
            node,
            config,
            sampling,
            refusals_told: Seldom::default(),
            ticks: Ticks::new(),
            meters: Meters::new(),
            roster: Roster::new(),
            seats: (0..SHARDS).map(|_| Mutex::default()).collect(),
            topics: Topics::new(),
            watchers: Mutex::default(),
            window: Mutex::default(),
            missed: Mutex::default(),
        })
    }

    pub fn counts(&self) -> Counts {
        let sessions = self.seats.iter().map(|seats| lock(seats).len()).sum();
        let (rooms, subscriptions) = self.topics.counts();
        Counts { connections: self.roster.len(), sessions, rooms, subscriptions, watchers: lock(&self.watchers).len() }
    }

    /// Whose session is connected here.
    pub fn user_of(&self, session: SessionId) -> Option<Uid> {
        lock(self.seat(session)).get(&session).map(|seat| seat.uid)
    }

    /// Sessions of a user that are connected here. Looks at all of them: for administration, not for delivery.
    pub fn sessions_of(&self, uid: Uid) -> Vec<SessionId> {
        let of_shard = |seats: &Mutex<HashMap<SessionId, Seat>>| {
            lock(seats).iter().filter(|(_, seat)| seat.uid == uid).map(|(session, _)| *session).collect::<Vec<_>>()
        };
        self.seats.iter().flat_map(of_shard).collect()
    }

    fn seat(&self, session: SessionId) -> &Mutex<HashMap<SessionId, Seat>> {
        &self.seats[session.0.unsigned_abs() as usize % SHARDS]
    }

    // === connections come and go ===

    /// From now on pushes find the connection. `since_ms`: when its log-in began; orders that missed it since are obeyed
    /// now. `false`: a newer connection of the session sits here already.
    pub(super) fn enter(&self, session: SessionId, uid: Uid, peer: &Arc<Peer>, rooms: Vec<ConversationId>, since_ms: u64) -> bool {
        {
            let mut seats = lock(self.seat(session));
            if let Some(seat) = seats.get(&session)
                && seat.peer.generation > peer.generation
            {
                return false;
            }
            if let Some(older) = seats.remove(&session) {
                self.clear(session, &older);
                older.peer.order_close(CloseCode::Replaced);
            }
            for room in &rooms {
                self.topics.add_subscriber(*room, session, peer.clone());
            }
            seats.insert(session, Seat { uid, peer: peer.clone(), rooms: rooms.into_iter().collect() });
        }
        self.obey_missed(session, since_ms);
        true
    }

    /// Idempotent; a newer connection of the session stays.
    pub(super) fn leave(&self, connection: ConnectionRef) {
        let mut seats = lock(self.seat(connection.session));
        let is_mine = seats.get(&connection.session).is_some_and(|seat| seat.peer.generation == connection.generation);
        if is_mine && let Some(seat) = seats.remove(&connection.session) {
            self.clear(connection.session, &seat);
        }
    }

    fn clear(&self, session: SessionId, seat: &Seat) {
        for room in &seat.rooms {
            self.topics.delete_subscriber(*room, session);
        }
        lock(&self.watchers).remove(&session);
    }

    pub(super) fn watch(&self, connection: ConnectionRef, on: bool) {
        let seats = lock(self.seat(connection.session));
        let seat = seats.get(&connection.session).filter(|seat| seat.peer.generation == connection.generation);
        match seat {
            Some(seat) if on => drop(lock(&self.watchers).insert(connection.session, seat.peer.clone())),
            Some(_) => drop(lock(&self.watchers).remove(&connection.session)),
            None => {}
        }
    }

    pub(super) fn live(&self) -> Vec<ConnectionRef> {
        let of_shard = |seats: &Mutex<HashMap<SessionId, Seat>>| {
            lock(seats)
                .iter()
                .map(|(session, seat)| ConnectionRef { session: *session, generation: seat.peer.generation })
                .collect::<Vec<_>>()
        };
        self.seats.iter().flat_map(of_shard).collect()
    }

    pub(super) fn close(&self, connection: ConnectionRef, code: CloseCode) {
        if let Some(peer) = self.find(connection) {
            peer.order_close(code);
        }
    }

    fn find(&self, connection: ConnectionRef) -> Option<Arc<Peer>> {
        let seats = lock(self.seat(connection.session));
        seats.get(&connection.session).filter(|seat| seat.peer.generation == connection.generation).map(|seat| seat.peer.clone())
    }

    // === orders ===

    fn obey(&self, control: Control) {
        if !self.apply(&control) {
            self.meters.controls_missed.increment(1);
            let mut missed = lock(&self.missed);
            if missed.len() == MISSED_MAX {
                missed.pop_front();
            }
            missed.push_back(Missed { at_ms: self.ticks.now_ms(), control: control.clone() });
            drop(missed);
            // The session may have come in between the two looks.
            self.apply(&control);
        }
    }

    /// `false`: no such session here.
    fn apply(&self, control: &Control) -> bool {
        let Some(session) = session_of(control) else {
            return true;
        };
        let mut seats = lock(self.seat(session));
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

    fn obey_missed(&self, session: SessionId, since_ms: u64) {
        let of_mine = |missed: &Missed| missed.at_ms >= since_ms && session_of(&missed.control) == Some(session);
        let missed: Vec<Control> =
            lock(&self.missed).iter().filter(|missed| of_mine(missed)).map(|missed| missed.control.clone()).collect();
        for control in &missed {
            self.apply(control);
        }
    }

    // === pushes ===

    /// Envelopes in order, then controls: whoever leaves a room hears of it first.
    async fn deliver_now(&self, batch: Batch) -> Delivered {
        let mut delivered = Delivered::default();
        if batch.origin.as_ref().is_some_and(|origin| lock(&self.window).has(origin)) {
            self.meters.batches_repeated.increment(1);
            delivered.repeated = true;
            return delivered;
        }
        for envelope in batch.envelopes {
            self.push(&envelope.target, envelope.push, &mut delivered).await;
        }
        for control in batch.controls {
            self.obey(control);
        }
        // Only now: a call that was given up half-way must be repeatable.
        if let Some(origin) = batch.origin {
            lock(&self.window).add(origin);
        }
        delivered
    }

    async fn push(&self, target: &Target, push: Push, delivered: &mut Delivered) {
        let mut encoded = Encoded::new(convert::push(push));
        for (at, peer) in self.receivers(target).into_iter().enumerate() {
            delivered.found += 1;
            self.offer(&peer, &mut encoded, delivered);
            if at % STRIDE == STRIDE - 1 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn receivers(&self, target: &Target) -> Vec<Arc<Peer>> {
        match target {
            Target::Connections(connections) => connections.iter().filter_map(|connection| self.find(*connection)).collect(),
            Target::Room(room) => self.topics.subscribers(*room),
            // Nobody is in a live room, nor a guest, yet.
            Target::Guests(_) | Target::LiveRoom(_) | Target::Audience(_) => Vec::new(),
            Target::RoomWatchers => lock(&self.watchers).values().cloned().collect(),
            Target::Everyone => {
                self.seats.iter().flat_map(|seats| lock(seats).values().map(|seat| seat.peer.clone()).collect::<Vec<_>>()).collect()
            }
        }
    }

    fn offer(&self, peer: &Peer, push: &mut Encoded, delivered: &mut Delivered) {
        match peer.offer(push, self.config.queue_bytes_max as usize, self.config.resync_after_ms) {
            Offered::Queued => {
                delivered.queued += 1;
                self.meters.pushes_queued.increment(1);
            }
            Offered::LeftOut => {
                delivered.resynced += 1;
                self.meters.pushes_left_out.increment(1);
            }
            Offered::Overflowed(discarded) => {
                delivered.resynced += 1;
                self.meters.pushes_discarded.increment(discarded as u64 + 1);
                self.meters.resyncs.increment(1);
            }
            Offered::Closed => {}
        }
    }
}

#[async_trait]
impl Delivery for Hub {
    async fn deliver(&self, batch: Batch) -> Result<Delivered> {
        let Some(trace) = Trace::after(batch.trace.as_deref()) else {
            return Ok(self.deliver_now(batch).await);
        };
        let parent = trace.parent().map(tracing::field::display);
        let span = tracing::info_span!("deliver", node = %self.node, queued = tracing::field::Empty, %trace, parent);
        let delivered = self.deliver_now(batch).instrument(span.clone()).await;
        span.record("queued", delivered.queued);
        Ok(delivered)
    }
}

/// The last [`WINDOW`] batches.
#[derive(Default)]
struct Window {
    known: HashSet<Arc<Origin>>,
    order: VecDeque<Arc<Origin>>,
}

impl Window {
    fn has(&self, origin: &Origin) -> bool {
        self.known.contains(origin)
    }

    fn add(&mut self, origin: Origin) {
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

/// A connection's place in the hub, for as long as it is logged in.
pub(super) fn reference(session: SessionId, generation: Generation) -> ConnectionRef {
    ConnectionRef { session, generation }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Form, Transport, Variant};
    use super::*;
    use skein_domain::id::{Millis, Revision, Shard};
    use skein_domain::push::Envelope;
    use skein_protocol::Codec;

    const ROOM: ConversationId = ConversationId(7);

    fn hub() -> Arc<Hub> {
        Hub::new(Config::default(), NodeId("n".into()))
    }

    fn enter(hub: &Hub, session: i64, generation: i64, rooms: &[ConversationId]) -> Arc<Peer> {
        let variant = Variant { transport: Transport::Tcp, form: Form::Frame(Codec::Protobuf), deflate: false };
        let peer = Arc::new(Peer::new(Generation(generation), variant, 0, 0));
        hub.enter(SessionId(session), Uid(session * 10), &peer, rooms.to_vec(), 0);
        peer
    }

    fn notice() -> Push {
        Push::Notice { title: "t".into(), text: "x".into(), at: Millis(1) }
    }

    fn batch(revision: Option<i64>, target: Target) -> Batch {
        let origin = revision.map(|revision| Origin { producer: "p".into(), shard: Shard(0), revision: Revision(revision) });
        Batch { origin, envelopes: vec![Envelope { target, push: notice() }], controls: Vec::new(), trace: None }
    }

    async fn queued(hub: &Hub, target: Target) -> u64 {
        hub.deliver(batch(None, target)).await.unwrap().queued
    }

    fn of(session: i64, generation: i64) -> ConnectionRef {
        reference(SessionId(session), Generation(generation))
    }

    #[tokio::test]
    async fn a_target_finds_exactly_its_connections() {
        let hub = hub();
        enter(&hub, 1, 1, &[ROOM]);
        enter(&hub, 2, 2, &[ROOM]);
        enter(&hub, 3, 3, &[]);
        hub.watch(of(3, 3), true);
        assert_eq!(queued(&hub, Target::Room(ROOM)).await, 2);
        assert_eq!(queued(&hub, Target::Room(ConversationId(8))).await, 0);
        assert_eq!(queued(&hub, Target::RoomWatchers).await, 1);
        assert_eq!(queued(&hub, Target::Everyone).await, 3);
        assert_eq!(queued(&hub, Target::Connections(vec![of(1, 1), of(2, 99), of(9, 9)])).await, 1);
        assert_eq!((hub.user_of(SessionId(2)), hub.sessions_of(Uid(20))), (Some(Uid(20)), vec![SessionId(2)]));
    }

    #[tokio::test]
    async fn whoever_leaves_takes_everything_along() {
        let hub = hub();
        let before = hub.counts();
        enter(&hub, 1, 1, &[ROOM]);
        hub.watch(of(1, 1), true);
        hub.obey(Control::Subscribe { session: SessionId(1), room: ConversationId(8) });
        let there = Counts { connections: 0, sessions: 1, rooms: 2, subscriptions: 2, watchers: 1 };
        assert_eq!(hub.counts(), there);
        hub.leave(of(1, 99));
        assert_eq!(hub.counts(), there, "another generation is another connection");
        hub.leave(of(1, 1));
        assert_eq!(hub.counts(), before);
        assert_eq!(hub.user_of(SessionId(1)), None);
    }

    #[tokio::test]
    async fn a_connection_is_in_exactly_the_rooms_it_is_told() {
        let (hub, other) = (hub(), ConversationId(8));
        enter(&hub, 1, 1, &[ROOM]);
        hub.obey(Control::SubscribeExactly { session: SessionId(1), rooms: vec![other] });
        assert_eq!((queued(&hub, Target::Room(ROOM)).await, queued(&hub, Target::Room(other)).await), (0, 1));
        hub.leave(of(1, 1));
        assert_eq!(hub.counts().subscriptions, 0);
    }

    #[tokio::test]
    async fn the_newer_connection_of_a_session_stays() {
        let hub = hub();
        let older = enter(&hub, 1, 1, &[ROOM]);
        let newer = enter(&hub, 1, 2, &[]);
        assert_eq!(older.orders().close, Some(CloseCode::Replaced));
        assert_eq!(queued(&hub, Target::Room(ROOM)).await, 0, "the subscription went with the older one");
        let late = Arc::new(Peer::new(Generation(1), newer.variant(), 0, 0));
        assert!(!hub.enter(SessionId(1), Uid(10), &late, Vec::new(), 0));
        hub.leave(of(1, 1));
        assert_eq!(hub.counts().sessions, 1);
        assert_eq!(newer.orders().close, None);
    }

    #[tokio::test]
    async fn a_close_spares_a_newer_connection() {
        let hub = hub();
        let peer = enter(&hub, 1, 5, &[]);
        let close = |up_to| Control::Close { session: SessionId(1), up_to: Generation(up_to), reason: Ended::LoggedInElsewhere };
        hub.obey(close(4));
        assert_eq!(peer.orders().close, None);
        hub.obey(close(5));
        assert_eq!(peer.orders().close, Some(CloseCode::LoggedInElsewhere));
    }

    #[tokio::test]
    async fn orders_that_came_during_log_in_are_obeyed() {
        let hub = hub();
        hub.obey(Control::Subscribe { session: SessionId(1), room: ROOM });
        hub.obey(Control::Close { session: SessionId(1), up_to: Generation(9), reason: Ended::Disabled });
        let peer = enter(&hub, 1, 5, &[]);
        assert_eq!(peer.orders().close, Some(CloseCode::Disabled));
        assert_eq!(queued(&hub, Target::Room(ROOM)).await, 1);
    }

    #[tokio::test]
    async fn a_repeated_batch_is_dropped_within_the_window() {
        let hub = hub();
        enter(&hub, 1, 1, &[]);
        assert_eq!(hub.deliver(batch(Some(1), Target::Everyone)).await.unwrap().queued, 1);
        assert!(hub.deliver(batch(Some(1), Target::Everyone)).await.unwrap().repeated);
        for revision in 2..=WINDOW as i64 + 1 {
            hub.deliver(batch(Some(revision), Target::RoomWatchers)).await.unwrap();
        }
        assert!(!hub.deliver(batch(Some(1), Target::Everyone)).await.unwrap().repeated, "it has left the window");
        assert_eq!(lock(&hub.window).order.len(), WINDOW);
    }
}
