//! Load generators and the references they are measured beside.
//!
//! **Invariant:** every number is reported with a reference taken in the same run on the same disk, because machines
//! differ and are shared. Nothing here asserts a speed. `push` has no reference: it is about what must be zero.

pub mod find;
pub mod idle;
pub mod push;
pub mod reference;
pub mod report;
pub mod send;
mod usage;
