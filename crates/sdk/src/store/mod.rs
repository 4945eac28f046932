//! What this device keeps: account, sync cursor, conversations, messages and the outbox, in one SQLite file.
//!
//! One thread owns the database; calls queue up to it. Reading works without a network; writing the log is the session's.
//!
//! **Invariant:** entries, the position they move to and the echoes they settle are written in one transaction, and a
//! sync cursor only together with its page: after a crash nothing is missing and nothing is doubled.
//!
//! **Invariant:** the file is readable by its owner only (it holds the session's token), and opened by one process.
//!
//! Bound: [`CALLS_MAX`] calls wait, further ones wait for room.

mod log;
mod outbox;
mod schema;
mod view;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use skein_protocol::v1;
use tokio::sync::{mpsc, oneshot};

pub(crate) use log::{Advance, Page, Settled};
pub use view::{Echo, EchoState, Item, TimelineView};

use crate::error::Error;
use crate::gate::Account;

const CALLS_MAX: usize = 256;
/// A client of the same process that is just closing holds the file for a moment.
const BUSY_WAIT: Duration = Duration::from_secs(2);

type Call = Box<dyn FnOnce(&mut Connection) + Send>;
type Rows<T> = rusqlite::Result<T>;

/// Clone freely; the file is closed when the last clone is gone.
#[derive(Clone)]
pub(crate) struct Store {
    calls: mpsc::Sender<Call>,
}

/// Where the last sync ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub epoch: u64,
    pub cursor: String,
}

/// A window on disk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    pub conversation: i64,
    pub from: i64,
    pub position: i64,
    pub kind: v1::ConversationKind,
}

impl Store {
    /// Without a path everything is kept in memory only.
    pub async fn open(path: Option<PathBuf>) -> Result<Self, Error> {
        let (calls, mut queue) = mpsc::channel::<Call>(CALLS_MAX);
        let (opened, result) = oneshot::channel();
        let run = move || match connect(path.as_deref()) {
            Err(error) => drop(opened.send(Err(error))),
            Ok(mut connection) => {
                drop(opened.send(Ok(())));
                while let Some(call) = queue.blocking_recv() {
                    call(&mut connection);
                }
            }
        };
        std::thread::Builder::new().name("skein-store".to_owned()).spawn(run).map_err(|error| Error::Store(error.to_string()))?;
        result.await.map_err(|_| Error::Store("store thread ended".to_owned()))??;
        Ok(Self { calls })
    }

    /// Runs `work` in a transaction.
    async fn call<T: Send + 'static>(&self, work: impl FnOnce(&rusqlite::Transaction<'_>) -> Rows<T> + Send + 'static) -> Result<T, Error> {
        let (told, result) = oneshot::channel();
        let call: Call = Box::new(move |connection| {
            let outcome = connection.transaction().and_then(|transaction| {
                let value = work(&transaction)?;
                transaction.commit()?;
                Ok(value)
            });
            drop(told.send(outcome));
        });
        self.calls.send(call).await.map_err(|_| ended())?;
        Ok(result.await.map_err(|_| ended())??)
    }

    pub async fn account(&self) -> Result<Option<Account>, Error> {
        self.call(|db| read_json(db, "account")).await
    }

    pub async fn save_account(&self, account: &Account) -> Result<(), Error> {
        let account = account.clone();
        self.call(move |db| write_json(db, "account", &account)).await
    }

    /// Everything of this account, messages that wait to be sent included.
    pub async fn wipe(&self) -> Result<(), Error> {
        self.call(|db| db.execute_batch(schema::WIPE)).await
    }

    pub async fn place(&self) -> Result<Place, Error> {
        self.call(|db| Ok(read_json(db, "place")?.unwrap_or_default())).await
    }

    pub async fn windows(&self) -> Result<Vec<Window>, Error> {
        self.call(|db| {
            let mut statement = db.prepare_cached("SELECT info, first, position, read_count FROM conversation")?;
            let records = statement.query_map([], log::Record::of_row)?;
            records.map(|record| record.map(|record| record.window())).collect()
        })
        .await
    }

    /// Names of people, so that history can be read without a network.
    pub async fn learn_people(&self, people: Vec<Person>) -> Result<(), Error> {
        self.call(move |db| people.iter().try_for_each(|person| learn_person(db, person))).await
    }

    pub async fn person(&self, uid: i64) -> Result<Option<Person>, Error> {
        self.call(move |db| {
            let sql = "SELECT uid, nickname, remark FROM person WHERE uid = ?1";
            db.query_row(sql, [uid], |row| Ok(Person { uid: row.get(0)?, nickname: row.get(1)?, remark: row.get(2)? })).optional()
        })
        .await
    }
}

/// What is kept of a user: enough to show a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub uid: i64,
    pub nickname: String,
    /// My own name for them; `None` where it is not known.
    pub remark: Option<String>,
}

impl Person {
    /// The remark if there is one, else the nickname.
    pub fn name(&self) -> &str {
        match self.remark.as_deref() {
            None | Some("") => &self.nickname,
            Some(remark) => remark,
        }
    }
}

impl From<&v1::Profile> for Person {
    fn from(profile: &v1::Profile) -> Self {
        Self { uid: profile.uid, nickname: profile.nickname.clone(), remark: None }
    }
}

impl From<&v1::Friend> for Person {
    fn from(friend: &v1::Friend) -> Self {
        Self { uid: friend.uid, nickname: friend.nickname.clone(), remark: Some(friend.remark.clone()) }
    }
}

impl From<&v1::Member> for Person {
    fn from(member: &v1::Member) -> Self {
        Self { uid: member.uid, nickname: member.nickname.clone(), remark: None }
    }
}

fn learn_person(db: &Connection, person: &Person) -> Rows<()> {
    let sql = "INSERT INTO person (uid, nickname, remark) VALUES (?1, ?2, ?3)
        ON CONFLICT (uid) DO UPDATE SET nickname = excluded.nickname, remark = coalesce(excluded.remark, remark)";
    db.prepare_cached(sql)?.execute(params![person.uid, person.nickname, person.remark]).map(drop)
}

fn connect(path: Option<&Path>) -> Result<Connection, Error> {
    let connection = match path {
        None => Connection::open_in_memory()?,
        Some(path) => {
            create_private(path).map_err(|error| Error::Store(format!("create {}: {error}", path.display())))?;
            Connection::open(path)?
        }
    };
    connection.busy_timeout(BUSY_WAIT)?;
    schema::prepare(&connection)?;
    Ok(connection)
}

/// SQLite gives its side files the mode of the main one.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        let file = options.mode(0o600).open(path)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))
    }
    #[cfg(not(unix))]
    options.open(path).map(drop)
}

fn read_json<T: serde::de::DeserializeOwned>(db: &Connection, name: &str) -> Rows<Option<T>> {
    let text: Option<String> = db.query_row("SELECT value FROM fact WHERE name = ?1", [name], |row| row.get(0)).optional()?;
    text.map(|text| serde_json::from_str(&text).map_err(damaged)).transpose()
}

fn write_json<T: Serialize>(db: &Connection, name: &str, value: &T) -> Rows<()> {
    let text = serde_json::to_string(value).map_err(damaged)?;
    db.execute("INSERT OR REPLACE INTO fact (name, value) VALUES (?1, ?2)", params![name, text]).map(drop)
}

fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(error))
}

fn ended() -> Error {
    Error::Store("store thread ended".to_owned())
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Error::StoreInUse,
            _ => Error::Store(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
