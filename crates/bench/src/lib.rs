//! Load generators and the references they are measured beside.
//!
//! **Invariant:** every number is reported with a reference taken in the same run on the same disk, because machines
//! differ and are shared. Nothing here asserts a speed.

pub mod idle;
pub mod reference;
pub mod report;
pub mod send;
mod usage;
