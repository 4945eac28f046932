//! Reads what a user looks at: the list of conversations, a timeline with its echoes.

use rusqlite::{Connection, params};
use skein_protocol::{Codec, v1};

use super::log::Record;
use super::{Rows, Store, damaged};
use crate::error::Error;

/// A stretch of a conversation, oldest first; messages that wait to be sent come last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimelineView {
    pub items: Vec<Item>,
    /// There are older lines, here or on the server: ask [`crate::Client::history`].
    pub has_more: bool,
    /// The newest seq this device holds: what [`crate::Client::mark_read`] takes when all of it was seen.
    pub position: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// As it is now, edits, recalls and reactions applied.
    Message(v1::MessageState),
    /// Who joined, left, changed the title …
    Event(v1::Entry),
    /// A message of mine that is not in the log yet.
    Pending(Echo),
}

impl Item {
    /// `None` for what is not in the log yet.
    pub fn seq(&self) -> Option<i64> {
        match self {
            Item::Message(message) => Some(message.seq),
            Item::Event(entry) => Some(entry.seq),
            Item::Pending(_) => None,
        }
    }
}

/// The local echo of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Echo {
    pub conversation: i64,
    pub key: String,
    pub body: v1::Body,
    pub reply_to: i64,
    pub created_at_ms: i64,
    pub state: EchoState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EchoState {
    Waiting,
    /// On the server's disk; its entry comes.
    Acked {
        seq: i64,
    },
    /// The server said no, finally: [`crate::Client::retry`] or [`crate::Client::discard`].
    Failed {
        code: String,
    },
}

impl Store {
    pub async fn conversation(&self, conversation: i64) -> Result<Option<v1::Conversation>, Error> {
        self.call(move |db| Ok(Record::load(db, conversation)?.map(shown))).await
    }

    /// Pinned ones first, then those with the newest messages.
    pub async fn conversations(&self) -> Result<Vec<v1::Conversation>, Error> {
        let mut conversations = self
            .call(|db| {
                let mut statement = db.prepare_cached("SELECT info, first, position, read_count FROM conversation")?;
                let records = statement.query_map([], Record::of_row)?;
                records.map(|record| record.map(shown)).collect::<Rows<Vec<_>>>()
            })
            .await?;
        conversations.sort_by_key(|conversation| std::cmp::Reverse(rank(conversation)));
        Ok(conversations)
    }

    /// The newest `count` lines below `before` (0: from the end, with echoes).
    pub async fn timeline(&self, conversation: i64, before: i64, count: usize) -> Result<TimelineView, Error> {
        self.call(move |db| {
            let Some(record) = Record::load(db, conversation)? else {
                let items = echoes(db, conversation)?;
                return Ok(TimelineView { items, ..TimelineView::default() });
            };
            let end = if before == 0 { i64::MAX } else { before };
            let (mut items, has_older) = lines(db, &record, end, count)?;
            if before == 0 {
                items.extend(echoes(db, conversation)?);
            }
            Ok(TimelineView { items, has_more: has_older || record.from > record.lowest(), position: record.position })
        })
        .await
    }

    /// The window and the lowest seq there is for this user: what history needs to know.
    pub async fn window(&self, conversation: i64) -> Result<Option<(super::Window, i64)>, Error> {
        self.call(move |db| {
            let record = Record::load(db, conversation)?;
            Ok(record.map(|record| (record.window(), record.lowest())))
        })
        .await
    }
}

fn shown(record: Record) -> v1::Conversation {
    let unread = record.unread();
    let mut info = record.info;
    info.me.get_or_insert_default().unread = unread;
    info
}

fn rank(conversation: &v1::Conversation) -> (bool, i64) {
    let is_pinned = conversation.me.as_ref().is_some_and(|me| me.pinned);
    let active_at = conversation.last.as_ref().map_or(conversation.created_at_ms, |last| last.at_ms);
    (is_pinned, active_at)
}

fn lines(db: &Connection, record: &Record, end: i64, count: usize) -> Rows<(Vec<Item>, bool)> {
    let sql = "SELECT kind, body FROM line WHERE conversation = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4";
    let mut statement = db.prepare_cached(sql)?;
    let limit = i64::try_from(count).unwrap_or(i64::MAX - 1) + 1;
    let rows = statement.query_map(params![record.info.id, record.from, end, limit], item)?;
    let mut items = rows.collect::<Rows<Vec<_>>>()?;
    let has_older = items.len() > count;
    items.truncate(count);
    items.reverse();
    Ok((items, has_older))
}

fn item(row: &rusqlite::Row<'_>) -> Rows<Item> {
    let body: Vec<u8> = row.get(1)?;
    match row.get(0)? {
        0 => Codec::Protobuf.decode(&body).map(Item::Message).map_err(damaged),
        _ => Codec::Protobuf.decode(&body).map(Item::Event).map_err(damaged),
    }
}

fn echoes(db: &Connection, conversation: i64) -> Rows<Vec<Item>> {
    let mut statement = db.prepare_cached("SELECT send, created_at_ms, seq, code FROM outbox WHERE conversation = ?1 ORDER BY id")?;
    let rows = statement.query_map([conversation], |row| {
        let bytes: Vec<u8> = row.get(0)?;
        let send: v1::Send = Codec::Protobuf.decode(&bytes).map_err(damaged)?;
        let state = match (row.get(2)?, row.get(3)?) {
            (Some(seq), _) => EchoState::Acked { seq },
            (None, Some(code)) => EchoState::Failed { code },
            (None, None) => EchoState::Waiting,
        };
        Ok(Item::Pending(Echo {
            conversation,
            key: send.key,
            body: send.body.unwrap_or_default(),
            reply_to: send.reply_to,
            created_at_ms: row.get(1)?,
            state,
        }))
    })?;
    rows.collect()
}
