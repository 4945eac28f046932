//! From the change log to the bus: one relay per shard, in order of revision.
//!
//! **Invariant:** the position moves only over records whose publication has returned; so after a crash the next owner
//! repeats some, and misses none. A failed publish stops its shard until it succeeds.
//!
//! Bounds: [`BATCH_MAX`] records at a time, one batch in flight per shard; [`BACKOFF_MAX`] between tries. How much is not
//! published is told to the [`Backlog`] at least every [`MEASURE_EVERY`] while the relay stands still.

use crate::job::backlog::Backlog;
use crate::traces::Traces;
use skein_domain::Result;
use skein_domain::fault::{Fault, planted};
use skein_domain::id::{Revision, Shard};
use skein_domain::port::{LogBus, LogEvent, LogRecord, MessageStore, Outbox};
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
    ports: RelayPorts,
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
    pub(crate) fn new(shard: Shard, ports: RelayPorts) -> Self {
        Self { shard, ports }
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
        let mut position = self.until_ok("position not read", || self.first_position()).await;
        loop {
            let (records, reached) = self.until_ok("records not read", || self.next(position)).await;
            if !records.is_empty() {
                self.until_ok("records not published", || self.publish(position, records.clone())).await;
                metrics::counter!("skein_relay_records_total").increment(records.len() as u64);
            }
            if reached > position {
                position = reached;
                self.advance(position).await;
            } else {
                self.measure(position).await;
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

    /// The records after `position`, and how far they reach: not every revision has a record.
    async fn next(&self, position: Revision) -> Result<(Vec<LogRecord>, Revision)> {
        // Before the records: what is committed up to here is among them.
        let head = self.head().await?;
        let records = self.ports.outbox.records(self.shard, position, BATCH_MAX).await?;
        let last = records.last().map_or(position, |record| record.revision);
        let is_all = records.len() < BATCH_MAX as usize;
        let records = records.into_iter().map(|record| LogRecord { trace: self.hop(&record.event), ..record }).collect();
        Ok((records, if is_all { last.max(head) } else { last }))
    }

    /// The append that stored it, if that was traced by this process.
    fn hop(&self, event: &LogEvent) -> Option<Trace> {
        match event {
            LogEvent::Entry { entry, .. } => self.ports.traces.take(entry),
            LogEvent::User { .. } => None,
        }
    }

    /// Measures meanwhile: it is a relay that stands still whose lag matters.
    async fn publish(&self, position: Revision, records: Vec<LogRecord>) -> Result<()> {
        self.measure(position).await;
        let mut publishing = self.ports.bus.publish(records);
        loop {
            match tokio::time::timeout(MEASURE_EVERY, &mut publishing).await {
                Ok(outcome) => return outcome,
                Err(_) => self.measure(position).await,
            }
        }
    }

    async fn measure(&self, position: Revision) {
        if let Ok(head) = self.head().await {
            let lag = head.0 - position.0;
            self.ports.backlog.tell(self.shard, lag);
            metrics::gauge!("skein_outbox_lag_revisions", "shard" => self.shard.0.to_string()).set(lag as f64);
        }
    }

    async fn head(&self) -> Result<Revision> {
        Ok(self.ports.messages.revisions().await?.get(usize::from(self.shard.0)).copied().unwrap_or_default())
    }

    /// Losing this costs repetitions after a restart.
    async fn advance(&self, to: Revision) {
        metrics::gauge!("skein_relay_position", "shard" => self.shard.0.to_string()).set(to.0 as f64);
        if let Err(error) = self.ports.outbox.advance(self.shard, to).await {
            tracing::warn!(%error, "published position not stored");
        }
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
