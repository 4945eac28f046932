//! Conversations themselves: opened, created, joined, left, listed, and one member's settings.
//!
//! What becomes an entry (invite, remove, roles, titles …) is `append`'s. A room is joined and left without an entry: a
//! member row, and a subscription of the user's connections.
//!
//! **Invariant:** creations and joins of one user are judged one after the other, so that no limit is passed by asking twice
//! at once.

use crate::announcer::Announcer;
use crate::append::Appends;
use crate::cursor::{self, CursorKind};
use crate::job::Fanout;
use crate::snapshots::Snapshots;
use crate::turns::Turns;
use crate::visibility;
use skein_domain::command::Reply;
use skein_domain::conversation::{ConversationView, Kind, Member, Role, RoomInfo, SettingsChange};
use skein_domain::delivery::Push;
use skein_domain::id::{ConversationId, IdempotencyKey, Seq, Uid};
use skein_domain::policy;
use skein_domain::port::{Clock, ConversationStore, CreateConversation, MessageStore};
use skein_domain::{Code, Error, Limits, Result};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;

const PAGE_DEFAULT: u32 = 50;
const PAGE_MAX: u32 = 100;
/// How long a command waits for its connections to be told; the telling goes on.
const TELL_WAIT: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(crate) struct Conversations {
    pub store: Arc<dyn ConversationStore>,
    pub messages: Arc<dyn MessageStore>,
    pub appends: Appends,
    pub snapshots: Snapshots,
    pub fanout: Fanout,
    pub announcer: Announcer,
    pub turns: Turns<Uid>,
    pub clock: Arc<dyn Clock>,
    pub limits: Arc<Limits>,
}

impl Conversations {
    pub(crate) async fn get(&self, uid: Uid, conversation: ConversationId) -> Result<Reply> {
        let view = self.view(uid, conversation).await?;
        Ok(Reply::Conversation { view: Box::new(view) })
    }

    /// For those who may talk to each other; who talked before finds the conversation in the list.
    pub(crate) async fn open_direct(&self, uid: Uid, peer: Uid) -> Result<Reply> {
        if uid == peer {
            return Err(Error::new(Code::NotSelf, "a conversation needs somebody else"));
        }
        self.appends.may_be_invited(uid, &[peer]).await?;
        let conversation = self.store.open_direct(uid, peer, self.clock.now()).await?;
        self.get(uid, conversation).await
    }

    pub(crate) async fn create_group(&self, owner: Uid, key: IdempotencyKey, title: String, uids: &[Uid]) -> Result<Reply> {
        let title = policy::checked_title(&title)?;
        let uids = policy::first_members(owner, uids, &self.limits)?;
        let _turn = self.turns.take(owner).wait().await;
        self.appends.may_be_invited(owner, &uids).await?;
        let create = CreateConversation { owner, key, title, uids, at: self.clock.now(), per_day_max: self.limits.creations_per_day };
        let conversation = self.store.create_group(create).await?;
        self.get(owner, conversation).await
    }

    pub(crate) async fn create_room(&self, owner: Uid, key: IdempotencyKey, title: String) -> Result<Reply> {
        let title = policy::checked_title(&title)?;
        let _turn = self.turns.take(owner).wait().await;
        self.may_enter_one_more(owner).await?;
        let create =
            CreateConversation { owner, key, title, uids: Vec::new(), at: self.clock.now(), per_day_max: self.limits.creations_per_day };
        let (room, is_new) = self.store.create_room(create).await?;
        let view = self.view(owner, room).await?;
        if is_new {
            self.announcer.announce(info_of(&view));
        }
        self.seat(owner, room, view.conversation.head).await
    }

    pub(crate) async fn join_room(&self, uid: Uid, room: ConversationId) -> Result<Reply> {
        let _turn = self.turns.take(uid).wait().await;
        let kind = self.snapshots.get(room).await?.map(|snapshot| snapshot.conversation.kind);
        if kind != Some(Kind::Room) {
            return Err(Error::new(Code::NotFound, "no such room"));
        }
        let member = match self.store.member(room, uid).await?.filter(Member::is_in) {
            Some(member) => member,
            None => {
                self.may_enter_one_more(uid).await?;
                self.store.join_room(room, uid, self.clock.now()).await?
            }
        };
        self.seat(uid, room, member.read).await
    }

    pub(crate) async fn is_room(&self, conversation: ConversationId) -> Result<bool> {
        let snapshot = self.snapshots.get(conversation).await?.ok_or_else(policy::not_member)?;
        Ok(snapshot.conversation.kind == Kind::Room)
    }

