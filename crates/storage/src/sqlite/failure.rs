//! Why a statement or a command did not do what it should, and what its caller is told.
//!
//! **Invariant:** the engine's own words go to the log, never to a client.

use rusqlite::ErrorCode;
use skein_domain::{Code, Error};

/// What ends a command: a refusal, which concerns it alone, or trouble below it.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Error),
    Engine(rusqlite::Error),
    /// A stored value does not read.
    Unreadable(String),
}

pub(crate) type Outcome<T> = Result<T, Failure>;

/// What the writer must do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gravity {
    /// The command is refused alone.
    Command,
    /// No room: the batch is rolled back and the store goes on.
    Full,
    /// What is on disk is unknown: the process must end.
    Fatal,
}

impl Failure {
    pub fn gravity(&self) -> Gravity {
        match self {
            Failure::Engine(error) => gravity(error),
            Failure::Refused(_) | Failure::Unreadable(_) => Gravity::Command,
        }
    }

    /// The answer of a command or read that failed. Logs what is not the caller's doing.
    pub fn answer(self) -> Error {
        match self {
            Failure::Refused(error) => error,
            Failure::Unreadable(what) => {
                tracing::error!(what, "stored value does not read");
                Error::internal()
            }
            Failure::Engine(error) => match error.sqlite_error_code() {
                Some(ErrorCode::OperationInterrupted) => timeout(),
                Some(ErrorCode::DiskFull) => storage_full(),
                _ => {
                    tracing::error!(%error, "statement failed");
                    Error::internal()
                }
            },
        }
    }
}

pub(crate) fn gravity(error: &rusqlite::Error) -> Gravity {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Gravity::Full,
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Gravity::Fatal,
        _ => Gravity::Command,
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Engine(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Refused(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Failure::Unreadable(error.to_string())
    }
}

pub(crate) fn refuse<T>(code: Code, message: &'static str) -> Outcome<T> {
    Err(Failure::Refused(Error::new(code, message)))
}

pub(crate) fn not_found<T>(message: &'static str) -> Outcome<T> {
    refuse(Code::NotFound, message)
}

pub(crate) fn busy() -> Error {
    Error::new(Code::Busy, "the store has too much to do").retry_after(1_000)
}

pub(crate) fn timeout() -> Error {
    Error::new(Code::Timeout, "the read took too long").retry_after(1_000)
}

pub(crate) fn storage_full() -> Error {
    Error::new(Code::StorageFull, "the disk is full; nothing was stored")
}

pub(crate) fn outcome_unknown() -> Error {
    Error::new(Code::RetrySameKey, "the outcome is unknown; try again with the same key")
}

pub(crate) fn closed() -> Error {
    Error::new(Code::Unavailable, "the store is closed")
}
