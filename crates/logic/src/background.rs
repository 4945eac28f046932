//! What of logic runs by itself, beside the calls.
//!
//! **Invariant:** the parts end only when told to; one that ends before is a failure of the whole, which its owner learns of.

use crate::account::Chores;
use crate::announcer::Announcer;
use crate::cursors::CursorPusher;
use crate::job::{Broadcasts, Fanout, Intake, LiveIntake, Ownership, Relay};
use crate::push::{LiveRooms, Schedule};
use crate::typing::TypingPusher;
use skein_domain::port::{GuestRegistry, SessionRegistry};
use skein_domain::{Error, Result};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Relays, pushes that are put together first or wait for their time, who is in live rooms, probes of Comets, mail and the
/// removal of old sessions. Without it running
/// commands are answered, but nobody hears of them.
pub struct Background {
    pub(crate) ownership: Option<Ownership>,
    pub(crate) relays: Vec<Relay>,
    pub(crate) intake: Option<Intake>,
    pub(crate) live_intake: Option<LiveIntake>,
    pub(crate) chores: Chores,
    pub(crate) cursors: CursorPusher,
    pub(crate) typing: TypingPusher,
    pub(crate) announcer: Announcer,
    pub(crate) fanout: Fanout,
    pub(crate) schedule: Schedule,
    pub(crate) rooms: LiveRooms,
    pub(crate) broadcasts: Broadcasts,
    pub(crate) sessions: Arc<dyn SessionRegistry>,
    pub(crate) guests: Arc<dyn GuestRegistry>,
}

impl Background {
    /// Until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) -> Result<()> {
        let mut parts = JoinSet::new();
        for relay in self.relays {
            parts.spawn(relay.run(shutdown.clone()));
        }
        if let Some(ownership) = self.ownership {
            parts.spawn(ownership.run(shutdown.clone()));
        }
        if let Some(intake) = self.intake {
            parts.spawn(intake.run(shutdown.clone()));
        }
        if let Some(intake) = self.live_intake {
            parts.spawn(intake.run(shutdown.clone()));
        }
        parts.spawn(self.chores.run(shutdown.clone()));
        parts.spawn(self.cursors.run(shutdown.clone()));
        parts.spawn(self.typing.run(shutdown.clone()));
        parts.spawn(self.announcer.run(self.fanout.clone(), shutdown.clone()));
        parts.spawn(self.schedule.run(shutdown.clone()));
        parts.spawn(self.broadcasts.run(shutdown.clone()));
        parts.spawn(self.rooms.run(self.fanout.clone(), self.sessions, self.guests, shutdown.clone()));
        parts.spawn(self.fanout.run(shutdown.clone()));
        while let Some(ended) = parts.join_next().await {
            if ended.is_err() || !shutdown.is_cancelled() {
                tracing::error!(failure = ?ended.err(), "a part of logic ended by itself");
                return Err(Error::internal());
            }
        }
        Ok(())
    }
}
