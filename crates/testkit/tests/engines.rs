//! A deployment on Redis and Kafka, which stand still, are killed and are started again in the middle of traffic: what was
//! acknowledged arrives, once and in order.

use skein_testkit::cluster::Topology;
use skein_testkit::scenario::{Draft, World};
use skein_testkit::wire::Transport::{Tcp, WebSocket};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use xtask::services::{Own, Service};

/// An engine of the test's own, since it comes to harm.
struct Engine {
    own: Own,
    _folder: TempDir,
}

impl Engine {
    async fn start(service: Service) -> Self {
        let folder = tempfile::Builder::new().prefix("skein-engine-").tempdir().unwrap();
        let path = folder.path().to_owned();
        let own = tokio::task::spawn_blocking(move || Own::start(service, &path)).await.unwrap().unwrap();
        Self { own, _folder: folder }
    }

    async fn restart(mut self) -> Self {
        tokio::task::spawn_blocking(move || {
            self.own.restart().unwrap();
            self
        })
        .await
        .unwrap()
    }
}

fn with_kafka(draft: Draft, kafka: &Engine) -> Draft {
    draft.set("kafka.brokers", &kafka.own.address()).set("kafka.timeout_ms", "2000")
}

fn with_redis(draft: Draft, redis: &Engine) -> Draft {
    draft.set("redis.urls", &format!("[\"{}\"]", redis.own.address())).set("redis.timeout_ms", "500")
}

fn crew() -> Draft {
    World::new(Topology::Split).user("ann", Tcp).user("bob", WebSocket).user("cat", Tcp).group("crew", "ann", &["bob", "cat"])
}

/// The sum of a metric's series.
async fn metric(admin: SocketAddr, name: &str) -> f64 {
    let mut stream = tokio::net::TcpStream::connect(admin).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    let series = page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
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

/// What is said while something is wrong with an engine, and how long it takes after that is mended until all have it.
struct Traffic {
    said: Vec<String>,
}

impl Traffic {
    fn new() -> Self {
        Self { said: Vec::new() }
    }

    /// Acked one by one.
    async fn say(&mut self, world: &World, count: usize) {
        for _ in 0..count {
            let text = format!("message {}", self.said.len());
            world.user("ann").send("crew", &text).await;
            self.said.push(text);
        }
    }

    async fn arrives(&self, world: &World) -> Duration {
        let mended = Instant::now();
        for name in ["ann", "bob", "cat"] {
            world.user(name).expects("crew", &self.said).await;
        }
        mended.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_through_kafka_and_redis() {
    let (kafka, redis) = tokio::join!(Engine::start(Service::Kafka), Engine::start(Service::Redis));
    let world = with_redis(with_kafka(crew(), &kafka), &redis).start().await.unwrap();
    let mut traffic = Traffic::new();
    traffic.say(&world, 50).await;
    traffic.arrives(&world).await;
    world.user("bob").goes_offline().await;
    traffic.say(&world, 20).await;
    world.user("bob").comes_back().await;
    traffic.arrives(&world).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stands_still_or_is_killed_or_flushed_costs_no_message() {
    let mut redis = Engine::start(Service::Redis).await;
    let world = with_redis(crew(), &redis).start().await.unwrap();
    let mut traffic = Traffic::new();
    traffic.say(&world, 10).await;
    traffic.arrives(&world).await;

    redis.own.pause().unwrap();
    traffic.say(&world, 50).await;
    redis.own.resume().unwrap();
    traffic.say(&world, 1).await;
    eprintln!("redis stood still: all there {:?} after it went on", traffic.arrives(&world).await);

    redis.own.kill().unwrap();
    traffic.say(&world, 50).await;
    redis = redis.restart().await;
    traffic.say(&world, 1).await;
    eprintln!("redis killed: all there {:?} after it answered again", traffic.arrives(&world).await);
    drop(redis);
}
