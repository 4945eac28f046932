//! Logic's end: [`LogBus`] on Kafka.

use super::context::{Context, STATISTICS_MS};
use super::{Config, OpenError, TRACE, failed, topics};
use async_trait::async_trait;
use futures_util::future::try_join_all;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::OwnedDeliveryResult;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use skein_domain::port::{LogBus, LogEvent, LogRecord};
use skein_domain::trace::Trace;
use skein_domain::{Code, Error, Result};
use std::time::Duration;

/// How long records that are not acked yet may take when the node ends.
const FLUSH: Duration = Duration::from_secs(5);

pub struct KafkaBus {
    producer: FutureProducer<Context>,
    topic: String,
}

impl KafkaBus {
    /// Makes the topics if there are none.
    pub async fn open(config: &Config) -> Result<Self, OpenError> {
        topics::ensure(config).await?;
        Ok(Self { producer: producer(config, &config.topic, "consistent_random")?, topic: config.topic.clone() })
    }

    /// Queued when this returns; the future tells what became of it.
    fn send(&self, record: &LogRecord) -> Result<impl Future<Output = Result<()>> + use<>> {
        let (key, value) = (key(&record.event), serde_json::to_vec(record).map_err(|_| Error::internal())?);
        let headers = traced(OwnedHeaders::new(), record.trace);
        let queued = self.producer.send_result(FutureRecord::to(&self.topic).key(&key).payload(&value).headers(headers));
        let report = queued.map_err(|(error, _)| failed(&error))?;
        Ok(async move { reported(report.await) })
    }
}

/// `partitioner`: which partition a key is on.
pub(super) fn producer(config: &Config, topic: &str, partitioner: &str) -> Result<FutureProducer<Context>, OpenError> {
    let settings = [
        ("acks", "all".to_owned()),
        ("enable.idempotence", "true".to_owned()),
        ("retries", i32::MAX.to_string()),
        ("compression.type", "lz4".to_owned()),
        ("linger.ms", "1".to_owned()),
        ("partitioner", partitioner.to_owned()),
        ("message.timeout.ms", config.timeout_ms.to_string()),
        ("queue.buffering.max.kbytes", config.queued_kib.to_string()),
    ];
    tracing::info!(?settings, topic, "kafka producer");
    let mut client = config.client();
    client.set("statistics.interval.ms", STATISTICS_MS);
    for (name, value) in settings {
        client.set(name, value);
    }
    Ok(client.create_with_context(Context::of(topic))?)
}

/// The hop that wrote the record, as W3C has it.
pub(super) fn traced(headers: OwnedHeaders, trace: Option<Trace>) -> OwnedHeaders {
    match trace {
        Some(hop) => headers.insert(Header { key: TRACE, value: Some(&hop.to_string()) }),
        None => headers,
    }
}

pub(super) fn reported<E>(report: Result<OwnedDeliveryResult, E>) -> Result<()> {
    let outcome = match report {
        Ok(Ok(_)) => Ok(()),
        Ok(Err((error, _))) => Err(failed(&error)),
        Err(_) => Err(Error::new(Code::Unavailable, "kafka: the producer ended")),
    };
    let label = if outcome.is_ok() { "acked" } else { "failed" };
    metrics::counter!("skein_kafka_records_total", "outcome" => label).increment(1);
    outcome
}

pub(super) fn key(event: &LogEvent) -> String {
    match event {
        LogEvent::Entry { entry, .. } => format!("conversation:{}", entry.conversation),
        LogEvent::User { uid, .. } => format!("user:{uid}"),
    }
}

#[async_trait]
impl LogBus for KafkaBus {
    async fn publish(&self, records: Vec<LogRecord>) -> Result<()> {
        // All are queued, in order, before the first report is awaited.
        let reports = records.iter().map(|record| self.send(record)).collect::<Result<Vec<_>>>()?;
        try_join_all(reports).await.map(drop)
    }
}

impl Drop for KafkaBus {
    fn drop(&mut self) {
        if let Err(error) = self.producer.flush(FLUSH) {
            tracing::warn!(%error, "kafka producer ended with records not acked; they are published again");
        }
    }
}
