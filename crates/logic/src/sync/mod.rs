//! Sync: everything that changed for one user since a cursor, page by page. The truth that pushes only hint at.
//!
//! **Invariant:** the revisions a sync ends with were committed before its first page was read, and each page goes on
//! where the last one ended. So nothing committed up to them is left out, whatever is written meanwhile; what is newer may
//! come along and comes again with the next sync.
//!
//! **Invariant:** view and entries of a conversation agree: no entry is above the view's head.
//!
//! Bounds: a page holds about `page_bytes`; of a conversation with more than [`ENTRIES_MAX`] new entries come the last
//! [`ENTRIES_LIMITED`]; see [`admission`] for how many sync at once.

mod admission;
mod cursor;

use crate::page::{self, Keep, json_bytes};
use crate::visibility;
use admission::Admission;
use cursor::{Paging, Step, SyncCursor};
use skein_domain::Result;
use skein_domain::command::{ConversationChange, Reply, SyncPage};
use skein_domain::conversation::ConversationView;
use skein_domain::delivery::UserEvent;
use skein_domain::fault::{Fault, planted};
use skein_domain::id::{ConversationId, Revision, Shard, Uid};
use skein_domain::port::{ConversationStore, MessageStore};
use std::sync::Arc;

const ENTRIES_MAX: usize = 100;
const ENTRIES_LIMITED: usize = 50;
/// Rows read at once.
const VIEWS_READ: u32 = 20;
const LOG_READ: u32 = 50;

#[derive(Clone)]
pub(crate) struct Sync {
    conversations: Arc<dyn ConversationStore>,
    messages: Arc<dyn MessageStore>,
    admission: Arc<Admission>,
    page_bytes: usize,
}

pub(crate) struct SyncBounds {
    pub page_bytes: usize,
    pub running_max: usize,
    pub waiting_max: usize,
}

/// Whether a step is done, or where the next page goes on with it.
enum Filled<At> {
    Done,
    Until(At),
}

impl Sync {
    pub(crate) fn new(conversations: Arc<dyn ConversationStore>, messages: Arc<dyn MessageStore>, bounds: SyncBounds) -> Self {
        let admission = Arc::new(Admission::new(bounds.running_max, bounds.waiting_max));
        Self { conversations, messages, admission, page_bytes: bounds.page_bytes }
    }

    pub(crate) async fn sync(&self, uid: Uid, text: &str) -> Result<Reply> {
        let _running = self.admission.enter().await?;
        // Before anything is read: see the invariant.
        let committed = self.messages.revisions().await?;
        let (cursor, reset) = self.resume(uid, text, &committed)?;
        let page = self.page(uid, cursor, committed).await?;
        Ok(Reply::Sync { page: SyncPage { reset, ..page } })
    }

    /// Where to go on, and whether the client has to forget what it has.
    fn resume(&self, uid: Uid, text: &str, committed: &[Revision]) -> Result<(SyncCursor, bool)> {
        let scratch = || SyncCursor { epoch: self.messages.epoch(), uid, from: vec![Revision(0); committed.len()], paging: None };
        if text.is_empty() {
            return Ok((scratch(), false));
        }
        let cursor = SyncCursor::open(uid, text)?;
        let reached = |revisions: &[Revision]| {
            revisions.len() == committed.len() && revisions.iter().zip(committed).all(|(has, committed)| has <= committed)
        };
        let of_this_store = cursor.epoch == self.messages.epoch();
        if of_this_store && reached(&cursor.from) && cursor.paging.as_ref().is_none_or(|paging| reached(&paging.to)) {
            return Ok((cursor, false));
        }
        metrics::counter!("skein_sync_resets_total").increment(1);
        Ok((scratch(), true))
    }

    async fn page(&self, uid: Uid, cursor: SyncCursor, committed: Vec<Revision>) -> Result<SyncPage> {
        let SyncCursor { epoch, from, paging, .. } = cursor;
        let is_first = paging.is_none();
        let latest = committed.clone();
        let begin = || Paging { to: committed, step: Step::Conversations { shard: 0, above: ConversationId(0) } };
        let Paging { to, mut step } = paging.unwrap_or_else(begin);
        let log_shard = self.conversations.shard_of(uid);
        let mut page = Page::new(self.page_bytes);
        loop {
            let filled = match step {
                Step::Conversations { shard, above } => match from.get(usize::from(shard)) {
                    Some(after) => self
                        .conversations_into(&mut page, uid, (Shard(shard), *after), above)
                        .await?
                        .map(|above| Step::Conversations { shard, above }),
                    None => Filled::Done,
                },
                Step::Log { after } => {
                    let to = of_shard(&to, log_shard);
                    self.log_into(&mut page, uid, after, to).await?.map(|after| Step::Log { after })
                }
            };
            step = match (filled, step) {
                (Filled::Until(step), _) => {
                    let cursor = SyncCursor { epoch, uid, from, paging: Some(Paging { to, step }) };
                    return Ok(page.unfinished(cursor, is_first));
                }
                (Filled::Done, Step::Log { .. }) => {
                    // Later pages may be asked for on another connection, which heard no push of what came since the first.
                    let is_stale = !is_first && to.iter().zip(&latest).any(|(reached, committed)| reached < committed);
                    return Ok(page.finished(SyncCursor { epoch, uid, from: to, paging: None }, is_stale));
                }
                (Filled::Done, Step::Conversations { shard, .. }) if usize::from(shard) + 1 < from.len() => {
                    Step::Conversations { shard: shard + 1, above: ConversationId(0) }
                }
                (Filled::Done, Step::Conversations { .. }) => Step::Log { after: of_shard(&from, log_shard) },
            };
        }
    }

