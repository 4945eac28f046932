//! Kafka away: the change log keeps what is not yet published. What else the log between the stages must do lies below.

mod cluster;
mod jobs;
mod operate;
mod pushes;

use crate::lab::{Engine, Traffic, crew, metric};
use skein_testkit::cluster::Part;
use skein_testkit::scenario::{Draft, World};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use xtask::services::Service;

/// Longer than a group takes to find that a member is dead, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const OUTBOX_LAG: &str = "skein_outbox_lag_revisions";

pub fn with_kafka(draft: Draft, kafka: &Engine) -> Draft {
    draft.set("kafka.brokers", &kafka.own.address()).set("kafka.timeout_ms", "2000")
}

/// The relay tells all the while how much it has not published.
async fn until_lag(world: &World, what: &str, is_so: impl Fn(f64) -> bool) {
    until_metric(world.admin(), OUTBOX_LAG, what, is_so).await;
}

pub async fn until_metric(admin: SocketAddr, name: &str, what: &str, is_so: impl Fn(f64) -> bool) {
    let looking = async {
        while !is_so(metric(admin, name).await) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, looking).await;
    assert!(found.is_ok(), "{name} {what}: it is {}", metric(admin, name).await);
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_that_stands_still_or_is_killed_holds_messages_back_and_loses_none() {
    let mut kafka = Engine::start(Service::Kafka).await;
    // A core that starts again knows of connections once they are renewed.
    let mut world = with_kafka(crew(), &kafka).set("comet.renew_interval_ms", "1000").start().await.unwrap();
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

    world.kill(Part::Core).await;
    world.restart().await;
    let up = Instant::now();
    traffic.say(&world, 10).await;
    traffic.arrives(&world).await;
    eprintln!("the only job killed and started again: all there {:?} after it was up", up.elapsed());
    drop(kafka);
}
