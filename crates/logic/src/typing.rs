//! "Is typing": transient, to whoever is there, gone if not.
//!
//! Bounds: one per session, conversation and [`EVERY`]; [`QUEUE`] wait to be pushed. Beyond either the hint is left out and
//! the command answered as if nothing happened: nobody misses it.

use crate::job::Fanout;
use crate::snapshots::Snapshots;
use futures_util::StreamExt;
use moka::sync::Cache;
use skein_domain::command::Reply;
use skein_domain::conversation::Kind;
use skein_domain::delivery::Push;
use skein_domain::door::Caller;
use skein_domain::id::{ConversationId, SessionId, Uid};
use skein_domain::policy::{Case, not_member};
use skein_domain::port::{Clock, ConversationStore};
use skein_domain::{Limits, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(2);
const QUEUE: usize = 1_024;
const PUSHES_AT_A_TIME: usize = 16;
/// Sessions and conversations remembered; a forgotten one may push a little early.
const REMEMBERED: u64 = 100_000;

#[derive(Clone)]
pub(crate) struct Typing {
    conversations: Arc<dyn ConversationStore>,
    snapshots: Snapshots,
    recent: Cache<(SessionId, ConversationId), ()>,
    queue: mpsc::Sender<Heard>,
    clock: Arc<dyn Clock>,
    limits: Arc<Limits>,
}

struct Heard {
    conversation: ConversationId,
    uid: Uid,
    by: Audience,
}

enum Audience {
    Room,
    Users(Vec<Uid>),
}

pub(crate) struct TypingPusher {
    queue: mpsc::Receiver<Heard>,
    fanout: Fanout,
}

impl Typing {
    pub(crate) fn new(
        conversations: Arc<dyn ConversationStore>,
        snapshots: Snapshots,
        fanout: Fanout,
        clock: Arc<dyn Clock>,
        limits: Arc<Limits>,
    ) -> (Self, TypingPusher) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let recent = Cache::builder().time_to_live(EVERY).max_capacity(REMEMBERED).build();
        (Self { conversations, snapshots, recent, queue: sender, clock, limits }, TypingPusher { queue: receiver, fanout })
    }

    pub(crate) async fn typing(&self, caller: &Caller, conversation: ConversationId) -> Result<Reply> {
        if !self.recent.entry((caller.session, conversation)).or_insert(()).is_fresh() {
            return Ok(Reply::Done);
        }
        let snapshot = self.snapshots.get(conversation).await?.ok_or_else(not_member)?;
        let is_room = snapshot.conversation.kind == Kind::Room;
        let row = if is_room { self.conversations.member(conversation, caller.uid).await? } else { None };
        let room_members = row.as_slice();
        let case = Case { snapshot: &snapshot, author: caller.uid, room_members, limits: &self.limits, now: self.clock.now() };
        case.me()?;
        if !case.may_be_heard() {
            return Ok(Reply::Done);
        }
        let by = match is_room {
            true => Audience::Room,
            false => Audience::Users(snapshot.members.iter().filter(|m| m.is_in() && m.uid != caller.uid).map(|m| m.uid).collect()),
        };
        if self.queue.try_send(Heard { conversation, uid: caller.uid, by }).is_err() {
            metrics::counter!("skein_typing_left_out_total").increment(1);
        }
        Ok(Reply::Done)
    }
}

impl TypingPusher {
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let heard = futures_util::stream::poll_fn(|context| self.queue.poll_recv(context));
        let fanout = self.fanout;
        let pushes = heard.for_each_concurrent(PUSHES_AT_A_TIME, move |heard| push(fanout.clone(), heard));
        shutdown.run_until_cancelled(pushes).await;
    }
}

async fn push(fanout: Fanout, Heard { conversation, uid, by }: Heard) {
    let push = Push::Typing { conversation, uid };
    match by {
        Audience::Room => fanout.to_room(conversation, push).await,
        Audience::Users(uids) => fanout.to_users(&uids, push).await,
    }
}
