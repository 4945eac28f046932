//! Who may push: API keys with scopes and rates, the open routes, the operator; and what others learn of a push.

use crate::push_world::*;
use crate::world::{Setting, World, code};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use skein_domain::Code;
use skein_domain::account::{DeviceClass, SecretHash};
use skein_domain::door::{Connect, Credential, Logic};
use skein_domain::id::{Generation, NodeId};
use skein_domain::live::*;
use skein_domain::port::{AccountStore, Clock, NewSession};
use skein_logic::push::Goim;

#[tokio::test]
async fn a_key_may_what_its_scope_says() {
    let world = World::new().await;
    let (pusher, _) = key_for(&world, "news", &[PushRoute::Room, PushRoute::Verify], &["live://"], 1_000).await;
    push(&world, &pusher, to_room("live://1", "x")).await.unwrap();
    assert_eq!(code(push(&world, &pusher, to_room("chat://1", "x")).await), Code::Forbidden);
    assert_eq!(code(push(&world, &pusher, to(PushTarget::Mids(vec![Mid(1)]), "x")).await), Code::Forbidden);
    assert_eq!(code(push(&world, &pusher, to(PushTarget::All(Audience::default()), "x")).await), Code::Forbidden);
    assert_eq!(code(ask(&world, &pusher, PushCommand::Total).await), Code::Forbidden);
    let authorize = |route| ask(&world, &pusher, PushCommand::Authorize { route });
    assert_eq!(authorize(PushRoute::Verify).await.unwrap(), PushReply::Authorized);
    assert_eq!(code(authorize(PushRoute::All).await), Code::Forbidden);
}

#[tokio::test]
async fn a_revoked_or_unknown_key_is_nobodys_and_guessing_is_slowed_down() {
    let world = World::new().await;
    let (pusher, key) = key(&world, "news").await;
    push(&world, &pusher, to_room("live://1", "x")).await.unwrap();
    world.logic.push_admin().revoke_key(key.id, "test").await.unwrap();
    assert_eq!(code(push(&world, &pusher, to_room("live://1", "x")).await), Code::Unauthorized, "at once");
    let acts: Vec<String> = world.store.store.audits(10).await.unwrap().into_iter().map(|audit| audit.act).collect();
    assert_eq!(acts, ["revoke_api_key", "create_api_key"]);
    let mut codes = Vec::new();
    for guess in ["", "x", "sk_live_00000000000000000000000000000000000000000"].into_iter().cycle().take(30) {
        codes.push(code(push(&world, &Pusher::ApiKey(guess.to_owned()), to_room("live://1", "x")).await));
    }
    assert_eq!(codes.first(), Some(&Code::Unauthorized));
    assert_eq!(codes.last(), Some(&Code::RateLimited));
}

#[tokio::test]
async fn each_push_of_a_batch_counts_and_has_its_own_outcome() {
    let world = World::new().await;
    let (pusher, _) = key_for(&world, "news", &PushRoute::ALL, &[], 3).await;
    let too_big = to_room("live://1", &"x".repeat(64 * 1024 + 1));
    let requests = vec![to_room("live://1", "a"), too_big, to_room("live://1", "b"), to_room("live://1", "c"), to_room("live://1", "d")];
    let outcomes = push_all(&world, &pusher, requests).await.unwrap();
    let codes: Vec<Option<Code>> = outcomes
        .iter()
        .map(|outcome| match outcome {
            PushOutcome::Accepted { .. } => None,
            PushOutcome::Refused { error } => Some(error.code),
        })
        .collect();
    assert_eq!(codes[..3], [None, Some(Code::TooLarge), None]);
    assert_eq!(codes[4], Some(Code::RateLimited));
    let (other, _) = key(&world, "other").await;
    push(&world, &other, to_room("live://1", "x")).await.unwrap();
    assert_eq!(code(push_all(&world, &other, Vec::new()).await), Code::BadRequest);
    assert_eq!(code(push_all(&world, &other, vec![to_room("live://1", "x"); REQUESTS_MAX + 1]).await), Code::TooLarge);
}

