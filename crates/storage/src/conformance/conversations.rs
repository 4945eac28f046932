//! What a [`skein_domain::port::ConversationStore`] must keep.

use super::world::{NOW, code, message};
use super::{Backend, World};
use skein_domain::Code;
use skein_domain::body::Body;
use skein_domain::conversation::{Role, SettingsChange};
use skein_domain::delivery::UserEvent;
use skein_domain::entry::EntryEvent;
use skein_domain::id::{ConversationId, Revision, Seq, Shard, Uid};
use skein_domain::port::{CreateConversation, LogEvent, Mark};

pub async fn a_direct_conversation_is_made_once(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let conversations = &world.ports.conversations;
    let direct = conversations.open_direct(ann, bob, NOW).await.expect("open");
    assert_eq!(conversations.open_direct(bob, ann, NOW).await.expect("open"), direct);
    let said = world.say(direct, ann, "hi").await;
    conversations.mark(direct, bob, Mark::Read(said.seq)).await.expect("mark");
    let view = world.view(direct, ann).await;
    assert_eq!((view.peer, view.peer_read, view.peer_delivered), (Some(bob), said.seq, said.seq));
    let snapshot = conversations.snapshot(direct).await.expect("snapshot").expect("exists");
    assert_eq!((snapshot.members.len(), snapshot.standing), (2, Some(Default::default())));
    assert_eq!(code(conversations.open_direct(ann, ann, NOW).await), Code::NotSelf);
    assert_eq!(code(conversations.open_direct(ann, Uid(99_999), NOW).await), Code::NotFound);
    assert_eq!(conversations.snapshot(ConversationId(99_999)).await.expect("snapshot"), None);
}

pub async fn a_group_starts_with_its_members(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let creation = world.creation(ann, "garden", &[bob, ann]);
    let group = world.ports.conversations.create_group(creation.clone()).await.expect("create");
    assert_eq!(world.ports.conversations.create_group(creation.clone()).await.expect("create again"), group);
    assert_eq!(code(world.ports.conversations.create_room(creation).await), Code::IdempotencyConflict);

    let view = world.view(group, bob).await;
    assert_eq!((view.conversation.title.as_str(), view.conversation.owner), ("garden", Some(ann)));
    assert_eq!((view.conversation.members, view.conversation.head, view.unread), (2, Seq(1), 0));
    assert_eq!(world.entry(group, Seq(1)).await.event, EntryEvent::Joined { uids: vec![ann, bob] });
    assert_eq!((world.member(group, ann).await.role, world.member(group, bob).await.role), (Role::Owner, Role::Member));
    assert_eq!(view.me.visible_from, Seq(1));
    for uid in [ann, bob] {
        let items = user_log(&world, uid).await;
        assert!(matches!(items.as_slice(), [UserEvent::Conversation { view }] if view.conversation.id == group));
    }
}

pub async fn creations_are_bounded_per_day_and_kind(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let ports = &world.ports.conversations;
    let limited = |owner| CreateConversation { per_day_max: 2, ..world.creation(owner, "room", &[]) };
    let first = limited(ann);
    let room = ports.create_room(first.clone()).await.expect("create");
    ports.create_room(limited(ann)).await.expect("create a second");
    assert_eq!(code(ports.create_room(limited(ann)).await), Code::QuotaExceeded);
    assert_eq!(ports.create_room(first).await.expect("a retry is no creation"), (room.0, false));
    ports.create_room(limited(bob)).await.expect("everybody has their own");
    ports.create_group(CreateConversation { uids: vec![bob], ..limited(ann) }).await.expect("groups are counted apart");
    let tomorrow = CreateConversation { at: NOW.plus(24 * 60 * 60 * 1_000 + 1), ..limited(ann) };
    ports.create_room(tomorrow).await.expect("create a day later");
}

