//! The outbox on disk: a message is here before it is sent, until its entry is in the log.

use rusqlite::{Connection, OptionalExtension, params};
use skein_protocol::{Codec, v1};

use super::{Rows, Store, damaged};
use crate::error::Error;

impl Store {
    pub async fn enqueue(&self, send: &v1::Send, now_ms: i64) -> Result<(), Error> {
        let send = send.clone();
        let inserted = self.call(move |db| insert(db, &send, now_ms)).await?;
        if inserted { Ok(()) } else { Err(Error::KeyInUse) }
    }

    /// What has no ack and has not failed, in the order it was written.
    pub async fn waiting(&self) -> Result<Vec<v1::Send>, Error> {
        self.call(|db| {
            let mut statement = db.prepare_cached("SELECT send FROM outbox WHERE seq IS NULL AND code IS NULL ORDER BY id")?;
            let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
            rows.map(|row| Codec::Protobuf.decode(&row?).map_err(damaged)).collect()
        })
        .await
    }

    /// The echo stays until its entry comes, unless that was here first.
    pub async fn acked(&self, ack: &v1::Ack) -> Result<(), Error> {
        let ack = ack.clone();
        self.call(move |db| {
            db.execute("UPDATE outbox SET seq = ?2, code = NULL WHERE key = ?1", params![ack.key, ack.seq])?;
            drop_settled(db, ack.conversation)
        })
        .await
    }

    pub async fn failed(&self, key: &str, code: &str) -> Result<(), Error> {
        let (key, code) = (key.to_owned(), code.to_owned());
        self.call(move |db| db.execute("UPDATE outbox SET code = ?2 WHERE key = ?1 AND seq IS NULL", params![key, code]).map(drop)).await
    }

    /// A failed message waits anew, behind everything else. `None`: there is no such failed message.
    pub async fn retry(&self, key: &str, now_ms: i64) -> Result<Option<v1::Send>, Error> {
        let key = key.to_owned();
        self.call(move |db| {
            let Some(send) = take_unacked(db, &key, "code IS NOT NULL")? else {
                return Ok(None);
            };
            insert(db, &send, now_ms)?;
            Ok(Some(send))
        })
        .await
    }

    /// `None`: there is no such message, or it is stored on the server already.
    pub async fn discard(&self, key: &str) -> Result<Option<v1::Send>, Error> {
        let key = key.to_owned();
        self.call(move |db| take_unacked(db, &key, "true")).await
    }
}

fn insert(db: &Connection, send: &v1::Send, now_ms: i64) -> Rows<bool> {
    let bytes = Codec::Protobuf.encode(send).map_err(damaged)?;
    let sql = "INSERT OR IGNORE INTO outbox (conversation, key, send, created_at_ms) VALUES (?1, ?2, ?3, ?4)";
    Ok(db.execute(sql, params![send.conversation, send.key, &bytes[..], now_ms])? == 1)
}

fn take_unacked(db: &Connection, key: &str, condition: &str) -> Rows<Option<v1::Send>> {
    let sql = format!("DELETE FROM outbox WHERE key = ?1 AND seq IS NULL AND {condition} RETURNING send");
    let bytes: Option<Vec<u8>> = db.query_row(&sql, [key], |row| row.get(0)).optional()?;
    bytes.map(|bytes| Codec::Protobuf.decode(&bytes).map_err(damaged)).transpose()
}

/// The entry of my message came: its echo goes.
pub(super) fn settle(db: &Connection, conversation: i64, key: &str) -> Rows<bool> {
    Ok(db.prepare_cached("DELETE FROM outbox WHERE conversation = ?1 AND key = ?2")?.execute(params![conversation, key])? > 0)
}

/// Echoes whose entry is behind the position: it was applied, or lies in what history fills.
pub(super) fn drop_settled(db: &Connection, conversation: i64) -> Rows<()> {
    let sql = "DELETE FROM outbox WHERE conversation = ?1 AND seq <= (SELECT position FROM conversation WHERE id = ?1)";
    db.prepare_cached(sql)?.execute([conversation]).map(drop)
}
