//! Nodes as the push API tells of them, and as goim's clients are advised.

use crate::id::{Millis, NodeId};
use serde::{Deserialize, Serialize};

/// A node as the push API tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveNode {
    pub node: NodeId,
    /// Host and ports where clients connect.
    pub tcp: String,
    pub websocket: String,
    pub weight: u32,
    pub connections: u32,
    pub addresses: u32,
    pub draining: bool,
    pub renewed_at: Millis,
}

/// What a goim client is told before it connects: goim's `NodesReply`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    pub domain: String,
    pub tcp_port: i32,
    pub ws_port: i32,
    pub wss_port: i32,
    /// Seconds between two heartbeats of a client.
    pub heartbeat: i32,
    /// Heartbeats that may be missed.
    pub heartbeat_max: i32,
    /// Hosts, best first; at most [`Advice::NODES_MAX`], and the domain when no node takes anybody.
    pub nodes: Vec<String>,
    pub backoff: Backoff,
}

impl Advice {
    pub const NODES_MAX: usize = 5;
}

/// How a client waits before it connects again: seconds, and hundredths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    pub max_delay: i32,
    pub base_delay: i32,
    pub factor_hundredths: u32,
    pub jitter_hundredths: u32,
}
