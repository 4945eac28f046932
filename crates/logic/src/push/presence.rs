//! Who is in each live room, and telling it to those who asked.
//!
//! Sessions come by `JoinLive`, guests by their log-in; both go when they say so or when their connection ends. Whoever
//! ended without a word is found by a sweep against the registries, whose leases they no longer renew.
//!
//! **Invariant:** an occupant is in a room with one generation; an older connection that ends late takes nobody out.
//!
//! Bounds: [`OCCUPANTS_MAX`] occupants, those beyond are not noted (they are pushed to all the same). Rooms with more than
//! `presence_people` have no presence: whoever asked is told the count once more and then nothing. Comings and goings of
//! [`TELL_EVERY`] are told together. This is the knowledge of one Logic process; a restart begins with empty rooms.

use crate::job::Fanout;
use futures_util::StreamExt;
use skein_domain::delivery::{Envelope, Push, Target};
use skein_domain::id::{ConnectionRef, Generation, NodeId, SessionId};
use skein_domain::live::{GuestKey, RoomName, Somebody};
use skein_domain::port::{GuestRegistry, SessionRegistry};
use skein_domain::{Code, Error, Result};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const OCCUPANTS_MAX: usize = 1_000_000;
/// Nodes and rooms told at a time.
const TOLD_AT_A_TIME: usize = 64;
const TELL_EVERY: Duration = Duration::from_millis(100);
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Occupants asked for in one look at a registry.
const SWEPT_AT_ONCE: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Occupant {
    Session(SessionId),
    Guest(GuestKey),
}

#[derive(Clone)]
pub(crate) struct LiveRooms {
    inner: Arc<Inner>,
}

struct Inner {
    people_max: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    rooms: HashMap<RoomName, Room>,
    occupants: HashMap<Occupant, Seat>,
    changes: HashMap<RoomName, Change>,
}

struct Seat {
    generation: Generation,
    rooms: HashSet<RoomName>,
}

#[derive(Default)]
struct Room {
    people: HashMap<Occupant, Somebody>,
    watchers: HashMap<ConnectionRef, NodeId>,
}

#[derive(Default)]
struct Change {
    joined: HashSet<Somebody>,
    left: HashSet<Somebody>,
}

/// A room as somebody finds it on joining.
pub(super) struct Found {
    pub count: u32,
    /// `None`: not asked for, or too many.
    pub people: Option<Vec<Somebody>>,
}

/// Somebody who joins over a connection.
pub(super) struct Joining {
    pub connection: ConnectionRef,
    pub node: NodeId,
    pub who: Somebody,
    pub wants_presence: bool,
    pub rooms_max: usize,
}

