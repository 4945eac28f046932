//! The Logic door: one arm per command, and the background work that goes with it.
//!
//! **Invariant:** a command's place in its conversation's line is taken before [`Logic::call`] returns its future. Nothing a
//! user wrote is logged, nor put on a span.
//!
//! Bound: a call ends after [`CALL_BOUND`], later than any caller waits; an outcome unknown by then is `retry_same_key`
//! for commands that carry a key.

use crate::account::Accounts;
use crate::account::status::{Hello, Status, StatusPorts};
use crate::announcer::Announcer;
use crate::append::{AppendPorts, Appends, Draft};
use crate::background::Background;
use crate::contact::Contacts;
use crate::conversation::Conversations;
use crate::cursors::Cursors;
use crate::history::{Anchor, History};
use crate::job::{Backlog, Dispatch, Fanout, Intake, Relay, RelayPorts};
use crate::push::{Goim, Guests, LiveSessions, Platform, PushAdmin, Pushes};
use crate::snapshots::Snapshots;
use crate::sync::{Sync, SyncBounds};
use crate::traces::Traces;
use crate::turns::Turns;
use crate::typing::Typing;
use crate::{Config, account::rate::RateLimit};
use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use skein_domain::command::{AccountCommand, AccountReply, Command, Reply};
use skein_domain::door::{Caller, Comets, Connect, Connected, Logic, NodeLoad, Origin};
use skein_domain::entry::EntryEvent;
use skein_domain::id::{ConnectionRef, ConversationId, NodeId, Shard};
use skein_domain::live::{GuestCommand, GuestReply, PushCommand, PushReply, Pusher};
use skein_domain::port::{
    AccountStore, Clock, CodeStore, ContactStore, ConversationStore, GuestRegistry, LiveLog, LiveSource, LogBus, LogSource, Mailer, Mark,
    MessageStore, NodeRegistry, Outbox, PushStore, ReceiptStore, SessionRegistry,
};
use skein_domain::trace::Trace;
use skein_domain::{Code, Error, Limits, Result, policy};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::Instrument;

const CALL_BOUND: Duration = Duration::from_secs(10);

/// What logic is made of.
pub struct Parts {
    /// Name of the node this runs on.
    pub node: NodeId,
    pub accounts: Arc<dyn AccountStore>,
    pub contacts: Arc<dyn ContactStore>,
    pub conversations: Arc<dyn ConversationStore>,
    pub messages: Arc<dyn MessageStore>,
    pub outbox: Arc<dyn Outbox>,
    pub registry: Arc<dyn SessionRegistry>,
    pub nodes: Arc<dyn NodeRegistry>,
    pub codes: Arc<dyn CodeStore>,
    pub guests: Arc<dyn GuestRegistry>,
    pub pushes: Arc<dyn PushStore>,
    pub receipts: Arc<dyn ReceiptStore>,
    pub mailer: Arc<dyn Mailer>,
    pub comets: Arc<dyn Comets>,
    pub clock: Arc<dyn Clock>,
    /// `None`: `direct` mode, records are dispatched as they are relayed.
    pub pipeline: Option<Pipeline>,
    /// `None`: direct mode, transient pushes are dispatched in this process.
    pub live_log: Option<LivePipeline>,
    pub goim: Goim,
    pub limits: Limits,
    pub config: Config,
}

/// The two ends of a log between relay and job.
#[derive(Clone)]
pub struct Pipeline {
    pub bus: Arc<dyn LogBus>,
    pub source: Arc<dyn LogSource>,
}

/// The two ends of a log of transient pushes.
#[derive(Clone)]
pub struct LivePipeline {
    pub log: Arc<dyn LiveLog>,
    pub source: Arc<dyn LiveSource>,
}

/// A cheap handle; clone it freely.
#[derive(Clone)]
pub struct Service {
    accounts: Arc<Accounts>,
    status: Arc<Status>,
    contacts: Arc<Contacts>,
    appends: Appends,
    conversations: Conversations,
    cursors: Cursors,
    typing: Typing,
    sync: Sync,
    history: History,
    fanout: Fanout,
    pushes: Pushes,
    guests: Guests,
    live: LiveSessions,
}

