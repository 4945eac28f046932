//! Sending, history, read cursors and sync, for scripts and short-lived clients. Live chat is Comet's.

use super::*;
use dto::conversation::{MembershipOf, ReadUpTo};
use dto::message::{Ack, HistoryPage, Send};
use dto::sync::SyncPage;
use skein_domain::command::{Command, Reply};
use skein_domain::id::{ConversationId, IdempotencyKey, Seq};

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::default().routes(routes!(send)).routes(routes!(history)).routes(routes!(mark_read)).routes(routes!(sync))
}

/// Send a message
///
/// The answer means: on disk, and in this order. After a time-out send again with the same key.
#[utoipa::path(post, path = "/conversations/{id}/messages", tag = "messages", params(("id" = Int64, Path)), request_body = Send, responses((status = 200, body = Ack)))]
async fn send(
    state: SharedState,
    who: Authenticated,
    PathId(conversation): PathId<ConversationId>,
    Json(mut message): Json<Send>,
) -> Answer<Ack> {
    let body = message.body()?;
    let key = IdempotencyKey::parse(&message.key)?;
    let after = message.after.as_deref().map(IdempotencyKey::parse).transpose()?;
    let command = Command::Send { conversation, key, body, reply_to: message.reply_to.map(Seq::from), after };
    expect_reply!(state.call(who.caller, command).await?, Reply::Ack { conversation, key, seq, at, epoch } => {
        Json(Ack::new(conversation, key, seq, at, epoch))
    })
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct HistoryQuery {
    /// Only older than this seq (`first_message_id` means the same). Absent or 0: from the newest.
    #[serde(alias = "first_message_id")]
    before: Option<Int64>,
    /// Only newer than this seq (`last_message_id` means the same).
    #[serde(alias = "last_message_id")]
    after: Option<Int64>,
    /// 1 to 100, default 20.
    count: Option<u32>,
}

/// A page of a conversation's messages as they are now
#[utoipa::path(get, path = "/conversations/{id}/history", tag = "messages", params(("id" = Int64, Path), HistoryQuery), responses((status = 200, body = HistoryPage)))]
async fn history(
    state: SharedState,
    who: Authenticated,
    PathId(conversation): PathId<ConversationId>,
    Parameters(query): Parameters<HistoryQuery>,
) -> Answer<HistoryPage> {
    let before = query.before.map(Seq::from).filter(|seq| *seq != Seq::ZERO);
    let after = query.after.map(Seq::from);
    if before.is_some() && after.is_some() {
        return Err(Problem::bad_request("ask for what is before or for what is after, not both"));
    }
    let command = Command::History { conversation, before, after, count: page_count(query.count)? };
    expect_reply!(state.call(who.caller, command).await?, Reply::History { conversation, page } => {
        Json(HistoryPage::new(conversation, page))
    })
}

/// Move my read cursor forward
#[utoipa::path(post, path = "/conversations/{id}/read", tag = "messages", params(("id" = Int64, Path)), request_body = ReadUpTo, responses((status = 200, body = MembershipOf)))]
async fn mark_read(
    state: SharedState,
    who: Authenticated,
    PathId(conversation): PathId<ConversationId>,
    Json(body): Json<ReadUpTo>,
) -> Answer<MembershipOf> {
    let command = Command::MarkRead { conversation, seq: body.seq.into() };
    expect_reply!(state.call(who.caller, command).await?, Reply::Membership { member, unread } => {
        Json(MembershipOf::new(member, unread))
    })
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SyncQuery {
    /// From the page before; empty: everything.
    #[serde(default)]
    cursor: String,
}

/// Everything that changed since a cursor, a page at a time
#[utoipa::path(get, path = "/sync", tag = "messages", params(SyncQuery), responses((status = 200, body = SyncPage)))]
async fn sync(state: SharedState, who: Authenticated, Parameters(query): Parameters<SyncQuery>) -> Answer<SyncPage> {
    let reply = state.call(who.caller, Command::Sync { cursor: query.cursor }).await?;
    expect_reply!(reply, Reply::Sync { page } => Json(page.into()))
}