impl LiveRooms {
    pub(crate) fn new(people_max: u32) -> Self {
        let inner = Inner { people_max: people_max as usize, state: Mutex::default(), changed: Notify::new() };
        Self { inner: Arc::new(inner) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joining again is the same as once, but that it says anew whether presence is wanted.
    pub(super) fn join(&self, joining: Joining, room: RoomName) -> Result<Found> {
        let Joining { connection, node, who, wants_presence, rooms_max } = joining;
        let occupant = Occupant::Session(connection.session);
        let mut state = self.state();
        let seat = state.occupants.get(&occupant).filter(|seat| seat.generation == connection.generation);
        if seat.is_some_and(|seat| seat.rooms.len() >= rooms_max && !seat.rooms.contains(&room)) {
            return Err(Error::new(Code::RoomsFull, format!("at most {rooms_max} live rooms")));
        }
        self.enter(&mut state, &occupant, connection.generation, who, &room);
        let people_max = self.inner.people_max;
        let Some(found) = state.rooms.get_mut(&room) else { return Ok(Found { count: 0, people: None }) };
        let is_small = found.people.len() <= people_max;
        match wants_presence && is_small {
            true => drop(found.watchers.insert(connection, node)),
            false => drop(found.watchers.remove(&connection)),
        }
        let people = (wants_presence && is_small).then(|| {
            let mut people: Vec<Somebody> = found.people.values().cloned().collect::<HashSet<_>>().into_iter().collect();
            people.sort_unstable_by_key(order);
            people
        });
        Ok(Found { count: u32::try_from(found.people.len()).unwrap_or(u32::MAX), people })
    }

    pub(super) fn leave(&self, connection: ConnectionRef, room: &RoomName) {
        let occupant = Occupant::Session(connection.session);
        let mut state = self.state();
        let is_its = state.occupants.get(&occupant).is_some_and(|seat| seat.generation == connection.generation);
        if is_its {
            self.exit(&mut state, &occupant, room);
        }
    }

    /// The one room of a guest.
    pub(super) fn move_to(&self, occupant: &Occupant, generation: Generation, who: Somebody, room: Option<RoomName>) {
        let mut state = self.state();
        if state.occupants.get(occupant).is_some_and(|seat| seat.generation > generation) {
            return;
        }
        let left: Vec<RoomName> = state.rooms_of(occupant).filter(|old| Some(*old) != room.as_ref()).cloned().collect();
        left.iter().for_each(|old| self.exit(&mut state, occupant, old));
        if let Some(room) = room {
            self.enter(&mut state, occupant, generation, who, &room);
        }
    }

    /// The connection has ended.
    pub(super) fn gone(&self, occupant: &Occupant, generation: Generation) {
        let mut state = self.state();
        if state.occupants.get(occupant).is_some_and(|seat| seat.generation == generation) {
            self.clear(&mut state, occupant);
        }
    }

    pub(crate) fn session_gone(&self, connection: ConnectionRef) {
        self.gone(&Occupant::Session(connection.session), connection.generation);
    }

    fn clear(&self, state: &mut State, occupant: &Occupant) {
        let left: Vec<RoomName> = state.rooms_of(occupant).cloned().collect();
        left.iter().for_each(|room| self.exit(state, occupant, room));
    }

    fn enter(&self, state: &mut State, occupant: &Occupant, generation: Generation, who: Somebody, room: &RoomName) {
        if state.occupants.get(occupant).is_some_and(|seat| seat.generation < generation) {
            self.clear(state, occupant);
        }
        if !state.occupants.contains_key(occupant) && state.occupants.len() >= OCCUPANTS_MAX {
            metrics::counter!("skein_live_unnoted_total").increment(1);
            return;
        }
        let seat = state.occupants.entry(occupant.clone()).or_insert_with(|| Seat { generation, rooms: HashSet::new() });
        if seat.generation != generation || !seat.rooms.insert(room.clone()) {
            return;
        }
        let entered = state.rooms.entry(room.clone()).or_default();
        let is_news = !entered.watchers.is_empty() && !entered.people.values().any(|other| *other == who);
        entered.people.insert(occupant.clone(), who.clone());
        if is_news {
            state.changes.entry(room.clone()).or_default().comes(who);
            self.inner.changed.notify_one();
        }
    }

    fn exit(&self, state: &mut State, occupant: &Occupant, room: &RoomName) {
        if let Some(seat) = state.occupants.get_mut(occupant) {
            seat.rooms.remove(room);
            if seat.rooms.is_empty() {
                state.occupants.remove(occupant);
            }
        }
        let Some(entered) = state.rooms.get_mut(room) else { return };
        if let Occupant::Session(session) = occupant {
            entered.watchers.retain(|connection, _| connection.session != *session);
        }
        let Some(who) = entered.people.remove(occupant) else { return };
        if entered.people.is_empty() {
            state.rooms.remove(room);
            state.changes.remove(room);
            return;
        }
        if !entered.watchers.is_empty() && !entered.people.values().any(|other| *other == who) {
            state.changes.entry(room.clone()).or_default().goes(who);
            self.inner.changed.notify_one();
        }
    }

    // === telling ===

    /// Until `shutdown`.
    pub(crate) async fn run(
        self,
        fanout: Fanout,
        sessions: Arc<dyn SessionRegistry>,
        guests: Arc<dyn GuestRegistry>,
        shutdown: CancellationToken,
    ) {
        let telling = async {
            loop {
                self.inner.changed.notified().await;
                let news = futures_util::stream::iter(self.news());
                news.for_each_concurrent(TOLD_AT_A_TIME, |(node, envelope)| tell(&fanout, node, envelope)).await;
                tokio::time::sleep(TELL_EVERY).await;
            }
        };
        let sweeping = async {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                self.sweep(&*sessions, &*guests).await;
            }
        };
        shutdown.run_until_cancelled(async { tokio::join!(telling, sweeping) }).await;
    }

    /// What has changed, and whom to tell. Nobody watches a room that has grown too big.
    fn news(&self) -> Vec<(NodeId, Envelope)> {
        let mut state = self.state();
        let State { rooms, changes, .. } = &mut *state;
        let mut news = Vec::new();
        for (name, change) in std::mem::take(changes) {
            let Some(room) = rooms.get_mut(&name) else { continue };
            let mut nodes: HashMap<NodeId, Vec<ConnectionRef>> = HashMap::new();
            for (connection, node) in &room.watchers {
                nodes.entry(node.clone()).or_default().push(*connection);
            }
            let count = u32::try_from(room.people.len()).unwrap_or(u32::MAX);
            let is_big = room.people.len() > self.inner.people_max;
            let (joined, left) = if is_big { Default::default() } else { (sorted(change.joined), sorted(change.left)) };
            if is_big {
                room.watchers.clear();
            } else if joined.is_empty() && left.is_empty() {
                continue;
            }
            let push = Push::Presence { room: name, count, joined, left };
            news.extend(nodes.into_iter().map(|(node, connections)| {
                let target = Target::Connections(connections);
                (node, Envelope { target, push: push.clone() })
            }));
        }
        news
    }

    /// Takes out whom the registries do not know any more.
    async fn sweep(&self, sessions: &dyn SessionRegistry, guests: &dyn GuestRegistry) {
        let seats: Vec<(Occupant, Generation)> =
            self.state().occupants.iter().map(|(occupant, seat)| (occupant.clone(), seat.generation)).collect();
        for some in seats.chunks(SWEPT_AT_ONCE) {
            match live(some, sessions, guests).await {
                Ok(live) => {
                    some.iter().filter(|seat| !live.contains(seat)).for_each(|(occupant, generation)| self.gone(occupant, *generation))
                }
                Err(error) => tracing::warn!(%error, "live rooms not swept"),
            }
            tokio::task::yield_now().await;
        }
    }
}

/// A hint: who is not told now finds out by asking again.
async fn tell(fanout: &Fanout, node: NodeId, envelope: Envelope) {
    if let Err(error) = fanout.deliver_once(&node, envelope).await {
        tracing::debug!(%error, %node, "presence not told");
    }
}

async fn live(
    seats: &[(Occupant, Generation)],
    sessions: &dyn SessionRegistry,
    guests: &dyn GuestRegistry,
) -> Result<HashSet<(Occupant, Generation)>> {
    let (mut ids, mut keys) = (Vec::new(), Vec::new());
    for (occupant, _) in seats {
        match occupant {
            Occupant::Session(session) => ids.push(*session),
            Occupant::Guest(key) => keys.push(key.clone()),
        }
    }
    let here = sessions.of_sessions(&ids).await?.into_iter().map(|route| (Occupant::Session(route.session), route.generation));
    let guests = guests.by_keys(&keys).await?.into_iter().map(|route| (Occupant::Guest(route.key), route.generation));
    Ok(here.chain(guests).collect())
}

impl State {
    fn rooms_of(&self, occupant: &Occupant) -> impl Iterator<Item = &RoomName> {
        self.occupants.get(occupant).into_iter().flat_map(|seat| &seat.rooms)
    }
}

impl Change {
    /// Who went and came back was never away.
    fn comes(&mut self, who: Somebody) {
        if !self.left.remove(&who) {
            self.joined.insert(who);
        }
    }

