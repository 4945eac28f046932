//! A log that is held while its members come and go.

use super::{PATIENCE, config, record};
use crate::kafka::{KafkaBus, KafkaSource};
use rdkafka::consumer::Consumer;
use skein_domain::port::{LogBus, LogSource};
use std::collections::BTreeSet;

fn partitions(source: &KafkaSource) -> usize {
    source.member.consumer().assignment().expect("assignment").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_to_another_while_the_log_was_held_is_taken_when_it_comes_back() {
    let config = config();
    let bus = KafkaBus::open(&config).await.expect("bus");
    let first = KafkaSource::open(&config, "one").await.expect("first");
    let joined = async {
        while partitions(&first) < 6 {
            first.next(1).await.expect("next");
        }
        first.hold().await.expect("hold");
        let second = KafkaSource::open(&config, "two").await.expect("second");
        while (partitions(&first), partitions(&second)) != (3, 3) {
            let (held, taken) = tokio::join!(first.hold(), second.next(1));
            held.expect("hold");
            taken.expect("next");
        }
        second
    };
    let second = tokio::time::timeout(PATIENCE, joined).await.expect("three partitions each");
    assert!(first.next(1).await.expect("next").is_empty(), "held no more");
    drop(second);

    bus.publish((1..=60).map(|n| record(n, n)).collect()).await.expect("publish");
    let mut revisions = BTreeSet::new();
    let all = async {
        while revisions.len() < 60 {
            let taken = first.next(64).await.expect("next");
            revisions.extend(taken.iter().filter_map(|taken| taken.record.as_ref()).map(|record| record.revision.0));
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, all).await;
    assert!(outcome.is_ok(), "of six partitions only some are read: {} of 60 records", revisions.len());
}
