//! Who pushes, and what an API key allows.

use super::name::RoomName;
use serde::{Deserialize, Serialize};

/// Who pushes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pusher {
    /// goim's keyless routes; refused unless the operator opened them (`compat.goim.open_push`). Owns nothing, so
    /// pushes nothing durable.
    Open,
    /// Whoever administers this server, over the admin socket; never from a network. May everything but durable pushes,
    /// which need an app as their author.
    Operator,
    /// The secret a caller showed.
    ApiKey(String),
}

/// What an API key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushRoute {
    /// Push to keys, mids and uids.
    Unicast,
    Room,
    All,
    /// Read counts, nodes and receipts.
    Read,
    /// `POST /logic/verify`.
    Verify,
}

impl PushRoute {
    pub const ALL: [Self; 5] = [Self::Unicast, Self::Room, Self::All, Self::Read, Self::Verify];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unicast => "unicast",
            Self::Room => "room",
            Self::All => "all",
            Self::Read => "read",
            Self::Verify => "verify",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.as_str() == text)
    }
}

/// What a key may. Empty `rooms`: every room; otherwise rooms whose names begin with one of these.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scope {
    pub routes: Vec<PushRoute>,
    #[serde(default)]
    pub rooms: Vec<String>,
}

impl Scope {
    pub fn allows(&self, route: PushRoute) -> bool {
        self.routes.contains(&route)
    }

    pub fn allows_room(&self, room: &RoomName) -> bool {
        self.rooms.is_empty() || self.rooms.iter().any(|prefix| room.as_str().starts_with(prefix))
    }
}
