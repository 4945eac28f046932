//! What one device knows of one conversation, by the rule of docs/protocol.md: apply the next seq, ignore older ones, pull
//! what is missing.
//!
//! **Invariant:** `entries` has no gap from `start` to `applied`; what came too early waits apart, is not on the screen,
//! and is bounded by what the server may send ahead.

use skein_protocol::v1;
use skein_protocol::v1::entry::Event;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// The first seq this user may see; unknown until a view of the conversation came.
    start: Option<i64>,
    applied: i64,
    entries: BTreeMap<i64, v1::Entry>,
    early: BTreeMap<i64, v1::Entry>,
    /// The highest seq that the server said exists.
    head: i64,
    /// The seq of the entry that ended this user's membership.
    removed_at: Option<i64>,
    read: i64,
    /// What no server may do.
    pub offences: Vec<String>,
}

/// One message as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub author: i64,
    pub key: String,
    /// `None` once recalled.
    pub text: Option<String>,
    /// (emoji, uid).
    pub reactions: BTreeSet<(String, i64)>,
}

impl Line {
    /// What a recall does to it.
    pub fn recall(&mut self) {
        self.text = None;
        self.reactions.clear();
    }
}

impl Timeline {
    /// Takes in how the server describes the conversation to this user.
    pub fn learn(&mut self, view: &v1::Conversation) {
        let me = view.me.clone().unwrap_or_default();
        if self.start.is_none() {
            self.start = Some(me.visible_from.max(1));
            self.applied = me.visible_from.max(1) - 1;
        }
        self.head = self.head.max(view.head);
        self.note_read(me.read);
        self.apply_early();
    }

    pub fn note_read(&mut self, seq: i64) {
        self.read = self.read.max(seq);
    }

    pub fn is_described(&self) -> bool {
        self.start.is_some()
    }

    /// Returns whether the screen changed.
    pub fn hear(&mut self, me: i64, entry: v1::Entry) -> bool {
        if self.removed_at.is_some_and(|end| entry.seq > end) {
            self.offences.push(format!("told of seq {} after the removal at {:?}", entry.seq, self.removed_at));
        }
        let known = self.entries.get(&entry.seq).or_else(|| self.early.get(&entry.seq));
        if let Some(known) = known.filter(|known| (known.author, &known.key) != (entry.author, &entry.key)) {
            self.offences.push(format!("seq {} is {:?} and {:?}", entry.seq, known.key, entry.key));
        }
        self.head = self.head.max(entry.seq);
        if matches!(&entry.event, Some(Event::Left(left)) if left.uid == me) {
            self.removed_at = Some(entry.seq);
        }
        if self.start.is_none() || entry.seq > self.applied {
            self.early.insert(entry.seq, entry);
        }
        let before = self.applied;
        self.apply_early();
        self.applied > before
    }

    fn apply_early(&mut self) {
        if self.start.is_none() {
            return;
        }
        while let Some(first) = self.early.first_entry() {
            let seq = *first.key();
            if seq > self.applied + 1 {
                return;
            }
            let entry = first.remove();
            if seq == self.applied + 1 {
                self.applied = seq;
                self.entries.insert(seq, entry);
            }
        }
    }

    /// What is missing, as far as is known.
    pub fn gap(&self) -> Option<(i64, i64)> {
        let last = self.early.last_key_value().map_or(0, |(seq, _)| *seq).max(self.head);
        (self.start.is_some() && last > self.applied).then_some((self.applied + 1, last))
    }

    /// A pull said that nothing is visible up to there: a former member's view ends early.
    pub fn note_end(&mut self, head: i64) {
        if self.early.is_empty() {
            self.head = self.head.min(head.max(self.applied));
        }
    }

    pub fn applied(&self) -> i64 {
        self.applied
    }

    pub fn start(&self) -> i64 {
        self.start.unwrap_or(1)
    }

    pub fn read(&self) -> i64 {
        self.read
    }

    pub fn head(&self) -> i64 {
        self.head
    }

    pub fn entries(&self) -> impl Iterator<Item = &v1::Entry> {
        self.entries.values()
    }

    pub fn lines(&self) -> BTreeMap<i64, Line> {
        lines(self.entries.values())
    }

    /// By the rule of the protocol: the newest count minus that at the read cursor, never before the first visible seq.
    /// `None` while that cursor lies beyond what is here.
    pub fn unread(&self) -> Option<i64> {
        let newest = self.entries.get(&self.applied).map_or(0, |entry| entry.count);
        let before_start = self.entries.first_key_value().map_or(0, |(_, first)| first.count - i64::from(is_message(first)));
        let at_read = match self.entries.get(&self.read) {
            Some(entry) => entry.count,
            None if self.read > self.applied => return None,
            None => before_start,
        };
        Some(newest - at_read.max(before_start))
    }
}

pub fn is_message(entry: &v1::Entry) -> bool {
    matches!(entry.event, Some(Event::Message(_)))
}

/// The text of a body of kind text.
pub fn text_of(body: &v1::Body) -> String {
    let part = |segment: &v1::Segment| match &segment.part {
        Some(v1::segment::Part::Text(text) | v1::segment::Part::Link(text)) => text.clone(),
        _ => String::new(),
    };
    body.segments.iter().map(part).collect()
}

pub fn text_body(text: &str) -> v1::Body {
    let segment = v1::Segment { part: Some(v1::segment::Part::Text(text.to_owned())) };
    v1::Body { kind: "text".to_owned(), segments: vec![segment], ..v1::Body::default() }
}

