//! Against a real Kafka, each test on topics of its own.

mod held;
mod live;
mod log;

use super::{Config, KafkaBus, KafkaDeadLetters, KafkaSource};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use skein_domain::account::Profile;
use skein_domain::delivery::UserEvent;
use skein_domain::id::{Revision, Shard, Uid};
use skein_domain::port::{Consumed, DeadLetters, LogBus, LogEvent, LogRecord, LogSource};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use xtask::services::{self, Service};

const PATIENCE: Duration = Duration::from_secs(40);

fn config() -> Config {
    static BROKERS: LazyLock<String> = LazyLock::new(|| services::require(Service::Kafka).expect("kafka"));
    static NTH: AtomicU32 = AtomicU32::new(0);
    let name = format!("test-{}-{}", std::process::id(), NTH.fetch_add(1, Ordering::Relaxed));
    Config {
        brokers: BROKERS.clone(),
        topic: name.clone(),
        push_topic: format!("{name}-push"),
        group: name,
        timeout_ms: 20_000,
        ..Config::default()
    }
}

fn record(uid: i64, revision: i64) -> LogRecord {
    let profile =
        Profile { uid: Uid(uid), nickname: format!("n{revision}"), signature: String::new(), email: None, findable_by_email: false };
    LogRecord {
        shard: Shard(0),
        revision: Revision(revision),
        event: LogEvent::User { uid: Uid(uid), event: UserEvent::Profile { profile } },
        trace: None,
    }
}

fn owner(record: &LogRecord) -> i64 {
    match &record.event {
        LogEvent::User { uid, .. } => uid.0,
        LogEvent::Entry { .. } => panic!("only user events here"),
    }
}

async fn read(source: &KafkaSource, count: usize) -> Vec<Consumed> {
    let reading = async {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(source.next(64).await.expect("next"));
        }
        all
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("records in time")
}

