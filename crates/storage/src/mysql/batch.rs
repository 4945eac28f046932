//! Many messages in a few statements: the hot path where each statement is a journey to another machine.
//!
//! Reads what all of them need at once, decides one after the other in memory, by the same rules and in the same order as
//! [`crate::sql::append`], and writes many rows per statement. Where one of them would break a constraint the caller rolls
//! back and runs them one by one.
//!
//! **Invariant:** the same commands in the same order have the same results and rows as when each runs alone.

use super::session::Session;
use crate::sql::append::{self, Draft};
use crate::sql::command::AppendTask;
use crate::sql::engine::{Row, Value};
use crate::sql::failure::{Failure, Outcome};
use crate::sql::place;
use crate::sql::rows;
use crate::sql::transaction::Transaction;
use skein_domain::body::Body;
use skein_domain::conversation::Conversation;
use skein_domain::entry::EntryEvent;
use skein_domain::fault::{Fault, planted};
use skein_domain::id::{ConversationId, CountNo, Revision, Seq, Shard, Uid};
use skein_domain::port::Appended;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::Arc;

/// Whether this command can go along with others: a message that answers none. Everything else runs alone.
pub(super) fn is_plain(draft: &Draft) -> bool {
    matches!(&draft.append.event, EntryEvent::Message { body: Some(_), reply_to: None })
        && !planted(Fault::KeyNotChecked)
        && !planted(Fault::SeqOutsideTransaction)
}

/// Runs all of them. `Err`: nothing is decided, and the transaction holds some of their rows.
pub(super) fn append_all(session: &Session, transaction: &mut Transaction<'_>, tasks: &mut [&mut AppendTask]) -> Outcome<()> {
    let drafts: Vec<&Draft> = tasks.iter().map(|task| &task.draft).collect();
    let mut plan = Plan { known: known(session, &drafts)?, conversations: conversations(session, &drafts)?, ..Plan::default() };
    let mut results = Vec::with_capacity(drafts.len());
    for draft in &drafts {
        results.push(match plan.append(transaction, draft) {
            Ok(appended) => Ok(appended),
            Err(Failure::Refused(error)) => Err(error),
            Err(failure) => return Err(failure),
        });
    }
    plan.write(session)?;
    for (task, result) in tasks.iter_mut().zip(results) {
        task.settle(result);
    }
    Ok(())
}

type Key = (Uid, String);

/// What the batch reads, and what it is going to write.
#[derive(Default)]
struct Plan<'d> {
    known: HashMap<Key, Known>,
    conversations: HashMap<ConversationId, Conversation>,
    entries: Vec<Written<'d>>,
    /// The last message of each author in each conversation: where their read cursor goes.
    cursors: BTreeMap<(ConversationId, Uid), (Seq, CountNo)>,
    touched: BTreeSet<ConversationId>,
}

struct Known {
    conversation: ConversationId,
    digest: [u8; 16],
    appended: Appended,
}

struct Written<'d> {
    draft: &'d Draft,
    body: Vec<u8>,
    shard: Shard,
    seq: Seq,
    revision: Revision,
    count: CountNo,
    at: i64,
}

impl<'d> Plan<'d> {
    fn append(&mut self, transaction: &mut Transaction<'_>, draft: &'d Draft) -> Outcome<Appended> {
        let append = &draft.append;
        let key = (append.author, append.key.as_str().to_owned());
        if let Some(known) = self.known.get(&key) {
            return append::repeated(known.conversation == append.conversation && known.digest == draft.digest, &known.appended);
        }
        let is_stored = append.after.as_ref().is_none_or(|after| self.known.contains_key(&(append.author, after.as_str().to_owned())));
        let conversation = append::check(self.conversations.get_mut(&append.conversation), append, is_stored)?;
        let EntryEvent::Message { body: Some(body), .. } = &append.event else { return Err(not_plain()) };

        conversation.head = conversation.head.next();
        conversation.head_revision = transaction.next_revision(conversation.shard);
        conversation.head_at = append.at.max(conversation.head_at);
        conversation.count = CountNo(conversation.count.0 + 1);
        let appended = Appended {
            shard: conversation.shard,
            seq: conversation.head,
            revision: conversation.head_revision,
            at: conversation.head_at,
            repeated: false,
        };
        self.entries.push(written(draft, body, &appended, conversation.count)?);
        self.cursors.insert((conversation.id, append.author), (appended.seq, conversation.count));
        self.touched.insert(conversation.id);
        self.known.insert(key, Known { conversation: conversation.id, digest: draft.digest, appended: appended.clone() });
        Ok(appended)
    }

