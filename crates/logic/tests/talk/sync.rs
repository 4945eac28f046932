//! Sync: nothing is skipped, pages stay small, and nobody sees what is not theirs.

use crate::hooked::Hooked;
use crate::world::{Setting, World, code, message, of, say, view};
use futures_util::FutureExt;
use proptest::prelude::*;
use skein_domain::body::Body;
use skein_domain::command::{Command, Reply, SyncPage};
use skein_domain::conversation::SettingsChange;
use skein_domain::delivery::UserEvent;
use skein_domain::entry::{EntryEvent, MessageState};
use skein_domain::id::{ConversationId, IdempotencyKey, Millis, Revision, Seq, Uid};
use skein_domain::policy::{EMOJI_BYTES_MAX, EMOJI_PER_MESSAGE_MAX, REACTIONS_MAX};
use skein_domain::port::ContactStore;
use skein_domain::{Code, Limits};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a client knows, told by pages alone.
#[derive(Default)]
struct Client {
    seqs: BTreeMap<ConversationId, BTreeSet<Seq>>,
    /// Below lies a hole that is filled when looked at.
    hole_below: BTreeMap<ConversationId, Seq>,
    heads: BTreeMap<ConversationId, Seq>,
    asked_by: BTreeSet<Uid>,
}

impl Client {
    fn apply(&mut self, page: &SyncPage) {
        for change in &page.conversations {
            let conversation = &change.view.conversation;
            let seqs = self.seqs.entry(conversation.id).or_default();
            if change.limited {
                let below = change.entries.first().map_or(conversation.head.next(), |entry| entry.seq);
                self.hole_below.insert(conversation.id, below);
            }
            seqs.extend(change.entries.iter().map(|entry| entry.seq));
            assert!(change.entries.is_sorted_by_key(|entry| entry.seq));
            assert!(change.entries.iter().all(|entry| entry.seq <= conversation.head));
            self.heads.insert(conversation.id, conversation.head);
        }
        for event in &page.events {
            if let UserEvent::Request { request } = event {
                self.asked_by.insert(request.from);
            }
        }
    }

    async fn is_complete(&self, world: &World, conversation: ConversationId) {
        let below = self.hole_below.get(&conversation).copied().unwrap_or_default();
        let entries = world.store.entries_of(conversation).await;
        for entry in entries.iter().filter(|entry| entry.seq >= below) {
            assert!(self.seqs[&conversation].contains(&entry.seq), "{conversation} lacks {}", entry.seq);
        }
        assert_eq!(self.heads[&conversation], entries.last().unwrap().seq);
    }
}

/// What others write while somebody syncs.
#[derive(Debug, Clone)]
enum Write {
    Say {
        group: usize,
        bytes: usize,
    },
    /// A request of friendship: an item of the reader's own log.
    Ask,
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let say = (0..4usize, 1..600usize).prop_map(|(group, bytes)| Write::Say { group, bytes });
    prop::collection::vec(prop_oneof![4 => say, 1 => Just(Write::Ask)], 0..40)
}

#[derive(Clone)]
struct Others {
    store: Arc<Hooked>,
    groups: Vec<ConversationId>,
    speaker: Uid,
    reader: Uid,
    /// Each asks once.
    strangers: Vec<Uid>,
    done: usize,
}

impl Others {
    async fn perform(&mut self, write: &Write) {
        self.done += 1;
        match write {
            Write::Say { group, bytes } => {
                let key = IdempotencyKey::parse(&format!("w{}", self.done)).unwrap();
                say(self.store.clone(), self.groups[*group], self.speaker, key, message(&"x".repeat(*bytes))).await;
            }
            Write::Ask => {
                let stranger = self.strangers[self.done];
                self.store.store.apply(stranger, self.reader, "hello".into(), Millis(1), 100).await.unwrap();
            }
        }
    }
}