/// Reports everything, and waits until the broker has it.
async fn finish(config: &Config, source: &KafkaSource, records: &[Consumed]) {
    let mut next: BTreeMap<i32, i64> = BTreeMap::new();
    for record in records {
        let place = next.entry(record.partition).or_default();
        *place = (*place).max(record.offset + 1);
    }
    for (partition, next) in &next {
        source.finished(*partition, *next).await.expect("finished");
    }
    let committed = async {
        loop {
            // Gathered reports leave with the next poll.
            assert!(source.next(1).await.expect("next").is_empty());
            let known = source.member.consumer().committed(Duration::from_secs(5)).expect("committed");
            let at = |partition: i32| known.find_partition(&config.topic, partition).and_then(|found| found.offset().to_raw());
            if next.iter().all(|(partition, next)| at(*partition) == Some(*next)) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, committed).await.expect("committed in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_a_user_come_in_order_and_once_finished_not_again() {
    let config = config();
    let bus = KafkaBus::open(&config).await.expect("bus");
    bus.publish((1..=200).map(|n| record(n % 7, n)).collect()).await.expect("publish");
    let source = KafkaSource::open(&config, "one").await.expect("source");
    let records = read(&source, 200).await;
    let mut last: BTreeMap<i64, i64> = BTreeMap::new();
    for record in records.iter().filter_map(|consumed| consumed.record.as_ref()) {
        let before = last.insert(owner(record), record.revision.0);
        assert!(before.is_none_or(|before| before < record.revision.0), "{before:?} before {:?}", record.revision);
    }
    assert_eq!(last.len(), 7);
    let used: BTreeSet<i32> = records.iter().map(|consumed| consumed.partition).collect();
    assert!(used.len() > 1, "several partitions carry them");

    finish(&config, &source, &records).await;
    drop(source);
    let source = KafkaSource::open(&config, "one").await.expect("source again");
    bus.publish(vec![record(1, 201)]).await.expect("publish");
    let rest = read(&source, 1).await;
    assert_eq!(rest[0].record, Some(record(1, 201)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_finished_comes_again() {
    let config = config();
    let bus = KafkaBus::open(&config).await.expect("bus");
    bus.publish((1..=10).map(|n| record(1, n)).collect()).await.expect("publish");
    let source = KafkaSource::open(&config, "one").await.expect("source");
    let records = read(&source, 10).await;
    finish(&config, &source, &records[..4]).await;
    drop(source);
    let source = KafkaSource::open(&config, "one").await.expect("source again");
    let again: Vec<i64> = read(&source, 6).await.iter().filter_map(|consumed| consumed.record.as_ref()).map(|r| r.revision.0).collect();
    assert_eq!(again, [5, 6, 7, 8, 9, 10]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_set_aside_with_its_reason() {
    let config = config();
    let source = KafkaSource::open(&config, "one").await.expect("source");
    let producer: FutureProducer = config.client().create().expect("producer");
    let rubbish = FutureRecord::to(&config.topic).key("x").payload("{\"shard\":true}");
    producer.send(rubbish, Timeout::After(PATIENCE)).await.expect("send");
    let records = read(&source, 1).await;
    assert_eq!(records[0].record, None);
    source.set_aside(&records[0], "not a record").await.expect("set aside");

    let mut client = config.client();
    client.set("group.id", format!("{}-look", config.group)).set("auto.offset.reset", "earliest");
    let dead: StreamConsumer = client.create().expect("consumer");
    dead.subscribe(&[&config.dead_topic()]).expect("subscribe");
    let message = tokio::time::timeout(PATIENCE, dead.recv()).await.expect("in time").expect("message");
    assert_eq!(message.payload(), Some(&b"{\"shard\":true}"[..]));
    let headers = message.headers().expect("headers");
    let told: Vec<(&str, &[u8])> = headers.iter().map(|header| (header.key, header.value.unwrap_or_default())).collect();
    assert_eq!(told[0], ("reason", &b"not a record"[..]));
    assert_eq!(told[1], ("topic", config.topic.as_bytes()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_share_and_one_takes_over() {
    let config = config();
    let bus = KafkaBus::open(&config).await.expect("bus");
    let first = KafkaSource::open(&config, "one").await.expect("first");
    let second = KafkaSource::open(&config, "two").await.expect("second");
    let shared = async {
        loop {
            let (a, b) = tokio::join!(first.next(1), second.next(1));
            assert!(a.expect("next").is_empty() && b.expect("next").is_empty());
            let count = |source: &KafkaSource| source.member.consumer().assignment().expect("assignment").count();
            if (count(&first), count(&second)) == (3, 3) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, shared).await.expect("three partitions each");
    drop(first);
    bus.publish((1..=60).map(|n| record(n, n)).collect()).await.expect("publish");
    // What came before the partitions moved comes again: nothing was reported.
    let mut revisions = BTreeSet::new();
    while revisions.len() < 60 {
        revisions.extend(read(&second, 1).await.iter().filter_map(|c| c.record.as_ref()).map(|r| r.revision.0));
    }
    assert_eq!(revisions, (1..=60).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_nothing_opens_and_the_error_says_where() {
    let away = Config { brokers: "127.0.0.1:1".into(), timeout_ms: 500, ..Config::default() };
    let error = KafkaBus::open(&away).await.err().expect("refused").to_string();
    assert!(error.contains("127.0.0.1:1"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_set_aside_is_shown_and_put_back_once() {
    let config = config();
    let bus = Arc::new(KafkaBus::open(&config).await.expect("bus"));
    let source = KafkaSource::open(&config, "one").await.expect("source");
    bus.publish(vec![record(1, 1), record(1, 2)]).await.expect("publish");
    for taken in read(&source, 2).await {
        source.set_aside(&taken, "no luck").await.expect("set aside");
    }
    let rubbish = Consumed { partition: 0, offset: 9, bytes: b"{".to_vec(), record: None };
    source.set_aside(&rubbish, "not a record").await.expect("set aside");

    let dead = KafkaDeadLetters::new(&config, bus);
    let waiting = dead.waiting(10).await.expect("waiting");
    assert_eq!(waiting.len(), 3);
    let first = waiting.iter().find(|letter| letter.of == "user:1").expect("a record");
    assert_eq!(first.reason, "no luck");
    assert!(first.from.starts_with(&format!("{}/", config.topic)), "{}", first.from);
    assert_eq!(dead.replay(10).await.expect("replay"), (2, 1));
    let again: Vec<i64> = read(&source, 2).await.iter().filter_map(|c| c.record.as_ref()).map(|r| r.revision.0).collect();
    assert_eq!(again, [1, 2]);
    assert_eq!(dead.waiting(10).await.expect("waiting"), []);
    assert_eq!(dead.replay(10).await.expect("replay"), (0, 0));
}
