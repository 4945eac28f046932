//! What a [`skein_domain::port::MessageStore`] must keep.

use super::world::{NOW, code, key, message};
use super::{Backend, World};
use skein_domain::Code;
use skein_domain::body::Body;
use skein_domain::entry::{EntryEvent, HistoryPage, Reaction};
use skein_domain::id::{ConversationId, CountNo, Millis, Revision, Seq, Uid};
use skein_domain::policy::{EMOJI_PER_MESSAGE_MAX, REACTIONS_MAX};
use skein_domain::port::{Append, HistoryQuery};

pub async fn seqs_are_dense_under_concurrency(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let group = world.group(ann, &[]).await;
    let draft = world.draft(group, ann, message("hi")).await;
    let mut appenders = tokio::task::JoinSet::new();
    for appender in 0..64 {
        let (messages, draft) = (world.ports.messages.clone(), draft.clone());
        appenders.spawn(async move {
            let mut last = Seq::ZERO;
            for n in 0..4 {
                let append = Append { key: key(&format!("a{appender}-{n}")), ..draft.clone() };
                let appended = messages.append(append).await.expect("append");
                assert!(appended.seq > last && !appended.repeated);
                last = appended.seq;
            }
        });
    }
    while let Some(appender) = appenders.join_next().await {
        appender.expect("appender");
    }
    let entries = world.ports.messages.entries(group, Seq(1), Seq(1_000), 1_000).await.expect("entries");
    assert_eq!(entries.len(), 1 + 256);
    for (index, pair) in entries.windows(2).enumerate() {
        assert_eq!((pair[0].seq, pair[1].seq), (Seq(index as i64 + 1), Seq(index as i64 + 2)));
        assert_eq!(pair[1].count.0, pair[0].count.0 + 1);
        assert!(pair[1].revision > pair[0].revision);
    }
}

pub async fn order_of_calls_is_order_of_seq(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let group = world.group(ann, &[]).await;
    let draft = world.draft(group, ann, message("hi")).await;
    let calls: Vec<_> = (0..100).map(|n| world.ports.messages.append(Append { key: key(&format!("o{n}")), ..draft.clone() })).collect();
    for (n, call) in calls.into_iter().enumerate().rev() {
        assert_eq!(call.await.expect("append").seq, Seq(n as i64 + 2));
    }
}

pub async fn a_known_key_answers_the_same(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let group = world.group(ann, &[]).await;
    let draft = world.draft(group, ann, message("hi")).await;
    let first = world.ports.messages.append(draft.clone()).await.expect("append");
    world.say(group, ann, "later").await;
    let later = Append { at: NOW.plus(5_000), ..draft.clone() };
    let again = world.ports.messages.append(later).await.expect("append again");
    assert!(again.repeated && !first.repeated);
    assert_eq!((again.seq, again.revision, again.at), (first.seq, first.revision, first.at));

    let world = world.reopened(backend).await;
    let again = world.ports.messages.append(draft.clone()).await.expect("append after a restart");
    assert_eq!((again.seq, again.repeated), (first.seq, true));
    assert_eq!(world.view(group, ann).await.conversation.head, Seq(3));

    // After a recall the body is gone, and the key is still the same command.
    world.append(group, ann, EntryEvent::Recalled { target: first.seq }).await.expect("recall");
    assert_eq!(world.ports.messages.append(draft).await.expect("append after a recall").seq, first.seq);
}

pub async fn another_event_under_a_known_key_conflicts(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let (group, other) = (world.group(ann, &[bob]).await, world.group(ann, &[]).await);
    let draft = world.draft(group, ann, message("hi")).await;
    world.ports.messages.append(draft.clone()).await.expect("append");
    let append = |append: Append| world.ports.messages.append(append);
    assert_eq!(code(append(Append { event: message("ho"), ..draft.clone() }).await), Code::IdempotencyConflict);
    assert_eq!(code(append(Append { conversation: other, ..draft.clone() }).await), Code::IdempotencyConflict);
    assert!(!append(Append { author: bob, ..draft }).await.expect("keys are per user").repeated);
}

pub async fn after_names_a_stored_message(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let group = world.group(ann, &[]).await;
    let first = world.draft(group, ann, message("one")).await;
    let second = Append { key: world.key(), after: Some(first.key.clone()), event: message("two"), ..first.clone() };
    assert_eq!(code(world.ports.messages.append(second.clone()).await), Code::OutOfOrder);
    world.ports.messages.append(first).await.expect("first");
    assert_eq!(world.ports.messages.append(second).await.expect("second").seq, Seq(3));
}

