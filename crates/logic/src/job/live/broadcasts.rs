//! Broadcasts that take their time, pushes to all with a speed: so many run at once, the others wait for their turn.
//!
//! What waits is kept here; whose turn it is says the queue, which all nodes share and which knows names only. A broadcast
//! runs until its Comets have served those they found.
//!
//! **Invariant:** urgent ones begin first, and those of one priority in the order in which they joined. Each is delivered, or
//! counted in its receipt as expired or dropped, or refused `busy` to its caller.
//!
//! Bounds: those of the queue, over all nodes, and here those of [`super::kept`]; one more is answered `busy`. A queue that
//! does not answer is asked again after [`RETRY`]; what it has forgotten it is told of every [`RENEW_EVERY`]. A node that dies
//! holds others up for [`LEASE_MS`] at most, and what waited at it is gone. One that ends counts as dropped what waits.

use super::kept::{Kept, Waiting, is_late};
use super::tally::{Ledger, Tally};
use crate::job::fanout::Fanout;
use crate::random;
use futures_util::StreamExt;
use futures_util::future::join_all;
use skein_domain::Result;
use skein_domain::delivery::{Delivered, Envelope, Push, Target};
use skein_domain::id::NodeId;
use skein_domain::live::{Audience, LiveAddress, LiveRecord};
use skein_domain::port::{Broadcast, BroadcastQueue, Place, Queued};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const LEASE_MS: i64 = 15_000;
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How often it is asked whose turn it is, and looked what is too late, while some wait here.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_secs(1);
/// Receipts written at a time at the end.
const AT_A_TIME: usize = 64;

/// A cheap handle; clone it freely.
#[derive(Clone)]
pub(crate) struct Broadcasts {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Arc<dyn BroadcastQueue>,
    node: NodeId,
    fanout: Fanout,
    ledger: Ledger,
    kept: Mutex<Kept>,
    next_number: AtomicU64,
    joined: Notify,
}

/// Whether it takes its time.
pub(super) fn is_throttled(record: &LiveRecord) -> bool {
    matches!(&record.address, LiveAddress::All(Audience { speed: Some(_), .. }))
}

impl Broadcasts {
    pub(crate) fn new(queue: Arc<dyn BroadcastQueue>, node: NodeId, fanout: Fanout, ledger: Ledger) -> Self {
        // Numbers of an earlier life of the node are others.
        let next_number = AtomicU64::new(random::below(i64::MAX) as u64);
        let (kept, joined) = (Mutex::default(), Notify::new());
        Self { inner: Arc::new(Inner { queue, node, fanout, ledger, kept, next_number, joined }) }
    }

    pub(super) async fn join(&self, record: LiveRecord) -> Result<()> {
        let inner = &*self.inner;
        let number = inner.next_number.fetch_add(1, Ordering::Relaxed);
        let priority = record.priority;
        inner.kept().put(number, record)?;
        let mut joining = Joining { inner, number, has_joined: false };
        let place = inner.queue.join(&Broadcast { node: inner.node.clone(), number }, priority, LEASE_MS).await?;
        joining.has_joined = true;
        inner.kept().place(number, place);
        inner.joined.notify_one();
        Ok(())
    }

    /// Until `shutdown`.
    #[tracing::instrument(name = "broadcasts", skip_all)]
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut worker = Worker { inner: self.inner, running: Vec::new(), renewed: Instant::now(), swept: Instant::now() };
        shutdown.run_until_cancelled(worker.forever()).await;
        worker.end().await;
    }
}

impl Inner {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes back what has not joined, also when nobody waits for that any more.
struct Joining<'b> {
    inner: &'b Inner,
    number: u64,
    has_joined: bool,
}

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        if !self.has_joined {
            self.inner.kept().take(self.number);
        }
    }
}

// === turns ===

/// The one task of a node that lets broadcasts begin.
struct Worker {
    inner: Arc<Inner>,
    running: Vec<Running>,
    renewed: Instant,
    swept: Instant,
}

struct Running {
    queued: Queued,
    until: Instant,
}

