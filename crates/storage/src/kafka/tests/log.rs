//! What lies in the log, as any other program reads it; and how its members wait.

use super::{PATIENCE, config, read};
use crate::kafka::member::POLL;
use crate::kafka::{Config, KafkaBus, KafkaSource};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Headers, Message, OwnedMessage};
use skein_domain::body::Body;
use skein_domain::conversation::Kind;
use skein_domain::entry::{Entry, EntryEvent};
use skein_domain::id::{ConversationId, CountNo, IdempotencyKey, Millis, PolicyVersion, Revision, Seq, Shard, Uid};
use skein_domain::port::{LogBus, LogEvent, LogRecord, LogSource};
use skein_domain::trace::{Sampling, Trace};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROOMS: i64 = 20;
const MESSAGES: i64 = 10_000;

/// Message `nth` of all, the next one of its room.
fn message(nth: i64, trace: Option<Trace>) -> LogRecord {
    let entry = Entry {
        conversation: ConversationId(nth % ROOMS + 1),
        seq: Seq(nth / ROOMS + 1),
        revision: Revision(nth + 1),
        count: CountNo(nth / ROOMS + 1),
        at: Millis(1),
        author: Uid(1),
        key: IdempotencyKey::parse(&format!("k{nth}")).expect("a key"),
        event: EntryEvent::Message { body: Some(Body::text("hi")), reply_to: None },
    };
    let event = LogEvent::Entry { entry, conversation_kind: Kind::Group, policy_version: PolicyVersion(1) };
    LogRecord { shard: Shard(0), revision: Revision(nth + 1), event, trace }
}

