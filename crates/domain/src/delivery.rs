//! What the server tells clients unasked, and how it is addressed: what the door [`Delivery`](crate::door::Delivery) carries.

use crate::account::{Ended, Profile};
use crate::contact::{Friend, FriendRequest};
use crate::conversation::{ConversationView, Member, RoomInfo};
use crate::entry::Entry;
use crate::id::{ConnectionRef, ConversationId, Generation, Millis, Revision, Seq, SessionId, Shard, Uid};
use crate::live::{Audience, GuestKey, GuestRef, LiveMessage, RoomName, Somebody};
use serde::{Deserialize, Serialize};

/// A hint: losing one or hearing it twice changes nothing on a client's screen, because sync is the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Push {
    Entries {
        conversation: ConversationId,
        entries: Vec<Entry>,
    },
    User {
        event: UserEvent,
    },
    Cursors {
        conversation: ConversationId,
        cursors: Vec<MemberCursor>,
    },
    Typing {
        conversation: ConversationId,
        uid: Uid,
    },
    Rooms {
        rooms: Vec<RoomInfo>,
    },
    Resync {
        after_ms: i64,
    },
    Notice {
        title: String,
        text: String,
        at: Millis,
    },
    /// What the push API sends. Guests get bare frames, in one container; accounts' sessions one `push` op.
    Live {
        room: Option<RoomName>,
        messages: Vec<LiveMessage>,
    },
    /// Who came into a live room and who left it; to those sessions that asked for presence.
    Presence {
        room: RoomName,
        count: u32,
        joined: Vec<Somebody>,
        left: Vec<Somebody>,
    },
}

/// A change that concerns one user and is in no conversation: an item of the user log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum UserEvent {
    Request {
        request: FriendRequest,
    },
    Friend {
        friend: Friend,
    },
    /// Read cursor, pin, mute, draft, role or removal: my row in a conversation.
    Membership {
        member: Member,
        unread: i64,
    },
    Profile {
        profile: Profile,
    },
    /// A conversation I was put into.
    Conversation {
        view: Box<ConversationView>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberCursor {
    pub uid: Uid,
    pub read: Seq,
    pub delivered: Seq,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Connections(Vec<ConnectionRef>),
    /// Connections subscribed to the room, but those of `except`.
    Room(ConversationId),
    /// Connections that have the room directory open.
    RoomWatchers,
    /// All sessions of accounts.
    Everyone,
    /// Whichever connections have these keys now, as far as they accept the operation of the push.
    Guests(Vec<GuestKey>),
    /// Guests in the room, whatever they accept, and sessions that joined it.
    LiveRoom(RoomName),
    /// Guests and sessions that accept the operation of the push and fit: guests by their platform and tags, sessions by
    /// their device class and the tags of their account. `speed` is this Comet's share; with one it answers at once with
    /// what it found, counts that as queued, and goes on pushing at that speed.
    Audience(Audience),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    pub target: Target,
    pub push: Push,
}

/// Where a batch came from; Comet drops what it has already had.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    pub producer: String,
    pub shard: Shard,
    pub revision: Revision,
}

/// What one Comet is to do, in order. `origin` is absent for transient pushes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    #[serde(default)]
    pub origin: Option<Origin>,
    #[serde(default)]
    pub envelopes: Vec<Envelope>,
    #[serde(default)]
    pub controls: Vec<Control>,
    /// W3C `traceparent` of the hop that sent it, if that is traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// Orders about connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Control {
    /// Closes the session's connection whatever its generation, unless it is newer than `up_to`.
    Close {
        session: SessionId,
        up_to: Generation,
        reason: Ended,
    },
    Subscribe {
        session: SessionId,
        room: ConversationId,
    },
    Unsubscribe {
        session: SessionId,
        room: ConversationId,
    },
    /// To these and no other rooms: what was joined and left meanwhile, the Comet has not heard of.
    SubscribeExactly {
        session: SessionId,
        rooms: Vec<ConversationId>,
    },
    /// Closes this guest connection, and no newer one of the key.
    CloseGuest {
        guest: GuestRef,
    },
}

/// What became of a batch at one Comet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Delivered {
    /// Connections found for the envelopes.
    pub found: u64,
    /// Pushes put on a connection's queue.
    pub queued: u64,
    /// Pushes left out because the connection is being resynced.
    pub resynced: u64,
    /// Live pushes given up at full queues: these, or older ones that waited there.
    #[serde(default)]
    pub dropped: u64,
    /// The whole batch had been here before.
    pub repeated: bool,
}
