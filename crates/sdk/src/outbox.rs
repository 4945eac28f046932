//! Messages that wait for their ack, in order per conversation. Without IO: the store keeps them, the session sends them.
//!
//! Each send names in `after` the key of the one before it that has no ack yet. When one fails in a way that another
//! try may cure, it and all behind it in its conversation are sent again, with the same keys. Tries never end by
//! themselves (the user discards), but pause up to [`PAUSE_MAX`].
//!
//! **Invariant:** within a conversation messages are sent, and sent again, in the order they were written.
//!
//! **Invariant:** a message keeps its key for good.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use skein_protocol::{ErrorCode, v1};
use tokio::time::Instant;

use crate::error::{Error, Retry};

/// Messages of all conversations that wait; beyond, [`Error::OutboxFull`].
pub const WAITING_MAX: usize = 1_000;
/// Unanswered sends of one conversation, and of all together: the rest of the connection's room is for requests.
const IN_FLIGHT_MAX: usize = 16;
const IN_FLIGHT_ALL_MAX: usize = 32;
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub struct Outbox {
    lanes: HashMap<i64, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    items: VecDeque<Item>,
    hold_until: Option<Instant>,
    tries: u32,
}

#[derive(Debug)]
struct Item {
    send: v1::Send,
    /// Failures of an earlier attempt mean nothing.
    attempt: u32,
    in_flight: bool,
}

/// A send to make now.
#[derive(Debug, PartialEq)]
pub struct Attempt {
    pub send: v1::Send,
    pub attempt: u32,
}

/// What a failure means for its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It will be sent again.
    Again,
    /// It is out of the queue: the user decides.
    Failed,
    /// Of an earlier attempt, or of a message that is gone.
    Stale,
}

impl Outbox {
    pub fn len(&self) -> usize {
        self.lanes.values().map(|lane| lane.items.len()).sum()
    }

    pub fn push(&mut self, send: v1::Send) {
        let lane = self.lanes.entry(send.conversation).or_default();
        lane.items.push_back(Item { send, attempt: 0, in_flight: false });
    }

    /// The queue as the store has it, with what the server forgot: all of it goes out again.
    pub fn restore(&mut self, sends: Vec<v1::Send>) {
        let mut attempts: HashMap<String, u32> = HashMap::new();
        for item in self.lanes.drain().flat_map(|(_, lane)| lane.items) {
            attempts.insert(item.send.key, item.attempt.wrapping_add(1));
        }
        for send in sends {
            let attempt = attempts.get(&send.key).copied().unwrap_or_default();
            let lane = self.lanes.entry(send.conversation).or_default();
            lane.items.push_back(Item { send, attempt, in_flight: false });
        }
    }

    /// Everything that may go out now.
    pub fn due(&mut self, now: Instant) -> Vec<Attempt> {
        let mut room = IN_FLIGHT_ALL_MAX.saturating_sub(self.in_flight());
        let mut attempts = Vec::new();
        for lane in self.lanes.values_mut() {
            if lane.hold_until.is_some_and(|until| until > now) {
                continue;
            }
            lane.hold_until = None;
            let before = attempts.len();
            lane.take_due(room, &mut attempts);
            room -= attempts.len() - before;
        }
        attempts
    }

    fn in_flight(&self) -> usize {
        self.lanes.values().flat_map(|lane| &lane.items).filter(|item| item.in_flight).count()
    }

    /// When [`Outbox::due`] has something that must wait now.
    pub fn wake_at(&self) -> Option<Instant> {
        self.lanes.values().filter_map(|lane| lane.hold_until).min()
    }

    /// Stored, says an ack of any attempt or the entry itself. False if it was not waiting.
    pub fn acked(&mut self, conversation: i64, key: &str) -> bool {
        self.remove(conversation, key)
    }

    /// Out of the queue without a trace; `after` of those behind it is made anew when they are sent.
    pub fn remove(&mut self, conversation: i64, key: &str) -> bool {
        let Some(lane) = self.lanes.get_mut(&conversation) else {
            return false;
        };
        let Some(at) = lane.position(key) else {
            return false;
        };
        lane.items.remove(at);
        lane.tries = 0;
        if lane.items.is_empty() {
            self.lanes.remove(&conversation);
        }
        true
    }

