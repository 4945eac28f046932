pub(super) mod cluster;
mod deploy;
mod failover;
mod keys;
mod trips;

use super::{Config, Redis, RedisBroadcasts, RedisCodes, RedisGuests, RedisNodes, RedisReceipts, RedisSessions};
use crate::conformance::{broadcasts, codes, guests, nodes, receipts, sessions};
use skein_domain::account::DeviceClass;
use skein_domain::id::{Generation, Millis, NodeId, SessionId, Uid};
use skein_domain::live::RoomName;
use skein_domain::port::{Clock, CometAddress, GuestRegistry, NodeInfo, NodeOnline, NodeRegistry, Renewed, Route, SessionRegistry};
use skein_domain::testing::ManualClock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use xtask::services::{self, Service};

/// Each with keys of its own.
pub(super) fn redis() -> Redis {
    static URL: LazyLock<String> = LazyLock::new(|| services::require(Service::Redis).expect("redis"));
    on(vec![URL.clone()])
}

fn on(urls: Vec<String>) -> Redis {
    static NTH: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("test:{}:{}:", std::process::id(), NTH.fetch_add(1, Ordering::Relaxed));
    Redis::new(&Config { urls, prefix, ..Config::default() }).expect("redis")
}

fn at(clock: Arc<dyn Clock>) -> Redis {
    redis().shifted(clock)
}

crate::session_registry_suite!((|clock| Arc::new(RedisSessions::new(at(clock)))) as sessions::Maker);
crate::node_registry_suite!((|clock| Arc::new(RedisNodes::new(at(clock), "a").expect("nodes"))) as nodes::Maker);
crate::code_store_suite!((|| Arc::new(RedisCodes::new(redis()))) as codes::Maker);
crate::guest_registry_suite!((|clock| Arc::new(RedisGuests::new(at(clock)))) as guests::Maker);
crate::broadcast_queue_suite!((|clock, max| Arc::new(RedisBroadcasts::bounded(at(clock), max))) as broadcasts::Maker);
crate::receipt_store_suite!((|clock| Arc::new(RedisReceipts::new(at(clock)))) as receipts::Maker);

