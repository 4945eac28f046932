//! The schema and its migrations: forward only, each in one transaction, the version in `user_version`.
//!
//! **Invariant:** a migration that was released never changes. A store newer than this build is refused, untouched.

use super::OpenError;
use rusqlite::{Connection, TransactionBehavior, params};
use skein_domain::id::Epoch;
use skein_domain::port::{Clock, SystemClock};

/// Migration n takes the schema from version n to n + 1.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_former_title.sql"),
    include_str!("migrations/0003_push.sql"),
    include_str!("migrations/0004_shard_lease.sql"),
];

/// Brings the store to this build's version; makes it if it is empty.
pub(super) fn migrate(connection: &mut Connection, shards: u16) -> Result<(), OpenError> {
    let found = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))? as usize;
    if found > MIGRATIONS.len() {
        return Err(OpenError::Newer { found, known: MIGRATIONS.len() });
    }
    for (version, sql) in MIGRATIONS.iter().enumerate().skip(found) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        if version == 0 {
            found_store(&transaction, shards)?;
        }
        transaction.pragma_update(None, "user_version", version as u32 + 1)?;
        transaction.commit()?;
        tracing::info!(version = version + 1, "schema migrated");
    }
    Ok(())
}

fn found_store(connection: &Connection, shards: u16) -> Result<(), OpenError> {
    let mut epoch = [0u8; 8];
    getrandom::fill(&mut epoch).map_err(|error| std::io::Error::other(error.to_string()))?;
    connection.execute(
        "INSERT INTO meta (id, epoch, shards, created_at) VALUES (1, ?1, ?2, ?3)",
        params![i64::from_le_bytes(epoch), shards, SystemClock.now().0],
    )?;
    for shard in 0..shards {
        connection.execute("INSERT INTO shard (id, revision, published) VALUES (?1, 0, 0)", params![shard])?;
    }
    Ok(())
}

/// What was fixed when the store was made.
pub(super) struct Meta {
    pub epoch: Epoch,
    pub shards: u16,
}

pub(super) fn meta(connection: &Connection) -> rusqlite::Result<Meta> {
    connection.query_row("SELECT epoch, shards FROM meta WHERE id = 1", [], |row| {
        Ok(Meta { epoch: Epoch(row.get::<_, i64>(0)? as u64), shards: row.get(1)? })
    })
}
