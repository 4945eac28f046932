//! What must hold: every deed against the log, every screen against the model.
//!
//! **Invariant:** pure. The same deeds, log and screens are always judged alike.

use super::plan::{PEOPLE, Place, person_of};
use super::town::Town;
use super::truth::{self, Log, Truth, Visible};
use crate::device::deed::{Act, Deed, Outcome};
use crate::device::timeline::{Line, Timeline, text_of};
use skein_protocol::v1::entry::Event;
use skein_protocol::{Request, v1};
use std::collections::{BTreeMap, BTreeSet};

/// All that was asked for by one device.
pub struct Doings<'a> {
    pub device: usize,
    pub deeds: &'a [Deed],
}

/// What the deeds say about people, and no log does.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// How far each person said to have read, by conversation.
    marked: BTreeMap<(usize, i64), i64>,
    /// Whether each person's last deed about the room was to join it, or to leave it.
    in_room: BTreeMap<usize, bool>,
}

impl Facts {
    pub fn note(&mut self, device: usize, deeds: &[Deed]) {
        let person = person_of(device);
        for deed in deeds {
            match (&deed.act, &deed.outcome, &deed.request) {
                (Act::MarkRead, Outcome::Done, Some(Request::MarkRead(mark))) => {
                    let marked = self.marked.entry((person, deed.conversation)).or_default();
                    *marked = mark.seq.max(*marked);
                }
                (Act::JoinRoom, Outcome::Done, _) => drop(self.in_room.insert(person, true)),
                (Act::Leave, Outcome::Done | Outcome::Acked(_), _) => drop(self.in_room.insert(person, false)),
                _ => {}
            }
        }
    }

    /// All but Dan are in from the start.
    fn is_in_room(&self, person: usize) -> bool {
        self.in_room.get(&person).copied().unwrap_or(person != PEOPLE - 1)
    }
}

/// What one person must have on every screen.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    pub visible: Visible,
    pub unread: i64,
}

pub fn expected(truth: &Truth, town: &Town, place: Place, person: usize, facts: &Facts) -> Option<Expected> {
    let (conversation, uid) = (town.id(place), town.uids[person]);
    let is_member = match place {
        Place::Direct => person < 2,
        Place::Group => true,
        Place::Room => facts.is_in_room(person),
    };
    let log = truth.log(conversation);
    let visible = truth::visible(log, place, uid, is_member)?;
    let marked = facts.marked.get(&(person, conversation)).copied().unwrap_or(0);
    Some(Expected { visible, unread: truth::unread(log, visible, uid, marked) })
}

/// What keeps a device from being complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// Of the entries it has too few, or too many.
    Entries(String),
    Other(String),
}

/// What a device still lacks in entries and numbers; nothing if it has all.
pub fn lacks(timeline: Option<&Timeline>, expected: Option<&Expected>) -> Option<Lack> {
    let (timeline, expected) = match (timeline, expected) {
        (None, None) => return None,
        (Some(timeline), None) if timeline.entries().next().is_none() => return None,
        (Some(_), None) => return Some(Lack::Other("shows a conversation that is none of theirs".to_owned())),
        (None, Some(_)) => return Some(Lack::Other("does not know the conversation".to_owned())),
        (Some(timeline), Some(expected)) => (timeline, expected),
    };
    let Visible { from, to, .. } = expected.visible;
    if timeline.start() != from || timeline.applied() != to {
        return Some(Lack::Entries(format!("has {}..={}, should have {from}..={to}", timeline.start(), timeline.applied())));
    }
    let unread = timeline.unread();
    let told = || Lack::Other(format!("says unread {unread:?}, should be {} (read {})", expected.unread, timeline.read()));
    (unread != Some(expected.unread)).then(told)
}

