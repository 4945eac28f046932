//! Soft limits of the product: set in the configuration, told to clients in `hello`, judged by policies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Friends a user may have.
    pub friends: u32,
    /// Members a group may have.
    pub group_members: u32,
    /// Rooms a user may be in.
    pub rooms: u32,
    /// Rooms and groups a user may create per day (each).
    pub creations_per_day: u32,
    /// Longest text of a message, in bytes of UTF-8.
    pub text_bytes: u32,
    /// How long after sending a message may be recalled, in milliseconds.
    pub recall_window_ms: i64,
    /// Whether a direct message needs friendship.
    pub direct_needs_friendship: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            friends: 5_000,
            group_members: 500,
            rooms: 200,
            creations_per_day: 10,
            text_bytes: 16 * 1024,
            recall_window_ms: 120_000,
            direct_needs_friendship: true,
        }
    }
}
