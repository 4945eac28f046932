//! What a connection is doing, for whoever operates the node.

use super::seats::Seat;
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

impl ConnectionState {
    pub(super) fn of(session: SessionId, seat: &Seat, watches_rooms: bool, now_ms: u64) -> Self {
        let (peer, variant) = (&seat.peer, seat.peer.variant());
        let told = peer.told();
        let mut rooms: Vec<_> = seat.rooms.iter().copied().collect();
        rooms.sort_unstable();
        let mut live_rooms: Vec<_> = seat.live.keys().map(|room| room.as_str().to_owned()).collect();
        live_rooms.sort_unstable();
        Self {
            session,
            connection: peer.generation,
            class: seat.class,
            address: seat.address,
            transport: variant.transport.as_str(),
            form: variant.form.as_str(),
            closing: told.is_closed,
            heard_ms_ago: now_ms.saturating_sub(told.heard_ms),
            stalled_ms: told.stalled_ms.map(|since_ms| now_ms.saturating_sub(since_ms)),
            unread_bytes: told.unread_bytes,
            in_flight: told.in_flight,
            queue_bytes: told.queue_bytes,
            resyncing: told.is_resyncing,
            watches_rooms,
            rooms,
            live_rooms,
        }
    }
}
