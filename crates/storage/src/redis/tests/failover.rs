//! A Redis Cluster of the test's own, whose nodes come to harm.

use super::super::cache::Cache;
use super::super::{Config, Redis, RedisSessions};
use skein_domain::account::DeviceClass;
use skein_domain::id::{Epoch, Generation, NodeId, SessionId, Uid};
use skein_domain::port::{Route, SessionRegistry};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use xtask::services::OwnCluster;

const TIMEOUT: Duration = Duration::from_millis(1_000);
const LEASE_MS: i64 = 90_000;
/// Enough that each primary has some.
const SESSIONS: i64 = 60;
const PATIENCE: Duration = Duration::from_secs(30);

struct Harmed {
    cluster: OwnCluster,
    redis: Redis,
    _folder: TempDir,
}

impl Harmed {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().to_owned();
        let cluster = tokio::task::spawn_blocking(move || OwnCluster::start(&path)).await.expect("started").expect("a cluster");
        let config = Config { urls: cluster.addresses(), timeout_ms: TIMEOUT.as_millis() as u32, ..Config::default() };
        let redis = Redis::open(&config).await.expect("open");
        Self { cluster, redis, _folder: folder }
    }

    fn primary_of(&self, key: &str) -> usize {
        self.cluster.primary_of(key).expect("a primary")
    }

    /// Every call may be refused, for a while; none may take longer than it is told to.
    async fn until_all_register(&self) -> Duration {
        let registry = RedisSessions::new(self.redis.clone());
        let harmed = Instant::now();
        for nth in 1..=SESSIONS {
            let node = NodeId(format!("node-{}", nth % 3));
            let session = SessionId(nth);
            let route = Route { uid: Uid(nth), class: DeviceClass::Web, node, session, generation: Generation(nth) };
            loop {
                let asked = Instant::now();
                let outcome = registry.register(route.clone(), LEASE_MS).await;
                // Two calls, and whatever else this machine has to do.
                assert!(asked.elapsed() < TIMEOUT * 3, "{outcome:?} after {:?}", asked.elapsed());
                if outcome.is_ok() {
                    break;
                }
                assert!(harmed.elapsed() < PATIENCE, "{outcome:?}");
            }
        }
        let took = harmed.elapsed();
        let uids: Vec<Uid> = (1..=SESSIONS).map(Uid).collect();
        assert_eq!(registry.routes(&uids).await.expect("routes").len(), uids.len());
        took
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("{what}: not in time"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_killed_or_silent_is_replaced_and_calls_work_again() {
    let mut harmed = Harmed::start().await;
    harmed.until_all_register().await;
    let key = harmed.redis.key("session:1");

    let killed = harmed.primary_of(&key);
    harmed.cluster.kill(killed).expect("kill");
    eprintln!("a primary was killed: every key again after {:?}", harmed.until_all_register().await);
    harmed.cluster.restart(killed).expect("restart");

    let silent = harmed.primary_of(&key);
    assert_ne!(silent, killed, "its replica took over");
    until("the killed one follows", || harmed.cluster.replica_of(silent).is_ok_and(|replica| replica == killed)).await;
    harmed.cluster.pause(silent).expect("pause");
    eprintln!("a primary stood still: every key again after {:?}", harmed.until_all_register().await);
    harmed.cluster.resume(silent).expect("resume");
    harmed.until_all_register().await;
}

/// A replica may have missed the last changes when it takes over. Of what nodes know of connections the leases take care;
/// a cached value that was changed since must not come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_fail_over_brings_back_is_not_believed() {
    let harmed = Harmed::start().await;
    let cache = Cache::new(harmed.redis.clone(), "test", Epoch(1));
    let key = cache.key("k", 1);
    let old = async || Ok("old".to_owned());
    assert_eq!(cache.get(&key, old).await.expect("get"), "old");
    let (primary, replica) = (harmed.primary_of(&key), harmed.cluster.replica_of(harmed.primary_of(&key)).expect("a replica"));
    let offset = |node| {
        let about = harmed.cluster.ask(node, &["info", "replication"]).unwrap_or_default();
        about.lines().find_map(|line| line.strip_prefix("master_repl_offset:")).map(str::to_owned)
    };
    until("the replica has it", || offset(primary) == offset(replica)).await;

    // From here on it hears nothing.
    harmed.cluster.pause(replica).expect("pause");
    harmed.cluster.ask(primary, &["client", "kill", "type", "replica"]).expect("cut the link");
    cache.change(std::slice::from_ref(&key), async { Ok(()) }).await.expect("change");
    harmed.cluster.kill(primary).expect("kill");
    harmed.cluster.resume(replica).expect("resume");
    until("the replica takes over", || harmed.cluster.primary_of(&key).is_ok()).await;
    assert_eq!(harmed.primary_of(&key), replica);
    let there = harmed.cluster.ask(replica, &["get", &key]).expect("get");
    assert!(there.ends_with(r#""old""#), "it brings the old value back: {there}");

    assert_ne!(cache.get(&key, async || Ok("new".to_owned())).await.expect("get"), "old");
    let kept = async || cache.get(&key, async || Ok("asked again".to_owned())).await.expect("get");
    tokio::time::timeout(PATIENCE, async { while kept().await != kept().await {} }).await.expect("the cache fills again");
}
