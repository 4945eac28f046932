//! What accounts' sessions ask of live rooms: to be in, to be out, and what was said.

use super::durable::KIND_PUSH;
use super::presence::{Joining, LiveRooms};
use crate::history::check_seqs;
use skein_domain::command::Reply;
use skein_domain::door::Caller;
use skein_domain::entry::{HistoryPage, MessageState};
use skein_domain::id::{ConnectionRef, ConversationId, NodeId, Seq};
use skein_domain::live::{RoomName, Somebody};
use skein_domain::port::{HistoryQuery, MessageStore, PushStore};
use skein_domain::{Code, Error, Limits, Result};
use std::sync::Arc;

const HISTORY_DEFAULT: u32 = 20;
const HISTORY_MAX: u32 = 100;
/// Pages of the chat room looked through for pushes.
const PAGES_MAX: u32 = 10;

#[derive(Clone)]
pub(crate) struct LiveSessions {
    pub rooms: LiveRooms,
    pub store: Arc<dyn PushStore>,
    pub messages: Arc<dyn MessageStore>,
    pub limits: Arc<Limits>,
    pub page_bytes: usize,
}

impl LiveSessions {
    pub(crate) async fn join(&self, caller: &Caller, room: RoomName, presence: bool) -> Result<Reply> {
        let (connection, node) = connection_of(caller)?;
        let who = Somebody::User { uid: caller.uid, class: caller.class };
        let conversation = self.store.bound_room(&room).await?;
        let joining = Joining { connection, node, who, wants_presence: presence, rooms_max: self.limits.rooms as usize };
        let found = self.rooms.join(joining, room.clone())?;
        Ok(Reply::LiveRoom { room, count: found.count, conversation, people: found.people })
    }

    pub(crate) fn leave(&self, caller: &Caller, room: &RoomName) -> Result<Reply> {
        let (connection, _) = connection_of(caller)?;
        self.rooms.leave(connection, room);
        Ok(Reply::Done)
    }

    /// Pushes only: what people say in the chat room is for its members. A page that finds fewer than asked for within
    /// [`PAGES_MAX`] pages of the chat room says that there are no more.
    pub(crate) async fn history(&self, room: &RoomName, before: Option<Seq>, count: u32) -> Result<Reply> {
        check_seqs(before)?;
        let conversation = self.store.bound_room(room).await?;
        let conversation = conversation.ok_or_else(|| Error::new(Code::NotFound, "no chat room keeps the pushes of this live room"))?;
        let count = if count == 0 { HISTORY_DEFAULT } else { count.min(HISTORY_MAX) } as usize;
        let page = self.pushes_before(conversation, before, count).await?;
        Ok(Reply::History { conversation, page })
    }

    async fn pushes_before(&self, conversation: ConversationId, mut before: Option<Seq>, count: usize) -> Result<HistoryPage> {
        let mut newest_first: Vec<MessageState> = Vec::new();
        let mut floor = Seq::ZERO;
        for _ in 0..PAGES_MAX {
            let query = HistoryQuery { from: Seq(1), to: Seq(i64::MAX), before, after: None, count: HISTORY_MAX };
            let page = self.messages.history(conversation, query).await?;
            floor = page.floor;
            before = page.messages.first().map(|message| message.seq).into_iter().chain(page.events.first().map(|event| event.seq)).min();
            newest_first.extend(page.messages.into_iter().rev().filter(is_push));
            if newest_first.len() > count || !page.has_more || before.is_none() {
                break;
            }
        }
        Ok(self.fitting(newest_first, count, floor))
    }

    /// The newest of them that fit a frame, oldest first.
    fn fitting(&self, newest_first: Vec<MessageState>, count: usize, floor: Seq) -> HistoryPage {
        let found = newest_first.len();
        let mut bytes = 0;
        let fits = |message: &MessageState| {
            let is_first = bytes == 0;
            bytes += crate::page::json_bytes(message);
            is_first || bytes <= self.page_bytes
        };
        let mut messages: Vec<MessageState> = newest_first.into_iter().take(count).take_while(fits).collect();
        let has_more = messages.len() < found;
        messages.reverse();
        HistoryPage { messages, events: Vec::new(), has_more, floor }
    }
}

fn is_push(message: &MessageState) -> bool {
    message.body.as_ref().is_some_and(|body| body.kind == KIND_PUSH)
}

fn connection_of(caller: &Caller) -> Result<(ConnectionRef, NodeId)> {
    let (node, generation) =
        caller.connection.clone().ok_or_else(|| Error::new(Code::BadRequest, "only a connection is in a live room"))?;
    Ok((ConnectionRef { session: caller.session, generation }, node))
}
