//! Bare inserts: one writer, rows as the change log has them, a commit for so many of them. What an engine alone can do for a
//! message, without a rule, a second row or an answer to anybody.
//!
//! Runs in a process of its own, so that a preloaded library can delay its syncs, and on tables the product made.

use crate::load::TEXT;
use anyhow::{Context, Result};
use rusqlite::{Connection, params_from_iter};
use skein_domain::body::Body;
use skein_domain::entry::EntryEvent;
use sqlx::mysql::MySqlArguments;
use sqlx::{Arguments, AssertSqlSafe, Connection as _, Executor, MySqlConnection};
use std::time::{Duration, Instant};

const COLUMNS: &str = "conversation, seq, shard, revision, count, at, author, `key`, digest, kind, target, event";
const COLUMNS_COUNT: usize = 12;
/// Of so many conversations in turn, as if so many people wrote.
const CONVERSATIONS: i64 = 500;

/// Where rows go.
pub enum Target {
    /// A SQLite file.
    File(String),
    /// `mysql://…`.
    Url(String),
}

impl Target {
    pub fn parse(text: &str) -> Self {
        if text.starts_with("mysql://") { Self::Url(text.to_owned()) } else { Self::File(text.to_owned()) }
    }
}

/// Answers rows per second.
pub async fn run(target: &Target, rows_per_commit: usize, time: Duration) -> Result<f64> {
    let event = EntryEvent::Message { body: Some(Body::text(TEXT)), reply_to: None };
    let rows = Rows { next: 1, event: serde_json::to_vec(&event)? };
    match target {
        Target::File(path) => into_file(path, rows, rows_per_commit, time),
        Target::Url(url) => into_server(url, rows, rows_per_commit, time).await,
    }
}

struct Rows {
    next: i64,
    event: Vec<u8>,
}

/// All but `event`, which they share.
struct Row {
    conversation: i64,
    seq: i64,
    revision: i64,
    key: String,
    digest: [u8; 16],
}

impl Rows {
    fn take(&mut self, count: usize) -> Vec<Row> {
        let first = self.next;
        self.next += count as i64;
        (first..self.next).map(Row::of).collect()
    }
}

impl Row {
    fn of(number: i64) -> Self {
        let mut digest = [0; 16];
        digest[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64).to_le_bytes());
        let (conversation, seq) = (number % CONVERSATIONS + 1, number / CONVERSATIONS + 1);
        Self { conversation, seq, revision: number, key: format!("{conversation}-{seq}-{number}"), digest }
    }
}

fn statement(rows: usize) -> String {
    let row = format!("({})", ["?"; COLUMNS_COUNT].join(", "));
    format!("INSERT INTO entry ({COLUMNS}) VALUES {}", vec![row; rows].join(", "))
}

fn into_file(path: &str, mut rows: Rows, rows_per_commit: usize, time: Duration) -> Result<f64> {
    let connection = Connection::open(path).context("open the file")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let mut insert = connection.prepare(&statement(rows_per_commit))?;
    let start = Instant::now();
    let mut written = 0;
    while start.elapsed() < time {
        let some = rows.take(rows_per_commit);
        let values = some.iter().flat_map(|row| -> [&dyn rusqlite::ToSql; COLUMNS_COUNT] {
            let Row { conversation, seq, revision, key, digest } = row;
            [conversation, seq, &0, revision, seq, revision, conversation, key, digest, &0, &rusqlite::types::Null, &rows.event]
        });
        connection.execute_batch("BEGIN IMMEDIATE")?;
        insert.execute(params_from_iter(values))?;
        connection.execute_batch("COMMIT")?;
        written += some.len();
    }
    Ok(written as f64 / start.elapsed().as_secs_f64())
}

async fn into_server(url: &str, mut rows: Rows, rows_per_commit: usize, time: Duration) -> Result<f64> {
    let mut connection = MySqlConnection::connect(url).await.context("connect to the server")?;
    let statement: std::sync::Arc<str> = statement(rows_per_commit).into();
    let start = Instant::now();
    let mut written = 0;
    while start.elapsed() < time {
        let some = rows.take(rows_per_commit);
        let mut arguments = MySqlArguments::default();
        for row in &some {
            add(&mut arguments, row, &rows.event).map_err(|error| anyhow::anyhow!("{error}"))?;
        }
        // By itself: a commit of its own.
        connection.execute(sqlx::query_with(AssertSqlSafe(statement.clone()), arguments)).await?;
        written += some.len();
    }
    Ok(written as f64 / start.elapsed().as_secs_f64())
}

fn add(arguments: &mut MySqlArguments, row: &Row, event: &[u8]) -> Result<(), sqlx::error::BoxDynError> {
    for number in [row.conversation, row.seq, 0, row.revision, row.seq, row.revision, row.conversation] {
        arguments.add(number)?;
    }
    arguments.add(row.key.as_str())?;
    arguments.add(&row.digest[..])?;
    arguments.add(0_i64)?;
    arguments.add(None::<i64>)?;
    arguments.add(event)
}

#[cfg(test)]
mod tests {
    use super::{Target, run};
    use skein_testkit::seed::Seed;
    use std::time::Duration;

    #[tokio::test]
    async fn bare_inserts_go_into_the_tables_the_product_made() {
        let folder = tempfile::tempdir().unwrap();
        Seed::open(folder.path()).unwrap().close();
        let file = folder.path().join("skein.db").display().to_string();
        let rows_per_second = run(&Target::parse(&file), 7, Duration::from_millis(20)).await.unwrap();
        let connection = rusqlite::Connection::open(file).unwrap();
        let (rows, keys): (u32, u32) =
            connection.query_row("SELECT count(*), count(DISTINCT key) FROM entry", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert!(rows_per_second > 0.0 && rows > 0 && rows % 7 == 0, "{rows} rows");
        assert_eq!(rows, keys);
    }
}