    pub fn failed(&mut self, conversation: i64, key: &str, attempt: u32, error: &Error, now: Instant) -> Verdict {
        let Some(lane) = self.lanes.get_mut(&conversation) else {
            return Verdict::Stale;
        };
        let Some(at) = lane.position(key).filter(|at| lane.items[*at].attempt == attempt) else {
            return Verdict::Stale;
        };
        if is_final(error) {
            self.remove(conversation, key);
            return Verdict::Failed;
        }
        lane.send_again_from(at, error, now);
        Verdict::Again
    }

    /// Nothing is known of what was under way: all of it goes out again on the next connection.
    pub fn link_lost(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.hold_until = None;
            lane.tries = 0;
            lane.rewind(0);
        }
    }
}

impl Lane {
    fn position(&self, key: &str) -> Option<usize> {
        self.items.iter().position(|item| item.send.key == key)
    }

    fn take_due(&mut self, room: usize, attempts: &mut Vec<Attempt>) {
        let sent = self.items.iter().take_while(|item| item.in_flight).count();
        let end = self.items.len().min(IN_FLIGHT_MAX).min(sent + room);
        for at in sent..end {
            let after = at.checked_sub(1).map_or_else(String::new, |before| self.items[before].send.key.clone());
            let item = &mut self.items[at];
            item.in_flight = true;
            item.send.after = after;
            attempts.push(Attempt { send: item.send.clone(), attempt: item.attempt });
        }
    }

    fn send_again_from(&mut self, at: usize, error: &Error, now: Instant) {
        let growing = PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(self.tries)).min(PAUSE_MAX);
        let pause = match error.retry() {
            Retry::After(asked) => asked.max(growing),
            Retry::Never => PAUSE_MAX,
            Retry::Network | Retry::SameKey => growing,
        };
        self.tries = self.tries.saturating_add(1);
        self.hold_until = Some(now + pause);
        self.rewind(at);
    }

    fn rewind(&mut self, at: usize) {
        for item in self.items.iter_mut().skip(at).filter(|item| item.in_flight) {
            item.in_flight = false;
            item.attempt = item.attempt.wrapping_add(1);
        }
    }
}

