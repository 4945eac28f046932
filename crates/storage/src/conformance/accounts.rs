//! What an [`skein_domain::port::AccountStore`] must keep.

use super::world::{NOW, code};
use super::{Backend, World};
use skein_domain::Code;
use skein_domain::account::{DeviceClass, ProfileChange, SecretHash, Session, UserRole};
use skein_domain::delivery::UserEvent;
use skein_domain::id::{Millis, Revision, SessionId, Uid};
use skein_domain::port::{Audit, NewSession, NewUser, WhichSessions};

const DAY_MS: i64 = 86_400_000;

fn new_session(uid: Uid, class: DeviceClass, secret: u8) -> NewSession {
    NewSession { uid, class, secret: SecretHash([secret; 32]), client: "test".into(), at: NOW, expires_at: NOW.plus(DAY_MS) }
}

fn audit(act: &str) -> Audit {
    Audit { at: NOW, actor: "admin.sock".into(), act: act.into(), subject: "1".into(), detail: String::new() }
}

fn ids(sessions: &[Session]) -> Vec<SessionId> {
    let mut ids: Vec<_> = sessions.iter().map(|session| session.id).collect();
    ids.sort();
    ids
}

async fn open(world: &World, uid: Uid, class: DeviceClass, secret: u8) -> (Session, Vec<Session>) {
    world.ports.accounts.open_session(new_session(uid, class, secret)).await.expect("open session")
}

pub async fn an_address_has_one_account(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let twin = NewUser { email: "ann@example.org".into(), nickname: "other".into(), password_hash: "x".into(), at: NOW };
    assert_eq!(code(world.ports.accounts.create_user(twin).await), Code::UserExists);
    let user = world.ports.accounts.user_by_email("ann@example.org").await.expect("find").expect("exists");
    assert_eq!((user.uid, user.nickname.as_str(), user.role, user.disabled), (ann, "ann", UserRole::User, false));
    assert_eq!(world.ports.accounts.user_by_email("ANN@example.org").await.expect("find"), None, "addresses compare exactly");
    assert!(!world.ports.accounts.rehash(ann, "stale", "new".into()).await.expect("rehash"));
    assert!(world.ports.accounts.rehash(ann, "hash", "new".into()).await.expect("rehash"));
    assert_eq!(world.ports.accounts.user(ann).await.expect("user").expect("exists").password_hash, "new");
    world.ports.accounts.set_role(ann, UserRole::Admin, audit("set_role")).await.expect("set role");
    assert_eq!(world.ports.accounts.users(Uid(0), 10).await.expect("users")[0].role, UserRole::Admin);
}

pub async fn sessions_are_limited_per_class(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let (first, ended) = open(&world, ann, DeviceClass::Desktop, 1).await;
    assert!(ended.is_empty());
    let (mobile, _) = open(&world, ann, DeviceClass::Mobile, 2).await;
    open(&world, bob, DeviceClass::Desktop, 3).await;
    let (second, ended) = open(&world, ann, DeviceClass::Desktop, 4).await;
    assert_eq!(ended, [first]);
    assert_eq!(ids(&world.ports.accounts.sessions(ann, NOW).await.expect("sessions")), [mobile.id, second.id]);

    let mut bots = Vec::new();
    for n in 0..DeviceClass::CLI_SESSIONS_MAX as u8 {
        let (session, ended) = open(&world, bob, DeviceClass::Cli, 100 + n).await;
        assert!(ended.is_empty());
        bots.push(session);
    }
    assert_eq!(open(&world, bob, DeviceClass::Cli, 200).await.1, [bots[0].clone()], "the oldest goes");
}

pub async fn an_ended_or_expired_session_is_not_live(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let accounts = &world.ports.accounts;
    let (session, _) = open(&world, ann, DeviceClass::Web, 1).await;
    let secret = SecretHash([1; 32]);
    assert_eq!(accounts.session_by_secret(secret, NOW).await.expect("find"), Some(session.clone()));
    assert_eq!(accounts.session_by_secret(SecretHash([2; 32]), NOW).await.expect("find"), None);
    let late = NOW.plus(DAY_MS);
    assert_eq!(accounts.session(session.id, late).await.expect("find"), None);
    accounts.renew_session(session.id, late, late.plus(DAY_MS)).await.expect("renew");
    let renewed = accounts.session(session.id, late).await.expect("find").expect("live again");
    assert_eq!((renewed.seen_at, renewed.expires_at), (late, late.plus(DAY_MS)));

    assert_eq!(ids(&accounts.end_sessions(ann, WhichSessions::One(session.id)).await.expect("end")), [session.id]);
    assert_eq!(accounts.end_sessions(ann, WhichSessions::One(session.id)).await.expect("end again"), []);
    assert_eq!(accounts.session_by_secret(secret, NOW).await.expect("find"), None);
    let bob = world.user("bob").await;
    let (of_bob, _) = open(&world, bob, DeviceClass::Web, 5).await;
    assert_eq!(accounts.end_sessions(ann, WhichSessions::One(of_bob.id)).await.expect("end"), [], "only my own");
    assert_eq!(accounts.purge_sessions(late.plus(1)).await.expect("purge"), 1);
    assert_eq!(accounts.session(of_bob.id, NOW).await.expect("find"), None);
}

