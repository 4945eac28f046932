//! Pushes that wait for their time, and fire.
//!
//! **Invariant:** a waiting push is on disk until it has fired, expired or failed, so it survives a restart. One that is kept fires
//! once in effect, by its entries' keys. One that is not kept is taken off the disk after it was handed on: were the
//! process to end in between, who is connected then gets it (a second time, if they were connected before).
//!
//! Bounds: [`AT_ONCE`] pushes in one round; one that cannot go now (`busy`, the disk is full) is tried again every
//! [`RETRY`], beside the others. The clock is looked at every [`LOOK`] at least, in case somebody sets it.

use super::durable::{Durable, Keep};
use super::transient::{Accepted, Transient, receipt};
use skein_domain::id::Millis;
use skein_domain::live::PushState;
use skein_domain::port::{Clock, PushStore, ReceiptStore, ScheduledPush};
use skein_domain::{Code, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const AT_ONCE: u32 = 100;
const RETRY: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(crate) struct Schedule {
    pub store: Arc<dyn PushStore>,
    pub receipts: Arc<dyn ReceiptStore>,
    pub durable: Durable,
    pub transient: Transient,
    pub clock: Arc<dyn Clock>,
    pub added: Arc<Notify>,
}

impl Schedule {
    /// Until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.forever()).await;
    }

    async fn forever(&self) {
        loop {
            match self.store.next_due().await {
                Ok(None) => self.added.notified().await,
                Ok(Some(due)) if due > self.clock.now() => self.wait(due).await,
                Ok(Some(_)) => {
                    if !self.fire_due().await {
                        tokio::time::sleep(RETRY).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "waiting pushes not read");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Until then, or until another one is added, which may be due before.
    async fn wait(&self, due: Millis) {
        loop {
            let left = u64::try_from(due.0 - self.clock.now().0).unwrap_or(0);
            if left == 0 {
                return;
            }
            tokio::select! {
                () = self.added.notified() => return,
                () = tokio::time::sleep(Duration::from_millis(left).min(LOOK)) => {}
            }
        }
    }

    /// Answers whether none of them has to be tried again.
    async fn fire_due(&self) -> bool {
        let due = match self.store.due(self.clock.now(), AT_ONCE).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "due pushes not read");
                return false;
            }
        };
        let mut all_done = true;
        for push in due {
            let id = push.push.clone();
            if let Err(error) = self.settle(push).await {
                tracing::warn!(%error, push = id, "a due push has to wait");
                all_done = false;
            }
        }
        all_done
    }

    /// `Err`: to be tried again.
    async fn settle(&self, scheduled: ScheduledPush) -> Result<()> {
        let (push, app) = (scheduled.push.clone(), scheduled.app);
        let outcome = match self.fire(scheduled).await {
            Ok(outcome) => outcome,
            Err(error) if may_pass(error.code) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, push, "a due push is given up");
                self.receipts.put(receipt(push.clone(), app, PushState::Failed, self.clock.now())).await?;
                "given_up"
            }
        };
        self.store.unschedule(&push).await?;
        metrics::counter!("skein_push_scheduled_total", "outcome" => outcome).increment(1);
        Ok(())
    }

    async fn fire(&self, scheduled: ScheduledPush) -> Result<&'static str> {
        let ScheduledPush { push, app, request, expires, .. } = scheduled;
        let at = self.clock.now();
        if expires.is_some_and(|expires| expires <= at) {
            self.receipts.put(receipt(push, app, PushState::Expired, at)).await?;
            return Ok("expired");
        }
        let is_repeated = match request.durable {
            true => {
                let keep = Keep { push: &push, app, message: &request.message, at };
                self.durable.keep(keep, &request.target).await?.repeated
            }
            false => false,
        };
        let accepted = Accepted { push: push.clone(), app, target: request.target, message: request.message, expires };
        if request.durable {
            announce(&self.transient, accepted, is_repeated).await?;
        } else {
            self.transient.publish(accepted).await?;
        }
        Ok("fired")
    }
}

/// A push that has just been kept: those in its live room get it now; those it was kept for, by their conversations.
pub(super) async fn announce(transient: &Transient, accepted: Accepted, is_repeated: bool) -> Result<()> {
    use skein_domain::live::PushTarget::Room;
    if matches!(accepted.target, Room(_)) && !is_repeated {
        if let Err(error) = transient.publish(accepted).await {
            tracing::info!(%error, "a push that is kept was not told to its live room");
        }
        return Ok(());
    }
    let at = transient.clock.now();
    transient.receipts.put(receipt(accepted.push, accepted.app, PushState::Delivered, at)).await
}

/// Whether the same may go well later.
pub(super) fn may_pass(code: Code) -> bool {
    use Code::*;
    matches!(code, Busy | StorageFull | Unavailable | Timeout | RetrySameKey | Internal)
}
