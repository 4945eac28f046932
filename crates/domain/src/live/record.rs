//! A transient push on its way from logic to the job.

use super::name::{GuestKey, PushId, RoomName};
use super::request::{Audience, LiveMessage, Priority};
use crate::id::{ConnectionRef, Millis, NodeId, Uid};
use serde::{Deserialize, Serialize};

/// A transient push on its way from logic to the job: goim's `PushMsg`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRecord {
    pub push: PushId,
    pub app: Uid,
    pub address: LiveAddress,
    pub message: LiveMessage,
    /// Worthless after this time.
    pub expires: Option<Millis>,
    #[serde(default)]
    pub priority: Priority,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveAddress {
    /// Guests of one node.
    Guests {
        node: NodeId,
        keys: Vec<GuestKey>,
    },
    /// Connections of accounts at one node.
    Sessions {
        node: NodeId,
        connections: Vec<ConnectionRef>,
    },
    Room(RoomName),
    All(Audience),
}
