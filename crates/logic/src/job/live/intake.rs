//! From the log of transient pushes to their lanes, in `pipeline` mode.
//!
//! **Invariant:** pushes enter the lanes in the order in which they were taken.
//!
//! **Bound:** [`TAKEN_AT_ONCE`] are held beside the lanes. One that finds room in no lane waits for [`PATIENCE`], and all
//! behind it, which stay in the log; then it is dropped, counted in its receipt, and for [`IMPATIENCE`] whatever finds no
//! room is dropped at once: a lane that does not move holds others up for a small share of the time.

use super::LiveDispatch;
use skein_domain::live::LiveRecord;
use skein_domain::port::{LiveLog, LiveSource};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const TAKEN_AT_ONCE: usize = 512;
const PATIENCE: Duration = Duration::from_secs(1);
const IMPATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct LiveIntake {
    source: Arc<dyn LiveSource>,
    dispatch: LiveDispatch,
}

impl LiveIntake {
    pub(crate) fn new(source: Arc<dyn LiveSource>, dispatch: LiveDispatch) -> Self {
        Self { source, dispatch }
    }

    /// Until `shutdown`.
    #[tracing::instrument(name = "live_intake", skip_all)]
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.forever()).await;
    }

    async fn forever(&self) {
        let mut impatient_until = Instant::now();
        loop {
            match self.source.next(TAKEN_AT_ONCE).await {
                Ok(records) => {
                    // goim's have no id.
                    for of_one_push in records.chunk_by(|a, b| !a.push.is_empty() && a.push == b.push) {
                        if !self.hand_on(of_one_push, impatient_until).await {
                            impatient_until = Instant::now() + IMPATIENCE;
                        }
                    }
                }
                Err(error) => {
                    metrics::counter!("skein_intake_failures_total").increment(1);
                    tracing::warn!(%error, "log of pushes not read");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Whether they found room before patience ended.
    async fn hand_on(&self, records: &[LiveRecord], impatient_until: Instant) -> bool {
        let began = Instant::now();
        while self.dispatch.publish(records.to_vec()).await.is_err() {
            let now = Instant::now();
            if now < impatient_until {
                self.dispatch.give_up(records).await;
                return true;
            }
            if now >= began + PATIENCE {
                self.dispatch.give_up(records).await;
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        true
    }
}
