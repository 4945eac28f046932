//! What a connection is doing, for whoever operates the node.

use serde::Serialize;
use skein_domain::account::DeviceClass;
use skein_domain::id::{ConversationId, Generation, SessionId};
use std::net::IpAddr;

/// One logged-in connection, at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectionState {
    pub session: SessionId,
    pub connection: Generation,
    pub class: DeviceClass,
    pub address: IpAddr,
    pub transport: &'static str,
    /// How what is said to it is written.
    pub form: &'static str,
    /// Its last words are queued or written.
    pub closing: bool,
    pub heard_ms_ago: u64,
    /// Since when it has taken nothing of what waits for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalled_ms: Option<u64>,
    /// Read, and not yet a whole frame.
    pub unread_bytes: u32,
    /// Commands without a reply.
    pub in_flight: u32,
    /// Waits to be written, or is being written.
    pub queue_bytes: usize,
    /// Pushes were left out: it has been asked to sync.
    pub resyncing: bool,
    /// Has the directory of rooms open.
    pub watches_rooms: bool,
    /// Chat rooms that it hears.
    pub rooms: Vec<ConversationId>,
    pub live_rooms: Vec<String>,
}
