//! From the log to the fan-out, in `pipeline` mode: lanes, and how far each partition is done.
//!
//! **Invariant:** records of one conversation, and of one user, are fanned out in order, each after the outcome of the one
//! before; those of others do not wait for them. What is reported as finished is the place below which *everything* is
//! done, so a crash repeats records and misses none.
//!
//! **Bound:** [`UNDER_WAY_MAX`] records taken and not done; beyond it nothing is taken, and after [`PAUSE`] the log is held.
//! A record is tried [`TRIES`] times and then set aside, or for [`AWAY_MAX`] if what fails is an engine that is away; what
//! cannot be read is set aside at once. Setting aside is tried until it works: until then its partition is not reported
//! further.

use crate::job::dispatch::{Dispatch, Lane};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use skein_domain::fault::{self, Fault, planted};
use skein_domain::port::{Consumed, LogSource};
use skein_domain::{Code, Error, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const UNDER_WAY_MAX: usize = 4_096;
const TAKEN_AT_ONCE: usize = 512;
const TRIES: u32 = 3;
const TRY_PAUSE: Duration = Duration::from_millis(100);
const TRY_PAUSES_MAX: u32 = 10;
const AWAY_MAX: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(1);

pub struct Intake {
    source: Arc<dyn LogSource>,
    dispatch: Arc<Dispatch>,
}

/// Records of a lane that wait for the one under way.
type Waiting = HashMap<Lane, VecDeque<Consumed>>;
type Running = FuturesUnordered<BoxFuture<'static, (Option<Lane>, i32, i64)>>;

impl Intake {
    pub fn new(source: Arc<dyn LogSource>, dispatch: Arc<Dispatch>) -> Self {
        Self { source, dispatch }
    }

    /// Until `shutdown`; what is under way then is repeated by whoever comes next.
    #[tracing::instrument(name = "intake", skip_all)]
    pub async fn run(self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.forever()).await;
    }

    async fn forever(&self) {
        let (mut waiting, mut running, mut done) = (Waiting::new(), Running::new(), Done::default());
        let (mut next, mut held) = (self.take(TAKEN_AT_ONCE), self.hold());
        let mut under_way = 0;
        loop {
            let has_room = under_way < UNDER_WAY_MAX;
            tokio::select! {
                Some((lane, partition, offset)) = running.next() => {
                    under_way -= 1;
                    if let Some(lane) = lane {
                        self.go_on(lane, &mut waiting, &mut running);
                    }
                    if let Some(next) = done.finish(partition, offset) {
                        self.report(partition, next).await;
                    }
                }
                // The call under way is kept when another arm wins: what it has taken is not lost.
                records = &mut next, if has_room => {
                    under_way += records.len();
                    for record in records {
                        done.begin(record.partition, record.offset);
                        self.line_up(record, &mut waiting, &mut running);
                    }
                    metrics::gauge!("skein_intake_under_way").set(under_way as f64);
                    (next, held) = (self.take(TAKEN_AT_ONCE), self.hold());
                }
                () = &mut held, if !has_room => held = self.hold(),
            }
        }
    }

    fn take(&self, limit: usize) -> BoxFuture<'static, Vec<Consumed>> {
        let source = self.source.clone();
        Box::pin(async move {
            match source.next(limit).await {
                Ok(records) => records,
                Err(error) => {
                    metrics::counter!("skein_intake_failures_total").increment(1);
                    tracing::warn!(%error, "log not read");
                    tokio::time::sleep(PAUSE).await;
                    Vec::new()
                }
            }
        })
    }

    /// Not at once: who takes again in a moment is to find the next records there.
    fn hold(&self) -> BoxFuture<'static, ()> {
        let source = self.source.clone();
        Box::pin(async move {
            tokio::time::sleep(PAUSE).await;
            if let Err(error) = source.hold().await {
                tracing::warn!(%error, "log not held");
            }
        })
    }

    fn line_up(&self, record: Consumed, waiting: &mut Waiting, running: &mut Running) {
        let Some(read) = &record.record else {
            return running.push(self.set_aside(record, "not a record this version can read"));
        };
        let lane = Lane::of(&read.event);
        match waiting.get_mut(&lane) {
            Some(line) => line.push_back(record),
            None => {
                waiting.insert(lane, VecDeque::new());
                running.push(self.fan_out(lane, record));
            }
        }
    }

    fn go_on(&self, lane: Lane, waiting: &mut Waiting, running: &mut Running) {
        match waiting.get_mut(&lane).and_then(VecDeque::pop_front) {
            Some(record) => running.push(self.fan_out(lane, record)),
            None => drop(waiting.remove(&lane)),
        }
    }

    fn fan_out(&self, lane: Lane, record: Consumed) -> BoxFuture<'static, (Option<Lane>, i32, i64)> {
        let (source, dispatch) = (self.source.clone(), self.dispatch.clone());
        Box::pin(async move {
            if planted(Fault::FinishedBeforeFanOut) {
                let _ = source.finished(record.partition, record.offset + 1).await;
                tokio::time::sleep(fault::LATER).await;
            }
            if let Err(error) = tries(&dispatch, &record).await {
                keep_aside(&*source, &record, &error.to_string()).await;
            }
            (Some(lane), record.partition, record.offset)
        })
    }

    fn set_aside(&self, record: Consumed, reason: &'static str) -> BoxFuture<'static, (Option<Lane>, i32, i64)> {
        let source = self.source.clone();
        Box::pin(async move {
            keep_aside(&*source, &record, reason).await;
            (None, record.partition, record.offset)
        })
    }

    /// Losing this costs repetitions after a restart.
    async fn report(&self, partition: i32, next: i64) {
        if let Err(error) = self.source.finished(partition, next).await {
            tracing::warn!(%error, partition, next, "finished place not stored");
        }
    }
}

