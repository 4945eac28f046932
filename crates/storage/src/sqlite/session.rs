//! A connection to the file, as the store's statements see it.

use crate::sql::engine::{Column, Columns, OpenReader, Reader, Row, Sql, Statement, Value};
use crate::sql::failure::{Failure, Gravity, Outcome, Trouble};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, params_from_iter};
use skein_domain::Code;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Steps of SQLite's machine between two looks at the clock: about a tenth of a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

impl Sql for Connection {
    fn execute(&self, statement: Statement, values: &[Value<'_>]) -> Outcome<usize> {
        Ok(self.prepare_cached(statement.sqlite)?.execute(params_from_iter(values))?)
    }

    fn query(&self, statement: Statement, values: &[Value<'_>], each: &mut dyn FnMut(&Row<'_>) -> Outcome<bool>) -> Outcome<()> {
        let mut prepared = self.prepare_cached(statement.sqlite)?;
        let mut rows = prepared.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            if !each(&Row(row))? {
                break;
            }
        }
        Ok(())
    }

    fn control(&self, statement: &'static str) -> Outcome<()> {
        self.prepare_cached(statement)?.execute([])?;
        Ok(())
    }

    fn last_insert_id(&self) -> i64 {
        self.last_insert_rowid()
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(int) => ValueRef::Integer(*int),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl Columns for rusqlite::Row<'_> {
    fn column(&self, at: usize) -> Outcome<Column<'_>> {
        Ok(match self.get_ref(at)? {
            ValueRef::Null => Column::Null,
            ValueRef::Integer(int) => Column::Int(int),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Column::Bytes(bytes),
            ValueRef::Real(_) => return Err(crate::sql::engine::unreadable(at, "a fraction")),
        })
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        let (gravity, code) = match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => (Gravity::Command, Code::Timeout),
            // Somebody else has the file, and nothing was begun.
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (Gravity::Again, Code::Busy),
            Some(ErrorCode::DiskFull) => (Gravity::Full, Code::StorageFull),
            Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (Gravity::Fatal, Code::Internal),
            _ => (Gravity::Command, Code::Internal),
        };
        Failure::Engine(Trouble { gravity, code, reason: error.to_string() })
    }
}

/// Opens read-only connections to the file.
pub(super) struct OpenFile {
    database: PathBuf,
    started: Instant,
}

impl OpenFile {
    pub fn new(database: PathBuf) -> Self {
        Self { database, started: Instant::now() }
    }
}

impl OpenReader for OpenFile {
    fn open(&self) -> Outcome<Box<dyn Reader>> {
        let mut connection = super::connect(&self.database, super::Access::Read)?;
        let deadline_ms = Arc::new(AtomicU64::new(u64::MAX));
        let (deadline, started) = (deadline_ms.clone(), self.started);
        let is_late = move || started.elapsed().as_millis() as u64 > deadline.load(Ordering::Relaxed);
        connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(is_late))?;
        Ok(Box::new(FileReader { connection, deadline_ms, started }))
    }
}

struct FileReader {
    connection: Connection,
    /// Milliseconds after `started` at which the read under way is to end.
    deadline_ms: Arc<AtomicU64>,
    started: Instant,
}

impl Reader for FileReader {
    fn begin(&mut self, limit: Duration) -> Outcome<()> {
        self.deadline_ms.store((self.started.elapsed() + limit).as_millis() as u64, Ordering::Relaxed);
        self.connection.control("BEGIN")
    }

    fn sql(&self) -> &dyn Sql {
        &self.connection
    }

    fn end(&mut self) -> Outcome<()> {
        self.deadline_ms.store(u64::MAX, Ordering::Relaxed);
        self.connection.control("COMMIT")
    }

    /// A file does not go away.
    fn ping(&mut self) -> Outcome<()> {
        Ok(())
    }
}
