//! Commands on their way to the writer: what it runs, and what their callers wait for.
//!
//! **Invariant:** a command may run more than once, each time in a transaction in which it has not run before; only the
//! last result counts.

use super::append::{self, Draft};
use super::failure::{Failure, Gravity, Outcome};
use super::transaction::Transaction;
use skein_domain::port::Appended;
use skein_domain::{Error, Result};
use std::panic::AssertUnwindSafe;
use tokio::sync::oneshot;

/// A command waiting for its turn, whatever it answers.
pub(crate) trait Command: Send {
    fn bytes(&self) -> usize;
    /// Runs under a savepoint; keeps its result. `Err` says how grave the failure was, and why.
    fn run(&mut self, transaction: &mut Transaction<'_>) -> std::result::Result<(), (Gravity, String)>;
    /// Tells the caller what `run` kept.
    fn answer(&mut self);
    fn refuse(&mut self, error: Error);
    /// For engines that write many entries at once.
    #[cfg(feature = "mysql")]
    fn as_append(&mut self) -> Option<&mut AppendTask> {
        None
    }
}

/// What a command answered last, and who waits for it.
struct Answer<T> {
    result: Option<Result<T>>,
    caller: Option<oneshot::Sender<Result<T>>>,
}

impl<T> Answer<T> {
    fn to(caller: oneshot::Sender<Result<T>>) -> Self {
        Self { result: None, caller: Some(caller) }
    }

    fn give(&mut self) {
        if let (Some(caller), Some(result)) = (self.caller.take(), self.result.take()) {
            // A caller that went away does not want to know.
            let _ = caller.send(result);
        }
    }

    fn refuse(&mut self, error: Error) {
        self.result = Some(Err(error));
        self.give();
    }
}

pub(crate) struct Task<T, F> {
    bytes: usize,
    work: F,
    answer: Answer<T>,
}

impl<T, F> Task<T, F> {
    pub fn new(bytes: usize, work: F, caller: oneshot::Sender<Result<T>>) -> Self {
        Self { bytes, work, answer: Answer::to(caller) }
    }
}

impl<T, F> Command for Task<T, F>
where
    T: Send,
    F: FnMut(&mut Transaction<'_>) -> Outcome<T> + Send,
{
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn run(&mut self, transaction: &mut Transaction<'_>) -> std::result::Result<(), (Gravity, String)> {
        let (result, failed) = run_caught(|| (self.work)(transaction));
        self.answer.result = Some(result);
        failed
    }

    fn answer(&mut self) {
        self.answer.give();
    }

    fn refuse(&mut self, error: Error) {
        self.answer.refuse(error);
    }
}

/// The most frequent command, told apart from the others.
pub(crate) struct AppendTask {
    pub draft: Draft,
    answer: Answer<Appended>,
}

impl AppendTask {
    pub fn new(draft: Draft, caller: oneshot::Sender<Result<Appended>>) -> Self {
        Self { draft, answer: Answer::to(caller) }
    }

    /// What became of it, run along with others.
    #[cfg(feature = "mysql")]
    pub fn settle(&mut self, result: Result<Appended>) {
        self.answer.result = Some(result);
    }
}

impl Command for AppendTask {
    fn bytes(&self) -> usize {
        self.draft.bytes()
    }

    fn run(&mut self, transaction: &mut Transaction<'_>) -> std::result::Result<(), (Gravity, String)> {
        let (result, failed) = run_caught(|| append::append(transaction, &self.draft));
        self.answer.result = Some(result);
        failed
    }

    fn answer(&mut self) {
        self.answer.give();
    }

    fn refuse(&mut self, error: Error) {
        self.answer.refuse(error);
    }

    #[cfg(feature = "mysql")]
    fn as_append(&mut self) -> Option<&mut AppendTask> {
        Some(self)
    }
}

/// Nothing of a command survives its panic: its savepoint is rolled back.
fn run_caught<T>(work: impl FnOnce() -> Outcome<T>) -> (Result<T>, std::result::Result<(), (Gravity, String)>) {
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        tracing::error!("command panicked in the writer");
        Err(Failure::Refused(Error::internal()))
    });
    match outcome {
        Ok(value) => (Ok(value), Ok(())),
        Err(failure) => {
            let failed = (failure.gravity(), failure.reason().to_owned());
            (Err(failure.answer()), Err(failed))
        }
    }
}
