//! The user log: for each user, the latest revision of every subject that changed.
//!
//! It holds no content. What an item says is read from its subject when it is told ([`super::items`]), so an item is never stale, a recalled
//! body cannot hide in one, and the log stays as small as what it is about.
//!
//! **Invariant:** one row per (user, subject); a newer change takes its place.

use super::engine::params;
use super::failure::Outcome;
use super::transaction::Transaction;
use skein_domain::id::{ConversationId, RequestId, Revision, Shard, Uid};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Request(RequestId),
    Friend(Uid),
    Membership(ConversationId),
    Conversation(ConversationId),
    Profile,
}

impl Subject {
    fn columns(self) -> (i64, i64) {
        match self {
            Subject::Request(id) => (0, id.0),
            Subject::Friend(peer) => (1, peer.0),
            Subject::Membership(id) => (2, id.0),
            Subject::Conversation(id) => (3, id.0),
            Subject::Profile => (4, 0),
        }
    }

    pub fn read(kind: i64, subject: i64) -> Option<Self> {
        match kind {
            0 => Some(Subject::Request(RequestId(subject))),
            1 => Some(Subject::Friend(Uid(subject))),
            2 => Some(Subject::Membership(ConversationId(subject))),
            3 => Some(Subject::Conversation(ConversationId(subject))),
            4 => Some(Subject::Profile),
            _ => None,
        }
    }
}

/// Notes that the subject changed for this user.
pub(crate) fn put(transaction: &mut Transaction<'_>, uid: Uid, subject: Subject) -> Outcome<Revision> {
    let shard = transaction.shard_of(uid);
    let revision = transaction.next_revision(shard);
    let (kind, subject) = subject.columns();
    let values = params![uid.0, kind, subject, shard.0, revision.0];
    let known = transaction.execute("UPDATE user_entry SET revision = ?5 WHERE uid = ?1 AND kind = ?2 AND subject = ?3", values)?;
    if known == 0 {
        transaction.execute("INSERT INTO user_entry (uid, kind, subject, shard, revision) VALUES (?1, ?2, ?3, ?4, ?5)", values)?;
    }
    Ok(revision)
}

/// Like [`put`]; answers a revision of `shard`, where the row that changed has its revision.
pub(crate) fn put_with_row(transaction: &mut Transaction<'_>, shard: Shard, uid: Uid, subject: Subject) -> Outcome<Revision> {
    let revision = put(transaction, uid, subject)?;
    if transaction.shard_of(uid) == shard { Ok(revision) } else { Ok(transaction.next_revision_without_record(shard)) }
}