pub async fn a_new_password_ends_the_other_sessions(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let (desktop, _) = open(&world, ann, DeviceClass::Desktop, 1).await;
    let (web, _) = open(&world, ann, DeviceClass::Web, 2).await;
    let ended = world.ports.accounts.set_password(ann, "new".into(), Some(web.id), None).await.expect("set password");
    assert_eq!(ids(&ended), [desktop.id]);
    assert_eq!(ids(&world.ports.accounts.sessions(ann, NOW).await.expect("sessions")), [web.id]);
    let ended = world.ports.accounts.set_password(ann, "newer".into(), None, Some(audit("set_password"))).await.expect("set password");
    assert_eq!(ids(&ended), [web.id]);
    assert_eq!(world.ports.accounts.user(ann).await.expect("user").expect("exists").password_hash, "newer");
    let nobody = Uid(99_999);
    assert_eq!(code(world.ports.accounts.set_password(nobody, "x".into(), None, Some(audit("in vain"))).await), Code::NotFound);
    let audits = world.ports.accounts.audits(10).await.expect("audits");
    assert_eq!(audits.iter().map(|audit| audit.act.as_str()).collect::<Vec<_>>(), ["set_password"], "what was done, and nothing else");
}

pub async fn a_disabled_user_has_no_sessions(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let accounts = &world.ports.accounts;
    let (session, _) = open(&world, ann, DeviceClass::Desktop, 1).await;
    assert_eq!(ids(&accounts.set_disabled(ann, true, audit("disable")).await.expect("disable")), [session.id]);
    assert_eq!(code(accounts.open_session(new_session(ann, DeviceClass::Web, 2)).await), Code::Disabled);
    assert_eq!(accounts.profiles(&[ann]).await.expect("profiles"), []);
    assert_eq!(accounts.profiles_by_nickname("ann", None, 10).await.expect("search"), []);
    accounts.set_disabled(ann, false, audit("enable")).await.expect("enable");
    open(&world, ann, DeviceClass::Web, 2).await;
    assert_eq!(accounts.profiles(&[Uid(99_999), ann]).await.expect("profiles").len(), 1);
    let acts: Vec<_> = accounts.audits(10).await.expect("audits").into_iter().map(|audit| audit.act).collect();
    assert_eq!(acts, ["enable", "disable"]);
}

pub async fn nicknames_are_found_by_prefix(backend: &dyn Backend) {
    let world = World::on(backend).await;
    for name in ["Anna", "annabel", "ANN", "bob", "李雷", "李雷雷", "an%"] {
        world.user(name).await;
    }
    let search = async |prefix: &str| {
        let found = world.ports.accounts.profiles_by_nickname(prefix, None, 20).await.expect("search");
        found.into_iter().map(|profile| profile.nickname).collect::<Vec<_>>()
    };
    assert_eq!(search("ann").await, ["ANN", "Anna", "annabel"]);
    assert_eq!(search("李雷").await, ["李雷", "李雷雷"]);
    assert_eq!(search("an%").await, ["an%"]);
    assert_eq!(search("x").await, Vec::<String>::new());

    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = world.ports.accounts.profiles_by_nickname("ann", after.take(), 1).await.expect("search");
        let Some(profile) = page.into_iter().next() else { break };
        assert_eq!(profile.email, None);
        after = Some((skein_domain::port::fold_nickname(&profile.nickname), profile.uid));
        paged.push(profile.nickname);
    }
    assert_eq!(paged, ["ANN", "Anna", "annabel"]);
}

pub async fn a_changed_profile_reaches_friends(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob, cid) = (world.user("ann").await, world.user("bob").await, world.user("cid").await);
    world.befriend(ann, bob).await;
    let mut before = Vec::new();
    for uid in [ann, bob, cid] {
        before.push(
            world.ports.conversations.user_log(uid, Revision(0), 100).await.expect("user log").last().map_or(Revision(0), |item| item.0),
        );
    }
    let change = ProfileChange { nickname: Some("Anne".into()), signature: None, findable_by_email: Some(false) };
    let profile = world.ports.accounts.change_profile(ann, change).await.expect("change");
    assert_eq!((profile.nickname.as_str(), profile.email.as_deref(), profile.findable_by_email), ("Anne", Some("ann@example.org"), false));
    let news = async |uid: Uid, after: Revision| {
        let items = world.ports.conversations.user_log(uid, after, 100).await.expect("user log");
        items.into_iter().map(|(_, item)| item).collect::<Vec<_>>()
    };
    assert_eq!(news(ann, before[0]).await, [UserEvent::Profile { profile }]);
    assert!(matches!(news(bob, before[1]).await.as_slice(), [UserEvent::Friend { friend }] if friend.nickname == "Anne"));
    assert_eq!(news(cid, before[2]).await, []);
    assert_eq!(world.ports.accounts.profiles_by_nickname("anne", None, 5).await.expect("search").len(), 1);
}

pub async fn audits_are_kept_newest_first(backend: &dyn Backend) {
    let world = World::on(backend).await;
    for act in ["one", "two", "three"] {
        world.ports.accounts.audit(audit(act)).await.expect("audit");
    }
    let world = world.reopened(backend).await;
    assert_eq!(world.ports.accounts.audits(2).await.expect("audits"), [audit("three"), audit("two")]);
}

pub async fn session_ids_are_never_used_again(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let ann = world.user("ann").await;
    let (first, _) = open(&world, ann, DeviceClass::Web, 1).await;
    world.ports.accounts.end_sessions(ann, WhichSessions::All).await.expect("end");
    world.ports.accounts.purge_sessions(Millis(i64::MAX)).await.expect("purge");
    let world = world.reopened(backend).await;
    assert!(open(&world, ann, DeviceClass::Web, 2).await.0.id > first.id);
}
