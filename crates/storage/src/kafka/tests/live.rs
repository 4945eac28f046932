//! Transient pushes over Kafka.

use super::{PATIENCE, config};
use crate::kafka::{Config, KafkaLiveLog, KafkaLiveSource, LiveCodec};
use futures_util::future::join_all;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use skein_domain::Code;
use skein_domain::id::{NodeId, Uid};
use skein_domain::live::{GuestKey, LiveAddress, LiveMessage, LiveRecord, Priority, RoomName};
use skein_domain::port::{LiveLog, LiveSource};
use std::collections::BTreeMap;

/// The real one is not storage's.
fn codec() -> LiveCodec {
    fn key(record: &LiveRecord) -> Vec<u8> {
        match &record.address {
            LiveAddress::Room(room) => room.as_str().into(),
            LiveAddress::Guests { keys, .. } => keys[0].as_str().into(),
            other => panic!("{other:?} is not pushed here"),
        }
    }
    LiveCodec {
        key,
        encode: |record| serde_json::to_vec(record).expect("json"),
        decode: |value| serde_json::from_slice(value).map_err(|error| error.to_string()),
    }
}

fn push(address: LiveAddress, body: &str) -> LiveRecord {
    let message = LiveMessage { operation: 1_000, body: body.into() };
    LiveRecord { push: "p".into(), app: Uid(0), address, message, expires: None, priority: Priority::Normal }
}

fn room(name: &str) -> LiveAddress {
    LiveAddress::Room(RoomName::parse(name).expect("a name"))
}

async fn take(source: &KafkaLiveSource, count: usize) -> Vec<LiveRecord> {
    let taking = async {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(source.next(64).await.expect("next"));
        }
        all
    };
    tokio::time::timeout(PATIENCE, taking).await.expect("pushes in time")
}

async fn both(config: &Config) -> (KafkaLiveLog, KafkaLiveSource) {
    let log = KafkaLiveLog::open(config, codec()).await.expect("log");
    (log, KafkaLiveSource::open(config, "one", codec()).await.expect("source"))
}

fn body(record: &LiveRecord) -> String {
    String::from_utf8_lossy(&record.message.body).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_and_receivers_keep_their_order_and_nothing_comes_twice() {
    let config = config();
    let (log, source) = both(&config).await;
    let key = |name: &str| GuestKey::parse(name).expect("a key");
    for nth in 0..100 {
        log.publish(vec![push(room(&format!("live://{}", nth % 5)), &nth.to_string())]).await.expect("publish");
        let keys = if nth % 2 == 0 { vec![key("ann"), key("bob")] } else { vec![key("bob"), key("ann")] };
        log.publish(vec![push(LiveAddress::Guests { node: NodeId("a".into()), keys }, &nth.to_string())]).await.expect("publish");
    }
    let mut heard: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for record in take(&source, 300).await {
        let whom = match &record.address {
            LiveAddress::Guests { keys, .. } => keys.iter().map(GuestKey::as_str).collect::<Vec<_>>().join("+"),
            LiveAddress::Room(room) => room.as_str().to_owned(),
            other => panic!("{other:?}"),
        };
        heard.entry(whom).or_default().push(body(&record).parse().expect("a number"));
    }
    assert_eq!(heard.len(), 7, "five rooms, and each receiver by itself: {:?}", heard.keys());
    assert_eq!((&heard["ann"], &heard["bob"]), (&(0..100).collect(), &(0..100).collect()));
    assert!(heard.values().all(|numbers| numbers.is_sorted()));

    // Taken is done: a member that comes after has only what is new.
    drop(source);
    let source = KafkaLiveSource::open(&config, "one", codec()).await.expect("source again");
    log.publish(vec![push(room("live://1"), "new")]).await.expect("publish");
    assert_eq!(body(&take(&source, 1).await[0]), "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_or_unreadable_is_left_out_and_holds_up_nobody() {
    let config = config();
    let (log, source) = both(&config).await;
    let producer: FutureProducer = config.client().create().expect("producer");
    let old = serde_json::to_vec(&push(room("live://1"), "old")).expect("json");
    let hour_ago = rdkafka::message::Timestamp::now().to_millis().expect("now") - 3_000_000;
    let old = FutureRecord::to(&config.push_topic).key("live://1").payload(&old).timestamp(hour_ago);
    producer.send(old, Timeout::After(PATIENCE)).await.expect("send");
    let rubbish = FutureRecord::to(&config.push_topic).key("live://1").payload("{");
    producer.send(rubbish, Timeout::After(PATIENCE)).await.expect("send");
    log.publish(vec![push(room("live://1"), "new")]).await.expect("publish");
    assert_eq!(take(&source, 1).await.iter().map(body).collect::<Vec<_>>(), ["new"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_bound_a_push_is_busy_and_one_to_many_is_all_or_nothing() {
    let config = Config { queued_kib: 64, ..config() };
    let (log, source) = both(&config).await;
    let large = "x".repeat(40 * 1024);
    let outcomes = join_all((0..20).map(|_| log.publish(vec![push(room("live://1"), &large)]))).await;
    let refused: Vec<Code> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).map(|error| error.code).collect();
    assert!(refused.iter().all(|code| *code == Code::Busy), "{refused:?}");
    let taken = 20 - refused.len();
    assert!(taken >= 1 && !refused.is_empty(), "{taken} taken");
    let keys = (0..50).map(|nth| GuestKey::parse(&format!("guest-{nth}")).expect("a key")).collect();
    let to_many = push(LiveAddress::Guests { node: NodeId("a".into()), keys }, &large);
    // What is acked leaves the queue a moment later.
    while let Err(error) = log.publish(vec![to_many.clone()]).await {
        assert_eq!(error.code, Code::Busy);
    }
    assert_eq!(take(&source, taken + 50).await.len(), taken + 50);
}
