//! A connection to MySQL or MariaDB, as the store's statements see it.
//!
//! The driver is async, the store's commands are not: each connection has a little runtime of its own, on which the thread
//! that uses it waits. No other thread has to be woken for an answer to arrive.
//!
//! **Invariant:** prepared statements only, but for the words that begin, mark and end transactions. A connection on which a
//! statement was given up is never used again, for an answer may still be under way.

use crate::sql::engine::{Column, Columns, Reader, Row, Sql, Statement, Value};
use crate::sql::failure::{Failure, Gravity, Outcome, Trouble};
use skein_domain::Code;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection, Decode, MySql, Row as _, Type, ValueRef};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const PING_PATIENCE: Duration = Duration::from_secs(2);
/// Texts differ in the number of rows they write, which is a power of two: there are fewer than this.
const STATEMENTS_CACHED: usize = 512;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

pub(super) struct Session {
    /// Taken out only by `drop`.
    runtime: Option<Runtime>,
    connection: RefCell<Option<MySqlConnection>>,
    translated: RefCell<HashMap<&'static str, Arc<Translated>>>,
    last_insert_id: Cell<i64>,
    deadline: Cell<Instant>,
}

impl Session {
    /// Must not be called on a thread of an async runtime, like everything here.
    pub fn connect(options: &MySqlConnectOptions, purpose: Purpose) -> Outcome<Self> {
        Self::log_in(options).map_err(failure)?.prepared(purpose)
    }

