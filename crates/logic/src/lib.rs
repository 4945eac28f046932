//! What the product does, written against the ports of `skein-domain`.
//!
//! [`Service`] is the Logic door. Behind it: `send`, `change`, `conversation`, `cursors` (commands), `sync`, `history`
//! (queries), [`job`] (relay from the change log, fan-out), `account` (accounts, sessions, status), `contact`.
//!
//! **Invariant:** nothing here sees HTTP, gRPC, a frame or SQL. Whether a message is stored is decided by the store
//! alone; everything after that is a hint.

pub mod account;
pub mod contact;
pub mod job;
mod random;
