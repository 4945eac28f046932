//! Conversations and who is in them.
//!
//! **Invariant:** whoever may do what follows from a [`Snapshot`] alone; every change to what it holds moves its
//! `policy_version`, and the store refuses an append judged on another version.

use crate::entry::MessageState;
use crate::id::{ConversationId, CountNo, Millis, PolicyVersion, Revision, Seq, Shard, Uid};
use serde::{Deserialize, Serialize};

pub use crate::role::Role;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Direct,
    Group,
    /// Delivered by subscription; joins are neither entries nor policy.
    Room,
    /// An app tells a user things. Only the app, its owner, speaks; titled with the app's name.
    Notice,
}

/// The row of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    pub id: ConversationId,
    pub shard: Shard,
    pub kind: Kind,
    pub title: String,
    pub announcement: String,
    /// Nobody owns a direct conversation.
    pub owner: Option<Uid>,
    pub head: Seq,
    pub head_revision: Revision,
    pub head_at: Millis,
    pub count: CountNo,
    /// Entries up to here are gone by retention.
    pub floor: Seq,
    pub policy_version: PolicyVersion,
    /// Only owner and admins may speak.
    pub muted_all: bool,
    pub members: u32,
    pub created_at: Millis,
}

/// The row of a user in a conversation. A removed member keeps the row and the past up to `visible_to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub conversation: ConversationId,
    pub uid: Uid,
    pub role: Role,
    /// First seq this member may see.
    pub visible_from: Seq,
    /// Last seq a former member may see; `None` while a member.
    pub visible_to: Option<Seq>,
    /// `count` of the conversation when joining: unread never reaches before it.
    pub join_count: CountNo,
    pub read: Seq,
    pub read_count: CountNo,
    pub delivered: Seq,
    pub pinned: bool,
    /// No notifications for this member.
    pub muted: bool,
    pub draft: String,
    /// May not speak until then; 0 = may speak.
    pub silenced_until: Millis,
    /// Revision of the last change to this row that the member's devices should learn of.
    pub revision: Revision,
}

impl Member {
    pub fn is_in(&self) -> bool {
        self.visible_to.is_none()
    }

    /// Whether this member may see the entry at `seq`.
    pub fn sees(&self, seq: Seq) -> bool {
        seq >= self.visible_from && self.visible_to.is_none_or(|to| seq <= to)
    }

    /// `head_count` is the count at the last entry this member may see.
    pub fn unread(&self, head_count: CountNo) -> i64 {
        (head_count.0 - self.read_count.0.max(self.join_count.0)).max(0)
    }
}

/// What a policy needs to judge a command, as of one `policy_version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub conversation: Conversation,
    /// Present and former members of direct conversations and groups; empty for rooms (asked for one at a time).
    pub members: Vec<Member>,
    /// Direct conversations only.
    pub standing: Option<Standing>,
}

impl Snapshot {
    pub fn member(&self, uid: Uid) -> Option<&Member> {
        self.members.iter().find(|m| m.uid == uid)
    }
}

/// How two users stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    pub friends: bool,
    /// Either one has blocked the other.
    pub blocked: bool,
}

/// A conversation as one member sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationView {
    pub conversation: Conversation,
    pub me: Member,
    pub unread: i64,
    pub last: Option<MessageState>,
    /// Direct conversations: the other side.
    pub peer: Option<Uid>,
    pub peer_read: Seq,
    pub peer_delivered: Seq,
}

/// A line of the room directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomInfo {
    pub conversation: ConversationId,
    pub title: String,
    pub owner: Option<Uid>,
    pub members: u32,
    pub created_at: Millis,
}

/// Only what is set changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SettingsChange {
    #[serde(default)]
    pub pinned: Option<bool>,
    #[serde(default)]
    pub muted: Option<bool>,
    #[serde(default)]
    pub draft: Option<String>,
}
