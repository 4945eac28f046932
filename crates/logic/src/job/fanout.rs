//! From "these users, that room" to one batch per Comet.
//!
//! Owns the addressing of pushes and controls, the retries towards a Comet, and its breaker. Nothing here decides *who*
//! may see something: that is the caller's (`dispatch`, `conversation`, `account`).
//!
//! **Invariant:** a push that matters and did not reach a Comet leaves a mark; when that Comet answers again, the marked
//! users are told to resync. Pushes are hints, so no method here fails towards a command.
//!
//! Bounds: a call has [`CALL_DEADLINE_MS`], three tries, 100 ms × n between them; the first exhausted call opens the
//! Comet's breaker and later batches only mark. All Comets of one push are called at once, so a sick one delays nobody's
//! copy but its own.

use crate::job::breaker::{Breakers, Missed};
use crate::random;
use futures_util::future::join_all;
use skein_domain::account::{Ended, Session};
use skein_domain::delivery::{Batch, Control, Delivered, Envelope, Origin, Push, Target};
use skein_domain::door::{CALL_DEADLINE_MS, Comets};
use skein_domain::fault::{Fault, planted};
use skein_domain::id::{ConnectionRef, ConversationId, Generation, NodeId, Revision, SessionId, Shard, Uid};
use skein_domain::port::{Route, SessionRegistry};
use skein_domain::trace::Trace;
use skein_domain::{Code, Error, Result};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const TRIES: u32 = 3;
const TRY_PAUSE: Duration = Duration::from_millis(100);
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Users that are told to resync at the same moment.
const RESYNC_GROUP: usize = 100;
/// Users per batch of resync hints.
const RESYNC_BATCH: usize = 1_000;
const RESYNC_ALL_SPREAD_MS: i64 = 30_000;
/// Users of one node asked of the registry; beyond that the node tells everyone.
const NODE_USERS_MAX: u32 = 200_000;

/// A cheap handle; clone it freely.
#[derive(Clone)]
pub struct Fanout {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Arc<dyn SessionRegistry>,
    comets: Arc<dyn Comets>,
    producer: String,
    breakers: Breakers,
}

/// Where a record stands in the log, so that a Comet can drop what it has had.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub shard: Shard,
    pub revision: Revision,
    /// Its fan-out, if that is traced.
    pub trace: Option<Trace>,
}

impl Fanout {
    /// `producer`: name of the node this runs on.
    pub fn new(registry: Arc<dyn SessionRegistry>, comets: Arc<dyn Comets>, producer: &NodeId) -> Self {
        let inner = Inner { registry, comets, producer: producer.0.clone(), breakers: Breakers::default() };
        Self { inner: Arc::new(inner) }
    }

    /// To every live connection of these users.
    pub async fn to_users(&self, uids: &[Uid], push: Push) {
        if let Err(error) = self.publish_to_users(None, uids, push).await {
            tracing::warn!(%error, "push not addressed");
        }
    }

    /// To every connection subscribed to the room.
    pub async fn to_room(&self, room: ConversationId, push: Push) {
        self.to_every_node(None, Target::Room(room), push, Vec::new()).await;
    }

    /// To every connection that has the room directory open.
    pub async fn to_watchers(&self, push: Push) {
        self.to_every_node(None, Target::RoomWatchers, push, Vec::new()).await;
    }

    pub async fn everyone(&self, push: Push) {
        self.to_every_node(None, Target::Everyone, push, Vec::new()).await;
    }

