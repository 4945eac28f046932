//! The ports of what need not survive, on Redis: who is online where, which nodes live, guests, tickets, e-mail codes,
//! receipts of pushes, the queue of broadcasts.
//!
//! Nothing here is the truth about anything that must not be lost: after a `FLUSHALL` connections register anew with
//! their next renewal, and a user asks for another code.
//!
//! **Invariant:** keys that one script touches share a hash tag, so that everything works on a cluster, too.
//!
//! **Invariant:** every key has a TTL. Leases are judged by Redis' own clock, never by a node's.
//!
//! **Invariant:** a key is of a kind that the table in the operator guide has, with type, TTL and size; a test looks at
//! each key there is.
//!
//! All under a prefix, `skein:` by default, for installations that share a Redis.

mod broadcasts;
mod cache;
mod codes;
mod entry;
mod guests;
mod lookups;
mod nodes;
mod pool;
mod receipts;
mod script;
mod sessions;
#[cfg(test)]
mod tests;

pub use crate::engines::RedisConfig as Config;
pub use broadcasts::RedisBroadcasts;
pub use cache::{CachedAccounts, CachedConversations, CachedMessages};
pub use codes::RedisCodes;
pub use guests::RedisGuests;
pub use nodes::RedisNodes;
pub use pool::{OpenError, Redis};
pub use receipts::RedisReceipts;
pub use sessions::RedisSessions;

/// How long an index of keys is kept after its last change.
const INDEX_TTL_MS: i64 = 86_400_000;
