//! Pushes that wait for their time, and fire.
//!
//! **Invariant:** a waiting push is on disk until it has fired, expired or failed, so it survives a restart. One that is kept fires
//! once in effect, by its entries' keys. One that is not kept is taken off the disk after it was handed on: were the
//! process to end in between, who is connected then gets it (a second time, if they were connected before).
//!
//! **Several nodes** on one store find the same pushes due. Whoever fires one puts it off before, by [`TAKEN`]: so the others
//! leave it alone, and one of them has it then if this node has died with it.
//!
//! Bounds: [`AT_ONCE`] pushes in one round, urgent ones first. One that cannot go now (`busy`, the disk is full) is put off, first by
//! [`PAUSE_MIN`] and up to [`PAUSE_MAX`], so that others pass it, and after [`GIVE_UP`] of that it has failed. A store that
//! does not answer is asked again every [`RETRY`]. Clock and store are looked at every [`LOOK`] at least, in case somebody sets
//! the one, or another node, which has died since, has put something sooner into the other.

use super::durable::{Durable, Keep};
use super::transient::{Accepted, Transient, receipt};
use skein_domain::id::{Millis, Uid};
use skein_domain::live::{PushId, PushRequest, PushState, Receipt};
use skein_domain::port::{Clock, PushStore, ReceiptStore, ScheduledPush};
use skein_domain::{Code, Error, Result};
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const AT_ONCE: u32 = 100;
const PAUSE_MIN: i64 = 1_000;
const PAUSE_MAX: i64 = 60_000;
/// Longer than firing one takes.
const TAKEN: i64 = 30_000;
const GIVE_UP: i64 = 24 * 60 * 60 * 1_000;
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
        let started = self.clock.now();
        shutdown.run_until_cancelled(self.forever(started)).await;
    }

    async fn forever(&self, started: Millis) {
        loop {
            let outcome = match self.store.next_due().await {
                Ok(due) if due.is_none_or(|due| due > self.clock.now()) => {
                    self.wait(due).await;
                    Ok(())
                }
                Ok(_) => self.fire_due(started).await,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                tracing::warn!(%error, "waiting pushes neither read nor written");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Until then, or until it is time to look, or another one is added, which may be due before.
    async fn wait(&self, due: Option<Millis>) {
        let left = due.and_then(|due| u64::try_from(due.0 - self.clock.now().0).ok()).map_or(LOOK, Duration::from_millis);
        tokio::select! {
            () = self.added.notified() => {}
            () = tokio::time::sleep(left.min(LOOK)) => {}
        }
    }

    async fn fire_due(&self, started: Millis) -> Result<()> {
        let mut due = self.store.due(self.clock.now(), AT_ONCE).await?;
        due.sort_by_key(|push| Reverse(push.request.priority));
        for push in due {
            let until = self.clock.now().plus(TAKEN);
            if self.store.put_off(&push.push, push.due, until).await? {
                let tried_since = push.request.not_before.unwrap_or(push.due).max(started);
                self.settle(push, until, tried_since).await?;
            }
        }
        Ok(())
    }

    /// `Err`: the store does not answer.
    async fn settle(&self, scheduled: ScheduledPush, taken: Millis, tried_since: Millis) -> Result<()> {
        let (push, app) = (scheduled.push.clone(), scheduled.app);
        let tried = self.clock.now().0 - tried_since.0;
        let outcome = match self.fire(scheduled).await {
            Err(error) if tried >= GIVE_UP || !may_pass(error.code) => Ok(self.give_up(&push, app, error).await),
            outcome => outcome,
        };
        let outcome = match outcome {
            Ok(outcome) => {
                self.store.unschedule(&push).await?;
                outcome
            }
            Err(error) => {
                tracing::warn!(%error, push, "a due push has to wait");
                self.store.put_off(&push, taken, self.clock.now().plus(tried.clamp(PAUSE_MIN, PAUSE_MAX))).await?;
                "put_off"
            }
        };
        metrics::counter!("skein_push_scheduled_total", "outcome" => outcome).increment(1);
        Ok(())
    }

    async fn give_up(&self, push: &PushId, app: Uid, error: Error) -> &'static str {
        tracing::warn!(%error, push, "a due push is given up");
        note(&*self.receipts, receipt(push.clone(), app, PushState::Failed, self.clock.now())).await;
        "given_up"
    }

    async fn fire(&self, scheduled: ScheduledPush) -> Result<&'static str> {
        let ScheduledPush { push, app, request, expires, .. } = scheduled;
        let at = self.clock.now();
        if expires.is_some_and(|expires| expires <= at) {
            note(&*self.receipts, receipt(push, app, PushState::Expired, at)).await;
            return Ok("expired");
        }
        let is_repeated = match request.durable {
            true => {
                let keep = Keep { push: &push, app, message: &request.message, at };
                self.durable.keep(keep, &request.target).await?.repeated
            }
            false => false,
        };
        let PushRequest { target, message, priority, durable, .. } = request;
        let accepted = Accepted { push: push.clone(), app, target, message, expires, priority };
        if durable {
            announce(&self.transient, accepted, is_repeated).await;
        } else {
            self.transient.publish(accepted).await?;
        }
        Ok("fired")
    }
}

/// A push that has just been kept: those in its live room get it now; those it was kept for, by their conversations.
pub(super) async fn announce(transient: &Transient, accepted: Accepted, is_repeated: bool) {
    use skein_domain::live::PushTarget::Room;
    if matches!(accepted.target, Room(_)) && !is_repeated {
        if let Err(error) = transient.publish(accepted).await {
            tracing::info!(%error, "a push that is kept was not told to its live room");
        }
        return;
    }
    let at = transient.clock.now();
    note(&*transient.receipts, receipt(accepted.push, accepted.app, PushState::Delivered, at)).await;
}

/// Of a push that is on disk: losing this loses what can be told of it, and to fail would have its caller push it again.
pub(super) async fn note(receipts: &dyn ReceiptStore, receipt: Receipt) {
    if let Err(error) = receipts.put(receipt).await {
        tracing::warn!(%error, "receipt not written");
    }
}

/// Whether the same may go well later.
pub(super) fn may_pass(code: Code) -> bool {
    use Code::*;
    matches!(code, Busy | StorageFull | Unavailable | Timeout | RetrySameKey | Internal)
}
