//! What is a hash: a profile, and what the directory tells of a room.

use super::super::{ABSENT_TTL_MS, CachedConversations, TTL_MS};
use super::{flush, keys, ports, two};
use crate::conformance::Ports;
use redis::Cmd;
use skein_domain::account::ProfileChange;
use skein_domain::conversation::{Role, RoomInfo};
use skein_domain::entry::EntryEvent;
use skein_domain::id::{ConversationId, Uid};
use skein_domain::port::{AccountStore, ConversationStore, MessageStore};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_comes_from_memory_then_redis_then_the_store() {
    let two = two().await;
    let uid = two.here.user("ann").await;
    let name = async |ports: &Ports| ports.accounts.profiles(&[uid]).await.unwrap().pop().map(|profile| profile.nickname);
    let rename = |name: &str| ProfileChange { nickname: Some(name.into()), ..ProfileChange::default() };
    assert_eq!(name(&two.here.ports).await.as_deref(), Some("ann"));
    // Behind the caches' back, to see which tier answers.
    two.store.change_profile(uid, rename("in the store")).await.unwrap();
    assert_eq!(name(&two.there).await.as_deref(), Some("ann"), "redis");
    flush(&two.redis).await;
    assert_eq!(name(&two.here.ports).await.as_deref(), Some("ann"), "memory");
    let third = ports(two.store.clone(), &two.redis);
    assert_eq!(name(&third).await.as_deref(), Some("in the store"));
    third.accounts.change_profile(uid, rename("new")).await.unwrap();
    assert_eq!(name(&third).await.as_deref(), Some("new"));
    let fourth = ports(two.store.clone(), &two.redis);
    assert_eq!(name(&fourth).await.as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_exist_is_remembered_until_made() {
    let two = two().await;
    let first = two.here.user("ann").await;
    let next = Uid(first.0 + 1);
    assert_eq!(two.here.ports.accounts.profiles(&[next]).await.unwrap(), []);
    let absent = keys(&two.redis, "cache:*:user:*").await;
    let ttl: i64 = two.redis.query(&Cmd::pttl(&absent[0])).await.unwrap();
    assert!((1..=ABSENT_TTL_MS).contains(&ttl));
    assert_eq!(two.here.user("bob").await, next);
    assert_eq!(two.there.accounts.profiles(&[next]).await.unwrap().len(), 1);
}

/// The value is whole at once, and each property can be read by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_properties_of_a_user_are_fields() {
    let two = two().await;
    let uid = two.here.user("ann").await;
    let change = ProfileChange {
        signature: Some("out for lunch, \"back\" at 2 ✨".into()),
        findable_by_email: Some(true),
        ..ProfileChange::default()
    };
    two.here.ports.accounts.change_profile(uid, change).await.unwrap();
    let profile = two.here.ports.accounts.profiles(&[uid]).await.unwrap().pop().unwrap();
    let key = keys(&two.redis, "cache:*:user:*").await.pop().expect("a hash");
    let fields: Vec<String> =
        two.redis.query(redis::cmd("HMGET").arg(&key).arg(&["nickname", "signature", "findable_by_email"])).await.unwrap();
    assert_eq!(fields, ["ann", profile.signature.as_str(), "true"]);
    let third = ports(two.store.clone(), &two.redis);
    assert_eq!(third.accounts.profiles(&[uid]).await.unwrap(), [profile]);
    // Another version's, or half of one: as if it were not there, and left to its end.
    two.redis.query::<i64>(&Cmd::hdel(&key, "signature")).await.unwrap();
    let fourth = ports(two.store.clone(), &two.redis);
    assert_eq!(fourth.accounts.profiles(&[uid]).await.unwrap().len(), 1);
}

// === rooms ===

async fn page(ports: &Ports, before: Option<ConversationId>, limit: u32) -> Vec<RoomInfo> {
    ports.conversations.rooms(before, limit).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_the_directory_is_a_hash_and_is_answered_without_the_store() {
    let two = two().await;
    let ann = two.here.user("ann").await;
    let (first, second) = (two.here.room(ann).await, two.here.room(ann).await);
    let told = page(&two.here.ports, None, 50).await;
    assert_eq!(told.iter().map(|room| room.conversation).collect::<Vec<_>>(), [second, first]);
    assert_eq!(told, two.store.rooms(None, 50).await.unwrap());
    let key = keys(&two.redis, &format!("cache:*:room:*{first}*")).await.pop().expect("a hash");
    let fields: Vec<String> = two.redis.query(redis::cmd("HMGET").arg(&key).arg(&["title", "owner", "members"])).await.unwrap();
    assert_eq!(fields, [told[1].title.clone(), ann.to_string(), "1".into()]);
    let ttl_ms: i64 = two.redis.query(&Cmd::pttl(&key)).await.unwrap();
    assert!((TTL_MS * 3 / 4 - 5_000..=TTL_MS).contains(&ttl_ms), "{ttl_ms}");
    // Behind the cache's back, to see what answers.
    let bob = two.here.user("bob").await;
    two.store.join_room(first, bob, super::NOW).await.unwrap();
    assert_eq!(page(&two.there, None, 50).await, told, "redis");
    assert_eq!(page(&two.there, Some(second), 50).await, told[1..]);
    flush(&two.redis).await;
    assert_eq!(page(&two.there, None, 50).await[1].members, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_a_room_elsewhere_is_in_the_directory_when_it_is_answered() {
    let two = two().await;
    let (ann, bob) = (two.here.user("ann").await, two.here.user("bob").await);
    let room = two.here.room(ann).await;
    let line = async || page(&two.there, None, 50).await.into_iter().find(|line| line.conversation == room).expect("listed");
    let conversations = &two.here.ports.conversations;
    for round in 0..20 {
        assert_eq!((line().await.members, line().await.owner), (1, Some(ann)), "round {round}");
        // Somebody reads all the time.
        let (_, joined) = tokio::join!(line(), conversations.join_room(room, bob, super::NOW));
        joined.unwrap();
        assert_eq!(line().await.members, 2, "round {round}: joined");
        let title = format!("title {round}");
        let event = EntryEvent::InfoChanged { title: Some(title.clone()), announcement: None, muted_all: None };
        let (_, renamed) = tokio::join!(line(), two.here.append(room, ann, event));
        renamed.unwrap();
        assert_eq!(line().await.title, title, "round {round}: renamed");
        let (_, left) = tokio::join!(line(), conversations.leave_room(room, bob));
        left.unwrap();
    }
    conversations.join_room(room, bob, super::NOW).await.unwrap();
    two.here.append(room, ann, EntryEvent::RoleChanged { uid: bob, role: Role::Owner }).await.unwrap();
    assert_eq!(line().await.owner, Some(bob));
    two.here.append(room, bob, EntryEvent::Left { uid: ann }).await.unwrap();
    assert_eq!(line().await.members, 1);
    let (_, made) = tokio::join!(line(), two.here.room(ann));
    assert_eq!(page(&two.there, None, 1).await[0].conversation, made);
}

/// A process that ends in the middle of a change leaves its bar, which nobody believes anything under.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_bar_the_store_tells_of_a_room() {
    let two = two().await;
    let (ann, bob) = (two.here.user("ann").await, two.here.user("bob").await);
    let room = two.here.room(ann).await;
    page(&two.here.ports, None, 50).await;
    let cached = CachedConversations::new(Arc::new(two.store.clone()), two.redis.clone(), two.store.epoch());
    cached.directory().bar(room, "Bdead").await;
    for uid in [ann, bob] {
        two.store.join_room(room, uid, super::NOW).await.unwrap();
        assert_eq!(page(&two.there, None, 50).await, two.store.rooms(None, 50).await.unwrap());
    }
    cached.join_room(room, bob, super::NOW).await.unwrap();
    page(&two.there, None, 50).await;
    two.store.leave_room(room, bob).await.unwrap();
    assert_eq!(page(&two.there, None, 50).await[0].members, 2, "cached again after the next change");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_the_directory_is_filled_nobody_asks_the_store() {
    let two = two().await;
    let ann = two.here.user("ann").await;
    for _ in 0..20 {
        two.here.room(ann).await;
    }
    let all = page(&two.here.ports, None, 20).await;
    assert_eq!(all.len(), 20);
    // From here on a query would fail.
    two.store.close();
    for _ in 0..20 {
        assert_eq!(page(&two.there, None, 20).await, all);
    }
    assert_eq!(page(&two.there, Some(all[4].conversation), 50).await, all[5..]);
    assert!(two.there.conversations.rooms(Some(ConversationId(999)), 20).await.is_err(), "what is not known to be all");
}
