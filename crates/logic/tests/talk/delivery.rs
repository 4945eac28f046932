//! From a commit to whoever is connected.

use crate::comets::{Mood, RecordingComets, pushes, seqs};
use crate::pipeline::MemoryLog;
use crate::world::{Setting, World, message};
use async_trait::async_trait;
use skein_domain::account::{DeviceClass, Ended, Session};
use skein_domain::command::Command;
use skein_domain::delivery::{Control, Push, Target};
use skein_domain::entry::EntryEvent;
use skein_domain::id::{ConversationId, Generation, Millis, NodeId, Revision, Seq, SessionId, Shard, Uid};
use skein_domain::port::{LogBus, LogRecord, MessageStore, Outbox, Route, SessionRegistry, SystemClock};
use skein_domain::{Code, Error, Result};
use skein_logic::Pipeline;
use skein_logic::job::Fanout;
use skein_storage::MemorySessions;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn everyone_in_the_conversation_gets_it_on_every_device_in_order() {
    let mut world = World::new().await;
    let [ann, bob, eve] = world.friends().await;
    let (one, two) = (world.comet("one"), world.comet("two"));
    let (ann_1, bob_1, bob_2, eve_1) = (
        world.device(ann, "one", 1).await,
        world.device(bob, "one", 2).await,
        world.device(bob, "two", 3).await,
        world.device(eve, "two", 4).await,
    );
    world.run();
    let group = world.group(ann, &[bob]).await;
    for n in 0..50 {
        world.send(ann, group, &n.to_string()).await.unwrap();
    }
    let all: Vec<_> = (1..=51).map(Seq).collect();
    one.until(|told| seqs(told, bob_1, group) == all).await;
    two.until(|told| seqs(told, bob_2, group) == all).await;
    assert_eq!(one.seqs(ann_1, group), all, "the sender's devices too");
    assert!(two.seqs(eve_1, group).is_empty());
    let batches = one.batches().into_iter();
    let batches = batches.filter(|batch| batch.envelopes.iter().any(|envelope| matches!(envelope.push, Push::Entries { .. })));
    let origins: Vec<_> = batches.map(|batch| batch.origin.expect("a place in the log")).collect();
    assert!(origins.iter().all(|origin| origin.producer == "logic"));
    assert!(origins.is_sorted_by_key(|origin| origin.revision));
}

#[tokio::test]
async fn a_removed_member_hears_of_the_removal_and_nothing_after() {
    let mut world = World::new().await;
    let [ann, bob] = world.friends().await;
    let comet = world.comet("one");
    let (ann_1, bob_1) = (world.device(ann, "one", 1).await, world.device(bob, "one", 2).await);
    world.run();
    let group = world.group(ann, &[bob]).await;
    world.send(ann, group, "hi").await.unwrap();
    comet.until(|told| seqs(told, bob_1, group).len() == 2).await;
    world.change(ann, group, EntryEvent::Left { uid: bob }).await.unwrap();
    world.send(ann, group, "alone").await.unwrap();
    comet.until(|told| seqs(told, ann_1, group).len() == 4).await;
    assert_eq!(comet.seqs(bob_1, group), [Seq(1), Seq(2), Seq(3)]);
}

#[tokio::test]
async fn leftovers_are_published_after_a_restart() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    world.send(ann, group, "and then it died").await.unwrap();
    let mut world = world.restarted().await;
    let comet = world.comet("one");
    let bob_1 = world.device(bob, "one", 2).await;
    world.run();
    comet.until(|told| seqs(told, bob_1, group) == [Seq(1), Seq(2)]).await;
    let store = world.store.store.clone();
    let head = store.revisions().await.unwrap()[0];
    let published = async {
        while store.position(Shard(0)).await.unwrap() < head {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), published).await.expect("the position moves");
    drop(store);
    let mut world = world.restarted().await;
    let comet = world.comet("one");
    world.run();
    world.send(ann, group, "again").await.unwrap();
    comet.until(|told| seqs(told, bob_1, group) == [Seq(3)]).await;
}

#[derive(Default)]
struct BrokenBus {
    failures_left: Mutex<u32>,
    published: watch::Sender<Vec<Revision>>,
}

