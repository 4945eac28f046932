//! The conformance suites through the caches, and what the caches promise on top.

use super::super::tests::{cluster::cluster, redis};
use super::{Cache, CachedAccounts, CachedConversations, CachedMessages, TTL_MS};
use crate::conformance::{Backend, Ports, World};
use crate::redis::Redis;
use crate::{Config, Store};
use async_trait::async_trait;
use futures_util::future::join_all;
use redis::Cmd;
use skein_domain::account::{DeviceClass, SecretHash, Session};
use skein_domain::entry::{Entry, EntryEvent};
use skein_domain::id::{ConversationId, Epoch, Millis, Revision, Seq, Uid};
use skein_domain::port::{AccountStore, MessageStore, NewSession, WhichSessions};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tempfile::TempDir;

mod hashes;

pub(in crate::redis) const NOW: Millis = Millis(1_800_000_000_000);

struct Cached {
    folder: TempDir,
    redis: Redis,
}

impl Cached {
    fn new(redis: Redis) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), redis }
    }
}

#[async_trait]
impl Backend for Cached {
    async fn open(&self) -> Ports {
        ports(Store::open(self.folder.path(), &Config::default()).unwrap(), &self.redis)
    }
}

/// Another process, as far as the caches know.
fn ports(store: Store, redis: &Redis) -> Ports {
    let accounts = CachedAccounts::new(Arc::new(store.clone()), redis.clone(), store.epoch());
    let conversations = CachedConversations::new(Arc::new(store.clone()), redis.clone(), store.epoch());
    let messages = CachedMessages::new(Arc::new(store.clone()), redis.clone(), &conversations);
    Ports { accounts: Arc::new(accounts), conversations: Arc::new(conversations), messages: Arc::new(messages), ..Ports::of(store) }
}

mod conformance {
    use super::{Cached, redis};
    crate::message_store_suite!(Cached::new(redis()));
    crate::conversation_store_suite!(Cached::new(redis()));
    crate::account_store_suite!(Cached::new(redis()));
    crate::outbox_suite!(Cached::new(redis()));
}

mod conformance_on_a_cluster {
    use super::{Cached, cluster};
    crate::message_store_suite!(Cached::new(cluster()));
    crate::conversation_store_suite!(Cached::new(cluster()));
    crate::account_store_suite!(Cached::new(cluster()));
}

/// A store, and two processes in front of it.
pub(in crate::redis) struct Two {
    store: Store,
    pub(in crate::redis) redis: Redis,
    pub(in crate::redis) here: World,
    there: Ports,
    _folder: TempDir,
}

pub(in crate::redis) async fn two() -> Two {
    two_on(redis()).await
}

pub(in crate::redis) async fn two_on(redis: Redis) -> Two {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &Config::default()).unwrap();
    struct One(Store, Redis);
    #[async_trait]
    impl Backend for One {
        async fn open(&self) -> Ports {
            ports(self.0.clone(), &self.1)
        }
    }
    let here = World::on(&One(store.clone(), redis.clone())).await;
    Two { there: ports(store.clone(), &redis), store, redis, here, _folder: folder }
}

pub(in crate::redis) async fn log_in(accounts: &dyn AccountStore, uid: Uid, secret: u8) -> Session {
    let client = "test".to_owned();
    let new =
        NewSession { uid, class: DeviceClass::Web, secret: SecretHash([secret; 32]), client, at: NOW, expires_at: NOW.plus(1_000_000) };
    accounts.open_session(new).await.unwrap().0
}

pub(in crate::redis) async fn keys(redis: &Redis, pattern: &str) -> Vec<String> {
    let mut command = redis::cmd("KEYS");
    command.arg(redis.key(pattern).replace('{', "\\{"));
    redis.query(&command).await.unwrap()
}

