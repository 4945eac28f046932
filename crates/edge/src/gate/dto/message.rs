//! Messages: sent, as they are now, and in pages of history.

use super::body::Body;
use super::entry::Entry;
use super::{Int64, all};
use crate::gate::problem::Problem;
use serde::{Deserialize, Serialize};
use skein_domain::id::{ConversationId, Epoch, IdempotencyKey, Millis, Seq};
use skein_domain::{body, entry as domain};
use utoipa::ToSchema;

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