async fn everything(config: &Config, count: usize) -> Vec<OwnedMessage> {
    let mut client = config.client();
    client.set("group.id", format!("{}-look", config.group)).set("auto.offset.reset", "earliest");
    let consumer: StreamConsumer = client.create().expect("consumer");
    consumer.subscribe(&[&config.topic]).expect("subscribe");
    let reading = async {
        let mut all = Vec::new();
        while all.len() < count {
            all.push(consumer.recv().await.expect("a record").detach());
        }
        all
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("all in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_conversation_is_one_partition_in_order_under_its_key() {
    let config = config();
    let bus = KafkaBus::open(&config).await.expect("bus");
    let began = Instant::now();
    for first in (0..MESSAGES).step_by(256) {
        bus.publish((first..MESSAGES.min(first + 256)).map(|nth| message(nth, None)).collect()).await.expect("publish");
    }
    eprintln!("{MESSAGES} records in batches of 256, each acked: {:.0} a second", MESSAGES as f64 / began.elapsed().as_secs_f64());
    let (mut places, mut last): (BTreeMap<String, BTreeSet<i32>>, BTreeMap<String, i64>) = Default::default();
    for found in everything(&config, MESSAGES as usize).await {
        let key = String::from_utf8(found.key().expect("a key").to_vec()).expect("text");
        let record: LogRecord = serde_json::from_slice(found.payload().expect("a value")).expect("a record");
        let LogEvent::Entry { entry, .. } = record.event else { panic!("only entries here") };
        assert_eq!(key, format!("conversation:{}", entry.conversation));
        assert!(found.headers().is_none_or(|headers| headers.count() == 0), "not traced");
        places.entry(key.clone()).or_default().insert(found.partition());
        let before = last.insert(key, entry.seq.0).unwrap_or_default();
        assert_eq!(entry.seq.0, before + 1, "in order, once");
    }
    assert_eq!(places.len(), ROOMS as usize);
    assert!(places.values().all(|partitions| partitions.len() == 1), "{places:?}");
    assert!(places.values().flatten().collect::<BTreeSet<_>>().len() > 1, "several partitions carry them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_larger_than_the_queue_goes_through_once_and_in_order() {
    const COUNT: i64 = 40;
    let config = Config { queued_kib: 64, ..config() };
    let bus = KafkaBus::open(&config).await.expect("bus");
    let large = |nth| {
        let mut record = message(nth * ROOMS, None);
        if let LogEvent::Entry { entry, .. } = &mut record.event {
            entry.event = EntryEvent::Message { body: Some(Body::text("x".repeat(16 * 1024))), reply_to: None };
        }
        record
    };
    bus.publish((0..COUNT).map(large).collect()).await.expect("publish");
    let source = KafkaSource::open(&config, "one").await.expect("source");
    let taken = read(&source, COUNT as usize).await;
    let revisions: Vec<i64> = taken.iter().map(|taken| taken.record.as_ref().expect("a record").revision.0).collect();
    assert_eq!(revisions, (0..COUNT).map(|nth| nth * ROOMS + 1).collect::<Vec<_>>());
    assert_eq!(taken.last().map(|taken| taken.offset), Some(COUNT - 1), "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_goes_over_the_log_in_a_header_of_w3c() {
    let config = config();
    let bus = KafkaBus::open(&config).await.expect("bus");
    let source = KafkaSource::open(&config, "one").await.expect("source");
    let hop = Sampling::of_share(1.0).begin().expect("a trace");
    bus.publish(vec![message(0, Some(hop)), message(ROOMS, None)]).await.expect("publish");
    let found = everything(&config, 2).await;
    let headers = found[0].headers().expect("headers");
    let header = headers.get_as::<str>(0).expect("text");
    assert_eq!((header.key, header.value), ("traceparent", Some(hop.to_string().as_str())));
    let records = read(&source, 2).await;
    let traces: Vec<Option<Trace>> = records.iter().map(|taken| taken.record.as_ref().expect("a record").trace).collect();
    assert_eq!(traces, [Some(hop), None]);

    // Set aside and put back, it is still the same trace.
    source.set_aside(&records[0], "no luck").await.expect("set aside");
    let dead = crate::kafka::KafkaDeadLetters::new(&config, std::sync::Arc::new(bus));
    assert_eq!(skein_domain::port::DeadLetters::replay(&dead, 10).await.expect("replay"), (1, 0));
    assert_eq!(read(&source, 1).await[0].record.as_ref().expect("a record").trace, Some(hop));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_back_comes_afterwards_in_order() {
    let config = config();
    let bus = KafkaBus::open(&config).await.expect("bus");
    let source = KafkaSource::open(&config, "one").await.expect("source");
    bus.publish((0..100).map(|nth| message(nth * ROOMS, None)).collect()).await.expect("publish");
    let mut taken = read(&source, 10).await;
    source.hold().await.expect("hold");
    bus.publish((100..200).map(|nth| message(nth * ROOMS, None)).collect()).await.expect("publish");
    source.hold().await.expect("hold");
    taken.extend(read(&source, 200 - taken.len()).await);
    let offsets: Vec<i64> = taken.iter().map(|taken| taken.offset).collect();
    assert_eq!(offsets, (0..200).collect::<Vec<_>>(), "one conversation is one partition");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_member_wakes_once_a_second() {
    let config = config();
    let source = KafkaSource::open(&config, "one").await.expect("source");
    // Joining is not idling.
    let bus = KafkaBus::open(&config).await.expect("bus");
    bus.publish(vec![message(0, None)]).await.expect("publish");
    read(&source, 1).await;
    for _ in 0..3 {
        let began = Instant::now();
        // However late a busy machine wakes it: it does, and never before its time.
        let taken = tokio::time::timeout(PATIENCE, source.next(64)).await.expect("it wakes").expect("next");
        assert!(taken.is_empty() && began.elapsed() >= POLL, "{} records after {:?}", taken.len(), began.elapsed());
    }
}

/// On one thread, so that whoever holds it up is found out.
#[tokio::test]
async fn a_member_leaves_without_holding_up_its_runtime() {
    let config = config();
    let source = KafkaSource::open(&config, "one").await.expect("source");
    KafkaBus::open(&config).await.expect("bus").publish(vec![message(0, None)]).await.expect("publish");
    read(&source, 1).await;
    let has_left = Arc::downgrade(&source.member.consumer());
    drop(source);
    assert!(has_left.strong_count() > 0, "it leaves while others run");
    let left = async {
        while has_left.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, left).await.expect("it ends");
}

/// As after brokers that lost their memory of a member: its own name is then somebody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_put_out_of_the_group_joins_it_again() {
    let config = config();
    let bus = KafkaBus::open(&config).await.expect("bus");
    let first = KafkaSource::open(&config, "one").await.expect("source");
    bus.publish(vec![message(0, None)]).await.expect("publish");
    read(&first, 1).await;
    let second = KafkaSource::open(&config, "one").await.expect("source of the same name");
    read(&second, 1).await;
    let told = async { while first.next(1).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, told).await.expect("put out");
    drop(second);
    bus.publish(vec![message(ROOMS, None)]).await.expect("publish");
    assert_eq!(read(&first, 2).await.len(), 2, "what nobody had finished, and what is new");
}