pub async fn a_moved_policy_is_refused(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let group = world.group(ann, &[bob]).await;
    let judged = world.draft(group, bob, message("hi")).await;
    world.append(group, ann, EntryEvent::Left { uid: bob }).await.expect("remove");
    assert_eq!(code(world.ports.messages.append(judged).await), Code::PolicyMoved);
    assert_eq!(world.view(group, ann).await.conversation.head, Seq(2), "a refused append takes no number");
    let nowhere = Append { conversation: ConversationId(99_999), ..world.draft(group, ann, message("hi")).await };
    assert_eq!(code(world.ports.messages.append(nowhere).await), Code::NotFound);
    let bodiless = world.append(group, ann, EntryEvent::Message { body: None, reply_to: None }).await;
    assert_eq!(code(bodiless), Code::BadRequest);
}

pub async fn time_never_goes_back(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let group = world.group(ann, &[]).await;
    let draft = world.draft(group, ann, message("hi")).await;
    let at = |ms: i64| Append { key: world.key(), at: NOW.plus(ms), ..draft.clone() };
    assert_eq!(world.ports.messages.append(at(10)).await.expect("append").at, NOW.plus(10));
    assert_eq!(world.ports.messages.append(at(-60_000)).await.expect("append").at, NOW.plus(10));
    assert_eq!(world.ports.messages.append(at(11)).await.expect("append").at, NOW.plus(11));
}

pub async fn an_edit_changes_the_state_and_keeps_the_log(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let group = world.group(ann, &[]).await;
    let said = world.say(group, ann, "helo").await;
    let edit = EntryEvent::Edited { target: said.seq, body: Some(Body::text("hello")) };
    let edited = world.append(group, ann, edit.clone()).await.expect("edit");
    let state = world.ports.messages.state(group, said.seq).await.expect("state").expect("exists");
    assert_eq!((state.body, state.edited_at), (Some(Body::text("hello")), Some(edited.at)));
    assert_eq!(world.entry(group, said.seq).await.event, message("helo"));
    assert_eq!(world.entry(group, edited.seq).await.event, edit);
    assert_eq!(world.entry(group, edited.seq).await.count, CountNo(1), "edits do not count");
}

pub async fn a_recall_blanks_the_body_everywhere(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let group = world.group(ann, &[bob]).await;
    let before = world.say(group, bob, "innocent").await;
    let said = world.say(group, ann, "secret").await;
    for text in ["secret 2", "secret 3"] {
        let edit = EntryEvent::Edited { target: said.seq, body: Some(Body::text(text)) };
        world.append(group, ann, edit).await.expect("edit");
    }
    world.append(group, bob, react(said.seq, "x", true)).await.expect("react");
    let recalled = world.append(group, ann, EntryEvent::Recalled { target: said.seq }).await.expect("recall");

    let everything = format!(
        "{:?} {:?} {:?} {:?}",
        world.ports.messages.entries(group, Seq(1), Seq(100), 100).await,
        world.ports.messages.history(group, HistoryQuery { from: Seq(1), to: Seq(100), before: None, after: None, count: 100 }).await,
        world.view(group, bob).await,
        world.records().await,
    );
    assert!(!everything.contains("secret") && everything.contains("innocent"));
    let state = world.ports.messages.state(group, said.seq).await.expect("state").expect("exists");
    assert_eq!((state.body, state.reactions.len()), (None, 0));
    assert!(world.ports.messages.state(group, before.seq).await.expect("state").expect("exists").body.is_some());

    let head = world.view(group, ann).await.conversation.head;
    let again = world.append(group, ann, EntryEvent::Recalled { target: said.seq }).await.expect("recall again");
    assert_eq!((again.seq, again.repeated), (recalled.seq, true));
    assert_eq!(world.view(group, ann).await.conversation.head, head);
    let edit = EntryEvent::Edited { target: said.seq, body: Some(Body::text("back")) };
    assert_eq!(code(world.append(group, ann, edit).await), Code::Recalled);
    assert_eq!(code(world.append(group, ann, react(said.seq, "x", true)).await), Code::Recalled);
}

fn react(target: Seq, emoji: &str, on: bool) -> EntryEvent {
    EntryEvent::Reacted { target, emoji: emoji.into(), on }
}

pub async fn reactions_toggle(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let group = world.group(ann, &[bob]).await;
    let said = world.say(group, ann, "hi").await.seq;
    for (uid, emoji, on) in [(ann, "👍", true), (bob, "👍", true), (bob, "👍", true), (bob, "🎉", true), (ann, "👍", false)] {
        world.append(group, uid, react(said, emoji, on)).await.expect("react");
    }
    let state = world.ports.messages.state(group, said).await.expect("state").expect("exists");
    let mut reactions = state.reactions;
    reactions.sort_by(|a, b| a.emoji.cmp(&b.emoji));
    let expected = [Reaction { emoji: "🎉".into(), uids: vec![bob] }, Reaction { emoji: "👍".into(), uids: vec![bob] }];
    assert_eq!(reactions, expected);
}

