//! Which shards this node relays: those whose leases it has.
//!
//! **Invariant:** a lease is trusted for [`TERM`] from the moment at which the claim that renewed it was begun: never longer
//! than the store grants it. What is under way when it ends is given up; what the store is told after that carries an old
//! fence, and changes nothing.
//!
//! **Invariant:** leases are given back when the last relay has ended, not before.
//!
//! Bounds: one claim under way, one every [`RENEW_EVERY`]; one look every [`LOOK_EVERY`] while a shard is another's. A node
//! that dies is succeeded after [`TERM`], one that stops after [`LOOK_EVERY`], each and the time of a claim.

use crate::job::backlog::Backlog;
use skein_domain::id::{Fence, NodeId, Shard, Tenant};
use skein_domain::port::{Claim, ShardLease, ShardLeases};
use skein_domain::{Error, Result};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const TERM: Duration = Duration::from_secs(3);
const RENEW_EVERY: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const RELEASE_MAX: Duration = Duration::from_secs(2);

pub struct Ownership {
    leases: Arc<dyn ShardLeases>,
    node: NodeId,
    tenant: Tenant,
    tenures: Vec<watch::Sender<Option<Tenure>>>,
    backlog: Backlog,
}

/// A shard is this node's to relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tenure {
    /// `None`: beside whoever else relays it.
    fence: Option<Fence>,
    /// `None`: nobody can take it.
    until: Option<Instant>,
}

/// What a relay knows of its shard's lease.
#[derive(Clone)]
pub(crate) struct Title(watch::Receiver<Option<Tenure>>);

impl Ownership {
    /// And the titles of all shards, in order.
    pub(crate) fn new(leases: Arc<dyn ShardLeases>, node: NodeId, shards: u16, backlog: Backlog) -> Result<(Self, Vec<Title>)> {
        let tenant = Tenant(getrandom::u64().map_err(|_| Error::internal())? as i64);
        let tenures: Vec<_> = (0..shards).map(|_| watch::Sender::new(None)).collect();
        let titles = tenures.iter().map(|tenure| Title(tenure.subscribe())).collect();
        Ok((Self { leases, node, tenant, tenures, backlog }, titles))
    }