    async fn conversations_into(
        &self,
        page: &mut Page,
        uid: Uid,
        (shard, after): (Shard, Revision),
        mut above: ConversationId,
    ) -> Result<Filled<ConversationId>> {
        loop {
            let views = self.conversations.changed(uid, shard, after, above, VIEWS_READ).await?;
            let was_last = views.len() < VIEWS_READ as usize;
            for view in views {
                let id = view.conversation.id;
                if !page.add_conversation(self.change(view, after).await?) {
                    return Ok(Filled::Until(above));
                }
                above = id;
            }
            if was_last {
                return Ok(Filled::Done);
            }
        }
    }

    async fn change(&self, view: ConversationView, after: Revision) -> Result<ConversationChange> {
        let view = visibility::clip(&*self.messages, view).await?;
        let conversation = &view.conversation;
        let (mut entries, more) = self.messages.newest(conversation.id, conversation.head, after, ENTRIES_MAX as u32 + 1).await?;
        let read = entries.len();
        entries.retain(|entry| visibility::sees(&view.me, entry.seq));
        let reaches_my_first = entries.len() < read;
        let too_many = entries.len() > ENTRIES_MAX || (more && !reaches_my_first);
        if too_many {
            entries.drain(..entries.len().saturating_sub(ENTRIES_LIMITED));
        }
        // Retention may have taken what lies between the client's position and the floor.
        let above_floor = conversation.floor > view.me.visible_from && entries.first().is_some_and(|e| e.seq == conversation.floor.next());
        Ok(ConversationChange { entries, limited: too_many || above_floor, view })
    }

    async fn log_into(&self, page: &mut Page, uid: Uid, mut after: Revision, to: Revision) -> Result<Filled<Revision>> {
        loop {
            let items = self.conversations.user_log(uid, after, LOG_READ).await?;
            let was_last = items.len() < LOG_READ as usize;
            for (revision, event) in items {
                if revision > to {
                    return Ok(Filled::Done);
                }
                // Conversations come as they are now, by the other step; the item tells how they were.
                if !matches!(event, UserEvent::Conversation { .. }) && !page.add_event(event) {
                    return Ok(Filled::Until(after));
                }
                after = revision;
            }
            if was_last {
                return Ok(Filled::Done);
            }
        }
    }
}

impl<At> Filled<At> {
    fn map<To>(self, map: impl FnOnce(At) -> To) -> Filled<To> {
        match self {
            Filled::Done => Filled::Done,
            Filled::Until(at) => Filled::Until(map(at)),
        }
    }
}

fn of_shard(revisions: &[Revision], shard: Shard) -> Revision {
    revisions.get(usize::from(shard.0)).copied().unwrap_or_default()
}

/// A page being filled.
struct Page {
    page: SyncPage,
    left: usize,
    bytes_max: usize,
}

impl Page {
    fn new(bytes_max: usize) -> Self {
        Self { page: SyncPage::default(), left: bytes_max, bytes_max }
    }

    fn is_empty(&self) -> bool {
        self.page.conversations.is_empty() && self.page.events.is_empty()
    }

    /// False: it has to wait for the next page. What fits no page at all loses its oldest entries.
    fn add_conversation(&mut self, mut change: ConversationChange) -> bool {
        let mut size = json_bytes(&change);
        if size > self.left && self.is_empty() {
            self.shorten(&mut change);
            size = json_bytes(&change);
        }
        if size > self.left && !self.is_empty() {
            return false;
        }
        self.left = self.left.saturating_sub(size);
        self.page.conversations.push(change);
        true
    }

    fn shorten(&self, change: &mut ConversationChange) {
        let budget = self.bytes_max.saturating_sub(json_bytes(&change.view));
        let sizes: Vec<_> = change.entries.iter().map(|entry| (entry.seq, json_bytes(entry))).collect();
        if sizes.last().is_some_and(|(_, newest)| *newest > budget) {
            // Not even the newest one fits beside the view, which shows it already.
            change.entries.clear();
            change.limited = true;
        } else if let Some(first) = page::cut(sizes, Keep::Newest, budget) {
            change.entries.retain(|entry| entry.seq >= first);
            change.limited = true;
        }
    }

    fn add_event(&mut self, event: UserEvent) -> bool {
        let size = json_bytes(&event);
        if size > self.left && !self.is_empty() {
            return false;
        }
        self.left = self.left.saturating_sub(size);
        self.page.events.push(event);
        true
    }

    fn unfinished(self, cursor: SyncCursor, is_first: bool) -> SyncPage {
        let page = SyncPage { cursor: cursor.seal(), more: true, ..self.page };
        if is_first && planted(Fault::SyncPageSkipped) {
            return SyncPage { conversations: Vec::new(), events: Vec::new(), ..page };
        }
        page
    }

    /// `more`: something is behind the revisions that this sync set out for.
    fn finished(self, cursor: SyncCursor, more: bool) -> SyncPage {
        SyncPage { cursor: cursor.seal(), more, ..self.page }
    }
}
