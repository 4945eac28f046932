//! Topics: made when missing, looked at otherwise.

use super::{Config, OpenError};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::error::RDKafkaErrorCode;
use std::time::Duration;

const LIVE_KEPT_MS: &str = "3600000";

/// Whether a broker answers; changes nothing.
pub async fn reach(config: &Config, patience: Duration) -> Result<(), OpenError> {
    let unreachable = |source| OpenError::Unreachable { brokers: config.brokers.clone(), source };
    let consumer: BaseConsumer = config.client().create()?;
    // librdkafka waits without a future.
    let looked = tokio::task::spawn_blocking(move || consumer.fetch_metadata(None, patience).map(drop)).await;
    looked.unwrap_or_else(|_| Err(KafkaError::Canceled)).map_err(unreachable)
}

/// Of the log.
pub(super) async fn ensure(config: &Config) -> Result<(), OpenError> {
    let (log, dead) = (config.topic.clone(), config.dead_topic());
    let in_sync = in_sync(config);
    make(config, &[topic(config, &log, &in_sync), topic(config, &dead, &in_sync)]).await
}

/// Of transient pushes; what is there longer is of no use to anybody.
pub(super) async fn ensure_live(config: &Config) -> Result<(), OpenError> {
    make(config, &[topic(config, &config.push_topic, &in_sync(config)).set("retention.ms", LIVE_KEPT_MS)]).await
}

/// One broker may be away.
fn in_sync(config: &Config) -> String {
    config.replicas.saturating_sub(1).max(1).to_string()
}

fn topic<'a>(config: &Config, name: &'a str, in_sync: &'a str) -> NewTopic<'a> {
    NewTopic::new(name, config.partitions as i32, TopicReplication::Fixed(config.replicas as i32))
        .set("min.insync.replicas", in_sync)
        .set("unclean.leader.election.enable", "false")
}

async fn make(config: &Config, topics: &[NewTopic<'_>]) -> Result<(), OpenError> {
    let admin: AdminClient<DefaultClientContext> = config.client().create()?;
    let patience = Duration::from_millis(config.timeout_ms.into());
    let options = AdminOptions::new().operation_timeout(Some(patience)).request_timeout(Some(patience));
    let made = admin.create_topics(topics, &options).await;
    let made = made.map_err(|source| OpenError::Unreachable { brokers: config.brokers.clone(), source })?;
    for outcome in made {
        match outcome {
            Ok(topic) => tracing::info!(topic, partitions = config.partitions, replicas = config.replicas, "topic made"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, reason)) => return Err(OpenError::Topic { topic, reason: reason.to_string() }),
        }
    }
    Ok(())
}
