//! What is called first is stored first, and is judged by what holds when it is stored.

use crate::world::{World, caller, code, message, seq};
use futures_util::future::join_all;
use skein_domain::command::Command;
use skein_domain::conversation::Role;
use skein_domain::door::Logic;
use skein_domain::entry::EntryEvent;
use skein_domain::id::{ConversationId, IdempotencyKey, Millis, Seq, Uid};
use skein_domain::port::Append;
use skein_domain::{Code, Error};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_pipelined_sends_keep_their_order() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    let sends: Vec<_> = (0..1_000).map(|n| world.logic.call(caller(ann), world.send_with(group, world.key(), &n.to_string()))).collect();
    // Polled by many tasks, the last one first.
    let tasks: Vec<_> = sends.into_iter().rev().map(tokio::spawn).collect();
    let mut seqs: Vec<_> = join_all(tasks).await.into_iter().map(|sent| seq(sent.unwrap()).unwrap()).collect();
    seqs.reverse();
    assert_eq!(seqs, (2..1_002).map(Seq).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_line_does_not_wait_for_commits() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    world.store.hold_commits(true);
    let before = world.store.appended();
    let sends: Vec<_> = (0..3).map(|_| tokio::spawn(world.logic.call(caller(ann), world.send_with(group, world.key(), "x")))).collect();
    world.store.until_appended(before + 3).await;
    assert!(sends.iter().all(|send| !send.is_finished()), "no ack before the commit");
    world.store.hold_commits(false);
    for send in sends {
        send.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_follows_a_change_of_policy_is_judged_by_it() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    world.send(ann, group, "the snapshot is in memory").await.unwrap();
    let silence = EntryEvent::InfoChanged { title: None, announcement: None, muted_all: Some(true) };
    let removal = EntryEvent::Left { uid: bob };
    let calls = [
        world.logic.call(caller(ann), Command::Change { conversation: group, key: world.key(), event: silence }),
        world.logic.call(caller(ann), Command::Change { conversation: group, key: world.key(), event: removal }),
        world.logic.call(caller(bob), world.send_with(group, world.key(), "am I in?")),
        world.logic.call(caller(ann), world.send_with(group, world.key(), "no")),
    ];
    let outcomes = join_all(calls).await;
    let codes: Vec<_> = outcomes.into_iter().map(|outcome| seq(outcome).map_err(|error| error.code)).collect();
    assert_eq!(codes, [Ok(Seq(3)), Ok(Seq(4)), Err(Code::NotMember), Ok(Seq(5))]);
}

#[tokio::test]
async fn a_member_removed_between_judgement_and_append_is_judged_again() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    once_before_append(&world, group, ann, EntryEvent::Left { uid: bob });
    assert_eq!(code(world.send(bob, group, "still here?").await), Code::NotMember);
    let said = world.store.entries_of(group).await.iter().filter(|entry| entry.author == bob).count();
    assert_eq!(said, 0);
}

#[tokio::test]
async fn a_policy_that_keeps_moving_makes_the_conversation_busy() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    let mut keys = (0..).map(key);
    let mut silence = move || somebody(group, ann, keys.next().unwrap(), EntryEvent::Silenced { uid: bob, until: Millis(0) });
    world.store.before_append(move |mine| Some(Append { policy_version: mine.policy_version, ..silence() }));
    assert_eq!(code(world.send(bob, group, "x").await), Code::Busy);
}

#[tokio::test]
async fn one_policy_move_is_not_noticed() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    once_before_append(&world, group, ann, EntryEvent::Silenced { uid: bob, until: Millis(0) });
    assert_eq!(world.send(bob, group, "x").await, Ok(Seq(3)));
}

#[tokio::test]
async fn a_stored_command_is_acked_on_every_retry_whatever_the_policy_says_by_then() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    let (said, left) = (world.key(), world.key());
    let send = || world.send_with(group, said.clone(), "bye");
    let leave = || Command::Change { conversation: group, key: left.clone(), event: EntryEvent::Left { uid: bob } };
    assert_eq!(seq(world.call(bob, send()).await), Ok(Seq(2)));
    assert_eq!(seq(world.call(bob, leave()).await), Ok(Seq(3)));
    assert_eq!(seq(world.call(bob, leave()).await), Ok(Seq(3)));
    assert_eq!(seq(world.call(bob, send()).await), Ok(Seq(2)));
    assert_eq!(code(world.send(bob, group, "another").await), Code::NotMember);
    assert_eq!(world.store.entries_of(group).await.len(), 3);
}