/// A session that ended says nothing about the message: it waits for the next log-in.
fn is_final(error: &Error) -> bool {
    match error {
        Error::Refused { .. } => error.retry() == Retry::Never && !error.is(ErrorCode::Unauthorized) && !error.is(ErrorCode::Disabled),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(keys: &[&str]) -> Outbox {
        let mut outbox = Outbox::default();
        for key in keys {
            outbox.push(v1::Send { conversation: 1, key: (*key).to_owned(), ..v1::Send::default() });
        }
        outbox
    }

    /// Key, `after` and attempt of what is due.
    fn due(outbox: &mut Outbox, now: Instant) -> Vec<(String, String, u32)> {
        outbox.due(now).into_iter().map(|due| (due.send.key, due.send.after, due.attempt)).collect()
    }

    fn row(key: &str, after: &str, attempt: u32) -> (String, String, u32) {
        (key.to_owned(), after.to_owned(), attempt)
    }

    #[test]
    fn each_names_the_one_before_it() {
        let now = Instant::now();
        let mut outbox = outbox(&["a", "b", "c"]);
        assert_eq!(due(&mut outbox, now), [row("a", "", 0), row("b", "a", 0), row("c", "b", 0)]);
        assert_eq!(due(&mut outbox, now), []);
        assert!(outbox.acked(1, "a"));
        assert!(!outbox.acked(1, "a"));
        assert_eq!(outbox.len(), 2);
    }

    #[test]
    fn a_curable_failure_sends_again_from_there() {
        let now = Instant::now();
        let mut outbox = outbox(&["a", "b", "c"]);
        due(&mut outbox, now);
        let out_of_order = Error::refused(ErrorCode::OutOfOrder, "");
        assert_eq!(outbox.failed(1, "b", 0, &out_of_order, now), Verdict::Again);
        assert_eq!(outbox.failed(1, "c", 0, &out_of_order, now), Verdict::Stale, "it goes again already");
        assert_eq!(due(&mut outbox, now), [], "it pauses");
        let later = outbox.wake_at().expect("a pause");
        assert_eq!(due(&mut outbox, later), [row("b", "a", 1), row("c", "b", 1)]);
    }

    #[test]
    fn an_ack_of_an_earlier_attempt_counts() {
        let now = Instant::now();
        let mut outbox = outbox(&["a", "b"]);
        due(&mut outbox, now);
        outbox.failed(1, "a", 0, &Error::Timeout, now);
        assert!(outbox.acked(1, "a"));
        let later = outbox.wake_at().expect("a pause");
        assert_eq!(due(&mut outbox, later), [row("b", "", 1)]);
    }

    #[test]
    fn a_final_failure_leaves_the_queue_and_the_next_goes_on() {
        let now = Instant::now();
        let mut outbox = outbox(&["a", "b"]);
        due(&mut outbox, now);
        assert_eq!(outbox.failed(1, "a", 0, &Error::refused(ErrorCode::TooLarge, ""), now), Verdict::Failed);
        assert_eq!(outbox.failed(1, "b", 0, &Error::refused(ErrorCode::OutOfOrder, ""), now), Verdict::Again);
        let later = outbox.wake_at().expect("a pause");
        assert_eq!(due(&mut outbox, later), [row("b", "", 1)]);
    }

    #[test]
    fn an_ended_session_fails_no_message() {
        let now = Instant::now();
        let mut outbox = outbox(&["a"]);
        due(&mut outbox, now);
        assert_eq!(outbox.failed(1, "a", 0, &Error::refused(ErrorCode::Unauthorized, ""), now), Verdict::Again);
    }

    #[test]
    fn a_lost_link_sends_everything_again_in_order() {
        let now = Instant::now();
        let mut outbox = outbox(&["a", "b", "c"]);
        due(&mut outbox, now);
        outbox.acked(1, "a");
        outbox.link_lost();
        assert_eq!(due(&mut outbox, now), [row("b", "", 1), row("c", "b", 1)]);
    }

    #[test]
    fn what_is_restored_goes_out_anew_in_the_order_of_the_store() {
        let now = Instant::now();
        let mut outbox = outbox(&["b"]);
        due(&mut outbox, now);
        let send = |key: &str| v1::Send { conversation: 1, key: key.to_owned(), ..v1::Send::default() };
        outbox.restore(vec![send("a"), send("b")]);
        assert_eq!(outbox.failed(1, "b", 0, &Error::refused(ErrorCode::TooLarge, ""), now), Verdict::Stale);
        assert_eq!(due(&mut outbox, now), [row("a", "", 0), row("b", "a", 1)]);
    }

    #[test]
    fn pauses_grow_and_the_server_may_ask_for_longer() {
        let now = Instant::now();
        let mut outbox = outbox(&["a"]);
        let mut last = Duration::ZERO;
        for attempt in 0..12 {
            due(&mut outbox, now + PAUSE_MAX * attempt);
            outbox.failed(1, "a", attempt, &Error::Timeout, now + PAUSE_MAX * attempt);
            let pause = outbox.wake_at().expect("a pause") - (now + PAUSE_MAX * attempt);
            assert!(pause >= last && pause <= PAUSE_MAX);
            last = pause;
        }
        assert_eq!(last, PAUSE_MAX);
    }

    #[test]
    fn what_is_in_flight_is_bounded() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        for conversation in 0..10 {
            for at in 0..20 {
                outbox.push(v1::Send { conversation, key: format!("{conversation}-{at}"), ..v1::Send::default() });
            }
        }
        assert_eq!(outbox.due(now).len(), IN_FLIGHT_ALL_MAX);
        assert_eq!(outbox.due(now).len(), 0);
    }
}
