//! What all connections of a node have in common.

use super::hub::Hub;
use skein_domain::door::Logic;
use skein_domain::port::CometAddress;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(super) struct Shared {
    pub hub: Arc<Hub>,
    pub logic: Arc<dyn Logic>,
    pub address: CometAddress,
    /// Connections, and what they left to be done.
    pub tracker: TaskTracker,
    pub draining: CancellationToken,
}

impl Shared {
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Outside a runtime, when a process ends, there is nobody left to tell.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.tracker.spawn_on(task, &runtime);
        }
    }
}
