//! Reading back: pages of history (state), and ranges of the log (entries).
//!
//! **Invariant:** both are clipped to what the member may see, and to a page that fits a frame.

use crate::page::{self, Keep, json_bytes};
use crate::visibility;
use skein_domain::command::Reply;
use skein_domain::entry::{Entry, HistoryPage};
use skein_domain::id::{ConversationId, Seq, Uid};
use skein_domain::port::{ConversationStore, HistoryQuery, MessageStore};
use skein_domain::{Code, Error, Result, policy};
use std::sync::Arc;

const HISTORY_DEFAULT: u32 = 20;
const HISTORY_MAX: u32 = 100;
const PULL_MAX: u32 = 100;

#[derive(Clone)]
pub(crate) struct History {
    pub conversations: Arc<dyn ConversationStore>,
    pub messages: Arc<dyn MessageStore>,
    pub page_bytes: usize,
}

/// Where a page of history lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchor {
    pub before: Option<Seq>,
    pub after: Option<Seq>,
    pub count: u32,
}

impl History {
    pub(crate) async fn history(&self, uid: Uid, conversation: ConversationId, anchor: Anchor) -> Result<Reply> {
        let Anchor { before, after, count } = anchor;
        if before.is_some() && after.is_some() {
            return Err(Error::new(Code::BadRequest, "a page lies before or after a message, not both"));
        }
        check_seqs(before.into_iter().chain(after))?;
        let me = self.conversations.member(conversation, uid).await?.ok_or_else(policy::not_member)?;
        let (from, to) = visibility::range(&me);
        let count = if count == 0 { HISTORY_DEFAULT } else { count.min(HISTORY_MAX) };
        let mut page = self.messages.history(conversation, HistoryQuery { from, to, before, after, count }).await?;
        visibility::rewind(&*self.messages, &me, &mut page.messages).await?;
        let keep = if after.is_some() { Keep::Oldest } else { Keep::Newest };
        Ok(Reply::History { conversation, page: self.fitting(page, keep) })
    }

    pub(crate) async fn pull(&self, uid: Uid, conversation: ConversationId, from: Seq, to: Seq) -> Result<Reply> {
        check_seqs([from, to])?;
        let view = self.conversations.view(conversation, uid).await?.ok_or_else(policy::not_member)?;
        let (first, last) = visibility::range(&view.me);
        let floor = view.conversation.floor;
        let head = visibility::head(&view.me, view.conversation.head);
        let (from, to) = (from.max(first).max(floor.next()), to.min(last).min(head));
        let mut entries = match from <= to {
            true => self.messages.entries(conversation, from, to, PULL_MAX).await?,
            false => Vec::new(),
        };
        let sizes = entries.iter().map(|entry| (entry.seq, json_bytes(entry))).collect();
        if let Some(last) = page::cut(sizes, Keep::Oldest, self.page_bytes) {
            entries.retain(|entry: &Entry| entry.seq <= last);
        }
        Ok(Reply::Entries { conversation, entries, head, floor })
    }

    fn fitting(&self, mut page: HistoryPage, keep: Keep) -> HistoryPage {
        let messages = page.messages.iter().map(|message| (message.seq, json_bytes(message)));
        let events = page.events.iter().map(|event| (event.seq, json_bytes(event)));
        let Some(last) = page::cut(messages.chain(events).collect(), keep, self.page_bytes) else {
            return page;
        };
        let fits = |seq: Seq| if keep == Keep::Oldest { seq <= last } else { seq >= last };
        page.messages.retain(|message| fits(message.seq));
        page.events.retain(|event| fits(event.seq));
        page.has_more = true;
        page
    }
}

/// What no message ever had is a mistake, not a place to look at.
pub(crate) fn check_seqs(seqs: impl IntoIterator<Item = Seq>) -> Result<()> {
    if seqs.into_iter().any(|seq| seq < Seq::ZERO) {
        return Err(Error::new(Code::BadRequest, "a seq is not negative"));
    }
    Ok(())
}
