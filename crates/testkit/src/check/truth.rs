//! What is stored, as read back through the product's own queries, and what follows from it for each person.
//!
//! **Invariant:** the model is arithmetic on the log and on what was asked for. It shares no code with the server.

use super::plan::Place;
use super::town::Town;
use crate::device::timeline::{Line, is_message, lines, text_of};
use crate::wire::{self, Buffers, Ears, Endpoints, Mouth, Transport};
use anyhow::{Context, Result, bail};
use skein_protocol::v1::entry::Event;
use skein_protocol::{Reply, Request, v1};
use std::collections::{BTreeMap, BTreeSet};

/// No conversation of a seed comes near.
const SEQ_MAX: i64 = 1 << 40;

/// The log of a conversation.
pub type Log = BTreeMap<i64, v1::Entry>;

#[derive(Debug, Clone, Default)]
pub struct Truth {
    logs: BTreeMap<i64, Log>,
}

impl Truth {
    pub fn log(&self, conversation: i64) -> &Log {
        static EMPTY: Log = Log::new();
        self.logs.get(&conversation).unwrap_or(&EMPTY)
    }

    pub fn head(&self, conversation: i64) -> i64 {
        self.log(conversation).last_key_value().map_or(0, |(seq, _)| *seq)
    }

    pub fn put(&mut self, conversation: i64, entry: v1::Entry) {
        self.logs.entry(conversation).or_default().insert(entry.seq, entry);
    }

    /// What is wrong with the logs as such.
    pub fn offences(&self) -> Vec<String> {
        self.logs.iter().flat_map(|(id, log)| log_offences(*id, log)).collect()
    }

    /// What `later` tells otherwise: an entry never changes, but for the body that a recall blanks.
    pub fn contradictions(&self, later: &Truth) -> Vec<String> {
        let mut found = Vec::new();
        for (id, log) in &self.logs {
            for (seq, entry) in log {
                let same =
                    later.log(*id).get(seq).is_some_and(|now| (now.author, &now.key, now.at_ms) == (entry.author, &entry.key, entry.at_ms));
                if !same {
                    found.push(format!("conversation {id} seq {seq} was read before as {:?} and is gone or another now", entry.key));
                }
            }
        }
        found
    }
}

fn log_offences(id: i64, log: &Log) -> Vec<String> {
    let mut found = Vec::new();
    let (mut count, mut at, mut keys) = (0, 0, BTreeSet::new());
    for (position, (seq, entry)) in log.iter().enumerate() {
        let expected = position as i64 + 1;
        if *seq != expected {
            found.push(format!("conversation {id} has no seq {expected}: the next one is {seq}"));
            return found;
        }
        count += i64::from(is_message(entry));
        if entry.count != count {
            found.push(format!("conversation {id} seq {seq} says count {}, it is {count}", entry.count));
        }
        if entry.at_ms < at {
            found.push(format!("conversation {id} seq {seq} is older than the one before it"));
        }
        at = entry.at_ms;
        if !keys.insert((entry.author, entry.key.clone())) {
            found.push(format!("conversation {id} holds key {:?} of {} twice, again at seq {seq}", entry.key, entry.author));
        }
    }
    found
}

/// What one person may see of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visible {
    pub from: i64,
    pub to: i64,
    pub is_removed: bool,
}

/// Of a direct conversation or a group all follows from the log; of a room whether the person is in it does not.
pub fn visible(log: &Log, place: Place, uid: i64, joined: bool) -> Option<Visible> {
    let head = log.last_key_value().map_or(0, |(seq, _)| *seq);
    let left = log.iter().find(|(_, entry)| matches!(&entry.event, Some(Event::Left(left)) if left.uid == uid)).map(|(seq, _)| *seq);
    let from = match place {
        Place::Direct | Place::Room => joined.then_some(1)?,
        Place::Group => joined_at(log, uid)?,
    };
    Some(Visible { from, to: left.unwrap_or(head), is_removed: left.is_some() })
}

/// Whoever began the group sees it from its first entry.
fn joined_at(log: &Log, uid: i64) -> Option<i64> {
    let joins = |entry: &v1::Entry| matches!(&entry.event, Some(Event::Joined(joined)) if joined.uids.contains(&uid));
    if log.get(&1).is_some_and(|first| first.author == uid) {
        return Some(1);
    }
    log.iter().find(|(_, entry)| joins(entry)).map(|(seq, _)| *seq)
}

/// Messages behind the read cursor: `marked` by the person, or their own last message, whichever is later.
pub fn unread(log: &Log, visible: Visible, uid: i64, marked: i64) -> i64 {
    let count_at = |seq: i64| log.range(..=seq).next_back().map_or(0, |(_, entry)| entry.count);
    let own = log.range(visible.from..=visible.to).rev().find(|(_, entry)| entry.author == uid && is_message(entry));
    let read = marked.min(visible.to).max(own.map_or(0, |(seq, _)| *seq)).max(visible.from - 1);
    count_at(visible.to) - count_at(read)
}

