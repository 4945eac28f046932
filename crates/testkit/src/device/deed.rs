//! What a device is asked to do, and what became of it.
//!
//! **Invariant:** a deed keeps its key and its request from the first try on; only `after` and the number of the request
//! differ between tries.

use skein_protocol::{Request, v1};

use super::timeline::text_body;

/// A thing a person does. `pick` chooses among what is on the screen when its turn comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Send {
        text: String,
    },
    /// Sent, then the connection is cut and the deed forgotten: nobody ever learns the outcome.
    SendAndForget {
        text: String,
    },
    /// Names an `after` that was never sent: must be refused.
    SendOutOfOrder {
        text: String,
    },
    /// The newest acked message once more, with its key: must get its seq again.
    SendAgain,
    /// The key of the newest acked message with other words: must be refused.
    SendConflict {
        text: String,
    },
    Edit {
        pick: u32,
        text: String,
    },
    Recall {
        pick: u32,
    },
    React {
        pick: u32,
        emoji: String,
        on: bool,
    },
    /// Everything that is on the screen.
    MarkRead,
    Invite {
        uid: i64,
    },
    Remove {
        uid: i64,
    },
    JoinRoom,
    Leave,
}

impl Act {
    /// Whether it adds a message if it succeeds.
    pub fn is_send(&self) -> bool {
        matches!(self, Act::Send { .. } | Act::SendAndForget { .. })
    }

    /// Whether it may be on its way together with others of the kind.
    pub fn is_pipelined(&self) -> bool {
        matches!(self, Act::Send { .. })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Waiting,
    Acked(i64),
    /// Answered, without an entry.
    Done,
    Refused(String),
    /// Given up with an unknown outcome.
    Forgotten,
    /// Its turn came when there was nothing to do it to.
    Skipped,
}

#[derive(Debug, Clone)]
pub struct Deed {
    pub conversation: i64,
    pub key: String,
    pub act: Act,
    pub request: Option<Request>,
    /// The key of the deed that had to be stored before it, as last sent.
    pub after: Option<String>,
    pub tries: u32,
    pub in_flight: bool,
    pub outcome: Outcome,
}

impl Deed {
    pub fn new(conversation: i64, key: String, act: Act) -> Self {
        Self { conversation, key, act, request: None, after: None, tries: 0, in_flight: false, outcome: Outcome::Waiting }
    }

    /// Whether its outcome is unknown to the one who did it.
    pub fn is_unknown(&self) -> bool {
        self.tries > 0 && matches!(self.outcome, Outcome::Waiting | Outcome::Forgotten)
    }

    /// The request for the next try.
    pub fn to_send(&self) -> Option<Request> {
        let mut request = self.request.clone()?;
        if let Request::Send(send) = &mut request {
            send.after = self.after.clone().unwrap_or_default();
        }
        Some(request)
    }

    /// Decides what exactly is asked. `target`: a message of the screen, chosen by the device.
    pub fn decide(&mut self, target: Option<i64>, newest_read: i64, earlier: Option<&Deed>) {
        let (conversation, key) = (self.conversation, self.key.clone());
        let send = |key: String, text: &str| v1::Send { conversation, key, body: Some(text_body(text)), ..v1::Send::default() };
        let request = match &self.act {
            Act::Send { text } | Act::SendAndForget { text } => Some(Request::Send(send(key, text))),
            Act::SendOutOfOrder { text } => {
                self.after = Some(format!("never-{}", self.key));
                Some(Request::Send(send(key, text)))
            }
            Act::SendAgain => earlier.and_then(|earlier| earlier.request.clone()),
            Act::SendConflict { text } => earlier.map(|earlier| Request::Send(send(earlier.key.clone(), text))),
            Act::Edit { text, .. } => {
                target.map(|target| Request::Edit(v1::Edit { conversation, key, target, body: Some(text_body(text)) }))
            }
            Act::Recall { .. } => target.map(|target| Request::Recall(v1::Recall { conversation, key, target })),
            Act::React { emoji, on, .. } => {
                target.map(|target| Request::React(v1::React { conversation, key, target, emoji: emoji.clone(), on: *on }))
            }
            Act::MarkRead => (newest_read > 0).then_some(Request::MarkRead(v1::MarkRead { conversation, seq: newest_read })),
            Act::Invite { uid } => Some(Request::Invite(v1::Invite { conversation, key, uids: vec![*uid] })),
            Act::Remove { uid } => Some(Request::RemoveMember(v1::RemoveMember { conversation, key, uid: *uid })),
            Act::JoinRoom => Some(Request::JoinRoom(v1::JoinRoom { conversation, key })),
            Act::Leave => Some(Request::Leave(v1::Leave { conversation, key })),
        };
        if request.is_none() {
            self.outcome = Outcome::Skipped;
        }
        self.request = request;
    }
}