#[async_trait]
impl LogBus for BrokenBus {
    async fn publish(&self, records: Vec<LogRecord>) -> Result<()> {
        let mut left = self.failures_left.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return Err(Error::new(Code::Unavailable, "no bus today"));
        }
        self.published.send_modify(|published| published.extend(records.iter().map(|record| record.revision)));
        Ok(())
    }
}

#[tokio::test]
async fn a_failed_publish_stops_its_shard_and_skips_nothing() {
    let bus = Arc::new(BrokenBus { failures_left: Mutex::new(2), ..BrokenBus::default() });
    let mut world = World::with(Setting {
        pipeline: Some(Pipeline { bus: bus.clone(), source: Arc::new(MemoryLog::default()) }),
        ..Setting::default()
    })
    .await;
    let [ann, bob] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    for _ in 0..300 {
        world.say(group, ann, message("x")).await;
    }
    world.run();
    let head = world.store.store.revisions().await.unwrap()[0];
    let mut published = bus.published.subscribe();
    let all = published.wait_for(|published| published.last() == Some(&head));
    let all = tokio::time::timeout(Duration::from_secs(60), all).await.unwrap().unwrap().clone();
    assert!(all.len() >= 301);
    assert!(all.is_sorted() && all.windows(2).all(|pair| pair[0] < pair[1]), "once each, in order");
}

#[tokio::test]
async fn a_comet_out_of_reach_is_marked_and_its_users_resync_when_it_is_back() {
    let mut world = World::new().await;
    let [ann, bob, eve] = world.friends().await;
    let (sick, healthy) = (world.comet("sick"), world.comet("healthy"));
    let (bob_1, eve_1) = (world.device(bob, "sick", 2).await, world.device(eve, "healthy", 3).await);
    let unconcerned = world.device(Uid(99), "sick", 4).await;
    world.run();
    sick.set(Mood::Fails);
    let group = world.group(ann, &[bob, eve]).await;
    for _ in 0..5 {
        world.send(ann, group, "hi").await.unwrap();
    }
    healthy.until(|told| seqs(told, eve_1, group).len() == 6).await;
    sick.until_called(3).await;
    sick.set(Mood::Up);
    let resynced = |told: &Vec<_>, session| {
        pushes(told).iter().any(|(target, push)| match (target, push) {
            (Target::Connections(connections), Push::Resync { .. }) => connections.iter().any(|c| c.session == session),
            _ => false,
        })
    };
    sick.until(|told| resynced(told, bob_1)).await;
    assert!(!resynced(&sick.batches(), unconcerned), "who missed nothing is left alone");
    assert!(!resynced(&healthy.batches(), eve_1));
    world.send(ann, group, "again").await.unwrap();
    sick.until(|told| seqs(told, bob_1, group).ends_with(&[Seq(7)])).await;
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_probed_and_called_for_nothing_else() {
    let registry = Arc::new(MemorySessions::new(Arc::new(SystemClock)));
    let comets = Arc::new(RecordingComets::default());
    let (sick, healthy) = (comets.add("sick"), comets.add("healthy"));
    for (uid, node) in [(1, "sick"), (2, "healthy")] {
        let (session, generation) = (SessionId(uid), Generation(1));
        let route = Route { uid: Uid(uid), class: DeviceClass::Cli, node: NodeId(node.into()), session, generation };
        registry.register(route, 1_000_000).await.unwrap();
    }
    let fanout = Fanout::new(registry, comets, &NodeId("logic".into()));
    let shutdown = CancellationToken::new();
    let probing = tokio::spawn(fanout.clone().run(shutdown.clone()));
    sick.set(Mood::Hangs);
    let push = || Push::Entries { conversation: ConversationId(1), entries: Vec::new() };
    let started = tokio::time::Instant::now();
    for _ in 0..100 {
        fanout.to_users(&[Uid(1), Uid(2)], push()).await;
    }
    assert!(started.elapsed() < Duration::from_secs(16), "three tries of five seconds, and no more");
    assert_eq!(healthy.pushes().len(), 100);
    assert_eq!(sick.calls(), 3);
    sick.set(Mood::Up);
    sick.until(|told| pushes(told).iter().any(|(_, push)| matches!(push, Push::Resync { .. }))).await;
    assert!(sick.pushes().iter().all(|(_, push)| !matches!(push, Push::Entries { .. })));
    shutdown.cancel();
    probing.await.unwrap();
}

#[tokio::test]
async fn rooms_reach_every_node_and_one_missed_push_resyncs_the_whole_node() {
    let mut world = World::new().await;
    let [ann, bob] = world.friends().await;
    let (one, two) = (world.comet("one"), world.comet("two"));
    let (bob_1, idle) = (world.device(bob, "two", 2).await, world.device(Uid(50), "two", 5).await);
    world.run();
    let room = world.room(ann, "plaza").await.unwrap();
    world.send(ann, room, "hi").await.unwrap();
    let in_room =
        |told: &Vec<_>| pushes(told).iter().any(|(target, push)| *target == Target::Room(room) && matches!(push, Push::Entries { .. }));
    one.until(in_room).await;
    two.until(in_room).await;
    two.set(Mood::Fails);
    let before = two.calls();
    world.send(ann, room, "missed").await.unwrap();
    two.until_called(before + 3).await;
    two.set(Mood::Up);
    two.until(|told| {
        let resynced: Vec<_> = pushes(told).into_iter().filter(|(_, push)| matches!(push, Push::Resync { .. })).collect();
        let reached =
            |session| resynced.iter().any(|(target, _)| matches!(target, Target::Connections(c) if c.iter().any(|c| c.session == session)));
        reached(bob_1) && reached(idle)
    })
    .await;
}

#[tokio::test]
async fn a_member_removed_from_a_room_is_unsubscribed_with_the_entry_that_says_so() {
    let mut world = World::new().await;
    let [ann, bob] = world.friends().await;
    let comet = world.comet("one");
    let bob_1 = world.device(bob, "one", 2).await;
    let room = world.room(ann, "plaza").await.unwrap();
    world.call(bob, Command::JoinRoom { conversation: room }).await.unwrap();
    assert!(comet.controls().contains(&Control::Subscribe { session: bob_1, room }));
    world.run();
    world.change(ann, room, EntryEvent::Left { uid: bob }).await.unwrap();
    comet.until(|told| told.iter().any(|batch| batch.controls.contains(&Control::Unsubscribe { session: bob_1, room }))).await;
}

#[tokio::test]
async fn whoever_joins_a_room_syncs_if_something_was_said_before_their_connections_were_seated() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    let comet = world.comet("one");
    world.device(bob, "one", 1).await;
    let told_to_sync = || comet.pushes().iter().any(|(_, push)| matches!(push, Push::Resync { .. }));
    let join = |room| world.call(bob, Command::JoinRoom { conversation: room });

    let calm = world.room(ann, "calm").await.unwrap();
    join(calm).await.unwrap();
    assert!(!told_to_sync(), "nothing was missed");

    let busy = world.room(ann, "busy").await.unwrap();
    comet.set(Mood::Held);
    let calls = comet.calls();
    let (joined, ()) = tokio::join!(join(busy), async {
        comet.until_called(calls + 1).await;
        world.send(ann, busy, "in between").await.unwrap();
        comet.set(Mood::Up);
    });
    joined.unwrap();
    assert!(told_to_sync());
}

