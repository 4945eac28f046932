//! Which of the pushes that wait is the next.

use crate::comets::{Mood, pushes};
use crate::push_world::*;
use crate::world::{Setting, World, code};
use async_trait::async_trait;
use skein_domain::delivery::Target;
use skein_domain::id::NodeId;
use skein_domain::live::*;
use skein_domain::port::{Broadcast, BroadcastQueue, Clock, Place, Queued, broadcasts_running_max};
use skein_domain::testing::ManualClock;
use skein_domain::{Code, Error, Result};
use skein_storage::MemoryBroadcasts;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const WAITING: usize = 1_000;
/// Longer than any test.
const SLOW: u32 = 1;
const CROWD: u64 = 10_000;

fn throttled(body: &str, speed: u32) -> PushRequest {
    to(PushTarget::All(Audience { speed: Some(speed), ..Audience::default() }), body)
}

fn urgent(request: PushRequest) -> PushRequest {
    PushRequest { priority: Priority::Urgent, ..request }
}

fn is_all(target: &Target) -> bool {
    matches!(target, Target::Audience(_))
}

/// All places for normal ones are taken for as long as the test takes.
async fn with_slow_ones(world: &mut World) -> (Arc<crate::comets::RecordingComet>, Pusher) {
    world.run();
    let comet = world.comet("a");
    comet.set_receivers(CROWD);
    let (pusher, _) = key(world, "news").await;
    let most = broadcasts_running_max(Priority::Normal);
    for _ in 0..most {
        push(world, &pusher, throttled("slow", SLOW)).await.unwrap();
    }
    comet.until(|batches| texts(pushes(batches), is_all).len() == most).await;
    (comet, pusher)
}

/// B-CACHE-4, as an operator has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_urgent_broadcast_overtakes_a_thousand_that_wait_and_each_priority_keeps_its_order() {
    let mut world = World::new().await;
    let (comet, pusher) = with_slow_ones(&mut world).await;
    comet.set_receivers(1);
    let mut last = String::new();
    for number in 0..WAITING {
        last = push(&world, &pusher, throttled(&number.to_string(), SLOW)).await.unwrap().0;
    }
    let (fire, ..) = push(&world, &pusher, urgent(throttled("fire", SLOW))).await.unwrap();
    assert_eq!(settled(&world, &pusher, &fire).await.queued, 1);
    let most = broadcasts_running_max(Priority::Normal);
    assert_eq!(texts(comet.pushes(), is_all)[most..], ["fire"], "before all that wait");
    assert_eq!(receipt(&world, &pusher, &last).await.unwrap().state, PushState::Waiting);
    // What is not throttled waits for nobody.
    push(&world, &pusher, to(PushTarget::All(Audience::default()), "at once")).await.unwrap();
    comet.until(|batches| texts(pushes(batches), is_all).len() == most + 2).await;
}

