//! New rooms, told to whoever has the room directory open, at most once a second.
//!
//! Bound: [`WAITING_MAX`] rooms wait; of more in one second the oldest are left out (the directory lists them all).

use crate::job::Fanout;
use skein_domain::conversation::RoomInfo;
use skein_domain::delivery::Push;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const WAITING_MAX: usize = 100;
const PUSH_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Default)]
pub(crate) struct Announcer {
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Waiting {
    rooms: Mutex<VecDeque<RoomInfo>>,
    arrived: Notify,
}

impl Announcer {
    pub(crate) fn announce(&self, room: RoomInfo) {
        let mut rooms = self.waiting.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.len() == WAITING_MAX {
            rooms.pop_front();
            metrics::counter!("skein_room_announcements_left_out_total").increment(1);
        }
        rooms.push_back(room);
        self.waiting.arrived.notify_one();
    }

    pub(crate) async fn run(self, fanout: Fanout, shutdown: CancellationToken) {
        loop {
            let round = async {
                self.waiting.arrived.notified().await;
                let rooms = self.take();
                fanout.to_watchers(Push::Rooms { rooms }).await;
                tokio::time::sleep(PUSH_EVERY).await;
            };
            if shutdown.run_until_cancelled(round).await.is_none() {
                return;
            }
        }
    }

    fn take(&self) -> Vec<RoomInfo> {
        self.waiting.rooms.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}
