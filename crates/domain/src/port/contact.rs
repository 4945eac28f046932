use crate::Result;
use crate::contact::{Friend, FriendRequest};
use crate::conversation::Standing;
use crate::id::{Millis, RequestId, Uid};
use async_trait::async_trait;

/// Friend requests, friendships, blocks. Every change writes an item into the user log of each side it concerns, and
/// moves the policy version of the direct conversation of the two, if there is one.
#[async_trait]
pub trait ContactStore: Send + Sync + 'static {
    /// A pending request of `from` to `to` is renewed, not doubled (its greeting is replaced). If `to` has a pending
    /// request to `from`, that one is accepted instead. Friends already: `already_member`. Blocked by `to`: stored as
    /// declined and told to nobody but `from`, who sees it pending (a block is never told). Full list: `friends_full`.
    async fn apply(&self, from: Uid, to: Uid, greeting: String, at: Millis, friends_max: u32) -> Result<FriendRequest>;

    /// Answers a pending request addressed to `uid`; accepting makes both friends and opens their direct conversation.
    /// Answering again the same way is the same as once; another way, or somebody else's: `not_found`.
    async fn answer(&self, uid: Uid, request: RequestId, accept: bool, at: Millis, friends_max: u32) -> Result<FriendRequest>;

    async fn change_remark(&self, uid: Uid, peer: Uid, remark: String) -> Result<Friend>;
    /// Ends the friendship for both. Idempotent.
    async fn delete_friend(&self, uid: Uid, peer: Uid) -> Result<()>;
    async fn block(&self, uid: Uid, peer: Uid, on: bool, at: Millis) -> Result<Friend>;

    /// How `uid` stands to each of `others`, in their order, by one read.
    async fn standings(&self, uid: Uid, others: &[Uid]) -> Result<Vec<Standing>>;
    /// By uid above `after`.
    async fn friends(&self, uid: Uid, after: Uid, limit: u32) -> Result<Vec<Friend>>;
    async fn blocked(&self, uid: Uid, after: Uid, limit: u32) -> Result<Vec<Friend>>;
    /// Requests from and to `uid`, newest first, with an id below `before`.
    async fn requests(&self, uid: Uid, before: Option<RequestId>, limit: u32) -> Result<Vec<FriendRequest>>;
}