/// What a screen shows after these entries, in order.
pub fn lines<'a>(entries: impl Iterator<Item = &'a v1::Entry>) -> BTreeMap<i64, Line> {
    let mut lines: BTreeMap<i64, Line> = BTreeMap::new();
    for entry in entries {
        match &entry.event {
            Some(Event::Message(message)) => {
                let text = message.body.as_ref().map(text_of);
                let line = Line { author: entry.author, key: entry.key.clone(), text, reactions: BTreeSet::new() };
                lines.insert(entry.seq, line);
            }
            Some(Event::Edited(edited)) => {
                let line = lines.get_mut(&edited.target).filter(|line| line.text.is_some());
                if let (Some(line), Some(body)) = (line, &edited.body) {
                    line.text = Some(text_of(body));
                }
            }
            Some(Event::Recalled(recalled)) => {
                if let Some(line) = lines.get_mut(&recalled.target) {
                    line.recall();
                }
            }
            Some(Event::Reacted(reacted)) => {
                let reaction = (reacted.emoji.clone(), entry.author);
                if let Some(line) = lines.get_mut(&reacted.target) {
                    if reacted.on {
                        line.reactions.insert(reaction)
                    } else {
                        line.reactions.remove(&reaction)
                    };
                }
            }
            _ => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: i64 = 7;

    fn message(seq: i64, author: i64, text: &str) -> v1::Entry {
        let event = Event::Message(v1::Message { body: Some(text_body(text)), reply_to: 0 });
        v1::Entry { seq, author, count: seq, key: format!("k{seq}"), event: Some(event), ..v1::Entry::default() }
    }

    fn described(visible_from: i64, head: i64) -> Timeline {
        let mut timeline = Timeline::default();
        let me = v1::Membership { visible_from, ..v1::Membership::default() };
        timeline.learn(&v1::Conversation { head, me: Some(me), ..v1::Conversation::default() });
        timeline
    }

    #[test]
    fn entries_appear_in_order_whatever_order_they_come_in() {
        let mut timeline = described(1, 0);
        assert!(!timeline.hear(ME, message(2, 1, "two")));
        assert_eq!((timeline.applied(), timeline.gap()), (0, Some((1, 2))));
        assert!(timeline.hear(ME, message(1, 1, "one")));
        assert!(!timeline.hear(ME, message(1, 1, "one")), "a repetition changes nothing");
        assert_eq!((timeline.applied(), timeline.gap()), (2, None));
        assert!(timeline.offences.is_empty());
    }

    #[test]
    fn what_the_server_promised_and_did_not_send_is_a_gap() {
        assert_eq!(described(1, 3).gap(), Some((1, 3)));
        assert_eq!(described(4, 3).gap(), None);
        assert_eq!(Timeline::default().gap(), None, "nothing is known yet");
    }

    #[test]
    fn two_entries_with_one_seq_are_an_offence() {
        let mut timeline = described(1, 0);
        timeline.hear(ME, message(1, 1, "one"));
        timeline.hear(ME, v1::Entry { key: "other".into(), ..message(1, 1, "one") });
        assert_eq!(timeline.offences.len(), 1);
    }

    #[test]
    fn whatever_follows_a_removal_is_an_offence() {
        let mut timeline = described(1, 0);
        let left = |uid| v1::Entry { seq: 1, event: Some(Event::Left(v1::MemberLeft { uid })), ..v1::Entry::default() };
        timeline.hear(ME, left(ME + 1));
        timeline.hear(ME, message(2, 1, "for members"));
        assert!(timeline.offences.is_empty(), "somebody else was removed");
        timeline.hear(ME, v1::Entry { seq: 3, ..left(ME) });
        timeline.hear(ME, message(4, 1, "for members"));
        assert_eq!(timeline.offences.len(), 1);
    }

    #[test]
    fn unread_counts_messages_behind_the_cursor_and_none_before_the_join() {
        let mut timeline = described(3, 0);
        let joined = v1::Entry { count: 2, ..v1::Entry { event: Some(Event::Joined(v1::MembersJoined::default())), ..message(3, 1, "") } };
        timeline.hear(ME, joined);
        assert_eq!(timeline.unread(), Some(0));
        timeline.hear(ME, v1::Entry { count: 3, ..message(4, 1, "one") });
        timeline.hear(ME, v1::Entry { count: 4, ..message(5, 1, "two") });
        assert_eq!(timeline.unread(), Some(2));
        timeline.note_read(4);
        assert_eq!(timeline.unread(), Some(1));
        timeline.note_read(9);
        assert_eq!(timeline.unread(), None, "the cursor is beyond what is here");
    }

    #[test]
    fn edits_recalls_and_reactions_show_on_their_line() {
        let change = |seq, author, event| v1::Entry { seq, author, event: Some(event), ..v1::Entry::default() };
        let entries = [
            message(1, 1, "draft"),
            change(2, 1, Event::Edited(v1::Edited { target: 1, body: Some(text_body("final")) })),
            change(3, 2, Event::Reacted(v1::Reacted { target: 1, emoji: "👍".into(), on: true })),
            message(4, 2, "oops"),
            change(5, 2, Event::Recalled(v1::Recalled { target: 4 })),
        ];
        let lines = lines(entries.iter());
        assert_eq!(lines[&1].text.as_deref(), Some("final"));
        assert_eq!(lines[&1].reactions, BTreeSet::from([("👍".to_owned(), 2)]));
        assert_eq!(lines[&4].text, None);
        assert_eq!(lines.len(), 2);
    }
}
