//! Conversations and who is in them.

use super::message::MessageState;
use super::role::Role;
use super::{Int64, words};
use serde::{Deserialize, Serialize};
use skein_domain::conversation as domain;
use utoipa::ToSchema;

words!(ConversationKind = domain::Kind { Direct, Group, Room, Notice });

/// A conversation as I see it.
#[derive(Serialize, ToSchema)]
pub struct Conversation {
    pub id: Int64,
    pub kind: ConversationKind,
    pub title: String,
    pub announcement: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Int64>,
    /// Direct conversations: the other side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Int64>,
    /// Seq of the newest entry.
    pub head: Int64,
    pub count: Int64,
    /// Entries up to here are gone by retention.
    pub floor: Int64,
    pub members: u32,
    pub muted_all: bool,
    pub created_at_ms: Int64,
    pub me: Membership,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<MessageState>,
    /// Direct conversations: how far the other side has the messages.
    pub peer_delivered: Int64,
    /// Direct conversations: how far the other side has read.
    pub peer_read: Int64,
}

impl From<domain::ConversationView> for Conversation {
    fn from(view: domain::ConversationView) -> Self {
        let conversation = view.conversation;
        Self {
            id: conversation.id.into(),
            kind: conversation.kind.into(),
            title: conversation.title,
            announcement: conversation.announcement,
            owner: conversation.owner.map(Int64::from),
            peer: view.peer.map(Int64::from),
            head: conversation.head.into(),
            count: conversation.count.into(),
            floor: conversation.floor.into(),
            members: conversation.members,
            muted_all: conversation.muted_all,
            created_at_ms: conversation.created_at.into(),
            me: Membership::new(view.me, view.unread),
            last: view.last.map(MessageState::from),
            peer_delivered: view.peer_delivered.into(),
            peer_read: view.peer_read.into(),
        }
    }
}

/// My row in a conversation.
#[derive(Serialize, ToSchema)]
pub struct Membership {
    pub role: Role,
    pub visible_from: Int64,
    /// Last seq I may see as a former member; absent while a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visible_to: Option<Int64>,
    pub read: Int64,
    pub unread: Int64,
    pub pinned: bool,
    pub muted: bool,
    pub draft: String,
    /// May not speak until then; 0: may speak.
    pub silenced_until_ms: Int64,
}

impl Membership {
    pub fn new(member: domain::Member, unread: i64) -> Self {
        Self {
            role: member.role.into(),
            visible_from: member.visible_from.into(),
            visible_to: member.visible_to.map(Int64::from),
            read: member.read.into(),
            unread: Int64(unread),
            pinned: member.pinned,
            muted: member.muted,
            draft: member.draft,
            silenced_until_ms: member.silenced_until.into(),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct MembershipOf {
    pub conversation: Int64,
    pub me: Membership,
}

impl MembershipOf {
    pub fn new(member: domain::Member, unread: i64) -> Self {
        Self { conversation: member.conversation.into(), me: Membership::new(member, unread) }
    }
}

#[derive(Serialize, ToSchema)]
pub struct Member {
    pub uid: Int64,
    pub nickname: String,
    pub role: Role,
    pub read: Int64,
    pub delivered: Int64,
    pub silenced_until_ms: Int64,
}

impl From<(domain::Member, String)> for Member {
    fn from((member, nickname): (domain::Member, String)) -> Self {
        Self {
            uid: member.uid.into(),
            nickname,
            role: member.role.into(),
            read: member.read.into(),
            delivered: member.delivered.into(),
            silenced_until_ms: member.silenced_until.into(),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct MembersPage {
    pub members: Vec<Member>,
    /// Where the next page begins; empty when there is none.
    pub cursor: String,
}

/// A line of the room directory.
#[derive(Serialize, ToSchema)]
pub struct Room {
    pub conversation: Int64,
    pub title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Int64>,
    pub members: u32,
    pub created_at_ms: Int64,
}

impl From<domain::RoomInfo> for Room {
    fn from(room: domain::RoomInfo) -> Self {
        Self {
            conversation: room.conversation.into(),
            title: room.title,
            owner: room.owner.map(Int64::from),
            members: room.members,
            created_at_ms: room.created_at.into(),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct RoomsPage {
    pub rooms: Vec<Room>,
    /// Where the next page begins; empty when there is none.
    pub cursor: String,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct OpenDirect {
    pub uid: Int64,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateGroup {
    /// Idempotency key: 1 to 64 printable ASCII characters.
    pub key: String,
    pub title: String,
    /// First members besides me.
    #[serde(default)]
    pub uids: Vec<Int64>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateRoom {
    /// Idempotency key: 1 to 64 printable ASCII characters.
    pub key: String,
    #[serde(alias = "room_name")]
    pub title: String,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct ReadUpTo {
    pub seq: Int64,
}