pub async fn reactions_on_one_message_are_bounded(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let group = world.group(ann, &[]).await;
    let said = world.say(group, ann, "hi").await.seq;
    let by = |uid: i64, emoji: i64, on: bool| world.append(group, Uid(uid), react(said, &format!("e{emoji}"), on));
    for emoji in 0..EMOJI_PER_MESSAGE_MAX {
        by(1, emoji, true).await.expect("react");
    }
    assert_eq!(code(by(1, EMOJI_PER_MESSAGE_MAX, true).await), Code::QuotaExceeded);
    by(1, 0, true).await.expect("reacting again is no reaction more");
    let others = REACTIONS_MAX - EMOJI_PER_MESSAGE_MAX;
    for appended in futures_util::future::join_all((0..others).map(|n| by(2 + n, 0, true))).await {
        appended.expect("an emoji that is there already");
    }
    let head = world.view(group, ann).await.conversation.head;
    assert_eq!(code(by(-1, 0, true).await), Code::QuotaExceeded);
    assert_eq!(world.view(group, ann).await.conversation.head, head, "a refused reaction takes no number");
    by(2, 0, true).await.expect("reacting again, when it is full");
    by(2, 0, false).await.expect("take back");
    by(-1, 0, true).await.expect("there is room again");
    let state = world.ports.messages.state(group, said).await.expect("state").expect("exists");
    let all: usize = state.reactions.iter().map(|reaction| reaction.uids.len()).sum();
    assert_eq!((state.reactions.len() as i64, all as i64), (EMOJI_PER_MESSAGE_MAX, REACTIONS_MAX));
}

pub async fn a_target_is_a_message(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let group = world.group(ann, &[]).await;
    for target in [Seq(1), Seq(99), Seq(-1)] {
        assert_eq!(code(world.append(group, ann, EntryEvent::Recalled { target }).await), Code::NotFound);
        assert_eq!(code(world.append(group, ann, react(target, "x", true)).await), Code::NotFound);
    }
}

pub async fn a_reply_is_to_a_message_that_exists(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let (group, other) = (world.group(ann, &[]).await, world.group(ann, &[]).await);
    let elsewhere = [world.say(other, ann, "a").await.seq, world.say(other, ann, "b").await.seq];
    let said = world.say(group, ann, "hi").await.seq;
    let reply = |to: Seq| EntryEvent::Message { body: Some(Body::text("well")), reply_to: Some(to) };
    // The creation, another conversation's message, the reply itself, and numbers nobody has.
    for to in [Seq(1), elsewhere[1], said.next(), Seq(99), Seq(0), Seq(-1)] {
        assert_eq!(code(world.append(group, ann, reply(to)).await), Code::NotFound, "{to:?}");
    }
    assert_eq!(world.view(group, ann).await.conversation.head, said, "a refused reply takes no number");
    let replied = world.append(group, ann, reply(said)).await.expect("reply");
    assert_eq!(replied.seq, said.next());
    world.append(group, ann, EntryEvent::Recalled { target: said }).await.expect("recall");
    world.append(group, ann, reply(said)).await.expect("a reply to a recalled message");
}

pub async fn entries_and_newest_are_pages(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let group = world.group(ann, &[]).await;
    let mut revisions = vec![Revision(0)];
    for n in 2..=10 {
        revisions.push(world.say(group, ann, &format!("{n}")).await.revision);
    }
    let seqs = |entries: &[skein_domain::entry::Entry]| entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>();
    let messages = &world.ports.messages;
    assert_eq!(seqs(&messages.entries(group, Seq(4), Seq(8), 3).await.expect("entries")), [4, 5, 6]);
    assert_eq!(seqs(&messages.entries(group, Seq(9), Seq(90), 100).await.expect("entries")), [9, 10]);

    let newest = |to: i64, after: Revision, limit: u32| messages.newest(group, Seq(to), after, limit);
    let (entries, more) = newest(10, revisions[5], 100).await.expect("newest");
    assert_eq!((seqs(&entries), more), (vec![7, 8, 9, 10], false));
    let (entries, more) = newest(10, revisions[5], 3).await.expect("newest");
    assert_eq!((seqs(&entries), more), (vec![8, 9, 10], true));
    let (entries, more) = newest(8, revisions[5], 2).await.expect("newest");
    assert_eq!((seqs(&entries), more), (vec![7, 8], false));
    assert_eq!(newest(10, revisions[9], 3).await.expect("newest"), (vec![], false));
}