/// The record is not to blame, and those behind it would fare no better.
fn is_away(error: &Error) -> bool {
    matches!(error.code, Code::Unavailable | Code::Busy | Code::Timeout)
}

async fn tries(dispatch: &Dispatch, record: &Consumed) -> Result<()> {
    let Some(read) = &record.record else { return Ok(()) };
    let away_until = Instant::now() + AWAY_MAX;
    let mut nth = 1;
    loop {
        match dispatch.one(read.clone()).await {
            Err(error) if nth < TRIES || (is_away(&error) && Instant::now() < away_until) => {
                tracing::warn!(%error, nth, "record not fanned out");
                tokio::time::sleep(TRY_PAUSE * nth.min(TRY_PAUSES_MAX)).await;
                nth += 1;
            }
            outcome => return outcome,
        }
    }
}

async fn keep_aside(source: &dyn LogSource, record: &Consumed, reason: &str) {
    metrics::counter!("skein_fanout_dead_letters_total").increment(1);
    tracing::error!(reason, partition = record.partition, offset = record.offset, "record set aside");
    while let Err(error) = source.set_aside(record, reason).await {
        tracing::warn!(%error, "record not set aside, trying again");
        tokio::time::sleep(PAUSE).await;
    }
}

/// How far each partition is done.
#[derive(Default)]
struct Done {
    partitions: BTreeMap<i32, Progress>,
}

#[derive(Default)]
struct Progress {
    open: BTreeSet<i64>,
    /// Behind the last that was taken.
    end: i64,
    reported: i64,
}

impl Done {
    /// An offset that is taken a second time, after a rebalance, begins the partition anew.
    fn begin(&mut self, partition: i32, offset: i64) {
        let fresh = || Progress { reported: offset, ..Progress::default() };
        let progress = self.partitions.entry(partition).or_insert_with(fresh);
        if offset < progress.end {
            *progress = fresh();
        }
        progress.end = offset + 1;
        progress.open.insert(offset);
    }

    /// The place to report, if it has moved.
    fn finish(&mut self, partition: i32, offset: i64) -> Option<i64> {
        let progress = self.partitions.get_mut(&partition)?;
        if !progress.open.remove(&offset) {
            return None;
        }
        let next = progress.open.first().copied().unwrap_or(progress.end);
        (next > progress.reported).then(|| {
            progress.reported = next;
            next
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_below_everything_open_is_reported() {
        let mut done = Done::default();
        for offset in [5, 6, 7] {
            done.begin(0, offset);
        }
        assert_eq!(done.finish(0, 6), None, "5 is open");
        assert_eq!(done.finish(0, 5), Some(7));
        done.begin(1, 40);
        assert_eq!(done.finish(0, 7), Some(8));
        assert_eq!(done.finish(1, 40), Some(41));
    }

    #[test]
    fn a_partition_that_comes_back_begins_anew() {
        let mut done = Done::default();
        done.begin(0, 5);
        done.begin(0, 6);
        done.begin(0, 5);
        assert_eq!(done.finish(0, 6), None, "what was open before is somebody else's");
        assert_eq!(done.finish(0, 5), Some(6));
    }
}
