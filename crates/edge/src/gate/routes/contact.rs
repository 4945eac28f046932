//! Friends, friend requests and blocks.

use super::*;
use dto::contact::{Apply, Friend, FriendRequest, FriendsPage, Remark, RequestsPage};
use skein_domain::command::{Command, Reply};
use skein_domain::id::{RequestId, Uid};
use skein_protocol::ErrorCode;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::default()
        .routes(routes!(friends))
        .routes(routes!(blocked))
        .routes(routes!(requests, apply))
        .routes(routes!(answer))
        .routes(routes!(change_remark, delete_friend))
        .routes(routes!(block, unblock))
}

/// My friends
#[utoipa::path(get, path = "/friends", tag = "contacts", params(PageQuery), responses((status = 200, body = FriendsPage)))]
async fn friends(state: SharedState, who: Authenticated, Parameters(page): Parameters<PageQuery>) -> Answer<FriendsPage> {
    let command = Command::ListFriends { count: page_count(page.count)?, cursor: page.cursor };
    friends_page(state.call(who.caller, command).await?)
}

/// Whom I have blocked
#[utoipa::path(get, path = "/blocked", tag = "contacts", params(PageQuery), responses((status = 200, body = FriendsPage)))]
async fn blocked(state: SharedState, who: Authenticated, Parameters(page): Parameters<PageQuery>) -> Answer<FriendsPage> {
    let command = Command::ListBlocked { count: page_count(page.count)?, cursor: page.cursor };
    friends_page(state.call(who.caller, command).await?)
}

fn friends_page(reply: Reply) -> Answer<FriendsPage> {
    expect_reply!(reply, Reply::Friends { friends, cursor } => {
        Json(FriendsPage { friends: friends.into_iter().map(Friend::from).collect(), cursor })
    })
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CursorQuery {
    /// From the page before; empty: from the beginning.
    #[serde(default)]
    cursor: String,
}

/// Friend requests from and to me, newest first
#[utoipa::path(get, path = "/requests", tag = "contacts", params(CursorQuery), responses((status = 200, body = RequestsPage)))]
async fn requests(state: SharedState, who: Authenticated, Parameters(page): Parameters<CursorQuery>) -> Answer<RequestsPage> {
    let reply = state.call(who.caller, Command::ListRequests { cursor: page.cursor }).await?;
    expect_reply!(reply, Reply::Requests { requests, cursor } => {
        Json(RequestsPage { requests: requests.into_iter().map(FriendRequest::from).collect(), cursor })
    })
}

/// Ask a user for friendship
#[utoipa::path(post, path = "/requests", tag = "contacts", request_body = Apply, responses((status = 200, body = FriendRequest)))]
async fn apply(state: SharedState, who: Authenticated, Json(body): Json<Apply>) -> Answer<FriendRequest> {
    let command = Command::Apply { uid: body.uid.into(), greeting: body.greeting };
    request_reply(state.call(who.caller, command).await?)
}

/// Accept or decline a friend request
#[utoipa::path(post, path = "/requests/{id}", tag = "contacts", params(("id" = Int64, Path)), request_body = dto::contact::Answer, responses((status = 200, body = FriendRequest)))]
async fn answer(
    state: SharedState,
    who: Authenticated,
    PathId(request): PathId<RequestId>,
    Json(body): Json<dto::contact::Answer>,
) -> Answer<FriendRequest> {
    let command = Command::Answer { request, accept: body.accept };
    request_reply(state.call(who.caller, command).await?)
}

fn request_reply(reply: Reply) -> Answer<FriendRequest> {
    expect_reply!(reply, Reply::Request { request } => Json(request.into()))
}

/// Name a friend for myself
#[utoipa::path(patch, path = "/friends/{uid}", tag = "contacts", params(("uid" = Int64, Path)), request_body = Remark, responses((status = 200, body = Friend)))]
async fn change_remark(state: SharedState, who: Authenticated, PathId(uid): PathId<Uid>, Json(body): Json<Remark>) -> Answer<Friend> {
    friend_reply(state.call(who.caller, Command::ChangeRemark { uid, remark: body.remark }).await?)
}

/// End a friendship
#[utoipa::path(delete, path = "/friends/{uid}", tag = "contacts", params(("uid" = Int64, Path)), responses((status = 204)))]
async fn delete_friend(state: SharedState, who: Authenticated, PathId(uid): PathId<Uid>) -> Done {
    let reply = state.call(who.caller, Command::DeleteFriend { uid }).await?;
    expect_reply!(reply, Reply::Done => StatusCode::NO_CONTENT)
}

/// Block a user
#[utoipa::path(put, path = "/blocks/{uid}", tag = "contacts", params(("uid" = Int64, Path)), responses((status = 200, body = Friend)))]
async fn block(state: SharedState, who: Authenticated, PathId(uid): PathId<Uid>) -> Answer<Friend> {
    friend_reply(state.call(who.caller, Command::Block { uid, on: true }).await?)
}

/// Unblock a user
#[utoipa::path(delete, path = "/blocks/{uid}", tag = "contacts", params(("uid" = Int64, Path)), responses((status = 204)))]
async fn unblock(state: SharedState, who: Authenticated, PathId(uid): PathId<Uid>) -> Done {
    match state.call(who.caller, Command::Block { uid, on: false }).await {
        // Who was never known is not blocked, as whoever is no friend is not one after `DELETE /friends/{uid}`.
        Err(problem) if problem.code == ErrorCode::NotFound => Ok(StatusCode::NO_CONTENT),
        reply => expect_reply!(reply?, Reply::Friend { .. } => StatusCode::NO_CONTENT),
    }
}

fn friend_reply(reply: Reply) -> Answer<Friend> {
    expect_reply!(reply, Reply::Friend { friend } => Json(friend.into()))
}