/// What is on a screen that holds the right number of entries, but should not be.
pub fn wrong_on_screen(timeline: &Timeline, log: &Log, visible: Visible) -> Option<String> {
    let is_stored =
        |entry: &v1::Entry| log.get(&entry.seq).is_some_and(|stored| (stored.author, &stored.key) == (entry.author, &entry.key));
    if let Some(entry) = timeline.entries().find(|entry| !is_stored(entry)) {
        let stored = log.get(&entry.seq).map(|stored| &stored.key);
        return Some(format!("seq {} is {:?} here and {stored:?} in the log", entry.seq, entry.key));
    }
    let (mut shown, mut expected) = (timeline.lines(), truth::screen(log, visible));
    for seq in truth::recalled_behind(log, visible) {
        // A recall blanks what is stored, but is not told to those who are no members any more: either text is right.
        for lines in [&mut shown, &mut expected] {
            lines.entry(seq).and_modify(|line| line.text = None);
        }
    }
    difference(&shown, &expected)
}

/// The first line that differs.
pub fn difference(shown: &BTreeMap<i64, Line>, expected: &BTreeMap<i64, Line>) -> Option<String> {
    let seqs: BTreeSet<i64> = shown.keys().chain(expected.keys()).copied().collect();
    let differs = seqs.into_iter().find(|seq| shown.get(seq) != expected.get(seq))?;
    Some(format!("line {differs} is {:.200?}, should be {:.200?}", brief(shown.get(&differs)), brief(expected.get(&differs))))
}

fn brief(line: Option<&Line>) -> Option<(String, Option<String>, Vec<String>)> {
    let line = line?;
    let text = line.text.as_ref().map(|text| text.chars().take(24).collect());
    Some((line.key.clone(), text, line.reactions.iter().map(|(emoji, uid)| format!("{emoji}{uid}")).collect()))
}

// === deeds ===