    /// Closes the connections of sessions that have ended, and removes their registry entries. A close that gets lost is
    /// made good by the next renewal of the connection's lease, which finds the entry gone.
    pub async fn end_sessions(&self, sessions: &[Session], reason: Ended) {
        let ids: Vec<SessionId> = sessions.iter().map(|session| session.id).collect();
        match self.inner.registry.of_sessions(&ids).await {
            Ok(routes) => self.close(&routes, reason).await,
            Err(error) => {
                tracing::warn!(%error, "connections of ended sessions not found; every node is told");
                // With the registry away no renewal would find the entries gone either.
                let up_to = Generation(i64::MAX);
                let close = |session: &SessionId| Control::Close { session: *session, up_to, reason };
                for node in self.inner.comets.nodes() {
                    self.order(node, ids.iter().map(close).collect()).await;
                }
            }
        }
    }

    /// Closes these connections (not newer ones of their sessions) and removes their registry entries.
    pub async fn close(&self, routes: &[Route], reason: Ended) {
        for route in routes {
            if let Err(error) = self.inner.registry.remove(route.connection()).await {
                tracing::warn!(%error, session = %route.session, "registry entry not removed");
            }
        }
        self.tell(routes, |route| Control::Close { session: route.session, up_to: route.generation, reason }).await;
    }

    /// One order for each live connection of a user.
    pub async fn control(&self, uid: Uid, order: impl Fn(&Route) -> Control) {
        match self.inner.registry.routes(&[uid]).await {
            Ok(routes) => self.tell(&routes, order).await,
            Err(error) => tracing::warn!(%error, %uid, "connections not found"),
        }
    }

    /// The user's connections get the room's pushes from now on.
    pub async fn subscribe(&self, uid: Uid, room: ConversationId) {
        self.control(uid, |route| Control::Subscribe { session: route.session, room }).await;
    }

    /// The user's connections get the pushes of these rooms and of no others.
    pub async fn subscribe_exactly(&self, uid: Uid, rooms: &[ConversationId]) {
        self.control(uid, |route| Control::SubscribeExactly { session: route.session, rooms: rooms.to_vec() }).await;
    }

    /// The user's connections get the room's pushes no more.
    pub async fn unsubscribe(&self, uid: Uid, room: ConversationId) {
        self.control(uid, |route| Control::Unsubscribe { session: route.session, room }).await;
    }

    /// Orders for one node.
    pub(crate) async fn order(&self, node: NodeId, controls: Vec<Control>) {
        let batch = self.batch(None, Vec::new(), controls);
        self.deliver(node, batch, Missed::Nobody).await;
    }

    // === transient pushes ===

    /// Nodes, but for those out of reach.
    pub(crate) fn nodes_in_reach(&self) -> Vec<NodeId> {
        self.inner.comets.nodes().into_iter().filter(|node| !self.inner.breakers.is_open(node)).collect()
    }

    /// Tried once: after a failure nobody knows whether it arrived, and twice is worse than not at all for what was promised
    /// to nobody.
    pub(crate) async fn deliver_once(&self, node: &NodeId, envelope: Envelope) -> Result<Delivered> {
        if self.inner.breakers.is_open(node) {
            return Err(Error::new(Code::Unavailable, "the node is out of reach"));
        }
        let outcome = self.call_once(node, self.batch(None, vec![envelope], Vec::new())).await;
        match &outcome {
            Ok(delivered) => metrics::counter!("skein_fanout_pushes_total").increment(delivered.queued),
            Err(error) if is_refused(error.code) || error.code == Code::Busy => {}
            Err(error) => {
                if self.inner.breakers.open(node, Missed::Nobody) {
                    tracing::warn!(%error, %node, "comet out of reach");
                }
            }
        }
        outcome
    }