async fn reads_everything(before: Vec<Write>, meanwhile: Vec<Write>) {
    let world = World::with(Setting { page_bytes: Some(3_000), ..Setting::default() }).await;
    let people = world.people::<100>().await;
    let [ann, bob, strangers @ ..] = &people;
    world.befriend(*ann, *bob).await;
    let mut groups = Vec::new();
    for _ in 0..4 {
        groups.push(world.group(*ann, &[*bob]).await);
    }
    let (store, strangers) = (world.store.clone(), strangers.to_vec());
    let mut others = Others { store, groups: groups.clone(), speaker: *ann, reader: *bob, strangers, done: 0 };
    for write in &before {
        others.perform(write).await;
    }
    // One write before each look for changes: so between any two pages, and between the views of one.
    let pending = Arc::new(tokio::sync::Mutex::new((others, meanwhile.clone().into_iter())));
    world.store.before_changed(move || {
        let pending = pending.clone();
        async move {
            let (others, writes) = &mut *pending.lock().await;
            if let Some(write) = writes.next() {
                others.perform(&write).await;
            }
        }
        .boxed()
    });
    let mut client = Client::default();
    let mut cursor = String::new();
    // Enough syncs for all that is written meanwhile, and one in quiet.
    for _ in 0..meanwhile.len() + 2 {
        let pages = world.sync_all(*bob, &cursor).await;
        pages.iter().for_each(|page| client.apply(page));
        cursor = pages.last().unwrap().cursor.clone();
    }
    for group in groups {
        client.is_complete(&world, group).await;
    }
    let asks = [before, meanwhile].concat().iter().filter(|write| matches!(write, Write::Ask)).count();
    assert_eq!(client.asked_by.iter().filter(|uid| **uid != *ann).count(), asks);
    let quiet = world.sync(*bob, &cursor).await.unwrap();
    assert!(quiet.conversations.is_empty() && quiet.events.is_empty() && !quiet.more);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn paging_loses_nothing_whatever_is_written_meanwhile(before in writes(), meanwhile in writes()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(reads_everything(before, meanwhile));
    }
}

/// Whoever was cut off between two pages goes on over a connection that heard none of the pushes in between.
#[tokio::test]
async fn a_sync_taken_up_again_brings_what_was_committed_since_its_first_page() {
    let world = World::with(Setting { page_bytes: Some(8_000), ..Setting::default() }).await;
    let [ann, bob] = world.friends().await;
    let mut groups = Vec::new();
    for _ in 0..6 {
        let group = world.group(ann, &[bob]).await;
        world.say(group, ann, message(&"x".repeat(1_500))).await;
        groups.push(group);
    }
    let mut client = Client::default();
    let first = world.sync(bob, "").await.unwrap();
    client.apply(&first);
    assert!(first.more && client.seqs.contains_key(&groups[0]), "the first group is behind the reader");
    world.say(groups[0], ann, message("while nobody listened")).await;
    let pages = world.sync_all(bob, &first.cursor).await;
    pages.iter().for_each(|page| client.apply(page));
    client.is_complete(&world, groups[0]).await;
    assert!(!world.sync(bob, &pages.last().unwrap().cursor).await.unwrap().more, "it ends");
}

#[tokio::test]
async fn an_empty_sync_is_tiny() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    world.group(ann, &[bob]).await;
    let first = world.sync(bob, "").await.unwrap();
    assert!(!first.reset && !first.more);
    let empty = world.sync(bob, &first.cursor).await.unwrap();
    assert!(empty.conversations.is_empty() && empty.events.is_empty());
    assert!(empty.cursor.len() <= 40, "{}", empty.cursor);
}

#[tokio::test]
async fn pages_hold_about_what_they_may() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    for _ in 0..20 {
        // More than one may create in a day.
        world.clock.advance(24 * 60 * 60 * 1_000);
        let group = world.group(ann, &[bob]).await;
        for _ in 0..5 {
            world.say(group, ann, message(&"x".repeat(1_500))).await;
        }
    }
    let pages = world.sync_all(bob, "").await;
    assert!(pages.len() > 3);
    for page in &pages {
        assert!(serde_json::to_vec(page).unwrap().len() <= 33 * 1024);
    }
    let conversations: usize = pages.iter().map(|page| page.conversations.len()).sum();
    assert_eq!(conversations, 21, "with the one between the two");
}

#[tokio::test]
async fn more_than_a_hundred_new_entries_come_limited() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    let cursor = world.sync(bob, "").await.unwrap().cursor;
    for _ in 0..100 {
        world.say(group, ann, message("x")).await;
    }
    let page = world.sync(bob, &cursor).await.unwrap();
    assert_eq!((of(&page, group).entries.len(), of(&page, group).limited), (100, false));
    world.say(group, ann, message("x")).await;
    let page = world.sync(bob, &cursor).await.unwrap();
    let change = of(&page, group);
    assert_eq!((change.entries.len(), change.limited), (50, true));
    assert_eq!(change.entries.last().unwrap().seq, change.view.conversation.head);
}