/// What is wrong between what was asked for and what is stored.
pub fn deeds_against_log(truth: &Truth, town: &Town, doings: &[Doings<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    let mut stored: BTreeMap<(i64, &str), (i64, i64)> = BTreeMap::new();
    for place in Place::ALL {
        for (seq, entry) in truth.log(town.id(place)) {
            if let Some((_, first)) = stored.insert((entry.author, &entry.key), (town.id(place), *seq)) {
                found.push(format!("key {:?} of {} is stored at seq {first} and {seq}", entry.key, entry.author));
            }
        }
    }
    for doing in doings {
        let uid = town.uid_of(doing.device);
        for deed in doing.deeds {
            let at = stored.remove(&(uid, deed.key.as_str()));
            found.extend(
                deed_offence(truth, uid, deed, at.map(|(_, seq)| seq)).map(|offence| format!("{} {offence}", Town::label(doing.device))),
            );
        }
        found.extend(order_offences(doing, truth, uid));
    }
    let strangers = stored.into_iter().filter(|((_, key), _)| !key.starts_with("seed-"));
    found.extend(strangers.map(|((author, key), (_, seq))| format!("seq {seq} of {author} has key {key:?}, which nobody asked for")));
    found
}

fn deed_offence(truth: &Truth, uid: i64, deed: &Deed, stored: Option<i64>) -> Option<String> {
    let told = |what: String| Some(format!("{} {:?}: {what}", deed.key, kind(&deed.act)));
    match (&deed.outcome, stored) {
        (Outcome::Acked(_), _) if matches!(deed.act, Act::SendAgain | Act::Leave) => None,
        (Outcome::Acked(seq), _) => match truth.log(deed.conversation).get(seq) {
            None => told(format!("acked with seq {seq}, which is not there")),
            Some(entry) if holds(entry, uid, deed, truth) => None,
            Some(entry) => told(format!("acked with seq {seq}, which holds {:?} of {}", entry.key, entry.author)),
        },
        (Outcome::Refused(code), None) if may_be_refused(&deed.act, code) => None,
        (Outcome::Refused(code), None) => told(format!("refused with {code}")),
        (Outcome::Refused(code), Some(seq)) => told(format!("refused with {code}, but stored at seq {seq}")),
        (Outcome::Skipped, Some(seq)) => told(format!("never sent, but stored at seq {seq}")),
        (Outcome::Waiting, _) => told("has no outcome".to_owned()),
        (Outcome::Done | Outcome::Forgotten | Outcome::Skipped, _) => None,
    }
}

fn kind(act: &Act) -> String {
    format!("{act:?}").chars().take(40).collect()
}

fn holds(entry: &v1::Entry, uid: i64, deed: &Deed, truth: &Truth) -> bool {
    let is_it = (entry.author, &entry.key) == (uid, &deed.key);
    let recalled =
        |seq: i64| truth.log(deed.conversation).values().any(|e| matches!(&e.event, Some(Event::Recalled(r)) if r.target == seq));
    match (&deed.request, &entry.event) {
        (Some(Request::Send(send)), Some(Event::Message(message))) => {
            is_it
                && (message.body.as_ref().map(text_of) == send.body.as_ref().map(text_of)
                    || (message.body.is_none() && recalled(entry.seq)))
        }
        (Some(Request::Edit(edit)), Some(Event::Edited(edited))) => is_it && edit.target == edited.target,
        // Whoever recalls what is recalled already is told of the first recall.
        (Some(Request::Recall(recall)), Some(Event::Recalled(recalled))) => recall.target == recalled.target,
        (Some(Request::React(react)), Some(Event::Reacted(reacted))) => {
            is_it && (react.target, react.on, &react.emoji) == (reacted.target, reacted.on, &reacted.emoji)
        }
        (Some(Request::Invite(invite)), Some(Event::Joined(joined))) => is_it && invite.uids == joined.uids,
        (Some(Request::RemoveMember(remove)), Some(Event::Left(left))) => is_it && remove.uid == left.uid,
        _ => false,
    }
}

/// Refusals that the script provokes, or that other people's deeds can bring about.
fn may_be_refused(act: &Act, code: &str) -> bool {
    match act {
        Act::SendOutOfOrder { .. } => matches!(code, "out_of_order" | "not_member"),
        Act::SendConflict { .. } => matches!(code, "idempotency_conflict" | "not_member"),
        Act::Edit { .. } | Act::React { .. } => matches!(code, "recalled" | "not_member"),
        Act::Send { .. } | Act::SendAndForget { .. } | Act::SendAgain | Act::Recall { .. } => code == "not_member",
        _ => false,
    }
}

/// One device's messages to one conversation stand in the order in which they were said.
fn order_offences(doing: &Doings<'_>, truth: &Truth, uid: i64) -> Vec<String> {
    let said: BTreeSet<&str> = doing.deeds.iter().filter(|deed| deed.act.is_send()).map(|deed| deed.key.as_str()).collect();
    let mut found = Vec::new();
    for place in BTreeSet::from_iter(doing.deeds.iter().map(|deed| deed.conversation)) {
        let stored = truth.log(place).values().filter(|entry| entry.author == uid && said.contains(entry.key.as_str()));
        let numbers: Vec<u32> = stored.filter_map(|entry| entry.key.rsplit('-').next()?.parse().ok()).collect();
        if let Some(pair) = numbers.windows(2).find(|pair| pair[0] > pair[1]) {
            found.push(format!(
                "{} said {} before {}, and they are stored the other way round",
                Town::label(doing.device),
                pair[1],
                pair[0]
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::timeline::{is_message, text_body};

    const ANN: i64 = 11;
    const BOB: i64 = 12;
    const CAT: i64 = 13;
    const GROUP: i64 = 2;
    /// The first devices of Ann and Cat.
    const ANNS: usize = 0;
    const CATS: usize = 4;
    const CAT_IS_REMOVED_AT: i64 = 5;

    fn town() -> Town {
        Town::imagined([ANN, BOB, CAT, 14], [1, GROUP, 3])
    }

    /// Ann founds the group with Bob and Cat, says two things, Cat one; Cat is removed, and Ann says one more.
    fn log() -> Log {
        let joined = Event::Joined(v1::MembersJoined { uids: vec![BOB, CAT] });
        let said = |key: &str| Event::Message(v1::Message { body: Some(text_body(key)), reply_to: 0 });
        let events = [
            (ANN, "seed-group", joined),
            (ANN, "0-0-1", said("0-0-1")),
            (ANN, "0-0-2", said("0-0-2")),
            (CAT, "0-4-3", said("0-4-3")),
            (ANN, "0-0-4", Event::Left(v1::MemberLeft { uid: CAT })),
            (ANN, "0-0-5", said("0-0-5")),
        ];
        let (mut log, mut count) = (Log::new(), 0);
        for (seq, (author, key, event)) in (1..).zip(events) {
            count += i64::from(matches!(event, Event::Message(_)));
            log.insert(seq, v1::Entry { seq, author, count, key: key.to_owned(), event: Some(event), ..v1::Entry::default() });
        }
        log
    }

    fn truth_of(log: Log) -> Truth {
        let mut truth = Truth::default();
        log.into_values().for_each(|entry| truth.put(GROUP, entry));
        truth
    }

    fn said(key: &str, seq: i64) -> Deed {
        let mut deed = Deed::new(GROUP, key.to_owned(), Act::Send { text: key.to_owned() });
        deed.decide(None, 0, None);
        deed.outcome = Outcome::Acked(seq);
        deed
    }

    fn removal() -> Deed {
        let mut deed = Deed::new(GROUP, "0-0-4".to_owned(), Act::Remove { uid: CAT });
        deed.decide(None, 0, None);
        deed.outcome = Outcome::Acked(CAT_IS_REMOVED_AT);
        deed
    }

    /// What is wrong with this log, if people did what [`log`] tells.
    fn found(log: Log) -> Vec<String> {
        let anns = [said("0-0-1", 2), said("0-0-2", 3), removal(), said("0-0-5", 6)];
        let cats = [said("0-4-3", 4)];
        let truth = truth_of(log);
        let mut found = truth.offences();
        let doings = [Doings { device: ANNS, deeds: &anns }, Doings { device: CATS, deeds: &cats }];
        found.extend(deeds_against_log(&truth, &town(), &doings));
        found
    }

    /// One of the offences tells this.
    fn is_told(log: Log, of: &str) {
        let found = found(log);
        assert!(found.iter().any(|offence| offence.contains(of)), "{of:?} is not in {found:?}");
    }

    /// As a device of theirs shows it that heard these entries and was told of this head.
    fn screen(uid: i64, seqs: impl IntoIterator<Item = i64>, head: i64) -> Timeline {
        let (log, mut timeline) = (log(), Timeline::default());
        let me = v1::Membership { visible_from: 1, ..v1::Membership::default() };
        timeline.learn(&v1::Conversation { id: GROUP, head, me: Some(me), ..v1::Conversation::default() });
        for entry in seqs.into_iter().map(|seq| log[&seq].clone()) {
            let own = (entry.author == uid && is_message(&entry)).then_some(entry.seq);
            timeline.hear(uid, entry);
            timeline.note_read(own.unwrap_or(0));
        }
        timeline
    }

    fn expected_of(person: usize) -> Expected {
        expected(&truth_of(log()), &town(), Place::Group, person, &Facts::default()).unwrap()
    }

    #[test]
    fn a_clean_world_is_told_nothing_about() {
        assert_eq!(found(log()), Vec::<String>::new());
        for (person, uid, head) in [(0, ANN, 6), (1, BOB, 6), (2, CAT, CAT_IS_REMOVED_AT)] {
            let (timeline, expected) = (screen(uid, 1..=head, head), expected_of(person));
            assert_eq!(lacks(Some(&timeline), Some(&expected)), None, "{uid}");
            assert_eq!(wrong_on_screen(&timeline, &log(), expected.visible), None, "{uid}");
            assert_eq!(timeline.offences, Vec::<String>::new(), "{uid}");
        }
    }

    #[test]
    fn a_lost_acked_message_is_told() {
        let mut lost = log();
        lost.remove(&6);
        is_told(lost, "acked with seq 6, which is not there");
        let mut replaced = log();
        replaced.get_mut(&6).unwrap().key = "0-2-9".to_owned();
        is_told(replaced, "acked with seq 6, which holds \"0-2-9\"");
    }

    #[test]
    fn a_double_is_told() {
        let mut log = log();
        let again = v1::Entry { seq: 7, count: 5, ..log[&6].clone() };
        log.insert(7, again);
        is_told(log, "is stored at seq 6 and 7");
    }

    #[test]
    fn an_entry_that_nobody_asked_for_is_told() {
        let mut log = log();
        log.insert(7, v1::Entry { seq: 7, count: 5, key: "0-0-9".to_owned(), ..log[&6].clone() });
        is_told(log, "which nobody asked for");
    }

    #[test]
    fn what_was_refused_and_is_stored_is_told() {
        let mut refused = said("0-4-3", 0);
        refused.outcome = Outcome::Refused("not_member".to_owned());
        let found = deeds_against_log(&truth_of(log()), &town(), &[Doings { device: CATS, deeds: &[refused] }]);
        assert!(found.iter().any(|offence| offence.contains("refused with not_member, but stored at seq 4")), "{found:?}");
    }

    #[test]
    fn a_wrong_order_is_told() {
        let mut log = log();
        let (first, second) = (log[&2].clone(), log[&3].clone());
        log.insert(2, v1::Entry { seq: 2, count: 1, ..second });
        log.insert(3, v1::Entry { seq: 3, count: 2, ..first });
        is_told(log, "said 1 before 2, and they are stored the other way round");
    }

    #[test]
    fn a_gap_is_told() {
        let mut log = log();
        log.remove(&4);
        is_told(log, "has no seq 4");
        let timeline = screen(BOB, [1, 2, 3, 5, 6], 6);
        let told = lacks(Some(&timeline), Some(&expected_of(1)));
        assert_eq!(told, Some(Lack::Entries("has 1..=3, should have 1..=6".to_owned())));
    }

    #[test]
    fn a_wrong_unread_is_told() {
        let mut timeline = screen(BOB, 1..=6, 6);
        timeline.note_read(3);
        let Some(Lack::Other(told)) = lacks(Some(&timeline), Some(&expected_of(1))) else { panic!("nothing is told") };
        assert!(told.contains("says unread Some(2), should be 4"), "{told}");
    }

    #[test]
    fn other_words_on_a_screen_are_told() {
        let mut log = log();
        log.get_mut(&3).unwrap().event = Some(Event::Message(v1::Message { body: Some(text_body("else")), reply_to: 0 }));
        let told = wrong_on_screen(&screen(BOB, 1..=6, 6), &log, expected_of(1).visible);
        assert!(told.is_some_and(|told| told.contains("line 3")));
    }

    #[test]
    fn an_entry_after_the_removal_is_told() {
        let timeline = screen(CAT, 1..=6, 6);
        assert_eq!(timeline.offences, ["told of seq 6 after the removal at Some(5)"]);
        let told = lacks(Some(&timeline), Some(&expected_of(2)));
        assert_eq!(told, Some(Lack::Entries("has 1..=6, should have 1..=5".to_owned())));
    }

    #[test]
    fn a_conversation_on_the_wrong_screen_is_told() {
        let timeline = screen(BOB, 1..=6, 6);
        assert!(lacks(Some(&timeline), None).is_some());
        assert!(lacks(None, Some(&expected_of(1))).is_some());
        assert_eq!(lacks(None, None), None);
    }
}