/// The order, with places that become free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broadcasts_begin_in_their_order_as_others_end() {
    let mut world = World::new().await;
    world.run();
    let comet = world.comet("a");
    let (pusher, _) = key(&world, "news").await;
    comet.set(Mood::Held);
    push(&world, &pusher, throttled("first", SLOW)).await.unwrap();
    comet.until_called(1).await;
    let mut last = String::new();
    for number in 0..100 {
        last = push(&world, &pusher, throttled(&number.to_string(), SLOW)).await.unwrap().0;
        if number % 10 == 0 {
            push(&world, &pusher, urgent(throttled(&format!("urgent {number}"), SLOW))).await.unwrap();
        }
    }
    // Each finds one connection, which is served at once.
    comet.set_receivers(1);
    comet.set(Mood::Up);
    settled(&world, &pusher, &last).await;
    let urgent = (0..100).step_by(10).map(|number| format!("urgent {number}"));
    let expected = std::iter::once("first".to_owned()).chain(urgent).chain((0..100).map(|number| number.to_string()));
    assert_eq!(texts(comet.pushes(), is_all), expected.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_urgent_push_overtakes_those_of_its_room_and_a_due_one_those_that_are_due() {
    let mut world = World::new().await;
    let comet = world.comet("a");
    let (pusher, _) = key(&world, "news").await;
    comet.set(Mood::Held);
    push(&world, &pusher, to_room("live://1", "first")).await.unwrap();
    comet.until_called(1).await;
    let mut last = String::new();
    for number in 0..3 {
        last = push(&world, &pusher, to_room("live://1", &number.to_string())).await.unwrap().0;
    }
    push(&world, &pusher, urgent(to_room("live://1", "fire"))).await.unwrap();
    comet.set(Mood::Up);
    settled(&world, &pusher, &last).await;
    let is_room = |target: &Target| matches!(target, Target::LiveRoom(_));
    assert_eq!(texts(comet.pushes(), is_room), ["first", "fire", "0", "1", "2"]);

    for (body, ms, priority) in
        [("a", 1, Priority::Normal), ("b", 2, Priority::Urgent), ("c", 3, Priority::Normal), ("d", 4, Priority::Urgent)]
    {
        let due = PushRequest { not_before: Some(world.clock.now().plus(ms)), priority, ..to_room("live://2", body) };
        push(&world, &pusher, due).await.unwrap();
    }
    world.clock.advance(4);
    world.run();
    let of_second = |target: &Target| *target == Target::LiveRoom(room("live://2"));
    comet.until(|batches| texts(pushes(batches), of_second).len() == 4).await;
    assert_eq!(texts(comet.pushes(), of_second), ["b", "d", "a", "c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_too_long_has_expired_and_what_waits_at_the_end_is_counted_as_dropped() {
    let mut world = World::new().await;
    let (comet, pusher) = with_slow_ones(&mut world).await;
    let late = PushRequest { ttl_ms: Some(50), ..throttled("late", SLOW) };
    let (late, ..) = push(&world, &pusher, late).await.unwrap();
    let (waits, ..) = push(&world, &pusher, throttled("waits", SLOW)).await.unwrap();
    world.clock.advance(50);
    assert_eq!(settled(&world, &pusher, &late).await.state, PushState::Expired);
    world.end().await;
    let Receipt { state, queued, dropped, .. } = receipt(&world, &pusher, &waits).await.unwrap();
    assert_eq!((state, queued, dropped), (PushState::Delivered, 0, 1));
    assert!(!texts(comet.pushes(), is_all).contains(&"waits".to_owned()));
}

/// A queue that can be away.
struct Away {
    queue: MemoryBroadcasts,
    is_away: AtomicBool,
}

impl Away {
    fn there(&self) -> Result<()> {
        if self.is_away.load(Ordering::SeqCst) { Err(Error::new(Code::Unavailable, "away")) } else { Ok(()) }
    }
}

#[async_trait]
impl BroadcastQueue for Away {
    async fn join(&self, broadcast: &Broadcast, priority: Priority, lease_ms: i64) -> Result<Place> {
        self.there()?;
        self.queue.join(broadcast, priority, lease_ms).await
    }

    async fn renew(&self, node: &NodeId, queued: &[Queued], lease_ms: i64) -> Result<()> {
        self.there()?;
        self.queue.renew(node, queued, lease_ms).await
    }

    async fn claim(&self, node: &NodeId, lease_ms: i64) -> Result<Option<u64>> {
        self.there()?;
        self.queue.claim(node, lease_ms).await
    }

    async fn leave(&self, node: &NodeId, broadcasts: &[u64]) -> Result<()> {
        self.there()?;
        self.queue.leave(node, broadcasts).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_queue_is_away_nothing_is_accepted_and_what_was_waits() {
    let clock = Arc::new(ManualClock::at(1_800_000_000_000));
    let queue = Arc::new(Away { queue: MemoryBroadcasts::new(clock), is_away: AtomicBool::new(false) });
    let mut world = World::with(Setting { broadcasts: Some(queue.clone()), ..Setting::default() }).await;
    let comet = world.comet("a");
    let (pusher, _) = key(&world, "news").await;
    let (first, ..) = push(&world, &pusher, throttled("first", SLOW)).await.unwrap();
    queue.is_away.store(true, Ordering::SeqCst);
    world.run();
    assert_eq!(code(push(&world, &pusher, throttled("second", SLOW)).await), Code::Unavailable);
    queue.is_away.store(false, Ordering::SeqCst);
    settled(&world, &pusher, &first).await;
    assert_eq!(texts(comet.pushes(), is_all), ["first"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_its_caller() {
    let clock = Arc::new(ManualClock::at(1_800_000_000_000));
    let queue = Arc::new(MemoryBroadcasts::bounded(clock, 2));
    let world = World::with(Setting { broadcasts: Some(queue), ..Setting::default() }).await;
    let (pusher, _) = key(&world, "news").await;
    for _ in 0..2 {
        push(&world, &pusher, throttled("x", SLOW)).await.unwrap();
    }
    assert_eq!(code(push(&world, &pusher, throttled("x", SLOW)).await), Code::Busy);
}