#[tokio::test]
async fn a_message_that_fits_no_page_comes_by_pull() {
    let world = World::with(Setting { page_bytes: Some(4_000), ..Setting::default() }).await;
    let [ann, bob] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    for _ in 0..3 {
        world.send(ann, group, &"x".repeat(6_000)).await.unwrap();
    }
    let pages = world.sync_all(bob, "").await;
    let mut changes = pages.iter().flat_map(|page| &page.conversations);
    assert!(changes.any(|change| change.view.conversation.id == group && change.limited));
    let mut got = Vec::new();
    while got.len() < 4 {
        let from = Seq(got.len() as i64 + 1);
        match world.call(bob, Command::Pull { conversation: group, from, to: Seq(4) }).await.unwrap() {
            Reply::Entries { entries, .. } => got.extend(entries.into_iter().map(|entry| entry.seq)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, [Seq(1), Seq(2), Seq(3), Seq(4)]);
}

#[tokio::test]
async fn foreign_cursors_are_refused_and_those_of_another_past_begin_anew() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    world.group(ann, &[bob]).await;
    assert_eq!(code(world.sync(bob, "garbage").await), Code::BadCursor);
    let cursor = world.sync(bob, "").await.unwrap().cursor;
    assert_eq!(code(world.sync(ann, &cursor).await), Code::BadCursor, "somebody else's");
    world.store.set_revisions(Some(vec![Revision(1)]));
    let ahead = world.sync(bob, &cursor).await.unwrap();
    assert!(ahead.reset && !ahead.conversations.is_empty(), "ahead of the server");
    world.store.set_revisions(None);
    assert!(!world.sync(bob, &cursor).await.unwrap().reset);
    world.store.change_epoch();
    let other = world.sync(bob, &cursor).await.unwrap();
    assert!(other.reset && !other.conversations.is_empty(), "another epoch");
}

#[tokio::test]
async fn a_removed_member_keeps_the_past_and_learns_nothing_new() {
    let world = World::new().await;
    let [ann, bob, eve] = world.friends().await;
    let group = world.group(ann, &[bob, eve]).await;
    world.send(ann, group, "before").await.unwrap();
    let early = world.sync(bob, "").await.unwrap().cursor;
    world.change(ann, group, EntryEvent::Left { uid: bob }).await.unwrap();
    for _ in 0..3 {
        world.send(ann, group, "behind his back").await.unwrap();
    }
    for cursor in ["", early.as_str()] {
        let page = world.sync(bob, cursor).await.unwrap();
        let change = of(&page, group);
        assert_eq!(change.entries.last().unwrap().seq, Seq(3), "his removal is the last he sees");
        assert_eq!(change.view.conversation.head, Seq(3));
        assert_eq!(change.view.last.as_ref().map(|last| last.seq), Some(Seq(2)));
        assert_eq!(change.view.unread, 1);
    }
    match world.call(bob, Command::Pull { conversation: group, from: Seq(1), to: Seq(100) }).await.unwrap() {
        Reply::Entries { entries, head, .. } => assert_eq!((entries.last().unwrap().seq, head), (Seq(3), Seq(3))),
        other => panic!("{other:?}"),
    }
    let history = Command::History { conversation: group, before: None, after: Some(Seq(1)), count: 0 };
    match world.call(bob, history).await.unwrap() {
        Reply::History { page, .. } => assert_eq!(page.messages.last().unwrap().seq, Seq(2)),
        other => panic!("{other:?}"),
    }
    let after = world.sync(bob, &world.sync(bob, "").await.unwrap().cursor).await.unwrap();
    assert!(after.conversations.is_empty());
    let strangers = Command::Pull { conversation: group, from: Seq(1), to: Seq(9) };
    assert_eq!(code(world.call(Uid(99), strangers).await), Code::NotMember);
}

#[tokio::test]
async fn the_message_with_the_most_reactions_fits_a_frame() {
    const FRAME: usize = 64 * 1024;
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    let text = "x".repeat(Limits::default().text_bytes as usize);
    let said = world.send(ann, group, &text).await.unwrap();
    let users = REACTIONS_MAX / EMOJI_PER_MESSAGE_MAX;
    let reactions = (0..REACTIONS_MAX).map(|n| {
        let face = char::from_u32(0x1f600 + (n / users) as u32).unwrap();
        let emoji = format!("{face}{}", "\u{200d}👩".repeat(4));
        assert_eq!(emoji.len(), EMOJI_BYTES_MAX);
        world.say(group, Uid(i64::MAX - n), EntryEvent::Reacted { target: said, emoji, on: true })
    });
    futures_util::future::join_all(reactions).await;

    let messages = history_of(&world, bob, group).await;
    let reacted: usize = messages[0].reactions.iter().map(|reaction| reaction.uids.len()).sum();
    assert_eq!((messages.len(), reacted as i64), (1, REACTIONS_MAX));
    let size = serde_json::to_vec(&messages).unwrap().len();
    assert!(size < FRAME - 16 * 1024, "{size}");
    let pages = world.sync_all(bob, "").await;
    let page = pages.iter().find(|page| page.conversations.iter().any(|change| change.view.conversation.id == group)).unwrap();
    assert_eq!(of(page, group).view.last.as_ref().unwrap().reactions.len() as i64, EMOJI_PER_MESSAGE_MAX);
    let size = serde_json::to_vec(&page.conversations).unwrap().len();
    assert!(size < FRAME - 4 * 1024, "{size}");
}

async fn history_of(world: &World, uid: Uid, conversation: ConversationId) -> Vec<MessageState> {
    let history = Command::History { conversation, before: None, after: None, count: 100 };
    match world.call(uid, history).await.unwrap() {
        Reply::History { page, .. } => page.messages,
        other => panic!("{other:?}"),
    }
}

fn edited(target: Seq, text: &str) -> EntryEvent {
    EntryEvent::Edited { target, body: Some(Body::text(text)) }
}

fn reacted(target: Seq, emoji: &str, on: bool) -> EntryEvent {
    EntryEvent::Reacted { target, emoji: emoji.into(), on }
}

#[tokio::test]
async fn a_former_member_learns_no_new_title_announcement_owner_or_size() {
    let world = World::new().await;
    let [ann, bob, eve] = world.friends().await;
    let (group, room) = (world.group(ann, &[bob, eve]).await, world.room(ann, "lobby").await.unwrap());
    world.call(bob, Command::JoinRoom { conversation: room }).await.unwrap();
    let info = |title: &str, muted| EntryEvent::InfoChanged {
        title: Some(title.into()),
        announcement: Some(title.into()),
        muted_all: Some(muted),
    };
    for conversation in [group, room] {
        world.change(ann, conversation, info("then", false)).await.unwrap();
        world.change(bob, conversation, EntryEvent::Left { uid: bob }).await.unwrap();
        world.change(ann, conversation, info("now", true)).await.unwrap();
        let asked = view(world.call(bob, Command::GetConversation { conversation }).await).unwrap();
        let page = world.sync(bob, "").await.unwrap();
        for seen in [&asked, &of(&page, conversation).view] {
            let seen = &seen.conversation;
            assert_eq!(seen.title, "then");
            assert_eq!((seen.announcement.as_str(), seen.owner, seen.members, seen.muted_all), ("", None, 0, false));
        }
        let present = view(world.call(ann, Command::GetConversation { conversation }).await).unwrap().conversation;
        assert_eq!((present.title.as_str(), present.announcement.as_str(), present.owner), ("now", "now", Some(ann)));
    }
    world.change(ann, group, EntryEvent::Joined { uids: vec![bob] }).await.unwrap();
    let back = view(world.call(bob, Command::GetConversation { conversation: group }).await).unwrap().conversation;
    assert_eq!((back.title.as_str(), back.members), ("now", 3), "who returns sees the present");
}

#[tokio::test]
async fn a_removed_member_sees_the_past_as_it_was_then() {
    let world = World::new().await;
    let [ann, bob, eve] = world.friends().await;
    let group = world.group(ann, &[bob, eve]).await;
    let mut said = Vec::new();
    for text in ["never edited before", "edited before", "recalled behind"] {
        said.push(world.send(ann, group, text).await.unwrap());
    }
    let [first, second, third] = said[..] else { panic!("three messages") };
    world.change(ann, group, edited(second, "as bob knew it")).await.unwrap();
    world.change(eve, group, reacted(second, "🍎", true)).await.unwrap();
    world.change(ann, group, reacted(second, "🍎", true)).await.unwrap();
    world.change(ann, group, reacted(second, "🍐", true)).await.unwrap();
    world.change(ann, group, reacted(second, "🍐", false)).await.unwrap();
    let last = world.send(ann, group, "the last one").await.unwrap();
    let before = history_of(&world, bob, group).await;
    world.change(ann, group, EntryEvent::Left { uid: bob }).await.unwrap();
    // The same moment and a later one: the order counts, not the clock.
    for ms in [0, 1_000] {
        world.clock.advance(ms);
        for target in [first, second, last] {
            world.change(ann, group, edited(target, &format!("behind his back {ms}"))).await.unwrap();
        }
        world.change(eve, group, reacted(second, "🍎", ms == 0)).await.unwrap();
        world.change(eve, group, reacted(first, "🍒", true)).await.unwrap();
    }
    assert_eq!(history_of(&world, bob, group).await, before);
    let page = world.sync(bob, "").await.unwrap();
    assert_eq!(of(&page, group).view.last.as_ref(), before.last());
    let view = view(world.call(bob, Command::GetConversation { conversation: group }).await).unwrap();
    assert_eq!(view.last.as_ref(), before.last());
    assert_ne!(history_of(&world, eve, group).await, before, "members see the present");

    world.change(ann, group, EntryEvent::Recalled { target: third }).await.unwrap();
    world.change(ann, group, EntryEvent::Recalled { target: second }).await.unwrap();
    let after = history_of(&world, bob, group).await;
    let gone: Vec<Seq> = after.iter().filter(|message| message.body.is_none()).map(|message| message.seq).collect();
    assert_eq!(gone, [second, third], "what is recalled is gone for everybody");
    assert!(after.iter().all(|message| message.reactions.is_empty()));
}

#[tokio::test]
async fn a_late_member_sees_from_the_join_on() {
    let world = World::new().await;
    let [ann, bob, eve] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    for _ in 0..3 {
        world.send(ann, group, "among us").await.unwrap();
    }
    world.change(bob, group, EntryEvent::Joined { uids: vec![eve] }).await.unwrap();
    world.send(ann, group, "welcome").await.unwrap();
    let page = world.sync(eve, "").await.unwrap();
    let change = of(&page, group);
    assert_eq!(change.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [Seq(5), Seq(6)]);
    assert_eq!((change.limited, change.view.unread), (false, 1));
}

#[tokio::test]
async fn unread_is_right_on_every_device() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    let direct = world.direct(ann, bob).await.unwrap();
    for _ in 0..3 {
        world.send(ann, direct, "hi").await.unwrap();
    }
    world.change(ann, direct, EntryEvent::Edited { target: Seq(1), body: Some(skein_domain::body::Body::text("ho")) }).await.unwrap();
    let phone = world.sync(bob, "").await.unwrap();
    assert_eq!(of(&phone, direct).view.unread, 3, "an edit is not unread");
    assert_eq!(of(&world.sync(ann, "").await.unwrap(), direct).view.unread, 0, "what I said is read");
    let read = Command::MarkRead { conversation: direct, seq: Seq(2) };
    match world.call(bob, read.clone()).await.unwrap() {
        Reply::Membership { member, unread } => assert_eq!((member.read, unread), (Seq(2), 1)),
        other => panic!("{other:?}"),
    }
    let desktop = world.sync(bob, &phone.cursor).await.unwrap();
    assert_eq!(of(&desktop, direct).view.unread, 1);
    assert!(of(&desktop, direct).entries.is_empty());
    world.call(bob, Command::MarkRead { conversation: direct, seq: Seq(1) }).await.unwrap();
    let quiet = world.sync(bob, &desktop.cursor).await.unwrap();
    assert!(quiet.conversations.is_empty(), "a cursor that does not move writes nothing");
    let draft = SettingsChange { draft: Some("I was about to".into()), ..SettingsChange::default() };
    world.call(bob, Command::ChangeSettings { conversation: direct, change: draft }).await.unwrap();
    let again = world.sync(bob, &desktop.cursor).await.unwrap();
    assert_eq!(of(&again, direct).view.me.draft, "I was about to");
}