#[tokio::test]
async fn ended_sessions_are_closed_where_they_are() {
    let world = World::new().await;
    let (one, two) = (world.comet("one"), world.comet("two"));
    let here = world.device(Uid(1), "one", 1).await;
    world.device(Uid(1), "two", 2).await;
    let session = |id| Session {
        id,
        uid: Uid(1),
        class: DeviceClass::Cli,
        client: String::new(),
        created_at: Millis(0),
        seen_at: Millis(0),
        expires_at: Millis(0),
    };
    world.logic.fanout().end_sessions(&[session(here), session(SessionId(77))], Ended::LoggedOut).await;
    assert_eq!(one.controls(), [Control::Close { session: here, up_to: Generation(1), reason: Ended::LoggedOut }]);
    assert!(two.controls().is_empty());
    world.logic.fanout().to_users(&[Uid(1)], Push::Notice { title: "t".into(), text: "x".into(), at: Millis(0) }).await;
    assert_eq!((one.pushes().len(), two.pushes().len()), (0, 1), "the entry is gone");
}

#[tokio::test]
async fn the_background_ends_when_told() {
    let mut world = World::new().await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(world.background().run(shutdown.clone()));
    shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(10), running).await.expect("it ends");
    assert_eq!(ended.unwrap(), Ok(()));
}
