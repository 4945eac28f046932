//! What librdkafka tells of itself: its log, and statistics for metrics.

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;

/// How often statistics come, in milliseconds.
pub(super) const STATISTICS_MS: &str = "5000";

pub(super) struct Context;

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
        let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.iter());
        for (partition, statistics) in partitions.filter(|(partition, statistics)| **partition >= 0 && statistics.consumer_lag >= 0) {
            metrics::gauge!("skein_kafka_lag_records", "partition" => partition.to_string()).set(statistics.consumer_lag as f64);
        }
        metrics::gauge!("skein_kafka_queued_bytes").set(statistics.msg_size as f64);
    }
}

impl ConsumerContext for Context {}
