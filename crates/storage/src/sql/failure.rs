//! Why a statement or a command did not do what it should, and what its caller is told.
//!
//! **Invariant:** the engine's own words go to the log, never to a client.

use skein_domain::{Code, Error};

/// What ends a command: a refusal, which concerns it alone, or trouble below it.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Error),
    Engine(Trouble),
    /// A stored value does not read.
    Unreadable(String),
}

/// What an engine says went wrong, in its own words, and how the store takes it.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub gravity: Gravity,
    /// `timeout`, `storage_full`, `busy` or `unavailable`; anything else is told as `internal`.
    pub code: Code,
    pub reason: String,
}

pub(crate) type Outcome<T> = Result<T, Failure>;

/// What the writer must do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gravity {
    /// The command is refused alone.
    Command,
    /// The engine has rolled the whole transaction back, or will: nothing of it was written, and it may be run again.
    Again,
    /// No room: the batch is rolled back and the store goes on.
    Full,
    /// What is on disk is unknown.
    Fatal,
}

impl Failure {
    pub fn gravity(&self) -> Gravity {
        match self {
            Failure::Engine(trouble) => trouble.gravity,
            Failure::Refused(_) | Failure::Unreadable(_) => Gravity::Command,
        }
    }

    /// For the log.
    pub fn reason(&self) -> &str {
        match self {
            Failure::Refused(error) => &error.message,
            Failure::Engine(trouble) => &trouble.reason,
            Failure::Unreadable(what) => what,
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
            Failure::Engine(trouble) => match trouble.code {
                Code::Timeout => timeout(),
                Code::StorageFull => storage_full(),
                code => {
                    tracing::error!(reason = trouble.reason, "statement failed");
                    match code {
                        Code::Busy => busy(),
                        Code::Unavailable => unreachable(),
                        _ => Error::internal(),
                    }
                }
            },
        }
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

fn unreachable() -> Error {
    Error::new(Code::Unavailable, "the database cannot be reached").retry_after(1_000)
}
