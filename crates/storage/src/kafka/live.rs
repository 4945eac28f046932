//! Transient pushes on Kafka, on a topic of their own: [`LiveLog`] and [`LiveSource`].
//!
//! The key of a record is its room or its one receiver, so each keeps its order on one partition: the same that goim's
//! logic chooses (FNV-1a, as Sarama has it). How a record is written down is its [`LiveCodec`]'s matter.
//!
//! **Invariant:** what was taken is reported as finished before it is handed on: a push that is promised to nobody comes
//! once or not at all, but for what was taken in the last tenth of a second before a crash or a rebalance.
//!
//! **Bound:** `queued_kib` wait in the producer; beyond it a push is answered `busy`. One not acked within `timeout_ms` is
//! answered `unavailable`, and may come all the same. One older than [`AGE_MAX`] is left out.

use super::context::Context;
use super::member::Member;
use super::producer::{Batch, producer};
use super::{Config, OpenError, topics};
use async_trait::async_trait;
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use skein_domain::Result;
use skein_domain::live::{LiveAddress, LiveRecord};
use skein_domain::port::{LiveLog, LiveSource};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whoever was to see it then has seen something newer, or has gone.
const AGE_MAX: Duration = Duration::from_secs(60);
const PARTITIONER: &str = "fnv1a_random";

/// How a push is written down.
#[derive(Clone, Copy)]
pub struct LiveCodec {
    pub key: fn(&LiveRecord) -> Vec<u8>,
    pub encode: fn(&LiveRecord) -> Vec<u8>,
    /// `Err`: why it is none.
    pub decode: fn(&[u8]) -> Result<LiveRecord, String>,
}

pub struct KafkaLiveLog {
    producer: FutureProducer<Context>,
    topic: String,
    codec: LiveCodec,
}

impl KafkaLiveLog {
    /// Makes the topic if there is none.
    pub async fn open(config: &Config, codec: LiveCodec) -> Result<Self, OpenError> {
        topics::ensure_live(config).await?;
        let topic = config.push_topic.clone();
        Ok(Self { producer: producer(config, &topic, PARTITIONER)?, topic, codec })
    }
}

#[async_trait]
impl LiveLog for KafkaLiveLog {
    async fn publish(&self, records: Vec<LiveRecord>) -> Result<()> {
        let mut batch = Batch::new(&self.producer);
        for record in records.into_iter().flat_map(one_receiver_each) {
            let (key, value) = ((self.codec.key)(&record), (self.codec.encode)(&record));
            let next = FutureRecord::to(&self.topic).key(key.as_slice()).payload(value.as_slice());
            batch.queue(next).await?;
        }
        batch.reported().await
    }
}

/// Pushes to one receiver keep their order only if each has that receiver's key.
fn one_receiver_each(record: LiveRecord) -> Vec<LiveRecord> {
    let with = |address| LiveRecord { address, ..record.clone() };
    match &record.address {
        LiveAddress::Guests { node, keys } => {
            keys.iter().map(|key| with(LiveAddress::Guests { node: node.clone(), keys: vec![key.clone()] })).collect()
        }
        LiveAddress::Sessions { node, connections } => {
            connections.iter().map(|to| with(LiveAddress::Sessions { node: node.clone(), connections: vec![*to] })).collect()
        }
        LiveAddress::Room(_) | LiveAddress::All(_) => vec![record],
    }
}

pub struct KafkaLiveSource {
    member: Member,
    codec: LiveCodec,
}

impl KafkaLiveSource {
    /// Joins the group `<group>-push` as the node of this name; makes the topic if there is none.
    pub async fn open(config: &Config, node: &str, codec: LiveCodec) -> Result<Self, OpenError> {
        topics::ensure_live(config).await?;
        Ok(Self { member: Member::join(config, &config.push_group(), &config.push_topic, node)?, codec })
    }

    fn read(&self, message: &impl Message) -> Option<LiveRecord> {
        if message.timestamp().to_millis().is_some_and(is_too_old) {
            metrics::counter!("skein_kafka_pushes_left_out_total", "reason" => "old").increment(1);
            return None;
        }
        match (self.codec.decode)(message.payload().unwrap_or_default()) {
            Ok(record) => Some(record),
            Err(reason) => {
                metrics::counter!("skein_kafka_pushes_left_out_total", "reason" => "unreadable").increment(1);
                tracing::warn!(reason, partition = message.partition(), offset = message.offset(), "push not read");
                None
            }
        }
    }
}

#[async_trait]
impl LiveSource for KafkaLiveSource {
    async fn next(&self, limit: usize) -> Result<Vec<LiveRecord>> {
        let taken = self.member.next(limit, |message| (message.partition(), message.offset(), self.read(message))).await?;
        let next: BTreeMap<i32, i64> = taken.iter().map(|(partition, offset, _)| (*partition, offset + 1)).collect();
        for (partition, next) in next {
            self.member.finished(partition, next);
        }
        Ok(taken.into_iter().filter_map(|(_, _, record)| record).collect())
    }
}

fn is_too_old(at: i64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_millis() as i64 - at > AGE_MAX.as_millis() as i64
}
