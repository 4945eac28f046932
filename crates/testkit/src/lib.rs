//! Boots Skein as real processes and breaks it on purpose. For development only.
//!
//! - [`server`]: a `skein serve` process, killed, stopped or cut off from power; [`cluster`]: all roles in one, or split.
//! - [`seed`]: a data folder with people in it, made without HTTP and without password hashing.
//! - [`database`]: a database of a real server, in place of the data folder.
//! - [`wire`] and [`device`]: simulated devices, over real sockets.
//! - [`goim`]: a client of goim's protocol; [`live_crowd`]: a live room full of them.
//! - [`scenario`]: behaviour told in the words of the domain, from the same text for every topology.
//! - [`check`]: seeded runs with crashes and power cuts, and what must hold after them.
//!
//! **Invariant:** nothing here waits blindly: every wait is for a condition and has a bound.

pub mod check;
pub mod cluster;
pub mod database;
pub mod device;
pub mod goim;
pub mod live_crowd;
pub mod proxy;
pub mod scenario;
pub mod seed;
pub mod server;
pub mod wire;

pub use skein_powercut as powercut;
