//! Writes what the session applied: entries, conversations, pages of history, cursors.

use rusqlite::{Connection, OptionalExtension, params};
use skein_protocol::{Codec, v1};

use super::{Place, Rows, Store, Window, damaged, outbox, schema, write_json};
use crate::error::Error;
use crate::reduce;

/// Edits, recalls and reactions kept per conversation. A history page that was on its way for longer than so many
/// entries is asked for again.
const EFFECTS_MAX: i64 = 512;
const MESSAGE: i64 = 0;
const EVENT: i64 = 1;

/// A conversation moves on.
#[derive(Debug, Default)]
pub(crate) struct Advance {
    pub conversation: i64,
    /// As the server sees it, where a page or reply brought it.
    pub info: Option<v1::Conversation>,
    /// The window begins anew at `from`; else only history moves its beginning.
    pub restart: bool,
    pub from: i64,
    pub position: i64,
    pub ready: Vec<v1::Entry>,
}

/// A page of sync, or what else came at once.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Forget all windows first.
    pub reset: bool,
    pub place: Option<Place>,
    pub advances: Vec<Advance>,
}

/// A message of mine whose entry is in the log now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settled {
    pub conversation: i64,
    pub key: String,
    pub seq: i64,
    pub at_ms: i64,
}

impl Store {
    /// Tells which of my waiting messages turned up.
    pub async fn apply(&self, page: Page, my_uid: i64) -> Result<Vec<Settled>, Error> {
        self.call(move |db| {
            if page.reset {
                db.execute_batch(schema::FORGET_LOG)?;
            }
            let mut settled = Vec::new();
            for advance in page.advances {
                apply_advance(db, advance, my_uid, &mut settled)?;
            }
            if let Some(place) = &page.place {
                write_json(db, "place", place)?;
            }
            Ok(settled)
        })
        .await
    }

    /// My membership as the server has it now: read cursors only grow.
    pub async fn apply_membership(&self, conversation: i64, me: v1::Membership) -> Result<(), Error> {
        self.call(move |db| {
            let Some(mut record) = Record::load(db, conversation)? else {
                return Ok(());
            };
            record.merge_me(db, me)?;
            record.save(db)
        })
        .await
    }

    /// How far the other side of a direct conversation is.
    pub async fn apply_cursors(&self, cursors: v1::Cursors, my_uid: i64) -> Result<(), Error> {
        self.call(move |db| {
            let Some(mut record) = Record::load(db, cursors.conversation)? else {
                return Ok(());
            };
            for cursor in cursors.cursors.iter().filter(|cursor| cursor.uid != my_uid && cursor.uid == record.info.peer) {
                record.info.peer_read = record.info.peer_read.max(cursor.read);
                record.info.peer_delivered = record.info.peer_delivered.max(cursor.delivered);
            }
            record.save(db)
        })
        .await
    }

    /// Older messages in front of the window. `before` is where the window began, `asked_at` its position when the page
    /// was asked for: what changed the messages since is applied to them again. Echoes of what it holds go. Returns where the window begins now;
    /// `None` if the page is of no use any more: the window moved.
    pub async fn prepend(&self, page: v1::HistoryPage, before: i64, asked_at: i64, my_uid: i64) -> Result<Option<i64>, Error> {
        self.call(move |db| {
            let Some(mut record) = Record::load(db, page.conversation)? else {
                return Ok(None);
            };
            if record.from != before || record.position - asked_at > EFFECTS_MAX || record.position < asked_at {
                return Ok(None);
            }
            record.from = page_start(&page, &record);
            for mut message in page.messages.into_iter().filter(|message| message.seq < before) {
                apply_effects_since(db, &mut message, asked_at)?;
                put_message(db, &message)?;
                if message.author == my_uid {
                    outbox::settle(db, message.conversation, &message.key)?;
                }
            }
            for event in page.events.iter().filter(|event| event.seq < before) {
                put_event(db, event)?;
            }
            record.save(db)?;
            Ok(Some(record.from))
        })
        .await
    }
}

fn page_start(page: &v1::HistoryPage, record: &Record) -> i64 {
    let first_message = page.messages.first().map(|message| message.seq);
    let first_event = page.events.first().map(|event| event.seq);
    match [first_message, first_event].into_iter().flatten().min() {
        Some(first) if page.has_more_messages => first.min(record.from),
        _ => record.lowest().max(page.floor + 1).min(record.from),
    }
}

/// A row of `conversation`.
pub(super) struct Record {
    pub info: v1::Conversation,
    pub from: i64,
    pub position: i64,
    /// `count` at my read cursor: what is above is unread.
    pub read_count: i64,
}

