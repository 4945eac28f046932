//! Identities and positions. Each is its own type, so that a seq is never taken for a revision.
//!
//! **Invariant:** numeric ids come from the database, stay below 2^53 and are never used twice.

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(/// A user.
    Uid);
number!(/// A conversation: direct, group or room.
    ConversationId);
number!(/// Dense position in a conversation's change log: 1, 2, 3 … 0 stands before the first.
    Seq);
number!(/// Running number of countable entries in a conversation; unread is a difference of two.
    CountNo);
number!(/// Position in a shard's log; visible in commit order.
    Revision);
number!(/// Moves whenever who may do what in a conversation changes.
    PolicyVersion);
number!(/// How often a shard has changed its owner: what an earlier owner still writes is told by a smaller one.
    Fence);
number!(/// One life of a process that may own shards, at random.
    Tenant);
number!(/// Authenticated state of one device; survives reconnects.
    SessionId);
number!(/// Distinguishes the successive connections of one session; the newer is larger.
    Generation);
number!(/// A friend request.
    RequestId);
number!(/// Unix milliseconds, UTC, of the server.
    Millis);

impl Generation {
    /// Bits that count connections of one millisecond.
    pub const COUNTER_BITS: u32 = 20;

    /// When its node said the connection began.
    pub fn begun_at(self) -> Millis {
        Millis(self.0 >> Self::COUNTER_BITS)
    }
}

impl Seq {
    pub const ZERO: Seq = Seq(0);
    /// The largest a client can name exactly. As the end of a range: whatever there is.
    pub const MAX: Seq = Seq((1 << 53) - 1);

    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

impl Millis {
    pub fn plus(self, ms: i64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }
}

/// Part of the data with its own revision counter and one owner at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(pub u16);

/// Identity of a store: 64 random bits. When it changes, every cursor is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// Name of a running node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub String);

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One connection of a session; an address to deliver to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConnectionRef {
    pub session: SessionId,
    pub generation: Generation,
}

/// Client-chosen name of one changing command, unique per user: makes a retry safe.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    pub const BYTES_MAX: usize = 64;

    /// 1 to 64 printable ASCII characters.
    pub fn parse(text: &str) -> crate::Result<Self> {
        let printable = text.bytes().all(|b| b.is_ascii_graphic());
        if text.is_empty() || text.len() > Self::BYTES_MAX || !printable {
            return Err(crate::Error::new(crate::Code::BadRequest, "key must be 1 to 64 printable ASCII characters"));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}
