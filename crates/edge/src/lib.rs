//! The edge: what strangers can reach. Long connections ([`comet`]), public HTTP ([`gate`], served by [`http`]), and the
//! sockets of both ([`listen`]).
//!
//! **Invariant:** nothing here sees SQL or decides a business rule: everything becomes a call of the `Logic` door.

pub mod comet;
pub mod gate;
mod http;
pub mod listen;
mod metrics;
mod seldom;

pub use http::serve_http;
pub use metrics::METRICS;