async fn user_log(world: &World, uid: Uid) -> Vec<UserEvent> {
    let items = world.ports.conversations.user_log(uid, Revision(0), 1_000).await.expect("user log");
    items.into_iter().map(|(_, event)| event).collect()
}

pub async fn a_group_is_made_whole_or_not_at_all(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let revisions = world.ports.messages.revisions().await.expect("revisions");
    let creation = world.creation(ann, "garden", &[Uid(99_999)]);
    assert_eq!(code(world.ports.conversations.create_group(creation).await), Code::NotFound);
    assert_eq!(world.ports.messages.revisions().await.expect("revisions"), revisions, "a refused command takes no number");
}

pub async fn unread_is_counted_from_my_cursor(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let group = world.group(ann, &[bob]).await;
    let first = world.say(group, ann, "1").await;
    world.say(group, ann, "2").await;
    let edit = EntryEvent::Edited { target: first.seq, body: Some(Body::text("one")) };
    world.append(group, ann, edit).await.expect("edit");
    world.say(group, ann, "3").await;
    assert_eq!((world.unread(group, ann).await, world.unread(group, bob).await), (0, 3));
    let mark = |seq: Seq| world.ports.conversations.mark(group, bob, Mark::Read(seq));
    mark(first.seq).await.expect("mark");
    assert_eq!(world.unread(group, bob).await, 2);
    // On the edit: what counts is the messages up to there.
    mark(Seq(first.seq.0 + 2)).await.expect("mark");
    assert_eq!(world.unread(group, bob).await, 1);
    // A recall keeps the message's number, so unread stays arithmetic.
    world.append(group, ann, EntryEvent::Recalled { target: first.seq }).await.expect("recall");
    assert_eq!(world.unread(group, bob).await, 1);
    world.say(group, bob, "mine").await;
    assert_eq!((world.unread(group, bob).await, world.unread(group, ann).await), (0, 1));
}

pub async fn cursors_only_grow(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let group = world.group(ann, &[bob]).await;
    for n in 0..3 {
        world.say(group, ann, &format!("{n}")).await;
    }
    let mark = |mark: Mark| world.ports.conversations.mark(group, bob, mark);
    let delivered = mark(Mark::Delivered(Seq(3))).await.expect("mark");
    assert_eq!((delivered.delivered, delivered.read), (Seq(3), Seq(1)));
    let read = mark(Mark::Read(Seq(1_000))).await.expect("mark");
    assert_eq!((read.read, read.delivered, read.read_count.0), (Seq(4), Seq(4), 3), "above the head is the head");
    let revisions = world.ports.messages.revisions().await.expect("revisions");
    assert_eq!(mark(Mark::Read(Seq(2))).await.expect("mark"), read);
    assert_eq!(mark(Mark::Delivered(Seq(2))).await.expect("mark"), read);
    assert_eq!(world.ports.messages.revisions().await.expect("revisions"), revisions);
    let cid = world.user("cid").await;
    assert_eq!(code(world.ports.conversations.mark(group, cid, Mark::Read(Seq(1))).await), Code::NotMember);
    assert_eq!(code(world.ports.conversations.change_settings(group, cid, SettingsChange::default()).await), Code::NotMember);
}

pub async fn a_removed_member_keeps_the_past(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let group = world.group(ann, &[bob]).await;
    let title = |title: &str| EntryEvent::InfoChanged { title: Some(title.into()), announcement: None, muted_all: None };
    world.append(group, ann, title("then")).await.expect("rename");
    world.say(group, ann, "before").await;
    let removed = world.append(group, ann, EntryEvent::Left { uid: bob }).await.expect("remove");
    world.append(group, ann, title("now")).await.expect("rename");
    world.say(group, ann, "after").await;
    assert_eq!(world.view(group, ann).await.conversation.title, "now");
    let view = world.view(group, bob).await;
    assert_eq!((view.me.visible_to, view.unread), (Some(removed.seq), 1));
    assert_eq!((view.conversation.head, view.conversation.head_revision), (removed.seq, removed.revision));
    assert_eq!(view.conversation.title, "then");
    assert_eq!(view.last.and_then(|last| last.body), Some(Body::text("before")));
    assert_eq!(view.me.revision, removed.revision);
    let read = world.ports.conversations.mark(group, bob, Mark::Read(Seq(100))).await.expect("mark");
    assert_eq!((read.read, world.unread(group, bob).await), (removed.seq, 0));
    assert_eq!(world.view(group, ann).await.conversation.members, 1);
    assert_eq!(code(world.append(group, ann, EntryEvent::Left { uid: bob }).await), Code::NotMember);
}

