//! Friends and friend requests.

use crate::id::{ConversationId, Millis, RequestId, Uid};
use serde::{Deserialize, Serialize};

/// One user as another has them in the contact list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Friend {
    pub uid: Uid,
    pub nickname: String,
    pub remark: String,
    /// False after a delete, or for a blocked stranger.
    pub friend: bool,
    /// I have blocked them.
    pub blocked: bool,
    pub since: Millis,
    /// The direct conversation with them, once there is one.
    pub conversation: Option<ConversationId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FriendRequest {
    pub id: RequestId,
    pub from: Uid,
    pub to: Uid,
    pub greeting: String,
    pub state: RequestState,
    pub at: Millis,
    /// Nickname of the other side, as seen by whom this is told.
    pub nickname: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    Pending,
    Accepted,
    Declined,
}
