//! The ports of what need not survive, on Redis: who is online where, which nodes live, tickets, e-mail codes.
//!
//! Nothing here is the truth about anything that must not be lost: after a `FLUSHALL` connections register anew with
//! their next renewal, and a user asks for another code.
//!
//! **Invariant:** keys that one script touches share a hash tag, so that everything works on a cluster, too.
//!
//! **Invariant:** every key has a TTL. Leases are judged by Redis' own clock, never by a node's.
//!
//! | key | type | what | TTL |
//! |---|---|---|---|
//! | `session:<id>` | string, JSON | route of a session's connection, lease's end | lease |
//! | `user:<uid>` | set of session ids | where to look for a user's sessions; stale members are dropped when read | 1 day |
//! | `at:<node>` | set of session ids | where to look for a node's sessions; the same | 1 day |
//! | `node:<node>`, `nodes` | string, JSON; set of names | a live node and its load | lease; 1 day |
//! | `ticket:<hash>` | string, JSON | session and node of a connect ticket | of the ticket |
//! | `code:{<address>}:…` | string, sorted sets | an e-mail code; times of codes and checks of an hour; the address as a hash | of the code; 1 hour |
//!
//! All under a prefix, `skein:` by default, for installations that share a Redis.

mod codes;
mod nodes;
mod pool;
mod sessions;
#[cfg(test)]
mod tests;

pub use codes::RedisCodes;
pub use nodes::RedisNodes;
pub use pool::{Config, OpenError, Redis};
pub use sessions::RedisSessions;

/// How long an index of keys is kept after its last change.
const INDEX_TTL_MS: i64 = 86_400_000;
