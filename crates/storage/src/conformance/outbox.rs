//! What an [`skein_domain::port::Outbox`] must keep.

use super::world::{NOW, message};
use super::{Backend, World};
use skein_domain::conversation::{Kind, SettingsChange};
use skein_domain::delivery::UserEvent;
use skein_domain::id::{Revision, Shard, Uid};
use skein_domain::port::{LogEvent, LogRecord};

/// Entries and items of user logs, mixed.
async fn busy_world(backend: &dyn Backend) -> (World, Uid) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    world.befriend(ann, bob).await;
    for _ in 0..3 {
        let group = world.group(ann, &[bob]).await;
        world.say(group, ann, "hi").await;
        let change = SettingsChange { pinned: Some(true), ..Default::default() };
        world.ports.conversations.change_settings(group, bob, change).await.expect("pin");
    }
    (world, ann)
}

fn shards(world: &World) -> Vec<Shard> {
    (0..world.ports.messages.shards()).map(Shard).collect()
}

async fn records(world: &World, shard: Shard, after: Revision, limit: u32) -> Vec<LogRecord> {
    world.ports.outbox.records(shard, after, limit).await.expect("records")
}

pub async fn records_come_in_order_of_revision(backend: &dyn Backend) {
    let (world, ann) = busy_world(backend).await;
    let mut entries = 0;
    let mut items = 0;
    for shard in shards(&world) {
        let all = records(&world, shard, Revision(0), 1_000).await;
        assert!(all.windows(2).all(|pair| pair[0].revision < pair[1].revision));
        for record in &all {
            assert_eq!(record.shard, shard);
            match &record.event {
                LogEvent::Entry { entry, conversation_kind, policy_version } => {
                    assert_eq!((entry.revision, *conversation_kind), (record.revision, Kind::Group));
                    assert_eq!(*policy_version, world.policy(entry.conversation).await);
                    assert_eq!(entry.author, ann);
                    entries += 1;
                }
                LogEvent::User { .. } => items += 1,
            }
        }
    }
    // Two entries per group; per group three items; of the friendship two per side, and a conversation each.
    assert_eq!((entries, items), (6, 9 + 6));
}

pub async fn pages_of_any_size_make_up_the_whole(backend: &dyn Backend) {
    let (world, _) = busy_world(backend).await;
    for shard in shards(&world) {
        let all = records(&world, shard, Revision(0), 1_000).await;
        for limit in [1, 2, 5, 7] {
            let mut paged: Vec<LogRecord> = Vec::new();
            loop {
                let after = paged.last().map_or(Revision(0), |record| record.revision);
                let page = records(&world, shard, after, limit).await;
                assert!(page.len() <= limit as usize);
                if page.is_empty() {
                    break;
                }
                paged.extend(page);
            }
            assert_eq!(paged, all, "pages of {limit}");
        }
    }
}

pub async fn a_superseded_item_is_left_out(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    world.befriend(ann, bob).await;
    for remark in ["a", "b", "c"] {
        world.ports.contacts.change_remark(ann, bob, remark.into()).await.expect("remark");
    }
    let all = world.records().await;
    let remarks: Vec<_> = all
        .iter()
        .filter_map(|record| match &record.event {
            LogEvent::User { uid, event: UserEvent::Friend { friend } } if *uid == ann => Some(friend.remark.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(remarks, ["c"]);
}

pub async fn the_position_never_goes_back(backend: &dyn Backend) {
    let (world, _) = busy_world(backend).await;
    let outbox = &world.ports.outbox;
    assert_eq!(outbox.position(Shard(0)).await.expect("position"), Revision(0));
    outbox.advance(Shard(0), Revision(3), None).await.expect("advance");
    outbox.advance(Shard(0), Revision(2), None).await.expect("advance");
    assert_eq!(outbox.position(Shard(0)).await.expect("position"), Revision(3));
    assert!(outbox.position(Shard(999)).await.is_err());
}

pub async fn the_position_survives_a_restart(backend: &dyn Backend) {
    let (world, ann) = busy_world(backend).await;
    let shard = world.ports.conversations.shard_of(ann);
    let all = records(&world, shard, Revision(0), 1_000).await;
    world.ports.outbox.advance(shard, all[0].revision, None).await.expect("advance");
    world.user("cid").await;
    world.ports.outbox.advance(shard, all[1].revision, None).await.expect("advance");
    let world = world.reopened(backend).await;
    let position = world.ports.outbox.position(shard).await.expect("position");
    assert_eq!(position, all[1].revision);
    assert_eq!(records(&world, shard, position, 1_000).await, all[2..], "what was not published is still there");
}

pub async fn committed_wakes_who_waits(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let group = world.group(ann, &[]).await;
    let shard = world.view(group, ann).await.conversation.shard;
    let last = records(&world, shard, Revision(0), 1_000).await.last().expect("records").revision;
    world.ports.outbox.committed(shard, Revision(last.0 - 1)).await;

    let outbox = world.ports.outbox.clone();
    let waiting = tokio::spawn(async move { outbox.committed(shard, last).await });
    let draft = world.draft(group, ann, message("hi")).await;
    assert!(!waiting.is_finished(), "nothing new yet");
    let appended = world.ports.messages.append(draft).await.expect("append");
    tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await.expect("woken").expect("task");
    let new = records(&world, shard, last, 10).await;
    assert_eq!(new.iter().map(|record| record.revision).collect::<Vec<_>>(), [appended.revision]);
    assert_eq!(appended.at, NOW);
}