impl Record {
    pub fn load(db: &Connection, conversation: i64) -> Rows<Option<Self>> {
        let mut statement = db.prepare_cached("SELECT info, first, position, read_count FROM conversation WHERE id = ?1")?;
        statement.query_row([conversation], Self::of_row).optional()
    }

    pub fn of_row(row: &rusqlite::Row<'_>) -> Rows<Self> {
        let info: Vec<u8> = row.get(0)?;
        let info = Codec::Protobuf.decode(&info).map_err(damaged)?;
        Ok(Self { info, from: row.get(1)?, position: row.get(2)?, read_count: row.get(3)? })
    }

    fn save(&self, db: &Connection) -> Rows<()> {
        let info = Codec::Protobuf.encode(&self.info).map_err(damaged)?;
        let sql = "INSERT OR REPLACE INTO conversation (id, info, first, position, read_count) VALUES (?1, ?2, ?3, ?4, ?5)";
        db.prepare_cached(sql)?.execute(params![self.info.id, &info[..], self.from, self.position, self.read_count]).map(drop)
    }

    pub fn window(&self) -> Window {
        Window { conversation: self.info.id, from: self.from, position: self.position, kind: self.info.kind() }
    }

    /// The first seq this user may see.
    pub fn lowest(&self) -> i64 {
        self.info.me.as_ref().map_or(1, |me| me.visible_from).max(self.info.floor + 1)
    }

    pub fn unread(&self) -> i64 {
        (self.info.count - self.read_count).max(0)
    }

    /// The server's view, taken before or after entries that are here already.
    fn merge_info(&mut self, db: &Connection, mut info: v1::Conversation) -> Rows<()> {
        let me = info.me.take();
        let is_behind = info.head < self.info.head;
        info.peer_read = info.peer_read.max(self.info.peer_read);
        info.peer_delivered = info.peer_delivered.max(self.info.peer_delivered);
        info.me = self.info.me.take();
        let server_count = info.count;
        if is_behind {
            // Titles and members of the log are newer than this.
            self.info.me = info.me;
            (self.info.peer_read, self.info.peer_delivered, self.info.floor) = (info.peer_read, info.peer_delivered, info.floor);
        } else {
            info.last = info.last.or(self.info.last.take());
            self.info = info;
        }
        match me {
            Some(me) => self.merge_me_at(db, me, server_count),
            None => Ok(()),
        }
    }

    fn merge_me(&mut self, db: &Connection, me: v1::Membership) -> Rows<()> {
        let count = self.info.count;
        self.merge_me_at(db, me, count)
    }

    /// `unread` of a membership is a difference to the server's count at that time; the line at the read cursor, where it
    /// is kept, tells exactly.
    fn merge_me_at(&mut self, db: &Connection, me: v1::Membership, server_count: i64) -> Rows<()> {
        let known_read = self.info.me.as_ref().map_or(0, |me| me.read);
        let is_rejoin = self.info.me.as_ref().is_some_and(|mine| mine.visible_from != me.visible_from);
        if me.read >= known_read || is_rejoin {
            let counted = if is_rejoin { None } else { self.count_at(db, me.read)? };
            let read_count = counted.unwrap_or(server_count - me.unread);
            self.read_count = if is_rejoin { read_count } else { self.read_count.max(read_count) };
        }
        let read = if is_rejoin { me.read } else { me.read.max(known_read) };
        self.info.me = Some(v1::Membership { read, ..me });
        Ok(())
    }

    /// The running number of messages at a seq inside the window.
    fn count_at(&self, db: &Connection, seq: i64) -> Rows<Option<i64>> {
        if seq < self.from || seq > self.position {
            return Ok(None);
        }
        let sql = "SELECT count FROM line WHERE conversation = ?1 AND seq <= ?2 AND kind = 0 ORDER BY seq DESC LIMIT 1";
        db.prepare_cached(sql)?.query_row(params![self.info.id, seq], |row| row.get(0)).optional()
    }

    /// Writing is reading: my own message moves my cursor to it.
    fn follow_own(&mut self, entry: &v1::Entry) {
        self.read_count = self.read_count.max(entry.count);
        let me = self.info.me.get_or_insert_default();
        me.read = me.read.max(entry.seq);
    }
}

