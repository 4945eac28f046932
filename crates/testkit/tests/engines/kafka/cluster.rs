//! Three brokers, of which one and then two are killed in the middle of traffic.

use super::{PATIENCE, blocking, until_lag};
use crate::lab::{Traffic, crew};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use xtask::services::Own;

const TOPIC: &str = "skein-log";
const BREATH: Duration = Duration::from_millis(10);
const ASK: Duration = Duration::from_secs(10);
/// Changes that may wait for the log.
const UNPUBLISHED_MAX: usize = 150;

struct Brokers {
    brokers: Vec<Own>,
    _folder: TempDir,
}

impl Brokers {
    async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("skein-brokers-").tempdir().unwrap();
        let path = folder.path().to_owned();
        Self { brokers: blocking(move || Own::start_brokers(&path).unwrap()).await, _folder: folder }
    }

    fn address(&self) -> String {
        self.brokers.iter().map(Own::address).collect::<Vec<_>>().join(",")
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.address());
        client
    }

    /// Which broker leads the topic's only partition; that it is kept by all.
    async fn leader(&self) -> usize {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let leader = move || {
            let metadata = consumer.fetch_metadata(Some(TOPIC), ASK).unwrap();
            let partition = &metadata.topics()[0].partitions()[0];
            assert_eq!((partition.replicas().len(), partition.isr().len()), (3, 3));
            partition.leader() as usize - 1
        };
        blocking(leader).await
    }

    async fn setting(&self, name: &str) -> String {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let asked = admin.describe_configs([&ResourceSpecifier::Topic(TOPIC)], &AdminOptions::new()).await.unwrap();
        asked[0].as_ref().unwrap().get(name).and_then(|entry| entry.value.clone()).unwrap_or_default()
    }

    fn kill(&self, nth: usize) {
        self.brokers[nth].kill().unwrap();
    }

    /// Both at once: neither is of use without the other.
    async fn restart(mut self, nths: [usize; 2]) -> Self {
        blocking(move || {
            let restarting = self.brokers.iter_mut().enumerate().filter(|(nth, _)| nths.contains(nth));
            std::thread::scope(|scope| {
                for (_, broker) in restarting {
                    scope.spawn(|| broker.restart().unwrap());
                }
            });
            self
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_loses_its_leader_and_then_all_but_one_loses_no_message() {
    let mut brokers = Brokers::start().await;
    let settings = [
        ("kafka.brokers", brokers.address()),
        ("kafka.replicas", "3".into()),
        ("kafka.partitions", "1".into()),
        ("kafka.timeout_ms", "3000".into()),
        ("logic.unpublished_max", UNPUBLISHED_MAX.to_string()),
    ];
    let draft = settings.iter().fold(crew(), |draft, (key, value)| draft.set(key, value));
    let world = draft.start().await.unwrap();
    let mut traffic = Traffic::new();
    traffic.say(&world, 10).await;
    traffic.arrives(&world).await;
    let leader = brokers.leader().await;
    assert_eq!(brokers.setting("min.insync.replicas").await, "2");
    assert_eq!(brokers.setting("unclean.leader.election.enable").await, "false");

    traffic.say(&world, 20).await;
    brokers.kill(leader);
    let killed = Instant::now();
    traffic.say(&world, 80).await;
    until_lag(&world, "drains over the other brokers", |lag| lag == 0.0).await;
    traffic.arrives(&world).await;
    eprintln!("the leader of three brokers killed: all there after {:?}", killed.elapsed());

    let second = (leader + 1) % 3;
    brokers.kill(second);
    let before = world.user("bob").screen("crew").len();
    traffic.say(&world, UNPUBLISHED_MAX / 2).await;
    until_lag(&world, "grows, since one broker may not acknowledge", |lag| lag >= UNPUBLISHED_MAX as f64 / 2.0).await;
    assert_eq!(world.user("bob").screen("crew").len(), before, "what only one broker has is not delivered");
    let refused = async {
        while !world.user("ann").refusals().contains_key("busy") {
            traffic.says(&world).await;
            tokio::time::sleep(BREATH).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("senders are held back at the bound");

    let began = Instant::now();
    brokers = brokers.restart([leader, second]).await;
    let answered = Instant::now();
    until_lag(&world, "drains once they are back", |lag| lag == 0.0).await;
    traffic.arrives(&world).await;
    eprintln!("two of three brokers back {:?} after their start: all there {:?} later", answered - began, answered.elapsed());
    drop(brokers);
}
