//! The job's end: [`LogSource`] on Kafka, one member of a consumer group.
//!
//! **Invariant:** positions are committed by hand, and only those that were reported as finished.
//!
//! **Bound:** reports are gathered for [`COMMIT_EVERY`]; a crash repeats what was finished since.

use super::context::{Context, STATISTICS_MS};
use super::producer::key;
use super::{Config, OpenError, failed, topics};
use async_trait::async_trait;
use futures_util::FutureExt;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::Offset;
use rdkafka::util::Timeout;
use skein_domain::Result;
use skein_domain::port::{Consumed, LogSource};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long [`LogSource::next`] waits for a first record.
const POLL: Duration = Duration::from_millis(1_000);
const COMMIT_EVERY: Duration = Duration::from_millis(100);

pub struct KafkaSource {
    pub(super) consumer: StreamConsumer<Context>,
    dead: FutureProducer<Context>,
    topic: String,
    dead_topic: String,
    timeout: Duration,
    finished: Mutex<Finished>,
}

#[derive(Default)]
struct Finished {
    /// Partition → where a restart begins; not yet committed.
    next: BTreeMap<i32, i64>,
    committed_at: Option<Instant>,
}

impl KafkaSource {
    /// Joins the group; makes the topics if there are none.
    pub async fn open(config: &Config) -> Result<Self, OpenError> {
        topics::ensure(config).await?;
        let settings = [
            ("group.id", config.group.as_str()),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "earliest"),
            ("session.timeout.ms", "10000"),
            ("statistics.interval.ms", STATISTICS_MS),
        ];
        tracing::info!(?settings, topic = config.topic, "kafka consumer");
        let mut client = config.client();
        for (name, value) in settings {
            client.set(name, value);
        }
        let consumer: StreamConsumer<Context> = client.create_with_context(Context)?;
        consumer.subscribe(&[&config.topic])?;
        let mut dead = config.client();
        dead.set("acks", "all").set("enable.idempotence", "true").set("message.timeout.ms", config.timeout_ms.to_string());
        Ok(Self {
            consumer,
            dead: dead.create_with_context(Context)?,
            topic: config.topic.clone(),
            dead_topic: config.dead_topic(),
            timeout: Duration::from_millis(config.timeout_ms.into()),
            finished: Mutex::default(),
        })
    }

    fn commit_if_due(&self) -> Result<()> {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = finished.committed_at.is_none_or(|at| at.elapsed() >= COMMIT_EVERY);
        if !is_due || finished.next.is_empty() {
            return Ok(());
        }
        let mine = self.consumer.assignment().map_err(|error| failed(&error))?;
        let mut places = TopicPartitionList::new();
        for (partition, next) in std::mem::take(&mut finished.next) {
            // What has gone to another member is that one's to report.
            if mine.find_partition(&self.topic, partition).is_some() {
                places.add_partition_offset(&self.topic, partition, Offset::Offset(next)).map_err(|error| failed(&error))?;
            }
        }
        finished.committed_at = Some(Instant::now());
        if places.count() == 0 {
            return Ok(());
        }
        self.consumer.commit(&places, CommitMode::Async).map_err(|error| failed(&error))
    }
}

#[async_trait]
impl LogSource for KafkaSource {
    async fn next(&self, limit: usize) -> Result<Vec<Consumed>> {
        self.commit_if_due()?;
        let mut records = Vec::new();
        let first = tokio::time::timeout(POLL, self.consumer.recv()).await;
        let mut received = first.ok();
        while let Some(message) = received {
            records.push(consumed(&message.map_err(|error| failed(&error))?));
            if records.len() == limit {
                break;
            }
            received = self.consumer.recv().now_or_never();
        }
        Ok(records)
    }

    async fn finished(&self, partition: i32, next: i64) -> Result<()> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).next.insert(partition, next);
        self.commit_if_due()
    }

    async fn set_aside(&self, record: &Consumed, reason: &str) -> Result<()> {
        let (partition, offset) = (record.partition.to_string(), record.offset.to_string());
        let headers = [("reason", reason), ("topic", &self.topic), ("partition", &partition), ("offset", &offset)];
        let headers =
            headers.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        // The same key: put back, records of a conversation keep their order.
        let key = record.record.as_ref().map(|record| key(&record.event)).unwrap_or_default();
        let dead = FutureRecord::to(&self.dead_topic).key(&key).payload(&record.bytes).headers(headers);
        self.dead.send(dead, Timeout::After(self.timeout)).await.map(drop).map_err(|(error, _)| failed(&error))
    }
}

fn consumed(message: &impl Message) -> Consumed {
    let bytes = message.payload().unwrap_or_default().to_vec();
    let record = serde_json::from_slice(&bytes).ok();
    Consumed { partition: message.partition(), offset: message.offset(), bytes, record }
}
