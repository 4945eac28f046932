//! Durable pushes: kept like messages, once, also over a restart; and pushes that wait for their time.

use crate::comets::pushes;
use crate::push_world::*;
use crate::world::{Setting, World, code, message};
use async_trait::async_trait;
use skein_domain::body::Body;
use skein_domain::command::{Command, Reply};
use skein_domain::conversation::{Kind, SettingsChange};
use skein_domain::delivery::{Batch, Target};
use skein_domain::entry::{EntryEvent, MessageState};
use skein_domain::id::{ConversationId, IdempotencyKey, Millis, Seq, Uid};
use skein_domain::live::*;
use skein_domain::port::{Append, Clock, PushStore, ReceiptStore};
use skein_domain::{Code, Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// What was said in it, in order.
async fn said(world: &World, conversation: ConversationId) -> Vec<String> {
    let texts = world.store.entries_of(conversation).await.into_iter().filter_map(|entry| match entry.event {
        EntryEvent::Message { body, .. } => body.as_ref().map(Body::plain),
        _ => None,
    });
    texts.collect()
}

async fn history(world: &World, uid: Uid, conversation: ConversationId) -> Vec<MessageState> {
    let command = Command::History { conversation, before: None, after: None, count: 0 };
    match world.call(uid, command).await.unwrap() {
        Reply::History { page, .. } => page.messages,
        other => panic!("no history: {other:?}"),
    }
}

fn plain(messages: &[MessageState]) -> Vec<String> {
    messages.iter().filter_map(|message| message.body.as_ref().map(Body::plain)).collect()
}

async fn live_history(world: &World, uid: Uid, before: Option<Seq>, count: u32) -> Result<(Vec<String>, bool)> {
    let command = Command::LiveHistory { room: room("live://1"), before, count };
    match world.call(uid, command).await? {
        Reply::History { page, .. } => Ok((plain(&page.messages), page.has_more)),
        other => panic!("no history: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durable_push_is_a_message_of_the_app_that_sync_replays() {
    let mut world = World::new().await;
    let comet = world.comet("a");
    world.run();
    let [ann, bo] = world.people().await;
    let phone = world.device(ann, "a", 11).await;
    let (pusher, app) = key(&world, "news").await;
    let (_, stored, _) = push(&world, &pusher, kept(&[ann, bo, Uid(999)], "hello")).await.unwrap();
    assert_eq!(stored.iter().map(|stored| (stored.uid, stored.seq)).collect::<Vec<_>>(), [(Some(ann), Seq(1)), (Some(bo), Seq(1))]);
    let notice = stored[0].conversation;
    comet.until(|_| comet.seqs(phone, notice) == [Seq(1)]).await;
    push(&world, &pusher, kept(&[ann], "again")).await.unwrap();

    let pages = world.sync_all(ann, "").await;
    let change = pages.iter().flat_map(|page| &page.conversations).find(|change| change.view.conversation.id == notice).unwrap();
    assert_eq!((change.view.conversation.kind, change.view.peer, change.view.unread), (Kind::Notice, Some(app.app), 2));
    assert_eq!(plain(&history(&world, ann, notice).await), ["hello", "again"]);
    assert!(live(comet.pushes()).is_empty(), "it comes by its conversation");
    assert_eq!(code(push(&world, &pusher, kept(&[Uid(999)], "x")).await), Code::NotFound);

    // Reading and muting is the user's; speaking, reacting and leaving is not.
    world.call(ann, Command::MarkRead { conversation: notice, seq: Seq(2) }).await.unwrap();
    let muted = SettingsChange { muted: Some(true), ..SettingsChange::default() };
    world.call(ann, Command::ChangeSettings { conversation: notice, change: muted }).await.unwrap();
    assert_eq!(code(world.send(ann, notice, "hello?").await), Code::Forbidden);
    let reaction = EntryEvent::Reacted { target: Seq(1), emoji: "👍".into(), on: true };
    assert_eq!(code(world.change(ann, notice, reaction).await), Code::Forbidden);
    assert_eq!(code(world.change(ann, notice, EntryEvent::Left { uid: ann }).await), Code::BadRequest);
    assert_eq!(code(world.send(bo, notice, "not mine").await), Code::NotMember);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_stores_once_also_over_a_restart() {
    let world = World::new().await;
    let [ann] = world.people().await;
    let (pusher, _) = key(&world, "news").await;
    let hello = keyed("k1", kept(&[ann], "hello"));
    let first = push(&world, &pusher, hello.clone()).await.unwrap();
    assert!(!first.2);
    let world = world.restarted().await;
    let again = push(&world, &pusher, hello).await.unwrap();
    assert_eq!((&again.0, &again.1, again.2), (&first.0, &first.1, true));
    let other = keyed("k1", kept(&[ann], "something else"));
    assert_eq!(code(push(&world, &pusher, other).await), Code::IdempotencyConflict);
    assert_eq!(plain(&history(&world, ann, first.1[0].conversation).await), ["hello"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_room_keeps_its_pushes_and_tells_them_live_once() {
    let world = World::new().await;
    let comet = world.comet("a");
    let [owner, stranger] = world.people().await;
    let (pusher, _) = key(&world, "news").await;
    let durable = |text: &str| PushRequest { durable: true, ..to_room("live://1", text) };
    let unbound = push(&world, &pusher, keyed("k", durable("first"))).await.unwrap_err();
    assert_eq!(unbound.code, Code::NotFound);
    assert!(unbound.message.contains("skein admin"), "{unbound}");
    let chat = world.room(owner, "announcements").await.unwrap();
    world.logic.push_admin().bind_room(&room("live://1"), Some(chat), "test").await.unwrap();

    let (id, stored, repeated) = push(&world, &pusher, keyed("k", durable("first"))).await.unwrap();
    assert_eq!((stored[0].conversation, stored[0].seq, repeated), (chat, Seq(1), false));
    settled(&world, &pusher, &id).await;
    assert!(push(&world, &pusher, keyed("k", durable("first"))).await.unwrap().2);
    world.send(owner, chat, "people talk here").await.unwrap();
    let (id, ..) = push(&world, &pusher, durable("second")).await.unwrap();
    settled(&world, &pusher, &id).await;
    let is_room = |target: &Target| *target == Target::LiveRoom(room("live://1"));
    assert_eq!(texts(comet.pushes(), is_room), ["first", "second"], "a repetition is not told again");

    assert_eq!(plain(&history(&world, owner, chat).await), ["first", "people talk here", "second"]);
    let all = live_history(&world, stranger, None, 0).await.unwrap();
    assert_eq!(all, (vec!["first".into(), "second".into()], false), "what people say is for members");
    assert_eq!(live_history(&world, stranger, None, 1).await.unwrap(), (vec!["second".into()], true));
    assert_eq!(live_history(&world, stranger, Some(Seq(3)), 1).await.unwrap(), (vec!["first".into()], false));
    assert_eq!(code(live_history(&world, stranger, Some(Seq(-1)), 1).await), Code::BadRequest);
    world.logic.push_admin().bind_room(&room("live://1"), None, "test").await.unwrap();
    assert_eq!(code(live_history(&world, stranger, None, 1).await), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_kept_while_the_rooms_policy_moves() {
    let world = World::new().await;
    let [owner] = world.people().await;
    let (pusher, _) = key(&world, "news").await;
    let chat = world.room(owner, "announcements").await.unwrap();
    world.logic.push_admin().bind_room(&room("live://1"), Some(chat), "test").await.unwrap();
    let durable = |text: &str| PushRequest { durable: true, ..to_room("live://1", text) };
    push(&world, &pusher, durable("first")).await.unwrap();
    let muted = EntryEvent::InfoChanged { title: None, announcement: None, muted_all: Some(true) };
    world.say(chat, owner, muted).await;
    let (_, stored, _) = push(&world, &pusher, durable("second")).await.unwrap();
    assert_eq!(stored[0].seq, Seq(3));
    world.say(chat, owner, message("still works")).await;
}

fn at(world: &World, ms: i64, request: PushRequest) -> PushRequest {
    PushRequest { not_before: Some(world.clock.now().plus(ms)), ..request }
}

async fn until_nothing_waits(world: &World) {
    let waiting = async {
        while world.store.store.next_due().await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("what is due fires");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_waits_for_its_time_on_disk_and_fires_once() {
    let world = World::new().await;
    let [ann] = world.people().await;
    let (pusher, _) = key(&world, "news").await;
    let later = keyed("k", at(&world, 10_000, kept(&[ann], "later")));
    let live_later = at(&world, 5_000, to_room("live://1", "live"));
    let (id, stored, _) = push(&world, &pusher, later.clone()).await.unwrap();
    assert!(stored.is_empty());
    let (live_id, ..) = push(&world, &pusher, live_later).await.unwrap();
    assert_eq!(push(&world, &pusher, later.clone()).await.unwrap(), (id.clone(), Vec::new(), true));

    let mut world = world.restarted().await;
    let comet = world.comet("a");
    assert_eq!(receipt(&world, &pusher, &id).await.unwrap().state, PushState::Scheduled, "known as long as it waits");
    world.run();
    world.clock.advance(5_000);
    comet.until(|batches| !live(pushes(batches)).is_empty()).await;
    settled(&world, &pusher, &live_id).await;
    assert_eq!(receipt(&world, &pusher, &id).await.unwrap().state, PushState::Scheduled);
    world.clock.advance(5_000);
    until_nothing_waits(&world).await;
    assert_eq!(receipt(&world, &pusher, &id).await.unwrap().state, PushState::Delivered);
    let (_, stored, repeated) = push(&world, &pusher, later).await.unwrap();
    assert!(repeated);
    assert_eq!(plain(&history(&world, ann, stored[0].conversation).await), ["later"], "once in effect");
    assert_eq!(live(comet.pushes()).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_whose_time_is_over_expires_and_says_so() {
    let world = World::new().await;
    let [ann] = world.people().await;
    let (pusher, _) = key(&world, "news").await;
    let short = PushRequest { ttl_ms: Some(1_000), ..at(&world, 1_000, kept(&[ann], "short-lived")) };
    let (id, ..) = push(&world, &pusher, short).await.unwrap();
    let gone = at(&world, 1_000, kept(&[ann], "kept"));
    push(&world, &pusher, gone).await.unwrap();
    let mut world = world.restarted().await;
    world.clock.advance(2_000);
    world.run();
    until_nothing_waits(&world).await;
    assert_eq!(receipt(&world, &pusher, &id).await.unwrap().state, PushState::Expired);
    let pages = world.sync_all(ann, "").await;
    let notices: Vec<ConversationId> =
        pages.iter().flat_map(|page| &page.conversations).map(|change| change.view.conversation.id).collect();
    assert_eq!(notices.len(), 1);
    assert_eq!(plain(&history(&world, ann, notices[0]).await), ["kept"]);
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_it_is_remembered() {
    let world = World::new().await;
    let (pusher, _) = key(&world, "news").await;
    let durable = |target| keyed("k", PushRequest { durable: true, ..to(target, "x") });
    assert_eq!(code(push(&world, &pusher, durable(PushTarget::Mids(vec![Mid(1)]))).await), Code::BadRequest);
    assert_eq!(code(push(&world, &pusher, durable(PushTarget::All(Audience::default()))).await), Code::BadRequest);
    let far = PushRequest { not_before: Some(Millis(i64::MAX)), ..keyed("k", to_room("live://1", "x")) };
    assert_eq!(code(push(&world, &pusher, far).await), Code::BadRequest);
    assert!(!push(&world, &pusher, keyed("k", to_room("live://1", "x"))).await.unwrap().2, "the key is free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_push_leaves_its_key_free() {
    let world = World::new().await;
    let [ann] = world.people().await;
    let (pusher, app) = key(&world, "news").await;
    assert_eq!(code(push(&world, &pusher, keyed("k", kept(&[Uid(999)], "hello"))).await), Code::NotFound);
    assert_eq!(code(push(&world, &pusher, keyed("k", kept(&[ann, app.app], "hello"))).await), Code::NotSelf);
    let (_, stored, repeated) = push(&world, &pusher, keyed("k", kept(&[ann], "hello"))).await.unwrap();
    assert!(!repeated);
    assert_eq!(plain(&history(&world, ann, stored[0].conversation).await), ["hello"], "what was refused is kept for nobody");
    assert_eq!(code(push(&world, &pusher, keyed("k", kept(&[Uid(999)], "hello"))).await), Code::IdempotencyConflict);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_never_be_kept_is_refused_before_it_waits() {
    let world = World::new().await;
    let [ann] = world.people().await;
    let (pusher, app) = key(&world, "news").await;
    let unbound = PushRequest { durable: true, ..to_room("live://1", "x") };
    let refused = [(kept(&[Uid(999)], "x"), Code::NotFound), (kept(&[app.app], "x"), Code::NotSelf), (unbound, Code::NotFound)];
    for (request, expected) in refused {
        assert_eq!(code(push(&world, &pusher, at(&world, 1_000, request.clone())).await), expected);
        assert_eq!(code(push(&world, &pusher, PushRequest { dry_run: true, ..request }).await), expected);
    }
    assert!(world.store.store.next_due().await.unwrap().is_none(), "nothing waits");
    push(&world, &pusher, at(&world, 1_000, kept(&[Uid(999), ann], "x"))).await.unwrap();
}

struct NoReceipts;

#[async_trait]
impl ReceiptStore for NoReceipts {
    async fn put(&self, _: Receipt) -> Result<()> {
        Err(Error::new(Code::Unavailable, "away"))
    }

    async fn add(&self, _: Receipt) -> Result<()> {
        Err(Error::new(Code::Unavailable, "away"))
    }

    async fn get(&self, _: &PushId) -> Result<Option<Receipt>> {
        Err(Error::new(Code::Unavailable, "away"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_or_waits_is_accepted_also_where_no_receipt_can_be_written() {
    let mut world = World::with(Setting { receipts: Some(Arc::new(NoReceipts)), ..Setting::default() }).await;
    let [ann] = world.people().await;
    let (pusher, _) = key(&world, "news").await;
    let (_, stored, _) = push(&world, &pusher, kept(&[ann], "now")).await.unwrap();
    push(&world, &pusher, at(&world, 1_000, kept(&[ann], "later"))).await.unwrap();
    world.run();
    world.clock.advance(1_000);
    until_nothing_waits(&world).await;
    assert_eq!(plain(&history(&world, ann, stored[0].conversation).await), ["now", "later"]);
}

/// A room to which a push can be kept only while `stormy` is false: somebody changes it before each append.
async fn stormy_room(world: &World, owner: Uid, stormy: &Arc<AtomicBool>) -> ConversationId {
    let chat = world.room(owner, "announcements").await.unwrap();
    world.logic.push_admin().bind_room(&room("live://1"), Some(chat), "test").await.unwrap();
    let (stormy, mut changes) = (stormy.clone(), 0);
    world.store.before_append(move |append| {
        let storm = append.conversation == chat && stormy.load(Ordering::Relaxed);
        storm.then(|| {
            changes += 1;
            let event = EntryEvent::InfoChanged { title: None, announcement: None, muted_all: Some(changes % 2 == 1) };
            Append { author: owner, key: IdempotencyKey::parse(&format!("storm-{changes}")).unwrap(), event, ..append.clone() }
        })
    });
    chat
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_one_fires_a_due_push() {
    const COUNT: usize = 50;
    let mut world = World::new().await;
    let (pusher, _) = key(&world, "news").await;
    let comet = world.comet("one");
    for n in 0..COUNT {
        push(&world, &pusher, at(&world, 1_000, to_room("live://1", &n.to_string()))).await.unwrap();
    }
    world.run();
    world.run_neighbour();
    world.clock.advance(1_000);
    until_nothing_waits(&world).await;
    let fired = |told: &Vec<Batch>| pushes(told).iter().filter(|(target, _)| matches!(target, Target::LiveRoom(_))).count();
    comet.until(|told| fired(told) >= COUNT).await;
    assert_eq!(fired(&comet.batches()), COUNT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_waits_for_nothing_fires_what_another_took_before_it_died() {
    let mut world = World::new().await;
    let (pusher, _) = key(&world, "news").await;
    let comet = world.comet("one");
    world.run_neighbour();
    push(&world, &pusher, at(&world, 1_000, to_room("live://1", "late"))).await.unwrap();
    world.clock.advance(1_000);
    comet.until(|told| pushes(told).iter().any(|(target, _)| matches!(target, Target::LiveRoom(_)))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_due_pushes_than_a_round_takes_that_cannot_go_hold_up_no_other() {
    const STUCK: usize = 101;
    let mut world = World::new().await;
    let [owner, ann] = world.people().await;
    let (pusher, _) = key(&world, "news").await;
    let stormy = Arc::new(AtomicBool::new(true));
    let chat = stormy_room(&world, owner, &stormy).await;
    let mut stuck = Vec::new();
    for n in 0..STUCK {
        let request = PushRequest { durable: true, ..to_room("live://1", &n.to_string()) };
        stuck.push(push(&world, &pusher, at(&world, 1_000, request)).await.unwrap().0);
    }
    let (healthy, ..) = push(&world, &pusher, at(&world, 2_000, kept(&[ann], "hello"))).await.unwrap();
    world.run();
    world.clock.advance(2_000);
    let passed = async {
        while receipt(&world, &pusher, &healthy).await.unwrap().state != PushState::Delivered {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), passed).await.expect("the healthy one passes");
    for id in &stuck {
        assert_eq!(receipt(&world, &pusher, id).await.unwrap().state, PushState::Scheduled);
    }

    stormy.store(false, Ordering::Relaxed);
    world.clock.advance(60_000);
    until_nothing_waits(&world).await;
    let mut kept = said(&world, chat).await;
    kept.sort_by_key(|text| text.parse::<usize>().unwrap());
    assert_eq!(kept, (0..STUCK).map(|n| n.to_string()).collect::<Vec<_>>(), "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_due_push_is_tried_for_a_day() {
    let mut world = World::new().await;
    let [owner] = world.people().await;
    let (pusher, _) = key(&world, "news").await;
    stormy_room(&world, owner, &Arc::new(AtomicBool::new(true))).await;
    let later = at(&world, 1_000, PushRequest { durable: true, ..to_room("live://1", "later") });
    let (id, ..) = push(&world, &pusher, later).await.unwrap();
    // Away for longer than that: it is tried nevertheless.
    world.clock.advance(DAY_MS * 2);
    world.run();
    until_put_off(&world).await;
    world.clock.advance(DAY_MS - 60_000);
    until_put_off(&world).await;
    assert_eq!(receipt(&world, &pusher, &id).await.unwrap().state, PushState::Scheduled);
    world.clock.advance(120_000);
    until_nothing_waits(&world).await;
    assert_eq!(receipt(&world, &pusher, &id).await.unwrap().state, PushState::Failed);
}

/// Until what waits is due later than now, by a minute at most.
async fn until_put_off(world: &World) {
    let put_off = async {
        loop {
            let due = world.store.store.next_due().await.unwrap().expect("it waits");
            let (min, max) = (world.clock.now(), world.clock.now().plus(60_000));
            if (min..=max).contains(&due) && due > min {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), put_off).await.expect("it is put off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_due_push_that_is_given_up_says_so() {
    let mut world = World::new().await;
    let [owner] = world.people().await;
    let (pusher, _) = key(&world, "news").await;
    let chat = world.room(owner, "announcements").await.unwrap();
    world.logic.push_admin().bind_room(&room("live://1"), Some(chat), "test").await.unwrap();
    let later = at(&world, 1_000, PushRequest { durable: true, ..to_room("live://1", "later") });
    let (id, ..) = push(&world, &pusher, later).await.unwrap();
    world.logic.push_admin().bind_room(&room("live://1"), None, "test").await.unwrap();
    world.run();
    world.clock.advance(1_000);
    until_nothing_waits(&world).await;
    assert_eq!(receipt(&world, &pusher, &id).await.unwrap().state, PushState::Failed);
    assert!(plain(&history(&world, owner, chat).await).is_empty());
}