/// What a person's screen shows at the end.
pub fn screen(log: &Log, visible: Visible) -> BTreeMap<i64, Line> {
    lines(log.range(visible.from..=visible.to).map(|(_, entry)| entry))
}

/// Messages a former member may see that were recalled after the removal.
pub fn recalled_behind(log: &Log, visible: Visible) -> Vec<i64> {
    let targets = log.range(visible.to + 1..).filter_map(|(_, entry)| match &entry.event {
        Some(Event::Recalled(recalled)) => Some(recalled.target),
        _ => None,
    });
    targets.collect()
}

/// The messages a person may see, as they are now; for a former member as they were at the removal, but for those recalled
/// since: they are gone for everybody.
pub fn history(log: &Log, visible: Visible) -> BTreeMap<i64, Line> {
    let mut shown = screen(log, visible);
    for seq in recalled_behind(log, visible) {
        shown.entry(seq).and_modify(Line::recall);
    }
    shown
}

// === reading it ===

/// Looks through the eyes of one person, on a connection of its own that neither sends nor syncs.
pub struct Witness {
    token: String,
    connection: Option<(Mouth, Ears)>,
}

impl Witness {
    pub fn new(token: &str) -> Self {
        Self { token: token.to_owned(), connection: None }
    }

    async fn ask(&mut self, at: Endpoints, request: &Request) -> Result<Reply> {
        if self.connection.is_none() {
            let (mouth, ears, _) = wire::log_in(at, Transport::Tcp, Buffers::Usual, &self.token).await?;
            self.connection = Some((mouth, ears));
        }
        let Some((mouth, ears)) = &mut self.connection else { bail!("not connected") };
        let answer = wire::exchange(mouth, ears, request).await;
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    /// Adds to `truth` what it does not hold yet of all three conversations; `Err` while the server is away.
    pub async fn read_on(&mut self, at: Endpoints, town: &Town, truth: &mut Truth) -> Result<()> {
        for place in Place::ALL {
            let conversation = town.id(place);
            loop {
                let from = truth.head(conversation) + 1;
                let reply = self.ask(at, &Request::Pull(v1::Pull { conversation, from, to: SEQ_MAX })).await?;
                let Reply::Entries(page) = reply else { bail!("pull answered by {reply:?}") };
                let is_last = page.entries.is_empty();
                page.entries.into_iter().for_each(|entry| truth.put(conversation, entry));
                if is_last || truth.head(conversation) >= page.head {
                    break;
                }
            }
        }
        Ok(())
    }

    /// All of a conversation's history as this person is shown it, and what the server tells of the conversation.
    pub async fn history(&mut self, at: Endpoints, conversation: i64) -> Result<Option<(BTreeMap<i64, Line>, v1::Conversation)>> {
        let view = match self.ask(at, &Request::GetConversation(v1::GetConversation { conversation })).await? {
            Reply::ConversationReply(reply) => reply.conversation.context("a view")?,
            Reply::Error(error) if error.code == "not_found" || error.code == "not_member" => return Ok(None),
            other => bail!("view answered by {other:?}"),
        };
        let (mut shown, mut first_message_id) = (BTreeMap::new(), 0);
        loop {
            let request = v1::RequestHistory { conversation, first_message_id, last_message_id: 0, count: 100 };
            let reply = self.ask(at, &Request::RequestHistory(request)).await?;
            let Reply::HistoryPage(page) = reply else { bail!("history answered by {reply:?}") };
            let seqs = page.messages.iter().map(|message| message.seq).chain(page.events.iter().map(|event| event.seq));
            let lowest = seqs.min();
            shown.extend(page.messages.iter().map(line_of));
            match lowest.filter(|_| page.has_more_messages) {
                Some(lowest) => first_message_id = lowest,
                None => return Ok(Some((shown, view))),
            }
        }
    }

    /// Whatever comes of asking for entries behind `to`.
    pub async fn pull_behind(&mut self, at: Endpoints, conversation: i64, to: i64) -> Result<Vec<i64>> {
        match self.ask(at, &Request::Pull(v1::Pull { conversation, from: to + 1, to: SEQ_MAX })).await? {
            Reply::Entries(page) => Ok(page.entries.iter().map(|entry| entry.seq).collect()),
            Reply::Error(_) => Ok(Vec::new()),
            other => bail!("pull answered by {other:?}"),
        }
    }
}

pub fn line_of(message: &v1::MessageState) -> (i64, Line) {
    let reactions = message.reactions.iter().flat_map(|reaction| reaction.uids.iter().map(|uid| (reaction.emoji.clone(), *uid)));
    let text = message.body.as_ref().filter(|_| !message.recalled).map(text_of);
    (message.seq, Line { author: message.author, key: message.key.clone(), text, reactions: reactions.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::timeline::text_body;

    fn log(events: Vec<(i64, Event)>) -> Log {
        let mut count = 0;
        let mut log = Log::new();
        for (position, (author, event)) in events.into_iter().enumerate() {
            let seq = position as i64 + 1;
            count += i64::from(matches!(event, Event::Message(_)));
            let entry = v1::Entry { seq, author, count, key: format!("k{seq}"), event: Some(event), ..v1::Entry::default() };
            log.insert(seq, entry);
        }
        log
    }

    fn said() -> Event {
        Event::Message(v1::Message { body: Some(text_body("x")), reply_to: 0 })
    }

    fn joined(uids: &[i64]) -> Event {
        Event::Joined(v1::MembersJoined { uids: uids.to_vec() })
    }

    fn left(uid: i64) -> Event {
        Event::Left(v1::MemberLeft { uid })
    }

    /// 1 founds the group with 2, says two things, invites 3, removes 2, and says one more.
    fn group() -> Log {
        log(vec![(1, joined(&[1, 2])), (1, said()), (1, said()), (1, joined(&[3])), (3, said()), (1, left(2)), (1, said())])
    }

    #[test]
    fn members_see_from_their_join_to_their_removal() {
        let sees = |uid| visible(&group(), Place::Group, uid, true).map(|range| (range.from, range.to));
        assert_eq!(sees(1), Some((1, 7)));
        assert_eq!(sees(2), Some((1, 6)));
        assert_eq!(sees(3), Some((4, 7)));
        assert_eq!(sees(4), None);
        assert_eq!(visible(&group(), Place::Room, 3, false), None);
    }

    #[test]
    fn unread_starts_at_the_join_and_ends_at_the_removal() {
        let log = group();
        let unread_of = |uid, marked| unread(&log, visible(&log, Place::Group, uid, true).unwrap(), uid, marked);
        assert_eq!(unread_of(1, 0), 0, "own messages are read");
        assert_eq!(unread_of(2, 0), 3, "nothing after the removal counts");
        assert_eq!(unread_of(2, 2), 2);
        assert_eq!(unread_of(2, 7), 0, "a cursor ends with the view");
        assert_eq!(unread_of(3, 0), 1, "what was before the join does not count");
    }

    #[test]
    fn a_former_member_is_shown_the_past_but_for_what_was_recalled_since() {
        let mut log = group();
        let later = [
            Event::Edited(v1::Edited { target: 2, body: Some(text_body("behind their back")) }),
            Event::Reacted(v1::Reacted { target: 2, emoji: "e".into(), on: true }),
            Event::Recalled(v1::Recalled { target: 3 }),
        ];
        for (seq, event) in (8..).zip(later) {
            log.insert(seq, v1::Entry { seq, author: 1, event: Some(event), ..v1::Entry::default() });
        }
        let texts = |uid| {
            let shown = history(&log, visible(&log, Place::Group, uid, true).unwrap());
            shown.into_iter().map(|(seq, line)| (seq, line.text, line.reactions.len())).collect::<Vec<_>>()
        };
        let said = |seq, text: &str, reactions| (seq, Some(text.to_owned()), reactions);
        assert_eq!(texts(2), [said(2, "x", 0), (3, None, 0), said(5, "x", 0)]);
        assert_eq!(texts(1), [said(2, "behind their back", 1), (3, None, 0), said(5, "x", 0), said(7, "x", 0)]);
    }

    #[test]
    fn a_log_with_a_gap_a_wrong_count_or_a_doubled_key_is_an_offence() {
        let found = |change: fn(&mut Log)| {
            let mut log = group();
            change(&mut log);
            log_offences(9, &log).len()
        };
        assert_eq!(found(|_| ()), 0);
        assert_eq!(found(|log| drop(log.remove(&3))), 1);
        assert_eq!(found(|log| log.get_mut(&5).unwrap().count = 7), 1);
        assert_eq!(found(|log| log.get_mut(&7).unwrap().key = "k6".into()), 1);
        assert_eq!(found(|log| log.get_mut(&2).unwrap().at_ms = 5), 1);
    }

    #[test]
    fn a_truth_that_changes_its_mind_is_caught() {
        let truth = |log: Log| Truth { logs: BTreeMap::from([(9, log)]) };
        let before = truth(group());
        let mut longer = group();
        longer.insert(8, v1::Entry { seq: 8, ..v1::Entry::default() });
        assert!(before.contradictions(&truth(longer)).is_empty());
        let mut lost = group();
        lost.remove(&7);
        assert_eq!(before.contradictions(&truth(lost)).len(), 1);
    }
}
