//! What a logged-in user asks for over the Logic door, and what comes back.
//!
//! Public HTTP and both long-connection transports speak the same commands. Account business before log-in is
//! [`AccountCommand`]. Cursors of lists are opaque texts made and read by logic.

use crate::account::{CodePurpose, DeviceClass, Profile, ProfileChange, Session};
use crate::body::Body;
use crate::contact::{Friend, FriendRequest};
use crate::conversation::{ConversationView, Member, RoomInfo, SettingsChange};
use crate::delivery::UserEvent;
use crate::entry::{Entry, EntryEvent, HistoryPage};
use crate::id::{ConversationId, Epoch, IdempotencyKey, Millis, RequestId, Seq, SessionId, Uid};
use crate::live::{RoomName, Somebody};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    Send {
        conversation: ConversationId,
        key: IdempotencyKey,
        body: Body,
        #[serde(default)]
        reply_to: Option<Seq>,
        /// Key of the send before this one that has no ack yet; refused with `out_of_order` if that one is not stored.
        #[serde(default)]
        after: Option<IdempotencyKey>,
    },
    /// Edit, recall, react, and every change to a group: one entry each.
    Change {
        conversation: ConversationId,
        key: IdempotencyKey,
        event: EntryEvent,
    },
    MarkRead {
        conversation: ConversationId,
        seq: Seq,
    },
    MarkDelivered {
        conversation: ConversationId,
        seq: Seq,
    },
    Typing {
        conversation: ConversationId,
    },
    ChangeSettings {
        conversation: ConversationId,
        change: SettingsChange,
    },

    Sync {
        cursor: String,
    },
    /// Older than `before`, or newer than `after`; neither: from the head.
    History {
        conversation: ConversationId,
        before: Option<Seq>,
        after: Option<Seq>,
        count: u32,
    },
    Pull {
        conversation: ConversationId,
        from: Seq,
        to: Seq,
    },

    OpenDirect {
        uid: Uid,
    },
    CreateGroup {
        key: IdempotencyKey,
        title: String,
        uids: Vec<Uid>,
    },
    CreateRoom {
        key: IdempotencyKey,
        title: String,
    },
    GetConversation {
        conversation: ConversationId,
    },
    JoinRoom {
        conversation: ConversationId,
    },
    ListMembers {
        conversation: ConversationId,
        cursor: String,
        count: u32,
    },
    /// Watching itself is the connection's business.
    ListRooms {
        cursor: String,
        count: u32,
    },

    Search {
        by: SearchBy,
        cursor: String,
    },
    Apply {
        uid: Uid,
        greeting: String,
    },
    ListRequests {
        cursor: String,
    },
    Answer {
        request: RequestId,
        accept: bool,
    },
    ChangeRemark {
        uid: Uid,
        remark: String,
    },
    DeleteFriend {
        uid: Uid,
    },
    Block {
        uid: Uid,
        on: bool,
    },
    ListFriends {
        cursor: String,
        count: u32,
    },
    ListBlocked {
        cursor: String,
        count: u32,
    },

    GetProfiles {
        uids: Vec<Uid>,
    },
    ChangeProfile {
        change: ProfileChange,
    },

    /// This connection gets the live room's pushes from now on; with `presence` also who comes and goes.
    JoinLive {
        room: RoomName,
        presence: bool,
    },
    LeaveLive {
        room: RoomName,
    },
    /// Durable pushes of a live room that is bound to a chat room, backwards from before `before`.
    LiveHistory {
        room: RoomName,
        before: Option<Seq>,
        count: u32,
    },

    ListDevices,
    /// Ends one of my sessions; `None`: the calling one.
    LogOut {
        session: Option<SessionId>,
    },
    LogOutEverywhere,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchBy {
    Uid(Uid),
    Email(String),
    NicknamePrefix(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// On disk, at this place in the order.
    Ack {
        conversation: ConversationId,
        key: IdempotencyKey,
        seq: Seq,
        at: Millis,
        epoch: Epoch,
    },
    Done,
    Membership {
        member: Member,
        unread: i64,
    },
    Sync {
        page: SyncPage,
    },
    History {
        conversation: ConversationId,
        page: HistoryPage,
    },
    Entries {
        conversation: ConversationId,
        entries: Vec<Entry>,
        head: Seq,
        floor: Seq,
    },
    Conversation {
        view: Box<ConversationView>,
    },
    Members {
        members: Vec<(Member, String)>,
        cursor: String,
    },
    Rooms {
        rooms: Vec<RoomInfo>,
        cursor: String,
    },
    Profiles {
        profiles: Vec<Profile>,
        cursor: String,
    },
    Request {
        request: FriendRequest,
    },
    Requests {
        requests: Vec<FriendRequest>,
        cursor: String,
    },
    Friend {
        friend: Friend,
    },
    Friends {
        friends: Vec<Friend>,
        cursor: String,
    },
    LiveRoom {
        room: RoomName,
        /// Connections in it, over all nodes.
        count: u32,
        /// The chat room that keeps its durable pushes.
        conversation: Option<ConversationId>,
        /// `None`: presence was not asked for, or the room is too big for it.
        people: Option<Vec<Somebody>>,
    },
    Devices {
        sessions: Vec<Session>,
        current: SessionId,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SyncPage {
    pub cursor: String,
    pub more: bool,
    pub reset: bool,
    pub conversations: Vec<ConversationChange>,
    pub events: Vec<UserEvent>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationChange {
    pub view: ConversationView,
    pub entries: Vec<Entry>,
    /// The entries are the newest ones only; before them lies a hole.
    pub limited: bool,
}

/// Account business of somebody who is not logged in yet. Passwords and codes are in here: it has no `Debug` and never
/// reaches a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum AccountCommand {
    RequestCode {
        email: String,
        purpose: CodePurpose,
    },
    Register {
        email: String,
        code: String,
        password: String,
        nickname: String,
    },
    ResetPassword {
        email: String,
        code: String,
        password: String,
    },
    LogIn {
        email: String,
        password: String,
        class: DeviceClass,
        client: String,
    },
    /// Whose secret is this? For `POST /logic/verify`, and for every HTTP call.
    Verify {
        secret: String,
    },
    /// A ticket that takes this session to a Comet.
    Ticket {
        secret: String,
        node: Option<crate::id::NodeId>,
    },
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum AccountReply {
    Done,
    Registered { uid: Uid },
    LoggedIn(Box<LoggedIn>),
    Verified { session: Session, nickname: String, email: String },
    Ticket { ticket: String, comet: Option<crate::port::CometAddress> },
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedIn {
    pub uid: Uid,
    pub nickname: String,
    pub session: Session,
    /// Told once; the store keeps only its hash.
    pub token: String,
    /// The Comet to use; `None` when none is alive.
    pub comet: Option<crate::port::CometAddress>,
}
