//! One member of a consumer group on one topic.
//!
//! **Invariant:** places are committed by hand, and only those that were reported as finished.
//!
//! Put out of the group, a member comes back by itself, without its name, for which it was put out: so it can put out nobody.
//!
//! **Bound:** reports are gathered for [`COMMIT_EVERY`]; a crash repeats what was finished since.

use super::context::{Context, STATISTICS_MS};
use super::{Config, OpenError, failed};
use futures_util::FutureExt;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::OwnedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use skein_domain::{Code, Error, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How long [`Member::next`] waits for a first record.
pub(super) const POLL: Duration = Duration::from_millis(1_000);
/// Of one question to a broker.
const ASK: Duration = Duration::from_secs(2);
const COMMIT_EVERY: Duration = Duration::from_millis(100);
/// A member that is silent for so long is dead, and others get its partitions: the least that brokers allow as they come.
const SESSION_MS: &str = "6000";
const HEARTBEAT_MS: &str = "2000";
/// How long leaving may take: half a second, a fifth of it after the partitions are let go of.
const LEAVE_LOOKS: u32 = 50;
const LEAVE_EVERY: Duration = Duration::from_millis(10);

pub(super) struct Member {
    consumer: RwLock<Arc<StreamConsumer<Context>>>,
    client: ClientConfig,
    topic: String,
    finished: Mutex<Finished>,
    /// While nothing is to be taken: what came all the same.
    held: Mutex<Option<Vec<OwnedMessage>>>,
}

#[derive(Default)]
struct Finished {
    /// Partition → where a restart begins; not yet committed.
    next: BTreeMap<i32, i64>,
    committed_at: Option<Instant>,
}

impl Member {
    /// `name`: of this node. Whoever comes back under it has its partitions at once, and whoever else still has it is out.
    pub(super) fn join(config: &Config, group: &str, topic: &str, name: &str) -> Result<Self, OpenError> {
        let settings = [
            ("group.id", group),
            ("group.instance.id", name),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "earliest"),
            ("session.timeout.ms", SESSION_MS),
            ("heartbeat.interval.ms", HEARTBEAT_MS),
            ("statistics.interval.ms", STATISTICS_MS),
        ];
        tracing::info!(?settings, topic, "kafka consumer");
        let mut client = config.client();
        for (name, value) in settings {
            client.set(name, value);
        }
        // So that the first one shows as an increase.
        rejoins(topic).increment(0);
        let consumer = RwLock::new(Arc::new(begin(&client, topic)?));
        Ok(Self { consumer, client, topic: topic.to_owned(), finished: Mutex::default(), held: Mutex::default() })
    }

    pub(super) fn consumer(&self) -> Arc<StreamConsumer<Context>> {
        self.consumer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is there now, or comes within a second, at most `limit`. What the client tells of its links in between is no
    /// reason to stop: it mends them by itself.
    pub(super) async fn next<T>(&self, limit: usize, read: impl Fn(&OwnedMessage) -> T) -> Result<Vec<T>> {
        let consumer = self.member_of_the_group()?;
        self.commit_if_due();
        let until = Instant::now() + POLL;
        let mut records: Vec<T> = self.take_held(&consumer)?.iter().map(&read).collect();
        while records.len() < limit {
            let received = match consumer.recv().now_or_never() {
                Some(received) => received,
                None if records.is_empty() => match tokio::time::timeout_at(until.into(), consumer.recv()).await {
                    Ok(received) => received,
                    Err(_) => break,
                },
                None => break,
            };
            match received {
                Ok(message) => {
                    // Whoever waited here while the log was held: what came meanwhile is older.
                    records.extend(self.held().iter_mut().flatten().map(|held| read(held)));
                    self.held().iter_mut().for_each(Vec::clear);
                    records.push(read(&message.detach()));
                }
                Err(error) => told(&error),
            }
        }
        Ok(records)
    }

    /// Takes nothing for a second, and hears what the client has to say: whoever does not poll is put out of the group after
    /// a while.
    pub(super) async fn hold(&self) -> Result<()> {
        let consumer = self.member_of_the_group()?;
        self.commit_if_due();
        let mine = consumer.assignment().map_err(|error| failed(&error))?;
        // First: whatever comes of pausing, taking again resumes.
        self.held().get_or_insert_default();
        consumer.pause(&mine).map_err(|error| failed(&error))?;
        consumer.context().set_held(true);
        measure(consumer.clone(), mine).await;
        match tokio::time::timeout(POLL, consumer.recv()).await {
            // Of a partition that came just now.
            Ok(Ok(message)) => self.held().get_or_insert_default().push(message.detach()),
            Ok(Err(error)) => told(&error),
            Err(_) => {}
        }
        Ok(())
    }

    /// What came while nothing was to be taken; from now on more is.
    fn take_held(&self, consumer: &StreamConsumer<Context>) -> Result<Vec<OwnedMessage>> {
        let mut held = self.held();
        if held.is_some() {
            let mine = consumer.assignment().map_err(|error| failed(&error))?;
            consumer.resume(&mine).map_err(|error| failed(&error))?;
            consumer.context().set_held(false);
        }
        Ok(held.take().unwrap_or_default())
    }

    fn held(&self) -> MutexGuard<'_, Option<Vec<OwnedMessage>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another took this node's name, or brokers that lost their memory of it hold it for another: as it is it would get
    /// nothing any more. What was taken and not reported comes again, here or elsewhere.
    fn member_of_the_group(&self) -> Result<Arc<StreamConsumer<Context>>> {
        let consumer = self.consumer();
        let Some((_, reason)) = consumer.client().fatal_error() else { return Ok(consumer) };
        let mut current = self.consumer.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, &consumer) {
            return Ok(current.clone());
        }
        rejoins(&self.topic).increment(1);
        let mut nameless = self.client.clone();
        *current = Arc::new(begin(nameless.remove("group.instance.id"), &self.topic).map_err(|error| failed(&error))?);
        drop(current);
        (*self.held(), *self.reports()) = (None, Finished::default());
        let_go(consumer);
        let name = self.client.get("group.instance.id").unwrap_or_default();
        let out = format!(
            "kafka: out of the group, and joining it again without a name: is another process called node.name = {name:?}? {reason}"
        );
        Err(Error::new(Code::Unavailable, out))
    }

    pub(super) fn finished(&self, partition: i32, next: i64) {
        self.reports().next.insert(partition, next);
        self.commit_if_due();
    }

    fn reports(&self) -> MutexGuard<'_, Finished> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit_if_due(&self) {
        let mut finished = self.reports();
        if finished.committed_at.is_none_or(|at| at.elapsed() >= COMMIT_EVERY) {
            self.commit(&mut finished);
        }
    }

    fn commit(&self, finished: &mut Finished) {
        if finished.next.is_empty() {
            return;
        }
        finished.committed_at = Some(Instant::now());
        if let Err(error) = self.try_commit(std::mem::take(&mut finished.next)) {
            tracing::warn!(%error, topic = self.topic, "places not committed; after a restart the last records come again");
        }
    }

    fn try_commit(&self, finished: BTreeMap<i32, i64>) -> KafkaResult<()> {
        let consumer = self.consumer();
        let mine = consumer.assignment()?;
        let mut places = TopicPartitionList::new();
        for (partition, next) in finished {
            // What has gone to another member is that one's to report.
            if mine.find_partition(&self.topic, partition).is_some() {
                places.add_partition_offset(&self.topic, partition, Offset::Offset(next))?;
            }
        }
        if places.count() == 0 { Ok(()) } else { consumer.commit(&places, CommitMode::Async) }
    }
}