#[tokio::test]
async fn a_refusal_waits_until_the_store_has_said_that_it_does_not_know_the_key() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    let said = world.key();
    let send = || world.call(bob, world.send_with(group, said.clone(), "bye"));
    assert_eq!(seq(send().await), Ok(Seq(2)));
    world.change(ann, group, EntryEvent::Left { uid: bob }).await.unwrap();
    for (trouble, told) in [
        (Code::Busy, Code::Busy),
        (Code::StorageFull, Code::StorageFull),
        (Code::Unavailable, Code::RetrySameKey),
        (Code::RetrySameKey, Code::RetrySameKey),
    ] {
        world.store.refuse_appends(Some(Error::new(trouble, "not now")));
        assert_eq!(code(send().await), told, "it is stored: to refuse it for good would deny that");
    }
    world.store.refuse_appends(None);
    assert_eq!(seq(send().await), Ok(Seq(2)));
}

#[tokio::test]
async fn leaving_a_room_holds_up_nobody_in_its_line() {
    let world = World::new().await;
    let [ann, bob] = world.people().await;
    let room = world.room(ann, "square").await.unwrap();
    world.call(bob, Command::JoinRoom { conversation: room }).await.unwrap();
    world.store.hold_commits(true);
    let leave = Command::Change { conversation: room, key: world.key(), event: EntryEvent::Left { uid: bob } };
    let leaving = tokio::spawn(world.logic.call(caller(bob), leave));
    world.store.until_leaving(1).await;
    let before = world.store.appended();
    let sending = tokio::spawn(world.logic.call(caller(ann), world.send_with(room, world.key(), "hi")));
    world.store.until_appended(before + 1).await;
    assert!(!leaving.is_finished(), "it is under way all the time");
    world.store.hold_commits(false);
    leaving.await.unwrap().unwrap();
    sending.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_key_used_for_something_else_is_a_conflict_and_a_missing_predecessor_is_out_of_order() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    let direct = world.direct(ann, bob).await.unwrap();
    let key = world.key();
    world.call(ann, world.send_with(direct, key.clone(), "one")).await.unwrap();
    assert_eq!(code(world.call(ann, world.send_with(direct, key.clone(), "two")).await), Code::IdempotencyConflict);
    let after = |after: &IdempotencyKey| match world.send_with(direct, world.key(), "next") {
        Command::Send { conversation, key, body, reply_to, .. } => {
            Command::Send { conversation, key, body, reply_to, after: Some(after.clone()) }
        }
        other => other,
    };
    assert_eq!(code(world.call(ann, after(&world.key())).await), Code::OutOfOrder);
    assert!(world.call(ann, after(&key)).await.is_ok());
}

#[tokio::test]
async fn a_refusal_is_never_by_old_facts() {
    let world = World::new().await;
    let [ann, bob] = world.people().await;
    world.befriend(ann, bob).await;
    let direct = world.direct(ann, bob).await.unwrap();
    world.call(bob, Command::Block { uid: ann, on: true }).await.unwrap();
    assert_eq!(code(world.send(ann, direct, "hello?").await), Code::NotAccepted);
    world.call(bob, Command::Block { uid: ann, on: false }).await.unwrap();
    assert_eq!(world.send(ann, direct, "hello").await, Ok(Seq(1)));
}

#[tokio::test]
async fn unknown_conversations_and_wrong_changes_are_refused() {
    let world = World::new().await;
    let [ann, bob, eve] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    assert_eq!(code(world.send(ann, skein_domain::id::ConversationId(99), "x").await), Code::NotMember);
    assert_eq!(code(world.send(eve, group, "x").await), Code::NotMember);
    assert_eq!(code(world.change(ann, group, message("x")).await), Code::BadRequest);
    assert_eq!(code(world.change(bob, group, EntryEvent::RoleChanged { uid: ann, role: Role::Member }).await), Code::Forbidden);
    assert_eq!(code(world.change(ann, group, EntryEvent::Recalled { target: Seq(1) }).await), Code::NotFound);
}

fn key(number: i32) -> IdempotencyKey {
    IdempotencyKey::parse(&format!("by-somebody-{number}")).unwrap()
}

fn somebody(conversation: ConversationId, author: Uid, key: IdempotencyKey, event: EntryEvent) -> Append {
    Append { conversation, author, key, after: None, policy_version: Default::default(), event, at: Millis(1) }
}

/// Between judgement and append of the next command, somebody else is quicker.
fn once_before_append(world: &World, conversation: ConversationId, author: Uid, event: EntryEvent) {
    let mut quicker = Some(somebody(conversation, author, key(0), event));
    world.store.before_append(move |mine| quicker.take().map(|append| Append { policy_version: mine.policy_version, ..append }));
}
