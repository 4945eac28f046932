//! Pushes that are kept: an entry in the notice conversation of app and user, or in the chat room a live room is bound to.
//!
//! **Invariant:** an entry's key is made of the push's id and its receiver, so a push that is stored again, after a lost
//! answer or a crash, is stored once and answers the same seqs.
//!
//! The body is of kind `push`: its payload has the operation, and the bytes as base64 when they are no text. Whoever does
//! not know the kind shows the text, or the fallback.

use super::transient::unique;
use crate::snapshots::Snapshots;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt, TryStreamExt};
use skein_domain::body::{Body, Segment};
use skein_domain::entry::EntryEvent;
use skein_domain::id::{ConversationId, IdempotencyKey, Millis, Uid};
use skein_domain::live::{LiveMessage, PushId, PushTarget, RoomName, Stored};
use skein_domain::policy;
use skein_domain::port::{AccountStore, Append, Appended, MessageStore, PushStore};
use skein_domain::{Code, Error, Result};
use std::sync::Arc;

pub(super) const KIND_PUSH: &str = "push";
const FALLBACK_BYTES_MAX: usize = 1_024;
/// Receivers written at a time; the writer commits them together.
const AT_A_TIME: usize = 64;
/// How often an entry is handed over when the room's policy keeps moving; then `busy`.
const TRIES_MAX: u32 = 3;

#[derive(Clone)]
pub(crate) struct Durable {
    pub store: Arc<dyn PushStore>,
    pub accounts: Arc<dyn AccountStore>,
    pub messages: Arc<dyn MessageStore>,
    pub snapshots: Snapshots,
}

/// What is to be kept.
pub(super) struct Keep<'k> {
    pub push: &'k PushId,
    pub app: Uid,
    pub message: &'k LiveMessage,
    pub at: Millis,
}

/// Where it was kept.
pub(super) struct Kept {
    pub stored: Vec<Stored>,
    /// It had been kept before.
    pub repeated: bool,
}

impl Durable {
    /// Whether there is somewhere to keep it. One that is kept right away finds out by itself whether there is anybody:
    /// `is_kept_later` asks.
    pub(super) async fn check(&self, app: Uid, target: &PushTarget, is_kept_later: bool) -> Result<()> {
        match target {
            PushTarget::Room(room) => self.bound(room).await.map(|_| ()),
            PushTarget::Uids(uids) if uids.contains(&app) => Err(Error::new(Code::NotSelf, "an app tells itself nothing")),
            PushTarget::Uids(uids) if is_kept_later => self.check_anybody(uids).await,
            _ => Ok(()),
        }
    }

    async fn check_anybody(&self, uids: &[Uid]) -> Result<()> {
        for uid in uids {
            if self.accounts.user(*uid).await?.is_some() {
                return Ok(());
            }
        }
        Err(nobody())
    }

    pub(super) async fn keep(&self, keep: Keep<'_>, target: &PushTarget) -> Result<Kept> {
        let body = body_of(keep.message);
        match target {
            PushTarget::Uids(uids) => self.tell(&keep, unique(uids.clone()), body).await,
            PushTarget::Room(room) => {
                let conversation = self.bound(room).await?;
                let appended = self.append(&keep, conversation, "room", body).await?;
                let stored = vec![Stored { uid: None, conversation, seq: appended.seq }];
                Ok(Kept { stored, repeated: appended.repeated })
            }
            _ => Err(Error::new(Code::BadRequest, "such a push cannot be kept")),
        }
    }

    async fn bound(&self, room: &RoomName) -> Result<ConversationId> {
        let bound = self.store.bound_room(room).await?;
        bound.ok_or_else(|| {
            let hint = "no chat room keeps the pushes of this live room: bind one with `skein admin room bind`";
            Error::new(Code::NotFound, hint)
        })
    }