async fn flush(redis: &Redis) {
    let all = keys(redis, "*").await;
    redis.all::<redis::Value>(all.iter().map(Cmd::del).collect()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_in_redis_while_it_lives_and_a_log_out_elsewhere_is_in_force_at_once() {
    let two = two().await;
    let uid = two.here.user("ann").await;
    let secret = SecretHash([1; 32]);
    let session = log_in(&*two.here.ports.accounts, uid, 1).await;
    let ask = async |ports: &Ports| ports.accounts.session_by_secret(secret, NOW).await.unwrap();
    assert_eq!(ask(&two.here.ports).await.as_ref(), Some(&session));
    let cached = keys(&two.redis, "cache:*:se*").await;
    assert_eq!(cached.len(), 2, "{cached:?}");
    for key in &cached {
        let ttl: i64 = two.redis.query(&Cmd::pttl(key)).await.unwrap();
        assert!((1..=TTL_MS).contains(&ttl), "{key} has {ttl} ms");
    }
    // Known to the cache alone: the store's answer would be another.
    two.store.renew_session(session.id, NOW.plus(5), session.expires_at).await.unwrap();
    assert_eq!(ask(&two.there).await, Some(session.clone()));
    two.there.accounts.end_sessions(uid, WhichSessions::One(session.id)).await.unwrap();
    assert_eq!(ask(&two.here.ports).await, None);
    assert_eq!(keys(&two.redis, "cache:*:secret:*").await, [] as [&str; 0], "gone with the log-out");
    assert_eq!(ask(&two.there).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kick_in_the_middle_of_lookups_is_in_force_when_it_is_answered() {
    let two = Arc::new(two().await);
    let uid = two.here.user("ann").await;
    for round in 0..30 {
        let session = log_in(&*two.here.ports.accounts, uid, round).await;
        let secret = SecretHash([round; 32]);
        let kicked = Arc::new(AtomicU32::new(0));
        let lookups = (0..8).map(|nth| {
            let (two, kicked) = (two.clone(), kicked.clone());
            tokio::spawn(async move {
                let ports = if nth % 2 == 0 { &two.here.ports } else { &two.there };
                for _ in 0..20 {
                    let was_kicked = kicked.load(Ordering::SeqCst) == 1;
                    let live = ports.accounts.session_by_secret(secret, NOW).await.unwrap().is_some();
                    assert!(!(was_kicked && live), "round {round}: answered after the kick");
                }
            })
        });
        let lookups: Vec<_> = lookups.collect();
        two.there.accounts.end_sessions(uid, WhichSessions::One(session.id)).await.unwrap();
        kicked.store(1, Ordering::SeqCst);
        for lookup in join_all(lookups).await {
            lookup.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_misses_one_asks_the_store() {
    let redis = redis();
    let (cache, loads) = (Cache::new(redis.clone(), "test", Epoch(1)), AtomicU64::new(0));
    let key = cache.key("k", 1);
    let load = || async {
        loads.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        Ok(7)
    };
    // The connections are there, so that nobody's patience ends with waiting for one.
    let others: Vec<String> = (0..32).map(|n| cache.key("other", n)).collect();
    join_all(others.iter().map(|other| cache.get(other, async || Ok(0)))).await;
    let all = join_all((0..500).map(|_| cache.get(&key, load))).await;
    assert!(all.into_iter().all(|value| value.unwrap() == 7));
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_loaded_before_a_change_is_not_kept() {
    let redis = redis();
    let cache = Cache::new(redis.clone(), "test", Epoch(1));
    let key = cache.key("k", 1);
    let keys = [key.clone()];
    let slow = cache.get(&key, async || {
        cache.change(&keys, async { Ok(()) }).await?;
        Ok("old".to_owned())
    });
    assert_eq!(slow.await.unwrap(), "old");
    assert_eq!(cache.get(&key, async || Ok("new".to_owned())).await.unwrap(), "new");
    // A process that died in the middle of a change leaves its bar.
    cache.bar(&keys, "Bdead").await;
    assert_eq!(cache.get(&key, async || Ok("from the store".to_owned())).await.unwrap(), "from the store");
    cache.change(&keys, async { Ok(()) }).await.unwrap();
    assert_eq!(cache.get(&key, async || Ok("still".to_owned())).await.unwrap(), "still");
    assert_eq!(cache.get(&key, async || Ok("not asked".to_owned())).await.unwrap(), "still");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_filled_together_do_not_end_together() {
    let redis = redis();
    let cache = Cache::new(redis.clone(), "test", Epoch(1));
    let keys: Vec<String> = (0..1_000).map(|n| cache.key("k", n)).collect();
    for some in keys.chunks(100) {
        let filled = join_all(some.iter().map(|key| cache.get(key, async || Ok(1)))).await;
        assert!(filled.iter().all(Result::is_ok));
    }
    let ttls: Vec<i64> = redis.all(keys.iter().map(Cmd::pttl).collect()).await.unwrap();
    let (least, most) = (ttls.iter().min().unwrap(), ttls.iter().max().unwrap());
    assert!(*most <= TTL_MS && most - least > TTL_MS / 6, "{least}..{most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_the_store_answers() {
    let away = crate::RedisConfig { urls: vec!["redis://127.0.0.1:1".into()], ..crate::RedisConfig::default() };
    let folder = tempfile::tempdir().unwrap();
    let ports = ports(Store::open(folder.path(), &Config::default()).unwrap(), &Redis::new(&away).unwrap());
    struct One(std::sync::Mutex<Option<Ports>>);
    #[async_trait]
    impl Backend for One {
        async fn open(&self) -> Ports {
            self.0.lock().unwrap().take().unwrap()
        }
    }
    let world = World::on(&One(std::sync::Mutex::new(Some(ports)))).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let session = log_in(&*world.ports.accounts, ann, 1).await;
    assert_eq!(world.ports.accounts.session_by_secret(SecretHash([1; 32]), NOW).await.unwrap(), Some(session));
    let group = world.group(ann, &[bob]).await;
    let said = world.say(group, ann, "hello").await;
    world.append(group, ann, EntryEvent::Recalled { target: said.seq }).await.unwrap();
    let (entries, _) = world.ports.messages.newest(group, said.seq, Revision(0), 100).await.unwrap();
    assert_eq!(entries.last().map(|entry| entry.seq), Some(said.seq));
}

// === entries ===

async fn newest(ports: &Ports, group: ConversationId, to: Seq, limit: u32) -> (Vec<Entry>, bool) {
    ports.messages.newest(group, to, Revision(0), limit).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_entries_are_a_list_that_follows_the_conversation() {
    let two = two().await;
    let (ann, bob) = (two.here.user("ann").await, two.here.user("bob").await);
    let group = two.here.group(ann, &[bob]).await;
    let mut head = Seq(0);
    for n in 0..100 {
        head = two.here.say(group, ann, &format!("{n}")).await.seq;
    }
    let stored = two.store.newest(group, head, Revision(0), 20).await.unwrap();
    assert_eq!(newest(&two.here.ports, group, head, 20).await, stored);
    let list = keys(&two.redis, "cache:*:history:*").await.pop().expect("a list");
    let length = async || two.redis.query::<i64>(&Cmd::llen(&list)).await.unwrap();
    assert_eq!(length().await, head.0);
    let first: Vec<String> = two.redis.query(&Cmd::lrange(&list, 0, 0)).await.unwrap();
    assert_eq!(serde_json::from_str::<Entry>(&first[0]).unwrap().seq, head, "the newest comes first");
    for n in 0..60 {
        head = two.here.say(group, bob, &format!("more {n}")).await.seq;
        let stored = two.store.newest(group, head, Revision(0), 20).await.unwrap();
        assert_eq!(newest(&two.there, group, head, 20).await, stored);
    }
    assert_eq!(length().await, 128, "bounded");
    let from = Seq(head.0 - 50);
    let stored = two.store.entries(group, from, head, 30).await.unwrap();
    assert_eq!(two.there.messages.entries(group, from, head, 30).await.unwrap(), stored);
    assert_eq!(two.there.messages.entries(group, Seq(1), Seq(5), 30).await.unwrap().len(), 5, "what is cold is in the store");
    let after = stored[0].revision;
    let stored = two.store.newest(group, head, after, 100).await.unwrap();
    assert_eq!(two.there.messages.newest(group, head, after, 100).await.unwrap(), stored);
    let ttl: i64 = two.redis.query(&Cmd::pttl(&list)).await.unwrap();
    assert!((1..=TTL_MS).contains(&ttl));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recall_elsewhere_blanks_what_was_cached_here() {
    let two = two().await;
    let (ann, bob) = (two.here.user("ann").await, two.here.user("bob").await);
    let group = two.here.group(ann, &[bob]).await;
    for round in 0..30 {
        let said = two.here.say(group, ann, "regretted").await.seq;
        newest(&two.here.ports, group, said, 20).await;
        let reading = newest(&two.here.ports, group, said, 20);
        let event = EntryEvent::Recalled { target: said };
        let draft = two.here.draft(group, ann, event).await;
        let (_, recalled) = tokio::join!(reading, two.there.messages.append(draft));
        let head = recalled.unwrap().seq;
        for ports in [&two.here.ports, &two.there] {
            let (entries, _) = newest(ports, group, head, 20).await;
            let message = entries.iter().find(|entry| entry.seq == said).expect("the message");
            assert!(matches!(message.event, EntryEvent::Message { body: None, .. }), "round {round}: {message:?}");
        }
    }
}

/// A flush takes speed, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushes_in_the_middle_of_traffic_change_no_answer() {
    let two = Arc::new(two().await);
    let (ann, bob) = (two.here.user("ann").await, two.here.user("bob").await);
    let group = two.here.group(ann, &[bob]).await;
    let flushing = {
        let two = two.clone();
        tokio::spawn(async move {
            loop {
                flush(&two.redis).await;
                tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            }
        })
    };
    log_in(&*two.here.ports.accounts, ann, 1).await;
    for n in 0..200 {
        let head = two.here.say(group, ann, &format!("{n}")).await.seq;
        let ports = if n % 2 == 0 { &two.here.ports } else { &two.there };
        assert_eq!(newest(ports, group, head, 50).await, two.store.newest(group, head, Revision(0), 50).await.unwrap());
        assert!(ports.accounts.session_by_secret(SecretHash([1; 32]), NOW).await.unwrap().is_some());
        assert_eq!(ports.accounts.profiles(&[ann, bob]).await.unwrap().len(), 2);
    }
    flushing.abort();
}
