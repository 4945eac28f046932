//! The JSON of the push API: what is to be pushed, what became of it, and who is there. 64-bit numbers are decimal strings on
//! output; counts are numbers.

mod online;
mod outcome;
mod request;

pub use online::{Node, Nodes, RoomCount, RoomCounts, Total};
pub use outcome::{BatchOutcomes, Outcome, Pushed, Receipt};
pub use request::{BatchBody, PushBody};
