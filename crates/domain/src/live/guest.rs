//! What guests, and the Comets they are at, ask of logic.

use super::name::{GuestKey, GuestRef, Mid, Operation, RoomName};
use crate::id::{Generation, NodeId};
use serde::{Deserialize, Serialize};

/// Who a guest connection is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    pub mid: Mid,
    pub key: GuestKey,
    pub room: Option<RoomName>,
    pub accepts: Vec<Operation>,
    /// As the client named it (goim's `platform`); for targeting.
    pub platform: String,
    pub tags: Vec<String>,
}

/// What guests ask of logic, through their Comet or through goim's gRPC.
///
/// **Identity.** Whoever may name a mid or a key could take over the pushes of another guest: without
/// `compat.goim.trust` a token that names either is refused, and every guest is anonymous with a key made here.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum GuestCommand {
    /// `token` is the body of goim's op 7 as it came. Refused: `bad_request` (no JSON object), `forbidden` (names an
    /// identity although names are not trusted).
    Connect { node: NodeId, generation: Generation, token: Vec<u8>, cookie: String, address: String },
    /// Idempotent; removes the registration only if no newer one took its place.
    Disconnect { node: NodeId, mid: Mid, guest: GuestRef },
    /// These guests of `node` are alive; those registered no more are registered anew, but where a newer connection of
    /// the key sits elsewhere: the older one is closed by [`crate::delivery::Control::CloseGuest`].
    Renew { node: NodeId, live: Vec<(Mid, GuestRef)> },
    /// How many guests and sessions are in each live room of `node` (rooms without anybody are left out); answers the
    /// counts of these rooms over all nodes. `too_large` beyond [`ROOMS_PER_NODE_MAX`].
    Online { node: NodeId, rooms: Vec<(RoomName, u32)>, connections: u32, addresses: u32, weight: u32 },
    /// The guest went to another room, or to none. Idempotent.
    Move { node: NodeId, mid: Mid, guest: GuestRef, room: Option<RoomName> },
    /// A message of a guest; logic only counts it.
    Receive { mid: Mid, operation: Operation, body: Vec<u8> },
}

/// Live rooms with somebody in them that one node may report.
pub const ROOMS_PER_NODE_MAX: usize = 200_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum GuestReply {
    Connected {
        guest: Guest,
        /// A guest silent (no op 2) for so long is closed.
        heartbeat_ms: i64,
        /// The older connection of the key, if it is at the same node.
        replaced: Option<GuestRef>,
    },
    Done,
    Online {
        rooms: Vec<(RoomName, u32)>,
    },
}
