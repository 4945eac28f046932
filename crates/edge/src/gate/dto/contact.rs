//! Friends and friend requests.

use super::{Int64, words};
use serde::{Deserialize, Serialize};
use skein_domain::contact as domain;
use utoipa::ToSchema;

words!(RequestState = domain::RequestState { Pending, Accepted, Declined });

/// A user as I have them in my contact list.
#[derive(Serialize, ToSchema)]
pub struct Friend {
    pub uid: Int64,
    pub nickname: String,
    /// My name for them.
    pub remark: String,
    /// False after a delete, or for a blocked stranger.
    pub friend: bool,
    /// I have blocked them.
    pub blocked: bool,
    pub since_ms: Int64,
    /// The direct conversation with them, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Int64>,
}

impl From<domain::Friend> for Friend {
    fn from(friend: domain::Friend) -> Self {
        Self {
            uid: friend.uid.into(),
            nickname: friend.nickname,
            remark: friend.remark,
            friend: friend.friend,
            blocked: friend.blocked,
            since_ms: friend.since.into(),
            conversation: friend.conversation.map(Int64::from),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct FriendsPage {
    pub friends: Vec<Friend>,
    /// Where the next page begins; empty when there is none.
    pub cursor: String,
}

#[derive(Serialize, ToSchema)]
pub struct FriendRequest {
    pub id: Int64,
    pub from: Int64,
    pub to: Int64,
    pub greeting: String,
    pub state: RequestState,
    pub at_ms: Int64,
    /// Of the other side.
    pub nickname: String,
}

impl From<domain::FriendRequest> for FriendRequest {
    fn from(request: domain::FriendRequest) -> Self {
        Self {
            id: request.id.into(),
            from: request.from.into(),
            to: request.to.into(),
            greeting: request.greeting,
            state: request.state.into(),
            at_ms: request.at.into(),
            nickname: request.nickname,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct RequestsPage {
    pub requests: Vec<FriendRequest>,
    /// Where the next page begins; empty when there is none.
    pub cursor: String,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct Apply {
    pub uid: Int64,
    #[serde(default)]
    pub greeting: String,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct Answer {
    pub accept: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct Remark {
    /// Empty takes it away.
    pub remark: String,
}