pub async fn a_member_who_returns_starts_there(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let group = world.group(ann, &[bob]).await;
    let promote = EntryEvent::RoleChanged { uid: bob, role: Role::Admin };
    world.append(group, ann, promote).await.expect("promote");
    world.append(group, ann, EntryEvent::Left { uid: bob }).await.expect("remove");
    world.say(group, ann, "unseen").await;
    let joined = world.append(group, ann, EntryEvent::Joined { uids: vec![bob] }).await.expect("invite");
    let member = world.member(group, bob).await;
    assert_eq!((member.visible_from, member.visible_to, member.role), (joined.seq, None, Role::Member));
    assert_eq!((member.revision, world.unread(group, bob).await), (joined.revision, 0));
    world.say(group, ann, "welcome back").await;
    assert_eq!(world.unread(group, bob).await, 1);
    // Inviting a member changes nothing for them.
    world.append(group, ann, EntryEvent::Joined { uids: vec![bob] }).await.expect("invite again");
    assert_eq!((world.member(group, bob).await, world.view(group, bob).await.conversation.members), (member, 2));
}

pub async fn ownership_passes(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob, cid) = (world.user("ann").await, world.user("bob").await, world.user("cid").await);
    let group = world.group(ann, &[bob]).await;
    let policy = world.policy(group).await;
    world.append(group, ann, EntryEvent::RoleChanged { uid: bob, role: Role::Owner }).await.expect("transfer");
    assert_eq!((world.member(group, ann).await.role, world.member(group, bob).await.role), (Role::Admin, Role::Owner));
    assert_eq!(world.view(group, ann).await.conversation.owner, Some(bob));
    assert!(world.policy(group).await > policy);
    let revisions = world.ports.messages.revisions().await.expect("revisions");
    let stranger = world.append(group, bob, EntryEvent::RoleChanged { uid: cid, role: Role::Owner }).await;
    assert_eq!(code(stranger), Code::NotMember);
    assert_eq!(world.member(group, bob).await.role, Role::Owner, "all or nothing");
    assert_eq!(world.ports.messages.revisions().await.expect("revisions"), revisions);
}

pub async fn titles_and_silence_take_effect(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let group = world.group(ann, &[bob]).await;
    let policy = world.policy(group).await;
    let info = |title: Option<&str>, announcement: Option<&str>, muted_all: Option<bool>| EntryEvent::InfoChanged {
        title: title.map(Into::into),
        announcement: announcement.map(Into::into),
        muted_all,
    };
    world.append(group, ann, info(Some("new"), None, None)).await.expect("rename");
    world.append(group, ann, info(None, Some("read me"), None)).await.expect("announce");
    assert_eq!(world.policy(group).await, policy, "a title is no policy");
    world.append(group, ann, info(None, None, Some(true))).await.expect("mute all");
    let conversation = world.view(group, bob).await.conversation;
    assert_eq!((conversation.title.as_str(), conversation.announcement.as_str(), conversation.muted_all), ("new", "read me", true));
    assert!(conversation.policy_version > policy);
    let silenced = world.append(group, ann, EntryEvent::Silenced { uid: bob, until: NOW.plus(60_000) }).await.expect("silence");
    let member = world.member(group, bob).await;
    assert_eq!((member.silenced_until, member.revision), (NOW.plus(60_000), silenced.revision));
}

