//! What runs in a node: components by name, and the two tokens that end them.
//!
//! **Invariant:** a component that fails, or ends by itself, is told of by [`Components::failed`].
//!
//! Bound: ending waits [`END_BOUND`] for all of them.

use anyhow::{Context, Error, Result, anyhow};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const END_BOUND: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Components {
    /// Doors to the outside: cancelled first.
    pub edges: CancellationToken,
    /// What works behind them: cancelled when the edges are done.
    pub core: CancellationToken,
    tasks: Mutex<JoinSet<Result<&'static str>>>,
}

impl Components {
    pub fn run(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.try_run(name, async move {
            work.await;
            Ok(())
        });
    }

    pub fn try_run(&mut self, name: &'static str, work: impl Future<Output = Result<()>> + Send + 'static) {
        let work = async move { work.await.with_context(|| format!("component {name}")).map(|()| name) };
        self.tasks.get_mut().spawn(work);
    }

    /// Resolves when a component ended by itself.
    pub async fn failed(&self) -> Error {
        match self.tasks.lock().await.join_next().await {
            Some(Ok(Ok(name))) => anyhow!("component {name} ended"),
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => anyhow!("a component failed: {error}"),
            None => anyhow!("nothing runs"),
        }
    }

    pub async fn end(self) {
        self.core.cancel();
        let mut tasks = self.tasks.into_inner();
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(END_BOUND, ended).await.is_err() {
            tracing::warn!("a component did not end in time");
        }
    }
}