#[tokio::test]
async fn the_open_routes_are_closed_until_the_operator_opens_them() {
    let world = World::new().await;
    assert_eq!(code(push(&world, &Pusher::Open, to_room("live://1", "x")).await), Code::Unauthorized);
    push(&world, &Pusher::Operator, to_room("live://1", "x")).await.unwrap();
    let open = World::with(Setting { goim: Goim { open_push: true, ..Goim::default() }, ..Setting::default() }).await;
    let (id, ..) = push(&open, &Pusher::Open, to_room("live://1", "x")).await.unwrap();
    receipt(&open, &Pusher::Open, &id).await.unwrap();
    let [ann] = open.people().await;
    for nobody in [Pusher::Open, Pusher::Operator] {
        assert_eq!(code(push(&open, &nobody, kept(&[ann], "x")).await), Code::Forbidden, "a durable push has an author");
    }
}

#[tokio::test]
async fn a_receipt_is_for_the_app_that_pushed_and_for_ten_minutes() {
    let world = World::new().await;
    let (news, other) = (key(&world, "news").await.0, key(&world, "other").await.0);
    let again = key(&world, "news").await.0;
    let (id, ..) = push(&world, &news, to_room("live://1", "x")).await.unwrap();
    assert_eq!(receipt(&world, &again, &id).await.unwrap().push, id, "another key of the same app");
    assert_eq!(code(receipt(&world, &other, &id).await), Code::NotFound);
    assert_eq!(code(receipt(&world, &Pusher::Operator, &id).await), Code::NotFound);
    assert_eq!(code(receipt(&world, &news, &"no id".to_owned()).await), Code::NotFound);
    world.clock.advance(600_000);
    assert_eq!(code(receipt(&world, &news, &id).await), Code::NotFound);
}

#[tokio::test]
async fn what_an_administrator_sets_is_judged() {
    let world = World::new().await;
    let admin = world.logic.push_admin();
    let create = async |app: &str, scope: Scope, per_second| code(admin.create_key(app, scope, per_second, "test").await.map(|_| ()));
    let all = || Scope { routes: PushRoute::ALL.to_vec(), rooms: vec![] };
    assert_eq!(create("", all(), 1).await, Code::BadRequest);
    assert_eq!(create("app", all(), 0).await, Code::BadRequest);
    assert_eq!(create("app", Scope::default(), 1).await, Code::BadRequest);
    assert_eq!(create("app", Scope { rooms: vec![String::new()], ..all() }, 1).await, Code::BadRequest);
    assert!(admin.keys().await.unwrap().is_empty());
    let [ann] = world.people().await;
    assert_eq!(code(admin.set_tags(ann, &["x".repeat(65)], "test").await), Code::BadRequest);
    admin.set_tags(ann, &["beta".into()], "test").await.unwrap();
    assert_eq!(admin.tags(ann).await.unwrap(), ["beta"]);
    assert_eq!(code(admin.bind_room(&room("live://1"), Some(skein_domain::id::ConversationId(99)), "test").await), Code::NotFound);
}

#[tokio::test]
async fn the_tags_of_an_account_reach_its_next_connection() {
    let world = World::new().await;
    let [ann] = world.people().await;
    let secret = [7u8; 32];
    let session = NewSession {
        uid: ann,
        class: DeviceClass::Web,
        secret: SecretHash(Sha256::digest(secret).into()),
        client: "test".into(),
        at: world.clock.now(),
        expires_at: world.clock.now().plus(60_000),
    };
    world.store.store.open_session(session).await.unwrap();
    let connect = async |generation| {
        let credential = Credential::Token(URL_SAFE_NO_PAD.encode(secret));
        let (client, address) = ("test".to_owned(), "192.0.2.1".to_owned());
        let connect = Connect { credential, node: NodeId("a".into()), generation: Generation(generation), client, address };
        world.logic.connect(connect).await.unwrap().tags
    };
    assert!(connect(1).await.is_empty());
    world.logic.push_admin().set_tags(ann, &["vip".into(), "beta".into()], "test").await.unwrap();
    assert_eq!(connect(2).await, ["beta", "vip"]);
}
