//! The storage ports: small, per aggregate, at IO only. Each method says what it guarantees.
//!
//! All of SQL's part is made true by one store behind one group-committing writer: **every** changing method here is
//! durable when it returns `Ok`, is all or nothing, and fails alone. Codes any of them may answer besides their own:
//! `busy` (writer's queue full, retryable), `storage_full`, `internal`.

mod account;
mod cache;
mod contact;
mod conversation;
mod lease;
mod live;
mod log;
mod mail;
mod message;
mod registry;

pub use account::*;
pub use cache::*;
pub use contact::*;
pub use conversation::*;
pub use lease::*;
pub use live::*;
pub use log::*;
pub use mail::*;
pub use message::*;
pub use registry::*;

use crate::id::Millis;

/// Wall-clock time; injected so that tests own it.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Millis;
}

pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Millis(since.as_millis() as i64)
    }
}