    /// Until `shutdown`, and the relays have ended.
    #[tracing::instrument(name = "ownership", skip_all)]
    pub async fn run(self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.forever()).await;
        for tenure in &self.tenures {
            tenure.closed().await;
        }
        match tokio::time::timeout(RELEASE_MAX, self.leases.release(self.tenant)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "shards not released; others wait for their leases to run out"),
            Err(_) => tracing::warn!("shards not released in time; others wait for their leases to run out"),
        }
    }

    async fn forever(&self) {
        let mut succeeds = true;
        loop {
            let began = Instant::now();
            let until = self.leases.is_contended().then(|| began + TERM);
            match self.claim(succeeds).await {
                // What is answered too late to be trusted is asked for again.
                Ok(held) if until.is_none_or(|until| Instant::now() < until) => {
                    succeeds = false;
                    self.hold(&held, until);
                    let since = UNIX_EPOCH.elapsed().unwrap_or_default();
                    metrics::gauge!("skein_shard_leases_renewed_timestamp_seconds").set(since.as_secs_f64());
                    self.until_due(began + RENEW_EVERY).await;
                }
                Ok(_) => tracing::warn!("leases of shards were renewed too late"),
                Err(error) => {
                    tracing::warn!(%error, "leases of shards not renewed");
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    /// Whatever the store takes for it, no lease is trusted beyond its end meanwhile.
    async fn claim(&self, succeeds: bool) -> Result<Vec<ShardLease>> {
        let (node, tenant, term_ms) = (self.node.clone(), self.tenant, self.term_ms());
        let mut claiming = self.leases.claim(Claim { node, tenant, term_ms, succeeds });
        if let Some(until) = self.ends()
            && let Ok(claimed) = tokio::time::timeout_at(until, &mut claiming).await
        {
            return claimed;
        }
        self.let_go_in_time();
        claiming.await
    }

    fn term_ms(&self) -> i64 {
        if self.leases.is_contended() { TERM.as_millis() as i64 } else { i64::MAX }
    }

    /// When the next claim is due: at once when a shard is free that could be ours, never when nobody could take any.
    async fn until_due(&self, due: Instant) {
        while !self.has_all() {
            tokio::time::sleep(LOOK_EVERY).await;
            let is_some_free = self.look().await;
            if is_some_free || (self.ends().is_some() && Instant::now() >= due) {
                return;
            }
        }
        if self.ends().is_none() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep_until(due).await;
    }

    /// Whether a shard is nobody's. Tells how far those of others are: of its own each relay tells.
    async fn look(&self) -> bool {
        let progress = match self.leases.progress().await {
            Ok(progress) => progress,
            Err(error) => {
                tracing::debug!(%error, "progress of shards not read");
                return false;
            }
        };
        for (shard, (progress, tenure)) in progress.iter().zip(&self.tenures).enumerate() {
            if tenure.borrow().is_none() {
                self.backlog.tell(Shard(shard as u16), progress.head.0 - progress.published.0);
            }
        }
        progress.iter().any(|progress| progress.is_free)
    }

    fn has_all(&self) -> bool {
        self.tenures.iter().all(|tenure| tenure.borrow().is_some())
    }

    /// The end of those it has, which is the same for all.
    fn ends(&self) -> Option<Instant> {
        self.tenures.iter().find_map(|tenure| tenure.borrow().and_then(|tenure| tenure.until))
    }

    fn let_go_in_time(&self) {
        if self.ends().is_some_and(|until| until <= Instant::now()) {
            tracing::warn!("leases of shards ran out before they were renewed");
            self.hold(&[], None);
        }
    }

    fn hold(&self, held: &[ShardLease], until: Option<Instant>) {
        let mut held = held.iter().peekable();
        for (shard, tenure) in self.tenures.iter().enumerate() {
            let lease = held.next_if(|lease| usize::from(lease.shard.0) == shard);
            let now = lease.map(|lease| Tenure { fence: Some(lease.fence), until });
            let before = tenure.send_replace(now);
            tell(shard, before.and_then(|tenure| tenure.fence), now.and_then(|tenure| tenure.fence));
        }
    }
}

fn tell(shard: usize, before: Option<Fence>, now: Option<Fence>) {
    metrics::gauge!("skein_shard_owner", "shard" => shard.to_string()).set(if now.is_some() { 1.0 } else { 0.0 });
    if before == now {
        return;
    }
    if let Some(fence) = before {
        metrics::counter!("skein_shard_leases_lost_total").increment(1);
        tracing::warn!(shard, %fence, "shard lost");
    }
    if let Some(fence) = now {
        tracing::info!(shard, %fence, "shard taken");
    }
}

// === impl Title ===

impl Title {
    /// Of a node that relays everything to the connections that it alone knows of, whoever else does.
    pub(crate) fn of_everybody() -> Self {
        Self(watch::Sender::new(Some(Tenure { fence: None, until: None })).subscribe())
    }

    /// Waits until the shard is this node's; under which fence.
    pub(crate) async fn granted(&mut self) -> Option<Fence> {
        self.until(|tenure| tenure.is_some()).await.and_then(|tenure| tenure.fence)
    }

    /// Waits until what was granted under the fence is over.
    pub(crate) async fn lost(&mut self, fence: Option<Fence>) {
        self.until(|tenure| tenure.is_none_or(|tenure| tenure.fence != fence)).await;
    }

    /// Waits while the lease has run out and is not renewed: as after a standstill of the process.
    pub(crate) async fn holds(&self) {
        let is_on = |tenure: &Tenure| tenure.until.is_none_or(|until| Instant::now() < until);
        self.clone().until(|tenure| tenure.as_ref().is_some_and(is_on)).await;
    }

    /// Once nobody grants any more, nothing changes.
    async fn until(&mut self, is_so: impl FnMut(&Option<Tenure>) -> bool) -> Option<Tenure> {
        let granted = self.0.wait_for(is_so).await.map(|tenure| *tenure);
        match granted {
            Ok(tenure) => tenure,
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use skein_domain::id::Revision;
    use skein_domain::port::ShardProgress;
    use std::sync::Mutex;

    /// One shard's lease, in memory; it may not answer for a while.
    struct Row {
        lease: Mutex<(Tenant, Fence, Instant)>,
        answers: watch::Sender<bool>,
    }

    #[async_trait]
    impl ShardLeases for Row {
        fn is_contended(&self) -> bool {
            true
        }

        async fn progress(&self) -> Result<Vec<ShardProgress>> {
            let is_free = self.lease.lock().unwrap().2 <= Instant::now();
            Ok(vec![ShardProgress { head: Revision(9), published: Revision(4), is_free }])
        }

        async fn claim(&self, claim: Claim) -> Result<Vec<ShardLease>> {
            let mut answers = self.answers.subscribe();
            answers.wait_for(|answers| *answers).await.unwrap();
            let (now, mut lease) = (Instant::now(), self.lease.lock().unwrap());
            if lease.0 != claim.tenant && lease.2 > now {
                return Ok(Vec::new());
            }
            let fence = if lease.0 == claim.tenant { lease.1 } else { Fence(lease.1.0 + 1) };
            *lease = (claim.tenant, fence, now + Duration::from_millis(claim.term_ms as u64));
            Ok(vec![ShardLease { shard: Shard(0), fence }])
        }

        async fn release(&self, tenant: Tenant) -> Result<()> {
            let mut lease = self.lease.lock().unwrap();
            if lease.0 == tenant {
                lease.2 = Instant::now();
            }
            Ok(())
        }
    }

    struct Node {
        title: Title,
        backlog: Backlog,
        shutdown: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    fn row() -> Arc<Row> {
        Arc::new(Row { lease: Mutex::new((Tenant(0), Fence(0), Instant::now())), answers: watch::Sender::new(true) })
    }

    fn node(row: &Arc<Row>) -> Node {
        let (backlog, shutdown) = (Backlog::new(1, 4), CancellationToken::new());
        let (ownership, mut titles) = Ownership::new(row.clone(), NodeId("n".into()), 1, backlog.clone()).unwrap();
        Node { title: titles.remove(0), backlog, task: tokio::spawn(ownership.run(shutdown.clone())), shutdown }
    }

    #[tokio::test(start_paused = true)]
    async fn one_owns_the_other_stands_by_and_succeeds_it_when_it_dies() {
        let row = row();
        let (mut one, mut other) = (node(&row), node(&row));
        assert_eq!(one.title.granted().await, Some(Fence(1)));
        tokio::time::sleep(10 * TERM).await;
        assert_eq!(row.lease.lock().unwrap().1, Fence(1), "renewed all the while");
        assert!(other.backlog.check().is_err() && one.backlog.check().is_ok(), "who stands by judges by what the owner has published");
        one.task.abort();
        let died = Instant::now();
        assert_eq!(other.title.granted().await, Some(Fence(2)));
        assert!(died.elapsed() <= TERM + 2 * LOOK_EVERY, "{:?}", died.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_gives_its_shards_back_when_its_relays_have_ended() {
        let row = row();
        let (mut one, mut other) = (node(&row), node(&row));
        assert_eq!(one.title.granted().await, Some(Fence(1)));
        one.shutdown.cancel();
        tokio::time::sleep(TERM / 2).await;
        assert!(!one.task.is_finished(), "a relay still has its title");
        drop(one.title);
        let ended = Instant::now();
        assert_eq!(other.title.granted().await, Some(Fence(2)));
        assert!(ended.elapsed() <= 2 * LOOK_EVERY, "{:?}", ended.elapsed());
        one.task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn where_there_are_no_leases_everybody_relays_for_ever() {
        let mut title = Title::of_everybody();
        assert_eq!(title.granted().await, None);
        title.holds().await;
        assert!(tokio::time::timeout(10 * TERM, title.lost(None)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_cannot_be_renewed_is_over_before_another_can_have_it() {
        let row = row();
        let mut one = node(&row);
        let fence = one.title.granted().await;
        row.answers.send_replace(false);
        let until = row.lease.lock().unwrap().2;
        one.title.lost(fence).await;
        assert!(Instant::now() <= until && Instant::now() + RENEW_EVERY >= until, "{:?} before", until - Instant::now());
        row.answers.send_replace(true);
        assert_eq!(one.title.granted().await, Some(Fence(1)), "nobody had it meanwhile");
    }
}
