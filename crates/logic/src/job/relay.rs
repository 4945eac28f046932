//! From the change log to the bus: one relay per shard, in order of revision, while this node owns the shard.
//!
//! **Invariant:** the position moves only over records whose publication has returned; so after a crash the next owner
//! repeats some, and misses none. A failed publish stops its shard until it succeeds.
//! **Invariant:** nothing is begun to be published without a lease that holds, and a position is told with its fence.
//!
//! Bounds: [`BATCH_MAX`] records at a time, one batch in flight per shard; [`BACKOFF_MAX`] between tries. How much is not
//! published is told to the [`Backlog`] at least every [`MEASURE_EVERY`] while the relay stands still.

use crate::job::backlog::Backlog;
use crate::job::ownership::Title;
use crate::traces::Traces;
use skein_domain::Result;
use skein_domain::fault::{self, Fault, planted};
use skein_domain::id::{Fence, Revision, Shard};
use skein_domain::port::{Fenced, LogBus, LogEvent, LogRecord, MessageStore, Outbox};
use skein_domain::trace::Trace;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const BATCH_MAX: u32 = 256;
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
const MEASURE_EVERY: Duration = Duration::from_millis(500);

pub struct Relay {
    shard: Shard,
    title: Title,
    ports: RelayPorts,
}

/// What comes next.
struct Batch {
    records: Vec<LogRecord>,
    /// How far they reach: not every revision has a record.
    reached: Revision,
    head: Revision,
}

/// What all relays of a node share.
#[derive(Clone)]
pub(crate) struct RelayPorts {
    pub outbox: Arc<dyn Outbox>,
    pub messages: Arc<dyn MessageStore>,
    pub bus: Arc<dyn LogBus>,
    pub traces: Traces,
    pub backlog: Backlog,
}

impl Relay {
    pub(crate) fn new(shard: Shard, title: Title, ports: RelayPorts) -> Self {
        Self { shard, title, ports }
    }

    /// Until `shutdown`.
    #[tracing::instrument(name = "relay", skip_all, fields(shard = self.shard.0))]
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = self.forever() => {}
        }
    }

    async fn forever(&self) {
        let mut title = self.title.clone();
        loop {
            let fence = title.granted().await;
            tokio::select! {
                biased;
                () = title.lost(fence) => {}
                fenced = self.relay(fence) => {
                    tracing::warn!(%fenced, "relay stops");
                    title.lost(fence).await;
                }
            }
        }
    }

    /// Until another owner is known to have the shard.
    async fn relay(&self, fence: Option<Fence>) -> Fenced {
        let mut position = self.until_ok("position not read", || self.first_position()).await;
        loop {
            let Batch { records, reached, head } = self.until_ok("records not read", || self.next(position)).await;
            self.tell(position, head);
            if !records.is_empty() {
                self.title.holds().await;
                if planted(Fault::AdvancedBeforeAck) {
                    let _ = self.advance(reached, fence).await;
                    tokio::time::sleep(fault::LATER).await;
                }
                self.until_ok("records not published", || self.publish(position, records.clone())).await;
                metrics::counter!("skein_relay_records_total").increment(records.len() as u64);
            }
            if reached > position {
                position = reached;
                if let Err(fenced) = self.advance(position, fence).await {
                    return fenced;
                }
            } else {
                self.ports.outbox.committed(self.shard, position).await;
            }
        }
    }

    async fn first_position(&self) -> Result<Revision> {
        if planted(Fault::LeftoversNotPublished) {
            return self.head().await;
        }
        self.ports.outbox.position(self.shard).await
    }

    async fn next(&self, position: Revision) -> Result<Batch> {
        // Before the records: what is committed up to here is among them.
        let head = self.head().await?;
        let records = self.ports.outbox.records(self.shard, position, BATCH_MAX).await?;
        let last = records.last().map_or(position, |record| record.revision);
        let reached = if records.len() < BATCH_MAX as usize { last.max(head) } else { last };
        let records = records.into_iter().map(|record| LogRecord { trace: self.hop(&record.event), ..record }).collect();
        Ok(Batch { records, reached, head })
    }

    /// The append that stored it, if that was traced by this process.
    fn hop(&self, event: &LogEvent) -> Option<Trace> {
        match event {
            LogEvent::Entry { entry, .. } => self.ports.traces.take(entry),
            LogEvent::User { .. } => None,
        }
    }

    /// Measures when it fails, and meanwhile: it is a relay that stands still whose lag matters.
    async fn publish(&self, position: Revision, records: Vec<LogRecord>) -> Result<()> {
        let mut publishing = self.ports.bus.publish(records);
        loop {
            let outcome = tokio::time::timeout(MEASURE_EVERY, &mut publishing).await;
            if let Ok(Ok(())) = outcome {
                return Ok(());
            }
            if let Ok(head) = self.head().await {
                self.tell(position, head);
            }
            if let Ok(failed) = outcome {
                return failed;
            }
        }
    }

    fn tell(&self, position: Revision, head: Revision) {
        self.ports.backlog.tell(self.shard, head.0 - position.0);
    }

    async fn head(&self) -> Result<Revision> {
        Ok(self.ports.messages.revisions().await?.get(usize::from(self.shard.0)).copied().unwrap_or_default())
    }

    /// Losing this costs repetitions after a restart.
    async fn advance(&self, to: Revision, fence: Option<Fence>) -> Result<(), Fenced> {
        metrics::gauge!("skein_relay_position", "shard" => self.shard.0.to_string()).set(to.0 as f64);
        self.ports.outbox.advance(self.shard, to, fence).await
    }

    async fn until_ok<T, Work: Future<Output = Result<T>>>(&self, failed: &'static str, work: impl Fn() -> Work) -> T {
        let mut pause = BACKOFF_FIRST;
        loop {
            match work().await {
                Ok(value) => return value,
                Err(error) => {
                    metrics::counter!("skein_relay_failures_total").increment(1);
                    tracing::warn!(%error, failed, "relay stands still");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(BACKOFF_MAX);
        }
    }
}
