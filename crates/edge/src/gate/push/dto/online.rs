//! Who is connected, and where.

use super::super::super::int64::Int64;
use serde::Serialize;
use skein_domain::live::LiveNode;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub struct RoomCounts {
    pub rooms: Vec<RoomCount>,
}

#[derive(Serialize, ToSchema)]
pub struct RoomCount {
    #[schema(example = "live://1000")]
    pub room: String,
    pub online: u32,
}

#[derive(Serialize, ToSchema)]
pub struct Total {
    pub connections: u64,
    pub addresses: u64,
}

#[derive(Serialize, ToSchema)]
pub struct Nodes {
    pub nodes: Vec<Node>,
}

/// A node where clients connect.
#[derive(Serialize, ToSchema)]
pub struct Node {
    pub node: String,
    pub tcp: String,
    pub websocket: String,
    pub weight: u32,
    pub connections: u32,
    pub addresses: u32,
    pub draining: bool,
    /// Unix milliseconds.
    pub renewed_at: Int64,
}

impl From<LiveNode> for Node {
    fn from(node: LiveNode) -> Self {
        let LiveNode { node, tcp, websocket, weight, connections, addresses, draining, renewed_at } = node;
        Self { node: node.0, tcp, websocket, weight, connections, addresses, draining, renewed_at: renewed_at.into() }
    }
}
