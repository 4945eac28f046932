//! What stands in for a port or a door in tests.
//!
//! **Invariant:** only `[dev-dependencies]` and the crates made for testing ask for the feature `testing`; the product is
//! never built with it.

mod clock;
mod logic;

pub use clock::ManualClock;
pub use logic::{Play, ScriptedLogic, at_once, never};