    fn write(&self, session: &Session) -> Outcome<()> {
        let entries: Vec<Vec<Value<'_>>> = self.entries.iter().map(Written::entry).collect();
        insert(session, ENTRY, &entries)?;
        let messages: Vec<Vec<Value<'_>>> = self.entries.iter().map(Written::message).collect();
        insert(session, MESSAGE, &messages)?;
        let heads: Vec<Vec<Value<'_>>> = self.touched.iter().filter_map(|id| self.conversations.get(id)).map(head).collect();
        update(session, HEADS, &heads)?;
        let cursors: Vec<Vec<Value<'_>>> = self.cursors.iter().map(cursor).collect();
        update(session, CURSORS, &cursors)
    }
}

fn not_plain() -> Failure {
    Failure::Unreadable("only plain messages go together".to_owned())
}

fn written<'d>(draft: &'d Draft, body: &Body, appended: &Appended, count: CountNo) -> Outcome<Written<'d>> {
    let body = serde_json::to_vec(body)?;
    let Appended { shard, seq, revision, at, .. } = *appended;
    Ok(Written { draft, body, shard, seq, revision, count, at: at.0 })
}

impl Written<'_> {
    fn entry(&self) -> Vec<Value<'_>> {
        let append = &self.draft.append;
        vec![
            Value::Int(append.conversation.0),
            Value::Int(self.seq.0),
            Value::Int(self.shard.0.into()),
            Value::Int(self.revision.0),
            Value::Int(self.count.0),
            Value::Int(self.at),
            Value::Int(append.author.0),
            Value::Text(append.key.as_str()),
            Value::Blob(&self.draft.digest),
            Value::Int(place::MESSAGE),
            Value::Null,
            Value::Blob(&self.draft.json),
        ]
    }

    fn message(&self) -> Vec<Value<'_>> {
        let append = &self.draft.append;
        vec![
            Value::Int(append.conversation.0),
            Value::Int(self.seq.0),
            Value::Int(self.count.0),
            Value::Int(self.at),
            Value::Int(append.author.0),
            Value::Text(append.key.as_str()),
            Value::Blob(&self.body),
            Value::Null,
        ]
    }
}

fn head(conversation: &Conversation) -> Vec<Value<'_>> {
    let Conversation { id, head, head_revision, head_at, count, .. } = conversation;
    [id.0, head.0, head_revision.0, head_at.0, count.0].map(Value::Int).to_vec()
}

fn cursor<'c>(((conversation, uid), (seq, count)): (&'c (ConversationId, Uid), &'c (Seq, CountNo))) -> Vec<Value<'c>> {
    [conversation.0, uid.0, seq.0, count.0].map(Value::Int).to_vec()
}

/// What is stored under the keys of the drafts, and under those they come after.
fn known(session: &Session, drafts: &[&Draft]) -> Outcome<HashMap<Key, Known>> {
    let keys: BTreeSet<(i64, &str)> = drafts
        .iter()
        .flat_map(|draft| {
            let append = &draft.append;
            [Some(&append.key), append.after.as_ref()].into_iter().flatten().map(|key| (append.author.0, key.as_str()))
        })
        .collect();
    let keys: Vec<Vec<Value<'_>>> = keys.iter().map(|(author, key)| vec![Value::Int(*author), Value::Text(key)]).collect();
    let mut known = HashMap::new();
    for chunk in keys.chunks(ROWS_MAX) {
        for row in session.query_text(&KNOWN.text(chunk.len().next_power_of_two()), &padded(chunk))? {
            let row = Row(&row);
            let found = Known { conversation: ConversationId(row.get(2)?), digest: row.get(3)?, appended: append::appended(&row, 4)? };
            known.insert((Uid(row.get(0)?), row.get(1)?), found);
        }
    }
    Ok(known)
}

