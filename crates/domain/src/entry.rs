//! Entries of a conversation's change log, and the current state they leave behind.
//!
//! **Invariant:** an entry never changes once written, but for one thing: a recall blanks the body of its target (in the
//! entry and in every edit of it). The seq stays.

use crate::body::Body;
use crate::id::{ConversationId, CountNo, IdempotencyKey, Millis, Revision, Seq, Uid};
use crate::role::Role;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub conversation: ConversationId,
    pub seq: Seq,
    pub revision: Revision,
    pub count: CountNo,
    pub at: Millis,
    pub author: Uid,
    pub key: IdempotencyKey,
    pub event: EntryEvent,
}

/// What happened. The store applies an event's effect on members, titles and message states in the transaction that
/// writes the entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EntryEvent {
    /// `body` is `None` once recalled.
    Message {
        body: Option<Body>,
        #[serde(default)]
        reply_to: Option<Seq>,
    },
    /// `body` is `None` once the target was recalled.
    Edited {
        target: Seq,
        body: Option<Body>,
    },
    Recalled {
        target: Seq,
    },
    Reacted {
        target: Seq,
        emoji: String,
        on: bool,
    },
    /// Groups: these users are members from this seq on. Role `member`.
    Joined {
        uids: Vec<Uid>,
    },
    /// `uid` is no member any more and sees nothing after this seq.
    Left {
        uid: Uid,
    },
    /// To `Owner`: ownership passes, the former owner becomes admin.
    RoleChanged {
        uid: Uid,
        role: Role,
    },
    InfoChanged {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        announcement: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        muted_all: Option<bool>,
    },
    /// `until` 0 lifts it.
    Silenced {
        uid: Uid,
        until: Millis,
    },
}

impl EntryEvent {
    /// Only messages count as unread.
    pub fn is_countable(&self) -> bool {
        matches!(self, EntryEvent::Message { .. })
    }

    /// Whether it changes who may do what, and so moves `policy_version`.
    pub fn is_policy(&self) -> bool {
        use EntryEvent::*;
        match self {
            Message { .. } | Edited { .. } | Recalled { .. } | Reacted { .. } => false,
            Joined { .. } | Left { .. } | RoleChanged { .. } | Silenced { .. } => true,
            InfoChanged { muted_all, .. } => muted_all.is_some(),
        }
    }

    /// Whether history shows it as a line of its own (edits, recalls and reactions show on their message).
    pub fn is_shown(&self) -> bool {
        !matches!(self, EntryEvent::Edited { .. } | EntryEvent::Recalled { .. } | EntryEvent::Reacted { .. })
    }
}

/// The current state of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageState {
    pub conversation: ConversationId,
    pub seq: Seq,
    pub count: CountNo,
    pub at: Millis,
    pub author: Uid,
    pub key: IdempotencyKey,
    /// `None` once recalled.
    pub body: Option<Body>,
    pub reply_to: Option<Seq>,
    pub edited_at: Option<Millis>,
    pub reactions: Vec<Reaction>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    pub emoji: String,
    pub uids: Vec<Uid>,
}

/// A page of history: states of messages and the events shown between them, both ascending by seq.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HistoryPage {
    pub messages: Vec<MessageState>,
    pub events: Vec<Entry>,
    pub has_more: bool,
    pub floor: Seq,
}
