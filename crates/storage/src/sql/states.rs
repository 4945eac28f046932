//! Messages as they are now, with their reactions, and pages of them.

use super::engine::{Sql, Statement, params};
use super::failure::Outcome;
use super::rows;
use super::transaction::{many, one};
use skein_domain::entry::{HistoryPage, MessageState, Reaction};
use skein_domain::id::{ConversationId, Seq, Uid};
use skein_domain::port::HistoryQuery;

pub(crate) const STATES_BACK: &str = concat!(
    "SELECT ",
    rows::message_columns!(),
    " FROM message s WHERE s.conversation = ?1 AND s.seq BETWEEN ?2 AND ?3 ORDER BY s.seq DESC LIMIT ?4"
);
pub(crate) const STATES_ON: &str = concat!(
    "SELECT ",
    rows::message_columns!(),
    " FROM message s WHERE s.conversation = ?1 AND s.seq BETWEEN ?2 AND ?3 ORDER BY s.seq LIMIT ?4"
);
macro_rules! select_shown {
    ($order:literal) => {
        Statement::differing(
            concat!(
                "SELECT ",
                rows::entry_columns!(),
                " FROM entry e INDEXED BY entry_shown WHERE e.conversation = ?1 AND e.seq BETWEEN ?2 AND ?3 AND e.kind > 3 ",
                $order
            ),
            concat!(
                "SELECT ",
                rows::entry_columns!(),
                " FROM entry e FORCE INDEX (entry_shown) WHERE e.conversation = ?1 AND e.seq BETWEEN ?2 AND ?3 AND e.is_shown = 1 ",
                $order
            ),
        )
    };
}

pub(crate) const SHOWN_BACK: Statement = select_shown!("ORDER BY e.seq DESC LIMIT ?4");
pub(crate) const SHOWN_ON: Statement = select_shown!("ORDER BY e.seq LIMIT ?4");

/// Items are messages and shown events alike: one more of each than asked for, merged, and cut to `count`.
pub(crate) fn history(connection: &dyn Sql, conversation: ConversationId, query: &HistoryQuery) -> Outcome<HistoryPage> {
    let from = query.after.map_or(query.from, |after| query.from.max(after.next()));
    let to = query.before.map_or(query.to, |before| query.to.min(Seq(before.0.saturating_sub(1))));
    let on = query.after.is_some() && query.before.is_none();
    let (states, shown) = if on { (STATES_ON, SHOWN_ON) } else { (STATES_BACK, SHOWN_BACK) };
    let count = query.count as usize;
    let one_more = i64::from(query.count) + 1;
    let range = params![conversation.0, from.0, to.0, one_more];
    let mut messages = many(connection, states, range, rows::message)?;
    let mut events = many(connection, shown, range, rows::entry)?;

    let mut seqs: Vec<Seq> = messages.iter().map(|m| m.seq).chain(events.iter().map(|e| e.seq)).collect();
    seqs.sort_unstable();
    if !on {
        seqs.reverse();
    }
    let has_more = seqs.len() > count;
    seqs.truncate(count);
    let (first, last) = (seqs.iter().min().copied().unwrap_or_default(), seqs.iter().max().copied().unwrap_or_default());
    messages.retain(|message| count > 0 && (first..=last).contains(&message.seq));
    events.retain(|event| count > 0 && (first..=last).contains(&event.seq));
    messages.sort_unstable_by_key(|message| message.seq);
    events.sort_unstable_by_key(|event| event.seq);
    add_reactions(connection, conversation, &mut messages)?;
    let floor = one(connection, "SELECT floor FROM conversation WHERE id = ?1", params![conversation.0], |row| row.get(0).map(Seq))?;
    Ok(HistoryPage { messages, events, has_more, floor: floor.unwrap_or_default() })
}

/// The newest message within `from..=to`.
pub(crate) fn last(connection: &dyn Sql, conversation: ConversationId, from: Seq, to: Seq) -> Outcome<Option<MessageState>> {
    let found = one(connection, STATES_BACK, params![conversation.0, from.0, to.0, 1], rows::message)?;
    let mut found: Vec<_> = found.into_iter().collect();
    add_reactions(connection, conversation, &mut found)?;
    Ok(found.pop())
}

pub(crate) const REACTIONS: &str =
    "SELECT seq, emoji, uid FROM reaction WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq, emoji, uid";

/// `messages` ascend by seq, and so do their reactions.
fn add_reactions(connection: &dyn Sql, conversation: ConversationId, messages: &mut [MessageState]) -> Outcome<()> {
    let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return Ok(()) };
    let found = many(connection, REACTIONS, params![conversation.0, first.seq.0, last.seq.0], |row| {
        Ok((Seq(row.get(0)?), row.get::<String>(1)?, Uid(row.get(2)?)))
    })?;
    for (seq, emoji, uid) in found {
        let Ok(index) = messages.binary_search_by_key(&seq, |message| message.seq) else { continue };
        let reactions = &mut messages[index].reactions;
        match reactions.last_mut().filter(|reaction| reaction.emoji == emoji) {
            Some(reaction) => reaction.uids.push(uid),
            None => reactions.push(Reaction { emoji, uids: vec![uid] }),
        }
    }
    Ok(())
}
