//! Opening, creating, joining, leaving; cursors and typing.

use crate::comets::pushes;
use crate::world::{Setting, World, caller, code, view};
use skein_domain::command::{Command, Reply};
use skein_domain::delivery::{Control, MemberCursor, Push, Target};
use skein_domain::door::Logic;
use skein_domain::entry::EntryEvent;
use skein_domain::id::{ConversationId, Seq, Uid};
use skein_domain::{Code, Limits};

#[tokio::test]
async fn direct_conversations_are_for_friends_and_strangers_learn_nothing() {
    let world = World::new().await;
    let [ann, bob, eve] = world.people().await;
    world.befriend(ann, bob).await;
    let direct = world.direct(ann, bob).await.unwrap();
    assert_eq!(world.direct(bob, ann).await.unwrap(), direct);
    let stranger = world.call(eve, Command::OpenDirect { uid: ann }).await.unwrap_err();
    world.call(bob, Command::Block { uid: ann, on: true }).await.unwrap();
    let blocked = world.call(ann, Command::OpenDirect { uid: bob }).await.unwrap_err();
    assert_eq!(stranger, blocked);
    assert_eq!(stranger.code, Code::NotAccepted);
    assert_eq!(code(world.direct(ann, ann).await), Code::NotSelf);
    assert_eq!(code(world.direct(ann, Uid(99)).await), Code::NotAccepted, "unknown is like unfriended");
}

#[tokio::test]
async fn without_the_need_for_friendship_anybody_known_will_do() {
    let limits = Limits { direct_needs_friendship: false, ..Limits::default() };
    let world = World::with(Setting { limits, ..Setting::default() }).await;
    let [ann, bob] = world.people().await;
    assert!(world.direct(ann, bob).await.is_ok());
    assert_eq!(code(world.direct(ann, Uid(99)).await), Code::NotFound);
}

#[tokio::test]
async fn groups_are_made_of_friends() {
    let limits = Limits { group_members: 3, ..Limits::default() };
    let world = World::with(Setting { limits, ..Setting::default() }).await;
    let [ann, bob, eve, joe] = world.people().await;
    world.befriend(ann, bob).await;
    world.befriend(bob, eve).await;
    world.befriend(bob, joe).await;
    let create = |uids: &[Uid]| Command::CreateGroup { key: world.key(), title: "us".into(), uids: uids.to_vec() };
    assert_eq!(code(world.call(ann, create(&[bob, eve])).await), Code::NotAccepted);
    assert_eq!(code(world.call(ann, create(&[ann])).await), Code::BadRequest);
    assert_eq!(code(world.call(ann, create(&[bob, eve, joe])).await), Code::GroupFull);
    let group = view(world.call(ann, create(&[bob])).await).unwrap().conversation.id;
    let invite = |uid| EntryEvent::Joined { uids: vec![uid] };
    assert_eq!(code(world.change(ann, group, invite(eve)).await), Code::NotAccepted, "not ann's friend");
    assert!(world.change(bob, group, invite(eve)).await.is_ok());
    assert_eq!(code(world.change(bob, group, invite(joe)).await), Code::GroupFull);
    let long = Command::CreateGroup { key: world.key(), title: "x".repeat(65), uids: vec![bob] };
    assert_eq!(code(world.call(ann, long).await), Code::BadRequest);
}

#[tokio::test]
async fn a_title_is_seen_as_it_is_and_has_no_space_around_it() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    let group = |title: &str| Command::CreateGroup { key: world.key(), title: title.into(), uids: vec![bob] };
    let room = |title: &str| Command::CreateRoom { key: world.key(), title: title.into() };
    let made = view(world.call(ann, group(" us ")).await).unwrap().conversation;
    assert_eq!(made.title, "us");
    assert_eq!(view(world.call(ann, room("\u{3000}广场 ")).await).unwrap().conversation.title, "广场");
    let rename = |title: &str| EntryEvent::InfoChanged { title: Some(title.into()), announcement: None, muted_all: None };
    world.change(ann, made.id, rename("  we ")).await.unwrap();
    assert_eq!(view(world.call(ann, Command::GetConversation { conversation: made.id }).await).unwrap().conversation.title, "we");
    for bad in ["", " ", "a\nb", "a\u{202e}b", "\u{61c}", "\u{115f}", "\u{3164}", "\u{2800}", "a\u{200d}"] {
        assert_eq!(code(world.call(ann, group(bad)).await), Code::BadRequest, "{bad:?}");
        assert_eq!(code(world.call(ann, room(bad)).await), Code::BadRequest, "{bad:?}");
        assert_eq!(code(world.change(ann, made.id, rename(bad)).await), Code::BadRequest, "{bad:?}");
    }
}