/// Its own former life is not another: nobody hears of that one again.
#[tokio::test]
async fn a_node_hears_that_another_process_has_its_name() {
    let clock = Arc::new(ManualClock::default());
    let redis = at(clock.clone());
    let of = |own: &str| RedisNodes::new(redis.clone(), own).expect("nodes");
    let (dead, first, second, elsewhere) = (of("a"), of("a"), of("a"), of("b"));
    let info = NodeInfo { node: NodeId("a".into()), comet: CometAddress::default(), connections: 1, draining: false };
    let is_taken = async |process: &RedisNodes| {
        clock.advance(20_000);
        process.put_node(&info, 60_000).await.expect("announce")
    };
    assert!(!is_taken(&dead).await);
    let of_the_dead: String = redis.query(&redis::Cmd::get(redis.key("node:a"))).await.expect("get");
    assert!(!is_taken(&first).await, "the lease of its former life still holds");
    assert!(!is_taken(&first).await);
    assert!(!is_taken(&second).await, "it cannot know yet");
    assert!(is_taken(&first).await && is_taken(&second).await && is_taken(&first).await);
    assert!(!is_taken(&first).await, "the other ended");
    redis.query::<redis::Value>(&redis::Cmd::set(redis.key("node:a"), of_the_dead)).await.expect("an old copy of it all");
    assert!(!is_taken(&first).await, "what is older than its own is no announcement");
    assert!(!is_taken(&elsewhere).await, "a Comet of several Logics");
    assert!(!is_taken(&elsewhere).await);
    first.withdraw(&info.node).await.expect("withdraw");
    assert!(!is_taken(&second).await);
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_hides_nobody_else() {
    let redis = redis();
    let registry = RedisSessions::new(redis.clone());
    let route =
        |n: i64| Route { uid: Uid(n), class: DeviceClass::Web, node: NodeId("a".into()), session: SessionId(n), generation: Generation(1) };
    for n in [1, 2] {
        registry.register(route(n), 90_000).await.expect("register");
    }
    redis.query::<()>(redis::cmd("SET").arg(redis.key("session:1")).arg("{").arg("PX").arg(90_000)).await.expect("set");
    assert_eq!(registry.routes(&[Uid(1), Uid(2)]).await.expect("routes"), [route(2)]);
}

/// A connection may live for longer than the sets are kept, and a part of what Redis has may be lost without the rest.
#[tokio::test]
async fn whoever_is_missing_in_the_sets_is_in_them_after_the_next_renewal() {
    const LEASE_MS: i64 = 90_000;
    let redis = redis();
    let registry = RedisSessions::new(redis.clone());
    let node = NodeId("a".into());
    let route = Route { uid: Uid(5), class: DeviceClass::Web, node: node.clone(), session: SessionId(1), generation: Generation(1) };
    let found = async || registry.routes(&[Uid(5)]).await.expect("routes");
    let renew = async || registry.renew(&node, &[route.connection()], LEASE_MS).await.expect("renew");
    registry.register(route.clone(), LEASE_MS).await.expect("register");
    let sets = [redis.key("user:5"), redis.key("at:a")];
    redis.all::<redis::Value>(sets.iter().map(redis::Cmd::del).collect()).await.expect("the sets are lost");
    assert_eq!((found().await, registry.count(&node).await.expect("count")), (Vec::new(), 0));
    assert_eq!(renew().await, Renewed { unknown: Vec::new(), missed: vec![Uid(5)] }, "they have to sync");
    assert_eq!((found().await, registry.count(&node).await.expect("count")), (vec![route.clone()], 1));
    for set in &sets {
        redis.query::<i64>(redis::cmd("PEXPIRE").arg(set).arg(super::INDEX_TTL_MS / 3)).await.expect("time passes");
    }
    assert_eq!(renew().await, Renewed::default());
    redis.query::<i64>(&redis::Cmd::sadd(&sets[0], "of another version")).await.expect("sadd");
    assert_eq!(found().await, std::slice::from_ref(&route));
    assert_eq!(redis.query::<i64>(&redis::Cmd::scard(&sets[0])).await.expect("scard"), 1, "what names nothing is taken out");
    for set in &sets {
        let ttl_ms: i64 = redis.query(&redis::Cmd::pttl(set)).await.expect("ttl");
        assert!(ttl_ms > super::INDEX_TTL_MS / 2, "{ttl_ms}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_back_while_the_last_connection_is_cleared_away_is_found() {
    let registry = RedisSessions::new(redis());
    let node = NodeId("a".into());
    let route = |n| Route { uid: Uid(5), class: DeviceClass::Web, node: node.clone(), session: SessionId(1), generation: Generation(n) };
    registry.register(route(0), 90_000).await.expect("register");
    for n in 1..=200 {
        let (removed, looked, registered) =
            tokio::join!(registry.remove(route(n - 1).connection()), registry.routes(&[Uid(5)]), registry.register(route(n), 90_000));
        assert!(removed.is_ok() && looked.is_ok() && registered.is_ok());
        assert_eq!(registry.routes(&[Uid(5)]).await.expect("routes"), [route(n)]);
        assert_eq!(registry.count(&node).await.expect("count"), 1);
    }
}

/// A-STATUS-4, as somebody sees it who looks into Redis.
#[tokio::test]
async fn the_set_of_a_node_follows_a_hundred_connections_up_and_down() {
    let redis = redis();
    let registry = RedisSessions::new(redis.clone());
    let node = NodeId("a".into());
    let members = async || redis.query::<i64>(&redis::Cmd::scard(redis.key("at:a"))).await.expect("scard");
    let route = |n| Route { uid: Uid(n), class: DeviceClass::Web, node: node.clone(), session: SessionId(n), generation: Generation(n) };
    for n in 1..=100 {
        registry.register(route(n), 90_000).await.expect("register");
        assert_eq!(members().await, n);
    }
    assert_eq!(registry.count(&node).await.expect("count"), 100);
    for n in (1..=100).rev() {
        assert!(registry.remove(route(n).connection()).await.expect("remove"));
        assert_eq!(members().await, n - 1);
    }
}

/// As goim's own tools read it.
#[tokio::test]
async fn guests_are_under_the_keys_goim_has() {
    let redis = redis();
    let registry = RedisGuests::new(redis.clone());
    let route = guests::route("k1", 7, 1, "comet-1");
    registry.register(route.clone(), 90_000).await.expect("register");
    let get = async |command: redis::Cmd| redis.query::<Option<String>>(&command).await.expect("answer");
    let (mid, key) = (redis.key("mid_7"), redis.key("key_k1"));
    assert_eq!(get(redis::Cmd::hget(&mid, "k1")).await.as_deref(), Some("comet-1"));
    assert_eq!(get(redis::Cmd::get(&key)).await.as_deref(), Some("comet-1"));
    let room = RoomName::parse("live://1").expect("good name");
    let online =
        NodeOnline { node: NodeId("comet-1".into()), rooms: vec![(room, 3)], connections: 3, addresses: 1, weight: 1, at: Millis(5_000) };
    registry.put_online(online, 90_000).await.expect("put");
    let fields: std::collections::HashMap<String, String> =
        redis.query(&redis::Cmd::hgetall(redis.key("ol_comet-1"))).await.expect("fields");
    let counts: Vec<_> =
        fields.iter().filter(|(name, _)| name.parse::<u8>().is_ok_and(|field| field < 64)).map(|(_, text)| text.as_str()).collect();
    assert_eq!(counts, [r#"{"server":"comet-1","room_count":{"live://1":3},"updated":5}"#]);
    assert!(registry.remove(&route.node, &route.guest()).await.expect("remove"));
    assert_eq!((get(redis::Cmd::hget(&mid, "k1")).await, get(redis::Cmd::get(&key)).await), (None, None));
}

/// Connections that are in use all the time are never idle, and break all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_calls_that_never_pause_work_again() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().to_owned();
    let mut own = tokio::task::spawn_blocking(move || services::Own::start(Service::Redis, &path).expect("redis")).await.expect("started");
    let redis = Redis::new(&Config { urls: vec![own.address()], timeout_ms: 500, ..Config::default() }).expect("redis");
    let ping = async || redis.query::<String>(&redis::cmd("PING")).await;
    let all = futures_util::future::join_all((0..8).map(|_| ping())).await;
    assert!(all.iter().all(Result::is_ok));
    own.kill().expect("kill");
    while ping().await.is_ok() {}
    own = tokio::task::spawn_blocking(move || {
        own.restart().expect("restart");
        own
    })
    .await
    .expect("restarted");
    let mut failures = 0;
    for _ in 0..50 {
        failures += u32::from(ping().await.is_err());
    }
    assert_eq!(failures, 0, "the first failure told of all");
    drop(own);
}