    /// Probes Comets that are out of reach, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(PROBE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let nodes = self.inner.breakers.nodes();
            let probes = join_all(nodes.iter().map(|node| self.probe(node)));
            tokio::select! {
                _ = shutdown.cancelled() => return,
                _ = probes => {}
            }
        }
    }

    // === what dispatch uses: the same with a place in the log ===

    pub(crate) async fn publish_to_users(&self, place: Option<Place>, uids: &[Uid], push: Push) -> Result<()> {
        if uids.is_empty() {
            return Ok(());
        }
        let matters = matters(&push);
        let deliveries = by_node(self.inner.registry.routes(uids).await?).into_iter().map(|(node, routes)| {
            let missed = if matters { Missed::users(routes.iter().map(|r| r.uid)) } else { Missed::Nobody };
            let target = Target::Connections(routes.iter().map(Route::connection).collect());
            let batch = self.batch(place, vec![Envelope { target, push: push.clone() }], Vec::new());
            self.deliver(node, batch, missed)
        });
        join_all(deliveries).await;
        Ok(())
    }

    /// `leaving`: a member whose connections are unsubscribed by the same batch that tells of it.
    pub(crate) async fn publish_to_room(&self, place: Place, room: ConversationId, push: Push, leaving: Option<Uid>) -> Result<()> {
        let controls = match leaving {
            Some(uid) => self.inner.registry.routes(&[uid]).await?,
            None => Vec::new(),
        };
        let controls = controls.iter().map(|route| Control::Unsubscribe { session: route.session, room }).collect();
        self.to_every_node(Some(place), Target::Room(room), push, controls).await;
        Ok(())
    }

    async fn to_every_node(&self, place: Option<Place>, target: Target, push: Push, controls: Vec<Control>) {
        let missed = if matters(&push) { Missed::All } else { Missed::Nobody };
        let deliveries = self.inner.comets.nodes().into_iter().map(|node| {
            let envelope = Envelope { target: target.clone(), push: push.clone() };
            self.deliver(node, self.batch(place, vec![envelope], controls.clone()), missed.clone())
        });
        join_all(deliveries).await;
    }

    async fn tell(&self, routes: &[Route], order: impl Fn(&Route) -> Control) {
        let deliveries = by_node(routes.to_vec()).into_iter().map(|(node, routes)| {
            let batch = self.batch(None, Vec::new(), routes.iter().map(&order).collect());
            self.deliver(node, batch, Missed::users(routes.iter().map(|r| r.uid)))
        });
        join_all(deliveries).await;
    }

    fn batch(&self, place: Option<Place>, envelopes: Vec<Envelope>, controls: Vec<Control>) -> Batch {
        let origin_of = |Place { shard, revision, .. }| Origin { producer: self.inner.producer.clone(), shard, revision };
        let trace = place.and_then(|place| place.trace).map(|hop| hop.to_string());
        Batch { origin: place.map(origin_of), envelopes, controls, trace }
    }

    /// Delivers, or marks who missed it.
    async fn deliver(&self, node: NodeId, batch: Batch, missed: Missed) {
        if self.inner.breakers.mark_if_open(&node, &missed) {
            metrics::counter!("skein_fanout_batches_total", "outcome" => "marked").increment(1);
            return;
        }
        match self.call(&node, batch).await {
            Ok(delivered) => {
                metrics::counter!("skein_fanout_batches_total", "outcome" => "delivered").increment(1);
                metrics::counter!("skein_fanout_pushes_total").increment(delivered.queued);
            }
            Err(error) if is_refused(error.code) => {
                metrics::counter!("skein_fanout_dead_letters_total").increment(1);
                tracing::error!(%error, %node, "comet refused a batch");
            }
            Err(error) => {
                metrics::counter!("skein_fanout_batches_total", "outcome" => "failed").increment(1);
                if self.inner.breakers.open(&node, missed) {
                    metrics::counter!("skein_fanout_dead_letters_total").increment(1);
                    tracing::warn!(%error, %node, "comet out of reach, marking its users");
                }
            }
        }
    }

    async fn call(&self, node: &NodeId, batch: Batch) -> Result<Delivered> {
        let mut tries = 1;
        loop {
            let error = match self.call_once(node, batch.clone()).await {
                Ok(delivered) => return Ok(delivered),
                Err(error) => error,
            };
            if tries == TRIES || is_refused(error.code) || self.inner.breakers.is_open(node) {
                return Err(error);
            }
            tokio::time::sleep(TRY_PAUSE * tries).await;
            tries += 1;
        }
    }

    async fn call_once(&self, node: &NodeId, batch: Batch) -> Result<Delivered> {
        let Some(comet) = self.inner.comets.comet(node) else {
            return Err(Error::new(Code::Unavailable, "no such comet is alive"));
        };
        let deadline = Duration::from_millis(CALL_DEADLINE_MS);
        let late = |_| Error::new(Code::Timeout, "comet did not answer in time");
        tokio::time::timeout(deadline, comet.deliver(batch)).await.map_err(late)?
    }

    // === after an outage ===

    async fn probe(&self, node: &NodeId) {
        match self.call_once(node, self.batch(None, Vec::new(), Vec::new())).await {
            Ok(_) => {
                let missed = self.inner.breakers.close(node);
                tracing::info!(%node, "comet answers again");
                self.resync(node, missed).await;
            }
            Err(error) => {
                tracing::debug!(%node, %error, "comet still out of reach");
                self.inner.breakers.forget_old(node);
            }
        }
    }

    async fn resync(&self, node: &NodeId, missed: Missed) {
        if planted(Fault::ResyncLost) {
            return;
        }
        let (uids, spread_ms) = match missed {
            Missed::Nobody => return,
            Missed::Users(uids) => (uids.into_iter().collect::<Vec<_>>(), 0),
            Missed::All => match self.inner.registry.users_of(node, NODE_USERS_MAX).await {
                Ok(uids) if uids.len() < NODE_USERS_MAX as usize => (uids, RESYNC_ALL_SPREAD_MS),
                _ => return self.resync_everyone(node).await,
            },
        };
        // 5,000 resyncs per second are expected to be bearable.
        let spread_ms = spread_ms.max(uids.len() as i64 / 5);
        for uids in uids.chunks(RESYNC_BATCH) {
            self.resync_users(node, uids, spread_ms).await;
        }
    }

    async fn resync_users(&self, node: &NodeId, uids: &[Uid], spread_ms: i64) {
        let routes = match self.inner.registry.routes(uids).await {
            Ok(routes) => routes,
            Err(error) => {
                tracing::warn!(%error, %node, "resync put off until the registry answers");
                self.inner.breakers.open(node, Missed::users(uids.iter().copied()));
                return;
            }
        };
        let here: Vec<ConnectionRef> = routes.iter().filter(|r| r.node == *node).map(Route::connection).collect();
        let envelopes = here.chunks(RESYNC_GROUP).map(|group| Envelope {
            target: Target::Connections(group.to_vec()),
            push: Push::Resync { after_ms: random::below(spread_ms) },
        });
        metrics::counter!("skein_fanout_resyncs_total").increment(here.len() as u64);
        let batch = self.batch(None, envelopes.collect(), Vec::new());
        self.deliver(node.clone(), batch, Missed::users(uids.iter().copied())).await;
    }

    async fn resync_everyone(&self, node: &NodeId) {
        let push = Push::Resync { after_ms: RESYNC_ALL_SPREAD_MS };
        let batch = self.batch(None, vec![Envelope { target: Target::Everyone, push }], Vec::new());
        self.deliver(node.clone(), batch, Missed::All).await;
    }
}

/// What a client would miss on its screen until its next sync.
fn matters(push: &Push) -> bool {
    matches!(push, Push::Entries { .. } | Push::User { .. })
}

/// Asking again would change nothing.
fn is_refused(code: Code) -> bool {
    matches!(code, Code::BadRequest | Code::Unsupported | Code::TooLarge)
}

fn by_node(routes: Vec<Route>) -> HashMap<NodeId, Vec<Route>> {
    let mut nodes: HashMap<NodeId, Vec<Route>> = HashMap::new();
    for route in routes {
        nodes.entry(route.node.clone()).or_default().push(route);
    }
    nodes
}
