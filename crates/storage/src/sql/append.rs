//! Writing one entry: the hot path.
//!
//! **Invariant:** numbers are taken from the rows of shard and conversation inside the transaction, so a refused or lost
//! command leaves no gap, and revisions become visible in commit order.
//! **Invariant:** a key names one command of its author for ever; repeating it answers what was answered, and writes nothing.

use super::effects;
use super::engine::{Row, Sql, params};
use super::failure::{Failure, Outcome, not_found, refuse};
use super::place::{EDITED, MESSAGE, Place, RECALLED};
use super::rows;
use super::transaction::{Transaction, one};
use sha2::{Digest, Sha256};
use skein_domain::conversation::Conversation;
use skein_domain::entry::EntryEvent;
use skein_domain::fault::{Fault, planted};
use skein_domain::id::{ConversationId, CountNo, IdempotencyKey, Millis, PolicyVersion, Revision, Seq, Shard, Uid};
use skein_domain::port::{Append, Appended};
use skein_domain::{Code, Error};

/// An append, serialised before it is queued.
pub(crate) struct Draft {
    pub append: Append,
    pub json: Vec<u8>,
    pub digest: [u8; 16],
}

impl Draft {
    pub fn new(append: Append) -> Result<Self, Error> {
        use EntryEvent::{Edited, Message};
        if matches!(append.event, Message { body: None, .. } | Edited { body: None, .. }) {
            return Err(Error::new(Code::BadRequest, "a message needs a body"));
        }
        let json = serde_json::to_vec(&append.event).map_err(|error| {
            tracing::error!(%error, "event does not serialise");
            Error::internal()
        })?;
        let mut digest = [0; 16];
        digest.copy_from_slice(&Sha256::digest(&json)[..16]);
        Ok(Self { append, json, digest })
    }

    pub fn bytes(&self) -> usize {
        self.json.len() + 256
    }
}

pub(crate) fn append(transaction: &mut Transaction<'_>, draft: &Draft) -> Outcome<Appended> {
    let append = &draft.append;
    let burned = burn_number(transaction, append.conversation)?;
    if !planted(Fault::KeyNotChecked)
        && let Some(known) = known(transaction.connection, draft)?
    {
        return Ok(known);
    }
    let conversation = find(transaction.connection, append.conversation)?;
    let is_after_stored = match &append.after {
        Some(after) => is_stored(transaction.connection, append.author, after)?,
        None => true,
    };
    let conversation = check(conversation, append, is_after_stored)?;
    if let Some(done) = check_target(transaction.connection, &append.event, conversation.id)? {
        return Ok(done);
    }
    let place = write(transaction, draft, conversation, burned)?;
    effects::apply(transaction, &place, append)?;
    Ok(Appended { shard: place.conversation.shard, seq: place.seq, revision: place.revision, at: place.at, repeated: false })
}

/// Writes the entry and moves the head.
fn write(transaction: &mut Transaction<'_>, draft: &Draft, conversation: Conversation, burned: Option<Seq>) -> Outcome<Place> {
    let append = &draft.append;
    let revision = transaction.next_revision(conversation.shard);
    let seq = burned.unwrap_or(conversation.head.next());
    let count = CountNo(conversation.count.0 + i64::from(append.event.is_countable()));
    let at = append.at.max(conversation.head_at);
    let policy_version = PolicyVersion(conversation.policy_version.0 + i64::from(append.event.is_policy()));
    let (kind, target) = kind_and_target(&append.event);
    transaction.execute(
        "INSERT INTO entry (conversation, seq, shard, revision, count, at, author, `key`, digest, kind, target, event)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            conversation.id.0,
            seq.0,
            conversation.shard.0,
            revision.0,
            count.0,
            at.0,
            append.author.0,
            append.key.as_str(),
            draft.digest,
            kind,
            target.map(|target| target.0),
            draft.json,
        ],
    )?;
    transaction.execute(
        "UPDATE conversation SET head = ?2, head_revision = ?3, head_at = ?4, count = ?5, policy_version = ?6 WHERE id = ?1",
        params![conversation.id.0, seq.0, revision.0, at.0, count.0, policy_version.0],
    )?;
    Ok(Place { conversation, seq, revision, count, at })
}

/// What the key answered the first time, if it is known.
fn known(connection: &dyn Sql, draft: &Draft) -> Outcome<Option<Appended>> {
    let append = &draft.append;
    let found = one(
        connection,
        "SELECT conversation, digest, shard, seq, revision, at FROM entry WHERE author = ?1 AND `key` = ?2",
        params![append.author.0, append.key.as_str()],
        |row| {
            let same = row.get::<i64>(0)? == append.conversation.0 && row.get::<[u8; 16]>(1)? == draft.digest;
            Ok((same, appended(row, 2)?))
        },
    )?;
    match found {
        None => Ok(None),
        Some((is_same, known)) => repeated(is_same, &known).map(Some),
    }
}