impl Worker {
    async fn forever(&mut self) {
        loop {
            match self.step().await {
                Ok(true) => {}
                Ok(false) => self.pause().await,
                Err(error) => {
                    tracing::warn!(%error, "the queue of broadcasts does not answer");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Whether one began.
    async fn step(&mut self) -> Result<bool> {
        self.let_go().await?;
        if self.swept.elapsed() >= LOOK_EVERY {
            self.sweep().await?;
        }
        if self.renewed.elapsed() >= RENEW_EVERY {
            self.renew().await?;
        }
        if self.inner.kept().is_empty() {
            return Ok(false);
        }
        let Some(number) = self.inner.queue.claim(&self.inner.node, LEASE_MS).await? else { return Ok(false) };
        let taken = self.inner.kept().take(number);
        match taken {
            Some(waiting) => self.begin(number, waiting).await,
            // Of an earlier life of the queue; or nobody waited any more for it to join.
            None if self.running.iter().any(|running| running.queued.number == number) => self.renew().await?,
            None => self.inner.queue.leave(&self.inner.node, &[number]).await?,
        }
        Ok(true)
    }

    /// Until another may begin, as far as is known here.
    async fn pause(&self) {
        let waits = !self.inner.kept().is_empty();
        let next_end = self.running.iter().map(|running| running.until).min();
        let renewal = (waits || next_end.is_some()).then(|| self.renewed + RENEW_EVERY);
        let look = waits.then(|| Instant::now() + LOOK_EVERY);
        let next = [next_end, renewal, look].into_iter().flatten().min();
        tokio::select! {
            () = self.inner.joined.notified() => {}
            () = async { tokio::time::sleep_until(next.unwrap_or_else(Instant::now)).await }, if next.is_some() => {}
        }
    }

    /// Those whose time is over.
    async fn let_go(&mut self) -> Result<()> {
        let now = Instant::now();
        let over: Vec<u64> = self.running.iter().filter(|running| running.until <= now).map(|running| running.queued.number).collect();
        if !over.is_empty() {
            self.inner.queue.leave(&self.inner.node, &over).await?;
            self.running.retain(|running| !over.contains(&running.queued.number));
        }
        Ok(())
    }

    /// Takes out what is too late.
    async fn sweep(&mut self) -> Result<()> {
        let late = self.inner.kept().late(self.inner.ledger.now());
        self.inner.queue.leave(&self.inner.node, &late).await?;
        for number in late {
            let taken = self.inner.kept().take(number);
            if let Some(waiting) = taken {
                self.expire(&waiting.record).await;
            }
        }
        self.swept = Instant::now();
        Ok(())
    }

    async fn renew(&mut self) -> Result<()> {
        let mut queued = self.inner.kept().queued();
        queued.extend(self.running.iter().map(|running| running.queued));
        self.inner.queue.renew(&self.inner.node, &queued, LEASE_MS).await?;
        self.renewed = Instant::now();
        Ok(())
    }

    async fn begin(&mut self, number: u64, waiting: Waiting) {
        let Waiting { record, since, place } = waiting;
        let priority = record.priority;
        let takes = if is_late(&record, self.inner.ledger.now()) {
            self.expire(&record).await;
            Duration::ZERO
        } else {
            metrics::histogram!("skein_live_wait_seconds").record(since.elapsed().as_secs_f64());
            self.deliver(record).await
        };
        // A place is of use to those that wait.
        let queued = Queued { number, priority, place: place.unwrap_or(Place(0)), is_running: true };
        self.running.push(Running { queued, until: Instant::now() + takes });
    }

    /// Tells every Comet; answers how long the slowest has to serve those it found.
    async fn deliver(&self, record: LiveRecord) -> Duration {
        let LiveAddress::All(audience) = record.address.clone() else { return Duration::ZERO };
        let tally = Tally::of(&record);
        let nodes = self.inner.fanout.nodes_in_reach();
        let share = |speed: u32| (speed / u32::try_from(nodes.len()).unwrap_or(u32::MAX).max(1)).max(1);
        let audience = Audience { speed: audience.speed.map(share), ..audience };
        tally.expect(nodes.len());
        if nodes.is_empty() {
            self.inner.ledger.tell(&tally).await;
        }
        let push = Push::Live { room: None, messages: vec![record.message] };
        let tell = |node| self.deliver_to(node, Envelope { target: Target::Audience(audience.clone()), push: push.clone() }, &tally);
        let served = join_all(nodes.iter().map(tell)).await.into_iter().max().unwrap_or(0);
        walk(served, audience.speed.unwrap_or(u32::MAX))
    }

    /// How many it serves.
    async fn deliver_to(&self, node: &NodeId, envelope: Envelope, tally: &Tally) -> u64 {
        let (found, queued, outcome) = match self.inner.fanout.deliver_once(node, envelope).await {
            Ok(Delivered { found, queued, .. }) => (found, queued, "delivered"),
            Err(error) => {
                tracing::debug!(%error, %node, "broadcast dropped");
                (0, 0, "unreachable")
            }
        };
        tally.deliver(found, queued);
        self.inner.ledger.settle(outcome, tally).await;
        queued
    }

    async fn expire(&self, record: &LiveRecord) {
        let tally = Tally::of(record);
        tally.expect(1);
        tally.expire();
        self.inner.ledger.settle("expired", &tally).await;
    }

    /// Nobody waits in vain.
    async fn end(&mut self) {
        let waiting = self.inner.kept().take_all();
        let running = self.running.iter().map(|running| running.queued.number);
        let numbers: Vec<u64> = waiting.keys().copied().chain(running).collect();
        if let Err(error) = self.inner.queue.leave(&self.inner.node, &numbers).await {
            tracing::info!(%error, "the queue of broadcasts finds out by itself that this node ends");
        }
        let dropped = waiting.into_values().map(|waiting| {
            let (ledger, tally) = (self.inner.ledger.clone(), Tally::of(&waiting.record));
            tally.expect(1);
            async move { ledger.dropped("ended", &tally).await }
        });
        futures_util::stream::iter(dropped).buffer_unordered(AT_A_TIME).collect::<Vec<()>>().await;
    }
}

/// How long a Comet takes for so many: it serves the first at once.
fn walk(served: u64, per_second: u32) -> Duration {
    Duration::from_millis(served.saturating_sub(1) * 1_000 / u64::from(per_second.max(1)))
}
