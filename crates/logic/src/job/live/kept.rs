//! Broadcasts that wait, as they are kept by the node that accepted them.
//!
//! **Bound:** [`BROADCASTS_WAITING_MAX`], and [`BYTES_MAX`].

use skein_domain::id::Millis;
use skein_domain::live::LiveRecord;
use skein_domain::port::{BROADCASTS_WAITING_MAX, Place, Queued};
use skein_domain::{Code, Error, Result};
use std::collections::HashMap;
use tokio::time::Instant;

const BYTES_MAX: usize = 32 * 1024 * 1024;
/// What a broadcast costs besides its body.
const OVERHEAD: usize = 256;
const BUSY_RETRY_MS: i64 = 1_000;

#[derive(Default)]
pub(super) struct Kept {
    waiting: HashMap<u64, Waiting>,
    bytes: usize,
}

pub(super) struct Waiting {
    pub record: LiveRecord,
    pub since: Instant,
    /// `None`: the queue has not answered yet.
    pub place: Option<Place>,
}

impl Kept {
    pub fn put(&mut self, number: u64, record: LiveRecord) -> Result<()> {
        let bytes = bytes_of(&record);
        if self.waiting.len() >= BROADCASTS_WAITING_MAX || self.bytes + bytes > BYTES_MAX {
            return Err(Error::new(Code::Busy, "too many broadcasts wait for their turn").retry_after(BUSY_RETRY_MS));
        }
        self.bytes += bytes;
        self.waiting.insert(number, Waiting { record, since: Instant::now(), place: None });
        self.measure();
        Ok(())
    }

    /// Its turn may have come already.
    pub fn place(&mut self, number: u64, place: Place) {
        if let Some(waiting) = self.waiting.get_mut(&number) {
            waiting.place = Some(place);
        }
    }

    pub fn take(&mut self, number: u64) -> Option<Waiting> {
        let taken = self.waiting.remove(&number)?;
        self.bytes -= bytes_of(&taken.record);
        self.measure();
        Some(taken)
    }

    /// Those the queue knows.
    pub fn queued(&self) -> Vec<Queued> {
        let queued = |(number, waiting): (&u64, &Waiting)| {
            Some(Queued { number: *number, priority: waiting.record.priority, place: waiting.place?, is_running: false })
        };
        self.waiting.iter().filter_map(queued).collect()
    }

    pub fn late(&self, now: Millis) -> Vec<u64> {
        self.waiting.iter().filter(|(_, waiting)| is_late(&waiting.record, now)).map(|(number, _)| *number).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// All of them.
    pub fn take_all(&mut self) -> HashMap<u64, Waiting> {
        std::mem::take(self).waiting
    }

    fn measure(&self) {
        metrics::gauge!("skein_broadcasts_waiting").set(self.waiting.len() as f64);
    }
}

fn bytes_of(record: &LiveRecord) -> usize {
    record.message.body.len() + OVERHEAD
}

pub(super) fn is_late(record: &LiveRecord, now: Millis) -> bool {
    record.expires.is_some_and(|expires| expires <= now)
}
