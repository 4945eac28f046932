//! Redis away, emptied, too small, or replaced: the database is asked instead, and nothing is lost but speed.

use crate::lab::{Engine, Traffic, crew, metric};
use skein_testkit::scenario::{Draft, World};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use xtask::services::{Environment, OwnCluster, Service};

const PATIENCE: Duration = Duration::from_secs(20);
const BREATH: Duration = Duration::from_millis(50);

pub fn with_redis(draft: Draft, redis: &Engine) -> Draft {
    draft.set("redis.urls", &format!("[\"{}\"]", redis.own.address())).set("redis.timeout_ms", "500")
}

/// A connection that Redis has forgotten registers anew when its lease is renewed.
fn renewing_often(draft: Draft) -> Draft {
    draft.set("comet.renew_interval_ms", "1000")
}

async fn ask(redis: &Engine, command: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", redis.own.port())).await.unwrap();
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(BREATH).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("{what}: not in time"));
}

async fn some_traffic(world: &World) -> Traffic {
    let mut traffic = Traffic::new();
    traffic.say(world, 10).await;
    traffic.arrives(world).await;
    traffic
}

/// Of the lookups of one cache, how many the store was spared.
async fn hit_rate(world: &World, cache: &str) -> f64 {
    let tier = async |tier: &str| metric(world.admin(), &format!("skein_cache_lookups_total{{cache=\"{cache}\",tier=\"{tier}\"}}")).await;
    let hits = tier("memory").await + tier("redis").await;
    hits / (hits + tier("store").await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stands_still_or_is_killed_or_flushed_costs_no_message() {
    let redis = Engine::start(Service::Redis).await;
    let world = renewing_often(with_redis(crew(), &redis)).start().await.unwrap();
    let mut traffic = some_traffic(&world).await;

    let standing_still = async {
        redis.own.pause().unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        redis.own.resume().unwrap();
    };
    let ((), talk) = traffic.while_suffering(&world, standing_still).await;
    talk.told("redis stood still");
    assert_eq!(talk.refusals, BTreeSet::new());

    let being_killed = async {
        redis.own.kill().unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        redis.restart().await
    };
    let (redis, talk) = traffic.while_suffering(&world, being_killed).await;
    talk.told("redis was killed");
    assert_eq!(talk.refusals, BTreeSet::new());

    let being_flushed = async {
        for _ in 0..20 {
            ask(&redis, "FLUSHALL").await;
            tokio::time::sleep(BREATH).await;
        }
    };
    let ((), talk) = traffic.while_suffering(&world, being_flushed).await;
    talk.told("redis was flushed, and flushed again");
    assert_eq!(talk.refusals, BTreeSet::new());
    for name in ["ann", "bob", "cat"] {
        let key = format!("EXISTS skein:user:{}", world.uid(name));
        until("everybody is registered again", async || ask(&redis, &key).await.starts_with(":1")).await;
    }
}

const SMALL: u64 = 8 << 20;

async fn used_memory(redis: &Engine) -> u64 {
    let about = ask(redis, "INFO memory").await;
    about.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok()).expect("used_memory")
}

/// As nobody should run it: small, and free to take any key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_evicts_costs_no_message() {
    let folder = Engine::folder();
    std::fs::write(folder.path().join("redis.conf"), format!("maxmemory {SMALL}\nmaxmemory-policy allkeys-random\n")).unwrap();
    let redis = Engine::start_with(Service::Redis, folder, Environment::new(), &[]).await;
    let world = renewing_often(with_redis(crew(), &redis)).start().await.unwrap();
    let mut traffic = some_traffic(&world).await;
    // Where fan-out looks for people.
    let ours = ["ann", "bob", "cat"].map(|name| format!("skein:user:{}", world.uid(name)));
    let ours = format!("EXISTS {}", ours.join(" "));
    assert!(ask(&redis, &ours).await.starts_with(":3"));
    let vanished = Cell::new(false);
    let being_filled = async {
        for round in 0..10 {
            ask(&redis, &format!("DEBUG POPULATE 30000 other{round} 300")).await;
            until("there is room again", async || used_memory(&redis).await < SMALL + SMALL / 8).await;
            vanished.set(vanished.get() || !ask(&redis, &ours).await.starts_with(":3"));
        }
    };
    let ((), talk) = traffic.while_suffering(&world, being_filled).await;
    talk.told("redis evicted whatever it liked");
    assert_eq!(talk.refusals, BTreeSet::new());
    assert!(vanished.get(), "what was ours was evicted, too");
    until("everybody is found again", async || ask(&redis, &ours).await.starts_with(":3")).await;
}

async fn cluster() -> (OwnCluster, TempDir) {
    let folder = Engine::folder();
    let path = folder.path().to_owned();
    (tokio::task::spawn_blocking(move || OwnCluster::start(&path)).await.unwrap().unwrap(), folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_of_a_redis_cluster_in_the_middle_of_traffic_costs_no_message() {
    let (cluster, _folder) = cluster().await;
    let draft = crew().set("redis.urls", &format!("{:?}", cluster.addresses())).set("redis.timeout_ms", "1000");
    let world = renewing_often(draft).start().await.unwrap();
    let mut traffic = some_traffic(&world).await;

    // Where fan-out looks for bob.
    let key = format!("skein:user:{}", world.uid("bob"));
    let is_replaced = async || cluster.primary_of(&key).is_ok();
    let being_killed = async {
        cluster.kill(cluster.primary_of(&key).unwrap()).unwrap();
        until("a replica takes over", is_replaced).await;
    };
    let ((), talk) = traffic.while_suffering(&world, being_killed).await;
    talk.told("a primary of the redis cluster was killed");
    assert_eq!(talk.refusals, BTreeSet::new());
    traffic.say(&world, 10).await;
    traffic.arrives(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_devices_ask_for_again_comes_from_redis() {
    let redis = Engine::start(Service::Redis).await;
    let world = with_redis(crew(), &redis).start().await.unwrap();
    let mut traffic = some_traffic(&world).await;
    let before = hit_rate(&world, "entries").await;
    for _ in 0..10 {
        for name in ["bob", "cat"] {
            world.user(name).goes_offline().await;
        }
        traffic.say(&world, 5).await;
        for name in ["bob", "cat"] {
            world.user(name).comes_back().await;
        }
        traffic.arrives(&world).await;
    }
    let (entries, sessions) = (hit_rate(&world, "entries").await, hit_rate(&world, "sessions").await);
    eprintln!(
        "answered from redis: {:.0} % of entries (at first {:.0} %), {:.0} % of sessions",
        entries * 100.0,
        before * 100.0,
        sessions * 100.0
    );
    assert!(entries >= 0.4 && sessions >= 0.4, "{entries} {sessions}");
}
