//! What a [`PushStore`](skein_domain::port::PushStore) must keep.

use super::Backend;
use super::world::{NOW, World, code, key};
use skein_domain::Code;
use skein_domain::conversation::{Kind, Role};
use skein_domain::delivery::UserEvent;
use skein_domain::id::{Millis, Revision, Uid};
use skein_domain::live::{LiveMessage, Priority, PushRequest, PushRoute, PushTarget, RoomName, Scope};
use skein_domain::port::{AcceptedPush, ApiKey, Audit, NewApiKey, PUSH_KEY_KEPT_MS, Remembered, ScheduledPush};

fn audit(act: &str) -> Audit {
    Audit { at: NOW, actor: "test".into(), act: act.into(), subject: String::new(), detail: String::new() }
}

async fn api_key(world: &World, app: &str, hash: u8) -> ApiKey {
    let scope = Scope { routes: vec![PushRoute::Room, PushRoute::Read], rooms: vec!["live://".into()] };
    let new = NewApiKey { app: app.into(), hash: [hash; 32], scope, per_second: 5, at: NOW, audit: audit("create_key") };
    world.ports.pushes.create_key(new).await.expect("create key")
}

fn waiting(app: Uid, push: &str, due: i64) -> ScheduledPush {
    let message = LiveMessage { operation: 1000, body: vec![0, 255] };
    let target = PushTarget::Room(RoomName::parse("live://1").expect("good name"));
    let request = PushRequest {
        target,
        message,
        durable: false,
        key: None,
        not_before: Some(Millis(due)),
        ttl_ms: Some(5),
        priority: Priority::Urgent,
        dry_run: false,
    };
    ScheduledPush { push: push.into(), app, request, due: Millis(due), expires: Some(Millis(due + 5)) }
}

fn accepted(app: Uid, push: &str) -> AcceptedPush {
    AcceptedPush { push: push.into(), app, key: None, schedule: None, waiting_max: 10, at: NOW }
}

pub async fn an_app_is_made_once_and_is_nobody_to_log_in_or_talk_to(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (first, second) = (api_key(&world, "news", 1).await, api_key(&world, "news", 2).await);
    assert_eq!((first.app, first.name.as_str(), first.revoked_at), (second.app, "news", None));
    assert!(first.id != second.id && api_key(&world, "other", 3).await.app != first.app);
    assert_eq!(world.ports.pushes.key_by_hash([1; 32]).await.expect("key"), Some(first.clone()));
    assert_eq!(world.ports.pushes.key_by_hash([9; 32]).await.expect("key"), None);

    let user = world.ports.accounts.user(first.app).await.expect("user").expect("an app is a user");
    assert_eq!((user.nickname.as_str(), user.password_hash.as_str()), ("news", ""));
    assert!(!user.email.contains('@'), "no mail ever reaches it");
    assert_eq!(world.ports.accounts.profiles_by_nickname("news", None, 10).await.expect("search"), []);
    let ann = world.user("ann").await;
    assert_eq!(code(world.ports.conversations.open_direct(ann, first.app, NOW).await), Code::NotAccepted);
}

pub async fn a_revoked_key_stays_revoked(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (one, two) = (api_key(&world, "news", 1).await, api_key(&world, "news", 2).await);
    let later = Audit { at: NOW.plus(9), ..audit("revoke_key") };
    world.ports.pushes.revoke_key(one.id, audit("revoke_key")).await.expect("revoke");
    world.ports.pushes.revoke_key(one.id, later).await.expect("revoke again");
    assert_eq!(code(world.ports.pushes.revoke_key(99, audit("revoke_key")).await), Code::NotFound);
    let world = world.reopened(backend).await;
    let revoked = ApiKey { revoked_at: Some(NOW), ..one };
    assert_eq!(world.ports.pushes.key_by_hash([1; 32]).await.expect("key"), Some(revoked.clone()));
    assert_eq!(world.ports.pushes.keys().await.expect("keys"), [revoked, two]);
    let acts: Vec<String> = world.ports.accounts.audits(10).await.expect("audits").into_iter().map(|audit| audit.act).collect();
    assert_eq!(acts, ["revoke_key", "revoke_key", "create_key", "create_key"]);
}

