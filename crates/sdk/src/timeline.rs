//! How far this device is in one conversation: which entries apply now, which wait, which must be pulled.
//!
//! The window is the contiguous range `from ..= position` this device holds; older messages come from history, newer
//! entries from pushes, sync and pulls. What entries do to messages is [`crate::reduce`]'s, keeping them is the store's.
//!
//! **Invariant:** entries come out in order of seq, without gaps and doubles, whatever order, repetition or loss they
//! came in; only a restart of the window skips, and then nothing before it is kept.
//!
//! **Invariant:** an ack never moves the position.
//!
//! Bounds: at most [`AHEAD_MAX`] entries wait behind a gap, later ones are pulled again. A gap that does not close is
//! pulled with growing pauses, [`TRIES_MAX`] times; the next push or page opens it anew.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use skein_protocol::v1;
use tokio::time::Instant;

pub const AHEAD_MAX: usize = 256;
/// What a gap is given to close by itself.
pub const GAP_WAIT: Duration = Duration::from_millis(200);
/// Entries of one pull.
pub const PULL_MAX: i64 = 100;
pub const TRIES_MAX: u32 = 8;

#[derive(Clone, Debug)]
pub struct Timeline {
    from: i64,
    position: i64,
    /// The newest seq anybody named.
    head: i64,
    ahead: BTreeMap<i64, v1::Entry>,
    gap: Gap,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Gap {
    Closed,
    Open { pull_at: Instant, tries: u32 },
    Pulling { tries: u32 },
}

/// What to do with the kept window after something was heard.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// Forget the window: these entries begin a new one.
    pub restart: bool,
    /// In order, each one above the last.
    pub ready: Vec<v1::Entry>,
}

impl Timeline {
    /// A window kept from before. One that was never filled has position 0.
    pub fn new(from: i64, position: i64) -> Self {
        Self { from: from.max(1), position, head: position, ahead: BTreeMap::new(), gap: Gap::Closed }
    }

    /// Where the window began when it was last started; history may have reached further back since.
    pub fn from(&self) -> i64 {
        self.from
    }

    pub fn position(&self) -> i64 {
        self.position
    }

    /// Entries of a push.
    pub fn push(&mut self, entries: impl IntoIterator<Item = v1::Entry>, now: Instant) -> Applied {
        let mut applied = Applied::default();
        self.offer(entries, &mut applied);
        self.watch_gap(now);
        applied
    }

    /// What a page of sync says about this conversation.
    pub fn page(&mut self, change: v1::ConversationChange, now: Instant) -> Applied {
        let conversation = change.conversation.unwrap_or_default();
        let mut applied = Applied::default();
        let is_new = self.position == 0;
        let next = match change.entries.first() {
            Some(entry) => entry.seq,
            None if is_new || change.limited => self.first_of_short(&conversation),
            None => self.position + 1,
        };
        if next > self.position + 1 && (change.limited || is_new || next <= lowest_visible(&conversation)) {
            self.restart(next, &mut applied);
        }
        self.head = self.head.max(highest_visible(&conversation));
        self.offer(change.entries, &mut applied);
        self.watch_gap(now);
        applied
    }

    /// Told without its entries: what is short is pulled whole, what is long begins at its end.
    fn first_of_short(&self, conversation: &v1::Conversation) -> i64 {
        let lowest = lowest_visible(conversation).max(self.position + 1);
        let is_short = conversation.head - lowest < PULL_MAX;
        if is_short { lowest } else { conversation.head + 1 }
    }

    fn restart(&mut self, from: i64, applied: &mut Applied) {
        self.from = from.max(1);
        self.position = self.from - 1;
        self.head = self.head.max(self.position);
        self.gap = Gap::Closed;
        *applied = Applied { restart: true, ready: Vec::new() };
    }

    fn offer(&mut self, entries: impl IntoIterator<Item = v1::Entry>, applied: &mut Applied) {
        for entry in entries {
            self.head = self.head.max(entry.seq);
            if entry.seq == self.position + 1 {
                self.position = entry.seq;
                applied.ready.push(entry);
            } else if entry.seq > self.position {
                self.keep_ahead(entry);
            }
        }
        self.ahead = self.ahead.split_off(&(self.position + 1));
        while let Some(entry) = self.ahead.remove(&(self.position + 1)) {
            self.position = entry.seq;
            applied.ready.push(entry);
        }
    }

    /// At the bound the farthest entry goes.
    fn keep_ahead(&mut self, entry: v1::Entry) {
        self.ahead.insert(entry.seq, entry);
        if self.ahead.len() > AHEAD_MAX {
            self.ahead.pop_last();
        }
    }

    fn watch_gap(&mut self, now: Instant) {
        match (self.missing(), self.gap) {
            (None, Gap::Open { .. }) => self.gap = Gap::Closed,
            (Some(_), Gap::Closed) => self.gap = Gap::Open { pull_at: now + GAP_WAIT, tries: 0 },
            _ => {}
        }
    }

