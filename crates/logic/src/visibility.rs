//! What of a conversation a member may see: from the join on, and for a former member up to the removal.
//!
//! **Invariant:** every way out (history, pull, sync, fan-out) asks here.
//!
//! Bound: to tell a former member how messages were, at most [`REPLAYED_MAX`] entries are read from the oldest of them on.
//! An edit or a reaction further behind is left out; what came after the removal is never shown for it.

use skein_domain::Result;
use skein_domain::conversation::{ConversationView, Member};
use skein_domain::entry::{Entry, EntryEvent, MessageState, Reaction};
use skein_domain::fault::{Fault, planted};
use skein_domain::id::{ConversationId, Seq, Uid};
use skein_domain::port::MessageStore;
use std::collections::BTreeSet;

const REPLAYED_MAX: u32 = 5_000;
/// Entries read at once.
const REPLAY_READ: u32 = 250;

/// First and last seq `me` may see; not clipped to the head.
pub(crate) fn range(me: &Member) -> (Seq, Seq) {
    (me.visible_from, until(me).unwrap_or(Seq::MAX))
}

pub(crate) fn sees(me: &Member, seq: Seq) -> bool {
    seq >= me.visible_from && until(me).is_none_or(|to| seq <= to)
}

/// The head as `me` may know it.
pub(crate) fn head(me: &Member, head: Seq) -> Seq {
    until(me).map_or(head, |to| to.min(head))
}

/// Takes out of a view what was said and done after a former member was removed. The store gives the title as it was then;
/// of the rest no past is kept, so it is left blank: announcement, owner, number of members, whether all are muted.
pub(crate) async fn clip(messages: &dyn MessageStore, mut view: ConversationView) -> Result<ConversationView> {
    view.conversation.head = head(&view.me, view.conversation.head);
    if until(&view.me).is_some() {
        let known = &mut view.conversation;
        known.announcement.clear();
        (known.owner, known.members, known.muted_all) = (None, 0, false);
    }
    view.last = view.last.filter(|last| sees(&view.me, last.seq));
    rewind(messages, &view.me, view.last.as_mut_slice()).await?;
    Ok(view)
}

/// Shows messages to a former member as they were at the removal: edits and reactions since then are not theirs to see.
/// What was recalled since then is gone for everybody, and so for them.
pub(crate) async fn rewind(store: &dyn MessageStore, me: &Member, messages: &mut [MessageState]) -> Result<()> {
    let (Some(to), Some(first)) = (until(me), messages.iter().map(|message| message.seq).min()) else { return Ok(()) };
    // Several entries may have the time of the last one seen, so an edit of that time counts as later until it is found.
    let removed_at = entry(store, me.conversation, to).await?.map_or_else(Default::default, |last| last.at);
    let mut unedited = BTreeSet::new();
    for message in messages.iter_mut() {
        message.reactions.clear();
        if message.edited_at.is_some_and(|at| at >= removed_at) && message.body.is_some() {
            (message.body, message.edited_at) = (None, None);
            if let Some(EntryEvent::Message { body, .. }) = entry(store, me.conversation, message.seq).await?.map(|said| said.event) {
                message.body = body;
            }
            unedited.insert(message.seq);
        }
    }
    let mut from = first.next();
    for _ in 0..REPLAYED_MAX / REPLAY_READ {
        let entries = store.entries(me.conversation, from, to, REPLAY_READ).await?;
        let Some(last) = entries.last().map(|entry| entry.seq) else { break };
        entries.into_iter().for_each(|entry| replay(messages, &unedited, entry));
        from = last.next();
    }
    Ok(())
}

async fn entry(store: &dyn MessageStore, conversation: ConversationId, seq: Seq) -> Result<Option<Entry>> {
    Ok(store.entries(conversation, seq, seq, 1).await?.pop())
}

fn replay(messages: &mut [MessageState], unedited: &BTreeSet<Seq>, entry: Entry) {
    let (EntryEvent::Edited { target, .. } | EntryEvent::Reacted { target, .. }) = &entry.event else { return };
    let Some(message) = messages.iter_mut().find(|message| message.seq == *target && message.body.is_some()) else { return };
    match entry.event {
        EntryEvent::Edited { target, body } if unedited.contains(&target) => {
            (message.body, message.edited_at) = (body, Some(entry.at));
        }
        EntryEvent::Reacted { emoji, on, .. } => react(&mut message.reactions, emoji, entry.author, on),
        _ => {}
    }
}

/// In the order in which they are stored: by emoji, then by user.
fn react(reactions: &mut Vec<Reaction>, emoji: String, uid: Uid, on: bool) {
    let found = reactions.binary_search_by(|reaction| reaction.emoji.cmp(&emoji));
    match (found, on) {
        (Ok(at), on) => {
            let uids = &mut reactions[at].uids;
            match (uids.binary_search(&uid), on) {
                (Err(place), true) => uids.insert(place, uid),
                (Ok(place), false) => drop(uids.remove(place)),
                _ => {}
            }
            if uids.is_empty() {
                reactions.remove(at);
            }
        }
        (Err(at), true) => reactions.insert(at, Reaction { emoji, uids: vec![uid] }),
        (Err(_), false) => {}
    }
}

fn until(me: &Member) -> Option<Seq> {
    if planted(Fault::RemovedMemberServed) { None } else { me.visible_to }
}