/// The key is known, for the same command or for another.
pub(crate) fn repeated(is_same: bool, known: &Appended) -> Outcome<Appended> {
    if is_same { Ok(Appended { repeated: true, ..known.clone() }) } else { conflict() }
}

/// What every append needs: the conversation (or a place to find it), the one before it, and facts that have not moved.
pub(crate) fn check<C: std::borrow::Borrow<Conversation>>(found: Option<C>, append: &Append, is_after_stored: bool) -> Outcome<C> {
    let Some(conversation) = found else { return not_found("no such conversation") };
    if !is_after_stored {
        return Err(Failure::Refused(Error::new(Code::OutOfOrder, "the message before this one is not stored").retry_after(0)));
    }
    if conversation.borrow().policy_version != append.policy_version {
        return refuse(Code::PolicyMoved, "who may do what has changed since this was judged");
    }
    Ok(conversation)
}

pub(crate) fn conflict<T>() -> Outcome<T> {
    refuse(Code::IdempotencyConflict, "this key was used for something else")
}

/// Of `shard, seq, revision, at`: an earlier append, told again.
pub(crate) fn appended(row: &Row<'_>, from: usize) -> Outcome<Appended> {
    Ok(Appended {
        shard: Shard(row.get(from)?),
        seq: Seq(row.get(from + 1)?),
        revision: Revision(row.get(from + 2)?),
        at: Millis(row.get(from + 3)?),
        repeated: true,
    })
}

pub(crate) fn load(connection: &dyn Sql, id: ConversationId) -> Outcome<Conversation> {
    find(connection, id)?.map_or_else(|| not_found("no such conversation"), Ok)
}

fn find(connection: &dyn Sql, id: ConversationId) -> Outcome<Option<Conversation>> {
    let sql = concat!("SELECT ", rows::conversation_columns!(), " FROM conversation c WHERE c.id = ?1");
    one(connection, sql, params![id.0], |row| rows::conversation(row, 0))
}

fn is_stored(connection: &dyn Sql, author: Uid, key: &IdempotencyKey) -> Outcome<bool> {
    let sql = "SELECT 1 FROM entry WHERE author = ?1 AND `key` = ?2";
    Ok(one(connection, sql, params![author.0, key.as_str()], |_| Ok(()))?.is_some())
}

/// The target must be a message with a body. One that is recalled already is answered with its recall, and may be replied to.
fn check_target(connection: &dyn Sql, event: &EntryEvent, conversation: ConversationId) -> Outcome<Option<Appended>> {
    let target = match event {
        EntryEvent::Edited { target, .. } | EntryEvent::Recalled { target } | EntryEvent::Reacted { target, .. } => *target,
        EntryEvent::Message { reply_to: Some(target), .. } => *target,
        _ => return Ok(None),
    };
    let sql = "SELECT body IS NULL FROM message WHERE conversation = ?1 AND seq = ?2";
    let is_recalled: Option<bool> = one(connection, sql, params![conversation.0, target.0], |row| row.get(0))?;
    match (is_recalled, event) {
        (None, _) => not_found("no such message"),
        (Some(false), _) | (Some(true), EntryEvent::Message { .. }) => Ok(None),
        (Some(true), EntryEvent::Recalled { .. }) => one(
            connection,
            "SELECT shard, seq, revision, at FROM entry WHERE conversation = ?1 AND target = ?2 AND kind = 2",
            params![conversation.0, target.0],
            |row| appended(row, 0),
        ),
        (Some(true), _) => refuse(Code::Recalled, "the message was recalled"),
    }
}

/// `target` is set where the entries of a message must be found again: by its recall.
fn kind_and_target(event: &EntryEvent) -> (i64, Option<Seq>) {
    match event {
        EntryEvent::Message { .. } => (MESSAGE, None),
        EntryEvent::Edited { target, .. } => (EDITED, Some(*target)),
        EntryEvent::Recalled { target } => (RECALLED, Some(*target)),
        EntryEvent::Reacted { .. } => (3, None),
        EntryEvent::Joined { .. } => (4, None),
        EntryEvent::Left { .. } => (5, None),
        EntryEvent::RoleChanged { .. } => (6, None),
        EntryEvent::InfoChanged { .. } => (7, None),
        EntryEvent::Silenced { .. } => (8, None),
    }
}

/// A planted fault: the number is used up even when the command is refused, repeated or lost.
fn burn_number(transaction: &mut Transaction<'_>, conversation: ConversationId) -> Outcome<Option<Seq>> {
    if !planted(Fault::SeqOutsideTransaction) {
        return Ok(None);
    }
    let head = load(transaction.connection, conversation)?.head;
    Ok(Some(transaction.next_seq_in_memory(conversation, head)))
}
