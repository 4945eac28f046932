use crate::Result;
use crate::conversation::{ConversationView, Member, RoomInfo, SettingsChange, Snapshot};
use crate::delivery::UserEvent;
use crate::id::{ConversationId, IdempotencyKey, Millis, Revision, Seq, Shard, Uid};
use async_trait::async_trait;

/// Conversations, members and their cursors.
#[async_trait]
pub trait ConversationStore: Send + Sync + 'static {
    /// For policies and fan-out. `None`: no such conversation.
    async fn snapshot(&self, conversation: ConversationId) -> Result<Option<Snapshot>>;

    /// The row of one user, also a former member's.
    async fn member(&self, conversation: ConversationId, uid: Uid) -> Result<Option<Member>>;

    /// The conversation as `uid` sees it; `None` for one who never was a member.
    async fn view(&self, conversation: ConversationId, uid: Uid) -> Result<Option<ConversationView>>;

    /// The direct conversation of two users, made if there is none. Idempotent.
    async fn open_direct(&self, a: Uid, b: Uid, at: Millis) -> Result<ConversationId>;

    /// With its first entries: `joined` by the owner and the first members, who see from seq 1 and get a
    /// `conversation` item in their user logs. The same owner and key give the same conversation; a new one beyond
    /// [`CreateConversation::per_day_max`] is refused with `quota_exceeded`.
    async fn create_group(&self, create: CreateConversation) -> Result<ConversationId>;

    /// A room with its owner as first member; otherwise as [`Self::create_group`]. The flag says it is new.
    async fn create_room(&self, create: CreateConversation) -> Result<(ConversationId, bool)>;

    /// Writes a member row that appends and fan-out never touch: no entry, no policy version. All of the past is
    /// visible, unread starts at the head. Joining twice is the same as once. Item `conversation` in the user log.
    async fn join_room(&self, room: ConversationId, uid: Uid, at: Millis) -> Result<Member>;

    /// Leaves a room by oneself: no entry. Idempotent. Item `membership` in the user log.
    async fn leave_room(&self, room: ConversationId, uid: Uid) -> Result<Member>;

    /// Rooms `uid` is in.
    async fn rooms_of(&self, uid: Uid) -> Result<Vec<ConversationId>>;

    /// The directory, newest first; `before` is the id of the last one seen.
    async fn rooms(&self, before: Option<ConversationId>, limit: u32) -> Result<Vec<RoomInfo>>;

    /// Members with their nicknames, by uid above `after`.
    async fn members(&self, conversation: ConversationId, after: Uid, limit: u32) -> Result<Vec<(Member, String)>>;

    /// Cursors only grow; a smaller seq changes nothing, one above the head is taken as the head. Moving read moves
    /// delivered. Item `membership` in the user log when read moved. `not_member` for one who never was.
    async fn mark(&self, conversation: ConversationId, uid: Uid, mark: Mark) -> Result<Member>;

    /// Item `membership` in the user log. `not_member` for one who never was.
    async fn change_settings(&self, conversation: ConversationId, uid: Uid, change: SettingsChange) -> Result<Member>;

    /// For sync: memberships of `uid` in `shard` with an id above `above` whose conversation's head or whose own row has
    /// a revision above `after`; ascending by id. Former members too, while their row changed.
    async fn changed(&self, uid: Uid, shard: Shard, after: Revision, above: ConversationId, limit: u32) -> Result<Vec<ConversationView>>;

    /// For sync: the user log above `after`, ascending, without `membership` items (those come with [`Self::changed`]).
    async fn user_log(&self, uid: Uid, after: Revision, limit: u32) -> Result<Vec<(Revision, UserEvent)>>;

    /// The shard a user's log is in.
    fn shard_of(&self, uid: Uid) -> Shard;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Read(Seq),
    Delivered(Seq),
}

#[derive(Debug, Clone)]
pub struct CreateConversation {
    pub owner: Uid,
    pub key: IdempotencyKey,
    pub title: String,
    /// Besides the owner; empty for rooms.
    pub uids: Vec<Uid>,
    pub at: Millis,
    /// So many of its kind an owner may make in 24 hours.
    pub per_day_max: u32,
}
