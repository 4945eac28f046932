//! What an entry does to the messages and the conversation a user sees. Pure.
//!
//! **Invariant:** applying an entry twice is applying it once, to messages; conversations get each entry once.

use skein_protocol::v1::entry::Event;
use skein_protocol::v1::{self, Role};

/// The message that an entry is, in its first state. A recalled one comes without its body.
pub fn message_of(entry: &v1::Entry) -> Option<v1::MessageState> {
    let Some(Event::Message(message)) = &entry.event else {
        return None;
    };
    Some(v1::MessageState {
        conversation: entry.conversation,
        seq: entry.seq,
        at_ms: entry.at_ms,
        author: entry.author,
        count: entry.count,
        key: entry.key.clone(),
        recalled: message.body.is_none(),
        body: message.body.clone(),
        reply_to: message.reply_to,
        ..v1::MessageState::default()
    })
}

/// The message an entry changes.
pub fn target_of(entry: &v1::Entry) -> Option<i64> {
    match &entry.event {
        Some(Event::Edited(edited)) => Some(edited.target),
        Some(Event::Recalled(recalled)) => Some(recalled.target),
        Some(Event::Reacted(reacted)) => Some(reacted.target),
        _ => None,
    }
}

pub fn apply_to_message(state: &mut v1::MessageState, entry: &v1::Entry) {
    match &entry.event {
        Some(Event::Edited(edited)) => {
            state.edited_at_ms = entry.at_ms;
            // An edit of what is recalled by now has no body.
            if !state.recalled && edited.body.is_some() {
                state.body = edited.body.clone();
            }
        }
        Some(Event::Recalled(_)) => {
            state.recalled = true;
            state.body = None;
            state.reactions.clear();
        }
        Some(Event::Reacted(reacted)) if !state.recalled => react(&mut state.reactions, reacted, entry.author),
        _ => {}
    }
}

fn react(reactions: &mut Vec<v1::Reaction>, reacted: &v1::Reacted, author: i64) {
    let at = reactions.iter().position(|reaction| reaction.emoji == reacted.emoji);
    match (at, reacted.on) {
        (None, false) => {}
        (None, true) => reactions.push(v1::Reaction { emoji: reacted.emoji.clone(), uids: vec![author] }),
        (Some(at), true) => {
            if !reactions[at].uids.contains(&author) {
                reactions[at].uids.push(author);
            }
        }
        (Some(at), false) => {
            reactions[at].uids.retain(|uid| *uid != author);
            if reactions[at].uids.is_empty() {
                reactions.remove(at);
            }
        }
    }
}

/// Title, members, my own role and the newest message follow the log. What the conversation was told with by the server,
/// up to `head`, is in it already.
pub fn apply_to_conversation(conversation: &mut v1::Conversation, entry: &v1::Entry, my_uid: i64) {
    let is_new = entry.seq > conversation.head;
    conversation.head = conversation.head.max(entry.seq);
    conversation.count = conversation.count.max(entry.count);
    if let Some(message) = message_of(entry).filter(|message| conversation.last.as_ref().is_none_or(|last| last.seq <= message.seq)) {
        conversation.last = Some(message);
    }
    if let Some(last) = conversation.last.as_mut().filter(|last| Some(last.seq) == target_of(entry)) {
        apply_to_message(last, entry);
    }
    match &entry.event {
        _ if !is_new => {}
        Some(Event::Joined(joined)) => conversation.members += i32::try_from(joined.uids.len()).unwrap_or(i32::MAX),
        Some(Event::Left(left)) => {
            conversation.members = (conversation.members - 1).max(0);
            if left.uid == my_uid {
                conversation.me.get_or_insert_default().visible_to = entry.seq;
            }
        }
        Some(Event::Role(changed)) => change_role(conversation, changed, my_uid),
        Some(Event::Info(info)) => {
            conversation.title = info.title.clone().unwrap_or(std::mem::take(&mut conversation.title));
            conversation.announcement = info.announcement.clone().unwrap_or(std::mem::take(&mut conversation.announcement));
            conversation.muted_all = info.muted_all.unwrap_or(conversation.muted_all);
        }
        Some(Event::Muted(muted)) if muted.uid == my_uid => conversation.me.get_or_insert_default().silenced_until_ms = muted.until_ms,
        _ => {}
    }
}