pub async fn a_live_room_is_bound_to_one_chat_room(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let bo = world.user("bo").await;
    let (one, two, group) = (world.room(ann).await, world.room(ann).await, world.group(ann, &[bo]).await);
    let name = RoomName::parse("live://1000").expect("good name");
    let bind = async |to| world.ports.pushes.bind_room(&name, to, audit("bind_room")).await;
    let bound = async || world.ports.pushes.bound_room(&name).await.expect("bound");
    assert_eq!(bound().await, None);
    bind(Some(one)).await.expect("bind");
    bind(Some(two)).await.expect("bind elsewhere");
    assert_eq!(bound().await, Some(two));
    assert_eq!(world.ports.pushes.bindings().await.expect("bindings"), [(name.clone(), two)]);
    assert_eq!(code(bind(Some(group)).await), Code::NotFound, "a group is no room");
    assert_eq!(bound().await, Some(two));
    bind(None).await.expect("unbind");
    bind(None).await.expect("unbind again");
    assert_eq!(bound().await, None);
    assert_eq!(world.ports.accounts.audits(10).await.expect("audits").len(), 4, "refused acts leave no row");
}

pub async fn tags_are_replaced(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let set = async |uid, tags: &[&str]| {
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        world.ports.pushes.set_tags(uid, &tags, audit("set_tags")).await
    };
    set(ann, &["vip", "beta", "vip"]).await.expect("set");
    assert_eq!(world.ports.pushes.tags(ann).await.expect("tags"), ["beta", "vip"]);
    set(ann, &["new"]).await.expect("set");
    assert_eq!(world.ports.pushes.tags(ann).await.expect("tags"), ["new"]);
    assert_eq!(code(set(Uid(99), &["x"]).await), Code::NotFound);
}

pub async fn a_notice_conversation_is_made_once(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let app = api_key(&world, "news", 1).await.app;
    let (ann, bo) = (world.user("ann").await, world.user("bo").await);
    let open = async |app, uid| world.ports.pushes.open_notice(app, uid, NOW).await;
    let notice = open(app, ann).await.expect("open");
    assert_eq!(open(app, ann).await.expect("open again"), notice);
    assert_ne!(open(app, bo).await.expect("open another"), notice);
    assert_eq!(code(open(app, Uid(99)).await), Code::NotFound);
    assert_eq!(code(open(ann, bo).await), Code::NotFound, "a person is no app");

    let view = world.view(notice, ann).await;
    assert_eq!((view.conversation.kind, view.conversation.title.as_str()), (Kind::Notice, "news"));
    assert_eq!((view.conversation.owner, view.peer, view.me.role), (Some(app), Some(app), Role::Member));
    assert_eq!(world.member(notice, app).await.role, Role::Owner);
    let log = world.ports.conversations.user_log(ann, Revision(0), 10).await.expect("log");
    assert!(log.iter().any(|(_, event)| matches!(event, UserEvent::Conversation { view } if view.conversation.id == notice)));
    let said = world.say(notice, app, "hello").await;
    assert_eq!((said.seq.0, world.unread(notice, ann).await), (1, 1));
}