#[tokio::test]
async fn creations_per_day_are_counted_also_when_asked_all_at_once() {
    let world = World::new().await;
    let [ann] = world.people().await;
    let create = |n: usize| world.logic.call(caller(ann), Command::CreateRoom { key: world.key(), title: format!("room {n}") });
    let outcomes = futures_util::future::join_all((0..15).map(create)).await;
    let refused = outcomes.iter().filter(|outcome| outcome.as_ref().is_err_and(|error| error.code == Code::QuotaExceeded)).count();
    assert_eq!(refused, 5);
    world.clock.advance(24 * 60 * 60 * 1_000 + 1);
    assert!(world.room(ann, "tomorrow").await.is_ok());
}

#[tokio::test]
async fn rooms_are_listed_joined_and_left() {
    let limits = Limits { rooms: 2, ..Limits::default() };
    let world = World::with(Setting { limits, ..Setting::default() }).await;
    let [ann, eve, bob] = world.people().await;
    let comet = world.comet("one");
    let bob_1 = world.device(bob, "one", 2).await;
    let mut rooms = vec![world.room(ann, "a").await.unwrap(), world.room(ann, "b").await.unwrap(), world.room(eve, "c").await.unwrap()];
    rooms.reverse();
    let list = |cursor: &str| Command::ListRooms { cursor: cursor.into(), count: 2 };
    let (first, cursor) = rooms_of(world.call(bob, list("")).await.unwrap());
    let (rest, end) = rooms_of(world.call(bob, list(&cursor)).await.unwrap());
    assert_eq!(([first, rest].concat(), end.as_str()), (rooms.clone(), ""));

    let join = |room| Command::JoinRoom { conversation: room };
    for room in &rooms[..2] {
        world.call(bob, join(*room)).await.unwrap();
    }
    assert_eq!(code(world.call(bob, join(rooms[2])).await), Code::RoomsFull);
    assert!(world.call(bob, join(rooms[0])).await.is_ok(), "joining again is no other room");
    world.send(bob, rooms[0], "hi").await.unwrap();
    world.change(bob, rooms[0], EntryEvent::Left { uid: bob }).await.unwrap();
    assert_eq!(comet.controls().last(), Some(&Control::Unsubscribe { session: bob_1, room: rooms[0] }));
    assert_eq!(code(world.send(bob, rooms[0], "hi").await), Code::NotMember);
    assert_eq!(world.store.entries_of(rooms[0]).await.len(), 1, "leaving a room is no entry");
    assert!(world.call(bob, join(rooms[2])).await.is_ok());

    let group_like = world.call(bob, join(ConversationId(99))).await;
    assert_eq!(code(group_like), Code::NotFound);
    assert_eq!(
        code(
            world
                .change(eve, rooms[0], EntryEvent::Left { uid: eve })
                .await
                .and(world.change(ann, rooms[2], EntryEvent::Left { uid: ann }).await)
        ),
        Code::Forbidden
    );
}

#[tokio::test]
async fn a_conversation_that_does_not_exist_answers_like_one_of_others() {
    let world = World::new().await;
    let [ann, bob, eve] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    for conversation in [group, ConversationId(9_999)] {
        let commands = [
            world.send_with(conversation, world.key(), "hi"),
            Command::Typing { conversation },
            Command::GetConversation { conversation },
            Command::History { conversation, before: None, after: None, count: 0 },
            Command::Pull { conversation, from: Seq(1), to: Seq(2) },
            Command::MarkRead { conversation, seq: Seq(1) },
        ];
        for command in commands {
            assert_eq!(code(world.call(eve, command.clone()).await), Code::NotMember, "{command:?}");
        }
        assert_eq!(code(world.change(eve, conversation, EntryEvent::Left { uid: eve }).await), Code::NotMember);
        assert_eq!(code(world.call(eve, Command::JoinRoom { conversation }).await), Code::NotFound);
    }
}

#[tokio::test]
async fn negative_seqs_are_bad_requests() {
    let world = World::new().await;
    let [ann, bob] = world.friends().await;
    let conversation = world.group(ann, &[bob]).await;
    let commands = [
        Command::History { conversation, before: Some(Seq(-1)), after: None, count: 0 },
        Command::History { conversation, before: None, after: Some(Seq(-1)), count: 0 },
        Command::Pull { conversation, from: Seq(-1), to: Seq(2) },
        Command::Pull { conversation, from: Seq(1), to: Seq(-2) },
        Command::MarkRead { conversation, seq: Seq(-1) },
        Command::MarkDelivered { conversation, seq: Seq(-1) },
    ];
    for command in commands {
        assert_eq!(code(world.call(ann, command.clone()).await), Code::BadRequest, "{command:?}");
    }
}

