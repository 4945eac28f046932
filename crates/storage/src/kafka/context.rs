//! What librdkafka tells of itself: its log, and statistics for metrics.

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::statistics::{Partition, Statistics};
use std::sync::atomic::{AtomicBool, Ordering};

/// How often statistics come, in milliseconds.
pub(super) const STATISTICS_MS: &str = "5000";

pub(super) struct Context {
    /// The one topic a client of ours is for.
    topic: String,
    /// Its consumer takes nothing, and so knows of nothing new.
    is_held: AtomicBool,
}

impl Context {
    pub(super) fn of(topic: &str) -> Self {
        Self { topic: topic.to_owned(), is_held: AtomicBool::new(false) }
    }

    pub(super) fn set_held(&self, is_held: bool) {
        self.is_held.store(is_held, Ordering::Relaxed);
    }

    /// So many records are not done with. May come late, when records are taken again.
    pub(super) fn measured(&self, partition: i32, records: i64) {
        self.lag(partition).set(records as f64);
    }

    fn lag(&self, partition: i32) -> metrics::Gauge {
        metrics::gauge!("skein_kafka_lag_records", "topic" => self.topic.clone(), "partition" => partition.to_string())
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(facility, message, "kafka");
            }
            _ => tracing::debug!(facility, message, "kafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        metrics::counter!("skein_kafka_failures_total").increment(1);
        tracing::warn!(%error, reason, "kafka");
    }

    fn stats(&self, statistics: Statistics) {
        if statistics.client_type == "producer" {
            metrics::gauge!("skein_kafka_queued_bytes", "topic" => self.topic.clone()).set(statistics.msg_size as f64);
            return;
        }
        if self.is_held.load(Ordering::Relaxed) {
            return;
        }
        let partitions = statistics.topics.get(&self.topic).into_iter().flat_map(|topic| topic.partitions.values());
        for partition in partitions.filter(|partition| partition.fetch_state == "active" && partition.hi_offset >= 0) {
            self.lag(partition.partition).set(lag(partition) as f64);
        }
    }
}

/// Also of a partition of which nothing was ever committed.
fn lag(partition: &Partition) -> i64 {
    if partition.consumer_lag >= 0 { partition.consumer_lag } else { partition.hi_offset - partition.lo_offset.max(0) }
}

fn numbers(partitions: &TopicPartitionList) -> Vec<i32> {
    partitions.elements().iter().map(|partition| partition.partition()).collect()
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(gone) = rebalance else { return };
        // The lag of what goes to another member is that one's to tell.
        gone.elements().iter().for_each(|partition| self.lag(partition.partition()).set(0.0));
        // Paused while it goes, it would still be so when it comes back, and nothing would ever be taken from it.
        if let Err(error) = consumer.resume(gone) {
            tracing::warn!(%error, topic = self.topic, "partitions that go were not resumed");
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let count = consumer.assignment().as_ref().map_or(0, TopicPartitionList::count);
        metrics::gauge!("skein_kafka_partitions", "topic" => self.topic.clone()).set(count as f64);
        metrics::counter!("skein_kafka_rebalances_total", "topic" => self.topic.clone()).increment(1);
        match rebalance {
            Rebalance::Assign(come) => {
                tracing::info!(topic = self.topic, partitions = count, assigned = ?numbers(come), "kafka partitions")
            }
            Rebalance::Revoke(gone) => tracing::info!(topic = self.topic, partitions = count, revoked = ?numbers(gone), "kafka partitions"),
            Rebalance::Error(error) => tracing::warn!(%error, topic = self.topic, partitions = count, "kafka partitions"),
        }
    }
}