pub async fn rooms_are_joined_without_an_entry(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let conversations = &world.ports.conversations;
    let creation = world.creation(ann, "square", &[]);
    let (room, is_new) = conversations.create_room(creation.clone()).await.expect("create");
    assert!(is_new);
    assert_eq!(conversations.create_room(creation).await.expect("create again"), (room, false));
    assert_eq!(world.member(room, ann).await.role, Role::Owner);
    world.say(room, ann, "long ago").await;
    let before = world.view(room, ann).await.conversation;

    let member = conversations.join_room(room, bob, NOW).await.expect("join");
    assert_eq!((member.visible_from, world.unread(room, bob).await), (Seq(1), 0));
    assert_eq!(conversations.join_room(room, bob, NOW).await.expect("join again"), member);
    let after = world.view(room, ann).await.conversation;
    assert_eq!((after.head, after.policy_version, after.members), (before.head, before.policy_version, 2));
    world.say(room, ann, "now").await;
    assert_eq!(world.unread(room, bob).await, 1);
    assert_eq!(world.member(room, bob).await, member, "an append touches no row but its author's");
    assert_eq!(conversations.rooms_of(bob).await.expect("rooms"), [room]);
    assert!(conversations.snapshot(room).await.expect("snapshot").expect("exists").members.is_empty());

    let left = conversations.leave_room(room, bob).await.expect("leave");
    assert_eq!(left.visible_to, Some(Seq(2)));
    assert_eq!(conversations.leave_room(room, bob).await.expect("leave again"), left);
    assert_eq!(conversations.rooms_of(bob).await.expect("rooms"), []);
    world.say(room, ann, "missed").await;
    conversations.join_room(room, bob, NOW).await.expect("come back");
    assert_eq!((world.unread(room, bob).await, world.member(room, bob).await.visible_to), (0, None));
    assert_eq!(world.view(room, bob).await.conversation.members, 2);

    let group = world.group(ann, &[]).await;
    assert_eq!(code(conversations.join_room(group, bob, NOW).await), Code::NotFound);
    let cid = world.user("cid").await;
    assert_eq!(code(conversations.leave_room(room, cid).await), Code::NotMember);
}

pub async fn the_directory_pages_backwards(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let mut rooms = Vec::new();
    for _ in 0..5 {
        rooms.push(world.room(ann).await);
        world.group(ann, &[]).await;
    }
    rooms.reverse();
    let page = async |before: Option<ConversationId>| {
        let page = world.ports.conversations.rooms(before, 3).await.expect("rooms");
        page.into_iter().map(|room| room.conversation).collect::<Vec<_>>()
    };
    assert_eq!(page(None).await, rooms[..3]);
    assert_eq!(page(Some(rooms[2])).await, rooms[3..]);
}

pub async fn members_page_with_their_nicknames(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let uids = world.users(5).await;
    let group = world.group(uids[0], &uids[1..]).await;
    world.append(group, uids[0], EntryEvent::Left { uid: uids[2] }).await.expect("remove");
    let page = async |after: Uid| {
        let page = world.ports.conversations.members(group, after, 2).await.expect("members");
        page.into_iter().map(|(member, nickname)| (member.uid, nickname)).collect::<Vec<_>>()
    };
    assert_eq!(page(Uid(0)).await, [(uids[0], "user0".into()), (uids[1], "user1".into())]);
    assert_eq!(page(uids[1]).await, [(uids[3], "user3".into()), (uids[4], "user4".into())]);
    assert_eq!(page(uids[4]).await, []);
}

pub async fn settings_reach_my_other_devices(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let group = world.group(ann, &[bob]).await;
    let before = world.member(group, bob).await;
    let change = SettingsChange { pinned: Some(true), muted: None, draft: Some("dear".into()) };
    let member = world.ports.conversations.change_settings(group, bob, change).await.expect("change");
    assert_eq!((member.pinned, member.muted, member.draft.as_str()), (true, false, "dear"));
    assert!(member.revision > before.revision);
    let told = world.records().await.into_iter().any(|record| match record.event {
        LogEvent::User { uid, event: UserEvent::Membership { member: told, .. } } => uid == bob && told == member,
        _ => false,
    });
    assert!(told);
}

