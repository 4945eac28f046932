//! Settings of the push platform.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Pushes, live rooms and goim's guests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Largest body of a transient push, in bytes. A durable one is bounded like a message, by `limits.text_bytes`.
    pub body_bytes: u32,
    /// Pushes of one app that may wait for their time.
    pub scheduled_per_app: u32,
    /// Live rooms with more people than this have no presence.
    pub presence_people: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { body_bytes: 64 * 1024, scheduled_per_app: 10_000, presence_people: 200 }
    }
}

/// Seconds between two heartbeats of a goim client, and how many it may miss.
pub(super) const HEARTBEAT_S: i32 = 240;
pub(super) const HEARTBEAT_MAX: i32 = 2;

/// How far the operator opened goim's contracts, and what its clients are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Goim {
    /// Believe the mid and the key a client names.
    pub trust: bool,
    /// Answer pushes without an API key.
    pub open_push: bool,
    /// Host of clients while no node takes any.
    pub domain: String,
    pub tcp_port: u16,
    pub ws_port: u16,
    pub wss_port: u16,
}