    /// A connection as the server gives it: to be [`Self::prepared`].
    pub fn log_in(options: &MySqlConnectOptions) -> Result<Self, sqlx::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let options = options.clone().statement_cache_capacity(STATEMENTS_CACHED);
        let connected = runtime.block_on(async { tokio::time::timeout(CONNECT_PATIENCE, options.connect()).await });
        // Dropped as a session, a runtime does not wait for the look-up of a name that goes on.
        let session = Self {
            runtime: Some(runtime),
            connection: RefCell::new(None),
            translated: RefCell::new(HashMap::new()),
            last_insert_id: Cell::new(0),
            deadline: Cell::new(Instant::now() + CONNECT_PATIENCE),
        };
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {CONNECT_PATIENCE:?}"));
        session.connection.replace(Some(connected.map_err(late)??));
        Ok(session)
    }

    pub fn prepared(self, purpose: Purpose) -> Outcome<Self> {
        // Nothing is cut to fit, and no other engine is taken, without an error.
        self.control("SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'")?;
        match purpose {
            Purpose::Read => {
                self.control("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")?;
                // The first statement opens the snapshot.
                self.control("SET SESSION autocommit = 0")?;
                // The server, too, gives up on what nobody waits for any more; each of the two has its own word for it.
                if self.control("SET SESSION max_statement_time = 6").is_err() {
                    self.control("SET SESSION max_execution_time = 6000")?;
                }
            }
            // A statement sees what was committed before it, so nothing older than the locks taken first.
            Purpose::Write => {
                self.control("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")?;
                self.control("SET SESSION innodb_lock_wait_timeout = 10")?;
                // A node that stands still in the middle of a transaction has the locks that all others need; MySQL has no
                // word for it.
                if let Err(error) = self.control("SET SESSION idle_transaction_timeout = 3") {
                    tracing::warn!(?error, "a node that stands still while it writes holds up the others until its connection ends");
                }
            }
        }
        Ok(self)
    }

    /// Statements from now on are given up after `limit`, all together.
    pub fn limit(&self, limit: Duration) {
        self.deadline.set(Instant::now() + limit);
    }

    pub fn is_broken(&self) -> bool {
        self.connection.borrow().is_none()
    }

    pub fn ping(&self) -> Outcome<()> {
        self.limit(PING_PATIENCE);
        self.wait(async |connection| connection.ping().await)
    }

    /// A statement that was put together, of constants: see [`super::batch`].
    pub fn execute_text(&self, text: &Arc<str>, values: &[Value<'_>]) -> Outcome<u64> {
        let arguments = bound(values.iter())?;
        let query = sqlx::query_with(AssertSqlSafe(text.clone()), arguments);
        let done = self.wait(async move |connection| query.execute(connection).await)?;
        self.last_insert_id.set(done.last_insert_id() as i64);
        Ok(done.rows_affected())
    }

    pub fn query_text(&self, text: &Arc<str>, values: &[Value<'_>]) -> Outcome<Vec<MySqlRow>> {
        self.fetch(text, bound(values.iter())?)
    }

    fn fetch(&self, text: &Arc<str>, arguments: MySqlArguments) -> Outcome<Vec<MySqlRow>> {
        let query = sqlx::query_with(AssertSqlSafe(text.clone()), arguments);
        self.wait(async move |connection| query.fetch_all(connection).await)
    }

    fn translated(&self, statement: Statement) -> Arc<Translated> {
        let mut known = self.translated.borrow_mut();
        known.entry(statement.mysql).or_insert_with(|| Arc::new(Translated::new(statement.mysql))).clone()
    }

    /// Runs `work` until it is done or the deadline has passed.
    fn wait<T>(&self, work: impl AsyncFnOnce(&mut MySqlConnection) -> Result<T, sqlx::Error>) -> Outcome<T> {
        let mut slot = self.connection.borrow_mut();
        let (Some(connection), Some(runtime)) = (slot.as_mut(), self.runtime.as_ref()) else {
            return Err(lost("the connection is closed".to_owned()));
        };
        let deadline = tokio::time::Instant::from_std(self.deadline.get());
        match runtime.block_on(async { tokio::time::timeout_at(deadline, work(connection)).await }) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if !matches!(error, sqlx::Error::Database(_)) {
                    *slot = None;
                }
                let failure = failure(error);
                if failure.gravity() == Gravity::Again && is_lost(&failure) {
                    *slot = None;
                }
                Err(failure)
            }
            Err(_) => {
                *slot = None;
                let reason = "a statement took too long".to_owned();
                Err(Failure::Engine(Trouble { gravity: Gravity::Command, code: Code::Timeout, reason }))
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.borrow_mut().take();
        if let Some(runtime) = self.runtime.take() {
            // Also where blocking is not allowed.
            runtime.shutdown_background();
        }
    }
}

impl Sql for Session {
    fn execute(&self, statement: Statement, values: &[Value<'_>]) -> Outcome<usize> {
        let translated = self.translated(statement);
        let arguments = bound(translated.order.iter().map(|at| &values[*at]))?;
        let query = sqlx::query_with(AssertSqlSafe(translated.text.clone()), arguments);
        let done = self.wait(async move |connection| query.execute(connection).await)?;
        self.last_insert_id.set(done.last_insert_id() as i64);
        Ok(done.rows_affected() as usize)
    }

    fn query(&self, statement: Statement, values: &[Value<'_>], each: &mut dyn FnMut(&Row<'_>) -> Outcome<bool>) -> Outcome<()> {
        let translated = self.translated(statement);
        let arguments = bound(translated.order.iter().map(|at| &values[*at]))?;
        for row in self.fetch(&translated.text, arguments)? {
            if !each(&Row(&row))? {
                break;
            }
        }
        Ok(())
    }

    fn control(&self, statement: &'static str) -> Outcome<()> {
        self.wait(async |connection| sqlx::raw_sql(statement).execute(connection).await).map(|_| ())
    }

    fn last_insert_id(&self) -> i64 {
        self.last_insert_id.get()
    }
}

impl Reader for Session {
    fn begin(&mut self, limit: Duration) -> Outcome<()> {
        self.limit(limit);
        Ok(())
    }

    fn sql(&self) -> &dyn Sql {
        self
    }

    fn end(&mut self) -> Outcome<()> {
        self.limit(PING_PATIENCE);
        self.control("COMMIT")
    }

    fn ping(&mut self) -> Outcome<()> {
        Session::ping(self)
    }
}

/// A statement with its parameters in the order in which they stand there, which is all this protocol knows.
struct Translated {
    text: Arc<str>,
    order: Vec<usize>,
}

impl Translated {
    fn new(numbered: &str) -> Self {
        let mut pieces = numbered.split('?');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        let mut order = Vec::new();
        for piece in pieces {
            let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
            let number: usize = piece[..digits].parse().unwrap_or(1);
            order.push(number - 1);
            text.push('?');
            text.push_str(&piece[digits..]);
        }
        Self { text: text.into(), order }
    }
}

fn bound<'v>(values: impl Iterator<Item = &'v Value<'v>>) -> Outcome<MySqlArguments> {
    let mut arguments = MySqlArguments::default();
    for value in values {
        let added = match *value {
            Value::Null => arguments.add(None::<i64>),
            Value::Int(int) => arguments.add(int),
            Value::Text(text) => arguments.add(text),
            Value::Blob(bytes) => arguments.add(bytes),
        };
        added.map_err(|error| Failure::Unreadable(error.to_string()))?;
    }
    Ok(arguments)
}

impl Columns for MySqlRow {
    fn column(&self, at: usize) -> Outcome<Column<'_>> {
        let wrong = |error: &dyn std::fmt::Display| Failure::Unreadable(format!("column {at}: {error}"));
        let value = self.try_get_raw(at).map_err(|error| wrong(&error))?;
        if value.is_null() {
            return Ok(Column::Null);
        }
        if <i64 as Type<MySql>>::compatible(&value.type_info()) {
            return <i64 as Decode<MySql>>::decode(value).map(Column::Int).map_err(|error| wrong(&error));
        }
        <&[u8] as Decode<MySql>>::decode(value).map(Column::Bytes).map_err(|error| wrong(&error))
    }
}