fn rooms_of(reply: Reply) -> (Vec<ConversationId>, String) {
    match reply {
        Reply::Rooms { rooms, cursor } => (rooms.into_iter().map(|room| room.conversation).collect(), cursor),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn members_are_listed_to_members_without_their_drafts() {
    let world = World::new().await;
    let [ann, bob, eve] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    let draft = skein_domain::conversation::SettingsChange { draft: Some("secret".into()), ..Default::default() };
    world.call(bob, Command::ChangeSettings { conversation: group, change: draft }).await.unwrap();
    let list = || Command::ListMembers { conversation: group, cursor: String::new(), count: 0 };
    match world.call(ann, list()).await.unwrap() {
        Reply::Members { members, cursor } => {
            assert_eq!(members.iter().map(|(member, _)| member.uid).collect::<Vec<_>>(), [ann, bob]);
            assert!(cursor.is_empty() && members.iter().all(|(member, _)| member.draft.is_empty()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(code(world.call(eve, list()).await), Code::NotMember);
}

#[tokio::test]
async fn new_rooms_are_announced_to_watchers_once_a_second() {
    let mut world = World::new().await;
    let [ann] = world.people().await;
    let comet = world.comet("one");
    world.run();
    for n in 0..5 {
        world.room(ann, &format!("room {n}")).await.unwrap();
    }
    let announced = |told: &Vec<_>| {
        let rooms = pushes(told).into_iter().filter(|(target, _)| *target == Target::RoomWatchers);
        rooms.map(|(_, push)| if let Push::Rooms { rooms } = push { rooms.len() } else { 0 }).collect::<Vec<_>>()
    };
    comet.until(|told| announced(told).iter().sum::<usize>() == 5).await;
    assert!(announced(&comet.batches()).len() <= 2);
}

#[tokio::test]
async fn cursors_of_others_come_together() {
    let mut world = World::new().await;
    let [ann, bob, eve] = world.friends().await;
    let comet = world.comet("one");
    let ann_1 = world.device(ann, "one", 1).await;
    let group = world.group(ann, &[bob, eve]).await;
    for _ in 0..3 {
        world.send(ann, group, "hi").await.unwrap();
    }
    for seq in 2..=4 {
        world.call(bob, Command::MarkRead { conversation: group, seq: Seq(seq) }).await.unwrap();
        world.call(eve, Command::MarkDelivered { conversation: group, seq: Seq(seq) }).await.unwrap();
    }
    world.run();
    let cursors = |told: &Vec<_>| {
        let mine =
            pushes(told).into_iter().filter(|(target, _)| matches!(target, Target::Connections(c) if c.iter().any(|c| c.session == ann_1)));
        mine.filter_map(|(_, push)| if let Push::Cursors { cursors, .. } = push { Some(cursors) } else { None }).collect::<Vec<_>>()
    };
    comet.until(|told| !cursors(told).is_empty()).await;
    let mut told = cursors(&comet.batches());
    told[0].sort_by_key(|cursor| cursor.uid);
    let expected = [MemberCursor { uid: bob, read: Seq(4), delivered: Seq(4) }, MemberCursor { uid: eve, read: Seq(1), delivered: Seq(4) }];
    assert_eq!(told, [expected.to_vec()], "one push for all six");
}

#[tokio::test]
async fn typing_is_told_to_the_others_but_not_too_often() {
    let mut world = World::new().await;
    let [ann, bob, eve] = world.friends().await;
    let comet = world.comet("one");
    let (ann_1, bob_1) = (world.device(ann, "one", 1).await, world.device(bob, "one", 2).await);
    let group = world.group(ann, &[bob]).await;
    for _ in 0..5 {
        world.call(ann, Command::Typing { conversation: group }).await.unwrap();
    }
    assert_eq!(code(world.call(eve, Command::Typing { conversation: group }).await), Code::NotMember);
    world.call(bob, Command::Typing { conversation: group }).await.unwrap();
    world.run();
    let typing = |told: &Vec<_>| {
        let typing = pushes(told).into_iter().filter(|(_, push)| matches!(push, Push::Typing { .. }));
        typing.map(|(target, _)| target).collect::<Vec<_>>()
    };
    comet.until(|told| typing(told).len() >= 2).await;
    let told = typing(&comet.batches());
    let reaches = |session| told.iter().filter(|t| matches!(t, Target::Connections(c) if c.iter().any(|c| c.session == session))).count();
    assert_eq!((told.len(), reaches(ann_1), reaches(bob_1)), (2, 1, 1));
}