    /// The first range that is known to exist and not here.
    pub fn missing(&self) -> Option<RangeInclusive<i64>> {
        let first = self.position + 1;
        let last = match self.ahead.first_key_value() {
            Some((seq, _)) => seq - 1,
            None => self.head,
        };
        (first <= last).then(|| first..=last.min(self.position + PULL_MAX))
    }

    /// When [`Timeline::pull`] has something to do.
    pub fn pull_at(&self) -> Option<Instant> {
        match self.gap {
            Gap::Open { pull_at, .. } => Some(pull_at),
            Gap::Closed | Gap::Pulling { .. } => None,
        }
    }

    /// The range to pull now, if any. Until [`Timeline::pulled`] there is no other.
    pub fn pull(&mut self, now: Instant) -> Option<RangeInclusive<i64>> {
        let Gap::Open { pull_at, tries } = self.gap else {
            return None;
        };
        if pull_at > now {
            return None;
        }
        // Pushes may have closed it meanwhile.
        let missing = self.missing();
        self.gap = if missing.is_some() { Gap::Pulling { tries } } else { Gap::Closed };
        missing
    }

    /// What a pull brought; `None` when it failed.
    pub fn pulled(&mut self, entries: Option<v1::Entries>, now: Instant) -> Applied {
        let mut applied = Applied::default();
        let before = self.position;
        if let Some(entries) = entries {
            // Up to the floor everything is removed.
            if entries.floor > self.position {
                self.restart(entries.floor + 1, &mut applied);
            }
            self.head = self.head.max(entries.head);
            self.offer(entries.entries, &mut applied);
        }
        let Gap::Pulling { tries } = self.gap else {
            self.watch_gap(now);
            return applied;
        };
        let tries = if self.position > before { 0 } else { tries + 1 };
        self.gap = match self.missing() {
            None => Gap::Closed,
            Some(_) if tries > TRIES_MAX => {
                self.give_up();
                Gap::Closed
            }
            Some(_) => Gap::Open { pull_at: now + pause(tries), tries },
        };
        applied
    }

    /// The server says there is nothing for us in the gap.
    pub fn give_up(&mut self) {
        self.ahead.clear();
        self.head = self.position;
        self.gap = Gap::Closed;
    }

    /// A pull that was under way got lost with its connection.
    pub fn link_lost(&mut self, now: Instant) {
        if let Gap::Pulling { tries } = self.gap {
            self.gap = Gap::Open { pull_at: now, tries };
        }
    }
}

fn pause(tries: u32) -> Duration {
    match tries {
        0 => Duration::ZERO,
        _ => GAP_WAIT * 2_u32.pow(tries.min(7)),
    }
}

fn lowest_visible(conversation: &v1::Conversation) -> i64 {
    let joined_at = conversation.me.as_ref().map_or(0, |me| me.visible_from);
    (conversation.floor + 1).max(joined_at)
}