pub(super) fn lost(reason: String) -> Failure {
    Failure::Engine(Trouble { gravity: Gravity::Again, code: Code::Unavailable, reason })
}

fn is_lost(failure: &Failure) -> bool {
    matches!(failure, Failure::Engine(Trouble { code: Code::Unavailable, .. }))
}

pub(super) fn failure(error: sqlx::Error) -> Failure {
    let reason = error.to_string();
    let number = match &error {
        sqlx::Error::Database(database) => database.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(|error| error.number()),
        _ => return lost(reason),
    };
    let (gravity, code) = meaning(number.unwrap_or_default(), &reason);
    Failure::Engine(Trouble { gravity, code, reason })
}

/// How the engine quotes the system's ENOSPC.
const NO_ROOM: [&str; 3] = ["error 28", "errno: 28", "Errcode: 28"];

/// What the engine's errors mean to the store. Numbers are those of both MySQL and MariaDB.
fn meaning(number: u16, reason: &str) -> (Gravity, Code) {
    match number {
        // Deadlock; a lock that was waited for in vain. The writer rolls back and runs the batch again.
        1205 | 1213 => (Gravity::Again, Code::Busy),
        // Too many connections, of all or of this user.
        1040 | 1203 => (Gravity::Again, Code::Busy),
        // Shutting down, killed, read-only now (another server took over), no access any more.
        1044 | 1045 | 1053 | 1290 | 1317 | 1836 | 1927 | 3169 => (Gravity::Again, Code::Unavailable),
        // Disk or table full.
        20 | 1021 | 1114 => (Gravity::Full, Code::StorageFull),
        // A read or write that the system refused: also of a file a large transaction is put aside in.
        3 | 1026 | 1030 if NO_ROOM.iter().any(|words| reason.contains(words)) => (Gravity::Full, Code::StorageFull),
        // Slower than the engine allows a statement to be.
        1969 | 3024 => (Gravity::Command, Code::Timeout),
        _ => (Gravity::Command, Code::Internal),
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Gravity, Translated, meaning};

    #[test]
    fn a_full_disk_is_told_from_other_errors_of_files() {
        let full = (Gravity::Full, Code::StorageFull);
        assert_eq!(meaning(1114, "The table 'entry' is full"), full);
        assert_eq!(meaning(1026, "Error writing file '/tmp/ML8' (Errcode: 28 \"No space left on device\")"), full);
        assert_eq!(meaning(1030, "Got error 28 \"No space left on device\" from storage engine InnoDB"), full);
        assert_eq!(meaning(1026, "Error writing file './x' (Errcode: 5 \"Input/output error\")").0, Gravity::Command);
    }

    #[test]
    fn numbered_parameters_become_a_sequence() {
        let found = Translated::new("SELECT ?2 FROM t WHERE a = ?1 AND b IN (?10, ?2)");
        assert_eq!(&*found.text, "SELECT ? FROM t WHERE a = ? AND b IN (?, ?)");
        assert_eq!(found.order, [1, 0, 9, 1]);
        assert!(Translated::new("COMMIT").order.is_empty());
    }
}
