//! goim's guests: connected, renewed, moved, gone.
//!
//! **Invariant:** a newer connection of a key takes the place of the older one everywhere, and the older one, ending later,
//! changes nothing for it. What a guest claims to be is believed only where the operator said so.

use super::config::{Goim, HEARTBEAT_MAX, HEARTBEAT_S};
use super::online::Online;
use super::presence::{LiveRooms, Occupant};
use super::token;
use crate::account::secret::random;
use crate::job::Fanout;
use skein_domain::delivery::Control;
use skein_domain::id::{Generation, NodeId};
use skein_domain::live::{Guest, GuestCommand, GuestKey, GuestRef, GuestReply, Mid, RoomName, Somebody};
use skein_domain::port::{GuestRegistry, GuestRoute};
use skein_domain::{Code, Error, Result};
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct Guests {
    pub registry: Arc<dyn GuestRegistry>,
    pub online: Online,
    pub rooms: LiveRooms,
    pub fanout: Fanout,
    pub goim: Arc<Goim>,
    pub lease_ms: i64,
}

impl Guests {
    pub(crate) async fn handle(&self, command: GuestCommand) -> Result<GuestReply> {
        match command {
            GuestCommand::Connect { node, generation, token, .. } => self.connect(node, generation, &token).await,
            GuestCommand::Disconnect { node, guest, .. } => {
                self.registry.remove(&node, &guest).await?;
                self.rooms.gone(&Occupant::Guest(guest.key), guest.generation);
                Ok(GuestReply::Done)
            }
            GuestCommand::Renew { node, live } => {
                let superseded = self.registry.renew(&node, &live, self.lease_ms).await?;
                self.close(node, superseded);
                Ok(GuestReply::Done)
            }
            GuestCommand::Online { node, rooms, connections, addresses, weight } => {
                let rooms = self.online.put(node, rooms, connections, addresses, weight).await?;
                Ok(GuestReply::Online { rooms })
            }
            GuestCommand::Move { mid, guest, room, .. } => {
                self.enter(mid, &guest, room);
                Ok(GuestReply::Done)
            }
            GuestCommand::Receive { .. } => {
                metrics::counter!("skein_guest_messages_total").increment(1);
                Ok(GuestReply::Done)
            }
        }
    }

    async fn connect(&self, node: NodeId, generation: Generation, token: &[u8]) -> Result<GuestReply> {
        let token = token::read(token)?;
        if !self.goim.trust && (token.mid != Mid::default() || token.key.is_some()) {
            return Err(Error::new(Code::Forbidden, "this server does not believe the mid or key a client names"));
        }
        let key = token.key.map_or_else(new_key, Ok)?;
        let route = GuestRoute { mid: token.mid, key: key.clone(), node, generation };
        let guest_ref = route.guest();
        let mut replaced = None;
        if let Some(older) = self.registry.register(route.clone(), self.lease_ms).await? {
            if older == route {
                return Err(Error::new(Code::Unavailable, "a newer connection of this key is there"));
            }
            if older.node == route.node {
                replaced = Some(older.guest());
            } else {
                self.close(older.node.clone(), vec![older.guest()]);
            }
        }
        self.enter(token.mid, &guest_ref, token.room.clone());
        metrics::counter!("skein_guests_connected_total").increment(1);
        let guest = Guest { mid: token.mid, key, room: token.room, accepts: token.accepts, platform: token.platform, tags: token.tags };
        let heartbeat_ms = i64::from(HEARTBEAT_S) * i64::from(HEARTBEAT_MAX) * 1_000;
        Ok(GuestReply::Connected { guest, heartbeat_ms, replaced })
    }

    fn enter(&self, mid: Mid, guest: &GuestRef, room: Option<RoomName>) {
        self.rooms.move_to(&Occupant::Guest(guest.key.clone()), guest.generation, Somebody::Guest { mid }, room);
    }

    /// Nobody waits for it: a close that gets lost is made good by the next renewal.
    fn close(&self, node: NodeId, guests: Vec<GuestRef>) {
        if guests.is_empty() {
            return;
        }
        let fanout = self.fanout.clone();
        let controls = guests.into_iter().map(|guest| Control::CloseGuest { guest }).collect();
        tokio::spawn(async move { fanout.order(node, controls).await });
    }
}

/// As goim makes one: a UUID of version 4.
fn new_key() -> Result<GuestKey> {
    let mut bytes: [u8; 16] = random()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    GuestKey::parse(&format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

#[cfg(test)]
mod tests {
    use super::new_key;

    #[test]
    fn a_key_made_here_is_a_uuid_of_version_4() {
        let key = new_key().unwrap();
        let parts: Vec<&str> = key.as_str().split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']), "{key:?}");
        assert_ne!(key, new_key().unwrap());
    }
}