/// Who left sees no further than that.
fn highest_visible(conversation: &v1::Conversation) -> i64 {
    match conversation.me.as_ref().map_or(0, |me| me.visible_to) {
        0 => conversation.head,
        visible_to => conversation.head.min(visible_to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: i64) -> v1::Entry {
        v1::Entry { seq, ..v1::Entry::default() }
    }

    fn seqs(applied: &Applied) -> Vec<i64> {
        applied.ready.iter().map(|entry| entry.seq).collect()
    }

    fn page(head: i64, first: i64, limited: bool) -> v1::ConversationChange {
        let conversation = v1::Conversation { head, ..v1::Conversation::default() };
        v1::ConversationChange { conversation: Some(conversation), entries: (first..=head).map(entry).collect(), limited }
    }

    #[test]
    fn next_applies_and_older_is_ignored() {
        let now = Instant::now();
        let mut timeline = Timeline::new(1, 5);
        assert_eq!(seqs(&timeline.push([entry(6), entry(5), entry(6)], now)), [6]);
        assert_eq!(timeline.position(), 6);
        assert_eq!(timeline.pull_at(), None);
    }

    #[test]
    fn a_gap_waits_then_pulls_once_at_a_time() {
        let now = Instant::now();
        let mut timeline = Timeline::new(1, 5);
        assert_eq!(seqs(&timeline.push([entry(9)], now)), [] as [i64; 0]);
        assert_eq!(timeline.pull_at(), Some(now + GAP_WAIT));
        assert_eq!(timeline.pull(now), None, "before its time");
        assert_eq!(timeline.pull(now + GAP_WAIT), Some(6..=8));
        assert_eq!(timeline.pull(now + GAP_WAIT * 9), None, "one in flight");
        let entries = v1::Entries { entries: (6..=8).map(entry).collect(), ..v1::Entries::default() };
        assert_eq!(seqs(&timeline.pulled(Some(entries), now)), [6, 7, 8, 9]);
        assert_eq!(timeline.pull_at(), None);
    }

    #[test]
    fn a_gap_that_closes_by_itself_is_not_pulled() {
        let now = Instant::now();
        let mut timeline = Timeline::new(1, 0);
        timeline.push([entry(2)], now);
        assert_eq!(seqs(&timeline.push([entry(1)], now)), [1, 2]);
        assert_eq!(timeline.pull(now + GAP_WAIT), None);
    }

    #[test]
    fn limited_starts_a_new_window_unless_it_reaches_the_old_one() {
        let now = Instant::now();
        let mut timeline = Timeline::new(1, 100);
        let applied = timeline.page(page(300, 251, true), now);
        assert!(applied.restart);
        assert_eq!((timeline.from(), timeline.position()), (251, 300));
        let applied = timeline.page(page(310, 280, true), now);
        assert!(!applied.restart);
        assert_eq!(seqs(&applied), (301..=310).collect::<Vec<_>>());
        assert_eq!(timeline.from(), 251);
    }

    #[test]
    fn a_new_conversation_is_pulled_if_short_and_begins_at_its_end_if_long() {
        let now = Instant::now();
        let mut short = Timeline::new(1, 0);
        short.page(page(7, 8, false), now);
        assert_eq!(short.pull(now + GAP_WAIT), Some(1..=7));
        let mut long = Timeline::new(1, 0);
        assert!(long.page(page(7_000, 7_001, false), now).restart);
        assert_eq!((long.from(), long.position(), long.missing()), (7_001, 7_000, None));
    }

    #[test]
    fn limited_without_entries_is_pulled_if_short_and_begins_anew_if_long() {
        let now = Instant::now();
        let mut timeline = Timeline::new(1, 3);
        assert!(!timeline.page(page(50, 51, true), now).restart);
        assert_eq!(timeline.missing(), Some(4..=50));
        assert!(timeline.page(page(500, 501, true), now).restart);
        assert_eq!((timeline.position(), timeline.missing()), (500, None));
    }

    #[test]
    fn a_head_without_its_entries_is_a_gap() {
        let now = Instant::now();
        let mut timeline = Timeline::new(1, 3);
        timeline.page(page(7, 8, false), now);
        assert_eq!(timeline.pull(now + GAP_WAIT), Some(4..=7));
    }

    #[test]
    fn who_left_pulls_no_further_than_they_may_see() {
        let now = Instant::now();
        let mut timeline = Timeline::new(1, 3);
        let me = v1::Membership { visible_to: 3, ..v1::Membership::default() };
        let conversation = v1::Conversation { head: 9, me: Some(me), ..v1::Conversation::default() };
        timeline.page(v1::ConversationChange { conversation: Some(conversation), ..v1::ConversationChange::default() }, now);
        assert_eq!(timeline.missing(), None);
    }

    #[test]
    fn a_gap_that_pushes_closed_while_its_pull_got_lost_is_done() {
        let now = Instant::now();
        let mut timeline = Timeline::new(1, 0);
        timeline.push([entry(2)], now);
        timeline.pull(now + GAP_WAIT).expect("due");
        timeline.push([entry(1)], now);
        timeline.link_lost(now);
        assert_eq!(timeline.pull(now), None);
        assert_eq!(timeline.pull_at(), None, "nothing is due any more");
    }

    #[test]
    fn a_gap_that_never_closes_is_given_up() {
        let mut now = Instant::now();
        let mut timeline = Timeline::new(1, 3);
        timeline.push([entry(9)], now);
        let mut pulls = 0;
        while let Some(at) = timeline.pull_at() {
            now = at;
            timeline.pull(now).expect("due");
            timeline.pulled(None, now);
            pulls += 1;
        }
        assert_eq!(pulls, TRIES_MAX + 1);
        timeline.push([entry(10)], now);
        assert!(timeline.pull_at().is_some(), "the next push opens it anew");
    }

    #[test]
    fn retention_moves_the_window() {
        let now = Instant::now();
        let mut timeline = Timeline::new(1, 3);
        timeline.push([entry(60)], now);
        timeline.pull(now + GAP_WAIT).expect("due");
        let entries = v1::Entries { entries: vec![entry(50)], head: 60, floor: 49, ..v1::Entries::default() };
        let applied = timeline.pulled(Some(entries), now);
        assert!(applied.restart);
        assert_eq!(seqs(&applied), [50]);
        assert_eq!(timeline.missing(), Some(51..=59));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut timeline = Timeline::new(1, 0);
        timeline.push((2..2000).map(entry), Instant::now());
        assert_eq!(timeline.ahead.len(), AHEAD_MAX);
        assert_eq!(timeline.head, 1999);
    }
}