    /// Unknown users are left out; `not_found` if there is nobody.
    async fn tell(&self, keep: &Keep<'_>, uids: Vec<Uid>, body: Body) -> Result<Kept> {
        let each = uids.into_iter().map(|uid| self.tell_one(keep, uid, body.clone()));
        let told: Vec<Option<(Stored, bool)>> = futures_util::stream::iter(each).buffered(AT_A_TIME).try_collect().await?;
        let (stored, repeated): (Vec<Stored>, Vec<bool>) = told.into_iter().flatten().unzip();
        if stored.is_empty() {
            return Err(nobody());
        }
        Ok(Kept { stored, repeated: repeated.into_iter().all(|repeated| repeated) })
    }

    async fn tell_one(&self, keep: &Keep<'_>, uid: Uid, body: Body) -> Result<Option<(Stored, bool)>> {
        let conversation = match self.store.open_notice(keep.app, uid, keep.at).await {
            Ok(conversation) => conversation,
            Err(error) if error.code == Code::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let appended = self.append(keep, conversation, &uid.to_string(), body).await?;
        Ok(Some((Stored { uid: Some(uid), conversation, seq: appended.seq }, appended.repeated)))
    }

    async fn append(&self, keep: &Keep<'_>, conversation: ConversationId, receiver: &str, body: Body) -> Result<Appended> {
        let key = IdempotencyKey::parse(&format!("{}-{receiver}", keep.push))?;
        for _ in 0..TRIES_MAX {
            let snapshot = self.snapshots.get(conversation).await?.ok_or_else(policy::not_member)?;
            let append = Append {
                conversation,
                author: keep.app,
                key: key.clone(),
                after: None,
                policy_version: snapshot.conversation.policy_version,
                event: EntryEvent::Message { body: Some(body.clone()), reply_to: None },
                at: keep.at,
            };
            match self.messages.append(append).await {
                Err(error) if error.code == Code::PolicyMoved => self.snapshots.forget(conversation),
                outcome => return outcome,
            }
        }
        Err(Error::new(Code::Busy, "the room is changing too fast").retry_after(200))
    }
}

fn nobody() -> Error {
    Error::new(Code::NotFound, "no such user")
}

fn body_of(message: &LiveMessage) -> Body {
    let operation = message.operation;
    let kind = KIND_PUSH.to_owned();
    match std::str::from_utf8(&message.body) {
        Ok(text) if !text.trim().is_empty() => {
            let (segments, fallback) = (vec![Segment::Text(text.to_owned())], shortened(text).to_owned());
            Body { kind, segments, fallback, payload: serde_json::json!({"operation": operation}).to_string() }
        }
        _ => {
            let fallback = format!("[{operation}: {} B]", message.body.len());
            let payload = serde_json::json!({"operation": operation, "base64": STANDARD.encode(&message.body)}).to_string();
            Body { kind, segments: Vec::new(), fallback, payload }
        }
    }
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(FALLBACK_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(bytes: &[u8]) -> Body {
        body_of(&LiveMessage { operation: 1000, body: bytes.to_vec() })
    }

    #[test]
    fn a_text_is_shown_whole_and_bytes_by_their_size() {
        let text = body("{\"test\":1} 你好".as_bytes());
        assert_eq!((text.plain().as_str(), text.payload.as_str()), ("{\"test\":1} 你好", "{\"operation\":1000}"));
        let bytes = body(&[0, 255]);
        assert_eq!((bytes.plain().as_str(), bytes.payload.as_str()), ("[1000: 2 B]", "{\"base64\":\"AP8=\",\"operation\":1000}"));
        assert_eq!(body(b"").plain(), "[1000: 0 B]");
        let long = body("你".repeat(5_000).as_bytes());
        assert!(long.fallback.len() <= FALLBACK_BYTES_MAX && long.plain().len() == 15_000);
        for body in [text, bytes, long] {
            body.check(16 * 1024).unwrap();
        }
    }
}
