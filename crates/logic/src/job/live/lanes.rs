//! Lanes as data: who waits where, and what leaves together.
//!
//! **Invariant:** urgent ones leave before others of their lane, and those of one priority in the order in which they came.
//!
//! **Invariant:** a lane is here exactly while a worker serves it: from the push that began it until [`Lanes::take`] finds it
//! empty.

use super::tally::Tally;
use skein_domain::id::{ConnectionRef, Millis, NodeId};
use skein_domain::live::{Audience, GuestKey, LiveMessage, Priority, RoomName};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

pub(super) const BATCH_MESSAGES: usize = 20;
pub(super) const BATCH_BYTES: usize = 48 * 1024;
/// What a message costs besides its body.
const OVERHEAD: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    pub node: NodeId,
    pub receiver: Receiver,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Receiver {
    Guest(GuestKey),
    Session(ConnectionRef),
    Room(RoomName),
    All,
}

pub(super) struct Waiting {
    pub message: Arc<LiveMessage>,
    /// Pushes to all only.
    pub audience: Option<Audience>,
    pub expires: Option<Millis>,
    pub priority: Priority,
    pub tally: Arc<Tally>,
    pub since: Instant,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.message.body.len() + OVERHEAD
    }
}

/// How much may wait in one lane, and in all of them; of urgent ones an eighth more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub lane_messages: usize,
    pub lane_bytes: usize,
    pub messages: usize,
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { lane_messages: 2_000, lane_bytes: 4 * 1024 * 1024, messages: 200_000, bytes: 128 * 1024 * 1024 }
    }
}

impl Bounds {
    fn of(self, priority: Priority) -> Self {
        let room = |bound: usize| bound + if priority == Priority::Urgent { bound / 8 } else { 0 };
        let Self { lane_messages, lane_bytes, messages, bytes } = self;
        Self { lane_messages: room(lane_messages), lane_bytes: room(lane_bytes), messages: room(messages), bytes: room(bytes) }
    }
}

pub(super) struct Lanes {
    bounds: Bounds,
    lanes: HashMap<Lane, Queue>,
    messages: usize,
    bytes: usize,
}

#[derive(Default)]
struct Queue {
    urgent: VecDeque<Waiting>,
    normal: VecDeque<Waiting>,
    bytes: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// The lane was empty and needs a worker now.
    Begun,
    Queued,
    Full,
}

/// What leaves together. The audience is that of all messages.
pub(super) struct Batch {
    pub messages: Vec<Waiting>,
    pub expired: Vec<Waiting>,
    pub audience: Option<Audience>,
}

impl Lanes {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, lanes: HashMap::new(), messages: 0, bytes: 0 }
    }

    pub fn offer(&mut self, lane: &Lane, waiting: Waiting) -> Offered {
        let (bounds, bytes) = (self.bounds.of(waiting.priority), waiting.bytes());
        if self.messages >= bounds.messages || self.bytes + bytes > bounds.bytes {
            return Offered::Full;
        }
        let offered = match self.lanes.get_mut(lane) {
            Some(queue) if queue.len() >= bounds.lane_messages || queue.bytes + bytes > bounds.lane_bytes => return Offered::Full,
            Some(queue) => {
                queue.push(waiting);
                Offered::Queued
            }
            None => {
                self.lanes.entry(lane.clone()).or_default().push(waiting);
                Offered::Begun
            }
        };
        self.messages += 1;
        self.bytes += bytes;
        self.measure();
        offered
    }

    /// What is to leave now. `None`: nothing, and the lane is gone.
    pub fn take(&mut self, lane: &Lane, now: Millis) -> Option<Batch> {
        let queue = self.lanes.get_mut(lane)?;
        let mut batch = Batch { messages: Vec::new(), expired: Vec::new(), audience: None };
        let mut bytes = 0;
        let before = (queue.len(), queue.bytes);
        while let Some(next) = queue.first() {
            let is_expired = next.expires.is_some_and(|expires| expires <= now);
            if !is_expired && !batch.takes(next, bytes) {
                break;
            }
            let Some(next) = queue.pop() else { break };
            if is_expired {
                batch.expired.push(next);
            } else {
                bytes += next.bytes();
                batch.audience.clone_from(&next.audience);
                batch.messages.push(next);
            }
        }
        let after = (queue.len(), queue.bytes);
        let is_empty = batch.messages.is_empty() && batch.expired.is_empty();
        if is_empty {
            self.lanes.remove(lane);
        }
        self.messages -= before.0 - after.0;
        self.bytes -= before.1 - after.1;
        self.measure();
        (!is_empty).then_some(batch)
    }

    fn measure(&self) {
        metrics::gauge!("skein_live_waiting").set(self.messages as f64);
        metrics::gauge!("skein_live_lanes").set(self.lanes.len() as f64);
    }
}

impl Queue {
    fn len(&self) -> usize {
        self.urgent.len() + self.normal.len()
    }

    fn first(&self) -> Option<&Waiting> {
        self.urgent.front().or(self.normal.front())
    }

    fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.bytes();
        match waiting.priority {
            Priority::Urgent => self.urgent.push_back(waiting),
            Priority::Normal => self.normal.push_back(waiting),
        }
    }

    fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.urgent.pop_front().or_else(|| self.normal.pop_front())?;
        self.bytes -= waiting.bytes();
        Some(waiting)
    }
}

