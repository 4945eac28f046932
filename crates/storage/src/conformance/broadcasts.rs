//! What a [`BroadcastQueue`] must keep. A maker hands over an empty queue on the given clock, in which so many may wait.

use skein_domain::Code;
use skein_domain::id::NodeId;
use skein_domain::live::Priority::{self, Normal, Urgent};
use skein_domain::port::{Broadcast, BroadcastQueue, Clock, Queued, broadcasts_running_max};
use skein_domain::testing::ManualClock;
use std::sync::Arc;

pub type Maker = fn(Arc<dyn Clock>, usize) -> Arc<dyn BroadcastQueue>;

const LEASE_MS: i64 = 15_000;
const MANY: usize = 1_000;
/// An engine with a clock of its own goes on while a case runs.
const MARGIN_MS: i64 = 1_000;

struct Desk {
    queue: Arc<dyn BroadcastQueue>,
    node: NodeId,
}

impl Desk {
    fn of(queue: &Arc<dyn BroadcastQueue>, node: &str) -> Self {
        Self { queue: queue.clone(), node: NodeId(node.into()) }
    }

    async fn join(&self, number: u64, priority: Priority) -> Queued {
        let broadcast = Broadcast { node: self.node.clone(), number };
        let place = self.queue.join(&broadcast, priority, LEASE_MS).await.expect("join");
        Queued { number, priority, place, is_running: false }
    }

    async fn claim(&self) -> Option<u64> {
        self.queue.claim(&self.node, LEASE_MS).await.expect("claim")
    }

    async fn leave(&self, numbers: &[u64]) {
        self.queue.leave(&self.node, numbers).await.expect("leave");
    }

    async fn renew(&self, queued: &[Queued]) {
        self.queue.renew(&self.node, queued, LEASE_MS).await.expect("renew");
    }

    /// One after the other, until none is left.
    async fn all(&self) -> Vec<u64> {
        let mut all = Vec::new();
        while let Some(next) = self.claim().await {
            self.leave(&[next]).await;
            all.push(next);
        }
        all
    }
}

fn one_desk(make: &Maker) -> (Arc<ManualClock>, Desk) {
    let clock = Arc::new(ManualClock::default());
    let queue = make(clock.clone(), MANY);
    (clock, Desk::of(&queue, "a"))
}

pub async fn an_urgent_one_overtakes_and_within_a_priority_the_first_is_the_next(make: &Maker) {
    let (_, desk) = one_desk(make);
    for (number, priority) in [(5, Normal), (4, Normal), (1, Urgent), (3, Normal), (9, Urgent), (2, Normal)] {
        desk.join(number, priority).await;
    }
    assert_eq!(desk.all().await, [1, 9, 5, 4, 3, 2]);
    assert_eq!(desk.claim().await, None);
}

pub async fn so_many_run_at_a_time_and_urgent_ones_find_room_beyond_normal_ones(make: &Maker) {
    let (_, desk) = one_desk(make);
    let (normal, urgent) = (broadcasts_running_max(Normal) as u64, broadcasts_running_max(Urgent) as u64);
    for number in 0..normal + 2 {
        desk.join(number, Normal).await;
    }
    for number in 0..normal {
        assert_eq!(desk.claim().await, Some(number));
    }
    assert_eq!(desk.claim().await, None, "no room");
    for number in 100..=100 + urgent - normal {
        desk.join(number, Urgent).await;
    }
    for number in 100..100 + urgent - normal {
        assert_eq!(desk.claim().await, Some(number));
    }
    assert_eq!(desk.claim().await, None, "no room for urgent ones either");
    desk.leave(&[0]).await;
    assert_eq!(desk.claim().await, Some(100 + urgent - normal));
    desk.leave(&[1]).await;
    assert_eq!(desk.claim().await, None, "one place free is none for a normal one");
    desk.leave(&[2, 3, 100, 101, 102, 103]).await;
    assert_eq!(desk.claim().await, Some(normal));
}

pub async fn each_node_gets_its_own_when_it_is_the_next(make: &Maker) {
    let queue = make(Arc::new(ManualClock::default()), MANY);
    let (a, b) = (Desk::of(&queue, "a"), Desk::of(&queue, "b/a"));
    a.join(1, Normal).await;
    b.join(1, Normal).await;
    a.join(2, Normal).await;
    assert_eq!(b.claim().await, None, "the next is another's");
    assert_eq!(a.claim().await, Some(1));
    assert_eq!(a.claim().await, None);
    a.leave(&[1]).await;
    assert_eq!(b.claim().await, Some(1), "numbers are a node's own");
    assert_eq!(a.claim().await, Some(2));
}

pub async fn who_is_not_renewed_is_forgotten_and_holds_nobody_up(make: &Maker) {
    let clock = Arc::new(ManualClock::default());
    let queue = make(clock.clone(), MANY);
    let (dead, alive) = (Desk::of(&queue, "dead"), Desk::of(&queue, "alive"));
    for number in 0..9 {
        dead.join(number, Normal).await;
    }
    for number in 0..8 {
        assert_eq!(dead.claim().await, Some(number), "all places are taken");
    }
    let waits = alive.join(1, Normal).await;
    clock.advance(LEASE_MS - MARGIN_MS);
    alive.renew(&[waits]).await;
    assert_eq!(alive.claim().await, None);
    clock.advance(MARGIN_MS);
    assert_eq!(alive.claim().await, Some(1));
    clock.advance(LEASE_MS - MARGIN_MS);
    alive.renew(&[Queued { is_running: true, ..waits }]).await;
    clock.advance(MARGIN_MS);
    for number in 2..=9 {
        alive.join(number, Normal).await;
    }
    for number in 2..9 {
        assert_eq!(alive.claim().await, Some(number));
    }
    assert_eq!(alive.claim().await, None, "it still runs");
}

pub async fn what_was_forgotten_is_put_back_at_its_place(make: &Maker) {
    let (clock, desk) = one_desk(make);
    let mut queued = Vec::new();
    for (number, priority) in [(1, Normal), (2, Urgent), (3, Normal), (4, Urgent), (5, Normal)] {
        queued.push(desk.join(number, priority).await);
    }
    assert_eq!(desk.claim().await, Some(2));
    clock.advance(LEASE_MS);
    desk.join(6, Normal).await;
    queued[1].is_running = true;
    desk.renew(&queued).await;
    assert_eq!(desk.all().await, [4, 1, 3, 5, 6]);
    // One that was claimed and whose node did not hear of it waits again.
    let lost = desk.join(7, Urgent).await;
    desk.join(8, Normal).await;
    assert_eq!(desk.claim().await, Some(7));
    desk.renew(&[lost]).await;
    assert_eq!(desk.all().await, [7, 8]);
}

pub async fn a_full_queue_is_busy(make: &Maker) {
    let clock = Arc::new(ManualClock::default());
    let desk = Desk::of(&make(clock.clone(), 3), "a");
    for number in 0..3 {
        desk.join(number, Normal).await;
    }
    let broadcast = Broadcast { node: desk.node.clone(), number: 3 };
    let refused = desk.queue.join(&broadcast, Urgent, LEASE_MS).await.expect_err("full");
    assert_eq!((refused.code, refused.retry_after_ms.is_some()), (Code::Busy, true));
    desk.leave(&[1, 77]).await;
    desk.join(3, Urgent).await;
    assert_eq!(desk.all().await, [3, 0, 2]);
}
