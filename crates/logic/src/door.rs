//! The Logic door: each call within its time, told to logs, metrics and traces.
//!
//! **Invariant:** a command's place in its conversation's line is taken before [`Logic::call`] returns its future. Nothing a
//! user wrote is logged, nor put on a span.
//!
//! Bound: a call ends after [`CALL_BOUND`], later than any caller waits; an outcome unknown by then is `retry_same_key`
//! for commands that carry a key.

use crate::service::Service;
use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use skein_domain::command::{AccountCommand, AccountReply, Command, Reply};
use skein_domain::door::{Caller, Connect, Connected, Logic, NodeLoad, Origin};
use skein_domain::id::{ConnectionRef, ConversationId, NodeId};
use skein_domain::live::{GuestCommand, GuestReply, PushCommand, PushReply, Pusher};
use skein_domain::trace::Trace;
use skein_domain::{Code, Error, Result};
use std::time::{Duration, Instant};
use tracing::Instrument;

const CALL_BOUND: Duration = Duration::from_secs(10);

#[async_trait]
impl Logic for Service {
    async fn connect(&self, connect: Connect) -> Result<Connected> {
        let mut connected = self.status.connect(connect).await?;
        // A connection without its tags is better than none.
        connected.tags = self.pushes.store.tags(connected.session.uid).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "tags not read");
            Vec::new()
        });
        Ok(connected)
    }

    async fn disconnect(&self, node: NodeId, connection: ConnectionRef) -> Result<()> {
        self.live.rooms.session_gone(connection);
        self.status.disconnect(&node, connection).await
    }

    async fn renew(&self, node: NodeLoad, live: Vec<ConnectionRef>) -> Result<Vec<ConnectionRef>> {
        self.status.renew(node, live).await
    }

    fn call(&self, caller: Caller, command: Command) -> BoxFuture<'static, Result<Reply>> {
        let About { name, conversation, has_key } = about(&command);
        let conversation = conversation.map(|conversation| conversation.0);
        let trace = Trace::after(caller.trace.as_deref());
        let (hop, parent) = (trace.map(tracing::field::display), trace.and_then(|hop| hop.parent()).map(tracing::field::display));
        let span = tracing::info_span!("command", command = name, uid = caller.uid.0, conversation, trace = hop, parent);
        // Joining the line happens here, not when the future is polled.
        let work = span.in_scope(|| self.dispatch(caller, trace, command));
        let called = async move {
            let started = Instant::now();
            let outcome = tokio::time::timeout(CALL_BOUND, work).await.unwrap_or_else(|_| Err(too_late(has_key)));
            let code = outcome.as_ref().map_or_else(|error| error.code.as_str(), |_| "ok");
            metrics::counter!("skein_commands_total", "command" => name, "code" => code).increment(1);
            metrics::histogram!("skein_command_seconds", "command" => name).record(started.elapsed());
            if code == Code::Internal.as_str() {
                tracing::error!("command failed");
            }
            outcome
        };
        called.instrument(span).boxed()
    }

    async fn account(&self, from: Origin, command: AccountCommand) -> Result<AccountReply> {
        self.accounts.handle(from, command).await
    }

    async fn guest(&self, command: GuestCommand) -> Result<GuestReply> {
        self.guests.handle(command).await
    }

    async fn push(&self, pusher: Pusher, from: Origin, command: PushCommand) -> Result<PushReply> {
        self.pushes.handle(&pusher, &from, command).await
    }
}

fn too_late(has_key: bool) -> Error {
    match has_key {
        true => Error::new(Code::RetrySameKey, "the outcome is unknown: try again with the same key"),
        false => Error::new(Code::Timeout, "this took too long"),
    }
}

/// What is told of a command to logs and metrics.
struct About {
    name: &'static str,
    conversation: Option<ConversationId>,
    has_key: bool,
}

fn about(command: &Command) -> About {
    use Command::*;
    let (name, conversation) = match command {
        Send { conversation, .. } => ("send", Some(*conversation)),
        Change { conversation, .. } => ("change", Some(*conversation)),
        MarkRead { conversation, .. } => ("mark_read", Some(*conversation)),
        MarkDelivered { conversation, .. } => ("mark_delivered", Some(*conversation)),
        Typing { conversation } => ("typing", Some(*conversation)),
        ChangeSettings { conversation, .. } => ("change_settings", Some(*conversation)),
        Sync { .. } => ("sync", None),
        History { conversation, .. } => ("history", Some(*conversation)),
        Pull { conversation, .. } => ("pull", Some(*conversation)),
        OpenDirect { .. } => ("open_direct", None),
        CreateGroup { .. } => ("create_group", None),
        CreateRoom { .. } => ("create_room", None),
        GetConversation { conversation } => ("get_conversation", Some(*conversation)),
        JoinRoom { conversation } => ("join_room", Some(*conversation)),
        ListMembers { conversation, .. } => ("list_members", Some(*conversation)),
        ListRooms { .. } => ("list_rooms", None),
        Search { .. } => ("search", None),
        Apply { .. } => ("apply", None),
        ListRequests { .. } => ("list_requests", None),
        Answer { .. } => ("answer", None),
        ChangeRemark { .. } => ("change_remark", None),
        DeleteFriend { .. } => ("delete_friend", None),
        Block { .. } => ("block", None),
        ListFriends { .. } => ("list_friends", None),
        ListBlocked { .. } => ("list_blocked", None),
        GetProfiles { .. } => ("get_profiles", None),
        ChangeProfile { .. } => ("change_profile", None),
        JoinLive { .. } => ("join_live", None),
        LeaveLive { .. } => ("leave_live", None),
        LiveHistory { .. } => ("live_history", None),
        ListDevices => ("list_devices", None),
        LogOut { .. } => ("log_out", None),
        LogOutEverywhere => ("log_out_everywhere", None),
    };
    let has_key = matches!(command, Send { .. } | Change { .. } | CreateGroup { .. } | CreateRoom { .. });
    About { name, conversation, has_key }
}
