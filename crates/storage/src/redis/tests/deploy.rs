//! The settings for production in `deploy/redis.conf`: a server takes each of them, and they keep what they promise.

use super::super::cache::tests::NOW;
use super::super::{Config, Redis, RedisCodes, RedisNodes};

use redis::Cmd;
use skein_domain::account::{CodePurpose, SecretHash};
use skein_domain::id::{NodeId, SessionId};
use skein_domain::port::{CodeLimits, CodeStore, NodeRegistry};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use xtask::services::{Own, Service};

const SETTINGS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/redis.conf"));
/// What the file says a power cut may cost, which is more than a kill does.
const LOST_AT_MOST: Duration = Duration::from_secs(2);
const LIMITS: CodeLimits = CodeLimits { ttl_ms: 300_000, codes_per_hour: 5, checks_per_hour: 10 };
const ANN: &str = "ann@example.org";

async fn in_production() -> (Own, Redis, TempDir) {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("redis.conf"), SETTINGS).expect("settings");
    let path = folder.path().to_owned();
    let own = tokio::task::spawn_blocking(move || Own::start(Service::Redis, &path).expect("redis")).await.expect("started");
    let redis = Redis::open(&Config { urls: vec![own.address()], ..Config::default() }).await.expect("open");
    (own, redis, folder)
}

/// Those of the file, but for where it listens, which a test says itself.
fn settings() -> Vec<(&'static str, &'static str)> {
    let lines = SETTINGS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').expect("name and value")).filter(|(name, _)| !["bind", "port"].contains(name)).collect()
}

/// As `CONFIG GET` has sizes.
fn in_bytes(value: &str) -> String {
    let units = [("mb", 1_u64 << 20), ("gb", 1 << 30)];
    let sized = units.iter().find_map(|(unit, bytes)| Some(value.strip_suffix(unit)?.parse::<u64>().ok()? * bytes));
    sized.map_or(value.to_owned(), |bytes| bytes.to_string())
}

async fn info(redis: &Redis, section: &str, field: &str) -> String {
    let about: String = redis.query(redis::cmd("INFO").arg(section)).await.expect("info");
    let value = about.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {field} in {about}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn production_settings_are_taken_and_codes_and_tickets_survive_a_kill() {
    for (name, value) in [("appendonly", "yes"), ("appendfsync", "everysec"), ("aof-use-rdb-preamble", "yes")] {
        assert!(settings().contains(&(name, value)), "{name}");
    }
    let (mut own, redis, _folder) = in_production().await;
    for (name, value) in settings() {
        let taken: HashMap<String, String> = redis.query(redis::cmd("CONFIG").arg("GET").arg(name)).await.expect("config");
        assert_eq!(taken.get(name), Some(&in_bytes(value)), "{name}");
    }

    let (codes, nodes, node) = (RedisCodes::new(redis.clone()), RedisNodes::new(redis.clone(), "a").expect("nodes"), NodeId("a".into()));
    codes.put(ANN, CodePurpose::Register, "123456", NOW, LIMITS).await.expect("code");
    nodes.put_ticket(SecretHash([1; 32]), SessionId(7), node.clone(), 60_000).await.expect("ticket");
    let written = Instant::now();
    while info(&redis, "persistence", "aof_buffer_length").await != "0" {
        assert!(written.elapsed() < LOST_AT_MOST, "not given to the system yet");
    }
    own.kill().expect("kill");
    let killed = Instant::now();
    let own = tokio::task::spawn_blocking(move || {
        own.restart().expect("restart");
        own
    });
    let own = own.await.expect("restarted");
    while codes.check(ANN, CodePurpose::Register, "123456", NOW, LIMITS).await.is_err() {
        assert!(killed.elapsed() < Duration::from_secs(20), "the code is gone");
    }
    eprintln!("redis killed with production settings: a code from before was good after {:?}", killed.elapsed());
    assert_eq!(nodes.take_ticket(SecretHash([1; 32]), &node).await.expect("ticket"), Some(SessionId(7)));
    assert_eq!(nodes.take_ticket(SecretHash([1; 32]), &node).await.expect("ticket"), None);
    drop(own);
}

/// What ends soonest goes first, and that is what is cached.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_memory_takes_cached_values_and_leaves_codes_alone() {
    let (_own, redis, _folder) = in_production().await;
    let codes = RedisCodes::new(redis.clone());
    codes.put(ANN, CodePurpose::Register, "123456", NOW, LIMITS).await.expect("code");
    redis.query::<String>(redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("4mb")).await.expect("less memory");
    let cached = |n: u32| {
        let mut set = Cmd::set(redis.key(format_args!("cache:1:profile:{{{n}}}")), "V".repeat(1_000));
        set.arg("PX").arg(60_000);
        set
    };
    for some in (0..8_000).collect::<Vec<u32>>().chunks(500) {
        redis.all::<redis::Value>(some.iter().map(|n| cached(*n)).collect()).await.expect("cache");
    }
    let evicted: u32 = info(&redis, "stats", "evicted_keys").await.parse().expect("a number");
    assert!(evicted > 3_000, "{evicted}");
    codes.check(ANN, CodePurpose::Register, "123456", NOW, LIMITS).await.expect("the code is still there");
}
