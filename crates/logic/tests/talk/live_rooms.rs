//! goim's guests and live rooms: who is let in, who is where, and who is told.

use crate::comets::RecordingComet;
use crate::push_world::*;
use crate::world::{Setting, World, caller, code};
use skein_domain::account::DeviceClass;
use skein_domain::command::{Command, Reply};
use skein_domain::delivery::{Control, Push};
use skein_domain::door::{Caller, Logic, NodeLoad};
use skein_domain::id::{ConnectionRef, Generation, NodeId, SessionId, Uid};
use skein_domain::live::*;
use skein_domain::port::CometAddress;
use skein_domain::{Code, Result};
use skein_logic::Config;
use skein_logic::push::Goim;
use std::sync::Arc;

fn goim() -> Goim {
    Goim { trust: true, open_push: false, domain: "push.example.org".into(), tcp_port: 3101, ws_port: 3102, wss_port: 3103 }
}

async fn trusting() -> World {
    World::with(Setting { goim: goim(), ..Setting::default() }).await
}

#[tokio::test]
async fn a_guest_may_name_nobody_unless_the_operator_trusts_names() {
    let closed = World::new().await;
    for claim in [r#"{"mid":5}"#, r#"{"key":"k"}"#] {
        assert_eq!(code(connect(&closed, "a", 1, claim).await), Code::Forbidden, "{claim}");
    }
    let (anonymous, _) =
        guest(&closed, "a", 1, r#"{"mid":0,"room_id":"live://1","accepts":[1000],"platform":"ios","tags":["beta"]}"#).await;
    assert_eq!((anonymous.mid, anonymous.room.as_ref(), anonymous.accepts.as_slice()), (Mid(0), Some(&room("live://1")), &[1000][..]));
    assert_eq!((anonymous.platform.as_str(), anonymous.tags, anonymous.key.as_str().len()), ("ios", vec!["beta".to_owned()], 36));
    let (named, _) = guest(&trusting().await, "a", 1, r#"{"mid":5,"key":"k"}"#).await;
    assert_eq!((named.mid, named.key), (Mid(5), guest_key("k")));
    for bad in ["null", "nonsense", r#"{"mid":"5"}"#] {
        assert_eq!(code(connect(&closed, "a", 2, bad).await), Code::BadRequest, "{bad}");
    }
}

/// goim's older connection of a key deletes, as it ends, what the newer one has registered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_connection_of_a_key_outlives_the_end_of_the_older() {
    let world = trusting().await;
    let (a, b) = (world.comet("a"), world.comet("b"));
    let (pusher, _) = key(&world, "news").await;
    let named = r#"{"mid":5,"key":"k"}"#;
    let old = |generation| GuestRef { key: guest_key("k"), generation: Generation(generation) };
    guest(&world, "a", 1, named).await;
    assert_eq!(guest(&world, "a", 2, named).await.1, Some(old(1)), "its Comet closes the one it has itself");
    assert_eq!(guest(&world, "b", 3, named).await.1, None);
    a.until(|batches| batches.iter().any(|batch| batch.controls == [Control::CloseGuest { guest: old(2) }])).await;
    assert_eq!(code(connect(&world, "a", 2, named).await), Code::Unavailable, "who comes late stays out");
    for generation in [1, 2] {
        let gone = GuestCommand::Disconnect { node: NodeId("a".into()), mid: Mid(5), guest: old(generation) };
        world.logic.guest(gone).await.unwrap();
    }
    b.set_receivers(1);
    let (id, ..) = push(&world, &pusher, to(PushTarget::Mids(vec![Mid(5)]), "hi")).await.unwrap();
    assert_eq!(settled(&world, &pusher, &id).await.queued, 1);
    let renewed = GuestCommand::Renew { node: NodeId("a".into()), live: vec![(Mid(5), old(2))] };
    world.logic.guest(renewed).await.unwrap();
    a.until(|batches| batches.iter().filter(|batch| batch.controls == [Control::CloseGuest { guest: old(2) }]).count() == 2).await;
}

async fn report(world: &World, node: &str, rooms: &[(&str, u32)], connections: u32, weight: u32) -> Vec<(RoomName, u32)> {
    let rooms = rooms.iter().map(|(name, count)| (room(name), *count)).collect();
    let command = GuestCommand::Online { node: NodeId(node.into()), rooms, connections, addresses: 1, weight };
    match world.logic.guest(command).await.unwrap() {
        GuestReply::Online { mut rooms } => {
            rooms.sort();
            rooms
        }
        other => panic!("no counts: {other:?}"),
    }
}

#[tokio::test]
async fn counts_are_summed_over_nodes_and_empty_rooms_vanish() {
    let world = World::new().await;
    let (pusher, _) = key(&world, "news").await;
    assert_eq!(report(&world, "a", &[("live://1", 2), ("live://2", 5)], 7, 10).await, [(room("live://1"), 2), (room("live://2"), 5)]);
    assert_eq!(report(&world, "b", &[("live://1", 4), ("chat://1", 9)], 3, 10).await, [(room("chat://1"), 9), (room("live://1"), 6)]);
    let top = |prefix: &str, limit| PushCommand::Top { prefix: prefix.into(), limit };
    let counts = async |command| match ask(&world, &pusher, command).await.unwrap() {
        PushReply::Counts { rooms } => rooms,
        other => panic!("no counts: {other:?}"),
    };
    assert_eq!(counts(top("live", 9)).await, [(room("live://1"), 6), (room("live://2"), 5)]);
    assert_eq!(counts(top("", 1)).await, [(room("chat://1"), 9)]);
    let asked = vec![room("live://9"), room("live://1")];
    assert_eq!(counts(PushCommand::Rooms { rooms: asked }).await, [(room("live://9"), 0), (room("live://1"), 6)]);
    assert_eq!(ask(&world, &pusher, PushCommand::Total).await.unwrap(), PushReply::Total { connections: 10, addresses: 2 });
    report(&world, "a", &[("live://1", 1), ("live://2", 0)], 1, 10).await;
    assert_eq!(counts(top("live", 9)).await, [(room("live://1"), 5)], "an empty room leaves no ghost");
    world.clock.advance(60_000);
    assert_eq!(counts(top("", 9)).await, [], "nor does a silent node");
}

#[tokio::test]
async fn a_key_for_some_rooms_reads_the_counts_of_those_only() {
    let world = World::new().await;
    let (shop, _) = key_for(&world, "shop", &[PushRoute::Read], &["live://shop-"], 1_000).await;
    report(&world, "a", &[("live://shop-1", 2), ("live://1", 9), ("live://shop-2", 5)], 16, 10).await;
    let counts = async |command| {
        ask(&world, &shop, command).await.map(|reply| match reply {
            PushReply::Counts { rooms } => rooms,
            other => panic!("no counts: {other:?}"),
        })
    };
    let top = |prefix: &str, limit| PushCommand::Top { prefix: prefix.into(), limit };
    assert_eq!(counts(top("", 9)).await.unwrap(), [(room("live://shop-2"), 5), (room("live://shop-1"), 2)]);
    assert_eq!(counts(top("live://", 1)).await.unwrap(), [(room("live://shop-2"), 5)], "the limit is of what is told");
    assert_eq!(counts(top("live://1", 9)).await.unwrap(), []);
    let named = |names: &[&str]| PushCommand::Rooms { rooms: names.iter().map(|name| room(name)).collect() };
    assert_eq!(counts(named(&["live://shop-1", "live://shop-9"])).await.unwrap(), [(room("live://shop-1"), 2), (room("live://shop-9"), 0)]);
    assert_eq!(code(counts(named(&["live://shop-1", "live://1"])).await), Code::Forbidden);
}

#[tokio::test]
async fn clients_are_sent_by_weight_and_room_and_not_to_who_is_leaving() {
    let world = World::with(Setting { goim: goim(), ..Setting::default() }).await;
    let (pusher, _) = key(&world, "news").await;
    let advice = async |platform: &str| {
        let command = PushCommand::Nodes { platform: platform.into(), address: "192.0.2.7".into() };
        match ask(&world, &pusher, command).await.unwrap() {
            PushReply::Advice { advice } => advice,
            other => panic!("no advice: {other:?}"),
        }
    };
    let none = advice("ios").await;
    assert_eq!((none.nodes, none.domain.as_str()), (vec!["push.example.org".to_owned()], "push.example.org"));
    assert_eq!((none.tcp_port, none.ws_port, none.wss_port, none.heartbeat, none.heartbeat_max), (3101, 3102, 3103, 240, 2));
    for (name, draining) in [("a", false), ("b", false), ("c", true)] {
        let comet = CometAddress {
            node: name.into(),
            tcp: format!("{name}.example.org:3101"),
            websocket: format!("ws://{name}.example.net:80/ws"),
        };
        let load = NodeLoad { node: NodeId(name.into()), comet, connections: 1, draining };
        world.logic.renew(load, Vec::new()).await.unwrap();
    }
    report(&world, "a", &[], 900, 10).await;
    report(&world, "b", &[], 100, 10).await;
    assert_eq!(advice("ios").await.nodes, ["b.example.org", "a.example.org"]);
    assert_eq!(advice("web").await.nodes, ["b.example.net", "a.example.net"]);
    let PushReply::Nodes { nodes } = ask(&world, &pusher, PushCommand::Instances).await.unwrap() else { panic!("no nodes") };
    let told: Vec<_> = nodes.iter().map(|node| (node.node.0.as_str(), node.connections, node.weight, node.draining)).collect();
    assert_eq!(told, [("a", 900, 10, false), ("b", 100, 10, false), ("c", 1, 10, true)]);
}

// === sessions of accounts ===

fn on(uid: Uid, session: i64, generation: i64) -> Caller {
    let connection = Some((NodeId("a".into()), Generation(generation)));
    Caller { session: SessionId(session), connection, class: DeviceClass::Web, ..caller(uid) }
}

async fn join(world: &World, caller: &Caller, name: &str, presence: bool) -> Result<(u32, Option<Vec<Somebody>>)> {
    match world.logic.call(caller.clone(), Command::JoinLive { room: room(name), presence }).await? {
        Reply::LiveRoom { count, people, .. } => Ok((count, people)),
        other => panic!("no room: {other:?}"),
    }
}

async fn leave(world: &World, caller: &Caller, name: &str) {
    world.logic.call(caller.clone(), Command::LeaveLive { room: room(name) }).await.unwrap();
}

fn web(uid: Uid) -> Somebody {
    Somebody::User { uid, class: DeviceClass::Web }
}

/// Who came and who went, as the watchers were told so far, with the last count.
fn told(comet: &RecordingComet) -> (Vec<Somebody>, Vec<Somebody>, u32) {
    let mut sum = (Vec::new(), Vec::new(), 0);
    for (_, push) in comet.pushes() {
        if let Push::Presence { count, joined, left, .. } = push {
            sum.0.extend(joined);
            sum.1.extend(left);
            sum.2 = count;
        }
    }
    sum
}

async fn until_told(comet: &Arc<RecordingComet>, expected: (Vec<Somebody>, Vec<Somebody>, u32)) {
    comet.until(|_| told(comet) == expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asked_is_told_who_comes_and_goes() {
    let mut world = trusting().await;
    let comet = world.comet("a");
    world.run();
    let [ann, bo, cy] = world.people().await;
    let (watcher, second) = (on(ann, 1, 1), on(bo, 2, 1));
    assert_eq!(join(&world, &watcher, "live://1", true).await.unwrap(), (1, Some(vec![web(ann)])));
    assert_eq!(join(&world, &second, "live://1", false).await.unwrap(), (2, None));
    guest(&world, "a", 1, r#"{"mid":7,"key":"g","room_id":"live://1"}"#).await;
    until_told(&comet, (vec![web(bo), Somebody::Guest { mid: Mid(7) }], vec![], 3)).await;

    // A second connection of the same kind is the same somebody, and one that ends late changes nothing.
    join(&world, &on(bo, 3, 1), "live://1", false).await.unwrap();
    leave(&world, &second, "live://1").await;
    world.logic.disconnect(NodeId("a".into()), ConnectionRef { session: SessionId(3), generation: Generation(0) }).await.unwrap();
    join(&world, &on(cy, 4, 1), "live://1", false).await.unwrap();
    let news = vec![web(bo), Somebody::Guest { mid: Mid(7) }, web(cy)];
    until_told(&comet, (news.clone(), vec![], 4)).await;
    world.logic.disconnect(NodeId("a".into()), ConnectionRef { session: SessionId(3), generation: Generation(1) }).await.unwrap();
    until_told(&comet, (news.clone(), vec![web(bo)], 3)).await;
    let moved = GuestCommand::Move {
        node: NodeId("a".into()),
        mid: Mid(7),
        guest: GuestRef { key: guest_key("g"), generation: Generation(1) },
        room: Some(room("live://2")),
    };
    world.logic.guest(moved).await.unwrap();
    until_told(&comet, (news, vec![web(bo), Somebody::Guest { mid: Mid(7) }], 2)).await;
    assert_eq!(join(&world, &watcher, "live://2", true).await.unwrap().0, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_big_room_has_no_presence() {
    let config = Config::default();
    let push = skein_logic::push::Config { presence_people: 2, ..config.push.clone() };
    let mut world = World::with(Setting { push, ..Setting::default() }).await;
    let comet = world.comet("a");
    world.run();
    let [ann, bo, cy] = world.people().await;
    assert_eq!(join(&world, &on(ann, 1, 1), "live://1", true).await.unwrap().1, Some(vec![web(ann)]));
    join(&world, &on(bo, 2, 1), "live://1", false).await.unwrap();
    until_told(&comet, (vec![web(bo)], vec![], 2)).await;
    assert_eq!(join(&world, &on(cy, 3, 1), "live://1", true).await.unwrap(), (3, None));
    until_told(&comet, (vec![web(bo)], vec![], 3)).await;
    let before = comet.pushes().len();
    leave(&world, &on(bo, 2, 1), "live://1").await;
    assert_eq!(
        join(&world, &on(ann, 1, 1), "live://1", true).await.unwrap().1,
        Some(vec![web(ann), web(cy)]),
        "who asks again is told again"
    );
    leave(&world, &on(cy, 3, 1), "live://1").await;
    until_told(&comet, (vec![web(bo)], vec![web(cy)], 1)).await;
    assert_eq!(comet.pushes().len(), before + 1, "nothing was told in between");
}

#[tokio::test]
async fn only_a_connection_is_in_live_rooms_and_not_in_too_many() {
    let limits = skein_domain::Limits { rooms: 2, ..skein_domain::Limits::default() };
    let world = World::with(Setting { limits, ..Setting::default() }).await;
    let [ann] = world.people().await;
    assert_eq!(code(world.call(ann, Command::JoinLive { room: room("live://1"), presence: false }).await), Code::BadRequest);
    let session = on(ann, 1, 1);
    for name in ["live://1", "live://2", "live://2"] {
        join(&world, &session, name, false).await.unwrap();
    }
    assert_eq!(code(join(&world, &session, "live://3", false).await), Code::RoomsFull);
    leave(&world, &session, "live://1").await;
    join(&world, &session, "live://3", false).await.unwrap();
    // The next connection of the session begins anew.
    assert_eq!(join(&world, &on(ann, 1, 2), "live://4", false).await.unwrap().0, 1);
    assert_eq!(join(&world, &on(ann, 1, 2), "live://2", false).await.unwrap().0, 1);
}
