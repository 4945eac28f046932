//! Transient pushes: who gets them, in which order, and what happens when there is no room.

use crate::comets::{Mood, pushes};
use crate::push_world::*;
use crate::world::{Setting, World, code};
use skein_domain::Code;
use skein_domain::delivery::Target;
use skein_domain::id::{ConnectionRef, Generation, NodeId, Uid};
use skein_domain::live::*;
use skein_logic::push::Goim;

async fn trusting() -> World {
    World::with(Setting { goim: Goim { trust: true, ..Goim::default() }, ..Setting::default() }).await
}

fn is_room(target: &Target) -> bool {
    matches!(target, Target::LiveRoom(_))
}

/// goim waits up to a second for more; ours leaves, and what comes while it is under way leaves together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_push_leaves_at_once_and_those_behind_it_leave_together_in_order() {
    let world = World::new().await;
    let comet = world.comet("a");
    let (pusher, _) = key(&world, "news").await;
    comet.set(Mood::Held);
    let mut last = String::new();
    for number in 0..46 {
        last = push(&world, &pusher, to_room("live://1", &number.to_string())).await.unwrap().0;
        if number == 0 {
            comet.until_called(1).await;
        }
    }
    assert_eq!(comet.calls(), 1, "one delivery of a lane at a time");
    comet.set(Mood::Up);
    settled(&world, &pusher, &last).await;
    let sizes: Vec<usize> = live(comet.pushes()).iter().map(|(_, texts)| texts.len()).collect();
    assert_eq!(sizes, [1, 20, 20, 5]);
    let expected: Vec<String> = (0..46).map(|number| number.to_string()).collect();
    assert_eq!(texts(comet.pushes(), is_room), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hangs_or_fails_delays_nobody_elses_copy() {
    let world = World::new().await;
    let (slow, quick, broken) = (world.comet("slow"), world.comet("quick"), world.comet("broken"));
    for comet in [&slow, &quick, &broken] {
        comet.set_receivers(3);
    }
    let (pusher, _) = key(&world, "news").await;
    slow.set(Mood::Held);
    broken.set(Mood::Fails);
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(push(&world, &pusher, to_room("live://1", &number.to_string())).await.unwrap().0);
    }
    quick.until(|batches| texts(pushes(batches), is_room).len() == 5).await;
    assert_eq!(receipt(&world, &pusher, &ids[0]).await.unwrap().state, PushState::Waiting);
    slow.set(Mood::Up);
    for id in &ids {
        let Receipt { state, found, queued, dropped, .. } = settled(&world, &pusher, id).await;
        assert_eq!((state, found, queued, dropped), (PushState::Delivered, 6, 6, 0), "summed over the nodes that answered");
    }
    assert_eq!(texts(slow.pushes(), is_room), ["0", "1", "2", "3", "4"]);
    assert!(broken.batches().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_slow_room_does_not_hold_up_another() {
    let world = World::new().await;
    let comet = world.comet("a");
    let (pusher, _) = key(&world, "news").await;
    comet.set(Mood::Held);
    push(&world, &pusher, to_room("live://1", "slow")).await.unwrap();
    comet.until_called(1).await;
    push(&world, &pusher, to_room("live://2", "other")).await.unwrap();
    comet.until_called(2).await;
    comet.set(Mood::Up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_gets_pushes_by_key_and_by_mid_in_their_order() {
    let world = trusting().await;
    let (here, there) = (world.comet("here"), world.comet("there"));
    for comet in [&here, &there] {
        comet.set_receivers(1);
    }
    let (pusher, _) = key(&world, "news").await;
    guest(&world, "here", 1, r#"{"mid":5,"key":"phone"}"#).await;
    guest(&world, "there", 2, r#"{"mid":5,"key":"tablet"}"#).await;
    here.set(Mood::Held);
    let mut last = String::new();
    for number in 0..10 {
        let target = match number % 2 {
            0 => PushTarget::Mids(vec![Mid(5), Mid(5), Mid(6)]),
            _ => PushTarget::Keys(vec![guest_key("phone"), guest_key("unknown")]),
        };
        last = push(&world, &pusher, to(target, &number.to_string())).await.unwrap().0;
    }
    here.set(Mood::Up);
    assert_eq!(settled(&world, &pusher, &last).await.found, 1);
    let is_phone = |target: &Target| *target == Target::Guests(vec![guest_key("phone")]);
    assert_eq!(texts(here.pushes(), is_phone), (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
    let is_tablet = |target: &Target| *target == Target::Guests(vec![guest_key("tablet")]);
    assert_eq!(texts(there.pushes(), is_tablet), ["0", "2", "4", "6", "8"]);
    let nobody = push(&world, &pusher, to(PushTarget::Mids(vec![Mid(77)]), "x")).await.unwrap().0;
    assert_eq!(receipt(&world, &pusher, &nobody).await.unwrap().state, PushState::Delivered, "to nobody, at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_gets_pushes_on_all_its_connections() {
    let world = World::new().await;
    let comet = world.comet("a");
    let [ann, bo] = world.people().await;
    let (phone, desk) = (world.device(ann, "a", 11).await, world.device(ann, "a", 12).await);
    world.device(bo, "a", 13).await;
    let (pusher, _) = key(&world, "news").await;
    let id = push(&world, &pusher, to(PushTarget::Uids(vec![ann, Uid(99)]), "hi")).await.unwrap().0;
    settled(&world, &pusher, &id).await;
    let mut told: Vec<Target> = live(comet.pushes()).into_iter().map(|(target, _)| target).collect();
    told.sort_by_key(|target| format!("{target:?}"));
    let to_session = |session| Target::Connections(vec![ConnectionRef { session, generation: Generation(1) }]);
    assert_eq!(told, [to_session(phone), to_session(desk)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_bound_the_caller_is_told_and_may_try_again() {
    let world = World::new().await;
    let comet = world.comet("a");
    let (pusher, _) = key(&world, "news").await;
    comet.set(Mood::Held);
    let mut accepted = 0;
    let refused = loop {
        match push(&world, &pusher, to_room("live://1", "x")).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 10_000, "there is a bound");
    };
    assert_eq!((refused.code, refused.retry_after_ms.is_some()), (Code::Busy, true));
    let again = keyed("k", to_room("live://1", "last"));
    assert_eq!(code(push(&world, &pusher, again.clone()).await), Code::Busy);
    push(&world, &pusher, to_room("live://2", "others have room")).await.unwrap();
    comet.set(Mood::Up);
    comet.until(|batches| texts(pushes(batches), is_room).len() == accepted + 1).await;
    let (id, _, repeated) = push(&world, &pusher, again.clone()).await.unwrap();
    assert!(!repeated, "what was refused has not happened");
    settled(&world, &pusher, &id).await;
    let (same, _, repeated) = push(&world, &pusher, again).await.unwrap();
    assert_eq!((same, repeated), (id, true));
    let last: Vec<String> = texts(comet.pushes(), is_room).into_iter().filter(|text| text == "last").collect();
    assert_eq!(last.len(), 1, "and it happens once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_too_late_is_counted_and_not_told() {
    let world = World::new().await;
    let comet = world.comet("a");
    let (pusher, _) = key(&world, "news").await;
    comet.set(Mood::Held);
    push(&world, &pusher, to_room("live://1", "first")).await.unwrap();
    comet.until_called(1).await;
    let late = PushRequest { ttl_ms: Some(50), ..to_room("live://1", "late") };
    let (late, ..) = push(&world, &pusher, late).await.unwrap();
    let (last, ..) = push(&world, &pusher, to_room("live://1", "last")).await.unwrap();
    world.clock.advance(50);
    comet.set(Mood::Up);
    assert_eq!(settled(&world, &pusher, &late).await.state, PushState::Expired);
    assert_eq!(settled(&world, &pusher, &last).await.state, PushState::Delivered);
    assert_eq!(texts(comet.pushes(), is_room), ["first", "last"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_to_all_shares_its_speed_among_the_nodes() {
    let mut world = World::new().await;
    world.run();
    let (pusher, _) = key(&world, "news").await;
    let audience = Audience { platforms: vec!["web".into()], tags: vec!["beta".into()], speed: Some(7) };
    let all = || to(PushTarget::All(audience.clone()), "hi");
    let (id, ..) = push(&world, &pusher, all()).await.unwrap();
    assert_eq!(settled(&world, &pusher, &id).await.found, 0, "goim divides by no nodes and dies");
    let (a, b) = (world.comet("a"), world.comet("b"));
    let (id, ..) = push(&world, &pusher, all()).await.unwrap();
    settled(&world, &pusher, &id).await;
    for comet in [a, b] {
        let share = Target::Audience(Audience { speed: Some(3), ..audience.clone() });
        assert_eq!(live(comet.pushes()), [(share, vec!["hi".to_owned()])]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_counts_and_tells_nobody() {
    let world = trusting().await;
    let comet = world.comet("a");
    let (pusher, _) = key(&world, "news").await;
    guest(&world, "a", 1, r#"{"mid":5,"key":"phone"}"#).await;
    let online =
        GuestCommand::Online { node: NodeId("a".into()), rooms: vec![(room("live://1"), 4)], connections: 9, addresses: 2, weight: 10 };
    skein_domain::door::Logic::guest(&world.logic, online).await.unwrap();
    let dry = |target| PushRequest { dry_run: true, ..to(target, "x") };
    let requests =
        vec![dry(PushTarget::Mids(vec![Mid(5)])), dry(PushTarget::Room(room("live://1"))), dry(PushTarget::All(Audience::default()))];
    let outcomes = push_all(&world, &pusher, requests).await.unwrap();
    let reach = |outcome: &PushOutcome| match outcome {
        PushOutcome::Accepted { would_reach, .. } => *would_reach,
        PushOutcome::Refused { .. } => None,
    };
    assert_eq!(outcomes.iter().map(reach).collect::<Vec<_>>(), [Some(1), Some(4), Some(9)]);
    assert_eq!(comet.calls(), 0);
}