fn rejoins(topic: &str) -> metrics::Counter {
    metrics::counter!("skein_kafka_rejoins_total", "topic" => topic.to_owned())
}

fn begin(client: &ClientConfig, topic: &str) -> KafkaResult<StreamConsumer<Context>> {
    let consumer: StreamConsumer<Context> = client.create_with_context(Context::of(topic))?;
    consumer.subscribe(&[topic])?;
    Ok(consumer)
}

/// The client's own statistics know of new records by fetching them, which it does not now.
async fn measure(consumer: Arc<StreamConsumer<Context>>, mine: TopicPartitionList) {
    let asking = tokio::task::spawn_blocking(move || {
        for place in consumer.committed_offsets(mine, ASK)?.elements() {
            let (low, high) = consumer.fetch_watermarks(place.topic(), place.partition(), ASK)?;
            let done = place.offset().to_raw().filter(|offset| *offset >= low).unwrap_or(low);
            consumer.context().measured(place.partition(), high - done);
        }
        Ok::<_, KafkaError>(())
    });
    if let Ok(Err(error)) = asking.await {
        told(&error);
    }
}

/// That links are down the client has told already.
fn told(error: &KafkaError) {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure};
    if !matches!(error, KafkaError::MessageConsumption(AllBrokersDown | BrokerTransportFailure)) {
        metrics::counter!("skein_kafka_failures_total").increment(1);
        tracing::warn!(%error, "kafka");
    }
}

impl Drop for Member {
    /// Commits, and leaves: a member that has a name and only ends would keep its partitions until it is held for dead.
    fn drop(&mut self) {
        let mut finished = std::mem::take(self.finished.get_mut().unwrap_or_else(PoisonError::into_inner));
        self.commit(&mut finished);
        let_go(self.consumer());
    }
}

fn let_go(consumer: Arc<StreamConsumer<Context>>) {
    match Handle::try_current() {
        // Its threads do not wait for brokers; its end waits for those that do.
        Ok(runtime) => drop(runtime.spawn_blocking(move || leave(&consumer))),
        Err(_) => leave(&consumer),
    }
}

/// Blocks, for [`LEAVE_LOOKS`] at most.
#[expect(clippy::disallowed_methods, reason = "on a thread for what blocks, and the client tells nobody that it has left")]
fn leave(consumer: &StreamConsumer<Context>) {
    consumer.unsubscribe();
    let mut left = LEAVE_LOOKS;
    while left > 0 {
        // It lets go of its partitions while it is polled, and says so to the brokers a moment later.
        drop(consumer.recv().now_or_never());
        let is_free = consumer.assignment().is_ok_and(|mine| mine.count() == 0);
        left = if is_free { left.min(LEAVE_LOOKS / 5) - 1 } else { left - 1 };
        std::thread::sleep(LEAVE_EVERY);
    }
}
