//! The table of the protocol: op ↔ JSON type ↔ message, for requests with their replies and for pushes.
//!
//! **Invariant:** an op or a type is never used a second time with another meaning; rows are added, not changed.
//!
//! **Invariant:** a reply has its request's op, except the two that goim fixed (2 → 3, 7 → 8); a failed request of any
//! op is answered by `error`.
//!
//! Ops 0–17 are goim's, 4 and 5 keep the meaning "message of a room" and "create a room"; Skein's own start at 100 and
//! stay out of goim's business range, which starts at 1000.

use bytes::Bytes;

use crate::codec::{Codec, DecodeError, EncodeError};
use crate::op::Op;
use crate::schema::v1;

#[macro_use]
mod define;

protocol_table! {
    // Variant (message) CONSTANT = op "type" => reply message, its op, its type; what it is for.
    requests {
        Heartbeat(Heartbeat) HEARTBEAT = 2 "heartbeat" => HeartbeatReply 3 "heartbeatReply", "Says that the client lives.";
        Send(Send) SEND = 4 "clientMessages" => Ack 4 "ack", "Sends a message to a conversation.";
        CreateRoom(CreateRoom) CREATE_ROOM = 5 "clientCreateRoom" => ConversationReply 5 "serverCreateRoom", "Creates a public room and joins it.";
        Auth(Auth) AUTH = 7 "auth" => Hello 8 "hello", "Logs the connection in with a token or a ticket.";
        Sync(Sync) SYNC = 102 "sync" => SyncPage 102 "syncPage", "Everything that changed since a cursor, a page at a time.";
        RequestHistory(RequestHistory) HISTORY = 103 "requestRoomHistory" => HistoryPage 103 "serverRoomHistory", "A page of a conversation's messages as they are now.";
        Pull(Pull) PULL = 104 "pull" => Entries 104 "entries", "A range of a conversation's log, to close a gap.";
        Edit(Edit) EDIT = 105 "edit" => Ack 105 "ack", "Replaces the body of one's own message.";
        Recall(Recall) RECALL = 106 "recall" => Ack 106 "ack", "Takes a message back; its body is blanked everywhere.";
        React(React) REACT = 107 "react" => Ack 107 "ack", "Sets or lifts one's reaction to a message.";
        MarkRead(MarkRead) MARK_READ = 108 "markRead" => MembershipReply 108 "membership", "Moves one's read cursor forward.";
        MarkDelivered(MarkDelivered) MARK_DELIVERED = 109 "markDelivered" => Done 109 "done", "Says that this device holds everything up to a seq.";
        Typing(Typing) TYPING = 110 "typing" => Done 110 "done", "Says that one is typing; nothing is stored.";
        ChangeSettings(ChangeSettings) CHANGE_SETTINGS = 111 "changeSettings" => MembershipReply 111 "membership", "Pins, mutes, keeps a draft, on all one's devices.";
        OpenDirect(OpenDirect) OPEN_DIRECT = 112 "openDirect" => ConversationReply 112 "conversation", "The direct conversation with a user, created if there is none.";
        CreateGroup(CreateGroup) CREATE_GROUP = 113 "createGroup" => ConversationReply 113 "conversation", "Creates a group with oneself as owner.";
        ChangeInfo(ChangeInfo) CHANGE_INFO = 114 "changeInfo" => Ack 114 "ack", "Changes title, announcement or the silence of all.";
        Invite(Invite) INVITE = 115 "invite" => Ack 115 "ack", "Adds users to a group.";
        RemoveMember(RemoveMember) REMOVE_MEMBER = 116 "removeMember" => Ack 116 "ack", "Removes a member.";
        Leave(Leave) LEAVE = 117 "leave" => Ack 117 "ack", "Leaves a group or room.";
        Transfer(Transfer) TRANSFER = 118 "transfer" => Ack 118 "ack", "Makes another member the owner.";
        ChangeRole(ChangeRole) CHANGE_ROLE = 119 "changeRole" => Ack 119 "ack", "Makes a member an admin, or an admin a member.";
        Silence(Silence) SILENCE = 120 "silence" => Ack 120 "ack", "Forbids a member to send, until a time.";
        JoinRoom(JoinRoom) JOIN_ROOM = 121 "joinRoom" => ConversationReply 121 "conversation", "Joins a public room.";
        ListRooms(ListRooms) LIST_ROOMS = 122 "listRooms" => Rooms 122 "rooms", "A page of the public rooms, and a watch on new ones.";
        GetConversation(GetConversation) GET_CONVERSATION = 123 "getConversation" => ConversationReply 123 "conversation", "One conversation as it is now.";
        ListMembers(ListMembers) LIST_MEMBERS = 124 "listMembers" => Members 124 "members", "A page of a conversation's members.";
        Search(Search) SEARCH = 130 "search" => Profiles 130 "profiles", "Finds users by uid, e-mail address or nickname.";
        Apply(Apply) APPLY = 131 "apply" => RequestReply 131 "request", "Asks a user for friendship.";
        ListRequests(ListRequests) LIST_REQUESTS = 132 "listRequests" => FriendRequests 132 "requests", "A page of friend requests, both directions.";
        Answer(Answer) ANSWER = 133 "answer" => RequestReply 133 "request", "Accepts or declines a friend request.";
        ChangeRemark(ChangeRemark) CHANGE_REMARK = 134 "changeRemark" => FriendReply 134 "friend", "Names a friend for oneself.";
        DeleteFriend(DeleteFriend) DELETE_FRIEND = 135 "deleteFriend" => Done 135 "done", "Ends a friendship.";
        Block(Block) BLOCK = 136 "block" => FriendReply 136 "friend", "Blocks a user, or unblocks.";
        ListFriends(ListFriends) LIST_FRIENDS = 137 "listFriends" => Friends 137 "friends", "A page of friends.";
        ListBlocked(ListFriends) LIST_BLOCKED = 138 "listBlocked" => Friends 138 "friends", "A page of blocked users.";
        GetProfiles(GetProfiles) GET_PROFILES = 140 "getProfiles" => Profiles 140 "profiles", "Profiles by uid.";
        ChangeProfile(ChangeProfile) CHANGE_PROFILE = 141 "changeProfile" => Profiles 141 "profiles", "Changes one's own profile.";
        JoinLive(JoinLive) JOIN_LIVE = 150 "joinLive" => LiveRoomReply 150 "liveRoom", "Joins a live room on this connection.";
        LeaveLive(LeaveLive) LEAVE_LIVE = 151 "leaveLive" => Done 151 "done", "Leaves a live room.";
        LiveHistory(LiveHistory) LIVE_HISTORY = 152 "liveHistory" => HistoryPage 152 "serverRoomHistory", "A page of the durable pushes of a live room.";
        AcceptOperations(AcceptOperations) ACCEPT_OPERATIONS = 153 "acceptOperations" => Done 153 "done", "Says which operations of pushes to all this connection wants.";
    }
    // Every message a request is answered with; a variant is named like its message.
    replies {
        HeartbeatReply, Ack, ConversationReply, Hello, Error, SyncPage, HistoryPage, Entries, MembershipReply, Done,
        Rooms, Members, Profiles, RequestReply, FriendRequests, FriendReply, Friends, LiveRoomReply,
    }
    pushes {
        Error ERROR = 100 "error", "What went wrong with the connection; its close follows.";
        Hello HELLO = 101 "hello", "The first message after a cookie handshake.";
        ServerMessages MESSAGES = 160 "serverMessages", "New entries of a conversation.";
        UserEvents USER_EVENTS = 161 "userEvents", "What changed for this user outside conversations.";
        Cursors CURSORS = 162 "cursors", "How far other members have received and read.";
        TypingPush TYPING_PUSH = 163 "typing", "Somebody is typing.";
        RoomsChanged ROOMS_CHANGED = 164 "roomsChanged", "New or changed public rooms, for those who watch.";
        Resync RESYNC = 165 "resync", "Pushes were left out: sync after the given time.";
        Notice NOTICE = 166 "notice", "A message from whoever operates the server.";
        GoAway GO_AWAY = 167 "goAway", "The node is leaving: connect anew after the given time.";
        LivePush LIVE_PUSH = 168 "push", "What the push API sends: operations and their bodies.";
        Presence PRESENCE = 169 "presence", "Who came into a live room, and who left it.";
    }
}