impl Service {
    /// Fails only on settings that make no sense.
    pub fn new(parts: Parts) -> Result<(Self, Background)> {
        let Parts { config, clock, conversations, messages, contacts, .. } = &parts;
        let limits = Arc::new(parts.limits.clone());
        let fanout = Fanout::new(parts.registry.clone(), parts.comets.clone(), &parts.node);
        let snapshots = Snapshots::new(conversations.clone(), config.members_cached);
        let traces = Traces::default();
        let announcer = Announcer::default();

        let ports = AppendPorts {
            messages: messages.clone(),
            conversations: conversations.clone(),
            contacts: contacts.clone(),
            accounts: parts.accounts.clone(),
        };
        let sends = RateLimit::new("sends", config.sends, clock.clone());
        let backlog = Backlog::new(messages.shards(), config.unpublished_max);
        let appends = Appends::new(ports, snapshots.clone(), traces.clone(), backlog.clone(), sends, clock.clone(), limits.clone());
        let (cursors, cursor_pusher) = Cursors::new(conversations.clone(), snapshots.clone(), fanout.clone());
        let (typing, typing_pusher) = Typing::new(conversations.clone(), snapshots.clone(), fanout.clone(), clock.clone(), limits.clone());
        let page_bytes = config.page_bytes as usize;
        let bounds = SyncBounds { page_bytes, running_max: config.syncs_running as usize, waiting_max: config.syncs_waiting as usize };

        let Platform { pushes, guests, live, schedule, rooms, live_intake } = Platform::new(&parts, &fanout, &snapshots, &limits);
        let status = Arc::new(status(&parts, &fanout));
        let (accounts, chores) = Accounts::new(
            parts.accounts.clone(),
            parts.codes.clone(),
            parts.mailer.clone(),
            status.clone(),
            fanout.clone(),
            clock.clone(),
            config.account.clone(),
        )?;
        let service = Self {
            accounts: Arc::new(accounts),
            status,
            contacts: Arc::new(Contacts::new(contacts.clone(), parts.accounts.clone(), clock.clone(), limits.friends, &config.contact)),
            conversations: Conversations {
                store: conversations.clone(),
                messages: messages.clone(),
                appends: appends.clone(),
                snapshots: snapshots.clone(),
                fanout: fanout.clone(),
                announcer: announcer.clone(),
                turns: Turns::new(),
                clock: clock.clone(),
                limits,
            },
            appends,
            cursors,
            typing,
            sync: Sync::new(conversations.clone(), messages.clone(), bounds),
            history: History { conversations: conversations.clone(), messages: messages.clone(), page_bytes },
            fanout: fanout.clone(),
            pushes,
            guests,
            live,
        };
        let dispatch = Arc::new(Dispatch::new(snapshots, fanout.clone()));
        let intake = parts.pipeline.as_ref().map(|pipeline| Intake::new(pipeline.source.clone(), dispatch.clone()));
        let relays = relays(&parts, dispatch, traces, backlog);
        let (sessions, guests) = (parts.registry, parts.guests);
        let background = Background {
            relays,
            intake,
            live_intake,
            chores,
            cursors: cursor_pusher,
            typing: typing_pusher,
            announcer,
            fanout,
            schedule,
            rooms,
            sessions,
            guests,
        };
        Ok((service, background))
    }

    /// For administration: users made, disabled, given passwords.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// For administration: nodes and who is online.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// For administration: API keys, bindings of live rooms, tags.
    pub fn push_admin(&self) -> PushAdmin {
        self.pushes.admin()
    }

    /// For administration: notices to everyone.
    pub fn fanout(&self) -> &Fanout {
        &self.fanout
    }

