//! Hands commands to the writer, and gives their callers the answers.

use super::append::Draft;
use super::command::{AppendTask, Command, Task};
use super::failure::{Outcome, outcome_unknown};
use super::queue::Queue;
use super::transaction::Transaction;
use futures_util::future::BoxFuture;
use skein_domain::Result;
use skein_domain::port::Appended;
use std::sync::Arc;
use tokio::sync::oneshot;

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
        self.queue(|caller| Box::new(Task::new(bytes, work, caller)))
    }

    pub fn append(&self, draft: Draft) -> BoxFuture<'static, Result<Appended>> {
        self.queue(|caller| Box::new(AppendTask::new(draft, caller)))
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