fn apply_advance(db: &Connection, advance: Advance, my_uid: i64, settled: &mut Vec<Settled>) -> Rows<()> {
    let known = Record::load(db, advance.conversation)?;
    let is_known = known.is_some();
    let mut record = match (known, &advance.info) {
        (Some(record), _) => record,
        (None, Some(info)) => Record { info: first_sight(info), from: advance.from, position: 0, read_count: 0 },
        // Nobody said yet what this conversation is; sync will.
        (None, None) => return Ok(()),
    };
    if advance.restart {
        forget_window(db, advance.conversation)?;
        record.from = advance.from;
    }
    record.position = advance.position;
    for entry in &advance.ready {
        apply_entry(db, entry)?;
        if is_known || advance.info.is_none() {
            reduce::apply_to_conversation(&mut record.info, entry, my_uid);
        }
        let is_mine = entry.author == my_uid;
        if is_mine && reduce::message_of(entry).is_some() {
            record.follow_own(entry);
        }
        if is_mine && outbox::settle(db, entry.conversation, &entry.key)? {
            settled.push(Settled { conversation: entry.conversation, key: entry.key.clone(), seq: entry.seq, at_ms: entry.at_ms });
        }
    }
    if let Some(info) = advance.info {
        record.merge_info(db, info)?;
    }
    record.save(db)?;
    outbox::drop_settled(db, advance.conversation)
}

/// Nothing of it is known: neither cursor nor count.
fn first_sight(info: &v1::Conversation) -> v1::Conversation {
    v1::Conversation { me: None, head: 0, count: 0, ..info.clone() }
}

fn forget_window(db: &Connection, conversation: i64) -> Rows<()> {
    db.execute("DELETE FROM line WHERE conversation = ?1", [conversation])?;
    db.execute("DELETE FROM effect WHERE conversation = ?1", [conversation]).map(drop)
}

fn apply_entry(db: &Connection, entry: &v1::Entry) -> Rows<()> {
    if let Some(message) = reduce::message_of(entry) {
        return put_message(db, &message);
    }
    let Some(target) = reduce::target_of(entry) else {
        return if entry.event.is_some() { put_event(db, entry) } else { Ok(()) };
    };
    if let Some(mut message) = message_at(db, entry.conversation, target)? {
        reduce::apply_to_message(&mut message, entry);
        put_message(db, &message)?;
    }
    let bytes = Codec::Protobuf.encode(entry).map_err(damaged)?;
    let sql = "INSERT OR REPLACE INTO effect (conversation, seq, target, entry) VALUES (?1, ?2, ?3, ?4)";
    db.prepare_cached(sql)?.execute(params![entry.conversation, entry.seq, target, &bytes[..]])?;
    let sql = "DELETE FROM effect WHERE conversation = ?1 AND seq < ?2";
    db.prepare_cached(sql)?.execute(params![entry.conversation, entry.seq - EFFECTS_MAX]).map(drop)
}

fn apply_effects_since(db: &Connection, message: &mut v1::MessageState, since: i64) -> Rows<()> {
    let sql = "SELECT entry FROM effect WHERE conversation = ?1 AND target = ?2 AND seq > ?3 ORDER BY seq";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params![message.conversation, message.seq, since])?;
    while let Some(row) = rows.next()? {
        let bytes: Vec<u8> = row.get(0)?;
        reduce::apply_to_message(message, &Codec::Protobuf.decode(&bytes).map_err(damaged)?);
    }
    Ok(())
}

fn message_at(db: &Connection, conversation: i64, seq: i64) -> Rows<Option<v1::MessageState>> {
    let sql = "SELECT body FROM line WHERE conversation = ?1 AND seq = ?2 AND kind = 0";
    let bytes: Option<Vec<u8>> = db.prepare_cached(sql)?.query_row(params![conversation, seq], |row| row.get(0)).optional()?;
    bytes.map(|bytes| Codec::Protobuf.decode(&bytes).map_err(damaged)).transpose()
}

fn put_message(db: &Connection, message: &v1::MessageState) -> Rows<()> {
    let bytes = Codec::Protobuf.encode(message).map_err(damaged)?;
    put_line(db, message.conversation, message.seq, MESSAGE, message.count, &bytes)
}

fn put_event(db: &Connection, entry: &v1::Entry) -> Rows<()> {
    let bytes = Codec::Protobuf.encode(entry).map_err(damaged)?;
    put_line(db, entry.conversation, entry.seq, EVENT, entry.count, &bytes)
}

fn put_line(db: &Connection, conversation: i64, seq: i64, kind: i64, count: i64, body: &[u8]) -> Rows<()> {
    let sql = "INSERT OR REPLACE INTO line (conversation, seq, kind, count, body) VALUES (?1, ?2, ?3, ?4, ?5)";
    db.prepare_cached(sql)?.execute(params![conversation, seq, kind, count, body]).map(drop)
}
