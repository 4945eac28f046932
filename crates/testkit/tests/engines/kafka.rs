//! Kafka away: the change log keeps what is not yet published.

use crate::lab::{Engine, Traffic, crew, metric};
use skein_testkit::scenario::{Draft, World};
use std::time::Duration;
use xtask::services::Service;

pub fn with_kafka(draft: Draft, kafka: &Engine) -> Draft {
    draft.set("kafka.brokers", &kafka.own.address()).set("kafka.timeout_ms", "2000")
}

/// The relay tells at each try how much it has not published.
async fn until_lag(world: &World, what: &str, is_so: impl Fn(f64) -> bool) {
    let looking = async {
        while !is_so(metric(world.admin(), "skein_outbox_lag_revisions").await) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking).await.unwrap_or_else(|_| panic!("the lag {what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_that_stands_still_or_is_killed_holds_messages_back_and_loses_none() {
    let mut kafka = Engine::start(Service::Kafka).await;
    let world = with_kafka(crew(), &kafka).start().await.unwrap();
    let mut traffic = Traffic::new();
    traffic.say(&world, 10).await;
    traffic.arrives(&world).await;

    kafka.own.pause().unwrap();
    traffic.say(&world, 100).await;
    until_lag(&world, "grows", |lag| lag >= 90.0).await;
    assert_eq!(world.user("bob").screen("crew").len(), 10);
    kafka.own.resume().unwrap();
    eprintln!("kafka stood still: all there {:?} after it went on", traffic.arrives(&world).await);
    until_lag(&world, "drains", |lag| lag == 0.0).await;

    kafka.own.kill().unwrap();
    traffic.say(&world, 100).await;
    kafka = kafka.restart().await;
    eprintln!("kafka killed: all there {:?} after it answered again", traffic.arrives(&world).await);
    traffic.say(&world, 10).await;
    traffic.arrives(&world).await;
    drop(kafka);
}
