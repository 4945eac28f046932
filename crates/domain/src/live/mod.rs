//! The push platform's vocabulary: rooms that are names, guests that are not accounts, and pushes that are bytes.
//!
//! A **guest** is a goim session: a connection that named itself (or was given a key) and belongs to no account. Guests,
//! their keys and mids are a namespace of their own: mid 5 is not uid 5, and nothing of chat ever reaches a guest. A
//! **live room** is a name with whoever is there now: no rows, no members, no unread.
//!
//! **Invariant:** what is pushed live is opaque: an operation and bytes, carried as they came.

mod access;
mod command;
mod guest;
mod name;
mod node;
mod receipt;
mod record;
mod request;

pub use access::{PushRoute, Pusher, Scope};
pub use command::{PushCommand, PushOutcome, PushReply, Stored};
pub use guest::{Guest, GuestCommand, GuestReply, ROOMS_PER_NODE_MAX};
pub use name::{GuestKey, GuestRef, Mid, Operation, PushId, RoomName, Somebody};
pub use node::{Advice, Backoff, LiveNode};
pub use receipt::{PushState, Receipt};
pub use record::{LiveAddress, LiveRecord};
pub use request::{Audience, LiveMessage, MESSAGE_BYTES_MAX, Priority, PushRequest, PushTarget, RECEIVERS_MAX, REQUESTS_MAX};
