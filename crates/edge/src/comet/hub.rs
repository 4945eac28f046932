//! A node's connections, and the door through which pushes and orders reach them.
//!
//! - [`seats`]: sessions of accounts; [`guests`]: goim's guests; [`index`]: rooms and addresses of both.
//! - [`delivery`]: who a push is for, and what became of it; [`pace`]: pushes that take their time; [`window`], [`missed`].
//!
//! Leaves who *should* hear something to the job role, and writing to the connections.

use super::Config;
use super::meters::Meters;
use super::roster::Roster;
use super::ticks::Ticks;
use crate::seldom::Seldom;
use guests::Guests;
use index::Index;
use pace::Paced;
use seats::Seats;
use skein_domain::id::{NodeId, SessionId, Uid};
use skein_domain::trace::Sampling;
use std::sync::{Arc, Mutex};
use window::Window;

mod addresses;
mod delivery;
mod guests;
mod index;
mod live;
mod missed;
mod pace;
mod seats;
mod state;
mod window;

pub(super) use seats::Entry;
pub use state::ConnectionState;

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
    pub(super) seats: Seats,
    pub(super) guests: Guests,
    pub(super) index: Arc<Index>,
    pub(super) paced: Paced,
    window: Mutex<Window>,
}

/// How many of what a node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Sockets, logged in or not.
    pub connections: usize,
    pub sessions: usize,
    pub guests: usize,
    pub rooms: usize,
    pub subscriptions: usize,
    pub watchers: usize,
    pub live_rooms: usize,
    /// Different addresses of those who are logged in.
    pub addresses: usize,
}

impl Hub {
    /// Nothing is traced.
    pub fn new(config: Config, node: NodeId) -> Arc<Self> {
        Self::traced(config, node, Sampling::NOTHING)
    }

    pub fn traced(config: Config, node: NodeId, sampling: Sampling) -> Arc<Self> {
        let index = Arc::new(Index::new());
        Arc::new(Self {
            node,
            config,
            sampling,
            refusals_told: Seldom::default(),
            ticks: Ticks::new(),
            meters: Meters::new(),
            roster: Roster::new(),
            seats: Seats::new(index.clone()),
            guests: Guests::new(index.clone()),
            index,
            paced: Paced::default(),
            window: Mutex::default(),
        })
    }

    pub fn counts(&self) -> Counts {
        let (rooms, subscriptions) = self.seats.subscriptions();
        Counts {
            connections: self.roster.len(),
            sessions: self.seats.len(),
            guests: self.guests.len(),
            rooms,
            subscriptions,
            watchers: self.seats.watchers().len(),
            live_rooms: self.index.rooms.online().len(),
            addresses: self.index.addresses.len(),
        }
    }

    /// Live rooms with somebody in them here.
    pub fn live_rooms(&self) -> Vec<skein_domain::live::RoomName> {
        self.index.rooms.online().into_iter().map(|(room, _)| room).collect()
    }

    /// Whose session is connected here.
    pub fn user_of(&self, session: SessionId) -> Option<Uid> {
        self.seats.user_of(session)
    }

    /// Sessions of a user that are connected here. Looks at all of them: for administration, not for delivery.
    pub fn sessions_of(&self, uid: Uid) -> Vec<SessionId> {
        self.seats.sessions_of(uid)
    }

    /// What a user's connections here are doing. Looks at all of them, as [`Hub::sessions_of`].
    pub fn connections_of(&self, uid: Uid) -> Vec<ConnectionState> {
        self.seats.states_of(uid, self.ticks.now_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::super::peer::Peer;
    use super::super::wire::{Form, Transport, Variant};
    use super::window::WINDOW;
    use super::*;
    use skein_domain::account::{DeviceClass, Ended};
    use skein_domain::delivery::{Batch, Control, Envelope, Origin, Push, Target};
    use skein_domain::door::Delivery;
    use skein_domain::id::{ConnectionRef, ConversationId, Generation, Millis, Revision, Shard};
    use skein_protocol::{CloseCode, Codec};
    use std::net::IpAddr;

    const ROOM: ConversationId = ConversationId(7);

    fn hub() -> Arc<Hub> {
        Hub::new(Config::default(), NodeId("n".into()))
    }

    fn enter(hub: &Hub, session: i64, generation: i64, rooms: &[ConversationId]) -> Arc<Peer> {
        let variant = Variant { transport: Transport::Tcp, form: Form::Frame(Codec::Protobuf), deflate: false };
        let peer = Arc::new(Peer::new(Generation(generation), variant, 0, 0));
        sit(hub, session, &peer, rooms);
        peer
    }

    fn sit(hub: &Hub, session: i64, peer: &Arc<Peer>, rooms: &[ConversationId]) -> bool {
        let (class, address, peer) = (DeviceClass::Cli, IpAddr::from([127, 0, 0, 1]), peer.clone());
        let (session, uid) = (SessionId(session), Uid(session * 10));
        hub.seats.enter(Entry { session, uid, class, peer, address, rooms: rooms.to_vec(), tags: Vec::new() }, 0)
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
        ConnectionRef { session: SessionId(session), generation: Generation(generation) }
    }

    #[tokio::test]
    async fn a_target_finds_exactly_its_connections() {
        let hub = hub();
        enter(&hub, 1, 1, &[ROOM]);
        enter(&hub, 2, 2, &[ROOM]);
        enter(&hub, 3, 3, &[]);
        hub.seats.watch(of(3, 3), true);
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
        hub.seats.watch(of(1, 1), true);
        hub.obey(Control::Subscribe { session: SessionId(1), room: ConversationId(8) });
        let there = Counts { sessions: 1, rooms: 2, subscriptions: 2, watchers: 1, addresses: 1, ..Counts::default() };
        assert_eq!(hub.counts(), there);
        hub.seats.leave(of(1, 99));
        assert_eq!(hub.counts(), there, "another generation is another connection");
        hub.seats.leave(of(1, 1));
        assert_eq!(hub.counts(), before);
        assert_eq!(hub.user_of(SessionId(1)), None);
    }

    #[tokio::test]
    async fn a_connection_is_in_exactly_the_rooms_it_is_told() {
        let (hub, other) = (hub(), ConversationId(8));
        enter(&hub, 1, 1, &[ROOM]);
        hub.obey(Control::SubscribeExactly { session: SessionId(1), rooms: vec![other] });
        assert_eq!((queued(&hub, Target::Room(ROOM)).await, queued(&hub, Target::Room(other)).await), (0, 1));
        hub.seats.leave(of(1, 1));
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
        assert!(!sit(&hub, 1, &late, &[]));
        hub.seats.leave(of(1, 1));
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
        assert_eq!(hub.window.lock().unwrap().len(), WINDOW);
    }
}