/// One row of the table about a request, for documentation and generators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRow {
    pub op: Op,
    pub name: &'static str,
    /// Name in package `skein.v1`.
    pub message: &'static str,
    pub reply_op: Op,
    pub reply_name: &'static str,
    pub reply_message: &'static str,
    pub meaning: &'static str,
}

/// One row of the table about a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushRow {
    pub op: Op,
    pub name: &'static str,
    /// Name in package `skein.v1`.
    pub message: &'static str,
    pub meaning: &'static str,
}

/// What a client hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    Reply(Reply),
    Push(Push),
}

impl Incoming {
    /// `hello` and `error` are replies or pushes: an `error` with a seq answers that request, and a client that
    /// numbers its requests from 1 can tell. `hello` has an op of its own as a push.
    pub fn decode(op: Op, seq: i32, codec: Codec, body: &[u8]) -> Result<Self, DecodeError> {
        if op == Op::ERROR && seq != 0 {
            return Reply::decode(op, codec, body).map(Incoming::Reply);
        }
        match Push::decode(op, codec, body) {
            Err(DecodeError::UnknownOp(_)) => Reply::decode(op, codec, body).map(Incoming::Reply),
            push => push.map(Incoming::Push),
        }
    }

    /// As [`Incoming::decode`]; a text message has no op, so `hello` too is told apart by its seq.
    pub fn from_json_type(name: &str, seq: i32, payload: &[u8]) -> Result<Self, DecodeError> {
        let both_ways = matches!(name, "hello" | "error");
        if both_ways && seq != 0 {
            return Reply::from_json_type(name, payload).map(Incoming::Reply);
        }
        match Push::from_json_type(name, payload) {
            Err(DecodeError::UnknownType(_)) => Reply::from_json_type(name, payload).map(Incoming::Reply),
            push => push.map(Incoming::Push),
        }
    }
}
