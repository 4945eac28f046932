//! Commands on their way to the writer: what it runs, and what their callers wait for.
//!
//! **Invariant:** a command may run more than once, each time in a transaction in which it has not run before; only the
//! last result counts.

use super::append::{self, Draft};
use super::failure::{Failure, Gravity, Outcome, outcome_unknown};
use super::queue::Queue;
use super::transaction::Transaction;
use futures_util::future::BoxFuture;
use skein_domain::port::Appended;
use skein_domain::{Error, Result};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
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

struct Task<T, F> {
    bytes: usize,
    work: F,
    result: Option<Result<T>>,
    caller: Option<oneshot::Sender<Result<T>>>,
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
        self.result = Some(result);
        failed
    }

    fn answer(&mut self) {
        if let (Some(caller), Some(result)) = (self.caller.take(), self.result.take()) {
            // A caller that went away does not want to know.
            let _ = caller.send(result);
        }
    }

    fn refuse(&mut self, error: Error) {
        self.result = Some(Err(error));
        self.answer();
    }
}

/// The most frequent command, told apart from the others.
pub(crate) struct AppendTask {
    pub draft: Draft,
    result: Option<Result<Appended>>,
    caller: Option<oneshot::Sender<Result<Appended>>>,
}

impl AppendTask {
    /// What became of it, run along with others.
    #[cfg(feature = "mysql")]
    pub fn settle(&mut self, result: Result<Appended>) {
        self.result = Some(result);
    }
}

impl Command for AppendTask {
    fn bytes(&self) -> usize {
        self.draft.bytes()
    }

    fn run(&mut self, transaction: &mut Transaction<'_>) -> std::result::Result<(), (Gravity, String)> {
        let (result, failed) = run_caught(|| append::append(transaction, &self.draft));
        self.result = Some(result);
        failed
    }

    fn answer(&mut self) {
        if let (Some(caller), Some(result)) = (self.caller.take(), self.result.take()) {
            let _ = caller.send(result);
        }
    }

    fn refuse(&mut self, error: Error) {
        self.result = Some(Err(error));
        self.answer();
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

/// Hands commands to the writer.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: Arc<Queue>,
}

impl Writer {
    pub fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }

    /// Queued by the time this returns. At the bound of the queue the answer is `busy`, after [`Self::close`]
    /// `unavailable`, both at once; if the process ends under way nobody is left to ask.
    pub fn submit<T, F>(&self, bytes: usize, work: F) -> BoxFuture<'static, Result<T>>
    where
        T: Send + 'static,
        F: FnMut(&mut Transaction<'_>) -> Outcome<T> + Send + 'static,
    {
        self.queue(|caller| Box::new(Task { bytes, work, result: None, caller: Some(caller) }))
    }

    pub fn append(&self, draft: Draft) -> BoxFuture<'static, Result<Appended>> {
        self.queue(|caller| Box::new(AppendTask { draft, result: None, caller: Some(caller) }))
    }

    fn queue<T: Send + 'static>(&self, make: impl FnOnce(oneshot::Sender<Result<T>>) -> Box<dyn Command>) -> BoxFuture<'static, Result<T>> {
        let (caller, answer) = oneshot::channel();
        let queued = self.queue.push(make(caller));
        Box::pin(async move {
            queued?;
            answer.await.unwrap_or_else(|_| Err(outcome_unknown()))
        })
    }

    pub fn close(&self) {
        self.queue.close();
    }
}
