//! Who answers which command.
//!
//! **Invariant:** a command that stands in its conversation's line has joined it before [`Service::dispatch`] returns.

use crate::account::Accounts;
use crate::account::status::Status;
use crate::append::{Appends, Draft};
use crate::contact::Contacts;
use crate::conversation::Conversations;
use crate::cursors::Cursors;
use crate::history::{Anchor, History};
use crate::job::Fanout;
use crate::push::{Guests, LiveSessions, PushAdmin, Pushes};
use crate::sync::Sync;
use crate::typing::Typing;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use skein_domain::command::{Command, Reply};
use skein_domain::door::Caller;
use skein_domain::entry::EntryEvent;
use skein_domain::port::Mark;
use skein_domain::trace::Trace;
use skein_domain::{Code, Error, Result, policy};
use std::sync::Arc;

/// A cheap handle; clone it freely.
#[derive(Clone)]
pub struct Service {
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) status: Arc<Status>,
    pub(crate) contacts: Arc<Contacts>,
    pub(crate) appends: Appends,
    pub(crate) conversations: Conversations,
    pub(crate) cursors: Cursors,
    pub(crate) typing: Typing,
    pub(crate) sync: Sync,
    pub(crate) history: History,
    pub(crate) fanout: Fanout,
    pub(crate) pushes: Pushes,
    pub(crate) guests: Guests,
    pub(crate) live: LiveSessions,
}

impl Service {
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

    pub(crate) fn dispatch(&self, caller: Caller, trace: Option<Trace>, command: Command) -> BoxFuture<'static, Result<Reply>> {
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
                    if !conversations.is_room(conversation).await? {
                        return change.await;
                    }
                    // That is no entry: whoever stands behind it in the line need not wait for it.
                    drop(change);
                    conversations.leave_room(caller.uid, conversation, &key).await
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
