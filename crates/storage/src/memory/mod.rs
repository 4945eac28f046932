//! Ports kept in memory: what one process knows about connections, guests, nodes, codes, receipts and the broadcasts that wait. Nothing
//! here must survive a restart.
//!
//! **Invariant:** each of them is bounded; at the bound what has expired is swept, and if that does not help, the newcomer
//! is refused `busy`.

mod broadcasts;
mod codes;
mod guests;
mod nodes;
mod receipts;
mod sessions;

#[cfg(test)]
mod tests;

pub use broadcasts::MemoryBroadcasts;
pub use codes::MemoryCodes;
pub use guests::MemoryGuests;
pub use nodes::MemoryNodes;
pub use receipts::MemoryReceipts;
pub use sessions::MemorySessions;

use skein_domain::{Code, Error};

fn full() -> Error {
    metrics::counter!("skein_registry_full_total").increment(1);
    Error::new(Code::Busy, "too many at a time").retry_after(5_000)
}

/// Of either queue of broadcasts.
pub(crate) fn too_many_wait() -> Error {
    Error::new(Code::Busy, "too many broadcasts wait for their turn").retry_after(1_000)
}
