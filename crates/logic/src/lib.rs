//! What the product does, written against the ports of `skein-domain`.
//!
//! [`Service`] is the Logic door, [`Background`] what runs beside it. Behind them: `append` (send and change),
//! `conversation`, `cursors`, `typing` (commands), `sync`, `history` (queries), [`job`] (relay from the change log,
//! fan-out, transient pushes), [`push`] (the push platform), [`account`] (accounts, sessions, status), `contact`.
//!
//! **Invariant:** nothing here sees HTTP, gRPC, a frame or SQL. Whether a message is stored is decided by the store
//! alone; everything after that is a hint.

pub mod account;
mod announcer;
mod append;
mod assembly;
mod background;
mod config;
pub mod contact;
mod conversation;
mod cursor;
mod cursors;
mod detached;
mod door;
mod history;
pub mod job;
mod metrics;
mod page;
mod parts;
pub mod push;
mod random;
mod service;
mod snapshots;
mod sync;
mod traces;
mod turns;
mod typing;
mod visibility;

pub use background::Background;
pub use config::Config;
pub use metrics::METRICS;
pub use parts::{LivePipeline, Parts, Pipeline};
pub use service::Service;
