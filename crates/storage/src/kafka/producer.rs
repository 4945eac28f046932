//! Logic's end: [`LogBus`] on Kafka.

use super::context::{Context, STATISTICS_MS};
use super::{Config, OpenError, TRACE, failed, topics};
use async_trait::async_trait;
use futures_util::future::try_join_all;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::OwnedDeliveryResult;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};
use skein_domain::port::{LogBus, LogEvent, LogRecord};
use skein_domain::trace::Trace;
use skein_domain::{Code, Error, Result};
use std::collections::VecDeque;
use std::time::Duration;

const BUSY_RETRY_MS: i64 = 200;
/// How long a batch that has begun waits for room, beyond the reports of its own records: 5 s.
const ROOM_LOOKS: u32 = 2_500;
const ROOM_EVERY: Duration = Duration::from_millis(2);
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

/// Records that go together: once one is queued the others wait for room, which what is queued makes by being acked.
pub(super) struct Batch<'a> {
    producer: &'a FutureProducer<Context>,
    reports: VecDeque<DeliveryFuture>,
    looks_left: Option<u32>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(producer: &'a FutureProducer<Context>) -> Self {
        Self { producer, reports: VecDeque::new(), looks_left: None }
    }

    /// `busy`: there is no room for the first, so none is queued.
    pub(super) async fn queue(&mut self, record: FutureRecord<'_, [u8], [u8]>) -> Result<()> {
        let mut record = record;
        loop {
            record = match self.producer.send_result(record) {
                Ok(report) => {
                    self.looks_left = Some(ROOM_LOOKS);
                    self.reports.push_back(report);
                    return Ok(());
                }
                Err((error, refused)) => {
                    self.make_room(&error).await?;
                    refused
                }
            };
        }
    }

    async fn make_room(&mut self, error: &KafkaError) -> Result<()> {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            return Err(failed(error));
        }
        if let Some(first) = self.reports.pop_front() {
            return reported(first.await);
        }
        let Some(looks) = self.looks_left else {
            return Err(Error::new(Code::Busy, "too many records wait for the log").retry_after(BUSY_RETRY_MS));
        };
        let Some(looks) = looks.checked_sub(1) else {
            return Err(Error::new(Code::Unavailable, "kafka: no room in time for all that go together"));
        };
        // What is acked leaves the queue a moment later.
        self.looks_left = Some(looks);
        tokio::time::sleep(ROOM_EVERY).await;
        Ok(())
    }

    /// What became of all of them.
    pub(super) async fn reported(self) -> Result<()> {
        try_join_all(self.reports.into_iter().map(|report| async { reported(report.await) })).await.map(drop)
    }
}

fn reported<E>(report: Result<OwnedDeliveryResult, E>) -> Result<()> {
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
        // In order, and a report is awaited before all are queued only to make room: a batch may be larger than the queue.
        let mut batch = Batch::new(&self.producer);
        for record in records {
            let (key, value) = (key(&record.event), serde_json::to_vec(&record).map_err(|_| Error::internal())?);
            let headers = traced(OwnedHeaders::new(), record.trace);
            let next = FutureRecord::to(&self.topic).key(key.as_bytes()).payload(value.as_slice()).headers(headers);
            batch.queue(next).await?;
        }
        batch.reported().await
    }
}

impl Drop for KafkaBus {
    fn drop(&mut self) {
        if let Err(error) = self.producer.flush(FLUSH) {
            tracing::warn!(%error, "kafka producer ended with records not acked; they are published again");
        }
    }
}
