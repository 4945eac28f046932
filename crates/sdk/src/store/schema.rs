//! The tables of the local store.

use rusqlite::Connection;

use crate::error::Error;

/// Version of the tables; a file of a newer one is refused.
const VERSION: i64 = 1;

const TABLES: &str = "
    -- account, place of the last sync
    CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    -- info: v1.Conversation; the window first..position is complete here
    CREATE TABLE IF NOT EXISTS conversation (
        id INTEGER PRIMARY KEY, info BLOB NOT NULL, first INTEGER NOT NULL, position INTEGER NOT NULL, read_count INTEGER NOT NULL);
    -- a line of a timeline: kind 0 holds a v1.MessageState, kind 1 a v1.Entry
    CREATE TABLE IF NOT EXISTS line (
        conversation INTEGER NOT NULL, seq INTEGER NOT NULL, kind INTEGER NOT NULL, count INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (conversation, seq)) WITHOUT ROWID;
    -- the newest edits, recalls and reactions, for history pages that were answered before them
    CREATE TABLE IF NOT EXISTS effect (
        conversation INTEGER NOT NULL, seq INTEGER NOT NULL, target INTEGER NOT NULL, entry BLOB NOT NULL,
        PRIMARY KEY (conversation, seq)) WITHOUT ROWID;
    -- send: v1.Send; seq: of the ack; code: of the failure
    CREATE TABLE IF NOT EXISTS outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, conversation INTEGER NOT NULL, key TEXT NOT NULL UNIQUE, send BLOB NOT NULL,
        created_at_ms INTEGER NOT NULL, seq INTEGER, code TEXT);
    CREATE INDEX IF NOT EXISTS outbox_conversation ON outbox (conversation);
    CREATE TABLE IF NOT EXISTS person (uid INTEGER PRIMARY KEY, nickname TEXT NOT NULL, remark TEXT);
";

pub(super) const WIPE: &str =
    "DELETE FROM fact; DELETE FROM conversation; DELETE FROM line; DELETE FROM effect; DELETE FROM outbox; DELETE FROM person;";

/// The sequence of conversations is of another store of the server: its windows mean nothing, what is not stored there
/// for certain is sent again.
pub(super) const FORGET_LOG: &str = "DELETE FROM conversation; DELETE FROM line; DELETE FROM effect; UPDATE outbox SET seq = NULL;";

pub(super) fn prepare(connection: &Connection) -> Result<(), Error> {
    // Exclusive: a second process would overwrite what this one counts on. `NORMAL` in WAL mode keeps the file sound
    // after a power cut; what it may lose comes again by sync.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION {
        return Err(Error::Store(format!("the file is of version {version}, this program knows {VERSION}")));
    }
    connection.execute_batch(&format!("BEGIN EXCLUSIVE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"))?;
    Ok(())
}