pub async fn history_pages_both_ways(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let group = world.group(ann, &[bob]).await; // 1
    for n in 2..=4 {
        world.say(group, ann, &format!("{n}")).await;
    }
    world.append(group, ann, react(Seq(2), "x", true)).await.expect("react"); // 5: not a line of its own
    world.append(group, ann, EntryEvent::Left { uid: bob }).await.expect("remove"); // 6
    world.say(group, ann, "7").await;

    let all = HistoryQuery { from: Seq(1), to: Seq(100), before: None, after: None, count: 100 };
    let page = |query: HistoryQuery| world.ports.messages.history(group, query);
    let full = page(all.clone()).await.expect("history");
    assert_eq!((shown(&full), full.has_more), (vec![1, 2, 3, 4, 6, 7], false));
    assert_eq!(full.messages[0].reactions.len(), 1);

    let last = page(HistoryQuery { count: 2, ..all.clone() }).await.expect("history");
    assert_eq!((shown(&last), last.has_more), (vec![6, 7], true));
    let back = page(HistoryQuery { before: Some(Seq(6)), count: 3, ..all.clone() }).await.expect("history");
    assert_eq!((shown(&back), back.has_more), (vec![2, 3, 4], true));
    let on = page(HistoryQuery { after: Some(Seq(2)), count: 3, ..all.clone() }).await.expect("history");
    assert_eq!((shown(&on), on.has_more), (vec![3, 4, 6], true));
    let end = page(HistoryQuery { after: Some(Seq(6)), count: 3, ..all.clone() }).await.expect("history");
    assert_eq!((shown(&end), end.has_more), (vec![7], false));

    // What a removed member may see ends with the removal.
    let past = HistoryQuery { from: Seq(2), to: Seq(6), ..all };
    let seen = page(HistoryQuery { count: 2, ..past.clone() }).await.expect("history");
    assert_eq!((shown(&seen), seen.has_more), (vec![4, 6], true));
    let seen = page(HistoryQuery { before: Some(Seq(4)), ..past }).await.expect("history");
    assert_eq!((shown(&seen), seen.has_more), (vec![2, 3], false));
}

fn shown(page: &HistoryPage) -> Vec<i64> {
    let mut seqs: Vec<i64> = page.messages.iter().map(|m| m.seq.0).chain(page.events.iter().map(|e| e.seq.0)).collect();
    seqs.sort_unstable();
    seqs
}

pub async fn hostile_texts_are_stored_literally(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let hostile = [
        "' OR 1=1 --",
        "'; DROP TABLE entry; --",
        "\" OR \"\"=\"",
        "?1",
        ":x",
        "%_%",
        "\\'",
        "a\0b",
        "\u{202e}\u{feff}",
        "1); DELETE FROM user",
    ];
    for text in hostile {
        let creation = world.creation(ann, text, &[]);
        let group = world.ports.conversations.create_group(creation).await.expect("create");
        let said = world.say(group, ann, text).await;
        world.append(group, ann, react(said.seq, text, true)).await.expect("react");
        let view = world.view(group, ann).await;
        let last = view.last.expect("a last message");
        assert_eq!(view.conversation.title, text);
        assert_eq!((last.body, last.reactions[0].emoji.as_str()), (Some(Body::text(text)), text));

        let uid = world.user(text).await;
        let user = world.ports.accounts.user_by_email(&format!("{text}@example.org")).await.expect("find");
        assert_eq!(user.map(|user| (user.uid, user.nickname)), Some((uid, text.to_owned())));
        let found = world.ports.accounts.profiles_by_nickname(&skein_domain::port::fold_nickname(text), None, 20).await.expect("search");
        assert_eq!(found.iter().map(|profile| profile.uid).collect::<Vec<_>>(), [uid], "{text:?} found something else");
        assert_eq!(world.ports.accounts.user_by_email(text).await.expect("find"), None);
    }
}

pub async fn reopening_restores_everything(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    world.befriend(ann, bob).await;
    let group = world.group(ann, &[bob]).await;
    let said = world.say(group, ann, "hi").await;
    world.append(group, bob, react(said.seq, "x", true)).await.expect("react");
    let everything = async |world: &World| {
        (
            world.ports.messages.epoch(),
            world.ports.messages.revisions().await.expect("revisions"),
            world.records().await,
            world.view(group, bob).await,
            world.ports.contacts.friends(ann, skein_domain::id::Uid(0), 10).await.expect("friends"),
        )
    };
    let before = everything(&world).await;
    let world = world.reopened(backend).await;
    assert_eq!(everything(&world).await, before);
    let next = world.append(group, ann, message("on")).await.expect("append");
    assert_eq!((next.seq, next.at), (Seq(4), Millis(NOW.0)));
    assert!(world.user("cid").await > bob);
}
