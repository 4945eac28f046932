//! What the push API asks of logic, and is answered.

use super::access::PushRoute;
use super::name::{PushId, RoomName};
use super::node::{Advice, LiveNode};
use super::receipt::Receipt;
use super::request::PushRequest;
use crate::Error;
use crate::id::{ConversationId, Seq, Uid};
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum PushCommand {
    /// Whether the key is one; counts as nothing. Answers [`PushReply::Authorized`].
    Prove,
    /// Whether the key may use this; counts as a request of it.
    Authorize {
        route: PushRoute,
    },
    Push {
        requests: Vec<PushRequest>,
    },
    Receipt {
        push: PushId,
    },
    /// Live rooms with most people, of names that begin so.
    Top {
        prefix: String,
        limit: u32,
    },
    Rooms {
        rooms: Vec<RoomName>,
    },
    Total,
    /// Where clients may connect: goim's weighted choice. Answers [`PushReply::Advice`].
    Nodes {
        platform: String,
        address: String,
    },
    /// All nodes, for operators. Answers [`PushReply::Nodes`].
    Instances,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum PushReply {
    Authorized,
    /// In the order of the requests; each stands alone.
    Pushed {
        outcomes: Vec<PushOutcome>,
    },
    Receipt {
        receipt: Receipt,
    },
    Counts {
        rooms: Vec<(RoomName, u32)>,
    },
    Total {
        connections: u64,
        addresses: u64,
    },
    Nodes {
        nodes: Vec<LiveNode>,
    },
    Advice {
        advice: Advice,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PushOutcome {
    Accepted {
        push: PushId,
        /// Where it was stored, if it is durable and due: one place per user, or the room's.
        #[serde(default)]
        stored: Vec<Stored>,
        /// Receivers a dry run would have found.
        #[serde(default)]
        would_reach: Option<u64>,
        #[serde(default)]
        repeated: bool,
    },
    Refused {
        error: Error,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub uid: Option<Uid>,
    pub conversation: ConversationId,
    pub seq: Seq,
}