fn conversations(session: &Session, drafts: &[&Draft]) -> Outcome<HashMap<ConversationId, Conversation>> {
    let ids: BTreeSet<i64> = drafts.iter().map(|draft| draft.append.conversation.0).collect();
    let ids: Vec<Vec<Value<'_>>> = ids.iter().map(|id| vec![Value::Int(*id)]).collect();
    let mut found = HashMap::new();
    for chunk in ids.chunks(ROWS_MAX) {
        for row in session.query_text(&CONVERSATIONS.text(chunk.len().next_power_of_two()), &padded(chunk))? {
            let conversation = rows::conversation(&Row(&row), 0)?;
            found.insert(conversation.id, conversation);
        }
    }
    Ok(found)
}

// === statements over many rows ===

const ROWS_MAX: usize = 256;

/// A statement with `one` repeated for every row, `between` them.
#[derive(Clone, Copy)]
struct Repeated {
    start: &'static str,
    one: &'static str,
    between: &'static str,
    end: &'static str,
}

const KNOWN: Repeated = Repeated {
    start: "SELECT author, `key`, conversation, digest, shard, seq, revision, at FROM entry WHERE ",
    one: "(author = ? AND `key` = ?)",
    between: " OR ",
    end: "",
};
const CONVERSATIONS: Repeated = Repeated {
    start: concat!("SELECT ", rows::conversation_columns!(), " FROM conversation c WHERE c.id IN ("),
    one: "?",
    between: ", ",
    end: ")",
};
const ENTRY: Repeated = Repeated {
    start: "INSERT INTO entry (conversation, seq, shard, revision, count, at, author, `key`, digest, kind, target, event) VALUES ",
    one: "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    between: ", ",
    end: "",
};
const MESSAGE: Repeated = Repeated {
    start: "INSERT INTO message (conversation, seq, count, at, author, `key`, body, reply_to) VALUES ",
    one: "(?, ?, ?, ?, ?, ?, ?, ?)",
    between: ", ",
    end: "",
};
const HEADS: Repeated = Repeated {
    start: "UPDATE conversation c JOIN (",
    one: "SELECT CAST(? AS SIGNED) AS id, CAST(? AS SIGNED) AS head, CAST(? AS SIGNED) AS head_revision, CAST(? AS SIGNED) AS head_at, \
          CAST(? AS SIGNED) AS count",
    between: " UNION ALL ",
    end: ") v ON v.id = c.id SET c.head = v.head, c.head_revision = v.head_revision, c.head_at = v.head_at, c.count = v.count",
};
const CURSORS: Repeated = Repeated {
    start: "UPDATE member m JOIN (",
    one: "SELECT CAST(? AS SIGNED) AS conversation, CAST(? AS SIGNED) AS uid, CAST(? AS SIGNED) AS seq, CAST(? AS SIGNED) AS count",
    between: " UNION ALL ",
    end: ") v ON v.conversation = m.conversation AND v.uid = m.uid \
          SET m.`read` = v.seq, m.read_count = v.count, m.delivered = v.seq WHERE m.visible_to IS NULL",
};

impl Repeated {
    fn text(self, rows: usize) -> Arc<str> {
        let mut text = self.start.to_owned();
        for row in 0..rows {
            let between = if row == 0 { "" } else { self.between };
            let _ = write!(text, "{between}{}", self.one);
        }
        text.push_str(self.end);
        text.into()
    }
}

/// Cut into powers of two, so that there are few different statements to prepare.
fn insert(session: &Session, statement: Repeated, rows: &[Vec<Value<'_>>]) -> Outcome<()> {
    let mut rest = rows;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(ROWS_MAX.min(1 << rest.len().ilog2()));
        session.execute_text(&statement.text(now.len()), &now.concat())?;
        rest = later;
    }
    Ok(())
}

/// Filled up to a power of two with the last row again, which changes nothing.
fn update(session: &Session, statement: Repeated, rows: &[Vec<Value<'_>>]) -> Outcome<()> {
    for chunk in rows.chunks(ROWS_MAX) {
        session.execute_text(&statement.text(chunk.len().next_power_of_two()), &padded(chunk))?;
    }
    Ok(())
}

fn padded<'v>(rows: &[Vec<Value<'v>>]) -> Vec<Value<'v>> {
    let missing = rows.len().next_power_of_two() - rows.len();
    let last = rows.last().into_iter().cycle().take(missing);
    rows.iter().chain(last).flatten().copied().collect()
}
