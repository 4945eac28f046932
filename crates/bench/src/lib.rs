//! Load generators and the references they are measured beside.
//!
//! **Invariant:** every number is reported with a reference taken in the same run on the same disk, because machines
//! differ and are shared. Nothing here asserts a speed. `push` has no reference: it is about what must be zero.

pub mod engines;
pub mod find;
pub mod idle;
mod load;
mod metrics;
pub mod push;
pub mod reference;
mod report;
pub mod send;
mod usage;