    fn goes(&mut self, who: Somebody) {
        if !self.joined.remove(&who) {
            self.left.insert(who);
        }
    }
}

fn sorted(people: HashSet<Somebody>) -> Vec<Somebody> {
    let mut people: Vec<Somebody> = people.into_iter().collect();
    people.sort_unstable_by_key(order);
    people
}

fn order(who: &Somebody) -> (i64, &'static str) {
    match who {
        Somebody::User { uid, class } => (uid.0, class.as_str()),
        Somebody::Guest { mid } => (mid.0, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_domain::account::DeviceClass;
    use skein_domain::id::Uid;
    use skein_domain::live::Mid;
    use skein_domain::port::{GuestRoute, Route};
    use skein_domain::testing::ManualClock;
    use skein_storage::{MemoryGuests, MemorySessions};

    #[tokio::test]
    async fn whoever_ended_without_a_word_is_swept_out_when_the_lease_is_over() {
        let clock = Arc::new(ManualClock::default());
        let (sessions, guests) = (MemorySessions::new(clock.clone()), MemoryGuests::new(clock.clone()));
        let (rooms, generation, node) = (LiveRooms::new(200), Generation(1), NodeId("a".into()));
        let room = RoomName::parse("live://1").unwrap();
        let who = |uid| Somebody::User { uid: Uid(uid), class: DeviceClass::Web };
        for (uid, lease_ms) in [(1, 1_000), (2, 5_000)] {
            let route = Route { uid: Uid(uid), class: DeviceClass::Web, node: node.clone(), session: SessionId(uid), generation };
            sessions.register(route.clone(), lease_ms).await.unwrap();
            let joining = Joining { connection: route.connection(), node: node.clone(), who: who(uid), wants_presence: true, rooms_max: 9 };
            rooms.join(joining, room.clone()).unwrap();
        }
        let key = GuestKey::parse("g").unwrap();
        let route = GuestRoute { mid: Mid(7), key: key.clone(), node: node.clone(), generation };
        guests.register(route, 1_000).await.unwrap();
        rooms.move_to(&Occupant::Guest(key), generation, Somebody::Guest { mid: Mid(7) }, Some(room.clone()));
        rooms.news();

        rooms.sweep(&sessions, &guests).await;
        assert!(rooms.news().is_empty(), "everybody is there");
        clock.advance(1_000);
        rooms.sweep(&sessions, &guests).await;
        let left = vec![who(1), Somebody::Guest { mid: Mid(7) }];
        let push = Push::Presence { room, count: 1, joined: vec![], left };
        let target = Target::Connections(vec![ConnectionRef { session: SessionId(2), generation }]);
        assert_eq!(rooms.news(), [(node, Envelope { target, push })], "who went is told nothing");
        clock.advance(4_000);
        rooms.sweep(&sessions, &guests).await;
        assert!(rooms.state().rooms.is_empty() && rooms.state().occupants.is_empty(), "an empty room leaves nothing");
    }
}
