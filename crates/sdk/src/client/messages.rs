//! Messages: reading timelines, sending, changing what was sent, cursors, history.

use skein_protocol::{Request, v1};

use super::{Client, new_key};
use crate::error::{Error, Retry};
use crate::session::{Input, Stored};
use crate::store::TimelineView;

/// Lines that [`Client::timeline`] shows.
const TIMELINE_COUNT: usize = 50;
/// Pages that one call of [`Client::history`] asks for at most, of at least and at most so many messages.
const PAGES_MAX: usize = 4;
const PAGE: std::ops::RangeInclusive<usize> = 20..=100;

/// A message on its way. Dropping this changes nothing: it is sent all the same.
pub struct SendHandle {
    conversation: i64,
    key: String,
    stored: Stored,
}

impl SendHandle {
    pub fn conversation(&self) -> i64 {
        self.conversation
    }

    /// Names the echo until the message is in the log.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Waits until the message is on the server's disk, or refused for good. Off line it waits for better times.
    pub async fn acked(self) -> Result<v1::Ack, Error> {
        self.stored.await.map_err(|_| Error::ClientClosed)?
    }
}

/// A body of plain text.
pub fn text(text: impl Into<String>) -> v1::Body {
    let part = v1::segment::Part::Text(text.into());
    v1::Body { kind: "text".to_owned(), segments: vec![v1::Segment { part: Some(part) }], ..v1::Body::default() }
}

/// A body as plain text: what a terminal shows. Mentions show as `@uid`; what this build does not know as its fallback.
pub fn text_of(body: &v1::Body) -> String {
    if body.kind != "text" {
        return body.fallback.clone();
    }
    let parts = body.segments.iter().filter_map(|segment| segment.part.as_ref());
    parts
        .map(|part| match part {
            v1::segment::Part::Text(text) | v1::segment::Part::Link(text) => text.clone(),
            v1::segment::Part::Mention(v1::Mention { uid: 0 }) => "@all".to_owned(),
            v1::segment::Part::Mention(mention) => format!("@{}", mention.uid),
        })
        .collect()
}

impl Client {
    /// The newest lines of a conversation as they are stored here, and my messages that wait. Needs no network.
    pub async fn timeline(&self, conversation: i64) -> Result<TimelineView, Error> {
        self.inner.store.timeline(conversation, 0, TIMELINE_COUNT).await
    }

    /// `count` lines before a seq (0: from the newest on), fetched from the server as far as they are not here. Off line:
    /// what is here.
    pub async fn history(&self, conversation: i64, before: i64, count: usize) -> Result<TimelineView, Error> {
        for _ in 0..PAGES_MAX {
            let view = self.inner.store.timeline(conversation, before, count).await?;
            let here = view.items.iter().filter(|item| item.seq().is_some()).count();
            if here >= count || !view.has_more {
                return Ok(view);
            }
            match self.fetch_older(conversation, count - here).await {
                Ok(()) => {}
                Err(error) if error.retry() == Retry::Network => return Ok(view),
                Err(error) => return Err(error),
            }
        }
        self.inner.store.timeline(conversation, before, count).await
    }

    /// A page in front of the window. One that came too late for its window changes nothing.
    async fn fetch_older(&self, conversation: i64, count: usize) -> Result<(), Error> {
        let Some((window, lowest)) = self.inner.store.window(conversation).await? else {
            return Ok(());
        };
        if window.from <= lowest {
            return Ok(());
        }
        let count = count.clamp(*PAGE.start(), *PAGE.end()) as i32;
        let request = v1::RequestHistory { conversation, first_message_id: window.from, count, ..v1::RequestHistory::default() };
        let page: v1::HistoryPage = self.ask_again(Request::RequestHistory(request)).await?;
        let my_uid = self.inner.store.account().await?.map_or(0, |account| account.uid);
        self.inner.store.prepend(v1::HistoryPage { conversation, ..page }, window.from, window.position, my_uid).await?;
        Ok(())
    }

