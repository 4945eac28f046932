//! What an operator does and sees: the command for dead letters, and the alarm on lag.

use super::{PATIENCE, blocking, until_metric};
use crate::lab::Engine;
use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use skein_domain::account::Profile;
use skein_domain::delivery::UserEvent;
use skein_domain::id::{Revision, Shard, Uid};
use skein_domain::port::{Consumed, LogBus, LogEvent, LogRecord, LogSource};
use skein_storage::KafkaConfig;
use skein_storage::kafka::{KafkaBus, KafkaSource};
use skein_testkit::server::{Options, ServerProcess};
use std::path::Path;
use xtask::services::{self, Service, require};

const LAG: &str = "skein_kafka_lag_records";

/// On the shared brokers, under a name nobody else has.
async fn own_topic(name: &str) -> KafkaConfig {
    let name = format!("{name}-{}", std::process::id());
    let brokers = blocking(|| require(Service::Kafka)).await.unwrap();
    KafkaConfig { brokers, topic: name.clone(), push_topic: format!("{name}-push"), group: name, ..KafkaConfig::default() }
}

fn on(kafka: &KafkaConfig, data: &Path) -> Options {
    let KafkaConfig { brokers, topic, push_topic, group, .. } = kafka;
    let settings = [("brokers", brokers), ("topic", topic), ("push_topic", push_topic), ("group", group)];
    settings.into_iter().fold(Options::on(data), |options, (key, value)| options.set(&format!("kafka.{key}"), value))
}

fn renamed(uid: i64) -> LogRecord {
    let profile = Profile { uid: Uid(uid), nickname: "new".into(), signature: String::new(), email: None, findable_by_email: false };
    let event = LogEvent::User { uid: Uid(uid), event: UserEvent::Profile { profile } };
    LogRecord { shard: Shard(0), revision: Revision(1), event, trace: None }
}

async fn admin(server: &ServerProcess, arguments: &[&str]) -> String {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_skein-under-test"));
    command.arg("admin").arg("--data").arg(server.data()).args(arguments).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it answers").unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_shows_dead_letters_and_puts_each_back_once() {
    let folder = tempfile::tempdir().unwrap();
    let kafka = own_topic("dead-letters").await;
    let server = ServerProcess::start(on(&kafka, &folder.path().join("data"))).await.unwrap();
    assert!(!admin(&server, &["dead-letters", "list"]).await.contains(&kafka.topic), "nothing is there");

    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &kafka.brokers);
    let producer: FutureProducer = client.create().unwrap();
    producer.send(FutureRecord::to(&kafka.topic).key("x").payload("rubbish"), Timeout::After(PATIENCE)).await.unwrap();
    // A second job sets aside what it could not deliver.
    let other = KafkaSource::open(&KafkaConfig { group: format!("{}-other", kafka.group), ..kafka.clone() }, "other").await.unwrap();
    let bytes = serde_json::to_vec(&renamed(77)).unwrap();
    other.set_aside(&Consumed { partition: 3, offset: 9, bytes: bytes.clone(), record: Some(renamed(77)) }, "no luck").await.unwrap();
    let listed = async {
        loop {
            let list = admin(&server, &["dead-letters", "list"]).await;
            if ["not a record", "no luck", "user:77", &format!("{}/3/9", kafka.topic)].iter().all(|told| list.contains(told)) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, listed).await.expect("both are listed, with place and reason");

    let replayed = |text: &str| {
        let number = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)?.trim().parse::<u32>().ok());
        (number("replayed"), number("unreadable"))
    };
    assert_eq!(replayed(&admin(&server, &["dead-letters", "replay"]).await), (Some(1), Some(1)));
    assert_eq!(replayed(&admin(&server, &["dead-letters", "replay"]).await), (Some(0), Some(0)));
    assert!(!admin(&server, &["dead-letters", "list"]).await.contains(&kafka.topic), "nothing is left");

    client.set("group.id", format!("{}-look", kafka.group)).set("auto.offset.reset", "earliest");
    let log: StreamConsumer = client.create().unwrap();
    log.subscribe(&[&kafka.topic]).unwrap();
    let looking = async { while log.recv().await.unwrap().payload() != Some(&bytes) {} };
    tokio::time::timeout(PATIENCE, looking).await.expect("the record is on the log again");
}

