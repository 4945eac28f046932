//! Messages, entries and pages of history.

use super::role::Role;
use super::{Int64, all};
use crate::gate::problem::Problem;
use serde::{Deserialize, Serialize};
use skein_domain::id::{ConversationId, Epoch, IdempotencyKey, Millis, Seq, Uid};
use skein_domain::{body, entry as domain};
use utoipa::ToSchema;

/// What a message says.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Body {
    /// A client that does not know the kind shows `fallback`.
    #[schema(example = "text")]
    pub kind: String,
    #[serde(default)]
    pub segments: Vec<Segment>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fallback: String,
    /// Kind-specific JSON object as text; empty for text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub payload: String,
}

/// A part of a text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    Text(String),
    Mention(Mention),
    /// Starts with `http://`, `https://` or `mailto:`.
    Link(String),
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Mention {
    /// 0 mentions everybody.
    pub uid: Int64,
}

impl From<body::Body> for Body {
    fn from(body: body::Body) -> Self {
        let segment = |segment| match segment {
            body::Segment::Text(text) => Segment::Text(text),
            body::Segment::Mention(uid) => Segment::Mention(Mention { uid: uid.unwrap_or_default().into() }),
            body::Segment::Link(link) => Segment::Link(link),
        };
        Self { kind: body.kind, segments: body.segments.into_iter().map(segment).collect(), fallback: body.fallback, payload: body.payload }
    }
}

impl From<Body> for body::Body {
    fn from(body: Body) -> Self {
        let segment = |segment| match segment {
            Segment::Text(text) => body::Segment::Text(text),
            Segment::Mention(Mention { uid }) => body::Segment::Mention(Some(Uid::from(uid)).filter(|uid| uid.0 != 0)),
            Segment::Link(link) => body::Segment::Link(link),
        };
        Self { kind: body.kind, segments: body.segments.into_iter().map(segment).collect(), fallback: body.fallback, payload: body.payload }
    }
}

/// A message to send: either `text` or `body`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Send {
    /// Idempotency key: 1 to 64 printable ASCII characters, chosen by the client. The same key again is the same message.
    pub key: String,
    /// Short for a body of kind `text` with one segment.
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub body: Option<Body>,
    #[serde(default)]
    pub reply_to: Option<Int64>,
    /// Key of the previous send that has no ack yet.
    #[serde(default)]
    pub after: Option<String>,
}

impl Send {
    /// Takes the body out.
    pub fn body(&mut self) -> Result<body::Body, Problem> {
        match (self.text.take(), self.body.take()) {
            (Some(text), None) => Ok(body::Body::text(text)),
            (None, Some(body)) => Ok(body.into()),
            _ => Err(Problem::bad_request("a message has either text or body")),
        }
    }
}

/// On disk, at this place in the order.
#[derive(Serialize, ToSchema)]
pub struct Ack {
    pub conversation: Int64,
    pub key: String,
    pub seq: Int64,
    pub at_ms: Int64,
    /// Identity of the store, as a decimal string.
    pub epoch: String,
}

impl Ack {
    pub fn new(conversation: ConversationId, key: IdempotencyKey, seq: Seq, at: Millis, epoch: Epoch) -> Self {
        let (conversation, key) = (conversation.into(), key.as_str().to_owned());
        Self { conversation, key, seq: seq.into(), at_ms: at.into(), epoch: epoch.0.to_string() }
    }
}

/// One fact of a conversation's change log; `seq` is dense.
#[derive(Serialize, ToSchema)]
pub struct Entry {
    pub conversation: Int64,
    pub seq: Int64,
    pub at_ms: Int64,
    pub author: Int64,
    /// Running number of countable entries; unread is a difference of two of these.
    pub count: Int64,
    /// The author's idempotency key.
    pub key: String,
    #[serde(flatten)]
    pub event: Event,
}

impl From<domain::Entry> for Entry {
    fn from(entry: domain::Entry) -> Self {
        Self {
            conversation: entry.conversation.into(),
            seq: entry.seq.into(),
            at_ms: entry.at.into(),
            author: entry.author.into(),
            count: entry.count.into(),
            key: entry.key.as_str().to_owned(),
            event: entry.event.into(),
        }
    }
}

/// What happened: one of these fields is there.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    Message(MessageEvent),
    Edited(Edited),
    Recalled(Recalled),
    Reacted(Reacted),
    Joined(Joined),
    Left(Left),
    Role(RoleChanged),
    Info(InfoChanged),
    Muted(Muted),
}