    /// Stores the message and its echo, then sends it as soon as it can be.
    pub async fn send_text(&self, conversation: i64, body: impl Into<String>) -> Result<SendHandle, Error> {
        self.send(conversation, text(body), 0).await
    }

    /// `reply_to` 0: to nothing.
    pub async fn send(&self, conversation: i64, body: v1::Body, reply_to: i64) -> Result<SendHandle, Error> {
        self.send_with_key(conversation, new_key(), body, reply_to).await
    }

    /// With a key of one's own: however often it is sent, also after a crash, it is one message. 1 to 64 printable ASCII
    /// characters.
    pub async fn send_with_key(
        &self,
        conversation: i64,
        key: impl Into<String>,
        body: v1::Body,
        reply_to: i64,
    ) -> Result<SendHandle, Error> {
        let key = key.into();
        let send = v1::Send { conversation, key: key.clone(), body: Some(body), reply_to, after: String::new() };
        let stored = self.tell(|told| Input::Send(send, told)).await?;
        Ok(SendHandle { conversation, key, stored })
    }

    /// Sends a failed message again. False: there is no such one.
    pub async fn retry(&self, key: &str) -> Result<bool, Error> {
        self.tell(|told| Input::Retry(key.to_owned(), told)).await
    }

    /// Takes a message that has no ack out of the outbox. False: it is stored on the server, or there is no such one.
    pub async fn discard(&self, key: &str) -> Result<bool, Error> {
        self.tell(|told| Input::Discard(key.to_owned(), told)).await
    }

    /// Replaces the body of one's own message.
    pub async fn edit(&self, conversation: i64, target: i64, body: v1::Body) -> Result<v1::Ack, Error> {
        self.ask_again(Request::Edit(v1::Edit { conversation, key: new_key(), target, body: Some(body) })).await
    }

    /// Takes a message back, for everybody.
    pub async fn recall(&self, conversation: i64, target: i64) -> Result<v1::Ack, Error> {
        self.ask_again(Request::Recall(v1::Recall { conversation, key: new_key(), target })).await
    }

    pub async fn react(&self, conversation: i64, target: i64, emoji: &str) -> Result<v1::Ack, Error> {
        self.reaction(conversation, target, emoji, true).await
    }

    pub async fn unreact(&self, conversation: i64, target: i64, emoji: &str) -> Result<v1::Ack, Error> {
        self.reaction(conversation, target, emoji, false).await
    }

    async fn reaction(&self, conversation: i64, target: i64, emoji: &str, on: bool) -> Result<v1::Ack, Error> {
        let react = v1::React { conversation, key: new_key(), target, emoji: emoji.to_owned(), on };
        self.ask_again(Request::React(react)).await
    }

    /// Everything up to this seq was seen: [`TimelineView::position`] for all of it. Cursors only grow.
    pub async fn mark_read(&self, conversation: i64, seq: i64) -> Result<(), Error> {
        let reply = self.ask_again(Request::MarkRead(v1::MarkRead { conversation, seq })).await?;
        self.keep_membership(reply).await
    }

    /// Tells the others that one is typing. Nothing is stored, nothing is repeated.
    pub async fn typing(&self, conversation: i64) -> Result<(), Error> {
        self.ask::<v1::Done>(Request::Typing(v1::Typing { conversation })).await.map(drop)
    }

    pub(super) async fn keep_membership(&self, reply: v1::MembershipReply) -> Result<(), Error> {
        self.tell(|told| Input::Membership(reply, told)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_read_as_text() {
        assert_eq!(text_of(&text("hi")), "hi");
        let mut body = text("hello ");
        body.segments.push(v1::Segment { part: Some(v1::segment::Part::Mention(v1::Mention { uid: 7 })) });
        body.segments.push(v1::Segment { part: Some(v1::segment::Part::Link("https://example.org".to_owned())) });
        assert_eq!(text_of(&body), "hello @7https://example.org");
        let unknown = v1::Body { kind: "card".to_owned(), fallback: "a card".to_owned(), ..v1::Body::default() };
        assert_eq!(text_of(&unknown), "a card");
    }
}