/// Bytes of a topic's records on the disk of the broker that has most of them.
fn on_disk(topic: &str) -> u64 {
    let brokers = services::running().unwrap().into_iter().filter(|instance| instance.service == Service::Kafka);
    let of_broker = |folder: &Path| {
        let partitions = std::fs::read_dir(folder.join("data")).unwrap().map(|entry| entry.unwrap().path());
        let is_ours = |path: &Path| {
            let nth = path.file_name().and_then(|name| name.to_str()?.strip_prefix(topic)?.strip_prefix('-'));
            nth.is_some_and(|nth| nth.parse::<u32>().is_ok())
        };
        let files = partitions.filter(|path| is_ours(path)).flat_map(|path| std::fs::read_dir(path).unwrap());
        let logs = files.map(Result::unwrap).filter(|file| file.path().extension().is_some_and(|kind| kind == "log"));
        logs.map(|file| file.metadata().unwrap().len()).sum()
    };
    brokers.map(|broker| of_broker(&broker.folder)).max().expect("a broker")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_compressed_on_their_way_and_in_the_log() {
    let (kafka, plain) = (own_topic("compressed").await, own_topic("plain").await);
    let (bus, _) = (KafkaBus::open(&kafka).await.unwrap(), KafkaBus::open(&plain).await.unwrap());
    bus.publish((0..1_000).map(renamed).collect()).await.unwrap();
    let mut client = ClientConfig::new();
    let producer: FutureProducer = client.set("bootstrap.servers", &plain.brokers).create().unwrap();
    for uid in 0..1_000 {
        let (key, value) = (format!("user:{uid}"), serde_json::to_vec(&renamed(uid)).unwrap());
        let record = FutureRecord::to(&plain.topic).key(&key).payload(&value);
        drop(producer.send_result(record).unwrap());
    }
    blocking(move || rdkafka::producer::Producer::flush(&producer, PATIENCE)).await.unwrap();
    let (ours, theirs) = blocking(move || (on_disk(&kafka.topic), on_disk(&plain.topic))).await;
    assert!(ours > 0 && ours * 2 < theirs, "{ours} bytes, and {theirs} as they are");
}

/// The bound of the rule in the operator guide.
fn alarm_bound() -> f64 {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operator-guide.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let rule = guide.lines().find_map(|line| line.split_once(&format!("sum({LAG}) > "))).expect("a rule on the lag").1;
    rule.split_whitespace().next().and_then(|bound| bound.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_alarm_on_lag_fires_while_the_job_stands_still_and_ends_when_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let kafka = own_topic("alarm").await;
    let redis = Engine::start(Service::Redis).await;
    let options = on(&kafka, &folder.path().join("data")).set("redis.urls", format!("[\"{}\"]", redis.own.address()));
    let server = ServerProcess::start(options.set("redis.timeout_ms", 500)).await.unwrap();
    let (at, bound) = (server.admin().unwrap(), alarm_bound());
    let bus = KafkaBus::open(&kafka).await.unwrap();
    // Without the registry the job delivers nothing, and waits.
    redis.own.pause().unwrap();
    for first in (0..=bound as i64).step_by(1_000) {
        bus.publish((first..first + 1_000).map(renamed).collect()).await.unwrap();
    }
    until_metric(at, LAG, "is above the bound", |lag| lag > bound).await;
    redis.own.resume().unwrap();
    until_metric(at, LAG, "is nothing again", |lag| lag == 0.0).await;
}