#[derive(Serialize, ToSchema)]
pub struct MessageEvent {
    /// Absent once recalled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Int64>,
}

#[derive(Serialize, ToSchema)]
pub struct Edited {
    pub target: Int64,
    /// Absent once the target was recalled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
}

#[derive(Serialize, ToSchema)]
pub struct Recalled {
    pub target: Int64,
}

#[derive(Serialize, ToSchema)]
pub struct Reacted {
    pub target: Int64,
    pub emoji: String,
    pub on: bool,
}

#[derive(Serialize, ToSchema)]
pub struct Joined {
    pub uids: Vec<Int64>,
}

/// `uid` = author of the entry: left by themself; else removed.
#[derive(Serialize, ToSchema)]
pub struct Left {
    pub uid: Int64,
}

#[derive(Serialize, ToSchema)]
pub struct RoleChanged {
    pub uid: Int64,
    pub role: Role,
}

/// Only what changed is there.
#[derive(Serialize, ToSchema)]
pub struct InfoChanged {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announcement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted_all: Option<bool>,
}

/// `until_ms` 0 lifts it.
#[derive(Serialize, ToSchema)]
pub struct Muted {
    pub uid: Int64,
    pub until_ms: Int64,
}

impl From<domain::EntryEvent> for Event {
    fn from(event: domain::EntryEvent) -> Self {
        use domain::EntryEvent as E;
        match event {
            E::Message { body, reply_to } => {
                Event::Message(MessageEvent { body: body.map(Body::from), reply_to: reply_to.map(Int64::from) })
            }
            E::Edited { target, body } => Event::Edited(Edited { target: target.into(), body: body.map(Body::from) }),
            E::Recalled { target } => Event::Recalled(Recalled { target: target.into() }),
            E::Reacted { target, emoji, on } => Event::Reacted(Reacted { target: target.into(), emoji, on }),
            E::Joined { uids } => Event::Joined(Joined { uids: all(uids) }),
            E::Left { uid } => Event::Left(Left { uid: uid.into() }),
            E::RoleChanged { uid, role } => Event::Role(RoleChanged { uid: uid.into(), role: role.into() }),
            E::InfoChanged { title, announcement, muted_all } => Event::Info(InfoChanged { title, announcement, muted_all }),
            E::Silenced { uid, until } => Event::Muted(Muted { uid: uid.into(), until_ms: until.into() }),
        }
    }
}

/// The current state of one message.
#[derive(Serialize, ToSchema)]
pub struct MessageState {
    pub conversation: Int64,
    pub seq: Int64,
    pub at_ms: Int64,
    pub author: Int64,
    pub count: Int64,
    pub key: String,
    /// Absent once recalled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Int64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_at_ms: Option<Int64>,
    pub recalled: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
}

#[derive(Serialize, ToSchema)]
pub struct Reaction {
    pub emoji: String,
    pub uids: Vec<Int64>,
}

impl From<domain::MessageState> for MessageState {
    fn from(state: domain::MessageState) -> Self {
        let reaction = |reaction: domain::Reaction| Reaction { emoji: reaction.emoji, uids: all(reaction.uids) };
        Self {
            conversation: state.conversation.into(),
            seq: state.seq.into(),
            at_ms: state.at.into(),
            author: state.author.into(),
            count: state.count.into(),
            key: state.key.as_str().to_owned(),
            recalled: state.body.is_none(),
            body: state.body.map(Body::from),
            reply_to: state.reply_to.map(Int64::from),
            edited_at_ms: state.edited_at.map(Int64::from),
            reactions: state.reactions.into_iter().map(reaction).collect(),
        }
    }
}

/// A page of history: messages and the events shown between them, both ascending by seq.
#[derive(Serialize, ToSchema)]
pub struct HistoryPage {
    pub conversation: Int64,
    pub messages: Vec<MessageState>,
    pub events: Vec<Entry>,
    pub has_more_messages: bool,
    pub floor: Int64,
}

impl HistoryPage {
    pub fn new(conversation: ConversationId, page: domain::HistoryPage) -> Self {
        Self {
            conversation: conversation.into(),
            messages: all(page.messages),
            events: all(page.events),
            has_more_messages: page.has_more,
            floor: page.floor.into(),
        }
    }
}
