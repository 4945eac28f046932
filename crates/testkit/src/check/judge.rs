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
