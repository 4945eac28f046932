//! The ports of what need not survive, on Redis: who is online where, which nodes live, guests, tickets, e-mail codes,
//! receipts of pushes.
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
//! | `guest:<key>` | string, JSON | where a guest is, lease's end | lease |
//! | `mid_<mid>` | hash: guest key → node | as goim has it; where to look for a guest's connections | 30 minutes |
//! | `key_<key>` | string: node | as goim has it; written, never read | 30 minutes |
//! | `ol_<node>`, `online` | hash: 64 fields as goim has them, and ours; set of names | guests per live room of a node | lease; 1 day |
//! | `cache:<store>:secret:{<hash>}` | string, JSON | user and session a secret is for; the secret as its hash | ≤ 60 s |
//! | `cache:<store>:sessions:{<uid>}` | string, JSON | live sessions of a user | ≤ 60 s |
//! | `cache:<store>:profile:{<uid>}` | string, JSON | a profile, or that there is none (5 s) | ≤ 60 s |
//! | `cache:<store>:history:{<id>}`, `…:guard:{<id>}` | list; string | newest 128 entries of a conversation; up to where | ≤ 60 s |
//! | `receipt:<push>` | hash | what became of a push | 10 minutes |
//!
//! All under a prefix, `skein:` by default, for installations that share a Redis.

mod cache;
mod codes;
mod guests;
mod nodes;
mod pool;
mod receipts;
mod script;
mod sessions;
#[cfg(test)]
mod tests;

pub use crate::engines::RedisConfig as Config;
pub use cache::{CachedAccounts, CachedMessages};
pub use codes::RedisCodes;
pub use guests::RedisGuests;
pub use nodes::RedisNodes;
pub use pool::{OpenError, Redis};
pub use receipts::RedisReceipts;
pub use sessions::RedisSessions;

/// How long an index of keys is kept after its last change.
const INDEX_TTL_MS: i64 = 86_400_000;
