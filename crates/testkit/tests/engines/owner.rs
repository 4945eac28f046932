//! Two nodes with logic and job on one database: one of them publishes, and the other goes on when that one stands still,
//! dies or stops. Each message is published once but for what was under way then, and shown once.

use crate::kafka::until_metric;
use crate::lab::{Traffic, crew, metric};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use skein_domain::port::LogRecord;
use skein_testkit::database::Database;
use skein_testkit::scenario::{Draft, World};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use xtask::services::{Service, require};

const OWNER: &str = "skein_shard_owner";
const RECORDS: &str = "skein_relay_records_total";
const PATIENCE: Duration = Duration::from_secs(20);

/// On the servers all tests share, under names nobody else has.
struct Stage {
    database: Database,
    redis: String,
    name: String,
}

impl Stage {
    async fn set(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let servers = || (Database::make().unwrap(), require(Service::Redis).unwrap());
        let (database, redis) = tokio::task::spawn_blocking(servers).await.unwrap();
        Self { database, redis, name }
    }

    fn crew(&self) -> Draft {
        let draft = crew().on_database(&self.database.config().mysql.url);
        draft.set("redis.urls", &format!("[\"{}\"]", self.redis)).set("redis.prefix", &format!("{}:", self.name))
    }
}

async fn owns(node: SocketAddr, is_owner: bool) {
    let (expected, what) = if is_owner { (1.0, "it owns the shard") } else { (0.0, "another owns the shard") };
    until_metric(node, OWNER, what, |owner| owner == expected).await;
}

/// From the ack until everybody has it, several times.
async fn heard_after(world: &World, traffic: &mut Traffic) -> Vec<Duration> {
    let mut heard = Vec::new();
    for _ in 0..20 {
        traffic.say(world, 1).await;
        heard.push(traffic.arrives(world).await);
    }
    heard.sort();
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_publishes_and_the_other_goes_on_when_it_stands_still_or_dies() {
    let stage = Stage::set("owner").await;
    let world = stage.crew().start().await.unwrap();
    let mut other = world.another_core("core-2").await;
    let (core, core_2) = (world.admin(), other.admin().unwrap());
    let mut traffic = Traffic::new();
    owns(core, true).await;
    owns(core_2, false).await;
    let heard = heard_after(&world, &mut traffic).await;
    eprintln!("stored by the owner: everywhere after {:?}, at most {:?}", heard[10], heard[19]);
    assert!(metric(core, RECORDS).await >= 20.0);
    assert_eq!(metric(core_2, RECORDS).await, 0.0, "who stands by publishes nothing");

    let standstill = async {
        world.core().signal("-STOP").await.unwrap();
        owns(core_2, true).await;
        world.core().signal("-CONT").await.unwrap();
    };
    traffic.while_suffering(&world, standstill).await.1.told("the owner stood still beyond its lease");
    owns(core, false).await;
    assert!(metric(core, "skein_shard_leases_lost_total").await >= 1.0);
    eprintln!("positions of the one that stood still refused: {}", metric(core, "skein_shard_positions_refused_total").await);

    let published = metric(core, RECORDS).await;
    let heard = heard_after(&world, &mut traffic).await;
    eprintln!("stored by another node than the owner: everywhere after {:?}, at most {:?}", heard[10], heard[19]);
    assert!(heard[10] < Duration::from_secs(5), "{heard:?}");
    assert_eq!(metric(core, RECORDS).await, published, "it stores, and publishes nothing");

    let reads = metric(core, "skein_store_read_seconds_sum").await / metric(core, "skein_store_read_seconds_count").await;
    eprintln!("a read of the one that stands by takes {:.2} ms", reads * 1_000.0);

    let began = Instant::now();
    traffic.while_suffering(&world, other.kill()).await.1.told("the owner killed, and not mended");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    owns(core, true).await;
}

/// How often each record is on the topic, by shard and revision.
fn on_the_log(brokers: &str, topic: &str) -> BTreeMap<(u16, i64), u32> {
    let mut client = ClientConfig::new();
    let consumer: BaseConsumer = client.set("bootstrap.servers", brokers).set("group.id", format!("{topic}-look")).create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let (mut all, mut left) = (TopicPartitionList::new(), 0);
    for partition in metadata.topics()[0].partitions() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE).unwrap();
        left += high - low;
        all.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let mut found = BTreeMap::new();
    while left > 0 {
        let message = consumer.poll(PATIENCE).expect("what is there comes").unwrap();
        let record: LogRecord = serde_json::from_slice(message.payload().unwrap()).unwrap();
        *found.entry((record.shard.0, record.revision.0)).or_insert(0) += 1;
        left -= 1;
    }
    found
}

/// In a quiet moment, in which the store knows all that is published.
async fn stands_still(world: &World, other: SocketAddr) {
    until_metric(other, "skein_outbox_lag_revisions", "is none", |lag| lag == 0.0).await;
    world.core().signal("-STOP").await.unwrap();
    owns(other, true).await;
    world.core().signal("-CONT").await.unwrap();
    owns(world.admin(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_kafka_each_record_is_on_the_log_once_whoever_stored_and_whoever_published_it() {
    let stage = Stage::set("once").await;
    let brokers = tokio::task::spawn_blocking(|| require(Service::Kafka).unwrap()).await.unwrap();
    let draft = stage.crew().set("kafka.brokers", &brokers).set("kafka.topic", &stage.name).set("kafka.group", &stage.name);
    let world = draft.set("kafka.push_topic", &format!("{}-push", stage.name)).start().await.unwrap();
    let mut other = world.another_core("core-2").await;
    let mut traffic = Traffic::new();
    owns(world.admin(), true).await;
    traffic.say(&world, 30).await;
    traffic.arrives(&world).await;
    stands_still(&world, other.admin().unwrap()).await;
    traffic.say(&world, 30).await;
    traffic.arrives(&world).await;
    assert!(other.terminate().await.unwrap().success());
    let ended = Instant::now();
    owns(world.admin(), true).await;
    eprintln!("the owner stopped: the other is owner {:?} after it ended", ended.elapsed());
    traffic.say(&world, 30).await;
    traffic.arrives(&world).await;

    let topic = stage.name.clone();
    let found = tokio::task::spawn_blocking(move || on_the_log(&brokers, &topic)).await.unwrap();
    let more: Vec<_> = found.iter().filter(|(_, times)| **times > 1).collect();
    assert!(found.len() >= 90 && more.is_empty(), "{} records, more than once: {more:?}", found.len());
}
