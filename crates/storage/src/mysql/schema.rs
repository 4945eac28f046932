//! The schema and its migrations: forward only, one statement a step, the number of steps done in `schema_step`.
//!
//! Definitions commit by themselves here, so a step is noted after it was done, and every step can be repeated.
//!
//! **Invariant:** one node migrates at a time, the others wait for it. A step that was released never changes. A database
//! newer than this build is refused, untouched.

use super::session::Session;
use crate::OpenError;
use crate::sql::engine::{Sql, params};
use crate::sql::failure::{Failure, Outcome};
use crate::sql::transaction::{many, one};
use skein_domain::id::{Epoch, Revision};
use skein_domain::port::{Clock, SystemClock};
use std::time::Duration;

const MIGRATIONS: &[&str] =
    &[include_str!("migrations/0001_first.sql"), include_str!("migrations/0002_push.sql"), include_str!("migrations/0003_shard_lease.sql")];
/// Another node may be migrating a large table.
const LOCK_PATIENCE_SECONDS: i64 = 300;
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Brings the database to this build's schema; makes it if it is empty.
pub(super) fn migrate(session: &Session, shards: u16) -> Result<(), OpenError> {
    session.limit(PATIENCE);
    let lock = "SELECT GET_LOCK(CONCAT('skein/', SHA1(DATABASE())), ?1)";
    let is_ours = one(session, lock, params![LOCK_PATIENCE_SECONDS], |row| row.get::<Option<i64>>(0))?.flatten();
    if is_ours != Some(1) {
        return Err(OpenError::Engine("another node has been migrating for too long".to_owned()));
    }
    let migrated = migrate_alone(session, shards);
    session.control("DO RELEASE_LOCK(CONCAT('skein/', SHA1(DATABASE())))")?;
    migrated
}

fn migrate_alone(session: &Session, shards: u16) -> Result<(), OpenError> {
    session.control("CREATE TABLE IF NOT EXISTS schema_step (id INT PRIMARY KEY, done INT NOT NULL) ENGINE = InnoDB")?;
    let steps = steps();
    let found = done(session, steps.len())?;
    for (done, step) in steps.iter().enumerate().skip(found) {
        session.control(step)?;
        session.execute("REPLACE INTO schema_step (id, done) VALUES (1, ?1)".into(), params![done as u32 + 1])?;
    }
    if found < steps.len() {
        tracing::info!(steps = steps.len() - found, "schema migrated");
    }
    Ok(found_store(session, shards)?)
}

/// Whether this build can work with the schema that is there, if there is one. Changes nothing.
pub(super) fn check_known(session: &Session) -> Result<(), OpenError> {
    let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'schema_step'";
    let found: i64 = one(session, tables, &[], |row| row.get(0))?.unwrap_or_default();
    if found > 0 { done(session, steps().len()).map(drop) } else { Ok(()) }
}

/// How many of the steps this build knows.
fn done(session: &Session, known: usize) -> Result<usize, OpenError> {
    let found: u32 = one(session, "SELECT done FROM schema_step WHERE id = 1", &[], |row| row.get(0))?.unwrap_or(0);
    let found = found as usize;
    if found > known { Err(OpenError::Newer { found, known }) } else { Ok(found) }
}

fn steps() -> Vec<&'static str> {
    MIGRATIONS.iter().flat_map(|migration| statements(migration)).collect()
}

/// What stands between semicolons, without the lines of comment.
fn statements(migration: &'static str) -> impl Iterator<Item = &'static str> {
    let is_statement = |text: &str| text.lines().any(|line| !line.is_empty() && !line.starts_with("--"));
    migration.split(";\n").filter(move |text| is_statement(text))
}

/// Each statement does nothing when it was done before.
fn found_store(session: &Session, shards: u16) -> Outcome<()> {
    let mut epoch = [0u8; 8];
    getrandom::fill(&mut epoch).map_err(|error| Failure::Unreadable(error.to_string()))?;
    let made = session.execute(
        "INSERT IGNORE INTO meta (id, epoch, shards, created_at) VALUES (1, ?1, ?2, ?3)".into(),
        params![i64::from_le_bytes(epoch), shards, SystemClock.now().0],
    )?;
    let shards = if made == 0 { meta(session)?.shards } else { shards };
    for shard in 0..shards {
        session.execute("INSERT IGNORE INTO shard (id, revision, published) VALUES (?1, 0, 0)".into(), params![shard])?;
        let lease = "INSERT IGNORE INTO shard_lease (shard, node, tenant, fence, expires_at) VALUES (?1, '', 0, 0, 0)";
        session.execute(lease.into(), params![shard])?;
    }
    Ok(())
}

/// What was fixed when the store was made.
pub(super) struct Meta {
    pub epoch: Epoch,
    pub shards: u16,
}

pub(super) fn meta(session: &Session) -> Outcome<Meta> {
    let found = one(session, "SELECT epoch, shards FROM meta WHERE id = 1", &[], |row| {
        Ok(Meta { epoch: Epoch(row.get::<i64>(0)? as u64), shards: row.get(1)? })
    })?;
    found.ok_or_else(|| Failure::Unreadable("the store has no identity".to_owned()))
}

/// Last revision and position of each shard.
pub(super) fn positions(session: &Session) -> Outcome<Vec<(Revision, Revision)>> {
    let sql = "SELECT revision, published FROM shard ORDER BY id";
    many(session, sql, &[], |row| Ok((Revision(row.get(0)?), Revision(row.get(1)?))))
}

/// Settings without which a commit that returned does not survive a power cut, and what they must be.
const DURABLE: &[(&str, &str, i64)] = &[
    ("innodb_flush_log_at_trx_commit", "SELECT CAST(@@innodb_flush_log_at_trx_commit AS SIGNED)", 1),
    // Of no importance where no binary log is written.
    ("sync_binlog", "SELECT CAST(CASE WHEN @@log_bin = 0 THEN 1 ELSE @@sync_binlog END AS SIGNED)", 1),
];

/// Names each setting that makes acknowledgements worth less than they say.
pub(super) fn unsafe_settings(session: &Session) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    for (name, sql, wanted) in DURABLE {
        let value: i64 = one(session, *sql, &[], |row| row.get(0))?.unwrap_or_default();
        if value != *wanted {
            found.push(format!("{name} = {value}"));
        }
    }
    Ok(found)
}
