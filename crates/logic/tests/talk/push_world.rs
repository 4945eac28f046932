//! Words for tests of the push platform.

use crate::world::World;
use skein_domain::Result;
use skein_domain::delivery::{Push, Target};
use skein_domain::door::{Logic, Origin};
use skein_domain::id::{Generation, IdempotencyKey, NodeId, Uid};
use skein_domain::live::*;
use skein_domain::port::ApiKey;

pub fn from() -> Origin {
    Origin { address: "192.0.2.7:4711".into() }
}

/// A key that may do everything.
pub async fn key(world: &World, app: &str) -> (Pusher, ApiKey) {
    key_for(world, app, &PushRoute::ALL, &[], 1_000_000).await
}

pub async fn key_for(world: &World, app: &str, routes: &[PushRoute], rooms: &[&str], per_second: u32) -> (Pusher, ApiKey) {
    let scope = Scope { routes: routes.to_vec(), rooms: rooms.iter().map(|room| (*room).to_owned()).collect() };
    let (secret, key) = world.logic.push_admin().create_key(app, scope, per_second, "test").await.unwrap();
    (Pusher::ApiKey(secret), key)
}

pub fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

pub fn guest_key(name: &str) -> GuestKey {
    GuestKey::parse(name).unwrap()
}

pub fn to(target: PushTarget, body: &str) -> PushRequest {
    let message = LiveMessage { operation: 1000, body: body.into() };
    PushRequest { target, message, durable: false, key: None, not_before: None, ttl_ms: None, priority: Priority::Normal, dry_run: false }
}

pub fn to_room(name: &str, body: &str) -> PushRequest {
    to(PushTarget::Room(room(name)), body)
}

pub fn kept(uids: &[Uid], body: &str) -> PushRequest {
    PushRequest { durable: true, ..to(PushTarget::Uids(uids.to_vec()), body) }
}

pub fn keyed(key: &str, request: PushRequest) -> PushRequest {
    PushRequest { key: Some(IdempotencyKey::parse(key).unwrap()), ..request }
}

pub async fn ask(world: &World, pusher: &Pusher, command: PushCommand) -> Result<PushReply> {
    world.logic.push(pusher.clone(), from(), command).await
}

pub async fn push_all(world: &World, pusher: &Pusher, requests: Vec<PushRequest>) -> Result<Vec<PushOutcome>> {
    match ask(world, pusher, PushCommand::Push { requests }).await? {
        PushReply::Pushed { outcomes } => Ok(outcomes),
        other => panic!("no outcomes: {other:?}"),
    }
}

/// What was accepted: its id, where it was stored, and whether it was a repetition.
pub async fn push(world: &World, pusher: &Pusher, request: PushRequest) -> Result<(PushId, Vec<Stored>, bool)> {
    match push_all(world, pusher, vec![request]).await?.pop().unwrap() {
        PushOutcome::Accepted { push, stored, repeated, .. } => Ok((push, stored, repeated)),
        PushOutcome::Refused { error } => Err(error),
    }
}

pub async fn receipt(world: &World, pusher: &Pusher, push: &PushId) -> Result<Receipt> {
    match ask(world, pusher, PushCommand::Receipt { push: push.clone() }).await? {
        PushReply::Receipt { receipt } => Ok(receipt),
        other => panic!("no receipt: {other:?}"),
    }
}

/// Waits until nothing of the push is under way any more.
pub async fn settled(world: &World, pusher: &Pusher, push: &PushId) -> Receipt {
    let looking = async {
        loop {
            let receipt = receipt(world, pusher, push).await.unwrap();
            if receipt.state != PushState::Waiting {
                return receipt;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), looking).await.expect("the push settles")
}

pub async fn connect(world: &World, node: &str, generation: i64, token: &str) -> Result<GuestReply> {
    let command = GuestCommand::Connect {
        node: NodeId(node.into()),
        generation: Generation(generation),
        token: token.into(),
        cookie: String::new(),
        address: "192.0.2.9".into(),
    };
    world.logic.guest(command).await
}

/// A guest that was let in.
pub async fn guest(world: &World, node: &str, generation: i64, token: &str) -> (Guest, Option<GuestRef>) {
    match connect(world, node, generation, token).await.unwrap() {
        GuestReply::Connected { guest, replaced, heartbeat_ms } => {
            assert_eq!(heartbeat_ms, 480_000);
            (guest, replaced)
        }
        other => panic!("not let in: {other:?}"),
    }
}

/// The texts of live pushes, each batch by itself, with what they were addressed to.
pub fn live(pushes: Vec<(Target, Push)>) -> Vec<(Target, Vec<String>)> {
    let texts = |messages: Vec<LiveMessage>| messages.into_iter().map(|message| String::from_utf8(message.body).unwrap()).collect();
    let of_live = |(target, push)| match push {
        Push::Live { messages, .. } => Some((target, texts(messages))),
        _ => None,
    };
    pushes.into_iter().filter_map(of_live).collect()
}

/// All texts that came by one kind of address, in order.
pub fn texts(pushes: Vec<(Target, Push)>, is_it: impl Fn(&Target) -> bool) -> Vec<String> {
    live(pushes).into_iter().filter(|(target, _)| is_it(target)).flat_map(|(_, texts)| texts).collect()
}