    /// Leaves a room by oneself, which is no entry.
    pub(crate) async fn leave_room(&self, uid: Uid, room: ConversationId, key: &IdempotencyKey) -> Result<Reply> {
        let member = self.store.member(room, uid).await?.ok_or_else(policy::not_member)?;
        if member.is_in() && member.role == Role::Owner && self.has_others(room).await? {
            return Err(Error::new(Code::Forbidden, "pass the ownership on before leaving"));
        }
        let member = self.store.leave_room(room, uid).await?;
        self.unsubscribe(uid, room).await;
        let (seq, at) = (member.visible_to.unwrap_or_default(), self.clock.now());
        Ok(Reply::Ack { conversation: room, key: key.clone(), seq, at, epoch: self.messages.epoch() })
    }

    async fn has_others(&self, room: ConversationId) -> Result<bool> {
        Ok(self.snapshots.fresh(room).await?.is_some_and(|snapshot| snapshot.conversation.members > 1))
    }

    pub(crate) async fn members(&self, uid: Uid, conversation: ConversationId, cursor: &str, count: u32) -> Result<Reply> {
        let after = cursor::open_id(CursorKind::Members, cursor)?.unwrap_or(0);
        if !self.store.member(conversation, uid).await?.is_some_and(|member| member.is_in()) {
            return Err(policy::not_member());
        }
        let count = page(count);
        let mut members = self.store.members(conversation, Uid(after), count).await?;
        // Drafts and settings are their owner's business.
        for (member, _) in members.iter_mut().filter(|(member, _)| member.uid != uid) {
            member.draft = String::new();
            (member.pinned, member.muted) = (false, false);
        }
        let last = (members.len() == count as usize).then(|| members.last().map(|(member, _)| member.uid.0)).flatten();
        Ok(Reply::Members { members, cursor: cursor::seal_id(CursorKind::Members, last) })
    }

    pub(crate) async fn rooms(&self, cursor: &str, count: u32) -> Result<Reply> {
        let before = cursor::open_id(CursorKind::Rooms, cursor)?.map(ConversationId);
        let count = page(count);
        let rooms = self.store.rooms(before, count).await?;
        let last = (rooms.len() == count as usize).then(|| rooms.last().map(|room| room.conversation.0)).flatten();
        Ok(Reply::Rooms { rooms, cursor: cursor::seal_id(CursorKind::Rooms, last) })
    }

    pub(crate) async fn change_settings(&self, uid: Uid, conversation: ConversationId, change: SettingsChange) -> Result<Reply> {
        policy::check_settings(&change)?;
        let member = self.store.change_settings(conversation, uid, change).await?;
        let unread = self.view(uid, conversation).await?.unread;
        Ok(Reply::Membership { member, unread })
    }

    async fn view(&self, uid: Uid, conversation: ConversationId) -> Result<ConversationView> {
        let view = self.store.view(conversation, uid).await?.ok_or_else(policy::not_member)?;
        visibility::clip(&*self.messages, view).await
    }

    async fn may_enter_one_more(&self, uid: Uid) -> Result<()> {
        if self.store.rooms_of(uid).await?.len() < self.limits.rooms as usize {
            return Ok(());
        }
        Err(Error::new(Code::RoomsFull, format!("at most {} rooms", self.limits.rooms)))
    }

    /// The user's connections get the room's pushes from now on. What came after `known` until then was pushed to none of
    /// them, and those that did not ask to join have only heard of the room as it was: they sync.
    async fn seat(&self, uid: Uid, room: ConversationId, known: Seq) -> Result<Reply> {
        let fanout = self.fanout.clone();
        told(async move { fanout.subscribe(uid, room).await }).await;
        let view = self.view(uid, room).await?;
        if view.conversation.head > known {
            let fanout = self.fanout.clone();
            told(async move { fanout.to_users(&[uid], Push::Resync { after_ms: 0 }).await }).await;
        }
        Ok(Reply::Conversation { view: Box::new(view) })
    }

    async fn unsubscribe(&self, uid: Uid, room: ConversationId) {
        let fanout = self.fanout.clone();
        told(async move { fanout.unsubscribe(uid, room).await }).await;
    }
}

/// Waits for connections to be told, but not for a Comet that does not answer.
async fn told(telling: impl Future<Output = ()> + Send + 'static) {
    let task = tokio::spawn(telling.in_current_span());
    if tokio::time::timeout(TELL_WAIT, task).await.is_err() {
        tracing::info!("connections are told later");
    }
}

fn info_of(view: &ConversationView) -> RoomInfo {
    let room = &view.conversation;
    RoomInfo { conversation: room.id, title: room.title.clone(), owner: room.owner, members: room.members, created_at: room.created_at }
}

fn page(count: u32) -> u32 {
    if count == 0 { PAGE_DEFAULT } else { count.min(PAGE_MAX) }
}
