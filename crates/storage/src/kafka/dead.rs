//! What was set aside: looked at, and put back on the log.
//!
//! The place up to which it was replayed is the offset of a group of its own (`<group>-replay`), so each record is
//! replayed once by whoever asks, and stays in the topic for as long as that keeps records.
//!
//! **Invariant:** the place moves over a record only after the log has it, or if no version that looked could read it
//! (`unreadable` then counts it). Comets drop what they have had.

use super::consumer::record;
use super::context::Context;
use super::producer::{KafkaBus, key};
use super::{Config, OpenError, failed, header};
use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use skein_domain::id::Millis;
use skein_domain::port::{DeadLetter, DeadLetters, LogBus, LogRecord};
use skein_domain::{Error, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For all of one call to the brokers' many parts.
const PATIENCE: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(200);

pub struct KafkaDeadLetters {
    config: Config,
    bus: Arc<KafkaBus>,
}

/// Records from the place of the last replay on, and where the place is after them.
struct Waiting {
    consumer: BaseConsumer<Context>,
    letters: Vec<(DeadLetter, Option<LogRecord>)>,
}

impl KafkaDeadLetters {
    pub fn new(config: &Config, bus: Arc<KafkaBus>) -> Self {
        Self { config: config.clone(), bus }
    }

    async fn read(&self, limit: u32) -> Result<Waiting> {
        let config = self.config.clone();
        let reading = tokio::task::spawn_blocking(move || read(&config, limit as usize));
        reading.await.map_err(|_| Error::internal())?.map_err(|error| match error {
            OpenError::Client(error) => failed(&error),
            other => Error::new(skein_domain::Code::Unavailable, other.to_string()),
        })
    }
}

#[async_trait]
impl DeadLetters for KafkaDeadLetters {
    async fn waiting(&self, limit: u32) -> Result<Vec<DeadLetter>> {
        Ok(self.read(limit).await?.letters.into_iter().map(|(letter, _)| letter).collect())
    }

    async fn replay(&self, limit: u32) -> Result<(u32, u32)> {
        let Waiting { consumer, letters } = self.read(limit).await?;
        let mut places = TopicPartitionList::new();
        let (mut records, mut unreadable) = (Vec::new(), 0);
        for (letter, record) in letters {
            match record {
                Some(record) => records.push(record),
                None => unreadable += 1,
            }
            let next = Offset::Offset(letter.offset + 1);
            let dead_topic = self.config.dead_topic();
            match places.find_partition(&dead_topic, letter.partition) {
                Some(_) => places.set_partition_offset(&dead_topic, letter.partition, next),
                None => places.add_partition_offset(&dead_topic, letter.partition, next),
            }
            .map_err(|error| failed(&error))?;
        }
        let replayed = records.len() as u32;
        self.bus.publish(records).await?;
        if places.count() > 0 {
            let committing = tokio::task::spawn_blocking(move || consumer.commit(&places, CommitMode::Sync));
            committing.await.map_err(|_| Error::internal())?.map_err(|error| failed(&error))?;
        }
        Ok((replayed, unreadable))
    }
}

fn read(config: &Config, limit: usize) -> Result<Waiting, OpenError> {
    let deadline = Instant::now() + PATIENCE;
    let dead_topic = config.dead_topic();
    let mut client = config.client();
    client.set("group.id", format!("{}-replay", config.group)).set("enable.auto.commit", "false");
    let consumer: BaseConsumer<Context> = client.create_with_context(Context::of(&dead_topic))?;
    let metadata = consumer.fetch_metadata(Some(&dead_topic), PATIENCE)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id());
    let mut known = TopicPartitionList::new();
    for partition in partitions {
        known.add_partition(&dead_topic, partition);
    }
    let (mut from, mut left) = (TopicPartitionList::new(), 0);
    for place in consumer.committed_offsets(known, PATIENCE)?.elements() {
        let (low, high) = consumer.fetch_watermarks(&dead_topic, place.partition(), PATIENCE)?;
        let next = place.offset().to_raw().filter(|offset| *offset >= low).unwrap_or(low);
        if next < high {
            from.add_partition_offset(&dead_topic, place.partition(), Offset::Offset(next))?;
            left += (high - next) as usize;
        }
    }
    let mut letters = Vec::new();
    if left > 0 {
        consumer.assign(&from)?;
    }
    while letters.len() < left.min(limit) && Instant::now() < deadline {
        if let Some(message) = consumer.poll(POLL) {
            letters.push(letter(&message?));
        }
    }
    Ok(Waiting { consumer, letters })
}

fn letter(message: &BorrowedMessage<'_>) -> (DeadLetter, Option<LogRecord>) {
    let record = record(message);
    let told = |name| header(message, name).unwrap_or_default();
    let letter = DeadLetter {
        partition: message.partition(),
        offset: message.offset(),
        at: Millis(message.timestamp().to_millis().unwrap_or_default()),
        reason: told("reason"),
        from: format!("{}/{}/{}", told("topic"), told("partition"), told("offset")),
        of: record.as_ref().map_or_else(String::new, |record| key(&record.event)),
        bytes: message.payload_len() as u64,
    };
    (letter, record)
}