pub async fn a_key_answers_the_first_push_for_a_day(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (news, other) = (api_key(&world, "news", 1).await.app, api_key(&world, "other", 2).await.app);
    let accept = async |app, push: &str, digest: u8, at| {
        let push = AcceptedPush { key: Some((key("k"), [digest; 32])), at, ..accepted(app, push) };
        world.ports.pushes.accept(push).await
    };
    let last_moment = NOW.plus(PUSH_KEY_KEPT_MS - 1);
    assert_eq!(accept(news, "p1", 1, NOW).await.expect("first"), Remembered::New);
    assert_eq!(accept(news, "p2", 1, last_moment).await.expect("again"), Remembered::Before("p1".into()));
    assert_eq!(code(accept(news, "p3", 2, NOW).await), Code::IdempotencyConflict);
    assert_eq!(accept(other, "p4", 2, NOW).await.expect("another app's"), Remembered::New);
    world.ports.pushes.forget(other, &key("k")).await.expect("forget");
    assert_eq!(accept(other, "p4b", 3, NOW).await.expect("free again"), Remembered::New);
    assert_eq!(accept(news, "p5", 2, NOW.plus(PUSH_KEY_KEPT_MS)).await.expect("a day later"), Remembered::New);
    assert_eq!(accept(news, "p6", 2, last_moment).await.expect("again"), Remembered::Before("p5".into()));
}

pub async fn waiting_pushes_come_due_in_order(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let app = api_key(&world, "news", 1).await.app;
    for (push, due) in [("p1", 300), ("p2", 100), ("p3", 200)] {
        let keyed = Some((key(push), [1; 32]));
        let push = AcceptedPush { key: keyed, schedule: Some(waiting(app, push, due)), ..accepted(app, push) };
        assert_eq!(world.ports.pushes.accept(push.clone()).await.expect("accept"), Remembered::New);
        let again = world.ports.pushes.accept(push.clone()).await.expect("accept again");
        assert_eq!(again, Remembered::Before(push.push));
    }
    let world = world.reopened(backend).await;
    let pushes = &world.ports.pushes;
    assert_eq!(pushes.next_due().await.expect("next"), Some(Millis(100)));
    assert_eq!(pushes.due(Millis(99), 10).await.expect("due"), []);
    assert_eq!(pushes.due(Millis(200), 10).await.expect("due"), [waiting(app, "p2", 100), waiting(app, "p3", 200)]);
    assert_eq!(pushes.due(Millis(300), 1).await.expect("due"), [waiting(app, "p2", 100)]);
    assert_eq!(pushes.scheduled(&"p1".to_owned()).await.expect("scheduled"), Some(waiting(app, "p1", 300)));
    let put_off = async |push: &str, was, to| pushes.put_off(&push.to_owned(), Millis(was), Millis(to)).await.expect("put off");
    assert!(put_off("p2", 100, 250).await);
    assert!(!put_off("p2", 100, 270).await, "one of two nodes that found it due has it");
    assert!(!put_off("p9", 50, 60).await, "it does not wait");
    assert_eq!(pushes.next_due().await.expect("next"), Some(Millis(200)));
    let put_off = ScheduledPush { due: Millis(250), ..waiting(app, "p2", 100) };
    assert_eq!(pushes.due(Millis(250), 10).await.expect("due"), [waiting(app, "p3", 200), put_off]);
    for push in ["p1", "p2", "p3", "p3"] {
        pushes.unschedule(&push.to_owned()).await.expect("unschedule");
    }
    assert_eq!(pushes.next_due().await.expect("next"), None);
    assert_eq!(pushes.scheduled(&"p1".to_owned()).await.expect("scheduled"), None);
}

pub async fn waiting_pushes_are_bounded_per_app(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (news, other) = (api_key(&world, "news", 1).await.app, api_key(&world, "other", 2).await.app);
    let schedule = async |app, push: &str| {
        let (keyed, schedule) = (Some((key(push), [1; 32])), Some(waiting(app, push, 100)));
        world.ports.pushes.accept(AcceptedPush { key: keyed, schedule, waiting_max: 1, ..accepted(app, push) }).await
    };
    schedule(news, "p1").await.expect("first");
    assert_eq!(code(schedule(news, "p2").await), Code::QuotaExceeded);
    schedule(other, "p3").await.expect("another app's");
    world.ports.pushes.unschedule(&"p1".to_owned()).await.expect("unschedule");
    assert_eq!(schedule(news, "p2").await.expect("room again"), Remembered::New, "what was refused is not remembered");
}
