//! The thread that looks after idle connections: servers and the boxes between drop what has been silent for long.
//!
//! A MySQL server closes a connection that was idle for `wait_timeout` (eight hours unless set), a container network often
//! after minutes, a restart at once; the driver does not reconnect by itself. So each idle connection is pinged every
//! period and replaced if it is dead; and a read that has one for too long is named.

use crate::MySqlConfig;
use crate::sql::readers::Readers;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// A read ends by itself before; one that has not is stuck outside the database.
const OVERDUE: Duration = Duration::from_secs(10);

pub(super) struct Keeper {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Keeper {
    pub fn start(pools: Vec<Readers>, config: &MySqlConfig) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let every = config.keep_alive();
        let thread = std::thread::Builder::new().name("store-keeper".into()).spawn(move || run(&pools, &stopped, every))?;
        Ok(Self { stop, thread })
    }

    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("keeper thread panicked");
        }
    }
}

fn run(pools: &[Readers], stopped: &Receiver<()>, every: Duration) {
    while stopped.recv_timeout(every.min(OVERDUE)) == Err(RecvTimeoutError::Timeout) {
        for pool in pools {
            pool.look_after();
            for (place, had) in pool.overdue(OVERDUE) {
                tracing::warn!(%place, seconds = had.as_secs_f64(), "a read has a connection for too long");
            }
        }
    }
}
