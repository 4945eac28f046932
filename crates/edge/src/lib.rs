//! The edge: what strangers can reach. Long connections ([`comet`]), public HTTP ([`gate`]), and the sockets of both
//! ([`listen`]).
//!
//! **Invariant:** nothing here sees SQL or decides a business rule: everything becomes a call of the `Logic` door.

pub mod comet;
pub mod gate;
pub mod listen;
mod metrics;
mod seldom;

pub use listen::serve_http;
pub use metrics::METRICS;