impl Batch {
    /// One always fits.
    fn takes(&self, next: &Waiting, bytes: usize) -> bool {
        let fits = || self.messages.len() < BATCH_MESSAGES && bytes + next.bytes() <= BATCH_BYTES;
        self.messages.is_empty() || (fits() && next.audience == self.audience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_domain::id::Uid;

    const NOW: Millis = Millis(1_000);
    const SMALL: Bounds = Bounds { lane_messages: 3, lane_bytes: 4_000, messages: 5, bytes: 100_000 };

    fn lane(room: &str) -> Lane {
        Lane { node: NodeId("a".into()), receiver: Receiver::Room(RoomName::parse(room).unwrap()) }
    }

    fn message(operation: i32, bytes: usize) -> Waiting {
        let message = Arc::new(LiveMessage { operation, body: vec![0; bytes] });
        let tally = Arc::new(Tally::new(String::new(), Uid(0)));
        Waiting { message, audience: None, expires: None, priority: Priority::Normal, tally, since: Instant::now() }
    }

    fn operations(batch: Option<Batch>) -> Vec<i32> {
        batch.map_or(Vec::new(), |batch| batch.messages.iter().map(|waiting| waiting.message.operation).collect())
    }

    #[test]
    fn a_batch_is_in_order_and_bounded_by_number_and_bytes() {
        let mut lanes = Lanes::new(Bounds::default());
        let room = lane("r");
        assert_eq!(lanes.offer(&room, message(0, 10)), Offered::Begun);
        for number in 1..21 {
            assert_eq!(lanes.offer(&room, message(number, 10)), Offered::Queued);
        }
        assert_eq!(operations(lanes.take(&room, NOW)), (0..20).collect::<Vec<_>>(), "21 leave as 20 and 1");
        assert_eq!(operations(lanes.take(&room, NOW)), [20]);
        assert!(lanes.take(&room, NOW).is_none() && lanes.lanes.is_empty());
        for number in 0..3 {
            lanes.offer(&room, message(number, 20_000));
        }
        assert_eq!(operations(lanes.take(&room, NOW)), [0, 1]);
        assert_eq!(operations(lanes.take(&room, NOW)), [2]);
        assert!(lanes.take(&room, NOW).is_none());
        lanes.offer(&room, message(7, BATCH_BYTES));
        assert_eq!(operations(lanes.take(&room, NOW)), [7], "one always leaves");
        assert!(lanes.take(&room, NOW).is_none());
        assert_eq!((lanes.messages, lanes.bytes), (0, 0));
    }

    #[test]
    fn a_full_lane_leaves_room_for_others_until_all_is_full() {
        let mut lanes = Lanes::new(SMALL);
        for _ in 0..3 {
            assert_ne!(lanes.offer(&lane("a"), message(1, 1)), Offered::Full);
        }
        assert_eq!(lanes.offer(&lane("a"), message(1, 1)), Offered::Full);
        assert_eq!(lanes.offer(&lane("b"), message(1, 3_800)), Offered::Begun);
        assert_eq!(lanes.offer(&lane("b"), message(1, 3_800)), Offered::Full, "its bytes");
        assert_eq!(lanes.offer(&lane("b"), message(1, 1)), Offered::Queued);
        assert_eq!(lanes.offer(&lane("c"), message(1, 1)), Offered::Full, "all of them");
        assert_eq!(operations(lanes.take(&lane("a"), NOW)).len(), 3);
        assert_eq!(lanes.offer(&lane("c"), message(1, 1)), Offered::Begun);
    }

    #[test]
    fn what_is_too_late_does_not_leave() {
        let mut lanes = Lanes::new(Bounds::default());
        lanes.offer(&lane("a"), Waiting { expires: Some(NOW), ..message(1, 1) });
        lanes.offer(&lane("a"), Waiting { expires: Some(NOW.plus(1)), ..message(2, 1) });
        let batch = lanes.take(&lane("a"), NOW).unwrap();
        assert_eq!((batch.expired.len(), batch.messages.len()), (1, 1));
    }

    #[test]
    fn pushes_to_all_leave_together_if_they_are_for_the_same_people() {
        let mut lanes = Lanes::new(Bounds::default());
        let all = Lane { node: NodeId("a".into()), receiver: Receiver::All };
        let to = |platform: &str| Some(Audience { platforms: vec![platform.into()], tags: vec![], speed: None });
        for (operation, audience) in [(1, to("ios")), (2, to("ios")), (3, to("web")), (4, to("ios"))] {
            lanes.offer(&all, Waiting { audience, ..message(operation, 1) });
        }
        for expected in [vec![1, 2], vec![3], vec![4]] {
            assert_eq!(operations(lanes.take(&all, NOW)), expected);
        }
    }

    #[test]
    fn an_urgent_one_leaves_before_those_that_wait_and_each_priority_in_its_order() {
        let mut lanes = Lanes::new(Bounds { lane_messages: 40, ..Bounds::default() });
        let (room, urgent) = (lane("r"), |operation| Waiting { priority: Priority::Urgent, ..message(operation, 1) });
        for number in 0..40 {
            assert_ne!(lanes.offer(&room, message(number, 1)), Offered::Full);
        }
        assert_eq!(lanes.offer(&room, message(40, 1)), Offered::Full);
        for number in 100..105 {
            assert_eq!(lanes.offer(&room, urgent(number)), Offered::Queued, "there is room left for urgent ones");
        }
        assert_eq!(lanes.offer(&room, urgent(105)), Offered::Full);
        assert_eq!(operations(lanes.take(&room, NOW)), (100..105).chain(0..15).collect::<Vec<_>>());
        assert_eq!(lanes.offer(&room, urgent(106)), Offered::Queued);
        assert_eq!(operations(lanes.take(&room, NOW)), std::iter::once(106).chain(15..34).collect::<Vec<_>>());
        assert_eq!(operations(lanes.take(&room, NOW)), (34..40).collect::<Vec<_>>());
        assert!(lanes.take(&room, NOW).is_none());
        assert_eq!((lanes.messages, lanes.bytes), (0, 0));
    }
}
