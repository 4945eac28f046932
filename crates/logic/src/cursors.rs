//! How far members got: read and delivered cursors.
//!
//! A cursor is durable when its command is answered. The user's own devices learn of it by the user log; the others by a
//! transient push, coalesced to one per conversation and second. Rooms push none.
//!
//! Bound: [`WAITING_MAX`] conversations wait for their push; beyond that a push is left out and counted (the cursor itself
//! is stored, and comes with the next sync or the next push).

use crate::history::check_seqs;
use crate::job::Fanout;
use crate::snapshots::Snapshots;
use futures_util::StreamExt;
use skein_domain::command::Reply;
use skein_domain::conversation::{Kind, Member};
use skein_domain::delivery::{MemberCursor, Push};
use skein_domain::id::{ConversationId, Uid};
use skein_domain::policy;
use skein_domain::port::{ConversationStore, Mark};
use skein_domain::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const WAITING_MAX: usize = 10_000;
const PUSH_EVERY: Duration = Duration::from_secs(1);
const PUSHES_AT_A_TIME: usize = 16;

#[derive(Clone)]
pub(crate) struct Cursors {
    conversations: Arc<dyn ConversationStore>,
    snapshots: Snapshots,
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Waiting {
    cursors: Mutex<HashMap<ConversationId, HashMap<Uid, MemberCursor>>>,
    arrived: Notify,
}

/// Tells the other members.
pub(crate) struct CursorPusher {
    waiting: Arc<Waiting>,
    snapshots: Snapshots,
    fanout: Fanout,
}

impl Cursors {
    pub(crate) fn new(conversations: Arc<dyn ConversationStore>, snapshots: Snapshots, fanout: Fanout) -> (Self, CursorPusher) {
        let waiting = Arc::new(Waiting::default());
        let pusher = CursorPusher { waiting: waiting.clone(), snapshots: snapshots.clone(), fanout };
        (Self { conversations, snapshots, waiting }, pusher)
    }

    pub(crate) async fn mark_read(&self, conversation: ConversationId, uid: Uid, mark: Mark) -> Result<Reply> {
        self.mark(conversation, uid, mark).await?;
        let view = self.conversations.view(conversation, uid).await?.ok_or_else(policy::not_member)?;
        Ok(Reply::Membership { unread: view.unread, member: view.me })
    }

    pub(crate) async fn mark_delivered(&self, conversation: ConversationId, uid: Uid, mark: Mark) -> Result<Reply> {
        self.mark(conversation, uid, mark).await?;
        Ok(Reply::Done)
    }

    /// A cursor that would not move is not written.
    async fn mark(&self, conversation: ConversationId, uid: Uid, mark: Mark) -> Result<()> {
        let (Mark::Read(seq) | Mark::Delivered(seq)) = mark;
        check_seqs([seq])?;
        let before = self.conversations.member(conversation, uid).await?.ok_or_else(policy::not_member)?;
        let mark = within(mark, &before);
        let moves = match mark {
            Mark::Read(seq) => seq > before.read,
            Mark::Delivered(seq) => seq > before.delivered,
        };
        if moves {
            let after = self.conversations.mark(conversation, uid, mark).await?;
            self.note(conversation, &after).await?;
        }
        Ok(())
    }

    async fn note(&self, conversation: ConversationId, member: &Member) -> Result<()> {
        let kind = self.snapshots.get(conversation).await?.map(|snapshot| snapshot.conversation.kind);
        if member.is_in() && matches!(kind, Some(Kind::Direct | Kind::Group)) {
            self.waiting.add(conversation, MemberCursor { uid: member.uid, read: member.read, delivered: member.delivered });
        }
        Ok(())
    }
}

/// A former member's cursor ends where their view ends.
fn within(mark: Mark, me: &Member) -> Mark {
    match (mark, me.visible_to) {
        (Mark::Read(seq), Some(to)) => Mark::Read(seq.min(to)),
        (Mark::Delivered(seq), Some(to)) => Mark::Delivered(seq.min(to)),
        (mark, None) => mark,
    }
}

impl Waiting {
    fn add(&self, conversation: ConversationId, cursor: MemberCursor) {
        let mut waiting = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX && !waiting.contains_key(&conversation) {
            metrics::counter!("skein_cursor_pushes_total", "outcome" => "left_out").increment(1);
            return;
        }
        waiting.entry(conversation).or_default().insert(cursor.uid, cursor);
        self.arrived.notify_one();
    }

    fn take(&self) -> HashMap<ConversationId, HashMap<Uid, MemberCursor>> {
        std::mem::take(&mut *self.cursors.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl CursorPusher {
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        loop {
            let round = async {
                self.waiting.arrived.notified().await;
                let pushes = futures_util::stream::iter(self.waiting.take());
                let push = |(conversation, cursors): (_, HashMap<_, _>)| self.push(conversation, cursors.into_values().collect());
                pushes.for_each_concurrent(PUSHES_AT_A_TIME, push).await;
                tokio::time::sleep(PUSH_EVERY).await;
            };
            if shutdown.run_until_cancelled(round).await.is_none() {
                return;
            }
        }
    }

    async fn push(&self, conversation: ConversationId, cursors: Vec<MemberCursor>) {
        let others = match self.snapshots.get(conversation).await {
            Ok(snapshot) => snapshot.map_or(Vec::new(), |snapshot| others(&snapshot.members, &cursors)),
            Err(error) => return failed(conversation, &error),
        };
        metrics::counter!("skein_cursor_pushes_total", "outcome" => "pushed").increment(1);
        self.fanout.to_users(&others, Push::Cursors { conversation, cursors }).await;
    }
}

/// Present members, but for one who would hear only of themself.
fn others(members: &[Member], cursors: &[MemberCursor]) -> Vec<Uid> {
    let hears_news = |uid: Uid| cursors.iter().any(|cursor| cursor.uid != uid);
    members.iter().filter(|member| member.is_in() && hears_news(member.uid)).map(|member| member.uid).collect()
}

fn failed(conversation: ConversationId, error: &Error) {
    metrics::counter!("skein_cursor_pushes_total", "outcome" => "left_out").increment(1);
    tracing::warn!(%error, %conversation, "cursors not pushed");
}
