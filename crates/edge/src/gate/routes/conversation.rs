//! Conversations, groups and rooms.

use super::*;
use dto::conversation::{Conversation, CreateGroup, CreateRoom, Member, MembersPage, OpenDirect, Room, RoomsPage};
use skein_domain::command::{Command, Reply};
use skein_domain::id::{ConversationId, IdempotencyKey, Uid};

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::default()
        .routes(routes!(open_direct))
        .routes(routes!(create_group))
        .routes(routes!(rooms, create_room))
        .routes(routes!(join_room))
        .routes(routes!(conversation))
        .routes(routes!(members))
}

/// The direct conversation with a user, made if there is none
#[utoipa::path(post, path = "/conversations/direct", tag = "conversations", request_body = OpenDirect, responses((status = 200, body = Conversation)))]
async fn open_direct(state: SharedState, who: Authenticated, Json(body): Json<OpenDirect>) -> Answer<Conversation> {
    conversation_reply(state.call(who.caller, Command::OpenDirect { uid: body.uid.into() }).await?)
}

/// Create a group with me as owner
#[utoipa::path(post, path = "/groups", tag = "conversations", request_body = CreateGroup, responses((status = 200, body = Conversation)))]
async fn create_group(state: SharedState, who: Authenticated, Json(body): Json<CreateGroup>) -> Answer<Conversation> {
    let uids = body.uids.into_iter().map(Uid::from).collect();
    let command = Command::CreateGroup { key: IdempotencyKey::parse(&body.key)?, title: body.title, uids };
    conversation_reply(state.call(who.caller, command).await?)
}

/// The public rooms, newest first
#[utoipa::path(get, path = "/rooms", tag = "conversations", params(PageQuery), responses((status = 200, body = RoomsPage)))]
async fn rooms(state: SharedState, who: Authenticated, Parameters(page): Parameters<PageQuery>) -> Answer<RoomsPage> {
    let command = Command::ListRooms { count: page_count(page.count)?, cursor: page.cursor };
    expect_reply!(state.call(who.caller, command).await?, Reply::Rooms { rooms, cursor } => {
        Json(RoomsPage { rooms: rooms.into_iter().map(Room::from).collect(), cursor })
    })
}

/// Create a public room and join it
#[utoipa::path(post, path = "/rooms", tag = "conversations", request_body = CreateRoom, responses((status = 200, body = Conversation)))]
async fn create_room(state: SharedState, who: Authenticated, Json(body): Json<CreateRoom>) -> Answer<Conversation> {
    let command = Command::CreateRoom { key: IdempotencyKey::parse(&body.key)?, title: body.title };
    conversation_reply(state.call(who.caller, command).await?)
}

/// Join a public room
#[utoipa::path(post, path = "/rooms/{id}/join", tag = "conversations", params(("id" = Int64, Path)), responses((status = 200, body = Conversation)))]
async fn join_room(state: SharedState, who: Authenticated, PathId(conversation): PathId<ConversationId>) -> Answer<Conversation> {
    conversation_reply(state.call(who.caller, Command::JoinRoom { conversation }).await?)
}

/// One conversation as it is now
#[utoipa::path(get, path = "/conversations/{id}", tag = "conversations", params(("id" = Int64, Path)), responses((status = 200, body = Conversation)))]
async fn conversation(state: SharedState, who: Authenticated, PathId(conversation): PathId<ConversationId>) -> Answer<Conversation> {
    conversation_reply(state.call(who.caller, Command::GetConversation { conversation }).await?)
}

fn conversation_reply(reply: Reply) -> Answer<Conversation> {
    expect_reply!(reply, Reply::Conversation { view } => Json((*view).into()))
}

/// Who is in a conversation
#[utoipa::path(get, path = "/conversations/{id}/members", tag = "conversations", params(("id" = Int64, Path), PageQuery), responses((status = 200, body = MembersPage)))]
async fn members(
    state: SharedState,
    who: Authenticated,
    PathId(conversation): PathId<ConversationId>,
    Parameters(page): Parameters<PageQuery>,
) -> Answer<MembersPage> {
    let command = Command::ListMembers { conversation, count: page_count(page.count)?, cursor: page.cursor };
    expect_reply!(state.call(who.caller, command).await?, Reply::Members { members, cursor } => {
        Json(MembersPage { members: members.into_iter().map(Member::from).collect(), cursor })
    })
}