/// To `owner`: ownership passes, and the former owner becomes an admin.
fn change_role(conversation: &mut v1::Conversation, changed: &v1::RoleChanged, my_uid: i64) {
    let was_owner = conversation.owner;
    if changed.role() == Role::Owner {
        conversation.owner = changed.uid;
    }
    let me = conversation.me.get_or_insert_default();
    if changed.uid == my_uid {
        me.role = changed.role;
    } else if changed.role() == Role::Owner && was_owner == my_uid {
        me.role = Role::Admin.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<v1::Body> {
        let part = v1::segment::Part::Text(text.to_owned());
        Some(v1::Body { kind: "text".to_owned(), segments: vec![v1::Segment { part: Some(part) }], ..v1::Body::default() })
    }

    fn entry(seq: i64, author: i64, event: Event) -> v1::Entry {
        v1::Entry { conversation: 1, seq, author, at_ms: seq * 10, count: 1, event: Some(event), ..v1::Entry::default() }
    }

    fn message() -> v1::MessageState {
        message_of(&entry(1, 7, Event::Message(v1::Message { body: text("one"), reply_to: 0 }))).expect("a message")
    }

    #[test]
    fn edits_and_reactions_apply_twice_as_once() {
        let mut state = message();
        let entries = [
            entry(2, 7, Event::Edited(v1::Edited { target: 1, body: text("two") })),
            entry(3, 8, Event::Reacted(v1::Reacted { target: 1, emoji: "👍".to_owned(), on: true })),
            entry(4, 9, Event::Reacted(v1::Reacted { target: 1, emoji: "👍".to_owned(), on: true })),
            entry(5, 8, Event::Reacted(v1::Reacted { target: 1, emoji: "👍".to_owned(), on: false })),
        ];
        entries.iter().for_each(|entry| apply_to_message(&mut state, entry));
        let once = state.clone();
        entries.iter().for_each(|entry| apply_to_message(&mut state, entry));
        assert_eq!(state.body, text("two"));
        assert_eq!(state.edited_at_ms, 20);
        assert_eq!(state.reactions, [v1::Reaction { emoji: "👍".to_owned(), uids: vec![9] }]);
        assert_eq!(once.reactions, state.reactions);
    }

    #[test]
    fn a_recall_is_for_good() {
        let mut state = message();
        apply_to_message(&mut state, &entry(2, 7, Event::Recalled(v1::Recalled { target: 1 })));
        apply_to_message(&mut state, &entry(3, 7, Event::Edited(v1::Edited { target: 1, body: text("back") })));
        assert!(state.recalled && state.body.is_none());
        assert!(message_of(&entry(1, 7, Event::Message(v1::Message::default()))).expect("a message").recalled);
    }

    #[test]
    fn what_the_server_told_the_conversation_with_counts_once() {
        let mut conversation = v1::Conversation { head: 1, members: 2, title: "new".into(), ..v1::Conversation::default() };
        let joined = |seq, uids: &[i64]| entry(seq, 7, Event::Joined(v1::MembersJoined { uids: uids.to_vec() }));
        apply_to_conversation(&mut conversation, &joined(1, &[7, 8]), 7);
        assert_eq!((conversation.members, conversation.head), (2, 1));
        apply_to_conversation(&mut conversation, &joined(2, &[9]), 7);
        assert_eq!((conversation.members, conversation.head), (3, 2));
        let say = |seq| entry(seq, 7, Event::Message(v1::Message { body: text("hi"), ..v1::Message::default() }));
        [say(4), say(3)].iter().for_each(|said| apply_to_conversation(&mut conversation, said, 7));
        assert_eq!(conversation.last.expect("the newest").seq, 4);
    }

    #[test]
    fn ownership_passes_and_the_former_owner_is_an_admin() {
        let me = v1::Membership { role: Role::Owner.into(), ..v1::Membership::default() };
        let mut conversation = v1::Conversation { owner: 7, me: Some(me), members: 2, ..v1::Conversation::default() };
        let passed = entry(2, 7, Event::Role(v1::RoleChanged { uid: 8, role: Role::Owner.into() }));
        apply_to_conversation(&mut conversation, &passed, 7);
        assert_eq!((conversation.owner, conversation.me.expect("me").role()), (8, Role::Admin));
    }
}