pub async fn sync_finds_what_changed_and_only_that(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let mut groups = Vec::new();
    for _ in 0..4 {
        groups.push(world.group(ann, &[bob]).await);
    }
    assert_eq!(changed(&world, bob, &beginning(&world)).await, groups);
    let cursor = world.ports.messages.revisions().await.expect("revisions");
    assert_eq!(changed(&world, bob, &cursor).await, []);
    world.say(groups[2], ann, "hi").await;
    world
        .ports
        .conversations
        .change_settings(groups[0], bob, SettingsChange { pinned: Some(true), ..Default::default() })
        .await
        .expect("pin");
    assert_eq!(changed(&world, bob, &cursor).await, [groups[0], groups[2]]);
    assert_eq!(changed(&world, ann, &cursor).await, [groups[2]]);

    world.append(groups[1], ann, EntryEvent::Left { uid: bob }).await.expect("remove");
    assert_eq!(changed(&world, bob, &cursor).await, [groups[0], groups[1], groups[2]]);
    let cursor = world.ports.messages.revisions().await.expect("revisions");
    world.say(groups[1], ann, "not for bob").await;
    assert_eq!(changed(&world, bob, &cursor).await, [], "a former member hears nothing more");
}

fn beginning(world: &World) -> Vec<Revision> {
    vec![Revision(0); world.ports.messages.shards().into()]
}

/// Everything above the cursor, in pages of one.
async fn changed(world: &World, uid: Uid, cursor: &[Revision]) -> Vec<ConversationId> {
    let mut found = Vec::new();
    for (shard, after) in cursor.iter().enumerate() {
        let mut above = ConversationId(0);
        loop {
            let page = world.ports.conversations.changed(uid, Shard(shard as u16), *after, above, 1).await.expect("changed");
            let Some(view) = page.first() else { break };
            assert_eq!((page.len(), view.conversation.shard), (1, Shard(shard as u16)));
            above = view.conversation.id;
            found.push(above);
        }
    }
    found.sort();
    found
}

pub async fn the_user_log_holds_each_subject_once(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    world.befriend(ann, bob).await;
    let items = user_log(&world, bob).await;
    let kinds = |items: &[UserEvent]| {
        let kind = |item: &UserEvent| match item {
            UserEvent::Request { .. } => "request",
            UserEvent::Friend { .. } => "friend",
            UserEvent::Membership { .. } => "membership",
            UserEvent::Profile { .. } => "profile",
            UserEvent::Conversation { .. } => "conversation",
        };
        let mut kinds: Vec<_> = items.iter().map(kind).collect();
        kinds.sort_unstable();
        kinds
    };
    assert_eq!(kinds(&items), ["conversation", "friend", "request"]);
    for remark in ["b", "bobby", "robert"] {
        world.ports.contacts.change_remark(ann, bob, remark.into()).await.expect("remark");
    }
    let direct = world.ports.conversations.open_direct(ann, bob, NOW).await.expect("open");
    world.append(direct, bob, message("hi")).await.expect("say");
    world.ports.conversations.mark(direct, ann, Mark::Read(Seq(1))).await.expect("mark");
    let items = user_log(&world, ann).await;
    assert_eq!(kinds(&items), ["conversation", "friend", "request"], "cursors come with the conversation");
    assert!(items.iter().any(|item| matches!(item, UserEvent::Friend { friend } if friend.remark == "robert")));
    let last = world.ports.conversations.user_log(ann, Revision(0), 1_000).await.expect("user log").pop().expect("items").0;
    assert_eq!(world.ports.conversations.user_log(ann, last, 1_000).await.expect("user log"), []);
}
