//! Ports kept in memory: what one process knows about connections, guests, nodes, codes and receipts. Nothing here must survive a restart.
//!
//! **Invariant:** each of them is bounded; at the bound what has expired is swept, and if that does not help, the newcomer
//! is refused `busy`.

mod codes;
mod guests;
mod nodes;
mod receipts;
mod sessions;

#[cfg(test)]
mod tests;

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
