//! What Skein is about, with no idea how bytes travel or where they are kept.
//!
//! Owns the vocabulary (ids, conversations, entries, accounts, contacts), the pure policies, the two **doors** through
//! which roles talk across processes ([`door::Logic`], [`door::Delivery`]), the storage **ports** ([`port`]) and the one
//! error type that crosses all of them.
//!
//! **Invariant:** nothing here performs IO, knows SQL, HTTP, gRPC or a frame. Everything that crosses a door is `serde`
//! with named fields, so that an older or newer peer can read it.

pub mod account;
pub mod body;
pub mod command;
pub mod contact;
pub mod conversation;
pub mod delivery;
pub mod door;
pub mod entry;
pub mod error;
pub mod fault;
pub mod id;
pub mod limits;
pub mod live;
pub mod metric;
pub mod policy;
pub mod port;
pub mod role;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trace;

pub use error::{Code, Error, Result};
pub use limits::Limits;