    fn dispatch(&self, caller: Caller, trace: Option<Trace>, command: Command) -> BoxFuture<'static, Result<Reply>> {
        match command {
            // These stand in a line, which they join now.
            Command::Send { conversation, key, body, reply_to, after } => {
                let event = EntryEvent::Message { body: Some(body), reply_to };
                self.appends.append(Draft { conversation, author: caller.uid, key, after, event, trace }).boxed()
            }
            Command::Change { event: EntryEvent::Message { .. }, .. } => {
                let error = Error::new(Code::BadRequest, "a message is sent, not changed");
                std::future::ready(Err(error)).boxed()
            }
            Command::Change { conversation, key, event } => {
                let event = policy::without_outer_space(event);
                let leaves = matches!(event, EntryEvent::Left { uid } if uid == caller.uid);
                let draft = Draft { conversation, author: caller.uid, key: key.clone(), after: None, event, trace };
                let change = self.appends.append(draft);
                if !leaves {
                    return change.boxed();
                }
                let conversations = self.conversations.clone();
                async move {
                    match conversations.leave_room(caller.uid, conversation, &key).await? {
                        Some(left) => Ok(left),
                        None => change.await,
                    }
                }
                .boxed()
            }
            command => {
                let this = self.clone();
                async move { this.answer(caller, command).await }.boxed()
            }
        }
    }

    async fn answer(&self, caller: Caller, command: Command) -> Result<Reply> {
        use Command::*;
        let uid = caller.uid;
        let conversations = &self.conversations;
        match command {
            Send { .. } | Change { .. } => Err(Error::internal()),
            JoinLive { room, presence } => self.live.join(&caller, room, presence).await,
            LeaveLive { room } => self.live.leave(&caller, &room),
            LiveHistory { room, before, count } => self.live.history(&room, before, count).await,
            MarkRead { conversation, seq } => self.cursors.mark_read(conversation, uid, Mark::Read(seq)).await,
            MarkDelivered { conversation, seq } => self.cursors.mark_delivered(conversation, uid, Mark::Delivered(seq)).await,
            Typing { conversation } => self.typing.typing(&caller, conversation).await,
            ChangeSettings { conversation, change } => conversations.change_settings(uid, conversation, change).await,

            Sync { cursor } => {
                let page = self.sync.sync(uid, &cursor).await;
                self.status.synced(&caller).await?;
                page
            }
            History { conversation, before, after, count } => {
                self.history.history(uid, conversation, Anchor { before, after, count }).await
            }
            Pull { conversation, from, to } => self.history.pull(uid, conversation, from, to).await,

            OpenDirect { uid: peer } => conversations.open_direct(uid, peer).await,
            CreateGroup { key, title, uids } => conversations.create_group(uid, key, title, &uids).await,
            CreateRoom { key, title } => conversations.create_room(uid, key, title).await,
            GetConversation { conversation } => conversations.get(uid, conversation).await,
            JoinRoom { conversation } => conversations.join_room(uid, conversation).await,
            ListMembers { conversation, cursor, count } => conversations.members(uid, conversation, &cursor, count).await,
            ListRooms { cursor, count } => conversations.rooms(&cursor, count).await,

            Search { .. }
            | Apply { .. }
            | ListRequests { .. }
            | Answer { .. }
            | ChangeRemark { .. }
            | DeleteFriend { .. }
            | Block { .. }
            | ListFriends { .. }
            | ListBlocked { .. } => self.answer_about_contacts(&caller, command).await,
            GetProfiles { .. } | ChangeProfile { .. } | ListDevices | LogOut { .. } | LogOutEverywhere => {
                self.answer_about_account(&caller, command).await
            }
        }
    }

    async fn answer_about_contacts(&self, caller: &Caller, command: Command) -> Result<Reply> {
        let contacts = &self.contacts;
        match command {
            Command::Search { by, cursor } => {
                contacts.search(caller, by, &cursor).await.map(|(profiles, cursor)| Reply::Profiles { profiles, cursor })
            }
            Command::Apply { uid, greeting } => contacts.apply(caller, uid, &greeting).await.map(|request| Reply::Request { request }),
            Command::ListRequests { cursor } => {
                contacts.requests(caller, &cursor).await.map(|(requests, cursor)| Reply::Requests { requests, cursor })
            }
            Command::Answer { request, accept } => contacts.answer(caller, request, accept).await.map(|request| Reply::Request { request }),
            Command::ChangeRemark { uid, remark } => {
                contacts.change_remark(caller, uid, &remark).await.map(|friend| Reply::Friend { friend })
            }
            Command::DeleteFriend { uid } => contacts.delete_friend(caller, uid).await.map(|()| Reply::Done),
            Command::Block { uid, on } => contacts.block(caller, uid, on).await.map(|friend| Reply::Friend { friend }),
            Command::ListFriends { cursor, count } => {
                contacts.friends(caller, &cursor, count).await.map(|(friends, cursor)| Reply::Friends { friends, cursor })
            }
            Command::ListBlocked { cursor, count } => {
                contacts.blocked(caller, &cursor, count).await.map(|(friends, cursor)| Reply::Friends { friends, cursor })
            }
            _ => Err(Error::internal()),
        }
    }

    async fn answer_about_account(&self, caller: &Caller, command: Command) -> Result<Reply> {
        let profiles = |profiles| Reply::Profiles { profiles, cursor: String::new() };
        let accounts = &self.accounts;
        match command {
            Command::GetProfiles { uids } => accounts.get_profiles(caller, &uids).await.map(profiles),
            Command::ChangeProfile { change } => accounts.change_profile(caller, change).await.map(|profile| profiles(vec![profile])),
            Command::ListDevices => accounts.devices(caller).await.map(|sessions| Reply::Devices { sessions, current: caller.session }),
            Command::LogOut { session } => accounts.log_out(caller, session).await.map(|()| Reply::Done),
            Command::LogOutEverywhere => accounts.log_out_everywhere(caller).await.map(|()| Reply::Done),
            _ => Err(Error::internal()),
        }
    }
}

fn status(parts: &Parts, fanout: &Fanout) -> Status {
    let ports = StatusPorts {
        nodes: parts.nodes.clone(),
        registry: parts.registry.clone(),
        accounts: parts.accounts.clone(),
        conversations: parts.conversations.clone(),
    };
    let hello = Hello { epoch: parts.messages.epoch(), limits: parts.limits.clone() };
    Status::new(ports, fanout.clone(), parts.clock.clone(), hello, parts.config.account.clone())
}

fn relays(parts: &Parts, dispatch: Arc<Dispatch>, traces: Traces, backlog: Backlog) -> Vec<Relay> {
    let bus: Arc<dyn LogBus> = parts.pipeline.as_ref().map_or(dispatch, |pipeline| pipeline.bus.clone());
    let ports = RelayPorts { outbox: parts.outbox.clone(), messages: parts.messages.clone(), bus, traces, backlog };
    (0..parts.messages.shards()).map(|shard| Relay::new(Shard(shard), ports.clone())).collect()
}

// === impl Logic for Service ===

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
